//! Addresses, routes and name servers by router advertisements alone, from radvd and from dnsmasq.

use crate::world::{LIMIT, PROGRAM, in_own_namespace, run, text_of, tool, wait_until};
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A prefix and an address behind the router, who has both.
const NET: &str = "fd09::1";
const FAR: &str = "fd0a::1";

/// The tap `rt0`, whose kernel end is a router: NET is on the link, FAR behind it.
fn link() {
    // The kernel's own address is the router's, and nobody else's.
    std::fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0").expect("no trial");
    text_of(tool("ip", "iproute2").args(["tuntap", "add", "rt0", "mode", "tap"]), b"");
    for args in ["addr add fd09::1/64 dev rt0 nodad", "addr add fd0a::1/64 dev lo nodad", "link set rt0 up"] {
        text_of(tool("ip", "iproute2").arg("-6").args(args.split(' ')), b"");
    }
    std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").expect("a router");
}

/// A program that runs until it is dropped; what it writes is in a file.
struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    fn start(mut command: Command, log: PathBuf) -> Self {
        let file = std::fs::File::create(&log).expect("a log");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn().expect("it runs");
        Self { child, log }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.log);
    }
}

fn path(what: &str) -> PathBuf {
    std::env::temp_dir().join(format!("ringtap-routers-{}-{what}", std::process::id()))
}

/// A daemon's program, which lies where users' paths may not lead.
fn daemon(name: &str, package: &str) -> Command {
    let path = Path::new("/usr/sbin").join(name);
    if path.is_file() { Command::new(path) } else { tool(name, package) }
}

/// radvd with these lines about the interface.
fn radvd(lines: &str) -> Daemon {
    let (config, log) = (path("radvd.conf"), path("radvd.log"));
    std::fs::write(&config, format!("interface rt0 {{ AdvSendAdvert on; {lines} }};\n")).expect("written");
    let mut command = daemon("radvd", "radvd");
    command.args(["--nodaemon", "--logmethod", "stderr", "--debug", "3", "--config"]).arg(config);
    command.arg("--pidfile").arg(path("radvd.pid"));
    Daemon::start(command, log)
}

/// dnsmasq, which advertises its own prefix, itself as the router and as the name server.
fn dnsmasq() -> Daemon {
    let log = path("dnsmasq.log");
    let mut command = daemon("dnsmasq", "dnsmasq-base");
    command
        .args(["--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--group=root", "--pid-file="])
        .args([
            "--interface=rt0",
            "--bind-interfaces",
            "--no-resolv",
            "--no-hosts",
            "--log-facility=-",
            "--log-queries",
        ])
        .args(["--enable-ra", "--dhcp-range=fd09::,ra-only,64,10m", "--domain=test.example"])
        .args(["--host-record=far.test.example,fd0a::1", "--local=/test.example/"])
        .args(["--dhcp-option=option6:dns-server,[fd09::1]", "--dhcp-option=option6:domain-search,test.example"]);
    Daemon::start(command, log)
}

/// A running `serve` that asks routers only.
struct Serve {
    child: Child,
    control: PathBuf,
    addresses: Vec<String>,
}

impl Serve {
    fn start(daemon: &Daemon) -> Self {
        let control = path("control");
        let start = Instant::now();
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--dev", "rt0", "--slaac", "--control"]).arg(&control).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program runs");
        let mut ready = String::new();
        BufReader::new(child.stdout.take().expect("its stdout")).read_line(&mut ready).expect("a line");
        assert!(ready.starts_with("ready rt0 fd09:"), "{ready}\n{}", daemon.log());
        println!("an address after {:?}", start.elapsed());
        let addresses = ready.split(' ').skip(2).take_while(|w| *w != "mac");
        let addresses = addresses.map(|a| a.split('/').next().unwrap_or_default().to_string()).collect();
        Self { child, control, addresses }
    }

    fn ctl(&self, what: &str) -> String {
        text_of(Command::new(PROGRAM).arg("ctl").arg(&self.control).arg(what), b"")
    }

    fn end(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().is_ok_and(|s| s.success()));
        assert!(self.child.wait().expect("its end").success());
    }
}

/// The kernel's address `from` is answered by the stack's.
fn is_answered(from: &str, stack: &str) -> bool {
    let socket = UdpSocket::bind((from, 0)).expect("bound");
    socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a time-out");
    let to: IpAddr = stack.parse().expect("an address");
    socket.send_to(b"hello", (to, 7)).expect("sent");
    let mut back = [0; 16];
    socket.recv_from(&mut back).is_ok_and(|(n, from)| back[..n] == *b"hello" && from.ip() == to)
}

#[test]
fn radvd_gives_an_address_a_router_and_routes_and_takes_them_back() {
    in_own_namespace(
        concat!(module_path!(), "::radvd_gives_an_address_a_router_and_routes_and_takes_them_back"),
        || {
            link();
            let lines = "MinRtrAdvInterval 3; MaxRtrAdvInterval 4; AdvDefaultPreference high; AdvLinkMTU 1400; \
                 AdvCurHopLimit 42; AdvDefaultLifetime 9; \
                 prefix fd09::/64 { AdvOnLink on; AdvAutonomous on; AdvValidLifetime 9; AdvPreferredLifetime 8; }; \
                 route fd0b::/48 { AdvRoutePreference low; }; RDNSS fd09::1 { }; DNSSL test.example { };";
            let radvd = radvd(lines);
            let serve = Serve::start(&radvd);
            assert_eq!(serve.addresses.len(), 1, "{:?}", serve.addresses);
            let ours = serve.addresses[0].clone();
            wait_until("a neighbour is answered", || is_answered(NET, &ours));
            // Only the advertised router leads to this one.
            wait_until("somebody far away is answered", || is_answered(FAR, &ours));
            let routes = serve.ctl("routes");
            assert!(routes.contains("fd0b::/48") && routes.contains("default"), "{routes}");
            // What was advertised expires, as netstat tells; nine seconds for the router.
            let default = routes.lines().find(|l| l.starts_with("default")).expect("a default route");
            let words: Vec<&str> = default.split_whitespace().collect();
            let expire: u64 = words[4].parse().expect("seconds");
            assert!(words[2] == "UG" && words[3] == "rt0" && expire <= 9, "{routes}");
            assert!(routes.lines().any(|l| l.starts_with("fe80::/64") && l.ends_with("rt0")), "{routes}");
            // Nine seconds are over after three advertisements more; renewed by each, address and router are there still.
            let sent = || radvd.log().matches("processed RA on").count();
            let before = sent();
            wait_until("several advertisements", || sent() >= before + 3);
            assert!(is_answered(FAR, &ours), "{}", radvd.log());
            // A router that goes says so: lifetime 0.
            let pid = radvd.child.id().to_string();
            assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().is_ok_and(|s| s.success()));
            wait_until("the router is forgotten", || !serve.ctl("routes").contains("default"));
            assert!(is_answered(NET, &ours), "the address stays");
            serve.end();
        },
    );
}

#[test]
fn dnsmasq_gives_an_address_a_router_and_a_name_server() {
    in_own_namespace(concat!(module_path!(), "::dnsmasq_gives_an_address_a_router_and_a_name_server"), || {
        link();
        let dnsmasq = dnsmasq();
        let serve = Serve::start(&dnsmasq);
        let ours = serve.addresses[0].clone();
        wait_until("somebody far away is answered", || is_answered(FAR, &ours));
        serve.end();
        // Names, by the server and the search list that were advertised.
        let ringtap = |args: &[&str]| run(Command::new(PROGRAM).args(args), b"");
        let output = ringtap(&["ping", "--dev", "rt0", "--slaac", "-c", "2", "far"]);
        let text = String::from_utf8_lossy(&output.stdout);
        let log = dnsmasq.log();
        assert!(
            output.status.success() && text.contains("PING fd0a::1") && text.contains("2 received"),
            "{text}\n{log}"
        );
        let listener = std::net::TcpListener::bind((FAR, 4000)).expect("bound");
        let accepted = std::thread::spawn(move || {
            let (mut stream, peer) = listener.accept().expect("accepted");
            stream.set_write_timeout(Some(LIMIT)).expect("a time-out");
            stream.write_all(b"good day").expect("written");
            peer.ip().to_string()
        });
        let output = ringtap(&["nc", "--dev", "rt0", "--slaac", "far.test.example", "4000"]);
        assert!(output.stdout == b"good day", "{}", String::from_utf8_lossy(&output.stderr));
        assert!(accepted.join().expect("no panic").starts_with("fd09:"));
    });
}

#[test]
fn a_temporary_address_is_made_beside_the_stable_one_and_used() {
    in_own_namespace(concat!(module_path!(), "::a_temporary_address_is_made_beside_the_stable_one_and_used"), || {
        link();
        let radvd = radvd("prefix fd09::/64 { AdvOnLink on; AdvAutonomous on; };");
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--dev", "rt0", "--slaac", "--temporary"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program runs");
        let (out, err) = (child.stdout.take().expect("its stdout"), child.stderr.take().expect("its stderr"));
        let mut ready = String::new();
        BufReader::new(out).read_line(&mut ready).expect("a line");
        assert!(ready.starts_with("ready rt0 fd09:"), "{ready}\n{}", radvd.log());
        // The stable one is there first, a second later the other one.
        let (to, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || BufReader::new(err).lines().map_while(Result::ok).try_for_each(|l| to.send(l)));
        let line = told.recv_timeout(LIMIT).expect("another address");
        let both: Vec<&str> = line.split(' ').filter_map(|w| w.split_once("/128").map(|(ip, _)| ip)).collect();
        let [stable, temporary] = both[..] else { panic!("two addresses: {line}") };
        assert!(ready.contains(stable) && !ready.contains(temporary), "{ready} {line}");
        for ip in [stable, temporary] {
            wait_until("it is answered", || is_answered(NET, ip));
        }
        let _ = (child.kill(), child.wait());
    });
}

/// The kernel talks with an address from its first moment on, and cannot have it.
#[test]
fn an_optimistic_address_serves_the_kernel_and_stays_ours() {
    in_own_namespace(concat!(module_path!(), "::an_optimistic_address_serves_the_kernel_and_stays_ours"), || {
        link();
        let radvd = radvd("prefix fd09::/64 { AdvOnLink on; AdvAutonomous on; };");
        let control = path("control");
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--dev", "rt0", "--slaac", "--optimistic", "--control"]).arg(&control);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the program runs");
        let mut ready = String::new();
        BufReader::new(child.stdout.take().expect("its stdout")).read_line(&mut ready).expect("a line");
        assert!(ready.starts_with("ready rt0 fd09:"), "{ready}\n{}", radvd.log());
        let _serve = Daemon { child, log: path("serve.log") };
        let ours = ready.split(' ').nth(2).and_then(|w| w.split('/').next()).expect("an address").to_string();
        wait_until("it is answered", || is_answered(NET, &ours));
        wait_until("somebody far away is answered", || is_answered(FAR, &ours));
        // Its trial takes a second; who probes for it then is a rival, whose it is. After that it is ours: the kernel, which
        // sends nonces as well, sees that it is taken.
        std::thread::sleep(Duration::from_millis(1_500));
        std::fs::write("/proc/sys/net/ipv6/conf/rt0/accept_dad", "1").expect("a trial");
        text_of(tool("ip", "iproute2").args(["-6", "addr", "add", &format!("{ours}/128"), "dev", "rt0"]), b"");
        let show = || text_of(tool("ip", "iproute2").args(["-6", "addr", "show", "dev", "rt0"]), b"");
        wait_until("the kernel's trial fails", || show().contains("dadfailed"));
        assert!(is_answered(NET, &ours), "it stays ours");
    });
}

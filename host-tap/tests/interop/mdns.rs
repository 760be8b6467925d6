//! Multicast DNS with python-zeroconf as the other host of the link, at the kernel's end.

use crate::world::{PROGRAM, in_own_namespace, run, text_of, tool};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// At 10.7.0.1 or fd07::1, by that family alone. `find`: what the link says of a service. `be`: is a host with a service,
/// until stdin ends. `watch`: asks for the services of a type for some seconds, as a window that shows them would.
const PEER: &str = r#"
import ipaddress, sys, time
from zeroconf import IPVersion, ServiceBrowser, ServiceInfo, Zeroconf, ZeroconfServiceTypes
own = ipaddress.ip_address(sys.argv[1])
version = IPVersion.V6Only if own.version == 6 else IPVersion.V4Only
zc = Zeroconf(interfaces=[str(own)], ip_version=version)
what, kind = sys.argv[2:4]
if what == "find":
    name = sys.argv[4]
    info = zc.get_service_info(kind, name + "." + kind, timeout=20000)
    assert info, "no such service"
    print(info.server, info.port, sorted(info.parsed_addresses()), info.properties)
    print(sorted(ZeroconfServiceTypes.find(zc, timeout=3, ip_version=version)))
elif what == "watch":
    found = []
    browser = ServiceBrowser(zc, kind, handlers=[lambda state_change, name, **kw: found.append((state_change.name, name))])
    time.sleep(int(sys.argv[4]))
    print(found)
else:
    name, server = sys.argv[4:6]
    info = ServiceInfo(kind, name + "." + kind, port=7, server=server, addresses=[own.packed],
                       properties={"note": "as it is"})
    zc.register_service(info)
    print("ready", flush=True)
    sys.stdin.read()
    zc.unregister_service(info)
zc.close()
"#;

/// Debian's own, which has the package, before any other.
fn python() -> Command {
    let debian = std::path::Path::new("/usr/bin/python3");
    let mut command = if debian.is_file() { Command::new(debian) } else { tool("python3", "python3") };
    let found = run(command.args(["-c", "import zeroconf"]), b"");
    assert!(
        found.status.success(),
        "the Python module zeroconf is missing; install it: apt-get install python3-zeroconf"
    );
    let mut command = Command::new(command.get_program());
    command.args(["-c", PEER]);
    command
}

const FOUR: &str = "10.7.0.1";
const SIX: &str = "fd07::1";

/// The link: a tap whose kernel end is 10.7.0.1 and fd07::1.
fn link() {
    for args in [
        "tuntap add rt0 mode tap",
        "addr add 10.7.0.1/24 dev rt0",
        "-6 addr add fd07::1/64 dev rt0 nodad",
        "link set rt0 up multicast on",
    ] {
        text_of(tool("ip", "iproute2").args(args.split(' ')), b"");
    }
}

struct Peer(Child, Option<ChildStdin>);

impl Peer {
    fn be(own: &str, kind: &str, name: &str, server: &str) -> Self {
        let mut command = python();
        let child = command.args([own, "be", kind, name, server]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("python runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its stdout")).read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        let stdin = child.stdin.take();
        Self(child, stdin)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.1 = None;
        let _ = self.0.wait();
    }
}

struct Serving(Child, #[expect(dead_code, reason = "kept open")] BufReader<ChildStdout>);

impl Serving {
    /// `serve --mdns boiler`, once its name is claimed; what it said then.
    fn start(more: &[&str]) -> (Self, String) {
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--dev", "rt0", "--mdns", "boiler"]).args(more);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program runs");
        let mut out = BufReader::new(child.stdout.take().expect("its stdout"));
        let mut ready = String::new();
        out.read_line(&mut ready).expect("a line");
        assert!(ready.starts_with("ready "), "{ready}");
        let mut named = String::new();
        BufReader::new(child.stderr.take().expect("its stderr")).read_line(&mut named).expect("a line");
        (Self(child, out), named)
    }

    fn end(mut self) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().is_ok_and(|s| s.success()));
        assert!(self.0.wait().expect("its end").success());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn another_host_finds_our_service_and_we_find_its_name() {
    in_own_namespace(concat!(module_path!(), "::another_host_finds_our_service_and_we_find_its_name"), || {
        link();
        let capture = std::env::temp_dir().join(format!("ringtap-mdns-{}.pcapng", std::process::id()));
        let path = capture.to_str().expect("a plain path");
        let (serving, named) = Serving::start(&["--pcap", path]);
        assert_eq!(named, "ringtap: the name is now boiler.local\n");
        let text = text_of(python().args([FOUR, "find", "_http._tcp.local.", "boiler"]), b"");
        let mut lines = text.lines();
        let found = lines.next().unwrap_or_default();
        assert!(found.starts_with("boiler.local. 80 ['10.7.0.2'") && found.contains("b'path': b'/'"), "{text}");
        assert!(lines.next().is_some_and(|l| l.contains("_http._tcp.local.")), "{text}");
        serving.end();
        let tshark = |filter: &str| {
            let output = text_of(tool("tshark", "tshark").args(["-r", path, "-Y", filter]), b"");
            output.lines().count()
        };
        assert!(tshark("mdns && ip.src == 10.7.0.2 && dns.flags.response == 1") >= 3);
        assert!(tshark("mdns && ip.src == 10.7.0.2 && dns.resp.ttl == 0") >= 1, "a goodbye");
        assert_eq!(tshark("_ws.malformed || udp.checksum.status == Bad"), 0);
        let _ = std::fs::remove_file(&capture);
        // The other way.
        let _peer = Peer::be(FOUR, "_echo._tcp.local.", "Peer", "peer.local.");
        let ping = ["ping", "--dev", "rt0", "-c", "1", "peer.local"];
        let text = text_of(Command::new(PROGRAM).args(ping), b"");
        assert!(text.contains("PING 10.7.0.1") && text.contains("1 received"), "{text}");
        let listener = std::net::TcpListener::bind("10.7.0.1:4000").expect("bound");
        let accepted = std::thread::spawn(move || listener.accept().map(drop));
        text_of(Command::new(PROGRAM).args(["nc", "--dev", "rt0", "PEER.local", "4000"]), b"");
        accepted.join().expect("no panic").expect("accepted");
        let none = run(Command::new(PROGRAM).args(["nc", "--dev", "rt0", "none.local", "4000"]), b"");
        assert!(String::from_utf8_lossy(&none.stderr).contains("no such name"));
    });
}

#[test]
fn a_service_name_that_another_host_has_is_left_to_it() {
    in_own_namespace(concat!(module_path!(), "::a_service_name_that_another_host_has_is_left_to_it"), || {
        link();
        let _peer = Peer::be(FOUR, "_http._tcp.local.", "boiler", "peer.local.");
        let (serving, named) = Serving::start(&[]);
        assert_eq!(named, "ringtap: the name is now boiler.local, of the service \"boiler (2)\"\n");
        serving.end();
    });
}

#[test]
fn by_ipv6_alone_another_host_finds_our_service_and_we_find_its_name_and_service() {
    let name =
        concat!(module_path!(), "::by_ipv6_alone_another_host_finds_our_service_and_we_find_its_name_and_service");
    in_own_namespace(name, || {
        link();
        let (serving, named) = Serving::start(&["--addr", "fd07::2/64"]);
        assert_eq!(named, "ringtap: the name is now boiler.local\n");
        let text = text_of(python().args([SIX, "find", "_http._tcp.local.", "boiler"]), b"");
        let found = text.lines().next().unwrap_or_default();
        assert!(found.starts_with("boiler.local. 80 [") && found.contains("'fd07::2'"), "{text}");
        serving.end();
        // The other way.
        let _peer = Peer::be(SIX, "_echo._tcp.local.", "Peer", "peer.local.");
        let ours = ["--dev", "rt0", "--addr", "fd07::2/64"];
        let text = text_of(Command::new(PROGRAM).arg("ping").args(ours).args(["-c", "1", "peer.local"]), b"");
        assert!(text.contains("PING fd07::1") && text.contains("1 received"), "{text}");
        let text = text_of(Command::new(PROGRAM).arg("browse").args(ours).args(["-t", "4", "_echo._tcp"]), b"");
        assert_eq!(text, "+ Peer at peer.local:7 [fd07::1] note=as it is\n");
    });
}

#[test]
fn services_of_another_host_are_told_of_as_they_come_and_go() {
    in_own_namespace(concat!(module_path!(), "::services_of_another_host_are_told_of_as_they_come_and_go"), || {
        link();
        let mut command = Command::new(PROGRAM);
        command.args(["browse", "--dev", "rt0", "-t", "0", "_echo._tcp"]).stdout(Stdio::piped());
        let mut browsing = command.spawn().expect("the program runs");
        let mut lines = BufReader::new(browsing.stdout.take().expect("its stdout")).lines().map_while(Result::ok);
        let peer = Peer::be(FOUR, "_echo._tcp.local.", "Big Peer", "peer.local.");
        let told = "Big Peer at peer.local:7 [10.7.0.1] note=as it is";
        assert_eq!(lines.next(), Some(format!("+ {told}")));
        drop(peer);
        assert_eq!(lines.next(), Some(format!("- {told}")), "it has said goodbye");
        let pid = browsing.id().to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().is_ok_and(|s| s.success()));
        assert!(browsing.wait().expect("its end").success());
        let none = run(Command::new(PROGRAM).args(["browse", "--dev", "rt0", "-t", "2", "_echo._tcp"]), b"");
        assert_eq!((none.status.code(), none.stdout.len()), (Some(1), 0), "nothing there is a failure");
        let wrong = run(Command::new(PROGRAM).args(["browse", "--dev", "rt0", "echo"]), b"");
        assert_eq!(wrong.status.code(), Some(2));
    });
}

#[test]
fn what_another_host_knows_is_not_told_to_it_again() {
    in_own_namespace(concat!(module_path!(), "::what_another_host_knows_is_not_told_to_it_again"), || {
        link();
        let capture = std::env::temp_dir().join(format!("ringtap-known-{}.pcapng", std::process::id()));
        let path = capture.to_str().expect("a plain path");
        let (serving, _) = Serving::start(&["--pcap", path]);
        // Announcements are over.
        std::thread::sleep(std::time::Duration::from_millis(2_500));
        let text = text_of(python().args([FOUR, "watch", "_http._tcp.local.", "9"]), b"");
        assert!(text.contains("('Added', 'boiler._http._tcp.local.')"), "{text}");
        serving.end();
        let fields = ["-T", "fields", "-e", "frame.time_relative", "-e", "ip.src", "-e", "dns.count.answers"];
        let filter = "mdns && dns.resp.name == _http._tcp.local";
        let output = text_of(tool("tshark", "tshark").args(["-r", path, "-Y", filter]).args(fields), b"");
        let all: Vec<(f64, bool)> = output
            .lines()
            .map(|line| {
                let mut parts = line.split('\t');
                let at = parts.next().and_then(|t| t.parse().ok()).expect("a time");
                (at, parts.next() == Some("10.7.0.2"))
            })
            .collect();
        // Its questions with the answer that it knows, and what we say within a second of them.
        let told = all.iter().position(|m| m.1).expect("our answer");
        let knowing: Vec<f64> = all[told..].iter().filter(|m| !m.1).map(|m| m.0).collect();
        assert!(!knowing.is_empty(), "{output}");
        let again = |at: &f64| all.iter().any(|(t, ours)| *ours && (*at..at + 1.0).contains(t));
        assert!(!knowing.iter().any(again), "{output}");
        let _ = std::fs::remove_file(&capture);
    });
}

/// A host that is boiler.local, and says so whenever it is asked (python-zeroconf answers no question for ANY of a host).
struct Defender(std::sync::Arc<std::sync::atomic::AtomicBool>, std::thread::JoinHandle<usize>);

impl Defender {
    fn start(group: IpAddr) -> Self {
        let any: IpAddr = if group.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 5353)).expect("bound");
        let link = text_of(tool("ip", "iproute2").args(["-o", "link", "show", "rt0"]), b"");
        let index = link.split(':').next().and_then(|n| n.parse().ok()).expect("the interface's number");
        let to = match group {
            IpAddr::V4(group) => {
                socket.join_multicast_v4(&group, &FOUR.parse().expect("valid text")).expect("joined");
                SocketAddr::from((group, 5353))
            }
            IpAddr::V6(group) => {
                socket.join_multicast_v6(&group, index).expect("joined");
                SocketAddrV6::new(group, 5353, 0, index).into()
            }
        };
        text_of(tool("ip", "iproute2").args(["route", "replace", "224.0.0.0/4", "dev", "rt0"]), b"");
        socket.set_read_timeout(Some(std::time::Duration::from_millis(100))).expect("a time-out");
        let ended = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let until = ended.clone();
        let name = b"\x06boiler\x05local\0";
        // A response with one record: A, of class IN with cache flush, 120 s, 10.7.0.1.
        let head = [0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0];
        let answer = [&head[..], name, &[0, 1, 0x80, 1, 0, 0, 0, 120, 0, 4, 10, 7, 0, 1]].concat();
        let defend = move || {
            let (mut buf, mut asked) = ([0; 2_000], 0);
            while !until.load(std::sync::atomic::Ordering::Relaxed) {
                let Ok((len, _)) = socket.recv_from(&mut buf) else { continue };
                let is_query =
                    buf[2] & 0x80 == 0 && buf[..len].windows(name.len()).any(|w| w.eq_ignore_ascii_case(name));
                if is_query {
                    asked += 1;
                    socket.send_to(&answer, to).expect("sent");
                }
            }
            asked
        };
        Self(ended, std::thread::spawn(defend))
    }

    /// How often it was asked.
    fn end(self) -> usize {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
        self.1.join().expect("no panic")
    }
}

#[test]
fn a_host_name_that_another_host_has_is_left_to_it_in_either_family() {
    let name = concat!(module_path!(), "::a_host_name_that_another_host_has_is_left_to_it_in_either_family");
    in_own_namespace(name, || {
        link();
        for (group, own, ours) in [("224.0.0.251", FOUR, "10.7.0.2/24"), ("ff02::fb", SIX, "fd07::2/64")] {
            let defender = Defender::start(group.parse().expect("valid text"));
            let (serving, named) = Serving::start(&["--addr", ours]);
            assert_eq!(named, "ringtap: the name is now boiler-2.local, of the service \"boiler\"\n", "{own}");
            serving.end();
            assert!(defender.end() > 0, "it was asked");
        }
    });
}

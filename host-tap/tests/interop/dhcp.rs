//! Addresses from dnsmasq, the server of many a router.

use crate::world::{LIMIT, PROGRAM, in_own_namespace, run, text_of, tool, wait_until};
use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// dnsmasq at the kernel's end of a tap, 10.9.0.1; it gives addresses from 10.9.0.50 on.
pub struct Dnsmasq {
    child: Child,
    log: PathBuf,
    leases: PathBuf,
}

impl Dnsmasq {
    /// Makes the tap `rt0` and starts the server on it.
    pub fn start(more: &[&str]) -> Self {
        for args in ["tuntap add rt0 mode tap", "addr add 10.9.0.1/24 dev rt0", "link set rt0 up"] {
            text_of(tool("ip", "iproute2").args(args.split(' ')), b"");
        }
        Self::start_on_tap(more)
    }

    /// Starts the server on `rt0`, which is there.
    pub fn start_on_tap(more: &[&str]) -> Self {
        let path = |what: &str| std::env::temp_dir().join(format!("ringtap-dnsmasq-{}-{what}", std::process::id()));
        let (log, leases) = (path("log"), path("leases"));
        let mut command = match std::path::Path::new("/usr/sbin/dnsmasq").is_file() {
            true => Command::new("/usr/sbin/dnsmasq"),
            false => tool("dnsmasq", "dnsmasq-base"),
        };
        command
            .args(["--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--group=root", "--pid-file="])
            .args(["--interface=rt0", "--bind-interfaces", "--no-resolv", "--no-hosts", "--no-ping", "--log-dhcp"])
            .args(["--dhcp-authoritative", "--dhcp-range=10.9.0.50,10.9.0.99,2m", "--domain=test.example"])
            .arg(format!("--log-facility={}", log.display()))
            .arg(format!("--dhcp-leasefile={}", leases.display()))
            .args(more);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("dnsmasq runs");
        let server = Self { child, log, leases };
        wait_until("dnsmasq listens", || server.logged("DHCP, sockets bound") > 0);
        server
    }

    /// How often its log says so, in letters of whatever case.
    pub fn logged(&self, what: &str) -> usize {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        log.to_lowercase().matches(&what.to_lowercase()).count()
    }

    /// The address that it has given last.
    pub fn gave(&self) -> Option<std::net::Ipv4Addr> {
        let log = std::fs::read_to_string(&self.log).ok()?;
        let (_, rest) = log.rsplit_once("DHCPACK(rt0) ")?;
        rest.split(' ').next()?.parse().ok()
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.log);
        let _ = std::fs::remove_file(&self.leases);
    }
}

#[test]
fn serve_gets_its_address_from_dnsmasq_and_gives_it_back() {
    in_own_namespace(concat!(module_path!(), "::serve_gets_its_address_from_dnsmasq_and_gives_it_back"), || {
        let server = Dnsmasq::start(&["--dhcp-option=option:router,10.9.0.1"]);
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--dev", "rt0", "--dhcp"]).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program runs");
        let mut out = BufReader::new(child.stdout.take().expect("its stdout"));
        let mut ready = String::new();
        out.read_line(&mut ready).expect("a line");
        assert!(ready.starts_with("ready rt0 10.9.0."), "{ready}");
        let address = ready.split(' ').nth(2).and_then(|a| a.strip_suffix("/24")).expect("an address").to_string();
        // By UDP and by TCP, from the address that was asked.
        let socket = UdpSocket::bind("10.9.0.1:0").expect("bound");
        socket.set_read_timeout(Some(LIMIT)).expect("a time-out");
        socket.connect((address.as_str(), 7)).expect("a way");
        socket.send(b"hello").expect("sent");
        let mut back = [0; 16];
        assert_eq!(socket.recv(&mut back).map(|n| back[..n].to_vec()).expect("echoed"), b"hello");
        assert!(text_of(tool("nc", "netcat-openbsd").args([&address, "13"]), b"").ends_with(" UTC\r\n"));
        // Within five seconds: no question was asked twice, which takes four more, and besides them there are half a second
        // at most before the first and 1.4 for the probes. A busy machine's clock would say less.
        for (what, times) in [("DISCOVER", 1), ("OFFER", 1), ("REQUEST", 1), ("ACK", 1), ("DECLINE", 0)] {
            assert_eq!(server.logged(&format!("DHCP{what}(rt0)")), times, "{what}");
        }
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().is_ok_and(|s| s.success()));
        assert!(child.wait().expect("its end").success());
        wait_until("it is given back", || server.logged("DHCPRELEASE(rt0)") == 1);
    });
}

#[test]
fn clients_of_the_stack_wait_for_their_address() {
    in_own_namespace(concat!(module_path!(), "::clients_of_the_stack_wait_for_their_address"), || {
        let server = Dnsmasq::start(&[]);
        let text = text_of(Command::new(PROGRAM).args(["ping", "--dev", "rt0", "--dhcp", "-c", "2", "10.9.0.1"]), b"");
        assert!(text.contains("2 received"), "{text}");
        let listener = std::net::TcpListener::bind("10.9.0.1:4000").expect("bound");
        let accepted = std::thread::spawn(move || listener.accept().map(|(_, peer)| peer.ip().to_string()));
        let output = run(Command::new(PROGRAM).args(["nc", "--dev", "rt0", "--dhcp", "10.9.0.1", "4000"]), b"");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(accepted.join().expect("no panic").expect("accepted").starts_with("10.9.0."));
        // The same machine and device: the same address.
        assert_eq!(server.logged("DHCPDECLINE"), 0);
    });
}

#[test]
fn names_are_resolved_by_dnsmasq_also_by_tcp() {
    in_own_namespace(concat!(module_path!(), "::names_are_resolved_by_dnsmasq_also_by_tcp"), || {
        let mut records = vec!["--host-record=host.test.example,10.9.0.1".to_string()];
        records.extend((10..60).map(|n| format!("--host-record=many.test.example,10.9.0.{n}")));
        records.push("--cname=alias.test.example,host.test.example".into());
        records.push("--local=/test.example/".into());
        records.push("--log-queries".into());
        let server = Dnsmasq::start(&records.iter().map(String::as_str).collect::<Vec<_>>());
        let ringtap = |args: &[&str]| run(Command::new(PROGRAM).args(args), b"");
        let fixed = ["--dev", "rt0", "--addr", "10.9.0.200/24", "--dns", "10.9.0.1"];
        // A search list and servers by DHCP; an alias; servers by hand.
        for args in [&["--dev", "rt0", "--dhcp", "host"][..], &[&fixed[..], &["alias.test.example"]].concat()] {
            let output = ringtap(&[&["ping", "-c", "1"], args].concat());
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.contains("PING 10.9.0.1"), "{args:?}: {text}");
        }
        let listener = std::net::TcpListener::bind("10.9.0.1:4000").expect("bound");
        let accepted = std::thread::spawn(move || listener.accept().map(drop));
        let output = ringtap(&[&["nc"], &fixed[..], &["host.test.example", "4000"]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        accepted.join().expect("no panic").expect("accepted");
        let output = ringtap(&[&["nc"], &fixed[..], &["none.test.example", "4000"]].concat());
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && text.contains("no such name"), "{text}");
        // 50 addresses do not fit 512 octets.
        let output = ringtap(&[&["ping", "-c", "1"], &fixed[..], &["many.test.example"]].concat());
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("PING 10.9.0."), "{text}{}", String::from_utf8_lossy(&output.stderr));
        assert!(server.logged("many.test.example") > 0);
    });
}

/// What udhcpc calls: it prints what it was told.
const SCRIPT: &str =
    "#!/bin/sh\n[ \"$1\" = bound ] && echo \"$ip $mask $serverid $lease\" >> \"$RINGTAP_LEASES\"\nexit 0\n";

#[test]
fn the_kernels_side_gets_its_address_from_serve() {
    in_own_namespace(concat!(module_path!(), "::the_kernels_side_gets_its_address_from_serve"), || {
        for args in ["tuntap add rt0 mode tap", "link set rt0 up"] {
            text_of(tool("ip", "iproute2").args(args.split(' ')), b"");
        }
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--dev", "rt0", "--dhcp-server", "10.7.0.100-10.7.0.103"]).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program runs");
        let mut ready = String::new();
        BufReader::new(child.stdout.take().expect("its stdout")).read_line(&mut ready).expect("a line");
        let path = |what: &str| std::env::temp_dir().join(format!("ringtap-udhcpc-{}-{what}", std::process::id()));
        let (script, leases) = (path("script"), path("leases"));
        std::fs::write(&script, SCRIPT).expect("written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&script, mode).expect("a program");
        let mut client = match std::path::Path::new("/usr/sbin/udhcpc").is_file() {
            true => Command::new("/usr/sbin/udhcpc"),
            false => tool("udhcpc", "udhcpc"),
        };
        client.args(["-i", "rt0", "-f", "-q", "-n", "-t", "10", "-s"]).arg(&script).env("RINGTAP_LEASES", &leases);
        for _ in 0..2 {
            let output = run(&mut client, b"");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        let told = std::fs::read_to_string(&leases).expect("a lease");
        // Twice the same address for the same client.
        assert_eq!(told, "10.7.0.100 24 10.7.0.2 600\n".repeat(2));
        let _ = (std::fs::remove_file(&script), std::fs::remove_file(&leases));
        let _ = (child.kill(), child.wait());
    });
}

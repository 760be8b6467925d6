//! Multicast DNS with python-zeroconf as the other host of the link, at the kernel's end.

use crate::world::{PROGRAM, in_own_namespace, run, text_of, tool};
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// `find`: what the link says of a service. `be`: is peer.local with a service, until stdin ends.
const PEER: &str = r#"
import socket, sys
from zeroconf import IPVersion, ServiceInfo, Zeroconf, ZeroconfServiceTypes
zc = Zeroconf(interfaces=["10.7.0.1"], ip_version=IPVersion.V4Only)
if sys.argv[1] == "find":
    kind, name = sys.argv[2:4]
    info = zc.get_service_info(kind, name + "." + kind, timeout=20000)
    assert info, "no such service"
    print(info.server, info.port, sorted(info.parsed_addresses()), info.properties)
    print(sorted(ZeroconfServiceTypes.find(zc, timeout=3)))
else:
    kind, name, server = sys.argv[2:5]
    info = ServiceInfo(kind, name + "." + kind, port=7, server=server,
                       addresses=[socket.inet_aton("10.7.0.1")])
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

/// The link: a tap whose kernel end is 10.7.0.1.
fn link() {
    for args in ["tuntap add rt0 mode tap", "addr add 10.7.0.1/24 dev rt0", "link set rt0 up multicast on"] {
        text_of(tool("ip", "iproute2").args(args.split(' ')), b"");
    }
}

struct Peer(Child, Option<ChildStdin>);

impl Peer {
    fn be(kind: &str, name: &str, server: &str) -> Self {
        let mut command = python();
        let child = command.args(["be", kind, name, server]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
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
        let text = text_of(python().args(["find", "_http._tcp.local.", "boiler"]), b"");
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
        let _peer = Peer::be("_echo._tcp.local.", "Peer", "peer.local.");
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
        let _peer = Peer::be("_http._tcp.local.", "boiler", "peer.local.");
        let (serving, named) = Serving::start(&[]);
        assert_eq!(named, "ringtap: the name is now boiler.local, of the service \"boiler (2)\"\n");
        serving.end();
    });
}

//! What we send, as tshark decodes it: all kinds of packets, none malformed, no checksum wrong.

use crate::world::{LIMIT, PROGRAM, expect_echo, in_own_namespace, octets, output_of, run, text_of, tool, with_limits};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, TcpStream, UdpSocket};
use std::process::{Command, Stdio};

/// The stack's MAC address.
const OURS: &str = "eth.src == 02:72:0a:07:00:02";

/// What must be among what we send, so that there is something to find fault with.
const KINDS: [&str; 18] = [
    "arp.opcode == 1",
    "arp.opcode == 2",
    "igmp.type == 0x22",
    "icmp.type == 0",
    "icmp.type == 3",
    "ip.flags.mf == 1",
    "ip.dst == 10.7.0.1 && udp.srcport == 7",
    "tcp.flags.syn == 1 && ip",
    "tcp.flags.reset == 1 && ip",
    "tcp.len > 1000 && ip",
    "icmpv6.type == 135",
    "icmpv6.type == 136",
    "icmpv6.type == 143",
    "icmpv6.type == 129",
    "icmpv6.type == 1",
    "ipv6.fraghdr.more == 1",
    "tcp.flags.syn == 1 && ipv6",
    "tcp.flags.reset == 1 && ipv6",
];

/// What must not be.
const FAULTS: &str = "_ws.malformed || _ws.expert.severity == error || ip.checksum.status == Bad || \
    tcp.checksum.status == Bad || udp.checksum.status == Bad || icmp.checksum.status == Bad || \
    icmpv6.checksum.status == Bad || igmp.checksum.status == Bad";

fn talk(kernel: IpAddr, stack: IpAddr) {
    let udp = UdpSocket::bind((kernel, 0)).expect("bound");
    udp.set_read_timeout(Some(LIMIT)).expect("a time-out");
    udp.connect((stack, 7)).expect("a way");
    for len in [0, 1, 1_000, 5_000, 9_001] {
        let data = octets(len as u64, len);
        udp.send(&data).expect("sent");
        let mut back = vec![0; 10_000];
        let n = udp.recv(&mut back).expect("echoed");
        assert!(back[..n] == data, "{len}");
    }
    let closed = UdpSocket::bind((kernel, 0)).expect("bound");
    closed.set_read_timeout(Some(LIMIT)).expect("a time-out");
    closed.connect((stack, 4)).expect("a way");
    closed.send(b"anybody?").expect("sent");
    assert!(closed.recv(&mut [0; 8]).is_err(), "refused");
    assert!(TcpStream::connect((stack, 4)).is_err(), "refused");
    let mut stream = with_limits(TcpStream::connect_timeout(&(stack, 7).into(), LIMIT).expect("connected"));
    expect_echo(&mut stream, &octets(3, 100_000));
}

/// How many packets of a capture a filter finds.
fn found(capture: &str, filter: &str) -> String {
    let checks = ["ip.check_checksum:TRUE", "tcp.check_checksum:TRUE", "udp.check_checksum:TRUE"];
    let mut command = tool("tshark", "tshark");
    command.args(["-r", capture, "-Y", filter]);
    checks.iter().for_each(|check| _ = command.args(["-o", check]));
    text_of(&mut command, b"")
}

#[test]
fn tshark_finds_no_fault_with_anything_that_is_sent() {
    in_own_namespace(concat!(module_path!(), "::tshark_finds_no_fault_with_anything_that_is_sent"), || {
        let path = |what: &str| {
            let path = std::env::temp_dir().join(format!("ringtap-decoded-{}-{what}", std::process::id()));
            path.to_str().expect("a plain path").to_string()
        };
        let (capture, control) = (path("pcapng"), path("control"));
        text_of(tool("ip", "iproute2").args(["tuntap", "add", "rt0", "mode", "tap"]), b"");
        for args in ["addr add 10.7.0.1/24 dev rt0", "-6 addr add fd07::1/64 dev rt0 nodad", "link set rt0 up"] {
            text_of(tool("ip", "iproute2").args(args.split(' ')), b"");
        }
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--dev", "rt0", "--no-offload", "--pcap", &capture, "--control", &control]);
        command.args(["--join", "239.1.2.3", "--join", "ff15::77"]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the program runs");
        let mut ready = String::new();
        BufReader::new(child.stdout.take().expect("its stdout")).read_line(&mut ready).expect("a line");
        assert!(ready.starts_with("ready "), "{ready}");
        for target in ["10.7.0.2", "fd07::2"] {
            for size in ["0", "57", "1473", "8001"] {
                let mut ping = tool("ping", "iputils-ping");
                output_of(ping.args(["-n", "-c", "2", "-i", "0.2", "-w", "60", "-s", size, target]), b"");
            }
        }
        let addr = |text: &str| text.parse::<IpAddr>().expect("an address");
        talk(addr("10.7.0.1"), addr("10.7.0.2"));
        talk(addr("fd07::1"), addr("fd07::2"));
        let ctl = |args: &[&str]| run(Command::new(PROGRAM).args(["ctl", &control]).args(args), b"");
        for args in [&["leave", "239.1.2.3"][..], &["leave", "ff15::77"], &["connect", "10.7.0.1", "4"]] {
            assert!(ctl(args).status.success(), "{args:?}");
        }
        assert!(ctl(&["connect", "10.7.0.99", "4"]).status.success(), "nobody is there: asked for by ARP");
        std::thread::sleep(std::time::Duration::from_secs(2));
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().is_ok_and(|s| s.success()));
        assert!(child.wait().expect("its end").success());
        for kind in KINDS {
            assert!(!found(&capture, &format!("{OURS} && ({kind})")).is_empty(), "none is sent: {kind}");
        }
        assert_eq!(found(&capture, &format!("{OURS} && ({FAULTS})")), "");
        let _ = std::fs::remove_file(capture);
    });
}

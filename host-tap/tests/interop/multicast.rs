//! Groups, as the kernel's bridge sees them: it snoops on what is told, and is the querier itself.

use crate::world::{PROGRAM, in_own_namespace, run, text_of, tool, wait_until};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

fn ip(args: &str) {
    text_of(tool("ip", "iproute2").args(args.split(' ')), b"");
}

/// A bridge that snoops and asks, with the stack's `serve` on one of its ports, in this group.
struct Bridged {
    child: Child,
    control: String,
    capture: String,
}

impl Bridged {
    fn start(name: &str, bridge: &str, group: &str) -> Self {
        ip(&format!("link add br0 type bridge mcast_snooping 1 mcast_querier 1 mcast_query_use_ifaddr 1 {bridge}"));
        ip("tuntap add rt0 mode tap");
        ip("link set rt0 master br0 up");
        ip("addr add 10.7.0.1/24 dev br0");
        ip("-6 addr add fd07::1/64 dev br0 nodad");
        ip("link set br0 up");
        ip("route add 239.0.0.0/8 dev br0");
        let control = std::env::temp_dir().join(format!("ringtap-{name}-{}", std::process::id()));
        let control = control.to_str().expect("a plain path").to_string();
        let capture = format!("{control}.pcapng");
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--dev", "rt0", "--join", group, "--control", &control, "--pcap", &capture]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the program runs");
        let mut ready = String::new();
        BufReader::new(child.stdout.take().expect("its stdout")).read_line(&mut ready).expect("a line");
        assert!(ready.starts_with("ready "), "{ready}");
        Self { child, control, capture }
    }

    /// Whether the bridge knows that the stack is in a group.
    fn knows(group: &str) -> bool {
        text_of(tool("bridge", "iproute2").args(["mdb", "show", "dev", "br0"]), b"")
            .lines()
            .any(|line| line.contains("port rt0") && line.contains(&format!("grp {group} ")))
    }

    fn ctl(&self, args: &[&str]) {
        text_of(Command::new(PROGRAM).args(["ctl", &self.control]).args(args), b"");
    }

    fn end(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().is_ok_and(|s| s.success()));
        assert!(self.child.wait().expect("its end").success());
    }
}

/// The bridge carries what is sent to the group, and the service there answers from its own address.
fn asks_who_is_there(from: IpAddr, group: IpAddr, stack: IpAddr) {
    let socket = UdpSocket::bind((from, 0)).expect("bound");
    socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a time-out");
    // An IPv6 address is on trial for a second, and no source until then.
    wait_until("the stack answers", || {
        socket.send_to(b"who is there?", (group, 7)).expect("sent");
        let mut back = [0; 64];
        let Ok((n, from)) = socket.recv_from(&mut back) else { return false };
        assert_eq!((&back[..n], from.ip()), (&b"who is there?"[..], stack));
        true
    });
}

fn addr(text: &str) -> IpAddr {
    text.parse().expect("valid text")
}

/// The stack's address, as the IGMP packets of a capture have it as their source: to where, and which types.
fn igmp_types(path: &str) -> Vec<(String, String)> {
    let fields = ["-Y", "igmp && ip.src == 10.7.0.2", "-T", "fields", "-e", "ip.dst", "-e", "igmp.type"];
    let output = text_of(tool("tshark", "tshark").args(["-r", path]).args(fields), b"");
    output.lines().filter_map(|line| line.split_once('\t')).map(|(to, what)| (to.into(), what.into())).collect()
}

fn a_bridge_learns_of_ipv4_groups(version: &str, check: impl FnOnce(&[(String, String)])) {
    let serve = Bridged::start("groups", &format!("mcast_igmp_version {version}"), "239.1.2.3");
    wait_until("the bridge knows the group", || Bridged::knows("239.1.2.3"));
    asks_who_is_there(addr("10.7.0.1"), addr("239.1.2.3"), addr("10.7.0.2"));
    // The querier has asked by now: what is said from here on is said in its version.
    wait_until("it has asked", || igmp_asked(&serve.capture));
    serve.ctl(&["join", "239.9.9.9"]);
    wait_until("the bridge knows the other group", || Bridged::knows("239.9.9.9"));
    serve.ctl(&["leave", "239.1.2.3"]);
    wait_until("the bridge has forgotten the group", || !Bridged::knows("239.1.2.3"));
    assert!(Bridged::knows("239.9.9.9"));
    let capture = serve.capture.clone();
    serve.end();
    check(&igmp_types(&capture));
    let _ = std::fs::remove_file(capture);
}

/// Whether a querier has been heard.
fn igmp_asked(path: &str) -> bool {
    let output = run(tool("tshark", "tshark").args(["-r", path, "-Y", "igmp.type == 0x11"]), b"");
    !output.stdout.is_empty()
}

#[test]
fn a_bridge_learns_who_is_in_a_group_and_who_left() {
    in_own_namespace(concat!(module_path!(), "::a_bridge_learns_who_is_in_a_group_and_who_left"), || {
        a_bridge_learns_of_ipv4_groups("3", |told| {
            assert!(told.iter().all(|(to, what)| to == "224.0.0.22" && what == "0x22"), "{told:?}");
        });
    });
}

#[test]
fn a_bridge_that_speaks_version_2_is_told_in_version_2() {
    in_own_namespace(concat!(module_path!(), "::a_bridge_that_speaks_version_2_is_told_in_version_2"), || {
        a_bridge_learns_of_ipv4_groups("2", |told| {
            let said = |to: &str, what: &str| told.iter().any(|t| t.0 == to && t.1 == what);
            assert!(said("239.9.9.9", "0x16"), "a report to the group itself: {told:?}");
            assert!(said("224.0.0.2", "0x17"), "a leave to all routers: {told:?}");
        });
    });
}

fn a_bridge_learns_of_ipv6_groups(version: &str) {
    let serve = Bridged::start("listeners", &format!("mcast_mld_version {version}"), "ff15::77");
    wait_until("the bridge knows the group", || Bridged::knows("ff15::77"));
    // The group of its address, which every neighbour of it depends on.
    wait_until("the bridge knows the address's group", || Bridged::knows("ff02::1:ff00:2"));
    asks_who_is_there(addr("fd07::1"), addr("ff15::77"), addr("fd07::2"));
    serve.ctl(&["join", "ff15::99"]);
    wait_until("the bridge knows the other group", || Bridged::knows("ff15::99"));
    serve.ctl(&["leave", "ff15::77"]);
    wait_until("the bridge has forgotten the group", || !Bridged::knows("ff15::77"));
    assert!(Bridged::knows("ff15::99"));
    serve.end();
}

#[test]
fn a_bridge_learns_of_ipv6_groups_by_mld_version_2() {
    in_own_namespace(concat!(module_path!(), "::a_bridge_learns_of_ipv6_groups_by_mld_version_2"), || {
        a_bridge_learns_of_ipv6_groups("2");
    });
}

#[test]
fn a_bridge_learns_of_ipv6_groups_by_mld_version_1() {
    in_own_namespace(concat!(module_path!(), "::a_bridge_learns_of_ipv6_groups_by_mld_version_1"), || {
        a_bridge_learns_of_ipv6_groups("1");
    });
}

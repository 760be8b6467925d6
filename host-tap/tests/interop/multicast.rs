//! Groups, as the kernel's bridge sees them: it snoops on what is told, and is the querier itself.

use crate::world::{LIMIT, PROGRAM, in_own_namespace, text_of, tool, wait_until};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Command, Stdio};

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);

fn ip(args: &str) {
    text_of(tool("ip", "iproute2").args(args.split(' ')), b"");
}

#[test]
fn a_bridge_learns_who_is_in_a_group_and_who_left() {
    in_own_namespace(concat!(module_path!(), "::a_bridge_learns_who_is_in_a_group_and_who_left"), || {
        ip("link add br0 type bridge mcast_snooping 1 mcast_querier 1 mcast_query_use_ifaddr 1 mcast_igmp_version 3");
        ip("tuntap add rt0 mode tap");
        ip("link set rt0 master br0 up");
        ip("addr add 10.7.0.1/24 dev br0");
        ip("link set br0 up");
        ip("route add 239.0.0.0/8 dev br0");
        let control = std::env::temp_dir().join(format!("ringtap-groups-{}", std::process::id()));
        let control = control.to_str().expect("a plain path").to_string();
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--dev", "rt0", "--join", "239.1.2.3", "--control", &control]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the program runs");
        let mut ready = String::new();
        BufReader::new(child.stdout.take().expect("its stdout")).read_line(&mut ready).expect("a line");
        assert!(ready.starts_with("ready "), "{ready}");
        let knows =
            |group: &str| text_of(tool("bridge", "iproute2").args(["mdb", "show", "dev", "br0"]), b"").contains(group);
        wait_until("the bridge knows the group", || knows("239.1.2.3"));
        // The bridge carries what is sent to the group, and the service there answers from its own address.
        let socket = UdpSocket::bind("10.7.0.1:0").expect("bound");
        socket.set_read_timeout(Some(LIMIT)).expect("a time-out");
        socket.send_to(b"who is there?", (GROUP, 7)).expect("sent");
        let mut back = [0; 64];
        let (n, from) = socket.recv_from(&mut back).expect("echoed");
        assert_eq!((&back[..n], from.ip().to_string().as_str()), (&b"who is there?"[..], "10.7.0.2"));
        let ctl = |args: &[&str]| text_of(Command::new(PROGRAM).args(["ctl", &control]).args(args), b"");
        ctl(&["join", "239.9.9.9"]);
        wait_until("the bridge knows the other group", || knows("239.9.9.9"));
        ctl(&["leave", "239.1.2.3"]);
        wait_until("the bridge has forgotten the group", || !knows("239.1.2.3"));
        assert!(knows("239.9.9.9"));
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().is_ok_and(|s| s.success()));
        assert!(child.wait().expect("its end").success());
    });
}

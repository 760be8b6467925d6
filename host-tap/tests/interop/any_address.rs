//! A stack that answers for every address of a prefix, with the kernel at the other end.

use crate::world::{LIMIT, Link, Serve, expect_echo, octets, on_tap_and_tun, run, text_of, tool, with_limits};
use std::net::{IpAddr, TcpStream, UdpSocket};

on_tap_and_tun!(each_address_of_a_prefix_is_answered_for);

fn each_address_of_a_prefix_is_answered_for(link: Link) {
    let serve = Serve::start_with(link, &["--any", "10.9.0.0/16", "--any", "fd09::/48"]);
    // On the link, as far as the kernel knows: it asks by ARP and neighbour discovery for each.
    for args in ["-4 route add 10.8.0.0/15 dev rt0", "-6 route add fd09::/47 dev rt0"] {
        text_of(tool("ip", "iproute2").args(args.split(' ')), b"");
    }
    for (last, address) in [(1, "10.9.0.1"), (2, "10.9.200.77"), (3, "fd09::1"), (4, "fd09:0:0:77:1:2:3:4")] {
        let ip: IpAddr = address.parse().expect("an address");
        text_of(tool("ping", "iputils-ping").args(["-n", "-c", "1", "-W", "10", address]), b"");
        let stream = TcpStream::connect_timeout(&(ip, 7).into(), LIMIT).expect("connected");
        expect_echo(&mut with_limits(stream), &octets(last, 50_000));
        let udp = UdpSocket::bind(if ip.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).expect("bound");
        udp.set_read_timeout(Some(LIMIT)).expect("a time-out");
        // Answers from another address are not let in.
        udp.connect((ip, 7)).expect("a way");
        udp.send(b"hello").expect("sent");
        let mut back = [0; 16];
        assert_eq!(udp.recv(&mut back).expect("echoed"), 5, "{address}");
    }
    // Beside the prefix nobody answers.
    for address in ["10.8.0.1", "fd09:1::1"] {
        let output = run(tool("ping", "iputils-ping").args(["-n", "-c", "1", "-W", "4", address]), b"");
        assert!(!output.status.success(), "{address}");
    }
    serve.end();
}

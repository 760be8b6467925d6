//! IPv6: the kernel's sockets and tools, and the stack's own clients.

use crate::world::{
    LIMIT, Link, PROGRAM, Serve, assert_same, expect_echo, in_own_namespace, octets, on_tap_and_tun, output_of, run,
    text_of, tool, with_limits,
};
use std::io::ErrorKind;
use std::net::{Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;

/// The stack's address.
const STACK: Ipv6Addr = Ipv6Addr::new(0xfd07, 0, 0, 0, 0, 0, 0, 2);
/// The kernel's.
const KERNEL: Ipv6Addr = Ipv6Addr::new(0xfd07, 0, 0, 0, 0, 0, 0, 1);

on_tap_and_tun!(
    datagrams_of_every_kind_of_length_are_echoed,
    a_port_without_a_socket_is_refused,
    connections_carry_octets_both_ways,
    a_flood_of_pings_loses_none,
    the_stacks_clients_reach_the_kernel,
);

fn socket(port: u16) -> UdpSocket {
    let socket = UdpSocket::bind((KERNEL, 0)).expect("bound");
    socket.connect((STACK, port)).expect("connected");
    socket.set_read_timeout(Some(LIMIT)).expect("a time-out");
    socket
}

fn datagrams_of_every_kind_of_length_are_echoed(link: Link) {
    let serve = Serve::start(link);
    let socket = socket(7);
    let edges = (1..=6).flat_map(|n| [1_448 * n - 9, 1_448 * n - 8, 1_448 * n - 7]);
    for len in (0..1_500).step_by(7).chain([1_451, 1_452, 1_453]).chain(edges).chain([9_000, 60_000, 65_507]) {
        let data = octets(len as u64, len);
        assert_eq!(socket.send(&data).expect("sent"), len);
        let mut back = vec![0; 1 << 16];
        let n = socket.recv(&mut back).expect("echoed");
        assert!(back[..n] == data, "{n} octets of {len} came back");
    }
    serve.end();
}

fn a_port_without_a_socket_is_refused(link: Link) {
    let serve = Serve::start(link);
    let udp = socket(4);
    udp.send(b"anybody?").expect("sent");
    assert_eq!(udp.recv(&mut [0; 8]).expect_err("nobody").kind(), ErrorKind::ConnectionRefused);
    let tcp = TcpStream::connect((STACK, 4)).expect_err("nobody listens");
    assert_eq!(tcp.kind(), ErrorKind::ConnectionRefused);
    serve.end();
}

fn connections_carry_octets_both_ways(link: Link) {
    let serve = Serve::start(link);
    let mut streams: Vec<_> = (0..20)
        .map(|_| with_limits(TcpStream::connect_timeout(&(STACK, 7).into(), LIMIT).expect("connected")))
        .collect();
    for (n, stream) in streams.iter_mut().enumerate() {
        expect_echo(stream, &octets(n as u64, 10_000));
    }
    drop(streams);
    let data = octets(1, 3_000_000);
    let mut nc = tool("nc", "netcat-openbsd");
    assert_same(&output_of(nc.args(["-6", "-N", "fd07::2", "7"]), &data), &data);
    let mut curl = tool("curl", "curl");
    let page = output_of(curl.args(["--silent", "--show-error", "http://[fd07::2]/bytes/1000000"]), b"");
    assert_eq!(page.len(), 1_000_000);
    serve.wait_until_free();
    serve.end();
}

fn a_flood_of_pings_loses_none(link: Link) {
    let serve = Serve::start(link);
    for size in ["0", "56", "1452", "1453", "5000"] {
        let mut ping = tool("ping", "iputils-ping");
        let text = text_of(ping.args(["-6", "-q", "-f", "-c", "500", "-W", "10", "-s", size, "fd07::2"]), b"");
        assert!(text.contains("500 packets transmitted, 500 received, 0% packet loss"), "{size}: {text}");
    }
    serve.end();
}

fn the_stacks_clients_reach_the_kernel(link: Link) {
    for size in ["0", "1452", "1453", "65507"] {
        let mut ping = Command::new(PROGRAM);
        ping.args(["ping", "-6", "-c", "2", "-i", "0.05", "-s", size]).args(link.device()).arg("fd07::1");
        let text = text_of(&mut ping, b"");
        assert!(text.contains("2 sent, 2 received, 0 % lost"), "{size}: {text}");
    }
    // The kernel's end exists only while the program runs: it listens at every address.
    let listener = TcpListener::bind("[::]:4000").expect("a free port");
    let data = octets(3, 500_000);
    let echo = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut copy = stream.try_clone().expect("a copy");
        let _ = std::io::copy(&mut stream, &mut copy);
        let _ = copy.shutdown(std::net::Shutdown::Write);
    });
    let mut nc = Command::new(PROGRAM);
    nc.arg("nc").args(link.device()).args(["fd07::1", "4000"]);
    assert_same(&output_of(&mut nc, &data), &data);
    echo.join().expect("the kernel's end");
}

/// On a tap of the user's own, addresses are tried, and the kernel's link-local address serves as well.
#[test]
fn the_kernel_finds_the_stacks_link_local_address() {
    in_own_namespace(concat!(module_path!(), "::the_kernel_finds_the_stacks_link_local_address"), || {
        let serve = Serve::start(Link::Tap);
        let mut ping = tool("ping", "iputils-ping");
        // The stack's MAC address is made of its IPv4 address.
        ping.args(["-6", "-c", "3", "-i", "0.05", "fe80::72:aff:fe07:2%rt0"]);
        let output = run(&mut ping, b"");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("3 received"), "{text}");
        serve.end();
    });
}

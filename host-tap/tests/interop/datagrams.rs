//! UDP: the kernel's sockets and the echo service.

use crate::world::{LIMIT, Link, STACK, Serve, octets, on_tap_and_tun};
use std::io::ErrorKind;
use std::net::UdpSocket;

on_tap_and_tun!(
    every_size_up_to_the_mtu_is_echoed,
    datagrams_of_many_fragments_are_echoed,
    a_burst_is_answered_in_order,
    a_port_without_a_socket_is_refused,
);

fn socket(port: u16) -> UdpSocket {
    let socket = UdpSocket::bind("10.7.0.1:0").expect("bound");
    socket.connect((std::net::Ipv4Addr::from(STACK), port)).expect("connected");
    socket.set_read_timeout(Some(LIMIT)).expect("a time-out");
    socket
}

fn echo(socket: &UdpSocket, len: usize) {
    let data = octets(len as u64, len);
    assert_eq!(socket.send(&data).expect("sent"), len);
    let mut back = vec![0; 1 << 16];
    let n = socket.recv(&mut back).expect("echoed");
    assert!(back[..n] == data, "{n} octets of {len} came back");
}

fn every_size_up_to_the_mtu_is_echoed(link: Link) {
    let serve = Serve::start(link);
    let socket = socket(7);
    for len in 0..=1_472 {
        echo(&socket, len);
    }
    assert_eq!((serve.counter("udp_in"), serve.counter("reassembled")), (1_473, 0));
    serve.end();
}

fn datagrams_of_many_fragments_are_echoed(link: Link) {
    let serve = Serve::start(link);
    let socket = socket(7);
    // Around each multiple of what a fragment holds, then in strides up to the longest.
    let edges = (1..=6).flat_map(|n| [1_480 * n - 9, 1_480 * n - 8, 1_480 * n - 7]);
    for len in edges.chain((1_500..60_000).step_by(977)).chain([60_000, 65_507]) {
        echo(&socket, len);
    }
    serve.end();
}

fn a_burst_is_answered_in_order(link: Link) {
    let serve = Serve::start(link);
    let socket = socket(7);
    // What the kernel is sent while it learns our address, it may send in another order.
    echo(&socket, 1);
    for round in 0..20u64 {
        // Fewer than the socket queues, so that nothing has to be dropped however late the stack gets its turn.
        let sent: Vec<_> = (0..64).map(|i| octets(round << 8 | i, 200 + i as usize)).collect();
        for data in &sent {
            socket.send(data).expect("sent");
        }
        let mut back = [0; 2_000];
        for data in &sent {
            let n = socket.recv(&mut back).unwrap_or_else(|e| panic!("round {round}: {e}; {}", serve.stats()));
            assert!(&back[..n] == data, "round {round}: {}", serve.stats());
        }
    }
    serve.end();
}

fn a_port_without_a_socket_is_refused(link: Link) {
    let serve = Serve::start(link);
    let socket = socket(4_007);
    socket.send(b"is anybody there").expect("sent");
    let error = socket.recv(&mut [0; 100]).expect_err("nobody answers");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(serve.counter("drop.udp-no-socket"), 1);
    serve.end();
}

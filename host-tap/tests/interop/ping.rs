//! Echo requests: the kernel's raw sockets, and `ping` both ways.

use crate::world::{LIMIT, Link, PROGRAM, STACK, Serve, octets, on_tap_and_tun, text_of, tool};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::Read;
use std::net::SocketAddr;
use std::process::Command;

on_tap_and_tun!(
    every_size_up_to_the_mtu_is_echoed_octet_by_octet,
    sizes_beyond_the_mtu_are_reassembled_and_come_back_in_fragments,
    a_flood_of_pings_loses_none,
    the_stack_pings_the_kernel_with_sizes_up_to_the_longest,
);

const IDENT: [u8; 2] = [0x52, 0x54];
const IP_HEADER: usize = 20;

struct Pinger {
    socket: Socket,
    sequence: u16,
}

impl Pinger {
    fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)).expect("a raw socket");
        socket.set_read_timeout(Some(LIMIT)).expect("a time-out");
        socket.set_recv_buffer_size(1 << 20).expect("a large buffer");
        Self { socket, sequence: 0 }
    }

    /// One request; the reply must bring everything back.
    fn ping(&mut self, data: &[u8]) {
        self.sequence += 1;
        let sequence = self.sequence.to_be_bytes();
        let head = [[8, 0], [0, 0], IDENT, sequence].concat();
        let mut message = [&head, data].concat();
        let sum = checksum(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        self.socket.send_to(&message, &SocketAddr::from((STACK, 0)).into()).expect("sent");
        let mut packet = vec![0; 1 << 16];
        loop {
            let n = self.socket.read(&mut packet).expect("a reply");
            let reply = &packet[IP_HEADER..n];
            if reply[0] != 0 || reply[4..8] != message[4..8] {
                continue;
            }
            assert_eq!(checksum(reply), 0);
            assert!(&reply[8..] == data, "{} octets of {} came back", reply.len() - 8, data.len());
            return;
        }
    }
}

/// The Internet checksum, over even and odd lengths.
fn checksum(octets: &[u8]) -> u16 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |&low| u32::from(low));
    let sum: u32 = octets.chunks(2).map(word).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) as u16
}

fn every_size_up_to_the_mtu_is_echoed_octet_by_octet(link: Link) {
    let serve = Serve::start(link);
    let mut pinger = Pinger::new();
    for len in 0..=1_472 {
        pinger.ping(&octets(len, len as usize));
    }
    assert_eq!(serve.counter("reassembled"), 0);
    serve.end();
}

fn sizes_beyond_the_mtu_are_reassembled_and_come_back_in_fragments(link: Link) {
    let serve = Serve::start(link);
    let mut pinger = Pinger::new();
    let sizes = [1_473, 1_474, 1_480, 1_481, 2_000, 2_952, 2_953, 4_000, 8_972, 16_384, 30_000, 60_000, 65_507];
    for len in sizes {
        pinger.ping(&octets(len, len as usize));
    }
    assert_eq!(serve.counter("reassembled"), sizes.len() as u64);
    let most = 65_507u64.div_ceil(1_480);
    assert!(serve.counter("fragments_out") > most);
    serve.end();
}

fn a_flood_of_pings_loses_none(link: Link) {
    let serve = Serve::start(link);
    for size in ["0", "56", "1472", "5000"] {
        let mut ping = tool("ping", "iputils-ping");
        // A reply counts as lost after ten seconds.
        let text = text_of(ping.args(["-q", "-f", "-c", "2000", "-W", "10", "-s", size, "10.7.0.2"]), b"");
        assert!(text.contains("2000 packets transmitted, 2000 received, 0% packet loss"), "{size}: {text}");
    }
    serve.end();
}

fn the_stack_pings_the_kernel_with_sizes_up_to_the_longest(link: Link) {
    for size in ["0", "1472", "1473", "60000", "65507"] {
        let mut ping = Command::new(PROGRAM);
        ping.args(["ping", "-c", "3", "-i", "0.05", "-s", size]).args(link.device()).arg("10.7.0.1");
        let text = text_of(&mut ping, b"");
        assert!(text.contains("3 sent, 3 received, 0 % lost"), "{size}: {text}");
    }
}

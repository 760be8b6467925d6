//! Octets as frames, on Ethernet and without, for a stack with every kind of socket, as a host or a router.

use super::{Bytes, World, repair};
use ringtap::device::Medium;
use ringtap::ip::advertise::RouterAdvertisements;
use ringtap::ip::forward::{Forwarding, ReversePath};
use ringtap::sockets::UdpOptions;
use ringtap::stack::Identifiers;
use ringtap::tcp::{ConnectOptions, ListenOptions, TcpOptions};
use ringtap::time::Duration;
use std::net::{IpAddr, Ipv4Addr};

/// Frames that one frame draws, at most: a packet may let out what waited for it.
const DRAWN: usize = 200;

const H: [u8; 4] = [192, 0, 2, 1];
const P: [u8; 4] = [192, 0, 2, 2];

/// The first octet says what the stack is. Then each frame: how it is dressed, its length, itself.
///
/// # Panics
/// When the stack spins, loses a frame, sends what nobody may or more than it should.
pub fn frames(data: &[u8]) {
    let mut d = Bytes(data);
    let mode = d.byte();
    let medium = if mode & 1 == 0 { Medium::Ethernet } else { Medium::Ip };
    let mut w = World::new(0, medium, 2);
    for (card, text) in [(0, "192.0.2.1/24"), (0, "2001:db8::1/64"), (1, "198.51.100.1/24"), (1, "2001:db8:2::1/64")] {
        w.address(card, text);
    }
    let first = w.cards[0].0;
    if medium == Medium::Ethernet {
        w.address(0, "fe80::1/64");
        let _ = if mode & 16 == 0 { Ok(()) } else { w.stack.autoconfigure(first, Identifiers::Opaque) };
    }
    if mode & 8 != 0 {
        w.stack.set_forwarding(Some(Forwarding::with(ReversePath::Off)));
        let _ = w.stack.advertise(first, Some(RouterAdvertisements::default()));
    }
    let _ = w.stack.add_gateway(first, IpAddr::V4(Ipv4Addr::from(P)));
    let tcp = TcpOptions { rx_buffer: 4096, tx_buffer: 4096, ..TcpOptions::default() };
    let listener = w.stack.tcp_listen(None, 80, &ListenOptions { backlog: 2, tcp }).expect("a free port");
    let udp = w.stack.udp_bind(None, 5000, &UdpOptions::default()).expect("a free port");
    let echo = w.stack.icmp_bind(Some(1)).expect("room");
    let raw = if mode & 4 == 0 { None } else { w.stack.raw_bind(None).ok() };
    let _ = w.stack.join_group(first, Ipv4Addr::new(224, 0, 0, 251));
    let options = ConnectOptions { tcp, local_port: 4000, ..ConnectOptions::default() };
    let mut conns = Vec::from_iter(w.stack.tcp_connect((Ipv4Addr::from(P), 7).into(), &options));
    w.settle();
    let mut buf = [0; 2048];
    while !d.is_empty() {
        let head = d.byte();
        if head & 0xe0 == 0xe0 {
            // At most ten minutes.
            w.pass(Duration::from_millis(u64::from(d.byte()) << (head & 0x1f).min(11)));
            continue;
        }
        let len = usize::from(d.word()) % 1600;
        let frame = dressed(medium, head, d.take(len));
        let before = w.left;
        w.give(usize::from(head >> 4 & 1), frame);
        assert!(w.left - before <= DRAWN, "{} frames for one", w.left - before);
        conns.extend(w.stack.tcp_accept(listener).map(|(handle, _)| handle));
        if head & 0x40 != 0 {
            for conn in &conns {
                if let Ok(mut socket) = w.stack.tcp(*conn) {
                    let _ = socket.read(&mut buf);
                    let _ = socket.write(b"some text");
                }
            }
            while w.stack.udp(udp).expect("open").recv_from(&mut buf).is_ok() {}
            while w.stack.icmp_recv(echo, &mut buf).is_ok() {}
            while raw.is_some_and(|raw| w.stack.raw_recv(raw, &mut buf).is_ok()) {}
        }
    }
    for conn in conns {
        if let Ok(socket) = w.stack.tcp(conn) {
            socket.close();
        }
    }
    w.pass(Duration::from_secs(700));
    w.end();
}

/// The frame as it comes: as it is, or with an Ethernet header, addresses and checksums.
fn dressed(medium: Medium, head: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = body.to_vec();
    if head & 3 == 0 {
        return packet;
    }
    let six = head & 3 == 2;
    if head & 3 != 3 && packet.len() >= if six { 40 } else { 20 } {
        if six {
            packet[0] = 0x60 | packet[0] & 15;
            if head & 8 == 0 {
                let [h, p] = [1, 2].map(|n| [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, n]);
                packet[8..24].copy_from_slice(&p);
                packet[24..40].copy_from_slice(&h);
            }
        } else {
            packet[0] = 0x40 | packet[0] & 15;
            if head & 8 == 0 {
                packet[12..16].copy_from_slice(&P);
                packet[16..20].copy_from_slice(&H);
            }
        }
        repair(&mut packet);
    }
    if medium == Medium::Ip {
        return packet;
    }
    let ethertype = [0, 0x0800, 0x86dd, 0x0806][usize::from(head & 3)];
    let group = if six { [0x33, 0x33, 0, 0, 0, 1] } else { [0xff; 6] };
    let to = if head & 4 == 0 { [2, 0, 0, 0, head >> 4 & 1, 0] } else { group };
    crate::packet::ethernet(to, [2, 0, 0, 0, 0, 0x77], ethertype, &packet)
}

//! Octets as a program's calls, in any order, with handles that are open, closed or of other sockets' past lives; the stack
//! speaks with itself and with a neighbour that says what it was sent.

use super::{Bytes, World};
use crate::packet::{self, Seen};
use ringtap::device::{Link, Medium};
use ringtap::icmp::IcmpHandle;
use ringtap::ip::addr::Cidr;
use ringtap::ip::advertise::RouterAdvertisements;
use ringtap::ip::forward::Forwarding;
use ringtap::ip::route::{IfaceId, Route};
use ringtap::sockets::{UdpHandle, UdpOptions};
use ringtap::stack::Identifiers;
use ringtap::tcp::{ConnectOptions, ListenOptions, ListenerHandle, TcpHandle, TcpOptions};
use ringtap::time::Duration;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const P: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// Addresses that calls are about: ours on either link, a neighbour's, far ones, groups, nobody's.
const ADDRESSES: [&str; 14] = [
    "192.0.2.1",
    "192.0.2.2",
    "198.51.100.1",
    "198.51.100.9",
    "203.0.113.5",
    "2001:db8::1",
    "2001:db8::2",
    "fe80::1",
    "127.0.0.1",
    "0.0.0.0",
    "255.255.255.255",
    "224.0.0.251",
    "ff02::fb",
    "192.0.2.255",
];

fn address(d: &mut Bytes<'_>) -> IpAddr {
    ADDRESSES[d.below(ADDRESSES.len())].parse().expect("an address")
}

/// A port: of few, so that calls meet.
fn port(d: &mut Bytes<'_>) -> u16 {
    [0, 7, 80, 5000, 65_535][d.below(5)]
}

/// What the program has, and had.
#[derive(Default)]
struct Held {
    listeners: Vec<ListenerHandle>,
    conns: Vec<TcpHandle>,
    udp: Vec<UdpHandle>,
    echo: Vec<IcmpHandle>,
}

fn pick<T: Copy>(all: &[T], d: &mut Bytes<'_>) -> Option<T> {
    let at = d.below(16);
    all.get(all.len().checked_sub(1 + at % all.len().max(1))?).copied()
}

/// Each octet is a call, those behind it what it is about.
///
/// # Panics
/// When a call panics, the stack spins, or a frame is lost.
pub fn calls(data: &[u8]) {
    let mut d = Bytes(data);
    let mut w = World::new(0, Medium::Ethernet, 2);
    for (card, text) in [(0, "192.0.2.1/24"), (0, "2001:db8::1/64"), (0, "fe80::1/64"), (1, "198.51.100.1/24")] {
        w.address(card, text);
    }
    let mut held = Held::default();
    while !d.is_empty() {
        match d.byte() % 8 {
            0..=2 => tcp(&mut w, &mut held, &mut d),
            3 | 4 => datagrams(&mut w, &mut held, &mut d),
            5 => settings(&mut w, &mut d),
            6 => {
                let time = Duration::from_millis(u64::from(d.byte()) << d.below(10));
                let sent = w.pass(time);
                answer(&mut w, sent, &mut d);
            }
            _ => {
                let sent = w.settle();
                answer(&mut w, sent, &mut d);
            }
        }
    }
    for (_, nic) in &mut w.cards {
        (nic.link, nic.tx_room) = (Link::Up, usize::MAX);
    }
    // What nobody has accepted ends with its listener.
    for listener in held.listeners {
        let _ = w.stack.tcp_unlisten(listener);
    }
    for conn in held.conns {
        if let Ok(socket) = w.stack.tcp(conn) {
            socket.close();
        }
    }
    w.pass(Duration::from_secs(700));
    // Orphans have ended, and what they had is back.
    assert_eq!(w.stack.tcp_connections(), 0, "connections that nobody has");
    w.end();
}

/// The neighbour's answers: ARP replies, and some of what it was sent, sent back.
fn answer(w: &mut World, sent: Vec<Vec<u8>>, d: &mut Bytes<'_>) {
    for mut frame in sent.into_iter().take(32) {
        let how = d.byte();
        if how & 1 != 0 || w.cards.is_empty() {
            continue;
        }
        if let Seen::Arp(1, mac, ip, P) = packet::read(&frame) {
            let reply = packet::arp(2, [2, 0, 0, 0, 0, 0x77], P, mac, ip);
            w.give(0, packet::ethernet(mac, [2, 0, 0, 0, 0, 0x77], 0x0806, &reply));
        } else if frame.len() >= 34 && frame[12..14] == [8, 0] && how & 2 != 0 {
            // From whom it was for; ports change places, too.
            frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 0]);
            frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 0x77]);
            let (src, dst): ([u8; 4], [u8; 4]) =
                ([frame[26], frame[27], frame[28], frame[29]], [frame[30], frame[31], frame[32], frame[33]]);
            frame[26..30].copy_from_slice(&dst);
            frame[30..34].copy_from_slice(&src);
            if frame.len() >= 38 && matches!(frame[23], 6 | 17) {
                frame[34..38].rotate_left(2);
            }
            super::repair(&mut frame[14..]);
            w.give(0, frame);
        }
    }
}

fn tcp(w: &mut World, held: &mut Held, d: &mut Bytes<'_>) {
    let small = d.byte();
    let tcp = TcpOptions {
        rx_buffer: [1, 64, 2_048, 70_000][usize::from(small & 3)],
        tx_buffer: [1, 64, 2_048, 70_000][usize::from(small >> 2 & 3)],
        nagle: small & 16 == 0,
        ..TcpOptions::default()
    };
    let mut buf = [0; 3_000];
    let conn = pick(&held.conns, d).filter(|conn| w.stack.tcp(*conn).is_ok());
    match (d.byte() % 12, conn) {
        (0, _) => {
            let addr = Some(address(d)).filter(|_| small & 32 != 0);
            held.listeners.extend(w.stack.tcp_listen(addr, port(d), &ListenOptions { backlog: d.below(4), tcp }));
        }
        (1 | 2, _) => {
            let remote = SocketAddr::new(address(d), port(d));
            let local = Some(address(d)).filter(|_| small & 32 != 0);
            let options = ConnectOptions { tcp, local, local_port: port(d), ..ConnectOptions::default() };
            held.conns.extend(w.stack.tcp_connect(remote, &options));
        }
        (3, _) => {
            if let Some(listener) = pick(&held.listeners, d) {
                held.conns.extend(w.stack.tcp_accept(listener).map(|(conn, _)| conn));
            }
        }
        (4, _) => {
            if let Some(listener) = pick(&held.listeners, d).filter(|_| small & 64 != 0) {
                let _ = w.stack.tcp_unlisten(listener);
            }
        }
        (what, Some(conn)) => {
            let mut socket = w.stack.tcp(conn).expect("it was there");
            match what {
                5 => {
                    let len = usize::from(d.word()) % buf.len();
                    let read = socket.read(&mut buf[..len]);
                    assert!(read.is_err() || read.is_ok_and(|n| n <= len));
                }
                6 | 7 => {
                    let len = usize::from(d.word()) % buf.len();
                    let written = socket.write(&buf[..len]);
                    assert!(written.is_err() || written.is_ok_and(|n| n <= len));
                }
                8 => _ = socket.shutdown_write(),
                9 => socket.close(),
                10 if small & 64 != 0 => socket.abort(),
                10 => _ = socket.write_urgent(b"now"),
                _ => {
                    socket.trim();
                    let _ = (socket.info(), socket.state(), socket.unread(), socket.unacknowledged(), socket.error());
                    let _ = socket.set_dscp(small);
                }
            }
        }
        (_, None) => {}
    }
}

fn datagrams(w: &mut World, held: &mut Held, d: &mut Bytes<'_>) {
    let mut buf = [7; 4_000];
    let len = usize::from(d.word()) % buf.len();
    let to = address(d);
    let flags = d.byte();
    let iface = w.cards[d.below(w.cards.len())].0;
    match d.byte() % 8 {
        0 => {
            let options = UdpOptions {
                broadcast: flags & 1 != 0,
                share: flags & 2 != 0,
                iface: Some(iface).filter(|_| flags & 4 != 0),
                ..UdpOptions::default()
            };
            let addr = Some(to).filter(|_| flags & 8 != 0);
            held.udp.extend(w.stack.udp_bind(addr, port(d), &options));
        }
        1 => held.echo.extend(w.stack.icmp_bind(Some(u16::from(flags)).filter(|id| *id > 8))),
        2 => {
            if let Some(echo) = pick(&held.echo, d) {
                let _ = match flags & 3 {
                    0 => w.stack.icmp_close(echo).is_ok(),
                    1 => w.stack.icmp_recv(echo, &mut buf).is_ok(),
                    _ => w.stack.icmp_send(echo, to, 1, &buf[..len], None).is_ok(),
                };
            }
        }
        what => {
            let Some(Ok(mut socket)) = pick(&held.udp, d).map(|udp| w.stack.udp(udp)) else { return };
            let remote = SocketAddr::new(to, port(d));
            match what {
                3 | 4 => _ = socket.send_to(&buf[..len], remote),
                5 => _ = socket.recv_from(&mut buf[..len]),
                6 => _ = socket.connect(remote),
                _ if flags & 1 != 0 => socket.close(),
                _ => {
                    if let Ok((frame, received)) = socket.recv() {
                        let _ = socket.reply(&received, &frame[..frame.len().min(9)]);
                    } else if let Ok(reserved) = socket.reserve(len, remote) {
                        let _ = socket.send_reserved(reserved);
                    }
                }
            }
        }
    }
}

fn settings(w: &mut World, d: &mut Bytes<'_>) {
    let (addr, flags) = (address(d), d.byte());
    let card = d.below(w.cards.len());
    let iface = if flags >= 0xf8 { IfaceId::REJECT } else { w.cards[card].0 };
    let prefix = Cidr::new(addr, d.byte() % 130);
    match d.byte() % 10 {
        0 => _ = prefix.map(|cidr| w.stack.add_address(iface, cidr)),
        1 => _ = w.stack.remove_address(iface, addr),
        2 | 3 => {
            let Some(prefix) = prefix else { return };
            let gateway = Some(address(d)).filter(|_| flags & 1 != 0);
            let iface = if flags & 2 != 0 { IfaceId::BLACKHOLE } else { iface };
            let route = Route { prefix, gateway, iface, metric: u16::from(flags) };
            let _ = if flags & 4 == 0 { w.stack.add_route(route) } else { w.stack.remove_route(&route) };
        }
        4 => w.stack.set_forwarding(Some(Forwarding::default()).filter(|_| flags & 1 != 0)),
        5 => {
            let settings = RouterAdvertisements::default();
            let _ = w.stack.advertise(iface, Some(settings).filter(|_| flags & 1 != 0));
        }
        6 => {
            let _ = if flags & 1 == 0 { w.stack.join_group(iface, addr) } else { w.stack.leave_group(iface, addr) };
        }
        7 => w.cards[card].1.link = if flags & 1 == 0 { Link::Up } else { Link::Down },
        8 => _ = w.stack.autoconfigure(iface, Identifiers::Opaque),
        // A card that takes nothing more for a while, or everything again.
        _ => w.cards[card].1.tx_room = if flags & 1 == 0 { usize::MAX } else { 0 },
    }
}

//! IPv4 as a whole stack receives and sends it: headers, addresses, options, fragments on the way out.

use ringtap::error::SendError;
use ringtap::sockets::UdpOptions;
use ringtap::stats::DropReason;
use ringtap::tcp::ListenOptions;
use ringtap::time::Duration;
use ringtap_sim::Bench;
use ringtap_sim::bench::{H, H_MAC, H2, P, P_MAC, P2, Setup};
use ringtap_sim::packet::{self, Ip, SYN, Seen, Tcp};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

fn ip(a: u8, b: u8, c: u8, d: u8) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, d)
}

fn ping() -> Vec<u8> {
    packet::icmp(8, 0, [0, 1, 0, 1], b"ping")
}

fn frame(packet: &[u8]) -> Vec<u8> {
    packet::ethernet(H_MAC, P_MAC, 0x0800, packet)
}

/// A packet with its header checksum made right.
fn resummed(mut packet: Vec<u8>) -> Vec<u8> {
    let header = usize::from(packet[0] & 15) * 4;
    packet[10..12].fill(0);
    let sum = packet::checksum(&packet[..header]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// An echo, a datagram to an open port and a SYN to an open port, with their protocol numbers.
fn probes(src: Ipv4Addr, dst: Ipv4Addr) -> [(u8, Vec<u8>); 3] {
    let syn = Tcp { src: 7, dst: 80, seq: 1000, flags: SYN, window: 65_535, ..Tcp::default() };
    [(1, ping()), (17, packet::udp((src, 7), (dst, 5000), b"text")), (6, syn.build(src, dst))]
}

/// H with UDP port 5000 and TCP port 80 open.
fn open() -> (Bench, ringtap::sockets::UdpHandle) {
    let mut b = Bench::new().with_neighbors();
    b.stack.tcp_listen(None, 80, &ListenOptions::default()).expect("a free port");
    let udp = b.stack.udp_bind(None, 5000, &UdpOptions::default()).expect("a free port");
    (b, udp)
}

fn received(b: &mut Bench, udp: ringtap::sockets::UdpHandle) -> Option<Vec<u8>> {
    let mut buf = [0; 4096];
    let got = b.stack.udp(udp).expect("open").recv_from(&mut buf).ok()?;
    Some(buf[..got.len].to_vec())
}

// H019
#[test]
fn packets_with_a_broken_header_are_dropped() {
    let (mut b, _) = open();
    let good = Ip::new(P, H, 1).build(&ping());
    assert_eq!(b.give(frame(&[])), []);
    for version in (0..16).filter(|&v| v != 4) {
        let mut p = good.clone();
        p[0] = version << 4 | 5;
        assert_eq!(b.give(frame(&resummed(p))), [], "version {version}");
    }
    for ihl in 0..5 {
        let mut p = good.clone();
        p[0] = 0x40 | ihl;
        assert_eq!(b.give(frame(&p)), [], "IHL {ihl}");
    }
    for (ihl, total) in [(5, 19), (15, 59), (15, 32), (5, 0), (5, good.len() as u16 + 1), (5, 65_535)] {
        let mut p = good.clone();
        p.resize(p.len().max(60), 0);
        p.truncate(if ihl == 15 { 60 } else { good.len() });
        p[0] = 0x40 | ihl;
        p[2..4].copy_from_slice(&total.to_be_bytes());
        assert_eq!(b.give(frame(&resummed(p))), [], "IHL {ihl}, total length {total}");
    }
    for len in 0..good.len() {
        assert_eq!(b.give(frame(&good[..len])), [], "{len} octets");
    }
    for bit in 80..96 {
        let mut p = good.clone();
        p[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(b.give(frame(&p)), [], "bit {bit}");
    }
    assert_eq!(b.dropped(DropReason::Ipv4Checksum), 16);
    assert_eq!(b.dropped(DropReason::Ipv4Malformed), 5 + 6 + good.len() - 1);
    assert_eq!(b.stack.stats().dropped_total(), 1 + 15 + 5 + 6 + good.len() + 16);
    b.is_well();
}

// H020
#[test]
fn what_follows_the_total_length_is_no_payload() {
    let (mut b, udp) = open();
    let with_trailer = |protocol: u8, payload: &[u8]| {
        let mut f = frame(&Ip::new(P, H, protocol).build(payload));
        f.extend([0xee; 472]);
        f
    };
    let seen = b.give(with_trailer(1, &ping()));
    assert_eq!(seen, [Seen::Icmp(H, P, 0, 0, [0, 1, 0, 1], b"ping".to_vec())]);
    b.give(with_trailer(17, &packet::udp((P, 7), (H, 5000), b"text")));
    assert_eq!(received(&mut b, udp), Some(b"text".to_vec()));
    let iss = b.open(7, 80);
    let text = b.text(7, 80, 1001, iss + 1, b"text");
    b.nic.rx.push_back(with_trailer(6, &text.build(P, H)));
    let mut seen = b.poll();
    seen.extend(b.pass(Duration::from_millis(200)).into_iter().map(|(_, s)| s));
    let acks: Vec<_> =
        seen.iter().filter_map(|s| if let Seen::Tcp(_, _, t) = s { Some(t.ack) } else { None }).collect();
    assert_eq!(acks.last(), Some(&1005), "{seen:?}");
    b.is_well();
}

// H021
#[test]
fn impossible_sources_and_destinations_are_dropped_without_a_trace() {
    let (mut b, udp) = open();
    let sources = [
        ip(255, 255, 255, 255),
        ip(192, 0, 2, 255),
        ip(224, 0, 0, 1),
        ip(127, 0, 0, 1),
        ip(240, 0, 0, 1),
        ip(0, 0, 0, 0),
        H,
    ];
    for src in sources {
        for (protocol, payload) in probes(src, H) {
            assert_eq!(b.give(frame(&Ip::new(src, H, protocol).build(&payload))), [], "{src} {protocol}");
        }
    }
    assert_eq!(b.dropped(DropReason::MartianSource), 21);
    for dst in [ip(127, 0, 0, 1), ip(0, 0, 0, 0), ip(240, 0, 0, 1)] {
        for (protocol, payload) in probes(P, dst) {
            assert_eq!(b.give(frame(&Ip::new(P, dst, protocol).build(&payload))), [], "{dst} {protocol}");
        }
    }
    assert_eq!(b.dropped(DropReason::MartianDestination), 9);
    assert_eq!(received(&mut b, udp), None);
    assert_eq!(b.pass(Duration::from_secs(5)), [], "no SYN|ACK is owed");
    b.is_well();
}

// H021, with more than one interface.
#[test]
fn an_address_of_another_interface_of_ours_is_no_source() {
    let (b, udp) = open();
    let mut b = b.with_second_link();
    for (protocol, payload) in probes(H2, H) {
        assert_eq!(b.give(frame(&Ip::new(H2, H, protocol).build(&payload))), [], "{protocol}");
    }
    assert_eq!(b.dropped(DropReason::MartianSource), 3);
    assert_eq!(b.sent_by_other(), []);
    assert_eq!(received(&mut b, udp), None);
    // As a destination it is ours by whichever interface (RFC 1122 §3.3.4.2, the weak model).
    let seen = b.give_ip(&Ip::new(P, H2, 1), &ping());
    assert_eq!(seen, [Seen::Icmp(H2, P, 0, 0, [0, 1, 0, 1], b"ping".to_vec())]);
    b.is_well();
}

// H022
#[test]
fn malformed_options_are_dropped_and_unknown_ones_skipped() {
    let (mut b, udp) = open();
    let bad: [&[u8]; 9] = [
        &[0x9e, 0, 0, 0],
        &[0x9e, 1, 0, 0],
        &[0x9e, 5, 0, 0],
        &[1, 1, 1, 0x9e],
        &[7, 255, 4, 0],
        &[131, 2, 0, 0],
        &[131, 7, 3, 1, 2, 3, 4, 0],
        &[137, 7, 255, 1, 2, 3, 4, 0],
        &[131, 3, 4, 131, 3, 4, 0, 0],
    ];
    for options in bad {
        // To a closed port: an ICMP error would quote the options.
        for (protocol, payload) in [(1, ping()), (17, packet::udp((P, 7), (H, 9), b"text")), (99, b"x".to_vec())] {
            let header = Ip { options: options.to_vec(), ..Ip::new(P, H, protocol) };
            assert_eq!(b.give(frame(&header.build(&payload))), [], "{options:?}");
        }
    }
    assert_eq!(b.dropped(DropReason::Ipv4Options), 15);
    assert_eq!(b.dropped(DropReason::Ipv4SourceRoute), 12);
    let unknown = Ip { options: vec![0x9e, 4, 1, 2], ..Ip::new(P, H, 17) };
    b.give(frame(&unknown.build(&packet::udp((P, 7), (H, 5000), b"text"))));
    assert_eq!(received(&mut b, udp), Some(b"text".to_vec()));
    // And an error about such a packet quotes all of its header.
    let packet = unknown.build(&packet::udp((P, 7), (H, 9), b"text"));
    let seen = b.give(frame(&packet));
    assert_eq!(seen, [Seen::Icmp(H, P, 3, 3, [0; 4], packet)]);
    b.is_well();
}

// H023
#[test]
fn source_routes_are_neither_followed_nor_delivered() {
    let (mut b, udp) = open();
    for kind in [131, 137] {
        for pointer in [4, 8] {
            let options = vec![kind, 7, pointer, 198, 51, 100, 9, 0];
            for (protocol, payload) in probes(P, H) {
                let header = Ip { options: options.clone(), ..Ip::new(P, H, protocol) };
                assert_eq!(b.give(frame(&header.build(&payload))), []);
            }
        }
    }
    assert_eq!(b.dropped(DropReason::Ipv4SourceRoute), 12);
    assert_eq!(received(&mut b, udp), None);
    b.is_well();
}

fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|i| (i / 251) as u8 ^ i as u8 ^ seed).collect()
}

// H024
#[test]
fn three_long_datagrams_leave_whole_by_a_device_with_two_free_slots() {
    let (mut b, udp) = open();
    let to = SocketAddr::new(IpAddr::V4(P), 9);
    let texts: Vec<_> = (0..3).map(|n| pattern(4000, n)).collect();
    for text in &texts {
        b.stack.udp(udp).expect("open").send_to(text, to).expect("room for three");
    }
    b.nic.tx_room = 2;
    let mut seen = b.poll();
    for _ in 0..100 {
        b.now += Duration::from_millis(10);
        seen.extend(b.poll());
    }
    let shape: Vec<_> = seen
        .iter()
        .map(|s| match s {
            Seen::Fragment { offset, more, payload, .. } => (*offset, *more, payload.len()),
            other => panic!("a fragment is expected: {other:?}"),
        })
        .collect();
    let one = [(0, true, 1480), (1480, true, 1480), (2960, false, 1048)];
    assert_eq!(shape, [one, one, one].concat());
    let ids: std::collections::HashSet<_> =
        seen.iter().map(|s| if let Seen::Fragment { ident, .. } = s { *ident } else { 0 }).collect();
    assert_eq!(ids.len(), 3);
    let whole: Vec<_> = texts.iter().map(|t| Seen::Udp((H, 5000), (P, 9), t.clone())).collect();
    assert_eq!(packet::join(&seen, 17), whole);
    assert_eq!(b.stack.stats().fragments_out, 9);
    b.nic.tx_room = usize::MAX;
    b.is_well();
}

// H024, H047: what cannot be cut up is refused.
#[test]
fn without_a_pool_for_long_datagrams_they_are_refused() {
    let mut b = Bench::built(Setup { large: 0, ..Setup::default() }, |_| {}).with_neighbors();
    let udp = b.stack.udp_bind(None, 5000, &UdpOptions::default()).expect("a free port");
    let to = SocketAddr::new(IpAddr::V4(P), 9);
    for len in [1600, 4000, 65_507, 65_508, 100_000] {
        assert_eq!(b.stack.udp(udp).expect("open").send_to(&vec![7; len], to), Err(SendError::TooLong), "{len}");
    }
    let mut sent = 0;
    for len in 1400..1600 {
        match b.stack.udp(udp).expect("open").send_to(&pattern(len, 0), to) {
            Ok(()) => {
                sent += 1;
                let seen = b.poll();
                assert_eq!(packet::join(&seen, 17), [Seen::Udp((H, 5000), (P, 9), pattern(len, 0))]);
            }
            Err(e) => assert_eq!(e, SendError::TooLong),
        }
    }
    assert!(sent > 72, "all that fits one packet, at least");
    b.is_well();
}

// H155
#[test]
fn identifications_of_fragments_say_nothing_of_other_destinations() {
    let (mut b, udp) = open();
    let (to_p, far) = (SocketAddr::new(P.into(), 9), SocketAddr::new(ip(198, 51, 100, 7).into(), 9));
    let mut ids = [Vec::new(), Vec::new()];
    for n in 0..200 {
        let to = if n % 2 == 0 { to_p } else { far };
        b.stack.udp(udp).expect("open").send_to(&pattern(2000, 0), to).expect("room");
        for seen in b.poll() {
            if let Seen::Fragment { ident, offset: 0, .. } = seen {
                ids[n % 2].push(ident);
            }
        }
    }
    for own in &ids {
        assert_eq!(own.iter().collect::<std::collections::HashSet<_>>().len(), 100, "none is used again");
    }
    let distance = ids[1][0].wrapping_sub(ids[0][0]);
    assert!(!(0..=2).contains(&distance), "no counter in common is visible: {distance}");
    b.is_well();
}

#[test]
fn a_packet_comes_and_goes_by_the_second_link() {
    let mut b = Bench::new().with_neighbors().with_second_link();
    let request = Ip::new(P2, H2, 1).build(&ping());
    let seen = b.give_other(packet::ethernet(H_MAC, P_MAC, 0x0800, &request));
    assert_eq!(seen, [Seen::Icmp(H2, P2, 0, 0, [0, 1, 0, 1], b"ping".to_vec())]);
    b.is_well();
}

// RFC 1122 §3.1 and §3.2.1.3: a host is no gateway unless it is told to be one.
#[test]
fn a_packet_for_somebody_else_is_neither_taken_nor_passed_on() {
    let (b, udp) = open();
    let mut b = b.with_second_link();
    for dst in [P2, ip(192, 0, 2, 77), ip(203, 0, 113, 9)] {
        for (protocol, payload) in probes(P, dst) {
            assert_eq!(b.give(frame(&Ip::new(P, dst, protocol).build(&payload))), [], "{dst} {protocol}");
        }
    }
    assert_eq!(b.dropped(DropReason::NotOurAddress), 9);
    assert_eq!(b.sent_by_other(), []);
    assert_eq!(received(&mut b, udp), None);
    b.is_well();
}

//! ARP as a whole stack does it: what is asked, what is answered, what waits, and who is forgotten.

use ringtap::sockets::{UdpHandle, UdpOptions};
use ringtap::stack::Limits;
use ringtap::stats::DropReason;
use ringtap::time::Duration;
use ringtap_sim::Bench;
use ringtap_sim::bench::{ALL, H, H_MAC, P, P_MAC, R, R_MAC, Setup};
use ringtap_sim::packet::{self, ACK, Ip, SYN, Seen, Tcp};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

fn at(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, n)
}

fn bind(b: &mut Bench) -> UdpHandle {
    let options = UdpOptions { tx_queue: 64, ..UdpOptions::default() };
    b.stack.udp_bind(None, 0, &options).expect("a free port")
}

fn send(b: &mut Bench, socket: UdpHandle, to: Ipv4Addr, text: &[u8]) {
    let to = SocketAddr::new(IpAddr::V4(to), 9);
    b.stack.udp(socket).expect("open").send_to(text, to).expect("sent");
}

/// An ARP packet arrives for H.
fn arp(b: &mut Bench, op: u16, mac: [u8; 6], ip: Ipv4Addr) -> Vec<Seen> {
    b.give(packet::ethernet(H_MAC, mac, 0x0806, &packet::arp(op, mac, ip, [0; 6], H)))
}

fn request(target: Ipv4Addr) -> Seen {
    Seen::Arp(1, H_MAC, H, target)
}

fn texts(seen: &[Seen]) -> Vec<(Ipv4Addr, Vec<u8>)> {
    let text = |s: &Seen| match s {
        Seen::Udp(_, (to, _), text) => Some((*to, text.clone())),
        _ => None,
    };
    seen.iter().filter_map(text).collect()
}

fn known(b: &Bench, ip: Ipv4Addr) -> Option<[u8; 6]> {
    b.stack.neighbors().find(|n| n.addr == IpAddr::V4(ip)).and_then(|n| n.mac).map(|m| m.0)
}

// H001
#[test]
fn after_a_long_pause_a_neighbour_is_asked_at_once_then_once_a_second_and_the_datagram_leaves_once() {
    let mut b = Bench::new();
    let socket = bind(&mut b);
    b.now += Duration::from_secs(600);
    send(&mut b, socket, P, b"late");
    assert_eq!(b.poll(), [request(P)]);
    let later = b.pass(Duration::from_millis(1500));
    assert_eq!(later.len(), 1, "{later:?}");
    assert_eq!(later[0].1, request(P));
    b.now += Duration::from_millis(2);
    assert_eq!(texts(&arp(&mut b, 2, P_MAC, P)), [(P, b"late".to_vec())]);
    assert_eq!(b.pass(Duration::from_secs(3)), []);
    b.is_well();
}

// H002
#[test]
fn eight_neighbours_are_asked_for_at_once_and_the_one_that_answers_gets_its_packet() {
    let mut b = Bench::new();
    let sockets: Vec<_> = (0..8).map(|_| bind(&mut b)).collect();
    for (i, &s) in sockets.iter().enumerate() {
        send(&mut b, s, at(10 + i as u8), b"x");
    }
    let asked = b.poll();
    let expected: Vec<_> = (10..18).map(|n| request(at(n))).collect();
    assert_eq!(asked, expected);
    assert_eq!(texts(&arp(&mut b, 2, [2, 0, 0, 0, 0, 17], at(17))), [(at(17), b"x".to_vec())]);
    // The others are given up after three requests each.
    let rest = b.pass(Duration::from_secs(10));
    assert_eq!(rest.len(), 14, "{rest:?}");
    assert_eq!(b.dropped(DropReason::NeighborFailed), 7);
    b.with_neighbors().is_well();
}

// H003
#[test]
fn a_dead_neighbours_packets_push_out_their_own_kind_only() {
    let mut b = Bench::new();
    let socket = bind(&mut b);
    send(&mut b, socket, at(20), b"b");
    for n in 0..20u8 {
        send(&mut b, socket, at(10), &[n]);
    }
    b.poll();
    assert_eq!(b.dropped(DropReason::NeighborQueueFull), 17);
    assert_eq!(texts(&arp(&mut b, 2, [2, 0, 0, 0, 0, 20], at(20))), [(at(20), b"b".to_vec())]);
    let released = texts(&arp(&mut b, 2, [2, 0, 0, 0, 0, 10], at(10)));
    assert_eq!(released, [17, 18, 19].map(|n| (at(10), vec![n])), "the newest are kept");
    b.with_neighbors().is_well();
}

// H004
#[test]
fn a_probe_for_our_address_is_answered_and_leaves_no_entry() {
    let mut b = Bench::new();
    let seen = arp(&mut b, 1, P_MAC, Ipv4Addr::UNSPECIFIED);
    assert_eq!(seen, [Seen::Arp(2, H_MAC, H, Ipv4Addr::UNSPECIFIED)]);
    assert_eq!(b.stack.neighbors().count(), 0);
    b.nic.rx.push_back(packet::ethernet(ALL, P_MAC, 0x0806, &packet::arp(1, P_MAC, Ipv4Addr::UNSPECIFIED, [0; 6], H)));
    let frames = b.poll_raw();
    assert_eq!(frames[0][..6], P_MAC, "to the sender's MAC");
    b.with_neighbors().is_well();
}

// H005
#[test]
fn an_address_in_conflict_is_kept_reported_and_defended_once_in_ten_seconds() {
    let mut b = Bench::new().with_neighbors();
    let mut defences = 0;
    for _ in 0..250 {
        let seen = arp(&mut b, 2, [2, 0, 0, 0, 0, 0x66], H);
        defences += seen.iter().filter(|s| **s == request(H)).count();
        assert!(seen.len() <= 1, "{seen:?}");
        b.now += Duration::from_millis(100);
    }
    assert_eq!(defences, 3);
    assert_eq!(b.dropped(DropReason::ArpConflict), 250);
    assert_eq!(known(&b, H), None);
    assert_eq!(known(&b, P), Some(P_MAC));
    b.is_well();
}

// H006
#[test]
fn ten_thousand_strangers_do_not_push_out_the_neighbours_in_use() {
    let limits = Limits { neighbors: 64, ..Limits::default() };
    let mut b = Bench::built(Setup { limits, ..Setup::default() }, |_| {}).with_neighbors();
    // The whole of 10/8 is on the link as well, or there were not as many neighbours.
    b.stack.add_address(b.iface, "10.0.0.1/8".parse().expect("a prefix")).expect("room");
    b.poll();
    b.stack.tcp_listen(None, 80, &ringtap::tcp::ListenOptions::default()).expect("a free port");
    let far = Ipv4Addr::new(198, 51, 100, 7);
    let mut segment = Tcp { src: 7, dst: 80, seq: 1000, flags: SYN, window: 65_535, ..Tcp::default() };
    let from_far = |s: &Tcp| packet::ethernet(H_MAC, R_MAC, 0x0800, &Ip::new(far, H, 6).build(&s.build(far, H)));
    let seen = b.give(from_far(&segment));
    let [Seen::Tcp(_, _, answer)] = &seen[..] else { panic!("a SYN|ACK: {seen:?}") };
    segment = Tcp { seq: 1001, ack: answer.seq + 1, flags: ACK, payload: b"x".to_vec(), ..segment };
    let mut requests: std::collections::HashMap<Ipv4Addr, Vec<ringtap::time::Instant>> = Default::default();
    for n in 0..10_000u32 {
        let ip = Ipv4Addr::from(0x0a01_0000 + n);
        let mac = [2, 1, 0, 0, (n >> 8) as u8, n as u8];
        let mut seen = b.give(packet::ethernet(ALL, mac, 0x0806, &packet::arp(1, mac, ip, [0; 6], H)));
        let ping = packet::icmp(8, 0, [0, 1, 0, 1], b"");
        seen.extend(b.give(packet::ethernet(H_MAC, mac, 0x0800, &Ip::new(ip, H, 1).build(&ping))));
        // Rarely enough for R to be the one that was not used for longest.
        if n % 1000 == 0 {
            seen.extend(b.give(from_far(&segment)));
            segment.seq += 1;
        }
        for s in &seen {
            if let Seen::Arp(1, _, _, target) = s {
                requests.entry(*target).or_default().push(b.now);
            }
        }
        assert!(b.stack.neighbors().count() <= 64);
        assert_eq!(known(&b, R), Some(R_MAC), "the router stays, after {n}");
        let passed = b.pass(Duration::from_millis(2));
        for (when, s) in passed {
            if let Seen::Arp(1, _, _, target) = s {
                requests.entry(target).or_default().push(when);
                if target == R {
                    arp(&mut b, 2, R_MAC, R);
                }
            }
        }
    }
    for (target, times) in requests {
        assert!(times.windows(2).all(|w| w[1].since(w[0]) >= Duration::from_secs(1)), "{target}: {times:?}");
    }
    let conns = b.stack.tcp_connections();
    assert_eq!(conns, 1);
    let stalled = b.give(from_far(&segment));
    let acked = |s: &Seen| matches!(s, Seen::Tcp(_, _, t) if t.ack == segment.seq + 1);
    let acks = b.pass(Duration::from_millis(100)).into_iter().map(|(_, s)| s).chain(stalled).any(|s| acked(&s));
    assert!(acks, "the transfer goes on");
}

// H007
#[test]
fn malformed_frames_and_arp_packets_are_dropped_and_written_nowhere() {
    let mut b = Bench::new();
    let valid = packet::arp(1, P_MAC, P, [0; 6], H);
    for len in 0..14 {
        let frame = packet::ethernet(H_MAC, P_MAC, 0x0806, &valid)[..len].to_vec();
        assert_eq!(b.give(frame), []);
    }
    assert_eq!(b.dropped(DropReason::FrameTooShort), 14);
    assert_eq!(b.give(packet::ethernet(H_MAC, P_MAC, 0x0806, &[])), []);
    let mut bad = Vec::new();
    for (place, value) in [(1, 6), (2, 6), (3, 0xdd), (4, 8), (5, 16), (7, 0), (7, 3), (7, 4), (6, 1)] {
        let mut p = valid.clone();
        p[place] = value;
        bad.push(p);
    }
    for mac in [[0; 6], ALL, [1, 0, 0x5e, 0, 0, 1]] {
        bad.push(packet::arp(1, mac, P, [0; 6], H));
        bad.push(packet::arp(2, mac, P, H_MAC, H));
    }
    for ip in [[224, 0, 0, 1], [127, 0, 0, 1], [255, 255, 255, 255], [192, 0, 2, 255]] {
        bad.push(packet::arp(1, P_MAC, ip.into(), [0; 6], H));
    }
    bad.push(valid[..27].to_vec());
    let count = bad.len();
    for p in bad {
        assert_eq!(b.give(packet::ethernet(H_MAC, P_MAC, 0x0806, &p)), [], "{p:?}");
    }
    assert_eq!(b.dropped(DropReason::ArpMalformed), count + 1);
    // A RARP frame.
    assert_eq!(b.give(packet::ethernet(H_MAC, P_MAC, 0x8035, &packet::arp(4, P_MAC, P, H_MAC, H))), []);
    assert_eq!(b.dropped(DropReason::UnknownEtherType), 1);
    assert_eq!(b.stack.neighbors().count(), 0);
    let mut padded = packet::ethernet(ALL, P_MAC, 0x0806, &valid);
    padded.resize(60, 0xee);
    assert_eq!(b.give(padded), [Seen::Arp(2, H_MAC, H, P)]);
    assert_eq!(known(&b, P), Some(P_MAC));
    b.is_well();
}

// H008
#[test]
fn unicast_packets_in_link_layer_groups_are_dropped() {
    let mut b = Bench::new().with_neighbors();
    b.stack.tcp_listen(None, 80, &ringtap::tcp::ListenOptions::default()).expect("a free port");
    let syn = |dst| Tcp { src: 7, dst, seq: 1000, flags: SYN, window: 65_535, ..Tcp::default() }.build(P, H);
    let packets = [
        (6, syn(80)),
        (6, syn(81)),
        (17, packet::udp((P, 7), (H, 9), b"x")),
        (1, packet::icmp(8, 0, [0, 1, 0, 1], b"x")),
        (99, b"unknown".to_vec()),
    ];
    for group in [ALL, [1, 0, 0x5e, 0, 0, 1]] {
        for (protocol, payload) in &packets {
            let ip = Ip::new(P, H, *protocol).build(payload);
            assert_eq!(b.give(packet::ethernet(group, P_MAC, 0x0800, &ip)), [], "{protocol}");
        }
    }
    assert_eq!(b.dropped(DropReason::LinkBroadcast), 10);
    assert_eq!(b.pass(Duration::from_secs(5)), []);
    b.is_well();
}

// H008: also of a connection whose segments come in a train, and whose receiver is known before they are looked at.
#[test]
fn a_train_of_segments_goes_on_by_unicast_frames_only() {
    let mut b = Bench::new().with_neighbors();
    let listener = b.listen(80, 4, ringtap::tcp::TcpOptions::default());
    let (handle, iss) = b.accepted(listener, 7, 80);
    let packet = |b: &Bench, seq, text: &[u8]| Ip::new(P, H, 6).build(&b.text(7, 80, seq, iss + 1, text).build(P, H));
    let first = packet(&b, 1001, b"one");
    b.give(packet::ethernet(H_MAC, P_MAC, 0x0800, &first));
    for group in [ALL, [1, 0, 0x5e, 0, 0, 1]] {
        let grouped = packet(&b, 1004, b"by a group");
        b.give(packet::ethernet(group, P_MAC, 0x0800, &grouped));
    }
    assert_eq!(b.dropped(DropReason::LinkBroadcast), 2);
    let second = packet(&b, 1004, b"two");
    b.give(packet::ethernet(H_MAC, P_MAC, 0x0800, &second));
    let mut read = [0; 32];
    assert_eq!(b.stack.tcp(handle).expect("open").read(&mut read), Ok(6));
    assert_eq!(&read[..6], b"onetwo");
    b.is_well();
}

// RFC 1122 §2.3.3: a host should receive RFC 1042 packets.
#[test]
fn packets_in_ieee_802_framing_are_taken_and_answered_in_ethernet_framing() {
    let mut b = Bench::new().with_neighbors();
    let framed = |length: usize, snap: [u8; 6], ethertype: u16, packet: &[u8]| {
        let mut payload = snap.to_vec();
        payload.extend(ethertype.to_be_bytes());
        payload.extend(packet);
        payload.extend([0xee; 9]);
        packet::ethernet(H_MAC, P_MAC, length as u16, &payload)
    };
    let ping = Ip::new(P, H, 1).build(&packet::icmp(8, 0, [0, 1, 0, 2], b"802"));
    let snap = [0xaa, 0xaa, 3, 0, 0, 0];
    let seen = b.give(framed(8 + ping.len(), snap, 0x0800, &ping));
    assert_eq!(seen, [Seen::Icmp(H, P, 0, 0, [0, 1, 0, 2], b"802".to_vec())]);
    let who = packet::arp(1, P_MAC, P, [0; 6], H);
    assert_eq!(b.give(framed(8 + who.len(), snap, 0x0806, &who)).len(), 1, "a request is answered");
    // Another protocol, another organization, a length that lies, and one that leaves no room for LLC and SNAP.
    b.give(framed(8 + ping.len(), [0x42, 0x42, 3, 0, 0, 0], 0x0800, &ping));
    b.give(framed(8 + ping.len(), [0xaa, 0xaa, 3, 0, 0, 1], 0x0800, &ping));
    b.give(framed(8 + ping.len() + 10, snap, 0x0800, &ping));
    b.give(framed(7, snap, 0x0800, &ping));
    assert_eq!(b.dropped(DropReason::UnknownEtherType), 4);
    b.is_well();
}

// H144, the part of the frames that wait for neighbours.
#[test]
fn at_most_a_quarter_of_the_pool_waits_for_neighbours_that_do_not_answer() {
    let mut b = Bench::with(16, |_| {}).with_neighbors();
    b.stack.tcp_listen(None, 80, &ringtap::tcp::ListenOptions::default()).expect("a free port");
    for n in 0..64 {
        let (ip, mac) = (at(100 + n), [2, 2, 0, 0, 0, n]);
        let syn = Tcp { src: 7, dst: 80, seq: 1000, flags: SYN, window: 65_535, ..Tcp::default() };
        for (protocol, payload) in [
            (1, packet::icmp(8, 0, [0, 1, 0, 1], b"x")),
            (17, packet::udp((ip, 7), (H, 9), b"x")),
            (6, syn.build(ip, H)),
        ] {
            b.give(packet::ethernet(H_MAC, mac, 0x0800, &Ip::new(ip, H, protocol).build(&payload)));
            assert!(b.frames_in_use() <= 4, "{} frames parked", b.frames_in_use());
        }
        let ping = packet::icmp(8, 0, [0, 7, 0, 9], b"P");
        let seen = b.give_ip(&Ip::new(P, H, 1), &ping);
        assert!(seen.contains(&Seen::Icmp(H, P, 0, 0, [0, 7, 0, 9], b"P".to_vec())), "P is answered: {seen:?}");
    }
    b.pass(Duration::from_secs(200));
    b.with_neighbors().is_well();
}

//! Packets that nobody should send, in bulk: garbled IPv6 frames, queriers that lie, floods of fragments; and honest
//! traffic beside them and after them.

use ringtap::error::RecvError;
use ringtap::sockets::{UdpHandle, UdpOptions};
use ringtap::stack::{SourceFilter, Stack};
use ringtap::stats::DropReason;
use ringtap::tcp::{ListenOptions, TcpOptions};
use ringtap::time::{Duration, Instant};
use ringtap_sim::bench::{H, H_MAC, P, P_MAC, Setup};
use ringtap_sim::hostile::{Client, Victim, mangle};
use ringtap_sim::packet::{self, ACK, FIN, Ip, RST, SYN, Seen, Tcp};
use ringtap_sim::six::{self, ALL_NODES, Ip6, P_LL, piece};
use ringtap_sim::{Bench, SimRng};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How many messages a run has; RINGTAP_HOSTILE makes it more.
fn rounds(usual: usize) -> usize {
    std::env::var("RINGTAP_HOSTILE").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

/// A program that reads what comes.
struct Reading(UdpHandle, Vec<Vec<u8>>);

impl Client for Reading {
    fn poll(&mut self, stack: &mut Stack<'static>, _: Instant) -> bool {
        let mut buf = vec![0; 9_000];
        loop {
            match stack.udp(self.0).expect("open").recv_from(&mut buf) {
                Ok(got) => self.1.push(buf[..got.len].to_vec()),
                Err(RecvError::WouldBlock) => return false,
                Err(_) => {}
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }
}

fn reading(b: &mut Bench) -> Reading {
    let options = UdpOptions { rx_queue: 32, ..UdpOptions::default() };
    Reading(b.stack.udp_bind(None, 5000, &options).expect("a port"), vec![])
}

/// One of each kind of IPv6 packet that a stack may meet.
fn corpus() -> Vec<Vec<u8>> {
    let to_h = |next, payload: &[u8]| Ip6::to_h(next).build(payload);
    let udp = six::udp((six::P, 7), (six::H, 5000), b"some text");
    let opts = |next: u8, first: u8| [&[next, 1, first, 4, 0, 0, 0, 0, 1, 6, 0, 0, 0, 0, 0, 0][..], &udp].concat();
    let quoted = Ip6::new(six::H, six::P, 17).build(&six::udp((six::H, 5000), (six::P, 7), b"text"));
    let quoted_tcp = Ip6::new(six::H, six::P, 6).build(&six::tcp(&Tcp { src: 80, ..Tcp::default() }, six::H, six::P));
    let error = |kind, code, quote: &[u8]| six::icmp(six::P, six::H, kind, code, [0, 0, 5, 0], quote);
    let mut all = vec![
        to_h(17, &udp),
        to_h(58, &six::icmp(six::P, six::H, 128, 0, [0, 1, 0, 1], &[7; 64])),
        to_h(0, &opts(17, 0x1e)),
        to_h(60, &opts(17, 0x9e)),
        to_h(43, &[&[17, 2, 0, 0][..], &[0; 20], &udp].concat()),
        to_h(44, &piece(17, 0, true, 7, &[&udp[..], &[0; 7]].concat())),
        to_h(44, &piece(17, 24, false, 7, &[1; 9])),
        to_h(44, &piece(60, 0, false, 8, &opts(17, 0x1e))),
        to_h(59, &[1; 8]),
        to_h(200, &[1; 8]),
        to_h(58, &error(1, 4, &quoted)),
        to_h(58, &error(2, 0, &quoted_tcp)),
        to_h(58, &error(3, 0, &quoted_tcp)),
        to_h(58, &error(4, 1, &quoted)),
        six::solicit(P_LL, six::node_group(six::H), six::H, Some(P_MAC)),
        six::advert(P_LL, six::H_LL, P_LL, 0x60, Some(P_MAC)),
    ];
    for flags in [SYN, ACK, SYN | ACK, FIN | ACK, RST, 0xff] {
        let options = vec![2, 4, 5, 0xa0, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 3, 3, 7, 0];
        let tcp = Tcp { src: 4_000, dst: 80, seq: 1_000, flags, window: 5_000, options, ..Tcp::default() };
        all.push(to_h(6, &six::tcp(&tcp, six::P, six::H)));
    }
    all
}

/// Writes right checksums and lengths where the packet is whole enough, so that what is behind them is reached.
fn repair(packet: &mut [u8]) {
    if packet.len() < 48 {
        return;
    }
    let len = (packet.len() - 40) as u16;
    packet[0] = 0x60;
    packet[4..6].copy_from_slice(&len.to_be_bytes());
    let (mut next, mut at) = (packet[6], 40);
    while matches!(next, 0 | 43 | 60) && at + 8 < packet.len() {
        next = packet[at];
        at += 8 + usize::from(packet[at + 1]) * 8;
    }
    let place = match next {
        6 => 16,
        17 => 6,
        58 => 2,
        _ => return,
    };
    if at + place + 2 > packet.len() {
        return;
    }
    packet[at + place..at + place + 2].fill(0);
    let upper = (packet.len() - at) as u32;
    let pseudo = [&packet[8..40], &upper.to_be_bytes(), &[0, 0, 0, next], &packet[at..]].concat();
    let sum = packet::checksum(&pseudo);
    packet[at + place..at + place + 2].copy_from_slice(&sum.to_be_bytes());
}

fn frame(packet: &[u8]) -> Vec<u8> {
    packet::ethernet(H_MAC, P_MAC, 0x86dd, packet)
}

// H150, of IPv6.
#[test]
fn garbled_ipv6_frames_neither_panic_nor_leak_nor_hang() {
    let mut b = six::bench();
    let tcp = TcpOptions { rx_buffer: 4_096, tx_buffer: 4_096, ..TcpOptions::default() };
    b.stack.tcp_listen(None, 80, &ListenOptions { backlog: 8, tcp }).expect("a free port");
    let client = reading(&mut b);
    let mut v = Victim::new(b, client, 7);
    let corpus = corpus();
    for packet in &corpus {
        // Every truncation, with and without the length cut as well.
        for len in 0..packet.len() {
            let mut cut = packet[..len].to_vec();
            v.give(frame(&cut));
            repair(&mut cut);
            v.give(frame(&cut));
        }
    }
    for n in 0..rounds(40_000) {
        let mut packet = corpus[v.rng.below(corpus.len() as u64) as usize].clone();
        mangle(&mut packet, &mut v.rng);
        if v.rng.chance(0.3) {
            mangle(&mut packet, &mut v.rng);
        }
        if v.rng.chance(0.75) {
            repair(&mut packet);
        }
        v.give(frame(&packet));
        if n % 8 == 0 {
            v.pass(v.rng.clone().below(100));
        }
        if n % 1_000 == 0 {
            v.client.1.clear();
            v.give(frame(&corpus[0]));
            assert_eq!(v.client.1, [b"some text"], "honest datagrams pass");
        }
    }
    v.is_bounded(2, 5_000);
    v.pass(200_000);
    v.give(frame(&six::solicit(six::P, six::node_group(six::H), six::H, Some(P_MAC))));
    six::is_well(&mut v.b);
}

/// What H has said of groups, of both families.
fn told(frames: &[Vec<u8>]) -> usize {
    let igmp = |f: &&Vec<u8>| f[12..14] == [8, 0] && f[23] == 2;
    let mld = |f: &&Vec<u8>| f[12..14] == [0x86, 0xdd] && f[20] == 0;
    frames.iter().filter(|f| igmp(f) || mld(f)).count()
}

/// A garbled query or report of a family, about these groups or all.
fn lying_query(rng: &mut SimRng, g4: Ipv4Addr, g6: Ipv6Addr) -> Vec<u8> {
    let code = rng.next_u64() as u8;
    let sources = [[192, 0, 2, 2], [192, 0, 2, 9]].concat();
    let group = if rng.chance(0.5) { g4 } else { Ipv4Addr::UNSPECIFIED };
    if rng.chance(0.5) {
        let kind = [0x11, 0x11, 0x11, 0x16, 0x17, 0x22][rng.below(6) as usize];
        let tail = [&[code, rng.next_u64() as u8, 0, 2][..], &sources].concat();
        let mut m = [&[kind, code, 0, 0][..], &group.octets(), &tail[..if rng.chance(0.5) { 12 } else { 0 }]].concat();
        mangle(&mut m, rng);
        if m.len() >= 4 {
            m[2..4].fill(0);
            let sum = packet::checksum(&m);
            m[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        let options = if rng.chance(0.9) { vec![148, 4, 0, 0] } else { vec![] };
        let to = Ipv4Addr::new(224, 0, 0, 1);
        let ip = Ip { ttl: 1, options, ..Ip::new(P, to, 2) };
        packet::ethernet([1, 0, 0x5e, 0, 0, 1], P_MAC, 0x0800, &ip.build(&m))
    } else {
        let kind = [130, 130, 130, 131, 132, 143][rng.below(6) as usize];
        let group = if rng.chance(0.5) { g6 } else { Ipv6Addr::UNSPECIFIED };
        let tail = [&[code, 9, 0, 1][..], &six::P.octets()].concat();
        let tail = if rng.chance(0.5) { &tail[..] } else { &[] };
        let mut rest = [&[0, code, 0, 0][..], &group.octets(), tail].concat();
        mangle(&mut rest, rng);
        rest.resize(rest.len().max(4), 0);
        let head: [u8; 4] = rest[..4].try_into().expect("four");
        let message = six::icmp(P_LL, ALL_NODES, kind, 0, head, &rest[4..]);
        let hop = [58, 0, 5, 2, 0, 0, 1, 0];
        let packet = Ip6 { hops: 1, ..Ip6::new(P_LL, ALL_NODES, 0) }.build(&[&hop[..], &message].concat());
        packet::ethernet(six::group_mac(ALL_NODES), P_MAC, 0x86dd, &packet)
    }
}

#[test]
fn thousands_of_lying_queriers_messages_are_answered_at_a_bounded_rate_and_groups_stay_as_they_are() {
    let mut b = six::bench().with_live_neighbors();
    let client = reading(&mut b);
    let (g4, g6) = (Ipv4Addr::new(239, 1, 2, 3), Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0, 0x77));
    b.stack.join_group(b.iface, IpAddr::V6(g6)).expect("room");
    let only = [IpAddr::V4(P)];
    let filter = SourceFilter::Include(&only);
    b.stack.udp(client.0).expect("open").set_source_filter(b.iface, IpAddr::V4(g4), filter).expect("room");
    let mut v = Victim::new(b, client, 8);
    v.pass(30_000);
    let before: Vec<IpAddr> = v.b.stack.groups(v.b.iface).collect();
    v.left = 0;
    for n in 0..rounds(20_000) {
        let frame = lying_query(&mut v.rng, g4, g6);
        v.give(frame);
        if n % 4 == 0 {
            v.pass(v.rng.clone().below(400));
        }
    }
    // An answer for each group and question at most.
    v.is_bounded(3, 100);
    assert_eq!(v.b.stack.groups(v.b.iface).collect::<Vec<_>>(), before);
    // Whatever version is spoken by now, a new group is told of, and its traffic is had.
    let new = Ipv4Addr::new(239, 9, 9, 9);
    v.pass(60_000);
    v.b.stack.join_group(v.b.iface, IpAddr::V4(new)).expect("room");
    assert!(told(&v.pass(11_000)) >= 1);
    v.client.1.clear();
    let udp = packet::udp((P, 9), (new, 5000), b"for the group");
    v.give(packet::ethernet([1, 0, 0x5e, 9, 9, 9], P_MAC, 0x0800, &Ip::new(P, new, 17).build(&udp)));
    assert_eq!(v.client.1, [b"for the group"]);
    assert_eq!(v.b.frames_in_use(), 0);
}

// What a flood of fragments may hold: a frame of the pool for long datagrams for each place (`Limits::reassembly`), and
// nothing of the interface's own pool.
#[test]
fn a_flood_of_fragments_costs_its_stated_memory_and_honest_datagrams_pass_in_both_families() {
    let setup = Setup { frames: 32, ..Setup::default() };
    let places = setup.limits.reassembly;
    let mut b = Bench::built(setup, |c| c.dad_transmits = 0).with_neighbors();
    b.stack.add_address(b.iface, "2001:db8::1/64".parse().expect("valid text")).expect("a host address");
    let client = reading(&mut b);
    let mut v = Victim::new(b, client, 9);
    v.give(frame(&six::solicit(six::P, six::node_group(six::H), six::H, Some(P_MAC))));
    let free = v.b.pool().free();
    for n in 0..rounds(30_000) as u32 {
        let rng = &mut v.rng;
        let len = 8 * (1 + rng.below(90) as usize);
        let offset = 8 * rng.below(8_100) as usize;
        let more = rng.chance(0.9);
        let flood = if n % 2 == 0 {
            let src = Ipv4Addr::from(0xc000_0200 + 3 + rng.below(200) as u32);
            let ip = Ip { ident: n as u16, ..Ip::new(src, H, 17) };
            packet::ethernet(H_MAC, P_MAC, 0x0800, &packet::fragment(&ip, offset, more, &vec![0; len]))
        } else {
            let src = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 1, rng.below(200) as u16);
            frame(&Ip6::new(src, six::H, 44).build(&piece(17, offset, more, n, &vec![0; len])))
        };
        v.give(flood);
        assert!(v.b.frames_in_use() <= places, "{} frames for {places} places", v.b.frames_in_use());
        assert_eq!(v.b.pool().free(), free, "none of the interface's own");
        if n % 500 == 0 {
            v.pass(1_000);
            v.client.1.clear();
            let text: Vec<u8> = (0..3_000u32).map(|i| (i / 7 + n) as u8).collect();
            let ip = Ip { ident: n as u16, ..Ip::new(P, H, 17) };
            for f in packet::fragments(&ip, &packet::udp((P, 7), (H, 5000), &text), 1_480) {
                v.give(packet::ethernet(H_MAC, P_MAC, 0x0800, &f));
            }
            let whole = six::udp((six::P, 7), (six::H, 5000), &text);
            let count = whole.len().div_ceil(1_200);
            for (k, part) in whole.chunks(1_200).enumerate() {
                v.give(frame(&Ip6::to_h(44).build(&piece(17, k * 1_200, k + 1 < count, u32::MAX - n, part))));
            }
            v.give(packet::ethernet(
                H_MAC,
                P_MAC,
                0x0800,
                &Ip::new(P, H, 17).build(&packet::udp((P, 7), (H, 5000), b"short")),
            ));
            assert_eq!(v.client.1, [text.clone(), text, b"short".to_vec()], "amid {n} fragments");
        }
    }
    assert!(v.b.dropped(DropReason::FragmentEvicted) > 10_000);
    v.pass(70_000);
    assert_eq!(v.b.frames_in_use(), 0);
    let ping = packet::icmp(8, 0, [0, 7, 0, 9], b"are you well?");
    let seen = v.b.give_ip(&Ip::new(P, H, 1), &ping);
    assert!(seen.iter().any(|s| matches!(s, Seen::Icmp(H, P, 0, 0, ..))), "{seen:?}");
    v.b.pass(Duration::from_secs(1));
}

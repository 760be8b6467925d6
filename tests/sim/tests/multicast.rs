//! IPv4 groups on a whole stack: what is told of them, and who gets what is sent to them.

use ringtap::device::Mac;
use ringtap::error::GroupError;
use ringtap::sockets::{UdpHandle, UdpOptions};
use ringtap::stack::{MAX_GROUPS, SourceFilter};
use ringtap::stats::DropReason;
use ringtap::time::Duration;
use ringtap_sim::Bench;
use ringtap_sim::bench::{H, P, P_MAC, R};
use ringtap_sim::packet::{self, Ip};
use std::net::{IpAddr, Ipv4Addr};

const G: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);

/// An IGMP packet: to which MAC and IP address, and the message.
type Told = ([u8; 6], Ipv4Addr, Vec<u8>);

/// Time passes; what was told of groups.
fn pass(b: &mut Bench, time: Duration) -> Vec<Told> {
    let end = b.now + time;
    let mut all = Vec::new();
    loop {
        for f in b.poll_raw() {
            if f[12..14] != [8, 0] || f[23] != 2 {
                continue;
            }
            let (ip, message) = (&f[14..38], &f[38..]);
            assert_eq!((ip[0], ip[8]), (0x46, 1), "an option, TTL 1");
            assert_eq!(ip[20..24], [148, 4, 0, 0], "Router Alert");
            assert_eq!(packet::checksum(ip), 0);
            assert_eq!(packet::checksum(message), 0);
            assert_eq!(usize::from(ip[3]), f.len() - 14);
            assert_eq!(ip[12..16], H.octets());
            let dst: [u8; 4] = ip[16..20].try_into().expect("four");
            all.push((f[..6].try_into().expect("six"), dst.into(), message.to_vec()));
        }
        match b.stack.next_deadline() {
            Some(at) if at <= end => b.now = b.now.max(at),
            _ => {
                b.now = end;
                return all;
            }
        }
    }
}

/// A packet of P's to a group.
fn give(b: &mut Bench, group: Ipv4Addr, protocol: u8, ttl: u8, payload: &[u8]) {
    let [_, y, z, w] = group.octets();
    let ip = Ip { ttl, ..Ip::new(P, group, protocol) }.build(payload);
    b.nic.rx.push_back(packet::ethernet([1, 0, 0x5e, y & 0x7f, z, w], P_MAC, 0x0800, &ip));
}

fn query(code: u8, group: Ipv4Addr, long: &[u8]) -> Vec<u8> {
    let mut m = [&[0x11, code, 0, 0][..], &group.octets(), long].concat();
    let c = packet::checksum(&m);
    m[2..4].copy_from_slice(&c.to_be_bytes());
    m
}

fn bench() -> Bench {
    Bench::new().with_neighbors()
}

// H117, H118
#[test]
fn joining_and_leaving_are_told_to_the_routers_of_version_3() {
    let mut b = bench();
    b.stack.join_group(b.iface, G).expect("room");
    let routers = ([1, 0, 0x5e, 0, 0, 22], Ipv4Addr::new(224, 0, 0, 22));
    for record in [4, 3] {
        let told = pass(&mut b, Duration::from_secs(5));
        assert_eq!(told.len(), 2, "{told:?}");
        for (mac, ip, message) in told {
            assert_eq!((mac, ip), routers);
            assert_eq!(message[..2], [0x22, 0]);
            assert_eq!(message[6..], [&[0, 1, record, 0, 0, 0][..], &G.octets()].concat());
        }
        if record == 4 {
            assert_eq!(b.stack.groups(b.iface).collect::<Vec<_>>(), [IpAddr::V4(G)]);
            b.stack.leave_group(b.iface, G).expect("joined");
        }
    }
    assert_eq!(b.stack.leave_group(b.iface, G), Err(GroupError::NotJoined));
    assert_eq!(b.stack.next_deadline(), None);
    b.is_well();
}

// H117, H120
#[test]
fn a_querier_of_version_2_is_spoken_to_in_version_2() {
    let mut b = bench();
    give(&mut b, ALL_HOSTS, 2, 1, &query(100, Ipv4Addr::UNSPECIFIED, &[]));
    b.poll();
    b.stack.join_group(b.iface, G).expect("room");
    let told = pass(&mut b, Duration::from_secs(20));
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|t| t.0 == [1, 0, 0x5e, 1, 2, 3] && t.1 == G && t.2[0] == 0x16), "{told:?}");
    b.stack.leave_group(b.iface, G).expect("joined");
    let told = pass(&mut b, Duration::from_secs(20));
    assert!(matches!(&told[..], [(_, ip, m)] if *ip == Ipv4Addr::new(224, 0, 0, 2) && m[0] == 0x17), "{told:?}");
    b.is_well();
}

// H118
#[test]
fn a_join_that_finds_no_frame_is_told_once_there_is_one() {
    let mut b = bench();
    let all: Vec<_> = std::iter::from_fn(|| b.pool().take(0)).collect();
    b.stack.join_group(b.iface, G).expect("room");
    assert_eq!(pass(&mut b, Duration::from_secs(5)), []);
    drop(all);
    assert_eq!(pass(&mut b, Duration::from_secs(5)).len(), 2);
    b.is_well();
}

// H119
#[test]
fn a_query_is_answered_and_a_forged_or_broken_one_is_not() {
    let mut b = bench();
    b.stack.join_group(b.iface, G).expect("room");
    pass(&mut b, Duration::from_secs(5));
    let good = query(100, Ipv4Addr::UNSPECIFIED, &[2, 125, 0, 0]);
    let mut damaged = good.clone();
    damaged[1] ^= 1;
    give(&mut b, ALL_HOSTS, 2, 64, &good);
    give(&mut b, ALL_HOSTS, 2, 1, &damaged);
    give(&mut b, ALL_HOSTS, 2, 1, &query(100, Ipv4Addr::UNSPECIFIED, &[2, 125, 0, 1]));
    give(&mut b, ALL_HOSTS, 2, 1, &good[..7]);
    b.give_ip(&Ip { ttl: 1, ..Ip::new(P, H, 2) }, &good);
    assert_eq!(pass(&mut b, Duration::from_secs(20)), []);
    assert_eq!(b.dropped(DropReason::IgmpMalformed), 5);
    give(&mut b, ALL_HOSTS, 2, 1, &good);
    let told = pass(&mut b, Duration::from_secs(10));
    assert!(matches!(&told[..], [(_, _, m)] if m[8] == 2), "IS_EX: {told:?}");
    b.is_well();
}

// H121
#[test]
fn a_full_group_table_says_so() {
    let mut b = bench();
    for n in 0..MAX_GROUPS as u8 {
        b.stack.join_group(b.iface, Ipv4Addr::new(239, 0, 0, n)).expect("room");
    }
    assert_eq!(b.stack.join_group(b.iface, G), Err(GroupError::Full));
    assert_eq!(b.stack.join_group(b.iface, H), Err(GroupError::NotAGroup));
    assert_eq!(b.stack.join_group(b.iface, ALL_HOSTS), Ok(()));
    assert_eq!(pass(&mut b, Duration::from_secs(5)).len(), 2 * MAX_GROUPS);
    b.is_well();
}

#[test]
fn several_sockets_on_one_group_and_port_each_get_a_copy() {
    let mut b = bench();
    b.stack.join_group(b.iface, G).expect("room");
    let shared = UdpOptions { share: true, ..UdpOptions::default() };
    let sockets: Vec<_> =
        (0..3).map(|_| b.stack.udp_bind(Some(IpAddr::V4(G)), 5000, &shared).expect("shared")).collect();
    give(&mut b, G, 17, 1, &packet::udp((P, 9), (G, 5000), b"to all"));
    b.poll();
    for socket in sockets {
        let mut buf = [0; 16];
        let received = b.stack.udp(socket).expect("open").recv_from(&mut buf).expect("a copy");
        assert_eq!((&buf[..received.len], received.to.ip()), (&b"to all"[..], IpAddr::V4(G)));
    }
    pass(&mut b, Duration::from_secs(5));
    b.is_well();
}

/// Whether a socket has received something, which is then gone.
fn received(b: &mut Bench, socket: UdpHandle) -> bool {
    b.stack.udp(socket).expect("open").recv_from(&mut [0; 64]).is_ok()
}

/// RFC 9776 §3.1: each socket's filter is its own, whatever the interface receives for another.
#[test]
fn sockets_get_what_the_sources_of_their_filters_send_and_no_more() {
    let mut b = bench();
    let shared = UdpOptions { share: true, ..UdpOptions::default() };
    let [includes, excludes, all] =
        [0; 3].map(|_| b.stack.udp_bind(Some(IpAddr::V4(G)), 5000, &shared).expect("shared"));
    let p = [IpAddr::V4(P)];
    let iface = b.iface;
    let filter = |b: &mut Bench, socket, filter| {
        b.stack.udp(socket).expect("open").set_source_filter(iface, IpAddr::V4(G), filter)
    };
    let records = |told: &[Told]| told.iter().map(|t| t.2[8..].to_vec()).collect::<Vec<_>>();
    filter(&mut b, includes, SourceFilter::Include(&p)).expect("room");
    let allow = [&[5, 0, 0, 1][..], &G.octets(), &P.octets()].concat();
    assert_eq!(records(&pass(&mut b, Duration::from_secs(5))), [allow.clone(), allow]);
    filter(&mut b, excludes, SourceFilter::Exclude(&p)).expect("room");
    let to_exclude = [&[4, 0, 0, 0][..], &G.octets()].concat();
    assert_eq!(records(&pass(&mut b, Duration::from_secs(5))), [to_exclude.clone(), to_exclude]);
    for (from, expected) in [(P, [true, false, true]), (R, [false, true, true])] {
        let datagram = packet::udp((from, 9), (G, 5000), b"to some");
        let ip = Ip { ttl: 1, ..Ip::new(from, G, 17) }.build(&datagram);
        b.nic.rx.push_back(packet::ethernet([1, 0, 0x5e, 1, 2, 3], P_MAC, 0x0800, &ip));
        b.poll();
        assert_eq!([includes, excludes, all].map(|s| received(&mut b, s)), expected, "{from}");
    }
    // A group of a source that cannot be, of an interface that is not there; and what is closed wants nothing.
    let bad = [IpAddr::V4(Ipv4Addr::new(255, 255, 255, 255))];
    assert_eq!(filter(&mut b, all, SourceFilter::Include(&bad)), Err(GroupError::BadSource));
    let six = ["2001:db8::1".parse().expect("valid text")];
    assert_eq!(filter(&mut b, all, SourceFilter::Include(&six)), Err(GroupError::BadSource));
    b.stack.udp(excludes).expect("open").close();
    let to_include = [&[3, 0, 0, 1][..], &G.octets(), &P.octets()].concat();
    assert_eq!(records(&pass(&mut b, Duration::from_secs(5))), [to_include.clone(), to_include]);
    b.stack.udp(includes).expect("open").close();
    let block = [&[6, 0, 0, 1][..], &G.octets(), &P.octets()].concat();
    assert_eq!(records(&pass(&mut b, Duration::from_secs(5))), [block.clone(), block]);
    assert_eq!(b.stack.groups(b.iface).count(), 0);
    b.is_well();
}

/// The card receives what was joined and what sockets are bound to, and nothing else of groups.
#[test]
fn the_cards_filter_follows_what_is_joined_and_bound() {
    let mut b = bench();
    b.nic.filters = true;
    let mac = |g: Ipv4Addr| Mac([1, 0, 0x5e, g.octets()[1] & 0x7f, g.octets()[2], g.octets()[3]]);
    let receives = |b: &mut Bench, g: Ipv4Addr| {
        b.poll();
        b.nic.groups.as_ref().expect("the card was told").contains(&mac(g))
    };
    assert!(receives(&mut b, ALL_HOSTS) && !receives(&mut b, G));
    let other = Ipv4Addr::new(239, 9, 9, 9);
    let any = b.stack.udp_bind(None, 5000, &UdpOptions::default()).expect("free");
    let datagram = |g| packet::udp((P, 9), (g, 5000), b"to all");
    give(&mut b, G, 17, 1, &datagram(G));
    b.poll();
    assert!(!received(&mut b, any), "the card has not received it");
    b.stack.join_group(b.iface, G).expect("room");
    assert!(receives(&mut b, G));
    give(&mut b, G, 17, 1, &datagram(G));
    b.poll();
    assert!(received(&mut b, any));
    let bound = b.stack.udp_bind(Some(IpAddr::V4(other)), 5001, &UdpOptions::default()).expect("free");
    assert!(receives(&mut b, other));
    b.stack.udp(bound).expect("open").close();
    b.stack.leave_group(b.iface, G).expect("joined");
    assert!(!receives(&mut b, other) && !receives(&mut b, G));
    pass(&mut b, Duration::from_secs(5));
    b.is_well();
}

/// A card is told of 24 groups at most; with more it receives all, or at least the first.
#[test]
fn with_more_groups_than_a_card_is_told_of_it_receives_all() {
    for lacks_all_groups in [false, true] {
        let mut b = bench();
        (b.nic.filters, b.nic.lacks_all_groups) = (true, lacks_all_groups);
        let group = |n: u8| Ipv4Addr::new(239, 7, 7, n);
        let sockets: Vec<_> = (0..40)
            .map(|n| b.stack.udp_bind(Some(IpAddr::V4(group(n))), 5000, &UdpOptions::default()).expect("free"))
            .collect();
        b.poll();
        assert_eq!(b.nic.groups.as_ref().map(Vec::len), lacks_all_groups.then_some(24));
        for (n, socket) in sockets.iter().enumerate() {
            let datagram = packet::udp((P, 9), (group(n as u8), 5000), b"to all");
            give(&mut b, group(n as u8), 17, 1, &datagram);
            b.poll();
            assert_eq!(received(&mut b, *socket), !lacks_all_groups || n < 22, "{n}");
        }
        for socket in &sockets[1..] {
            b.stack.udp(*socket).expect("open").close();
        }
        b.poll();
        assert_eq!(b.nic.groups.as_ref().map(Vec::len), Some(3), "all nodes, all hosts, and one");
        b.is_well();
    }
}

/// RFC 1112 §6.1: hop limit and interface are the socket's choice.
#[test]
fn a_datagram_to_a_group_leaves_by_the_interface_and_as_far_as_its_socket_says() {
    let mut b = bench().with_second_link();
    let second = b.other.as_ref().expect("two links").0;
    b.poll();
    let sent = |b: &mut Bench, options: &UdpOptions| {
        let socket = b.stack.udp_bind(None, 0, options).expect("free");
        let done = b.stack.udp(socket).expect("open").send_to(b"hello", (G, 5000).into());
        let first = b.poll_raw();
        let other: Vec<_> = b.other.as_mut().expect("two links").1.tx.drain(..).collect();
        let hops = |frames: Vec<Vec<u8>>| frames.iter().filter(|f| f[23] == 17).map(|f| f[22]).collect::<Vec<_>>();
        (done, hops(first), hops(other))
    };
    let (iface, ttl) = (Some(b.iface), Some(9));
    assert_eq!(sent(&mut b, &UdpOptions { iface, ..UdpOptions::default() }), (Ok(()), vec![1], vec![]));
    assert_eq!(
        sent(&mut b, &UdpOptions { iface: Some(second), ttl, ..UdpOptions::default() }),
        (Ok(()), vec![], vec![9])
    );
    // Which of two links is not guessed.
    let (refused, first, other) = sent(&mut b, &UdpOptions::default());
    assert!(refused.is_err() && first.is_empty() && other.is_empty());
    b.is_well();
}

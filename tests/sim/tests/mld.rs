//! IPv6 groups on a whole stack: what is told of them, and who gets what is sent to them.

use ringtap::device::Mac;
use ringtap::error::GroupError;
use ringtap::sockets::UdpOptions;
use ringtap::stack::{Identifiers, MAX_GROUPS, SourceFilter};
use ringtap::stats::DropReason;
use ringtap::time::Duration;
use ringtap_sim::Bench;
use ringtap_sim::bench::{P_MAC, R_MAC};
use ringtap_sim::packet::{Seen, ethernet};
use ringtap_sim::six::{self, ALL_NODES, H, H_LL, Ip6, NOBODY, P, P_LL, R, group_mac, node_group, told, v6};
use std::net::{IpAddr, Ipv6Addr};

const G: Ipv6Addr = Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0, 0x77);
const V2_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
const ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
const ROUTER_ALERT: [u8; 8] = [58, 0, 5, 2, 0, 0, 1, 0];

/// What was told of groups: to which IP address, from which, and the message.
type Told = (Ipv6Addr, Ipv6Addr, Vec<u8>);

/// Time passes; what was told of groups.
fn pass(b: &mut Bench, secs: u64) -> Vec<Told> {
    let seen: Vec<Seen> = b.pass(Duration::from_secs(secs)).into_iter().map(|(_, seen)| seen).collect();
    told(&seen).into_iter().map(|(_, dst, src, message)| (dst, src, message)).collect()
}

/// H with its addresses, of whose groups everything has been told.
fn bench() -> Bench {
    let mut b = six::bench();
    pass(&mut b, 5);
    b
}

/// The only record of a report of version 2: its type, its group, and what is behind.
fn record(message: &[u8]) -> (u8, Ipv6Addr, Vec<u8>) {
    assert_eq!((message[0], message[1], &message[4..8]), (143, 0, &[0, 0, 0, 1][..]), "{message:?}");
    let group = <[u8; 16]>::try_from(&message[12..28]).expect("16 octets");
    assert_eq!(message[9], 0, "no auxiliary data");
    assert_eq!(usize::from(message[11]) * 16 + 28, message.len());
    (message[8], group.into(), message[28..].to_vec())
}

fn query(code: u16, group: Ipv6Addr, long: &[u8]) -> Vec<u8> {
    let [hi, lo] = code.to_be_bytes();
    six::icmp(P_LL, ALL_NODES, 130, 0, [hi, lo, 0, 0], &[&group.octets()[..], long].concat())
}

/// A packet behind a hop-by-hop header arrives.
fn give(b: &mut Bench, src: Ipv6Addr, hops: u8, header: [u8; 8], message: &[u8]) {
    let packet = Ip6 { hops, ..Ip6::new(src, ALL_NODES, 0) }.build(&[&header, message].concat());
    b.nic.rx.push_back(ethernet(group_mac(ALL_NODES), P_MAC, 0x86dd, &packet));
}

fn give_query(b: &mut Bench, code: u16, group: Ipv6Addr, long: &[u8]) {
    give(b, P_LL, 1, ROUTER_ALERT, &query(code, group, long));
}

// H117, H118
#[test]
fn joining_and_leaving_are_told_to_the_routers_of_version_2() {
    let mut b = bench();
    b.stack.join_group(b.iface, G).expect("room");
    for kind in [4, 3] {
        let told = pass(&mut b, 5);
        assert_eq!(told.len(), 2, "{told:?}");
        for (dst, src, message) in told {
            assert_eq!((dst, src), (V2_ROUTERS, H_LL));
            assert_eq!(record(&message), (kind, G, vec![]));
        }
        if kind == 4 {
            assert_eq!(b.stack.groups(b.iface).collect::<Vec<_>>(), [v6(G)]);
            b.stack.leave_group(b.iface, G).expect("joined");
        }
    }
    assert_eq!(b.stack.leave_group(b.iface, G), Err(GroupError::NotJoined));
    assert_eq!(b.stack.next_deadline(), None);
    six::is_well(&mut b);
}

// H121
#[test]
fn the_groups_of_our_addresses_are_told_and_received_while_we_have_them() {
    let mut b = six::bench();
    let told = pass(&mut b, 5);
    let groups: Vec<_> = told.iter().map(|t| record(&t.2)).collect();
    // H and its link-local address are in the same group.
    assert_eq!(node_group(H), node_group(H_LL));
    assert!(groups.iter().all(|g| *g == (4, node_group(H), vec![])), "{groups:?}");
    let third = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0x33, 0x4455);
    b.stack.add_address(b.iface, "2001:db8::33:4455/64".parse().expect("valid text")).expect("room");
    assert!(pass(&mut b, 5).iter().all(|t| record(&t.2) == (4, node_group(third), vec![])));
    let receives = |b: &Bench, g| b.nic.groups.as_ref().expect("told").contains(&Mac(group_mac(g)));
    assert!(receives(&b, node_group(third)) && receives(&b, node_group(H)) && receives(&b, ALL_NODES));
    b.stack.remove_address(b.iface, v6(third)).expect("ours");
    let told = pass(&mut b, 5);
    assert!(told.len() == 2 && told.iter().all(|t| record(&t.2) == (3, node_group(third), vec![])), "{told:?}");
    assert!(!receives(&b, node_group(third)) && receives(&b, node_group(H)));
    six::is_well(&mut b);
}

// H118: RFC 9777 §5.2.14
#[test]
fn what_is_told_before_there_is_an_address_comes_from_nobody_and_again_from_somebody() {
    let mut b = six::bare(|_| {});
    b.stack.add_link_local(b.iface, Identifiers::Eui64).expect("Ethernet");
    let told = pass(&mut b, 5);
    let group = record(&told[0].2).1;
    assert!(told.iter().all(|t| record(&t.2) == (4, group, vec![])), "{told:?}");
    let from_nobody = told.iter().filter(|t| t.1 == NOBODY).count();
    assert!((1..=2).contains(&from_nobody) && told.len() == 2 + from_nobody, "{told:?}");
    assert!(told[told.len() - 2..].iter().all(|t| t.1.is_unicast_link_local()), "{told:?}");
}

/// An address formed from a prefix is received in its group as soon as it is on trial, as DAD needs it.
#[test]
fn the_group_of_an_address_on_trial_is_received() {
    let mut b = six::bare(|_| {});
    b.stack.autoconfigure(b.iface, Identifiers::Opaque).expect("Ethernet");
    pass(&mut b, 5);
    let before = b.nic.groups.clone().expect("told");
    let net = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 0);
    let options = [&[1, 1][..], &R_MAC, &six::prefix(net, 0xc0, 86_400, 14_400)].concat();
    six::give(&mut b, six::router(R, 64, 1800, &options));
    let formed = b
        .stack
        .ipv6_addresses(b.iface)
        .map(|(c, _)| c.addr())
        .find(|a| !a.is_loopback() && { matches!(a, IpAddr::V6(a) if a.segments()[0] == 0x2001) });
    let Some(IpAddr::V6(formed)) = formed else { panic!("an address on trial") };
    let now = b.nic.groups.clone().expect("told");
    assert!(now.contains(&Mac(group_mac(node_group(formed)))) && now.len() == before.len() + 1, "{now:?}");
    let told = pass(&mut b, 5);
    assert!(told.iter().any(|t| record(&t.2) == (4, node_group(formed), vec![])), "{told:?}");
}

// H117, H120
#[test]
fn a_querier_of_version_1_is_spoken_to_in_version_1() {
    let mut b = bench();
    give_query(&mut b, 10_000, NOBODY, &[]);
    let told = pass(&mut b, 11);
    assert!(matches!(&told[..], [(dst, src, m)] if *dst == node_group(H) && *src == H_LL && m[0] == 131), "{told:?}");
    b.stack.join_group(b.iface, G).expect("room");
    let told = pass(&mut b, 20);
    assert_eq!(told.len(), 2);
    for (dst, src, message) in told {
        assert_eq!((dst, src, message[0], &message[4..]), (G, H_LL, 131, &[&[0; 4][..], &G.octets()].concat()[..]));
    }
    // Another one reports: it will do.
    give_query(&mut b, 10_000, G, &[]);
    let report = six::icmp(P_LL, G, 131, 0, [0; 4], &G.octets());
    let packet = Ip6 { hops: 1, ..Ip6::new(P_LL, G, 0) }.build(&[&ROUTER_ALERT[..], &report].concat());
    b.nic.rx.push_back(ethernet(group_mac(G), P_MAC, 0x86dd, &packet));
    assert_eq!(pass(&mut b, 20), []);
    b.stack.leave_group(b.iface, G).expect("joined");
    let told = pass(&mut b, 20);
    assert!(matches!(&told[..], [(dst, _, m)] if *dst == ROUTERS && m[0] == 132 && m[8..] == G.octets()), "{told:?}");
    six::is_well(&mut b);
}

// H118
#[test]
fn a_join_that_finds_no_frame_is_told_once_there_is_one() {
    let mut b = bench();
    let all: Vec<_> = std::iter::from_fn(|| b.pool().take(0)).collect();
    b.stack.join_group(b.iface, G).expect("room");
    assert_eq!(pass(&mut b, 5), []);
    drop(all);
    assert_eq!(pass(&mut b, 5).len(), 2);
    six::is_well(&mut b);
}

// H119
#[test]
fn a_query_is_answered_and_a_forged_or_broken_one_is_not() {
    let mut b = bench();
    b.stack.join_group(b.iface, G).expect("room");
    pass(&mut b, 5);
    let good = query(10_000, NOBODY, &[2, 125, 0, 0]);
    let mut damaged = good.clone();
    damaged[5] ^= 1;
    give(&mut b, P_LL, 64, ROUTER_ALERT, &good);
    give(&mut b, P_LL, 1, [58, 0, 1, 4, 0, 0, 0, 0], &good);
    give(&mut b, P_LL, 1, ROUTER_ALERT, &query(10_000, NOBODY, &[2, 125, 0, 1]));
    give(&mut b, P_LL, 1, ROUTER_ALERT, &query(10_000, NOBODY, &[2, 125]));
    give(&mut b, P_LL, 1, ROUTER_ALERT, &query(10_000, P, &[]));
    let from_afar = six::icmp(P, ALL_NODES, 130, 0, [0, 100, 0, 0], &NOBODY.octets());
    give(&mut b, P, 1, ROUTER_ALERT, &from_afar);
    give(&mut b, P_LL, 1, ROUTER_ALERT, &damaged);
    assert_eq!(pass(&mut b, 20), []);
    assert_eq!((b.dropped(DropReason::MldMalformed), b.dropped(DropReason::IcmpChecksum)), (6, 1));
    give(&mut b, P_LL, 1, ROUTER_ALERT, &good);
    let told = pass(&mut b, 10);
    let mut groups: Vec<_> = told.iter().map(|t| record(&t.2)).collect();
    groups.sort_unstable();
    assert_eq!(groups, [(2, node_group(H), vec![]), (2, G, vec![])]);
    // One about a group is answered by that group.
    give_query(&mut b, 1000, G, &[2, 125, 0, 0]);
    let told = pass(&mut b, 10);
    assert!(told.len() == 1 && record(&told[0].2) == (2, G, vec![]), "{told:?}");
    six::is_well(&mut b);
}

// H121
#[test]
fn a_full_group_table_says_so_and_some_groups_need_no_place() {
    let mut b = bench();
    for n in 0..MAX_GROUPS as u16 {
        b.stack.join_group(b.iface, Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 1, n)).expect("room");
    }
    assert_eq!(b.stack.join_group(b.iface, G), Err(GroupError::Full));
    assert_eq!(b.stack.join_group(b.iface, H), Err(GroupError::NotAGroup));
    for everybodys in ["ff02::1", "ff01::1", "ff11::5"] {
        let group: Ipv6Addr = everybodys.parse().expect("valid text");
        assert_eq!((b.stack.join_group(b.iface, group), b.stack.leave_group(b.iface, group)), (Ok(()), Ok(())));
    }
    assert_eq!(pass(&mut b, 5).len(), 2 * MAX_GROUPS);
    // An address of ours has its group nevertheless.
    b.stack.add_address(b.iface, "2001:db8::33:4455/64".parse().expect("valid text")).expect("room");
    assert_eq!(pass(&mut b, 5).len(), 2);
    six::is_well(&mut b);
}

/// RFC 9777 §4.1: several sockets on one group and port, each with its filter.
#[test]
fn sockets_of_one_group_get_what_the_sources_of_their_filters_send() {
    let mut b = bench();
    let shared = UdpOptions { share: true, ..UdpOptions::default() };
    let [includes, excludes, all] = [0; 3].map(|_| b.stack.udp_bind(Some(v6(G)), 5000, &shared).expect("shared"));
    let (iface, p) = (b.iface, [v6(P)]);
    let mut filter = |socket, filter| {
        b.stack.udp(socket).expect("open").set_source_filter(iface, v6(G), filter).expect("room");
        pass(&mut b, 5).iter().map(|t| record(&t.2)).collect::<Vec<_>>()
    };
    assert_eq!(filter(includes, SourceFilter::Include(&p)), vec![(5, G, P.octets().to_vec()); 2]);
    assert_eq!(filter(excludes, SourceFilter::Exclude(&p)), vec![(4, G, vec![]); 2]);
    let other = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 3);
    for (from, expected) in [(P, [true, false, true]), (other, [false, true, true])] {
        let datagram = six::udp((from, 9), (G, 5000), b"to some");
        six::give(&mut b, Ip6::new(from, G, 17).build(&datagram));
        let got = [includes, excludes, all].map(|s| {
            let mut socket = b.stack.udp(s).expect("open");
            let received = socket.recv_from(&mut [0; 64]);
            received.is_ok_and(|r| r.to.ip() == v6(G) && r.local == v6(H))
        });
        assert_eq!(got, expected, "{from}");
    }
    six::is_well(&mut b);
}

/// RFC 4443 §4.2: the members of a group may be asked, where the stack was told to answer.
#[test]
fn a_ping_to_a_group_is_answered_by_members_that_want_to() {
    for (echo, joins, expected) in [(true, true, 1), (true, false, 0), (false, true, 0)] {
        let mut b = six::bare(|c| (c.dad_transmits, c.echo_broadcast) = (0, echo));
        for text in ["2001:db8::1/64", "fe80::1/64"] {
            b.stack.add_address(b.iface, text.parse().expect("valid text")).expect("a host address");
        }
        six::give(&mut b, six::solicit(P, node_group(H), H, Some(P_MAC)));
        if joins {
            b.stack.join_group(b.iface, G).expect("room");
        }
        let ping = six::icmp(P, G, 128, 0, [0, 7, 0, 9], b"anybody there?");
        let seen = six::give(&mut b, Ip6::new(P, G, 58).build(&ping));
        let replies = seen.iter().filter(|s| s.icmp().is_some_and(|i| i.0 == 129));
        assert!(replies.clone().all(|r| (r.src, r.dst) == (H, P)) && replies.count() == expected, "{echo} {joins}");
    }
}

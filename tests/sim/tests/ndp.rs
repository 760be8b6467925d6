//! Neighbour discovery as a whole stack does it: who asks, who is believed, whose an address is.

use ringtap::link::neighbor::NeighborState;
use ringtap::sockets::UdpOptions;
use ringtap::stack::{AddressState, Identifiers};
use ringtap::stats::DropReason;
use ringtap::time::Duration;
use ringtap_sim::Bench;
use ringtap_sim::bench::P_MAC;
use ringtap_sim::six::{self, ALL_NODES, H, H_LL, Ip6, NOBODY, P, P_LL, R, Sent, give, node_group, v6};
use std::net::{Ipv6Addr, SocketAddr};

const OTHER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x77];
const FAR: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 9);

fn mac_of(b: &Bench, ip: Ipv6Addr) -> Option<([u8; 6], NeighborState)> {
    b.stack.neighbors().find(|n| n.addr == v6(ip)).and_then(|n| Some((n.mac?.0, n.state)))
}

fn send(b: &mut Bench, to: Ipv6Addr) -> Vec<Sent> {
    let udp = b.stack.udp_bind(None, 0, &UdpOptions::default()).expect("a port");
    let sent = b.stack.udp(udp).expect("open").send_to(b"text", SocketAddr::new(v6(to), 9));
    sent.expect("a way");
    let seen = six::of(&b.poll());
    b.stack.udp(udp).expect("open").close();
    seen
}

fn is_udp(s: &Sent) -> bool {
    s.next == 17
}

// H009
#[test]
fn a_probe_for_our_address_is_answered_to_all_and_others_from_nobody_are_dropped() {
    let mut b = six::bench();
    let seen = give(&mut b, six::solicit(NOBODY, node_group(H), H, None));
    assert_eq!(seen.len(), 1);
    let answer = &seen[0];
    assert_eq!((answer.src, answer.dst, answer.hops), (H, ALL_NODES, 255));
    assert_eq!((answer.mac, answer.target(136)), (six::group_mac(ALL_NODES), Some(H)));
    assert_eq!(answer.payload[4], 0x20, "not solicited, overrides");
    assert_eq!(answer.payload[24..], [2, 1, 2, 0, 0, 0, 0, 1]);
    for bad in [
        six::solicit(NOBODY, node_group(H), H, Some(P_MAC)),
        six::solicit(NOBODY, ALL_NODES, H, None),
        six::solicit(NOBODY, H, H, None),
    ] {
        assert_eq!(give(&mut b, bad), []);
    }
    six::is_well(&mut b);
}

// H010
#[test]
fn an_address_that_somebody_has_or_wants_too_is_never_used() {
    let rival = [
        six::solicit(NOBODY, node_group(H), H, None),
        six::advert(P_LL, ALL_NODES, H, 0x20, Some(P_MAC)),
        six::advert(P_LL, ALL_NODES, H, 0, None),
    ];
    for packet in rival {
        let mut b = six::bare(|_| {});
        b.stack.add_address(b.iface, "2001:db8::1/64".parse().expect("valid text")).expect("room");
        let probe = six::of(&b.poll());
        assert_eq!(probe.len(), 1);
        assert_eq!((probe[0].src, probe[0].dst, probe[0].target(135)), (NOBODY, node_group(H), Some(H)));
        assert_eq!((probe[0].payload.len(), probe[0].payload[24]), (32, 14), "a nonce, no source link-layer address");
        assert_eq!(give(&mut b, packet), []);
        assert!(six::pass(&mut b, Duration::from_secs(60)).is_empty());
        let states: Vec<_> = b.stack.ipv6_addresses(b.iface).map(|(_, state)| state).collect();
        assert_eq!((states, b.dropped(DropReason::DuplicateAddress)), (vec![AddressState::Duplicate], 1));
        assert!(b.stack.udp_bind(Some(v6(H)), 7, &UdpOptions::default()).is_err());
        let ping = Ip6::to_h(58).build(&six::icmp(P, H, 128, 0, [0; 4], b"?"));
        assert_eq!(give(&mut b, ping), []);
        b.stack.remove_address(b.iface, v6(H)).expect("it is shown, so it can go");
        assert_eq!(b.frames_in_use(), 0);
    }
}

// H010
#[test]
fn an_address_on_trial_neither_sends_nor_answers_and_is_ours_a_second_later() {
    let mut b = six::bare(|_| {});
    b.stack.add_address(b.iface, "2001:db8::1/64".parse().expect("valid text")).expect("room");
    b.poll();
    assert_eq!(give(&mut b, six::solicit(P, node_group(H), H, Some(P_MAC))), []);
    assert_eq!(give(&mut b, six::solicit(P, H, H, Some(P_MAC))), []);
    let udp = b.stack.udp_bind(None, 0, &UdpOptions::default()).expect("a port");
    assert!(b.stack.udp(udp).expect("open").send_to(b"x", SocketAddr::new(v6(P), 9)).is_err());
    assert!(six::pass(&mut b, Duration::from_millis(999)).is_empty());
    assert_eq!(give(&mut b, six::solicit(P, node_group(H), H, Some(P_MAC))), []);
    six::pass(&mut b, Duration::from_millis(2));
    let seen = give(&mut b, six::solicit(P, node_group(H), H, Some(P_MAC)));
    assert_eq!((seen[0].src, seen[0].dst, seen[0].mac, seen[0].payload[4]), (H, P, P_MAC, 0x60));
    six::is_well(&mut b);
}

// H011
#[test]
fn messages_off_the_link_or_malformed_are_dropped_whole() {
    let good: [Vec<u8>; 4] = [
        six::solicit(P, node_group(H), H, Some(OTHER_MAC)),
        six::advert(P, H, P, 0x60, Some(OTHER_MAC)),
        six::router(R, 0, 1800, &six::prefix(FAR, 0xc0, 600, 600)),
        redirect(FAR, P_LL),
    ];
    let mut b = six::bench();
    b.stack.autoconfigure(b.iface, Identifiers::Eui64).expect("Ethernet");
    b.stack.add_gateway(b.iface, v6(R)).expect("a gateway");
    b.poll();
    let before = (b.stack.neighbors().count(), b.stack.routes().count());
    for packet in &good {
        let (src, dst) = (Ipv6Addr::from(<[u8; 16]>::try_from(&packet[8..24]).expect("16")), {
            Ipv6Addr::from(<[u8; 16]>::try_from(&packet[24..40]).expect("16"))
        });
        let body = &packet[40..];
        let again = |kind, code, rest: &[u8]| six::icmp(src, dst, kind, code, body[4..8].try_into().expect("4"), rest);
        let (kind, rest) = (body[0], &body[8..]);
        let mut ip = Ip6 { hops: 255, ..Ip6::new(src, dst, 58) };
        let mut zero = rest.to_vec();
        let fixed = [0, 8, 16, 16, 32][usize::from(kind - 133)];
        zero.truncate(fixed);
        zero.extend([1, 0, 0, 0, 0, 0, 0, 0]);
        let past = [&rest[..fixed], &[1, 2, 0, 0, 0, 0, 0, 0]].concat();
        let bad = [
            Ip6 { hops: 254, ..ip.clone() }.build(body),
            ip.build(&again(kind, 1, rest)),
            ip.build(&again(kind, 0, &zero)),
            ip.build(&again(kind, 0, &past)),
            ip.build(&again(kind, 0, &rest[..fixed - 1])),
            {
                ip.next = 44;
                ip.build(&six::piece(58, 0, false, 5, body))
            },
        ];
        for packet in bad {
            let dropped = b.dropped(DropReason::NdpMalformed);
            assert_eq!(give(&mut b, packet.clone()), [], "{packet:x?}");
            assert_eq!(b.dropped(DropReason::NdpMalformed), dropped + 1, "{packet:x?}");
        }
    }
    assert_eq!((b.stack.neighbors().count(), b.stack.routes().count()), before);
    assert_eq!(mac_of(&b, P), Some((P_MAC, NeighborState::Stale)));
}

fn redirect(destination: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let body = [target.octets(), destination.octets()].concat();
    Ip6 { hops: 255, ..Ip6::new(R, H, 58) }.build(&six::icmp(R, H, 137, 0, [0; 4], &body))
}

// H015
#[test]
fn an_advertisement_is_about_its_target_and_overrides_only_when_it_says_so() {
    let mut b = six::bench();
    // The target's entry, not the sender's.
    give(&mut b, six::advert(P_LL, H, P, 0x60, Some(OTHER_MAC)));
    assert_eq!(mac_of(&b, P), Some((OTHER_MAC, NeighborState::Reachable)));
    assert_eq!(mac_of(&b, P_LL), Some((P_MAC, NeighborState::Stale)));
    // Another MAC without override: kept, no longer reachable; then not even that.
    for _ in 0..2 {
        give(&mut b, six::advert(P, H, P, 0x40, Some(P_MAC)));
        assert_eq!(mac_of(&b, P), Some((OTHER_MAC, NeighborState::Stale)));
    }
    // Unsolicited, with override: taken, to be confirmed.
    give(&mut b, six::advert(P, ALL_NODES, P, 0x20, Some(P_MAC)));
    assert_eq!(mac_of(&b, P), Some((P_MAC, NeighborState::Stale)));
    // Confirmed without an option.
    give(&mut b, six::advert(P, H, P, 0x40, None));
    assert_eq!(mac_of(&b, P), Some((P_MAC, NeighborState::Reachable)));
    let count = b.stack.neighbors().count();
    give(&mut b, six::advert(P, H, FAR, 0x60, Some(OTHER_MAC)));
    assert_eq!((b.stack.neighbors().count(), b.dropped(DropReason::NdpNotForUs)), (count, 1));
    for mac in [[2, 0, 0, 0, 0, 1], [0x33, 0x33, 0, 0, 0, 1], [0; 6]] {
        give(&mut b, six::advert(P, H, P, 0x60, Some(mac)));
        assert_eq!(mac_of(&b, P), Some((P_MAC, NeighborState::Reachable)), "{mac:?}");
    }
}

// H016
#[test]
fn a_question_for_others_is_not_answered_and_leaves_no_trace() {
    let mut b = six::bench();
    let before: Vec<_> = b.stack.neighbors().collect();
    for target in [P, FAR, Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9)] {
        assert_eq!(give(&mut b, six::solicit(FAR, node_group(target), target, Some(OTHER_MAC))), []);
    }
    assert_eq!(b.stack.neighbors().collect::<Vec<_>>(), before);
    six::is_well(&mut b);
}

// H018
#[test]
fn a_stale_router_is_used_then_probed_and_passed_over_when_silent() {
    let second = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xfd);
    let mut b = six::bench();
    for router in [R, second] {
        b.stack.add_gateway(b.iface, v6(router)).expect("a gateway");
        give(&mut b, six::solicit(router, node_group(H_LL), H_LL, Some([2, 0, 0, 0, 1, router.octets()[15]])));
    }
    let start = b.now;
    let sent = send(&mut b, FAR);
    assert_eq!((sent.len(), sent[0].mac), (1, [2, 0, 0, 0, 1, 0xfe]), "at once, by the first");
    let probes = six::pass(&mut b, Duration::from_secs(8));
    let at: Vec<_> =
        probes.iter().map(|(at, s)| (at.since(start).as_micros() / 1_000_000, s.target(135), s.mac)).collect();
    let probe = |at| (at, Some(R), [2, 0, 0, 0, 1, 0xfe]);
    assert_eq!(at, [probe(5), probe(6), probe(7)], "three unicast probes");
    assert_eq!(send(&mut b, FAR)[0].mac, [2, 0, 0, 0, 1, 0xfd], "by the second");
}

#[test]
fn a_neighbour_is_asked_for_three_times_and_its_answer_lets_the_datagram_go() {
    let stranger = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x99);
    let mut b = six::bench();
    let asked = send(&mut b, stranger);
    assert_eq!((asked.len(), asked[0].src, asked[0].dst, asked[0].hops), (1, H, node_group(stranger), 255));
    assert_eq!((asked[0].target(135), asked[0].mac), (Some(stranger), six::group_mac(node_group(stranger))));
    assert_eq!(asked[0].payload[24..], [1, 1, 2, 0, 0, 0, 0, 1]);
    let more = six::pass(&mut b, Duration::from_millis(2_500));
    assert_eq!(more.len(), 2);
    let seen = give(&mut b, six::advert(stranger, H, stranger, 0x60, Some(OTHER_MAC)));
    assert_eq!((seen.len(), is_udp(&seen[0]), seen[0].mac), (1, true, OTHER_MAC));
    assert_eq!(b.frames_in_use(), 0);
}

#[test]
fn an_address_in_use_is_defended_once_in_ten_seconds() {
    let mut b = six::bench();
    let claim = || six::advert(P, ALL_NODES, H, 0x20, Some(OTHER_MAC));
    let seen = give(&mut b, claim());
    assert_eq!((seen.len(), seen[0].dst, seen[0].target(136)), (1, ALL_NODES, Some(H)));
    assert_eq!(give(&mut b, claim()), []);
    six::pass(&mut b, Duration::from_secs(10));
    assert_eq!(give(&mut b, claim()).len(), 1);
    assert_eq!(b.dropped(DropReason::DuplicateAddress), 3);
    six::is_well(&mut b);
}

// H144
#[test]
fn strangers_that_do_not_answer_hold_a_share_of_the_frames_only() {
    let mut b = six::bench();
    for n in 0..2_000u16 {
        let stranger = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 7, n);
        give(&mut b, Ip6::new(stranger, H, 58).build(&six::icmp(stranger, H, 128, 0, [0; 4], b"?")));
        assert!(b.frames_in_use() <= 16, "{} frames", b.frames_in_use());
    }
    let seen = give(&mut b, Ip6::to_h(58).build(&six::icmp(P, H, 128, 0, [0; 4], b"?")));
    assert!(seen.iter().any(|s| s.dst == P && s.icmp().is_some_and(|i| i.0 == 129)), "P is answered");
    six::pass(&mut b, Duration::from_secs(10));
    give(&mut b, six::solicit(P, node_group(H), H, Some(P_MAC)));
    six::is_well(&mut b);
}

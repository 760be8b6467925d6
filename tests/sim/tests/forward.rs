//! Packets for others: passed on with one hop less, or their sender is told why not.
//!
//! H forwards between P's link (192.0.2.0/24) and P2's (198.51.100.0/24).

use ringtap::device::{Capabilities, Mac, Medium, RxChecksum, RxMeta};
use ringtap::frame::BoxedPool;
use ringtap::ip::addr::Cidr;
use ringtap::ip::forward::{Forwarding, ReversePath};
use ringtap::ip::route::Route;
use ringtap::sockets::UdpOptions;
use ringtap::stack::IfaceId;
use ringtap::stats::DropReason;
use ringtap::time::Duration;
use ringtap_sim::bench::{ALL, H, H_MAC, H2, P, P_MAC, P2, Setup};
use ringtap_sim::packet::{self, Ip, Seen};
use ringtap_sim::six::{self, Ip6};
use ringtap_sim::{Bench, Nic};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// Hosts beyond P and P2.
const FAR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 5);
const FAR2: Ipv4Addr = Ipv4Addr::new(203, 0, 114, 5);

/// The IPv6 addresses of P and P2.
const Q: Ipv6Addr = six::P;
const Q2: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 2);

fn cidr(text: &str) -> Cidr {
    text.parse().expect("a prefix")
}

/// H as a router of both families.
fn router() -> Bench {
    router_of(Setup::default())
}

fn router_of(setup: Setup) -> Bench {
    let mut b = Bench::built(setup, |c| c.dad_transmits = 0).with_neighbors().with_second_link();
    let other = b.other.as_ref().expect("a second link").0;
    b.stack.add_address(b.iface, cidr("2001:db8::1/64")).expect("room");
    b.stack.add_address(b.iface, cidr("fe80::1/64")).expect("room");
    b.stack.add_address(other, cidr("2001:db8:2::1/64")).expect("room");
    b.poll();
    six::give(&mut b, six::solicit(Q, six::node_group(six::H), six::H, Some(P_MAC)));
    let own = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1);
    let group = six::node_group(own);
    b.give_other(packet::ethernet(six::group_mac(group), P_MAC, 0x86dd, &six::solicit(Q2, group, own, Some(P_MAC))));
    b.stack.set_forwarding(Some(Forwarding::default()));
    b
}

/// A frame of P's, or of P2's, with this packet for H's MAC.
fn frame(packet: &[u8]) -> Vec<u8> {
    packet::ethernet(H_MAC, P_MAC, if packet[0] >> 4 == 6 { 0x86dd } else { 0x0800 }, packet)
}

/// P sends a packet; what H sends back to P, and what it passes on, both as frames.
fn pass(b: &mut Bench, packet: &[u8]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    b.nic.rx.push_back(frame(packet));
    let back = b.poll_raw();
    let on = b.other.as_mut().map(|(_, nic)| nic.tx.drain(..).collect()).unwrap_or_default();
    (back, on)
}

fn datagram(src: Ipv4Addr, dst: Ipv4Addr, ttl: u8, len: usize) -> Vec<u8> {
    Ip { ttl, ..Ip::new(src, dst, 17) }.build(&packet::udp((src, 1), (dst, 2), &vec![7; len]))
}

fn datagram6(src: Ipv6Addr, dst: Ipv6Addr, hops: u8, len: usize) -> Vec<u8> {
    Ip6 { hops, ..Ip6::new(src, dst, 17) }.build(&six::udp((src, 1), (dst, 2), &vec![7; len]))
}

fn is_well(b: &mut Bench) {
    b.is_well();
    six::is_well(b);
}

#[test]
fn nothing_is_passed_on_before_the_switch_is_on_nor_after_it_is_off() {
    let mut b = router();
    assert!(b.stack.forwarding().is_some());
    assert_eq!(pass(&mut b, &datagram(P, P2, 64, 9)).1.len(), 1);
    b.stack.set_forwarding(None);
    for packet in [datagram(P, P2, 64, 9), datagram6(Q, Q2, 64, 9)] {
        assert_eq!(pass(&mut b, &packet), (vec![], vec![]));
    }
    assert_eq!(b.dropped(DropReason::NotOurAddress), 2);
    let mut never = Bench::new().with_neighbors().with_second_link();
    assert_eq!(pass(&mut never, &datagram(P, P2, 64, 9)), (vec![], vec![]));
    is_well(&mut b);
}

#[test]
fn a_packet_goes_on_with_one_hop_less_and_nothing_else_changed_in_the_frame_it_came_in() {
    let mut b = router();
    for packet in [
        datagram(P, P2, 64, 1000),
        datagram(P, P2, 2, 0),
        Ip { options: vec![148, 4, 0, 0], ..Ip::new(P, P2, 99) }.build(b"an option, a protocol that nobody knows"),
        packet::fragment(&Ip::new(P, P2, 17), 800, true, &[5; 800]),
        datagram6(Q, Q2, 64, 1000),
        datagram6(Q, Q2, 2, 0),
    ] {
        let (back, on) = pass(&mut b, &packet);
        assert_eq!((back.len(), on.len()), (0, 1), "{packet:?}");
        assert_eq!((&on[0][..6], &on[0][6..12]), (&P_MAC[..], &H_MAC[..]));
        // The reader checks all checksums.
        packet::read(&on[0]);
        six::read(&on[0]);
        let hop = if packet[0] >> 4 == 6 { 7 } else { 8 };
        let mut same = on[0][14..].to_vec();
        same[hop] += 1;
        if hop == 8 {
            same[10..12].copy_from_slice(&packet[10..12]);
        }
        assert_eq!(same, packet);
    }
    assert_eq!(b.stack.stats().forwarded, 6);
    is_well(&mut b);
}

#[test]
fn traceroute_sees_the_router() {
    let mut b = router();
    for ttl in [0, 1] {
        let packet = datagram(P, P2, ttl, 30);
        let (back, on) = pass(&mut b, &packet);
        assert_eq!(on.len(), 0);
        let Seen::Icmp(H, P, 11, 0, _, quote) = packet::read(&back[0]) else { panic!("{back:?}") };
        assert_eq!(quote, packet, "quoted as it came");
        let packet = datagram6(Q, Q2, ttl, 30);
        let (back, on) = pass(&mut b, &packet);
        assert_eq!(on.len(), 0);
        let sent = six::read(&back[0]).expect("an answer");
        assert_eq!((sent.src, sent.dst, sent.icmp()), (six::H, Q, Some((3, 0, 0))));
        assert_eq!(sent.payload[8..], packet);
    }
    assert_eq!(b.dropped(DropReason::HopsExceeded), 4);
    is_well(&mut b);
}

/// RFC 1812 §4.3.2.7, RFC 4443 §2.4 (e).
#[test]
fn errors_fragments_and_packets_from_nobody_in_particular_are_not_told_of() {
    let mut b = router();
    let error = packet::icmp(11, 0, [0; 4], &datagram(P2, P, 64, 0));
    let error6 = six::icmp(Q, Q2, 3, 0, [0; 4], &datagram6(Q2, Q, 64, 0));
    for packet in [
        Ip { ttl: 1, ..Ip::new(P, P2, 1) }.build(&error),
        packet::fragment(&Ip { ttl: 1, ..Ip::new(P, P2, 17) }, 8, false, &[1; 8]),
        Ip6 { hops: 1, ..Ip6::new(Q, Q2, 58) }.build(&error6),
    ] {
        assert_eq!(pass(&mut b, &packet), (vec![], vec![]), "{packet:?}");
    }
    // An echo request is no error.
    let ping = Ip { ttl: 1, ..Ip::new(P, P2, 1) }.build(&packet::icmp(8, 0, [0; 4], b"ping"));
    assert_eq!(pass(&mut b, &ping).0.len(), 1);
    is_well(&mut b);
}

#[test]
fn what_must_stay_on_its_link_stays_there_silently() {
    let mut b = router();
    let local = Ipv4Addr::new(169, 254, 1, 1);
    for (src, dst) in [
        (local, P2),
        (P, local),
        (P, Ipv4Addr::new(198, 51, 100, 255)),
        (P, Ipv4Addr::BROADCAST),
        (P, Ipv4Addr::new(224, 0, 0, 9)),
        (P, Ipv4Addr::new(240, 0, 0, 9)),
        (P, Ipv4Addr::LOCALHOST),
        (Ipv4Addr::LOCALHOST, P2),
        (Ipv4Addr::UNSPECIFIED, P2),
        (Ipv4Addr::new(198, 51, 100, 255), P2),
        (H2, P2),
        (H, P2),
    ] {
        assert_eq!(pass(&mut b, &datagram(src, dst, 64, 9)), (vec![], vec![]), "{src} {dst}");
    }
    for (src, dst) in [
        (Q, Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9)),
        (Q, Ipv6Addr::new(0xff0e, 0, 0, 0, 0, 0, 0, 9)),
        (Q, Ipv6Addr::LOCALHOST),
        (Ipv6Addr::UNSPECIFIED, Q2),
        (six::H, Q2),
    ] {
        assert_eq!(pass(&mut b, &datagram6(src, dst, 64, 9)), (vec![], vec![]), "{src} {dst}");
    }
    // In frames to all.
    for packet in [datagram(P, P2, 64, 9), datagram6(Q, Q2, 64, 9)] {
        let mut frame = frame(&packet);
        frame[..6].copy_from_slice(&ALL);
        b.give(frame);
        assert_eq!(b.sent_by_other(), []);
    }
    assert_eq!(b.stack.stats().forwarded, 0);
    is_well(&mut b);
}

/// RFC 4443 §3.1, code 2.
#[test]
fn a_link_local_source_is_told_that_it_means_nothing_beyond_its_link() {
    let mut b = router();
    six::give(&mut b, six::solicit(six::P_LL, six::node_group(six::H_LL), six::H_LL, Some(P_MAC)));
    let (back, on) = pass(&mut b, &datagram6(six::P_LL, Q2, 64, 9));
    let sent = six::read(&back[0]).expect("an answer");
    assert_eq!((on.len(), sent.src, sent.dst, sent.icmp()), (0, six::H_LL, six::P_LL, Some((1, 2, 0))));
    is_well(&mut b);
}

#[test]
fn a_packet_that_is_too_long_is_cut_up_or_its_sender_is_told_how_long_it_may_be() {
    let mut b = router();
    let other = b.other.as_mut().expect("a second link");
    b.stack.remove_interface(other.0);
    let pool: &'static BoxedPool = Box::leak(Box::new(BoxedPool::new(1600, 64)));
    other.1 = Nic::with(pool.pool(), Capabilities::plain(Medium::Ethernet, 1300));
    other.0 = b.stack.add_interface(&other.1, Mac(H_MAC)).expect("room");
    for text in ["198.51.100.1/24", "2001:db8:2::1/64"] {
        b.stack.add_address(other.0, cidr(text)).expect("room");
    }
    b.poll();
    b.give_other(packet::ethernet(H_MAC, P_MAC, 0x0806, &packet::arp(1, P_MAC, P2, [0; 6], H2)));
    let packet = datagram(P, P2, 9, 1400);
    let (back, on) = pass(&mut b, &packet);
    assert_eq!((back.len(), on.len()), (0, 2));
    let pieces: Vec<Seen> = on.iter().map(|f| packet::read(f)).collect();
    let [Seen::Udp((P, 1), (P2, 2), text)] = &packet::join(&pieces, 17)[..] else { panic!("{pieces:?}") };
    assert_eq!((text.len(), on[0][14 + 8], on[1][14 + 8]), (1400, 8, 8));
    // A fragment is cut up further.
    let piece = packet::fragment(&Ip::new(P, P2, 17), 1600, true, &[3; 1400]);
    let (_, on) = pass(&mut b, &piece);
    let seen: Vec<Seen> = on.iter().map(|f| packet::read(f)).collect();
    let [Seen::Fragment { offset: 1600, more: true, .. }, Seen::Fragment { offset, more: true, .. }] = seen[..] else {
        panic!("{seen:?}")
    };
    assert_eq!(offset, 1600 + 1280);
    let whole = Ip { flags_offset: 0x4000, ..Ip::new(P, P2, 17) }.build(&packet::udp((P, 1), (P2, 2), &[7; 1400]));
    let (back, on) = pass(&mut b, &whole);
    assert_eq!(on.len(), 0);
    let Seen::Icmp(H, P, 3, 4, [0, 0, hi, lo], _) = packet::read(&back[0]) else { panic!("{back:?}") };
    assert_eq!(u16::from_be_bytes([hi, lo]), 1300);
    let (back, on) = pass(&mut b, &datagram6(Q, Q2, 9, 1400));
    assert_eq!((on.len(), six::read(&back[0]).expect("an answer").icmp()), (0, Some((2, 0, 1300))));
    is_well(&mut b);
}

#[test]
fn without_a_route_the_sender_is_told_and_a_blackhole_is_silent() {
    let mut b = router();
    let none =
        Route { prefix: cidr("0.0.0.0/0"), gateway: Some(ringtap_sim::bench::R.into()), iface: b.iface, metric: 0 };
    b.stack.remove_route(&none).expect("the default route");
    let (v4, v6) = (Ipv4Addr::new(10, 9, 9, 9), Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 9));
    let told = |b: &mut Bench| {
        let (back, on) = pass(b, &datagram(P, v4, 64, 9));
        let (back6, on6) = pass(b, &datagram6(Q, v6, 64, 9));
        assert_eq!((on.len(), on6.len()), (0, 0));
        let code = back.first().map(|f| match packet::read(f) {
            Seen::Icmp(H, P, 3, code, ..) => code,
            other => panic!("{other:?}"),
        });
        (code, back6.first().map(|f| six::read(f).and_then(|s| s.icmp()).expect("an error")))
    };
    assert_eq!(told(&mut b), (Some(0), Some((1, 0, 0))));
    for (iface, expected) in [(IfaceId::REJECT, (Some(13), Some((1, 6, 0)))), (IfaceId::BLACKHOLE, (None, None))] {
        let routes =
            ["10.0.0.0/8", "2001:db8:9::/48"].map(|p| Route { prefix: cidr(p), gateway: None, iface, metric: 0 });
        routes.iter().for_each(|r| b.stack.add_route(*r).expect("room"));
        assert_eq!(told(&mut b), expected);
        routes.iter().for_each(|r| b.stack.remove_route(r).expect("there"));
    }
    is_well(&mut b);
}

#[test]
fn a_source_that_does_not_lie_where_it_came_from_is_not_believed() {
    let mut b = router();
    // The default route leads to P's link: a source there may be any, one of P2's none but its network's.
    assert_eq!(pass(&mut b, &datagram(FAR, P2, 64, 9)).1.len(), 1);
    let from_other = |b: &mut Bench, src| {
        let forwarded = b.stack.stats().forwarded;
        b.give_other(frame(&datagram(src, P, 64, 9)));
        b.stack.stats().forwarded - forwarded == 1
    };
    assert!(from_other(&mut b, P2) && !from_other(&mut b, FAR));
    assert_eq!(b.dropped(DropReason::ReversePath), 1);
    b.stack.set_forwarding(Some(Forwarding::with(ReversePath::Loose)));
    assert!(from_other(&mut b, FAR));
    let hole = Route { prefix: cidr("203.0.113.0/24"), gateway: None, iface: IfaceId::BLACKHOLE, metric: 0 };
    b.stack.add_route(hole).expect("room");
    assert!(!from_other(&mut b, FAR) && from_other(&mut b, FAR2));
    b.stack.set_forwarding(Some(Forwarding::with(ReversePath::Off)));
    assert!(from_other(&mut b, FAR));
    is_well(&mut b);
}

#[test]
fn a_neighbour_is_asked_for_and_the_packet_follows_or_its_sender_is_told() {
    let mut b = router();
    let quiet = Ipv4Addr::new(198, 51, 100, 77);
    let quiet6 = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x77);
    let (back, on) = pass(&mut b, &datagram(P, quiet, 64, 9));
    assert_eq!(back.len(), 0);
    let Seen::Arp(1, H_MAC, H2, target) = packet::read(&on[0]) else { panic!("{on:?}") };
    assert_eq!((target, on.len()), (quiet, 1));
    let seen = b.give_other(packet::ethernet(H_MAC, P_MAC, 0x0806, &packet::arp(2, P_MAC, quiet, H_MAC, H2)));
    assert!(matches!(seen[..], [Seen::Udp((P, 1), (dst, 2), _)] if dst == quiet), "{seen:?}");
    // One that does not answer is given up after three questions.
    let silent = Ipv4Addr::new(198, 51, 100, 78);
    let packet = datagram(P, silent, 64, 9);
    pass(&mut b, &packet);
    pass(&mut b, &datagram6(Q, quiet6, 64, 9));
    let told = b.pass(Duration::from_secs(5));
    let errors: Vec<_> = told.iter().filter(|(_, s)| matches!(s, Seen::Icmp(H, P, 3, 1, ..))).collect();
    assert_eq!(errors.len(), 1, "{told:?}");
    let errors6: Vec<_> = six::timed(&told).into_iter().filter_map(|(_, s)| s.icmp()).filter(|i| i.0 < 128).collect();
    assert_eq!(errors6, [(1, 3, 0)]);
    assert_eq!(b.dropped(DropReason::NeighborFailed), 2);
    is_well(&mut b);
}

#[test]
fn a_scan_through_the_router_takes_half_of_what_waits_and_never_what_is_our_own() {
    let mut b = router();
    let udp = b.stack.udp_bind(None, 5000, &UdpOptions::default()).expect("a free port");
    let silent = Ipv4Addr::new(198, 51, 100, 200);
    b.stack.udp(udp).expect("open").send_to(b"our own", SocketAddr::new(silent.into(), 9)).expect("parked");
    b.poll();
    for n in 10..=190 {
        pass(&mut b, &datagram(P, Ipv4Addr::new(198, 51, 100, n), 64, 9));
        // Also to the very neighbour that our own waits for.
        pass(&mut b, &datagram(P, silent, 64, 9));
    }
    assert!(b.frames_in_use() <= 9, "{} frames wait", b.frames_in_use());
    let seen = b.give_other(packet::ethernet(H_MAC, P_MAC, 0x0806, &packet::arp(2, P_MAC, silent, H_MAC, H2)));
    let own = seen.iter().filter(|s| matches!(s, Seen::Udp(_, _, text) if text == b"our own")).count();
    assert_eq!(own, 1, "{seen:?}");
    b.pass(Duration::from_secs(10));
    is_well(&mut b);
}

#[test]
fn errors_are_held_to_the_rate_of_all_replies() {
    let mut b = router();
    let told: usize = (0..1000).map(|_| pass(&mut b, &datagram(P, P2, 1, 9)).0.len()).sum();
    assert!((25..=60).contains(&told), "{told} of 1000");
    assert_eq!(b.dropped(DropReason::RateLimited), 1000 - told);
    is_well(&mut b);
}

#[test]
fn a_checksum_that_the_sender_left_to_the_card_is_finished_on_the_way() {
    let mut b = router();
    let mut packet = datagram(P, P2, 64, 33);
    // The pseudo-header's part only, as a kernel leaves it.
    packet[26..28].fill(0);
    let pseudo = [&P.octets()[..], &P2.octets(), &[0, 17], &41u16.to_be_bytes()].concat();
    let partial = !packet::checksum(&pseudo);
    packet[26..28].copy_from_slice(&partial.to_be_bytes());
    b.nic.rx_meta = RxMeta { checksum: RxChecksum::Partial { start: 34, offset: 6 }, ..RxMeta::default() };
    let (_, on) = pass(&mut b, &packet);
    b.nic.rx_meta = RxMeta::default();
    assert!(matches!(packet::read(&on[0]), Seen::Udp((P, 1), (P2, 2), text) if text == [7; 33]));
    assert_ne!(on[0][40..42], [0, 0], "there is a checksum");
    is_well(&mut b);
}

#[test]
fn a_full_device_loses_what_passes_through_but_nothing_of_our_own_and_receive_goes_on() {
    let mut b = router();
    let (_, nic) = b.other.as_mut().expect("a second link");
    nic.tx_room = 0;
    for _ in 0..100 {
        b.nic.rx.push_back(frame(&datagram(P, P2, 64, 9)));
    }
    b.poll_raw();
    assert!(b.dropped(DropReason::TransitFull) >= 80, "{}", b.dropped(DropReason::TransitFull));
    let ping = Ip::new(P, H, 1).build(&packet::icmp(8, 0, [0, 7, 0, 9], b"still there?"));
    assert_eq!(pass(&mut b, &ping).0.len(), 1, "local traffic goes on");
    let (_, nic) = b.other.as_mut().expect("a second link");
    nic.tx_room = usize::MAX;
    b.pass(Duration::from_millis(20));
    assert_eq!(b.sent_by_other().len(), 17, "what waited leaves: one in the hand, sixteen in line");
    is_well(&mut b);
}

/// A burst of more than can wait is received in turns and lost nowhere.
#[test]
fn a_burst_is_passed_on_without_loss_while_the_device_takes_it() {
    let mut b = router();
    for n in 0..1000u32 {
        let text = n.to_be_bytes();
        b.nic.rx.push_back(frame(&Ip::new(P, P2, 17).build(&packet::udp((P, 1), (P2, 2), &text))));
    }
    b.poll_raw();
    let numbers: Vec<u32> = b
        .sent_by_other()
        .into_iter()
        .map(|s| match s {
            Seen::Udp(_, _, text) => u32::from_be_bytes(text.try_into().expect("four octets")),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(numbers, (0..1000).collect::<Vec<_>>(), "all, in order");
    is_well(&mut b);
}

#[test]
fn sockets_and_packets_in_transit_take_turns() {
    let mut b = router();
    let udp = b.stack.udp_bind(None, 5000, &UdpOptions { tx_queue: 8, ..UdpOptions::default() }).expect("a free port");
    for _ in 0..8 {
        b.stack.udp(udp).expect("open").send_to(b"own", SocketAddr::new(P2.into(), 9)).expect("room");
        b.nic.rx.push_back(frame(&datagram(P, P2, 64, 9)));
    }
    b.poll_raw();
    let own: Vec<bool> = b.sent_by_other().iter().map(|s| matches!(s, Seen::Udp((H2, 5000), ..))).collect();
    assert_eq!(own.len(), 16);
    assert!(own.windows(2).all(|w| w[0] != w[1]), "{own:?}");
    is_well(&mut b);
}

#[test]
fn a_router_says_so_in_its_advertisements_and_believes_no_redirect() {
    let mut b = router();
    let ask = six::solicit(Q, six::node_group(six::H), six::H, Some(P_MAC));
    assert_eq!(six::give(&mut b, ask.clone())[0].payload[4] & 0xe0, 0xe0, "router, solicited, override");
    let quote = Ip::new(H, FAR, 17).build(&packet::udp((H, 9), (FAR, 9), b"text"));
    let redirect = packet::icmp(5, 1, P.octets(), &quote);
    let from = |b: &mut Bench| {
        let before = b.stack.routes().count();
        let ip = Ip::new(ringtap_sim::bench::R, H, 1);
        b.give(packet::ethernet(H_MAC, ringtap_sim::bench::R_MAC, 0x0800, &ip.build(&redirect)));
        b.stack.routes().count() - before
    };
    assert_eq!(from(&mut b), 0);
    b.stack.set_forwarding(None);
    assert_eq!(from(&mut b), 1, "a host believes it");
    assert_eq!(six::give(&mut b, ask)[0].payload[4] & 0xe0, 0x60);
    is_well(&mut b);
}

/// RFC 4443 §3.1.
#[test]
fn back_onto_a_link_without_stations_nothing_goes() {
    let caps = Capabilities::plain(Medium::Ip, 1500);
    let mut b = Bench::built(Setup { caps, ..Setup::default() }, |_| {});
    b.stack.add_address(b.iface, cidr("2001:db8::1/64")).expect("room");
    b.stack.set_forwarding(Some(Forwarding::default()));
    let nobody = Ipv4Addr::new(192, 0, 2, 77);
    b.nic.rx.push_back(datagram(P, nobody, 64, 9));
    let back = b.poll_raw();
    assert!(matches!(packet::read_ip(&back[0]), Seen::Icmp(H, P, 3, 1, ..)) && back.len() == 1, "{back:?}");
    let nobody = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x77);
    b.nic.rx.push_back(datagram6(Q, nobody, 64, 9));
    let back = b.poll_raw();
    let sent = six::read(&packet::ethernet([2; 6], [2; 6], 0x86dd, &back[0])).expect("an answer");
    assert_eq!((back.len(), sent.dst, sent.icmp()), (1, Q, Some((1, 3, 0))));
    assert_eq!((b.dropped(DropReason::NotForwarded), b.frames_in_use()), (2, 0));
}

/// Nothing here cuts: whole, it would be no packet for the next link, and its checksum none of any segment.
#[test]
fn a_super_segment_for_another_host_is_not_passed_on_and_its_segments_are() {
    use ringtap::device::{Gso, RxChecksum, RxMeta};
    let mut b = router();
    let segment = |len| {
        let text = packet::Tcp { src: 7, dst: 80, flags: packet::ACK, payload: vec![5; len], ..packet::Tcp::default() };
        Ip::new(P, P2, 6).build(&text.build(P, P2))
    };
    let gso = Some(Gso { size: 500 });
    for checksum in [RxChecksum::Verified, RxChecksum::Partial { start: 34, offset: 16 }] {
        b.nic.rx_meta = RxMeta { checksum, gso, timestamp: None };
        for len in [1000, 1400, 10_000] {
            let before = b.dropped(DropReason::NotForwarded);
            assert_eq!(pass(&mut b, &segment(len)), (vec![], vec![]), "{len} octets");
            assert_eq!(b.dropped(DropReason::NotForwarded), before + 1);
        }
    }
    b.nic.rx_meta = RxMeta::default();
    assert_eq!(pass(&mut b, &segment(500)).1.len(), 1);
    b.is_well();
}

//! Trials of IPv6 addresses, with what RFC 7527 (probes that come back) and RFC 4429 (use while on trial) add to them.

use ringtap::config::Config;
use ringtap::sockets::UdpOptions;
use ringtap::stack::{AddressState, Identifiers, TemporaryAddresses};
use ringtap::stats::DropReason;
use ringtap::tcp::{ConnectOptions, State};
use ringtap::time::Duration;
use ringtap_sim::Bench;
use ringtap_sim::bench::{P_MAC, R_MAC};
use ringtap_sim::six::{
    self, ALL_NODES, H, Ip6, NOBODY, P_LL, R, Sent, give, group_mac, node_group, prefix, router, v6,
};
use std::collections::HashSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

const NET: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 0);
/// A host of NET.
const NEAR: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 9);
const FAR: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 9);

/// A probe as it comes back, or comes from a rival: its ICMPv6 message.
fn probe_for(target: Ipv6Addr, option: &[u8]) -> Vec<u8> {
    let group = node_group(target);
    let body = [&target.octets()[..], option].concat();
    Ip6 { hops: 255, ..Ip6::new(NOBODY, group, 58) }.build(&six::icmp(NOBODY, group, 135, 0, [0; 4], &body))
}

/// H with an address on trial, and its first probe's nonce option.
fn on_trial() -> (Bench, Vec<u8>) {
    let mut b = six::bare(|_| {});
    b.stack.add_address(b.iface, "2001:db8::1/64".parse().expect("valid text")).expect("room");
    let probe = six::of(&b.poll());
    assert_eq!((probe.len(), probe[0].src, probe[0].target(135)), (1, NOBODY, Some(H)));
    (b, probe[0].payload[24..].to_vec())
}

fn state(b: &Bench, wanted: Ipv6Addr) -> Option<AddressState> {
    b.stack.ipv6_addresses(b.iface).find(|(cidr, _)| cidr.addr() == v6(wanted)).map(|(_, state)| state)
}

#[test]
fn a_probe_that_comes_back_is_no_rival_and_the_trial_goes_on_while_there_is_a_loop() {
    let (mut b, nonce) = on_trial();
    let start = b.now;
    assert_eq!((nonce.len(), &nonce[..2]), (8, &[14, 1][..]), "RFC 3971 §5.3.2");
    assert_eq!(give(&mut b, probe_for(H, &nonce)), []);
    assert_eq!((b.dropped(DropReason::NdpLoopedBack), state(&b, H)), (1, Some(AddressState::Tentative)));
    // Three more, each with a nonce of its own; the last of them comes back, too.
    let mut seen = six::pass(&mut b, Duration::from_millis(3_500));
    let last = seen.last().expect("probes").1.payload[24..].to_vec();
    assert_eq!(give(&mut b, probe_for(H, &last)), []);
    seen.extend(six::pass(&mut b, Duration::from_millis(3_000)));
    assert_eq!(state(&b, H), Some(AddressState::Tentative), "so it goes on");
    seen.extend(six::pass(&mut b, Duration::from_millis(1_000)));
    let at: Vec<_> = seen.iter().map(|(at, s)| (at.since(start).as_micros() / 1_000_000, s.target(135))).collect();
    assert_eq!(at, (1..=6).map(|n| (n, Some(H))).collect::<Vec<_>>());
    let nonces: HashSet<_> = seen.iter().map(|(_, s)| s.payload[24..].to_vec()).chain([nonce]).collect();
    assert_eq!((nonces.len(), state(&b, H)), (7, Some(AddressState::Preferred)));
    // It is a rival's question by now, whatever its nonce.
    let seen = give(&mut b, probe_for(H, &last));
    assert_eq!((seen.len(), seen[0].dst, seen[0].target(136)), (1, ALL_NODES, Some(H)));
}

#[test]
fn a_probe_with_any_other_nonce_is_a_rivals() {
    for n in 0..5 {
        let (mut b, own) = on_trial();
        let option = match n {
            0 => vec![],
            1 => [&own[..7], &[own[7] ^ 1]].concat(),
            2 => [&[14, 2], &own[2..], &[0; 8]].concat(),
            3 => vec![14, 1, 0, 0, 0, 0, 0, 0],
            // An option of another kind with those octets.
            _ => [&[77, 1], &own[2..]].concat(),
        };
        assert_eq!(give(&mut b, probe_for(H, &option)), []);
        assert_eq!(state(&b, H), Some(AddressState::Duplicate), "{n}");
        assert_eq!((b.dropped(DropReason::NdpLoopedBack), b.dropped(DropReason::DuplicateAddress)), (0, 1));
    }
    // What was sent for one address says nothing of another.
    let (mut b, own) = on_trial();
    let other = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x11);
    b.stack.add_address(b.iface, "2001:db8::11/64".parse().expect("valid text")).expect("room");
    b.poll();
    give(&mut b, probe_for(other, &own));
    assert_eq!((state(&b, other), state(&b, H)), (Some(AddressState::Duplicate), Some(AddressState::Tentative)));
}

/// R's advertisement of NET, on the link; with its MAC address, or without.
fn advert(with_mac: bool) -> Vec<u8> {
    let mac = if with_mac { [&[1, 1][..], &R_MAC].concat() } else { vec![] };
    router(R, 0, 1_800, &[&mac[..], &prefix(NET, 0xc0, 86_400, 14_400)].concat())
}

/// H after its link-local address has passed its trial, which never is optimistic: no router is known by then.
fn asking(change: impl FnOnce(&mut Config<'static>)) -> Bench {
    let mut b = six::bare(|c| {
        c.optimistic_dad = true;
        change(c);
    });
    b.stack.autoconfigure(b.iface, Identifiers::Opaque).expect("Ethernet");
    b.poll();
    assert!(b.stack.ipv6_addresses(b.iface).all(|(_, state)| state == AddressState::Tentative));
    six::pass(&mut b, Duration::from_secs(3));
    b
}

/// H with an optimistic address from NET, which has just been formed.
fn optimistic() -> (Bench, Ipv6Addr) {
    let (b, own, _) = optimistic_by();
    (b, own)
}

/// As [`optimistic`], and its probe's nonce option.
fn optimistic_by() -> (Bench, Ipv6Addr, Vec<u8>) {
    let mut b = asking(|_| {});
    let seen = give(&mut b, advert(true));
    let own = formed(&b).expect("formed").0;
    assert_eq!((seen.len(), seen[0].src, seen[0].dst, seen[0].target(135)), (1, NOBODY, node_group(own), Some(own)));
    assert_eq!(seen[0].payload[24], 14, "no link-layer address of ours");
    assert_eq!(state(&b, own), Some(AddressState::Optimistic));
    (b, own, seen[0].payload[24..].to_vec())
}

/// The address formed from NET that is not temporary.
fn formed(b: &Bench) -> Option<(Ipv6Addr, AddressState)> {
    b.stack.ipv6_addresses(b.iface).find_map(|(cidr, state)| match cidr.addr() {
        IpAddr::V6(ip) if ip.segments()[..4] == NET.segments()[..4] && !b.stack.is_temporary(b.iface, ip) => {
            Some((ip, state))
        }
        _ => None,
    })
}

fn send(b: &mut Bench, to: Ipv6Addr) -> Vec<Sent> {
    let udp = b.stack.udp_bind(None, 0, &UdpOptions::default()).expect("a port");
    b.stack.udp(udp).expect("open").send_to(b"text", SocketAddr::new(v6(to), 9)).expect("a way");
    let seen = six::of(&b.poll());
    b.stack.udp(udp).expect("open").close();
    seen
}

#[test]
fn an_optimistic_address_is_used_at_once_and_whom_it_does_not_know_it_reaches_by_the_router() {
    let (mut b, own) = optimistic();
    let listener = b.stack.udp_bind(None, 7, &UdpOptions::default()).expect("a port");
    for to in [FAR, NEAR] {
        let seen = send(&mut b, to);
        assert_eq!((seen.len(), seen[0].src, seen[0].dst, seen[0].mac), (1, own, to, R_MAC), "no question for {to}");
    }
    // What is sent to it arrives, and is answered.
    give(&mut b, Ip6::new(FAR, own, 17).build(&six::udp((FAR, 9), (own, 7), b"text")));
    assert!(b.stack.udp(listener).expect("open").recv().is_ok());
    let tcp = b.stack.tcp_connect(SocketAddr::new(v6(NEAR), 80), &ConnectOptions::default()).expect("a way");
    let syn = six::of(&b.poll());
    assert_eq!((syn.len(), syn[0].src, syn[0].mac), (1, own, R_MAC));
    // A neighbour whose MAC address is known needs no router.
    give(&mut b, six::solicit(NEAR, node_group(own), own, Some(P_MAC)));
    assert_eq!(send(&mut b, NEAR)[0].mac, P_MAC);
    // After the trial everybody is asked for as ever.
    six::pass(&mut b, Duration::from_millis(1_001));
    assert_eq!(state(&b, own), Some(AddressState::Preferred));
    let third = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 3);
    let seen = send(&mut b, third);
    assert_eq!((seen.len(), seen[0].src, seen[0].target(135)), (1, own, Some(third)));
    assert_eq!(seen[0].payload[24..26], [1, 1]);
    // The connection, too, goes straight.
    let again = six::pass(&mut b, Duration::from_secs(3));
    let syns: Vec<_> = again.iter().filter(|(_, s)| s.next == 6).map(|(_, s)| s.mac).collect();
    assert!(!syns.is_empty() && syns.iter().all(|mac| *mac == P_MAC), "{syns:x?}");
    b.stack.tcp(tcp).expect("open").abort();
}

#[test]
fn questions_for_an_optimistic_address_are_answered_without_overriding_anybody() {
    let (mut b, own) = optimistic();
    let seen = give(&mut b, six::solicit(P_LL, node_group(own), own, Some(P_MAC)));
    assert_eq!((seen.len(), seen[0].src, seen[0].dst, seen[0].target(136)), (1, own, P_LL, Some(own)));
    assert_eq!(seen[0].payload[4], 0x40, "solicited, does not override");
    six::pass(&mut b, Duration::from_millis(1_001));
    let seen = give(&mut b, six::solicit(P_LL, node_group(own), own, Some(P_MAC)));
    assert_eq!(seen[0].payload[4], 0x60, "overrides, once it is ours alone");
}

#[test]
fn an_optimistic_address_that_somebody_has_is_gone_at_once_and_another_is_on_plain_trial() {
    for n in 0..3 {
        let (mut b, own) = optimistic();
        let tcp = b.stack.tcp_connect(SocketAddr::new(v6(FAR), 80), &ConnectOptions::default()).expect("a way");
        assert_eq!(six::of(&b.poll())[0].src, own);
        let rival = match n {
            0 => probe_for(own, &[]),
            1 => six::advert(own, ALL_NODES, own, 0x20, Some(P_MAC)),
            _ => six::advert(P_LL, ALL_NODES, own, 0, None),
        };
        let seen = give(&mut b, rival);
        assert!(seen.iter().all(|s| s.src == NOBODY), "nothing from there, no defence: {seen:?}");
        if n == 1 {
            // It is from an address of ours: as any other packet that is.
            continue;
        }
        assert_eq!((b.dropped(DropReason::DuplicateAddress), state(&b, own)), (1, None), "{n}");
        assert_eq!(b.stack.tcp(tcp).map(|t| t.state()).unwrap_or(State::Closed), State::Closed);
        let (next, how) = formed(&b).expect("another");
        assert_eq!((next != own, how), (true, AddressState::Tentative));
        six::pass(&mut b, Duration::from_secs(2));
        assert_eq!(state(&b, next), Some(AddressState::Preferred));
        assert_eq!(send(&mut b, FAR)[0].src, next);
    }
}

#[test]
fn nobody_is_optimistic_by_itself_without_the_routers_mac_or_as_a_router() {
    for (wanted, with_mac, forwards) in [(true, false, false), (true, true, true), (false, true, false)] {
        let mut b = asking(|c| c.optimistic_dad = wanted);
        if forwards {
            b.stack.set_forwarding(Some(Default::default()));
        }
        give(&mut b, advert(with_mac));
        assert_eq!(formed(&b).expect("formed").1, AddressState::Tentative, "{wanted} {with_mac} {forwards}");
    }
    // One that the program gives may be anybody's.
    let (mut b, _) = optimistic();
    b.stack.add_address(b.iface, "2001:db8::1/64".parse().expect("valid text")).expect("room");
    assert_eq!(state(&b, H), Some(AddressState::Tentative));
}

#[test]
fn an_optimistic_address_is_chosen_when_there_is_no_other_and_can_be_taken_away() {
    let (mut b, own) = optimistic();
    b.stack.set_temporary_addresses(b.iface, Some(TemporaryAddresses::RFC8981)).expect("settings that can be");
    six::pass(&mut b, Duration::from_millis(1_001));
    b.poll();
    let all: Vec<_> = b.stack.ipv6_addresses(b.iface).collect();
    let (temporary, _) = *all.iter().find(|(_, s)| *s == AddressState::Optimistic).expect("the temporary one");
    let IpAddr::V6(temporary) = temporary.addr() else { panic!("IPv6") };
    assert!(b.stack.is_temporary(b.iface, temporary));
    assert_eq!(send(&mut b, FAR)[0].src, own, "like a deprecated one");
    six::pass(&mut b, Duration::from_secs(1));
    assert_eq!(send(&mut b, FAR)[0].src, temporary);
    // Taken away during its trial, it is in no list any more.
    let (mut b, own) = optimistic();
    b.stack.remove_address(b.iface, v6(own)).expect("it is there");
    assert_eq!(state(&b, own), None);
    let seen = give(&mut b, six::solicit(P_LL, node_group(own), own, Some(P_MAC)));
    assert_eq!(seen, []);
    assert!(six::pass(&mut b, Duration::from_secs(5)).iter().all(|(_, s)| s.target(135) != Some(own)));
    assert_eq!(state(&b, own), None);
    // So a router that still advertises its prefix gives it again.
    give(&mut b, advert(true));
    assert_eq!(formed(&b), Some((own, AddressState::Optimistic)));
}

#[test]
fn routers_are_asked_from_nobody_while_there_is_no_other_address_than_an_optimistic_one() {
    let (mut b, own, nonce) = optimistic_by();
    // The link-local address goes, and routers are asked for anew.
    let link_local = b.stack.ipv6_addresses(b.iface).map(|(c, _)| c.addr()).find(|a| *a != v6(own)).expect("two");
    b.stack.remove_address(b.iface, link_local).expect("it is there");
    b.stack.autoconfigure(b.iface, Identifiers::Eui64).expect("Ethernet");
    let probe = six::of(&b.poll()).into_iter().find_map(|s| s.target(135)).expect("another one's trial");
    give(&mut b, probe_for(probe, &[]));
    assert_eq!(state(&b, probe), Some(AddressState::Duplicate));
    // Probes that come back keep the other trial from its end.
    give(&mut b, probe_for(own, &nonce));
    let mut asked = Vec::new();
    for _ in 0..40 {
        for (_, s) in six::pass(&mut b, Duration::from_millis(100)) {
            if s.target(135) == Some(own) && s.src == NOBODY {
                let again = probe_for(own, &s.payload[24..]);
                give(&mut b, again);
            } else if s.icmp().is_some_and(|i| i.0 == 133) {
                asked.push((s.src, s.payload.len(), s.mac));
            }
        }
    }
    assert_eq!(state(&b, own), Some(AddressState::Optimistic), "the loop keeps it on trial");
    let routers = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
    assert_eq!(asked, [(NOBODY, 8, group_mac(routers))]);
}

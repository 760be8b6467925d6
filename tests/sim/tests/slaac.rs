//! Autoconfiguration as a whole stack does it: what routers advertise is used, bounded, and ends.

use ringtap::ip::addr::Cidr;
use ringtap::ip::route::{Route, RouteOrigin};
use ringtap::sockets::UdpOptions;
use ringtap::stack::{AddressState, Identifiers};
use ringtap::stats::DropReason;
use ringtap::time::Duration;
use ringtap_sim::Bench;
use ringtap_sim::bench::{P_MAC, R_MAC};
use ringtap_sim::six::{self, H, Ip6, NOBODY, P, R, Sent, give, node_group, prefix, router, v6};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

const NET: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 0);
const FAR: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 9);
const ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// H, which has configured its link-local address and asked for routers.
fn asking() -> Bench {
    let mut b = six::bare(|_| {});
    b.stack.autoconfigure(b.iface, Identifiers::Opaque).expect("Ethernet");
    let seen = six::pass(&mut b, Duration::from_secs(3));
    let probes: Vec<_> = seen.iter().filter_map(|(_, s)| s.target(135)).collect();
    assert_eq!(probes.len(), 1, "one probe of the link-local address");
    let asks: Vec<_> = seen.iter().filter(|(_, s)| s.icmp().is_some_and(|i| i.0 == 133)).collect();
    assert_eq!(asks.len(), 1, "one question for routers");
    let Sent { src, dst, hops, .. } = &asks[0].1;
    assert_eq!((*src, *dst, *hops), (probes[0], ROUTERS, 255));
    b
}

/// The router's options: its MAC, and what else.
fn options(more: &[u8]) -> Vec<u8> {
    [&[1, 1][..], &R_MAC, more].concat()
}

fn addresses(b: &Bench) -> Vec<(Ipv6Addr, AddressState)> {
    let all = b.stack.ipv6_addresses(b.iface).filter_map(|(cidr, state)| match cidr.addr() {
        IpAddr::V6(ip) => Some((ip, state)),
        IpAddr::V4(_) => None,
    });
    all.collect()
}

/// The address formed from NET.
fn formed(b: &Bench) -> Option<(Ipv6Addr, AddressState)> {
    addresses(b).into_iter().find(|(ip, _)| ip.segments()[..4] == NET.segments()[..4])
}

/// H with an address from NET and R as its router.
fn configured(more: &[u8]) -> Bench {
    let mut b = asking();
    let news = options(&[&prefix(NET, 0xc0, 86_400, 14_400)[..], more].concat());
    assert_eq!(give(&mut b, router(R, 0, 1800, &news)), []);
    six::pass(&mut b, Duration::from_secs(3));
    assert!(matches!(formed(&b), Some((_, AddressState::Preferred))), "{:?}", addresses(&b));
    b
}

fn send(b: &mut Bench, to: Ipv6Addr) -> Vec<Sent> {
    let udp = b.stack.udp_bind(None, 0, &UdpOptions::default()).expect("a port");
    let _ = b.stack.udp(udp).expect("open").send_to(b"text", SocketAddr::new(v6(to), 9));
    let seen = six::of(&b.poll());
    b.stack.udp(udp).expect("open").close();
    seen
}

#[test]
fn a_router_gives_an_address_a_route_and_dns_within_five_seconds() {
    let mut b = six::bare(|_| {});
    b.stack.autoconfigure(b.iface, Identifiers::Opaque).expect("Ethernet");
    let start = b.now;
    let server = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x53);
    let dns = [
        &[25, 3, 0, 0, 0, 0, 2, 88][..],
        &server.octets(),
        &[31, 2, 0, 0, 0, 0, 2, 88, 4, b'h', b'o', b'm', b'e', 0, 0, 0],
    ];
    let mut probed = None;
    while b.now.since(start) < Duration::from_secs(5) && !matches!(formed(&b), Some((_, AddressState::Preferred))) {
        for (_, s) in six::pass(&mut b, Duration::from_millis(50)) {
            if s.icmp().is_some_and(|i| i.0 == 133) {
                give(
                    &mut b,
                    router(R, 0, 1800, &options(&[&prefix(NET, 0xc0, 86_400, 14_400)[..], &dns.concat()].concat())),
                );
            }
            probed = s.target(135).or(probed);
        }
    }
    let (ip, state) = formed(&b).expect("an address");
    assert_eq!((state, probed), (AddressState::Preferred, Some(ip)), "it was probed for");
    let seen = send(&mut b, FAR);
    assert_eq!((seen.len(), seen[0].src, seen[0].mac), (1, ip, R_MAC));
    assert_eq!(b.stack.advertised_dns_servers().collect::<Vec<_>>(), [server]);
    assert_eq!(b.stack.advertised_dns_domains().collect::<Vec<_>>(), ["home"]);
    assert!(b.stack.routes().any(|r| r.prefix == Cidr::new(v6(NET), 64).expect("a prefix") && r.gateway.is_none()));
}

// H012
#[test]
fn ten_thousand_advertisements_fill_tables_to_their_caps_and_change_nothing_that_works() {
    for early in [true, false] {
        let mut b = if early { six::bare(|_| {}) } else { configured(&[]) };
        if early {
            b.stack.autoconfigure(b.iface, Identifiers::Opaque).expect("Ethernet");
        }
        for n in 0..10_000u16 {
            let source = Ipv6Addr::new(0xfe80, 0, 0, 0, 1, 0, 0, n);
            let net = Ipv6Addr::new(0x2001, 0xdb8, 0x100 + (n >> 8), n & 0xff, 0, 0, 0, 0);
            let mut news = prefix(net, 0xc0, 9_000, 900);
            news.extend([24, 2, 48, 0, 0, 0, 2, 88, 0x20, 1, 0xd, 0xb8, (n >> 8) as u8, n as u8, 0, 0]);
            news.extend([25, 3, 0, 0, 0, 0, 2, 88]);
            news.extend(net.octets());
            give(&mut b, router(source, 0, 1800, &news));
        }
        assert!(addresses(&b).len() <= 8 && b.stack.routes().count() <= 16, "{}", b.stack.routes().count());
        assert!(b.stack.advertised_dns_servers().count() <= 3);
        assert!(b.dropped(DropReason::NdpTableFull) > 9_000);
        if !early {
            let (ip, _) = formed(&b).expect("the earlier address");
            let seen = send(&mut b, FAR);
            assert!(seen.iter().any(|s| s.next == 17 && s.src == ip && s.mac == R_MAC), "{seen:?}");
            assert_eq!(b.stack.routes().filter(|r| r.gateway == Some(v6(R))).count(), 1);
        }
        six::pass(&mut b, Duration::from_secs(5));
        assert_eq!(b.frames_in_use(), 0);
    }
}

// H013
#[test]
fn an_address_keeps_two_hours_and_is_deprecated_when_a_router_says_so() {
    let mut b = configured(&[]);
    let (ip, _) = formed(&b).expect("an address");
    give(&mut b, router(R, 0, 1800, &prefix(NET, 0xc0, 0, 0)));
    assert_eq!(formed(&b), Some((ip, AddressState::Deprecated)));
    six::pass(&mut b, Duration::from_secs(7_199));
    assert_eq!(formed(&b), Some((ip, AddressState::Deprecated)));
    six::pass(&mut b, Duration::from_secs(2));
    assert_eq!(formed(&b), None);
}

// H014
#[test]
fn a_prefix_that_is_not_on_the_link_is_reached_by_the_router() {
    let mut b = asking();
    give(&mut b, router(R, 0, 1800, &options(&prefix(NET, 0x40, 86_400, 14_400))));
    six::pass(&mut b, Duration::from_secs(3));
    let (ip, _) = formed(&b).expect("an address");
    let neighbour = Ipv6Addr::from_bits(NET.to_bits() | 5);
    let seen = send(&mut b, neighbour);
    assert_eq!((seen.len(), seen[0].next, seen[0].src, seen[0].mac), (1, 17, ip, R_MAC), "no solicitation for it");
}

// H017
#[test]
fn limits_are_taken_when_they_can_be_and_a_router_that_ends_is_not_used() {
    let mut b = configured(&[]);
    let sizes = |b: &mut Bench| {
        let udp = b.stack.udp_bind(None, 0, &UdpOptions::default()).expect("a port");
        b.stack.udp(udp).expect("open").send_to(&[1; 4_000], SocketAddr::new(v6(FAR), 9)).expect("a way");
        let seen = six::of(&b.poll());
        b.stack.udp(udp).expect("open").close();
        (seen.iter().map(|s| s.payload.len() + 40).max().unwrap_or(0), seen[0].hops)
    };
    let mtu = |value: u32| [&[5, 1, 0, 0][..], &value.to_be_bytes()].concat();
    assert_eq!(sizes(&mut b), (1_496, 64));
    for bad in [100, 1_279, 1_501, 70_000] {
        give(&mut b, router(R, 0, 1800, &mtu(bad)));
        assert_eq!(sizes(&mut b), (1_496, 64), "{bad}");
    }
    give(&mut b, router(R, 32, 1800, &mtu(1_400)));
    let (longest, hops) = sizes(&mut b);
    assert!(longest <= 1_400 && longest > 1_390 && hops == 32, "{longest} {hops}");
    give(&mut b, router(R, 0, 1800, &[]));
    assert_eq!(sizes(&mut b), (longest, 32), "what is not said is not changed");
    let before = addresses(&b);
    give(&mut b, router(R, 0, 0, &[]));
    assert_eq!((send(&mut b, FAR), addresses(&b)), (vec![], before), "no router, but addresses");
}

#[test]
fn preferences_and_route_information_decide_by_which_router_packets_go() {
    let other = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xfd);
    let mut b = configured(&[]);
    let high = |lifetime: u16| {
        let mut packet = router(other, 0, lifetime, &[&[1, 1][..], &P_MAC].concat());
        packet[45] = 0x08;
        let body = packet[40..].to_vec();
        packet.truncate(40);
        packet.extend(six::icmp(other, six::ALL_NODES, 134, 0, body[4..8].try_into().expect("4"), &body[8..]));
        packet
    };
    give(&mut b, high(1800));
    assert_eq!(send(&mut b, FAR)[0].mac, P_MAC, "the preferred one");
    let routed = [24, 2, 48, 0, 0, 0, 2, 88, 0x20, 1, 0xd, 0xb8, 0, 9, 0, 0];
    give(&mut b, router(R, 0, 1800, &routed));
    assert_eq!(send(&mut b, FAR)[0].mac, R_MAC, "the one that has the longer prefix");
    six::pass(&mut b, Duration::from_secs(601));
    for (ip, mac) in [(R, R_MAC), (other, P_MAC)] {
        give(&mut b, six::advert(ip, six::H_LL, ip, 0xa0, Some(mac)));
    }
    give(&mut b, high(1800));
    give(&mut b, router(R, 0, 1800, &options(&[])));
    let seen = send(&mut b, FAR);
    assert!(seen.iter().any(|s| s.mac == P_MAC), "its lifetime is over: {seen:?}");
}

#[test]
fn a_router_that_says_it_is_none_any_more_is_forgotten() {
    let mut b = configured(&[]);
    let own = addresses(&b)[0].0;
    give(&mut b, six::advert(R, own, R, 0x60, Some(R_MAC)));
    assert!(b.stack.routes().all(|r| r.gateway != Some(v6(R))));
    assert_eq!(send(&mut b, FAR), []);
}

#[test]
fn a_redirect_is_followed_only_when_the_router_on_the_way_sends_it() {
    let better = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xfd);
    let redirect = |b: &Bench, src: Ipv6Addr, target: Ipv6Addr| {
        let own = formed(b).expect("an address").0;
        let body = [&target.octets()[..], &FAR.octets(), &[2, 1], &P_MAC].concat();
        Ip6 { hops: 255, ..Ip6::new(src, own, 58) }.build(&six::icmp(src, own, 137, 0, [0; 4], &body))
    };
    let mut b = configured(&[]);
    for (src, target) in [(better, better), (R, FAR)] {
        let packet = redirect(&b, src, target);
        if src == R {
            continue;
        }
        give(&mut b, packet);
        assert_eq!(b.dropped(DropReason::NdpRedirect), 1);
        assert_eq!(send(&mut b, FAR)[0].mac, R_MAC);
    }
    let packet = redirect(&b, R, better);
    give(&mut b, packet);
    assert_eq!(send(&mut b, FAR)[0].mac, P_MAC, "by the better router");
    // Ten minutes later, and the first router being asked again, it is forgotten.
    six::pass(&mut b, Duration::from_secs(601));
    assert!(b.stack.routes().all(|r| Some(r.prefix) != Cidr::host(v6(FAR))));
    // An interface that follows no routers follows no redirects.
    let mut b = six::bench();
    b.stack.add_gateway(b.iface, v6(R)).expect("a gateway");
    let body = [better.octets(), FAR.octets()].concat();
    give(&mut b, Ip6 { hops: 255, ..Ip6::new(R, H, 58) }.build(&six::icmp(R, H, 137, 0, [0; 4], &body)));
    assert_eq!(
        (b.dropped(DropReason::NdpRedirect), b.stack.routes().any(|r| Some(r.prefix) == Cidr::host(v6(FAR)))),
        (1, false)
    );
}

#[test]
fn what_nobody_asked_for_is_left_alone() {
    let mut b = six::bench();
    let routes = b.stack.routes().count();
    give(&mut b, router(R, 9, 1800, &prefix(NET, 0xc0, 9_000, 900)));
    assert_eq!((b.dropped(DropReason::NdpNotConfigured), b.stack.routes().count()), (1, routes));
    assert_eq!(formed(&b), None);
    six::is_well(&mut b);
}

#[test]
fn an_address_that_is_taken_is_formed_otherwise() {
    let mut b = asking();
    give(&mut b, router(R, 0, 1800, &options(&prefix(NET, 0xc0, 86_400, 14_400))));
    let first = formed(&b).expect("on trial");
    assert_eq!(first.1, AddressState::Tentative);
    give(&mut b, six::solicit(NOBODY, node_group(first.0), first.0, None));
    six::pass(&mut b, Duration::from_secs(3));
    let second = formed(&b).expect("another");
    assert!(second.0 != first.0 && second.1 == AddressState::Preferred, "{first:?} {second:?}");
    assert_eq!(b.dropped(DropReason::DuplicateAddress), 1);
    let _ = P;
}

#[test]
fn how_long_a_route_lives_is_told_until_it_is_gone() {
    let mut b = configured(&[]);
    let left = |b: &Bench, prefix: &str| {
        let prefix: Cidr = prefix.parse().expect("a prefix");
        let route = *b.stack.routes().find(|r| r.prefix == prefix)?;
        let (origin, until) = b.stack.route_lifetime(&route);
        Some((origin, until.map(|at| at.since(b.now).as_micros().div_ceil(1_000_000))))
    };
    let advertised = |seconds| Some((RouteOrigin::Advertised, Some(seconds)));
    // Three seconds have passed since.
    assert_eq!(left(&b, "::/0"), advertised(1797));
    assert_eq!(left(&b, "2001:db8:7::/64"), advertised(86_397));
    assert_eq!(left(&b, "fe80::/64"), Some((RouteOrigin::Program, None)));
    let added = "2001:db8:8::/48".parse().expect("a prefix");
    let route = Route { prefix: added, gateway: None, iface: b.iface, metric: 0 };
    b.stack.add_route(route).expect("room");
    assert_eq!(left(&b, "2001:db8:8::/48"), Some((RouteOrigin::Program, None)));
    // A redirect by R, for a host behind it.
    let own = formed(&b).expect("an address").0;
    let neighbor = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x77);
    let body = [neighbor.octets(), FAR.octets()].concat();
    let redirect = Ip6 { hops: 255, ..Ip6::new(R, own, 58) }.build(&six::icmp(R, own, 137, 0, [0; 4], &body));
    give(&mut b, redirect);
    assert_eq!(left(&b, "2001:db8:9::9/128"), Some((RouteOrigin::Redirect, Some(600))));
    six::pass(&mut b, Duration::from_secs(599));
    assert_eq!(left(&b, "2001:db8:9::9/128"), Some((RouteOrigin::Redirect, Some(1))));
    six::pass(&mut b, Duration::from_secs(2));
    assert_eq!(left(&b, "2001:db8:9::9/128"), None);
    assert_eq!(left(&b, "::/0"), advertised(1196));
    // Advertised again, it lives anew.
    give(&mut b, router(R, 0, 30, &options(&[])));
    assert_eq!(left(&b, "::/0"), advertised(30));
    six::pass(&mut b, Duration::from_secs(31));
    assert_eq!(left(&b, "::/0"), None);
}

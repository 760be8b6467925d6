//! Tests of an interface's own IPv6.

#[cfg(all(feature = "routes", feature = "rdnss"))]
use super::learned::{LEARNED, REDIRECTS, ROUTERS};
#[cfg(all(feature = "routes", feature = "rdnss"))]
use super::names::SERVERS;
use super::*;
#[cfg(feature = "routes")]
use crate::ip::route::IfaceId;
use crate::rng::Purpose;
extern crate std;

const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

fn secret() -> Secret {
    Secret::new([9; 16])
}

fn rng() -> Rng {
    Rng::new(&secret(), Purpose::Jitter)
}

fn at(seconds: u64) -> Instant {
    Instant::from_secs(seconds)
}

fn prefix(text: &str, valid: u32, preferred: u32) -> Prefix {
    Prefix { prefix: text.parse().expect("valid text"), len: 64, on_link: true, autonomous: true, valid, preferred }
}

/// A host with one address formed from a prefix of these lifetimes, at second 10.
fn formed(valid: u32, preferred: u32) -> Host {
    let mut host = Host::new();
    assert!(host.on_prefix(at(0), &prefix("2001:db8::", valid, preferred), MAC, &secret(), &mut rng()));
    while let Some(step) = host.step(at(10)) {
        if let Step::Probe(_) = step {
            host.tentative.iter_mut().for_each(|t| t.at = at(10));
        }
        if let Step::Assign(t) = step {
            host.formed.push(Formed::of(&t).expect("formed")).expect("room");
        }
    }
    assert_eq!(host.formed.len(), 1);
    host
}

#[test]
fn an_address_is_probed_and_a_second_later_assigned() {
    let mut host = Host::new();
    let cidr: Cidr = "2001:db8::1/64".parse().expect("valid text");
    assert!(host.try_address(at(5), cidr, 1));
    assert_eq!(host.deadline(), Some(at(5)));
    assert!(matches!(host.step(at(5)), Some(Step::Probe(_))));
    assert_eq!((host.step(at(5)), host.deadline()), (None, Some(at(6))));
    assert!(matches!(host.step(at(6)), Some(Step::Assign(t)) if t.cidr == cidr));
    assert_eq!((host.step(at(9)), host.deadline()), (None, None));
}

/// H010.
#[test]
fn a_duplicate_is_never_assigned_and_one_from_a_prefix_is_tried_otherwise() {
    let mut host = Host::new();
    let cidr: Cidr = "2001:db8::1/64".parse().expect("valid text");
    host.try_address(at(0), cidr, 1);
    host.on_duplicate(at(0), "2001:db8::1".parse().expect("valid text"), MAC, &secret(), &mut rng());
    assert_eq!((host.step(at(100)), host.deadline()), (None, None));
    assert!(host.tentative[0].duplicate);
    let mut host = Host::new();
    host.on_prefix(at(0), &prefix("2001:db8::", 9_000, 900), MAC, &secret(), &mut rng());
    let mut tried = std::collections::HashSet::new();
    for _ in 0..=RETRIES {
        let IpAddr::V6(addr) = host.tentative[0].cidr.addr() else { panic!("IPv6") };
        assert!(tried.insert(addr) && !host.tentative[0].duplicate);
        host.on_duplicate(at(0), addr, MAC, &secret(), &mut rng());
    }
    assert!(host.tentative[0].duplicate, "given up");
}

/// H013.
#[test]
fn the_two_hour_rule_keeps_an_address_that_a_router_would_end() {
    let day: u32 = 86_400;
    for (before, valid, expected) in [
        (day, 0, Some(7_210u32)),
        (day, 7_200, Some(7_210u32)),
        (day, 7_201, Some(10 + 7_201)),
        (3_600, 60, Some(3_600)),
        (3_600, 3_600, Some(10 + 3_600)),
        (INFINITE, 0, Some(7_210u32)),
        (day, INFINITE, None),
    ] {
        let mut host = formed(before, 100);
        host.on_prefix(at(10), &prefix("2001:db8::", valid, 0), MAC, &secret(), &mut rng());
        let life = host.formed[0].lifetimes;
        assert_eq!(life.valid, expected.map(|s| at(u64::from(s))), "{before} {valid}");
        assert!(host.is_deprecated(at(10), host.formed[0].addr.into()), "deprecated at once");
    }
}

#[test]
fn addresses_grow_old_and_go() {
    let mut host = formed(1_000, 100);
    let addr = host.formed[0].addr;
    assert!(!host.is_deprecated(at(99), addr.into()) && host.is_deprecated(at(100), addr.into()));
    assert_eq!((host.deadline(), host.step(at(999))), (Some(at(1_000)), None));
    assert_eq!(host.step(at(1_000)), Some(Step::AddressGone(addr)));
    assert_eq!(host.step(at(1_000)), None);
}

#[test]
fn prefixes_that_form_no_address_are_passed_over() {
    let good = prefix("2001:db8::", 100, 50);
    for bad in [
        Prefix { preferred: 101, ..good },
        Prefix { len: 63, ..good },
        Prefix { valid: 0, preferred: 0, ..good },
        Prefix { prefix: "fe80::".parse().expect("valid text"), ..good },
    ] {
        let mut host = Host::new();
        assert!(host.on_prefix(at(0), &bad, MAC, &secret(), &mut rng()));
        assert_eq!(host.deadline(), None, "{bad:?}");
    }
}

/// H012, as far as the tables go.
#[cfg(all(feature = "routes", feature = "rdnss"))]
#[test]
fn a_flood_of_news_fills_the_tables_and_what_was_there_first_stays() {
    let mut host = formed(9_000, 900);
    let first = host.formed[0].addr;
    let iface = IfaceId(0);
    let default = |n: u16| Route {
        prefix: "::/0".parse().expect("valid text"),
        gateway: Some(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, n).into()),
        iface,
        metric: 0,
    };
    let on_link = |n: u16| {
        let prefix = Cidr::new(Ipv6Addr::new(0x2001, 0xdb8, n, 0, 0, 0, 0, 0).into(), 64).expect("a prefix");
        Route { prefix, gateway: None, iface, metric: 0 }
    };
    for n in 0..10_000u16 {
        host.on_prefix(at(20), &prefix(&std::format!("2001:db8:{n:x}::"), 9_000, 900), MAC, &secret(), &mut rng());
        let expected = |most: usize| if usize::from(n) < most { Change::Add } else { Change::Full };
        assert_eq!(host.on_route(at(20), default(n), 1_800, false), expected(ROUTERS));
        assert_eq!(host.on_route(at(20), on_link(n), 1_800, false), expected(LEARNED - ROUTERS - REDIRECTS));
        let redirect = Route { gateway: Some(IpAddr::V6(Ipv6Addr::LOCALHOST)), ..on_link(n) };
        assert_eq!(host.on_redirect(at(20), redirect), expected(REDIRECTS));
        let server = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n).octets();
        assert_eq!(host.on_servers(at(20), &[server], 90), usize::from(n) < SERVERS);
    }
    assert_eq!(host.formed[0].addr, first);
    assert!(host.tentative.len() + host.formed.len() <= FORMED);
    assert!(host.is_router(default(0).gateway.expect("one")));
    assert_eq!(host.servers(at(20)).next(), Some("2001:db8::".parse().expect("valid text")));
}

#[cfg(all(feature = "routes", feature = "rdnss"))]
#[test]
fn a_route_is_renewed_changed_and_ended_by_what_is_advertised() {
    let mut host = Host::new();
    let route = Route {
        prefix: "::/0".parse().expect("valid text"),
        gateway: Some("fe80::1".parse().expect("valid text")),
        iface: IfaceId(0),
        metric: 1,
    };
    assert_eq!(host.on_route(at(0), route, 0, false), Change::None);
    assert_eq!(host.on_route(at(0), route, 60, false), Change::Add);
    assert_eq!(host.on_route(at(30), route, 60, false), Change::None);
    let better = Route { metric: 0, ..route };
    assert_eq!(host.on_route(at(30), better, 60, false), Change::Replace(route));
    assert_eq!((host.step(at(89)), host.step(at(90))), (None, Some(Step::RouteGone(better))));
    assert_eq!(host.on_route(at(91), route, 60, false), Change::Add);
    assert_eq!(host.on_route(at(91), route, 0, false), Change::Remove(route));
    assert_eq!(host.deadline(), None);
}

#[test]
fn routers_are_asked_for_ever_more_rarely_until_one_answers() {
    let mut host = Host::new();
    host.follow_routers(at(0), &mut rng());
    let mut times = std::vec::Vec::new();
    while times.len() < 14 {
        let now = host.deadline().expect("one more");
        assert_eq!(host.step(now), Some(Step::Solicit));
        times.push(now);
    }
    assert!(times[0] >= at(1) && times[0] <= at(2));
    let gaps: std::vec::Vec<_> = times.windows(2).map(|w| w[1].since(w[0]).as_micros() / 1_000_000).collect();
    assert_eq!(gaps, [4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 3_600, 3_600, 3_600]);
    host.on_answered();
    assert_eq!(host.deadline(), None);
}

#[cfg(feature = "rdnss")]
#[test]
fn dns_servers_and_domains_live_as_long_as_they_are_advertised() {
    let mut host = Host::new();
    let server = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x53);
    assert!(host.on_servers(at(0), &[server.octets()], 60));
    assert!(host.on_search(at(0), b"\x07example\x03org\x00\x04home\x00\x00\x00", 60));
    assert_eq!(host.servers(at(59)).collect::<std::vec::Vec<_>>(), [server]);
    assert_eq!(host.domains(at(59)).collect::<std::vec::Vec<_>>(), ["example.org", "home"]);
    assert_eq!((host.servers(at(60)).count(), host.domains(at(60)).count()), (0, 0));
    assert!(host.on_servers(at(1), &[server.octets()], 0) && host.on_search(at(1), b"\x04home\x00", 0));
    assert_eq!((host.servers(at(1)).count(), host.domains(at(1)).count()), (0, 1));
    for bad in [&b"\x07exam"[..], b"\xc0\x00", b"\x03a b\x00", b"\x40"] {
        assert!(host.on_search(at(1), bad, 60));
        assert_eq!(host.domains(at(1)).count(), 1, "{bad:?}");
    }
}

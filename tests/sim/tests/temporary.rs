//! Temporary addresses (RFC 8981) and the times that routers tell (RFC 4861 §6.3.4), on a whole stack.

use ringtap::device::Link;
use ringtap::link::neighbor::NeighborState;
use ringtap::sockets::UdpOptions;
use ringtap::stack::{AddressState, Identifiers, SourcePreference, TemporaryAddresses};
use ringtap::stats::DropReason;
use ringtap::tcp::ConnectOptions;
use ringtap::time::{Duration, Instant};
use ringtap_sim::Bench;
use ringtap_sim::bench::R_MAC;
use ringtap_sim::six::{self, NOBODY, R, Sent, give, node_group, prefix, router, v6};
use std::collections::HashSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

const NET: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 0);
const FAR: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 9);
const DAY: u32 = 86_400;

/// R's advertisement of NET with these lifetimes, and what else.
fn advert(valid: u32, preferred: u32, more: &[u8]) -> Vec<u8> {
    let options = [&[1, 1][..], &R_MAC, &prefix(NET, 0xc0, valid, preferred), more].concat();
    router(R, 0, 1_800, &options)
}

/// H, which follows routers and makes temporary addresses of these lifetimes.
fn bench(settings: Option<TemporaryAddresses>) -> Bench {
    let mut b = six::bare(|_| {});
    b.stack.autoconfigure(b.iface, Identifiers::Opaque).expect("Ethernet");
    b.stack.set_temporary_addresses(b.iface, settings).expect("settings that can be");
    six::pass(&mut b, Duration::from_secs(3));
    give(&mut b, advert(30 * DAY, 7 * DAY, &[]));
    six::pass(&mut b, Duration::from_secs(5));
    b
}

/// The addresses from NET: temporary or not, and how far each can be used.
fn addresses(b: &Bench) -> Vec<(Ipv6Addr, bool, AddressState)> {
    let all = b.stack.ipv6_addresses(b.iface).filter_map(|(cidr, state)| match cidr.addr() {
        IpAddr::V6(ip) if ip.segments()[..4] == NET.segments()[..4] => {
            Some((ip, b.stack.is_temporary(b.iface, ip), state))
        }
        _ => None,
    });
    all.collect()
}

fn temporary(b: &Bench, wanted: AddressState) -> Vec<Ipv6Addr> {
    addresses(b).into_iter().filter(|(_, temporary, state)| *temporary && *state == wanted).map(|a| a.0).collect()
}

fn stable(b: &Bench) -> Ipv6Addr {
    addresses(b).into_iter().find(|(_, temporary, _)| !temporary).expect("a stable address").0
}

/// The source of a datagram of a socket with this preference.
fn source(b: &mut Bench, source: SourcePreference) -> Ipv6Addr {
    give(b, advert(30 * DAY, 7 * DAY, &[]));
    let udp = b.stack.udp_bind(None, 0, &UdpOptions { source, ..UdpOptions::default() }).expect("a port");
    b.stack.udp(udp).expect("open").send_to(b"text", SocketAddr::new(v6(FAR), 9)).expect("a way");
    let seen: Vec<Sent> = six::of(&b.poll());
    b.stack.udp(udp).expect("open").connect(SocketAddr::new(v6(FAR), 9)).expect("a way");
    let local = b.stack.udp(udp).expect("open").local_addr().expect("connected").ip();
    let sent = seen.iter().find(|s| s.next == 17).expect("a datagram").src;
    assert_eq!(local, v6(sent), "connected sockets are from there, too");
    b.stack.udp(udp).expect("open").close();
    let options = ConnectOptions { source, ..ConnectOptions::default() };
    let tcp = b.stack.tcp_connect(SocketAddr::new(v6(FAR), 80), &options).expect("a way");
    assert_eq!(b.stack.tcp(tcp).expect("open").local_addr().map(|a| a.ip()), Some(local));
    b.stack.tcp(tcp).expect("open").abort();
    sent
}

#[test]
fn there_are_none_unless_they_are_asked_for() {
    let mut b = bench(None);
    six::pass(&mut b, Duration::from_secs(3_600));
    assert_eq!(addresses(&b).iter().map(|a| a.1).collect::<Vec<_>>(), [false]);
    // Asked for later, one is made at once.
    b.stack.set_temporary_addresses(b.iface, Some(TemporaryAddresses::RFC8981)).expect("settings that can be");
    six::pass(&mut b, Duration::from_secs(2));
    assert_eq!(temporary(&b, AddressState::Preferred).len(), 1);
    for bad in [(10, 100), (100, 99)] {
        let (preferred, valid) = (Duration::from_secs(bad.0), Duration::from_secs(bad.1));
        let settings = TemporaryAddresses { preferred, valid, prefer: true };
        assert!(b.stack.set_temporary_addresses(b.iface, Some(settings)).is_err(), "{bad:?}");
    }
}

#[test]
fn one_is_made_beside_the_stable_one_tried_and_preferred_as_each_socket_wants() {
    let mut b = bench(Some(TemporaryAddresses::RFC8981));
    let [ip] = temporary(&b, AddressState::Preferred)[..] else { panic!("{:?}", addresses(&b)) };
    let stable = stable(&b);
    assert_ne!(ip.to_bits() as u64, stable.to_bits() as u64);
    assert_eq!(source(&mut b, SourcePreference::AsSet), ip);
    assert_eq!(source(&mut b, SourcePreference::Temporary), ip);
    assert_eq!(source(&mut b, SourcePreference::Stable), stable);
    let settings = TemporaryAddresses { prefer: false, ..TemporaryAddresses::RFC8981 };
    b.stack.set_temporary_addresses(b.iface, Some(settings)).expect("settings that can be");
    assert_eq!(source(&mut b, SourcePreference::AsSet), stable);
    assert_eq!(source(&mut b, SourcePreference::Temporary), ip);
    // It answers as any other.
    let seen = give(&mut b, six::solicit(R, node_group(ip), ip, Some(R_MAC)));
    assert_eq!(seen.iter().find_map(|s| s.target(136)), Some(ip));
}

// RFC 8981 §3.4, §3.5.
#[test]
fn the_next_one_is_made_before_the_last_is_deprecated_and_old_ones_go() {
    let mut b = bench(Some(TemporaryAddresses::RFC8981));
    let start = b.now;
    let mut met: Vec<(Instant, Ipv6Addr)> = Vec::new();
    let mut deprecated: HashSet<Ipv6Addr> = HashSet::new();
    let kept = stable(&b);
    while b.now.since(start) < Duration::from_secs(10 * u64::from(DAY)) {
        give(&mut b, advert(30 * DAY, 7 * DAY, &[]));
        for _ in 0..600 {
            six::pass(&mut b, Duration::from_secs(1));
            let preferred = temporary(&b, AddressState::Preferred);
            assert!((1..=2).contains(&preferred.len()), "there is always one: {:?}", addresses(&b));
            for ip in preferred.into_iter().filter(|ip| !met.iter().any(|(_, old)| old == ip)).collect::<Vec<_>>() {
                met.push((b.now, ip));
            }
        }
        deprecated.extend(temporary(&b, AddressState::Deprecated));
        assert!(addresses(&b).len() <= 5 && stable(&b) == kept);
    }
    // Each lives for 0.6 to 1 day.
    assert!((10..=18).contains(&met.len()), "{}", met.len());
    let pauses: Vec<u64> = met.windows(2).map(|w| w[1].0.since(w[0].0).as_secs()).collect();
    let day = u64::from(DAY);
    assert!(pauses.iter().all(|p| (day * 6 / 10 - 10..=day).contains(p)), "{pauses:?}");
    assert!(pauses.iter().collect::<HashSet<_>>().len() > pauses.len() / 2, "not all at one pace");
    let identifiers: HashSet<u64> = met.iter().map(|(_, ip)| ip.to_bits() as u64).collect();
    assert_eq!(identifiers.len(), met.len());
    // The first ones are gone, and were deprecated before.
    let now: HashSet<Ipv6Addr> = addresses(&b).iter().map(|a| a.0).collect();
    assert!(met[..6].iter().all(|(_, ip)| !now.contains(ip) && deprecated.contains(ip)));
    assert_eq!(b.frames_in_use(), 0);
}

#[test]
fn routers_can_shorten_their_lives_and_not_lengthen_them() {
    let mut b = bench(Some(TemporaryAddresses::RFC8981));
    let [ip] = temporary(&b, AddressState::Preferred)[..] else { panic!("{:?}", addresses(&b)) };
    give(&mut b, advert(30 * DAY, 0, &[]));
    assert_eq!(temporary(&b, AddressState::Deprecated), [ip]);
    six::pass(&mut b, Duration::from_secs(3_600));
    assert_eq!(addresses(&b).len(), 2, "none is made that would be deprecated at once");
    // Three seconds are less than REGEN_ADVANCE.
    give(&mut b, advert(30 * DAY, 3, &[]));
    assert_eq!(addresses(&b).len(), 2);
    give(&mut b, advert(u32::MAX, u32::MAX, &[]));
    assert_eq!(temporary(&b, AddressState::Preferred), [ip]);
    for _ in 0..48 {
        six::pass(&mut b, Duration::from_secs(3_600));
        give(&mut b, advert(u32::MAX, u32::MAX, &[]));
    }
    assert!(addresses(&b).iter().all(|a| a.0 != ip), "two days are over, whatever is advertised");
}

// RFC 8981 §3.4 (7).
#[test]
fn after_four_that_others_have_no_more_are_made_for_the_prefix() {
    let mut b = bench(None);
    b.stack.set_temporary_addresses(b.iface, Some(TemporaryAddresses::RFC8981)).expect("settings that can be");
    let mut tried = HashSet::new();
    for _ in 0..60 {
        let mut seen: Vec<Sent> = six::pass(&mut b, Duration::from_millis(500)).into_iter().map(|(_, s)| s).collect();
        while let Some(sent) = seen.pop() {
            let Some(ip) = sent.target(135).filter(|_| sent.src == NOBODY) else { continue };
            assert!(tried.insert(ip), "each once");
            seen.extend(give(&mut b, six::advert(R, six::ALL_NODES, ip, 0x20, Some(R_MAC))));
        }
    }
    assert_eq!((tried.len(), b.dropped(DropReason::DuplicateAddress)), (4, 4));
    give(&mut b, advert(30 * DAY, 7 * DAY, &[]));
    assert!(six::pass(&mut b, Duration::from_secs(3_600)).iter().all(|(_, s)| s.src != NOBODY));
    let stable = stable(&b);
    assert_eq!(source(&mut b, SourcePreference::Temporary), stable);
}

// H012.
#[test]
fn a_flood_of_prefixes_makes_four_at_most_and_the_first_stays() {
    let mut b = bench(Some(TemporaryAddresses::RFC8981));
    let first = temporary(&b, AddressState::Preferred);
    for n in 0..2_000u16 {
        let net = Ipv6Addr::new(0x2001, 0xdb8, 0x100 + n, 0, 0, 0, 0, 0);
        give(&mut b, router(R, 0, 1_800, &prefix(net, 0xc0, 9_000, 900)));
        six::pass(&mut b, Duration::from_millis(100));
    }
    six::pass(&mut b, Duration::from_secs(5));
    let all: Vec<_> = b.stack.ipv6_addresses(b.iface).collect();
    let made = all.iter().filter(|(c, _)| matches!(c.addr(), IpAddr::V6(ip) if b.stack.is_temporary(b.iface, ip)));
    assert!(made.count() <= 4 && all.len() <= 8, "{all:?}");
    assert_eq!(temporary(&b, AddressState::Preferred), first);
    assert_eq!(b.frames_in_use(), 0);
}

/// R's advertisement with these times, in milliseconds.
fn times(reachable: u32, retrans: u32) -> Vec<u8> {
    let body = [&reachable.to_be_bytes()[..], &retrans.to_be_bytes()].concat();
    let message = six::icmp(R, six::ALL_NODES, 134, 0, [0, 0, 7, 8], &body);
    six::Ip6 { hops: 255, ..six::Ip6::new(R, six::ALL_NODES, 58) }.build(&message)
}

/// When P, which does not answer, is asked for.
fn asked(b: &mut Bench, target: Ipv6Addr) -> Vec<Instant> {
    let udp = b.stack.udp_bind(None, 0, &UdpOptions::default()).expect("a port");
    b.stack.udp(udp).expect("open").send_to(b"text", SocketAddr::new(v6(target), 9)).expect("a way");
    let seen = six::pass(b, Duration::from_secs(40));
    b.stack.udp(udp).expect("open").close();
    seen.iter().filter(|(_, s)| s.target(135) == Some(target)).map(|(at, _)| *at).collect()
}

// RFC 4861 §6.3.4.
#[test]
fn the_retransmission_timer_is_the_routers_and_nothing_said_is_nothing_changed() {
    let mut b = bench(None);
    for (n, (told, expected)) in
        [(0, 1_000), (300, 300), (0, 300), (1, 100), (u32::MAX, 10_000), (1_000, 1_000)].into_iter().enumerate()
    {
        give(&mut b, times(0, told));
        let seen = asked(&mut b, Ipv6Addr::from_bits(NET.to_bits() | (0x100 + n as u128)));
        let pauses: Vec<u64> = seen.windows(2).map(|w| w[1].since(w[0]).as_millis()).collect();
        assert_eq!(pauses, [expected, expected], "{told}");
    }
    // Trials of addresses go by it, too.
    give(&mut b, times(0, 400));
    let begin = b.now;
    b.stack.add_address(b.iface, "2001:db8::77/64".parse().expect("valid text")).expect("room");
    let own = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x77);
    while !b.stack.ipv6_addresses(b.iface).any(|(c, s)| c.addr() == v6(own) && s == AddressState::Preferred) {
        six::pass(&mut b, Duration::from_millis(10));
    }
    assert!((390..=420).contains(&b.now.since(begin).as_millis()));
}

// RFC 4861 §6.3.2, §6.3.4.
#[test]
fn the_reachable_time_is_drawn_around_the_routers_and_drawn_anew_with_another() {
    let neighbour = Ipv6Addr::from_bits(NET.to_bits() | 0x55);
    let lasts = |b: &mut Bench| {
        let own = stable(b);
        asked(b, neighbour);
        give(b, six::solicit(neighbour, node_group(own), own, Some(R_MAC)));
        give(b, six::advert(neighbour, own, neighbour, 0x60, Some(R_MAC)));
        let begin = b.now;
        let is = |b: &Bench| b.stack.neighbors().find(|n| n.addr == v6(neighbour)).map(|n| n.state);
        assert_eq!(is(b), Some(NeighborState::Reachable));
        while is(b) == Some(NeighborState::Reachable) {
            b.now += Duration::from_millis(100);
            b.poll();
        }
        b.now.since(begin).as_millis()
    };
    let mut b = bench(None);
    assert_eq!(lasts(&mut b), 30_000);
    let mut met = HashSet::new();
    for base in [4_000, 8_000, 4_001, 8_001, 4_002, 8_002] {
        give(&mut b, times(base, 0));
        let time = lasts(&mut b);
        let base = u64::from(base);
        assert!((base / 2..=base * 3 / 2 + 100).contains(&time), "{base}: {time}");
        met.insert(time * 1_000 / base);
        // The same once more, or none, or one that cannot be, changes nothing.
        for again in [base as u32, 0, 3_600_001] {
            give(&mut b, times(again, 0));
            assert_eq!(lasts(&mut b), time, "{again}");
        }
    }
    assert!(met.len() > 2, "{met:?}");
}

/// The link goes down, and is back.
fn flap(b: &mut Bench) {
    for link in [Link::Down, Link::Up] {
        b.nic.link = link;
        six::pass(b, Duration::from_secs(2));
    }
}

// RFC 8981 §3.6
#[test]
fn on_another_link_new_ones_are_made_and_on_the_same_link_they_stay() {
    let elsewhere = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xaa);
    let other = Ipv6Addr::new(0x2001, 0xdb8, 8, 0, 0, 0, 0, 0);
    let from = |router_ip, net| {
        router(router_ip, 0, 1_800, &[&[1, 1][..], &R_MAC, &prefix(net, 0xc0, 86_400, 14_400)].concat())
    };
    // The router is known, or what it gives is; or neither is.
    for (source, net, stays) in [(R, NET, true), (R, other, true), (elsewhere, NET, true), (elsewhere, other, false)] {
        let mut b = bench(Some(TemporaryAddresses::RFC8981));
        let [before] = temporary(&b, AddressState::Preferred)[..] else { panic!("one") };
        let lasting = stable(&b);
        flap(&mut b);
        assert_eq!(temporary(&b, AddressState::Preferred), [before], "nobody has said yet where we are");
        give(&mut b, from(source, net));
        assert_eq!(temporary(&b, AddressState::Preferred).contains(&before), stays, "{source} {net}");
        six::pass(&mut b, Duration::from_secs(5));
        assert_eq!(stable(&b), lasting);
        let now = temporary(&b, AddressState::Preferred);
        assert_eq!((now.len(), now.contains(&before)), (1, stays), "{source} {net}");
        // Only the first advertisement after that tells.
        give(&mut b, from(elsewhere, Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 0)));
        assert_eq!(temporary(&b, AddressState::Preferred), now);
    }
}

//! Router advertisements of ours: what hosts are told, whom, and when; and that a host of ours goes by them.

use ringtap::config::Config;
use ringtap::device::{Link, Mac, Medium};
use ringtap::error::AddressError;
use ringtap::frame::BoxedPool;
use ringtap::ip::addr::Cidr;
use ringtap::ip::advertise::RouterAdvertisements;
use ringtap::ip::forward::Forwarding;
use ringtap::rng::Secret;
use ringtap::stack::{AddressState, Identifiers, IfaceId, Limits, Stack, Storage};
use ringtap::stats::DropReason;
use ringtap::time::{Duration, Instant};
use ringtap_sim::bench::{P_MAC, Setup};
use ringtap_sim::six::{self, H_LL, Ip6, NOBODY, P_LL, Sent};
use ringtap_sim::{Bench, Nic};
use std::net::{IpAddr, Ipv6Addr};

const ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
const DNS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x53);

fn cidr(text: &str) -> Cidr {
    text.parse().expect("a prefix")
}

/// Twenty minutes between advertisements at most: unasked, there are few.
fn settings() -> RouterAdvertisements {
    let mut settings = RouterAdvertisements::default();
    settings.interval = Duration::from_secs(1200);
    settings.mtu = Some(1400);
    settings.dns = [Some(DNS), None, None];
    settings
}

/// H as a router that tells of itself; the first three advertisements have been seen, and ten minutes have passed.
fn router() -> Bench {
    let mut b = begun(settings());
    let seen = adverts(&six::pass(&mut b, Duration::from_secs(40)));
    assert_eq!(seen.len(), 3, "as in the beginning");
    assert!(seen[0].0.since(b.now) == Duration::ZERO);
    let seen = adverts(&six::pass(&mut b, Duration::from_secs(300)));
    assert_eq!(seen.len(), 0);
    b
}

fn begun(settings: RouterAdvertisements) -> Bench {
    let mut b = six::bench();
    b.stack.add_address(b.iface, cidr("2001:db8::77/64")).expect("room");
    b.stack.add_address(b.iface, cidr("2001:db8:0:1::1/60")).expect("room");
    b.poll();
    b.stack.set_forwarding(Some(Forwarding::default()));
    b.stack.advertise(b.iface, Some(settings)).expect("Ethernet");
    b
}

fn adverts(seen: &[(Instant, Sent)]) -> Vec<(Instant, Sent)> {
    seen.iter().filter(|(_, s)| s.icmp().is_some_and(|i| i.0 == 134)).cloned().collect()
}

fn lifetime(sent: &Sent) -> u16 {
    u16::from_be_bytes([sent.payload[6], sent.payload[7]])
}

/// A host's question, with its MAC address or without.
fn question(src: Ipv6Addr, mac: bool) -> Vec<u8> {
    let option = [&[1, 1][..], &P_MAC].concat();
    let option = if mac { &option[..] } else { &[] };
    Ip6 { hops: 255, ..Ip6::new(src, ROUTERS, 58) }.build(&six::icmp(src, ROUTERS, 133, 0, [0; 4], option))
}

#[test]
fn an_advertisement_says_what_was_set_and_each_prefix_once() {
    let mut b = begun(settings());
    let seen = adverts(&six::pass(&mut b, Duration::from_secs(1)));
    let [(_, sent)] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!((sent.mac, sent.src, sent.dst, sent.hops), ([0x33, 0x33, 0, 0, 0, 1], H_LL, six::ALL_NODES, 255));
    let mut expected = vec![134, 0, sent.payload[2], sent.payload[3], 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    expected.extend([1, 1, 2, 0, 0, 0, 0, 1]);
    expected.extend([5, 1, 0, 0, 0, 0, 5, 120]);
    for (prefix, len, flags) in [("2001:db8::", 64, 0xc0), ("2001:db8::", 60, 0x80)] {
        expected.extend([3, 4, len, flags]);
        expected.extend(2_592_000u32.to_be_bytes());
        expected.extend(604_800u32.to_be_bytes());
        expected.extend([0; 4]);
        expected.extend(prefix.parse::<Ipv6Addr>().expect("an address").octets());
    }
    expected.extend([25, 3, 0, 0, 0, 0, 14, 16]);
    expected.extend(DNS.octets());
    assert_eq!(sent.payload, expected);
    assert_eq!(b.stack.advertising(b.iface), Some(settings()));
    six::is_well(&mut b);
    let mut other = RouterAdvertisements::default();
    (other.managed, other.other, other.hop_limit, other.lifetime, other.autonomous) = (true, true, 9, 700, false);
    let mut b = begun(other);
    let seen = adverts(&six::pass(&mut b, Duration::from_secs(1)));
    let p = &seen[0].1.payload;
    assert_eq!((p[4], p[5], lifetime(&seen[0].1), p.len(), p[24 + 3]), (9, 0xc0, 700, 24 + 64, 0x80), "{p:?}");
}

#[test]
fn who_asks_is_answered_alone_and_who_has_no_address_with_all() {
    let mut b = router();
    assert_eq!(six::give(&mut b, question(P_LL, true)), [], "after a while");
    let start = b.now;
    let seen = adverts(&six::pass(&mut b, Duration::from_secs(2)));
    let [(at, sent)] = &seen[..] else { panic!("{seen:?}") };
    assert!(at.since(start) <= Duration::from_millis(500));
    assert_eq!((sent.mac, sent.src, sent.dst, sent.hops), (P_MAC, H_LL, P_LL, 255));
    let start = b.now;
    six::give(&mut b, question(NOBODY, false));
    let seen = adverts(&six::pass(&mut b, Duration::from_secs(2)));
    let [(at, sent)] = &seen[..] else { panic!("{seen:?}") };
    assert!(at.since(start) <= Duration::from_millis(500));
    assert_eq!(sent.dst, six::ALL_NODES);
    six::is_well(&mut b);
}

/// RFC 4861 §6.1.1.
#[test]
fn questions_that_cannot_be_are_dropped() {
    let mut b = router();
    let good = question(P_LL, true);
    let mut bad = vec![question(NOBODY, true)];
    let off_link = Ip6 { hops: 254, ..Ip6::new(P_LL, ROUTERS, 58) };
    bad.push(off_link.build(&six::icmp(P_LL, ROUTERS, 133, 0, [0; 4], &[])));
    let ip = Ip6 { hops: 255, ..Ip6::new(P_LL, ROUTERS, 58) };
    bad.push(ip.build(&six::icmp(P_LL, ROUTERS, 133, 1, [0; 4], &[])));
    bad.push(ip.build(&six::icmp(P_LL, ROUTERS, 133, 0, [0; 4], &[1, 0, 0, 0, 0, 0, 0, 0])));
    bad.push(ip.build(&six::icmp(P_LL, ROUTERS, 133, 0, [0; 4], &[])[..7]));
    for packet in &bad {
        six::give(&mut b, packet.clone());
    }
    assert_eq!(adverts(&six::pass(&mut b, Duration::from_secs(5))), []);
    assert!(b.dropped(DropReason::NdpMalformed) >= bad.len() - 1);
    six::give(&mut b, good);
    assert_eq!(adverts(&six::pass(&mut b, Duration::from_secs(5))).len(), 1);
    six::is_well(&mut b);
}

#[test]
fn a_flood_of_questions_draws_one_answer_to_all_in_three_seconds() {
    let mut b = router();
    let mut seen = Vec::new();
    for n in 0..3_000u16 {
        let src = if n % 3 == 0 { NOBODY } else { Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, n) };
        six::give(&mut b, question(src, false));
        seen.extend(adverts(&six::pass(&mut b, Duration::from_millis(10))));
    }
    let to_all: Vec<Instant> = seen.iter().filter(|(_, s)| s.dst == six::ALL_NODES).map(|(at, _)| *at).collect();
    assert!((8..=11).contains(&to_all.len()) && seen.len() <= 12, "{} {}", to_all.len(), seen.len());
    assert!(to_all.windows(2).all(|pair| pair[1].since(pair[0]) >= Duration::from_secs(3)));
    six::is_well(&mut b);
}

#[test]
fn who_does_not_forward_says_that_it_is_no_router_and_a_change_is_told_at_once() {
    let mut b = router();
    b.stack.set_forwarding(None);
    let seen = adverts(&six::pass(&mut b, Duration::from_secs(1)));
    assert_eq!(seen.iter().map(|(_, s)| lifetime(s)).collect::<Vec<_>>(), [0]);
    b.stack.set_forwarding(Some(Forwarding::default()));
    let seen = adverts(&six::pass(&mut b, Duration::from_secs(4)));
    assert_eq!(seen.iter().map(|(_, s)| lifetime(s)).collect::<Vec<_>>(), [1_800], "three seconds later");
    six::pass(&mut b, Duration::from_secs(100));
    b.stack.set_forwarding(Some(Forwarding::default()));
    assert_eq!(adverts(&six::pass(&mut b, Duration::from_secs(10))), [], "nothing has changed");
}

#[test]
fn the_last_one_says_that_there_is_no_router_any_more() {
    let mut b = router();
    b.stack.advertise(b.iface, None).expect("an interface");
    let seen = adverts(&six::pass(&mut b, Duration::from_secs(1)));
    assert_eq!(seen.iter().map(|(_, s)| lifetime(s)).collect::<Vec<_>>(), [0]);
    assert_eq!(b.stack.advertising(b.iface), None);
    six::give(&mut b, question(P_LL, true));
    assert_eq!(adverts(&six::pass(&mut b, Duration::from_secs(4_000))), []);
    assert_eq!(b.dropped(DropReason::NdpNotForUs), 1);
    b.stack.advertise(b.iface, None).expect("nothing to end");
    six::is_well(&mut b);
}

#[test]
fn the_group_of_routers_is_joined_while_it_tells_of_itself() {
    let mut b = six::bench();
    let group = Mac(six::group_mac(ROUTERS));
    assert!(!b.nic.groups.as_ref().expect("a filter").contains(&group));
    b.stack.advertise(b.iface, Some(settings())).expect("Ethernet");
    let seen = b.pass(Duration::from_secs(2));
    let told = six::told(&seen.into_iter().map(|(_, s)| s).collect::<Vec<_>>());
    assert!(told.iter().any(|(.., message)| message[0] == 143 && message[12..28] == ROUTERS.octets()), "{told:?}");
    assert!(b.nic.groups.as_ref().expect("a filter").contains(&group));
    b.stack.advertise(b.iface, None).expect("an interface");
    six::pass(&mut b, Duration::from_secs(2));
    assert!(!b.nic.groups.as_ref().expect("a filter").contains(&group));
}

#[test]
fn what_cannot_leave_leaves_when_it_can() {
    let mut b = six::bench();
    b.stack.set_forwarding(Some(Forwarding::default()));
    // Without a frame, without a link, without an address of the link.
    let pool = b.pool();
    let held: Vec<_> = std::iter::from_fn(|| pool.take(0)).collect();
    b.stack.advertise(b.iface, Some(settings())).expect("Ethernet");
    assert_eq!(adverts(&six::pass(&mut b, Duration::from_secs(5))), []);
    drop(held);
    assert_eq!(adverts(&six::pass(&mut b, Duration::from_secs(2))).len(), 1);
    b.nic.link = Link::Down;
    six::give(&mut b, question(NOBODY, false));
    six::pass(&mut b, Duration::from_secs(40));
    b.nic.link = Link::Up;
    assert_eq!(adverts(&six::pass(&mut b, Duration::from_secs(2))).len(), 1);
    b.stack.remove_address(b.iface, H_LL.into()).expect("there");
    b.stack.advertise(b.iface, Some(settings())).expect("Ethernet");
    assert_eq!(adverts(&six::pass(&mut b, Duration::from_secs(40))), []);
    b.stack.add_address(b.iface, cidr("fe80::1/64")).expect("room");
    assert_eq!(adverts(&six::pass(&mut b, Duration::from_secs(2))).len(), 1);
    // The last is not waited for where nobody can be told.
    b.nic.link = Link::Down;
    b.poll();
    b.stack.advertise(b.iface, None).expect("an interface");
    six::pass(&mut b, Duration::from_secs(1));
    assert_eq!(b.stack.advertising(b.iface), None);
}

#[test]
fn settings_and_interfaces_that_cannot_be_are_refused() {
    let mut b = six::bench();
    let mut bad = settings();
    bad.interval = Duration::from_secs(3);
    assert_eq!(b.stack.advertise(b.iface, Some(bad)), Err(AddressError::Invalid));
    bad = settings();
    bad.mtu = Some(1501);
    assert_eq!(b.stack.advertise(b.iface, Some(bad)), Err(AddressError::Invalid));
    assert_eq!(b.stack.advertise(IfaceId::REJECT, Some(settings())), Err(AddressError::NoInterface));
    let caps = ringtap::device::Capabilities::plain(Medium::Ip, 1500);
    let mut tun = Bench::built(Setup { caps, ..Setup::default() }, |_| {});
    assert_eq!(tun.stack.advertise(tun.iface, Some(settings())), Err(AddressError::Invalid));
}

/// One end of a cable.
struct Station {
    stack: Stack<'static>,
    iface: IfaceId,
    nic: Nic,
}

impl Station {
    fn new(n: u8) -> Self {
        let pool: &'static BoxedPool = Box::leak(Box::new(BoxedPool::new(1664, 64)));
        let mut stack = Stack::new(Config::new(Secret::new([n; 16])), Storage::growing(Limits::default()));
        let nic = Nic::new(pool.pool(), Medium::Ethernet, 1500);
        let iface = stack.add_interface(&nic, Mac([2, 0, 0, 0, 0, n])).expect("room");
        Self { stack, iface, nic }
    }
}

/// Both are polled, by their deadlines, and frames carried, for some time.
fn run(a: &mut Station, b: &mut Station, now: &mut Instant, time: Duration) {
    let end = *now + time;
    loop {
        let mut moved = false;
        for _ in 0..2 {
            moved |= a.stack.poll(*now, a.iface, &mut a.nic, 16).more | !a.nic.tx.is_empty();
            b.nic.rx.extend(a.nic.tx.drain(..));
            std::mem::swap(a, b);
        }
        if !moved {
            let next = [a.stack.next_deadline(), b.stack.next_deadline()].into_iter().flatten().min();
            match next.filter(|next| *next <= end) {
                Some(next) => *now = next.max(*now + Duration::from_micros(1)),
                None => break,
            }
        }
    }
    *now = end;
}

#[test]
fn a_host_of_ours_configures_itself_by_a_router_of_ours() {
    let (mut router, mut host) = (Station::new(1), Station::new(2));
    let mut now = Instant::from_secs(1);
    router.stack.add_link_local(router.iface, Identifiers::Eui64).expect("Ethernet");
    router.stack.add_address(router.iface, cidr("2001:db8:7::1/64")).expect("room");
    router.stack.set_forwarding(Some(Forwarding::default()));
    router.stack.advertise(router.iface, Some(settings())).expect("Ethernet");
    run(&mut router, &mut host, &mut now, Duration::from_secs(100));
    host.stack.autoconfigure(host.iface, Identifiers::Opaque).expect("Ethernet");
    run(&mut router, &mut host, &mut now, Duration::from_secs(5));
    let own = host.stack.ipv6_addresses(host.iface).find(|(a, _)| cidr("2001:db8:7::/64").contains(a.addr()));
    assert!(matches!(own, Some((_, AddressState::Preferred))), "{own:?}");
    assert_eq!(host.stack.advertised_dns_servers().collect::<Vec<_>>(), [DNS]);
    let default = |host: &Station| host.stack.routes().find(|r| r.prefix == cidr("::/0")).and_then(|r| r.gateway);
    let gateway = default(&host).expect("a router");
    assert!(matches!(gateway, IpAddr::V6(ip) if ip == "fe80::ff:fe00:1".parse::<Ipv6Addr>().expect("an address")));
    // Hours later, it is still so; and it is not when the router says that it is none any more.
    run(&mut router, &mut host, &mut now, Duration::from_secs(20_000));
    assert_eq!(default(&host), Some(gateway));
    router.stack.advertise(router.iface, None).expect("an interface");
    run(&mut router, &mut host, &mut now, Duration::from_secs(1));
    assert_eq!(default(&host), None);
}

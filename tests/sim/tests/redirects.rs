//! Redirects: a router tells hosts of better first hops on their own link, and hosts go by them.
//!
//! H routes there, for P on the first link (192.0.2.0/24, 2001:db8::/64) and P2 on the second; R is another router of the first
//! link, behind whom FAR is.

use ringtap::config::Config;
use ringtap::device::{Capabilities, Mac, Medium};
use ringtap::frame::BoxedPool;
use ringtap::ip::addr::Cidr;
use ringtap::ip::forward::{Forwarding, ReversePath};
use ringtap::ip::route::{Route, RouteOrigin};
use ringtap::rng::Secret;
use ringtap::sockets::UdpOptions;
use ringtap::stack::{Identifiers, IfaceId, Limits, Stack, Storage};
use ringtap::stats::DropReason;
use ringtap::time::{Duration, Instant};
use ringtap_sim::bench::{H, H_MAC, P, P_MAC, P2, R, R_MAC, Setup};
use ringtap_sim::packet::{self, Ip, Seen};
use ringtap_sim::six::{self, Ip6};
use ringtap_sim::{Bench, Nic};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const FAR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 5);
const FAR6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 9);

fn cidr(text: &str) -> Cidr {
    text.parse().expect("a prefix")
}

/// H as a router of both families, whose default routers are R.
fn router() -> Bench {
    router_of(Setup::default(), |_| {})
}

fn router_of(setup: Setup, change: impl FnOnce(&mut Config<'static>)) -> Bench {
    let changed = |c: &mut Config<'static>| {
        c.dad_transmits = 0;
        change(c);
    };
    let mut b = Bench::built(setup, changed).with_live_neighbors().with_second_link();
    for text in ["2001:db8::1/64", "fe80::1/64"] {
        b.stack.add_address(b.iface, cidr(text)).expect("room");
    }
    b.stack.add_gateway(b.iface, IpAddr::V6(six::R)).expect("a gateway");
    b.poll();
    six::give(&mut b, six::solicit(six::P, six::node_group(six::H), six::H, Some(P_MAC)));
    six::give(&mut b, six::solicit(six::R, six::node_group(six::H_LL), six::H_LL, Some(R_MAC)));
    b.stack.set_forwarding(Some(Forwarding::default()));
    b
}

fn datagram(src: Ipv4Addr, dst: Ipv4Addr, len: usize) -> Vec<u8> {
    Ip::new(src, dst, 17).build(&packet::udp((src, 1), (dst, 2), &vec![7; len]))
}

fn datagram6(src: Ipv6Addr, dst: Ipv6Addr, len: usize) -> Vec<u8> {
    Ip6::new(src, dst, 17).build(&six::udp((src, 1), (dst, 2), &vec![7; len]))
}

fn frame(packet: &[u8]) -> Vec<u8> {
    packet::ethernet(H_MAC, P_MAC, if packet[0] >> 4 == 6 { 0x86dd } else { 0x0800 }, packet)
}

/// A packet of P's comes; what leaves by the first link: what is passed on to R, and what is for P.
fn pass(b: &mut Bench, packet: &[u8]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    b.nic.rx.push_back(frame(packet));
    b.poll_raw().into_iter().partition(|f| f[..6] == R_MAC)
}

/// How many packets are passed on, and how many redirects are sent.
fn counts(b: &mut Bench, packet: &[u8]) -> (usize, usize) {
    let (on, back) = pass(b, packet);
    (on.len(), back.len())
}

#[test]
fn a_neighbour_is_told_of_the_better_router_and_its_packet_goes_on() {
    let mut b = router();
    let packet = datagram(P, FAR, 100);
    let (on, back) = pass(&mut b, &packet);
    assert_eq!((on.len(), back.len()), (1, 1));
    let Seen::Icmp(H, P, 5, 1, gateway, quote) = packet::read(&back[0]) else { panic!("{back:?}") };
    assert_eq!(Ipv4Addr::from(gateway), R);
    assert_eq!(quote, packet, "quoted as it came");
    let packet = datagram6(six::P, FAR6, 100);
    let (on, back) = pass(&mut b, &packet);
    assert_eq!((on.len(), back.len()), (1, 1));
    let sent = six::read(&back[0]).expect("a packet");
    assert_eq!((sent.mac, sent.src, sent.dst, sent.hops), (P_MAC, six::H_LL, six::P, 255));
    assert_eq!(sent.icmp(), Some((137, 0, 0)));
    let body = &sent.payload[8..];
    assert_eq!((&body[..16], &body[16..32]), (&six::R.octets()[..], &FAR6.octets()[..]));
    assert_eq!(body[32..40], [&[2, 1][..], &R_MAC].concat(), "its link-layer address");
    let quoted = packet.len() & !7;
    assert_eq!(body[40..48], [4, (quoted / 8 + 1) as u8, 0, 0, 0, 0, 0, 0]);
    assert_eq!(body[48..], packet[..quoted]);
    b.is_well();
    six::is_well(&mut b);
}

#[test]
fn a_long_packet_is_quoted_as_far_as_a_message_may_be_long() {
    let mut b = router();
    let (_, back) = pass(&mut b, &datagram(P, FAR, 1400));
    assert_eq!(back[0].len(), 14 + 576);
    let (_, back) = pass(&mut b, &datagram6(six::P, FAR6, 1400));
    assert_eq!(back[0].len(), 14 + 1280);
    assert_eq!(six::read(&back[0]).expect("a packet").payload[48 + 1], ((1280 - 40 - 48) / 8) as u8);
    b.is_well();
}

/// What is on the link itself: the destination is the better first hop.
#[test]
fn a_destination_on_the_link_is_its_own_better_hop() {
    let mut b = router();
    let (_, back) = pass(&mut b, &datagram(P, R, 9));
    let Seen::Icmp(H, P, 5, 1, gateway, _) = packet::read(&back[0]) else { panic!("{back:?}") };
    assert_eq!(Ipv4Addr::from(gateway), R);
    let other: Ipv6Addr = "2001:db8::fe".parse().expect("an address");
    six::give(&mut b, six::solicit(other, six::node_group(six::H), six::H, Some(R_MAC)));
    let (on, back) = pass(&mut b, &datagram6(six::P, other, 9));
    let sent = six::read(&back[0]).expect("a packet");
    assert_eq!((on.len(), &sent.payload[8..24]), (1, &other.octets()[..]));
    assert_eq!(sent.payload[8..24], sent.payload[24..40], "target and destination are one");
    b.is_well();
}

#[test]
fn nobody_is_told_where_there_is_nothing_better_or_the_switch_is_off() {
    let mut b = router();
    // Another link.
    b.nic.rx.push_back(frame(&datagram(P, P2, 9)));
    assert_eq!(b.poll_raw().len(), 0);
    // From beyond the link: FAR's packets come by R, or by P where sources are not checked.
    b.stack.set_forwarding(Some(Forwarding::with(ReversePath::Off)));
    let stranger: Ipv6Addr = "2001:db8:77::1".parse().expect("an address");
    for packet in [datagram(Ipv4Addr::new(203, 0, 113, 9), FAR, 9), datagram6(stranger, FAR6, 9)] {
        assert_eq!(counts(&mut b, &packet), (1, 0));
    }
    // Between its own two addresses' routes: the sender is the next hop.
    let back = packet::ethernet(H_MAC, R_MAC, 0x0800, &datagram(R, FAR, 9));
    b.nic.rx.push_back(back);
    assert_eq!(b.poll_raw().len(), 1, "passed on to R alone");
    // About errors and later fragments of packets nothing is told.
    let error = Ip::new(P, FAR, 1).build(&packet::icmp(11, 0, [0; 4], &datagram(FAR, P, 9)));
    assert_eq!(counts(&mut b, &error), (1, 0));
    assert_eq!(counts(&mut b, &packet::fragment(&Ip::new(P, FAR, 17), 80, false, &[1; 8])), (1, 0));
    let error = six::icmp(six::P, FAR6, 3, 0, [0; 4], &datagram6(FAR6, six::P, 9));
    assert_eq!(counts(&mut b, &Ip6::new(six::P, FAR6, 58).build(&error)), (1, 0));
    let mut off = Forwarding::default();
    off.redirects = false;
    b.stack.set_forwarding(Some(off));
    for packet in [datagram(P, FAR, 9), datagram6(six::P, FAR6, 9)] {
        assert_eq!(counts(&mut b, &packet), (1, 0));
    }
    assert!(Forwarding::default().redirects);
    b.is_well();
}

/// RFC 4861 §8.2: the target is a router's link-local address, or the destination.
#[test]
fn of_a_router_whose_link_local_address_is_not_known_nothing_is_said_in_ipv6() {
    let mut b = router();
    let gateway: Ipv6Addr = "2001:db8::fe".parse().expect("an address");
    six::give(&mut b, six::solicit(gateway, six::node_group(six::H), six::H, Some(R_MAC)));
    let route = Route { prefix: cidr("2001:db8:9::/64"), gateway: Some(gateway.into()), iface: b.iface, metric: 0 };
    b.stack.add_route(route).expect("room");
    assert_eq!(counts(&mut b, &datagram6(six::P, FAR6, 9)), (1, 0));
    b.stack.remove_route(&route).expect("there");
    assert_eq!(counts(&mut b, &datagram6(six::P, FAR6, 9)), (1, 1));
    // Without an address of the link, there is nobody to say it.
    b.stack.remove_address(b.iface, six::H_LL.into()).expect("there");
    assert_eq!(counts(&mut b, &datagram6(six::P, "2001:db8:9::10".parse().expect("an address"), 9)), (1, 0));
}

#[test]
fn who_does_not_listen_is_told_ever_more_rarely_and_all_together_within_the_rate() {
    let mut b = router();
    for packet in [datagram(P, FAR, 9), datagram6(six::P, FAR6, 9)] {
        let mut told = 0;
        for _ in 0..600 {
            let (on, back) = counts(&mut b, &packet);
            assert_eq!(on, 1);
            told += back;
            b.pass(Duration::from_millis(100));
            // R and P are there still.
            six::give(&mut b, six::advert(six::R, six::H_LL, six::R, 0xe0, Some(R_MAC)));
            six::give(&mut b, six::advert(six::P, six::H, six::P, 0x60, Some(P_MAC)));
        }
        assert_eq!(told, 6, "after 0, 1, 3, 7, 15 and 31 seconds");
    }
    // To ever new destinations.
    let mut b = router_of(Setup::default(), |c| c.reply_rate = 10);
    let mut told = (0, 0);
    for n in 0..1000u32 {
        told.0 += counts(&mut b, &datagram(P, Ipv4Addr::from(0xcb00_7100 + n), 9)).1;
        told.1 += counts(&mut b, &datagram6(six::P, Ipv6Addr::from_bits(FAR6.to_bits() + u128::from(n)), 9)).1;
    }
    assert!((1..=20).contains(&(told.0 + told.1)), "{told:?}");
    assert!(b.dropped(DropReason::RateLimited) > 1900);
    assert_eq!(b.stack.stats().forwarded, 2000, "all go on");
    b.is_well();
}

/// A link without stations has no better hop.
#[test]
fn on_a_link_without_stations_nobody_is_told() {
    let setup = Setup { caps: Capabilities::plain(Medium::Ip, 1500), ..Setup::default() };
    let mut b = Bench::built(setup, |c| c.dad_transmits = 0);
    b.stack.set_forwarding(Some(Forwarding::default()));
    b.nic.rx.push_back(datagram(P, FAR, 9));
    let seen = b.poll_raw();
    // It is unreachable by RFC 4443 §3.1 and its like in IPv4, and no redirect.
    assert!(seen.iter().all(|p| p[9] == 1 && p[20] == 3), "{seen:?}");
}

/// A stack with one card on the one link.
struct Station {
    stack: Stack<'static>,
    iface: IfaceId,
    nic: Nic,
}

impl Station {
    fn new(n: u8, addresses: &[&str]) -> Self {
        let pool: &'static BoxedPool = Box::leak(Box::new(BoxedPool::new(1664, 64)));
        let mut config = Config::new(Secret::new([n; 16]));
        config.dad_transmits = 0;
        let mut stack = Stack::new(config, Storage::growing(Limits::default()));
        let nic = Nic::new(pool.pool(), Medium::Ethernet, 1500);
        let iface = stack.add_interface(&nic, Mac([2, 0, 0, 0, 0, n])).expect("room");
        for text in addresses {
            stack.add_address(iface, cidr(text)).expect("room");
        }
        Self { stack, iface, nic }
    }

    fn route(&mut self, prefix: &str, gateway: &str) {
        let gateway = Some(gateway.parse().expect("an address"));
        self.stack.add_route(Route { prefix: cidr(prefix), gateway, iface: self.iface, metric: 0 }).expect("room");
    }
}

/// All are polled, and frames carried, until nothing moves; who was handed a UDP datagram, by the last octet of its MAC.
fn settle(stations: &mut [Station], now: Instant) -> Vec<u8> {
    let mut hops = Vec::new();
    for _ in 0..100 {
        let mut moved = false;
        for from in 0..stations.len() {
            let s = &mut stations[from];
            moved |= s.stack.poll(now, s.iface, &mut s.nic, 16).more;
            for frame in s.nic.tx.drain(..).collect::<Vec<_>>() {
                moved = true;
                let protocol = if frame[14] >> 4 == 6 { frame[14 + 6] } else { frame[14 + 9] };
                if protocol == 17 && frame[12..14] != [8, 6] {
                    hops.push(frame[5]);
                }
                for (_, other) in stations.iter_mut().enumerate().filter(|(to, _)| *to != from) {
                    other.nic.rx.push_back(frame.clone());
                }
            }
        }
        if !moved {
            return hops;
        }
    }
    panic!("the link does not come to rest");
}

#[test]
fn a_host_of_ours_goes_by_what_a_router_of_ours_tells() {
    let mut host = Station::new(2, &["10.0.0.2/24", "fd00::2/64", "fe80::2/64"]);
    host.route("0.0.0.0/0", "10.0.0.1");
    host.route("::/0", "fe80::1");
    host.stack.autoconfigure(host.iface, Identifiers::Eui64).expect("room");
    let mut router = Station::new(1, &["10.0.0.1/24", "fd00::1/64", "fe80::1/64"]);
    router.route("10.9.0.0/16", "10.0.0.3");
    router.route("fd09::/64", "fe80::3");
    router.stack.set_forwarding(Some(Forwarding::default()));
    let mut better = Station::new(3, &["10.0.0.3/24", "fd00::3/64", "fe80::3/64", "10.9.0.1/16", "fd09::1/64"]);
    // Who says of itself that it is no router is no longer one to its neighbours (RFC 4861 §7.2.5).
    better.stack.set_forwarding(Some(Forwarding::default()));
    let server = better.stack.udp_bind(None, 7, &UdpOptions::default()).expect("a free port");
    let client = host.stack.udp_bind(None, 0, &UdpOptions::default()).expect("a free port");
    let mut stations = [host, router, better];
    let mut now = Instant::from_secs(1);
    settle(&mut stations, now);
    for (to, origin) in [("10.9.0.1", "10.9.0.1/32"), ("fd09::1", "fd09::1/128")] {
        let to = SocketAddr::new(to.parse().expect("an address"), 7);
        for expected in [&[1, 3][..], &[3], &[3]] {
            now += Duration::from_millis(10);
            stations[0].stack.udp(client).expect("open").send_to(b"text", to).expect("a way");
            assert_eq!(settle(&mut stations, now), expected, "{to}");
            let received = stations[2].stack.udp(server).expect("open").recv_from(&mut [0; 9]).expect("delivered");
            assert_eq!(received.to, to);
        }
        let route = *stations[0].stack.routes().find(|r| r.prefix == cidr(origin)).expect("a route");
        assert_eq!(stations[0].stack.route_lifetime(&route).0, RouteOrigin::Redirect);
    }
}

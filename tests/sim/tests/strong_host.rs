//! Weak and strong hosts (RFC 1122 §3.3.4.2): whether an address is the host's or its interface's.
//!
//! H has R (192.0.2.254) as its default router on the first link, and P2's link (198.51.100.0/24, 2001:db8:2::/64) beside it.

use ringtap::config::HostModel;
use ringtap::error::{ConnectError, SendError};
use ringtap::ip::addr::Cidr;
use ringtap::ip::forward::{Forwarding, ReversePath};
use ringtap::ip::policy::{Choice, Policy, Question};
use ringtap::ip::route::{IfaceId, Route};
use ringtap::sockets::UdpOptions;
use ringtap::stats::DropReason;
use ringtap::tcp::{ConnectOptions, TcpOptions};
use ringtap_sim::Bench;
use ringtap_sim::bench::{H, H_MAC, H2, P, P_MAC, P2, R_MAC, Setup};
use ringtap_sim::packet::{self, ACK, Ip, SYN, Seen, Tcp};
use ringtap_sim::six::{self, Ip6};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A host beyond all routers.
const FAR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 5);
/// H's and P2's IPv6 addresses on the second link.
const G2: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1);
const Q2: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 2);

fn host(model: HostModel) -> Bench {
    let change = |c: &mut ringtap::config::Config<'static>| {
        c.dad_transmits = 0;
        c.host_model = model;
    };
    let mut b = Bench::built(Setup::default(), change).with_neighbors().with_second_link();
    let other = b.other.as_ref().expect("a second link").0;
    for (iface, text) in [(b.iface, "2001:db8::1/64"), (b.iface, "fe80::1/64"), (other, "2001:db8:2::1/64")] {
        b.stack.add_address(iface, text.parse().expect("a prefix")).expect("room");
    }
    b.poll();
    six::give(&mut b, six::solicit(six::P, six::node_group(six::H), six::H, Some(P_MAC)));
    let group = six::node_group(G2);
    b.give_other(packet::ethernet(six::group_mac(group), P_MAC, 0x86dd, &six::solicit(Q2, group, G2, Some(P_MAC))));
    b.sent_by_other();
    b
}

fn other(b: &Bench) -> IfaceId {
    b.other.as_ref().expect("a second link").0
}

/// A default route by P2, which the one by R is preferred to.
fn way_by_p2(b: &mut Bench) -> Route {
    let iface = other(b);
    let route = Route { prefix: "0.0.0.0/0".parse().expect("a prefix"), gateway: Some(P2.into()), iface, metric: 9 };
    b.stack.add_route(route).expect("room");
    route
}

fn frame(packet: &[u8]) -> Vec<u8> {
    packet::ethernet(H_MAC, P_MAC, if packet[0] >> 4 == 6 { 0x86dd } else { 0x0800 }, packet)
}

/// A packet comes by the first link; how many frames leave by each.
fn comes(b: &mut Bench, packet: &[u8]) -> (usize, usize) {
    b.nic.rx.push_back(frame(packet));
    let first = b.poll_raw().len();
    (first, taken(b))
}

/// As [`comes`], by the second link.
fn comes_by_other(b: &mut Bench, packet: &[u8]) -> (usize, usize) {
    b.other.as_mut().expect("a second link").1.rx.push_back(frame(packet));
    let first = b.poll_raw().len();
    (first, taken(b))
}

fn taken(b: &mut Bench) -> usize {
    b.other.as_mut().map_or(0, |(_, nic)| nic.tx.drain(..).count())
}

fn ping(src: Ipv4Addr, dst: Ipv4Addr) -> Vec<u8> {
    Ip::new(src, dst, 1).build(&packet::icmp(8, 0, [0, 1, 0, 2], b"ping"))
}

fn ping6(src: Ipv6Addr, dst: Ipv6Addr) -> Vec<u8> {
    Ip6::new(src, dst, 58).build(&six::icmp(src, dst, 128, 0, [0, 1, 0, 2], b"ping"))
}

/// One packet of each kind for an address of H's on the second link, from hosts on the first.
fn for_the_other_interface() -> Vec<Vec<u8>> {
    let syn = Tcp { src: 9, dst: 80, seq: 1, flags: SYN, window: 9000, ..Tcp::default() };
    vec![
        ping(P, H2),
        ping6(six::P, G2),
        Ip::new(P, H2, 17).build(&packet::udp((P, 1), (H2, 7), b"nobody is there")),
        Ip6::new(six::P, G2, 17).build(&six::udp((six::P, 1), (G2, 7), b"nobody is there")),
        Ip::new(P, H2, 6).build(&syn.build(P, H2)),
        Ip6::new(six::P, G2, 6).build(&six::tcp(&syn, six::P, G2)),
    ]
}

#[test]
fn a_weak_host_answers_for_all_its_addresses_on_every_interface() {
    for mut b in [host(HostModel::default()), host(HostModel::Weak)] {
        for packet in for_the_other_interface() {
            assert_eq!(comes(&mut b, &packet), (1, 0), "{packet:?}");
        }
        assert_eq!(b.dropped(DropReason::WrongInterface), 0);
        b.is_well();
        six::is_well(&mut b);
    }
}

#[test]
fn a_strong_host_drops_what_comes_for_an_address_of_another_interface() {
    let mut b = host(HostModel::Strong);
    let listener = b.listen(80, 4, TcpOptions::default());
    let packets = for_the_other_interface();
    for packet in &packets {
        assert_eq!(comes(&mut b, packet), (0, 0), "{packet:?}");
    }
    assert_eq!(b.dropped(DropReason::WrongInterface), packets.len());
    assert!(b.stack.tcp_accept(listener).is_err());
    // By the interface that has the address it is answered, there.
    assert_eq!(comes_by_other(&mut b, &ping(P2, H2)), (0, 1));
    assert_eq!(comes_by_other(&mut b, &ping6(Q2, G2)), (0, 1));
    assert_eq!(comes_by_other(&mut b, &ping(P2, H)), (0, 0));
    assert_eq!(comes_by_other(&mut b, &ping6(Q2, six::H)), (0, 0));
    // An address of ours is no source, whatever it is for.
    assert_eq!(comes(&mut b, &ping(H2, H)), (0, 0));
    assert_eq!((b.dropped(DropReason::WrongInterface), b.dropped(DropReason::MartianSource)), (packets.len() + 2, 1));
    b.is_well();
    six::is_well(&mut b);
}

#[test]
fn what_is_for_groups_and_broadcasts_is_of_the_link_it_came_by() {
    let mut b = host(HostModel::Strong);
    let udp = b.stack.udp_bind(None, 5000, &UdpOptions::default()).expect("a free port");
    for (dst, mac) in [(Ipv4Addr::BROADCAST, [0xff; 6]), (Ipv4Addr::new(192, 0, 2, 255), [0xff; 6])] {
        let packet = Ip::new(P, dst, 17).build(&packet::udp((P, 1), (dst, 5000), b"all"));
        b.give(packet::ethernet(mac, P_MAC, 0x0800, &packet));
        let mut buf = [0; 9];
        let received = b.stack.udp(udp).expect("open").recv_from(&mut buf).expect("delivered");
        assert_eq!((received.iface, received.local), (b.iface, IpAddr::V4(H)));
        b.stack.udp(udp).expect("open").reply(&received, b"one").expect("a way");
        assert_eq!((b.poll_raw().len(), taken(&mut b)), (1, 0));
    }
    b.is_well();
}

#[test]
fn a_packet_leaves_by_the_interface_that_has_its_source_or_not_at_all() {
    let mut b = host(HostModel::Strong);
    let from = |b: &mut Bench, src: IpAddr, dst: IpAddr| {
        let udp = b.stack.udp_bind(Some(src), 0, &UdpOptions::default()).expect("a free port");
        let sent = b.stack.udp(udp).expect("open").send_to(b"x", SocketAddr::new(dst, 9));
        let left = (b.poll_raw().iter().filter(|f| f[..6] == R_MAC).count(), taken(b));
        b.stack.udp(udp).expect("open").close();
        sent.map(|()| left)
    };
    let (far, h, h2) = (IpAddr::V4(FAR), IpAddr::V4(H), IpAddr::V4(H2));
    assert_eq!(from(&mut b, h, far), Ok((1, 0)));
    assert_eq!(from(&mut b, h2, far), Err(SendError::NoRoute), "the default route is by the other interface");
    assert_eq!(from(&mut b, h2, P.into()), Err(SendError::NoRoute));
    let route = way_by_p2(&mut b);
    assert_eq!(from(&mut b, h, far), Ok((1, 0)));
    assert_eq!(from(&mut b, h2, far), Ok((0, 1)), "its own interface's, though another is preferred");
    assert_eq!(from(&mut b, h2, P2.into()), Ok((0, 1)));
    // A blackhole is for all.
    let prefix = Cidr::new(far, 32).expect("a prefix");
    let hole = Route { prefix, gateway: None, iface: IfaceId::BLACKHOLE, metric: 0 };
    b.stack.add_route(hole).expect("room");
    assert_eq!(from(&mut b, h2, far), Err(SendError::NoRoute));
    b.stack.remove_route(&hole).expect("there");
    // IPv6, by networks of the links.
    assert_eq!(from(&mut b, G2.into(), Q2.into()), Ok((0, 1)));
    assert_eq!(from(&mut b, six::H.into(), Q2.into()), Err(SendError::NoRoute));
    // To ourselves nothing takes an interface.
    assert_eq!(from(&mut b, h2, h), Ok((0, 0)));
    b.stack.remove_route(&route).expect("there");
    // The weak host's way is the route's.
    let mut weak = host(HostModel::Weak);
    assert_eq!(from(&mut weak, h2, far), Ok((1, 0)));
    b.is_well();
}

#[test]
fn groups_are_reached_by_the_sources_interface() {
    let mut b = host(HostModel::Strong);
    let udp = b.stack.udp_bind(Some(H2.into()), 0, &UdpOptions::default()).expect("a free port");
    let group = SocketAddr::new(Ipv4Addr::new(224, 0, 0, 251).into(), 5353);
    b.stack.udp(udp).expect("open").send_to(b"x", group).expect("a way: the source says which");
    assert_eq!((b.poll_raw().len(), taken(&mut b)), (0, 1));
    b.is_well();
}

#[test]
fn an_address_of_one_interface_does_not_go_with_another() {
    let mut b = host(HostModel::Strong);
    let options = UdpOptions { iface: Some(b.iface), broadcast: true, ..UdpOptions::default() };
    let udp = b.stack.udp_bind(Some(H2.into()), 0, &options).expect("a free port");
    for to in [IpAddr::V4(P), IpAddr::V4(P2), IpAddr::V4(Ipv4Addr::BROADCAST)] {
        let sent = b.stack.udp(udp).expect("open").send_to(b"x", SocketAddr::new(to, 9));
        assert_eq!(sent, Err(SendError::NotOurAddress), "{to}");
    }
    let raw = b.stack.raw_bind(Some(99)).expect("room");
    b.stack.raw_send(raw, &Ip::new(H2, P, 99).build(b"raw")).expect_err("no way");
    b.stack.raw_send(raw, &Ip::new(H2, P2, 99).build(b"raw")).expect("a way");
    assert_eq!((b.poll_raw().len(), taken(&mut b)), (0, 1));
    b.is_well();
}

#[test]
fn connections_of_both_directions_go_by_their_own_addresss_interface() {
    let mut b = host(HostModel::Strong);
    let options = ConnectOptions { local: Some(H2.into()), tcp: TcpOptions::default(), ..ConnectOptions::default() };
    let far = SocketAddr::new(FAR.into(), 80);
    assert_eq!(b.stack.tcp_connect(far, &options), Err(ConnectError::NoRoute));
    way_by_p2(&mut b);
    let client = b.stack.tcp_connect(far, &options).expect("a way");
    assert_eq!(b.poll_raw().len(), 0);
    let seen = b.sent_by_other();
    let [Seen::Tcp(H2, FAR, syn)] = &seen[..] else { panic!("{seen:?}") };
    let answer =
        Tcp { src: 80, dst: syn.src, seq: 7, ack: syn.seq + 1, flags: SYN | ACK, window: 9000, ..Tcp::default() };
    let answer = Ip::new(FAR, H2, 6).build(&answer.build(FAR, H2));
    // Forged on the other link, it counts for nothing.
    assert_eq!(comes(&mut b, &answer), (0, 0));
    assert_eq!(b.dropped(DropReason::WrongInterface), 1);
    assert_eq!(comes_by_other(&mut b, &answer), (0, 1));
    b.stack.tcp(client).expect("open").write(b"text").expect("room");
    assert_eq!((b.poll_raw().len(), taken(&mut b)), (0, 1));
    // Accepted there, it is answered there.
    let listener = b.listen(81, 4, TcpOptions::default());
    let syn = Tcp { src: 9, dst: 81, seq: 1, flags: SYN, window: 9000, ..Tcp::default() };
    b.other.as_mut().expect("a second link").1.rx.push_back(frame(&Ip::new(FAR, H2, 6).build(&syn.build(FAR, H2))));
    assert_eq!(b.poll_raw().len(), 0);
    let seen = b.sent_by_other();
    let [Seen::Tcp(H2, FAR, syn_ack)] = &seen[..] else { panic!("{seen:?}") };
    let ack = Tcp { src: 9, dst: 81, seq: 2, ack: syn_ack.seq + 1, flags: ACK, window: 9000, ..Tcp::default() };
    assert_eq!(comes_by_other(&mut b, &Ip::new(FAR, H2, 6).build(&ack.build(FAR, H2))), (0, 0));
    let (server, _) = b.stack.tcp_accept(listener).expect("a connection");
    b.stack.tcp(server).expect("open").write(b"text").expect("room");
    assert_eq!((b.poll_raw().len(), taken(&mut b)), (0, 1));
}

/// A reply has no way where only another interface leads to its destination.
#[test]
fn replies_are_held_to_their_source_too() {
    let mut b = host(HostModel::Strong);
    let before = b.dropped(DropReason::NoRoute);
    assert_eq!(comes_by_other(&mut b, &ping(FAR, H2)), (0, 0));
    assert_eq!(b.dropped(DropReason::NoRoute), before + 1);
    way_by_p2(&mut b);
    assert_eq!(comes_by_other(&mut b, &ping(FAR, H2)), (0, 1));
    // An error about a port, likewise.
    let packet = Ip::new(FAR, H2, 17).build(&packet::udp((FAR, 1), (H2, 7), b"x"));
    assert_eq!(comes_by_other(&mut b, &packet), (0, 1));
    // A reset, likewise.
    let stray = Tcp { src: 9, dst: 82, seq: 1, ack: 5, flags: ACK, window: 9000, ..Tcp::default() };
    assert_eq!(comes_by_other(&mut b, &Ip::new(FAR, H2, 6).build(&stray.build(FAR, H2))), (0, 1));
    b.is_well();
}

/// Leads everything by one interface.
struct By(IfaceId);

impl Policy for By {
    fn choose(&self, _: &Question) -> Choice {
        Choice::Via { iface: self.0, gateway: None }
    }
}

#[test]
fn a_policy_does_not_lead_a_strong_hosts_packets_by_another_interface() {
    let mut b = host(HostModel::Strong);
    let udp = b.stack.udp_bind(Some(H2.into()), 0, &UdpOptions::default()).expect("a free port");
    let first: &'static By = Box::leak(Box::new(By(b.iface)));
    b.stack.set_policy(Some(first));
    let to = SocketAddr::new(P2.into(), 9);
    assert_eq!(b.stack.udp(udp).expect("open").send_to(b"x", to), Err(SendError::NoRoute));
    let second: &'static By = Box::leak(Box::new(By(other(&b))));
    b.stack.set_policy(Some(second));
    b.stack.udp(udp).expect("open").send_to(b"x", to).expect("a way");
    assert_eq!((b.poll_raw().len(), taken(&mut b)), (0, 1));
}

/// RFC 1812 §5.2.3: what is for any address of a router's is delivered there.
#[test]
fn a_router_delivers_and_sends_as_a_weak_host_whatever_was_chosen() {
    let mut b = host(HostModel::Strong);
    for round in 0..2 {
        b.stack.set_forwarding(Some(Forwarding::with(ReversePath::Strict)));
        for packet in for_the_other_interface() {
            assert_eq!(comes(&mut b, &packet), (1, 0), "{round} {packet:?}");
        }
        // What is for others goes on.
        assert_eq!(comes(&mut b, &ping(P, P2)), (0, 1));
        assert_eq!(comes(&mut b, &ping6(six::P, Q2)), (0, 1));
        b.stack.set_forwarding(None);
        let before = b.dropped(DropReason::WrongInterface);
        for packet in for_the_other_interface() {
            assert_eq!(comes(&mut b, &packet), (0, 0), "{round} {packet:?}");
        }
        assert_eq!(b.dropped(DropReason::WrongInterface) - before, 6);
    }
    b.is_well();
}

/// A connection's remembered way and short cut do not outlive the router.
#[test]
fn a_connection_that_a_router_led_by_another_interface_ends_with_the_switch() {
    let mut b = host(HostModel::Strong);
    b.stack.set_forwarding(Some(Forwarding::default()));
    let listener = b.listen(80, 4, TcpOptions::default());
    let syn = Tcp { src: 9, dst: 80, seq: 1, flags: SYN, window: 9000, ..Tcp::default() };
    let seen = b.give_ip(&Ip::new(P, H2, 6), &syn.build(P, H2));
    let [Seen::Tcp(H2, P, syn_ack)] = &seen[..] else { panic!("{seen:?}") };
    let ack = Tcp { src: 9, dst: 80, seq: 2, ack: syn_ack.seq + 1, flags: ACK, window: 9000, ..Tcp::default() };
    b.give_ip(&Ip::new(P, H2, 6), &ack.build(P, H2));
    let (server, _) = b.stack.tcp_accept(listener).expect("a connection");
    b.stack.tcp(server).expect("open").write(b"text").expect("room");
    let seen = b.poll();
    let [Seen::Tcp(H2, P, text)] = &seen[..] else { panic!("{seen:?}") };
    b.give_ip(&Ip::new(P, H2, 6), &Tcp { ack: text.seq + 4, ..ack }.build(P, H2));
    b.stack.set_forwarding(None);
    b.stack.tcp(server).expect("open").write(b"more").expect("room");
    assert_eq!((b.poll_raw().len(), taken(&mut b)), (0, 0), "no way from there");
}

#[test]
fn held_addresses_are_their_interfaces() {
    let mut b = host(HostModel::Strong);
    let iface = other(&b);
    b.stack.answer_for(iface, "10.9.0.0/16".parse().expect("a prefix")).expect("room");
    let held = Ipv4Addr::new(10, 9, 1, 1);
    assert_eq!(comes_by_other(&mut b, &ping(P2, held)), (0, 1));
    assert_eq!(comes(&mut b, &ping(P, held)), (0, 0));
    let udp = b.stack.udp_bind(Some(held.into()), 0, &UdpOptions::default()).expect("a free port");
    let to = |ip: Ipv4Addr| SocketAddr::new(ip.into(), 9);
    assert_eq!(b.stack.udp(udp).expect("open").send_to(b"x", to(P)), Err(SendError::NoRoute));
    b.stack.udp(udp).expect("open").send_to(b"x", to(P2)).expect("a way");
    assert_eq!((b.poll_raw().len(), taken(&mut b)), (0, 1));
}

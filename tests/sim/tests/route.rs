//! Which way a packet goes, from which address, and what becomes of it when the way or the address goes.

use ringtap::error::{AddressError, BindError, ConnectError, RouteError, SendError, TcpError};
use ringtap::ip::addr::Cidr;
use ringtap::ip::route::Route;
use ringtap::sockets::{UdpHandle, UdpOptions};
use ringtap::stack::{Echoed, IfaceId};
use ringtap::stats::DropReason;
use ringtap::tcp::{ConnectOptions, ListenOptions, TcpHandle};
use ringtap::time::Duration;
use ringtap_sim::Bench;
use ringtap_sim::bench::{H, H_MAC, H2, P, P_MAC, P2, R, R_MAC};
use ringtap_sim::packet::{self, ACK, Ip, SYN, Seen, Tcp};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Another router.
const R2: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 253);
const R2_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xfd];
/// A host beyond the routers.
const FAR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 5);

fn bench() -> Bench {
    Bench::new().with_neighbors()
}

fn cidr(text: &str) -> Cidr {
    text.parse().expect("a prefix")
}

fn route(prefix: &str, gateway: Option<Ipv4Addr>, iface: IfaceId) -> Route {
    Route { prefix: cidr(prefix), gateway: gateway.map(IpAddr::V4), iface, metric: 0 }
}

fn bind(b: &mut Bench) -> UdpHandle {
    let options = UdpOptions { broadcast: true, ..UdpOptions::default() };
    b.stack.udp_bind(None, 5000, &options).expect("a free port")
}

fn send(b: &mut Bench, udp: UdpHandle, dst: Ipv4Addr) -> Result<(), SendError> {
    b.stack.udp(udp).expect("open").send_to(b"text", SocketAddr::new(dst.into(), 9))
}

fn learn(b: &mut Bench, ip: Ipv4Addr, mac: [u8; 6]) {
    b.give(packet::ethernet(H_MAC, mac, 0x0806, &packet::arp(1, mac, ip, [0; 6], H)));
}

fn text(b: &mut Bench, udp: UdpHandle) -> Option<Vec<u8>> {
    let mut buf = [0; 99];
    let got = b.stack.udp(udp).expect("open").recv_from(&mut buf).ok()?;
    Some(buf[..got.len].to_vec())
}

/// The MACs that what is sent now goes to, ARP aside.
fn macs(b: &mut Bench) -> Vec<[u8; 6]> {
    let frames = b.poll_raw();
    let ip = frames.iter().filter(|f| f[12..14] == [8, 0]);
    ip.map(|f| f[..6].try_into().expect("six octets")).collect()
}

// H137
#[test]
fn what_is_sent_to_ourselves_never_reaches_the_wire() {
    let mut b = bench().with_second_link();
    let udp = bind(&mut b);
    let echo = b.stack.icmp_bind(None).expect("room");
    for dst in [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 1, 2, 3), H, H2] {
        b.stack.udp(udp).expect("open").send_to(b"self", SocketAddr::new(dst.into(), 5000)).expect("looped");
        assert_eq!(b.poll(), []);
        assert_eq!(text(&mut b, udp), Some(b"self".to_vec()), "{dst}");
        b.stack.icmp_send(echo, dst.into(), 3, b"ping", None).expect("looped");
        assert_eq!(b.poll(), []);
        let mut buf = [0; 9];
        let got = b.stack.icmp_recv(echo, &mut buf).expect("answered");
        assert!(matches!(got, Echoed::Reply { from, seq: 3, len: 4, .. } if from == IpAddr::V4(dst)), "{got:?}");
        let _ = send(&mut b, udp, dst);
        assert_eq!(b.poll(), [], "nor an error about a closed port");
    }
    assert_eq!(b.sent_by_other(), []);
    b.is_well();
}

// H137
#[test]
fn a_connection_to_ourselves_works_without_the_wire() {
    let mut b = bench().with_second_link();
    for dst in [H, H2, Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 1, 2, 3)] {
        let listener = b.stack.tcp_listen(None, 80, &ListenOptions::default()).expect("a free port");
        let to = SocketAddr::new(dst.into(), 80);
        let client = b.stack.tcp_connect(to, &ConnectOptions::default()).expect("a route");
        assert_eq!(b.pass(Duration::from_millis(100)), []);
        let (server, _) = b.stack.tcp_accept(listener).expect("established");
        b.stack.tcp(client).expect("open").write(&[5; 10_000]).expect("room");
        assert_eq!(b.pass(Duration::from_millis(500)), []);
        let mut buf = vec![0; 20_000];
        assert_eq!(b.stack.tcp(server).expect("open").read(&mut buf), Ok(10_000));
        for handle in [client, server] {
            b.stack.tcp(handle).expect("open").close();
        }
        b.stack.tcp_unlisten(listener).expect("open");
        assert_eq!(b.pass(Duration::from_secs(120)), []);
        assert_eq!((b.stack.tcp_connections(), b.stack.tcp_time_waits()), (0, 0));
    }
    assert_eq!(b.sent_by_other(), []);
    b.with_neighbors().is_well();
}

// H139
#[test]
fn the_longest_prefix_wins() {
    let mut b = bench();
    let udp = bind(&mut b);
    learn(&mut b, R2, R2_MAC);
    b.stack.add_route(route("203.0.0.0/16", Some(R2), b.iface)).expect("room");
    b.stack.add_route(route("203.0.113.0/24", Some(P), b.iface)).expect("room");
    for (dst, mac) in [([203, 0, 113, 9], P_MAC), ([203, 0, 5, 9], R2_MAC), ([203, 1, 0, 1], R_MAC)] {
        send(&mut b, udp, dst.into()).expect("a route");
        assert_eq!(macs(&mut b), [mac], "{dst:?}");
    }
    b.is_well();
}

fn open_far(b: &mut Bench) -> (TcpHandle, u32) {
    let listener = b.stack.tcp_listen(None, 80, &ListenOptions::default()).expect("a free port");
    let syn = Tcp { src: 7, dst: 80, seq: 1000, flags: SYN, window: 65_535, ..Tcp::default() };
    let from_far = |s: &Tcp| packet::ethernet(H_MAC, R_MAC, 0x0800, &Ip::new(FAR, H, 6).build(&s.build(FAR, H)));
    let seen = b.give(from_far(&syn));
    let [Seen::Tcp(_, _, answer)] = &seen[..] else { panic!("a SYN|ACK: {seen:?}") };
    b.give(from_far(&Tcp { seq: 1001, ack: answer.seq + 1, flags: ACK, ..syn }));
    let (handle, _) = b.stack.tcp_accept(listener).expect("established");
    (handle, answer.seq + 1)
}

// H139
#[test]
fn when_a_gateway_dies_connections_and_datagrams_move_to_the_next() {
    let mut b = bench();
    b.stack.add_gateway(b.iface, IpAddr::V4(R2)).expect("room");
    let udp = bind(&mut b);
    let (handle, _) = open_far(&mut b);
    b.stack.tcp(handle).expect("open").write(&[1; 100]).expect("room");
    send(&mut b, udp, FAR).expect("a route");
    assert_eq!(macs(&mut b), [R_MAC, R_MAC], "the first of equals");
    // R is dead; R2 answers.
    let mut by_second = None;
    let start = b.now;
    for _ in 0..400 {
        b.now += Duration::from_millis(100);
        let _ = send(&mut b, udp, FAR);
        for frame in b.poll_raw() {
            if packet::read(&frame) == Seen::Arp(1, H_MAC, H, R2) {
                let reply = packet::arp(2, R2_MAC, R2, H_MAC, H);
                b.nic.rx.push_back(packet::ethernet(H_MAC, R2_MAC, 0x0806, &reply));
            }
            if frame[..6] == R2_MAC && matches!(packet::read(&frame), Seen::Tcp(..)) {
                by_second = by_second.or(Some(b.now));
            }
        }
    }
    let moved = by_second.expect("the connection moves along").since(start);
    // STALE or REACHABLE 30 s, DELAY 5 s, PROBE 3 s.
    assert!(moved <= Duration::from_secs(39), "{moved}");
    send(&mut b, udp, FAR).expect("a route");
    assert_eq!(macs(&mut b), [R2_MAC], "datagrams as well");
    b.stack.tcp(handle).expect("open").abort();
    b.poll();
    b.with_neighbors().is_well();
}

// H140
#[test]
fn the_source_lies_in_the_gateways_network() {
    let mut b = bench();
    let udp = bind(&mut b);
    for prefix in ["10.0.0.1/8", "10.9.0.1/16"] {
        b.stack.add_address(b.iface, cidr(prefix)).expect("room");
    }
    let gateway = Ipv4Addr::new(10, 9, 0, 254);
    b.stack.add_route(route("203.0.113.0/24", Some(gateway), b.iface)).expect("room");
    b.poll();
    send(&mut b, udp, FAR).expect("a route");
    let own = Ipv4Addr::new(10, 9, 0, 1);
    assert_eq!(b.poll(), [Seen::Arp(1, H_MAC, own, gateway)]);
    let reply = packet::arp(2, R2_MAC, gateway, H_MAC, own);
    let seen = b.give(packet::ethernet(H_MAC, R2_MAC, 0x0806, &reply));
    assert_eq!(seen, [Seen::Udp((own, 5000), (FAR, 9), b"text".to_vec())]);
    let to = SocketAddr::new(FAR.into(), 9);
    let handle = b.stack.tcp_connect(to, &ConnectOptions::default()).expect("a route");
    assert!(matches!(&b.poll()[..], [Seen::Tcp(src, FAR, _)] if *src == own));
    b.stack.tcp(handle).expect("open").abort();
    b.poll();
    b.is_well();
}

// H141
#[test]
fn a_broadcast_needs_an_interface_where_there_are_two() {
    let mut b = bench();
    let udp = bind(&mut b);
    for dst in [Ipv4Addr::BROADCAST, Ipv4Addr::new(224, 0, 0, 251)] {
        send(&mut b, udp, dst).expect("there is only one way");
        assert_eq!(b.poll(), [Seen::Udp((H, 5000), (dst, 9), b"text".to_vec())]);
    }
    let mut b = b.with_second_link();
    let second = b.other.as_ref().map(|o| o.0).expect("a second link");
    let by = |iface| UdpOptions { broadcast: true, iface, ..UdpOptions::default() };
    let bound = b.stack.udp_bind(None, 5001, &by(Some(second))).expect("a free port");
    for dst in [Ipv4Addr::BROADCAST, Ipv4Addr::new(224, 0, 0, 251)] {
        assert_eq!(send(&mut b, udp, dst), Err(SendError::NoRoute), "which of the two is not guessed");
        send(&mut b, bound, dst).expect("bound to one");
        assert_eq!(b.poll(), []);
        assert_eq!(b.sent_by_other(), [Seen::Udp((H2, 5001), (dst, 9), b"text".to_vec())]);
    }
    // A network's own broadcast address says where.
    send(&mut b, udp, Ipv4Addr::new(198, 51, 100, 255)).expect("a route");
    assert_eq!(b.poll(), []);
    assert!(matches!(&b.sent_by_other()[..], [Seen::Udp((H2, 5000), ..)]));
    b.is_well();
}

// H141: what waited for a neighbour of the interface it was bound to leaves by no other.
#[test]
fn a_parked_datagram_leaves_by_the_interface_it_was_bound_to() {
    let mut b = bench().with_second_link();
    let second = b.other.as_ref().map(|o| o.0).expect("a second link");
    let options = UdpOptions { iface: Some(second), ..UdpOptions::default() };
    let udp = b.stack.udp_bind(None, 5000, &options).expect("a free port");
    // No route of the second link leads there: it is taken to be on it.
    send(&mut b, udp, FAR).expect("bound to one");
    assert_eq!(b.poll(), []);
    assert!(matches!(b.sent_by_other()[..], [Seen::Arp(1, _, H2, FAR)]));
    let reply = packet::arp(2, R2_MAC, FAR, H_MAC, H2);
    let seen = b.give_other(packet::ethernet(H_MAC, R2_MAC, 0x0806, &reply));
    assert_eq!(seen, [Seen::Udp((H2, 5000), (FAR, 9), b"text".to_vec())]);
    b.is_well();
}

// H142
#[test]
fn impossible_routes_are_refused_and_others_made_regular() {
    let mut b = bench();
    let gone = b.stack.add_interface(&b.nic, ringtap::device::Mac(R_MAC)).expect("room");
    b.stack.remove_interface(gone);
    assert_eq!(b.stack.add_route(route("10.0.0.0/8", Some(R2), gone)), Err(RouteError::NoInterface));
    let six = Route { gateway: Some(Ipv6Addr::LOCALHOST.into()), ..route("10.0.0.0/8", None, b.iface) };
    assert_eq!(b.stack.add_route(six), Err(RouteError::BadGateway));
    for bad in [Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST, Ipv4Addr::LOCALHOST, Ipv4Addr::new(224, 0, 0, 1)] {
        assert_eq!(b.stack.add_route(route("10.0.0.0/8", Some(bad), b.iface)), Err(RouteError::BadGateway), "{bad}");
    }
    assert_eq!(b.stack.add_route(route("10.1.2.3/0", Some(R), b.iface)), Err(RouteError::Duplicate), "0.0.0.0/0");
    // A gateway outside every prefix of ours is asked for on the link.
    let outside = Ipv4Addr::new(172, 16, 0, 1);
    b.stack.add_route(route("203.0.113.77/24", Some(outside), b.iface)).expect("room");
    assert!(b.stack.routes().any(|r| r.prefix == cidr("203.0.113.0/24")));
    let udp = bind(&mut b);
    send(&mut b, udp, FAR).expect("a route");
    assert_eq!(b.poll(), [Seen::Arp(1, H_MAC, H, outside)]);
    let reply = packet::arp(2, R2_MAC, outside, H_MAC, H);
    let seen = b.give(packet::ethernet(H_MAC, R2_MAC, 0x0806, &reply));
    assert_eq!(seen, [Seen::Udp((H, 5000), (FAR, 9), b"text".to_vec())]);
    b.is_well();
}

/// Sources of the IP packets among what was sent.
fn sources(sent: &[Seen]) -> Vec<Ipv4Addr> {
    let source = |s: &Seen| match s {
        Seen::Tcp(src, ..) | Seen::Icmp(src, ..) | Seen::Udp((src, _), ..) => Some(*src),
        Seen::Fragment { src, .. } | Seen::Arp(_, _, src, _) => Some(*src),
        Seen::Other(_) => None,
    };
    sent.iter().filter_map(source).collect()
}

// H143
#[test]
fn nothing_leaves_from_an_address_that_was_taken_away() {
    let mut b = bench();
    let new: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
    let udp = bind(&mut b);
    let options = UdpOptions { broadcast: true, ..UdpOptions::default() };
    let bound = b.stack.udp_bind(Some(H.into()), 5001, &options).expect("a free port");
    let (handle, first) = open_far(&mut b);
    b.stack.tcp(handle).expect("open").write(&[1; 3000]).expect("room");
    b.poll();
    // A half-open connection; a datagram parked, one queued, a long one half sent, one that the card refused.
    let syn = Tcp { src: 8, dst: 80, seq: 1000, flags: SYN, window: 65_535, ..Tcp::default() };
    b.give_tcp(&syn);
    send(&mut b, udp, Ipv4Addr::new(192, 0, 2, 99)).expect("a route");
    b.poll();
    b.nic.tx_room = 1;
    let to = SocketAddr::new(P.into(), 9);
    b.stack.udp(udp).expect("open").send_to(&[1; 5000], to).expect("room");
    assert_eq!(b.poll().len(), 1);
    b.stack.udp(bound).expect("open").send_to(b"bound", to).expect("room");
    send(&mut b, udp, P).expect("a route");
    b.stack.add_address(b.iface, cidr("192.0.2.10/24")).expect("room");
    b.stack.remove_address(b.iface, H.into()).expect("it is there");
    b.nic.tx_room = usize::MAX;
    assert_eq!(b.stack.remove_address(b.iface, H.into()), Err(AddressError::Invalid));
    let mut sent = b.poll();
    sent.extend(b.pass(Duration::from_secs(100)).into_iter().map(|(_, s)| s));
    let from_old: Vec<_> = sources(&sent).into_iter().filter(|s| *s == H).collect();
    assert_eq!(from_old, [] as [Ipv4Addr; 0], "{sent:?}");
    assert!(sent.contains(&Seen::Arp(1, H_MAC, new, new)), "the new address is announced all the same");
    assert!(b.dropped(DropReason::SourceGone) >= 4, "{}", b.dropped(DropReason::SourceGone));
    // Its owners are told.
    let mut socket = b.stack.tcp(handle).expect("open");
    assert_eq!(socket.read(&mut [0; 9]), Err(TcpError::AddressGone));
    assert_eq!(socket.write(b"x"), Err(TcpError::AddressGone));
    socket.close();
    assert_eq!(send(&mut b, bound, P), Err(SendError::NotOurAddress));
    assert_eq!(b.stack.udp_bind(Some(H.into()), 5002, &options).err(), Some(BindError::NotOurAddress));
    let segment = Tcp { src: 7, dst: 80, seq: 1001, ack: first, flags: ACK, ..Tcp::default() };
    assert_eq!(b.give_tcp(&segment), [], "not ours any more");
    send(&mut b, udp, P).expect("from the other address");
    b.pass(Duration::from_secs(5));
    b.stack.remove_address(b.iface, new.into()).expect("it is there");
    b.stack.add_address(b.iface, cidr("192.0.2.1/24")).expect("room");
    b.poll();
    b.with_neighbors().is_well();
}

// H143
#[test]
fn an_interface_that_goes_takes_its_routes_and_packets_along_and_sockets_go_on() {
    let mut b = bench().with_second_link();
    let second = b.other.as_ref().map(|o| o.0).expect("a second link");
    b.stack.add_route(route("203.0.113.0/24", Some(Ipv4Addr::new(198, 51, 100, 254)), second)).expect("room");
    let udp = bind(&mut b);
    // By the second link: one parked, one queued; and a connection from H by it (the weak host model).
    send(&mut b, udp, FAR).expect("a route");
    b.poll();
    let to = |port| SocketAddr::new(FAR.into(), port);
    let from = |local: Ipv4Addr| ConnectOptions { local: Some(local.into()), ..ConnectOptions::default() };
    let weak = b.stack.tcp_connect(to(1), &from(H)).expect("a route");
    let strong = b.stack.tcp_connect(to(2), &from(H2)).expect("a route");
    b.poll();
    send(&mut b, udp, FAR).expect("a route");
    b.stack.remove_interface(second);
    b.other = None;
    assert!(b.stack.routes().all(|r| r.iface == b.iface));
    assert_eq!(b.stack.tcp(strong).expect("open").error(), Some(TcpError::AddressGone));
    // What was queued is lost and counted; the queue is free again, and the connection goes by the default route.
    let mut sent = b.poll();
    sent.extend(b.pass(Duration::from_secs(4)).into_iter().map(|(_, s)| s));
    assert!(sent.iter().any(|s| matches!(s, Seen::Tcp(H, FAR, t) if t.has(SYN) && t.dst == 1)), "{sent:?}");
    assert!(!sources(&sent).contains(&H2), "{sent:?}");
    assert_eq!(b.stack.tcp(strong).expect("open").write(b"x"), Err(TcpError::AddressGone));
    for _ in 0..20 {
        send(&mut b, udp, FAR).expect("a route and room");
        assert_eq!(sources(&b.poll()), [H]);
    }
    for handle in [weak, strong] {
        b.stack.tcp(handle).expect("open").abort();
    }
    b.poll();
    let gone = from(H2);
    assert_eq!(b.stack.tcp_connect(to(3), &gone).err(), Some(ConnectError::NotOurAddress));
    b.stack.remove_interface(b.iface);
    assert_eq!(b.stack.tcp_connect(to(3), &ConnectOptions::default()).err(), Some(ConnectError::NoRoute));
    assert_eq!(send(&mut b, udp, P), Err(SendError::NoRoute));
    assert_eq!(b.poll(), []);
    assert_eq!(b.frames_in_use(), 0);
}

// H143
#[test]
fn half_open_connections_of_an_interface_that_went_keep_nobody_busy() {
    for only in [true, false] {
        let mut b = if only { bench() } else { bench().with_second_link() };
        b.stack.tcp_listen(None, 80, &ListenOptions::default()).expect("a free port");
        b.stack.tcp_listen(None, 81, &ListenOptions::default()).expect("a free port");
        let udp = bind(&mut b);
        let syn = Tcp { src: 8, dst: 80, seq: 1000, flags: SYN, window: 65_535, ..Tcp::default() };
        assert_eq!(b.give_tcp(&syn).len(), 1);
        // One whose SYN|ACK waits for its neighbour, and a connection that does.
        let ip = Ipv4Addr::new(192, 0, 2, 99);
        let waiting = Ip::new(ip, H, 6).build(&Tcp { dst: 81, ..syn }.build(ip, H));
        b.give(packet::ethernet(H_MAC, P_MAC, 0x0800, &waiting));
        let to = SocketAddr::new(ip.into(), 9);
        let handle = b.stack.tcp_connect(to, &ConnectOptions::default()).expect("a route");
        send(&mut b, udp, ip).expect("a route");
        b.poll();
        send(&mut b, udp, P).expect("a route");
        b.stack.remove_interface(b.iface);
        b.pass(Duration::from_secs(300));
        assert_eq!(b.stack.tcp(handle).expect("open").error(), Some(TcpError::AddressGone));
        b.stack.tcp(handle).expect("open").close();
        b.stack.udp(udp).expect("open").close();
        b.poll();
        assert_eq!(b.frames_in_use(), 0);
        // The same card comes back.
        b.iface = b.stack.add_interface(&b.nic, ringtap::device::Mac(H_MAC)).expect("room");
        b.stack.add_address(b.iface, cidr("192.0.2.1/24")).expect("room");
        // With the address its listener may send a SYN|ACK again that it still owes.
        assert_eq!(b.poll()[0], Seen::Arp(1, H_MAC, H, H));
        learn(&mut b, P, P_MAC);
        b.pass(Duration::from_secs(20));
        learn(&mut b, P, P_MAC);
        b.open(9, 80);
        b.is_well();
    }
}

// H143
#[test]
fn an_idle_connection_goes_by_another_interface_when_its_own_has_gone() {
    let mut b = bench().with_second_link();
    let second = b.other.as_ref().map(|o| o.0).expect("a second link");
    b.stack.add_route(route("203.0.113.0/24", Some(P2), second)).expect("room");
    let listener = b.stack.tcp_listen(None, 80, &ListenOptions::default()).expect("a free port");
    let syn = Tcp { src: 7, dst: 80, seq: 1000, flags: SYN, window: 65_535, ..Tcp::default() };
    let from_far = |s: &Tcp| packet::ethernet(H_MAC, P_MAC, 0x0800, &Ip::new(FAR, H, 6).build(&s.build(FAR, H)));
    let seen = b.give_other(from_far(&syn));
    let [Seen::Tcp(H, _, answer)] = &seen[..] else { panic!("a SYN|ACK by the second link: {seen:?}") };
    b.give_other(from_far(&Tcp { seq: 1001, ack: answer.seq + 1, flags: ACK, ..syn }));
    let (handle, _) = b.stack.tcp_accept(listener).expect("established");
    b.stack.remove_interface(second);
    b.other = None;
    assert_eq!(b.poll(), []);
    b.stack.tcp(handle).expect("open").write(b"text").expect("room");
    assert!(matches!(&b.poll()[..], [Seen::Tcp(H, FAR, t)] if t.payload == b"text"));
    b.stack.tcp(handle).expect("open").abort();
    b.poll();
    b.is_well();
}

// RFC 1122 §3.2.2.2
#[test]
fn a_redirect_is_believed_from_the_router_in_use_and_to_a_neighbour_only() {
    let far = Ipv4Addr::new(203, 0, 113, 7);
    let redirect = |b: &mut Bench, from: Ipv4Addr, mac: [u8; 6], to: Ipv4Addr, code: u8, src: Ipv4Addr| {
        let quoted = Ip::new(src, far, 17).build(&packet::udp((src, 9), (far, 9), b"text"));
        let message = packet::icmp(5, code, to.octets(), &quoted[..28]);
        b.give(packet::ethernet(H_MAC, mac, 0x0800, &Ip::new(from, H, 1).build(&message)))
    };
    let way = |b: &Bench| b.stack.routes().find(|r| r.is_dynamic()).and_then(|r| r.gateway);
    let mut b = Bench::new().with_neighbors();
    let outside = Ipv4Addr::new(198, 51, 100, 1);
    for (from, mac, to, src) in [
        (P, P_MAC, P, H),
        (R, R_MAC, outside, H),
        (R, R_MAC, H, H),
        (R, R_MAC, R, H),
        (R, R_MAC, Ipv4Addr::new(192, 0, 2, 255), H),
        (R, R_MAC, P, P),
    ] {
        assert_eq!(redirect(&mut b, from, mac, to, 1, src), [], "{from} {to}");
        assert_eq!(way(&b), None, "{from} {to}");
    }
    assert_eq!(b.dropped(DropReason::IcmpBadRedirect), 6);
    for code in 0..4 {
        let mut b = Bench::new().with_neighbors();
        redirect(&mut b, R, R_MAC, P, code, H);
        assert_eq!(way(&b), Some(IpAddr::V4(P)), "{code}");
        assert_eq!(b.stack.routes().filter(|r| r.is_dynamic()).count(), 1);
        // From now on P is the router in use there, and R is not.
        redirect(&mut b, R, R_MAC, Ipv4Addr::new(192, 0, 2, 9), code, H);
        assert_eq!(way(&b), Some(IpAddr::V4(P)));
        redirect(&mut b, P, P_MAC, Ipv4Addr::new(192, 0, 2, 9), code, H);
        assert_eq!(way(&b), Some(IpAddr::from([192, 0, 2, 9])));
        assert_eq!(b.stack.routes().count(), 3);
        b.is_well();
    }
}

#[test]
fn redirects_fill_no_table() {
    let mut b = Bench::new().with_neighbors();
    for n in 0..100 {
        let far = Ipv4Addr::new(203, 0, 113, n);
        let quoted = Ip::new(H, far, 17).build(&packet::udp((H, 9), (far, 9), b"text"));
        let message = packet::icmp(5, 1, P.octets(), &quoted[..28]);
        b.give(packet::ethernet(H_MAC, R_MAC, 0x0800, &Ip::new(R, H, 1).build(&message)));
    }
    assert_eq!(b.stack.routes().filter(|r| r.is_dynamic()).count(), 8);
    b.is_well();
}

#[test]
fn a_route_that_leads_nowhere_hides_the_default_route() {
    let mut b = Bench::new().with_neighbors();
    let socket = b.stack.udp_bind(None, 0, &UdpOptions::default()).expect("a free port");
    let to = |last: u8| SocketAddr::new(IpAddr::from([203, 0, 113, last]), 9);
    for (iface, len, hidden) in [(IfaceId::BLACKHOLE, 25, 1), (IfaceId::REJECT, 26, 129)] {
        let prefix = Cidr::new(IpAddr::from([203, 0, 113, hidden]), len).expect("a prefix");
        let route = Route { prefix, gateway: None, iface, metric: 0 };
        b.stack.udp(socket).expect("open").send_to(b"x", to(hidden)).expect("by the default route");
        b.stack.add_route(route).expect("room");
        assert_eq!(b.stack.udp(socket).expect("open").send_to(b"x", to(hidden)), Err(SendError::NoRoute));
        b.stack.udp(socket).expect("open").send_to(b"x", to(200)).expect("by the default route");
        b.stack.remove_route(&route).expect("there");
        b.stack.udp(socket).expect("open").send_to(b"x", to(hidden)).expect("by the default route");
    }
    b.poll();
    let counters = b.stack.interfaces().next().expect("one").counters;
    assert_eq!((counters.tx_frames, counters.rx_frames), (b.stack.stats().tx_frames, b.stack.stats().rx_frames));
}

#[test]
fn what_is_lost_is_told_of_the_interface_that_lost_it() {
    let mut b = Bench::with(16, |_| {}).with_neighbors().with_second_link();
    let other = b.other.as_ref().expect("a second link").0;
    let of = |b: &Bench, id| b.stack.interfaces().find(|view| view.id == id).expect("there").counters;
    let before = (of(&b, b.iface), of(&b, other));
    b.give(packet::ethernet(H_MAC, P_MAC, 0x1234, b"of no type that is known"));
    b.give_other(packet::ethernet([2, 0, 0, 0, 0, 0x55], P_MAC, 0x0800, b"another's"));
    b.give_other(packet::ethernet([2, 0, 0, 0, 0, 0x55], P_MAC, 0x0800, b"another's"));
    // With all frames taken, the device finds none.
    let pool = b.pool();
    let frames: Vec<_> = std::iter::from_fn(|| pool.take(0)).collect();
    b.give(packet::ethernet(H_MAC, P_MAC, 0x0800, b"lost"));
    drop(frames);
    let (first, second) = (of(&b, b.iface), of(&b, other));
    assert_eq!((first.dropped - before.0.dropped, second.dropped - before.1.dropped), (1, 2));
    assert_eq!((first.lost.rx_dropped, second.lost.rx_dropped), (1, 0));
    let total: usize = b.stack.stats().drops().map(|(_, n)| n).sum();
    assert_eq!(b.stack.stats().dropped_total(), total);
    assert_eq!(first.dropped + second.dropped, total);
}

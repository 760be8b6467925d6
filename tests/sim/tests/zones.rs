//! Link-local addresses where there are several links (H141): a zone or a bound interface says which, and nothing is guessed.

use ringtap::error::{ConnectError, SendError};
use ringtap::sockets::UdpOptions;
use ringtap::stack::IfaceId;
use ringtap::tcp::{ConnectOptions, State};
use ringtap::time::Duration;
use ringtap_sim::Bench;
use ringtap_sim::bench::{H_MAC, P_MAC};
use ringtap_sim::packet::{ACK, SYN, Tcp, ethernet};
use ringtap_sim::six::{self, H_LL, Ip6, P_LL, Sent, node_group, v6};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};

/// H on the second link.
const H2_LL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x11);
/// A group of the link.
const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);

/// H with a link-local address on each of two links.
fn bench() -> (Bench, IfaceId) {
    let mut b = six::bare(|c| c.dad_transmits = 0).with_second_link();
    let second = b.other.as_ref().map(|o| o.0).expect("a second link");
    b.stack.add_address(b.iface, "fe80::1/64".parse().expect("valid text")).expect("room");
    b.stack.add_address(second, "fe80::11/64".parse().expect("valid text")).expect("room");
    b.poll();
    b.sent_by_other();
    (b, second)
}

fn to(ip: Ipv6Addr, port: u16, zone: u32) -> SocketAddr {
    SocketAddrV6::new(ip, port, 0, zone).into()
}

/// What leaves by the first link and by the second.
fn sent(b: &mut Bench) -> (Vec<Sent>, Vec<Sent>) {
    let first = six::of(&b.poll());
    (first, six::of(&b.sent_by_other()))
}

/// P's packet by the second link.
fn by_second(b: &mut Bench, packet: &[u8]) -> Vec<Sent> {
    six::of(&b.give_other(ethernet(H_MAC, P_MAC, 0x86dd, packet)))
}

#[test]
fn a_link_local_destination_needs_a_zone_or_a_bound_socket_where_there_are_two_links() {
    let (mut b, second) = bench();
    let first = b.iface;
    let udp = b.stack.udp_bind(None, 5_000, &UdpOptions::default()).expect("a port");
    for dst in [P_LL, GROUP] {
        let mut send = |zone| b.stack.udp(udp).expect("open").send_to(b"text", to(dst, 9, zone));
        assert_eq!(send(0), Err(SendError::NoRoute), "which of the two is not guessed");
        for zone in [3, 99, 255, 256, 257, u32::MAX] {
            assert_eq!(send(zone), Err(SendError::NoRoute), "{zone}");
        }
        assert_eq!(sent(&mut b), (vec![], vec![]));
    }
    let asks = |s: &[Sent], src: Ipv6Addr| s.len() == 1 && s[0].src == src && s[0].target(135) == Some(P_LL);
    b.stack.udp(udp).expect("open").send_to(b"text", to(P_LL, 9, second.zone())).expect("a way");
    let seen = sent(&mut b);
    assert!(seen.0.is_empty() && asks(&seen.1, H2_LL), "{seen:?}");
    b.stack.udp(udp).expect("open").send_to(b"text", to(P_LL, 9, first.zone())).expect("a way");
    let seen = sent(&mut b);
    assert!(asks(&seen.0, H_LL) && seen.1.is_empty(), "{seen:?}");
    b.stack.udp(udp).expect("open").send_to(b"text", to(GROUP, 9, second.zone())).expect("a way");
    let seen = sent(&mut b);
    assert_eq!((seen.0.len(), seen.1.len(), seen.1[0].src, seen.1[0].dst), (0, 1, H2_LL, GROUP));
    // A bound socket needs none, and takes no other.
    let options = UdpOptions { iface: Some(second), ..UdpOptions::default() };
    let bound = b.stack.udp_bind(None, 5_001, &options).expect("a port");
    b.stack.udp(bound).expect("open").send_to(b"text", to(GROUP, 9, 0)).expect("a way");
    assert_eq!(sent(&mut b).1.len(), 1);
    for refused in [GROUP, P_LL] {
        let error = b.stack.udp(bound).expect("open").send_to(b"text", to(refused, 9, first.zone()));
        assert_eq!(error, Err(SendError::InvalidRemote));
    }
    assert_eq!(b.stack.udp(bound).expect("open").connect(to(P_LL, 9, first.zone())), Err(SendError::InvalidRemote));
}

#[test]
fn a_zone_holds_a_connected_socket_to_its_link() {
    let (mut b, second) = bench();
    let udp = b.stack.udp_bind(None, 5_000, &UdpOptions::default()).expect("a port");
    assert_eq!(b.stack.udp(udp).expect("open").connect(to(P_LL, 9, 0)), Err(SendError::NoRoute));
    b.stack.udp(udp).expect("open").connect(to(P_LL, 9, second.zone())).expect("a way");
    assert_eq!(b.stack.udp(udp).expect("open").local_addr().map(|a| a.ip()), Some(v6(H2_LL)));
    let datagram = |dst| Ip6::new(P_LL, dst, 17).build(&six::udp((P_LL, 9), (dst, 5_000), b"text"));
    six::give(&mut b, datagram(H_LL));
    assert!(b.stack.udp(udp).expect("open").recv().is_err(), "somebody of that name on another link");
    by_second(&mut b, &datagram(H2_LL));
    assert!(b.stack.udp(udp).expect("open").recv().is_ok());
    // Later datagrams need no zone.
    by_second(&mut b, &six::solicit(P_LL, H2_LL, H2_LL, Some(P_MAC)));
    b.stack.udp(udp).expect("open").send_to(b"text", to(P_LL, 9, 0)).expect("a way");
    let seen = sent(&mut b);
    assert_eq!((seen.0.len(), seen.1.len(), seen.1[0].src), (0, 1, H2_LL));
}

#[test]
fn a_connection_goes_by_the_link_of_its_zone_and_is_refused_without() {
    let (mut b, second) = bench();
    let options = ConnectOptions::default();
    assert_eq!(b.stack.tcp_connect(to(P_LL, 80, 0), &options).err(), Some(ConnectError::NoRoute));
    assert_eq!(b.stack.tcp_connect(to(P_LL, 80, 77), &options).err(), Some(ConnectError::NoRoute));
    let tcp = b.stack.tcp_connect(to(P_LL, 80, second.zone()), &options).expect("a way");
    let seen = sent(&mut b);
    assert!(seen.0.is_empty() && seen.1[0].target(135) == Some(P_LL), "{seen:?}");
    let seen = by_second(&mut b, &six::advert(P_LL, H2_LL, P_LL, 0x60, Some(P_MAC)));
    assert_eq!((seen.len(), seen[0].next, seen[0].src), (1, 6, H2_LL));
    let port = u16::from_be_bytes([seen[0].payload[0], seen[0].payload[1]]);
    let seq = u32::from_be_bytes(seen[0].payload[4..8].try_into().expect("four octets"));
    let answer =
        Tcp { src: 80, dst: port, seq: 7, ack: seq.wrapping_add(1), flags: SYN | ACK, window: 9_000, ..Tcp::default() };
    by_second(&mut b, &Ip6::new(P_LL, H2_LL, 6).build(&six::tcp(&answer, P_LL, H2_LL)));
    assert!(b.stack.tcp(tcp).expect("open").state() == State::Established, "established");
}

#[test]
fn on_a_single_link_no_zone_is_needed_and_its_own_is_taken() {
    let mut b = six::bench();
    let udp = b.stack.udp_bind(None, 5_000, &UdpOptions::default()).expect("a port");
    for zone in [0, b.iface.zone()] {
        b.stack.udp(udp).expect("open").send_to(b"text", to(P_LL, 9, zone)).expect("a way");
        let seen = six::of(&b.poll());
        assert_eq!((seen.len(), seen[0].src, seen[0].dst, seen[0].mac), (1, H_LL, P_LL, P_MAC));
    }
    assert!(six::pass(&mut b, Duration::from_millis(10)).is_empty());
    assert_ne!(node_group(H_LL), node_group(H2_LL));
}

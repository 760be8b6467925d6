//! An interface that answers for all addresses under a prefix.
//!
//! H holds 10.9.0.0/16 and 2001:db8:9::/48, beside its own addresses; P knows that they are behind H's MAC.

use ringtap::error::{AddressError, BindError, SendError, TcpError};
use ringtap::ip::addr::Cidr;
use ringtap::sockets::UdpOptions;
use ringtap::stack::{IfaceId, MAX_HELD};
use ringtap::stats::DropReason;
use ringtap::tcp::{ListenOptions, TcpOptions};
use ringtap::time::Duration;
use ringtap_sim::Bench;
use ringtap_sim::bench::{ALL, H, H_MAC, P, P_MAC};
use ringtap_sim::packet::{self, ACK, Ip, SYN, Seen, Tcp};
use ringtap_sim::six::{self, Ip6};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const HELD: Ipv4Addr = Ipv4Addr::new(10, 9, 3, 4);
const HELD6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 9, 1, 0, 0, 0, 5);

fn cidr(text: &str) -> Cidr {
    text.parse().expect("a prefix")
}

fn holding() -> Bench {
    let mut b = six::bench().with_neighbors();
    b.stack.answer_for(b.iface, cidr("10.9.77.1/16")).expect("room");
    b.stack.answer_for(b.iface, cidr("2001:db8:9::/48")).expect("room");
    b.poll();
    b
}

fn ask(operation: u16, from: Ipv4Addr, of: Ipv4Addr) -> Vec<u8> {
    packet::ethernet(ALL, P_MAC, 0x0806, &packet::arp(operation, P_MAC, from, [0; 6], of))
}

#[test]
fn who_asks_for_a_held_address_is_answered_and_nobody_else() {
    let mut b = holding();
    let seen = b.give(ask(1, P, HELD));
    assert!(matches!(seen[..], [Seen::Arp(2, H_MAC, HELD, P)]), "{seen:?}");
    for (operation, from, of) in [
        // A probe, an announcement, a reply: none is a question for what we hold.
        (1, Ipv4Addr::UNSPECIFIED, HELD),
        (1, HELD, HELD),
        (2, P, HELD),
        // Not held; no host's.
        (1, P, Ipv4Addr::new(10, 8, 0, 1)),
        (1, P, Ipv4Addr::new(192, 0, 2, 9)),
    ] {
        assert_eq!(b.give(ask(operation, from, of)), [], "{operation} {from} {of}");
    }
    b.stack.stop_answering_for(b.iface, cidr("10.9.0.0/16")).expect("held");
    assert_eq!(b.give(ask(1, P, HELD)), []);
    // Everything can be held; a broadcast address is none the less everybody's.
    b.stack.answer_for(b.iface, cidr("0.0.0.0/0")).expect("room");
    assert_eq!(b.give(ask(1, P, Ipv4Addr::new(8, 8, 8, 8))).len(), 1);
    for nobodys in [Ipv4Addr::new(192, 0, 2, 255), Ipv4Addr::new(224, 0, 0, 5), Ipv4Addr::LOCALHOST] {
        assert_eq!(b.give(ask(1, P, nobodys)), [], "{nobodys}");
    }
    b.is_well();
}

#[test]
fn solicitations_for_held_addresses_are_answered_without_override_and_trials_are_not() {
    let mut b = holding();
    let group = six::node_group(HELD6);
    let seen = six::give(&mut b, six::solicit(six::P, group, HELD6, Some(P_MAC)));
    let [answer] = &seen[..] else { panic!("one answer: {seen:?}") };
    assert_eq!((answer.src, answer.dst, answer.target(136)), (HELD6, six::P, Some(HELD6)));
    let flags = answer.icmp().expect("ICMPv6").2 >> 24;
    assert_eq!(flags & 0x60, 0x40, "solicited, and gives way (RFC 4861 §7.2.8)");
    assert!(b.nic.promiscuous.ends_with(&[true]), "every address has a group of its own");
    assert_eq!(six::give(&mut b, six::solicit(Ipv6Addr::UNSPECIFIED, group, HELD6, None)), []);
    let other = Ipv6Addr::new(0x2001, 0xdb8, 8, 0, 0, 0, 0, 5);
    assert_eq!(six::give(&mut b, six::solicit(six::P, six::node_group(other), other, Some(P_MAC))), []);
    let local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x99);
    b.stack.answer_for(b.iface, cidr("::/0")).expect("room");
    assert_eq!(six::give(&mut b, six::solicit(six::P, six::node_group(local), local, Some(P_MAC))), []);
    for prefix in ["2001:db8:9::/48", "::/0"] {
        b.stack.stop_answering_for(b.iface, cidr(prefix)).expect("held");
    }
    b.poll();
    assert!(b.nic.promiscuous.ends_with(&[false]));
}

#[test]
fn what_comes_for_a_held_address_is_answered_from_it() {
    let mut b = holding();
    let udp = b.stack.udp_bind(None, 7, &UdpOptions::default()).expect("a free port");
    let seen = b.give_ip(&Ip::new(P, HELD, 1), &packet::icmp(8, 0, [0, 7, 0, 9], b"?"));
    assert!(matches!(&seen[..], [Seen::Icmp(HELD, P, 0, ..)]), "{seen:?}");
    let seen = b.give_ip(&Ip::new(P, HELD, 17), &packet::udp((P, 9), (HELD, 7), b"hello"));
    assert_eq!(seen, []);
    let mut buf = [0; 16];
    let got = b.stack.udp(udp).expect("open").recv_from(&mut buf).expect("delivered");
    assert_eq!((got.local, &buf[..got.len]), (IpAddr::V4(HELD), &b"hello"[..]));
    let seen = b.give_ip(&Ip::new(P, HELD, 17), &packet::udp((P, 9), (HELD, 8), b"nobody"));
    assert!(matches!(&seen[..], [Seen::Icmp(HELD, P, 3, 3, ..)]), "{seen:?}");
    // A socket may have one for its own, and send from it.
    let own = b.stack.udp_bind(Some(HELD.into()), 5000, &UdpOptions::default()).expect("a held address");
    b.stack.udp(own).expect("open").send_to(b"x", SocketAddr::new(P.into(), 9)).expect("a way");
    assert!(matches!(&b.poll()[..], [Seen::Udp((HELD, 5000), (P, 9), _)]));
    // IPv6 likewise.
    let ping = Ip6::new(six::P, HELD6, 58).build(&six::icmp(six::P, HELD6, 128, 0, [0, 7, 0, 9], b"?"));
    let seen = six::give(&mut b, ping);
    assert!(seen.len() == 1 && (seen[0].src, seen[0].dst) == (HELD6, six::P), "{seen:?}");
    b.is_well();
}

#[test]
fn connections_to_held_addresses_live_until_these_are_given_up() {
    let mut b = holding();
    let options = ListenOptions { backlog: 4, tcp: TcpOptions::default() };
    let listener = b.stack.tcp_listen(None, 80, &options).expect("room");
    let give = |b: &mut Bench, segment: &Tcp| b.give_ip(&Ip::new(P, HELD, 6), &segment.build(P, HELD));
    let syn = Tcp { src: 4000, dst: 80, seq: 100, flags: SYN, window: 1000, ..Tcp::default() };
    let seen = give(&mut b, &syn);
    let [Seen::Tcp(HELD, P, answer)] = &seen[..] else {
        panic!("a SYN|ACK from the address that was called: {seen:?}")
    };
    assert!(answer.has(SYN | ACK));
    let ack = Tcp { seq: 101, ack: answer.seq + 1, flags: ACK, ..syn };
    give(&mut b, &ack);
    let (socket, _) = b.stack.tcp_accept(listener).expect("made");
    assert_eq!(b.stack.tcp(socket).expect("open").local_addr(), Some(SocketAddr::new(HELD.into(), 80)));
    b.stack.tcp(socket).expect("open").write(b"hello").expect("room");
    assert!(matches!(&b.poll()[..], [Seen::Tcp(HELD, P, t)] if t.payload == b"hello"));
    b.stack.stop_answering_for(b.iface, cidr("10.9.0.0/16")).expect("held");
    b.pass(Duration::from_secs(2))
        .iter()
        .for_each(|(_, seen)| assert!(!matches!(seen, Seen::Tcp(HELD, ..)), "{seen:?}"));
    assert_eq!(b.stack.tcp(socket).expect("open").read(&mut [0; 9]), Err(TcpError::AddressGone));
    // Who calls now calls nobody.
    let dropped = b.dropped(DropReason::NotOurAddress);
    assert_eq!(give(&mut b, &Tcp { src: 4001, ..syn_again() }), []);
    assert_eq!(b.dropped(DropReason::NotOurAddress), dropped + 1);
}

fn syn_again() -> Tcp {
    Tcp { dst: 80, seq: 100, flags: SYN, window: 1000, ..Tcp::default() }
}

#[test]
fn held_addresses_are_one_interfaces_and_no_sources_of_our_own() {
    let mut b = Bench::new().with_neighbors().with_second_link();
    let other = b.other.as_ref().expect("a second link").0;
    b.stack.answer_for(other, cidr("10.9.0.0/16")).expect("room");
    assert_eq!(b.give_ip(&Ip::new(P, HELD, 1), &packet::icmp(8, 0, [0; 4], b"?")), [], "on the other link only");
    assert_eq!(b.dropped(DropReason::NotOurAddress), 1);
    // Others may have such an address beyond a router: what goes there leaves, and what comes from there is heard.
    let udp = b.stack.udp_bind(None, 7, &UdpOptions::default()).expect("a free port");
    b.stack.udp(udp).expect("open").send_to(b"x", SocketAddr::new(HELD.into(), 9)).expect("by the default route");
    assert!(matches!(&b.poll()[..], [Seen::Udp((H, 7), (HELD, 9), _)]));
    b.give_ip(&Ip::new(HELD, H, 17), &packet::udp((HELD, 9), (H, 7), b"back"));
    assert!(b.stack.udp(udp).expect("open").recv_from(&mut [0; 9]).is_ok());
    // An interface that goes takes them along.
    let bound = b.stack.udp_bind(Some(HELD.into()), 5000, &UdpOptions::default()).expect("held");
    b.stack.remove_interface(other);
    let sent = b.stack.udp(bound).expect("open").send_to(b"x", SocketAddr::new(P.into(), 9));
    assert_eq!(sent, Err(SendError::NotOurAddress));
    assert_eq!(b.stack.udp_bind(Some(HELD.into()), 5001, &UdpOptions::default()).err(), Some(BindError::NotOurAddress));
}

#[test]
fn what_cannot_be_held_is_refused() {
    let mut b = Bench::new();
    let iface = b.iface;
    let mut hold = |id, text: &str| b.stack.answer_for(id, cidr(text));
    assert_eq!(hold(IfaceId::BLACKHOLE, "10.0.0.0/8"), Err(AddressError::NoInterface));
    for n in 0..MAX_HELD {
        hold(iface, &format!("10.{n}.0.0/16")).expect("room");
    }
    assert_eq!(hold(iface, "10.0.9.0/16"), Err(AddressError::Duplicate));
    assert_eq!(hold(iface, "10.99.0.0/16"), Err(AddressError::Full));
    assert_eq!(b.stack.stop_answering_for(iface, cidr("10.99.0.0/16")), Err(AddressError::Invalid));
    b.stack.stop_answering_for(iface, cidr("10.1.0.0/16")).expect("held");
    b.stack.answer_for(iface, cidr("10.99.0.0/16")).expect("room again");
}

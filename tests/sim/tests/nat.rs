//! The examples of hooks: a translator of addresses, and a packet filter.
//!
//! P's link is inside, P2's outside: H translates what leaves there to H2.

use ringtap::ip::forward::{Forwarding, ReversePath};
use ringtap::ip::hooks::{Hooks, Passage, Verdict};
use ringtap::stats::DropReason;
use ringtap::time::Duration;
use ringtap_host::router::firewall::{Chain, Firewall};
use ringtap_host::router::nat::{Nat, NatStats};
use ringtap_sim::Bench;
use ringtap_sim::bench::{H, H_MAC, H2, P, P_MAC, P2};
use ringtap_sim::packet::{self, ACK, FIN, Ip, RST, SYN, Seen, Tcp};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

/// A hook that the test can look into.
struct Shared<T>(Arc<Mutex<T>>);

impl<T: Hooks> Hooks for Shared<T> {
    fn on_packet(&mut self, passage: &Passage, packet: &mut [u8]) -> Verdict {
        self.0.lock().expect("one thread").on_packet(passage, packet)
    }
}

fn with<T: Hooks + Send + 'static>(b: &mut Bench, hooks: T) -> Arc<Mutex<T>> {
    let shared = Arc::new(Mutex::new(hooks));
    b.stack.set_hooks(Some(Box::leak(Box::new(Shared(Arc::clone(&shared))))));
    shared
}

fn router() -> Bench {
    let mut b = Bench::new().with_live_neighbors().with_second_link();
    b.stack.set_forwarding(Some(Forwarding::with(ReversePath::Off)));
    b
}

fn translator(limit: usize) -> (Bench, Arc<Mutex<Nat>>) {
    let mut b = router();
    let outside = b.other.as_ref().expect("a second link").0;
    let nat = with(&mut b, Nat::new(outside, H2, limit));
    (b, nat)
}

fn frame(packet: &[u8]) -> Vec<u8> {
    packet::ethernet(H_MAC, P_MAC, 0x0800, packet)
}

fn udp(src: (Ipv4Addr, u16), dst: (Ipv4Addr, u16), text: &[u8]) -> Vec<u8> {
    frame(&Ip::new(src.0, dst.0, 17).build(&packet::udp(src, dst, text)))
}

/// A packet of an inside host: what leaves outside.
fn out(b: &mut Bench, frame: Vec<u8>) -> Vec<Seen> {
    b.give_other(packet::ethernet(H_MAC, P_MAC, 0x0806, &packet::arp(1, P_MAC, P2, [0; 6], H2)));
    b.nic.rx.push_back(frame);
    b.poll();
    b.sent_by_other()
}

/// A packet from outside: what leaves inside.
fn back(b: &mut Bench, frame: Vec<u8>) -> Vec<Seen> {
    let (_, nic) = b.other.as_mut().expect("a second link");
    nic.rx.push_back(frame);
    b.poll()
}

fn port_of(seen: &[Seen]) -> u16 {
    match seen {
        [Seen::Udp((H2, port), ..)] => *port,
        [Seen::Tcp(H2, _, segment)] => segment.src,
        other => panic!("one translated packet: {other:?}"),
    }
}

#[test]
fn a_datagram_leaves_from_the_outside_address_and_its_answer_finds_back() {
    let (mut b, nat) = translator(100);
    let port = port_of(&out(&mut b, udp((P, 7), (P2, 53), b"question")));
    assert_eq!(back(&mut b, udp((P2, 53), (H2, port), b"answer")), [Seen::Udp((P2, 53), (P, 7), b"answer".to_vec())]);
    // One source has one port, whoever it speaks to; another source another one.
    let other = Ipv4Addr::new(198, 51, 100, 9);
    b.give_other(packet::ethernet(H_MAC, P_MAC, 0x0806, &packet::arp(1, P_MAC, other, [0; 6], H2)));
    assert_eq!(port_of(&out(&mut b, udp((P, 7), (other, 53), b"question"))), port);
    let third = Ipv4Addr::new(192, 0, 2, 3);
    assert_ne!(port_of(&out(&mut b, udp((third, 7), (P2, 53), b"question"))), port);
    // A stranger, or the same host from another port, does not get in.
    for (from, src) in [(other, 54), (Ipv4Addr::new(198, 51, 100, 10), 53)] {
        let seen = back(&mut b, udp((from, src), (H2, port), b"let me in"));
        assert!(!seen.iter().any(|s| matches!(s, Seen::Udp(..))), "{seen:?}");
    }
    let nat = nat.lock().expect("one thread");
    assert_eq!((nat.flows(), nat.stats), (3, NatStats { translated: 4, ..NatStats::default() }));
    drop(nat);
    b.stack.set_hooks(None);
    b.pass(Duration::from_secs(5));
    b.sent_by_other();
    b.is_well();
}

#[test]
fn a_connection_is_translated_from_its_syn_to_its_end_and_then_forgotten() {
    let (mut b, nat) = translator(1);
    let inside = |segment: &Tcp| frame(&Ip::new(P, P2, 6).build(&segment.build(P, P2)));
    let outside = |segment: &Tcp| frame(&Ip::new(P2, H2, 6).build(&segment.build(P2, H2)));
    let syn = Tcp { src: 7000, dst: 80, seq: 1, flags: SYN, window: 9, ..Tcp::default() };
    let port = port_of(&out(&mut b, inside(&syn)));
    let answer = Tcp { src: 80, dst: port, seq: 9, ack: 2, flags: SYN | ACK, window: 9, ..Tcp::default() };
    let seen = back(&mut b, outside(&answer));
    assert!(matches!(&seen[..], [Seen::Tcp(P2, P, s)] if s.dst == 7000 && s.flags == SYN | ACK), "{seen:?}");
    // Established, it lives two hours without a segment; no other finds room meanwhile.
    out(&mut b, inside(&Tcp { seq: 2, ack: 10, flags: ACK, ..syn.clone() }));
    b.pass(Duration::from_secs(7_200));
    let second = Tcp { src: 7001, ..syn.clone() };
    assert_eq!(out(&mut b, inside(&second)), []);
    assert_eq!(nat.lock().expect("one thread").stats.no_room, 1);
    let text = Tcp { flags: ACK, seq: 2, ack: 10, payload: b"text".to_vec(), ..syn.clone() };
    assert_eq!(port_of(&out(&mut b, inside(&text))), port);
    // Ended, four minutes.
    for flags in [FIN | ACK, RST] {
        out(&mut b, inside(&Tcp { flags, seq: 6, ack: 10, ..syn.clone() }));
    }
    b.pass(Duration::from_secs(239));
    assert_eq!(out(&mut b, inside(&second)), []);
    b.pass(Duration::from_secs(2));
    assert_eq!(out(&mut b, inside(&second)).len(), 1);
    assert_eq!(nat.lock().expect("one thread").flows(), 1);
    b.stack.set_hooks(None);
    b.is_well();
}

#[test]
fn a_ping_and_the_errors_of_routers_find_the_host_inside() {
    let (mut b, _nat) = translator(100);
    let ping = Ip::new(P, P2, 1).build(&packet::icmp(8, 0, [0x77, 7, 0, 1], b"ping"));
    let seen = out(&mut b, frame(&ping));
    let [Seen::Icmp(H2, P2, 8, 0, [hi, lo, 0, 1], _)] = seen[..] else { panic!("{seen:?}") };
    let reply = Ip::new(P2, H2, 1).build(&packet::icmp(0, 0, [hi, lo, 0, 1], b"ping"));
    assert_eq!(back(&mut b, frame(&reply)), [Seen::Icmp(P2, P, 0, 0, [0x77, 7, 0, 1], b"ping".to_vec())]);
    // An error about a datagram quotes it as it was before.
    b.nic.rx.push_back(udp((P, 7), (P2, 33_434), b"probe"));
    b.poll();
    let (_, nic) = b.other.as_mut().expect("a second link");
    let sent = nic.tx.pop_front().expect("translated");
    let router = Ipv4Addr::new(198, 51, 100, 33);
    for quote in [&sent[14..], &sent[14..42]] {
        let error = Ip::new(router, H2, 1).build(&packet::icmp(11, 0, [0; 4], quote));
        let seen = back(&mut b, frame(&error));
        let [Seen::Icmp(from, P, 11, 0, _, quoted)] = &seen[..] else { panic!("{seen:?}") };
        assert_eq!(*from, router);
        assert_eq!((&quoted[12..16], &quoted[20..22]), (&P.octets()[..], &[0, 7][..]));
        assert_eq!(packet::checksum(&quoted[..20]), 0, "its header is right");
    }
    // About nothing that was sent: it is for H itself, and none of its own.
    let stray = Ip::new(H2, P2, 17).build(&packet::udp((H2, 39_999), (P2, 1), b"never"));
    let error = Ip::new(router, H2, 1).build(&packet::icmp(3, 1, [0; 4], &stray));
    assert_eq!(back(&mut b, frame(&error)), []);
    b.stack.set_hooks(None);
    b.is_well();
}

#[test]
fn the_table_is_bounded_and_the_routers_own_traffic_is_not_touched() {
    let (mut b, nat) = translator(50);
    for n in 0..500 {
        out(&mut b, udp((P, 1000 + n), (P2, 53), b"flood"));
    }
    assert_eq!(nat.lock().expect("one thread").flows(), 50);
    assert_eq!(nat.lock().expect("one thread").stats.no_room, 450);
    let own = b.stack.udp_bind(None, 5000, &ringtap::sockets::UdpOptions::default()).expect("a free port");
    b.stack.udp(own).expect("open").send_to(b"own", (P2, 9).into()).expect("a route");
    b.poll();
    assert_eq!(b.sent_by_other(), [Seen::Udp((H2, 5000), (P2, 9), b"own".to_vec())]);
    back(&mut b, udp((P2, 9), (H2, 5000), b"answer"));
    assert!(b.stack.udp(own).expect("open").recv_from(&mut [0; 9]).is_ok());
    let fragment = packet::fragment(&Ip::new(P, P2, 17), 0, true, &[1; 64]);
    assert_eq!(out(&mut b, frame(&fragment)), []);
    b.pass(Duration::from_secs(301));
    assert_eq!(out(&mut b, udp((P, 9), (P2, 53), b"later")).len(), 1);
    assert_eq!(nat.lock().expect("one thread").flows(), 1);
    b.stack.set_hooks(None);
    b.is_well();
}

fn rules(texts: &[&str]) -> Firewall {
    Firewall::new(texts.iter().map(|t| t.parse().expect("a rule")).collect())
}

#[test]
fn the_first_rule_that_fits_decides() {
    let mut b = router();
    let firewall = with(
        &mut b,
        rules(&[
            "allow forward proto udp from 192.0.2.0/24 port 53",
            "deny forward proto udp",
            "deny in proto icmp",
            "deny out proto udp port 9",
        ]),
    );
    assert_eq!(out(&mut b, udp((P, 7), (P2, 53), b"question")).len(), 1);
    assert_eq!(out(&mut b, udp((P, 7), (P2, 54), b"question")), []);
    assert_eq!(out(&mut b, udp((Ipv4Addr::new(203, 0, 113, 5), 7), (P2, 53), b"question")), []);
    let ping = Ip::new(P, H, 1).build(&packet::icmp(8, 0, [0; 4], b"ping"));
    assert_eq!(b.give(frame(&ping)), []);
    let through = Ip::new(P, P2, 1).build(&packet::icmp(8, 0, [0; 4], b"ping"));
    assert_eq!(out(&mut b, frame(&through)).len(), 1);
    let own = b.stack.udp_bind(None, 5000, &ringtap::sockets::UdpOptions::default()).expect("a free port");
    for port in [9, 10] {
        b.stack.udp(own).expect("open").send_to(b"own", (P2, port).into()).expect("a route");
    }
    b.poll();
    assert_eq!(b.sent_by_other(), [Seen::Udp((H2, 5000), (P2, 10), b"own".to_vec())]);
    assert_eq!((firewall.lock().expect("one thread").dropped, b.dropped(DropReason::Filtered)), (4, 4));
    b.stack.set_hooks(None);
    b.is_well();
}

/// RFC 1858, RFC 3128.
#[test]
fn a_header_in_pieces_hides_no_port() {
    let mut b = router();
    with(&mut b, rules(&["deny forward proto tcp port 22", "allow forward proto tcp"]));
    let segment = |dst| Tcp { src: 7, dst, flags: SYN, ..Tcp::default() }.build(P, P2);
    let ip = Ip::new(P, P2, 6);
    for (dst, passes) in [(22, false), (23, true)] {
        let long = [segment(dst), vec![0; 100]].concat();
        let first = packet::fragment(&ip, 0, true, &long[..64]);
        assert_eq!(out(&mut b, frame(&first)).len(), usize::from(passes), "{dst}");
        // Eight octets are ports alone, and the rest comes behind them.
        let tiny = packet::fragment(&ip, 0, true, &long[..8]);
        let second = packet::fragment(&ip, 8, false, &long[8..]);
        assert_eq!((out(&mut b, frame(&tiny)), out(&mut b, frame(&second))), (vec![], vec![]), "{dst}");
    }
    b.stack.set_hooks(None);
    b.is_well();
}

#[test]
fn a_filter_and_a_translator_go_together() {
    let mut b = router();
    let outside = b.other.as_ref().expect("a second link").0;
    with(&mut b, Chain(rules(&["deny forward proto udp port 54"]), Nat::new(outside, H2, 10)));
    assert_eq!(out(&mut b, udp((P, 7), (P2, 54), b"question")), []);
    let port = port_of(&out(&mut b, udp((P, 7), (P2, 53), b"question")));
    assert_eq!(back(&mut b, udp((P2, 53), (H2, port), b"answer")).len(), 1);
    b.stack.set_hooks(None);
    b.is_well();
}

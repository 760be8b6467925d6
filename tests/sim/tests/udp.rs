//! UDP as a whole stack does it: lengths, checksums, who gets a datagram, and what its receiver is told.

use ringtap::error::{RecvError, SendError};
use ringtap::sockets::{Received, UdpHandle, UdpOptions};
use ringtap::stats::DropReason;
use ringtap::time::Duration;
use ringtap_sim::Bench;
use ringtap_sim::bench::{ALL, H, H_MAC, H2, P, P_MAC, P2};
use ringtap_sim::packet::{self, Ip, Seen};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const TO_ALL: Ipv4Addr = Ipv4Addr::BROADCAST;
const DIRECTED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 255);
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);

fn bench() -> Bench {
    Bench::new().with_neighbors()
}

fn bind(b: &mut Bench, addr: Option<Ipv4Addr>, port: u16, share: bool) -> UdpHandle {
    let options = UdpOptions { share, broadcast: true, ..UdpOptions::default() };
    b.stack.udp_bind(addr.map(IpAddr::V4), port, &options).expect("a free port")
}

fn receive(b: &mut Bench, udp: UdpHandle) -> Result<(Received, Vec<u8>), RecvError> {
    let mut buf = [0; 2048];
    let got = b.stack.udp(udp).expect("open").recv_from(&mut buf)?;
    Ok((got, buf[..got.len].to_vec()))
}

fn text(b: &mut Bench, udp: UdpHandle) -> Option<Vec<u8>> {
    receive(b, udp).ok().map(|(_, text)| text)
}

fn p(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(P), port)
}

/// A datagram of P's to `dst`, in a frame to everybody.
fn give_all(b: &mut Bench, dst: Ipv4Addr, port: u16, payload: &[u8]) -> Vec<Seen> {
    let packet = Ip::new(P, dst, 17).build(&packet::udp((P, 7), (dst, port), payload));
    b.give(packet::ethernet(ALL, P_MAC, 0x0800, &packet))
}

// H045
#[test]
fn a_length_that_lies_is_dropped_and_a_shorter_one_decides() {
    let mut b = bench();
    let udp = bind(&mut b, None, 5000, false);
    let datagram = |len: u16| {
        let mut d = packet::udp((P, 7), (H, 5000), b"twelve octet");
        d[4..6].copy_from_slice(&len.to_be_bytes());
        d[6..8].fill(0);
        d
    };
    for len in (0..8).chain([21, 100, 65_535]) {
        assert_eq!(b.give_ip(&Ip::new(P, H, 17), &datagram(len)), [], "{len}");
    }
    for len in 0..8 {
        assert_eq!(b.give_ip(&Ip::new(P, H, 17), &datagram(8)[..len]), [], "{len} octets");
    }
    assert_eq!(b.dropped(DropReason::UdpMalformed), 19);
    b.give_ip(&Ip::new(P, H, 17), &datagram(12));
    assert_eq!(text(&mut b, udp), Some(b"twel".to_vec()));
    // With a checksum, over as much as the length says.
    let mut short = packet::udp((P, 7), (H, 5000), b"twel");
    short.extend(b"trailing");
    b.give_ip(&Ip::new(P, H, 17), &short);
    assert_eq!(text(&mut b, udp), Some(b"twel".to_vec()));
    b.is_well();
}

// H046
#[test]
fn a_datagram_without_a_checksum_is_delivered_and_one_with_a_wrong_one_dropped_silently() {
    let mut b = bench();
    let udp = bind(&mut b, None, 5000, false);
    let good = packet::udp((P, 7), (H, 5000), b"text");
    let mut none = good.clone();
    none[6..8].fill(0);
    b.give_ip(&Ip::new(P, H, 17), &none);
    assert_eq!(text(&mut b, udp), Some(b"text".to_vec()));
    for bit in (0..32).chain(48..good.len() * 8) {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(b.give_ip(&Ip::new(P, H, 17), &bad), [], "bit {bit}");
    }
    assert_eq!(b.dropped(DropReason::UdpChecksum), 32 + good.len() * 8 - 48);
    assert_eq!(text(&mut b, udp), None);
    b.is_well();
}

// H046
#[test]
fn a_checksum_that_comes_to_zero_is_sent_as_all_ones() {
    let mut b = bench();
    let udp = bind(&mut b, None, 5000, false);
    let mut found = 0;
    // One of these words makes the sum all ones.
    for word in 0..=u16::MAX {
        let datagram = packet::udp((H, 5000), (P, 9), &word.to_be_bytes());
        if datagram[6..8] != [0xff, 0xff] {
            continue;
        }
        found += 1;
        b.stack.udp(udp).expect("open").send_to(&word.to_be_bytes(), p(9)).expect("room");
        let frames = b.poll_raw();
        assert_eq!(frames[0][40..42], [0xff, 0xff]);
    }
    assert_eq!(found, 1);
    b.is_well();
}

// H047
#[test]
fn a_datagram_is_sent_whole_or_refused_as_too_long() {
    let mut b = bench();
    let udp = bind(&mut b, None, 5000, false);
    for len in [65_508, 65_536, 100_000] {
        assert_eq!(b.stack.udp(udp).expect("open").send_to(&vec![1; len], p(9)), Err(SendError::TooLong));
        assert!(b.stack.udp(udp).expect("open").reserve(len, p(9)).is_err());
    }
    assert_eq!(b.poll(), []);
    for len in [0, 1472, 1473, 65_507] {
        let payload: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
        b.stack.udp(udp).expect("open").send_to(&payload, p(9)).expect("it can be cut up");
        let mut seen = b.poll();
        seen.extend(b.pass(Duration::from_secs(1)).into_iter().map(|(_, s)| s));
        assert_eq!(packet::join(&seen, 17), [Seen::Udp((H, 5000), (P, 9), payload)], "{len}");
    }
    b.is_well();
}

// H048
#[test]
fn a_datagram_to_everybody_reaches_each_socket_and_one_to_us_the_most_specific() {
    let mut b = bench();
    let any = bind(&mut b, None, 5000, true);
    let own = bind(&mut b, Some(H), 5000, true);
    let connected = bind(&mut b, Some(H), 5000, true);
    b.stack.udp(connected).expect("open").connect(p(7)).expect("a route");
    let also_any = bind(&mut b, None, 5000, true);
    for dst in [TO_ALL, DIRECTED, GROUP] {
        assert_eq!(give_all(&mut b, dst, 5000, b"all"), []);
        for socket in [any, also_any] {
            assert_eq!(text(&mut b, socket), Some(b"all".to_vec()), "{dst}");
            assert_eq!(text(&mut b, socket), None, "one copy");
        }
    }
    for socket in [own, connected] {
        assert_eq!(text(&mut b, socket), None, "bound to a unicast address");
    }
    b.give_udp(7, 5000, b"to the connected one");
    b.give_udp(8, 5000, b"to the bound one");
    assert_eq!(text(&mut b, connected), Some(b"to the connected one".to_vec()));
    assert_eq!(text(&mut b, own), Some(b"to the bound one".to_vec()));
    for socket in [any, also_any, own, connected] {
        assert_eq!(text(&mut b, socket), None);
    }
    // A broadcast for a port without sockets is nobody's: silence.
    assert_eq!(give_all(&mut b, DIRECTED, 9, b"none"), []);
    assert_eq!(b.dropped(DropReason::UdpNoSocket), 1);
    b.is_well();
}

// H048: a reader that sleeps costs the others nothing.
#[test]
fn a_full_queue_of_one_socket_does_not_keep_a_broadcast_from_another() {
    let mut b = bench();
    let asleep = bind(&mut b, None, 5000, true);
    let awake = bind(&mut b, None, 5000, true);
    for n in 0..40u8 {
        give_all(&mut b, TO_ALL, 5000, &[n]);
        assert_eq!(text(&mut b, awake), Some(vec![n]));
    }
    assert_eq!(b.stack.udp(asleep).expect("open").dropped(), 24);
    assert_eq!(b.dropped(DropReason::SocketQueueFull), 24);
    b.stack.udp(asleep).expect("open").close();
    b.is_well();
}

// H049
#[test]
fn what_is_told_of_a_broadcast_serves_to_answer_it() {
    let mut b = bench().with_second_link();
    let udp = bind(&mut b, None, 5000, false);
    let (second, _) = b.other.as_ref().map(|(i, n)| (*i, n.tx.len())).expect("a second link");
    for dst in [TO_ALL, DIRECTED] {
        give_all(&mut b, dst, 5000, b"who?");
        let (got, _) = receive(&mut b, udp).expect("delivered");
        assert_eq!((got.to, got.local, got.iface), (SocketAddr::new(dst.into(), 5000), H.into(), b.iface));
        b.stack.udp(udp).expect("open").reply(&got, b"me").expect("sent");
        assert_eq!(b.poll(), [Seen::Udp((H, 5000), (P, 7), b"me".to_vec())]);
    }
    let packet = Ip::new(P2, TO_ALL, 17).build(&packet::udp((P2, 7), (TO_ALL, 5000), b"who?"));
    b.give_other(packet::ethernet(ALL, P_MAC, 0x0800, &packet));
    let (got, _) = receive(&mut b, udp).expect("delivered");
    assert_eq!((got.local, got.iface), (H2.into(), second));
    b.stack.udp(udp).expect("open").reply(&got, b"me").expect("sent");
    assert_eq!(b.poll(), []);
    assert_eq!(b.sent_by_other(), [Seen::Udp((H2, 5000), (P2, 7), b"me".to_vec())]);
    b.is_well();
}

// H049: of several addresses the one that was asked answers.
#[test]
fn an_answer_comes_from_the_address_that_was_asked() {
    let mut b = bench();
    let second = Ipv4Addr::new(192, 0, 2, 10);
    b.stack.add_address(b.iface, "192.0.2.10/24".parse().expect("a prefix")).expect("room");
    b.poll();
    let udp = bind(&mut b, None, 5000, false);
    b.give_ip(&Ip::new(P, second, 17), &packet::udp((P, 7), (second, 5000), b"who?"));
    let (got, _) = receive(&mut b, udp).expect("delivered");
    b.stack.udp(udp).expect("open").reply(&got, b"me").expect("sent");
    assert_eq!(b.poll(), [Seen::Udp((second, 5000), (P, 7), b"me".to_vec())]);
    b.stack.remove_address(b.iface, second.into()).expect("it is there");
    assert_eq!(b.stack.udp(udp).expect("open").reply(&got, b"late"), Err(SendError::NotOurAddress));
    b.is_well();
}

// H050
#[test]
fn a_short_buffer_is_told_of_and_the_next_datagram_is_intact() {
    let mut b = bench();
    let udp = bind(&mut b, None, 5000, false);
    let mut buf = [0; 4];
    assert_eq!(b.stack.udp(udp).expect("open").recv_from(&mut buf), Err(RecvError::WouldBlock));
    b.give_udp(7, 5000, b"longer than four");
    b.give_udp(7, 5000, b"");
    b.give_udp(7, 5000, b"next");
    let got = b.stack.udp(udp).expect("open").recv_from(&mut buf).expect("the first");
    assert_eq!((got.len, got.full_len, got.is_truncated(), &buf), (4, 16, true, b"long"));
    let got = b.stack.udp(udp).expect("open").recv_from(&mut buf).expect("the empty one");
    assert_eq!((got.len, got.full_len, got.is_truncated()), (0, 0, false));
    let got = b.stack.udp(udp).expect("open").recv_from(&mut buf).expect("the third");
    assert_eq!((got.len, got.full_len, &buf), (4, 4, b"next"));
    assert_eq!(b.stack.udp(udp).expect("open").recv_from(&mut buf), Err(RecvError::WouldBlock));
    b.give_udp(7, 5000, b"x");
    let got = b.stack.udp(udp).expect("open").recv_from(&mut []).expect("into no buffer at all");
    assert_eq!((got.len, got.full_len, got.is_truncated()), (0, 1, true));
    b.is_well();
}

// H145, one pool: a socket that does not read has its quota, and no more.
#[test]
fn a_socket_that_never_reads_keeps_its_quota_of_frames() {
    let mut b = Bench::with(32, |_| {}).with_neighbors();
    let asleep = bind(&mut b, None, 5000, false);
    let awake = bind(&mut b, None, 5001, false);
    for n in 0..10_000u32 {
        b.give_udp(7, 5000, &n.to_be_bytes());
        if n % 100 == 0 {
            b.give_udp(7, 5001, b"x");
            assert_eq!(text(&mut b, awake), Some(b"x".to_vec()));
        }
    }
    assert_eq!(b.frames_in_use(), 16);
    assert_eq!(b.stack.udp(asleep).expect("open").dropped(), 10_000 - 16);
    let first = text(&mut b, asleep);
    assert_eq!(first, Some(0u32.to_be_bytes().to_vec()), "the oldest are kept");
    b.stack.udp(asleep).expect("open").close();
    b.give(packet::ethernet(H_MAC, P_MAC, 0x0806, &packet::arp(1, P_MAC, P, [0; 6], H)));
    b.is_well();
}

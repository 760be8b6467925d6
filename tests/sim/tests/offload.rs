//! Offloads: what a device claims is used only where it can be, and everything else is computed here.

use ringtap::device::{Capabilities, ChecksumOffload, Medium, RxChecksum, RxMeta};
use ringtap::sockets::{UdpHandle, UdpOptions};
use ringtap::stats::DropReason;
use ringtap::tcp::ListenOptions;
use ringtap_sim::Bench;
use ringtap_sim::bench::{H, H_MAC, P, P_MAC, Setup};
use ringtap_sim::packet::{self, ACK, Ip, Seen, Tcp, fragments};
use ringtap_sim::six::{self, Ip6};
use std::net::SocketAddr;

fn offloading() -> Bench {
    let checksum = ChecksumOffload { tcp: true, udp: true, ipv4: true };
    let caps = Capabilities { checksum, ..Capabilities::plain(Medium::Ethernet, 1500) };
    Bench::built(Setup { caps, ..Setup::default() }, |_| {}).with_neighbors()
}

fn bind(b: &mut Bench) -> UdpHandle {
    b.stack.udp_bind(None, 5000, &UdpOptions::default()).expect("a free port")
}

fn text(b: &mut Bench, udp: UdpHandle) -> Option<Vec<u8>> {
    let mut buf = [0; 4096];
    let got = b.stack.udp(udp).expect("open").recv_from(&mut buf).ok()?;
    Some(buf[..got.len].to_vec())
}

fn says(b: &mut Bench, checksum: RxChecksum) {
    b.nic.rx_meta = RxMeta { checksum, ..RxMeta::default() };
}

/// A datagram whose checksum field holds something else.
fn unsummed(len: usize) -> Vec<u8> {
    let mut datagram = packet::udp((P, 7), (H, 5000), &vec![9; len]);
    datagram[6] ^= 0x55;
    datagram
}

// H156
#[test]
fn what_is_cut_up_has_its_checksum_computed_before() {
    let mut b = offloading();
    let udp = bind(&mut b);
    let payload: Vec<u8> = (0..4000u32).map(|i| (i * 7) as u8).collect();
    b.stack.udp(udp).expect("open").send_to(&payload, SocketAddr::new(P.into(), 9)).expect("room");
    let seen = b.poll();
    for s in &seen {
        let Seen::Fragment { offset: 0, payload, .. } = s else { continue };
        assert_ne!(payload[6..8], [0, 0], "never without a checksum on the wire");
    }
    assert_eq!(packet::join(&seen, 17), [Seen::Udp((H, 5000), (P, 9), payload.clone())]);
    let message = packet::icmp(8, 0, [0; 4], &payload);
    let mut seen = Vec::new();
    for piece in fragments(&Ip::new(P, H, 1), &message, 1480) {
        seen.extend(b.give(packet::ethernet(H_MAC, P_MAC, 0x0800, &piece)));
    }
    assert_eq!(packet::join(&seen, 1), [Seen::Icmp(H, P, 0, 0, [0; 4], payload)]);
    b.is_well();
}

// H157
#[test]
fn what_the_device_verified_is_taken_and_what_it_could_not_is_summed_here() {
    let mut b = offloading();
    let udp = bind(&mut b);
    says(&mut b, RxChecksum::Verified);
    b.give_ip(&Ip::new(P, H, 17), &unsummed(8));
    assert_eq!(text(&mut b, udp), Some(vec![9; 8]), "the device says that it was right");
    // Put together from fragments, no device has seen the whole.
    for piece in fragments(&Ip { ident: 1, ..Ip::new(P, H, 17) }, &unsummed(2000), 1000) {
        b.give(packet::ethernet(H_MAC, P_MAC, 0x0800, &piece));
    }
    assert_eq!(b.dropped(DropReason::UdpChecksum), 1);
    let good = packet::udp((P, 7), (H, 5000), &[9; 2000]);
    for piece in fragments(&Ip { ident: 2, ..Ip::new(P, H, 17) }, &good, 1000) {
        b.give(packet::ethernet(H_MAC, P_MAC, 0x0800, &piece));
    }
    assert_eq!(text(&mut b, udp), Some(vec![9; 2000]));
    // With a VLAN tag it is not ours.
    let mut tagged = vec![0x81, 0, 0, 5];
    tagged.extend(packet::ethernet(H_MAC, P_MAC, 0x0800, &Ip::new(P, H, 17).build(&unsummed(8)))[12..].iter());
    let frame = [&H_MAC[..], &P_MAC[..], &tagged[..]].concat();
    assert_eq!(b.give(frame), []);
    assert_eq!(b.dropped(DropReason::UnknownEtherType), 1);
    says(&mut b, RxChecksum::None);
    b.give_ip(&Ip::new(P, H, 17), &unsummed(8));
    assert_eq!(b.dropped(DropReason::UdpChecksum), 2);
    assert_eq!(text(&mut b, udp), None);
    b.is_well();
}

// H157
#[test]
fn what_is_verified_behind_extension_headers_is_summed_here_all_the_same() {
    let mut b = six::bench().with_live_neighbors();
    let udp = bind(&mut b);
    let good = six::udp((six::P, 7), (six::H, 5000), &[9; 8]);
    let mut bad = good.clone();
    bad[6] ^= 0x55;
    // Options: padding, then UDP.
    let behind = |datagram: &[u8]| Ip6::to_h(60).build(&[&[17, 0, 1, 4, 0, 0, 0, 0], datagram].concat());
    for (checksum, packet, passes) in [
        (RxChecksum::Verified, Ip6::to_h(17).build(&bad), true),
        (RxChecksum::Verified, behind(&bad), false),
        (RxChecksum::Verified, behind(&good), true),
        (RxChecksum::None, behind(&bad), false),
        // Of the same machine.
        (RxChecksum::Partial { start: 62, offset: 6 }, behind(&bad), true),
    ] {
        says(&mut b, checksum);
        let before = b.dropped(DropReason::UdpChecksum);
        assert_eq!(six::give(&mut b, packet), []);
        assert_eq!(text(&mut b, udp), passes.then(|| vec![9; 8]), "{checksum:?}");
        assert_eq!(b.dropped(DropReason::UdpChecksum) - before, usize::from(!passes));
    }
    says(&mut b, RxChecksum::None);
    b.is_well();
}

// H157: an IP or ICMP checksum is ours to verify whatever the device says of the transport's.
#[test]
fn a_verified_transport_checksum_does_not_excuse_the_others() {
    let mut b = offloading();
    says(&mut b, RxChecksum::Verified);
    let mut bad = packet::icmp(8, 0, [0; 4], b"ping");
    bad[2] ^= 1;
    assert_eq!(b.give_ip(&Ip::new(P, H, 1), &bad), []);
    assert_eq!(b.dropped(DropReason::IcmpChecksum), 1);
    let mut packet = Ip::new(P, H, 1).build(&packet::icmp(8, 0, [0; 4], b"ping"));
    packet[10] ^= 1;
    assert_eq!(b.give(packet::ethernet(H_MAC, P_MAC, 0x0800, &packet)), []);
    assert_eq!(b.dropped(DropReason::Ipv4Checksum), 1);
    b.is_well();
}

// H157: a packet of the same machine, which nobody has summed yet.
#[test]
fn a_partial_checksum_is_accepted_for_local_delivery() {
    let mut b = offloading();
    let udp = bind(&mut b);
    let listener = b.stack.tcp_listen(None, 80, &ListenOptions::default()).expect("a free port");
    let iss = b.open(7, 80);
    let (handle, _) = b.stack.tcp_accept(listener).expect("established");
    says(&mut b, RxChecksum::Partial { start: 34, offset: 6 });
    b.give_ip(&Ip::new(P, H, 17), &unsummed(8));
    assert_eq!(text(&mut b, udp), Some(vec![9; 8]));
    says(&mut b, RxChecksum::Partial { start: 34, offset: 16 });
    let mut segment = b.text(7, 80, 1001, iss + 1, b"text").build(P, H);
    segment[16] ^= 0x55;
    b.give_ip(&Ip::new(P, H, 6), &segment);
    let mut buf = [0; 9];
    assert_eq!(b.stack.tcp(handle).expect("open").read(&mut buf), Ok(4));
    // Sent on by us, as an answer: complete, as the reader of what was sent checks.
    says(&mut b, RxChecksum::None);
    b.stack.tcp(handle).expect("open").abort();
    b.poll();
    b.is_well();
}

// H159
#[test]
fn a_device_gets_segments_of_one_packet_each_where_it_does_not_sum() {
    for gso in [0, 65_535] {
        let caps = Capabilities { gso_ipv4: gso, gso_ipv6: gso, ..Capabilities::plain(Medium::Ethernet, 1500) };
        let mut b = Bench::built(Setup { caps, ..Setup::default() }, |_| {}).with_neighbors();
        let listener = b.stack.tcp_listen(None, 80, &ListenOptions::default()).expect("a free port");
        let first = b.open(7, 80).wrapping_add(1);
        let (handle, _) = b.stack.tcp_accept(listener).expect("established");
        let written = b.stack.tcp(handle).expect("open").write(&[3; 65_536]).expect("room");
        b.stack.tcp(handle).expect("open").shutdown_write().expect("open");
        let (mut next, mut end) = (first, false);
        for _ in 0..100 {
            for frame in b.poll_raw() {
                assert!(frame.len() <= 1514);
                let Seen::Tcp(_, _, t) = packet::read(&frame) else { continue };
                assert_eq!(t.seq, next, "contiguous");
                next = next.wrapping_add(t.payload.len() as u32 + u32::from(t.has(1)));
                assert!(!end, "FIN comes last");
                end = t.has(1);
            }
            if end {
                break;
            }
            let ack = Tcp { src: 7, dst: 80, seq: 1001, ack: next, flags: ACK, window: 65_535, ..Tcp::default() };
            b.nic.rx.push_back(packet::ethernet(H_MAC, P_MAC, 0x0800, &Ip::new(P, H, 6).build(&ack.build(P, H))));
        }
        assert_eq!(next, first.wrapping_add(written as u32 + 1));
        b.stack.tcp(handle).expect("open").abort();
        b.poll();
        b.is_well();
    }
}

//! VLANs: one card as several, tags in and out.

use ringtap::config::Config;
use ringtap::device::{Capabilities, Device, Mac, Medium, TxMeta};
use ringtap::frame::BoxedPool;
use ringtap::rng::Secret;
use ringtap::stack::{IfaceId, Limits, Stack, Storage};
use ringtap::time::Instant;
use ringtap::vlan::{Port, Trunk, TrunkCounters, VlanId};
use ringtap_sim::Nic;
use ringtap_sim::bench::{H, H_MAC, H2, P, P_MAC, P2};
use ringtap_sim::packet::{self, Ip, Seen};
use std::net::Ipv4Addr;

type TestTrunk = Trunk<'static, Nic>;

fn id(vlan: u16) -> VlanId {
    VlanId::new(vlan).expect("a VLAN")
}

/// H on VLAN 10, H2 on VLAN 20, and without a tag 10.0.0.1.
struct Bench {
    stack: Stack<'static>,
    trunk: &'static TestTrunk,
    ports: Vec<(IfaceId, Port<'static, 'static, Nic>)>,
    pool: &'static BoxedPool,
}

const NATIVE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const NATIVE_P: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

fn bench() -> Bench {
    let pool: &'static BoxedPool = Box::leak(Box::new(BoxedPool::new(1600, 64)));
    let nic = Nic::with(pool.pool(), Capabilities::plain(Medium::Ethernet, 1500));
    let trunk: &'static TestTrunk = Box::leak(Box::new(Trunk::new(nic).expect("Ethernet")));
    let mut stack = Stack::new(Config::new(Secret::new([9; 16])), Storage::growing(Limits::default()));
    let mut ports = Vec::new();
    for (vlan, text) in [(Some(id(10)), "192.0.2.1/24"), (Some(id(20)), "198.51.100.1/24"), (None, "10.0.0.1/24")] {
        let port = trunk.port(vlan).expect("room");
        let iface = stack.add_interface(&port, Mac(H_MAC)).expect("room");
        stack.add_address(iface, text.parse().expect("a prefix")).expect("room");
        ports.push((iface, port));
    }
    let mut b = Bench { stack, trunk, ports, pool };
    b.poll();
    for (vlan, ip, own) in [(Some(10), P, H), (Some(20), P2, H2), (None, NATIVE_P, NATIVE)] {
        let arp = packet::ethernet(H_MAC, P_MAC, 0x0806, &packet::arp(1, P_MAC, ip, [0; 6], own));
        b.give(vlan.map_or(arp.clone(), |v| tagged(v, &arp)));
    }
    b
}

/// A frame with a tag (control field as it is).
fn tagged(control: u16, frame: &[u8]) -> Vec<u8> {
    let [a, b] = control.to_be_bytes();
    [&frame[..12], &[0x81, 0, a, b], &frame[12..]].concat()
}

impl Bench {
    fn give(&mut self, frame: Vec<u8>) -> Vec<Vec<u8>> {
        self.trunk.with_device(|nic| nic.rx.push_back(frame));
        self.poll()
    }

    fn poll(&mut self) -> Vec<Vec<u8>> {
        for _ in 0..4 {
            for (iface, port) in &mut self.ports {
                let _ = self.stack.poll(Instant::from_secs(1000), *iface, port, 64);
            }
        }
        self.trunk.with_device(|nic| nic.tx.drain(..).collect())
    }
}

fn ping(src: Ipv4Addr, dst: Ipv4Addr) -> Vec<u8> {
    let ip = Ip::new(src, dst, 1).build(&packet::icmp(8, 0, [0, 7, 0, 9], b"are you there?"));
    packet::ethernet(H_MAC, P_MAC, 0x0800, &ip)
}

/// The control field of a frame's tag, and the frame without it.
fn untagged(frame: &[u8]) -> (Option<u16>, Seen) {
    match frame[12..14] {
        [0x81, 0] => {
            let control = u16::from_be_bytes([frame[14], frame[15]]);
            (Some(control), packet::read(&[&frame[..12], &frame[16..]].concat()))
        }
        _ => (None, packet::read(frame)),
    }
}

#[test]
fn each_vlan_is_an_interface_of_its_own() {
    let mut b = bench();
    for (vlan, src, dst) in [(Some(10), P, H), (Some(20), P2, H2), (None, NATIVE_P, NATIVE)] {
        let frame = ping(src, dst);
        let sent = b.give(vlan.map_or(frame.clone(), |v| tagged(v, &frame)));
        let [answer] = &sent[..] else { panic!("one answer: {sent:?}") };
        let (tag, seen) = untagged(answer);
        assert_eq!(tag, vlan);
        assert_eq!(seen, Seen::Icmp(dst, src, 0, 0, [0, 7, 0, 9], b"are you there?".to_vec()));
    }
    // The same packet in the wrong VLAN comes by the wrong interface: its address is ours there, too (the weak model),
    // but the answer goes where its route says.
    let sent = b.give(tagged(20, &ping(P, H)));
    assert_eq!(sent.iter().map(|f| untagged(f).0).collect::<Vec<_>>(), [Some(10)]);
    assert_eq!(b.trunk.counters(), TrunkCounters::default());
    assert_eq!(b.pool.pool().free(), 64);
}

#[test]
fn priorities_are_sent_and_received_ones_ignored() {
    let mut b = bench();
    b.ports[0].1.set_priority(5);
    let sent = b.give(tagged(7 << 13 | 1 << 12 | 10, &ping(P, H)));
    assert_eq!(untagged(&sent[0]).0, Some(5 << 13 | 10));
    // A priority without a VLAN is no tag.
    let sent = b.give(tagged(6 << 13, &ping(NATIVE_P, NATIVE)));
    assert_eq!(untagged(&sent[0]).0, None);
    b.ports[0].1.set_priority(9);
    assert_eq!(untagged(&b.give(tagged(10, &ping(P, H)))[0]).0, Some(7 << 13 | 10));
}

#[test]
fn unknown_vlans_second_tags_and_impossible_ones_are_dropped_and_counted() {
    let mut b = bench();
    let frame = ping(P, H);
    for (bad, counters) in [
        (tagged(30, &frame), TrunkCounters { unknown: 1, ..TrunkCounters::default() }),
        (tagged(10, &tagged(10, &frame)), TrunkCounters { unknown: 1, refused: 1, ..TrunkCounters::default() }),
        (tagged(0xfff, &frame), TrunkCounters { unknown: 1, refused: 2, ..TrunkCounters::default() }),
        (
            [&frame[..12], &[0x88, 0xa8, 0, 10], &frame[12..]].concat(),
            TrunkCounters { unknown: 1, refused: 3, ..TrunkCounters::default() },
        ),
        (tagged(10, &frame)[..16].to_vec(), TrunkCounters { unknown: 1, refused: 4, ..TrunkCounters::default() }),
    ] {
        assert_eq!(b.give(bad), Vec::<Vec<u8>>::new());
        assert_eq!(b.trunk.counters(), counters);
    }
    for len in 0..20 {
        b.give(tagged(10, &frame)[..len].to_vec());
    }
    assert_eq!(b.pool.pool().free(), 64);
    assert_eq!(b.give(tagged(10, &frame)).len(), 1);
}

#[test]
fn one_vlans_flood_takes_a_bounded_queue_and_another_goes_on() {
    let mut b = bench();
    let trunk = b.trunk;
    for _ in 0..40 {
        trunk.with_device(|nic| nic.rx.push_back(tagged(20, &ping(P2, H2))));
    }
    trunk.with_device(|nic| nic.rx.push_back(tagged(10, &ping(P, H))));
    // Only VLAN 10 is polled.
    let (iface, port) = &mut b.ports[0];
    let _ = b.stack.poll(Instant::from_secs(1000), *iface, port, 64);
    let sent: Vec<_> = trunk.with_device(|nic| nic.tx.drain(..).collect());
    assert_eq!(sent.iter().map(|f| untagged(f).0).collect::<Vec<_>>(), [Some(10)]);
    assert_eq!(trunk.counters().queue_full, 24);
    assert_eq!(b.poll().len(), 16);
    assert_eq!(b.pool.pool().free(), 64);
}

#[test]
fn a_refused_frame_comes_back_as_it_was() {
    let mut b = bench();
    b.trunk.with_device(|nic| nic.tx_room = 0);
    let pool = b.pool.pool();
    let mut frame = pool.take(40).expect("a frame");
    frame.extend(&ping(H, P)).expect("room");
    let back = b.ports[0].1.transmit(frame, TxMeta::default()).expect_err("no room");
    assert_eq!(back[..], ping(H, P));
    b.trunk.with_device(|nic| nic.tx_room = 9);
    assert!(b.ports[0].1.transmit(back, TxMeta::default()).is_ok());
    // Without headroom no tag can be put in.
    let mut frame = pool.take(0).expect("a frame");
    frame.extend(&ping(H, P)).expect("room");
    assert!(b.ports[0].1.transmit(frame, TxMeta::default()).is_ok());
    assert_eq!(b.trunk.counters().no_headroom, 1);
    assert_eq!(b.trunk.with_device(|nic| nic.tx.len()), 1);
}

#[test]
fn ports_are_few_and_no_vlan_has_two() {
    let b = bench();
    assert!(b.trunk.port(Some(id(10))).is_none() && b.trunk.port(None).is_none());
    assert!((30..35).all(|v| b.trunk.port(Some(id(v))).is_some()));
    assert!(b.trunk.port(Some(id(40))).is_none());
    assert_eq!([VlanId::new(0), VlanId::new(4095), VlanId::new(0xffff)], [None; 3]);
    assert_eq!(VlanId::new(4094).map(VlanId::get), Some(4094));
    let pool: &'static BoxedPool = Box::leak(Box::new(BoxedPool::new(1600, 4)));
    assert!(Trunk::new(Nic::with(pool.pool(), Capabilities::plain(Medium::Ip, 1500))).is_none());
}

//! ringtap over drivers of xarxa, and devices of ringtap as such drivers.

mod cable;

use cable::{Node, cable, echo, mac, pool, task};
use ringtap::device::{Device, Link, Medium, RxChecksum};
use ringtap_adapters::xarxa::{AsXarxa, OverXarxa};
use std::sync::Mutex;
use xarxa_driver::config::{PACKET_BUF_COUNT, PACKET_BUF_SIZE};
use xarxa_driver::{Capabilities, ChecksumCapabilities, Driver, HardwareAddress, LinkState, PacketBuf};

/// xarxa's buffers are the process's: tests take turns.
static TURN: Mutex<()> = Mutex::new(());

fn free_buffers() -> usize {
    std::iter::from_fn(PacketBuf::try_new).collect::<Vec<_>>().len()
}

#[test]
fn our_stacks_talk_through_both_adapters() {
    let _turn = TURN.lock().unwrap_or_else(|e| e.into_inner());
    for (medium, room, sums) in [
        (Medium::Ethernet, 64, false),
        (Medium::Ip, 64, true),
        (Medium::Ethernet, 1, true),
        (Medium::Ethernet, 64, true),
    ] {
        let (mut a, mut b) = cable(medium, 32, room);
        let (frames, others, unsummed) = (a.pool, b.pool, a.unsummed.clone());
        (a.caps.checksum.tcp, b.caps.checksum.tcp) = (sums, sums);
        let mut a = Node::new(1, OverXarxa::new(AsXarxa::new(a, mac(1)), pool(64)).expect("a medium"));
        let mut b = Node::new(2, OverXarxa::new(AsXarxa::new(b, mac(2)), pool(64)).expect("a medium"));
        let expected = if medium == Medium::Ethernet { (Some(mac(1)), 1500) } else { (None, 1500) };
        assert_eq!((a.device.mac(), a.device.capabilities().ip_mtu), expected);
        echo(&mut a, &mut b, 2, |_| {});
        assert_eq!((a.device.lost(), b.device.lost()), Default::default());
        drop((a, b));
        assert_eq!((frames.free(), others.free(), free_buffers()), (32, 32, PACKET_BUF_COUNT));
        assert_eq!(unsummed.get() > 100, sums, "checksums are left to a device that computes them");
    }
}

#[test]
fn a_packet_without_a_buffer_waits_and_who_may_transmit_can() {
    let _turn = TURN.lock().unwrap_or_else(|e| e.into_inner());
    let (a, mut b) = cable(Medium::Ethernet, 4, 1);
    let frames = a.pool;
    let mut device = AsXarxa::new(a, mac(1));
    assert_eq!(device.hardware_address(), HardwareAddress::Ethernet(mac(1).0));
    let (count, waker) = task();
    device.register_waker(&waker).expect("supported");
    let mut frame = b.pool.take(12).expect("a frame");
    frame.extend(&[7; 60]).expect("room");
    b.transmit(frame, Default::default()).expect("room");
    assert_eq!(count.taken(), 1);
    let all: Vec<_> = std::iter::from_fn(PacketBuf::try_new).collect();
    assert!(device.receive().is_none());
    device.register_waker(&waker).expect("supported");
    assert_eq!(count.taken(), 1, "something waits");
    drop(all);
    assert_eq!(device.receive().expect("the packet")[..], [7; 60]);
    assert!(device.receive().is_none());

    let packet = |n: u8| {
        let mut packet = PacketBuf::try_new().expect("a buffer");
        packet.set_len(60);
        packet.fill(n);
        packet
    };
    assert!(device.can_transmit());
    let mut held: Vec<_> = std::iter::from_fn(|| frames.take(0)).collect();
    device.transmit(packet(1)).expect("as it said");
    held.extend(frames.take(0));
    assert!(!device.can_transmit());
    assert!(device.transmit(packet(2)).is_err_and(|p| p[..] == [2; 60]), "given back");
    drop(held);
    assert!(device.can_transmit());
    device.transmit(packet(3)).expect("as it said");
    assert!(!device.can_transmit(), "one waits, the lane is full");
    assert_eq!(b.receive().expect("the first").0[..], [1; 60]);
    assert!(device.can_transmit());
    assert_eq!(b.receive().expect("the second").0[..], [3; 60]);
    drop(device);
    assert_eq!((frames.free(), free_buffers()), (4, PACKET_BUF_COUNT));
}

/// A driver that has one packet, and a link.
struct Given(Option<Vec<u8>>, ChecksumCapabilities, LinkState);

impl Driver for Given {
    fn capabilities(&self) -> Capabilities {
        let mut caps = Capabilities::default();
        caps.checksum = self.1;
        caps.max_transmission_unit = 9000;
        caps
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet([2; 6])
    }

    fn link_state(&mut self) -> LinkState {
        self.2
    }

    fn receive(&mut self) -> Option<PacketBuf> {
        let octets = self.0.take()?;
        let mut packet = PacketBuf::try_new()?;
        packet.set_len(octets.len());
        packet.copy_from_slice(&octets);
        Some(packet)
    }

    fn can_transmit(&mut self) -> bool {
        false
    }

    fn transmit(&mut self, packet: PacketBuf) -> Result<(), PacketBuf> {
        Err(packet)
    }
}

#[test]
fn link_checksums_and_sizes_are_mapped_and_refusals_give_the_frame_back() {
    let _turn = TURN.lock().unwrap_or_else(|e| e.into_inner());
    let over = |caps, link| OverXarxa::new(Given(Some(vec![1; 20]), caps, link), pool(2)).expect("Ethernet");
    let mut some = ChecksumCapabilities::all_offloaded();
    some.icmpv4.rx = false;
    for (caps, expected) in [
        (ChecksumCapabilities::default(), RxChecksum::None),
        (ChecksumCapabilities::all_offloaded(), RxChecksum::Verified),
        (some, RxChecksum::None),
    ] {
        let mut device = over(caps, LinkState::Up);
        assert_eq!(device.receive().expect("a packet").1.checksum, expected);
        assert_eq!((device.link(), device.capabilities().ip_mtu), (Link::Up, PACKET_BUF_SIZE - 14));
        let sums = device.capabilities().checksum;
        assert_eq!((sums.tcp, sums.udp, sums.ipv4), (caps.tcp.tx, caps.udp.tx, false));
        let mut frame = device.pool().take(0).expect("a frame");
        frame.extend(b"text").expect("room");
        assert!(device.transmit(frame, Default::default()).is_err_and(|f| f[..] == *b"text"));
    }
    assert_eq!(over(some, LinkState::Down).link(), Link::Down);
}

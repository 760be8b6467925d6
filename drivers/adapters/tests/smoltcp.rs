//! ringtap over devices of smoltcp, and smoltcp over devices of ringtap.

mod cable;

use cable::{End, Node, cable, echo, pool};
use ringtap::device::{Capabilities, Device, Loopback, Medium, RxChecksum, TxChecksum, TxMeta};
use ringtap_adapters::smoltcp::{AsSmoltcp, OverSmoltcp};
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{self, ChecksumCapabilities, Device as _, DeviceCapabilities, RxToken as _, TxToken as _};
use smoltcp::socket::tcp;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

const ZERO: Instant = Instant::ZERO;

fn interface(device: &mut impl phy::Device, address: [u8; 4], hardware: HardwareAddress) -> Interface {
    let mut iface = Interface::new(Config::new(hardware), device, ZERO);
    let [a, b, c, d] = address;
    iface.update_ip_addrs(|all| all.push(IpCidr::new(IpAddress::v4(a, b, c, d), 24)).expect("room"));
    iface
}

fn socket() -> tcp::Socket<'static> {
    tcp::Socket::new(tcp::SocketBuffer::new(vec![0; 8192]), tcp::SocketBuffer::new(vec![0; 8192]))
}

#[test]
fn smoltcp_talks_to_itself_over_our_loopback_device() {
    let frames = pool(32);
    let mut device = AsSmoltcp::new(Loopback::<16>::new(frames, 1500));
    let mut iface = interface(&mut device, [10, 0, 0, 1], HardwareAddress::Ip);
    let mut sockets = SocketSet::new(vec![]);
    let (server, client) = (sockets.add(socket()), sockets.add(socket()));
    sockets.get_mut::<tcp::Socket<'_>>(server).listen(7).expect("closed");
    let remote = (IpAddress::v4(10, 0, 0, 1), 7);
    sockets.get_mut::<tcp::Socket<'_>>(client).connect(iface.context(), remote, 50_000).expect("closed");
    let text: Vec<u8> = (0..100_000_u32).map(|i| (i / 3) as u8).collect();
    let (mut sent, mut received, mut now) = (0, Vec::new(), ZERO);
    while received.len() < text.len() {
        iface.poll(now, &mut device, &mut sockets);
        let client = sockets.get_mut::<tcp::Socket<'_>>(client);
        if client.can_send() {
            sent += client.send_slice(&text[sent..]).expect("open");
        }
        let server = sockets.get_mut::<tcp::Socket<'_>>(server);
        while server.can_recv() {
            server.recv(|part| (part.len(), received.extend_from_slice(part))).expect("open");
        }
        now += Duration::from_millis(1);
        assert!(now < Instant::from_secs(60), "{} octets", received.len());
    }
    assert_eq!(received, text);
    drop(device);
    assert_eq!(frames.free(), frames.count());
}

/// One end of a pair of devices of smoltcp's.
struct Phy {
    medium: phy::Medium,
    rx: Rc<RefCell<VecDeque<Vec<u8>>>>,
    tx: Rc<RefCell<VecDeque<Vec<u8>>>>,
    room: usize,
    checksum: ChecksumCapabilities,
}

fn phys(medium: phy::Medium, room: usize) -> (Phy, Phy) {
    let (a, b) = (Rc::new(RefCell::new(VecDeque::new())), Rc::new(RefCell::new(VecDeque::new())));
    let end = |rx: &Rc<_>, tx: &Rc<_>| Phy {
        medium,
        rx: Rc::clone(rx),
        tx: Rc::clone(tx),
        room,
        checksum: ChecksumCapabilities::default(),
    };
    (end(&a, &b), end(&b, &a))
}

struct Taken(Vec<u8>);
struct Room<'t>(&'t Phy);

impl phy::RxToken for Taken {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl phy::TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        self.0.tx.borrow_mut().push_back(packet);
        result
    }
}

impl phy::Device for Phy {
    type RxToken<'t> = Taken;
    type TxToken<'t> = Room<'t>;

    fn receive(&mut self, _: Instant) -> Option<(Taken, Room<'_>)> {
        let packet = self.rx.borrow_mut().pop_front()?;
        Some((Taken(packet), Room(self)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Room<'_>> {
        (self.tx.borrow().len() < self.room).then_some(Room(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut caps = DeviceCapabilities::default();
        caps.medium = self.medium;
        caps.max_transmission_unit = if self.medium == phy::Medium::Ethernet { 1514 } else { 1500 };
        caps.checksum = self.checksum.clone();
        caps
    }
}

#[test]
fn our_stacks_talk_over_devices_of_smoltcp_of_either_medium_and_with_little_room() {
    for (medium, room) in [(phy::Medium::Ethernet, 64), (phy::Medium::Ip, 64), (phy::Medium::Ethernet, 1)] {
        let (a, b) = phys(medium, room);
        let frames = pool(64);
        let mut a = Node::new(1, OverSmoltcp::new(a, frames).expect("a medium that is known"));
        let mut b = Node::new(2, OverSmoltcp::new(b, pool(64)).expect("a medium that is known"));
        assert_eq!(a.device.capabilities().ip_mtu, 1500);
        echo(&mut a, &mut b, 2, |_| {});
        assert_eq!((frames.free(), a.device.lost(), b.device.lost()), (64, Default::default(), Default::default()));
    }
}

#[test]
fn our_stack_talks_to_itself_through_both_adapters() {
    for (room, sums) in [(64, false), (64, true), (1, true)] {
        let (mut a, mut b) = cable(Medium::Ethernet, 32, room);
        let (frames, others, unsummed) = (a.pool, b.pool, a.unsummed.clone());
        (a.caps.checksum.tcp, b.caps.checksum.tcp) = (sums, sums);
        let mut a = Node::new(1, OverSmoltcp::new(AsSmoltcp::new(a), pool(64)).expect("Ethernet"));
        let mut b = Node::new(2, OverSmoltcp::new(AsSmoltcp::new(b), pool(64)).expect("Ethernet"));
        echo(&mut a, &mut b, 2, |_| {});
        drop((a, b));
        assert_eq!((frames.free(), others.free()), (32, 32));
        assert_eq!(unsummed.get() > 100, sums, "checksums are left to a device that computes them");
    }
}

#[test]
fn our_stack_answers_smoltcp_over_a_pair_of_its_devices() {
    let (a, b) = phys(phy::Medium::Ethernet, 64);
    hello(Node::new(1, OverSmoltcp::new(a, pool(64)).expect("Ethernet")), b);
}

#[test]
fn our_stack_answers_smoltcp_over_a_device_of_ours_that_computes_checksums() {
    let (a, mut b) = cable(Medium::Ethernet, 32, 64);
    b.caps.checksum.tcp = true;
    let unsummed = b.unsummed.clone();
    hello(Node::new(1, a), AsSmoltcp::new(b));
    assert!(unsummed.get() >= 3, "SYN, ACK, text");
}

/// smoltcp connects to us, and has five octets back.
fn hello(mut ours: Node<impl Device<'static>>, mut b: impl phy::Device) {
    let mac = HardwareAddress::Ethernet(smoltcp::wire::EthernetAddress([2, 0, 0, 0, 0, 2]));
    let mut iface = interface(&mut b, [10, 0, 0, 2], mac);
    let mut sockets = SocketSet::new(vec![]);
    let client = sockets.add(socket());
    let listener = ours.stack.tcp_listen(None, 7, &Default::default()).expect("a free port");
    let remote = (IpAddress::v4(10, 0, 0, 1), 7);
    sockets.get_mut::<tcp::Socket<'_>>(client).connect(iface.context(), remote, 50_000).expect("closed");
    let (mut server, mut back, mut now) = (None, Vec::new(), ZERO);
    while back.len() < 5 {
        iface.poll(now, &mut b, &mut sockets);
        ours.now = ringtap::time::Instant::from_micros(now.total_micros() as u64);
        ours.poll();
        server = server.or_else(|| ours.stack.tcp_accept(listener).ok().map(|(handle, _)| handle));
        if let Some(server) = server {
            let (mut socket, mut buf) = (ours.stack.tcp(server).expect("open"), [0; 64]);
            if let Ok(n @ 1..) = socket.read(&mut buf) {
                assert_eq!(socket.write(&buf[..n]), Ok(n));
            }
        }
        let client = sockets.get_mut::<tcp::Socket<'_>>(client);
        if client.can_send() && now.total_millis() % 50 == 0 && client.send_queue() == 0 && back.is_empty() {
            client.send_slice(b"hello").expect("open");
        }
        if client.can_recv() {
            client.recv(|part| (part.len(), back.extend_from_slice(part))).expect("open");
        }
        now += Duration::from_millis(1);
        assert!(now < Instant::from_secs(60), "no answer");
    }
    assert_eq!(back[..5], *b"hello");
}

#[test]
fn checksums_are_left_to_devices_that_verify_them_all_and_verified_otherwise() {
    let meta = |checksum| {
        let (mut a, b) = phys(phy::Medium::Ip, 1);
        a.checksum = checksum;
        b.tx.borrow_mut().push_back(vec![0x45; 40]);
        OverSmoltcp::new(a, pool(2)).expect("IP").receive().expect("a packet").1.checksum
    };
    assert_eq!(meta(ChecksumCapabilities::default()), RxChecksum::None);
    assert_eq!(meta(ChecksumCapabilities::ignored()), RxChecksum::Verified);
    let mut some = ChecksumCapabilities::ignored();
    some.tcp = phy::Checksum::Tx;
    assert_eq!(meta(some.clone()), RxChecksum::Verified);
    some.tcp = phy::Checksum::Rx;
    assert_eq!(meta(some), RxChecksum::None);
}

#[test]
fn checksums_that_a_device_computes_are_left_to_it_and_begin_as_zero() {
    for (computes, checksum) in [(false, phy::Checksum::Both), (false, phy::Checksum::Tx), (true, phy::Checksum::Rx)] {
        let (mut a, b) = phys(phy::Medium::Ip, 8);
        (a.checksum.udp, a.checksum.ipv4) = (checksum, phy::Checksum::Rx);
        let mut device = OverSmoltcp::new(a, pool(4)).expect("IP");
        let sums = device.capabilities().checksum;
        assert_eq!((sums.udp, sums.tcp, sums.ipv4), (computes, false, false));
        // A UDP header with the pseudo-header's sum in the field, as the stack leaves it.
        let mut frame = device.pool().take(0).expect("a frame");
        frame
            .extend(&[0x45; 20])
            .and_then(|_| frame.extend(&[0, 9, 0, 7, 0, 12, 0x14, 0x2d, 1, 2, 3, 4]))
            .expect("room");
        let left = TxMeta { checksum: TxChecksum::Partial { start: 20, offset: 6 }, ..TxMeta::default() };
        assert!(device.transmit(frame, left).is_ok());
        let packet = b.rx.borrow_mut().pop_front().expect("a packet");
        assert_eq!(packet[20..], [0, 9, 0, 7, 0, 12, 0, 0, 1, 2, 3, 4]);
    }
}

#[test]
fn a_token_that_is_dropped_loses_no_packet_and_no_frame() {
    let (a, b) = cable(Medium::Ip, 2, 1);
    let frames = a.pool;
    let mut device = AsSmoltcp::new(a);
    b.tx.borrow_mut().packets.push_back(vec![7; 20]);
    for _ in 0..10 {
        drop(device.receive(ZERO).expect("the same packet"));
        assert_eq!(frames.free(), 1, "the packet's");
    }
    // Nothing is taken from the device while there is no frame for the answer.
    let held = frames.take(0).expect("a frame");
    assert!(device.receive(ZERO).is_none() && device.transmit(ZERO).is_none());
    drop(held);
    let (packet, place) = device.receive(ZERO).expect("the same packet");
    drop(place);
    assert_eq!(packet.consume(<[u8]>::to_vec), [7; 20]);
    assert_eq!(frames.free(), 2);
    drop(device.transmit(ZERO).expect("room"));
    assert_eq!((frames.free(), b.rx.borrow().packets.len()), (2, 0));
    // A frame that the device refuses after all is sent when it has room.
    for n in 1..=2 {
        device.transmit(ZERO).expect("a place").consume(4, |octets| octets.fill(n));
    }
    assert!(device.transmit(ZERO).is_none(), "one waits");
    assert_eq!(b.rx.borrow_mut().packets.pop_front(), Some(vec![1; 4]));
    assert!(device.transmit(ZERO).is_some());
    assert_eq!(b.rx.borrow_mut().packets.pop_front(), Some(vec![2; 4]));
    assert_eq!(frames.free(), 2);
}

#[test]
fn what_finds_no_frame_is_counted_and_does_not_stop_the_device() {
    let (a, b) = phys(phy::Medium::Ip, 9);
    let frames = pool(1);
    let mut device = OverSmoltcp::new(a, frames).expect("IP");
    b.tx.borrow_mut().extend([vec![1; 20], vec![2; 20], vec![3; 1601], vec![4; 20]]);
    let held = device.receive().expect("the first").0;
    assert!(device.receive().is_none());
    assert_eq!((device.lost().no_frame, device.lost().too_long), (3, 0));
    drop(held);
    b.tx.borrow_mut().extend([vec![3; 1601], vec![4; 20]]);
    assert_eq!(device.receive().expect("the last").0[..], [4; 20]);
    assert_eq!((device.lost().no_frame, device.lost().too_long), (3, 1));
}

#[test]
fn a_frame_that_finds_no_room_is_given_back() {
    let (a, b) = phys(phy::Medium::Ip, 1);
    let frames = pool(2);
    let mut device = OverSmoltcp::new(a, frames).expect("IP");
    let frame = |octets: &[u8]| {
        let mut frame = frames.take(0).expect("a frame");
        frame.extend(octets).expect("room");
        frame
    };
    device.transmit(frame(b"one"), Default::default()).expect("room");
    let refused = device.transmit(frame(b"two"), Default::default()).expect_err("no room");
    assert_eq!(&refused[..], b"two");
    assert_eq!(b.rx.borrow_mut().pop_front(), Some(b"one".to_vec()));
    device.transmit(refused, Default::default()).expect("room");
}

#[test]
fn a_sum_that_was_left_out_is_right_for_smoltcp() {
    let (mut a, b): (End, End) = cable(Medium::Ip, 4, 4);
    a.meta.checksum = RxChecksum::Partial { start: 2, offset: 0 };
    b.tx.borrow_mut().packets.push_back(vec![9, 9, 0, 1, 0, 2]);
    let packet = AsSmoltcp::new(a).receive(ZERO).expect("a packet").0.consume(<[u8]>::to_vec);
    assert_eq!(packet, [9, 9, 0xff, 0xfc, 0, 2]);
}

#[test]
fn a_device_without_headroom_or_with_small_frames_says_what_it_can_carry() {
    let (mut a, _b) = cable(Medium::Ethernet, 1, 1);
    assert_eq!(AsSmoltcp::new(a).capabilities().max_transmission_unit, 1514);
    (a, _) = cable(Medium::Ethernet, 1, 1);
    a.caps = Capabilities { headroom: 100, ..a.caps };
    assert_eq!(AsSmoltcp::new(a).capabilities().max_transmission_unit, 1500);
}

//! ringtap over drivers of embassy-net, and devices of ringtap as such drivers.

mod cable;

use cable::{Node, cable, echo, mac, pool, task};
use embassy_net_driver::{Driver, HardwareAddress, LinkState, RxToken as _, TxToken as _};
use embassy_net_driver_channel::{self as channel, Runner, State};
use ringtap::device::{Device, Link, Medium};
use ringtap::stack::SocketId;
use ringtap_adapters::embassy::{AsEmbassy, OverEmbassy};
use std::task::{Context, Waker};

const MTU: usize = 1514;

type Over = OverEmbassy<'static, channel::Device<'static, MTU>>;

/// A driver whose other side is the runner.
fn driver(n: u8, frames: usize) -> (Runner<'static, MTU>, Over) {
    let state = Box::leak(Box::new(State::<MTU, 4, 4>::new()));
    let (mut runner, device) = channel::new(state, HardwareAddress::Ethernet(mac(n).0));
    runner.set_link_state(LinkState::Up);
    (runner, OverEmbassy::new(device, pool(frames)).expect("Ethernet"))
}

/// What one driver has sent, the other receives, as long as it has room.
fn carry(from: &mut Runner<'static, MTU>, to: &mut Runner<'static, MTU>) {
    while let Some(room) = to.try_rx_buf() {
        let Some(packet) = from.try_tx_buf() else { return };
        room[..packet.len()].copy_from_slice(packet);
        let len = packet.len();
        to.rx_done(len);
        from.tx_done();
    }
}

#[test]
fn our_stacks_talk_over_drivers_made_of_channels() {
    let ((mut one, a), (mut two, b)) = (driver(1, 64), driver(2, 64));
    let (mut a, mut b) = (Node::new(1, a), Node::new(2, b));
    assert_eq!((a.device.mac(), a.device.capabilities().ip_mtu), (Some(mac(1)), 1500));
    echo(&mut a, &mut b, 2, |_| {
        carry(&mut one, &mut two);
        carry(&mut two, &mut one);
    });
    assert_eq!((a.device.lost(), b.device.lost()), Default::default());
    let frames = a.device.pool();
    assert_eq!(frames.free(), frames.count());
}

#[test]
fn our_stacks_talk_through_both_adapters() {
    for (medium, room, sums) in [
        (Medium::Ethernet, 64, false),
        (Medium::Ip, 64, true),
        (Medium::Ethernet, 1, true),
        (Medium::Ethernet, 64, true),
    ] {
        let (mut a, mut b) = cable(medium, 32, room);
        let (frames, others, unsummed) = (a.pool, b.pool, a.unsummed.clone());
        (a.caps.checksum.tcp, b.caps.checksum.tcp) = (sums, sums);
        let mut a = Node::new(1, OverEmbassy::new(AsEmbassy::new(a, mac(1)), pool(64)).expect("a medium"));
        let mut b = Node::new(2, OverEmbassy::new(AsEmbassy::new(b, mac(2)), pool(64)).expect("a medium"));
        echo(&mut a, &mut b, 2, |_| {});
        drop((a, b));
        assert_eq!((frames.free(), others.free()), (32, 32));
        assert_eq!(unsummed.get() > 100, sums, "checksums are left to a device that computes them");
    }
}

#[test]
fn a_waker_is_woken_by_a_packet_by_room_and_by_the_link() {
    let (mut runner, mut device) = driver(1, 4);
    let (count, waker) = task();
    device.register_waker(&waker);
    assert_eq!(count.taken(), 0);
    let packet = |runner: &mut Runner<'static, MTU>| {
        runner.try_rx_buf().expect("room")[0] = 7;
        runner.rx_done(1);
    };
    packet(&mut runner);
    assert!(count.taken() > 0);
    // What has come before the waker is registered wakes it, too, and is not lost.
    device.register_waker(&waker);
    assert!(count.taken() > 0);
    assert_eq!(device.receive().expect("the packet").0[..], [7]);
    assert!(device.receive().is_none());
    device.register_waker(&waker);
    count.taken();
    runner.set_link_state(LinkState::Down);
    assert_eq!((count.taken() > 0, device.link()), (true, Link::Down));
    runner.set_link_state(LinkState::Up);
    // The transmit queue is full, then has room.
    let frame = |n: u8| {
        let mut frame = device_pool().take(0).expect("a frame");
        frame.extend(&[n]).expect("room");
        frame
    };
    let mut sent = 0;
    while device.transmit(frame(sent), Default::default()).is_ok() {
        sent += 1;
    }
    device.register_waker(&waker);
    count.taken();
    assert_eq!(runner.try_tx_buf(), Some(&mut [0][..]));
    runner.tx_done();
    assert!(count.taken() > 0);
    assert!(device.transmit(frame(sent), Default::default()).is_ok());
}

fn device_pool() -> ringtap::frame::Pool<'static> {
    pool(1)
}

#[test]
fn the_stack_notices_the_link_of_a_driver() {
    let (mut runner, device) = driver(1, 16);
    let mut node = Node::new(1, device);
    let _ = node.stack.poll(node.now, node.iface, &mut node.device, 8);
    runner.set_link_state(LinkState::Down);
    let _ = node.stack.poll(node.now, node.iface, &mut node.device, 8);
    let event = node.stack.next_event().expect("news");
    assert_eq!(event.socket, SocketId::Interface(node.iface));
}

#[test]
fn a_token_that_is_dropped_loses_no_packet_and_no_frame() {
    let (a, b) = cable(Medium::Ip, 2, 1);
    let frames = a.pool;
    let mut device = AsEmbassy::new(a, mac(1));
    let (count, waker) = task();
    let cx = &mut Context::from_waker(&waker);
    assert!(device.receive(cx).is_none());
    assert_eq!(device.hardware_address(), HardwareAddress::Ip);
    let mut b = b;
    let mut frame = b.pool.take(12).expect("a frame");
    frame.extend(&[7; 20]).expect("room");
    b.transmit(frame, Default::default()).expect("room");
    assert_eq!(count.taken(), 1, "a packet wakes who has found none");
    for _ in 0..10 {
        drop(device.receive(cx).expect("the same packet"));
    }
    let (packet, place) = device.receive(cx).expect("the same packet");
    drop(place);
    assert_eq!(packet.consume(|octets| octets.to_vec()), [7; 20]);
    assert_eq!(frames.free(), 2);
    for n in 1..=2 {
        device.transmit(cx).expect("a place").consume(4, |octets| octets.fill(n));
    }
    assert!(device.transmit(cx).is_none(), "one waits");
    assert_eq!(b.receive().expect("the first").0[..], [1; 4]);
    assert!(device.transmit(cx).is_some());
    assert_eq!(b.receive().expect("the second").0[..], [2; 4]);
    assert_eq!((frames.free(), b.pool.free()), (2, 2));
    assert!(device.link_state(&mut Context::from_waker(Waker::noop())) == LinkState::Up);
    device.device_mut().link = Link::Down;
    assert!(device.link_state(&mut Context::from_waker(Waker::noop())) == LinkState::Down);
}

//! Raw Ethernet sockets: whole frames, beside the stack.

use ringtap::device::{Link, Mac, Medium};
use ringtap::error::{BindError, GroupError, RecvError, SendError};
use ringtap::event::Readiness;
use ringtap::sockets::{EthernetHandle, EthernetOptions};
use ringtap::stack::{Limits, MAX_ETHERNET_GROUPS, SocketId, Stack};
use ringtap::stats::DropReason;
use ringtap_sim::Bench;
use ringtap_sim::bench::{H, H_MAC, P, P_MAC, Setup};
use ringtap_sim::packet::{self, Ip, Seen};

const LLDP: u16 = 0x88cc;
const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 0x77];
const GROUP: [u8; 6] = [1, 0x80, 0xc2, 0, 0, 0x0e];

fn open(b: &mut Bench, ethertype: Option<u16>) -> EthernetHandle {
    b.stack.ethernet_open(b.iface, &EthernetOptions { ethertype, ..EthernetOptions::default() }).expect("room")
}

/// All that a socket has received.
fn received(stack: &mut Stack<'static>, socket: EthernetHandle) -> Vec<Vec<u8>> {
    let (mut all, mut buf) = (Vec::new(), [0; 2000]);
    loop {
        match stack.ethernet_recv(socket, &mut buf) {
            Ok(len) => all.push(buf[..len].to_vec()),
            Err(error) => {
                assert_eq!(error, RecvError::WouldBlock);
                return all;
            }
        }
    }
}

#[test]
fn a_socket_receives_whole_frames_of_its_type_and_the_stack_its_own() {
    let mut b = Bench::new().with_live_neighbors();
    let (lldp, arp, all) = (open(&mut b, Some(LLDP)), open(&mut b, Some(0x0806)), open(&mut b, None));
    let other = open(&mut b, Some(0x88b5));
    let ping = Ip::new(P, H, 1).build(&packet::icmp(8, 0, [0, 7, 0, 9], b"x"));
    let frames = [
        packet::ethernet(GROUP, P_MAC, LLDP, &[2, 7, 4]),
        packet::ethernet(H_MAC, P_MAC, 0x0806, &packet::arp(1, P_MAC, P, [0; 6], H)),
        packet::ethernet(H_MAC, P_MAC, 0x0800, &ping),
        // IEEE 802.3 framing.
        packet::ethernet(GROUP, P_MAC, 3, &[0x42, 0x42, 3]),
    ];
    let mut answers = Vec::new();
    for frame in &frames {
        answers.extend(b.give(frame.clone()));
    }
    assert!(matches!(&answers[..], [Seen::Arp(2, ..), Seen::Icmp(..)]), "{answers:?}");
    assert_eq!(received(&mut b.stack, lldp), frames[..1]);
    assert_eq!(received(&mut b.stack, arp), frames[1..2]);
    assert_eq!(received(&mut b.stack, all), frames);
    assert_eq!(received(&mut b.stack, other), Vec::<Vec<u8>>::new());
    assert_eq!(b.dropped(DropReason::UnknownEtherType), 0, "somebody knows them");
    b.give(packet::ethernet(GROUP, P_MAC, LLDP, &[9; 1500]));
    // Cut off, as the length tells.
    assert_eq!(b.stack.ethernet_recv(lldp, &mut [0; 4]), Ok(1514));
    received(&mut b.stack, all);
    for socket in [lldp, arp, all, other] {
        b.stack.ethernet_close(socket).expect("open");
    }
    b.give(frames[0].clone());
    assert_eq!(b.dropped(DropReason::UnknownEtherType), 1);
    assert!(b.stack.ethernet_recv(lldp, &mut [0; 4]) == Err(RecvError::Stale) && b.stack.ethernet_close(lldp).is_err());
    b.is_well();
}

#[test]
fn frames_to_others_are_for_promiscuous_sockets_only_and_the_device_is_told() {
    let mut b = Bench::new();
    let modest = open(&mut b, None);
    let frame = packet::ethernet(OTHER, P_MAC, LLDP, b"for others");
    b.give(frame.clone());
    assert_eq!((received(&mut b.stack, modest).len(), b.dropped(DropReason::NotOurMac)), (0, 1));
    assert!(b.nic.promiscuous.is_empty());
    let options = EthernetOptions { ethertype: Some(LLDP), promiscuous: true, ..EthernetOptions::default() };
    let curious = b.stack.ethernet_open(b.iface, &options).expect("room");
    let second = b.stack.ethernet_open(b.iface, &options).expect("room");
    b.give(frame.clone());
    assert_eq!(received(&mut b.stack, curious), std::slice::from_ref(&frame));
    assert_eq!(received(&mut b.stack, second), std::slice::from_ref(&frame));
    assert_eq!((received(&mut b.stack, modest).len(), b.dropped(DropReason::NotOurMac)), (0, 1));
    assert_eq!(b.nic.promiscuous, [true]);
    b.stack.ethernet_close(curious).expect("open");
    b.poll();
    assert_eq!(b.nic.promiscuous, [true], "the other wants it still");
    b.stack.ethernet_close(second).expect("open");
    b.poll();
    assert_eq!(b.nic.promiscuous, [true, false]);
}

#[test]
fn the_groups_of_sockets_are_among_those_that_the_device_is_told_of() {
    let mut b = Bench::new();
    let socket = open(&mut b, Some(LLDP));
    b.poll();
    let has = |b: &mut Bench, mac: [u8; 6]| {
        b.poll();
        b.nic.groups.as_ref().is_some_and(|groups| groups.contains(&Mac(mac)))
    };
    assert!(!has(&mut b, GROUP));
    b.stack.ethernet_join(socket, Mac(GROUP)).expect("room");
    b.stack.ethernet_join(socket, Mac(GROUP)).expect("is in it already");
    assert!(has(&mut b, GROUP));
    for n in 1..MAX_ETHERNET_GROUPS as u8 {
        b.stack.ethernet_join(socket, Mac([1, 0, 0, 0, 0, n])).expect("room");
    }
    assert_eq!(b.stack.ethernet_join(socket, Mac([1, 0, 0, 0, 0, 99])), Err(GroupError::Full));
    assert_eq!(b.stack.ethernet_join(socket, Mac(OTHER)), Err(GroupError::NotAGroup));
    b.stack.ethernet_leave(socket, Mac(GROUP)).expect("in it");
    assert_eq!(b.stack.ethernet_leave(socket, Mac(GROUP)), Err(GroupError::NotJoined));
    assert!(!has(&mut b, GROUP) && has(&mut b, [1, 0, 0, 0, 0, 1]));
    b.stack.ethernet_close(socket).expect("open");
    assert!(!has(&mut b, [1, 0, 0, 0, 0, 1]));
    assert_eq!(b.stack.ethernet_join(socket, Mac(GROUP)), Err(GroupError::NoInterface));
}

#[test]
fn a_full_queue_and_a_low_pool_drop_counted_and_the_stack_goes_on() {
    let mut b = Bench::with(32, |c| c.reserve_rx = 4);
    let socket =
        b.stack.ethernet_open(b.iface, &EthernetOptions { rx_queue: 3, ..EthernetOptions::default() }).expect("room");
    let frame = packet::ethernet(GROUP, P_MAC, LLDP, b"text");
    for _ in 0..5 {
        b.give(frame.clone());
    }
    assert_eq!(b.stack.ethernet_dropped(socket), Ok(2));
    assert_eq!((b.dropped(DropReason::SocketQueueFull), b.dropped(DropReason::UnknownEtherType)), (2, 0));
    assert_eq!(received(&mut b.stack, socket).len(), 3);
    let pool = b.pool();
    let held: Vec<_> = (0..28).map(|_| pool.take(0).expect("a frame")).collect();
    let arp = packet::ethernet(H_MAC, P_MAC, 0x0806, &packet::arp(1, P_MAC, P, [0; 6], H));
    assert!(matches!(b.give(arp)[..], [Seen::Arp(2, ..)]));
    assert_eq!((b.stack.ethernet_dropped(socket), b.dropped(DropReason::PoolLow)), (Ok(3), 1));
    drop(held);
    b.stack.ethernet_close(socket).expect("open");
    assert_eq!(b.frames_in_use(), 0);
}

#[test]
fn frames_are_sent_as_they_are_in_order_and_bounded() {
    let mut b = Bench::new().with_live_neighbors();
    let socket =
        b.stack.ethernet_open(b.iface, &EthernetOptions { tx_queue: 2, ..EthernetOptions::default() }).expect("room");
    let frame = |n: u8| packet::ethernet(OTHER, [4; 6], LLDP, &[n; 40]);
    b.stack.ethernet_send(socket, &frame(1)).expect("room");
    b.stack.ethernet_send(socket, &frame(2)).expect("room");
    assert_eq!(b.stack.ethernet_send(socket, &frame(3)), Err(SendError::WouldBlock));
    assert!(b.stack.pending().contains(b.iface));
    assert_eq!(b.poll_raw(), [frame(1), frame(2)]);
    let event = b.stack.next_event().expect("there is room again");
    assert_eq!((event.socket, event.what), (SocketId::Ethernet(socket), Readiness::WRITE));
    assert_eq!(b.stack.ethernet_send(socket, &[0; 13]), Err(SendError::Malformed));
    assert_eq!(b.stack.ethernet_send(socket, &[0; 1515]), Err(SendError::TooLong));
    b.stack.ethernet_send(socket, &[0; 1514]).expect("as long as the MTU allows");
    assert_eq!(b.poll_raw(), [vec![0; 1514]]);
    // What a socket that closes has yet to send leaves.
    b.stack.ethernet_send(socket, &frame(4)).expect("room");
    b.stack.ethernet_close(socket).expect("open");
    assert_eq!(b.poll_raw(), [frame(4)]);
    assert_eq!(b.stack.ethernet_send(socket, &frame(5)), Err(SendError::Stale));
    b.is_well();
}

#[test]
fn without_its_link_or_its_interface_nothing_is_sent_and_no_frame_is_kept() {
    let mut b = Bench::new().with_second_link();
    let socket = open(&mut b, None);
    let frame = packet::ethernet(OTHER, H_MAC, LLDP, b"text");
    b.stack.ethernet_send(socket, &frame).expect("room");
    b.nic.link = Link::Down;
    assert!(b.poll_raw().is_empty());
    assert_eq!((b.dropped(DropReason::LinkDown), b.frames_in_use()), (1, 0));
    assert_eq!(b.stack.ethernet_send(socket, &frame), Err(SendError::LinkDown));
    b.nic.link = Link::Up;
    b.poll();
    for _ in 0..2 {
        b.stack.ethernet_send(socket, &frame).expect("room");
    }
    b.stack.remove_interface(b.iface);
    b.poll();
    assert_eq!((b.dropped(DropReason::NoRoute), b.frames_in_use(), b.sent_by_other()), (2, 0, vec![]));
    assert_eq!(b.stack.ethernet_send(socket, &frame), Err(SendError::NoRoute));
    b.stack.ethernet_close(socket).expect("open");
}

#[test]
fn a_reader_is_told_and_impossible_sockets_are_refused() {
    let mut b = Bench::new();
    let socket = open(&mut b, Some(LLDP));
    b.give(packet::ethernet(GROUP, P_MAC, LLDP, b"text"));
    let event = b.stack.next_event().expect("a frame");
    assert_eq!((event.socket, event.what), (SocketId::Ethernet(socket), Readiness::READ));
    for bad in [
        EthernetOptions { ethertype: Some(0x5ff), ..EthernetOptions::default() },
        EthernetOptions { ethertype: Some(0), ..EthernetOptions::default() },
        EthernetOptions { rx_queue: 0, ..EthernetOptions::default() },
        EthernetOptions { tx_queue: 0, ..EthernetOptions::default() },
    ] {
        assert_eq!(b.stack.ethernet_open(b.iface, &bad), Err(BindError::Invalid), "{bad:?}");
    }
    let gone = b.iface;
    b.stack.remove_interface(gone);
    assert_eq!(b.stack.ethernet_open(gone, &EthernetOptions::default()), Err(BindError::Invalid));
    let caps = ringtap::device::Capabilities::plain(Medium::Ip, 1500);
    let mut ip = Bench::built(Setup { caps, ..Setup::default() }, |_| {});
    assert_eq!(ip.stack.ethernet_open(ip.iface, &EthernetOptions::default()), Err(BindError::Invalid));
    let mut b = Bench::built(Setup { limits: Limits { raw: 2, ..Limits::default() }, ..Setup::default() }, |_| {});
    open(&mut b, None);
    let last = open(&mut b, None);
    assert_eq!(b.stack.ethernet_open(b.iface, &EthernetOptions::default()), Err(BindError::Full));
    b.stack.ethernet_close(last).expect("open");
    open(&mut b, None);
}

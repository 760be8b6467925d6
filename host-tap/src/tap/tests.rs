//! Taps and tuns with the kernel at the other end, in a namespace of the test's own.

use super::*;
use crate::epoll::Poller;
use crate::netns::in_namespace;
use crate::pool::Lease;
use crate::sys::{Events, Interest};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

fn open(options: &TapOptions) -> (Lease, Tap) {
    let port = TapPort::open(options).expect("a new device");
    let lease = Lease::for_device(port.medium(), port.mtu());
    let tap = port.with_pool(lease.pool());
    (lease, tap)
}

fn addressed(options: TapOptions) -> TapOptions {
    TapOptions { kernel_address: Some((Ipv4Addr::new(10, 7, 0, 1), 24)), ..options }
}

/// Receives until a frame satisfies `wanted`.
fn receive(tap: &mut Tap, wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(5) {
        match tap.receive() {
            Some((frame, _)) if wanted(&frame) => return frame.to_vec(),
            Some(_) => {}
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    panic!("nothing fitting was received");
}

fn send(tap: &mut Tap, packet: &[u8]) -> Result<(), Frame<'static>> {
    let mut frame = tap.pool().take(HEADROOM).expect("a free frame");
    frame.extend(packet).expect("room for the packet");
    tap.transmit(frame, TxMeta::default())
}

/// An IPv4 packet with UDP from `src`:9999 to 10.7.0.1:`port`, no UDP checksum.
fn udp_packet(src: [u8; 4], port: u16, payload: &[u8]) -> Vec<u8> {
    let mut p = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0];
    p.extend(src);
    p.extend([10, 7, 0, 1]);
    p.extend(9_999u16.to_be_bytes());
    p.extend(port.to_be_bytes());
    p.extend(((8 + payload.len()) as u16).to_be_bytes());
    p.extend([0, 0]);
    p.extend(payload);
    let total = (p.len() as u16).to_be_bytes();
    p[2..4].copy_from_slice(&total);
    let sum: u32 = p[..20].chunks(2).map(|c| u32::from(u16::from_be_bytes([c[0], c[1]]))).sum();
    let folded = !((sum & 0xffff) + (sum >> 16)) as u16;
    p[10..12].copy_from_slice(&folded.to_be_bytes());
    p
}

#[test]
fn a_tun_carries_bare_packets_both_ways_with_and_without_packet_information() {
    if !in_namespace!() {
        return;
    }
    for packet_info in [false, true] {
        let (_lease, mut tun) = open(&addressed(TapOptions { packet_info, ..TapOptions::tun("tun%d") }));
        assert_eq!(tun.capabilities().headroom, if packet_info { 4 } else { 0 });
        let socket = UdpSocket::bind("10.7.0.1:7000").expect("a socket at the kernel's end");
        socket.send_to(b"down", "10.7.0.2:7001").expect("a route");
        let packet = receive(&mut tun, |p| p[0] == 0x45);
        assert_eq!(&packet[packet.len() - 4..], b"down");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a time-out");
        send(&mut tun, &udp_packet([10, 7, 0, 2], 7_000, b"up")).expect("room");
        let mut buf = [0; 16];
        let (n, from) = socket.recv_from(&mut buf).expect("the packet at the kernel's end");
        assert_eq!((&buf[..n], from.to_string().as_str()), (&b"up"[..], "10.7.0.2:9999"));
    }
}

#[test]
fn a_tap_carries_ethernet_frames_of_up_to_its_mtu() {
    if !in_namespace!() {
        return;
    }
    let mac = Mac([0x02, 0, 0, 0, 0, 0x77]);
    for packet_info in [false, true] {
        let options = TapOptions { kernel_mac: Some(mac), mtu: Some(2_000), packet_info, ..TapOptions::tap("rt%d") };
        let (_lease, mut tap) = open(&addressed(options));
        let control = Control::new().expect("a control socket");
        assert_eq!(control.mac(tap.name()).expect("a MAC"), Some(mac));
        assert_eq!(control.mtu(tap.name()).expect("an MTU"), 2_000);
        let socket = UdpSocket::bind("10.7.0.1:7000").expect("a socket at the kernel's end");
        socket.send_to(&[1; 1_972], "10.7.0.2:7001").expect("a route");
        let arp = receive(&mut tap, |f| f[12..14] == [8, 6]);
        assert_eq!((&arp[..6], &arp[6..12]), (&[0xff; 6][..], &mac.0[..]));
        let mut reply = arp.clone();
        let ours = [0x02, 0, 0, 0, 0, 0x99];
        reply[..6].copy_from_slice(&mac.0);
        reply[6..12].copy_from_slice(&ours);
        reply[21] = 2;
        let (sender, target) = (arp[22..32].to_vec(), arp[38..42].to_vec());
        reply[22..28].copy_from_slice(&ours);
        reply[28..32].copy_from_slice(&target);
        reply[32..42].copy_from_slice(&sender);
        send(&mut tap, &reply).expect("room");
        let frame = receive(&mut tap, |f| f[12..14] == [8, 0]);
        assert_eq!((frame.len(), &frame[..6]), (2_014, &ours[..]));
    }
}

#[test]
fn an_empty_pool_drops_what_came_and_the_next_frame_is_received() {
    if !in_namespace!() {
        return;
    }
    let port = TapPort::open(&addressed(TapOptions::tun("tun%d"))).expect("a new device");
    let lease = Lease::new(crate::pool::slot_size(port.medium(), port.mtu()), 1);
    let mut tun = port.with_pool(lease.pool());
    while tun.receive().is_some() {}
    let held = lease.pool().take(0);
    let socket = UdpSocket::bind("10.7.0.1:0").expect("a socket at the kernel's end");
    for _ in 0..5 {
        socket.send_to(b"lost", "10.7.0.2:7001").expect("a route");
    }
    assert!(tun.receive().is_none());
    assert!(tun.counters().no_frame >= 5);
    drop(held);
    socket.send_to(b"kept", "10.7.0.2:7001").expect("a route");
    let packet = receive(&mut tun, |p| p[0] == 0x45);
    assert_eq!(&packet[packet.len() - 4..], b"kept");
}

// H160
#[test]
fn each_error_of_the_kernel_is_a_delay_a_loss_or_the_end() {
    let of = |errno| match Trouble::of(&io::Error::from_raw_os_error(errno)) {
        Trouble::Later => "later",
        Trouble::Lost => "lost",
        Trouble::Gone => "gone",
    };
    for (errno, expected) in [
        (libc::EAGAIN, "later"),
        (libc::EINTR, "later"),
        (libc::EIO, "lost"),
        (libc::ENETDOWN, "lost"),
        (libc::EINVAL, "lost"),
        (libc::ENOBUFS, "lost"),
        (libc::EBADFD, "gone"),
        (libc::ENODEV, "gone"),
    ] {
        assert_eq!(of(errno), expected, "{}", io::Error::from_raw_os_error(errno));
    }
}

// H160: the interface goes down and up, then away.
#[test]
fn an_interface_that_goes_down_loses_frames_and_one_that_vanishes_fails() {
    if !in_namespace!() {
        return;
    }
    // A persistent device, so that it can be deleted under its user.
    let (_lease, mut tun) = open(&addressed(TapOptions::tun("tun%d")));
    interface::tun_persist(tun.file.as_fd(), true).expect("a persistent device");
    let control = Control::new().expect("a control socket");
    let packet = udp_packet([10, 7, 0, 2], 7_000, b"x");
    control.set_up(&tun.name, false).expect("down");
    send(&mut tun, &packet).expect("a down interface takes and loses the frame");
    assert_eq!((tun.link(), tun.counters().not_sent), (Link::Down, 1));
    while tun.receive().is_some() {}
    assert!(tun.failure().is_none());
    // Without another frame sent, it is seen when the interface is up, and waited for.
    let is_writable = |tun: &Tap| {
        let mut set = Events::new();
        let mut poller = Poller::new().expect("a set");
        poller
            .add(tun.wants_write().expect("something to wait for"), 1, Interest { write: true, ..Interest::default() })
            .expect("added");
        poller.wait(&mut set, Some(Duration::ZERO)).expect("waited");
        set.iter().any(|ready| ready.writable)
    };
    assert!(!is_writable(&tun));
    control.set_up(&tun.name, true).expect("up");
    assert!(is_writable(&tun));
    assert_eq!((tun.link(), tun.wants_write().is_none()), (Link::Up, true));
    send(&mut tun, &packet).expect("room");
    assert_eq!((tun.link(), tun.counters().not_sent), (Link::Up, 1));
    let deleted = std::process::Command::new("ip").args(["link", "del", &tun.name]).status();
    assert!(deleted.is_ok_and(|s| s.success()), "the program `ip` (package iproute2) deletes the device");
    assert!(tun.receive().is_none() || tun.receive().is_none());
    send(&mut tun, &packet).expect("a vanished interface takes and loses the frame");
    let failure = tun.failure().expect("a vanished device has failed").to_string();
    assert!(failure.contains("has vanished"), "{failure}");
}

#[test]
fn opening_fails_with_one_line_that_says_what_to_do() {
    if !in_namespace!() {
        return;
    }
    let (_lease, _held) = open(&TapOptions::tap("held0"));
    let line = |options: &TapOptions| {
        let failure = TapPort::open(options).expect_err("no device");
        assert!(!failure.to_string().contains('\n'));
        (failure.to_string(), failure.code())
    };
    let (text, code) = line(&TapOptions::tap("held0"));
    assert!(text.contains("another program has it open") && code == 1, "{text}");
    let (text, _) = line(&TapOptions::tun("held0"));
    assert!(text.contains("add --tun") || text.contains("drop --tun"), "{text}");
    let (text, code) = line(&TapOptions::tap("lo"));
    assert!(text.contains("it is no tap") && code == 1, "{text}");
    let (text, code) = line(&TapOptions::tap("a-name-that-is-too-long"));
    assert!(text.contains("cannot be an interface's name") && code == 2, "{text}");
    let (text, code) = line(&TapOptions { mtu: Some(67), ..TapOptions::tap("rt0") });
    assert!(text.contains("MTU") && code == 2, "{text}");
    let denied = cannot_attach(&io::Error::from_raw_os_error(libc::EPERM), &TapOptions::tap("rt0"), false);
    assert!(denied.to_string().contains("sudo ip tuntap add dev rt0 mode tap user"), "{denied}");
}

#[test]
fn a_persistent_device_is_used_as_it_is() {
    if !in_namespace!() {
        return;
    }
    let options = TapOptions { mtu: Some(1_400), ..addressed(TapOptions::tap("keep0")) };
    let port = TapPort::open(&options).expect("a new device");
    assert!(!port.existed() && port.is_up());
    interface::tun_persist(port.file.as_fd(), true).expect("a persistent device");
    drop(port);
    let control = Control::new().expect("a control socket");
    control.set_up("keep0", false).expect("down");
    let mac = control.mac("keep0").expect("a MAC");
    let other = TapOptions { kernel_mac: Some(Mac([2, 2, 2, 2, 2, 2])), ..TapOptions::tap("keep0") };
    let port = TapPort::open(&other).expect("the same device");
    assert!(port.existed() && !port.is_up());
    assert_eq!((port.mtu(), port.kernel_mac()), (1_400, mac));
}

#[test]
fn what_an_earlier_owner_of_a_device_agreed_on_is_forgotten() {
    if !in_namespace!() {
        return;
    }
    for tun in [false, true] {
        let named = |offload| TapOptions { tun, offload, ..addressed(TapOptions::tap(format!("keep{}", tun as u8))) };
        let port = TapPort::open(&named(true)).expect("a new device");
        assert_eq!(port.offload(), Offload::Segments, "this kernel can");
        interface::tun_persist(port.file.as_fd(), true).expect("a persistent device");
        interface::tun_set_header(port.file.as_fd(), 24).expect("a header of another length");
        drop(port);
        for offload in [false, true] {
            let (_lease, mut tap) = open(&named(offload));
            let socket = UdpSocket::bind("10.7.0.1:0").expect("a socket at the kernel's end");
            // The datagram, or the question for the address, begins where a frame does. It takes the kernel a moment to see
            // that somebody is there again.
            let is_it = |p: &[u8]| if tun { p[..2] == [0x45, 0] } else { p[12..16] == [8, 6, 0, 1] };
            let start = Instant::now();
            loop {
                assert!(start.elapsed() < Duration::from_secs(5), "nothing fitting was received");
                let _ = socket.send_to(b"down", "10.7.0.2:7001");
                std::thread::sleep(Duration::from_millis(1));
                if std::iter::from_fn(|| tap.receive()).any(|(frame, _)| is_it(&frame)) {
                    break;
                }
            }
            assert_eq!(tap.capabilities().headroom, if offload { vnet::LEN } else { 0 });
            assert_eq!(tap.capabilities().gso_ipv4, 0, "there is no pool for super-segments");
            // The last owner takes it along.
            interface::tun_persist(tap.file.as_fd(), !offload).expect("a device");
        }
    }
}

/// A segment that the kernel has not summed is completed by who takes it, and one of ours by the kernel.
#[test]
fn checksums_are_left_to_each_other() {
    if !in_namespace!() {
        return;
    }
    for packet_info in [false, true] {
        let options = TapOptions { offload: true, packet_info, ..TapOptions::tun("tun%d") };
        let (_lease, mut tun) = open(&addressed(options));
        let socket = UdpSocket::bind("10.7.0.1:7000").expect("a socket at the kernel's end");
        socket.send_to(b"down", "10.7.0.2:7001").expect("a route");
        let (packet, meta) = loop {
            match tun.receive() {
                Some((frame, meta)) if frame[0] == 0x45 => break (frame.to_vec(), meta),
                _ => std::thread::yield_now(),
            }
        };
        assert_eq!(meta.checksum, RxChecksum::Partial { start: 20, offset: 6 });
        assert_eq!(&packet[packet.len() - 4..], b"down");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a time-out");
        let mut frame = tun.pool().take(HEADROOM).expect("a free frame");
        frame.extend(&udp_packet([10, 7, 0, 2], 7_000, b"up")).expect("room for the packet");
        // The pseudo-header's sum: 10.7.0.2, 10.7.0.1, UDP, ten octets.
        let sum = 2 * 0x0a07u16 + 3 + 17 + 10;
        frame[26..28].copy_from_slice(&sum.to_be_bytes());
        let checksum = ringtap::device::TxChecksum::Partial { start: 20, offset: 6 };
        tun.transmit(frame, TxMeta { checksum, ..TxMeta::default() }).expect("room");
        let mut buf = [0; 16];
        let (n, _) = socket.recv_from(&mut buf).expect("the packet at the kernel's end");
        assert_eq!(&buf[..n], b"up");
    }
}

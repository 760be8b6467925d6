//! Hooks at five points of a packet's way, and filters of sockets.

use ringtap::ip::forward::Forwarding;
use ringtap::ip::hooks::{Hooks, Passage, Point, Verdict};
use ringtap::ip::rewrite::{End, endpoints, replace};
use ringtap::sockets::UdpOptions;
use ringtap::stats::DropReason;
use ringtap::tcp::TcpOptions;
use ringtap::time::Duration;
use ringtap_sim::Bench;
use ringtap_sim::bench::{H, H_MAC, H2, P, P_MAC, P2, Setup, segments};
use ringtap_sim::packet::{self, ACK, Ip, SYN, Seen};
use ringtap_sim::six::{self, Ip6};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

type Decide = dyn FnMut(&Passage, &mut [u8]) -> Verdict + Send;

/// Notes each passing, and decides as it was told.
struct Spy {
    log: Arc<Mutex<Vec<Point>>>,
    decide: Box<Decide>,
}

impl Hooks for Spy {
    fn on_packet(&mut self, passage: &Passage, packet: &mut [u8]) -> Verdict {
        self.log.lock().expect("one thread").push(passage.point);
        (self.decide)(passage, packet)
    }
}

struct Log(Arc<Mutex<Vec<Point>>>);

impl Log {
    fn take(&self) -> Vec<Point> {
        std::mem::take(&mut self.0.lock().expect("one thread"))
    }
}

fn watch(b: &mut Bench, decide: impl FnMut(&Passage, &mut [u8]) -> Verdict + Send + 'static) -> Log {
    let log = Arc::new(Mutex::new(Vec::new()));
    let spy: &'static mut Spy = Box::leak(Box::new(Spy { log: Arc::clone(&log), decide: Box::new(decide) }));
    b.stack.set_hooks(Some(spy));
    Log(log)
}

/// H with two links, a router.
fn bench() -> Bench {
    let mut b = Bench::built(Setup::default(), |c| c.dad_transmits = 0).with_live_neighbors().with_second_link();
    b.stack.set_forwarding(Some(Forwarding::default()));
    b
}

fn from_p(src: Ipv4Addr, dst: Ipv4Addr, port: u16, text: &[u8]) -> Vec<u8> {
    packet::ethernet(H_MAC, P_MAC, 0x0800, &Ip::new(src, dst, 17).build(&packet::udp((src, 9), (dst, port), text)))
}

fn ping(b: &mut Bench) -> usize {
    b.give_ip(&Ip::new(P, H, 1), &packet::icmp(8, 0, [0; 4], b"ping")).len()
}

#[test]
fn packets_pass_the_points_of_their_way_once() {
    use Point::{Forward, LocalIn, LocalOut, PostRouting, PreRouting};
    let mut b = bench();
    let udp = b.stack.udp_bind(None, 5000, &UdpOptions::default()).expect("a free port");
    let log = watch(&mut b, |passage, packet| {
        assert_eq!(packet[0], 0x45);
        let known = (passage.arrived.is_some(), passage.leaves.is_some());
        let expected = match passage.point {
            PreRouting | LocalIn => (true, false),
            Forward => (true, true),
            LocalOut => (false, false),
            PostRouting => (false, true),
        };
        assert_eq!(known, expected, "{passage:?}");
        Verdict::Accept
    });
    assert_eq!(ping(&mut b), 1);
    assert_eq!(log.take(), [PreRouting, LocalIn, LocalOut, PostRouting]);
    b.give(from_p(P, H, 5000, b"text"));
    assert_eq!(log.take(), [PreRouting, LocalIn]);
    b.nic.rx.push_back(from_p(P, P2, 5000, b"text"));
    b.poll();
    assert_eq!((log.take(), b.sent_by_other().len()), (vec![PreRouting, Forward, PostRouting], 1));
    b.stack.udp(udp).expect("open").send_to(b"text", SocketAddr::new(P2.into(), 9)).expect("a route");
    b.poll();
    assert_eq!((log.take(), b.sent_by_other().len()), (vec![LocalOut, PostRouting], 1));
    // To ourselves.
    b.stack.udp(udp).expect("open").send_to(b"text", SocketAddr::new(H2.into(), 5000)).expect("looped");
    b.poll();
    assert_eq!(log.take(), [LocalOut, LocalIn]);
    // Parked for a neighbour, then sent.
    let silent = Ipv4Addr::new(192, 0, 2, 99);
    b.stack.udp(udp).expect("open").send_to(b"text", SocketAddr::new(silent.into(), 9)).expect("a route");
    b.poll();
    assert_eq!(log.take(), [LocalOut]);
    let mac = [2, 0, 0, 0, 0, 99];
    b.give(packet::ethernet(H_MAC, mac, 0x0806, &packet::arp(2, mac, silent, H_MAC, H)));
    assert_eq!(log.take(), [PostRouting]);
    // In fragments, both ways.
    let big = Ip::new(P, H, 1).build(&packet::icmp(8, 0, [0; 4], &[7; 3000]));
    let ip = Ip::new(P, H, 1);
    for piece in packet::fragments(&ip, &big[20..], 1480) {
        b.give(packet::ethernet(H_MAC, P_MAC, 0x0800, &piece));
    }
    assert_eq!(log.take(), [PreRouting, PreRouting, PreRouting, LocalIn, LocalOut, PostRouting]);
    while b.stack.udp(udp).expect("open").recv_from(&mut [0; 9]).is_ok() {}
    b.is_well();
}

#[test]
fn a_connection_goes_its_way_under_the_eyes_of_hooks() {
    let mut b = bench();
    let log = watch(&mut b, |_, _| Verdict::Accept);
    let listener = b.listen(80, 4, TcpOptions::default());
    let (handle, iss) = b.accepted(listener, 7000, 80);
    log.take();
    b.stack.tcp(handle).expect("open").write(&[5; 100]).expect("room");
    let sent = segments(&b.poll());
    assert_eq!((sent.len(), sent[0].payload.len()), (1, 100));
    assert_eq!(log.take(), [Point::LocalOut, Point::PostRouting]);
    let text = b.text(7000, 80, 1001, iss + 101, b"back");
    let back = b.give_tcp(&text);
    assert!(log.take().starts_with(&[Point::PreRouting, Point::LocalIn]), "{back:?}");
    let mut buf = [0; 9];
    assert_eq!(b.stack.tcp(handle).expect("open").read(&mut buf), Ok(4));
    // Nobody lets a reset out.
    watch(&mut b, |p, _| if p.point == Point::LocalOut { Verdict::Drop } else { Verdict::Accept });
    b.stack.tcp(handle).expect("open").abort();
    assert_eq!(b.poll(), []);
    assert!(b.dropped(DropReason::Filtered) >= 1);
    b.stack.set_hooks(None);
    b.is_well();
}

#[test]
fn a_packet_can_be_dropped_at_each_point() {
    for point in [Point::PreRouting, Point::LocalIn, Point::Forward, Point::LocalOut, Point::PostRouting] {
        let mut b = bench();
        let log = watch(&mut b, move |p, _| if p.point == point { Verdict::Drop } else { Verdict::Accept });
        let answered = ping(&mut b) > 0;
        let seen = log.take();
        let passes = point == Point::Forward;
        assert_eq!((answered, seen.last() == Some(&point)), (passes, !passes), "{point:?}: {seen:?}");
        b.nic.rx.push_back(from_p(P, P2, 9, b"through"));
        b.poll();
        let seen = log.take();
        let passes = matches!(point, Point::LocalIn | Point::LocalOut);
        assert_eq!(
            (b.sent_by_other().len() == 1, seen.last() == Some(&point)),
            (passes, !passes),
            "{point:?}: {seen:?}"
        );
        let expected = usize::from(point != Point::Forward) + usize::from(!passes);
        assert_eq!(b.dropped(DropReason::Filtered), expected, "{point:?}");
        b.stack.set_hooks(None);
        b.is_well();
    }
}

#[test]
fn a_changed_destination_is_ours_or_not_as_it_says_now() {
    let mut b = bench();
    let udp = b.stack.udp_bind(None, 5000, &UdpOptions::default()).expect("a free port");
    // What comes for a port of H goes to P2, and what comes for P2 is kept.
    watch(&mut b, |passage, packet| {
        let Some(e) = endpoints(packet) else { return Verdict::Accept };
        let to = match (passage.point, e.dst.port()) {
            (Point::PreRouting, 1) => SocketAddr::new(P2.into(), 2),
            (Point::PreRouting, 3) => SocketAddr::new(H.into(), 5000),
            _ => return Verdict::Accept,
        };
        replace(packet, End::Destination, to).expect("a datagram");
        Verdict::Modified
    });
    b.nic.rx.push_back(from_p(P, H, 1, b"on"));
    b.poll();
    assert_eq!(b.sent_by_other(), [Seen::Udp((P, 9), (P2, 2), b"on".to_vec())]);
    b.give(from_p(P, P2, 3, b"kept"));
    let mut buf = [0; 9];
    let got = b.stack.udp(udp).expect("open").recv_from(&mut buf).expect("kept");
    assert_eq!((&buf[..got.len], got.to), (&b"kept"[..], SocketAddr::new(H.into(), 5000)));
    // Our own, sent to one network and led into the other.
    watch(&mut b, |passage, packet| {
        if passage.point != Point::LocalOut {
            return Verdict::Accept;
        }
        replace(packet, End::Destination, SocketAddr::new(P2.into(), 7)).expect("a datagram");
        Verdict::Modified
    });
    b.stack.udp(udp).expect("open").send_to(b"led", SocketAddr::new(P.into(), 9)).expect("a route");
    assert_eq!(b.poll(), []);
    assert_eq!(b.sent_by_other(), [Seen::Udp((H, 5000), (P2, 7), b"led".to_vec())]);
    b.stack.set_hooks(None);
    b.is_well();
}

#[test]
fn what_a_hook_has_spoiled_is_dropped_as_anything_spoiled_is() {
    let mut b = bench();
    let udp = b.stack.udp_bind(None, 5000, &UdpOptions::default()).expect("a free port");
    b.nic.rx_meta.checksum = ringtap::device::RxChecksum::Verified;
    for (point, at, reason) in [
        (Point::PreRouting, 8, DropReason::Ipv4Checksum),
        (Point::PreRouting, 30, DropReason::UdpChecksum),
        (Point::LocalIn, 30, DropReason::UdpChecksum),
    ] {
        watch(&mut b, move |p, packet| {
            if p.point != point {
                return Verdict::Accept;
            }
            packet[at] ^= 1;
            Verdict::Modified
        });
        let before = b.dropped(reason);
        b.give(from_p(P, H, 5000, b"text"));
        assert_eq!(b.dropped(reason), before + 1, "{point:?} {at}");
        assert!(b.stack.udp(udp).expect("open").recv_from(&mut [0; 9]).is_err());
    }
    // Any octets whatever.
    let mut n = 0u32;
    watch(&mut b, move |_, packet| {
        n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let at = n as usize % packet.len();
        packet[at] = (n >> 24) as u8;
        Verdict::Modified
    });
    for _ in 0..2000 {
        b.nic.rx.push_back(from_p(P, H, 5000, b"text"));
        b.nic.rx.push_back(from_p(P, P2, 5000, b"text"));
        b.poll_raw();
        b.nic.tx.clear();
        if let Some((_, nic)) = &mut b.other {
            nic.tx.clear();
        }
        while b.stack.udp(udp).expect("open").recv_from(&mut [0; 9]).is_ok() {}
    }
    b.stack.set_hooks(None);
    b.nic.rx_meta = Default::default();
    b.pass(Duration::from_secs(120));
    while b.stack.udp(udp).expect("open").recv_from(&mut [0; 9]).is_ok() {}
    b.is_well();
}

#[test]
fn ipv6_passes_the_same_points() {
    let mut b = six::bench();
    let log = watch(&mut b, |_, packet| {
        assert_eq!(packet[0] >> 4, 6);
        Verdict::Accept
    });
    let seen = six::give(&mut b, Ip6::to_h(58).build(&six::icmp(six::P, six::H, 128, 0, [0; 4], b"ping")));
    assert_eq!(seen.len(), 1);
    assert_eq!(log.take(), [Point::PreRouting, Point::LocalIn, Point::LocalOut, Point::PostRouting]);
    b.stack.set_hooks(None);
    six::is_well(&mut b);
}

#[test]
fn a_frame_that_another_interface_takes_is_seen_once() {
    // A pool too small to copy from at once, between interfaces with pools of their own.
    let mut b = bench();
    let log = watch(&mut b, |p, packet| match (p.point, endpoints(packet)) {
        (Point::LocalOut, Some(e)) if e.dst.port() == 9 => {
            replace(packet, End::Destination, SocketAddr::new(P2.into(), 10)).expect("a datagram");
            Verdict::Modified
        }
        _ => Verdict::Accept,
    });
    let udp = b.stack.udp_bind(None, 5000, &UdpOptions::default()).expect("a free port");
    let (_, nic) = b.other.as_mut().expect("a second link");
    let pool = ringtap::device::Device::pool(nic);
    let taken: Vec<_> = std::iter::from_fn(|| pool.take(0)).collect();
    b.stack.udp(udp).expect("open").send_to(b"text", SocketAddr::new(P.into(), 9)).expect("a route");
    b.poll();
    assert_eq!((log.take(), b.sent_by_other().len()), (vec![Point::LocalOut], 0));
    drop(taken);
    b.pass(Duration::from_millis(30));
    assert_eq!((log.take(), b.sent_by_other().len()), (vec![Point::PostRouting], 1));
    b.stack.set_hooks(None);
    b.is_well();
}

#[test]
fn a_socket_receives_what_its_filter_wants() {
    let mut b = bench();
    let udp = b.stack.udp_bind(None, 5000, &UdpOptions::default()).expect("a free port");
    b.stack.udp(udp).expect("open").set_filter(Some(&|packet: &[u8]| packet.ends_with(b"yes")));
    let raw = b.stack.raw_bind(Some(17)).expect("room");
    b.stack.raw_set_filter(raw, Some(&|packet: &[u8]| packet.ends_with(b"no"))).expect("open");
    for text in [&b"no"[..], b"yes", b"no"] {
        b.give(from_p(P, H, 5000, text));
    }
    let mut buf = [0; 99];
    let mut texts = Vec::new();
    while let Ok(got) = b.stack.udp(udp).expect("open").recv_from(&mut buf) {
        texts.push(buf[..got.len].to_vec());
    }
    assert_eq!(texts, [b"yes".to_vec()]);
    assert_eq!(b.stack.udp(udp).expect("open").dropped(), 2);
    let mut count = 0;
    while b.stack.raw_recv(raw, &mut buf).is_ok() {
        count += 1;
    }
    assert_eq!((count, b.dropped(DropReason::Filtered)), (2, 3));
    b.stack.udp(udp).expect("open").set_filter(None);
    b.give(from_p(P, H, 5000, b"no"));
    assert!(b.stack.udp(udp).expect("open").recv_from(&mut buf).is_ok());
    b.stack.raw_close(raw).expect("open");
    b.is_well();
}

/// A SYN|ACK that a hook has changed is still the answer; the connection works from both ends.
#[test]
fn a_listener_behind_another_port_is_reached() {
    let mut b = bench();
    watch(&mut b, |p, packet| {
        let Some(e) = endpoints(packet).filter(|e| e.protocol == 6) else { return Verdict::Accept };
        let done = match (p.point, e.src.port(), e.dst.port()) {
            (Point::PreRouting, _, 8080) => replace(packet, End::Destination, SocketAddr::new(H.into(), 80)),
            (Point::PostRouting, 80, _) => replace(packet, End::Source, SocketAddr::new(H.into(), 8080)),
            _ => return Verdict::Accept,
        };
        done.expect("a segment");
        Verdict::Modified
    });
    let listener = b.listen(80, 4, TcpOptions::default());
    let syn = packet::Tcp { src: 7, dst: 8080, seq: 1000, flags: SYN, window: 65_535, ..packet::Tcp::default() };
    let answer = segments(&b.give_tcp(&syn)).pop().expect("an answer");
    assert_eq!((answer.src, answer.flags & (SYN | ACK)), (8080, SYN | ACK));
    b.give_tcp(&packet::Tcp { seq: 1001, ack: answer.seq + 1, flags: ACK, ..syn });
    let (handle, _) = b.stack.tcp_accept(listener).expect("established");
    b.stack.tcp(handle).expect("open").write(b"hello").expect("room");
    let sent = segments(&b.poll());
    assert_eq!((sent[0].src, &sent[0].payload[..]), (8080, &b"hello"[..]));
    b.stack.tcp(handle).expect("open").abort();
    b.poll();
    b.stack.set_hooks(None);
    b.is_well();
}

//! A bounded backlog between a device and a stack that is behind.

use ringtap::config::Config;
use ringtap::device::{Backlog, BacklogCounters, Capabilities, Device, Mac, Medium};
use ringtap::frame::BoxedPool;
use ringtap::rng::Secret;
use ringtap::sockets::UdpOptions;
use ringtap::stack::{IfaceId, Limits, Stack, Storage};
use ringtap::tcp::{ListenOptions, TcpOptions};
use ringtap::time::{Duration, Instant};
use ringtap_sim::Nic;
use ringtap_sim::bench::{H, H_MAC, P, P_MAC};
use ringtap_sim::packet::{self, ACK, Ip, SYN, Seen, Tcp};

const ROOM: usize = 32;

struct Bench {
    stack: Stack<'static>,
    iface: IfaceId,
    card: Backlog<'static, Nic, ROOM>,
    now: Instant,
    pool: &'static BoxedPool,
}

fn bench(frames: usize) -> Bench {
    let pool: &'static BoxedPool = Box::leak(Box::new(BoxedPool::new(1600, frames)));
    let nic = Nic::with(pool.pool(), Capabilities::plain(Medium::Ethernet, 1500));
    let card = Backlog::new(nic);
    let mut stack = Stack::new(Config::new(Secret::new([3; 16])), Storage::growing(Limits::default()));
    let iface = stack.add_interface(&card, Mac(H_MAC)).expect("room");
    stack.add_address(iface, format!("{H}/24").parse().expect("a prefix")).expect("room");
    let mut b = Bench { stack, iface, card, now: Instant::from_secs(1000), pool };
    b.poll(64);
    b.wire(packet::ethernet(H_MAC, P_MAC, 0x0806, &packet::arp(1, P_MAC, P, [0; 6], H)));
    b.poll(64);
    b
}

impl Bench {
    fn wire(&mut self, frame: Vec<u8>) {
        self.card.device_mut().rx.push_back(frame);
    }

    fn ip(&mut self, protocol: u8, payload: &[u8]) {
        let packet = Ip::new(P, H, protocol).build(payload);
        self.wire(packet::ethernet(H_MAC, P_MAC, 0x0800, &packet));
    }

    fn poll(&mut self, budget: usize) -> Vec<Seen> {
        let _ = self.stack.poll(self.now, self.iface, &mut self.card, budget);
        self.card.device_mut().tx.drain(..).map(|f| packet::read(&f)).collect()
    }
}

#[test]
fn what_waited_is_received_first_and_in_order_and_what_finds_no_room_is_counted() {
    let mut b = bench(128);
    let udp =
        b.stack.udp_bind(None, 5000, &UdpOptions { rx_queue: 100, ..UdpOptions::default() }).expect("a free port");
    for n in 0..40u8 {
        b.ip(17, &packet::udp((P, 1), (H, 5000), &[n]));
    }
    assert_eq!(b.card.fill(10), 10);
    assert_eq!(b.card.fill(100), 30, "as many as there were");
    assert_eq!((b.card.len(), b.card.counters()), (ROOM, BacklogCounters { queued: 32, full: 8, pool_low: 0 }));
    assert_eq!(b.card.lost().rx_dropped, 8);
    b.ip(17, &packet::udp((P, 1), (H, 5000), &[99]));
    b.poll(64);
    let mut got = Vec::new();
    let mut buf = [0; 4];
    while b.stack.udp(udp).expect("open").recv_from(&mut buf).is_ok() {
        got.push(buf[0]);
    }
    assert_eq!(got, (0..32).chain([99]).collect::<Vec<u8>>());
    assert!(b.card.is_empty());
    assert_eq!(b.stack.interfaces().next().expect("one").counters.lost.rx_dropped, 8);
    // Without a pause nothing waits.
    b.ip(17, &packet::udp((P, 1), (H, 5000), &[1]));
    b.poll(64);
    assert_eq!(b.card.counters().queued, 32);
}

#[test]
fn a_quarter_of_the_pool_is_left_to_what_is_sent() {
    let mut b = bench(16);
    for _ in 0..40 {
        b.ip(17, &packet::udp((P, 1), (H, 5000), b"flood"));
    }
    b.card.fill(100);
    let counters = b.card.counters();
    assert_eq!((counters.full, counters.queued + counters.pool_low), (0, 40));
    // One more is the stack's, which has not said who it is yet.
    assert_eq!((b.card.len() + 1, b.pool.pool().free() - 1), (12, 4));
    b.poll(64);
    assert_eq!(b.pool.pool().free(), 16);
}

/// Fifty frames a millisecond, of which the stack handles four: timers fire, a connection goes on, its user is served, and
/// memory is what it was.
#[test]
fn a_flood_starves_neither_timers_nor_connections_and_takes_a_bounded_memory() {
    let mut b = bench(128);
    let options = ListenOptions { backlog: 4, tcp: TcpOptions::default() };
    let listener = b.stack.tcp_listen(None, 80, &options).expect("room");
    let syn = Tcp { src: 4000, dst: 80, seq: 100, flags: SYN, window: 4000, ..Tcp::default() };
    b.ip(6, &syn.build(P, H));
    let seen = b.poll(64);
    let Some(Seen::Tcp(_, _, answer)) = seen.first() else { panic!("a SYN|ACK: {seen:?}") };
    let mut ours = Tcp { seq: 101, ack: answer.seq + 1, flags: ACK, ..syn };
    b.ip(6, &ours.build(P, H));
    b.poll(64);
    let (socket, _) = b.stack.tcp_accept(listener).expect("made");
    let (mut sent, mut echoed, mut again) = (0u32, 0u32, 0u32);
    let mut most = 0;
    b.stack.tcp(socket).expect("open").write(b"never acknowledged").expect("room");
    for ms in 0..4000u32 {
        b.now += Duration::from_millis(1);
        for n in 0..50u8 {
            b.ip(17, &packet::udp((P, 1), (H, 9), &[n; 100]));
            // One text of the peer's among them, again until it is acknowledged.
            if n == 1 && ms % 40 == 0 {
                sent += 1;
                let text = Tcp { payload: vec![7; 10], ..ours.clone() };
                b.ip(6, &text.build(P, H));
            }
        }
        b.card.fill(64);
        for seen in b.poll(4) {
            if let Seen::Tcp(_, _, t) = seen {
                again += u32::from(t.payload == b"never acknowledged");
                ours.seq = ours.seq.max(t.ack);
            }
        }
        let mut buf = [0; 64];
        while let Ok(n) = b.stack.tcp(socket).expect("open").read(&mut buf) {
            echoed += n as u32;
        }
        most = most.max(b.pool.pool().count() - b.pool.pool().free());
    }
    assert!(again >= 3, "sent again by a timer: {again}");
    assert!(echoed >= 10 && sent >= 100, "{echoed} of {sent} texts");
    assert!(most <= ROOM + 8, "{most} frames in use");
    let counters = b.card.counters();
    assert!(counters.full > 100_000 && counters.pool_low == 0, "{counters:?}");
    assert_eq!(b.stack.interfaces().next().expect("one").counters.lost.rx_dropped, counters.full);
}

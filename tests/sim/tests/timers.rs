//! Timers, deadlines and wakers: the contract between the stack and who polls it.

use ringtap::error::TcpError;
use ringtap::event::Readiness;
use ringtap::sockets::UdpOptions;
use ringtap::stack::{SocketId, Stack};
use ringtap::tcp::{ConnectOptions, KeepAlive, State, TcpHandle, TcpOptions};
use ringtap::time::{Duration, Instant};
use ringtap_sim::bench::{H, H_MAC, P, P_MAC, segments, timed};
use ringtap_sim::packet::{self, ACK, FIN, Ip, RST, SYN, Seen, Tcp};
use ringtap_sim::{Bench, Bulk, Impairments, Sim};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

const PORT: u16 = 80;
const REMOTE: SocketAddr = SocketAddr::new(IpAddr::V4(P), 7);

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A waker, and how often it was woken.
struct Task {
    count: Arc<Count>,
    waker: Waker,
}

impl Task {
    fn new() -> Self {
        let count = Arc::new(Count::default());
        Self { waker: Waker::from(count.clone()), count }
    }

    fn woken(&self) -> usize {
        self.count.0.swap(0, Ordering::Relaxed)
    }
}

fn drain(stack: &mut Stack<'static>) -> Vec<(SocketId, Readiness)> {
    let mut all = Vec::new();
    while let Some(event) = stack.next_event() {
        all.push((event.socket, event.what));
        event.wake();
    }
    all
}

fn from_p(seq: u32, ack: u32, flags: u8) -> Tcp {
    Tcp { src: 4000, dst: PORT, seq, ack, flags, window: 65_535, ..Tcp::default() }
}

fn served(options: TcpOptions) -> (Bench, TcpHandle, u32) {
    let mut bench = Bench::new().with_live_neighbors();
    let listener = bench.listen(PORT, 4, options);
    let (handle, iss) = bench.accepted(listener, 4000, PORT);
    bench.pass(Duration::from_secs(1));
    drain(&mut bench.stack);
    (bench, handle, iss + 1)
}

#[test]
fn every_call_that_creates_work_moves_the_deadline_to_now() {
    // H111.
    let (mut bench, handle, next) = served(TcpOptions { rx_buffer: 4096, ..TcpOptions::default() });
    let owes = |bench: &mut Bench, what: &str| {
        assert!(bench.stack.next_deadline().is_some_and(|t| t <= bench.now), "after {what}");
        assert!(!bench.stack.pending().is_empty(), "after {what}");
        bench.poll()
    };
    let rests = |bench: &mut Bench| assert!(bench.stack.next_deadline().is_none_or(|t| t > bench.now));
    rests(&mut bench);
    bench.stack.tcp(handle).unwrap().write(b"text").unwrap();
    assert_eq!(segments(&owes(&mut bench, "write")).len(), 1);
    bench.give_tcp(&from_p(1001, next + 4, ACK));
    bench
        .stack
        .tcp(handle)
        .unwrap()
        .write_with(|room| {
            room[0] = 7;
            (1, ())
        })
        .unwrap();
    assert_eq!(segments(&owes(&mut bench, "write_with")).len(), 1);
    bench.give_tcp(&from_p(1001, next + 5, ACK));
    // The window closes, and is opened by reading.
    for n in 0..4 {
        bench.give_tcp(&bench.text(4000, PORT, 1001 + n * 1024, next + 5, &[1; 1024]));
    }
    bench.pass(Duration::from_secs(1));
    rests(&mut bench);
    assert_eq!(bench.stack.tcp(handle).unwrap().read(&mut [0; 4096]), Ok(4096));
    let update = segments(&owes(&mut bench, "a read that opens the window"));
    assert!(matches!(&update[..], [u] if u.window > 0 && u.ack == 5097), "{update:?}");
    let udp = bench.stack.udp_bind(None, 5000, &UdpOptions::default()).unwrap();
    rests(&mut bench);
    bench.stack.udp(udp).unwrap().send_to(b"x", REMOTE).unwrap();
    assert_eq!(owes(&mut bench, "send_to").len(), 1);
    let echo = bench.stack.icmp_bind(None).unwrap();
    bench.stack.icmp_send(echo, IpAddr::V4(P), 1, b"x", None).unwrap();
    assert_eq!(owes(&mut bench, "icmp_send").len(), 1);
    bench.stack.tcp(handle).unwrap().shutdown_write().unwrap();
    assert!(segments(&owes(&mut bench, "shutdown_write"))[0].has(FIN));
    let other = bench.stack.tcp_connect(REMOTE, &ConnectOptions::default()).unwrap();
    assert_eq!(segments(&owes(&mut bench, "connect"))[0].flags, SYN);
    bench.stack.tcp(other).unwrap().abort();
    bench.poll();
    bench.stack.tcp(handle).unwrap().abort();
    assert!(segments(&owes(&mut bench, "abort"))[0].has(RST));
    let cidr = ringtap::ip::addr::Cidr::new("192.0.2.9".parse().unwrap(), 24).unwrap();
    bench.stack.add_address(bench.iface, cidr).unwrap();
    assert!(matches!(owes(&mut bench, "add_address")[..], [Seen::Arp(..)]));
    bench.is_well();
}

#[test]
fn a_close_is_pending_at_once() {
    // H111.
    let (mut bench, handle, _) = served(TcpOptions::default());
    bench.stack.tcp(handle).unwrap().close();
    assert!(bench.stack.next_deadline().is_some_and(|t| t <= bench.now));
    assert!(segments(&bench.poll())[0].has(FIN));
}

#[test]
fn a_driver_that_polls_at_deadlines_only_finishes_with_full_devices_and_empty_pools() {
    // H112. The simulator polls at deadlines and frames only, and fails when a stack spins.
    for seed in 0..12 {
        let link = Impairments { loss: 0.01 * (seed % 3) as f64, ..Impairments::default() };
        let mut sim = Sim::pair(seed, link.clone(), link);
        let server = SocketAddr::new(sim.hosts[1].addr, 7000);
        let options = TcpOptions::default();
        sim.hosts[0].apps.push(Box::new(Bulk::client(server, 100_000, 50_000, options)));
        sim.hosts[1].apps.push(Box::new(Bulk::server(7000, 50_000, 100_000, options)));
        let mut held = Vec::new();
        for step in 0..200_000u64 {
            // Now the device has no room, now the pool no frame, now both have.
            let phase = (step / 7 + seed) % 5;
            for host in &mut sim.hosts {
                host.nic.tx_room = if phase == 1 { (seed % 2) as usize } else { usize::MAX };
            }
            held.clear();
            if phase == 3 {
                let pool = ringtap::device::Device::pool(&sim.hosts[(step % 2) as usize].nic);
                held.extend(std::iter::from_fn(|| pool.take(0)));
            }
            if sim.is_done() || !sim.step(Instant::from_secs(4_000)).unwrap() {
                break;
            }
        }
        held.clear();
        for host in &mut sim.hosts {
            host.nic.tx_room = usize::MAX;
        }
        sim.run(Instant::from_secs(4_000)).and_then(|()| sim.check_empty()).unwrap();
    }
}

#[test]
fn a_stalled_device_is_asked_again_in_its_time_and_not_without_pause() {
    // H112.
    let (mut bench, handle, _) = served(TcpOptions::default());
    bench.nic.tx_room = 0;
    bench.stack.tcp(handle).unwrap().write(&[1; 20_000]).unwrap();
    let mut polls = 0;
    let end = bench.now + Duration::from_secs(1);
    while bench.now < end {
        let polled = bench.stack.poll(bench.now, bench.iface, &mut bench.nic, 64);
        assert!(!polled.more);
        let next = polled.next.expect("it wants to go on");
        assert!(next > bench.now, "no second deadline that has passed");
        bench.now = next;
        polls += 1;
    }
    assert!((10..=400).contains(&polls), "{polls} polls in a second");
    bench.nic.tx_room = usize::MAX;
    assert!(!bench.poll().is_empty());
}

#[test]
fn a_flood_of_frames_leaves_each_poll_its_budget_and_timers_their_time() {
    // H113.
    let (mut bench, handle, next) = served(TcpOptions::default());
    bench.stack.tcp(handle).unwrap().write(b"lost").unwrap();
    let sent = segments(&bench.poll());
    assert_eq!(sent.len(), 1);
    // Text in order, whose ACK may wait 40 ms; then noise without end.
    let text = bench.text(4000, PORT, 1001, next, b"hello");
    let mut frames = vec![packet::ethernet(H_MAC, P_MAC, 0x0800, &Ip::new(P, H, 6).build(&text.build(P, H)))];
    let noise = packet::ethernet([0x33; 6], P_MAC, 0x0800, &[0; 60]);
    let start = bench.now;
    let (mut acked, mut resent) = (None, None);
    while bench.now.since(start) < Duration::from_millis(600) {
        bench.nic.rx.extend(frames.drain(..));
        while bench.nic.rx.len() < 200 {
            bench.nic.rx.push_back(noise.clone());
        }
        let waiting = bench.nic.rx.len();
        let polled = bench.stack.poll(bench.now, bench.iface, &mut bench.nic, 32);
        assert_eq!(waiting - bench.nic.rx.len(), 32, "the budget");
        assert!(polled.more, "and it says so");
        for frame in bench.nic.tx.drain(..) {
            let Seen::Tcp(_, _, s) = packet::read(&frame) else { continue };
            if s.payload == b"lost" {
                resent = resent.or(Some(bench.now.since(start).as_millis()));
            }
            if s.ack == 1006 {
                acked = acked.or(Some(bench.now.since(start).as_millis()));
            }
        }
        bench.now += Duration::from_millis(1);
    }
    assert!(acked.is_some_and(|t| t <= 41), "the delayed ACK: {acked:?}");
    assert!(resent.is_some_and(|t| (200..=350).contains(&t)), "the RTO: {resent:?}");
}

#[test]
fn connections_survive_a_clock_that_jumps_and_steps_back() {
    // H114.
    for start in [(1u64 << 31) * 1000 - 2_000_000, (1 << 32) * 1000 - 2_000_000, (1 << 32) - 2_000_000, 1 << 31] {
        for jump in [0i64, -3_600, 100 * 86_400] {
            let mut bench = Bench::new();
            bench.now = Instant::from_micros(start + 4_000_000_000);
            let mut bench = bench.with_live_neighbors();
            let listener = bench.listen(PORT, 4, TcpOptions::default());
            bench.now = Instant::from_micros(start + 4_000_000_000);
            let (handle, iss) = bench.accepted(listener, 4000, PORT);
            let (mut h, mut p) = (iss + 1, 1001u32);
            let mut buf = [0; 4096];
            for round in 0..40u32 {
                if round == 20 {
                    bench.now = match jump {
                        j if j < 0 => bench.now - Duration::from_secs(j.unsigned_abs()),
                        j => bench.now + Duration::from_secs(j.unsigned_abs()),
                    };
                    bench.poll();
                }
                bench.give_tcp(&bench.text(4000, PORT, p, h, &[5; 700]));
                p += 700;
                assert_eq!(bench.stack.tcp(handle).unwrap().read(&mut buf), Ok(700), "{start} {jump} {round}");
                assert_eq!(bench.stack.tcp(handle).unwrap().write(&buf[..2000]), Ok(2000));
                let seen: Vec<_> = bench.pass(Duration::from_millis(100)).into_iter().map(|(_, s)| s).collect();
                let out: usize = segments(&seen).iter().map(|s| s.payload.len()).sum();
                // The last piece waits for the ACK of the first, if Nagle says so.
                h += out as u32;
                let rest = segments(&bench.give_tcp(&from_p(p, h, ACK)));
                let rest: usize = rest.iter().map(|s| s.payload.len()).sum();
                h += rest as u32;
                assert_eq!(out + rest, 2000, "{start} {jump} {round}");
                bench.give_tcp(&from_p(p, h, ACK));
            }
            // The RTO still works, on the new clock.
            bench.stack.tcp(handle).unwrap().write(b"again").unwrap();
            let seen = timed(&bench.pass(Duration::from_secs(10)));
            assert!(seen.iter().filter(|(_, s)| s.payload == b"again").count() >= 3, "{start} {jump}: {seen:?}");
            assert!(bench.stack.tcp(handle).unwrap().info().unwrap().cwnd >= 1460);
            bench.stack.tcp(handle).unwrap().abort();
            bench.poll();
            bench.is_well();
        }
    }
}

#[test]
fn a_step_back_while_text_is_in_flight_stretches_timers_by_no_more_than_the_step() {
    // H114.
    let (mut bench, handle, next) =
        served(TcpOptions { keep_alive: Some(KeepAlive::default()), ..TcpOptions::default() });
    bench.now += Duration::from_secs(10_000);
    bench.poll();
    bench.stack.tcp(handle).unwrap().write(b"in flight").unwrap();
    bench.poll();
    bench.now = bench.now - Duration::from_secs(3_600);
    let seen = timed(&bench.pass(Duration::from_secs(3_602)));
    assert!(seen.iter().any(|(_, s)| s.payload == b"in flight"), "sent again: {seen:?}");
    assert_eq!(bench.stack.tcp(handle).unwrap().error(), None);
    bench.give_tcp(&from_p(1001, next + 9, ACK));
    assert_eq!(bench.stack.tcp(handle).unwrap().unacknowledged(), 0);
    bench.stack.tcp(handle).unwrap().abort();
    bench.poll();
    bench.is_well();
}

#[test]
fn what_is_in_the_receive_queue_comes_before_a_timer_that_is_due() {
    // H115: an ACK with the RTO.
    let (mut bench, handle, next) = served(TcpOptions::default());
    bench.stack.tcp(handle).unwrap().write(b"text").unwrap();
    bench.poll();
    bench.now = bench.stack.next_deadline().expect("the RTO") + Duration::from_secs(5);
    assert_eq!(bench.give_tcp(&from_p(1001, next + 4, ACK)), []);
    assert_eq!(bench.stack.stats().tcp_retransmits, 0);
    bench.stack.tcp(handle).unwrap().abort();
    bench.poll();

    // An ARP reply with the last of ARP's time-outs.
    let mut bench = Bench::new();
    let udp = bench.stack.udp_bind(None, 5000, &UdpOptions::default()).unwrap();
    bench.stack.udp(udp).unwrap().send_to(b"x", REMOTE).unwrap();
    assert!(matches!(bench.poll()[..], [Seen::Arp(..)]));
    bench.pass(Duration::from_millis(2_900));
    bench.now += Duration::from_secs(60);
    let reply = packet::ethernet(H_MAC, P_MAC, 0x0806, &packet::arp(2, P_MAC, P, H_MAC, H));
    assert!(matches!(&bench.give(reply)[..], [Seen::Udp(_, _, text)] if text == b"x"));
    assert_eq!(bench.dropped(ringtap::stats::DropReason::NeighborFailed), 0);
}

/// What ends, or frees, somebody who waits.
fn wakes(handle_event: impl Fn(&mut Bench, TcpHandle, u32), read: bool, write: bool, error: Option<TcpError>) {
    let quick = TcpOptions { tx_buffer: 2000, user_timeout: Duration::from_secs(3), ..TcpOptions::default() };
    let (mut bench, handle, next) = served(quick);
    let (reader, writer) = (Task::new(), Task::new());
    let mut socket = bench.stack.tcp(handle).unwrap();
    while socket.write(&[1; 4096]).is_ok() {}
    bench.poll();
    drain(&mut bench.stack);
    let mut socket = bench.stack.tcp(handle).unwrap();
    assert_eq!(socket.read(&mut [0; 8]), Err(TcpError::WouldBlock));
    socket.register(Readiness::READ, &reader.waker);
    socket.register(Readiness::WRITE, &writer.waker);
    handle_event(&mut bench, handle, next);
    drain(&mut bench.stack);
    assert_eq!((reader.woken() > 0, writer.woken() > 0), (read, write), "{error:?}");
    let mut socket = bench.stack.tcp(handle).unwrap();
    assert_eq!(socket.error(), error);
    if let Some(error) = error {
        assert_eq!(socket.read(&mut [0; 8]), Err(error));
        assert_eq!(socket.write(b"x"), Err(error));
    }
    if write && error.is_none() {
        assert!(socket.write(b"x").is_ok());
    }
    if read && error.is_none() {
        assert!(socket.read(&mut [0; 8]).is_ok());
    }
}

#[test]
fn reader_and_writer_are_both_woken_by_whatever_they_wait_for() {
    // H116.
    let text = |bench: &mut Bench, next| drop(bench.give_tcp(&bench.text(4000, PORT, 1001, next, b"news")));
    wakes(|bench, _, next| text(bench, next), true, false, None);
    let ack = |bench: &mut Bench, next| drop(bench.give_tcp(&from_p(1001, next + 2000, ACK)));
    wakes(|bench, _, next| ack(bench, next), false, true, None);
    wakes(|bench, _, next| drop(bench.give_tcp(&from_p(1001, next, FIN | ACK))), true, false, None);
    wakes(|bench, _, _| drop(bench.give_tcp(&from_p(1001, 0, RST))), true, true, Some(TcpError::Reset));
    wakes(|bench, _, _| drop(bench.pass(Duration::from_secs(5))), true, true, Some(TcpError::TimedOut));
    let gone = Some(TcpError::AddressGone);
    wakes(|bench, _, _| bench.stack.remove_address(bench.iface, IpAddr::V4(H)).unwrap(), true, true, gone);
    wakes(|bench, _, _| bench.stack.remove_interface(bench.iface), true, true, gone);
}

#[test]
fn who_waits_for_accept_or_connect_is_woken() {
    // H116.
    let mut bench = Bench::new().with_live_neighbors();
    let listener = bench.listen(PORT, 4, TcpOptions::default());
    let task = Task::new();
    bench.stack.tcp_accept_register(listener, &task.waker).unwrap();
    bench.open(4000, PORT);
    drain(&mut bench.stack);
    assert_eq!(task.woken(), 1);
    assert!(bench.stack.tcp_accept(listener).is_ok());

    let refused: fn(&mut Bench, &Tcp) = |bench, syn| {
        bench.give_tcp(&Tcp { flags: RST | ACK, seq: 0, ..bench.reply_to(syn, syn.seq + 1) });
    };
    let accepted: fn(&mut Bench, &Tcp) = |bench, syn| {
        bench.give_tcp(&Tcp { flags: SYN | ACK, seq: 5000, ..bench.reply_to(syn, syn.seq + 1) });
    };
    let silent: fn(&mut Bench, &Tcp) = |bench, _| drop(bench.pass(Duration::from_secs(200)));
    let gone: fn(&mut Bench, &Tcp) = |bench, _| bench.stack.remove_interface(bench.iface);
    let cases = [
        (accepted, None),
        (refused, Some(TcpError::Refused)),
        (silent, Some(TcpError::TimedOut)),
        (gone, Some(TcpError::AddressGone)),
    ];
    for (what, error) in cases {
        let (handle, syn) = bench.connect(7, TcpOptions::default());
        bench.stack.tcp(handle).unwrap().register(Readiness::CONNECTED, &task.waker);
        drain(&mut bench.stack);
        task.woken();
        what(&mut bench, &syn);
        let events = drain(&mut bench.stack);
        assert!(task.woken() > 0, "{error:?}: {events:?}");
        let socket = bench.stack.tcp(handle).unwrap();
        assert_eq!((socket.error(), socket.state() == State::Established), (error, error.is_none()));
        socket.abort();
        if error != Some(TcpError::AddressGone) {
            bench.poll();
        }
    }
}

#[test]
fn who_waits_for_room_to_send_a_datagram_is_woken_when_the_device_has_room() {
    // H116.
    let mut bench = Bench::new().with_live_neighbors();
    bench.nic.tx_room = 0;
    let udp = bench.stack.udp_bind(None, 5000, &UdpOptions { tx_queue: 2, ..UdpOptions::default() }).unwrap();
    while bench.stack.udp(udp).unwrap().send_to(b"x", REMOTE).is_ok() {
        bench.poll();
    }
    let task = Task::new();
    bench.stack.udp(udp).unwrap().register(Readiness::WRITE, &task.waker);
    drain(&mut bench.stack);
    assert_eq!(task.woken(), 0);
    bench.nic.tx_room = usize::MAX;
    bench.pass(Duration::from_millis(20));
    drain(&mut bench.stack);
    assert_eq!(task.woken(), 1);
    assert!(bench.stack.udp(udp).unwrap().writable());
}

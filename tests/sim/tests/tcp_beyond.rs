//! Text beyond holes takes memory that its sender did not pay for: it has a bound in all, and RFC 2018 §8's way out.

use ringtap::device::Medium;
use ringtap::tcp::{ListenerHandle, TcpHandle, TcpOptions};
use ringtap::time::{Duration, Instant};
use ringtap_sim::bench::{Bench, Setup, segments};
use ringtap_sim::packet::{ACK, SYN, Tcp};
use ringtap_sim::{App, Bulk, Host, Impairments, Sim};
use std::net::SocketAddr;

const PORT: u16 = 80;
const ISS: u32 = 1_000_000;
/// Octets of a receive buffer.
const BUFFER: usize = 32 << 10;
/// Where the ranges are noted that lie in buffers.
const NOTES: usize = 2048;

/// A connection that P has opened from `port`, and H's first sequence number.
struct Held {
    port: u16,
    handle: TcpHandle,
    iss: u32,
}

fn bench(most: usize) -> (Bench, ListenerHandle) {
    let setup = Setup { frames: 600, ..Setup::default() };
    let mut bench = Bench::built(setup, |config| config.out_of_order = most + NOTES).with_live_neighbors();
    let options = TcpOptions { rx_buffer: BUFFER, ..TcpOptions::default() };
    let listener = bench.listen(PORT, 16, options);
    (bench, listener)
}

fn open(bench: &mut Bench, listener: ListenerHandle, port: u16) -> Held {
    let options = vec![2, 4, 5, 180, 1, 1, 4, 2];
    let syn = Tcp { src: port, dst: PORT, seq: ISS, flags: SYN, window: 65_535, options, ..Tcp::default() };
    let answer = segments(&bench.give_tcp(&syn)).pop().expect("a SYN|ACK");
    let ack = Tcp { seq: ISS + 1, ack: answer.seq.wrapping_add(1), flags: ACK, options: Vec::new(), ..syn };
    bench.give_tcp(&ack);
    Held { port, handle: bench.stack.tcp_accept(listener).expect("a connection").0, iss: answer.seq }
}

impl Held {
    /// `octets` of text arrive `offset` behind what has come in order first; the blocks of the answer, relative.
    fn give(&self, bench: &mut Bench, offset: u32, octets: usize) -> (u32, Vec<(u32, u32)>) {
        let segment = Tcp {
            src: self.port,
            dst: PORT,
            seq: (ISS + 1).wrapping_add(offset),
            ack: self.iss.wrapping_add(1),
            flags: ACK,
            window: 65_535,
            payload: (0..octets).map(|n| (offset as usize + n) as u8).collect(),
            ..Tcp::default()
        };
        let answer = segments(&bench.give_tcp(&segment)).pop().expect("an acknowledgment");
        let relative = |n: u32| n.wrapping_sub(ISS + 1);
        let blocks = answer.blocks().into_iter().map(|(left, right)| (relative(left), relative(right)));
        (relative(answer.ack), blocks.collect())
    }

    fn memory(&self, bench: &mut Bench) -> usize {
        bench.stack.tcp(self.handle).expect("open").info().expect("open").memory
    }
}

#[test]
fn segments_at_the_far_end_of_a_thousand_windows_take_no_more_memory_than_they_may() {
    let most = 1 << 20;
    let (mut bench, listener) = bench(most);
    let far = (BUFFER - 1) as u32;
    let held: Vec<Held> = (0..1000).map(|n| open(&mut bench, listener, 2000 + n)).collect();
    for connection in &held {
        connection.give(&mut bench, far, 1);
    }
    let memory: usize = held.iter().map(|connection| connection.memory(&mut bench)).sum();
    assert!((most / 2..=most).contains(&memory), "{memory} octets for a thousand octets of text");
    assert_eq!(bench.stack.stats().tcp_reneged, 1000 - most / BUFFER);

    // All of them receive what comes in order all the same.
    for connection in &held {
        let (ack, _) = connection.give(&mut bench, 0, 100);
        assert_eq!(ack, 100);
        let mut buf = [0; 200];
        assert_eq!(bench.stack.tcp(connection.handle).expect("open").read(&mut buf), Ok(100));
        assert!(buf[..100].iter().enumerate().all(|(n, octet)| *octet == n as u8));
    }
}

#[test]
fn who_is_silent_loses_it_first_and_room_that_came_back_is_used() {
    let (mut bench, listener) = bench(2 * BUFFER);
    let far = (BUFFER - 100) as u32;
    let [a, b, c, d] = [1, 2, 3, 4].map(|n| open(&mut bench, listener, 2000 + n));
    let there = vec![(far, far + 100)];
    assert_eq!(a.give(&mut bench, far, 100), (0, there.clone()));
    bench.pass(Duration::from_millis(1500));
    assert_eq!(b.give(&mut bench, far, 100), (0, there.clone()));
    // The third finds no room, but one that was silent.
    assert_eq!(c.give(&mut bench, far, 100), (0, there.clone()));
    assert_eq!([a.memory(&mut bench), bench.stack.stats().tcp_reneged], [0, 1]);
    // The fourth finds nobody silent: what it has got goes, and it does not say that it has it.
    assert_eq!(d.give(&mut bench, far, 100), (0, vec![]));
    assert_eq!(bench.stack.stats().tcp_reneged, 2);
    // The hole of another is filled, and its memory is its contents': room for one more, once that was noticed.
    for n in 0..(far / 1000) {
        b.give(&mut bench, n * 1000, 1000);
    }
    b.give(&mut bench, far / 1000 * 1000, (far % 1000) as usize);
    assert_eq!(bench.stack.tcp(b.handle).expect("open").unread(), BUFFER);
    assert_eq!(d.give(&mut bench, far, 100), (0, there));
    // A connection that ends takes what it held along.
    for held in [&c, &d] {
        bench.stack.tcp(held.handle).expect("open").abort();
    }
    bench.poll();
    let e = open(&mut bench, listener, 2005);
    assert_eq!(e.give(&mut bench, far, 100).1.len(), 1);
    assert_eq!(bench.stack.stats().tcp_reneged, 2);
}

// The sender is the stack, too: it believes no report longer than it must.
#[test]
fn transfers_whose_receiver_throws_reported_text_away_all_arrive() {
    let (mut reneged, mut timeouts) = (0, 0);
    for seed in 0..10 {
        let delay = Duration::from_millis(10);
        let bad = Impairments { delay, loss: 0.03, reorder: 0.02, ..Impairments::default() };
        let few = |n| Host::configured(n, seed, (400, 1500), Medium::Ethernet, |config| config.out_of_order = 40_000);
        let mut sim = Sim::new(seed, vec![few(1), few(2)], vec![bad.clone(), bad]);
        for n in 0..8 {
            let (port, there, back) = (7000 + n as u16, 2 * n, 2 * n + 1);
            let server = SocketAddr::new(sim.hosts[1].addr, port);
            let client = Bulk::client(server, 300_000, 0, TcpOptions::default());
            sim.hosts[0].apps.push(Box::new(client.with_streams(there, back)));
            let server = Bulk::server(port, 0, 300_000, TcpOptions::default());
            sim.hosts[1].apps.push(Box::new(server.with_streams(there, back)));
        }
        while sim.step(Instant::from_secs(600)).unwrap() {
            for n in 0..8 {
                let Some(handle) = sim.app::<Bulk>(0, n).handle() else { continue };
                if let Ok(info) = sim.hosts[0].stack.tcp(handle).map(|socket| socket.info()) {
                    timeouts = timeouts.max(info.map_or(0, |info| info.repairs.timeouts));
                }
            }
        }
        assert!(sim.is_done(), "seed {seed}: a transfer does not end");
        reneged += sim.hosts[1].stack.stats().tcp_reneged;
    }
    assert!(reneged > 100, "text was thrown away only {reneged} times");
    assert!(timeouts > 0, "what was thrown away is found missing by the time-out");
}

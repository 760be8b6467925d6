//! Bulk from one ringtap to another, in memory.

use crate::wire::{Card, pair};
use ringtap::config::Config;
use ringtap::device::Mac;
use ringtap::frame::BoxedPool;
use ringtap::ip::addr::Cidr;
use ringtap::rng::Secret;
use ringtap::stack::{IfaceId, Limits, Stack, Storage};
use ringtap::tcp::{ConnectOptions, ListenOptions, TcpHandle, TcpOptions};
use ringtap::time::{Duration, Instant};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Octets per segment: no timestamps.
pub const SEGMENT: usize = 1460;

/// One end.
pub struct End {
    pub stack: Stack<'static>,
    pub iface: IfaceId,
    pub card: Card,
    pub addr: IpAddr,
}

impl End {
    fn new(n: u8, card: Card) -> Self {
        let mut stack = Stack::new(
            Config::new(Secret::new([n; 16])),
            Storage::growing(Limits { tcp: 20_000, ..Limits::default() }),
        );
        let iface = stack.add_interface(&card, Mac([2, 0, 0, 0, 0, n])).expect("room");
        let addr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, n));
        stack.add_address(iface, Cidr::new(addr, 24).expect("a prefix")).expect("an address");
        Self { stack, iface, card, addr }
    }

    pub fn poll(&mut self, now: Instant, budget: usize) {
        let _ = self.stack.poll(now, self.iface, &mut self.card, budget);
    }
}

/// Two ends on one wire.
pub struct Pair {
    pub a: End,
    pub b: End,
    pub now: Instant,
}

/// The options of the comparison: 64 KiB buffers, no timestamps, no scaling.
pub fn options() -> TcpOptions {
    TcpOptions { rx_buffer: 65_535, tx_buffer: 65_535, timestamps: false, window_scale: false, ..TcpOptions::default() }
}

impl Pair {
    pub fn new() -> Self {
        let pool: &'static BoxedPool = Box::leak(Box::new(BoxedPool::new(1600, 256)));
        let (a, b) = pair(pool.pool());
        Self { a: End::new(1, a), b: End::new(2, b), now: Instant::from_secs(1) }
    }

    /// A connection from a to b, established.
    pub fn connect(&mut self, port: u16) -> (TcpHandle, TcpHandle) {
        let options = options();
        let listener =
            self.b.stack.tcp_listen(None, port, &ListenOptions { backlog: 8, tcp: options }).expect("listen");
        let pair = self.join(listener, port, options);
        self.b.stack.tcp_unlisten(listener).expect("a listener");
        pair
    }

    /// A connection to a listener of b's.
    pub fn join(
        &mut self,
        listener: ringtap::tcp::ListenerHandle,
        port: u16,
        options: TcpOptions,
    ) -> (TcpHandle, TcpHandle) {
        let remote = SocketAddr::new(self.b.addr, port);
        let a = self.a.stack.tcp_connect(remote, &ConnectOptions { tcp: options, ..ConnectOptions::default() });
        let a = a.expect("connect");
        for _ in 0..100 {
            self.turn(16);
            if let Ok((b, _)) = self.b.stack.tcp_accept(listener) {
                self.turn(16);
                return (a, b);
            }
        }
        panic!("no connection");
    }

    /// Each end is polled once.
    pub fn turn(&mut self, budget: usize) {
        self.now += Duration::from_micros(10);
        self.a.poll(self.now, budget);
        self.b.poll(self.now, budget);
    }

    /// Moves `octets` over a connection, two segments a turn, so that each second one is acknowledged.
    pub fn bulk(&mut self, (from, to): (TcpHandle, TcpHandle), octets: usize, data: &[u8], buf: &mut [u8]) {
        let (mut written, mut read, mut idle) = (0, 0, 0);
        while read < octets {
            if written < octets
                && let Ok(n) = self.a.stack.tcp(from).expect("open").write(&data[..data.len().min(octets - written)])
            {
                written += n;
            }
            self.turn(2);
            let before = read;
            while let Ok(n) = self.b.stack.tcp(to).expect("open").read(buf) {
                read += n;
            }
            idle = if before == read { idle + 1 } else { 0 };
            assert!(idle < 100_000, "the transfer stands still at {read} of {octets}");
        }
    }
}

/// `segments` full segments from one end to the other.
pub fn run(segments: u64) {
    let mut pair = Pair::new();
    let ends = pair.connect(7);
    let (data, mut buf) = (vec![0x5a; 2 * SEGMENT], vec![0; 2 * SEGMENT]);
    pair.bulk(ends, segments as usize * SEGMENT, &data, &mut buf);
    let sent = pair.a.stack.stats().tcp_segments_out;
    let acks = pair.b.stack.stats().tcp_segments_out;
    println!("{segments} segments asked for, {sent} sent, {acks} acknowledgments");
}

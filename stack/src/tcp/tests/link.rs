//! Two connections in virtual time, over a link with a mind of its own.

extern crate std;

use std::collections::BTreeMap;
use std::vec::Vec;

use super::harness::{Host, MSS, Out, buffers, pattern, tuple};
use crate::seq::Seq;
use crate::sockets::demux::Tuple;
use crate::tcp::conn::Conn;
use crate::tcp::options::TcpOptions;
use crate::tcp::state::State;
use crate::time::{Duration, Instant};
use crate::wire::segment::Segment;

/// A small generator; the same seed gives the same run.
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n.max(1)
    }

    pub fn per_mille(&mut self, n: u64) -> bool {
        self.below(1000) < n
    }
}

/// What the link does to segments.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    pub loss: u64,
    pub duplication: u64,
    /// Delay in microseconds, and what chance adds to it (which reorders).
    pub delay: u64,
    pub jitter: u64,
    /// Nothing passes from the first time to the second.
    pub outage: Option<(u64, u64)>,
}

/// One end: a connection and the user's doings.
pub struct End {
    pub host: Host,
    pub to_send: usize,
    pub written: usize,
    pub received: usize,
    pub eof: bool,
    pub closed: bool,
    /// Octets read per turn at most.
    pub appetite: usize,
}

impl End {
    pub fn new(options: &TcpOptions, iss: u32, mirrored: bool, to_send: usize) -> Self {
        let mut tuple = tuple();
        if mirrored {
            tuple = Tuple {
                local_addr: tuple.remote_addr,
                remote_addr: tuple.local_addr,
                local_port: tuple.remote_port,
                remote_port: tuple.local_port,
            };
        }
        let mut host = Host::new(Conn::connect(tuple, options, buffers(options), MSS));
        host.iss = iss;
        host.now = Instant::from_secs(1);
        Self { host, to_send, written: 0, received: 0, eof: false, closed: false, appetite: usize::MAX }
    }

    /// The user reads and writes what it can.
    fn act(&mut self) {
        let mut buf = [0; 8192];
        let mut appetite = self.appetite;
        while appetite > 0 {
            let most = appetite.min(buf.len());
            match self.host.conn.read(&mut buf[..most]) {
                Ok(0) => {
                    self.eof = true;
                    break;
                }
                Ok(n) => {
                    assert_eq!(buf[..n], pattern(self.received, n)[..], "octets at {}", self.received);
                    self.received += n;
                    appetite -= n;
                }
                Err(_) => break,
            }
        }
        while self.written < self.to_send {
            let chunk = pattern(self.written, (self.to_send - self.written).min(5000));
            match self.host.conn.write(&chunk) {
                Ok(n) => self.written += n,
                Err(_) => break,
            }
        }
        if self.written == self.to_send && !self.closed {
            self.closed = true;
            self.host.conn.shutdown_write();
        }
    }

    pub fn is_done(&self) -> bool {
        let rests = cfg!(not(feature = "time-wait")) && self.host.conn.state() == State::TimeWait;
        self.eof && (rests || self.host.conn.is_finished())
    }
}

/// The two ends and what is on its way between them.
pub struct World {
    pub ends: [End; 2],
    pub now: Instant,
    pub weather: Weather,
    chance: Chance,
    on_the_way: BTreeMap<(u64, u64), (usize, Out)>,
    count: u64,
    pub segments: usize,
}

impl World {
    pub fn new(a: End, b: End, weather: Weather, seed: u64) -> Self {
        Self {
            ends: [a, b],
            now: Instant::from_secs(1),
            weather,
            chance: Chance::new(seed),
            on_the_way: BTreeMap::new(),
            count: 0,
            segments: 0,
        }
    }

    /// Both open at once, which is as hard as opening gets.
    pub fn simultaneous(options: &TcpOptions, to_send: [usize; 2], weather: Weather, seed: u64) -> Self {
        let a = End::new(options, seed as u32, false, to_send[0]);
        let b = End::new(options, u32::MAX - 3_000, true, to_send[1]);
        Self::new(a, b, weather, seed)
    }

    fn put(&mut self, to: usize, out: Out) {
        let micros = self.now.as_micros();
        self.segments += 1;
        if self.weather.outage.is_some_and(|(from, until)| (from..until).contains(&micros)) {
            return;
        }
        let copies = 1 + u64::from(self.chance.per_mille(self.weather.duplication));
        for _ in 0..copies {
            if self.chance.per_mille(self.weather.loss) {
                continue;
            }
            self.count += 1;
            let at = micros + self.weather.delay + self.chance.below(self.weather.jitter + 1);
            self.on_the_way.insert((at, self.count), (to, out.clone()));
        }
    }

    /// The turns of both ends.
    fn turns(&mut self) {
        for i in 0..2 {
            self.ends[i].host.now = self.now;
            self.ends[i].act();
            let sent = self.ends[i].host.out();
            self.check_window(i, &sent);
            for out in sent {
                self.put(1 - i, out);
            }
        }
    }

    /// No text lies beyond what the other end's buffer could ever hold.
    fn check_window(&self, i: usize, sent: &[Out]) {
        for out in sent {
            let in_flight = self.ends[i].host.conn.info().unacked;
            assert!(out.payload.len() <= in_flight + 1, "more than was written");
        }
    }

    /// One step in time. `false`: nothing will ever happen again.
    pub fn step(&mut self) -> bool {
        let arrival = self.on_the_way.keys().next().map(|k| Instant::from_micros(k.0));
        let deadlines = self.ends.iter().filter_map(|e| e.host.conn.deadline()).min();
        let Some(next) = [arrival, deadlines].into_iter().flatten().min() else {
            // A finished connection is still read.
            let before = self.ends[0].received + self.ends[1].received;
            self.turns();
            return self.ends.iter().all(|e| e.eof) || before < self.ends[0].received + self.ends[1].received;
        };
        self.now = self.now.max(next);
        while let Some((&(at, n), _)) = self.on_the_way.iter().next() {
            if at > self.now.as_micros() {
                break;
            }
            let (to, out) = self.on_the_way.remove(&(at, n)).expect("there");
            self.arrive(to, &out.as_segment());
        }
        for end in &mut self.ends {
            end.host.now = self.now;
            if end.host.conn.deadline().is_some_and(|at| at <= self.now) {
                let verdict = end.host.conn.on_deadline(self.now);
                end.host.note(verdict);
            }
        }
        self.turns();
        true
    }

    fn arrive(&mut self, to: usize, segment: &Segment<'_>) {
        let end = &mut self.ends[to];
        end.host.now = self.now;
        if end.host.conn.is_finished() {
            return self.arrive_late(to, segment);
        }
        let verdict = end.host.conn.handle_segment(self.now, segment);
        end.host.note(verdict);
        assert!(verdict.reset.is_none(), "a reset between honest ends: {segment:?}");
    }

    #[cfg(not(feature = "time-wait"))]
    fn arrive_late(&mut self, _to: usize, _segment: &Segment<'_>) {}

    /// What the TIME-WAIT table does: a FIN that comes again is acknowledged again.
    #[cfg(feature = "time-wait")]
    fn arrive_late(&mut self, to: usize, segment: &Segment<'_>) {
        let conn = &self.ends[to].host.conn;
        if conn.state() == State::TimeWait && segment.len() > 0 {
            let rest = conn.time_wait();
            let mut out = Out {
                seq: rest.snd_nxt.value(),
                ack: rest.rcv_nxt.value(),
                flags: super::harness::ACK,
                urgent: 0,
                window: rest.window,
                options: Default::default(),
                payload: Vec::new(),
                why: crate::tcp::output::Why::Ack,
                #[cfg(feature = "ecn")]
                ect: 0,
            };
            if let Some((recent, offset)) = rest.timestamps {
                let val = crate::tcp::isn::ts_clock(self.now).wrapping_add(offset);
                out.options.timestamps = Some(crate::wire::segment::Timestamps { val, ecr: recent });
            }
            self.put(1 - to, out);
        }
    }

    /// Runs until both ends are done; virtual seconds it took.
    pub fn run(&mut self, limit: Duration) -> f64 {
        let start = self.now;
        self.turns();
        let mut steps = 0u64;
        while !self.ends.iter().all(End::is_done) {
            assert!(self.step(), "nothing will ever happen again: {}", self.describe());
            steps += 1;
            assert!(self.now.since(start) < limit && steps < 5_000_000, "no end: {}", self.describe());
        }
        for i in 0..2 {
            assert_eq!(self.ends[i].received, self.ends[1 - i].to_send);
            assert_eq!(self.ends[i].host.conn.error(), None);
        }
        self.now.since(start).as_micros() as f64 / 1e6
    }

    pub fn describe(&self) -> std::string::String {
        let mut text = std::format!("at {}: ", self.now);
        for end in &self.ends {
            let done = (end.written, end.received, end.eof);
            text += &std::format!("{done:?} {:?} {:?}\n", end.host.conn.error(), end.host.conn.info());
        }
        text
    }
}

/// A sequence number, for tests that compare many.
pub fn seq(n: u32) -> Seq {
    Seq::new(n)
}

//! The simulation itself: hosts, links, virtual time.

use crate::app::App;
use crate::host::Host;
use crate::link::{Direction, Impairments};
use crate::rng::SimRng;
use ringtap::time::{Duration, Instant};
use ringtap_host::pcapng;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::{DefaultHasher, Hasher};
use std::path::PathBuf;

/// Why a run failed; it names the seed.
#[derive(Debug)]
pub struct Failure {
    /// The seed that shows it again.
    pub seed: u64,
    /// The virtual time.
    pub at: Instant,
    /// What is wrong.
    pub what: String,
    /// Where the packets are, if they could be written.
    pub pcap: Option<PathBuf>,
}

/// Several hosts on one segment. Host 0 and 1 are joined by the two directions given; further hosts use the first.
pub struct Sim {
    /// The seed of this run.
    pub seed: u64,
    /// Virtual time.
    pub now: Instant,
    /// The hosts.
    pub hosts: Vec<Host>,
    directions: Vec<Direction>,
    rng: SimRng,
    /// Frames under way: arrival, tie-breaker, receiver, place in `flying`.
    queue: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    flying: std::collections::HashMap<u64, Vec<u8>>,
    serial: u64,
    trace: DefaultHasher,
    packets: Vec<(Instant, usize, bool, Vec<u8>)>,
    /// Frames delivered.
    pub delivered: u64,
}

/// Packets kept for the capture of a failure.
const KEPT: usize = 20_000;

impl Sim {
    /// Two hosts, 10.0.0.1 and 10.0.0.2, with these links there and back.
    pub fn pair(seed: u64, there: Impairments, back: Impairments) -> Self {
        let hosts = vec![Host::new(1, seed, 256, 1500), Host::new(2, seed, 256, 1500)];
        Self::new(seed, hosts, vec![there, back])
    }

    /// These hosts; what host `i` sends passes link `i` (the last one, if there are fewer).
    ///
    /// # Panics
    /// Without a link.
    pub fn new(seed: u64, hosts: Vec<Host>, links: Vec<Impairments>) -> Self {
        assert!(!links.is_empty(), "a link is needed");
        Self {
            seed,
            now: Instant::ZERO,
            hosts,
            directions: links.into_iter().map(Direction::new).collect(),
            rng: SimRng::new(seed),
            queue: BinaryHeap::new(),
            flying: std::collections::HashMap::new(),
            serial: 0,
            trace: DefaultHasher::new(),
            packets: Vec::new(),
            delivered: 0,
        }
    }

    /// The hash of all that was delivered, and when.
    pub fn trace(&self) -> u64 {
        self.trace.finish()
    }

    /// Changes a link while it runs.
    pub fn impair(&mut self, link: usize, impairments: Impairments) {
        self.directions[link].impairments = impairments;
    }

    /// Puts a frame on host `to`'s wire, to arrive at `at`.
    pub fn inject(&mut self, at: Instant, to: usize, frame: Vec<u8>) {
        self.serial += 1;
        self.flying.insert(self.serial, frame);
        self.queue.push(Reverse((at, self.serial, to)));
    }

    /// Runs until nothing happens at or before `until`, or all programs are done.
    ///
    /// # Errors
    /// [`Failure`] when an invariant does not hold or a program failed.
    pub fn run_until(&mut self, until: Instant) -> Result<(), Box<Failure>> {
        while self.step(until)? {}
        Ok(())
    }

    /// Runs until all programs are done.
    ///
    /// # Errors
    /// [`Failure`], also when they are not done by `until`.
    pub fn run(&mut self, until: Instant) -> Result<(), Box<Failure>> {
        while !self.is_done() {
            if !self.step(until)? {
                return Err(self.failure(format!("not done by {until}")));
            }
        }
        Ok(())
    }

    /// Whether every program has finished.
    pub fn is_done(&self) -> bool {
        self.hosts.iter().flat_map(|h| &h.apps).all(|a| a.is_done())
    }

    /// Goes on to the next thing that happens, at `until` at the latest; false when that is later.
    ///
    /// # Errors
    /// [`Failure`] when a program reports one.
    pub fn step(&mut self, until: Instant) -> Result<bool, Box<Failure>> {
        let arrival = self.queue.peek().map(|Reverse((at, ..))| *at);
        let timer = self.hosts.iter().filter_map(|h| h.next).min();
        let Some(at) = [arrival, timer].into_iter().flatten().min() else { return Ok(false) };
        if at > until {
            self.now = until;
            return Ok(false);
        }
        self.now = self.now.max(at);
        self.deliver();
        for index in 0..self.hosts.len() {
            let due = self.hosts[index].next.is_some_and(|t| t <= self.now);
            if due || !self.hosts[index].nic.rx.is_empty() {
                self.hosts[index].run(self.now);
                self.transmit(index);
            }
            if let Some(what) = self.hosts[index].apps.iter().find_map(|a| a.failure()) {
                return Err(self.failure(format!("host {index}: {what}")));
            }
        }
        Ok(true)
    }

    /// Lets a host act outside its turn, after something was done to its stack.
    pub fn kick(&mut self, index: usize) {
        self.hosts[index].run(self.now);
        self.transmit(index);
    }

    fn deliver(&mut self) {
        while let Some(Reverse((at, serial, to))) = self.queue.peek().copied() {
            if at > self.now {
                return;
            }
            self.queue.pop();
            let Some(frame) = self.flying.remove(&serial) else { continue };
            self.trace.write_u64(at.as_micros());
            self.trace.write_usize(to);
            self.trace.write(&frame);
            self.delivered += 1;
            self.keep(to, true, &frame);
            self.hosts[to].nic.rx.push_back(frame);
        }
    }

    fn transmit(&mut self, from: usize) {
        while let Some(frame) = self.hosts[from].nic.tx.pop_front() {
            self.keep(from, false, &frame);
            let link = from.min(self.directions.len() - 1);
            let arrivals = self.directions[link].carry(self.now, &frame, &mut self.rng);
            for (at, frame) in arrivals {
                for to in (0..self.hosts.len()).filter(|&to| to != from) {
                    self.inject(at, to, frame.clone());
                }
            }
        }
    }

    fn keep(&mut self, host: usize, inbound: bool, frame: &[u8]) {
        if self.packets.len() < KEPT {
            self.packets.push((self.now, host, inbound, frame.to_vec()));
        }
    }

    /// A failure of this run, with its packets in a file of the temporary directory.
    pub fn failure(&self, what: String) -> Box<Failure> {
        let path = std::env::temp_dir().join(format!("ringtap-sim-{}.pcapng", self.seed));
        let pcap = self.write_pcap(&path).ok().map(|()| path);
        let failure = Failure { seed: self.seed, at: self.now, what, pcap };
        eprintln!("{failure:?}");
        Box::new(failure)
    }

    /// What every run must leave behind: no connection, no frame in use.
    ///
    /// # Errors
    /// [`Failure`] that says what is left.
    pub fn check_empty(&mut self) -> Result<(), Box<Failure>> {
        let end = self.now + Duration::from_secs(200);
        self.run_until(end)?;
        for index in 0..self.hosts.len() {
            let (used, stack) = (self.hosts[index].frames_in_use(), &self.hosts[index].stack);
            let sockets = stack.tcp_connections() + stack.tcp_time_waits();
            if used != 0 || sockets != 0 {
                return Err(self.failure(format!("host {index} keeps {used} frames, {sockets} TCP entries")));
            }
        }
        Ok(())
    }

    /// The program `n` of host `host`.
    ///
    /// # Panics
    /// When it is not a `T`.
    pub fn app<T: App>(&self, host: usize, n: usize) -> &T {
        let app: &dyn std::any::Any = self.hosts[host].apps[n].as_ref();
        app.downcast_ref().expect("a program of this type")
    }

    fn write_pcap(&self, path: &std::path::Path) -> std::io::Result<()> {
        let file = std::io::BufWriter::new(std::fs::File::create(path)?);
        let mut out = pcapng::Writer::new(file, ringtap::device::Medium::Ethernet, "sim")?;
        // As host 0 saw it, and what the other hosts alone saw after that.
        for (at, host, inbound, frame) in &self.packets {
            if *host == 0 || self.hosts.len() > 2 {
                let direction = if *inbound { pcapng::Direction::Inbound } else { pcapng::Direction::Outbound };
                out.packet(at.as_micros() * 1000, direction, frame)?;
            }
        }
        out.flush()
    }
}

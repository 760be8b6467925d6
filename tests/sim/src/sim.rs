//! The simulation itself: hosts, links, virtual time.

use crate::app::App;
use crate::capture::Capture;
use crate::check::{self, Answers, Streams, Windows};
use crate::host::Host;
use crate::link::{Direction, Impairments, LinkStats, Passed};
use crate::packet::{self, Seen};
use crate::rng::SimRng;
use ringtap::time::{Duration, Instant};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::hash::{DefaultHasher, Hasher};
use std::path::PathBuf;
use std::rc::Rc;

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

/// Several hosts around a switch. What a host sends passes its uplink to the switch, and from there, if the receiver has
/// one, the receiver's downlink.
pub struct Sim {
    /// The seed of this run.
    pub seed: u64,
    /// Virtual time.
    pub now: Instant,
    /// The hosts.
    pub hosts: Vec<Host>,
    /// Whether what is on the wire is looked at (see `check.rs`). On, unless only figures are wanted.
    pub watched: bool,
    up: Vec<Direction>,
    down: Vec<Option<Direction>>,
    rng: SimRng,
    queue: BinaryHeap<Event>,
    serial: u64,
    trace: DefaultHasher,
    capture: Capture,
    streams: Streams,
    windows: Windows,
    answers: Answers,
    /// Steps in a row that took no time.
    still: u32,
    /// Frames delivered to each host since its start.
    received: Vec<u64>,
    /// Frames delivered.
    pub delivered: u64,
}

/// A frame comes somewhere.
struct Event {
    at: Instant,
    serial: u64,
    to: To,
    frame: Vec<u8>,
    /// No bit was flipped on the way.
    intact: bool,
    /// What it says, as long as it is intact, and watched.
    seen: Option<Rc<Seen>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    /// The switch, from this host's uplink.
    Switch(usize),
    Host(usize),
}

/// Steps at one instant, at most. A step delivers all that comes then.
const STILL: u32 = 10_000;

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
        let count = hosts.len();
        let up = (0..count).map(|i| Direction::new(links[i.min(links.len() - 1)].clone()));
        Self {
            seed,
            now: Instant::ZERO,
            up: up.collect(),
            down: (0..count).map(|_| None).collect(),
            received: vec![0; count],
            hosts,
            watched: true,
            rng: SimRng::new(seed),
            queue: BinaryHeap::new(),
            serial: 0,
            trace: DefaultHasher::new(),
            capture: Capture::default(),
            streams: Streams::default(),
            windows: Windows::default(),
            answers: Answers::default(),
            still: 0,
            delivered: 0,
        }
    }

    /// What comes to host `i` passes link `i` as well.
    #[must_use]
    pub fn with_downlinks(mut self, links: Vec<Impairments>) -> Self {
        self.down = links.into_iter().map(|i| Some(Direction::new(i))).collect();
        self.down.resize_with(self.hosts.len(), || None);
        self
    }

    /// The hash of all that was delivered, and when.
    pub fn trace(&self) -> u64 {
        self.trace.finish()
    }

    /// The most octets that were in flight in one direction of a connection.
    pub fn widest(&self) -> u32 {
        self.windows.widest
    }

    /// Changes a host's uplink while it runs.
    pub fn impair(&mut self, link: usize, impairments: Impairments) {
        self.up[link].impairments = impairments;
    }

    /// What a host's uplink has done so far.
    pub fn link(&self, host: usize) -> LinkStats {
        self.up[host].stats
    }

    /// Puts a frame on host `to`'s wire, to arrive at `at`.
    pub fn inject(&mut self, at: Instant, to: usize, frame: Vec<u8>) {
        self.push(To::Host(to), Passed { at, frame, intact: true }, None);
    }

    /// Host `index` loses its memory, and its programs with it.
    pub fn reboot(&mut self, index: usize, fresh: Host) {
        self.streams.retire(&self.hosts[index].apps);
        self.hosts[index] = fresh;
        self.hosts[index].next = Some(self.now);
        self.received[index] = 0;
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
    /// [`Failure`] when a program reports one, or an invariant does not hold.
    pub fn step(&mut self, until: Instant) -> Result<bool, Box<Failure>> {
        let arrival = self.queue.peek().map(|event| event.at);
        let timer = self.hosts.iter().filter_map(|h| h.next).min();
        let Some(at) = [arrival, timer].into_iter().flatten().min() else { return Ok(false) };
        if at > until {
            self.now = until;
            return Ok(false);
        }
        self.still = if at > self.now { 0 } else { self.still + 1 };
        self.now = self.now.max(at);
        match self.advance() {
            Ok(()) if self.still > STILL => Err(self.failure("time stands still".into())),
            Ok(()) => Ok(true),
            Err(what) => Err(self.failure(what)),
        }
    }

    fn advance(&mut self) -> Result<(), String> {
        self.deliver();
        for index in 0..self.hosts.len() {
            let due = self.hosts[index].next.is_some_and(|t| t <= self.now);
            if due || !self.hosts[index].nic.rx.is_empty() {
                self.turn(index)?;
            }
        }
        self.streams.check(&self.hosts)?;
        let links = self.up.iter().chain(self.down.iter().flatten()).map(|d| &d.stats);
        check::conserved(links, &self.hosts, &self.received)
    }

    fn turn(&mut self, index: usize) -> Result<(), String> {
        self.hosts[index].run(self.now).map_err(|e| format!("host {index}: {e}"))?;
        self.transmit(index)?;
        let failure = self.hosts[index].apps.iter().find_map(|a| a.failure());
        failure.map_or(Ok(()), |what| Err(format!("host {index}: {what}")))
    }

    /// Lets a host act outside its turn, after something was done to its stack.
    ///
    /// # Panics
    /// When an invariant does not hold.
    pub fn kick(&mut self, index: usize) {
        if let Err(what) = self.turn(index) {
            let failure = self.failure(what);
            panic!("{failure:?}");
        }
    }

    fn push(&mut self, to: To, passed: Passed, seen: Option<Rc<Seen>>) {
        self.serial += 1;
        let Passed { at, frame, intact } = passed;
        self.queue.push(Event { at, serial: self.serial, to, frame, intact, seen: seen.filter(|_| intact) });
    }

    fn deliver(&mut self) {
        while self.queue.peek().is_some_and(|event| event.at <= self.now) {
            let Some(Event { at, to, frame, intact, seen, .. }) = self.queue.pop() else { return };
            match to {
                To::Switch(from) => self.switch(from, Passed { at, frame, intact }, seen),
                To::Host(to) => self.arrive(at, to, frame, seen.as_deref()),
            }
        }
    }

    fn arrive(&mut self, at: Instant, to: usize, frame: Vec<u8>, seen: Option<&Seen>) {
        self.trace.write_u64(at.as_micros());
        self.trace.write_usize(to);
        self.trace.write(&frame);
        self.delivered += 1;
        self.received[to] += 1;
        if let Some((src, dst, segment)) = seen.and_then(check::segment) {
            self.windows.on_received(src, dst, segment);
            self.answers.on_received(to, self.now, segment);
        }
        if self.watched {
            self.capture.keep(self.now, to, true, &frame);
        }
        self.hosts[to].nic.rx.push_back(frame);
    }

    /// A frame for one host goes to that host, any other to all but its sender.
    fn switch(&mut self, from: usize, passed: Passed, seen: Option<Rc<Seen>>) {
        let known = self.hosts.iter().position(|h| passed.frame.starts_with(&h.mac.0));
        let receivers: Vec<usize> = match known {
            Some(to) if to != from => vec![to],
            _ => (0..self.hosts.len()).filter(|&to| to != from).collect(),
        };
        for to in receivers {
            match &mut self.down[to] {
                None => self.push(To::Host(to), passed.clone(), seen.clone()),
                Some(link) => {
                    for passed in link.carry(passed.at, passed.frame.clone(), passed.intact, &mut self.rng) {
                        self.push(To::Host(to), passed, seen.clone());
                    }
                }
            }
        }
    }

    fn transmit(&mut self, from: usize) -> Result<(), String> {
        while let Some(frame) = self.hosts[from].nic.tx.pop_front() {
            let mut seen = None;
            if self.watched {
                self.capture.keep(self.now, from, false, &frame);
                seen = Some(Rc::new(packet::read(&frame)));
            }
            if let Some((src, dst, segment)) = seen.as_deref().and_then(check::segment) {
                self.windows.on_sent(src, dst, segment)?;
                self.answers.on_sent(from, self.now, segment).map_err(|e| format!("host {from}: {e}"))?;
            }
            for passed in self.up[from].carry(self.now, frame, true, &mut self.rng) {
                self.push(To::Switch(from), passed, seen.clone());
            }
        }
        Ok(())
    }

    /// What each host holds, for whoever looks into a failure.
    fn describe(&mut self) {
        for (n, host) in self.hosts.iter_mut().enumerate() {
            let drops: Vec<_> = host.stack.stats().drops().collect();
            eprintln!("host {n}: {} frames in use, next {:?}, drops {drops:?}", host.frames_in_use(), host.next);
            for (k, app) in host.apps.iter().enumerate() {
                let info = app.handle().and_then(|h| host.stack.tcp(h).ok()?.info().ok());
                eprintln!("  program {k}: done {}, {:?}, {info:?}", app.is_done(), app.flows());
            }
        }
    }

    /// A failure of this run, with its packets in a file of the temporary directory.
    pub fn failure(&mut self, what: String) -> Box<Failure> {
        self.describe();
        let path = std::env::temp_dir().join(format!("ringtap-sim-{}.pcapng", self.seed));
        let pcap = self.capture.write(&path, self.hosts.len()).ok().map(|()| path);
        let failure = Failure { seed: self.seed, at: self.now, what, pcap };
        eprintln!("{failure:?}");
        Box::new(failure)
    }

    /// What every run must leave behind once 2 MSL are over: no connection, no frame in use.
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
            if !stack.pending().is_empty() {
                return Err(self.failure(format!("host {index} has something to send")));
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
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.serial == other.serial
    }
}

impl Eq for Event {}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The earliest is the greatest, and comes out of the heap first.
impl Ord for Event {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.serial).cmp(&(self.at, self.serial))
    }
}

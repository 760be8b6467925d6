//! How fast one connection, or several, get over a bad link: goodput, fairness, and the course of a transfer over time.
//!
//! All of it in virtual time, so that the same question has the same answer on any machine.

use crate::app::{App, Bulk};
use crate::link::Impairments;
use crate::sim::{Failure, Sim};
use ringtap::tcp::{Congestion, TcpInfo, TcpOptions};
use ringtap::time::{Duration, Instant};
use std::net::SocketAddr;

/// The port of the first flow.
const PORT: u16 = 7000;

/// A link and who uses it.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Probability of losing a frame on the way there.
    pub loss: f64,
    /// Probability that a frame is held back for 5 ms on the way there.
    pub reorder: f64,
    /// Round trip without queues.
    pub rtt: Duration,
    /// Octets of each socket buffer.
    pub buffer: usize,
    /// Octets per second there.
    pub rate: u64,
    /// Frames that wait for the rate at most.
    pub queue: usize,
    /// The congestion control of the senders.
    pub congestion: Congestion,
    /// Connections at once.
    pub flows: usize,
    /// How long, in virtual time.
    pub time: Duration,
    /// How much of that passes before octets are counted: flows take a while to find their shares.
    pub skip: Duration,
}

impl Default for Setting {
    /// 100 Mbit/s, 20 ms, 256 KiB, no loss.
    fn default() -> Self {
        Self {
            loss: 0.0,
            reorder: 0.0,
            rtt: Duration::from_millis(20),
            buffer: 262_144,
            rate: 12_500_000,
            queue: 1000,
            congestion: Congestion::default(),
            flows: 1,
            time: Duration::from_secs(20),
            skip: Duration::ZERO,
        }
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Octets that the receiving programs got, per flow.
    pub received: Vec<u64>,
    /// The first sender's numbers at the end.
    pub info: TcpInfo,
    /// How long it ran.
    pub time: Duration,
}

impl Outcome {
    /// All flows together, in Mbit/s.
    pub fn mbits(&self) -> f64 {
        self.received.iter().sum::<u64>() as f64 * 8.0 / self.time.as_micros() as f64
    }

    /// Jain's index: 1 when all flows got the same, 1/n when one got everything.
    pub fn fairness(&self) -> f64 {
        let sum: f64 = self.received.iter().map(|&n| n as f64).sum();
        let squares: f64 = self.received.iter().map(|&n| (n as f64).powi(2)).sum();
        sum * sum / (self.received.len() as f64 * squares)
    }
}

/// What is seen of the first sender at one moment.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When.
    pub at: Instant,
    /// Its numbers.
    pub info: TcpInfo,
    /// Frames lost on the way there so far.
    pub lost: u64,
}

/// Runs a setting with this seed.
///
/// # Errors
/// [`Failure`] when an invariant of the simulator does not hold.
pub fn run(seed: u64, setting: &Setting) -> Result<Outcome, Box<Failure>> {
    let mut sim = prepare(seed, setting);
    let received = |sim: &Sim| -> Vec<u64> { (0..setting.flows).map(|n| sim.app::<Bulk>(1, n).received()).collect() };
    sim.run_until(Instant::ZERO + setting.skip)?;
    let before = received(&sim);
    sim.run_until(Instant::ZERO + setting.time)?;
    let received = received(&sim).iter().zip(before).map(|(after, before)| after - before).collect();
    let Some(info) = sender(&mut sim) else { return Err(sim.failure("the sender has no connection".into())) };
    Ok(Outcome { received, info, time: setting.time.saturating_sub(setting.skip) })
}

/// As [`run`], looking at the first sender every `every`.
///
/// # Errors
/// As [`run`].
pub fn course(seed: u64, setting: &Setting, every: Duration) -> Result<Vec<Sample>, Box<Failure>> {
    let mut sim = prepare(seed, setting);
    let (mut samples, mut at) = (Vec::new(), Instant::ZERO);
    while at < Instant::ZERO + setting.time {
        at += every;
        sim.run_until(at)?;
        if let Some(info) = sender(&mut sim) {
            samples.push(Sample { at, info, lost: sim.link(0).lost_total() });
        }
    }
    Ok(samples)
}

fn sender(sim: &mut Sim) -> Option<TcpInfo> {
    let handle = sim.app::<Bulk>(0, 0).handle()?;
    sim.hosts[0].stack.tcp(handle).ok()?.info().ok()
}

/// The simulation of a setting, before it has begun.
pub fn prepare(seed: u64, setting: &Setting) -> Sim {
    let delay = Duration::from_micros(setting.rtt.as_micros() / 2);
    let back = Impairments::delay(delay);
    let there = Impairments {
        loss: setting.loss,
        reorder: setting.reorder,
        rate: setting.rate,
        queue: setting.queue,
        ..back.clone()
    };
    let mut sim = Sim::pair(seed, there, back);
    // What is on the wire is looked at in the scenarios; here figures are wanted, and soon.
    sim.watched = false;
    let (rx_buffer, tx_buffer) = (setting.buffer, setting.buffer);
    let options = TcpOptions { rx_buffer, tx_buffer, congestion: setting.congestion, ..TcpOptions::default() };
    for (n, port) in (0..setting.flows as u64).zip(PORT..) {
        let server = SocketAddr::new(sim.hosts[1].addr, port);
        let mut client = Bulk::client(server, u64::MAX / 2, 0, options).with_streams(2 * n, 2 * n + 1);
        // Not all in the same instant: slow starts in step are no test of fairness.
        client.begins = Instant::ZERO + Duration::from_millis(37 * n);
        sim.hosts[0].apps.push(Box::new(client));
        sim.hosts[1].apps.push(Box::new(Bulk::server(port, 0, u64::MAX / 2, options).with_streams(2 * n, 2 * n + 1)));
    }
    sim
}

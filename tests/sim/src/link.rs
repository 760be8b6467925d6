//! What a link does to frames, per direction.

use crate::rng::SimRng;
use ringtap::time::{Duration, Instant};

/// Losses in bursts: a two-state (Gilbert) channel that loses everything while bad.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gilbert {
    /// Probability, per frame, of turning bad.
    pub to_bad: f64,
    /// Probability, per frame, of turning good again.
    pub to_good: f64,
}

/// One direction of a link.
#[derive(Clone, Debug)]
pub struct Impairments {
    /// Propagation delay.
    pub delay: Duration,
    /// Further delay, evenly distributed up to this, that does not reorder by itself unless frames are close.
    pub jitter: Duration,
    /// Probability of losing a frame.
    pub loss: f64,
    /// Losses in bursts.
    pub bursts: Gilbert,
    /// Probability of delivering a frame twice.
    pub duplicate: f64,
    /// Probability of holding a frame back by `reorder_by`.
    pub reorder: f64,
    /// How long a frame is held back.
    pub reorder_by: Duration,
    /// Probability of flipping one bit.
    pub corrupt: f64,
    /// Octets per second; 0: no limit.
    pub rate: u64,
    /// Frames that wait for the rate, at most; more are lost.
    pub queue: usize,
    /// Frames longer than this are lost; 0: no limit.
    pub mtu: usize,
    /// Nothing passes from the first to the second instant.
    pub black_holes: Vec<(Instant, Instant)>,
}

impl Default for Impairments {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(1),
            jitter: Duration::ZERO,
            loss: 0.0,
            bursts: Gilbert::default(),
            duplicate: 0.0,
            reorder: 0.0,
            reorder_by: Duration::from_millis(5),
            corrupt: 0.0,
            rate: 0,
            queue: 100,
            mtu: 0,
            black_holes: Vec::new(),
        }
    }
}

/// The state of one direction.
#[derive(Debug, Default)]
pub(crate) struct Direction {
    pub impairments: Impairments,
    bad: bool,
    /// When the last frame accepted will have been serialised.
    busy_until: Instant,
    /// When the frames that wait will have been.
    waiting: std::collections::VecDeque<Instant>,
}

impl Direction {
    pub fn new(impairments: Impairments) -> Self {
        Self { impairments, ..Self::default() }
    }

    /// When, and in which shape, a frame sent `now` arrives: none, once or twice.
    pub fn carry(&mut self, now: Instant, frame: &[u8], rng: &mut SimRng) -> Vec<(Instant, Vec<u8>)> {
        let i = &self.impairments;
        if i.bursts.to_bad > 0.0 {
            let p = if self.bad { i.bursts.to_good } else { i.bursts.to_bad };
            self.bad ^= rng.chance(p);
        }
        let lost = rng.chance(i.loss)
            || self.bad
            || (i.mtu > 0 && frame.len() > i.mtu)
            || i.black_holes.iter().any(|&(from, to)| from <= now && now < to);
        let Some(sent) = self.serialise(now, frame.len()) else { return Vec::new() };
        if lost {
            return Vec::new();
        }
        let i = &self.impairments;
        let mut out = Vec::new();
        for _ in 0..1 + u32::from(rng.chance(i.duplicate)) {
            let jitter = Duration::from_micros(rng.below(i.jitter.as_micros() + 1));
            let held = if rng.chance(i.reorder) { i.reorder_by } else { Duration::ZERO };
            let mut copy = frame.to_vec();
            if rng.chance(i.corrupt) && !copy.is_empty() {
                let bit = rng.below(copy.len() as u64 * 8);
                copy[(bit / 8) as usize] ^= 1 << (bit % 8);
            }
            out.push((sent + i.delay + jitter + held, copy));
        }
        out
    }

    /// When a frame will have left at the link's rate; `None` when the queue is full.
    fn serialise(&mut self, now: Instant, octets: usize) -> Option<Instant> {
        if self.impairments.rate == 0 {
            return Some(now);
        }
        while self.waiting.front().is_some_and(|&t| t <= now) {
            self.waiting.pop_front();
        }
        if self.waiting.len() >= self.impairments.queue {
            return None;
        }
        let time = Duration::from_micros(octets as u64 * 1_000_000 / self.impairments.rate);
        self.busy_until = self.busy_until.max(now) + time;
        self.waiting.push_back(self.busy_until);
        Some(self.busy_until)
    }
}

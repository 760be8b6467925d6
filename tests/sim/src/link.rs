//! What a link does to frames, per direction.

use crate::packet::checksum;
use crate::rng::SimRng;
use ringtap::time::{Duration, Instant};
use std::collections::VecDeque;

/// Losses in bursts: a channel of two states (Gilbert, Elliott). In the good one, [`Impairments::loss`] holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct GilbertElliott {
    /// Probability, per frame, of turning bad.
    pub to_bad: f64,
    /// Probability, per frame, of turning good again.
    pub to_good: f64,
    /// Probability of losing a frame while bad.
    pub loss: f64,
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
    pub bursts: GilbertElliott,
    /// Probability of delivering a frame twice.
    pub duplicate: f64,
    /// Probability of holding a frame back by `reorder_by`.
    pub reorder: f64,
    /// How long a frame is held back.
    pub reorder_by: Duration,
    /// Probability of marking a frame (RFC 3168 §5): what is ECN-capable gets CE, and anything else is lost.
    pub mark: f64,
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
            bursts: GilbertElliott::default(),
            duplicate: 0.0,
            reorder: 0.0,
            reorder_by: Duration::from_millis(5),
            mark: 0.0,
            corrupt: 0.0,
            rate: 0,
            queue: 100,
            mtu: 0,
            black_holes: Vec::new(),
        }
    }
}

impl Impairments {
    /// Nothing happens to a frame but this delay.
    pub fn delay(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }
}

/// What became of the frames of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Frames that were sent into it.
    pub offered: u64,
    /// Second copies that it made.
    pub duplicated: u64,
    /// Frames that it passed on, copies included.
    pub passed: u64,
    /// Of those, frames with a flipped bit.
    pub corrupted: u64,
    /// Of those passed on, frames that were marked.
    pub marked: u64,
    /// Frames lost by chance, in bursts or not.
    pub lost: u64,
    /// Frames lost because too many waited for the rate.
    pub queue_full: u64,
    /// Frames lost because they were too long.
    pub too_long: u64,
    /// Frames lost in a black hole.
    pub swallowed: u64,
}

impl LinkStats {
    /// Frames lost, for whatever reason.
    pub fn lost_total(&self) -> u64 {
        self.lost + self.queue_full + self.too_long + self.swallowed
    }
}

/// A frame as it leaves a link.
#[derive(Clone, Debug)]
pub(crate) struct Passed {
    pub at: Instant,
    pub frame: Vec<u8>,
    /// No bit of it was flipped, but of its link header perhaps.
    pub intact: bool,
}

/// Octets of an Ethernet header, which no checksum covers.
const LINK_HEADER: u64 = 14;

/// The state of one direction.
#[derive(Debug, Default)]
pub(crate) struct Direction {
    pub impairments: Impairments,
    pub stats: LinkStats,
    bad: bool,
    /// When the last frame accepted will have been serialised.
    busy_until: Instant,
    /// When the frames that wait will have been.
    waiting: VecDeque<Instant>,
}

impl Direction {
    pub fn new(impairments: Impairments) -> Self {
        Self { impairments, ..Self::default() }
    }

    /// When, and in which shape, a frame sent `now` arrives: none, once or twice.
    pub fn carry(&mut self, now: Instant, mut frame: Vec<u8>, intact: bool, rng: &mut SimRng) -> Vec<Passed> {
        self.stats.offered += 1;
        let chance = self.is_lost_by_chance(rng);
        let Some(sent) = self.serialise(now, frame.len()) else {
            self.stats.queue_full += 1;
            return Vec::new();
        };
        let i = &self.impairments;
        let fate = [
            (i.mtu > 0 && frame.len() > i.mtu, &mut self.stats.too_long),
            (i.black_holes.iter().any(|&(from, to)| from <= now && now < to), &mut self.stats.swallowed),
            (chance, &mut self.stats.lost),
        ];
        if let Some((_, count)) = fate.into_iter().find(|(is_lost, _)| *is_lost) {
            *count += 1;
            return Vec::new();
        }
        if i.mark > 0.0 && rng.chance(i.mark) {
            if !mark(&mut frame) {
                self.stats.lost += 1;
                return Vec::new();
            }
            self.stats.marked += 1;
        }
        let mut out = Vec::new();
        if rng.chance(i.duplicate) {
            self.stats.duplicated += 1;
            out.push(self.pass(sent, frame.clone(), intact, rng));
        }
        out.push(self.pass(sent, frame, intact, rng));
        out
    }

    fn is_lost_by_chance(&mut self, rng: &mut SimRng) -> bool {
        let i = &self.impairments;
        if i.bursts.to_bad > 0.0 {
            let p = if self.bad { i.bursts.to_good } else { i.bursts.to_bad };
            self.bad ^= rng.chance(p);
        }
        rng.chance(if self.bad { i.bursts.loss } else { i.loss })
    }

    fn pass(&mut self, sent: Instant, mut frame: Vec<u8>, mut intact: bool, rng: &mut SimRng) -> Passed {
        let i = &self.impairments;
        let jitter = Duration::from_micros(rng.below(i.jitter.as_micros() + 1));
        let held = if rng.chance(i.reorder) { i.reorder_by } else { Duration::ZERO };
        // A second flip might cancel the first in the checksum, which is not the stack's to notice.
        if intact && rng.chance(i.corrupt) && !frame.is_empty() {
            let bit = rng.below(frame.len() as u64 * 8);
            frame[(bit / 8) as usize] ^= 1 << (bit % 8);
            // A stack looks at no more of the link header than the addressee.
            intact &= bit < LINK_HEADER * 8;
            self.stats.corrupted += 1;
        }
        self.stats.passed += 1;
        Passed { at: sent + i.delay + jitter + held, frame, intact }
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

/// Marks an ECN-capable packet as a router does: Congestion Experienced. False, and nothing is changed, when it is not one.
pub fn mark(frame: &mut [u8]) -> bool {
    let (is_v4, shift) = match frame.get(12..14) {
        Some([0x08, 0x00]) => (true, 0),
        Some([0x86, 0xdd]) => (false, 4),
        _ => return false,
    };
    let Some(octet) = frame.get_mut(15) else { return false };
    if *octet >> shift & 3 == 0 {
        return false;
    }
    *octet |= 3 << shift;
    if is_v4 {
        let len = usize::from(frame[14] & 15) * 4;
        frame[24..26].fill(0);
        let sum = checksum(&frame[14..14 + len]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends `n` frames of 1000 octets, one each millisecond.
    fn send(impairments: Impairments, n: u64) -> (Direction, Vec<Passed>) {
        let (mut direction, mut rng) = (Direction::new(impairments), SimRng::new(5));
        let passed = (0..n).flat_map(|ms| {
            let frame = vec![0; 1000];
            direction.carry(Instant::from_millis(ms), frame, true, &mut rng)
        });
        let passed = passed.collect();
        (direction, passed)
    }

    #[test]
    fn each_impairment_happens_as_often_as_told_and_every_frame_is_accounted_for() {
        let bad = Impairments {
            loss: 0.1,
            duplicate: 0.05,
            corrupt: 0.02,
            reorder: 0.1,
            black_holes: vec![(Instant::from_millis(1000), Instant::from_millis(1500))],
            ..Impairments::default()
        };
        let (direction, passed) = send(bad, 20_000);
        let s = direction.stats;
        assert_eq!(s.offered + s.duplicated, s.passed + s.lost_total());
        assert_eq!((s.passed, s.swallowed, s.queue_full, s.too_long), (passed.len() as u64, 500, 0, 0));
        assert!((1800..2100).contains(&s.lost) && (800..1000).contains(&s.duplicated), "{s:?}");
        let touched = passed.iter().filter(|p| p.frame.iter().any(|&b| b != 0)).count();
        assert_eq!(touched as u64, s.corrupted);
        assert!(passed.iter().any(|p| !p.intact));
        assert!((300..460).contains(&s.corrupted), "{s:?}");
        let late = passed.windows(2).filter(|w| w[0].at > w[1].at).count();
        assert!((1400..2100).contains(&late), "{late} overtaken");
    }

    #[test]
    fn losses_in_bursts_come_together() {
        let bursts = GilbertElliott { to_bad: 0.01, to_good: 0.1, loss: 1.0 };
        let (direction, passed) = send(Impairments { bursts, ..Impairments::default() }, 50_000);
        let lost = direction.stats.lost;
        let gaps = passed.windows(2).filter(|w| w[1].at.since(w[0].at) > Duration::from_millis(1)).count() as u64;
        // A bad time lasts ten frames on average, and a hundred good frames lie between two.
        assert!((3_500..5_700).contains(&lost) && lost / gaps >= 7, "{lost} lost in {gaps} bursts");
    }

    #[test]
    fn a_rate_spaces_frames_and_its_queue_loses_the_rest() {
        // Half of what is sent passes; ten frames wait.
        let slow = Impairments { rate: 500_000, queue: 10, ..Impairments::default() };
        let (direction, passed) = send(slow, 1000);
        assert!(passed.windows(2).all(|w| w[1].at.since(w[0].at) == Duration::from_millis(2)));
        assert_eq!(direction.stats.queue_full + direction.stats.passed, 1000);
        assert!((505..515).contains(&direction.stats.passed), "{:?}", direction.stats);
        let waited = passed.iter().map(|p| p.at).max().expect("some").since(Instant::from_millis(1000));
        assert!(waited <= Duration::from_millis(21), "{waited}");
        let (direction, _) = send(Impairments { mtu: 999, ..Impairments::default() }, 10);
        assert_eq!(direction.stats.too_long, 10);
    }
}

//! HyStart++: slow start ends when the round trips begin to grow, before anything is lost.
//!
//! Implements RFC 9406 §4: Conservative Slow Start is the second thought. It is for the first slow start only; its rounds are
//! those of the controller, by sequence number (`cc/usage.rs`).

/// MIN_RTT_THRESH and MAX_RTT_THRESH, in microseconds (RFC 9406 §4.3).
const MIN_THRESHOLD: u32 = 4_000;
const MAX_THRESHOLD: u32 = 16_000;
/// MIN_RTT_DIVISOR.
const DIVISOR: u32 = 8;
/// N_RTT_SAMPLE.
const SAMPLES: u8 = 8;
/// CSS_GROWTH_DIVISOR.
const GROWTH_DIVISOR: u32 = 4;
/// CSS_ROUNDS.
const CSS_ROUNDS: u8 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Slow start.
    Slow,
    /// Conservative Slow Start, in its `n`th round.
    Conservative(u8),
}

/// What slow start has seen of the round trips.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HyStart {
    stage: Stage,
    /// RTT samples of this round.
    samples: u8,
    /// lastRoundMinRTT and currentRoundMinRTT.
    last: u32,
    current: u32,
    /// cssBaselineMinRtt.
    baseline: u32,
}

impl HyStart {
    pub const fn new() -> Self {
        Self { stage: Stage::Slow, samples: 0, last: u32::MAX, current: u32::MAX, baseline: u32::MAX }
    }

    /// Whether slow start is to end now.
    pub const fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Conservative(rounds) if rounds >= CSS_ROUNDS)
    }

    /// By how much the window grows for `octets` acknowledged after so many microseconds, `limit` being RFC 3465's.
    pub fn growth(&mut self, octets: u32, limit: u32, rtt: Option<u32>) -> u32 {
        self.look(rtt);
        //= https://www.rfc-editor.org/rfc/rfc9406#section-4.2
        //# For each arriving ACK in CSS [...] cwnd = cwnd + (min(N, L * SMSS) / CSS_GROWTH_DIVISOR)
        match self.stage {
            Stage::Conservative(_) => octets.min(limit) / GROWTH_DIVISOR,
            _ => octets.min(limit),
        }
    }

    fn look(&mut self, rtt: Option<u32>) {
        let Some(rtt) = rtt else { return };
        self.current = self.current.min(rtt);
        self.samples = self.samples.saturating_add(1);
        if self.samples < SAMPLES || self.current == u32::MAX {
            return;
        }
        match self.stage {
            Stage::Slow if self.last != u32::MAX => {
                let threshold = (self.last / DIVISOR).clamp(MIN_THRESHOLD, MAX_THRESHOLD);
                if self.current >= self.last.saturating_add(threshold) {
                    self.baseline = self.current;
                    self.stage = Stage::Conservative(0);
                }
            }
            // The round trips have become shorter again: it was not the queue.
            Stage::Conservative(_) if self.current < self.baseline => {
                self.baseline = u32::MAX;
                self.stage = Stage::Slow;
            }
            _ => {}
        }
    }

    /// What was sent before the last round began is acknowledged.
    pub fn begin_round(&mut self) {
        self.last = self.current;
        self.current = u32::MAX;
        self.samples = 0;
        if let Stage::Conservative(rounds) = &mut self.stage {
            *rounds += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One round of ten acknowledgments with this round trip; how much the window grew per acknowledgment at its end.
    fn round(h: &mut HyStart, rtt: u32) -> u32 {
        h.begin_round();
        (0..10).map(|_| h.growth(1000, 2000, Some(rtt))).last().unwrap_or_default()
    }

    #[test]
    fn round_trips_that_grow_by_an_eighth_slow_the_growth_and_end_slow_start_five_rounds_later() {
        let mut h = HyStart::new();
        assert_eq!(round(&mut h, 80_000), 1000);
        assert_eq!(round(&mut h, 89_000), 1000);
        assert_eq!(round(&mut h, 105_000), 250);
        for _ in 0..5 {
            assert!(!h.is_over());
            round(&mut h, 105_000);
        }
        assert!(h.is_over());
    }

    #[test]
    fn a_passing_delay_only_slows_slow_start_for_a_while() {
        let mut h = HyStart::new();
        round(&mut h, 80_000);
        assert_eq!(round(&mut h, 100_000), 250);
        assert_eq!(round(&mut h, 82_000), 1000);
        assert_eq!(h.stage, Stage::Slow);
    }

    #[test]
    fn less_than_four_milliseconds_are_noise() {
        let mut h = HyStart::new();
        round(&mut h, 1_000);
        assert_eq!(round(&mut h, 4_900), 1000);
        assert_eq!(round(&mut h, 8_900), 250);
    }
}

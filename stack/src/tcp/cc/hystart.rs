//! HyStart++: slow start ends when the round trips begin to grow, before anything is lost.
//!
//! Implements RFC 9406 §4: rounds by sequence number, Conservative Slow Start as the second thought.

use super::Acked;
use crate::seq::Seq;

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
    /// Slow start, the first since the connection began.
    Slow,
    /// Conservative Slow Start, in its `n`th round.
    Conservative(u8),
    /// Over: this slow start has ended, and later ones are RFC 5681's.
    Over,
}

/// What slow start has seen of the round trips.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HyStart {
    stage: Stage,
    /// RTT samples of this round.
    samples: u8,
    /// windowEnd: the round ends when this is acknowledged.
    round_end: Seq,
    is_in_round: bool,
    /// lastRoundMinRTT and currentRoundMinRTT.
    last: u32,
    current: u32,
    /// cssBaselineMinRtt.
    baseline: u32,
}

impl HyStart {
    pub const fn new() -> Self {
        Self {
            stage: Stage::Slow,
            samples: 0,
            round_end: Seq::new(0),
            is_in_round: false,
            last: u32::MAX,
            current: u32::MAX,
            baseline: u32::MAX,
        }
    }

    /// A loss has ended the first slow start.
    pub fn stop(&mut self) {
        self.stage = Stage::Over;
    }

    /// Whether slow start is to end now: asked once, since later slow starts do without.
    pub fn is_over(&mut self) -> bool {
        let ends = matches!(self.stage, Stage::Conservative(rounds) if rounds >= CSS_ROUNDS);
        if ends {
            self.stage = Stage::Over;
        }
        ends
    }

    /// By how much the window grows for `octets` acknowledged, `limit` being RFC 3465's.
    pub fn growth(&mut self, octets: u32, limit: u32, ack: &Acked) -> u32 {
        if self.stage == Stage::Over {
            return octets.min(limit);
        }
        self.look(ack);
        //= https://www.rfc-editor.org/rfc/rfc9406#section-4.2
        //# For each arriving ACK in CSS [...] cwnd = cwnd + (min(N, L * SMSS) / CSS_GROWTH_DIVISOR)
        match self.stage {
            Stage::Conservative(_) => octets.min(limit) / GROWTH_DIVISOR,
            _ => octets.min(limit),
        }
    }

    fn look(&mut self, ack: &Acked) {
        if !self.is_in_round || ack.una.at_or_after(self.round_end) {
            self.begin_round(ack.nxt);
        }
        let Some(rtt) = ack.rtt else { return };
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

    fn begin_round(&mut self, nxt: Seq) {
        self.is_in_round = true;
        self.round_end = nxt;
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
    use super::super::tests::acked;
    use super::*;

    /// One round of ten acknowledgments with this round trip; how much the window grew per acknowledgment at its end.
    fn round(h: &mut HyStart, start: &mut u32, rtt: u32) -> u32 {
        let mut growth = 0;
        for n in 0..10 {
            let una = Seq::new(*start + n);
            let ack = Acked { rtt: Some(rtt), una, nxt: Seq::new(*start + 10), ..acked(1000, 100_000) };
            growth = h.growth(1000, 2000, &ack);
        }
        *start += 10;
        growth
    }

    #[test]
    fn round_trips_that_grow_by_an_eighth_slow_the_growth_and_end_slow_start_five_rounds_later() {
        let (mut h, mut at) = (HyStart::new(), 0);
        assert_eq!(round(&mut h, &mut at, 80_000), 1000);
        assert_eq!(round(&mut h, &mut at, 89_000), 1000);
        assert_eq!(round(&mut h, &mut at, 105_000), 250);
        for _ in 0..5 {
            assert!(!h.is_over());
            round(&mut h, &mut at, 105_000);
        }
        assert!(h.is_over());
        assert!(!h.is_over(), "it ends once");
        assert_eq!(round(&mut h, &mut at, 300_000), 1000);
    }

    #[test]
    fn a_passing_delay_only_slows_slow_start_for_a_while() {
        let (mut h, mut at) = (HyStart::new(), 0);
        round(&mut h, &mut at, 80_000);
        assert_eq!(round(&mut h, &mut at, 100_000), 250);
        assert_eq!(round(&mut h, &mut at, 82_000), 1000);
        assert_eq!(h.stage, Stage::Slow);
    }

    #[test]
    fn less_than_four_milliseconds_are_noise() {
        let (mut h, mut at) = (HyStart::new(), 0);
        round(&mut h, &mut at, 1_000);
        assert_eq!(round(&mut h, &mut at, 4_900), 1000);
        assert_eq!(round(&mut h, &mut at, 8_900), 250);
    }
}

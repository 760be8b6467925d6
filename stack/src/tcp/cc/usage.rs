//! Congestion window validation: how much of the window is in use, and what a window is worth that is not.
//!
//! Implements RFC 7661 §4: pipeACK is what the path has delivered in a round trip, the most of the last second or three
//! round trips; while it is below half of `cwnd`, the window is kept but not believed.
//!
//! ```text
//!             pipeACK < cwnd/2                       five minutes
//!  validated ──────────────────▶ not validated ──────────────────▶ half of it goes, and again
//!      ▲                           │       │
//!      └──────pipeACK >= cwnd/2────┘       └─ a loss: (max(pipeACK, LossFlightSize) - R)/2
//! ```
//! §4.4.2 (bursts): after a pause of a time-out no more than the restart window leaves at once (RFC 5681 §4.1).

use super::Acked;
use crate::seq::Seq;
use crate::time::Instant;

/// How long a window may go unused, in units of 2^20 microseconds: five minutes (RFC 7661 §4.4.3).
const NON_VALIDATED: u16 = 286;
/// Half of the shortest sampling period, a second, in units of 2^16 microseconds.
const HALF_A_SECOND: u16 = 8;
/// pipeACK is "undefined" (RFC 7661 §4.2): the standard methods hold until there is a measurement.
const UNDEFINED: u32 = u32::MAX;
/// No round trip is being measured.
const NO_ROUND: u32 = u32::MAX;

/// What was delivered of late.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    /// The round trip ends when this is acknowledged.
    round_end: Seq,
    /// Octets acknowledged in this round trip, or `NO_ROUND`.
    acked: u32,
    /// The most that a round trip has delivered in this half of the sampling period, or `UNDEFINED`.
    current: u32,
    /// The same of the half before. While a window that was not validated recovers from a loss: what it is to be twice of
    /// afterwards, above 0.
    before: u32,
    /// When `current` began, in units of 2^16 microseconds.
    half_began: u16,
    /// Since when the window has not been validated, in units of 2^20 microseconds; 0: it is.
    since: u16,
}

impl Usage {
    pub const fn new() -> Self {
        Self { round_end: Seq::new(0), acked: NO_ROUND, current: UNDEFINED, before: 0, half_began: 0, since: 0 }
    }

    /// The first round trip begins behind the SYN.
    pub fn start(&mut self, una: Seq) {
        self.round_end = una;
    }

    //= https://www.rfc-editor.org/rfc/rfc7661#section-4.4.1
    //# After completing the loss recovery phase, the sender MUST re-initialize the pipeACK variable to the "undefined"
    //# value.
    /// Nothing is known: the window is validated until there is a measurement.
    pub const fn forget(&mut self) {
        (self.acked, self.current, self.before, self.since) = (NO_ROUND, UNDEFINED, 0, 0);
    }

    #[inline]
    pub const fn is_validated(&self) -> bool {
        self.since == 0
    }

    /// An acknowledgment outside of recovery; whether a round trip ends with it.
    #[inline]
    pub fn counts(&mut self, ack: &Acked) -> bool {
        self.acked = self.acked.saturating_add(ack.octets);
        ack.una.at_or_after(self.round_end)
    }

    /// The round trip has ended: takes its measure, and begins the next with the acknowledgment that ended this one, so
    /// that one in which the whole window was in use measures the whole window.
    pub fn end_round(&mut self, ack: &Acked, cwnd: u32) {
        if self.acked != NO_ROUND {
            self.take(ack, self.acked);
            //= https://www.rfc-editor.org/rfc/rfc7661#section-4.3
            //# Validated phase: pipeACK >=(1/2)*cwnd, or pipeACK is undefined
            // As much as segments and the moment of measuring leave open.
            let is_used = self.pipe_ack().saturating_mul(2).saturating_add(3 * ack.mss) >= cwnd;
            self.since = match self.since {
                _ if is_used => 0,
                0 => coarse(ack.now),
                since => since,
            };
        }
        self.acked = ack.octets;
        self.round_end = ack.nxt;
    }

    /// RFC 7661 §4.5: the most of a sampling period of max(3*RTT, 1 second), in two halves.
    fn take(&mut self, ack: &Acked, sample: u32) {
        let clock = (ack.now.as_micros() >> 16) as u16;
        let half = ack.rtt.map_or(0, |rtt| u16::try_from((rtt >> 16) * 3 / 2).unwrap_or(u16::MAX)).max(HALF_A_SECOND);
        let elapsed = clock.wrapping_sub(self.half_began);
        if self.current == UNDEFINED || elapsed >= half {
            let is_recent = self.current != UNDEFINED && elapsed / 2 < half;
            self.before = if is_recent { self.current } else { 0 };
            (self.current, self.half_began) = (0, clock);
        }
        self.current = self.current.max(sample);
    }

    fn pipe_ack(&self) -> u32 {
        self.current.max(self.before)
    }

    /// Whether the window was not validated for five minutes; they begin anew.
    pub fn is_too_long(&mut self, now: Instant) -> bool {
        let is = self.since != 0 && coarse(now).wrapping_sub(self.since) > NON_VALIDATED;
        if is {
            self.since = coarse(now);
        }
        is
    }

    //= https://www.rfc-editor.org/rfc/rfc7661#section-4.4.1
    //# A sender that detects a packet drop MUST record the current FlightSize in the variable LossFlightSize and MUST
    //# calculate a safe cwnd for loss recovery using the method below: cwnd = (Max(pipeACK,LossFlightSize))/2.
    /// A loss, `flight` octets being in flight: of a window that was not validated, what it is to be half of.
    pub fn on_loss(&mut self, flight: u32) -> Option<u32> {
        let base = self.pipe_ack().max(flight).max(1);
        let is_validated = self.is_validated();
        self.forget();
        if is_validated {
            return None;
        }
        self.before = base;
        Some(base)
    }

    /// So many octets went again.
    pub fn on_resent(&mut self, octets: u32) {
        if self.current == UNDEFINED && self.before > 0 {
            self.before = self.before.saturating_sub(octets).max(1);
        }
    }

    //= https://www.rfc-editor.org/rfc/rfc7661#section-4.4.1
    //# At the end of the recovery phase, the TCP sender MUST reset the cwnd using the method below:
    //# cwnd = (Max(pipeACK,LossFlightSize) - R)/2.
    /// A recovery has ended: the window, if it was not validated when the recovery began. What went again twice counts
    /// twice: a smaller window, never a larger one.
    pub fn on_recovered(&mut self) -> Option<u32> {
        let base = if self.current == UNDEFINED { self.before } else { 0 };
        self.forget();
        (base > 0).then_some(base / 2)
    }
}

/// About how many seconds are on the clock, never 0.
fn coarse(now: Instant) -> u16 {
    ((now.as_micros() >> 20) as u16).max(1)
}

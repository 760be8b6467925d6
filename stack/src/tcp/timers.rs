//! The timers of one connection.
//!
//! Four are enough, because their uses exclude each other: text in flight (RFC 6298 §5) and a closed window
//! (RFC 9293 §3.8.6.1) share one, as do the ends of a connection's life (linger, FIN-WAIT-2, a reset that cannot leave).

use crate::time::{Duration, Instant};

/// A point in time, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timer(u64);

impl Timer {
    pub const OFF: Self = Self(u64::MAX);

    pub fn at(at: Instant) -> Self {
        Self(at.as_micros())
    }

    pub fn after(now: Instant, span: Duration) -> Self {
        Self::at(now + span)
    }

    pub fn is_off(self) -> bool {
        self == Self::OFF
    }

    pub fn is_due(self, now: Instant) -> bool {
        self.0 <= now.as_micros() && !self.is_off()
    }

    pub fn earlier(self, other: Self) -> Self {
        Self(self.0.min(other.0))
    }

    pub fn instant(self) -> Option<Instant> {
        (!self.is_off()).then(|| Instant::from_micros(self.0))
    }
}

/// All of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timers {
    /// Retransmission while something is in flight; else the probe of a closed window, or the override of SWS avoidance.
    pub retransmit: Timer,
    /// A delayed acknowledgment.
    pub ack: Timer,
    /// The next look at how long the peer has been silent.
    pub keep: Timer,
    /// The end of a connection that nobody waits for any more.
    pub life: Timer,
}

impl Timers {
    pub const OFF: Self = Self { retransmit: Timer::OFF, ack: Timer::OFF, keep: Timer::OFF, life: Timer::OFF };

    /// The first of them.
    pub fn next(&self) -> Option<Instant> {
        self.retransmit.earlier(self.ack).earlier(self.keep).earlier(self.life).instant()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_deadline_is_the_earliest_timer_and_none_when_all_are_off() {
        let now = Instant::from_secs(5);
        let mut timers = Timers::OFF;
        assert_eq!(timers.next(), None);
        timers.keep = Timer::after(now, Duration::from_secs(9));
        timers.ack = Timer::after(now, Duration::from_millis(40));
        assert_eq!(timers.next(), Some(Instant::from_micros(5_040_000)));
        assert!(!timers.ack.is_due(now));
        assert!(timers.ack.is_due(Instant::from_secs(6)));
        assert!(!Timer::OFF.is_due(Instant::from_micros(u64::MAX)));
    }

    #[test]
    fn a_timer_that_saturates_is_off() {
        assert!(Timer::after(Instant::from_secs(1), Duration::MAX).is_off());
    }
}

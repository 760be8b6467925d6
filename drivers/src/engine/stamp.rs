//! When frames were sent, by the MAC's own clock.

use ringtap::time::Instant;

/// How many are kept for a user that does not fetch them.
const KEPT: usize = 4;

/// When a frame was sent that asked for it ([`TxMeta::timestamp`](ringtap::device::TxMeta::timestamp)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentAt {
    /// Which one of those that asked, counted from 0 as they were given to the device; wraps around.
    pub number: u32,
    /// On the device's clock, as those of received packets. `None`: it was lost to the medium or to a fault, or the
    /// hardware had no time for it.
    pub at: Option<Instant>,
}

/// The times of the last frames that asked for theirs, in order.
#[derive(Debug, Default)]
pub(super) struct Stamps {
    /// The oldest first.
    kept: heapless::Deque<SentAt, KEPT>,
    next: u32,
}

impl Stamps {
    /// Keeps the time of the next frame; the oldest gives way.
    pub(super) fn push(&mut self, at: Option<Instant>) {
        if self.kept.is_full() {
            self.kept.pop_front();
        }
        // There is room now.
        let _ = self.kept.push_back(SentAt { number: self.next, at });
        self.next = self.next.wrapping_add(1);
    }

    pub(super) fn pop(&mut self) -> Option<SentAt> {
        self.kept.pop_front()
    }
}

/// What a descriptor of the DWMAC says: nanoseconds and seconds; all ones is a time that was lost.
pub(crate) fn time(stamp: [u32; 2]) -> Option<Instant> {
    let [nanos, seconds] = stamp;
    (stamp != [u32::MAX; 2]).then(|| from_halves(seconds, nanos))
}

/// What a clock of seconds and nanoseconds says that is read in two halves.
pub(crate) fn read_clock(seconds: impl Fn() -> u32, nanos: impl Fn() -> u32) -> Instant {
    let (first, below) = (seconds(), nanos());
    let second = seconds();
    // If a second ended in between, it is not known in which of them the nanoseconds were read.
    let below = if first == second { below } else { nanos() };
    from_halves(second, below)
}

/// A time of seconds and nanoseconds, the latter of 31 bits at most.
pub(crate) fn from_halves(seconds: u32, nanos: u32) -> Instant {
    Instant::from_micros(u64::from(seconds) * 1_000_000 + u64::from((nanos & 0x7fff_ffff) / 1000))
}

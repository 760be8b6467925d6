//! Between a network card's interrupt and its driver: who masks, who wakes, who looks again.
//!
//! ```text
//!   handler:   mask the card ─▶ raise ─▶ wake the poll
//!   poll:      take packets … none left ─▶ lower, acknowledge, unmask ─▶ take once more
//! ```
//!
//! While packets come faster than they are handled there is no interrupt at all. The last look closes the race with a
//! packet that came after the last one was taken, and whose cause for an interrupt was then acknowledged.

use atomic_waker::AtomicWaker;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Waker;

/// What an interrupt handler and a driver share.
///
/// It begins raised: the first poll that finds nothing unmasks the interrupt.
pub struct Attention {
    raised: AtomicBool,
    waker: AtomicWaker,
}

impl Attention {
    /// Raised, nobody to wake; for a `static`.
    pub const fn new() -> Self {
        Self { raised: AtomicBool::new(true), waker: AtomicWaker::new() }
    }

    /// The handler's part, after it has masked the card's interrupts: wakes whoever waits.
    pub fn raise(&self) {
        // Release pairs with the acquire in `drain`: the card is masked before the poll thinks of unmasking.
        self.raised.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Whether a poll is owed: an interrupt has come and not all of its work is done. A super-loop does not sleep then.
    pub fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Acquire)
    }

    /// Wakes `waker` at the next interrupt, in place of one registered before; at once when a poll is owed already.
    pub fn register(&self, waker: &Waker) {
        self.waker.register(waker);
        if self.is_raised() {
            self.waker.wake();
        }
    }

    /// The poll's part: the next thing that `take` finds at the `card`.
    ///
    /// With none left, `rearm` acknowledges the card's interrupt and then unmasks it, and `take` looks once more.
    pub fn drain<C, T>(
        &self,
        card: &mut C,
        mut take: impl FnMut(&mut C) -> Option<T>,
        rearm: impl FnOnce(&mut C),
    ) -> Option<T> {
        let taken = take(card);
        if taken.is_some() || !self.is_raised() {
            return taken;
        }
        // While it is raised the card is masked: no handler comes in between.
        self.raised.store(false, Ordering::Relaxed);
        rearm(card);
        let taken = take(card);
        if taken.is_some() {
            // There may be more whose interrupt was acknowledged just now: the poll stays owed.
            self.raised.store(true, Ordering::Relaxed);
        }
        taken
    }
}

impl Default for Attention {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;

//! Descriptor rings without registers: who owns which descriptor, and which frame lies in it.
//!
//! A ring is an array of descriptors shared with a DMA engine. One bit of each says whose it is. Frames enter at the
//! tail and leave at the head, in order:
//!
//! ```text
//!               head                          tail
//!     ┌──────┬───▼──┬──────┬──────┬──────┬────▼─┬──────┐
//!     │ idle │ done │ done │  HW  │  HW  │ idle │ idle │ ─┐
//!     └▲─────┴──────┴──────┴──────┴──────┴──────┴──────┘  │ wraps
//!      └──────────────────────────────────────────────────┘
//! ```
//!
//! A receive ring has no idle descriptors: each holds a frame from the beginning on.
//!
//! The rings trust the hardware with memory, since it could write anywhere, but not with arithmetic: lengths and flags
//! that cannot be make a counted drop.

mod rx;
mod tx;

#[cfg(test)]
pub(crate) mod tests;

pub use rx::{Context, Received, RxCounters, RxDescriptor, RxError, RxRing};
pub use tx::{TxCounters, TxDescriptor, TxError, TxRing};

use core::fmt;
use ringtap::frame::Frame;

/// What a receive and a transmit descriptor have in common: an owner.
///
/// The methods take `&self` because hardware shares the words: they are atomics, or cells accessed with volatile reads
/// and writes, and need no ordering of their own. The ring puts the barriers.
pub trait Descriptor {
    /// Whether the hardware owns the descriptor and its buffer.
    fn is_hardware(&self) -> bool;

    /// Hands the descriptor to the hardware. Only the word with the owner's bit is written, and it last.
    fn give(&self);

    /// Makes the descriptor ours, whoever had it. Called only while the DMA engine stands still.
    fn take_back(&self);
}

/// Why a ring cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RingError {
    /// The pool has fewer free frames than a receive ring has descriptors.
    PoolTooSmall,
    /// The slots of the pool share cache lines with something else, or the buffers would not be aligned as the hardware
    /// wants them.
    Misaligned,
    /// The headroom leaves no room in the slots, or the ring has no descriptor.
    NoRoom,
    /// A descriptor is the hardware's already: its DMA engine was not stopped.
    Running,
}

impl RingError {
    /// The error in a few words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::PoolTooSmall => "the pool has fewer free frames than the ring has descriptors",
            Self::Misaligned => {
                "the pool's slots are not aligned to cache lines, or not as the hardware wants its buffers"
            }
            Self::NoRoom => "the headroom leaves no room for a packet, or the ring has no descriptor",
            Self::Running => "a descriptor belongs to the hardware already: stop its DMA engine first",
        }
    }
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for RingError {}

/// Descriptors and the frames in them; the common half of [`RxRing`] and [`TxRing`].
///
/// Dropping the ring does not give its frames back, because nothing here can tell whether the DMA engine still runs: see
/// [`release`](Self::release).
pub struct DescRing<'d, 'p, D, const N: usize> {
    descriptors: &'d [D; N],
    frames: [Option<Frame<'p>>; N],
    /// The oldest descriptor with a frame.
    head: usize,
    /// Descriptors with a frame.
    used: usize,
}

impl<'d, 'p, D: Descriptor, const N: usize> DescRing<'d, 'p, D, N> {
    /// An empty ring; the descriptors are borrowed exclusively so that no other ring uses them.
    ///
    /// # Errors
    /// [`RingError::Running`] when a descriptor belongs to the hardware, [`RingError::NoRoom`] when there is none.
    pub fn new(descriptors: &'d mut [D; N]) -> Result<Self, RingError> {
        let descriptors = &*descriptors;
        if N == 0 {
            return Err(RingError::NoRoom);
        }
        if descriptors.iter().any(Descriptor::is_hardware) {
            return Err(RingError::Running);
        }
        Ok(Self { descriptors, frames: [const { None }; N], head: 0, used: 0 })
    }

    /// The descriptors, for the address that the hardware is told.
    pub fn descriptors(&self) -> &'d [D; N] {
        self.descriptors
    }

    /// Place of the oldest descriptor with a frame: where the hardware is expected to be, or will be next.
    pub fn head(&self) -> usize {
        self.head
    }

    /// Descriptors with a frame in them.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Whether no descriptor is idle.
    pub fn is_full(&self) -> bool {
        self.used == N
    }

    /// The place of the next idle descriptor, unless the ring is full.
    fn tail(&self) -> Option<usize> {
        (!self.is_full()).then(|| (self.head + self.used) % N)
    }

    /// Whether the place is the last one, where the hardware wraps.
    fn wraps(place: usize) -> bool {
        place + 1 == N
    }

    /// The place of the oldest frame, when the hardware has done with it.
    fn done(&self) -> Option<usize> {
        (self.used > 0 && !self.descriptors[self.head].is_hardware()).then_some(self.head)
    }

    /// The descriptor behind the oldest one, if it has a frame.
    fn following(&self) -> Option<&'d D> {
        (self.used > 1).then(|| &self.descriptors[(self.head + 1) % N])
    }

    /// Puts a frame into the idle descriptor `place`, which [`tail`](Self::tail) gave.
    fn push(&mut self, place: usize, frame: Frame<'p>) {
        debug_assert_eq!(self.tail(), Some(place));
        self.frames[place] = Some(frame);
        self.used += 1;
    }

    /// Takes the oldest frame out; its descriptor is idle then.
    fn pop(&mut self) -> Option<Frame<'p>> {
        let frame = self.frames[self.head].take()?;
        self.head = (self.head + 1) % N;
        self.used -= 1;
        Some(frame)
    }

    /// Gives all frames back to their pool.
    ///
    /// # Safety
    /// The DMA engine has stopped: it writes neither descriptors nor buffers any more.
    pub unsafe fn release(&mut self) {
        while self.pop().is_some() {}
        self.descriptors.iter().for_each(Descriptor::take_back);
        self.head = 0;
    }
}

impl<D, const N: usize> Drop for DescRing<'_, '_, D, N> {
    fn drop(&mut self) {
        for frame in &mut self.frames {
            // The hardware may still write into it; a slot that is lost is the lesser evil.
            core::mem::forget(frame.take());
        }
    }
}

impl<D, const N: usize> fmt::Debug for DescRing<'_, '_, D, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DescRing({} of {N} from {})", self.used, self.head)
    }
}

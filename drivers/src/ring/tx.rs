//! The transmit ring: takes a frame or gives it back, and returns it to its pool once it was sent.

use super::{DescRing, Descriptor, RingError};
use crate::coherency::Coherency;
use ringtap::device::TxMeta;
use ringtap::frame::Frame;
use ringtap::time::Instant;

/// The layout of a transmit descriptor: one frame each.
pub trait TxDescriptor: Descriptor {
    /// Frames are padded with zeros to this length; 0 where the hardware pads.
    const MIN_LEN: usize = 0;

    /// The longest frame that a descriptor can name.
    const MAX_LEN: usize;

    /// Writes everything but the owner: `len` octets at `buffer` are one whole frame. With `wraps`, the hardware goes on
    /// with the first descriptor after this one.
    fn load(&self, buffer: *const u8, len: usize, meta: &TxMeta, wraps: bool);

    /// What became of the frame; called only while the descriptor is ours.
    ///
    /// # Errors
    /// What went wrong on the medium.
    fn sent(&self) -> Result<(), TxError>;

    /// Whether [`stamp`](Self::stamp) ever has a time.
    const STAMPS: bool = false;

    /// When the frame was sent, or the lower end of that, if it was stamped; called only while the descriptor is ours.
    fn stamp(&self) -> Option<Instant> {
        None
    }
}

/// Why the hardware says that a frame was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TxError {
    /// Too many or too late collisions.
    Collision,
    /// No carrier.
    Carrier,
    /// The hardware's FIFO ran empty.
    Underrun,
    /// Anything else.
    Other,
}

/// What a transmit ring has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TxCounters {
    /// Sent.
    pub packets: u32,
    /// Lost to the medium: a [`TxError`].
    pub errors: u32,
    /// Dropped: empty, too long for a descriptor, or no room for the padding.
    pub unsendable: u32,
    /// Taken back unsent by [`TxRing::restart`].
    pub abandoned: u32,
}

/// A ring of `N` transmit descriptors.
pub struct TxRing<'d, 'p, D, C, const N: usize> {
    ring: DescRing<'d, 'p, D, N>,
    coherency: C,
    counters: TxCounters,
    /// The frames that want to know when they were sent.
    asked: [bool; N],
    /// Descriptors were given to the hardware since [`take_kick`](Self::take_kick).
    kick: bool,
}

impl<'d, 'p, D: TxDescriptor, C: Coherency, const N: usize> TxRing<'d, 'p, D, C, N> {
    /// A ring with nothing to send.
    ///
    /// # Errors
    /// [`RingError::Running`] or [`RingError::NoRoom`].
    pub fn new(descriptors: &'d mut [D; N], coherency: C) -> Result<Self, RingError> {
        let ring = DescRing::new(descriptors)?;
        Ok(Self { ring, coherency, counters: TxCounters::default(), asked: [false; N], kick: false })
    }

    /// Sends a frame. One that no descriptor can carry is dropped and counted: it could not be sent later either.
    ///
    /// # Errors
    /// The frame itself while all descriptors are the hardware's.
    pub fn transmit(&mut self, mut frame: Frame<'p>, meta: &TxMeta) -> Result<(), Frame<'p>> {
        if self.ring.is_full() {
            self.reclaim();
        }
        let Some(place) = self.ring.tail() else {
            return Err(frame);
        };
        if frame.is_empty() || frame.len() > D::MAX_LEN || pad(&mut frame, D::MIN_LEN).is_none() {
            self.counters.unsendable = self.counters.unsendable.wrapping_add(1);
            return Ok(());
        }
        let (buffer, len) = (frame.as_mut_ptr().cast_const(), frame.len());
        let descriptor = &self.ring.descriptors[place];
        self.coherency.clean(buffer, len);
        descriptor.load(buffer, len, meta, DescRing::<D, N>::wraps(place));
        if D::STAMPS {
            self.asked[place] = meta.timestamp;
        }
        self.ring.push(place, frame);
        self.coherency.before_give();
        descriptor.give();
        self.kick = true;
        Ok(())
    }

    /// Returns the frames that were sent to their pool; how many there were.
    ///
    /// [`transmit`](Self::transmit) does so by itself only when the ring is full: call this before receiving, so that the
    /// pool has what there is.
    pub fn reclaim(&mut self) -> usize {
        self.reclaim_stamped(|_| ())
    }

    /// As [`reclaim`](Self::reclaim); of each frame that asked for it, `stamped` is told what the descriptor has of the
    /// time.
    #[inline]
    pub fn reclaim_stamped(&mut self, mut stamped: impl FnMut(Option<Instant>)) -> usize {
        let mut count = 0;
        while let Some(place) = self.ring.done() {
            self.coherency.after_take();
            let descriptor = &self.ring.descriptors[place];
            let counter = match descriptor.sent() {
                Ok(()) => &mut self.counters.packets,
                Err(_) => &mut self.counters.errors,
            };
            *counter = counter.wrapping_add(1);
            if D::STAMPS && core::mem::take(&mut self.asked[place]) {
                stamped(descriptor.stamp());
            }
            drop(self.ring.pop());
            count += 1;
        }
        count
    }

    /// Frames in the ring that want to know when they were sent.
    pub fn asked(&self) -> usize {
        self.asked.iter().filter(|asked| **asked).count()
    }

    /// Whether frames were given to the hardware since the last call. If so, this is the moment to ring its doorbell: all
    /// of it is visible to the hardware.
    pub fn take_kick(&mut self) -> bool {
        let kick = core::mem::take(&mut self.kick);
        if kick {
            self.coherency.before_doorbell();
        }
        kick
    }

    /// Takes back what was not sent and begins at the first descriptor again, after a fault that the hardware only leaves
    /// by a reset.
    ///
    /// # Safety
    /// The DMA engine has stopped: it reads neither descriptors nor buffers until it is started anew.
    pub unsafe fn restart(&mut self) {
        self.reclaim();
        self.counters.abandoned = self.counters.abandoned.wrapping_add(self.ring.used() as u32);
        self.asked = [false; N];
        // SAFETY: as the caller promises.
        unsafe { self.ring.release() };
    }

    /// Gives all frames back to their pools. The ring sends nothing any more.
    ///
    /// # Safety
    /// The DMA engine has stopped: it reads neither descriptors nor buffers any more.
    pub unsafe fn release(mut self) {
        // SAFETY: as the caller promises.
        unsafe { self.ring.release() };
    }

    /// What was counted.
    pub fn counters(&self) -> &TxCounters {
        &self.counters
    }

    /// The ring itself, to look at.
    pub fn ring(&self) -> &DescRing<'d, 'p, D, N> {
        &self.ring
    }
}

/// Appends zeros until the frame has `len` octets; `None` without the room.
fn pad(frame: &mut Frame<'_>, len: usize) -> Option<()> {
    if let Some(missing) = len.checked_sub(frame.len()) {
        frame.append(missing)?.fill(0);
    }
    Some(())
}

//! The receive ring: a full frame goes out and a fresh one in, and the ring never starves.

use super::{DescRing, Descriptor, RingError};
use crate::coherency::Coherency;
use ringtap::device::RxMeta;
use ringtap::frame::{Frame, Pool};
use ringtap::time::Instant;

/// The layout of a receive descriptor.
pub trait RxDescriptor: Descriptor {
    /// What a buffer's address must be a multiple of.
    const ALIGN: usize = 4;

    /// What a buffer's capacity must be a multiple of: a power of two.
    const UNIT: usize = 4;

    /// The largest capacity that a descriptor can name.
    const MAX_CAPACITY: usize;

    /// Whether descriptors say where a packet begins. Otherwise it begins behind the end of the one before, and
    /// [`Received::first`] is not looked at.
    const MARKS_FIRST: bool = true;

    /// Writes everything but the owner: packets may be written to `capacity` octets at `buffer`. With `wraps`, the
    /// hardware goes on with the first descriptor after this one.
    fn arm(&self, buffer: *mut u8, capacity: usize, wraps: bool);

    /// What the hardware wrote; called only while the descriptor is ours.
    fn received(&self) -> Received;

    /// What the hardware wrote, if that is no packet but something about the one before.
    fn context(&self) -> Option<Context> {
        None
    }
}

/// What a context descriptor says of the packet before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// When the hardware saw it.
    pub timestamp: Option<Instant>,
}

/// What a receive descriptor says of its buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Octets of the packet in this buffer, without the frame check sequence. Counts only with `first` and `last`.
    pub len: usize,
    /// The packet begins here.
    pub first: bool,
    /// The packet ends here.
    pub last: bool,
    /// What is wrong with it. Some hardware says so only with the packet's last descriptor.
    pub error: Option<RxError>,
    /// The next descriptor is a [`Context`], or will be.
    pub context_follows: bool,
    /// Checksum verdict and timestamp.
    pub meta: RxMeta,
}

/// Why the hardware says that a packet is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RxError {
    /// The frame check sequence does not match.
    Crc,
    /// The hardware's FIFO was full before the packet's end.
    Overrun,
    /// Longer than the hardware allows.
    TooLong,
    /// A collision, an invalid symbol, an odd number of nibbles, a bus fault.
    Other,
}

/// What a receive ring has counted. Each packet is in exactly one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RxCounters {
    /// Handed out.
    pub packets: u32,
    /// Dropped because the pool was empty.
    pub no_frame: u32,
    /// Dropped: [`RxError::Crc`].
    pub crc: u32,
    /// Dropped: [`RxError::Overrun`].
    pub overrun: u32,
    /// Dropped: [`RxError::TooLong`], or in more than one descriptor.
    pub too_long: u32,
    /// Dropped: [`RxError::Other`], an impossible length, or the rest of a packet whose beginning is missing.
    pub other: u32,
}

impl RxCounters {
    /// All packets that were dropped.
    pub fn dropped(&self) -> u32 {
        let Self { packets: _, no_frame, crc, overrun, too_long, other } = *self;
        [no_frame, crc, overrun, too_long, other].into_iter().fold(0, u32::wrapping_add)
    }

    fn error(&mut self, error: RxError) {
        let counter = match error {
            RxError::Crc => &mut self.crc,
            RxError::Overrun => &mut self.overrun,
            RxError::TooLong => &mut self.too_long,
            RxError::Other => &mut self.other,
        };
        *counter = counter.wrapping_add(1);
    }
}

/// A ring of `N` receive descriptors with a frame in each.
///
/// ```text
///   packet for us ──▶ fresh frame from the pool? ── yes ─▶ swap; the full one goes out
///                                 └── no ─▶ drop the packet, arm the same buffer again, count
/// ```
pub struct RxRing<'d, 'p, D, C, const N: usize> {
    ring: DescRing<'d, 'p, D, N>,
    coherency: C,
    pool: Pool<'p>,
    headroom: usize,
    capacity: usize,
    counters: RxCounters,
    /// The beginning of a packet was dropped and its end has not come yet.
    in_long: bool,
    /// Descriptors were given to the hardware since [`take_kick`](Self::take_kick).
    kick: bool,
}

impl<'d, 'p, D: RxDescriptor, C: Coherency, const N: usize> RxRing<'d, 'p, D, C, N> {
    /// Arms every descriptor with a frame of `pool` that has `headroom` octets in front.
    ///
    /// The pool should have several frames more than that: with none left, packets are dropped.
    ///
    /// # Errors
    /// A [`RingError`]; the pool has all its frames again then.
    pub fn new(descriptors: &'d mut [D; N], coherency: C, pool: Pool<'p>, headroom: usize) -> Result<Self, RingError> {
        let ring = DescRing::new(descriptors)?;
        let capacity = pool.slot_size().saturating_sub(headroom).min(D::MAX_CAPACITY);
        let capacity = capacity - capacity % D::UNIT;
        if capacity == 0 {
            return Err(RingError::NoRoom);
        }
        check_alignment(pool, C::LINE)?;
        let (memory, _) = pool.memory();
        if !(memory.addr() + headroom).is_multiple_of(D::ALIGN) || !pool.slot_size().is_multiple_of(D::ALIGN) {
            return Err(RingError::Misaligned);
        }
        let mut frames = [const { None }; N];
        for frame in &mut frames {
            *frame = Some(pool.take(headroom).ok_or(RingError::PoolTooSmall)?);
        }
        let mut rx = Self {
            ring,
            coherency,
            pool,
            headroom,
            capacity,
            counters: RxCounters::default(),
            in_long: false,
            kick: false,
        };
        for frame in frames.into_iter().flatten() {
            rx.arm(frame);
        }
        Ok(rx)
    }

    /// The next good packet, if any.
    ///
    /// Bad packets before it are dropped and counted, at most `N` in one call, so that a flood of them cannot hold the
    /// caller: after `None`, [`has_work`](Self::has_work) says whether there is more.
    pub fn receive(&mut self) -> Option<(Frame<'p>, RxMeta)> {
        for _ in 0..N {
            let place = self.ring.done()?;
            self.coherency.after_take();
            if self.ring.descriptors[place].context().is_some() {
                // Its packet was handed out already; its buffer was not used.
                if let Some(frame) = self.ring.pop() {
                    self.arm(frame);
                }
                continue;
            }
            let mut received = self.ring.descriptors[place].received();
            if received.context_follows {
                received.meta.timestamp = self.following_timestamp();
            }
            let mut frame = self.ring.pop()?;
            let Some(fresh) = self.fresh_for(&received) else {
                self.arm(frame);
                continue;
            };
            self.arm(fresh);
            frame.truncate(received.len);
            // What was fetched ahead while the hardware wrote is older than the packet.
            self.coherency.invalidate(frame.as_mut_ptr(), frame.len());
            self.counters.packets = self.counters.packets.wrapping_add(1);
            return Some((frame, received.meta));
        }
        None
    }

    /// Whether the hardware has done with a descriptor that [`receive`](Self::receive) has not looked at: the check that
    /// closes the race after the interrupt was unmasked.
    pub fn has_work(&self) -> bool {
        self.ring.done().is_some()
    }

    /// Whether descriptors were given to the hardware since the last call. If so, and the hardware wants to be told, this
    /// is the moment: all of it is visible to the hardware.
    pub fn take_kick(&mut self) -> bool {
        let kick = core::mem::take(&mut self.kick);
        if kick {
            self.coherency.before_doorbell();
        }
        kick
    }

    /// Arms the same frames again from the first descriptor on, after a fault that the hardware only leaves by a reset.
    ///
    /// # Safety
    /// The DMA engine has stopped: it writes neither descriptors nor buffers until it is started anew.
    pub unsafe fn restart(&mut self) {
        let mut frames = [const { None }; N];
        for frame in &mut frames {
            *frame = self.ring.pop();
        }
        // SAFETY: as the caller promises; there is no frame in the ring.
        unsafe { self.ring.release() };
        self.in_long = false;
        for frame in frames.into_iter().flatten() {
            self.arm(frame);
        }
    }

    /// Gives all frames back to the pool. The ring receives nothing any more.
    ///
    /// # Safety
    /// The DMA engine has stopped: it writes neither descriptors nor buffers any more.
    pub unsafe fn release(mut self) {
        // SAFETY: as the caller promises.
        unsafe { self.ring.release() };
    }

    /// What was counted.
    pub fn counters(&self) -> &RxCounters {
        &self.counters
    }

    /// The ring itself, to look at.
    pub fn ring(&self) -> &DescRing<'d, 'p, D, N> {
        &self.ring
    }

    /// Octets that a packet may have.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The timestamp in the context descriptor behind the oldest one, if the hardware has written it yet. It is not waited
    /// for: a packet may be worth more than its timestamp.
    fn following_timestamp(&self) -> Option<Instant> {
        let next = self.ring.following().filter(|next| !next.is_hardware())?;
        self.coherency.after_take();
        next.context()?.timestamp
    }

    /// A frame to put in the place of the one with this packet; `None`, counted, when the packet is not to be handed out.
    fn fresh_for(&mut self, received: &Received) -> Option<Frame<'p>> {
        if !self.is_good(received) {
            return None;
        }
        let fresh = self.pool.take(self.headroom);
        if fresh.is_none() {
            self.counters.no_frame = self.counters.no_frame.wrapping_add(1);
        }
        fresh
    }

    /// Whether the descriptor holds a whole and good packet. A bad one is counted, once however many pieces it has.
    fn is_good(&mut self, received: &Received) -> bool {
        let Received { len, first, last, error, context_follows: _, meta: _ } = *received;
        // A packet in pieces is longer than a buffer. A beginning also ends a packet whose end never came.
        let first = if D::MARKS_FIRST { first } else { !self.in_long };
        let rest_of_long = self.in_long && !first;
        self.in_long = !last;
        let error = match error {
            _ if rest_of_long => return false,
            _ if first && !last => RxError::TooLong,
            _ if !first => RxError::Other,
            Some(error) => error,
            None if len == 0 || len > self.capacity => RxError::Other,
            None => return true,
        };
        self.counters.error(error);
        false
    }

    /// Puts a frame into the descriptor that is idle now, and hands it to the hardware.
    fn arm(&mut self, mut frame: Frame<'p>) {
        frame.reset(self.headroom);
        let (Some(place), Some(buffer)) = (self.ring.tail(), frame.append(self.capacity)) else {
            // The ring is full only between `new` and here, and the capacity was computed from the slot's size.
            debug_assert!(false, "an idle descriptor and a frame of the pool's size");
            return;
        };
        let buffer = buffer.as_mut_ptr();
        let descriptor = &self.ring.descriptors[place];
        // A line that is still dirty would be written back over the packet some time.
        self.coherency.invalidate(buffer, self.capacity);
        descriptor.arm(buffer, self.capacity, DescRing::<D, N>::wraps(place));
        self.ring.push(place, frame);
        self.coherency.before_give();
        descriptor.give();
        self.kick = true;
    }
}

/// No slot of the pool shares a cache line of `line` octets with anything else.
fn check_alignment(pool: Pool<'_>, line: usize) -> Result<(), RingError> {
    let (memory, _) = pool.memory();
    let aligned = memory.addr().is_multiple_of(line) && pool.slot_size().is_multiple_of(line);
    if aligned { Ok(()) } else { Err(RingError::Misaligned) }
}

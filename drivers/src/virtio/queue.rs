//! Split virtqueues: VIRTIO 1.2 §2.7.
//!
//! ```text
//!   descriptor table   │ address │ length │ flags │ next │  N of them, each a buffer
//!   available ring     │ flags │ index │ N numbers of descriptors │            written by the driver
//!   used ring          │ flags │ index │ N of number and length   │            written by the device
//! ```
//!
//! The device may give buffers back in any order. What it writes is looked at before it is used: a number that is no
//! buffer of ours is counted and passed over.

use crate::coherency::Coherency;
use crate::word::{Word, high, low};

use core::mem::offset_of;
use core::sync::atomic::{AtomicU16, Ordering};
use ringtap::frame::Frame;

/// The device writes to the buffer.
const WRITE: u32 = 2;
/// Neither side wants to be told of each buffer.
const QUIET: u16 = 1;
/// What the used ring is aligned to; the legacy interface is told.
pub const ALIGN: usize = 64;

/// A 16-bit field that driver and device share.
#[derive(Debug)]
#[repr(transparent)]
struct Half(AtomicU16);

impl Half {
    const fn new() -> Self {
        Self(AtomicU16::new(0))
    }

    fn get(&self) -> u16 {
        // Relaxed: `Coherency` orders what is around it, for the device as well.
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, value: u16) {
        // Relaxed: as above.
        self.0.store(value, Ordering::Relaxed);
    }
}

#[derive(Debug)]
#[repr(C)]
struct Available<const N: usize> {
    flags: Half,
    index: Half,
    ring: [Half; N],
}

#[derive(Debug)]
#[repr(C, align(64))]
struct Used<const N: usize> {
    flags: Half,
    index: Half,
    ring: [[Word; 2]; N],
}

/// The memory of a queue of `N` buffers, `N` a power of two: for a `static`, it lies in `.bss`.
///
/// On a page's beginning because the legacy interface names queues by their page.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct QueueMemory<const N: usize> {
    table: [[Word; 4]; N],
    available: Available<N>,
    used: Used<N>,
}

impl<const N: usize> QueueMemory<N> {
    /// Memory of a queue that is not in use.
    pub const fn new() -> Self {
        const { assert!(N.is_power_of_two() && N <= 1024, "a queue's length is a power of two, at most 1024") };
        Self {
            table: [const { [const { Word::new(0) }; 4] }; N],
            available: Available { flags: Half::new(), index: Half::new(), ring: [const { Half::new() }; N] },
            used: Used { flags: Half::new(), index: Half::new(), ring: [const { [const { Word::new(0) }; 2] }; N] },
        }
    }

    /// Where the descriptor table, the available ring and the used ring begin.
    pub(super) fn parts(&self) -> [*const u8; 3] {
        // Of the whole, which the device reaches: a legacy one is told of the first part and finds the others behind it.
        let whole: *const u8 = core::ptr::from_ref(self).cast();
        [0, offset_of!(Self, available), offset_of!(Self, used)].map(|offset| whole.wrapping_add(offset))
    }

    /// Empties both rings, for a device that was reset.
    pub(super) fn clear(&self) {
        self.available.index.set(0);
        self.available.flags.set(QUIET);
        self.used.index.set(0);
        self.used.flags.set(0);
    }

    /// Sets a descriptor.
    pub(super) fn describe(&self, number: usize, buffer: *const u8, len: usize, flags_and_next: u32) {
        let [address_low, address_high, length, flags] = &self.table[number % N];
        address_low.set(low(buffer));
        address_high.set(high(buffer));
        length.set(len as u32);
        flags.set(flags_and_next);
    }

    /// Makes the buffer that begins with a descriptor available; `barrier` stands before the device sees it.
    pub(super) fn offer(&self, number: u16, barrier: impl FnOnce()) {
        let index = self.available.index.get();
        self.available.ring[usize::from(index) % N].set(number);
        barrier();
        self.available.index.set(index.wrapping_add(1));
    }

    /// How many buffers the device has given back since its reset.
    pub(super) fn given_back(&self) -> u16 {
        self.used.index.get()
    }
}

impl<const N: usize> Default for QueueMemory<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// A queue and the frames in it.
///
/// Dropping it does not give its frames back, because nothing here can tell whether the device still uses them: see
/// [`release`](Self::release).
pub struct Queue<'d, 'p, C, const N: usize> {
    memory: &'d QueueMemory<N>,
    coherency: C,
    frames: [Option<Frame<'p>>; N],
    /// The numbers of idle descriptors are the last `N - used` ones.
    idle: [u16; N],
    used: usize,
    /// How far the used ring was read.
    taken: u16,
    /// Buffers were made available since [`take_kick`](Self::take_kick).
    kick: bool,
}

impl<'d, 'p, C: Coherency, const N: usize> Queue<'d, 'p, C, N> {
    /// An empty queue, in memory that no device uses.
    pub fn new(memory: &'d mut QueueMemory<N>, coherency: C) -> Self {
        let frames = [const { None }; N];
        let mut queue = Self { memory: &*memory, coherency, frames, idle: [0; N], used: 0, taken: 0, kick: false };
        queue.clear();
        queue
    }

    fn clear(&mut self) {
        self.memory.clear();
        self.idle = core::array::from_fn(|i| i as u16);
        (self.used, self.taken, self.kick) = (0, 0, false);
    }

    /// The shared memory.
    pub fn memory(&self) -> &'d QueueMemory<N> {
        self.memory
    }

    /// Frames in the queue.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Whether no descriptor is idle.
    pub fn is_full(&self) -> bool {
        self.used == N
    }

    /// Whether the device has given a buffer back that was not taken yet.
    pub fn has_done(&self) -> bool {
        self.memory.given_back() != self.taken
    }

    /// Lends the frame's octets to the device: to read, or to write.
    ///
    /// # Errors
    /// The frame itself when no descriptor is idle.
    pub fn push(&mut self, mut frame: Frame<'p>, writable: bool) -> Result<(), Frame<'p>> {
        let Some(&number) = self.idle.get(self.used) else {
            return Err(frame);
        };
        let (buffer, len) = (frame.as_mut_ptr(), frame.len());
        if writable {
            // A line that is still dirty would be written back over the packet some time.
            self.coherency.invalidate(buffer, len);
        } else {
            self.coherency.clean(buffer, len);
        }
        self.memory.describe(number.into(), buffer, len, if writable { WRITE } else { 0 });
        self.frames[usize::from(number) % N] = Some(frame);
        self.used += 1;
        self.memory.offer(number, || self.coherency.before_give());
        self.kick = true;
        Ok(())
    }

    /// A frame that the device has done with, and how many octets it says it wrote. `Some(None)`: it named none of ours.
    pub fn pop(&mut self) -> Option<Option<(Frame<'p>, usize)>> {
        if !self.has_done() {
            return None;
        }
        self.coherency.after_take();
        let [number, written] = &self.memory.used.ring[usize::from(self.taken) % N];
        let (number, written) = (number.get(), written.get());
        self.taken = self.taken.wrapping_add(1);
        let frame = self.frames.get_mut(number as usize).and_then(Option::take);
        Some(frame.map(|frame| {
            self.used -= 1;
            self.idle[self.used] = number as u16;
            (frame, written as usize)
        }))
    }

    /// Whether the device is to be told of buffers that were made available since the last call.
    pub fn take_kick(&mut self) -> bool {
        if !core::mem::take(&mut self.kick) {
            return false;
        }
        self.coherency.before_doorbell();
        self.memory.used.flags.get() & QUIET == 0
    }

    /// Whether the device is to interrupt for buffers that it gives back. A hint: it may do as it likes.
    pub fn interrupts(&self, on: bool) {
        self.memory.available.flags.set(if on { 0 } else { QUIET });
        // What was given back before the device saw this is found by the look that follows.
        self.coherency.before_doorbell();
    }

    /// Forgets what a device that was reset has read, and takes the frames out.
    ///
    /// # Safety
    /// The device was reset: it uses neither the queue nor its buffers any more.
    pub unsafe fn restart(&mut self) -> [Option<Frame<'p>>; N] {
        self.clear();
        core::mem::replace(&mut self.frames, [const { None }; N])
    }

    /// Gives all frames back to their pool.
    ///
    /// # Safety
    /// As for [`restart`](Self::restart).
    pub unsafe fn release(mut self) {
        // SAFETY: as the caller promises.
        drop(unsafe { self.restart() });
    }

    /// Forgets what was fetched ahead while the device wrote.
    pub fn invalidate(&self, frame: &mut Frame<'_>) {
        self.coherency.invalidate(frame.as_mut_ptr(), frame.len());
    }
}

impl<C, const N: usize> Drop for Queue<'_, '_, C, N> {
    fn drop(&mut self) {
        for frame in &mut self.frames {
            // The device may still write into it; a slot that is lost is the lesser evil.
            core::mem::forget(frame.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_lie_where_the_legacy_interface_expects_them() {
        // VIRTIO 1.2 §2.7.2: the used ring begins at the next multiple of the alignment behind the available ring.
        fn check<const N: usize>() {
            let behind = 16 * N + 6 + 2 * N;
            assert_eq!(offset_of!(QueueMemory<N>, table), 0);
            assert_eq!(offset_of!(QueueMemory<N>, available), 16 * N);
            assert_eq!(offset_of!(QueueMemory<N>, used), behind.next_multiple_of(ALIGN), "{N}");
            assert_eq!(offset_of!(Used<N>, ring), 4);
            assert_eq!(offset_of!(Available<N>, ring), 4);
        }
        check::<2>();
        check::<4>();
        check::<16>();
        check::<32>();
        check::<64>();
        check::<256>();
    }
}

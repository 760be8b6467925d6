//! Frames and the pools they come from: packet memory with exactly one owner.
//!
//! A [`Pool`] is a set of equally large slots in memory that lives for `'p`: a `static`, a boxed slab, a DMA region, an
//! AF_XDP umem. A [`Frame`] is one slot, owned: it can be moved to another thread, and dropping it (also from an
//! interrupt handler) gives the slot back. Taking and returning are lock-free and O(1).
//!
//! ```text
//!   slot   ┌──────────────┬────────────────────────────┬───────────────┐
//!          │   headroom   │  frame[..]  (start, len)   │   tailroom    │
//!          └──────────────┴────────────────────────────┴───────────────┘
//!            push_front ◀─┘                            └─▶ append
//! ```
//!
//! This is the only file of the crate with `unsafe` code.
#![allow(unsafe_code)]

use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::ptr::{self, NonNull};

#[cfg(target_has_atomic = "ptr")]
use core::sync::atomic::{AtomicPtr, AtomicU16, AtomicU32, Ordering};
#[cfg(not(target_has_atomic = "ptr"))]
use portable_atomic::{AtomicPtr, AtomicU16, AtomicU32, Ordering};

/// The alignment of every slot of [`PoolMemory`] and [`BoxedPool`], in octets: a data-cache line of a Cortex-M7.
pub const SLOT_ALIGN: usize = 32;

/// The most slots that a pool can have.
pub const MAX_SLOTS: usize = u16::MAX as usize - 1;

/// What all frames of a pool share. All-zero until `init`, so that a `static` pool lies in `.bss`.
///
/// The free list is a Treiber stack of slot numbers plus one (0 is "none"), with a 16-bit tag against ABA; slots that
/// were never taken are not on it but counted by `fresh`.
struct Shared {
    base: AtomicPtr<u8>,
    links: AtomicPtr<AtomicU16>,
    slot_size: AtomicU32,
    count: AtomicU32,
    /// `tag << 16 | (slot + 1)`.
    head: AtomicU32,
    fresh: AtomicU32,
    taken: AtomicU32,
}

impl Shared {
    const fn new() -> Self {
        Self {
            base: AtomicPtr::new(ptr::null_mut()),
            links: AtomicPtr::new(ptr::null_mut()),
            slot_size: AtomicU32::new(0),
            count: AtomicU32::new(0),
            head: AtomicU32::new(0),
            fresh: AtomicU32::new(0),
            taken: AtomicU32::new(0),
        }
    }

    /// Idempotent: storing the same values again changes nothing, so that it may be called at any time.
    fn init(&self, base: *mut u8, links: *const AtomicU16, slot_size: usize, count: usize) {
        self.base.store(base, Ordering::Relaxed);
        self.links.store(links.cast_mut(), Ordering::Relaxed);
        self.slot_size.store(slot_size as u32, Ordering::Relaxed);
        self.count.store(count as u32, Ordering::Relaxed);
    }

    /// The link cell of `slot`, which is below `count`.
    fn link(&self, slot: u16) -> &AtomicU16 {
        // SAFETY: `init` stored a pointer to `count` cells that live as long as `self` is borrowed for pools, and
        // every slot number comes from `take`, which hands out numbers below `count` only.
        unsafe { &*self.links.load(Ordering::Relaxed).add(usize::from(slot)) }
    }

    fn take(&self) -> Option<u16> {
        // Acquire pairs with the release in `put`: what the last owner wrote into the slot is visible to the next.
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            let Some(slot) = (head as u16).checked_sub(1) else {
                return self.take_fresh();
            };
            let next = self.link(slot).load(Ordering::Relaxed);
            let new = (head & 0xffff_0000).wrapping_add(0x1_0000) | u32::from(next);
            match self.head.compare_exchange_weak(head, new, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => {
                    self.taken.fetch_add(1, Ordering::Relaxed);
                    return Some(slot);
                }
                Err(seen) => head = seen,
            }
        }
    }

    fn take_fresh(&self) -> Option<u16> {
        let count = self.count.load(Ordering::Relaxed);
        let slot =
            self.fresh.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < count).then_some(n + 1)).ok()?;
        self.taken.fetch_add(1, Ordering::Relaxed);
        Some(slot as u16)
    }

    // Every frame that goes out of scope comes here: inlined, it would be most of a small program's flash.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn put(&self, slot: u16) {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            self.link(slot).store(head as u16, Ordering::Relaxed);
            let new = (head & 0xffff_0000).wrapping_add(0x1_0000) | (u32::from(slot) + 1);
            // Release pairs with the acquire in `take`.
            match self.head.compare_exchange_weak(head, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break,
                Err(seen) => head = seen,
            }
        }
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A handle to a set of packet slots, one word, freely copied.
#[derive(Clone, Copy)]
pub struct Pool<'p> {
    shared: &'p Shared,
}

impl<'p> Pool<'p> {
    /// Takes a slot as an empty frame with `headroom` octets in front of it (at most the slot's size).
    ///
    /// `None` when every slot is owned by somebody.
    pub fn take(self, headroom: usize) -> Option<Frame<'p>> {
        let slot = self.shared.take()?;
        let size = self.shared.slot_size.load(Ordering::Relaxed);
        let offset = usize::from(slot) * size as usize;
        // SAFETY: `slot < count`, so the offset stays inside the pool's memory of `count * slot_size` octets; the base
        // of such memory is not null.
        let base = unsafe { NonNull::new_unchecked(self.shared.base.load(Ordering::Relaxed).add(offset)) };
        let start = (headroom as u32).min(size);
        Some(Frame { pool: self, base, start, len: 0, slot, _owned: PhantomData })
    }

    /// As [`take`](Self::take), but leaves `reserve` slots for those who need them more (acknowledgments, ARP).
    pub fn take_above(self, reserve: usize, headroom: usize) -> Option<Frame<'p>> {
        if self.free() <= reserve {
            return None;
        }
        self.take(headroom)
    }

    /// Slots in the pool.
    pub fn count(self) -> usize {
        self.shared.count.load(Ordering::Relaxed) as usize
    }

    /// Slots that nobody owns at this moment.
    pub fn free(self) -> usize {
        let taken = self.shared.taken.load(Ordering::Relaxed) as usize;
        self.count().saturating_sub(taken)
    }

    /// Octets per slot: the longest frame together with its headroom.
    pub fn slot_size(self) -> usize {
        self.shared.slot_size.load(Ordering::Relaxed) as usize
    }

    /// The memory of all slots, for a device that must be told of it (a DMA region, a umem): base address and octets.
    pub fn memory(self) -> (*mut u8, usize) {
        (self.shared.base.load(Ordering::Relaxed), self.count() * self.slot_size())
    }

    /// Whether both handles name the same pool.
    pub fn is(self, other: Pool<'_>) -> bool {
        ptr::eq(self.shared, other.shared)
    }
}

impl fmt::Debug for Pool<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({} of {} x {} free)", self.free(), self.count(), self.slot_size())
    }
}

/// Memory for a pool of `COUNT` slots of `SIZE` octets, for a `static`: it lies in `.bss`.
///
/// `SIZE` is best a multiple of [`SLOT_ALIGN`]; otherwise each slot is padded to it, and the padding is used too.
///
/// ```
/// use ringtap::frame::PoolMemory;
/// static MEMORY: PoolMemory<1536, 4> = PoolMemory::new();
/// let pool = MEMORY.pool();
/// let frame = pool.take(64).unwrap();
/// assert_eq!((pool.free(), frame.len(), frame.headroom()), (3, 0, 64));
/// drop(frame);
/// assert_eq!(pool.free(), 4);
/// ```
#[repr(C)]
pub struct PoolMemory<const SIZE: usize, const COUNT: usize> {
    slots: UnsafeCell<[Slot<SIZE>; COUNT]>,
    links: [AtomicU16; COUNT],
    shared: Shared,
}

#[repr(C, align(32))]
#[derive(Clone, Copy)]
struct Slot<const SIZE: usize>([u8; SIZE]);

// SAFETY: the slots are reached through frames only, and each slot has at most one frame.
unsafe impl<const SIZE: usize, const COUNT: usize> Sync for PoolMemory<SIZE, COUNT> {}

impl<const SIZE: usize, const COUNT: usize> PoolMemory<SIZE, COUNT> {
    /// Memory with all slots free.
    pub const fn new() -> Self {
        const { assert!(COUNT <= MAX_SLOTS, "a pool has at most 65,534 slots") };
        Self {
            slots: UnsafeCell::new([Slot([0; SIZE]); COUNT]),
            links: [const { AtomicU16::new(0) }; COUNT],
            shared: Shared::new(),
        }
    }

    /// The pool over this memory; every call gives the same one.
    pub fn pool(&self) -> Pool<'_> {
        self.shared.init(self.slots.get().cast(), self.links.as_ptr(), size_of::<Slot<SIZE>>(), COUNT);
        Pool { shared: &self.shared }
    }
}

impl<const SIZE: usize, const COUNT: usize> Default for PoolMemory<SIZE, COUNT> {
    fn default() -> Self {
        Self::new()
    }
}

/// A pool over memory that the caller brings: a DMA-reachable section, a mapped umem.
pub struct PoolOver<'m> {
    shared: Shared,
    memory: *mut u8,
    slot_size: usize,
    links: &'m [AtomicU16],
    _memory: PhantomData<&'m mut [u8]>,
}

// SAFETY: the memory is borrowed exclusively for `'m` and reached through frames only.
unsafe impl Sync for PoolOver<'_> {}
// SAFETY: as above; nothing in it belongs to a thread.
unsafe impl Send for PoolOver<'_> {}

/// One free-list cell of a [`PoolOver`]; the caller brings as many as there are slots.
#[derive(Default)]
#[repr(transparent)]
pub struct Link(AtomicU16);

impl Link {
    /// A cell for a free slot.
    pub const fn new() -> Self {
        Self(AtomicU16::new(0))
    }
}

impl<'m> PoolOver<'m> {
    /// A pool of slots of `slot_size` octets in `memory`, as many as there is room and are `links` for.
    ///
    /// The slots are as aligned as `memory` and `slot_size` make them. `None` when not a single slot fits.
    pub fn new(memory: &'m mut [u8], links: &'m mut [Link], slot_size: usize) -> Option<Self> {
        let count = memory.len().checked_div(slot_size)?.min(links.len()).min(MAX_SLOTS);
        if count == 0 || slot_size > u32::MAX as usize {
            return None;
        }
        let links: &'m [Link] = &links[..count];
        // SAFETY: `Link` is a transparent wrapper of `AtomicU16`.
        let links = unsafe { core::slice::from_raw_parts(links.as_ptr().cast::<AtomicU16>(), count) };
        Some(Self { shared: Shared::new(), memory: memory.as_mut_ptr(), slot_size, links, _memory: PhantomData })
    }

    /// The pool; every call gives the same one.
    pub fn pool(&self) -> Pool<'_> {
        self.shared.init(self.memory, self.links.as_ptr(), self.slot_size, self.links.len());
        Pool { shared: &self.shared }
    }
}

/// A pool in one heap allocation.
#[cfg(feature = "alloc")]
pub struct BoxedPool {
    shared: Shared,
    slots: alloc::boxed::Box<[UnsafeCell<Line>]>,
    links: alloc::boxed::Box<[AtomicU16]>,
    slot_size: usize,
}

#[cfg(feature = "alloc")]
#[repr(C, align(32))]
#[derive(Clone, Copy)]
struct Line([u8; SLOT_ALIGN]);

#[cfg(feature = "alloc")]
// SAFETY: the slots are reached through frames only, and each slot has at most one frame.
unsafe impl Sync for BoxedPool {}

#[cfg(feature = "alloc")]
impl BoxedPool {
    /// A pool of `count` slots (at most [`MAX_SLOTS`]) of at least `slot_size` octets, rounded up to [`SLOT_ALIGN`].
    pub fn new(slot_size: usize, count: usize) -> Self {
        let count = count.min(MAX_SLOTS);
        let lines = slot_size.div_ceil(SLOT_ALIGN).max(1);
        Self {
            shared: Shared::new(),
            slots: (0..lines * count).map(|_| UnsafeCell::new(Line([0; SLOT_ALIGN]))).collect(),
            links: (0..count).map(|_| AtomicU16::new(0)).collect(),
            slot_size: lines * SLOT_ALIGN,
        }
    }

    /// The pool; every call gives the same one.
    pub fn pool(&self) -> Pool<'_> {
        // `UnsafeCell` allows writing through the pointer of a shared slice.
        let base = self.slots.as_ptr().cast::<u8>().cast_mut();
        self.shared.init(base, self.links.as_ptr(), self.slot_size, self.links.len());
        Pool { shared: &self.shared }
    }
}

/// A packet in a slot of a pool, exclusively owned; dropping it returns the slot.
///
/// It dereferences to the octets of the packet.
pub struct Frame<'p> {
    pool: Pool<'p>,
    base: NonNull<u8>,
    start: u32,
    len: u32,
    slot: u16,
    _owned: PhantomData<&'p [u8]>,
}

// SAFETY: a frame is the only way to its slot, and the pool's free list is atomic.
unsafe impl Send for Frame<'_> {}
// SAFETY: through a shared reference a frame is only read.
unsafe impl Sync for Frame<'_> {}

impl<'p> Frame<'p> {
    /// Octets of the packet.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is no octet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Octets free in front of the packet.
    pub fn headroom(&self) -> usize {
        self.start as usize
    }

    /// Octets free behind the packet.
    pub fn tailroom(&self) -> usize {
        self.pool.slot_size() - self.start as usize - self.len as usize
    }

    /// The pool that the slot returns to.
    pub fn pool(&self) -> Pool<'p> {
        self.pool
    }

    /// Number of the slot in its pool.
    pub fn slot(&self) -> u16 {
        self.slot
    }

    /// Grows the packet by `n` octets at the front and gives them, to be filled; they hold whatever was there.
    ///
    /// `None` without enough headroom; nothing changes then.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn push_front(&mut self, n: usize) -> Option<&mut [u8]> {
        let start = self.headroom().checked_sub(n)?;
        self.start = start as u32;
        self.len += n as u32;
        self.get_mut(..n)
    }

    /// Grows the packet by `n` octets at the end and gives them, to be filled; they hold whatever was there.
    ///
    /// `None` without enough tailroom; nothing changes then.
    pub fn append(&mut self, n: usize) -> Option<&mut [u8]> {
        if n > self.tailroom() {
            return None;
        }
        let old = self.len();
        self.len += n as u32;
        self.get_mut(old..)
    }

    /// Copies `data` to the end. `None` without enough tailroom; nothing changes then.
    pub fn extend(&mut self, data: &[u8]) -> Option<()> {
        self.append(data.len())?.copy_from_slice(data);
        Some(())
    }

    /// Cuts `n` octets (at most all) off the front; they become headroom.
    pub fn trim_front(&mut self, n: usize) {
        let n = n.min(self.len()) as u32;
        self.start += n;
        self.len -= n;
    }

    /// Cuts the end off so that at most `len` octets remain.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len as u32);
    }

    /// Empties the packet and sets the headroom (at most the slot's size).
    pub fn reset(&mut self, headroom: usize) {
        self.start = (headroom as u32).min(self.pool.slot_size() as u32);
        self.len = 0;
    }
}

impl Deref for Frame<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `start + len` never exceeds the slot's size, the slot's memory is initialised (zeroed at the start)
        // and ours alone.
        unsafe { core::slice::from_raw_parts(self.base.as_ptr().add(self.start as usize), self.len as usize) }
    }
}

impl DerefMut for Frame<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; `&mut self` is the only access to the only frame of this slot.
        unsafe { core::slice::from_raw_parts_mut(self.base.as_ptr().add(self.start as usize), self.len as usize) }
    }
}

impl Drop for Frame<'_> {
    #[cfg_attr(target_os = "none", inline(never))]
    fn drop(&mut self) {
        self.pool.shared.put(self.slot);
    }
}

impl fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame(slot {}, {} octets at {})", self.slot, self.len, self.start)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Frame<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Frame(slot {}, {} octets at {})", self.slot, self.len, self.start);
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests;

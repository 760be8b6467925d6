//! A keyed hash table with open addressing.
//!
//! At most half of the table is used, and removing shifts later entries back instead of leaving tombstones: a look-up is
//! O(1) whatever came and went.

use crate::error::Full;
use managed::ManagedSlice;

/// One place of a table's storage: a hash and a value plus one, free if that is zero: a `static` table lies in `.bss`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    hash: u32,
    held: u32,
}

const FREE: u32 = 0;

impl Slot {
    pub const fn new() -> Self {
        Self { hash: 0, held: FREE }
    }
}

/// A table from hashes to values; several values may have one hash.
pub(crate) struct Demux<'a> {
    slots: ManagedSlice<'a, Slot>,
    /// Size less one; the size is a power of two, or zero.
    mask: usize,
    len: usize,
}

impl<'a> Demux<'a> {
    /// Of borrowed slots, the greatest power of two is used, and half of that holds values; owned ones grow.
    pub fn new(slots: ManagedSlice<'a, Slot>) -> Self {
        let size = match slots.len() {
            0 => 0,
            n => 1usize << n.ilog2(),
        };
        Self { slots, mask: size.saturating_sub(1), len: 0 }
    }

    fn size(&self) -> usize {
        if self.slots.is_empty() { 0 } else { self.mask + 1 }
    }

    /// Adds a value below `u32::MAX`.
    pub fn insert(&mut self, hash: u32, value: u32) -> Result<(), Full> {
        if (self.len + 1) * 2 > self.size() {
            self.grow()?;
        }
        self.place(hash, value);
        self.len += 1;
        Ok(())
    }

    fn place(&mut self, hash: u32, value: u32) {
        let mut at = hash as usize & self.mask;
        while let Some(slot) = self.slots.get_mut(at) {
            if slot.held == FREE {
                *slot = Slot { hash, held: value + 1 };
                return;
            }
            at = (at + 1) & self.mask;
        }
    }

    /// The first value of this hash that `is` takes.
    #[inline]
    pub fn find(&self, hash: u32, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = hash as usize;
        while let Some(value) = self.next(hash, &mut at) {
            if is(value) {
                return Some(value);
            }
        }
        None
    }

    /// The next value of this hash from place `at` on, which moves behind it.
    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    fn next(&self, hash: u32, at: &mut usize) -> Option<u32> {
        // Half of the table is free, so that this ends.
        while let Some(slot) = self.slots.get(*at & self.mask) {
            if slot.held == FREE {
                return None;
            }
            *at = (*at & self.mask) + 1;
            if slot.hash == hash {
                return Some(slot.held - 1);
            }
        }
        None
    }

    /// Removes a value; false when it was not there.
    pub fn remove(&mut self, hash: u32, value: u32) -> bool {
        let mut at = hash as usize & self.mask;
        loop {
            match self.slots.get(at) {
                None => return false,
                Some(slot) if slot.held == FREE => return false,
                Some(slot) if slot.hash == hash && slot.held == value + 1 => break,
                Some(_) => at = (at + 1) & self.mask,
            }
        }
        self.len -= 1;
        self.close_gap(at);
        true
    }

    /// Moves what follows back, as far as it may go towards its own place.
    fn close_gap(&mut self, mut gap: usize) {
        let mut at = gap;
        loop {
            at = (at + 1) & self.mask;
            let Some(slot) = self.slots.get(at).copied().filter(|s| s.held != FREE) else { break };
            let home = slot.hash as usize & self.mask;
            // It may move if its home is not in the places after the gap up to where it is.
            if at.wrapping_sub(home) & self.mask >= at.wrapping_sub(gap) & self.mask {
                self.set(gap, slot);
                gap = at;
            }
        }
        self.set(gap, Slot::new());
    }

    fn set(&mut self, at: usize, slot: Slot) {
        if let Some(place) = self.slots.get_mut(at) {
            *place = slot;
        }
    }

    #[cfg(not(feature = "alloc"))]
    fn grow(&mut self) -> Result<(), Full> {
        Err(Full::Table)
    }

    #[cfg(feature = "alloc")]
    fn grow(&mut self) -> Result<(), Full> {
        let size = (self.size() * 2).max(8);
        let ManagedSlice::Owned(slots) = &mut self.slots else { return Err(Full::Table) };
        let old = core::mem::replace(slots, alloc::vec![Slot::new(); size]);
        self.mask = size - 1;
        for slot in old.into_iter().filter(|s| s.held != FREE) {
            self.place(slot.hash, slot.held - 1);
        }
        Ok(())
    }

    #[cfg(all(test, feature = "alloc"))]
    pub fn len(&self) -> usize {
        self.len
    }
}

#[cfg(all(test, feature = "alloc"))]
#[path = "tests.rs"]
mod tests;

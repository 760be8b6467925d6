//! The words of descriptors: memory that a DMA engine reads and writes beside the processor.

use core::sync::atomic::{AtomicU32, Ordering};

/// A word that hardware shares. Accesses are single and whole; the ring puts the barriers around them.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Word(AtomicU32);

impl Word {
    /// A word with this value.
    pub const fn new(value: u32) -> Self {
        Self(AtomicU32::new(value))
    }

    /// Reads the word.
    #[inline]
    pub fn get(&self) -> u32 {
        // Relaxed: `Coherency` orders what is around it, for the DMA engine as well.
        self.0.load(Ordering::Relaxed)
    }

    /// Writes the word.
    #[inline]
    pub fn set(&self, value: u32) {
        // Relaxed: as above.
        self.0.store(value, Ordering::Relaxed);
    }
}

/// A bit by its number, as the manuals name them.
pub(crate) const fn bit(number: u32) -> u32 {
    1 << number
}

/// The lower half of an address, for engines that reach 4 GiB. What a 32-bit processor addresses, they reach.
pub(crate) fn low(address: *const u8) -> u32 {
    // Exposed, since the hardware makes a pointer of it.
    address.expose_provenance() as u32
}

/// The upper half of an address.
pub(crate) fn high(address: *const u8) -> u32 {
    (address.expose_provenance() as u64 >> 32) as u32
}

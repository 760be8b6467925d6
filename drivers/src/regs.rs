//! Registers of a MAC, behind a trait so that the same driver runs on hardware and on a software model; and waiting for
//! them, never without end.

use core::fmt;
use ringtap::time::{Duration, Instant};

/// A block of 32-bit registers.
///
/// The methods take `&self` because hardware changes registers by itself, and an interrupt handler may have a handle to
/// the same block.
pub trait Registers {
    /// Reads the register `offset` octets after the block's beginning.
    fn read(&self, offset: u16) -> u32;

    /// Writes the register `offset` octets after the block's beginning.
    fn write(&self, offset: u16, value: u32);

    /// Writes what `change` makes of the register's value. Not atomic: for registers that no interrupt handler writes.
    fn modify(&self, offset: u16, change: impl FnOnce(u32) -> u32) {
        self.write(offset, change(self.read(offset)));
    }
}

impl<R: Registers> Registers for &R {
    fn read(&self, offset: u16) -> u32 {
        (**self).read(offset)
    }

    fn write(&self, offset: u16, value: u32) {
        (**self).write(offset, value);
    }
}

/// Registers in memory, where hardware has them.
#[derive(Clone, Copy, Debug)]
pub struct Mmio {
    base: *mut u32,
}

// SAFETY: the registers belong to the machine, not to a thread; accesses are single loads and stores.
unsafe impl Send for Mmio {}
// SAFETY: as above.
unsafe impl Sync for Mmio {}

impl Mmio {
    /// The block at `base`, a multiple of 4.
    ///
    /// # Safety
    /// At `base` lie the registers of the device whose driver they are given to, mapped as device memory, up to the last
    /// that this driver names; and nobody else uses them but as that driver says.
    pub const unsafe fn new(base: usize) -> Self {
        Self { base: core::ptr::without_provenance_mut::<u32>(base) }
    }
}

impl Registers for Mmio {
    #[inline]
    fn read(&self, offset: u16) -> u32 {
        // SAFETY: a register of the block, as `new` was promised; volatile, because reading may have effects.
        unsafe { self.base.byte_add(usize::from(offset)).read_volatile() }
    }

    #[inline]
    fn write(&self, offset: u16, value: u32) {
        // SAFETY: as above.
        unsafe { self.base.byte_add(usize::from(offset)).write_volatile(value) }
    }
}

/// Hardware did not do in time what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout;

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the hardware did not react in time")
    }
}

impl core::error::Error for Timeout {}

/// The caller's clock.
pub type Clock<'c> = &'c mut dyn FnMut() -> Instant;

/// How often [`wait`] looks at most, should the clock stand still: some seconds on a fast core.
const LOOKS: u32 = 100_000_000;

/// Looks until `is_done`, at most for as long as `limit` on the caller's clock.
///
/// # Errors
/// [`Timeout`] when it was never so.
pub fn wait(clock: Clock<'_>, limit: Duration, mut is_done: impl FnMut() -> bool) -> Result<(), Timeout> {
    let start = clock();
    let mut looks = 0;
    while !is_done() {
        looks += 1;
        if clock().since(start) > limit || looks == LOOKS {
            return Err(Timeout);
        }
    }
    Ok(())
}

/// Looks until `is_done`, at most so many times: for what takes hardware microseconds, where there is no clock at hand.
///
/// # Errors
/// [`Timeout`] when it was never so.
pub fn look(times: u32, mut is_done: impl FnMut() -> bool) -> Result<(), Timeout> {
    if (0..times).any(|_| is_done()) { Ok(()) } else { Err(Timeout) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;

    #[test]
    fn memory_is_read_and_written_by_offset() {
        let mut memory = [1, 2, 3u32];
        let block = Mmio { base: memory.as_mut_ptr() };
        assert_eq!((block.read(0), block.read(8)), (1, 3));
        block.write(4, 7);
        block.modify(8, |old| old | 8);
        assert_eq!((block.read(4), block.read(8)), (7, 11));
    }

    #[test]
    fn a_wait_ends_when_it_is_done_and_when_the_time_is_over() {
        let time = Cell::new(0);
        let mut clock = || {
            time.set(time.get() + 10);
            Instant::from_micros(time.get())
        };
        assert_eq!(wait(&mut clock, Duration::from_micros(100), || true), Ok(()));
        let mut looks = 0;
        let done = wait(&mut clock, Duration::from_micros(100), || {
            looks += 1;
            looks == 5
        });
        assert_eq!((done, looks), (Ok(()), 5));
        let before = time.get();
        assert_eq!(wait(&mut clock, Duration::from_micros(100), || false), Err(Timeout));
        assert!((100..150).contains(&(time.get() - before)));
    }

    #[test]
    fn looks_are_counted() {
        let mut looks = 0;
        assert_eq!(
            look(7, || {
                looks += 1;
                false
            }),
            Err(Timeout)
        );
        assert_eq!(looks, 7);
        assert_eq!(look(1, || true), Ok(()));
        assert_eq!(look(0, || true), Err(Timeout));
    }
}

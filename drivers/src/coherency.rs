//! What it takes until the processor and the DMA engine see the same memory: barriers, and care of the data cache.

use crate::regs::Registers;
use core::sync::atomic::{Ordering, fence};

/// How frames and descriptors become visible to the DMA engine, and what it wrote to the processor.
///
/// A ring calls these; they are code, not configuration. The descriptors themselves must lie in memory that the data
/// cache does not hold ([`mpu`](crate::mpu), a tightly coupled memory that DMA reaches): several of
/// them share a cache line, and writing back ours would overwrite what the hardware wrote into its neighbour. Frames may
/// lie in cached memory.
///
/// # Contract
/// A range given to [`clean`](Self::clean) or [`invalidate`](Self::invalidate) is widened to whole lines of
/// [`LINE`](Self::LINE) octets. The ring has checked that all lines of a slot belong to that slot alone.
pub trait Coherency {
    /// Octets of a cache line: a power of two; 1 where nothing is cached.
    const LINE: usize;

    /// Writes to memory what the cache holds of the range, before the DMA engine reads it.
    fn clean(&self, start: *const u8, len: usize);

    /// Forgets what the cache holds of the range, without writing it back.
    ///
    /// Called before the DMA engine may write the range, or else a line that is still dirty could be written back over
    /// the packet; and again before the processor reads what came, or else a line that was fetched ahead would be read
    /// in place of the packet.
    fn invalidate(&self, start: *mut u8, len: usize);

    /// Orders all writes before this call before the store that hands a descriptor to the hardware.
    #[inline]
    fn before_give(&self) {
        before_give();
    }

    /// Orders the load that found a descriptor to be ours before all reads after this call.
    #[inline]
    fn after_take(&self) {
        after_take();
    }

    /// Orders all writes before this call before the store to a register that tells the hardware to look.
    #[inline]
    fn before_doorbell(&self) {
        before_doorbell();
    }
}

/// Memory that processor and DMA engine always see alike: no data cache (Cortex-M0 to M4, M33), a region that is not
/// cached, or hardware that keeps them coherent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Coherent;

impl Coherency for Coherent {
    const LINE: usize = 1;

    #[inline]
    fn clean(&self, _: *const u8, _: usize) {}

    #[inline]
    fn invalidate(&self, _: *mut u8, _: usize) {}
}

/// A Cortex-M7 whose data cache holds the frames, be it switched on or not.
///
/// Its registers are those of cache maintenance, from ICIALLU at 0xE000_EF50 on (ARMv7-M Architecture Reference Manual
/// B3.2.15; Cortex-M7 Technical Reference Manual 3.3). Pools with slots of whole lines of 32 octets are what
/// [`PoolMemory`](ringtap::frame::PoolMemory) has.
///
/// ```no_run
/// use ringtap_drivers::coherency::CortexM7;
/// use ringtap_drivers::regs::Mmio;
/// // SAFETY: the registers lie there on every Cortex-M7, and maintenance by address harms nobody.
/// let coherency = CortexM7::new(unsafe { Mmio::new(CortexM7::<Mmio>::BASE) });
/// ```
#[derive(Clone, Copy, Debug)]
pub struct CortexM7<R>(R);

impl<R: Registers> CortexM7<R> {
    /// Where the registers lie.
    pub const BASE: usize = 0xe000_ef50;

    /// Maintenance by these registers.
    pub const fn new(registers: R) -> Self {
        Self(registers)
    }

    /// Writes the address of each line that the range touches to a register.
    fn each_line(&self, register: u16, start: *const u8, len: usize) {
        if len == 0 {
            return;
        }
        // Writes by the processor before this are in the cache before it is maintained.
        before_doorbell();
        let first = start.addr() & !(Self::LINE - 1);
        for line in (first..start.addr() + len).step_by(Self::LINE) {
            self.0.write(register, line as u32);
        }
        // And the maintenance is complete before the DMA engine, or a read by the processor, comes.
        before_doorbell();
    }
}

/// Invalidate, and clean, the line at an address, to the point of coherency: DCIMVAC and DCCMVAC, behind ICIALLU.
const DCIMVAC: u16 = 0x0c;
const DCCMVAC: u16 = 0x18;

impl<R: Registers> Coherency for CortexM7<R> {
    const LINE: usize = 32;

    fn clean(&self, start: *const u8, len: usize) {
        self.each_line(DCCMVAC, start, len);
    }

    fn invalidate(&self, start: *mut u8, len: usize) {
        self.each_line(DCIMVAC, start, len);
    }
}

// A fence orders against other processors. On Arm, DMA engines may be outside of the domain that it covers (`dmb ish`
// on the A profile), hence the instruction itself; on the M profile, `fence` is that very instruction.

/// Release, for a DMA engine.
#[inline]
fn before_give() {
    fence(Ordering::Release);
    #[cfg(target_arch = "aarch64")]
    arm::dmb();
}

/// Acquire, for a DMA engine.
#[inline]
fn after_take() {
    #[cfg(target_arch = "aarch64")]
    arm::dmb();
    fence(Ordering::Acquire);
}

/// Memory before device registers.
#[inline]
fn before_doorbell() {
    fence(Ordering::SeqCst);
    #[cfg(any(target_arch = "arm", target_arch = "aarch64"))]
    arm::dsb();
    #[cfg(any(target_arch = "riscv32", target_arch = "riscv64"))]
    // SAFETY: a fence touches neither registers nor memory.
    unsafe {
        core::arch::asm!("fence w, o", options(nostack, preserves_flags));
    }
}

#[cfg(any(target_arch = "arm", target_arch = "aarch64"))]
mod arm {
    use core::arch::asm;

    /// Orders memory accesses for every observer in the system.
    #[cfg(target_arch = "aarch64")]
    #[inline]
    pub fn dmb() {
        // SAFETY: a barrier touches neither registers nor memory.
        unsafe { asm!("dmb sy", options(nostack, preserves_flags)) }
    }

    /// Waits until all memory accesses before it are complete, for every observer in the system.
    #[inline]
    pub fn dsb() {
        // SAFETY: a barrier touches neither registers nor memory.
        unsafe { asm!("dsb sy", options(nostack, preserves_flags)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::RefCell;
    use core::ptr::without_provenance_mut;

    /// What was written, to which register.
    struct Recorder(RefCell<heapless::Vec<(u16, u32), 8>>);

    impl Registers for Recorder {
        fn read(&self, _: u16) -> u32 {
            0
        }

        fn write(&self, offset: u16, value: u32) {
            self.0.borrow_mut().push((offset, value)).expect("few lines");
        }
    }

    #[test]
    fn a_cortex_m7_maintains_each_line_that_a_range_touches_and_no_other() {
        for (start, len, lines) in [
            (0x2002_0000, 0, &[][..]),
            (0x2002_0000, 1, &[0x2002_0000]),
            (0x2002_0000, 32, &[0x2002_0000]),
            (0x2002_0000, 33, &[0x2002_0000, 0x2002_0020]),
            (0x2002_001f, 2, &[0x2002_0000, 0x2002_0020]),
            (0x2002_0044, 60, &[0x2002_0040, 0x2002_0060]),
        ] {
            let cache = CortexM7::new(Recorder(RefCell::default()));
            cache.clean(without_provenance_mut(start), len);
            cache.invalidate(without_provenance_mut(start), len);
            // ARMv7-M: DCCMVAC is at 0xE000_EF68, DCIMVAC at 0xE000_EF5C.
            let at = |register: usize| (register - CortexM7::<Recorder>::BASE) as u16;
            let of = |register| lines.iter().map(move |line| (at(register), *line));
            let expected = of(0xe000_ef68).chain(of(0xe000_ef5c));
            assert!(cache.0.0.borrow().iter().copied().eq(expected), "{len} octets at {start:#x}");
        }
    }
}

//! What it takes until the processor and the DMA engine see the same memory: barriers, and care of the data cache.

use core::sync::atomic::{Ordering, fence};

/// How frames and descriptors become visible to the DMA engine, and what it wrote to the processor.
///
/// A ring calls these; they are code, not configuration. The descriptors themselves must lie in memory that the data
/// cache does not hold (a region that the MPU marks non-cacheable, a tightly coupled memory that DMA reaches): several of
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

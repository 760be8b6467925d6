//! Cortex-A of 32 bits: Arm Architecture Reference Manual, ARMv7-A.

use super::fault;
use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicUsize, Ordering};
use ringtap_drivers::regs::{Mmio, Registers as _};

// Interrupts stay masked; the vectors' base is VBAR (B4.1.156). All exceptions share a stack: none returns.
global_asm!(
    ".section .text.start, \"ax\"",
    ".arm",
    ".global _start",
    "_start:",
    "    cpsid aif",
    "    ldr   sp, =__stack_top",
    "    ldr   r0, =1f",
    "    mcr   p15, 0, r0, c12, c0, 0",
    "    ldr   r0, =__bss_start",
    "    ldr   r1, =__bss_end",
    "    mov   r2, #0",
    "0:  cmp   r0, r1",
    "    strlo r2, [r0], #4",
    "    blo   0b",
    "    bl    ringtap_main",
    ".balign 32",
    "1:  b     2f",
    "    b     2f",
    "    b     2f",
    "    b     2f",
    "    b     2f",
    "    b     2f",
    "    b     2f",
    // The mode that was entered tells undefined (0x1b) from abort (0x17); the address is 4 or 8 behind the instruction.
    "2:  ldr   sp, =__stack_top",
    "    mov   r0, lr",
    "    mrs   r1, cpsr",
    "    and   r1, r1, #31",
    "    bl    {fault}",
    ".ltorg",
    fault = sym fault,
);

/// Where the Cortex-A9's private region has its global timer; 0: the processor has the generic timer.
static GLOBAL_TIMER: AtomicUsize = AtomicUsize::new(0);

/// What QEMU runs the Cortex-A9's timers with.
const GLOBAL_TIMER_HZ: u64 = 100_000_000;

/// Offsets in the global timer (Cortex-A9 MPCore manual, 4.4).
const LOWER: u16 = 0x0;
const UPPER: u16 = 0x4;
const CONTROL: u16 = 0x8;

/// Takes the time from a Cortex-A9's global timer, and starts it.
///
/// # Safety
/// `base` is PERIPHBASE + 0x200 of a Cortex-A9 MPCore, and nobody else uses its timer.
pub unsafe fn use_global_timer(base: usize) {
    // SAFETY: as the caller promises.
    let timer = unsafe { Mmio::new(base) };
    timer.write(CONTROL, 1);
    GLOBAL_TIMER.store(base, Ordering::Relaxed);
}

/// The timer's count, and its ticks per second.
pub fn ticks() -> (u64, u64) {
    match GLOBAL_TIMER.load(Ordering::Relaxed) {
        0 => generic_timer(),
        base => {
            // SAFETY: `use_global_timer` was promised that there is a timer.
            let timer = unsafe { Mmio::new(base) };
            loop {
                let upper = timer.read(UPPER);
                let lower = timer.read(LOWER);
                // The upper half changes once in 43 s.
                if timer.read(UPPER) == upper {
                    return (u64::from(upper) << 32 | u64::from(lower), GLOBAL_TIMER_HZ);
                }
            }
        }
    }
}

/// CNTVCT and CNTFRQ (B8.1).
fn generic_timer() -> (u64, u64) {
    let (lower, upper, hz): (u32, u32, u32);
    // SAFETY: reads of counters; every processor of these boards without a global timer has them.
    unsafe {
        asm!("mrrc p15, 1, {}, {}, c14", out(reg) lower, out(reg) upper, options(nomem, nostack));
        asm!("mrc p15, 0, {}, c14, c0, 0", out(reg) hz, options(nomem, nostack));
    }
    (u64::from(upper) << 32 | u64::from(lower), hz.into())
}

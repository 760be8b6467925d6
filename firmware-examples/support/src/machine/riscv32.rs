//! RISC-V of 32 bits, in machine mode.

use super::fault;
use core::arch::global_asm;
use core::sync::atomic::{AtomicUsize, Ordering};
use ringtap_drivers::regs::{Mmio, Registers as _};

// `mtvec` in direct mode: all traps come to one place (Privileged Architecture 3.1.7). `mie` is zero after a reset.
global_asm!(
    ".section .text.start, \"ax\"",
    ".global _start",
    "_start:",
    "    csrw  mie, zero",
    "    la    sp, __stack_top",
    "    la    t0, 1f",
    "    csrw  mtvec, t0",
    "    la    t0, __bss_start",
    "    la    t1, __bss_end",
    "0:  bgeu  t0, t1, 2f",
    "    sw    zero, 0(t0)",
    "    addi  t0, t0, 4",
    "    j     0b",
    "2:  call  ringtap_main",
    ".balign 4",
    "1:  la    sp, __stack_top",
    "    csrr  a0, mepc",
    "    csrr  a1, mcause",
    "    call  {fault}",
    fault = sym fault,
);

/// Where the machine's timer is; 0: not told yet.
static MTIME: AtomicUsize = AtomicUsize::new(0);
/// Its ticks per second.
static HZ: AtomicUsize = AtomicUsize::new(0);

/// Takes the time from the machine's timer.
///
/// # Safety
/// At `base` is the `mtime` register (Privileged Architecture 3.2.1).
pub unsafe fn use_mtime(base: usize, hz: usize) {
    HZ.store(hz, Ordering::Relaxed);
    MTIME.store(base, Ordering::Relaxed);
}

/// The timer's count, and its ticks per second.
pub fn ticks() -> (u64, u64) {
    let base = MTIME.load(Ordering::Relaxed);
    if base == 0 {
        return (0, 0);
    }
    // SAFETY: `use_mtime` was promised that there is a timer.
    let timer = unsafe { Mmio::new(base) };
    loop {
        let upper = timer.read(4);
        let lower = timer.read(0);
        if timer.read(4) == upper {
            return (u64::from(upper) << 32 | u64::from(lower), HZ.load(Ordering::Relaxed) as u64);
        }
    }
}

//! Cortex-A of 64 bits, at the exception level that it leaves its reset in: EL3, or EL1 where the machine has no more.

use super::fault;
use core::arch::{asm, global_asm};

// The vectors are 16 places of 128 octets; all come to the same, and none returns. CPTR_EL3 and CPACR_EL1 let the FPU be
// used, since the compiler uses its registers for copies. CurrentEL has the level in bits 3:2.
global_asm!(
    ".section .text.start, \"ax\"",
    ".global _start",
    "_start:",
    "    msr   daifset, #15",
    "    adrp  x0, __stack_top",
    "    add   x0, x0, :lo12:__stack_top",
    "    mov   sp, x0",
    "    adr   x0, 1f",
    "    mov   x1, #3 << 20",
    "    mrs   x2, currentel",
    "    cmp   x2, #3 << 2",
    "    b.ne  4f",
    "    msr   vbar_el3, x0",
    "    msr   cptr_el3, xzr",
    "    b     5f",
    "4:  msr   vbar_el1, x0",
    "5:  msr   cpacr_el1, x1",
    "    isb",
    "    adrp  x0, __bss_start",
    "    add   x0, x0, :lo12:__bss_start",
    "    adrp  x1, __bss_end",
    "    add   x1, x1, :lo12:__bss_end",
    "0:  cmp   x0, x1",
    "    b.hs  3f",
    "    str   xzr, [x0], #8",
    "    b     0b",
    "3:  bl    ringtap_main",
    ".balign 2048",
    "1:",
    ".rept 16",
    ".balign 128",
    "    b     2f",
    ".endr",
    ".balign 128",
    "2:  mrs   x2, currentel",
    "    cmp   x2, #3 << 2",
    "    b.ne  6f",
    "    mrs   x0, elr_el3",
    "    mrs   x1, esr_el3",
    "    b     7f",
    "6:  mrs   x0, elr_el1",
    "    mrs   x1, esr_el1",
    "7:  bl    {fault}",
    fault = sym fault,
);

/// CNTVCT_EL0 and CNTFRQ_EL0.
pub fn ticks() -> (u64, u64) {
    let (ticks, hz);
    // SAFETY: reads of counters that every AArch64 processor has.
    unsafe {
        asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack));
        asm!("mrs {}, cntfrq_el0", out(reg) hz, options(nomem, nostack));
    }
    (ticks, hz)
}

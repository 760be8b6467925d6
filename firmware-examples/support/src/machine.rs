//! Boards whose processors have no run-time crate of their own here: Cortex-A (32 and 64 bits) and RISC-V. Start-up, time,
//! and what a fault comes to.
//!
//! They are polled: no interrupt is ever let through, and caches and MMU stay off, as the machine leaves its reset. The
//! program is a single one on a single core.
//!
//! ```text
//!   _start (arm.rs, aarch64.rs, riscv32.rs): stack, vectors, .bss ─▶ ringtap_main, from the board's entry!
//! ```

#[cfg(target_arch = "aarch64")]
#[path = "machine/aarch64.rs"]
mod arch;
#[cfg(target_arch = "arm")]
#[path = "machine/arm.rs"]
mod arch;
#[cfg(target_arch = "riscv32")]
#[path = "machine/riscv32.rs"]
mod arch;

#[cfg(target_arch = "arm")]
pub use arch::use_global_timer;
#[cfg(target_arch = "riscv32")]
pub use arch::use_mtime;

use ringtap::time::Instant;

/// Makes `$main`, which takes the board and never returns, what the processor begins with. A board has this as its `entry!`.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        #[unsafe(no_mangle)]
        extern "C" fn ringtap_main() -> ! {
            $main(<::board::Board as $crate::Board>::start())
        }
    };
}

/// The exit code after a processor fault.
const FAULTED: i32 = 102;

/// The time since the machine's timer began to count.
pub fn now() -> Instant {
    let (ticks, hz) = arch::ticks();
    if hz == 0 {
        return Instant::ZERO;
    }
    // Apart, so that the product does not overflow after a few days.
    let (seconds, rest) = (ticks / hz, ticks % hz);
    Instant::from_micros(seconds * 1_000_000 + rest * 1_000_000 / hz)
}

/// Nothing to do: a moment later the device is looked at again.
pub fn idle() {
    core::hint::spin_loop();
}

/// What the vectors come to: where it happened, and what the processor says of it.
extern "C" fn fault(at: usize, cause: usize) -> ! {
    defmt::error!("a fault at {=usize:#x}, cause {=usize:#x}", at, cause);
    crate::exit(FAULTED)
}

/// With interrupts never let through, nothing interrupts a critical section.
struct Polled;

critical_section::set_impl!(Polled);

// SAFETY: there is one core, and `_start` leaves interrupts masked for good.
unsafe impl critical_section::Impl for Polled {
    unsafe fn acquire() -> critical_section::RawRestoreState {}

    unsafe fn release(_: critical_section::RawRestoreState) {}
}

defmt::timestamp!("{=u64:us}", now().as_micros());

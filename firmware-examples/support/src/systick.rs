//! Time since the start, from SysTick.

use core::cell::Cell;
use core::sync::atomic::{AtomicU32, Ordering};
use cortex_m::interrupt::{self, Mutex};
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::peripheral::{SCB, SYST};
use cortex_m_rt::exception;
use ringtap::time::Instant;

/// Interrupts per second: how finely [`idle`] can end by itself.
const HZ: u32 = 1000;

/// Times that the counter has wrapped.
static WRAPS: Mutex<Cell<u64>> = Mutex::new(Cell::new(0));

/// Frequency that the counter runs at.
static COUNTER_HZ: AtomicU32 = AtomicU32::new(0);

/// Starts counting from zero on the core's clock, with an interrupt every millisecond.
pub fn start(syst: SYST, core_hz: u32) {
    start_on(syst, SystClkSource::Core, core_hz);
}

/// As [`start`], on the reference that the chip's maker has chosen: it does not follow the core's clock.
pub fn start_on_reference(syst: SYST, reference_hz: u32) {
    start_on(syst, SystClkSource::External, reference_hz);
}

fn start_on(mut syst: SYST, source: SystClkSource, hz: u32) {
    COUNTER_HZ.store(hz, Ordering::Relaxed);
    syst.set_clock_source(source);
    syst.set_reload(hz / HZ - 1);
    syst.clear_current();
    syst.enable_interrupt();
    syst.enable_counter();
}

/// The time; zero before [`start`].
pub fn now() -> Instant {
    let hz = COUNTER_HZ.load(Ordering::Relaxed);
    if hz < HZ {
        return Instant::ZERO;
    }
    let per_wrap = hz / HZ;
    let (wraps, left) = interrupt::free(|cs| {
        let before = SYST::get_current();
        // The counter may have wrapped while its exception waits: reading on would go back in time.
        let wrapped = SCB::is_pendst_pending();
        let left = if wrapped { SYST::get_current() } else { before };
        (WRAPS.borrow(cs).get() + u64::from(wrapped), left)
    });
    // Less than a wrap, so that 32 bits do for counters below 4 GHz: a division of 64 would be slow, and large in flash.
    let into = per_wrap - 1 - left.min(per_wrap - 1);
    Instant::from_micros(wraps * u64::from(1_000_000 / HZ) + u64::from(into * (1_000_000 / HZ) / per_wrap))
}

/// Sleeps until `is_awake` says so or `next` has come. An interrupt that makes `is_awake` true is not slept through,
/// whenever it comes.
pub fn idle(next: Option<Instant>, is_awake: impl Fn() -> bool) {
    while !is_awake() && next.is_none_or(|next| now() < next) {
        // With interrupts off, one that comes between the look and the instruction still ends the sleep.
        interrupt::free(|_| {
            if !is_awake() {
                cortex_m::asm::wfi();
            }
        });
    }
}

#[exception]
fn SysTick() {
    interrupt::free(|cs| {
        let wraps = WRAPS.borrow(cs);
        wraps.set(wraps.get() + 1);
    });
}

defmt::timestamp!("{=u64:us}", now().as_micros());

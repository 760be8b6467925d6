//! Time since the start, from SysTick.

use core::cell::Cell;
use cortex_m::interrupt::{self, Mutex};
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::peripheral::{SCB, SYST};
use cortex_m_rt::exception;
use ringtap::time::Instant;

/// Times that the counter has wrapped.
static WRAPS: Mutex<Cell<u64>> = Mutex::new(Cell::new(0));

/// SysTick, running.
pub struct Clock {
    syst: SYST,
    ticks_per_wrap: u64,
    ticks_per_second: u64,
}

impl Clock {
    /// Starts counting from zero on the core's clock, with an interrupt every 10 ms.
    pub fn start(mut syst: SYST, core_hz: u32) -> Self {
        let reload = core_hz / 100;
        syst.set_clock_source(SystClkSource::Core);
        syst.set_reload(reload - 1);
        syst.clear_current();
        syst.enable_interrupt();
        syst.enable_counter();
        Self { syst, ticks_per_wrap: reload.into(), ticks_per_second: core_hz.into() }
    }

    /// The time.
    pub fn now(&self) -> Instant {
        let ticks = interrupt::free(|cs| {
            let before = self.syst.cvr.read();
            // The counter may have wrapped while its exception waits: reading on would go back in time.
            let wrapped = SCB::is_pendst_pending();
            let left = if wrapped { self.syst.cvr.read() } else { before };
            let wraps = WRAPS.borrow(cs).get() + u64::from(wrapped);
            wraps * self.ticks_per_wrap + (self.ticks_per_wrap - 1 - u64::from(left))
        });
        Instant::from_micros(ticks * 1_000_000 / self.ticks_per_second)
    }
}

#[exception]
fn SysTick() {
    interrupt::free(|cs| {
        let wraps = WRAPS.borrow(cs);
        wraps.set(wraps.get() + 1);
    });
}

//! The board mps2-an385: Arm MPS2 with the AN385 image (Cortex-M3) and its LAN9118, as QEMU models it.
#![no_std]

pub use cortex_m_rt as rt;
pub use firmware;

use cortex_m::peripheral::NVIC;
use firmware::systick;
use ringtap::frame::PoolMemory;
use ringtap::time::Instant;
use ringtap_drivers::interrupt::Attention;
use ringtap_drivers::lan9118::{Lan9118, Wiring, on_interrupt};
use ringtap_drivers::regs::Mmio;

/// QEMU's mps2-an385 runs its core at 25 MHz.
const CORE_HZ: u32 = 25_000_000;

/// The LAN9118's interrupt.
const ETHERNET: Interrupt = Interrupt(13);

/// The chip's pin drives the line, high when it wants something.
const WIRING: Wiring = Wiring { active_high: true, push_pull: true };

// SAFETY: the LAN9118's registers lie here (QEMU's hw/arm/mps2.c), and only this board's driver and interrupt handler,
// which are made for each other, have them.
static REGISTERS: Mmio = unsafe { Mmio::new(0x4020_0000) };
static ATTENTION: Attention = Attention::new();
static FRAMES: PoolMemory<1536, 8> = PoolMemory::new();

/// Makes `$main`, which takes the [`Board`] and never returns, what the processor begins with.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        #[$crate::rt::entry]
        fn start() -> ! {
            $main(<$crate::Board as $crate::firmware::Board>::start())
        }
    };
}

/// An interrupt's number.
#[derive(Clone, Copy)]
struct Interrupt(u16);

// SAFETY: a number below 240, and always the same.
unsafe impl cortex_m::interrupt::InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self.0
    }
}

/// The board, started.
pub struct Board(());

impl firmware::Board for Board {
    const NAME: &'static str = "mps2-an385";

    type Device = Lan9118<'static, Mmio>;

    fn start() -> Self {
        let core = cortex_m::Peripherals::take().expect("called once");
        systick::start(core.SYST, CORE_HZ);
        Self(())
    }

    fn device(&mut self) -> Result<Self::Device, &'static str> {
        // The address is that of the chip's EEPROM: QEMU takes it from its command line.
        let device = Lan9118::new(REGISTERS, &ATTENTION, FRAMES.pool(), None, WIRING, &mut systick::now);
        let device = device.map_err(|e| e.text())?;
        // SAFETY: the handler and all that it uses are in place.
        unsafe { NVIC::unmask(ETHERNET) };
        Ok(device)
    }

    fn now(&self) -> Instant {
        systick::now()
    }

    fn idle(&mut self, next: Option<Instant>) {
        systick::idle(next, || ATTENTION.is_raised());
    }
}

/// All interrupts that have no handler of their own.
#[rt::exception]
unsafe fn DefaultHandler(number: i16) {
    if number == ETHERNET.0 as i16 {
        on_interrupt(&REGISTERS, &ATTENTION);
    } else {
        panic!("an interrupt that nobody has asked for");
    }
}

//! The board mps2-an386: Arm MPS2 with the AN386 image (Cortex-M4F) and its LAN9118, as QEMU models it.
#![no_std]

pub use firmware::entry;

use firmware::cortex::{self, Interrupt};
use firmware::systick;
use ringtap::frame::PoolMemory;
use ringtap::time::Instant;
use ringtap_drivers::interrupt::Attention;
use ringtap_drivers::lan9118::{Lan9118, Wiring, on_interrupt};
use ringtap_drivers::regs::Mmio;

/// QEMU's mps2-an386 runs its core at 25 MHz.
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

/// The board, started.
pub struct Board(());

impl firmware::Board for Board {
    const NAME: &'static str = "mps2-an386";

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
        unsafe { cortex::unmask(ETHERNET) };
        Ok(device)
    }

    fn now(&self) -> Instant {
        systick::now()
    }

    fn idle(&mut self, next: Option<Instant>) {
        systick::idle(next, || ATTENTION.is_raised());
    }
}

firmware::on_interrupt!(ETHERNET, on_interrupt(&REGISTERS, &ATTENTION));

//! The board lm3s6965evb: a Stellaris LM3S6965 (Cortex-M3, 256 KiB of flash, 64 KiB of RAM) with its Ethernet
//! controller, as QEMU models it: without a PHY, and out of reset on its 12 MHz crystal.
#![no_std]

pub use firmware::entry;

use firmware::cortex::{self, Interrupt};
use firmware::systick;
use ringtap::device::Mac;
use ringtap::frame::PoolMemory;
use ringtap::time::Instant;
use ringtap_drivers::interrupt::Attention;
use ringtap_drivers::regs::Mmio;
use ringtap_drivers::stellaris::{PhyUse, Stellaris, on_interrupt};

/// The core's clock after reset, as QEMU has it.
const CORE_HZ: u32 = 12_000_000;

/// The Ethernet controller's interrupt.
const ETHERNET: Interrupt = Interrupt(42);

/// Locally administered: the board's own lies in registers that are empty until they are programmed.
const MAC: Mac = Mac([0x02, b'r', 0x65, 0, 0, 1]);

// SAFETY: the Ethernet controller's registers lie here (LM3S6965 data sheet, chapter 3), and only this board's driver and
// interrupt handler, which are made for each other, have them.
static REGISTERS: Mmio = unsafe { Mmio::new(0x4004_8000) };
static ATTENTION: Attention = Attention::new();
static FRAMES: PoolMemory<1536, 6> = PoolMemory::new();

/// The board, started.
pub struct Board(());

impl firmware::Board for Board {
    const NAME: &'static str = "lm3s6965evb";

    type Device = Stellaris<'static, Mmio>;

    fn start() -> Self {
        let core = cortex_m::Peripherals::take().expect("called once");
        systick::start(core.SYST, CORE_HZ);
        Self(())
    }

    fn device(&mut self) -> Result<Self::Device, &'static str> {
        let clock = &mut systick::now;
        let device = Stellaris::new(REGISTERS, &ATTENTION, FRAMES.pool(), MAC, PhyUse::None, CORE_HZ, clock);
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

/// The chip's interrupts (data sheet, table 2-9): no more vectors than these lie in flash.
mod vectors {
    unsafe extern "C" {
        fn DefaultHandler();
    }

    // SAFETY: cortex-m-rt's linker script puts this section behind the exceptions' vectors, for which it has this form; the
    // handler reads the interrupt's number from a register.
    #[unsafe(link_section = ".vector_table.interrupts")]
    // SAFETY: cortex-m-rt, with its feature `device`, expects the table under this name from here and nowhere else.
    #[unsafe(no_mangle)]
    pub static __INTERRUPTS: [unsafe extern "C" fn(); 44] = [DefaultHandler; 44];
}

firmware::on_interrupt!(ETHERNET, on_interrupt(&REGISTERS, &ATTENTION));

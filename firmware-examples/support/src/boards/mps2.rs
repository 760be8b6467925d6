//! What the images of Arm's MPS2 board have in common, as QEMU models them: the clock, and a LAN9118.

use crate::cortex::{self, Interrupt};
use crate::systick;
use core::marker::PhantomData;
use ringtap::frame::PoolMemory;
use ringtap::time::Instant;
use ringtap_drivers::interrupt::Attention;
use ringtap_drivers::lan9118::{Lan9118, Wiring, on_interrupt};
use ringtap_drivers::regs::Mmio;

/// QEMU runs the cores at 25 MHz.
const CORE_HZ: u32 = 25_000_000;

/// The LAN9118's interrupt.
pub const ETHERNET: Interrupt = Interrupt(13);

/// The chip's pin drives the line, high when it wants something.
const WIRING: Wiring = Wiring { active_high: true, push_pull: true };

static ATTENTION: Attention = Attention::new();
static FRAMES: PoolMemory<1536, 8> = PoolMemory::new();

/// What is different from image to image.
pub trait Image {
    /// The board's name: that of its folder.
    const NAME: &'static str;

    /// Where the LAN9118's registers lie (QEMU's hw/arm/mps2.c).
    const LAN9118: usize;

    /// What is to be done before the caches are switched on; whether there are some.
    fn map() -> bool {
        false
    }
}

/// The board with an image, started.
pub struct Board<I>(PhantomData<I>);

impl<I: Image> crate::Board for Board<I> {
    const NAME: &'static str = I::NAME;

    type Device = Lan9118<'static, Mmio>;

    fn start() -> Self {
        let mut core = cortex_m::Peripherals::take().expect("called once");
        if I::map() {
            core.SCB.enable_icache();
            core.SCB.enable_dcache(&mut core.CPUID);
        }
        systick::start(core.SYST, CORE_HZ);
        Self(PhantomData)
    }

    fn device(&mut self) -> Result<Self::Device, &'static str> {
        // The address is that of the chip's EEPROM: QEMU takes it from its command line.
        let device = Lan9118::new(registers::<I>(), &ATTENTION, FRAMES.pool(), None, WIRING, &mut systick::now);
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

/// What the interrupt [`ETHERNET`] is handled by.
pub fn handle<I: Image>() {
    on_interrupt(&registers::<I>(), &ATTENTION);
}

/// A handle to the LAN9118: the driver's, and another in the interrupt handler.
fn registers<I: Image>() -> Mmio {
    // SAFETY: the registers lie there; the driver and the handler are made for each other.
    unsafe { Mmio::new(I::LAN9118) }
}

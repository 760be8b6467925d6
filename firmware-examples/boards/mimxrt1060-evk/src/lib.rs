//! The board mimxrt1060-evk: NXP's MIMXRT1060-EVK, an i.MX RT1062 (Cortex-M7) with a KSZ8081RNB on RMII. Interrupt-driven; not
//! tried on hardware (see README.md).
#![no_std]

pub use firmware::entry;

use firmware::boards::rt1060::{self, Gpio, Pin, UP, Wiring};
use imxrt_rt as _;
// What the boot ROM reads first: how the flash is spoken to.
use imxrt1060evk_fcb as _;
use ringtap::device::Mac;
use ringtap_drivers::enet::Enet;
use ringtap_drivers::engine::Engine as _;
use ringtap_drivers::regs::{Mmio, Timeout};

/// The pins of GPIO1 that lead to the PHY: reset, which acts when low, and its interrupt, which must be high at the end of the
/// reset: low would choose the test mode NAND tree (DS00002202, "Strapping Options").
const RESET: u32 = 1 << 9;
const INTERRUPT: u32 = 1 << 10;

/// The KSZ8081RNB's second control register: 50 MHz come in at XI, not 25 (DS00002202, "PHY Control 2").
const CONTROL_2: u8 = 0x1f;
const CONTROL_2_50_MHZ: u16 = 1 << 7;

/// MDIO's pad: pulled up, and open at the PHY's side.
const MDIO_PAD: u32 = 0xb829;
/// Reset and interrupt: slower.
const SLOW_UP: u32 = 0xb0a9;

/// The board's pins and its PHY.
pub struct Evk;

impl Wiring for Evk {
    const NAME: &'static str = "mimxrt1060-evk";
    // The board's own is a sticker.
    const MAC: Mac = Mac([0x02, b'r', 0x60, 0, 0, 1]);
    const PHY: u8 = 2;
    // GPIO_EMC_40 and GPIO_EMC_41: MDC, MDIO. GPIO_AD_B0_09 and GPIO_AD_B0_10 of GPIO1: reset and interrupt.
    const PINS: &'static [Pin] = &[
        Pin { mux: 0xb4, pad: 0x2a4, to: 4, is: UP },
        Pin { mux: 0xb8, pad: 0x2a8, to: 4, is: MDIO_PAD },
        Pin { mux: 0xe0, pad: 0x2d0, to: 5, is: SLOW_UP },
        Pin { mux: 0xe4, pad: 0x2d4, to: 5, is: SLOW_UP },
    ];
    const MDIO: u32 = 1;
    // The board's resistors choose the address.
    const STRAPS: u32 = UP;

    fn reset() {
        // SAFETY: nobody else uses these pins.
        let gpio = unsafe { Gpio::new(Gpio::ONE, RESET | INTERRUPT) };
        gpio.drive(INTERRUPT, true, 0);
        // 500 us at least; management begins 100 us after it (DS00002202, "Power-up/Reset Timing").
        gpio.drive(RESET, false, 10);
        gpio.drive(RESET, true, 10);
    }

    fn set_mode(engine: &mut Enet<Mmio, 8>) -> Result<(), Timeout> {
        let control = engine.mdio_read(Self::PHY, CONTROL_2)?;
        engine.mdio_write(Self::PHY, CONTROL_2, control | CONTROL_2_50_MHZ)
    }
}

/// The board, started.
pub type Board = rt1060::Board<Evk>;

firmware::on_interrupt!(rt1060::ETHERNET, rt1060::handle());

//! The board teensy41: PJRC's Teensy 4.1, an i.MX RT1062 (Cortex-M7) with a DP83825I on RMII. Interrupt-driven; not tried on
//! hardware (see README.md).
#![no_std]

pub use firmware::entry;

use firmware::boards::rt1060::{self, DOWN, Gpio, Pin, UP, Wiring};
use imxrt_rt as _;
use ringtap::device::Mac;
use ringtap_drivers::enet::Enet;
use ringtap_drivers::engine::Engine as _;
use ringtap_drivers::regs::{Mmio, Timeout};
// What the boot ROM reads first: how the flash is spoken to.
use teensy4_fcb as _;

/// The pins of GPIO2 that lead to the PHY: reset, and power-down; both act when low.
const RESET: u32 = 1 << 14;
const POWER: u32 = 1 << 15;

/// The DP83825I's RMII control and status register: 50 MHz come in at XI, a FIFO of two bits (SNLS638, RCSR).
const RCSR: u8 = 0x17;
const RCSR_50_MHZ: u16 = 0x0081;

/// The board's pins and its PHY.
pub struct Teensy41;

impl Wiring for Teensy41 {
    const NAME: &'static str = "teensy41";
    // The board's own lies in its fuses.
    const MAC: Mac = Mac([0x02, b'r', 0x41, 0, 0, 1]);
    const PHY: u8 = 0;
    // GPIO_B1_14 and GPIO_B1_15: MDC, MDIO. GPIO_B0_14 and GPIO_B0_15 of GPIO2: reset and power.
    const PINS: &'static [Pin] = &[
        Pin { mux: 0x1b4, pad: 0x3a4, to: 0, is: UP },
        Pin { mux: 0x1b8, pad: 0x3a8, to: 0, is: UP },
        Pin { mux: 0x174, pad: 0x364, to: 5, is: UP },
        Pin { mux: 0x178, pad: 0x368, to: 5, is: UP },
    ];
    const MDIO: u32 = 2;
    // Address 0.
    const STRAPS: u32 = DOWN;

    fn reset() {
        // SAFETY: nobody else uses these pins.
        let gpio = unsafe { Gpio::new(Gpio::TWO, RESET | POWER) };
        // 50 ms without power, 50 ms in reset; management begins 50 ms after it (SNLS638, T2).
        gpio.drive(RESET | POWER, false, 50);
        gpio.drive(POWER, true, 50);
        gpio.drive(RESET, true, 50);
    }

    fn set_mode(engine: &mut Enet<Mmio, 8>) -> Result<(), Timeout> {
        engine.mdio_write(Self::PHY, RCSR, RCSR_50_MHZ)
    }
}

/// The board, started.
pub type Board = rt1060::Board<Teensy41>;

firmware::on_interrupt!(rt1060::ETHERNET, rt1060::handle());

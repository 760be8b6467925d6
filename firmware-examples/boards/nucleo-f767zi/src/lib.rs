//! The board nucleo-f767zi: an STM32F767ZI (Cortex-M7), with a LAN8742A on RMII. Interrupt-driven; not tried on hardware (see README.md).
#![no_std]

pub use firmware::entry;

use firmware::boards::nucleo::{self, Chip};
use ringtap::device::Mac;

/// The chip.
pub struct Stm32F767;

impl Chip for Stm32F767 {
    const NAME: &'static str = "nucleo-f767zi";
    const MAC: Mac = Mac([0x02, b'r', 0xf7, 0, 0, 1]);
    const CACHES: bool = true;
}

/// The board, started.
pub type Board = nucleo::Board<Stm32F767>;

firmware::on_interrupt!(nucleo::ETHERNET, nucleo::handle());

//! The board nucleo-f429zi: an STM32F429ZI (Cortex-M4F), with a LAN8742A on RMII. Interrupt-driven; not tried on hardware (see README.md).
#![no_std]

pub use firmware::entry;

use firmware::boards::nucleo::{self, Chip};
use ringtap::device::Mac;

/// The chip.
pub struct Stm32F429;

impl Chip for Stm32F429 {
    const NAME: &'static str = "nucleo-f429zi";
    const MAC: Mac = Mac([0x02, b'r', 0xf4, 0, 0, 1]);
    const CACHES: bool = false;
}

/// The board, started.
pub type Board = nucleo::Board<Stm32F429>;

firmware::on_interrupt!(nucleo::ETHERNET, nucleo::handle());

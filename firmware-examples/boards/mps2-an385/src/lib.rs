//! The board mps2-an385: Arm MPS2 with the AN385 image (Cortex-M3) and its LAN9118, as QEMU models it.
#![no_std]

pub use firmware::entry;

use firmware::boards::mps2::{self, Image};

/// The image.
pub struct An385;

impl Image for An385 {
    const NAME: &'static str = "mps2-an385";
    const LAN9118: usize = 0x4020_0000;
}

/// The board, started.
pub type Board = mps2::Board<An385>;

firmware::on_interrupt!(mps2::ETHERNET, mps2::handle::<An385>());

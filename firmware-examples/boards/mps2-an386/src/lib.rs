//! The board mps2-an386: Arm MPS2 with the AN386 image (Cortex-M4F) and its LAN9118, as QEMU models it.
#![no_std]

pub use firmware::entry;

use firmware::boards::mps2::{self, Image};

/// The image.
pub struct An386;

impl Image for An386 {
    const NAME: &'static str = "mps2-an386";
    const LAN9118: usize = 0x4020_0000;
}

/// The board, started.
pub type Board = mps2::Board<An386>;

firmware::on_interrupt!(mps2::ETHERNET, mps2::handle::<An386>());

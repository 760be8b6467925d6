//! The board mps2-an500: Arm MPS2 with the AN500 image (Cortex-M7) and its LAN9118, as QEMU models it.
#![no_std]

pub use firmware::entry;

use firmware::boards::mps2::{self, Image};
use ringtap_drivers::mpu::{self, Kind, Region};
use ringtap_drivers::regs::Mmio;

/// The image.
pub struct An500;

impl Image for An500 {
    const NAME: &'static str = "mps2-an500";
    const LAN9118: usize = 0xa000_0000;

    fn map() -> bool {
        // SAFETY: the registers lie there on every Cortex-M7, and nobody else uses them.
        let unit = unsafe { Mmio::new(mpu::BASE) };
        mpu::map(&unit, &MAP).expect("a map that the processor has room for");
        true
    }
}

/// What there is; all else is a fault.
const MAP: [Region; 4] = [
    Region { start: 0, log2_len: 32, kind: Kind::Nothing },
    // 4 MiB each, and the registers' 64 KiB (Arm DAI 0500, "Memory map").
    Region { start: 0x0000_0000, log2_len: 22, kind: Kind::Code },
    Region { start: 0x2000_0000, log2_len: 22, kind: Kind::Memory },
    Region { start: An500::LAN9118 as u32, log2_len: 16, kind: Kind::Device },
];

/// The board, started.
pub type Board = mps2::Board<An500>;

firmware::on_interrupt!(mps2::ETHERNET, mps2::handle::<An500>());

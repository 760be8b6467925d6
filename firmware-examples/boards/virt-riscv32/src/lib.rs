//! The board virt-riscv32: QEMU's virt machine of RISC-V (rv32), with a virtio network card in one of its MMIO slots. Polled.
#![no_std]

pub use firmware::entry;

use firmware::machine;
use ringtap::device::Mac;
use ringtap::frame::PoolMemory;
use ringtap::time::Instant;
use ringtap_drivers::coherency::Coherent;
use ringtap_drivers::engine::Setup;
use ringtap_drivers::regs::Mmio;
use ringtap_drivers::virtio::{Memory, VirtioNic, is_network};
use static_cell::ConstStaticCell;

/// Locally administered; the card's own address counts where it has one.
const MAC: Mac = Mac([0x02, b'r', 0xb2, 0, 0, 1]);

/// The slots for virtio devices: the first, their distance, their number.
const SLOTS: (usize, usize, usize) = (0x1000_1000, 0x1000, 8);

/// The machine's timer, in the CLINT: its count, and how fast it counts.
const MTIME: usize = 0x0200_bff8;
const MTIME_HZ: usize = 10_000_000;

const RX: usize = 16;
const TX: usize = 16;

static FRAMES: PoolMemory<1600, 64> = PoolMemory::new();
static QUEUES: ConstStaticCell<Memory<RX, TX>> = ConstStaticCell::new(Memory::new());

/// The board, started.
pub struct Board(());

impl firmware::Board for Board {
    const NAME: &'static str = "virt-riscv32";

    type Device = VirtioNic<'static, 'static, Mmio, Coherent, RX, TX>;

    fn start() -> Self {
        // SAFETY: the timer lies there.
        unsafe { machine::use_mtime(MTIME, MTIME_HZ) };
        Self(())
    }

    fn device(&mut self) -> Result<Self::Device, &'static str> {
        let (first, distance, count) = SLOTS;
        // SAFETY: the slots lie there, with a device in them or an empty register block; nobody else uses them.
        let mut slots = (0..count).map(|n| unsafe { Mmio::new(first + n * distance) });
        let card = slots.find(is_network).ok_or("no virtio network card in any slot")?;
        // SAFETY: as above; queues and pool are static, and all of the RAM is within the device's reach.
        let nic = unsafe { VirtioNic::new(card, QUEUES.take(), Coherent, FRAMES.pool(), Setup::new(MAC)) };
        nic.map_err(|error| error.text())
    }

    fn now(&self) -> Instant {
        machine::now()
    }

    fn idle(&mut self, _: Option<Instant>) {
        machine::idle();
    }
}

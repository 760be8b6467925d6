//! The board xilinx-zynq-a9: a Zynq-7000 (Cortex-A9) with its first Cadence GEM, as QEMU models it. Polled.
//!
//! On silicon the clocks of the GEM (SLCR) and the pins would have to be set up before; the model needs neither.
#![no_std]

pub use firmware::entry;

use firmware::machine;
use ringtap::device::Mac;
use ringtap::frame::PoolMemory;
use ringtap::time::Instant;
use ringtap_drivers::coherency::Coherent;
use ringtap_drivers::engine::Setup;
use ringtap_drivers::gem::descriptor::{RxDesc, TxDesc};
use ringtap_drivers::gem::{Features, Gem, GemNic};
use ringtap_drivers::phy::Speed;
use ringtap_drivers::regs::Mmio;
use static_cell::ConstStaticCell;

/// Locally administered.
const MAC: Mac = Mac([0x02, b'r', 0xa9, 0, 0, 1]);

/// The first GEM's registers, and its PHY's address.
const GEM0: usize = 0xe000_b000;
const PHY: u8 = 7;

/// The global timer in the processor's private region (PERIPHBASE 0xF8F0_0000).
const GLOBAL_TIMER: usize = 0xf8f0_0200;

/// What the management interface's clock is divided from: more than it may be.
const PCLK_HZ: u32 = 200_000_000;

const RX: usize = 8;
const TX: usize = 8;

static FRAMES: PoolMemory<1536, 32> = PoolMemory::new();
static RX_RING: ConstStaticCell<[RxDesc<2>; RX]> = ConstStaticCell::new([const { RxDesc::new() }; RX]);
static TX_RING: ConstStaticCell<[TxDesc<2>; TX]> = ConstStaticCell::new([const { TxDesc::new() }; TX]);

/// The board, started.
pub struct Board(());

impl firmware::Board for Board {
    const NAME: &'static str = "xilinx-zynq-a9";

    type Device = GemNic<'static, 'static, Mmio, Coherent, 2, RX, TX>;

    fn start() -> Self {
        // SAFETY: the timer lies there, and nobody else uses it.
        unsafe { machine::use_global_timer(GLOBAL_TIMER) };
        Self(())
    }

    fn device(&mut self) -> Result<Self::Device, &'static str> {
        let features = Features { checksum: true, pclk_hz: PCLK_HZ, queues: 1, parking: None, timestamps: None };
        // SAFETY: the registers lie there, and nobody else uses them.
        let engine = Gem::new(unsafe { Mmio::new(GEM0) }, features);
        let (setup, pool) = (Setup::new(MAC), FRAMES.pool());
        // SAFETY: as above; rings and pool are static, and all of the RAM is within the DMA's reach.
        let nic = unsafe { GemNic::new(engine, RX_RING.take(), TX_RING.take(), Coherent, pool, setup) };
        let mut nic = nic.map_err(|error| error.text())?;
        nic.start_phy(Some(PHY), Speed::Gigabit, &mut machine::now).map_err(|error| error.text())?;
        Ok(nic)
    }

    fn now(&self) -> Instant {
        machine::now()
    }

    fn idle(&mut self, _: Option<Instant>) {
        machine::idle();
    }
}

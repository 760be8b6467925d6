//! The board xlnx-zcu102: a Zynq UltraScale+ (Cortex-A53 at EL3) with its first Cadence GEM, as QEMU models it: addresses
//! of 64 bits and time stamps in the descriptors, and a second queue, which is parked. Polled.
#![no_std]

pub use firmware::entry;

use firmware::machine;
use ringtap::device::Mac;
use ringtap::frame::PoolMemory;
use ringtap::time::Instant;
use ringtap_drivers::coherency::Coherent;
use ringtap_drivers::engine::Setup;
use ringtap_drivers::gem::descriptor::{RxDesc, TxDesc};
use ringtap_drivers::gem::{Features, Gem, GemNic, Parking, TsuRate};
use ringtap_drivers::phy::Speed;
use ringtap_drivers::regs::Mmio;
use static_cell::ConstStaticCell;

/// Locally administered.
const MAC: Mac = Mac([0x02, b'r', 0xa5, 0, 0, 1]);

/// The first GEM's registers, and its PHY's address.
const GEM0: usize = 0xff0b_0000;
const PHY: u8 = 23;

/// What the management interface's clock is divided from: more than it may be.
const PCLK_HZ: u32 = 200_000_000;

/// The clock that the time stamp unit counts.
const TSU_HZ: u32 = 250_000_000;

const RX: usize = 8;
const TX: usize = 8;

static FRAMES: PoolMemory<1536, 32> = PoolMemory::new();
static RX_RING: ConstStaticCell<[RxDesc<6>; RX]> = ConstStaticCell::new([const { RxDesc::new() }; RX]);
static TX_RING: ConstStaticCell<[TxDesc<6>; TX]> = ConstStaticCell::new([const { TxDesc::new() }; TX]);
static PARKING: Parking<6> = Parking::new();

/// The board, started.
pub struct Board(());

impl firmware::Board for Board {
    const NAME: &'static str = "xlnx-zcu102";

    type Device = GemNic<'static, 'static, Mmio, Coherent, 6, RX, TX>;

    fn start() -> Self {
        Self(())
    }

    fn device(&mut self) -> Result<Self::Device, &'static str> {
        // QEMU's model has the descriptors, and writes no time stamps.
        let timestamps = TsuRate::from_hz(TSU_HZ);
        let features = Features { checksum: true, pclk_hz: PCLK_HZ, queues: 2, parking: Some(&PARKING), timestamps };
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

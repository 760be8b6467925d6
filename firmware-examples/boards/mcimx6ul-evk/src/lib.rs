//! The board mcimx6ul-evk: an i.MX 6UltraLite (Cortex-A7) with its first ENET, as QEMU models it: the MAC of i.MX RT10xx
//! and Kinetis K6x, here with enhanced descriptors. The model inserts checksums but does not verify them. Polled.
#![no_std]

pub use firmware::entry;

use firmware::machine;
use ringtap::device::Mac;
use ringtap::frame::PoolMemory;
use ringtap::time::Instant;
use ringtap_drivers::coherency::Coherent;
use ringtap_drivers::enet::descriptor::{RxDesc, TxDesc};
use ringtap_drivers::enet::{Enet, EnetNic, Features, Interface};
use ringtap_drivers::engine::Setup;
use ringtap_drivers::phy::Speed;
use ringtap_drivers::regs::Mmio;
use static_cell::ConstStaticCell;

/// Locally administered.
const MAC: Mac = Mac([0x02, b'r', 0xa7, 0, 0, 1]);

/// The first ENET's registers, and its PHY's address.
const ENET1: usize = 0x0218_8000;
const PHY: u8 = 2;

/// What the MAC has, its clock being 66 MHz.
const FEATURES: Features =
    Features { interface: Interface::Rmii, clock_hz: 66_000_000, inserts: true, verifies: false, timestamps: None };

const RX: usize = 8;
const TX: usize = 8;

static FRAMES: PoolMemory<1536, 32> = PoolMemory::new();
static RX_RING: ConstStaticCell<[RxDesc<8>; RX]> = ConstStaticCell::new([const { RxDesc::new() }; RX]);
static TX_RING: ConstStaticCell<[TxDesc<8>; TX]> = ConstStaticCell::new([const { TxDesc::new() }; TX]);

/// The board, started.
pub struct Board(());

impl firmware::Board for Board {
    const NAME: &'static str = "mcimx6ul-evk";

    type Device = EnetNic<'static, 'static, Mmio, Coherent, 8, RX, TX>;

    fn start() -> Self {
        Self(())
    }

    fn device(&mut self) -> Result<Self::Device, &'static str> {
        // SAFETY: the registers lie there, and nobody else uses them.
        let engine = Enet::new(unsafe { Mmio::new(ENET1) }, FEATURES);
        let (setup, pool) = (Setup::new(MAC), FRAMES.pool());
        // SAFETY: as above; rings and pool are static, and all of the RAM is within the DMA's reach.
        let nic = unsafe { EnetNic::new(engine, RX_RING.take(), TX_RING.take(), Coherent, pool, setup) };
        let mut nic = nic.map_err(|error| error.text())?;
        nic.start_phy(Some(PHY), Speed::Hundred, &mut machine::now).map_err(|error| error.text())?;
        Ok(nic)
    }

    fn now(&self) -> Instant {
        machine::now()
    }

    fn idle(&mut self, _: Option<Instant>) {
        machine::idle();
    }
}

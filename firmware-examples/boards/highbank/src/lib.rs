//! The board highbank: Calxeda's server processor (Cortex-A9), as QEMU models it. Its Ethernet is an extended Synopsys
//! DWMAC 3.x, whose DMA has the registers and enhanced descriptors of STM32F4 and F7.
//!
//! The model has neither address filters nor checksums, and its management bus to the PHY stays busy for ever: the link is
//! taken to be up. Polled.
#![no_std]

pub use firmware::entry;

use firmware::machine;
use ringtap::device::Mac;
use ringtap::frame::PoolMemory;
use ringtap::time::Instant;
use ringtap_drivers::coherency::Coherent;
use ringtap_drivers::dwmac3::descriptor::{RxDesc, TxDesc};
use ringtap_drivers::dwmac3::{Dwmac3, Dwmac3Nic, Features};
use ringtap_drivers::engine::Setup;
use ringtap_drivers::regs::Mmio;
use static_cell::ConstStaticCell;

/// Locally administered.
const MAC: Mac = Mac([0x02, b'r', 0xb1, 0, 0, 1]);

/// The MAC's registers, and behind them those of its DMA.
const MAC_BASE: usize = 0xfff5_0000;
const DMA_BASE: usize = MAC_BASE + 0xf00;

/// The global timer in the processor's private region (PERIPHBASE 0xFFF1_0000).
const GLOBAL_TIMER: usize = 0xfff1_0200;

const RX: usize = 8;
const TX: usize = 8;

static FRAMES: PoolMemory<1536, 32> = PoolMemory::new();
static RX_RING: ConstStaticCell<[RxDesc<8>; RX]> = ConstStaticCell::new([const { RxDesc::new() }; RX]);
static TX_RING: ConstStaticCell<[TxDesc<8>; TX]> = ConstStaticCell::new([const { TxDesc::new() }; TX]);

/// The board, started.
pub struct Board(());

impl firmware::Board for Board {
    const NAME: &'static str = "highbank";

    type Device = Dwmac3Nic<'static, 'static, Mmio, Coherent, 8, RX, TX>;

    fn start() -> Self {
        // SAFETY: the timer lies there, and nobody else uses it.
        unsafe { machine::use_global_timer(GLOBAL_TIMER) };
        Self(())
    }

    fn device(&mut self) -> Result<Self::Device, &'static str> {
        // SAFETY: the registers lie there, and nobody else uses them.
        let (mac, dma) = unsafe { (Mmio::new(MAC_BASE), Mmio::new(DMA_BASE)) };
        let engine = Dwmac3::new(mac, dma, Features::default());
        let setup = Setup::new(MAC);
        // SAFETY: as above; rings and pool are static, and all of the RAM is within the DMA's reach.
        let nic = unsafe { Dwmac3Nic::new(engine, RX_RING.take(), TX_RING.take(), Coherent, FRAMES.pool(), setup) };
        nic.map_err(|error| error.text())
    }

    fn now(&self) -> Instant {
        machine::now()
    }

    fn idle(&mut self, _: Option<Instant>) {
        machine::idle();
    }
}

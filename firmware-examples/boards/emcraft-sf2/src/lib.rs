//! The board emcraft-sf2: Emcraft's SmartFusion2 SOM (Cortex-M3, 256 KiB of flash, 64 KiB of RAM) with the Ethernet MAC
//! of its microcontroller, as QEMU models it.
#![no_std]

pub use firmware::entry;

use firmware::cortex::{self, Interrupt};
use firmware::systick;
use ringtap::device::Mac;
use ringtap::frame::PoolMemory;
use ringtap::time::Instant;
use ringtap_drivers::coherency::Coherent;
use ringtap_drivers::engine::{RingNic, Setup};
use ringtap_drivers::interrupt::Attention;
use ringtap_drivers::msf2::{Msf2, RxDesc, TxDesc, on_interrupt};
use ringtap_drivers::phy::Speed;
use ringtap_drivers::regs::Mmio;
use static_cell::ConstStaticCell;

/// The core's clock, as QEMU has it.
const CORE_HZ: u32 = 142_000_000;

/// Descriptors of the rings.
const RX: usize = 6;
const TX: usize = 4;

/// The MAC's interrupt.
const ETHERNET: Interrupt = Interrupt(12);

/// Locally administered: the board's own lies in its boot loader's environment.
const MAC: Mac = Mac([0x02, b'r', 0x5f, 2, 0, 1]);

// SAFETY: the MAC's registers lie here (UG0331, "Ethernet MAC"), and only this board's driver and interrupt handler, which
// are made for each other, have them.
static REGISTERS: Mmio = unsafe { Mmio::new(0x4004_1000) };
static ATTENTION: Attention = Attention::new();
static FRAMES: PoolMemory<1536, 12> = PoolMemory::new();
static RX_RING: ConstStaticCell<[RxDesc<RX>; RX]> = ConstStaticCell::new([const { RxDesc::new() }; RX]);
static TX_RING: ConstStaticCell<[TxDesc<TX>; TX]> = ConstStaticCell::new([const { TxDesc::new() }; TX]);

/// The board, started.
pub struct Board(());

impl firmware::Board for Board {
    const NAME: &'static str = "emcraft-sf2";

    type Device = RingNic<'static, 'static, Msf2<Mmio, RX, TX>, Coherent, RX, TX>;

    fn start() -> Self {
        let core = cortex_m::Peripherals::take().expect("called once");
        systick::start(core.SYST, CORE_HZ);
        Self(())
    }

    fn device(&mut self) -> Result<Self::Device, &'static str> {
        let (rx, tx) = (RX_RING.take(), TX_RING.take());
        // SAFETY: nobody else uses the MAC; it reaches all of the microcontroller's RAM, at the processor's addresses.
        let device = unsafe { RingNic::new(Msf2::new(REGISTERS), rx, tx, Coherent, FRAMES.pool(), Setup::new(MAC)) };
        let mut device = device.map_err(|_| "the MAC does not come up")?;
        device.start_phy(None, Speed::Hundred, &mut systick::now).map_err(|e| e.text())?;
        device.set_attention(&ATTENTION);
        // SAFETY: the handler and all that it uses are in place.
        unsafe { cortex::unmask(ETHERNET) };
        Ok(device)
    }

    fn now(&self) -> Instant {
        systick::now()
    }

    fn idle(&mut self, next: Option<Instant>) {
        systick::idle(next, || ATTENTION.is_raised());
    }
}

firmware::on_interrupt!(ETHERNET, on_interrupt(&REGISTERS, &ATTENTION));

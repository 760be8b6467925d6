//! The board nucleo-h743zi2: an STM32H743ZI (Cortex-M7), with a LAN8742A on RMII. Interrupt-driven; not tried on hardware (see README.md).
#![no_std]

pub use firmware::entry;

use firmware::boards::nucleo::{ETHERNET, PHY, set_pins};
use firmware::cortex;
use firmware::systick;
use ringtap::device::Mac;
use ringtap::frame::PoolMemory;
use ringtap::time::Instant;
use ringtap_drivers::coherency::CortexM7;
use ringtap_drivers::dwmac4::descriptor::{RxDesc, TxDesc};
use ringtap_drivers::dwmac4::{Dwmac4, Dwmac4Nic, Features};
use ringtap_drivers::engine::{Engine as _, Setup};
use ringtap_drivers::interrupt::Attention;
use ringtap_drivers::mpu::{self, Uncached};
use ringtap_drivers::phy::Speed;
use ringtap_drivers::regs::{Mmio, Registers as _};
use static_cell::ConstStaticCell;

/// The core's clock, and the bus clock HCLK: the internal oscillator, as after a reset. The MAC wants 25 MHz at least.
const CORE_HZ: u32 = 64_000_000;

/// Locally administered.
const MAC: Mac = Mac([0x02, b'r', 0x87, 0, 0, 1]);

// Register blocks (RM0433, memory map).
const RCC: usize = 0x5802_4400;
const SYSCFG: usize = 0x5800_0400;
const GPIO: usize = 0x5802_0000;
const MAC_BASE: usize = 0x4002_8000;

const RX: usize = 8;
const TX: usize = 8;

static ATTENTION: Attention = Attention::new();
static FRAMES: PoolMemory<1536, 24> = PoolMemory::new();
static RINGS: ConstStaticCell<Uncached<Rings>> = ConstStaticCell::new(Uncached(Rings::new()));

/// The descriptors, which the data cache must not hold.
struct Rings {
    rx: [RxDesc; RX],
    tx: [TxDesc; TX],
}

impl Rings {
    const fn new() -> Self {
        Self { rx: [const { RxDesc::new() }; RX], tx: [const { TxDesc::new() }; TX] }
    }
}

/// The board, started.
pub struct Board {
    rings: Option<&'static mut Rings>,
}

impl firmware::Board for Board {
    const NAME: &'static str = "nucleo-h743zi2";

    type Device = Dwmac4Nic<'static, 'static, Mmio, CortexM7<Mmio>, RX, TX>;

    fn start() -> Self {
        let mut core = cortex_m::Peripherals::take().expect("called once");
        // SAFETY: the registers lie there on every Cortex-M7, and nobody else uses them.
        let unit = unsafe { Mmio::new(mpu::BASE) };
        let rings = mpu::exclude(&unit, 0, RINGS.take()).expect("a region of its own");
        core.SCB.enable_icache();
        core.SCB.enable_dcache(&mut core.CPUID);
        systick::start(core.SYST, CORE_HZ);
        Self { rings: Some(rings) }
    }

    fn device(&mut self) -> Result<Self::Device, &'static str> {
        connect();
        let Rings { rx, tx } = self.rings.take().ok_or("called twice")?;
        let (setup, pool) = (Setup::new(MAC), FRAMES.pool());
        // SAFETY: the registers lie there on every Cortex-M7, and maintenance by address harms nobody.
        let cache = CortexM7::new(unsafe { Mmio::new(CortexM7::<Mmio>::BASE) });
        // SAFETY: rings and pool are static, in memory that the DMA reaches, and the rings not in the cache.
        let nic = unsafe { Dwmac4Nic::new(engine(), rx, tx, cache, pool, setup) };
        let mut nic = nic.map_err(|error| error.text())?;
        nic.start_phy(Some(PHY), Speed::Hundred, &mut systick::now).map_err(|error| error.text())?;
        nic.set_attention(&ATTENTION);
        // SAFETY: the handler and all that it uses are in place.
        unsafe { cortex::unmask(ETHERNET) };
        Ok(nic)
    }

    fn now(&self) -> Instant {
        systick::now()
    }

    fn idle(&mut self, next: Option<Instant>) {
        systick::idle(next, || ATTENTION.is_raised());
    }
}

firmware::on_interrupt!(ETHERNET, {
    engine().interrupts(false);
    ATTENTION.raise();
});

/// A handle to the MAC: the driver's, and another in the interrupt handler, which only masks.
fn engine() -> Dwmac4<Mmio> {
    // SAFETY: the registers lie there; the driver and the handler are made for each other.
    let registers = unsafe { Mmio::new(MAC_BASE) };
    Dwmac4::new(registers, Features { checksum: true, timestamps: None })
}

/// Ties the MAC to its PHY: pins, RMII, and then its clocks, for it takes the interface at that moment.
fn connect() {
    // SAFETY: as above.
    let (rcc, syscfg) = unsafe { (Mmio::new(RCC), Mmio::new(SYSCFG)) };
    // AHB4ENR: GPIO ports A, B, C, G. APB4ENR: SYSCFG.
    rcc.modify(0xe0, |old| old | 0b100_0111);
    rcc.modify(0xf4, |old| old | 1 << 1);
    // A clock is there two cycles after it was switched on; the read waits for that.
    let _ = rcc.read(0xf4);
    // SAFETY: the ports lie there, and are clocked now.
    unsafe { set_pins(GPIO) };
    // SYSCFG_PMCR: RMII. AHB1ENR: ETH1MACEN, ETH1TXEN, ETH1RXEN.
    syscfg.modify(0x04, |old| old & !(7 << 21) | 4 << 21);
    rcc.modify(0xd8, |old| old | 7 << 15);
    let _ = rcc.read(0xd8);
}

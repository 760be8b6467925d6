//! The board same70-xplained: a SAM E70 Xplained (ATSAME70Q21, Cortex-M7), with a KSZ8081 on RMII. Interrupt-driven; not tried on hardware (see README.md).
#![no_std]

pub use firmware::entry;

use firmware::cortex::{self, Interrupt};
use firmware::systick;
use ringtap::device::Mac;
use ringtap::frame::PoolMemory;
use ringtap::time::{Duration, Instant};
use ringtap_drivers::coherency::CortexM7;
use ringtap_drivers::engine::{Engine as _, Setup};
use ringtap_drivers::gem::descriptor::{RxDesc, TxDesc};
use ringtap_drivers::gem::{Features, Gem, GemNic, Parking};
use ringtap_drivers::interrupt::Attention;
use ringtap_drivers::mpu::{self, Uncached};
use ringtap_drivers::phy::Speed;
use ringtap_drivers::regs::{Mmio, Registers as _, look, wait};
use static_cell::ConstStaticCell;

/// The core's clock, and the master clock: from the internal 12 MHz by the PLL. The MAC wants 25 MHz at least.
const CORE_HZ: u32 = 150_000_000;

/// Locally administered. The board has one of its own in an EEPROM, which is not read.
const MAC: Mac = Mac([0x02, b'r', 0xe7, 0, 0, 1]);

/// The MAC's interrupt.
const ETHERNET: Interrupt = Interrupt(39);

/// The KSZ8081's address.
const PHY: u8 = 0;

// Register blocks (DS60001527, product mapping).
const PMC: usize = 0x400e_0600;
const EEFC: usize = 0x400e_0c00;
const WDT: usize = 0x400e_1850;
const PIOC: usize = 0x400e_1200;
const PIOD: usize = 0x400e_1400;
const GMAC: usize = 0x4005_0000;

/// The pins of RMII, on port D, peripheral A: PD0 to PD9.
const PINS: u32 = 0x3ff;

/// The PHY's reset, on port C.
const PHY_RESET: u32 = 1 << 10;

/// Looks at a register of the clocks: they take up to some hundred microseconds.
const LOOKS: u32 = 1_000_000;

const RX: usize = 8;
const TX: usize = 8;

static ATTENTION: Attention = Attention::new();
static FRAMES: PoolMemory<1536, 24> = PoolMemory::new();
// Never written: it may lie in the cache.
static PARKING: Parking<2> = Parking::new();
static RINGS: ConstStaticCell<Uncached<Rings>> = ConstStaticCell::new(Uncached(Rings::new()));

/// The descriptors, which the data cache must not hold.
struct Rings {
    rx: [RxDesc<2>; RX],
    tx: [TxDesc<2>; TX],
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
    const NAME: &'static str = "same70-xplained";

    type Device = GemNic<'static, 'static, Mmio, CortexM7<Mmio>, 2, RX, TX>;

    fn start() -> Self {
        let mut core = cortex_m::Peripherals::take().expect("called once");
        // SAFETY: the registers lie there on every Cortex-M7, and nobody else uses them.
        let unit = unsafe { Mmio::new(mpu::BASE) };
        let rings = mpu::exclude(&unit, 0, RINGS.take()).expect("a region of its own");
        core.SCB.enable_icache();
        core.SCB.enable_dcache(&mut core.CPUID);
        set_clocks().expect("the clocks");
        systick::start(core.SYST, CORE_HZ);
        Self { rings: Some(rings) }
    }

    fn device(&mut self) -> Result<Self::Device, &'static str> {
        connect()?;
        let Rings { rx, tx } = self.rings.take().ok_or("called twice")?;
        let (setup, pool) = (Setup::new(MAC), FRAMES.pool());
        // SAFETY: the registers lie there on every Cortex-M7, and maintenance by address harms nobody.
        let cache = CortexM7::new(unsafe { Mmio::new(CortexM7::<Mmio>::BASE) });
        // SAFETY: rings and pool are static, in memory that the DMA reaches, and the rings not in the cache.
        let nic = unsafe { GemNic::new(engine(), rx, tx, cache, pool, setup) };
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
fn engine() -> Gem<Mmio, 2> {
    let features = Features { checksum: true, pclk_hz: CORE_HZ, queues: 6, parking: Some(&PARKING), timestamps: None };
    // SAFETY: the registers lie there; the driver and the handler are made for each other.
    Gem::new(unsafe { Mmio::new(GMAC) }, features)
}

/// 12 MHz * 25 / 2: 150 MHz, for the core and the buses (DS60001527, PMC).
fn set_clocks() -> Result<(), ringtap_drivers::regs::Timeout> {
    /// PMC_SR: the internal oscillator, the PLL, the master clock are ready.
    const MOSCRCS: u32 = 1 << 17;
    const LOCKA: u32 = 1 << 1;
    const MCKRDY: u32 = 1 << 3;
    // SAFETY: the registers lie there, and nobody else uses them at this time.
    let (pmc, eefc, watchdog) = unsafe { (Mmio::new(PMC), Mmio::new(EEFC), Mmio::new(WDT)) };
    // WDT_MR: off. It runs after a reset, and can be set once.
    watchdog.write(0x04, 1 << 15);
    // EEFC_FMR: six wait states.
    eefc.write(0x00, 6 << 8 | 1 << 26);
    let ready = |bits| look(LOOKS, || pmc.read(0x68) & bits == bits);
    // CKGR_MOR, with its key: the internal oscillator at 12 MHz.
    pmc.write(0x20, 0x37 << 16 | 2 << 4 | 1 << 3);
    ready(MOSCRCS)?;
    // CKGR_PLLAR: times 25, started for 63 slow cycles.
    pmc.write(0x28, 1 << 29 | 24 << 16 | 63 << 8 | 1);
    ready(LOCKA)?;
    // PMC_MCKR: first the divisor, then the source.
    pmc.modify(0x30, |old| old & !0x370 | 1 << 4);
    ready(MCKRDY)?;
    pmc.modify(0x30, |old| old & !3 | 2);
    ready(MCKRDY)
}

/// Ties the MAC to its PHY: clocks, pins, and the PHY out of its reset. RMII is what GMAC_UR begins with.
fn connect() -> Result<(), &'static str> {
    // SAFETY: as above.
    let (pmc, pioc, piod) = unsafe { (Mmio::new(PMC), Mmio::new(PIOC), Mmio::new(PIOD)) };
    // PMC_PCER0: PIOC (12), PIOD (16). PMC_PCER1: GMAC (39).
    pmc.write(0x10, 1 << 12 | 1 << 16);
    pmc.write(0x100, 1 << 7);
    // PIO_ABCDSR1, PIO_ABCDSR2: peripheral A. PIO_PDR: the peripheral has the pins.
    piod.modify(0x70, |old| old & !PINS);
    piod.modify(0x74, |old| old & !PINS);
    piod.write(0x04, PINS);
    // PIO_PER, PIO_OER; then PIO_CODR and PIO_SODR: a low of 500 us at least (KSZ8081, reset timing), and 100 us after it.
    pioc.write(0x00, PHY_RESET);
    pioc.write(0x10, PHY_RESET);
    pioc.write(0x34, PHY_RESET);
    pause(1)?;
    pioc.write(0x30, PHY_RESET);
    pause(1)
}

/// Waits so many milliseconds.
fn pause(millis: u64) -> Result<(), &'static str> {
    let end = systick::now() + Duration::from_millis(millis);
    let over = wait(&mut systick::now, Duration::from_secs(1), || systick::now() >= end);
    over.map_err(|_| "the clock stands still")
}

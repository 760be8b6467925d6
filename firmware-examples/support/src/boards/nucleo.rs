//! What the NUCLEO-144 boards with Ethernet have in common: the pins of RMII; and of those with an STM32F4 or F7, nearly all.

use crate::cortex::{self, Interrupt};
use crate::systick;
use core::marker::PhantomData;
use ringtap::device::Mac;
use ringtap::frame::PoolMemory;
use ringtap::time::Instant;
use ringtap_drivers::coherency::Coherent;
use ringtap_drivers::dwmac3::descriptor::{RxDesc, TxDesc};
use ringtap_drivers::dwmac3::{Dwmac3, Dwmac3Nic, Features};
use ringtap_drivers::engine::{Engine as _, Setup};
use ringtap_drivers::interrupt::Attention;
use ringtap_drivers::phy::Speed;
use ringtap_drivers::regs::{Mmio, Registers as _, Timeout, look};
use static_cell::ConstStaticCell;

/// The MAC's interrupt, on all of them.
pub const ETHERNET: Interrupt = Interrupt(61);

/// The LAN8742A's address.
pub const PHY: u8 = 0;

/// The core's clock, and the bus clock HCLK, of F4 and F7: from the internal 16 MHz by the PLL. The MAC wants 25 MHz at least.
const CORE_HZ: u32 = 96_000_000;

// Register blocks of F4 and F7 (RM0090, RM0410: memory map).
const RCC: usize = 0x4002_3800;
const FLASH: usize = 0x4002_3c00;
const SYSCFG: usize = 0x4001_3800;
const GPIO: usize = 0x4002_0000;
const MAC_BASE: usize = 0x4002_8000;
const DMA_BASE: usize = 0x4002_9000;

/// The pins of RMII on a NUCLEO-144, alternate function 11: port (A is 0) and pin. REF_CLK, MDIO, CRS_DV, TXD1 (by a jumper),
/// MDC, RXD0, RXD1, TX_EN, TXD0 (UM1974, UM2407: "Ethernet").
const PINS: [(usize, u16); 9] = [(0, 1), (0, 2), (0, 7), (1, 13), (2, 1), (2, 4), (2, 5), (6, 11), (6, 13)];

/// Looks at a register of the clocks: they take up to some hundred microseconds.
const LOOKS: u32 = 1_000_000;

const RX: usize = 8;
const TX: usize = 8;

static ATTENTION: Attention = Attention::new();
static FRAMES: PoolMemory<1536, 24> = PoolMemory::new();
static RX_RING: ConstStaticCell<[RxDesc<8>; RX]> = ConstStaticCell::new([const { RxDesc::new() }; RX]);
static TX_RING: ConstStaticCell<[TxDesc<8>; TX]> = ConstStaticCell::new([const { TxDesc::new() }; TX]);

/// What is different from one STM32F4 or F7 to another.
pub trait Chip {
    /// The board's name: that of its folder.
    const NAME: &'static str;

    /// Its address: locally administered.
    const MAC: Mac;

    /// Whether it has caches. What the DMA reaches of the RAM in use is not in them, by memory.x.
    const CACHES: bool;
}

/// The board with a chip, started.
pub struct Board<C>(PhantomData<C>);

impl<C: Chip> crate::Board for Board<C> {
    const NAME: &'static str = C::NAME;

    type Device = Dwmac3Nic<'static, 'static, Mmio, Coherent, 8, RX, TX>;

    fn start() -> Self {
        let mut core = cortex_m::Peripherals::take().expect("called once");
        if C::CACHES {
            core.SCB.enable_icache();
            core.SCB.enable_dcache(&mut core.CPUID);
        }
        set_clocks().expect("the clocks");
        systick::start(core.SYST, CORE_HZ);
        Self(PhantomData)
    }

    fn device(&mut self) -> Result<Self::Device, &'static str> {
        connect();
        let (setup, pool) = (Setup::new(C::MAC), FRAMES.pool());
        // SAFETY: rings and pool are static, in memory that the DMA reaches and no cache holds (memory.x).
        let nic = unsafe { Dwmac3Nic::new(engine(), RX_RING.take(), TX_RING.take(), Coherent, pool, setup) };
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

/// What the interrupt [`ETHERNET`] is handled by on F4 and F7.
pub fn handle() {
    engine().interrupts(false);
    ATTENTION.raise();
}

/// A handle to the MAC: the driver's, and another in the interrupt handler, which only masks.
fn engine() -> Dwmac3<Mmio, 8> {
    // SAFETY: the registers lie there; the driver and the handler are made for each other.
    let (mac, dma) = unsafe { (Mmio::new(MAC_BASE), Mmio::new(DMA_BASE)) };
    Dwmac3::new(mac, dma, Features { checksum: true, timestamps: None })
}

/// 16 MHz / 16 * 192 / 2: 96 MHz. APB1 runs at a quarter, APB2 at half of it (RM0090, RM0410: RCC).
fn set_clocks() -> Result<(), Timeout> {
    /// RCC_CR: the PLL is on, and ready. RCC_CFGR: the system clock is the PLL.
    const PLLON: u32 = 1 << 24;
    const PLLRDY: u32 = 1 << 25;
    const SW_PLL: u32 = 0b10;
    // SAFETY: the registers lie there, and nobody else uses them at this time.
    let (rcc, flash) = unsafe { (Mmio::new(RCC), Mmio::new(FLASH)) };
    // Three wait states up to 120 MHz at 3.3 V.
    flash.modify(0x00, |old| old & !15 | 3);
    // PLLM 16, PLLN 192, PLLP 2, from the internal oscillator; PLLQ 4 gives 48 MHz.
    rcc.modify(0x04, |old| old & !0x0f43_7fff | 16 | 192 << 6 | 4 << 24);
    rcc.modify(0x00, |old| old | PLLON);
    look(LOOKS, || rcc.read(0x00) & PLLRDY != 0)?;
    // PPRE1 / 4, PPRE2 / 2.
    rcc.modify(0x08, |old| old & !0xfcf0 | 0b101 << 10 | 0b100 << 13);
    rcc.modify(0x08, |old| old & !3 | SW_PLL);
    look(LOOKS, || rcc.read(0x08) >> 2 & 3 == SW_PLL)
}

/// Ties the MAC to its PHY: pins, RMII, and then its clocks, for it takes the interface at that moment.
fn connect() {
    // SAFETY: the registers lie there, and nobody else uses them at this time.
    let (rcc, syscfg) = unsafe { (Mmio::new(RCC), Mmio::new(SYSCFG)) };
    // AHB1ENR: GPIO ports A, B, C, G. APB2ENR: SYSCFG.
    rcc.modify(0x30, |old| old | 0b100_0111);
    rcc.modify(0x44, |old| old | 1 << 14);
    // A clock is there two cycles after it was switched on; the read waits for that.
    let _ = rcc.read(0x44);
    // SAFETY: the ports lie there, and are clocked now.
    unsafe { set_pins(GPIO) };
    // SYSCFG_PMC: RMII. AHB1ENR: ETHMACEN, ETHMACTXEN, ETHMACRXEN.
    syscfg.modify(0x04, |old| old | 1 << 23);
    rcc.modify(0x30, |old| old | 7 << 25);
    let _ = rcc.read(0x30);
}

/// Gives the pins of RMII to the MAC: alternate function 11, at the highest speed.
///
/// # Safety
/// At `ports` lie the GPIO ports, 0x400 apart, and nobody else sets these pins.
pub unsafe fn set_pins(ports: usize) {
    for (port, pin) in PINS {
        // SAFETY: as the caller promises.
        let gpio = unsafe { Mmio::new(ports + 0x400 * port) };
        let two_bits = 3 << (2 * pin);
        // AFRL or AFRH, OSPEEDR, and MODER last.
        let (function, shift) = (0x20 + 4 * (pin / 8), 4 * (pin % 8));
        gpio.modify(function, |old| old & !(15 << shift) | 11 << shift);
        gpio.modify(0x08, |old| old | two_bits);
        gpio.modify(0x00, |old| old & !two_bits | 2 << (2 * pin));
    }
}

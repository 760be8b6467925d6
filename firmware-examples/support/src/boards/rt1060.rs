//! What boards with an i.MX RT1060 (Cortex-M7, ENET) on RMII have in common: clocks, caches, the MAC. Pins and PHY are a
//! [`Wiring`].
//!
//! Written from IMXRT1060RM, whose names it uses.

use crate::cortex::{self, Interrupt};
use crate::systick;
use core::marker::PhantomData;
use cortex_m::asm::delay;
use ringtap::device::Mac;
use ringtap::frame::PoolMemory;
use ringtap::time::Instant;
use ringtap_drivers::coherency::Coherent;
use ringtap_drivers::enet::descriptor::{RxDesc, TxDesc};
use ringtap_drivers::enet::{Enet, EnetNic, Features, Interface};
use ringtap_drivers::engine::{Engine as _, Setup};
use ringtap_drivers::interrupt::Attention;
use ringtap_drivers::mpu::{self, Kind, Region};
use ringtap_drivers::phy::Speed;
use ringtap_drivers::regs::{Mmio, Registers as _, Timeout, look};
use static_cell::ConstStaticCell;

/// The MAC's interrupt.
pub const ETHERNET: Interrupt = Interrupt(114);

/// SysTick's reference: the 24 MHz crystal by 240, whatever the core runs at ("Arm Cortex-M7 platform").
const SYSTICK_HZ: u32 = 100_000;

/// The core's clock at most, for waits that must be long enough.
const CORE_MAX_HZ: u32 = 600_000_000;

// Register blocks (memory map).
const ENET: usize = 0x402d_8000;
const IOMUXC: usize = 0x401f_8000;
const IOMUXC_GPR: usize = 0x400a_c000;
const CCM: usize = 0x400f_c000;
const CCM_ANALOG: usize = 0x400d_8000;

/// Looks at a register of the clocks: the PLL locks within a millisecond.
const LOOKS: u32 = 1_000_000;

/// What there is. All else is a fault, and nothing is read ahead there: the SDRAM's controller, for one, is not set up, and what
/// waits for it waits for ever.
const MAP: [Region; 4] = [
    Region { start: 0, log2_len: 32, kind: Kind::Nothing },
    // 8 MiB of flash: code and constants, in the caches.
    Region { start: 0x6000_0000, log2_len: 23, kind: Kind::Code },
    // Up to 512 KiB of tightly coupled memory for data. Whatever the map says, no cache holds it.
    Region { start: 0x2000_0000, log2_len: 19, kind: Kind::Memory },
    // AIPS-1 to AIPS-4.
    Region { start: 0x4000_0000, log2_len: 22, kind: Kind::Device },
];

const RX: usize = 8;
const TX: usize = 8;

static ATTENTION: Attention = Attention::new();
static FRAMES: PoolMemory<1536, 24> = PoolMemory::new();
static RX_RING: ConstStaticCell<[RxDesc<8>; RX]> = ConstStaticCell::new([const { RxDesc::new() }; RX]);
static TX_RING: ConstStaticCell<[TxDesc<8>; TX]> = ConstStaticCell::new([const { TxDesc::new() }; TX]);

/// A network card of this chip.
pub type Device = EnetNic<'static, 'static, Mmio, Coherent, 8, RX, TX>;

/// What is different from board to board.
pub trait Wiring {
    /// The board's name: that of its folder.
    const NAME: &'static str;

    /// Its address: locally administered.
    const MAC: Mac;

    /// The PHY's address.
    const PHY: u8;

    /// The pins that are not on every board: MDC, MDIO, those of GPIO; and where the MAC finds MDIO.
    const PINS: &'static [Pin];
    /// ENET_MDIO_SELECT_INPUT.
    const MDIO: u32;

    /// How the pins whose levels at the end of the PHY's reset choose its address are pulled: RXD0, RXD1, CRS_DV, RXER.
    const STRAPS: u32;

    /// Takes the PHY through its reset.
    fn reset();

    /// What the PHY is told after the driver has started it: above all that it gets 50 MHz.
    ///
    /// # Errors
    /// It does not listen.
    fn set_mode(engine: &mut Enet<Mmio, 8>) -> Result<(), Timeout>;
}

/// A pin: its multiplexer's and its pad's registers, the function that it gets, and how it is driven.
pub struct Pin {
    /// IOMUXC_SW_MUX_CTL_PAD's offset.
    pub mux: u16,
    /// IOMUXC_SW_PAD_CTL_PAD's offset.
    pub pad: u16,
    /// The function.
    pub to: u32,
    /// The pad's setting.
    pub is: u32,
}

/// Strong and fast, pulled up by 100 kΩ.
pub const UP: u32 = 0xb0e9;
/// The same, pulled down.
pub const DOWN: u32 = 0x30e9;
/// A clock: stronger, not pulled.
const CLOCK: u32 = 0x0031;
/// A clock's pin is read back as well (SION).
const SION: u32 = 1 << 4;

const fn pin_b1(number: u16, to: u32, is: u32) -> Pin {
    // GPIO_B1_nn.
    Pin { mux: 0x17c + 4 * number, pad: 0x36c + 4 * number, to, is }
}

/// The board, started.
pub struct Board<W>(PhantomData<W>);

impl<W: Wiring> crate::Board for Board<W> {
    const NAME: &'static str = W::NAME;

    type Device = Device;

    fn start() -> Self {
        let mut core = cortex_m::Peripherals::take().expect("called once");
        // SAFETY: the registers lie there, and nobody else uses them at this time.
        let (ccm, unit) = unsafe { (Mmio::new(CCM), Mmio::new(mpu::BASE)) };
        mpu::map(&unit, &MAP).expect("a map that the processor has room for");
        core.SCB.enable_icache();
        core.SCB.enable_dcache(&mut core.CPUID);
        // CLPCR, LPM: while the core sleeps its clocks run on, and SysTick with them.
        ccm.modify(0x54, |old| old & !3);
        systick::start_on_reference(core.SYST, SYSTICK_HZ);
        Self(PhantomData)
    }

    fn device(&mut self) -> Result<Self::Device, &'static str> {
        set_clocks().map_err(|Timeout| "the PLL of the Ethernet does not lock")?;
        set_pins::<W>();
        W::reset();
        let (setup, pool) = (Setup::new(W::MAC), FRAMES.pool());
        // SAFETY: rings and pool are static, in tightly coupled memory, which the DMA reaches and no cache holds.
        let nic = unsafe { EnetNic::new(engine(), RX_RING.take(), TX_RING.take(), Coherent, pool, setup) };
        let mut nic = nic.map_err(|error| error.text())?;
        nic.start_phy(Some(W::PHY), Speed::Hundred, &mut systick::now).map_err(|error| error.text())?;
        // After its reset by the driver, which has undone it.
        W::set_mode(nic.engine()).map_err(|Timeout| "the PHY does not listen")?;
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

/// What the interrupt [`ETHERNET`] is handled by.
pub fn handle() {
    engine().interrupts(false);
    ATTENTION.raise();
}

/// A handle to the MAC: the driver's, and another in the interrupt handler, which only masks.
fn engine() -> Enet<Mmio, 8> {
    // No bus clock of this chip is above 150 MHz: what the boot ROM leaves makes the management clock slower, not faster.
    let features =
        Features { interface: Interface::Rmii, clock_hz: 150_000_000, inserts: true, verifies: true, timestamps: None };
    // SAFETY: the registers lie there; the driver and the handler are made for each other.
    Enet::new(unsafe { Mmio::new(ENET) }, features)
}

/// The MAC's clock, and 50 MHz from its PLL for the PHY and RMII.
fn set_clocks() -> Result<(), Timeout> {
    /// CCM_ANALOG_PLL_ENET, with registers to set and to clear bits.
    const PLL: u16 = 0xe0;
    const SET: u16 = PLL + 4;
    const CLEAR: u16 = PLL + 8;
    const POWERDOWN: u32 = 1 << 12;
    const ENABLE: u32 = 1 << 13;
    const BYPASS: u32 = 1 << 16;
    const REF_25M: u32 = 1 << 21;
    const LOCK: u32 = 1 << 31;
    // SAFETY: the registers lie there, and nobody else uses them at this time.
    let (ccm, analog, gpr) = unsafe { (Mmio::new(CCM), Mmio::new(CCM_ANALOG), Mmio::new(IOMUXC_GPR)) };
    // CCGR1, CG5: the MAC; CG13: GPIO1. CCGR0, CG15: GPIO2.
    ccm.modify(0x6c, |old| old | 3 << 10 | 3 << 26);
    ccm.modify(0x68, |old| old | 3 << 30);
    // From the crystal (BYPASS_CLK_SRC 0), DIV_SELECT 1: 50 MHz.
    analog.write(CLEAR, POWERDOWN | 3 << 14 | 3 << 2 | 3);
    analog.write(SET, REF_25M | ENABLE | BYPASS | 1);
    look(LOOKS, || analog.read(PLL) & LOCK != 0)?;
    analog.write(CLEAR, BYPASS);
    // GPR1: ENET1_CLK_SEL 0 and ENET1_TX_CLK_DIR 1, the PLL's clock goes out by the pin; ENET_IPG_CLK_S_EN 0.
    gpr.modify(0x04, |old| old & !(1 << 13 | 1 << 23) | 1 << 17);
    Ok(())
}

/// Ties the MAC to its PHY.
fn set_pins<W: Wiring>() {
    // SAFETY: the registers lie there, and nobody else uses these pins.
    let mux = unsafe { Mmio::new(IOMUXC) };
    // RXD0, RXD1, CRS_DV, RXER; TXD0, TXD1, TXEN; the 50 MHz.
    let straps = [4, 5, 6, 11].map(|number| pin_b1(number, 3, W::STRAPS));
    let others = [pin_b1(7, 3, UP), pin_b1(8, 3, UP), pin_b1(9, 3, UP), pin_b1(10, 6 | SION, CLOCK)];
    for Pin { mux: function, pad, to, is } in straps.iter().chain(&others).chain(W::PINS) {
        mux.write(*pad, *is);
        mux.write(*function, *to);
    }
    // Where the MAC looks for them: IPG_CLK_RMII, RXDATA0, RXDATA1, RXEN, RXERR.
    for select in [0x42c, 0x434, 0x438, 0x43c, 0x440] {
        mux.write(select, 1);
    }
    mux.write(0x430, W::MDIO);
}

/// A bank of GPIO pins.
pub struct Gpio(Mmio);

impl Gpio {
    /// GPIO1 and GPIO2.
    pub const ONE: usize = 0x401b_8000;
    /// As [`ONE`](Self::ONE).
    pub const TWO: usize = 0x401b_c000;

    /// The bank at `base`, with these pins as outputs.
    ///
    /// # Safety
    /// `base` is one of those above, and nobody else uses these pins.
    pub unsafe fn new(base: usize, pins: u32) -> Self {
        // SAFETY: as the caller promises.
        let registers = unsafe { Mmio::new(base) };
        // GDIR.
        registers.modify(0x04, |old| old | pins);
        Self(registers)
    }

    /// Makes pins high, or low, and waits so many milliseconds, or some more.
    pub fn drive(&self, pins: u32, high: bool, millis: u32) {
        // DR_SET, DR_CLEAR.
        self.0.write(if high { 0x84 } else { 0x88 }, pins);
        delay(CORE_MAX_HZ / 1000 * millis);
    }
}

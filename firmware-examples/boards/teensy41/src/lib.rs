//! The board teensy41: PJRC's Teensy 4.1, an i.MX RT1062 (Cortex-M7) with a DP83825I on RMII. Interrupt-driven; not tried on
//! hardware (see README.md).
#![no_std]

pub use firmware::entry;

use cortex_m::asm::delay;
use firmware::cortex::{self, Interrupt};
use firmware::systick;
use imxrt_rt as _;
use ringtap::device::Mac;
use ringtap::frame::PoolMemory;
use ringtap::time::Instant;
use ringtap_drivers::coherency::Coherent;
use ringtap_drivers::enet::descriptor::{RxDesc, TxDesc};
use ringtap_drivers::enet::{Enet, EnetNic, Features, Interface};
use ringtap_drivers::engine::{Engine as _, Setup};
use ringtap_drivers::interrupt::Attention;
use ringtap_drivers::phy::Speed;
use ringtap_drivers::regs::{Mmio, Registers as _, Timeout, look};
use static_cell::ConstStaticCell;
// What the boot ROM reads first: how the flash is spoken to.
use teensy4_fcb as _;

/// SysTick's reference: the 24 MHz crystal by 240, whatever the core runs at (IMXRT1060RM, "Arm Cortex-M7 platform").
const SYSTICK_HZ: u32 = 100_000;

/// The core's clock at most, for waits that must be long enough.
const CORE_MAX_HZ: u32 = 600_000_000;

/// Locally administered: the board's own lies in its fuses.
const MAC: Mac = Mac([0x02, b'r', 0x41, 0, 0, 1]);

/// The MAC's interrupt.
const ETHERNET: Interrupt = Interrupt(114);

/// The DP83825I's address, and its RMII control and status register: 50 MHz come in at XI, a FIFO of two bits
/// (SNLS638, RCSR).
const PHY: u8 = 0;
const RCSR: u8 = 0x17;
const RCSR_50_MHZ: u16 = 0x0081;

// Register blocks (IMXRT1060RM, memory map).
const ENET: usize = 0x402d_8000;
const GPIO2: usize = 0x401b_c000;
const IOMUXC: usize = 0x401f_8000;
const IOMUXC_GPR: usize = 0x400a_c000;
const CCM: usize = 0x400f_c000;
const CCM_ANALOG: usize = 0x400d_8000;

/// GPIO2's pins that lead to the PHY: reset, and power-down; both act when low.
const RESET: u32 = 1 << 14;
const POWER: u32 = 1 << 15;

/// Looks at a register of the clocks: the PLL locks within a millisecond.
const LOOKS: u32 = 1_000_000;

const RX: usize = 8;
const TX: usize = 8;

static ATTENTION: Attention = Attention::new();
static FRAMES: PoolMemory<1536, 24> = PoolMemory::new();
static RX_RING: ConstStaticCell<[RxDesc<8>; RX]> = ConstStaticCell::new([const { RxDesc::new() }; RX]);
static TX_RING: ConstStaticCell<[TxDesc<8>; TX]> = ConstStaticCell::new([const { TxDesc::new() }; TX]);

/// The board, started.
pub struct Board(());

impl firmware::Board for Board {
    const NAME: &'static str = "teensy41";

    type Device = EnetNic<'static, 'static, Mmio, Coherent, 8, RX, TX>;

    fn start() -> Self {
        let core = cortex_m::Peripherals::take().expect("called once");
        // SAFETY: the registers lie there, and nobody else uses them at this time.
        let ccm = unsafe { Mmio::new(CCM) };
        // CLPCR, LPM: while the core sleeps its clocks run on, and SysTick with them.
        ccm.modify(0x54, |old| old & !3);
        systick::start_on_reference(core.SYST, SYSTICK_HZ);
        Self(())
    }

    fn device(&mut self) -> Result<Self::Device, &'static str> {
        set_clocks().map_err(|Timeout| "the PLL of the Ethernet does not lock")?;
        connect();
        let (setup, pool) = (Setup::new(MAC), FRAMES.pool());
        // SAFETY: rings and pool are static, in tightly coupled memory, which the DMA reaches and no cache holds.
        let nic = unsafe { EnetNic::new(engine(), RX_RING.take(), TX_RING.take(), Coherent, pool, setup) };
        let mut nic = nic.map_err(|error| error.text())?;
        nic.start_phy(Some(PHY), Speed::Hundred, &mut systick::now).map_err(|error| error.text())?;
        // After its reset, which has undone it.
        nic.engine().mdio_write(PHY, RCSR, RCSR_50_MHZ).map_err(|Timeout| "the PHY does not listen")?;
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
    // CCGR1, CG5: the MAC. CCGR0, CG15: GPIO2.
    ccm.modify(0x6c, |old| old | 3 << 10);
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

/// Ties the MAC to its PHY: the pins, whose levels at the end of the reset choose the PHY's address, and the reset.
fn connect() {
    // SAFETY: the registers lie there, and nobody else uses these pins.
    let (mux, gpio) = unsafe { (Mmio::new(IOMUXC), Mmio::new(GPIO2)) };
    for Pin { mux: function, pad, to, is } in PINS {
        mux.write(pad, is);
        mux.write(function, to);
    }
    // Where the MAC looks for them: IPG_CLK_RMII, RXDATA0, RXDATA1, RXEN, RXERR in the first place, MDIO in the second.
    for select in [0x42c, 0x434, 0x438, 0x43c, 0x440] {
        mux.write(select, 1);
    }
    mux.write(0x430, 2);
    // GDIR, DR_CLEAR, DR_SET: 50 ms without power, 50 ms in reset.
    gpio.modify(0x04, |old| old | RESET | POWER);
    gpio.write(0x88, RESET | POWER);
    delay(CORE_MAX_HZ / 20);
    gpio.write(0x84, POWER);
    delay(CORE_MAX_HZ / 20);
    gpio.write(0x84, RESET);
    // T2 of SNLS638: management begins 50 ms after the reset.
    delay(CORE_MAX_HZ / 20);
}

/// A pin: its multiplexer's and its pad's registers, the function that it gets, and how it is driven.
struct Pin {
    mux: u16,
    pad: u16,
    to: u32,
    is: u32,
}

/// Strong and fast; pulled down by 100 kΩ, or up.
const DOWN: u32 = 0x30e9;
const UP: u32 = 0xb0e9;
/// A clock: stronger, not pulled.
const CLOCK: u32 = 0x0031;
/// A clock's pin is read back as well (SION).
const SION: u32 = 1 << 4;

const fn pin(number: u16, to: u32, is: u32) -> Pin {
    // GPIO_B1_nn.
    Pin { mux: 0x17c + 4 * number, pad: 0x36c + 4 * number, to, is }
}

/// RXD0, RXD1, CRS_DV, RXER pulled down: they choose the PHY's address 0; TXD0, TXD1, TXEN; the 50 MHz; MDC, MDIO. Then the
/// two of GPIO: GPIO_B0_14 (reset) and GPIO_B0_15 (power).
const PINS: [Pin; 12] = [
    pin(4, 3, DOWN),
    pin(5, 3, DOWN),
    pin(6, 3, DOWN),
    pin(11, 3, DOWN),
    pin(7, 3, UP),
    pin(8, 3, UP),
    pin(9, 3, UP),
    pin(10, 6 | SION, CLOCK),
    pin(14, 0, UP),
    pin(15, 0, UP),
    Pin { mux: 0x174, pad: 0x364, to: 5, is: UP },
    Pin { mux: 0x178, pad: 0x368, to: 5, is: UP },
];

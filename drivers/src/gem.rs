//! Cadence GEM: the MAC of SAM E70, S70, V71 and E54, PolarFire SoC, Zynq and Zynq UltraScale+.
//!
//! Written against Microchip's DS60001527 (SAM E70, where it is called GMAC) and AMD's UG585 (Zynq), with UG585's names
//! where they differ. Queue 0 is used; the others are parked on a descriptor that is never the hardware's.
//!
//! ```text
//!   0x00 NWCTRL  0x04 NWCFG  0x08 NWSR  0x10 DMACFG  0x14 TXSTATUS  0x18 RXQBASE  0x1C TXQBASE  0x20 RXSTATUS
//!   0x24 ISR  0x28 IER  0x2C IDR  0x34 PHYMNTNC  0x80 HASH  0x88 SPADDR1  0x1A0 statistics  0x1BC clock
//!   0x440 queues 1..  0x4CC time stamps in descriptors
//! ```

pub mod descriptor;

#[cfg(test)]
mod tests;

use crate::engine::stamp::read_clock;
use crate::engine::{Engine, Events, Filter, LOOKS, RingNic, Rings};
use crate::hash;
use crate::phy::{Mode, Speed};
use crate::regs::{Registers, Timeout, look};
use crate::ring::RxDescriptor;
use crate::word::{bit, high, low};
use descriptor::{RxDesc, TxDesc};
use ringtap::device::{ChecksumOffload, Mac, TxChecksum, TxMeta};
use ringtap::frame::Frame;
use ringtap::time::Instant;

/// A network card of this MAC, with descriptors of `N` words: 2; 4 where addresses have 64 bits; 6 where they have time stamps
/// besides.
pub type GemNic<'d, 'p, M, C, const N: usize, const RX: usize, const TX: usize> = RingNic<'d, 'p, Gem<M, N>, C, RX, TX>;

/// Offsets of registers.
mod reg {
    pub const NWCTRL: u16 = 0x00;
    pub const NWCFG: u16 = 0x04;
    pub const NWSR: u16 = 0x08;
    pub const DMACFG: u16 = 0x10;
    pub const TXSTATUS: u16 = 0x14;
    pub const RXQBASE: u16 = 0x18;
    pub const TXQBASE: u16 = 0x1c;
    pub const RXSTATUS: u16 = 0x20;
    pub const ISR: u16 = 0x24;
    pub const IER: u16 = 0x28;
    pub const IDR: u16 = 0x2c;
    pub const PHYMNTNC: u16 = 0x34;
    pub const HASHBOT: u16 = 0x80;
    pub const HASHTOP: u16 = 0x84;
    pub const SPADDR1LO: u16 = 0x88;
    pub const SPADDR1HI: u16 = 0x8c;
    /// Frames that found no descriptor, and that found the FIFO full. Reading clears them.
    pub const RRE: u16 = 0x1a0;
    pub const ROE: u16 = 0x1a4;
    /// The clock: what it goes on by in a cycle, in nanoseconds with eight bits of whole ones and 16 of parts; seconds, of 48
    /// bits, and nanoseconds.
    pub const TISUBN: u16 = 0x1bc;
    pub const TSH: u16 = 0x1c0;
    pub const TSL: u16 = 0x1d0;
    pub const TN: u16 = 0x1d4;
    pub const TI: u16 = 0x1dc;
    /// Which frames have time stamps in their descriptors.
    pub const TXBDCTRL: u16 = 0x4cc;
    pub const RXBDCTRL: u16 = 0x4d0;
    /// Of queue 1; those of the next ones follow.
    pub const TXQ1BASE: u16 = 0x440;
    pub const RXQ1BASE: u16 = 0x480;
    pub const IDRQ1: u16 = 0x620;
    /// Upper halves of the addresses of all queues.
    pub const TXQBASEHI: u16 = 0x4c8;
    pub const RXQBASEHI: u16 = 0x4d4;
}

/// Bits of NWCTRL.
mod nwctrl {
    use super::bit;
    pub const RXEN: u32 = bit(2);
    pub const TXEN: u32 = bit(3);
    pub const MDEN: u32 = bit(4);
    pub const CLRSTAT: u32 = bit(5);
    pub const STARTTX: u32 = bit(9);
    pub const HALTTX: u32 = bit(10);
}

/// Bits of NWCFG.
mod nwcfg {
    use super::bit;
    pub const SPEED: u32 = bit(0);
    pub const FULL_DUPLEX: u32 = bit(1);
    pub const COPYALL: u32 = bit(4);
    pub const MCASTHASHEN: u32 = bit(6);
    /// Frames up to 1536 octets.
    pub const RX1536: u32 = bit(8);
    pub const GIGABIT: u32 = bit(10);
    pub const FCSREM: u32 = bit(17);
    pub const MDC_SHIFT: u32 = 18;
    pub const RXCHKSUMEN: u32 = bit(24);
}

/// Bits of DMACFG.
mod dmacfg {
    use super::bit;
    /// Bursts of 16 beats at most.
    pub const BURST_16: u32 = 16;
    /// All of the receive buffer's memory, and of the transmit one's.
    pub const RX_MEMORY: u32 = 3 << 8;
    pub const TX_MEMORY: u32 = bit(10);
    pub const TXCHKSUMEN: u32 = bit(11);
    /// Octets of a buffer, in units of 64.
    pub const BUFFER_SHIFT: u32 = 16;
    /// Two words more for time stamps.
    pub const RX_EXTENDED: u32 = bit(28);
    pub const TX_EXTENDED: u32 = bit(29);
    pub const ADDRESS_64: u32 = bit(30);
}

/// Bits of TXSTATUS.
mod txstatus {
    use super::bit;
    /// A used descriptor was read: the transmitter stopped there.
    pub const UBR: u32 = bit(0);
    pub const RLE: u32 = bit(2);
    pub const GO: u32 = bit(3);
    pub const TFC: u32 = bit(4);
    pub const UND: u32 = bit(6);
    pub const HRESP: u32 = bit(8);
    /// Those after which the transmitter stands at its list's beginning.
    pub const FAULT: u32 = RLE | TFC | UND | HRESP;
}

/// Bits of RXSTATUS.
mod rxstatus {
    use super::bit;
    /// No descriptor.
    pub const BNA: u32 = bit(0);
    pub const RXOVR: u32 = bit(2);
    pub const HRESP: u32 = bit(3);
}

/// Bits of ISR, IER and IDR: received, no descriptor, frame lost, sent, overrun, bus error.
const INTERRUPTS: u32 = bit(1) | bit(2) | bit(5) | bit(6) | bit(7) | bit(10) | bit(11);

/// What queues without a ring stand on: descriptors that are never the hardware's. For a `static`, where the DMA reaches.
#[derive(Debug)]
#[repr(C, align(16))]
pub struct Parking<const N: usize> {
    rx: RxDesc<N>,
    tx: TxDesc<N>,
}

impl<const N: usize> Parking<N> {
    /// One for all queues.
    pub const fn new() -> Self {
        Self { rx: RxDesc::parked(), tx: TxDesc::parked() }
    }
}

impl<const N: usize> Default for Parking<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// What a silicon has, or is wanted of it.
#[derive(Clone, Copy, Debug)]
pub struct Features<const N: usize> {
    /// Checksums are computed and verified by the MAC.
    pub checksum: bool,
    /// The clock that the management interface is divided from, in Hz.
    pub pclk_hz: u32,
    /// Queues of the part: 1 (Zynq, SAM E54), 2 (Zynq UltraScale+), 6 (SAM E70).
    pub queues: u8,
    /// Where those beyond the first are parked; needed only if there are some.
    pub parking: Option<&'static Parking<N>>,
    /// The rate of the clock, which counts from [`init`](Engine::init) on. With descriptors of six words received packets,
    /// and sent frames that ask for them, have time stamps by it.
    pub timestamps: Option<TsuRate>,
}

/// What the MAC's clock goes on by in each of its cycles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TsuRate {
    /// 2^-16 ns.
    increment: u32,
}

impl TsuRate {
    /// From the frequency in Hz of the clock that the time stamp unit counts; `None` below 5 MHz, where the increment has no
    /// room in its register, and above 1 GHz.
    pub const fn from_hz(hz: u32) -> Option<Self> {
        if hz < 5_000_000 || hz > 1_000_000_000 {
            return None;
        }
        Some(Self { increment: ((1_000_000_000u64 << 16) / hz as u64) as u32 })
    }
}

/// The MAC's registers.
#[derive(Debug)]
pub struct Gem<M, const N: usize> {
    registers: M,
    features: Features<N>,
    mode: Mode,
    promiscuous: bool,
    /// The enable bits of NWCTRL.
    running: u32,
}

impl<M: Registers, const N: usize> Gem<M, N> {
    /// The MAC at these registers, with its clocks on.
    pub const fn new(registers: M, features: Features<N>) -> Self {
        Self { registers, features, mode: Mode::DEFAULT, promiscuous: false, running: 0 }
    }

    fn configure(&self) {
        let Mode { speed, full_duplex } = self.mode;
        let mut value = nwcfg::MCASTHASHEN | nwcfg::RX1536 | nwcfg::FCSREM;
        value |= divider(self.features.pclk_hz) << nwcfg::MDC_SHIFT;
        for (on, bits) in [
            (speed >= Speed::Hundred, nwcfg::SPEED),
            (speed >= Speed::Gigabit, nwcfg::GIGABIT),
            (full_duplex, nwcfg::FULL_DUPLEX),
            (self.features.checksum, nwcfg::RXCHKSUMEN),
            (self.promiscuous, nwcfg::COPYALL),
        ] {
            value |= if on { bits } else { 0 };
        }
        self.registers.write(reg::NWCFG, value);
    }

    fn control(&self, bits: u32) {
        self.registers.write(reg::NWCTRL, self.running | nwctrl::MDEN | bits);
    }

    /// A queue beyond the first would otherwise walk over whatever lies at address zero.
    fn park(&self) {
        let Some(parking) = self.features.parking else { return };
        for queue in 0..u16::from(self.features.queues.saturating_sub(1)) {
            self.registers.write(reg::TXQ1BASE + 4 * queue, low((&raw const parking.tx).cast()));
            self.registers.write(reg::RXQ1BASE + 4 * queue, low((&raw const parking.rx).cast()));
            self.registers.write(reg::IDRQ1 + 4 * queue, u32::MAX);
        }
    }

    /// Starts the clock at zero.
    fn start_clock(&self) {
        /// TXBDCTRL, RXBDCTRL: all frames.
        const ALL: u32 = 0b11 << 4;
        let r = &self.registers;
        let Some(TsuRate { increment }) = self.features.timestamps else {
            if N == 6 {
                r.write(reg::TXBDCTRL, 0);
                r.write(reg::RXBDCTRL, 0);
            }
            return;
        };
        r.write(reg::TISUBN, increment & 0xffff);
        r.write(reg::TI, increment >> 16);
        // The nanoseconds first: a second that ends just now would be added to the others.
        r.write(reg::TN, 0);
        r.write(reg::TSH, 0);
        r.write(reg::TSL, 0);
        if N == 6 {
            r.write(reg::TXBDCTRL, ALL);
            r.write(reg::RXBDCTRL, ALL);
        }
    }

    fn management(&mut self, operation: u32, phy: u8, register: u8, data: u16) -> Result<u16, Timeout> {
        /// Clause 22, and the turn-around that it wants.
        const CLAUSE_22: u32 = 1 << 30 | 0b10 << 16;
        /// NWSR: the interface is idle.
        const IDLE: u32 = bit(2);
        look(LOOKS, || self.registers.read(reg::NWSR) & IDLE != 0)?;
        let address = u32::from(phy & 31) << 23 | u32::from(register & 31) << 18;
        self.registers.write(reg::PHYMNTNC, CLAUSE_22 | operation << 28 | address | u32::from(data));
        look(LOOKS, || self.registers.read(reg::NWSR) & IDLE != 0)?;
        Ok(self.registers.read(reg::PHYMNTNC) as u16)
    }
}

/// The field of NWCFG that keeps the management clock at 2.5 MHz or below.
const fn divider(pclk_hz: u32) -> u32 {
    const DIVISORS: [u32; 8] = [8, 16, 32, 48, 64, 96, 128, 224];
    let mut field = 0;
    while field < 7 && pclk_hz / DIVISORS[field] > 2_500_000 {
        field += 1;
    }
    field as u32
}

impl<M: Registers, const N: usize> Engine for Gem<M, N> {
    type Rx = RxDesc<N>;
    type Tx = TxDesc<N>;

    fn hash(group: Mac) -> u32 {
        hash::cadence(group)
    }

    fn init(&mut self, rings: &Rings) -> Result<(), Timeout> {
        // There is no reset: the block is stopped and all of its registers are written.
        self.stop()?;
        let r = &self.registers;
        self.control(nwctrl::CLRSTAT);
        r.write(reg::TXSTATUS, u32::MAX);
        r.write(reg::RXSTATUS, u32::MAX);
        let _ = r.read(reg::ISR);
        r.write(reg::ISR, u32::MAX);
        self.configure();
        let units = (rings.capacity / <RxDesc<N> as RxDescriptor>::UNIT) as u32;
        let wide = if N >= 4 { dmacfg::ADDRESS_64 } else { 0 };
        let extended = if N == 6 { dmacfg::RX_EXTENDED | dmacfg::TX_EXTENDED } else { 0 };
        let checksum = if self.features.checksum { dmacfg::TXCHKSUMEN } else { 0 };
        let memory = dmacfg::RX_MEMORY | dmacfg::TX_MEMORY | dmacfg::BURST_16;
        r.write(reg::DMACFG, memory | units << dmacfg::BUFFER_SHIFT | wide | extended | checksum);
        self.park();
        r.write(reg::RXQBASE, low(rings.rx));
        r.write(reg::TXQBASE, low(rings.tx));
        if N >= 4 {
            r.write(reg::RXQBASEHI, high(rings.rx));
            r.write(reg::TXQBASEHI, high(rings.tx));
        }
        let [a, b, c, d, e, f] = rings.mac.0;
        // The upper register arms the comparison.
        r.write(reg::SPADDR1LO, u32::from_le_bytes([a, b, c, d]));
        r.write(reg::SPADDR1HI, u32::from_le_bytes([e, f, 0, 0]));
        self.start_clock();
        Ok(())
    }

    fn start(&mut self) {
        self.running = nwctrl::RXEN | nwctrl::TXEN;
        self.control(0);
    }

    fn stop(&mut self) -> Result<(), Timeout> {
        self.interrupts(false);
        if self.running != 0 {
            self.control(nwctrl::HALTTX);
            // The frame that is going out may end.
            let _ = look(LOOKS, || self.registers.read(reg::TXSTATUS) & txstatus::GO == 0);
        }
        self.running = 0;
        self.control(0);
        look(LOOKS, || self.registers.read(reg::TXSTATUS) & txstatus::GO == 0)
    }

    fn kick_rx(&mut self, _: usize) {}

    fn kick_tx(&mut self, _: usize, _: usize) {
        self.control(nwctrl::STARTTX);
    }

    fn events(&mut self, _: usize, unsent: usize) -> Events {
        let r = &self.registers;
        let (rx, tx) = (r.read(reg::RXSTATUS), r.read(reg::TXSTATUS));
        r.write(reg::RXSTATUS, rx);
        r.write(reg::TXSTATUS, tx & !txstatus::GO);
        // Some parts clear it by reading, others by writing.
        let pending = r.read(reg::ISR);
        r.write(reg::ISR, pending);
        let mut overruns = 0;
        if rx & (rxstatus::BNA | rxstatus::RXOVR) != 0 {
            overruns = r.read(reg::RRE).wrapping_add(r.read(reg::ROE));
            // Once, and not until it stays away: on a part with parked queues it may never do so. Some hold on to the
            // used descriptor that they have read until they are told that receive is on.
            self.control(0);
        }
        if tx & txstatus::UBR != 0 && unsent > 0 {
            // It may have read the descriptor just before it was given, and have passed over the doorbell.
            self.control(nwctrl::STARTTX);
        }
        Events { overruns, fault: rx & rxstatus::HRESP != 0 || tx & txstatus::FAULT != 0 }
    }

    fn interrupts(&mut self, on: bool) {
        self.registers.write(if on { reg::IER } else { reg::IDR }, if on { INTERRUPTS } else { u32::MAX });
    }

    fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
        self.configure();
    }

    fn set_filter(&mut self, filter: &Filter) {
        let [low, high] = filter.hashes;
        self.registers.write(reg::HASHBOT, low);
        self.registers.write(reg::HASHTOP, high);
        self.promiscuous = filter.promiscuous;
        self.configure();
    }

    fn mdio_read(&mut self, phy: u8, register: u8) -> Result<u16, Timeout> {
        self.management(0b10, phy, register, 0)
    }

    fn mdio_write(&mut self, phy: u8, register: u8, value: u16) -> Result<(), Timeout> {
        self.management(0b01, phy, register, value).map(drop)
    }

    fn checksum(&self) -> ChecksumOffload {
        let on = self.features.checksum;
        ChecksumOffload { tcp: on, udp: on, ipv4: false }
    }

    fn verifies(&self) -> bool {
        self.features.checksum
    }

    fn stamps(&self) -> bool {
        N == 6 && self.features.timestamps.is_some()
    }

    fn clock(&mut self) -> Option<Instant> {
        self.features.timestamps?;
        Some(read_clock(|| self.registers.read(reg::TSL), || self.registers.read(reg::TN)))
    }

    fn whole_time(&mut self, part: Instant) -> Option<Instant> {
        // The clock has gone on since then, by less than the 64 seconds that a descriptor has.
        let now = self.registers.read(reg::TSL);
        let micros = part.as_micros() as u32;
        let (seconds, below) = (micros / 1_000_000, micros % 1_000_000);
        let seconds = now.saturating_sub(now.wrapping_sub(seconds) & 63);
        Some(Instant::from_micros(u64::from(seconds) * 1_000_000 + u64::from(below)))
    }

    fn prepare(&self, frame: &mut Frame<'_>, meta: &TxMeta) {
        // It sums what lies in the field as well, and wants to find nothing there.
        if let TxChecksum::Partial { start, offset } = meta.checksum
            && let Some(field) = frame.get_mut(usize::from(start) + usize::from(offset)..)
            && let Some(field) = field.get_mut(..2)
        {
            field.fill(0);
        }
    }
}

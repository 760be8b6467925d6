//! NXP ENET: the MAC of i.MX RT10xx, i.MX 6 and 7, Kinetis K6x and Vybrid.
//!
//! Written against the i.MX RT1060 reference manual (IMXRT1060RM), with its names.
//!
//! ```text
//!   0x004 EIR  0x008 EIMR  0x010 RDAR  0x014 TDAR  0x024 ECR  0x040 MMFR  0x044 MSCR  0x084 RCR  0x0C4 TCR
//!   0x0E4 PALR 0x0E8 PAUR  0x118 IAUR, IALR, GAUR, GALR  0x144 TFWR  0x180 RDSR  0x184 TDSR  0x188 MRBR  0x1C4 RACC
//!   0x400 ATCR  0x404 ATVR  0x40C ATPER  0x414 ATINC
//! ```

pub mod descriptor;

#[cfg(test)]
mod tests;

use crate::engine::stamp::from_halves;
use crate::engine::{Engine, Events, Filter, LOOKS, RingNic, Rings};
use crate::hash;
use crate::phy::{Mode, Speed};
use crate::regs::{Registers, Timeout, look};
use crate::word::{bit, low};
use descriptor::{RxDesc, TxDesc};
use ringtap::device::{ChecksumOffload, Mac, TxChecksum, TxMeta};
use ringtap::frame::Frame;
use ringtap::time::{Duration, Instant};

/// A network card of this MAC, with descriptors of `N` words: 2 (legacy) or 8 (enhanced).
pub type EnetNic<'d, 'p, M, C, const N: usize, const RX: usize, const TX: usize> =
    RingNic<'d, 'p, Enet<M, N>, C, RX, TX>;

/// Offsets of registers.
mod reg {
    pub const EIR: u16 = 0x004;
    pub const EIMR: u16 = 0x008;
    pub const RDAR: u16 = 0x010;
    pub const TDAR: u16 = 0x014;
    pub const ECR: u16 = 0x024;
    pub const MMFR: u16 = 0x040;
    pub const MSCR: u16 = 0x044;
    pub const RCR: u16 = 0x084;
    pub const TCR: u16 = 0x0c4;
    pub const PALR: u16 = 0x0e4;
    pub const PAUR: u16 = 0x0e8;
    pub const IAUR: u16 = 0x118;
    pub const IALR: u16 = 0x11c;
    pub const GAUR: u16 = 0x120;
    pub const GALR: u16 = 0x124;
    pub const TFWR: u16 = 0x144;
    pub const RDSR: u16 = 0x180;
    pub const TDSR: u16 = 0x184;
    pub const MRBR: u16 = 0x188;
    pub const RACC: u16 = 0x1c4;
    /// Frames that the receive FIFO had no room for, since the reset.
    pub const MACERR: u16 = 0x2d8;
    pub const ATCR: u16 = 0x400;
    pub const ATVR: u16 = 0x404;
    pub const ATPER: u16 = 0x40c;
    pub const ATINC: u16 = 0x414;
}

/// Bits of EIR and EIMR.
mod eir {
    use super::bit;
    /// A second of the clock has ended.
    pub const TS_TIMER: u32 = bit(15);
    pub const EBERR: u32 = bit(22);
    pub const MII: u32 = bit(23);
    pub const RXF: u32 = bit(25);
    pub const TXF: u32 = bit(27);
}

/// Bits of ECR.
mod ecr {
    use super::bit;
    pub const RESET: u32 = bit(0);
    pub const ETHEREN: u32 = bit(1);
    pub const EN1588: u32 = bit(4);
    pub const SPEED: u32 = bit(5);
    /// Descriptors lie in the processor's order of octets.
    pub const DBSWP: u32 = bit(8);
}

/// Bits of RCR.
mod rcr {
    use super::bit;
    /// Do not listen to oneself: for half duplex.
    pub const DRT: u32 = bit(1);
    pub const MII_MODE: u32 = bit(2);
    pub const PROM: u32 = bit(3);
    pub const RMII_MODE: u32 = bit(8);
    pub const RMII_10T: u32 = bit(9);
    pub const MAX_FL_SHIFT: u32 = 16;
}

/// Bits of ATCR.
mod atcr {
    use super::bit;
    pub const EN: u32 = bit(0);
    /// The clock begins again at ATPER, and says so.
    pub const PEREN: u32 = bit(4);
    pub const RESTART: u32 = bit(9);
    pub const CAPTURE: u32 = bit(11);
}

/// TCR: full duplex.
const FDEN: u32 = bit(2);
/// TFWR: store and forward, without which checksums are not inserted.
const STRFWD: u32 = bit(8);
/// RDAR and TDAR: there are descriptors.
const ACTIVE: u32 = bit(24);
/// The longest frame, with its FCS and a VLAN tag.
const MAX_FL: u32 = 1522;
/// What the DMA's reads begin at a multiple of.
const TX_ALIGN: usize = 16;

/// How the PHY is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// Four data lines each way.
    Mii,
    /// Two data lines each way.
    Rmii,
}

/// What a silicon has, or is wanted of it.
#[derive(Clone, Copy, Debug)]
pub struct Features {
    /// The PHY's interface.
    pub interface: Interface,
    /// The MAC's internal clock in Hz, from which the management clock is divided.
    pub clock_hz: u32,
    /// Checksums are inserted on transmit; only with enhanced descriptors.
    pub inserts: bool,
    /// Checksums are verified on receive; only with enhanced descriptors. QEMU's model does not, and says all were right.
    pub verifies: bool,
    /// The rate of the clock, which counts from [`init`](Engine::init) on. With enhanced descriptors received packets, and
    /// sent frames that ask for them, have time stamps by it, as long as the device is polled, or tended, more than once a
    /// second: the clock itself knows of no seconds.
    pub timestamps: Option<TimerRate>,
}

/// What the MAC's 1588 timer goes on by in each of its cycles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerRate {
    nanos: u8,
}

impl TimerRate {
    /// From the frequency in Hz of the clock that the timer counts; `None` where a cycle has no whole number of nanoseconds
    /// below 128.
    pub const fn from_hz(hz: u32) -> Option<Self> {
        if hz == 0 || !SECOND.is_multiple_of(hz) || SECOND / hz > 127 {
            return None;
        }
        Some(Self { nanos: (SECOND / hz) as u8 })
    }
}

/// Nanoseconds of a second.
const SECOND: u32 = 1_000_000_000;

/// The clock as it was looked at last.
#[derive(Clone, Copy, Debug, Default)]
struct Clock {
    seconds: u32,
    nanos: u32,
    /// It does not answer: nothing drives it.
    is_dead: bool,
}

/// The MAC's registers.
#[derive(Debug)]
pub struct Enet<M, const N: usize> {
    registers: M,
    features: Features,
    mode: Mode,
    filter: Filter,
    /// The count of MACERR that was told.
    overruns: u32,
    clock: Clock,
}

impl<M: Registers, const N: usize> Enet<M, N> {
    /// The MAC at these registers, with its clocks on.
    pub const fn new(registers: M, features: Features) -> Self {
        let filter = Filter { promiscuous: false, hashes: [0; 2] };
        Self {
            registers,
            features,
            mode: Mode::DEFAULT,
            filter,
            overruns: 0,
            clock: Clock { seconds: 0, nanos: 0, is_dead: false },
        }
    }

    fn reset(&self) -> Result<(), Timeout> {
        self.registers.write(reg::ECR, ecr::RESET);
        look(LOOKS, || self.registers.read(reg::ECR) & ecr::RESET == 0)
    }

    fn configure(&self) {
        let Mode { speed, full_duplex } = self.mode;
        let mut value = rcr::MII_MODE | MAX_FL << rcr::MAX_FL_SHIFT;
        for (on, bits) in [
            (self.features.interface == Interface::Rmii, rcr::RMII_MODE),
            (speed == Speed::Ten, rcr::RMII_10T),
            (!full_duplex, rcr::DRT),
            (self.filter.promiscuous, rcr::PROM),
        ] {
            value |= if on { bits } else { 0 };
        }
        self.registers.write(reg::RCR, value);
        self.registers.write(reg::TCR, if full_duplex { FDEN } else { 0 });
    }

    /// Starts the clock at zero.
    fn start_clock(&mut self) {
        self.clock = Clock::default();
        let Some(TimerRate { nanos }) = self.features.timestamps else { return };
        let r = &self.registers;
        r.write(reg::ATCR, atcr::RESTART);
        r.write(reg::ATINC, nanos.into());
        r.write(reg::ATPER, SECOND);
        r.write(reg::ATCR, atcr::PEREN | atcr::EN);
    }

    /// Looks at the clock, and counts a second when one has ended since. `None` without a clock.
    fn look_at_clock(&mut self) -> Option<Clock> {
        self.features.timestamps?;
        if self.clock.is_dead {
            return None;
        }
        self.count_second();
        let mut nanos = self.capture();
        if self.count_second() {
            // It is not known on which side of the second's end the first one was.
            nanos = self.capture();
        }
        match nanos {
            Ok(nanos) => self.clock.nanos = nanos,
            Err(Timeout) => self.clock.is_dead = true,
        }
        nanos.ok().map(|_| self.clock)
    }

    /// Whether a second has ended since it was asked last.
    fn count_second(&mut self) -> bool {
        let ended = self.registers.read(reg::EIR) & eir::TS_TIMER != 0;
        if ended {
            self.registers.write(reg::EIR, eir::TS_TIMER);
            self.clock.seconds = self.clock.seconds.wrapping_add(1);
        }
        ended
    }

    fn capture(&self) -> Result<u32, Timeout> {
        let r = &self.registers;
        // Twice, since the first time does not take on the silicon of i.MX 6 and Kinetis.
        for _ in 0..2 {
            r.modify(reg::ATCR, |old| old | atcr::CAPTURE);
            look(LOOKS, || r.read(reg::ATCR) & atcr::CAPTURE == 0)?;
        }
        Ok(r.read(reg::ATVR))
    }

    fn management(&self, operation: u32, phy: u8, register: u8, data: u16) -> Result<u16, Timeout> {
        /// The frame's start and turn-around.
        const FRAME: u32 = 0b01 << 30 | 0b10 << 16;
        let address = u32::from(phy & 31) << 23 | u32::from(register & 31) << 18;
        self.registers.write(reg::EIR, eir::MII);
        self.registers.write(reg::MMFR, FRAME | operation << 28 | address | u32::from(data));
        look(LOOKS, || self.registers.read(reg::EIR) & eir::MII != 0)?;
        self.registers.write(reg::EIR, eir::MII);
        Ok(self.registers.read(reg::MMFR) as u16)
    }
}

/// MSCR's field that keeps the management clock at 2.5 MHz or below, and its hold time at 10 ns or above.
const fn management_clock(clock_hz: u32) -> u32 {
    let speed = clock_hz.div_ceil(5_000_000).saturating_sub(1);
    // The field has six bits: enough up to 320 MHz.
    let speed = if speed > 63 { 63 } else { speed };
    let hold = clock_hz / 100_000_000;
    let hold = if hold > 7 { 7 } else { hold };
    speed << 1 | hold << 8
}

impl<M: Registers, const N: usize> Engine for Enet<M, N> {
    type Rx = RxDesc<N>;
    type Tx = TxDesc<N>;
    const TRAILER: usize = 4;
    // TCR and RCR are written only while ETHEREN is 0, and then the MAC forgets where it is in its rings.
    const MODE_RESTARTS: bool = true;

    fn hash(group: Mac) -> u32 {
        hash::enet(group)
    }

    fn init(&mut self, rings: &Rings) -> Result<(), Timeout> {
        self.reset()?;
        let r = &self.registers;
        r.write(reg::EIMR, 0);
        r.write(reg::EIR, u32::MAX);
        let [a, b, c, d, e, f] = rings.mac.0;
        r.write(reg::PALR, u32::from_be_bytes([a, b, c, d]));
        r.write(reg::PAUR, u32::from_be_bytes([e, f, 0, 0]));
        r.write(reg::MSCR, management_clock(self.features.clock_hz));
        self.configure();
        r.write(reg::IAUR, 0);
        r.write(reg::IALR, 0);
        r.write(reg::TFWR, STRFWD);
        // Bad frames are not thrown away by the MAC: they are counted.
        r.write(reg::RACC, 0);
        r.write(reg::MRBR, rings.capacity as u32);
        r.write(reg::RDSR, low(rings.rx));
        r.write(reg::TDSR, low(rings.tx));
        self.overruns = 0;
        self.start_clock();
        Ok(())
    }

    fn start(&mut self) {
        let enhanced = if N == 8 { ecr::EN1588 } else { 0 };
        let speed = if self.mode.speed == Speed::Gigabit { ecr::SPEED } else { 0 };
        self.registers.write(reg::ECR, ecr::ETHEREN | ecr::DBSWP | enhanced | speed);
    }

    fn stop(&mut self) -> Result<(), Timeout> {
        self.reset()
    }

    fn kick_rx(&mut self, _: usize) {
        self.registers.write(reg::RDAR, ACTIVE);
    }

    fn kick_tx(&mut self, _: usize, _: usize) {
        self.registers.write(reg::TDAR, ACTIVE);
    }

    fn events(&mut self, _: usize, unsent: usize) -> Events {
        self.look_at_clock();
        let r = &self.registers;
        let events = r.read(reg::EIR) & !(eir::MII | eir::TS_TIMER);
        r.write(reg::EIR, events);
        if unsent > 0 && r.read(reg::TDAR) & ACTIVE == 0 {
            // It may have read the descriptor just before it was given, and have passed over the doorbell (ERR006358).
            r.write(reg::TDAR, ACTIVE);
        }
        let lost = r.read(reg::MACERR);
        let overruns = lost.wrapping_sub(self.overruns);
        self.overruns = lost;
        Events { overruns, fault: events & eir::EBERR != 0 }
    }

    fn interrupts(&mut self, on: bool) {
        // Each second, so that it is counted.
        let clock = if self.features.timestamps.is_some() { eir::TS_TIMER } else { 0 };
        self.registers.write(reg::EIMR, if on { eir::RXF | eir::TXF | eir::EBERR | clock } else { 0 });
    }

    fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
        self.configure();
    }

    fn set_filter(&mut self, filter: &Filter) {
        self.filter = *filter;
        let [low, high] = filter.hashes;
        self.registers.write(reg::GALR, low);
        self.registers.write(reg::GAUR, high);
        let promiscuous = if filter.promiscuous { rcr::PROM } else { 0 };
        self.registers.modify(reg::RCR, |old| old & !rcr::PROM | promiscuous);
    }

    fn mdio_read(&mut self, phy: u8, register: u8) -> Result<u16, Timeout> {
        self.management(0b10, phy, register, 0)
    }

    fn mdio_write(&mut self, phy: u8, register: u8, value: u16) -> Result<(), Timeout> {
        self.management(0b01, phy, register, value).map(drop)
    }

    fn checksum(&self) -> ChecksumOffload {
        let on = self.features.inserts && N == 8;
        ChecksumOffload { tcp: on, udp: on, ipv4: false }
    }

    fn verifies(&self) -> bool {
        self.features.verifies && N == 8
    }

    fn stamps(&self) -> bool {
        N == 8 && self.features.timestamps.is_some()
    }

    fn clock(&mut self) -> Option<Instant> {
        let Clock { seconds, nanos, .. } = self.look_at_clock()?;
        Some(from_halves(seconds, nanos))
    }

    fn whole_time(&mut self, part: Instant) -> Option<Instant> {
        if !self.stamps() {
            return None;
        }
        let Clock { seconds, nanos, .. } = self.look_at_clock()?;
        // The clock has gone on since then, by less than a second.
        let is_before = part.as_micros() as u32 > nanos / 1000;
        let second = seconds.checked_sub(is_before.into())?;
        Some(from_halves(second, 0) + Duration::from_micros(part.as_micros()))
    }

    fn prepare(&self, frame: &mut Frame<'_>, meta: &TxMeta) {
        // It sums what lies in the field as well, and wants to find nothing there.
        if let TxChecksum::Partial { start, offset } = meta.checksum
            && let Some(field) = frame.get_mut(usize::from(start) + usize::from(offset)..)
            && let Some(field) = field.get_mut(..2)
        {
            field.fill(0);
        }
        align(frame);
    }
}

/// Moves a frame that lies askew; those of the stack lie straight as a rule, their headers beginning with the slot.
fn align(frame: &mut Frame<'_>) {
    let askew = frame.as_ptr().addr() % TX_ALIGN;
    let len = frame.len();
    if askew == 0 {
        return;
    }
    if frame.push_front(askew).is_some() {
        frame.copy_within(askew.., 0);
        frame.truncate(len);
    } else if frame.append(TX_ALIGN - askew).is_some() {
        frame.copy_within(..len, TX_ALIGN - askew);
        frame.trim_front(TX_ALIGN - askew);
    }
    // Where neither has room, the slot is shorter than any pool of this driver's has them.
}

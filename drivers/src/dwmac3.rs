//! Synopsys DWMAC 3.x: the MAC of STM32F1, F4 and F7, GD32F4, LPC18 and LPC43.
//!
//! Written against ST's RM0090 (STM32F405 to F439), RM0385 and RM0410 (F7) and RM0008 (F107): MAC and DMA registers with
//! their names there. The blocks are given separately, because the distance between them is not the same everywhere:
//! 0x1000 on STM32, 0xF00 in Calxeda's variant.
//!
//! ```text
//!   MAC  0x00 MACCR  0x04 MACFFR  0x08 MACHTHR/LR  0x10 MACMIIAR  0x40 MACA0HR/LR  0x100 MMC  0x700 PTP
//!   DMA  0x00 DMABMR 0x04 TPDR  0x08 RPDR  0x0C RDLAR  0x10 TDLAR  0x14 SR  0x18 OMR  0x1C IER  0x20 MFBOCR
//! ```

pub mod descriptor;

mod mdio;
#[cfg(test)]
mod tests;

use crate::engine::stamp::read_clock;
use crate::engine::{Engine, Events, Filter, LOOKS, RingNic, Rings};
use crate::hash;
use crate::phy::{Mode, Speed};
use crate::regs::{Registers, Timeout, look};
use crate::word::{bit, low};
use descriptor::{RxDesc, TxDesc};
use ringtap::device::{ChecksumOffload, Mac};
use ringtap::time::Instant;

/// A network card of this MAC, with descriptors of `N` words: 8 on STM32F4 and F7, 4 on STM32F1.
pub type Dwmac3Nic<'d, 'p, M, C, const N: usize, const RX: usize, const TX: usize> =
    RingNic<'d, 'p, Dwmac3<M, N>, C, RX, TX>;

/// Offsets of MAC registers.
mod mac {
    pub const CR: u16 = 0x00;
    pub const FFR: u16 = 0x04;
    pub const HTHR: u16 = 0x08;
    pub const HTLR: u16 = 0x0c;
    pub const FCR: u16 = 0x18;
    pub const IMR: u16 = 0x3c;
    pub const A0HR: u16 = 0x40;
    pub const A0LR: u16 = 0x44;
    pub const MMCRIMR: u16 = 0x10c;
    pub const MMCTIMR: u16 = 0x110;
    pub const PTPTSCR: u16 = 0x700;
    pub const PTPSSIR: u16 = 0x704;
    pub const PTPTSHR: u16 = 0x708;
    pub const PTPTSLR: u16 = 0x70c;
    pub const PTPTSHUR: u16 = 0x710;
    pub const PTPTSLUR: u16 = 0x714;
    pub const PTPTSAR: u16 = 0x718;
}

/// Bits of MACCR.
mod cr {
    use super::bit;
    pub const RE: u32 = bit(2);
    pub const TE: u32 = bit(3);
    /// Strip pad and FCS of 802.3 frames.
    pub const APCS: u32 = bit(7);
    /// Checksum offload on receive.
    pub const IPCO: u32 = bit(10);
    pub const DM: u32 = bit(11);
    pub const FES: u32 = bit(14);
    /// Reserved, and to be kept as it is after a reset: 1.
    pub const KEPT: u32 = bit(15);
    /// Strip the FCS of Ethernet II frames; STM32F4 and F7 only.
    pub const CSTF: u32 = bit(25);
}

/// Bits of MACFFR.
mod ffr {
    use super::bit;
    pub const PM: u32 = bit(0);
    /// Group addresses pass by their hash.
    pub const HM: u32 = bit(2);
}

/// Offsets of DMA registers.
mod dma {
    pub const BMR: u16 = 0x00;
    pub const TPDR: u16 = 0x04;
    pub const RPDR: u16 = 0x08;
    pub const RDLAR: u16 = 0x0c;
    pub const TDLAR: u16 = 0x10;
    pub const SR: u16 = 0x14;
    pub const OMR: u16 = 0x18;
    pub const IER: u16 = 0x1c;
    pub const MFBOCR: u16 = 0x20;
}

/// Bits of DMABMR.
mod bmr {
    use super::bit;
    pub const SR: u32 = bit(0);
    /// Descriptors of eight words.
    pub const EDFE: u32 = bit(7);
    /// Bursts of 32 beats for transmit; the same for receive, with their own field in use.
    pub const PBL_32: u32 = 32 << 8;
    pub const FB: u32 = bit(16);
    pub const RDP_32: u32 = 32 << 17;
    pub const USP: u32 = bit(23);
    pub const AAB: u32 = bit(25);
}

/// Bits of DMASR, and of DMAIER for the same events.
mod sr {
    use super::bit;
    pub const TS: u32 = bit(0);
    pub const ROS: u32 = bit(4);
    pub const RS: u32 = bit(6);
    pub const RBUS: u32 = bit(7);
    pub const FBES: u32 = bit(13);
    pub const AIS: u32 = bit(15);
    pub const NIS: u32 = bit(16);
    /// All that are acknowledged by writing them.
    pub const ALL: u32 = 0x1_e7ff;
    /// States of the receive and the transmit process: 0 is stopped.
    pub const RPS: u32 = 7 << 17;
    pub const TPS: u32 = 7 << 20;
}

/// Bits of DMAOMR.
mod omr {
    use super::bit;
    pub const SR: u32 = bit(1);
    pub const ST: u32 = bit(13);
    pub const FTF: u32 = bit(20);
    /// Transmit store and forward: checksums are inserted only so.
    pub const TSF: u32 = bit(21);
    /// Receive store and forward.
    pub const RSF: u32 = bit(25);
    /// Frames whose checksum is wrong are not thrown away by the MAC: the stack counts them.
    pub const DTCEFD: u32 = bit(26);
}

/// What a silicon has, or is wanted of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Checksums are computed and verified by the MAC. STM32 can; QEMU's model cannot.
    pub checksum: bool,
    /// Received packets, and sent frames that ask for them, have time stamps on a clock that counts from
    /// [`init`](Engine::init) on. `None`: none. Needs descriptors of eight words.
    pub timestamps: Option<ClockRate>,
}

/// How the MAC's own clock counts nanoseconds, from the processor's bus clock.
///
/// Every time a 32-bit accumulator overflows that grows by `addend` in each bus cycle, the clock goes on by `step`
/// nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockRate {
    step: u8,
    addend: u32,
}

impl ClockRate {
    /// From the frequency of the bus clock (HCLK) in Hz; `None` below 25 MHz, where the PTP part does not work.
    pub const fn from_hclk(hz: u32) -> Option<Self> {
        // The accumulator must overflow less often than once a cycle: 20 MHz, of 50 ns.
        const STEP: u32 = 50;
        const OVERFLOWS: u64 = (1_000_000_000 / STEP) as u64;
        if hz < 25_000_000 {
            return None;
        }
        Some(Self { step: STEP as u8, addend: ((OVERFLOWS << 32) / hz as u64) as u32 })
    }

    /// Nanoseconds of a step.
    pub(crate) const fn step(self) -> u8 {
        self.step
    }

    /// What the accumulator grows by in a bus cycle.
    pub(crate) const fn addend(self) -> u32 {
        self.addend
    }
}

/// The registers of the MAC and of its DMA.
#[derive(Debug)]
pub struct Dwmac3<M, const N: usize> {
    mac: M,
    dma: M,
    features: Features,
    mode: Mode,
}

impl<M: Registers, const N: usize> Dwmac3<M, N> {
    /// The MAC at these registers. Its clocks are on, and RMII or MII was chosen before they were.
    pub const fn new(mac: M, dma: M, features: Features) -> Self {
        Self { mac, dma, features, mode: Mode::DEFAULT }
    }

    /// Starts the clock that timestamps are read from, at zero.
    fn start_clock(&self, rate: ClockRate) {
        let (tse, init, fine, addend) = (bit(0), bit(2), bit(1), bit(5));
        // Nanoseconds roll over at 10^9; all frames are stamped.
        let always = tse | bit(8) | bit(9);
        self.mac.write(mac::PTPTSCR, always);
        self.mac.write(mac::PTPSSIR, rate.step.into());
        self.mac.write(mac::PTPTSAR, rate.addend);
        self.mac.write(mac::PTPTSCR, always | addend);
        // The bits clear themselves; if they do not, there are no timestamps, and the frames do not care.
        let _ = look(LOOKS, || self.mac.read(mac::PTPTSCR) & addend == 0);
        self.mac.write(mac::PTPTSHUR, 0);
        self.mac.write(mac::PTPTSLUR, 0);
        self.mac.write(mac::PTPTSCR, always | fine);
        self.mac.write(mac::PTPTSCR, always | fine | init);
    }

    fn control(&self) -> u32 {
        // STM32F1, with four words, has no CSTF.
        let strip = if N == 8 { cr::CSTF | cr::APCS } else { 0 };
        let checksum = if self.features.checksum { cr::IPCO } else { 0 };
        let duplex = if self.mode.full_duplex { cr::DM } else { 0 };
        let speed = if self.mode.speed >= Speed::Hundred { cr::FES } else { 0 };
        cr::KEPT | strip | checksum | duplex | speed
    }
}

impl<M: Registers, const N: usize> Engine for Dwmac3<M, N> {
    type Rx = RxDesc<N>;
    type Tx = TxDesc<N>;
    const TRAILER: usize = if N == 8 { 0 } else { 4 };

    fn hash(group: Mac) -> u32 {
        hash::synopsys(group)
    }

    fn init(&mut self, rings: &Rings) -> Result<(), Timeout> {
        self.dma.write(dma::BMR, bmr::SR);
        look(LOOKS, || self.dma.read(dma::BMR) & bmr::SR == 0)?;
        let enhanced = if N == 8 { bmr::EDFE } else { 0 };
        self.dma.write(dma::BMR, enhanced | bmr::PBL_32 | bmr::FB | bmr::RDP_32 | bmr::USP | bmr::AAB);
        let [a, b, c, d, e, f] = rings.mac.0;
        // The filter compares once the lower register was written.
        self.mac.write(mac::A0HR, bit(31) | u32::from_le_bytes([e, f, 0, 0]));
        self.mac.write(mac::A0LR, u32::from_le_bytes([a, b, c, d]));
        self.mac.write(mac::CR, self.control());
        self.mac.write(mac::FCR, 0);
        // No interrupts of the statistics, the power management, and the clock.
        self.mac.write(mac::IMR, bit(3) | bit(9));
        self.mac.write(mac::MMCRIMR, u32::MAX);
        self.mac.write(mac::MMCTIMR, u32::MAX);
        if let Some(rate) = self.features.timestamps {
            self.start_clock(rate);
        }
        self.dma.write(dma::IER, 0);
        self.dma.write(dma::SR, sr::ALL);
        self.dma.write(dma::RDLAR, low(rings.rx));
        self.dma.write(dma::TDLAR, low(rings.tx));
        self.dma.write(dma::OMR, omr::TSF | omr::RSF | omr::DTCEFD);
        Ok(())
    }

    fn start(&mut self) {
        self.mac.modify(mac::CR, |old| old | cr::TE);
        self.dma.modify(dma::OMR, |old| old | omr::FTF);
        // The FIFO is flushed within a few cycles, or is empty anyway after a reset.
        let _ = look(LOOKS, || self.dma.read(dma::OMR) & omr::FTF == 0);
        self.dma.modify(dma::OMR, |old| old & !omr::FTF | omr::ST | omr::SR);
        self.mac.modify(mac::CR, |old| old | cr::RE);
    }

    fn stop(&mut self) -> Result<(), Timeout> {
        self.interrupts(false);
        self.dma.modify(dma::OMR, |old| old & !(omr::ST));
        self.mac.modify(mac::CR, |old| old & !(cr::RE | cr::TE));
        self.dma.modify(dma::OMR, |old| old & !(omr::SR));
        if look(LOOKS, || self.dma.read(dma::SR) & (sr::RPS | sr::TPS) == 0).is_ok() {
            return Ok(());
        }
        // After an error on the bus only a reset stops it.
        self.dma.write(dma::BMR, bmr::SR);
        look(LOOKS, || self.dma.read(dma::BMR) & bmr::SR == 0)
    }

    fn kick_rx(&mut self, _: usize) {
        self.dma.write(dma::RPDR, 1);
    }

    fn kick_tx(&mut self, _: usize, _: usize) {
        self.dma.write(dma::TPDR, 1);
    }

    fn events(&mut self, _: usize, _: usize) -> Events {
        let status = self.dma.read(dma::SR);
        self.dma.write(dma::SR, status & sr::ALL);
        // Reading clears the counts of frames that found no descriptor, and of those that found no room in the FIFO.
        let missed = self.dma.read(dma::MFBOCR);
        Events { overruns: (missed & 0xffff) + (missed >> 17 & 0x7ff), fault: status & sr::FBES != 0 }
    }

    fn interrupts(&mut self, on: bool) {
        let wanted = sr::TS | sr::RS | sr::RBUS | sr::ROS | sr::FBES | sr::AIS | sr::NIS;
        self.dma.write(dma::IER, if on { wanted } else { 0 });
    }

    fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
        let running = self.mac.read(mac::CR) & (cr::RE | cr::TE);
        self.mac.write(mac::CR, self.control() | running);
    }

    fn set_filter(&mut self, filter: &Filter) {
        let [low, high] = filter.hashes;
        self.mac.write(mac::HTLR, low);
        self.mac.write(mac::HTHR, high);
        self.mac.write(mac::FFR, if filter.promiscuous { ffr::PM } else { ffr::HM });
    }

    fn checksum(&self) -> ChecksumOffload {
        let on = self.features.checksum;
        ChecksumOffload { tcp: on, udp: on, ipv4: false }
    }

    fn mdio_read(&mut self, phy: u8, register: u8) -> Result<u16, Timeout> {
        mdio::read(&self.mac, phy, register)
    }

    fn mdio_write(&mut self, phy: u8, register: u8, value: u16) -> Result<(), Timeout> {
        mdio::write(&self.mac, phy, register, value)
    }

    fn verifies(&self) -> bool {
        self.features.checksum
    }

    fn stamps(&self) -> bool {
        N == 8 && self.features.timestamps.is_some()
    }

    fn clock(&mut self) -> Option<Instant> {
        self.features.timestamps?;
        Some(read_clock(|| self.mac.read(mac::PTPTSHR), || self.mac.read(mac::PTPTSLR)))
    }
}

//! Synopsys DWMAC 4 and 5 ("Ethernet QoS"): the MAC of STM32H5, H7 and H7RS.
//!
//! Written against ST's RM0433 (STM32H742 to H753), with its names. No emulator models it: the driver has run over the
//! model in its tests only.
//!
//! ```text
//!   MAC  0x0000 MACCR  0x0008 MACPFR  0x0010 MACHT0R, MACHT1R  0x0200 MDIO  0x0300 MACA0  0x0B00 timestamps
//!   MTL  0x0D00 transmit queue  0x0D30 receive queue
//!   DMA  0x1000 DMAMR  0x1104 DMACTxCR  0x1108 DMACRxCR  0x1114 lists  0x1120 tail pointers  0x112C lengths  0x1160 DMACSR
//! ```

pub mod descriptor;

mod mdio;
#[cfg(test)]
mod tests;

use crate::dwmac3::ClockRate;
use crate::engine::stamp::read_clock;
use crate::engine::{Engine, Events, Filter, LOOKS, RingNic, Rings};
use crate::hash;
use crate::phy::{Mode, Speed};
use crate::regs::{Registers, Timeout, look};
use crate::word::{bit, low};
use descriptor::{RxDesc, TxDesc};
use ringtap::device::{ChecksumOffload, Mac};
use ringtap::time::Instant;

/// A network card of this MAC.
pub type Dwmac4Nic<'d, 'p, M, C, const RX: usize, const TX: usize> = RingNic<'d, 'p, Dwmac4<M>, C, RX, TX>;

/// Offsets of registers.
mod reg {
    pub const MACCR: u16 = 0x0000;
    pub const MACPFR: u16 = 0x0008;
    pub const MACHT0R: u16 = 0x0010;
    pub const MACHT1R: u16 = 0x0014;
    pub const MACIER: u16 = 0x00b4;
    pub const MACA0HR: u16 = 0x0300;
    pub const MACA0LR: u16 = 0x0304;
    pub const MMCRIMR: u16 = 0x070c;
    pub const MMCTIMR: u16 = 0x0710;
    pub const MACTSCR: u16 = 0x0b00;
    pub const MACSSIR: u16 = 0x0b04;
    pub const MACSTSR: u16 = 0x0b08;
    pub const MACSTNR: u16 = 0x0b0c;
    pub const MACSTSUR: u16 = 0x0b10;
    pub const MACSTNUR: u16 = 0x0b14;
    pub const MACTSAR: u16 = 0x0b18;
    pub const MTLTXQ0OMR: u16 = 0x0d00;
    pub const MTLRXQ0OMR: u16 = 0x0d30;
    /// Packets that the receive queue had no room for; reading clears it.
    pub const MTLRXQ0MPOCR: u16 = 0x0d34;
    pub const DMAMR: u16 = 0x1000;
    pub const DMASBMR: u16 = 0x1004;
    pub const DMADSR: u16 = 0x100c;
    pub const DMACCR: u16 = 0x1100;
    pub const DMACTXCR: u16 = 0x1104;
    pub const DMACRXCR: u16 = 0x1108;
    pub const DMACTXDLAR: u16 = 0x1114;
    pub const DMACRXDLAR: u16 = 0x111c;
    pub const DMACTXDTPR: u16 = 0x1120;
    pub const DMACRXDTPR: u16 = 0x1128;
    pub const DMACTXRLR: u16 = 0x112c;
    pub const DMACRXRLR: u16 = 0x1130;
    pub const DMACIER: u16 = 0x1134;
    pub const DMACSR: u16 = 0x1160;
    /// Packets that found no descriptor; reading clears it.
    pub const DMACMFCR: u16 = 0x116c;
}

/// Bits of MACCR.
mod cr {
    use super::bit;
    pub const RE: u32 = bit(0);
    pub const TE: u32 = bit(1);
    pub const DM: u32 = bit(13);
    pub const FES: u32 = bit(14);
    /// Strip pad and FCS of 802.3 packets, and the FCS of Ethernet II packets.
    pub const ACS: u32 = bit(20);
    pub const CST: u32 = bit(21);
    /// Checksum offload on receive.
    pub const IPC: u32 = bit(27);
}

/// Bits of MACPFR.
mod pfr {
    use super::bit;
    pub const PR: u32 = bit(0);
    /// Group addresses pass by their hash.
    pub const HMC: u32 = bit(2);
}

/// Bits of DMACSR, and of DMACIER for the same events.
mod sr {
    use super::bit;
    pub const TI: u32 = bit(0);
    pub const RI: u32 = bit(6);
    pub const RBU: u32 = bit(7);
    pub const FBE: u32 = bit(12);
    /// An error in a context descriptor.
    pub const CDE: u32 = bit(13);
    pub const AIS: u32 = bit(14);
    pub const NIS: u32 = bit(15);
    /// All that are acknowledged by writing them.
    pub const ALL: u32 = 0xffc7;
}

/// DMAMR: reset.
const SWR: u32 = bit(0);
/// DMASBMR: bursts of fixed length, addresses aligned to them.
const FB_AAL: u32 = bit(0) | bit(12);
/// DMACTxCR, DMACRxCR: start; bursts of 32 beats.
const START: u32 = bit(0);
const PBL_32: u32 = 32 << 16;
/// DMACTxCR: the second packet is read while the first is sent.
const OSF: u32 = bit(4);
/// DMACRxCR: the buffers' size.
const RBSZ_SHIFT: u32 = 1;
/// DMADSR: states of receive and transmit; 0 is stopped.
const PROCESSES: u32 = 0xff << 8;
/// MTLTxQ0OMR: flush; store and forward, without which checksums are not inserted; the queue is enabled.
const FTQ: u32 = bit(0);
const TSF: u32 = bit(1);
const TXQEN: u32 = 0b10 << 2;
/// MTLRxQ0OMR: store and forward; packets whose checksum is wrong are not thrown away: the stack counts them.
const RSF: u32 = bit(5);
const DIS_TCP_EF: u32 = bit(6);

/// What a silicon has, or is wanted of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Checksums are computed and verified by the MAC.
    pub checksum: bool,
    /// Received packets, and sent frames that ask for them, have time stamps on a clock that counts from
    /// [`init`](Engine::init) on. `None`: none. That of a received packet takes a descriptor of its own for a moment.
    pub timestamps: Option<ClockRate>,
}

/// The registers of the MAC, its queues and its DMA.
#[derive(Debug)]
pub struct Dwmac4<M> {
    registers: M,
    features: Features,
    mode: Mode,
    /// Behind the last receive descriptor, and the transmit descriptors with their number: for the tail pointers.
    rx_end: u32,
    tx: u32,
    tx_count: usize,
}

/// Octets of a descriptor.
const SIZE: u32 = size_of::<RxDesc>() as u32;

impl<M: Registers> Dwmac4<M> {
    /// The MAC at these registers. Its clocks are on, and RMII or MII was chosen before they were.
    pub const fn new(registers: M, features: Features) -> Self {
        Self { registers, features, mode: Mode::DEFAULT, rx_end: 0, tx: 0, tx_count: 0 }
    }

    fn reset(&self) -> Result<(), Timeout> {
        self.registers.write(reg::DMAMR, SWR);
        look(LOOKS, || self.registers.read(reg::DMAMR) & SWR == 0)
    }

    /// Starts the clock that timestamps are read from, at zero.
    fn start_clock(&self, rate: ClockRate) {
        let r = &self.registers;
        let (fine, init, addend) = (bit(1), bit(2), bit(5));
        // On; all packets are stamped; nanoseconds roll over at 10^9.
        let always = bit(0) | bit(8) | bit(9);
        r.write(reg::MACTSCR, always);
        r.write(reg::MACSSIR, u32::from(rate.step()) << 16);
        r.write(reg::MACTSAR, rate.addend());
        r.write(reg::MACTSCR, always | addend);
        // The bits clear themselves; if they do not, there are no timestamps, and the packets do not care.
        let _ = look(LOOKS, || r.read(reg::MACTSCR) & addend == 0);
        r.write(reg::MACSTSUR, 0);
        r.write(reg::MACSTNUR, 0);
        r.write(reg::MACTSCR, always | fine | init);
        let _ = look(LOOKS, || r.read(reg::MACTSCR) & init == 0);
    }

    fn control(&self) -> u32 {
        let mut value = cr::ACS | cr::CST;
        for (on, bits) in [
            (self.features.checksum, cr::IPC),
            (self.mode.full_duplex, cr::DM),
            (self.mode.speed >= Speed::Hundred, cr::FES),
        ] {
            value |= if on { bits } else { 0 };
        }
        value
    }
}

impl<M: Registers> Engine for Dwmac4<M> {
    type Rx = RxDesc;
    type Tx = TxDesc;

    fn hash(group: Mac) -> u32 {
        hash::synopsys(group)
    }

    fn init(&mut self, rings: &Rings) -> Result<(), Timeout> {
        self.reset()?;
        let r = &self.registers;
        r.write(reg::DMASBMR, FB_AAL);
        // Descriptors lie one behind the other: nothing is skipped.
        r.write(reg::DMACCR, 0);
        r.write(reg::DMACTXCR, PBL_32 | OSF);
        r.write(reg::DMACRXCR, PBL_32 | (rings.capacity as u32) << RBSZ_SHIFT);
        r.write(reg::DMACTXDLAR, low(rings.tx));
        r.write(reg::DMACRXDLAR, low(rings.rx));
        r.write(reg::DMACTXRLR, rings.tx_count as u32 - 1);
        r.write(reg::DMACRXRLR, rings.rx_count as u32 - 1);
        r.write(reg::DMACIER, 0);
        r.write(reg::DMACSR, sr::ALL);
        r.modify(reg::MTLTXQ0OMR, |old| old | TSF | TXQEN);
        r.modify(reg::MTLRXQ0OMR, |old| old | RSF | DIS_TCP_EF);
        let [a, b, c, d, e, f] = rings.mac.0;
        // The filter compares once the lower register was written.
        r.write(reg::MACA0HR, bit(31) | u32::from_le_bytes([e, f, 0, 0]));
        r.write(reg::MACA0LR, u32::from_le_bytes([a, b, c, d]));
        r.write(reg::MACCR, self.control());
        // No interrupts of the MAC itself, nor of its statistics.
        r.write(reg::MACIER, 0);
        r.write(reg::MMCRIMR, u32::MAX);
        r.write(reg::MMCTIMR, u32::MAX);
        if let Some(rate) = self.features.timestamps {
            self.start_clock(rate);
        }
        self.rx_end = low(rings.rx).wrapping_add(SIZE * rings.rx_count as u32);
        (self.tx, self.tx_count) = (low(rings.tx), rings.tx_count);
        Ok(())
    }

    fn start(&mut self) {
        let r = &self.registers;
        r.modify(reg::MTLTXQ0OMR, |old| old | FTQ);
        // The queue is flushed within a few cycles, or is empty anyway after a reset.
        let _ = look(LOOKS, || r.read(reg::MTLTXQ0OMR) & FTQ == 0);
        r.modify(reg::DMACTXCR, |old| old | START);
        r.modify(reg::DMACRXCR, |old| old | START);
        r.modify(reg::MACCR, |old| old | cr::TE | cr::RE);
    }

    fn stop(&mut self) -> Result<(), Timeout> {
        self.interrupts(false);
        let r = &self.registers;
        r.modify(reg::DMACTXCR, |old| old & !START);
        r.modify(reg::MACCR, |old| old & !(cr::TE | cr::RE));
        r.modify(reg::DMACRXCR, |old| old & !START);
        if look(LOOKS, || r.read(reg::DMADSR) & PROCESSES == 0).is_ok() {
            return Ok(());
        }
        // After an error on the bus only a reset stops it.
        self.reset()
    }

    fn kick_rx(&mut self, _: usize) {
        // No descriptor has this address, so that the DMA goes on as long as descriptors are its own. Writing it wakes the
        // DMA up, even if nothing changes.
        self.registers.write(reg::DMACRXDTPR, self.rx_end);
    }

    fn kick_tx(&mut self, place: usize, unsent: usize) {
        // With all descriptors given, the next idle one is where the DMA is: it would take the ring for empty.
        let tail = if unsent == self.tx_count { self.tx_count } else { place };
        self.registers.write(reg::DMACTXDTPR, self.tx.wrapping_add(SIZE * tail as u32));
    }

    fn events(&mut self, _: usize, _: usize) -> Events {
        let r = &self.registers;
        let status = r.read(reg::DMACSR);
        r.write(reg::DMACSR, status & sr::ALL);
        let (no_descriptor, no_room) = (r.read(reg::DMACMFCR), r.read(reg::MTLRXQ0MPOCR));
        Events {
            overruns: (no_descriptor & 0x7ff) + (no_room & 0x7ff) + (no_room >> 16 & 0x7ff),
            fault: status & (sr::FBE | sr::CDE) != 0,
        }
    }

    fn interrupts(&mut self, on: bool) {
        let wanted = sr::TI | sr::RI | sr::RBU | sr::FBE | sr::CDE | sr::AIS | sr::NIS;
        self.registers.write(reg::DMACIER, if on { wanted } else { 0 });
    }

    fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
        self.registers.modify(reg::MACCR, |old| self.control() | old & (cr::RE | cr::TE));
    }

    fn set_filter(&mut self, filter: &Filter) {
        let [low, high] = filter.hashes;
        self.registers.write(reg::MACHT0R, low);
        self.registers.write(reg::MACHT1R, high);
        self.registers.write(reg::MACPFR, if filter.promiscuous { pfr::PR } else { pfr::HMC });
    }

    fn mdio_read(&mut self, phy: u8, register: u8) -> Result<u16, Timeout> {
        mdio::read(&self.registers, phy, register)
    }

    fn mdio_write(&mut self, phy: u8, register: u8, value: u16) -> Result<(), Timeout> {
        mdio::write(&self.registers, phy, register, value)
    }

    fn checksum(&self) -> ChecksumOffload {
        let on = self.features.checksum;
        ChecksumOffload { tcp: on, udp: on, ipv4: false }
    }

    fn verifies(&self) -> bool {
        self.features.checksum
    }

    fn stamps(&self) -> bool {
        self.features.timestamps.is_some()
    }

    fn clock(&mut self) -> Option<Instant> {
        self.features.timestamps?;
        Some(read_clock(|| self.registers.read(reg::MACSTSR), || self.registers.read(reg::MACSTNR)))
    }
}

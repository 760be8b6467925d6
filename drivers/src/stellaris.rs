//! The Ethernet controller of Stellaris LM3S microcontrollers: a FIFO of 31 packets, no DMA.
//!
//! After the LM3S6965 data sheet, chapter 16 "Ethernet Controller".
//!
//! ```text
//!  RX FIFO:  │ length + 6 (16 bits) │ frame │ FCS │      TX FIFO:  │ length - 14 (16 bits) │ frame │
//! ```

#[cfg(test)]
mod tests;

use crate::fifo::{read_words, write_words};
use crate::interrupt::Attention;
use crate::nic::{Counters, Nic};
use crate::phy::{Mdio, Phy, PhyError, Speed};
use crate::regs::{Clock, Registers, Timeout, look};
use crate::{ETHERNET_HEADER, MIN_MTU};
use core::fmt;
use core::task::Waker;
use ringtap::device::{Capabilities, Device, Link, Mac, Medium, RxMeta, TxMeta, Unsupported};
use ringtap::frame::{Frame, Pool};
use ringtap::time::Instant;

/// MACRIS when read, MACIACK when written.
const RIS: u16 = 0x00;
const IM: u16 = 0x04;
const RCTL: u16 = 0x08;
const TCTL: u16 = 0x0c;
const DATA: u16 = 0x10;
const IA0: u16 = 0x14;
const IA1: u16 = 0x18;
const MCTL: u16 = 0x20;
const MDV: u16 = 0x24;
const MTXD: u16 = 0x2c;
const MRXD: u16 = 0x30;
const NP: u16 = 0x34;
const TR: u16 = 0x38;

/// In RIS and IM: a packet came; transmission failed; the transmit FIFO is empty; a receive FIFO that ran over; a packet
/// with an error.
const RX: u32 = 1 << 0;
const TX_ERROR: u32 = 1 << 1;
const TX_EMPTY: u32 = 1 << 2;
const OVERRUN: u32 = 1 << 3;
const RX_ERROR: u32 = 1 << 4;
const ALL: u32 = 0x7f;

const RCTL_ENABLE: u32 = 1 << 0;
const RCTL_ALL_GROUPS: u32 = 1 << 1;
const RCTL_PROMISCUOUS: u32 = 1 << 2;
const RCTL_REJECT_BAD: u32 = 1 << 3;
const RCTL_RESET: u32 = 1 << 4;

/// Enable, pad, append the check sequence.
const TCTL_ON: u32 = 1 << 0 | 1 << 1 | 1 << 2;
const TCTL_FULL_DUPLEX: u32 = 1 << 4;

const MCTL_START: u32 = 1 << 0;
const MCTL_WRITE: u32 = 1 << 1;

/// Octets in the receive FIFO that are not the frame's: its length, and the check sequence behind it.
const LENGTH: usize = 2;
const AROUND: usize = LENGTH + 4;

/// The shortest and longest frame without its check sequence. Longer ones do not fit the FIFOs of 2 KiB.
const SHORTEST: usize = 14;
const LONGEST: usize = 1514;

/// Packets in one call that are dropped at most.
const DROPS: usize = 31;

/// How often a transfer over MDIO is looked at: it takes 26 µs, and a look some nanoseconds.
const MDIO_LOOKS: u32 = 100_000;

/// The handler's part of an interrupt.
pub fn on_interrupt(regs: &impl Registers, attention: &Attention) {
    regs.write(IM, 0);
    attention.raise();
}

/// The driver.
pub struct Stellaris<'p, R> {
    regs: R,
    attention: &'p Attention,
    pool: Pool<'p>,
    mac: Mac,
    phy: Option<Phy>,
    rctl: u32,
    /// A frame was refused: the transmit FIFO's interrupt is wanted.
    blocked: bool,
    counters: Counters,
}

/// The internal PHY by way of the MAC's registers; it answers at every address.
struct Internal<'r, R>(&'r R);

impl<R: Registers> Internal<'_, R> {
    fn transfer(&self, register: u8, write: u32) -> Result<(), Timeout> {
        self.0.write(MCTL, u32::from(register & 31) << 3 | write | MCTL_START);
        look(MDIO_LOOKS, || self.0.read(MCTL) & MCTL_START == 0)
    }
}

impl<R: Registers> Mdio for Internal<'_, R> {
    fn read(&mut self, _: u8, register: u8) -> Result<u16, Timeout> {
        self.transfer(register, 0)?;
        Ok(self.0.read(MRXD) as u16)
    }

    fn write(&mut self, _: u8, register: u8, value: u16) -> Result<(), Timeout> {
        self.0.write(MTXD, value.into());
        self.transfer(register, MCTL_WRITE)
    }
}

/// Why the controller cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StellarisError {
    /// The pool's slots hold no packet of RFC 791's 68 octets.
    Mtu,
    /// The address is a group's, or zero.
    Address,
    /// Its PHY.
    Phy(PhyError),
}

impl StellarisError {
    /// The error in a few words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Mtu => "the pool's slots are too small for any packet",
            Self::Address => "not a station's address",
            Self::Phy(error) => error.text(),
        }
    }
}

impl fmt::Display for StellarisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for StellarisError {}

impl From<PhyError> for StellarisError {
    fn from(error: PhyError) -> Self {
        Self::Phy(error)
    }
}

/// Whether the PHY is asked for the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhyUse {
    /// The internal PHY is started and tells of the link.
    Internal,
    /// The link is taken to be up: an emulator without a PHY.
    None,
}

impl<'p, R: Registers> Stellaris<'p, R> {
    /// Brings up the MAC: frames of `pool`, whose slots bound the MTU where they are smaller than 1514 octets, and the
    /// interrupt by way of [`on_interrupt`] with the same `attention`. `core_hz` is the frequency of the system clock.
    ///
    /// # Errors
    /// A [`StellarisError`]: among others, a PHY that is wanted and does not answer.
    pub fn new(
        regs: R,
        attention: &'p Attention,
        pool: Pool<'p>,
        mac: Mac,
        phy: PhyUse,
        core_hz: u32,
        clock: Clock<'_>,
    ) -> Result<Self, StellarisError> {
        if pool.slot_size() < MIN_MTU + ETHERNET_HEADER {
            return Err(StellarisError::Mtu);
        }
        if !mac.is_station() {
            return Err(StellarisError::Address);
        }
        regs.write(IM, 0);
        regs.write(RCTL, 0);
        regs.write(TCTL, 0);
        let [a, b, c, d, e, f] = mac.0;
        regs.write(IA0, u32::from_le_bytes([a, b, c, d]));
        regs.write(IA1, u32::from_le_bytes([e, f, 0, 0]));
        regs.write(RIS, ALL);
        // MDC runs at core_hz / (2 x (MDV + 1)), and at 2.5 MHz at most.
        regs.write(MDV, core_hz.div_ceil(5_000_000).saturating_sub(1).min(255));
        let phy = match phy {
            PhyUse::Internal => Some(Phy::start(&mut Internal(&regs), Some(0), Speed::Hundred, clock)?),
            PhyUse::None => None,
        };
        regs.write(TCTL, TCTL_ON | TCTL_FULL_DUPLEX);
        // The FIFO is reset while the receiver is off.
        regs.write(RCTL, RCTL_RESET);
        let rctl = RCTL_ENABLE | RCTL_REJECT_BAD;
        regs.write(RCTL, rctl);
        Ok(Self { regs, attention, pool, mac, phy, rctl, blocked: false, counters: Counters::default() })
    }

    /// The next packet out of the FIFO.
    fn take(&mut self) -> Option<Frame<'p>> {
        for _ in 0..DROPS {
            if self.regs.read(NP) & 0x3f == 0 {
                return None;
            }
            let first = self.regs.read(DATA);
            let total = (first & 0xffff) as usize;
            if !(SHORTEST + AROUND..=LONGEST + AROUND).contains(&total) {
                self.counters.rx_errors = self.counters.rx_errors.wrapping_add(1);
                self.reset_fifo();
                return None;
            }
            let words = total.div_ceil(4) - 1;
            let Some(mut frame) = self.pool.take(0).filter(|f| f.tailroom() >= total - AROUND) else {
                (0..words).for_each(|_| _ = self.regs.read(DATA));
                self.counters.rx_no_frame = self.counters.rx_no_frame.wrapping_add(1);
                continue;
            };
            self.read_frame(&mut frame, first, total);
            self.counters.rx_packets = self.counters.rx_packets.wrapping_add(1);
            return Some(frame);
        }
        None
    }

    /// Reads a packet of `total` octets in the FIFO whose `first` word is read already.
    fn read_frame(&self, frame: &mut Frame<'p>, first: u32, total: usize) {
        let [.., c, d] = first.to_le_bytes();
        let [mut read, words] = [0, total.div_ceil(4) - 1];
        if let Some(octets) = frame.append(total - AROUND)
            && let Some((start, rest)) = octets.split_first_chunk_mut::<2>()
        {
            *start = [c, d];
            read_words(rest, || {
                read += 1;
                self.regs.read(DATA)
            });
        }
        // The check sequence.
        (read..words).for_each(|_| _ = self.regs.read(DATA));
    }

    /// What is in the FIFO cannot be told apart any more.
    fn reset_fifo(&self) {
        self.regs.write(RCTL, 0);
        self.regs.write(RCTL, RCTL_RESET);
        self.regs.write(RCTL, self.rctl);
    }

    /// Acknowledges interrupts and unmasks them.
    fn rearm(&mut self) {
        let status = self.regs.read(RIS);
        self.regs.write(RIS, status & ALL);
        let count = |counter: &mut u32, bit| *counter = counter.wrapping_add(u32::from(status & bit != 0));
        count(&mut self.counters.rx_overruns, OVERRUN);
        count(&mut self.counters.rx_errors, RX_ERROR);
        count(&mut self.counters.tx_errors, TX_ERROR);
        self.regs.write(IM, self.mask());
    }

    fn mask(&self) -> u32 {
        RX | OVERRUN | RX_ERROR | if self.blocked { TX_EMPTY | TX_ERROR } else { 0 }
    }

    fn is_sending(&self) -> bool {
        self.regs.read(TR) & 1 != 0
    }

    fn set_rctl(&mut self, bit: u32, on: bool) {
        self.rctl = if on { self.rctl | bit } else { self.rctl & !bit };
        self.regs.write(RCTL, self.rctl);
    }
}

impl<'p, R: Registers> Device<'p> for Stellaris<'p, R> {
    fn capabilities(&self) -> Capabilities {
        Capabilities::plain(Medium::Ethernet, LONGEST.min(self.pool.slot_size()) - ETHERNET_HEADER)
    }

    fn pool(&self) -> Pool<'p> {
        self.pool
    }

    fn receive(&mut self) -> Option<(Frame<'p>, RxMeta)> {
        let attention = self.attention;
        let frame = attention.drain(self, Self::take, Self::rearm);
        // What is left, or became free, had its interrupt acknowledged.
        if frame.is_none() && (self.regs.read(NP) & 0x3f != 0 || self.blocked && !self.is_sending()) {
            attention.raise();
        }
        frame.map(|frame| (frame, RxMeta::default()))
    }

    fn transmit(&mut self, frame: Frame<'p>, _: TxMeta) -> Result<(), Frame<'p>> {
        if self.is_sending() {
            self.blocked = true;
            if !self.attention.is_raised() {
                self.regs.write(IM, self.mask());
            }
            return Err(frame);
        }
        self.blocked = false;
        let octets: &[u8] = &frame;
        let Some((start, rest)) =
            octets.split_first_chunk::<2>().filter(|_| (SHORTEST..=LONGEST).contains(&octets.len()))
        else {
            self.counters.tx_errors = self.counters.tx_errors.wrapping_add(1);
            return Ok(());
        };
        let len = (octets.len() - SHORTEST) as u16;
        self.regs.write(DATA, u32::from(len) | u32::from(u16::from_le_bytes(*start)) << 16);
        write_words(rest, |word| self.regs.write(DATA, word));
        self.regs.write(TR, 1);
        self.counters.tx_packets = self.counters.tx_packets.wrapping_add(1);
        Ok(())
    }

    fn link(&self) -> Link {
        self.phy.as_ref().map_or(Link::Up, Phy::link)
    }

    fn register_waker(&mut self, waker: &Waker) {
        self.attention.register(waker);
    }

    /// The MAC receives all groups, or none.
    fn set_multicast_filter(&mut self, groups: &[Mac]) -> Result<(), Unsupported> {
        self.set_rctl(RCTL_ALL_GROUPS, !groups.is_empty());
        Ok(())
    }

    fn receive_all_groups(&mut self) -> Result<(), Unsupported> {
        self.set_rctl(RCTL_ALL_GROUPS, true);
        Ok(())
    }

    fn set_promiscuous(&mut self, on: bool) -> Result<(), Unsupported> {
        self.set_rctl(RCTL_PROMISCUOUS, on);
        Ok(())
    }
}

impl<'p, R: Registers> Nic<'p> for Stellaris<'p, R> {
    fn mac(&self) -> Mac {
        self.mac
    }

    fn tend(&mut self, now: Instant) -> Link {
        if let Some(phy) = &mut self.phy
            && phy.tend(&mut Internal(&self.regs), now)
        {
            let duplex = if phy.mode().is_none_or(|m| m.full_duplex) { TCTL_FULL_DUPLEX } else { 0 };
            self.regs.write(TCTL, TCTL_ON | duplex);
            self.attention.raise();
        }
        self.link()
    }

    fn counters(&self) -> Counters {
        Counters { link_changes: self.phy.as_ref().map_or(0, Phy::changes), ..self.counters }
    }

    fn stop(self) {
        self.regs.write(IM, 0);
        self.regs.write(RCTL, RCTL_RESET);
        self.regs.write(TCTL, 0);
    }
}

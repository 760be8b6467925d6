//! SMSC's (now Microchip's) LAN9118 on a parallel bus, and its kin LAN9115 to 9118, 9215 to 9218, 9220: FIFOs, no DMA.
//!
//! After the LAN9118 data sheet, revision 1.5 (chapters 3.12, 3.13 "Transmit and Receive Data Path Operation", 5).
//!
//! ```text
//!  receive:   status FIFO: │ length with FCS 29:16 │ errors │     data FIFO: │ packet │ FCS │ rest of a word │ …
//!  transmit:  data FIFO:   │ command A: first, last, size │ command B: length │ frame │
//! ```

mod regs;

#[cfg(test)]
mod tests;

use crate::fifo::{read_words, write_words};
use crate::hash;
use crate::interrupt::Attention;
use crate::nic::{Counters, Nic};
use crate::phy::{Phy, PhyError, Speed};
use crate::regs::{Clock, Registers, Timeout, look, wait};
use crate::{ETHERNET_HEADER, MIN_MTU};
use core::fmt;
use core::task::Waker;
use regs::{Management, csr, csr_read, csr_write, int, mac_cr, rx};
use ringtap::device::{Capabilities, Device, Link, Mac, Medium, RxMeta, TxMeta, Unsupported};
use ringtap::frame::{Frame, Pool};
use ringtap::time::{Duration, Instant};

/// The internal PHY's address.
const PHY: u8 = 1;

/// The reset takes 10 µs, and 5 ms with the EEPROM read anew.
const RESET_LIMIT: Duration = Duration::from_millis(100);

/// The frame check sequence behind a packet.
const FCS: usize = 4;
/// The shortest and longest frame without it.
const SHORTEST: usize = 14;
const LONGEST: usize = 1514;

/// First and last part of a frame, in command A.
const WHOLE: u32 = 1 << 13 | 1 << 12;
/// Octets of both commands.
const COMMANDS: usize = 8;
/// Room in the transmit FIFO at which a refused frame fits, in units of 64 octets.
const ROOM: u32 = (LONGEST + COMMANDS).next_multiple_of(64) as u32 / 64;

const TX_ON: u32 = 1 << 1;
const TX_STOP: u32 = 1 << 0;
/// Status and data of receive and transmit are thrown away.
const TX_DUMP: u32 = 1 << 15 | 1 << 14;
const RX_DUMP: u32 = 1 << 15;
/// In RX_DP_CTL: the packet at the FIFO's front is skipped.
const FAST_FORWARD: u32 = 1 << 31;
/// The shortest packet, in words, that can be skipped so.
const FORWARD_WORDS: usize = 4;

/// Packets that one call drops at most.
const DROPS: usize = 32;

/// A skip takes as long as the bus would need for the packet at most.
const SKIP_LOOKS: u32 = 10_000;

/// How the chip's interrupt pin is wired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wiring {
    /// The line is asserted when high.
    pub active_high: bool,
    /// The pin drives both levels, rather than only pulling down.
    pub push_pull: bool,
}

/// Why the chip cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lan9118Error {
    /// No such chip, or words arrive with their octets in another order.
    NotFound,
    /// It does not come out of its reset, or its MAC does not answer.
    Timeout,
    /// The pool's slots hold no packet of RFC 791's 68 octets.
    Mtu,
    /// No address was given, and its EEPROM has none; or it is a group's.
    Address,
    /// Its PHY.
    Phy(PhyError),
}

impl Lan9118Error {
    /// The error in a few words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::NotFound => "no LAN9118 answers",
            Self::Timeout => "the LAN9118 does not become ready",
            Self::Mtu => "the pool's slots are too small for any packet",
            Self::Address => "no station address was given, and the EEPROM has none",
            Self::Phy(error) => error.text(),
        }
    }
}

impl fmt::Display for Lan9118Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for Lan9118Error {}

impl From<Timeout> for Lan9118Error {
    fn from(_: Timeout) -> Self {
        Self::Timeout
    }
}

impl From<PhyError> for Lan9118Error {
    fn from(error: PhyError) -> Self {
        Self::Phy(error)
    }
}

/// The handler's part of an interrupt.
pub fn on_interrupt(regs: &impl Registers, attention: &Attention) {
    regs.write(regs::INT_EN, 0);
    attention.raise();
}

/// The driver.
pub struct Lan9118<'p, R> {
    regs: R,
    attention: &'p Attention,
    pool: Pool<'p>,
    mac: Mac,
    phy: Phy,
    mac_cr: u32,
    /// A frame was refused: the interrupt of a transmit FIFO with room is wanted.
    blocked: bool,
    counters: Counters,
}

impl<'p, R: Registers> Lan9118<'p, R> {
    /// Resets the chip and starts its PHY: frames of `pool`, whose slots bound the MTU where they are smaller than 1514
    /// octets, and the interrupt by way of [`on_interrupt`] with the same `attention`. Without `mac`, the address is that
    /// of the EEPROM.
    ///
    /// Returns within three seconds on `clock`, whatever the chip does.
    ///
    /// # Errors
    /// A [`Lan9118Error`].
    pub fn new(
        regs: R,
        attention: &'p Attention,
        pool: Pool<'p>,
        mac: Option<Mac>,
        wiring: Wiring,
        clock: Clock<'_>,
    ) -> Result<Self, Lan9118Error> {
        if pool.slot_size() < MIN_MTU + ETHERNET_HEADER {
            return Err(Lan9118Error::Mtu);
        }
        reset(&regs, wiring, clock)?;
        let mac = match mac {
            Some(mac) => {
                let [a, b, c, d, e, f] = mac.0;
                csr_write(&regs, csr::ADDRH, u32::from_le_bytes([e, f, 0, 0]))?;
                csr_write(&regs, csr::ADDRL, u32::from_le_bytes([a, b, c, d]))?;
                mac
            }
            None => loaded_address(&regs)?,
        };
        if !mac.is_station() {
            return Err(Lan9118Error::Address);
        }
        let phy = Phy::start(&mut Management(&regs), Some(PHY), Speed::Hundred, clock)?;
        let mac_cr = mac_cr::FULL_DUPLEX | mac_cr::HASH | mac_cr::TX | mac_cr::RX;
        csr_write(&regs, csr::HASHH, 0)?;
        csr_write(&regs, csr::HASHL, 0)?;
        csr_write(&regs, csr::MAC_CR, mac_cr)?;
        regs.write(regs::TX_CFG, TX_ON);
        let counters = Counters::default();
        Ok(Self { regs, attention, pool, mac, phy, mac_cr, blocked: false, counters })
    }

    /// Packets in the receive FIFO.
    fn waiting(&self) -> u32 {
        self.regs.read(regs::RX_FIFO_INF) >> 16 & 0xff
    }

    /// The next packet out of the FIFO.
    fn take(&mut self) -> Option<Frame<'p>> {
        for _ in 0..DROPS {
            if self.waiting() == 0 {
                return None;
            }
            let status = self.regs.read(regs::RX_STATUS);
            let len = (status >> rx::LENGTH_SHIFT & rx::LENGTH) as usize;
            let good = status & (rx::ERROR | rx::FILTERED) == 0 && (SHORTEST + FCS..=LONGEST + FCS).contains(&len);
            if !good {
                self.counters.rx_errors = self.counters.rx_errors.wrapping_add(1);
                self.skip(len);
                continue;
            }
            let Some(mut frame) = self.pool.take(0).filter(|f| f.tailroom() >= len - FCS) else {
                self.counters.rx_no_frame = self.counters.rx_no_frame.wrapping_add(1);
                self.skip(len);
                continue;
            };
            let mut read = 0;
            if let Some(octets) = frame.append(len - FCS) {
                read_words(octets, || {
                    read += 1;
                    self.regs.read(regs::RX_DATA)
                });
            }
            (read..len.div_ceil(4)).for_each(|_| _ = self.regs.read(regs::RX_DATA));
            self.counters.rx_packets = self.counters.rx_packets.wrapping_add(1);
            return Some(frame);
        }
        None
    }

    /// Throws away the packet at the data FIFO's front, of so many octets.
    fn skip(&mut self, len: usize) {
        let words = len.div_ceil(4);
        if words < FORWARD_WORDS {
            (0..words).for_each(|_| _ = self.regs.read(regs::RX_DATA));
            return;
        }
        self.regs.write(regs::RX_DP_CTL, FAST_FORWARD);
        if look(SKIP_LOOKS, || self.regs.read(regs::RX_DP_CTL) & FAST_FORWARD == 0).is_err() {
            // The FIFO cannot be trusted any more.
            self.regs.modify(regs::RX_CFG, |old| old | RX_DUMP);
        }
    }

    /// Acknowledges interrupts and unmasks them.
    fn rearm(&mut self) {
        let status = self.regs.read(regs::INT_STS);
        self.regs.write(regs::INT_STS, status);
        // Reading clears it; models that lose packets silently leave it at zero.
        self.counters.rx_overruns = self.counters.rx_overruns.wrapping_add(self.regs.read(regs::RX_DROP));
        self.counters.rx_errors = self.counters.rx_errors.wrapping_add(u32::from(status & int::RXE != 0));
        self.counters.tx_errors = self.counters.tx_errors.wrapping_add(u32::from(status & int::TXE != 0));
        self.collect();
        self.regs.write(regs::INT_EN, self.mask());
    }

    fn mask(&self) -> u32 {
        int::RSFL | int::RXE | if self.blocked { int::TDFA } else { 0 }
    }

    /// Takes what the chip says of frames that it sent, so that the status FIFO does not fill up.
    fn collect(&mut self) {
        for _ in 0..DROPS {
            if self.regs.read(regs::TX_FIFO_INF) >> 16 & 0xff == 0 {
                return;
            }
            let failed = self.regs.read(regs::TX_STATUS) & rx::ERROR != 0;
            let counter = if failed { &mut self.counters.tx_errors } else { &mut self.counters.tx_packets };
            *counter = counter.wrapping_add(1);
        }
    }

    fn has_room(&self, len: usize) -> bool {
        let room = (self.regs.read(regs::TX_FIFO_INF) & 0xffff) as usize;
        room >= (len + COMMANDS).next_multiple_of(4)
    }

    fn set_hashes(&mut self, [low, high]: [u32; 2]) -> Result<(), Unsupported> {
        let set = |register, value| csr_write(&self.regs, register, value).map_err(|_| Unsupported);
        set(csr::HASHL, low)?;
        set(csr::HASHH, high)
    }

    fn set_mac_cr(&mut self, bit: u32, on: bool) {
        self.mac_cr = if on { self.mac_cr | bit } else { self.mac_cr & !bit };
        // A MAC that does not answer keeps what it had; the stack looks at addresses itself.
        let _ = csr_write(&self.regs, csr::MAC_CR, self.mac_cr);
    }
}

/// Brings the chip to where nothing runs yet.
fn reset<R: Registers>(regs: &R, wiring: Wiring, clock: Clock<'_>) -> Result<(), Lan9118Error> {
    // Any access wakes a chip that sleeps; it is ready to be used when it says so.
    regs.write(regs::BYTE_TEST, 0);
    wait(clock, RESET_LIMIT, || regs.read(regs::PMT_CTRL) & 1 != 0)?;
    if regs.read(regs::BYTE_TEST) != regs::BYTE_ORDER {
        return Err(Lan9118Error::NotFound);
    }
    regs.write(regs::HW_CFG, 1);
    wait(clock, RESET_LIMIT, || regs.read(regs::HW_CFG) & 1 == 0)?;
    // Before anything else: out of reset the pin's level may mean an interrupt.
    let polarity = u32::from(wiring.active_high) << 4 | u32::from(wiring.push_pull);
    regs.write(regs::IRQ_CFG, 1 << 8 | polarity);
    regs.write(regs::INT_EN, 0);
    regs.write(regs::INT_STS, u32::MAX);
    // As much for transmit as the chip has after its reset: 4,608 octets. "Must be one" is bit 20.
    regs.write(regs::HW_CFG, 1 << 20 | 5 << 16);
    // An interrupt with the first packet; and with room for a whole frame.
    regs.write(regs::FIFO_INT, ROOM << 24);
    regs.write(regs::RX_CFG, 0);
    regs.write(regs::TX_CFG, TX_DUMP);
    Ok(())
}

/// The address that the chip has read from its EEPROM.
fn loaded_address<R: Registers>(regs: &R) -> Result<Mac, Timeout> {
    let [a, b, c, d] = csr_read(regs, csr::ADDRL)?.to_le_bytes();
    let [e, f, ..] = csr_read(regs, csr::ADDRH)?.to_le_bytes();
    Ok(Mac([a, b, c, d, e, f]))
}

impl<'p, R: Registers> Device<'p> for Lan9118<'p, R> {
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
        if frame.is_none() && (self.waiting() > 0 || self.blocked && self.has_room(LONGEST)) {
            attention.raise();
        }
        frame.map(|frame| (frame, RxMeta::default()))
    }

    fn transmit(&mut self, frame: Frame<'p>, _: TxMeta) -> Result<(), Frame<'p>> {
        let len = frame.len();
        if !(SHORTEST..=LONGEST).contains(&len) {
            self.counters.tx_errors = self.counters.tx_errors.wrapping_add(1);
            return Ok(());
        }
        self.collect();
        if !self.has_room(len) {
            self.blocked = true;
            if !self.attention.is_raised() {
                self.regs.write(regs::INT_EN, self.mask());
            }
            return Err(frame);
        }
        self.blocked = false;
        self.regs.write(regs::TX_DATA, WHOLE | len as u32);
        self.regs.write(regs::TX_DATA, len as u32);
        write_words(&frame, |word| self.regs.write(regs::TX_DATA, word));
        Ok(())
    }

    fn link(&self) -> Link {
        self.phy.link()
    }

    fn register_waker(&mut self, waker: &Waker) {
        self.attention.register(waker);
    }

    fn set_multicast_filter(&mut self, groups: &[Mac]) -> Result<(), Unsupported> {
        self.set_hashes(hash::filter(groups, hash::smsc))
    }

    fn receive_all_groups(&mut self) -> Result<(), Unsupported> {
        self.set_hashes([u32::MAX; 2])
    }

    fn set_promiscuous(&mut self, on: bool) -> Result<(), Unsupported> {
        self.set_mac_cr(mac_cr::PROMISCUOUS, on);
        Ok(())
    }
}

impl<'p, R: Registers> Nic<'p> for Lan9118<'p, R> {
    fn mac(&self) -> Mac {
        self.mac
    }

    fn tend(&mut self, now: Instant) -> Link {
        self.collect();
        if self.phy.tend(&mut Management(&self.regs), now) {
            if let Some(mode) = self.phy.mode() {
                self.set_mac_cr(mac_cr::FULL_DUPLEX, mode.full_duplex);
            }
            self.attention.raise();
        }
        self.link()
    }

    fn counters(&self) -> Counters {
        Counters { link_changes: self.phy.changes(), ..self.counters }
    }

    fn stop(mut self) {
        self.regs.write(regs::INT_EN, 0);
        self.set_mac_cr(mac_cr::TX | mac_cr::RX, false);
        self.regs.write(regs::TX_CFG, TX_STOP);
    }
}

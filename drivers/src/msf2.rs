//! The Ethernet MAC of SmartFusion2 microcontrollers (MSS EMAC).
//!
//! After the SmartFusion2 Microcontroller Subsystem User Guide, UG0331, "Ethernet MAC". Proven on QEMU's emcraft-sf2;
//! what the model does not show was not tried.
//!
//! The engine walks lists of descriptors, and stops where it meets one that is not its own:
//!
//! ```text
//!   receive:  no EMPTY descriptor ─▶ the packet is lost, receive stops ─▶ told where to go on once the ring is drained
//!   transmit: an EMPTY descriptor ─▶ transmit stops ─▶ told where to go on with the next frame
//! ```

mod descriptor;

#[cfg(test)]
mod tests;

pub use descriptor::{RxDesc, TxDesc};

use crate::engine::{Engine, Events, Filter, LOOKS, Rings};
use crate::interrupt::Attention;
use crate::phy::{Mode, Speed};
use crate::regs::{Registers, Timeout, look};
use crate::word::{bit, low};
use ringtap::device::Mac;

const CFG1: u16 = 0x00;
const CFG2: u16 = 0x04;
const MAX_FRAME: u16 = 0x10;
const MII_CFG: u16 = 0x20;
const MII_CMD: u16 = 0x24;
const MII_ADDR: u16 = 0x28;
const MII_CTL: u16 = 0x2c;
const MII_STS: u16 = 0x30;
const MII_IND: u16 = 0x34;
const IF_CTL: u16 = 0x38;
const STA1: u16 = 0x40;
const STA2: u16 = 0x44;
const FIFO_CFG0: u16 = 0x48;
const FIFO_CFG4: u16 = 0x58;
const FIFO_CFG5: u16 = 0x5c;
const TXC: u16 = 0x180;
const TXD: u16 = 0x184;
const TXS: u16 = 0x188;
const RXC: u16 = 0x18c;
const RXD: u16 = 0x190;
const RXS: u16 = 0x194;
const DMA_IRQ_MASK: u16 = 0x198;

const CFG1_RESET: u32 = bit(31);
const CFG1_RX: u32 = bit(2);
const CFG1_TX: u32 = bit(0);

/// A preamble of 7 octets, the frame check sequence and padding appended.
const CFG2_BASE: u32 = 7 << 12 | bit(2) | bit(1);
const CFG2_FULL_DUPLEX: u32 = bit(0);
const CFG2_NIBBLE: u32 = bit(8);
const CFG2_OCTET: u32 = bit(9);

/// The five parts of the FIFO: wanted, and answered 8 bits higher.
const FIFO_ON: u32 = 0x1f00;
/// Frames with a code error or a wrong check sequence.
const FIFO_DAMAGED: u32 = bit(3) | bit(4);
const FIFO_ALL: u32 = 0x3ffff;

/// In RXC and TXC.
const ENABLE: u32 = bit(0);
/// In RXS and TXS: a packet; packets 23:16, one less at each write of the first bit; the receive engine found no
/// descriptor, the transmit engine nothing to send; an error on the bus.
const PACKET: u32 = bit(0);
const STOPPED: [u32; 2] = [bit(2), bit(1)];
const BUS_ERROR: u32 = bit(3);

const IRQ_RX: u32 = bit(4) | bit(6) | bit(7);
const IRQ_TX: u32 = bit(0) | bit(3);
const IRQ_TX_STOPPED: u32 = bit(1);

/// The handler's part of an interrupt.
pub fn on_interrupt(regs: &impl Registers, attention: &Attention) {
    regs.write(DMA_IRQ_MASK, 0);
    attention.raise();
}

/// The MAC's registers, for rings of `RX` and `TX` descriptors.
pub struct Msf2<R, const RX: usize, const TX: usize> {
    regs: R,
    /// Where the rings begin.
    rings: [u32; 2],
    /// Somebody waits for room in the transmit ring.
    is_full: bool,
    /// Frames were given while the transmitter ran: it may have looked before they were there.
    is_unsure: bool,
    /// Interrupts are let through by the poll.
    is_driven: bool,
}

impl<R: Registers, const RX: usize, const TX: usize> Msf2<R, RX, TX> {
    /// The MAC with these registers.
    pub const fn new(regs: R) -> Self {
        // Packets that were not acknowledged yet are counted in eight bits.
        const { assert!(RX < 128 && TX < 128, "rings of fewer than 128 descriptors") };
        Self { regs, rings: [0; 2], is_full: false, is_unsure: false, is_driven: false }
    }

    fn mask(&self) -> u32 {
        let stopped = if self.is_unsure { IRQ_TX_STOPPED } else { 0 };
        IRQ_RX | BUS_ERROR | stopped | if self.is_full { IRQ_TX } else { 0 }
    }

    /// Acknowledges all of a status register; what it said.
    fn acknowledge(&self, register: u16) -> u32 {
        let status = self.regs.read(register);
        for _ in 0..status >> 16 & 0xff {
            self.regs.write(register, PACKET);
        }
        self.regs.write(register, status & (STOPPED[0] | STOPPED[1] | BUS_ERROR));
        status
    }

    fn descriptor(&self, ring: usize, place: usize) -> u32 {
        self.rings[ring].wrapping_add((place * descriptor::STEP) as u32)
    }

    /// Waits until the management interface is idle.
    fn mdio_idle(&self) -> Result<(), Timeout> {
        look(LOOKS, || self.regs.read(MII_IND) & 1 == 0)
    }
}

impl<R: Registers, const RX: usize, const TX: usize> Engine for Msf2<R, RX, TX> {
    type Rx = RxDesc<RX>;
    type Tx = TxDesc<TX>;
    // The manual does not tell whether the check sequence is left in the buffer; QEMU leaves it away.
    const TRAILER: usize = 4;
    const TX_STOPS: bool = true;
    const PROMISCUOUS: bool = false;

    fn hash(_: Mac) -> u32 {
        // There is no filter of groups: all are received.
        0
    }

    fn init(&mut self, rings: &Rings) -> Result<(), Timeout> {
        let regs = &self.regs;
        regs.write(CFG1, CFG1_RESET);
        regs.write(CFG1, 0);
        regs.write(DMA_IRQ_MASK, 0);
        regs.write(FIFO_CFG0, FIFO_ON);
        look(LOOKS, || regs.read(FIFO_CFG0) & FIFO_ON << 8 == FIFO_ON << 8)?;
        regs.write(FIFO_CFG4, FIFO_DAMAGED);
        regs.write(FIFO_CFG5, FIFO_ALL & !FIFO_DAMAGED);
        regs.write(MAX_FRAME, rings.capacity as u32);
        let [a, b, c, d, e, f] = rings.mac.0;
        regs.write(STA1, u32::from_be_bytes([a, b, c, d]));
        regs.write(STA2, u32::from_be_bytes([e, f, 0, 0]));
        // The slowest clock of the management interface: it suits every system clock.
        regs.write(MII_CFG, 7);
        self.rings = [low(rings.rx), low(rings.tx)];
        (self.is_full, self.is_unsure) = (false, false);
        Ok(())
    }

    fn start(&mut self) {
        self.regs.write(CFG1, CFG1_RX | CFG1_TX);
        self.regs.write(RXD, self.rings[0]);
        self.regs.write(TXD, self.rings[1]);
        self.regs.write(RXC, ENABLE);
    }

    fn stop(&mut self) -> Result<(), Timeout> {
        let regs = &self.regs;
        regs.write(DMA_IRQ_MASK, 0);
        regs.write(RXC, 0);
        regs.write(TXC, 0);
        look(LOOKS, || (regs.read(RXC) | regs.read(TXC)) & ENABLE == 0)?;
        // A reset ends what the engine was in the middle of.
        regs.write(CFG1, CFG1_RESET);
        Ok(())
    }

    fn kick_rx(&mut self, _: usize) {
        // While it runs it sees fresh descriptors by itself; where it stopped is seen to once the ring is drained.
    }

    fn kick_tx(&mut self, _: usize, _: usize) {
        // See `resume_tx`.
    }

    fn resume_tx(&mut self, oldest: usize, is_full: bool) {
        let runs = self.regs.read(TXC) & ENABLE != 0;
        if !runs {
            // The engine begins where TXD says, and some do not move that on.
            self.regs.write(TXD, self.descriptor(1, oldest));
            self.regs.write(TXC, ENABLE);
        }
        let before = self.mask();
        (self.is_full, self.is_unsure) = (is_full, runs);
        if self.is_driven && self.mask() & !before != 0 {
            // At worst this unmasks while a poll is owed: one interrupt more.
            self.regs.write(DMA_IRQ_MASK, self.mask());
        }
    }

    fn events(&mut self, place: usize, _: usize) -> Events {
        let (rx, tx) = (self.acknowledge(RXS), self.acknowledge(TXS));
        let stopped = rx & STOPPED[0] != 0;
        if stopped && self.regs.read(RXC) & ENABLE == 0 {
            // The ring was full; it is drained now, and the engine goes on at the descriptor that it could not have.
            self.regs.write(RXD, self.descriptor(0, place));
            self.regs.write(RXC, ENABLE);
        }
        Events { overruns: stopped.into(), fault: (rx | tx) & BUS_ERROR != 0 }
    }

    fn interrupts(&mut self, on: bool) {
        self.is_driven |= on;
        self.regs.write(DMA_IRQ_MASK, if on { self.mask() } else { 0 });
    }

    fn set_mode(&mut self, mode: Mode) {
        let width = if mode.speed == Speed::Gigabit { CFG2_OCTET } else { CFG2_NIBBLE };
        let duplex = if mode.full_duplex { CFG2_FULL_DUPLEX } else { 0 };
        self.regs.write(CFG2, CFG2_BASE | width | duplex);
        self.regs.write(IF_CTL, if mode.speed == Speed::Hundred { bit(16) } else { 0 });
    }

    fn set_filter(&mut self, _: &Filter) {
        // All groups are received at any rate, and other stations' frames never: there is nothing to set.
    }

    fn mdio_read(&mut self, phy: u8, register: u8) -> Result<u16, Timeout> {
        self.mdio_idle()?;
        self.regs.write(MII_ADDR, u32::from(phy) << 8 | u32::from(register));
        self.regs.write(MII_CMD, 0);
        self.regs.write(MII_CMD, 1);
        self.mdio_idle()?;
        Ok(self.regs.read(MII_STS) as u16)
    }

    fn mdio_write(&mut self, phy: u8, register: u8, value: u16) -> Result<(), Timeout> {
        self.mdio_idle()?;
        self.regs.write(MII_ADDR, u32::from(phy) << 8 | u32::from(register));
        self.regs.write(MII_CTL, value.into());
        self.mdio_idle()
    }
}

//! The MAC's registers and its DMA, as DS60001527 describes them; the next receive descriptor is read ahead and held on
//! to, as QEMU's model does.

extern crate std;
use crate::engine::tests::world::{Bus, Fate, Hardware, Packet};
use std::collections::HashMap;
use std::vec::Vec;

const RX_USED: u32 = 1;
const TX_USED: u32 = 1 << 31;

#[derive(Default)]
pub struct Model<const N: usize, const Q: usize> {
    registers: HashMap<u16, u32>,
    at: [u32; 2],
    rx_status: u32,
    tx_status: u32,
    isr: u32,
    mask: u32,
    missed: u32,
    sending: bool,
    /// A used descriptor was read ahead: nothing is received until NWCTRL is written.
    holds: bool,
    dead: bool,
    /// Nanoseconds, and when the clock was set to zero.
    time: u64,
    epoch: u64,
    /// The transmitter never stops.
    pub stuck: bool,
    /// A management transfer does not end.
    pub busy: bool,
    /// The next doorbell is passed over.
    pub deaf: bool,
    phy: HashMap<u32, u16>,
}

impl<const N: usize, const Q: usize> Model<N, Q> {
    fn register(&self, offset: u16) -> u32 {
        self.registers.get(&offset).copied().unwrap_or(0)
    }

    fn on(&self, bits: u32) -> bool {
        !self.dead && self.register(0) & bits != 0
    }

    /// A queue beyond the first has descriptors that it can do nothing with.
    pub fn parked(&self, queue: u16) -> bool {
        self.register(0x440 + 4 * queue) != 0 && self.register(0x480 + 4 * queue) != 0
    }

    /// Puts the time into a descriptor, if that is wanted.
    fn stamp(&self, bus: &Bus, at: u32, control: u16) -> bool {
        if N != 6 || self.register(control) >> 4 & 3 != 3 {
            return false;
        }
        let (seconds, nanos) = self.clock();
        bus.word(at + 16).set(seconds << 30 | nanos);
        // The rest of the word is not for the time, and not zero.
        bus.word(at + 20).set(seconds >> 2 & 15 | 0x50);
        true
    }

    fn clock(&self) -> (u32, u32) {
        let time = self.time - self.epoch;
        ((time / 1_000_000_000) as u32, (time % 1_000_000_000) as u32)
    }

    fn next(&mut self, direction: usize, wraps: bool) {
        let base = self.register([0x18, 0x1c][direction]);
        self.at[direction] = if wraps { base } else { self.at[direction] + 4 * N as u32 };
    }

    fn control(&mut self, value: u32) {
        if value & 1 << 2 == 0 {
            self.at[0] = self.register(0x18);
        }
        if value & 1 << 3 == 0 {
            self.at[1] = self.register(0x1c);
            self.sending = false;
            self.dead &= value & 1 << 2 != 0;
        }
        self.holds = false;
        if value & 1 << 2 != 0 {
            assert!((0..Q as u16 - 1).all(|q| self.parked(q)), "a queue walks over address zero");
            // With parked queues it sees a used descriptor at once.
            self.rx_status |= u32::from(Q > 1);
        }
        if value & 1 << 9 != 0 {
            assert!(value & 1 << 3 != 0, "a doorbell without a transmitter");
            self.sending = !core::mem::take(&mut self.deaf);
            self.tx_status |= u32::from(!self.sending);
        }
        if value & 1 << 10 != 0 {
            self.sending = false;
        }
        self.registers.insert(0, value & !(1 << 5 | 1 << 9 | 1 << 10));
    }

    fn management(&mut self, value: u32) {
        assert_eq!(value >> 30, 1, "clause 22");
        assert_eq!(value >> 16 & 3, 2, "the turn-around");
        let place = value >> 18 & 0x3ff;
        match value >> 28 & 3 {
            1 => drop(self.phy.insert(place, value as u16)),
            2 => {
                let answer = self.phy.get(&place).copied().unwrap_or(0xffff);
                self.registers.insert(0x34, value & !0xffff | u32::from(answer));
            }
            other => panic!("operation {other}"),
        }
    }
}

impl<const N: usize, const Q: usize> Hardware for Model<N, Q> {
    fn read(&mut self, _: usize, offset: u16) -> u32 {
        match offset {
            0x08 => u32::from(!self.busy) << 2,
            0x14 => self.tx_status | u32::from(self.sending || self.stuck) << 3,
            0x20 => self.rx_status,
            0x1d0 => self.clock().0,
            0x1d4 => self.clock().1,
            0x24 => core::mem::take(&mut self.isr),
            0x1a0 => core::mem::take(&mut self.missed),
            _ => self.register(offset),
        }
    }

    fn write(&mut self, _: usize, offset: u16, value: u32) {
        match offset {
            0x00 => self.control(value),
            0x14 => self.tx_status &= !value,
            0x18 | 0x1c => {
                assert_eq!(self.register(0) & 0b1100, 0, "the list's address is written while it runs");
                self.registers.insert(offset, value);
                self.at[usize::from(offset == 0x1c)] = value;
            }
            0x20 => self.rx_status &= !value,
            0x24 => self.isr &= !value,
            0x28 => self.mask |= value,
            0x2c => self.mask &= !value,
            0x34 => self.management(value),
            0x1d0 => {
                assert_eq!((value, self.registers.insert(0x1d4, 0)), (0, Some(0)), "the clock starts at zero");
                assert!(self.register(0x1dc) > 0, "the clock stands still");
                self.epoch = self.time;
            }
            _ => drop(self.registers.insert(offset, value)),
        }
    }

    fn receive(&mut self, bus: &mut Bus, packet: &Packet) -> Fate {
        // Damaged frames do not reach memory.
        if !self.on(1 << 2) || packet.error.is_some() {
            return Fate::Missed;
        }
        let size = (self.register(0x10) >> 16 & 0xff) as usize * 64;
        let kind = [0, 0b100, 0b111][N / 2 - 1];
        assert_eq!(self.register(0x10) >> 28, kind, "the descriptors' size");
        let pieces: Vec<&[u8]> = packet.octets.chunks(size).collect();
        for (i, piece) in pieces.iter().enumerate() {
            let at = self.at[0];
            let first = bus.word(at).get();
            if first & RX_USED != 0 || self.holds {
                self.holds = true;
                self.rx_status |= 1;
                self.isr |= 1 << 2;
                self.missed += 1;
                // A frame whose end finds no descriptor has begun all the same.
                return if i == 0 { Fate::Missed } else { Fate::Bad };
            }
            let flags = if N == 6 { 7 } else { 3 };
            bus.write(first & !flags, piece);
            let last = i + 1 == pieces.len();
            let length = if last { packet.octets.len() as u32 } else { 0 };
            bus.word(at + 4).set(length | u32::from(i == 0) << 14 | u32::from(last) << 15);
            let stamped = last && self.stamp(bus, at, 0x4d0);
            bus.word(at).set(first | RX_USED | u32::from(stamped) << 2);
            self.next(0, first & 2 != 0);
        }
        self.rx_status |= 2;
        self.isr |= 2;
        if pieces.len() == 1 { Fate::Good } else { Fate::Bad }
    }

    fn transmit(&mut self, bus: &mut Bus, lost: bool) -> Option<Vec<u8>> {
        if !self.on(1 << 3) || !self.sending {
            return None;
        }
        let at = self.at[1];
        let control = bus.word(at + 4).get();
        if control & TX_USED != 0 {
            self.sending = false;
            self.tx_status |= 1;
            return None;
        }
        assert_eq!(control >> 15 & 1, 1, "a frame is whole");
        let octets = bus.read(bus.word(at).get(), (control & 0x3fff) as usize);
        let stamped = !lost && self.stamp(bus, at, 0x4cc);
        bus.word(at + 4).set(control | TX_USED | u32::from(lost) << 26 | u32::from(stamped) << 23);
        self.next(1, control & 1 << 30 != 0);
        self.tx_status |= 1 << 5;
        self.isr |= 1 << 7;
        Some(octets)
    }

    fn fault(&mut self) -> bool {
        self.dead = true;
        self.sending = false;
        self.tx_status |= 1 << 8;
        self.isr |= 1 << 11;
        true
    }

    fn set_time(&mut self, nanos: u64) {
        self.time = nanos;
    }

    fn owned(&self, bus: &Bus) -> usize {
        let step = 4 * N as u32;
        bus.count(self.register(0x18), step, 0, |w| w & RX_USED == 0)
            + bus.count(self.register(0x1c), step, 1, |w| w & TX_USED == 0)
    }

    fn interrupt(&self) -> bool {
        self.isr & self.mask != 0
    }
}

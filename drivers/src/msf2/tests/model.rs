//! The MAC's registers and its DMA: engines that walk lists, stop at what is not theirs, and go on where they are told.

extern crate std;
use crate::engine::tests::cases::{RX, TX};
use crate::engine::tests::world::{Bus, Fate, Hardware, Packet};
use std::collections::HashMap;
use std::vec::Vec;

const EMPTY: u32 = 1 << 31;
const STEP: u32 = 12;

/// Registers with a meaning of their own.
const CFG1: u16 = 0x00;
const CONTROL: [u16; 2] = [0x18c, 0x180];
const ADDRESS: [u16; 2] = [0x190, 0x184];
const STATUS: [u16; 2] = [0x194, 0x188];
/// The status bit of an engine that has stopped.
const STOPPED: [u32; 2] = [1 << 2, 1 << 1];

pub struct Model {
    pub others: HashMap<u16, u32>,
    at: [u32; 2],
    lists: [u32; 2],
    runs: [bool; 2],
    packets: [u32; 2],
    flags: [u32; 2],
    cfg1: u32,
    /// The FIFO never answers.
    pub stuck: bool,
    /// The management interface never gets idle.
    pub busy: bool,
    pub phy: HashMap<u32, u32>,
    /// The engine forgets where it was, and begins at the address register each time, as QEMU's does.
    pub forgets: bool,
    /// Frames for other stations do not pass.
    pub filters: bool,
    in_reset: bool,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            others: HashMap::new(),
            at: [0; 2],
            lists: [0; 2],
            runs: [false; 2],
            packets: [0; 2],
            flags: [0; 2],
            cfg1: 0,
            stuck: false,
            busy: false,
            phy: HashMap::new(),
            forgets: false,
            filters: false,
            in_reset: true,
        }
    }
}

impl Model {
    pub fn register(&self, offset: u16) -> u32 {
        self.others.get(&offset).copied().unwrap_or(0)
    }

    fn status(&self, engine: usize) -> u32 {
        self.packets[engine] << 16 | u32::from(self.packets[engine] > 0) | self.flags[engine]
    }

    fn stops(&mut self, engine: usize) {
        self.runs[engine] = false;
        self.flags[engine] |= STOPPED[engine];
    }

    fn reset(&mut self) {
        let Self { stuck, busy, forgets, filters, .. } = *self;
        let phy = core::mem::take(&mut self.phy);
        *self = Self { stuck, busy, forgets, filters, phy, ..Self::default() };
    }
}

impl Hardware for Model {
    fn read(&mut self, _: usize, offset: u16) -> u32 {
        if let Some(engine) = STATUS.iter().position(|s| *s == offset) {
            return self.status(engine);
        }
        if let Some(engine) = CONTROL.iter().position(|s| *s == offset) {
            return self.runs[engine].into();
        }
        match offset {
            0x34 => self.busy.into(),
            0x48 if !self.stuck => self.register(0x48) | self.register(0x48) << 8,
            _ => self.register(offset),
        }
    }

    fn write(&mut self, _: usize, offset: u16, value: u32) {
        if offset == CFG1 {
            if value >> 31 != 0 {
                self.reset();
            }
            self.cfg1 = value;
            self.in_reset = value >> 31 != 0;
            return;
        }
        assert!(!self.in_reset, "{offset:#x} is written during the reset");
        for engine in 0..2 {
            if offset == STATUS[engine] {
                if value & 1 != 0 {
                    assert!(self.packets[engine] > 0, "the count of packets wraps");
                    self.packets[engine] -= 1;
                }
                self.flags[engine] &= !value;
            } else if offset == ADDRESS[engine] {
                assert!(!self.runs[engine], "the address is written while the engine runs");
                if self.lists[engine] == 0 {
                    self.lists[engine] = value;
                }
                self.at[engine] = value;
            } else if offset == CONTROL[engine] {
                self.runs[engine] = value & 1 != 0;
            }
        }
        match offset {
            0x24 if value & 1 != 0 => {
                let answer = self.phy.get(&self.register(0x28)).copied().unwrap_or(0xffff);
                self.others.insert(0x30, answer);
            }
            0x2c => drop(self.phy.insert(self.register(0x28), value)),
            _ => {}
        }
        self.others.insert(offset, value);
    }

    fn receive(&mut self, bus: &mut Bus, packet: &Packet) -> Fate {
        if !self.runs[0] || self.cfg1 & 1 << 2 == 0 {
            return Fate::Missed;
        }
        let [first, second] = [0x40, 0x44].map(|offset| self.register(offset).to_be_bytes());
        let station = [&first[..], &second[..2]].concat();
        if self.filters && packet.octets[0] & 1 == 0 && packet.octets[..6] != station[..] {
            return Fate::Missed;
        }
        let too_long = packet.octets.len() + 4 > self.register(0x10) as usize;
        // What is damaged is dropped by the FIFO where the frame's bit is set in one register and not in the other.
        let drops = self.register(0x58) & !self.register(0x5c);
        assert_eq!(drops & 0x18, 0x18, "damaged frames pass");
        if too_long || packet.error.is_some() {
            return Fate::Missed;
        }
        let at = self.at[0];
        if bus.word(at + 4).get() & EMPTY == 0 {
            self.stops(0);
            return Fate::Missed;
        }
        bus.write(bus.word(at).get(), &packet.octets);
        self.at[0] = bus.word(at + 8).get();
        bus.word(at + 4).set(packet.octets.len() as u32);
        self.packets[0] += 1;
        Fate::Good
    }

    fn transmit(&mut self, bus: &mut Bus, _: bool) -> Option<Vec<u8>> {
        if !self.runs[1] || self.cfg1 & 1 == 0 {
            return None;
        }
        let at = self.at[1];
        let size = bus.word(at + 4).get();
        if size & EMPTY != 0 {
            self.stops(1);
            if self.forgets {
                self.at[1] = self.register(ADDRESS[1]);
            }
            return None;
        }
        let octets = bus.read(bus.word(at).get(), (size & 0xfff) as usize);
        self.at[1] = bus.word(at + 8).get();
        bus.word(at + 4).set(size | EMPTY);
        self.packets[1] += 1;
        Some(octets)
    }

    fn fault(&mut self) -> bool {
        self.runs = [false; 2];
        self.flags[0] |= 1 << 3;
        true
    }

    fn owned(&self, bus: &Bus) -> usize {
        let [rx, tx] = self.lists;
        let is_empty = |list: u32, place: usize| bus.word(list + place as u32 * STEP + 4).get() & EMPTY != 0;
        let rx = (0..RX).filter(|place| rx != 0 && is_empty(rx, *place)).count();
        rx + (0..TX).filter(|place| tx != 0 && !is_empty(tx, *place)).count()
    }

    fn interrupt(&self) -> bool {
        let [rx, tx] = [self.status(0), self.status(1)];
        // Packet, stopped and bus error of each, in the order of the mask: transmit 0, 1, 3; receive 4, 6, 7.
        let lines = (tx & 0b1011) | (rx & 0b1101) << 4;
        lines & self.register(0x198) != 0
    }
}

//! The MAC's registers, its queues and its DMA, as RM0433 describes them: descriptors in read and in write-back format,
//! context descriptors, tail pointers.

extern crate std;
use crate::engine::tests::world::{Bus, Fate, Hardware, Packet};
use crate::ring::RxError;
use std::collections::HashMap;
use std::vec::Vec;

const OWN: u32 = 1 << 31;
const SIZE: u32 = 16;

/// Offsets of the lists, the lengths and the tail pointers: receive, transmit.
const LISTS: [u16; 2] = [0x111c, 0x1114];
const LENGTHS: [u16; 2] = [0x1130, 0x112c];
const TAILS: [u16; 2] = [0x1128, 0x1120];
const CONTROLS: [u16; 2] = [0x1108, 0x1104];

#[derive(Default)]
pub struct Model {
    registers: HashMap<u16, u32>,
    at: [u32; 2],
    /// Reached the tail, or a descriptor that was not its own; a write to the tail pointer wakes it up.
    suspended: [bool; 2],
    sr: u32,
    missed: u32,
    dead: bool,
    /// A context descriptor that is not written yet.
    owed: Option<u32>,
    /// Nanoseconds and seconds.
    pub time: [u32; 2],
    /// The context descriptor is written when told only.
    pub late: bool,
    /// A reset does not end.
    pub stuck: bool,
    /// A management transfer does not end.
    pub busy: bool,
    phy: HashMap<u32, u32>,
}

impl Model {
    fn register(&self, offset: u16) -> u32 {
        self.registers.get(&offset).copied().unwrap_or(0)
    }

    fn reset(&mut self) {
        let Self { stuck, busy, late, time, .. } = *self;
        let phy = core::mem::take(&mut self.phy);
        *self = Self { stuck, busy, late, time, phy, suspended: [true; 2], ..Self::default() };
        self.registers.insert(0x1000, u32::from(stuck));
    }

    fn started(&self, direction: usize, enable: u32) -> bool {
        !self.dead && self.register(CONTROLS[direction]) & 1 != 0 && self.register(0) & enable != 0
    }

    /// The descriptor that is next, unless the DMA is suspended or has to be.
    fn current(&mut self, bus: &Bus, direction: usize) -> Option<u32> {
        let at = self.at[direction];
        let ends = at == self.register(TAILS[direction]);
        if self.suspended[direction] || ends || bus.word(at + 12).get() & OWN == 0 {
            self.suspended[direction] = true;
            self.sr |= if direction == 0 { 1 << 7 | 1 << 14 } else { 1 << 2 | 1 << 15 };
            return None;
        }
        Some(at)
    }

    fn next(&mut self, direction: usize) {
        let list = self.register(LISTS[direction]);
        let last = list + SIZE * self.register(LENGTHS[direction]);
        let at = &mut self.at[direction];
        *at = if *at == last { list } else { *at + SIZE };
    }

    fn stamps(&self) -> bool {
        self.register(0xb00) & 1 != 0
    }

    pub fn write_late_context(&mut self, bus: &mut Bus) {
        if let Some(at) = self.owed.take() {
            self.write_context(bus, at);
        }
    }

    fn write_context(&self, bus: &Bus, at: u32) {
        assert_ne!(bus.word(at + 12).get() & OWN, 0);
        let [nanos, seconds] = self.time;
        bus.word(at).set(nanos);
        bus.word(at + 4).set(seconds);
        bus.word(at + 12).set(1 << 30);
    }

    /// The context descriptor takes the next descriptor, if there is one.
    fn context(&mut self, bus: &mut Bus) {
        let Some(at) = self.current(bus, 0) else { return };
        if self.late {
            self.owed = Some(at);
        } else {
            self.write_context(bus, at);
        }
        self.next(0);
    }
}

fn error_bits(error: Option<RxError>) -> u32 {
    match error {
        None => 0,
        Some(RxError::Crc) => 1 << 15 | 1 << 24,
        Some(RxError::Overrun) => 1 << 15 | 1 << 21,
        Some(RxError::TooLong) => 1 << 15 | 1 << 22,
        Some(RxError::Other) => 1 << 15 | 1 << 20,
    }
}

impl Hardware for Model {
    fn read(&mut self, _: usize, offset: u16) -> u32 {
        match offset {
            0x200 => u32::from(self.busy),
            0xb08 => self.time[1],
            0xb0c => self.time[0],
            0xb00 => self.register(offset) & !(1 << 5 | 1 << 2),
            0xd00 => self.register(offset) & !1,
            0x100c => {
                let process =
                    |n: usize, shift: u32| u32::from(self.register(CONTROLS[n]) & 1 != 0 && !self.dead) << shift;
                process(0, 8) | process(1, 12)
            }
            0x1160 => self.sr,
            0x116c => core::mem::take(&mut self.missed),
            _ => self.register(offset),
        }
    }

    fn write(&mut self, _: usize, offset: u16, value: u32) {
        match offset {
            0x200 if value & 1 != 0 => {
                let place = value >> 16 & 0x3ff;
                match value >> 2 & 3 {
                    1 => drop(self.phy.insert(place, self.register(0x204))),
                    3 => {
                        let answer = self.phy.get(&place).copied().unwrap_or(0xffff);
                        self.registers.insert(0x204, answer);
                    }
                    other => panic!("operation {other}"),
                }
            }
            0x1000 if value & 1 != 0 => self.reset(),
            0x1160 => self.sr &= !value,
            _ => {
                self.registers.insert(offset, value);
                for n in 0..2 {
                    let running = self.register(CONTROLS[n]) & 1 != 0;
                    if offset == LISTS[n] {
                        assert!(!running, "the list's address is written while it runs");
                        self.at[n] = value;
                    }
                    assert!(offset != LENGTHS[n] || !running, "the list's length is written while it runs");
                    if offset == TAILS[n] {
                        self.suspended[n] = false;
                    }
                }
            }
        }
    }

    fn receive(&mut self, bus: &mut Bus, packet: &Packet) -> Fate {
        self.write_late_context(bus);
        if !self.started(0, 1) {
            return Fate::Missed;
        }
        let strips = self.register(0) >> 20 & 3 == 3;
        let fcs: &[u8] = if strips { &[] } else { &[0xfc; 4] };
        let octets = [&packet.octets[..], fcs].concat();
        let size = (self.register(0x1108) >> 1 & 0x3fff) as usize;
        let pieces: Vec<&[u8]> = octets.chunks(size).collect();
        for (i, piece) in pieces.iter().enumerate() {
            let Some(at) = self.current(bus, 0) else {
                self.missed += 1;
                // A packet whose end finds no descriptor has begun all the same.
                return if i == 0 { Fate::Missed } else { Fate::Bad };
            };
            assert_eq!(bus.word(at + 12).get() >> 24 & 1, 1, "the buffer's address is not valid");
            bus.write(bus.word(at).get(), piece);
            let last = i + 1 == pieces.len();
            let stamped = last && self.stamps();
            let status = if last { 1 << 26 | octets.len() as u32 | error_bits(packet.error) } else { 0 };
            bus.word(at).set(0);
            bus.word(at + 4).set(if last { u32::from(stamped) << 14 | 1 << 4 | 1 } else { 0xffff_ffff });
            bus.word(at + 12).set(status | u32::from(i == 0) << 29 | u32::from(last) << 28);
            self.next(0);
            if stamped {
                self.context(bus);
            }
        }
        self.sr |= 1 << 6 | 1 << 15;
        if pieces.len() == 1 && packet.error.is_none() { Fate::Good } else { Fate::Bad }
    }

    fn transmit(&mut self, bus: &mut Bus, lost: bool) -> Option<Vec<u8>> {
        if !self.started(1, 2) {
            return None;
        }
        let at = self.current(bus, 1)?;
        let control = bus.word(at + 12).get();
        assert_eq!(control >> 28 & 7, 3, "a frame is whole, and no context");
        let len = bus.word(at + 8).get() & 0x3fff;
        assert_eq!(control & 0x7fff, len, "FL and B1L");
        let octets = bus.read(bus.word(at).get(), len as usize);
        let errors = if lost { 1 << 15 | 1 << 9 } else { 0 };
        let stamped = bus.word(at + 8).get() & 1 << 30 != 0 && self.stamps() && !lost;
        // What was read is written over, time stamp or not.
        let [nanos, seconds] = if stamped { self.time } else { [0; 2] };
        bus.word(at).set(nanos);
        bus.word(at + 4).set(seconds);
        bus.word(at + 12).set(3 << 28 | u32::from(stamped) << 17 | errors);
        self.next(1);
        self.sr |= 1 | 1 << 15;
        Some(octets)
    }

    fn fault(&mut self) -> bool {
        self.dead = true;
        self.sr |= 1 << 12 | 1 << 14;
        true
    }

    fn set_time(&mut self, nanos: u64) {
        self.time = [(nanos % 1_000_000_000) as u32, (nanos / 1_000_000_000) as u32];
    }

    fn owned(&self, bus: &Bus) -> usize {
        LISTS.iter().map(|list| bus.count(self.register(*list), SIZE, 3, |w| w & OWN != 0)).sum()
    }

    fn interrupt(&self) -> bool {
        let mask = self.register(0x1134);
        let sums = self.sr & mask & (1 << 14 | 1 << 15);
        self.sr & mask & !(1 << 14 | 1 << 15) != 0 && sums != 0
    }
}

//! The MAC's registers and its DMA, as the i.MX RT1060's manual describes them.

extern crate std;
use crate::engine::tests::world::{Bus, Fate, Hardware, Packet};
use crate::ring::RxError;
use std::collections::HashMap;
use std::vec::Vec;

const OWN: u32 = 1 << 31;
const WRAP: u32 = 1 << 29;
const LAST: u32 = 1 << 27;

#[derive(Default)]
pub struct Model<const N: usize> {
    registers: HashMap<u16, u32>,
    at: [u32; 2],
    eir: u32,
    /// RDAR and TDAR.
    active: [bool; 2],
    lost: u32,
    /// Nanoseconds, when the clock began, and what was captured of it: by every other order only.
    time: u64,
    epoch: u64,
    captured: [u32; 2],
    /// Nothing drives the clock.
    pub unclocked: bool,
    /// A reset does not end.
    pub stuck: bool,
    /// A management transfer does not end.
    pub busy: bool,
    /// The next doorbell of transmit is passed over.
    pub deaf: bool,
    phy: HashMap<u32, u16>,
}

impl<const N: usize> Model<N> {
    fn register(&self, offset: u16) -> u32 {
        self.registers.get(&offset).copied().unwrap_or(0)
    }

    fn enabled(&self) -> bool {
        self.register(0x24) & 2 != 0
    }

    /// Sets registers of a PHY.
    pub fn phy(&mut self, address: u32, registers: &[(u32, u16)]) {
        self.phy.extend(registers.iter().map(|(register, value)| (address << 5 | register, *value)));
    }

    fn control(&mut self, value: u32) {
        if value & 1 != 0 {
            let Self { stuck, busy, deaf, unclocked, time, .. } = *self;
            let phy = core::mem::take(&mut self.phy);
            *self = Self { stuck, busy, deaf, unclocked, time, epoch: time, phy, ..Self::default() };
            self.registers.insert(0x24, 0xf000_0000 | u32::from(stuck));
            return;
        }
        if value & 2 != 0 {
            assert_eq!(value >> 8 & 1, 1, "descriptors are to lie in the processor's order");
            assert_eq!(value >> 4 & 1, u32::from(N == 8), "the descriptors' size");
        } else {
            self.active = [false; 2];
        }
        if value & 2 == 0 || !self.enabled() {
            self.at = [self.register(0x180), self.register(0x184)];
        }
        self.registers.insert(0x24, value);
    }

    fn management(&mut self, value: u32) {
        assert_eq!((value >> 30, value >> 16 & 3), (1, 2), "start and turn-around");
        let place = value >> 18 & 0x3ff;
        match value >> 28 & 3 {
            // A reset of the PHY, and the order to negotiate, end at once.
            1 => drop(self.phy.insert(place, if place & 31 == 0 { value as u16 & !0x8200 } else { value as u16 })),
            2 => {
                let answer = self.phy.get(&place).copied().unwrap_or(0xffff);
                self.registers.insert(0x40, value & !0xffff | u32::from(answer));
            }
            other => panic!("operation {other}"),
        }
        self.eir |= u32::from(!self.busy) << 23;
    }

    fn clock(&self) -> u32 {
        assert_eq!(self.register(0x40c), 1_000_000_000, "seconds");
        ((self.time - self.epoch) % 1_000_000_000) as u32
    }

    fn control_clock(&mut self, value: u32) {
        if value & 1 << 9 != 0 {
            self.epoch = self.time;
        }
        if value & 1 << 11 != 0 && !self.unclocked {
            self.captured = [self.clock(), self.captured[0]];
        }
        let busy = if self.unclocked { 0 } else { 1 << 11 };
        self.registers.insert(0x400, value & !busy & !(1 << 9));
    }

    /// Puts the time into a descriptor.
    fn stamp(&self, bus: &Bus, at: u32) {
        assert_eq!(self.register(0x400) & 0x11, 0x11, "the clock stands still");
        bus.word(at + 20).set(self.clock());
    }

    fn next(&mut self, direction: usize, wraps: bool) {
        let base = self.register([0x180, 0x184][direction]);
        self.at[direction] = if wraps { base } else { self.at[direction] + 4 * N as u32 };
    }
}

fn error_bits(error: Option<RxError>) -> u32 {
    match error {
        None => 0,
        Some(RxError::Crc) => 1 << 18,
        Some(RxError::Overrun) => 1 << 17,
        Some(RxError::TooLong) => 1 << 21,
        Some(RxError::Other) => 1 << 20,
    }
}

impl<const N: usize> Hardware for Model<N> {
    fn read(&mut self, _: usize, offset: u16) -> u32 {
        match offset {
            0x004 => self.eir,
            0x010 => u32::from(self.active[0]) << 24,
            0x014 => u32::from(self.active[1]) << 24,
            0x2d8 => self.lost,
            0x404 => self.captured[1],
            _ => self.register(offset),
        }
    }

    fn write(&mut self, _: usize, offset: u16, value: u32) {
        match offset {
            0x004 => self.eir &= !value,
            0x010 => self.active[0] = self.enabled(),
            0x014 => self.active[1] = self.enabled() && !core::mem::take(&mut self.deaf),
            0x024 => self.control(value),
            0x040 => self.management(value),
            0x400 => self.control_clock(value),
            0x0c4 | 0x180 | 0x184 | 0x188 => {
                assert!(!self.enabled(), "register {offset:#x} is written while the MAC runs");
                self.registers.insert(offset, value);
            }
            _ => drop(self.registers.insert(offset, value)),
        }
    }

    fn receive(&mut self, bus: &mut Bus, packet: &Packet) -> Fate {
        if !self.enabled() {
            return Fate::Missed;
        }
        let size = (self.register(0x188) & 0x3ff0) as usize;
        let octets = [&packet.octets[..], &[0xfc; 4]].concat();
        let pieces: Vec<&[u8]> = octets.chunks(size).collect();
        // The FIFO takes no frame whose end would find no descriptor.
        let mut at = self.at[0];
        for _ in 0..pieces.len() {
            let word = bus.word(at).get();
            if word & OWN == 0 || !self.active[0] {
                self.active[0] = false;
                self.lost += 1;
                return Fate::Missed;
            }
            at = if word & WRAP != 0 { self.register(0x180) } else { at + 4 * N as u32 };
        }
        for (i, piece) in pieces.iter().enumerate() {
            let at = self.at[0];
            let wrap = bus.word(at).get() & WRAP;
            bus.write(bus.word(at + 4).get(), piece);
            let last = i + 1 == pieces.len();
            let status = if last { LAST | octets.len() as u32 | error_bits(packet.error) } else { size as u32 };
            if N == 8 {
                assert_eq!(bus.word(at + 8).get(), 1 << 23, "without INT there is no interrupt");
                self.stamp(bus, at);
            }
            bus.word(at).set(status | wrap);
            self.next(0, wrap != 0);
        }
        self.eir |= 1 << 25;
        if pieces.len() == 1 && packet.error.is_none() { Fate::Good } else { Fate::Bad }
    }

    fn transmit(&mut self, bus: &mut Bus, lost: bool) -> Option<Vec<u8>> {
        if !self.enabled() || !self.active[1] {
            return None;
        }
        let at = self.at[1];
        let word = bus.word(at).get();
        if word & OWN == 0 {
            self.active[1] = false;
            return None;
        }
        assert_eq!(word >> 26 & 3, 3, "a frame is whole, and its FCS is appended");
        let buffer = bus.word(at + 4).get();
        assert_eq!(buffer % 16, 0, "the frame lies askew");
        let octets = bus.read(buffer, (word & 0xffff) as usize);
        if N == 8 {
            let control = bus.word(at + 8).get();
            if control & 1 << 29 != 0 && !lost {
                self.stamp(bus, at);
            }
            bus.word(at + 8).set(control | if lost { 1 << 15 | 1 << 10 } else { 0 });
        }
        bus.word(at).set(word & !OWN);
        self.next(1, word & WRAP != 0);
        self.eir |= 1 << 27;
        Some(octets)
    }

    fn fault(&mut self) -> bool {
        // The MAC switches itself off.
        let control = self.register(0x24);
        self.registers.insert(0x24, control & !2);
        self.active = [false; 2];
        self.eir |= 1 << 22;
        true
    }

    fn set_time(&mut self, nanos: u64) {
        let second = |time: u64| (time - self.epoch) / 1_000_000_000;
        self.eir |= u32::from(second(self.time) != second(nanos)) << 15;
        self.time = nanos;
    }

    fn owned(&self, bus: &Bus) -> usize {
        let count = |offset| bus.count(self.register(offset), 4 * N as u32, 0, |w| w & OWN != 0);
        count(0x180) + count(0x184)
    }

    fn interrupt(&self) -> bool {
        self.eir & self.register(0x08) != 0
    }
}

//! The MAC's registers and its DMA, as RM0090 describes them.

extern crate std;
use crate::engine::tests::world::{Bus, Fate, Hardware, Packet};
use crate::ring::RxError;
use std::vec::Vec;

/// The two blocks of registers.
pub const MAC: usize = 0;
pub const DMA: usize = 1;

const OWN: u32 = 1 << 31;

#[derive(Default)]
pub struct Model<const N: usize> {
    mac: std::collections::HashMap<u16, u32>,
    bmr: u32,
    omr: u32,
    sr: u32,
    ier: u32,
    lists: [u32; 2],
    at: [u32; 2],
    missed: u32,
    /// Receive found no descriptor and waits for a poll demand.
    suspended: bool,
    /// Transmit waits for a poll demand.
    idle: bool,
    /// After an error on the bus nothing moves.
    dead: bool,
    /// Nanoseconds, and when the clock of time stamps was started.
    time: u64,
    epoch: u64,
    /// A reset does not end.
    pub stuck: bool,
    /// A management transfer does not end.
    pub busy: bool,
    phy: std::collections::HashMap<u32, u32>,
}

impl<const N: usize> Model<N> {
    fn reset(&mut self) {
        let Self { stuck, busy, time, .. } = *self;
        let phy = core::mem::take(&mut self.phy);
        *self = Self { stuck, busy, time, phy, idle: true, bmr: u32::from(stuck), ..Self::default() };
    }

    fn mac(&self, offset: u16) -> u32 {
        self.mac.get(&offset).copied().unwrap_or(0)
    }

    fn runs(&self, omr: u32, cr: u32) -> bool {
        let enhanced = self.bmr >> 7 & 1 == u32::from(N == 8);
        assert!(self.omr & omr == 0 || enhanced, "EDFE does not fit the descriptors");
        !self.dead && self.omr & omr != 0 && self.mac(0) & cr != 0
    }

    fn next(&mut self, direction: usize, wraps: bool) {
        self.at[direction] = if wraps { self.lists[direction] } else { self.at[direction] + 4 * N as u32 };
    }

    /// Seconds and nanoseconds of the clock, if it runs for all frames.
    fn clock(&self) -> Option<[u32; 2]> {
        let time = self.time - self.epoch;
        let on = self.mac(0x700) & 0x101 == 0x101 && self.mac(0x704) != 0;
        on.then_some([(time / 1_000_000_000) as u32, (time % 1_000_000_000) as u32])
    }

    fn stamp(&self, bus: &Bus, at: u32) {
        let [seconds, nanos] = self.clock().expect("a clock");
        bus.word(at + 24).set(nanos);
        bus.word(at + 28).set(seconds);
    }

    fn miss(&mut self) -> Fate {
        self.sr |= 1 << 7 | 1 << 15;
        self.missed += 1;
        self.suspended = true;
        Fate::Missed
    }

    /// How a frame is put into buffers: with its FCS, unless the MAC strips it.
    fn with_fcs(&self, octets: &[u8]) -> Vec<u8> {
        let strips = N == 8 && self.mac(0) & 1 << 25 != 0;
        let fcs: &[u8] = if strips { &[] } else { &[0xfc; 4] };
        [octets, fcs].concat()
    }
}

fn error_bits(error: Option<RxError>) -> u32 {
    match error {
        None => 0,
        Some(RxError::Crc) => 1 << 15 | 1 << 1,
        Some(RxError::Overrun) => 1 << 15 | 1 << 11 | 1 << 1,
        Some(RxError::TooLong) => 1 << 15 | 1 << 4,
        Some(RxError::Other) => 1 << 15 | 1 << 3,
    }
}

impl<const N: usize> Hardware for Model<N> {
    fn read(&mut self, block: usize, offset: u16) -> u32 {
        match (block, offset) {
            (MAC, 0x10) => u32::from(self.busy),
            (MAC, 0x700) => self.mac(0x700) & !(1 << 5),
            (MAC, 0x708) => self.clock().map_or(0, |[seconds, _]| seconds),
            (MAC, 0x70c) => self.clock().map_or(0, |[_, nanos]| nanos),
            (MAC, _) => self.mac(offset),
            (_, 0x00) => self.bmr,
            (_, 0x14) => {
                // States: stopped, or waiting for something.
                let process = |on: u32, shift| if self.omr & on != 0 && !self.dead { 3u32 << shift } else { 0 };
                self.sr | process(1 << 1, 17) | process(1 << 13, 20)
            }
            (_, 0x18) => self.omr & !(1 << 20),
            (_, 0x1c) => self.ier,
            (_, 0x20) => core::mem::take(&mut self.missed),
            _ => 0,
        }
    }

    fn write(&mut self, block: usize, offset: u16, value: u32) {
        match (block, offset) {
            (MAC, 0x10) if value & 1 != 0 => {
                let place = value >> 6;
                if value & 2 != 0 {
                    self.phy.insert(place, self.mac(0x14));
                }
                let answer = self.phy.get(&place).copied().unwrap_or(0xffff);
                self.mac.insert(0x14, answer);
            }
            (MAC, _) => {
                self.mac.insert(offset, value);
                if offset == 0x700 && value & 4 != 0 {
                    assert_eq!((self.mac(0x710), self.mac(0x714)), (0, 0), "the clock starts at zero");
                    self.epoch = self.time;
                }
            }
            (_, 0x00) if value & 1 != 0 => self.reset(),
            (_, 0x00) => self.bmr = value,
            (_, 0x04) => self.idle = false,
            (_, 0x08) => self.suspended = false,
            (_, 0x0c) => {
                assert_eq!(self.omr & 2, 0, "the list's address is written while receive runs");
                (self.lists[0], self.at[0]) = (value, value);
            }
            (_, 0x10) => {
                assert_eq!(self.omr & 1 << 13, 0, "the list's address is written while transmit runs");
                (self.lists[1], self.at[1]) = (value, value);
            }
            (_, 0x14) => self.sr &= !value,
            (_, 0x18) => self.omr = value,
            (_, 0x1c) => self.ier = value,
            _ => {}
        }
    }

    fn receive(&mut self, bus: &mut Bus, packet: &Packet) -> Fate {
        if !self.runs(1 << 1, 1 << 2) {
            return Fate::Missed;
        }
        let octets = self.with_fcs(&packet.octets);
        let mut rest = &octets[..];
        let mut first = true;
        if self.suspended || bus.word(self.at[0]).get() & OWN == 0 {
            return self.miss();
        }
        loop {
            let at = self.at[0];
            let control = bus.word(at + 4).get();
            let (piece, after) = rest.split_at(rest.len().min((control & 0x1fff) as usize));
            bus.write(bus.word(at + 8).get(), piece);
            self.next(0, control & 1 << 15 != 0);
            rest = after;
            let truncated = !rest.is_empty() && bus.word(self.at[0]).get() & OWN == 0;
            let last = rest.is_empty() || truncated;
            let errors = if truncated { 1 << 15 | 1 << 14 } else { error_bits(packet.error) };
            let length = if last { (octets.len() as u32) << 16 } else { 0 };
            let status = length | u32::from(last) << 8 | u32::from(first) << 9 | if last { errors } else { 0 };
            let good = first && last && errors == 0;
            let stamped = last && N == 8 && self.clock().is_some();
            if stamped {
                self.stamp(bus, at);
            }
            bus.word(at).set(status | u32::from(stamped) << 7);
            if last {
                self.sr |= 1 << 6 | 1 << 16;
                return if good { Fate::Good } else { Fate::Bad };
            }
            first = false;
        }
    }

    fn transmit(&mut self, bus: &mut Bus, lost: bool) -> Option<Vec<u8>> {
        if !self.runs(1 << 13, 1 << 3) || self.idle {
            return None;
        }
        let at = self.at[1];
        let control = bus.word(at).get();
        if control & OWN == 0 {
            self.idle = true;
            self.sr |= 1 << 2 | 1 << 16;
            return None;
        }
        assert_eq!(control >> 28 & 3, 3, "a frame is whole");
        let octets = bus.read(bus.word(at + 8).get(), (bus.word(at + 4).get() & 0x1fff) as usize);
        let asks = control & 1 << 25 != 0;
        assert!(!asks || N == 8, "a time stamp would go over the addresses");
        let stamped = asks && !lost && self.clock().is_some();
        if stamped {
            self.stamp(bus, at);
        }
        let status = u32::from(stamped) << 17 | if lost { 1 << 15 | 1 << 9 } else { 0 };
        bus.word(at).set(control & !OWN | status);
        self.next(1, control & 1 << 21 != 0);
        self.sr |= 1 | 1 << 16;
        Some(octets)
    }

    fn fault(&mut self) -> bool {
        self.dead = true;
        self.sr |= 1 << 13 | 1 << 15;
        true
    }

    fn set_time(&mut self, nanos: u64) {
        self.time = nanos;
    }

    fn owned(&self, bus: &Bus) -> usize {
        let step = 4 * N as u32;
        let count = |list: u32| if list == 0 { 0 } else { bus.count(list, step, 0, |w| w & OWN != 0) };
        self.lists.map(count).iter().sum()
    }

    fn interrupt(&self) -> bool {
        self.sr & self.ier & !(1 << 15 | 1 << 16) != 0 && self.ier & (1 << 15 | 1 << 16) != 0
    }
}

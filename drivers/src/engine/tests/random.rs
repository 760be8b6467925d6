//! Random operations: packets come out in order, unchanged, or are counted, with a data cache and without.

extern crate std;
use super::cases::{Card as _, HEADROOM, LONGEST, RX, SLOT, Subject, TX, world};
use super::world::{Hardware as _, Packet, Shared};
use crate::nic::Nic as _;
use crate::ring::RxError;
use ringtap::device::{Device as _, TxMeta};
use ringtap::frame::{BoxedPool, Frame, Pool};
use std::collections::VecDeque;
use std::vec::Vec;

const FRAMES: usize = RX + TX + 4;
/// Times around the receive ring at the end.
const WRAPS: u32 = if cfg!(miri) { 2 } else { 10 };

/// Octets that no other packet has: its number, then a pattern.
fn octets(number: u32, len: usize) -> Vec<u8> {
    let pattern = (0..len).map(|i| (i as u32).wrapping_mul(31).wrapping_add(number.wrapping_mul(7)) as u8);
    number.to_le_bytes().into_iter().chain(pattern).take(len).collect()
}

struct Bench<'p, S: Subject> {
    world: Shared<S::Hardware>,
    pool: Pool<'p>,
    nic: S::Card<'p>,
    held: VecDeque<(Frame<'p>, Vec<u8>)>,
    /// What `transmit` took and the wire has not shown yet.
    sent: VecDeque<Vec<u8>>,
    /// Good packets that were not handed out.
    skipped: u32,
    number: u32,
}

impl<S: Subject> Bench<'_, S> {
    fn below(&self, n: usize) -> usize {
        self.world.0.borrow_mut().below(n)
    }

    /// Something happens.
    fn turn(&mut self) {
        self.number += 1;
        match self.below(34) {
            0..9 => self.incoming(),
            9..12 => self.world.0.borrow_mut().step(),
            12..19 => self.receive(),
            19..25 => self.transmit(),
            25..28 => self.nic.flush(),
            28..33 => drop(self.held.pop_front()),
            _ => self.fault(),
        }
        self.check();
    }

    fn incoming(&mut self) {
        let capacity = SLOT - S::OVERHEAD;
        let (len, error) = match self.below(8) {
            0..5 => (14 + self.below(capacity - 13), None),
            5 => (capacity + 1 + self.below(3 * SLOT), None),
            kind => {
                let errors = [RxError::Crc, RxError::Overrun, RxError::TooLong, RxError::Other];
                let len = if kind == 6 { capacity } else { 2 * SLOT };
                (14 + self.below(len - 13), Some(errors[self.below(errors.len())]))
            }
        };
        let packet = Packet { octets: octets(self.number, len), error };
        self.world.0.borrow_mut().incoming.push_back(packet);
    }

    fn receive(&mut self) {
        let keep = self.below(2) == 0;
        while let Some((frame, _)) = self.nic.receive() {
            // What was dropped for want of a frame is missing here; `settle` compares the sums.
            loop {
                let good = self.world.0.borrow_mut().good.pop_front();
                let good = good.unwrap_or_else(|| panic!("stale or foreign octets: {:02x?}", &frame[..]));
                if good == frame[..] {
                    break;
                }
                self.skipped += 1;
            }
            if keep {
                let octets = frame.to_vec();
                self.held.push_back((frame, octets));
            }
        }
    }

    fn transmit(&mut self) {
        let Some(mut frame) = self.pool.take(HEADROOM) else { return };
        let octets = octets(self.number, 14 + self.below(LONGEST - 13));
        frame.extend(&octets).expect("room");
        match self.nic.transmit(frame, TxMeta { timestamp: self.below(2) == 0, ..TxMeta::default() }) {
            Err(back) => assert_eq!(&back[..], &octets[..], "a refused frame comes back as it was"),
            Ok(()) => self.sent.push_back(octets),
        }
    }

    fn fault(&mut self) {
        if self.below(4) > 0 || !self.world.0.borrow_mut().hardware.fault() {
            return;
        }
        let before = self.nic.faults();
        while self.nic.faults() == before {
            self.receive();
        }
        self.receive();
        self.match_wire();
        self.sent.clear();
    }

    fn match_wire(&mut self) {
        for octets in self.world.0.borrow_mut().wire.drain(..) {
            assert_eq!(self.sent.pop_front(), Some(octets), "what goes out is what was given, in order");
        }
    }

    fn check(&mut self) {
        self.match_wire();
        for (frame, octets) in &self.held {
            assert_eq!(&frame[..], &octets[..], "a frame that was handed out changed");
        }
        let [rx, tx] = self.nic.lent();
        assert_eq!(self.pool.free() + rx + tx + self.held.len(), FRAMES, "a frame was lost or doubled");
        assert_eq!(rx, RX, "the receive ring starves");
    }

    /// After everything: what came was handed out or counted, and packets pass again.
    fn settle(&mut self) {
        self.held.clear();
        while !self.world.0.borrow().incoming.is_empty() || self.nic.has_work() {
            self.world.0.borrow_mut().step();
            self.receive();
            self.held.clear();
        }
        let counters = self.nic.counters();
        let left = self.world.0.borrow().good.len() as u32;
        assert_eq!(counters.rx_no_frame, left + self.skipped, "each good packet that is missing was counted");
        assert_eq!(counters.rx_errors, self.world.0.borrow().bad, "each bad one once");
        self.world.0.borrow_mut().good.clear();
        for round in 0..WRAPS * RX as u32 {
            let last = octets(self.number + 1 + round, 60);
            self.world.0.borrow_mut().incoming.push_back(Packet { octets: last.clone(), error: None });
            self.world.0.borrow_mut().receive_one();
            assert_eq!(self.nic.receive().map(|(frame, _)| frame.to_vec()), Some(last), "the ring stalled");
            assert!(self.nic.receive().is_none());
        }
        self.nic.flush();
        while self.nic.lent()[1] > 0 {
            self.world.0.borrow_mut().step();
            assert!(self.nic.receive().is_none());
        }
        self.check();
        assert!(self.sent.is_empty());
    }
}

/// Many turns from many seeds.
pub fn run<S: Subject>() {
    // Miri is slow: it looks at what touches memory, for which a few turns do; the cases run without a cache there.
    let (seeds, turns, caches) = if cfg!(miri) { (1, 40, &[true][..]) } else { (60, 1000, &[false, true][..]) };
    for seed in 1..=seeds {
        for &cached in caches {
            let memory = BoxedPool::new(SLOT, FRAMES);
            let pool = memory.pool();
            let (world, nic) = world::<S>(pool, cached, seed);
            world.0.borrow_mut().moves = true;
            let (held, sent) = (VecDeque::new(), VecDeque::new());
            let mut bench = Bench::<S> { world, pool, nic, held, sent, skipped: 0, number: 0 };
            for _ in 0..turns {
                bench.turn();
            }
            bench.settle();
            assert!(bench.nic.counters().rx_packets > WRAPS * RX as u32, "the ring wrapped many times");
            bench.held.clear();
            bench.nic.stop();
            assert_eq!(pool.free(), FRAMES);
        }
    }
}

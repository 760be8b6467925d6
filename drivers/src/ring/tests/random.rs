//! Random operations against the obvious model: packets come out in order, unchanged, or are counted.

extern crate std;
use super::model::{CAPACITY, Cached, Engine, Packet, Rx, Shared, Tx};
use crate::coherency::{Coherency, Coherent};
use crate::ring::{RxError, RxRing, TxRing};
use proptest::prelude::*;
use ringtap::device::TxMeta;
use ringtap::frame::{BoxedPool, Frame, Pool};
use std::collections::VecDeque;
use std::format;
use std::vec::Vec;

const SLOT: usize = 128;
const HEADROOM: usize = 16;
const RX: usize = 4;
const TX: usize = 3;
const FRAMES: usize = RX + TX + 4;

#[derive(Clone, Debug)]
enum Op {
    /// A packet comes on the wire.
    Incoming {
        len: usize,
        error: Option<RxError>,
        lie: Option<usize>,
        cut: bool,
    },
    /// The engine moves by itself.
    Engine,
    /// The driver takes what there is; `keep` holds the frames back, so that the pool runs dry.
    Receive {
        keep: bool,
    },
    /// The driver sends a frame of so many octets.
    Transmit {
        len: usize,
    },
    Reclaim,
    /// The user drops the oldest frame that was held back.
    Release,
    /// A fault: both rings start again.
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let error = prop_oneof![Just(RxError::Crc), Just(RxError::Overrun), Just(RxError::TooLong), Just(RxError::Other)];
    prop_oneof![
        6 => (1..=CAPACITY).prop_map(|len| Op::Incoming { len, error: None, lie: None, cut: false }),
        1 => (1..=CAPACITY, error).prop_map(|(len, e)| Op::Incoming { len, error: Some(e), lie: None, cut: false }),
        1 => (CAPACITY + 1..4 * CAPACITY, any::<bool>())
            .prop_map(|(len, cut)| Op::Incoming { len, error: None, lie: None, cut }),
        1 => prop_oneof![Just(0), Just(CAPACITY + 1), Just(usize::MAX)]
            .prop_map(|lie| Op::Incoming { len: 20, error: None, lie: Some(lie), cut: false }),
        4 => Just(Op::Engine),
        6 => any::<bool>().prop_map(|keep| Op::Receive { keep }),
        6 => (0..130usize).prop_map(|len| Op::Transmit { len }),
        2 => Just(Op::Reclaim),
        4 => Just(Op::Release),
        1 => prop::bool::weighted(0.2).prop_map(|yes| if yes { Op::Restart } else { Op::Engine }),
    ]
}

/// Octets that no other packet has: its number, then a pattern.
fn octets(number: u32, len: usize) -> Vec<u8> {
    let pattern = (0..len).map(|i| (i as u32).wrapping_mul(31).wrapping_add(number.wrapping_mul(7)) as u8);
    number.to_le_bytes().into_iter().chain(pattern).take(len).collect()
}

struct Bench<'d, 'p, C> {
    engine: Shared,
    pool: Pool<'p>,
    rx: RxRing<'d, 'p, Rx, C, RX>,
    tx: TxRing<'d, 'p, Tx, C, TX>,
    held: VecDeque<(Frame<'p>, Vec<u8>)>,
    /// What `transmit` took and the wire has not shown yet.
    sent: VecDeque<Vec<u8>>,
    unsendable: u32,
    /// Good packets that were not handed out.
    skipped: u32,
    number: u32,
}

impl<C: Coherency> Bench<'_, '_, C> {
    fn run(&mut self, op: Op) -> Result<(), TestCaseError> {
        self.number += 1;
        match op {
            Op::Incoming { len, error, lie, cut } => {
                let octets = octets(self.number, len);
                self.engine.borrow_mut().incoming.push_back(Packet { octets, error, lie, cut });
            }
            Op::Engine => self.engine.borrow_mut().step(),
            Op::Receive { keep } => self.receive(keep)?,
            Op::Transmit { len } => self.transmit(len)?,
            Op::Reclaim => drop(self.tx.reclaim()),
            Op::Release => drop(self.held.pop_front()),
            Op::Restart => self.restart()?,
        }
        self.check()
    }

    fn receive(&mut self, keep: bool) -> Result<(), TestCaseError> {
        while let Some((frame, _)) = self.rx.receive() {
            // What was counted as dropped for want of a frame is missing here; `check` compares the sums.
            loop {
                let good = self.engine.borrow_mut().good.pop_front();
                let Some(good) = good else {
                    return Err(TestCaseError::fail(format!("stale or foreign octets: {:02x?}", &frame[..])));
                };
                if good == frame[..] {
                    break;
                }
                self.skipped += 1;
            }
            prop_assert_eq!(frame.headroom(), HEADROOM);
            if keep {
                let octets = frame.to_vec();
                self.held.push_back((frame, octets));
            }
        }
        Ok(())
    }

    fn transmit(&mut self, len: usize) -> Result<(), TestCaseError> {
        let Some(mut frame) = self.pool.take(if len > SLOT { 0 } else { SLOT.saturating_sub(len).min(8) }) else {
            return Ok(());
        };
        let mut octets = octets(self.number, len.min(SLOT));
        frame.extend(&octets).expect("room");
        let room = frame.tailroom();
        let full = self.tx.ring().is_full();
        match self.tx.transmit(frame, &TxMeta::default()) {
            Err(back) => {
                prop_assert!(full);
                prop_assert_eq!(&back[..], &octets[..], "a refused frame comes back as it was");
            }
            Ok(()) if octets.is_empty() || octets.len() > 120 || 60usize.saturating_sub(octets.len()) > room => {
                self.unsendable += 1;
            }
            Ok(()) => {
                octets.resize(octets.len().max(60), 0);
                self.sent.push_back(octets);
            }
        }
        Ok(())
    }

    fn restart(&mut self) -> Result<(), TestCaseError> {
        self.engine.borrow_mut().stop();
        while self.rx.has_work() {
            self.receive(false)?;
        }
        // SAFETY: the engine stands still.
        unsafe {
            self.rx.restart();
            self.tx.restart();
        }
        self.match_wire()?;
        self.sent.clear();
        self.engine.borrow_mut().running = true;
        Ok(())
    }

    fn match_wire(&mut self) -> Result<(), TestCaseError> {
        for octets in self.engine.borrow_mut().wire.drain(..) {
            prop_assert_eq!(self.sent.pop_front(), Some(octets), "what goes out is what was given, in order");
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), TestCaseError> {
        self.match_wire()?;
        for (frame, octets) in &self.held {
            prop_assert_eq!(&frame[..], &octets[..], "a frame that was handed out changed");
        }
        let owned = self.rx.ring().used() + self.tx.ring().used() + self.held.len();
        prop_assert_eq!(self.pool.free() + owned, FRAMES, "a frame was lost or doubled");
        prop_assert_eq!(self.rx.ring().used(), RX, "the receive ring starves");
        prop_assert_eq!(self.tx.counters().unsendable, self.unsendable);
        Ok(())
    }

    /// After everything: what came is handed out or counted, and packets pass again.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        self.held.clear();
        while !self.engine.borrow().incoming.is_empty() || self.rx.has_work() {
            self.engine.borrow_mut().step();
            self.receive(false)?;
        }
        let left = self.engine.borrow().good.len() as u32;
        let counters = *self.rx.counters();
        prop_assert_eq!(counters.no_frame, left + self.skipped, "each good packet that is missing was counted");
        prop_assert_eq!(counters.dropped() - counters.no_frame, self.engine.borrow().bad, "each bad one once");
        self.engine.borrow_mut().good.clear();
        let last = octets(self.number + 1, 50);
        let packet = Packet { octets: last.clone(), error: None, lie: None, cut: false };
        self.engine.borrow_mut().incoming.push_back(packet);
        self.engine.borrow_mut().receive_one();
        prop_assert_eq!(self.rx.receive().map(|(frame, _)| frame.to_vec()), Some(last), "the ring stalled");
        while self.tx.ring().used() > 0 {
            self.engine.borrow_mut().step();
            self.tx.reclaim();
        }
        self.check()?;
        prop_assert!(self.sent.is_empty());
        prop_assert_eq!(self.tx.counters().errors, self.engine.borrow().lost);
        Ok(())
    }
}

/// Runs the operations on a fresh pair of rings.
fn drive<C: Coherency>(
    ops: Vec<Op>,
    seed: u64,
    cached: bool,
    coherency: impl Fn(&Shared) -> C,
) -> Result<(), TestCaseError> {
    let memory = BoxedPool::new(SLOT, FRAMES);
    let pool = memory.pool();
    let engine = Engine::new(pool, RX, TX, cached, seed);
    let mut rx_words: [Rx; RX] = core::array::from_fn(|i| Rx(engine.clone(), i));
    let mut tx_words: [Tx; TX] = core::array::from_fn(|i| Tx(engine.clone(), i));
    let rx = RxRing::new(&mut rx_words, coherency(&engine), pool, HEADROOM).expect("a ring");
    let tx = TxRing::new(&mut tx_words, coherency(&engine)).expect("a ring");
    let sent = VecDeque::new();
    let mut bench = Bench { engine, pool, rx, tx, held: VecDeque::new(), sent, unsendable: 0, skipped: 0, number: 0 };
    for op in ops {
        bench.run(op)?;
    }
    bench.settle()?;
    bench.engine.borrow_mut().stop();
    let Bench { rx, tx, .. } = bench;
    // SAFETY: the engine stands still.
    unsafe {
        rx.release();
        tx.release();
    }
    prop_assert_eq!(pool.free(), FRAMES);
    Ok(())
}

/// As [`op`], from numbers below a bound; Miri takes a hundred times as long for proptest's strategies as for the rings.
fn plain_op(below: &mut impl FnMut(usize) -> usize) -> Op {
    let good = |len| Op::Incoming { len, error: None, lie: None, cut: false };
    match below(32) {
        0..6 => good(1 + below(CAPACITY)),
        6 => Op::Incoming { len: 20, error: Some(RxError::Crc), lie: None, cut: false },
        7 => Op::Incoming { len: CAPACITY + 1 + below(3 * CAPACITY), error: None, lie: None, cut: below(2) == 0 },
        8 => Op::Incoming { len: 20, error: None, lie: Some(usize::MAX), cut: false },
        9..13 => Op::Engine,
        13..19 => Op::Receive { keep: below(2) == 0 },
        19..25 => Op::Transmit { len: below(130) },
        25..27 => Op::Reclaim,
        27..31 => Op::Release,
        _ => Op::Restart,
    }
}

#[test]
fn from_fixed_seeds_packets_pass_or_are_counted_with_and_without_a_cache() {
    let (seeds, count) = if cfg!(miri) { (2, 200) } else { (100, 1000) };
    for seed in 1..=seeds {
        let mut random = seed;
        let mut below = |n: usize| {
            // An LCG with Knuth's multiplier for MMIX.
            random = u64::wrapping_mul(random, 6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) as usize % n
        };
        let ops: Vec<Op> = (0..count).map(|_| plain_op(&mut below)).collect();
        drive(ops.clone(), seed, false, |_| Coherent).expect("coherent");
        drive(ops, seed, true, |engine| Cached(engine.clone())).expect("cached");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    #[cfg_attr(miri, ignore = "the run from fixed seeds does the same")]
    fn packets_pass_in_order_and_unchanged_or_are_counted(ops in prop::collection::vec(op(), 0..600), seed: u64) {
        drive(ops, seed, false, |_| Coherent)?;
    }

    #[test]
    #[cfg_attr(miri, ignore = "the run from fixed seeds does the same")]
    fn a_cache_that_evicts_and_fetches_at_any_time_shows_no_stale_octet(
        ops in prop::collection::vec(op(), 0..600),
        seed: u64,
    ) {
        drive(ops, seed, true, |engine| Cached(engine.clone()))?;
    }
}

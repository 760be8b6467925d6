//! What the tests of all drivers have in common: a super-loop over a card in software that moves at awkward times.

extern crate std;
use crate::interrupt::Attention;
use crate::nic::Nic;
use core::cell::Cell;
use ringtap::device::TxMeta;
use ringtap::frame::{Frame, Pool};
use ringtap::time::Instant;
use std::collections::VecDeque;
use std::vec::Vec;

/// The other end of the cable of a card in software.
pub trait Wire {
    /// A packet sets out for the card.
    fn send(&self, packet: Vec<u8>);

    /// Time passes.
    fn step(&self);

    /// Whether nothing is on its way, in either direction.
    fn is_quiet(&self) -> bool;

    /// Whole packets that the card itself has lost: no room, or a reset.
    fn lost(&self) -> usize;

    /// What the card has sent.
    fn sent(&self) -> Vec<Vec<u8>>;

    /// While `held`, the card sends nothing.
    fn hold(&self, held: bool);
}

/// xorshift: numbers for models.
pub struct Random(Cell<u64>);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(Cell::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1))
    }

    /// Any number below `n`.
    pub fn below(&self, n: usize) -> usize {
        let mut x = self.0.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.0.set(x);
        (x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }
}

/// A packet of `len` octets (60 at least) that tells its number.
pub fn packet(number: usize, len: usize) -> Vec<u8> {
    let mut octets: Vec<u8> = (0..len.max(60)).map(|i| (i * 7 + number * 13) as u8).collect();
    octets[14..18].copy_from_slice(&(number as u32).to_be_bytes());
    octets
}

/// The longest frame without its check sequence.
pub const LONGEST: usize = 1514;

struct Loop<'p, N> {
    nic: N,
    attention: &'p Attention,
    random: Random,
    received: Vec<Vec<u8>>,
    /// Frames that a user keeps, so that the pool runs empty at times.
    kept: Vec<Frame<'p>>,
    to_send: VecDeque<Vec<u8>>,
    refused: Option<Frame<'p>>,
    refusals: usize,
}

impl<'p, N: Nic<'p>> Loop<'p, N> {
    /// One poll with a budget.
    fn poll(&mut self) {
        for _ in 0..1 + self.random.below(6) {
            let Some((frame, _)) = self.nic.receive() else { break };
            self.received.push(frame.to_vec());
            if self.random.below(3) == 0 {
                self.kept.push(frame);
            }
        }
        for _ in 0..4 {
            let Some(frame) = self.refused.take().or_else(|| self.next_frame()) else { break };
            if let Err(frame) = self.nic.transmit(frame, TxMeta::default()) {
                self.refused = Some(frame);
                self.refusals += 1;
                break;
            }
        }
        self.nic.flush();
    }

    fn next_frame(&mut self) -> Option<Frame<'p>> {
        let octets = self.to_send.front()?;
        let mut frame = self.nic.pool().take(0)?;
        frame.extend(octets).expect("room");
        self.to_send.pop_front();
        Some(frame)
    }

    /// Polls while that is owed, and only then, until nothing moves any more.
    fn settle(&mut self, wire: &impl Wire) {
        for _ in 0..200_000 {
            wire.step();
            let wants_to_send = self.refused.is_none() && !self.to_send.is_empty();
            if self.attention.is_raised() || wants_to_send {
                self.poll();
                self.kept.clear();
            } else if wire.is_quiet() && self.refused.is_none() {
                return;
            }
        }
        panic!("no end: raised {}, quiet {}", self.attention.is_raised(), wire.is_quiet());
    }
}

/// Random packets both ways, polled only when the interrupt asks for it: each is handed out, sent, or counted, in order
/// and unchanged, and every frame is back at the end.
pub fn soak<'p, N: Nic<'p>>(nic: N, attention: &'p Attention, wire: &impl Wire, seed: u64, rounds: usize) {
    let pool: Pool<'p> = nic.pool();
    let random = Random::new(seed);
    let (received, kept, to_send) = (Vec::new(), Vec::new(), VecDeque::new());
    let mut user =
        Loop { nic, attention, random: Random::new(seed + 1), received, kept, to_send, refused: None, refusals: 0 };
    let (mut incoming, mut outgoing) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let len = if random.below(4) == 0 { LONGEST } else { 60 + random.below(400) };
        match random.below(6) {
            0 | 1 => {
                let octets = packet(incoming.len(), len);
                incoming.push(octets.clone());
                wire.send(octets);
            }
            2 => {
                let octets = packet(outgoing.len(), len);
                outgoing.push(octets.clone());
                user.to_send.push_back(octets);
            }
            3 if random.below(3) == 0 => user.kept.clear(),
            _ if attention.is_raised() || !user.to_send.is_empty() => user.poll(),
            _ => wire.step(),
        }
    }
    user.settle(wire);
    user.nic.tend(Instant::ZERO);
    let counters = user.nic.counters();
    assert_eq!(wire.sent(), outgoing, "seed {seed}: what was sent");
    assert_eq!(counters.tx_packets as usize, outgoing.len());
    let mut sent = incoming.iter();
    for got in &user.received {
        assert!(sent.any(|octets| octets == got), "seed {seed}: changed, doubled, or out of order");
    }
    let accounted = user.received.len() + counters.rx_no_frame as usize + wire.lost();
    assert_eq!(accounted, incoming.len(), "seed {seed}: {counters:?}, lost {}", wire.lost());
    assert_eq!(counters.rx_packets as usize, user.received.len());
    drop((user.kept, user.refused));
    user.nic.stop();
    assert_eq!(pool.free(), pool.count(), "seed {seed}: frames are missing");
}

/// With a transmitter that stands still and takes nothing more, packets come in as ever; once it moves again, what was
/// refused is sent, woken by the interrupt.
pub fn receive_goes_on_while_transmit_is_full<'p, N: Nic<'p>>(nic: N, attention: &'p Attention, wire: &impl Wire) {
    wire.hold(true);
    let (received, kept) = (Vec::new(), Vec::new());
    let to_send: VecDeque<Vec<u8>> = (0..40).map(|i| packet(i, 600)).collect();
    let mut user = Loop { nic, attention, random: Random::new(1), received, kept, to_send, refused: None, refusals: 0 };
    for _ in 0..100 {
        user.poll();
        user.kept.clear();
    }
    assert!(user.refused.is_some(), "more fits in than there is");
    for number in 0..30 {
        wire.send(packet(number, 200));
        for _ in 0..200 {
            wire.step();
            user.poll();
            user.kept.clear();
        }
    }
    assert_eq!(user.received, (0..30).map(|i| packet(i, 200)).collect::<Vec<_>>());
    assert!(user.refusals > 10);
    wire.hold(false);
    user.settle(wire);
    assert_eq!(wire.sent(), (0..40).map(|i| packet(i, 600)).collect::<Vec<_>>());
    user.nic.stop();
}

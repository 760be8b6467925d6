//! What a fuzzer does with octets: each function takes any, and panics where the stack does what it must not.
//!
//! `tests/fuzz` has a target for each; ordinary tests replay its corpora, and octets by chance. Nothing is kept from one call
//! to the next but pools, which every call finds and leaves whole: a frame that is lost shows.

mod calls;
mod fragments;
mod frames;
mod messages;
mod wire;

pub use calls::calls;
pub use fragments::fragments;
pub use frames::frames;
pub use messages::messages;
pub use wire::wire;

use crate::nic::Nic;
use crate::{packet, six};
use ringtap::config::Config;
use ringtap::device::{Capabilities, Mac, Medium};
use ringtap::frame::{BoxedPool, Pool};
use ringtap::rng::Secret;
use ringtap::stack::{IfaceId, Limits, Stack, Storage};
use ringtap::time::{Duration, Instant};
use std::cell::RefCell;

/// A target, by its name.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 5] =
    [("frames", frames), ("calls", calls), ("wire", wire), ("fragments", fragments), ("messages", messages)];

/// Octets that decide what happens; past their end there are zeros.
struct Bytes<'d>(&'d [u8]);

impl<'d> Bytes<'d> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self, len: usize) -> &'d [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// Less than `n`.
    fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n
    }
}

/// A pool of this thread's; the same number is the same pool.
fn pool(number: usize, slot: usize, count: usize) -> Pool<'static> {
    thread_local!(static POOLS: RefCell<Vec<(usize, &'static BoxedPool)>> = const { RefCell::new(Vec::new()) });
    POOLS.with_borrow_mut(|pools| {
        if let Some((_, pool)) = pools.iter().find(|(n, _)| *n == number) {
            return pool.pool();
        }
        let made: &'static BoxedPool = Box::leak(Box::new(BoxedPool::new(slot, count)));
        pools.push((number, made));
        made.pool()
    })
}

/// A stack with its cards, alone.
struct World {
    stack: Stack<'static>,
    cards: Vec<(IfaceId, Nic)>,
    medium: Medium,
    now: Instant,
    pools: [Pool<'static>; 2],
    /// Frames that have left.
    left: usize,
}

impl World {
    /// The `n`th stack of a call, with this many cards; its MAC addresses are 02:00:00:00:CARD:N.
    fn new(n: u8, medium: Medium, cards: u8) -> Self {
        let frames = pool(usize::from(n) * 2, 1664, 96);
        let large = pool(usize::from(n) * 2 + 1, 66_000, 12);
        let mut config = Config::new(Secret::new([n; 16]));
        config.large_pool = Some(large);
        config.dad_transmits = 0;
        let limits = Limits {
            tcp: 12,
            listeners: 4,
            time_wait: 8,
            udp: 8,
            raw: 4,
            echo: 4,
            neighbors: 8,
            routes: 16,
            reassembly: 4,
        };
        let mut stack = Stack::new(config, Storage::growing(limits));
        let add = |card: u8| {
            let nic = Nic::with(frames, Capabilities::plain(medium, 1500));
            (stack.add_interface(&nic, Mac([2, 0, 0, 0, card, n])).expect("room"), nic)
        };
        let cards = (0..cards).map(add).collect();
        let world = Self { stack, cards, medium, now: Instant::from_secs(1_000), pools: [frames, large], left: 0 };
        world.has_all_frames();
        world
    }

    fn address(&mut self, card: usize, text: &str) {
        let _ = self.stack.add_address(self.cards[card].0, text.parse().expect("valid text"));
    }

    fn has_all_frames(&self) {
        for pool in self.pools {
            assert_eq!(pool.free(), pool.count(), "frames are lost");
        }
    }

    /// Polls until nothing is left to do now; the frames that leave by the first card. What leaves is what a stack may send.
    fn settle(&mut self) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        for _ in 0..2_000 {
            let mut busy = false;
            for (n, (iface, nic)) in self.cards.iter_mut().enumerate() {
                busy |= self.stack.poll(self.now, *iface, nic, 32).more | !nic.tx.is_empty() | !nic.rx.is_empty();
                for frame in nic.tx.drain(..) {
                    self.left += 1;
                    if self.medium == Medium::Ethernet {
                        packet::read(&frame);
                        six::read(&frame);
                    }
                    if n == 0 {
                        sent.push(frame);
                    }
                }
            }
            while self.stack.next_event().is_some() {}
            if !busy && self.stack.next_deadline().is_none_or(|at| at > self.now) {
                return sent;
            }
        }
        panic!("it spins");
    }

    /// Time passes; what leaves.
    fn pass(&mut self, time: Duration) -> Vec<Vec<u8>> {
        let (end, mut sent) = (self.now + time, Vec::new());
        for _ in 0..100_000 {
            sent.extend(self.settle());
            match self.stack.next_deadline() {
                Some(at) if at <= end => self.now = self.now.max(at),
                _ => {
                    self.now = end;
                    return sent;
                }
            }
        }
        panic!("deadlines without end");
    }

    /// A frame comes by a card; what leaves by the first.
    fn give(&mut self, card: usize, frame: Vec<u8>) -> Vec<Vec<u8>> {
        let card = card % self.cards.len();
        self.cards[card].1.rx.push_back(frame);
        self.settle()
    }

    /// The stack goes, and all frames are back.
    fn end(self) {
        let Self { stack, cards, pools, .. } = self;
        drop((stack, cards));
        for pool in pools {
            assert_eq!(pool.free(), pool.count(), "frames are lost with the stack");
        }
    }
}

/// Writes right checksums and lengths into an IP packet where it is whole enough, so that what is behind them is reached.
fn repair(packet: &mut [u8]) {
    match packet.first().map(|first| first >> 4) {
        Some(4) => repair_v4(packet),
        Some(6) => repair_v6(packet),
        _ => {}
    }
}

fn repair_v4(packet: &mut [u8]) {
    let header = usize::from(packet[0] & 15) * 4;
    if header < 20 || packet.len() < header {
        return;
    }
    let [hi, lo] = (packet.len() as u16).to_be_bytes();
    (packet[2], packet[3]) = (hi, lo);
    packet[10..12].fill(0);
    let sum = packet::checksum(&packet[..header]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut pseudo = packet[12..20].to_vec();
    let protocol = packet[9];
    pseudo.extend([0, protocol]);
    pseudo.extend(((packet.len() - header) as u16).to_be_bytes());
    let pseudo = if matches!(protocol, 1 | 2) { Vec::new() } else { pseudo };
    repair_upper(protocol, &pseudo, &mut packet[header..]);
}

fn repair_v6(packet: &mut [u8]) {
    if packet.len() < 40 {
        return;
    }
    let [hi, lo] = ((packet.len() - 40) as u16).to_be_bytes();
    (packet[4], packet[5]) = (hi, lo);
    let (mut next, mut at) = (packet[6], 40);
    while matches!(next, 0 | 43 | 60) && packet.len() >= at + 8 {
        (next, at) = (packet[at], at + 8 + usize::from(packet[at + 1]) * 8);
    }
    if at > packet.len() {
        return;
    }
    let mut pseudo = packet[8..40].to_vec();
    pseudo.extend(((packet.len() - at) as u32).to_be_bytes());
    pseudo.extend([0, 0, 0, next]);
    repair_upper(next, &pseudo, &mut packet[at..]);
}

fn repair_upper(protocol: u8, pseudo: &[u8], payload: &mut [u8]) {
    let at = match protocol {
        1 | 2 | 58 => 2,
        6 => 16,
        17 => 6,
        _ => return,
    };
    if payload.len() < at + 2 {
        return;
    }
    if protocol == 17 {
        let [hi, lo] = (payload.len() as u16).to_be_bytes();
        (payload[4], payload[5]) = (hi, lo);
    }
    payload[at..at + 2].fill(0);
    let sum = packet::checksum(&[pseudo, payload].concat());
    payload[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

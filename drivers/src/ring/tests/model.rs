//! A software DMA engine. It takes a step whenever the driver touches a descriptor or the cache, so that it moves at the
//! most awkward times, and it checks that the driver keeps to the rules.

extern crate std;
use super::memory::{LINE, Memory};
use crate::coherency::Coherency;
use crate::ring::{Descriptor, Received, RxDescriptor, RxError, TxDescriptor, TxError};
use core::cell::RefCell;
use ringtap::device::{RxMeta, TxMeta};
use ringtap::frame::Pool;
use std::collections::VecDeque;
use std::rc::Rc;
use std::vec::Vec;

/// Octets of a receive buffer in these tests; longer packets take several descriptors.
pub const CAPACITY: usize = 96;

/// What is on its way to the engine.
#[derive(Clone, Debug)]
pub struct Packet {
    pub octets: Vec<u8>,
    pub error: Option<RxError>,
    /// A length that the descriptor claims in place of the true one.
    pub lie: Option<usize>,
    /// The FIFO overran in the middle: the last descriptor is never written.
    pub cut: bool,
}

/// A descriptor's words as hardware and driver see them.
#[derive(Clone)]
struct Words {
    hardware: bool,
    buffer: *mut u8,
    len: usize,
    wraps: bool,
    /// Written since the hardware gave it back.
    loaded: bool,
    received: Received,
    sent: Result<(), TxError>,
}

const NOTHING: Received = Received {
    len: 0,
    first: false,
    last: false,
    error: None,
    context_follows: false,
    meta: RxMeta { checksum: NONE, gso: None, timestamp: None },
};
const NONE: ringtap::device::RxChecksum = ringtap::device::RxChecksum::None;
const IDLE: Words = Words {
    hardware: false,
    buffer: core::ptr::null_mut(),
    len: 0,
    wraps: false,
    loaded: false,
    received: NOTHING,
    sent: Ok(()),
};

/// The engine.
pub struct Engine {
    random: u64,
    pub memory: Memory,
    rx: Vec<Words>,
    tx: Vec<Words>,
    rx_at: usize,
    tx_at: usize,
    /// Waiting on the wire to be received.
    pub incoming: VecDeque<Packet>,
    /// Packets that lie in the ring whole and without error: the driver hands them out or counts them.
    pub good: VecDeque<Vec<u8>>,
    /// Packets that the ring must count as dropped.
    pub bad: u32,
    /// Packets that found no descriptor: the hardware's loss.
    pub missed: u32,
    /// Frames on the wire.
    pub wire: Vec<Vec<u8>>,
    /// Frames that the medium lost.
    pub lost: u32,
    /// The engine moves at all.
    pub running: bool,
}

/// A handle that descriptors, cache and test share.
pub type Shared = Rc<RefCell<Engine>>;

impl Engine {
    pub fn new(pool: Pool<'_>, rx: usize, tx: usize, cached: bool, seed: u64) -> Shared {
        Rc::new(RefCell::new(Self {
            random: seed | 1,
            memory: Memory::new(pool, cached),
            rx: (0..rx).map(|_| IDLE).collect(),
            tx: (0..tx).map(|_| IDLE).collect(),
            rx_at: 0,
            tx_at: 0,
            incoming: VecDeque::new(),
            good: VecDeque::new(),
            bad: 0,
            missed: 0,
            wire: Vec::new(),
            lost: 0,
            running: true,
        }))
    }

    /// xorshift64*: any number below `n`.
    fn below(&mut self, n: usize) -> usize {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }

    /// Something happens, or nothing.
    pub fn step(&mut self) {
        if !self.running {
            return;
        }
        for _ in 0..self.below(3) {
            match self.below(4) {
                0 => self.receive_one(),
                1 => self.transmit_one(),
                _ if self.memory.line_count() > 0 => {
                    let line = self.below(self.memory.line_count());
                    if self.below(2) == 0 { self.memory.evict(line) } else { self.memory.fetch(line) }
                }
                _ => {}
            }
        }
    }

    /// One packet from the wire goes into as many descriptors as it needs.
    pub fn receive_one(&mut self) {
        let Some(packet) = self.incoming.pop_front() else { return };
        let pieces: Vec<&[u8]> = packet.octets.chunks(CAPACITY).collect();
        let count = pieces.len();
        if !self.rx[self.rx_at].hardware {
            self.missed += 1;
            return;
        }
        for (i, piece) in pieces.into_iter().enumerate() {
            let whole_ring = self.rx.len();
            let words = &mut self.rx[self.rx_at];
            if !words.hardware {
                // The ring is full in the middle of a packet: its end never comes.
                break;
            }
            if packet.cut && i + 1 == count && count > 1 {
                break;
            }
            assert!(piece.len() <= words.len, "the driver lent a smaller buffer");
            let last = i + 1 == count;
            let error = packet.error.filter(|_| last);
            let len = packet.lie.unwrap_or(if last { piece.len() } else { 0 });
            words.received =
                Received { len, first: i == 0, last, error, context_follows: false, meta: RxMeta::default() };
            words.loaded = false;
            words.hardware = false;
            let (buffer, wraps) = (words.buffer, words.wraps);
            assert_eq!(wraps, self.rx_at + 1 == whole_ring, "the wrap flag is on the last descriptor only");
            self.memory.dma_write(buffer, piece);
            self.rx_at = if wraps { 0 } else { self.rx_at + 1 };
        }
        if count == 1 && packet.error.is_none() && packet.lie.is_none() {
            self.good.push_back(packet.octets);
        } else {
            self.bad += 1;
        }
    }

    /// The oldest frame of the transmit ring goes onto the wire.
    pub fn transmit_one(&mut self) {
        if !self.tx[self.tx_at].hardware {
            return;
        }
        let failed = self.below(8) == 0;
        let whole_ring = self.tx.len();
        let words = &mut self.tx[self.tx_at];
        words.hardware = false;
        words.loaded = false;
        words.sent = if failed { Err(TxError::Collision) } else { Ok(()) };
        assert_eq!(words.wraps, self.tx_at + 1 == whole_ring, "the wrap flag is on the last descriptor only");
        let (buffer, len, wraps) = (words.buffer, words.len, words.wraps);
        let octets = self.memory.dma_read(buffer, len);
        if failed {
            self.lost += 1;
        }
        self.wire.push(octets);
        self.tx_at = if wraps { 0 } else { self.tx_at + 1 };
    }

    /// The engine is reset.
    pub fn stop(&mut self) {
        self.running = false;
        (self.rx_at, self.tx_at) = (0, 0);
    }

    fn load(words: &mut Words, buffer: *mut u8, len: usize, wraps: bool) {
        assert!(!words.hardware, "the driver wrote a descriptor that is the hardware's");
        *words = Words { buffer, len, wraps, loaded: true, ..words.clone() };
    }

    fn give(words: &mut Words) {
        assert!(!words.hardware, "given twice");
        assert!(words.loaded, "given before the rest was written");
        words.hardware = true;
    }
}

/// A receive descriptor of the engine.
pub struct Rx(pub Shared, pub usize);

/// A transmit descriptor of the engine.
pub struct Tx(pub Shared, pub usize);

impl Descriptor for Rx {
    fn is_hardware(&self) -> bool {
        let mut engine = self.0.borrow_mut();
        engine.step();
        engine.rx[self.1].hardware
    }

    fn give(&self) {
        let mut engine = self.0.borrow_mut();
        engine.step();
        Engine::give(&mut engine.rx[self.1]);
        engine.step();
    }

    fn take_back(&self) {
        let mut engine = self.0.borrow_mut();
        assert!(!engine.running, "taken back from a running engine");
        engine.rx[self.1].hardware = false;
    }
}

impl RxDescriptor for Rx {
    const MAX_CAPACITY: usize = CAPACITY;

    fn arm(&self, buffer: *mut u8, capacity: usize, wraps: bool) {
        let mut engine = self.0.borrow_mut();
        engine.step();
        Engine::load(&mut engine.rx[self.1], buffer, capacity, wraps);
    }

    fn received(&self) -> Received {
        let mut engine = self.0.borrow_mut();
        engine.step();
        assert!(!engine.rx[self.1].hardware, "read while it was the hardware's");
        engine.rx[self.1].received
    }
}

impl Descriptor for Tx {
    fn is_hardware(&self) -> bool {
        let mut engine = self.0.borrow_mut();
        engine.step();
        engine.tx[self.1].hardware
    }

    fn give(&self) {
        let mut engine = self.0.borrow_mut();
        engine.step();
        Engine::give(&mut engine.tx[self.1]);
        engine.step();
    }

    fn take_back(&self) {
        let mut engine = self.0.borrow_mut();
        assert!(!engine.running, "taken back from a running engine");
        engine.tx[self.1].hardware = false;
    }
}

impl TxDescriptor for Tx {
    const MIN_LEN: usize = 60;
    const MAX_LEN: usize = 120;

    fn load(&self, buffer: *const u8, len: usize, _: &TxMeta, wraps: bool) {
        let mut engine = self.0.borrow_mut();
        engine.step();
        Engine::load(&mut engine.tx[self.1], buffer.cast_mut(), len, wraps);
    }

    fn sent(&self) -> Result<(), TxError> {
        let engine = self.0.borrow();
        assert!(!engine.tx[self.1].hardware, "read while it was the hardware's");
        engine.tx[self.1].sent
    }
}

/// Cache maintenance in the engine's memory.
#[derive(Clone)]
pub struct Cached(pub Shared);

impl Coherency for Cached {
    const LINE: usize = LINE;

    fn clean(&self, start: *const u8, len: usize) {
        let mut engine = self.0.borrow_mut();
        engine.step();
        engine.memory.clean(start, len);
        engine.step();
    }

    fn invalidate(&self, start: *mut u8, len: usize) {
        let mut engine = self.0.borrow_mut();
        engine.step();
        engine.memory.invalidate(start, len);
        engine.step();
    }
}

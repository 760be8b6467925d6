//! The world that a driver runs in: memory with or without a cache, a wire, and a model of the MAC.

extern crate std;
use crate::coherency::{Coherency, CortexM7};
use crate::regs::Registers;
use crate::ring::RxError;
use crate::ring::tests::memory::{LINE, Memory};
use crate::word::Word;
use core::cell::RefCell;
use ringtap::device::Mac;
use ringtap::frame::Pool;
use std::collections::VecDeque;
use std::rc::Rc;
use std::vec::Vec;

/// The station of these tests.
pub const STATION: Mac = Mac([2, 0, 0, 0, 0, 1]);

/// What is on its way to the MAC.
#[derive(Clone, Debug)]
pub struct Packet {
    pub octets: Vec<u8>,
    pub error: Option<RxError>,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// No descriptor: it never came.
    Missed,
    /// It lies in one descriptor, without error.
    Good,
    /// It lies in the ring, and the driver must count it.
    Bad,
}

/// A MAC's registers and DMA engine.
pub trait Hardware: Default {
    fn read(&mut self, block: usize, offset: u16) -> u32;
    fn write(&mut self, block: usize, offset: u16, value: u32);
    /// A packet comes.
    fn receive(&mut self, bus: &mut Bus, packet: &Packet) -> Fate;
    /// The oldest frame goes out, or is lost to the medium: its octets.
    fn transmit(&mut self, bus: &mut Bus, lost: bool) -> Option<Vec<u8>>;
    /// An error on the bus: the engine stands still and says so.
    fn fault(&mut self) -> bool;
    /// Descriptors that are the engine's.
    fn owned(&self, bus: &Bus) -> usize;
    /// The address that the hardware itself has, if any.
    fn set_address(&mut self, _: Mac) {}
    /// Nanoseconds since the beginning, by which a clock of the MAC's goes.
    fn set_time(&mut self, _: u64) {}
    /// Whether the interrupt line is asserted.
    fn interrupt(&self) -> bool;
}

/// Descriptors where the engine finds them.
struct Region {
    base: u32,
    words: Vec<&'static Word>,
}

/// What the DMA engine reaches. It knows addresses of 32 bits.
pub struct Bus {
    pub memory: Memory,
    base: *mut u8,
    len: usize,
    regions: Vec<Region>,
}

impl Bus {
    /// The descriptors of a ring.
    pub fn attach<D>(&mut self, ring: &'static [D], words: impl Fn(&'static D) -> &'static [Word]) {
        let base = ring.as_ptr().addr() as u32;
        self.regions.push(Region { base, words: ring.iter().flat_map(words).collect() });
    }

    /// The word of a descriptor at an address.
    pub fn word(&self, address: u32) -> &'static Word {
        let found = self.regions.iter().find_map(|r| r.words.get((address.wrapping_sub(r.base) / 4) as usize).copied());
        found.unwrap_or_else(|| panic!("no descriptor lies at {address:#x}"))
    }

    /// How many of the descriptors from `list` on, of `step` octets, have a word `place` that is so.
    pub fn count(&self, list: u32, step: u32, place: usize, is: impl Fn(u32) -> bool) -> usize {
        let region = self.regions.iter().find(|r| r.base == list);
        let words = region.into_iter().flat_map(|r| r.words.iter().skip(place).step_by(step as usize / 4));
        words.filter(|w| is(w.get())).count()
    }

    fn pointer(&self, address: u32, len: usize) -> *mut u8 {
        let offset = address.wrapping_sub(self.base.addr() as u32) as usize;
        assert!(offset + len <= self.len, "{len} octets at {address:#x} are not the pool's");
        // SAFETY: inside of the pool's memory.
        unsafe { self.base.add(offset) }
    }

    pub fn write(&mut self, address: u32, octets: &[u8]) {
        let to = self.pointer(address, octets.len());
        self.memory.dma_write(to, octets);
    }

    pub fn read(&self, address: u32, len: usize) -> Vec<u8> {
        self.memory.dma_read(self.pointer(address, len), len)
    }
}

/// Everything beside the driver.
pub struct World<H> {
    random: u64,
    pub bus: Bus,
    pub hardware: H,
    pub incoming: VecDeque<Packet>,
    /// Good packets in the ring: the driver hands them out or counts them.
    pub good: VecDeque<Vec<u8>>,
    /// Packets that the driver must count as dropped.
    pub bad: u32,
    pub missed: u32,
    /// Frames that came out.
    pub wire: Vec<Vec<u8>>,
    pub lost: u32,
    /// The engine moves by itself.
    pub moves: bool,
    /// The transmitter moves.
    pub sends: bool,
    owned: usize,
}

/// A handle that registers, cache and test share.
pub struct Shared<H>(pub Rc<RefCell<World<H>>>);

impl<H> Clone for Shared<H> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<H: Hardware> World<H> {
    pub fn shared(pool: Pool<'_>, cached: bool, seed: u64) -> Shared<H> {
        let (base, len) = pool.memory();
        let bus = Bus { memory: Memory::new(pool, cached), base, len, regions: Vec::new() };
        Shared(Rc::new(RefCell::new(Self {
            random: seed | 1,
            bus,
            hardware: H::default(),
            incoming: VecDeque::new(),
            good: VecDeque::new(),
            bad: 0,
            missed: 0,
            wire: Vec::new(),
            lost: 0,
            moves: false,
            sends: true,
            owned: 0,
        })))
    }

    /// xorshift64*: any number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }

    /// Something happens, or nothing.
    pub fn step(&mut self) {
        if !self.moves {
            return;
        }
        for _ in 0..self.below(3) {
            match self.below(4) {
                0 => self.receive_one(),
                1 => self.transmit_one(),
                _ if self.bus.memory.line_count() > 0 => {
                    let line = self.below(self.bus.memory.line_count());
                    if self.below(2) == 0 { self.bus.memory.evict(line) } else { self.bus.memory.fetch(line) }
                }
                _ => {}
            }
        }
    }

    pub fn receive_one(&mut self) {
        let Some(packet) = self.incoming.pop_front() else { return };
        match self.hardware.receive(&mut self.bus, &packet) {
            Fate::Missed => self.missed += 1,
            Fate::Good => self.good.push_back(packet.octets),
            Fate::Bad => self.bad += 1,
        }
    }

    pub fn transmit_one(&mut self) {
        let lost = self.below(8) == 0;
        if self.sends
            && let Some(octets) = self.hardware.transmit(&mut self.bus, lost)
        {
            self.lost += u32::from(lost);
            self.wire.push(octets);
        }
    }
}

/// The registers of a model; a MAC may have several blocks.
pub struct ModelRegisters<H>(pub Shared<H>, pub usize);

impl<H: Hardware> Registers for ModelRegisters<H> {
    fn read(&self, offset: u16) -> u32 {
        let mut world = self.0.0.borrow_mut();
        world.step();
        world.hardware.read(self.1, offset)
    }

    fn write(&self, offset: u16, value: u32) {
        let mut world = self.0.0.borrow_mut();
        world.step();
        world.hardware.write(self.1, offset, value);
        world.step();
    }
}

/// Cache maintenance and barriers in the model's memory.
pub struct ModelMemory<H>(pub Shared<H>);

impl<H> Clone for ModelMemory<H> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// The registers of a Cortex-M7's cache maintenance, over the model's cache.
struct CacheRegisters<'w, H>(&'w Shared<H>);

impl<H: Hardware> Registers for CacheRegisters<'_, H> {
    fn read(&self, offset: u16) -> u32 {
        panic!("register {offset:#x} of the cache cannot be read")
    }

    fn write(&self, offset: u16, address: u32) {
        let mut world = self.0.0.borrow_mut();
        let world = &mut *world;
        world.step();
        if world.bus.memory.line_count() == 0 {
            // The cache is off: maintenance does nothing.
            return;
        }
        let line = world.bus.pointer(address, LINE);
        match offset {
            0x0c => world.bus.memory.invalidate(line, LINE),
            0x18 => world.bus.memory.clean(line, LINE),
            _ => panic!("register {offset:#x} of the cache is written"),
        }
    }
}

impl<H: Hardware> ModelMemory<H> {
    /// By the registers, as on hardware.
    fn maintain(&self, what: impl FnOnce(CortexM7<CacheRegisters<'_, H>>)) {
        what(CortexM7::new(CacheRegisters(&self.0)));
        let mut world = self.0.0.borrow_mut();
        world.owned = world.hardware.owned(&world.bus);
    }
}

impl<H: Hardware> Coherency for ModelMemory<H> {
    const LINE: usize = LINE;

    fn clean(&self, start: *const u8, len: usize) {
        self.maintain(|cache| cache.clean(start, len));
    }

    fn invalidate(&self, start: *mut u8, len: usize) {
        self.maintain(|cache| cache.invalidate(start, len));
    }

    fn before_give(&self) {
        let mut world = self.0.0.borrow_mut();
        // Between the maintenance of its buffer and this barrier a descriptor is written, but not yet given.
        assert!(world.hardware.owned(&world.bus) <= world.owned, "the owner was not written last");
        world.step();
    }

    fn after_take(&self) {
        self.0.0.borrow_mut().step();
    }

    fn before_doorbell(&self) {
        self.0.0.borrow_mut().step();
    }
}

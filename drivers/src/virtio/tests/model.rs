//! A virtio network device behind MMIO registers, as VIRTIO 1.2 §4.2, §5.1 and §2.7 describe it.

extern crate std;
use crate::engine::tests::world::{Bus, Fate, Hardware, Packet};
use core::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use ringtap::device::Mac;
use std::vec::Vec;

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;
const CONTROL: usize = 2;

#[derive(Clone, Default)]
struct Queue {
    len: usize,
    align: usize,
    parts: [usize; 3],
    ready: bool,
    /// How far the available ring was read.
    at: u16,
    given: u16,
    notified: bool,
}

/// A 16-bit field of the driver's memory.
fn half(address: usize) -> &'static AtomicU16 {
    // SAFETY: the driver named this address, and lives until the test's end.
    unsafe { &*core::ptr::with_exposed_provenance(address) }
}

/// A 32-bit field of the driver's memory.
fn word(address: usize) -> &'static AtomicU32 {
    // SAFETY: as above.
    unsafe { &*core::ptr::with_exposed_provenance(address) }
}

/// A descriptor: address, length, flags, next.
fn descriptor(queue: &Queue, number: u16) -> (usize, usize, u16, u16) {
    assert!(usize::from(number) < queue.len, "descriptor {number} is beyond the table");
    let at = queue.parts[0] + 16 * usize::from(number);
    let load = |offset| word(at + offset).load(Ordering::Relaxed);
    let address = u64::from(load(0)) | u64::from(load(4)) << 32;
    (address as usize, load(8) as usize, load(12) as u16, (load(12) >> 16) as u16)
}

impl Queue {
    /// The next available buffer's first descriptor.
    fn take(&mut self) -> Option<u16> {
        if !self.ready || half(self.parts[1] + 2).load(Ordering::Acquire) == self.at {
            return None;
        }
        let slot = usize::from(self.at) % self.len;
        self.at = self.at.wrapping_add(1);
        Some(half(self.parts[1] + 4 + 2 * slot).load(Ordering::Relaxed))
    }

    fn give_back(&mut self, number: u32, written: u32) {
        let at = self.parts[2] + 4 + 8 * (usize::from(self.given) % self.len);
        word(at).store(number, Ordering::Relaxed);
        word(at + 4).store(written, Ordering::Relaxed);
        self.given = self.given.wrapping_add(1);
        half(self.parts[2] + 2).store(self.given, Ordering::Release);
    }
}

pub struct Model<const V: u32> {
    pub magic: u32,
    pub kind: u32,
    pub offered: [u32; 2],
    /// Keeps FEATURES_OK.
    pub agrees: bool,
    /// The longest queue.
    pub longest: u32,
    /// A reset does not end.
    pub stuck: bool,
    /// The flags and the offset in the header of what is received.
    pub checksum: [u8; 2],
    pub last_header: Vec<u8>,
    pub commands: Vec<Vec<u8>>,
    /// Commands are answered with an error, or not at all.
    pub refuses: bool,
    pub silent: bool,
    link: bool,
    /// Times that the link or the status was asked for while it runs.
    pub asked: u32,
    address: Mac,
    status: u32,
    select: [u32; 2],
    accepted: [u32; 2],
    queue: usize,
    queues: [Queue; 3],
    interrupt: u32,
}

impl<const V: u32> Default for Model<V> {
    fn default() -> Self {
        use super::super::feature as f;
        let layout = if V == 1 { f::ANY_LAYOUT } else { 0 };
        let network = f::CSUM | f::GUEST_CSUM | f::MAC | f::STATUS | f::CTRL_VQ | f::CTRL_RX;
        // And some that the driver does not know: segmentation, mergeable buffers, event indices.
        let unknown = 1 << 7 | 1 << 15 | 1 << 29;
        Self {
            magic: 0x7472_6976,
            kind: 1,
            offered: [network | layout | unknown, if V == 1 { 0 } else { 1 }],
            agrees: true,
            longest: 256,
            stuck: false,
            checksum: [0; 2],
            last_header: Vec::new(),
            commands: Vec::new(),
            refuses: false,
            silent: false,
            link: true,
            asked: 0,
            address: Mac([2, 0, 0, 0, 0, 1]),
            status: 0,
            select: [0; 2],
            accepted: [0; 2],
            queue: 0,
            queues: Default::default(),
            interrupt: 0,
        }
    }
}

impl<const V: u32> Model<V> {
    fn header(&self) -> usize {
        if V == 1 { 10 } else { 12 }
    }

    fn running(&self) -> bool {
        self.status & (4 | 64) == 4
    }

    /// The link goes up or down, and the device says so.
    pub fn set_link(&mut self, up: bool) {
        self.link = up;
        self.interrupt |= 2;
    }

    /// Gives a receive buffer back with any number and length.
    pub fn give_back(&mut self, number: u32, written: u32) {
        let _ = self.queues[RECEIVE].take();
        self.queues[RECEIVE].give_back(number, written);
    }

    fn control(&mut self) {
        if self.silent {
            return;
        }
        while let Some(first) = self.queues[CONTROL].take() {
            let (command, len, flags, next) = descriptor(&self.queues[CONTROL], first);
            assert_eq!(flags, NEXT);
            let (status, one, flags, _) = descriptor(&self.queues[CONTROL], next);
            assert_eq!((one, flags), (1, WRITE));
            let octet = |i: usize| (word((command + i) & !3).load(Ordering::Relaxed) >> (8 * (i % 4))) as u8;
            self.commands.push((0..len).map(octet).collect());
            word(status).store(u32::from(self.refuses), Ordering::Relaxed);
            self.queues[CONTROL].give_back(first.into(), 1);
        }
    }

    fn set_pfn(&mut self, value: u32) {
        let queue = &mut self.queues[self.queue];
        // The register names 2^32 pages, 16 TiB; a host's addresses go beyond that, but lie together.
        let near = Vec::<u8>::with_capacity(16384);
        let table = (near.as_ptr().addr() >> 44 << 44) | (value as usize * 4096);
        let available = table + 16 * queue.len;
        let used = (available + 6 + 2 * queue.len).next_multiple_of(queue.align);
        (queue.parts, queue.ready) = ([table, available, used], true);
    }

    fn set_status(&mut self, value: u32) {
        if value == 0 {
            for queue in &mut self.queues {
                *queue = Queue::default();
            }
            self.accepted = [0; 2];
            self.interrupt = 0;
        }
        self.status = if value == 0 && self.stuck { 128 } else { value };
        if !self.agrees {
            self.status &= !8;
        }
    }
}

impl<const V: u32> Hardware for Model<V> {
    fn read(&mut self, _: usize, offset: u16) -> u32 {
        let [a, b, c, d, e, f] = self.address.0;
        self.asked += u32::from(self.running() && matches!(offset, 0x70 | 0x104));
        match offset {
            0x000 => self.magic,
            0x004 => V,
            0x008 => self.kind,
            0x010 => self.offered[self.select[0] as usize],
            0x034 => self.longest,
            0x060 => self.interrupt,
            0x070 => self.status,
            0x100 => u32::from_le_bytes([a, b, c, d]),
            0x104 => u32::from_le_bytes([e, f, u8::from(self.link), 0]),
            _ => panic!("register {offset:#x} is read"),
        }
    }

    fn write(&mut self, _: usize, offset: u16, value: u32) {
        let legacy = V == 1;
        match offset {
            0x014 => self.select[0] = value,
            0x024 => self.select[1] = value,
            0x020 => {
                let word = self.select[1] as usize;
                assert_eq!(value & !self.offered[word], 0, "accepted what was not offered");
                self.accepted[word] = value;
            }
            0x028 if legacy => assert_eq!(value, 4096),
            0x030 => self.queue = value as usize,
            0x038 => {
                assert!(value.is_power_of_two() && value <= self.longest);
                self.queues[self.queue].len = value as usize;
            }
            0x03c if legacy => self.queues[self.queue].align = value as usize,
            0x040 if legacy => self.set_pfn(value),
            0x044 if !legacy => self.queues[self.queue].ready = value == 1,
            0x050 => {
                assert_ne!(self.status & 4, 0, "a notification before DRIVER_OK");
                self.queues[value as usize].notified = true;
                if value as usize == CONTROL {
                    self.control();
                }
            }
            0x064 => self.interrupt &= !value,
            0x070 => self.set_status(value),
            0x080..0x0a8 if !legacy => {
                let (part, upper) = (usize::from(offset - 0x80) / 16, offset & 4 != 0);
                let to = &mut self.queues[self.queue].parts[part];
                let value = value as usize;
                *to = if upper { *to & 0xffff_ffff | value << 32 } else { *to & !0xffff_ffff | value };
            }
            _ => panic!("register {offset:#x} is written"),
        }
    }

    fn receive(&mut self, bus: &mut Bus, packet: &Packet) -> Fate {
        if !self.running() {
            return Fate::Missed;
        }
        let mut octets = [0; 12][..self.header()].to_vec();
        (octets[0], octets[8]) = (self.checksum[0], self.checksum[1]);
        octets[6] = if octets[0] == 1 { 34 } else { 0 };
        octets.extend(&packet.octets);
        let queue = &mut self.queues[RECEIVE];
        let Some(number) = queue.take() else { return Fate::Missed };
        let (buffer, len, flags, _) = descriptor(queue, number);
        assert_eq!(flags, WRITE);
        let fits = octets.len().min(len);
        bus.write(buffer as u32, &octets[..fits]);
        // Without mergeable buffers a packet that is too long is not delivered; a device in error says any length.
        let good = packet.error.is_none() && fits == octets.len();
        queue.give_back(number.into(), if good { fits as u32 } else { [0, u32::MAX][octets.len() % 2] });
        self.interrupt |= u32::from(half(queue.parts[1]).load(Ordering::Relaxed) & 1 == 0);
        if good { Fate::Good } else { Fate::Bad }
    }

    fn transmit(&mut self, bus: &mut Bus, _: bool) -> Option<Vec<u8>> {
        if !self.running() || !self.queues[TRANSMIT].notified {
            return None;
        }
        let queue = &mut self.queues[TRANSMIT];
        let Some(number) = queue.take() else {
            queue.notified = false;
            return None;
        };
        let (buffer, len, flags, _) = descriptor(queue, number);
        assert_eq!(flags, 0);
        let octets = bus.read(buffer as u32, len);
        queue.give_back(number.into(), 0);
        let (header, frame) = octets.split_at(self.header());
        self.last_header = header.to_vec();
        Some(frame.to_vec())
    }

    fn fault(&mut self) -> bool {
        self.status |= 64;
        self.interrupt |= 2;
        true
    }

    fn owned(&self, _: &Bus) -> usize {
        let available =
            |q: &Queue| if q.ready { half(q.parts[1] + 2).load(Ordering::Relaxed).wrapping_sub(q.at) } else { 0 };
        self.queues[..2].iter().map(|q| usize::from(available(q))).sum()
    }

    fn set_address(&mut self, mac: Mac) {
        self.address = mac;
    }

    fn interrupt(&self) -> bool {
        self.interrupt != 0
    }
}

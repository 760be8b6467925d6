//! virtio-net over MMIO: the network card of virtual machines.
//!
//! VIRTIO 1.2 §4.2 (MMIO), §5.1 (network), §2.7 (split virtqueues); the legacy interface (version 1 of the register
//! block, §4.2.4), too. Checksums are left to the device, and taken from it, where it offers that.

pub mod header;
pub mod queue;

mod control;
#[cfg(test)]
mod tests;

use crate::coherency::Coherency;
use crate::engine::LOOKS;
use crate::engine::{Setup, SetupError};
use crate::interrupt::Attention;
use crate::nic::{Counters, Nic};
use crate::regs::{Registers, Timeout, look};
use crate::word::{bit, high, low};
use control::Control;
pub use control::ControlMemory;
use core::task::Waker;
use queue::{Queue, QueueMemory};
use ringtap::device::{Capabilities, ChecksumOffload, Device, Link, Mac, Medium, RxMeta, TxMeta, Unsupported};
use ringtap::frame::{Frame, Pool};
use ringtap::time::Instant;

/// Offsets of registers: VIRTIO 1.2 §4.2.2 and §4.2.4.
mod reg {
    pub const MAGIC: u16 = 0x000;
    pub const VERSION: u16 = 0x004;
    pub const DEVICE: u16 = 0x008;
    pub const DEVICE_FEATURES: u16 = 0x010;
    pub const DEVICE_FEATURES_SEL: u16 = 0x014;
    pub const DRIVER_FEATURES: u16 = 0x020;
    pub const DRIVER_FEATURES_SEL: u16 = 0x024;
    pub const GUEST_PAGE_SIZE: u16 = 0x028;
    pub const QUEUE_SEL: u16 = 0x030;
    pub const QUEUE_NUM_MAX: u16 = 0x034;
    pub const QUEUE_NUM: u16 = 0x038;
    pub const QUEUE_ALIGN: u16 = 0x03c;
    pub const QUEUE_PFN: u16 = 0x040;
    pub const QUEUE_READY: u16 = 0x044;
    pub const QUEUE_NOTIFY: u16 = 0x050;
    pub const INTERRUPT_STATUS: u16 = 0x060;
    pub const INTERRUPT_ACK: u16 = 0x064;
    pub const STATUS: u16 = 0x070;
    /// Lower and upper halves of the addresses of a queue's three parts.
    pub const QUEUE_PARTS: [[u16; 2]; 3] = [[0x080, 0x084], [0x090, 0x094], [0x0a0, 0x0a4]];
    /// The address, then the link's state.
    pub const CONFIG: u16 = 0x100;
}

/// Bits of the device status: VIRTIO 1.2 §2.1.
mod status {
    pub const ACKNOWLEDGE: u32 = 1;
    pub const DRIVER: u32 = 2;
    pub const DRIVER_OK: u32 = 4;
    pub const FEATURES_OK: u32 = 8;
    pub const NEEDS_RESET: u32 = 64;
}

/// Bits of the features: VIRTIO 1.2 §5.1.3 and §6.
mod feature {
    use super::bit;
    pub const CSUM: u32 = bit(0);
    pub const GUEST_CSUM: u32 = bit(1);
    pub const MAC: u32 = bit(5);
    pub const STATUS: u32 = bit(16);
    pub const CTRL_VQ: u32 = bit(17);
    pub const CTRL_RX: u32 = bit(18);
    /// Legacy: header and packet may share a buffer.
    pub const ANY_LAYOUT: u32 = bit(27);
    /// In the upper word: not legacy.
    pub const VERSION_1: u32 = bit(0);
}

/// "virt".
const MAGIC: u32 = 0x7472_6976;
/// A network card.
const NETWORK: u32 = 1;
/// What the legacy interface counts addresses in.
const PAGE: u32 = 4096;
/// The link is up, in the configuration's status field.
const LINK_UP: u32 = 1;
/// The configuration has changed, in InterruptStatus: VIRTIO 1.2 §4.2.2. A fault comes with it (§2.1.1).
const CONFIG_CHANGED: u32 = 2;

/// The queues' numbers; that of the control queue counts on a device with one pair.
const RECEIVE: u32 = 0;
const TRANSMIT: u32 = 1;
const CONTROL: u32 = 2;

/// Whether there is a virtio network card behind these registers; the others of a machine's slots have another device, or
/// none.
pub fn is_network(registers: &impl Registers) -> bool {
    registers.read(reg::MAGIC) == MAGIC && registers.read(reg::DEVICE) == NETWORK
}

/// The registers of a virtio device of the network kind.
struct Transport<M> {
    registers: M,
    legacy: bool,
    features: u32,
}

impl<M: Registers> Transport<M> {
    /// Looks what is there.
    fn new(registers: M) -> Result<Self, SetupError> {
        let version = registers.read(reg::VERSION);
        if !is_network(&registers) || !matches!(version, 1 | 2) {
            return Err(SetupError::Device);
        }
        Ok(Self { registers, legacy: version == 1, features: 0 })
    }

    fn reset(&self) -> Result<(), Timeout> {
        self.registers.write(reg::STATUS, 0);
        look(LOOKS, || self.registers.read(reg::STATUS) == 0)
    }

    /// Agrees with the device, which was reset, on what both can.
    fn negotiate(&mut self) -> Result<(), SetupError> {
        let r = &self.registers;
        let step = |bits| r.write(reg::STATUS, r.read(reg::STATUS) | bits);
        step(status::ACKNOWLEDGE);
        step(status::DRIVER);
        let offered = [0, 1].map(|word| {
            r.write(reg::DEVICE_FEATURES_SEL, word);
            r.read(reg::DEVICE_FEATURES)
        });
        let wanted = feature::CSUM | feature::GUEST_CSUM | feature::MAC | feature::STATUS;
        let control = feature::CTRL_VQ | feature::CTRL_RX;
        let control = if offered[0] & control == control { control } else { 0 };
        let needed = if self.legacy { [feature::ANY_LAYOUT, 0] } else { [0, feature::VERSION_1] };
        let accepted = [offered[0] & (wanted | needed[0]) | control, offered[1] & needed[1]];
        if [0, 1].iter().any(|&word| accepted[word] & needed[word] != needed[word]) {
            return Err(SetupError::Device);
        }
        for word in [0, 1] {
            r.write(reg::DRIVER_FEATURES_SEL, word);
            r.write(reg::DRIVER_FEATURES, accepted[word as usize]);
        }
        if self.legacy {
            r.write(reg::GUEST_PAGE_SIZE, PAGE);
        } else {
            step(status::FEATURES_OK);
            if r.read(reg::STATUS) & status::FEATURES_OK == 0 {
                return Err(SetupError::Device);
            }
        }
        self.features = accepted[0];
        Ok(())
    }

    /// Tells the device where a queue lies.
    fn set_queue<const N: usize>(&self, number: u32, memory: &QueueMemory<N>) -> Result<(), SetupError> {
        let r = &self.registers;
        r.write(reg::QUEUE_SEL, number);
        if (r.read(reg::QUEUE_NUM_MAX) as usize) < N {
            return Err(SetupError::Device);
        }
        r.write(reg::QUEUE_NUM, N as u32);
        let parts = memory.parts();
        if self.legacy {
            r.write(reg::QUEUE_ALIGN, queue::ALIGN as u32);
            r.write(reg::QUEUE_PFN, (low(parts[0]) / PAGE) | (high(parts[0]) << 20));
            return Ok(());
        }
        for (part, [to_low, to_high]) in parts.into_iter().zip(reg::QUEUE_PARTS) {
            r.write(to_low, low(part));
            r.write(to_high, high(part));
        }
        r.write(reg::QUEUE_READY, 1);
        Ok(())
    }

    fn drive(&self) {
        self.registers.write(reg::STATUS, self.registers.read(reg::STATUS) | status::DRIVER_OK);
    }

    fn has(&self, feature: u32) -> bool {
        self.features & feature != 0
    }

    /// What the configuration's status field says; without one the link is up (VIRTIO 1.2 §5.1.4).
    fn link(&self) -> Link {
        let down = self.has(feature::STATUS) && self.registers.read(reg::CONFIG + 4) >> 16 & LINK_UP == 0;
        if down { Link::Down } else { Link::Up }
    }

    fn header(&self) -> usize {
        if self.legacy { header::LEGACY } else { header::MODERN }
    }
}

/// The memory of a device's queues: for a `static`.
#[derive(Debug, Default)]
pub struct Memory<const RX: usize, const TX: usize> {
    rx: QueueMemory<RX>,
    tx: QueueMemory<TX>,
    control: ControlMemory,
}

impl<const RX: usize, const TX: usize> Memory<RX, TX> {
    /// Memory that no device uses; all zeros, so that it lies in `.bss`.
    pub const fn new() -> Self {
        Self { rx: QueueMemory::new(), tx: QueueMemory::new(), control: ControlMemory::new() }
    }
}

/// A virtio network card with `RX` receive and `TX` transmit buffers.
pub struct VirtioNic<'d, 'p, M, C, const RX: usize, const TX: usize> {
    transport: Transport<M>,
    rx: Queue<'d, 'p, C, RX>,
    tx: Queue<'d, 'p, C, TX>,
    control: Control<'d, C>,
    pool: Pool<'p>,
    setup: Setup,
    promiscuous: bool,
    /// It was told to receive all groups.
    all_groups: bool,
    attention: Option<&'static Attention>,
    dead: bool,
    /// The device has said that it is in error; what it had received before is handed out first.
    needs_reset: bool,
    /// As the device has said last: its registers are not asked at each poll, since each read may be a trap.
    link: Link,
    counters: Counters,
    faults: u32,
}

impl<'d, 'p, M: Registers, C: Coherency + Clone, const RX: usize, const TX: usize> VirtioNic<'d, 'p, M, C, RX, TX> {
    /// A device that runs, with interrupts off. `setup.mac` counts when the device has no address of its own.
    ///
    /// # Errors
    /// A [`SetupError`]; the frames are back in the pool then.
    ///
    /// # Safety
    /// The registers are those of a virtio device that nobody else uses, or of none at all. Queues and pool lie where it
    /// reaches them at the addresses that the processor uses, and the queues live until the device was stopped.
    pub unsafe fn new(
        registers: M,
        memory: &'d mut Memory<RX, TX>,
        coherency: C,
        pool: Pool<'p>,
        setup: Setup,
    ) -> Result<Self, SetupError> {
        let transport = Transport::new(registers)?;
        transport.reset().map_err(|_| SetupError::Reset)?;
        let Memory { rx, tx, control } = memory;
        let mut nic = Self {
            transport,
            rx: Queue::new(rx, coherency.clone()),
            tx: Queue::new(tx, coherency.clone()),
            control: Control::new(control, coherency),
            pool,
            setup,
            promiscuous: false,
            all_groups: false,
            attention: None,
            dead: false,
            needs_reset: false,
            link: Link::Up,
            counters: Counters::default(),
            faults: 0,
        };
        let begun = nic.check().and_then(|()| nic.begin());
        match begun {
            Ok(()) => Ok(nic),
            Err(error) => {
                nic.stop();
                Err(error)
            }
        }
    }

    fn check(&self) -> Result<(), SetupError> {
        let room = self.pool.slot_size().saturating_sub(self.setup.headroom + header::MODERN + crate::ETHERNET_HEADER);
        if !(crate::MIN_MTU..=room.min(65535)).contains(&self.setup.ip_mtu) {
            return Err(SetupError::Mtu);
        }
        // No slot may share a cache line with another.
        let (memory, _) = self.pool.memory();
        if !memory.addr().is_multiple_of(C::LINE) || !self.pool.slot_size().is_multiple_of(C::LINE) {
            return Err(crate::ring::RingError::Misaligned.into());
        }
        Ok(())
    }

    /// From a device that was reset, and empty queues, to one that runs.
    fn begin(&mut self) -> Result<(), SetupError> {
        self.transport.negotiate()?;
        if self.transport.has(feature::MAC) {
            let r = &self.transport.registers;
            let [a, b, c, d] = r.read(reg::CONFIG).to_le_bytes();
            let [e, f, ..] = r.read(reg::CONFIG + 4).to_le_bytes();
            self.setup.mac = Mac([a, b, c, d, e, f]);
        }
        if !self.setup.mac.is_station() {
            return Err(SetupError::Address);
        }
        self.transport.set_queue(RECEIVE, self.rx.memory())?;
        self.transport.set_queue(TRANSMIT, self.tx.memory())?;
        if self.transport.has(feature::CTRL_VQ) {
            self.transport.set_queue(CONTROL, self.control.memory())?;
        }
        while !self.rx.is_full() {
            let frame = self.pool.take(self.setup.headroom).ok_or(crate::ring::RingError::PoolTooSmall)?;
            self.arm(frame);
        }
        self.transport.drive();
        self.link = self.transport.link();
        self.kick();
        // Beside our own address and that of all, only what is asked for; a device that cannot sends everything.
        let _ = self.set_promiscuous(self.promiscuous);
        Ok(())
    }

    fn arm(&mut self, mut frame: Frame<'p>) {
        frame.reset(self.setup.headroom);
        let room = frame.tailroom();
        if frame.append(room).is_some() {
            // The queue has the place that the frame came from.
            let _ = self.rx.push(frame, true);
        }
    }

    fn kick(&mut self) {
        if self.rx.take_kick() {
            self.transport.registers.write(reg::QUEUE_NOTIFY, RECEIVE);
        }
        if self.tx.take_kick() {
            self.transport.registers.write(reg::QUEUE_NOTIFY, TRANSMIT);
        }
    }

    /// Takes back what was sent.
    fn reclaim(&mut self) {
        for _ in 0..TX {
            match self.tx.pop() {
                None => break,
                Some(Some(_)) => self.counters.tx_packets = self.counters.tx_packets.wrapping_add(1),
                Some(None) => self.counters.tx_errors = self.counters.tx_errors.wrapping_add(1),
            }
        }
    }

    /// What a buffer that came back holds; `None`, counted, when it is not to be handed out. The ring never starves.
    fn received(&mut self, mut frame: Frame<'p>, written: usize) -> Option<(Frame<'p>, RxMeta)> {
        let header = self.transport.header();
        let len = frame.len();
        frame.truncate(written);
        self.rx.invalidate(&mut frame);
        let checksum = frame.get(..header).and_then(header::read).filter(|_| written > header && written <= len);
        let fresh = checksum.and_then(|_| self.pool.take(self.setup.headroom));
        let (Some(checksum), Some(fresh)) = (checksum, fresh) else {
            let counter =
                if checksum.is_none() { &mut self.counters.rx_errors } else { &mut self.counters.rx_no_frame };
            *counter = counter.wrapping_add(1);
            self.arm(frame);
            return None;
        };
        self.arm(fresh);
        frame.trim_front(header);
        self.counters.rx_packets = self.counters.rx_packets.wrapping_add(1);
        Some((frame, RxMeta { checksum, ..RxMeta::default() }))
    }

    /// The next good packet. Bad ones before it are dropped, not more in one call than there are buffers.
    fn take(&mut self) -> Option<(Frame<'p>, RxMeta)> {
        for _ in 0..RX {
            match self.rx.pop()? {
                None => self.counters.rx_errors = self.counters.rx_errors.wrapping_add(1),
                Some((frame, written)) => {
                    if let Some(received) = self.received(frame, written) {
                        return Some(received);
                    }
                }
            }
        }
        None
    }

    fn rearm(&mut self) {
        let pending = self.transport.registers.read(reg::INTERRUPT_STATUS);
        self.transport.registers.write(reg::INTERRUPT_ACK, pending);
        self.interrupts(true);
        // Whatever is pending: the handler has acknowledged what it was called for.
        self.look();
    }

    /// Nothing was received: time to look at the device itself. Where it interrupts, `rearm` does.
    fn service(&mut self) {
        self.kick();
        if self.attention.is_none() {
            let pending = self.transport.registers.read(reg::INTERRUPT_STATUS);
            if pending & CONFIG_CHANGED != 0 {
                self.transport.registers.write(reg::INTERRUPT_ACK, CONFIG_CHANGED);
                self.look();
            }
        }
        if self.needs_reset {
            self.restart();
        }
    }

    /// Looks at what a change of the configuration tells of: the link, and a fault.
    fn look(&mut self) {
        self.needs_reset |= self.transport.registers.read(reg::STATUS) & status::NEEDS_RESET != 0;
        let link = self.transport.link();
        if link != self.link {
            self.link = link;
            self.counters.link_changes = self.counters.link_changes.wrapping_add(1);
        }
    }

    /// Out of a fault: the device is reset, and what was not sent is lost.
    fn restart(&mut self) {
        self.faults = self.faults.wrapping_add(1);
        self.needs_reset = false;
        if self.transport.reset().is_err() {
            self.dead = true;
            return;
        }
        self.counters.tx_errors = self.counters.tx_errors.wrapping_add(self.tx.used() as u32);
        // SAFETY: the device was reset.
        unsafe {
            drop(self.tx.restart());
            drop(self.rx.restart());
            self.control.restart();
        }
        self.dead = self.begin().is_err();
        if let Some(attention) = self.attention {
            // A reset forgets that interrupts were wanted.
            attention.raise();
        }
    }

    /// Works by interrupts from now on: the handler acknowledges the device's (InterruptACK) and raises `attention`.
    pub fn set_attention(&mut self, attention: &'static Attention) {
        self.attention = Some(attention);
        attention.raise();
    }

    /// Lets interrupts through, or not: a hint to the device, which may send one more.
    pub fn interrupts(&mut self, on: bool) {
        self.rx.interrupts(on);
    }

    /// Times that the device had to be reset after a fault.
    pub fn faults(&self) -> u32 {
        self.faults
    }

    /// Whether the device has given a buffer back that [`receive`](Device::receive) has not looked at.
    pub fn has_work(&self) -> bool {
        self.rx.has_done()
    }

    /// Frames lent to the device: to receive, to transmit.
    pub fn lent(&self) -> [usize; 2] {
        [self.rx.used(), self.tx.used()]
    }

    fn command(&mut self, class: u8, command: u8, data: &[u8]) -> Result<(), Unsupported> {
        if self.dead || !self.transport.has(feature::CTRL_VQ) {
            return Err(Unsupported);
        }
        let registers = &self.transport.registers;
        self.control.command(class, command, data, || registers.write(reg::QUEUE_NOTIFY, CONTROL))
    }
}

impl<'p, M: Registers, C: Coherency + Clone, const RX: usize, const TX: usize> Device<'p>
    for VirtioNic<'_, 'p, M, C, RX, TX>
{
    fn capabilities(&self) -> Capabilities {
        let on = self.transport.has(feature::CSUM);
        Capabilities {
            headroom: self.transport.header(),
            checksum: ChecksumOffload { tcp: on, udp: on, ipv4: false },
            ..Capabilities::plain(Medium::Ethernet, self.setup.ip_mtu)
        }
    }

    fn pool(&self) -> Pool<'p> {
        self.pool
    }

    fn receive(&mut self) -> Option<(Frame<'p>, RxMeta)> {
        if self.dead {
            return None;
        }
        self.reclaim();
        let taken = match self.attention {
            None => self.take(),
            Some(attention) => attention.drain(self, Self::take, Self::rearm),
        };
        if taken.is_none() {
            self.service();
        }
        taken
    }

    fn transmit(&mut self, mut frame: Frame<'p>, meta: TxMeta) -> Result<(), Frame<'p>> {
        if self.tx.is_full() {
            self.reclaim();
        }
        if self.dead || self.tx.is_full() {
            return Err(frame);
        }
        let too_long = frame.len() > self.setup.ip_mtu + crate::ETHERNET_HEADER;
        match frame.push_front(self.transport.header()) {
            Some(octets) if !too_long => header::write(octets, meta.checksum),
            _ => {
                self.counters.tx_errors = self.counters.tx_errors.wrapping_add(1);
                return Ok(());
            }
        }
        self.tx.push(frame, false)
    }

    fn register_waker(&mut self, waker: &Waker) {
        if let Some(attention) = self.attention {
            attention.register(waker);
        }
    }

    fn flush(&mut self) {
        if !self.dead {
            self.kick();
        }
    }

    fn link(&self) -> Link {
        if self.dead { Link::Down } else { self.link }
    }

    fn set_multicast_filter(&mut self, groups: &[Mac]) -> Result<(), Unsupported> {
        let table = control::table(groups)?;
        self.command(control::MAC, control::MAC_TABLE_SET, &table)?;
        if core::mem::take(&mut self.all_groups) {
            self.command(control::RX, control::RX_ALLMULTI, &[0])?;
        }
        Ok(())
    }

    fn receive_all_groups(&mut self) -> Result<(), Unsupported> {
        self.command(control::RX, control::RX_ALLMULTI, &[1])?;
        self.all_groups = true;
        Ok(())
    }

    fn set_promiscuous(&mut self, on: bool) -> Result<(), Unsupported> {
        self.promiscuous = on;
        self.command(control::RX, control::RX_PROMISC, &[on.into()])
    }
}

impl<'p, M: Registers, C: Coherency + Clone, const RX: usize, const TX: usize> Nic<'p>
    for VirtioNic<'_, 'p, M, C, RX, TX>
{
    fn mac(&self) -> Mac {
        self.setup.mac
    }

    fn tend(&mut self, _: Instant) -> Link {
        self.link()
    }

    fn counters(&self) -> Counters {
        self.counters
    }

    fn stop(self) {
        if self.transport.reset().is_ok() {
            // SAFETY: the device was reset.
            unsafe {
                self.rx.release();
                self.tx.release();
            }
        }
    }
}

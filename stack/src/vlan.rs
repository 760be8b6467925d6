//! VLANs: one Ethernet device as several, each of them one VLAN of its trunk (IEEE 802.1Q).
//!
//! A [`Trunk`] owns the device; a [`Port`] is a [`Device`] for one VLAN, or for what has no tag, and is given to the stack as
//! an interface of its own. Tags are put in and taken out where the frame lies.
//!
//! ```text
//!  device ─▶ tag? ── ours ──▶ untagged ─▶ the port that asks, or the queue of another
//!             │  └─ no port has it, a second tag, a VLAN that cannot be ─▶ dropped, counted
//!  device ◀── tag put in front of the EtherType ◀── port
//! ```

use crate::device::{Capabilities, Device, Link, Mac, Medium, RxChecksum, RxMeta, TxChecksum, TxMeta, Unsupported};
use crate::frame::{Frame, Pool};
use core::cell::RefCell;
use core::task::Waker;
use heapless::{Deque, Vec};

/// Ports of one trunk, at most.
pub const MAX_PORTS: usize = 8;

/// Frames that wait for a port while another one asks; more are dropped and counted.
const QUEUE: usize = 16;

/// Octets of a tag.
const TAG: usize = 4;
/// Both MAC addresses, in front of the tag.
const ADDRESSES: usize = 12;
/// The tag's EtherType (IEEE 802.1Q).
const TPID: u16 = 0x8100;
/// That of a service provider's (IEEE 802.1ad), and the ones in use before.
const OTHER_TPIDS: [u16; 3] = [0x88a8, 0x9100, 0x9200];

/// A VLAN's number, 1 to 4094.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct VlanId(u16);

impl VlanId {
    /// `None` for 0, which is no VLAN, and from 4095 on.
    pub const fn new(id: u16) -> Option<Self> {
        if id == 0 || id >= 0xfff { None } else { Some(Self(id)) }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// What was dropped at a trunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TrunkCounters {
    /// Received frames of VLANs that no port has, or without a tag where no port is for these.
    pub unknown: usize,
    /// Received frames with a tag that cannot be: cut off, VLAN 4095, or a second tag behind it.
    pub refused: usize,
    /// Received frames whose port had a full queue.
    pub queue_full: usize,
    /// Frames to send without room in front for a tag.
    pub no_headroom: usize,
}

/// A device whose frames are of several VLANs.
pub struct Trunk<'p, D> {
    inner: RefCell<Hub<'p, D>>,
}

/// A device and its ports by number, without what shares it among them: a [`Trunk`] is one in a cell; programs with threads
/// put one behind a lock.
pub struct Hub<'p, D> {
    device: D,
    ports: Vec<Lane<'p>, MAX_PORTS>,
    counters: TrunkCounters,
}

/// A port as its trunk knows it.
struct Lane<'p> {
    vlan: Option<VlanId>,
    priority: u8,
    waiting: Deque<(Frame<'p>, RxMeta), QUEUE>,
    groups: Vec<Mac, 24>,
    /// Its filter is known, and short enough.
    filtered: bool,
    promiscuous: bool,
}

impl<'p, D: Device<'p>> Trunk<'p, D> {
    /// A trunk on an Ethernet device; `None` on another medium.
    pub fn new(device: D) -> Option<Self> {
        Some(Self { inner: RefCell::new(Hub::new(device)?) })
    }

    /// The port of a VLAN, or, without one, of frames without a tag or with a priority alone. `None` when there is one
    /// already, or [`MAX_PORTS`].
    pub fn port(&self, vlan: Option<VlanId>) -> Option<Port<'_, 'p, D>> {
        let place = self.inner.borrow_mut().add(vlan)?;
        Some(Port { trunk: self, place, vlan })
    }

    /// What was dropped here.
    pub fn counters(&self) -> TrunkCounters {
        self.inner.borrow().counters
    }

    /// The device, for what is none of the ports' business.
    pub fn with_device<R>(&self, f: impl FnOnce(&mut D) -> R) -> R {
        f(&mut self.inner.borrow_mut().device)
    }
}

/// One VLAN of a trunk as a device.
pub struct Port<'t, 'p, D> {
    trunk: &'t Trunk<'p, D>,
    place: usize,
    vlan: Option<VlanId>,
}

impl<'p, D> Port<'_, 'p, D> {
    /// The VLAN.
    pub fn vlan(&self) -> Option<VlanId> {
        self.vlan
    }

    /// Sets the priority code point of frames sent from now on, 0 to 7 (more counts as 7). Frames of the port without a
    /// VLAN have none.
    pub fn set_priority(&mut self, priority: u8) {
        if let Some(lane) = self.trunk.inner.borrow_mut().ports.get_mut(self.place) {
            lane.priority = priority.min(7);
        }
    }
}

/// What a received frame's tag says.
enum Tagged {
    /// It has none, or a priority without a VLAN (taken out).
    No,
    Vlan(VlanId),
    Refused,
}

/// Reads the tag of a frame, and takes it out.
fn untag(frame: &mut Frame<'_>, meta: &mut RxMeta) -> Tagged {
    let ethertype =
        |at: usize, frame: &[u8]| frame.get(at..).and_then(|f| f.first_chunk()).map(|bytes| u16::from_be_bytes(*bytes));
    match ethertype(ADDRESSES, frame) {
        Some(TPID) => {}
        Some(other) if OTHER_TPIDS.contains(&other) => return Tagged::Refused,
        // What is too short has no tag; the stack counts it.
        _ => return Tagged::No,
    }
    let (Some(control), Some(inner)) = (ethertype(ADDRESSES + 2, frame), ethertype(ADDRESSES + TAG, frame)) else {
        return Tagged::Refused;
    };
    if inner == TPID || OTHER_TPIDS.contains(&inner) {
        return Tagged::Refused;
    }
    let vlan = match control & 0xfff {
        0 => None,
        id => match VlanId::new(id) {
            Some(vlan) => Some(vlan),
            None => return Tagged::Refused,
        },
    };
    frame.copy_within(..ADDRESSES, TAG);
    frame.trim_front(TAG);
    if let RxChecksum::Partial { start, .. } = &mut meta.checksum {
        *start = start.saturating_sub(TAG as u16);
    }
    vlan.map_or(Tagged::No, Tagged::Vlan)
}

/// Puts a tag in. `None` without headroom for it; nothing has changed then.
fn tag(frame: &mut Frame<'_>, vlan: VlanId, priority: u8) -> Option<()> {
    frame.push_front(TAG)?;
    frame.copy_within(TAG..TAG + ADDRESSES, 0);
    let control = u16::from(priority) << 13 | vlan.0;
    let [a, b] = TPID.to_be_bytes();
    let [c, d] = control.to_be_bytes();
    frame.get_mut(ADDRESSES..ADDRESSES + TAG)?.copy_from_slice(&[a, b, c, d]);
    Some(())
}

impl<'p, D: Device<'p>> Hub<'p, D> {
    /// A hub on an Ethernet device; `None` on another medium.
    pub fn new(device: D) -> Option<Self> {
        let is_ethernet = device.capabilities().medium == Medium::Ethernet;
        is_ethernet.then(|| Self { device, ports: Vec::new(), counters: TrunkCounters::default() })
    }

    /// Adds the port of a VLAN, as [`Trunk::port`] does; its number.
    pub fn add(&mut self, vlan: Option<VlanId>) -> Option<usize> {
        if self.ports.iter().any(|lane| lane.vlan == vlan) {
            return None;
        }
        let lane =
            Lane { vlan, priority: 0, waiting: Deque::new(), groups: Vec::new(), filtered: false, promiscuous: false };
        self.ports.push(lane).ok()?;
        Some(self.ports.len() - 1)
    }

    /// The device.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// The device, for what is none of the ports' business.
    pub fn device_mut(&mut self) -> &mut D {
        &mut self.device
    }

    /// What was dropped here.
    pub fn counters(&self) -> TrunkCounters {
        self.counters
    }

    /// Whether frames wait for the port at `place`, which the device will not tell of again.
    pub fn holds(&self, place: usize) -> bool {
        self.ports.get(place).is_some_and(|lane| !lane.waiting.is_empty())
    }

    /// Those of the device, with room for the port's tag. Transport checksums are the stack's to compute: not every card
    /// finds them behind a tag.
    pub fn capabilities(&self, place: usize) -> Capabilities {
        let caps = self.device.capabilities();
        let tag = if self.ports.get(place).is_some_and(|lane| lane.vlan.is_some()) { TAG } else { 0 };
        Capabilities { headroom: caps.headroom + tag, ..Capabilities::plain(caps.medium, caps.ip_mtu) }
    }

    /// Sends a frame of the port at `place`.
    ///
    /// # Errors
    /// The frame itself, to be offered again later.
    pub fn transmit(&mut self, place: usize, mut frame: Frame<'p>, meta: TxMeta) -> Result<(), Frame<'p>> {
        let Some((vlan, priority)) = self.ports.get(place).and_then(|lane| lane.vlan.map(|vlan| (vlan, lane.priority)))
        else {
            return self.device.transmit(frame, meta);
        };
        if tag(&mut frame, vlan, priority).is_none() {
            // Offered again it would be as it is.
            self.counters.no_headroom = self.counters.no_headroom.wrapping_add(1);
            return Ok(());
        }
        let meta = match meta.checksum {
            TxChecksum::Partial { start, offset } => {
                TxMeta { checksum: TxChecksum::Partial { start: start + TAG as u16, offset }, ..meta }
            }
            _ => meta,
        };
        self.device.transmit(frame, meta).map_err(|mut frame| {
            untag(&mut frame, &mut RxMeta::default());
            frame
        })
    }

    /// Tells the device of the groups of the port at `place`, as of all others.
    ///
    /// # Errors
    /// [`Unsupported`] as the device's, or when they are too many.
    pub fn set_multicast_filter(&mut self, place: usize, groups: &[Mac]) -> Result<(), Unsupported> {
        if let Some(lane) = self.ports.get_mut(place) {
            lane.groups.clear();
            lane.filtered = lane.groups.extend_from_slice(groups).is_ok();
        }
        self.set_filter()
    }

    /// Has the device receive everything as long as any port wants it.
    ///
    /// # Errors
    /// The device's.
    pub fn set_promiscuous(&mut self, place: usize, on: bool) -> Result<(), Unsupported> {
        if let Some(lane) = self.ports.get_mut(place) {
            lane.promiscuous = on;
        }
        let any = self.ports.iter().any(|lane| lane.promiscuous);
        self.device.set_promiscuous(any)
    }

    /// The next frame for the port at `place`; those for others are queued there. Bounded by what the device has and the
    /// queues hold.
    pub fn receive(&mut self, place: usize) -> Option<(Frame<'p>, RxMeta)> {
        if let Some(waiting) = self.ports.get_mut(place)?.waiting.pop_front() {
            return Some(waiting);
        }
        for _ in 0..QUEUE * MAX_PORTS {
            let (mut frame, mut meta) = self.device.receive()?;
            let vlan = match untag(&mut frame, &mut meta) {
                Tagged::No => None,
                Tagged::Vlan(vlan) => Some(vlan),
                Tagged::Refused => {
                    self.counters.refused = self.counters.refused.wrapping_add(1);
                    continue;
                }
            };
            match self.ports.iter().position(|lane| lane.vlan == vlan) {
                Some(at) if at == place => return Some((frame, meta)),
                Some(at) => {
                    let full = self.ports.get_mut(at).is_none_or(|l| l.waiting.push_back((frame, meta)).is_err());
                    self.counters.queue_full = self.counters.queue_full.wrapping_add(usize::from(full));
                }
                None => self.counters.unknown = self.counters.unknown.wrapping_add(1),
            }
        }
        None
    }

    /// Tells the device which groups all ports want together.
    fn set_filter(&mut self) -> Result<(), Unsupported> {
        let mut all: Vec<Mac, { 4 * MAX_PORTS }> = Vec::new();
        for lane in &self.ports {
            let fits = lane.filtered && lane.groups.iter().all(|mac| all.contains(mac) || all.push(*mac).is_ok());
            if !fits {
                return self.device.receive_all_groups();
            }
        }
        self.device.set_multicast_filter(&all)
    }
}

impl<'p, D: Device<'p>> Device<'p> for Port<'_, 'p, D> {
    fn capabilities(&self) -> Capabilities {
        self.trunk.inner.borrow().capabilities(self.place)
    }

    fn pool(&self) -> Pool<'p> {
        self.trunk.inner.borrow().device.pool()
    }

    fn receive(&mut self) -> Option<(Frame<'p>, RxMeta)> {
        self.trunk.inner.borrow_mut().receive(self.place)
    }

    fn transmit(&mut self, frame: Frame<'p>, meta: TxMeta) -> Result<(), Frame<'p>> {
        self.trunk.inner.borrow_mut().transmit(self.place, frame, meta)
    }

    fn flush(&mut self) {
        self.trunk.inner.borrow_mut().device.flush();
    }

    fn link(&self) -> Link {
        self.trunk.inner.borrow().device.link()
    }

    /// One waker for all ports: who is woken polls each of them.
    fn register_waker(&mut self, waker: &Waker) {
        self.trunk.inner.borrow_mut().device.register_waker(waker);
    }

    fn set_multicast_filter(&mut self, groups: &[Mac]) -> Result<(), Unsupported> {
        self.trunk.inner.borrow_mut().set_multicast_filter(self.place, groups)
    }

    fn receive_all_groups(&mut self) -> Result<(), Unsupported> {
        let inner = &mut *self.trunk.inner.borrow_mut();
        if let Some(lane) = inner.ports.get_mut(self.place) {
            lane.filtered = false;
        }
        inner.set_filter()
    }

    fn set_promiscuous(&mut self, on: bool) -> Result<(), Unsupported> {
        self.trunk.inner.borrow_mut().set_promiscuous(self.place, on)
    }
}

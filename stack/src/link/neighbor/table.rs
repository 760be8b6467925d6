//! The table of neighbours: bounded, and strangers do not push out what is in use.
//!
//! What a socket used lately stays. For a newcomer goes first what failed, then what was merely heard of, then what only
//! replies used, longest unused first. Replies, which any stranger can provoke, get half of the table at most for
//! neighbours that do not answer (RFC 6583 §6).

use super::parked::{Lot, Parked};
use super::{Action, Demand, Heard, NeighborInfo, NeighborSlot, NeighborState, RETRANS};
#[cfg(feature = "ipv6")]
use super::{Timers, Times};
use crate::device::Mac;
use crate::family::IpAddr;
use crate::frame::Frame;
use crate::rng::{Key, Purpose, Secret};
use crate::sockets::demux::Demux;
use crate::stats::{DropReason, Stats};
use crate::time::{Duration, Instant};
use managed::ManagedSlice;

/// What a socket used within this time is in use: REACHABLE_TIME.
const IN_USE: Duration = Duration::from_secs(30);
/// Places looked at to find one to give up: the work per packet is bounded in a table of any size.
const SWEEP: usize = 32;
const NONE: u32 = u32::MAX;
/// Interfaces whose routers' times are kept.
#[cfg(feature = "ipv6")]
const TOLD: usize = 4;

/// Where a packet for a neighbour goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// To this address. The index is good for [`Neighbors::known`] and [`Neighbors::confirm`].
    Known(Mac, u32),
    /// It has to wait for the neighbour; `true`: a request for it is to be sent now.
    Unresolved(u32, bool),
    /// Nowhere: the table is full of neighbours in use.
    Full,
}

/// What a newcomer may push out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    Failed,
    /// Heard of, never used.
    Heard,
    /// Known, not in use by a socket.
    Idle,
    /// Asked for, without an answer for longer than a second, for a reply only.
    Unanswered,
}

/// The neighbours of all interfaces.
pub(crate) struct Neighbors<'a> {
    slots: ManagedSlice<'a, NeighborSlot>,
    limit: usize,
    /// Freed places, linked by `next_free`.
    free: u32,
    /// Places from here on were never taken.
    fresh: usize,
    /// Where the search for a place to give up goes on.
    hand: usize,
    /// When a newcomer was last turned away.
    pressed: Option<Instant>,
    /// Neighbours asked for on behalf of replies only.
    asked_for_replies: usize,
    lot: Lot<'a>,
    /// From the keyed hash of an address to its place.
    index: Demux<'a>,
    key: Key,
    /// The times that routers have told, by interface: of the first few.
    #[cfg(feature = "ipv6")]
    told: heapless::Vec<(u8, Times), TOLD>,
}

impl<'a> Neighbors<'a> {
    /// A table of at most `limit` neighbours, and of at most as many as borrowed storage holds, with at most `park_limit`
    /// packets parked. Borrowed, `index` has room for as many.
    pub fn new(
        slots: ManagedSlice<'a, NeighborSlot>,
        index: Demux<'a>,
        limit: usize,
        park_limit: usize,
        secret: &Secret,
    ) -> Self {
        let limit = match &slots {
            ManagedSlice::Borrowed(s) => limit.min(s.len()),
            #[cfg(feature = "alloc")]
            ManagedSlice::Owned(_) => limit,
        };
        Self {
            slots,
            limit: limit.min(NONE as usize),
            free: NONE,
            fresh: 0,
            hand: 0,
            pressed: None,
            asked_for_replies: 0,
            lot: Lot::new(park_limit),
            index,
            key: secret.key(Purpose::Neighbors),
            #[cfg(feature = "ipv6")]
            told: heapless::Vec::new(),
        }
    }

    /// The MAC address of the neighbour that was at `index`, when it still is and nothing about it is to be done.
    ///
    /// The quick way of an established flow; where it gives nothing, [`lookup`](Self::lookup) decides.
    #[inline]
    pub fn known(&mut self, now: Instant, index: u32, iface: u8, addr: IpAddr) -> Option<Mac> {
        let slot = self.slots.get_mut(index as usize)?;
        let fresh = match slot.state? {
            NeighborState::Reachable => now.since(slot.at) < slot.reachable(),
            // Its timer will ask; until then it is used as it is.
            NeighborState::Delay | NeighborState::Probe => true,
            _ => false,
        };
        if !fresh || slot.iface != iface || slot.addr != addr {
            return None;
        }
        slot.on_used(now, Demand::Socket);
        Some(slot.mac)
    }

    /// Where a packet to `addr` on `iface` goes. Afterwards the entry's [`deadline`](Self::deadline) may have changed.
    pub fn lookup(&mut self, now: Instant, iface: u8, addr: IpAddr, demand: Demand, stats: &mut Stats) -> Lookup {
        let found = self.find(iface, addr);
        let refused = demand == Demand::Reply && self.is_replies_share_spent(found);
        let place = match found {
            _ if refused => None,
            Some(index) => Some(index),
            None => self.make_room(now, Worth::Unanswered, stats).and_then(|index| self.insert(index, iface, addr)),
        };
        let Some(index) = place else {
            self.pressed = Some(now);
            return Lookup::Full;
        };
        self.update(index, |slot| {
            slot.on_used(now, demand);
            slot.on_lookup(now)
        })
        .map_or(Lookup::Full, |sent| match sent {
            Ok(mac) => Lookup::Known(mac, index),
            Err(request) => Lookup::Unresolved(index, request),
        })
    }

    /// A request that was asked for could not be sent for want of a frame: it is tried again soon, and does not count.
    pub fn not_sent(&mut self, now: Instant, index: u32) {
        self.update(index, |slot| slot.on_not_sent(now));
    }

    /// Parks a packet for a neighbour that [`lookup`](Self::lookup) found unresolved; an older one may be dropped for it.
    pub fn park(&mut self, index: u32, frame: Frame<'a>, stats: &mut Stats) {
        if self.lot.park(index, frame).is_some() {
            stats.drop(DropReason::NeighborQueueFull);
        }
    }

    /// As [`park`](Self::park), for a packet that is passed on.
    #[cfg(feature = "forward")]
    pub fn park_transit(&mut self, index: u32, frame: Frame<'a>, stats: &mut Stats) {
        if self.lot.park_transit(index, frame).is_some() {
            stats.drop(DropReason::NeighborQueueFull);
        }
    }

    /// Takes the oldest packet parked for a neighbour that is known now.
    pub fn take_parked(&mut self, index: u32) -> Option<Parked<'a>> {
        self.lot.take(index)
    }

    /// Drops the parked packets that are `unwanted`.
    pub fn drop_parked_if(&mut self, unwanted: impl Fn(&Frame<'a>) -> bool, reason: DropReason, stats: &mut Stats) {
        while self.lot.take_if(&unwanted).is_some() {
            stats.drop(reason);
        }
    }

    /// Packets parked.
    #[cfg(all(test, feature = "alloc"))]
    pub fn parked(&self) -> usize {
        self.lot.len()
    }

    /// A neighbour's address was heard, `answer`: in an answer to us. Refreshes an entry, makes none.
    pub fn on_heard(&mut self, now: Instant, iface: u8, addr: IpAddr, mac: Mac, answer: bool) -> Heard {
        let Some(index) = self.find(iface, addr) else {
            return Heard::Unknown;
        };
        match self.update(index, |slot| slot.on_heard(now, mac, answer)) {
            Some(true) => Heard::Resolved(index),
            _ => Heard::Noted,
        }
    }

    /// A neighbour advertisement for `addr` came. Changes an entry, makes none.
    #[cfg(feature = "ipv6")]
    pub fn on_advert(&mut self, now: Instant, iface: u8, addr: IpAddr, advert: super::Advert) -> Heard {
        let Some(index) = self.find(iface, addr) else {
            return Heard::Unknown;
        };
        self.update_times(index);
        match self.update(index, |slot| slot.on_advert(now, advert)) {
            Some(true) => Heard::Resolved(index),
            _ => Heard::Noted,
        }
    }

    /// A neighbour asked for us (RFC 826): as [`on_heard`](Self::on_heard), but makes an entry where there is room among
    /// those that are known and no socket uses.
    pub fn learn(&mut self, now: Instant, iface: u8, addr: IpAddr, mac: Mac, stats: &mut Stats) -> Heard {
        match self.on_heard(now, iface, addr, mac, false) {
            Heard::Unknown => {}
            known => return known,
        }
        let room = self.make_room(now, Worth::Idle, stats);
        let Some(index) = room.and_then(|index| self.insert(index, iface, addr)) else {
            return Heard::Unknown;
        };
        self.update(index, |slot| {
            slot.state = Some(NeighborState::Stale);
            slot.mac = mac;
            slot.used = now;
        });
        Heard::Noted
    }

    /// What went to the neighbour at `index` arrived: a connection over it made progress (RFC 4861 §7.3.1).
    #[inline]
    pub fn confirm(&mut self, now: Instant, index: u32, iface: u8, addr: IpAddr) {
        if let Some(slot) = self.slots.get_mut(index as usize)
            && slot.is(iface, addr)
            && slot.mac().is_some()
        {
            slot.on_reachable(now);
        }
    }

    /// The entry's timer fired, or may have. Afterwards its [`deadline`](Self::deadline) has changed. When it has failed,
    /// what is parked for it is dropped, but for what is passed on for others: that is to be taken.
    pub fn on_deadline(&mut self, now: Instant, index: u32, stats: &mut Stats) -> Action {
        let action = self.judge_deadline(now, index);
        if action == Action::Failed {
            while self.lot.take_own(index).is_some() {
                stats.drop(DropReason::NeighborFailed);
            }
        }
        action
    }

    fn judge_deadline(&mut self, now: Instant, index: u32) -> Action {
        let parked = self.lot.has(index);
        let pressed = self.pressed.is_some_and(|at| now.since(at) < RETRANS);
        let Some(slot) = self.slots.get(index as usize) else {
            return Action::None;
        };
        let wanted = parked || !slot.waiters.is_empty();
        // While others are turned away, nobody is asked twice for the sake of a reply.
        let due = slot.deadline.is_some_and(|at| now >= at);
        if due && pressed && slot.is_asked_for_reply() && slot.waiters.is_empty() {
            self.remove(index);
            return Action::Failed;
        }
        self.update(index, |slot| slot.on_deadline(now, wanted)).unwrap_or(Action::None)
    }

    /// When the entry's timer is to fire.
    pub fn deadline(&self, index: u32) -> Option<Instant> {
        self.slots.get(index as usize)?.deadline()
    }

    /// The entry, for its scheduler's node and its waiting connections.
    pub fn slot_mut(&mut self, index: u32) -> Option<&mut NeighborSlot> {
        self.slots.get_mut(index as usize)
    }

    /// Whether this neighbour's link-layer address is known.
    #[cfg(feature = "optimistic-dad")]
    pub fn has_mac(&self, iface: u8, addr: IpAddr) -> bool {
        self.find(iface, addr).and_then(|i| self.slots.get(i as usize)).is_some_and(|s| s.mac().is_some())
    }

    /// Whether a route by way of this neighbour should be taken while there is another.
    pub fn is_usable(&self, now: Instant, iface: u8, addr: IpAddr) -> bool {
        self.find(iface, addr).and_then(|i| self.slots.get(i as usize)).is_none_or(|s| s.is_usable(now))
    }

    /// The MAC address of a neighbour, as far as it is known.
    #[cfg(all(feature = "forward", feature = "ipv6"))]
    pub fn mac_of(&self, iface: u8, addr: IpAddr) -> Option<Mac> {
        let slot = self.find(iface, addr).and_then(|i| self.slots.get(i as usize))?;
        (!matches!(slot.state?, NeighborState::Incomplete | NeighborState::Failed)).then_some(slot.mac)
    }

    /// Forgets the neighbours of an interface and drops what is parked for them, for `reason`; `each` sees each one's
    /// place first.
    pub fn remove_iface(
        &mut self,
        iface: u8,
        reason: DropReason,
        stats: &mut Stats,
        mut each: impl FnMut(&mut NeighborSlot),
    ) {
        #[cfg(feature = "ipv6")]
        self.told.retain(|t| t.0 != iface);
        for index in 0..self.fresh as u32 {
            let Some(slot) = self.slots.get_mut(index as usize).filter(|s| s.state.is_some() && s.iface == iface)
            else {
                continue;
            };
            each(slot);
            self.drop_parked(index, reason, stats);
            self.remove(index);
        }
    }

    /// A router has told other times for an interface's IPv6 neighbours. Each takes them when it is heard of next.
    #[cfg(feature = "ipv6")]
    pub fn set_times(&mut self, iface: u8, timers: Timers) {
        let Timers { reachable, retrans } = timers;
        let mut times = self.times(iface);
        times.retrans = retrans;
        times.reachable = reachable.unwrap_or(times.reachable);
        match self.told.iter_mut().find(|t| t.0 == iface) {
            Some(told) => told.1 = times,
            None => _ = self.told.push((iface, times)),
        }
    }

    #[cfg(feature = "ipv6")]
    fn times(&self, iface: u8) -> Times {
        self.told.iter().find(|t| t.0 == iface).map_or(Times::USUAL, |t| t.1)
    }

    /// The neighbours.
    pub fn iter(&self, now: Instant) -> impl Iterator<Item = NeighborInfo> + '_ {
        self.slots.iter().take(self.fresh).filter_map(move |slot| slot.info(now))
    }

    fn drop_parked(&mut self, index: u32, reason: DropReason, stats: &mut Stats) {
        while self.lot.take(index).is_some() {
            stats.drop(reason);
        }
    }

    /// Changes an entry and keeps the count of those asked for on behalf of replies.
    fn update<R>(&mut self, index: u32, change: impl FnOnce(&mut NeighborSlot) -> R) -> Option<R> {
        let slot = self.slots.get_mut(index as usize)?;
        let before = slot.is_asked_for_reply();
        let result = change(slot);
        self.asked_for_replies -= usize::from(before);
        self.asked_for_replies += usize::from(slot.is_asked_for_reply());
        Some(result)
    }

    /// Whether a reply would have one neighbour too many asked for. The one at `found` counts already, if it is asked for.
    fn is_replies_share_spent(&self, found: Option<u32>) -> bool {
        let slot = found.and_then(|i| self.slots.get(i as usize));
        let asks_anew = slot.is_none_or(|s| s.state == Some(NeighborState::Failed));
        asks_anew && self.asked_for_replies >= self.limit.div_ceil(2)
    }

    /// A free place, or one freed by giving up what is worth `most` at most.
    fn make_room(&mut self, now: Instant, most: Worth, stats: &mut Stats) -> Option<u32> {
        if let Some(slot) = self.slots.get(self.free as usize) {
            return Some(core::mem::replace(&mut self.free, slot.next_free));
        }
        if self.fresh < self.limit {
            #[cfg(feature = "alloc")]
            if let ManagedSlice::Owned(slots) = &mut self.slots
                && slots.len() == self.fresh
            {
                slots.push(NeighborSlot::new());
            }
            self.fresh += 1;
            return Some(self.fresh as u32 - 1);
        }
        let victim = self.sweep(now).filter(|&(worth, _)| worth <= most)?.1;
        self.drop_parked(victim, DropReason::NeighborFailed, stats);
        self.remove(victim);
        Some(core::mem::replace(&mut self.free, self.slots.get(victim as usize)?.next_free))
    }

    /// The least worthy, and of these the longest unused, of the next few places.
    fn sweep(&mut self, now: Instant) -> Option<(Worth, u32)> {
        let mut best: Option<(Worth, Instant, u32)> = None;
        let count = self.fresh;
        for _ in 0..count.min(SWEEP) {
            self.hand = if self.hand + 1 < count { self.hand + 1 } else { 0 };
            let Some(slot) = self.slots.get(self.hand) else { continue };
            let Some(worth) = slot.worth(now) else { continue };
            let candidate = (worth, slot.used, self.hand as u32);
            if best.is_none_or(|b| candidate < b) {
                best = Some(candidate);
            }
        }
        best.map(|(worth, _, index)| (worth, index))
    }

    fn hash(&self, iface: u8, addr: IpAddr) -> u32 {
        let mut bytes = [0; 17];
        bytes[0] = iface;
        let len = match addr {
            IpAddr::V4(a) => {
                bytes[1..5].copy_from_slice(&a.octets());
                5
            }
            IpAddr::V6(a) => {
                bytes[1..].copy_from_slice(&a.octets());
                17
            }
        };
        self.key.hash(&bytes[..len]) as u32
    }

    fn find(&self, iface: u8, addr: IpAddr) -> Option<u32> {
        let is = |index: u32| self.slots.get(index as usize).is_some_and(|s| s.is(iface, addr));
        self.index.find(self.hash(iface, addr), is)
    }

    /// Puts a neighbour, in no state yet, into the free place `index`. `None`, and the place free again, where the index
    /// has no room.
    fn insert(&mut self, index: u32, iface: u8, addr: IpAddr) -> Option<u32> {
        self.slots.get_mut(index as usize)?.occupy(iface, addr);
        #[cfg(feature = "ipv6")]
        self.update_times(index);
        if self.index.insert(self.hash(iface, addr), index).is_err() {
            self.release(index);
            return None;
        }
        Some(index)
    }

    /// Takes over what was told of the times on a neighbour's interface.
    #[cfg(feature = "ipv6")]
    fn update_times(&mut self, index: u32) {
        let Some(&NeighborSlot { iface, addr, .. }) = self.slots.get(index as usize) else { return };
        let times = if addr.is_ipv6() { self.times(iface) } else { Times::USUAL };
        if let Some(slot) = self.slots.get_mut(index as usize) {
            slot.times = times;
        }
    }

    fn remove(&mut self, index: u32) {
        let Some((iface, addr)) = self.slots.get(index as usize).map(NeighborSlot::key) else {
            return;
        };
        self.index.remove(self.hash(iface, addr), index);
        self.release(index);
    }

    fn release(&mut self, index: u32) {
        let free = self.free;
        self.update(index, |slot| {
            slot.state = None;
            slot.deadline = None;
            slot.next_free = free;
        });
        self.free = index;
    }
}

impl NeighborSlot {
    /// What it is worth to keep this neighbour; `None`: it stays.
    fn worth(&self, now: Instant) -> Option<Worth> {
        use NeighborState::{Delay, Failed, Incomplete, Probe, Reachable, Stale};
        let in_use = self.demand == Some(Demand::Socket) && now.since(self.used) < IN_USE;
        // Forgetting when a neighbour was asked would have it asked again too soon.
        let just_asked = self.requested.is_some_and(|at| now.since(at) < RETRANS);
        if !self.waiters.is_empty() || in_use || just_asked {
            return None;
        }
        Some(match (self.state?, self.demand) {
            (Failed, _) => Worth::Failed,
            (Incomplete, _) => Worth::Unanswered,
            (Reachable | Stale | Delay | Probe, None) => Worth::Heard,
            (Reachable | Stale | Delay | Probe, Some(_)) => Worth::Idle,
        })
    }

    fn is_asked_for_reply(&self) -> bool {
        self.state == Some(NeighborState::Incomplete) && self.demand == Some(Demand::Reply)
    }
}

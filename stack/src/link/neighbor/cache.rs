//! The neighbours of a small host: a short list, whose entries are looked for one by one and asked for again when they are a
//! minute old. Stands in for `table.rs` without the feature `nud`.
//!
//! Implements RFC 826 with RFC 1122 §2.3.2: entries time out, requests are a second apart, a packet waits for its neighbour.
//! An entry that is old is used while it is asked for, and forgotten when it has not answered three times.

#[cfg(feature = "ipv6")]
use super::Advert;
use super::{Action, Demand, Heard, NO_FRAME_RETRY, NeighborInfo, NeighborState, RETRANS, TRIES};
use crate::device::Mac;
use crate::family::{IpAddr, outside};
use crate::frame::Frame;
use crate::ready::WaitList;
use crate::stats::{DropReason, Stats};
use crate::time::{Duration, Instant};
use core::net::Ipv4Addr;
use managed::ManagedSlice;

/// RFC 1122 §2.3.2.1 wants it in the order of a minute where a neighbour may be a router that answers for others; REACHABLE_TIME
/// of RFC 4861 §10 is 30 seconds.
const TIMEOUT: Duration = Duration::from_secs(if cfg!(feature = "ipv6") { 30 } else { 60 });
/// What a socket used within this time is in use: nobody pushes it out.
const IN_USE: Duration = Duration::from_secs(30);
/// A fresh entry is not overturned for as long: of two that answer one request, the first counts.
const LOCK_TIME: Duration = Duration::from_secs(1);
/// Packets that wait for all neighbours together, one for each at most.
const PARKED: usize = 2;

/// Where a packet for a neighbour goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// To this address. The index is good for [`Neighbors::known`] and [`Neighbors::confirm`].
    Known(Mac, u32),
    /// It has to wait for the neighbour; `true`: a request for it is to be sent now.
    Unresolved(u32, bool),
    /// Nowhere: the list is full of neighbours in use.
    Full,
}

/// What is in a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum State {
    Nobody = 0,
    Asked,
    Known,
}

/// One place of a neighbour list's storage.
// In this order a small processor reaches it by shorter instructions.
#[repr(C)]
pub struct NeighborSlot {
    iface: u8,
    state: State,
    /// Requests since it was last heard of.
    tries: u8,
    mac: Mac,
    addr: IpAddr,
    /// When it was last heard of or, asked for, when it was first.
    at: Instant,
    /// When a socket used it last.
    used: Instant,
    /// When it is asked again, or given up.
    deadline: Option<Instant>,
    /// The scheduler's node, which stays with the place when its neighbour changes.
    pub(crate) node: Option<u32>,
    /// Connections that wait until the neighbour is known.
    pub(crate) waiters: WaitList,
}

impl NeighborSlot {
    /// A free place, all zeros: a `static` list lies in `.bss`.
    pub const fn new() -> Self {
        Self {
            iface: 0,
            state: State::Nobody,
            tries: 0,
            mac: Mac([0; 6]),
            addr: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            at: Instant::ZERO,
            used: Instant::ZERO,
            deadline: None,
            node: None,
            waiters: WaitList::new(),
        }
    }

    /// The interface it is on and its address.
    pub(crate) fn key(&self) -> (u8, IpAddr) {
        (self.iface, self.addr)
    }

    fn is(&self, iface: u8, addr: IpAddr) -> bool {
        self.state != State::Nobody && self.addr == addr && (!cfg!(feature = "interfaces") || self.iface == iface)
    }

    /// Whether another neighbour may have its place.
    fn may_go(&self, now: Instant) -> bool {
        match self.state {
            State::Nobody => true,
            // Forgetting when a neighbour was asked would have it asked again too soon.
            State::Asked => self.waiters.is_empty() && now.since(self.at) >= RETRANS,
            State::Known => self.waiters.is_empty() && now.since(self.used) >= IN_USE,
        }
    }

    fn forget(&mut self) {
        self.state = State::Nobody;
        self.deadline = None;
    }
}

impl Default for NeighborSlot {
    fn default() -> Self {
        Self::new()
    }
}

/// A packet that waits for its neighbour.
pub(crate) struct Parked<'a> {
    pub frame: Frame<'a>,
    neighbor: u32,
}

/// The neighbours of all interfaces.
pub(crate) struct Neighbors<'a> {
    slots: ManagedSlice<'a, NeighborSlot>,
    parked: [Option<Parked<'a>>; PARKED],
}

impl<'a> Neighbors<'a> {
    /// A list of as many neighbours as storage has places; storage that could grow gets `limit` at once.
    pub fn new(slots: ManagedSlice<'a, NeighborSlot>, limit: usize) -> Self {
        #[cfg(feature = "alloc")]
        let slots = match slots {
            ManagedSlice::Owned(mut slots) => {
                slots.resize_with(limit.min(MOST), NeighborSlot::new);
                ManagedSlice::Owned(slots)
            }
            borrowed @ ManagedSlice::Borrowed(_) => borrowed,
        };
        let _ = limit;
        Self { slots, parked: [const { None }; PARKED] }
    }

    /// The MAC address of the neighbour that was at `index`, when it still is and nothing about it is to be done.
    #[inline]
    pub fn known(&mut self, now: Instant, index: u32, iface: u8, addr: IpAddr) -> Option<Mac> {
        let slot = self.slots.get_mut(index as usize)?;
        if slot.state != State::Known || !slot.is(iface, addr) || now.since(slot.at) >= TIMEOUT {
            return None;
        }
        slot.used = now;
        Some(slot.mac)
    }

    /// Where a packet to `addr` on `iface` goes. Afterwards the entry's [`deadline`](Self::deadline) may have changed.
    pub fn lookup(&mut self, now: Instant, iface: u8, addr: IpAddr, demand: Demand, stats: &mut Stats) -> Lookup {
        // Strangers can provoke replies to anybody: these share half of the list (RFC 6583 §6).
        let places = if demand == Demand::Reply { self.slots.len().div_ceil(2) } else { self.slots.len() };
        let found = self.find(iface, addr).or_else(|| self.settle(now, iface, addr, places, stats));
        let Some((index, slot)) = found.and_then(|i| Some((i, self.slots.get_mut(i as usize)?))) else {
            return Lookup::Full;
        };
        if demand == Demand::Socket {
            slot.used = now;
        }
        match slot.state {
            State::Known => {
                if slot.deadline.is_none() && now.since(slot.at) >= TIMEOUT {
                    slot.deadline = Some(now);
                }
                Lookup::Known(slot.mac, index)
            }
            State::Asked => Lookup::Unresolved(index, false),
            State::Nobody => {
                slot.state = State::Asked;
                slot.tries = 1;
                slot.deadline = Some(now + RETRANS);
                Lookup::Unresolved(index, true)
            }
        }
    }

    /// A request that was asked for could not be sent for want of a frame: it is tried again soon, and does not count.
    pub fn not_sent(&mut self, now: Instant, index: u32) {
        if let Some(slot) = self.slots.get_mut(index as usize) {
            slot.tries = slot.tries.saturating_sub(1);
            slot.deadline = Some(now + NO_FRAME_RETRY);
        }
    }

    /// Parks a packet for a neighbour that [`lookup`](Self::lookup) found unresolved: the newest (RFC 1122 §2.3.2.2).
    pub fn park(&mut self, index: u32, frame: Frame<'a>, stats: &mut Stats) {
        let of_it = |p: &Option<Parked<'a>>| p.as_ref().is_some_and(|p| p.neighbor == index);
        let at = self.parked.iter().position(of_it).or_else(|| self.parked.iter().position(Option::is_none));
        let out = match at.and_then(|at| self.parked.get_mut(at)) {
            Some(place) => place.replace(Parked { frame, neighbor: index }).is_some(),
            None => true,
        };
        if out {
            stats.drop(DropReason::NeighborQueueFull);
        }
    }

    /// Takes the packet parked for a neighbour that is known now.
    #[inline(never)]
    pub fn take_parked(&mut self, index: u32) -> Option<Parked<'a>> {
        self.parked.iter_mut().find_map(|p| p.take_if(|p| p.neighbor == index))
    }

    /// Drops the parked packets that are `unwanted`.
    pub fn drop_parked_if(&mut self, unwanted: impl Fn(&Frame<'a>) -> bool, reason: DropReason, stats: &mut Stats) {
        for place in &mut self.parked {
            if place.take_if(|p| unwanted(&p.frame)).is_some() {
                stats.drop(reason);
            }
        }
    }

    /// A neighbour's address was heard. Refreshes an entry, makes none.
    pub fn on_heard(&mut self, now: Instant, iface: u8, addr: IpAddr, mac: Mac, _answer: bool) -> Heard {
        let Some((index, slot)) = self.find(iface, addr).and_then(|i| Some((i, self.slots.get_mut(i as usize)?)))
        else {
            return Heard::Unknown;
        };
        let asked = slot.state == State::Asked;
        if !asked && slot.mac != mac && now.since(slot.at) < LOCK_TIME {
            return Heard::Noted;
        }
        slot.state = State::Known;
        slot.mac = mac;
        slot.at = now;
        slot.tries = 0;
        slot.deadline = None;
        if asked { Heard::Resolved(index) } else { Heard::Noted }
    }

    /// A neighbour advertisement came. Refreshes an entry, makes none.
    //= https://www.rfc-editor.org/rfc/rfc4861#section-7.2.5
    //# If the Override flag is clear and the supplied link-layer address
    //# differs from that in the cache, then one of two actions takes
    //# place:
    // Either way the address stays, and the next use asks for it.
    #[cfg(feature = "ipv6")]
    pub fn on_advert(&mut self, now: Instant, iface: u8, addr: IpAddr, advert: Advert) -> Heard {
        let Some((index, slot)) = self.find(iface, addr).and_then(|i| Some((i, self.slots.get_mut(i as usize)?)))
        else {
            return Heard::Unknown;
        };
        let asked = slot.state == State::Asked;
        let other = advert.mac.is_some_and(|mac| mac != slot.mac);
        if asked && advert.mac.is_none() {
            return Heard::Noted;
        }
        let taken = asked || !other || advert.overrides;
        if taken {
            slot.mac = advert.mac.unwrap_or(slot.mac);
            slot.state = State::Known;
        }
        if taken && advert.solicited {
            (slot.at, slot.tries, slot.deadline) = (now, 0, None);
        } else if asked || other {
            // Known, but not that it receives what we send (RFC 4861: STALE).
            (slot.at, slot.tries, slot.deadline) = (now - TIMEOUT, 0, None);
        }
        if asked { Heard::Resolved(index) } else { Heard::Noted }
    }

    /// A neighbour asked for us (RFC 826): as [`on_heard`](Self::on_heard), but makes an entry where there is room.
    pub fn learn(&mut self, now: Instant, iface: u8, addr: IpAddr, mac: Mac, stats: &mut Stats) -> Heard {
        if self.find(iface, addr).is_none()
            && let Some(index) = self.settle(now, iface, addr, self.slots.len(), stats)
            && let Some(slot) = self.slots.get_mut(index as usize)
        {
            slot.state = State::Known;
            slot.mac = mac;
        }
        self.on_heard(now, iface, addr, mac, false)
    }

    /// What went to the neighbour at `index` arrived: a connection over it made progress.
    #[inline]
    pub fn confirm(&mut self, now: Instant, index: u32, iface: u8, addr: IpAddr) {
        if let Some(slot) = self.slots.get_mut(index as usize)
            && slot.state == State::Known
            && slot.is(iface, addr)
        {
            slot.at = now;
            slot.tries = 0;
            slot.deadline = None;
        }
    }

    /// The entry's timer fired, or may have. Afterwards its [`deadline`](Self::deadline) has changed. When it has failed,
    /// what is parked for it is dropped.
    pub fn on_deadline(&mut self, now: Instant, index: u32, stats: &mut Stats) -> Action {
        let Some(slot) = self.slots.get_mut(index as usize) else { return Action::None };
        if slot.deadline.is_none_or(|at| now < at) {
            return Action::None;
        }
        if slot.tries >= TRIES {
            slot.forget();
            if self.take_parked(index).is_some() {
                stats.drop(DropReason::NeighborFailed);
            }
            return Action::Failed;
        }
        slot.tries += 1;
        slot.deadline = Some(now + RETRANS);
        let unicast = (slot.state == State::Known).then_some(slot.mac);
        Action::Request { iface: slot.iface, addr: slot.addr, unicast }
    }

    /// When the entry's timer is to fire.
    pub fn deadline(&self, index: u32) -> Option<Instant> {
        self.slots.get(index as usize)?.deadline
    }

    /// The entry, for its scheduler's node and its waiting connections.
    pub fn slot_mut(&mut self, index: u32) -> Option<&mut NeighborSlot> {
        self.slots.get_mut(index as usize)
    }

    /// Whether a route by way of this neighbour should be taken while there is another: there is none.
    pub fn is_usable(&self, _: Instant, _: u8, _: IpAddr) -> bool {
        true
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
        for index in 0..self.slots.len() as u32 {
            let Some(slot) = self.slots.get_mut(index as usize).filter(|s| s.iface == iface) else { continue };
            each(slot);
            slot.forget();
            if self.take_parked(index).is_some() {
                stats.drop(reason);
            }
        }
    }

    /// The neighbours.
    pub fn iter(&self, now: Instant) -> impl Iterator<Item = NeighborInfo> + '_ {
        self.slots.iter().filter_map(move |slot| {
            let state = match slot.state {
                State::Nobody => return None,
                State::Asked => NeighborState::Incomplete,
                State::Known if slot.tries > 0 => NeighborState::Probe,
                State::Known if now.since(slot.at) >= TIMEOUT => NeighborState::Stale,
                State::Known => NeighborState::Reachable,
            };
            let mac = (slot.state == State::Known).then_some(slot.mac);
            Some(NeighborInfo { iface: usize::from(slot.iface), addr: outside(slot.addr), mac, state })
        })
    }

    #[cfg_attr(target_os = "none", inline(never))]
    fn find(&self, iface: u8, addr: IpAddr) -> Option<u32> {
        self.slots.iter().position(|slot| slot.is(iface, addr)).map(|index| index as u32)
    }

    /// Gives a neighbour, in no state yet, one of the first so many places: a free one, or that of who has not answered for
    /// longest, or of who was unused for longest.
    #[cfg_attr(target_os = "none", inline(never))]
    fn settle(&mut self, now: Instant, iface: u8, addr: IpAddr, places: usize, stats: &mut Stats) -> Option<u32> {
        let mut best: Option<(u32, State, Instant)> = None;
        for (index, slot) in self.slots.iter().take(places).enumerate() {
            if slot.may_go(now) && best.is_none_or(|(_, state, used)| (slot.state, slot.used) < (state, used)) {
                best = Some((index as u32, slot.state, slot.used));
            }
        }
        let (index, _, _) = best?;
        if self.take_parked(index).is_some() {
            stats.drop(DropReason::NeighborFailed);
        }
        let slot = self.slots.get_mut(index as usize)?;
        slot.forget();
        (slot.iface, slot.addr, slot.at, slot.used) = (iface, addr, now, Instant::ZERO);
        Some(index)
    }
}

/// Neighbours at most, whatever is configured: each look-up is a look at all.
#[cfg(feature = "alloc")]
const MOST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::PoolMemory;
    use Demand::{Reply, Socket};

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
    /// Seconds after which an entry is old.
    const OLD: u64 = TIMEOUT.as_micros() / 1_000_000;
    const OTHER: Mac = Mac([2, 0, 0, 0, 0, 2]);

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    fn secs(n: u64) -> Instant {
        Instant::from_secs(100 + n)
    }

    fn with_list(check: impl FnOnce(&mut Neighbors<'_>, &mut Stats)) {
        let mut slots = [const { NeighborSlot::new() }; 4];
        check(&mut Neighbors::new(ManagedSlice::Borrowed(&mut slots), 4), &mut Stats::new());
    }

    #[test]
    fn a_neighbour_is_asked_for_three_times_a_second_apart_and_then_forgotten() {
        with_list(|n, stats| {
            let Lookup::Unresolved(index, true) = n.lookup(secs(0), 0, ip(9), Socket, stats) else {
                panic!("a request")
            };
            assert_eq!(n.lookup(secs(0), 0, ip(9), Socket, stats), Lookup::Unresolved(index, false));
            for second in 1..=2 {
                assert_eq!(n.deadline(index), Some(secs(second)));
                let request = Action::Request { iface: 0, addr: ip(9), unicast: None };
                assert_eq!(n.on_deadline(secs(second), index, stats), request);
            }
            assert_eq!(n.on_deadline(secs(2), index, stats), Action::None);
            assert_eq!(n.on_deadline(secs(3), index, stats), Action::Failed);
            assert_eq!((n.deadline(index), n.iter(secs(3)).count()), (None, 0));
        });
    }

    #[test]
    fn the_newest_packet_waits_for_its_neighbour_and_leaves_when_it_answers() {
        let memory = PoolMemory::<64, 4>::new();
        let (mut slots, mut stats) = ([const { NeighborSlot::new() }; 4], Stats::new());
        let mut n = Neighbors::new(ManagedSlice::Borrowed(&mut slots), 4);
        let frame = |octet: u8| {
            let mut frame = memory.pool().take(0).expect("a frame");
            frame.extend(&[octet]).expect("room");
            frame
        };
        for neighbor in 1..=3 {
            let Lookup::Unresolved(index, true) = n.lookup(secs(0), 0, ip(neighbor), Socket, &mut stats) else {
                panic!("a request")
            };
            n.park(index, frame(neighbor), &mut stats);
        }
        assert_eq!(memory.pool().free(), 2, "two packets wait at most");
        let Lookup::Unresolved(first, false) = n.lookup(secs(0), 0, ip(1), Socket, &mut stats) else { panic!("asked") };
        n.park(first, frame(77), &mut stats);
        assert_eq!(n.on_heard(secs(1), 0, ip(1), MAC, true), Heard::Resolved(first));
        assert_eq!(n.take_parked(first).map(|p| p.frame[0]), Some(77));
        assert!(n.take_parked(first).is_none());
        assert_eq!(n.lookup(secs(1), 0, ip(1), Socket, &mut stats), Lookup::Known(MAC, first));
        n.drop_parked_if(|_| true, DropReason::SourceGone, &mut stats);
        assert_eq!(memory.pool().free(), 4);
    }

    #[test]
    fn an_old_entry_is_used_while_it_is_asked_for_and_forgotten_when_it_does_not_answer() {
        with_list(|n, stats| {
            n.learn(secs(0), 0, ip(9), MAC, stats);
            let Lookup::Known(_, index) = n.lookup(secs(OLD - 1), 0, ip(9), Socket, stats) else { panic!("known") };
            assert_eq!(n.deadline(index), None);
            assert_eq!(n.known(secs(OLD), index, 0, ip(9)), None);
            assert_eq!(n.lookup(secs(OLD), 0, ip(9), Socket, stats), Lookup::Known(MAC, index));
            let request = Action::Request { iface: 0, addr: ip(9), unicast: Some(MAC) };
            assert_eq!(n.on_deadline(secs(OLD), index, stats), request);
            n.confirm(secs(OLD), index, 0, ip(9));
            assert_eq!(n.known(secs(2 * OLD - 1), index, 0, ip(9)), Some(MAC));
            assert_eq!(n.lookup(secs(2 * OLD), 0, ip(9), Socket, stats), Lookup::Known(MAC, index));
            for second in 2 * OLD..=2 * OLD + 2 {
                assert_eq!(n.on_deadline(secs(second), index, stats), request);
            }
            assert_eq!(n.on_deadline(secs(2 * OLD + 3), index, stats), Action::Failed);
            assert!(matches!(n.lookup(secs(2 * OLD + 3), 0, ip(9), Socket, stats), Lookup::Unresolved(_, true)));
        });
    }

    #[test]
    fn a_fresh_entry_is_not_overturned_for_a_second() {
        with_list(|n, stats| {
            n.learn(secs(0), 0, ip(9), MAC, stats);
            n.on_heard(secs(0), 0, ip(9), OTHER, true);
            assert_eq!(n.lookup(secs(0), 0, ip(9), Socket, stats), Lookup::Known(MAC, 0));
            n.on_heard(secs(1), 0, ip(9), OTHER, false);
            assert_eq!(n.lookup(secs(1), 0, ip(9), Socket, stats), Lookup::Known(OTHER, 0));
            let elsewhere = n.on_heard(secs(1), 1, ip(9), MAC, true);
            assert_eq!(elsewhere, if cfg!(feature = "interfaces") { Heard::Unknown } else { Heard::Noted });
        });
    }

    /// RFC 4861 §7.2.5, with one state for STALE, DELAY and PROBE: an old entry.
    #[cfg(feature = "ipv6")]
    #[test]
    fn an_advertisement_does_what_its_flags_say() {
        let advert = |mac, solicited, overrides| Advert { mac, solicited, overrides };
        let asked = |n: &mut Neighbors<'_>, stats: &mut Stats, second| {
            matches!(n.lookup(secs(second), 0, ip(9), Socket, stats), Lookup::Known(..)) && n.deadline(0).is_some()
        };
        with_list(|n, stats| {
            assert_eq!(n.on_advert(secs(0), 0, ip(9), advert(Some(MAC), true, true)), Heard::Unknown);
            n.lookup(secs(0), 0, ip(9), Socket, stats);
            assert_eq!(n.on_advert(secs(0), 0, ip(9), advert(None, true, true)), Heard::Noted, "it says nothing");
            assert_eq!(n.on_advert(secs(0), 0, ip(9), advert(Some(MAC), true, false)), Heard::Resolved(0));
            assert_eq!(n.lookup(secs(1), 0, ip(9), Socket, stats), Lookup::Known(MAC, 0));
            assert!(!asked(n, stats, 1), "it has answered");
            // Another address without the flag: the old one stays, and is asked for.
            n.on_advert(secs(1), 0, ip(9), advert(Some(OTHER), true, false));
            assert!(asked(n, stats, 1));
            assert_eq!(n.lookup(secs(1), 0, ip(9), Socket, stats), Lookup::Known(MAC, 0));
            // It confirms itself, without the option.
            n.on_advert(secs(2), 0, ip(9), advert(None, true, false));
            assert!(!asked(n, stats, 2));
            // Another address with the flag takes its place; that it receives is not known yet.
            n.on_advert(secs(3), 0, ip(9), advert(Some(OTHER), false, true));
            assert!(asked(n, stats, 3));
            assert_eq!(n.lookup(secs(3), 0, ip(9), Socket, stats), Lookup::Known(OTHER, 0));
            // What nobody asked for says nothing new of the same address.
            n.on_advert(secs(3), 0, ip(9), advert(Some(OTHER), false, true));
            assert!(asked(n, stats, 3));
        });
    }

    /// RFC 6583: what strangers provoke leaves room for sockets, and what sockets use stays.
    #[test]
    fn replies_to_strangers_take_half_of_the_list_and_push_out_nobody_in_use() {
        with_list(|n, stats| {
            let asks = |n: &mut Neighbors<'_>, stats: &mut Stats, now, addr, demand| {
                n.lookup(now, 0, ip(addr), demand, stats) != Lookup::Full
            };
            assert_eq!([1, 2, 3].map(|a| asks(n, stats, secs(0), a, Reply)), [true, true, false]);
            assert_eq!([4, 5, 6].map(|a| asks(n, stats, secs(0), a, Socket)), [true, true, false]);
            for a in [4, 5] {
                n.on_heard(secs(0), 0, ip(a), MAC, true);
            }
            assert_eq!([7, 8, 9].map(|a| asks(n, stats, secs(1), a, Socket)), [true, true, false]);
            let known = n.iter(secs(1)).filter(|info| info.mac.is_some()).count();
            assert_eq!(known, 2, "those in use are there");
            assert!(asks(n, stats, secs(30), 10, Socket) && asks(n, stats, secs(30), 11, Socket));
        });
    }

    #[test]
    fn an_interface_that_is_removed_takes_its_neighbours_along() {
        with_list(|n, stats| {
            n.learn(secs(0), 0, ip(1), MAC, stats);
            n.learn(secs(0), 1, ip(2), MAC, stats);
            let mut seen = 0;
            n.remove_iface(0, DropReason::NoRoute, stats, |_| seen += 1);
            assert_eq!(
                (seen > 0, n.iter(secs(0)).map(|i| i.iface).collect::<heapless::Vec<_, 4>>().as_slice()),
                (true, &[1][..])
            );
        });
    }
}

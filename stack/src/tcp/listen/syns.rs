//! The SYN queue: handshakes that wait for their last ACK, in a table of fixed size.
//!
//! The table is set-associative: the keyed hash of the 4-tuple chooses a set of four to seven places, so that a SYN costs
//! the same whatever the size of the table and whatever the peers choose. The last place of a set is for cookies. A full
//! set gives up an entry that nobody misses: one whose cookie has left, or one that did not answer for a second. If there
//! is none, the new SYN gets no place, but a SYN|ACK with a cookie at once.
//!
//! ```text
//!            owe                  commit
//!   claim ────────▶ owed ─────────────────────▶ sent 1 ─ 1 s ─┐
//!                    ▲                          sent 2 ─ 2 s ─┤
//!                    │  on_deadline                  …        │      after the 8th: 60 s, then the entry goes
//!                    └────────────────────────────────────────┘
//! ```
//!
//! Entries that wait equally long are in one list, in the order of their ends: no heap is needed.

use crate::family::IpAddr;
use crate::grow::{grow, most};
use crate::seq::Seq;
use crate::sockets::demux::Tuple;
use crate::time::{Duration, Instant};
use core::net::Ipv4Addr;
use managed::ManagedSlice;

const NONE: u16 = u16::MAX;
/// Places per set, at least, in a table that has as many.
const WAYS: usize = 4;
/// Places that are used, if there are as many, however small the backlog: handshakes are not connections yet.
const LEAST: usize = 8;
/// The most places.
const MAX: usize = 1 << 15;

//= https://www.rfc-editor.org/rfc/rfc9293#section-3.8.3
//# In particular, R2 for a SYN segment MUST be set large enough to provide retransmission of the segment for at least 3
//# minutes (MUST-23).
/// The first SYN|ACK and seven repeats, at most: 183 seconds.
const SENDS: u8 = 8;
/// The longest wait between two of them, as a connection's RTO (RFC 6298 §2.5).
const LONGEST_WAIT: u32 = 60;
/// Lists: what is owed, then those that wait after the first, second … SYN|ACK.
const LISTS: usize = SENDS as usize + 1;
const OWED: u8 = 0;
const FREE: u8 = u8::MAX;

/// A peer's doubts are answered this often at most (100 ms); its own retransmissions come far less often.
const ANSWER_SPACING: u32 = 100_000;

/// No window scale.
pub(super) const NO_SCALE: u8 = u8::MAX;

/// One place of a listener's storage: for a handshake, and, apart from that, for a connection to be accepted.
#[derive(Clone, Debug)]
// In this order a small processor reaches it by shorter instructions.
#[repr(C)]
pub(crate) struct SynSlot {
    pub(super) list: u8,
    /// SYN|ACKs that the timer has sent.
    pub(super) sent: u8,
    /// What is owed answers the peer, and is not the timer's.
    pub(super) is_answer: bool,
    /// A good ACK came and found the accept queue full.
    pub(super) is_acked: bool,
    /// A SYN|ACK was sent more than once.
    pub(super) is_repeated: bool,
    /// Its ISS is a cookie: the handshake can be finished without the entry.
    pub(super) is_cookie: bool,
    pub(super) has_timestamps: bool,
    pub(super) sack_permitted: bool,
    /// Both sides take ECN.
    pub(super) has_ecn: bool,
    /// The peer's shift, or `NO_SCALE`.
    pub(super) scale: u8,
    pub(super) next: u16,
    pub(super) prev: u16,
    pub(super) born: u16,
    /// The MSS option; 0: none came.
    pub(super) mss: u16,
    pub(super) window: u16,
    /// When the latest SYN|ACK left: low bits of the microseconds.
    pub(super) sent_at: u32,
    pub(super) iss: Seq,
    pub(super) irs: Seq,
    pub(super) ts_recent: u32,
    pub(super) tuple: Tuple,
    /// A cell of the ring of connections to be accepted.
    pub(super) accepted: u32,
}

impl SynSlot {
    /// A place of storage, all zeros, so that a `static` table lies in `.bss`; a listener makes a free one of it.
    pub const fn blank() -> Self {
        Self { next: 0, prev: 0, scale: 0, list: OWED, ..Self::new() }
    }

    /// A free place.
    pub const fn new() -> Self {
        const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Self {
            tuple: Tuple { local_addr: NOBODY, remote_addr: NOBODY, local_port: 0, remote_port: 0 },
            iss: Seq::new(0),
            irs: Seq::new(0),
            ts_recent: 0,
            sent_at: 0,
            accepted: 0,
            mss: 0,
            window: 0,
            next: NONE,
            prev: NONE,
            born: 0,
            scale: NO_SCALE,
            has_timestamps: false,
            sack_permitted: false,
            has_ecn: false,
            is_cookie: false,
            is_acked: false,
            is_repeated: false,
            is_answer: false,
            sent: 0,
            list: FREE,
        }
    }

    /// Whether a cookie does as well as the entry: the peer has it.
    const fn is_dispensable(&self) -> bool {
        self.is_cookie && self.sent > 0
    }

    /// Whether something is lost with the entry that would be missed.
    const fn is_needed(&self) -> bool {
        match (self.is_acked, self.sent) {
            // The peer has no answer yet.
            (_, 0) => true,
            // It believes in the connection, and would be reset; with a cookie, it would not be asked again.
            (true, _) => true,
            // Its ACK may be on its way, and would be answered by a reset.
            (false, 1) => !self.is_cookie,
            // It did not answer within a second: its address may be a lie.
            (false, _) => false,
        }
    }
}

/// What became of a new handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claimed {
    /// It has a place. `lost`: one without a cookie had to go for it.
    Place { lost: bool },
    /// All of its set are needed.
    Crowded,
    /// There is no memory for the table.
    NoMemory,
}

#[derive(Clone, Copy, Debug)]
struct Ends {
    head: u16,
    tail: u16,
}

/// The table and its lists.
pub(super) struct SynQueue<'a> {
    pub(super) slots: ManagedSlice<'a, SynSlot>,
    count: u16,
    ways: u16,
    clock: u16,
    /// SYN|ACKs for a peer that does not answer.
    sends: u8,
    lists: [Ends; LISTS],
}

impl<'a> SynQueue<'a> {
    /// A table over free places, of which `count` are used, or [`LEAST`]; an owned one makes them when the first SYN comes.
    /// Handshakes are given up after the first wait that ends no earlier than `patience`.
    pub fn new(slots: ManagedSlice<'a, SynSlot>, count: usize, patience: Duration) -> Self {
        let count = most(&slots, count.max(LEAST)).min(MAX);
        let ways = count.checked_div((count / WAYS).max(1)).unwrap_or(0);
        let lists = [Ends { head: NONE, tail: NONE }; LISTS];
        let patience = u32::try_from(patience.as_micros()).unwrap_or(u32::MAX);
        let (mut sends, mut total) = (1, wait(1));
        while sends < SENDS && total < patience {
            sends += 1;
            total += wait(sends);
        }
        Self { slots, count: count as u16, ways: ways as u16, clock: 0, sends, lists }
    }

    /// How many handshakes there can be.
    pub const fn count(&self) -> u16 {
        self.count
    }

    /// The handshake of this 4-tuple, whose hash is `hash`.
    pub fn find(&self, hash: u32, tuple: &Tuple) -> Option<u16> {
        let start = self.set(hash);
        let set = self.slots.get(usize::from(start)..usize::from(start + self.ways))?;
        let at = set.iter().position(|slot| slot.list != FREE && slot.tuple == *tuple)?;
        Some(start + at as u16)
    }

    #[cfg_attr(target_os = "none", inline(never))]
    pub fn get(&self, index: u16) -> Option<&SynSlot> {
        self.slots.get(usize::from(index)).filter(|slot| slot.list != FREE)
    }

    #[cfg_attr(target_os = "none", inline(never))]
    fn get_mut(&mut self, index: u16) -> Option<&mut SynSlot> {
        self.slots.get_mut(usize::from(index)).filter(|slot| slot.list != FREE)
    }

    //= https://www.rfc-editor.org/rfc/rfc3168#section-6.1.1
    //# If a host has received at least one non-ECN-setup SYN or non-ECN-setup SYN-ACK packet, then it SHOULD NOT set ECT on
    //# data packets.
    /// The SYN came again; `offers`: with an offer of ECN.
    pub fn compare_offers(&mut self, index: u16, offers: bool) {
        if let Some(entry) = self.get_mut(index) {
            entry.has_ecn &= offers;
        }
    }

    /// A place for a new handshake under `hash`. A full set gives up, of those that are not needed, the oldest.
    pub fn claim(&mut self, hash: u32, entry: &SynSlot) -> Claimed {
        let count = usize::from(self.count);
        if !grow(&mut self.slots, count, count, count, SynSlot::new) {
            return Claimed::NoMemory;
        }
        let start = self.set(hash);
        let clock = self.clock;
        let rank = |slot: &SynSlot| match slot.list {
            FREE => (0, 0),
            _ => (1, u16::MAX - clock.wrapping_sub(slot.born)),
        };
        let Some(set) = self.slots.get(usize::from(start)..usize::from(start + self.ways)) else {
            return Claimed::NoMemory;
        };
        let places = set.iter().enumerate().filter(|(_, slot)| slot.list == FREE || !slot.is_needed());
        let Some((at, victim)) = places.min_by_key(|(_, slot)| rank(slot)) else { return Claimed::Crowded };
        let lost = victim.list != FREE && !victim.is_dispensable();
        let index = start + at as u16;
        self.release(index);
        let Some(slot) = self.slots.get_mut(usize::from(index)) else { return Claimed::NoMemory };
        let accepted = slot.accepted;
        *slot = SynSlot { born: clock, accepted, list: FREE, ..entry.clone() };
        self.clock = clock.wrapping_add(1);
        self.append(index, OWED);
        Claimed::Place { lost }
    }

    /// Whether a new handshake under `hash` takes the last free place or displaces another: its ISS must be a cookie, so
    /// that it can make way for the next.
    pub fn is_tight(&self, hash: u32) -> bool {
        let start = self.set(hash);
        let set = self.slots.get(usize::from(start)..usize::from(start + self.ways));
        set.is_some_and(|set| set.iter().filter(|slot| slot.list == FREE).count() <= 1)
    }

    /// Forgets a handshake.
    pub fn release(&mut self, index: u16) {
        self.unlink(index);
    }

    /// Forgets the handshakes with `addr` of ours. Looks through the table.
    pub fn release_from(&mut self, addr: IpAddr) {
        for index in 0..self.count {
            if self.get(index).is_some_and(|slot| slot.tuple.local_addr == addr) {
                self.release(index);
            }
        }
    }

    /// The handshake whose SYN|ACK is to be sent now.
    pub fn owed(&self) -> Option<u16> {
        self.lists.first().map(|list| list.head).filter(|&head| head != NONE)
    }

    /// The peer sent something that a SYN|ACK answers (its SYN again, a segment out of place); returns whether it will be
    /// answered.
    pub fn answer(&mut self, index: u16, now: Instant) -> bool {
        let Some(slot) = self.get_mut(index) else { return false };
        if slot.list == OWED {
            return true;
        }
        if (now.as_micros() as u32).wrapping_sub(slot.sent_at) < ANSWER_SPACING {
            return false;
        }
        slot.is_answer = true;
        self.relist(index, OWED);
        true
    }

    /// A good ACK came, but nobody has room for the connection: the peer believes in it already. Its SYN|ACK is repeated
    /// from the beginning, since the peer answers each, until there is room or the peer is gone.
    pub fn acknowledged(&mut self, index: u16, now: Instant) {
        let Some(slot) = self.get_mut(index) else { return };
        slot.is_acked = true;
        slot.is_repeated = true;
        slot.sent = 1;
        slot.sent_at = now.as_micros() as u32;
        self.relist(index, 1);
    }

    /// The owed SYN|ACK of this handshake has left.
    pub fn commit(&mut self, index: u16, now: Instant) {
        let Some(slot) = self.get_mut(index) else { return };
        slot.is_repeated |= slot.sent > 0;
        if !slot.is_answer || slot.sent == 0 {
            slot.sent += 1;
        }
        slot.is_answer = false;
        slot.sent_at = now.as_micros() as u32;
        let list = slot.sent.min(self.sends);
        self.relist(index, list);
    }

    /// Owes what the timers owe, and forgets handshakes whose peers did not answer in all that time.
    pub fn on_deadline(&mut self, now: Instant) {
        for list in 1..LISTS as u8 {
            while let Some(head) = self.head_of(list).filter(|&head| self.rest(head, list, now) == 0) {
                if list == self.sends {
                    self.release(head);
                } else {
                    self.relist(head, OWED);
                }
            }
        }
    }

    /// When the first of the timers ends, as seen at `now`, which is not before the latest call.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let mut least = u32::MAX;
        for list in 1..LISTS as u8 {
            if let Some(head) = self.head_of(list) {
                least = least.min(self.rest(head, list, now));
            }
        }
        (least != u32::MAX).then(|| now + Duration::from_micros(u64::from(least)))
    }

    /// When the latest SYN|ACK of a handshake left.
    pub fn sent_at(&self, index: u16, now: Instant) -> Instant {
        self.get(index).map_or(now, |slot| sent_at(slot, now))
    }

    #[inline]
    fn set(&self, hash: u32) -> u16 {
        let sets = self.count.checked_div(self.ways).unwrap_or(0);
        let set = ((u64::from(hash) * u64::from(sets)) >> 32) as u16;
        set * self.ways
    }

    fn head_of(&self, list: u8) -> Option<u16> {
        self.lists.get(usize::from(list)).map(|ends| ends.head).filter(|&head| head != NONE)
    }

    /// For how many microseconds a handshake still waits in a list.
    #[cfg_attr(target_os = "none", inline(never))]
    fn rest(&self, index: u16, list: u8, now: Instant) -> u32 {
        let waited = self.get(index).map_or(0, |slot| (now.as_micros() as u32).wrapping_sub(slot.sent_at));
        wait(list).saturating_sub(waited)
    }

    fn relist(&mut self, index: u16, list: u8) {
        self.unlink(index);
        self.append(index, list);
    }

    #[cfg_attr(target_os = "none", inline(never))]
    fn append(&mut self, index: u16, list: u8) {
        let Some(ends) = self.lists.get_mut(usize::from(list)) else { return };
        let last = core::mem::replace(&mut ends.tail, index);
        if last == NONE {
            ends.head = index;
        }
        if let Some(slot) = self.slots.get_mut(usize::from(last)) {
            slot.next = index;
        }
        if let Some(slot) = self.slots.get_mut(usize::from(index)) {
            (slot.prev, slot.next, slot.list) = (last, NONE, list);
        }
    }

    /// Takes a handshake out of its list, which frees its place.
    fn unlink(&mut self, index: u16) {
        let Some(slot) = self.get_mut(index) else { return };
        let (prev, next, list) = (slot.prev, slot.next, slot.list);
        slot.list = FREE;
        let Some(ends) = self.lists.get_mut(usize::from(list)) else { return };
        if prev == NONE {
            ends.head = next;
        }
        if next == NONE {
            ends.tail = prev;
        }
        if let Some(slot) = self.slots.get_mut(usize::from(prev)) {
            slot.next = next;
        }
        if let Some(slot) = self.slots.get_mut(usize::from(next)) {
            slot.prev = prev;
        }
    }
}

/// How long a handshake waits in a list, in microseconds: 1, 2, 4 … 60 seconds.
fn wait(list: u8) -> u32 {
    (1 << list.saturating_sub(1).min(SENDS)).min(LONGEST_WAIT) * 1_000_000
}

fn sent_at(slot: &SynSlot, now: Instant) -> Instant {
    let ago = (now.as_micros() as u32).wrapping_sub(slot.sent_at);
    now - Duration::from_micros(u64::from(ago))
}

//! What is in flight, and when it left: one record per segment.
//!
//! The round-trip time is measured with it (RFC 6298 §3, Karn's rule), loss detection by time needs it (RFC 8985), and
//! it is the scoreboard of selective acknowledgments (RFC 2018 §8, RFC 6675 §3; see `sent/board.rs`).
//! A record starts where the one before it ends, the first at SND.UNA. When the records run out, the newest is extended
//! and takes the newer time: measurements become rarer, never wrong. What is cut then, since only a part of it was reported,
//! lost or sent again, is paid for by joining others.

#[cfg(feature = "sack")]
mod board;

use managed::ManagedSlice;

use crate::seq::Seq;
use crate::time::Instant;

/// Records that an owned log grows to: a window of 11 MiB in segments of an Ethernet. Where they run out, losses among the
/// newest segments are found by the time-out only.
#[cfg(feature = "alloc")]
const GROW_LIMIT: usize = 8192;
/// An owned log that has grown beyond this gives its memory back once nothing is in flight.
#[cfg(feature = "alloc")]
const KEEP: usize = 32;

/// One segment in flight.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Sent {
    /// The sequence number behind its last octet.
    end: Seq,
    /// When it (last) left: the low 32 bits of the clock in microseconds.
    at: u32,
    marks: u8,
}

/// It was sent more than once.
const RESENT: u8 = 1;
/// The peer holds it (RFC 2018).
const SACKED: u8 = 2;
/// Its latest transmission is taken for lost.
const LOST: u8 = 4;
/// The marks that there are: without the feature `sack` nobody sets the others.
const MARKS: u8 = if cfg!(feature = "sack") { RESENT | SACKED | LOST } else { RESENT };

impl Sent {
    /// A record of nothing, for storage.
    pub const fn new() -> Self {
        Self { end: Seq::new(0), at: 0, marks: 0 }
    }

    const fn is(&self, mark: u8) -> bool {
        self.marks & mark & MARKS != 0
    }
}

/// What an acknowledgment, or its SACK blocks, said has newly arrived.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Delivered {
    pub octets: u32,
    /// When the newest of what was sent once had left, and the number behind it.
    pub original: Option<(u32, Seq)>,
    /// The same of what was sent again.
    pub resent: Option<(u32, Seq)>,
    /// The number behind the lowest of what was sent once.
    pub lowest_original: Option<Seq>,
    /// Whether a measurement of `original` would be one of a segment that waited beyond a hole.
    pub is_ambiguous: bool,
}

/// Whether time stamp `a` is later than `b`, both being microseconds that wrap.
pub(crate) const fn is_later(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

impl Delivered {
    fn note(&mut self, record: &Sent) {
        let newest = if record.is(RESENT) { &mut self.resent } else { &mut self.original };
        match newest {
            Some((at, end)) if is_later(*at, record.at) || (*at == record.at && end.after(record.end)) => {}
            _ => *newest = Some((record.at, record.end)),
        }
        if !record.is(RESENT) {
            self.lowest_original = Some(self.lowest_original.map_or(record.end, |low| low.earlier(record.end)));
        }
    }

    /// The round trip of the newest octets, in microseconds, unless it is ambiguous.
    pub fn sample(&self, now: Instant) -> Option<u32> {
        //= https://www.rfc-editor.org/rfc/rfc6298#section-3
        //# RTT samples MUST NOT be made using segments that were
        //# retransmitted (and thus for which it is ambiguous whether the reply
        //# was for the first instance of the packet or a later instance).
        self.original.filter(|_| !self.is_ambiguous).map(|(at, _)| micros(now).wrapping_sub(at))
    }
}

/// What a connection's records lie in.
pub(crate) type Slots<'a> = ManagedSlice<'a, Sent>;

/// The records' memory: these slots.
pub(crate) fn fixed_slots(slots: &mut [Sent]) -> Slots<'_> {
    ManagedSlice::Borrowed(slots)
}

/// The records' memory: slots that grow, where they can.
pub(crate) fn growing_slots<'a>() -> Option<Slots<'a>> {
    crate::grow::vector()
}

/// The records of a connection: a queue over borrowed or owned memory.
pub(crate) struct SentLog<'a> {
    slots: ManagedSlice<'a, Sent>,
    head: u32,
    len: u32,
    /// Records with any mark.
    marked: u32,
    /// Records that the peer holds, and their octets.
    sacked_records: u32,
    sacked: u32,
    /// Octets taken for lost.
    lost: u32,
}

/// The clock as the records keep it.
pub(crate) fn micros(now: Instant) -> u32 {
    now.as_micros() as u32
}

impl<'a> SentLog<'a> {
    pub fn new(slots: ManagedSlice<'a, Sent>) -> Self {
        Self { slots, head: 0, len: 0, marked: 0, sacked_records: 0, sacked: 0, lost: 0 }
    }

    /// The slot of the `n`th oldest record.
    fn index(&self, n: u32) -> usize {
        let (at, slots) = ((self.head + n) as usize, self.slots.len());
        if at >= slots { at - slots } else { at }
    }

    #[cfg_attr(target_os = "none", inline(never))]
    fn record(&self, n: u32) -> Option<&Sent> {
        self.slots.get(self.index(n))
    }

    #[cfg_attr(target_os = "none", inline(never))]
    fn record_mut(&mut self, n: u32) -> Option<&mut Sent> {
        let i = self.index(n);
        self.slots.get_mut(i)
    }

    /// Whether some of what is in flight was sent again, is held by the peer, or is taken for lost.
    #[inline]
    pub fn is_marked(&self) -> bool {
        self.marked > 0
    }

    /// Octets that the peer holds.
    pub const fn sacked(&self) -> u32 {
        self.sacked
    }

    /// Octets taken for lost and not sent again yet.
    #[inline]
    pub const fn lost(&self) -> u32 {
        self.lost
    }

    /// When the oldest record left last: the low 32 bits of the clock in microseconds.
    #[cfg(feature = "rack")]
    pub fn first_left_at(&self) -> Option<u32> {
        self.record(0).filter(|_| self.len > 0).map(|record| record.at)
    }

    /// New octets up to `end` left at `now`; `una` is SND.UNA.
    #[inline]
    pub fn push(&mut self, una: Seq, end: Seq, now: Instant) {
        if self.len as usize == self.slots.len() && !self.grow() {
            return self.extend_newest(una, end, now);
        }
        let i = self.index(self.len);
        if let Some(slot) = self.slots.get_mut(i) {
            *slot = Sent { end, at: micros(now), marks: 0 };
            self.len += 1;
        }
    }

    /// There is no room for one more: the newest record stands for the new octets too, as if all of it left now.
    #[cold]
    fn extend_newest(&mut self, una: Seq, end: Seq, now: Instant) {
        let Some(last) = self.len.checked_sub(1) else { return };
        self.set_marks(una, last, 0);
        if let Some(newest) = self.record_mut(last) {
            newest.end = end;
            newest.at = micros(now);
        }
    }

    /// The octets from `start` up to `end` left again at `now`.
    pub fn resend(&mut self, una: Seq, start: Seq, end: Seq, now: Instant) {
        let mut n = self.first_ending_after(start);
        while let Some(&record) = self.record(n).filter(|_| n < self.len) {
            if MARKS & LOST != 0 && record.end.after(end) && self.lost > 0 {
                // Of a longer record only what has left is in flight again.
                match self.split(n, end) {
                    Some(first) => n = first,
                    None if self.lend_to_previous(n, end, now) => return,
                    None => {}
                }
            }
            if !record.is(SACKED) {
                self.set_marks(una, n, RESENT);
            }
            let Some(record) = self.record_mut(n) else { return };
            record.at = micros(now);
            if record.end.at_or_after(end) {
                return;
            }
            n += 1;
        }
    }

    /// The octets of the `n`th record, which is lost, up to `end` have left again, as those before it have: whether they were
    /// made part of the record before.
    #[cold]
    fn lend_to_previous(&mut self, n: u32, end: Seq, now: Instant) -> bool {
        let Some(before) = n.checked_sub(1).and_then(|before| self.record_mut(before)) else { return false };
        if before.marks != RESENT {
            return false;
        }
        let octets = end.distance_from(before.end);
        (before.end, before.at) = (end, micros(now));
        self.lost -= octets;
        true
    }

    /// Where the `n`th record starts.
    fn start(&self, una: Seq, n: u32) -> Seq {
        n.checked_sub(1).and_then(|before| self.record(before)).map_or(una, |record| record.end)
    }

    /// Gives the `n`th record these marks and no others, and keeps the sums.
    fn set_marks(&mut self, una: Seq, n: u32, marks: u8) {
        let start = self.start(una, n);
        let Some(record) = self.record_mut(n) else { return };
        let old = core::mem::replace(&mut record.marks, marks);
        let octets = record.end.distance_from(start);
        self.count(old, marks, octets);
    }

    /// `octets` of a record went from the marks `old` to `new`.
    fn count(&mut self, old: u8, new: u8, octets: u32) {
        let (old, new) = (old & MARKS, new & MARKS);
        self.marked = self.marked + u32::from(new != 0) - u32::from(old != 0);
        self.sacked_records = self.sacked_records + u32::from(new & SACKED != 0) - u32::from(old & SACKED != 0);
        if old & SACKED != new & SACKED {
            self.sacked = if new & SACKED != 0 { self.sacked + octets } else { self.sacked - octets };
        }
        if old & LOST != new & LOST {
            self.lost = if new & LOST != 0 { self.lost + octets } else { self.lost - octets };
        }
    }

    /// Cuts the `n`th record in two at `at`, which lies within it: the place of the first part, if there was room.
    fn split(&mut self, mut n: u32, at: Seq) -> Option<u32> {
        if self.len as usize == self.slots.len() && !self.grow() {
            n -= self.join_others(n)?;
        }
        // The record is there twice; those behind it move up by one.
        let mut moving = *self.record(n)?;
        for i in n + 1..=self.len {
            let to = self.index(i);
            if let Some(place) = self.slots.get_mut(to) {
                core::mem::swap(place, &mut moving);
            }
        }
        self.len += 1;
        let first = self.record_mut(n)?;
        first.end = at;
        let marks = first.marks;
        self.marked += u32::from(marks != 0);
        self.sacked_records += u32::from(marks & SACKED != 0);
        Some(n)
    }

    /// There is no room for one more: two neighbours of the same marks, other than the `n`th, become one, as if all of it had
    /// left with the later. By how many places the `n`th has moved down.
    #[cold]
    fn join_others(&mut self, n: u32) -> Option<u32> {
        let alike = |i: u32| self.record(i).is_some_and(|a| self.record(i + 1).is_some_and(|b| a.marks == b.marks));
        let mut others = (0..self.len.saturating_sub(1)).filter(|&i| i > n || i + 1 < n);
        let i = others.find(|&i| alike(i))?;
        let (first, mut joined) = (*self.record(i)?, *self.record(i + 1)?);
        if is_later(first.at, joined.at) {
            joined.at = first.at;
        }
        self.marked -= u32::from(joined.marks & MARKS != 0);
        self.sacked_records -= u32::from(joined.marks & MARKS & SACKED != 0);
        // Those behind it move down by one.
        for to in i..self.len - 1 {
            let moving = if to == i { joined } else { *self.record(to + 1)? };
            *self.record_mut(to)? = moving;
        }
        self.len -= 1;
        Some(u32::from(i < n))
    }

    /// How many records end at or before `seq`; the records are ordered.
    fn first_ending_after(&self, seq: Seq) -> u32 {
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.record(middle) {
                Some(r) if r.end.at_or_before(seq) => low = middle + 1,
                _ => high = middle,
            }
        }
        low
    }

    /// Forgets what `ack` covers, `una` having been SND.UNA. The round trip of the newest octet covered, in
    /// microseconds, unless something among them was sent twice.
    #[inline]
    pub fn acknowledge(&mut self, una: Seq, ack: Seq, now: Instant) -> Option<u32> {
        if self.is_marked() {
            let mut news = Delivered::default();
            self.acknowledge_marked(una, ack, &mut news);
            return news.sample(now);
        }
        let mut newest = None;
        while self.len > 0 {
            let Some(&record) = self.record(0) else { break };
            if record.end.after(ack) {
                break;
            }
            newest = Some(record.at);
            self.pop();
        }
        if self.len == 0 {
            self.shrink();
        }
        newest.map(|at| micros(now).wrapping_sub(at))
    }

    /// As [`acknowledge`](Self::acknowledge), while records have marks; what is new goes to `news`.
    #[cold]
    pub fn acknowledge_marked(&mut self, una: Seq, ack: Seq, news: &mut Delivered) {
        let mut start = una;
        while let Some(&record) = self.record(0).filter(|_| self.len > 0) {
            let octets = record.end.earlier(ack).distance_from(start);
            let is_held = record.is(SACKED);
            news.octets += if is_held { 0 } else { octets };
            if record.end.after(ack) {
                // The rest keeps its marks.
                self.sacked -= if is_held { octets } else { 0 };
                self.lost -= if record.is(LOST) { octets } else { 0 };
                break;
            }
            if !is_held {
                news.note(&record);
            }
            // What comes with a segment that was sent again had waited for it.
            news.is_ambiguous |= record.is(RESENT);
            self.count(record.marks, 0, octets);
            self.pop();
            start = record.end;
        }
        if self.len == 0 {
            self.shrink();
        }
    }

    #[inline]
    fn pop(&mut self) {
        self.head = self.index(1) as u32;
        self.len -= 1;
    }

    /// Makes room for one more record.
    #[cfg(feature = "alloc")]
    #[cold]
    fn grow(&mut self) -> bool {
        let ManagedSlice::Owned(slots) = &mut self.slots else { return false };
        if slots.len() >= GROW_LIMIT {
            return false;
        }
        slots.rotate_left(self.head as usize);
        self.head = 0;
        let len = (slots.len() * 2).max(8);
        slots.resize(len, Sent::default());
        true
    }

    #[cfg(not(feature = "alloc"))]
    fn grow(&mut self) -> bool {
        false
    }

    fn shrink(&mut self) {
        self.head = 0;
        #[cfg(feature = "alloc")]
        if let ManagedSlice::Owned(slots) = &mut self.slots
            && slots.len() > KEEP
        {
            *slots = alloc::vec::Vec::new();
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> u32 {
        self.len
    }

    pub fn into_storage(self) -> ManagedSlice<'a, Sent> {
        self.slots
    }
}

#[cfg(test)]
mod tests;

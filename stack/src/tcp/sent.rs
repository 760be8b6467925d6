//! What is in flight, and when it left: one record per segment, or super-segment, which knows its segments' size.
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
    /// Octets of text in each of its segments, if it is of several.
    #[cfg(feature = "gso")]
    size: u16,
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
        Self::of(Seq::new(0), 0)
    }

    const fn of(end: Seq, at: u32) -> Self {
        Self {
            end,
            at,
            marks: 0,
            #[cfg(feature = "gso")]
            size: 0,
        }
    }

    /// Octets of text in each of its segments; 0: it is one, or of several by want of room.
    const fn size(&self) -> u16 {
        #[cfg(feature = "gso")]
        return self.size;
        #[cfg(not(feature = "gso"))]
        0
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
        if n < self.len { self.slots.get(self.index(n)) } else { None }
    }

    #[cfg_attr(target_os = "none", inline(never))]
    fn record_mut(&mut self, n: u32) -> Option<&mut Sent> {
        let i = self.index(n);
        if n < self.len { self.slots.get_mut(i) } else { None }
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
        self.record(0).map(|record| record.at)
    }

    /// New octets up to `end` left at `now`; `una` is SND.UNA.
    #[inline]
    pub fn push(&mut self, una: Seq, end: Seq, now: Instant) {
        if self.len as usize == self.slots.len() && !self.grow() {
            return self.extend_newest(una, end, now);
        }
        let i = self.index(self.len);
        if let Some(slot) = self.slots.get_mut(i) {
            *slot = Sent::of(end, micros(now));
            self.len += 1;
        }
    }

    /// What was pushed last is of several segments, of `mss` octets each.
    #[inline]
    pub fn note_size(&mut self, mss: u16) {
        #[cfg(feature = "gso")]
        if let Some(last) = self.len.checked_sub(1)
            && let Some(newest) = self.record_mut(last)
        {
            newest.size = mss;
        }
        let _ = mss;
    }

    /// There is no room for one more: the newest record stands for the new octets too, as if all of it left now.
    #[cold]
    fn extend_newest(&mut self, una: Seq, end: Seq, now: Instant) {
        let Some(newest) = self.len.checked_sub(1).and_then(|last| self.record_mut(last)) else { return };
        *newest = Sent::of(end, micros(now));
        self.count(una);
    }

    /// The octets from `start` up to `end` left again at `now`.
    pub fn resend(&mut self, una: Seq, start: Seq, end: Seq, now: Instant) {
        let mut n = self.first_ending_after(start);
        let mut at = self.start(una, n);
        while let Some(&record) = self.record(n) {
            if MARKS & LOST != 0 && record.is(LOST) && record.end.after(end) {
                return self.resend_part(una, n, end, now);
            }
            if record.is(LOST) {
                self.lost -= record.end.distance_from(at);
            }
            self.marked += u32::from(record.marks == 0);
            self.set_resent(n, now);
            at = record.end;
            if at.at_or_after(end) {
                return;
            }
            n += 1;
        }
    }

    /// The `n`th record left again.
    fn set_resent(&mut self, n: u32, now: Instant) {
        if let Some(record) = self.record_mut(n) {
            record.at = micros(now);
            if !record.is(SACKED) {
                record.marks = RESENT;
            }
        }
    }

    /// The first octets of the `n`th record, which is lost, have left again, up to `end`: only they are in flight again.
    #[cold]
    fn resend_part(&mut self, una: Seq, n: u32, end: Seq, now: Instant) {
        match self.split(n, end) {
            Some(first) => self.set_resent(first, now),
            None => match n.checked_sub(1).and_then(|before| self.record_mut(before)) {
                // There is no room to cut it, but the record before has left again, too.
                Some(before) if before.marks == RESENT => (before.end, before.at) = (end, micros(now)),
                _ => self.set_resent(n, now),
            },
        }
        self.count(una);
    }

    /// Where the `n`th record starts.
    #[cfg_attr(target_os = "none", inline(never))]
    fn start(&self, una: Seq, n: u32) -> Seq {
        n.checked_sub(1).and_then(|before| self.record(before)).map_or(una, |record| record.end)
    }

    /// The sums, from the records, once these have changed; `una` is SND.UNA.
    #[cold]
    #[cfg_attr(target_os = "none", inline(never))]
    fn count(&mut self, una: Seq) {
        let (mut marked, mut held, mut sacked, mut lost) = (0, 0, 0, 0);
        let (mut n, mut start) = (0, una);
        while let Some(record) = self.record(n) {
            let octets = record.end.distance_from(start);
            (n, start) = (n + 1, record.end);
            marked += u32::from(record.marks != 0);
            if record.is(SACKED) {
                held += 1;
                sacked += octets;
            }
            if record.is(LOST) {
                lost += octets;
            }
        }
        (self.marked, self.sacked_records, self.sacked, self.lost) = (marked, held, sacked, lost);
    }

    /// Cuts the `n`th record in two at `at`, which lies within it: the place of the first part, if there was room. The sums
    /// are to be taken anew.
    fn split(&mut self, mut n: u32, at: Seq) -> Option<u32> {
        if self.len as usize == self.slots.len() && !self.grow() {
            n -= self.join_others(n)?;
        }
        // The record is there twice; those behind it move up by one.
        let mut moving = *self.record(n)?;
        self.len += 1;
        let mut i = n;
        while let Some(record) = self.record_mut(i) {
            core::mem::swap(record, &mut moving);
            i += 1;
        }
        self.record_mut(n)?.end = at;
        Some(n)
    }

    /// There is no room for one more: two neighbours of the same marks, other than the `n`th, become one, as if all of it had
    /// left with the later. By how many places the `n`th has moved down.
    #[cold]
    fn join_others(&mut self, n: u32) -> Option<u32> {
        let mut i = 0;
        let first = loop {
            let (first, second) = (*self.record(i)?, self.record(i + 1)?);
            if (i > n || i + 1 < n) && first.marks == second.marks {
                break first;
            }
            i += 1;
        };
        let joined = self.record_mut(i + 1)?;
        if is_later(first.at, joined.at) {
            joined.at = first.at;
        }
        // The first is gone: those behind it move down by one.
        let mut to = i;
        while let Some(&moving) = self.record(to + 1) {
            *self.record_mut(to)? = moving;
            to += 1;
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

    /// Forgets what `ack` covers, `una` having been SND.UNA. The round trip of the newest segment covered, in
    /// microseconds, unless something among them was sent twice.
    #[inline]
    pub fn acknowledge(&mut self, una: Seq, ack: Seq, now: Instant) -> Option<u32> {
        if self.is_marked() {
            let mut news = Delivered::default();
            self.acknowledge_marked(una, ack, &mut news);
            return news.sample(now);
        }
        let (mut newest, mut start) = (None, una);
        while let Some(&record) = self.record(0) {
            if record.end.after(ack) {
                // Of several segments some have arrived.
                if record.size() > 0 && ack.after(start) {
                    newest = Some(record.at);
                }
                break;
            }
            newest = Some(record.at);
            start = record.end;
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
        while let Some(&record) = self.record(0) {
            if !record.is(SACKED) {
                news.octets += record.end.earlier(ack).distance_from(start);
            }
            if record.end.after(ack) {
                // The rest keeps its marks.
                if record.size() > 0 && ack.after(start) && !record.is(SACKED) {
                    news.note(&Sent { end: ack, ..record });
                    news.is_ambiguous |= record.is(RESENT);
                }
                break;
            }
            if !record.is(SACKED) {
                news.note(&record);
            }
            // What comes with a segment that was sent again had waited for it.
            news.is_ambiguous |= record.is(RESENT);
            self.pop();
            start = record.end;
        }
        if self.len == 0 {
            self.shrink();
        }
        self.count(ack);
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

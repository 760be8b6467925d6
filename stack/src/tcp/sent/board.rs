//! The scoreboard: which segments in flight the peer holds, and which are taken for lost.
//!
//! Implements RFC 2018 §5 and §8 and the scoreboard of RFC 6675 §3 over the records of [`SentLog`]. A block marks whole
//! segments only, which an honest receiver's blocks consist of: scattered octets cost nothing and gain nothing. A
//! super-segment's are of the size that they left in, whatever the path takes meanwhile.
//! What there is no room to note stays as if never reported.

use super::{Delivered, LOST, RESENT, SACKED, Sent, SentLog};
use crate::seq::Seq;
use crate::tcp::snd::MSS_FLOOR;

/// A record in flight, as loss detection sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InFlight {
    /// When it left last.
    pub at: u32,
    pub end: Seq,
    /// It was sent more than once.
    pub is_resent: bool,
    /// Octets above it that the peer holds.
    pub sacked_above: u32,
    /// Runs of octets above it that the peer holds, apart from each other.
    pub runs_above: u32,
}

impl SentLog<'_> {
    /// Whether there is room to tell segments from each other.
    pub fn can_keep_score(&self) -> bool {
        matches!(self.slots, managed::ManagedSlice::Borrowed(ref slots) if slots.len() >= 4) || self.is_owned()
    }

    fn is_owned(&self) -> bool {
        !matches!(self.slots, managed::ManagedSlice::Borrowed(_))
    }

    /// Records that the peer holds.
    pub const fn sacked_records(&self) -> u32 {
        self.sacked_records
    }

    /// The peer holds the octets from `left` up to `right`. Once all blocks are noted,
    /// [`after_blocks`](Self::after_blocks) is to be called.
    pub fn mark_sacked(&mut self, una: Seq, left: Seq, right: Seq, mss: u16, news: &mut Delivered) {
        let size_of = |record: &Sent| u32::from(if record.size() > 0 { record.size() } else { mss }.max(MSS_FLOOR / 2));
        let mut n = self.first_ending_after(left);
        let mut start = self.start(una, n);
        while let Some(&record) = self.record(n).filter(|_| start.before(right)) {
            let mut end = record.end;
            if !record.is(SACKED)
                && let Some((from, to)) = whole_segments(start, end, left, right, size_of(&record))
            {
                if from != start {
                    let Some(first) = self.split(n, from) else { return };
                    n = first + 1;
                }
                if to != end {
                    let Some(first) = self.split(n, to) else { return };
                    n = first;
                }
                if let Some(record) = self.record_mut(n) {
                    news.note(record);
                    record.marks = SACKED | record.marks & RESENT;
                }
                news.octets += to.distance_from(from);
                end = to;
            }
            start = end;
            n += 1;
        }
    }

    /// All blocks of an acknowledgment are noted: the sums are as they say.
    pub fn after_blocks(&mut self, una: Seq) {
        self.count(una);
    }

    /// Whether the peer is said to hold what lies at SND.UNA: then it has thrown it away, or else it had acknowledged it.
    pub fn is_reneged(&self) -> bool {
        self.record(0).is_some_and(|record| record.is(SACKED))
    }

    /// Believes nothing of what the peer said it holds (RFC 2018 §8).
    pub fn forget_sacked(&mut self, una: Seq) {
        self.remark(una, SACKED, 0);
    }

    /// Takes all that the peer does not hold for lost.
    pub fn mark_all_lost(&mut self, una: Seq) {
        self.remark(una, 0, LOST);
    }

    /// Takes nothing for lost.
    pub fn unmark_lost(&mut self, una: Seq) {
        self.remark(una, LOST, 0);
    }

    /// Takes the marks `off` from all, and gives `on` to those that the peer does not hold.
    #[cfg_attr(target_os = "none", inline(never))]
    fn remark(&mut self, una: Seq, off: u8, on: u8) {
        let mut n = 0;
        while let Some(record) = self.record_mut(n) {
            let marks = record.marks & !off;
            record.marks = if marks & SACKED != 0 { marks } else { marks | on };
            n += 1;
        }
        self.count(una);
    }

    /// Takes those in flight for lost of which `is_lost` says so; their octets.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn detect(&mut self, una: Seq, is_lost: &mut dyn FnMut(&InFlight) -> bool) -> u32 {
        let before = self.lost;
        let (mut sacked_above, mut runs_above) = (0, 0);
        let mut above_is_held = false;
        // From the top down, so that what lies above is known.
        let mut n = self.len;
        while n > 0 {
            n -= 1;
            let Some(&record) = self.record(n) else { break };
            if record.is(SACKED) {
                sacked_above += record.end.distance_from(self.start(una, n));
                runs_above += u32::from(!above_is_held);
            } else if !record.is(LOST) {
                let is_resent = record.is(RESENT);
                if is_lost(&InFlight { at: record.at, end: record.end, is_resent, sacked_above, runs_above }) {
                    self.mark_lost(n);
                }
            }
            above_is_held = record.is(SACKED);
        }
        self.count(una);
        self.lost - before
    }

    fn mark_lost(&mut self, n: u32) {
        if let Some(record) = self.record_mut(n) {
            record.marks |= LOST;
        }
    }

    /// The lowest octets taken for lost: where they start, and where they, or the first `most` of them, end.
    pub fn first_lost(&self, una: Seq, most: u32) -> Option<(Seq, Seq)> {
        if self.lost == 0 {
            return None;
        }
        let (mut first, mut start, mut n) = (None, una, 0);
        while let Some(record) = self.record(n) {
            if record.is(LOST) {
                let (left, _) = *first.get_or_insert((start, start));
                let right = record.end.earlier(left + most);
                first = Some((left, right));
                if right != record.end {
                    break;
                }
            } else if first.is_some() {
                break;
            }
            (n, start) = (n + 1, record.end);
        }
        first
    }

    /// Takes the lowest record for lost, or its first `most` octets, that was sent once and lies below one that the peer
    /// holds; whether there is one.
    pub fn mark_skipped_lost(&mut self, una: Seq, most: u32) -> bool {
        let (mut skipped, mut n) = (None, 0);
        while let Some(record) = self.record(n) {
            if record.is(SACKED)
                && let Some(n) = skipped
            {
                let end = self.start(una, n) + most;
                let is_long = self.record(n).is_some_and(|record| record.end.after(end));
                let n = if is_long { self.split(n, end).unwrap_or(n) } else { n };
                self.mark_lost(n);
                self.count(una);
                return true;
            }
            if record.marks == 0 && skipped.is_none() {
                skipped = Some(n);
            }
            n += 1;
        }
        false
    }

    /// Takes the last `most` octets of the newest record for lost, if it is in flight: a probe of the tail.
    pub fn mark_tail_lost(&mut self, una: Seq, most: u32) -> bool {
        let Some(last) = self.len.checked_sub(1) else { return false };
        let Some(&record) = self.record(last).filter(|record| !record.is(SACKED | LOST)) else { return false };
        let octets = record.end.distance_from(self.start(una, last));
        // A super-segment's last may be short.
        let most = match octets.checked_rem(u32::from(record.size())) {
            Some(rest @ 1..) => most.min(rest),
            _ => most,
        };
        let first = if octets > most { self.split(last, record.end - most) } else { None };
        self.mark_lost(first.map_or(last, |first| first + 1));
        self.count(una);
        true
    }

    /// The sums again, from the records: for tests.
    #[cfg(test)]
    pub fn check(&self, una: Seq) {
        let (mut marked, mut held, mut sacked, mut lost) = (0, 0, 0, 0);
        for n in 0..self.len {
            let (record, start) = (self.record(n).expect("there"), self.start(una, n));
            assert!(record.end.after(start), "records are in order");
            let octets = record.end.distance_from(start);
            marked += u32::from(record.marks != 0);
            held += u32::from(record.is(SACKED));
            sacked += if record.is(SACKED) { octets } else { 0 };
            lost += if record.is(LOST) { octets } else { 0 };
            assert!(!(record.is(LOST) && record.is(SACKED)));
        }
        assert_eq!((marked, held, sacked, lost), (self.marked, self.sacked_records, self.sacked, self.lost));
    }
}

/// Of a record from `start` to `end`, the segments of `mss` octets (the last may be shorter) that lie wholly between
/// `left` and `right`.
fn whole_segments(start: Seq, end: Seq, left: Seq, right: Seq, mss: u32) -> Option<(Seq, Seq)> {
    let from = if start.before(left) { start + left.distance_from(start).div_ceil(mss) * mss } else { start };
    let to = if end.after(right) { start + right.distance_from(start) / mss * mss } else { end };
    from.before(to).then_some((from, to))
}

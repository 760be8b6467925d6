//! The scoreboard: which segments in flight the peer holds, and which are taken for lost.
//!
//! Implements RFC 2018 §5 and §8 and the scoreboard of RFC 6675 §3 over the records of [`SentLog`]. A block marks whole
//! segments only, which an honest receiver's blocks consist of: scattered octets cost nothing and gain nothing.
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

    /// The peer holds the octets from `left` up to `right`.
    pub fn mark_sacked(&mut self, una: Seq, left: Seq, right: Seq, mss: u16, news: &mut Delivered) {
        let mss = u32::from(mss.max(MSS_FLOOR / 2));
        let mut n = self.first_ending_after(left);
        let mut start = self.start(una, n);
        while let Some(&record) = self.record(n).filter(|_| n < self.len && start.before(right)) {
            if !record.is(SACKED)
                && let Some((from, to)) = whole_segments(start, record.end, left, right, mss)
            {
                if from.after(start) {
                    let Some(first) = self.split(n, from) else { return };
                    n = first + 1;
                }
                if to.before(record.end) {
                    let Some(first) = self.split(n, to) else { return };
                    n = first;
                }
                if let Some(record) = self.record(n) {
                    news.note(record);
                    news.octets += to.distance_from(from);
                }
                self.set_marks(una, n, SACKED | record.marks & RESENT);
            }
            let Some(record) = self.record(n) else { return };
            start = record.end;
            n += 1;
        }
    }

    /// Whether the peer is said to hold what lies at SND.UNA: then it has thrown it away, or else it had acknowledged it.
    pub fn is_reneged(&self) -> bool {
        self.sacked > 0 && self.record(0).is_some_and(|record| record.is(SACKED))
    }

    /// Believes nothing of what the peer said it holds (RFC 2018 §8).
    pub fn forget_sacked(&mut self, una: Seq) {
        self.remark(una, |record| record.marks & !SACKED);
    }

    /// Takes all that the peer does not hold for lost.
    pub fn mark_all_lost(&mut self, una: Seq) {
        self.remark(una, |record| if record.is(SACKED) { record.marks } else { record.marks | LOST });
    }

    /// Takes nothing for lost.
    pub fn unmark_lost(&mut self, una: Seq) {
        self.remark(una, |record| record.marks & !LOST);
    }

    fn remark(&mut self, una: Seq, marks: impl Fn(&Sent) -> u8) {
        for n in 0..self.len {
            if let Some(record) = self.record(n) {
                let marks = marks(record);
                self.set_marks(una, n, marks);
            }
        }
    }

    /// Takes those in flight for lost of which `is_lost` says so; their octets.
    pub fn detect(&mut self, una: Seq, mut is_lost: impl FnMut(&InFlight) -> bool) -> u32 {
        let before = self.lost;
        let (mut sacked_above, mut runs_above) = (0, 0);
        let mut above_is_held = false;
        // From the top down, so that what lies above is known.
        for n in (0..self.len).rev() {
            let Some(&record) = self.record(n) else { break };
            if record.is(SACKED) {
                sacked_above += record.end.distance_from(self.start(una, n));
                runs_above += u32::from(!above_is_held);
            } else if !record.is(LOST) {
                let is_resent = record.is(RESENT);
                if is_lost(&InFlight { at: record.at, end: record.end, is_resent, sacked_above, runs_above }) {
                    self.set_marks(una, n, record.marks | LOST);
                }
            }
            above_is_held = record.is(SACKED);
        }
        self.lost - before
    }

    /// The lowest octets taken for lost: where they start, and where they, or the first `most` of them, end.
    pub fn first_lost(&self, una: Seq, most: u32) -> Option<(Seq, Seq)> {
        if self.lost == 0 {
            return None;
        }
        let first = (0..self.len).find(|&n| self.record(n).is_some_and(|record| record.is(LOST)))?;
        let start = self.start(una, first);
        let mut end = start;
        for n in first..self.len {
            let Some(record) = self.record(n).filter(|record| record.is(LOST)) else { break };
            end = record.end;
            if end.distance_from(start) >= most {
                break;
            }
        }
        Some((start, end.earlier(start + most)))
    }

    /// Takes the lowest record for lost, or its first `most` octets, that was sent once and lies below one that the peer
    /// holds; whether there is one.
    pub fn mark_skipped_lost(&mut self, una: Seq, most: u32) -> bool {
        let Some(top) = (0..self.len).rev().find(|&n| self.record(n).is_some_and(|record| record.is(SACKED))) else {
            return false;
        };
        let Some(n) = (0..top).find(|&n| self.record(n).is_some_and(|record| record.marks == 0)) else { return false };
        let start = self.start(una, n);
        let is_long = self.record(n).is_some_and(|record| record.end.after(start + most));
        let n = if is_long { self.split(n, start + most).unwrap_or(n) } else { n };
        self.set_marks(una, n, LOST);
        true
    }

    /// Takes the last `most` octets of the newest record for lost, if it is in flight: a probe of the tail.
    pub fn mark_tail_lost(&mut self, una: Seq, most: u32) -> bool {
        let Some(last) = self.len.checked_sub(1) else { return false };
        let Some(&record) = self.record(last).filter(|record| !record.is(SACKED | LOST)) else { return false };
        let octets = record.end.distance_from(self.start(una, last));
        let first = if octets > most { self.split(last, record.end - most) } else { None };
        let last = first.map_or(last, |first| first + 1);
        self.set_marks(una, last, record.marks | LOST);
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

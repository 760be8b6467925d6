//! What is in flight, and when it left: one record per segment.
//!
//! The round-trip time is measured with it (RFC 6298 §3, Karn's rule), and loss detection by time needs it (RFC 8985).
//! A record starts where the one before it ends, the first at SND.UNA. When the records run out, the newest is extended
//! and takes the newer time: measurements become rarer, never wrong.

use managed::ManagedSlice;

use crate::seq::Seq;
use crate::time::Instant;

/// Records that an owned log grows to.
#[cfg(feature = "alloc")]
const GROW_LIMIT: usize = 1024;
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
    retransmitted: bool,
}

impl Sent {
    /// A record of nothing, for storage.
    pub const fn new() -> Self {
        Self { end: Seq::new(0), at: 0, retransmitted: false }
    }
}

/// The records of a connection: a queue over borrowed or owned memory.
pub(crate) struct SentLog<'a> {
    slots: ManagedSlice<'a, Sent>,
    head: u32,
    len: u32,
}

fn micros(now: Instant) -> u32 {
    now.as_micros() as u32
}

impl<'a> SentLog<'a> {
    pub fn new(slots: ManagedSlice<'a, Sent>) -> Self {
        Self { slots, head: 0, len: 0 }
    }

    /// The slot of the `n`th oldest record.
    fn index(&self, n: u32) -> usize {
        let (at, slots) = ((self.head + n) as usize, self.slots.len());
        if at >= slots { at - slots } else { at }
    }

    fn record(&self, n: u32) -> Option<&Sent> {
        self.slots.get(self.index(n))
    }

    /// New octets up to `end` left at `now`.
    pub fn push(&mut self, end: Seq, now: Instant) {
        if self.len as usize == self.slots.len() && !self.grow() {
            if let Some(last) = self.len.checked_sub(1) {
                let i = self.index(last);
                if let Some(newest) = self.slots.get_mut(i) {
                    newest.end = end;
                    newest.at = micros(now);
                }
            }
            return;
        }
        let i = self.index(self.len);
        if let Some(slot) = self.slots.get_mut(i) {
            *slot = Sent { end, at: micros(now), retransmitted: false };
            self.len += 1;
        }
    }

    /// The octets from `start` up to `end` left again at `now`.
    pub fn resend(&mut self, start: Seq, end: Seq, now: Instant) {
        let mut n = self.first_ending_after(start);
        while n < self.len {
            let i = self.index(n);
            let Some(record) = self.slots.get_mut(i) else { return };
            record.retransmitted = true;
            record.at = micros(now);
            if record.end.at_or_after(end) {
                return;
            }
            n += 1;
        }
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

    /// Forgets what `ack` covers. The round trip of the newest octet covered, in microseconds, unless something among
    /// them was sent twice.
    pub fn acknowledge(&mut self, ack: Seq, now: Instant) -> Option<u32> {
        let mut sample = None;
        let mut ambiguous = false;
        while self.len > 0 {
            let Some(&record) = self.record(0) else { break };
            if record.end.after(ack) {
                break;
            }
            ambiguous |= record.retransmitted;
            sample = Some(micros(now).wrapping_sub(record.at));
            self.head = self.index(1) as u32;
            self.len -= 1;
        }
        if self.len == 0 {
            self.shrink();
        }
        //= https://www.rfc-editor.org/rfc/rfc6298#section-3
        //# RTT samples MUST NOT be made using segments that were
        //# retransmitted (and thus for which it is ambiguous whether the reply
        //# was for the first instance of the packet or a later instance).
        sample.filter(|_| !ambiguous)
    }

    /// Makes room for one more record.
    #[cfg(feature = "alloc")]
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
mod tests {
    use super::*;

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    #[test]
    fn an_acknowledgment_measures_the_newest_segment_it_covers() {
        let mut slots = [Sent::default(); 4];
        let mut log = SentLog::new((&mut slots[..]).into());
        for n in 1..=3u32 {
            log.push(Seq::new(n * 100), at(u64::from(n) * 10));
        }
        assert_eq!(log.acknowledge(Seq::new(250), at(100)), Some(80));
        assert_eq!(log.acknowledge(Seq::new(260), at(100)), None);
        assert_eq!(log.acknowledge(Seq::new(300), at(130)), Some(100));
        assert_eq!(log.len(), 0);
    }

    #[test]
    fn what_was_sent_twice_is_never_measured() {
        let mut slots = [Sent::default(); 4];
        let mut log = SentLog::new((&mut slots[..]).into());
        for n in 1..=3u32 {
            log.push(Seq::new(n * 100), at(0));
        }
        log.resend(Seq::new(100), Seq::new(150), at(50));
        assert_eq!(log.acknowledge(Seq::new(100), at(60)), Some(60));
        assert_eq!(log.acknowledge(Seq::new(300), at(70)), None);
    }

    #[test]
    fn a_full_log_extends_its_newest_record_across_the_wrap() {
        let mut slots = [Sent::default(); 2];
        let mut log = SentLog::new((&mut slots[..]).into());
        log.push(Seq::new(100), at(1));
        log.push(Seq::new(200), at(2));
        assert_eq!(log.acknowledge(Seq::new(100), at(5)), Some(4));
        log.push(Seq::new(300), at(3));
        log.push(Seq::new(400), at(4));
        assert_eq!(log.len(), 2);
        assert_eq!(log.acknowledge(Seq::new(300), at(9)), Some(7));
        assert_eq!(log.acknowledge(Seq::new(400), at(9)), Some(5));
    }

    #[test]
    fn a_log_without_memory_measures_nothing_and_does_not_mind() {
        let mut log = SentLog::new((&mut [][..]).into());
        log.push(Seq::new(1), at(0));
        log.resend(Seq::new(0), Seq::new(1), at(0));
        assert_eq!(log.acknowledge(Seq::new(1), at(1)), None);
    }

    #[cfg(feature = "alloc")]
    #[test]
    fn an_owned_log_grows_in_order_and_gives_its_memory_back() {
        let mut log = SentLog::new(ManagedSlice::Owned(alloc::vec::Vec::new()));
        for n in 1..=6u32 {
            log.push(Seq::new(n), at(u64::from(n)));
        }
        log.acknowledge(Seq::new(5), at(6));
        for n in 7..=200u32 {
            log.push(Seq::new(n), at(u64::from(n)));
        }
        for n in 6..=200u32 {
            assert_eq!(log.acknowledge(Seq::new(n), at(u64::from(n) + 3)), Some(3));
        }
        assert_eq!(log.into_storage().len(), 0);
    }
}

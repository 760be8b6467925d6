//! What is in flight, in the small configuration: one segment is timed at a time, and no records are kept.
//!
//! Implements RFC 6298 §3: one measurement in each round trip, and none of what was sent twice (Karn's rule) or came with
//! it. Selective acknowledgments need a record of each segment (`sent.rs`), and CUBIC's slow start more measurements.

use core::marker::PhantomData;

use crate::seq::Seq;
use crate::time::Instant;

/// A record: there are none.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Sent(());

impl Sent {
    /// A record of nothing, for storage.
    pub const fn new() -> Self {
        Self(())
    }
}

/// What a connection's records lie in: nothing.
pub(crate) type Slots<'a> = PhantomData<&'a Sent>;

/// The records' memory: nothing.
pub(crate) const fn fixed_slots(_: &mut [Sent]) -> Slots<'_> {
    PhantomData
}

/// The records' memory: nothing, which never runs out.
pub(crate) const fn growing_slots<'a>() -> Option<Slots<'a>> {
    Some(PhantomData)
}

/// The segment that is timed, and what spoils a measurement.
pub(crate) struct SentLog<'a> {
    slots: Slots<'a>,
    /// The number behind the segment, and the microseconds, as far as 32 bits go, when it left.
    timed: Option<(Seq, u32)>,
    /// The number behind the last octet that was sent again and is not acknowledged.
    resent: Option<Seq>,
}

/// The clock as measurements have it.
pub(crate) fn micros(now: Instant) -> u32 {
    now.as_micros() as u32
}

impl<'a> SentLog<'a> {
    pub const fn new(slots: Slots<'a>) -> Self {
        Self { slots, timed: None, resent: None }
    }

    /// No record is marked.
    pub const fn is_marked(&self) -> bool {
        false
    }

    /// The peer is not asked what it holds.
    pub const fn sacked(&self) -> u32 {
        0
    }

    /// What is taken for lost is not counted.
    pub const fn lost(&self) -> u32 {
        0
    }

    /// New octets up to `end` left at `now`.
    #[inline]
    pub fn push(&mut self, _una: Seq, end: Seq, now: Instant) {
        if self.timed.is_none() {
            self.timed = Some((end, micros(now)));
        }
    }

    /// No record is kept of it.
    pub const fn note_size(&self, _mss: u16) {}

    /// The octets from `start` up to `end` left again.
    pub fn resend(&mut self, _una: Seq, start: Seq, end: Seq, _now: Instant) {
        if self.timed.is_some_and(|(timed, _)| timed.after(start)) {
            self.timed = None;
        }
        self.resent = Some(self.resent.map_or(end, |before| before.later(end)));
    }

    /// `ack` acknowledges what is behind `una`, SND.UNA before it. The round trip of the timed segment in microseconds, if
    /// that is among it, and nothing that was sent twice is.
    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    pub fn acknowledge(&mut self, una: Seq, ack: Seq, now: Instant) -> Option<u32> {
        let is_ambiguous = self.resent.is_some_and(|end| end.after(una));
        self.resent = self.resent.filter(|end| end.after(ack));
        let (_, at) = self.timed.filter(|(end, _)| end.at_or_before(ack))?;
        self.timed = None;
        //= https://www.rfc-editor.org/rfc/rfc6298#section-3
        //# RTT samples MUST NOT be made using segments that were
        //# retransmitted (and thus for which it is ambiguous whether the reply
        //# was for the first instance of the packet or a later instance).
        (!is_ambiguous).then(|| micros(now).wrapping_sub(at))
    }

    pub fn into_storage(self) -> Slots<'a> {
        self.slots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNA: Seq = Seq::new(u32::MAX - 50);

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    fn log() -> SentLog<'static> {
        SentLog::new(PhantomData)
    }

    #[test]
    fn one_segment_is_timed_in_each_round_trip() {
        let mut log = log();
        log.push(UNA, UNA + 100, at(10));
        log.push(UNA, UNA + 200, at(20));
        assert_eq!(log.acknowledge(UNA, UNA + 99, at(25)), None, "it is not all acknowledged");
        assert_eq!(log.acknowledge(UNA + 99, UNA + 200, at(40)), Some(30));
        log.push(UNA + 200, UNA + 300, at(50));
        assert_eq!(log.acknowledge(UNA + 200, UNA + 300, at(55)), Some(5));
    }

    #[test]
    fn what_was_sent_twice_is_never_measured_nor_what_waited_for_it() {
        let mut log = log();
        log.push(UNA, UNA + 100, at(0));
        log.resend(UNA, UNA, UNA + 100, at(50));
        log.push(UNA, UNA + 200, at(60));
        assert_eq!(log.acknowledge(UNA, UNA + 200, at(70)), None);
        log.push(UNA + 200, UNA + 300, at(80));
        assert_eq!(log.acknowledge(UNA + 200, UNA + 300, at(95)), Some(15), "that is over");
    }

    #[test]
    fn while_something_is_sent_again_the_measurement_is_left_to_the_next_segment() {
        let mut log = log();
        log.push(UNA, UNA + 100, at(0));
        log.resend(UNA, UNA + 100, UNA + 200, at(5));
        assert_eq!(log.acknowledge(UNA, UNA + 100, at(9)), None);
        log.push(UNA + 100, UNA + 300, at(10));
        assert_eq!(log.acknowledge(UNA + 100, UNA + 200, at(20)), None);
        assert_eq!(log.acknowledge(UNA + 200, UNA + 300, at(30)), Some(20));
    }
}

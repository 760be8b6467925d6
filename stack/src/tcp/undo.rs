//! Recoveries without need: noticed, and undone.
//!
//! Three ways to notice that nothing was lost: the timestamps of Eifel (RFC 3522), duplicates reported for every segment
//! that was sent again (RFC 2883, RFC 3708), and F-RTO (RFC 5682 §3, with SACK). The answer is RFC 4015's.

use super::cc::Prior;
use super::conn::Conn;
use super::info::Repair;
use super::sent::Delivered;
use super::snd::Phase;
use crate::seq::Seq;
use crate::time::Instant;
use crate::wire::segment::Segment;

/// F-RTO (RFC 5682 §3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Frto {
    #[default]
    Off,
    /// The first segment goes again; the next acknowledgment says whether to go on.
    First,
    /// New segments go instead of old ones; the next acknowledgment decides.
    Second,
}

/// What is needed to undo a recovery.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Undo {
    prior: Prior,
    /// TSval of the first segment that was sent again.
    stamp: u32,
    /// Octets sent again, and those of them that have come twice.
    resent: u32,
    duplicate: u32,
    /// Once this is acknowledged, it is too late, if `is_over`.
    end: Seq,
    is_armed: bool,
    /// The recovery is over.
    is_over: bool,
    /// Nothing was acknowledged yet since the first segment went again: Eifel looks at the first acknowledgment only.
    is_first: bool,
    frto: Frto,
}

impl Undo {
    pub const fn new() -> Self {
        Self {
            prior: Prior::NONE,
            stamp: 0,
            resent: 0,
            duplicate: 0,
            end: Seq::new(0),
            is_armed: false,
            is_over: false,
            is_first: false,
            frto: Frto::Off,
        }
    }

    /// The recovery is over; what was sent up to `nxt` may still tell that it was none.
    pub fn expire_at(&mut self, nxt: Seq) {
        self.end = nxt;
        self.is_over = true;
        self.frto = Frto::Off;
    }
}

impl Conn<'_> {
    /// A recovery begins: what the window was.
    pub(super) fn save_for_undo(&mut self) {
        let undo = &mut self.sack.rack.undo;
        *undo = Undo { prior: self.cc.prior(), is_armed: true, is_first: true, ..Undo::new() };
    }

    /// A time-out: as a recovery; and F-RTO begins. One that repeats itself is undone as the first would be, but by
    /// timestamps and duplicates only.
    pub(super) fn save_for_undo_of_rto(&mut self, is_first: bool) {
        if is_first && matches!(self.snd.phase, Phase::Open | Phase::Probing) {
            self.save_for_undo();
            self.sack.rack.undo.frto = Frto::First;
            return;
        }
        //= https://www.rfc-editor.org/rfc/rfc5682#section-3.1
        //# If the TCP sender is already in RTO recovery AND "recover" is larger than or equal to SND.UNA, do not enter
        //# step 2 of this algorithm.
        self.sack.rack.undo.frto = Frto::Off;
        self.sack.rack.undo.is_armed &= self.snd.phase == Phase::Loss;
    }

    /// `len` octets were sent again.
    pub(super) fn note_for_undo(&mut self, now: Instant, len: u32) {
        let stamp = self.stamp(now);
        let undo = &mut self.sack.rack.undo;
        if undo.resent == 0 {
            undo.stamp = stamp;
        }
        undo.resent = undo.resent.saturating_add(len);
    }

    /// Undoes the recovery if this acknowledgment says that it was without need.
    pub(super) fn undo_if_spurious(
        &mut self,
        now: Instant,
        seg: &Segment<'_>,
        news: &Delivered,
        duplicate: Option<(Seq, Seq)>,
        acked: u32,
    ) -> bool {
        let una = self.snd.una;
        let undo = &mut self.sack.rack.undo;
        if !undo.is_armed {
            return false;
        }
        // What was remembered long ago lies neither behind nor ahead.
        if undo.is_over && (una.after(undo.end) || undo.end.after(self.snd.nxt)) {
            undo.is_armed = false;
            return false;
        }
        if let Some((left, right)) = duplicate {
            undo.duplicate = undo.duplicate.saturating_add(right.distance_from(left));
        }
        let all_came_twice = undo.resent > 0 && undo.duplicate >= undo.resent;
        let is_spurious = all_came_twice || self.is_eifel(seg, news, acked) || self.is_frto(news, acked);
        if is_spurious {
            self.undo(now);
        }
        is_spurious
    }

    //= https://www.rfc-editor.org/rfc/rfc3522#section-3.2
    //# If the value of the Timestamp Echo Reply field of the acceptable ACK's Timestamps option is smaller than the value
    //# of RetransmitTS, then proceed to step (6)
    fn is_eifel(&mut self, seg: &Segment<'_>, news: &Delivered, acked: u32) -> bool {
        let undo = &mut self.sack.rack.undo;
        if acked == 0 || undo.resent == 0 || !undo.is_first {
            return false;
        }
        undo.is_first = false;
        let echo = seg.options.timestamps.filter(|stamps| self.stamps.is_on() && stamps.ecr != 0);
        // It must be an acknowledgment of what was sent again.
        news.resent.is_some() && echo.is_some_and(|stamps| Seq::new(stamps.ecr).before(Seq::new(undo.stamp)))
    }

    /// RFC 5682 §3.1, as far as SACK makes it simple: what was never sent again arrives although the timer had expired.
    fn is_frto(&mut self, news: &Delivered, acked: u32) -> bool {
        if self.snd.phase != Phase::Loss || self.sack.rack.undo.frto == Frto::Off {
            return false;
        }
        let is_past = self.snd.una.at_or_after(self.snd.recover);
        let arrived = news.lowest_original.is_some_and(|end| end.at_or_before(self.snd.recover));
        if !is_past && arrived {
            return true;
        }
        let next = match self.sack.rack.undo.frto {
            //= https://www.rfc-editor.org/rfc/rfc5682#section-3.1
            //# If the acknowledgment advances SND.UNA [...] transmit up to two new (previously unsent) segments
            Frto::First if acked > 0 && !is_past && self.has_new_text() => Frto::Second,
            _ => Frto::Off,
        };
        self.sack.rack.undo.frto = next;
        false
    }

    /// Whether new text can leave: neither the peer's window nor Nagle's rule may hold it back, or F-RTO would wait for
    /// what does not come.
    fn has_new_text(&self) -> bool {
        self.new_text(u32::from(self.snd.mss)).is_some()
    }

    /// Whether old segments wait until it is known if they are lost.
    pub(super) fn is_waiting_for_frto(&self) -> bool {
        self.sack.rack.undo.frto == Frto::Second && self.has_new_text()
    }

    fn undo(&mut self, now: Instant) {
        self.sent.unmark_lost(self.snd.una);
        let flight = self.pipe();
        let undo = &mut self.sack.rack.undo;
        undo.is_armed = false;
        undo.frto = Frto::Off;
        let prior = undo.prior;
        self.cc.undo(&prior, flight, u32::from(self.snd.mss));
        self.snd.phase = Phase::Open;
        self.sack.note(Repair::Undone);
        self.snd.recover = self.snd.una;
        self.sync_repair();
        self.restart_retransmit(now);
    }
}

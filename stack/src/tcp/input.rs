//! A segment arrives in a synchronized state: the steps of RFC 9293 §3.10.7.4, in their order.
//!
//! With RFC 5961 (blind attacks) and RFC 7323 §5 (PAWS). SYN-SENT is in `open.rs`, the fifth step in `ack.rs`. A step
//! that ends the processing answers `Break`; what is owed to the peer is only marked, and decided upon at egress.

use core::ops::ControlFlow;

#[cfg(feature = "tuning")]
use super::conn::Fate;
use super::conn::{Conn, Reply, Stop, Verdict, coarse};
use super::info::Repair;
use super::state::{Event, State};
use crate::device::SegmentSize;
use crate::error::TcpError;
use crate::event::Readiness;
use crate::seq::Seq;
use crate::stats::DropReason;
use crate::time::Instant;
use crate::wire::segment::{Flags, Segment};

/// A timestamp older than this says nothing any more: 24 days (RFC 7323 §5.5), in units of 2^20 microseconds.
const STALE_STAMP: u32 = 24 * 86_400 / 1_049 * 1_000;

/// The text of a segment, and its FIN, as far as they lie in the window.
pub(super) struct Text<'s> {
    seq: Seq,
    payload: &'s [u8],
    size: SegmentSize,
    fin: bool,
}

impl<'s> Text<'s> {
    fn of(seg: &Segment<'s>) -> Self {
        let syn = u32::from(seg.flags.contains(Flags::SYN));
        let (size, fin) = (seg.size, seg.flags.contains(Flags::FIN));
        Self { seq: seg.seq + syn, payload: seg.payload, size, fin }
    }

    fn len(&self) -> u32 {
        self.payload.len() as u32
    }

    /// Where the FIN is, if there is one.
    fn end(&self) -> Seq {
        self.seq + self.len()
    }

    //= https://www.rfc-editor.org/rfc/rfc9293#section-3.10.7.4
    //# Segments with higher beginning sequence numbers SHOULD be held for later processing (SHLD-31). [...] segments
    //# [are] trimmed of any portions that lie outside the window (including SYN and FIN)
    /// Cuts off what lies before `nxt`, and what lies `wnd` octets behind it; whether there was any of the latter.
    fn trim(&mut self, nxt: Seq, wnd: u32) -> bool {
        if self.seq.before(nxt) {
            let old = nxt.distance_from(self.seq).min(self.len());
            self.payload = self.payload.get(old as usize..).unwrap_or_default();
            self.seq = nxt;
        }
        self.cut_at(nxt + wnd)
    }

    /// Cuts off what lies at or behind `edge`, the FIN too unless all text before it stays.
    fn cut_at(&mut self, edge: Seq) -> bool {
        let beyond = self.end().after(edge);
        if beyond {
            let keep = if self.seq.before(edge) { edge.distance_from(self.seq) } else { 0 };
            self.payload = self.payload.get(..keep as usize).unwrap_or_default();
            self.fin = false;
        }
        beyond
    }

    /// Nothing fits: what remains is a FIN that came alone.
    fn refuse(&mut self) {
        self.fin &= self.payload.is_empty();
        self.payload = &[];
    }
}

impl Conn<'_> {
    /// SEGMENT ARRIVES.
    pub fn handle_segment(&mut self, now: Instant, seg: &Segment<'_>) -> Verdict {
        let outcome = match self.state {
            State::Closed => Stop::drop(DropReason::TcpAfterClose),
            State::SynSent => self.handle_in_syn_sent(now, seg),
            _ => self.handle_synchronized(now, seg),
        };
        let verdict = self.finish(now);
        match outcome {
            ControlFlow::Continue(()) | ControlFlow::Break(Stop::Quietly) => verdict,
            #[cfg(feature = "tuning")]
            ControlFlow::Break(Stop::Held) => {
                let fate = if verdict.fate == Fate::Open { Fate::Holds } else { verdict.fate };
                Verdict { fate, ..verdict }
            }
            ControlFlow::Break(Stop::Drop(reason)) => Verdict { drop: Some(reason), ..verdict },
            ControlFlow::Break(Stop::Reset) => {
                Verdict { drop: Some(DropReason::TcpBadAck), reset: Reply::reset_for(seg), ..verdict }
            }
        }
    }

    fn handle_synchronized(&mut self, now: Instant, seg: &Segment<'_>) -> ControlFlow<Stop> {
        let mut text = Text::of(seg);
        self.repeated_syn(now, seg)?;
        self.first_check_sequence_number(now, seg, &mut text)?;
        self.second_check_rst(now, seg)?;
        // Third, security and compartment: neither is in use.
        self.fourth_check_syn(now, seg)?;
        self.fifth_check_ack(now, seg)?;
        self.sixth_check_urg(seg);
        self.seventh_process_text(&text)?;
        self.eighth_check_fin(now, &text);
        ControlFlow::Continue(())
    }

    /// Simultaneous open: in SYN-RECEIVED the peer's SYN comes again, now with the ACK of ours (figure 8, line 6).
    fn repeated_syn(&mut self, now: Instant, seg: &Segment<'_>) -> ControlFlow<Stop> {
        let again = Flags::SYN;
        if self.state != State::SynReceived || !seg.flags.contains(again) || seg.seq != self.rcv.irs {
            return ControlFlow::Continue(());
        }
        if seg.flags.contains(Flags::RST) {
            return Stop::drop(DropReason::TcpBadReset);
        }
        if seg.flags.contains(Flags::ACK) {
            self.check_ack_of_syn(now, seg)?;
            self.rcv.ack_now = true;
        } else {
            self.snd.mark_lost();
        }
        ControlFlow::Break(Stop::Quietly)
    }

    fn first_check_sequence_number(
        &mut self,
        now: Instant,
        seg: &Segment<'_>,
        text: &mut Text<'_>,
    ) -> ControlFlow<Stop> {
        self.check_timestamp(now, seg)?;
        let (nxt, wnd) = (self.rcv.nxt, self.rcv.wnd());
        if is_acceptable(seg, nxt, wnd) {
            if text.seq.before(nxt) {
                self.note_duplicate(text.seq, text.end().earlier(nxt));
            }
            // A sender that overran the window is to know at once.
            self.rcv.ack_now |= text.trim(nxt, wnd);
        } else if seg.seq == nxt {
            //= https://www.rfc-editor.org/rfc/rfc9293#section-3.10.7.4
            //# If the RCV.WND is zero, no segments will be acceptable, but special allowance should be made to accept
            //# valid ACKs, URGs, and RSTs.
            self.rcv.ack_now |= !text.payload.is_empty();
            text.refuse();
        } else {
            return self.out_of_window(now, seg);
        }
        self.last_heard = now;
        if cfg!(feature = "keep-alive") && self.keep_probes > 0 {
            self.on_probe_answered(now);
        }
        self.take_timestamp(now, seg);
        self.take_ecn(seg);
        ControlFlow::Continue(())
    }

    fn out_of_window(&mut self, now: Instant, seg: &Segment<'_>) -> ControlFlow<Stop> {
        if seg.flags.contains(Flags::RST) {
            return Stop::drop(DropReason::TcpBadReset);
        }
        if seg.flags.contains(Flags::SYN) {
            self.challenge(now);
            return Stop::drop(DropReason::TcpUnexpectedSyn);
        }
        //= https://www.rfc-editor.org/rfc/rfc9293#section-3.10.7.4
        //# If an incoming segment is not acceptable, an acknowledgment should be sent in reply (unless the RST bit is
        //# set, if so drop the segment and return)
        self.answer_unacceptable(now, seg);
        Stop::drop(DropReason::TcpOutOfWindow)
    }

    /// Text that comes again is acknowledged each time; what has no text might be the answer to our answer, and is
    /// answered at a bounded rate.
    fn answer_unacceptable(&mut self, now: Instant, seg: &Segment<'_>) {
        if seg.len() > 0 {
            #[cfg(not(feature = "time-wait"))]
            self.rest_longer(now, seg);
            self.note_duplicate(seg.seq, seg.seq + seg.payload.len() as u32);
            self.rcv.ack_now = true;
        } else if seg.seq + 1 == self.rcv.nxt {
            self.answer_probe(now);
        } else {
            self.challenge(now);
        }
    }

    /// RFC 7323 §5.3, R1: protection against wrapped sequence numbers.
    fn check_timestamp(&mut self, now: Instant, seg: &Segment<'_>) -> ControlFlow<Stop> {
        if !self.stamps.is_on() || seg.flags.contains(Flags::RST) {
            return ControlFlow::Continue(());
        }
        let Some(stamps) = seg.options.timestamps else {
            //= https://www.rfc-editor.org/rfc/rfc7323#section-3.2
            //# If a non-<RST> segment is received without a TSopt, a TCP SHOULD silently drop the segment.
            return Stop::drop(DropReason::TcpPaws);
        };
        let older = Seq::new(stamps.val).before(Seq::new(self.stamps.recent));
        if !older {
            return ControlFlow::Continue(());
        }
        if coarse(now).wrapping_sub(self.stamps.recent_at) > STALE_STAMP {
            self.stamps.recent = stamps.val;
            return ControlFlow::Continue(());
        }
        if seg.flags.contains(Flags::SYN) {
            self.challenge(now);
        } else {
            self.answer_unacceptable(now, seg);
        }
        Stop::drop(DropReason::TcpPaws)
    }

    //= https://www.rfc-editor.org/rfc/rfc7323#section-4.3
    //# If SEG.TSval >= TS.Recent and SEG.SEQ <= Last.ACK.sent, then SEG.TSval is copied to TS.Recent
    fn take_timestamp(&mut self, now: Instant, seg: &Segment<'_>) {
        if !self.stamps.is_on() || seg.flags.contains(Flags::RST) || seg.seq.after(self.rcv.last_ack_sent) {
            return;
        }
        if let Some(stamps) = seg.options.timestamps {
            self.stamps.take(stamps.val, now);
        }
    }

    fn second_check_rst(&mut self, now: Instant, seg: &Segment<'_>) -> ControlFlow<Stop> {
        if !seg.flags.contains(Flags::RST) {
            return ControlFlow::Continue(());
        }
        if self.state == State::TimeWait {
            // RFC 1337 §3: a reset must not end TIME-WAIT.
            return Stop::drop(DropReason::TcpBadReset);
        }
        if seg.seq != self.rcv.nxt {
            //= https://www.rfc-editor.org/rfc/rfc5961#section-3.2
            //# If the RST bit is set and the sequence number does not exactly match the next expected sequence value,
            //# yet is within the current receive window, TCP MUST send an acknowledgment (challenge ACK).
            if seg.seq.is_in(self.rcv.nxt, self.rcv.wnd()) {
                self.challenge(now);
            }
            return Stop::drop(DropReason::TcpBadReset);
        }
        //= https://www.rfc-editor.org/rfc/rfc5961#section-3.2
        //# If the RST bit is set and the sequence number exactly matches the next expected sequence number (RCV.NXT),
        //# then TCP MUST reset the connection.
        self.close_with(match self.state {
            State::SynReceived => Some(TcpError::Refused),
            State::Closing | State::LastAck => None,
            _ => Some(TcpError::Reset),
        });
        ControlFlow::Break(Stop::Quietly)
    }

    fn fourth_check_syn(&mut self, now: Instant, seg: &Segment<'_>) -> ControlFlow<Stop> {
        if !seg.flags.contains(Flags::SYN) {
            return ControlFlow::Continue(());
        }
        //= https://www.rfc-editor.org/rfc/rfc5961#section-4.2
        //# If the SYN bit is set, irrespective of the sequence number, TCP MUST send an ACK (also referred to as
        //# challenge ACK) to the remote peer
        self.challenge(now);
        Stop::drop(DropReason::TcpUnexpectedSyn)
    }

    pub(super) fn seventh_process_text(&mut self, text: &Text<'_>) -> ControlFlow<Stop> {
        if text.payload.is_empty() {
            return ControlFlow::Continue(());
        }
        if !self.state.may_receive() {
            // Behind the peer's FIN there is nothing to deliver or to acknowledge.
            self.rcv.ack_now = true;
            return Stop::drop(DropReason::TcpAfterClose);
        }
        if self.orphan {
            return self.text_without_reader();
        }
        let mut new = Text { seq: text.seq, payload: text.payload, size: text.size, fin: false };
        if let Some(fin) = self.rcv.fin() {
            new.cut_at(fin);
        }
        if new.seq == self.rcv.nxt {
            return self.take_in_order(&new);
        }
        self.hold_out_of_order(&new)?;
        #[cfg(feature = "tuning")]
        if self.holds_on_loan() {
            self.note_fin(text);
            return ControlFlow::Break(Stop::Held);
        }
        ControlFlow::Continue(())
    }

    //= https://www.rfc-editor.org/rfc/rfc9293#section-3.6.1
    //# If such a host issues a CLOSE call while received data is still pending in the TCP connection, or if new data is
    //# received after CLOSE is called, its TCP implementation SHOULD send a RST to show that data was lost (SHLD-3).
    fn text_without_reader(&mut self) -> ControlFlow<Stop> {
        if self.tx.is_empty() {
            self.abort_with(None);
        } else {
            self.reset_at_end = true;
        }
        Stop::drop(DropReason::TcpAfterClose)
    }

    #[inline]
    fn take_in_order(&mut self, text: &Text<'_>) -> ControlFlow<Stop> {
        let taken = self.rx.write(text.payload) as u32;
        self.rcv.advance(taken);
        self.rcv.unacked = self.rcv.unacked.saturating_add(taken);
        self.learn_full_size(text.size.longest(text.payload.len()));
        // A window told in rounded units may bring octets that there is no room for.
        self.rcv.ack_now |= taken < text.len();
        if taken > 0 {
            self.events |= Readiness::READ;
        }
        if !self.holes.is_empty() {
            self.fill_hole(taken);
        }
        ControlFlow::Continue(())
    }

    fn learn_full_size(&mut self, len: usize) {
        if len > usize::from(self.rcv.full) {
            self.rcv.full = u16::try_from(len).unwrap_or(u16::MAX).min(self.settings.mss);
        }
    }

    /// `taken` octets came in order while others waited beyond a hole.
    fn fill_hole(&mut self, taken: u32) {
        self.note_known(self.rcv.nxt - taken, 0, taken);
        self.holes.advance(taken);
        let mut joined = self.holes.pop_front();
        if let Some(fin) = self.rcv.fin() {
            joined = joined.min(fin.distance_from(self.rcv.nxt));
        }
        if joined > 0 {
            self.rx.extend(joined as usize);
            self.rcv.advance(joined);
            self.rcv.unacked = self.rcv.unacked.saturating_add(joined);
        }
        //= https://www.rfc-editor.org/rfc/rfc5681#section-4.2
        //# In addition, a TCP receiver SHOULD send an immediate ACK when the incoming segment fills in all or part of a
        //# gap in the sequence space.
        self.rcv.ack_now = true;
        self.rcv.dup_acks = 0;
        if self.holes.is_empty() {
            self.rx.forget_ahead();
        }
    }

    fn hold_out_of_order(&mut self, text: &Text<'_>) -> ControlFlow<Stop> {
        //= https://www.rfc-editor.org/rfc/rfc5681#section-4.2
        //# A TCP receiver SHOULD send an immediate duplicate ACK when an out-of-order segment arrives.
        self.rcv.owe_dup_acks(text.size.segments(text.payload.len()));
        self.sack.note(Repair::OutOfOrder);
        let offset = text.seq.distance_from(self.rcv.nxt);
        let held = self.rx.write_at(offset as usize, text.payload) as u32;
        self.note_known(self.rcv.nxt, offset, held);
        if held == 0 || self.holes.add(offset, held).is_err() {
            return Stop::drop(DropReason::TcpNoRoom);
        }
        self.note_held(offset);
        ControlFlow::Continue(())
    }

    /// The end of the peer's text is known, whether or not all of it is there.
    fn note_fin(&mut self, text: &Text<'_>) {
        if text.fin {
            self.rcv.ack_now = true;
            if self.rcv.fin().is_none() && self.state.may_receive() {
                self.rcv.end_at(text.end());
            }
        }
    }

    pub(super) fn eighth_check_fin(&mut self, now: Instant, text: &Text<'_>) {
        self.note_fin(text);
        if self.rcv.fin() != Some(self.rcv.nxt) || self.rcv.fin_taken {
            return;
        }
        self.rcv.advance(1);
        self.rcv.fin_taken = true;
        self.rcv.dup_acks = 0;
        self.rcv.ack_now = true;
        self.events |= Readiness::READ;
        self.enter(Event::RecvFin);
        self.on_entered(now);
    }

    /// A SYN|ACK established the connection; its text and FIN are taken as if they came behind it.
    pub(super) fn process_text_of_syn(&mut self, now: Instant, seg: &Segment<'_>) -> ControlFlow<Stop> {
        let mut text = Text::of(seg);
        text.trim(self.rcv.nxt, self.rcv.wnd());
        self.seventh_process_text(&text)?;
        self.eighth_check_fin(now, &text);
        ControlFlow::Continue(())
    }
}

/// RFC 9293 §3.4, table 6, as one question: does the segment overlap the window?
///
/// A segment without length may also stand at the right edge, where a peer that used up its window stands.
fn is_acceptable(seg: &Segment<'_>, nxt: Seq, wnd: u32) -> bool {
    let edge = nxt + wnd;
    let len = seg.len();
    if len == 0 {
        return seg.seq.at_or_after(nxt) && seg.seq.at_or_before(edge);
    }
    seg.seq.before(edge) && (seg.seq + len).after(nxt)
}

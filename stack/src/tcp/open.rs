//! The handshake as the connection sees it: SYN-SENT, and what a SYN's options agree on.
//!
//! Implements RFC 9293 §3.10.7.3, RFC 7323 §2.2 and §3.2.

use core::ops::ControlFlow;

use super::conn::{Conn, Stop};
use super::snd::Phase;
use super::state::{Event, State};
use super::timers::Timer;
use crate::error::TcpError;
use crate::event::Readiness;
use crate::seq::Seq;
use crate::stats::DropReason;
use crate::time::Instant;
use crate::wire::segment::{Flags, Segment};

impl Conn<'_> {
    /// RFC 9293 §3.10.7.3, in its order.
    pub(super) fn handle_in_syn_sent(&mut self, now: Instant, seg: &Segment<'_>) -> ControlFlow<Stop> {
        let acked = self.syn_sent_first_check_ack(seg)?;
        self.syn_sent_second_check_rst(seg, acked)?;
        // Third, security and compartment: neither is in use.
        self.syn_sent_fourth_check_syn(now, seg, acked)?;
        ControlFlow::Continue(())
    }

    /// Whether our SYN is acknowledged. An unsent SYN never is.
    fn syn_sent_first_check_ack(&mut self, seg: &Segment<'_>) -> ControlFlow<Stop, bool> {
        if !seg.flags.contains(Flags::ACK) {
            return ControlFlow::Continue(false);
        }
        //= https://www.rfc-editor.org/rfc/rfc9293#section-3.10.7.3
        //# If SEG.ACK =< ISS or SEG.ACK > SND.NXT, send a reset (unless the RST bit is set, if so drop the segment and
        //# return)
        if seg.ack.at_or_before(self.snd.iss) || seg.ack.after(self.snd.nxt) {
            return ControlFlow::Break(Stop::Reset);
        }
        ControlFlow::Continue(true)
    }

    fn syn_sent_second_check_rst(&mut self, seg: &Segment<'_>, acked: bool) -> ControlFlow<Stop> {
        if !seg.flags.contains(Flags::RST) {
            return ControlFlow::Continue(());
        }
        if !acked {
            return Stop::drop(DropReason::TcpBadReset);
        }
        self.close_with(Some(TcpError::Refused));
        ControlFlow::Break(Stop::Quietly)
    }

    fn syn_sent_fourth_check_syn(&mut self, now: Instant, seg: &Segment<'_>, acked: bool) -> ControlFlow<Stop> {
        if !seg.flags.contains(Flags::SYN) {
            return Stop::drop(if acked { DropReason::TcpBadAck } else { DropReason::TcpNoAck });
        }
        self.agree_on_options(now, seg);
        self.last_heard = now;
        let (window, _) = self.syn_offer();
        self.rcv.on_syn(seg.seq, window);
        if !acked {
            // Simultaneous open: our SYN goes (again) as SYN|ACK. Text and FIN on this SYN come again.
            self.enter(Event::RecvSyn);
            self.snd.set_window(seg.seq, self.snd.iss, u32::from(seg.window));
            self.snd.mark_lost();
            return ControlFlow::Break(Stop::Quietly);
        }
        self.enter(Event::RecvSynAck);
        self.snd.set_window(seg.seq, seg.ack, u32::from(seg.window));
        self.rcv.ack_now = true;
        self.on_syn_acked(now, seg.ack);
        // Text and FIN on the SYN|ACK may be taken; the rest of the steps follow.
        self.process_text_of_syn(now, seg)
    }

    /// The options of the peer's SYN, against what we offer.
    fn agree_on_options(&mut self, now: Instant, seg: &Segment<'_>) {
        let options = &seg.options;
        if let (true, Some(stamps)) = (self.offers_stamps(), options.timestamps) {
            self.stamps.take(stamps.val, now);
        }
        if let (true, Some(theirs)) = (self.offers_scale(), options.window_scale) {
            //= https://www.rfc-editor.org/rfc/rfc7323#section-2.3
            //# If a Window Scale option is received with a shift.cnt value larger than 14, the TCP SHOULD log the error
            //# but MUST use 14 instead of the specified value.
            self.snd.shift = theirs.min(14);
            self.rcv.shift = self.syn_offer().1;
            self.snd.scaling = true;
        }
        self.agree_on_sack(options.sack_permitted, seg.seq);
        self.agree_on_ecn(seg);
        self.set_peer_mss(options.mss);
    }

    /// RFC 9293 §3.10.7.4, fifth step in SYN-RECEIVED.
    pub(super) fn check_ack_of_syn(&mut self, now: Instant, seg: &Segment<'_>) -> ControlFlow<Stop> {
        if seg.ack.at_or_before(self.snd.una) || seg.ack.after(self.snd.nxt) {
            return ControlFlow::Break(Stop::Reset);
        }
        self.enter(Event::SynAcked);
        let window = self.snd.unscaled(seg.window);
        // The SYN itself, which simultaneous open may bring here again, has an unscaled window.
        let window = if seg.flags.contains(Flags::SYN) { u32::from(seg.window) } else { window };
        self.snd.set_window(seg.seq, seg.ack, window);
        self.on_syn_acked(now, self.snd.iss + 1);
        ControlFlow::Continue(())
    }

    /// Our SYN was acknowledged, up to `ack`: the connection is established.
    fn on_syn_acked(&mut self, now: Instant, ack: Seq) {
        self.snd.una = ack;
        self.snd.resend = self.snd.resend.later(ack);
        self.snd.phase = Phase::Open;
        self.snd.dup_acks = 0;
        match self.sent.acknowledge(self.snd.iss, ack, now) {
            Some(sample) if !self.rtt.lost_syn => self.rtt.on_sample(sample, &self.settings),
            _ if self.rtt.lost_syn => self.rtt.after_lost_syn(&self.settings),
            _ => {}
        }
        self.cc.on_established(u32::from(self.snd.mss), self.rtt.lost_syn, ack);
        self.retries = 0;
        self.progress_at = now;
        self.timers.retransmit = Timer::OFF;
        if cfg!(feature = "keep-alive") && self.settings.keep_count > 0 {
            self.timers.keep = Timer::after(now, self.settings.keep_idle());
        }
        debug_assert!(self.state == State::Established);
        self.events |= Readiness::CONNECTED | Readiness::WRITE;
    }
}

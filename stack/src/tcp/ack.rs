//! The fifth step: what an acknowledgment acknowledges, and what it says of losses and of the window.
//!
//! Implements RFC 9293 §3.10.7.4 (fifth), RFC 5961 §5, RFC 5681 §3.2, RFC 6582 §3.2, RFC 7323 §4 (RTTM).

use core::ops::ControlFlow;

use super::cc::Acked;
use super::conn::{Conn, Stop};
use super::info::Repair;
use super::snd::Phase;
use super::state::{Event, State};
use super::timers::Timer;
use crate::event::Readiness;
use crate::seq::Seq;
use crate::stats::DropReason;
use crate::time::Instant;
use crate::wire::segment::{Flags, Segment};

/// Duplicate acknowledgments that mean a loss (RFC 5681 §3.2).
const DUP_THRESHOLD: u8 = 3;

impl Conn<'_> {
    pub(super) fn fifth_check_ack(&mut self, now: Instant, seg: &Segment<'_>) -> ControlFlow<Stop> {
        if !seg.flags.contains(Flags::ACK) {
            return Stop::drop(DropReason::TcpNoAck);
        }
        if self.state == State::SynReceived {
            self.check_ack_of_syn(now, seg)?;
        }
        //= https://www.rfc-editor.org/rfc/rfc5961#section-5.2
        //# The ACK value is considered acceptable only if it is in the range of
        //# ((SND.UNA - MAX.SND.WND) <= SEG.ACK <= SND.NXT).
        if seg.ack.after(self.snd.nxt) || seg.ack.before(self.snd.una - self.snd.max_wnd) {
            self.challenge(now);
            return Stop::drop(DropReason::TcpBadAck);
        }
        if seg.ack.before(self.snd.una) {
            if self.is_repairing(seg) {
                self.handle_ack_in_repair(now, seg);
            }
            return ControlFlow::Continue(());
        }
        let wnd = self.snd.unscaled(seg.window);
        let was_closed = self.snd.wnd == 0;
        let is_echo = self.is_echo(seg);
        if is_echo {
            self.on_echo();
        }
        let cwnd = self.cc.cwnd();
        if self.is_repairing(seg) {
            self.handle_ack_in_repair(now, seg);
        } else if seg.ack != self.snd.una {
            self.on_new_ack(now, seg);
        } else if !self.sack.is_on() && self.is_duplicate(seg, wnd) {
            self.on_duplicate_ack();
        }
        if is_echo {
            self.hold_window(cwnd);
        }
        if self.snd.update_window(seg.seq, seg.ack, wnd) {
            self.on_window(was_closed);
        }
        if self.snd.wnd == 0 {
            //= https://www.rfc-editor.org/rfc/rfc9293#section-3.8.6.1
            //# As long as the receiving TCP peer continues to send acknowledgments in response to the probe segments,
            //# the sending TCP peer MUST allow the connection to stay open
            self.progress_at = now;
        }
        if self.state == State::Closed { ControlFlow::Break(Stop::Quietly) } else { ControlFlow::Continue(()) }
    }

    /// The peer's window changed.
    fn on_window(&mut self, was_closed: bool) {
        if !was_closed || self.snd.wnd == 0 {
            return;
        }
        // What was sent into a closed window, probes above all, was refused: it goes again with the rest.
        self.take_all_for_lost();
        self.snd.probe = false;
        self.rtt.reset_backoff();
        self.timers.retransmit = Timer::OFF;
    }

    //= https://www.rfc-editor.org/rfc/rfc5681#section-2
    //# An acknowledgment is considered a "duplicate" [...] when (a) the receiver of the ACK has outstanding data, (b)
    //# the incoming acknowledgment carries no data, (c) the SYN and FIN bits are both off, (d) the acknowledgment number
    //# is equal to the greatest acknowledgment received [...] and (e) the advertised window [...] equals the advertised
    //# window in the last incoming acknowledgment.
    fn is_duplicate(&self, seg: &Segment<'_>, wnd: u32) -> bool {
        seg.payload.is_empty()
            && !seg.flags.intersects(Flags::SYN.with(Flags::FIN))
            && !self.snd.is_idle()
            && wnd == self.snd.wnd
            && wnd > 0
    }

    /// SND.UNA < SEG.ACK =< SND.NXT.
    fn on_new_ack(&mut self, now: Instant, seg: &Segment<'_>) {
        let (una, flight) = (self.snd.una, self.snd.flight());
        let (acked, fin_acked) = self.take_ack(seg.ack);
        let sample = self.sent.acknowledge(una, seg.ack, now);
        let rtt = self.measure(now, seg, sample, true);
        self.recover(now, acked, flight, rtt);
        self.after_ack(now, fin_acked);
    }

    /// Moves SND.UNA: the octets newly acknowledged, and whether our FIN is among them.
    #[inline]
    pub(super) fn take_ack(&mut self, ack: Seq) -> (u32, bool) {
        let acked = self.snd.acknowledge(ack);
        let fin_acked = self.fin_sent && self.snd.is_idle();
        self.tx.consume((acked - u32::from(fin_acked)) as usize);
        (acked, fin_acked)
    }

    /// What follows from any acknowledgment of something new.
    #[cfg_attr(all(target_os = "none", feature = "sack"), inline(never))]
    #[cfg_attr(not(all(target_os = "none", feature = "sack")), inline)]
    pub(super) fn after_ack(&mut self, now: Instant, fin_acked: bool) {
        self.offer_room();
        self.on_urgent_acked();
        if fin_acked {
            self.on_fin_acked(now);
        } else if self.reset_at_end && self.tx.is_empty() {
            self.abort_with(None);
        }
    }

    /// RFC 6298 §3: segments sent once give the best measurement; for others the timestamp tells which one is meant.
    #[cfg_attr(all(target_os = "none", feature = "sack"), inline(never))]
    #[cfg_attr(not(all(target_os = "none", feature = "sack")), inline)]
    pub(super) fn measure(
        &mut self,
        now: Instant,
        seg: &Segment<'_>,
        sample: Option<u32>,
        is_new: bool,
    ) -> Option<u32> {
        if is_new {
            self.retries = 0;
            self.progress_at = now;
            self.timers.retransmit = Timer::OFF;
        }
        let sample = sample.or_else(|| if is_new { self.measure_by_timestamp(now, seg) } else { None });
        match sample {
            Some(rtt) => self.rtt.on_sample(rtt, &self.settings),
            // While the window is closed the probes' back-off goes on.
            None if is_new && (self.snd.wnd > 0 || seg.window > 0) => self.rtt.reset_backoff(),
            None => {}
        }
        sample
    }

    fn measure_by_timestamp(&self, now: Instant, seg: &Segment<'_>) -> Option<u32> {
        let stamps = seg.options.timestamps.filter(|s| self.stamps.is_on() && s.ecr != 0)?;
        let ticks = self.stamp(now).wrapping_sub(stamps.ecr);
        // An echo of what we never sent, or of an age: no measurement.
        (ticks < 60_000).then_some((ticks << 10).max(1))
    }

    /// The window grows by what was acknowledged outside of fast recovery.
    #[inline]
    pub(super) fn grow(&mut self, now: Instant, octets: u32, flight: u32, after_rto: bool, rtt: Option<u32>) {
        let (mss, una, nxt) = (u32::from(self.snd.mss), self.snd.una, self.snd.nxt);
        if octets > 0 {
            self.cc.on_ack(&Acked { now, octets, flight, mss, after_rto, rtt, una, nxt });
        }
    }

    #[inline]
    fn recover(&mut self, now: Instant, acked: u32, flight: u32, rtt: Option<u32>) {
        if self.snd.phase == Phase::Open {
            self.snd.dup_acks = 0;
            self.snd.limited = 0;
            self.grow(now, acked, flight, false, rtt);
        } else {
            self.recover_without_sack(now, acked, flight, rtt);
        }
    }

    #[cold]
    fn recover_without_sack(&mut self, now: Instant, acked: u32, flight: u32, rtt: Option<u32>) {
        let mss = u32::from(self.snd.mss);
        match self.snd.phase {
            Phase::Fast if self.snd.una.before(self.snd.recover) => {
                //= https://www.rfc-editor.org/rfc/rfc6582#section-3.2
                //# If this ACK does not acknowledge all of the data up to and including recover, then this is a partial
                //# ACK. In this case, retransmit the first unacknowledged segment.
                self.snd.fast_retransmit = true;
                self.cc.on_partial_ack(acked, mss);
            }
            Phase::Fast => {
                self.snd.phase = Phase::Open;
                self.snd.dup_acks = 0;
                self.snd.limited = 0;
                self.snd.fast_retransmit = false;
                self.cc.on_recovered(self.snd.outstanding(), mss);
            }
            Phase::Loss => {
                self.snd.dup_acks = 0;
                self.grow(now, acked, flight, true, rtt);
                if self.snd.una.at_or_after(self.snd.recover) {
                    self.snd.phase = Phase::Open;
                }
            }
            _ => {}
        }
    }

    #[cold]
    fn on_duplicate_ack(&mut self) {
        let mss = u32::from(self.snd.mss);
        match self.snd.phase {
            Phase::Open => {
                self.snd.dup_acks = self.snd.dup_acks.saturating_add(1);
                // RFC 6582 §3.2, step 2: after a recovery only what was sent since can be lost anew.
                if self.snd.dup_acks == DUP_THRESHOLD && self.snd.una.after(self.snd.recover) {
                    let flight = self.snd.flight().saturating_sub(u32::from(self.snd.limited));
                    self.cc.on_fast_retransmit(flight, mss, self.is_reduced_by_echo());
                    self.ecn.on_loss();
                    self.snd.phase = Phase::Fast;
                    self.sack.note(Repair::Recovery);
                    self.snd.recover = self.snd.nxt;
                    self.snd.fast_retransmit = true;
                }
            }
            Phase::Fast => self.cc.on_recovery_dup_ack(self.snd.recover.distance_from(self.snd.una), mss),
            _ => {}
        }
    }

    /// Tells a writer that waits for room, once there is enough to be worth it.
    fn offer_room(&mut self) {
        if self.wants_write {
            self.tune_tx();
            if self.tx.free() >= self.tx.capacity() / 4 {
                self.wants_write = false;
                self.events |= Readiness::WRITE;
            }
        }
    }

    fn on_fin_acked(&mut self, now: Instant) {
        self.enter(Event::FinAcked);
        if self.state == State::Closed {
            self.close_with(None);
        } else {
            self.on_entered(now);
        }
    }
}

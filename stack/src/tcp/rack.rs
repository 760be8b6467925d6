//! RACK-TLP: losses noticed by time, and probes for those at the tail.
//!
//! Implements RFC 8985: §6 (RACK: what was sent well before something that has arrived is lost), §6.2 step 4 (the
//! reordering window adapts, by RFC 2883's duplicates), §7 (TLP). One timer serves all (§8): see [`Waiting`]. RFC 7765:
//! of a short tail, the time-out counts from when it left.

use super::conn::Conn;
use super::info::Repair;
use super::sack::DUP_THRESHOLD;
use super::sent::{Delivered, is_later, micros};
use super::snd::Phase;
use super::timers::Timer;
use super::undo::Undo;
use crate::seq::Seq;
use crate::time::{Duration, Instant};
use crate::wire::segment::Segment;

/// TLP.max_ack_delay (RFC 8985 §7.2): a lone segment may be acknowledged so much later.
const MAX_ACK_DELAY: Duration = Duration::from_millis(200);
/// The probe timeout before the first measurement (RFC 8985 §7.2).
const FIRST_PROBE: Duration = Duration::from_secs(1);
/// rrthresh (RFC 7765 §4): with fewer segments than this, duplicate acknowledgments cannot tell of a loss.
const FEW: usize = 4;
/// Recoveries after which the reordering window falls back (RFC 8985 §6.2, RACK.reo_wnd_persist).
const PERSIST: u8 = 16;

/// What the retransmission timer waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Waiting {
    /// RFC 6298.
    #[default]
    Rto,
    /// RFC 8985 §6.2 step 5: for what is reordered, or lost.
    Reordering,
    /// RFC 8985 §7: for the tail.
    Probe,
}

/// RACK's and TLP's variables, named as in RFC 8985 §5.3.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rack {
    on: bool,
    waiting: Waiting,
    reordering_seen: bool,
    reo_wnd_mult: u8,
    reo_wnd_persist: u8,
    /// TLP.is_retrans.
    probe_is_resent: bool,
    /// A window of one more segment was lent to a probe of new text.
    lent: bool,
    has_delivered: bool,
    xmit_ts: u32,
    end_seq: Seq,
    rtt: u32,
    fack: Seq,
    /// RACK.dsack_round: until this is acknowledged, duplicates count once.
    dsack_round: Seq,
    pub(super) undo: Undo,
}

impl Rack {
    pub const fn new(on: bool) -> Self {
        Self {
            on,
            waiting: Waiting::Rto,
            reordering_seen: false,
            reo_wnd_mult: 1,
            reo_wnd_persist: 0,
            probe_is_resent: false,
            lent: false,
            has_delivered: false,
            xmit_ts: 0,
            end_seq: Seq::new(0),
            rtt: 0,
            fack: Seq::new(0),
            dsack_round: Seq::new(0),
            undo: Undo::new(),
        }
    }

    pub const fn is_on(&self) -> bool {
        self.on
    }

    /// RFC 8985 §6.2, step 2: the newest of what was delivered.
    fn update(&mut self, now: Instant, newest: (u32, Seq)) {
        let (at, end) = newest;
        if !self.has_delivered || sent_after(at, end, self.xmit_ts, self.end_seq) {
            self.has_delivered = true;
            self.xmit_ts = at;
            self.end_seq = end;
        }
        self.rtt = micros(now).wrapping_sub(at);
    }

    /// Nothing was to be repaired before this acknowledgment: what was remembered of earlier deliveries may be older than
    /// its clock and its numbers can tell.
    fn forget_deliveries(&mut self, una: Seq) {
        self.has_delivered = false;
        self.fack = una;
    }

    /// RFC 8985 §6.2, step 4: a duplicate says that the window was too short.
    fn widen(&mut self, una: Seq, nxt: Seq) {
        // A round of long ago is over, though its end seems to lie ahead.
        if una.before(self.dsack_round) && self.dsack_round.at_or_before(nxt) {
            return;
        }
        self.dsack_round = nxt;
        self.reo_wnd_mult = self.reo_wnd_mult.saturating_add(1);
        self.reo_wnd_persist = PERSIST;
    }
}

/// RACK_sent_after.
const fn sent_after(t1: u32, seq1: Seq, t2: u32, seq2: Seq) -> bool {
    is_later(t1, t2) || (t1 == t2 && seq1.after(seq2))
}

impl Conn<'_> {
    /// Nothing is being repaired yet, and an acknowledgment has come that may change that.
    pub(super) fn rack_before_repair(&mut self) {
        self.sack.rack.forget_deliveries(self.snd.una);
    }

    /// RFC 8985 §6.2, steps 1 to 4, and §7.4: what an acknowledgment says, of which `acked` octets are new.
    pub(super) fn rack_on_ack(
        &mut self,
        now: Instant,
        seg: &Segment<'_>,
        news: &Delivered,
        dup: Option<(Seq, Seq)>,
        acked: u32,
    ) {
        if !self.sack.rack.on {
            return;
        }
        let stamp_of = |at: u32| self.stamp(now).wrapping_sub(micros(now).wrapping_sub(at) >> 10);
        let echo = seg.options.timestamps.filter(|_| self.stamps.is_on()).map(|stamps| stamps.ecr);
        let una = self.snd.una;
        let resent = news.resent.filter(|&(at, end)| {
            //= https://www.rfc-editor.org/rfc/rfc8985#section-6.2
            //# If the packet has been retransmitted [...] it may have been the original that was delivered
            let age = micros(now).wrapping_sub(at);
            // What lies beyond a hole is echoed by the time stamp of what came before the hole (RFC 7323 §4.3): that one
            // says nothing.
            let is_older_echo = end.at_or_before(una)
                && echo.is_some_and(|ecr| Seq::new(ecr).before(Seq::new(stamp_of(at).wrapping_sub(1))));
            age >= self.rtt.shortest() && !is_older_echo
        });
        let nxt = self.snd.nxt;
        let rack = &mut self.sack.rack;
        let before = rack.fack;
        //= https://www.rfc-editor.org/rfc/rfc8985#section-6.2
        //# Iterate through newly acknowledged segments in order of ascending xmit_ts
        // The last of them has the last word.
        let newest = match (news.original, resent) {
            (Some(a), Some(b)) if sent_after(a.0, a.1, b.0, b.1) => Some(a),
            (original, resent) => resent.or(original),
        };
        if let Some(newest) = newest {
            rack.update(now, newest);
        }
        // RFC 8985 §6.2, step 3: what was sent once, and arrives below what has arrived, was reordered.
        if news.lowest_original.is_some_and(|end| end.before(before)) {
            rack.reordering_seen = true;
        }
        rack.fack = before.later(una);
        for (_, end) in [news.original, news.resent].into_iter().flatten() {
            rack.fack = rack.fack.later(end);
        }
        let is_of_probe = self.is_duplicate_of_probe(dup);
        if dup.is_some() && !is_of_probe {
            self.sack.rack.widen(una, nxt);
        }
        self.probe_on_ack(seg, is_of_probe, acked);
    }

    /// Whether the peer holds as many segments as mean a loss; a super-segment's may be one record.
    fn has_many_sacked(&self) -> bool {
        let is_several = cfg!(feature = "gso") && self.sent.sacked() > (DUP_THRESHOLD - 1) * u32::from(self.snd.mss);
        is_several || self.sent.sacked_records() >= DUP_THRESHOLD
    }

    /// RFC 8985 §6.2, step 4: the reordering window, in microseconds.
    fn reo_wnd(&self) -> u32 {
        let rack = &self.sack.rack;
        let is_recovering = matches!(self.snd.phase, Phase::Fast | Phase::Loss);
        if !rack.reordering_seen && (is_recovering || self.has_many_sacked()) {
            return 0;
        }
        //= https://www.rfc-editor.org/rfc/rfc8985#section-6.2
        //# RACK.reo_wnd = min(RACK.reo_wnd_mult * RACK.min_RTT / 4, SRTT)
        let quarter = self.rtt.shortest() / 4;
        quarter.saturating_mul(u32::from(rack.reo_wnd_mult)).min(self.rtt.srtt_micros())
    }

    /// RFC 8985 §6.2, step 5: takes for lost what was sent long enough before something that has arrived.
    pub(super) fn rack_detect(&mut self, now: Instant) -> u32 {
        let rack = self.sack.rack;
        let (mut lost, mut remaining) = (0, 0);
        if rack.has_delivered && self.sent.is_marked() {
            let (patience, clock) = (rack.rtt.saturating_add(self.reo_wnd()), micros(now));
            lost = self.sent.detect(self.snd.una, &mut |record| {
                if !sent_after(rack.xmit_ts, rack.end_seq, record.at, record.end) {
                    return false;
                }
                let left = patience.saturating_sub(clock.wrapping_sub(record.at));
                remaining = remaining.max(left);
                left == 0
            });
        }
        self.arm_reordering(now, remaining);
        lost
    }

    /// The timer waits for what may only be reordered, if there is such a thing: for so many microseconds.
    fn arm_reordering(&mut self, now: Instant, remaining: u32) {
        if remaining > 0 {
            self.sack.rack.waiting = Waiting::Reordering;
            self.timers.retransmit = Timer::after(now, Duration::from_micros(u64::from(remaining)));
        } else if self.sack.rack.waiting == Waiting::Reordering {
            self.sack.rack.waiting = Waiting::Rto;
            self.timers.retransmit = Timer::OFF;
        }
    }

    /// A recovery has ended: a wide reordering window is kept for some of them.
    #[cfg_attr(target_os = "none", inline(never))]
    pub(super) fn rack_on_recovered(&mut self) {
        let rack = &mut self.sack.rack;
        rack.reo_wnd_persist = rack.reo_wnd_persist.saturating_sub(1);
        if rack.reo_wnd_persist == 0 {
            rack.reo_wnd_mult = 1;
        }
        rack.undo.expire_at(self.snd.nxt);
    }

    /// The retransmission timer expired. Whether it was not a time-out of RFC 6298's.
    #[cold]
    pub(super) fn on_loss_timer(&mut self, now: Instant) -> bool {
        if !self.sack.is_on() {
            return false;
        }
        match core::mem::take(&mut self.sack.rack.waiting) {
            Waiting::Rto => false,
            Waiting::Reordering => {
                self.on_reordering_timer(now);
                true
            }
            Waiting::Probe => self.on_probe_timer(now),
        }
    }

    fn on_reordering_timer(&mut self, now: Instant) {
        self.restart_retransmit(now);
        let lost = self.detect_losses(now);
        if lost > 0 {
            match self.snd.phase {
                Phase::Open | Phase::Probing => self.enter_fast(0),
                Phase::Fast => self.reduce_without_ack(),
                Phase::Loss => {}
            }
        }
        self.sync_repair();
    }

    /// Whether the tail may be probed.
    fn may_probe(&self) -> bool {
        //= https://www.rfc-editor.org/rfc/rfc8985#section-7.2
        //# the sender SHOULD start or restart a loss probe PTO timer after transmitting new data (that was not itself a
        //# loss probe) or upon receiving an ACK that cumulatively acknowledges new data, unless it is already in fast
        //# recovery, RTO recovery, or [...] has segments that were SACKed
        // With nothing in flight, as where the device takes nothing, there is no tail.
        let is_open = self.snd.phase == Phase::Open && !self.snd.is_idle();
        is_open && !self.sent.is_marked() && self.state.is_synchronized() && self.snd.wnd > 0
    }

    /// PTO; `lone`: for a single segment, whose acknowledgment the peer may delay.
    fn probe_timeout(&self, lone: bool) -> Duration {
        match self.rtt.srtt_micros() {
            0 => FIRST_PROBE,
            srtt => Duration::from_micros(2 * u64::from(srtt)) + if lone { MAX_ACK_DELAY } else { Duration::ZERO },
        }
    }

    /// The retransmission timer was started: it waits for a probe first, if there is to be one. Whether a segment stays
    /// alone is not known yet, and looked at when the timer expires.
    #[inline]
    pub(super) fn schedule_probe(&mut self, now: Instant) {
        if !self.sack.is_on() {
            return;
        }
        self.sack.rack.waiting = Waiting::Rto;
        if self.sack.rack.on && self.may_probe() {
            self.sack.rack.waiting = Waiting::Probe;
            self.timers.retransmit = self.timers.retransmit.earlier(Timer::after(now, self.probe_timeout(false)));
            // On a path shorter than this, two round trips come first.
            if self.rtt.srtt_micros() > self.rtt.rto_of_path() / 4 {
                self.hasten_short_tail();
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn hasten_short_tail(&mut self) {
        if self.is_short_tail() {
            self.timers.retransmit = self.timers.retransmit.earlier(self.rto_expiration());
        }
    }

    /// Whether fewer than four segments are in flight or wait.
    fn is_short_tail(&self) -> bool {
        self.tx.len() < FEW * usize::from(self.snd.mss)
    }

    //= https://www.rfc-editor.org/rfc/rfc7765#section-4
    //# If the number of outstanding and unsent segments is less than rrthresh, set T_earliest to the time elapsed since
    //# the earliest outstanding segment was sent. [...] RTO - T_earliest, if RTO - T_earliest > 0; RTO, otherwise
    /// When the time-out would come, and so at the latest a probe (RFC 8985 §7.2, TCP_RTO_expiration).
    fn rto_expiration(&self) -> Timer {
        let rto = self.rtt.rto(&self.settings);
        let earliest = self.sent.first_left_at().filter(|_| self.is_short_tail());
        let waited = earliest.map_or(0, |at| u64::from(micros(self.progress_at).wrapping_sub(at)));
        let rest = rto.as_micros().checked_sub(waited).map_or(rto, Duration::from_micros);
        Timer::after(self.progress_at, rest)
    }

    /// RFC 8985 §7.3. Segments that left since the timer was started have moved it: that is looked at only now.
    fn on_probe_timer(&mut self, now: Instant) -> bool {
        let rto = self.rtt.rto(&self.settings);
        if !self.may_probe() {
            // Losses are being noticed otherwise; the time-out runs from where it would have.
            self.timers.retransmit = Timer::after(self.progress_at, rto);
            return !self.timers.retransmit.is_due(now);
        }
        let since = if self.last_sent > self.progress_at { self.last_sent } else { self.progress_at };
        let lone = self.snd.outstanding() <= u32::from(self.snd.mss);
        let due = Timer::after(since, self.probe_timeout(lone)).earlier(self.rto_expiration());
        if !due.is_due(now) {
            self.sack.rack.waiting = Waiting::Probe;
            self.timers.retransmit = due;
            return true;
        }
        self.probe_tail();
        self.restart_retransmit(now);
        true
    }

    fn probe_tail(&mut self) {
        let mss = u32::from(self.snd.mss);
        let is_new = self.lend_for_probe();
        self.snd.phase = Phase::Probing;
        self.sack.note(Repair::Probe);
        self.snd.recover = self.snd.nxt;
        self.sack.rack.probe_is_resent = !is_new;
        if !is_new {
            self.sent.mark_tail_lost(self.snd.una, mss);
            self.sack.force = true;
            self.sync_repair();
        }
    }

    //= https://www.rfc-editor.org/rfc/rfc8985#section-7.3
    //# If an unsent segment exists AND the receive window allows new data to be sent: Transmit the lowest-sequence
    //# unsent segment of up to SMSS
    /// Makes room for a probe of new text; false if none can leave all the same: the peer's window is full, or Nagle's
    /// rule holds back what there is.
    fn lend_for_probe(&mut self) -> bool {
        let (mss, before) = (u32::from(self.snd.mss), self.cc.cwnd());
        self.sack.rack.lent = self.tx.len() > self.snd.outstanding() as usize && self.snd.window_room() >= mss;
        if self.sack.rack.lent {
            self.cc.set_cwnd(before.max(self.snd.outstanding()) + mss, mss);
            self.sack.rack.lent = self.new_text(mss).is_some();
        }
        if !self.sack.rack.lent {
            self.cc.set_cwnd(before, mss);
        }
        self.sack.rack.lent
    }

    /// The probe sent something again, and it has come twice: that tells nothing of reordering.
    fn is_duplicate_of_probe(&self, duplicate: Option<(Seq, Seq)>) -> bool {
        self.snd.phase == Phase::Probing
            && self.sack.rack.probe_is_resent
            && duplicate.is_some_and(|(_, right)| right == self.snd.recover)
    }

    /// RFC 8985 §7.4: what an acknowledgment says of the probe; `acked` octets are new.
    fn probe_on_ack(&mut self, seg: &Segment<'_>, is_duplicate: bool, acked: u32) {
        if self.snd.phase != Phase::Probing {
            return;
        }
        let mss = u32::from(self.snd.mss);
        if core::mem::take(&mut self.sack.rack.lent) {
            self.cc.set_cwnd(self.cc.cwnd().saturating_sub(mss), mss);
        }
        let end = self.snd.recover;
        if self.snd.una.before(end) {
            return;
        }
        //= https://www.rfc-editor.org/rfc/rfc8985#section-7.4.2
        //# Else If ACK is a DUPACK without any SACK option
        let is_second = acked == 0 && seg.ack == self.snd.una && seg.options.sack.is_empty() && seg.payload.is_empty();
        if !self.sack.rack.probe_is_resent || is_duplicate {
            self.snd.phase = Phase::Open;
        } else if self.snd.una.after(end) {
            //= https://www.rfc-editor.org/rfc/rfc8985#section-7.4.2
            //# Invoke congestion control to react to the loss event the probe has repaired.
            self.snd.phase = Phase::Open;
            self.ecn.on_loss();
            self.cc.on_tail_loss(self.snd.outstanding().saturating_add(acked), mss);
        } else if is_second {
            self.snd.phase = Phase::Open;
        }
    }
}

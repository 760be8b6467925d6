//! What leaves next: `plan` decides and changes nothing, `commit` notes that it has left.
//!
//! Implements RFC 9293 §3.7.4 (Nagle), §3.8.6 (window, probes, silly windows), RFC 5681 §3.1 (cwnd), RFC 3042 (limited
//! transmit), RFC 6298 §5 (the timer). In order of urgency:
//!
//! ```text
//!  reset ▸ SYN ▸ what is to be sent again ▸ duplicate and challenge ACKs ▸ new text, FIN, probe ▸ keep-alive ▸ ACK
//! ```

use super::conn::{Conn, Fate, News};
use super::snd::Phase;
use super::state::{Event, State};
use super::timers::Timer;
use crate::seq::Seq;
use crate::time::Instant;
use crate::wire::checksum::Sum;
use crate::wire::segment::{Flags, Header, HeaderOptions, Timestamps};

/// Why a segment is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The connection is aborted.
    Reset,
    /// SYN or SYN|ACK.
    Syn,
    /// Text or FIN that was sent before.
    Retransmit,
    /// A duplicate acknowledgment for a segment beyond a hole.
    DupAck,
    /// RFC 5961.
    Challenge,
    /// New text, with the FIN perhaps, or the FIN alone.
    Text,
    /// Text against the window, or against SWS avoidance.
    Probe,
    /// RFC 9293 §3.8.4.
    KeepAlive,
    /// An acknowledgment, or a window update.
    Ack,
}

impl Why {
    /// Whether the text was sent before.
    pub fn is_retransmission(self) -> bool {
        self == Self::Retransmit
    }

    /// Whether it answers what may be an attack (RFC 5961).
    pub fn is_challenge(self) -> bool {
        self == Self::Challenge
    }
}

/// A segment to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub seq: Seq,
    /// Octets of text.
    pub len: u32,
    pub flags: Flags,
    /// The window field.
    pub window: u16,
    pub why: Why,
    /// The right edge that `window` tells.
    edge: Seq,
}

impl Plan {
    /// Octets of sequence space.
    fn span(&self) -> u32 {
        self.len + u32::from(self.flags.intersects(Flags::SYN.with(Flags::FIN)))
    }

    fn end(&self) -> Seq {
        self.seq + self.span()
    }
}

const ACK: Flags = Flags::ACK;

impl Conn<'_> {
    /// Whether there is a plan: the same questions, without making it.
    pub fn owes(&self, now: Instant) -> bool {
        if self.over || !self.state.is_synchronized() {
            return self.plan(now, 1).is_some();
        }
        if self.owes_any_ack() || self.owes_keep_alive() {
            return true;
        }
        if self.snd.resend != self.snd.nxt || self.snd.fast_retransmit {
            return self.plan(now, 1).is_some();
        }
        let waiting = self.tx.len() > self.snd.outstanding() as usize || self.owes_fin();
        waiting && (self.new_text(u32::from(self.snd.mss)).is_some() || (self.snd.probe && self.plan_probe().is_some()))
    }

    /// Whether another turn is worth while after one that sent text: as [`owes`](Self::owes), but what the window and
    /// Nagle's rule allow is left to that turn's plan, which asks anyway.
    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    pub fn may_owe(&self, now: Instant) -> bool {
        let more = self.tx.len() > self.snd.outstanding() as usize;
        (more && self.state.may_send() && self.snd.outstanding() < self.snd.wnd.min(self.cc.cwnd())) || self.owes(now)
    }

    /// The next segment; where the device segments (GSO), one of up to so many full ones, else 1.
    pub fn plan(&self, _now: Instant, segments: u32) -> Option<Plan> {
        if self.over {
            return None;
        }
        match self.state {
            State::Closed => self.reset_owed.then(|| self.bare(Why::Reset)),
            State::SynSent | State::SynReceived => self.plan_handshake(),
            _ => self
                .plan_retransmission()
                .or_else(|| self.plan_urgent_ack())
                .or_else(|| self.plan_text(segments))
                .or_else(|| self.plan_late_ack()),
        }
    }

    fn plan_handshake(&self) -> Option<Plan> {
        if !self.has_iss {
            return None;
        }
        if self.snd.resend == self.snd.iss {
            return Some(self.bare(Why::Syn));
        }
        let owed = self.state == State::SynReceived && (self.rcv.ack_now || self.rcv.challenge);
        owed.then(|| self.bare(Why::Ack))
    }

    /// RFC 6582 §3.2 (the first unacknowledged segment), or what a time-out took for lost, as cwnd allows.
    #[inline]
    fn plan_retransmission(&self) -> Option<Plan> {
        let snd = &self.snd;
        if snd.resend == snd.nxt && !snd.fast_retransmit {
            return None;
        }
        if self.sack.is_on() && snd.syn_is_acked() {
            return self.plan_repair();
        }
        let start = if snd.fast_retransmit { snd.una } else { snd.resend };
        let beyond = start.distance_from(snd.una);
        let mss = u32::from(snd.mss);
        if beyond > 0 && beyond + mss > self.cc.cwnd() {
            return None;
        }
        //= https://www.rfc-editor.org/rfc/rfc9293#section-3.8.6
        //# A sending TCP peer MUST be robust against window shrinking, which may cause the "usable window" [...] to
        //# become negative (MUST-34).
        let room = snd.wnd.saturating_sub(beyond);
        let room = if beyond == 0 { room.max(1) } else { room };
        let text_end = snd.nxt - u32::from(self.fin_sent);
        let left = text_end.distance_from(start);
        let len = left.min(room).min(mss);
        let fin = self.fin_sent && len == left;
        if len == 0 && !fin {
            return None;
        }
        Some(self.segment(Why::Retransmit, start, len, text_flags(fin, len > 0 && len == left)))
    }

    /// Acknowledgments that must go alone: the peer counts the duplicates.
    fn plan_urgent_ack(&self) -> Option<Plan> {
        if self.rcv.dup_acks > 0 {
            // The window stays as it was told, or else it is not a duplicate (RFC 5681 §2).
            let edge = self.rcv.kept(self.rx.free() as u32);
            let window = self.rcv.field(edge);
            return Some(Plan { seq: self.snd.nxt, len: 0, flags: ACK, window, why: Why::DupAck, edge });
        }
        self.rcv.challenge.then(|| self.bare(Why::Challenge))
    }

    fn plan_text(&self, segments: u32) -> Option<Plan> {
        if self.snd.probe
            && let Some(probe) = self.plan_probe()
        {
            return Some(probe);
        }
        let segments = if self.ecn.is_alone() { 1 } else { segments };
        let len = self.new_text(u32::from(self.snd.mss).saturating_mul(segments))?;
        let last = self.snd.outstanding() + len == self.tx.len() as u32;
        let fin = last && self.owes_fin();
        Some(self.segment(Why::Text, self.snd.nxt, len, text_flags(fin, last && len > 0)))
    }

    /// At least one octet, whatever the window (RFC 9293 MUST-36), or as much of a small window as there is text.
    fn plan_probe(&self) -> Option<Plan> {
        if !self.state.may_send() || !self.snd.is_idle() || self.tx.is_empty() {
            return None;
        }
        let queued = self.tx.len() as u32;
        let len = queued.min(self.snd.window_room().max(1)).min(u32::from(self.snd.mss));
        let fin = len == queued && self.owes_fin();
        Some(self.segment(Why::Probe, self.snd.nxt, len, text_flags(fin, len == queued)))
    }

    /// Octets of new text that may leave now; zero: a FIN alone.
    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    pub(super) fn new_text(&self, limit: u32) -> Option<u32> {
        let snd = &self.snd;
        if !self.state.may_send() || snd.resend != snd.nxt {
            return None;
        }
        let outstanding = snd.outstanding();
        let queued = (self.tx.len() as u32).saturating_sub(outstanding);
        if queued == 0 {
            return self.owes_fin().then_some(0);
        }
        let cwnd_room = self.effective_cwnd().saturating_sub(outstanding);
        let window_room = snd.wnd.saturating_sub(outstanding);
        let usable = window_room.min(cwnd_room);
        let len = self.worth_sending(queued, usable, limit)?;
        (len > 0).then_some(len)
    }

    /// Octets that may be outstanding.
    #[inline]
    fn effective_cwnd(&self) -> u32 {
        if self.snd.dup_acks == 0 && !self.sent.is_marked() { self.cc.cwnd() } else { self.inflated_cwnd() }
    }

    /// What is not in the network any more makes room; so does, by RFC 3042, each of the first two duplicate
    /// acknowledgments.
    #[cold]
    fn inflated_cwnd(&self) -> u32 {
        let cwnd = self.cc.cwnd().saturating_add(self.gone());
        if self.snd.dup_acks == 0 || self.snd.phase != Phase::Open {
            return cwnd;
        }
        cwnd + u32::from(self.snd.dup_acks.min(2)) * u32::from(self.snd.mss)
    }

    //= https://www.rfc-editor.org/rfc/rfc9293#section-3.8.6.2.1
    //# Send data: (1) if a maximum-sized segment can be sent [...] (2) or if the data is pushed and all queued data can
    //# be sent now [...] (3) or if at least a fraction Fs of the maximum window can be sent
    /// How much of `queued` octets is worth a segment (or several, where `limit` allows), `usable` being allowed.
    fn worth_sending(&self, queued: u32, usable: u32, limit: u32) -> Option<u32> {
        let mss = u32::from(self.snd.mss);
        let len = queued.min(usable).min(limit);
        let all = len == queued;
        if len >= mss {
            // Full segments; a rest goes with them only when it might go alone.
            let rest = if len < 2 * mss || !cfg!(feature = "gso") { len - mss } else { len % mss };
            return Some(if rest > 0 && !(all && self.nagle_allows()) { len - rest } else { len });
        }
        if all {
            return self.nagle_allows().then_some(len);
        }
        let unhindered = self.snd.is_idle() || !self.settings.nagle;
        (unhindered && len > 0 && len >= self.snd.max_wnd / 2).then_some(len)
    }

    /// RFC 9293 §3.7.4 (SHLD-7): a small segment waits while another one is unacknowledged. Full ones in flight do not
    /// count (as in Linux): a write of one segment and a half does not wait for a delayed acknowledgment.
    fn nagle_allows(&self) -> bool {
        !self.settings.nagle || self.owes_fin() || self.snd.small.at_or_before(self.snd.una)
    }

    fn plan_late_ack(&self) -> Option<Plan> {
        if self.owes_keep_alive() {
            //= https://www.rfc-editor.org/rfc/rfc9293#section-3.8.4
            //# To confirm that an idle connection is still active, these implementations send a probe segment designed
            //# to elicit a response from the TCP peer. Such a segment generally contains SEG.SEQ = SND.NXT-1
            return Some(self.segment(Why::KeepAlive, self.snd.nxt - 1, 0, ACK));
        }
        self.owes_ack().then(|| self.bare(Why::Ack))
    }

    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    fn owes_ack(&self) -> bool {
        self.rcv.owes_ack(self.rx.capacity() as u32)
            || (self.state.may_receive()
                && !self.orphan
                && self.rcv.owes_window_update(self.rx.free() as u32, self.rx.capacity() as u32))
    }

    pub(super) fn owes_any_ack(&self) -> bool {
        self.rcv.dup_acks > 0 || self.rcv.challenge || self.owes_ack()
    }

    /// A segment without text, at SND.NXT: never behind what was sent, so that the peer takes it.
    fn bare(&self, why: Why) -> Plan {
        match why {
            Why::Reset => self.segment(why, self.snd.nxt, 0, Flags::RST | ACK),
            Why::Syn => {
                let (window, _) = self.syn_offer();
                let ack = self.state == State::SynReceived;
                let flags = if ack { Flags::SYN | ACK } else { Flags::SYN };
                Plan { seq: self.snd.iss, len: 0, flags, window, why, edge: self.rcv.adv }
            }
            _ => self.segment(why, self.snd.nxt, 0, ACK),
        }
    }

    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    pub(super) fn segment(&self, why: Why, seq: Seq, len: u32, flags: Flags) -> Plan {
        let edge = self.rcv.edge(self.rx.free() as u32, self.rx.capacity() as u32);
        Plan { seq, len, flags, window: self.rcv.field(edge), why, edge }
    }

    /// Whether our SYN offers timestamps.
    pub(super) const fn offers_stamps(&self) -> bool {
        cfg!(feature = "timestamps") && self.offer_stamps
    }

    /// Whether our SYN offers to scale windows.
    pub(super) const fn offers_scale(&self) -> bool {
        cfg!(feature = "window-scale") && self.offer_scale
    }

    /// Whether both sides scale their windows.
    const fn is_scaling(&self) -> bool {
        cfg!(feature = "window-scale") && self.snd.scaling
    }

    fn owes_keep_alive(&self) -> bool {
        cfg!(feature = "keep-alive") && self.keep_due && self.snd.is_idle()
    }

    /// The header of the planned segment.
    #[inline]
    pub fn header(&self, plan: &Plan, now: Instant) -> Header {
        let mut options = HeaderOptions::NONE;
        let syn = plan.flags.contains(Flags::SYN);
        if syn {
            self.syn_options(plan, &mut options);
        }
        if self.stamps.is_on() || (syn && self.state == State::SynSent && self.offers_stamps()) {
            options.timestamps = Some(Timestamps { val: self.stamp(now), ecr: self.stamps.recent });
        }
        // A segment of text has no room to spare for them.
        if plan.len == 0 && self.has_blocks() && !plan.flags.intersects(Flags::SYN.with(Flags::RST)) {
            self.put_blocks(&mut options);
        }
        let mut header = Header {
            src_port: self.tuple.local_port,
            dst_port: self.tuple.remote_port,
            seq: plan.seq,
            ack: self.rcv.nxt,
            flags: self.ecn_flags(plan),
            window: plan.window,
            urgent: 0,
            options,
        };
        self.point_to_urgent(&mut header);
        header
    }

    /// A SYN offers; a SYN|ACK agrees to what was offered (RFC 7323 §2.2, §3.2).
    fn syn_options(&self, plan: &Plan, options: &mut HeaderOptions) {
        options.mss = Some(self.settings.mss);
        let (_, shift) = self.syn_offer();
        if plan.flags.contains(ACK) {
            options.window_scale = self.is_scaling().then_some(shift);
            options.sack_permitted = self.sack.is_agreed();
        } else {
            options.window_scale = self.offers_scale().then_some(shift);
            options.sack_permitted = self.sack.offered;
        }
    }

    /// Copies the planned text, exactly `plan.len` octets, to `dst`; its checksum as if at an even offset.
    #[inline]
    pub fn copy_text(&self, plan: &Plan, dst: &mut [u8]) -> Sum {
        self.tx.copy_and_sum_at(plan.seq.distance_from(self.snd.una) as usize, dst)
    }

    /// As [`copy_text`](Self::copy_text), without the sum: the device is left to compute it.
    #[cfg(feature = "checksum-offload")]
    pub fn copy_text_unsummed(&self, plan: &Plan, dst: &mut [u8]) {
        self.tx.peek_at(plan.seq.distance_from(self.snd.una) as usize, dst);
    }

    /// The planned segment has left.
    pub fn commit(&mut self, now: Instant, plan: &Plan) -> News {
        match plan.why {
            Why::Reset => {
                self.reset_owed = false;
                self.fate = Fate::Closed;
            }
            Why::Syn => self.commit_syn(now, plan),
            Why::Retransmit => self.commit_retransmission(now, plan),
            Why::Text | Why::Probe => self.commit_text(now, plan),
            Why::KeepAlive => self.keep_due = false,
            Why::Ack | Why::DupAck | Why::Challenge => {}
        }
        if plan.flags.contains(ACK) {
            self.rcv.on_ack_sent(plan.edge, plan.why == Why::DupAck);
            self.timers.ack = Timer::OFF;
            if plan.len == 0 {
                self.on_blocks_sent();
            }
        }
        self.arm(now);
        self.take_news()
    }

    fn commit_syn(&mut self, now: Instant, plan: &Plan) {
        let end = self.snd.iss + 1;
        if self.snd.nxt == self.snd.iss {
            self.snd.nxt = end;
            self.sent.push(self.snd.iss, end, now);
        } else {
            self.sent.resend(self.snd.iss, plan.seq, end, now);
            self.retransmits = self.retransmits.saturating_add(1);
        }
        self.snd.resend = self.snd.nxt;
        self.last_sent = now;
        self.restart_retransmit(now);
    }

    fn commit_retransmission(&mut self, now: Instant, plan: &Plan) {
        let end = plan.end();
        self.sent.resend(self.snd.una, plan.seq, end, now);
        self.retransmits = self.retransmits.saturating_add(1);
        self.cc.on_resent(plan.len);
        if self.sack.is_on() {
            self.on_repair_sent(now, plan);
        } else {
            self.snd.fast_retransmit = false;
        }
        if plan.seq == self.snd.una {
            self.restart_retransmit(now);
        }
        self.snd.resend = self.snd.resend.later(end);
        self.last_sent = now;
    }

    #[inline]
    fn commit_text(&mut self, now: Instant, plan: &Plan) {
        let idle = self.snd.is_idle();
        let end = plan.end();
        let mss = u32::from(self.snd.mss);
        let several = cfg!(feature = "gso") && plan.len > mss;
        if plan.len < mss || (several && !plan.len.is_multiple_of(mss)) {
            self.snd.small = end;
        }
        if self.snd.dup_acks > 0 && self.snd.phase == Phase::Open {
            self.snd.limited = self.snd.limited.saturating_add(u16::try_from(plan.len).unwrap_or(u16::MAX));
        }
        if self.snd.phase == Phase::Fast {
            self.on_text_in_recovery(plan.len);
        }
        self.on_ecn_sent(plan);
        self.rcv.on_text_sent(now.as_micros() as u32, self.settings.delayed_ack);
        self.snd.nxt = end;
        self.snd.resend = end;
        self.snd.probe = false;
        self.sent.push(self.snd.una, end, now);
        if several {
            self.sent.note_size(self.snd.mss);
        }
        self.last_sent = now;
        if idle {
            self.progress_at = now;
            self.restart_retransmit(now);
        }
        if plan.flags.contains(Flags::FIN) {
            self.fin_sent = true;
            self.enter(Event::SendFin);
        }
    }

    /// Octets of text in a full segment.
    #[cfg(test)]
    pub fn mss(&self) -> u16 {
        self.snd.mss
    }

    /// Octets of text in a full segment.
    #[cfg(feature = "gso")]
    #[inline]
    pub const fn full_segment(&self) -> u16 {
        self.snd.mss
    }

    /// Whether there may be more to send than one segment, and nothing wants segments to leave one by one: urgent text, whose
    /// pointer is one segment's, or a probe (RFC 8985 §7.3: "of up to SMSS").
    #[cfg(feature = "gso")]
    #[inline]
    pub fn has_several(&self) -> bool {
        let unsent = self.tx.len().saturating_sub(self.snd.outstanding() as usize);
        unsent > usize::from(self.snd.mss) && !self.urgent.is_sending() && !self.snd.is_probing()
    }

    /// How many full segments fit an IP packet's payload of `room` octets, whatever options they have: one at least.
    #[cfg(feature = "gso")]
    pub fn segments_in(&self, room: usize) -> u32 {
        /// Four bits tell of the header's length in words.
        const MOST_HEADER: usize = 60;
        (room.saturating_sub(MOST_HEADER) / usize::from(self.snd.mss)).max(1) as u32
    }

    /// Octets of text and TCP options that the path takes in a segment.
    pub fn path_mss(&self) -> u16 {
        self.settings.mss
    }

    /// Time to live of the connection's packets.
    pub fn ttl(&self) -> u8 {
        self.settings.ttl
    }

    /// Another DSCP, of six bits.
    pub fn set_dscp(&mut self, dscp: u8) {
        self.settings.dscp = dscp & 0x3f;
    }
}

pub(super) fn text_flags(fin: bool, push: bool) -> Flags {
    let flags = if push { ACK | Flags::PSH } else { ACK };
    if fin { flags | Flags::FIN } else { flags }
}

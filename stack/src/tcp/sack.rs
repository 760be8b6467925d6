//! Selective acknowledgments, both ways, and how losses are repaired by them.
//!
//! Receiving: RFC 2018 §3 and §4 (which ranges are told, the newest first), RFC 2883 (what came twice is told, too).
//! Sending: RFC 6675 (pipe, what is lost, what goes next) with the scoreboard of `sent/board.rs`, RFC 9937 (PRR: the window within a
//! recovery), RFC 2018 §8 (a peer that throws away what it reported). Where RACK is on, `rack.rs` says what is lost.
//!
//! ```text
//!  Open ──something is lost──▶ Fast ──`recover` acknowledged──▶ Open
//!    │                          │                                ▲
//!    └────────time-out──────────┴─────▶ Loss ──`recover` acked───┘
//! ```
//!
//! Nothing here runs for a segment of a connection that loses nothing: see [`Conn::is_repairing`].

use super::conn::Conn;
use super::info::{Repair, Repairs};
use super::output::{Plan, Why, text_flags};
use super::rack::Rack;
use super::ratio::ratio;
use super::sent::Delivered;
use super::snd::Phase;
use crate::assembler::Assembler;
use crate::seq::Seq;
use crate::time::Instant;
use crate::wire::segment::{HeaderOptions, SackBlocks, Segment};

/// Segments above a hole that mean a loss (RFC 6675 §2: DupThresh).
pub(super) const DUP_THRESHOLD: u32 = 3;

/// What selective acknowledgments add to a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sack {
    /// We offer them.
    pub offered: bool,
    /// Both sides take them.
    told: bool,
    /// Losses are repaired by them: there is room for a scoreboard.
    scored: bool,
    /// The next segment to be sent again may leave whatever the window.
    pub(super) force: bool,
    /// The last segment was sent again in this recovery although nothing says that it is lost (RFC 6675 §5, NextSeg (4)).
    rescued: bool,
    /// Octets that came twice, to be told once (RFC 2883), if there are any between the two.
    duplicate: (Seq, Seq),
    /// Where text came beyond a hole, the newest first; each within a range, if the range is still there.
    recent: [Seq; 4],
    /// RFC 9937 §5: RecoverFS, prr_delivered, prr_out.
    recover_fs: u32,
    delivered: u32,
    out: u32,
    repairs: Repairs,
    pub(super) rack: Rack,
}

impl Sack {
    pub fn new(offered: bool, rack: bool) -> Self {
        Self {
            offered,
            told: false,
            scored: false,
            force: false,
            rescued: false,
            duplicate: (Seq::new(0), Seq::new(0)),
            recent: [Seq::new(0); 4],
            recover_fs: 0,
            delivered: 0,
            out: 0,
            repairs: Repairs::default(),
            rack: Rack::new(rack),
        }
    }

    /// Whether losses are repaired by selective acknowledgments.
    #[inline]
    pub const fn is_on(&self) -> bool {
        self.scored
    }

    /// Whether both sides agreed on them.
    pub const fn is_agreed(&self) -> bool {
        self.told
    }
}

// Receiving.

impl Sack {
    #[cold]
    pub fn note(&mut self, what: Repair) {
        let repairs = &mut self.repairs;
        let count = match what {
            Repair::Timeout => &mut repairs.timeouts,
            Repair::Recovery => &mut repairs.recoveries,
            #[cfg(feature = "rack")]
            Repair::Probe => &mut repairs.probes,
            #[cfg(feature = "rack")]
            Repair::Undone => &mut repairs.undone,
            Repair::OutOfOrder => &mut repairs.out_of_order,
        };
        *count = count.saturating_add(1);
    }

    pub fn repairs(&self) -> Repairs {
        self.repairs
    }

    //= https://www.rfc-editor.org/rfc/rfc2018#section-4
    //# The SACK option SHOULD be filled out by repeating the most recently reported SACK blocks (based on first SACK
    //# blocks in previous SACK options) that are not subsets of a SACK block already included in the SACK option being
    //# constructed.
    /// `seq` came beyond a hole, and lies now in the range of `left` to `right`: one entry is enough for that.
    #[cold]
    fn note_recent(&mut self, seq: Seq, left: Seq, right: Seq) {
        let before = core::mem::replace(&mut self.recent, [seq; 4]);
        let others = before.iter().filter(|r| r.before(left) || r.at_or_after(right));
        self.recent.iter_mut().skip(1).zip(others).for_each(|(place, &other)| *place = other);
    }

    /// Octets came twice. Those that follow one another are told as one: several segments may have one acknowledgment.
    fn note_twice(&mut self, left: Seq, right: Seq) {
        if self.told {
            let known = self.duplicate;
            let follows = known.1 == left && known.0 != left;
            self.duplicate = (if follows { known.0 } else { left }, right);
        }
    }

    #[inline]
    fn has_duplicate(&self) -> bool {
        self.duplicate.0 != self.duplicate.1
    }

    /// The blocks of an acknowledgment of `nxt`.
    #[cold]
    fn put_blocks(&self, nxt: Seq, holes: &Assembler<'_>, blocks: &mut SackBlocks) {
        blocks.clear();
        //= https://www.rfc-editor.org/rfc/rfc2883#section-4
        //# the first SACK block should specify the duplicate segment that triggered the acknowledgement
        if self.has_duplicate() {
            let _ = blocks.push(self.duplicate);
        }
        let first = blocks.len();
        //= https://www.rfc-editor.org/rfc/rfc2018#section-4
        //# The first SACK block (i.e., the one immediately following the kind and length fields in the option) MUST
        //# specify the contiguous block of data containing the segment which triggered this ACK
        // Where text came last, and behind that the others, the nearest first.
        for n in 0..8 {
            let seq = match self.recent.get(n) {
                Some(&seq) => seq,
                None => holes.ranges().nth(n - 4).map_or(nxt, |range| nxt + range.0),
            };
            // What RCV.NXT has passed is far beyond every range.
            if let Some(range) = holes.overlapping(seq.distance_from(nxt), 1) {
                let block = (nxt + range.0, nxt + range.1);
                if !blocks.get(first..).unwrap_or_default().contains(&block) {
                    let _ = blocks.push(block);
                }
            }
        }
    }
}

impl Conn<'_> {
    /// Text of `len` octets is about to be taken, `offset` octets behind `base`, where the ranges held count from: what
    /// of it is there already (RFC 2883 §4).
    #[cold]
    pub(super) fn note_known(&mut self, base: Seq, offset: u32, len: u32) {
        if let Some(range) = self.holes.overlapping(offset, len) {
            let end = offset.saturating_add(len);
            self.sack.note_twice(base + range.0.max(offset), base + range.1.min(end));
        }
    }

    /// The text at `offset` is held now.
    #[cold]
    pub(super) fn note_held(&mut self, offset: u32) {
        let nxt = self.rcv.nxt;
        if let Some(range) = self.holes.overlapping(offset, 1) {
            self.sack.note_recent(nxt + offset, nxt + range.0, nxt + range.1);
        }
    }

    /// Octets that RCV.NXT had passed came again.
    #[cold]
    pub(super) fn note_duplicate(&mut self, left: Seq, right: Seq) {
        if left.before(right) && right.at_or_before(self.rcv.nxt) {
            self.sack.note_twice(left, right);
        }
    }

    /// Whether an acknowledgment has blocks to tell.
    #[inline]
    pub(super) fn has_blocks(&self) -> bool {
        self.sack.told && (!self.holes.is_empty() || self.sack.has_duplicate())
    }

    #[cold]
    pub(super) fn put_blocks(&self, options: &mut HeaderOptions) {
        self.sack.put_blocks(self.rcv.nxt, &self.holes, &mut options.sack);
    }

    /// An acknowledgment without text has left, and has told what came twice.
    #[inline]
    pub(super) fn on_blocks_sent(&mut self) {
        self.sack.duplicate.0 = self.sack.duplicate.1;
    }
}

// Sending.

impl Conn<'_> {
    /// The peer's SYN, which began at `irs`, permits selective acknowledgments or does not.
    pub(super) fn agree_on_sack(&mut self, permitted: bool, irs: Seq) {
        let sack = &mut self.sack;
        sack.told = sack.offered && permitted;
        sack.scored = sack.told && self.sent.can_keep_score();
        sack.recent = [irs; 4];
    }

    /// Whether an acknowledgment concerns a repair, or may begin one.
    #[inline]
    pub(super) fn is_repairing(&self, seg: &Segment<'_>) -> bool {
        self.sack.scored
            && (self.sent.is_marked() || self.snd.phase != Phase::Open || !seg.options.sack.is_empty())
            && self.snd.syn_is_acked()
    }

    /// RFC 6675 §4, pipe: octets believed to be in the network.
    #[cfg_attr(target_os = "none", inline(never))]
    pub(super) fn pipe(&self) -> u32 {
        if !self.sack.scored {
            return self.snd.flight();
        }
        self.snd.outstanding().saturating_sub(self.sent.sacked() + self.sent.lost())
    }

    /// Octets in flight that the congestion window need not cover: the peer holds them, or they are lost.
    pub(super) fn gone(&self) -> u32 {
        if self.sack.scored { self.sent.sacked() + self.sent.lost() } else { 0 }
    }

    /// An acknowledgment while something is to be repaired, or with SACK blocks.
    #[cold]
    pub(super) fn handle_ack_in_repair(&mut self, now: Instant, seg: &Segment<'_>) {
        let mut news = Delivered::default();
        let una = self.snd.una;
        let flight = self.pipe();
        if self.snd.phase == Phase::Open && !self.sent.is_marked() {
            self.rack_before_repair();
        }
        let mut fin_acked = false;
        let mut acked = 0;
        if seg.ack.after(una) {
            (acked, fin_acked) = self.take_ack(seg.ack);
            self.sent.acknowledge_marked(una, seg.ack, &mut news);
        }
        let duplicate = self.take_blocks(seg, &mut news);
        self.measure(now, seg, news.sample(now), acked > 0);
        if self.sent.is_reneged() {
            self.on_reneging();
        }
        self.rack_on_ack(now, seg, &news, duplicate, acked);
        let undone = self.undo_if_spurious(now, seg, &news, duplicate, acked);
        let lost = if undone { 0 } else { self.detect_losses(now) };
        self.move_repair(now, acked, flight, &news, lost);
        if news.octets > 0 {
            self.repair_on_suspicion();
        }
        self.sync_repair();
        if acked > 0 {
            self.after_ack(now, fin_acked);
        }
    }

    /// Notes the blocks on the scoreboard; gives the one that tells what came twice.
    fn take_blocks(&mut self, seg: &Segment<'_>, news: &mut Delivered) -> Option<(Seq, Seq)> {
        let mut duplicate = None;
        let blocks = &seg.options.sack;
        for (n, &(left, right)) in blocks.iter().enumerate() {
            //= https://www.rfc-editor.org/rfc/rfc2018#section-3
            //# Left Edge of Block [...] Right Edge of Block
            if !left.before(right) || right.after(self.snd.nxt) {
                continue;
            }
            let is_within = |outer: &(Seq, Seq)| outer.0.at_or_before(left) && right.at_or_before(outer.1);
            //= https://www.rfc-editor.org/rfc/rfc2883#section-4.2
            //# the first SACK block [...] is less than the cumulative ACK [or] contained in the second
            if n == 0 && (right.at_or_before(seg.ack) || blocks.get(1).is_some_and(is_within)) {
                if left.at_or_after(self.snd.una - self.snd.max_wnd) {
                    duplicate = Some((left, right));
                }
            } else if right.after(self.snd.una) && left.at_or_after(self.snd.una) {
                self.sent.mark_sacked(self.snd.una, left, right, self.snd.mss, news);
            }
        }
        self.sent.after_blocks(self.snd.una);
        duplicate
    }

    //= https://www.rfc-editor.org/rfc/rfc2018#section-8
    //# If the data receiver reneges, the data sender MUST [...] retransmit
    /// The peer has thrown away what it had reported: nothing of its reports is believed, and all goes again.
    fn on_reneging(&mut self) {
        self.sent.forget_sacked(self.snd.una);
        self.sent.mark_all_lost(self.snd.una);
    }

    /// Takes for lost what is; the octets newly so.
    pub(super) fn detect_losses(&mut self, now: Instant) -> u32 {
        if self.sack.rack.is_on() {
            return self.rack_detect(now);
        }
        let mss = u32::from(self.snd.mss);
        //= https://www.rfc-editor.org/rfc/rfc6675#section-4
        //# The routine returns true when either DupThresh discontiguous SACKed sequences have arrived above 'SeqNum' or
        //# more than (DupThresh - 1) * SMSS bytes with sequence numbers greater than 'SeqNum' have been SACKed.
        self.sent.detect(self.snd.una, &mut |record| {
            !record.is_resent && (record.runs_above >= DUP_THRESHOLD || record.sacked_above > (DUP_THRESHOLD - 1) * mss)
        })
    }

    /// What the news mean for the phase and the window.
    fn move_repair(&mut self, now: Instant, acked: u32, flight: u32, news: &Delivered, lost: u32) {
        let is_past = self.snd.una.at_or_after(self.snd.recover);
        if self.snd.phase == Phase::Fast {
            if !is_past {
                return self.reduce(news.octets, acked > 0 && lost == 0);
            }
            self.leave_fast();
        } else {
            let after_rto = self.snd.phase == Phase::Loss;
            if after_rto || lost == 0 {
                self.grow(now, acked, flight, after_rto, news.sample(now));
            }
            if after_rto {
                if is_past {
                    self.snd.phase = Phase::Open;
                    self.rack_on_recovered();
                }
                return;
            }
        }
        if lost > 0 {
            self.enter_fast(news.octets);
        }
    }

    /// A loss was noticed: recovery begins (RFC 6675 §5, step 4; RFC 9937 §5). `news`: octets delivered just now.
    pub(super) fn enter_fast(&mut self, news: u32) {
        let mss = u32::from(self.snd.mss);
        let outstanding = self.snd.outstanding();
        self.save_for_undo();
        // What limited transmit, or a probe, sent beyond the window is not counted (RFC 6675 §5, step 4.2).
        let flight = outstanding.min(self.cc.cwnd());
        if !self.is_reduced_by_echo() {
            self.cc.on_loss(flight, mss);
        }
        self.ecn.on_loss();
        self.snd.phase = Phase::Fast;
        self.sack.note(Repair::Recovery);
        self.snd.recover = self.snd.nxt;
        //= https://www.rfc-editor.org/rfc/rfc9937#section-5
        //# RecoverFS = SND.NXT - SND.UNA [...] Bytes SACKed before entering recovery will not be marked as delivered
        //# during recovery [...] Include the (common) case of bytes newly cumulatively acknowledged
        self.sack.recover_fs = outstanding.saturating_add(news).saturating_sub(self.sent.sacked()).max(1);
        self.sack.delivered = 0;
        self.sack.out = 0;
        self.sack.rescued = false;
        self.sack.force = true;
        self.reduce(news, false);
    }

    /// RFC 9937 §5: the window after `news` octets were delivered within a recovery.
    fn reduce(&mut self, news: u32, is_safe: bool) {
        if news == 0 && !self.sack.force {
            return;
        }
        let mss = u32::from(self.snd.mss);
        let (pipe, ssthresh) = (self.pipe(), self.cc.ssthresh());
        let sack = &mut self.sack;
        sack.delivered = sack.delivered.saturating_add(news);
        let ahead = sack.delivered.saturating_sub(sack.out);
        let mut count = if pipe > ssthresh {
            // Rounded up: where the product is not the quotient's, in as many bits as tell.
            let share = ratio(sack.delivered, ssthresh, sack.recover_fs);
            let is_exact = share.wrapping_mul(sack.recover_fs) == sack.delivered.wrapping_mul(ssthresh);
            share.saturating_add(u32::from(!is_exact)).saturating_sub(sack.out)
        } else {
            //= https://www.rfc-editor.org/rfc/rfc9937#section-5
            //# SafeACK = (SND.UNA advances and no further loss indicated)
            let most = ahead.max(news) + if is_safe { mss } else { 0 };
            most.min(ssthresh - pipe)
        };
        if sack.out == 0 && count == 0 {
            count = mss;
        }
        self.cc.set_cwnd(pipe.saturating_add(count), mss);
    }

    /// More is lost, as the clock says and no acknowledgment.
    #[cfg(feature = "rack")]
    pub(super) fn reduce_without_ack(&mut self) {
        self.sack.force = true;
        self.reduce(0, false);
    }

    fn leave_fast(&mut self) {
        let mss = u32::from(self.snd.mss);
        self.snd.phase = Phase::Open;
        self.cc.leave_recovery(mss);
        self.rack_on_recovered();
    }

    //= https://www.rfc-editor.org/rfc/rfc6675#section-5
    //# (3) If the conditions for rules (1) and (2) fail, but there exists an unSACKed sequence number 'S3' that meets the
    //# criteria for detecting loss given in steps (1.a) and (1.b) above (specifically excluding step (1.c)), then one
    //# segment of up to SMSS octets starting with S3 SHOULD be returned. [...] (4) [...] we provide the opportunity for a
    //# single "rescue" retransmission per entry into loss recovery.
    /// The window has room that neither what is known to be lost nor new text uses: what the peer has skipped goes again, or
    /// the last segment, once. Where RACK is on, its clock finds such losses (RFC 8985 §6.2), without guessing.
    fn repair_on_suspicion(&mut self) {
        let mss = u32::from(self.snd.mss);
        if self.sack.rack.is_on() || self.snd.phase != Phase::Fast || self.sent.lost() > 0 {
            return;
        }
        if self.pipe() + mss > self.cc.cwnd() || self.new_text(mss).is_some() {
            return;
        }
        if !self.sent.mark_skipped_lost(self.snd.una, mss) && !core::mem::replace(&mut self.sack.rescued, true) {
            self.sent.mark_tail_lost(self.snd.una, mss);
        }
    }

    /// Keeps the flag that `plan` looks at: whether something is to be sent again.
    #[cfg_attr(target_os = "none", inline(never))]
    pub(super) fn sync_repair(&mut self) {
        self.snd.fast_retransmit = self.sent.lost() > 0;
        self.sack.force &= self.snd.fast_retransmit;
    }

    /// Takes all that is in flight, and that the peer does not hold, for lost.
    pub(super) fn take_all_for_lost(&mut self) {
        if !self.sack.scored || !self.snd.syn_is_acked() {
            return self.snd.mark_lost();
        }
        if self.sent.is_reneged() {
            self.sent.forget_sacked(self.snd.una);
        }
        self.sent.mark_all_lost(self.snd.una);
        self.sync_repair();
    }

    /// RFC 6675 §5, NextSeg (1): the lowest octets that are lost, as the window allows.
    #[cold]
    pub(super) fn plan_repair(&self) -> Option<Plan> {
        let snd = &self.snd;
        let (start, end) = self.sent.first_lost(snd.una, u32::from(snd.mss))?;
        let beyond = start.distance_from(snd.una);
        //= https://www.rfc-editor.org/rfc/rfc9293#section-3.8.6
        //# A sending TCP peer MUST be robust against window shrinking, which may cause the "usable window" [...] to
        //# become negative (MUST-34).
        let room = snd.wnd.saturating_sub(beyond).max(u32::from(beyond == 0));
        let text_end = snd.nxt - u32::from(self.fin_sent);
        let text = end.earlier(text_end).distance_from(start);
        let len = text.min(room);
        let fin = end.after(text_end) && len == text;
        if self.is_waiting_for_frto() {
            return None;
        }
        let fits = self.sack.force || self.pipe() + len <= self.cc.cwnd();
        if !fits || (len == 0 && !fin) {
            return None;
        }
        let push = len > 0 && start + len == text_end;
        Some(self.segment(Why::Retransmit, start, len, text_flags(fin, push)))
    }

    /// A planned repair has left.
    #[cold]
    pub(super) fn on_repair_sent(&mut self, now: Instant, plan: &Plan) {
        self.sack.out = self.sack.out.saturating_add(plan.len);
        self.sack.force = false;
        self.note_for_undo(now, plan.len);
        self.sync_repair();
    }

    /// New text has left while a recovery is under way.
    #[cold]
    pub(super) fn on_text_in_recovery(&mut self, len: u32) {
        self.sack.out = self.sack.out.saturating_add(len);
    }
}

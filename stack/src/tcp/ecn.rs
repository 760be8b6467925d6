//! Explicit Congestion Notification: routers mark packets instead of losing them.
//!
//! Implements RFC 3168 §6.1, with the backoff of RFC 8511 (ABE) where the user wants it.
//!
//! ```text
//!   sender ──── ECT(0) text ────▶ router ──── CE ────▶ receiver
//!     ▲                                                   │ ECE in each acknowledgment, until …
//!     └───────────────────────── ECE ─────────────────────┘
//!   window reduced, once per round trip
//!     └──────────── CWR with the next new text ──────────▶ … this
//! ```
//! A SYN whose only memory is a cookie agrees to nothing: there is no bit for it.

use super::conn::Conn;
use super::info::EcnInfo;
use super::options::TcpOptions;
use super::output::{Plan, Why};
use super::snd::Phase;
use super::state::State;
use crate::seq::Seq;
use crate::wire::segment::{Flags, Segment};

/// What a SYN offers by, and what both bits together mean there (RFC 3168 §6.1.1).
const SETUP: Flags = Flags::ECE.with(Flags::CWR);
/// ECT(0).
const ECT: u8 = 0b10;

/// We offer it.
const OFFERED: u8 = 1;
/// The peer may mark its text: what is found of it is told.
const ECHOES: u8 = 2;
/// Our text is marked as ECN-capable.
const MARKS: u8 = 4;
/// Acknowledgments carry ECE.
const TELLS: u8 = 8;
/// The next new text carries CWR.
const CWR_OWED: u8 = 16;
/// RFC 8511.
const ABE: u8 = 32;

/// What a connection knows of ECN.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ecn {
    /// SND.NXT when ECE last reduced the window: until this is acknowledged, nothing reduces it again.
    reduced: Seq,
    /// Reductions of the window because of ECE.
    echoes: u16,
    bits: u8,
}

/// Whether this SYN offers ECN.
pub(super) const fn is_offer(seg: &Segment<'_>) -> bool {
    seg.flags.contains(SETUP)
}

/// The flags of a SYN|ACK, which agrees to ECN or does not.
#[cfg(feature = "syn-queue")]
pub(super) const fn syn_ack_flags(agrees: bool) -> Flags {
    let flags = Flags::SYN.with(Flags::ACK);
    if agrees { flags.with(Flags::ECE) } else { flags }
}

impl Ecn {
    pub fn new(options: &TcpOptions) -> Self {
        let bits = if options.ecn { OFFERED } else { 0 } | if options.abe { ABE } else { 0 };
        Self { reduced: Seq::new(0), echoes: 0, bits }
    }

    const fn has(&self, bit: u8) -> bool {
        self.bits & bit != 0
    }

    /// The handshake agreed on it.
    pub const fn agree(&mut self) {
        self.bits |= ECHOES | MARKS;
    }

    /// Whether the next segment of new text goes alone: CWR is for one segment only.
    #[inline]
    pub const fn is_alone(&self) -> bool {
        self.has(CWR_OWED)
    }

    //= https://www.rfc-editor.org/rfc/rfc3168#section-6.1.2
    //# When an ECN-Capable TCP sender reduces its congestion window for any reason (because of a retransmit timeout, a Fast
    //# Retransmit, or in response to an ECN Notification), the TCP sender sets the CWR flag in the TCP header of the first
    //# new data packet sent after the window reduction.
    /// The window is reduced because of a loss.
    pub const fn on_loss(&mut self) {
        if self.has(MARKS) {
            self.bits |= CWR_OWED;
        }
    }
}

impl Conn<'_> {
    //= https://www.rfc-editor.org/rfc/rfc3168#section-6.1.1
    //# A host that has sent at least one non-ECN-setup SYN or non-ECN-setup SYN-ACK packet [...] MUST NOT set ECT on data
    //# packets.
    /// The peer's SYN, or SYN|ACK.
    pub(super) fn agree_on_ecn(&mut self, seg: &Segment<'_>) {
        let agrees = if seg.flags.contains(Flags::ACK) {
            // Both bits are an echo of ours by someone who does not know them.
            seg.flags.contains(Flags::ECE) && !seg.flags.contains(Flags::CWR)
        } else {
            is_offer(seg)
        };
        if self.ecn.has(OFFERED) && agrees {
            self.ecn.agree();
            if self.rtt.lost_syn {
                self.ecn.bits &= !MARKS;
            }
        }
    }

    /// What there is to tell of it.
    pub(super) const fn ecn_info(&self) -> EcnInfo {
        EcnInfo { is_on: self.ecn.has(MARKS), marks: self.rcv.marks, reductions: self.ecn.echoes }
    }

    /// What the flags of a segment say of ECN.
    #[inline]
    pub(super) fn ecn_flags(&self, plan: &Plan) -> Flags {
        if plan.flags.contains(Flags::SYN) || self.ecn.has(TELLS | CWR_OWED) {
            self.rare_ecn_flags(plan)
        } else {
            plan.flags
        }
    }

    #[cold]
    #[inline(never)]
    fn rare_ecn_flags(&self, plan: &Plan) -> Flags {
        let mut flags = plan.flags;
        if flags.contains(Flags::SYN) {
            if flags.contains(Flags::ACK) {
                //= https://www.rfc-editor.org/rfc/rfc3168#section-6.1.1
                //# An ECN-setup SYN-ACK packet [...] has the ECE flag set and the CWR flag not set
                return if self.ecn.has(ECHOES) { flags | Flags::ECE } else { flags };
            }
            //= https://www.rfc-editor.org/rfc/rfc3168#section-6.1.1.1
            //# A host that receives no reply to an ECN-setup SYN within the normal SYN retransmission timeout interval MAY
            //# resend the SYN and any subsequent SYN retransmissions with CWR and ECE cleared.
            return if self.ecn.has(OFFERED) && !self.rtt.lost_syn { flags | SETUP } else { flags };
        }
        if self.ecn.has(TELLS) && !flags.contains(Flags::RST) {
            flags |= Flags::ECE;
        }
        if self.ecn.has(CWR_OWED) && is_marked(plan) {
            flags |= Flags::CWR;
        }
        flags
    }

    //= https://www.rfc-editor.org/rfc/rfc3168#section-6.1.5
    //# ECN-capable TCP implementations MUST NOT set either ECT codepoint (ECT(0) or ECT(1)) in the IP header for
    //# retransmitted data packets
    /// The octet of the IP header that holds DSCP and ECN.
    #[inline]
    pub fn tos(&self, plan: &Plan) -> u8 {
        let ect = if self.ecn.has(MARKS) && is_marked(plan) { ECT } else { 0 };
        self.settings.dscp << 2 | ect
    }

    /// A segment of new text has left.
    #[inline]
    pub(super) fn on_ecn_sent(&mut self, plan: &Plan) {
        if self.ecn.has(CWR_OWED) && is_marked(plan) {
            self.ecn.bits &= !CWR_OWED;
        }
    }

    /// An acceptable segment: what the peer's text went through, and what it knows of that.
    #[inline]
    pub(super) fn take_ecn(&mut self, seg: &Segment<'_>) {
        if (seg.is_ce || seg.flags.contains(Flags::CWR)) && self.ecn.has(ECHOES) && !seg.payload.is_empty() {
            self.take_mark(seg);
        }
    }

    //= https://www.rfc-editor.org/rfc/rfc3168#section-6.1.3
    //# When TCP receives a CE data packet at the destination end-system, the TCP data receiver sets the ECN-Echo flag in
    //# the TCP header of the subsequent ACK packet.
    #[cold]
    fn take_mark(&mut self, seg: &Segment<'_>) {
        let told = self.ecn.has(TELLS);
        if seg.flags.contains(Flags::CWR) {
            self.ecn.bits &= !TELLS;
        }
        if seg.is_ce {
            self.rcv.marks = self.rcv.marks.saturating_add(1);
            self.ecn.bits |= TELLS;
            // The first tells at once.
            self.rcv.ack_now |= !told;
        }
    }

    /// Whether an acknowledgment says that a router has marked our text.
    #[inline]
    pub(super) const fn is_echo(&self, seg: &Segment<'_>) -> bool {
        seg.flags.contains(Flags::ECE) && self.ecn.has(MARKS)
    }

    /// Whether ECE has reduced the window since the first octet in flight left.
    pub(super) fn is_reduced_by_echo(&self) -> bool {
        self.ecn.reduced.after(self.snd.una) && self.ecn.reduced.at_or_before(self.snd.nxt)
    }

    //= https://www.rfc-editor.org/rfc/rfc3168#section-6.1.2
    //# TCP should not react to congestion indications more than once every window of data (or more loosely, more than once
    //# every round-trip time).
    /// An acknowledgment with ECE, not taken yet.
    #[cold]
    #[inline(never)]
    pub(super) fn on_echo(&mut self) {
        if self.snd.is_idle() || self.is_reduced_by_echo() || matches!(self.snd.phase, Phase::Fast | Phase::Loss) {
            return;
        }
        let mss = u32::from(self.snd.mss);
        let flight = self.pipe().min(self.cc.cwnd());
        self.cc.on_echo(flight, mss, self.ecn.has(ABE));
        self.ecn.echoes = self.ecn.echoes.saturating_add(1);
        self.ecn.reduced = self.snd.nxt;
        self.ecn.on_loss();
    }

    //= https://www.rfc-editor.org/rfc/rfc3168#section-6.1.2
    //# [...] and the window does not grow by an acknowledgment that says so.
    /// The acknowledgment is taken, `cwnd` having been the window before.
    pub(super) fn hold_window(&mut self, cwnd: u32) {
        if self.snd.phase == Phase::Open && self.state != State::Closed {
            self.cc.set_cwnd(self.cc.cwnd().min(cwnd), u32::from(self.snd.mss));
        }
    }
}

//= https://www.rfc-editor.org/rfc/rfc3168#section-6.1.4
//# For the current generation of TCP congestion control algorithms, pure acknowledgement packets [...] MUST be sent with
//# the not-ECT codepoint.
/// Whether a segment is new text: no retransmission, no probe of a window (§6.1.6), no bare FIN.
#[inline]
fn is_marked(plan: &Plan) -> bool {
    plan.why == Why::Text && plan.len > 0
}

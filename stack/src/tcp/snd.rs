//! The send sequence space and the peer's window.
//!
//! Implements RFC 9293 §3.3.1 (figure 3) and the parts of RFC 6582 that remember where a recovery ends. SND.NXT is the
//! highest number sent and never goes back: what is to be sent again is told by `resend`.
//!
//! ```text
//!       una            resend                nxt
//!  ──────┼───────────────┼────────────────────┼──────────────
//!   acked│   in flight   │ taken for lost     │ not sent yet
//!                        └ equals nxt while nothing is taken for lost
//! ```

use crate::seq::Seq;

/// The peer's MSS is taken for at least this: smaller ones only serve to make us send many tiny packets. As Linux.
pub(crate) const MSS_FLOOR: u16 = 48;

/// How losses are being repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing is known to be lost.
    Open,
    /// A probe of the tail is under way (RFC 8985 §7), until `recover` is acknowledged.
    #[cfg(feature = "rack")]
    Probing,
    /// Fast recovery (RFC 6582, RFC 6675).
    Fast,
    /// After a time-out, until `recover` is acknowledged.
    Loss,
}

/// The numbers of the sending side, octets first: see [`Conn`](super::conn::Conn).
#[derive(Clone, Copy, Debug)]
#[cfg_attr(target_os = "none", repr(C))]
pub(crate) struct Snd {
    pub phase: Phase,
    /// The segment at `una` is to be sent again at once.
    pub fast_retransmit: bool,
    /// One segment may leave although the window, or SWS avoidance, forbids it.
    pub probe: bool,
    pub dup_acks: u8,
    /// The peer's window scale.
    pub shift: u8,
    /// Both sides scale their windows.
    pub scaling: bool,
    /// Octets of text in a full segment, options already subtracted.
    pub mss: u16,
    /// What the peer announced, without subtracting options.
    pub peer_mss: u16,
    /// Octets sent by limited transmit (RFC 3042) since the last new acknowledgment: two segments at most, of which no
    /// more than this holds is counted.
    pub limited: u16,
    pub una: Seq,
    pub nxt: Seq,
    pub resend: Seq,
    /// The peer's window, in octets from `una`.
    pub wnd: u32,
    pub max_wnd: u32,
    /// RFC 6582: SND.NXT when the recovery began.
    pub recover: Seq,
    /// Behind the last segment that was not full: Nagle holds the next such one until it is acknowledged.
    pub small: Seq,
    pub iss: Seq,
    pub wl1: Seq,
    pub wl2: Seq,
}

impl Snd {
    pub fn new(iss: Seq, mss: u16) -> Self {
        Self {
            iss,
            una: iss,
            nxt: iss,
            resend: iss,
            wnd: 0,
            max_wnd: 0,
            wl1: Seq::default(),
            wl2: Seq::default(),
            recover: iss,
            limited: 0,
            small: iss,
            mss,
            peer_mss: 536,
            shift: 0,
            dup_acks: 0,
            phase: Phase::Open,
            fast_retransmit: false,
            probe: false,
            scaling: false,
        }
    }

    /// Everything starts at `iss`.
    pub fn set_iss(&mut self, iss: Seq) {
        (self.iss, self.una, self.nxt, self.resend, self.recover, self.small) = (iss, iss, iss, iss, iss, iss);
    }

    /// The peer's window field, in octets.
    #[inline]
    pub fn unscaled(&self, window: u16) -> u32 {
        let shift = if cfg!(feature = "window-scale") { self.shift } else { 0 };
        u32::from(window) << shift
    }

    /// Octets sent and not acknowledged.
    pub fn outstanding(&self) -> u32 {
        self.nxt.distance_from(self.una)
    }

    /// Whether a probe of the tail is to leave, or was sent.
    #[cfg(feature = "gso")]
    #[inline]
    pub fn is_probing(&self) -> bool {
        #[cfg(feature = "rack")]
        return self.phase == Phase::Probing;
        #[cfg(not(feature = "rack"))]
        false
    }

    /// Octets believed to be in the network.
    pub fn flight(&self) -> u32 {
        self.resend.distance_from(self.una)
    }

    pub fn is_idle(&self) -> bool {
        self.una == self.nxt
    }

    pub fn syn_is_acked(&self) -> bool {
        self.una != self.iss
    }

    /// Takes everything in flight for lost.
    pub fn mark_lost(&mut self) {
        self.resend = self.una;
        self.fast_retransmit = false;
    }

    /// Octets that the peer's window leaves beyond SND.NXT.
    pub fn window_room(&self) -> u32 {
        self.wnd.saturating_sub(self.outstanding())
    }

    /// Moves SND.UNA; the octets newly acknowledged.
    pub fn acknowledge(&mut self, ack: Seq) -> u32 {
        let acked = ack.distance_from(self.una);
        // The window is counted from SND.UNA, its right edge stays where it was until an update moves it.
        self.wnd = self.wnd.saturating_sub(acked);
        self.una = ack;
        self.resend = self.resend.later(ack);
        acked
    }

    //= https://www.rfc-editor.org/rfc/rfc9293#section-3.10.7.4
    //# If (SND.WL1 < SEG.SEQ or (SND.WL1 = SEG.SEQ and SND.WL2 =< SEG.ACK)), set SND.WND <- SEG.WND
    /// Takes the window of an acceptable segment unless an older one overtook it. Whether it changed.
    pub fn update_window(&mut self, seq: Seq, ack: Seq, wnd: u32) -> bool {
        if !(self.wl1.before(seq) || (self.wl1 == seq && self.wl2.at_or_before(ack))) {
            return false;
        }
        let changed = self.wnd != wnd;
        self.set_window(seq, ack, wnd);
        changed
    }

    /// The first window of a connection, or a newer one.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn set_window(&mut self, seq: Seq, ack: Seq, wnd: u32) {
        self.wnd = wnd;
        self.max_wnd = self.max_wnd.max(wnd);
        self.wl1 = seq;
        self.wl2 = ack;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snd() -> Snd {
        let mut s = Snd::new(Seq::new(u32::MAX - 50), 1000);
        s.nxt += 101;
        s.resend = s.nxt;
        s.una += 1;
        s.set_window(Seq::new(5), s.una, 500);
        s
    }

    #[test]
    fn an_older_segment_does_not_change_the_window() {
        let mut s = snd();
        let ack = s.una;
        assert!(!s.update_window(Seq::new(4), ack, 9));
        assert!(!s.update_window(Seq::new(5), ack - 1, 9));
        assert_eq!(s.wnd, 500);
        assert!(s.update_window(Seq::new(5), ack, 9));
        assert_eq!((s.wnd, s.max_wnd), (9, 500));
    }

    #[test]
    fn acknowledging_keeps_the_right_edge_and_moves_what_is_to_be_resent() {
        let mut s = snd();
        s.mark_lost();
        assert_eq!((s.flight(), s.outstanding(), s.window_room()), (0, 100, 400));
        assert_eq!(s.acknowledge(s.una + 60), 60);
        assert_eq!((s.flight(), s.outstanding(), s.window_room()), (0, 40, 400));
        s.resend = s.nxt;
        assert_eq!(s.acknowledge(s.nxt), 40);
        assert!(s.is_idle());
    }

    #[test]
    fn a_window_smaller_than_what_is_in_flight_leaves_no_room() {
        let mut s = snd();
        let una = s.una;
        s.set_window(Seq::new(6), una, 10);
        assert_eq!(s.window_room(), 0);
    }
}

//! The receive sequence space, the window we announce, and the acknowledgments we owe.
//!
//! Implements RFC 9293 §3.3.1 (figure 4), §3.8.6.2.2 (silly windows) and §3.8.6.3 (delayed acknowledgments), RFC 7323
//! §2.3 and §2.4 (scaling; the right edge stays) and RFC 5681 §4.2 (what is acknowledged at once).
//!
//! ```text
//!           nxt                adv     told          nxt + free
//!  ──────────┼──────────────────┼───────┼────────────────┼──────
//!   delivered│ announced        │< unit │ room not told  │
//! ```
//! `adv` never goes back. A scaled window can tell it only in units: the field is rounded up, so that the edge told may
//! lie up to one unit less an octet beyond it. So much room is never granted, so that whatever was told is acceptable
//! and has its place, though a later field tells less (RFC 7323 §2.4).

use crate::seq::Seq;

/// Duplicate acknowledgments owed at most: more than these tell the peer nothing new.
const MOST_DUP_ACKS: u8 = 8;

/// The numbers of the receiving side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rcv {
    pub irs: Seq,
    pub nxt: Seq,
    /// The right edge granted to the peer.
    pub adv: Seq,
    /// The furthest right edge that any segment told.
    pub told: Seq,
    pub last_ack_sent: Seq,
    /// The peer's FIN, waiting beyond a hole.
    pub fin: Option<Seq>,
    /// Octets received since the last acknowledgment.
    pub unacked: u32,
    /// The largest segment seen from the peer, at most one MSS: what "full-sized" means.
    pub full: u16,
    /// Our window scale; 0 unless both sides scale.
    pub shift: u8,
    pub dup_acks: u8,
    pub ack_now: bool,
    /// A challenge ACK is owed (RFC 5961).
    pub challenge: bool,
    /// The peer's FIN was taken in order.
    pub fin_taken: bool,
}

/// The smallest shift that lets a window of `capacity` octets be told; at most 14 (RFC 7323 §2.3).
pub(crate) fn window_shift(capacity: usize) -> u8 {
    let mut shift = 0;
    while shift < 14 && (capacity >> shift) > usize::from(u16::MAX) {
        shift += 1;
    }
    shift
}

/// The window field of a SYN or SYN|ACK, never scaled (RFC 7323 §2.2), for a receive buffer of `capacity` octets.
pub(crate) fn syn_window(capacity: usize) -> u16 {
    u16::try_from(capacity).unwrap_or(u16::MAX)
}

impl Rcv {
    pub fn new(mss: u16) -> Self {
        Self {
            irs: Seq::default(),
            nxt: Seq::default(),
            adv: Seq::default(),
            told: Seq::default(),
            last_ack_sent: Seq::default(),
            fin: None,
            unacked: 0,
            full: mss.min(536),
            shift: 0,
            dup_acks: 0,
            ack_now: false,
            challenge: false,
            fin_taken: false,
        }
    }

    /// The peer's SYN came; our own SYN grants, or granted, `window` octets.
    pub fn on_syn(&mut self, irs: Seq, window: u16) {
        self.irs = irs;
        self.nxt = irs + 1;
        self.last_ack_sent = self.nxt;
        self.adv = self.nxt + u32::from(window);
        self.told = self.adv;
    }

    /// The window: up to the furthest edge that the peer was told.
    pub fn wnd(&self) -> u32 {
        self.told.distance_from(self.nxt)
    }

    /// Octets short of a unit of the window field.
    fn fraction(&self) -> u32 {
        (1u32 << self.shift) - 1
    }

    /// RCV.NXT moves on by `n` octets.
    pub fn advance(&mut self, n: u32) {
        self.nxt += n;
        // The last octets may lie in the fraction of a unit told beyond `adv`.
        self.adv = self.adv.later(self.nxt);
        self.told = self.told.later(self.nxt);
    }

    /// Octets that the edge could move by, were it told now.
    fn gain(&self, free: u32) -> u32 {
        let most = u32::from(u16::MAX) << self.shift;
        free.saturating_sub(self.fraction()).min(most).saturating_sub(self.adv.distance_from(self.nxt))
    }

    //= https://www.rfc-editor.org/rfc/rfc9293#section-3.8.6.2.2
    //# The suggested SWS avoidance algorithm for the receiver is to keep
    //# RCV.NXT+RCV.WND fixed until the reduction satisfies:
    //# RCV.BUFF - RCV.USER - RCV.WND >= min( Fr * RCV.BUFF, Eff.snd.MSS )
    /// The right edge that a segment sent now would tell, with room for `free` of `capacity` octets.
    pub fn edge(&self, free: u32, capacity: u32) -> Seq {
        if self.gain(free) >= (capacity / 2).min(u32::from(self.full)).max(1) {
            let most = u32::from(u16::MAX) << self.shift;
            self.adv.later(self.nxt + (free.saturating_sub(self.fraction()).min(most) & !self.fraction()))
        } else {
            self.adv
        }
    }

    /// The window field that tells `edge`.
    pub fn field(&self, edge: Seq) -> u16 {
        let wnd = round_up(edge.distance_from(self.nxt), self.shift) >> self.shift;
        u16::try_from(wnd).unwrap_or(u16::MAX)
    }

    /// Whether the window has opened so far that the peer must hear of it without being asked.
    ///
    /// A peer that can still send full segments hears of it with their acknowledgments; otherwise at half the buffer.
    pub fn owes_window_update(&self, free: u32, capacity: u32) -> bool {
        let full = u32::from(self.full);
        let half = (capacity / 2).max(1);
        let told = self.adv.distance_from(self.nxt);
        let threshold = if told < 2 * full { full.min(half) } else { half };
        self.gain(free) >= threshold
    }

    /// Whether an acknowledgment must leave now; of a buffer of `capacity` octets, half is as good as two segments.
    pub fn owes_ack(&self, capacity: u32) -> bool {
        //= https://www.rfc-editor.org/rfc/rfc9293#section-3.8.6.3
        //# An ACK SHOULD be generated for at least every second full-sized segment
        self.ack_now || (self.unacked > 0 && self.unacked >= (2 * u32::from(self.full)).min(capacity / 2))
    }

    /// A segment beyond a hole came: RFC 5681 §4.2 wants one duplicate acknowledgment for each.
    pub fn owe_dup_ack(&mut self) {
        self.dup_acks = (self.dup_acks + 1).min(MOST_DUP_ACKS);
    }

    /// A segment with `ACK = RCV.NXT` that told `edge` has left; `dup`: it was one of the duplicates.
    pub fn on_ack_sent(&mut self, edge: Seq, dup: bool) {
        self.adv = edge;
        self.told = self.told.later(self.nxt + (u32::from(self.field(edge)) << self.shift));
        self.last_ack_sent = self.nxt;
        self.unacked = 0;
        self.ack_now = false;
        self.challenge = false;
        if dup {
            self.dup_acks = self.dup_acks.saturating_sub(1);
        }
    }
}

fn round_up(octets: u32, shift: u8) -> u32 {
    let unit = (1u32 << shift) - 1;
    octets.saturating_add(unit) & !unit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rcv(shift: u8, window: u16) -> Rcv {
        let mut r = Rcv::new(1000);
        r.full = 1000;
        r.shift = shift;
        r.on_syn(Seq::new(u32::MAX), window);
        r
    }

    #[test]
    fn the_shift_is_the_smallest_that_fits_and_never_above_14() {
        assert_eq!(window_shift(65_535), 0);
        assert_eq!(window_shift(65_536), 1);
        assert_eq!(window_shift(1 << 20), 5);
        assert_eq!(window_shift(1 << 30), 14);
        assert_eq!(window_shift(usize::MAX), 14);
    }

    #[test]
    fn the_right_edge_never_goes_back_while_octets_of_any_number_arrive() {
        for shift in [0, 1, 5, 14] {
            let capacity = 60_000u32 << shift;
            let mut r = rcv(shift, 60_000);
            let (mut free, mut granted) = (capacity, r.adv);
            for n in [1u32, 1460, 7, 1, 3, 9999, 1] {
                r.advance(n);
                free -= n;
                let edge = r.edge(free, capacity);
                let told = r.nxt + (u32::from(r.field(edge)) << shift);
                assert!(told.at_or_after(granted), "shift {shift}");
                r.on_ack_sent(edge, false);
                granted = granted.later(edge);
                assert!(edge.distance_from(r.nxt) <= free);
            }
        }
    }

    #[test]
    fn a_full_buffer_read_octet_by_octet_tells_one_segment_or_half_the_buffer() {
        for (capacity, first) in [(10_000u32, 1000u32), (1200, 600), (1, 1), (3, 1)] {
            let mut r = rcv(0, 0);
            r.adv = r.nxt;
            let told = (0..=capacity).find(|&free| r.owes_window_update(free, capacity));
            assert_eq!(told, Some(first));
            let edge = r.edge(first - 1, capacity);
            assert_eq!(edge, r.nxt);
            assert_eq!(r.edge(first, capacity), r.nxt + first);
            r.on_ack_sent(r.edge(first, capacity), false);
            assert!(!r.owes_window_update(first, capacity));
        }
    }

    #[test]
    fn a_window_that_the_syn_could_not_tell_opens_with_the_next_acknowledgment() {
        let mut r = rcv(1, 65_535);
        assert_eq!(r.adv, r.nxt + 65_535);
        let edge = r.edge(65_536, 65_536);
        assert_eq!(r.field(edge), 32_768);
        r.on_ack_sent(edge, false);
    }

    // RFC 7323 §2.4: the peer may fill what it was told, whatever was told since.
    #[test]
    fn all_that_was_ever_told_is_acceptable_and_has_its_place() {
        let (shift, capacity) = (5, 1u32 << 20);
        let mut r = rcv(shift, 65_535);
        let (mut free, mut furthest) = (capacity, r.adv);
        for n in (0..200_000u32).map(|i| i.wrapping_mul(2_654_435_761) >> 20) {
            let n = (n % 3_000).min(furthest.distance_from(r.nxt));
            r.advance(n);
            free -= n;
            // The reader takes a little, until it takes nothing.
            free += (n / 2).min(capacity - free);
            let edge = r.edge(free, capacity);
            r.on_ack_sent(edge, false);
            furthest = furthest.later(r.nxt + (u32::from(r.field(edge)) << shift));
            assert_eq!(r.wnd(), furthest.distance_from(r.nxt));
            assert!(r.wnd() <= free, "told {} with room for {free}", r.wnd());
        }
        assert!(free < 3_000, "the buffer has filled up");
    }
}

//! The receive sequence space, the window we announce, and the acknowledgments we owe.
//!
//! Implements RFC 9293 §3.3.1 (figure 4), §3.8.6.2.2 (silly windows) and §3.8.6.3 (delayed acknowledgments), RFC 7323
//! §2.3 and §2.4 (scaling; the right edge stays) and RFC 5681 §4.2 (what is acknowledged at once).
//!
//! ```text
//!           nxt                adv        nxt + free
//!  ──────────┼──────────────────┼──── reserve ───┼──────
//!   delivered│ told             │< unit each     │
//! ```
//! What was told is never taken back. A scaled window is told in units, and what is acknowledged seldom lies on one: the
//! field is rounded up, so that `adv` creeps on by less than a unit with each acknowledgment. An eighth of a scaled
//! buffer is never granted, but kept for that. Only when this reserve is used up, by thousands of tiny segments that
//! nobody reads, is the field rounded down; what was told before stays acceptable and has its place (RFC 7323 §2.4).

use crate::seq::Seq;

/// Acknowledgments that go at once when a connection begins, or goes on after it was idle. As Linux: the peer's slow
/// start has doubled its window three times by then.
const QUICK_ACKS: u8 = 16;

/// Duplicate acknowledgments owed at most: more than these tell the peer nothing new.
const MOST_DUP_ACKS: u8 = 8;

/// The numbers of the receiving side.
#[derive(Clone, Copy, Debug)]
// As in `Conn`: what is used most comes first on small processors.
#[cfg_attr(target_os = "none", repr(C))]
pub(crate) struct Rcv {
    pub dup_acks: u8,
    /// Acknowledgments that are not delayed yet.
    quick: u8,
    /// Text of ours follows the peer's so soon that it carries the acknowledgments.
    converses: bool,
    pub ack_now: bool,
    /// A challenge ACK is owed (RFC 5961).
    pub challenge: bool,
    /// The peer's FIN is known; it may wait beyond a hole.
    has_fin: bool,
    /// The peer's FIN was taken in order.
    pub fin_taken: bool,
    /// Our window scale; 0 unless both sides scale.
    pub shift: u8,
    /// The largest segment seen from the peer, at most one MSS: what "full-sized" means.
    pub full: u16,
    /// Segments that routers have marked (RFC 3168).
    #[cfg(feature = "ecn")]
    pub marks: u16,
    pub irs: Seq,
    pub nxt: Seq,
    /// The furthest right edge that any segment told.
    pub adv: Seq,
    pub last_ack_sent: Seq,
    /// The number behind the peer's text, if `has_fin`.
    fin: Seq,
    /// Octets received since the last acknowledgment.
    pub unacked: u32,
    /// When text began to wait for an acknowledgment last: low bits of the microseconds.
    text_at: u32,
}

/// The largest window that is told without scaling.
const UNSCALED: usize = u16::MAX as usize;
/// The part of a scaled buffer that is never granted is this power of two of it.
const RESERVE_SHIFT: u8 = 3;

/// The octets of buffer that a window of `window` octets needs: a scaled one has its reserve.
pub(crate) const fn room_for(window: usize) -> usize {
    let is_scaled = cfg!(feature = "window-scale") && window > UNSCALED;
    if !is_scaled { window } else { window.saturating_add(window / ((1 << RESERVE_SHIFT) - 1)) }
}

/// The largest window that `capacity` octets of buffer allow. The inverse of [`room_for`].
pub(crate) const fn window_of(capacity: usize) -> usize {
    let reserve = if cfg!(feature = "window-scale") { capacity >> RESERVE_SHIFT } else { capacity };
    let scaled = capacity - reserve;
    match (scaled > UNSCALED, capacity > UNSCALED) {
        (true, _) => scaled,
        (false, true) => UNSCALED,
        (false, false) => capacity,
    }
}

/// The smallest shift that lets a window of `window` octets be told; at most 14 (RFC 7323 §2.3).
pub(crate) fn window_shift(window: usize) -> u8 {
    let mut shift = 0;
    while cfg!(feature = "window-scale") && shift < 14 && (window >> shift) > UNSCALED {
        shift += 1;
    }
    shift
}

/// The window field of a SYN or SYN|ACK, never scaled (RFC 7323 §2.2), where the largest window is `window` octets.
pub(crate) fn syn_window(window: usize) -> u16 {
    u16::try_from(window).unwrap_or(u16::MAX)
}

impl Rcv {
    pub fn new(mss: u16) -> Self {
        Self {
            irs: Seq::default(),
            nxt: Seq::default(),
            adv: Seq::default(),
            last_ack_sent: Seq::default(),
            fin: Seq::default(),
            unacked: 0,
            full: mss.min(536),
            shift: 0,
            dup_acks: 0,
            quick: QUICK_ACKS,
            converses: false,
            text_at: 1 << 31,
            ack_now: false,
            challenge: false,
            #[cfg(feature = "ecn")]
            marks: 0,
            has_fin: false,
            fin_taken: false,
        }
    }

    /// Our window scale.
    #[inline]
    pub const fn shift(&self) -> u8 {
        if cfg!(feature = "window-scale") { self.shift } else { 0 }
    }

    /// The peer's SYN came; our own SYN grants, or granted, `window` octets.
    pub fn on_syn(&mut self, irs: Seq, window: u16) {
        self.irs = irs;
        self.nxt = irs + 1;
        self.last_ack_sent = self.nxt;
        self.adv = self.nxt + u32::from(window);
    }

    /// The window: up to the furthest edge that the peer was told.
    #[inline]
    pub fn wnd(&self) -> u32 {
        self.adv.distance_from(self.nxt)
    }

    /// The number of the peer's FIN, if it is known.
    #[inline]
    pub fn fin(&self) -> Option<Seq> {
        self.has_fin.then_some(self.fin)
    }

    /// The peer's text ends at `seq`.
    pub fn end_at(&mut self, seq: Seq) {
        self.fin = seq;
        self.has_fin = true;
    }

    /// Octets short of a unit of the window field.
    #[inline]
    fn fraction(&self) -> u32 {
        (1u32 << self.shift()) - 1
    }

    /// RCV.NXT moves on by `n` octets.
    #[inline]
    pub fn advance(&mut self, n: u32) {
        self.nxt += n;
        // A FIN needs no window.
        self.adv = self.adv.later(self.nxt);
    }

    /// The window that may be granted, with room for `free` of `capacity` octets.
    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    fn grant(&self, free: u32, capacity: u32) -> u32 {
        let reserve = if self.shift() == 0 { 0 } else { capacity >> RESERVE_SHIFT };
        let most = u32::from(u16::MAX) << self.shift();
        free.saturating_sub(reserve).min(most) & !self.fraction()
    }

    //= https://www.rfc-editor.org/rfc/rfc9293#section-3.8.6.2.2
    //# The suggested SWS avoidance algorithm for the receiver is to keep
    //# RCV.NXT+RCV.WND fixed until the reduction satisfies:
    //# RCV.BUFF - RCV.USER - RCV.WND >= min( Fr * RCV.BUFF, Eff.snd.MSS )
    /// The right edge that a segment sent now would tell, with room for `free` of `capacity` octets.
    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    pub fn edge(&self, free: u32, capacity: u32) -> Seq {
        let grant = self.grant(free, capacity);
        let gain = grant.saturating_sub(self.wnd());
        if gain >= (capacity / 2).min(u32::from(self.full)).max(1) { self.nxt + grant } else { self.kept(free) }
    }

    //= https://www.rfc-editor.org/rfc/rfc9293#section-3.8.6
    //# A TCP receiver SHOULD NOT shrink the window, i.e., move the right window edge to the left (SHLD-14).
    /// The right edge that tells what was told before, with room for `free` octets.
    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    pub fn kept(&self, free: u32) -> Seq {
        let wnd = self.wnd();
        let up = (wnd + self.fraction()) & !self.fraction();
        self.nxt + if up <= free { up } else { wnd & !self.fraction() }
    }

    /// The window field that tells `edge`.
    #[inline]
    pub fn field(&self, edge: Seq) -> u16 {
        u16::try_from(edge.distance_from(self.nxt) >> self.shift()).unwrap_or(u16::MAX)
    }

    /// Whether the window has opened so far that the peer must hear of it without being asked.
    ///
    /// A peer that can still send full segments hears of it with their acknowledgments; otherwise at half the buffer.
    pub fn owes_window_update(&self, free: u32, capacity: u32) -> bool {
        let full = u32::from(self.full);
        let half = (capacity / 2).max(1);
        let told = self.wnd();
        let threshold = if told < 2 * full { full.min(half) } else { half };
        self.grant(free, capacity).saturating_sub(told) >= threshold
    }

    /// Whether an acknowledgment must leave now; of a buffer of `capacity` octets, half is as good as two segments.
    pub fn owes_ack(&self, capacity: u32) -> bool {
        //= https://www.rfc-editor.org/rfc/rfc9293#section-3.8.6.3
        //# An ACK SHOULD be generated for at least every second full-sized segment
        self.ack_now || (self.unacked > 0 && self.unacked >= (2 * u32::from(self.full)).min(capacity / 2))
    }

    /// Text waits for an acknowledgment from now on (low bits of the microseconds): whether it is not to be delayed.
    /// `rto`: a pause as long as this makes the peer start slowly again (RFC 5681 §4.1).
    ///
    /// A window of few segments waits for acknowledgments, a large one does not; so does a second small segment, by
    /// Nagle's algorithm. RFC 9293 §3.8.6.3 leaves it to the receiver how many are delayed.
    #[inline]
    pub fn is_quick(&mut self, now: u32, rto: u32) -> bool {
        if now.wrapping_sub(self.text_at) > rto {
            self.quick = QUICK_ACKS;
        }
        self.text_at = now;
        let quick = self.quick > 0 && !self.converses;
        self.quick -= u8::from(quick);
        quick
    }

    /// Text of ours leaves: within `delay` microseconds of the peer's, it is an answer, and the next will be, too.
    #[inline]
    pub fn on_text_sent(&mut self, now: u32, delay: u32) {
        self.converses |= now.wrapping_sub(self.text_at) < delay;
    }

    /// A delayed acknowledgment found no text to travel with.
    pub fn on_ack_timer(&mut self) {
        self.ack_now = true;
        self.converses = false;
    }

    /// So many segments beyond a hole came: RFC 5681 §4.2 wants one duplicate acknowledgment for each.
    pub fn owe_dup_acks(&mut self, segments: usize) {
        let segments = if segments < usize::from(MOST_DUP_ACKS) { segments as u8 } else { MOST_DUP_ACKS };
        self.dup_acks = (self.dup_acks + segments).min(MOST_DUP_ACKS);
    }

    /// A segment with `ACK = RCV.NXT` that told `edge` has left; `dup`: it was one of the duplicates.
    pub fn on_ack_sent(&mut self, edge: Seq, dup: bool) {
        self.adv = self.adv.later(edge);
        self.last_ack_sent = self.nxt;
        self.unacked = 0;
        self.ack_now = false;
        self.challenge = false;
        if dup {
            self.dup_acks = self.dup_acks.saturating_sub(1);
        }
    }
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

    #[cfg(feature = "window-scale")]
    #[test]
    fn the_shift_is_the_smallest_that_fits_and_never_above_14() {
        assert_eq!(window_shift(65_535), 0);
        assert_eq!(window_shift(65_536), 1);
        assert_eq!(window_shift(1 << 20), 5);
        assert_eq!(window_shift(1 << 30), 14);
        assert_eq!(window_shift(usize::MAX), 14);
    }

    #[test]
    fn acknowledgments_are_quick_at_first_and_after_a_pause_but_not_in_a_conversation() {
        let mut r = rcv(0, 1000);
        let quick =
            |r: &mut Rcv, from: u32| (0..40).filter(|i| r.is_quick(from.wrapping_add(i * 1000), 200_000)).count();
        assert_eq!(quick(&mut r, 5_000_000), 16);
        assert_eq!(quick(&mut r, 5_100_000), 0);
        assert_eq!(quick(&mut r, 6_000_000), 16);
        r.on_text_sent(6_039_000 + 40_000, 40_000);
        assert_eq!(quick(&mut r, 7_000_000), 16, "that was no answer");
        r.on_text_sent(7_039_000 + 39_999, 40_000);
        assert_eq!(quick(&mut r, 8_000_000), 0, "and that was one");
        r.on_ack_timer();
        assert_eq!(quick(&mut r, 9_000_000), 16);
        assert_eq!(quick(&mut r, u32::MAX - 10_000), 16, "the clock wraps");
    }

    #[cfg(feature = "window-scale")]
    #[test]
    fn a_window_and_the_buffer_that_it_needs_belong_to_each_other() {
        for window in (1..200_000).chain([1 << 20, (1 << 20) + 5, 1 << 28]) {
            let room = room_for(window);
            assert_eq!(window_of(room), window);
            assert!(room >= window && window_of(room - 1) <= window);
        }
        assert_eq!((window_of(65_536), window_of(74_897), window_of(74_898)), (65_535, 65_535, 65_536));
        assert_eq!((room_for(usize::MAX), window_of(0)), (usize::MAX, 0));
    }

    /// What is told after each segment of these sizes, which nobody reads.
    fn filled(shift: u8, window: u32, sizes: impl Iterator<Item = u32>) -> (Rcv, u32) {
        let capacity = room_for(window as usize) as u32;
        let mut r = rcv(shift, 60_000);
        let (mut free, mut told) = (capacity, r.adv);
        for n in sizes {
            let n = n.min(r.wnd());
            r.advance(n);
            free -= n;
            let edge = r.edge(free, capacity);
            let now = r.nxt + (u32::from(r.field(edge)) << shift);
            assert_eq!(now, edge, "the field says it exactly");
            assert!(now.at_or_after(told), "shift {shift}: {} octets taken back", told.distance_from(now));
            r.on_ack_sent(edge, false);
            told = now;
            assert!(r.wnd() <= free, "told {} with room for {free}", r.wnd());
        }
        (r, free)
    }

    #[cfg(feature = "window-scale")]
    #[test]
    fn the_right_edge_never_goes_back_while_octets_of_any_number_arrive() {
        for shift in [1, 3, 5, 7] {
            let window = 60_000u32 << shift;
            filled(shift, window, [1u32, 1460, 7, 1, 3, 9999, 1].into_iter());
            let (r, free) = filled(shift, window, (0..60_000).map(|i| if i % 50 == 0 { i % 1460 } else { 1460 }));
            assert_eq!(r.wnd(), 0, "shift {shift}: it is used up to the last octet");
            assert!(free <= window / 7, "what is left is the reserve");
        }
        filled(14, 60_000 << 14, [1u32, 1460, 7, 1, 3, 9999, 1].into_iter());
    }

    #[test]
    fn a_window_without_scale_closes_octet_by_octet() {
        let (r, free) = filled(0, 60_000, (0..).map(|i| i % 7).take(30_000));
        assert_eq!((r.wnd(), free), (0, 0));
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

    #[cfg(feature = "window-scale")]
    #[test]
    fn a_window_that_the_syn_could_not_tell_opens_with_the_next_acknowledgment() {
        let mut r = rcv(1, 65_535);
        let capacity = room_for(70_000) as u32;
        let edge = r.edge(capacity, capacity);
        assert_eq!(r.field(edge), 35_000);
        r.on_ack_sent(edge, false);
        // One octet more than was told, and nothing to gain: the odd one is rounded up.
        let mut r = rcv(1, 65_535);
        assert_eq!(r.field(r.edge(65_536, 65_536)), 32_768);
        r.advance(1);
        assert_eq!(r.field(r.edge(65_535, 65_536)), 32_767);
    }

    // RFC 7323 §2.4: the peer may fill what it was told, whatever was told since.
    #[cfg(feature = "window-scale")]
    #[test]
    fn where_tiny_segments_use_the_reserve_up_what_was_told_is_acceptable_and_has_its_place() {
        let (shift, window) = (5, 1u32 << 20);
        let capacity = room_for(window as usize) as u32;
        let mut r = rcv(shift, 65_535);
        let (mut free, mut furthest, mut taken_back) = (capacity, r.adv, 0);
        while free > 0 && r.wnd() > 0 {
            r.advance(1);
            free -= 1;
            let edge = r.edge(free, capacity);
            r.on_ack_sent(edge, false);
            taken_back = taken_back.max(if edge.before(furthest) { furthest.distance_from(edge) } else { 0 });
            furthest = furthest.later(r.nxt + (u32::from(r.field(edge)) << shift));
            assert_eq!(r.wnd(), furthest.distance_from(r.nxt));
            assert!(r.wnd() <= free, "told {} with room for {free}", r.wnd());
        }
        assert_eq!((r.wnd(), taken_back), (0, 31), "the window closes, and never by a unit at once");
    }
}

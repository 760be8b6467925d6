//! Reassembly: fragments put together in a frame, in few places and for a limited time.
//!
//! Implements RFC 791 §3.2 with RFC 815's idea of what is missing, RFC 1122 §3.3.2 (time-out), and RFC 8200 §4.5's
//! stricter rule for overlaps in both families: a datagram with overlapping fragments is discarded whole, and so is what
//! comes of it later. A fragment that comes again exactly is ignored.
//!
//! ```text
//!   frame  ┌───────────────┬──────────┬─────────┬──────────┬┄┄┄┄┄┄┄┐
//!          │ headroom, 124 │ fragment │ missing │ fragment │       │
//!          └───────────────┴──────────┴─────────┴──────────┴┄┄┄┄┄┄┄┘
//!     the first fragment's header ◀─┘ goes in front when nothing is missing
//! ```

use crate::family::IpAddr;
use crate::frame::{Frame, Pool};
use crate::ip::v4::Ipv4Header;
use crate::stats::{DropReason, Stats};
use crate::time::{Duration, Instant};
use crate::wire::ipv4::{MAX_HEADER, set_whole};
#[cfg(feature = "ipv6")]
use crate::wire::{
    extension::{Piece, Refusal},
    ipv6::{self, Ipv6Header},
};
use core::net::Ipv4Addr;
use heapless::Vec;
use managed::ManagedSlice;

/// RFC 1122 §3.3.2: 60 to 120 seconds; RFC 8200 §4.5: 60.
const TIMEOUT: Duration = Duration::from_secs(60);
/// For as long a whole datagram is remembered, for copies of its fragments not to start another one.
const REMEMBERED: Duration = Duration::from_millis(500);
/// Fragments per datagram, 64: the largest datagram in pieces of 1,024 octets; the work per fragment is bounded by it.
const FRAGMENTS: usize = 64;
/// Octets kept free in front of the datagram: its header, and what may be pushed in front of that when it is passed on.
const HEADROOM: usize = MAX_HEADER + 64;

/// Which datagram a fragment is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Id {
    src: IpAddr,
    dst: IpAddr,
    protocol: u8,
    ident: u32,
}

/// What is in a place.
enum State<'a> {
    Free,
    /// A datagram in pieces: its payload begins at the frame's first octet.
    Partial(Frame<'a>),
    /// A datagram that cannot be trusted any more.
    Poisoned,
    /// A datagram that is whole, and gone to where it belongs.
    Done,
}

/// One place of the storage for incomplete datagrams.
pub struct ReassemblySlot<'a> {
    /// Which datagram, unless the place is free.
    id: Id,
    state: State<'a>,
    started: Instant,
    /// The fragments that are there, as start and end, in order and without overlap.
    pieces: Vec<(u16, u16), FRAGMENTS>,
    /// Octets in `pieces`.
    octets: u32,
    /// Octets of the payload, once the last fragment came.
    total: Option<u16>,
    /// The header of the first fragment, once it came.
    header: Vec<u8, MAX_HEADER>,
    /// The ECN fields that fragments came with, one bit for each of the four values.
    ecn: u8,
}

impl ReassemblySlot<'_> {
    /// A free place, all zeros: a `static` table lies in `.bss`.
    pub const fn new() -> Self {
        const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Self {
            id: Id { src: NOBODY, dst: NOBODY, protocol: 0, ident: 0 },
            state: State::Free,
            started: Instant::ZERO,
            pieces: Vec::new(),
            octets: 0,
            total: None,
            header: Vec::new(),
            ecn: 0,
        }
    }

    fn expires(&self) -> Option<Instant> {
        match self.state {
            State::Free => None,
            State::Partial(_) | State::Poisoned => Some(self.started + TIMEOUT),
            State::Done => Some(self.started + REMEMBERED),
        }
    }

    /// The order of giving up: what holds nothing that is wanted first, then the oldest.
    fn worth(&self) -> (u8, Instant) {
        let class = match self.state {
            State::Free => 0,
            State::Done => 1,
            State::Partial(_) | State::Poisoned => 2,
        };
        (class, self.started)
    }

    fn clear(&mut self) {
        *self = Self::new();
    }

    /// Drops what came, and keeps in mind that of this datagram nothing is to be taken.
    fn poison(&mut self) -> DropReason {
        self.state = State::Poisoned;
        self.pieces.clear();
        DropReason::FragmentOverlap
    }
}

impl Default for ReassemblySlot<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// What a fragment says of itself, checked.
#[derive(Clone, Copy)]
struct Fragment<'b> {
    header: &'b [u8],
    payload: &'b [u8],
    start: u16,
    end: u16,
    more: bool,
}

/// An incomplete datagram whose time ran out, of which the first fragment came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expired {
    /// Its header and the eight octets behind it: what an ICMP error quotes.
    pub quote: Vec<u8, { MAX_HEADER + 8 }>,
}

/// The datagrams that are being put together.
pub(crate) struct Reassembly<'a> {
    slots: ManagedSlice<'a, ReassemblySlot<'a>>,
    /// Frames of a pool that are left for others.
    reserve: usize,
}

impl<'a> Reassembly<'a> {
    /// As many datagrams at once as there are places; `reserve` frames of each pool are left for others.
    pub fn new(slots: ManagedSlice<'a, ReassemblySlot<'a>>, reserve: usize) -> Self {
        Self { slots, reserve }
    }

    /// Takes a fragment: `packet` begins with its IP `header`, and may go on behind it. Frames come from `pool`.
    ///
    /// Gives the whole packet, with the first fragment's header, once nothing is missing. The caller has checked that it is
    /// for us (H031).
    pub fn handle(
        &mut self,
        now: Instant,
        header: &Ipv4Header,
        packet: &[u8],
        pool: Pool<'a>,
        stats: &mut Stats,
    ) -> Result<Option<Frame<'a>>, DropReason> {
        let fragment = check(header, packet)?;
        let id = Id {
            src: IpAddr::V4(header.src),
            dst: IpAddr::V4(header.dst),
            protocol: header.protocol,
            ident: u32::from(header.ident),
        };
        self.take(now, id, &fragment, pool, stats)
    }

    /// As [`handle`](Self::handle), for a piece of an IPv6 packet whose fixed header is `fixed`. Of the headers in front
    /// of the fragment header, the fixed one only is in what is put together: the others had their effect when they came.
    #[cfg(feature = "ipv6")]
    pub fn handle_v6(
        &mut self,
        now: Instant,
        fixed: &Ipv6Header,
        piece: &Piece,
        packet: &[u8],
        pool: Pool<'a>,
        stats: &mut Stats,
    ) -> Result<Option<Frame<'a>>, Refusal> {
        let mut header = [0; ipv6::HEADER];
        let fragment = check_v6(piece, packet, &mut header)?;
        // RFC 8200 §4.5: the Next Header of pieces may differ, and is no part of their name.
        let id = Id { src: IpAddr::V6(fixed.src), dst: IpAddr::V6(fixed.dst), protocol: 0, ident: piece.ident };
        self.take(now, id, &fragment, pool, stats).map_err(|reason| Refusal { reason, problem: None })
    }

    /// Takes a fragment that is in order by itself.
    fn take(
        &mut self,
        now: Instant,
        id: Id,
        fragment: &Fragment<'_>,
        pool: Pool<'a>,
        stats: &mut Stats,
    ) -> Result<Option<Frame<'a>>, DropReason> {
        let index = match self.slots.iter().position(|s| s.id == id && s.expires().is_some_and(|at| now < at)) {
            Some(index) => index,
            None => self.start(now, id, pool, stats)?,
        };
        let slot = self.slots.get_mut(index).ok_or(DropReason::FragmentNoRoom)?;
        slot.add(fragment)?;
        let whole = slot.finish(now)?;
        stats.reassembled = stats.reassembled.wrapping_add(usize::from(whole.is_some()));
        Ok(whole)
    }

    /// A place and a frame for a new datagram, if need be those of the oldest.
    fn start(&mut self, now: Instant, id: Id, pool: Pool<'a>, stats: &mut Stats) -> Result<usize, DropReason> {
        let none = DropReason::FragmentNoRoom;
        // Of an expired datagram with this name nothing is to be mixed in.
        let same = self.slots.iter().position(|s| s.id == id && !matches!(s.state, State::Free));
        let index = match same {
            Some(index) => index,
            None => self.slots.iter().enumerate().min_by_key(|(_, s)| s.worth()).ok_or(none)?.0,
        };
        self.evict(index, stats);
        let frame = pool.take_above(self.reserve, HEADROOM).or_else(|| {
            let holds = |s: &ReassemblySlot<'_>| matches!(&s.state, State::Partial(f) if f.pool().is(pool));
            let oldest = self.slots.iter().enumerate().filter(|(_, s)| holds(s)).min_by_key(|(_, s)| s.started)?.0;
            // One frame more must be enough, or the oldest would be lost for nothing.
            if pool.free() < self.reserve {
                return None;
            }
            self.evict(oldest, stats);
            pool.take_above(self.reserve, HEADROOM)
        });
        let slot = self.slots.get_mut(index).ok_or(none)?;
        slot.state = State::Partial(frame.ok_or(none)?);
        slot.id = id;
        slot.started = now;
        Ok(index)
    }

    fn evict(&mut self, index: usize, stats: &mut Stats) {
        if let Some(slot) = self.slots.get_mut(index) {
            if matches!(slot.state, State::Partial(_)) {
                stats.drop(DropReason::FragmentEvicted);
            }
            slot.clear();
        }
    }

    /// Frees what has expired, one datagram a call that somebody is to be told of (H031): call again until `None`.
    pub fn on_deadline(&mut self, now: Instant, stats: &mut Stats) -> Option<Expired> {
        for slot in self.slots.iter_mut().filter(|s| s.expires().is_some_and(|at| now >= at)) {
            let expired = slot.expired();
            if matches!(slot.state, State::Partial(_)) {
                stats.drop(DropReason::FragmentTimeout);
            }
            slot.clear();
            if expired.is_some() {
                return expired;
            }
        }
        None
    }

    /// When something expires.
    pub fn deadline(&self) -> Option<Instant> {
        self.slots.iter().filter_map(ReassemblySlot::expires).min()
    }

    /// Forgets everything, as when an interface goes whose pool has the frames.
    pub fn clear(&mut self, stats: &mut Stats) {
        for index in 0..self.slots.len() {
            self.evict(index, stats);
        }
    }
}

/// Checks a fragment by itself (H026, H030).
fn check<'b>(header: &Ipv4Header, packet: &'b [u8]) -> Result<Fragment<'b>, DropReason> {
    let malformed = DropReason::FragmentMalformed;
    let packet = packet.get(..header.total_len).ok_or(malformed)?;
    let (bytes, payload) = packet.split_at_checked(header.header_len).ok_or(malformed)?;
    let end = usize::from(header.frag_offset) + payload.len();
    let cut = header.more_frags && payload.len() % 8 != 0;
    if payload.is_empty() || cut || end + header.header_len > 65_535 {
        return Err(malformed);
    }
    Ok(Fragment { header: bytes, payload, start: header.frag_offset, end: end as u16, more: header.more_frags })
}

/// As [`check`], for IPv6; the whole packet's header is written to `header`.
#[cfg(feature = "ipv6")]
fn check_v6<'b>(piece: &Piece, packet: &'b [u8], header: &'b mut [u8; ipv6::HEADER]) -> Result<Fragment<'b>, Refusal> {
    let malformed = DropReason::FragmentMalformed;
    let silent = Refusal { reason: malformed, problem: None };
    let (fixed, payload) = packet.first_chunk().zip(packet.get(piece.at + ipv6::FRAGMENT..)).ok_or(silent)?;
    //= https://www.rfc-editor.org/rfc/rfc8200#section-4.5
    //# If the length of a fragment, as derived from the fragment packet's
    //# Payload Length field, is not a multiple of 8 octets and the M flag
    //# of that fragment packet is 1, then that fragment must be discarded
    if piece.more && payload.len() % 8 != 0 {
        return Err(Refusal::erroneous(malformed, ipv6::PAYLOAD_LENGTH));
    }
    let end = usize::from(piece.offset) + payload.len();
    // The Fragment Offset field is the third octet of its header.
    if end > 65_535 {
        return Err(Refusal::erroneous(malformed, piece.at + 2));
    }
    if payload.is_empty() {
        return Err(silent);
    }
    *header = *fixed;
    header[ipv6::NEXT_HEADER] = piece.next;
    Ok(Fragment { header, payload, start: piece.offset, end: end as u16, more: piece.more })
}

/// Values of the ECN field (RFC 3168 §5): the transport is not capable of ECN; congestion was experienced.
const NOT_ECT: u8 = 0b00;
const CE: u8 = 0b11;

/// Where the ECN field lies in the second octet of a header.
fn ecn_shift(header: &[u8]) -> u32 {
    if crate::wire::ip::is_v6(header) { 4 } else { 0 }
}

fn ecn_field(header: &[u8]) -> u8 {
    header.get(1).map_or(NOT_ECT, |octet| octet >> ecn_shift(header) & 0b11)
}

/// A mark on one fragment is a mark on the whole (RFC 3168 §5.3). Beside one that was not capable of ECN it would be lost on
/// the transport: then the whole packet is dropped, which tells the same.
fn set_ce(header: &mut [u8]) {
    let mark = CE << ecn_shift(header);
    if let Some(octet) = header.get_mut(1) {
        *octet |= mark;
    }
}

impl<'a> ReassemblySlot<'a> {
    /// Puts a fragment in its place.
    fn add(&mut self, fragment: &Fragment<'_>) -> Result<(), DropReason> {
        let Fragment { header, payload, start, end, more } = *fragment;
        match self.state {
            State::Partial(_) => {}
            State::Done => return Err(DropReason::FragmentDuplicate),
            State::Poisoned | State::Free => return Err(DropReason::FragmentOverlap),
        }
        let at = self.pieces.partition_point(|&(s, _)| s < start);
        let was_last = self.total == Some(end);
        if self.pieces.get(at) == Some(&(start, end)) && more != was_last {
            return Err(DropReason::FragmentDuplicate);
        }
        let overlaps_before = at.checked_sub(1).and_then(|i| self.pieces.get(i)).is_some_and(|&(_, e)| e > start);
        let overlaps_after = self.pieces.get(at).is_some_and(|&(s, _)| s < end);
        let beyond = self.total.is_some_and(|total| end > total || (!more && end != total));
        let not_last = !more && self.pieces.last().is_some_and(|&(_, e)| e > end);
        if overlaps_before || overlaps_after || beyond || not_last {
            return Err(self.poison());
        }
        self.store(payload, start, end)?;
        self.pieces.insert(at, (start, end)).map_err(|_| DropReason::FragmentNoRoom)?;
        self.octets += payload.len() as u32;
        self.ecn |= 1 << ecn_field(header);
        if !more {
            self.total = Some(end);
        }
        if start == 0 {
            self.header = Vec::from_slice(header).map_err(|_| DropReason::FragmentMalformed)?;
        }
        Ok(())
    }

    /// Copies the octets; a datagram that does not fit the frame, or has too many pieces, is given up.
    fn store(&mut self, payload: &[u8], start: u16, end: u16) -> Result<(), DropReason> {
        if self.pieces.is_full() {
            return Err(DropReason::FragmentNoRoom);
        }
        let State::Partial(frame) = &mut self.state else {
            return Err(DropReason::FragmentNoRoom);
        };
        let (start, end) = (usize::from(start), usize::from(end));
        let missing = end.saturating_sub(frame.len());
        if frame.append(missing).is_none() {
            self.poison();
            return Err(DropReason::FragmentTooLarge);
        }
        let place = frame.get_mut(start..end).ok_or(DropReason::FragmentMalformed)?;
        place.copy_from_slice(payload);
        Ok(())
    }

    /// The whole packet, if nothing is missing.
    fn finish(&mut self, now: Instant) -> Result<Option<Frame<'a>>, DropReason> {
        let Some(total) = self.total else {
            return Ok(None);
        };
        // Pieces do not overlap and none goes beyond the last, so that their sum tells.
        if self.octets != u32::from(total) || self.header.is_empty() {
            return Ok(None);
        }
        let State::Partial(mut frame) = core::mem::replace(&mut self.state, State::Done) else {
            return Ok(None);
        };
        self.pieces.clear();
        self.started = now;
        let total = usize::from(total) + self.header.len();
        let front = frame.push_front(self.header.len()).ok_or(DropReason::FragmentTooLarge)?;
        front.copy_from_slice(&self.header);
        if self.ecn & 1 << CE != 0 {
            if self.ecn & 1 << NOT_ECT != 0 {
                self.poison();
                return Err(DropReason::FragmentMalformed);
            }
            set_ce(front);
        }
        #[cfg(feature = "ipv6")]
        if crate::wire::ip::is_v6(front) {
            ipv6::set_payload_len(front, total - ipv6::HEADER);
            return Ok(Some(frame));
        }
        if total > 65_535 {
            return Err(DropReason::FragmentMalformed);
        }
        set_whole(front, total);
        Ok(Some(frame))
    }

    /// What is to be told of when the time is up: only if the first fragment came (RFC 1122 §3.3.2).
    fn expired(&self) -> Option<Expired> {
        let State::Partial(frame) = &self.state else {
            return None;
        };
        if self.header.is_empty() {
            return None;
        }
        let mut quote = Vec::new();
        quote.extend_from_slice(&self.header).ok()?;
        quote.extend_from_slice(frame.get(..8).unwrap_or(frame)).ok()?;
        Some(Expired { quote })
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests;

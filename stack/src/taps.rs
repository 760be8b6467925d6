//! Packet taps: copies of frames as they come and go, as tcpdump would see them.
//!
//! ```text
//!  device ─▶ frame ──┬─▶ link layer            a tap: interface? filter? ─▶ the first octets into a ring ─▶ the reader
//!  device ◀─ frame ◀─┴── link layer                                          └─ full: not kept, counted
//! ```
//!
//! A received frame is seen before anything looks at it, a sent one when it is about to be given to its device, once however
//! often that refuses it. A checksum that is left to the device, or was left to us, is complete in the copy.

use crate::device::{RxChecksum, RxMeta, TxChecksum, TxMeta};
use crate::error::TapError;
use crate::ip::route::IfaceId;
use crate::time::Instant;
use crate::wire::checksum;
use heapless::Vec;
use managed::ManagedSlice;

/// Taps of one stack, at most.
pub const MAX_TAPS: usize = 4;

/// Octets in front of each frame in a tap's memory.
const HEADER: usize = 20;

/// Octets of memory that a tap needs at least.
pub const MIN_TAP_MEMORY: usize = 256;

/// Which way a frame went, seen from the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Direction {
    /// It was received.
    In,
    /// It was sent.
    Out,
}

/// What is known of a frame beside its octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Tapped {
    /// The time of the poll that saw it.
    pub at: Instant,
    /// The interface that it came or left by.
    pub iface: IfaceId,
    /// Which way.
    pub direction: Direction,
    /// Its length in octets.
    pub len: usize,
    /// How many of them were kept.
    pub kept: usize,
}

/// Says whether a tap wants a frame: called with each, in full, from its link header on (from its IP header where there is
/// none).
pub type Wants<'a> = dyn FnMut(&Tapped, &[u8]) -> bool + Send + 'a;

/// Which frames a tap wants.
pub enum TapFilter<'a> {
    /// Somebody else's.
    Borrowed(&'a mut Wants<'a>),
    /// The tap's own.
    #[cfg(feature = "alloc")]
    Owned(alloc::boxed::Box<Wants<'a>>),
}

/// What a tap sees and keeps.
pub struct TapOptions<'a> {
    /// One interface's frames; `None`: those of all.
    pub iface: Option<IfaceId>,
    /// Octets that are kept of each frame, at most.
    pub snap: usize,
    /// Which of them; `None`: all.
    pub filter: Option<TapFilter<'a>>,
}

impl Default for TapOptions<'_> {
    /// All of all frames.
    fn default() -> Self {
        Self { iface: None, snap: usize::MAX, filter: None }
    }
}

/// A tap of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TapId(u32);

/// What a tap has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TapCounters {
    /// Frames that it wanted.
    pub seen: usize,
    /// Of these, those that found its memory full.
    pub dropped: usize,
}

/// The taps of one stack.
pub(crate) struct Taps<'a> {
    taps: Vec<Tap<'a>, MAX_TAPS>,
    next: u32,
}

struct Tap<'a> {
    id: TapId,
    options: TapOptions<'a>,
    ring: Records<'a>,
    counters: TapCounters,
}

impl<'a> Taps<'a> {
    pub const fn new() -> Self {
        Self { taps: Vec::new(), next: 0 }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.taps.is_empty()
    }

    pub fn add(&mut self, options: TapOptions<'a>, memory: ManagedSlice<'a, u8>) -> Result<TapId, TapError> {
        if memory.len() < MIN_TAP_MEMORY {
            return Err(TapError::TooSmall);
        }
        let id = TapId(self.next);
        let tap = Tap { id, options, ring: Records::new(memory), counters: TapCounters::default() };
        self.taps.push(tap).map_err(|_| TapError::Full)?;
        self.next = self.next.wrapping_add(1);
        Ok(id)
    }

    pub fn remove(&mut self, id: TapId) -> Option<TapCounters> {
        let at = self.taps.iter().position(|tap| tap.id == id)?;
        Some(self.taps.swap_remove(at).counters)
    }

    /// An interface is gone: another of its number is not meant.
    pub fn forget(&mut self, iface: IfaceId) {
        for tap in self.taps.iter_mut().filter(|tap| tap.options.iface == Some(iface)) {
            tap.options.iface = Some(IfaceId::BLACKHOLE);
        }
    }

    pub fn counters(&self, id: TapId) -> Option<TapCounters> {
        self.taps.iter().find(|tap| tap.id == id).map(|tap| tap.counters)
    }

    pub fn read(&mut self, id: TapId, buf: &mut [u8]) -> Option<Tapped> {
        self.taps.iter_mut().find(|tap| tap.id == id)?.ring.pop(buf)
    }

    /// A frame passes. What is to be summed of it, and where that goes, is `partial`.
    pub fn see(&mut self, seen: Tapped, frame: &[u8], partial: Option<(u16, u16)>) {
        for tap in &mut self.taps {
            if tap.options.iface.is_some_and(|only| only != seen.iface) {
                continue;
            }
            let wanted = match &mut tap.options.filter {
                None => true,
                Some(TapFilter::Borrowed(filter)) => filter(&seen, frame),
                #[cfg(feature = "alloc")]
                Some(TapFilter::Owned(filter)) => filter(&seen, frame),
            };
            if !wanted {
                continue;
            }
            tap.counters.seen = tap.counters.seen.wrapping_add(1);
            let kept = frame.len().min(tap.options.snap);
            if !tap.ring.push(Tapped { kept, ..seen }, frame, partial) {
                tap.counters.dropped = tap.counters.dropped.wrapping_add(1);
            }
        }
    }
}

/// What a received frame's sender has left to be summed: from where, and where it goes.
pub(crate) fn partial_in(meta: &RxMeta) -> Option<(u16, u16)> {
    match meta.checksum {
        RxChecksum::Partial { start, offset } => Some((start, offset)),
        _ => None,
    }
}

/// As [`partial_in`], of what is left to the device.
pub(crate) fn partial_out(meta: &TxMeta) -> Option<(u16, u16)> {
    match meta.checksum {
        TxChecksum::Partial { start, offset } => Some((start, offset)),
        TxChecksum::Complete => None,
    }
}

/// Frames in a ring of octets, each behind a header; one at the end goes on at the beginning.
struct Records<'a> {
    memory: ManagedSlice<'a, u8>,
    /// Where the oldest begins.
    start: usize,
    /// Octets in use.
    used: usize,
}

impl<'a> Records<'a> {
    fn new(memory: ManagedSlice<'a, u8>) -> Self {
        Self { memory, start: 0, used: 0 }
    }

    /// Keeps a frame's first octets; `false` without room for them.
    fn push(&mut self, seen: Tapped, frame: &[u8], partial: Option<(u16, u16)>) -> bool {
        let kept = frame.get(..seen.kept).unwrap_or(frame);
        if HEADER + kept.len() > self.memory.len() - self.used {
            return false;
        }
        let at = self.used + HEADER;
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(&seen.at.as_micros().to_le_bytes());
        header[8..12].copy_from_slice(&(seen.len as u32).to_le_bytes());
        header[12..16].copy_from_slice(&(kept.len() as u32).to_le_bytes());
        header[16] = seen.iface.index() as u8;
        header[17] = u8::from(seen.direction == Direction::Out);
        self.write(self.used, &header);
        self.write(at, kept);
        self.used = at + kept.len();
        if let Some((start, offset)) = partial
            && let Some(summed) = frame.get(usize::from(start)..)
        {
            // As `checksum::complete` has it: zero is written as all ones.
            let sum = match checksum::sum(summed).finish() {
                0 => [0xff; 2],
                sum => sum.to_be_bytes(),
            };
            let field = usize::from(start) + usize::from(offset);
            let fits = kept.len().saturating_sub(field).min(2);
            self.write(at + field, sum.get(..fits).unwrap_or_default());
        }
        true
    }

    /// Copies the oldest frame out, as much as there is room for in `buf`, and forgets it.
    fn pop(&mut self, buf: &mut [u8]) -> Option<Tapped> {
        if self.used == 0 {
            return None;
        }
        let mut header = [0; HEADER];
        self.read(0, &mut header);
        let word = |at: usize| {
            header.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, |b| u32::from_le_bytes(b) as usize)
        };
        let at = header.first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
        let stored = word(12);
        let kept = stored.min(buf.len());
        self.read(HEADER, buf.get_mut(..kept).unwrap_or_default());
        let whole = HEADER + stored;
        self.start = (self.start + whole) % self.memory.len();
        self.used -= whole;
        let direction = if header[17] == 0 { Direction::In } else { Direction::Out };
        let iface = IfaceId(header[16]);
        Some(Tapped { at: Instant::from_micros(at), iface, direction, len: word(8), kept })
    }

    /// Both parts of the ring that the `len` octets from `at` on lie in, counted from the oldest.
    fn parts(&self, at: usize, len: usize) -> (usize, usize) {
        let from = (self.start + at) % self.memory.len();
        (from, len.min(self.memory.len() - from))
    }

    fn write(&mut self, at: usize, octets: &[u8]) {
        let (from, first) = self.parts(at, octets.len());
        let (a, b) = octets.split_at(first);
        for (to, part) in [(from, a), (0, b)] {
            if let Some(place) = self.memory.get_mut(to..to + part.len()) {
                place.copy_from_slice(part);
            }
        }
    }

    fn read(&self, at: usize, out: &mut [u8]) {
        let (from, first) = self.parts(at, out.len());
        let (a, b) = out.split_at_mut(first);
        for (at, part) in [(from, a), (0, b)] {
            if let Some(octets) = self.memory.get(at..at + part.len()) {
                part.copy_from_slice(octets);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    extern crate std;
    use std::collections::VecDeque;
    use std::vec::Vec as StdVec;

    fn seen(n: u64, len: usize) -> Tapped {
        let direction = if n.is_multiple_of(2) { Direction::In } else { Direction::Out };
        Tapped { at: Instant::from_micros(n), iface: IfaceId((n % 7) as u8), direction, len, kept: len }
    }

    proptest! {
        /// The ring against a queue of the same room.
        #[test]
        fn what_is_kept_comes_out_whole_and_in_order_and_what_finds_no_room_is_told(
            size in MIN_TAP_MEMORY..600,
            ops in proptest::collection::vec((any::<bool>(), 0usize..200, 0usize..250), 1..200),
        ) {
            let mut memory = std::vec![0xee; size];
            let mut ring = Records::new(ManagedSlice::Borrowed(&mut memory));
            let mut model: VecDeque<(Tapped, StdVec<u8>)> = VecDeque::new();
            for (n, (push, len, snap)) in (0u64..).zip(ops) {
                let used: usize = model.iter().map(|(_, f)| HEADER + f.len()).sum();
                if push {
                    let frame: StdVec<u8> = (0..len).map(|i| (i as u64 * 31 + n) as u8).collect();
                    let kept = len.min(snap);
                    let fits = used + HEADER + kept <= size;
                    prop_assert_eq!(ring.push(Tapped { kept, ..seen(n, len) }, &frame, None), fits);
                    if fits {
                        model.push_back((Tapped { kept, ..seen(n, len) }, frame[..kept].to_vec()));
                    }
                } else {
                    let mut buf = [0; 300];
                    let got = ring.pop(&mut buf);
                    let want = model.pop_front();
                    prop_assert_eq!(got, want.as_ref().map(|(seen, _)| *seen));
                    if let Some((seen, frame)) = want {
                        prop_assert_eq!(&buf[..seen.kept], &frame[..]);
                    }
                }
            }
        }
    }

    #[test]
    fn a_checksum_that_was_left_open_is_complete_however_much_is_kept() {
        // From octet 2 on: 0x0102 + 0x0304 + 0x1234 (the pseudo-header's) + 0x0506, kept at 2 + 4.
        let frame = [0xff, 0xff, 1, 2, 3, 4, 0x12, 0x34, 5, 6];
        let sum = !(0x0102 + 0x0304 + 0x1234 + 0x0506_u16);
        let [hi, lo] = sum.to_be_bytes();
        for (kept, expected) in [
            (10, &[0xff, 0xff, 1, 2, 3, 4, hi, lo, 5, 6][..]),
            (8, &[0xff, 0xff, 1, 2, 3, 4, hi, lo]),
            (7, &[0xff, 0xff, 1, 2, 3, 4, hi]),
            (6, &[0xff, 0xff, 1, 2, 3, 4]),
            (1, &[0xff]),
        ] {
            let mut memory = [0; MIN_TAP_MEMORY];
            let mut ring = Records::new(ManagedSlice::Borrowed(&mut memory));
            assert!(ring.push(Tapped { kept, ..seen(1, 10) }, &frame, Some((2, 4))));
            let mut buf = [0; 16];
            assert_eq!(ring.pop(&mut buf).map(|t| (t.len, t.kept)), Some((10, kept)));
            assert_eq!(&buf[..kept], expected);
        }
    }

    #[test]
    fn a_short_buffer_gets_the_beginning_and_the_next_frame_is_whole() {
        let mut memory = [0; MIN_TAP_MEMORY];
        let mut ring = Records::new(ManagedSlice::Borrowed(&mut memory));
        assert!(ring.push(seen(1, 5), b"abcde", None) && ring.push(seen(2, 3), b"xyz", None));
        let mut buf = [0; 2];
        assert_eq!(ring.pop(&mut buf).map(|t| (t.len, t.kept)), Some((5, 2)));
        assert_eq!(&buf, b"ab");
        let mut buf = [0; 9];
        assert_eq!(ring.pop(&mut buf), Some(seen(2, 3)));
        assert_eq!(&buf[..3], b"xyz");
        assert_eq!(ring.pop(&mut buf), None);
    }
}

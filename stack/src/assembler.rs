//! Which out-of-order octets of a receive buffer are there: a few ranges behind RCV.NXT.
//!
//! Serves RFC 9293 §3.10.7.4 (SHLD-31: segments beyond a hole are held) and lists what RFC 2018 reports. The octets
//! themselves lie in the ring (`Ring::write_at`).
//!
//! ```text
//!   RCV.NXT
//!      ├── hole ──┤▓▓▓▓▓├─ hole ─┤▓▓▓▓▓▓▓├        ranges: sorted, not touching, offsets from RCV.NXT
//! ```
//!
//! A segment costs at most one pass over the ranges, whose number is bounded: a sender of scattered octets fills the
//! table, and then only what touches a known range (or RCV.NXT itself) is taken.

use crate::grow::grow;
use managed::ManagedSlice;

/// Octets from the first number up to, not including, the second; both count from RCV.NXT.
pub(crate) type Range = (u32, u32);

/// No room for one more range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// The ranges of out-of-order octets.
#[derive(Debug)]
pub(crate) struct Assembler<'a> {
    storage: ManagedSlice<'a, Range>,
    len: u16,
    limit: u16,
}

impl<'a> Assembler<'a> {
    /// No range, with room for as many as `storage` has, or may grow to: `limit` at most. At least one is needed.
    pub fn new(storage: ManagedSlice<'a, Range>, limit: u16) -> Self {
        Self { storage, len: 0, limit }
    }

    /// Notes `len` octets at `start`. When it fails, nothing has changed: the octets are as if never received.
    ///
    /// At `start` 0 it fails only without any storage: what can be delivered at once displaces the farthest range.
    pub fn add(&mut self, start: u32, len: u32) -> Result<(), Full> {
        let end = start.saturating_add(len);
        if start == end {
            return Ok(());
        }
        let ranges = self.ranges_slice();
        // From the back: what is out of order mostly prolongs the last range.
        let first = ranges.iter().rposition(|range| range.1 < start).map_or(0, |i| i + 1);
        let touching = ranges.iter().skip(first).take_while(|range| range.0 <= end).count();
        if touching == 0 {
            return self.insert(first, (start, end));
        }
        if let Some([front, rest @ ..]) = self.ranges_slice_mut().get_mut(first..first + touching) {
            let last = rest.last().map_or(front.1, |range| range.1);
            *front = (front.0.min(start), last.max(end));
        }
        self.remove(first + 1, touching - 1);
        Ok(())
    }

    /// Takes the range that begins at RCV.NXT, if there is one, and moves RCV.NXT behind it: returns its length, or 0.
    pub fn pop_front(&mut self) -> u32 {
        let Some(&(0, n)) = self.ranges_slice().first() else {
            return 0;
        };
        self.advance(n);
        n
    }

    /// Moves RCV.NXT forward by `n` octets that came in order; ranges that were passed disappear. Behind it,
    /// [`pop_front`](Self::pop_front) tells what has become contiguous.
    pub fn advance(&mut self, n: u32) {
        let passed = self.ranges_slice().iter().take_while(|range| range.1 <= n).count();
        self.remove(0, passed);
        for range in self.ranges_slice_mut() {
            *range = (range.0.saturating_sub(n), range.1 - n);
        }
    }

    /// Whether nothing is held out of order.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The ranges, the nearest first.
    #[cfg(any(feature = "sack", test))]
    pub fn ranges(&self) -> impl DoubleEndedIterator<Item = Range> + ExactSizeIterator + '_ {
        self.ranges_slice().iter().copied()
    }

    /// The nearest range that has some of the `len` octets at `start`.
    #[cfg(feature = "sack")]
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn overlapping(&self, start: u32, len: u32) -> Option<&Range> {
        let end = start.saturating_add(len);
        self.ranges_slice().iter().find(|range| range.0 < end && start < range.1)
    }

    /// Gives the memory of an owned store back when no range is in it.
    pub fn trim(&mut self) {
        #[cfg(feature = "alloc")]
        if self.len == 0
            && let ManagedSlice::Owned(vec) = &mut self.storage
        {
            *vec = alloc::vec::Vec::new();
        }
    }

    /// Octets of memory that the store holds.
    #[cfg(all(feature = "tcp", feature = "tuning"))]
    pub fn held(&self) -> usize {
        self.storage.len() * size_of::<Range>()
    }

    /// The storage, for another assembler.
    pub fn into_storage(self) -> ManagedSlice<'a, Range> {
        self.storage
    }

    #[inline]
    fn ranges_slice(&self) -> &[Range] {
        self.storage.get(..usize::from(self.len)).unwrap_or_default()
    }

    #[inline]
    fn ranges_slice_mut(&mut self) -> &mut [Range] {
        self.storage.get_mut(..usize::from(self.len)).unwrap_or_default()
    }

    fn insert(&mut self, at: usize, range: Range) -> Result<(), Full> {
        let limit = usize::from(self.limit);
        let needed = usize::from(self.len) + 1;
        if needed > limit || !grow(&mut self.storage, needed, 4, limit, || (0, 0)) {
            if range.0 > 0 || self.len == 0 {
                return Err(Full);
            }
            self.len -= 1;
        }
        self.len += 1;
        let ranges = self.ranges_slice_mut();
        // Those behind it move up by one; there are few.
        let mut moving = range;
        for place in ranges.iter_mut().skip(at) {
            core::mem::swap(place, &mut moving);
        }
        Ok(())
    }

    fn remove(&mut self, at: usize, count: usize) {
        if count == 0 {
            return;
        }
        let ranges = self.ranges_slice_mut();
        for to in at..ranges.len() {
            if let Some(&later) = ranges.get(to + count) {
                ranges[to] = later;
            }
        }
        self.len -= count as u16;
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    fn with<const N: usize>(f: impl FnOnce(&mut Assembler<'_>)) {
        let mut memory = [(0, 0); N];
        f(&mut Assembler::new(ManagedSlice::Borrowed(&mut memory), u16::MAX));
    }

    fn ranges(a: &Assembler<'_>) -> Vec<Range> {
        a.ranges().collect()
    }

    #[cfg(all(feature = "alloc", feature = "tcp", feature = "tuning"))]
    #[test]
    fn a_store_that_is_empty_gives_its_memory_back() {
        let mut a = Assembler::new(ManagedSlice::Owned(Vec::new()), 100);
        for n in 0..100 {
            assert_eq!(a.add(2 * n + 1, 1), Ok(()));
        }
        assert_eq!(a.add(500, 1), Err(Full));
        a.trim();
        assert!(a.held() >= 800, "what is in use stays");
        a.advance(u32::MAX);
        a.trim();
        assert_eq!((a.is_empty(), a.held()), (true, 0));
        assert_eq!(a.add(5, 1), Ok(()));
    }

    #[test]
    fn touching_and_overlapping_ranges_become_one() {
        with::<4>(|a| {
            for (start, len) in [(10, 5), (30, 5), (50, 5), (15, 5), (45, 5)] {
                assert_eq!(a.add(start, len), Ok(()));
            }
            assert_eq!(ranges(a), [(10, 20), (30, 35), (45, 55)]);
            assert_eq!(a.add(20, 30), Ok(()));
            assert_eq!(ranges(a), [(10, 55)]);
            assert_eq!(a.add(9, 100), Ok(()));
            assert_eq!(ranges(a), [(9, 109)]);
        });
    }

    #[test]
    fn in_order_octets_release_what_they_reach() {
        with::<4>(|a| {
            a.add(10, 5).expect("room");
            a.add(20, 5).expect("room");
            assert_eq!(a.pop_front(), 0);
            a.advance(12);
            assert_eq!(a.pop_front(), 3);
            assert_eq!(ranges(a), [(5, 10)]);
            a.add(0, 5).expect("room");
            assert_eq!(a.pop_front(), 10);
            assert!(a.is_empty());
        });
    }

    #[test]
    fn a_full_table_takes_what_touches_a_range_or_can_be_delivered_at_once() {
        with::<2>(|a| {
            a.add(10, 1).expect("room");
            a.add(20, 1).expect("room");
            assert_eq!(a.add(30, 1), Err(Full));
            assert_eq!(a.add(15, 1), Err(Full));
            assert_eq!(ranges(a), [(10, 11), (20, 21)]);
            assert_eq!(a.add(21, 1), Ok(()));
            assert_eq!(a.add(9, 1), Ok(()));
            assert_eq!(a.add(0, 5), Ok(()), "the farthest range makes room");
            assert_eq!(ranges(a), [(0, 5), (9, 11)]);
            assert_eq!(a.pop_front(), 5);
        });
    }

    #[test]
    fn ten_thousand_scattered_octets_stay_within_the_table_and_in_order_text_flows() {
        with::<4>(|a| {
            let kept = (0..10_000u32).filter(|n| a.add(2 + 2 * n, 1).is_ok()).count();
            assert_eq!((kept, a.ranges().len()), (4, 4));
            a.advance(2);
            assert_eq!(a.pop_front(), 1);
        });
    }

    #[cfg(feature = "alloc")]
    #[test]
    fn an_owned_table_grows_to_its_limit() {
        let mut a = Assembler::new(ManagedSlice::Owned(Vec::new()), 9);
        let kept = (1..20).filter(|n| a.add(10 * n, 1).is_ok()).count();
        assert_eq!((kept, a.ranges().len()), (9, 9));
    }

    #[derive(Clone, Debug)]
    enum Op {
        Add(u32, u32),
        Advance(u32),
        Pop,
    }

    fn some_op() -> impl Strategy<Value = Op> {
        prop_oneof![
            6 => (0u32..100, 0u32..20).prop_map(|(a, b)| Op::Add(a, b)),
            1 => (0u32..20).prop_map(Op::Advance),
            2 => Just(Op::Pop),
        ]
    }

    /// The ranges of a row of octets.
    fn runs(octets: &[bool]) -> Vec<Range> {
        let mut runs: Vec<Range> = vec![];
        for (i, _) in octets.iter().enumerate().filter(|(_, there)| **there) {
            match runs.last_mut() {
                Some(run) if run.1 == i as u32 => run.1 += 1,
                _ => runs.push((i as u32, i as u32 + 1)),
            }
        }
        runs
    }

    proptest! {
        #[test]
        fn it_behaves_as_a_row_of_octets(room in 1usize..6, ops in proptest::collection::vec(some_op(), 0..60)) {
            let mut memory = vec![(0, 0); room];
            let mut a = Assembler::new(ManagedSlice::Borrowed(&mut memory), u16::MAX);
            let mut model = vec![false; 200];
            for op in ops {
                match op {
                    Op::Add(start, len) => {
                        let before = model.clone();
                        model[start as usize..(start + len) as usize].fill(true);
                        match a.add(start, len) {
                            Ok(()) if runs(&model).len() > room => {
                                prop_assert_eq!(start, 0);
                                let last = *runs(&model).last().expect("there are some");
                                model[last.0 as usize..last.1 as usize].fill(false);
                            }
                            Ok(()) => {}
                            Err(Full) => {
                                prop_assert!(start > 0 && runs(&model).len() > room);
                                model = before;
                            }
                        }
                    }
                    Op::Advance(n) => {
                        a.advance(n);
                        model.drain(..n as usize);
                        model.resize(200, false);
                    }
                    Op::Pop => {
                        let n = model.iter().take_while(|there| **there).count();
                        prop_assert_eq!(a.pop_front(), n as u32);
                        model.drain(..n);
                        model.resize(200, false);
                    }
                }
                prop_assert_eq!(ranges(&a), runs(&model));
            }
        }
    }
}

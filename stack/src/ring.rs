//! A ring of octets: what a connection holds for sending, or for its reader.
//!
//! ```text
//!            start        start+len          + ahead
//!   ┌─────────┬───────────────┬───────┬────────┬─────────┐
//!   │  free   │   contents    │ hole  │ stored │  free   │      (any of it may wrap)
//!   └─────────┴───────────────┴───────┴────────┴─────────┘
//!     consume ─▶              └ write_at: out-of-order text, contents only after `extend`
//! ```
//!
//! Over a borrowed slice the capacity is the slice. An owned ring (feature `alloc`) starts empty, doubles on demand up to
//! its limit, and keeps what it grew to while it is in use: filling and draining by turns must not allocate. Who sees
//! that a connection went quiet calls [`Ring::trim`], which gives the memory of an empty ring back.

use crate::grow::{grow, most};
use crate::wire::checksum::{Sum, copy, copy_and_sum};
use managed::ManagedSlice;

/// The first allocation of an owned ring.
const LEAST: usize = 512;

/// The most octets in a ring: the largest window there is (RFC 7323 §2.3).
pub(crate) const MAX_CAPACITY: usize = 1 << 30;

/// A ring of octets.
#[derive(Debug)]
pub(crate) struct Ring<'a> {
    storage: ManagedSlice<'a, u8>,
    limit: u32,
    start: u32,
    len: u32,
    /// Octets behind the end up to the last one that `write_at` stored.
    ahead: u32,
}

impl<'a> Ring<'a> {
    /// An empty ring over `storage`. `limit` bounds its capacity: a borrowed slice may hold less, an owned one grows up
    /// to it.
    pub fn new(storage: ManagedSlice<'a, u8>, limit: usize) -> Self {
        let limit = most(&storage, limit.min(MAX_CAPACITY)) as u32;
        Self { storage, limit, start: 0, len: 0, ahead: 0 }
    }

    /// Octets that the ring can hold, once grown.
    #[inline]
    pub const fn capacity(&self) -> usize {
        self.limit as usize
    }

    /// Octets held.
    #[inline]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Octets that can still be written.
    #[inline]
    pub const fn free(&self) -> usize {
        (self.limit - self.len) as usize
    }

    /// Whether nothing is held.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends as much of `data` as there is room for; returns how much.
    pub fn write(&mut self, data: &[u8]) -> usize {
        let n = self.store(0, data);
        self.extend(n);
        n
    }

    /// Appends what `f` writes into a contiguous free part; `f` returns how many octets that is, and a value to pass on.
    /// The part is empty only when the ring is full.
    pub fn write_with<R>(&mut self, f: impl FnOnce(&mut [u8]) -> (usize, R)) -> R {
        if self.len as usize >= self.storage.len() {
            self.make_room(self.len as usize + 1);
        }
        let room = self.storage.len().min(self.capacity()) - self.len as usize;
        let (part, _) = self.parts_mut(self.len as usize, room);
        let room = part.len();
        let (n, result) = f(part);
        debug_assert!(n <= room, "more was written than there was room for");
        self.extend(n.min(room));
        result
    }

    /// Moves octets from the front into `dst`; returns how many.
    pub fn read(&mut self, dst: &mut [u8]) -> usize {
        let n = self.peek_at(0, dst);
        self.consume(n);
        n
    }

    /// Shows `f` the contiguous first part of the contents; `f` returns how many octets of it are consumed, and a value
    /// to pass on. The part is empty only when the ring is.
    pub fn read_with<R>(&mut self, f: impl FnOnce(&[u8]) -> (usize, R)) -> R {
        let (part, _) = self.parts(0, self.len());
        let room = part.len();
        let (n, result) = f(part);
        debug_assert!(n <= room, "more was read than there is");
        self.consume(n.min(room));
        result
    }

    /// The contiguous first part of the contents: empty only when the ring is.
    pub fn first_part(&self) -> &[u8] {
        self.parts(0, self.len()).0
    }

    /// Copies octets from `offset` on into `dst`, as many as there are; returns how many.
    pub fn peek_at(&self, offset: usize, dst: &mut [u8]) -> usize {
        let n = dst.len().min(self.len().saturating_sub(offset));
        let (first, second) = self.parts(offset, n);
        if let Some((to_first, rest)) = dst.split_at_mut_checked(first.len()) {
            copy(to_first, first);
            if let Some(to_second) = rest.get_mut(..second.len())
                && !second.is_empty()
            {
                copy(to_second, second);
            }
        }
        n
    }

    /// Copies exactly `dst.len()` octets from `offset` on, which the caller knows to be there, and sums them as if they
    /// began at an even offset.
    #[inline]
    pub fn copy_and_sum_at(&self, offset: usize, dst: &mut [u8]) -> Sum {
        debug_assert!(offset + dst.len() <= self.len(), "beyond the contents");
        let (first, second) = self.parts(offset, dst.len());
        if second.is_empty() {
            return copy_and_sum(dst, first);
        }
        let Some((to_first, to_second)) = dst.split_at_mut_checked(first.len()) else {
            return Sum::default();
        };
        copy_and_sum(to_first, first).add_at(copy_and_sum(to_second, second), first.len())
    }

    /// Drops `n` octets from the front.
    #[inline]
    pub fn consume(&mut self, n: usize) {
        debug_assert!(n <= self.len(), "more is consumed than there is");
        let n = n.min(self.len());
        self.len -= n as u32;
        if self.len == 0 && self.ahead == 0 {
            // A ring that begins at the beginning has the longest contiguous parts.
            self.start = 0;
        } else {
            self.start = self.index(n) as u32;
        }
    }

    /// Stores octets that begin `offset` octets behind the end, as far as the capacity goes; returns how many. They are
    /// not contents before [`extend`](Self::extend) makes them so, and later writes may overwrite them.
    pub fn write_at(&mut self, offset: usize, data: &[u8]) -> usize {
        let n = self.store(offset, data);
        if n > 0 {
            self.ahead = self.ahead.max((offset + n) as u32);
        }
        n
    }

    /// Makes the `n` octets behind the end, which were stored before, part of the contents.
    #[inline]
    pub fn extend(&mut self, n: usize) {
        debug_assert!(n <= self.storage.len().min(self.capacity()) - self.len(), "beyond the capacity");
        let n = n.min(self.storage.len().min(self.capacity()) - self.len());
        self.len += n as u32;
        self.ahead = self.ahead.saturating_sub(n as u32);
    }

    /// Forgets what [`write_at`](Self::write_at) stored and was not made contents.
    pub fn forget_ahead(&mut self) {
        self.ahead = 0;
    }

    /// Octets behind the end up to the last one that [`write_at`](Self::write_at) stored.
    #[cfg(feature = "tuning")]
    pub const fn ahead(&self) -> usize {
        self.ahead as usize
    }

    /// Gives the memory of an owned ring back that its contents do not need. Nothing may be stored behind them.
    #[cfg(feature = "tuning")]
    pub fn fit(&mut self) {
        debug_assert!(self.ahead == 0, "what is stored would be lost");
        #[cfg(feature = "alloc")]
        if let ManagedSlice::Owned(vec) = &mut self.storage {
            vec.rotate_left(self.start as usize);
            vec.truncate(self.len as usize);
            vec.shrink_to_fit();
            self.start = 0;
        }
    }

    /// Gives the memory of an owned ring back when nothing is in it. For a connection that went quiet: it grows again
    /// with the next octet.
    pub fn trim(&mut self) {
        if self.len == 0 && self.ahead == 0 {
            self.start = 0;
            #[cfg(feature = "alloc")]
            if let ManagedSlice::Owned(vec) = &mut self.storage {
                *vec = alloc::vec::Vec::new();
            }
        }
    }

    /// Octets of memory held at this moment.
    pub fn held(&self) -> usize {
        self.storage.len()
    }

    /// Whether memory is held that [`trim`](Self::trim) would give back, were the ring empty.
    #[cfg(feature = "tuning")]
    pub fn is_on_loan(&self) -> bool {
        match &self.storage {
            ManagedSlice::Borrowed(_) => false,
            #[cfg(feature = "alloc")]
            ManagedSlice::Owned(vec) => !vec.is_empty(),
        }
    }

    /// The capacity that the storage allows, of `limit` octets.
    #[cfg(feature = "tuning")]
    pub fn most(&self, limit: usize) -> usize {
        most(&self.storage, limit.min(MAX_CAPACITY))
    }

    /// The capacity is `limit` from now on, as far as the storage allows, unless it is larger already.
    #[cfg(feature = "tuning")]
    pub fn raise(&mut self, limit: usize) {
        self.limit = self.limit.max(self.most(limit) as u32);
    }

    /// The storage, for another ring.
    pub fn into_storage(self) -> ManagedSlice<'a, u8> {
        self.storage
    }

    /// Where in the storage the octet `offset` behind the start lies; `offset` is at most the storage's length.
    #[inline]
    fn index(&self, offset: usize) -> usize {
        let at = self.start as usize + offset;
        at.checked_sub(self.storage.len()).unwrap_or(at)
    }

    /// The `n` octets at `offset` behind the start: up to the end of the storage, and from its beginning.
    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    fn parts(&self, offset: usize, n: usize) -> (&[u8], &[u8]) {
        let at = self.index(offset);
        if let Some(part) = self.storage.get(at..at + n) {
            return (part, &[]);
        }
        let (head, tail) = self.storage.split_at_checked(at).unwrap_or_default();
        (tail, head.get(..n - tail.len()).unwrap_or_default())
    }

    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    fn parts_mut(&mut self, offset: usize, n: usize) -> (&mut [u8], &mut [u8]) {
        let at = self.index(offset);
        let (head, tail) = self.storage.split_at_mut_checked(at).unwrap_or_default();
        match n.checked_sub(tail.len()) {
            Some(wrapped) => (tail, head.get_mut(..wrapped).unwrap_or_default()),
            None => (tail.get_mut(..n).unwrap_or_default(), &mut []),
        }
    }

    /// Puts octets `offset` behind the end, as many as fit.
    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    fn store(&mut self, offset: usize, data: &[u8]) -> usize {
        let Some(room) = self.free().checked_sub(offset) else {
            return 0;
        };
        let from = self.len() + offset;
        let mut n = data.len().min(room);
        if from + n > self.storage.len() {
            self.make_room(from + n);
            n = n.min(self.storage.len().saturating_sub(from));
        }
        let Some(data) = data.get(..n) else { return 0 };
        let at = self.index(from);
        if let Some(part) = self.storage.get_mut(at..at + n) {
            copy(part, data);
            return n;
        }
        let (first, second) = self.parts_mut(from, n);
        if let Some((a, b)) = data.split_at_checked(first.len()) {
            copy(first, a);
            if let Some(to) = second.get_mut(..b.len()) {
                copy(to, b);
            }
        }
        n
    }

    /// Grows so that `needed` octets (at most the capacity) have room, if the storage can.
    #[cold]
    fn make_room(&mut self, needed: usize) {
        if needed <= self.storage.len() || needed > self.capacity() {
            return;
        }
        if most(&self.storage, self.capacity()) <= self.storage.len() {
            return;
        }
        // What is stored must not wrap at the old end: the new room comes behind it.
        let start = self.start as usize;
        self.storage.rotate_left(start);
        self.start = 0;
        let limit = self.capacity();
        grow(&mut self.storage, needed, LEAST, limit, || 0);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::wire::checksum::sum;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    #[test]
    fn contents_come_back_in_order_across_the_wrap() {
        let mut memory = [0; 8];
        let mut ring = Ring::new(ManagedSlice::Borrowed(&mut memory), usize::MAX);
        assert_eq!((ring.capacity(), ring.free()), (8, 8));
        assert_eq!(ring.write(b"abcdef"), 6);
        ring.consume(4);
        assert_eq!(ring.write(b"ghijklmn"), 6);
        assert_eq!(ring.write(b"x"), 0);
        let mut out = [0; 10];
        assert_eq!(ring.peek_at(3, &mut out), 5);
        assert_eq!(&out[..5], b"hijkl");
        assert_eq!(ring.read(&mut out), 8);
        assert_eq!(&out[..8], b"efghijkl");
    }

    #[cfg(all(feature = "alloc", feature = "tuning"))]
    #[test]
    fn a_ring_that_is_made_to_fit_keeps_its_contents_and_grows_again() {
        let mut ring = Ring::new(ManagedSlice::Owned(Vec::new()), 4096);
        let text: Vec<u8> = (0..2000u32).map(|n| n as u8).collect();
        assert_eq!(ring.write(&text), 2000);
        ring.consume(1500);
        ring.write(&text[..1000]);
        ring.write_at(1000, b"far away");
        assert_eq!((ring.ahead(), ring.held() >= 2508), (1008, true));
        ring.forget_ahead();
        ring.fit();
        assert_eq!((ring.ahead(), ring.held()), (0, 1500));
        assert_eq!(ring.write(b"more"), 4);
        let mut out = [0; 1600];
        assert_eq!(ring.read(&mut out), 1504);
        assert!(out[..500] == text[1500..] && out[500..1500] == text[..1000] && &out[1500..1504] == b"more");
    }

    #[test]
    fn out_of_order_text_becomes_contents_only_when_extended() {
        let mut memory = [0; 8];
        let mut ring = Ring::new(ManagedSlice::Borrowed(&mut memory), usize::MAX);
        ring.write(b"ab");
        assert_eq!(ring.write_at(2, b"efghXX"), 4, "never beyond the capacity");
        assert_eq!(ring.len(), 2);
        assert_eq!(ring.write(b"cd"), 2);
        ring.extend(4);
        let mut out = [0; 8];
        assert_eq!(ring.read(&mut out), 8);
        assert_eq!(&out, b"abcdefgh");
        assert_eq!(ring.write_at(8, b"x"), 0);
        assert_eq!(ring.write_at(usize::MAX, b"x"), 0);
    }

    #[test]
    fn draining_a_ring_keeps_text_that_is_stored_ahead() {
        let mut memory = [0; 8];
        let mut ring = Ring::new(ManagedSlice::Borrowed(&mut memory), usize::MAX);
        ring.write(b"abc");
        ring.write_at(1, b"e");
        ring.consume(3);
        ring.trim();
        ring.write(b"d");
        ring.extend(1);
        let mut out = [0; 2];
        ring.read(&mut out);
        assert_eq!(&out, b"de");
    }

    #[test]
    fn a_ring_of_no_octets_takes_nothing_and_does_not_panic() {
        let mut ring = Ring::new(ManagedSlice::Borrowed(&mut []), 100);
        assert_eq!((ring.write(b"x"), ring.write_at(0, b"x"), ring.read(&mut [0; 3])), (0, 0, 0));
        assert_eq!(ring.write_with(|part| (part.len(), part.len())), 0);
        assert_eq!(ring.read_with(|part| (part.len(), part.len())), 0);
        ring.trim();
        assert_eq!(ring.into_storage().len(), 0);
    }

    #[cfg(feature = "alloc")]
    #[test]
    fn an_owned_ring_starts_empty_grows_to_its_limit_and_gives_memory_back_when_trimmed() {
        let mut ring = Ring::new(ManagedSlice::Owned(Vec::new()), 5000);
        assert_eq!((ring.capacity(), ring.held()), (5000, 0));
        assert_eq!(ring.write(&[1; 10]), 10);
        assert_eq!(ring.held(), 512);
        assert_eq!(ring.write(&[2; 6000]), 4990);
        assert_eq!((ring.held(), ring.free()), (5000, 0));
        ring.trim();
        assert_eq!(ring.held(), 5000, "nothing is given back while something is held");
        ring.consume(5000);
        ring.trim();
        assert_eq!(ring.held(), 0);
        assert_eq!(ring.write_with(|part| (1, part.len())), 512);
        assert_eq!(ring.len(), 1);
    }

    #[derive(Clone, Debug)]
    enum Op {
        Write(Vec<u8>),
        WriteWith(usize),
        Read(usize),
        ReadWith(usize),
        Peek(usize, usize),
        Sum(usize, usize),
        Consume(usize),
        WriteAt(usize, Vec<u8>),
        Extend,
        Trim,
    }

    fn some_op() -> impl Strategy<Value = Op> {
        let octets = || proptest::collection::vec(any::<u8>(), 0..40);
        prop_oneof![
            3 => octets().prop_map(Op::Write),
            1 => (0usize..40).prop_map(Op::WriteWith),
            2 => (0usize..60).prop_map(Op::Read),
            1 => (0usize..60).prop_map(Op::ReadWith),
            1 => (0usize..60, 0usize..60).prop_map(|(a, b)| Op::Peek(a, b)),
            2 => (0usize..60, 0usize..60).prop_map(|(a, b)| Op::Sum(a, b)),
            1 => (0usize..60).prop_map(Op::Consume),
            2 => (0usize..40, octets()).prop_map(|(a, b)| Op::WriteAt(a, b)),
            1 => Just(Op::Extend),
            1 => Just(Op::Trim),
        ]
    }

    /// The obvious implementation: contents, and what lies ahead octet by octet.
    struct Model {
        contents: Vec<u8>,
        ahead: Vec<Option<u8>>,
        limit: usize,
    }

    impl Model {
        fn append(&mut self, data: &[u8]) {
            self.contents.extend(data);
            self.ahead.drain(..data.len().min(self.ahead.len()));
        }

        fn free(&self) -> usize {
            self.limit - self.contents.len()
        }
    }

    #[allow(clippy::too_many_lines)] // One arm per operation.
    #[expect(clippy::too_many_lines, reason = "one arm for each operation")]
    fn check(mut ring: Ring<'_>, limit: usize, ops: Vec<Op>) {
        let mut model = Model { contents: vec![], ahead: vec![], limit };
        for op in ops {
            match op {
                Op::Write(data) => {
                    let n = data.len().min(model.free());
                    assert_eq!(ring.write(&data), n);
                    model.append(&data[..n]);
                }
                Op::WriteWith(n) => {
                    let free = model.free();
                    let written = ring.write_with(|part| {
                        assert_eq!(part.is_empty(), free == 0);
                        let n = n.min(part.len());
                        part[..n].fill(7);
                        (n, n)
                    });
                    model.append(&vec![7; written]);
                }
                Op::Read(n) => {
                    let mut out = vec![0; n];
                    let n = n.min(model.contents.len());
                    assert_eq!(ring.read(&mut out), n);
                    assert_eq!(out[..n], model.contents.drain(..n).collect::<Vec<_>>());
                }
                Op::ReadWith(n) => {
                    let contents = model.contents.clone();
                    let n = ring.read_with(|part| {
                        assert_eq!(part.is_empty(), contents.is_empty());
                        assert_eq!(part, &contents[..part.len()]);
                        let n = n.min(part.len());
                        (n, n)
                    });
                    model.contents.drain(..n);
                }
                Op::Peek(offset, n) => {
                    let mut out = vec![0; n];
                    let n = ring.peek_at(offset, &mut out);
                    assert_eq!(n, out.len().min(model.contents.len().saturating_sub(offset)));
                    assert!(n == 0 || out[..n] == model.contents[offset..offset + n]);
                }
                Op::Sum(offset, n) => {
                    let offset = offset.min(model.contents.len());
                    let mut out = vec![0; n.min(model.contents.len() - offset)];
                    let total = ring.copy_and_sum_at(offset, &mut out);
                    assert_eq!(out, model.contents[offset..offset + out.len()]);
                    assert_eq!(total.finish(), sum(&out).finish());
                }
                Op::Consume(n) => {
                    let n = n.min(model.contents.len());
                    ring.consume(n);
                    model.contents.drain(..n);
                }
                Op::WriteAt(offset, data) => {
                    let n = data.len().min(model.free().saturating_sub(offset));
                    assert_eq!(ring.write_at(offset, &data), n);
                    if model.ahead.len() < offset + n {
                        model.ahead.resize(offset + n, None);
                    }
                    for (cell, octet) in model.ahead.iter_mut().skip(offset).zip(&data[..n]) {
                        *cell = Some(*octet);
                    }
                }
                Op::Extend => {
                    let known: Vec<u8> = model.ahead.iter().map_while(|cell| *cell).collect();
                    ring.extend(known.len());
                    model.append(&known);
                }
                Op::Trim => ring.trim(),
            }
            assert_eq!((ring.len(), ring.free()), (model.contents.len(), model.free()));
        }
        let mut out = vec![0; limit + 1];
        let n = ring.read(&mut out);
        assert_eq!(out[..n], model.contents);
    }

    proptest! {
        #[test]
        fn a_borrowed_ring_behaves_as_a_queue_with_a_place_ahead(len in 0usize..80,
                                                                 ops in proptest::collection::vec(some_op(), 0..60)) {
            let mut memory = vec![0; len];
            check(Ring::new(ManagedSlice::Borrowed(&mut memory), usize::MAX), len, ops);
        }

        #[cfg(feature = "alloc")]
        #[test]
        fn an_owned_ring_behaves_as_a_borrowed_one(limit in 0usize..1500, first in 0usize..60,
                                                   ops in proptest::collection::vec(some_op(), 0..100)) {
            let memory = vec![0; first.min(limit)];
            check(Ring::new(ManagedSlice::Owned(memory), limit), limit, ops);
        }
    }
}

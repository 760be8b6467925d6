//! Deadlines: one indexed heap for all timers of a stack.
//!
//! A node has at most one deadline. Moving it later does not touch the heap: the entry stays where it is and is put right
//! when it comes to the top (most timers are postponed many times before they fire, if they ever do).

use crate::time::Instant;
use managed::ManagedSlice;

/// What [`DeadlineSlot::place`] is without an entry.
const NONE: u32 = 0;

/// One place of the heap's storage, and the state of one node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeadlineSlot {
    /// Heap order: the node at this place, and the instant it is sorted by (at or before its deadline).
    heap_node: u32,
    heap_at: Instant,
    /// Node state: where its entry is, plus one, and when it is due.
    place: u32,
    due: Instant,
}

impl DeadlineSlot {
    /// All zeros: a `static` heap lies in `.bss`.
    pub const fn new() -> Self {
        Self { heap_node: 0, heap_at: Instant::ZERO, place: NONE, due: Instant::ZERO }
    }
}

/// The deadlines of nodes 0, 1, 2 …
pub(crate) struct Deadlines<'a> {
    slots: ManagedSlice<'a, DeadlineSlot>,
    len: usize,
}

impl<'a> Deadlines<'a> {
    pub fn new(slots: ManagedSlice<'a, DeadlineSlot>) -> Self {
        Self { slots, len: 0 }
    }

    /// Makes room for nodes below `count`; false when storage is fixed and smaller.
    pub fn ensure(&mut self, count: usize) -> bool {
        #[cfg(feature = "alloc")]
        if let ManagedSlice::Owned(slots) = &mut self.slots
            && slots.len() < count
        {
            slots.resize(count, DeadlineSlot::new());
        }
        self.slots.len() >= count
    }

    /// Sets a node's deadline.
    pub fn set(&mut self, node: u32, due: Instant) {
        let Some(slot) = self.slots.get_mut(node as usize) else { return };
        slot.due = due;
        let place = slot.place;
        if place == NONE {
            let place = self.len;
            self.len += 1;
            self.put(place, node, due);
            self.sift_up(place);
        } else if due < self.at(place as usize - 1) {
            self.put(place as usize - 1, node, due);
            self.sift_up(place as usize - 1);
        }
    }

    /// Takes a node's deadline away.
    pub fn cancel(&mut self, node: u32) {
        let Some(slot) = self.slots.get_mut(node as usize) else { return };
        let place = match core::mem::replace(&mut slot.place, NONE) {
            NONE => return,
            place => place as usize - 1,
        };
        self.len -= 1;
        if place != self.len {
            let (last, at) = (self.node(self.len), self.at(self.len));
            self.put(place, last, at);
            self.sift_up(place);
            self.sift_down(place);
        }
    }

    /// The earliest deadline.
    pub fn next(&mut self) -> Option<Instant> {
        self.settle();
        (self.len > 0).then(|| self.at(0))
    }

    /// A node that is due at `now`, whose deadline is thereby over.
    pub fn pop_due(&mut self, now: Instant) -> Option<u32> {
        self.settle();
        if self.len == 0 || self.at(0) > now {
            return None;
        }
        let node = self.node(0);
        self.cancel(node);
        Some(node)
    }

    /// Puts postponed entries at the top where they belong, until the top is true.
    fn settle(&mut self) {
        while self.len > 0 {
            let node = self.node(0);
            let due = self.slots.get(node as usize).map_or(Instant::ZERO, |s| s.due);
            if due <= self.at(0) {
                return;
            }
            self.put(0, node, due);
            self.sift_down(0);
        }
    }

    fn at(&self, place: usize) -> Instant {
        self.slots.get(place).map_or(Instant::ZERO, |s| s.heap_at)
    }

    fn node(&self, place: usize) -> u32 {
        self.slots.get(place).map_or(u32::MAX, |s| s.heap_node)
    }

    fn put(&mut self, place: usize, node: u32, at: Instant) {
        if let Some(slot) = self.slots.get_mut(place) {
            slot.heap_node = node;
            slot.heap_at = at;
        }
        if let Some(slot) = self.slots.get_mut(node as usize) {
            slot.place = place as u32 + 1;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        let (na, ta, nb, tb) = (self.node(a), self.at(a), self.node(b), self.at(b));
        self.put(a, nb, tb);
        self.put(b, na, ta);
    }

    fn sift_up(&mut self, mut place: usize) {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.at(parent) <= self.at(place) {
                return;
            }
            self.swap(place, parent);
            place = parent;
        }
    }

    fn sift_down(&mut self, mut place: usize) {
        loop {
            let (left, right) = (2 * place + 1, 2 * place + 2);
            let mut least = place;
            if left < self.len && self.at(left) < self.at(least) {
                least = left;
            }
            if right < self.len && self.at(right) < self.at(least) {
                least = right;
            }
            if least == place {
                return;
            }
            self.swap(place, least);
            place = least;
        }
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    extern crate std;
    use std::collections::BTreeMap;
    use std::vec::Vec;

    #[test]
    fn borrowed_storage_bounds_the_nodes() {
        let mut slots = [DeadlineSlot::new(); 2];
        let mut d = Deadlines::new(ManagedSlice::Borrowed(&mut slots));
        assert!(d.ensure(2) && !d.ensure(3));
        d.set(5, Instant::ZERO);
        assert_eq!(d.next(), None);
        d.set(1, Instant::from_secs(3));
        assert_eq!(d.next(), Some(Instant::from_secs(3)));
    }

    proptest! {
        #[test]
        fn deadlines_fire_in_order_as_in_a_sorted_map(ops in prop::collection::vec((0u8..4, 0u32..12, 0u64..50), 0..300)) {
            let mut d = Deadlines::new(ManagedSlice::Owned(Vec::new()));
            prop_assert!(d.ensure(12));
            let mut model: BTreeMap<u32, u64> = BTreeMap::new();
            for (op, node, at) in ops {
                match op {
                    0 | 1 => {
                        d.set(node, Instant::from_micros(at));
                        model.insert(node, at);
                    }
                    2 => {
                        d.cancel(node);
                        model.remove(&node);
                    }
                    _ => {
                        let now = Instant::from_micros(at);
                        let least = model.values().min().copied();
                        match d.pop_due(now) {
                            Some(n) => {
                                prop_assert_eq!(model.remove(&n), least);
                                prop_assert!(least.is_some_and(|l| l <= at));
                            }
                            None => prop_assert!(least.is_none_or(|l| l > at)),
                        }
                    }
                }
                prop_assert_eq!(d.next(), model.values().min().map(|&m| Instant::from_micros(m)));
            }
        }
    }
}

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
        let slots = &mut *self.slots;
        let Some(slot) = slots.get_mut(node as usize) else { return };
        slot.due = due;
        let place = slot.place as usize;
        if place == NONE as usize {
            put(slots, self.len, node, due);
            sift_up(slots, self.len);
            self.len += 1;
        } else if due < at(slots, place - 1) {
            put(slots, place - 1, node, due);
            sift_up(slots, place - 1);
        }
    }

    /// Takes a node's deadline away.
    pub fn cancel(&mut self, node: u32) {
        let slots = &mut *self.slots;
        let Some(slot) = slots.get_mut(node as usize) else { return };
        let place = match core::mem::replace(&mut slot.place, NONE) {
            NONE => return,
            place => place as usize - 1,
        };
        self.len -= 1;
        if place != self.len {
            let (last, when) = (self::node(slots, self.len), at(slots, self.len));
            put(slots, place, last, when);
            sift_up(slots, place);
            sift_down(slots, self.len, place);
        }
    }

    /// The earliest deadline.
    #[inline]
    pub fn next(&mut self) -> Option<Instant> {
        self.settle();
        (self.len > 0).then(|| at(&self.slots, 0))
    }

    /// A node that is due at `now`, whose deadline is thereby over.
    #[inline]
    pub fn pop_due(&mut self, now: Instant) -> Option<u32> {
        // Entries are sorted by an instant at or before their deadline: the top says whether it is worth a look.
        if self.len == 0 || at(&self.slots, 0) > now {
            return None;
        }
        self.settle();
        if at(&self.slots, 0) > now {
            return None;
        }
        let node = node(&self.slots, 0);
        self.cancel(node);
        Some(node)
    }

    /// Puts postponed entries at the top where they belong, until the top is true.
    fn settle(&mut self) {
        let slots = &mut *self.slots;
        if self.len == 0 {
            return;
        }
        loop {
            let due = slots.get(node(slots, 0) as usize).map_or(Instant::ZERO, |s| s.due);
            let Some(top) = slots.first_mut().filter(|top| top.heap_at < due) else { return };
            top.heap_at = due;
            sift_down(slots, self.len, 0);
        }
    }
}

#[cfg_attr(target_os = "none", inline(never))]
fn at(slots: &[DeadlineSlot], place: usize) -> Instant {
    slots.get(place).map_or(Instant::ZERO, |s| s.heap_at)
}

#[cfg_attr(target_os = "none", inline(never))]
fn node(slots: &[DeadlineSlot], place: usize) -> u32 {
    slots.get(place).map_or(u32::MAX, |s| s.heap_node)
}

#[cfg_attr(target_os = "none", inline(never))]
fn put(slots: &mut [DeadlineSlot], place: usize, node: u32, at: Instant) {
    if let Some(slot) = slots.get_mut(place) {
        slot.heap_node = node;
        slot.heap_at = at;
    }
    if let Some(slot) = slots.get_mut(node as usize) {
        slot.place = place as u32 + 1;
    }
}

/// Moves the entry at `place` up to where it belongs.
fn sift_up(slots: &mut [DeadlineSlot], mut place: usize) {
    let (moved, when) = (node(slots, place), at(slots, place));
    while place > 0 {
        let parent = (place - 1) / 2;
        let above = at(slots, parent);
        if above <= when {
            return;
        }
        put(slots, place, node(slots, parent), above);
        put(slots, parent, moved, when);
        place = parent;
    }
}

/// Moves the entry at `place` down to where it belongs, in a heap of `len` entries.
fn sift_down(slots: &mut [DeadlineSlot], len: usize, mut place: usize) {
    let (moved, when) = (node(slots, place), at(slots, place));
    loop {
        let left = 2 * place + 1;
        if left >= len {
            return;
        }
        let right = left + 1;
        let least = if right < len && at(slots, right) < at(slots, left) { right } else { left };
        let below = at(slots, least);
        if when <= below {
            return;
        }
        put(slots, place, node(slots, least), below);
        put(slots, least, moved, when);
        place = least;
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests;

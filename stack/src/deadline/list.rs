//! Deadlines of few: what each node's is, looked through for the first.
//!
//! A node has at most one deadline. With many sockets, a heap is better (`deadline.rs`, feature `many-sockets`).

use crate::time::Instant;
use managed::ManagedSlice;

/// The state of one node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeadlineSlot {
    is_set: bool,
    due: Instant,
}

impl DeadlineSlot {
    /// All zeros: a `static` list lies in `.bss`.
    pub const fn new() -> Self {
        Self { is_set: false, due: Instant::ZERO }
    }
}

/// The deadlines of nodes 0, 1, 2 …
pub(crate) struct Deadlines<'a> {
    slots: ManagedSlice<'a, DeadlineSlot>,
    /// Nodes from here on were never used.
    end: usize,
}

impl<'a> Deadlines<'a> {
    pub fn new(slots: ManagedSlice<'a, DeadlineSlot>) -> Self {
        Self { slots, end: 0 }
    }

    /// Makes room for nodes below `count`; false when storage is fixed and smaller.
    pub fn ensure(&mut self, count: usize) -> bool {
        #[cfg(feature = "alloc")]
        if let ManagedSlice::Owned(slots) = &mut self.slots
            && slots.len() < count
        {
            slots.resize(count, DeadlineSlot::new());
        }
        self.end = self.end.max(count);
        self.slots.len() >= count
    }

    /// Sets a node's deadline.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn set(&mut self, node: u32, due: Instant) {
        if let Some(slot) = self.slots.get_mut(node as usize) {
            *slot = DeadlineSlot { is_set: true, due };
        }
    }

    /// Takes a node's deadline away.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn cancel(&mut self, node: u32) {
        if let Some(slot) = self.slots.get_mut(node as usize) {
            slot.is_set = false;
        }
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<Instant> {
        self.first().map(|(_, due)| due)
    }

    /// A node that is due at `now`, whose deadline is thereby over.
    pub fn pop_due(&mut self, now: Instant) -> Option<u32> {
        let (node, _) = self.first().filter(|&(_, due)| due <= now)?;
        self.cancel(node);
        Some(node)
    }

    #[cfg_attr(target_os = "none", inline(never))]
    fn first(&self) -> Option<(u32, Instant)> {
        let mut first: Option<(u32, Instant)> = None;
        for (node, slot) in self.slots.iter().take(self.end).enumerate() {
            if slot.is_set && first.is_none_or(|(_, due)| slot.due < due) {
                first = Some((node as u32, slot.due));
            }
        }
        first
    }
}

#[cfg(all(test, feature = "alloc"))]
#[path = "tests.rs"]
mod tests;

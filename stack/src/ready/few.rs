//! Few nodes: each says what list it is on and since when, and who wants the first of a list looks through all.
//!
//! With many sockets, linked lists are better (`linked.rs`).

use super::{Key, NodeId, WaitList};
use crate::deadline::{DeadlineSlot, Deadlines};
use crate::error::Full;
use crate::event::Readiness;
use crate::time::Instant;
use managed::ManagedSlice;

/// A node's list: none.
const NOWHERE: u32 = 0;
/// The ready list of interface 0; those of the others follow.
const READY: u32 = 1;
/// The list of those that wait for node 0; those of the others follow.
const WAITING: u32 = 1 << 8;
/// The list of events that were not told yet.
const TOLD: u32 = u32::MAX;

/// A node's storage. New, it is all zeros: a `static` table lies in `.bss`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    key: Option<Key>,
    on: u32,
    /// When it came onto its list, in tickets.
    since: u32,
    /// What its user has not been told yet.
    event: Readiness,
    event_since: u32,
}

impl Node {
    /// A place of storage: [`Scheduler::alloc`] makes a node of it.
    pub const fn blank() -> Self {
        Self { key: None, on: NOWHERE, since: 0, event: Readiness::NONE, event_since: 0 }
    }

    /// When it came onto this list, if it is on it.
    fn since(&self, list: u32) -> Option<u32> {
        match list {
            TOLD => (!self.event.is_none()).then_some(self.event_since),
            list => (self.on == list).then_some(self.since),
        }
    }
}

/// Lists need no storage of their own.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct List;

impl List {
    pub const fn blank() -> Self {
        Self
    }
}

/// One for a ready list, which is none to wait on.
fn is_ready(list: u32) -> u32 {
    u32::from(list != NOWHERE && list < WAITING)
}

/// The nodes, and their deadlines.
pub(crate) struct Scheduler<'a> {
    nodes: ManagedSlice<'a, Node>,
    deadlines: Deadlines<'a>,
    /// Counts what comes onto lists: a list's first is who came first.
    ticket: u32,
    /// Nodes on ready lists.
    ready: u32,
    /// Nodes from here on were never used.
    end: usize,
    limit: usize,
}

impl<'a> Scheduler<'a> {
    /// As many nodes as the borrowed storage holds, or `limit` where it grows.
    pub fn new(
        nodes: ManagedSlice<'a, Node>,
        _: ManagedSlice<'a, List>,
        deadlines: ManagedSlice<'a, DeadlineSlot>,
        limit: usize,
    ) -> Self {
        Self { nodes, deadlines: Deadlines::new(deadlines), ticket: 0, ready: 0, end: 0, limit }
    }

    /// There is a ready list for each interface that can be.
    pub fn ensure_interfaces(&mut self, _: usize) {}

    pub fn alloc(&mut self, key: Key) -> Result<NodeId, Full> {
        let free = self.nodes.iter().position(|node| node.key.is_none());
        let id = free.or_else(|| self.grow()).ok_or(Full::Table)?;
        let node = self.nodes.get_mut(id).filter(|_| self.deadlines.ensure(id + 1)).ok_or(Full::Table)?;
        *node = Node { key: Some(key), ..Node::blank() };
        self.end = self.end.max(id + 1);
        Ok(id as u32)
    }

    #[cfg(not(feature = "alloc"))]
    fn grow(&mut self) -> Option<usize> {
        let _ = self.limit;
        None
    }

    #[cfg(feature = "alloc")]
    fn grow(&mut self) -> Option<usize> {
        match &mut self.nodes {
            ManagedSlice::Owned(nodes) if nodes.len() < self.limit => {
                nodes.push(Node::blank());
                Some(nodes.len() - 1)
            }
            _ => None,
        }
    }

    /// Frees a node; it leaves every list. Nobody may wait for it any more.
    pub fn free(&mut self, id: NodeId) {
        self.deadlines.cancel(id);
        self.join(id, NOWHERE);
        if let Some(node) = self.nodes.get_mut(id as usize) {
            *node = Node::blank();
        }
    }

    /// Says what a node stands for, where that is known only after `alloc`.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn set_key(&mut self, id: NodeId, key: Key) {
        if let Some(node) = self.nodes.get_mut(id as usize) {
            node.key = Some(key);
        }
    }

    /// Puts a node at the end of an interface's ready list, unless it is there already.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn wake(&mut self, id: NodeId, iface: usize) {
        self.join(id, READY + iface as u32);
    }

    /// Puts a node at the end of a list, unless it is there already.
    #[cfg_attr(target_os = "none", inline(never))]
    fn join(&mut self, id: NodeId, list: u32) {
        let Some(node) = self.nodes.get_mut(id as usize) else { return };
        if node.key.is_some() && node.on != list {
            self.ready = self.ready.wrapping_add(is_ready(list)).wrapping_sub(is_ready(node.on));
            node.on = list;
            node.since = self.ticket;
            self.ticket = self.ticket.wrapping_add(1);
        }
    }

    /// Takes the first of an interface's ready list.
    pub fn pop_ready(&mut self, iface: usize) -> Option<(NodeId, Key)> {
        if self.ready == 0 {
            return None;
        }
        let id = self.first(READY + iface as u32)?;
        self.join(id, NOWHERE);
        Some((id, self.nodes.get(id as usize)?.key?))
    }

    pub fn has_ready(&self, iface: usize) -> bool {
        self.ready > 0 && self.first(READY + iface as u32).is_some()
    }

    /// Takes a node off the ready lists, to wait for what `owner` stands for. `owner` is never on a list itself.
    pub fn park(&mut self, id: NodeId, owner: NodeId, list: &mut WaitList) {
        if self.nodes.get(id as usize).is_some_and(|node| node.key.is_some() && node.on < WAITING) && id != owner {
            self.join(id, WAITING + owner);
            list.any = true;
        }
    }

    /// Puts all that wait for what `owner` stands for, in their order, on an interface's ready list.
    pub fn unpark(&mut self, owner: NodeId, list: &mut WaitList, iface: usize) {
        list.any = false;
        while let Some(id) = self.first(WAITING + owner) {
            self.wake(id, iface);
        }
    }

    /// Tells a node's user of `what`, with what was not told yet.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn post(&mut self, id: NodeId, what: Readiness) {
        let Some(node) = self.nodes.get_mut(id as usize) else { return };
        if node.key.is_none() || what.is_none() {
            return;
        }
        if node.event.is_none() {
            node.event_since = self.ticket;
            self.ticket = self.ticket.wrapping_add(1);
        }
        node.event |= what;
    }

    /// The oldest untold event.
    pub fn pop_event(&mut self) -> Option<(Key, Readiness)> {
        let id = self.first(TOLD)?;
        let node = self.nodes.get_mut(id as usize)?;
        Some((node.key?, core::mem::take(&mut node.event)))
    }

    pub fn set_deadline(&mut self, id: NodeId, at: Instant) {
        self.deadlines.set(id, at);
    }

    /// As [`set_deadline`](Self::set_deadline), or [`cancel_deadline`](Self::cancel_deadline) for `None`.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn arm(&mut self, id: NodeId, at: Option<Instant>) {
        match at {
            Some(at) => self.deadlines.set(id, at),
            None => self.deadlines.cancel(id),
        }
    }

    pub fn cancel_deadline(&mut self, id: NodeId) {
        self.deadlines.cancel(id);
    }

    pub fn next_deadline(&mut self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// A node that is due at `now`; its deadline is over.
    pub fn pop_due(&mut self, now: Instant) -> Option<(NodeId, Key)> {
        while let Some(id) = self.deadlines.pop_due(now) {
            if let Some(key) = self.nodes.get(id as usize).and_then(|n| n.key) {
                return Some((id, key));
            }
        }
        None
    }

    /// Who came first onto a list. None is there for longer than it takes to count half of all tickets.
    #[cfg_attr(target_os = "none", inline(never))]
    fn first(&self, list: u32) -> Option<NodeId> {
        let mut first: Option<(u32, usize)> = None;
        for (id, node) in self.nodes.iter().take(self.end).enumerate() {
            if let Some(since) = node.since(list)
                && first.is_none_or(|(before, _)| before.wrapping_sub(since) as i32 > 0)
            {
                first = Some((since, id));
            }
        }
        first.map(|(_, id)| id as u32)
    }
}

//! Lists of nodes that are doubly linked through the nodes: everything is O(1) and nothing is searched for.

use super::{Key, NodeId, WaitList};
use crate::deadline::{DeadlineSlot, Deadlines};
use crate::error::Full;
use crate::event::Readiness;
use crate::time::Instant;
use managed::ManagedSlice;

const NONE: u32 = u32::MAX;

/// Where a node is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum On {
    Nothing = 0,
    /// The ready list of this interface.
    Ready(u8) = 1,
    /// The list of those that wait for something.
    Waiting = 2,
}

/// A node's storage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    key: Option<Key>,
    on: On,
    next: u32,
    prev: u32,
    /// What its user has not been told yet.
    event: Readiness,
    next_event: u32,
    prev_event: u32,
}

impl Node {
    /// A place of storage, all zeros, so that a `static` table lies in `.bss`: [`Scheduler::alloc`] makes a node of it.
    pub const fn blank() -> Self {
        Self { next: 0, prev: 0, next_event: 0, prev_event: 0, ..Self::new() }
    }

    pub const fn new() -> Self {
        Self {
            key: None,
            on: On::Nothing,
            next: NONE,
            prev: NONE,
            event: Readiness::NONE,
            next_event: NONE,
            prev_event: NONE,
        }
    }
}

/// A FIFO of nodes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    head: u32,
    tail: u32,
}

impl List {
    /// A place of storage, all zeros; [`Scheduler::new`] makes an empty list of it.
    pub const fn blank() -> Self {
        Self { head: 0, tail: 0 }
    }

    pub const fn new() -> Self {
        Self { head: NONE, tail: NONE }
    }

    pub const fn is_empty(&self) -> bool {
        self.head == NONE
    }
}

impl Default for List {
    fn default() -> Self {
        Self::new()
    }
}

/// The nodes, their lists, and their deadlines.
pub(crate) struct Scheduler<'a> {
    nodes: ManagedSlice<'a, Node>,
    ready: ManagedSlice<'a, List>,
    deadlines: Deadlines<'a>,
    events: List,
    /// Free nodes, linked by `next`.
    free: u32,
    /// Nodes from here on were never used.
    fresh: usize,
    limit: usize,
}

impl<'a> Scheduler<'a> {
    /// As many nodes as the borrowed storage holds, or `limit` where it grows.
    pub fn new(
        nodes: ManagedSlice<'a, Node>,
        mut ready: ManagedSlice<'a, List>,
        deadlines: ManagedSlice<'a, DeadlineSlot>,
        limit: usize,
    ) -> Self {
        ready.fill(List::new());
        let limit = match &nodes {
            ManagedSlice::Borrowed(n) => limit.min(n.len()),
            #[cfg(feature = "alloc")]
            ManagedSlice::Owned(_) => limit,
        };
        Self { nodes, ready, deadlines: Deadlines::new(deadlines), events: List::new(), free: NONE, fresh: 0, limit }
    }

    /// Makes ready lists for interfaces below `count`.
    pub fn ensure_interfaces(&mut self, count: usize) {
        #[cfg(feature = "alloc")]
        if let ManagedSlice::Owned(ready) = &mut self.ready
            && ready.len() < count
        {
            ready.resize(count, List::new());
        }
        debug_assert!(self.ready.len() >= count, "storage has as many ready lists as interfaces");
    }

    pub fn alloc(&mut self, key: Key) -> Result<NodeId, Full> {
        let id = match self.nodes.get(self.free as usize) {
            Some(node) => core::mem::replace(&mut self.free, node.next),
            None => self.take_fresh()?,
        };
        if let Some(node) = self.nodes.get_mut(id as usize) {
            *node = Node { key: Some(key), ..Node::new() };
        }
        Ok(id)
    }

    fn take_fresh(&mut self) -> Result<u32, Full> {
        let id = self.fresh;
        if id >= self.limit || !self.deadlines.ensure(id + 1) {
            return Err(Full::Table);
        }
        #[cfg(feature = "alloc")]
        if let ManagedSlice::Owned(nodes) = &mut self.nodes
            && nodes.len() == id
        {
            nodes.push(Node::new());
        }
        self.fresh += 1;
        Ok(id as u32)
    }

    /// Frees a node; it leaves every list. Nobody may wait for it any more.
    pub fn free(&mut self, id: NodeId) {
        self.unlink(id);
        self.unlink_event(id);
        self.deadlines.cancel(id);
        let free = self.free;
        if let Some(node) = self.nodes.get_mut(id as usize)
            && node.key.take().is_some()
        {
            node.next = free;
            self.free = id;
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
    #[cfg_attr(not(target_os = "none"), inline)]
    pub fn wake(&mut self, id: NodeId, iface: usize) {
        let Some(node) = self.nodes.get(id as usize) else { return };
        if node.on == On::Ready(iface as u8) || node.key.is_none() || iface >= self.ready.len() {
            return;
        }
        self.unlink(id);
        self.append(id, iface);
    }

    /// Takes the first of an interface's ready list.
    #[inline]
    pub fn pop_ready(&mut self, iface: usize) -> Option<(NodeId, Key)> {
        let list = self.ready.get_mut(iface)?;
        let id = list.head;
        let node = self.nodes.get_mut(id as usize)?;
        let key = node.key?;
        node.on = On::Nothing;
        let next = core::mem::replace(&mut node.next, NONE);
        list.head = next;
        match self.nodes.get_mut(next as usize) {
            Some(first) => first.prev = NONE,
            None => list.tail = NONE,
        }
        Some((id, key))
    }

    pub fn has_ready(&self, iface: usize) -> bool {
        self.ready.get(iface).is_some_and(|list| !list.is_empty())
    }

    /// Takes a node off the ready lists, to wait for what `owner` stands for. `owner` is never on a list itself.
    pub fn park(&mut self, id: NodeId, owner: NodeId, list: &mut WaitList) {
        match self.nodes.get(id as usize) {
            Some(node) if node.key.is_some() && node.on != On::Waiting && id != owner => {}
            _ => return,
        }
        self.unlink(id);
        let Some(sentinel) = self.nodes.get_mut(owner as usize) else { return };
        if sentinel.next == NONE {
            sentinel.next = owner;
            sentinel.prev = owner;
        }
        let last = core::mem::replace(&mut sentinel.prev, id);
        self.link(last, id);
        self.link(id, owner);
        if let Some(node) = self.nodes.get_mut(id as usize) {
            node.on = On::Waiting;
        }
        list.any = true;
    }

    /// Puts all that wait for what `owner` stands for, in their order, on an interface's ready list.
    pub fn unpark(&mut self, owner: NodeId, list: &mut WaitList, iface: usize) {
        list.any = false;
        while let Some(id) = self.nodes.get(owner as usize).map(|n| n.next)
            && id != NONE
            && id != owner
        {
            self.wake(id, iface);
        }
    }

    /// Tells a node's user of `what`, with what was not told yet.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn post(&mut self, id: NodeId, what: Readiness) {
        let tail = self.events.tail;
        let Some(node) = self.nodes.get_mut(id as usize) else { return };
        if node.key.is_none() || what.is_none() {
            return;
        }
        let queued = !node.event.is_none();
        node.event |= what;
        if queued {
            return;
        }
        node.prev_event = tail;
        node.next_event = NONE;
        self.events.tail = id;
        match self.nodes.get_mut(tail as usize) {
            Some(last) => last.next_event = id,
            None => self.events.head = id,
        }
    }

    /// The oldest untold event.
    pub fn pop_event(&mut self) -> Option<(Key, Readiness)> {
        let id = self.events.head;
        let node = self.nodes.get(id as usize)?;
        let (key, what) = (node.key?, node.event);
        self.unlink_event(id);
        Some((key, what))
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

    /// Makes `b` follow `a`.
    fn link(&mut self, a: u32, b: u32) {
        if let Some(node) = self.nodes.get_mut(a as usize) {
            node.next = b;
        }
        if let Some(node) = self.nodes.get_mut(b as usize) {
            node.prev = a;
        }
    }

    fn append(&mut self, id: NodeId, iface: usize) {
        let Some(list) = self.ready.get_mut(iface) else { return };
        let tail = core::mem::replace(&mut list.tail, id);
        match self.nodes.get_mut(tail as usize) {
            Some(last) => last.next = id,
            None => list.head = id,
        }
        if let Some(node) = self.nodes.get_mut(id as usize) {
            node.on = On::Ready(iface as u8);
            node.prev = tail;
            node.next = NONE;
        }
    }

    fn unlink(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get_mut(id as usize) else { return };
        let (next, prev) = (node.next, node.prev);
        match core::mem::replace(&mut node.on, On::Nothing) {
            On::Nothing => return,
            On::Waiting => self.link(prev, next),
            On::Ready(iface) => {
                let Some(list) = self.ready.get_mut(usize::from(iface)) else { return };
                match self.nodes.get_mut(prev as usize) {
                    Some(p) => p.next = next,
                    None => list.head = next,
                }
                match self.nodes.get_mut(next as usize) {
                    Some(n) => n.prev = prev,
                    None => list.tail = prev,
                }
            }
        }
        if let Some(node) = self.nodes.get_mut(id as usize) {
            node.next = NONE;
            node.prev = NONE;
        }
    }

    fn unlink_event(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get_mut(id as usize) else { return };
        if core::mem::take(&mut node.event).is_none() {
            return;
        }
        let (next, prev) = (node.next_event, node.prev_event);
        match self.nodes.get_mut(prev as usize) {
            Some(p) => p.next_event = next,
            None => self.events.head = next,
        }
        match self.nodes.get_mut(next as usize) {
            Some(n) => n.prev_event = prev,
            None => self.events.tail = prev,
        }
    }
}

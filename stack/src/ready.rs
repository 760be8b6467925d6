//! Whose turn it is: ready lists, waiting lists, events and deadlines of everything that can have a turn.
//!
//! Each connection, listener, datagram socket and neighbour has a node. A node is on at most one list at a time: the
//! ready list of one interface, or the list of those that wait for one neighbour. With many sockets the lists are linked
//! (`ready/linked.rs`); few nodes are looked through (`ready/few.rs`).

#[cfg(not(feature = "many-sockets"))]
mod few;
#[cfg(feature = "many-sockets")]
mod linked;

#[cfg(not(feature = "many-sockets"))]
pub(crate) use few::{List, Node, Scheduler};
#[cfg(feature = "many-sockets")]
pub(crate) use linked::{List, Node, Scheduler};

/// A node's number.
pub(crate) type NodeId = u32;

/// What a node stands for. None of them is zero, so that none at all is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Key {
    #[cfg(feature = "tcp")]
    Tcp(u32) = 1,
    #[cfg(feature = "tcp")]
    Listener(u32) = 2,
    #[cfg(feature = "time-wait")]
    TimeWait = 3,
    #[cfg(feature = "udp")]
    Udp(u32) = 4,
    #[cfg(feature = "raw")]
    Raw(u32) = 5,
    #[cfg(feature = "icmp")]
    Icmp(u32) = 6,
    Neighbor(u32) = 7,
    #[cfg(feature = "reassembly")]
    Reassembly = 8,
    #[cfg(feature = "acd")]
    Acd = 9,
    #[cfg(feature = "forward")]
    Transit = 10,
    #[cfg(feature = "raw-ethernet")]
    Ethernet(u32) = 12,
}

/// Says that somebody waits for a neighbour. The list itself hangs on the neighbour's node; somebody who has left it
/// meanwhile may still be counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WaitList {
    any: bool,
}

impl WaitList {
    pub const fn new() -> Self {
        Self { any: false }
    }

    pub const fn is_empty(&self) -> bool {
        !self.any
    }
}

#[cfg(all(test, feature = "alloc", feature = "tcp", feature = "udp"))]
mod tests;

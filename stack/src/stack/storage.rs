//! Where a stack keeps its tables: in a `static`, or, with `alloc`, in vectors that grow to a stated limit.

#[cfg(feature = "icmp")]
use crate::icmp::echo::Echo;
#[cfg(feature = "reassembly")]
use crate::ip::reassembly::ReassemblySlot;
use crate::ip::route::RouteSlot;
use crate::link::neighbor::NeighborSlot;
use crate::ready::Scheduler;
use crate::sockets::arena::Arena;
use crate::sockets::demux::Demux;
#[cfg(feature = "raw-ethernet")]
use crate::sockets::ethernet::Ethernet;
use crate::sockets::queue::Pair;
#[cfg(feature = "raw")]
use crate::sockets::raw::Raw;
use crate::sockets::table::Slab;
#[cfg(feature = "udp")]
use crate::sockets::udp::Udp;
#[cfg(feature = "interfaces")]
use crate::stack::Iface;
#[cfg(feature = "tcp")]
use crate::tcp::layer::TcpParts;
use managed::ManagedSlice;

mod fixed;

pub use fixed::StaticStorage;

/// All tables of a stack: made from a [`StaticStorage`], or with [`Storage::growing`].
pub struct Storage<'a> {
    #[cfg(feature = "interfaces")]
    pub(crate) ifaces: ManagedSlice<'a, Option<Iface<'a>>>,
    pub(crate) routes: ManagedSlice<'a, RouteSlot>,
    pub(crate) route_limit: usize,
    pub(crate) neighbors: ManagedSlice<'a, NeighborSlot>,
    #[cfg(feature = "nud")]
    pub(crate) neighbor_index: Demux<'a>,
    pub(crate) neighbor_limit: usize,
    #[cfg(feature = "reassembly")]
    pub(crate) reassembly: ManagedSlice<'a, ReassemblySlot<'a>>,
    pub(crate) sched: Scheduler<'a>,
    pub(crate) queues: Arena<'a, Pair<'a>>,
    #[cfg(feature = "tcp")]
    pub(crate) tcp: TcpParts<'a>,
    #[cfg(feature = "udp")]
    pub(crate) udp: Slab<'a, Udp<'a>>,
    #[cfg(feature = "udp")]
    pub(crate) udp_bindings: Demux<'a>,
    #[cfg(feature = "raw-ethernet")]
    pub(crate) ethernet: Slab<'a, Ethernet<'a>>,
    #[cfg(feature = "raw-ethernet")]
    pub(crate) ethernet_bindings: Demux<'a>,
    #[cfg(feature = "raw")]
    pub(crate) raw: Slab<'a, Raw<'a>>,
    #[cfg(feature = "raw")]
    pub(crate) raw_bindings: Demux<'a>,
    #[cfg(feature = "icmp")]
    pub(crate) echo: Slab<'a, Echo<'a>>,
    #[cfg(feature = "icmp")]
    pub(crate) echo_bindings: Demux<'a>,
}

/// How far the tables of a growing stack may grow. Nothing is allocated before it is needed.
#[cfg(feature = "alloc")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// TCP connections.
    pub tcp: usize,
    /// TCP listeners.
    pub listeners: usize,
    /// Connections in TIME-WAIT.
    pub time_wait: usize,
    /// UDP sockets.
    pub udp: usize,
    /// Raw IP sockets, and as many raw Ethernet sockets.
    pub raw: usize,
    /// Echo sockets.
    pub echo: usize,
    /// Neighbours.
    pub neighbors: usize,
    /// Routes.
    pub routes: usize,
    /// Datagrams being reassembled.
    pub reassembly: usize,
}

#[cfg(feature = "alloc")]
impl Default for Limits {
    fn default() -> Self {
        Self {
            tcp: 16_384,
            listeners: 256,
            time_wait: 16_384,
            udp: 4_096,
            raw: 64,
            echo: 256,
            neighbors: 1_024,
            routes: 256,
            reassembly: 16,
        }
    }
}

#[cfg(feature = "alloc")]
impl Storage<'_> {
    /// Tables that grow as they are used, up to `limits`.
    pub fn growing(limits: Limits) -> Self {
        let l = limits;
        // TIME-WAIT, reassembly and address conflict detection and IGMP have one node each.
        let nodes = l.tcp + l.listeners + l.udp + 2 * l.raw + l.echo + l.neighbors + 4;
        Self {
            #[cfg(feature = "interfaces")]
            ifaces: owned(),
            routes: owned(),
            route_limit: l.routes,
            neighbors: owned(),
            #[cfg(feature = "nud")]
            neighbor_index: Demux::new(owned()),
            neighbor_limit: l.neighbors,
            #[cfg(feature = "reassembly")]
            reassembly: ManagedSlice::Owned((0..l.reassembly).map(|_| ReassemblySlot::new()).collect()),
            sched: Scheduler::new(owned(), owned(), owned(), nodes),
            queues: Arena::growing(),
            #[cfg(feature = "tcp")]
            tcp: TcpParts::growing(l.tcp, l.listeners, l.time_wait),
            #[cfg(feature = "udp")]
            udp: Slab::new(owned(), l.udp),
            #[cfg(feature = "udp")]
            udp_bindings: Demux::new(owned()),
            #[cfg(feature = "raw-ethernet")]
            ethernet: Slab::new(owned(), l.raw),
            #[cfg(feature = "raw-ethernet")]
            ethernet_bindings: Demux::new(owned()),
            #[cfg(feature = "raw")]
            raw: Slab::new(owned(), l.raw),
            #[cfg(feature = "raw")]
            raw_bindings: Demux::new(owned()),
            #[cfg(feature = "icmp")]
            echo: Slab::new(owned(), l.echo),
            #[cfg(feature = "icmp")]
            echo_bindings: Demux::new(owned()),
        }
    }
}

#[cfg(feature = "alloc")]
fn owned<'a, T>() -> ManagedSlice<'a, T> {
    ManagedSlice::Owned(alloc::vec::Vec::new())
}

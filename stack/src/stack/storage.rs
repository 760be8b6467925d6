//! Where a stack keeps its tables: in a `static`, or, with `alloc`, in vectors that grow to a stated limit.

use crate::deadline::DeadlineSlot;
use crate::icmp::echo::Echo;
#[cfg(feature = "reassembly")]
use crate::ip::reassembly::ReassemblySlot;
use crate::ip::route::RouteSlot;
use crate::link::neighbor::NeighborSlot;
use crate::ready::{List, Node, Scheduler};
use crate::sockets::arena::Arena;
use crate::sockets::demux::{Demux, Slot};
use crate::sockets::queue::Place as QueuePlace;
use crate::sockets::raw::Raw;
use crate::sockets::table::{Place, Slab};
use crate::sockets::udp::Udp;
use crate::stack::Iface;
use crate::tcp::layer::{Entry, ListenEntry, TcpParts};
use crate::tcp::listen::SynSlot;
use crate::tcp::sent::Sent;
use crate::tcp::timewait::{TimeWaitSlot, TimeWaitTable};
use managed::ManagedSlice;

/// All tables of a stack: made from a [`StaticStorage`], or with [`Storage::growing`].
pub struct Storage<'a> {
    pub(crate) ifaces: ManagedSlice<'a, Option<Iface<'a>>>,
    pub(crate) routes: ManagedSlice<'a, RouteSlot>,
    pub(crate) route_limit: usize,
    pub(crate) neighbors: ManagedSlice<'a, NeighborSlot>,
    pub(crate) neighbor_limit: usize,
    #[cfg(feature = "reassembly")]
    pub(crate) reassembly: ManagedSlice<'a, ReassemblySlot<'a>>,
    pub(crate) sched: Scheduler<'a>,
    pub(crate) queues: Arena<'a, QueuePlace<'a>>,
    pub(crate) tcp: TcpParts<'a>,
    pub(crate) udp: Slab<'a, Udp<'a>>,
    pub(crate) udp_bindings: Demux<'a>,
    pub(crate) raw: Slab<'a, Raw<'a>>,
    pub(crate) raw_bindings: Demux<'a>,
    pub(crate) echo: Slab<'a, Echo<'a>>,
    pub(crate) echo_bindings: Demux<'a>,
}

/// How far the tables of a growing stack may grow. Nothing is allocated before it is needed.
#[cfg(feature = "alloc")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// TCP connections.
    pub tcp: usize,
    /// TCP listeners.
    pub listeners: usize,
    /// Connections in TIME-WAIT.
    pub time_wait: usize,
    /// UDP sockets.
    pub udp: usize,
    /// Raw sockets.
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
        // TIME-WAIT and reassembly have one node each.
        let nodes = l.tcp + l.listeners + l.udp + l.raw + l.echo + l.neighbors + 2;
        Self {
            ifaces: owned(),
            routes: owned(),
            route_limit: l.routes,
            neighbors: owned(),
            neighbor_limit: l.neighbors,
            #[cfg(feature = "reassembly")]
            reassembly: ManagedSlice::Owned((0..l.reassembly).map(|_| ReassemblySlot::new()).collect()),
            sched: Scheduler::new(owned(), owned(), owned(), nodes),
            queues: Arena::owned(),
            tcp: TcpParts {
                conns: Slab::new(owned(), l.tcp),
                listeners: Slab::new(owned(), l.listeners),
                time_waits: TimeWaitTable::new(owned(), l.time_wait),
                demux: Demux::new(owned()),
                bindings: Demux::new(owned()),
                bytes: Arena::owned(),
                records: Arena::owned(),
                ranges: Arena::owned(),
                syns: Arena::owned(),
            },
            udp: Slab::new(owned(), l.udp),
            udp_bindings: Demux::new(owned()),
            raw: Slab::new(owned(), l.raw),
            raw_bindings: Demux::new(owned()),
            echo: Slab::new(owned(), l.echo),
            echo_bindings: Demux::new(owned()),
        }
    }
}

#[cfg(feature = "alloc")]
fn owned<'a, T>() -> ManagedSlice<'a, T> {
    ManagedSlice::Owned(alloc::vec::Vec::new())
}

const LISTENERS: usize = 4;
const SYNS: usize = 8;
const NEIGHBORS: usize = 8;
const ROUTES: usize = 8;
const IFACES: usize = 2;
const REASSEMBLY: usize = 2;
const QUEUE: usize = 4;
const RECORDS: usize = 16;
const RANGES: usize = 4;
/// Raw and echo sockets, one each.
const OTHERS: usize = 1;

/// Nodes besides those of connections and UDP sockets.
const NODES: usize = LISTENERS + NEIGHBORS + 2 * OTHERS + 2;

/// Fixed tables, for a `static`: `TCP` connections with a receive buffer of `RX` and a send buffer of `TX` octets each,
/// and `UDP` sockets. `NODES` is at least `TCP + UDP + 16`.
///
/// Besides, there is room for 2 interfaces, 4 listeners (8 handshakes each), 8 neighbours, 8 routes, and one raw and one
/// echo socket.
pub struct StaticStorage<'a, const TCP: usize, const UDP: usize, const RX: usize, const TX: usize, const TOTAL: usize> {
    ifaces: [Option<Iface<'a>>; IFACES],
    routes: [RouteSlot; ROUTES],
    neighbors: [NeighborSlot; NEIGHBORS],
    #[cfg(feature = "reassembly")]
    reassembly: [ReassemblySlot<'a>; REASSEMBLY],
    nodes: [Node; TOTAL],
    ready: [List; IFACES],
    deadlines: [DeadlineSlot; TOTAL],
    conns: [Place<Entry<'a>>; TCP],
    listeners: [Place<ListenEntry<'a>>; LISTENERS],
    time_waits: [TimeWaitSlot; TCP],
    // Connections and their TIME-WAITs, at most half full.
    demux: [[Slot; 4]; TCP],
    bindings: [Slot; 2 * LISTENERS],
    rx: [[u8; RX]; TCP],
    tx: [[u8; TX]; TCP],
    bytes: [[Option<&'a mut [u8]>; 2]; TCP],
    record: [[Sent; RECORDS]; TCP],
    records: [Option<&'a mut [Sent]>; TCP],
    range: [[(u32, u32); RANGES]; TCP],
    ranges: [Option<&'a mut [(u32, u32)]>; TCP],
    syn: [[SynSlot; SYNS]; LISTENERS],
    syns: [Option<&'a mut [SynSlot]>; LISTENERS],
    udp: [Place<Udp<'a>>; UDP],
    udp_bindings: [[Slot; 4]; UDP],
    raw: [Place<Raw<'a>>; OTHERS],
    echo: [Place<Echo<'a>>; OTHERS],
    other_bindings: [[Slot; 2]; 2],
    queue: [[[QueuePlace<'a>; QUEUE]; 2]; UDP],
    queues: [[Option<&'a mut [QueuePlace<'a>]>; 2]; UDP],
}

impl<'a, const TCP: usize, const UDP: usize, const RX: usize, const TX: usize, const TOTAL: usize>
    StaticStorage<'a, TCP, UDP, RX, TX, TOTAL>
{
    /// Empty tables.
    pub const fn new() -> Self {
        const { assert!(TOTAL >= TCP + UDP + NODES, "NODES must be at least TCP + UDP + 16") };
        Self {
            ifaces: [const { None }; IFACES],
            routes: [None; ROUTES],
            neighbors: [const { NeighborSlot::new() }; NEIGHBORS],
            #[cfg(feature = "reassembly")]
            reassembly: [const { ReassemblySlot::new() }; REASSEMBLY],
            nodes: [const { Node::new() }; TOTAL],
            ready: [const { List::new() }; IFACES],
            deadlines: [const { DeadlineSlot::new() }; TOTAL],
            conns: [const { Place::new() }; TCP],
            listeners: [const { Place::new() }; LISTENERS],
            time_waits: [const { TimeWaitSlot::new() }; TCP],
            demux: [[const { Slot::new() }; 4]; TCP],
            bindings: [const { Slot::new() }; 2 * LISTENERS],
            rx: [[0; RX]; TCP],
            tx: [[0; TX]; TCP],
            bytes: [const { [const { None }; 2] }; TCP],
            record: [[const { Sent::new() }; RECORDS]; TCP],
            records: [const { None }; TCP],
            range: [[(0, 0); RANGES]; TCP],
            ranges: [const { None }; TCP],
            syn: [const { [const { SynSlot::new() }; SYNS] }; LISTENERS],
            syns: [const { None }; LISTENERS],
            udp: [const { Place::new() }; UDP],
            udp_bindings: [[const { Slot::new() }; 4]; UDP],
            raw: [const { Place::new() }; OTHERS],
            echo: [const { Place::new() }; OTHERS],
            other_bindings: [[const { Slot::new() }; 2]; 2],
            queue: [const { [const { [const { None }; QUEUE] }; 2] }; UDP],
            queues: [const { [const { None }; 2] }; UDP],
        }
    }
}

impl<const TCP: usize, const UDP: usize, const RX: usize, const TX: usize, const TOTAL: usize> Default
    for StaticStorage<'_, TCP, UDP, RX, TX, TOTAL>
{
    fn default() -> Self {
        Self::new()
    }
}

/// Puts each buffer in a place of the stock.
fn stock<'a, T>(buffers: impl Iterator<Item = &'a mut [T]>, places: &mut [Option<&'a mut [T]>]) {
    for (buffer, place) in buffers.zip(places) {
        *place = Some(buffer);
    }
}

impl<'a, const TCP: usize, const UDP: usize, const RX: usize, const TX: usize, const TOTAL: usize>
    From<&'a mut StaticStorage<'a, TCP, UDP, RX, TX, TOTAL>> for Storage<'a>
{
    fn from(s: &'a mut StaticStorage<'a, TCP, UDP, RX, TX, TOTAL>) -> Self {
        let bytes = s.bytes.as_flattened_mut();
        stock(s.rx.iter_mut().map(|b| &mut b[..]).chain(s.tx.iter_mut().map(|b| &mut b[..])), bytes);
        stock(s.record.iter_mut().map(|b| &mut b[..]), &mut s.records);
        stock(s.range.iter_mut().map(|b| &mut b[..]), &mut s.ranges);
        stock(s.syn.iter_mut().map(|b| &mut b[..]), &mut s.syns);
        let queues = s.queues.as_flattened_mut();
        stock(s.queue.as_flattened_mut().iter_mut().map(|b| &mut b[..]), queues);
        let [raw_bindings, echo_bindings] = &mut s.other_bindings;
        let all = usize::MAX;
        Self {
            ifaces: borrowed(&mut s.ifaces),
            routes: borrowed(&mut s.routes),
            route_limit: all,
            neighbors: borrowed(&mut s.neighbors),
            neighbor_limit: all,
            #[cfg(feature = "reassembly")]
            reassembly: borrowed(&mut s.reassembly),
            sched: Scheduler::new(borrowed(&mut s.nodes), borrowed(&mut s.ready), borrowed(&mut s.deadlines), all),
            queues: Arena::borrowed(queues),
            tcp: TcpParts {
                conns: Slab::new(borrowed(&mut s.conns), all),
                listeners: Slab::new(borrowed(&mut s.listeners), all),
                time_waits: TimeWaitTable::new(borrowed(&mut s.time_waits), all),
                demux: Demux::new(borrowed(s.demux.as_flattened_mut())),
                bindings: Demux::new(borrowed(&mut s.bindings)),
                bytes: Arena::borrowed(bytes),
                records: Arena::borrowed(&mut s.records),
                ranges: Arena::borrowed(&mut s.ranges),
                syns: Arena::borrowed(&mut s.syns),
            },
            udp: Slab::new(borrowed(&mut s.udp), all),
            udp_bindings: Demux::new(borrowed(s.udp_bindings.as_flattened_mut())),
            raw: Slab::new(borrowed(&mut s.raw), all),
            raw_bindings: Demux::new(borrowed(raw_bindings)),
            echo: Slab::new(borrowed(&mut s.echo), all),
            echo_bindings: Demux::new(borrowed(echo_bindings)),
        }
    }
}

fn borrowed<'a, T>(slice: &'a mut [T]) -> ManagedSlice<'a, T> {
    ManagedSlice::Borrowed(slice)
}

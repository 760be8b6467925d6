//! Fixed tables, for a `static`.

use super::Storage;
use crate::deadline::DeadlineSlot;
#[cfg(feature = "icmp")]
use crate::icmp::echo::Echo;
#[cfg(feature = "reassembly")]
use crate::ip::reassembly::ReassemblySlot;
use crate::ip::route::RouteSlot;
use crate::link::neighbor::NeighborSlot;
use crate::ready::{List, Node, Scheduler};
use crate::sockets::arena::Arena;
use crate::sockets::demux::{Demux, Slot};
#[cfg(feature = "raw-ethernet")]
use crate::sockets::ethernet::Ethernet;
use crate::sockets::queue::{Pair, Place as QueuePlace};
#[cfg(feature = "raw")]
use crate::sockets::raw::Raw;
use crate::sockets::table::{Place, Slab};
#[cfg(feature = "udp")]
use crate::sockets::udp::Udp;
#[cfg(feature = "interfaces")]
use crate::stack::Iface;
#[cfg(feature = "tcp")]
use crate::tcp::fixed::FixedTcp;
use managed::ManagedSlice::Borrowed;

const LISTENERS: usize = 4;
const NEIGHBORS: usize = 8;
const ROUTES: usize = if cfg!(feature = "routes") { 8 } else { 0 };
const IFACES: usize = if cfg!(feature = "interfaces") { 2 } else { 1 };
#[cfg(feature = "reassembly")]
const REASSEMBLY: usize = 2;
/// Datagrams per queue.
const QUEUE: usize = 4;
/// Raw and echo sockets, one each, and a raw Ethernet socket.
const OTHERS: usize =
    cfg!(feature = "raw") as usize + cfg!(feature = "icmp") as usize + cfg!(feature = "raw-ethernet") as usize;
/// Nodes besides those of connections and UDP sockets; TIME-WAIT and reassembly have one each, as have raw and echo
/// sockets. The number is the same with all features: what more they want, a program brings.
const NODES: usize = LISTENERS + NEIGHBORS + 2 + 2;

/// A queue's places each way.
type QueuePair<'a> = [[QueuePlace<'a>; QUEUE]; 2];

/// Fixed tables, for a `static`: `TCP` connections with a receive buffer of `RX` and a send buffer of `TX` octets each,
/// and `UDP` sockets with queues of 4 datagrams each way. `NODES` is at least `TCP + UDP + 16`; less does not compile.
///
/// Besides, there is room for 2 interfaces (one without the feature `interfaces`), 4 listeners (8 handshakes each), 8 neighbours, 8 routes, 2 datagrams being
/// reassembled, and one raw, one echo and one raw Ethernet socket.
///
/// ```
/// use ringtap::config::Config;
/// use ringtap::rng::Secret;
/// use ringtap::stack::{Stack, StaticStorage};
///
/// // In firmware this is a `static` behind a `StaticCell`; here it is leaked to live as long.
/// let storage: &'static mut StaticStorage<'static, 4, 2, 2048, 2048, 22> = Box::leak(Box::new(StaticStorage::new()));
/// let stack = Stack::new(Config::new(Secret::new([7; 16])), storage);
/// ```
pub struct StaticStorage<'a, const TCP: usize, const UDP: usize, const RX: usize, const TX: usize, const NODES: usize> {
    #[cfg(feature = "interfaces")]
    ifaces: [Option<Iface<'a>>; IFACES],
    routes: [RouteSlot; ROUTES],
    neighbors: [NeighborSlot; NEIGHBORS],
    #[cfg(feature = "nud")]
    neighbor_index: [Slot; 2 * NEIGHBORS],
    #[cfg(feature = "reassembly")]
    reassembly: [ReassemblySlot<'a>; REASSEMBLY],
    nodes: [Node; NODES],
    ready: [List; IFACES],
    deadlines: [DeadlineSlot; NODES],
    #[cfg(feature = "tcp")]
    tcp: FixedTcp<'a, TCP, LISTENERS, RX, TX>,
    #[cfg(feature = "udp")]
    udp: FixedUdp<'a, UDP>,
    #[cfg(feature = "raw-ethernet")]
    ethernet: ([Place<Ethernet<'a>>; 1], [Slot; 2]),
    #[cfg(feature = "raw")]
    raw: ([Place<Raw<'a>>; 1], [Slot; 2]),
    #[cfg(feature = "icmp")]
    echo: ([Place<Echo<'a>>; 1], [Slot; 2]),
    queue: ([QueuePair<'a>; UDP], [QueuePair<'a>; OTHERS]),
    queues: Stock<'a, UDP>,
}

/// Where free queues are kept: those of UDP sockets, then those of the others.
struct Stock<'a, const UDP: usize> {
    // One pair for each UDP socket, and with one socket already room for those of the others.
    pairs: [[Option<Pair<'a>>; 1 + OTHERS]; UDP],
    others: [Option<Pair<'a>>; OTHERS],
}

#[cfg(feature = "udp")]
struct FixedUdp<'a, const UDP: usize> {
    sockets: [Place<Udp<'a>>; UDP],
    // At most half full.
    bindings: [[Slot; 4]; UDP],
}

impl<'a, const TCP: usize, const UDP: usize, const RX: usize, const TX: usize, const N: usize>
    StaticStorage<'a, TCP, UDP, RX, TX, N>
{
    /// Empty tables.
    pub const fn new() -> Self {
        const { assert!(N >= TCP + UDP + NODES, "NODES must be at least TCP + UDP + 16") };
        Self {
            #[cfg(feature = "interfaces")]
            ifaces: [const { None }; IFACES],
            routes: [RouteSlot::new(); ROUTES],
            neighbors: [const { NeighborSlot::new() }; NEIGHBORS],
            #[cfg(feature = "nud")]
            neighbor_index: [const { Slot::new() }; 2 * NEIGHBORS],
            #[cfg(feature = "reassembly")]
            reassembly: [const { ReassemblySlot::new() }; REASSEMBLY],
            nodes: [const { Node::blank() }; N],
            ready: [const { List::blank() }; IFACES],
            deadlines: [const { DeadlineSlot::new() }; N],
            #[cfg(feature = "tcp")]
            tcp: FixedTcp::new(),
            #[cfg(feature = "udp")]
            udp: FixedUdp { sockets: [const { Place::new() }; UDP], bindings: [[const { Slot::new() }; 4]; UDP] },
            #[cfg(feature = "raw-ethernet")]
            ethernet: ([const { Place::new() }], [const { Slot::new() }; 2]),
            #[cfg(feature = "raw")]
            raw: ([const { Place::new() }], [const { Slot::new() }; 2]),
            #[cfg(feature = "icmp")]
            echo: ([const { Place::new() }], [const { Slot::new() }; 2]),
            queue: (
                [const { [const { [const { None }; QUEUE] }; 2] }; UDP],
                [const { [const { [const { None }; QUEUE] }; 2] }; OTHERS],
            ),
            queues: Stock { pairs: [const { [const { None }; 1 + OTHERS] }; UDP], others: [const { None }; OTHERS] },
        }
    }
}

impl<const TCP: usize, const UDP: usize, const RX: usize, const TX: usize, const N: usize> Default
    for StaticStorage<'_, TCP, UDP, RX, TX, N>
{
    fn default() -> Self {
        Self::new()
    }
}

impl<'a, const TCP: usize, const UDP: usize, const RX: usize, const TX: usize, const N: usize>
    From<&'a mut StaticStorage<'a, TCP, UDP, RX, TX, N>> for Storage<'a>
{
    fn from(s: &'a mut StaticStorage<'a, TCP, UDP, RX, TX, N>) -> Self {
        // Places of the stock for the queues of UDP sockets, and for the others, which go behind.
        let stock = s.queues.pairs.as_flattened_mut();
        let queues = s.queue.0.iter_mut().chain(&mut s.queue.1);
        for (place, [rx, tx]) in stock.iter_mut().chain(&mut s.queues.others).zip(queues) {
            *place = Some([Borrowed(rx), Borrowed(tx)]);
        }
        let stock = if stock.is_empty() { &mut s.queues.others[..] } else { stock };
        let all = usize::MAX;
        Self {
            #[cfg(feature = "interfaces")]
            ifaces: Borrowed(&mut s.ifaces),
            routes: Borrowed(&mut s.routes),
            route_limit: all,
            neighbors: Borrowed(&mut s.neighbors),
            #[cfg(feature = "nud")]
            neighbor_index: Demux::new(Borrowed(&mut s.neighbor_index)),
            neighbor_limit: all,
            #[cfg(feature = "reassembly")]
            reassembly: Borrowed(&mut s.reassembly),
            sched: Scheduler::new(Borrowed(&mut s.nodes), Borrowed(&mut s.ready), Borrowed(&mut s.deadlines), all),
            queues: Arena::fixed(stock),
            #[cfg(feature = "tcp")]
            tcp: s.tcp.parts(),
            #[cfg(feature = "udp")]
            udp: Slab::new(Borrowed(&mut s.udp.sockets), all),
            #[cfg(feature = "udp")]
            udp_bindings: Demux::new(Borrowed(s.udp.bindings.as_flattened_mut())),
            #[cfg(feature = "raw-ethernet")]
            ethernet: Slab::new(Borrowed(&mut s.ethernet.0), all),
            #[cfg(feature = "raw-ethernet")]
            ethernet_bindings: Demux::new(Borrowed(&mut s.ethernet.1)),
            #[cfg(feature = "raw")]
            raw: Slab::new(Borrowed(&mut s.raw.0), all),
            #[cfg(feature = "raw")]
            raw_bindings: Demux::new(Borrowed(&mut s.raw.1)),
            #[cfg(feature = "icmp")]
            echo: Slab::new(Borrowed(&mut s.echo.0), all),
            #[cfg(feature = "icmp")]
            echo_bindings: Demux::new(Borrowed(&mut s.echo.1)),
        }
    }
}

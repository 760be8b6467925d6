//! All of TCP's tables: connections, listeners, TIME-WAIT, and how a segment finds its place in them.

use super::conn::{Buffers, Conn, Storage};
use super::listen::Listener;
use super::options::TcpOptions;
use super::state::State;
#[cfg(feature = "time-wait")]
use super::timewait::TimeWaitTable;
use crate::event::{Readiness, Wakers};
use crate::family::IpAddr;
use crate::ip::addr::is_unicast_host;
use crate::ip::route::IfaceId;
use crate::ready::{NodeId, Scheduler};
use crate::ring::Ring;
use crate::rng::{Key, Purpose, Secret};
use crate::sockets::arena::Arena;
use crate::sockets::binding::{Bindings, Kind};
use crate::sockets::demux::{Demux, Target, Tuple};
use crate::sockets::ports::Ports;
use crate::sockets::table::{Handle, Slab};
use core::net::IpAddr as AnyAddr;

/// Names a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TcpHandle(pub(crate) Handle);

/// Names a TCP listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ListenerHandle(pub(crate) Handle);

/// Settings of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    /// Connections that may wait to be accepted, and handshakes that may be under way, at most. When the queue is full,
    /// the last ACK of a further handshake is passed over, so that the peer tries again; no connection is reset.
    pub backlog: usize,
    /// Settings of the connections.
    pub tcp: TcpOptions,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self { backlog: 16, tcp: TcpOptions::default() }
    }
}

/// Settings of a connection to be opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectOptions {
    /// The local address; `None` or unspecified: the one that suits the route.
    pub local: Option<AnyAddr>,
    /// The local port; 0: an ephemeral one.
    pub local_port: u16,
    /// Which kind of address it is from, where `local` names none (RFC 6724, rule 7).
    #[cfg(feature = "temporary-addresses")]
    pub source: crate::ip::temporary::SourcePreference,
    /// Settings of the connection.
    pub tcp: TcpOptions,
}

/// Who will free a connection's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A user with a handle.
    User,
    /// Nobody yet: its handshake is not complete. The listener's index.
    Handshake(u32),
    /// It waits in this listener's accept queue.
    Queue(u32),
    /// The user has closed it; it delivers what is left, and frees itself.
    Nobody,
}

/// The way of a connection's last segment: good while the routes are as they were and the neighbour is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Neighbor {
    /// Its place in the neighbour table; `None` where the medium has no addresses.
    pub place: Option<u32>,
    pub iface: IfaceId,
    /// The next hop.
    pub addr: IpAddr,
    /// The generation of the route table.
    pub routes: u32,
}

/// A connection in its table.
// As in `Conn`: what is used most comes first on small processors.
#[cfg_attr(target_os = "none", repr(C))]
pub(crate) struct Entry<'a> {
    pub conn: Conn<'a>,
    pub node: NodeId,
    pub hash: u32,
    /// The interface that its segments leave by, as far as known.
    pub iface: IfaceId,
    /// The way that they went last.
    pub neighbor: Option<Neighbor>,
    pub owner: Owner,
    /// Whether segments find it.
    pub linked: bool,
    /// Octets of its text beyond holes, as counted last in [`TcpLayer::beyond`].
    #[cfg(feature = "tuning")]
    pub beyond: usize,
    /// A call or a timer came since the last turn, so that the next one begins with `Conn::prepare`.
    pub called: bool,
    /// Segments that it has sent before their turn: others pass so often.
    #[cfg(feature = "gso")]
    pub ahead: u16,
    pub wakers: Wakers,
}

impl Entry<'_> {
    /// Whether nobody has it or waits for it: it may go when its place is wanted.
    #[cfg(not(all(feature = "syn-queue", feature = "time-wait")))]
    pub fn is_dispensable(&self) -> bool {
        match self.owner {
            Owner::Nobody => self.conn.state() == State::TimeWait,
            Owner::Handshake(_) => self.conn.is_unanswered(),
            _ => false,
        }
    }

    /// Takes the connection's timer and its events into the scheduler.
    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    pub fn schedule(&self, sched: &mut Scheduler<'_>, events: Readiness) {
        sched.arm(self.node, self.conn.deadline());
        if !events.is_none() {
            sched.post(self.node, events);
        }
    }
}

/// A listener in its table.
pub(crate) struct ListenEntry<'a> {
    pub listener: Listener<'a>,
    pub node: NodeId,
    pub local: Option<IpAddr>,
    pub port: u16,
    pub options: ListenOptions,
    pub wakers: Wakers,
}

/// Whether a SYN may begin a connection of these ends.
pub(crate) fn is_between_hosts(tuple: &Tuple) -> bool {
    //= https://www.rfc-editor.org/rfc/rfc9293#section-3.9.2.3
    //# A TCP implementation MUST silently discard an incoming SYN segment that is addressed to a broadcast or
    //# multicast address (MUST-57).
    // Loopback addresses come from inside only: on a wire they are martians.
    let is_host = |addr: IpAddr| is_unicast_host(addr) || (cfg!(feature = "loopback") && addr.is_loopback());
    is_host(tuple.local_addr) && is_host(tuple.remote_addr) && !is_self(tuple)
}

/// Whether a connection would be to itself.
pub(crate) fn is_self(tuple: &Tuple) -> bool {
    tuple.local_addr == tuple.remote_addr && tuple.local_port == tuple.remote_port
}

/// The tables.
pub(crate) struct TcpLayer<'a> {
    pub conns: Slab<'a, Entry<'a>>,
    pub listeners: Slab<'a, ListenEntry<'a>>,
    #[cfg(feature = "time-wait")]
    pub time_waits: TimeWaitTable<'a>,
    #[cfg(feature = "time-wait")]
    pub time_wait_node: Option<NodeId>,
    pub demux: Demux<'a>,
    /// Connections that nobody owns and that still deliver.
    pub orphans: usize,
    /// Octets of text beyond holes, in memory that grows; never less than there are.
    #[cfg(feature = "tuning")]
    pub beyond: usize,
    /// The connection that was looked at last for such text.
    #[cfg(feature = "tuning")]
    pub hand: u32,
    /// The connection that the last segment was for.
    pub last: u32,
    pub bindings: Bindings<'a>,
    /// What initial sequence numbers and timestamp offsets are made with.
    pub isn_key: Key,
    pub ports: Ports,
    #[cfg(feature = "many-sockets")]
    pub key: Key,
    /// The memory of connections' buffers.
    pub buffers: Arena<'a, Storage<'a>>,
    /// Octets of a receive buffer, at most.
    pub rx_most: usize,
    #[cfg(feature = "syn-queue")]
    /// Storage of listeners' SYN queues and accept queues.
    pub syns: Arena<'a, managed::ManagedSlice<'a, super::listen::SynSlot>>,
}

/// What a `TcpLayer` is made from.
pub(crate) struct TcpParts<'a> {
    pub conns: Slab<'a, Entry<'a>>,
    pub listeners: Slab<'a, ListenEntry<'a>>,
    #[cfg(feature = "time-wait")]
    pub time_waits: TimeWaitTable<'a>,
    pub demux: Demux<'a>,
    pub bindings: Demux<'a>,
    pub buffers: Arena<'a, Storage<'a>>,
    pub rx_most: usize,
    #[cfg(feature = "syn-queue")]
    pub syns: Arena<'a, managed::ManagedSlice<'a, super::listen::SynSlot>>,
}

impl<'a> TcpParts<'a> {
    pub fn build(self, secret: &Secret) -> TcpLayer<'a> {
        TcpLayer {
            conns: self.conns,
            listeners: self.listeners,
            #[cfg(feature = "time-wait")]
            time_waits: self.time_waits,
            #[cfg(feature = "time-wait")]
            time_wait_node: None,
            demux: self.demux,
            orphans: 0,
            #[cfg(feature = "tuning")]
            beyond: 0,
            #[cfg(feature = "tuning")]
            hand: 0,
            last: 0,
            bindings: Bindings::new(self.bindings, secret, Kind::TcpListener),
            isn_key: secret.key(Purpose::Isn),
            ports: Ports::new(secret),
            #[cfg(feature = "many-sockets")]
            key: secret.key(Purpose::Demux),
            buffers: self.buffers,
            rx_most: self.rx_most,
            #[cfg(feature = "syn-queue")]
            syns: self.syns,
        }
    }
}

impl<'a> TcpLayer<'a> {
    #[cfg(feature = "many-sockets")]
    pub fn hash(&self, tuple: &Tuple) -> u32 {
        tuple.hash(&self.key)
    }

    /// Without the feature `many-sockets` nothing is found by hash.
    #[cfg(not(feature = "many-sockets"))]
    pub fn hash(&self, _: &Tuple) -> u32 {
        0
    }

    /// The connection that the last segment was for, if it is the one between these ends, by way of `iface`: segments
    /// come in trains, and all but the first are spared the table.
    #[inline]
    pub fn find_again(&self, iface: IfaceId, local: (IpAddr, u16), remote: (IpAddr, u16)) -> Option<u32> {
        // Where connections are looked through, this would be one look more.
        if !cfg!(feature = "many-sockets") {
            return None;
        }
        let entry = self.conns.at(self.last)?;
        let is_it = entry.conn.is_between(local, remote) && entry.iface == iface && entry.linked;
        // A SYN may succeed one that rests.
        let is_it = is_it && (cfg!(feature = "time-wait") || entry.conn.state() != State::TimeWait);
        is_it.then_some(self.last)
    }

    /// What a segment of this 4-tuple belongs to, a listener aside.
    pub fn find(&self, hash: u32, tuple: &Tuple) -> Option<Target> {
        let found = self.demux.find(hash, |value| match Target::unpack(value) {
            Target::Conn(index) => self.conns.at(index).is_some_and(|e| e.linked && e.conn.tuple() == *tuple),
            #[cfg(feature = "time-wait")]
            Target::TimeWait(index) => self.time_waits.tuple(index).is_some_and(|t| t == *tuple),
        });
        found.map(Target::unpack)
    }

    /// The listener for a connection to `tuple`'s local end: bound to the address before bound to any.
    pub fn find_listener(&self, tuple: &Tuple) -> Option<u32> {
        self.bindings.best(tuple.local_port, |index| match self.listeners.at(index) {
            Some(l) if l.port == tuple.local_port && l.local.is_none_or(|a| a == tuple.local_addr) => {
                1 + u8::from(l.local.is_some())
            }
            _ => 0,
        })
    }

    /// Whether a listener on (`local`, `port`) would overlap another.
    pub fn overlaps(&self, local: Option<IpAddr>, port: u16) -> bool {
        self.bindings.any(port, |index| {
            self.listeners
                .at(index)
                .is_some_and(|l| l.port == port && (l.local.is_none() || local.is_none() || l.local == local))
        })
    }

    /// Buffers for a connection with these options; `None` when there are not enough left.
    pub fn take_buffers(&mut self, options: &TcpOptions) -> Option<Buffers<'a>> {
        let Storage { rx, tx, sent, ranges } = self.buffers.take(Storage::growing)?;
        Some(Buffers { rx: Ring::new(rx, options.rx_room()), tx: Ring::new(tx, options.tx_buffer), sent, ranges })
    }

    /// Takes a connection's buffers back.
    pub fn give_back(&mut self, conn: Conn<'a>) {
        self.buffers.give_back(conn.into_storage());
    }
}

//! UDP sockets (RFC 768, RFC 1122 §4.1): datagrams in their frames, received and sent without a copy by the stack.

use super::binding::{Bindings, Kind};
use super::demux::Demux;
use super::ports::Ports;
use super::queue::{Queue, Queued};
use super::table::{Handle, Slab};
use crate::error::{RecvError, SendError};
use crate::event::Wakers;
use crate::family::{IpAddr, SocketAddr};
use crate::ip::route::IfaceId;
use crate::ready::NodeId;
use crate::rng::Secret;
use core::net::{IpAddr as AnyAddr, SocketAddr as AnySocketAddr};

/// Settings of a UDP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpOptions {
    /// Hop limit (IPv4: TTL) of what is sent, at least 1; `None`: the stack's.
    pub ttl: Option<u8>,
    /// Differentiated services code point, 0..=63 (RFC 2474).
    pub dscp: u8,
    /// Whether datagrams may be sent to broadcast addresses.
    pub broadcast: bool,
    /// Whether other sockets that say so too may bind the same address and port; each then gets a copy of what is
    /// sent to a group or broadcast address. Without the feature `shared-ports` none may.
    pub share: bool,
    /// Send and receive by this interface only.
    pub iface: Option<IfaceId>,
    /// Which kind of address datagrams leave from, where the socket is bound to none (RFC 6724, rule 7).
    #[cfg(feature = "temporary-addresses")]
    pub source: crate::ip::temporary::SourcePreference,
    /// Datagrams that wait to be read, at most; more are dropped and counted.
    pub rx_queue: usize,
    /// Datagrams that wait to leave, at most; more are refused with [`SendError::WouldBlock`].
    pub tx_queue: usize,
}

impl UdpOptions {
    /// Whether packets can have these values.
    pub(crate) fn is_valid(&self) -> bool {
        //= https://www.rfc-editor.org/rfc/rfc1122#section-3.2.1.7
        //# A host MUST NOT send a datagram with a Time-to-Live (TTL) value of zero.
        self.ttl != Some(0) && self.dscp < 64
    }
}

impl Default for UdpOptions {
    fn default() -> Self {
        Self {
            ttl: None,
            dscp: 0,
            broadcast: false,
            share: false,
            iface: None,
            #[cfg(feature = "temporary-addresses")]
            source: crate::ip::temporary::SourcePreference::AsSet,
            rx_queue: 16,
            tx_queue: 8,
        }
    }
}

/// What a UDP socket was told of by ICMP, kept until the next call (connected sockets only).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    Refused,
    Unreachable,
}

impl From<Trouble> for RecvError {
    fn from(t: Trouble) -> Self {
        match t {
            Trouble::Refused => Self::Refused,
            Trouble::Unreachable => Self::Unreachable,
        }
    }
}

impl From<Trouble> for SendError {
    fn from(t: Trouble) -> Self {
        match t {
            Trouble::Refused => Self::Refused,
            Trouble::Unreachable => Self::Unreachable,
        }
    }
}

/// A UDP socket in its table.
pub(crate) struct Udp<'a> {
    pub node: NodeId,
    pub local: Option<IpAddr>,
    pub port: u16,
    pub remote: Option<SocketAddr>,
    pub options: UdpOptions,
    pub rx: Queue<'a>,
    pub tx: Queue<'a>,
    pub trouble: Option<Trouble>,
    pub dropped: usize,
    pub wakers: Wakers,
    /// Which packets it wants.
    #[cfg(feature = "hooks")]
    pub filter: Option<crate::ip::hooks::Filter<'a>>,
}

impl<'a> Udp<'a> {
    /// Whether a datagram from `from` by `iface` may be delivered to this socket.
    pub fn accepts(&self, from: SocketAddr, iface: u8) -> bool {
        self.remote.is_none_or(|r| r == from) && self.options.iface.is_none_or(|i| i.is(IfaceId(iface)))
    }

    /// Takes a datagram, or counts its loss.
    pub fn deliver(&mut self, datagram: Queued<'a>) -> bool {
        let taken = self.rx.push(datagram).is_ok();
        self.dropped += usize::from(!taken);
        taken
    }
}

/// All UDP sockets.
pub(crate) struct UdpLayer<'a> {
    pub sockets: Slab<'a, Udp<'a>>,
    pub bindings: Bindings<'a>,
    pub ports: Ports,
}

impl<'a> UdpLayer<'a> {
    pub fn new(sockets: Slab<'a, Udp<'a>>, demux: Demux<'a>, secret: &Secret) -> Self {
        Self { sockets, bindings: Bindings::new(demux, secret, Kind::Udp), ports: Ports::new(secret) }
    }

    /// The most specific socket for a unicast datagram: connected before bound to the address before bound to any.
    pub fn find(&self, dst: IpAddr, port: u16, from: SocketAddr, iface: u8) -> Option<u32> {
        self.bindings.best(port, |index| match self.sockets.at(index) {
            Some(s) if s.port == port && s.local.is_none_or(|a| a == dst) && s.accepts(from, iface) => {
                1 + 2 * u8::from(s.remote.is_some()) + u8::from(s.local.is_some())
            }
            _ => 0,
        })
    }

    /// The next socket after `after` (in the order of the table) that a group or broadcast datagram is for.
    pub fn next_member(&self, after: Option<u32>, dst: IpAddr, port: u16, from: SocketAddr, iface: u8) -> Option<u32> {
        let mut next: Option<u32> = None;
        self.bindings.any(port, |index| {
            let fits = self
                .sockets
                .at(index)
                .is_some_and(|s| s.port == port && s.local.is_none_or(|a| a == dst) && s.accepts(from, iface));
            if fits && after.is_none_or(|a| index > a) && next.is_none_or(|n| index < n) {
                next = Some(index);
            }
            false
        });
        next
    }

    /// Whether binding (`local`, `port`) overlaps a socket that does not share.
    pub fn overlaps(&self, local: Option<IpAddr>, port: u16, share: bool) -> bool {
        self.bindings.any(port, |index| {
            self.sockets.at(index).is_some_and(|s| {
                let both = s.local.is_none() || local.is_none() || s.local == local;
                s.port == port && both && !(cfg!(feature = "shared-ports") && share && s.options.share)
            })
        })
    }
}

/// Names a UDP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct UdpHandle(pub(crate) Handle);

/// A received datagram's addresses and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Octets copied to the caller's buffer.
    pub len: usize,
    /// Octets of the datagram; more than `len` if the buffer was too short, and the rest is lost.
    pub full_len: usize,
    /// Who sent it.
    pub from: AnySocketAddr,
    /// The destination address it carried: ours, a broadcast or a group address (RFC 1122 §4.1.3.5).
    pub to: AnySocketAddr,
    /// A unicast address of ours to answer from: `to`, or the arrival interface's address.
    pub local: AnyAddr,
    /// The interface it came by.
    pub iface: IfaceId,
    /// Its hop limit (IPv4: TTL) on arrival.
    pub ttl: u8,
    /// Its traffic class (IPv4: TOS) on arrival.
    pub tos: u8,
}

impl Received {
    /// Whether the datagram was longer than the buffer.
    pub fn is_truncated(&self) -> bool {
        self.len < self.full_len
    }
}

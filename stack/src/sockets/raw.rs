//! Raw IP sockets: whole IP packets, their bytes untouched in both directions.

use super::binding::{Bindings, Kind};
use super::demux::Demux;
use super::queue::Queue;
use super::ready::NodeId;
use super::table::{Handle, Slab};
use crate::event::Wakers;
use crate::rng::Secret;

/// Names a raw socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RawHandle(pub(crate) Handle);

/// The binding of a socket that receives every protocol.
pub(crate) const ANY_PROTOCOL: u16 = 0x100;

/// A raw socket in its table.
pub(crate) struct Raw<'a> {
    pub node: NodeId,
    /// The protocol received, or [`ANY_PROTOCOL`].
    pub protocol: u16,
    pub rx: Queue<'a>,
    pub tx: Queue<'a>,
    pub dropped: usize,
    pub wakers: Wakers,
}

/// All raw sockets.
pub(crate) struct RawLayer<'a> {
    pub sockets: Slab<'a, Raw<'a>>,
    pub bindings: Bindings<'a>,
}

impl<'a> RawLayer<'a> {
    pub fn new(sockets: Slab<'a, Raw<'a>>, demux: Demux<'a>, secret: &Secret) -> Self {
        Self { sockets, bindings: Bindings::new(demux, secret, Kind::RawProtocol) }
    }
}

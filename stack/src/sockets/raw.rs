//! Raw IP sockets: whole IP packets, their bytes untouched in both directions.

use super::binding::{Bindings, Kind};
use super::demux::Demux;
use super::queue::Queue;
use super::table::{Handle, Slab};
use crate::event::Wakers;
use crate::ready::NodeId;
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
    /// Which packets it wants.
    #[cfg(feature = "hooks")]
    pub filter: Option<crate::ip::hooks::Filter<'a>>,
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

impl RawLayer<'_> {
    /// The next socket after `after` (in the order of the table) that receives `protocol`.
    pub fn next_member(&self, after: Option<u32>, protocol: u16) -> Option<u32> {
        let mut next: Option<u32> = None;
        self.bindings.any(protocol, |index| {
            let fits = self.sockets.at(index).is_some_and(|s| s.protocol == protocol);
            if fits && after.is_none_or(|a| index > a) && next.is_none_or(|n| index < n) {
                next = Some(index);
            }
            false
        });
        next
    }
}

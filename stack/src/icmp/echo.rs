//! ICMP echo sockets: the client side of ping.

use crate::event::Wakers;
use crate::ready::NodeId;
use crate::rng::Secret;
use crate::sockets::binding::{Bindings, Kind};
use crate::sockets::demux::Demux;
use crate::sockets::queue::Queue;
use crate::sockets::table::{Handle, Slab};

/// Names an echo socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct IcmpHandle(pub(crate) Handle);

/// An echo socket in its table: replies to its identifier, and errors about its requests, come to it.
pub(crate) struct Echo<'a> {
    pub node: NodeId,
    pub ident: u16,
    pub rx: Queue<'a>,
    pub tx: Queue<'a>,
    pub dropped: usize,
    pub wakers: Wakers,
}

/// All echo sockets.
pub(crate) struct EchoLayer<'a> {
    pub sockets: Slab<'a, Echo<'a>>,
    pub bindings: Bindings<'a>,
}

impl<'a> EchoLayer<'a> {
    pub fn new(sockets: Slab<'a, Echo<'a>>, demux: Demux<'a>, secret: &Secret) -> Self {
        Self { sockets, bindings: Bindings::new(demux, secret, Kind::EchoIdent) }
    }
}

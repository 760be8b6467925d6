//! Raw Ethernet sockets: whole frames of one EtherType, or of all, their octets untouched in both directions.

use super::binding::{Bindings, Kind};
use super::demux::Demux;
use super::queue::Queue;
use super::table::{Handle, Slab};
use crate::device::Mac;
use crate::event::Wakers;
use crate::ip::route::IfaceId;
use crate::ready::NodeId;
use crate::rng::Secret;
use heapless::Vec;

/// Names a raw Ethernet socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct EthernetHandle(pub(crate) Handle);

/// The binding of a socket that receives every EtherType; none has this number.
pub(crate) const ANY_ETHERTYPE: u16 = 0;

/// Groups that one socket can have joined.
pub const MAX_ETHERNET_GROUPS: usize = 4;

/// Settings of a raw Ethernet socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EthernetOptions {
    /// The EtherType of the frames that it receives, at least 0x600 (tagged frames have 0x8100); `None`: all frames, those
    /// in IEEE 802.3 framing included.
    pub ethertype: Option<u16>,
    /// Frames to other stations are received as well, as far as the device can be told
    /// ([`Device::set_promiscuous`](crate::device::Device::set_promiscuous)).
    pub promiscuous: bool,
    /// Received frames that wait to be read, at most; further ones are dropped and counted.
    pub rx_queue: usize,
    /// Frames that wait to be sent, at most.
    pub tx_queue: usize,
}

impl Default for EthernetOptions {
    fn default() -> Self {
        Self { ethertype: None, promiscuous: false, rx_queue: 16, tx_queue: 16 }
    }
}

/// A raw Ethernet socket in its table.
pub(crate) struct Ethernet<'a> {
    pub node: NodeId,
    pub iface: IfaceId,
    /// The EtherType received, or [`ANY_ETHERTYPE`].
    pub ethertype: u16,
    pub promiscuous: bool,
    pub groups: Vec<Mac, MAX_ETHERNET_GROUPS>,
    pub rx: Queue<'a>,
    pub tx: Queue<'a>,
    pub dropped: usize,
    pub wakers: Wakers,
}

/// All raw Ethernet sockets.
pub(crate) struct EthernetLayer<'a> {
    pub sockets: Slab<'a, Ethernet<'a>>,
    pub bindings: Bindings<'a>,
    /// How many are open: what every frame asks.
    pub open: usize,
}

impl<'a> EthernetLayer<'a> {
    pub fn new(sockets: Slab<'a, Ethernet<'a>>, demux: Demux<'a>, secret: &Secret) -> Self {
        Self { sockets, bindings: Bindings::new(demux, secret, Kind::EtherType), open: 0 }
    }

    /// The next socket after `after` (in the order of the table) that receives `ethertype`.
    pub fn next_member(&self, after: Option<u32>, ethertype: u16) -> Option<u32> {
        let mut next: Option<u32> = None;
        self.bindings.any(ethertype, |index| {
            let fits = self.sockets.at(index).is_some_and(|s| s.ethertype == ethertype);
            if fits && after.is_none_or(|a| index > a) && next.is_none_or(|n| index < n) {
                next = Some(index);
            }
            false
        });
        next
    }

    /// The sockets of an interface.
    pub fn of(&self, iface: IfaceId) -> impl Iterator<Item = &Ethernet<'a>> {
        let first = self.sockets.next_index(0);
        let all = core::iter::successors(first, |&index| self.sockets.next_index(index + 1));
        all.filter_map(|index| self.sockets.at(index)).filter(move |s| s.iface == iface)
    }
}

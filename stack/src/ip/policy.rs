//! Policy routing: a program chooses ways by more than the destination, in front of the route table.
//!
//! ```text
//!  packet ─▶ policy? ── Via: this interface, this router ──▶ neighbour
//!               └────── Table ─▶ the route table ───────────┘
//! ```

use crate::ip::route::IfaceId;
use core::net::IpAddr;

/// What a way is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Question {
    /// Where the packet goes.
    #[cfg_attr(feature = "defmt", defmt(Debug2Format))]
    pub dst: IpAddr,
    /// Where it comes from; `None` while its source is still to be chosen, by the interface that it leaves by.
    #[cfg_attr(feature = "defmt", defmt(Debug2Format))]
    pub src: Option<IpAddr>,
    /// The interface that it came by, when it is passed on for another host; `None`: it is our own.
    pub arrived: Option<IfaceId>,
}

/// What a policy says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Choice {
    /// It goes by the route table.
    Table,
    /// It goes by this interface, whatever the table says; by [`IfaceId::BLACKHOLE`] or [`IfaceId::REJECT`] nowhere.
    Via {
        /// The interface.
        iface: IfaceId,
        /// The router on its link, of the destination's family; `None`: the destination is on the link.
        #[cfg_attr(feature = "defmt", defmt(Debug2Format))]
        gateway: Option<IpAddr>,
    },
}

/// Chooses ways.
///
/// It is asked when a connection looks for its way (which it then remembers), and for each packet that is none of a
/// connection's: it should be short, take the same time for every packet, and must not panic. Groups and broadcasts are not
/// asked for, nor what is bound to another interface than the one chosen. Sources are not checked against it when packets are
/// passed on.
pub trait Policy {
    /// The way of a packet.
    fn choose(&self, question: &Question) -> Choice;
}

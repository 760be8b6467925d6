//! Hooks: a program looks at packets at five points on their way, and drops or changes them.
//!
//! ```text
//!  wire ─▶ PreRouting ─▶ ours? ─▶ LocalIn ─▶ sockets ─▶ LocalOut ─▶ route ─▶ PostRouting ─▶ wire
//!                          └─────────────▶ Forward ────────────────────────────┘
//! ```

use crate::ip::route::IfaceId;
use crate::time::Instant;

/// Where on its way a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Point {
    /// It came by an interface; whose it is has not been looked at. A changed destination decides that.
    PreRouting,
    /// It is for us, and whole: fragments have been put together.
    LocalIn,
    /// It is for another host, and is to be passed on. Its way is chosen, its hop limit as it came.
    Forward,
    /// It is our own, its way not chosen yet: a changed destination decides that.
    LocalOut,
    /// It is about to leave, not cut into fragments yet. Its next hop is chosen.
    PostRouting,
}

/// A packet's passing of a point.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Passage {
    /// Where it is.
    pub point: Point,
    /// The time of the poll.
    pub now: Instant,
    /// The interface that it came by, where that is known at this point.
    pub arrived: Option<IfaceId>,
    /// The interface that it is to leave by, where that is known at this point.
    pub leaves: Option<IfaceId>,
}

impl Passage {
    pub(crate) const fn new(point: Point, now: Instant, arrived: Option<IfaceId>, leaves: Option<IfaceId>) -> Self {
        Self { point, now, arrived, leaves }
    }
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Verdict {
    /// It goes on as it is.
    Accept,
    /// It goes no further; counted as [`Filtered`](crate::stats::DropReason::Filtered).
    Drop,
    /// It was changed, its checksums included (see [`rewrite`](super::rewrite)), its lengths and protocols aside; it goes
    /// on. A changed packet is verified again.
    Modified,
}

/// What a program does with packets on their way through a stack.
///
/// A packet begins with its IP header, which has been checked, and is complete: a checksum that its sender left to the
/// card is computed. Not shown are ARP, and what the stack sends of neighbour discovery, while all that comes of it passes
/// PreRouting and LocalIn; packets of the stack to itself pass LocalOut and LocalIn; reports of group membership
/// PostRouting only.
///
/// The call is made from within [`Stack::poll`](crate::stack::Stack::poll), once for each point and packet; it should be
/// short and must not panic.
pub trait Hooks {
    /// A packet passes a point.
    fn on_packet(&mut self, passage: &Passage, packet: &mut [u8]) -> Verdict;
}

/// Which packets a socket wants: called with each, from its IP header on.
pub type Filter<'a> = &'a (dyn Fn(&[u8]) -> bool + Send + Sync);

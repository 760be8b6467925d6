//! Forwarding for the user: its switch.

use super::{IfaceId, Stack};
use crate::ip::forward::Forwarding;

impl Stack<'_> {
    /// Has the stack pass on packets for others, from one interface to another or back, as a router does (RFC 1812 §5);
    /// `None`, as in the beginning, has it drop them.
    ///
    /// Poll all interfaces that are [`pending`](Self::pending): a packet waits in a short queue of the interface that it is
    /// to leave by, and while that is full and can be emptied, no interface receives more. Frames are passed on as they
    /// came where both interfaces' devices have one pool, and copied, counted, where not.
    //= https://www.rfc-editor.org/rfc/rfc1122#section-3.1
    //# If embedded gateway functionality is included, there MUST be
    //# a configuration switch to turn it on and off
    pub fn set_forwarding(&mut self, forwarding: Option<Forwarding>) {
        let _was = core::mem::replace(&mut self.forwarding, forwarding);
        #[cfg(feature = "router-advertisements")]
        if _was.is_some() != forwarding.is_some() {
            self.advertise_anew();
        }
        // Whether sources decide ways may have changed with it.
        #[cfg(feature = "strong-host")]
        self.routes.forget_ways();
    }

    /// An interface goes, and what waited to leave by it.
    pub(super) fn leave_transit(&mut self, id: IfaceId) {
        if let Some(Some(iface)) = self.ifaces.get_mut(id.index())
            && let Some(node) = iface.transit.node.take()
        {
            self.sched.free(node);
        }
    }

    /// How many frames an interface may receive without one finding no room to wait in, should all be for others. What
    /// leaves by interfaces whose device takes nothing is lost rather than have everybody wait.
    #[cold]
    pub(super) fn room_for_transit(&self, id: IfaceId) -> usize {
        let Some(pool) = self.iface(id).map(|i| i.pool) else { return usize::MAX };
        let outs = self.ifaces.iter().flatten().filter(|i| i.stalled.is_none() && i.held.is_none());
        outs.map(|i| i.transit.room(pool)).min().unwrap_or(usize::MAX)
    }

    /// Whether, and how, packets for others are passed on.
    pub fn forwarding(&self) -> Option<Forwarding> {
        self.forwarding
    }
}

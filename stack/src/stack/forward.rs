//! Forwarding for the user: its switch.

use super::Stack;
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
        self.forwarding = forwarding;
    }

    /// Whether, and how, packets for others are passed on.
    pub fn forwarding(&self) -> Option<Forwarding> {
        self.forwarding
    }
}

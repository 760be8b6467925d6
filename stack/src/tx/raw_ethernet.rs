//! The turn of raw Ethernet sockets: the oldest frame of the queue leaves.

use super::Turn;
use crate::event::Readiness;
use crate::ready::NodeId;
use crate::stack::{Iface, IfaceId, Stack};
use crate::stats::DropReason;

impl<'a> Stack<'a> {
    pub(super) fn ethernet_turn(&mut self, id: IfaceId, node: NodeId, index: u32) -> Turn<'a> {
        let Some(socket) = self.ethernet.sockets.at_mut(index) else { return Turn::Done };
        let (was_full, own) = (socket.tx.is_full(), socket.iface);
        let Some(item) = socket.tx.pop() else { return Turn::Done };
        let more = !socket.tx.is_empty();
        if more {
            self.sched.wake(node, id.index());
        }
        if was_full {
            self.sched.post(node, Readiness::WRITE);
        }
        // On another interface than its own it gets its turn when its own is gone.
        let way = if own == id { self.iface(id) } else { None };
        match way.map(Iface::is_up) {
            Some(true) => return Turn::Send(item.frame),
            Some(false) => self.stats.drop(DropReason::LinkDown),
            None => self.stats.drop(DropReason::NoRoute),
        }
        Turn::Done
    }
}

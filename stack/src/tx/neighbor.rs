//! Asking for neighbours, and letting go what waited for them.

use crate::device::Mac;
use crate::family::IpAddr;
use crate::frame::Frame;
use crate::link::arp;
use crate::link::neighbor::{Action, Heard};
use crate::ready::Key;
#[cfg(feature = "tcp")]
use crate::ready::NodeId;
use crate::stack::{IfaceId, Reply, Stack};

impl<'a> Stack<'a> {
    /// A neighbour's timer: ask (again), give up, or grow old.
    pub(crate) fn neighbor_deadline(&mut self, index: u32) {
        match self.neighbors.on_deadline(self.now, index, &mut self.stats) {
            Action::Request { iface, addr, unicast } => self.request_neighbor(IfaceId(iface), index, addr, unicast),
            // Connections look again, and thereby ask again, a second later at the earliest.
            Action::Failed => {
                #[cfg(feature = "forward")]
                self.give_up_transit(index);
                #[cfg(all(feature = "ipv6", not(feature = "routes")))]
                self.pass_over_router(index);
                self.wake_waiters(index);
            }
            Action::None => {}
        }
        self.schedule_neighbor(index);
    }

    /// A neighbour does not answer: if it is the router in use, there may be another.
    #[cfg(all(feature = "ipv6", not(feature = "routes")))]
    fn pass_over_router(&mut self, index: u32) {
        let Some((iface, addr)) = self.neighbors.slot_mut(index).map(|slot| slot.key()) else { return };
        if let Some(Some(iface)) = self.ifaces.get_mut(usize::from(iface))
            && iface.v6.on_silent(addr)
        {
            self.routes.touch();
        }
    }

    /// Sends a request for a neighbour; without a frame it is tried again soon.
    pub(super) fn request_neighbor(&mut self, id: IfaceId, index: u32, target: IpAddr, unicast: Option<Mac>) {
        let sent = self.send_request(id, target, unicast);
        if sent == Some(false) {
            self.neighbors.not_sent(self.now, index);
        }
    }

    fn send_request(&mut self, id: IfaceId, target: IpAddr, unicast: Option<Mac>) -> Option<bool> {
        #[cfg(feature = "ipv6")]
        if let IpAddr::V6(target) = target {
            return self.send_solicit(id, target, unicast);
        }
        let iface = self.iface(id)?;
        let IpAddr::V4(ip) = target else { return None };
        let Some(IpAddr::V4(source)) = iface.source_for(self.now, target) else { return None };
        let packet = arp::request(iface.mac, source, ip);
        // RFC 3927 §2.5.
        #[cfg(feature = "link-local")]
        let unicast = unicast.filter(|_| !source.is_link_local());
        Some(self.send_arp(id, &packet, unicast.unwrap_or(Mac::BROADCAST)))
    }

    /// Keeps a packet until its neighbour answers.
    pub(super) fn park(&mut self, index: u32, frame: Frame<'a>) {
        self.neighbors.park(index, frame, &mut self.stats);
    }

    /// Keeps a connection's node until the neighbour answers.
    #[cfg(feature = "tcp")]
    pub(super) fn park_node(&mut self, index: u32, node: NodeId) {
        if let Some(slot) = self.neighbors.slot_mut(index)
            && let Some(owner) = slot.node
        {
            self.sched.park(node, owner, &mut slot.waiters);
        }
    }

    /// What was heard of a neighbour.
    pub(crate) fn heard(&mut self, heard: Heard) {
        let Heard::Resolved(index) = heard else { return };
        let Some((iface, _addr)) = self.neighbors.slot_mut(index).map(|s| s.key()) else { return };
        let id = IfaceId(iface);
        while let Some(parked) = self.neighbors.take_parked(index) {
            #[cfg(feature = "forward")]
            if parked.is_transit() {
                self.transit_found(super::Hop { iface: id, next: _addr }, parked.frame);
                continue;
            }
            self.queue_reply(id, Reply::Parked(parked.frame));
        }
        self.wake_waiters(index);
        self.schedule_neighbor(index);
    }

    fn wake_waiters(&mut self, index: u32) {
        if let Some(slot) = self.neighbors.slot_mut(index)
            && let Some(owner) = slot.node
        {
            let iface = usize::from(slot.key().0);
            self.sched.unpark(owner, &mut slot.waiters, iface);
        }
    }

    /// Puts a neighbour's next timer in the heap.
    pub(super) fn schedule_neighbor(&mut self, index: u32) {
        let deadline = self.neighbors.deadline(index);
        let Some(slot) = self.neighbors.slot_mut(index) else { return };
        if slot.node.is_none() {
            slot.node = self.sched.alloc(Key::Neighbor(index)).ok();
        }
        let Some(node) = slot.node else { return };
        self.sched.arm(node, deadline);
    }
}

//! The turn of packets that are passed on, and what becomes of them when nobody takes them.

use super::{Hop, Output, Resolved, Turn, push_ethernet};
use crate::device::Mac;
use crate::frame::Frame;
use crate::ip::forward::{Obstacle, Passing};
use crate::link::ethernet;
use crate::link::neighbor::Demand;
use crate::ready::NodeId;
use crate::stack::{IfaceId, Stack};
use crate::stats::DropReason;
use crate::wire::ip;

impl<'a> Stack<'a> {
    /// The turn of the oldest packet in transit. Others behind it have theirs in line with sockets.
    pub(super) fn transit_turn(&mut self, id: IfaceId, node: NodeId) -> Turn<'a> {
        let Some(Some(iface)) = self.ifaces.get_mut(id.index()) else { return Turn::Done };
        let Some(passing) = iface.transit.pop() else { return Turn::Done };
        let more = !iface.transit.is_empty();
        let turn = self.turn_of_passing(id, passing);
        if more || matches!(turn, Turn::Stall) {
            self.sched.wake(node, id.index());
        }
        turn
    }

    fn turn_of_passing(&mut self, id: IfaceId, passing: Passing<'a>) -> Turn<'a> {
        // As for replies: what strangers have us ask for takes a share of the neighbour table.
        match self.resolve(Hop { iface: id, next: passing.next }, Demand::Reply) {
            Resolved::Ready(mac) => self.pass_on(id, passing, mac),
            Resolved::Neighbor(mac, _) => self.pass_on(id, passing, Some(mac)),
            Resolved::Waiting(index) => {
                self.neighbors.park_transit(index, passing.frame, &mut self.stats);
                Turn::Done
            }
            Resolved::Full => self.transit_lost(DropReason::NeighborTableFull),
            Resolved::Down => {
                self.tell_of_obstacle_back(Obstacle::Unreachable, &passing.frame);
                self.transit_lost(DropReason::LinkDown)
            }
        }
    }

    fn transit_lost(&mut self, reason: DropReason) -> Turn<'a> {
        self.stats.drop(reason);
        Turn::Done
    }

    /// A packet leaves, in pieces where it is too long; it goes back in line when a frame is missing.
    fn pass_on(&mut self, id: IfaceId, passing: Passing<'a>, mac: Option<Mac>) -> Turn<'a> {
        let Passing { mut frame, next } = passing;
        let Some(iface) = self.iface(id) else { return Turn::Done };
        let (own, is_long) = (iface.mac, frame.len() > iface.ip_mtu());
        //= https://www.rfc-editor.org/rfc/rfc8200#section-4.5
        //# Unlike IPv4, fragmentation in IPv6 is performed only by source nodes,
        //# not by routers along a packet's delivery path
        if is_long && ip::is_v6(&frame) {
            self.stats.drop(DropReason::TooLong);
            return Turn::Done;
        }
        // Before it is cut up; or when its frame is there, so that it passes once.
        if is_long && !self.passes_post(id, &mut frame) {
            return Turn::Done;
        }
        let left = match is_long {
            true => self.begin_cutting(id, frame, mac),
            false => self.with_headroom(id, frame, mac.is_some()),
        };
        match left {
            Output::Send(mut frame) => {
                if !self.passes_post(id, &mut frame) {
                    return Turn::Done;
                }
                if let Some(dst) = mac {
                    // There is room for it.
                    push_ethernet(&mut frame, dst, own);
                }
                Turn::Send(frame)
            }
            Output::Done => Turn::Done,
            Output::NoFrame(frame) => {
                if let Some(Some(iface)) = self.ifaces.get_mut(id.index()) {
                    iface.transit.unpop(Passing { frame, next });
                }
                Turn::Stall
            }
        }
    }

    /// Whether hooks, if there are any, let a packet leave.
    #[inline]
    fn passes_post(&mut self, id: IfaceId, packet: &mut [u8]) -> bool {
        #[cfg(feature = "hooks")]
        return self.hooks.is_none() || self.hook_post(id, packet);
        #[cfg(not(feature = "hooks"))]
        {
            let _ = (id, packet);
            true
        }
    }

    /// The frame as it came where it can leave like that: in its interface's pool, with room for a link header. Otherwise
    /// a copy, counted.
    fn with_headroom(&mut self, id: IfaceId, frame: Frame<'a>, link: bool) -> Output<'a> {
        let Some(iface) = self.iface(id) else { return Output::Done };
        let wanted = iface.caps.headroom + if link { ethernet::HEADER } else { 0 };
        if frame.pool().is(iface.pool) && frame.headroom() >= wanted {
            return Output::Send(frame);
        }
        let Some(mut copy) = iface.pool.take(iface.headroom()) else { return Output::NoFrame(frame) };
        // No longer than the MTU, it fits.
        if copy.extend(&frame).is_none() {
            self.stats.drop(DropReason::TooLong);
            return Output::Done;
        }
        self.stats.copies = self.stats.copies.wrapping_add(1);
        Output::Send(copy)
    }

    /// A packet in transit has waited for this neighbour, which answers now: it goes on.
    pub(super) fn transit_found(&mut self, hop: Hop, frame: Frame<'a>) {
        // It was counted when it came.
        self.stats.forwarded = self.stats.forwarded.wrapping_sub(1);
        if let Err(reason) = self.queue_transit(hop, frame) {
            self.stats.drop(reason);
        }
    }

    /// A neighbour does not answer: the senders of what waited for it are told.
    pub(super) fn give_up_transit(&mut self, index: u32) {
        while let Some(parked) = self.neighbors.take_parked(index) {
            self.stats.drop(DropReason::NeighborFailed);
            self.tell_of_obstacle_back(Obstacle::Unreachable, &parked.frame);
        }
    }

    /// As [`tell_of_obstacle`](Self::tell_of_obstacle), of a packet that has gone on already. The way back is by the
    /// routes: packets from link-local addresses are not passed on.
    fn tell_of_obstacle_back(&mut self, obstacle: Obstacle, packet: &[u8]) {
        let Some((src, _)) = ip::addresses(packet) else { return };
        if let Some(hop) = self.hop(src, None) {
            self.tell_of_obstacle(obstacle, packet, hop.iface);
        }
    }
}

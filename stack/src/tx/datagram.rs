//! The turn of UDP, raw and echo sockets: the oldest datagram of the queue leaves.

use super::{Output, Turn};
use crate::event::Readiness;
use crate::link::neighbor::Demand;
use crate::ready::NodeId;
use crate::sockets::queue::Queue;
use crate::stack::{IfaceId, Stack};
use crate::stats::DropReason;
use crate::wire::ip;

/// What a queue's turn did besides.
struct Taken<'a> {
    turn: Turn<'a>,
    more: bool,
    was_full: bool,
    left: bool,
}

impl<'a> Stack<'a> {
    #[cfg(feature = "udp")]
    pub(super) fn udp_turn(&mut self, id: IfaceId, node: NodeId, index: u32) -> Turn<'a> {
        let taken = self.queue_turn(id, (true, true), |s| s.udp.sockets.at_mut(index).map(|u| &mut u.tx));
        self.stats.udp_out += usize::from(taken.left);
        self.after_turn(id, node, taken)
    }

    #[cfg(feature = "raw")]
    pub(super) fn raw_turn(&mut self, id: IfaceId, node: NodeId, index: u32) -> Turn<'a> {
        let taken = self.queue_turn(id, (false, false), |s| s.raw.sockets.at_mut(index).map(|r| &mut r.tx));
        self.after_turn(id, node, taken)
    }

    #[cfg(feature = "icmp")]
    pub(super) fn echo_turn(&mut self, id: IfaceId, node: NodeId, index: u32) -> Turn<'a> {
        let taken = self.queue_turn(id, (true, false), |s| s.echo.sockets.at_mut(index).map(|e| &mut e.tx));
        self.stats.icmp_out += usize::from(taken.left);
        self.after_turn(id, node, taken)
    }

    /// The turn of a queue; `bound`: its datagrams are the stack's own, from addresses of ours; `sums`: a device may compute
    /// their checksums.
    fn queue_turn(
        &mut self,
        id: IfaceId,
        (bound, sums): (bool, bool),
        queue: impl Fn(&mut Self) -> Option<&mut Queue<'a>>,
    ) -> Taken<'a> {
        let nothing = Taken { turn: Turn::Done, more: false, was_full: false, left: false };
        let Some(q) = queue(self) else { return nothing };
        let was_full = q.is_full();
        let Some(mut item) = q.pop() else { return nothing };
        let by = IfaceId(item.iface);
        if bound && !self.has_source(&item.frame) {
            self.stats.drop(DropReason::SourceGone);
            let more = queue(self).is_some_and(|q| !q.is_empty());
            return Taken { turn: Turn::Done, more, was_full, left: false };
        }
        let sent = match item.payload {
            #[cfg(all(feature = "checksum-offload", feature = "udp"))]
            start @ 1.. if sums => {
                item.payload = 0;
                self.output_unsummed(id, item.frame, by, start)
            }
            _ => Err(self.output_own(id, item.frame, Some(by), Demand::Socket)),
        };
        let _ = sums;
        let turn = match sent {
            Ok(turn) => turn,
            Err(Output::Send(frame)) => Turn::Send(frame),
            Err(Output::Done) => Turn::Done,
            Err(Output::NoFrame(frame)) => {
                item.frame = frame;
                if let Some(q) = queue(self) {
                    q.unpop(item);
                }
                return Taken { turn: Turn::Stall, more: true, was_full: false, left: false };
            }
        };
        let more = queue(self).is_some_and(|q| !q.is_empty());
        Taken { turn, more, was_full, left: true }
    }

    /// Whether a packet's source is still ours, or it has none yet.
    fn has_source(&self, packet: &[u8]) -> bool {
        ip::addresses(packet).is_some_and(|(src, _)| src.is_unspecified() || self.is_ours(src))
    }

    fn after_turn(&mut self, id: IfaceId, node: NodeId, taken: Taken<'a>) -> Turn<'a> {
        if taken.more {
            self.sched.wake(node, id.index());
        }
        if taken.was_full {
            self.sched.post(node, Readiness::WRITE);
        }
        taken.turn
    }
}

//! TIME-WAIT in a table of its own: a connection that rests there gives everything but a few numbers back.
//!
//! Implements RFC 9293 §3.6.1 with `tcp/timewait.rs`. Without the feature `time-wait`, `no_time_wait.rs` stands here.

use super::{IfaceId, Stack};
use crate::ready::Key;
use crate::sockets::demux::{Target, Tuple};
use crate::stats::DropReason;
use crate::tcp::isn;
use crate::tcp::timewait::TwVerdict;
use crate::wire::segment::Segment;

impl Stack<'_> {
    /// A segment for a connection that rests: the new connection that it completes.
    pub(crate) fn segment_in_time_wait(
        &mut self,
        index: u32,
        hash: u32,
        tuple: &Tuple,
        segment: &Segment<'_>,
        iface: IfaceId,
    ) -> Result<Option<u32>, DropReason> {
        match self.tcp.time_waits.handle_segment(self.now, index, segment) {
            TwVerdict::Drop(reason) => return Err(reason),
            TwVerdict::Ack(ack) => self.send_bare(iface, tuple, &ack),
            TwVerdict::Reopen { min_isn } => {
                // Without a listener the old connection's rest stays where it is.
                if self.tcp.find_listener(tuple).is_none() {
                    return Err(DropReason::TcpUnexpectedSyn);
                }
                self.tcp.demux.remove(hash, Target::TimeWait(index).pack());
                self.tcp.time_waits.remove(index);
                self.schedule_time_wait();
                return self.segment_for_listener(tuple, segment, iface, Some(min_isn));
            }
        }
        self.schedule_time_wait();
        Ok(None)
    }

    /// The entry of this 4-tuple, if a connection with time stamps that is opened now may follow it.
    pub(super) fn time_wait_to_follow(&self, tuple: &Tuple) -> Option<u32> {
        let Some(Target::TimeWait(index)) = self.tcp.find(self.tcp.hash(tuple), tuple) else { return None };
        let isn = isn::isn(&self.tcp.isn_key, tuple, self.now);
        self.tcp.time_waits.may_be_followed(index, self.now, isn).then_some(index)
    }

    /// Another connection has taken the entry's 4-tuple.
    pub(super) fn end_time_wait(&mut self, index: u32, tuple: &Tuple) {
        let hash = self.tcp.hash(tuple);
        self.tcp.demux.remove(hash, Target::TimeWait(index).pack());
        self.tcp.time_waits.remove(index);
        self.schedule_time_wait();
    }

    /// The connection's protocol is over but for TIME-WAIT; its unread text stays with it.
    pub(crate) fn enter_time_wait(&mut self, index: u32) {
        self.unlink(index);
        let Some(entry) = self.tcp.conns.at(index) else { return };
        let hash = entry.hash;
        let (place, evicted) = {
            let (now, span) = (self.now, self.config.time_wait);
            self.tcp.time_waits.insert(&entry.conn.time_wait(), hash, now, span)
        };
        if let Some((old_hash, old)) = evicted {
            self.stats.drop(DropReason::TimeWaitEvicted);
            self.tcp.demux.remove(old_hash, Target::TimeWait(old).pack());
        }
        if let Some(place) = place {
            // The connection's own place in the table has just become free.
            let _ = self.tcp.demux.insert(hash, Target::TimeWait(place).pack());
        }
        self.schedule_time_wait();
        self.ended(index);
    }

    pub(super) fn time_wait_deadline(&mut self) {
        while let Some((hash, index)) = self.tcp.time_waits.pop_expired(self.now) {
            self.tcp.demux.remove(hash, Target::TimeWait(index).pack());
        }
        self.schedule_time_wait();
    }

    fn schedule_time_wait(&mut self) {
        if self.tcp.time_wait_node.is_none() {
            self.tcp.time_wait_node = self.sched.alloc(Key::TimeWait).ok();
        }
        let Some(node) = self.tcp.time_wait_node else { return };
        self.sched.arm(node, self.tcp.time_waits.deadline());
    }

    /// Connections in TIME-WAIT.
    pub fn tcp_time_waits(&self) -> usize {
        self.tcp.time_waits.len()
    }
}

//! TIME-WAIT without a table of its own: a connection rests where it is, and makes way when its place is wanted.
//!
//! Implements RFC 9293 §3.6.1; what comes meanwhile meets the connection (`tcp/input.rs`).

use super::{IfaceId, Stack};
use crate::sockets::demux::Tuple;
use crate::stats::DropReason;
use crate::tcp::state::State;
use crate::wire::segment::Segment;

impl Stack<'_> {
    /// Connections in TIME-WAIT. Looks through the table.
    pub fn tcp_time_waits(&self) -> usize {
        let (mut count, mut next) = (0, self.tcp.conns.next_index(0));
        while let Some(index) = next {
            next = self.tcp.conns.next_index(index + 1);
            count += usize::from(self.tcp.conns.at(index).is_some_and(|entry| entry.conn.state() == State::TimeWait));
        }
        count
    }

    /// What rests is not followed before its time by a connection of ours.
    pub(super) const fn time_wait_to_follow(&self, _tuple: &Tuple) -> Option<u32> {
        None
    }

    pub(super) const fn end_time_wait(&self, _index: u32, _tuple: &Tuple) {}

    /// A segment for this connection; if it is the SYN of one that may follow it, the connection that begins with it.
    pub(crate) fn succeed(
        &mut self,
        index: u32,
        tuple: &Tuple,
        segment: &Segment<'_>,
        iface: IfaceId,
    ) -> Result<Option<u32>, DropReason> {
        // Without a listener the old connection stays.
        if let Some(entry) = self.tcp.conns.at(index)
            && entry.conn.may_be_succeeded(segment)
            && self.tcp.find_listener(tuple).is_some()
            && let Some(entry) = self.tcp.conns.at_mut(index)
        {
            let min_isn = entry.conn.next_unused();
            let verdict = entry.conn.make_way();
            self.settle(index, &verdict);
            return self.segment_for_listener(tuple, segment, iface, Some(min_isn));
        }
        Ok(Some(index))
    }
}

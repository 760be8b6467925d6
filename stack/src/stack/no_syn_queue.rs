//! Listening without a queue of handshakes: a SYN takes a connection of the table, as the last ACK would.
//!
//! Implements RFC 9293 §3.10.7.2. Against floods (RFC 4987 §3.3) a full table gives up the oldest handshake whose SYN|ACK
//! had to be repeated; the feature `syn-queue` does more (`syn_queue.rs`).

use super::{IfaceId, Stack};
use crate::error::BindError;
use crate::seq::Seq;
use crate::sockets::demux::Tuple;
use crate::stats::DropReason;
use crate::tcp::conn::Conn;
use crate::tcp::isn;
use crate::tcp::layer::{ListenOptions, Owner, is_between_hosts};
use crate::tcp::listen::Listener;
use crate::time::Instant;
use crate::wire::segment::{Flags, Segment};

impl<'a> Stack<'a> {
    /// A listener.
    pub(super) fn new_listener(&mut self, options: &ListenOptions) -> Result<Listener<'a>, BindError> {
        Ok(Listener::new(options.backlog))
    }

    /// A listener has nothing to give back.
    pub(super) fn discard_listener(&mut self, _: Listener<'a>) {}

    /// Takes the connection that has waited longest for this listener's user. Looks through the table.
    pub(super) fn next_accepted(&mut self, listener: u32) -> Option<u32> {
        let index = self.oldest_accepted(listener)?;
        self.leave_accepted(listener, index);
        Some(index)
    }

    /// Whether a connection waits for this listener's user.
    pub(super) fn has_accepted(&self, listener: u32) -> bool {
        self.oldest_accepted(listener).is_some()
    }

    fn oldest_accepted(&self, listener: u32) -> Option<u32> {
        let mut oldest: Option<(Instant, u32)> = None;
        let mut next = self.tcp.conns.next_index(0);
        while let Some(index) = next {
            next = self.tcp.conns.next_index(index + 1);
            if let Some(entry) = self.tcp.conns.at(index).filter(|entry| entry.owner == Owner::Queue(listener)) {
                let since = entry.conn.last_progress();
                if oldest.is_none_or(|(before, _)| since < before) {
                    oldest = Some((since, index));
                }
            }
        }
        oldest.map(|(_, index)| index)
    }

    /// A connection whose handshake is complete has had its place in the line since its SYN.
    pub(crate) const fn join_accepted(&mut self, _listener: u32, _index: u32) -> bool {
        true
    }

    /// A connection is not to be accepted any more.
    pub(super) fn leave_accepted(&mut self, listener: u32, _index: u32) {
        if let Some(entry) = self.tcp.listeners.at_mut(listener) {
            entry.listener.leave();
        }
    }

    /// Handshakes of a listener that goes end with it.
    pub(super) fn end_handshakes(&mut self, listener: u32) {
        let mut next = self.tcp.conns.next_index(0);
        while let Some(index) = next {
            next = self.tcp.conns.next_index(index + 1);
            if self.tcp.conns.at(index).is_some_and(|entry| entry.owner == Owner::Handshake(listener)) {
                self.tcp_abort(index);
            }
        }
    }

    /// A segment for no connection, to an address and port that may have a listener: the connection that begins with it.
    pub(crate) fn segment_for_listener(
        &mut self,
        tuple: &Tuple,
        segment: &Segment<'_>,
        iface: IfaceId,
        min_isn: Option<Seq>,
    ) -> Result<Option<u32>, DropReason> {
        let listener = self.tcp.find_listener(tuple);
        //= https://www.rfc-editor.org/rfc/rfc9293#section-3.10.7.2
        //# Any acknowledgment is bad if it arrives on a connection still in the LISTEN state. An acceptable reset
        //# segment should be formed for any arriving ACK-bearing segment.
        let (Some(listener), false) = (listener, segment.flags.intersects(Flags::RST | Flags::ACK)) else {
            return Err(self.segment_for_nobody(tuple, segment, iface));
        };
        if !segment.flags.contains(Flags::SYN) {
            return Err(DropReason::TcpNoAck);
        }
        if !is_between_hosts(tuple) {
            return Err(DropReason::TcpBadAddress);
        }
        let full = DropReason::TcpSynQueueFull;
        let entry = self.tcp.listeners.at_mut(listener).filter(|entry| !entry.listener.is_backlogged()).ok_or(full)?;
        let options = entry.options.tcp;
        let mss = self.mss(iface, tuple.remote_addr);
        let buffers = self.take_buffers(&options).ok_or(full)?;
        let mut conn = Conn::connect(*tuple, &options, buffers, mss);
        let (key, now) = (&self.tcp.isn_key, self.now);
        let isn = isn::isn(key, tuple, now);
        conn.start(min_isn.map_or(isn, |min| isn.later(min)), isn::timestamp_offset(key, tuple), now);
        let index = self.add_connection(conn, iface, Owner::Handshake(listener)).map_err(|_| full)?;
        if let Some(entry) = self.tcp.listeners.at_mut(listener) {
            entry.listener.join();
        }
        Ok(Some(index))
    }
}

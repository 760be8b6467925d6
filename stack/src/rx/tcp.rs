//! A TCP segment comes in: to its connection, to TIME-WAIT, to a listener, or to nobody.
//!
//! Implements the dispatch of RFC 9293 §3.10.7: connections by 4-tuple first, then listeners by address and port, then
//! the reset of §3.10.7.1.

use super::{Arrival, protocol};
use crate::event::Readiness;
use crate::ip::v4::Destination;
use crate::log;
use crate::sockets::demux::{Target, Tuple};
use crate::stack::{IfaceId, Reply, Stack};
use crate::stats::DropReason;
use crate::tcp::conn::{Fate, Verdict};
use crate::tcp::layer::Owner;
use crate::wire::ip;
use crate::wire::segment::{Header, Reply as Reset, Segment};

type Drop = Result<(), DropReason>;

impl<'a> Stack<'a> {
    #[inline]
    pub(super) fn handle_tcp(&mut self, at: usize, packet: &[u8], arrival: Arrival) -> Drop {
        // RFC 9293 §3.9.2.3 (MUST-57): nothing sent to a group is answered.
        if arrival.to != Destination::Ours {
            return Err(DropReason::TcpBadAddress);
        }
        let bytes = packet.get(at..).ok_or(DropReason::TcpMalformed)?;
        let mut segment = Segment::parse(bytes)?;
        segment.size = arrival.size;
        #[cfg(feature = "ecn")]
        {
            segment.is_ce = ip::is_ce(packet);
        }
        if !arrival.is_verified() {
            let pseudo = ip::pseudo_header(packet, protocol::TCP, bytes.len() as u32);
            if !pseudo.add(segment.sum(bytes)).is_valid() {
                return Err(DropReason::TcpChecksum);
            }
        }
        let index = match arrival.flow {
            Some(index) => index,
            None => match self.connection_for(packet, &segment, arrival.iface)? {
                Some(index) => index,
                None => return Ok(()),
            },
        };
        self.segment_for_connection(index, &segment)
    }

    /// The connection that a segment is for, which it may just have completed; else the segment is dealt with here.
    #[inline(never)]
    fn connection_for(
        &mut self,
        packet: &[u8],
        segment: &Segment<'_>,
        iface: IfaceId,
    ) -> Result<Option<u32>, DropReason> {
        let (src, dst) = ip::addresses(packet).ok_or(DropReason::TcpMalformed)?;
        let tuple =
            &Tuple { local_addr: dst, local_port: segment.dst_port, remote_addr: src, remote_port: segment.src_port };
        let hash = self.tcp.hash(tuple);
        match self.tcp.find(hash, tuple) {
            Some(Target::Conn(index)) => {
                #[cfg(feature = "hooks")]
                if self.hooks.is_none() {
                    self.tcp.last = index;
                }
                #[cfg(not(feature = "hooks"))]
                {
                    self.tcp.last = index;
                }
                #[cfg(not(feature = "time-wait"))]
                return self.succeed(index, tuple, segment, iface);
                #[cfg(feature = "time-wait")]
                Ok(Some(index))
            }
            #[cfg(feature = "time-wait")]
            Some(Target::TimeWait(index)) => self.segment_in_time_wait(index, hash, tuple, segment, iface),
            None => self.segment_for_listener(tuple, segment, iface, None),
        }
    }

    #[inline]
    fn segment_for_connection(&mut self, index: u32, segment: &Segment<'_>) -> Drop {
        self.stats.tcp_segments_in =
            self.stats.tcp_segments_in.wrapping_add(segment.size.segments(segment.payload.len()));
        let now = self.now;
        let Some(entry) = self.tcp.conns.at_mut(index) else { return Ok(()) };
        let was_synchronized = entry.conn.is_synchronized();
        let una = entry.conn.unacknowledged_edge();
        let verdict = entry.conn.handle_segment(now, segment);
        // A new acknowledgment came back by the neighbour: it is reachable (RFC 4861 §7.3.1).
        if entry.conn.unacknowledged_edge() != una
            && let Some(way) = &entry.neighbor
            && let Some(place) = way.place
        {
            self.neighbors.confirm(now, place, way.iface.0, way.addr);
        }
        if entry.conn.owes(now) {
            self.sched.wake(entry.node, entry.iface.index());
        }
        let established = !was_synchronized && entry.conn.is_synchronized();
        entry.schedule(&mut self.sched, verdict.events);
        if established {
            self.established(index);
        }
        if verdict.reset.is_some() || verdict.fate != Fate::Open {
            self.settle_end(index, verdict.reset, verdict.fate);
        }
        verdict.drop.map_or(Ok(()), Err)
    }

    /// A handshake is complete: an accepted connection goes to its listener's queue.
    #[cold]
    fn established(&mut self, index: u32) {
        self.stats.tcp_established = self.stats.tcp_established.wrapping_add(1);
        log::debug!("TCP connection {} is established", index);
        let Some(entry) = self.tcp.conns.at_mut(index) else { return };
        let Owner::Handshake(listener) = entry.owner else { return };
        entry.owner = Owner::Queue(listener);
        self.join_accepted(listener, index);
        if let Some(queue) = self.tcp.listeners.at(listener) {
            self.sched.post(queue.node, Readiness::ACCEPT);
        }
    }

    /// RFC 9293 §3.10.7.1: a segment for no connection is answered by a reset, unless it is one.
    pub(crate) fn segment_for_nobody(&mut self, tuple: &Tuple, segment: &Segment<'_>, iface: IfaceId) -> DropReason {
        let Some(reset) = Reset::reset_for(segment) else { return DropReason::TcpBadReset };
        self.send_reset(iface, tuple, reset);
        DropReason::TcpNoSocket
    }

    /// Sends a reset that belongs to no connection's send sequence, within the rate.
    pub(crate) fn send_reset(&mut self, iface: IfaceId, tuple: &Tuple, reset: Reset) {
        if !self.limiter.allow(self.now, tuple.remote_addr) {
            self.stats.drop(DropReason::RateLimited);
            return;
        }
        self.stats.tcp_resets_out = self.stats.tcp_resets_out.wrapping_add(1);
        self.send_bare(iface, tuple, &reset);
    }

    /// Sends an answer that no connection keeps account of.
    pub(crate) fn send_bare(&mut self, iface: IfaceId, tuple: &Tuple, answer: &Reset) {
        let header = answer.header(tuple.local_port, tuple.remote_port);
        self.send_control(iface, tuple, &header, self.config.ttl, 0);
    }

    pub(crate) fn send_control(&mut self, arrived: IfaceId, tuple: &Tuple, header: &Header, ttl: u8, tos: u8) {
        let iface = self.hop_back(Some(tuple.local_addr), tuple.remote_addr, arrived).map_or(arrived, |hop| hop.iface);
        match self.control_frame(iface, tuple, header, ttl, tos) {
            Some(frame) => {
                self.queue_reply(iface, Reply::Ip(frame));
            }
            None => self.stats.drop(DropReason::EgressFull),
        }
    }

    /// Takes what a connection said about itself into the tables: its timer, its events, its end.
    pub(crate) fn settle(&mut self, index: u32, verdict: &Verdict) {
        let Some(entry) = self.tcp.conns.at(index) else { return };
        entry.schedule(&mut self.sched, verdict.events);
        if verdict.reset.is_some() || verdict.fate != Fate::Open {
            self.settle_end(index, verdict.reset, verdict.fate);
        }
    }

    /// What few segments lead to: a reset of no connection's, the end of this one.
    #[cold]
    pub(crate) fn settle_end(&mut self, index: u32, reset: Option<Reset>, fate: Fate) {
        let Some(entry) = self.tcp.conns.at(index) else { return };
        if let Some(reset) = reset {
            let (tuple, iface) = (entry.conn.tuple(), entry.iface);
            self.send_reset(iface, &tuple, reset);
        }
        match fate {
            Fate::Open => {}
            #[cfg(feature = "time-wait")]
            Fate::TimeWait => self.enter_time_wait(index),
            Fate::Closed => self.ended(index),
            #[cfg(feature = "tuning")]
            Fate::Holds => self.bound_beyond(index),
        }
    }
}

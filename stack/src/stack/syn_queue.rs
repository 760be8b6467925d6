//! Listening with a queue of handshakes: what comes for it, and the SYN|ACKs it owes.
//!
//! Implements RFC 9293 §3.10.7.2 with RFC 4987 §3: a SYN takes a small entry of its listener's (`tcp/listen.rs`), and only
//! the last ACK a connection. Without the feature `syn-queue`, `no_syn_queue.rs` stands here.

use super::{IfaceId, Stack};
use crate::error::BindError;
use crate::family::IpAddr;
use crate::ready::NodeId;
use crate::sockets::demux::Tuple;
use crate::stats::DropReason;
use crate::tcp::conn::Conn;
use crate::tcp::isn;
use crate::tcp::layer::{ListenOptions, Owner};
use crate::tcp::listen::{COOKIES, Handshake, ListenVerdict, Listener, SynAck};
use crate::tx::{Hop, Turn};
use crate::wire::segment::Segment;

impl<'a> Stack<'a> {
    /// A listener, with room for its handshakes.
    pub(super) fn new_listener(&mut self, options: &ListenOptions) -> Result<Listener<'a>, BindError> {
        let syns = self.tcp.syns.take(crate::grow::vector).ok_or(BindError::NoBuffer)?;
        Ok(Listener::new(syns, options, &self.config.secret))
    }

    /// What a listener had is back in stock.
    pub(super) fn discard_listener(&mut self, listener: Listener<'a>) {
        self.tcp.syns.give_back(listener.into_storage());
    }

    /// Takes the connection that has waited longest for this listener's user.
    pub(super) fn next_accepted(&mut self, listener: u32) -> Option<u32> {
        self.tcp.listeners.at_mut(listener)?.listener.accept()
    }

    /// Whether a connection waits for this listener's user.
    pub(super) fn has_accepted(&self, listener: u32) -> bool {
        self.tcp.listeners.at(listener).is_some_and(|entry| entry.listener.has_accepted())
    }

    /// A connection whose handshake is complete joins its listener's queue; whether it does.
    pub(crate) fn join_accepted(&mut self, listener: u32, index: u32) -> bool {
        // The listener said that there is room before the connection was made.
        self.tcp.listeners.at_mut(listener).is_some_and(|entry| entry.listener.accepted(index))
    }

    /// A connection is not to be accepted any more.
    pub(super) fn leave_accepted(&mut self, listener: u32, index: u32) {
        if let Some(entry) = self.tcp.listeners.at_mut(listener) {
            entry.listener.forget(index);
        }
    }

    /// Handshakes with an address that is not ours any more are forgotten.
    pub(super) fn forget_handshakes(&mut self, ip: IpAddr) {
        let mut next = self.tcp.listeners.next_index(0);
        while let Some(index) = next {
            next = self.tcp.listeners.next_index(index + 1);
            if let Some(entry) = self.tcp.listeners.at_mut(index) {
                entry.listener.on_address_gone(ip);
            }
            self.schedule_listener(index);
        }
    }

    /// A segment for no connection, to an address and port that may have a listener: the connection that it completes.
    pub(crate) fn segment_for_listener(
        &mut self,
        tuple: &Tuple,
        segment: &Segment<'_>,
        iface: IfaceId,
        min_isn: Option<crate::seq::Seq>,
    ) -> Result<Option<u32>, DropReason> {
        let now = self.now;
        let Some(index) = self.tcp.find_listener(tuple) else {
            return Err(self.segment_for_nobody(tuple, segment, iface));
        };
        let isn = isn::isn(&self.tcp.isn_key, tuple, now);
        let Some(entry) = self.tcp.listeners.at_mut(index) else { return Ok(None) };
        let node = entry.node;
        let verdict = match min_isn {
            Some(min) => entry.listener.handle_successor(now, tuple, segment, isn, min),
            None => entry.listener.handle_segment(now, tuple, segment, isn),
        };
        match verdict {
            ListenVerdict::Drop(reason) => Err(reason),
            ListenVerdict::Reset(reset) => {
                self.send_reset(iface, tuple, reset);
                Err(DropReason::TcpNoSocket)
            }
            ListenVerdict::Queued { dropped } => {
                self.sched.wake(node, iface.index());
                self.schedule_listener(index);
                dropped.map_or(Ok(None), Err)
            }
            ListenVerdict::Complete(handshake) => self.complete(index, tuple, iface, &handshake).map(Some),
            ListenVerdict::Stateless(syn_ack) => {
                if COOKIES {
                    self.send_cookie(index, iface, syn_ack);
                }
                Ok(None)
            }
        }
    }

    /// A SYN|ACK that nothing but its cookie will remember leaves as a reply: one for one SYN, and no longer than it.
    fn send_cookie(&mut self, listener: u32, arrived: IfaceId, SynAck { tuple, mut header, .. }: SynAck) {
        let Some(entry) = self.tcp.listeners.at(listener) else { return };
        let (ttl, tos) = (entry.options.tcp.ttl, entry.options.tcp.dscp << 2);
        let iface = self.hop_back(Some(tuple.local_addr), tuple.remote_addr, arrived).map_or(arrived, |hop| hop.iface);
        header.options.mss = Some(self.announced_mss(iface, &tuple, header.options.mss));
        self.stats.tcp_cookies_out = self.stats.tcp_cookies_out.wrapping_add(1);
        self.stats.tcp_segments_out = self.stats.tcp_segments_out.wrapping_add(1);
        self.send_control(iface, &tuple, &header, ttl, tos);
    }

    /// The last ACK of a handshake has come: the connection is made, and will take the segment as its first.
    fn complete(
        &mut self,
        listener: u32,
        tuple: &Tuple,
        iface: IfaceId,
        handshake: &Handshake,
    ) -> Result<u32, DropReason> {
        let entry = self.tcp.listeners.at(listener).ok_or(DropReason::TcpNoSocket)?;
        let options = entry.options.tcp;
        let mss = self.mss(iface, tuple.remote_addr);
        let buffers = self.take_buffers(&options).ok_or(DropReason::TcpAcceptQueueFull)?;
        let conn = Conn::accepted(*tuple, &options, buffers, mss, handshake, self.now);
        let Ok(index) = self.add_connection(conn, iface, Owner::Handshake(listener)) else {
            return Err(DropReason::TcpAcceptQueueFull);
        };
        if let Some(entry) = self.tcp.listeners.at_mut(listener) {
            entry.listener.remove(tuple);
        }
        self.schedule_listener(listener);
        Ok(index)
    }

    /// A listener's turn: one SYN|ACK.
    pub(crate) fn listener_turn(&mut self, id: IfaceId, node: NodeId, index: u32) -> Turn<'a> {
        let now = self.now;
        let Some(entry) = self.tcp.listeners.at(index) else { return Turn::Done };
        let Some(mut plan) = entry.listener.plan(now) else {
            self.schedule_listener(index);
            return Turn::Done;
        };
        let (tuple, own) = (plan.tuple, plan.header.options.mss);
        if !self.is_ours(tuple.local_addr) {
            self.stats.drop(DropReason::SourceGone);
            self.commit_syn_ack(id, node, index, &plan);
            return Turn::Done;
        }
        plan.header.options.mss = Some(self.announced_mss(id, &tuple, own));
        let (ttl, tos) = (entry.options.tcp.ttl, entry.options.tcp.dscp << 2);
        let hop = self.hop_back(Some(tuple.local_addr), tuple.remote_addr, id);
        if let Some(Hop { iface, .. }) = hop
            && iface != id
            && !self.stays_here(tuple.remote_addr)
        {
            self.sched.wake(node, iface.index());
            return Turn::Done;
        }
        let Some(frame) = self.control_frame(id, &tuple, &plan.header, ttl, tos) else {
            self.sched.wake(node, id.index());
            return Turn::Stall;
        };
        // It counts as sent whether or not it leaves, and is sent again in its time, so that no other entry waits for it.
        self.commit_syn_ack(id, node, index, &plan);
        #[cfg(feature = "hooks")]
        if self.hooks.is_some() && (hop.is_some() || self.stays_here(tuple.remote_addr)) {
            return self.turn_of_segment(id, frame);
        }
        // From here on it is as any packet: one to a neighbour not known yet is parked with the others for it.
        if hop.is_some() { self.turn_of_parked(id, frame) } else { self.turn_of(id, frame) }
    }

    /// The MSS of a SYN|ACK that leaves by `id`, of which the user allows `own`.
    fn announced_mss(&self, id: IfaceId, tuple: &Tuple, own: Option<u16>) -> u16 {
        // RFC 9293 §3.7.1 (MUST-67): no more than the interface lets in.
        let mss = self.mss(id, tuple.remote_addr);
        own.map_or(mss, |own| own.min(mss))
    }

    fn commit_syn_ack(&mut self, id: IfaceId, node: NodeId, index: u32, plan: &SynAck) {
        self.stats.tcp_segments_out = self.stats.tcp_segments_out.wrapping_add(1);
        let Some(entry) = self.tcp.listeners.at_mut(index) else { return };
        entry.listener.commit(self.now, plan);
        if entry.listener.owes() {
            self.sched.wake(node, id.index());
        }
        self.schedule_listener(index);
    }

    pub(super) fn listener_deadline(&mut self, index: u32) {
        let Some(entry) = self.tcp.listeners.at_mut(index) else { return };
        entry.listener.on_deadline(self.now);
        let node = entry.node;
        if let Some(plan) = entry.listener.plan(self.now) {
            // Without a way, it learns so on any interface.
            let Tuple { local_addr, remote_addr, .. } = plan.tuple;
            let hop = self.hop_from(Some(local_addr), remote_addr, None).map(|hop| hop.iface);
            if let Some(iface) = hop.or_else(|| self.interfaces().next().map(|i| i.id)) {
                self.sched.wake(node, iface.index());
            }
        }
        self.schedule_listener(index);
    }

    fn schedule_listener(&mut self, index: u32) {
        let Some(entry) = self.tcp.listeners.at(index) else { return };
        self.sched.arm(entry.node, entry.listener.deadline());
    }
}

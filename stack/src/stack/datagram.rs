//! What UDP, raw and echo sockets share: queues from stock, frames for datagrams, the way they leave.

use super::{Iface, IfaceId, Reply, Stack};
use crate::error::{BindError, SendError};
use crate::family::IpAddr;
use crate::frame::Frame;
use crate::ip::v4::{self, Fields};
use crate::ready::{Key, NodeId};
use crate::sockets::queue::{self, Queue};
use crate::tx::CUTS;
use crate::wire::{ip, ipv4};
use core::net::Ipv4Addr;

/// The largest payload behind an IPv4 header and one of eight octets (UDP, ICMP): 65,535 less both. IPv6 would allow 20
/// octets more; one limit for both is easier to live with.
pub const MAX_UDP_PAYLOAD: usize = 65_507;

/// Datagrams queued each way on raw and echo sockets.
const QUEUE: usize = 16;

impl<'a> Stack<'a> {
    /// A receive and a transmit queue from stock.
    pub(super) fn take_queues(&mut self, rx: usize, tx: usize) -> Result<(Queue<'a>, Queue<'a>), BindError> {
        let [a, b] = self.queues.take(queue::growing).ok_or(BindError::NoBuffer)?;
        Ok((Queue::new(a, rx.max(1)), Queue::new(b, tx.max(1))))
    }

    pub(super) fn give_queues(&mut self, rx: Queue<'a>, tx: Queue<'a>) {
        self.queues.give_back([rx.into_places(), tx.into_places()]);
    }

    /// A frame for a packet to `dst` with `len` octets behind the IP header, and `headers` more to push: from the
    /// interface's pool if it fits, else from the large pool.
    pub(super) fn datagram_frame(
        &self,
        iface: IfaceId,
        dst: IpAddr,
        headers: usize,
        len: usize,
    ) -> Result<Frame<'a>, SendError> {
        let state = self.iface(iface).ok_or(SendError::NoRoute)?;
        let headroom = state.headroom() + ip::header_len(dst) + headers;
        let fits = |slot: usize| headroom + len <= slot;
        if ip::header_len(dst) + headers + len <= state.ip_mtu() {
            return state.pool.take_above(self.config.reserve_rx.min(2), headroom).ok_or(SendError::WouldBlock);
        }
        let pool = self.config.large_pool.unwrap_or(state.pool);
        if !CUTS || !fits(pool.slot_size()) {
            return Err(SendError::TooLong);
        }
        pool.take(headroom).ok_or(SendError::WouldBlock)
    }

    /// By which interface, and from which address, a datagram to `dst` leaves.
    pub(super) fn datagram_way(
        &self,
        dst: IpAddr,
        by: Option<IfaceId>,
        local: Option<IpAddr>,
    ) -> Result<(IfaceId, IpAddr), SendError> {
        // A host that has no address yet reaches whoever is on one link (RFC 1122 §3.2.1.3 (a)).
        if let (Some(iface), Some(from)) = (by, local)
            && from.is_unspecified()
            && dst == IpAddr::V4(Ipv4Addr::BROADCAST)
            && let Some(state) = self.iface(iface)
        {
            return if state.is_up() { Ok((iface, from)) } else { Err(SendError::LinkDown) };
        }
        let way = match by {
            Some(iface) => self
                .hop(dst, by)
                .and_then(|hop| Some((iface, self.iface(iface)?.source_for(self.now, hop.towards(dst))?))),
            None => self.source_from(local, dst),
        };
        let (iface, source) = way.ok_or(SendError::NoRoute)?;
        if !self.iface(iface).is_some_and(Iface::is_up) && !self.stays_here(dst) {
            return Err(SendError::LinkDown);
        }
        // A socket that is bound to an interface may be so to an address of another.
        #[cfg(feature = "strong-host")]
        if local.is_some_and(|l| self.is_held_to_source(l) && !self.is_at(iface, l)) && !self.is_own(dst) {
            return Err(SendError::NotOurAddress);
        }
        match local {
            Some(l) if is_group(l) || self.is_any_broadcast(l) => Ok((iface, source)),
            Some(l) if self.may_send(l, dst) => Ok((iface, l)),
            Some(_) => Err(SendError::NotOurAddress),
            None => Ok((iface, source)),
        }
    }

    /// Puts an IP header in front of a datagram of `protocol`, with these hop limit and traffic class.
    pub(crate) fn push_ip(
        &mut self,
        frame: &mut Frame<'a>,
        iface: IfaceId,
        (src, dst): (IpAddr, IpAddr),
        protocol: u8,
        (ttl, tos): (u8, u8),
    ) -> Result<(), SendError> {
        match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                self.push_ipv4(frame, iface, &Fields { src, dst, protocol, ttl, tos, ident: 0, dont_frag: false })
            }
            #[cfg(feature = "ipv6")]
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                use crate::wire::ipv6;
                let len = frame.len();
                if len > usize::from(u16::MAX) {
                    return Err(SendError::TooLong);
                }
                let fields = ipv6::Fields { src, dst, next_header: protocol, hop_limit: ttl, traffic_class: tos };
                ipv6::emit(frame.push_front(ipv6::HEADER).ok_or(SendError::TooLong)?, &fields, len);
                Ok(())
            }
            _ => Err(SendError::InvalidRemote),
        }
    }

    /// Puts an IPv4 header in front of a datagram. One that will be cut up gets an identification (RFC 6864 §4.3), one
    /// that fits is atomic, and says so by DF where nobody needs to cut it.
    pub(crate) fn push_ipv4(
        &mut self,
        frame: &mut Frame<'a>,
        iface: IfaceId,
        fields: &Fields,
    ) -> Result<(), SendError> {
        let payload_len = frame.len();
        if payload_len + ipv4::HEADER > usize::from(u16::MAX) {
            return Err(SendError::TooLong);
        }
        let mtu = self.iface(iface).ok_or(SendError::NoRoute)?.ip_mtu();
        debug_assert!(payload_len <= mtu || !fields.dont_frag, "what is longer than the MTU may be cut up");
        // Without path MTU discovery for datagrams, routers may cut ours up: DF stays clear and each has its identity.
        let ident = if fields.dont_frag { 0 } else { self.ids.next(fields.src, fields.dst, fields.protocol) };
        let header = frame.push_front(ipv4::HEADER).ok_or(SendError::TooLong)?;
        v4::emit(header, &Fields { ident, ..*fields }, payload_len);
        Ok(())
    }

    /// What a closing socket had yet to send is handed to its interface, as far as there is room.
    pub(super) fn hand_over(&mut self, tx: &mut Queue<'a>) {
        while let Some(item) = tx.pop() {
            self.queue_reply(IfaceId(item.iface), Reply::Ip(item.frame));
        }
    }

    pub(super) fn datagram_parts(&mut self, key: Key) -> Result<(NodeId, Queue<'a>, Queue<'a>), BindError> {
        let (rx, tx) = self.take_queues(QUEUE, QUEUE)?;
        match self.sched.alloc(key) {
            Ok(node) => Ok((node, rx, tx)),
            Err(_) => {
                self.give_queues(rx, tx);
                Err(BindError::Full)
            }
        }
    }
}

/// Whether packets can go to `dst`: it is somebody, in a family that is built.
pub(super) fn is_reachable(dst: IpAddr) -> bool {
    match dst {
        IpAddr::V4(ip) => !ip.is_unspecified() && (cfg!(feature = "loopback") || !ip.is_loopback()),
        IpAddr::V6(ip) => cfg!(feature = "ipv6") && !ip.is_unspecified() && ip.to_ipv4_mapped().is_none(),
    }
}

/// Whether `ip` stands for several hosts: a group, or everybody.
pub(super) fn is_group(ip: IpAddr) -> bool {
    ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST)
}

/// Copies as much as fits.
pub(super) fn copy(to: &mut [u8], from: &[u8]) {
    let len = to.len().min(from.len());
    if let (Some(to), Some(from)) = (to.get_mut(..len), from.get(..len)) {
        to.copy_from_slice(from);
    }
}

//! A packet goes on by the link that it came by: its sender, if it is on that link, is told who is the better first hop.
//!
//! Implements RFC 1812 §5.2.7.2 and RFC 4861 §8.2. The packet itself goes on in any case.

use crate::family::IpAddr;
use crate::icmp::{self, Report};
use crate::stack::Stack;
#[cfg(feature = "ipv6")]
use crate::stack::{IfaceId, Reply};
#[cfg(feature = "ipv6")]
use crate::stats::DropReason;
use crate::tx::Hop;
use crate::wire::{ip, ipv4};
use core::net::Ipv4Addr;
#[cfg(feature = "ipv6")]
use core::net::Ipv6Addr;

impl Stack<'_> {
    /// Tells the sender of `packet`, which came by the interface of `hop`, of that hop.
    #[cold]
    #[inline(never)]
    pub(super) fn redirect_sender(&mut self, hop: Hop, packet: &[u8]) {
        match ip::addresses(packet) {
            Some((src @ IpAddr::V4(_), dst)) => self.redirect_v4(hop, src, dst, packet),
            #[cfg(feature = "ipv6")]
            Some((IpAddr::V6(src), IpAddr::V6(dst))) => self.redirect_v6(hop, src, dst, packet),
            _ => {}
        }
    }

    //= https://www.rfc-editor.org/rfc/rfc1812#section-5.2.7.2
    //# Routers MUST NOT generate a Redirect Message unless all the following
    //# conditions are met:
    fn redirect_v4(&mut self, hop: Hop, src: IpAddr, dst: IpAddr, packet: &[u8]) {
        let Ok(header) = ipv4::parse(packet) else { return };
        let payload = packet.get(header.header_len..).unwrap_or(&[]);
        let IpAddr::V4(next) = hop.next else { return };
        let Some(own) = self.common_network(hop, src) else { return };
        if src != hop.next && icmp::may_report_transit(&header, payload) && self.redirected.is_due(self.now, src, dst) {
            self.send_report(Report::Redirect(next), src, own.into(), packet);
        }
    }

    /// Our address in the network that has both `src` and the next hop.
    fn common_network(&self, hop: Hop, src: IpAddr) -> Option<Ipv4Addr> {
        let iface = self.iface(hop.iface).filter(|iface| iface.is_ethernet())?;
        let network = iface.addresses.iter().find(|a| a.has(src) && a.has(hop.next))?;
        match network.ip() {
            IpAddr::V4(own) => Some(own),
            IpAddr::V6(_) => None,
        }
    }

    //= https://www.rfc-editor.org/rfc/rfc4861#section-8.2
    //# A router SHOULD send a redirect message, subject to rate limiting,
    //# whenever it forwards a packet that is not explicitly addressed to
    //# itself (i.e., a packet that is not source routed through the router)
    #[cfg(feature = "ipv6")]
    fn redirect_v6(&mut self, hop: Hop, src: Ipv6Addr, dst: Ipv6Addr, packet: &[u8]) {
        let IpAddr::V6(target) = hop.next else { return };
        // A router is known to hosts by its address of the link; of one that we know by another nothing can be said.
        let is_told = target == dst || target.is_unicast_link_local();
        let Some(own) = self.link_local_towards(hop.iface, src).filter(|_| is_told && target != src) else { return };
        let Some(&next) = packet.get(crate::wire::ipv6::NEXT_HEADER) else { return };
        let (protocol, payload) = super::v6::upper_layer(packet, next);
        if !icmp::v6::may_report(src.into(), protocol, payload)
            || !self.redirected.is_due(self.now, src.into(), dst.into())
        {
            return;
        }
        if !self.limiter.allow(self.now, src.into()) {
            return self.stats.drop(DropReason::RateLimited);
        }
        let mac = self.neighbors.mac_of(hop.iface.0, hop.next);
        let Some(iface) = self.iface(hop.iface) else { return };
        let frame = iface.pool.take_above(self.config.reserve_rx, iface.headroom() + crate::wire::ipv6::HEADER);
        let redirect = crate::wire::redirect::Redirect { target, destination: dst, mac, packet };
        let frame = frame.and_then(|mut f| icmp::v6::redirect(&mut f, &redirect, own, src).map(|()| f));
        let Some(frame) = frame else { return self.stats.drop(DropReason::EgressFull) };
        self.stats.icmp_out = self.stats.icmp_out.wrapping_add(1);
        self.queue_reply(hop.iface, Reply::Parked(frame));
    }

    /// Our link-local address on the link of `src`, where that is a neighbour.
    #[cfg(feature = "ipv6")]
    fn link_local_towards(&self, id: IfaceId, src: Ipv6Addr) -> Option<Ipv6Addr> {
        let iface = self.iface(id).filter(|iface| iface.is_ethernet())?;
        if !iface.addresses.iter().any(|a| a.has(src.into())) {
            return None;
        }
        iface.link_local()
    }
}

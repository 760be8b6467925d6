//! The strong host model: a packet passes by the interface that has our address of it, and by no other.
//!
//! Implements RFC 1122 §3.3.4.2 for both families. Which packets are received is asked in `rx`, by which interface they leave
//! where ways are looked up: connections that remember theirs are not held up.

use super::{IfaceId, Stack};
use crate::config::HostModel;
use crate::family::IpAddr;
use crate::tx::{Hop, is_group};

impl Stack<'_> {
    /// Whether packets are held to the interface that has their address. A router's are not (RFC 1812 §5.2.3).
    #[inline]
    pub(crate) fn is_strong(&self) -> bool {
        #[cfg(feature = "forward")]
        if self.forwarding.is_some() {
            return false;
        }
        self.config.host_model == HostModel::Strong
    }

    /// Whether packets from `src` leave by one interface only: `src` is ours, and this is a strong host.
    #[inline]
    pub(crate) fn is_held_to_source(&self, src: IpAddr) -> bool {
        self.is_strong() && !src.is_loopback() && self.is_ours(src)
    }

    /// Whether an interface has `ip`, or answers for it.
    pub(crate) fn is_at(&self, id: IfaceId, ip: IpAddr) -> bool {
        self.iface(id).is_some_and(|iface| iface.has_address(ip)) || self.is_held_on(id, ip)
    }

    /// The way from `src`, which is an address of ours, to `dst`: as any, by the interface that has `src`.
    //= https://www.rfc-editor.org/rfc/rfc1122#section-3.3.4.2
    //# A host MAY restrict itself to sending (non-source-
    //# routed) IP datagrams only through the physical
    //# interface that corresponds to the IP source address of
    //# the datagrams.
    #[cold]
    #[inline(never)]
    pub(crate) fn hop_of_source(&self, src: IpAddr, dst: IpAddr, by: Option<IfaceId>) -> Option<Hop> {
        let may = |id: IfaceId| by.is_none_or(|by| by == id) && self.is_at(id, src);
        let ids = (0..self.ifaces.len()).map(|index| IfaceId(index as u8));
        for id in ids {
            if may(id) && (is_group(dst) || self.iface(id).is_some_and(|iface| iface.is_broadcast_ip(dst))) {
                return Some(Hop { iface: id, next: dst });
            }
        }
        #[cfg(feature = "policy")]
        if let Some(hop) = self.chosen(Some(src), dst, None) {
            return may(hop.iface).then_some(hop);
        }
        let fitting = self.routes.iter().filter(|r| r.prefix.has(dst) && (may(r.iface) || r.iface.is_nowhere()));
        let mut ways = fitting.map(|r| Hop { iface: r.iface, next: r.next_hop(dst) });
        let best = ways.next()?;
        let is_usable = |hop: &Hop| {
            hop.iface.is_nowhere()
                || self.iface(hop.iface).is_some_and(super::Iface::is_up)
                    && self.neighbors.is_usable(self.now, hop.iface.0, hop.next)
        };
        let hop = if is_usable(&best) { best } else { ways.find(is_usable).unwrap_or(best) };
        (!hop.iface.is_nowhere()).then_some(hop)
    }
}

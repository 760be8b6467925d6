//! Zones: a link-local address means something on one link only, and which one has to be said where there are several.
//!
//! Implements RFC 4007 §6. Where nobody says it, nothing is guessed: there is no route.

#[cfg(any(feature = "tcp", feature = "udp"))]
use super::IfaceId;
use super::Stack;
use crate::family::IpAddr;
#[cfg(any(feature = "tcp", feature = "udp"))]
use crate::family::SocketAddr;
use crate::ip::v6;

/// The interface that the zone of an address names; one that there is not leads nowhere.
#[cfg(any(feature = "tcp", feature = "udp"))]
pub(crate) fn zone_of(addr: SocketAddr) -> Option<IfaceId> {
    let SocketAddr::V6(addr) = addr else { return None };
    let number = addr.scope_id().checked_sub(1)?;
    Some(u8::try_from(number).map_or(IfaceId::BLACKHOLE, IfaceId))
}

impl Stack<'_> {
    /// Whether `dst` is link-local and may be on several links.
    pub(crate) fn is_ambiguous(&self, dst: IpAddr) -> bool {
        let has_link_local = |i: &&super::Iface<'_>| i.addresses.iter().any(|a| v6::is_link_local(a.ip()));
        v6::is_link_local(dst) && self.ifaces.iter().flatten().filter(has_link_local).nth(1).is_some()
    }

    /// As [`source`](Self::source), by the interface that a zone names, if one does.
    #[cfg(any(feature = "tcp", feature = "udp"))]
    pub(crate) fn source_in(&self, zone: Option<IfaceId>, dst: IpAddr) -> Option<(IfaceId, IpAddr)> {
        if zone.is_none() || self.is_own(dst) {
            return self.source(dst);
        }
        let hop = self.hop(dst, zone)?;
        Some((hop.iface, self.iface(hop.iface)?.source_for(self.now, hop.towards(dst))?))
    }
}

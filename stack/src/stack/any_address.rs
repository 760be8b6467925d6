//! Any address: an interface that answers for all addresses under a prefix, as if each were its own.
//!
//! ARP and neighbour solicitations for them are answered (RFC 1027, RFC 4861 §7.2.8), packets to them are taken, and what is
//! sent back comes from them. They are in no list of addresses: no source is chosen among them, none is announced or tried,
//! and what we send to one leaves by its route.

use super::{IfaceId, Stack};
use crate::error::AddressError;
use crate::family::IpAddr;
use crate::ip::addr::{Cidr, is_unicast_host};

/// Prefixes of one stack that are answered for, at most.
pub const MAX_HELD: usize = 4;

impl Stack<'_> {
    /// Has an interface answer for every address under `prefix` that can be a host's: sockets without an address of their own
    /// take what comes for them, and others may be bound to one.
    ///
    /// Whoever else has such an address on the link is answered for, too: leave addresses out that others have. Trials of
    /// addresses (RFC 5227, RFC 4862 §5.4) are not answered. The device is told to receive everything where there is IPv6
    /// among them.
    ///
    /// # Errors
    /// [`AddressError::Duplicate`], [`AddressError::NoInterface`], or [`AddressError::Full`] with [`MAX_HELD`] prefixes.
    pub fn answer_for(&mut self, id: IfaceId, prefix: Cidr) -> Result<(), AddressError> {
        let prefix = prefix.network();
        if self.iface(id).is_none() {
            return Err(AddressError::NoInterface);
        }
        if self.held.contains(&(id, prefix)) {
            return Err(AddressError::Duplicate);
        }
        self.held.push((id, prefix)).map_err(|_| AddressError::Full)?;
        self.refilter.insert(id.index());
        Ok(())
    }

    /// Ends [`answer_for`](Self::answer_for). Connections from addresses that are nobody's then end with `AddressGone`, and
    /// nothing leaves from them any more.
    ///
    /// # Errors
    /// [`AddressError::Invalid`] when the interface does not answer for `prefix`.
    pub fn stop_answering_for(&mut self, id: IfaceId, prefix: Cidr) -> Result<(), AddressError> {
        let held = (id, prefix.network());
        let at = self.held.iter().position(|h| *h == held).ok_or(AddressError::Invalid)?;
        self.held.swap_remove(at);
        self.held_gone(id);
        Ok(())
    }

    /// As [`stop_answering_for`](Self::stop_answering_for), of all that an interface answers for.
    pub(super) fn hold_nothing(&mut self, id: IfaceId) {
        let before = self.held.len();
        self.held.retain(|(iface, _)| *iface != id);
        if self.held.len() != before {
            self.held_gone(id);
        }
    }

    fn held_gone(&mut self, id: IfaceId) {
        self.refilter.insert(id.index());
        #[cfg(feature = "tcp")]
        self.end_strangers();
    }

    /// Whether `ip` is under a prefix that is answered for, and can be a host's.
    #[inline]
    pub(crate) fn answers_for(&self, ip: IpAddr) -> bool {
        !self.held.is_empty() && self.answers(None, ip)
    }

    /// As [`answers_for`](Self::answers_for), on this interface.
    #[inline]
    pub(crate) fn answers_on(&self, id: IfaceId, ip: IpAddr) -> bool {
        !self.held.is_empty() && self.answers(Some(id), ip)
    }

    #[cold]
    #[inline(never)]
    fn answers(&self, on: Option<IfaceId>, ip: IpAddr) -> bool {
        self.held.iter().any(|(id, prefix)| on.is_none_or(|on| on == *id) && prefix.has(ip))
            && is_unicast_host(ip)
            && !is_link_local(ip)
            && !self.is_any_broadcast(ip)
            && !self.is_tried(ip)
    }

    /// Whether `ip` is on trial.
    fn is_tried(&self, ip: IpAddr) -> bool {
        #[cfg(feature = "ipv6")]
        return self.ifaces.iter().flatten().any(|i| i.v6.is_tentative(ip));
        #[cfg(not(feature = "ipv6"))]
        {
            let _ = ip;
            false
        }
    }

    /// Whether an interface answers for IPv6 addresses: their solicitations go to as many groups.
    pub(super) fn answers_for_v6(&self, id: IfaceId) -> bool {
        self.held.iter().any(|(iface, prefix)| *iface == id && prefix.addr().is_ipv6())
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    #[cfg(feature = "ipv6")]
    return crate::ip::v6::is_link_local(ip);
    #[cfg(not(feature = "ipv6"))]
    {
        let _ = ip;
        false
    }
}

//! IPv6 for the user: addresses that come by themselves, and what can be read of them.

use super::{AddressState, Identifiers, IfaceId, RouterFlags, Stack};
use crate::error::{AddressError, RouteError};
use crate::ip::addr::Cidr;
use crate::ip::route::Route;
use crate::ip::v6;
use crate::wire::ipv6::MIN_MTU;
use core::net::{IpAddr, Ipv6Addr};

/// fe80::.
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);

impl Stack<'_> {
    /// Gives an interface a link-local address, which neighbour discovery and router advertisements go by.
    ///
    /// # Errors
    /// As [`add_address`](Self::add_address); [`AddressError::Invalid`] where the medium has no addresses to make it from.
    pub fn add_link_local(&mut self, id: IfaceId, identifiers: Identifiers) -> Result<(), AddressError> {
        let secret = self.config.secret;
        let iface = self.ifaces.get_mut(id.index()).and_then(Option::as_mut).ok_or(AddressError::NoInterface)?;
        if !iface.is_ethernet() {
            return Err(AddressError::Invalid);
        }
        iface.v6.identifiers = identifiers;
        let identifier = match identifiers {
            Identifiers::Opaque => v6::opaque(&secret, LINK_LOCAL, iface.mac, 0),
            Identifiers::Eui64 => v6::eui64(iface.mac),
        };
        let addr = v6::with_identifier(LINK_LOCAL, identifier);
        self.add_address(id, Cidr::new(addr.into(), 64).ok_or(AddressError::Invalid)?)
    }

    /// Has an interface configure itself: a link-local address, then addresses, routes, DNS servers and limits from router
    /// advertisements (RFC 4862, RFC 4861 §6.3, RFC 4191, RFC 8106), and redirects followed. Without this call all these
    /// are left alone.
    ///
    /// # Errors
    /// As [`add_link_local`](Self::add_link_local).
    pub fn autoconfigure(&mut self, id: IfaceId, identifiers: Identifiers) -> Result<(), AddressError> {
        let has_one = self.iface(id).is_some_and(|i| {
            let tentative = i.v6.tentative.iter().map(|t| t.cidr.addr());
            i.addresses.iter().map(Cidr::addr).chain(tentative).any(v6::is_link_local)
        });
        if !has_one {
            self.add_link_local(id, identifiers)?;
        }
        let (now, rng) = (self.now, &mut self.rng);
        let iface = self.ifaces.get_mut(id.index()).and_then(Option::as_mut).ok_or(AddressError::NoInterface)?;
        if !iface.is_ethernet() {
            return Err(AddressError::Invalid);
        }
        iface.v6.identifiers = identifiers;
        iface.v6.follow_routers(now, rng);
        self.schedule_v6();
        Ok(())
    }

    /// Has an interface make temporary addresses beside those that it forms from routers' prefixes (RFC 8981); with `None`
    /// no more are made, and those there are end in their time. Off at first. At most four at a time; more take the place of
    /// those that are deprecated longest.
    ///
    /// # Errors
    /// [`AddressError::NoInterface`]; [`AddressError::Invalid`] for a preferred lifetime longer than the valid one, or one
    /// of less than a minute.
    #[cfg(feature = "temporary-addresses")]
    pub fn set_temporary_addresses(
        &mut self,
        id: IfaceId,
        settings: Option<super::TemporaryAddresses>,
    ) -> Result<(), AddressError> {
        let iface = self.ifaces.get_mut(id.index()).and_then(Option::as_mut).ok_or(AddressError::NoInterface)?;
        let minute = crate::time::Duration::from_secs(60);
        if settings.is_some_and(|s| s.preferred > s.valid || s.preferred < minute) {
            return Err(AddressError::Invalid);
        }
        iface.v6.temporary.settings = settings;
        self.schedule_v6();
        Ok(())
    }

    /// Whether an address of an interface is a temporary one.
    #[cfg(feature = "temporary-addresses")]
    pub fn is_temporary(&self, id: IfaceId, addr: Ipv6Addr) -> bool {
        self.iface(id).is_some_and(|iface| iface.v6.is_temporary(addr))
    }

    /// An interface's IPv6 addresses and how far each can be used.
    pub fn ipv6_addresses(&self, id: IfaceId) -> impl Iterator<Item = (Cidr, AddressState)> + '_ {
        self.iface(id).into_iter().flat_map(|iface| {
            let assigned = iface.addresses.iter().filter(|c| c.addr().is_ipv6()).map(|&cidr| {
                let state = match cidr.addr() {
                    addr if iface.v6.is_optimistic(addr) => AddressState::Optimistic,
                    addr if iface.v6.is_deprecated(self.now, addr) => AddressState::Deprecated,
                    _ => AddressState::Preferred,
                };
                (cidr, state)
            });
            let tentative = iface
                .v6
                .unused()
                .map(|t| (t.cidr, if t.duplicate { AddressState::Duplicate } else { AddressState::Tentative }));
            assigned.chain(tentative)
        })
    }

    /// What the routers of an interface say of DHCPv6 (RFC 4861 §4.2), as long as it follows them.
    pub fn router_flags(&self, id: IfaceId) -> RouterFlags {
        self.iface(id).map(|iface| iface.v6.flags).unwrap_or_default()
    }

    /// DNS servers that routers advertise (RFC 8106 §5.1), of all interfaces.
    #[cfg(feature = "rdnss")]
    pub fn advertised_dns_servers(&self) -> impl Iterator<Item = Ipv6Addr> + '_ {
        self.ifaces.iter().flatten().flat_map(|iface| iface.v6.servers(self.now))
    }

    /// Search domains that routers advertise (RFC 8106 §5.2), of all interfaces.
    #[cfg(feature = "rdnss")]
    pub fn advertised_dns_domains(&self) -> impl Iterator<Item = &str> + '_ {
        self.ifaces.iter().flatten().flat_map(|iface| iface.v6.domains(self.now))
    }

    pub(super) fn add_address_v6(&mut self, id: IfaceId, cidr: Cidr) -> Result<(), AddressError> {
        let (now, probes) = (self.now, self.config.dad_transmits);
        if self.ifaces.iter().flatten().any(|i| i.v6.is_tentative(cidr.addr())) {
            return Err(AddressError::Duplicate);
        }
        let iface = self.ifaces.get_mut(id.index()).and_then(Option::as_mut).ok_or(AddressError::NoInterface)?;
        //= https://www.rfc-editor.org/rfc/rfc8200#section-5
        //# IPv6 requires that every link in the Internet have an MTU of 1280
        //# octets or greater.
        if iface.ip_mtu() < MIN_MTU {
            return Err(AddressError::SmallMtu);
        }
        if !iface.is_ethernet() || probes == 0 {
            return self.assign_address(id, cidr);
        }
        if !cidr.is_host_address() {
            return Err(AddressError::Invalid);
        }
        let full = iface.addresses.len() + iface.v6.unused().count() >= iface.addresses.capacity();
        if full || !iface.v6.try_address(now, cidr, probes) {
            return Err(AddressError::Full);
        }
        // The way to its network is there at once, and serves other addresses until this one can be used.
        let route = Route { prefix: cidr.network(), gateway: None, iface: id, metric: 0 };
        if matches!(self.routes.add(route), Err(e) if e != RouteError::Duplicate) {
            let _ = self.remove_tentative(id, cidr.addr());
            return Err(AddressError::Full);
        }
        self.groups_changed(id);
        self.schedule_v6();
        Ok(())
    }

    pub(super) fn remove_tentative(&mut self, id: IfaceId, ip: IpAddr) -> Result<(), AddressError> {
        let iface = self.ifaces.get_mut(id.index()).and_then(Option::as_mut).ok_or(AddressError::NoInterface)?;
        let cidr = iface.v6.forget(ip).ok_or(AddressError::Invalid)?.cidr;
        let tentative = iface.v6.tentative.iter().map(|t| t.cidr);
        if !iface.addresses.iter().copied().chain(tentative).any(|a| a.network() == cidr.network()) {
            let _ = self.routes.remove(&Route { prefix: cidr.network(), gateway: None, iface: id, metric: 0 });
        }
        self.groups_changed(id);
        self.schedule_v6();
        Ok(())
    }

    /// The hop limit of what we send by an interface: a router's, or the stack's.
    pub(crate) fn hop_limit(&self, id: IfaceId) -> u8 {
        self.iface(id).and_then(|i| i.v6.hop_limit).unwrap_or(self.config.ttl)
    }
}

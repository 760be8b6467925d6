//! Interfaces, addresses and routes: what is configured, and what can be read of it.

use super::{Iface, IfaceId, IfaceSet, Stack};
use crate::device::{Device, Link, Lost, Mac, Medium};
use crate::error::{AddressError, Full, RouteError};
use crate::family::{IpAddr, inside, unspecified};
use crate::ip::addr::Cidr;
use crate::ip::route::{Route, RouteOrigin};
use crate::link::neighbor::NeighborInfo;
use crate::log;
use crate::stats::DropReason;
use crate::time::Instant;
use crate::wire::ip;
use core::net::IpAddr as AnyAddr;

/// What can be read of an interface.
#[derive(Clone, Copy, Debug)]
pub struct InterfaceView<'s> {
    /// Its name in the stack.
    pub id: IfaceId,
    /// Its link-layer address (Ethernet).
    pub mac: Option<Mac>,
    /// The largest IP packet that leaves in one piece, in octets.
    pub mtu: usize,
    /// Its carrier, as the last poll found it; without the feature `carrier` always `Up`.
    pub link: Link,
    /// Its addresses.
    pub addresses: &'s [Cidr],
    /// What has passed by it.
    pub counters: InterfaceCounters,
}

/// What has passed by an interface; counted as [`Stats`](crate::stats::Stats) counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InterfaceCounters {
    /// Frames received.
    pub rx_frames: usize,
    /// Octets received.
    pub rx_octets: usize,
    /// Frames given to the device.
    pub tx_frames: usize,
    /// Octets given to the device.
    pub tx_octets: usize,
    /// Packets that the stack dropped while it polled this interface, whatever for: [`Stats`](crate::stats::Stats) tells.
    pub dropped: usize,
    /// What the device says that it has lost, as of the last poll.
    pub lost: Lost,
}

impl<'a> Stack<'a> {
    /// Adds an interface for `device`. The same device, or its equal, goes into every [`poll`](Self::poll) of it.
    ///
    /// `mac` is our address on an Ethernet medium, and not looked at on others.
    ///
    /// # Errors
    /// [`AddressError::Invalid`] for a group's or an empty MAC, [`AddressError::Full`] without room for another interface.
    pub fn add_interface<D: Device<'a>>(&mut self, device: &D, mac: Mac) -> Result<IfaceId, AddressError> {
        let caps = device.capabilities();
        if caps.medium == Medium::Ethernet && !mac.is_station() {
            return Err(AddressError::Invalid);
        }
        let id =
            self.insert_interface(Iface::new(device.pool(), caps, mac)).map_err(|Full::Table| AddressError::Full)?;
        #[cfg(feature = "carrier")]
        self.begin_link(id, device.link());
        Ok(id)
    }

    fn insert_interface(&mut self, iface: Iface<'a>) -> Result<IfaceId, Full> {
        let free = self.ifaces.iter().position(Option::is_none);
        let index = match free {
            Some(index) => index,
            None => self.grow_interfaces().ok_or(Full::Table)?,
        };
        if index >= IfaceSet::MAX {
            return Err(Full::Table);
        }
        if let Some(place) = self.ifaces.get_mut(index) {
            *place = Some(iface);
        }
        self.sched.ensure_interfaces(index + 1);
        self.groups_changed(IfaceId(index as u8));
        Ok(IfaceId(index as u8))
    }

    #[cfg(all(feature = "alloc", feature = "interfaces"))]
    fn grow_interfaces(&mut self) -> Option<usize> {
        match &mut self.ifaces {
            managed::ManagedSlice::Owned(v) => {
                v.push(None);
                Some(v.len() - 1)
            }
            managed::ManagedSlice::Borrowed(_) => None,
        }
    }

    #[cfg(not(all(feature = "alloc", feature = "interfaces")))]
    fn grow_interfaces(&mut self) -> Option<usize> {
        None
    }

    /// Removes an interface with its addresses, routes and neighbours, and whatever waits to leave by it. Connections
    /// from its addresses end with `AddressGone`.
    pub fn remove_interface(&mut self, id: IfaceId) {
        while let Some(cidr) = self.iface(id).and_then(|i| i.addresses.first().copied()) {
            let _ = self.remove_address(id, cidr.addr());
        }
        self.routes.remove_iface(id.0);
        self.forget_neighbors(id, DropReason::NoRoute);
        #[cfg(feature = "forward")]
        self.leave_transit(id);
        // Fragments may be in frames of the interface's pool.
        #[cfg(feature = "reassembly")]
        self.reassembly.clear(&mut self.stats);
        if let Some(place) = self.ifaces.get_mut(id.index()) {
            *place = None;
        }
        #[cfg(feature = "carrier")]
        self.link_events.take(id);
        #[cfg(feature = "taps")]
        self.taps.forget(id);
        #[cfg(feature = "any-address")]
        self.hold_nothing(id);
        self.leave_to_others(id);
    }

    /// What waits for its turn on an interface that is gone gets it on another: there it sees that its way is gone.
    fn leave_to_others(&mut self, id: IfaceId) {
        let Some(other) = self.interfaces().next().map(|i| i.id) else { return };
        #[cfg(feature = "tcp")]
        self.move_connections(id, other);
        while let Some((node, _)) = self.sched.pop_ready(id.index()) {
            self.sched.wake(node, other.index());
        }
    }

    /// Gives an interface an address; its network becomes reachable by it, and the address is announced.
    ///
    /// On Ethernet an IPv6 address is on trial first (RFC 4862 §5.4): it is usable a second later, if nobody else has it,
    /// or at once where [`Config::dad_transmits`](crate::config::Config::dad_transmits) is 0.
    ///
    /// # Errors
    /// [`AddressError`]; nothing has changed then.
    pub fn add_address(&mut self, id: IfaceId, cidr: Cidr) -> Result<(), AddressError> {
        if self.is_configured(cidr.ip()) {
            return Err(AddressError::Duplicate);
        }
        #[cfg(feature = "ipv6")]
        if cidr.ip().is_ipv6() {
            return self.add_address_v6(id, cidr);
        }
        self.assign_address(id, cidr)
    }

    /// As [`add_address`](Self::add_address), of an address that is nobody else's.
    pub(crate) fn assign_address(&mut self, id: IfaceId, cidr: Cidr) -> Result<(), AddressError> {
        let iface = self.ifaces.get_mut(id.index()).and_then(Option::as_mut).ok_or(AddressError::NoInterface)?;
        iface.add_address(cidr)?;
        #[cfg(feature = "acd")]
        if let IpAddr::V4(ip) = cidr.ip() {
            self.probed_is_used(id, ip);
        }
        log::debug!("interface {} has a new address", id.index());
        self.groups_changed(id);
        let route = Route { prefix: cidr.network(), gateway: None, iface: id, metric: 0 };
        match self.routes.add(route) {
            Ok(()) | Err(RouteError::Duplicate) => Ok(()),
            Err(_) => {
                if let Some(iface) = self.ifaces.get_mut(id.index()).and_then(Option::as_mut) {
                    iface.addresses.pop();
                    iface.announce &= (1 << iface.addresses.len()) - 1;
                }
                Err(AddressError::Full)
            }
        }
    }

    /// Takes an address away. Connections from it end with `AddressGone`; nothing leaves with it as source any more.
    ///
    /// # Errors
    /// [`AddressError::Invalid`] when the interface does not have it.
    pub fn remove_address(&mut self, id: IfaceId, ip: AnyAddr) -> Result<(), AddressError> {
        let ip = inside(ip).ok_or(AddressError::Invalid)?;
        #[cfg(feature = "ipv6")]
        {
            let iface = self.ifaces.get_mut(id.index()).and_then(Option::as_mut).ok_or(AddressError::NoInterface)?;
            if iface.v6.is_optimistic(ip) {
                iface.v6.forget(ip);
            } else if iface.v6.is_tentative(ip) {
                return self.remove_tentative(id, ip);
            }
        }
        self.withdraw_address(id, ip)
    }

    /// As [`remove_address`](Self::remove_address), of an address that is in use.
    pub(crate) fn withdraw_address(&mut self, id: IfaceId, ip: IpAddr) -> Result<(), AddressError> {
        let iface = self.ifaces.get_mut(id.index()).and_then(Option::as_mut).ok_or(AddressError::NoInterface)?;
        let place = iface.addresses.iter().position(|a| a.ip() == ip).ok_or(AddressError::Invalid)?;
        #[cfg(feature = "ipv6")]
        iface.v6.formed.retain(|f| IpAddr::V6(f.addr) != ip);
        let Some(cidr) = iface.addresses.get(place).copied() else { return Err(AddressError::Invalid) };
        iface.remove_address(place);
        let still = iface.addresses.iter().any(|a| a.network() == cidr.network());
        if !still {
            let _ = self.routes.remove(&Route { prefix: cidr.network(), gateway: None, iface: id, metric: 0 });
        }
        self.groups_changed(id);
        #[cfg(feature = "tcp")]
        self.address_gone(ip);
        self.drop_from(ip);
        Ok(())
    }

    /// Drops what waits to leave from `addr`, which is not ours any more. What is in sockets' queues is seen to when its
    /// turn comes.
    fn drop_from(&mut self, addr: IpAddr) {
        let is_from = |packet: &[u8]| ip::addresses(packet).is_some_and(|(src, _)| src == addr);
        for iface in self.ifaces.iter_mut().flatten() {
            for _ in 0..iface.drop_if(is_from) {
                self.stats.drop(DropReason::SourceGone);
            }
        }
        self.neighbors.drop_parked_if(|frame| is_from(frame), DropReason::SourceGone, &mut self.stats);
    }

    /// Adds a route; by [`IfaceId::BLACKHOLE`] or [`IfaceId::REJECT`] one that leads nowhere. Its prefix's host bits are cut off.
    ///
    /// # Errors
    /// [`RouteError`]; nothing has changed then.
    #[cfg(feature = "routes")]
    pub fn add_route(&mut self, route: Route) -> Result<(), RouteError> {
        self.insert_route(route)
    }

    pub(crate) fn insert_route(&mut self, route: Route) -> Result<(), RouteError> {
        if self.iface(route.iface).is_none() && !route.iface.is_nowhere() {
            return Err(RouteError::NoInterface);
        }
        self.routes.add(route)
    }

    /// Adds the default route by `gateway`, of its family, on an interface. Without the feature `routes` there is one.
    ///
    /// # Errors
    /// [`RouteError`]; nothing has changed then.
    pub fn add_gateway(&mut self, iface: IfaceId, gateway: AnyAddr) -> Result<(), RouteError> {
        let any = inside(gateway).map(unspecified);
        let prefix = any.and_then(|any| Cidr::of(any, 0)).ok_or(RouteError::BadGateway)?;
        self.insert_route(Route { prefix, gateway: Some(gateway), iface, metric: 0 })
    }

    /// Removes a route.
    ///
    /// # Errors
    /// [`RouteError::NotFound`].
    #[cfg(feature = "routes")]
    pub fn remove_route(&mut self, route: &Route) -> Result<(), RouteError> {
        self.routes.remove(route)
    }

    /// Where a route comes from, and until when it lives; `None`: until it is removed.
    pub fn route_lifetime(&self, route: &Route) -> (RouteOrigin, Option<Instant>) {
        #[cfg(all(feature = "ipv6", feature = "routes"))]
        if let Some((redirect, until)) = self.iface(route.iface).and_then(|iface| iface.v6.lifetime(route)) {
            return (if redirect { RouteOrigin::Redirect } else { RouteOrigin::Advertised }, until);
        }
        (if route.is_dynamic() { RouteOrigin::Redirect } else { RouteOrigin::Program }, None)
    }

    /// The routes, best first.
    #[cfg(feature = "routes")]
    pub fn routes(&self) -> impl Iterator<Item = &Route> + '_ {
        self.routes.iter()
    }

    /// The interfaces.
    pub fn interfaces(&self) -> impl Iterator<Item = InterfaceView<'_>> {
        self.ifaces.iter().enumerate().filter_map(|(index, iface)| {
            let iface = iface.as_ref()?;
            Some(InterfaceView {
                id: IfaceId(index as u8),
                mac: iface.is_ethernet().then_some(iface.mac),
                mtu: iface.ip_mtu(),
                link: iface.link(),
                addresses: &iface.addresses,
                // What has passed by the only interface is all that has.
                #[cfg(not(feature = "interfaces"))]
                counters: InterfaceCounters { lost: iface.counters.lost, ..self.passed() },
                #[cfg(feature = "interfaces")]
                counters: iface.counters,
            })
        })
    }

    /// The neighbours known or asked for.
    pub fn neighbors(&self) -> impl Iterator<Item = NeighborInfo> + '_ {
        self.neighbors.iter(self.now)
    }

    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn iface(&self, id: IfaceId) -> Option<&Iface<'a>> {
        self.ifaces.get(id.index())?.as_ref()
    }

    /// Whether `ip` is ours: an address of any interface, or loopback, where packets to ourselves are delivered.
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn is_own(&self, ip: IpAddr) -> bool {
        self.is_configured(ip) || (cfg!(feature = "loopback") && ip.is_loopback())
    }

    /// Whether packets to `ip` are delivered here, without a wire.
    #[inline]
    pub(crate) fn stays_here(&self, ip: IpAddr) -> bool {
        cfg!(feature = "loopback") && self.is_own(ip)
    }

    /// Whether packets may come for `ip`, and leave from it: it is our own, or one that is answered for.
    #[inline]
    pub(crate) fn is_ours(&self, ip: IpAddr) -> bool {
        #[cfg(feature = "any-address")]
        return self.is_own(ip) || self.answers_for(ip);
        #[cfg(not(feature = "any-address"))]
        self.is_own(ip)
    }

    /// Whether packets for `ip` that come by an interface are ours, though it is no address of any.
    #[inline]
    pub(crate) fn is_held_on(&self, id: IfaceId, ip: IpAddr) -> bool {
        #[cfg(feature = "any-address")]
        return self.answers_on(id, ip);
        #[cfg(not(feature = "any-address"))]
        {
            let _ = (id, ip);
            false
        }
    }

    /// Whether packets from `local` to `dst` may leave: it is ours, and loopback does not appear on a wire
    /// (RFC 1122 §3.2.1.3).
    pub(crate) fn may_send(&self, local: IpAddr, dst: IpAddr) -> bool {
        self.is_ours(local) && (!local.is_loopback() || self.stays_here(dst))
    }

    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn is_configured(&self, ip: IpAddr) -> bool {
        self.iface_of(ip).is_some()
    }

    /// The interface that has `ip`.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    pub(crate) fn iface_of(&self, ip: IpAddr) -> Option<IfaceId> {
        let index = self.ifaces.iter().position(|i| i.as_ref().is_some_and(|i| i.has_address(ip)))?;
        Some(IfaceId(index as u8))
    }

    /// The only interface, if there is just one: where packets to groups go that name none (RFC 4007 §6 asks for
    /// the zone rather than guess it).
    pub(crate) fn only_iface(&self) -> Option<IfaceId> {
        let mut found = self.ifaces.iter().enumerate().filter(|(_, i)| i.is_some());
        let (index, _) = found.next()?;
        found.next().is_none().then_some(IfaceId(index as u8))
    }

    /// Whether `ip` is a broadcast address of any of our networks.
    pub(crate) fn is_any_broadcast(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(v4) => self.ifaces.iter().flatten().any(|i| i.is_broadcast(v4)),
            IpAddr::V6(_) => false,
        }
    }

    /// By which interface, and from which address, packets to `dst` leave.
    pub(crate) fn source(&self, dst: IpAddr) -> Option<(IfaceId, IpAddr)> {
        self.source_from(None, dst)
    }

    /// As [`source`](Self::source), of packets whose source may be chosen already; the address is the one that would be.
    pub(crate) fn source_from(&self, src: Option<IpAddr>, dst: IpAddr) -> Option<(IfaceId, IpAddr)> {
        if cfg!(feature = "loopback") && dst.is_loopback() {
            let first = self.interfaces().next()?.id;
            return Some((first, dst));
        }
        if cfg!(feature = "loopback")
            && let Some(iface) = self.iface_of(dst)
        {
            return Some((iface, dst));
        }
        let hop = self.hop_from(src, dst, None)?;
        let source = self.iface(hop.iface)?.source_for(self.now, hop.towards(dst))?;
        Some((hop.iface, source))
    }

    /// As [`source`](Self::source), by `by` if that is given, for a socket with a preference; `None`: it has none.
    #[cfg(feature = "temporary-addresses")]
    pub(crate) fn source_as(
        &self,
        dst: IpAddr,
        by: Option<IfaceId>,
        preference: crate::ip::temporary::SourcePreference,
    ) -> Option<IpAddr> {
        if preference == crate::ip::temporary::SourcePreference::AsSet || self.stays_here(dst) {
            return None;
        }
        let hop = self.hop(dst, by)?;
        self.iface(hop.iface)?.source_as(self.now, hop.towards(dst), preference)
    }

    /// The hop limit (IPv4: TTL) of what we send to `dst` by an interface.
    pub(crate) fn hop_limit_towards(&self, id: IfaceId, dst: IpAddr) -> u8 {
        match dst {
            #[cfg(feature = "ipv6")]
            IpAddr::V6(_) => self.hop_limit(id),
            _ => {
                let _ = id;
                self.config.ttl
            }
        }
    }

    /// The groups that an interface receives have changed: its device is told in the next poll.
    pub(crate) fn groups_changed(&mut self, id: IfaceId) {
        #[cfg(any(feature = "ipv6", feature = "multicast", feature = "raw-ethernet"))]
        self.regroup.insert(id.index());
        #[cfg(all(feature = "ipv6", feature = "multicast"))]
        self.own_groups_changed(id);
        let _ = id;
    }

    /// As [`groups_changed`](Self::groups_changed), of all interfaces.
    #[cfg(feature = "udp")]
    pub(super) fn all_groups_changed(&mut self) {
        for index in 0..self.ifaces.len() {
            self.groups_changed(IfaceId(index as u8));
        }
    }

    pub(super) fn forget_neighbors(&mut self, id: IfaceId, reason: DropReason) {
        let sched = &mut self.sched;
        self.neighbors.remove_iface(id.0, reason, &mut self.stats, |slot| {
            if let Some(node) = slot.node {
                sched.unpark(node, &mut slot.waiters, id.index());
                sched.cancel_deadline(node);
            }
        });
    }
}

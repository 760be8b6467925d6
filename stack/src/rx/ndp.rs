//! A neighbour discovery message comes in: who asks for us, who answers us, which routers there are.
//!
//! Implements RFC 4861 §7.2 (neighbours), §6.3.4 (router advertisements) and §8.3 (redirects), RFC 4862 §5.4 (whose
//! address it is) and §5.5.3, RFC 4191 §3, RFC 8106 §5.3.1, RFC 5942 §4.

use super::{Arrival, Drop};
use crate::ip::addr::Cidr;
#[cfg(feature = "routes")]
use crate::ip::route::Route;
#[cfg(feature = "routes")]
use crate::ip::slaac::Change;
use crate::ip::v6;
use crate::link::ndp::{self, Message, Sent};
use crate::link::neighbor::{Advert, Heard};
use crate::log;
use crate::stack::{IfaceId, Stack};
use crate::stats::DropReason;
use crate::wire::ip::IpHeader;
use crate::wire::ipv6::MIN_MTU;
#[cfg(feature = "routes")]
use crate::wire::ndp::Preference;
use crate::wire::ndp::{Options, Prefix, RouterAdvert, RouterOption};
use core::net::{IpAddr, Ipv6Addr};

impl Stack<'_> {
    pub(super) fn handle_discovery(&mut self, ip: &IpHeader, packet: &[u8], arrival: Arrival) -> Drop {
        let id = arrival.iface;
        let IpAddr::V6(src) = ip.src else { return Err(DropReason::NdpMalformed) };
        let message = packet.get(ip.header_len..).ok_or(DropReason::NdpMalformed)?;
        let message = ndp::receive(message, ip)?;
        match message {
            #[cfg(feature = "router-advertisements")]
            Message::RouterSolicit { options } => self.on_router_solicit(id, src, options.source_mac()),
            #[cfg(not(feature = "router-advertisements"))]
            Message::RouterSolicit { .. } => Err(DropReason::NdpNotForUs),
            Message::Solicit { target, options } => self.handle_solicit(id, src, target, options),
            Message::Advert { target, router, solicited, overrides, options } => {
                let advert = Advert { mac: options.target_mac(), solicited, overrides };
                self.handle_advert(id, target, router, advert)
            }
            Message::RouterAdvert(advert) => self.handle_router_advert(id, src, &advert),
            #[cfg(feature = "routes")]
            Message::Redirect { target, destination, options } => {
                self.handle_redirect(id, src, target, destination, options)
            }
        }
    }

    /// Somebody asks who has `target`.
    fn handle_solicit(&mut self, id: IfaceId, src: Ipv6Addr, target: Ipv6Addr, options: Options<'_>) -> Drop {
        let Some(iface) = self.iface(id).filter(|i| i.is_ethernet()) else { return Err(DropReason::NdpNotForUs) };
        let is_optimistic = iface.v6.is_optimistic(target.into());
        if iface.v6.is_tentative(target.into()) {
            // Who asks from an address asks for the one that has it, which may not be us; who asks from none wants it.
            match src.is_unspecified() {
                true => return self.handle_probe(id, target, options),
                false if !is_optimistic => return Err(DropReason::NdpNotForUs),
                false => {}
            }
        }
        let Some(iface) = self.iface(id) else { return Ok(()) };
        let is_own = iface.has_address(target.into());
        // Who wants to know whether an address is free is not answered for others.
        if !is_own && (src.is_unspecified() || src == target || !self.is_held_on(id, target.into())) {
            return Err(DropReason::NdpNotForUs);
        }
        let own = iface.mac;
        let mac = options.source_mac().filter(|mac| mac.is_station() && *mac != own);
        if src.is_unspecified() {
            //= https://www.rfc-editor.org/rfc/rfc4861#section-7.2.4
            //# If the source of the solicitation is the unspecified address, the
            //# node MUST set the Solicited flag to zero and multicast the
            //# advertisement to the all-nodes address.
            self.advertise_to_all(id, target);
            return Ok(());
        }
        if let Some(mac) = mac {
            let heard = self.neighbors.learn(self.now, id.0, src.into(), mac, &mut self.stats);
            self.heard(heard);
        }
        // RFC 4429 §3.3: what neighbours know already of an address that may not be ours alone stays.
        let overrides = is_own && !is_optimistic;
        let answer = Sent::Advert { target, mac: own, solicited: true, router: self.is_router(), overrides };
        self.send_ndp(id, target, src, mac, &answer);
        Ok(())
    }

    /// Somebody wants an address that is on trial here.
    fn handle_probe(&mut self, id: IfaceId, target: Ipv6Addr, options: Options<'_>) -> Drop {
        #[cfg(feature = "enhanced-dad")]
        if let Some(Some(iface)) = self.ifaces.get_mut(id.index())
            && iface.v6.is_own_probe(target, options.nonce())
        {
            log::warn!("interface {} hears its own probes: there is a loop", id.index());
            return Err(DropReason::NdpLoopedBack);
        }
        let _ = options;
        self.address_taken(id, target)
    }

    /// Tells the link that `target` is ours; false, and counted, without a frame or room.
    pub(crate) fn advertise_to_all(&mut self, id: IfaceId, target: Ipv6Addr) -> bool {
        let Some(iface) = self.iface(id) else { return false };
        let (mac, overrides) = (iface.mac, !iface.v6.is_optimistic(target.into()));
        let to = Some(v6::group_mac(v6::ALL_NODES));
        let news = Sent::Advert { target, mac, solicited: false, router: self.is_router(), overrides };
        self.send_ndp(id, target, v6::ALL_NODES, to, &news)
    }

    /// Somebody says that it has `target`.
    fn handle_advert(&mut self, id: IfaceId, target: Ipv6Addr, router: bool, advert: Advert) -> Drop {
        let now = self.now;
        let Some(Some(iface)) = self.ifaces.get_mut(id.index()) else { return Ok(()) };
        if iface.v6.is_tentative(target.into()) {
            return self.address_taken(id, target);
        }
        if iface.has_address(target.into()) {
            log::warn!("another station uses an address of interface {}", id.index());
            if iface.defence.claim(now) {
                self.advertise_to_all(id, target);
            }
            return Err(DropReason::DuplicateAddress);
        }
        if advert.mac.is_some_and(|mac| !mac.is_station() || mac == iface.mac) {
            return Err(DropReason::NdpMalformed);
        }
        let is_known = iface.v6.is_router(target.into());
        let heard = self.neighbors.on_advert(now, id.0, target.into(), advert);
        self.heard(heard);
        if heard == Heard::Unknown {
            return Err(DropReason::NdpNotForUs);
        }
        //= https://www.rfc-editor.org/rfc/rfc4861#section-7.2.5
        //# In those cases where the IsRouter flag changes from TRUE
        //# to FALSE as a result of this update, the node MUST remove
        //# that router from the Default Router List
        if is_known && !router {
            self.forget_router(id, target);
        }
        Ok(())
    }

    #[cfg(not(feature = "routes"))]
    fn forget_router(&mut self, id: IfaceId, router: Ipv6Addr) {
        if let Some(Some(iface)) = self.ifaces.get_mut(id.index()) {
            iface.v6.forget_router(router);
            self.routes.touch();
        }
    }

    #[cfg(feature = "routes")]
    fn forget_router(&mut self, id: IfaceId, router: Ipv6Addr) {
        while let Some(Some(iface)) = self.ifaces.get_mut(id.index())
            && let Some(route) = iface.v6.take_route_by(router.into())
        {
            let _ = self.routes.remove(&route);
        }
    }

    /// An address on trial turns out to be somebody else's (RFC 4862 §5.4.3, §5.4.4).
    fn address_taken(&mut self, id: IfaceId, addr: Ipv6Addr) -> Drop {
        let now = self.now;
        log::warn!("an address of interface {} is in use by another station", id.index());
        #[cfg(feature = "optimistic-dad")]
        self.end_optimism(id, addr);
        if let Some(Some(iface)) = self.ifaces.get_mut(id.index()) {
            iface.v6.on_duplicate(now, addr, iface.mac, &self.config.secret, &mut self.rng);
        }
        // Another may be tried in its place.
        self.groups_changed(id);
        self.schedule_v6();
        Err(DropReason::DuplicateAddress)
    }

    /// RFC 4861 §6.3.4.
    fn handle_router_advert(&mut self, id: IfaceId, src: Ipv6Addr, advert: &RouterAdvert<'_>) -> Drop {
        let Some(Some(iface)) = self.ifaces.get_mut(id.index()) else { return Ok(()) };
        if !iface.v6.follows_routers {
            return Err(DropReason::NdpNotConfigured);
        }
        iface.v6.on_answered();
        #[cfg(feature = "temporary-addresses")]
        if iface.v6.is_elsewhere(
            src,
            advert.options.of_router().filter_map(|o| match o {
                RouterOption::Prefix(p) => Some(p.prefix),
                _ => None,
            }),
        ) {
            self.leave_temporary_addresses(id);
        }
        let Some(Some(iface)) = self.ifaces.get_mut(id.index()) else { return Ok(()) };
        if advert.hop_limit != 0 {
            iface.v6.hop_limit = Some(advert.hop_limit);
        }
        #[cfg(not(feature = "nud"))]
        iface.v6.on_retrans(advert.retrans);
        #[cfg(feature = "nud")]
        if let Some(times) = iface.v6.on_times(self.now, advert.reachable, advert.retrans, &mut self.rng) {
            self.neighbors.set_times(id.0, times);
        }
        // Of several routers, what one offers is there.
        iface.v6.flags.managed |= advert.managed;
        iface.v6.flags.other |= advert.other;
        let own = iface.mac;
        if let Some(mac) = advert.options.source_mac().filter(|mac| mac.is_station() && *mac != own) {
            let heard = self.neighbors.learn(self.now, id.0, src.into(), mac, &mut self.stats);
            self.heard(heard);
        }
        let mut fits = self.learn_router(id, src, advert);
        for option in advert.options.of_router() {
            fits &= self.on_router_option(id, &option, src);
        }
        self.schedule_v6();
        if fits { Ok(()) } else { Err(DropReason::NdpTableFull) }
    }

    /// The temporary addresses of an interface say nothing on another link of where it has been.
    #[cfg(feature = "temporary-addresses")]
    fn leave_temporary_addresses(&mut self, id: IfaceId) {
        while let Some(addr) = self.iface(id).and_then(|i| i.v6.any_temporary()) {
            if self.remove_address(id, addr.into()).is_err() {
                break;
            }
        }
    }

    /// Takes one option of a router's; false when there is no place for what it says.
    fn on_router_option(&mut self, id: IfaceId, option: &RouterOption<'_>, _router: Ipv6Addr) -> bool {
        let Some(Some(iface)) = self.ifaces.get_mut(id.index()) else { return true };
        match *option {
            RouterOption::Mtu(mtu) => {
                let device = iface.caps.ip_mtu;
                iface.v6.mtu = u16::try_from(mtu)
                    .ok()
                    .filter(|&mtu| (MIN_MTU..=device).contains(&usize::from(mtu)))
                    .or(iface.v6.mtu);
                true
            }
            RouterOption::Prefix(prefix) => self.on_prefix(id, &prefix),
            #[cfg(feature = "routes")]
            RouterOption::Route { prefix, len, preference, lifetime } => {
                let Some(prefix) = Cidr::new(prefix.into(), len) else { return true };
                let prefix = prefix.network();
                let route = Route { prefix, gateway: Some(_router.into()), iface: id, metric: metric(preference) };
                self.learn_route(route, lifetime, false)
            }
            #[cfg(not(feature = "rdnss"))]
            RouterOption::Borrowed(none, _) => match none {},
            #[cfg(feature = "rdnss")]
            RouterOption::Servers { lifetime, servers } => iface.v6.on_servers(self.now, servers, lifetime),
            #[cfg(feature = "rdnss")]
            RouterOption::Search { lifetime, names } => iface.v6.on_search(self.now, names, lifetime),
        }
    }

    fn on_prefix(&mut self, id: IfaceId, prefix: &Prefix) -> bool {
        let now = self.now;
        let mut fits = true;
        let Some(Some(iface)) = self.ifaces.get_mut(id.index()) else { return true };
        if prefix.autonomous {
            let trials = iface.v6.tentative.len();
            fits &= iface.v6.on_prefix(now, prefix, iface.mac, &self.config.secret, &mut self.rng);
            if iface.v6.tentative.len() != trials {
                #[cfg(feature = "optimistic-dad")]
                self.be_optimistic(id);
                self.groups_changed(id);
            }
        }
        let network = Cidr::new(prefix.prefix.into(), prefix.len).map(|c| c.network());
        //= https://www.rfc-editor.org/rfc/rfc4861#section-6.3.4
        //# If the prefix is the link-local prefix, silently ignore the
        //# Prefix Information option.
        if let Some(network) = network.filter(|n| prefix.on_link && !v6::is_link_local(n.addr())) {
            fits &= self.learn_on_link(id, network, prefix.valid);
        }
        fits
    }

    /// A default router (RFC 4861 §6.3.4); false when there is no place for it.
    #[cfg(not(feature = "routes"))]
    fn learn_router(&mut self, id: IfaceId, router: Ipv6Addr, advert: &RouterAdvert<'_>) -> bool {
        self.learn_way(id, Cidr::one(router.into()), false, advert.lifetime.into())
    }

    /// A prefix on the link, for `lifetime` seconds; false when there is no place for it.
    #[cfg(not(feature = "routes"))]
    fn learn_on_link(&mut self, id: IfaceId, network: Cidr, lifetime: u32) -> bool {
        self.learn_way(id, network, true, lifetime)
    }

    #[cfg(not(feature = "routes"))]
    fn learn_way(&mut self, id: IfaceId, way: Cidr, on_link: bool, lifetime: u32) -> bool {
        self.routes.touch();
        let Some(Some(iface)) = self.ifaces.get_mut(id.index()) else { return true };
        iface.v6.on_way(self.now, way, on_link, lifetime)
    }

    /// A default router (RFC 4861 §6.3.4); false when there is no place for it.
    #[cfg(feature = "routes")]
    fn learn_router(&mut self, id: IfaceId, router: Ipv6Addr, advert: &RouterAdvert<'_>) -> bool {
        let Some(prefix) = Cidr::new(Ipv6Addr::UNSPECIFIED.into(), 0) else { return true };
        let route = Route { prefix, gateway: Some(router.into()), iface: id, metric: metric(advert.preference) };
        self.learn_route(route, advert.lifetime.into(), false)
    }

    /// A prefix on the link, for `lifetime` seconds; false when there is no place for it.
    #[cfg(feature = "routes")]
    fn learn_on_link(&mut self, id: IfaceId, prefix: Cidr, lifetime: u32) -> bool {
        self.learn_route(Route { prefix, gateway: None, iface: id, metric: 0 }, lifetime, false)
    }

    /// A redirect (RFC 4861 §8.3): from the router that packets to `destination` go by now, and no other.
    #[cfg(feature = "routes")]
    fn handle_redirect(
        &mut self,
        id: IfaceId,
        src: Ipv6Addr,
        target: Ipv6Addr,
        destination: Ipv6Addr,
        options: Options<'_>,
    ) -> Drop {
        //= https://www.rfc-editor.org/rfc/rfc4861#section-8.2
        //# A router MUST NOT update its routing tables upon receipt of a
        //# Redirect.
        let believed = !self.is_router()
            && self.iface(id).is_some_and(|i| i.v6.follows_routers)
            && self.hop(destination.into(), None).is_some_and(|h| h.iface == id && h.next == IpAddr::V6(src))
            && !self.is_configured(destination.into())
            && !self.is_configured(target.into());
        if !believed || destination.is_unspecified() || destination.is_loopback() {
            return Err(DropReason::NdpRedirect);
        }
        let own = self.iface(id).map(|i| i.mac).unwrap_or_default();
        if let Some(mac) = options.target_mac().filter(|mac| mac.is_station() && *mac != own) {
            let heard = self.neighbors.learn(self.now, id.0, target.into(), mac, &mut self.stats);
            self.heard(heard);
        }
        let gateway = (target != destination).then_some(target.into());
        let route = Route { prefix: Cidr::one(destination.into()), gateway, iface: id, metric: 0 };
        let fits = self.learn_route(route, 0, true);
        self.schedule_v6();
        if fits { Ok(()) } else { Err(DropReason::NdpTableFull) }
    }

    /// Takes a route that was advertised, or came by a redirect; false when there is no place for it.
    #[cfg(feature = "routes")]
    fn learn_route(&mut self, route: Route, lifetime: u32, redirect: bool) -> bool {
        let now = self.now;
        let Some(Some(iface)) = self.ifaces.get_mut(route.iface.index()) else { return true };
        let change = match redirect {
            true => iface.v6.on_redirect(now, route),
            false => iface.v6.on_route(now, route, lifetime, false),
        };
        match change {
            Change::None => return true,
            Change::Full => return false,
            Change::Remove(old) => {
                let _ = self.routes.remove(&old);
                return true;
            }
            Change::Replace(old) => _ = self.routes.remove(&old),
            Change::Add => {}
        }
        let added = self.routes.add(route).is_ok();
        if !added && let Some(Some(iface)) = self.ifaces.get_mut(route.iface.index()) {
            // The user has set this very route, or the table is full of others.
            iface.v6.not_added(&route);
        }
        added
    }
}

/// The metric of a learned route: behind those that the user sets without one, in the order of RFC 4191 §2.1.
#[cfg(feature = "routes")]
const fn metric(preference: Preference) -> u16 {
    match preference {
        Preference::High => 1,
        Preference::Medium => 2,
        Preference::Low => 3,
    }
}

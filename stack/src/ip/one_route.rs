//! The routes of a small host: its networks, which its addresses tell, and one gateway for everything else. Stands in for the
//! table in `route.rs` without the feature `routes`.
//!
//! Implements RFC 1122 §3.3.1.1 and §3.3.1.2 for a host with one router.

use super::{IfaceId, Route, RouteSlot};
use crate::error::RouteError;
use crate::family::{IpAddr, inside};
use crate::ip::addr::is_unicast_host;
use managed::ManagedSlice;

/// Families of addresses, each with a gateway of its own.
const FAMILIES: usize = if cfg!(feature = "ipv6") { 2 } else { 1 };

/// The default routes, IPv4's first.
pub(crate) struct Routes<'a> {
    gateways: [Option<(IfaceId, IpAddr)>; FAMILIES],
    generation: u32,
    _slots: core::marker::PhantomData<&'a ()>,
}

impl<'a> Routes<'a> {
    /// Nowhere to go beyond our networks; what a table would lie in is not used.
    pub fn new(_: ManagedSlice<'a, RouteSlot>, _: usize) -> Self {
        Self { gateways: [None; FAMILIES], generation: 0, _slots: core::marker::PhantomData }
    }

    /// Sets a gateway, for everything: there is no place for part of it. A route without one is a network of ours, which our
    /// addresses tell of.
    pub fn add(&mut self, route: Route) -> Result<(), RouteError> {
        if let Some(gateway) = route.gateway {
            let all = route.prefix.prefix_len() == 0;
            let gateway = inside(gateway).filter(|g| is_unicast_host(*g)).ok_or(RouteError::BadGateway)?;
            let place = self
                .gateways
                .get_mut(family(gateway))
                .filter(|place| place.is_none() && all)
                .ok_or(RouteError::Full)?;
            *place = Some((route.iface, gateway));
        }
        self.touch();
        Ok(())
    }

    /// Forgets the gateway, if it is this one; or a network of ours is gone with its address.
    pub fn remove(&mut self, route: &Route) -> Result<(), RouteError> {
        self.touch();
        let Some(gateway) = route.gateway.and_then(inside) else { return Ok(()) };
        let place = self.gateways.get_mut(family(gateway));
        let is_it = place.and_then(|place| place.take_if(|way| *way == (route.iface, gateway))).is_some();
        if is_it { Ok(()) } else { Err(RouteError::NotFound) }
    }

    /// Forgets the gateways on this interface.
    pub fn remove_iface(&mut self, iface: u8) {
        for place in &mut self.gateways {
            place.take_if(|(on, _)| on.0 == iface);
        }
        self.touch();
    }

    /// The gateway for the family of `dst`, and the interface it is on.
    pub fn gateway(&self, dst: IpAddr) -> Option<(IfaceId, IpAddr)> {
        *self.gateways.get(family(dst))?
    }

    /// What was looked up before is to be looked up again.
    pub fn touch(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }

    /// As [`touch`](Self::touch).
    #[cfg(feature = "hooks")]
    pub fn forget_ways(&mut self) {
        self.touch();
    }

    /// Changes whenever a route does: what was looked up before is to be looked up again.
    pub fn generation(&self) -> u32 {
        self.generation
    }
}

/// The place of an address's family.
fn family(addr: IpAddr) -> usize {
    usize::from(!addr.is_ipv4())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ip::addr::Cidr;
    use core::net::Ipv4Addr;

    /// A destination beyond the link.
    const FAR: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9));

    fn by(gateway: [u8; 4], iface: u8) -> Route {
        let prefix = Cidr::new(Ipv4Addr::UNSPECIFIED.into(), 0).expect("a prefix length");
        Route { prefix, gateway: Some(Ipv4Addr::from(gateway).into()), iface: IfaceId(iface), metric: 0 }
    }

    #[test]
    fn there_is_one_gateway_at_a_time_and_it_goes_with_its_interface() {
        let mut routes = Routes::new(ManagedSlice::Borrowed(&mut []), 0);
        assert_eq!(routes.gateway(FAR), None);
        assert_eq!(routes.add(by([10, 0, 0, 1], 1)), Ok(()));
        assert_eq!(routes.add(by([10, 0, 0, 2], 0)), Err(RouteError::Full));
        let first = (IfaceId(1), Ipv4Addr::new(10, 0, 0, 1).into());
        assert_eq!(routes.gateway(FAR), Some(first));
        routes.remove_iface(0);
        assert_eq!(routes.gateway(FAR), Some(first), "of another interface");
        routes.remove_iface(1);
        assert_eq!((routes.gateway(FAR), routes.add(by([10, 0, 0, 2], 0))), (None, Ok(())));
    }

    #[test]
    fn a_gateway_is_taken_away_by_its_name_alone() {
        let mut routes = Routes::new(ManagedSlice::Borrowed(&mut []), 0);
        let part = Route { prefix: Cidr::one(FAR), ..by([10, 0, 0, 1], 1) };
        assert_eq!((routes.add(part), routes.gateway(FAR)), (Err(RouteError::Full), None), "for one destination");
        assert_eq!(routes.add(by([10, 0, 0, 1], 1)), Ok(()));
        for other in [by([10, 0, 0, 2], 1), by([10, 0, 0, 1], 0)] {
            assert_eq!(routes.remove(&other), Err(RouteError::NotFound));
        }
        assert_eq!(routes.remove(&by([10, 0, 0, 1], 1)), Ok(()));
        assert_eq!(routes.gateway(FAR), None);
    }

    #[cfg(feature = "ipv6")]
    #[test]
    fn each_family_has_a_gateway_of_its_own() {
        let mut routes = Routes::new(ManagedSlice::Borrowed(&mut []), 0);
        let prefix = Cidr::new(core::net::Ipv6Addr::UNSPECIFIED.into(), 0).expect("a prefix length");
        let gateway: IpAddr = core::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).into();
        let sixth = Route { prefix, gateway: Some(gateway), ..by([10, 0, 0, 1], 1) };
        assert_eq!((routes.add(sixth), routes.gateway(FAR)), (Ok(()), None));
        assert_eq!((routes.gateway(gateway), routes.add(by([10, 0, 0, 1], 1))), (Some((IfaceId(1), gateway)), Ok(())));
        assert_eq!((routes.remove(&sixth), routes.gateway(gateway)), (Ok(()), None));
        assert!(routes.gateway(FAR).is_some());
    }

    #[test]
    fn what_is_no_hosts_address_is_no_gateway_and_changes_nothing() {
        let mut routes = Routes::new(ManagedSlice::Borrowed(&mut []), 0);
        for nobody in [[0, 0, 0, 0], [224, 0, 0, 1], [255, 255, 255, 255], [127, 0, 0, 1]] {
            let before = routes.generation();
            assert_eq!(routes.add(by(nobody, 0)), Err(RouteError::BadGateway), "{nobody:?}");
            assert_eq!((routes.gateway(FAR), routes.generation()), (None, before));
        }
    }

    /// Connections look their way up anew when the generation has changed.
    #[test]
    fn each_change_is_seen_by_those_who_remember_a_way() {
        let mut routes = Routes::new(ManagedSlice::Borrowed(&mut []), 0);
        let mut seen = routes.generation();
        let mut changed =
            |routes: &Routes<'_>| core::mem::replace(&mut seen, routes.generation()) != routes.generation();
        let own = Route { gateway: None, ..by([0, 0, 0, 0], 0) };
        assert!(routes.add(own).is_ok() && changed(&routes));
        assert!(routes.add(by([10, 0, 0, 1], 0)).is_ok() && changed(&routes));
        assert!(routes.remove(&own).is_ok() && changed(&routes));
        routes.remove_iface(0);
        assert!(changed(&routes));
    }
}

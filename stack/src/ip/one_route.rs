//! The routes of a small host: its networks, which its addresses tell, and one gateway for everything else. Stands in for the
//! table in `route.rs` without the feature `routes`.
//!
//! Implements RFC 1122 §3.3.1.1 and §3.3.1.2 for a host with one router.

use super::{IfaceId, Route, RouteSlot};
use crate::error::RouteError;
use crate::family::{IpAddr, inside};
use crate::ip::addr::is_unicast_host;
use managed::ManagedSlice;

/// The default route.
pub(crate) struct Routes<'a> {
    gateway: Option<(IfaceId, IpAddr)>,
    generation: u32,
    _slots: core::marker::PhantomData<&'a ()>,
}

impl<'a> Routes<'a> {
    /// Nowhere to go beyond our networks; what a table would lie in is not used.
    pub fn new(_: ManagedSlice<'a, RouteSlot>, _: usize) -> Self {
        Self { gateway: None, generation: 0, _slots: core::marker::PhantomData }
    }

    /// Sets the gateway. A route without one is a network of ours, which our addresses tell of.
    pub fn add(&mut self, route: Route) -> Result<(), RouteError> {
        if let Some(gateway) = route.gateway {
            if self.gateway.is_some() {
                return Err(RouteError::Full);
            }
            let gateway = inside(gateway).filter(|g| is_unicast_host(*g)).ok_or(RouteError::BadGateway)?;
            self.gateway = Some((route.iface, gateway));
        }
        self.touch();
        Ok(())
    }

    /// A network of ours is gone with its address.
    pub fn remove(&mut self, _: &Route) -> Result<(), RouteError> {
        self.touch();
        Ok(())
    }

    /// Forgets the gateway if it is on this interface.
    pub fn remove_iface(&mut self, iface: u8) {
        self.gateway.take_if(|(on, _)| on.0 == iface);
        self.touch();
    }

    /// The gateway and the interface it is on.
    pub fn gateway(&self) -> Option<(IfaceId, IpAddr)> {
        self.gateway
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ip::addr::Cidr;
    use core::net::Ipv4Addr;

    fn by(gateway: [u8; 4], iface: u8) -> Route {
        let prefix = Cidr::new(Ipv4Addr::UNSPECIFIED.into(), 0).expect("a prefix length");
        Route { prefix, gateway: Some(Ipv4Addr::from(gateway).into()), iface: IfaceId(iface), metric: 0 }
    }

    #[test]
    fn there_is_one_gateway_at_a_time_and_it_goes_with_its_interface() {
        let mut routes = Routes::new(ManagedSlice::Borrowed(&mut []), 0);
        assert_eq!(routes.gateway(), None);
        assert_eq!(routes.add(by([10, 0, 0, 1], 1)), Ok(()));
        assert_eq!(routes.add(by([10, 0, 0, 2], 0)), Err(RouteError::Full));
        let first = (IfaceId(1), Ipv4Addr::new(10, 0, 0, 1).into());
        assert_eq!(routes.gateway(), Some(first));
        routes.remove_iface(0);
        assert_eq!(routes.gateway(), Some(first), "of another interface");
        routes.remove_iface(1);
        assert_eq!((routes.gateway(), routes.add(by([10, 0, 0, 2], 0))), (None, Ok(())));
    }

    #[test]
    fn what_is_no_hosts_address_is_no_gateway_and_changes_nothing() {
        let mut routes = Routes::new(ManagedSlice::Borrowed(&mut []), 0);
        for nobody in [[0, 0, 0, 0], [224, 0, 0, 1], [255, 255, 255, 255], [127, 0, 0, 1]] {
            let before = routes.generation();
            assert_eq!(routes.add(by(nobody, 0)), Err(RouteError::BadGateway), "{nobody:?}");
            assert_eq!((routes.gateway(), routes.generation()), (None, before));
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

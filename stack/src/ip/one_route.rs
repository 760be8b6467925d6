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

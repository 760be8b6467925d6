//! Threads that wait until the stack has an address of one kind or another.

use super::{Core, Shared, no_router};
use crate::failure::Failure;
use ringtap::dhcp::v4::Lease as DhcpLease;
use std::sync::PoisonError;

impl Shared {
    /// The stack's lease, once a DHCP server has given one.
    ///
    /// # Errors
    /// When none has after this time, or the loop has ended.
    pub fn wait_for_lease(&self, timeout: std::time::Duration) -> Result<DhcpLease, Failure> {
        let waits = |core: &mut Core| core.lease.is_none() && core.ended.is_none();
        let waited = self.configured.wait_timeout_while(self.lock(), timeout, waits);
        let (core, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match (&core.lease, &core.ended) {
            (Some(lease), _) => Ok(lease.clone()),
            (None, Some(failure)) => Err(failure.clone()),
            (None, None) => Err(Failure::new("no DHCP server has answered").remedy("give an address with --addr")),
        }
    }

    /// Waits until there is an address by what routers advertise.
    ///
    /// # Errors
    /// When there is none after this time, or the loop has ended.
    pub fn wait_for_routers(&self, timeout: std::time::Duration) -> Result<(), Failure> {
        let waits = |core: &mut Core| !core.by_routers && core.ended.is_none();
        let waited = self.configured.wait_timeout_while(self.lock(), timeout, waits);
        let (core, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match (core.by_routers, &core.ended) {
            (true, _) => Ok(()),
            (false, Some(failure)) => Err(failure.clone()),
            (false, None) => Err(no_router()),
        }
    }

    /// Waits until there is an IPv4 address: a DHCP server's, or, failing that, one of the link (RFC 3927).
    ///
    /// # Errors
    /// When there is none after this time, or the loop has ended.
    pub fn wait_for_address(&self, timeout: std::time::Duration) -> Result<(), Failure> {
        let waits = |core: &mut Core| core.lease.is_none() && core.link_local.is_none() && core.ended.is_none();
        let waited = self.configured.wait_timeout_while(self.lock(), timeout, waits);
        let (core, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match &core.ended {
            _ if core.lease.is_some() || core.link_local.is_some() => Ok(()),
            Some(failure) => Err(failure.clone()),
            None => Err(Failure::new("no address of the link is free").remedy("give an address with --addr")),
        }
    }
}

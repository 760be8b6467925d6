//! Addresses, routes and name servers from others on the link: DHCP, router advertisements, and DHCPv6 where those ask
//! for it.

use super::{App, Core, earlier};
use crate::failure::Failure;
use crate::routers::Routers;
use ringtap::dhcp::v4::{DhcpClient, DhcpEvent, DhcpOptions};
use ringtap::dhcp::v6::{Dhcpv6Client, Dhcpv6Mode};
use ringtap::stack::{Identifiers, IfaceId, Stack};
use ringtap::time::Instant;

/// What asks for them, as far as it was wished for.
pub(super) struct Automatic {
    dhcp: Option<DhcpClient>,
    dhcp6: Option<Dhcpv6Client>,
    routers: Option<Routers>,
}

impl Automatic {
    /// Begins to ask on `iface`: a DHCP server, or routers (`slaac`), or both.
    ///
    /// # Errors
    /// When there is no room for the clients, or routers are wished for on a link too small for IPv6.
    pub fn start(
        stack: &mut Stack<'static>,
        now: Instant,
        iface: IfaceId,
        (dhcp, slaac): (bool, bool),
    ) -> Result<Self, Failure> {
        let start = || DhcpClient::start(stack, now, iface, &DhcpOptions::default());
        let failed = |e| Failure::new(format!("cannot ask for an address by DHCP: {e}"));
        let client = dhcp.then(start).transpose().map_err(failed)?;
        let dhcp6 = (dhcp || slaac).then(|| follow_routers(stack, iface)).transpose()?.flatten();
        if slaac && dhcp6.is_none() {
            return Err(Failure::new("cannot ask routers for an address: IPv6 needs an MTU of 1280")
                .remedy("raise the device's MTU, or leave --slaac out"));
        }
        Ok(Self { dhcp: client, dhcp6, routers: slaac.then(|| Routers::new(iface)) })
    }

    /// Does what is due, and tells the app; whether anything has changed.
    pub fn poll(&mut self, core: &mut Core, app: &mut dyn App, now: Instant) -> bool {
        let Core { stack, lease, by_routers, names, ended: _ } = core;
        let mut changed = false;
        while let Some((dhcp, event)) = self.dhcp.as_mut().and_then(|d| d.poll(stack, now).map(|event| (&*d, event))) {
            *lease = dhcp.lease().filter(|_| event != DhcpEvent::Lost).cloned();
            names.learn(lease.as_ref());
            app.on_lease(stack, lease.as_ref());
            changed = true;
        }
        if let Some(dhcp6) = &mut self.dhcp6 {
            while dhcp6.poll(stack, now).is_some() {
                names.learn6(dhcp6.lease());
                app.on_lease6(stack, dhcp6.lease());
            }
        }
        if let Some(addresses) = self.routers.as_mut().and_then(|r| r.look(stack)) {
            *by_routers = !addresses.is_empty();
            app.on_routers(stack, addresses);
            changed = true;
        }
        changed
    }

    /// When [`poll`](Self::poll) is to be called again at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        let dhcp = self.dhcp.as_ref().and_then(DhcpClient::deadline);
        earlier(dhcp, self.dhcp6.as_ref().and_then(Dhcpv6Client::deadline))
    }
}

/// Follows routers, and asks for addresses and name servers by DHCPv6 where they say so; on a link too small for IPv6, or
/// without Ethernet, nothing.
fn follow_routers(stack: &mut Stack<'static>, iface: IfaceId) -> Result<Option<Dhcpv6Client>, Failure> {
    if stack.autoconfigure(iface, Identifiers::default()).is_err() {
        return Ok(None);
    }
    let client = Dhcpv6Client::start(stack, iface, Dhcpv6Mode::AsAdvertised);
    client.map(Some).map_err(|e| Failure::new(format!("cannot ask for an address by DHCPv6: {e}")))
}

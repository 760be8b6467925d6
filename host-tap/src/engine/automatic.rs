//! Addresses, routes and name servers from others on the link: DHCP, router advertisements, and DHCPv6 where those ask
//! for it; and addresses that nobody gives.

use super::{App, Core, earlier};
use crate::attach::Wanted;
use crate::failure::Failure;
use crate::routers::Routers;
use ringtap::dhcp::v4::{DhcpClient, DhcpEvent, DhcpOptions};
use ringtap::dhcp::v6::{Dhcpv6Client, Dhcpv6Mode};
use ringtap::link::neighbor::NeighborState;
use ringtap::link_local::{LinkLocal, LinkLocalEvent, LinkLocalOptions};
use ringtap::stack::{Identifiers, IfaceId, ProbeTiming, Stack, TemporaryAddresses};
use ringtap::time::{Duration, Instant};

/// How long a DHCP server may take before an address of the link is claimed: two questions.
const FALLBACK: Duration = Duration::from_secs(5);

/// What asks for them, as far as it was wished for.
pub(super) struct Automatic {
    iface: IfaceId,
    dhcp: Option<DhcpClient>,
    dhcp6: Option<Dhcpv6Client>,
    routers: Option<Routers>,
    link_local: Option<LinkLocal>,
    /// When an address of the link is to be claimed, unless there is another by then.
    fallback: Option<Instant>,
}

impl Automatic {
    /// Begins to ask on `iface` for what is wanted.
    ///
    /// # Errors
    /// When there is no room for the clients, or routers are wished for on a link too small for IPv6.
    pub fn start(stack: &mut Stack<'static>, now: Instant, iface: IfaceId, wanted: Wanted) -> Result<Self, Failure> {
        let Wanted { dhcp, slaac, temporary, optimistic: _, link_local } = wanted;
        // An address that a server has given is probed for quickly: the user waits, and five seconds are to be enough.
        let options = DhcpOptions { probing: ProbeTiming::QUICK, ..DhcpOptions::default() };
        let start = || DhcpClient::start(stack, now, iface, &options);
        let failed = |e| Failure::new(format!("cannot ask for an address by DHCP: {e}"));
        let client = dhcp.then(start).transpose().map_err(failed)?;
        let dhcp6 = (dhcp || slaac).then(|| follow_routers(stack, iface)).transpose()?.flatten();
        if slaac && dhcp6.is_none() {
            return Err(Failure::new("cannot ask routers for an address: IPv6 needs an MTU of 1280")
                .remedy("raise the device's MTU, or leave --slaac out"));
        }
        if temporary {
            let set = stack.set_temporary_addresses(iface, Some(TemporaryAddresses::default()));
            set.map_err(|e| Failure::new(format!("cannot have temporary addresses: {e}")))?;
        }
        Ok(Self {
            iface,
            dhcp: client,
            dhcp6,
            routers: slaac.then(|| Routers::new(iface)),
            link_local: None,
            fallback: link_local.then_some(if dhcp { now + FALLBACK } else { now }),
        })
    }

    /// Does what is due, and tells the app; whether anything has changed.
    pub fn poll(&mut self, core: &mut Core, app: &mut dyn App, now: Instant) -> bool {
        let Core { stack, lease, by_routers, names, .. } = core;
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
        changed | self.claim(core, app, now)
    }

    /// An address of the link, where it was wished for; whether it has changed.
    fn claim(&mut self, core: &mut Core, app: &mut dyn App, now: Instant) -> bool {
        let Core { stack, link_local, .. } = core;
        if self.fallback.take_if(|at| *at <= now).is_some() {
            // RFC 5227's times: nobody else sees to it that these addresses are free.
            self.link_local = LinkLocal::start(stack, now, self.iface, &LinkLocalOptions::default()).ok();
        }
        let mut changed = false;
        while let Some(event) = self.link_local.as_mut().and_then(|l| l.poll(stack, now)) {
            *link_local = match event {
                LinkLocalEvent::Claimed(ip) => Some(ip),
                _ => None,
            };
            app.on_link_local(stack, *link_local);
            changed = true;
        }
        changed
    }

    /// When [`poll`](Self::poll) is to be called again at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        let dhcp = self.dhcp.as_ref().and_then(DhcpClient::deadline);
        let both = earlier(dhcp, self.dhcp6.as_ref().and_then(Dhcpv6Client::deadline));
        earlier(earlier(both, self.fallback), self.link_local.as_ref().and_then(LinkLocal::deadline))
    }

    /// Gives back what servers have given (RFC 2131 §4.4.6, RFC 9915 §18.2.7).
    pub fn release(&mut self, stack: &mut Stack<'static>, now: Instant) {
        self.dhcp = self.dhcp.take().filter(|d| d.lease().is_some());
        self.dhcp6 = self.dhcp6.take().filter(|d| d.lease().is_some_and(|l| !l.addresses().is_empty()));
        if let Some(dhcp) = &mut self.dhcp {
            dhcp.release(stack, now);
        }
        if let Some(dhcp6) = &mut self.dhcp6 {
            dhcp6.release(now);
            while dhcp6.poll(stack, now).is_some() {}
        }
    }

    /// Whether they know: a DHCPv6 server answers; a DHCP server does not, but what is told it has left.
    pub fn is_released(&mut self, stack: &mut Stack<'static>, now: Instant) -> bool {
        if let Some(dhcp6) = &mut self.dhcp6 {
            while dhcp6.poll(stack, now).is_some() {}
        }
        let is_asked_for = stack.neighbors().any(|n| n.state == NeighborState::Incomplete);
        let has_left = !is_asked_for && stack.pending().is_empty();
        (self.dhcp.is_none() || has_left) && self.dhcp6.as_ref().is_none_or(Dhcpv6Client::is_released)
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

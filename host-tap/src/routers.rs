//! The addresses that follow from what routers advertise, as the loop sees them: it looks after each poll.

use ringtap::ip::addr::Cidr;
use ringtap::stack::{AddressState, IfaceId, Stack};
use std::net::IpAddr;

/// An interface that follows routers (RFC 4862), and what came of it so far.
pub struct Routers {
    iface: IfaceId,
    addresses: Vec<Cidr>,
}

impl Routers {
    /// Of an interface that was told to configure itself.
    pub fn new(iface: IfaceId) -> Self {
        Self { iface, addresses: Vec::new() }
    }

    /// The addresses that can be used now, if they are others than at the last look.
    pub fn look(&mut self, stack: &Stack<'static>) -> Option<&[Cidr]> {
        if usable(stack, self.iface).eq(self.addresses.iter().copied()) {
            return None;
        }
        self.addresses = usable(stack, self.iface).collect();
        Some(&self.addresses)
    }
}

/// The addresses that mean something beyond the link, and are no longer on trial.
fn usable<'s>(stack: &'s Stack<'static>, iface: IfaceId) -> impl Iterator<Item = Cidr> + 's {
    let is_usable = |(cidr, state): &(Cidr, AddressState)| {
        matches!(state, AddressState::Preferred | AddressState::Optimistic)
            && matches!(cidr.addr(), IpAddr::V6(ip) if !ip.is_unicast_link_local())
    };
    stack.ipv6_addresses(iface).filter(is_usable).map(|(cidr, _)| cidr)
}

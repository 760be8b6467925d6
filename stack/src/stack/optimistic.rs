//! Optimistic addresses: in use while they are on trial, as far as it cannot disturb who has them already.
//!
//! Implements RFC 4429 §3. Such an address is in the list of addresses and in that of trials. What it must not do is told
//! where it is done: no link-layer address of ours goes out beside it and nobody is overridden (`rx/ndp.rs`, `tx/ndp.rs`).
//!
//! ```text
//!   formed from a prefix of a router whose MAC address is known ─▶ optimistic ── silence ──▶ preferred
//!                                                                      └─ somebody has it ─▶ gone, another on plain trial
//! ```

use super::iface::STABLE;
use super::{Iface, IfaceId, Stack};
use crate::family::IpAddr;
use crate::tx::Hop;
use core::net::Ipv6Addr;

impl Stack<'_> {
    /// Has the address that an interface has begun to try last be usable at once, where that may be.
    pub(crate) fn be_optimistic(&mut self, id: IfaceId) {
        // RFC 4429 §3.3: routers SHOULD NOT, nor hosts that do not know their router's link-layer address, for what is sent
        // from such an address goes there.
        if !self.config.optimistic_dad || self.is_router() || self.known_router(id).is_none() {
            return;
        }
        let Some(Some(iface)) = self.ifaces.get_mut(id.index()) else { return };
        let Some(trial) = iface.v6.tentative.last_mut().filter(|t| t.formed.is_some()) else { return };
        let cidr = trial.cidr;
        // RFC 4429 §3.3: the probe SHOULD NOT be delayed.
        (trial.optimistic, trial.at) = (true, self.now);
        if iface.add_address(cidr).is_err()
            && let Some(trial) = iface.v6.tentative.last_mut()
        {
            trial.optimistic = false;
        }
    }

    /// Takes an optimistic address out of use, which is somebody else's; it stays on trial.
    pub(crate) fn end_optimism(&mut self, id: IfaceId, addr: Ipv6Addr) {
        let Some(Some(iface)) = self.ifaces.get_mut(id.index()) else { return };
        if iface.v6.stop_optimism(addr) {
            let _ = self.withdraw_address(id, IpAddr::V6(addr));
        }
    }

    /// A default router of the interface whose link-layer address is known.
    fn known_router(&self, id: IfaceId) -> Option<IpAddr> {
        let mut defaults = self.routes.iter().filter(|r| r.iface == id && r.prefix.prefix_len() == 0);
        defaults.find_map(|r| {
            let router = r.gateway.filter(|g| g.is_ipv6())?;
            self.neighbors.has_mac(id.0, router).then_some(router)
        })
    }

    /// The way of a packet from an optimistic address.
    ///
    /// A neighbour whose link-layer address is not known MUST NOT be asked for from there (RFC 4429 §3.2): its packets go
    /// by a router, which will tell of the shorter way. Without a router there is none, until the trial is over.
    #[cold]
    pub(crate) fn hop_of_optimistic(&self, src: IpAddr, dst: IpAddr, hop: Hop) -> Option<Hop> {
        let is_optimistic = self.iface(hop.iface).is_some_and(|i| i.v6.is_optimistic(src));
        if !is_optimistic || dst.is_multicast() || self.neighbors.has_mac(hop.iface.0, hop.next) {
            return Some(hop);
        }
        self.known_router(hop.iface).map(|next| Hop { next, ..hop })
    }
}

impl Iface<'_> {
    /// As [`source_for`](Self::source_for), of what says the link-layer address of its source: not an optimistic one.
    pub fn source_to_show(&self, now: crate::time::Instant, dst: IpAddr) -> Option<IpAddr> {
        let source = self.source_for(now, dst)?;
        if !self.v6.is_optimistic(source) {
            return Some(source);
        }
        let IpAddr::V6(dst) = dst else { return None };
        crate::ip::v6::source(dst, self.candidates(now, STABLE).filter(|c| !self.v6.is_optimistic(c.addr.into())))
            .map(IpAddr::V6)
    }
}

//! Policy routing for the user: set, and asked in front of the route table.

use super::{IfaceId, Stack};
use crate::family::{IpAddr, inside, outside};
use crate::ip::policy::{Choice, Policy, Question};
use crate::tx::Hop;

/// A policy as a stack keeps it.
pub(crate) type Chooser<'a> = &'a (dyn Policy + Send + Sync);

impl<'a> Stack<'a> {
    /// Has `policy` choose ways in front of the route table; gives back the one that did before. `None`: the table alone.
    ///
    /// A policy that changes its mind says so by [`forget_ways`](Self::forget_ways).
    pub fn set_policy(&mut self, policy: Option<Chooser<'a>>) -> Option<Chooser<'a>> {
        self.forget_ways();
        core::mem::replace(&mut self.policy, policy)
    }

    /// Has connections look for their ways anew.
    pub fn forget_ways(&mut self) {
        self.routes.forget_ways();
    }

    /// What the policy says of a packet to `dst`: `None`, that the table decides; else the way, which may be nowhere.
    #[cold]
    #[inline(never)]
    pub(crate) fn chosen(&self, src: Option<IpAddr>, dst: IpAddr, arrived: Option<IfaceId>) -> Option<Hop> {
        let question = Question { dst: outside(dst), src: src.map(outside), arrived };
        match self.policy?.choose(&question) {
            Choice::Table => None,
            Choice::Via { iface, gateway } => {
                let gateway = gateway.filter(|gateway| gateway.is_ipv4() == dst.is_ipv4());
                let known = iface.is_nowhere() || self.iface(iface).is_some();
                let iface = if known { iface } else { IfaceId::BLACKHOLE };
                Some(Hop { iface, next: gateway.and_then(inside).unwrap_or(dst) })
            }
        }
    }
}

//! Enhanced duplicate address detection: probes of ours that come back by a loop are told from those of a rival.
//!
//! Implements RFC 7527 §4: each probe has a nonce (RFC 3971 §5.3.2), and a probe that comes in with one that we sent is
//! our own. As long as a loop is heard, the trial goes on: what a looped link answers says nothing.

use super::slaac::Host;
use core::net::{IpAddr, Ipv6Addr};

/// What tells our probes from others'.
pub(crate) type Nonce = [u8; 6];

/// Nonces that are remembered for an address: those of the last probes.
const REMEMBERED: usize = 4;
/// MAX_MULTICAST_SOLICIT (RFC 4861 §10): probes more after one that came back.
const MORE_PROBES: u8 = 3;

/// What the probes for one address were sent with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Probes {
    nonces: [Option<Nonce>; REMEMBERED],
    next: u8,
    /// One of them came back since the last verdict.
    looped: bool,
}

impl Probes {
    pub const NONE: Self = Self { nonces: [None; REMEMBERED], next: 0, looped: false };

    fn remember(&mut self, nonce: Nonce) {
        if let Some(place) = self.nonces.get_mut(usize::from(self.next) % REMEMBERED) {
            *place = Some(nonce);
        }
        self.next = self.next.wrapping_add(1);
    }

    /// How many probes more there are to be before the verdict, which is due.
    pub fn take_looped(&mut self) -> Option<u8> {
        core::mem::take(&mut self.looped).then_some(MORE_PROBES)
    }
}

impl Host {
    /// A probe for `addr` is sent with `nonce`.
    pub fn probed_with(&mut self, addr: Ipv6Addr, nonce: Nonce) {
        if let Some(t) = self.tentative.iter_mut().find(|t| t.cidr.addr() == IpAddr::V6(addr)) {
            t.probes.remember(nonce);
        }
    }

    /// Whether a probe for `addr` with this nonce is one of ours that came back; if so, the trial goes on.
    pub fn is_own_probe(&mut self, addr: Ipv6Addr, nonce: Option<Nonce>) -> bool {
        let Some(t) = self.tentative.iter_mut().find(|t| t.cidr.addr() == IpAddr::V6(addr)) else { return false };
        let is_own = nonce.is_some() && t.probes.nonces.contains(&nonce);
        t.probes.looped |= is_own;
        is_own
    }
}

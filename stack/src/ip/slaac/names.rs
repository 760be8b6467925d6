//! Name servers and search domains that routers advertise, with their lifetimes.
//!
//! Implements RFC 8106 §5.1, §5.2 and §5.3.1.

#[cfg(feature = "rdnss")]
use super::{Host, until};
#[cfg(feature = "rdnss")]
use crate::time::Instant;
#[cfg(feature = "rdnss")]
use core::net::Ipv6Addr;
use heapless::String;
#[cfg(feature = "rdnss")]
use heapless::Vec;

/// DNS servers, per interface: RFC 8106 §5.3.1 has three suffice.
#[cfg(feature = "rdnss")]
pub(super) const SERVERS: usize = 3;
/// Search domains, per interface.
#[cfg(feature = "rdnss")]
const DOMAINS: usize = 2;
/// Octets of one.
pub(crate) const DOMAIN: usize = 64;

/// What is advertised.
#[cfg(feature = "rdnss")]
pub(super) struct Names {
    servers: Vec<(Ipv6Addr, Option<Instant>), SERVERS>,
    domains: Vec<(String<DOMAIN>, Option<Instant>), DOMAINS>,
}

#[cfg(feature = "rdnss")]
impl Names {
    pub const fn new() -> Self {
        Self { servers: Vec::new(), domains: Vec::new() }
    }
}

#[cfg(feature = "rdnss")]
impl Host {
    /// DNS servers (RFC 8106 §5.1); false when there is no place for one.
    pub fn on_servers(&mut self, now: Instant, servers: &[[u8; 16]], lifetime: u32) -> bool {
        self.names.servers.retain(|s| s.1.is_none_or(|at| now < at));
        let mut fits = true;
        for addr in servers.iter().map(|s| Ipv6Addr::from(*s)) {
            let known = self.names.servers.iter().position(|s| s.0 == addr);
            match (known, lifetime) {
                (Some(at), 0) => _ = self.names.servers.remove(at),
                (Some(at), _) => _ = self.names.servers.get_mut(at).map(|s| s.1 = until(now, lifetime)),
                (None, 0) => {}
                (None, _) => fits &= self.names.servers.push((addr, until(now, lifetime))).is_ok(),
            }
        }
        fits
    }

    /// Search domains (RFC 8106 §5.2), in the encoding of RFC 1035 §3.1; false when there is no place for one.
    pub fn on_search(&mut self, now: Instant, mut names: &[u8], lifetime: u32) -> bool {
        self.names.domains.retain(|d| d.1.is_none_or(|at| now < at));
        // Zeros pad the option: an empty name ends the list.
        while let Some((name, rest)) = domain(names).filter(|(name, _)| !name.is_empty()) {
            names = rest;
            let known = self.names.domains.iter().position(|d| d.0 == name);
            match (known, lifetime) {
                (Some(at), 0) => _ = self.names.domains.remove(at),
                (Some(at), _) => _ = self.names.domains.get_mut(at).map(|d| d.1 = until(now, lifetime)),
                (None, 0) => {}
                (None, _) if self.names.domains.push((name, until(now, lifetime))).is_err() => return false,
                (None, _) => {}
            }
        }
        true
    }

    pub fn servers(&self, now: Instant) -> impl Iterator<Item = Ipv6Addr> {
        self.names.servers.iter().filter(move |s| s.1.is_none_or(|at| now < at)).map(|s| s.0)
    }

    pub fn domains(&self, now: Instant) -> impl Iterator<Item = &str> {
        self.names.domains.iter().filter(move |d| d.1.is_none_or(|at| now < at)).map(|d| d.0.as_str())
    }
}

/// The first name of `names` with dots, and what follows it; `None` for one that is cut off, compressed or too long.
pub(crate) fn domain(names: &[u8]) -> Option<(String<DOMAIN>, &[u8])> {
    let (mut out, mut rest) = (String::new(), names);
    loop {
        let (&len, behind) = rest.split_first()?;
        if len == 0 {
            return Some((out, behind));
        }
        let (label, behind) = behind.split_at_checked(usize::from(len))?;
        if len > 63 || !label.iter().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(b)) {
            return None;
        }
        if !out.is_empty() {
            out.push('.').ok()?;
        }
        out.push_str(core::str::from_utf8(label).ok()?).ok()?;
        rest = behind;
    }
}

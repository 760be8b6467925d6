//! Wire format: router advertisements as a router sends them.
//!
//! Implements RFC 4861 §4.2, §4.6.2 and §4.6.4, RFC 8106 §5.1. The ICMPv6 checksum is `icmp/v6.rs`'s.

use super::ndp::{MTU, PREFIX, Prefix, RDNSS, SOURCE_LINK_LAYER, kind};
use crate::device::Mac;
use crate::frame::Frame;
use core::net::Ipv6Addr;

/// What is said besides prefixes and name servers.
pub(crate) struct Advert {
    pub hop_limit: u8,
    pub managed: bool,
    pub other: bool,
    /// In seconds; 0: we are no router.
    pub lifetime: u16,
    /// Our MAC address.
    pub mac: Mac,
    pub mtu: Option<u16>,
}

/// Appends an advertisement, checksum 0, to `frame`, which is empty; the name servers are told for `dns.0` seconds.
pub(crate) fn emit(
    frame: &mut Frame<'_>,
    advert: &Advert,
    prefixes: impl Iterator<Item = Prefix>,
    dns: (u32, impl Iterator<Item = Ipv6Addr> + Clone),
) -> Option<()> {
    let flags = u8::from(advert.managed) << 7 | u8::from(advert.other) << 6;
    let [hi, lo] = advert.lifetime.to_be_bytes();
    frame.extend(&[kind::ROUTER_ADVERT, 0, 0, 0, advert.hop_limit, flags, hi, lo, 0, 0, 0, 0, 0, 0, 0, 0])?;
    let Mac([a, b, c, d, e, f]) = advert.mac;
    frame.extend(&[SOURCE_LINK_LAYER, 1, a, b, c, d, e, f])?;
    if let Some(mtu) = advert.mtu {
        let [hi, lo] = mtu.to_be_bytes();
        frame.extend(&[MTU, 1, 0, 0, 0, 0, hi, lo])?;
    }
    for prefix in prefixes {
        let flags = u8::from(prefix.on_link) << 7 | u8::from(prefix.autonomous) << 6;
        frame.extend(&[PREFIX, 4, prefix.len, flags])?;
        frame.extend(&prefix.valid.to_be_bytes())?;
        frame.extend(&prefix.preferred.to_be_bytes())?;
        frame.extend(&[0; 4])?;
        frame.extend(&prefix.prefix.octets())?;
    }
    let (lifetime, servers) = dns;
    let count = servers.clone().count() as u8;
    if count > 0 {
        frame.extend(&[RDNSS, 1 + 2 * count, 0, 0])?;
        frame.extend(&lifetime.to_be_bytes())?;
        for server in servers {
            frame.extend(&server.octets())?;
        }
    }
    Some(())
}

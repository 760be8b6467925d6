//! MAC addresses of virtual stations that are known by an IPv4 address and a port, as tunnels and relays know them.
//!
//! ```text
//!   plain    a b c d p p      six octets, of which two bits are spoken for: unicast, locally administered
//!   keyed    PRF(a b c d p p) 46 bits that nobody can choose
//! ```

use super::Mac;
use crate::rng::{Purpose, Secret};
use core::net::Ipv4Addr;

impl Mac {
    /// The address of the station at `addr` and `port`: their octets, made unicast and locally administered (IEEE 802
    /// §8.4). Whoever sees it can tell the endpoint, nearly.
    ///
    /// Two bits of the first octet are lost: of each four endpoints with the same port whose addresses differ in nothing
    /// else (8.0.0.1, 9.0.0.1, 10.0.0.1 and 11.0.0.1, say), all get the same address. Where strangers choose addresses, use
    /// [`from_endpoint_keyed`](Self::from_endpoint_keyed); in either case leave the detection of duplicates on.
    pub const fn from_endpoint(addr: Ipv4Addr, port: u16) -> Self {
        let ([a, b, c, d], [e, f]) = (addr.octets(), port.to_be_bytes());
        Self::of_station([a, b, c, d, e, f])
    }

    /// As [`from_endpoint`](Self::from_endpoint), but without a pattern: the same for the same endpoint and secret, and for
    /// two endpoints the same by chance only, one in 2^46, which nobody without the secret can help.
    pub fn from_endpoint_keyed(secret: &Secret, addr: Ipv4Addr, port: u16) -> Self {
        let ([a, b, c, d], [e, f]) = (addr.octets(), port.to_be_bytes());
        let [a, b, c, d, e, f, ..] = secret.key(Purpose::VirtualMac).prf(&[a, b, c, d, e, f]).to_be_bytes();
        Self::of_station([a, b, c, d, e, f])
    }

    /// These octets as a unicast and locally administered address.
    const fn of_station([a, b, c, d, e, f]: [u8; 6]) -> Self {
        Self([a & !1 | 2, b, c, d, e, f])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::collections::HashSet;
    use std::vec::Vec;

    /// 4,096 endpoints: every first octet, with sixteen ports.
    fn endpoints() -> Vec<(Ipv4Addr, u16)> {
        let all = (0..=255).flat_map(|first| (0..16).map(move |port| (Ipv4Addr::new(first, 0, 2, 1), 40_000 + port)));
        all.collect()
    }

    #[test]
    fn an_endpoints_address_is_its_octets_and_a_stations() {
        let mac = Mac::from_endpoint(Ipv4Addr::new(10, 7, 0, 2), 0x1f90);
        assert_eq!(mac, Mac([0x0a, 7, 0, 2, 0x1f, 0x90]));
        assert_eq!(Mac::from_endpoint(Ipv4Addr::new(0, 0, 0, 0), 0), Mac([2, 0, 0, 0, 0, 0]));
        assert!(endpoints().into_iter().all(|(addr, port)| Mac::from_endpoint(addr, port).is_station()));
    }

    #[test]
    fn four_neighbours_collide_without_a_key_and_none_with_one() {
        let plain = |first| Mac::from_endpoint(Ipv4Addr::new(first, 0, 0, 1), 7);
        assert!((8..12).all(|first| plain(first) == plain(8)) && plain(12) != plain(8));
        let all = endpoints();
        let distinct =
            |of: &dyn Fn(Ipv4Addr, u16) -> Mac| all.iter().map(|e| of(e.0, e.1)).collect::<HashSet<_>>().len();
        assert_eq!(distinct(&Mac::from_endpoint), all.len() / 4, "of each four, one is left");
        let (secret, other) = (Secret::new([7; 16]), Secret::new([8; 16]));
        assert_eq!(distinct(&|addr, port| Mac::from_endpoint_keyed(&secret, addr, port)), all.len());
        let keyed = |secret| Mac::from_endpoint_keyed(secret, Ipv4Addr::new(8, 0, 0, 1), 7);
        assert_eq!(keyed(&secret), keyed(&secret));
        assert_ne!(keyed(&secret), keyed(&other));
        assert!(all.iter().all(|e| Mac::from_endpoint_keyed(&secret, e.0, e.1).is_station()));
        assert!(all.iter().all(|e| Mac::from_endpoint_keyed(&secret, e.0, e.1).0[0] & 2 != 0));
    }
}

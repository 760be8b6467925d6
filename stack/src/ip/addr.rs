//! Addresses with a prefix, and what kind an address is.
//!
//! Implements RFC 4632 §3.1 (prefixes), RFC 1122 §3.2.1.3 and RFC 6890 (special addresses), RFC 3021 (31-bit prefixes).

use crate::family::{IpAddr, inside, outside};
use core::fmt;
use core::net::{IpAddr as AnyAddr, Ipv4Addr};
use core::str::FromStr;

/// An address and the length of its network's prefix: `192.0.2.1/24`.
///
/// ```
/// use ringtap::ip::addr::Cidr;
/// let cidr: Cidr = "192.0.2.1/24".parse().unwrap();
/// assert!(cidr.contains("192.0.2.77".parse().unwrap()));
/// assert_eq!(cidr.broadcast(), Some("192.0.2.255".parse().unwrap()));
/// ```
#[derive(Clone, Copy, Eq, Hash)]
#[allow(clippy::derived_hash_with_manual_eq)] // Equal ones have equal fields.
pub struct Cidr {
    addr: IpAddr,
    prefix_len: u8,
}

impl PartialEq for Cidr {
    // Asked for at many places, and long with two families.
    #[cfg_attr(target_os = "none", inline(never))]
    fn eq(&self, other: &Self) -> bool {
        self.prefix_len == other.prefix_len && self.addr == other.addr
    }
}

impl Cidr {
    /// 0.0.0.0/0.
    pub(crate) const DEFAULT: Self = Self { addr: IpAddr::V4(Ipv4Addr::UNSPECIFIED), prefix_len: 0 };

    /// The address with a prefix of `prefix_len` bits; `None` when the address has fewer (32 or 128), or is of a family
    /// that is not built.
    pub const fn new(addr: AnyAddr, prefix_len: u8) -> Option<Self> {
        match inside(addr) {
            Some(addr) => Self::of(addr, prefix_len),
            None => None,
        }
    }

    /// As [`new`](Self::new).
    pub(crate) const fn of(addr: IpAddr, prefix_len: u8) -> Option<Self> {
        let max = match addr {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        if prefix_len > max { None } else { Some(Self { addr, prefix_len }) }
    }

    /// The prefix that holds this one address only; `None` when it is of a family that is not built.
    pub const fn host(addr: AnyAddr) -> Option<Self> {
        match inside(addr) {
            Some(addr) => Some(Self::one(addr)),
            None => None,
        }
    }

    /// As [`host`](Self::host).
    pub(crate) const fn one(addr: IpAddr) -> Self {
        let prefix_len = match addr {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        Self { addr, prefix_len }
    }

    /// The address, host bits included.
    pub const fn addr(&self) -> AnyAddr {
        outside(self.addr)
    }

    /// As [`addr`](Self::addr), for the stack.
    pub(crate) const fn ip(&self) -> IpAddr {
        self.addr
    }

    /// Bits of the prefix.
    pub const fn prefix_len(&self) -> u8 {
        self.prefix_len
    }

    /// Whether `addr` is of this family and begins with this prefix.
    pub fn contains(&self, addr: AnyAddr) -> bool {
        inside(addr).is_some_and(|addr| self.has(addr))
    }

    /// As [`contains`](Self::contains), for the stack.
    pub(crate) fn has(&self, addr: IpAddr) -> bool {
        match (self.addr, addr) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()) & mask4(self.prefix_len) == 0,
            #[cfg(feature = "ipv6")]
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros() >= u32::from(self.prefix_len),
            _ => false,
        }
    }

    /// The prefix alone: the same with host bits zero.
    pub fn network(&self) -> Self {
        let addr = match self.addr {
            IpAddr::V4(a) => Ipv4Addr::from_bits(a.to_bits() & mask4(self.prefix_len)).into(),
            #[cfg(feature = "ipv6")]
            IpAddr::V6(a) => {
                let mut octets = a.octets();
                for (octet, before) in octets.iter_mut().zip((0u8..).step_by(8)) {
                    // Shifts of 128 bits would be long.
                    let left = u32::from(self.prefix_len.saturating_sub(before));
                    *octet &= !0xff_u8.checked_shr(left).unwrap_or(0);
                }
                octets.into()
            }
            #[cfg(not(feature = "ipv6"))]
            other => other,
        };
        Self { addr, ..*self }
    }

    /// The network's directed broadcast address; none in IPv6, and none for 31 bits (RFC 3021) or 32.
    pub fn broadcast(&self) -> Option<Ipv4Addr> {
        match self.addr {
            IpAddr::V4(a) if self.prefix_len < 31 => Some(Ipv4Addr::from_bits(a.to_bits() | !mask4(self.prefix_len))),
            _ => None,
        }
    }

    /// Whether an interface can have this address: a host's (a unicast address), and neither its network's own nor
    /// its broadcast address.
    pub fn is_host_address(&self) -> bool {
        let edge = match self.addr {
            IpAddr::V4(a) => {
                self.broadcast() == Some(a) || (self.prefix_len < 31 && a.to_bits() & !mask4(self.prefix_len) == 0)
            }
            IpAddr::V6(_) => false,
        };
        is_unicast_host(self.addr) && !edge
    }
}

/// The upper `len` bits set, `len` at most 32.
#[cfg_attr(target_os = "none", inline(never))]
const fn mask4(len: u8) -> u32 {
    match u32::MAX.checked_shl(32 - len as u32) {
        Some(mask) => mask,
        None => 0,
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.prefix_len)
    }
}

impl fmt::Debug for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Cidr {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}", defmt::Display2Format(self));
    }
}

/// Text that is not an address, a slash and a length that the address can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseCidrError;

impl fmt::Display for ParseCidrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an address with a prefix length, such as 192.0.2.1/24")
    }
}

impl core::error::Error for ParseCidrError {}

impl FromStr for Cidr {
    type Err = ParseCidrError;

    fn from_str(text: &str) -> Result<Self, ParseCidrError> {
        let (addr, len) = text.split_once('/').ok_or(ParseCidrError)?;
        if !len.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ParseCidrError);
        }
        let addr = addr.parse().map_err(|_| ParseCidrError)?;
        let len = len.parse().map_err(|_| ParseCidrError)?;
        Self::new(addr, len).ok_or(ParseCidrError)
    }
}

/// Whether no packet on a wire may come from `addr`, whatever our own addresses are: unspecified, "this network",
/// loopback, groups, the reserved block and the limited broadcast address.
///
/// The unspecified IPv6 address is let through: neighbour discovery decides on it (RFC 4861 §7.1.1).
#[inline]
pub(crate) fn is_martian_source(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(a) => is_martian_source_v4(a),
        IpAddr::V6(a) => a.is_multicast() || a.is_loopback() || a.to_ipv4_mapped().is_some(),
    }
}

/// [`is_martian_source`] for IPv4, in three comparisons.
#[inline]
pub(crate) fn is_martian_source_v4(addr: Ipv4Addr) -> bool {
    //= https://www.rfc-editor.org/rfc/rfc1122#section-3.2.1.3
    //# A host MUST silently discard an incoming datagram containing
    //# an IP source address that is invalid by the rules of this
    //# section.
    let first = addr.to_bits() >> 24;
    first == 0 || first == 127 || first >= 224
}

/// Whether `addr` can be the address of one host on a wire.
pub(crate) fn is_unicast_host(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(a) => !is_martian_source_v4(a),
        IpAddr::V6(a) => !a.is_unspecified() && !is_martian_source(addr),
    }
}

/// Whether `addr` reaches every host of a network that we have one of `addresses` in, or of whichever network it is
/// sent in.
#[inline]
pub(crate) fn is_broadcast(addr: IpAddr, addresses: &[Cidr]) -> bool {
    match addr {
        IpAddr::V4(a) => a.is_broadcast() || addresses.iter().any(|c| c.broadcast() == Some(a)),
        IpAddr::V6(_) => false,
    }
}

/// The one of our `addresses` to send from by way of `next_hop`: of those whose network it is in, the one with the
/// longest prefix (RFC 1122 §3.3.4.3), else the first of its family.
pub(crate) fn source_towards(next_hop: IpAddr, addresses: &[Cidr]) -> Option<IpAddr> {
    let on_link = addresses.iter().filter(|c| c.has(next_hop)).reduce(|best, c| {
        // `max_by_key` would give the last of equals.
        if c.prefix_len > best.prefix_len { c } else { best }
    });
    let first = || addresses.iter().find(|c| c.addr.is_ipv4() == next_hop.is_ipv4());
    // New communications are from an address that routes, where there is one (RFC 3927 §1.9).
    #[cfg(feature = "link-local")]
    let routes = |c: &&Cidr| matches!(c.addr, IpAddr::V4(a) if !a.is_link_local());
    #[cfg(feature = "link-local")]
    let first = || addresses.iter().filter(|_| next_hop.is_ipv4()).find(routes).or_else(first);
    on_link.or_else(first).map(|c| c.addr)
}

// Cases of both families.
#[cfg(all(test, feature = "ipv6"))]
mod tests {
    use super::*;
    extern crate std;
    use std::string::ToString;

    fn cidr(text: &str) -> Cidr {
        text.parse().expect("valid text")
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("valid text")
    }

    #[test]
    fn cidr_text_is_read_and_written() {
        for text in ["192.0.2.1/24", "0.0.0.0/0", "10.0.0.1/32", "2001:db8::1/64", "::/0", "::1/128"] {
            assert_eq!(cidr(text).to_string(), text);
        }
        for bad in ["", "/", "192.0.2.1", "192.0.2.1/", "192.0.2.1/33", "192.0.2.1/+4", "::1/129", "a/8", "1.2.3.4/256"]
        {
            assert_eq!(bad.parse::<Cidr>(), Err(ParseCidrError), "{bad}");
        }
    }

    #[test]
    fn a_prefix_contains_its_network_and_no_other_family() {
        let table = [
            ("192.0.2.1/24", "192.0.2.255", true),
            ("192.0.2.1/24", "192.0.3.0", false),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::", false),
            ("::/0", "1.2.3.4", false),
            ("10.0.0.1/32", "10.0.0.1", true),
            ("10.0.0.1/32", "10.0.0.0", false),
            ("2001:db8::1/64", "2001:db8::ffff:0:0:1", true),
            ("2001:db8::1/64", "2001:db8:0:1::1", false),
            ("fe80::1/128", "fe80::1", true),
        ];
        for (c, a, expected) in table {
            assert_eq!(cidr(c).contains(ip(a)), expected, "{c} {a}");
        }
    }

    #[test]
    fn networks_and_broadcasts_follow_the_length() {
        let table = [
            ("192.0.2.77/24", "192.0.2.0/24", Some("192.0.2.255")),
            ("10.1.2.3/0", "0.0.0.0/0", Some("255.255.255.255")),
            ("10.1.2.3/30", "10.1.2.0/30", Some("10.1.2.3")),
            ("10.1.2.3/31", "10.1.2.2/31", None),
            ("10.1.2.3/32", "10.1.2.3/32", None),
            ("2001:db8::5/64", "2001:db8::/64", None),
        ];
        for (c, network, broadcast) in table {
            assert_eq!(cidr(c).network(), cidr(network), "{c}");
            assert_eq!(cidr(c).broadcast().map(IpAddr::V4), broadcast.map(ip), "{c}");
        }
    }

    /// H168, as far as an address alone shows it.
    #[test]
    fn only_hosts_have_addresses() {
        let good = [
            "192.0.2.1/24",
            "10.0.0.0/31",
            "10.0.0.1/31",
            "10.0.0.0/32",
            "169.254.1.1/16",
            "fe80::1/64",
            "2001:db8::/64",
        ];
        let bad = [
            "192.0.2.0/24",
            "192.0.2.255/24",
            "0.0.0.0/24",
            "0.0.0.0/32",
            "127.0.0.1/8",
            "224.0.0.1/4",
            "240.0.0.1/24",
            "255.255.255.255/32",
            "::/64",
            "::1/128",
            "ff02::1/64",
            "::ffff:1.2.3.4/128",
        ];
        for c in good {
            assert!(cidr(c).is_host_address(), "{c}");
        }
        for c in bad {
            assert!(!cidr(c).is_host_address(), "{c}");
        }
    }

    /// H021, the addresses that are martian whatever ours are.
    #[test]
    fn martians_are_known_without_our_addresses() {
        for a in [
            "255.255.255.255",
            "224.0.0.1",
            "239.1.1.1",
            "127.0.0.1",
            "240.0.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "ff02::1",
            "::1",
        ] {
            assert!(is_martian_source(ip(a)), "{a}");
        }
        for a in ["1.0.0.1", "126.255.255.255", "128.0.0.1", "223.255.255.254", "10.0.0.1", "fe80::1", "2001:db8::1"] {
            assert!(!is_martian_source(ip(a)), "{a}");
        }
    }

    #[test]
    fn broadcasts_are_those_of_our_networks_and_the_limited_one() {
        let ours = [cidr("192.0.2.1/24"), cidr("10.0.0.2/31")];
        for (a, expected) in [
            ("192.0.2.255", true),
            ("255.255.255.255", true),
            ("192.0.2.254", false),
            ("10.0.0.3", false),
            ("::", false),
        ] {
            assert_eq!(is_broadcast(ip(a), &ours), expected, "{a}");
        }
    }

    /// H140.
    #[test]
    fn the_source_lies_in_the_next_hops_network() {
        let ours = [cidr("192.0.2.1/24"), cidr("10.0.0.1/8"), cidr("10.1.0.1/16"), cidr("10.1.0.2/16")];
        let table = [
            ("192.0.2.254", Some("192.0.2.1")),
            ("10.1.2.3", Some("10.1.0.1")),
            ("10.2.2.3", Some("10.0.0.1")),
            ("198.51.100.1", Some("192.0.2.1")),
            ("fe80::1", None),
        ];
        for (hop, source) in table {
            assert_eq!(source_towards(ip(hop), &ours), source.map(ip), "{hop}");
        }
    }
}

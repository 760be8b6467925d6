//! IPv6: whom a received packet is for, which source a sent one carries, and the addresses that follow from others.
//!
//! Implements RFC 4291 §2.7.1 and §2.8 (groups that a host is in), RFC 6724 §5 (source addresses), RFC 4291 appendix A
//! and RFC 7217 §5 (interface identifiers), RFC 2464 §7 (groups on Ethernet).

use crate::device::Mac;
use crate::ip::addr::{Cidr, is_martian_source};
use crate::ip::v4::Destination;
use crate::rng::{Purpose, Secret};
use crate::stats::DropReason;
use crate::wire::ipv6::Ipv6Header;
use core::net::{IpAddr, Ipv6Addr};

/// Every node on the link.
pub(crate) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Every router on the link.
pub(crate) const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// Every router on the link that speaks MLDv2 (RFC 9777 §5.2.14).
#[cfg(feature = "multicast")]
pub(crate) const MLDV2_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
/// Every node of the interface.
const ALL_NODES_HERE: Ipv6Addr = Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0, 1);

/// The group of those who may have `addr` (RFC 4291 §2.7.1).
pub(crate) fn solicited_node(addr: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from_bits(0xff02_0000_0000_0000_0000_0001_ff00_0000 | addr.to_bits() & 0xff_ffff)
}

/// The MAC address of a group (RFC 2464 §7).
pub(crate) fn group_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    Mac([0x33, 0x33, a, b, c, d])
}

/// Whether `addr` says nothing beyond its link: fe80::/10.
pub(crate) fn is_link_local(addr: IpAddr) -> bool {
    matches!(addr, IpAddr::V6(a) if a.is_unicast_link_local())
}

/// Judges the addresses of a packet received on a wire; `ours` says of an address whether the interface has it, and
/// `to_group` that the packet came in a link-layer group. Whether we are in a group, [`is_member`] tells.
pub(crate) fn admit(header: &Ipv6Header, addresses: &[Cidr], to_group: bool) -> Result<Destination, DropReason> {
    let (src, dst) = (IpAddr::V6(header.src), header.dst);
    let ours = |ip: IpAddr| addresses.iter().any(|a| a.addr() == ip);
    if is_martian_source(src) || ours(src) {
        return Err(DropReason::MartianSource);
    }
    //= https://www.rfc-editor.org/rfc/rfc4291#section-2.5.2
    //# An IPv6 packet with a source address of unspecified must never be
    //# forwarded by an IPv6 router.
    // Only neighbour discovery has a use for it.
    if header.src.is_unspecified() && !dst.is_multicast() {
        return Err(DropReason::MartianSource);
    }
    match (ours(IpAddr::V6(dst)), to_group) {
        (true, false) => Ok(Destination::Ours),
        (true, true) => Err(DropReason::LinkBroadcast),
        _ if dst.is_multicast() => Ok(Destination::Group),
        _ if dst.is_unspecified() || dst.is_loopback() || dst.to_ipv4_mapped().is_some() => {
            Err(DropReason::MartianDestination)
        }
        (false, true) => Err(DropReason::LinkBroadcast),
        (false, false) => Err(DropReason::NotOurAddress),
    }
}

/// Whether a host that has, or asks for, `addresses` is in `group` without having joined it (RFC 4291 §2.8).
pub(crate) fn is_member(group: Ipv6Addr, mut addresses: impl Iterator<Item = IpAddr>) -> bool {
    group == ALL_NODES
        || group == ALL_NODES_HERE
        || addresses.any(|a| matches!(a, IpAddr::V6(a) if solicited_node(a) == group))
}

/// A candidate for a packet's source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub addr: Ipv6Addr,
    /// Its preferred lifetime is over.
    pub deprecated: bool,
    /// It is, or is not, of the kind that is preferred (RFC 6724, rule 7).
    #[cfg(feature = "temporary-addresses")]
    pub preferred: bool,
}

/// Which of `candidates` a packet to `dst` carries as its source (RFC 6724 §5: rules 1, 2, 3, 6, 7 and 8; rule 5 is the
/// caller's, who gives the addresses of the outgoing interface only; there are no home addresses).
pub(crate) fn source(dst: Ipv6Addr, candidates: impl Iterator<Item = Candidate>) -> Option<Ipv6Addr> {
    // Greater is better; of equals, the first.
    let rank = |c: &Candidate| {
        let (own, wanted) = (scope(c.addr), scope(dst));
        // Rule 2: the smallest scope that is not smaller than the destination's, else the largest.
        let fit = if own >= wanted { 0x100 - u16::from(own) } else { u16::from(own) };
        let label = label(c.addr) == label(dst);
        #[cfg(feature = "temporary-addresses")]
        let label = (label, c.preferred);
        (c.addr == dst, fit, !c.deprecated, label, common_prefix(c.addr, dst))
    };
    candidates.reduce(|best, c| if rank(&c) > rank(&best) { c } else { best }).map(|c| c.addr)
}

/// How far an address means something (RFC 6724 §3.1), in the values of multicast scopes.
pub(crate) fn scope(addr: Ipv6Addr) -> u8 {
    match addr {
        a if a.is_multicast() => a.octets()[1] & 15,
        a if a.is_unicast_link_local() || a.is_loopback() => 2,
        // Site-local addresses are no more (RFC 3879), but have a scope still.
        a if a.segments()[0] & 0xffc0 == 0xfec0 => 5,
        _ => 14,
    }
}

/// RFC 6724 §2.1.
pub(crate) fn label(addr: Ipv6Addr) -> u8 {
    let [a, b, ..] = addr.segments();
    match addr {
        Ipv6Addr::LOCALHOST => 0,
        _ if addr.to_ipv4_mapped().is_some() => 4,
        _ if a == 0x2002 => 2,
        _ if (a, b) == (0x2001, 0) => 5,
        _ if a & 0xfe00 == 0xfc00 => 13,
        _ if a & 0xffc0 == 0xfec0 => 11,
        _ if a == 0x3ffe => 12,
        _ if addr.to_bits() >> 32 == 0 => 3,
        _ => 1,
    }
}

/// CommonPrefixLen (RFC 6724 §2.2), of the half that is no interface identifier.
pub(crate) fn common_prefix(a: Ipv6Addr, b: Ipv6Addr) -> u32 {
    (a.to_bits() ^ b.to_bits()).leading_zeros().min(64)
}

/// The interface identifier that follows from a MAC address (RFC 4291 appendix A: modified EUI-64).
pub(crate) fn eui64(mac: Mac) -> u64 {
    let Mac([a, b, c, d, e, f]) = mac;
    u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

/// An interface identifier that says nothing of the hardware, and is the same whenever the network is (RFC 7217 §5).
/// `counter` counts the duplicates that were found.
pub(crate) fn opaque(secret: &Secret, prefix: Ipv6Addr, mac: Mac, counter: u8) -> u64 {
    let mut input = [0; 15];
    input[..8].copy_from_slice(&prefix.octets()[..8]);
    input[8..14].copy_from_slice(&mac.0);
    input[14] = counter;
    secret.key(Purpose::InterfaceId).prf(&input)
}

/// The address of `identifier` in a /64.
pub(crate) fn with_identifier(prefix: Ipv6Addr, identifier: u64) -> Ipv6Addr {
    Ipv6Addr::from_bits(prefix.to_bits() >> 64 << 64 | u128::from(identifier))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Ipv6Addr {
        text.parse().expect("valid text")
    }

    #[test]
    fn addresses_that_follow_from_others_are_as_the_rfcs_print_them() {
        assert_eq!(solicited_node(ip("4037::1:800:200e:8c6c")), ip("ff02::1:ff0e:8c6c"));
        assert_eq!(group_mac(ip("ff02::1:ff0e:8c6c")), Mac([0x33, 0x33, 0xff, 0x0e, 0x8c, 0x6c]));
        let mac = Mac([0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde]);
        assert_eq!(with_identifier(ip("fe80::"), eui64(mac)), ip("fe80::3656:78ff:fe9a:bcde"));
        let secret = Secret::new([5; 16]);
        let of = |prefix, counter| opaque(&secret, ip(prefix), mac, counter);
        assert_eq!(of("fe80::", 0), of("fe80::", 0));
        assert_ne!(of("fe80::", 0), of("2001:db8::", 0));
        assert_ne!(of("fe80::", 0), of("fe80::", 1));
        assert_ne!(of("fe80::", 0), opaque(&Secret::new([6; 16]), ip("fe80::"), mac, 0));
    }

    /// `!`: deprecated; `*`: of the kind that is preferred.
    fn candidate(text: &str) -> Candidate {
        let addr = ip(text.trim_end_matches(['!', '*']));
        Candidate {
            addr,
            deprecated: text.contains('!'),
            #[cfg(feature = "temporary-addresses")]
            preferred: text.contains('*'),
        }
    }

    /// RFC 6724 §5, rule 7, between rules 6 and 8.
    #[cfg(feature = "temporary-addresses")]
    #[test]
    fn of_addresses_alike_the_kind_that_is_preferred_is_taken() {
        for (dst, candidates, expected) in [
            ("2001:db8:1::1", &["2001:db8:1::2", "2001:db8:3::2*"][..], "2001:db8:3::2"),
            ("2001:db8:1::1", &["2001:db8:3::2*", "2001:db8:1::2"], "2001:db8:3::2"),
            ("2001:db8:1::1", &["2001:db8:1::2", "2001:db8:3::2!*"], "2001:db8:1::2"),
            ("2001:db8:1::1", &["fd00::2*", "2001:db8:1::2"], "2001:db8:1::2"),
            ("2001:db8:1::1", &["2001:db8:1::1", "2001:db8:3::2*"], "2001:db8:1::1"),
        ] {
            assert_eq!(source(ip(dst), candidates.iter().map(|text| candidate(text))), Some(ip(expected)), "{dst}");
        }
    }

    /// RFC 6724 §10.1, as far as there are candidates without policy; H138.
    #[test]
    fn sources_are_chosen_as_rfc_6724_has_it() {
        for (dst, candidates, expected) in [
            ("2001:db8:1::1", &["2001:db8:3::1", "fe80::1"][..], Some("2001:db8:3::1")),
            ("ff05::1", &["2001:db8:3::1", "fe80::1"], Some("2001:db8:3::1")),
            ("2001:db8:1::1", &["2001:db8:1::1!", "2001:db8:2::1"], Some("2001:db8:1::1")),
            ("fe80::1", &["fe80::2!", "2001:db8:1::1"], Some("fe80::2")),
            ("2001:db8:1::1", &["2001:db8:1::2", "2001:db8:3::2"], Some("2001:db8:1::2")),
            ("2001:db8:1::1", &["2001:db8:3::2", "2001:db8:1::2"], Some("2001:db8:1::2")),
            ("2002:c633:6401::1", &["2001:db8:1::2", "2002:c633:6401::d5e3:7953:13eb:22e8"], {
                Some("2002:c633:6401::d5e3:7953:13eb:22e8")
            }),
            ("fd00:1::1", &["2001:db8:1::2", "fd99::2"], Some("fd99::2")),
            ("2001:db8:9::9", &["fe80::2"], Some("fe80::2")),
            ("2001:db8:9::9", &["2001:db8:9::2!"], Some("2001:db8:9::2")),
            ("2001:db8:9::9", &["2001:db8:9::2!", "2001:db8::2"], Some("2001:db8::2")),
            ("2001:db8:9::9", &[], None),
        ] {
            let candidates = candidates.iter().map(|text| candidate(text));
            assert_eq!(source(ip(dst), candidates), expected.map(ip), "{dst}");
        }
    }

    /// H021, H008.
    #[test]
    fn a_packet_is_ours_a_groups_or_must_not_be_here() {
        let ours = ["2001:db8::1/64", "fe80::1/64"].map(|t| t.parse().expect("valid text"));
        let verdict = |src, dst, to_group| {
            let (src, dst) = (ip(src), ip(dst));
            let header = Ipv6Header { src, dst, next_header: 17, hop_limit: 64, traffic_class: 0, total_len: 40 };
            admit(&header, &ours, to_group)
        };
        for (dst, to_group, expected) in [
            ("2001:db8::1", false, Ok(Destination::Ours)),
            ("fe80::1", false, Ok(Destination::Ours)),
            ("2001:db8::1", true, Err(DropReason::LinkBroadcast)),
            ("2001:db8::7", true, Err(DropReason::LinkBroadcast)),
            ("2001:db8::7", false, Err(DropReason::NotOurAddress)),
            ("ff02::1", true, Ok(Destination::Group)),
            ("::", false, Err(DropReason::MartianDestination)),
            ("::1", false, Err(DropReason::MartianDestination)),
            ("::ffff:192.0.2.1", false, Err(DropReason::MartianDestination)),
        ] {
            assert_eq!(verdict("2001:db8::9", dst, to_group), expected, "{dst}");
        }
        for src in ["::1", "ff02::1", "2001:db8::1", "fe80::1", "::ffff:192.0.2.9", "::"] {
            assert_eq!(verdict(src, "2001:db8::1", false), Err(DropReason::MartianSource), "{src}");
        }
        assert_eq!(verdict("::", "ff02::1:ff00:1", true), Ok(Destination::Group));
    }

    #[test]
    fn every_host_is_in_the_groups_of_its_addresses() {
        let ours = || [ip("2001:db8::12:3456")].into_iter().map(IpAddr::V6);
        for (group, expected) in [("ff02::1", true), ("ff01::1", true), ("ff02::1:ff12:3456", true), ("ff02::2", false)]
        {
            assert_eq!(is_member(ip(group), ours()), expected, "{group}");
        }
        assert!(!is_member(ip("ff02::1:ff12:3457"), ours()));
    }
}

//! IPv4: whom a received packet is for, and which identification a sent one carries.
//!
//! Implements RFC 1122 §3.2.1.3 (addresses), §3.3.6 (link-layer broadcasts), RFC 6864 §4 and RFC 7739 §5.3
//! (identifications).

use crate::family::IpAddr;
use crate::ip::addr::{Cidr, is_broadcast, is_martian_source_v4};
use crate::rng::{Key, Purpose, Secret};
use crate::stats::DropReason;
pub(crate) use crate::wire::ipv4::{Fields, Ipv4Header, emit};
use core::net::Ipv4Addr;

/// Whom a packet that we take is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// One of our addresses.
    Ours,
    /// Everybody here.
    Broadcast,
    /// A multicast group; whether we are in it, its table knows.
    Group,
}

/// Judges the addresses of a packet received on a wire; `addresses` are those of the interface it came by, and
/// `to_group` says that it came in a link-layer broadcast or multicast.
///
/// A packet of a loopback interface, where 127/8 and our own addresses are legal sources, is not to be judged here.
#[inline]
pub(crate) fn admit(header: &Ipv4Header, addresses: &[Cidr], to_group: bool) -> Result<Destination, DropReason> {
    let (src, dst) = (IpAddr::V4(header.src), IpAddr::V4(header.dst));
    if is_martian_source_v4(header.src) {
        return admit_beginner(header, addresses, to_group);
    }
    let mut ours = false;
    for cidr in addresses {
        // Our own address as a source: a packet that came back, or a forged one.
        if cidr.ip() == src || cidr.broadcast() == Some(header.src) {
            return Err(DropReason::MartianSource);
        }
        ours |= cidr.ip() == dst;
    }
    match (ours, to_group) {
        (true, false) => Ok(Destination::Ours),
        //= https://www.rfc-editor.org/rfc/rfc1122#section-3.3.6
        //# A host SHOULD silently discard a datagram that is received via
        //# a link-layer broadcast (see Section 2.4) but does not specify
        //# an IP multicast or broadcast destination address.
        (true, true) => Err(DropReason::LinkBroadcast),
        (false, _) => admit_other(header.dst, addresses, to_group),
    }
}

/// RFC 1122 §3.2.1.3 (a): a host that has no address yet asks everybody for one. Where nobody can give any, that is no
/// source.
#[cold]
fn admit_beginner(header: &Ipv4Header, addresses: &[Cidr], to_group: bool) -> Result<Destination, DropReason> {
    let asks =
        header.src.is_unspecified() && header.dst.is_broadcast() && header.protocol == crate::wire::udp::PROTOCOL;
    match cfg!(feature = "dhcpv4-server") && asks {
        true => admit_other(header.dst, addresses, to_group),
        false => Err(DropReason::MartianSource),
    }
}

fn admit_other(dst: Ipv4Addr, addresses: &[Cidr], to_group: bool) -> Result<Destination, DropReason> {
    if dst.is_multicast() {
        return Ok(Destination::Group);
    }
    if is_broadcast(IpAddr::V4(dst), addresses) {
        return Ok(Destination::Broadcast);
    }
    Err(match dst.octets()[0] {
        0 | 127 | 240.. => DropReason::MartianDestination,
        _ if to_group => DropReason::LinkBroadcast,
        _ => DropReason::NotOurAddress,
    })
}

/// Identifications of datagrams that may be fragmented.
///
/// Each (source, destination, protocol) has a secret offset and shares a counter with some others (RFC 7739 §5.3), so
/// that what one peer sees says nothing of what another does, there is no global counter, and a value comes back only
/// after 65,536 datagrams of those that share.
pub(crate) struct Identifications {
    key: Key,
    counters: [u32; COUNTERS],
}

/// 32: as many flows as fragment at once on a small host; 128 octets.
const COUNTERS: usize = 32;

impl Identifications {
    /// Unpredictable without the secret.
    pub fn new(secret: &Secret) -> Self {
        Self { key: secret.key(Purpose::IpId), counters: [0; COUNTERS] }
    }

    /// The identification of the next datagram from `src` to `dst` of `protocol` that may be fragmented.
    //= https://www.rfc-editor.org/rfc/rfc6864#section-4.3
    //# Sources emitting non-atomic datagrams MUST NOT repeat IPv4 ID
    //# values within one MDL for a given source address/destination
    //# address/protocol tuple.
    pub fn next(&mut self, src: Ipv4Addr, dst: Ipv4Addr, protocol: u8) -> u16 {
        let mut flow = [0; 9];
        flow[..4].copy_from_slice(&src.octets());
        flow[4..8].copy_from_slice(&dst.octets());
        flow[8] = protocol;
        let prf = self.key.prf(&flow);
        let counter = &mut self.counters[(prf >> 32) as usize % COUNTERS];
        *counter = counter.wrapping_add(1);
        (prf as u16).wrapping_add(*counter as u16)
    }

    /// The identification of the next packet from `src` to `dst` that is sent in fragments (RFC 7739 §5.3).
    pub fn next_v6(&mut self, src: IpAddr, dst: IpAddr) -> u32 {
        let mut flow = [0; 32];
        if let (IpAddr::V6(src), IpAddr::V6(dst)) = (src, dst) {
            flow[..16].copy_from_slice(&src.octets());
            flow[16..].copy_from_slice(&dst.octets());
        }
        let prf = self.key.prf(&flow);
        let counter = &mut self.counters[(prf >> 32) as usize % COUNTERS];
        *counter = counter.wrapping_add(1);
        (prf as u32).wrapping_add(*counter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::collections::HashSet;

    fn header(src: &str, dst: &str) -> Ipv4Header {
        Ipv4Header {
            src: src.parse().expect("valid text"),
            dst: dst.parse().expect("valid text"),
            protocol: 17,
            ttl: 64,
            tos: 0,
            ident: 0,
            dont_frag: false,
            more_frags: false,
            frag_offset: 0,
            header_len: 20,
            total_len: 20,
        }
    }

    fn ours() -> [Cidr; 2] {
        ["192.0.2.1/24", "10.0.0.2/31"].map(|t| t.parse().expect("valid text"))
    }

    /// H021.
    #[test]
    fn martian_sources_and_destinations_are_dropped() {
        for src in [
            "255.255.255.255",
            "192.0.2.255",
            "224.0.0.1",
            "127.0.0.1",
            "240.0.0.1",
            "0.0.0.0",
            "192.0.2.1",
            "10.0.0.2",
        ] {
            for to_group in [false, true] {
                let verdict = admit(&header(src, "192.0.2.1"), &ours(), to_group);
                assert_eq!(verdict, Err(DropReason::MartianSource), "{src}");
            }
        }
        for dst in ["127.0.0.1", "0.0.0.0", "240.0.0.1"] {
            let verdict = admit(&header("192.0.2.9", dst), &ours(), false);
            assert_eq!(verdict, Err(DropReason::MartianDestination), "{dst}");
        }
    }

    /// H008.
    #[test]
    fn unicast_in_a_link_broadcast_is_dropped() {
        let verdict = |dst, to_group| admit(&header("192.0.2.9", dst), &ours(), to_group);
        assert_eq!(verdict("192.0.2.1", true), Err(DropReason::LinkBroadcast));
        assert_eq!(verdict("192.0.2.77", true), Err(DropReason::LinkBroadcast));
        assert_eq!(verdict("192.0.2.255", true), Ok(Destination::Broadcast));
        assert_eq!(verdict("224.0.0.1", true), Ok(Destination::Group));
    }

    #[test]
    fn a_packet_is_ours_broadcast_group_or_not_ours() {
        let table = [
            ("192.0.2.1", Ok(Destination::Ours)),
            ("10.0.0.2", Ok(Destination::Ours)),
            ("10.0.0.3", Err(DropReason::NotOurAddress)),
            ("192.0.2.255", Ok(Destination::Broadcast)),
            ("255.255.255.255", Ok(Destination::Broadcast)),
            ("224.0.0.251", Ok(Destination::Group)),
            ("192.0.2.2", Err(DropReason::NotOurAddress)),
        ];
        for (dst, expected) in table {
            assert_eq!(admit(&header("198.51.100.7", dst), &ours(), false), expected, "{dst}");
        }
        assert_eq!(admit(&header("198.51.100.7", "192.0.2.1"), &[], false), Err(DropReason::NotOurAddress));
    }

    /// H155.
    #[test]
    fn identifications_say_nothing_of_other_flows_and_do_not_repeat() {
        let mut ids = Identifications::new(&Secret::new([3; 16]));
        let (h, a, b) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 9), Ipv4Addr::new(198, 51, 100, 7));
        let mut seen = HashSet::new();
        let mut gaps = HashSet::new();
        for _ in 0..10_000 {
            let (to_a, to_b) = (ids.next(h, a, 17), ids.next(h, b, 17));
            assert!(seen.insert((a, to_a)) && seen.insert((b, to_b)), "no value is used again");
            gaps.insert(to_a.wrapping_sub(to_b));
        }
        // Across secrets, nothing about B follows from A.
        let distances: HashSet<u16> = (0..64)
            .map(|s| {
                let mut ids = Identifications::new(&Secret::new([s; 16]));
                ids.next(h, a, 17).wrapping_sub(ids.next(h, b, 17))
            })
            .collect();
        assert!(distances.len() > 60, "{distances:?}");
        assert!(!gaps.is_empty());
        let mut first = Identifications::new(&Secret::new([3; 16]));
        assert_ne!(first.next(h, a, 17), first.next(h, a, 6), "protocols have their own values");
    }
}

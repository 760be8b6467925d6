//! Which of a name's addresses to try first.
//!
//! Implements RFC 6724 §6: rules 1, 2, 3, 5, 6, 8, 9 and 10. There are no home addresses (rule 4), and encapsulation is
//! not known of (rule 7). IPv4 addresses take part as mapped ones (§3.2).

use super::message::Addresses;
use crate::family::{inside, outside};
#[cfg(feature = "ipv6")]
use crate::ip::addr::Cidr;
#[cfg(feature = "ipv6")]
use crate::stack::AddressState;
use crate::stack::{IfaceId, Stack};
use core::cmp::Reverse;
use core::net::IpAddr;

/// What RFC 6724 §6 compares, in the order of its rules; greater is better.
type Rank = (bool, bool, bool, bool, u8, Reverse<u8>, u32);

/// Puts addresses into the order in which they should be tried, by the way and the source address that the stack has for
/// each of them at this time; those that cannot be reached come last.
pub fn sort(stack: &Stack<'_>, addresses: &mut [IpAddr]) {
    // Insertion: the lists are short, and equals stay as they are (rule 10).
    for end in 1..addresses.len() {
        let mut at = end;
        while let Some(pair) = at.checked_sub(1).and_then(|front| addresses.get_mut(front..=at)) {
            let [a, b] = pair else { break };
            if rank(stack, *b) <= rank(stack, *a) {
                break;
            }
            pair.swap(0, 1);
            at -= 1;
        }
    }
}

impl Addresses {
    /// As [`sort`].
    pub fn sort(&mut self, stack: &Stack<'_>) {
        sort(stack, &mut self.0);
    }
}

fn rank(stack: &Stack<'_>, to: IpAddr) -> Rank {
    let Some((iface, source)) = inside(to).and_then(|to| stack.source(to)) else {
        return (false, false, false, false, 0, Reverse(u8::MAX), 0);
    };
    judged(stack, iface, outside(source), to)
}

/// Without IPv6, the server's order is as good as any.
#[cfg(not(feature = "ipv6"))]
fn judged(_stack: &Stack<'_>, _iface: IfaceId, _source: IpAddr, _to: IpAddr) -> Rank {
    (true, true, true, true, 0, Reverse(0), 0)
}

#[cfg(feature = "ipv6")]
fn judged(stack: &Stack<'_>, iface: IfaceId, source: IpAddr, to: IpAddr) -> Rank {
    let is_deprecated =
        |(cidr, state): (Cidr, AddressState)| cidr.addr() == source && state == AddressState::Deprecated;
    let deprecated = stack.ipv6_addresses(iface).any(is_deprecated);
    judge::rank(judge::mapped(source), judge::mapped(to), deprecated)
}

#[cfg(feature = "ipv6")]
mod judge {
    use super::{IpAddr, Rank, Reverse};
    use crate::ip::v6::{common_prefix, label, scope};
    use core::net::Ipv6Addr;

    pub fn rank(source: Ipv6Addr, to: Ipv6Addr, deprecated: bool) -> Rank {
        let same_scope = reach(source) == reach(to);
        // Families differ in precedence: what is behind it compares addresses of one family.
        let prefix = if to.to_ipv4_mapped().is_some() { 0 } else { common_prefix(source, to) };
        (true, same_scope, !deprecated, label(source) == label(to), precedence(to), Reverse(reach(to)), prefix)
    }

    /// RFC 6724 §3.2.
    pub fn mapped(ip: IpAddr) -> Ipv6Addr {
        match ip {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        }
    }

    /// The scope, of IPv4 addresses as well (RFC 6724 §3.2).
    fn reach(ip: Ipv6Addr) -> u8 {
        match ip.to_ipv4_mapped() {
            Some(v4) if v4.is_loopback() || v4.is_link_local() => 2,
            _ => scope(ip),
        }
    }

    /// RFC 6724 §2.1, of the labels of its table.
    pub fn precedence(ip: Ipv6Addr) -> u8 {
        match label(ip) {
            0 => 50,
            1 => 40,
            4 => 35,
            2 => 30,
            5 => 5,
            13 => 3,
            _ => 1,
        }
    }
}

#[cfg(all(test, feature = "ipv6"))]
mod tests {
    use super::judge::{mapped, precedence, rank};
    extern crate std;
    use std::vec::Vec;

    /// RFC 6724 §10.2, as far as the rules are built: source and destination of each, the better one first.
    #[test]
    fn destinations_are_ordered_as_rfc_6724_has_it() {
        let better = |a: (&str, &str), b: (&str, &str)| {
            let of = |(source, to): (&str, &str)| {
                let ip = |text: &str| mapped(text.trim_end_matches('!').parse().expect("an address"));
                rank(ip(source), ip(to), source.ends_with('!'))
            };
            of(a) > of(b)
        };
        for (a, b) in [
            // Rule 2.
            (("2001:db8:1::2", "2001:db8:1::1"), ("169.254.13.78", "198.51.100.121")),
            (("198.51.100.117", "198.51.100.121"), ("fe80::1", "2001:db8:1::1")),
            // Rule 3.
            (("fe80::2", "fe80::1"), ("2001:db8:1::2!", "2001:db8:1::1")),
            // Rule 5.
            (("2002:c633:6401::2", "2002:c633:6401::1"), ("2002:c633:6401::2", "2001:db8:1::1")),
            // Rule 6.
            (("2001:db8:1::2", "2001:db8:1::1"), ("10.1.2.4", "10.1.2.3")),
            (("10.1.2.4", "10.1.2.3"), ("fd07::2", "fd07::1")),
            (("2001:db8:1::2", "2001:db8:1::1"), ("2002:c633:6401::2", "2002:c633:6401::1")),
            // Rule 8.
            (("fe80::2", "fe80::1"), ("2001:db8:1::2", "2001:db8:1::1")),
            // Rule 9.
            (("2001:db8:1::2", "2001:db8:1::1"), ("2001:db8:1::2", "2001:db8:3ffe::1")),
        ] {
            assert!(better(a, b) && !better(b, a), "{a:?} before {b:?}");
        }
        // Rule 9 does not look at IPv4 addresses.
        assert!(!better(("192.0.2.1", "192.0.2.2"), ("192.0.2.1", "198.51.100.1")));
    }

    #[test]
    fn every_label_of_the_table_has_its_precedence() {
        let of = |text: &str| precedence(mapped(text.parse().expect("an address")));
        let table = ["::1", "2001:db8::1", "192.0.2.1", "2002::1", "2001::1", "fd00::1", "::2", "fec0::1", "3ffe::1"];
        assert_eq!(table.map(of).to_vec(), Vec::from([50, 40, 35, 30, 5, 3, 1, 1, 1]));
    }
}

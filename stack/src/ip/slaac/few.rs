//! Ways that routers advertise, for a small host: default routers and prefixes on the link, three each, with their lifetimes.
//! Stands in for `learned.rs` without the feature `routes`.
//!
//! Implements RFC 4861 §5.1 (Prefix List, Default Router List), §5.2 and §6.3.6 without preferences: a router is used until it
//! does not answer, and then goes to the end of the list. Redirects and routes of RFC 4191 are not for a host of this kind
//! (RFC 4191 §3: type A).

use super::{Host, until};
use crate::ip::addr::Cidr;
use crate::time::Instant;
use core::net::{IpAddr, Ipv6Addr};
use heapless::Vec;

/// Of either kind.
const MOST: usize = 3;

/// What is advertised, a router as a prefix of one address, and until when it counts.
type List = Vec<(Cidr, Option<Instant>), MOST>;

/// The two lists of an interface.
#[derive(Debug)]
pub(super) struct Ways {
    routers: List,
    on_link: List,
}

impl Ways {
    pub const fn new() -> Self {
        Self { routers: Vec::new(), on_link: Vec::new() }
    }

    /// When the first is over.
    pub fn deadline(&self) -> impl Iterator<Item = Instant> + '_ {
        self.routers.iter().chain(&self.on_link).filter_map(|way| way.1)
    }

    /// Forgets what is over; whether there was any.
    pub fn expire(&mut self, now: Instant) -> bool {
        let before = self.routers.len() + self.on_link.len();
        for list in [&mut self.routers, &mut self.on_link] {
            list.retain(|way| way.1.is_none_or(|at| now < at));
        }
        before != self.routers.len() + self.on_link.len()
    }
}

impl Host {
    /// A default router (`on_link` false), or a prefix on the link, was advertised for `lifetime` seconds (0: no more);
    /// false when there is no place for it.
    pub fn on_way(&mut self, now: Instant, way: Cidr, on_link: bool, lifetime: u32) -> bool {
        let list = if on_link { &mut self.learned.on_link } else { &mut self.learned.routers };
        let known = list.iter().position(|known| known.0 == way);
        match (known.and_then(|at| list.get_mut(at)), known) {
            (Some(_), Some(at)) if lifetime == 0 => _ = list.remove(at),
            (Some(known), _) => known.1 = until(now, lifetime),
            _ => return lifetime == 0 || list.push((way, until(now, lifetime))).is_ok(),
        }
        true
    }

    /// Whether `addr` lies under a prefix that is on the link.
    pub fn is_on_link(&self, addr: IpAddr) -> bool {
        self.learned.on_link.iter().any(|way| way.0.has(addr))
    }

    /// The default router.
    pub fn router(&self) -> Option<IpAddr> {
        self.learned.routers.first().map(|way| way.0.ip())
    }

    /// Whether `addr` was advertised as a router.
    pub fn is_router(&self, addr: IpAddr) -> bool {
        self.learned.routers.iter().any(|way| way.0.ip() == addr)
    }

    /// `addr` is no router any more.
    pub fn forget_router(&mut self, addr: Ipv6Addr) {
        self.learned.routers.retain(|way| way.0.ip() != IpAddr::V6(addr));
    }

    /// `addr` does not answer: if it is the router in use, another takes its turn; whether it was.
    //= https://www.rfc-editor.org/rfc/rfc4861#section-6.3.6
    //# When no routers on the list are known to be reachable or probably
    //# reachable, routers SHOULD be selected in a round-robin fashion,
    pub fn on_silent(&mut self, addr: IpAddr) -> bool {
        let is_in_use = self.router() == Some(addr);
        if is_in_use {
            self.learned.routers.rotate_left(1);
        }
        is_in_use
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().expect("valid text")
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_secs(seconds)
    }

    #[test]
    fn a_way_counts_as_long_as_it_is_advertised() {
        let (mut host, way) = (Host::new(), cidr("2001:db8::/64"));
        let (inside, outside) = (cidr("2001:db8::9/64").ip(), cidr("2001:db8:1::9/64").ip());
        assert!(host.on_way(at(0), way, true, 60) && host.on_way(at(30), way, true, 60));
        assert_eq!((host.is_on_link(inside), host.is_on_link(outside), host.router()), (true, false, None));
        assert_eq!(host.deadline(), Some(at(90)));
        assert_eq!((host.step(at(89)), host.is_on_link(inside)), (None, true));
        assert_eq!((host.step(at(90)), host.is_on_link(inside)), (Some(super::super::Step::WaysGone), false));
        assert!(host.on_way(at(91), way, true, u32::MAX) && host.deadline().is_none() && host.is_on_link(inside));
        assert!(host.on_way(at(92), way, true, 0) && !host.is_on_link(inside));
    }

    /// H012, as far as the lists go.
    #[test]
    fn a_flood_of_routers_or_prefixes_leaves_those_that_were_there_first() {
        let mut host = Host::new();
        for n in 0..10_000u16 {
            let router = Cidr::one(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, n).into());
            let prefix = Cidr::of(Ipv6Addr::new(0x2001, 0xdb8, n, 0, 0, 0, 0, 0).into(), 64).expect("a prefix");
            assert_eq!(host.on_way(at(0), router, false, 1_800), usize::from(n) < MOST);
            assert_eq!(host.on_way(at(0), prefix, true, 1_800), usize::from(n) < MOST);
        }
        assert_eq!(host.router(), Some(cidr("fe80::/64").ip()));
        assert!(host.is_on_link(cidr("2001:db8::1/64").ip()) && !host.is_on_link(cidr("2001:db8:3::1/64").ip()));
    }

    #[test]
    fn a_router_that_does_not_answer_gives_its_place_to_the_next() {
        let mut host = Host::new();
        let [first, second] = ["fe80::1/128", "fe80::2/128"].map(cidr);
        assert!(host.on_way(at(0), first, false, 60) && host.on_way(at(0), second, false, 60));
        assert!(!host.on_silent(second.ip()), "it is not in use");
        assert!(host.on_silent(first.ip()));
        assert_eq!(host.router(), Some(second.ip()));
        assert!(host.on_silent(second.ip()));
        assert_eq!(host.router(), Some(first.ip()), "in turns");
        host.forget_router("fe80::1".parse().expect("valid text"));
        assert_eq!((host.router(), host.is_router(first.ip())), (Some(second.ip()), false));
    }
}

//! Routes: which interface and which next hop lead to a destination?
//!
//! Implements RFC 1122 §3.3.1 with prefixes in place of classes: the longest prefix wins (RFC 1812 §5.2.4.3), then the
//! lowest metric, then the route that was there first.

use crate::error::RouteError;
use crate::family::{IpAddr, inside};
use crate::ip::addr::{Cidr, is_unicast_host};
use core::net::{IpAddr as AnyAddr, Ipv4Addr};
use managed::ManagedSlice;

/// An interface of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct IfaceId(pub(crate) u8);

impl IfaceId {
    /// No interface: routes by it lead nowhere. For destinations that are not to be reached, whatever the default route
    /// says (a blackhole: who asks is told that there is no route).
    pub const BLACKHOLE: Self = Self(254);
    /// As [`BLACKHOLE`](Self::BLACKHOLE), where the intention is to refuse; a host does the same in both cases.
    pub const REJECT: Self = Self(255);

    /// Whether routes by it lead nowhere.
    pub const fn is_nowhere(self) -> bool {
        self.0 >= Self::BLACKHOLE.0
    }

    /// The interface's number in its stack. Without the feature `interfaces` there is one, number 0.
    #[inline]
    pub const fn index(self) -> usize {
        if cfg!(feature = "interfaces") { self.0 as usize } else { 0 }
    }

    /// What names it as the zone of a link-local address (RFC 4007 §6): the `scope_id` of a `SocketAddrV6`. From 1 on; 0 names
    /// none.
    #[cfg(feature = "ipv6")]
    pub const fn zone(self) -> u32 {
        self.0 as u32 + 1
    }

    /// Whether both are the same interface.
    #[inline]
    pub(crate) const fn is(self, other: Self) -> bool {
        !cfg!(feature = "interfaces") || self.0 == other.0
    }
}

/// A way to the destinations under a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Route {
    /// The destinations; host bits are ignored.
    pub prefix: Cidr,
    /// The router on the way, or `None` when the destinations are on the link.
    #[cfg_attr(feature = "defmt", defmt(Debug2Format))]
    pub gateway: Option<AnyAddr>,
    /// The interface to leave by.
    pub iface: IfaceId,
    /// Among routes of equal prefix the lowest wins.
    pub metric: u16,
}

impl Route {
    /// The metric of routes that a redirect has made: worse than any that a program adds for the same destination.
    pub(crate) const DYNAMIC: u16 = u16::MAX;

    /// Where packets to `dst` go first.
    pub(crate) fn next_hop(&self, dst: IpAddr) -> IpAddr {
        self.gateway.and_then(inside).unwrap_or(dst)
    }

    /// Whether a router's redirect has made it (RFC 1122 §3.2.2.2).
    pub fn is_dynamic(&self) -> bool {
        self.metric == Self::DYNAMIC && self.gateway.is_some() && self.prefix == Cidr::one(self.prefix.ip())
    }
}

/// Where a route comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RouteOrigin {
    /// The program has added it, or it goes with an address.
    Program,
    /// A router has advertised it (RFC 4861 §6.3.4, RFC 4191).
    Advertised,
    /// A router's redirect has made it (RFC 1122 §3.2.2.2, RFC 4861 §8.3).
    Redirect,
}

/// One place of a route table's storage.
#[derive(Clone, Copy, Debug)]
pub struct RouteSlot(Route);

impl RouteSlot {
    /// A free place, all zeros: a `static` table lies in `.bss`.
    pub const fn new() -> Self {
        const NOWHERE: AnyAddr = AnyAddr::V4(Ipv4Addr::UNSPECIFIED);
        Self(Route { prefix: Cidr::DEFAULT, gateway: Some(NOWHERE), iface: IfaceId(0), metric: 0 })
    }
}

impl Default for RouteSlot {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(not(feature = "routes"))]
#[path = "one_route.rs"]
mod one;
#[cfg(not(feature = "routes"))]
pub(crate) use one::Routes;

/// The route table: kept in the order of preference, so that the first match is the best.
#[cfg(feature = "routes")]
pub(crate) struct Routes<'a> {
    /// The first `len` are occupied.
    slots: ManagedSlice<'a, RouteSlot>,
    len: usize,
    limit: usize,
    generation: u32,
}

#[cfg(feature = "routes")]
impl<'a> Routes<'a> {
    /// A table of at most `limit` routes, and of at most as many as borrowed storage holds.
    pub fn new(slots: ManagedSlice<'a, RouteSlot>, limit: usize) -> Self {
        let limit = match &slots {
            ManagedSlice::Borrowed(s) => limit.min(s.len()),
            #[cfg(feature = "alloc")]
            ManagedSlice::Owned(_) => limit,
        };
        Self { slots, len: 0, limit, generation: 0 }
    }

    /// Adds a route; host bits of its prefix are cleared (H142).
    pub fn add(&mut self, route: Route) -> Result<(), RouteError> {
        let route = Route { prefix: route.prefix.network(), ..route };
        if let Some(gateway) = route.gateway
            && (gateway.is_ipv4() != route.prefix.ip().is_ipv4() || !inside(gateway).is_some_and(is_unicast_host))
        {
            return Err(RouteError::BadGateway);
        }
        if self.iter().any(|r| same_way(r, &route)) {
            return Err(RouteError::Duplicate);
        }
        self.make_room()?;
        let at = self.iter().position(|r| rank(&route) < rank(r)).unwrap_or(self.len);
        // Room was made: the last place of the range is free.
        let mut moving = RouteSlot(route);
        for slot in self.slots.iter_mut().take(self.len + 1).skip(at) {
            core::mem::swap(slot, &mut moving);
        }
        self.len += 1;
        self.generation = self.generation.wrapping_add(1);
        Ok(())
    }

    /// Removes the route of this prefix, gateway and interface; the metric does not matter.
    pub fn remove(&mut self, route: &Route) -> Result<(), RouteError> {
        let route = Route { prefix: route.prefix.network(), ..*route };
        let before = self.len;
        self.retain(|r| !same_way(r, &route));
        if self.len == before { Err(RouteError::NotFound) } else { Ok(()) }
    }

    /// Removes all routes by an interface.
    pub fn remove_iface(&mut self, iface: u8) {
        self.retain(|r| r.iface.0 != iface);
    }

    fn retain(&mut self, keep: impl Fn(&Route) -> bool) {
        let mut kept = 0;
        for i in 0..self.len {
            if self.slots.get(i).is_some_and(|slot| keep(&slot.0)) {
                if let Ok([place, slot]) = self.slots.get_disjoint_mut([kept, i]) {
                    core::mem::swap(place, slot);
                }
                kept += 1;
            }
        }
        if kept != self.len {
            self.len = kept;
            self.generation = self.generation.wrapping_add(1);
        }
    }

    /// What was looked up before is to be looked up again.
    #[cfg(any(feature = "hooks", feature = "policy", all(feature = "forward", feature = "strong-host")))]
    pub fn forget_ways(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }

    fn make_room(&mut self) -> Result<(), RouteError> {
        if self.len >= self.limit {
            return Err(RouteError::Full);
        }
        #[cfg(feature = "alloc")]
        if let ManagedSlice::Owned(slots) = &mut self.slots
            && slots.len() == self.len
        {
            slots.push(RouteSlot::new());
        }
        Ok(())
    }

    /// The interface and the next hop towards `dst`.
    #[cfg(test)]
    pub fn lookup(&self, dst: IpAddr) -> Option<(u8, IpAddr)> {
        self.iter().find(|r| r.prefix.has(dst)).map(|r| way(r, dst))
    }

    /// The interface and the next hop towards `dst`, by the best route whose interface and next hop are `usable`, or by the best one
    /// where none is (RFC 1122 §3.3.1.5: another gateway is tried when one fails).
    pub fn lookup_usable(&self, dst: IpAddr, usable: impl Fn(u8, IpAddr) -> bool) -> Option<(u8, IpAddr)> {
        let best = self.iter().find(|r| r.prefix.has(dst))?;
        let fitting = self.iter().filter(|r| r.prefix.has(dst)).map(|r| way(r, dst));
        fitting.into_iter().find(|&(iface, hop)| usable(iface, hop)).or_else(|| Some(way(best, dst)))
    }

    /// What was looked up before is to be looked up again, though no route has changed.
    #[cfg(any(feature = "carrier", feature = "optimistic-dad"))]
    pub fn touch(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }

    /// The routes in order of preference.
    pub fn iter(&self) -> impl Iterator<Item = &Route> + '_ {
        self.slots.iter().take(self.len).map(|slot| &slot.0)
    }

    /// Changes whenever a route does: what was looked up before is to be looked up again.
    pub fn generation(&self) -> u32 {
        self.generation
    }
}

fn way(route: &Route, dst: IpAddr) -> (u8, IpAddr) {
    (route.iface.0, route.next_hop(dst))
}

/// The order of preference: lower is better.
fn rank(route: &Route) -> (u8, u16) {
    (u8::MAX - route.prefix.prefix_len(), route.metric)
}

fn same_way(a: &Route, b: &Route) -> bool {
    (a.prefix, a.gateway, a.iface) == (b.prefix, b.gateway, b.iface)
}

// Cases of both families.
#[cfg(all(test, feature = "ipv6", feature = "routes"))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    extern crate std;
    use std::vec::Vec;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("valid text")
    }

    fn route(prefix: &str, gateway: Option<&str>, iface: u8, metric: u16) -> Route {
        Route { prefix: prefix.parse().expect("valid text"), gateway: gateway.map(ip), iface: IfaceId(iface), metric }
    }

    /// H139, first half.
    #[test]
    fn the_longest_prefix_wins_then_the_metric_then_the_first() {
        let mut slots = [RouteSlot::new(); 8];
        let mut routes = Routes::new(ManagedSlice::Borrowed(&mut slots), 8);
        for r in [
            route("0.0.0.0/0", Some("10.0.0.3"), 1, 5),
            route("0.0.0.0/0", Some("10.0.0.1"), 1, 5),
            route("10.0.0.0/24", None, 1, 0),
            route("10.0.0.0/16", Some("10.0.0.2"), 1, 0),
            route("0.0.0.0/0", Some("10.9.0.1"), 2, 1),
            route("2001:db8::/32", None, 3, 0),
        ] {
            routes.add(r).expect("room");
        }
        assert_eq!(routes.lookup(ip("10.0.0.77")), Some((1, ip("10.0.0.77"))));
        assert_eq!(routes.lookup(ip("10.0.1.77")), Some((1, ip("10.0.0.2"))));
        assert_eq!(routes.lookup(ip("192.0.2.1")), Some((2, ip("10.9.0.1"))));
        assert_eq!(routes.lookup(ip("2001:db8::5")), Some((3, ip("2001:db8::5"))));
        assert_eq!(routes.lookup(ip("2001:db9::5")), None);
        routes.remove(&route("0.0.0.0/0", Some("10.9.0.1"), 2, 0)).expect("there");
        assert_eq!(routes.lookup(ip("192.0.2.1")), Some((1, ip("10.0.0.3"))));
    }

    /// H139, second half, as far as the table shows it.
    #[test]
    fn a_dead_gateway_is_passed_over_while_another_lives() {
        let mut slots = [RouteSlot::new(); 4];
        let mut routes = Routes::new(ManagedSlice::Borrowed(&mut slots), 4);
        routes.add(route("0.0.0.0/0", Some("10.0.0.1"), 0, 0)).expect("room");
        routes.add(route("0.0.0.0/0", Some("10.0.0.2"), 0, 0)).expect("room");
        let dst = ip("192.0.2.1");
        assert_eq!(routes.lookup_usable(dst, |_, _| true), Some((0, ip("10.0.0.1"))));
        assert_eq!(routes.lookup_usable(dst, |_, hop| hop != ip("10.0.0.1")), Some((0, ip("10.0.0.2"))));
        assert_eq!(routes.lookup_usable(dst, |_, _| false), Some((0, ip("10.0.0.1"))));
        assert_eq!(routes.lookup_usable(ip("::5"), |_, _| true), None);
    }

    /// H142.
    #[test]
    fn host_bits_are_cleared_and_impossible_gateways_refused() {
        let mut slots = [RouteSlot::new(); 4];
        let mut routes = Routes::new(ManagedSlice::Borrowed(&mut slots), 4);
        routes.add(route("10.1.2.3/0", Some("10.0.0.1"), 0, 0)).expect("normalised");
        assert_eq!(routes.iter().next().map(|r| r.prefix), Some("0.0.0.0/0".parse().expect("valid text")));
        assert_eq!(routes.add(route("0.0.0.0/0", Some("10.0.0.1"), 0, 9)), Err(RouteError::Duplicate));
        for gateway in ["::1", "fe80::1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "127.0.0.1"] {
            assert_eq!(routes.add(route("10.0.0.0/8", Some(gateway), 0, 0)), Err(RouteError::BadGateway), "{gateway}");
        }
        assert_eq!(routes.remove(&route("10.0.0.0/8", None, 0, 0)), Err(RouteError::NotFound));
    }

    /// H166, routes.
    #[test]
    fn a_full_table_refuses_and_a_freed_place_is_used_again() {
        let check = |mut routes: Routes<'_>| {
            for i in 0..3u8 {
                routes.add(route("10.0.0.0/8", None, i, 0)).expect("room");
            }
            let more = route("10.0.0.0/8", None, 9, 0);
            let generation = routes.generation();
            assert_eq!(routes.add(more), Err(RouteError::Full));
            assert_eq!(routes.generation(), generation);
            routes.remove_iface(1);
            assert_ne!(routes.generation(), generation);
            assert_eq!(routes.add(more), Ok(()));
            assert_eq!(routes.iter().map(|r| r.iface.0).collect::<Vec<_>>(), [0, 2, 9]);
        };
        check(Routes::new(ManagedSlice::Borrowed(&mut [RouteSlot::new(); 3]), 100));
        #[cfg(feature = "alloc")]
        check(Routes::new(ManagedSlice::Owned(Vec::new()), 3));
    }

    proptest! {
        #[test]
        fn lookups_agree_with_a_search_of_all_routes(
            ops in proptest::collection::vec((any::<bool>(), 0u8..4, 0u8..=32, 0u8..2, 0u16..3), 1..40),
            dst in 0u8..4,
        ) {
            let mut slots = [RouteSlot::new(); 12];
            let mut routes = Routes::new(ManagedSlice::Borrowed(&mut slots), 12);
            let mut model: Vec<Route> = Vec::new();
            for (add, net, len, iface, metric) in ops {
                let addr = IpAddr::from([net << 6, 0, 0, net]);
                let r = Route { prefix: Cidr::new(addr, len).expect("a length"), gateway: None, iface: IfaceId(iface), metric };
                let n = Route { prefix: r.prefix.network(), ..r };
                let found = model.iter().position(|m| same_way(m, &n));
                if add {
                    let expected = match found {
                        Some(_) => Err(RouteError::Duplicate),
                        None if model.len() == 12 => Err(RouteError::Full),
                        None => { model.push(n); Ok(()) }
                    };
                    prop_assert_eq!(routes.add(r), expected);
                } else {
                    prop_assert_eq!(routes.remove(&r).is_ok(), found.is_some());
                    if let Some(at) = found { model.remove(at); }
                }
                let dst = IpAddr::from([dst << 6, 0, 0, dst]);
                // `min_by_key` gives the first of equals.
                let best = model.iter().filter(|m| m.prefix.has(dst)).min_by_key(|m| rank(m));
                prop_assert_eq!(routes.lookup(dst), best.map(|m| way(m, dst)));
            }
        }
    }
}

//! Routes that routers advertise, or redirect us to, with their lifetimes. What they are in the route table, the stack sees to.
//!
//! Implements RFC 4861 §6.3.4 and §8.3, RFC 4191 §3.

use super::{Host, until};
use crate::ip::route::Route;
use crate::time::Instant;
use core::net::IpAddr;
use heapless::Vec;

/// Routes learned, per interface: default routers, prefixes on the link, route information, redirects.
pub(super) const LEARNED: usize = 8;
/// Default routers among them.
pub(super) const ROUTERS: usize = 3;
/// Host routes by redirects among them.
pub(super) const REDIRECTS: usize = 2;
/// How long a redirect counts: RFC 4861 leaves it open; ten minutes, as path MTUs have it.
const REDIRECT_TIME: u32 = 600;

/// A route with a lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Learned {
    route: Route,
    until: Option<Instant>,
    redirect: bool,
}

/// What is to be done about a route that was advertised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    None,
    /// Add it to the route table; [`Host::not_added`] if that cannot be.
    Add,
    /// Take it out, as it was.
    Remove(Route),
    /// Take out the first, add the second.
    Replace(Route),
    /// There is no place for it.
    Full,
}

/// All of an interface.
#[derive(Debug)]
pub(super) struct Ways(Vec<Learned, LEARNED>);

impl Ways {
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// When they end.
    pub fn deadline(&self) -> impl Iterator<Item = Instant> + '_ {
        self.0.iter().filter_map(|l| l.until)
    }

    /// One that is over.
    pub fn take_over(&mut self, now: Instant) -> Option<Route> {
        let at = self.0.iter().position(|l| l.until.is_some_and(|until| now >= until))?;
        Some(self.0.remove(at).route)
    }
}

impl Host {
    /// Whether a redirect has made a route that was learned, and until when it lives.
    pub fn lifetime(&self, route: &Route) -> Option<(bool, Option<Instant>)> {
        let learned = self.learned.0.iter().find(|l| l.route == *route)?;
        Some((learned.redirect, learned.until))
    }

    /// A route was advertised for `lifetime` seconds (0: no more).
    pub fn on_route(&mut self, now: Instant, route: Route, lifetime: u32, redirect: bool) -> Change {
        let same = |l: &Learned| (l.route.prefix, l.route.gateway) == (route.prefix, route.gateway);
        let until = until(now, lifetime);
        if let Some(at) = self.learned.0.iter().position(same) {
            let Some(learned) = self.learned.0.get_mut(at) else { return Change::None };
            if lifetime == 0 {
                return Change::Remove(self.learned.0.remove(at).route);
            }
            learned.until = until;
            let old = core::mem::replace(&mut learned.route, route);
            return if old == route { Change::None } else { Change::Replace(old) };
        }
        let is_default = |r: &Route| r.prefix.prefix_len() == 0;
        let count = |which: &dyn Fn(&Learned) -> bool| self.learned.0.iter().filter(|l| which(l)).count();
        let full = if redirect {
            count(&|l| l.redirect) >= REDIRECTS
        } else if is_default(&route) {
            count(&|l| is_default(&l.route)) >= ROUTERS
        } else {
            count(&|l| !l.redirect && !is_default(&l.route)) >= LEARNED - ROUTERS - REDIRECTS
        };
        match lifetime {
            0 => Change::None,
            _ if full || self.learned.0.push(Learned { route, until, redirect }).is_err() => Change::Full,
            _ => Change::Add,
        }
    }

    /// A redirect's route; as [`on_route`](Self::on_route).
    pub fn on_redirect(&mut self, now: Instant, route: Route) -> Change {
        self.on_route(now, route, REDIRECT_TIME, true)
    }

    /// A route that was to be added is not in the route table.
    pub fn not_added(&mut self, route: &Route) {
        self.learned.0.retain(|l| l.route != *route);
    }

    /// Routes by `gateway`, which is no router any more: one a call, until `None`.
    pub fn take_route_by(&mut self, gateway: IpAddr) -> Option<Route> {
        let at = self.learned.0.iter().position(|l| l.route.gateway == Some(gateway))?;
        Some(self.learned.0.remove(at).route)
    }

    /// Whether `gateway` was advertised as a router.
    pub fn is_router(&self, gateway: IpAddr) -> bool {
        self.learned.0.iter().any(|l| l.route.gateway == Some(gateway))
    }
}

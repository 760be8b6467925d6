//! What an interface's IPv6 is made of by itself: addresses on trial, addresses and routes with a lifetime.
//!
//! Implements RFC 4862 §5.4 (duplicate address detection) and §5.5.3 (addresses from prefixes, the two-hour rule),
//! RFC 4861 §6.3.4 and RFC 4191 §3 (routes), RFC 7559 (solicitations that go on). All tables are
//! small and of fixed size: what a router advertises beyond them is passed over, and what was there first stays.
//!
//! ```text
//!   added, or formed from a prefix ─▶ tentative ── probed, 1 s of silence ──▶ assigned ── lifetime ──▶ deprecated, gone
//!                                          └─ somebody has it ─▶ duplicate: never used, shown
//! ```

#[cfg(not(feature = "routes"))]
mod few;
#[cfg(feature = "routes")]
mod learned;
#[cfg(any(feature = "rdnss", feature = "dhcpv6"))]
mod names;

use crate::device::Mac;
use crate::ip::addr::Cidr;
#[cfg(feature = "enhanced-dad")]
use crate::ip::dad::Probes;
#[cfg(feature = "routes")]
use crate::ip::route::Route;
#[cfg(feature = "temporary-addresses")]
use crate::ip::temporary::{Birth, TEMPORARY, Temporary};
use crate::ip::v6;
#[cfg(feature = "nud")]
use crate::link::neighbor::Timers;
use crate::rng::{Rng, Secret};
use crate::time::{Duration, Instant};
use crate::wire::ndp::Prefix;
use core::net::{IpAddr, Ipv6Addr};
#[cfg(not(feature = "routes"))]
use few::Ways;
use heapless::Vec;
#[cfg(feature = "routes")]
pub(crate) use learned::Change;
#[cfg(feature = "routes")]
use learned::Ways;
#[cfg(feature = "dhcpv6")]
pub(crate) use names::{DOMAIN, domain};

/// Addresses on trial at once, per interface.
const TENTATIVE: usize = if cfg!(feature = "temporary-addresses") { 6 } else { 4 };
/// Addresses formed from prefixes, per interface.
const FORMED: usize = 3;
/// As many, with temporary ones.
const ALL_FORMED: usize = FORMED + TEMPORARY;
#[cfg(not(feature = "temporary-addresses"))]
const TEMPORARY: usize = 0;
/// RetransTimer (RFC 4861 §10): between probes, and from the last one to the verdict.
const RETRANS: Duration = Duration::from_secs(1);
/// Less than that is not believed: it would have us flood the link.
const RETRANS_LEAST: Duration = Duration::from_millis(100);
/// Nor is more: no address would ever pass its trial.
const RETRANS_MOST: Duration = Duration::from_secs(10);
/// In milliseconds.
#[cfg(feature = "nud")]
const REACHABLE_MOST: u32 = 3_600_000;
/// ReachableTime is drawn anew every few hours (RFC 4861 §6.3.4).
#[cfg(feature = "nud")]
const REDRAW: Duration = Duration::from_secs(7_200);
/// MAX_RTR_SOLICITATION_DELAY (RFC 4861 §10).
const MAX_DELAY: Duration = Duration::from_secs(1);
/// RTR_SOLICITATION_INTERVAL (RFC 4861 §10), IRT of RFC 7559 §2.
const SOLICIT_FIRST: Duration = Duration::from_secs(4);
/// MRT of RFC 7559 §2.
const SOLICIT_MOST: Duration = Duration::from_secs(3_600);
/// RFC 4862 §5.5.3 (e).
const TWO_HOURS: u32 = 7_200;
/// IDGEN_RETRIES (RFC 7217 §7).
const RETRIES: u8 = 3;
/// When a message that found no frame is tried again.
const NO_FRAME_RETRY: Duration = Duration::from_millis(10);
/// A lifetime without end.
const INFINITE: u32 = u32::MAX;

/// How far an address of an interface can be used (RFC 4862 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum AddressState {
    /// On trial: it may be somebody else's. No packet is sent from it or taken for it.
    Tentative,
    /// Somebody else has it: never used.
    Duplicate,
    /// On trial, and in use where that disturbs nobody (RFC 4429).
    Optimistic,
    /// In use.
    Preferred,
    /// In use by what uses it already; not chosen while there is another.
    Deprecated,
}

/// How interface identifiers are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Identifiers {
    /// From the secret, the prefix and the MAC address (RFC 7217, as RFC 8064 recommends): stable while the secret is,
    /// and different in each network.
    #[default]
    Opaque,
    /// From the MAC address (modified EUI-64): the same everywhere and at every start.
    Eui64,
}

/// What routers say of DHCPv6 (RFC 4861 §4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RouterFlags {
    /// Addresses can be had by it.
    pub managed: bool,
    /// Other information, such as name servers, can.
    pub other: bool,
}

/// Until when an address lives; `None`: without end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lifetimes {
    pub preferred: Option<Instant>,
    pub valid: Option<Instant>,
}

/// An address on trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tentative {
    pub cidr: Cidr,
    /// Probes still to be sent.
    pub(super) left: u8,
    /// When the next is due, or the verdict.
    pub at: Instant,
    /// Of an address formed from a prefix.
    pub formed: Option<Lifetimes>,
    pub duplicate: bool,
    /// Duplicates found before it.
    pub(super) counter: u8,
    /// Of a temporary address.
    #[cfg(feature = "temporary-addresses")]
    pub temporary: Option<Birth>,
    /// What its probes were sent with.
    #[cfg(feature = "enhanced-dad")]
    pub(super) probes: Probes,
    /// It is in use meanwhile (RFC 4429).
    #[cfg(feature = "optimistic-dad")]
    pub optimistic: bool,
}

impl Tentative {
    /// One with `left` probes, from `at` on.
    pub(super) const fn new(cidr: Cidr, left: u8, at: Instant) -> Self {
        Self {
            cidr,
            left,
            at,
            formed: None,
            duplicate: false,
            counter: 0,
            #[cfg(feature = "temporary-addresses")]
            temporary: None,
            #[cfg(feature = "enhanced-dad")]
            probes: Probes::NONE,
            #[cfg(feature = "optimistic-dad")]
            optimistic: false,
        }
    }

    /// Whether it is in use meanwhile.
    #[inline]
    pub const fn is_optimistic(&self) -> bool {
        #[cfg(feature = "optimistic-dad")]
        return self.optimistic;
        #[cfg(not(feature = "optimistic-dad"))]
        false
    }

    const fn is_temporary(&self) -> bool {
        #[cfg(feature = "temporary-addresses")]
        return self.temporary.is_some();
        #[cfg(not(feature = "temporary-addresses"))]
        false
    }
}

/// An assigned address that was formed from a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Formed {
    pub addr: Ipv6Addr,
    pub lifetimes: Lifetimes,
    /// Of a temporary address.
    #[cfg(feature = "temporary-addresses")]
    pub temporary: Option<Birth>,
}

impl Formed {
    /// What was on trial, unless it was not formed from a prefix.
    pub fn of(tentative: &Tentative) -> Option<Self> {
        let IpAddr::V6(addr) = tentative.cidr.addr() else { return None };
        Some(Self {
            addr,
            lifetimes: tentative.formed?,
            #[cfg(feature = "temporary-addresses")]
            temporary: tentative.temporary,
        })
    }

    const fn is_temporary(&self) -> bool {
        #[cfg(feature = "temporary-addresses")]
        return self.temporary.is_some();
        #[cfg(not(feature = "temporary-addresses"))]
        false
    }
}

/// What is to be done for an interface now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Ask whether somebody has it.
    Probe(Ipv6Addr),
    /// Nobody answered: it is ours.
    Assign(Tentative),
    /// Ask for routers.
    Solicit,
    /// Its lifetime is over.
    AddressGone(Ipv6Addr),
    /// Its lifetime is over.
    #[cfg(feature = "routes")]
    RouteGone(Route),
    /// Lifetimes of ways are over.
    #[cfg(not(feature = "routes"))]
    WaysGone,
}

/// An interface's own IPv6.
pub(crate) struct Host {
    pub tentative: Vec<Tentative, TENTATIVE>,
    pub formed: Vec<Formed, ALL_FORMED>,
    #[cfg(feature = "temporary-addresses")]
    pub temporary: Temporary,
    learned: Ways,
    #[cfg(feature = "rdnss")]
    names: names::Names,
    /// Hop limit that a router advertised.
    pub hop_limit: Option<u8>,
    /// MTU that a router advertised.
    pub mtu: Option<u16>,
    /// RetransTimer (RFC 4861 §6.3.2).
    pub retrans: Duration,
    /// BaseReachableTime that a router advertised, in milliseconds, and when a time was drawn from it.
    #[cfg(feature = "nud")]
    reachable: Option<(u32, Instant)>,
    /// What routers say of DHCPv6.
    pub flags: RouterFlags,
    /// Whether router advertisements and redirects are followed.
    pub follows_routers: bool,
    /// The next router solicitation, and how long after it the one after that.
    solicit: Option<(Instant, Duration)>,
    pub identifiers: Identifiers,
    /// The link is down: nobody is asked, only lifetimes pass.
    silent: bool,
}

impl Host {
    pub const fn new() -> Self {
        Self {
            tentative: Vec::new(),
            formed: Vec::new(),
            #[cfg(feature = "temporary-addresses")]
            temporary: Temporary::NONE,
            learned: Ways::new(),
            #[cfg(feature = "rdnss")]
            names: names::Names::new(),
            hop_limit: None,
            mtu: None,
            retrans: RETRANS,
            #[cfg(feature = "nud")]
            reachable: None,
            flags: RouterFlags { managed: false, other: false },
            follows_routers: false,
            solicit: None,
            identifiers: Identifiers::Opaque,
            silent: false,
        }
    }

    /// Begins the trial of an address with `probes` probes; false without a place for it.
    pub fn try_address(&mut self, now: Instant, cidr: Cidr, probes: u8) -> bool {
        self.tentative.push(Tentative::new(cidr, probes, now)).is_ok()
    }

    /// Forgets an address on trial.
    pub fn forget(&mut self, addr: IpAddr) -> Option<Tentative> {
        let at = self.tentative.iter().position(|t| t.cidr.addr() == addr)?;
        Some(self.tentative.remove(at))
    }

    /// Whether `addr` is on trial, or was and is somebody else's.
    pub fn is_tentative(&self, addr: IpAddr) -> bool {
        self.tentative.iter().any(|t| t.cidr.addr() == addr)
    }

    /// Whether `addr` is on trial and in use.
    #[inline]
    pub fn is_optimistic(&self, addr: IpAddr) -> bool {
        cfg!(feature = "optimistic-dad") && self.tentative.iter().any(|t| t.is_optimistic() && t.cidr.addr() == addr)
    }

    /// Those on trial that are not in use.
    pub fn unused(&self) -> impl Iterator<Item = &Tentative> {
        self.tentative.iter().filter(|t| !t.is_optimistic())
    }

    /// `addr` is on trial only from now on; false, if it was not in use.
    #[cfg(feature = "optimistic-dad")]
    pub fn stop_optimism(&mut self, addr: Ipv6Addr) -> bool {
        let trial = self.tentative.iter_mut().find(|t| t.cidr.addr() == IpAddr::V6(addr));
        trial.is_some_and(|t| core::mem::replace(&mut t.optimistic, false))
    }

    pub fn is_deprecated(&self, now: Instant, addr: IpAddr) -> bool {
        let formed = self.formed.iter().find(|f| IpAddr::V6(f.addr) == addr);
        formed.is_some_and(|f| f.lifetimes.preferred.is_some_and(|at| now >= at))
    }

    /// What is due at `now`, one thing a call: call again until `None`.
    pub fn step(&mut self, now: Instant) -> Option<Step> {
        if let Some(at) = self.tentative.iter().position(|t| !t.duplicate && now >= t.at)
            && !self.silent
        {
            let tentative = self.tentative.get_mut(at)?;
            let IpAddr::V6(addr) = tentative.cidr.addr() else { return None };
            #[cfg(feature = "enhanced-dad")]
            if tentative.left == 0
                && let Some(more) = tentative.probes.take_looped()
            {
                tentative.left = more;
            }
            if tentative.left == 0 {
                return Some(Step::Assign(self.tentative.remove(at)));
            }
            tentative.left -= 1;
            tentative.at = now + self.retrans;
            return Some(Step::Probe(addr));
        }
        if let Some((at, interval)) = self.solicit
            && now >= at
            && !self.silent
        {
            let next = interval + interval;
            self.solicit = Some((now + interval, if next > SOLICIT_MOST { SOLICIT_MOST } else { next }));
            return Some(Step::Solicit);
        }
        let over = |until: Option<Instant>| until.is_some_and(|until| now >= until);
        if let Some(at) = self.formed.iter().position(|f| over(f.lifetimes.valid)) {
            return Some(Step::AddressGone(self.formed.remove(at).addr));
        }
        #[cfg(feature = "routes")]
        return self.learned.take_over(now).map(Step::RouteGone);
        #[cfg(not(feature = "routes"))]
        self.learned.expire(now).then_some(Step::WaysGone)
    }

    /// The probe for `addr` found no frame: it is sent soon.
    pub fn not_probed(&mut self, now: Instant, addr: Ipv6Addr) {
        if let Some(t) = self.tentative.iter_mut().find(|t| t.cidr.addr() == IpAddr::V6(addr)) {
            t.left += 1;
            t.at = now + NO_FRAME_RETRY;
        }
    }

    /// The solicitation found no frame: it is sent soon.
    pub fn not_solicited(&mut self, now: Instant) {
        self.solicit = Some((now + NO_FRAME_RETRY, SOLICIT_FIRST));
    }

    /// When [`step`](Self::step) is to be called.
    pub fn deadline(&self) -> Option<Instant> {
        let trials = self.tentative.iter().filter(|t| !t.duplicate).map(|t| t.at);
        let lives = self.formed.iter().filter_map(|f| f.lifetimes.valid);
        let asked = trials.chain(self.solicit.map(|s| s.0)).filter(|_| !self.silent);
        #[cfg(feature = "temporary-addresses")]
        let asked = asked.chain(self.temporary.at.filter(|_| !self.silent));
        asked.chain(lives).chain(self.learned.deadline()).min()
    }

    /// The link went down, or up: it may be another one, where trials begin anew, of `probes` probes, and routers are
    /// asked for again.
    #[cfg(feature = "carrier")]
    pub fn on_link(&mut self, now: Instant, up: bool, probes: u8, rng: &mut Rng) {
        self.silent = !up;
        if !up {
            return;
        }
        for t in &mut self.tentative {
            //= https://www.rfc-editor.org/rfc/rfc4862#section-5.4.2
            //# If the Neighbor Solicitation is going to be the first message sent
            //# from an interface after interface (re)initialization, the node SHOULD
            //# delay joining the solicited-node multicast address by a random delay
            //# between 0 and MAX_RTR_SOLICITATION_DELAY as specified in [RFC4861].
            (t.left, t.at, t.duplicate) = (probes.max(1), now + delay(rng), false);
        }
        #[cfg(feature = "temporary-addresses")]
        {
            self.temporary.unsure = true;
        }
        if self.follows_routers {
            self.solicit = Some((now + delay(rng), SOLICIT_FIRST));
        }
    }

    /// Somebody else has `addr`, which is on trial; another is tried in place of one that was formed from a prefix.
    pub fn on_duplicate(&mut self, now: Instant, addr: Ipv6Addr, mac: Mac, secret: &Secret, rng: &mut Rng) {
        #[cfg(feature = "temporary-addresses")]
        if self.on_temporary_duplicate(now, addr, rng) {
            return;
        }
        let _ = rng;
        let identifiers = self.identifiers;
        let Some(t) = self.tentative.iter_mut().find(|t| t.cidr.addr() == IpAddr::V6(addr)) else { return };
        t.duplicate = true;
        if t.formed.is_some() && identifiers == Identifiers::Opaque && t.counter < RETRIES {
            t.counter += 1;
            t.cidr = Cidr::one(v6::with_identifier(addr, v6::opaque(secret, addr, mac, t.counter)).into());
            (t.left, t.at, t.duplicate) = (1, now, false);
        }
    }

    /// Routers are to be followed, and asked for from a second on.
    pub fn follow_routers(&mut self, now: Instant, rng: &mut Rng) {
        self.follows_routers = true;
        // The link-local address should be there by then, for routers to answer to.
        self.solicit = Some((now + RETRANS + delay(rng), SOLICIT_FIRST));
    }

    /// A router answered: it need not be asked any more.
    pub fn on_answered(&mut self) {
        self.solicit = None;
    }

    /// The time between solicitations that a router advertises, in milliseconds.
    pub fn on_retrans(&mut self, retrans: u32) {
        //= https://www.rfc-editor.org/rfc/rfc4861#section-6.3.4
        //# The RetransTimer variable SHOULD be copied from the Retrans Timer
        //# field, if the received value is non-zero.
        if retrans != 0 {
            self.retrans = Duration::from_millis(u64::from(retrans)).clamp(RETRANS_LEAST, RETRANS_MOST);
        }
    }

    /// The times of neighbour discovery that a router advertises, in milliseconds; those that follow, if they have changed.
    #[cfg(feature = "nud")]
    pub fn on_times(&mut self, now: Instant, reachable: u32, retrans: u32, rng: &mut Rng) -> Option<Timers> {
        let before = self.retrans;
        self.on_retrans(retrans);
        // A router must not say more than an hour (RFC 4861 §6.2.1).
        let told = Some(reachable).filter(|r| (1..=REACHABLE_MOST).contains(r));
        //= https://www.rfc-editor.org/rfc/rfc4861#section-6.3.4
        //# If the new value differs from the previous value, the host SHOULD
        //# re-compute a new random ReachableTime value.
        let is_new = |base: &u32| self.reachable.is_none_or(|(old, at)| old != *base || now.since(at) > REDRAW);
        if let Some(base) = told.filter(is_new) {
            self.reachable = Some((base, now));
            // MIN_RANDOM_FACTOR and MAX_RANDOM_FACTOR (RFC 4861 §10): half of it to one and a half.
            let time = Duration::from_millis(u64::from(base / 2 + rng.below(base.saturating_add(1))));
            return Some(Timers { reachable: Some(time), retrans: self.retrans });
        }
        (self.retrans != before).then_some(Timers { reachable: None, retrans: self.retrans })
    }

    /// A prefix that addresses are to be formed from (RFC 4862 §5.5.3); false when there is no place for another.
    pub fn on_prefix(&mut self, now: Instant, p: &Prefix, mac: Mac, secret: &Secret, rng: &mut Rng) -> bool {
        if p.preferred > p.valid || p.len != 64 || p.prefix.is_unicast_link_local() || p.prefix.is_multicast() {
            return true;
        }
        let same = |addr: Ipv6Addr| addr.to_bits() >> 64 == p.prefix.to_bits() >> 64;
        let mut known = false;
        for formed in self.formed.iter_mut().filter(|f| same(f.addr)) {
            known |= !formed.is_temporary();
            renew(&mut formed.lifetimes, now, p);
            #[cfg(feature = "temporary-addresses")]
            formed.temporary.iter().for_each(|birth| birth.cut(&mut formed.lifetimes));
        }
        let trial = |t: &&mut Tentative| matches!(t.cidr.addr(), IpAddr::V6(a) if same(a));
        for tentative in self.tentative.iter_mut().filter(trial) {
            known |= !tentative.is_temporary();
            let Some(lifetimes) = &mut tentative.formed else { continue };
            renew(lifetimes, now, p);
            #[cfg(feature = "temporary-addresses")]
            tentative.temporary.iter().for_each(|birth| birth.cut(lifetimes));
        }
        if known || p.valid == 0 {
            return true;
        }
        let identifier = match self.identifiers {
            Identifiers::Opaque => v6::opaque(secret, p.prefix, mac, 0),
            Identifiers::Eui64 => v6::eui64(mac),
        };
        let lifetimes = Lifetimes { preferred: until(now, p.preferred), valid: until(now, p.valid) };
        // Not a /64: that the address lies in a prefix does not say that the others in it are on the link (RFC 5942 §4).
        let cidr = Cidr::one(v6::with_identifier(p.prefix, identifier).into());
        let trials = self.tentative.iter().filter(|t| t.formed.is_some() && !t.is_temporary()).count();
        let formed = self.formed.iter().filter(|f| !f.is_temporary()).count();
        let tentative = Tentative { formed: Some(lifetimes), ..Tentative::new(cidr, 1, now + delay(rng)) };
        formed + trials < FORMED && self.tentative.push(tentative).is_ok()
    }
}

/// A random part of the longest delay.
fn delay(rng: &mut Rng) -> Duration {
    Duration::from_micros(u64::from(rng.below(MAX_DELAY.as_micros() as u32)))
}

/// The end of `lifetime` seconds from `now`.
fn until(now: Instant, lifetime: u32) -> Option<Instant> {
    (lifetime != INFINITE).then(|| now + Duration::from_secs(u64::from(lifetime)))
}

/// Takes a prefix's lifetimes for an address formed from it.
//= https://www.rfc-editor.org/rfc/rfc4862#section-5.5.3
//# If the received Valid Lifetime is greater than 2 hours or
//# greater than RemainingLifetime, set the valid lifetime of the
//# corresponding address to the advertised Valid Lifetime.
fn renew(lifetimes: &mut Lifetimes, now: Instant, p: &Prefix) {
    lifetimes.preferred = until(now, p.preferred);
    let two_hours = now + Duration::from_secs(u64::from(TWO_HOURS));
    let longer = until(now, p.valid).is_none_or(|new| lifetimes.valid.is_some_and(|old| new > old));
    if p.valid > TWO_HOURS || longer {
        lifetimes.valid = until(now, p.valid);
    } else if lifetimes.valid.is_none_or(|old| old > two_hours) {
        lifetimes.valid = Some(two_hours);
    }
}

#[cfg(test)]
mod tests;

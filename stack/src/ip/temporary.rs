//! Temporary addresses: beside each stable one that is formed from a prefix, one whose identifier means nothing, and which
//! another takes the place of before long.
//!
//! Implements RFC 8981 §3.3.1 (random identifiers), §3.4 (lifetimes, generation), §3.5 (expiration), §3.8 (constants).
//! Which addresses there are, on trial and in use, `slaac.rs` knows; which is chosen as a source, `v6.rs` (RFC 6724, rule 7).
//!
//! ```text
//!   stable address assigned ─▶ trial ─▶ preferred ── REGEN_ADVANCE before its end: the next one ──▶ deprecated ─▶ gone
//!                               └─ somebody has it: another identifier, three times; then none for this prefix
//! ```

use super::slaac::{Formed, Host, Lifetimes, Tentative};
use super::v6::with_identifier;
use crate::ip::addr::Cidr;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use core::net::{IpAddr, Ipv6Addr};

/// Temporary addresses, per interface, on trial and in use.
pub(super) const TEMPORARY: usize = 4;
/// TEMP_IDGEN_RETRIES (RFC 8981 §3.8).
const RETRIES: u8 = 3;
/// What of the preferred lifetime MAX_DESYNC_FACTOR is (RFC 8981 §3.8): 0.4, in tenths.
const DESYNC_TENTHS: u32 = 4;
/// When it is looked again for a place that there was not.
const NO_ROOM_RETRY: Duration = Duration::from_secs(60);

/// How long temporary addresses live, and whether they are preferred (RFC 8981 §3.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TemporaryAddresses {
    /// TEMP_PREFERRED_LIFETIME: for how long one is used for what is new, less up to four tenths, by chance. A day.
    pub preferred: Duration,
    /// TEMP_VALID_LIFETIME: for how long what has begun may go on. Two days.
    pub valid: Duration,
    /// Whether sockets that have no preference of their own use them (RFC 6724 §5, rule 7). Yes.
    pub prefer: bool,
}

impl TemporaryAddresses {
    /// The values of RFC 8981 §3.8.
    pub const RFC8981: Self =
        Self { preferred: Duration::from_secs(86_400), valid: Duration::from_secs(172_800), prefer: true };
}

impl Default for TemporaryAddresses {
    fn default() -> Self {
        Self::RFC8981
    }
}

/// Which of an interface's addresses a socket would rather be seen with (RFC 6724 §5, rule 7; RFC 5014 for others).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SourcePreference {
    /// As the interface is set.
    #[default]
    AsSet,
    /// One that lasts.
    Stable,
    /// One that does not.
    Temporary,
}

/// When a temporary address was made, and what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Birth {
    /// Its lifetimes end then at the latest, whatever routers say.
    latest: (Instant, Instant),
}

impl Birth {
    /// Cuts lifetimes that a router has advertised.
    pub fn cut(&self, lifetimes: &mut Lifetimes) {
        // RFC 8981 §3.4, items 1 and 2: from its creation on, TEMP_VALID_LIFETIME and TEMP_PREFERRED_LIFETIME -
        // DESYNC_FACTOR at most.
        let (preferred, valid) = self.latest;
        lifetimes.preferred = Some(lifetimes.preferred.map_or(preferred, |at| at.min(preferred)));
        lifetimes.valid = Some(lifetimes.valid.map_or(valid, |at| at.min(valid)));
    }
}

/// An interface's temporary addresses.
pub(crate) struct Temporary {
    pub settings: Option<TemporaryAddresses>,
    /// When the next one is to be made.
    pub at: Option<Instant>,
    /// Not before this time: there was no place.
    not_before: Option<Instant>,
    /// The link is back: whether it is another one, the next router's advertisement tells.
    pub unsure: bool,
}

/// What was done for temporary addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    /// One is on trial.
    Begun,
    /// This one has to go first: there are too many.
    Evicted(Ipv6Addr),
}

impl Temporary {
    /// None are made.
    pub const NONE: Self = Self { settings: None, at: None, not_before: None, unsure: false };
}

impl Host {
    /// REGEN_ADVANCE (RFC 8981 §3.8), with a single probe.
    fn regen_advance(&self) -> Duration {
        Duration::from_secs(2) + self.retrans * u32::from(RETRIES)
    }

    /// Whether `addr` is a temporary address.
    pub fn is_temporary(&self, addr: Ipv6Addr) -> bool {
        let on_trial = |t: &Tentative| t.temporary.is_some() && t.cidr.addr() == IpAddr::V6(addr);
        self.formed.iter().any(|f| f.addr == addr && f.temporary.is_some()) || self.tentative.iter().any(on_trial)
    }

    /// Notes when the next temporary address is to be made.
    pub fn plan_temporary(&mut self, now: Instant) {
        let due = self.formed.iter().filter_map(|f| self.temporary_due(now, f)).min();
        self.temporary.at = due.map(|at| self.temporary.not_before.map_or(at, |earliest| at.max(earliest)));
    }

    /// When a temporary address is to be made beside the stable one `f`.
    fn temporary_due(&self, now: Instant, f: &Formed) -> Option<Instant> {
        let advance = self.regen_advance();
        self.temporary.settings?;
        if f.temporary.is_some() || self.has_trial(f.addr) {
            return None;
        }
        let ends = self.formed.iter().filter(|t| t.temporary.is_some() && is_same(t.addr, f.addr));
        let ends = ends.filter_map(|t| t.lifetimes.preferred);
        let at = ends.max().map_or(now, |end| now.max(end - advance));
        //= https://www.rfc-editor.org/rfc/rfc8981#section-3.4
        //# A temporary address is created only if this calculated preferred
        //# lifetime is greater than REGEN_ADVANCE time units.
        f.lifetimes.preferred.is_none_or(|end| end > at + advance).then_some(at)
    }

    /// Whether a temporary address of the prefix of `addr` is on trial, or none is to be tried any more.
    fn has_trial(&self, addr: Ipv6Addr) -> bool {
        let same = |t: &Tentative| matches!(t.cidr.addr(), IpAddr::V6(a) if is_same(a, addr));
        self.tentative.iter().any(|t| t.temporary.is_some() && same(t))
    }

    /// Makes a temporary address if one is due; `room`: the interface has a place for it. To be asked until there is nothing.
    pub fn make_temporary(&mut self, now: Instant, room: bool, rng: &mut Rng) -> Option<Made> {
        self.plan_temporary(now);
        self.temporary.at.filter(|at| *at <= now)?;
        let settings = self.temporary.settings?;
        let stable = *self.formed.iter().find(|f| self.temporary_due(now, f).is_some_and(|at| at <= now))?;
        let on_trial = self.tentative.iter().filter(|t| t.temporary.is_some()).count();
        let in_use = self.formed.iter().filter(|f| f.temporary.is_some());
        if !room || self.tentative.is_full() || in_use.clone().count() + on_trial >= TEMPORARY {
            // What is deprecated longest makes room; the next is looked for then.
            let old = in_use.filter(|f| f.lifetimes.preferred.is_some_and(|at| at <= now));
            if let Some(old) = old.min_by_key(|f| f.lifetimes.valid).filter(|_| !self.tentative.is_full()) {
                return Some(Made::Evicted(old.addr));
            }
            self.temporary.not_before = Some(now + NO_ROOM_RETRY);
            self.plan_temporary(now);
            return None;
        }
        self.temporary.not_before = None;
        let longest = settings.preferred / 10 * DESYNC_TENTHS;
        let desync =
            Duration::from_millis(u64::from(rng.below(u32::try_from(longest.as_millis()).unwrap_or(u32::MAX))));
        let birth = Birth { latest: (now + settings.preferred.saturating_sub(desync), now + settings.valid) };
        let mut lifetimes = stable.lifetimes;
        birth.cut(&mut lifetimes);
        let addr = self.another(stable.addr, rng);
        let trial = Tentative {
            temporary: Some(birth),
            formed: Some(lifetimes),
            ..Tentative::new(Cidr::one(addr.into()), 1, now)
        };
        let begun = self.tentative.push(trial).is_ok();
        self.plan_temporary(now);
        begun.then_some(Made::Begun)
    }

    /// Router `src` advertises: if the link is another one than before, those of the last are to go, one a call.
    ///
    /// RFC 8981 §3.6 wants new ones on another link. It is the same one if its router was ours, or gives a prefix that we
    /// have an address from.
    pub fn is_elsewhere(&mut self, src: Ipv6Addr, mut prefixes: impl Iterator<Item = Ipv6Addr>) -> bool {
        let unsure = core::mem::take(&mut self.temporary.unsure);
        unsure && !self.is_router(src.into()) && !prefixes.any(|p| self.formed.iter().any(|f| is_same(f.addr, p)))
    }

    /// One of the temporary addresses, on trial or in use.
    pub fn any_temporary(&self) -> Option<Ipv6Addr> {
        let on_trial = self.tentative.iter().find(|t| t.temporary.is_some()).map(|t| t.cidr.addr());
        let in_use = || self.formed.iter().find(|f| f.temporary.is_some()).map(|f| f.addr);
        match on_trial {
            Some(IpAddr::V6(addr)) => Some(addr),
            _ => in_use(),
        }
    }

    /// Somebody has `addr`, a temporary one on trial: another, unless there were too many.
    pub(super) fn on_temporary_duplicate(&mut self, now: Instant, addr: Ipv6Addr, rng: &mut Rng) -> bool {
        let other = self.another(addr, rng);
        let Some(t) = self.tentative.iter_mut().find(|t| t.cidr.addr() == IpAddr::V6(addr)) else { return false };
        if t.temporary.is_none() {
            return false;
        }
        // RFC 8981 §3.4, item 7: after TEMP_IDGEN_RETRIES attempts, an error is logged (MUST) and none is made for this prefix
        // any more (SHOULD NOT). It stays in the list, marked: no other is begun beside it.
        t.duplicate = true;
        if t.counter < RETRIES {
            t.counter += 1;
            t.cidr = Cidr::one(other.into());
            (t.left, t.at, t.duplicate) = (1, now, false);
        } else {
            crate::log::warn!("temporary addresses of a prefix are all in use by other stations");
        }
        true
    }

    /// An address with the prefix of `addr` and a random identifier that nobody here has.
    fn another(&self, addr: Ipv6Addr, rng: &mut Rng) -> Ipv6Addr {
        loop {
            let addr = with_identifier(addr, rng.next_u64());
            let is_ours = self.formed.iter().any(|f| f.addr == addr) || self.is_tentative(addr.into());
            if !is_reserved(addr) && !is_ours {
                return addr;
            }
        }
    }
}

/// Whether both are of one /64.
fn is_same(a: Ipv6Addr, b: Ipv6Addr) -> bool {
    a.to_bits() >> 64 == b.to_bits() >> 64
}

/// Whether the identifier is one of RFC 5453: that of all routers, of proxies, or of an anycast address.
fn is_reserved(addr: Ipv6Addr) -> bool {
    let identifier = addr.to_bits() as u64;
    identifier == 0 || identifier >> 24 == 0x0002_005e_fffe || identifier >> 7 == 0xfdff_ffff_ffff_ff80 >> 7
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_that_are_reserved_are_known() {
        for (text, expected) in [
            ("2001:db8::", true),
            ("2001:db8::200:5eff:fe00:5213", true),
            ("2001:db8::200:5eff:ff00:0", false),
            ("2001:db8::fdff:ffff:ffff:ff80", true),
            ("2001:db8::fdff:ffff:ffff:ffff", true),
            ("2001:db8::fdff:ffff:ffff:ff7f", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_reserved(text.parse().expect("valid text")), expected, "{text}");
        }
    }
}

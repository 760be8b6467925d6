//! An IPv4 address that nobody gives: claimed on the link, defended, and given up for one that routes.
//!
//! Implements RFC 3927 §2.1 (choice), §2.2 (claim), §2.5 (defence, with RFC 5227's probes and announcements, `link/acd.rs`),
//! §1.9 and §2.6.2 (beside other addresses). What ARP does otherwise with such addresses (§2.5) is in `link/arp.rs`.
//!
//! ```text
//!             random, by the MAC            nobody has it                    an address that routes
//!   IDLE ─────────────────▶ PROBING ────────────────────────▶ HELD ──────────────────────────────▶ LEAVING
//!    ▲  ▲                      │ somebody has it               │ conflict, not defended              │ no connection
//!    │  └── another (10 at once, ◀─────────────────────────────┘                                     │ is from it
//!    │      then one a minute)                                                                       │
//!    └───────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```

use crate::device::{Link, Mac};
use crate::error::AddressError;
use crate::ip::addr::Cidr;
use crate::ip::route::Route;
use crate::log;
use crate::rng::{Purpose, Rng, Secret};
use crate::stack::{IfaceId, ProbeState, ProbeTiming, Stack};
use crate::time::{Duration, Instant};
use core::net::{IpAddr, Ipv4Addr};

/// The network of all link-local addresses (RFC 3927 §2.1).
const NETWORK: Ipv4Addr = Ipv4Addr::new(169, 254, 0, 0);
/// Bits of its prefix.
const PREFIX_LEN: u8 = 16;
/// The first address that may be chosen: the first and last 256 are reserved (RFC 3927 §2.1).
const FIRST: u32 = 0xa9fe_0100;
/// How many there are.
const COUNT: u32 = 0x1_0000 - 2 * 256;
/// MAX_CONFLICTS (RFC 3927 §9).
const MAX_CONFLICTS: u8 = 10;
/// RATE_LIMIT_INTERVAL (RFC 3927 §9).
const RATE_LIMIT: Duration = Duration::from_secs(60);
/// How often a running probe is looked at: its end is no event.
const LOOK: Duration = Duration::from_millis(50);
/// How often it is seen whether a connection still keeps an address that is to go.
const LOOK_LEAVING: Duration = Duration::from_secs(5);
/// When a probe that found no room is tried again.
const NO_ROOM: Duration = Duration::from_secs(1);
/// What the choice is drawn from, besides the MAC address: known to all, for the choice is no secret.
const CHOICE: Secret = Secret::new(*b"RFC 3927 address");

/// Settings of a [`LinkLocal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkLocalOptions {
    /// The address of an earlier life, to be tried first (RFC 3927 §2.1); not looked at unless it is a link-local one.
    pub remembered: Option<Ipv4Addr>,
    /// How addresses are probed for. RFC 3927 §9 has the times of RFC 5227, which are the default: nobody but the link
    /// itself knows which addresses are free.
    pub probing: ProbeTiming,
}

impl Default for LinkLocalOptions {
    fn default() -> Self {
        Self { remembered: None, probing: ProbeTiming::RFC5227 }
    }
}

/// What a [`LinkLocal`] tells its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum LinkLocalEvent {
    /// The interface has this address.
    Claimed(#[cfg_attr(feature = "defmt", defmt(Debug2Format))] Ipv4Addr),
    /// This address is gone: another station has it, or it is no longer needed.
    Lost(#[cfg_attr(feature = "defmt", defmt(Debug2Format))] Ipv4Addr),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There is an address that routes, or the next attempt is due at this time.
    Idle(Instant),
    /// Somebody may have it.
    Probing(Ipv4Addr),
    /// In use.
    Held(Ipv4Addr),
    /// There is an address that routes; connections keep this one a while.
    Leaving(Ipv4Addr),
}

/// A link-local address for one Ethernet interface of a stack, as long as that has no other.
///
/// # Contract
/// - Call [`poll`](Self::poll) after each [`Stack::poll`], at [`deadline`](Self::deadline) at the latest, until it gives
///   `None`; no waker of the stack's knows of it.
/// - One of them to an interface, and one interface with one: the same addresses are on the link of each.
pub struct LinkLocal {
    iface: IfaceId,
    rng: Rng,
    timing: ProbeTiming,
    state: State,
    /// The next to be tried, when there is a wish.
    wish: Option<Ipv4Addr>,
    /// Addresses that others had, since the last one that nobody had.
    conflicts: u8,
    /// The interface's link, as last looked at.
    link: Link,
    look: Option<Instant>,
}

impl LinkLocal {
    /// Begins to claim an address for `iface`, unless it has one that routes.
    ///
    /// # Errors
    /// [`AddressError::NoInterface`]; [`AddressError::Invalid`] for an interface that is no Ethernet.
    pub fn start(
        stack: &mut Stack<'_>,
        now: Instant,
        iface: IfaceId,
        options: &LinkLocalOptions,
    ) -> Result<Self, AddressError> {
        let view = stack.interfaces().find(|i| i.id == iface).ok_or(AddressError::NoInterface)?;
        let (Mac([a, b, c, d, e, f]), link) = (view.mac.ok_or(AddressError::Invalid)?, view.link);
        let LinkLocalOptions { remembered, probing } = *options;
        let wish = remembered.filter(|ip| may_be_chosen(*ip));
        //= https://www.rfc-editor.org/rfc/rfc3927#section-2.1
        //# If the host has access to persistent information that is different
        //# for each host, such as its IEEE 802 MAC address, then the pseudo-
        //# random number generator SHOULD be seeded using a value derived from
        //# this information.
        let rng = Rng::starting(&CHOICE, Purpose::LinkLocal, u64::from_be_bytes([a, b, c, d, e, f, 0, 0]));
        let this =
            Self { iface, rng, timing: probing, state: State::Idle(now), wish, conflicts: 0, link, look: Some(now) };
        this.keep_route(stack);
        Ok(this)
    }

    /// Does what is due, and tells what has changed; to be called until that is nothing.
    pub fn poll(&mut self, stack: &mut Stack<'_>, now: Instant) -> Option<LinkLocalEvent> {
        let view = stack.interfaces().find(|i| i.id == self.iface)?;
        let has_other = view.addresses.iter().any(|c| matches!(c.addr(), IpAddr::V4(ip) if !ip.is_link_local()));
        let back = core::mem::replace(&mut self.link, view.link) == Link::Down && view.link == Link::Up;
        self.look = None;
        match (self.state, has_other) {
            (State::Idle(_), true) => None,
            (State::Idle(at), false) if now < at => self.look_again(at),
            (State::Idle(_), false) => self.choose(stack, now),
            (State::Probing(ip), true) => {
                stack.cancel_probe(self.iface, ip);
                (self.state, self.wish) = (State::Idle(now), Some(ip));
                None
            }
            (State::Probing(ip), false) => self.look_at_probe(stack, now, ip),
            (State::Held(ip), false) => self.hold(stack, now, ip, back),
            (State::Leaving(ip), false) => {
                self.state = State::Held(ip);
                None
            }
            (State::Held(ip) | State::Leaving(ip), true) => self.leave(stack, now, ip),
        }
    }

    /// When [`poll`](Self::poll) is to be called again at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        self.look
    }

    /// The address, while the interface has it.
    pub fn address(&self) -> Option<Ipv4Addr> {
        match self.state {
            State::Held(ip) | State::Leaving(ip) => Some(ip),
            State::Idle(_) | State::Probing(_) => None,
        }
    }

    /// The interface.
    pub fn iface(&self) -> IfaceId {
        self.iface
    }

    /// Ends it at once, and takes its address away.
    pub fn close(self, stack: &mut Stack<'_>) {
        match self.state {
            State::Idle(_) => {}
            State::Probing(ip) => stack.cancel_probe(self.iface, ip),
            State::Held(ip) | State::Leaving(ip) => _ = stack.remove_address(self.iface, ip.into()),
        }
        let _ = stack.remove_route(&self.route());
    }

    /// Begins to probe for an address.
    fn choose(&mut self, stack: &mut Stack<'_>, now: Instant) -> Option<LinkLocalEvent> {
        let ip = self.wish.take().unwrap_or_else(|| Ipv4Addr::from_bits(FIRST + self.rng.below(COUNT)));
        match stack.probe_address(self.iface, ip, self.timing) {
            Ok(()) => {
                self.state = State::Probing(ip);
                self.look_again(now + LOOK)
            }
            // Ours already, by hand: it needs no other.
            Err(AddressError::Duplicate) => {
                self.state = State::Held(ip);
                None
            }
            Err(_) => {
                self.wish = Some(ip);
                self.retry(now + NO_ROOM)
            }
        }
    }

    fn look_at_probe(&mut self, stack: &mut Stack<'_>, now: Instant, ip: Ipv4Addr) -> Option<LinkLocalEvent> {
        match stack.probe_state(self.iface, ip) {
            Some(ProbeState::Running) => return self.look_again(now + LOOK),
            Some(ProbeState::Free) => {}
            Some(ProbeState::Taken(_)) => return self.on_conflict(stack, now, ip),
            // Somebody has ended the probing: it begins anew.
            None => return self.retry(now),
        }
        let cidr = Cidr::new(ip.into(), PREFIX_LEN)?;
        if stack.add_address(self.iface, cidr).is_err() {
            // Without room for an address, none is any better.
            self.wish = Some(ip);
            return self.retry(now + RATE_LIMIT);
        }
        (self.state, self.conflicts) = (State::Held(ip), 0);
        Some(LinkLocalEvent::Claimed(ip))
    }

    /// The address is in use: is it still ours alone?
    fn hold(&mut self, stack: &mut Stack<'_>, now: Instant, ip: Ipv4Addr, back: bool) -> Option<LinkLocalEvent> {
        // RFC 3927 §2.5 (b): a second conflict within DEFEND_INTERVAL, which the stack does not defend, ends it.
        if stack.take_conflict_over(self.iface, ip) {
            log::warn!("the link-local address of interface {} is given up", self.iface.index());
            let _ = stack.remove_address(self.iface, ip.into());
            self.keep_route(stack);
            self.on_conflict(stack, now, ip);
            return Some(LinkLocalEvent::Lost(ip));
        }
        // The link may be another one, where the address is to be claimed anew (RFC 3927 §2.2); for a connection's sake it is
        // announced only, which the stack does, and a conflict is met as any.
        if back && !stack.is_address_in_use(ip) {
            let _ = stack.remove_address(self.iface, ip.into());
            self.keep_route(stack);
            self.wish = Some(ip);
            self.retry(now);
            return Some(LinkLocalEvent::Lost(ip));
        }
        if !stack.interfaces().any(|i| i.id == self.iface && i.addresses.iter().any(|c| c.addr() == ip)) {
            // The user has taken it away, and does not want that one.
            self.retry(now);
            return Some(LinkLocalEvent::Lost(ip));
        }
        None
    }

    /// There is an address that routes: new connections are from there.
    fn leave(&mut self, stack: &mut Stack<'_>, now: Instant, ip: Ipv4Addr) -> Option<LinkLocalEvent> {
        // What is underway goes on (RFC 3927 §1.9).
        let conflict = stack.take_conflict_over(self.iface, ip);
        if !conflict && stack.is_address_in_use(ip) {
            self.state = State::Leaving(ip);
            return self.look_again(now + LOOK_LEAVING);
        }
        let _ = stack.remove_address(self.iface, ip.into());
        self.keep_route(stack);
        (self.state, self.wish) = (State::Idle(now), Some(ip).filter(|_| !conflict));
        Some(LinkLocalEvent::Lost(ip))
    }

    /// Somebody else has `ip`: another is tried.
    fn on_conflict(&mut self, stack: &mut Stack<'_>, now: Instant, ip: Ipv4Addr) -> Option<LinkLocalEvent> {
        stack.cancel_probe(self.iface, ip);
        self.conflicts = self.conflicts.saturating_add(1);
        //= https://www.rfc-editor.org/rfc/rfc3927#section-2.2.1
        //# [...] if the number of conflicts exceeds MAX_CONFLICTS then the host
        //# MUST limit the rate at which it probes for new addresses to no more
        //# than one new address per RATE_LIMIT_INTERVAL.
        self.retry(if self.conflicts > MAX_CONFLICTS { now + RATE_LIMIT } else { now })
    }

    fn retry(&mut self, at: Instant) -> Option<LinkLocalEvent> {
        self.state = State::Idle(at);
        self.look_again(at)
    }

    fn look_again(&mut self, at: Instant) -> Option<LinkLocalEvent> {
        self.look = Some(at);
        None
    }

    //= https://www.rfc-editor.org/rfc/rfc3927#section-2.6.2
    //# Whichever interface is used, if the destination address is in the
    //# 169.254/16 prefix (excluding the address 169.254.255.255, which is
    //# the broadcast address for the Link-Local prefix), then the sender MUST
    //# ARP for the destination address and then send its packet directly to
    //# the destination on the same physical link.
    fn keep_route(&self, stack: &mut Stack<'_>) {
        // A full table says so to who adds the next route of its own; with our own address there is this route anyway.
        let _ = stack.add_route(self.route());
    }

    fn route(&self) -> Route {
        let prefix = Cidr::new(NETWORK.into(), PREFIX_LEN).unwrap_or(Cidr::DEFAULT);
        Route { prefix, gateway: None, iface: self.iface, metric: 0 }
    }
}

/// Whether `ip` is one of those to choose from.
const fn may_be_chosen(ip: Ipv4Addr) -> bool {
    ip.to_bits().wrapping_sub(FIRST) < COUNT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_to_choose_from_leave_out_the_first_and_the_last_256() {
        for (ip, expected) in [
            ([169, 254, 1, 0], true),
            ([169, 254, 254, 255], true),
            ([169, 254, 0, 255], false),
            ([169, 254, 255, 0], false),
            ([10, 0, 0, 1], false),
        ] {
            assert_eq!(may_be_chosen(ip.into()), expected, "{ip:?}");
        }
    }
}

//! One neighbour: which MAC address an address on the link has, and whether it still answers.
//!
//! The states of RFC 4861 §7.3.2, for ARP as well (RFC 826), where they keep RFC 1122 §2.3.2: entries age out, and a
//! neighbour is asked once a second at most. The table of neighbours is in `neighbor/table.rs`, the packets that wait for
//! one in `neighbor/parked.rs`. Without the feature `nud` a shorter list stands in for all three
//! (`neighbor/cache.rs`).
//!
//! ```text
//!             3 requests, 1 s apart                        heard of, not confirmed
//!   used ──▶ INCOMPLETE ───answer──▶ REACHABLE ──30 s──▶ STALE ──used──▶ DELAY
//!               │  ▲                    ▲  ▲                               │ 5 s
//!          3 s  ▼  │ used, 1 s later    │  └────answer or confirmed────┐   ▼
//!             FAILED ◀─────────────3 s──┼──────────────────────────── PROBE (3 unicast requests, 1 s apart)
//! ```

#[cfg(feature = "nud")]
pub(crate) mod parked;
#[cfg(feature = "nud")]
pub(crate) mod table;
#[cfg(not(feature = "nud"))]
#[path = "neighbor/cache.rs"]
pub(crate) mod table;
#[cfg(all(test, feature = "alloc", feature = "nud"))]
mod tests;

#[cfg(not(feature = "nud"))]
pub use table::NeighborSlot;

use crate::device::Mac;
use crate::family::{IpAddr, outside};
use crate::ready::WaitList;
use crate::time::{Duration, Instant};
use core::net::{IpAddr as AnyAddr, Ipv4Addr};

/// RetransTimer (RFC 4861 §10), which is also RFC 1122 §2.3.2.1's limit.
pub(crate) const RETRANS: Duration = Duration::from_secs(1);
/// MAX_MULTICAST_SOLICIT and MAX_UNICAST_SOLICIT (RFC 4861 §10).
const TRIES: u8 = 3;
/// REACHABLE_TIME (RFC 4861 §10).
const REACHABLE_TIME: Duration = Duration::from_secs(30);
/// DELAY_FIRST_PROBE_TIME (RFC 4861 §10).
const DELAY_TIME: Duration = Duration::from_secs(5);
/// After a failure a neighbour is not asked again for as long.
const HOLD_DOWN: Duration = Duration::from_secs(1);
/// A fresh confirmation is not overturned for as long: of two that answer one request, the first counts.
const LOCK_TIME: Duration = Duration::from_secs(1);
/// A failed gateway is passed over for as long while there is another.
const SUSPECT_TIME: Duration = Duration::from_secs(30);
/// When a request that found no frame is tried again.
const NO_FRAME_RETRY: Duration = Duration::from_millis(10);

/// What a router says of neighbours' times (RFC 4861 §6.3.4).
#[cfg(all(feature = "ipv6", feature = "nud"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timers {
    /// ReachableTime, if it has changed.
    pub reachable: Option<Duration>,
    /// RetransTimer.
    pub retrans: Duration,
}

/// How long a neighbour is known, and how long an answer is waited for.
#[cfg(all(feature = "ipv6", feature = "nud"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    reachable: Duration,
    retrans: Duration,
}

#[cfg(all(feature = "ipv6", feature = "nud"))]
impl Times {
    /// Those of RFC 4861 §10, and of ARP.
    const USUAL: Self = Self { reachable: REACHABLE_TIME, retrans: RETRANS };
}

/// How far a neighbour's address is known (RFC 4861 §7.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum NeighborState {
    /// Asked for, not answered yet.
    // One, so that no state is zero.
    Incomplete = 1,
    /// Confirmed within the last 30 seconds.
    Reachable,
    /// Known, but not confirmed lately; not in use.
    Stale,
    /// As stale, in use: about to be probed unless confirmed.
    Delay,
    /// Being probed.
    Probe,
    /// Did not answer.
    Failed,
}

/// A neighbour, as the user sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighborInfo {
    /// The number of the interface it is on.
    pub iface: usize,
    /// Its IP address.
    pub addr: AnyAddr,
    /// Its MAC address, when it is known.
    pub mac: Option<Mac>,
    /// How far it is known.
    pub state: NeighborState,
}

#[cfg(feature = "nud")]
/// One place of a neighbour table's storage.
pub struct NeighborSlot {
    iface: u8,
    addr: IpAddr,
    mac: Mac,
    /// `None`: nobody is here.
    state: Option<NeighborState>,
    tries: u8,
    /// It failed, and has not answered since.
    suspect: bool,
    /// Who used it last.
    demand: Option<Demand>,
    /// When it was last confirmed or, failed, when it failed.
    at: Instant,
    used: Instant,
    requested: Option<Instant>,
    deadline: Option<Instant>,
    /// ReachableTime and RetransTimer on its interface, as of when it was last heard of.
    #[cfg(feature = "ipv6")]
    times: Times,
    next_free: u32,
    /// The scheduler's node, which stays with the place when its neighbour changes.
    pub(crate) node: Option<u32>,
    /// Connections that wait until the neighbour is known.
    pub(crate) waiters: WaitList,
}

/// On whose behalf a neighbour is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demand {
    /// A reply of the stack's own, which any stranger can provoke: echo replies, resets, ICMP errors.
    // One, so that none is zero.
    Reply = 1,
    /// A socket: what it uses, strangers do not push out.
    Socket,
}

/// What a neighbour's timer leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    None,
    /// Ask for it: in broadcast, or the neighbour itself. [`table::Neighbors::not_sent`] when that cannot be.
    Request {
        iface: u8,
        addr: IpAddr,
        unicast: Option<Mac>,
    },
    /// It does not answer. What was parked is dropped; connections that wait may wait on.
    Failed,
}

/// What a neighbour advertisement says of its target (RFC 4861 §4.4).
#[cfg(feature = "ipv6")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Advert {
    pub mac: Option<Mac>,
    /// It answers a solicitation of ours.
    pub solicited: bool,
    /// Its MAC address takes the place of another.
    pub overrides: bool,
}

/// What hearing of a neighbour did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// There is no such entry, and none was made.
    Unknown,
    /// Nothing that waits: the entry is as it was, or refreshed.
    Noted,
    /// It is known now: what is parked and what waits can go.
    Resolved(u32),
}

#[cfg(feature = "nud")]
impl NeighborSlot {
    /// A free place, all zeros: a `static` table lies in `.bss`.
    pub const fn new() -> Self {
        Self {
            iface: 0,
            addr: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            mac: Mac([0; 6]),
            state: None,
            tries: 0,
            suspect: false,
            demand: None,
            at: Instant::ZERO,
            used: Instant::ZERO,
            requested: None,
            deadline: None,
            #[cfg(feature = "ipv6")]
            times: Times { reachable: Duration::ZERO, retrans: Duration::ZERO },
            next_free: 0,
            node: None,
            waiters: WaitList::new(),
        }
    }

    /// When its timer fires.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The interface it is on and its address.
    pub(crate) fn key(&self) -> (u8, IpAddr) {
        (self.iface, self.addr)
    }

    fn is(&self, iface: u8, addr: IpAddr) -> bool {
        self.state.is_some() && self.iface == iface && self.addr == addr
    }

    /// The address to send to, if it is known.
    fn mac(&self) -> Option<Mac> {
        use NeighborState::{Delay, Failed, Incomplete, Probe, Reachable, Stale};
        match self.state? {
            Reachable | Stale | Delay | Probe => Some(self.mac),
            Incomplete | Failed => None,
        }
    }

    /// Takes a free place for a neighbour that is asked for or heard of; its scheduler's node stays.
    fn occupy(&mut self, iface: u8, addr: IpAddr) {
        let node = self.node.take();
        *self = Self { iface, addr, node, waiters: core::mem::take(&mut self.waiters), ..Self::new() };
    }

    /// ReachableTime.
    #[inline]
    const fn reachable(&self) -> Duration {
        #[cfg(feature = "ipv6")]
        return self.times.reachable;
        #[cfg(not(feature = "ipv6"))]
        REACHABLE_TIME
    }

    /// RetransTimer.
    const fn retrans(&self) -> Duration {
        #[cfg(feature = "ipv6")]
        return self.times.retrans;
        #[cfg(not(feature = "ipv6"))]
        RETRANS
    }

    fn on_used(&mut self, now: Instant, demand: Demand) {
        self.used = now;
        if self.demand != Some(Demand::Socket) {
            self.demand = Some(demand);
        }
    }

    /// Where to send, or whether to ask first: `Err(true)` has a request sent at once.
    fn on_lookup(&mut self, now: Instant) -> Result<Mac, bool> {
        use NeighborState::{Delay, Failed, Incomplete, Probe, Reachable, Stale};
        match self.state {
            Some(Reachable) if now.since(self.at) < self.reachable() => Ok(self.mac),
            Some(Reachable | Stale) => {
                self.state = Some(Delay);
                self.deadline = Some(now + DELAY_TIME);
                Ok(self.mac)
            }
            Some(Delay | Probe) => Ok(self.mac),
            Some(Incomplete) => Err(false),
            Some(Failed) if now.since(self.at) < HOLD_DOWN => {
                self.deadline = Some(self.at + HOLD_DOWN);
                Err(false)
            }
            Some(Failed) | None => {
                self.start_asking(now);
                Err(true)
            }
        }
    }

    /// Enters INCOMPLETE, where a request is due at once: the last one is at least a second old, since it has failed.
    fn start_asking(&mut self, now: Instant) {
        self.state = Some(NeighborState::Incomplete);
        self.tries = 0;
        self.on_requested(now);
    }

    //= https://www.rfc-editor.org/rfc/rfc1122#section-2.3.2.1
    //# A mechanism to prevent ARP flooding (repeatedly sending an
    //# ARP Request for the same IP address, at a high rate) MUST be
    //# included.  The recommended maximum rate is 1 per second per
    //# destination.
    fn on_requested(&mut self, now: Instant) {
        self.requested = Some(now);
        self.tries += 1;
        self.deadline = Some(now + self.retrans());
    }

    /// The request found no frame: it does not count.
    fn on_not_sent(&mut self, now: Instant) {
        self.requested = None;
        self.tries = self.tries.saturating_sub(1);
        self.deadline = Some(now + NO_FRAME_RETRY);
    }

    /// The timer; `wanted`: something is parked or waits here.
    fn on_deadline(&mut self, now: Instant, wanted: bool) -> Action {
        use NeighborState::{Delay, Failed, Incomplete, Probe, Reachable, Stale};
        if self.deadline.is_none_or(|at| now < at) {
            return Action::None;
        }
        self.deadline = None;
        match self.state {
            Some(Incomplete | Probe) if self.tries >= TRIES => {
                self.state = Some(Failed);
                self.suspect = true;
                self.at = now;
                self.deadline = wanted.then_some(now + HOLD_DOWN);
                return Action::Failed;
            }
            Some(Incomplete | Probe) => self.on_requested(now),
            Some(Delay) => {
                self.state = Some(Probe);
                self.tries = 0;
                self.on_requested(now);
            }
            Some(Failed) if wanted => self.start_asking(now),
            Some(Reachable | Stale | Failed) | None => return Action::None,
        }
        let unicast = (self.state == Some(Probe)).then_some(self.mac);
        Action::Request { iface: self.iface, addr: self.addr, unicast }
    }

    /// The neighbour's MAC address was heard; `answer`: in an answer to us. Whether it was unknown.
    fn on_heard(&mut self, now: Instant, mac: Mac, answer: bool) -> bool {
        use NeighborState::{Delay, Failed, Incomplete, Probe, Reachable, Stale};
        let asked = matches!(self.state, Some(Incomplete | Probe));
        let confirmed = answer && asked;
        match self.state {
            Some(Reachable) if self.mac != mac && now.since(self.at) < LOCK_TIME => return false,
            // The same address once more says nothing of whether we reach it.
            Some(Reachable | Stale | Delay | Probe) if self.mac == mac && !confirmed => return false,
            Some(_) => {}
            None => return false,
        }
        let resolved = matches!(self.state, Some(Incomplete | Failed));
        self.mac = mac;
        if confirmed {
            self.on_reachable(now);
        } else {
            self.state = Some(Stale);
            self.deadline = None;
        }
        self.suspect = false;
        resolved
    }

    /// A neighbour advertisement for it came; whether its MAC address was unknown.
    //= https://www.rfc-editor.org/rfc/rfc4861#section-7.2.5
    //# If the Override flag is clear and the supplied link-layer address
    //# differs from that in the cache, then one of two actions takes
    //# place:
    #[cfg(feature = "ipv6")]
    fn on_advert(&mut self, now: Instant, advert: Advert) -> bool {
        use NeighborState::{Failed, Incomplete, Reachable, Stale};
        let Advert { mac, solicited, overrides } = advert;
        let other = mac.is_some_and(|mac| mac != self.mac);
        let unknown = matches!(self.state, Some(Incomplete | Failed));
        match self.state {
            None => return false,
            Some(Incomplete | Failed) if mac.is_none() => return false,
            Some(Reachable) if other && !overrides => {
                self.state = Some(Stale);
                return false;
            }
            Some(state) if other && !overrides && !matches!(state, Incomplete | Failed) => return false,
            Some(_) => {}
        }
        self.mac = mac.unwrap_or(self.mac);
        self.suspect = false;
        if solicited {
            self.on_reachable(now);
        } else if other || unknown {
            self.state = Some(Stale);
            self.deadline = None;
        }
        unknown
    }

    /// It is known to receive what we send: it answered, or acknowledged new data.
    fn on_reachable(&mut self, now: Instant) {
        self.state = Some(NeighborState::Reachable);
        self.at = now;
        self.deadline = None;
        self.suspect = false;
    }

    /// Whether a route by way of it should be taken while there is another.
    fn is_usable(&self, now: Instant) -> bool {
        match self.state {
            Some(NeighborState::Incomplete) => !self.suspect,
            Some(NeighborState::Failed) => now.since(self.at) >= SUSPECT_TIME,
            _ => true,
        }
    }

    fn info(&self, now: Instant) -> Option<NeighborInfo> {
        let state = match self.state? {
            NeighborState::Reachable if now.since(self.at) >= self.reachable() => NeighborState::Stale,
            state => state,
        };
        Some(NeighborInfo { iface: usize::from(self.iface), addr: outside(self.addr), mac: self.mac(), state })
    }
}

#[cfg(feature = "nud")]
impl Default for NeighborSlot {
    fn default() -> Self {
        Self::new()
    }
}

//! The responder, without I/O: queries, others' responses and times go in; what is to be sent comes out.
//!
//! Implements RFC 6762 §6 (answers), §7.1, §7.2 and §7.4 (what need not be said), §8 (probing, announcing), §9
//! (conflicts), §10.1 (goodbye).
//!
//! ```text
//!  silent ─ an address ─▶ probing ── three probes, 250 ms of silence ──▶ announcing ── twice ──▶ running
//!                          ▲  │ ▲                                                                  │
//!                          │  └─┤ somebody has the name: another name; simultaneous probe lost: 1 s │
//!                          └────┴─────────────── conflict ◀─────────────────────────────────────────┘
//! ```

use super::identity::{Identity, Set};
use super::message::{CLASS_IN, Data, Message, Question, RESPONSE_FLAGS, Section, TOP_BIT, Writer, kind};
use crate::dns::message::Record;
use crate::dns::name::Name;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use core::cmp::Ordering;
use core::net::SocketAddr;
use heapless::Vec;

/// RFC 6762 §8.1: between probes; the first comes after a random part of it.
const PROBE_WAIT: Duration = Duration::from_millis(250);
const PROBES: u8 = 3;
/// RFC 6762 §8.2: after a simultaneous probe that was lost.
const LOST_WAIT: Duration = Duration::from_secs(1);
/// RFC 6762 §8.3: announcements, and the time between them.
const ANNOUNCEMENTS: u8 = 2;
const ANNOUNCE_WAIT: Duration = Duration::from_secs(1);
/// RFC 6762 §8.1: with as many conflicts in as long, each further attempt waits.
const MANY_CONFLICTS: u8 = 15;
const CONFLICT_WINDOW: Duration = Duration::from_secs(10);
const CONFLICT_WAIT: Duration = Duration::from_secs(5);
/// RFC 6762 §6: answers that others may give as well wait 20 to 120 ms.
const SHARED_WAIT: (u64, u32) = (20_000, 100_000);
/// RFC 6762 §7.2: more known answers are waited for 400 to 500 ms.
const TRUNCATED_WAIT: (u64, u32) = (400_000, 100_000);
/// RFC 6762 §6: a record is multicast once in as long; in defence against a probe, more often.
const MULTICAST_WAIT: Duration = Duration::from_secs(1);
const DEFEND_WAIT: Duration = Duration::from_millis(250);
/// Answers that wait, at most; more are answered together.
const PENDING: usize = 4;
/// Unicast answers in a second, at most: forged sources are not worth more.
const UNICASTS: u8 = 20;
/// RFC 6762 §6.7: what a resolver that knows nothing of all this may keep, in seconds.
const LEGACY_TTL: u32 = 10;
/// When a probe that found no frame is tried again.
const NO_FRAME_RETRY: Duration = Duration::from_millis(50);
/// Records of a probe that are compared with ours.
const COMPARED: usize = 12;

/// Where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Without an address, or told to be.
    Silent,
    Probing {
        sent: u8,
        at: Instant,
    },
    Announcing {
        left: u8,
        at: Instant,
    },
    Running,
}

/// What the names have come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claimed {
    Ours,
    Renamed,
}

/// Something for everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Out {
    Probe,
    /// Records, and those that go with them; or that they are no more.
    Records {
        set: Set,
        additional: Set,
        goodbye: bool,
    },
}

/// An answer for one.
pub(super) struct Unicast {
    set: Set,
    /// Identifier and question of a plain resolver, to be repeated to it.
    legacy: Option<(u16, Question)>,
}

#[derive(Clone, Copy)]
struct Pending {
    set: Set,
    at: Instant,
    /// Whose further known answers count.
    from: Option<SocketAddr>,
    /// Answers a probe.
    defends: bool,
}

pub(super) struct Responder {
    identity: Identity,
    state: State,
    rng: Rng,
    pending: [Option<Pending>; PENDING],
    /// When each kind of record was multicast last.
    told: [Option<Instant>; 8],
    conflicts: (u8, Instant),
    unicasts: (u8, Instant),
    claimed: Option<Claimed>,
    renamed: bool,
}

impl Responder {
    pub fn new(identity: Identity, rng: Rng) -> Self {
        Self {
            identity,
            state: State::Silent,
            rng,
            pending: [None; PENDING],
            told: [None; 8],
            conflicts: (0, Instant::ZERO),
            unicasts: (0, Instant::ZERO),
            claimed: None,
            renamed: false,
        }
    }

    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether the names are ours.
    pub fn is_claimed(&self) -> bool {
        matches!(self.state, State::Announcing { .. } | State::Running)
    }

    /// What has become of the names, once.
    pub fn take_claimed(&mut self) -> Option<Claimed> {
        self.claimed.take()
    }

    /// Tells of our addresses; the link is told when they have changed.
    pub fn set_addresses(&mut self, now: Instant, addresses: impl Iterator<Item = core::net::IpAddr>) {
        if !self.identity.set_addresses(addresses) {
            return;
        }
        match (self.identity.has_addresses(), self.state) {
            (false, _) => self.state = State::Silent,
            (true, State::Silent) => self.probe_again(now, Duration::ZERO),
            // RFC 6762 §8.4.
            (true, State::Announcing { .. } | State::Running) => {
                self.state = State::Announcing { left: ANNOUNCEMENTS, at: now };
            }
            (true, State::Probing { .. }) => {}
        }
    }

    /// The link is back, and may be another one (RFC 6762 §8).
    pub fn on_link_up(&mut self, now: Instant) {
        if self.state != State::Silent {
            self.probe_again(now, Duration::ZERO);
        }
    }

    fn probe_again(&mut self, now: Instant, after: Duration) {
        self.pending = [None; PENDING];
        let random = Duration::from_micros(u64::from(self.rng.below(PROBE_WAIT.as_micros() as u32)));
        self.state = State::Probing { sent: 0, at: now + after + random };
    }

    /// A query has come; what is to be answered to its sender alone.
    pub fn on_query(&mut self, now: Instant, from: SocketAddr, message: &Message<'_>) -> Option<Unicast> {
        if let State::Probing { .. } = self.state {
            self.compare_probe(now, message);
            return None;
        }
        if !self.is_claimed() {
            return None;
        }
        let legacy = from.port() != super::shell::PORT;
        let (mut all, mut unicast, mut first) = (Set::NONE, Set::NONE, None);
        for q in message.questions() {
            let set = self.identity.answers(&q);
            all = all.with(set);
            if q.unicast || legacy {
                unicast = unicast.with(set);
                if !set.is_empty() {
                    first.get_or_insert(q);
                }
            }
        }
        let known = self.known(message);
        if message.questions().next().is_none() {
            // RFC 6762 §7.2: known answers that follow a truncated query.
            for pending in self.pending.iter_mut().flatten().filter(|p| p.from == Some(from)) {
                pending.set = pending.set.without(known);
            }
            return None;
        }
        all = all.without(known);
        unicast = unicast.both(all);
        let defends = message.records().any(|(section, _)| section == Section::Authority);
        if !legacy {
            // RFC 6762 §5.4: what the link has not heard for long, everybody is told.
            unicast = unicast.without(self.stale(now, unicast));
        }
        let multicast = if legacy { Set::NONE } else { all.without(unicast) };
        if !multicast.is_empty() {
            let wait = match (message.is_truncated(), multicast.has(Set::SHARED)) {
                (true, _) => self.random(TRUNCATED_WAIT),
                (false, true) => self.random(SHARED_WAIT),
                (false, false) => Duration::ZERO,
            };
            let from = message.is_truncated().then_some(from);
            self.answer_later(Pending { set: multicast, at: now + wait, from, defends });
        }
        if unicast.is_empty() || !self.may_unicast(now) {
            return None;
        }
        Some(Unicast { set: unicast, legacy: first.filter(|_| legacy).map(|q| (message.id(), q)) })
    }

    /// What of ours a query's sender knows, and will for long enough.
    //= https://www.rfc-editor.org/rfc/rfc6762#section-7.1
    //# A Multicast DNS responder MUST NOT answer a Multicast DNS query if
    //# the answer it would give is already included in the Answer Section
    //# with an RR TTL at least half the correct value.
    fn known(&self, message: &Message<'_>) -> Set {
        let mut counts = [0u8; 8];
        for (section, record) in message.records() {
            if section == Section::Answer && self.is_fresh(message, &record) == Some(true) {
                let number = self.identity.place(&record).map_or(8, |one| one.0.trailing_zeros() as usize);
                if let Some(count) = counts.get_mut(number) {
                    *count = count.saturating_add(1);
                }
            }
        }
        let all = Set(0xff).each();
        let known = all.filter(|(n, one)| counts.get(*n).is_some_and(|c| *c >= self.identity.count(*one).max(1)));
        known.fold(Set::NONE, |set, (_, one)| set.with(one))
    }

    /// Whether a record is one of ours, and half its life or more is left; `None` for others.
    fn is_fresh(&self, message: &Message<'_>, record: &Record<'_>) -> Option<bool> {
        let one = self.identity.place(record)?;
        let ttl = self.identity.same(message, record, one)?;
        Some(record.ttl >= ttl / 2)
    }

    /// What of `set` was not multicast in the last quarter of its life.
    fn stale(&self, now: Instant, set: Set) -> Set {
        let mut stale = Set::NONE;
        for (n, one) in set.each() {
            let mut ttl = 0;
            self.identity.visit(one, |ours| ttl = ours.ttl);
            let told = self.told.get(n).copied().flatten();
            if told.is_none_or(|at| now.since(at) > Duration::from_secs(u64::from(ttl / 4))) {
                stale = stale.with(one);
            }
        }
        stale
    }

    fn answer_later(&mut self, new: Pending) {
        let same = self.pending.iter().position(|p| p.is_some_and(|p| p.from.is_none() && new.from.is_none()));
        let free = self.pending.iter().position(Option::is_none);
        // Where there is no place left, whoever knows more has to wait for less.
        let Some(place) = self.pending.get_mut(same.or(free).unwrap_or(0)) else { return };
        *place = Some(match *place {
            None => new,
            Some(old) => Pending {
                set: old.set.with(new.set),
                at: old.at.min(new.at),
                from: None,
                defends: old.defends || new.defends,
            },
        });
    }

    fn may_unicast(&mut self, now: Instant) -> bool {
        if now.since(self.unicasts.1) >= Duration::from_secs(1) {
            self.unicasts = (0, now);
        }
        self.unicasts.0 = self.unicasts.0.saturating_add(1);
        self.unicasts.0 <= UNICASTS
    }

    /// A response of another host has come.
    pub fn on_response(&mut self, now: Instant, message: &Message<'_>) {
        let mut conflict = Set::NONE;
        for (_, record) in message.records() {
            if record.class & !TOP_BIT != CLASS_IN || record.ttl == 0 {
                continue;
            }
            match self.is_fresh(message, &record) {
                Some(fresh) => self.on_same(now, &record, fresh),
                None => conflict = conflict.with(self.conflicting(&record)),
            }
        }
        if conflict.is_empty() {
            return;
        }
        match self.state {
            State::Probing { .. } => self.give_way(now, conflict),
            //= https://www.rfc-editor.org/rfc/rfc6762#section-9
            //# the host MUST
            //# immediately reset its conflicted unique record to probing state, and
            //# go through the startup steps described above in Section 8,
            //# "Probing and Announcing on Startup".
            State::Announcing { .. } | State::Running => {
                let after = self.count_conflict(now);
                self.probe_again(now, after);
            }
            State::Silent => {}
        }
    }

    /// The unique name that a record of another host's is a conflict for.
    fn conflicting(&self, record: &Record<'_>) -> Set {
        let Some(set) = self.identity.unique_place(&record.owner) else { return Set::NONE };
        let probing = matches!(self.state, State::Probing { .. });
        let counts = match record.kind {
            kind::NSEC => false,
            // Whoever has the name with whatever records has it.
            _ if probing => true,
            _ => self.identity.place(record).is_some(),
        };
        if counts { set } else { Set::NONE }
    }

    /// Another host says what we say: RFC 6762 §7.4, or, when it says that it will not be true for long, §6.6.
    fn on_same(&mut self, now: Instant, record: &Record<'_>, fresh: bool) {
        let Some(one) = self.identity.place(record).filter(|_| self.is_claimed()) else { return };
        if !fresh {
            return self.answer_later(Pending { set: one, at: now, from: None, defends: false });
        }
        if self.identity.count(one) == 1 {
            for pending in self.pending.iter_mut().flatten() {
                pending.set = pending.set.without(one);
            }
        }
    }

    /// Another name, since this one is somebody's.
    fn give_way(&mut self, now: Instant, set: Set) {
        let hosts: Set = Set::A.with(Set::AAAA);
        for part in [set.both(hosts), set.without(hosts)] {
            if !part.is_empty() {
                self.identity.rename(part);
                self.renamed = true;
            }
        }
        let after = self.count_conflict(now);
        self.probe_again(now, after);
    }

    /// How long the next attempt has to wait.
    //= https://www.rfc-editor.org/rfc/rfc6762#section-8.1
    //# If fifteen conflicts occur within any ten-second period, then the
    //# host MUST wait at least five seconds before each successive
    //# additional probe attempt.
    fn count_conflict(&mut self, now: Instant) -> Duration {
        let (count, since) = self.conflicts;
        self.conflicts = match count {
            // Once there were many, the waits go on until a name is kept.
            0..MANY_CONFLICTS if now.since(since) > CONFLICT_WINDOW => (1, now),
            _ => (count.saturating_add(1), since),
        };
        if self.conflicts.0 >= MANY_CONFLICTS { CONFLICT_WAIT } else { Duration::ZERO }
    }

    /// Somebody probes at the same time (RFC 6762 §8.2): whose records come later, keeps the name.
    fn compare_probe(&mut self, now: Instant, message: &Message<'_>) {
        let lost = self.identity.unique_names().any(|(name, set)| self.loses(message, name, set));
        if lost {
            self.state = State::Probing { sent: 0, at: now + LOST_WAIT };
        }
    }

    fn loses(&self, message: &Message<'_>, name: &Name, set: Set) -> bool {
        let mut theirs: Vec<Data<'_>, COMPARED> = Vec::new();
        for (section, record) in message.records() {
            if section == Section::Authority && record.owner == *name && record.class & !TOP_BIT == CLASS_IN {
                let _ = theirs.push(Data::of(&record));
            }
        }
        if theirs.is_empty() {
            return false;
        }
        theirs.sort_unstable_by(|a, b| (a.kind, a.octets).cmp(&(b.kind, b.octets)));
        let (mut rest, mut order) = (theirs.iter(), Ordering::Equal);
        self.identity.visit(set, |ours| {
            if order.is_eq() {
                order = match rest.next() {
                    None => Ordering::Less,
                    Some(data) => {
                        let same = || message.compare(*data, ours.data).unwrap_or(Ordering::Less);
                        data.kind.cmp(&ours.kind).then_with(same)
                    }
                };
            }
        });
        // Of lists with a common beginning, the longer is later.
        order.then(rest.len().cmp(&0)).is_gt()
    }

    /// What is to be multicast at `now`; to be asked until there is nothing more.
    pub fn poll(&mut self, now: Instant) -> Option<Out> {
        match self.state {
            State::Probing { sent, at } if at <= now && sent < PROBES => {
                self.state = State::Probing { sent: sent + 1, at: now + PROBE_WAIT };
                return Some(Out::Probe);
            }
            State::Probing { at, .. } if at <= now => {
                self.claimed = Some(if self.renamed { Claimed::Renamed } else { Claimed::Ours });
                (self.renamed, self.conflicts) = (false, (self.conflicts.0 / 2, self.conflicts.1));
                self.state = State::Announcing { left: ANNOUNCEMENTS, at: now };
            }
            _ => {}
        }
        if let State::Announcing { left, at } = self.state
            && at <= now
        {
            self.state = match left {
                0 | 1 => State::Running,
                _ => State::Announcing { left: left - 1, at: now + ANNOUNCE_WAIT },
            };
            let set = self.identity.existing(Set::ANNOUNCED);
            return Some(self.tell(now, set, Set::NONE));
        }
        while let Some(place) = self.pending.iter_mut().find(|p| p.is_some_and(|p| p.at <= now)) {
            let Pending { set, defends, .. } = place.take()?;
            let wait = if defends { DEFEND_WAIT } else { MULTICAST_WAIT };
            //= https://www.rfc-editor.org/rfc/rfc6762#section-6
            //# To protect the network against excessive packet flooding due to
            //# software bugs or malicious attack, a Multicast DNS responder MUST NOT
            //# (except in the one special case of answering probe queries) multicast
            //# a record on a given interface until at least one second has elapsed
            //# since the last time that record was multicast on that particular
            //# interface.
            let told = |n: usize| self.told.get(n).copied().flatten();
            let recent = set.each().filter(|(n, _)| told(*n).is_some_and(|at| now.since(at) < wait));
            let set = recent.fold(set, |set, (_, one)| set.without(one));
            if !set.is_empty() {
                let additional = self.identity.additional(set);
                return Some(self.tell(now, set, additional));
            }
        }
        None
    }

    /// A probe found no frame: a name that was not asked for is nobody's word. It is sent soon.
    pub fn not_probed(&mut self, now: Instant) {
        if let State::Probing { sent, .. } = self.state {
            self.state = State::Probing { sent: sent.saturating_sub(1), at: now + NO_FRAME_RETRY };
        }
    }

    fn tell(&mut self, now: Instant, set: Set, additional: Set) -> Out {
        for (n, _) in set.each() {
            if let Some(at) = self.told.get_mut(n) {
                *at = Some(now);
            }
        }
        Out::Records { set, additional, goodbye: false }
    }

    /// The last words: nothing of ours is true any more (RFC 6762 §10.1). Nothing is answered from then on.
    pub fn goodbye(&mut self) -> Option<Out> {
        let was_claimed = self.is_claimed();
        self.state = State::Silent;
        self.pending = [None; PENDING];
        let set = self.identity.existing(Set::ANNOUNCED);
        was_claimed.then_some(Out::Records { set, additional: Set::NONE, goodbye: true })
    }

    /// When [`poll`](Self::poll) is to be called.
    pub fn deadline(&self) -> Option<Instant> {
        let state = match self.state {
            State::Probing { at, .. } | State::Announcing { at, .. } => Some(at),
            State::Silent | State::Running => None,
        };
        self.pending.iter().flatten().map(|p| p.at).chain(state).min()
    }

    /// Writes what is for everybody; the octets of the message.
    pub fn write(&self, out: &Out, buf: &mut [u8]) -> usize {
        match *out {
            Out::Probe => self.write_probe(buf),
            Out::Records { set, additional, goodbye } => {
                let mut w = Writer::new(buf, 0, RESPONSE_FLAGS);
                self.identity.visit(set, |ours| {
                    let ttl = if goodbye { 0 } else { ours.ttl };
                    w.record(Section::Answer, ours.owner, (ours.kind, ours.class, ttl), ours.data, ours.target);
                });
                self.identity.visit(additional, |ours| {
                    let fixed = (ours.kind, ours.class, ours.ttl);
                    w.record(Section::Additional, ours.owner, fixed, ours.data, ours.target);
                });
                w.finish()
            }
        }
    }

    fn write_probe(&self, buf: &mut [u8]) -> usize {
        let mut w = Writer::new(buf, 0, 0);
        for (name, _) in self.identity.unique_names() {
            //= https://www.rfc-editor.org/rfc/rfc6762#section-8.1
            //# All probe queries SHOULD be done
            //# using the desired resource record name and class (usually class 1,
            //# "Internet"), and query type "ANY" (255), to elicit answers for all
            //# types of records with that name.
            w.question(name, kind::ANY, CLASS_IN | TOP_BIT);
        }
        for (_, set) in self.identity.unique_names() {
            self.identity.visit(set, |ours| {
                let fixed = (ours.kind, ours.class & !TOP_BIT, ours.ttl);
                w.record(Section::Authority, ours.owner, fixed, ours.data, ours.target);
            });
        }
        w.finish()
    }

    /// Writes what is for one; the octets of the message.
    //= https://www.rfc-editor.org/rfc/rfc6762#section-6.7
    //# In this case, the Multicast DNS responder MUST send a UDP response
    //# directly back to the querier, via unicast, to the query packet's
    //# source IP address and port.  This unicast response MUST be a
    //# conventional unicast response as would be generated by a conventional
    //# Unicast DNS server; for example, it MUST repeat the query ID and the
    //# question given in the query message.
    pub fn write_unicast(&self, unicast: &Unicast, buf: &mut [u8]) -> usize {
        let id = unicast.legacy.as_ref().map_or(0, |(id, _)| *id);
        let mut w = Writer::new(buf, id, RESPONSE_FLAGS);
        if let Some((_, q)) = &unicast.legacy {
            w.question(&q.name, q.kind, q.class);
        }
        let fixed = |kind, class, ttl: u32| match unicast.legacy {
            Some(_) => (kind, class & !TOP_BIT, ttl.min(LEGACY_TTL)),
            None => (kind, class, ttl),
        };
        let additional = self.identity.additional(unicast.set);
        for (section, set) in [(Section::Answer, unicast.set), (Section::Additional, additional)] {
            self.identity.visit(set, |ours| {
                w.record(section, ours.owner, fixed(ours.kind, ours.class, ours.ttl), ours.data, ours.target);
            });
        }
        w.finish()
    }

    fn random(&mut self, (least, more): (u64, u32)) -> Duration {
        Duration::from_micros(least + u64::from(self.rng.below(more)))
    }
}

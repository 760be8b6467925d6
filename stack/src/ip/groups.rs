//! Groups: who wants which sources of which, and when routers are told; for IGMP and MLD alike.
//!
//! Implements the host's side of RFC 9776 (IGMPv3) and RFC 9777 (MLDv2) §3 to §6, with older versions while such a querier
//! lives (§7, §8): IGMPv1 and v2, and MLDv1, which is as IGMPv2 is. All tables are of fixed size.
//!
//! ```text
//!  memberships (sockets, the user, our own addresses)
//!     │ merged: §3.2 ("interface state")
//!     ▼                                  ┌ robustness times within a second ┐
//!  absent ── first wants it ─▶ member    TO_EX, TO_IN, ALLOW, BLOCK ── told ─┘
//!     ▲                           │ query ─▶ IS_IN, IS_EX at a random time
//!     └── told ── last leaves ────┘
//! ```

mod member;

use crate::error::GroupError;
use crate::family::IpAddr;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use crate::wire::membership::{Message, Query, RecordType, Sources, Version};
#[cfg(feature = "ipv6")]
use core::net::Ipv6Addr;
use core::net::{IpAddr as AnyAddr, Ipv4Addr};
use heapless::Vec;
use member::{Answer, Asked, Interest, Member, Membership, Named, Told};

/// Groups that an interface can be joined to, of both families together.
pub const MAX_GROUPS: usize = 8;
/// Who can be in them: the user, and sockets with a source filter, each in each group.
pub const MAX_MEMBERSHIPS: usize = 16;
/// Sources that filters on an interface can name, all together.
pub const MAX_SOURCES: usize = 16;
/// Groups that an interface is in by its own IPv6 addresses, those on trial among them.
const OWN_GROUPS: usize = if cfg!(feature = "ipv6") { 12 } else { 0 };
const MEMBERS: usize = MAX_GROUPS + OWN_GROUPS;
/// Sources that queries ask for at once; of more, all are told of.
const MAX_ASKED: usize = 8;

/// All hosts: everybody is in it, and nobody says so (RFC 9776 §5).
pub(crate) const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
/// The robustness variable, until a querier says another (RFC 9776 §8.1, RFC 9777 §9.1).
const ROBUSTNESS: u8 = 2;
/// RFC 9776 §8.11, RFC 9777 §9.11.
const UNSOLICITED_INTERVAL: Duration = Duration::from_secs(1);
/// RFC 2236 §8.10, RFC 2710 §7.10.
const UNSOLICITED_INTERVAL_OLD: Duration = Duration::from_secs(10);
/// RFC 9776 §8.2, RFC 9777 §9.2.
const QUERY_INTERVAL: Duration = Duration::from_secs(125);
/// RFC 2236 §4: how long a version 1 querier counts.
const V1_PRESENT: Duration = Duration::from_secs(400);
/// When a report that found no frame is tried again.
const NO_FRAME_RETRY: Duration = Duration::from_millis(10);

/// What of a group is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceFilter<'s> {
    /// What these send; with none, nothing: the group is left.
    Include(&'s [AnyAddr]),
    /// What all but these send.
    Exclude(&'s [AnyAddr]),
}

impl SourceFilter<'_> {
    fn sources(&self) -> &[AnyAddr] {
        match self {
            Self::Include(sources) | Self::Exclude(sources) => sources,
        }
    }
}

/// A message that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    place: usize,
    pub group: IpAddr,
    pub what: What,
}

/// What a due message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A report of version 3: a change, or the answer to a query.
    Change,
    Answer,
    /// Of older versions: that we are in the group, with whether by version 1; and that we left it.
    OldReport(Version),
    OldLeave,
    /// Nothing: an older version has no word for it.
    Silence,
}

/// What is known of a family's queriers.
#[derive(Clone, Copy, Debug)]
struct Querier {
    robustness: u8,
    interval: Duration,
    v1_until: Option<Instant>,
    v2_until: Option<Instant>,
}

impl Querier {
    const fn new() -> Self {
        Self { robustness: ROBUSTNESS, interval: QUERY_INTERVAL, v1_until: None, v2_until: None }
    }

    /// The version that is spoken.
    fn version(&self, now: Instant) -> Version {
        let lives = |until: Option<Instant>| until.is_some_and(|at| now < at);
        match (lives(self.v1_until), lives(self.v2_until)) {
            (true, _) => Version::V1,
            (_, true) => Version::V2,
            _ => Version::V3,
        }
    }

    /// RFC 9776 §7.2.1, RFC 9777 §8.2.1: who asks in an older version is answered in it, and everybody else with him.
    fn heard(&mut self, now: Instant, query: &Query<'_>) {
        match query.version {
            Version::V1 => self.v1_until = Some(now + V1_PRESENT),
            Version::V2 => {
                let present = (self.interval * self.robustness.into()).saturating_add(query.max_response);
                self.v2_until = Some(now + present);
            }
            Version::V3 => {}
        }
        self.robustness = query.robustness.unwrap_or(ROBUSTNESS);
        self.interval = query.interval.map_or(QUERY_INTERVAL, |s| Duration::from_secs(s.into()));
    }
}

/// An interface's groups.
#[derive(Clone, Debug)]
pub(crate) struct Groups {
    /// Who wants what.
    memberships: Vec<Membership, MAX_MEMBERSHIPS>,
    /// The sources that memberships name, by their numbers.
    named: Vec<Named, MAX_SOURCES>,
    /// What follows from them, and is told.
    members: [Option<Member>; MEMBERS],
    /// The sources of members, by their places.
    told: Vec<Told, MAX_SOURCES>,
    asked: Vec<Asked, MAX_ASKED>,
    v4: Querier,
    v6: Querier,
}

impl Groups {
    pub const fn new() -> Self {
        Self {
            memberships: Vec::new(),
            named: Vec::new(),
            members: [None; MEMBERS],
            told: Vec::new(),
            asked: Vec::new(),
            v4: Querier::new(),
            v6: Querier::new(),
        }
    }

    const fn querier(&self, group: IpAddr) -> &Querier {
        if group.is_ipv4() { &self.v4 } else { &self.v6 }
    }

    /// The groups that the interface is in, its own addresses' among them.
    pub fn all(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.members
            .iter()
            .enumerate()
            .filter_map(|(place, m)| m.filter(|m| self.is_present(place, m)).map(|m| m.group))
    }

    /// The groups that somebody has joined.
    pub fn joined(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.all().filter(|group| self.memberships.iter().any(|m| m.group == *group))
    }

    /// One more of the users of the interface wants to be in `group`.
    pub fn join(&mut self, now: Instant, group: IpAddr) -> Result<(), GroupError> {
        if let Some(membership) = self.membership_mut(None, group) {
            membership.users = membership.users.saturating_add(1);
            return Ok(());
        }
        self.set_filter(now, None, group, SourceFilter::Exclude(&[]))
    }

    /// One less wants to be in `group`.
    pub fn leave(&mut self, now: Instant, group: IpAddr) -> Result<(), GroupError> {
        let membership = self.membership_mut(None, group).ok_or(GroupError::NotJoined)?;
        membership.users -= 1;
        if membership.users > 0 {
            return Ok(());
        }
        self.set_filter(now, None, group, SourceFilter::Include(&[]))
    }

    /// What `who`, a socket or the users of the interface, wants of `group` from now on. Nothing has changed after an
    /// error.
    pub fn set_filter(
        &mut self,
        now: Instant,
        who: Option<u32>,
        group: IpAddr,
        filter: SourceFilter<'_>,
    ) -> Result<(), GroupError> {
        let is_known = self.memberships.iter().any(|m| m.who == who && m.group == group);
        if !is_known && filter == SourceFilter::Include(&[]) {
            return Ok(());
        }
        let interest = Interest { group, exclude: matches!(filter, SourceFilter::Exclude(_)) };
        let old = (self.memberships.clone(), self.named.clone());
        self.forget(who, group);
        let wanted = interest.exclude || !filter.sources().is_empty();
        let noted = !wanted || self.note(who, interest, filter.sources());
        if noted && self.merge(now, group) {
            return Ok(());
        }
        (self.memberships, self.named) = old;
        Err(GroupError::Full)
    }

    /// A socket is gone, and with it what it wanted.
    pub fn forget_socket(&mut self, now: Instant, socket: u32) -> bool {
        let mut any = false;
        while let Some(group) = self.memberships.iter().find(|m| m.who == Some(socket)).map(|m| m.group) {
            self.forget(Some(socket), group);
            // What is left over is less than there was, but for sources that were not named before.
            if !self.merge(now, group) {
                self.widen(now, group);
            }
            any = true;
        }
        any
    }

    /// Whether `who` wants what `source` sends to `group`; `None` when it never said.
    pub fn wants(&self, who: u32, group: IpAddr, source: IpAddr) -> Option<bool> {
        let membership = self.memberships.iter().find(|m| m.who == Some(who) && m.group == group)?;
        Some(self.named.iter().any(|n| n.by == membership.number && n.source == source) != membership.exclude)
    }

    /// The interface is in exactly these groups by its own addresses.
    #[cfg(feature = "ipv6")]
    pub fn set_own(&mut self, now: Instant, groups: &[Ipv6Addr]) {
        for place in 0..MEMBERS {
            let Some(Some(member)) = self.members.get_mut(place) else { continue };
            let group = member.group;
            let is_wanted = groups.iter().any(|g| IpAddr::V6(*g) == group);
            if member.own && !is_wanted {
                member.own = false;
                self.merge(now, group);
            }
        }
        for group in groups.iter().map(|g| IpAddr::V6(*g)) {
            if self.place(now, group, true).is_some() {
                self.merge(now, group);
            }
        }
    }

    /// A message has come.
    pub fn handle(&mut self, now: Instant, message: &Message<'_>, rng: &mut Rng) {
        match message {
            Message::Query(query) => self.on_query(now, query, rng),
            // RFC 2236 §3, RFC 2710 §4: another's report will do. Version 3 has no such thing.
            Message::Report(group) if self.querier(*group).version(now) != Version::V3 => {
                let place = self.members.iter().position(|m| m.is_some_and(|m| m.group == *group));
                if let Some(place) = place.filter(|&place| self.is_place_present(place)) {
                    self.cancel(place);
                }
            }
            Message::Report(_) | Message::Other => {}
        }
    }

    fn on_query(&mut self, now: Instant, query: &Query<'_>, rng: &mut Rng) {
        let is_v4 = matches!(query.sources, Sources::V4(_));
        let querier = if is_v4 { &mut self.v4 } else { &mut self.v6 };
        let old = querier.version(now);
        querier.heard(now, query);
        if querier.version(now) != old {
            // What was to be told in the other version is not told in this one (RFC 9776 §7.2.1).
            let of_family = |m: &Option<Member>| m.is_some_and(|m| m.group.is_ipv4() == is_v4);
            for place in 0..MEMBERS {
                if self.members.get(place).is_some_and(of_family) {
                    self.cancel(place);
                }
            }
        }
        let within = u32::try_from(query.max_response.as_micros()).unwrap_or(u32::MAX).max(1);
        for place in 0..MEMBERS {
            let Some(member) = self.members.get(place).copied().flatten() else { continue };
            let asked = query.group.map_or(member.group.is_ipv4() == is_v4, |group| group == member.group);
            if asked && self.is_present(place, &member) {
                let at = now + Duration::from_micros(rng.below(within).into());
                self.ask(place, at, query);
            }
        }
    }

    /// A member is to answer a query at `at` (RFC 9776 §5.2): an answer that is due earlier stays, and one about all sources
    /// serves for some.
    fn ask(&mut self, place: usize, at: Instant, query: &Query<'_>) {
        let Some(Some(member)) = self.members.get_mut(place) else { return };
        let mut some = query.sources.len() > 0 && member.answer.is_none_or(|a| a.some);
        let at = member.answer.map_or(at, |old| old.at.min(at));
        for source in (0..query.sources.len()).filter_map(|n| query.sources.nth(n)) {
            let known = self.asked.iter().any(|a| a.place == place && a.source == source);
            some = some && (known || self.asked.push(Asked { place, source }).is_ok());
        }
        if let Some(Some(member)) = self.members.get_mut(place) {
            member.answer = Some(Answer { at, some });
        }
        if !some {
            self.asked.retain(|a| a.place != place);
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        let members = self.members.iter().enumerate().filter_map(|(place, m)| m.map(|m| (place, m)));
        members
            .flat_map(|(place, m)| [self.is_changing(place, &m).then_some(m.change_at), m.answer.map(|a| a.at)])
            .flatten()
            .min()
    }

    /// A message that is due at `now`; [`sent`](Self::sent) takes it off.
    pub fn due(&self, now: Instant) -> Option<Due> {
        let changed = |place, m: &Member| m.change_at <= now && self.is_changing(place, m);
        let (place, member, change) = self.members.iter().enumerate().find_map(|(place, m)| {
            let member = (*m)?;
            let change = changed(place, &member);
            (change || member.answer.is_some_and(|a| a.at <= now)).then_some((place, member, change))
        })?;
        let present = self.is_present(place, &member);
        let what = match (self.querier(member.group).version(now), present) {
            (Version::V3, _) if change => What::Change,
            (Version::V3, _) if member.answer.is_some_and(|a| a.some) && !self.has_answer(place, &member) => {
                What::Silence
            }
            (Version::V3, _) => What::Answer,
            (version, true) => What::OldReport(version),
            (Version::V2, false) => What::OldLeave,
            // Nobody of version 1 leaves aloud.
            (Version::V1, false) => What::Silence,
        };
        Some(Due { place, group: member.group, what })
    }

    /// A due message has been sent, or there was no frame for it.
    pub fn sent(&mut self, now: Instant, due: &Due, sent: bool, rng: &mut Rng) {
        let version = self.querier(due.group).version(now);
        let Some(member) = self.members.get(due.place).copied().flatten() else { return };
        let change = member.change_at <= now && self.is_changing(due.place, &member);
        let present = self.is_present(due.place, &member);
        let Some(Some(member)) = self.members.get_mut(due.place) else { return };
        if !sent {
            let later = now + NO_FRAME_RETRY;
            match &mut member.answer {
                Some(answer) if !change => answer.at = later,
                _ => member.change_at = later,
            }
            return;
        }
        if !change {
            member.answer = None;
            return self.asked.retain(|a| a.place != due.place);
        }
        let once = !present && version != Version::V3;
        let within = if version == Version::V3 { UNSOLICITED_INTERVAL } else { UNSOLICITED_INTERVAL_OLD };
        member.change_at = now + Duration::from_micros(rng.below(within.as_micros() as u32).into());
        member.mode_left = if once { 0 } else { member.mode_left.saturating_sub(1) };
        if once {
            self.nothing_left(due.place);
        } else {
            self.told_once(due.place);
        }
        self.forget_told(due.place);
    }

    /// Routers may know nothing of us: the link is back, or (RFC 9777 §5.2.14) what we said was from nobody.
    pub fn tell_again(&mut self, now: Instant, families: impl Fn(IpAddr) -> bool) {
        for place in 0..MEMBERS {
            let Some(member) = self.members.get(place).copied().flatten().filter(|m| families(m.group)) else {
                continue;
            };
            if !self.is_present(place, &member) {
                continue;
            }
            let robustness = self.querier(member.group).robustness;
            let Some(Some(member)) = self.members.get_mut(place) else { continue };
            member.change_at = now;
            if member.exclude {
                member.mode_left = robustness;
            } else {
                self.told.iter_mut().filter(|t| t.place == place).for_each(|t| t.left = robustness);
            }
        }
    }

    /// The records of a due report.
    pub fn records(
        &self,
        due: &Due,
        mut write: impl FnMut(RecordType, &mut dyn Iterator<Item = IpAddr>) -> Option<()>,
    ) -> Option<()> {
        let member = self.members.get(due.place).copied().flatten()?;
        let of = || self.told.iter().filter(|t| t.place == due.place);
        let mut listed = of().filter(|t| t.listed).map(|t| t.source);
        match (due.what, member.exclude) {
            (What::Change, true) if member.mode_left > 0 => write(RecordType::ToExclude, &mut listed),
            (What::Change, false) if member.mode_left > 0 => write(RecordType::ToInclude, &mut listed),
            (What::Change, exclude) => {
                for (kind, are) in [(RecordType::Allow, !exclude), (RecordType::Block, exclude)] {
                    let changed = || of().filter(|t| t.left > 0 && t.listed == are).map(|t| t.source);
                    if changed().next().is_some() {
                        write(kind, &mut changed())?;
                    }
                }
                Some(())
            }
            _ if member.answer.is_some_and(|a| a.some) => {
                write(RecordType::IsInclude, &mut self.answer(due.place, member.exclude))
            }
            (_, true) => write(RecordType::IsExclude, &mut listed),
            (_, false) => write(RecordType::IsInclude, &mut listed),
        }
    }
}

#[cfg(test)]
mod tests;

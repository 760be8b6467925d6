//! IGMP: which groups an interface is in, and when routers are told.
//!
//! Implements the host's side of RFC 9776 for any-source membership, with versions 1 and 2 while such a querier lives (§7).
//! Sources are not filtered: each membership is for all of them.
//!
//! ```text
//!  join ─▶ TO_EX now, and once more within a second ─▶ member ─ query ─▶ IS_EX at a random time
//!  leave ─▶ TO_IN now, and once more within a second ─▶ gone
//! ```

use crate::rng::Rng;
use crate::time::{Duration, Instant};
use crate::wire::igmp::{Message, RecordType, Version, kind};
use core::net::Ipv4Addr;
use heapless::Vec;

/// Groups an interface can be in.
pub const MAX_GROUPS: usize = 8;
/// All hosts: everybody is in it, and nobody says so (RFC 9776 §5).
pub(crate) const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
/// All routers: version 2 leaves go there.
const ALL_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 2);
/// Routers of version 3: reports go there.
const V3_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 22);
/// The robustness variable, until a querier says another (RFC 9776 §8.1).
const ROBUSTNESS: u8 = 2;
/// RFC 9776 §8.11.
const UNSOLICITED_INTERVAL: Duration = Duration::from_secs(1);
/// RFC 2236 §8.10.
const UNSOLICITED_INTERVAL_OLD: Duration = Duration::from_secs(10);
/// RFC 9776 §8.2.
const QUERY_INTERVAL: Duration = Duration::from_secs(125);
/// RFC 2236 §4: how long a version 1 querier counts.
const V1_PRESENT: Duration = Duration::from_secs(400);
/// When a report that found no frame is tried again.
const NO_FRAME_RETRY: Duration = Duration::from_millis(10);

/// A group that the interface is in, or has just left.
#[derive(Clone, Copy, Debug)]
struct Member {
    group: Ipv4Addr,
    /// How many want to be in it; 0: it was left, and that is still to be said.
    users: u16,
    /// How often the change is still to be told.
    changes: u8,
    change_at: Instant,
    /// When a query is answered.
    answer_at: Option<Instant>,
}

/// A message that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub to: Ipv4Addr,
    pub group: Ipv4Addr,
    pub what: What,
}

/// What a due message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Report(RecordType),
    /// Of an older version: its type.
    Short(u8),
}

/// An interface's groups.
#[derive(Clone, Debug)]
pub(crate) struct Igmp {
    members: Vec<Member, MAX_GROUPS>,
    robustness: u8,
    interval: Duration,
    v1_until: Option<Instant>,
    v2_until: Option<Instant>,
}

impl Igmp {
    pub const fn new() -> Self {
        Self { members: Vec::new(), robustness: ROBUSTNESS, interval: QUERY_INTERVAL, v1_until: None, v2_until: None }
    }

    /// The groups that the interface is in.
    pub fn groups(&self) -> impl Iterator<Item = Ipv4Addr> + '_ {
        self.members.iter().filter(|m| m.users > 0).map(|m| m.group)
    }

    /// One more wants to be in `group`; false without room.
    pub fn join(&mut self, now: Instant, group: Ipv4Addr) -> bool {
        let changes = self.robustness;
        if let Some(member) = self.members.iter_mut().find(|m| m.group == group) {
            if member.users == 0 {
                *member = Member { group, users: 0, changes, change_at: now, answer_at: None };
            }
            member.users = member.users.saturating_add(1);
            return true;
        }
        let member = Member { group, users: 1, changes, change_at: now, answer_at: None };
        self.members.push(member).is_ok() || self.replace_left(member)
    }

    /// A group that was left gives its place, told often enough or not.
    fn replace_left(&mut self, member: Member) -> bool {
        let left = self.members.iter_mut().find(|m| m.users == 0);
        left.map(|place| *place = member).is_some()
    }

    /// One less wants to be in `group`; false when nobody was.
    pub fn leave(&mut self, now: Instant, group: Ipv4Addr) -> bool {
        let changes = self.robustness;
        let Some(member) = self.members.iter_mut().find(|m| m.group == group && m.users > 0) else { return false };
        member.users -= 1;
        if member.users == 0 {
            // Leaving cancels the answer to a query (H119).
            *member = Member { changes, change_at: now, answer_at: None, ..*member };
        }
        true
    }

    /// A message has come.
    pub fn handle(&mut self, now: Instant, message: Message, rng: &mut Rng) {
        match message {
            Message::Query { version, max_response, group, robustness, interval } => {
                self.on_querier(now, version, max_response);
                self.robustness = robustness.unwrap_or(ROBUSTNESS);
                self.interval = interval.map_or(QUERY_INTERVAL, |s| Duration::from_secs(s.into()));
                let within = max_response.saturating_mul(100_000).max(1);
                let asked = |m: &&mut Member| m.users > 0 && group.is_none_or(|g| g == m.group);
                for member in self.members.iter_mut().filter(asked) {
                    let at = now + Duration::from_micros(rng.below(within).into());
                    // RFC 9776 §5.2: an answer that is due earlier stays.
                    member.answer_at = Some(member.answer_at.map_or(at, |old| old.min(at)));
                }
            }
            // RFC 2236 §3: another's report will do. Version 3 has no such thing.
            Message::Report(group) if self.version(now) != Version::V3 => {
                let reported = |m: &&mut Member| m.group == group && m.users > 0;
                for member in self.members.iter_mut().filter(reported) {
                    (member.answer_at, member.changes) = (None, 0);
                }
            }
            Message::Report(_) | Message::Other => {}
        }
    }

    /// RFC 9776 §7.2.1: who asks in an older version is answered in it, and everybody else with him.
    fn on_querier(&mut self, now: Instant, version: Version, max_response: u32) {
        let old = self.version(now);
        match version {
            Version::V1 => self.v1_until = Some(now + V1_PRESENT),
            Version::V2 => {
                let response = Duration::from_millis(u64::from(max_response) * 100);
                self.v2_until = Some(now + (self.interval * self.robustness.into()).saturating_add(response));
            }
            Version::V3 => {}
        }
        if self.version(now) != old {
            for member in &mut self.members {
                (member.answer_at, member.changes) = (None, 0);
            }
            self.forget_left();
        }
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

    pub fn deadline(&self) -> Option<Instant> {
        let of = |m: &Member| [(m.changes > 0).then_some(m.change_at), m.answer_at];
        self.members.iter().flat_map(of).flatten().min()
    }

    /// A message that is due at `now`; [`sent`](Self::sent) takes it off.
    pub fn due(&self, now: Instant) -> Option<Due> {
        let changed = |m: &&Member| m.changes > 0 && m.change_at <= now;
        let version = self.version(now);
        let member = self.members.iter().find(|m| changed(m) || m.answer_at.is_some_and(|at| at <= now))?;
        let (group, left, change) = (member.group, member.users == 0, changed(&member));
        let (to, what) = match version {
            Version::V3 if change && left => (V3_ROUTERS, What::Report(RecordType::ToInclude)),
            Version::V3 if change => (V3_ROUTERS, What::Report(RecordType::ToExclude)),
            Version::V3 => (V3_ROUTERS, What::Report(RecordType::IsExclude)),
            Version::V2 if left => (ALL_ROUTERS, What::Short(kind::V2_LEAVE)),
            Version::V2 => (group, What::Short(kind::V2_REPORT)),
            Version::V1 => (group, What::Short(kind::V1_REPORT)),
        };
        Some(Due { to, group, what })
    }

    /// A due message has been sent, or there was no frame for it.
    pub fn sent(&mut self, now: Instant, due: &Due, sent: bool, rng: &mut Rng) {
        let version = self.version(now);
        let Some(member) = self.members.iter_mut().find(|m| m.group == due.group) else { return };
        let change = member.changes > 0 && member.change_at <= now;
        if !sent {
            let later = now + NO_FRAME_RETRY;
            if change {
                member.change_at = later;
            } else {
                member.answer_at = Some(later);
            }
            return;
        }
        if !change {
            member.answer_at = None;
            return;
        }
        let once = member.users == 0 && version != Version::V3;
        member.changes = if once { 0 } else { member.changes - 1 };
        let within = if version == Version::V3 { UNSOLICITED_INTERVAL } else { UNSOLICITED_INTERVAL_OLD };
        member.change_at = now + Duration::from_micros(rng.below(within.as_micros() as u32).into());
        self.forget_left();
    }

    /// Whether the message need not be sent: nobody of version 1 leaves aloud.
    pub fn is_silent(&self, now: Instant, due: &Due) -> bool {
        let left = self.members.iter().any(|m| m.group == due.group && m.users == 0);
        left && self.version(now) == Version::V1
    }

    /// The link is back: routers there may know nothing of us.
    pub fn tell_again(&mut self, now: Instant) {
        for member in self.members.iter_mut().filter(|m| m.users > 0) {
            (member.changes, member.change_at) = (self.robustness, now);
        }
    }

    fn forget_left(&mut self) {
        self.members.retain(|m| m.users > 0 || m.changes > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Secret};
    extern crate std;
    use std::vec::Vec as StdVec;

    const G: Ipv4Addr = Ipv4Addr::new(239, 0, 0, 1);
    const G2: Ipv4Addr = Ipv4Addr::new(239, 0, 0, 2);

    struct World {
        igmp: Igmp,
        rng: Rng,
        now: Instant,
    }

    impl World {
        fn new() -> Self {
            let rng = Rng::new(&Secret::new([5; 16]), Purpose::Jitter);
            Self { igmp: Igmp::new(), rng, now: Instant::from_secs(1000) }
        }

        /// What is sent within this time, and after how many milliseconds.
        fn pass(&mut self, secs: u64) -> StdVec<(u64, Ipv4Addr, Ipv4Addr, What)> {
            let (begin, end) = (self.now, self.now + Duration::from_secs(secs));
            let mut all = StdVec::new();
            while let Some(at) = self.igmp.deadline().filter(|at| *at <= end) {
                self.now = self.now.max(at);
                while let Some(due) = self.igmp.due(self.now) {
                    if !self.igmp.is_silent(self.now, &due) {
                        all.push((self.now.since(begin).as_millis(), due.to, due.group, due.what));
                    }
                    self.igmp.sent(self.now, &due, true, &mut self.rng);
                }
            }
            self.now = end;
            all
        }

        fn query(&mut self, version: Version, max_response: u32, group: Option<Ipv4Addr>) {
            let message = Message::Query { version, max_response, group, robustness: None, interval: None };
            self.igmp.handle(self.now, message, &mut self.rng);
        }
    }

    fn whats(sent: &[(u64, Ipv4Addr, Ipv4Addr, What)]) -> StdVec<(Ipv4Addr, What)> {
        sent.iter().map(|s| (s.1, s.3)).collect()
    }

    /// H117, H118: each change twice.
    #[test]
    fn joining_and_leaving_are_told_twice_within_a_second() {
        let mut w = World::new();
        assert!(w.igmp.join(w.now, G) && w.igmp.join(w.now, G));
        let joined = w.pass(60);
        let report = |r| (V3_ROUTERS, What::Report(r));
        assert_eq!(whats(&joined), [report(RecordType::ToExclude); 2]);
        assert!(joined[0].0 == 0 && joined[1].0 <= 1000);
        assert!(w.igmp.leave(w.now, G));
        assert_eq!(w.pass(60), [], "another is still in it");
        assert!(w.igmp.leave(w.now, G) && !w.igmp.leave(w.now, G));
        assert_eq!(w.igmp.groups().count(), 0);
        assert_eq!(whats(&w.pass(60)), [report(RecordType::ToInclude); 2]);
        assert!(w.igmp.members.is_empty());
    }

    /// H119.
    #[test]
    fn a_query_is_answered_by_each_group_at_a_time_of_its_own() {
        let mut w = World::new();
        w.igmp.join(w.now, G);
        w.igmp.join(w.now, G2);
        w.pass(10);
        w.query(Version::V3, 100, None);
        w.query(Version::V3, 10, Some(G));
        let answers = w.pass(60);
        assert!(answers.iter().all(|a| a.0 <= 10_000 && a.3 == What::Report(RecordType::IsExclude)), "{answers:?}");
        let of = |g| answers.iter().filter(|a| a.2 == g).map(|a| a.0).collect::<StdVec<_>>();
        assert!(of(G).len() == 1 && of(G)[0] <= 1000 && of(G2).len() == 1 && of(G) != of(G2), "{answers:?}");
        w.query(Version::V3, 100, None);
        w.igmp.leave(w.now, G);
        assert!(w.pass(60).iter().all(|a| a.2 == G2 || a.3 == What::Report(RecordType::ToInclude)));
    }

    /// H120.
    #[test]
    fn queriers_of_older_versions_are_spoken_to_in_theirs_while_they_live() {
        let mut w = World::new();
        w.query(Version::V2, 100, None);
        w.igmp.join(w.now, G);
        assert_eq!(whats(&w.pass(20)), [(G, What::Short(kind::V2_REPORT)); 2]);
        w.query(Version::V2, 100, None);
        // Another one reports.
        w.igmp.handle(w.now, Message::Report(G), &mut w.rng);
        assert_eq!(w.pass(20), []);
        w.igmp.leave(w.now, G);
        assert_eq!(whats(&w.pass(20)), [(ALL_ROUTERS, What::Short(kind::V2_LEAVE))]);
        w.query(Version::V1, 100, None);
        w.igmp.join(w.now, G);
        assert_eq!(whats(&w.pass(20)), [(G, What::Short(kind::V1_REPORT)); 2]);
        w.igmp.leave(w.now, G);
        assert_eq!(w.pass(20), [], "nobody leaves aloud in version 1");
        assert!(w.igmp.members.is_empty());
        w.pass(400);
        w.igmp.join(w.now, G);
        assert_eq!(w.pass(20)[0].3, What::Report(RecordType::ToExclude));
    }

    /// H121, the table; H118, no frame.
    #[test]
    fn a_full_table_refuses_and_what_finds_no_frame_is_told_later() {
        let mut w = World::new();
        for n in 0..MAX_GROUPS as u8 {
            assert!(w.igmp.join(w.now, Ipv4Addr::new(239, 0, 0, n)));
        }
        assert!(!w.igmp.join(w.now, Ipv4Addr::new(239, 0, 1, 0)));
        for _ in 0..5 {
            let due = w.igmp.due(w.now).expect("due");
            w.igmp.sent(w.now, &due, false, &mut w.rng);
        }
        assert_eq!(w.pass(10).len(), 2 * MAX_GROUPS);
        assert!(w.igmp.leave(w.now, G));
        assert!(w.igmp.join(w.now, Ipv4Addr::new(239, 0, 1, 0)), "a place that was left");
        w.pass(10);
        w.igmp.tell_again(w.now);
        assert_eq!(w.pass(10).len(), 2 * MAX_GROUPS);
    }
}

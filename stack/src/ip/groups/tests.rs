//! The group machine of both families, time being virtual and every message lost nowhere.

use super::*;
use crate::rng::{Purpose, Secret};
use crate::wire::membership::Sources;
extern crate std;
use std::vec::Vec as StdVec;

const G4: IpAddr = IpAddr::V4(Ipv4Addr::new(239, 0, 0, 1));
const OTHER4: IpAddr = IpAddr::V4(Ipv4Addr::new(239, 0, 0, 2));
const G6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 1));
const OTHER6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 2));
const FAMILIES: [(IpAddr, IpAddr); 2] = [(G4, OTHER4), (G6, OTHER6)];

/// A source of a group's family.
fn source(group: IpAddr, n: u8) -> IpAddr {
    match group {
        IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, n).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n.into()).into(),
    }
}

type Record = (RecordType, StdVec<IpAddr>);

/// What was said: after how many milliseconds, of which group, and the records of a report.
#[derive(Clone, Debug, PartialEq)]
struct Said {
    after: u64,
    group: IpAddr,
    what: What,
    records: StdVec<Record>,
}

struct World {
    groups: Groups,
    rng: Rng,
    now: Instant,
}

impl World {
    fn new() -> Self {
        let rng = Rng::new(&Secret::new([5; 16]), Purpose::Jitter);
        Self { groups: Groups::new(), rng, now: Instant::from_secs(1000) }
    }

    fn pass(&mut self, secs: u64) -> StdVec<Said> {
        let (begin, end) = (self.now, self.now + Duration::from_secs(secs));
        let mut all = StdVec::new();
        while let Some(at) = self.groups.deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            let Some(due) = self.groups.due(self.now) else { panic!("a deadline at which nothing is due") };
            let mut records = StdVec::new();
            let written = self.groups.records(&due, |kind, sources| {
                let mut sources: StdVec<_> = sources.collect();
                sources.sort_unstable();
                records.push((kind, sources));
                Some(())
            });
            assert!(written.is_some());
            if due.what != What::Silence {
                let is_report = matches!(due.what, What::Change | What::Answer);
                let records = if is_report { records } else { StdVec::new() };
                all.push(Said { after: self.now.since(begin).as_millis(), group: due.group, what: due.what, records });
            }
            self.groups.sent(self.now, &due, true, &mut self.rng);
        }
        self.now = end;
        all
    }

    fn query(&mut self, version: Version, secs: u64, about: IpAddr, group: Option<IpAddr>) {
        let sources = if about.is_ipv4() { Sources::V4(&[]) } else { Sources::V6(&[]) };
        self.ask(version, secs, group, sources);
    }

    fn ask(&mut self, version: Version, secs: u64, group: Option<IpAddr>, sources: Sources<'_>) {
        let max_response = Duration::from_secs(secs);
        let query = Query { version, max_response, group, sources, robustness: None, interval: None };
        self.groups.handle(self.now, &Message::Query(query), &mut self.rng);
    }

    /// A socket's filter changes; the records that are told of it, each report twice within a second.
    fn filter(&mut self, who: u32, group: IpAddr, filter: SourceFilter<'_>) -> StdVec<Record> {
        self.groups.set_filter(self.now, Some(who), group, filter).expect("room");
        let said = self.pass(60);
        match &said[..] {
            [] => StdVec::new(),
            [first, second] => {
                assert!(first.after == 0 && second.after <= 1000 && first.records == second.records, "{said:?}");
                assert!(said.iter().all(|s| s.group == group && s.what == What::Change), "{said:?}");
                first.records.clone()
            }
            _ => panic!("told twice or not at all: {said:?}"),
        }
    }
}

fn whats(said: &[Said]) -> StdVec<(IpAddr, What)> {
    said.iter().map(|s| (s.group, s.what)).collect()
}

/// H117, H118: each change twice.
#[test]
fn joining_and_leaving_are_told_twice_within_a_second() {
    for (group, _) in FAMILIES {
        let mut w = World::new();
        assert!(w.groups.join(w.now, group).is_ok() && w.groups.join(w.now, group).is_ok());
        let joined = w.pass(60);
        assert_eq!(joined.len(), 2, "{joined:?}");
        assert!(joined.iter().all(|s| s.records == [(RecordType::ToExclude, StdVec::new())]), "{joined:?}");
        assert!(joined[0].after == 0 && joined[1].after <= 1000);
        assert!(w.groups.leave(w.now, group).is_ok());
        assert_eq!(w.pass(60), [], "another is still in it");
        assert!(w.groups.leave(w.now, group).is_ok());
        assert_eq!(w.groups.leave(w.now, group), Err(GroupError::NotJoined));
        assert_eq!(w.groups.all().count(), 0);
        let left = w.pass(60);
        assert_eq!(left.len(), 2);
        assert!(left.iter().all(|s| s.records == [(RecordType::ToInclude, StdVec::new())]), "{left:?}");
        assert!(w.groups.members.iter().all(Option::is_none));
    }
}

/// H119.
#[test]
fn a_query_is_answered_by_each_group_at_a_time_of_its_own() {
    for (group, other) in FAMILIES {
        let mut w = World::new();
        w.groups.join(w.now, group).expect("room");
        w.groups.join(w.now, other).expect("room");
        w.pass(10);
        w.query(Version::V3, 10, group, None);
        w.query(Version::V3, 1, group, Some(group));
        let answers = w.pass(60);
        let is_exclude = |s: &Said| s.what == What::Answer && s.records == [(RecordType::IsExclude, StdVec::new())];
        assert!(answers.iter().all(|s| s.after <= 10_000 && is_exclude(s)), "{answers:?}");
        let of = |g| answers.iter().filter(|s| s.group == g).map(|s| s.after).collect::<StdVec<_>>();
        assert!(of(group).len() == 1 && of(group)[0] <= 1000 && of(other).len() == 1, "{answers:?}");
        assert_ne!(of(group), of(other));
        w.query(Version::V3, 10, group, None);
        w.groups.leave(w.now, group).expect("joined");
        assert!(w.pass(60).iter().all(|s| s.group == other || s.what == What::Change), "leaving cancels the answer");
    }
}

#[test]
fn a_query_of_one_family_is_not_answered_by_the_other() {
    for (group, other) in [(G4, G6), (G6, G4)] {
        let mut w = World::new();
        w.groups.join(w.now, group).expect("room");
        w.groups.join(w.now, other).expect("room");
        w.pass(10);
        w.query(Version::V2, 10, group, None);
        let said = w.pass(20);
        assert_eq!(whats(&said), [(group, What::OldReport(Version::V2))]);
        w.query(Version::V3, 10, other, None);
        assert_eq!(whats(&w.pass(20)), [(other, What::Answer)]);
    }
}

/// H120.
#[test]
fn queriers_of_older_versions_are_spoken_to_in_theirs_while_they_live() {
    for (group, _) in FAMILIES {
        let mut w = World::new();
        w.query(Version::V2, 10, group, None);
        w.groups.join(w.now, group).expect("room");
        assert_eq!(whats(&w.pass(20)), [(group, What::OldReport(Version::V2)); 2]);
        w.query(Version::V2, 10, group, None);
        // Another one reports.
        w.groups.handle(w.now, &Message::Report(group), &mut w.rng);
        assert_eq!(w.pass(20), []);
        w.groups.leave(w.now, group).expect("joined");
        assert_eq!(whats(&w.pass(20)), [(group, What::OldLeave)]);
        // 2 x 125 s, and 10 s: from then on it is version 3 again.
        w.pass(230);
        w.groups.join(w.now, group).expect("room");
        assert_eq!(whats(&w.pass(20)), [(group, What::Change); 2]);
    }
    let mut w = World::new();
    w.query(Version::V1, 10, G4, None);
    w.groups.join(w.now, G4).expect("room");
    assert_eq!(whats(&w.pass(20)), [(G4, What::OldReport(Version::V1)); 2]);
    w.groups.leave(w.now, G4).expect("joined");
    assert_eq!(w.pass(20), [], "nobody leaves aloud in version 1");
    assert!(w.groups.members.iter().all(Option::is_none));
    w.pass(400);
    w.groups.join(w.now, G4).expect("room");
    assert_eq!(whats(&w.pass(20)), [(G4, What::Change); 2]);
}

/// H121, the table; H118, no frame.
#[test]
fn a_full_table_refuses_and_what_finds_no_frame_is_told_later() {
    let mut w = World::new();
    let nth = |n: usize| match n % 2 {
        0 => IpAddr::V4(Ipv4Addr::new(239, 0, 0, n as u8)),
        _ => IpAddr::V6(Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 1, n as u16)),
    };
    for n in 0..MAX_GROUPS {
        w.groups.join(w.now, nth(n)).expect("room");
    }
    assert_eq!(w.groups.join(w.now, nth(MAX_GROUPS)), Err(GroupError::Full));
    assert_eq!(w.groups.joined().count(), MAX_GROUPS);
    for _ in 0..5 {
        let due = w.groups.due(w.now).expect("due");
        w.groups.sent(w.now, &due, false, &mut w.rng);
    }
    assert_eq!(w.pass(10).len(), 2 * MAX_GROUPS);
    w.groups.leave(w.now, nth(1)).expect("joined");
    w.groups.join(w.now, nth(MAX_GROUPS)).expect("a place that was left");
    w.pass(10);
    w.groups.tell_again(w.now, |_| true);
    assert_eq!(w.pass(10).len(), 2 * MAX_GROUPS);
}

/// RFC 9776 §5.1, the table; and §3.2, what two sockets come to.
#[test]
fn changes_of_sources_are_told_as_what_they_change() {
    use RecordType::{Allow, Block, ToExclude, ToInclude};
    use SourceFilter::{Exclude, Include};
    for (group, _) in FAMILIES {
        let mut w = World::new();
        let [a, b, c] = [1, 2, 3].map(|n| source(group, n));
        let is = |kind, sources: &[IpAddr]| StdVec::from([(kind, sources.to_vec())]);
        assert_eq!(w.filter(1, group, Include(&[a, b])), is(Allow, &[a, b]));
        assert_eq!(w.filter(1, group, Include(&[b, c])), [(Allow, [c].to_vec()), (Block, [a].to_vec())]);
        assert_eq!(w.filter(2, group, Include(&[b])), [], "nothing new");
        assert_eq!(w.filter(2, group, Exclude(&[a, b])), is(ToExclude, &[a]), "the first wants b");
        assert_eq!(w.filter(1, group, Exclude(&[a, c])), [], "what both exclude is a");
        assert_eq!(w.filter(2, group, Exclude(&[a, c])), is(Block, &[c]));
        assert_eq!(w.filter(2, group, Exclude(&[])), is(Allow, &[a, c]));
        assert_eq!(w.filter(1, group, Include(&[c])), []);
        assert_eq!(w.filter(2, group, Include(&[])), is(ToInclude, &[c]));
        assert_eq!(w.groups.wants(1, group, c), Some(true));
        assert_eq!(w.groups.wants(1, group, a), Some(false));
        assert_eq!(w.groups.wants(2, group, c), None);
        assert!(w.groups.forget_socket(w.now, 1));
        let said = w.pass(60);
        assert!(said.len() == 2 && said.iter().all(|s| s.records == is(Block, &[c])), "{said:?}");
        assert!(w.groups.members.iter().all(Option::is_none) && w.groups.told.is_empty());
        assert!(w.groups.memberships.is_empty() && w.groups.named.is_empty());
    }
}

/// RFC 9776 §5.1: each change is told robustness times, whatever changes after it.
#[test]
fn a_change_that_comes_before_another_was_told_joins_it() {
    use SourceFilter::{Exclude, Include};
    for (group, _) in FAMILIES {
        let mut w = World::new();
        let [a, b] = [1, 2].map(|n| source(group, n));
        w.groups.set_filter(w.now, Some(1), group, Include(&[a])).expect("room");
        let due = w.groups.due(w.now).expect("due");
        w.groups.sent(w.now, &due, true, &mut w.rng);
        w.groups.set_filter(w.now, Some(1), group, Include(&[b])).expect("room");
        let said = w.pass(60);
        let both = [(RecordType::Allow, StdVec::from([b])), (RecordType::Block, StdVec::from([a]))];
        assert!(said.len() == 2 && said.iter().all(|s| s.records == both), "{said:?}");
        // A change of mode has the whole list, and what changes meanwhile is told for as long as it should.
        w.groups.set_filter(w.now, Some(1), group, Exclude(&[a])).expect("room");
        let due = w.groups.due(w.now).expect("due");
        w.groups.sent(w.now, &due, true, &mut w.rng);
        w.groups.set_filter(w.now, Some(1), group, Exclude(&[a, b])).expect("room");
        let records: StdVec<_> = w.pass(60).into_iter().flat_map(|s| s.records).collect();
        assert_eq!(records, [(RecordType::ToExclude, StdVec::from([a, b])), (RecordType::Block, StdVec::from([b]))]);
    }
}

/// RFC 9776 §5.2, the table of answers.
#[test]
fn a_query_for_sources_is_answered_for_those_that_are_wanted() {
    use SourceFilter::{Exclude, Include};
    for (group, _) in FAMILIES {
        let mut w = World::new();
        let [a, b, c] = [1, 2, 3].map(|n| source(group, n));
        let octets = |ip| match ip {
            IpAddr::V4(ip) => (ip.octets(), [0; 16]),
            IpAddr::V6(ip) => ([0; 4], ip.octets()),
        };
        let four = [b, c].map(|ip| octets(ip).0);
        let six = [b, c].map(|ip| octets(ip).1);
        let asked = if group.is_ipv4() { Sources::V4(&four) } else { Sources::V6(&six) };
        let answer = |w: &mut World| w.pass(60).into_iter().flat_map(|s| s.records).collect::<StdVec<_>>();
        w.filter(1, group, Include(&[a, b]));
        w.ask(Version::V3, 10, Some(group), asked);
        assert_eq!(answer(&mut w), [(RecordType::IsInclude, StdVec::from([b]))]);
        w.filter(1, group, Exclude(&[a, b]));
        w.ask(Version::V3, 10, Some(group), asked);
        assert_eq!(answer(&mut w), [(RecordType::IsInclude, StdVec::from([c]))]);
        w.filter(1, group, Include(&[a]));
        w.ask(Version::V3, 10, Some(group), asked);
        assert_eq!(answer(&mut w), [], "none of them is wanted");
        // A question about all sources has a whole answer, whichever came first.
        for sources_first in [true, false] {
            for is_sources in [sources_first, !sources_first] {
                match is_sources {
                    true => w.ask(Version::V3, 10, Some(group), asked),
                    false => w.query(Version::V3, 10, group, Some(group)),
                }
            }
            assert_eq!(answer(&mut w), [(RecordType::IsInclude, StdVec::from([a]))]);
            assert!(w.groups.asked.is_empty());
        }
        // More sources than can be kept: all are told of.
        let many: StdVec<[u8; 4]> = (0..20).map(|n| [10, 0, 0, n]).collect();
        let many6: StdVec<[u8; 16]> = (0..20).map(|n| [n; 16]).collect();
        let sources = if group.is_ipv4() { Sources::V4(&many) } else { Sources::V6(&many6) };
        w.ask(Version::V3, 10, Some(group), sources);
        assert_eq!(answer(&mut w), [(RecordType::IsInclude, StdVec::from([a]))]);
    }
}

/// H121: filters are bounded, refused whole, and what is refused changes nothing.
#[test]
fn sources_beyond_the_table_are_refused_and_room_comes_back() {
    use SourceFilter::{Exclude, Include};
    for (group, other) in FAMILIES {
        let mut w = World::new();
        let all: StdVec<_> = (1..=MAX_SOURCES as u8).map(|n| source(group, n)).collect();
        let one_more = source(group, 200);
        w.filter(1, group, Include(&all));
        for filter in [Include(&[one_more]), Exclude(&[one_more])] {
            assert_eq!(w.groups.set_filter(w.now, Some(2), other, filter), Err(GroupError::Full));
        }
        assert_eq!(w.groups.wants(2, other, one_more), None);
        assert_eq!(w.pass(60), []);
        assert_eq!(w.groups.all().collect::<StdVec<_>>(), [group]);
        // What is being told as gone gives way to what is wanted.
        w.groups.set_filter(w.now, Some(1), group, Include(&[])).expect("left");
        w.groups.set_filter(w.now, Some(2), other, Include(&all)).expect("room");
        assert_eq!(w.groups.all().collect::<StdVec<_>>(), [other]);
        w.pass(60);
        for who in 3..=MAX_MEMBERSHIPS as u32 + 1 {
            w.groups.set_filter(w.now, Some(who), other, Exclude(&[])).expect("room");
        }
        assert_eq!(w.groups.set_filter(w.now, Some(99), other, Exclude(&[])), Err(GroupError::Full));
        for who in 2..=MAX_MEMBERSHIPS as u32 + 1 {
            w.groups.forget_socket(w.now, who);
        }
        w.pass(60);
        assert!(w.groups.members.iter().all(Option::is_none) && w.groups.told.is_empty() && w.groups.named.is_empty());
    }
}

/// H121: the groups of our own addresses, which others may want too.
#[test]
fn own_groups_come_and_go_with_addresses_and_stay_for_who_joined_them() {
    let mut w = World::new();
    let [a, b] = [1, 2].map(|n| Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, n));
    w.groups.set_own(w.now, &[a, b]);
    assert_eq!(w.pass(60).len(), 4);
    w.groups.set_own(w.now, &[a, b]);
    assert_eq!(w.pass(60), []);
    assert_eq!(w.groups.joined().count(), 0);
    w.groups.join(w.now, a.into()).expect("room");
    assert_eq!(w.pass(60), [], "it is in it already");
    w.groups.set_own(w.now, &[]);
    let said = w.pass(60);
    assert!(said.len() == 2 && said.iter().all(|s| s.group == IpAddr::V6(b)), "{said:?}");
    assert_eq!(w.groups.all().collect::<StdVec<_>>(), [IpAddr::V6(a)]);
    w.groups.leave(w.now, a.into()).expect("joined");
    assert_eq!(w.pass(60).len(), 2);
    assert!(w.groups.members.iter().all(Option::is_none));
}

/// Whatever comes and is asked, tables stay consistent and time goes on.
#[test]
fn random_filters_and_queries_end_with_empty_tables() {
    let mut w = World::new();
    let mut rng = Rng::new(&Secret::new([9; 16]), Purpose::Jitter);
    for _ in 0..20_000 {
        let (group, other) = FAMILIES[rng.below(2) as usize];
        let group = if rng.below(2) == 0 { group } else { other };
        let sources: StdVec<_> = (0..rng.below(6)).map(|_| source(group, rng.below(12) as u8)).collect();
        let who = rng.below(5);
        match rng.below(8) {
            0 => _ = w.groups.join(w.now, group),
            1 => _ = w.groups.leave(w.now, group),
            2 => _ = w.groups.set_filter(w.now, Some(who), group, SourceFilter::Include(&sources)),
            3 => _ = w.groups.set_filter(w.now, Some(who), group, SourceFilter::Exclude(&sources)),
            4 => _ = w.groups.forget_socket(w.now, who),
            5 => {
                let version = [Version::V1, Version::V2, Version::V3][rng.below(3) as usize];
                let version = if group.is_ipv6() { version.max(Version::V2) } else { version };
                w.query(version, 1, group, (rng.below(2) == 0).then_some(group));
            }
            6 => w.groups.handle(w.now, &Message::Report(group), &mut rng),
            _ => _ = w.pass(rng.below(4).into()),
        }
        // What members say is what memberships come to.
        for g in [G4, OTHER4, G6, OTHER6] {
            let wanted = w.groups.memberships.iter().any(|m| m.group == g);
            assert_eq!(w.groups.all().any(|a| a == g), wanted, "{g}");
        }
    }
    for who in 0..5 {
        w.groups.forget_socket(w.now, who);
    }
    for g in [G4, OTHER4, G6, OTHER6] {
        while w.groups.leave(w.now, g).is_ok() {}
    }
    w.pass(60);
    assert!(w.groups.members.iter().all(Option::is_none) && w.groups.told.is_empty() && w.groups.asked.is_empty());
}

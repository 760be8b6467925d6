//! The tables behind an interface's groups: who wants what, what follows from it, and what of it is still to be told.

use super::{Groups, MAX_GROUPS, MAX_SOURCES, MEMBERS};
use crate::family::{IpAddr, inside};
use crate::time::Instant;
use core::net::IpAddr as AnyAddr;
use heapless::Vec;

/// What somebody wants of a group, its sources apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interest {
    pub group: IpAddr,
    /// The sources are those that are not wanted.
    pub exclude: bool,
}

/// What somebody wants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Membership {
    /// A UDP socket; `None`: the users of the interface.
    pub who: Option<u32>,
    pub group: IpAddr,
    pub exclude: bool,
    /// How many of them.
    pub users: u16,
    /// What its sources are found by.
    pub number: u8,
}

/// A source that a membership names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named {
    pub by: u8,
    pub source: IpAddr,
}

/// A group that the interface is in, or has just left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub group: IpAddr,
    /// An address of ours wants it.
    pub own: bool,
    pub exclude: bool,
    /// How often the change of what `exclude` says is still to be told.
    pub mode_left: u8,
    pub change_at: Instant,
    /// When a query is answered.
    pub answer: Option<Answer>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub at: Instant,
    /// About the sources that were asked for, not all.
    pub some: bool,
}

/// A source of a member.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub place: usize,
    pub source: IpAddr,
    /// It is in the member's list; if not, it was.
    pub listed: bool,
    /// How often that is still to be told.
    pub left: u8,
}

/// A source that a query asked a member for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub place: usize,
    pub source: IpAddr,
}

impl Groups {
    pub(super) fn membership_mut(&mut self, who: Option<u32>, group: IpAddr) -> Option<&mut Membership> {
        self.memberships.iter_mut().find(|m| m.who == who && m.group == group)
    }

    /// Writes down what somebody wants; false without room.
    pub(super) fn note(&mut self, who: Option<u32>, interest: Interest, sources: &[AnyAddr]) -> bool {
        let Interest { group, exclude } = interest;
        let is_new = !self.memberships.iter().any(|m| m.group == group);
        let groups = self
            .memberships
            .iter()
            .enumerate()
            .filter(|(at, m)| self.memberships.iter().take(*at).all(|before| before.group != m.group));
        if is_new && groups.count() >= MAX_GROUPS {
            return false;
        }
        let number = (0..=u8::MAX).find(|n| self.memberships.iter().all(|m| m.number != *n)).unwrap_or(0);
        if self.memberships.push(Membership { who, group, exclude, users: 1, number }).is_err() {
            return false;
        }
        // Those of a family that is not built were refused before.
        sources.iter().filter_map(|source| inside(*source)).all(|source| {
            let known = self.named.iter().any(|n| n.by == number && n.source == source);
            known || self.named.push(Named { by: number, source }).is_ok()
        })
    }

    /// Crosses out what somebody wanted.
    pub(super) fn forget(&mut self, who: Option<u32>, group: IpAddr) {
        if let Some(at) = self.memberships.iter().position(|m| m.who == who && m.group == group) {
            let number = self.memberships.remove(at).number;
            self.named.retain(|n| n.by != number);
        }
    }

    /// Whether a membership names a source.
    fn names(&self, membership: &Membership, source: IpAddr) -> bool {
        self.named.iter().any(|n| n.by == membership.number && n.source == source)
    }

    /// What all memberships of a group come to (RFC 9776 §3.2, RFC 9777 §4.2): with anyone who excludes, what all of those
    /// exclude and nobody includes is excluded; else what anyone includes is included.
    fn merged(&self, group: IpAddr) -> (bool, Vec<IpAddr, MAX_SOURCES>) {
        let all = || self.memberships.iter().filter(|m| m.group == group);
        let mut sources = Vec::new();
        let Some(first) = all().find(|m| m.exclude) else {
            for source in self.named.iter().filter(|n| all().any(|m| m.number == n.by)).map(|n| n.source) {
                if !sources.contains(&source) {
                    let _ = sources.push(source);
                }
            }
            return (false, sources);
        };
        for source in self.named.iter().filter(|n| n.by == first.number).map(|n| n.source) {
            if all().all(|m| self.names(m, source) == m.exclude) {
                let _ = sources.push(source);
            }
        }
        (true, sources)
    }

    /// What is told of a group follows what is wanted of it now; false, and nothing has changed, without room.
    pub(super) fn merge(&mut self, now: Instant, group: IpAddr) -> bool {
        let own = self.members.iter().flatten().any(|m| m.own && m.group == group);
        let (exclude, sources) = if own { (true, Vec::new()) } else { self.merged(group) };
        self.set(now, group, exclude, &sources)
    }

    /// As [`merge`](Self::merge), where there is no room for its sources: all of them are received, and sockets choose.
    pub(super) fn widen(&mut self, now: Instant, group: IpAddr) {
        self.set(now, group, true, &[]);
    }

    /// The place of a group, a new one if need be; `None` without room.
    pub(super) fn place(&mut self, now: Instant, group: IpAddr, own: bool) -> Option<usize> {
        let known = self.members.iter().position(|m| m.is_some_and(|m| m.group == group));
        let free = || self.members.iter().position(Option::is_none);
        // A group that was left gives its place, told often enough or not.
        let left = || (0..MEMBERS).find(|&place| !self.is_place_present(place));
        let place = known.or_else(free).or_else(left)?;
        let slot = self.members.get_mut(place)?;
        match slot {
            Some(member) if known.is_some() => member.own |= own,
            _ => {
                *slot = Some(Member { group, own, exclude: false, mode_left: 0, change_at: now, answer: None });
                self.told.retain(|t| t.place != place);
                self.asked.retain(|a| a.place != place);
            }
        }
        Some(place)
    }

    fn set(&mut self, now: Instant, group: IpAddr, exclude: bool, sources: &[IpAddr]) -> bool {
        let Some(place) = self.place(now, group, false) else { return false };
        let robustness = self.querier(group).robustness;
        let Some(old) = self.members.get(place).copied().flatten() else { return false };
        if !self.make_room(place, sources) {
            self.forget_told(place);
            return false;
        }
        let mode_changes = old.exclude != exclude;
        let left = if mode_changes { 0 } else { robustness };
        let mut changed = mode_changes;
        for told in self.told.iter_mut().filter(|t| t.place == place) {
            let listed = sources.contains(&told.source);
            if listed != told.listed {
                (told.listed, told.left, changed) = (listed, left, true);
            }
        }
        for &source in sources {
            if !self.told.iter().any(|t| t.place == place && t.source == source) {
                // There is room: it was made.
                changed |= self.told.push(Told { place, source, listed: true, left }).is_ok();
            }
        }
        if mode_changes {
            // The record of a change of mode has the whole list.
            self.told.retain(|t| t.place != place || t.listed);
            self.told.iter_mut().filter(|t| t.place == place).for_each(|t| t.left = 0);
        }
        let is_present = exclude || !sources.is_empty();
        if let Some(Some(member)) = self.members.get_mut(place) {
            member.exclude = exclude;
            if mode_changes {
                member.mode_left = robustness;
            }
            if changed {
                member.change_at = now;
            }
            // Leaving cancels the answer to a query (H119).
            member.answer = member.answer.filter(|_| is_present);
        }
        self.forget_told(place);
        true
    }

    /// Makes room for a member's sources: those that others no longer have, and have told of less often than they should,
    /// give way. False when that does not do.
    fn make_room(&mut self, place: usize, sources: &[IpAddr]) -> bool {
        let known = |told: &Told| told.place == place && sources.contains(&told.source);
        let new = sources.len() - self.told.iter().filter(|t| known(t)).count();
        let free = MAX_SOURCES - self.told.len();
        let spare = self.told.iter().filter(|t| !t.listed && !known(t)).count();
        if new <= free {
            return true;
        }
        if new > free + spare {
            return false;
        }
        self.told.retain(|t| t.listed || known(t));
        // A group of which nothing else was to be told is gone.
        (0..MEMBERS).filter(|other| *other != place).for_each(|other| self.forget_told(other));
        true
    }

    /// Whether the interface is in the group of this member.
    pub(super) fn is_present(&self, place: usize, member: &Member) -> bool {
        member.exclude || self.told.iter().any(|t| t.place == place && t.listed)
    }

    pub(super) fn is_place_present(&self, place: usize) -> bool {
        self.members.get(place).copied().flatten().is_some_and(|m| self.is_present(place, &m))
    }

    /// Whether a change is still to be told.
    pub(super) fn is_changing(&self, place: usize, member: &Member) -> bool {
        member.mode_left > 0 || self.told.iter().any(|t| t.place == place && t.left > 0)
    }

    /// Those of the sources that a query asked for that are wanted.
    pub(super) fn answer(&self, place: usize, exclude: bool) -> impl Iterator<Item = IpAddr> + '_ {
        let listed = move |source| self.told.iter().any(|t| t.place == place && t.listed && t.source == source);
        self.asked.iter().filter(move |a| a.place == place).map(|a| a.source).filter(move |s| listed(*s) != exclude)
    }

    pub(super) fn has_answer(&self, place: usize, member: &Member) -> bool {
        self.answer(place, member.exclude).next().is_some()
    }

    /// A change of sources was told once more.
    pub(super) fn told_once(&mut self, place: usize) {
        self.told.iter_mut().filter(|t| t.place == place).for_each(|t| t.left = t.left.saturating_sub(1));
    }

    /// No change of sources is to be told any more.
    pub(super) fn nothing_left(&mut self, place: usize) {
        self.told.iter_mut().filter(|t| t.place == place).for_each(|t| t.left = 0);
    }

    /// Whatever of a member was to be told or answered is not.
    pub(super) fn cancel(&mut self, place: usize) {
        if let Some(Some(member)) = self.members.get_mut(place) {
            (member.answer, member.mode_left) = (None, 0);
        }
        self.asked.retain(|a| a.place != place);
        self.nothing_left(place);
        self.forget_told(place);
    }

    /// Forgets what was told often enough: sources that are not listed, and a group that was left.
    pub(super) fn forget_told(&mut self, place: usize) {
        self.told.retain(|t| t.place != place || t.listed || t.left > 0);
        let Some(member) = self.members.get(place).copied().flatten() else { return };
        if !self.is_present(place, &member) && !self.is_changing(place, &member) {
            if let Some(slot) = self.members.get_mut(place) {
                *slot = None;
            }
            self.asked.retain(|a| a.place != place);
        }
    }
}

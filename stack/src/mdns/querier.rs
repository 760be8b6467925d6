//! The querier, without I/O: names of the link to addresses.
//!
//! Implements RFC 6762 §5.2 (intervals, delay), §5.4 (unicast responses), §6.1 (negative answers), §10 (a cache, of names
//! that were asked for alone, so that nobody can fill it with others).

use super::message::{CLASS_IN, Message, TOP_BIT, Writer, kind};
use crate::dns::QueryId;
use crate::dns::cache::{Cache, Known};
use crate::dns::message::{Addresses, Record, RecordKind};
use crate::dns::name::Name;
use crate::error::DnsError;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use core::net::IpAddr;

/// Queries at a time.
const QUERIES: usize = 4;
/// RFC 6762 §5.2: the first question leaves after 20 to 120 ms, so that what asks at the same time does not collide.
const FIRST_WAIT: (u64, u32) = (20_000, 100_000);
/// RFC 6762 §5.2: the first two questions are a second apart, each further one twice as long after the last.
const INTERVAL: Duration = Duration::from_secs(1);
/// Questions asked; the last is waited for a second.
const TRIES: u8 = 3;
/// How long an answer may still come after a denial: some responders deny what they have, and send it, too.
const DENIED_WAIT: Duration = Duration::from_millis(250);
/// When a question that could not leave is tried again (there may be no address yet), and how often until it counts as lost.
const NOT_SENT_WAIT: Duration = Duration::from_millis(50);
const NOT_SENT: u8 = 60;
/// How long a name that nobody has is taken not to be there, in seconds.
const NOBODY: u32 = 5;

struct Query {
    generation: u16,
    name: Name,
    kind: RecordKind,
    sent: u8,
    not_sent: u8,
    asked_at: Option<Instant>,
    at: Instant,
    /// Somebody says that there are no such addresses, for as many seconds; it counts from then on.
    denied: Option<(Instant, u32)>,
    outcome: Option<Known>,
}

impl Query {
    /// When there is something to do.
    fn due(&self) -> Instant {
        self.denied.map_or(self.at, |(at, _)| at.min(self.at))
    }
}

pub(super) struct Querier {
    queries: [Option<Query>; QUERIES],
    generation: u16,
    cache: Cache,
    rng: Rng,
}

impl Querier {
    pub fn new(rng: Rng) -> Self {
        Self { queries: [const { None }; QUERIES], generation: 0, cache: Cache::new(), rng }
    }

    /// Begins to look for addresses of `name`.
    pub fn query(&mut self, now: Instant, name: &str, kind: RecordKind) -> Result<QueryId, DnsError> {
        let name = Name::of(name).map_err(|_| DnsError::Invalid)?;
        if !name.ends_in("local") || name.labels() < 2 {
            return Err(DnsError::Invalid);
        }
        let place = self.queries.iter().position(Option::is_none).ok_or(DnsError::Full)?;
        let outcome = self.cache.get(now, &name, kind).cloned();
        let (least, more) = FIRST_WAIT;
        let at = now + Duration::from_micros(least + u64::from(self.rng.below(more)));
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        if let Some(slot) = self.queries.get_mut(place) {
            *slot =
                Some(Query { generation, name, kind, sent: 0, not_sent: 0, asked_at: None, at, denied: None, outcome });
        }
        Ok(QueryId { place: place as u8, generation })
    }

    fn slot(&mut self, id: QueryId) -> Option<&mut Option<Query>> {
        let slot = self.queries.get_mut(usize::from(id.place))?;
        slot.as_ref().is_some_and(|q| q.generation == id.generation).then_some(slot)
    }

    /// How a query has ended, and with that the query's end; `None` while it is running.
    pub fn take(&mut self, id: QueryId) -> Option<Known> {
        let Some(slot) = self.slot(id) else { return Some(Err(DnsError::Stale)) };
        slot.as_ref()?.outcome.as_ref()?;
        slot.take()?.outcome
    }

    pub fn cancel(&mut self, id: QueryId) {
        if let Some(slot) = self.slot(id) {
            *slot = None;
        }
    }

    /// Others may have the names: all is forgotten.
    pub fn on_link_up(&mut self) {
        self.cache.clear();
    }

    /// Writes what is to be asked at `now`, if anything; the octets of the message.
    pub fn poll(&mut self, now: Instant, buf: &mut [u8]) -> Option<usize> {
        let mut asked = false;
        //= https://www.rfc-editor.org/rfc/rfc6762#section-18.6
        //# In both multicast query and multicast response messages, the
        //# Recursion Desired bit SHOULD be zero on transmission, and MUST be
        //# ignored on reception.
        let mut w = Writer::new(buf, 0, 0);
        for query in self.queries.iter_mut().flatten().filter(|q| q.outcome.is_none() && q.due() <= now) {
            if let Some((_, ttl)) = query.denied.filter(|(at, _)| *at <= now) {
                query.outcome = Some(Err(DnsError::NoData));
                self.cache.put(now, &query.name, query.kind, &Err(DnsError::NoData), ttl);
                continue;
            }
            if query.sent == TRIES {
                query.outcome = Some(Err(DnsError::NotFound));
                self.cache.put(now, &query.name, query.kind, &Err(DnsError::NotFound), NOBODY);
                continue;
            }
            let first = if query.sent == 0 { TOP_BIT } else { 0 };
            w.question(&query.name, query.kind as u16, CLASS_IN | first);
            query.sent += 1;
            query.asked_at = Some(now);
            // The last answer is not waited for longer than the first.
            let doublings = if query.sent == TRIES { 0 } else { query.sent - 1 };
            query.at = now + INTERVAL * (1 << doublings);
            asked = true;
        }
        let len = w.finish();
        asked.then_some(len)
    }

    /// What [`poll`](Self::poll) has just written could not leave.
    pub fn not_sent(&mut self, now: Instant) {
        let is_new = |q: &&mut Query| q.outcome.is_none() && q.at > now && q.asked_at == Some(now);
        for query in self.queries.iter_mut().flatten().filter(is_new) {
            if query.not_sent < NOT_SENT {
                query.not_sent += 1;
                query.sent = query.sent.saturating_sub(1);
                query.at = now + NOT_SENT_WAIT;
            }
        }
    }

    /// When [`poll`](Self::poll) is to be called.
    pub fn deadline(&self) -> Option<Instant> {
        self.queries.iter().flatten().filter(|q| q.outcome.is_none()).map(Query::due).min()
    }

    /// A response has come.
    pub fn on_response(&mut self, now: Instant, message: &Message<'_>) {
        for place in 0..QUERIES {
            let Some(query) = self.queries.get(place).and_then(Option::as_ref) else { continue };
            let Some((known, ttl)) = read(message, &query.name, query.kind) else { continue };
            if known.is_err() {
                // An answer to another's question says less than one to ours.
                if let Some(Some(query)) = self.queries.get_mut(place)
                    && query.sent > 0
                {
                    query.denied.get_or_insert((now + DENIED_WAIT, ttl));
                }
                continue;
            }
            self.cache.put(now, &query.name, query.kind, &known, ttl);
            if let Some(Some(query)) = self.queries.get_mut(place)
                && query.outcome.is_none()
                && ttl > 0
            {
                query.outcome = Some(known);
            }
        }
        self.refresh(now, message);
    }

    /// What was asked for earlier is kept true.
    fn refresh(&mut self, now: Instant, message: &Message<'_>) {
        for (_, record) in message.records() {
            let Some(kind) = kind_of(&record) else { continue };
            if self.cache.get(now, &record.owner, kind).is_some()
                && let Some((known, ttl)) = read(message, &record.owner, kind)
            {
                self.cache.put(now, &record.owner, kind, &known, ttl);
            }
        }
    }
}

fn kind_of(record: &Record<'_>) -> Option<RecordKind> {
    match record.kind {
        kind::A => Some(RecordKind::A),
        kind::AAAA => Some(RecordKind::Aaaa),
        _ => None,
    }
}

/// What a response says of the addresses of `name`, and for how long.
fn read(message: &Message<'_>, name: &Name, kind: RecordKind) -> Option<(Known, u32)> {
    let (mut found, mut ttl, mut denied) = (Addresses::default(), u32::MAX, None);
    for (_, record) in message.records() {
        if record.class & !TOP_BIT != CLASS_IN || record.owner != *name {
            continue;
        }
        let ip = match (kind_of(&record), record.data) {
            (Some(k), data) if k == kind => data
                .first_chunk::<4>()
                .filter(|_| data.len() == 4 && kind == RecordKind::A)
                .map(|a| IpAddr::from(*a))
                .or_else(|| data.first_chunk::<16>().filter(|_| data.len() == 16).map(|a| IpAddr::from(*a))),
            _ => None,
        };
        if let Some(ip) = ip {
            // More than there is room for are left out.
            if found.0.push(ip).is_ok() {
                ttl = ttl.min(record.ttl);
            }
        } else if record.kind == kind::NSEC && denies(&record, kind) {
            denied = Some(record.ttl);
        }
    }
    match denied {
        _ if !found.is_empty() => Some((Ok(found), ttl)),
        Some(ttl) => Some((Err(DnsError::NoData), ttl)),
        None => None,
    }
}

/// Whether an NSEC record, in the restricted form of RFC 6762 §6.1, says that there are no such records.
fn denies(record: &Record<'_>, wanted: RecordKind) -> bool {
    let data = record.data;
    // Behind the name, which is the owner's or a pointer to it, there is one block: 0, its length, its bits.
    let name = match data.first() {
        Some(len) if len >> 6 == 3 => 2,
        _ => record.owner.octets().len(),
    };
    let Some([0, len, bits @ ..]) = data.get(name..) else { return false };
    let number = wanted as u8;
    let octet = bits.get(..usize::from(*len)).map(|bits| bits.get(usize::from(number / 8)).copied().unwrap_or(0));
    octet.is_some_and(|octet| octet & (0x80 >> (number % 8)) == 0)
}

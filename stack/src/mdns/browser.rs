//! Browsing, without I/O: the services of one type that the link has, and what is to be asked to know them.
//!
//! Implements RFC 6763 §4 (PTR), §5 (SRV), §6 (TXT), and of RFC 6762 the continuous query §5.2 with its refreshing, §7.1
//! (known answers), §7.3 (others' questions), §10.1 (goodbye) and §10.2 (cache flush). The table is of fixed size: who was
//! there first stays.
//!
//! ```text
//!  PTR ──▶ an instance ── SRV, TXT ──▶ host, port, text ── A, AAAA ──▶ addresses
//!   each: heard ─ asked for at 80, 85, 90, 95 % of its life ─▶ gone;   never heard: asked for three times
//! ```

use super::message::{CLASS_IN, Data, Message, Question, Section, TOP_BIT, Writer, kind};
use crate::dns::message::{Record, be16};
use crate::dns::name::Name;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use core::net::IpAddr;
use heapless::Vec;

/// Services that a [`Browser`](super::Browser) knows of at a time.
pub const MAX_SERVICES: usize = 8;
/// Addresses of one service that are kept.
const ADDRESSES: usize = 4;
/// Octets of a service's TXT record that are kept, as far as whole texts fit.
const TXT: usize = 256;
/// RFC 6762 §5.2: the first question leaves after 20 to 120 ms.
const FIRST_WAIT: (u64, u32) = (20_000, 100_000);
/// RFC 6762 §5.2: the first two questions are a second apart, each further one twice as long, up to an hour.
const FIRST_INTERVAL: Duration = Duration::from_secs(1);
const LAST_INTERVAL: Duration = Duration::from_secs(3_600);
/// Nothing is asked more often, whatever lifetimes are told.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);
/// How often something that was never heard is asked for.
const TRIES: u8 = 3;
/// RFC 6762 §5.2: how often something is asked for again before its life ends.
const REFRESHES: u8 = 4;
/// Nothing is believed for longer, in seconds: RFC 6762 §10's lifetime of what is no host's address. So that the table does
/// not stay full of lies.
const LONGEST: u32 = 4_500;
/// When a question that could not leave is tried again.
const NOT_SENT_WAIT: Duration = Duration::from_millis(250);
/// RFC 6762 §10.1: what is said to be gone is kept for as long, in seconds.
const GOODBYE: u32 = 1;

/// A part of what is known, and when it is asked for next.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    /// When it was heard last, and for how many seconds it is true.
    heard: Option<(Instant, u32)>,
    asked: u8,
    at: Option<Instant>,
}

impl Part {
    /// Is to be asked for from `at` on.
    const fn wanted(at: Instant) -> Self {
        Self { heard: None, asked: 0, at: Some(at) }
    }

    /// It has been heard, and is true for `ttl` seconds.
    //= https://www.rfc-editor.org/rfc/rfc6762#section-5.2
    //# The querier should plan to issue a query at 80% of the record
    //# lifetime, and then if no answer is received, at 85%, 90%, and 95%.
    fn hear(&mut self, now: Instant, ttl: u32, rng: &mut Rng) {
        if ttl == 0 {
            *self = Self { heard: Some((now, GOODBYE)), asked: REFRESHES, at: None };
            return;
        }
        let ttl = ttl.min(LONGEST);
        // Two hundredths of the life at random, so that not everybody asks at once.
        let random = u64::from(ttl) * u64::from(rng.below(20_000));
        let at = now + Duration::from_micros(u64::from(ttl) * 800_000 + random);
        *self = Self { heard: Some((now, ttl)), asked: 0, at: Some(at) };
    }

    /// It has been asked for.
    fn ask(&mut self, now: Instant) {
        self.asked = self.asked.saturating_add(1);
        self.at = match self.heard {
            Some((heard, ttl)) if self.asked < REFRESHES => {
                let hundredths = 80 + 5 * u64::from(self.asked);
                Some(heard + Duration::from_micros(u64::from(ttl) * hundredths * 10_000))
            }
            None if self.asked < TRIES => Some(now + FIRST_INTERVAL * (1 << (self.asked - 1))),
            _ => None,
        };
    }

    fn end(&self) -> Option<Instant> {
        self.heard.map(|(at, ttl)| at + Duration::from_secs(ttl.into()))
    }

    fn is_over(&self, now: Instant) -> bool {
        self.end().is_some_and(|end| end <= now)
    }

    fn is_due(&self, now: Instant) -> bool {
        self.at.is_some_and(|at| at <= now)
    }

    /// The seconds that are left, if they are more than half.
    fn known_for(&self, now: Instant) -> Option<u32> {
        let (at, ttl) = self.heard?;
        let left = (at + Duration::from_secs(ttl.into())).since(now).as_secs() as u32;
        (left > ttl / 2).then_some(left)
    }
}

/// A service that was heard of.
pub(super) struct Instance {
    name: Name,
    ptr: Part,
    /// SRV and TXT.
    detail: Part,
    srv: Option<(Name, u16)>,
    txt: Vec<u8, TXT>,
    addr: Part,
    addresses: Vec<(IpAddr, Instant), ADDRESSES>,
}

impl Instance {
    fn new(name: Name, at: Instant) -> Self {
        Self {
            name,
            ptr: Part::default(),
            detail: Part::wanted(at),
            srv: None,
            txt: Vec::new(),
            addr: Part::default(),
            addresses: Vec::new(),
        }
    }

    /// The first label, which is text.
    pub fn label(&self) -> &str {
        let octets = self.name.octets();
        let len = octets.first().map_or(0, |len| usize::from(*len));
        octets.get(1..=len).and_then(|label| core::str::from_utf8(label).ok()).unwrap_or_default()
    }

    pub const fn host(&self) -> Option<&(Name, u16)> {
        self.srv.as_ref()
    }

    pub fn txt(&self) -> &[u8] {
        &self.txt
    }

    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.addresses.iter().map(|(ip, _)| *ip)
    }

    /// A record of the instance's own name; whether something is different now.
    fn on_detail(&mut self, now: Instant, message: &Message<'_>, record: &Record<'_>, rng: &mut Rng) -> bool {
        match record.kind {
            kind::SRV if record.data.len() > 6 => {
                let Ok((host, end)) = Name::read(message.octets(), record.at + 6) else { return false };
                let Ok(port) = be16(record.data, 4) else { return false };
                if end != record.at + record.data.len() {
                    return false;
                }
                self.detail.hear(now, record.ttl, rng);
                let new = (host, port);
                if self.srv.as_ref() == Some(&new) {
                    return false;
                }
                if self.srv.as_ref().is_none_or(|(old, _)| *old != new.0) {
                    self.addresses.clear();
                    self.addr = Part::wanted(now + LEAST_INTERVAL);
                }
                self.srv = Some(new);
                true
            }
            kind::TXT => {
                let texts = whole_texts(record.data);
                if *self.txt == *texts {
                    return false;
                }
                self.txt.clear();
                let _ = self.txt.extend_from_slice(texts);
                true
            }
            _ => false,
        }
    }

    /// A record of the host's name.
    fn on_address(&mut self, now: Instant, record: &Record<'_>, rng: &mut Rng) -> bool {
        let Some(ip) = address(record) else { return false };
        let was = self.addresses.len();
        if record.ttl == 0 {
            self.addresses.retain(|(known, _)| *known != ip);
            return self.addresses.len() != was;
        }
        //= https://www.rfc-editor.org/rfc/rfc6762#section-10.2
        //# Instead of merging this new record additively into the cache in
        //# addition to any previous records with the same name, rrtype, and
        //# rrclass, all old records with that name, rrtype, and rrclass that
        //# were received more than one second ago are declared invalid
        if record.class & TOP_BIT != 0 {
            let is_old = |(known, at): &(IpAddr, Instant)| {
                known.is_ipv4() == ip.is_ipv4() && *known != ip && now.since(*at) > LEAST_INTERVAL
            };
            self.addresses.retain(|known| !is_old(known));
        }
        self.addr.hear(now, record.ttl, rng);
        if let Some((_, at)) = self.addresses.iter_mut().find(|(known, _)| *known == ip) {
            *at = now;
            return self.addresses.len() != was;
        }
        // More than there is room for are left out.
        self.addresses.push((ip, now)).is_ok() || self.addresses.len() != was
    }

    /// What is not true any more goes; whether something did.
    fn expire(&mut self, now: Instant) -> bool {
        let mut changed = false;
        if self.detail.is_over(now) {
            (self.srv, self.detail, self.addr) = (None, Part::wanted(now), Part::default());
            self.txt.clear();
            self.addresses.clear();
            changed = true;
        }
        if self.addr.is_over(now) {
            self.addr = Part::wanted(now);
            changed |= !self.addresses.is_empty();
            self.addresses.clear();
        }
        changed
    }
}

/// The browser of one type.
pub(super) struct Browsing {
    /// `_http._tcp.local`.
    kind: Name,
    instances: [Option<Instance>; MAX_SERVICES],
    /// When everybody is asked next, and how long after that.
    at: Instant,
    interval: Duration,
    asked_at: Option<Instant>,
    /// The interval before the last message, if everybody was asked in it.
    asked_after: Option<Duration>,
    left_out: u32,
    rng: Rng,
}

impl Browsing {
    pub fn new(now: Instant, kind: Name, mut rng: Rng) -> Self {
        let at = now + first_wait(&mut rng);
        let instances = [const { None }; MAX_SERVICES];
        Self { kind, instances, at, interval: FIRST_INTERVAL, asked_at: None, asked_after: None, left_out: 0, rng }
    }

    pub fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.instances.iter().flatten()
    }

    /// How many were not taken for want of room.
    pub const fn left_out(&self) -> u32 {
        self.left_out
    }

    /// The link may be another one: nothing of it is known.
    pub fn on_link_up(&mut self, now: Instant) {
        self.instances.fill_with(|| None);
        (self.at, self.interval) = (now + first_wait(&mut self.rng), FIRST_INTERVAL);
    }

    /// What is over by `now` goes; whether something did.
    pub fn expire(&mut self, now: Instant) -> bool {
        let mut changed = false;
        for slot in &mut self.instances {
            if slot.as_ref().is_some_and(|i| i.ptr.is_over(now)) {
                *slot = None;
                changed = true;
            }
            changed |= slot.as_mut().is_some_and(|i| i.expire(now));
        }
        changed
    }

    /// Writes what is to be asked at `now`, if anything; the octets of the message.
    pub fn poll(&mut self, now: Instant, buf: &mut [u8]) -> Option<usize> {
        if self.asked_at.is_some_and(|at| now.since(at) < LEAST_INTERVAL) || self.deadline_to_ask() > Some(now) {
            return None;
        }
        let everybody = self.at <= now;
        let again = self.instances().any(|i| i.ptr.is_due(now));
        let mut w = Writer::new(buf, 0, 0);
        if everybody || again {
            w.question(&self.kind, kind::PTR, CLASS_IN);
        }
        for instance in self.instances.iter_mut().flatten() {
            if instance.detail.is_due(now) {
                instance.detail.ask(now);
                w.question(&instance.name, kind::SRV, CLASS_IN);
                w.question(&instance.name, kind::TXT, CLASS_IN);
            }
            if let Some((host, _)) = instance.srv.as_ref().filter(|_| instance.addr.is_due(now)) {
                instance.addr.ask(now);
                w.question(host, kind::A, CLASS_IN);
                w.question(host, kind::AAAA, CLASS_IN);
            }
        }
        if everybody || again {
            self.write_known(now, &mut w);
        }
        self.asked_after = everybody.then_some(self.interval);
        if everybody {
            self.asked_everybody(now);
        }
        self.asked_at = Some(now);
        Some(w.finish())
    }

    /// The instances that nobody needs to tell of.
    //= https://www.rfc-editor.org/rfc/rfc6762#section-7.1
    //# When a Multicast DNS querier sends a query to which it already knows
    //# some answers, it populates the Answer Section of the DNS query
    //# message with those answers.
    fn write_known(&mut self, now: Instant, w: &mut Writer<'_>) {
        for instance in self.instances.iter_mut().flatten() {
            if instance.ptr.is_due(now) {
                instance.ptr.ask(now);
            }
            if let Some(left) = instance.ptr.known_for(now) {
                w.record(Section::Answer, &self.kind, (kind::PTR, CLASS_IN, left), &[], Some(&instance.name));
            }
        }
    }

    //= https://www.rfc-editor.org/rfc/rfc6762#section-5.2
    //# the interval between the first two queries MUST be at least one
    //# second, the intervals between successive queries MUST increase by at
    //# least a factor of two
    fn asked_everybody(&mut self, now: Instant) {
        self.at = now + self.interval;
        self.interval = (self.interval * 2).min(LAST_INTERVAL);
    }

    /// What [`poll`](Self::poll) has just written could not leave: there may be no address yet. It is as good as lost on the
    /// way, but for the question to everybody, which is not asked more rarely for that.
    pub fn not_sent(&mut self, now: Instant) {
        if let Some(interval) = self.asked_after.take() {
            (self.at, self.interval) = (now + NOT_SENT_WAIT, interval);
        }
        self.asked_at = None;
    }

    fn deadline_to_ask(&self) -> Option<Instant> {
        let parts = self.instances().flat_map(|i| {
            let addr = i.srv.as_ref().and(i.addr.at);
            [i.ptr.at, i.detail.at, addr]
        });
        parts.flatten().chain([self.at]).min()
    }

    /// When [`poll`](Self::poll) and [`expire`](Self::expire) are to be called.
    pub fn deadline(&self) -> Option<Instant> {
        let soonest = self.asked_at.map_or(Instant::ZERO, |at| at + LEAST_INTERVAL);
        let ask = self.deadline_to_ask().map(|at| at.max(soonest));
        let ends = self.instances().flat_map(|i| [i.ptr.end(), i.detail.end(), i.addr.end()]).flatten().min();
        [ask, ends].into_iter().flatten().min()
    }

    /// Another host asks.
    //= https://www.rfc-editor.org/rfc/rfc6762#section-7.3
    //# If a host is planning to transmit (or retransmit) a query, and it
    //# sees another host on the network send a query containing the same
    //# "QM" question, and the Known-Answer Section of that query does not
    //# contain any records that this host would not also put in its own
    //# Known-Answer Section, then this host SHOULD treat its own query as
    //# having been sent.
    pub fn on_query(&mut self, now: Instant, message: &Message<'_>) {
        let is_ours = |q: &Question| q.name == self.kind && q.kind == kind::PTR && !q.unicast && q.class == CLASS_IN;
        if self.at.since(now) > LEAST_INTERVAL || message.is_truncated() || !message.questions().any(|q| is_ours(&q)) {
            return;
        }
        let is_known = |record: &Record<'_>| {
            let known = self.instances().filter(|i| i.ptr.known_for(now).is_some());
            let data = Data::of(record);
            known.into_iter().any(|i| message.compare(data, i.name.octets()) == Some(core::cmp::Ordering::Equal))
        };
        let answers = || message.records().filter(|(section, _)| *section == Section::Answer);
        if answers().all(|(_, r)| r.kind != kind::PTR || r.owner != self.kind || is_known(&r)) {
            self.asked_everybody(now);
        }
    }

    /// A response has come; whether something is different now.
    pub fn on_response(&mut self, now: Instant, message: &Message<'_>) -> bool {
        let mut changed = false;
        let all = || message.records().map(|(_, r)| r).filter(|r| r.class & !TOP_BIT == CLASS_IN);
        // What a record is about may be told behind it: from instances to hosts to addresses.
        for record in all().filter(|r| r.kind == kind::PTR) {
            changed |= record.owner == self.kind && self.on_pointer(now, message, &record);
        }
        for record in all() {
            let rng = &mut self.rng;
            for instance in self.instances.iter_mut().flatten().filter(|i| i.name == record.owner) {
                changed |= instance.on_detail(now, message, &record, rng);
            }
        }
        for record in all().filter(|r| matches!(r.kind, kind::A | kind::AAAA)) {
            let rng = &mut self.rng;
            let is_host = |i: &&mut Instance| i.srv.as_ref().is_some_and(|(host, _)| *host == record.owner);
            for instance in self.instances.iter_mut().flatten().filter(is_host) {
                changed |= instance.on_address(now, &record, rng);
            }
        }
        changed
    }

    fn on_pointer(&mut self, now: Instant, message: &Message<'_>, record: &Record<'_>) -> bool {
        let Ok((name, end)) = Name::read(message.octets(), record.at) else { return false };
        if end != record.at + record.data.len() || !is_instance(&name, &self.kind) {
            return false;
        }
        if let Some(known) = self.instances.iter_mut().flatten().find(|i| i.name == name) {
            known.ptr.hear(now, record.ttl, &mut self.rng);
            return false;
        }
        if record.ttl == 0 {
            return false;
        }
        let Some(free) = self.instances.iter_mut().find(|slot| slot.is_none()) else {
            self.left_out = self.left_out.saturating_add(1);
            return false;
        };
        let mut new = Instance::new(name, now + first_wait(&mut self.rng));
        new.ptr.hear(now, record.ttl, &mut self.rng);
        *free = Some(new);
        true
    }
}

fn first_wait(rng: &mut Rng) -> Duration {
    let (least, more) = FIRST_WAIT;
    Duration::from_micros(least + u64::from(rng.below(more)))
}

/// Whether `name` is one label of text below `kind` (RFC 6763 §4.1.1: without control characters).
fn is_instance(name: &Name, kind: &Name) -> bool {
    let Some((&len, rest)) = name.octets().split_first() else { return false };
    let Some((label, below)) = rest.split_at_checked(usize::from(len)) else { return false };
    let is_text = core::str::from_utf8(label).is_ok_and(|text| !text.chars().any(char::is_control));
    len > 0 && is_text && below.eq_ignore_ascii_case(kind.octets())
}

/// As many whole texts of a TXT record as there is room for; the empty one of a record that says nothing is none.
fn whole_texts(data: &[u8]) -> &[u8] {
    let mut len = 0;
    while let Some(&text) = data.get(len) {
        let end = len + 1 + usize::from(text);
        if end > data.len() || end > TXT || (text == 0 && len == 0) {
            break;
        }
        len = end;
    }
    data.get(..len).unwrap_or_default()
}

fn address(record: &Record<'_>) -> Option<IpAddr> {
    match record.kind {
        kind::A => <[u8; 4]>::try_from(record.data).ok().map(IpAddr::from),
        kind::AAAA => <[u8; 16]>::try_from(record.data).ok().map(IpAddr::from),
        _ => None,
    }
}

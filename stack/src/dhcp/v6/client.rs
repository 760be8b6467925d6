//! The client's side of DHCPv6, without I/O: messages, times and what was learned of the link go in; what is to be sent,
//! configured and taken away comes out.
//!
//! Implements RFC 9915 §15 (retransmission) and §18.2 (exchanges).
//!
//! ```text
//!  idle ─ managed ─▶ SOLICIT ─ ADVERTISE ─▶ REQUEST ─ REPLY ─▶ bound ◀──────── REPLY ────────┐
//!    │                  ▲ ▲                    │ refused         │ T1                        │
//!    │                  │ └────────────────────┘                 ▼                           │
//!    │                  ├─ lifetimes over ◀──────────────────── RENEW ─ T2 ─▶ REBIND ────────┤
//!    │                  ├─ duplicate: DECLINE ◀── bound ── link is back ──▶ CONFIRM ─────────┘
//!    └─ other ─▶ INFORMATION-REQUEST ─ REPLY ─▶ informed ─ refresh time ─▶ …
//! ```

use super::lease::{Lease6, read, read_information};
use super::message::{Duid, Kind, Message, ROOM, Writer, code, status};
use crate::device::Mac;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use core::net::Ipv6Addr;
use heapless::Deque;

/// SOL_MAX_DELAY, CNF_MAX_DELAY and INF_MAX_DELAY (RFC 9915 §7.6).
const MAX_DELAY: Duration = Duration::from_secs(1);
/// SOL_MAX_RT and INF_MAX_RT, until a server says otherwise.
const MAX_RT: Duration = Duration::from_secs(3_600);
/// What a server may say of them, in seconds (RFC 9915 §21.24, §21.25).
const MAX_RT_RANGE: core::ops::RangeInclusive<u32> = 60..=86_400;
/// CNF_MAX_RD.
const CONFIRM_TIME: Duration = Duration::from_secs(10);
/// After an attempt that was refused, the next waits: twice as long each time, up to two minutes.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);
/// DUID-LL (RFC 9915 §11.4) of an Ethernet address.
const DUID_LL: [u8; 4] = [0, 3, 0, 1];
const DUID: usize = DUID_LL.len() + 6;

/// When a client asks for what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Dhcpv6Mode {
    /// What routers ask for: addresses with the flag M of their advertisements, information with O (RFC 4861 §4.2).
    #[default]
    AsAdvertised,
    /// Addresses and information, whatever routers say.
    Stateful,
    /// Information alone.
    Stateless,
}

/// The exchanges of RFC 9915 §18.2, and what lies between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Soliciting,
    Requesting,
    Bound,
    Renewing,
    Rebinding,
    Confirming,
    Releasing,
    Declining,
    Informing,
    Informed,
}

/// IRT, MRT and MRC of an exchange (RFC 9915 §7.6); 0: none.
struct Timing {
    first: Duration,
    most: Duration,
    count: u8,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Send(Outgoing),
    /// [`Client::lease`] is in force, anew or changed.
    Configure,
    /// What was configured must not be used any more.
    Deconfigure,
}

/// A message to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outgoing {
    kind: Kind,
    transaction: u32,
    /// In hundredths of a second.
    elapsed: u16,
}

pub(super) struct Client {
    duid: [u8; DUID],
    iaid: u32,
    state: State,
    rng: Rng,
    transaction: u32,
    /// When the first message of this exchange left.
    started: Option<Instant>,
    /// The time to the next retransmission, as drawn last.
    rt: Duration,
    sent: u8,
    at: Option<Instant>,
    /// The best advertisement so far, and its preference.
    offer: Option<(Lease6, u8)>,
    lease: Option<Lease6>,
    /// The addresses that are given back.
    parting: Option<Lease6>,
    failures: u8,
    sol_max_rt: Duration,
    inf_max_rt: Duration,
    link: bool,
    /// Addresses are wanted.
    stateful: bool,
    actions: Deque<Action, 4>,
}

impl Client {
    pub fn new(mac: Mac, rng: Rng) -> Self {
        let [_, _, c, d, e, f] = mac.0;
        let mut duid = [0; DUID];
        duid[..4].copy_from_slice(&DUID_LL);
        duid[4..].copy_from_slice(&mac.0);
        Self {
            duid,
            // One IA to an interface, the same after a restart (RFC 9915 §12).
            iaid: u32::from_be_bytes([c, d, e, f]),
            state: State::Idle,
            rng,
            transaction: 0,
            started: None,
            rt: Duration::ZERO,
            sent: 0,
            at: None,
            offer: None,
            lease: None,
            parting: None,
            failures: 0,
            sol_max_rt: MAX_RT,
            inf_max_rt: MAX_RT,
            link: true,
            stateful: false,
            actions: Deque::new(),
        }
    }

    /// Addresses are wanted, or information alone; what is under way already goes on.
    pub fn want(&mut self, now: Instant, addresses: bool) {
        match (addresses, self.state) {
            (true, State::Idle | State::Informing | State::Informed) => {
                self.stateful = true;
                self.begin(now, State::Soliciting, MAX_DELAY);
            }
            (false, State::Idle) => self.begin(now, State::Informing, MAX_DELAY),
            _ => {}
        }
    }

    /// Whether it has begun.
    pub fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// A message of a server has come.
    pub fn handle(&mut self, now: Instant, octets: &[u8]) {
        let Ok(message) = Message::parse(octets) else { return };
        //= https://www.rfc-editor.org/rfc/rfc9915#section-16.10
        //# Clients MUST discard any received Reply message that meets any of the
        //# following conditions:
        // Another transaction, no server, another client; and Advertise messages likewise (§16.3).
        let ours = message.options.find(code::CLIENT_ID) == Some(&self.duid[..]);
        if message.transaction != self.transaction || self.sent == 0 || !ours || !self.link {
            return;
        }
        let Ok(server) = message.server() else { return };
        if matches!(self.state, State::Soliciting | State::Informing) {
            self.take_limits(&message);
        }
        if message.kind == Kind::Advertise as u8 && self.state == State::Soliciting {
            return self.on_advertise(now, &message, server);
        }
        if message.kind == Kind::Reply as u8 {
            self.on_reply(now, &message, server);
        }
    }

    fn take_limits(&mut self, message: &Message<'_>) {
        let limit = |code| message.options.number(code).filter(|secs| MAX_RT_RANGE.contains(secs));
        let seconds = |secs: u32| Duration::from_secs(secs.into());
        self.sol_max_rt = limit(code::SOL_MAX_RT).map_or(self.sol_max_rt, seconds);
        self.inf_max_rt = limit(code::INF_MAX_RT).map_or(self.inf_max_rt, seconds);
    }

    fn on_advertise(&mut self, now: Instant, message: &Message<'_>, server: Duid) {
        // RFC 9915 §18.2.9: one that offers no addresses is passed over.
        let Ok(lease) = read(message.options, server, self.iaid, now) else { return };
        let preference = message.options.find(code::PREFERENCE).and_then(|p| p.first()).copied().unwrap_or(0);
        if self.offer.as_ref().is_none_or(|(_, best)| preference > *best) {
            self.offer = Some((lease, preference));
        }
        //= https://www.rfc-editor.org/rfc/rfc9915#section-18.2.1
        //# If the client receives a valid
        //# Advertise message that includes a Preference option with a preference
        //# value of 255, the client immediately begins a client-initiated
        //# message exchange
        // And whoever answers after the first time-out is taken at once.
        if preference == u8::MAX || self.sent > 1 {
            self.begin_at_once(now, State::Requesting);
        }
    }

    fn on_reply(&mut self, now: Instant, message: &Message<'_>, server: Duid) {
        match self.state {
            State::Requesting | State::Renewing | State::Rebinding => self.on_grant(now, message, server),
            State::Confirming => match message.options.status() {
                status::NOT_ON_LINK => self.restart(now),
                status::SUCCESS => self.resume(),
                _ => {}
            },
            State::Releasing | State::Declining => self.parted(now),
            State::Informing => {
                let (lease, refresh) = read_information(message.options, server);
                self.lease = Some(lease);
                self.act(Action::Configure);
                (self.state, self.sent, self.at) = (State::Informed, 0, Some(now + refresh));
            }
            _ => {}
        }
    }

    fn on_grant(&mut self, now: Instant, message: &Message<'_>, server: Duid) {
        let asked = match self.state {
            State::Requesting => self.offer.as_ref().map(|(offer, _)| &offer.server),
            State::Renewing => self.lease.as_ref().map(|lease| &lease.server),
            _ => None,
        };
        // What went to one server is for none else to answer.
        if asked.is_some_and(|asked| *asked != server) {
            return;
        }
        match read(message.options, server, self.iaid, now) {
            Ok(lease) => {
                (self.failures, self.offer) = (0, None);
                self.lease = Some(lease);
                self.act(Action::Configure);
                self.resume();
            }
            // RFC 9915 §18.2.10.1: a server that does not know of it is asked for it.
            Err(status::NO_BINDING) if self.state != State::Requesting && message.has_ia(self.iaid) => {
                self.offer = self.lease.clone().map(|lease| (lease, 0));
                self.begin_at_once(now, State::Requesting);
            }
            Err(_) if self.state == State::Requesting => self.restart(now),
            // Nothing that could be used: other servers may have more, until T2 or the end.
            Err(_) => {}
        }
    }

    /// The trial of an address has found that somebody has it (RFC 9915 §18.2.10.1).
    pub fn on_duplicate(&mut self, now: Instant, ip: Ipv6Addr) {
        let Some(mut lease) = self.lease.take_if(|l| l.addresses.iter().any(|a| a.ip == ip)) else { return };
        self.act(Action::Deconfigure);
        lease.addresses.retain(|a| a.ip == ip);
        self.parting = Some(lease);
        self.begin_at_once(now, State::Declining);
    }

    /// The link is up, or down. Addresses are kept meanwhile, and confirmed when the link is back (RFC 9915 §18.2.12).
    pub fn on_link(&mut self, now: Instant, up: bool) {
        if core::mem::replace(&mut self.link, up) == up || !up {
            return;
        }
        let has_addresses = self.lease.as_ref().is_some_and(|l| !l.addresses.is_empty());
        match self.state {
            State::Idle | State::Releasing | State::Declining => {}
            State::Informing | State::Informed => self.begin(now, State::Informing, MAX_DELAY),
            _ if has_addresses => self.begin(now, State::Confirming, MAX_DELAY),
            _ => self.begin(now, State::Soliciting, MAX_DELAY),
        }
    }

    /// Gives the addresses back (RFC 9915 §18.2.7), and asks for no others.
    pub fn release(&mut self, now: Instant) {
        self.stateful = false;
        (self.parting, self.offer) = (self.lease.take().filter(|l| !l.addresses.is_empty()), None);
        self.act(Action::Deconfigure);
        match self.parting {
            Some(_) => self.begin_at_once(now, State::Releasing),
            None => (self.state, self.at) = (State::Idle, None),
        }
    }

    /// What is to be done at `now`; to be asked until there is nothing more.
    pub fn poll(&mut self, now: Instant) -> Option<Action> {
        if self.actions.is_empty() {
            self.drop_expired(now);
            if self.actions.is_empty() && self.link && self.at.is_some_and(|at| at <= now) {
                self.on_deadline(now);
            }
        }
        self.actions.pop_front()
    }

    /// When there is something to be done, at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        if !self.actions.is_empty() {
            return Some(Instant::ZERO);
        }
        let at = self.at.filter(|_| self.link);
        [at, self.lease.as_ref().and_then(Lease6::expires)].into_iter().flatten().min()
    }

    /// What is in force.
    pub fn lease(&self) -> Option<&Lease6> {
        self.lease.as_ref()
    }

    fn drop_expired(&mut self, now: Instant) {
        let Some(lease) = self.lease.as_mut().filter(|l| l.expires().is_some_and(|at| at <= now)) else { return };
        lease.addresses.retain(|a| a.valid.is_none_or(|at| at > now));
        if lease.addresses.is_empty() {
            self.lease = None;
            self.act(Action::Deconfigure);
            self.begin(now, State::Soliciting, MAX_DELAY);
        } else {
            self.act(Action::Configure);
        }
    }

    fn on_deadline(&mut self, now: Instant) {
        let t2 = self.lease.as_ref().and_then(|l| l.t2);
        match self.state {
            State::Idle => self.at = None,
            State::Soliciting if self.offer.is_some() => self.begin_at_once(now, State::Requesting),
            State::Bound => self.begin_at_once(now, State::Renewing),
            State::Renewing if t2.is_some_and(|t2| t2 <= now) => self.begin_at_once(now, State::Rebinding),
            State::Informed => self.begin(now, State::Informing, Duration::ZERO),
            // RFC 9915 §18.2.3: nobody objects; the addresses are used as before.
            State::Confirming if self.started.is_some_and(|at| now >= at + CONFIRM_TIME) => self.resume(),
            _ if self.timing().count > 0 && self.sent >= self.timing().count => match self.state {
                State::Releasing | State::Declining => self.parted(now),
                _ => self.restart(now),
            },
            _ => self.transmit(now),
        }
    }

    /// Another attempt from the beginning, after a pause that grows.
    fn restart(&mut self, now: Instant) {
        if self.lease.take().is_some() {
            self.act(Action::Deconfigure);
        }
        self.offer = None;
        let pause = Duration::from_secs(1 << self.failures.min(7)).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        self.begin(now, State::Soliciting, MAX_DELAY);
        self.at = self.at.map(|at| at + pause);
    }

    /// What was given back, or refused, is of no concern any more.
    fn parted(&mut self, now: Instant) {
        self.parting = None;
        if self.stateful {
            return self.restart(now);
        }
        (self.state, self.at, self.sent) = (State::Idle, None, 0);
    }

    /// Uses the lease until T1.
    fn resume(&mut self) {
        (self.state, self.sent) = (State::Bound, 0);
        self.at = self.lease.as_ref().and_then(|l| l.t1);
    }

    fn begin_at_once(&mut self, now: Instant, state: State) {
        self.begin(now, state, Duration::ZERO);
        self.transmit(now);
    }

    /// A new exchange, whose first message leaves after a random part of `delay`.
    fn begin(&mut self, now: Instant, state: State, delay: Duration) {
        (self.state, self.started, self.sent, self.rt) = (state, None, 0, Duration::ZERO);
        self.transaction = self.rng.next_u32() >> 8;
        let wait = Duration::from_micros(u64::from(self.rng.below(delay.as_micros() as u32)));
        self.at = Some(now + wait);
        if state == State::Soliciting {
            self.offer = None;
        }
    }

    fn timing(&self) -> Timing {
        let secs = Duration::from_secs;
        let (first, most, count) = match self.state {
            State::Requesting => (1, secs(30), 10),
            State::Confirming => (1, secs(4), 0),
            State::Renewing | State::Rebinding => (10, secs(600), 0),
            State::Releasing | State::Declining => (1, Duration::ZERO, 4),
            State::Informing => (1, self.inf_max_rt, 0),
            _ => (1, self.sol_max_rt, 0),
        };
        Timing { first: secs(first), most, count }
    }

    /// Sends the exchange's message (again).
    fn transmit(&mut self, now: Instant) {
        let kind = match self.state {
            State::Soliciting => Kind::Solicit,
            State::Requesting => Kind::Request,
            State::Renewing => Kind::Renew,
            State::Rebinding => Kind::Rebind,
            State::Confirming => Kind::Confirm,
            State::Releasing => Kind::Release,
            State::Declining => Kind::Decline,
            State::Informing => Kind::Inform,
            State::Idle | State::Bound | State::Informed => return,
        };
        let started = *self.started.get_or_insert(now);
        let elapsed = (now.since(started).as_millis() / 10).min(u64::from(u16::MAX)) as u16;
        self.act(Action::Send(Outgoing { kind, transaction: self.transaction, elapsed }));
        self.rt = self.next_rt();
        self.sent = self.sent.saturating_add(1);
        let until = match self.state {
            State::Renewing => self.lease.as_ref().and_then(|l| l.t2),
            State::Confirming => Some(started + CONFIRM_TIME),
            _ => None,
        };
        let at = now + self.rt;
        self.at = Some(until.map_or(at, |until| at.min(until)));
    }

    /// RFC 9915 §15.
    fn next_rt(&mut self) -> Duration {
        let Timing { first, most, .. } = self.timing();
        //= https://www.rfc-editor.org/rfc/rfc9915#section-18.2.1
        //# The first RT MUST be selected to be strictly greater than IRT by
        //# choosing RAND to be strictly greater than 0.
        let solicits = self.state == State::Soliciting && self.sent == 0;
        let base = if self.sent == 0 { first } else { self.rt + self.rt };
        let rt = self.jittered(base, if self.sent == 0 { first } else { self.rt }, solicits);
        if most > Duration::ZERO && rt > most { self.jittered(most, most, false) } else { rt }
    }

    /// `base` and a tenth of `of` more or less; only more, if `more`.
    fn jittered(&mut self, base: Duration, of: Duration, more: bool) -> Duration {
        let tenth = u32::try_from(of.as_micros() / 10).unwrap_or(u32::MAX / 2);
        let micros = base.as_micros();
        Duration::from_micros(match more {
            true => micros + 1 + u64::from(self.rng.below(tenth)),
            false => micros - u64::from(tenth) + u64::from(self.rng.below(tenth.saturating_mul(2))),
        })
    }

    fn act(&mut self, action: Action) {
        let queued = self.actions.push_back(action);
        debug_assert!(queued.is_ok(), "one event leads to three actions at most, and they are taken before the next");
    }

    /// Writes a message; its length.
    pub fn write(&self, out: &Outgoing, buf: &mut [u8; ROOM]) -> usize {
        let mut w = Writer::new(buf, out.kind, out.transaction);
        w.option(code::CLIENT_ID, &[&self.duid]);
        w.option(code::ELAPSED, &[&out.elapsed.to_be_bytes()]);
        let of = match out.kind {
            Kind::Request => self.offer.as_ref().map(|(offer, _)| offer),
            Kind::Release | Kind::Decline => self.parting.as_ref(),
            Kind::Solicit | Kind::Inform => None,
            _ => self.lease.as_ref(),
        };
        // RFC 9915 §18.2: those messages that go to one server say to which.
        if let Some(lease) = of.filter(|_| !matches!(out.kind, Kind::Confirm | Kind::Rebind)) {
            w.option(code::SERVER_ID, &[lease.server.octets()]);
        }
        if out.kind != Kind::Inform {
            self.write_ia(&mut w, of);
        }
        let wanted: &[u16] = match out.kind {
            Kind::Inform => &[code::DNS, code::DOMAINS, code::REFRESH_TIME, code::INF_MAX_RT],
            Kind::Solicit | Kind::Request | Kind::Renew | Kind::Rebind => &[code::DNS, code::DOMAINS, code::SOL_MAX_RT],
            _ => &[],
        };
        let mut octets = heapless::Vec::<u8, 8>::new();
        wanted.iter().for_each(|code| _ = octets.extend_from_slice(&code.to_be_bytes()));
        if !octets.is_empty() {
            w.option(code::OPTION_REQUEST, &[&octets]);
        }
        w.finish()
    }

    /// The IA with the addresses of `lease`, whose lifetimes and times are the server's to say (RFC 9915 §18.2.4).
    fn write_ia(&self, w: &mut Writer<'_>, lease: Option<&Lease6>) {
        let mut inner = heapless::Vec::<u8, 64>::new();
        for address in lease.map(|l| l.addresses.as_slice()).unwrap_or_default() {
            // Two addresses of 28 octets have room.
            let _ = inner.extend_from_slice(&[0, code::IA_ADDRESS as u8, 0, 24]);
            let _ = inner.extend_from_slice(&address.ip.octets());
            let _ = inner.extend_from_slice(&[0; 8]);
        }
        w.option(code::IA_NA, &[&self.iaid.to_be_bytes(), &[0; 8], &inner]);
    }
}

impl Message<'_> {
    /// Whether it says anything of this IA.
    fn has_ia(&self, iaid: u32) -> bool {
        self.options.iter().any(|(c, data)| c == code::IA_NA && data.starts_with(&iaid.to_be_bytes()))
    }
}

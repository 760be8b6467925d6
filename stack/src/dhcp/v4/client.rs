//! The client's side of DHCP, without I/O: messages, times and what was learned of the link go in; what is to be sent,
//! probed for, configured and taken away comes out.
//!
//! Implements RFC 2131 §4.4 and its figure 5.
//!
//! ```text
//!            DISCOVER            OFFER / REQUEST           ACK            free
//!   INIT ───────────▶ SELECTING ────────────▶ REQUESTING ─────▶ PROBING ─────▶ BOUND ◀──── ACK ─────┐
//!    ▲                                          │ NAK             │ taken        │ T1              │
//!    │◀─────────────────────────────────────────┘ ◀── DECLINE ────┘              ▼                 │
//!    │◀───────────── lease over, NAK ─────────────────────────────── RENEWING ── T2 ──▶ REBINDING ──┤
//!    │◀──────────────── NAK ──────────────── REBOOTING (link up, or an address remembered) ── ACK ──┘
//! ```

use super::lease::Lease;
use super::message::{BOOTREPLY, BOOTREQUEST, Head, Kind, Message, ROOM, Writer, code};
use crate::device::Mac;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use core::net::Ipv4Addr;
use heapless::Deque;

/// RFC 2131 §4.1: the first answer is waited for as long; twice as long each time, up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_secs(4);
/// RFC 2131 §4.1.
const LONGEST_WAIT: Duration = Duration::from_secs(64);
/// Each of these waits is longer or shorter by up to a second (RFC 2131 §4.1).
const JITTER: u32 = 1_000_000;
/// REQUESTs sent before another server is looked for, or an old lease is used without answer: 4, for a minute in all.
const REQUESTS: u8 = 4;
/// RFC 2131 §3.1 (5): after a DECLINE.
const DECLINE_WAIT: Duration = Duration::from_secs(10);
/// RFC 2131 §4.4.5: requests while renewing and rebinding are no closer together.
const RENEW_WAIT: Duration = Duration::from_secs(60);
/// Octets of a host name sent, at most.
const MAX_NAME: usize = 63;

/// Settings of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DhcpOptions<'n> {
    /// Our name, for the server's records (RFC 2132 §3.14); at most 63 octets of it are sent.
    pub host_name: Option<&'n str>,
    /// The address of an earlier life, to be asked for first (INIT-REBOOT).
    pub remembered: Option<Ipv4Addr>,
    /// The first message leaves after a random time up to this, so that a building whose power comes back does not ask
    /// at once. RFC 2131 §4.4.1 has one to ten seconds; at most 500 ms by default, since most starts are alone.
    pub start_within: Duration,
    /// How the address is probed for before it is used: by default as RFC 5227 §1.1 has it, which takes 4 to 7 seconds.
    /// [`ProbeTiming::QUICK`](crate::stack::ProbeTiming::QUICK) is for those who cannot wait.
    pub probing: crate::link::acd::ProbeTiming,
}

impl Default for DhcpOptions<'_> {
    fn default() -> Self {
        Self {
            host_name: None,
            remembered: None,
            start_within: Duration::from_millis(500),
            probing: crate::link::acd::ProbeTiming::RFC5227,
        }
    }
}

/// The states of RFC 2131's figure 5; INIT-REBOOT is passed through at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Init,
    Selecting,
    Requesting,
    Rebooting,
    Probing,
    Bound,
    Renewing,
    Rebinding,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Send(Outgoing),
    /// Find out whether somebody has this address; [`Client::on_probed`] takes the answer.
    Probe(Ipv4Addr),
    /// [`Client::lease`] is in force, anew or renewed.
    Configure,
    /// The lease is over: this address, and what belongs to it, must not be used any more.
    Deconfigure(Ipv4Addr),
}

/// A message to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outgoing {
    kind: Kind,
    xid: u32,
    secs: u16,
    ciaddr: Ipv4Addr,
    requested: Option<Ipv4Addr>,
    server: Option<Ipv4Addr>,
    /// Where it goes; the broadcast address for all.
    pub to: Ipv4Addr,
}

impl Outgoing {
    /// The source address: ours once we have it, else the unspecified one.
    pub fn from(&self) -> Ipv4Addr {
        self.ciaddr
    }
}

/// The protocol's state.
pub(super) struct Client {
    mac: Mac,
    name: heapless::Vec<u8, MAX_NAME>,
    largest: u16,
    state: State,
    rng: Rng,
    xid: u32,
    /// When this attempt to get an address began.
    started: Instant,
    /// When the first request of this exchange left: the lease counts from then (RFC 2131 §4.4.1).
    requested_at: Instant,
    /// Messages of this exchange sent.
    tries: u8,
    /// Attempts since the last lease that have failed.
    failures: u8,
    next: Option<Instant>,
    remembered: Option<Ipv4Addr>,
    /// The offer that was taken, or the lease that is probed.
    offered: Option<Lease>,
    lease: Option<Lease>,
    link: bool,
    actions: Deque<Action, 4>,
}

impl Client {
    /// A client on an Ethernet link, which takes IP packets of `mtu` octets, that begins soon.
    pub fn new(now: Instant, mac: Mac, mtu: usize, options: &DhcpOptions<'_>, mut rng: Rng) -> Self {
        let mut name = heapless::Vec::new();
        let text = options.host_name.unwrap_or("").as_bytes();
        let _ = name.extend_from_slice(text.get(..text.len().min(MAX_NAME)).unwrap_or(&[]));
        let within = u32::try_from(options.start_within.as_micros()).unwrap_or(u32::MAX);
        let next = now + Duration::from_micros(u64::from(rng.below(within)));
        Self {
            mac,
            name,
            // RFC 2132 §9.10: 576 at least.
            largest: mtu.clamp(576, 1_500) as u16,
            state: State::Init,
            rng,
            xid: 0,
            started: now,
            requested_at: now,
            tries: 0,
            failures: 0,
            next: Some(next),
            remembered: options.remembered,
            offered: None,
            lease: None,
            link: true,
            actions: Deque::new(),
        }
    }

    /// A message of a server has come.
    pub fn handle(&mut self, now: Instant, bytes: &[u8]) {
        let Ok(message) = Message::parse(bytes) else { return };
        if message.op() != BOOTREPLY || message.xid() != self.xid || message.chaddr() != self.mac || !self.link {
            return;
        }
        let Ok(kind) = message.kind() else { return };
        match kind {
            Kind::Offer if self.state == State::Selecting => self.on_offer(now, &message),
            Kind::Ack => self.on_ack(now, &message),
            Kind::Nak => self.on_nak(now, &message),
            _ => {}
        }
    }

    /// Whether the address that was to be probed for is free.
    pub fn on_probed(&mut self, now: Instant, free: bool) {
        if self.state != State::Probing {
            return;
        }
        let Some(lease) = self.offered.take() else { return self.restart(now) };
        if free {
            return self.bind(now, lease);
        }
        self.decline(now, &lease);
    }

    /// Somebody uses our address, and insists (RFC 5227 §2.4).
    pub fn on_conflict(&mut self, now: Instant, ip: Ipv4Addr) {
        if self.lease.as_ref().is_some_and(|l| l.ip() == ip)
            && let Some(lease) = self.lease.take()
        {
            self.act(Action::Deconfigure(ip));
            self.decline(now, &lease);
        }
    }

    /// The link is up, or down. A lease is kept meanwhile, and verified when the link is back: it may be another one
    /// (RFC 2131 §3.7).
    pub fn on_link(&mut self, now: Instant, up: bool) {
        if core::mem::replace(&mut self.link, up) == up || !up {
            return;
        }
        match &self.lease {
            Some(lease) => {
                let ip = lease.ip();
                self.reboot(now, ip);
            }
            None => {
                self.failures = 0;
                self.restart(now);
            }
        }
    }

    /// Gives the address back.
    pub fn release(&mut self) {
        if let Some(lease) = self.lease.take() {
            let (ip, server) = (lease.ip(), lease.server());
            self.new_xid();
            let goodbye = Outgoing { server: Some(server), to: server, ..self.message(Kind::Release, ip) };
            self.act(Action::Send(goodbye));
            self.act(Action::Deconfigure(ip));
        }
        (self.state, self.next, self.offered) = (State::Init, None, None);
    }

    /// What is to be done at `now`; to be asked until there is nothing more.
    pub fn poll(&mut self, now: Instant) -> Option<Action> {
        if self.actions.is_empty() {
            if self.lease.as_ref().and_then(Lease::expires).is_some_and(|at| at <= now) {
                self.lose();
                self.restart(now);
            } else if self.link && self.next.is_some_and(|at| at <= now) {
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
        let next = self.next.filter(|_| self.link);
        let expires = self.lease.as_ref().and_then(Lease::expires);
        match (next, expires) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// The lease in force.
    pub fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// Writes a message; its length.
    pub fn write(&self, out: &Outgoing, buf: &mut [u8; ROOM]) -> usize {
        let any = Ipv4Addr::UNSPECIFIED;
        let Outgoing { kind, xid, secs, mut ciaddr, requested, server, to: _ } = *out;
        if matches!(kind, Kind::Decline) {
            ciaddr = any;
        }
        // Without an address, we take no unicast (RFC 2131 §4.1).
        let broadcast = ciaddr.is_unspecified() && matches!(kind, Kind::Discover | Kind::Request);
        let head = Head { op: BOOTREQUEST, xid, secs, broadcast, ciaddr, yiaddr: any, giaddr: any, chaddr: self.mac };
        let mut writer = Writer::new(buf, &head, kind);
        let [a, b, c, d, e, f] = self.mac.0;
        writer.option(code::CLIENT_ID, &[1, a, b, c, d, e, f]);
        if let Some(ip) = requested {
            writer.option(code::REQUESTED_ADDRESS, &ip.octets());
        }
        if let Some(ip) = server {
            writer.option(code::SERVER_ID, &ip.octets());
        }
        if matches!(kind, Kind::Discover | Kind::Request) {
            writer.option(code::MAX_MESSAGE_SIZE, &self.largest.to_be_bytes());
            // RFC 3442 §3: the classless routes before the routers.
            let wanted = [
                code::SUBNET_MASK,
                code::CLASSLESS_ROUTES,
                code::ROUTER,
                code::DNS,
                code::DOMAIN_NAME,
                code::MTU,
                code::LEASE_TIME,
                code::T1,
                code::T2,
            ];
            writer.option(code::PARAMETER_LIST, &wanted);
            if !self.name.is_empty() {
                writer.option(code::HOST_NAME, &self.name);
            }
        }
        writer.finish()
    }

    fn on_deadline(&mut self, now: Instant) {
        match self.state {
            State::Init => self.begin(now),
            State::Selecting => self.request(now),
            State::Requesting if self.tries >= REQUESTS => self.fail(now),
            State::Requesting => self.request(now),
            State::Rebooting if self.tries >= REQUESTS => match self.lease.take() {
                // RFC 2131 §3.2 (3): nobody answers, and the lease is not over.
                Some(lease) => self.resume(now, lease),
                None => self.restart(now),
            },
            State::Rebooting => self.request(now),
            State::Probing => self.next = None,
            State::Bound | State::Renewing | State::Rebinding => self.renew(now),
        }
    }

    /// INIT: by an address of an earlier life, or by asking who is there.
    fn begin(&mut self, now: Instant) {
        self.started = now;
        if let Some(ip) = self.remembered.take() {
            return self.reboot(now, ip);
        }
        self.new_xid();
        self.state = State::Selecting;
        self.request(now);
    }

    fn reboot(&mut self, now: Instant, ip: Ipv4Addr) {
        self.new_xid();
        (self.started, self.requested_at) = (now, now);
        self.remembered = self.lease.is_none().then_some(ip);
        self.state = State::Rebooting;
        self.request(now);
    }

    /// Sends the state's message (again), and waits for the answer as RFC 2131 §4.1 has it.
    fn request(&mut self, now: Instant) {
        let none = Ipv4Addr::UNSPECIFIED;
        let message = match self.state {
            State::Selecting => self.message(Kind::Discover, none),
            State::Requesting => Outgoing {
                requested: self.offered.as_ref().map(Lease::ip),
                server: self.offered.as_ref().map(Lease::server),
                ..self.message(Kind::Request, none)
            },
            // RFC 2131 §4.3.2: with the address, without a server.
            _ => Outgoing {
                requested: self.remembered.or(self.lease.as_ref().map(Lease::ip)),
                ..self.message(Kind::Request, none)
            },
        };
        let secs = secs_of(now.since(self.started));
        self.act(Action::Send(Outgoing { secs, ..message }));
        self.next = Some(now + self.wait(self.tries));
        self.tries = self.tries.saturating_add(1);
    }

    fn on_offer(&mut self, now: Instant, message: &Message<'_>) {
        let Ok(offer) = Lease::read(message, now) else { return };
        if offer.is_empty() {
            return;
        }
        self.offered = Some(offer);
        (self.state, self.tries, self.requested_at) = (State::Requesting, 0, now);
        self.request(now);
    }

    fn on_ack(&mut self, now: Instant, message: &Message<'_>) {
        let Ok(lease) = Lease::read(message, self.requested_at) else { return };
        let (wanted, server) = match self.state {
            State::Requesting => (self.offered.as_ref().map(Lease::ip), self.offered.as_ref().map(Lease::server)),
            State::Renewing => (self.lease.as_ref().map(Lease::ip), self.lease.as_ref().map(Lease::server)),
            // Any server may answer what was sent to all.
            State::Rebooting => (self.remembered.or(self.lease.as_ref().map(Lease::ip)), None),
            State::Rebinding => (self.lease.as_ref().map(Lease::ip), None),
            _ => return,
        };
        if wanted != Some(lease.ip()) || server.is_some_and(|s| s != lease.server()) {
            return;
        }
        if lease.is_empty() || lease.expires().is_some_and(|at| at <= now) {
            self.lose();
            return self.fail(now);
        }
        self.remembered = None;
        if self.lease.is_some() {
            return self.bind(now, lease);
        }
        //= https://www.rfc-editor.org/rfc/rfc2131#section-4.4.1
        //# The client SHOULD perform a check on the suggested address to ensure
        //# that the address is not already in use.
        self.act(Action::Probe(lease.ip()));
        self.offered = Some(lease);
        (self.state, self.next) = (State::Probing, None);
    }

    fn on_nak(&mut self, now: Instant, message: &Message<'_>) {
        let Ok(Some(server)) = message.address(code::SERVER_ID) else { return };
        let from_ours = |lease: &Option<Lease>| lease.as_ref().is_some_and(|l| l.server() == server);
        match self.state {
            State::Requesting if from_ours(&self.offered) => self.fail(now),
            State::Renewing if from_ours(&self.lease) => self.fail(now),
            State::Rebooting | State::Rebinding => self.fail(now),
            _ => {}
        }
    }

    /// What was asked for is refused: another attempt, at once the first time, then after ever longer waits.
    fn fail(&mut self, now: Instant) {
        self.lose();
        let wait = match self.failures.checked_sub(1) {
            None => Duration::ZERO,
            Some(n) => self.wait(n),
        };
        self.failures = self.failures.saturating_add(1);
        self.restart(now);
        self.next = Some(now + wait);
    }

    fn decline(&mut self, now: Instant, lease: &Lease) {
        self.new_xid();
        let none = Ipv4Addr::UNSPECIFIED;
        let (requested, server) = (Some(lease.ip()), Some(lease.server()));
        let decline = Outgoing { requested, server, ..self.message(Kind::Decline, none) };
        self.act(Action::Send(decline));
        self.restart(now);
        //= https://www.rfc-editor.org/rfc/rfc2131#section-3.1
        //# The client SHOULD wait a minimum of ten seconds before
        //# restarting the configuration process to avoid excessive network
        //# traffic in case of looping.
        self.next = Some(now + DECLINE_WAIT + Duration::from_micros(u64::from(self.rng.below(JITTER))));
    }

    fn restart(&mut self, now: Instant) {
        (self.state, self.offered, self.remembered) = (State::Init, None, None);
        self.next = Some(now);
    }

    /// The lease, if any, is over.
    fn lose(&mut self) {
        if let Some(lease) = self.lease.take() {
            self.act(Action::Deconfigure(lease.ip()));
        }
    }

    fn bind(&mut self, now: Instant, lease: Lease) {
        self.failures = 0;
        self.act(Action::Configure);
        self.resume(now, lease);
    }

    /// Uses a lease until T1.
    fn resume(&mut self, now: Instant, lease: Lease) {
        self.state = State::Bound;
        self.next = lease.t1().map(|t1| t1.max(now));
        self.lease = Some(lease);
    }

    /// T1 or T2 has come, or a request of those times went without answer.
    fn renew(&mut self, now: Instant) {
        let Some(lease) = &self.lease else { return self.restart(now) };
        let (Some(t2), Some(end)) = (lease.t2(), lease.expires()) else {
            self.next = None;
            return;
        };
        let (ip, server) = (lease.ip(), lease.server());
        let (state, to, until) = match now < t2 {
            true => (State::Renewing, server, t2),
            false => (State::Rebinding, Ipv4Addr::BROADCAST, end),
        };
        if self.state != state {
            self.new_xid();
            (self.state, self.started, self.requested_at) = (state, now, now);
        }
        let secs = secs_of(now.since(self.started));
        self.act(Action::Send(Outgoing { to, secs, ..self.message(Kind::Request, ip) }));
        //= https://www.rfc-editor.org/rfc/rfc2131#section-4.4.5
        //# In both RENEWING and REBINDING states, if the client receives no
        //# response to its DHCPREQUEST message, the client SHOULD wait one-half
        //# of the remaining time until T2 (in RENEWING state) and one-half of
        //# the remaining lease time (in REBINDING state), down to a minimum of
        //# 60 seconds, before retransmitting the DHCPREQUEST message.
        let half = until.since(now) / 2;
        self.next = Some((now + half.max(RENEW_WAIT)).min(until));
    }

    fn message(&self, kind: Kind, ciaddr: Ipv4Addr) -> Outgoing {
        let (requested, server) = (None, None);
        Outgoing { kind, xid: self.xid, secs: 0, ciaddr, requested, server, to: Ipv4Addr::BROADCAST }
    }

    fn new_xid(&mut self) {
        self.xid = self.rng.next_u32();
        self.tries = 0;
    }

    /// The wait for an answer to the message sent after `n` others, a random second more or less.
    fn wait(&mut self, n: u8) -> Duration {
        let wait = FIRST_WAIT * 1u32.checked_shl(u32::from(n)).unwrap_or(u32::MAX);
        let wait = wait.min(LONGEST_WAIT).saturating_sub(Duration::from_micros(u64::from(JITTER)));
        wait.saturating_add(Duration::from_micros(u64::from(self.rng.below(2 * JITTER))))
    }

    fn act(&mut self, action: Action) {
        let queued = self.actions.push_back(action);
        debug_assert!(queued.is_ok(), "one event leads to three actions at most, and they are taken before the next");
    }
}

/// Whole seconds as the message's field has them, 65,535 at most. Steps of 64 µs fit 32 bits for three days, and dividing 64 bits
/// takes a library on small processors.
fn secs_of(span: Duration) -> u16 {
    let secs = u32::try_from(span.as_micros() >> 6).map_or(u32::MAX, |parts| parts / 15_625);
    secs.min(u32::from(u16::MAX)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_whole_and_end_at_what_the_field_holds() {
        for micros in [0, 999_999, 1_000_000, 1_999_999, 65_534_999_999, 65_535_000_000, 65_536_000_000, u64::MAX] {
            let whole = (micros / 1_000_000).min(65_535);
            assert_eq!(u64::from(secs_of(Duration::from_micros(micros))), whole, "{micros}");
        }
    }
}

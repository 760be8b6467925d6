//! The DHCP client on a whole stack, against a server that says exactly what a test wants.

use ringtap::device::{Capabilities, Link, Medium};
use ringtap::dhcp::v4::{DhcpClient, DhcpEvent, DhcpOptions};
use ringtap::error::TcpError;
use ringtap::ip::addr::Cidr;
use ringtap::ip::route::Route;
use ringtap::stack::ProbeTiming;
use ringtap::tcp::TcpOptions;
use ringtap::time::{Duration, Instant};
use ringtap_sim::Bench;
use ringtap_sim::bench::{ALL, H, H_MAC, P, P_MAC, R, R_MAC, Setup};
use ringtap_sim::packet::{self, Ip, Seen};
use std::net::{IpAddr, Ipv4Addr};

const NOBODY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const EVERYBODY: Ipv4Addr = Ipv4Addr::BROADCAST;
const OFFER: u8 = 2;
const ACK: u8 = 5;
const NAK: u8 = 6;
const DISCOVER: u8 = 1;
const REQUEST: u8 = 3;
const DECLINE: u8 = 4;
const RELEASE: u8 = 7;

/// A message of the client's.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    kind: u8,
    xid: [u8; 4],
    secs: u16,
    broadcast: bool,
    ciaddr: Ipv4Addr,
    options: Vec<(u8, Vec<u8>)>,
    from: Ipv4Addr,
    to: Ipv4Addr,
}

impl Asked {
    fn read(seen: &Seen) -> Option<Self> {
        let Seen::Udp((from, 68), (to, 67), m) = seen else { return None };
        assert!(m.len() >= 300 && m[..3] == [1, 1, 6] && m[28..34] == H_MAC && m[236..240] == [99, 130, 83, 99]);
        let mut options = Vec::new();
        let mut rest = &m[240..];
        while rest[0] != 255 {
            let len = usize::from(rest[1]);
            options.push((rest[0], rest[2..2 + len].to_vec()));
            rest = &rest[2 + len..];
        }
        let quad = |at: usize| -> [u8; 4] { m[at..at + 4].try_into().expect("four") };
        let kind = options.iter().find(|o| o.0 == 53).expect("a type").1[0];
        let secs = u16::from_be_bytes([m[8], m[9]]);
        let (ciaddr, xid) = (quad(12).into(), quad(4));
        Some(Self { kind, xid, secs, broadcast: m[10] == 0x80, ciaddr, options, from: *from, to: *to })
    }

    fn option(&self, code: u8) -> Option<&[u8]> {
        self.options.iter().find(|o| o.0 == code).map(|o| &o.1[..])
    }
}

/// A server's answer; what is not said is what an honest one would say.
#[derive(Clone)]
struct Answer {
    kind: u8,
    xid: [u8; 4],
    op: u8,
    chaddr: [u8; 6],
    yiaddr: Ipv4Addr,
    /// In the order sent; a later one of the same code takes the place of an earlier one.
    options: Vec<(u8, Vec<u8>)>,
    end: bool,
    from: Ipv4Addr,
}

impl Answer {
    fn new(kind: u8, asked: &Asked) -> Self {
        let mut options = vec![(53, vec![kind]), (54, R.octets().to_vec())];
        if kind != NAK {
            options.extend([(1, vec![255, 255, 255, 0]), (3, R.octets().to_vec()), (6, R.octets().to_vec())]);
            options.push((51, 3600u32.to_be_bytes().to_vec()));
        }
        let yiaddr = if kind == NAK { NOBODY } else { H };
        Self { kind, xid: asked.xid, op: 2, chaddr: H_MAC, yiaddr, options, end: true, from: R }
    }

    fn with(mut self, code: u8, data: &[u8]) -> Self {
        self.options.retain(|o| o.0 != code);
        self.options.push((code, data.to_vec()));
        self
    }

    fn without(mut self, code: u8) -> Self {
        self.options.retain(|o| o.0 != code);
        self
    }

    fn of(mut self, server: Ipv4Addr) -> Self {
        self.from = server;
        self.with(54, &server.octets())
    }

    fn octets(&self) -> Vec<u8> {
        let mut m = vec![0; 240];
        m[..4].copy_from_slice(&[self.op, 1, 6, 0]);
        m[4..8].copy_from_slice(&self.xid);
        m[16..20].copy_from_slice(&self.yiaddr.octets());
        m[28..34].copy_from_slice(&self.chaddr);
        m[236..].copy_from_slice(&[99, 130, 83, 99]);
        for (code, data) in &self.options {
            m.extend([*code, data.len() as u8]);
            m.extend(data);
        }
        m.extend(self.end.then_some(255));
        m
    }
}

/// Probes that take a second: most tests look at other things.
fn quick() -> DhcpOptions<'static> {
    DhcpOptions { probing: ProbeTiming::QUICK, ..DhcpOptions::default() }
}

struct World {
    b: Bench,
    client: DhcpClient,
    events: Vec<(Instant, DhcpEvent)>,
    /// The other station that answers probes for H.
    squatter: bool,
}

impl World {
    fn new() -> Self {
        Self::with(&quick())
    }

    fn with(options: &DhcpOptions<'_>) -> Self {
        Self::on(Bench::new(), options)
    }

    fn on(mut b: Bench, options: &DhcpOptions<'_>) -> Self {
        b.stack.remove_address(b.iface, IpAddr::V4(H)).expect("there");
        b.stack.remove_interface_routes();
        let client = DhcpClient::start(&mut b.stack, b.now, b.iface, options).expect("a client");
        b.resolves = true;
        Self { b, client, events: Vec::new(), squatter: false }
    }

    /// Everything that is to be done now; what was sent.
    fn turn(&mut self) -> Vec<Seen> {
        let mut all = Vec::new();
        loop {
            let seen = self.b.poll();
            let mut quiet = seen.is_empty();
            while let Some(event) = self.client.poll(&mut self.b.stack, self.b.now) {
                self.events.push((self.b.now, event));
                quiet = false;
            }
            for s in seen {
                if matches!(s, Seen::Arp(1, _, NOBODY, H)) && self.squatter {
                    let answer = packet::arp(2, P_MAC, H, H_MAC, NOBODY);
                    self.b.nic.rx.push_back(packet::ethernet(H_MAC, P_MAC, 0x0806, &answer));
                }
                all.push(s);
            }
            if quiet && self.b.nic.rx.is_empty() && self.b.stack.next_deadline().is_none_or(|t| t > self.b.now) {
                return all;
            }
        }
    }

    /// Time passes.
    fn pass(&mut self, time: Duration) -> Vec<(Instant, Seen)> {
        let end = self.b.now + time;
        let mut all = Vec::new();
        for _ in 0..100_000 {
            all.extend(self.turn().into_iter().map(|s| (self.b.now, s)));
            let next = [self.b.stack.next_deadline(), self.client.deadline()].into_iter().flatten().min();
            match next {
                Some(at) if at <= end => self.b.now = self.b.now.max(at),
                _ => {
                    self.b.now = end;
                    return all;
                }
            }
        }
        panic!("the client spins");
    }

    /// As [`pass`](Self::pass); only the client's messages.
    fn asked(&mut self, time: Duration) -> Vec<(Instant, Asked)> {
        self.pass(time).iter().filter_map(|(at, s)| Some((*at, Asked::read(s)?))).collect()
    }

    /// Time passes until the client says something, a minute at most.
    fn next(&mut self) -> Asked {
        for _ in 0..6_000 {
            if let Some((_, asked)) = self.asked(Duration::from_millis(20)).into_iter().next() {
                return asked;
            }
        }
        panic!("the client says nothing");
    }

    /// An answer arrives; what the client says to it at once.
    fn give(&mut self, answer: &Answer) -> Option<Asked> {
        let udp = packet::udp((answer.from, 67), (EVERYBODY, 68), &answer.octets());
        let ip = Ip::new(answer.from, EVERYBODY, 17).build(&udp);
        self.b.nic.rx.push_back(packet::ethernet(ALL, R_MAC, 0x0800, &ip));
        self.turn().iter().find_map(Asked::read)
    }

    /// Gets the address, with these options in the ACK.
    fn bound(mut self, change: impl Fn(Answer) -> Answer) -> Self {
        let discover = self.next();
        let request = self.give(&Answer::new(OFFER, &discover)).expect("a REQUEST");
        assert_eq!(self.give(&change(Answer::new(ACK, &request))), None);
        self.pass(Duration::from_millis(1_500));
        assert_eq!(self.events.pop().map(|e| e.1), Some(DhcpEvent::Configured));
        self
    }

    fn has_address(&self) -> bool {
        self.b.stack.interfaces().any(|i| i.addresses.iter().any(|c| c.addr() == IpAddr::V4(H)))
    }
}

/// What the bench has set up, taken away.
trait RemoveRoutes {
    fn remove_interface_routes(&mut self);
}

impl RemoveRoutes for ringtap::stack::Stack<'static> {
    fn remove_interface_routes(&mut self) {
        let all: Vec<Route> = self.routes().copied().collect();
        all.iter().for_each(|r| self.remove_route(r).expect("there"));
    }
}

fn any() -> Cidr {
    Cidr::new(IpAddr::V4(NOBODY), 0).expect("a prefix")
}

// RFC 2131 §3.1, and the end of H125: the address is announced.
#[test]
fn an_address_is_asked_for_probed_for_announced_and_used_within_five_seconds() {
    let start = DhcpOptions { host_name: Some("tap"), ..quick() };
    let mut w = World::with(&start);
    let begin = w.b.now;
    let discover = w.next();
    assert_eq!((discover.kind, discover.from, discover.to, discover.ciaddr), (DISCOVER, NOBODY, EVERYBODY, NOBODY));
    assert!(discover.broadcast && discover.option(12) == Some(b"tap") && discover.option(50).is_none());
    assert_eq!(discover.option(61), Some(&[&[1], &H_MAC[..]].concat()[..]));
    let wanted = discover.option(55).expect("a list");
    let place = |code| wanted.iter().position(|c| *c == code).expect("wanted");
    assert!(place(121) < place(3), "RFC 3442 has the order");
    let request = w.give(&Answer::new(OFFER, &discover)).expect("a REQUEST");
    assert_eq!((request.kind, request.xid, request.ciaddr), (REQUEST, discover.xid, NOBODY));
    assert_eq!(request.option(50), Some(&H.octets()[..]));
    assert_eq!(request.option(54), Some(&R.octets()[..]));
    assert!(request.broadcast && request.from == NOBODY && request.to == EVERYBODY);
    assert_eq!(w.give(&Answer::new(ACK, &request)), None);
    assert!(!w.has_address(), "not before it is known to be free");
    let sent = w.pass(Duration::from_secs(2));
    let arps: Vec<&Seen> = sent.iter().map(|(_, s)| s).collect();
    let (probe, announcement) = (Seen::Arp(1, H_MAC, NOBODY, H), Seen::Arp(1, H_MAC, H, H));
    assert_eq!(arps, [&probe, &probe, &probe, &announcement]);
    let [(at, DhcpEvent::Configured)] = w.events[..] else { panic!("{:?}", w.events) };
    assert!(at.since(begin) < Duration::from_secs(5), "{at}");
    assert!(w.has_address());
    let routes: Vec<_> = w.b.stack.routes().map(|r| (r.prefix, r.gateway)).collect();
    assert_eq!(routes[1..], [(any(), Some(IpAddr::V4(R)))]);
    let lease = w.client.lease().expect("a lease");
    assert_eq!((lease.dns(), lease.server()), (&[R][..], R));
    let again = w.pass(Duration::from_secs(4));
    assert_eq!(again.iter().map(|(_, s)| s).collect::<Vec<_>>(), [&announcement], "RFC 5227 §2.3: twice");
    w.b = w.b.with_live_neighbors();
    w.b.is_well();
}

// RFC 5227 §1.1: what is not asked for otherwise.
#[test]
fn by_default_an_address_is_probed_for_as_patiently_as_the_rfc_has_it() {
    let mut w = World::with(&DhcpOptions::default());
    let discover = w.next();
    let request = w.give(&Answer::new(OFFER, &discover)).expect("a REQUEST");
    w.give(&Answer::new(ACK, &request));
    let acknowledged = w.b.now;
    let probes: Vec<Instant> = w.pass(Duration::from_secs(8)).iter().map(|(at, _)| *at).collect();
    let [(at, DhcpEvent::Configured)] = w.events[..] else { panic!("{:?}", w.events) };
    assert!((4_000..=7_100).contains(&at.since(acknowledged).as_millis()), "{at}");
    let pauses: Vec<u64> = probes.windows(2).take(2).map(|w| w[1].since(w[0]).as_millis()).collect();
    assert!(pauses.iter().all(|p| (1_000..=2_000).contains(p)), "{pauses:?}");
}

// H122
#[test]
fn offers_that_cannot_be_are_ignored_and_discovery_goes_on() {
    let mut w = World::new();
    let discover = w.next();
    let good = || Answer::new(OFFER, &discover);
    let mut bad = vec![good().without(53), Answer { end: false, ..good() }];
    bad.extend([1, 3, 6, 51, 54, 53].map(|code| good().with(code, &[])));
    bad.extend([good().with(51, &[0; 4]), good().with(54, &[0; 4]), good().with(1, &[255, 0, 255, 0])]);
    for answer in &bad {
        assert_eq!(w.give(answer), None, "{:?}", answer.options);
    }
    let frame = |m: &[u8]| {
        let ip = Ip::new(R, EVERYBODY, 17).build(&packet::udp((R, 67), (EVERYBODY, 68), m));
        packet::ethernet(ALL, R_MAC, 0x0800, &ip)
    };
    let octets = good().octets();
    let mut damaged: Vec<Vec<u8>> = (0..octets.len()).step_by(7).map(|n| octets[..n].to_vec()).collect();
    for (at, value) in [(0, 1), (1, 6), (2, 255), (2, 0), (236, 0), (239, 98), (241, 200)] {
        let mut m = octets.clone();
        m[at] = value;
        damaged.push(m);
    }
    for m in damaged {
        w.b.nic.rx.push_back(frame(&m));
        assert_eq!(w.turn(), [], "{} octets", m.len());
    }
    let again = w.next();
    assert_eq!((again.kind, again.xid), (DISCOVER, discover.xid));
    assert_eq!(w.give(&Answer::new(OFFER, &again)).map(|m| m.kind), Some(REQUEST));
}

// H123
#[test]
fn answers_of_another_exchange_or_server_change_nothing() {
    let mut w = World::new();
    let discover = w.next();
    let good = Answer::new(OFFER, &discover);
    for answer in [
        Answer { xid: [9; 4], ..good.clone() },
        Answer { chaddr: P_MAC, ..good.clone() },
        Answer { op: 1, ..good.clone() },
        Answer::new(ACK, &discover),
        Answer::new(NAK, &discover),
    ] {
        assert_eq!(w.give(&answer), None, "{}", answer.kind);
    }
    let request = w.give(&good).expect("a REQUEST");
    let other = Ipv4Addr::new(192, 0, 2, 200);
    for answer in [
        Answer::new(ACK, &request).of(other),
        Answer::new(NAK, &request).of(other),
        Answer { yiaddr: other, ..Answer::new(ACK, &request) },
        Answer::new(OFFER, &request).of(other),
    ] {
        assert_eq!(w.give(&answer), None);
    }
    assert!(w.asked(Duration::from_millis(100)).is_empty() && w.events.is_empty());
    assert_eq!(w.give(&Answer::new(ACK, &request)), None);
    w.pass(Duration::from_secs(2));
    assert_eq!(w.events.pop().map(|e| e.1), Some(DhcpEvent::Configured));
    for kind in [OFFER, ACK, NAK] {
        assert_eq!(w.give(&Answer::new(kind, &request)), None);
        assert_eq!(w.give(&Answer::new(kind, &request).of(other)), None);
    }
    assert!(w.asked(Duration::from_secs(60)).is_empty() && w.events.is_empty() && w.has_address());
}

// H124
#[test]
fn without_a_server_discoveries_are_4_8_16_32_and_64_seconds_apart_give_or_take_one() {
    let mut w = World::new();
    let asked = w.asked(Duration::from_secs(400));
    let waits: Vec<u64> = asked.windows(2).map(|m| m[1].0.since(m[0].0).as_millis()).collect();
    assert!(asked.iter().all(|(_, m)| m.kind == DISCOVER && m.xid == asked[0].1.xid));
    for (wait, expected) in waits.iter().zip([4, 8, 16, 32, 64, 64, 64]) {
        assert!(wait.abs_diff(expected * 1000) <= 1000, "{waits:?}");
    }
    assert!(waits.len() >= 7 && waits.iter().any(|w| w % 1000 != 0), "{waits:?}");
    assert_eq!(u64::from(asked[4].1.secs), asked[4].0.since(asked[0].0).as_secs());
}

// H124
#[test]
fn endless_refusals_and_empty_leases_lead_to_paced_restarts() {
    for empty in [false, true] {
        let mut w = World::new();
        let mut messages = 0;
        let end = w.b.now + Duration::from_secs(3600);
        while w.b.now < end {
            for (_, asked) in w.asked(Duration::from_millis(100)) {
                messages += 1;
                assert!(!(asked.kind == REQUEST && messages > 200), "too many");
                let request = if asked.kind == DISCOVER { w.give(&Answer::new(OFFER, &asked)) } else { Some(asked) };
                let Some(request) = request else { continue };
                messages += 1;
                let answer = match empty {
                    true => Answer::new(ACK, &request).with(51, &[0; 4]),
                    false => Answer::new(NAK, &request),
                };
                // A restart may be at once, the first time.
                messages += usize::from(w.give(&answer).is_some());
            }
        }
        assert!((80..200).contains(&messages), "{messages} in an hour");
        assert!(w.events.is_empty() && !w.has_address());
    }
}

// H125
#[test]
fn an_address_that_somebody_has_is_declined_and_never_used() {
    let mut w = World::new();
    w.squatter = true;
    let discover = w.next();
    let request = w.give(&Answer::new(OFFER, &discover)).expect("a REQUEST");
    assert_eq!(w.give(&Answer::new(ACK, &request)), None);
    let sent = w.pass(Duration::from_secs(60));
    let asked: Vec<_> = sent.iter().filter_map(|(at, s)| Some((*at, Asked::read(s)?))).collect();
    let (at, decline) = &asked[0];
    assert_eq!((decline.kind, decline.ciaddr, decline.from), (DECLINE, NOBODY, NOBODY));
    assert_eq!(decline.option(50), Some(&H.octets()[..]));
    assert_eq!(decline.option(54), Some(&R.octets()[..]));
    let (next, discover) = &asked[1];
    assert_eq!(discover.kind, DISCOVER);
    assert!((10_000..=11_000).contains(&next.since(*at).as_millis()), "{next}");
    let uses = |s: &Seen| matches!(s, Seen::Arp(_, _, H, _) | Seen::Udp((H, _), ..));
    assert!(!sent.iter().any(|(_, s)| uses(s)) && !w.has_address() && w.events.is_empty());
}

// H125, in use: RFC 5227 §2.4 (b).
#[test]
fn an_address_that_another_station_insists_on_is_given_up_and_declined() {
    let mut w = World::new().bound(|a| a);
    let conflict = || packet::ethernet(ALL, P_MAC, 0x0806, &packet::arp(1, P_MAC, H, [0; 6], H));
    w.b.nic.rx.push_back(conflict());
    assert_eq!(w.turn(), [Seen::Arp(1, H_MAC, H, H)], "defended once");
    assert!(w.has_address());
    w.b.now += Duration::from_secs(5);
    w.b.nic.rx.push_back(conflict());
    let sent = w.turn();
    let decline = sent.iter().find_map(Asked::read).expect("a DECLINE");
    assert_eq!((decline.kind, decline.option(50)), (DECLINE, Some(&H.octets()[..])));
    assert_eq!(w.events.pop().map(|e| e.1), Some(DhcpEvent::Lost));
    assert!(!w.has_address());
}

// H126
#[test]
fn a_lease_counts_from_the_request_and_is_renewed_by_its_server_then_by_any() {
    let discovered = World::new();
    let mut w = discovered;
    let discover = w.next();
    let requested = w.b.now;
    let request = w.give(&Answer::new(OFFER, &discover)).expect("a REQUEST");
    w.b.now += Duration::from_secs(3);
    w.give(&Answer::new(ACK, &request));
    w.pass(Duration::from_secs(2));
    assert_eq!(w.client.lease().expect("bound").expires(), Some(requested + Duration::from_secs(3600)));
    // T1 is half of 3600 s, T2 seven eighths.
    let renewals = w.asked((requested + Duration::from_secs(3100)).since(w.b.now));
    let (t1, renew) = &renewals[0];
    assert_eq!(t1.since(requested), Duration::from_secs(1800));
    assert_eq!((renew.kind, renew.from, renew.to, renew.ciaddr), (REQUEST, H, R, H));
    assert!(renew.option(50).is_none() && renew.option(54).is_none() && !renew.broadcast);
    let waits: Vec<u64> = renewals.windows(2).map(|m| m[1].0.since(m[0].0).as_secs()).collect();
    assert_eq!(waits[..3], [675, 337, 168], "half of what remains until T2");
    assert!(waits.iter().all(|w| *w >= 60), "{waits:?}");
    let rebinds = w.asked((requested + Duration::from_secs(3200)).since(w.b.now));
    let (t2, rebind) = rebinds.last().expect("a message at T2");
    assert_eq!(t2.since(requested), Duration::from_secs(3150));
    assert_eq!((rebind.kind, rebind.to, rebind.ciaddr, rebind.from), (REQUEST, EVERYBODY, H, H));
    assert!(rebind.option(50).is_none() && rebind.option(54).is_none());
    // Another server, another router.
    let other = Ipv4Addr::new(192, 0, 2, 200);
    let ack = Answer::new(ACK, rebind).of(other).with(3, &other.octets());
    assert_eq!(w.give(&ack), None);
    assert_eq!(w.events.pop().map(|e| e.1), Some(DhcpEvent::Renewed));
    let lease = w.client.lease().expect("bound");
    assert_eq!((lease.server(), lease.expires()), (other, Some(*t2 + Duration::from_secs(3600))));
    let routes: Vec<_> = w.b.stack.routes().map(|r| (r.prefix, r.gateway)).collect();
    assert_eq!(routes[1..], [(any(), Some(IpAddr::V4(other)))]);
    assert!(w.asked(Duration::from_secs(1700)).is_empty());
}

// H126
#[test]
fn a_lease_for_ever_is_never_renewed() {
    let mut w = World::new().bound(|a| a.with(51, &[0xff; 4]));
    assert_eq!(w.client.lease().expect("bound").expires(), None);
    assert!(w.asked(Duration::from_secs(10_000_000)).is_empty());
    assert!(w.has_address());
}

// H127
#[test]
fn when_the_lease_ends_nothing_is_left_of_it_and_discovery_begins_anew() {
    let mut w = World::new().bound(|a| a);
    w.b = w.b.with_live_neighbors();
    let (handle, _) = w.b.connected(80, TcpOptions::default());
    w.b.stack.tcp(handle).expect("open").write(b"x").expect("room");
    w.pass(Duration::from_millis(10));
    let end = w.client.lease().and_then(|l| l.expires()).expect("an end");
    w.pass((end - Duration::from_millis(1)).since(w.b.now));
    assert!(w.has_address());
    let sent = w.pass(Duration::from_secs(100));
    assert_eq!(w.events.pop().map(|e| e.1), Some(DhcpEvent::Lost));
    assert!(!w.has_address() && w.b.stack.routes().count() == 0 && w.client.lease().is_none());
    let uses = |s: &Seen| match s {
        Seen::Arp(_, _, from, _) | Seen::Udp((from, _), ..) | Seen::Tcp(from, ..) => *from == H,
        _ => true,
    };
    assert!(!sent.iter().any(|(_, s)| uses(s)), "{sent:?}");
    assert!(sent.iter().filter_map(|(_, s)| Asked::read(s)).all(|m| m.kind == DISCOVER));
    let mut buf = [0; 8];
    let socket = w.b.stack.tcp(handle).map(|mut s| s.read(&mut buf));
    assert!(matches!(socket, Ok(Err(TcpError::AddressGone | TcpError::TimedOut))), "{socket:?}");
}

// H128
#[test]
fn after_a_short_loss_of_the_link_the_address_is_kept_and_verified() {
    let mut w = World::new().bound(|a| a);
    w.b = w.b.with_live_neighbors();
    let (handle, syn) = w.b.connected(80, TcpOptions::default());
    w.client.on_link(w.b.now, false);
    assert!(w.asked(Duration::from_secs(5)).is_empty() && w.has_address());
    let up = w.b.now;
    w.client.on_link(up, true);
    let request = w.next();
    assert_eq!((request.kind, request.ciaddr, request.from, request.to), (REQUEST, NOBODY, NOBODY, EVERYBODY));
    assert_eq!((request.option(50), request.option(54)), (Some(&H.octets()[..]), None));
    assert_eq!(w.give(&Answer::new(ACK, &request)), None);
    assert_eq!(w.events.pop().map(|e| e.1), Some(DhcpEvent::Renewed));
    assert_eq!(w.client.lease().and_then(|l| l.expires()), Some(up + Duration::from_secs(3600)));
    let text = w.b.text(80, syn.src, 5001, syn.seq + 1, b"still here");
    w.b.give_tcp(&text);
    let mut buf = [0; 16];
    assert_eq!(w.b.stack.tcp(handle).expect("open").read(&mut buf), Ok(10));
    // Nobody answers: the lease goes on (RFC 2131 §3.2).
    w.client.on_link(w.b.now, false);
    w.client.on_link(w.b.now, true);
    let asked = w.asked(Duration::from_secs(120));
    assert_eq!(asked.len(), 4, "{asked:?}");
    assert!(w.has_address() && w.events.is_empty());
    // It is another network.
    w.client.on_link(w.b.now, false);
    w.client.on_link(w.b.now, true);
    let request = w.next();
    let discover = w.give(&Answer::new(NAK, &request)).expect("a DISCOVER");
    assert_eq!((discover.kind, w.events.pop().map(|e| e.1)), (DISCOVER, Some(DhcpEvent::Lost)));
    assert!(!w.has_address());
}

// H128, RFC 2131 §3.7
#[test]
fn the_link_that_the_device_tells_of_needs_not_be_told() {
    let mut w = World::new().bound(|a| a);
    w.b.nic.link = Link::Down;
    assert!(w.asked(Duration::from_secs(5)).is_empty() && w.has_address());
    w.b.nic.link = Link::Up;
    let request = w.next();
    assert_eq!((request.kind, request.option(50), request.option(54)), (REQUEST, Some(&H.octets()[..]), None));
    assert_eq!(w.give(&Answer::new(ACK, &request)), None);
    assert_eq!(w.events.pop().map(|e| e.1), Some(DhcpEvent::Renewed));
    // A client that begins without a link asks as soon as there is one.
    let mut w = World::new();
    w.b.nic.link = Link::Down;
    assert!(w.asked(Duration::from_secs(60)).is_empty());
    w.b.nic.link = Link::Up;
    assert_eq!(w.next().kind, DISCOVER);
}

// RFC 2131 §3.2
#[test]
fn a_remembered_address_is_asked_for_first() {
    let options = DhcpOptions { remembered: Some(H), ..quick() };
    let mut w = World::with(&options);
    let request = w.next();
    assert_eq!((request.kind, request.ciaddr, request.option(54)), (REQUEST, NOBODY, None));
    assert_eq!(request.option(50), Some(&H.octets()[..]));
    w.give(&Answer::new(ACK, &request));
    w.pass(Duration::from_secs(2));
    assert_eq!(w.events.pop().map(|e| e.1), Some(DhcpEvent::Configured));
    let mut silent = World::with(&options);
    let asked = silent.asked(Duration::from_secs(80));
    let kinds: Vec<u8> = asked.iter().map(|(_, m)| m.kind).collect();
    assert_eq!(kinds[..5], [REQUEST, REQUEST, REQUEST, REQUEST, DISCOVER]);
}

// RFC 2131 §4.4.6
#[test]
fn an_address_given_back_is_told_to_the_server_and_taken_away() {
    let mut w = World::new().bound(|a| a);
    w.client.release(&mut w.b.stack, w.b.now);
    let sent = w.pass(Duration::from_secs(1));
    let release = sent.iter().find_map(|(_, s)| Asked::read(s)).expect("a RELEASE");
    assert_eq!((release.kind, release.ciaddr, release.from, release.to), (RELEASE, H, H, R));
    assert_eq!((release.option(54), release.option(50)), (Some(&R.octets()[..]), None));
    assert_eq!(w.events.pop().map(|e| e.1), Some(DhcpEvent::Lost));
    assert!(!w.has_address() && w.b.stack.routes().count() == 0);
    assert!(w.asked(Duration::from_secs(10_000)).is_empty());
}

#[test]
fn a_route_that_was_there_before_stays_when_the_lease_goes() {
    let mut w = World::new();
    w.b.stack.add_gateway(w.b.iface, IpAddr::V4(R)).expect("room");
    let mut w = w.bound(|a| a.with(51, &60u32.to_be_bytes()));
    w.pass(Duration::from_secs(100));
    assert_eq!(w.events.pop().map(|e| e.1), Some(DhcpEvent::Lost));
    assert_eq!(w.b.stack.routes().count(), 1);
}

// A server may say what it likes: the tables stay within their bounds.
#[test]
fn a_hostile_server_can_fill_no_table() {
    let routes: Vec<u8> = (0..30u8).flat_map(|n| [24, 10, 0, n, 192, 0, 2, 254]).collect();
    let w = World::new().bound(|a| a.with(121, &routes).with(6, &[9; 252]));
    assert!(w.b.stack.routes().count() <= 9);
    assert_eq!(w.client.lease().expect("bound").dns().len(), 4);
    let _ = P;
}

// H162: the sizes of messages on links of any length; a client's and a server's leave and come in fragments where they must.
#[test]
fn on_a_link_of_any_mtu_messages_pass_whole_or_in_fragments_and_the_size_that_is_offered_can_be() {
    for mtu in [68, 100, 255, 328, 576, 1279, 1500, 9000] {
        let caps = Capabilities::plain(Medium::Ethernet, mtu);
        let mut w = World::on(Bench::built(Setup { caps, ..Setup::default() }, |_| {}), &quick());
        let hears = |w: &mut World| {
            let seen: Vec<Seen> = w.pass(Duration::from_millis(1_500)).into_iter().map(|(_, seen)| seen).collect();
            let pieces = seen.iter().filter(|s| matches!(s, Seen::Fragment { .. })).count();
            assert_eq!(pieces > 0, mtu < 328, "MTU {mtu}: 300 octets at least, and two headers");
            packet::join(&seen, 17).iter().find_map(Asked::read).expect("a message")
        };
        let says = |w: &mut World, answer: &Answer, ident| {
            let udp = packet::udp((answer.from, 67), (EVERYBODY, 68), &answer.octets());
            let ip = Ip { ident, ..Ip::new(answer.from, EVERYBODY, 17) };
            for piece in packet::fragments(&ip, &udp, (mtu - 20) & !7) {
                w.b.nic.rx.push_back(packet::ethernet(ALL, R_MAC, 0x0800, &piece));
            }
        };
        let discover = hears(&mut w);
        let largest = discover.option(57).expect("a size");
        assert!((576..=1500).contains(&u16::from_be_bytes([largest[0], largest[1]])), "RFC 2132 §9.10");
        says(&mut w, &Answer::new(OFFER, &discover), 1);
        let request = hears(&mut w);
        assert_eq!(request.kind, REQUEST, "MTU {mtu}");
        says(&mut w, &Answer::new(ACK, &request), 2);
        w.pass(Duration::from_secs(2));
        assert!(w.has_address(), "MTU {mtu}: {:?}", w.events);
    }
}

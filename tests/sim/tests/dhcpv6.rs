//! The DHCPv6 client on a whole stack, against servers that say exactly what a test wants.

use ringtap::dhcp::v6::{Dhcpv6Client, Dhcpv6Event, Dhcpv6Mode};
use ringtap::stack::{AddressState, Identifiers};
use ringtap::time::{Duration, Instant};
use ringtap_sim::Bench;
use ringtap_sim::bench::{H_MAC, R_MAC};
use ringtap_sim::packet::ethernet;
use ringtap_sim::six::{self, Ip6, R};
use std::net::{IpAddr, Ipv6Addr};

const SOLICIT: u8 = 1;
const ADVERTISE: u8 = 2;
const REQUEST: u8 = 3;
const CONFIRM: u8 = 4;
const RENEW: u8 = 5;
const REBIND: u8 = 6;
const REPLY: u8 = 7;
const RELEASE: u8 = 8;
const DECLINE: u8 = 9;
const INFORM: u8 = 11;

const SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
const LEASED: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x77);
const OTHER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x78);
const DNS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x53);
/// The server's DUID, and another's.
const DUID: &[u8] = &[0, 3, 0, 1, 2, 0, 0, 0, 0, 0xfe];
const DUID2: &[u8] = &[0, 3, 0, 1, 2, 0, 0, 0, 0, 0xfd];

fn option(code: u16, data: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes()[..], &(data.len() as u16).to_be_bytes(), data].concat()
}

/// An address option: preferred and valid lifetimes in seconds.
fn address(ip: Ipv6Addr, preferred: u32, valid: u32) -> Vec<u8> {
    option(5, &[&ip.octets()[..], &preferred.to_be_bytes(), &valid.to_be_bytes()].concat())
}

/// An IA of the client's, whose number is in its MAC address.
fn ia(t1: u32, t2: u32, inner: &[u8]) -> Vec<u8> {
    option(3, &[&H_MAC[2..], &t1.to_be_bytes(), &t2.to_be_bytes(), inner].concat())
}

fn usual() -> Vec<u8> {
    [ia(1_000, 1_600, &address(LEASED, 2_000, 3_000)), option(23, &DNS.octets())].concat()
}

/// A message of the client's.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    at: Instant,
    src: Ipv6Addr,
    kind: u8,
    xid: [u8; 3],
    options: Vec<(u16, Vec<u8>)>,
}

impl Asked {
    fn option(&self, code: u16) -> Option<&[u8]> {
        self.options.iter().find(|o| o.0 == code).map(|o| &o.1[..])
    }

    /// The address in its IA.
    fn address(&self) -> Option<Ipv6Addr> {
        let octets: [u8; 16] = self.option(3)?.get(16..32)?.try_into().expect("16 octets");
        Some(octets.into())
    }

    /// An answer with this server, the client's DUID, and what else.
    fn answer(&self, kind: u8, server: &[u8], more: &[u8]) -> Vec<u8> {
        let head = [&[kind][..], &self.xid].concat();
        let client = option(1, self.option(1).expect("a DUID"));
        [head, client, option(2, server), more.to_vec()].concat()
    }
}

struct World {
    b: Bench,
    client: Dhcpv6Client,
    events: Vec<Dhcpv6Event>,
}

impl World {
    fn new(mode: Dhcpv6Mode) -> Self {
        let mut b = six::bare(|_| {});
        b.stack.autoconfigure(b.iface, Identifiers::Opaque).expect("Ethernet");
        let client = Dhcpv6Client::start(&mut b.stack, b.iface, mode).expect("a client");
        let mut w = Self { b, client, events: vec![] };
        if mode == Dhcpv6Mode::AsAdvertised {
            assert_eq!(w.pass(10_000), [], "no router asks for it");
        }
        w
    }

    /// After a router's advertisement with these flags: M 0x80, O 0x40.
    fn advertised(flags: u8) -> Self {
        let mut w = Self::new(Dhcpv6Mode::AsAdvertised);
        w.advertise(flags);
        w
    }

    fn advertise(&mut self, flags: u8) {
        let options = [&[1, 1][..], &R_MAC].concat();
        let body = [&[0; 8][..], &options].concat();
        let message = six::icmp(R, six::ALL_NODES, 134, 0, [64, flags, 7, 8], &body);
        let ip = Ip6 { hops: 255, ..Ip6::new(R, six::ALL_NODES, 58) }.build(&message);
        self.b.nic.rx.push_back(ethernet(six::group_mac(six::ALL_NODES), R_MAC, 0x86dd, &ip));
    }

    /// One with an address, and the request that brought it.
    fn bound() -> (Self, Asked) {
        let mut w = Self::advertised(0x80);
        let solicit = w.next(SOLICIT);
        w.give(&solicit, &solicit.answer(ADVERTISE, DUID, &[usual(), option(7, &[255])].concat()));
        let request = w.next(REQUEST);
        w.give(&request, &request.answer(REPLY, DUID, &usual()));
        w.pass(5_000);
        assert_eq!(
            (w.state_of(LEASED), &w.events[..]),
            (Some(AddressState::Preferred), &[Dhcpv6Event::Configured][..])
        );
        (w, request)
    }

    fn state_of(&self, ip: Ipv6Addr) -> Option<AddressState> {
        self.b.stack.ipv6_addresses(self.b.iface).find(|(c, _)| c.addr() == IpAddr::V6(ip)).map(|(_, state)| state)
    }

    fn turn(&mut self) -> Vec<Asked> {
        let mut all = Vec::new();
        for _ in 0..200 {
            let seen = self.b.poll();
            for s in six::of(&seen).iter().filter(|s| s.next == 17) {
                assert_eq!((s.dst, s.hops, s.payload[..4].to_vec()), (SERVERS, 1, vec![2, 34, 2, 35]));
                all.push(Self::read(self.b.now, s.src, &s.payload[8..]));
            }
            while let Some(event) = self.client.poll(&mut self.b.stack, self.b.now) {
                self.events.push(event);
            }
            let due = self.client.deadline().is_some_and(|t| t <= self.b.now);
            if seen.is_empty() && self.b.stack.pending().is_empty() && !due {
                return all;
            }
        }
        panic!("it spins");
    }

    fn read(at: Instant, src: Ipv6Addr, m: &[u8]) -> Asked {
        assert!(src.is_unicast_link_local(), "{src}");
        let (mut options, mut rest) = (Vec::new(), &m[4..]);
        while !rest.is_empty() {
            let word = |at: usize| u16::from_be_bytes([rest[at], rest[at + 1]]);
            let (code, len) = (word(0), usize::from(word(2)));
            options.push((code, rest[4..4 + len].to_vec()));
            rest = &rest[4 + len..];
        }
        let asked = Asked { at, src, kind: m[0], xid: m[1..4].try_into().expect("three"), options };
        assert_eq!(asked.option(1), Some(&[&[0, 3, 0, 1][..], &H_MAC].concat()[..]), "a DUID of the MAC address");
        assert!(asked.option(8).is_some_and(|e| e.len() == 2), "elapsed time");
        asked
    }

    fn pass(&mut self, millis: u64) -> Vec<Asked> {
        let end = self.b.now + Duration::from_millis(millis);
        let mut all = Vec::new();
        loop {
            all.extend(self.turn());
            match [self.b.stack.next_deadline(), self.client.deadline()].into_iter().flatten().min() {
                Some(at) if at <= end => self.b.now = self.b.now.max(at),
                _ => {
                    self.b.now = end;
                    return all;
                }
            }
        }
    }

    /// The next message, which is of this kind.
    fn next(&mut self, kind: u8) -> Asked {
        for _ in 0..2_000_000 {
            if let [asked] = &self.turn()[..] {
                assert_eq!(asked.kind, kind, "{asked:?}");
                return asked.clone();
            }
            let next = [self.b.stack.next_deadline(), self.client.deadline()].into_iter().flatten().min();
            self.b.now = self.b.now.max(next.expect("something is to come"));
        }
        panic!("nothing is sent");
    }

    /// A datagram of the router's arrives at the client.
    fn give(&mut self, asked: &Asked, message: &[u8]) {
        self.give_from((R, 547), asked.src, message);
    }

    fn give_from(&mut self, from: (Ipv6Addr, u16), to: Ipv6Addr, message: &[u8]) {
        let mac = if to.is_multicast() { six::group_mac(to) } else { H_MAC };
        let ip = Ip6::new(from.0, to, 17).build(&six::udp(from, (to, 546), message));
        self.b.nic.rx.push_back(ethernet(mac, R_MAC, 0x86dd, &ip));
    }

    fn is_well(&mut self) {
        self.pass(3_000);
        assert_eq!(self.b.frames_in_use(), 0, "frames are back");
    }
}

#[test]
fn an_address_is_solicited_requested_tried_and_used() {
    let mut w = World::advertised(0xc0);
    let start = w.b.now;
    let solicit = w.next(SOLICIT);
    assert!(solicit.at.since(start) <= Duration::from_secs(1));
    assert!(solicit.option(2).is_none() && solicit.option(3).is_some_and(|ia| ia[..4] == H_MAC[2..]));
    assert_eq!(solicit.option(6), Some(&[0, 23, 0, 24, 0, 82][..]));
    // The best of those who answer in the first second is asked.
    w.give(&solicit, &solicit.answer(ADVERTISE, DUID2, &usual()));
    w.give(&solicit, &solicit.answer(ADVERTISE, DUID, &[option(7, &[9]), usual()].concat()));
    w.give(&solicit, &solicit.answer(ADVERTISE, DUID2, &[option(7, &[8]), usual()].concat()));
    let request = w.next(REQUEST);
    let waited = request.at.since(solicit.at).as_millis();
    assert!((1_000..=1_100).contains(&waited), "{waited}");
    assert_eq!((request.option(2), request.address()), (Some(DUID), Some(LEASED)));
    assert_ne!(request.xid, solicit.xid);
    assert_eq!(w.state_of(LEASED), None, "an offer is no address");
    w.give(&request, &request.answer(REPLY, DUID, &usual()));
    assert_eq!(w.turn(), []);
    assert_eq!(w.state_of(LEASED), Some(AddressState::Tentative));
    w.pass(3_000);
    assert_eq!(w.state_of(LEASED), Some(AddressState::Preferred));
    let lease = w.client.lease().expect("a lease");
    assert_eq!((lease.addresses()[0].ip, lease.dns()), (LEASED, &[DNS][..]));
    w.is_well();
}

// RFC 9915 §15, §18.2.1
#[test]
fn without_a_server_solicits_are_ever_further_apart_up_to_an_hour_or_what_a_server_says() {
    let mut w = World::advertised(0x80);
    let first = w.next(SOLICIT);
    let mut last = first.clone();
    let mut expected = 1_000.0;
    for n in 0..16 {
        let next = w.next(SOLICIT);
        let waited = next.at.since(last.at).as_millis() as f64;
        let (least, most) = (expected * 0.89, expected * 1.11);
        assert!((least..=most).contains(&waited), "{n}: {waited}, not {expected}");
        assert!(n > 0 || waited > 1_000.0, "the first is longer than a second");
        assert_eq!((next.xid, next.address()), (first.xid, None));
        let elapsed = u16::from_be_bytes(next.option(8).expect("there").try_into().expect("two"));
        let since = (next.at.since(first.at).as_millis() / 10).min(65_535);
        assert_eq!(u64::from(elapsed), since);
        expected = if waited * 2.0 > 3_600_000.0 { 3_600_000.0 } else { waited * 2.0 };
        last = next;
    }
    // One that has no addresses may still say how often to ask; what is out of range is not heard.
    let none = [ia(0, 0, &option(13, &[0, 2])), option(82, &59u32.to_be_bytes())].concat();
    w.give(&last, &last.answer(ADVERTISE, DUID, &none));
    let none = [ia(0, 0, &option(13, &[0, 2])), option(82, &100u32.to_be_bytes())].concat();
    w.give(&last, &last.answer(ADVERTISE, DUID, &none));
    let asked = w.next(SOLICIT);
    let again = w.next(SOLICIT);
    assert!((89..=111).contains(&again.at.since(asked.at).as_secs()));
    // Whoever answers now is taken at once.
    w.give(&again, &again.answer(ADVERTISE, DUID, &usual()));
    assert_eq!(w.turn()[0].kind, REQUEST);
}

#[test]
fn answers_that_are_not_for_this_exchange_change_nothing() {
    let mut w = World::advertised(0x80);
    let solicit = w.next(SOLICIT);
    let good = |kind| solicit.answer(kind, DUID, &[usual(), option(7, &[255])].concat());
    let mut bad = Vec::new();
    let mut xid = good(ADVERTISE);
    xid[2] ^= 1;
    bad.push(xid);
    let mut client = good(ADVERTISE);
    client[10] ^= 1;
    bad.push(client);
    bad.push([&[ADVERTISE][..], &solicit.xid, &option(2, DUID), &usual()].concat());
    bad.push([&[ADVERTISE][..], &solicit.xid, &option(1, solicit.option(1).expect("there")), &usual()].concat());
    bad.push(solicit.answer(ADVERTISE, &[0; 131], &usual()));
    bad.push(solicit.answer(ADVERTISE, DUID, &ia(0, 0, &address(LEASED, 3, 2))));
    bad.push(solicit.answer(ADVERTISE, DUID, &ia(9, 8, &address(LEASED, 30, 40))));
    bad.push(solicit.answer(ADVERTISE, DUID, &[option(13, &[0, 2]), usual()].concat()));
    bad.extend([0, SOLICIT, REQUEST, REPLY, 10, 200].map(good));
    // Cut off anywhere, but where an option ends behind the address.
    let whole = good(ADVERTISE);
    let cuts = (0..whole.len()).filter(|n| *n != whole.len() - 5 && *n != whole.len() - 25);
    bad.extend(cuts.map(|n| whole[..n].to_vec()));
    for m in &bad {
        w.give(&solicit, m);
        assert_eq!(w.turn(), [], "{m:?}");
    }
    w.give_from((R, 546), solicit.src, &good(ADVERTISE));
    w.give_from((R, 547), six::ALL_NODES, &good(ADVERTISE));
    let mut asked = w.next(SOLICIT);
    // What went to one server is not for another to answer, nor is an old answer one to a new question.
    w.give(&asked, &asked.answer(ADVERTISE, DUID, &usual()));
    asked = w.next(REQUEST);
    w.give(&asked, &solicit.answer(REPLY, DUID, &usual()));
    w.give(&asked, &asked.answer(REPLY, DUID2, &usual()));
    w.give(&asked, &asked.answer(ADVERTISE, DUID, &usual()));
    assert_eq!((w.turn(), w.events.len(), w.state_of(LEASED)), (vec![], 0, None));
    w.give(&asked, &asked.answer(REPLY, DUID, &usual()));
    w.turn();
    assert_eq!(w.events, [Dhcpv6Event::Configured]);
    // Bound, nothing more is heard.
    w.give(&asked, &asked.answer(REPLY, DUID, &ia(0, 0, &address(OTHER, 20, 30))));
    w.give(&asked, &[10, 0, 0, 0]);
    assert_eq!((w.turn(), w.state_of(OTHER)), (vec![], None));
    w.is_well();
}

// RFC 9915 §18.2.4, §18.2.5
#[test]
fn an_address_is_renewed_by_its_server_then_by_any_and_gone_when_its_life_is_over() {
    let (mut w, request) = World::bound();
    let renew = w.next(RENEW);
    assert!((999..=1_001).contains(&renew.at.since(request.at).as_secs()), "T1");
    assert_eq!((renew.option(2), renew.address()), (Some(DUID), Some(LEASED)));
    w.give(&renew, &renew.answer(REPLY, DUID, &usual()));
    let renew = w.next(RENEW);
    let renewed = renew.at;
    // Silence: again after 10 s, until T2.
    let again = w.next(RENEW);
    assert!((9..=11).contains(&again.at.since(renewed).as_secs()));
    let mut last;
    loop {
        last = w.turn();
        if let Some(asked) = last.first().filter(|a| a.kind != RENEW) {
            assert_eq!(asked.kind, REBIND);
            assert!((595..=605).contains(&asked.at.since(renewed).as_secs()), "T2");
            assert!(asked.option(2).is_none() && asked.address() == Some(LEASED));
            break;
        }
        let next = [w.b.stack.next_deadline(), w.client.deadline()].into_iter().flatten().min();
        w.b.now = w.b.now.max(next.expect("something is to come"));
    }
    // Another server may answer that.
    w.give(&last[0], &last[0].answer(REPLY, DUID2, &usual()));
    assert_eq!(w.next(RENEW).option(2), Some(DUID2));
    w.pass(4_000_000);
    assert_eq!(w.state_of(LEASED), None);
    assert_eq!(w.events.last(), Some(&Dhcpv6Event::Lost));
    assert_eq!(w.next(SOLICIT).address(), None);
    w.is_well();
}

#[test]
fn a_server_that_has_forgotten_is_asked_anew_and_one_that_has_another_address_is_followed() {
    let (mut w, _) = World::bound();
    let renew = w.next(RENEW);
    w.give(&renew, &renew.answer(REPLY, DUID, &ia(0, 0, &option(13, &[0, 3]))));
    let request = w.next(REQUEST);
    assert_eq!((request.option(2), request.address()), (Some(DUID), Some(LEASED)));
    w.give(&request, &request.answer(REPLY, DUID, &ia(100, 200, &address(OTHER, 300, 400))));
    w.pass(3_000);
    assert_eq!((w.state_of(LEASED), w.state_of(OTHER)), (None, Some(AddressState::Preferred)));
    // A renewal with nothing in it leaves what there is until its end.
    let renew = w.next(RENEW);
    w.give(&renew, &renew.answer(REPLY, DUID, &[]));
    w.turn();
    assert_eq!(w.state_of(OTHER), Some(AddressState::Preferred));
    w.is_well();
}

// RFC 9915 §18.2.10.1, §18.2.8
#[test]
fn an_address_that_somebody_has_is_declined_and_not_used() {
    let mut w = World::advertised(0x80);
    let solicit = w.next(SOLICIT);
    w.give(&solicit, &solicit.answer(ADVERTISE, DUID, &[usual(), option(7, &[255])].concat()));
    let request = w.next(REQUEST);
    w.give(&request, &request.answer(REPLY, DUID, &usual()));
    w.turn();
    let advert = six::advert(LEASED, six::ALL_NODES, LEASED, 0x20, Some(R_MAC));
    w.b.nic.rx.push_back(ethernet(six::group_mac(six::ALL_NODES), R_MAC, 0x86dd, &advert));
    let decline = w.next(DECLINE);
    assert_eq!((decline.option(2), decline.address()), (Some(DUID), Some(LEASED)));
    assert_eq!((w.state_of(LEASED), w.events.last()), (None, Some(&Dhcpv6Event::Lost)));
    w.give(&decline, &decline.answer(REPLY, DUID, &[]));
    let next = w.next(SOLICIT);
    assert!(next.at.since(decline.at) >= Duration::from_secs(1), "not at once");
}

// RFC 9915 §18.2.3, §18.2.12
#[test]
fn after_a_loss_of_the_link_addresses_are_confirmed() {
    for (status, stays) in [(Some(0), true), (Some(4), false), (None, true)] {
        let (mut w, _) = World::bound();
        w.client.on_link(w.b.now, false);
        assert_eq!(w.pass(5_000), []);
        w.client.on_link(w.b.now, true);
        let confirm = w.next(CONFIRM);
        assert_eq!((confirm.option(2), confirm.address()), (None, Some(LEASED)));
        if let Some(status) = status {
            w.give(&confirm, &confirm.answer(REPLY, DUID, &option(13, &[0, status])));
            w.turn();
        } else {
            let again = w.pass(20_000);
            assert!(
                again.len() >= 2
                    && again.iter().all(|a| a.kind == CONFIRM && a.at <= confirm.at + Duration::from_secs(10))
            );
        }
        assert_eq!(w.state_of(LEASED).is_some(), stays, "{status:?}");
        w.next(if stays { RENEW } else { SOLICIT });
    }
}

// RFC 9915 §18.2.7
#[test]
fn an_address_that_is_given_back_is_told_to_the_server_four_times_at_most() {
    for answered in [true, false] {
        let (mut w, _) = World::bound();
        w.client.release(w.b.now);
        let release = w.next(RELEASE);
        assert_eq!((release.option(2), release.address()), (Some(DUID), Some(LEASED)));
        assert_eq!((w.state_of(LEASED), w.events.last()), (None, Some(&Dhcpv6Event::Lost)));
        if answered {
            w.give(&release, &release.answer(REPLY, DUID, &[]));
        }
        let more = w.pass(600_000);
        assert_eq!(more.iter().filter(|a| a.kind == RELEASE).count(), if answered { 0 } else { 3 });
        assert!(more.iter().all(|a| a.kind == RELEASE), "nothing is asked for any more");
        w.client.close(&mut w.b.stack);
        assert_eq!(w.b.frames_in_use(), 0);
    }
}

// RFC 9915 §18.2.6, RFC 3646
#[test]
fn information_alone_is_asked_for_when_routers_say_so() {
    let mut w = World::advertised(0x40);
    let asked = w.next(INFORM);
    assert!(asked.option(3).is_none() && asked.option(2).is_none());
    assert_eq!(asked.option(6), Some(&[0, 23, 0, 24, 0, 32, 0, 83][..]));
    let news = [option(23, &DNS.octets()), option(24, b"\x03lan\x00"), option(32, &1_000u32.to_be_bytes())].concat();
    w.give(&asked, &asked.answer(REPLY, DUID, &news));
    w.turn();
    let lease = w.client.lease().expect("news");
    assert_eq!((lease.dns(), lease.domain(), lease.addresses().len()), (&[DNS][..], "lan", 0));
    assert_eq!(w.events, [Dhcpv6Event::Configured]);
    let again = w.next(INFORM);
    assert_eq!(again.at.since(asked.at).as_secs(), 1_000);
    w.give(&again, &again.answer(REPLY, DUID, &news));
    w.turn();
    // Routers that change their mind.
    w.advertise(0x80);
    w.next(SOLICIT);
    // By the program's wish, without routers.
    let mut w = World::new(Dhcpv6Mode::Stateless);
    w.next(INFORM);
    let mut w = World::new(Dhcpv6Mode::Stateful);
    w.next(SOLICIT);
}

#[test]
fn hostile_servers_are_asked_at_a_bounded_pace() {
    // Offers that are refused when they are asked for, for ever.
    let mut w = World::advertised(0x80);
    let end = w.b.now + Duration::from_secs(3_600);
    let mut sent = 0;
    while w.b.now < end {
        let asked = w.pass(100);
        sent += asked.len();
        for a in &asked {
            let message = match a.kind {
                SOLICIT => a.answer(ADVERTISE, DUID, &[usual(), option(7, &[255])].concat()),
                _ => a.answer(REPLY, DUID, &ia(0, 0, &option(13, &[0, 2]))),
            };
            w.give(a, &message);
        }
    }
    assert!(sent < 120, "{sent} messages in an hour");
    // Lives of a second.
    let mut w = World::advertised(0x80);
    let (end, mut sent) = (w.b.now + Duration::from_secs(600), 0);
    while w.b.now < end {
        let asked = w.pass(100);
        sent += asked.len();
        for a in &asked {
            let kind = if a.kind == SOLICIT { ADVERTISE } else { REPLY };
            w.give(a, &a.answer(kind, DUID, &[ia(0, 0, &address(LEASED, 1, 1)), option(7, &[255])].concat()));
        }
    }
    assert!(sent < 1_300, "{sent} messages in ten minutes");
    w.is_well();
    // More addresses than there is room for.
    let (mut w, _) = World::bound();
    let renew = w.next(RENEW);
    let many: Vec<u8> = (1..40).flat_map(|n| address(Ipv6Addr::from(LEASED.to_bits() + n), 2_000, 3_000)).collect();
    w.give(&renew, &renew.answer(REPLY, DUID, &ia(0, 0, &many)));
    w.pass(5_000);
    assert_eq!(w.client.lease().map(|l| l.addresses().len()), Some(2));
    assert_eq!(w.b.stack.ipv6_addresses(w.b.iface).count(), 3, "two, and the link-local one");
    w.is_well();
}

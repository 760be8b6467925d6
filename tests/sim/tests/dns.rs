//! The stub resolver on a whole stack, against servers that say exactly what a test wants.

use ringtap::dns::{Addresses, QueryId, RecordKind, Resolver};
use ringtap::error::DnsError;
use ringtap::time::{Duration, Instant};
use ringtap_sim::Bench;
use ringtap_sim::bench::{H, H_MAC, P, P_MAC, R, R_MAC, segments};
use ringtap_sim::packet::{self, ACK, Ip, SYN, Seen, Tcp};
use std::net::{IpAddr, Ipv4Addr};

/// A question as it left.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    from: u16,
    server: Ipv4Addr,
    message: Vec<u8>,
}

impl Asked {
    fn read(seen: &Seen) -> Option<Self> {
        let Seen::Udp((H, from), (server, 53), message) = seen else { return None };
        assert_eq!(message[2..12], [1, 0, 0, 1, 0, 0, 0, 0, 0, 0], "RD, one question");
        Some(Self { from: *from, server: *server, message: message.clone() })
    }

    fn id(&self) -> u16 {
        u16::from_be_bytes([self.message[0], self.message[1]])
    }

    /// The name in text, in lower case.
    fn name(&self) -> String {
        let mut labels = Vec::new();
        let mut rest = &self.message[12..];
        while rest[0] != 0 {
            let len = usize::from(rest[0]);
            labels.push(String::from_utf8_lossy(&rest[1..=len]).to_ascii_lowercase());
            rest = &rest[1 + len..];
        }
        labels.join(".")
    }
}

fn wire(name: &str) -> Vec<u8> {
    let mut octets: Vec<u8> = name.split('.').flat_map(|l| [&[l.len() as u8], l.as_bytes()].concat()).collect();
    octets.push(0);
    octets
}

/// A record; an empty owner is the question's name.
fn rr(owner: &str, kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut r = if owner.is_empty() { vec![0xc0, 12] } else { wire(owner) };
    r.extend(kind.to_be_bytes());
    r.extend([0, 1]);
    r.extend(ttl.to_be_bytes());
    r.extend((data.len() as u16).to_be_bytes());
    r.extend(data);
    r
}

fn a(n: u8, ttl: u32) -> Vec<u8> {
    rr("", 1, ttl, &[203, 0, 113, n])
}

/// A response's octets.
fn response(asked: &Asked, flags: u16, records: &[Vec<u8>]) -> Vec<u8> {
    let mut m = asked.message.clone();
    m[2..4].copy_from_slice(&(0x8180 | flags).to_be_bytes());
    m[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
    m.extend(records.concat());
    m
}

struct World {
    b: Bench,
    resolver: Resolver,
}

impl World {
    fn new(servers: &[Ipv4Addr]) -> Self {
        let mut b = Bench::new().with_live_neighbors();
        let mut resolver = Resolver::new(&mut b.stack);
        let servers: Vec<IpAddr> = servers.iter().map(|s| IpAddr::V4(*s)).collect();
        resolver.set_servers(&servers);
        Self { b, resolver }
    }

    fn query(&mut self, name: &str) -> QueryId {
        self.resolver.query(self.b.now, name, RecordKind::A).expect("a name")
    }

    fn turn(&mut self) -> Vec<Seen> {
        let mut all = Vec::new();
        for _ in 0..100 {
            let seen = self.b.poll();
            self.resolver.poll(&mut self.b.stack, self.b.now);
            let quiet = seen.is_empty()
                && self.b.stack.pending().is_empty()
                && self.resolver.deadline().is_none_or(|t| t > self.b.now);
            all.extend(seen);
            if quiet {
                return all;
            }
        }
        panic!("the resolver spins");
    }

    fn asked(&mut self) -> Vec<Asked> {
        self.turn().iter().filter_map(Asked::read).collect()
    }

    /// The one question that leaves now.
    fn ask(&mut self) -> Asked {
        let asked = self.asked();
        assert_eq!(asked.len(), 1, "{asked:?}");
        asked[0].clone()
    }

    /// Time passes; what was asked, and when.
    fn pass(&mut self, time: Duration) -> Vec<(Instant, Asked)> {
        let end = self.b.now + time;
        let mut all = Vec::new();
        loop {
            all.extend(self.asked().into_iter().map(|a| (self.b.now, a)));
            let next = [self.b.stack.next_deadline(), self.resolver.deadline()].into_iter().flatten().min();
            match next {
                Some(at) if at <= end => self.b.now = self.b.now.max(at),
                _ => {
                    self.b.now = end;
                    return all;
                }
            }
        }
    }

    fn give(&mut self, server: (Ipv4Addr, u16), asked: &Asked, message: &[u8]) {
        let mac = if server.0 == R { R_MAC } else { P_MAC };
        let udp = packet::udp(server, (H, asked.from), message);
        self.b.nic.rx.push_back(packet::ethernet(H_MAC, mac, 0x0800, &Ip::new(server.0, H, 17).build(&udp)));
    }

    fn answer(&mut self, asked: &Asked, flags: u16, records: &[Vec<u8>]) -> Vec<Asked> {
        self.give((asked.server, 53), asked, &response(asked, flags, records));
        self.asked()
    }

    fn found(&mut self, id: QueryId, last: &[u8]) {
        let addresses = self.resolver.take(id).expect("an outcome").expect("addresses");
        assert_eq!(*addresses, last.iter().map(|n| IpAddr::from([203, 0, 113, *n])).collect::<Vec<_>>());
        self.is_well();
    }

    fn failed(&mut self, id: QueryId, error: DnsError) {
        assert_eq!(self.resolver.take(id), Some(Err(error)));
        self.is_well();
    }

    fn is_well(&mut self) {
        assert_eq!(self.resolver.deadline(), None);
        self.b.is_well();
    }
}

#[test]
fn a_name_is_asked_for_and_its_addresses_are_kept_for_their_time() {
    let mut w = World::new(&[P, R]);
    let id = w.query("host.example");
    assert_eq!(w.resolver.take(id), None, "running");
    let asked = w.ask();
    assert_eq!((asked.name().as_str(), asked.server), ("host.example", P));
    assert!(w.answer(&asked, 0, &[a(1, 60), a(2, 90)]).is_empty());
    w.found(id, &[1, 2]);
    assert_eq!(w.resolver.take(id), Some(Err(DnsError::Stale)));
    w.b.now += Duration::from_secs(59);
    let id = w.query("HOST.Example");
    assert!(w.asked().is_empty());
    w.found(id, &[1, 2]);
    w.b.now += Duration::from_secs(1);
    let id = w.query("host.example");
    let asked = w.ask();
    w.answer(&asked, 0, &[a(9, 60)]);
    w.found(id, &[9]);
    w.resolver.set_servers(&[IpAddr::V4(R)]);
    w.query("host.example");
    assert_eq!(w.ask().server, R, "what another server said is forgotten");
}

// RFC 5452 §9.2, H153
#[test]
fn every_question_has_another_identifier_port_and_letters() {
    let mut w = World::new(&[P]);
    let (mut ids, mut ports, mut letters) = (vec![], vec![], vec![]);
    for _ in 0..40 {
        let id = w.query("a-name-of-many-letters.example");
        let asked = w.ask();
        ids.push(asked.id());
        ports.push(asked.from);
        letters.push(asked.message[12..].to_vec());
        w.resolver.cancel(&mut w.b.stack, id);
    }
    letters.sort();
    letters.dedup();
    assert_eq!(letters.len(), 40);
    for mut values in [ids, ports] {
        let ordered = values.windows(2).filter(|v| v[0] < v[1]).count();
        assert!((8..32).contains(&ordered), "no row: {values:?}");
        values.sort_unstable();
        values.dedup();
        assert!(values.len() > 36);
    }
    w.is_well();
}

// H129, H130, H131, H133
#[test]
fn forged_and_broken_responses_are_ignored_and_the_query_goes_on() {
    let mut w = World::new(&[P]);
    let id = w.query("host.example");
    let asked = w.ask();
    let good = response(&asked, 0, &[a(66, 60)]);
    for flags in [0, 3] {
        let forged = response(&asked, flags, &[]);
        w.give((R, 53), &asked, &forged);
        w.give((P, 54), &asked, &forged);
    }
    let mut bad = Vec::new();
    for (at, value) in [(0, asked.message[0] ^ 1), (2, 1), (5, 0), (5, 2), (6, 0xff), (12, 3), (27, 28)] {
        let mut m = good.clone();
        m[at] = value;
        bad.push(m);
    }
    // The letters that were sent in another case.
    let mut case = good.clone();
    case[13] ^= 0x20;
    bad.push(case);
    // Pointers to themselves, forward, past the end, into the header, cut off; label types; lengths.
    let owners: [&[u8]; 7] =
        [&[0xc0, 30], &[0xc0, 200], &[0xff, 0xff], &[0xc0, 4], &[0xc0], &[0x40, 1, 0], &[0x80, 1, 0]];
    for owner in owners {
        let mut m = response(&asked, 0, &[owner.to_vec()]);
        m.extend([0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, 66]);
        bad.push(m);
    }
    bad.push(response(&asked, 0, &[rr("", 1, 60, &[203, 0, 113]), a(66, 60)]));
    bad.extend((0..good.len()).map(|n| good[..n].to_vec()));
    for m in &bad {
        w.give((P, 53), &asked, m);
        assert_eq!(w.asked(), [], "{m:?}");
        assert_eq!(w.resolver.take(id), None, "{m:?}");
    }
    w.answer(&asked, 0, &[a(1, 60)]);
    w.found(id, &[1]);
}

// H132
#[test]
fn a_server_that_cannot_help_is_left_at_once_and_no_such_name_is_final() {
    for rcode in [1, 2, 4, 5] {
        let mut w = World::new(&[P, R]);
        let id = w.query("host.example");
        let asked = w.ask();
        let again = w.answer(&asked, rcode, &[]);
        assert_eq!((again[0].server, again.len()), (R, 1), "{rcode}");
        w.answer(&again[0], 0, &[a(1, 60)]);
        w.found(id, &[1]);
    }
    let mut w = World::new(&[P, R]);
    let id = w.query("host.example");
    let asked = w.ask();
    assert_eq!(w.answer(&asked, 3, &[]), []);
    w.failed(id, DnsError::NotFound);
    // All of them, in every round.
    let id = w.query("host.example");
    let mut next = w.asked();
    let mut count = 0;
    while let [asked] = &next[..] {
        count += 1;
        next = w.answer(&asked.clone(), 2, &[]);
    }
    assert_eq!(count, 4);
    w.failed(id, DnsError::ServerFailure);
}

// H132
#[test]
fn an_unreachable_server_is_left_at_once() {
    let mut w = World::new(&[P, R]);
    let id = w.query("host.example");
    let asked = w.ask();
    let datagram = Ip::new(H, P, 17).build(&packet::udp((H, asked.from), (P, 53), &asked.message));
    let error = packet::icmp(3, 3, [0; 4], &datagram[..28]);
    let ip = Ip::new(P, H, 1).build(&error);
    w.b.nic.rx.push_back(packet::ethernet(H_MAC, P_MAC, 0x0800, &ip));
    let again = w.ask();
    assert_eq!(again.server, R);
    w.answer(&again, 0, &[a(1, 60)]);
    w.found(id, &[1]);
    // No route at all.
    let far = Ipv4Addr::new(198, 51, 100, 53);
    let mut w = World::new(&[far, P]);
    w.b.stack.remove_route(&w.b.stack.routes().last().copied().expect("the default route")).expect("there");
    let id = w.query("host.example");
    let asked = w.ask();
    assert_eq!(asked.server, P);
    w.answer(&asked, 0, &[a(1, 60)]);
    w.found(id, &[1]);
}

#[test]
fn silent_servers_are_asked_in_turn_in_two_rounds_and_then_it_is_over() {
    let mut w = World::new(&[P, R]);
    let id = w.query("host.example");
    let begin = w.b.now;
    let asked = w.pass(Duration::from_secs(60));
    let when: Vec<(u64, Ipv4Addr)> = asked.iter().map(|(at, a)| (at.since(begin).as_secs(), a.server)).collect();
    assert_eq!(when, [(0, P), (2, R), (4, P), (8, R)]);
    let plain = |a: &Asked| a.message[12..].iter().all(|o| !o.is_ascii_uppercase());
    assert!(!plain(&asked[0].1));
    // A late answer to the first question finds nobody.
    w.give((P, 53), &asked[0].1, &response(&asked[0].1, 0, &[a(1, 60)]));
    assert_eq!(w.asked(), []);
    assert_eq!(w.resolver.take(id), Some(Err(DnsError::TimedOut)));
}

// H135
#[test]
fn aliases_without_an_address_are_asked_for_within_a_bound() {
    let mut w = World::new(&[P]);
    let id = w.query("host.example");
    let mut asked = w.ask();
    let again = w.answer(&asked, 0, &[rr("", 5, 60, &wire("real.example"))]);
    assert_eq!(again[0].name(), "real.example");
    w.answer(&again[0], 0, &[a(5, 60)]);
    w.found(id, &[5]);
    let id = w.query("loop.example");
    asked = w.ask();
    for n in 0..8 {
        let next = w.answer(&asked, 0, &[rr("", 5, 60, &wire(&format!("n{n}.example")))]);
        asked = next[0].clone();
    }
    assert_eq!(w.answer(&asked, 0, &[rr("", 5, 60, &wire("n.example"))]), []);
    w.failed(id, DnsError::Loop);
    let id = w.query("self.example");
    let asked = w.ask();
    assert_eq!(w.answer(&asked, 0, &[rr("", 5, 60, &wire("self.example"))]), []);
    w.failed(id, DnsError::Loop);
}

#[test]
fn short_names_are_tried_below_each_suffix_and_negative_answers_are_kept() {
    let mut w = World::new(&[P]);
    w.resolver.set_search(&["one.example", "two.example."]).expect("names");
    let id = w.query("www");
    let first = w.ask();
    assert_eq!(first.name(), "www.one.example");
    let numbers = [1u32, 2, 3, 4, 60].map(u32::to_be_bytes).concat();
    let soa = rr("one.example", 6, 60, &[wire("a"), wire("b"), numbers].concat());
    let mut denied = response(&first, 3, &[]);
    denied[9] = 1;
    denied.extend(&soa);
    w.give((P, 53), &first, &denied);
    let second = w.ask();
    assert_eq!(second.name(), "www.two.example");
    let third = w.answer(&second, 3, &[]);
    assert_eq!(third[0].name(), "www");
    w.answer(&third[0], 3, &[]);
    w.failed(id, DnsError::NotFound);
    // The first denial came with the time that it holds for.
    let id = w.query("www");
    let again = w.ask();
    assert_eq!(again.name(), "www.two.example");
    w.answer(&again, 0, &[a(2, 60)]);
    w.found(id, &[2]);
    // With a dot inside: as it is first; with one at the end: only so.
    let id = w.query("a.b");
    let asked = w.ask();
    assert_eq!(asked.name(), "a.b");
    assert_eq!(w.answer(&asked, 0, &[])[0].name(), "a.b.one.example");
    w.resolver.cancel(&mut w.b.stack, id);
    w.resolver.set_ndots(2);
    let id = w.query("a.c");
    assert_eq!(w.ask().name(), "a.c.one.example");
    w.resolver.cancel(&mut w.b.stack, id);
    w.resolver.set_ndots(1);
    let id = w.query("www.");
    let asked = w.ask();
    assert_eq!(asked.name(), "www");
    w.answer(&asked, 0, &[]);
    w.failed(id, DnsError::NoData);
}

#[test]
fn what_need_not_be_asked_for_is_not() {
    let mut w = World::new(&[]);
    assert_eq!(w.resolver.query(w.b.now, "host.example", RecordKind::A), Err(DnsError::NoServers));
    assert_eq!(w.resolver.query(w.b.now, "host.LOCAL", RecordKind::A), Err(DnsError::Multicast));
    for bad in ["", "a..b", "a b", "-.\u{e9}"] {
        assert_eq!(w.resolver.query(w.b.now, bad, RecordKind::A), Err(DnsError::Invalid), "{bad}");
    }
    for (name, kind, expected) in [
        ("203.0.113.9", RecordKind::A, Some("203.0.113.9")),
        ("2001:db8::1", RecordKind::Aaaa, Some("2001:db8::1")),
        ("2001:db8::1", RecordKind::A, None),
        ("localhost", RecordKind::A, Some("127.0.0.1")),
        ("x.LocalHost.", RecordKind::Aaaa, Some("::1")),
    ] {
        let id = w.resolver.query(w.b.now, name, kind).expect("no server is needed");
        let got = w.resolver.take(id).expect("at once");
        let one = |ip: &str| vec![ip.parse::<IpAddr>().expect("an address")];
        assert_eq!(got.ok().map(|a: Addresses| a.to_vec()), expected.map(one), "{name}");
    }
    let ids: Vec<_> = (0..4).map(|_| w.resolver.query(w.b.now, "localhost", RecordKind::A).expect("room")).collect();
    assert_eq!(w.resolver.query(w.b.now, "localhost", RecordKind::A), Err(DnsError::Full));
    w.resolver.take(ids[0]);
    assert!(w.resolver.query(w.b.now, "localhost", RecordKind::A).is_ok());
    w.b.is_well();
}

/// A truncated answer, and the connection that P then accepts; the question as it comes there, and the last segment.
fn truncated(w: &mut World) -> (Vec<u8>, Tcp) {
    let asked = w.ask();
    w.give((P, 53), &asked, &response(&asked, 0x0200, &[a(66, 60)]));
    let syn = segments(&w.turn()).into_iter().find(|s| s.flags == SYN && s.dst == 53).expect("a SYN");
    let answer = Tcp { seq: 5000, flags: SYN | ACK, ..w.b.reply_to(&syn, syn.seq + 1) };
    let mut sent = segments(&w.b.give_tcp(&Tcp { options: vec![2, 4, 5, 0xb4], ..answer }));
    sent.extend(segments(&w.turn()));
    let text = sent.iter().find(|s| !s.payload.is_empty()).expect("the question").clone();
    assert_eq!(usize::from(text.payload[1]) + 2, text.payload.len());
    (text.payload[2..].to_vec(), text)
}

// H134
#[test]
fn a_truncated_answer_is_had_by_tcp() {
    let mut w = World::new(&[P]);
    let id = w.query("host.example");
    let (message, last) = truncated(&mut w);
    let asked = Asked { from: 0, server: P, message };
    let whole = response(&asked, 0, &(1..=40).map(|n| a(n, 60)).collect::<Vec<_>>());
    let framed = [&(whole.len() as u16).to_be_bytes()[..], &whole].concat();
    // In pieces, the first of one octet.
    let (mut seq, ack) = (5001, last.seq + last.payload.len() as u32);
    for piece in [&framed[..1], &framed[1..300], &framed[300..]] {
        assert_eq!(w.resolver.take(id), None);
        let segment = Tcp { seq, ack, flags: ACK, payload: piece.to_vec(), ..w.b.reply_to(&last, ack) };
        w.b.give_tcp(&segment);
        w.turn();
        seq += piece.len() as u32;
    }
    let addresses = w.resolver.take(id).expect("an outcome").expect("addresses");
    assert_eq!(addresses.len(), 4);
    assert_eq!(w.resolver.deadline(), None);
}

// H134: never a part.
#[test]
fn an_answer_too_long_even_for_tcp_is_an_error() {
    let mut w = World::new(&[P]);
    let id = w.query("host.example");
    let (_, last) = truncated(&mut w);
    let ack = last.seq + last.payload.len() as u32;
    let segment = Tcp { seq: 5001, ack, flags: ACK, payload: vec![0xff, 0xff, 1, 2, 3], ..w.b.reply_to(&last, ack) };
    w.b.give_tcp(&segment);
    w.turn();
    assert_eq!(w.resolver.take(id), Some(Err(DnsError::Truncated)));
    // The buffer is free again.
    let id = w.query("other.example");
    truncated(&mut w);
    w.pass(Duration::from_secs(60));
    assert!(matches!(w.resolver.take(id), Some(Err(DnsError::TimedOut))));
}

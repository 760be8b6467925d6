//! Name servers and hosts of the link that mean harm: thousands of garbled and lying messages, after which names are
//! found as before.

mod mdns_world;

use mdns_world::{A, AAAA, ANY, GROUP, NAMED, NSEC, PTR, SRV, TXT, a, ptr};
use ringtap::dns::{QueryId, RecordKind, Resolver};
use ringtap::mdns::{Browser, MAX_SERVICES, Mdns};
use ringtap::stack::Stack;
use ringtap::time::Instant;
use ringtap_sim::Bench;
use ringtap_sim::bench::{H, H_MAC, P, P_MAC, R};
use ringtap_sim::dnsmsg::{Msg, Rr, TOP, wire};
use ringtap_sim::hostile::{Client, Victim, mangle, udp_frame, udp_to};
use ringtap_sim::packet::{self, ACK, Ip, RST, SYN, Seen, Tcp};
use std::net::IpAddr;

/// How many messages a run has; RINGTAP_HOSTILE makes it more.
fn rounds(usual: usize) -> usize {
    std::env::var("RINGTAP_HOSTILE").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

/// A resolver that is always asked for something.
struct Asking {
    resolver: Resolver,
    open: Vec<QueryId>,
    asked: u32,
    name: Option<String>,
    found: Option<Vec<IpAddr>>,
}

impl Client for Asking {
    fn poll(&mut self, stack: &mut Stack<'static>, now: Instant) -> bool {
        let resolver = &mut self.resolver;
        resolver.poll(stack, now);
        let (mut acted, found) = (false, &mut self.found);
        self.open.retain(|id| {
            let Some(outcome) = resolver.take(*id) else { return true };
            acted = true;
            if let Ok(addresses) = &outcome {
                assert!((1..=4).contains(&addresses.len()));
                *found = Some(addresses.to_vec());
            }
            false
        });
        // What was found is kept, and found at once: it is asked for once.
        while self.open.len() < 3 && (self.name.is_none() || self.found.is_none()) {
            self.asked += 1;
            let name = self.name.clone().unwrap_or_else(|| format!("n{}.example", self.asked));
            let kind =
                if self.asked.is_multiple_of(2) || self.name.is_some() { RecordKind::A } else { RecordKind::Aaaa };
            self.open.push(resolver.query(now, &name, kind).expect("room for a query"));
            acted = true;
        }
        acted
    }

    fn deadline(&self) -> Option<Instant> {
        self.resolver.deadline()
    }
}

fn rr(kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut r = vec![0xc0, 12];
    r.extend([kind.to_be_bytes(), [0, 1]].concat());
    r.extend(ttl.to_be_bytes());
    r.extend((data.len() as u16).to_be_bytes());
    r.extend(data);
    r
}

/// An answer to a question that has left, as an honest server gives it, with these records.
fn answer(query: &[u8], flags: u16, records: &[Vec<u8>]) -> Vec<u8> {
    let mut m = query.to_vec();
    m[2..4].copy_from_slice(&(0x8180 | flags).to_be_bytes());
    m[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
    m.extend(records.concat());
    m
}

#[test]
fn thousands_of_lying_name_servers_messages_cost_time_only() {
    let mut b = Bench::new().with_live_neighbors();
    let mut resolver = Resolver::new(&mut b.stack);
    resolver.set_servers(&[P.into(), R.into()]);
    let client = Asking { resolver, open: vec![], asked: 0, name: None, found: None };
    let mut v = Victim::new(b, client, 1);
    let mut queries: Vec<(u16, Vec<u8>)> = v.pass(10).iter().filter_map(|f| udp_to(f, 53)).collect();
    for n in 0..rounds(60_000) {
        // Who sees the questions, and answers as himself.
        let Some((port, query)) = queries.get(queries.len().saturating_sub(1 + n % 3)).cloned() else {
            panic!("asked")
        };
        let alias = [&[3][..], b"www", &[0xc0, 12]].concat();
        let records: [Vec<Vec<u8>>; 6] = [
            vec![rr(1, 60, &[203, 0, 113, 1])],
            (0..60).map(|n| rr(1, u32::MAX >> 1, &[203, 0, 113, n])).collect(),
            vec![rr(28, 60, &[0xfd; 16])],
            vec![rr(5, 60, &alias), rr(5, 60, &[0xc0, 12])],
            vec![rr(6, 60, &[&[0, 0][..], &[0xff; 20]].concat())],
            vec![],
        ];
        let flags = [0, 0, 0, 3, 2, 0x200][v.rng.below(6) as usize];
        let mut m = answer(&query, flags, &records[v.rng.below(6) as usize]);
        mangle(&mut m, &mut v.rng);
        if v.rng.chance(0.7) && m.len() > 2 {
            m[..2].copy_from_slice(&query[..2]);
        }
        let server = if n % 2 == 0 { P } else { R };
        let mut sent = v.give(udp_frame((server, 53), (H, port), &m));
        if n % 4 == 0 {
            sent.extend(v.pass(v.rng.clone().below(40)));
        }
        // Nobody serves DNS over TCP.
        for f in sent.clone() {
            if let Seen::Tcp(_, server, Tcp { src, seq, flags: SYN, .. }) = packet::read(&f) {
                let reset = Tcp { src: 53, dst: src, ack: seq + 1, flags: RST | ACK, ..Tcp::default() };
                let ip = Ip::new(server, H, 6).build(&reset.build(server, H));
                sent.extend(v.give(packet::ethernet(H_MAC, P_MAC, 0x0800, &ip)));
            }
        }
        queries.extend(sent.iter().filter_map(|f| udp_to(f, 53)));
        queries.drain(..queries.len().saturating_sub(6));
    }
    assert!(v.client.asked > 1_000, "queries came to their ends: {}", v.client.asked);
    // At most a question for each message that ended one, and a connection where it was said to be too long.
    v.is_bounded(4, 20_000);
    // One honest server, and what is asked for is found.
    v.client.name = Some("honest.example".into());
    v.client.found = None;
    v.pass(60_000);
    v.client.found = None;
    for _ in 0..200 {
        for (port, query) in v.pass(500).iter().filter_map(|f| udp_to(f, 53)) {
            for server in [P, R] {
                v.give(udp_frame((server, 53), (H, port), &answer(&query, 0, &[rr(1, 5, &[203, 0, 113, 77])])));
            }
        }
        if v.client.found.is_some() {
            break;
        }
    }
    assert_eq!(v.client.found, Some(vec![IpAddr::from([203, 0, 113, 77])]));
}

/// A responder, a querier and a browser.
struct OfLink {
    mdns: Mdns,
    browser: Browser,
    open: Option<QueryId>,
    found: Option<Vec<IpAddr>>,
}

impl Client for OfLink {
    fn poll(&mut self, stack: &mut Stack<'static>, now: Instant) -> bool {
        let mut acted = false;
        while self.mdns.poll(stack, now).is_some() {
            acted = true;
        }
        acted |= self.browser.poll(stack, now);
        match self.open {
            None => self.open = self.mdns.query(now, "printer.local", RecordKind::A).ok(),
            Some(id) => {
                if let Some(outcome) = self.mdns.take(id) {
                    self.open = None;
                    self.found = outcome.ok().map(|a| a.to_vec());
                    assert!(self.found.as_ref().is_none_or(|f| (1..=4).contains(&f.len())));
                }
            }
        }
        acted
    }

    fn deadline(&self) -> Option<Instant> {
        [self.mdns.deadline(), self.browser.deadline()].into_iter().flatten().min()
    }
}

const KIND: &str = "_http._tcp.local";

/// What a link may say, to our names and about others.
fn corpus(host: &str, n: usize) -> Vec<Msg> {
    let other = format!("n{}.{KIND}", n % 50);
    let srv =
        |owner: &str, host: &str| Rr::new(owner, SRV, 120, &[&[0, 0, 0, 0, 0, 80][..], &wire(host)].concat()).unique();
    let own = format!("{host}.local");
    let nsec = [&wire("printer.local")[..], &[0, 4, 0x40, 0, 0, 8]].concat();
    let probe = Msg { sections: [vec![], vec![a(&own, 200)], vec![]], ..Msg::query(&[(&own, ANY)]) };
    let known = Msg { sections: [vec![ptr(4_000)], vec![], vec![]], ..Msg::query(&[(KIND, PTR)]) };
    let unicast = Msg { questions: vec![(own.clone(), A, 1 | TOP), (own.clone(), AAAA, 1 | TOP)], ..Msg::default() };
    let found = vec![srv(&other, "printer.local"), Rr::new(&other, TXT, 120, b"\x03a=b"), a("printer.local", 9)];
    vec![
        Msg::query(&[(&own, A), (KIND, PTR), ("_services._dns-sd._udp.local", PTR)]),
        Msg::query(&[("Boiler room._http._tcp.local", ANY)]),
        unicast,
        Msg { flags: 0x200, ..known.clone() },
        known,
        probe,
        Msg::response(vec![a("printer.local", 9), Rr::new("printer.local", NSEC, 120, &nsec)]),
        Msg::response(vec![a(&own, 201)]),
        Msg::response(vec![Rr { ttl: 0, ..a("printer.local", 9) }]),
        Msg { sections: [vec![Rr::new(KIND, PTR, 4_500, &wire(&other))], vec![], found], ..Msg::response(vec![]) },
        Msg::response(vec![srv("Boiler room._http._tcp.local", "other.local")]),
    ]
}

#[test]
fn thousands_of_lying_hosts_messages_cost_a_link_names_for_a_time_only() {
    let mut b = Bench::new().with_live_neighbors();
    let mdns = Mdns::start(&mut b.stack, b.iface, &NAMED).expect("names and room");
    let browser = Browser::start(&mut b.stack, b.iface, "_http._tcp").expect("a type and room");
    let mut v = Victim::new(b, OfLink { mdns, browser, open: None, found: None }, 2);
    v.pass(5_000);
    assert!(v.client.mdns.is_claimed());
    for n in 0..rounds(20_000) {
        let host = v.client.mdns.host().expect("a name").to_string();
        let all = corpus(&host, n);
        let mut m = all[v.rng.below(all.len() as u64) as usize].build();
        if !v.rng.chance(0.1) {
            mangle(&mut m, &mut v.rng);
        }
        let (from, port) = [(P, 5353), (P, 5353), (R, 5353), (P, 4_000)][v.rng.below(4) as usize];
        let to = if v.rng.chance(0.8) { GROUP } else { H };
        v.give(udp_frame((from, port), (to, 5353), &m));
        if n % 4 == 0 {
            v.pass(v.rng.clone().below(60));
        }
        assert!(v.client.browser.services().count() <= MAX_SERVICES);
    }
    v.is_bounded(1, 10_000);
    // What lies were believed end with their lives; the honest are heard.
    v.pass(4_600_000);
    assert!(v.client.mdns.is_claimed(), "the names are ours again");
    let host = v.client.mdns.host().expect("a name").to_string();
    let sent = v.give(udp_frame((P, 5353), (GROUP, 5353), &Msg::query(&[(&format!("{host}.local"), A)]).build()));
    let told = |f: &Vec<u8>| {
        udp_to(f, 5353).is_some_and(|(_, m)| Msg::read(&m).answers().iter().any(|r| r.data == H.octets()))
    };
    assert!(sent.iter().any(told), "{host} is told of");
    let honest = &corpus(&host, 7)[9];
    v.give(udp_frame((P, 5353), (GROUP, 5353), &honest.build()));
    let names: Vec<&str> = v.client.browser.services().map(|s| s.instance()).collect();
    assert_eq!(names, ["n7"]);
    for _ in 0..100 {
        v.pass(1_000);
        v.give(udp_frame((P, 5353), (GROUP, 5353), &Msg::response(vec![a("printer.local", 9)]).build()));
        if v.client.found.is_some() {
            break;
        }
    }
    assert_eq!(v.client.found, Some(vec![IpAddr::from([192, 0, 2, 9])]));
}

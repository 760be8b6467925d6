//! Browsing: the services of a type that the link has, on a whole stack.

mod mdns_world;

use mdns_world::{A, AAAA, ANY, GROUP, PTR, SRV, TXT, a};
use ringtap::error::BindError;
use ringtap::mdns::{Browser, MAX_SERVICES};
use ringtap::time::{Duration, Instant};
use ringtap_sim::Bench;
use ringtap_sim::bench::{H, H_MAC, P, P_MAC};
use ringtap_sim::dnsmsg::{Msg, Rr, TOP, wire};
use ringtap_sim::packet::{self, Ip, Seen};
use std::net::{IpAddr, Ipv4Addr};

const KIND: &str = "_http._tcp.local";

struct World {
    b: Bench,
    browser: Browser,
    start: Instant,
    changes: usize,
}

/// A question that has left, and when, in milliseconds.
type Asked = (u64, Msg);

impl World {
    fn new() -> Self {
        let mut b = Bench::new().with_live_neighbors();
        let browser = Browser::start(&mut b.stack, b.iface, "_http._tcp").expect("a type and room");
        let start = b.now;
        Self { b, browser, start, changes: 0 }
    }

    /// One that has asked for the first time.
    fn asking() -> Self {
        let mut w = Self::new();
        assert_eq!(w.pass(130).len(), 1);
        w
    }

    fn turn(&mut self) -> Vec<Asked> {
        let mut all = Vec::new();
        for _ in 0..200 {
            let seen = self.b.poll();
            let at = self.b.now.since(self.start).as_millis();
            for s in &seen {
                if let Seen::Udp((H, 5353), (to, 5353), m) = s {
                    assert_eq!(*to, GROUP);
                    all.push((at, Msg::read(m)));
                }
            }
            self.changes += usize::from(self.browser.poll(&mut self.b.stack, self.b.now));
            let due = self.browser.deadline().is_some_and(|t| t <= self.b.now);
            if seen.is_empty() && self.b.stack.pending().is_empty() && !due {
                return all;
            }
        }
        panic!("it spins");
    }

    fn pass(&mut self, millis: u64) -> Vec<Asked> {
        let end = self.b.now + Duration::from_millis(millis);
        let mut all = Vec::new();
        loop {
            all.extend(self.turn());
            let next = [self.b.stack.next_deadline(), self.browser.deadline()].into_iter().flatten().min();
            match next {
                Some(at) if at <= end => self.b.now = self.b.now.max(at),
                _ => {
                    self.b.now = end;
                    return all;
                }
            }
        }
    }

    fn give(&mut self, (from, port): (Ipv4Addr, u16), to: Ipv4Addr, msg: &Msg) -> Vec<Asked> {
        let mac = if to == GROUP { mdns_world::GROUP_MAC } else { H_MAC };
        let udp = packet::udp((from, port), (to, 5353), &msg.build());
        let ip = Ip { ttl: 255, ..Ip::new(from, to, 17) };
        self.b.nic.rx.push_back(packet::ethernet(mac, P_MAC, 0x0800, &ip.build(&udp)));
        self.turn()
    }

    fn say(&mut self, msg: &Msg) -> Vec<Asked> {
        self.give((P, 5353), GROUP, msg)
    }

    /// Name, host with port, texts, addresses; in this order.
    fn services(&self) -> Vec<(String, String, Vec<String>, Vec<IpAddr>)> {
        let each = self.browser.services().map(|s| {
            let texts = s.texts().map(|t| String::from_utf8_lossy(t).to_string()).collect();
            (s.instance().to_string(), format!("{}:{}", s.host(), s.port()), texts, s.addresses().collect())
        });
        each.collect()
    }

    fn names(&self) -> Vec<String> {
        self.services().into_iter().map(|s| s.0).collect()
    }
}

fn full(instance: &str) -> String {
    format!("{instance}.{KIND}")
}

fn ptr(instance: &str, ttl: u32) -> Rr {
    Rr::new(KIND, PTR, ttl, &wire(&full(instance)))
}

fn srv(instance: &str, ttl: u32, port: u16, host: &str) -> Rr {
    Rr::new(&full(instance), SRV, ttl, &[&[0; 4][..], &port.to_be_bytes(), &wire(host)].concat()).unique()
}

fn txt(instance: &str, data: &[u8]) -> Rr {
    Rr::new(&full(instance), TXT, 4_500, data).unique()
}

/// Everything that is to be known of a service, in one message.
fn whole(instance: &str, ttl: u32) -> Msg {
    let more = vec![srv(instance, ttl, 80, "printer.local"), txt(instance, b"\x06path=/\x01x"), a("printer.local", 9)];
    Msg { sections: [vec![ptr(instance, ttl)], vec![], more], ..Msg::response(vec![]) }
}

// RFC 6763 §4 to §6, RFC 6762 §5.2, §18.
#[test]
fn a_service_is_asked_for_and_everything_said_of_it_is_known() {
    let mut w = World::new();
    let sent = w.pass(130);
    assert!(sent.len() == 1 && (20..=120).contains(&sent[0].0), "{sent:?}");
    assert_eq!((sent[0].1.flags, &sent[0].1.questions[..]), (0, &[(KIND.to_string(), PTR, 1)][..]));
    w.say(&whole("Big Printer", 4_500));
    let known = ("Big Printer".into(), "printer.local:80".into(), vec!["path=/".into(), "x".into()]);
    let ip = IpAddr::from([192, 0, 2, 9]);
    assert_eq!(w.services(), [(known.0, known.1, known.2, vec![ip])]);
    let changes = w.changes;
    assert!(changes > 0);
    w.say(&whole("Big Printer", 4_500));
    assert_eq!(w.changes, changes, "nothing new");
    // Nothing more is to be asked of it: there is the continuous question alone.
    let later = w.pass(10_000);
    assert!(later.iter().all(|(_, m)| m.questions.iter().all(|q| q.1 == PTR)), "{later:?}");
    // A port that moves.
    w.say(&Msg::response(vec![srv("Big Printer", 120, 8_080, "printer.local")]));
    assert_eq!((w.services()[0].1.as_str(), w.services()[0].3.len()), ("printer.local:8080", 1));
    // An address that moves, a second after the last word of the old one (§10.2).
    w.say(&Msg::response(vec![a("printer.local", 10)]));
    assert_eq!(w.services()[0].3, [IpAddr::from([192, 0, 2, 10])]);
    let World { mut b, browser, .. } = w;
    browser.close(&mut b.stack);
    assert_eq!(b.stack.groups(b.iface).count(), 0, "the groups are left");
    b.pass(Duration::from_secs(3));
    b.is_well();
}

// RFC 6762 §5.2: at least a second, then twice as long, up to an hour; §7.1: known answers.
#[test]
fn the_question_is_repeated_ever_more_rarely_with_what_is_known() {
    let mut w = World::asking();
    let first = w.b.now.since(w.start).as_millis();
    w.say(&whole("Printer", 4_500));
    let sent = w.pass(70_000);
    let at: Vec<u64> = sent.iter().map(|s| (s.0 + 500 - first) / 1_000).collect();
    assert_eq!(at, [1, 3, 7, 15, 31, 63]);
    for (at, m) in &sent {
        let [known] = m.answers() else { panic!("{m:?}") };
        assert_eq!((known.kind, known.class, &known.data), (PTR, 1, &wire(&full("Printer"))));
        assert!(known.ttl + (*at / 1_000) as u32 - 4_499 <= 2, "what is left of its life: {} at {at}", known.ttl);
    }
    let sent = w.pass(8 * 3_600_000);
    let only = |s: &&Asked| s.1.questions.iter().any(|q| q.1 == PTR);
    assert!(sent.iter().filter(only).count() <= 24, "an hour apart in the end: {}", sent.len());
}

// RFC 6762 §5.2: at 80, 85, 90, 95 %; §10.1: a second after a goodbye.
#[test]
fn what_is_known_is_asked_for_again_before_it_ends_and_then_it_is_gone() {
    let mut w = World::asking();
    w.pass(127_000);
    let heard = w.b.now;
    w.say(&whole("Printer", 100));
    w.say(&whole("Scanner", 4_500));
    // The continuous question comes in between, and is told apart by its known answer.
    let sent = w.pass(99_900);
    let asked_again = |kind: u16| -> Vec<u64> {
        let of = sent.iter().filter(|s| s.1.questions.iter().any(|q| q.1 == kind && q.0.contains("rinter")));
        of.map(|s| (s.0 - heard.since(w.start).as_millis()) / 1_000).collect()
    };
    let details = asked_again(SRV);
    assert_eq!(details.len(), 4, "{sent:?}");
    for (at, wanted) in details.iter().zip([80, 85, 90, 95]) {
        assert!((wanted..=wanted + 2).contains(at), "{details:?}");
    }
    let pointers: Vec<&Asked> = sent.iter().filter(|s| s.1.questions[0].1 == PTR).collect();
    assert!(pointers.len() >= 4 && pointers.iter().all(|s| s.1.answers().len() == 1), "the other one is known");
    assert_eq!(w.names(), ["Printer", "Scanner"]);
    w.pass(200);
    assert_eq!(w.names(), ["Scanner"]);
    w.say(&Msg::response(vec![ptr("Scanner", 0)]));
    w.pass(900);
    assert_eq!(w.names(), ["Scanner"]);
    let changes = w.changes;
    w.pass(101);
    assert_eq!((w.names().len(), w.changes), (0, changes + 1));
}

#[test]
fn what_was_not_said_is_asked_for_three_times() {
    let mut w = World::asking();
    w.say(&Msg::response(vec![ptr("Printer", 4_500)]));
    assert_eq!(w.names().len(), 0, "nobody knows where it is");
    let sent = w.pass(20_000);
    let of = |kind: u16| sent.iter().filter(|s| s.1.questions.iter().any(|q| q.1 == kind)).count();
    assert_eq!((of(SRV), of(TXT), of(A)), (3, 3, 0));
    w.say(&Msg::response(vec![srv("Printer", 120, 80, "p.local")]));
    assert_eq!(w.services(), [("Printer".into(), "p.local:80".into(), vec![], vec![])]);
    let sent = w.pass(20_000);
    let of = |kind: u16| sent.iter().filter(|s| s.1.questions.contains(&("p.local".into(), kind, 1))).count();
    assert_eq!((of(A), of(AAAA), of(SRV)), (3, 3, 0));
    w.say(&Msg::response(vec![a("p.local", 7)]));
    assert_eq!(w.services()[0].3, [IpAddr::from([192, 0, 2, 7])]);
}

// RFC 6762 §7.3.
#[test]
fn a_question_that_another_host_has_just_asked_is_not_asked_again() {
    let question = Msg::query(&[(KIND, PTR)]);
    let mut w = World::new();
    w.say(&question);
    assert_eq!(w.pass(900).len(), 0, "it counts as ours");
    assert_eq!(w.pass(150).len(), 1, "of which there is another a second later");
    w.say(&whole("Printer", 4_500));
    // Who wants a unicast answer, or knows what we do not, does not ask for us.
    for other in [
        Msg { questions: vec![(KIND.into(), PTR, 1 | TOP)], ..question.clone() },
        Msg { sections: [vec![ptr("Other", 4_500)], vec![], vec![]], ..question.clone() },
        Msg::query(&[("_ipp._tcp.local", PTR)]),
        Msg::query(&[(KIND, ANY)]),
    ] {
        let mut w = World::new();
        w.say(&other);
        assert_eq!(w.pass(900).len(), 1, "{other:?}");
    }
}

#[test]
fn what_cannot_be_or_is_not_of_the_link_changes_nothing() {
    let mut w = World::asking();
    let good = whole("Printer", 4_500);
    w.give((P, 5354), GROUP, &good);
    w.give((Ipv4Addr::new(198, 51, 100, 7), 5353), H, &good);
    w.say(&Msg { flags: 0x8402, ..good.clone() });
    let bad = [
        Rr::new(KIND, PTR, 9, &wire("Printer._ipp._tcp.local")),
        Rr::new(KIND, PTR, 9, &wire("a.b._http._tcp.local")),
        Rr::new(KIND, PTR, 9, &wire(KIND)),
        Rr::new(KIND, PTR, 9, &[&wire(&full("Printer"))[..], &[0]].concat()),
        Rr::new(KIND, PTR, 9, &wire(&full("bell\x07"))),
        Rr { class: 3, ..ptr("Printer", 9) },
        ptr("Printer", 0),
    ];
    for bad in bad {
        w.say(&Msg::response(vec![bad.clone(), srv("Printer", 9, 1, "p.local"), srv("bell\x07", 9, 1, "p.local")]));
        assert_eq!((w.services().len(), w.changes), (0, 0), "{bad:?}");
    }
    w.say(&good);
    let known = w.services();
    let cut = Rr { data: vec![0; 6], ..srv("Printer", 9, 1, "p.local") };
    let long = Rr { data: [&srv("Printer", 9, 1, "p.local").data[..], &[0]].concat(), ..cut.clone() };
    let short = Rr { data: vec![1, 2, 3], ..a("printer.local", 1) };
    for bad in [cut, long, short] {
        w.say(&Msg::response(vec![bad]));
        assert_eq!(w.services(), known);
    }
    // Texts as far as they are whole.
    w.say(&Msg::response(vec![txt("Printer", b"\x02ab\x09cut")]));
    assert_eq!(w.services()[0].2, ["ab"]);
    w.say(&Msg::response(vec![txt("Printer", &[&[200; 201][..], &[100; 101], b"\x01z"].concat())]));
    assert_eq!(w.services()[0].2.len(), 1, "as many as there is room for");
    w.say(&Msg::response((0..50).map(|n| a("printer.local", n)).collect()));
    assert_eq!(w.services()[0].3.len(), 4);
}

#[test]
fn a_flood_of_services_fills_the_table_once_and_questions_stay_a_second_apart() {
    let mut w = World::asking();
    w.say(&whole("First", 4_500));
    let mut sent = Vec::new();
    for n in 0..5_000 {
        let mut flood = whole(&format!("n{n}"), 1);
        flood.sections[2][0] = srv(&format!("n{n}"), 1, 80, &format!("h{n}.local"));
        sent.extend(w.say(&flood));
        sent.extend(w.pass(7));
        assert!(w.services().len() <= MAX_SERVICES);
    }
    assert!(w.browser.left_out() > 1_000);
    assert!(sent.windows(2).all(|s| s[1].0 - s[0].0 >= 1_000), "{:?}", sent.iter().map(|s| s.0).collect::<Vec<_>>());
    w.pass(3_000);
    assert_eq!(w.names(), ["First"], "who was there first stays");
    w.b.is_well();
}

#[test]
fn what_is_told_for_ever_is_believed_for_75_minutes() {
    let mut w = World::asking();
    w.say(&whole("Printer", u32::MAX >> 1));
    w.pass(4_499_000);
    assert_eq!(w.names(), ["Printer"]);
    w.pass(1_000);
    assert_eq!(w.names().len(), 0);
}

#[test]
fn a_link_that_was_down_may_be_another_one() {
    let mut w = World::asking();
    w.say(&whole("Printer", 4_500));
    w.pass(100_000);
    w.b.nic.link = ringtap::device::Link::Down;
    w.pass(1_000);
    assert_eq!(w.names().len(), 1);
    w.b.nic.link = ringtap::device::Link::Up;
    let sent = w.pass(1_500);
    assert!(sent.len() == 2 && sent.iter().all(|s| s.1.answers().is_empty()), "{sent:?}");
    assert_eq!(w.names().len(), 0);
}

#[test]
fn a_type_that_cannot_be_is_refused_and_leaves_nothing() {
    let mut b = Bench::new();
    for bad in ["", "http._tcp", "_http._sctp", "_http"] {
        assert!(matches!(Browser::start(&mut b.stack, b.iface, bad), Err(BindError::Invalid)), "{bad}");
    }
    assert_eq!(b.stack.groups(b.iface).count(), 0);
}

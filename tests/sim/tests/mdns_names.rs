//! Names of the link: the multicast DNS querier on a whole stack; and several stacks that want one name.

mod mdns_world;

use mdns_world::{A, GROUP, NSEC, SERVICE, TXT, World, a};
use ringtap::dns::RecordKind;
use ringtap::error::DnsError;
use ringtap::mdns::{Mdns, MdnsOptions};
use ringtap::stack::Stack;
use ringtap::time::{Duration, Instant};
use ringtap_sim::bench::{H, P};
use ringtap_sim::dnsmsg::{Msg, Rr, TOP, wire};
use ringtap_sim::{App, Host, Impairments, Sim};
use std::net::{IpAddr, Ipv4Addr};

// RFC 6762 §5.2, §5.4, §18.6; H133, H136.
#[test]
fn a_name_of_the_link_is_asked_for_and_found() {
    let mut w = World::new(&MdnsOptions::default());
    assert_eq!(w.mdns.query(w.b.now, "host.example", RecordKind::A), Err(DnsError::Invalid));
    assert_eq!(w.mdns.query(w.b.now, "local", RecordKind::A), Err(DnsError::Invalid));
    let id = w.mdns.query(w.b.now, "Printer.LOCAL", RecordKind::A).expect("a name");
    let sent = w.pass(130);
    assert!(sent.len() == 1 && (20..=120).contains(&sent[0].at), "{sent:?}");
    assert_eq!((sent[0].to, sent[0].msg.flags), ((GROUP.into(), 5353), 0), "RD is clear");
    assert_eq!(sent[0].msg.questions, [("Printer.LOCAL".to_string(), A, 1 | TOP)]);
    // Not from another port, not from off the link, not of another kind, not an answer to something else.
    let good = Msg::response(vec![a("printer.local", 9), a("printer.local", 10)]);
    w.give((P, 5354), GROUP, &good.build());
    w.give((Ipv4Addr::new(198, 51, 100, 7), 5353), H, &good.build());
    w.say(&Msg { flags: 0x8402, ..good.clone() });
    w.say(&Msg::response(vec![a("other.local", 9), Rr::new("printer.local", TXT, 9, &[0])]));
    w.say(&Msg::response(vec![Rr::new("printer.local", A, 120, &[1, 2, 3])]));
    assert_eq!(w.mdns.take(id), None);
    // Of class 0x8001, to us alone.
    w.give((P, 5353), H, &good.build());
    w.turn();
    let found = w.mdns.take(id).expect("an outcome").expect("addresses");
    assert_eq!(found.to_vec(), [9, 10].map(|n| IpAddr::from([192, 0, 2, n])));
    // It is kept, and what is said later is true instead.
    let id = w.mdns.query(w.b.now, "printer.local", RecordKind::A).expect("a name");
    assert!(w.mdns.take(id).is_some_and(|o| o.is_ok_and(|a| a.len() == 2)));
    w.say(&Msg::response(vec![a("printer.local", 11)]));
    let id = w.mdns.query(w.b.now, "printer.local", RecordKind::A).expect("a name");
    assert!(w.mdns.take(id).is_some_and(|o| o.is_ok_and(|a| a.to_vec() == [IpAddr::from([192, 0, 2, 11])])));
    // A goodbye ends it.
    w.say(&Msg::response(vec![Rr { ttl: 0, ..a("printer.local", 11) }]));
    let id = w.mdns.query(w.b.now, "printer.local", RecordKind::A).expect("a name");
    assert_eq!(w.mdns.take(id), None);
    w.mdns.cancel(id);
    assert_eq!(w.mdns.take(id), Some(Err(DnsError::Stale)));
    w.is_well();
}

#[test]
fn a_name_that_nobody_has_is_asked_for_three_times_and_one_without_such_an_address_is_denied() {
    let mut w = World::new(&MdnsOptions::default());
    let id = w.mdns.query(w.b.now, "nobody.local", RecordKind::Aaaa).expect("a name");
    let sent = w.pass(10_000);
    let first = sent[0].at;
    assert_eq!(sent.iter().map(|s| s.at - first).collect::<Vec<_>>(), [0, 1_000, 3_000]);
    assert_eq!(sent[1].msg.questions[0].2, 1, "the first question alone wants a unicast answer");
    assert_eq!(w.mdns.take(id), Some(Err(DnsError::NotFound)));
    let id = w.mdns.query(w.b.now, "four.local", RecordKind::Aaaa).expect("a name");
    w.pass(150);
    let nsec = [&wire("four.local")[..], &[0, 1, 0x40]].concat();
    let denial = Msg::response(vec![Rr::new("four.local", NSEC, 120, &nsec).unique()]);
    w.say(&denial);
    assert_eq!(w.pass(249), []);
    assert_eq!(w.mdns.take(id), None, "there may be an answer yet");
    w.pass(1);
    assert_eq!(w.mdns.take(id), Some(Err(DnsError::NoData)));
    let id = w.mdns.query(w.b.now, "four.local", RecordKind::Aaaa).expect("a name");
    assert_eq!(w.mdns.take(id), Some(Err(DnsError::NoData)), "it is kept");
    // What it does have is not denied, whatever it says as well.
    let wrong = [&wire("four.local")[..], &[0, 4, 0, 0, 0, 8]].concat();
    let denial = Msg::response(vec![Rr::new("four.local", NSEC, 120, &wrong).unique()]);
    let id = w.mdns.query(w.b.now, "four.local", RecordKind::A).expect("a name");
    w.say(&denial);
    assert_eq!(w.pass(150).len(), 1, "it is asked for nevertheless");
    w.say(&denial);
    w.say(&Msg::response(vec![a("four.local", 4)]));
    assert!(w.mdns.take(id).is_some_and(|o| o.is_ok()));
    // Four at a time.
    let ids: Vec<_> = (0..4).map(|_| w.mdns.query(w.b.now, "x.local", RecordKind::A).expect("room")).collect();
    assert_eq!(w.mdns.query(w.b.now, "x.local", RecordKind::A), Err(DnsError::Full));
    ids.into_iter().for_each(|id| w.mdns.cancel(id));
    assert_eq!(w.mdns.deadline(), None);
    w.is_well();
}

#[test]
fn names_nobody_asked_for_are_not_kept() {
    let mut w = World::new(&MdnsOptions::default());
    for n in 0..50 {
        w.say(&Msg::response(vec![a(&format!("n{n}.local"), 9)]));
    }
    let id = w.mdns.query(w.b.now, "n49.local", RecordKind::A).expect("a name");
    assert_eq!(w.mdns.take(id), None, "it has to be asked for");
    w.pass(150);
    w.say(&Msg::response((0..50).map(|n| a("n49.local", n)).collect()));
    assert!(w.mdns.take(id).is_some_and(|o| o.is_ok_and(|a| a.len() == 4)), "as many as there is room for");
}

/// Multicast DNS as a program of a simulated host.
struct Responding {
    mdns: Option<Mdns>,
    ask: Option<(&'static str, Instant)>,
    query: Option<ringtap::dns::QueryId>,
    found: Option<Result<Vec<IpAddr>, DnsError>>,
}

impl App for Responding {
    fn run(&mut self, now: Instant, stack: &mut Stack<'static>) -> bool {
        let iface = stack.interfaces().next().expect("an interface").id;
        let mdns = self.mdns.get_or_insert_with(|| {
            let options = MdnsOptions { host: Some("node"), service: Some(SERVICE) };
            Mdns::start(stack, iface, &options).expect("names and room")
        });
        let mut acted = false;
        if let Some((name, _)) = self.ask.take_if(|(_, at)| *at <= now) {
            self.query = Some(mdns.query(now, name, RecordKind::A).expect("a name"));
            acted = true;
        }
        if let Some(outcome) = self.query.and_then(|id| mdns.take(id)) {
            self.query = None;
            self.found = Some(outcome.map(|a| a.to_vec()));
            acted = true;
        }
        while mdns.poll(stack, now).is_some() {
            acted = true;
        }
        acted
    }

    fn is_done(&self) -> bool {
        self.found.is_some()
    }

    fn next(&self) -> Option<Instant> {
        let mdns = self.mdns.as_ref().and_then(Mdns::deadline);
        [mdns, self.ask.map(|(_, at)| at)].into_iter().flatten().min()
    }
}

#[test]
fn three_hosts_that_want_one_name_have_three_in_the_end_and_find_each_other() {
    for seed in 0..8 {
        let hosts = (1..=3).map(|n| {
            let mut host = Host::new(n, seed, 64, 1500);
            let ask = Some(("node-2.local", Instant::from_secs(30)));
            host.apps.push(Box::new(Responding { mdns: None, ask, query: None, found: None }));
            host
        });
        let delay = Duration::from_millis(2);
        let link = Impairments { delay, ..Impairments::default() };
        let mut sim = Sim::new(seed, hosts.collect(), vec![link.clone(), link.clone(), link]);
        sim.run_until(Instant::from_secs(40)).unwrap_or_else(|e| panic!("seed {seed}: {e:?}"));
        let names: Vec<String> = (0..3)
            .map(|n| {
                let mdns = sim.app::<Responding>(n, 0).mdns.as_ref().expect("started");
                assert!(mdns.is_claimed(), "seed {seed}");
                mdns.host().expect("a name").to_string()
            })
            .collect();
        let mut sorted = names.clone();
        sorted.sort();
        assert_eq!(sorted, ["node", "node-2", "node-3"], "seed {seed}");
        let holder = names.iter().position(|n| n == "node-2").expect("one has it");
        let expected = Ok(vec![IpAddr::from([10, 0, 0, holder as u8 + 1])]);
        for n in (0..3).filter(|n| *n != holder) {
            assert_eq!(sim.app::<Responding>(n, 0).found, Some(expected.clone()), "seed {seed}");
        }
    }
}

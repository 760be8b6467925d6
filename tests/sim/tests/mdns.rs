//! The multicast DNS responder on a whole stack, against others on the link that say exactly what a test wants.

mod mdns_world;

use mdns_world::{A, AAAA, ANY, GROUP, GROUP_V6, NAMED, NSEC, PTR, SERVICE, SRV, TXT, World, a, kinds, ptr};
use ringtap::error::BindError;
use ringtap::mdns::{Mdns, MdnsEvent, MdnsOptions, Service};
use ringtap::time::Duration;
use ringtap_sim::bench::{H, P, P_MAC};
use ringtap_sim::dnsmsg::{Msg, RESPONSE, Rr, TOP, wire};
use ringtap_sim::packet::{self, Seen};
use ringtap_sim::{Bench, six};
use std::net::Ipv4Addr;

// RFC 6762 §8.1, §8.3
#[test]
fn names_are_probed_for_three_times_and_then_announced_twice() {
    let mut w = World::new(&NAMED);
    let sent = w.pass(10_000);
    let first = sent[0].at;
    assert!(first <= 250, "{first}");
    let times: Vec<u64> = sent.iter().map(|s| s.at - first).collect();
    assert_eq!(times, [0, 250, 500, 750, 1_750]);
    for probe in &sent[..3] {
        let Msg { id, flags, questions, sections } = &probe.msg;
        assert_eq!((*id, *flags, probe.to), (0, 0, (GROUP.into(), 5353)));
        let names = ["boiler.local", "Boiler room._http._tcp.local"];
        assert_eq!(*questions, names.map(|n| (n.to_string(), ANY, 1 | TOP)));
        assert_eq!(kinds(&sections[1]), [A, TXT, SRV]);
        assert!(sections[1].iter().all(|r| r.class == 1) && sections[0].is_empty());
    }
    for announcement in &sent[3..] {
        let Msg { flags, questions, sections, .. } = &announcement.msg;
        assert_eq!((*flags, questions.len()), (RESPONSE, 0));
        let unique =
            [a("boiler.local", 1), Rr::new("Boiler room._http._tcp.local", TXT, 4_500, b"\x06path=/\x03v=1").unique()];
        let srv = [&[0, 0, 0, 0, 0, 80][..], &wire("boiler.local")].concat();
        let srv = Rr::new("Boiler room._http._tcp.local", SRV, 120, &srv).unique();
        let types = Rr::new("_services._dns-sd._udp.local", PTR, 4_500, &wire("_http._tcp.local"));
        assert_eq!(sections[0], [&unique[..], &[srv, ptr(4_500), types]].concat());
    }
    assert_eq!((w.events.as_slice(), w.mdns.deadline()), (&[MdnsEvent::Claimed][..], None));
    assert!(w.mdns.is_claimed() && &*w.mdns.host().expect("a name") == "boiler");
    w.is_well();
}

#[test]
fn both_families_are_told_and_changes_of_addresses_are_announced() {
    let mut w = World::on(six::bench().with_live_neighbors(), &MdnsOptions { host: Some("dual"), service: None });
    let sent = w.pass(5_000);
    let (four, six): (Vec<_>, Vec<_>) = sent.iter().partition(|s| s.to.0.is_ipv4());
    assert!(six.iter().all(|s| s.to == (GROUP_V6.into(), 5353)));
    assert_eq!(four.iter().map(|s| &s.msg).collect::<Vec<_>>(), six.iter().map(|s| &s.msg).collect::<Vec<_>>());
    assert_eq!(kinds(four[4].msg.answers()), [A, AAAA, AAAA]);
    // By IPv6 as by IPv4.
    let mut query = Msg::query(&[("DUAL.local", AAAA)]);
    let udp = six::udp((six::P_LL, 5353), (GROUP_V6, 5353), &query.build());
    w.b.nic.rx.push_back(packet::ethernet([0x33, 0x33, 0, 0, 0, 0xfb], P_MAC, 0x86dd, &{
        six::Ip6 { hops: 255, ..six::Ip6::new(six::P_LL, GROUP_V6, 17) }.build(&udp)
    }));
    let sent = w.turn();
    assert_eq!(sent.len(), 2, "to both groups: {sent:?}");
    assert_eq!((kinds(sent[0].msg.answers()), kinds(&sent[0].msg.sections[2])), (vec![AAAA, AAAA], vec![A]));
    // Another address is announced twice; one that is gone is not told of any more.
    w.pass(2_000);
    w.b.stack.remove_address(w.b.iface, six::H.into()).expect("there");
    let sent = w.pass(5_000);
    assert_eq!(sent.iter().filter(|s| s.to.0.is_ipv4()).count(), 2);
    assert!(sent.iter().all(|s| kinds(s.msg.answers()) == [A, AAAA]));
    query.questions[0].1 = 16;
    w.give((P, 5353), GROUP, &query.build());
    assert_eq!(kinds(w.turn()[0].msg.answers()), [NSEC], "what there is not is denied");
}

// RFC 6762 §6, RFC 6763 §4, §9, §12
#[test]
fn questions_are_answered_at_once_or_where_others_may_answer_too_after_a_random_time() {
    let mut w = World::claimed();
    let sent = w.say(&Msg::query(&[("Boiler.LOCAL", A)]));
    assert_eq!((sent.len(), sent[0].msg.answers()), (1, &[a("boiler.local", 1)][..]));
    assert_eq!(kinds(&sent[0].msg.sections[2]), [NSEC], "there are no IPv6 addresses");
    w.pass(2_000);
    let mut waits = Vec::new();
    for _ in 0..20 {
        w.start = w.b.now;
        assert_eq!(w.say(&Msg::query(&[("_http._tcp.local", PTR)])), []);
        let sent = w.pass(3_000);
        assert_eq!((sent.len(), sent[0].msg.answers()), (1, &[ptr(4_500)][..]));
        assert_eq!(kinds(&sent[0].msg.sections[2]), [A, NSEC, TXT, SRV]);
        assert!((20..=120).contains(&sent[0].at), "{}", sent[0].at);
        waits.push(sent[0].at);
    }
    waits.sort_unstable();
    waits.dedup();
    assert!(waits.len() > 8, "{waits:?}");
    for (name, kind) in [("other.local", A), ("_ipp._tcp.local", PTR), ("_http._tcp.local", A)] {
        assert_eq!(w.say(&Msg::query(&[(name, kind)])), [], "{name}");
    }
    w.say(&Msg::query(&[("_services._dns-sd._udp.local", PTR)]));
    let sent = w.pass(200);
    assert_eq!(sent[0].msg.answers()[0].data, wire("_http._tcp.local"));
    let sent = w.say(&Msg::query(&[("Boiler room._http._tcp.local", ANY)]));
    assert_eq!(kinds(sent[0].msg.answers()), [TXT, SRV]);
    w.is_well();
}

// RFC 6762 §7.1, §7.2, §7.4
#[test]
fn what_is_known_is_not_said_again() {
    let mut w = World::claimed();
    let mut query = Msg::query(&[("_http._tcp.local", PTR)]);
    query.sections[0] = vec![ptr(2_250)];
    w.say(&query);
    assert_eq!(w.pass(2_000), []);
    query.sections[0] = vec![ptr(2_249)];
    w.say(&query);
    assert_eq!(w.pass(2_000).len(), 1, "known, but not for long");
    query.sections[0] = vec![Rr { data: wire("Other._http._tcp.local"), ..ptr(4_500) }];
    w.say(&query);
    assert_eq!(w.pass(2_000).len(), 1, "another instance");
    // More known answers follow a truncated query.
    let truncated = Msg { flags: 0x0200, ..Msg::query(&[("_http._tcp.local", PTR), ("boiler.local", A)]) };
    w.start = w.b.now;
    w.say(&truncated);
    let sent = w.pass(2_000);
    assert!(sent.len() == 1 && (400..=500).contains(&sent[0].at), "{sent:?}");
    w.say(&truncated);
    w.b.now += Duration::from_millis(100);
    w.say(&Msg { sections: [vec![ptr(4_500)], vec![], vec![]], ..Msg::default() });
    let sent = w.pass(2_000);
    assert_eq!(kinds(sent[0].msg.answers()), [A]);
    // Another host's known answers are its own.
    w.say(&truncated);
    w.give((Ipv4Addr::new(192, 0, 2, 9), 5353), GROUP, &Msg { flags: 0, ..Msg::response(vec![ptr(4_500)]) }.build());
    assert_eq!(kinds(w.pass(2_000)[0].msg.answers()), [A, PTR]);
    // What another host has just said need not be said again.
    w.say(&Msg::query(&[("_services._dns-sd._udp.local", PTR)]));
    w.say(&Msg::response(vec![Rr::new("_services._dns-sd._udp.local", PTR, 4_500, &wire("_http._tcp.local"))]));
    assert_eq!(w.pass(2_000), []);
    w.is_well();
}

// RFC 6762 §5.4, §6.7, §11
#[test]
fn one_who_asks_for_a_unicast_answer_or_knows_no_better_gets_one() {
    let mut w = World::claimed();
    let mut query = Msg::query(&[("boiler.local", A)]);
    query.questions[0].2 |= TOP;
    let sent = w.say(&query);
    assert_eq!((sent.len(), sent[0].to), (1, (P.into(), 5353)));
    assert_eq!(
        (sent[0].msg.id, sent[0].msg.questions.len(), sent[0].msg.answers()),
        (0, 0, &[a("boiler.local", 1)][..])
    );
    // What nobody has heard for a quarter of its life is for all.
    w.pass(31_000);
    let sent = w.say(&query);
    assert_eq!((sent.len(), sent[0].to), (1, (GROUP.into(), 5353)));
    // A plain resolver.
    let plain = Msg { id: 0x1234, ..Msg::query(&[("boiler.local", A)]) };
    w.give((P, 40_000), GROUP, &plain.build());
    let sent = w.turn();
    assert_eq!((sent.len(), sent[0].to), (1, (P.into(), 40_000)));
    let Msg { id, flags, questions, sections } = &sent[0].msg;
    assert_eq!((*id, *flags, questions), (0x1234, RESPONSE, &plain.questions));
    assert!(sections.iter().flatten().all(|r| r.ttl <= 10 && r.class == 1), "{sections:?}");
    // Directly, and from elsewhere.
    w.give((P, 5353), H, &query.build());
    assert_eq!(w.turn().len(), 1);
    w.give((Ipv4Addr::new(198, 51, 100, 7), 5353), H, &query.build());
    w.give((Ipv4Addr::new(198, 51, 100, 7), 40_000), H, &plain.build());
    assert_eq!(w.turn(), [], "questions from off the link");
    w.is_well();
}

// RFC 6762 §9
#[test]
fn a_name_that_somebody_has_is_given_up_for_another() {
    let mut w = World::new(&NAMED);
    w.pass(300);
    w.say(&Msg::response(vec![a("boiler.local", 9)]));
    let sent = w.pass(5_000);
    assert!(sent[..3].iter().all(|s| s.msg.questions[0].0 == "boiler-2.local"), "{sent:?}");
    assert_eq!(sent[3].msg.answers()[0], a("boiler-2.local", 1));
    assert!(sent[3].msg.answers()[2].data.ends_with(&wire("boiler-2.local")), "SRV names the new one");
    assert_eq!(w.events, [MdnsEvent::Renamed]);
    // The instance's name has a number for people.
    let mut w = World::new(&NAMED);
    w.pass(300);
    w.say(&Msg::response(vec![Rr::new("Boiler room._http._tcp.local", TXT, 4_500, b"\x01x").unique()]));
    w.pass(5_000);
    assert_eq!(w.mdns.instance().as_deref(), Some("Boiler room (2)"));
    assert_eq!(w.mdns.host().as_deref(), Some("boiler"));
    // Any record at all, while probing; the same record as ours is no conflict, nor is a goodbye.
    let mut w = World::new(&NAMED);
    w.pass(300);
    w.say(&Msg::response(vec![a("boiler.local", 1), Rr { ttl: 0, ..a("boiler.local", 9) }]));
    w.say(&Msg::response(vec![Rr::new("boiler.local", NSEC, 120, &[0])]));
    w.pass(5_000);
    assert_eq!(w.mdns.host().as_deref(), Some("boiler"));
    w.is_well();
}

// RFC 6762 §8.2
#[test]
fn of_two_that_probe_at_once_the_one_whose_records_come_later_has_the_name() {
    let probe = |records: Vec<Rr>| {
        let mut m = Msg::query(&[("boiler.local", ANY)]);
        m.sections[1] = records;
        m
    };
    let plain = |n: u8| Rr::new("boiler.local", A, 120, &[192, 0, 2, n]);
    for (theirs, loses) in [
        (vec![plain(2)], true),
        (vec![plain(0)], false),
        (vec![plain(1)], false),
        (vec![plain(1), Rr::new("boiler.local", AAAA, 120, &[0; 16])], true),
        (vec![Rr::new("boiler.local", AAAA, 120, &[0; 16])], true),
        (vec![Rr::new("boiler.local", AAAA, 120, &[0; 16]), plain(0)], false),
        (vec![Rr::new("other.local", A, 120, &[255; 4])], false),
        (vec![Rr { class: 3, ..plain(9) }], false),
    ] {
        let mut w = World::new(&MdnsOptions { host: Some("boiler"), service: None });
        let first = w.pass(250)[0].at;
        w.start = w.b.now;
        w.say(&probe(theirs.clone()));
        let sent = w.pass(5_000);
        let probes: Vec<u64> = sent.iter().filter(|s| s.msg.flags == 0).map(|s| s.at).collect();
        let expected = if loses { vec![1_000, 1_250, 1_500] } else { vec![first, first + 250] };
        assert_eq!(probes, expected, "{theirs:?}");
        assert_eq!(w.mdns.host().as_deref(), Some("boiler"));
    }
}

// RFC 6762 §9
#[test]
fn a_name_of_ours_that_somebody_uses_is_probed_for_again_and_kept_if_nobody_defends_it() {
    let mut w = World::claimed();
    let sent = w.say(&Msg::response(vec![a("boiler.local", 9)]));
    assert_eq!(sent, []);
    let sent = w.pass(5_000);
    let probes = sent.iter().filter(|s| s.msg.flags == 0).count();
    assert_eq!((probes, sent.len()), (3, 5));
    assert_eq!((w.mdns.host().as_deref(), w.events.len()), (Some("boiler"), 2));
    // Our probe is answered this time.
    w.say(&Msg::response(vec![a("boiler.local", 9)]));
    w.pass(300);
    w.say(&Msg::response(vec![a("boiler.local", 9)]));
    w.pass(5_000);
    assert_eq!(w.mdns.host().as_deref(), Some("boiler-2"));
    // And we defend ours: at once, to a prober.
    let mut probe = Msg::query(&[("boiler-2.local", ANY)]);
    probe.sections[1] = vec![Rr::new("boiler-2.local", A, 120, &[192, 0, 2, 99])];
    probe.questions[0].2 |= TOP;
    let sent = w.say(&probe);
    assert_eq!((sent.len(), sent[0].msg.answers()), (1, &[a("boiler-2.local", 1)][..]));
    w.is_well();
}

// RFC 6762 §8.1: conflicts without end are met at a slow pace.
#[test]
fn endless_conflicts_lead_to_few_packets_and_end_when_they_end() {
    let mut w = World::new(&MdnsOptions { host: Some("boiler"), service: None });
    let mut probes = 0;
    let mut late = 0;
    for step in 0..2_400 {
        let sent = w.pass(50);
        probes += sent.len();
        late += if step >= 600 { sent.len() } else { 0 };
        if let Some(last) = sent.last() {
            let name = last.msg.questions.first().map_or_else(|| last.msg.answers()[0].name.clone(), |q| q.0.clone());
            w.say(&Msg::response(vec![a(&name, 9)]));
        }
    }
    assert!(probes < 60 && late <= 19, "two minutes: {probes}, of them {late} after the first 30 s");
    assert!(!w.mdns.is_claimed());
    w.pass(10_000);
    assert!(w.mdns.is_claimed());
    w.is_well();
}

// RFC 6762 §6: one multicast of a record in a second; and a bound for the rest.
#[test]
fn a_flood_of_questions_is_answered_at_a_bounded_rate() {
    let mut w = World::claimed();
    let query = Msg::query(&[("boiler.local", A), ("_http._tcp.local", PTR)]);
    let plain = Msg { id: 7, ..query.clone() };
    let (mut multicasts, mut unicasts) = (0, 0);
    for n in 0..5_000u16 {
        w.give((Ipv4Addr::new(192, 0, 2, 10 + (n % 100) as u8), 5353), GROUP, &query.build());
        w.give((P, 10_000 + n), GROUP, &plain.build());
        let sent = w.pass(1);
        multicasts += sent.iter().filter(|s| s.to.0.is_multicast()).count();
        unicasts += sent.iter().filter(|s| !s.to.0.is_multicast()).count();
    }
    assert!((5..=12).contains(&multicasts), "five seconds: {multicasts}");
    assert!((20..=120).contains(&unicasts), "{unicasts}");
    // Truncated queries of many, each of which is to be waited for.
    for n in 0..100 {
        w.give((Ipv4Addr::new(192, 0, 2, 10 + n), 5353), GROUP, &Msg { flags: 0x200, ..query.clone() }.build());
    }
    assert!(w.pass(3_000).len() <= 4);
    w.is_well();
}

// H148: a name that was not asked for is not ours.
#[test]
fn without_frames_probes_wait_and_three_leave_in_the_end() {
    let mut w = World::new(&NAMED);
    let pool = w.b.pool();
    let held: Vec<_> = std::iter::from_fn(|| pool.take(0)).collect();
    assert_eq!(w.pass(10_000), []);
    assert!(!w.mdns.is_claimed(), "nobody was asked");
    drop(held);
    let sent = w.pass(5_000);
    assert_eq!(sent.iter().filter(|s| s.msg.flags == 0).count(), 3);
    assert_eq!((sent.len(), w.mdns.is_claimed()), (5, true));
    w.is_well();
}

// RFC 6762 §10.1
#[test]
fn a_goodbye_says_that_nothing_is_true_any_more() {
    let mut w = World::claimed();
    let World { mut b, mdns, .. } = w;
    mdns.close(&mut b.stack);
    let seen = b.poll();
    let messages = seen.iter().filter_map(|s| match s {
        Seen::Udp(_, (GROUP, 5353), m) => Some(Msg::read(m)),
        _ => None,
    });
    let messages: Vec<Msg> = messages.collect();
    assert_eq!(messages.len(), 1);
    assert_eq!(kinds(messages[0].answers()), [A, TXT, SRV, PTR, PTR]);
    assert!(messages[0].answers().iter().all(|r| r.ttl == 0));
    // The port is free again.
    w = World::on(b, &NAMED);
    w.pass(5_000);
    w.is_well();
}

// H136, H129: and what is wrong in form.
#[test]
fn messages_that_are_none_of_ours_change_nothing() {
    let mut w = World::claimed();
    let conflict = Msg::response(vec![a("boiler.local", 9)]);
    w.give((P, 5354), GROUP, &conflict.build());
    w.give((Ipv4Addr::new(198, 51, 100, 7), 5353), H, &conflict.build());
    for flags in [0x8c00, 0x8403, 0x8401] {
        w.say(&Msg { flags, ..conflict.clone() });
    }
    w.say(&Msg { flags: 0x2800, ..Msg::query(&[("boiler.local", A)]) });
    let question = Msg::query(&[("boiler.local", A)]).build();
    let header = |n: u8| [&[0, 0, 0x84, 0, 0, 0, 0, n, 0, 0, 0, 0][..]].concat();
    for name in [&[0xc0, 12][..], &[0xc0, 200], &[0xc0, 4], &[0xc0], &[0x40, 1, 0], &[1, b'x', 0xc0, 12], &[5, b'a']] {
        let m = [&header(1), name, &[0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 9]].concat();
        w.give((P, 5353), GROUP, &m);
    }
    let whole = conflict.build();
    for n in 0..whole.len() {
        w.give((P, 5353), GROUP, &whole[..n]);
        w.turn();
    }
    for n in 0..question.len() {
        w.give((P, 5353), GROUP, &question[..n]);
        w.turn();
    }
    let mut many = whole.clone();
    many[6..8].copy_from_slice(&[0xff, 0xff]);
    w.give((P, 5353), GROUP, &many);
    assert_eq!(w.pass(5_000), []);
    assert_eq!((w.events.len(), w.mdns.is_claimed()), (1, true));
    w.is_well();
}

#[test]
fn options_that_cannot_be_are_refused_and_leave_nothing() {
    let mut b = Bench::new().with_live_neighbors();
    for options in [
        MdnsOptions { host: Some("a.b"), service: None },
        MdnsOptions { host: None, service: Some(SERVICE) },
        MdnsOptions { host: Some("a"), service: Some(Service { kind: "http", ..SERVICE }) },
    ] {
        assert!(matches!(Mdns::start(&mut b.stack, b.iface, &options), Err(BindError::Invalid)));
    }
    assert_eq!(b.stack.groups(b.iface).count(), 0);
    b.is_well();
}

//! Ways chosen by a policy in front of the route table.
//!
//! H has R (192.0.2.254) as its default router on the first link, and P2's link (198.51.100.0/24) beside it.

use ringtap::config::Config;
use ringtap::error::{ConnectError, SendError};
use ringtap::ip::addr::Cidr;
use ringtap::ip::forward::{Forwarding, ReversePath};
use ringtap::ip::policy::{Choice, Policy, Question};
use ringtap::ip::route::{IfaceId, Route};
use ringtap::sockets::UdpOptions;
use ringtap::stats::DropReason;
use ringtap::tcp::{ConnectOptions, TcpOptions};
use ringtap_sim::Bench;
use ringtap_sim::bench::{H, H_MAC, H2, P, P_MAC, P2, R, R_MAC, Setup};
use ringtap_sim::packet::{self, Ip, Seen};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Mutex;

/// A host beyond all routers.
const FAR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 5);
/// Another address of H's, on the first link.
const SECOND: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);

/// What comes from an address goes by a router on an interface; the first that fits.
#[derive(Default)]
struct BySource {
    rules: Mutex<Vec<(IpAddr, IfaceId, Option<IpAddr>)>>,
    asked: Mutex<Vec<Question>>,
}

impl Policy for BySource {
    fn choose(&self, question: &Question) -> Choice {
        self.asked.lock().expect("no panic").push(*question);
        let rules = self.rules.lock().expect("no panic");
        let found = rules.iter().find(|(src, ..)| question.src == Some(*src));
        found.map_or(Choice::Table, |&(_, iface, gateway)| Choice::Via { iface, gateway })
    }
}

/// H with two links and a policy whose rules the test sets.
fn bench() -> (Bench, IfaceId, &'static BySource) {
    let mut b = Bench::built(Setup::default(), |_: &mut Config<'static>| {}).with_neighbors().with_second_link();
    let other = b.other.as_ref().expect("a second link").0;
    b.stack.add_address(b.iface, Cidr::new(SECOND.into(), 24).expect("a prefix")).expect("room");
    b.poll();
    // P2 is known on the second link.
    b.give_other(packet::ethernet(H_MAC, P_MAC, 0x0806, &packet::arp(1, P_MAC, P2, [0; 6], H2)));
    b.sent_by_other();
    let policy: &'static BySource = Box::leak(Box::default());
    assert!(b.stack.set_policy(Some(policy)).is_none());
    (b, other, policy)
}

fn set(policy: &BySource, rules: &[(Ipv4Addr, IfaceId, Option<Ipv4Addr>)]) {
    *policy.rules.lock().expect("no panic") =
        rules.iter().map(|&(src, iface, gateway)| (src.into(), iface, gateway.map(IpAddr::V4))).collect();
}

/// Sends a datagram from an address (or any) to a far host.
fn send(b: &mut Bench, from: Option<Ipv4Addr>) -> Result<(), SendError> {
    let udp = b.stack.udp_bind(from.map(IpAddr::V4), 0, &UdpOptions::default()).expect("a free port");
    let sent = b.stack.udp(udp).expect("open").send_to(b"x", SocketAddr::new(FAR.into(), 9));
    let _ = b.poll();
    sent
}

/// How many frames left by the first link to each of these MACs, and by the second.
fn left(b: &mut Bench, raw: &[Vec<u8>]) -> (usize, usize, usize) {
    let to = |mac: [u8; 6]| raw.iter().filter(|f| f[..6] == mac && f[12..14] == [8, 0]).count();
    (to(R_MAC), to(P_MAC), b.sent_by_other().len())
}

/// As [`send`], with where the frame went.
fn sends(b: &mut Bench, from: Option<Ipv4Addr>) -> (usize, usize, usize) {
    let udp = b.stack.udp_bind(from.map(IpAddr::V4), 0, &UdpOptions::default()).expect("a free port");
    b.stack.udp(udp).expect("open").send_to(b"x", SocketAddr::new(FAR.into(), 9)).expect("a way");
    let raw = b.poll_raw();
    left(b, &raw)
}

#[test]
fn a_source_decides_the_router_and_the_interface_and_others_go_by_the_table() {
    let (mut b, other, policy) = bench();
    set(policy, &[(SECOND, b.iface, Some(P)), (H2, other, Some(P2))]);
    assert_eq!(sends(&mut b, None), (1, 0, 0), "nobody's source: by the table");
    assert_eq!(sends(&mut b, Some(H)), (1, 0, 0));
    assert_eq!(sends(&mut b, Some(SECOND)), (0, 1, 0), "another router of the same link");
    assert_eq!(sends(&mut b, Some(H2)), (0, 0, 1), "another link");
    let asked = policy.asked.lock().expect("no panic").clone();
    assert!(asked.iter().any(|q| q.src.is_none()), "a source is chosen after the way");
    assert!(asked.iter().all(|q| q.dst == IpAddr::V4(FAR) && q.arrived.is_none()), "{asked:?}");
    assert!(b.stack.set_policy(None).is_some());
    assert_eq!(sends(&mut b, Some(SECOND)), (1, 0, 0));
    b.is_well();
}

#[test]
fn what_waits_for_the_chosen_router_goes_to_it_when_it_answers() {
    let (mut b, _, policy) = bench();
    let new = Ipv4Addr::new(192, 0, 2, 99);
    set(policy, &[(SECOND, b.iface, Some(new))]);
    send(&mut b, Some(SECOND)).expect("a way");
    let mac = [2, 0, 0, 0, 0, 0x99];
    b.nic.rx.push_back(packet::ethernet(H_MAC, mac, 0x0806, &packet::arp(2, mac, new, H_MAC, H)));
    let raw = b.poll_raw();
    assert_eq!(raw.iter().filter(|f| f[..6] == mac && f[12..14] == [8, 0]).count(), 1, "{raw:?}");
}

#[test]
fn a_connection_goes_its_sources_way_and_follows_when_the_policy_changes_its_mind() {
    let (mut b, other, policy) = bench();
    let options = ConnectOptions { local: Some(H2.into()), tcp: TcpOptions::default(), ..ConnectOptions::default() };
    set(policy, &[(H2, other, Some(P2))]);
    b.stack.tcp_connect(SocketAddr::new(FAR.into(), 80), &options).expect("a way");
    let raw = b.poll_raw();
    assert_eq!(left(&mut b, &raw), (0, 0, 1));
    set(policy, &[(H2, b.iface, Some(R))]);
    b.stack.forget_ways();
    b.now += ringtap::time::Duration::from_secs(1);
    let mut counts = (0, 0, 0);
    // Its turn comes on the interface of old, which sends it on.
    for _ in 0..3 {
        let raw = b.poll_raw();
        let more = left(&mut b, &raw);
        counts = (counts.0 + more.0, counts.1 + more.1, counts.2 + more.2);
    }
    assert_eq!(counts, (1, 0, 0), "the SYN again, by the new way");
}

#[test]
fn an_answer_takes_the_way_of_the_address_that_was_asked() {
    let (mut b, other, policy) = bench();
    set(policy, &[(SECOND, other, Some(P2))]);
    let ping = |dst| Ip::new(FAR, dst, 1).build(&packet::icmp(8, 0, [0, 7, 0, 9], b"?"));
    b.nic.rx.push_back(packet::ethernet(H_MAC, R_MAC, 0x0800, &ping(H)));
    let raw = b.poll_raw();
    assert_eq!(left(&mut b, &raw), (1, 0, 0));
    b.nic.rx.push_back(packet::ethernet(H_MAC, R_MAC, 0x0800, &ping(SECOND)));
    let mut raw = b.poll_raw();
    raw.extend(b.poll_raw());
    assert_eq!(left(&mut b, &raw), (0, 0, 1));
    // As does what refuses a connection.
    let syn = packet::Tcp { src: 1000, dst: 99, flags: packet::SYN, ..packet::Tcp::default() };
    let ip = Ip::new(FAR, SECOND, 6).build(&syn.build(FAR, SECOND));
    b.nic.rx.push_back(packet::ethernet(H_MAC, R_MAC, 0x0800, &ip));
    let mut raw = b.poll_raw();
    raw.extend(b.poll_raw());
    assert_eq!(left(&mut b, &raw), (0, 0, 1), "a reset");
}

#[test]
fn nowhere_is_nowhere_whatever_the_table_says() {
    let (mut b, _, policy) = bench();
    for nowhere in [IfaceId::BLACKHOLE, IfaceId::REJECT] {
        set(policy, &[(SECOND, nowhere, None)]);
        assert_eq!(send(&mut b, Some(SECOND)), Err(SendError::NoRoute));
        let options = ConnectOptions { local: Some(H.into()), ..ConnectOptions::default() };
        assert!(b.stack.tcp_connect(SocketAddr::new(FAR.into(), 80), &options).is_ok());
    }
    // What names nobody in particular is asked for without a source.
    struct Nowhere;
    impl Policy for Nowhere {
        fn choose(&self, _: &Question) -> Choice {
            Choice::Via { iface: IfaceId::REJECT, gateway: None }
        }
    }
    b.stack.set_policy(Some(&Nowhere));
    let refused = b.stack.tcp_connect(SocketAddr::new(FAR.into(), 80), &ConnectOptions::default());
    assert_eq!(refused, Err(ConnectError::NoRoute));
    // Groups and broadcasts are not asked for.
    let udp = b.stack.udp_bind(Some(H.into()), 0, &UdpOptions { broadcast: true, ..UdpOptions::default() });
    let udp = udp.expect("a free port");
    let all = SocketAddr::new(Ipv4Addr::new(192, 0, 2, 255).into(), 9);
    b.stack.udp(udp).expect("open").send_to(b"all", all).expect("a way");
    assert!(b.poll_raw().iter().any(|f| f[..6] == [0xff; 6] && f[12..14] == [8, 0]));
}

#[test]
fn what_is_passed_on_goes_by_source_and_interface_of_arrival_and_may_be_refused() {
    let (mut b, other, policy) = bench();
    b.stack.set_forwarding(Some(Forwarding::with(ReversePath::Off)));
    let from = Ipv4Addr::new(10, 1, 1, 1);
    let give = |b: &mut Bench| {
        let ip = Ip::new(from, FAR, 17).build(&packet::udp((from, 1), (FAR, 2), b"x"));
        b.nic.rx.push_back(packet::ethernet(H_MAC, P_MAC, 0x0800, &ip));
        let mut raw = b.poll_raw();
        raw.extend(b.poll_raw());
        let counts = left(b, &raw);
        (counts, raw.iter().map(|f| packet::read(f)).collect::<Vec<Seen>>())
    };
    assert_eq!(give(&mut b).0, (1, 0, 0), "by the table, to R");
    set(policy, &[(from, other, Some(P2))]);
    policy.asked.lock().expect("no panic").clear();
    assert_eq!(give(&mut b).0, (0, 0, 1));
    let asked = policy.asked.lock().expect("no panic").clone();
    assert!(asked.contains(&{
        let mut q = asked[0];
        (q.dst, q.src, q.arrived) = (FAR.into(), Some(from.into()), Some(b.iface));
        q
    }));
    set(policy, &[(from, IfaceId::BLACKHOLE, None)]);
    assert_eq!(give(&mut b), ((0, 0, 0), vec![]), "without a word");
    // Whoever is refused is told, if there is a way back.
    b.stack
        .add_route(Route {
            prefix: "10.1.0.0/16".parse().expect("a prefix"),
            gateway: Some(P.into()),
            iface: b.iface,
            metric: 0,
        })
        .expect("room");
    set(policy, &[(from, IfaceId::REJECT, None)]);
    let (_, seen) = give(&mut b);
    assert!(matches!(&seen[..], [Seen::Icmp(_, to, 3, 13, ..)] if *to == from), "{seen:?}");
    assert_eq!(b.dropped(DropReason::NoRoute), 2);
}

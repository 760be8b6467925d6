//! All clients of a host at once (addresses by DHCP, DHCPv6 and router advertisements, names by DNS and of the link,
//! services), driven by the book: the stack and they are polled at their deadlines and when a frame has come, and at no other
//! time. H112 and H148.

use ringtap::device::Device;
use ringtap::dhcp::v4::{DhcpClient, DhcpOptions};
use ringtap::dhcp::v6::{Dhcpv6Client, Dhcpv6Mode};
use ringtap::dns::{QueryId, RecordKind, Resolver};
use ringtap::mdns::{Browser, Mdns, MdnsOptions};
use ringtap::stack::{AddressState, Identifiers};
use ringtap::time::{Duration, Instant};
use ringtap_sim::bench::{ALL, H, H_MAC, P, P_MAC, R, R_MAC};
use ringtap_sim::dnsmsg::{Msg, Rr, wire};
use ringtap_sim::hostile::{udp_frame, udp_frame_v6};
use ringtap_sim::packet::{self, Seen};
use ringtap_sim::six::{self, Ip6};
use ringtap_sim::{Bench, SimRng};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const NET: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 0);
const LEASED: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x77);
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const KIND: &str = "_http._tcp.local";

struct World {
    b: Bench,
    dhcp: DhcpClient,
    dhcp6: Dhcpv6Client,
    dns: Resolver,
    mdns: Mdns,
    browser: Browser,
    query: Option<QueryId>,
    of_link: Option<QueryId>,
    /// What was found by DNS and on the link.
    found: [Option<IpAddr>; 2],
}

impl World {
    fn new() -> Self {
        let mut b = Bench::new();
        b.stack.remove_address(b.iface, IpAddr::V4(H)).expect("there");
        let routes: Vec<_> = b.stack.routes().copied().collect();
        routes.iter().for_each(|r| b.stack.remove_route(r).expect("there"));
        b.poll();
        b.stack.autoconfigure(b.iface, Identifiers::Opaque).expect("Ethernet");
        let (stack, iface) = (&mut b.stack, b.iface);
        let dhcp = DhcpClient::start(stack, b.now, iface, &DhcpOptions::default()).expect("a client");
        let dhcp6 = Dhcpv6Client::start(stack, iface, Dhcpv6Mode::AsAdvertised).expect("a client");
        let dns = Resolver::new(stack);
        let mdns = Mdns::start(stack, iface, &MdnsOptions { host: Some("node"), service: None }).expect("names");
        let browser = Browser::start(stack, iface, "_http._tcp").expect("a type");
        Self { b, dhcp, dhcp6, dns, mdns, browser, query: None, of_link: None, found: [None; 2] }
    }

    /// Every client once; whether anything came of it.
    fn poll_clients(&mut self) -> bool {
        let (stack, now) = (&mut self.b.stack, self.b.now);
        let mut acted = self.dhcp.poll(stack, now).is_some() | self.dhcp6.poll(stack, now).is_some();
        if let Some(lease) = self.dhcp.lease()
            && self.dns.servers().is_empty()
        {
            let servers: Vec<IpAddr> = lease.dns().iter().map(|ip| IpAddr::V4(*ip)).collect();
            self.dns.set_servers(&servers);
            self.query = self.dns.query(now, "www.example", RecordKind::A).ok();
            self.of_link = self.mdns.query(now, "peer.local", RecordKind::A).ok();
            acted = true;
        }
        self.dns.poll(stack, now);
        acted |= self.mdns.poll(stack, now).is_some() | self.browser.poll(stack, now);
        let outcomes = [self.query.and_then(|id| self.dns.take(id)), self.of_link.and_then(|id| self.mdns.take(id))];
        for (n, outcome) in outcomes.into_iter().enumerate() {
            let Some(outcome) = outcome else { continue };
            acted = true;
            self.found[n] = outcome.ok().and_then(|a| a.first().copied());
            // Who finds nothing while there are no frames, asks again.
            match n {
                0 if self.found[0].is_none() => self.query = self.dns.query(now, "www.example", RecordKind::A).ok(),
                0 => self.query = None,
                _ if self.found[1].is_none() => self.of_link = self.mdns.query(now, "peer.local", RecordKind::A).ok(),
                _ => self.of_link = None,
            }
        }
        acted
    }

    fn deadline(&mut self) -> Option<Instant> {
        let clients = [
            self.dhcp.deadline(),
            self.dhcp6.deadline(),
            self.dns.deadline(),
            self.mdns.deadline(),
            self.browser.deadline(),
        ];
        clients.into_iter().flatten().chain(self.b.stack.next_deadline()).min()
    }

    fn has(&self, ip: impl Fn(Ipv6Addr) -> bool) -> bool {
        let mut all = self.b.stack.ipv6_addresses(self.b.iface);
        all.any(|(c, state)| state == AddressState::Preferred && matches!(c.addr(), IpAddr::V6(a) if ip(a)))
    }

    fn is_done(&self) -> bool {
        self.dhcp.lease().is_some()
            && self.has(|ip| ip == LEASED)
            && self.has(|ip| ip.segments()[..4] == NET.segments()[..4])
            && self.found == [Some(IpAddr::from([203, 0, 113, 5])), Some(IpAddr::V4(P))]
            && self.mdns.is_claimed()
            && self.browser.services().any(|s| s.addresses().count() == 1)
    }

    /// Polls until all is had, a time at most; `disturb` has its way before each step.
    fn run(
        &mut self,
        limit: Duration,
        mut disturb: impl FnMut(u64, &mut Bench) -> Vec<ringtap::frame::Frame<'static>>,
    ) {
        let end = self.b.now + limit;
        let mut idle = 0;
        for step in 0..2_000_000 {
            if self.is_done() {
                return;
            }
            let held = disturb(step, &mut self.b);
            let (came, left, free) = (self.b.nic.rx.len(), self.b.nic.taken, self.b.nic.pool().free());
            let was = self.deadline();
            let more = self.b.stack.poll(self.b.now, self.b.iface, &mut self.b.nic, 64).more;
            let mut acted = came > 0 || self.b.nic.taken != left || more;
            acted |= self.poll_clients();
            acted |= self.b.nic.pool().free() != free;
            drop(held);
            for frame in std::mem::take(&mut self.b.nic.tx) {
                serve(&frame, &mut self.b.nic.rx);
            }
            if !self.b.nic.rx.is_empty() {
                continue;
            }
            let next = self.deadline();
            acted |= next != was;
            match next {
                Some(at) if at <= self.b.now => {
                    idle = if acted { 0 } else { idle + 1 };
                    assert!(idle < 2, "two deadlines that have passed, and nothing came of them");
                }
                Some(at) if at <= end => (self.b.now, idle) = (at, 0),
                other => {
                    let (four, six, mdns) =
                        (self.dhcp.lease().is_some(), self.has(|ip| ip == LEASED), self.mdns.is_claimed());
                    let slaac = self.has(|ip| ip.segments()[..4] == NET.segments()[..4]);
                    let services = self.browser.services().count();
                    panic!("at {other:?}: {four} {six} {slaac} {mdns} {services} {:?}", self.found);
                }
            }
        }
        panic!("it does not end");
    }
}

/// Honest servers and neighbours: what they say to a frame.
fn serve(frame: &[u8], rx: &mut std::collections::VecDeque<Vec<u8>>) {
    match packet::read(frame) {
        Seen::Arp(1, _, sender, target) if target != H => {
            let (mac, ip) = if target == R { (R_MAC, R) } else { (P_MAC, P) };
            rx.push_back(packet::ethernet(H_MAC, mac, 0x0806, &packet::arp(2, mac, ip, H_MAC, sender)));
        }
        Seen::Udp(_, (_, 67), m) => rx.extend(dhcp(&m)),
        Seen::Udp((_, port), (R, 53), m) => {
            let mut answer = m.clone();
            answer[2..8].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1]);
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, 5]);
            rx.push_back(udp_frame((R, 53), (H, port), &answer));
        }
        Seen::Udp(_, (GROUP, 5353), m) if m[2] & 0x80 == 0 => {
            for answer in of_link(&Msg::read(&m)) {
                rx.push_back(udp_frame((P, 5353), (GROUP, 5353), &answer.build()));
            }
        }
        Seen::Other(_) => rx.extend(six::read(frame).and_then(|sent| serve_v6(&sent))),
        _ => {}
    }
}

fn dhcp(m: &[u8]) -> Option<Vec<u8>> {
    let kind = match m[240..243] {
        [53, 1, 1] => 2,
        [53, 1, 3] => 5,
        _ => return None,
    };
    let mut answer = vec![0; 240];
    answer[..4].copy_from_slice(&[2, 1, 6, 0]);
    answer[4..8].copy_from_slice(&m[4..8]);
    answer[16..20].copy_from_slice(&H.octets());
    answer[28..34].copy_from_slice(&H_MAC);
    answer[236..].copy_from_slice(&[99, 130, 83, 99]);
    answer.extend([53, 1, kind, 54, 4, 192, 0, 2, 254, 51, 4, 0, 0, 14, 16, 1, 4, 255, 255, 255, 0]);
    answer.extend([3, 4, 192, 0, 2, 254, 6, 4, 192, 0, 2, 254, 255]);
    let mut frame = udp_frame((R, 67), (Ipv4Addr::BROADCAST, 68), &answer);
    frame[..6].copy_from_slice(&ALL);
    Some(frame)
}

fn of_link(query: &Msg) -> Vec<Msg> {
    let a = |name: &str| Rr::new(name, 1, 120, &P.octets()).unique();
    let peer = query.questions.iter().any(|q| q.0 == "peer.local").then(|| Msg::response(vec![a("peer.local")]));
    let service = query.questions.iter().any(|q| q.0 == KIND).then(|| {
        let name = format!("Peer.{KIND}");
        let srv = [&[0, 0, 0, 0, 0, 80][..], &wire("peer.local")].concat();
        let more = vec![Rr::new(&name, 33, 120, &srv).unique(), a("peer.local")];
        Msg { sections: [vec![Rr::new(KIND, 12, 4_500, &wire(&name))], vec![], more], ..Msg::response(vec![]) }
    });
    peer.into_iter().chain(service).collect()
}

fn serve_v6(sent: &six::Sent) -> Option<Vec<u8>> {
    if sent.icmp().is_some_and(|i| i.0 == 133) {
        // With M: DHCPv6 has addresses.
        let options = [&[1, 1][..], &R_MAC, &six::prefix(NET, 0xc0, 86_400, 14_400)].concat();
        let body = [&[0; 8][..], &options].concat();
        let message = six::icmp(six::R, six::ALL_NODES, 134, 0, [64, 0x80, 7, 8], &body);
        let ip = Ip6 { hops: 255, ..Ip6::new(six::R, six::ALL_NODES, 58) }.build(&message);
        return Some(packet::ethernet(six::group_mac(six::ALL_NODES), R_MAC, 0x86dd, &ip));
    }
    if let Some(target) = sent.target(135).filter(|t| *t == six::R && !sent.src.is_unspecified()) {
        let ip = six::advert(target, sent.src, target, 0xe0, Some(R_MAC));
        return Some(packet::ethernet(H_MAC, R_MAC, 0x86dd, &ip));
    }
    if sent.next != 17 || sent.payload[2..4] != [2, 35] {
        return None;
    }
    let m = &sent.payload[8..];
    let kind = match m[0] {
        1 => 2,
        3 => 7,
        _ => return None,
    };
    let option = |code: u16, data: &[u8]| [&code.to_be_bytes()[..], &(data.len() as u16).to_be_bytes(), data].concat();
    let address = option(5, &[&LEASED.octets()[..], &900u32.to_be_bytes(), &900u32.to_be_bytes()].concat());
    let answer = [
        &[kind][..],
        &m[1..4],
        &option(1, &[&[0, 3, 0, 1][..], &H_MAC].concat()),
        &option(2, &[0, 3, 0, 1, 2, 0, 0, 0, 0, 0xfe]),
        &option(3, &[&H_MAC[2..], &[0; 8], &address].concat()),
        &option(7, &[255]),
    ];
    Some(udp_frame_v6((six::R, 547), (sent.src, 546), &answer.concat()))
}

#[test]
fn a_driver_that_polls_at_deadlines_only_gets_addresses_and_names() {
    let mut w = World::new();
    let start = w.b.now;
    w.run(Duration::from_secs(40), |_, _| vec![]);
    // A DHCP client begins within ten seconds, and probes for the address that it gets for up to seven.
    assert!(w.b.now.since(start) < Duration::from_secs(20), "{:?}", w.b.now.since(start));
}

#[test]
fn a_driver_that_polls_at_deadlines_only_gets_them_with_full_devices_and_empty_pools_as_well() {
    for seed in 0..20u64 {
        let mut w = World::new();
        w.run(Duration::from_secs(600), |step, b| {
            // Now the device has no room, now the pool no frame.
            let phase = (step / (3 + seed % 7) + seed) % 5;
            b.nic.tx_room = if phase == 1 { (seed % 2) as usize } else { usize::MAX };
            let pool = b.nic.pool();
            if phase == 3 { std::iter::from_fn(|| pool.take(0)).collect() } else { vec![] }
        });
    }
}

#[test]
fn any_frame_may_be_missing_at_any_time_and_addresses_and_names_are_had() {
    for every in [2u64, 3, 5, 17, 101] {
        for seed in 0..10 {
            let (mut w, mut rng) = (World::new(), SimRng::new(every * 1_000 + seed));
            // A browser that has had bad luck asks once an hour.
            w.run(Duration::from_secs(8 * 3_600), |_, b| {
                if rng.below(every) > 0 {
                    return vec![];
                }
                // All but so many: the first, second … allocation of the step fails.
                let (pool, leave) = (b.nic.pool(), rng.below(3) as usize);
                std::iter::from_fn(|| if pool.free() > leave { pool.take(0) } else { None }).collect()
            });
            w.b.pass(Duration::from_secs(5));
        }
    }
}

//! IPv4 addresses that nobody gives (RFC 3927), on a whole stack: claimed, defended, given up.

use ringtap::device::{Link, Mac};
use ringtap::error::TcpError;
use ringtap::ip::addr::Cidr;
use ringtap::link_local::{LinkLocal, LinkLocalEvent, LinkLocalOptions};
use ringtap::sockets::UdpOptions;
use ringtap::tcp::{ConnectOptions, TcpHandle};
use ringtap::time::{Duration, Instant};
use ringtap_sim::Bench;
use ringtap_sim::bench::{ALL, H, H_MAC, P_MAC, R, R_MAC, segments};
use ringtap_sim::packet::{self, ACK, Ip, SYN, Tcp};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const NOBODY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
/// A neighbour with a link-local address.
const P: Ipv4Addr = Ipv4Addr::new(169, 254, 7, 7);

/// An ARP packet as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Arp {
    to: [u8; 6],
    op: u8,
    src: Ipv4Addr,
    target: Ipv4Addr,
}

impl Arp {
    fn read(frame: &[u8]) -> Option<Self> {
        let p = frame.get(14..42).filter(|_| frame[12..14] == [8, 6])?;
        assert_eq!(p[8..14], H_MAC, "it says who it is");
        let quad = |at: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&p[at..at + 4]).expect("four"));
        Some(Self { to: frame[..6].try_into().expect("six"), op: p[7], src: quad(14), target: quad(24) })
    }
}

struct World {
    b: Bench,
    claim: LinkLocal,
    events: Vec<(Instant, LinkLocalEvent)>,
    /// Another station answers each probe.
    squatter: bool,
}

impl World {
    fn new() -> Self {
        Self::with(LinkLocalOptions::default())
    }

    fn with(options: LinkLocalOptions) -> Self {
        let mut b = Bench::new();
        b.stack.remove_address(b.iface, IpAddr::V4(H)).expect("there");
        let claim = LinkLocal::start(&mut b.stack, b.now, b.iface, &options).expect("Ethernet");
        Self { b, claim, events: Vec::new(), squatter: false }
    }

    /// Everything that is to be done now; the frames sent.
    fn turn(&mut self) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            let sent = self.b.poll_raw();
            let mut quiet = sent.is_empty();
            while let Some(event) = self.claim.poll(&mut self.b.stack, self.b.now) {
                self.events.push((self.b.now, event));
                quiet = false;
            }
            for frame in sent {
                let probe = Arp::read(&frame).filter(|a| a.src == NOBODY && self.squatter);
                if let Some(Arp { target, .. }) = probe {
                    self.b.nic.rx.push_back(arp(2, target, NOBODY));
                }
                all.push(frame);
            }
            if quiet && self.b.nic.rx.is_empty() && self.b.stack.next_deadline().is_none_or(|t| t > self.b.now) {
                return all;
            }
        }
    }

    /// Time passes.
    fn pass(&mut self, time: Duration) -> Vec<(Instant, Vec<u8>)> {
        let end = self.b.now + time;
        let mut all = Vec::new();
        for _ in 0..200_000 {
            all.extend(self.turn().into_iter().map(|s| (self.b.now, s)));
            let next = [self.b.stack.next_deadline(), self.claim.deadline()].into_iter().flatten().min();
            match next {
                Some(at) if at <= end => self.b.now = self.b.now.max(at),
                _ => {
                    self.b.now = end;
                    return all;
                }
            }
        }
        panic!("it spins");
    }

    /// As [`pass`](Self::pass): the ARP packets.
    fn arps(&mut self, time: Duration) -> Vec<(Instant, Arp)> {
        self.pass(time).iter().filter_map(|(at, f)| Some((*at, Arp::read(f)?))).collect()
    }

    /// Eight seconds later, with an address.
    fn claimed(mut self) -> (Self, Ipv4Addr) {
        self.pass(Duration::from_secs(12));
        let [(_, LinkLocalEvent::Claimed(ip))] = self.events[..] else { panic!("{:?}", self.events) };
        self.events.clear();
        (self, ip)
    }

    fn addresses(&self) -> Vec<Cidr> {
        self.b.stack.interfaces().flat_map(|i| i.addresses.to_vec()).collect()
    }

    /// Another station says that it has `ip`; what is sent to it.
    fn conflict(&mut self, ip: Ipv4Addr) -> Vec<Arp> {
        self.b.nic.rx.push_back(arp(1, ip, ip));
        self.turn().iter().filter_map(|f| Arp::read(f)).collect()
    }

    /// A connection from the address, which P has accepted.
    fn connected(&mut self) -> (TcpHandle, Ipv4Addr) {
        let to = SocketAddr::new(P.into(), 80);
        let handle = self.b.stack.tcp_connect(to, &ConnectOptions::default()).expect("a way");
        self.turn();
        let own = self.claim.address().expect("an address");
        self.b.nic.rx.push_back(packet::ethernet(H_MAC, P_MAC, 0x0806, &packet::arp(2, P_MAC, P, H_MAC, own)));
        let seen: Vec<_> = self.turn().iter().map(|f| packet::read(f)).collect();
        let syn = segments(&seen).into_iter().find(|s| s.flags == SYN).expect("a SYN");
        let answer = Tcp { seq: 9, flags: SYN | ACK, ..self.b.reply_to(&syn, syn.seq + 1) };
        let ip = Ip::new(P, own, 6).build(&answer.build(P, own));
        self.b.nic.rx.push_back(packet::ethernet(H_MAC, P_MAC, 0x0800, &ip));
        self.turn();
        (handle, own)
    }
}

fn arp(op: u16, src: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    packet::ethernet(ALL, P_MAC, 0x0806, &packet::arp(op, P_MAC, src, [0; 6], target))
}

fn is_of_the_link(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    (a, b) == (169, 254) && (1..=254).contains(&c)
}

#[test]
fn an_address_of_the_link_is_probed_for_announced_twice_and_kept() {
    let mut w = World::new();
    let begin = w.b.now;
    let sent = w.arps(Duration::from_secs(12));
    let [(at, LinkLocalEvent::Claimed(ip))] = w.events[..] else { panic!("{:?}", w.events) };
    assert!(is_of_the_link(ip) && w.claim.address() == Some(ip), "{ip}");
    assert!((4_000..=7_100).contains(&at.since(begin).as_millis()), "RFC 3927 §9: {at}");
    assert_eq!(w.addresses(), [Cidr::new(ip.into(), 16).expect("a prefix")]);
    let probe = Arp { to: ALL, op: 1, src: NOBODY, target: ip };
    let announcement = Arp { src: ip, ..probe };
    let expected = [probe, probe, probe, announcement, announcement];
    assert_eq!(sent.iter().map(|(_, a)| *a).collect::<Vec<_>>(), expected);
    let pauses: Vec<u64> = sent.windows(2).map(|w| w[1].0.since(w[0].0).as_millis()).collect();
    assert!(pauses[..2].iter().all(|p| (1_000..=2_000).contains(p)), "{pauses:?}");
    assert!((2_000..2_100).contains(&pauses[2]) && (2_000..2_100).contains(&pauses[3]), "{pauses:?}");
    assert!(w.pass(Duration::from_secs(3_600)).is_empty(), "it costs nothing once it is there");
    // The same station chooses the same, another one another.
    assert_eq!(World::new().claimed().1, ip);
    let mut other = Bench::new();
    let iface = other.stack.add_interface(&other.nic, Mac([2, 0, 0, 0, 0, 77])).expect("room");
    let mut claim = LinkLocal::start(&mut other.stack, other.now, iface, &LinkLocalOptions::default()).expect("one");
    assert_eq!(claim.poll(&mut other.stack, other.now), None);
    assert_eq!(other.stack.probe_state(iface, ip), None);
    assert_eq!(w.b.frames_in_use(), 0);
}

#[test]
fn an_address_of_an_earlier_life_is_tried_first_if_it_is_one() {
    let mut options = LinkLocalOptions::default();
    for (remembered, taken) in [(P, true), (Ipv4Addr::new(169, 254, 0, 9), false), (H, false)] {
        options.remembered = Some(remembered);
        assert_eq!(World::with(options).claimed().1 == remembered, taken, "{remembered}");
    }
}

#[test]
fn what_others_have_is_passed_over_and_after_ten_conflicts_one_is_tried_a_minute() {
    let mut w = World::new();
    w.squatter = true;
    let mut tried: Vec<(Instant, Ipv4Addr)> = Vec::new();
    for (at, arp) in w.arps(Duration::from_secs(600)) {
        assert_eq!((arp.op, arp.src), (1, NOBODY), "only probes");
        if tried.last().is_none_or(|(_, ip)| *ip != arp.target) {
            tried.push((at, arp.target));
        }
    }
    assert!(tried.iter().all(|(_, ip)| is_of_the_link(*ip)) && w.events.is_empty(), "{tried:?}");
    let pauses: Vec<u64> = tried.windows(2).map(|w| w[1].0.since(w[0].0).as_millis()).collect();
    // Eleven at their own pace: each first probe leaves within a second.
    assert!(pauses[..10].iter().all(|p| *p <= 1_100), "{pauses:?}");
    assert!(pauses[10..].iter().all(|p| (59_000..=61_100).contains(p)), "{pauses:?}");
    assert!((18..=21).contains(&tried.len()), "{}", tried.len());
    w.squatter = false;
    let (w, ip) = { (w.pass(Duration::from_secs(70)), w).1 }.claimed();
    assert!(is_of_the_link(ip) && w.b.frames_in_use() == 0);
}

#[test]
fn an_address_is_defended_once_and_given_up_at_the_second_conflict_in_ten_seconds() {
    let (mut w, ip) = World::new().claimed();
    let (handle, own) = w.connected();
    assert_eq!(own, ip);
    for _ in 0..3 {
        assert_eq!(w.conflict(ip), [Arp { to: ALL, op: 1, src: ip, target: ip }], "a defence");
        w.pass(Duration::from_secs(11));
    }
    assert!(w.events.is_empty() && w.conflict(ip).len() == 1);
    w.pass(Duration::from_secs(9));
    assert_eq!(w.conflict(ip).iter().filter(|a| a.src == ip).count(), 0);
    assert_eq!(w.events.pop().map(|e| e.1), Some(LinkLocalEvent::Lost(ip)));
    assert!(w.addresses().is_empty());
    assert_eq!(w.b.stack.tcp(handle).expect("open").read(&mut [0; 8]), Err(TcpError::AddressGone));
    let (_, other) = w.claimed();
    assert!(is_of_the_link(other) && other != ip);
}

// RFC 3927 §2.5, the last paragraph.
#[test]
fn arp_packets_from_an_address_of_the_link_are_broadcast_even_answers_and_probes_of_a_neighbour() {
    let (mut w, ip) = World::new().claimed();
    w.b.nic.rx.push_back(packet::ethernet(ALL, P_MAC, 0x0806, &packet::arp(1, P_MAC, P, [0; 6], ip)));
    let answers: Vec<_> = w.turn().iter().filter_map(|f| Arp::read(f)).collect();
    assert_eq!(answers, [Arp { to: ALL, op: 2, src: ip, target: P }]);
    // P is known by that, and asked five seconds after it was used.
    let udp = w.b.stack.udp_bind(None, 0, &UdpOptions::default()).expect("a port");
    w.b.stack.udp(udp).expect("open").send_to(b"text", SocketAddr::new(P.into(), 9)).expect("a way");
    let asked = w.arps(Duration::from_secs(7));
    assert!(!asked.is_empty() && asked.iter().all(|(_, a)| *a == Arp { to: ALL, op: 1, src: ip, target: P }));
}

// RFC 3927 §1.9.
#[test]
fn it_gives_way_to_an_address_that_routes_once_no_connection_is_from_it() {
    let (mut w, ip) = World::new().claimed();
    let (handle, _) = w.connected();
    w.b.stack.add_address(w.b.iface, Cidr::new(H.into(), 24).expect("a prefix")).expect("room");
    w.pass(Duration::from_secs(120));
    assert_eq!((w.addresses().len(), w.events.len()), (2, 0), "a connection is from it");
    // What begins now is from the other one, wherever it goes beyond the link, and to everybody.
    let udp = w.b.stack.udp_bind(None, 0, &UdpOptions { broadcast: true, ..UdpOptions::default() }).expect("a port");
    for to in [Ipv4Addr::new(203, 0, 113, 9), Ipv4Addr::BROADCAST] {
        w.b.nic.rx.push_back(packet::ethernet(H_MAC, R_MAC, 0x0806, &packet::arp(1, R_MAC, R, [0; 6], H)));
        w.b.stack.udp(udp).expect("open").send_to(b"text", SocketAddr::new(to.into(), 9)).expect("a way");
        let seen: Vec<_> = w.turn().iter().map(|f| packet::read(f)).collect();
        assert!(seen.iter().any(|s| matches!(s, packet::Seen::Udp((H, _), (ip, 9), _) if *ip == to)), "{seen:?}");
    }
    w.b.stack.tcp(handle).expect("open").abort();
    w.pass(Duration::from_secs(6));
    assert_eq!(w.events.pop().map(|e| e.1), Some(LinkLocalEvent::Lost(ip)));
    assert_eq!(w.addresses(), [Cidr::new(H.into(), 24).expect("a prefix")]);
    assert_eq!(w.claim.deadline(), None);
    // RFC 3927 §2.6.2: neighbours of the link are still asked for there, not sent to the router.
    let other = Ipv4Addr::new(169, 254, 9, 9);
    w.b.stack.udp(udp).expect("open").send_to(b"text", SocketAddr::new(other.into(), 9)).expect("a way");
    let asked: Vec<_> = w.turn().iter().filter_map(|f| Arp::read(f)).collect();
    assert_eq!(asked, [Arp { to: ALL, op: 1, src: H, target: other }]);
    // And when that address goes, the one before is claimed anew.
    w.b.stack.remove_address(w.b.iface, H.into()).expect("there");
    w.pass(Duration::from_secs(10));
    assert_eq!(w.events.pop().map(|e| e.1), Some(LinkLocalEvent::Claimed(ip)));
}

#[test]
fn while_there_is_an_address_that_routes_nothing_is_claimed() {
    let mut w = World::new();
    w.pass(Duration::from_millis(1_500));
    w.b.stack.add_address(w.b.iface, Cidr::new(H.into(), 24).expect("a prefix")).expect("room");
    let sent = w.arps(Duration::from_secs(60));
    assert!(sent.iter().all(|(_, a)| a.src == H) && w.events.is_empty() && w.claim.address().is_none(), "{sent:?}");
}

// RFC 3927 §2.2: a link that comes up may be another one.
#[test]
fn when_the_link_is_back_the_address_is_claimed_anew_unless_a_connection_is_from_it() {
    let flap = |w: &mut World| {
        w.b.nic.link = Link::Down;
        w.pass(Duration::from_secs(1));
        w.b.nic.link = Link::Up;
        w.pass(Duration::from_secs(12));
    };
    let (mut w, ip) = World::new().claimed();
    flap(&mut w);
    let told: Vec<_> = w.events.drain(..).map(|e| e.1).collect();
    assert_eq!(told, [LinkLocalEvent::Lost(ip), LinkLocalEvent::Claimed(ip)]);
    let (handle, _) = w.connected();
    flap(&mut w);
    assert!(w.events.is_empty() && w.claim.address() == Some(ip));
    assert_eq!(w.b.stack.tcp(handle).expect("open").error(), None);
    w.claim.close(&mut w.b.stack);
    assert_eq!(w.b.stack.interfaces().map(|i| i.addresses.len()).sum::<usize>(), 0);
    assert!(w.b.stack.routes().all(|r| r.prefix.addr() != IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0))));
}

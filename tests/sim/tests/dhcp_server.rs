//! The DHCP server on a whole stack, against clients that say exactly what a test wants; and against our own client.

use ringtap::dhcp::v4::{DhcpClient, DhcpOptions, DhcpServer, DhcpServerOptions, MAX_LEASES};
use ringtap::error::BindError;
use ringtap::stack::Stack;
use ringtap::time::{Duration, Instant};
use ringtap_sim::bench::{ALL, H, H_MAC, R};
use ringtap_sim::packet::{self, Ip, Seen};
use ringtap_sim::{App, Bench, Host, Impairments, Sim};
use std::net::{IpAddr, Ipv4Addr};

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const DECLINE: u8 = 4;
const ACK: u8 = 5;
const NAK: u8 = 6;
const RELEASE: u8 = 7;
const INFORM: u8 = 8;
const NOBODY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const LEASE: Duration = Duration::from_secs(600);

fn ip(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, n)
}

fn settings() -> DhcpServerOptions<'static> {
    const DNS: &[Ipv4Addr] = &[Ipv4Addr::new(9, 9, 9, 9)];
    DhcpServerOptions { first: ip(50), count: 3, lease: LEASE, router: Some(R), dns: DNS }
}

/// A message of a client's.
#[derive(Clone)]
struct Ask {
    kind: u8,
    mac: [u8; 6],
    ciaddr: Ipv4Addr,
    options: Vec<(u8, Vec<u8>)>,
}

impl Ask {
    fn new(kind: u8, n: u8) -> Self {
        Self { kind, mac: [2, 0, 0, 0, 1, n], ciaddr: NOBODY, options: vec![] }
    }

    fn with(mut self, code: u8, data: &[u8]) -> Self {
        self.options.push((code, data.to_vec()));
        self
    }

    /// As one that has taken the offer of `server`.
    fn taking(n: u8, server: Ipv4Addr, ip: Ipv4Addr) -> Self {
        Self::new(REQUEST, n).with(54, &server.octets()).with(50, &ip.octets())
    }

    fn octets(&self) -> Vec<u8> {
        let mut m = vec![0; 240];
        m[..4].copy_from_slice(&[1, 1, 6, 0]);
        m[4..8].copy_from_slice(&[1, 2, 3, self.mac[5]]);
        m[12..16].copy_from_slice(&self.ciaddr.octets());
        m[28..34].copy_from_slice(&self.mac);
        m[236..].copy_from_slice(&[99, 130, 83, 99]);
        m.extend([53, 1, self.kind]);
        for (code, data) in &self.options {
            m.extend([*code, data.len() as u8]);
            m.extend(data);
        }
        m.push(255);
        m
    }
}

/// An answer: its type, the address that it gives, where it went, its options.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    kind: u8,
    yiaddr: Ipv4Addr,
    to: Ipv4Addr,
    options: Vec<(u8, Vec<u8>)>,
}

impl Told {
    fn option(&self, code: u8) -> Option<&[u8]> {
        self.options.iter().find(|o| o.0 == code).map(|o| &o.1[..])
    }
}

struct World {
    b: Bench,
    server: DhcpServer,
}

impl World {
    fn new(options: &DhcpServerOptions<'_>) -> Self {
        let mut b = Bench::new().with_live_neighbors();
        let server = DhcpServer::start(&mut b.stack, b.iface, options).expect("a server");
        Self { b, server }
    }

    fn give(&mut self, frame: Vec<u8>) -> Option<Told> {
        self.b.nic.rx.push_back(frame);
        let mut told = None;
        for _ in 0..4 {
            for seen in self.b.poll() {
                if let Seen::Udp((H, 67), (to, 68), m) = &seen {
                    assert!(told.is_none(), "one answer");
                    assert_eq!((m[0], &m[4..7], m.len() >= 300), (2, &[1, 2, 3][..], true));
                    let (mut options, mut rest) = (vec![], &m[240..]);
                    while rest[0] != 255 {
                        let len = usize::from(rest[1]);
                        options.push((rest[0], rest[2..2 + len].to_vec()));
                        rest = &rest[2 + len..];
                    }
                    let yiaddr: [u8; 4] = m[16..20].try_into().expect("four");
                    let kind = options[0].1[0];
                    told = Some(Told { kind, yiaddr: yiaddr.into(), to: *to, options });
                }
            }
            self.server.poll(&mut self.b.stack, self.b.now);
        }
        told
    }

    fn ask(&mut self, ask: &Ask) -> Option<Told> {
        let from = ask.ciaddr;
        let to = if from == NOBODY { Ipv4Addr::BROADCAST } else { H };
        let udp = packet::udp((from, 68), (to, 67), &ask.octets());
        let mac = if from == NOBODY { ALL } else { H_MAC };
        self.give(packet::ethernet(mac, ask.mac, 0x0800, &Ip::new(from, to, 17).build(&udp)))
    }

    /// DISCOVER and REQUEST; the address.
    fn lease(&mut self, n: u8) -> Option<Ipv4Addr> {
        let offer = self.ask(&Ask::new(DISCOVER, n))?;
        let ack = self.ask(&Ask::taking(n, H, offer.yiaddr)).expect("an answer");
        assert_eq!((offer.kind, ack.kind, ack.yiaddr), (OFFER, ACK, offer.yiaddr));
        Some(ack.yiaddr)
    }

    fn leases(&self) -> Vec<Ipv4Addr> {
        self.server.leases(self.b.now).map(|l| l.ip).collect()
    }
}

#[test]
fn a_client_is_offered_an_address_and_gets_it_with_all_that_belongs_to_it() {
    let mut w = World::new(&settings());
    let offer = w.ask(&Ask::new(DISCOVER, 1)).expect("an offer");
    assert_eq!((offer.kind, offer.yiaddr, offer.to), (OFFER, ip(50), Ipv4Addr::BROADCAST));
    assert!(w.leases().is_empty());
    let ack = w.ask(&Ask::taking(1, H, ip(50))).expect("an answer");
    assert_eq!((ack.kind, ack.yiaddr), (ACK, ip(50)));
    for (code, data) in [
        (54, H.octets().to_vec()),
        (51, 600u32.to_be_bytes().to_vec()),
        (1, vec![255, 255, 255, 0]),
        (3, R.octets().to_vec()),
        (6, vec![9; 4]),
    ] {
        assert_eq!((offer.option(code), ack.option(code)), (Some(&data[..]), Some(&data[..])), "{code}");
    }
    let lease = w.server.leases(w.b.now).next().expect("a lease");
    assert_eq!((lease.ip, lease.mac.0, lease.until), (ip(50), [2, 0, 0, 0, 1, 1], w.b.now + LEASE));
    // The same again, for the same client; another one for another.
    assert_eq!((w.lease(1), w.lease(2), w.lease(1)), (Some(ip(50)), Some(ip(51)), Some(ip(50))));
    w.b.is_well();
}

// RFC 2131 §4.3.2
#[test]
fn leases_are_renewed_and_an_address_that_is_not_the_clients_is_refused() {
    let mut w = World::new(&settings());
    assert_eq!(w.lease(1), Some(ip(50)));
    w.b.now += Duration::from_secs(500);
    // Renewing, to us alone, which we answer in kind.
    let arp =
        packet::ethernet(H_MAC, [2, 0, 0, 0, 1, 1], 0x0806, &packet::arp(1, [2, 0, 0, 0, 1, 1], ip(50), [0; 6], H));
    w.b.give(arp);
    let renewal = w.ask(&Ask { ciaddr: ip(50), ..Ask::new(REQUEST, 1) }).expect("an answer");
    assert_eq!((renewal.kind, renewal.to), (ACK, ip(50)));
    w.b.now += Duration::from_secs(500);
    assert_eq!(w.leases(), [ip(50)]);
    // INIT-REBOOT with its own address; with another's; with one of elsewhere.
    assert_eq!(w.ask(&Ask::new(REQUEST, 1).with(50, &ip(50).octets())).map(|t| t.kind), Some(ACK));
    assert_eq!(
        w.ask(&Ask::new(REQUEST, 2).with(50, &ip(50).octets())).map(|t| (t.kind, t.to)),
        Some((NAK, Ipv4Addr::BROADCAST))
    );
    assert_eq!(w.ask(&Ask::new(REQUEST, 2).with(50, &[10, 0, 0, 1])).map(|t| t.kind), Some(NAK));
    // One that we have forgotten keeps what it has.
    assert_eq!(w.ask(&Ask::new(REQUEST, 3).with(50, &ip(52).octets())).map(|t| t.kind), Some(ACK));
    assert_eq!(w.leases(), [ip(50), ip(52)]);
    // Without an offer there is nothing to take.
    assert_eq!(w.ask(&Ask::taking(4, H, ip(51))).map(|t| t.kind), Some(NAK));
    // Another server's client is none of ours, nor is the address that it was offered here.
    assert_eq!(w.ask(&Ask::new(DISCOVER, 4)).map(|t| t.yiaddr), Some(ip(51)));
    assert_eq!(w.ask(&Ask::new(DISCOVER, 5)), None, "all are held");
    assert_eq!(w.ask(&Ask::taking(4, R, ip(51))), None);
    assert_eq!(w.ask(&Ask::new(DISCOVER, 5)).map(|t| t.yiaddr), Some(ip(51)));
}

#[test]
fn addresses_come_back_by_release_by_time_and_after_a_decline_later() {
    let mut w = World::new(&settings());
    for n in 1..=3 {
        assert!(w.lease(n).is_some());
    }
    assert_eq!(w.lease(4), None, "there are three");
    w.ask(&Ask { ciaddr: ip(51), ..Ask::new(RELEASE, 1) });
    w.ask(&Ask { ciaddr: ip(51), ..Ask::new(RELEASE, 9) });
    assert_eq!(w.leases().len(), 3, "not by others");
    w.ask(&Ask { ciaddr: ip(51), ..Ask::new(RELEASE, 2) });
    assert_eq!(w.leases(), [ip(50), ip(52)]);
    assert_eq!(w.lease(4), Some(ip(51)));
    // Somebody else has it.
    w.ask(&Ask::new(DECLINE, 4).with(50, &ip(51).octets()).with(54, &H.octets()));
    assert_eq!(w.lease(4), None);
    w.b.now += Duration::from_secs(601);
    assert!(w.leases().is_empty());
    // The one that is free for longest first; a client's own, where it is still free, before all.
    assert_eq!((w.lease(3), w.lease(7), w.lease(8)), (Some(ip(52)), Some(ip(50)), Some(ip(51))));
    // An offer that nobody takes is held for ten seconds.
    let mut w = World::new(&DhcpServerOptions { count: 1, ..settings() });
    assert!(w.ask(&Ask::new(DISCOVER, 1)).is_some());
    assert_eq!(w.ask(&Ask::new(DISCOVER, 2)), None);
    w.b.now += Duration::from_secs(10);
    assert_eq!(w.lease(2), Some(ip(50)));
}

#[test]
fn what_cannot_be_is_not_answered_and_a_flood_takes_no_lease_away() {
    let mut w = World::new(&DhcpServerOptions { count: MAX_LEASES as u8, ..settings() });
    assert_eq!(w.lease(1), Some(ip(50)));
    let good = Ask::new(DISCOVER, 2).octets();
    for (at, value) in [(0, 2), (1, 6), (2, 0), (24, 10), (28, 1), (236, 0), (242, 2), (242, 9), (242, 0)] {
        let mut m = good.clone();
        m[at] = value;
        let udp = packet::udp((NOBODY, 68), (Ipv4Addr::BROADCAST, 67), &m);
        let ip = Ip::new(NOBODY, Ipv4Addr::BROADCAST, 17).build(&udp);
        assert_eq!(w.give(packet::ethernet(ALL, [2, 0, 0, 0, 1, 2], 0x0800, &ip)), None, "octet {at} = {value}");
    }
    for n in 0..good.len() {
        let udp = packet::udp((NOBODY, 68), (Ipv4Addr::BROADCAST, 67), &good[..n]);
        let ip = Ip::new(NOBODY, Ipv4Addr::BROADCAST, 17).build(&udp);
        assert_eq!(w.give(packet::ethernet(ALL, [2, 0, 0, 0, 1, 2], 0x0800, &ip)), None, "{n} octets");
    }
    assert_eq!(w.ask(&Ask::new(REQUEST, 2).with(54, &H.octets())), None, "a request of nothing");
    for n in 0..1_000u32 {
        let mut ask = Ask::new(DISCOVER, 2).with(61, &n.to_be_bytes());
        ask.mac[2..].copy_from_slice(&n.to_be_bytes());
        w.ask(&ask);
    }
    assert_eq!(w.leases(), [ip(50)]);
    assert_eq!(w.lease(1), Some(ip(50)), "who has one keeps it");
    w.b.now += Duration::from_secs(11);
    assert!(w.lease(3).is_some());
    // Information alone has no times.
    let told = w.ask(&Ask { ciaddr: R, ..Ask::new(INFORM, 9) }).expect("an answer");
    assert_eq!((told.kind, told.yiaddr, told.to, told.option(51)), (ACK, NOBODY, R, None));
    // Long identifiers that differ at their end are different clients.
    let long = |n: u8| Ask::new(DISCOVER, 20).with(61, &[&[7; 40][..], &[n]].concat());
    let (a, b) = (w.ask(&long(1)).expect("an offer"), w.ask(&long(2)).expect("an offer"));
    assert_ne!(a.yiaddr, b.yiaddr);
    w.b.is_well();
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let mut b = Bench::new();
    for options in [
        DhcpServerOptions { count: 0, ..settings() },
        DhcpServerOptions { count: MAX_LEASES as u8 + 1, ..settings() },
        DhcpServerOptions { lease: Duration::from_secs(59), ..settings() },
        DhcpServerOptions { first: ip(254), count: 2, ..settings() },
        DhcpServerOptions { first: ip(1), ..settings() },
        DhcpServerOptions { first: Ipv4Addr::new(10, 0, 0, 1), ..settings() },
    ] {
        assert!(matches!(DhcpServer::start(&mut b.stack, b.iface, &options), Err(BindError::Invalid)), "{options:?}");
    }
    let server = DhcpServer::start(&mut b.stack, b.iface, &settings()).expect("a server");
    assert!(matches!(DhcpServer::start(&mut b.stack, b.iface, &settings()), Err(BindError::InUse)));
    server.close(&mut b.stack);
    assert!(DhcpServer::start(&mut b.stack, b.iface, &settings()).is_ok());
}

/// One end of a link between two stacks.
enum End {
    Server(Box<Option<DhcpServer>>),
    Client(Box<Option<DhcpClient>>, Vec<(Instant, IpAddr)>),
}

impl App for End {
    fn run(&mut self, now: Instant, stack: &mut Stack<'static>) -> bool {
        let iface = stack.interfaces().next().expect("an interface").id;
        match self {
            Self::Server(server) => {
                let first = Ipv4Addr::new(10, 0, 0, 100);
                let options = DhcpServerOptions { first, router: None, ..settings() };
                let server = server.get_or_insert_with(|| DhcpServer::start(stack, iface, &options).expect("a server"));
                server.poll(stack, now);
                false
            }
            Self::Client(client, got) => {
                if client.is_none() {
                    let own = stack.interfaces().next().expect("there").addresses[0].addr();
                    stack.remove_address(iface, own).expect("there");
                    **client = Some(DhcpClient::start(stack, now, iface, &DhcpOptions::default()).expect("a client"));
                }
                let client = (**client).as_mut().expect("there");
                let mut acted = false;
                while client.poll(stack, now).is_some() {
                    got.extend(client.lease().map(|l| (now, l.address().addr())));
                    acted = true;
                }
                acted
            }
        }
    }

    fn is_done(&self) -> bool {
        true
    }

    fn next(&self) -> Option<Instant> {
        match self {
            Self::Client(client, _) => (**client).as_ref().and_then(DhcpClient::deadline),
            Self::Server(_) => None,
        }
    }
}

#[test]
fn our_client_gets_its_address_from_our_server_and_keeps_it_over_many_renewals_on_a_bad_link() {
    for seed in 0..4 {
        let (mut server, mut client) = (Host::new(1, seed, 64, 1500), Host::new(2, seed, 64, 1500));
        server.apps.push(Box::new(End::Server(Box::new(None))));
        client.apps.push(Box::new(End::Client(Box::new(None), vec![])));
        let link = Impairments { loss: 0.2, duplicate: 0.1, ..Impairments::default() };
        let mut sim = Sim::new(seed, vec![server, client], vec![link.clone(), link]);
        sim.run_until(Instant::from_secs(6_000)).unwrap_or_else(|e| panic!("seed {seed}: {e:?}"));
        let End::Client(_, got) = sim.app::<End>(1, 0) else { panic!("the client") };
        assert!(got.len() >= 15, "seed {seed}: {} times in ten leases", got.len());
        assert!(got.iter().all(|(_, ip)| *ip == IpAddr::from([10, 0, 0, 100])), "seed {seed}: {got:?}");
        assert!(got[0].0 < Instant::from_secs(60), "seed {seed}: {got:?}");
    }
}

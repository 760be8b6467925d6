//! Octets as messages of DHCP, DNS and multicast DNS, for clients and servers that wait for them.

use super::{Bytes, World};
use crate::hostile::{udp_frame, udp_frame_v6};
use crate::packet::{self, Seen};
use crate::six;
use ringtap::device::Medium;
use ringtap::dhcp::v4::{DhcpClient, DhcpOptions, DhcpServer, DhcpServerOptions, MAX_LEASES};
use ringtap::dhcp::v6::{Dhcpv6Client, Dhcpv6Mode};
use ringtap::dns::{QueryId, RecordKind, Resolver};
use ringtap::mdns::{Browser, MAX_SERVICES, Mdns, MdnsOptions};
use ringtap::stack::Identifiers;
use ringtap::time::Duration;
use std::net::{Ipv4Addr, Ipv6Addr};

const H: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const P: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const NOBODY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const LINK: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const LINK6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xfe);

/// Frames that one message draws, at most.
const DRAWN: usize = 64;

/// Who waits for messages.
enum Party {
    Dhcp(Box<DhcpClient>),
    Dhcpv6(Box<Dhcpv6Client>),
    Server(Box<DhcpServer>),
    Resolver(Box<Resolver>, Option<QueryId>),
    Link(Box<(Mdns, Browser)>, Option<QueryId>),
}

/// The first octet says who waits; each message is preceded by an octet on how it comes, and its length.
///
/// # Panics
/// When a party spins, takes more than its tables hold, or draws frames without bound.
pub fn messages(data: &[u8]) {
    let mut d = Bytes(data);
    let mut w = World::new(0, Medium::Ethernet, 1);
    let iface = w.cards[0].0;
    let mut party = party(&mut w, d.below(5));
    // The last that was asked, by whom it was asked and where.
    let mut asked = Asked::default();
    turn(&mut w, &mut party, &mut asked);
    while !d.is_empty() {
        let how = d.byte();
        if how >= 0xf0 {
            let millis = u64::from(d.byte()) << (how & 15);
            let end = w.now + Duration::from_millis(millis);
            for _ in 0..5_000 {
                turn(&mut w, &mut party, &mut asked);
                let next = [w.stack.next_deadline(), deadline(&party)].into_iter().flatten().min();
                match next {
                    Some(at) if at < end => w.now = at.max(w.now + Duration::from_micros(1)),
                    _ => break,
                }
            }
            w.now = end.max(w.now);
            turn(&mut w, &mut party, &mut asked);
            continue;
        }
        let len = usize::from(d.word()) % 1400;
        let message = d.take(len).to_vec();
        let before = w.left;
        if let Some(frame) = frame(&party, how, message, &asked) {
            w.cards[0].1.rx.push_back(frame);
        }
        turn(&mut w, &mut party, &mut asked);
        assert!(w.left - before <= DRAWN, "{} frames for one message", w.left - before);
        holds(&w, &party);
        let addresses = w.stack.interfaces().find(|i| i.id == iface).map_or(0, |i| i.addresses.len());
        assert!(addresses <= ringtap::stack::MAX_ADDRESSES);
    }
    drop(party);
    w.end();
}

fn party(w: &mut World, which: usize) -> Party {
    let iface = w.cards[0].0;
    if which != 0 {
        w.address(0, "192.0.2.1/24");
    }
    let _ = w.stack.autoconfigure(iface, Identifiers::Eui64);
    w.pass(Duration::from_secs(1));
    match which {
        0 => {
            Party::Dhcp(Box::new(DhcpClient::start(&mut w.stack, w.now, iface, &DhcpOptions::default()).expect("room")))
        }
        1 => Party::Dhcpv6(Box::new(Dhcpv6Client::start(&mut w.stack, iface, Dhcpv6Mode::Stateful).expect("room"))),
        2 => {
            let (first, lease) = (Ipv4Addr::new(192, 0, 2, 50), Duration::from_secs(600));
            let options = DhcpServerOptions { first, count: MAX_LEASES as u8, lease, router: Some(H), dns: &[] };
            Party::Server(Box::new(DhcpServer::start(&mut w.stack, iface, &options).expect("room")))
        }
        3 => {
            let mut resolver = Resolver::new(&mut w.stack);
            resolver.set_servers(&[P.into()]);
            Party::Resolver(Box::new(resolver), None)
        }
        _ => {
            let options = MdnsOptions { host: Some("ringtap"), service: None };
            let mdns = Mdns::start(&mut w.stack, iface, &options).expect("room");
            let browser = Browser::start(&mut w.stack, iface, "_http._tcp").expect("room");
            Party::Link(Box::new((mdns, browser)), None)
        }
    }
}

/// What the party has sent last.
#[derive(Default)]
struct Asked {
    message: Vec<u8>,
    port: u16,
    from: Option<Ipv6Addr>,
}

impl Asked {
    fn look(&mut self, frame: &[u8]) {
        if let Seen::Udp((_, from), _, text) = packet::read(frame) {
            (self.port, self.message) = (from, text);
        } else if let Some(sent) = six::read(frame).filter(|s| s.next == 17) {
            self.port = u16::from_be_bytes([sent.payload[0], sent.payload[1]]);
            (self.from, self.message) = (Some(sent.src), sent.payload[8..].to_vec());
        }
    }
}

/// Everything that is to be done now.
fn turn(w: &mut World, party: &mut Party, asked: &mut Asked) {
    for _ in 0..500 {
        let now = w.now;
        let busy = match party {
            Party::Dhcp(client) => client.poll(&mut w.stack, now).is_some(),
            Party::Dhcpv6(client) => client.poll(&mut w.stack, now).is_some(),
            Party::Server(server) => {
                server.poll(&mut w.stack, now);
                false
            }
            Party::Resolver(resolver, open) => {
                resolver.poll(&mut w.stack, now);
                if open.is_some_and(|id| resolver.take(id).is_some()) {
                    *open = None;
                }
                let began = open.is_none();
                *open = open.or_else(|| resolver.query(now, "a.example", RecordKind::A).ok());
                began && open.is_none()
            }
            Party::Link(both, open) => {
                let (mdns, browser) = &mut **both;
                let busy = mdns.poll(&mut w.stack, now).is_some() | browser.poll(&mut w.stack, now);
                if open.is_some_and(|id| mdns.take(id).is_some()) {
                    *open = None;
                }
                *open = open.or_else(|| mdns.query(now, "printer.local", RecordKind::A).ok());
                busy
            }
        };
        let sent = w.settle();
        for frame in &sent {
            asked.look(frame);
            // Whoever is asked for is there, at P's station.
            if let Seen::Arp(1, mac, ip, target) = packet::read(frame)
                && target == P
            {
                let answer = packet::arp(2, [2, 0, 0, 0, 0, 0x77], target, mac, ip);
                w.cards[0].1.rx.push_back(packet::ethernet(mac, [2, 0, 0, 0, 0, 0x77], 0x0806, &answer));
            }
        }
        let due = deadline(party).is_some_and(|at| at <= w.now);
        if !busy && !due && sent.is_empty() && w.cards[0].1.rx.is_empty() {
            return;
        }
    }
    panic!("a party spins");
}

fn deadline(party: &Party) -> Option<ringtap::time::Instant> {
    match party {
        Party::Dhcp(client) => client.deadline(),
        Party::Dhcpv6(client) => client.deadline(),
        Party::Server(_) => None,
        Party::Resolver(resolver, _) => resolver.deadline(),
        Party::Link(both, _) => [both.0.deadline(), both.1.deadline()].into_iter().flatten().min(),
    }
}

/// The frame of a message: from whom it should be, with the number that was asked for unless `how` says otherwise.
fn frame(party: &Party, how: u8, mut message: Vec<u8>, asked: &Asked) -> Option<Vec<u8>> {
    let mut number = |at: std::ops::Range<usize>| {
        if how & 1 == 0
            && let (Some(to), Some(from)) = (message.get_mut(at.clone()), asked.message.get(at))
        {
            to.copy_from_slice(from);
        }
    };
    let mut frame = match party {
        Party::Dhcp(_) => {
            number(4..8);
            number(28..34);
            udp_frame((P, 67), (Ipv4Addr::BROADCAST, 68), &message)
        }
        Party::Dhcpv6(_) => {
            number(1..4);
            udp_frame_v6((ROUTER, 547), (asked.from?, 546), &message)
        }
        Party::Server(_) => {
            let (from, to) = if how & 2 == 0 { (NOBODY, Ipv4Addr::BROADCAST) } else { (P, H) };
            udp_frame((from, 68), (to, 67), &message)
        }
        Party::Resolver(..) => {
            number(0..2);
            // The question as it was asked, its letters included.
            let end = asked.message.len();
            number(12..end);
            udp_frame((P, 53), (H, asked.port), &message)
        }
        Party::Link(..) if how & 4 != 0 => udp_frame_v6((ROUTER, 5353), (LINK6, 5353), &message),
        Party::Link(..) => {
            let port = if how & 2 == 0 { 5353 } else { 4_000 };
            udp_frame((P, port), (LINK, 5353), &message)
        }
    };
    // To us, whose MAC address this is in the worlds of a fuzzer.
    if frame[0] & 1 == 0 {
        frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 0]);
    }
    Some(frame)
}

/// No table has more than it may.
fn holds(w: &World, party: &Party) {
    match party {
        Party::Dhcp(_) => assert!(w.stack.routes().count() <= 16),
        Party::Dhcpv6(client) => {
            assert!(client.lease().is_none_or(|l| l.dns().len() <= 4 && l.addresses().len() <= 2));
        }
        Party::Server(server) => assert!(server.leases(w.now).count() <= MAX_LEASES),
        Party::Resolver(..) => {}
        Party::Link(both, _) => assert!(both.1.services().count() <= MAX_SERVICES),
    }
}

//! A stack with multicast DNS, and what it sends: what the tests of `mdns.rs` and `mdns_names.rs` have in common.
#![allow(dead_code)] // Each uses its part.

use ringtap::mdns::{Mdns, MdnsEvent, MdnsOptions, Service};
use ringtap::time::{Duration, Instant};
use ringtap_sim::bench::{H, H_MAC, P, P_MAC};
use ringtap_sim::dnsmsg::{Msg, Rr, wire};
use ringtap_sim::packet::{self, Ip, Seen};
use ringtap_sim::{Bench, six};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
pub const GROUP_MAC: [u8; 6] = [1, 0, 0x5e, 0, 0, 251];
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
pub const A: u16 = 1;
pub const PTR: u16 = 12;
pub const TXT: u16 = 16;
pub const AAAA: u16 = 28;
pub const SRV: u16 = 33;
pub const NSEC: u16 = 47;
pub const ANY: u16 = 255;

pub const SERVICE: Service<'_> =
    Service { instance: "Boiler room", kind: "_http._tcp", port: 80, txt: &["path=/", "v=1"] };
pub const NAMED: MdnsOptions<'_> = MdnsOptions { host: Some("boiler"), service: Some(SERVICE) };

/// A message that has left, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub at: u64,
    pub to: (IpAddr, u16),
    pub msg: Msg,
}

pub struct World {
    pub b: Bench,
    pub mdns: Mdns,
    pub start: Instant,
    pub events: Vec<MdnsEvent>,
}

impl World {
    pub fn new(options: &MdnsOptions<'_>) -> Self {
        Self::on(Bench::new().with_live_neighbors(), options)
    }

    pub fn on(mut b: Bench, options: &MdnsOptions<'_>) -> Self {
        let mdns = Mdns::start(&mut b.stack, b.iface, options).expect("names and room");
        let start = b.now;
        Self { b, mdns, start, events: vec![] }
    }

    /// One whose names are its own by now.
    pub fn claimed() -> Self {
        let mut w = Self::new(&NAMED);
        w.pass(5_000);
        assert_eq!(w.events, [MdnsEvent::Claimed]);
        w.start = w.b.now;
        w
    }

    pub fn turn(&mut self) -> Vec<Sent> {
        let mut all = Vec::new();
        for _ in 0..200 {
            let seen = self.b.poll();
            let at = self.b.now.since(self.start).as_millis();
            for s in &seen {
                if let Seen::Udp((H, 5353), (to, port), m) = s {
                    all.push(Sent { at, to: ((*to).into(), *port), msg: Msg::read(m) });
                }
            }
            for s in six::of(&seen).iter().filter(|s| s.next == 17) {
                assert_eq!((s.hops, &s.payload[..2]), (255, &5353u16.to_be_bytes()[..]));
                let port = u16::from_be_bytes([s.payload[2], s.payload[3]]);
                all.push(Sent { at, to: (s.dst.into(), port), msg: Msg::read(&s.payload[8..]) });
            }
            while let Some(event) = self.mdns.poll(&mut self.b.stack, self.b.now) {
                self.events.push(event);
            }
            let due = self.mdns.deadline().is_some_and(|t| t <= self.b.now);
            if seen.is_empty() && self.b.stack.pending().is_empty() && !due {
                return all;
            }
        }
        panic!("it spins");
    }

    pub fn pass(&mut self, millis: u64) -> Vec<Sent> {
        let end = self.b.now + Duration::from_millis(millis);
        let mut all = Vec::new();
        loop {
            all.extend(self.turn());
            let next = [self.b.stack.next_deadline(), self.mdns.deadline()].into_iter().flatten().min();
            match next {
                Some(at) if at <= end => self.b.now = self.b.now.max(at),
                _ => {
                    self.b.now = end;
                    return all;
                }
            }
        }
    }

    /// A datagram of `from`'s to the group, or to H alone.
    pub fn give(&mut self, (from, port): (Ipv4Addr, u16), to: Ipv4Addr, octets: &[u8]) {
        let mac = if to == GROUP { GROUP_MAC } else { H_MAC };
        let udp = packet::udp((from, port), (to, 5353), octets);
        let ip = Ip { ttl: 255, ..Ip::new(from, to, 17) };
        self.b.nic.rx.push_back(packet::ethernet(mac, P_MAC, 0x0800, &ip.build(&udp)));
    }

    pub fn say(&mut self, msg: &Msg) -> Vec<Sent> {
        self.give((P, 5353), GROUP, &msg.build());
        self.turn()
    }

    pub fn is_well(&mut self) {
        self.pass(3_000);
        self.b.is_well();
    }
}

pub fn a(name: &str, n: u8) -> Rr {
    Rr::new(name, A, 120, &[192, 0, 2, n]).unique()
}

pub fn ptr(ttl: u32) -> Rr {
    Rr::new("_http._tcp.local", PTR, ttl, &wire("Boiler room._http._tcp.local"))
}

pub fn kinds(records: &[Rr]) -> Vec<u16> {
    records.iter().map(|r| r.kind).collect()
}

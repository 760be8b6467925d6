//! Networks of several stacks, some of them routers: what arrives, and what dies on the way.

use proptest::prelude::*;
use ringtap::config::Config;
use ringtap::device::{Capabilities, Mac, Medium};
use ringtap::frame::BoxedPool;
use ringtap::ip::addr::Cidr;
use ringtap::ip::forward::{Forwarding, ReversePath};
use ringtap::ip::route::Route;
use ringtap::rng::Secret;
use ringtap::sockets::UdpOptions;
use ringtap::stack::{IfaceId, Limits, Stack, Storage};
use ringtap::stats::DropReason;
use ringtap::tcp::{ConnectOptions, ListenOptions};
use ringtap::time::{Duration, Instant};
use ringtap_sim::packet::{self, Seen};
use ringtap_sim::{Nic, SimRng, six};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

fn cidr(text: &str) -> Cidr {
    text.parse().expect("a prefix")
}

/// One station of a network of stacks: its cards, each on a link.
struct Station {
    stack: Stack<'static>,
    cards: Vec<(IfaceId, Nic, usize)>,
}

/// Links, each of which carries frames to all of its other stations.
struct Net {
    stations: Vec<Station>,
    now: Instant,
    /// Packets on all links, by identification.
    seen: std::collections::HashMap<Vec<u8>, usize>,
}

impl Net {
    fn new() -> Self {
        Self { stations: Vec::new(), now: Instant::from_secs(1), seen: std::collections::HashMap::new() }
    }

    /// A station with these (link, address) pairs; all its cards have one pool.
    fn station(&mut self, medium: Medium, addresses: &[(usize, &str)]) -> usize {
        let n = self.stations.len() as u8 + 1;
        let pool: &'static BoxedPool = Box::leak(Box::new(BoxedPool::new(1664, 256)));
        let mut config = Config::new(Secret::new([n; 16]));
        config.dad_transmits = 0;
        let mut stack = Stack::new(config, Storage::growing(Limits::default()));
        let mut cards: Vec<(IfaceId, Nic, usize)> = Vec::new();
        for &(link, text) in addresses {
            let iface = match cards.iter().find(|c| c.2 == link) {
                Some(card) => card.0,
                None => {
                    let nic = Nic::with(pool.pool(), Capabilities::plain(medium, 1500));
                    let iface = stack.add_interface(&nic, Mac([2, 0, 0, n, 0, link as u8])).expect("room");
                    cards.push((iface, nic, link));
                    iface
                }
            };
            stack.add_address(iface, cidr(text)).expect("room");
        }
        self.stations.push(Station { stack, cards });
        usize::from(n) - 1
    }

    fn route(&mut self, station: usize, prefix: &str, gateway: &str) {
        let gateway: IpAddr = gateway.parse().expect("an address");
        let s = &mut self.stations[station];
        let found = s.stack.interfaces().find(|i| i.addresses.iter().any(|a| a.contains(gateway))).map(|i| i.id);
        let iface = found.expect("a gateway on a link");
        s.stack.add_route(Route { prefix: cidr(prefix), gateway: Some(gateway), iface, metric: 0 }).expect("room");
    }

    /// Everybody is polled once, then the wires carry; whether anything moved.
    fn step(&mut self, medium: Medium) -> bool {
        let mut moved = false;
        for from in 0..self.stations.len() {
            let s = &mut self.stations[from];
            for (iface, nic, _) in &mut s.cards {
                moved |= s.stack.poll(self.now, *iface, nic, 16).more;
            }
            while s.stack.next_event().is_some() {}
            let sent: Vec<(usize, Vec<u8>)> =
                s.cards.iter_mut().flat_map(|(_, nic, link)| nic.tx.drain(..).map(|f| (*link, f))).collect();
            for (link, frame) in sent {
                moved = true;
                self.look(medium, &frame);
                for (to, other) in self.stations.iter_mut().enumerate() {
                    for (_, nic, _) in other.cards.iter_mut().filter(|c| c.2 == link && to != from) {
                        nic.rx.push_back(frame.clone());
                    }
                }
            }
        }
        moved
    }

    /// Every packet on a link has right checksums and a hop left.
    fn look(&mut self, medium: Medium, frame: &[u8]) {
        let framed = match medium {
            Medium::Ethernet => frame.to_vec(),
            _ => packet::ethernet([2; 6], [2; 6], if frame[0] >> 4 == 6 { 0x86dd } else { 0x0800 }, frame),
        };
        match packet::read(&framed) {
            Seen::Udp(_, _, text) => *self.seen.entry(text).or_default() += 1,
            Seen::Other(_) => {
                if let Some(sent) = six::read(&framed) {
                    assert_ne!(sent.hops, 0);
                    if sent.next == 17 {
                        *self.seen.entry(sent.payload[8..].to_vec()).or_default() += 1;
                    }
                }
            }
            _ => {}
        }
    }

    fn run(&mut self, medium: Medium, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let mut steps = 0;
            while self.step(medium) {
                steps += 1;
                assert!(steps < 100_000, "the network does not come to rest");
            }
            let next = self.stations.iter_mut().filter_map(|s| s.stack.next_deadline()).min();
            self.now = next.unwrap_or(end).max(self.now + Duration::from_micros(100)).min(end);
        }
    }
}

/// A, two routers and B: a megabyte over TCP each way, of both families, over Ethernet and without stations.
#[test]
fn connections_cross_two_routers_on_every_medium() {
    for (medium, family) in [(Medium::Ethernet, 4), (Medium::Ethernet, 6), (Medium::Ip, 4), (Medium::Ip, 6)] {
        let mut net = Net::new();
        let a = net.station(medium, &[(0, "10.0.0.2/24"), (0, "fd00::2/64")]);
        let r = net.station(medium, &[(0, "10.0.0.1/24"), (0, "fd00::1/64"), (1, "10.0.1.1/24"), (1, "fd00:1::1/64")]);
        let t =
            net.station(medium, &[(1, "10.0.1.2/24"), (1, "fd00:1::2/64"), (2, "10.0.2.1/24"), (2, "fd00:2::1/64")]);
        let b = net.station(medium, &[(2, "10.0.2.2/24"), (2, "fd00:2::2/64")]);
        for (station, prefix, gateway) in [
            (a, "0.0.0.0/0", "10.0.0.1"),
            (a, "::/0", "fd00::1"),
            (b, "0.0.0.0/0", "10.0.2.1"),
            (b, "::/0", "fd00:2::1"),
            (r, "10.0.2.0/24", "10.0.1.2"),
            (r, "fd00:2::/64", "fd00:1::2"),
            (t, "10.0.0.0/24", "10.0.1.1"),
            (t, "fd00::/64", "fd00:1::1"),
        ] {
            net.route(station, prefix, gateway);
        }
        for router in [r, t] {
            net.stations[router].stack.set_forwarding(Some(Forwarding::default()));
        }
        let to: IpAddr = if family == 4 { "10.0.2.2" } else { "fd00:2::2" }.parse().expect("an address");
        let listener = net.stations[b].stack.tcp_listen(None, 80, &ListenOptions::default()).expect("a free port");
        let connect = net.stations[a].stack.tcp_connect(SocketAddr::new(to, 80), &ConnectOptions::default());
        let client = connect.expect("a route");
        let data: Vec<u8> = (0..1_000_000u32).map(|n| ((n * 7) >> 3) as u8).collect();
        let (mut written, mut got, mut server) = (0, Vec::new(), None);
        for _ in 0..20_000 {
            if let Ok(n) = net.stations[a].stack.tcp(client).expect("open").write(&data[written..]) {
                written += n;
            }
            net.run(medium, Duration::from_micros(500));
            server = server.or_else(|| net.stations[b].stack.tcp_accept(listener).ok());
            let Some((handle, _)) = server else { continue };
            let mut buf = [0; 65_536];
            while let Ok(n) = net.stations[b].stack.tcp(handle).expect("open").read(&mut buf) {
                got.extend_from_slice(&buf[..n]);
            }
            if got.len() == data.len() {
                break;
            }
        }
        assert!(got == data, "{medium:?} {family}: {} octets", got.len());
        for router in [r, t] {
            let stats = net.stations[router].stack.stats();
            assert_eq!(stats.copies, 0, "frames are passed on as they came");
            let lost: Vec<_> = stats.drops().filter(|&(reason, _)| reason != DropReason::ArpNotForUs).collect();
            assert_eq!(lost, [], "nothing is lost on the way");
            assert!(stats.forwarded > 700, "{}", stats.forwarded);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    /// Routers whose routes are chosen at random, in circles too: each packet is on as many links as it has hops at most,
    /// and the network comes to rest.
    #[test]
    fn whatever_the_routes_no_packet_lives_longer_than_its_hops(seed: u64, hops in 1u8..40, family in 0..2) {
        let mut rng = SimRng::new(seed);
        let mut net = Net::new();
        // A ring of four routers, link n between n and n + 1.
        let texts: Vec<[String; 4]> = (0..4usize)
            .map(|n| {
                let before = (n + 3) % 4;
                [format!("10.0.{n}.1/24"), format!("fd00:{n}::1/64"), format!("10.0.{before}.2/24"), format!("fd00:{before}::2/64")]
            })
            .collect();
        for (n, t) in texts.iter().enumerate() {
            let before = (n + 3) % 4;
            net.station(Medium::Ethernet, &[(n, &t[0]), (n, &t[1]), (before, &t[2]), (before, &t[3])]);
        }
        for n in 0..4usize {
            let before = (n + 3) % 4;
            for net_number in 4..8 {
                let clockwise = rng.below(2) == 0;
                let (v4, v6) = match clockwise {
                    true => (format!("10.0.{n}.2"), format!("fd00:{n}::2")),
                    false => (format!("10.0.{before}.1"), format!("fd00:{before}::1")),
                };
                net.route(n, &format!("10.0.{net_number}.0/24"), &v4);
                net.route(n, &format!("fd00:{net_number}::/64"), &v6);
            }
            net.stations[n].stack.set_forwarding(Some(Forwarding::with(ReversePath::Off)));
        }
        let udp = {
            let options = UdpOptions { ttl: Some(hops), ..UdpOptions::default() };
            net.stations[0].stack.udp_bind(None, 5000, &options).expect("a free port")
        };
        for net_number in 4..8u16 {
            let to: IpAddr = match family {
                0 => Ipv4Addr::new(10, 0, net_number as u8, 9).into(),
                _ => Ipv6Addr::new(0xfd00, net_number, 0, 0, 0, 0, 0, 9).into(),
            };
            let text = net_number.to_be_bytes();
            net.stations[0].stack.udp(udp).expect("open").send_to(&text, SocketAddr::new(to, 9)).expect("a route");
            net.run(Medium::Ethernet, Duration::from_secs(5));
        }
        prop_assert_eq!(net.seen.len(), 4);
        for (text, &links) in &net.seen {
            prop_assert!(links <= usize::from(hops), "{:?} was on {} links with {} hops", text, links, hops);
        }
        // All routes lead on and on: a packet dies of its age, or where it comes from, which does not believe it.
        let home = net.stations[0].stack.stats().dropped(DropReason::MartianSource);
        let aged = net.seen.values().filter(|&&links| links == usize::from(hops)).count();
        prop_assert!(home + aged >= 4, "{} at home, {} of age", home, aged);
    }
}

//! Routers and DHCP servers that lie at random: whatever they say, nothing panics, spins or grows past its bound, and an
//! honest one is believed afterwards.

use ringtap::dhcp::v4::{DhcpClient, DhcpEvent, DhcpOptions};
use ringtap::dhcp::v6::{Dhcpv6Client, Dhcpv6Mode};
use ringtap::stack::{Identifiers, ProbeTiming, TemporaryAddresses};
use ringtap::time::{Duration, Instant};
use ringtap_sim::bench::{ALL, H, H_MAC, R, R_MAC};
use ringtap_sim::packet::{self, Ip, Seen};
use ringtap_sim::six::{self, ALL_NODES, Ip6, give, prefix, router};
use ringtap_sim::{Bench, SimRng};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const NOBODY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

fn octets(rng: &mut SimRng, most: u64) -> Vec<u8> {
    (0..rng.below(most)).map(|_| rng.next_u64() as u8).collect()
}

/// A lifetime, of those that matter and others.
fn lifetime(rng: &mut SimRng) -> u32 {
    [0, 1, 3, 7_200, 86_400, u32::MAX][rng.below(6) as usize].max(u32::from(rng.chance(0.2)) * rng.next_u64() as u32)
}

/// An option of a router's, mostly one that could be.
fn option(rng: &mut SimRng) -> Vec<u8> {
    let net = Ipv6Addr::new(0x2001, 0xdb8, rng.below(6) as u16, rng.below(3) as u16, 0, 0, 0, 0);
    let mut o = match rng.below(7) {
        0 => prefix(net, rng.next_u64() as u8, lifetime(rng), lifetime(rng)),
        1 => [&[5, 1, 0, 0][..], &[0, 1_280, 1_400, 9_000, rng.next_u64() as u32][rng.below(5) as usize].to_be_bytes()]
            .concat(),
        2 => [&[24, 3, rng.next_u64() as u8, rng.next_u64() as u8][..], &lifetime(rng).to_be_bytes(), &net.octets()]
            .concat(),
        3 => [&[25, 3, 0, 0][..], &lifetime(rng).to_be_bytes(), &net.octets()].concat(),
        4 => {
            let name = [3, b'a', b'b', b'a' + rng.below(20) as u8, 0, 0, 0, 0];
            [&[31, 2, 0, 0][..], &lifetime(rng).to_be_bytes(), &name].concat()
        }
        5 => [&[1 + rng.below(2) as u8, 1][..], &[2, 0, 0, 0, 0, rng.next_u64() as u8]].concat(),
        _ => {
            let mut o = octets(rng, 40);
            o.resize(o.len().next_multiple_of(8).max(8), 0);
            o[1] = (o.len() / 8) as u8;
            o
        }
    };
    if rng.chance(0.1) {
        let at = rng.below(o.len() as u64) as usize;
        o[at] = rng.next_u64() as u8;
    }
    o
}

/// A message of neighbour discovery, with a good checksum.
fn discovery(rng: &mut SimRng, own: Ipv6Addr) -> Vec<u8> {
    let src = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xf0 + rng.below(12) as u16);
    let kind = [134, 134, 134, 134, 133, 135, 136, 137][rng.below(8) as usize];
    let mut rest = (rng.next_u64() as u32).to_be_bytes();
    let mut body = Vec::new();
    match kind {
        134 => {
            rest[2] = rest[2].wrapping_mul(rng.below(2) as u8);
            body.extend((rng.next_u64() as u32 >> rng.below(32)).to_be_bytes());
            body.extend((rng.next_u64() as u32 >> rng.below(32)).to_be_bytes());
        }
        135 | 136 => body.extend(if rng.chance(0.2) { own.octets() } else { src.octets() }),
        137 => [src, Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, rng.below(50) as u16)]
            .iter()
            .for_each(|ip| body.extend(ip.octets())),
        _ => {}
    }
    (0..rng.below(5)).for_each(|_| body.extend(option(rng)));
    let dst = if kind == 134 || rng.chance(0.5) { ALL_NODES } else { own };
    Ip6 { hops: 255, ..Ip6::new(src, dst, 58) }.build(&six::icmp(src, dst, kind, 0, rest, &body))
}

fn link_local(b: &Bench) -> Ipv6Addr {
    let own = b.stack.ipv6_addresses(b.iface).find_map(|(c, _)| match c.addr() {
        IpAddr::V6(ip) if ip.is_unicast_link_local() => Some(ip),
        _ => None,
    });
    own.expect("an address of the link")
}

// H012.
#[test]
fn routers_that_lie_at_random_grow_nothing_and_an_honest_one_is_believed_in_the_end() {
    for seed in 0..6 {
        let mut rng = SimRng::new(seed);
        let mut b = six::bare(|_| {});
        b.stack.autoconfigure(b.iface, Identifiers::Opaque).expect("Ethernet");
        b.stack.set_temporary_addresses(b.iface, Some(TemporaryAddresses::RFC8981)).expect("settings that can be");
        let mut dhcp = Dhcpv6Client::start(&mut b.stack, b.iface, Dhcpv6Mode::AsAdvertised).expect("a client");
        six::pass(&mut b, Duration::from_secs(3));
        let own = link_local(&b);
        for n in 0..4_000 {
            let message = discovery(&mut rng, own);
            give(&mut b, message);
            while dhcp.poll(&mut b.stack, b.now).is_some() {}
            if n % 20 == 0 {
                six::pass(&mut b, Duration::from_millis(rng.below(5_000)));
            }
            let (addresses, routes) = (b.stack.ipv6_addresses(b.iface).count(), b.stack.routes().count());
            assert!(addresses <= 8 && routes <= 24, "{seed} {n}: {addresses} {routes}");
            let (servers, domains) =
                (b.stack.advertised_dns_servers().count(), b.stack.advertised_dns_domains().count());
            assert!(servers <= 3 && domains <= 2, "{seed} {n}: {servers} {domains}");
        }
        // Lifetimes end; but for those without end, whose router says so.
        for n in 0..6u16 {
            for m in 0..3 {
                let net = Ipv6Addr::new(0x2001, 0xdb8, n, m, 0, 0, 0, 0);
                give(&mut b, router(six::R, 64, 0, &prefix(net, 0xc0, 0, 0)));
            }
        }
        for n in 0..12u16 {
            give(&mut b, router(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xf0 + n), 64, 0, &[]));
        }
        six::pass(&mut b, Duration::from_secs(3 * 86_400));
        let net = Ipv6Addr::new(0x2001, 0xdb8, 77, 0, 0, 0, 0, 0);
        let honest = [&[1, 1][..], &R_MAC, &prefix(net, 0xc0, 9_000, 8_000)].concat();
        give(&mut b, router(six::R, 64, 1_800, &honest));
        six::pass(&mut b, Duration::from_secs(20));
        let is_there = |c: &IpAddr| matches!(c, IpAddr::V6(ip) if ip.segments()[2] == 77);
        let formed = b.stack.interfaces().flat_map(|i| i.addresses.iter().map(|c| c.addr())).filter(is_there).count();
        assert!(formed >= 1, "{seed}: {:?}", b.stack.ipv6_addresses(b.iface).collect::<Vec<_>>());
        assert!(b.stack.routes().any(|r| r.gateway == Some(six::R.into())), "{seed}");
        let mut b = b.with_live_neighbors();
        b.is_well();
    }
}

/// A DHCP client, and what it said last.
struct World {
    b: Bench,
    client: DhcpClient,
    xid: [u8; 4],
    kind: u8,
    configured: usize,
}

impl World {
    fn take(&mut self, seen: &[Seen]) {
        for s in seen {
            let Seen::Udp((_, 68), (_, 67), m) = s else { continue };
            self.xid = m[4..8].try_into().expect("four");
            self.kind = m[242];
        }
    }

    /// Time passes, at the deadlines of both.
    fn pass(&mut self, time: Duration) {
        let end = self.b.now + time;
        for _ in 0..100_000 {
            let seen = self.b.poll();
            self.take(&seen);
            let mut quiet = seen.is_empty();
            while let Some(event) = self.client.poll(&mut self.b.stack, self.b.now) {
                self.configured += usize::from(event == DhcpEvent::Configured);
                quiet = false;
            }
            let next: Option<Instant> =
                [self.b.stack.next_deadline(), self.client.deadline()].into_iter().flatten().min();
            match next {
                _ if !quiet => {}
                Some(at) if at <= end => self.b.now = self.b.now.max(at),
                _ => {
                    self.b.now = end;
                    return;
                }
            }
        }
        panic!("the client spins");
    }

    fn give(&mut self, message: &[u8]) {
        let udp = packet::udp((R, 67), (Ipv4Addr::BROADCAST, 68), message);
        let ip = Ip::new(R, Ipv4Addr::BROADCAST, 17).build(&udp);
        self.b.nic.rx.push_back(packet::ethernet(ALL, R_MAC, 0x0800, &ip));
        self.pass(Duration::from_millis(1));
    }

    fn answer(&self, kind: u8, yiaddr: Ipv4Addr) -> Vec<u8> {
        let mut m = vec![0; 240];
        m[..4].copy_from_slice(&[2, 1, 6, 0]);
        m[4..8].copy_from_slice(&self.xid);
        m[16..20].copy_from_slice(&yiaddr.octets());
        m[28..34].copy_from_slice(&H_MAC);
        m[236..].copy_from_slice(&[99, 130, 83, 99]);
        m.extend([53, 1, kind, 54, 4]);
        m.extend(R.octets());
        m
    }
}

// H122.
#[test]
fn servers_that_lie_at_random_grow_nothing_and_an_honest_one_is_believed_in_the_end() {
    for seed in 0..6 {
        let mut rng = SimRng::new(seed);
        let mut b = Bench::new();
        b.stack.remove_address(b.iface, IpAddr::V4(H)).expect("there");
        let options = DhcpOptions { probing: ProbeTiming::QUICK, ..DhcpOptions::default() };
        let client = DhcpClient::start(&mut b.stack, b.now, b.iface, &options).expect("a client");
        b.resolves = true;
        let mut w = World { b, client, xid: [0; 4], kind: 0, configured: 0 };
        for n in 0..3_000 {
            let kind = [2, 2, 5, 5, 5, 6, rng.next_u64() as u8][rng.below(7) as usize];
            let ip = [H, Ipv4Addr::new(10, 0, 0, rng.next_u64() as u8), NOBODY, Ipv4Addr::from(rng.next_u64() as u32)];
            // Half of them are nearly what an honest server would say.
            let plausible = rng.chance(0.5);
            // Now this address, now that one: what is left of the other shows.
            let given = if n / 40 % 2 == 0 { H } else { Ipv4Addr::new(192, 0, 2, 77) };
            let mut m = w.answer(kind, if plausible { given } else { ip[rng.below(4) as usize] });
            if plausible {
                m.extend([1, 4, 255, 255, 255, 0, 51, 4, 0, 0, 1, rng.next_u64() as u8]);
            }
            for _ in 0..rng.below(if plausible { 2 } else { 12 }) {
                let code = [1, 3, 6, 15, 26, 28, 51, 52, 58, 59, 121, rng.next_u64() as u8][rng.below(12) as usize];
                let data = match code {
                    51 | 58 | 59 => lifetime(&mut rng).to_be_bytes().to_vec(),
                    1 if rng.chance(0.7) => vec![255, 255, 255, 0],
                    _ => octets(&mut rng, 60),
                };
                m.extend([code, data.len() as u8]);
                m.extend(data);
            }
            m.extend(rng.chance(0.9).then_some(255));
            if rng.chance(0.2) {
                let at = rng.below(m.len() as u64) as usize;
                m[at] = rng.next_u64() as u8;
            }
            w.give(&m);
            w.pass(Duration::from_millis(rng.below(if n % 10 == 0 { 70_000 } else { 1_500 })));
            let addresses: usize = w.b.stack.interfaces().map(|i| i.addresses.len()).sum();
            assert!(addresses <= 1 && w.b.stack.routes().count() <= 16, "{seed} {n}: {addresses}");
            assert!(w.b.frames_in_use() <= 8, "{seed} {n}");
        }
        assert!(w.configured > 3, "{seed}: what could be was believed: {}", w.configured);
        // What it has now is refused, or, if that is missed, ends within ten minutes.
        w.client.on_link(w.b.now, false);
        w.client.on_link(w.b.now, true);
        w.pass(Duration::from_secs(1));
        let refusal = w.answer(6, NOBODY);
        w.give(&refusal);
        let before = w.configured;
        for _ in 0..1_200 {
            w.pass(Duration::from_millis(700));
            let kind = if w.kind == 1 { 2 } else { 5 };
            let mut m = w.answer(kind, H);
            m.extend([1, 4, 255, 255, 255, 0, 51, 4, 0, 0, 14, 16, 255]);
            w.give(&m);
        }
        assert!(w.configured > before || w.client.lease().is_some_and(|l| l.address().addr() == H), "{seed}");
        assert!(
            w.b.stack.interfaces().any(|i| i.addresses.iter().any(|c| c.addr() == H)),
            "{seed}: {:?} {}",
            w.client.lease(),
            w.kind
        );
    }
}

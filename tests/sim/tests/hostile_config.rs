//! Who gives addresses and means harm: thousands of garbled and lying DHCP messages and router advertisements, after which
//! honest ones are followed as before.

use ringtap::dhcp::v4::{DhcpClient, DhcpOptions, DhcpServer, DhcpServerOptions, MAX_LEASES};
use ringtap::dhcp::v6::{Dhcpv6Client, Dhcpv6Mode};
use ringtap::sockets::UdpOptions;
use ringtap::stack::{AddressState, Identifiers, MAX_ADDRESSES, Stack};
use ringtap::time::{Duration, Instant};
use ringtap_sim::Bench;
use ringtap_sim::bench::{H, H_MAC, P, P_MAC, R, R_MAC};
use ringtap_sim::hostile::{Client, Victim, mangle, udp_frame, udp_frame_v6, udp_to};
use ringtap_sim::packet::{self, Seen};
use ringtap_sim::six::{self, Ip6, P_LL};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How many messages a run has; RINGTAP_HOSTILE makes it more.
fn rounds(usual: usize) -> usize {
    std::env::var("RINGTAP_HOSTILE").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

fn addresses(stack: &Stack<'static>) -> usize {
    stack.interfaces().map(|i| i.addresses.len()).sum()
}

struct Four(Option<DhcpClient>);

impl Client for Four {
    fn poll(&mut self, stack: &mut Stack<'static>, now: Instant) -> bool {
        self.0.as_mut().is_some_and(|c| c.poll(stack, now).is_some())
    }

    fn deadline(&self) -> Option<Instant> {
        self.0.as_ref().and_then(DhcpClient::deadline)
    }
}

/// A server's answer to `asked`, honest but for what `more` says.
fn answer(asked: &[u8], kind: u8, yiaddr: Ipv4Addr, more: &[u8]) -> Vec<u8> {
    let mut m = vec![0; 240];
    m[..4].copy_from_slice(&[2, 1, 6, 0]);
    m[4..8].copy_from_slice(&asked[4..8]);
    m[16..20].copy_from_slice(&yiaddr.octets());
    m[28..34].copy_from_slice(&H_MAC);
    m[236..].copy_from_slice(&[99, 130, 83, 99]);
    m.extend([53, 1, kind, 54, 4, 192, 0, 2, 254, 51, 4, 0, 0, 0, 120, 1, 4, 255, 255, 255, 0]);
    m.extend(more);
    m.push(255);
    m
}

#[test]
fn thousands_of_lying_dhcp_servers_messages_fill_no_table_and_an_honest_lease_is_had_after_them() {
    let mut b = Bench::new();
    b.stack.remove_address(b.iface, IpAddr::V4(H)).expect("there");
    let routes: Vec<_> = b.stack.routes().copied().collect();
    routes.iter().for_each(|r| b.stack.remove_route(r).expect("there"));
    b.resolves = true;
    let start = |b: &mut Bench| DhcpClient::start(&mut b.stack, b.now, b.iface, &DhcpOptions::default());
    let client = Four(Some(start(&mut b).expect("a client")));
    let mut v = Victim::new(b, client, 3);
    let asked = |sent: &[Vec<u8>]| sent.iter().rev().find_map(|f| udp_to(f, 67)).map(|(_, m)| m);
    let mut last = asked(&v.pass(15_000)).expect("a DISCOVER");
    let (mut leases, mut lost) = (0, 0);
    for n in 0..rounds(20_000) {
        let many: Vec<u8> = (0..25).flat_map(|n| [24, 10, 0, n, 192, 0, 2, 254]).collect();
        let more = match v.rng.below(5) {
            0 => vec![3, 8, 192, 0, 2, 254, 192, 0, 2, 253, 6, 4, 9, 9, 9, 9],
            1 => [&[121, many.len() as u8][..], &many].concat(),
            2 => [&[6, 200][..], &[8; 200], &[15, 4], b"home", &[26, 2, 2, 64]].concat(),
            3 => vec![52, 1, 3, 58, 4, 0, 0, 0, 1, 59, 4, 0, 0, 0, 2],
            _ => vec![33, 8, 10, 0, 0, 1, 192, 0, 2, 254],
        };
        let kind = [2, 5, 5, 2, 6][v.rng.below(5) as usize];
        let yiaddr = [H, P, Ipv4Addr::from(v.rng.next_u64() as u32), H][v.rng.below(4) as usize];
        let mut m = answer(&last, kind, yiaddr, &more);
        let honest_head = m[..240].to_vec();
        mangle(&mut m, &mut v.rng);
        if v.rng.chance(0.8) && m.len() >= 240 {
            m[..8].copy_from_slice(&honest_head[..8]);
            m[28..34].copy_from_slice(&H_MAC);
            m[236..240].copy_from_slice(&honest_head[236..]);
        }
        let mut sent = v.give(udp_frame((R, 67), (Ipv4Addr::BROADCAST, 68), &m));
        let long = if n % 64 == 0 { 20_000 } else { 200 };
        sent.extend(v.pass(v.rng.clone().below(long)));
        last = asked(&sent).unwrap_or(last);
        let has = v.client.0.as_ref().and_then(DhcpClient::lease);
        assert!(has.is_none_or(|l| l.dns().len() <= 4 && l.routes().len() <= 8));
        leases += usize::from(has.is_some());
        lost += usize::from(has.is_none());
        assert!(addresses(&v.b.stack) <= 1 && v.b.stack.routes().count() <= 10, "{}", v.b.stack.routes().count());
    }
    assert!(leases > 100 && lost > 100, "lies are believed and end: {leases} {lost}");
    v.is_bounded(3, 5_000);
    v.client.0.take().expect("there").close(&mut v.b.stack);
    v.pass(10_000);
    assert_eq!((addresses(&v.b.stack), v.b.stack.routes().count()), (0, 0), "nothing is left of them");
    v.client.0 = Some(start(&mut v.b).expect("a client"));
    for kind in [2, 5] {
        let last = (0..200).find_map(|_| asked(&v.pass(100))).expect("it asks");
        v.give(udp_frame((R, 67), (Ipv4Addr::BROADCAST, 68), &answer(&last, kind, H, &[3, 4, 192, 0, 2, 254])));
    }
    v.pass(8_000);
    let lease = v.client.0.as_ref().and_then(DhcpClient::lease).expect("a lease");
    assert_eq!(lease.address().addr(), IpAddr::V4(H));
    v.b.pass(Duration::from_secs(2));
    v.b.is_well();
}

struct Six(Option<Dhcpv6Client>);

impl Client for Six {
    fn poll(&mut self, stack: &mut Stack<'static>, now: Instant) -> bool {
        self.0.as_mut().is_some_and(|c| c.poll(stack, now).is_some())
    }

    fn deadline(&self) -> Option<Instant> {
        self.0.as_ref().and_then(Dhcpv6Client::deadline)
    }
}

const LEASED: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x77);

fn option(code: u16, data: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes()[..], &(data.len() as u16).to_be_bytes(), data].concat()
}

fn leased(ip: Ipv6Addr, secs: u32) -> Vec<u8> {
    option(5, &[&ip.octets()[..], &secs.to_be_bytes(), &secs.to_be_bytes()].concat())
}

/// An answer to what the client has asked, and its source address.
fn answer6(asked: &[u8], kind: u8, inner: &[u8], more: &[u8]) -> Vec<u8> {
    let client = option(1, &[&[0, 3, 0, 1][..], &H_MAC].concat());
    let ia = option(3, &[&H_MAC[2..], &[0; 8], inner].concat());
    let server = option(2, &[0, 3, 0, 1, 2, 0, 0, 0, 0, 0xfe]);
    [&[kind][..], &asked[1..4], &client, &server, &ia, &option(7, &[255]), more].concat()
}

/// What H has sent to DHCPv6 servers, and from where.
fn asked6(sent: &[Vec<u8>]) -> Option<(Ipv6Addr, Vec<u8>)> {
    let of = |f: &Vec<u8>| six::read(f).filter(|s| s.next == 17 && s.payload[2..4] == [2, 35]);
    sent.iter().rev().find_map(of).map(|s| (s.src, s.payload[8..].to_vec()))
}

#[test]
fn thousands_of_lying_dhcpv6_servers_messages_fill_no_table_and_an_honest_lease_is_had_after_them() {
    let mut b = six::bare(|_| {});
    b.stack.autoconfigure(b.iface, Identifiers::Opaque).expect("Ethernet");
    let client = Dhcpv6Client::start(&mut b.stack, b.iface, Dhcpv6Mode::Stateful).expect("a client");
    let mut v = Victim::new(b, Six(Some(client)), 4);
    let (mut src, mut last) = asked6(&v.pass(15_000)).expect("a SOLICIT");
    let (mut leases, mut lost) = (0, 0);
    for n in 0..rounds(20_000) {
        let many: Vec<u8> = (0..20).flat_map(|n| leased(Ipv6Addr::from(LEASED.to_bits() + n), 100)).collect();
        let inner = match v.rng.below(5) {
            0 => leased(LEASED, 40),
            1 => many,
            2 => option(13, &[0, v.rng.clone().below(8) as u8]),
            3 => [leased(LEASED, 0), leased(Ipv6Addr::from(u128::from(v.rng.next_u64()) << 64 | 9), 50)].concat(),
            _ => leased(LEASED, u32::MAX),
        };
        let more = match v.rng.below(4) {
            0 => option(23, &[0xfd; 160]),
            1 => option(24, b"\x04home\x03net\0"),
            2 => option(82, &[0, 0, 0, 1]),
            _ => option(13, &[0, v.rng.clone().below(8) as u8]),
        };
        let kind = if last[0] == 1 { [2, 2, 7][v.rng.below(3) as usize] } else { [7, 7, 2][v.rng.below(3) as usize] };
        let mut m = answer6(&last, kind, &inner, &more);
        let head = m[..4].to_vec();
        mangle(&mut m, &mut v.rng);
        if v.rng.chance(0.8) && m.len() >= 4 {
            m[..4].copy_from_slice(&head);
        }
        let mut sent = v.give(udp_frame_v6((six::R, 547), (src, 546), &m));
        let long = if n % 64 == 0 { 200_000 } else { 300 };
        sent.extend(v.pass(v.rng.clone().below(long)));
        (src, last) = asked6(&sent).unwrap_or((src, last));
        let has = v.client.0.as_ref().and_then(Dhcpv6Client::lease);
        assert!(has.is_none_or(|l| l.dns().len() <= 4 && l.addresses().len() <= 2));
        leases += usize::from(has.is_some());
        lost += usize::from(has.is_none());
        assert!(v.b.stack.ipv6_addresses(v.b.iface).count() <= 5 && v.b.stack.routes().count() <= 8);
    }
    assert!(leases > 100 && lost > 100, "lies are believed and end: {leases} {lost}");
    v.is_bounded(3, 10_000);
    v.client.0.take().expect("there").close(&mut v.b.stack);
    v.pass(10_000);
    assert_eq!(v.b.stack.ipv6_addresses(v.b.iface).count(), 1, "the link-local one alone is left");
    let (stack, iface) = (&mut v.b.stack, v.b.iface);
    v.client.0 = Some(Dhcpv6Client::start(stack, iface, Dhcpv6Mode::Stateful).expect("a client"));
    for kind in [2, 7] {
        let (src, asked) = (0..200).find_map(|_| asked6(&v.pass(100))).expect("it asks");
        v.give(udp_frame_v6((six::R, 547), (src, 546), &answer6(&asked, kind, &leased(LEASED, 900), &[])));
    }
    v.pass(3_000);
    let state = v.b.stack.ipv6_addresses(v.b.iface).find(|(c, _)| c.addr() == IpAddr::V6(LEASED));
    assert_eq!(state.map(|s| s.1), Some(AddressState::Preferred));
    assert_eq!(v.b.frames_in_use(), 0);
}

struct Serving(DhcpServer);

impl Client for Serving {
    fn poll(&mut self, stack: &mut Stack<'static>, now: Instant) -> bool {
        self.0.poll(stack, now);
        false
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }
}

#[test]
fn thousands_of_lying_dhcp_clients_messages_cost_a_bounded_table_and_honest_clients_are_served_after_them() {
    let mut b = Bench::new().with_live_neighbors();
    let options = DhcpServerOptions {
        first: Ipv4Addr::new(192, 0, 2, 50),
        count: MAX_LEASES as u8,
        lease: Duration::from_secs(600),
        router: Some(R),
        dns: &[],
    };
    let server = DhcpServer::start(&mut b.stack, b.iface, &options).expect("a server");
    let mut v = Victim::new(b, Serving(server), 5);
    let ask = |kind: u8, n: u8, more: &[u8]| {
        let mut m = vec![0; 240];
        m[..8].copy_from_slice(&[1, 1, 6, 0, 1, 2, 3, n]);
        m[28..34].copy_from_slice(&[2, 0, 0, 0, 1, n]);
        m[236..].copy_from_slice(&[99, 130, 83, 99]);
        m.extend([53, 1, kind]);
        m.extend(more);
        m.push(255);
        m
    };
    for n in 0..rounds(20_000) {
        let (who, wanted) = (v.rng.below(60) as u8, 45 + v.rng.below(30) as u8);
        let taking = [54, 4, 192, 0, 2, 1, 50, 4, 192, 0, 2, wanted];
        let kind = [1, 3, 3, 4, 7, 8][v.rng.below(6) as usize];
        let mut m = ask(kind, who, if v.rng.chance(0.6) { &taking } else { &taking[6..] });
        let from = if kind == 7 { Ipv4Addr::new(192, 0, 2, wanted) } else { Ipv4Addr::UNSPECIFIED };
        m[12..16].copy_from_slice(&from.octets());
        if v.rng.chance(0.8) {
            mangle(&mut m, &mut v.rng);
        }
        let to = if from.is_unspecified() { Ipv4Addr::BROADCAST } else { H };
        v.give(udp_frame((from, 68), (to, 67), &m));
        let long = if n % 64 == 0 { 20_000 } else { 100 };
        v.pass(v.rng.clone().below(long));
        assert!(v.client.0.leases(v.b.now).count() <= MAX_LEASES);
    }
    v.is_bounded(2, 1_000);
    // What lies have taken or refused comes back.
    v.pass(7_200_000);
    assert_eq!(v.client.0.leases(v.b.now).count(), 0);
    let told = |sent: &[Vec<u8>]| sent.iter().find_map(|f| udp_to(f, 68)).map(|(_, m)| m);
    let offer = told(&v.give(udp_frame((Ipv4Addr::UNSPECIFIED, 68), (Ipv4Addr::BROADCAST, 67), &ask(1, 9, &[]))));
    let offer = offer.expect("an offer");
    let taking = [&[54, 4, 192, 0, 2, 1, 50, 4][..], &offer[16..20]].concat();
    let ack = told(&v.give(udp_frame((Ipv4Addr::UNSPECIFIED, 68), (Ipv4Addr::BROADCAST, 67), &ask(3, 9, &taking))));
    assert_eq!(ack.expect("an answer")[240..243], [53, 1, 5]);
    assert_eq!(v.client.0.leases(v.b.now).count(), 1);
    v.b.pass(Duration::from_secs(2));
    v.b.is_well();
}

struct Nobody;

impl Client for Nobody {
    fn poll(&mut self, _: &mut Stack<'static>, _: Instant) -> bool {
        false
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }
}

const NET: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 0);
const FAR: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 9);

/// The honest router's word.
fn honest() -> Vec<u8> {
    let options = [&[1, 1][..], &R_MAC, &six::prefix(NET, 0xc0, 86_400, 14_400)].concat();
    let packet = six::router(six::R, 64, 1_800, &options);
    packet::ethernet(six::group_mac(six::ALL_NODES), R_MAC, 0x86dd, &packet)
}

/// The address of NET.
fn formed(b: &Bench) -> Option<(Ipv6Addr, AddressState)> {
    let mut all = b.stack.ipv6_addresses(b.iface).filter_map(|(cidr, state)| match cidr.addr() {
        IpAddr::V6(ip) => Some((ip, state)),
        IpAddr::V4(_) => None,
    });
    all.find(|(ip, _)| ip.segments()[..4] == NET.segments()[..4])
}

/// A garbled or lying message of neighbour discovery; `own` is an address of H.
fn lie(v: &mut Victim<Nobody>, own: Ipv6Addr) -> Vec<u8> {
    let rng = &mut v.rng;
    let net = Ipv6Addr::new(0x2001, 0xdb8, 7 + rng.below(3) as u16, rng.below(40) as u16, 0, 0, 0, 0);
    let host = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2 + rng.below(300) as u16);
    let router_options = [
        &[1, 1][..],
        &P_MAC,
        &six::prefix(net, 0xc0, rng.below(10_000) as u32, rng.below(10_000) as u32),
        &[5, 1, 0, 0, 0, 0, 5, 0x78],
        &[24, 2, 48, 0, 0, 0, 2, 88, 0x20, 1, 0xd, 0xb8, 0, 3, 0, 0],
        &[25, 3, 0, 0, 0, 0, 2, 88],
        &net.octets(),
        &[31, 2, 0, 0, 0, 0, 2, 88, 4, b'h', b'o', b'm', b'e', 0, 0, 0],
    ]
    .concat();
    let router = [&[0; 8][..], &router_options].concat();
    let target = if rng.chance(0.3) { own } else { host };
    let (kind, flags, body, dst) = match rng.below(6) {
        0 | 1 => (134u8, [64, 0, 7, 8], router, six::ALL_NODES),
        2 => (135, [0; 4], [&target.octets()[..], &[1, 1], &P_MAC].concat(), own),
        3 => (136, [0x60, 0, 0, 0], [&target.octets()[..], &[2, 1], &P_MAC].concat(), own),
        4 => (137, [0; 4], [&host.octets()[..], &FAR.octets(), &[2, 1], &P_MAC].concat(), own),
        _ => (133, [0; 4], [&[1, 1][..], &P_MAC].concat(), own),
    };
    let mut rest = [&flags[..], &body].concat();
    if rng.chance(0.85) {
        mangle(&mut rest, rng);
    }
    rest.resize(rest.len().max(4), 0);
    let src = [six::R, P_LL, host][rng.below(3) as usize];
    let head: [u8; 4] = rest[..4].try_into().expect("four");
    let message = six::icmp(src, dst, kind, u8::from(rng.chance(0.02)), head, &rest[4..]);
    let packet = Ip6 { hops: if rng.chance(0.98) { 255 } else { 254 }, ..Ip6::new(src, dst, 58) }.build(&message);
    let mac = if dst.is_multicast() { six::group_mac(dst) } else { H_MAC };
    packet::ethernet(mac, P_MAC, 0x86dd, &packet)
}

#[test]
fn thousands_of_lying_routers_and_neighbours_messages_fill_no_table_and_honest_ones_are_followed_after_them() {
    let mut b = six::bare(|_| {});
    b.stack.autoconfigure(b.iface, Identifiers::Opaque).expect("Ethernet");
    let mut v = Victim::new(b, Nobody, 6);
    v.pass(3_000);
    v.give(honest());
    v.pass(3_000);
    let (own, state) = formed(&v.b).expect("an address");
    assert_eq!(state, AddressState::Preferred);
    for n in 0..rounds(30_000) {
        let frame = lie(&mut v, own);
        v.give(frame);
        if n % 4 == 0 {
            v.pass(v.rng.clone().below(200));
        }
        if n % 500 == 0 {
            v.give(honest());
        }
        assert!(v.b.stack.ipv6_addresses(v.b.iface).count() <= MAX_ADDRESSES + 4);
        assert!(v.b.stack.routes().count() <= 30 && v.b.stack.advertised_dns_servers().count() <= 3);
        assert!(v.b.stack.neighbors().count() <= 1_024);
    }
    v.is_bounded(2, 2_000);
    // The honest router goes on; what was said of others ends.
    for _ in 0..200 {
        v.give(honest());
        v.pass(600_000);
    }
    v.give(honest());
    v.pass(5_000);
    assert_eq!(formed(&v.b), Some((own, AddressState::Preferred)), "the address was kept");
    let udp = v.b.stack.udp_bind(None, 0, &UdpOptions::default()).expect("a port");
    v.b.stack.udp(udp).expect("open").send_to(b"text", SocketAddr::new(IpAddr::V6(FAR), 9)).expect("a way");
    let sent: Vec<_> = v.pass(10).iter().filter_map(|f| six::read(f)).collect();
    assert!(sent.iter().any(|s| s.next == 17 && s.src == own && s.mac == R_MAC), "{sent:?}");
    // IPv4 has seen nothing of all this.
    let ping = packet::icmp(8, 0, [0, 7, 0, 9], b"are you well?");
    let mut b = v.b.with_neighbors();
    let seen = b.give_ip(&packet::Ip::new(P, H, 1), &ping);
    assert!(matches!(&seen[..], [Seen::Icmp(H, P, 0, 0, ..)]), "{seen:?}");
}

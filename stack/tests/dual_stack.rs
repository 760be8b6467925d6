//! A host of both families that a network configures: addresses from a router's advertisement and from a DHCP server, a name
//! looked up, a connection by IPv6. Runs with every feature set that has the parts, the small ones above all.
//!
//! The network is a second stack, with static addresses, a DHCP server and a name server of a few lines; the router's
//! advertisements are octets.
#![cfg(all(
    feature = "alloc",
    feature = "tcp",
    feature = "icmp",
    feature = "ipv6",
    feature = "dhcpv4",
    feature = "dhcpv4-server",
    feature = "dns"
))]

use ringtap::config::Config;
use ringtap::device::{Capabilities, Device, Mac, Medium, RxMeta, TxMeta};
use ringtap::dhcp::v4::{DhcpClient, DhcpEvent, DhcpOptions, DhcpServer, DhcpServerOptions};
use ringtap::dns::{RecordKind, Resolver};
use ringtap::frame::{Frame, Pool, PoolMemory};
use ringtap::ip::addr::Cidr;
use ringtap::rng::Secret;
use ringtap::sockets::{UdpHandle, UdpOptions};
use ringtap::stack::{AddressState, Identifiers, IfaceId, Stack, StaticStorage};
use ringtap::tcp::{ConnectOptions, ListenOptions, ListenerHandle, TcpOptions};
use ringtap::time::{Duration, Instant};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::task::Waker;

const HOST: Mac = Mac([2, 0, 0, 0, 0, 1]);
const ROUTER: Mac = Mac([2, 0, 0, 0, 0, 9]);
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9);
/// An address of the router's under the prefix that it advertises, and one beyond the link.
const NEAR: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 9);
const FAR: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0x53);
const ROUTER_V4: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 1);
const TICK: Duration = Duration::from_millis(10);

type Wire = Rc<RefCell<VecDeque<Vec<u8>>>>;

/// An end of a cable.
struct End {
    pool: Pool<'static>,
    comes: Wire,
    leaves: Wire,
}

impl Device<'static> for End {
    fn capabilities(&self) -> Capabilities {
        Capabilities::plain(Medium::Ethernet, 1500)
    }

    fn pool(&self) -> Pool<'static> {
        self.pool
    }

    fn receive(&mut self) -> Option<(Frame<'static>, RxMeta)> {
        let octets = self.comes.borrow_mut().pop_front()?;
        let mut frame = self.pool.take(0)?;
        frame.extend(&octets)?;
        Some((frame, RxMeta::default()))
    }

    fn transmit(&mut self, frame: Frame<'static>, _: TxMeta) -> Result<(), Frame<'static>> {
        self.leaves.borrow_mut().push_back(frame.to_vec());
        Ok(())
    }

    fn register_waker(&mut self, _: &Waker) {}
}

/// A stack at an end of the cable.
struct Node {
    stack: Stack<'static>,
    end: End,
    iface: IfaceId,
}

impl Node {
    fn new(mac: Mac, comes: &Wire, leaves: &Wire, config: Config<'static>) -> Self {
        let pool = Box::leak(Box::new(PoolMemory::<1536, 16>::new())).pool();
        let end = End { pool, comes: comes.clone(), leaves: leaves.clone() };
        let storage = Box::leak(Box::new(StaticStorage::<'static, 4, 4, 2048, 2048, 32>::new()));
        let mut stack = Stack::new(config, storage);
        let iface = stack.add_interface(&end, mac).expect("an interface");
        Self { stack, end, iface }
    }

    fn poll(&mut self, now: Instant) {
        let _ = self.stack.poll(now, self.iface, &mut self.end, 16);
    }

    fn addresses(&self) -> Vec<IpAddr> {
        self.stack.interfaces().flat_map(|i| i.addresses.iter().map(Cidr::addr)).collect()
    }
}

/// A host, and the router of its link, which serves everything.
struct World {
    now: Instant,
    host: Node,
    router: Node,
    server: DhcpServer,
    names: UdpHandle,
    echo: ListenerHandle,
    /// What has come to the host's wire since it was looked at last.
    seen: Vec<Vec<u8>>,
}

impl World {
    fn new() -> Self {
        let wires: [Wire; 2] = Default::default();
        let host = Node::new(HOST, &wires[0], &wires[1], Config::new(Secret::new([1; 16])));
        let mut config = Config::new(Secret::new([2; 16]));
        config.dad_transmits = 0;
        let mut router = Node::new(ROUTER, &wires[1], &wires[0], config);
        for (addr, len) in [(IpAddr::V4(ROUTER_V4), 24), (LINK_LOCAL.into(), 64), (NEAR.into(), 64), (FAR.into(), 64)] {
            router.stack.add_address(router.iface, Cidr::new(addr, len).expect("a prefix")).expect("room");
        }
        let options = DhcpServerOptions {
            first: Ipv4Addr::new(10, 7, 0, 100),
            count: 8,
            lease: Duration::from_secs(600),
            router: Some(ROUTER_V4),
            dns: &[ROUTER_V4],
        };
        let server = DhcpServer::start(&mut router.stack, router.iface, &options).expect("a server");
        let names = router.stack.udp_bind(None, 53, &UdpOptions::default()).expect("a socket");
        let tcp = TcpOptions { rx_buffer: 1024, tx_buffer: 1024, ..TcpOptions::default() };
        let echo = router.stack.tcp_listen(None, 7, &ListenOptions { backlog: 1, tcp }).expect("a listener");
        Self { now: Instant::from_secs(100), host, router, server, names, echo, seen: Vec::new() }
    }

    /// Ten milliseconds pass.
    fn tick(&mut self) {
        self.now += TICK;
        self.router.poll(self.now);
        self.server.poll(&mut self.router.stack, self.now);
        self.answer_names();
        self.router.poll(self.now);
        self.host.poll(self.now);
        self.seen.extend(self.router.end.comes.borrow().iter().cloned());
    }

    /// Every name has 192.0.2.1 and 2001:db8:ffff::53.
    fn answer_names(&mut self) {
        let Ok(mut socket) = self.router.stack.udp(self.names) else { return };
        let Ok((question, received)) = socket.recv() else { return };
        let mut answer = question.to_vec();
        (answer[2], answer[3], answer[7]) = (0x81, 0x80, 1);
        let kind = answer[answer.len() - 3];
        answer.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0]);
        match kind {
            1 => answer.extend([4, 192, 0, 2, 1]),
            _ => answer.extend([&[16][..], &FAR.octets()].concat()),
        }
        socket.reply(&received, &answer).expect("room");
    }

    /// The router advertises itself and 2001:db8:1::/64 with this lifetime in seconds.
    fn advertise(&mut self, lifetime: u16) {
        let mut message = vec![134, 0, 0, 0, 61, 0];
        message.extend(lifetime.to_be_bytes());
        message.extend([0; 8]);
        message.extend([1, 1, 2, 0, 0, 0, 0, 9]);
        message.extend([3, 4, 64, 0xc0, 0, 0, 0x0e, 0x10, 0, 0, 0x0e, 0x10, 0, 0, 0, 0]);
        message.extend("2001:db8:1::".parse::<Ipv6Addr>().expect("valid text").octets());
        let all = "ff02::1".parse::<Ipv6Addr>().expect("valid text");
        self.send_as_router(LINK_LOCAL, all, [0x33, 0x33, 0, 0, 0, 1], message);
    }

    /// An ICMPv6 message from the router, whose checksum is made here.
    fn send_as_router(&mut self, from: Ipv6Addr, to: Ipv6Addr, mac: [u8; 6], mut message: Vec<u8>) {
        let len = (message.len() as u16).to_be_bytes();
        let sum =
            |octets: &[u8]| octets.chunks(2).map(|c| u32::from(c[0]) << 8 | c.get(1).map_or(0, |&b| b.into())).sum();
        let parts: [&[u8]; 4] = [&from.octets(), &to.octets(), &[0, 0, len[0], len[1], 0, 0, 0, 58], &message];
        let mut total: u32 = parts.iter().map(|part| -> u32 { sum(part) }).sum();
        while total > 0xffff {
            total = (total & 0xffff) + (total >> 16);
        }
        message[2..4].copy_from_slice(&(!total as u16).to_be_bytes());
        let mut frame = [&mac[..], &ROUTER.0, &[0x86, 0xdd, 0x60, 0, 0, 0, len[0], len[1], 58, 255]].concat();
        frame.extend(from.octets().iter().chain(&to.octets()).chain(&message));
        self.host.end.comes.borrow_mut().push_back(frame);
    }

    /// Time passes until something is so; whether it was, within so many seconds.
    fn until(&mut self, seconds: u64, mut is_so: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + Duration::from_secs(seconds);
        while self.now < end {
            self.tick();
            if is_so(self) {
                return true;
            }
        }
        false
    }

    /// The host has an address by the router's advertisement.
    fn configured() -> (Self, Ipv6Addr) {
        let mut world = Self::new();
        world.host.stack.autoconfigure(world.host.iface, Identifiers::Opaque).expect("an interface with a MAC address");
        let is_solicit = |frame: &Vec<u8>| frame.get(54) == Some(&133) && frame[0] == 0x33;
        assert!(world.until(5, |w| w.seen.iter().any(is_solicit)), "routers are asked for");
        world.advertise(1_800);
        let global = |addr: &IpAddr| matches!(addr, IpAddr::V6(a) if a.segments()[..3] == [0x2001, 0xdb8, 1]);
        assert!(world.until(5, |w| w.host.addresses().iter().any(global)), "an address is formed, tried and assigned");
        let Some(IpAddr::V6(addr)) = world.host.addresses().into_iter().find(global) else { panic!("an address") };
        (world, addr)
    }

    /// Text goes to the far address by TCP and comes back; whether it did, and from which address.
    fn echo(&mut self) -> Option<IpAddr> {
        let tcp = TcpOptions { rx_buffer: 1024, tx_buffer: 1024, ..TcpOptions::default() };
        let options = ConnectOptions { tcp, ..ConnectOptions::default() };
        let handle = self.host.stack.tcp_connect(SocketAddr::new(FAR.into(), 7), &options).ok()?;
        let (listener, mut accepted, mut sent) = (self.echo, None, false);
        let back = self.until(5, |w| {
            accepted = accepted.or_else(|| w.router.stack.tcp_accept(listener).ok());
            let mut text = [0; 8];
            if let Some((peer, _)) = accepted
                && let Ok(mut socket) = w.router.stack.tcp(peer)
                && let Ok(len) = socket.read(&mut text)
            {
                socket.write(&text[..len]).expect("room");
            }
            let Ok(mut socket) = w.host.stack.tcp(handle) else { return false };
            sent |= socket.write(if sent { b"" } else { b"hello" }).is_ok_and(|len| len > 0);
            socket.read(&mut text).is_ok_and(|len| &text[..len] == b"hello")
        });
        let from = self.host.stack.tcp(handle).ok()?.local_addr()?.ip();
        self.host.stack.tcp(handle).ok()?.abort();
        back.then_some(from)
    }
}

#[test]
fn a_router_and_a_dhcp_server_give_addresses_that_names_and_connections_go_by() {
    let (mut world, addr) = World::configured();
    assert_eq!(world.echo(), Some(IpAddr::V6(addr)), "beyond the link, by the router");

    let (now, iface) = (world.now, world.host.iface);
    let mut client = DhcpClient::start(&mut world.host.stack, now, iface, &DhcpOptions::default()).expect("a client");
    assert!(world.until(15, |w| client.poll(&mut w.host.stack, w.now) == Some(DhcpEvent::Configured)), "a lease");
    let lease = client.lease().expect("there is one").clone();
    assert_eq!((lease.address().to_string().as_str(), lease.dns()), ("10.7.0.100/24", &[ROUTER_V4][..]));

    let mut resolver = Resolver::new(&mut world.host.stack);
    resolver.set_servers(&[IpAddr::V4(lease.dns()[0])]);
    for (kind, expected) in [(RecordKind::A, "192.0.2.1"), (RecordKind::Aaaa, "2001:db8:ffff::53")] {
        let query = resolver.query(world.now, "host.example", kind).expect("a name");
        let mut found = None;
        assert!(world.until(5, |w| {
            resolver.poll(&mut w.host.stack, w.now);
            found = resolver.take(query);
            found.is_some()
        }));
        let addresses = found.expect("taken").expect("addresses");
        assert_eq!(addresses[..], [expected.parse::<IpAddr>().expect("valid text")]);
    }
    // By the gateway of the lease, which answers for every address.
    let socket = world.host.stack.udp_bind(None, 5_000, &UdpOptions::default()).expect("a socket");
    world.seen.clear();
    let far = SocketAddr::from(([192, 0, 2, 1], 9));
    world.host.stack.udp(socket).expect("bound").send_to(b"x", far).expect("a route");
    let is_it = |frame: &Vec<u8>| frame[..6] == ROUTER.0 && frame[12..14] == [8, 0] && frame[30..34] == [192, 0, 2, 1];
    assert!(world.until(1, |w| w.seen.iter().any(is_it)));
    client.close(&mut world.host.stack);
    assert!(world.host.addresses().iter().all(IpAddr::is_ipv6), "the lease's address is gone");
    assert!(world.host.stack.udp(socket).expect("bound").send_to(b"x", far).is_err(), "and its gateway");
}

#[test]
fn a_router_that_is_none_any_more_is_not_used_and_neighbours_still_are() {
    let (mut world, addr) = World::configured();
    assert!(world.echo().is_some());
    world.advertise(0);
    world.tick();
    assert_eq!(world.echo(), None, "no router, no way");
    // The prefix is on the link still: a neighbour there is solicited for.
    let socket = world.host.stack.udp_bind(None, 5_000, &UdpOptions::default()).expect("a socket");
    let neighbor = Ipv6Addr::from_bits(addr.to_bits() ^ 1);
    world.seen.clear();
    world.host.stack.udp(socket).expect("bound").send_to(b"x", SocketAddr::new(neighbor.into(), 9)).expect("a way");
    let asked = |frame: &Vec<u8>| frame.get(54) == Some(&135) && frame.get(62..78) == Some(&neighbor.octets());
    assert!(world.until(1, |w| w.seen.iter().any(asked)));
    world.advertise(1_800);
    world.tick();
    assert!(world.echo().is_some(), "a router again");
}

/// RFC 4862 §5.4; H010.
#[test]
fn an_address_that_another_has_is_not_used() {
    let mut world = World::new();
    let (iface, taken) = (world.host.iface, LINK_LOCAL);
    world.host.stack.add_address(iface, Cidr::new(taken.into(), 64).expect("a prefix")).expect("room");
    world.until(3, |_| false);
    let states: Vec<_> = world.host.stack.ipv6_addresses(iface).map(|(cidr, state)| (cidr.addr(), state)).collect();
    assert_eq!(states, [(IpAddr::V6(taken), AddressState::Duplicate)]);
    assert!(world.host.addresses().is_empty());
}

/// RFC 8201 §4, RFC 8200 §5: connections learn what a path takes; of datagrams beyond the link none is longer than every path
/// takes, or than an error has said.
#[cfg(feature = "reassembly")]
#[test]
fn what_a_path_does_not_take_is_not_sent_whole() {
    let (mut world, addr) = World::configured();
    assert!(world.echo().is_some());
    let socket = world.host.stack.udp_bind(None, 5_000, &UdpOptions::default()).expect("a socket");
    let longest = |w: &mut World| {
        w.seen.clear();
        w.host.stack.udp(socket).expect("bound").send_to(&[7; 1_400], SocketAddr::new(FAR.into(), 9)).expect("room");
        w.until(1, |_| false);
        let sent = w.seen.iter().filter(|f| f[12..14] == [0x86, 0xdd] && matches!(f[20], 17 | 44));
        sent.map(|frame| frame.len() - 14).max()
    };
    let first = longest(&mut world);
    assert_eq!(first, Some(if cfg!(feature = "icmp-errors") { 1_448 } else { 1_280 }));
    let quoted: Vec<u8> =
        world.seen.iter().find(|f| f[12..14] == [0x86, 0xdd] && f[20] == 17 || f[20] == 44).expect("one")[14..]
            .iter()
            .copied()
            .take(200)
            .collect();
    world.send_as_router(LINK_LOCAL, addr, HOST.0, [&[2, 0, 0, 0, 0, 0, 5, 0][..], &quoted].concat());
    assert_eq!(longest(&mut world), Some(1_280));
}

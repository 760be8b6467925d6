//! A listener under a flood of SYNs, with honest clients among them, in virtual time.

use ringtap::stack::Stack;
use ringtap::tcp::{ConnectOptions, ListenOptions, ListenerHandle, State, TcpHandle, TcpOptions};
use ringtap::time::{Duration, Instant};
use ringtap_sim::packet::{self, Ip, SYN, Tcp};
use ringtap_sim::{App, Host, Impairments, Sim, SimRng};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const PORT: u16 = 80;
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 254);
const ROUTER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 254];
const CLIENTS: usize = 100;
/// SYNs per millisecond: 50,000 a second.
const FLOOD: u32 = 50;
const SECONDS: u64 = 5;

fn options() -> TcpOptions {
    TcpOptions { rx_buffer: 200_000, ..TcpOptions::default() }
}

/// One client: when it calls, and how it went.
struct Call {
    at: Instant,
    handle: Option<TcpHandle>,
    connected: Option<Instant>,
    answered: bool,
}

/// Clients that each say one thing and want it back.
struct Crowd {
    server: SocketAddr,
    calls: Vec<Call>,
    scales: Vec<(u8, u8)>,
}

impl App for Crowd {
    fn run(&mut self, now: Instant, stack: &mut Stack<'static>) -> bool {
        let mut acted = false;
        for (n, call) in self.calls.iter_mut().enumerate().filter(|(_, c)| c.at <= now && !c.answered) {
            let Some(handle) = call.handle else {
                let options = ConnectOptions { tcp: options(), ..ConnectOptions::default() };
                call.handle = Some(stack.tcp_connect(self.server, &options).expect("a way"));
                acted = true;
                continue;
            };
            let mut socket = stack.tcp(handle).expect("open");
            if call.connected.is_none() && socket.state() == State::Established {
                call.connected = Some(now);
                self.scales.push(socket.info().expect("open").window_scale);
                assert_eq!(socket.write(&[n as u8; 10]), Ok(10));
                acted = true;
            }
            let mut buf = [0; 16];
            if let Ok(len @ 1..) = socket.read(&mut buf) {
                assert_eq!(buf[..len], [n as u8; 10], "client {n}");
                socket.close();
                call.answered = true;
                acted = true;
            }
        }
        acted
    }

    fn is_done(&self) -> bool {
        self.calls.iter().all(|c| c.answered)
    }
}

/// Accepts, and echoes once.
#[derive(Default)]
struct Echo {
    listener: Option<ListenerHandle>,
    open: Vec<TcpHandle>,
}

impl App for Echo {
    fn run(&mut self, _: Instant, stack: &mut Stack<'static>) -> bool {
        let listen = ListenOptions { backlog: 16, tcp: options() };
        let listener = *self.listener.get_or_insert_with(|| stack.tcp_listen(None, PORT, &listen).expect("free"));
        let mut acted = false;
        while let Ok((handle, _)) = stack.tcp_accept(listener) {
            self.open.push(handle);
            acted = true;
        }
        self.open.retain(|&handle| {
            let mut socket = stack.tcp(handle).expect("open");
            let mut buf = [0; 16];
            let Ok(n) = socket.read(&mut buf) else { return true };
            if n > 0 {
                assert_eq!(socket.write(&buf[..n]), Ok(n));
            }
            socket.close();
            acted = true;
            false
        });
        acted
    }

    fn is_done(&self) -> bool {
        self.open.is_empty()
    }
}

/// A millisecond's worth of SYNs from addresses behind the router, each another.
fn flood(sim: &mut Sim, rng: &mut SimRng) {
    let IpAddr::V4(server) = sim.hosts[1].addr else { panic!("an IPv4 host") };
    for _ in 0..FLOOD {
        let src = Ipv4Addr::from(0x2c00_0000 | rng.below(1 << 24) as u32);
        let (seq, port) = (rng.next_u64() as u32, 1024 + rng.below(60_000) as u16);
        let options = vec![2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7];
        let segment = Tcp { src: port, dst: PORT, seq, flags: SYN, window: 64_240, options, ..Tcp::default() };
        let packet = Ip::new(src, server, 6).build(&segment.build(src, server));
        let frame = packet::ethernet(Host::mac(2).0, ROUTER_MAC, 0x0800, &packet);
        let at = sim.now + Duration::from_micros(rng.below(1000));
        sim.inject(at, 1, frame);
    }
}

#[test]
fn a_hundred_clients_connect_within_their_first_retry_amid_50_000_syns_a_second() {
    let delay = Impairments { delay: Duration::from_millis(10), ..Impairments::default() };
    let mut sim = Sim::pair(1, delay.clone(), delay);
    let mut rng = SimRng::new(99);
    let (iface, server) = (sim.hosts[1].iface, sim.hosts[1].addr);
    sim.hosts[1].stack.add_gateway(iface, ROUTER.into()).unwrap();
    let IpAddr::V4(addr) = server else { panic!("an IPv4 host") };
    let arp = packet::arp(2, ROUTER_MAC, ROUTER, Host::mac(2).0, addr);
    let arp = packet::ethernet(Host::mac(2).0, ROUTER_MAC, 0x0806, &arp);
    let calls = (0..CLIENTS).map(|_| {
        let at = Instant::from_millis(200 + rng.below(SECONDS * 1000 - 1500));
        Call { at, handle: None, connected: None, answered: false }
    });
    let crowd = Crowd { server: SocketAddr::new(server, PORT), calls: calls.collect(), scales: Vec::new() };
    sim.hosts[0].apps.push(Box::new(crowd));
    sim.hosts[1].apps.push(Box::new(Echo::default()));
    let mut used = 0;
    for millisecond in 0..SECONDS * 1000 {
        if millisecond % 1000 == 0 {
            // The router answers what it would be asked.
            sim.inject(sim.now, 1, arp.clone());
        }
        flood(&mut sim, &mut rng);
        let until = sim.now + Duration::from_millis(1);
        sim.run_until(until).unwrap();
        sim.now = until;
        sim.kick(0);
        used = used.max(sim.hosts[1].frames_in_use());
    }
    sim.run(sim.now + Duration::from_secs(5)).unwrap();
    let crowd = sim.app::<Crowd>(0, 0);
    let late = |c: &&Call| c.connected.expect("connected").since(c.at) > Duration::from_millis(900);
    assert_eq!(crowd.calls.iter().filter(late).count(), 0, "the first SYN of each is answered");
    assert!(crowd.scales.iter().all(|&(peer, own)| peer > 0 && own > 0), "window scaling survives the cookies");
    let stats = sim.hosts[1].stack.stats();
    assert_eq!(stats.tcp_established, CLIENTS);
    assert!(stats.rx_frames > (u64::from(FLOOD) * SECONDS * 1000) as usize, "the flood came");
    assert!(used <= 64, "{used} frames in use");
    assert!(!sim.hosts[1].stack.tcp_acceptable(sim.app::<Echo>(1, 0).listener.unwrap()));
    sim.check_empty().unwrap();
}

//! Another stack as the peer: smoltcp, over the simulator's links.

use ringtap::tcp::TcpOptions;
use ringtap::time::{Duration, Instant};
use ringtap_sim::{App, Bulk, Host, Impairments, Pattern, Sim, SimRng};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant as SmolInstant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};
use std::collections::VecDeque;

/// smoltcp's card: what came, what leaves.
#[derive(Default)]
struct Card {
    rx: VecDeque<Vec<u8>>,
    tx: VecDeque<Vec<u8>>,
}

struct Rx(Vec<u8>);
struct Tx<'a>(&'a mut VecDeque<Vec<u8>>);

impl RxToken for Rx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        self.0.push_back(frame);
        result
    }
}

impl Device for Card {
    type RxToken<'a> = Rx;
    type TxToken<'a> = Tx<'a>;

    fn receive(&mut self, _: SmolInstant) -> Option<(Rx, Tx<'_>)> {
        let frame = self.rx.pop_front()?;
        Some((Rx(frame), Tx(&mut self.tx)))
    }

    fn transmit(&mut self, _: SmolInstant) -> Option<Tx<'_>> {
        Some(Tx(&mut self.tx))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut caps = DeviceCapabilities::default();
        caps.medium = Medium::Ethernet;
        caps.max_transmission_unit = 1514;
        caps
    }
}

/// When an end of a connection ends its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Close {
    /// After all is sent.
    Sent,
    /// Only after the peer's end.
    Second,
}

/// The host 10.0.0.2 with smoltcp, and one end of a transfer on it.
struct Smol {
    card: Card,
    iface: Interface,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
    to_send: u64,
    sent: Pattern,
    received: Pattern,
    close: Close,
    closed: bool,
    eof: bool,
}

impl Smol {
    fn new(connects: bool, to_send: u64, close: Close, now: SmolInstant) -> Self {
        let mut card = Card::default();
        let mut config = Config::new(EthernetAddress([2, 0, 0, 0, 0, 2]).into());
        config.random_seed = 42;
        let mut iface = Interface::new(config, &mut card, now);
        iface.update_ip_addrs(|a| a.push(IpCidr::new(IpAddress::v4(10, 0, 0, 2), 24)).unwrap());
        let buffer = || tcp::SocketBuffer::new(vec![0; 30_000]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        match connects {
            true => socket.connect(iface.context(), (IpAddress::v4(10, 0, 0, 1), 7000), 50_000).unwrap(),
            false => socket.listen(7000).unwrap(),
        }
        let mut sockets = SocketSet::new(vec![]);
        let socket = sockets.add(socket);
        let (sent, received) = (Pattern::default(), Pattern::default());
        Self { card, iface, sockets, socket, to_send, sent, received, close, closed: false, eof: false }
    }

    /// Polls, reads and writes until nothing more is to be done now; when to be called again.
    fn run(&mut self, now: Instant) -> Option<Instant> {
        let at = SmolInstant::from_micros(now.as_micros() as i64);
        for _ in 0..1000 {
            self.iface.poll(at, &mut self.card, &mut self.sockets);
            if !self.act() {
                break;
            }
        }
        let next = self.iface.poll_at(at, &self.sockets)?;
        Some(Instant::from_micros(next.total_micros() as u64).max(now + Duration::from_micros(1)))
    }

    fn act(&mut self) -> bool {
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(self.socket);
        let mut acted = false;
        let received = &mut self.received;
        while socket.can_recv() {
            let n = socket.recv(|data| (data.len(), received.check(data).map(|()| data.len()))).unwrap();
            acted |= n.expect("octets as they were sent") > 0;
        }
        if !self.eof && !socket.may_recv() && self.received.at > 0 {
            (self.eof, acted) = (true, true);
        }
        while socket.can_send() && self.sent.at < self.to_send {
            let mut buf = [0; 2048];
            let n = (self.to_send - self.sent.at).min(2048) as usize;
            self.sent.fill(&mut buf[..n]);
            self.sent.at += socket.send_slice(&buf[..n]).unwrap() as u64;
            acted = true;
        }
        let may_close = self.close == Close::Sent || self.eof;
        if !self.closed && self.sent.at == self.to_send && may_close && socket.may_send() {
            socket.close();
            (self.closed, acted) = (true, true);
        }
        acted
    }

    fn is_done(&mut self) -> bool {
        let state = self.sockets.get_mut::<tcp::Socket<'_>>(self.socket).state();
        matches!(state, tcp::State::Closed | tcp::State::TimeWait)
    }
}

/// The simulator of one of our hosts, with smoltcp behind the wire that leaves it.
struct Mixed {
    host: Host,
    smol: Smol,
    now: Instant,
    rng: SimRng,
    loss: f64,
    /// Arrivals: when, tie-breaker, at our host, frame.
    flying: Vec<(Instant, u64, bool, Vec<u8>)>,
    serial: u64,
    smol_next: Option<Instant>,
}

impl Mixed {
    fn new(seed: u64, loss: f64, app: Box<dyn App>, smol: Smol) -> Self {
        let mut host = Host::new(1, seed, 256, 1500);
        host.apps.push(app);
        let smol_next = Some(Instant::ZERO);
        let (now, rng) = (Instant::ZERO, SimRng::new(seed));
        Self { host, smol, now, rng, loss, flying: Vec::new(), serial: 0, smol_next }
    }

    fn send(&mut self, to_host: bool, frame: Vec<u8>) {
        // ARP is spared: smoltcp asks once a second, and that is not what is looked at here.
        let is_ip = frame[12..14] == [8, 0];
        if is_ip && self.rng.chance(self.loss) {
            return;
        }
        let copies = 1 + u32::from(is_ip && self.rng.chance(self.loss / 2.0));
        for _ in 0..copies {
            let held = if is_ip && self.rng.chance(self.loss) { 7_000 } else { 0 };
            let at = self.now + Duration::from_micros(5_000 + held);
            self.serial += 1;
            self.flying.push((at, self.serial, to_host, frame.clone()));
        }
    }

    /// Runs until both ends are done.
    fn run(&mut self, limit: Instant) {
        loop {
            self.host.run(self.now).unwrap();
            while let Some(frame) = self.host.nic.tx.pop_front() {
                self.send(false, frame);
            }
            self.smol_next = self.smol.run(self.now);
            while let Some(frame) = self.smol.card.tx.pop_front() {
                self.send(true, frame);
            }
            let failure = self.host.apps.iter().find_map(|a| a.failure());
            assert_eq!(failure, None, "at {}", self.now);
            let over = self.host.apps.iter().all(|a| a.is_done()) && self.host.stack.tcp_connections() == 0;
            if over && self.smol.is_done() {
                return;
            }
            let arrival = self.flying.iter().map(|f| f.0).min();
            let next = [arrival, self.host.next, self.smol_next].into_iter().flatten().min();
            self.now = self.now.max(next.expect("something to wait for"));
            assert!(self.now < limit, "not done by {limit}: {} of ours came", self.smol.received.at);
            self.flying.sort();
            let due = self.flying.partition_point(|f| f.0 <= self.now);
            for (_, _, to_host, frame) in self.flying.drain(..due) {
                match to_host {
                    true => self.host.nic.rx.push_back(frame),
                    false => self.smol.card.rx.push_back(frame),
                }
            }
        }
    }
}

fn transfer(seed: u64, loss: f64, we_connect: bool, close: Close, octets: (u64, u64)) -> Mixed {
    let (ours, theirs) = octets;
    let options = TcpOptions::default();
    let bulk = match we_connect {
        true => Bulk::client("10.0.0.2:7000".parse().unwrap(), ours, theirs, options),
        false => Bulk::server(7000, ours, theirs, options),
    };
    let smol = Smol::new(!we_connect, theirs, close, SmolInstant::ZERO);
    let mut mixed = Mixed::new(seed, loss, Box::new(bulk), smol);
    mixed.run(Instant::from_secs(3_000));
    assert_eq!(mixed.smol.received.at, ours, "all of ours");
    assert_eq!(mixed.host.frames_in_use(), 0);
    mixed
}

#[test]
fn bulk_both_ways_with_smoltcp_is_exact_on_a_clean_link() {
    for we_connect in [true, false] {
        for octets in [(1 << 20, 1 << 20), (1 << 20, 1), (1, 1 << 20)] {
            let mixed = transfer(1, 0.0, we_connect, Close::Sent, octets);
            assert_eq!(mixed.host.stack.stats().tcp_retransmits, 0, "{we_connect} {octets:?}");
        }
    }
}

#[test]
fn bulk_both_ways_with_smoltcp_is_exact_on_lossy_reordering_duplicating_links() {
    for seed in 0..24 {
        let loss = 0.01 * (1 + seed % 5) as f64;
        transfer(seed, loss, seed % 2 == 0, Close::Sent, (200_000, 150_000));
    }
}

#[test]
fn either_side_may_close_first_and_both_at_once() {
    for we_connect in [true, false] {
        for loss in [0.0, 0.05] {
            for seed in 0..4 {
                // Ours first, smoltcp's second; smoltcp's first, since ours has more to send; both about at once.
                transfer(seed, loss, we_connect, Close::Second, (5_000, 5_000));
                transfer(seed, loss, we_connect, Close::Sent, (200_000, 1));
                transfer(seed, loss, we_connect, Close::Sent, (5_000, 5_000));
            }
        }
    }
}

#[test]
fn the_simulator_with_two_of_ours_gives_what_it_gives_with_smoltcp() {
    // The same transfer among our own: neither stack depends on a kindness of the other's.
    let mut sim = Sim::pair(3, Impairments::default(), Impairments::default());
    let options = TcpOptions::default();
    let server = std::net::SocketAddr::new(sim.hosts[1].addr, 7000);
    sim.hosts[0].apps.push(Box::new(Bulk::client(server, 300_000, 200_000, options)));
    sim.hosts[1].apps.push(Box::new(Bulk::server(7000, 200_000, 300_000, options)));
    sim.run(Instant::from_secs(60)).unwrap();
    assert_eq!(sim.app::<Bulk>(1, 0).received(), 300_000);
    let mixed = transfer(3, 0.0, true, Close::Sent, (300_000, 200_000));
    assert_eq!(mixed.smol.received.at, 300_000);
}

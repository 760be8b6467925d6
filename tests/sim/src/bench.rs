//! A stack under test, alone with a hand-made peer: frames go in, frames come out, time passes as told.
//!
//! The host is H, 192.0.2.1/24; its peer P, 192.0.2.2; a router R, 192.0.2.254.

use crate::nic::Nic;
use crate::packet::{self, ACK, Ip, PSH, SYN, Seen, Tcp};
use ringtap::config::Config;
use ringtap::device::{Capabilities, Mac, Medium};
use ringtap::frame::BoxedPool;
use ringtap::ip::addr::Cidr;
use ringtap::rng::Secret;
use ringtap::stack::{IfaceId, Limits, Stack, Storage};
use ringtap::stats::DropReason;
use ringtap::tcp::{ConnectOptions, ListenOptions, ListenerHandle, TcpHandle, TcpOptions};
use ringtap::time::{Duration, Instant};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The host under test.
pub const H: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// Its MAC.
pub const H_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// A peer on the link.
pub const P: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// Its MAC.
pub const P_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// A router on the link.
pub const R: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);
/// Its MAC.
pub const R_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xfe];
/// The host's address on its second link, where it has one.
pub const H2: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// A peer on the second link.
pub const P2: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
/// The broadcast MAC.
pub const ALL: [u8; 6] = [0xff; 6];

/// What a [`Bench`] is made of.
pub struct Setup {
    /// Frames of the interface's pool.
    pub frames: usize,
    /// How far the stack's tables may grow.
    pub limits: Limits,
    /// What the card can do.
    pub caps: Capabilities,
    /// Frames of 66,000 octets, for long datagrams; 0: there is no such pool.
    pub large: usize,
}

impl Default for Setup {
    fn default() -> Self {
        let caps = Capabilities::plain(Medium::Ethernet, 1500);
        Self { frames: 64, limits: Limits::default(), caps, large: 24 }
    }
}

/// A stack with one interface, or two, and what it sends.
pub struct Bench {
    /// The stack.
    pub stack: Stack<'static>,
    /// Its card.
    pub nic: Nic,
    /// Its interface.
    pub iface: IfaceId,
    /// Virtual time.
    pub now: Instant,
    /// P and R answer ARP requests, which then are not among what [`poll`](Self::poll) gives.
    pub resolves: bool,
    /// A second interface and its card, whose sent frames stay there.
    pub other: Option<(IfaceId, Nic)>,
    pools: Vec<&'static BoxedPool>,
}

impl Default for Bench {
    fn default() -> Self {
        Self::new()
    }
}

impl Bench {
    /// H with 64 frames.
    pub fn new() -> Self {
        Self::with(64, |_| {})
    }

    /// H with `frames` frames and its configuration changed.
    ///
    /// # Panics
    /// Never: the set-up is fixed.
    pub fn with(frames: usize, change: impl FnOnce(&mut Config<'static>)) -> Self {
        Self::built(Setup { frames, ..Setup::default() }, change)
    }

    /// H made of these parts.
    ///
    /// # Panics
    /// When the parts do not make a stack.
    pub fn built(setup: Setup, change: impl FnOnce(&mut Config<'static>)) -> Self {
        let pool: &'static BoxedPool = Box::leak(Box::new(BoxedPool::new(1600, setup.frames)));
        let large: &'static BoxedPool = Box::leak(Box::new(BoxedPool::new(66_000, setup.large)));
        let mut config = Config::new(Secret::new(*b"bench test key 1"));
        config.large_pool = (setup.large > 0).then(|| large.pool());
        change(&mut config);
        let mut stack = Stack::new(config, Storage::growing(setup.limits));
        let mut nic = Nic::with(pool.pool(), setup.caps);
        nic.large = config.large_pool;
        let iface = stack.add_interface(&nic, Mac(H_MAC)).expect("room");
        stack.add_address(iface, Cidr::new(IpAddr::V4(H), 24).expect("a prefix")).expect("a host address");
        stack.add_gateway(iface, IpAddr::V4(R)).expect("a gateway");
        let pools = vec![pool, large];
        let now = Instant::from_secs(1000);
        let mut bench = Self { stack, nic, iface, now, resolves: false, other: None, pools };
        // The announcement of the address is of no interest to tests.
        bench.poll();
        bench
    }

    /// Tells the stack who P and R are.
    #[must_use]
    pub fn with_neighbors(mut self) -> Self {
        for (ip, mac) in [(P, P_MAC), (R, R_MAC)] {
            self.give(packet::ethernet(H_MAC, mac, 0x0806, &packet::arp(1, mac, ip, [0; 6], H)));
        }
        self
    }

    /// As [`with_neighbors`](Self::with_neighbors), and P and R answer when the stack asks again.
    #[must_use]
    pub fn with_live_neighbors(mut self) -> Self {
        self.resolves = true;
        self.with_neighbors()
    }

    /// A second link: H is H2 there, and P2 is known.
    ///
    /// # Panics
    /// Never: the set-up is fixed.
    #[must_use]
    pub fn with_second_link(mut self) -> Self {
        let pool: &'static BoxedPool = Box::leak(Box::new(BoxedPool::new(1600, 64)));
        let nic = Nic::new(pool.pool(), Medium::Ethernet, 1500);
        let iface = self.stack.add_interface(&nic, Mac(H_MAC)).expect("room");
        self.stack.add_address(iface, Cidr::new(IpAddr::V4(H2), 24).expect("a prefix")).expect("a host address");
        self.pools.push(pool);
        self.other = Some((iface, nic));
        self.poll();
        self.give_other(packet::ethernet(H_MAC, P_MAC, 0x0806, &packet::arp(1, P_MAC, P2, [0; 6], H2)));
        self
    }

    /// A frame arrives by the second link; what leaves there.
    pub fn give_other(&mut self, frame: Vec<u8>) -> Vec<Seen> {
        if let Some((_, nic)) = &mut self.other {
            nic.rx.push_back(frame);
        }
        self.poll();
        self.sent_by_other()
    }

    /// What has left by the second link.
    pub fn sent_by_other(&mut self) -> Vec<Seen> {
        self.other.iter_mut().flat_map(|(_, nic)| nic.tx.drain(..)).map(|f| packet::read(&f)).collect()
    }

    /// Polls until nothing is left to do now; what was sent.
    ///
    /// # Panics
    /// When it never ends.
    pub fn poll(&mut self) -> Vec<Seen> {
        self.poll_raw().iter().map(|f| packet::read(f)).collect()
    }

    /// As [`poll`](Self::poll), the frames as they are.
    ///
    /// # Panics
    /// When it never ends.
    pub fn poll_raw(&mut self) -> Vec<Vec<u8>> {
        for _ in 0..10_000 {
            let mut more = self.stack.poll(self.now, self.iface, &mut self.nic, 64).more;
            if let Some((iface, nic)) = &mut self.other {
                more |= self.stack.poll(self.now, *iface, nic, 64).more;
            }
            self.answer_arp();
            if self.nic.rx.is_empty() && !more && self.stack.next_deadline().is_none_or(|t| t > self.now) {
                return self.nic.tx.drain(..).collect();
            }
        }
        panic!("the stack does not come to rest");
    }

    fn answer_arp(&mut self) {
        if !self.resolves {
            return;
        }
        let (mut sent, rx) = (std::mem::take(&mut self.nic.tx), &mut self.nic.rx);
        sent.retain(|frame| {
            let Seen::Arp(1, _, _, target) = packet::read(frame) else { return true };
            let Some((_, mac)) = [(P, P_MAC), (R, R_MAC)].into_iter().find(|(ip, _)| *ip == target) else {
                return true;
            };
            rx.push_back(packet::ethernet(H_MAC, mac, 0x0806, &packet::arp(2, mac, target, H_MAC, H)));
            false
        });
        self.nic.tx = sent;
    }

    /// A frame arrives; what is sent in answer.
    pub fn give(&mut self, frame: Vec<u8>) -> Vec<Seen> {
        self.nic.rx.push_back(frame);
        self.poll()
    }

    /// An IPv4 packet of P's arrives.
    pub fn give_ip(&mut self, ip: &Ip, payload: &[u8]) -> Vec<Seen> {
        self.give(packet::ethernet(H_MAC, P_MAC, 0x0800, &ip.build(payload)))
    }

    /// A TCP segment of P's arrives.
    pub fn give_tcp(&mut self, segment: &Tcp) -> Vec<Seen> {
        self.give_ip(&Ip::new(P, H, 6), &segment.build(P, H))
    }

    /// A UDP datagram of P's arrives.
    pub fn give_udp(&mut self, from: u16, to: u16, payload: &[u8]) -> Vec<Seen> {
        self.give_ip(&Ip::new(P, H, 17), &packet::udp((P, from), (H, to), payload))
    }

    /// Time passes, the stack being polled at its deadlines only; what was sent, and when.
    ///
    /// # Panics
    /// When the stack asks for more than 100,000 polls.
    pub fn pass(&mut self, time: Duration) -> Vec<(Instant, Seen)> {
        let end = self.now + time;
        let mut out = Vec::new();
        for _ in 0..100_000 {
            let sent = self.poll();
            out.extend(sent.into_iter().map(|s| (self.now, s)));
            match self.stack.next_deadline() {
                Some(at) if at <= end => self.now = self.now.max(at),
                _ => {
                    self.now = end;
                    return out;
                }
            }
        }
        panic!("the stack spins");
    }

    /// Packets dropped for `reason` so far.
    pub fn dropped(&self, reason: DropReason) -> usize {
        self.stack.stats().dropped(reason)
    }

    /// Frames that somebody owns.
    pub fn frames_in_use(&self) -> usize {
        let used = |pool: &BoxedPool| pool.pool().count() - pool.pool().free();
        self.pools.iter().map(|p| used(p)).sum()
    }

    /// The pool of the interface.
    pub fn pool(&self) -> ringtap::frame::Pool<'static> {
        self.pools[0].pool()
    }

    /// What every case ends with: no frame in use, a ping answered, and a TCP handshake as well if `port` listens.
    ///
    /// # Panics
    /// When not.
    pub fn is_well(&mut self) {
        assert_eq!(self.frames_in_use(), 0, "frames are back");
        let ping = packet::icmp(8, 0, [0, 7, 0, 9], b"are you well?");
        let seen = self.give_ip(&Ip::new(P, H, 1), &ping);
        let reply = Seen::Icmp(H, P, 0, 0, [0, 7, 0, 9], b"are you well?".to_vec());
        assert_eq!(seen, [reply], "a ping is answered");
    }

    /// P opens a connection to `port`, which listens; gives H's ISS after the handshake. P's next number is 1001.
    ///
    /// # Panics
    /// When the handshake fails.
    pub fn open(&mut self, from: u16, port: u16) -> u32 {
        let syn = Tcp { src: from, dst: port, seq: 1000, flags: SYN, window: 65_535, ..Tcp::default() };
        let seen = self.give_tcp(&Tcp { options: vec![2, 4, 5, 0xb4], ..syn.clone() });
        let answers = segments(&seen);
        let answer = answers.iter().find(|s| s.has(SYN | ACK) && s.dst == from);
        let answer = answer.unwrap_or_else(|| panic!("a SYN|ACK is expected: {seen:?}"));
        assert_eq!(answer.ack, 1001);
        let ack = Tcp { seq: 1001, ack: answer.seq + 1, flags: ACK, ..syn };
        self.give_tcp(&ack);
        answer.seq
    }

    /// Listens on `port` at every address.
    ///
    /// # Panics
    /// When the stack refuses.
    pub fn listen(&mut self, port: u16, backlog: usize, tcp: TcpOptions) -> ListenerHandle {
        self.stack.tcp_listen(None, port, &ListenOptions { backlog, tcp }).expect("a free port")
    }

    /// As [`open`](Self::open), and accepts the connection.
    ///
    /// # Panics
    /// When nothing is to be accepted.
    pub fn accepted(&mut self, listener: ListenerHandle, from: u16, port: u16) -> (TcpHandle, u32) {
        let iss = self.open(from, port);
        let (handle, peer) = self.stack.tcp_accept(listener).expect("a connection");
        assert_eq!(peer, SocketAddr::new(IpAddr::V4(P), from));
        (handle, iss)
    }

    /// Begins a connection to `port` of P; its handle and the SYN.
    ///
    /// # Panics
    /// When no SYN leaves.
    pub fn connect(&mut self, port: u16, tcp: TcpOptions) -> (TcpHandle, Tcp) {
        let options = ConnectOptions { tcp, ..ConnectOptions::default() };
        let handle = self.stack.tcp_connect(SocketAddr::new(IpAddr::V4(P), port), &options).expect("a way");
        let seen = segments(&self.poll());
        let syn = seen.iter().find(|s| s.flags == SYN).unwrap_or_else(|| panic!("a SYN is expected: {seen:?}"));
        (handle, syn.clone())
    }

    /// A connection to `port` of P that P has accepted, its own ISS being 5000 and without options; the handle, and the
    /// SYN.
    ///
    /// # Panics
    /// When the handshake fails.
    pub fn connected(&mut self, port: u16, tcp: TcpOptions) -> (TcpHandle, Tcp) {
        let (handle, syn) = self.connect(port, tcp);
        let answer = Tcp { seq: 5000, flags: SYN | ACK, ..self.reply_to(&syn, syn.seq + 1) };
        let seen = segments(&self.give_tcp(&Tcp { options: vec![2, 4, 5, 0xb4], ..answer }));
        assert!(seen.iter().any(|s| s.flags == ACK && s.ack == 5001 && s.src == syn.src), "{seen:?}");
        (handle, syn)
    }

    /// A segment of P's back to whom sent `segment`, acknowledging `ack`; its sequence number is what `segment`
    /// acknowledged.
    pub fn reply_to(&self, segment: &Tcp, ack: u32) -> Tcp {
        let Tcp { src, dst, .. } = *segment;
        Tcp { src: dst, dst: src, seq: segment.ack, ack, flags: ACK, window: 65_535, ..Tcp::default() }
    }

    /// A segment of P's with text.
    pub fn text(&self, from: u16, port: u16, seq: u32, ack: u32, text: &[u8]) -> Tcp {
        Tcp {
            src: from,
            dst: port,
            seq,
            ack,
            flags: ACK | PSH,
            window: 65_535,
            payload: text.to_vec(),
            ..Tcp::default()
        }
    }
}

/// The TCP segments among what was sent.
pub fn segments(seen: &[Seen]) -> Vec<Tcp> {
    let tcp = seen.iter().filter_map(|s| match s {
        Seen::Tcp(_, _, segment) => Some(segment.clone()),
        _ => None,
    });
    tcp.collect()
}

/// As [`segments`], with the time of each.
pub fn timed(seen: &[(Instant, Seen)]) -> Vec<(Instant, Tcp)> {
    let tcp = seen.iter().filter_map(|(at, s)| match s {
        Seen::Tcp(_, _, segment) => Some((*at, segment.clone())),
        _ => None,
    });
    tcp.collect()
}

//! An example of hooks: network address and port translation over a bounded table of flows.
//!
//! Implements what RFC 3022 calls traditional NAPT, for IPv4 TCP, UDP and echo, with the behaviour of RFC 4787 (mapping
//! independent of the endpoint, REQ-1; filtering by address and port, REQ-8's strictest choice; refreshed from inside
//! only, REQ-6), RFC 5382 and RFC 5508 (errors that quote a translated packet).
//!
//! ```text
//!  inside ── Forward ─▶ PostRouting: source becomes (outside address, a port of the flow's) ──▶ outside
//!         ◀── routed ── PreRouting: destination becomes what the flow's source was         ◀──
//! ```

use ringtap::ip::hooks::{Hooks, Passage, Point, Verdict};
use ringtap::ip::rewrite::{self, End, Endpoints, endpoints, replace};
use ringtap::stack::IfaceId;
use ringtap::time::{Duration, Instant};
use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::ops::RangeInclusive;

/// The ports that flows get: below those that the stack's own sockets choose for themselves.
const PORTS: RangeInclusive<u16> = 20_000..=39_999;

const TCP: u8 = 6;
const ICMP: u8 = 1;

/// RFC 4787 REQ-5: not less than two minutes, five recommended.
const UDP_IDLE: Duration = Duration::from_secs(300);
/// RFC 5508 REQ-1: not less than 60 seconds.
const ECHO_IDLE: Duration = Duration::from_secs(60);
/// RFC 5382 REQ-5: 2 hours 4 minutes established, 4 minutes otherwise, at least.
const TCP_IDLE: Duration = Duration::from_secs(7_440);
const TCP_TRANSITORY: Duration = Duration::from_secs(240);

/// A translator between an inside, which is everything else, and one outside interface.
pub struct Nat {
    outside: IfaceId,
    address: Ipv4Addr,
    /// The most flows at a time.
    limit: usize,
    /// By the packet from inside, as it was.
    flows: HashMap<Endpoints, Flow>,
    /// By (protocol, port outside, the other end): whose flow it is.
    outer: HashMap<(u8, u16, SocketAddr), Endpoints>,
    /// By (protocol, source inside): its port outside, and how many flows use it.
    mappings: HashMap<(u8, SocketAddr), (u16, usize)>,
    /// The ports outside that are some source's, by protocol.
    taken: HashSet<(u8, u16)>,
    next_port: u16,
    /// When it was last seen whose time is over.
    swept: Option<Instant>,
    /// Counters.
    pub stats: NatStats,
}

/// What a translator has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NatStats {
    /// Packets translated, both ways.
    pub translated: u64,
    /// Packets from inside that found no room in the table, or no port.
    pub no_room: u64,
    /// Packets from inside that cannot be translated: fragments, other protocols.
    pub untranslatable: u64,
}

struct Flow {
    /// Its source's port outside.
    port: u16,
    until: Instant,
    /// TCP: each direction has begun, and none has ended.
    outward: bool,
    inward: bool,
    ended: bool,
}

impl Nat {
    /// What leaves by `outside` does so from `address`, which the stack has there; at most `limit` flows at a time.
    pub fn new(outside: IfaceId, address: Ipv4Addr, limit: usize) -> Self {
        Self {
            outside,
            address,
            limit: limit.min(PORTS.len()),
            flows: HashMap::new(),
            outer: HashMap::new(),
            mappings: HashMap::new(),
            taken: HashSet::new(),
            next_port: *PORTS.start(),
            swept: None,
            stats: NatStats::default(),
        }
    }

    /// Flows that there are.
    pub fn flows(&self) -> usize {
        self.flows.len()
    }

    /// A packet is about to leave by the outside interface.
    fn outward(&mut self, now: Instant, packet: &mut [u8]) -> Verdict {
        // The stack's own packets have the address already.
        if packet.get(12..16) == Some(&self.address.octets()[..]) {
            return Verdict::Accept;
        }
        let Some(e) = endpoints(packet) else {
            self.stats.untranslatable += 1;
            return Verdict::Drop;
        };
        // A reply to an echo, or an error, from inside belongs to a flow from outside, and there are none.
        if e.protocol == ICMP && packet.get(header_len(packet)) != Some(&8) {
            self.stats.untranslatable += 1;
            return Verdict::Drop;
        }
        let flags = tcp_flags(packet);
        let Some(port) = self.flow_out(now, e, flags) else {
            self.stats.no_room += 1;
            return Verdict::Drop;
        };
        self.stats.translated += 1;
        match replace(packet, End::Source, SocketAddrV4::new(self.address, port).into()) {
            Some(()) => Verdict::Modified,
            None => Verdict::Drop,
        }
    }

    /// The port outside of the flow that a packet from inside belongs to, or begins.
    fn flow_out(&mut self, now: Instant, e: Endpoints, flags: u8) -> Option<u16> {
        if !self.flows.contains_key(&e) {
            self.begin(now, e)?;
        }
        let flow = self.flows.get_mut(&e)?;
        flow.outward = true;
        flow.saw(flags);
        flow.until = now + flow.idle(e.protocol);
        Some(flow.port)
    }

    fn begin(&mut self, now: Instant, e: Endpoints) -> Option<()> {
        if self.flows.len() >= self.limit {
            self.expire(now);
            if self.flows.len() >= self.limit {
                return None;
            }
        }
        let source = (e.protocol, e.src);
        let port = match self.mappings.get(&source) {
            Some(&(port, _)) => port,
            None => self.free_port(e.protocol)?,
        };
        self.mappings.entry(source).or_insert((port, 0)).1 += 1;
        self.outer.insert((e.protocol, port, other_end(&e)), e);
        let flow = Flow { port, until: now, outward: false, inward: false, ended: false };
        self.flows.insert(e, flow);
        Some(())
    }

    /// A port that no source of this protocol has.
    fn free_port(&mut self, protocol: u8) -> Option<u16> {
        for _ in 0..PORTS.len() {
            let port = self.next_port;
            self.next_port = if port == *PORTS.end() { *PORTS.start() } else { port + 1 };
            if self.taken.insert((protocol, port)) {
                return Some(port);
            }
        }
        None
    }

    /// Forgets flows whose time is over.
    fn expire(&mut self, now: Instant) {
        // A look at all flows, which a flood of new ones must not cause each time.
        if self.swept.is_some_and(|at| now.since(at) < Duration::from_secs(1)) {
            return;
        }
        self.swept = Some(now);
        let over: Vec<Endpoints> = self.flows.iter().filter(|(_, f)| now >= f.until).map(|(e, _)| *e).collect();
        for e in over {
            self.forget(&e);
        }
    }

    fn forget(&mut self, e: &Endpoints) {
        let Some(flow) = self.flows.remove(e) else { return };
        self.outer.remove(&(e.protocol, flow.port, other_end(e)));
        if let Some((_, users)) = self.mappings.get_mut(&(e.protocol, e.src)) {
            *users -= 1;
            if *users == 0 {
                self.mappings.remove(&(e.protocol, e.src));
                self.taken.remove(&(e.protocol, flow.port));
            }
        }
    }

    /// A packet has come by the outside interface, for our address.
    fn inward(&mut self, now: Instant, packet: &mut [u8]) -> Verdict {
        if let Some(verdict) = self.inward_error(now, packet) {
            return verdict;
        }
        let Some(e) = endpoints(packet) else { return Verdict::Accept };
        if e.dst.ip() != self.address || (e.protocol == ICMP && packet.get(header_len(packet)) != Some(&0)) {
            return Verdict::Accept;
        }
        let from = if e.protocol == ICMP { SocketAddr::new(e.src.ip(), 0) } else { e.src };
        let Some(inner) = self.outer.get(&(e.protocol, e.dst.port(), from)).copied() else { return Verdict::Accept };
        let flags = tcp_flags(packet);
        let Some(flow) = self.flows.get_mut(&inner) else { return Verdict::Accept };
        if now >= flow.until {
            self.forget(&inner);
            return Verdict::Accept;
        }
        // RFC 4787 REQ-6: what comes from outside does not keep a mapping; but a connection's state it may change.
        flow.inward = true;
        flow.saw(flags);
        if inner.protocol == TCP {
            flow.until = flow.until.max(now + flow.idle(TCP));
            if flow.ended {
                flow.until = now + TCP_TRANSITORY;
            }
        }
        self.stats.translated += 1;
        match replace(packet, End::Destination, inner.src) {
            Some(()) => Verdict::Modified,
            None => Verdict::Drop,
        }
    }

    /// RFC 5508 §4.2: an error about a translated packet goes to its sender, who finds its own packet quoted.
    fn inward_error(&mut self, now: Instant, packet: &mut [u8]) -> Option<Verdict> {
        let quote = rewrite::quoted(packet)?;
        let quoted = endpoints(quote)?;
        let to = if quoted.protocol == ICMP { SocketAddr::new(quoted.dst.ip(), 0) } else { quoted.dst };
        let inner = *self.outer.get(&(quoted.protocol, quoted.src.port(), to))?;
        if quoted.src.ip() != self.address || now >= self.flows.get(&inner)?.until {
            return None;
        }
        let SocketAddr::V4(source) = inner.src else { return None };
        rewrite::replace_quoted_source(quote, inner.src)?;
        set_destination(packet, *source.ip())?;
        rewrite::mend_error(packet);
        self.stats.translated += 1;
        Some(Verdict::Modified)
    }
}

impl Flow {
    fn idle(&self, protocol: u8) -> Duration {
        match protocol {
            TCP if self.outward && self.inward && !self.ended => TCP_IDLE,
            TCP => TCP_TRANSITORY,
            ICMP => ECHO_IDLE,
            _ => UDP_IDLE,
        }
    }

    /// A segment with FIN or RST ends a connection, one with SYN begins another.
    fn saw(&mut self, flags: u8) {
        self.ended = (self.ended || flags & 0b101 != 0) && flags & 0b010 == 0;
    }
}

/// The end outside; of an echo, whose identifier is the source's, its address alone.
fn other_end(e: &Endpoints) -> SocketAddr {
    if e.protocol == ICMP { SocketAddr::new(e.dst.ip(), 0) } else { e.dst }
}

fn header_len(packet: &[u8]) -> usize {
    usize::from(packet.first().map_or(5, |b| b & 15)) * 4
}

fn tcp_flags(packet: &[u8]) -> u8 {
    if packet.get(9) != Some(&TCP) {
        return 0;
    }
    packet.get(header_len(packet) + 13).copied().unwrap_or(0)
}

/// Replaces the destination of an IPv4 packet alone.
fn set_destination(packet: &mut [u8], to: Ipv4Addr) -> Option<()> {
    packet.get_mut(16..20)?.copy_from_slice(&to.octets());
    let len = header_len(packet);
    let header = packet.get_mut(..len)?;
    header.get_mut(10..12)?.fill(0);
    let sum = header.as_chunks::<2>().0.iter().map(|w| u32::from(u16::from_be_bytes(*w))).sum::<u32>();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    header.get_mut(10..12)?.copy_from_slice(&(!(sum as u16)).to_be_bytes());
    Some(())
}

impl Hooks for Nat {
    fn on_packet(&mut self, passage: &Passage, packet: &mut [u8]) -> Verdict {
        if packet.first().is_none_or(|b| b >> 4 != 4) {
            return Verdict::Accept;
        }
        match passage.point {
            Point::PreRouting if passage.arrived == Some(self.outside) => self.inward(passage.now, packet),
            Point::PostRouting if passage.leaves == Some(self.outside) => self.outward(passage.now, packet),
            _ => Verdict::Accept,
        }
    }
}

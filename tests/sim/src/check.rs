//! What must hold after every step, seen from outside: on the wire, in the programs, in the counters.
//!
//! - what a program received is a prefix of what the other end's stack accepted ([`Streams`]);
//! - nothing is sent beyond the window that the peer has told, and no window told is taken back, by no octet ([`Windows`]);
//! - acknowledgments and resets answer something: their number is bounded by what came ([`Answers`]);
//! - frames are conserved, on links and in hosts ([`conserved`]).

use crate::app::{App, Flow};
use crate::host::Host;
use crate::link::LinkStats;
use crate::packet::{ACK, FIN, RST, SYN, Seen, Tcp};
use ringtap::time::Instant;
use std::collections::HashMap;
use std::net::Ipv4Addr;

/// One direction of a connection: from, to.
type Way = ((Ipv4Addr, u16), (Ipv4Addr, u16));

/// Both ends of each stream, as far as they are.
#[derive(Default)]
pub(crate) struct Streams {
    /// Octets accepted by the stack of a host that is gone.
    past: HashMap<u64, u64>,
}

impl Streams {
    /// Programs that will be asked no more.
    pub fn retire(&mut self, apps: &[Box<dyn App>]) {
        for flow in apps.iter().flat_map(|a| a.flows()).flatten().filter(|f| f.sends) {
            self.past.insert(flow.stream, flow.octets);
        }
    }

    /// What has been received is a prefix of what was sent: its octets are compared by the programs, its length here.
    pub fn check(&self, hosts: &[Host]) -> Result<(), String> {
        let flows = || hosts.iter().flat_map(|h| &h.apps).flat_map(|a| a.flows()).flatten();
        for Flow { stream, octets, .. } in flows().filter(|f| !f.sends && f.octets > 0) {
            let sent = flows().filter(|f| f.sends && f.stream == stream).map(|f| f.octets).max();
            let sent = sent.or_else(|| self.past.get(&stream).copied());
            // The other end may be no program of ours.
            if sent.is_some_and(|sent| octets > sent) {
                return Err(format!("stream {stream}: {octets} octets received of {sent:?} sent"));
            }
        }
        Ok(())
    }
}

/// Sequence numbers of one direction, as the wire shows them.
#[derive(Clone, Copy, Debug, Default)]
struct Numbers {
    iss: u32,
    /// The shift that the SYN offered.
    shift: Option<u8>,
    /// The right edge that the receiver has told.
    told: Option<u32>,
    /// The right edge that has reached the sender, and the acknowledgment.
    known: Option<u32>,
    acked: Option<u32>,
}

/// The windows of all connections.
#[derive(Default)]
pub(crate) struct Windows {
    ways: HashMap<Way, Numbers>,
    /// The most octets that were in flight in one direction of a connection.
    pub widest: u32,
}

fn later(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

impl Windows {
    /// A host sends this.
    pub fn on_sent(&mut self, src: Ipv4Addr, dst: Ipv4Addr, s: &Tcp) -> Result<(), String> {
        let (way, back) = (((src, s.src), (dst, s.dst)), ((dst, s.dst), (src, s.src)));
        if s.has(RST) {
            return Ok(());
        }
        if s.has(SYN) {
            self.on_syn(way, back, s);
        } else if let Some(numbers) = self.ways.get(&way) {
            check_within(numbers, s).map_err(|e| format!("{src}:{} to {dst}:{}: {e}", s.src, s.dst))?;
            if let (Some(acked), false) = (numbers.acked, s.payload.is_empty()) {
                let end = s.seq.wrapping_add(s.payload.len() as u32);
                // A retransmission of what is acknowledged meanwhile lies behind.
                let flight = if later(end, acked) { end.wrapping_sub(acked) } else { 0 };
                self.widest = self.widest.max(flight);
            }
        }
        if s.has(ACK)
            && let Some(edge) = self.edge(way, back, s)
            && let Some(numbers) = self.ways.get_mut(&back)
        {
            if let Some(told) = numbers.told
                && later(told, edge)
            {
                let by = told.wrapping_sub(edge);
                return Err(format!("{src}:{} takes {by} octets of its window back from {dst}:{}", s.src, s.dst));
            }
            numbers.told = Some(numbers.told.filter(|&told| later(told, edge)).unwrap_or(edge));
        }
        Ok(())
    }

    fn on_syn(&mut self, way: Way, back: Way, s: &Tcp) {
        let shift = s.option(3).and_then(|o| o.first().copied()).map(|shift| shift.min(14));
        let known = self.ways.get(&way).filter(|n| n.iss == s.seq).copied();
        let fresh = Numbers { iss: s.seq, shift, ..Numbers::default() };
        let numbers = known.unwrap_or(fresh);
        self.ways.insert(way, numbers);
        if known.is_none() && !s.has(ACK) {
            // A new incarnation: what was told before is void.
            self.ways.remove(&back);
        }
    }

    /// The right edge that a segment tells.
    fn edge(&self, way: Way, back: Way, s: &Tcp) -> Option<u32> {
        let own = self.ways.get(&way)?;
        let shift = match (own.shift, self.ways.get(&back)?.shift) {
            (Some(shift), Some(_)) if !s.has(SYN) => shift,
            _ => 0,
        };
        Some(s.ack.wrapping_add(u32::from(s.window) << shift))
    }

    /// A host receives this as it was sent.
    pub fn on_received(&mut self, src: Ipv4Addr, dst: Ipv4Addr, s: &Tcp) {
        let (way, back) = (((src, s.src), (dst, s.dst)), ((dst, s.dst), (src, s.src)));
        if s.has(ACK)
            && !s.has(RST)
            && let Some(edge) = self.edge(way, back, s)
            && let Some(numbers) = self.ways.get_mut(&back)
        {
            numbers.acked = Some(numbers.acked.filter(|&acked| later(acked, s.ack)).unwrap_or(s.ack));
            numbers.known = Some(numbers.known.filter(|&known| later(known, edge)).unwrap_or(edge));
        }
    }
}

/// A zero window may be probed with one octet (RFC 9293 §3.8.6.1); a FIN needs no room.
fn check_within(numbers: &Numbers, s: &Tcp) -> Result<(), String> {
    let Some(known) = numbers.known else { return Ok(()) };
    let end = s.seq.wrapping_add(s.payload.len() as u32);
    if later(end, known) && s.payload.len() > 1 {
        return Err(format!("{} octets beyond the window", end.wrapping_sub(known)));
    }
    Ok(())
}

/// Segments without text that one host sent, and what may have provoked them.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    second: u64,
    bare: u64,
    /// In this second, and the one before.
    provoked: u64,
    before: u64,
}

/// Per host: acknowledgments against what they may answer.
#[derive(Default)]
pub(crate) struct Answers {
    hosts: Vec<Count>,
}

/// Acknowledgments and resets per second that nothing explains which takes sequence space: challenges, probes.
const UNPROVOKED: u64 = 100;

impl Answers {
    fn count(&mut self, host: usize, now: Instant) -> &mut Count {
        if self.hosts.len() <= host {
            self.hosts.resize(host + 1, Count::default());
        }
        let count = &mut self.hosts[host];
        let second = now.as_millis() / 1000;
        if second != count.second {
            let before = if second == count.second + 1 { count.provoked } else { 0 };
            *count = Count { second, before, ..Count::default() };
        }
        count
    }

    /// Whether a segment asks for an answer: it takes sequence space.
    fn asks(s: &Tcp) -> bool {
        !s.payload.is_empty() || s.flags & (SYN | FIN) != 0
    }

    pub fn on_received(&mut self, host: usize, now: Instant, s: &Tcp) {
        self.count(host, now).provoked += u64::from(Self::asks(s));
    }

    pub fn on_sent(&mut self, host: usize, now: Instant, s: &Tcp) -> Result<(), String> {
        let count = self.count(host, now);
        count.bare += u64::from(!Self::asks(s));
        // An acknowledgment each, and the window again once it has been read.
        let provoked = count.provoked + count.before;
        if count.bare > 2 * provoked + UNPROVOKED {
            return Err(format!("{} answers in a second to {provoked} segments", count.bare));
        }
        Ok(())
    }
}

/// What a link was given it has passed on or lost, and says why; what a host was given it has received, or it waits, or
/// the pool was empty.
pub(crate) fn conserved<'l>(
    links: impl Iterator<Item = &'l LinkStats>,
    hosts: &[Host],
    delivered: &[u64],
) -> Result<(), String> {
    for stats in links {
        if stats.offered + stats.duplicated != stats.passed + stats.lost_total() {
            return Err(format!("a link has lost count: {stats:?}"));
        }
    }
    for (n, (host, &delivered)) in hosts.iter().zip(delivered).enumerate() {
        let taken = host.stack.stats().rx_frames + host.nic.rx.len() + host.nic.starved;
        if taken as u64 != delivered {
            return Err(format!("host {n} has taken {taken} of {delivered} frames"));
        }
        if host.stack.stats().tx_frames as u64 != host.nic.taken {
            return Err(format!("host {n} counts another number of frames than its card"));
        }
    }
    Ok(())
}

/// The TCP segment in a frame that a host has sent.
pub(crate) fn segment(seen: &Seen) -> Option<(Ipv4Addr, Ipv4Addr, &Tcp)> {
    match seen {
        Seen::Tcp(src, dst, segment) => Some((*src, *dst, segment)),
        _ => None,
    }
}

//! `ctl capture`: a tap of the stack, written to a caller as pcapng for as long as it listens.
//!
//! ```text
//!  {"do":"capture","snap":96,"count":10,…}  ─▶  {"ok":null}, then the capture
//!                                           ◀─  the caller closes its half: what is left follows, then statistics
//! ```

use crate::pcapng::{self, Writer};
use ringtap::device::Medium;
use ringtap::stack::Stack;
use ringtap::taps::{Direction, TapCounters, TapFilter, TapId, TapOptions, Tapped};
use ringtap::time::{Duration, Instant};
use serde_json::Value;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

/// Octets of frames that wait to be written; more are counted as dropped.
const MEMORY: usize = 4 << 20;

/// Octets on their way to a caller that reads slowly, beyond which frames stay in the tap.
const OUTSTANDING: usize = 256 << 10;

/// How soon a caller that took no more is tried again.
pub const RETRY: Duration = Duration::from_millis(5);

/// A running capture.
pub struct Capture {
    tap: TapId,
    writer: Writer<Vec<u8>>,
    /// Nanoseconds from 1970 to the stack's time 0, once that is known.
    epoch: Option<u64>,
    /// Frames that are still to be written; `None`: however many come.
    left: Option<u64>,
    ended: bool,
    frame: Vec<u8>,
}

impl Capture {
    /// Begins what a question asks for.
    pub fn start(stack: &mut Stack<'static>, names: &[String], question: &Value) -> Result<Self, String> {
        let name = |view: &ringtap::stack::InterfaceView<'_>| super::tables::name(names, view.id);
        let iface = match question["netif"].as_str() {
            Some(wanted) => {
                let found = stack.interfaces().find(|view| name(view) == wanted).map(|view| view.id);
                Some(found.ok_or_else(|| format!("no interface is called {wanted}"))?)
            }
            None => None,
        };
        let snap = question["snap"].as_u64().filter(|&n| n > 0);
        let writer = describe(stack, names, snap.unwrap_or(0)).map_err(|e| e.to_string())?;
        let is_ethernet: Vec<bool> = stack.interfaces().map(|view| view.mac.is_some()).collect();
        let filter = Wanted::asked(question)?.map(|wanted| {
            TapFilter::Owned(Box::new(move |seen: &Tapped, frame: &[u8]| {
                wanted.fits(frame, is_ethernet.get(seen.iface.index()).copied().unwrap_or(true))
            }))
        });
        let snap = snap.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
        let options = TapOptions { iface, snap, filter };
        let tap = stack.add_tap(options, vec![0; MEMORY]).map_err(|e| e.to_string())?;
        let left = question["count"].as_u64().filter(|&n| n > 0);
        Ok(Self { tap, writer, epoch: None, left, ended: false, frame: vec![0; usize::from(u16::MAX) + 64] })
    }

    /// Moves what was kept behind `out`, as far as that may grow. `false` once all that was asked for is there.
    pub fn collect(&mut self, stack: &mut Stack<'static>, now: Instant, out: &mut Vec<u8>) -> bool {
        self.collect_up_to(OUTSTANDING, stack, now, out)
    }

    fn collect_up_to(&mut self, most: usize, stack: &mut Stack<'static>, now: Instant, out: &mut Vec<u8>) -> bool {
        let epoch = *self.epoch.get_or_insert_with(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
            since.saturating_sub(now.as_micros().saturating_mul(1_000))
        });
        while out.len() + self.writer.get_mut().len() < most && self.left != Some(0) {
            let Some(seen) = stack.read_tap(self.tap, &mut self.frame) else { break };
            self.left = self.left.map(|n| n - 1);
            let direction = match seen.direction {
                Direction::In => pcapng::Direction::Inbound,
                Direction::Out => pcapng::Direction::Outbound,
            };
            let nanos = epoch.saturating_add(seen.at.as_micros().saturating_mul(1_000));
            let octets = self.frame.get(..seen.kept).unwrap_or_default();
            // A vector takes everything.
            let _ = self.writer.packet_on(seen.iface.index() as u32, nanos, direction, octets, seen.len);
        }
        out.append(self.writer.get_mut());
        self.left != Some(0)
    }

    /// Ends it: what is left of frames, no more than the tap holds, and the statistics go behind `out`.
    pub fn finish(&mut self, stack: &mut Stack<'static>, now: Instant, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.collect_up_to(usize::MAX, stack, now, out);
        let TapCounters { seen, dropped } = stack.remove_tap(self.tap).unwrap_or_default();
        let nanos = self.epoch.unwrap_or(0).saturating_add(now.as_micros().saturating_mul(1_000));
        let _ = self.writer.statistics(0, nanos, seen as u64, dropped as u64);
        out.append(self.writer.get_mut());
    }

    /// Whether all is written that there is to be.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Gives the tap back without a word: the caller is gone.
    pub fn abandon(&mut self, stack: &mut Stack<'static>) {
        if !self.ended {
            stack.remove_tap(self.tap);
        }
    }
}

/// The beginning of the capture: a description of each interface, whose numbers are the stack's.
fn describe(stack: &Stack<'static>, names: &[String], snap: u64) -> std::io::Result<Writer<Vec<u8>>> {
    let mut writer = Writer::section(Vec::new())?;
    let snap = u32::try_from(snap).unwrap_or(0);
    let mut next = 0;
    for view in stack.interfaces() {
        // A number that is free has a description all the same, for those behind it.
        while next <= view.id.index() {
            let medium = if view.mac.is_some() { Medium::Ethernet } else { Medium::Ip };
            writer.interface(medium, &super::tables::name(names, view.id), snap)?;
            next += 1;
        }
    }
    Ok(writer)
}

/// Which packets are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Wanted {
    protocol: Option<Protocol>,
    host: Option<IpAddr>,
    port: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Arp,
    Ip(u8),
}

const ARP: u16 = 0x0806;
const TCP: u8 = 6;
const UDP: u8 = 17;

impl Wanted {
    /// What a question asks for; `None`: everything.
    fn asked(question: &Value) -> Result<Option<Self>, String> {
        let protocol = match question["proto"].as_str() {
            None => None,
            Some("arp") => Some(Protocol::Arp),
            Some("icmp") => Some(Protocol::Ip(1)),
            Some("icmp6") => Some(Protocol::Ip(58)),
            Some("tcp") => Some(Protocol::Ip(TCP)),
            Some("udp") => Some(Protocol::Ip(UDP)),
            Some(other) => {
                Some(Protocol::Ip(other.parse().map_err(|_| format!("{other} is no protocol such as tcp"))?))
            }
        };
        let host = match question["host"].as_str() {
            Some(text) => Some(text.parse().map_err(|_| format!("{text} is no IP address"))?),
            None => None,
        };
        let port = question["port"].as_u64().map(u16::try_from).transpose().map_err(|_| "a port is 65535 at most")?;
        let wanted = Self { protocol, host, port };
        Ok((wanted != Self::default()).then_some(wanted))
    }

    fn fits(&self, frame: &[u8], is_ethernet: bool) -> bool {
        self.fit(frame, is_ethernet).unwrap_or(false)
    }

    /// `None` for a frame too short to tell.
    fn fit(&self, frame: &[u8], is_ethernet: bool) -> Option<bool> {
        let packet = if is_ethernet { frame.get(14..)? } else { frame };
        if is_ethernet && u16::from_be_bytes(*frame.get(12..)?.first_chunk()?) == ARP {
            let is_about = |host| [14, 24].iter().any(|&at| ip(packet, at, 4) == Some(host));
            let wanted = self.protocol.is_none_or(|p| p == Protocol::Arp) && self.port.is_none();
            return Some(wanted && self.host.is_none_or(is_about));
        }
        let first = *packet.first()?;
        let (protocol, src, dst, upper) = match first >> 4 {
            4 => (*packet.get(9)?, ip(packet, 12, 4)?, ip(packet, 16, 4)?, usize::from(first & 15) * 4),
            6 => (*packet.get(6)?, ip(packet, 8, 16)?, ip(packet, 24, 16)?, 40),
            _ => return Some(*self == Self::default()),
        };
        let is_port = |wanted: u16| {
            let port = |at: usize| packet.get(at..)?.first_chunk().map(|b| u16::from_be_bytes(*b));
            // A fragment behind the first has no ports.
            let is_first = first >> 4 == 6 || packet.get(6).is_some_and(|b| b & 0x1f == 0) && packet.get(7) == Some(&0);
            is_first && matches!(protocol, TCP | UDP) && [upper, upper + 2].iter().any(|&at| port(at) == Some(wanted))
        };
        Some(
            self.protocol.is_none_or(|p| p == Protocol::Ip(protocol))
                && self.host.is_none_or(|host| host == src || host == dst)
                && self.port.is_none_or(is_port),
        )
    }
}

/// The address of `len` octets at `at`.
fn ip(packet: &[u8], at: usize, len: usize) -> Option<IpAddr> {
    let octets = packet.get(at..at + len)?;
    match len {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(octets).ok()?)),
        _ => Some(IpAddr::from(<[u8; 16]>::try_from(octets).ok()?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn v4(protocol: u8, src: [u8; 4], dst: [u8; 4], ports: [u16; 2], fragment: u16) -> Vec<u8> {
        let [hi, lo] = fragment.to_be_bytes();
        let mut packet = vec![0x45, 0, 0, 28, 0, 0, hi, lo, 64, protocol, 0, 0];
        packet.extend(src.iter().chain(&dst));
        packet.extend(ports.iter().flat_map(|p| p.to_be_bytes()));
        packet.extend([0; 4]);
        packet
    }

    #[test]
    fn packets_are_chosen_by_protocol_host_and_port() {
        let (a, b) = ([10, 0, 0, 1], [10, 0, 0, 2]);
        let mut arp = vec![0; 14 + 28];
        arp[12..14].copy_from_slice(&[8, 6]);
        arp[14 + 14..14 + 18].copy_from_slice(&a);
        let framed = |ip: Vec<u8>| [vec![0; 12], vec![8, 0], ip].concat();
        let tcp = framed(v4(TCP, a, b, [1000, 80], 0));
        let later = framed(v4(TCP, a, b, [1000, 80], 0x2001));
        let icmp = framed(v4(1, b, a, [0, 80], 0));
        for (question, expected) in [
            (json!({}), [true; 4]),
            (json!({ "proto": "tcp" }), [false, true, true, false]),
            (json!({ "proto": "1" }), [false, false, false, true]),
            (json!({ "proto": "arp" }), [true, false, false, false]),
            (json!({ "host": "10.0.0.1" }), [true; 4]),
            (json!({ "host": "10.0.0.2" }), [false, true, true, true]),
            (json!({ "host": "10.0.0.3" }), [false; 4]),
            (json!({ "port": 80 }), [false, true, false, false]),
            (json!({ "port": 1000, "proto": "tcp" }), [false, true, false, false]),
            (json!({ "port": 1001 }), [false; 4]),
        ] {
            let wanted = Wanted::asked(&question).expect("right usage");
            let fits = [&arp, &tcp, &later, &icmp].map(|f| wanted.as_ref().is_none_or(|w| w.fits(f, true)));
            assert_eq!(fits, expected, "{question}");
        }
        let wanted = Wanted::asked(&json!({ "port": 80 })).expect("right usage").expect("a filter");
        assert!(wanted.fits(&tcp[14..], false) && !wanted.fits(&[], false) && !wanted.fits(&tcp[..20], true));
        for bad in [json!({ "proto": "tpc" }), json!({ "host": "here" }), json!({ "port": 65_536 })] {
            assert!(Wanted::asked(&bad).is_err(), "{bad}");
        }
    }
}

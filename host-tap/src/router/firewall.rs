//! An example of hooks: a packet filter of stateless rules.
//!
//! ```text
//!  deny forward proto tcp to 10.1.0.0/16 port 1-1023
//!  allow in proto udp port 53
//!  deny forward
//! ```
//!
//! The first rule that fits decides; what none fits is let through. Pieces of a TCP header that was cut up to hide its ports
//! are dropped (RFC 1858 §3, RFC 3128); later fragments fit rules without ports only, and without the first are nothing.

use super::ParseRuleError;
use ringtap::ip::addr::Cidr;
use ringtap::ip::hooks::{Hooks, Passage, Point, Verdict};
use ringtap::ip::rewrite::endpoints;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

const TCP: u8 = 6;

/// What packets a rule is about, and what becomes of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Whether they pass.
    pub allow: bool,
    /// Where they are: LocalIn, Forward or LocalOut.
    pub point: Point,
    /// Their protocol.
    pub protocol: Option<u8>,
    /// Where they come from.
    pub from: Option<Cidr>,
    /// Where they go.
    pub to: Option<Cidr>,
    /// Their destination port.
    pub ports: Option<RangeInclusive<u16>>,
}

impl FromStr for Rule {
    type Err = ParseRuleError;

    fn from_str(text: &str) -> Result<Self, ParseRuleError> {
        Self::parse(text).ok_or_else(|| ParseRuleError::new(text, "deny forward proto tcp to 10.1.0.0/16 port 22"))
    }
}

impl Rule {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let allow = match words.next()? {
            "allow" => true,
            "deny" => false,
            _ => return None,
        };
        let point = match words.next()? {
            "in" => Point::LocalIn,
            "forward" => Point::Forward,
            "out" => Point::LocalOut,
            _ => return None,
        };
        let mut rule = Self { allow, point, protocol: None, from: None, to: None, ports: None };
        while let Some(what) = words.next() {
            let value = words.next()?;
            match what {
                "proto" => rule.protocol = Some(protocol(value)?),
                "from" => rule.from = Some(value.parse().ok()?),
                "to" => rule.to = Some(value.parse().ok()?),
                "port" => rule.ports = Some(ports(value)?),
                _ => return None,
            }
        }
        Some(rule)
    }

    fn fits(&self, point: Point, packet: &Seen) -> bool {
        self.point == point
            && self.protocol.is_none_or(|p| packet.protocol == p)
            && self.from.is_none_or(|c| c.contains(packet.src))
            && self.to.is_none_or(|c| c.contains(packet.dst))
            && self.ports.as_ref().is_none_or(|p| packet.port.is_some_and(|port| p.contains(&port)))
    }
}

fn protocol(text: &str) -> Option<u8> {
    match text {
        "icmp" => Some(1),
        "tcp" => Some(TCP),
        "udp" => Some(17),
        "icmpv6" => Some(58),
        number => number.parse().ok(),
    }
}

fn ports(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some(first..=last)
}

/// What rules look at.
struct Seen {
    src: IpAddr,
    dst: IpAddr,
    protocol: u8,
    /// The destination port, where it is known.
    port: Option<u16>,
}

impl Seen {
    fn of(packet: &[u8]) -> Option<Self> {
        let octets = |at: usize, len: usize| packet.get(at..at + len);
        let (src, dst, protocol) = match packet.first()? >> 4 {
            4 => {
                let address = |at| Some(IpAddr::from(<[u8; 4]>::try_from(octets(at, 4)?).ok()?));
                (address(12)?, address(16)?, *packet.get(9)?)
            }
            _ => {
                let address = |at| Some(IpAddr::from(<[u8; 16]>::try_from(octets(at, 16)?).ok()?));
                (address(8)?, address(24)?, *packet.get(6)?)
            }
        };
        let port = endpoints(packet).filter(|e| matches!(e.protocol, TCP | 17)).map(|e| e.dst.port());
        let port = port.or_else(|| first_fragments_port(packet));
        Some(Self { src, dst, protocol, port })
    }
}

/// The destination port in the first fragment of an IPv4 packet.
fn first_fragments_port(packet: &[u8]) -> Option<u16> {
    let (first, offset) = (packet.first()?, offset(packet)?);
    if first >> 4 != 4 || offset != 0 || !matches!(packet.get(9)?, 6 | 17) {
        return None;
    }
    let at = usize::from(first & 15) * 4 + 2;
    Some(u16::from_be_bytes(*packet.get(at..)?.first_chunk()?))
}

/// The fragment offset of an IPv4 packet, in units of eight octets.
fn offset(packet: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(*packet.get(6..)?.first_chunk()?) & 0x1fff)
}

/// Whether an IPv4 fragment hides a part of TCP's header (RFC 1858 §3.1, RFC 3128).
fn hides_header(packet: &[u8]) -> bool {
    let Some(&first) = packet.first() else { return true };
    if first >> 4 != 4 || packet.get(9) != Some(&TCP) {
        return false;
    }
    let more = packet.get(6).is_some_and(|b| b & 0x20 != 0);
    let len = packet.len().saturating_sub(usize::from(first & 15) * 4);
    match offset(packet) {
        Some(0) => more && len < 20,
        Some(1) => true,
        _ => false,
    }
}

/// The filter.
pub struct Firewall {
    rules: Vec<Rule>,
    /// Packets that it has dropped.
    pub dropped: u64,
}

impl Firewall {
    /// These rules, in this order.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules, dropped: 0 }
    }

    fn passes(&self, point: Point, packet: &[u8]) -> bool {
        if !matches!(point, Point::LocalIn | Point::Forward | Point::LocalOut) {
            return true;
        }
        let Some(seen) = Seen::of(packet) else { return false };
        let decided = self.rules.iter().find(|rule| rule.fits(point, &seen));
        decided.is_none_or(|rule| rule.allow) && !(point == Point::Forward && hides_header(packet))
    }
}

impl Hooks for Firewall {
    fn on_packet(&mut self, passage: &Passage, packet: &mut [u8]) -> Verdict {
        if self.passes(passage.point, packet) {
            return Verdict::Accept;
        }
        self.dropped += 1;
        Verdict::Drop
    }
}

/// A filter, then a translator: what the first drops, the second never sees.
pub struct Chain<A, B>(pub A, pub B);

impl<A: Hooks, B: Hooks> Hooks for Chain<A, B> {
    fn on_packet(&mut self, passage: &Passage, packet: &mut [u8]) -> Verdict {
        match self.0.on_packet(passage, packet) {
            Verdict::Drop => Verdict::Drop,
            first => match self.1.on_packet(passage, packet) {
                Verdict::Accept => first,
                second => second,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read() {
        let rule: Rule = "deny forward proto tcp from 10.0.0.0/8 to fd00::/8 port 1-1023".parse().expect("a rule");
        assert_eq!(
            (rule.allow, rule.point, rule.protocol, rule.ports),
            (false, Point::Forward, Some(6), Some(1..=1023))
        );
        assert!("allow in".parse::<Rule>().is_ok() && "allow out proto 89 port 7".parse::<Rule>().is_ok());
        for text in
            ["", "allow", "perhaps in", "deny nowhere", "deny in proto", "deny in port 9-8", "deny in from here"]
        {
            assert!(text.parse::<Rule>().is_err(), "{text}");
        }
    }
}

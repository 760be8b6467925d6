//! DNS messages: a question is written, a response judged.
//!
//! Implements RFC 1035 §4.1 and §7.3, RFC 1034 §3.6.2 (aliases), RFC 2308 §2 and §5 (negative answers), RFC 5452 §9.1 (what
//! makes a response ours), RFC 9267.

use super::name::{BadName, Name};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use heapless::Vec;

/// Octets of the header.
pub(crate) const HEADER: usize = 12;
/// Octets of a question, at most: header, name, type, class.
pub(super) const LONGEST_QUERY: usize = HEADER + 255 + 4;
/// Addresses of one name that are kept.
const MAX_ADDRESSES: usize = 4;
/// Aliases followed in one response.
const MAX_ALIASES: usize = 8;

const CLASS_IN: u16 = 1;
const CNAME: u16 = 5;
const SOA: u16 = 6;

/// The kind of address that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum RecordKind {
    /// IPv4 addresses (RFC 1035 §3.4.1).
    A = 1,
    /// IPv6 addresses (RFC 3596).
    Aaaa = 28,
}

/// Addresses of a name: one to four, in the server's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses(pub(crate) Vec<IpAddr, MAX_ADDRESSES>);

impl Addresses {
    pub(crate) fn one(ip: IpAddr) -> Self {
        let mut list = Vec::new();
        let _ = list.push(ip);
        Self(list)
    }
}

impl core::ops::Deref for Addresses {
    type Target = [IpAddr];

    fn deref(&self) -> &[IpAddr] {
        &self.0
    }
}

/// Writes a question for a recursive server; its octets.
pub(super) fn write_query(buf: &mut [u8; LONGEST_QUERY], id: u16, name: &Name, kind: RecordKind) -> usize {
    let [a, b] = id.to_be_bytes();
    // RD, one question.
    let head = [a, b, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let tail = [0, kind as u8, 0, CLASS_IN as u8];
    let mut len = 0;
    for octet in head.iter().chain(name.octets()).chain(&tail) {
        if let Some(place) = buf.get_mut(len) {
            *place = *octet;
            len += 1;
        }
    }
    len
}

/// What a message means for the question that is open.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// It is no response to the question, or one that cannot be: nothing has happened.
    Ignored,
    /// This server cannot help; another may.
    Failed,
    /// The response did not fit a datagram.
    Truncated,
    /// Addresses, for as many seconds.
    Found(Addresses, u32),
    /// The name is an alias of this one, about which the response says nothing.
    Alias(Name),
    /// Aliases without an end.
    Loop,
    /// There is no such name, for as many seconds if that may be kept.
    NoName(Option<u32>),
    /// The name has no address of this kind.
    NoData(Option<u32>),
}

/// One record.
pub(crate) struct Record<'m> {
    pub owner: Name,
    pub kind: u16,
    pub class: u16,
    pub ttl: u32,
    /// Where its data begin in the message, and they themselves.
    pub at: usize,
    pub data: &'m [u8],
}

pub(crate) fn be16(message: &[u8], at: usize) -> Result<u16, BadName> {
    let octets = message.get(at..).and_then(|m| m.first_chunk()).ok_or(BadName)?;
    Ok(u16::from_be_bytes(*octets))
}

fn be32(message: &[u8], at: usize) -> Result<u32, BadName> {
    let octets = message.get(at..).and_then(|m| m.first_chunk()).ok_or(BadName)?;
    Ok(u32::from_be_bytes(*octets))
}

/// Reads the record at `at`, and where it ends.
pub(crate) fn record(message: &[u8], at: usize) -> Result<(Record<'_>, usize), BadName> {
    let (owner, at) = Name::read(message, at)?;
    let (kind, class, ttl) = (be16(message, at)?, be16(message, at + 2)?, be32(message, at + 4)?);
    let len = usize::from(be16(message, at + 8)?);
    let at = at + 10;
    let data = message.get(at..at + len).ok_or(BadName)?;
    //= https://www.rfc-editor.org/rfc/rfc2181#section-8
    //# Implementations should treat TTL values received with the most
    //# significant bit set as if the entire value received was zero.
    let ttl = if ttl >> 31 == 0 { ttl } else { 0 };
    Ok((Record { owner, kind, class, ttl, at, data }, at + len))
}

/// Judges a message; `asked` is the name as it was sent, whose letters' case must be the same if `exact`.
pub(super) fn judge(message: &[u8], id: u16, asked: &Name, exact: bool, kind: RecordKind) -> Verdict {
    judge_fallibly(message, id, asked, exact, kind).unwrap_or(Verdict::Ignored)
}

fn judge_fallibly(message: &[u8], id: u16, asked: &Name, exact: bool, kind: RecordKind) -> Result<Verdict, BadName> {
    let flags = be16(message, 2)?;
    // QR set, opcode QUERY.
    if be16(message, 0)? != id || flags >> 11 != 0b1_0000 {
        return Ok(Verdict::Ignored);
    }
    let rcode = flags & 15;
    let questions = be16(message, 4)?;
    // A server that understood nothing may bring no question back.
    if questions == 0 && matches!(rcode, 1 | 4) && message.len() == HEADER {
        return Ok(Verdict::Failed);
    }
    let (question, at) = Name::read(message, HEADER)?;
    let same = if exact { question.octets() == asked.octets() } else { question == *asked };
    if questions != 1 || !same || be16(message, at)? != kind as u16 || be16(message, at + 2)? != CLASS_IN {
        return Ok(Verdict::Ignored);
    }
    let truncated = flags & 0x0200 != 0;
    match rcode {
        _ if truncated => Ok(Verdict::Truncated),
        0 | 3 => answers(message, at + 4, asked, rcode == 3, kind),
        _ => Ok(Verdict::Failed),
    }
}

/// Follows the name through the answer section.
fn answers(message: &[u8], from: usize, asked: &Name, no_name: bool, kind: RecordKind) -> Result<Verdict, BadName> {
    let count = be16(message, 6)?;
    let after = check_records(message, from, count)?;
    let (mut name, mut aliases, mut ttl) = (asked.clone(), 0, u32::MAX);
    loop {
        let mut found = Addresses::default();
        let mut alias = None;
        let mut at = from;
        for _ in 0..count {
            let (record, end) = record(message, at)?;
            at = end;
            if record.class != CLASS_IN || record.owner != name {
                continue;
            }
            if let Some(address) = address(&record, kind) {
                // More than there is room for are left out.
                if found.0.push(address).is_ok() {
                    ttl = ttl.min(record.ttl);
                }
            } else if record.kind == CNAME {
                alias = Some((Name::read(message, record.at)?.0, record.ttl));
            }
        }
        if !found.is_empty() {
            return Ok(Verdict::Found(found, ttl));
        }
        let Some((next, alias_ttl)) = alias else { break };
        aliases += 1;
        if aliases > MAX_ALIASES || next == name || next == *asked {
            return Ok(Verdict::Loop);
        }
        (name, ttl) = (next, ttl.min(alias_ttl));
    }
    let kept = negative_ttl(message, after)?.map(|negative| negative.min(ttl));
    Ok(match no_name {
        // RFC 2308 §2.1: it is the last name of the chain that there is not.
        true => Verdict::NoName(kept),
        false if aliases > 0 && kept.is_none() => Verdict::Alias(name),
        false => Verdict::NoData(kept),
    })
}

/// Whether `count` records are there and can be; where they end.
fn check_records(message: &[u8], mut at: usize, count: u16) -> Result<usize, BadName> {
    for _ in 0..count {
        let (record, end) = record(message, at)?;
        let good = match (record.class, record.kind) {
            (CLASS_IN, 1) => record.data.len() == 4,
            (CLASS_IN, 28) => record.data.len() == 16,
            (CLASS_IN, CNAME) => Name::read(message, record.at)?.1 == end,
            _ => true,
        };
        if !good {
            return Err(BadName);
        }
        at = end;
    }
    Ok(at)
}

fn address(record: &Record<'_>, kind: RecordKind) -> Option<IpAddr> {
    match kind {
        _ if record.kind != kind as u16 => None,
        RecordKind::A => record.data.first_chunk::<4>().map(|a| Ipv4Addr::from(*a).into()),
        RecordKind::Aaaa => record.data.first_chunk::<16>().map(|a| Ipv6Addr::from(*a).into()),
    }
}

/// RFC 2308 §5: the lesser of the SOA's own TTL and its MINIMUM; without a SOA a negative answer is not kept.
fn negative_ttl(message: &[u8], mut at: usize) -> Result<Option<u32>, BadName> {
    for _ in 0..be16(message, 8)? {
        let (record, end) = record(message, at)?;
        if record.class == CLASS_IN && record.kind == SOA {
            let minimum = record.data.len().checked_sub(4).ok_or(BadName)?;
            return Ok(Some(be32(record.data, minimum)?.min(record.ttl)));
        }
        at = end;
    }
    Ok(None)
}

#[cfg(test)]
mod tests;

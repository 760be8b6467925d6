//! Wire format: IGMP, all three versions.
//!
//! Implements RFC 9776 §4 (version 3), RFC 2236 §2 (version 2), and version 1 as RFC 9776 §7 needs it.

use crate::family::IpAddr;
use crate::stats::DropReason;
use crate::time::Duration;
use crate::wire::checksum;
use crate::wire::membership::{Message, Query, Sources, Version, float};
use core::net::Ipv4Addr;

/// The protocol's number.
pub(crate) const PROTOCOL: u8 = 2;
/// Octets of a message of versions 1 and 2.
pub(crate) const SHORT: usize = 8;
/// Octets of a version 3 query without sources.
const QUERY: usize = 12;
/// Message types.
pub(crate) mod kind {
    pub const QUERY: u8 = 0x11;
    pub const V1_REPORT: u8 = 0x12;
    pub const V2_REPORT: u8 = 0x16;
    pub const V2_LEAVE: u8 = 0x17;
    pub const V3_REPORT: u8 = 0x22;
}

/// Reads a message, the payload of an IP packet.
pub(crate) fn parse(message: &[u8]) -> Result<Message<'_>, DropReason> {
    let [kind, code, _, _, a, b, c, d] = *message.first_chunk::<SHORT>().ok_or(DropReason::IgmpMalformed)?;
    if !checksum::sum(message).is_valid() {
        return Err(DropReason::IgmpMalformed);
    }
    let ip = Ipv4Addr::new(a, b, c, d);
    match kind {
        kind::QUERY => {}
        kind::V1_REPORT | kind::V2_REPORT if ip.is_multicast() => return Ok(Message::Report(IpAddr::V4(ip))),
        kind::V1_REPORT | kind::V2_REPORT => return Err(DropReason::IgmpMalformed),
        _ => return Ok(Message::Other),
    }
    let group = match ip {
        ip if ip.is_unspecified() => None,
        ip if ip.is_multicast() => Some(IpAddr::V4(ip)),
        _ => return Err(DropReason::IgmpMalformed),
    };
    // In tenths of a second.
    let time = |tenths: u32| Duration::from_millis(u64::from(tenths) * 100);
    let old = Query {
        version: if code == 0 { Version::V1 } else { Version::V2 },
        // RFC 9776 §7.2.1: version 1 says nothing, and means ten seconds.
        max_response: time(if code == 0 { 100 } else { code.into() }),
        group,
        sources: Sources::V4(&[]),
        robustness: None,
        interval: None,
    };
    // RFC 9776 §7.1: eight octets are of version 1 or 2, and what is between that and version 3 is nothing.
    if message.len() == SHORT {
        return Ok(Message::Query(old));
    }
    let (&[.., flags, interval, hi, lo], rest) =
        message.split_first_chunk::<QUERY>().ok_or(DropReason::IgmpMalformed)?;
    let named = usize::from(u16::from_be_bytes([hi, lo]));
    let sources = rest.as_chunks::<4>().0.get(..named).ok_or(DropReason::IgmpMalformed)?;
    Ok(Message::Query(Query {
        version: Version::V3,
        max_response: time(float(code)),
        sources: Sources::V4(sources),
        robustness: Some(flags & 7).filter(|r| *r > 0),
        interval: Some(float(interval)).filter(|i| *i > 0),
        ..old
    }))
}

/// A message of versions 1 and 2.
pub(crate) fn short(kind: u8, group: Ipv4Addr) -> [u8; SHORT] {
    let [a, b, c, d] = group.octets();
    let mut message = [kind, 0, 0, 0, a, b, c, d];
    fill_checksum(&mut message);
    message
}

/// Computes and stores a message's checksum.
pub(crate) fn fill_checksum(message: &mut [u8]) {
    let checksum = checksum::sum(message).finish();
    if let Some(field) = message.get_mut(2..4) {
        field.copy_from_slice(&checksum.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::vec::Vec;

    const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);

    fn query(code: u8, group: Ipv4Addr, long: &[u8]) -> Vec<u8> {
        let mut m = [&[kind::QUERY, code, 0, 0][..], &group.octets(), long].concat();
        let c = checksum::sum(&m).finish();
        m[2..4].copy_from_slice(&c.to_be_bytes());
        m
    }

    fn read(code: u8, long: &[u8]) -> Option<(Version, u64)> {
        match parse(&query(code, Ipv4Addr::UNSPECIFIED, long)) {
            Ok(Message::Query(Query { version, max_response, group: None, .. })) => {
                Some((version, max_response.as_millis() / 100))
            }
            _ => None,
        }
    }

    /// H120, the codes.
    #[test]
    fn versions_and_times_are_as_the_length_and_the_code_say() {
        for (code, long, expected) in [
            (0, &[][..], Some((Version::V1, 100))),
            (100, &[], Some((Version::V2, 100))),
            (255, &[], Some((Version::V2, 255))),
            (100, &[2, 125, 0, 0], Some((Version::V3, 100))),
            (0x80, &[2, 125, 0, 0], Some((Version::V3, 128))),
            (0xff, &[2, 125, 0, 0], Some((Version::V3, 31_744))),
            (100, &[2, 125, 0], None),
            (100, &[2, 125, 0, 1], None),
            (100, &[2, 125, 0, 1, 192, 0, 2, 1], Some((Version::V3, 100))),
            (100, &[2, 125, 0xff, 0xff, 192, 0, 2, 1], None),
        ] {
            assert_eq!(read(code, long), expected, "{code} {long:?}");
        }
        let message = query(100, GROUP, &[3, 0x80, 0, 1, 192, 0, 2, 1]);
        let Ok(Message::Query(q)) = parse(&message) else { panic!("a query") };
        assert_eq!((q.group, q.robustness, q.interval), (Some(GROUP.into()), Some(3), Some(128)));
        assert_eq!((q.sources.len(), q.sources.nth(0)), (1, Some(Ipv4Addr::new(192, 0, 2, 1).into())));
        assert!(parse(&query(100, Ipv4Addr::new(10, 0, 0, 1), &[])).is_err());
    }

    #[test]
    fn what_is_written_is_valid_and_what_is_damaged_is_refused() {
        let v2 = short(kind::V2_REPORT, GROUP);
        assert_eq!(parse(&v2), Ok(Message::Report(GROUP.into())));
        for bit in 0..64 {
            let mut bad = v2;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(&bad), Err(DropReason::IgmpMalformed), "{bit}");
        }
        assert!((0..SHORT).all(|n| parse(&v2[..n]).is_err()));
    }
}

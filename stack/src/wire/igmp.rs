//! Wire format: IGMP, all three versions.
//!
//! Implements RFC 9776 §4 (version 3), RFC 2236 §2 (version 2), and version 1 as RFC 9776 §7 needs it.

use crate::stats::DropReason;
use crate::wire::checksum;
use core::net::Ipv4Addr;

/// The protocol's number.
pub(crate) const PROTOCOL: u8 = 2;
/// Octets of a message of versions 1 and 2.
pub(crate) const SHORT: usize = 8;
/// Octets of a version 3 report of one record without sources.
pub(crate) const REPORT: usize = 16;

/// Message types.
pub(crate) mod kind {
    pub const QUERY: u8 = 0x11;
    pub const V1_REPORT: u8 = 0x12;
    pub const V2_REPORT: u8 = 0x16;
    pub const V2_LEAVE: u8 = 0x17;
    pub const V3_REPORT: u8 = 0x22;
}

/// A record's type in a version 3 report (RFC 9776 §4.2.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordType {
    /// We are in the group, for all sources.
    IsExclude = 2,
    /// We left the group.
    ToInclude = 3,
    /// We joined the group.
    ToExclude = 4,
}

/// A querier's version, as its query shows (RFC 9776 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    V1,
    V2,
    V3,
}

/// What a received message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Query {
        version: Version,
        /// In tenths of a second.
        max_response: u32,
        /// `None`: about all groups.
        group: Option<Ipv4Addr>,
        /// The robustness variable, where one is given.
        robustness: Option<u8>,
        /// The querier's interval in seconds, where one is given.
        interval: Option<u32>,
    },
    /// Another host is in the group.
    Report(Ipv4Addr),
    /// For routers.
    Other,
}

/// Codes from 128 on are floating (RFC 9776 §4.1.1).
fn float(code: u8) -> u32 {
    match code {
        0..128 => code.into(),
        _ => (u32::from(code & 0x0f) | 0x10) << (u32::from(code >> 4 & 7) + 3),
    }
}

/// Reads a message, the payload of an IP packet.
pub(crate) fn parse(message: &[u8]) -> Result<Message, DropReason> {
    let [kind, code, _, _, a, b, c, d] = *message.first_chunk::<SHORT>().ok_or(DropReason::IgmpMalformed)?;
    if !checksum::sum(message).is_valid() {
        return Err(DropReason::IgmpMalformed);
    }
    let ip = Ipv4Addr::new(a, b, c, d);
    match kind {
        kind::QUERY => {}
        kind::V1_REPORT | kind::V2_REPORT if ip.is_multicast() => return Ok(Message::Report(ip)),
        kind::V1_REPORT | kind::V2_REPORT => return Err(DropReason::IgmpMalformed),
        _ => return Ok(Message::Other),
    }
    let group = match ip {
        ip if ip.is_unspecified() => None,
        ip if ip.is_multicast() => Some(ip),
        _ => return Err(DropReason::IgmpMalformed),
    };
    let long = message.get(SHORT..).and_then(|rest| rest.first_chunk::<4>());
    Ok(match (message.len(), long) {
        // RFC 9776 §7.1: eight octets are of version 1 or 2, and what is between that and version 3 is nothing.
        (SHORT, _) if code == 0 => {
            Message::Query { version: Version::V1, max_response: 100, group, robustness: None, interval: None }
        }
        (SHORT, _) => {
            let max_response = code.into();
            Message::Query { version: Version::V2, max_response, group, robustness: None, interval: None }
        }
        (_, Some(&[flags, interval, hi, lo])) => {
            let sources = usize::from(u16::from_be_bytes([hi, lo]));
            if message.len() < SHORT + 4 + 4 * sources {
                return Err(DropReason::IgmpMalformed);
            }
            let robustness = Some(flags & 7).filter(|r| *r > 0);
            let interval = Some(float(interval)).filter(|i| *i > 0);
            let max_response = float(code);
            Message::Query { version: Version::V3, max_response, group, robustness, interval }
        }
        (_, None) => return Err(DropReason::IgmpMalformed),
    })
}

/// A message of versions 1 and 2.
pub(crate) fn short(kind: u8, group: Ipv4Addr) -> [u8; SHORT] {
    let [a, b, c, d] = group.octets();
    finished([kind, 0, 0, 0, a, b, c, d])
}

/// A version 3 report of one record without sources.
pub(crate) fn report(record: RecordType, group: Ipv4Addr) -> [u8; REPORT] {
    let [a, b, c, d] = group.octets();
    finished([kind::V3_REPORT, 0, 0, 0, 0, 0, 0, 1, record as u8, 0, 0, 0, a, b, c, d])
}

fn finished<const N: usize>(mut message: [u8; N]) -> [u8; N] {
    let checksum = checksum::sum(&message).finish();
    if let Some(field) = message.get_mut(2..4) {
        field.copy_from_slice(&checksum.to_be_bytes());
    }
    message
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

    fn read(code: u8, long: &[u8]) -> Option<(Version, u32)> {
        match parse(&query(code, Ipv4Addr::UNSPECIFIED, long)) {
            Ok(Message::Query { version, max_response, group: None, .. }) => Some((version, max_response)),
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
        let Ok(Message::Query { robustness, interval, .. }) = parse(&query(100, GROUP, &[3, 0x80, 0, 0])) else {
            panic!("a query")
        };
        assert_eq!((robustness, interval), (Some(3), Some(128)));
        assert!(parse(&query(100, Ipv4Addr::new(10, 0, 0, 1), &[])).is_err());
    }

    #[test]
    fn what_is_written_is_valid_and_what_is_damaged_is_refused() {
        let report = report(RecordType::ToExclude, GROUP);
        assert_eq!(parse(&report), Ok(Message::Other));
        assert_eq!(report[..2], [0x22, 0]);
        assert_eq!(report[6..], [0, 1, 4, 0, 0, 0, 239, 1, 2, 3]);
        let v2 = short(kind::V2_REPORT, GROUP);
        assert_eq!(parse(&v2), Ok(Message::Report(GROUP)));
        for bit in 0..64 {
            let mut bad = v2;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(&bad), Err(DropReason::IgmpMalformed), "{bit}");
        }
        assert!((0..SHORT).all(|n| parse(&v2[..n]).is_err()));
    }
}

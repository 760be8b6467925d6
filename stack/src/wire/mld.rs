//! Wire format: Multicast Listener Discovery, both versions.
//!
//! Implements RFC 9777 §5 (version 2) and RFC 2710 §3 (version 1). The ICMPv6 checksum is verified before.

use crate::stats::DropReason;
use crate::time::Duration;
use crate::wire::extension;
use crate::wire::ipv6;
use crate::wire::membership::{Message, Query, Sources, Version, float};
use core::net::{IpAddr, Ipv6Addr};

/// ICMPv6 message types.
pub(crate) mod kind {
    pub const QUERY: u8 = 130;
    pub const V1_REPORT: u8 = 131;
    pub const V1_DONE: u8 = 132;
    pub const V2_REPORT: u8 = 143;
}

/// Octets of a message of version 1.
pub(crate) const SHORT: usize = 24;
/// Octets of a version 2 query without sources.
const QUERY: usize = 28;

/// A hop-by-hop options header with the Router Alert option for MLD (RFC 2711 §2.1) in front of ICMPv6.
pub(crate) const ROUTER_ALERT: [u8; 8] = [58, 0, 5, 2, 0, 0, 1, 0];

/// Codes from 32,768 on are floating (RFC 9777 §5.1.3); in milliseconds.
fn max_response(code: u16) -> u32 {
    match code {
        0..0x8000 => code.into(),
        _ => (u32::from(code & 0x0fff) | 0x1000) << (u32::from(code >> 12 & 7) + 3),
    }
}

/// Reads the message behind `headers`, an IPv6 packet's headers, whose source and hop limit these are.
pub(crate) fn parse<'b>(
    headers: &[u8],
    message: &'b [u8],
    src: Ipv6Addr,
    hop_limit: u8,
) -> Result<Message<'b>, DropReason> {
    let malformed = DropReason::MldMalformed;
    let message_of_1 = message.first_chunk::<SHORT>();
    if hop_limit != 1 || message.get(1) != Some(&0) {
        return Err(malformed);
    }
    let short = match message.first() {
        Some(&kind::QUERY | &kind::V1_REPORT) => message_of_1.ok_or(malformed)?,
        _ => return Ok(Message::Other),
    };
    let group = short.last_chunk::<16>().map(|octets| Ipv6Addr::from(*octets)).ok_or(malformed)?;
    //= https://www.rfc-editor.org/rfc/rfc9777#section-6.2
    //# Upon reception of an MLD message that contains a Query, the node
    //# checks if the source address of the message is a valid link-local
    //# address, if the Hop Limit is set to 1, and if the Router Alert option
    //# is present in the Hop-By-Hop Options header of the IPv6 packet.  If
    //# any of these checks fail, the packet is dropped.
    if !src.is_unicast_link_local() || !has_router_alert(headers) {
        return Err(malformed);
    }
    if short[0] == kind::V1_REPORT {
        return if group.is_multicast() { Ok(Message::Report(group.into())) } else { Err(malformed) };
    }
    let group = match group {
        any if any.is_unspecified() => None,
        group if group.is_multicast() => Some(IpAddr::V6(group)),
        _ => return Err(malformed),
    };
    let code = u16::from_be_bytes([short[4], short[5]]);
    let millis = |millis: u32| Duration::from_millis(millis.into());
    // RFC 9777 §8.1: 24 octets are of version 1, and what is between that and version 2 is nothing.
    let of_1 = Query {
        version: Version::V2,
        max_response: millis(code.into()),
        group,
        sources: Sources::V6(&[]),
        robustness: None,
        interval: None,
    };
    if message.len() == SHORT {
        return Ok(Message::Query(of_1));
    }
    let (fixed, rest) = message.split_first_chunk::<QUERY>().ok_or(malformed)?;
    let [.., flags, interval, hi, lo] = *fixed;
    let named = usize::from(u16::from_be_bytes([hi, lo]));
    let sources = rest.as_chunks::<16>().0.get(..named).ok_or(malformed)?;
    Ok(Message::Query(Query {
        version: Version::V3,
        max_response: millis(max_response(code)),
        sources: Sources::V6(sources),
        robustness: Some(flags & 7).filter(|r| *r > 0),
        interval: Some(float(interval)).filter(|i| *i > 0),
        ..of_1
    }))
}

/// Whether the headers of an IPv6 packet have the option; they have been walked, and are well-formed.
fn has_router_alert(headers: &[u8]) -> bool {
    if headers.get(ipv6::NEXT_HEADER) != Some(&extension::HOP_BY_HOP) {
        return false;
    }
    let Some(&[_, len]) = headers.get(ipv6::HEADER..).and_then(|h| h.first_chunk::<2>()) else { return false };
    let end = ipv6::HEADER + 8 + 8 * usize::from(len);
    let mut rest = headers.get(ipv6::HEADER + 2..end).unwrap_or(&[]);
    loop {
        rest = match *rest {
            [0, ref behind @ ..] => behind,
            [5, 2, 0, 0, ..] => return true,
            [_, len, ref behind @ ..] => behind.get(usize::from(len)..).unwrap_or(&[]),
            _ => return false,
        };
    }
}

/// A message of version 1, its checksum 0.
pub(crate) fn short(kind: u8, group: Ipv6Addr) -> [u8; SHORT] {
    let mut message = [0; SHORT];
    message[0] = kind;
    message[8..].copy_from_slice(&group.octets());
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    extern crate std;
    use std::vec::Vec;

    const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x1234);
    const QUERIER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

    fn headers(options: &[u8]) -> Vec<u8> {
        let mut all = std::vec![0; ipv6::HEADER];
        all.extend_from_slice(options);
        all
    }

    fn query(code: u16, group: Ipv6Addr, long: &[u8]) -> Vec<u8> {
        let mut m = std::vec![kind::QUERY, 0, 0, 0];
        m.extend(code.to_be_bytes());
        m.extend([0, 0]);
        m.extend(group.octets());
        m.extend(long);
        m
    }

    fn read(message: &[u8]) -> Result<Message<'_>, DropReason> {
        parse(&headers(&ROUTER_ALERT), message, QUERIER, 1)
    }

    /// H120, the codes.
    #[test]
    fn versions_and_times_are_as_the_length_and_the_code_say() {
        let source = [0xfd; 16];
        let long = |count: u8, sources: &[u8]| [&[2, 125, 0, count][..], sources].concat();
        for (code, long, expected) in [
            (10_000, std::vec![], Some((Version::V2, 10_000, 0))),
            (0xffff, std::vec![], Some((Version::V2, 65_535, 0))),
            (10_000, long(0, &[]), Some((Version::V3, 10_000, 0))),
            (0x8000, long(0, &[]), Some((Version::V3, 32_768, 0))),
            (0xffff, long(0, &[]), Some((Version::V3, 8_387_584, 0))),
            (10_000, std::vec![2, 125, 0], None),
            (10_000, long(1, &[]), None),
            (10_000, long(1, &source), Some((Version::V3, 10_000, 1))),
            (10_000, long(2, &source), None),
        ] {
            let message = query(code, Ipv6Addr::UNSPECIFIED, &long);
            let got = match read(&message) {
                Ok(Message::Query(q)) => {
                    assert_eq!(q.group, None);
                    Some((q.version, q.max_response.as_millis(), q.sources.len()))
                }
                _ => None,
            };
            assert_eq!(got, expected, "{code} {long:?}");
        }
        let message = query(1, GROUP, &[3, 0x80, 0, 0]);
        let Ok(Message::Query(q)) = read(&message) else { panic!("a query") };
        assert_eq!((q.group, q.robustness, q.interval), (Some(GROUP.into()), Some(3), Some(128)));
    }

    /// H118, H119: what is not from the link, or does not say who is to look at it.
    #[test]
    fn what_does_not_come_from_the_link_with_a_router_alert_is_dropped() {
        let message = query(1, GROUP, &[]);
        let bad = Err(DropReason::MldMalformed);
        assert!(read(&message).is_ok());
        let alert = headers(&ROUTER_ALERT);
        assert_eq!(parse(&alert, &message, QUERIER, 2), bad);
        assert_eq!(parse(&alert, &message, "fd00::1".parse().expect("valid text"), 1), bad);
        assert_eq!(parse(&headers(&[58, 0, 1, 4, 0, 0, 0, 0]), &message, QUERIER, 1), bad);
        assert!(parse(&headers(&[58, 0, 0, 0, 5, 2, 0, 0]), &message, QUERIER, 1).is_ok());
        let mut plain = headers(&ROUTER_ALERT);
        plain[ipv6::NEXT_HEADER] = 58;
        assert_eq!(parse(&plain, &message, QUERIER, 1), bad);
        assert_eq!(read(&query(1, "fd00::1".parse().expect("valid text"), &[])), bad);
        assert!((0..SHORT).all(|n| read(&message[..n]).is_err() || n == 0));
        assert_eq!(read(&short(kind::V1_REPORT, GROUP)), Ok(Message::Report(GROUP.into())));
        assert_eq!(read(&short(kind::V1_DONE, GROUP)), Ok(Message::Other));
    }

    proptest! {
        #[test]
        fn no_octets_make_reading_panic(
            mut m in proptest::collection::vec(any::<u8>(), 0..100),
            options in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            if let Some(first) = m.first_mut() { *first = kind::QUERY; }
            if let Some(code) = m.get_mut(1) { *code = 0; }
            let _ = read(&m);
            let _ = parse(&headers(&options), &m, QUERIER, 1);
        }
    }
}

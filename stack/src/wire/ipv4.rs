//! Wire format: IPv4 headers.
//!
//! Implements the header of RFC 791 §3.1, with what RFC 1122 §3.2.1 and RFC 7126 §4 say of reading it.

use crate::stats::DropReason;
use core::net::Ipv4Addr;

/// Octets of a header without options, which is what we send.
pub(crate) const HEADER: usize = 20;
/// Octets of a header with all the options that it can have.
pub(crate) const MAX_HEADER: usize = 60;

/// Flags, in the word of the fragment offset.
const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;

/// An IPv4 header as received; its options, if any, are well-formed and no source route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ipv4Header {
    pub src: Ipv4Addr,
    pub dst: Ipv4Addr,
    pub protocol: u8,
    pub ttl: u8,
    /// DSCP and ECN together, as on the wire.
    pub tos: u8,
    pub ident: u16,
    pub dont_frag: bool,
    pub more_frags: bool,
    /// In octets.
    pub frag_offset: u16,
    /// In octets, 20 to 60.
    pub header_len: usize,
    /// In octets, header included; at most what was received, which may go on behind it.
    pub total_len: usize,
}

impl Ipv4Header {
    /// Whether this is a part of a datagram only.
    pub fn is_fragment(&self) -> bool {
        self.more_frags || self.frag_offset != 0
    }

    /// Octets behind the header.
    pub fn payload_len(&self) -> usize {
        self.total_len - self.header_len
    }
}

/// Reads the header of `packet`, which may go on behind the total length (the medium's padding).
#[inline]
pub(crate) fn parse(packet: &[u8]) -> Result<Ipv4Header, DropReason> {
    let fixed = packet.first_chunk::<HEADER>().ok_or(DropReason::Ipv4Malformed)?;
    let [_, tos, len_hi, len_lo, id_hi, id_lo, frag_hi, frag_lo, ttl, protocol, _, _, addresses @ ..] = *fixed;
    let [s0, s1, s2, s3, d0, d1, d2, d3] = addresses;
    let fragment = u16::from_be_bytes([frag_hi, frag_lo]);
    let header = Ipv4Header {
        src: Ipv4Addr::new(s0, s1, s2, s3),
        dst: Ipv4Addr::new(d0, d1, d2, d3),
        protocol,
        ttl,
        tos,
        ident: u16::from_be_bytes([id_hi, id_lo]),
        dont_frag: fragment & DONT_FRAGMENT != 0,
        more_frags: fragment & MORE_FRAGMENTS != 0,
        // In units of eight octets on the wire.
        frag_offset: fragment << 3,
        header_len: usize::from(fixed[0] & 15) * 4,
        total_len: usize::from(u16::from_be_bytes([len_hi, len_lo])),
    };
    // One comparison for both of version 4 and no options, which nearly every packet has.
    if fixed[0] != 0x45 {
        check_unusual(&header, packet)?;
    }
    if header.total_len < header.header_len || header.total_len > packet.len() {
        return Err(DropReason::Ipv4Malformed);
    }
    //= https://www.rfc-editor.org/rfc/rfc1122#section-3.2.1.2
    //# A host MUST verify the IP header checksum on every received
    //# datagram and silently discard every datagram that has a bad
    //# checksum.
    if fixed[0] == 0x45 && sum(fixed) != 0xffff {
        return Err(DropReason::Ipv4Checksum);
    }
    Ok(header)
}

/// Checks a header of another version or length than nearly all have: its sum, then its options.
#[cold]
fn check_unusual(header: &Ipv4Header, packet: &[u8]) -> Result<(), DropReason> {
    let bytes = packet.get(..header.header_len).ok_or(DropReason::Ipv4Malformed)?;
    if packet.first().is_none_or(|b| b >> 4 != 4) || header.header_len < HEADER || header.total_len < header.header_len
    {
        return Err(DropReason::Ipv4Malformed);
    }
    if sum(bytes) != 0xffff {
        return Err(DropReason::Ipv4Checksum);
    }
    check_options(bytes)
}

/// The ones' complement sum of `words`, a multiple of four octets, in the machine's byte order.
///
/// The byte order of such a sum is that of its parts (RFC 1071 §2), and 0xffff reads the same in both.
#[inline]
fn sum(words: &[u8]) -> u16 {
    let (words, _) = words.as_chunks::<4>();
    let sum: u64 = words.iter().map(|w| u64::from(u32::from_ne_bytes(*w))).sum();
    // A number and its rotation by half add up, with the carry of the lower halves, to the folded sum in the upper half.
    let sum = (sum.wrapping_add(sum.rotate_left(32)) >> 32) as u32;
    (sum.wrapping_add(sum.rotate_left(16)) >> 16) as u16
}

/// Walks the options of `header`: each must lie inside it and none may be a source route.
///
/// A completed source route is refused as well: what sent it steers around whatever stands between (RFC 7126 §4.3).
fn check_options(header: &[u8]) -> Result<(), DropReason> {
    let mut options = header.get(HEADER..).unwrap_or(&[]);
    loop {
        match *options {
            [] | [END, ..] => return Ok(()),
            [NOP, ref rest @ ..] => options = rest,
            [LSRR | SSRR, ..] => return Err(DropReason::Ipv4SourceRoute),
            //= https://www.rfc-editor.org/rfc/rfc1122#section-3.2.1.8
            //# The IP and transport layer MUST each interpret those IP
            //# options that they understand and silently ignore the others.
            [_, len, ..] if len >= 2 => options = options.get(usize::from(len)..).ok_or(DropReason::Ipv4Options)?,
            _ => return Err(DropReason::Ipv4Options),
        }
    }
}

const END: u8 = 0;
const NOP: u8 = 1;
/// Loose source and record route.
const LSRR: u8 = 131;
/// Strict source and record route.
const SSRR: u8 = 137;

/// Source and destination of a packet that the stack itself has made or checked; `None` when it is too short.
#[inline]
pub(crate) fn addresses(packet: &[u8]) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let [.., s0, s1, s2, s3, d0, d1, d2, d3] = *packet.first_chunk::<HEADER>()?;
    Some((Ipv4Addr::new(s0, s1, s2, s3), Ipv4Addr::new(d0, d1, d2, d3)))
}

/// What a header that we send says, its lengths aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fields {
    pub src: Ipv4Addr,
    pub dst: Ipv4Addr,
    pub protocol: u8,
    pub ttl: u8,
    /// DSCP and ECN together, as on the wire.
    pub tos: u8,
    pub ident: u16,
    pub dont_frag: bool,
}

/// Writes a header without options, checksum included, in front of `payload_len` octets (at most 65,515) into the first
/// [`HEADER`] octets of `buf`, which has as many.
#[cfg_attr(target_os = "none", inline(never))]
#[cfg_attr(not(target_os = "none"), inline)]
pub(crate) fn emit(buf: &mut [u8], fields: &Fields, payload_len: usize) {
    let Some(bytes) = buf.first_chunk_mut::<HEADER>() else {
        debug_assert!(false, "room for an IPv4 header");
        return;
    };
    debug_assert!(payload_len <= 65_535 - HEADER, "a payload that fits a datagram");
    let Fields { src, dst, protocol, ttl, tos, ident, dont_frag } = *fields;
    // The words of the header one by one, which are stores of words.
    bytes[..2].copy_from_slice(&[0x45, tos]);
    bytes[2..4].copy_from_slice(&((HEADER + payload_len) as u16).to_be_bytes());
    bytes[4..6].copy_from_slice(&ident.to_be_bytes());
    bytes[6..8].copy_from_slice(&(if dont_frag { DONT_FRAGMENT } else { 0 }).to_be_bytes());
    bytes[8..12].copy_from_slice(&[ttl, protocol, 0, 0]);
    bytes[12..16].copy_from_slice(&src.octets());
    bytes[16..].copy_from_slice(&dst.octets());
    set_checksum(bytes);
}

/// Octets of a header with the Router Alert option.
#[cfg(feature = "multicast")]
pub(crate) const ALERT_HEADER: usize = HEADER + 4;

/// As [`emit`], with the option that lets routers look at the packet (RFC 2113 §2.1), in [`ALERT_HEADER`] octets.
#[cfg(feature = "multicast")]
pub(crate) fn emit_with_router_alert(buf: &mut [u8], fields: &Fields, payload_len: usize) {
    let Some(bytes) = buf.first_chunk_mut::<ALERT_HEADER>() else {
        debug_assert!(false, "room for a header with an option");
        return;
    };
    // The option counts as payload, until the length of the header says otherwise.
    emit(bytes, fields, payload_len + 4);
    bytes[0] = 0x46;
    bytes[HEADER..].copy_from_slice(&[148, 4, 0, 0]);
    set_checksum(bytes);
}

/// Turns the header in `buf` into that of a fragment of `payload_len` octets, which starts at `offset` (a multiple of
/// eight), and computes its checksum anew.
pub(crate) fn set_fragment(buf: &mut [u8], offset: u16, more: bool, payload_len: usize) {
    let header_len = buf.len();
    let Some(bytes) = buf.first_chunk_mut::<HEADER>() else {
        debug_assert!(false, "an IPv4 header");
        return;
    };
    let mut out = smoltcp::wire::Ipv4Packet::new_unchecked(&mut bytes[..]);
    out.set_header_len(header_len as u8);
    out.set_total_len((header_len + payload_len) as u16);
    out.clear_flags();
    out.set_more_frags(more);
    out.set_frag_offset(offset);
    set_checksum(buf);
}

/// Turns the first fragment's header in `buf` into that of the whole packet of `total_len` octets.
pub(crate) fn set_whole(buf: &mut [u8], total_len: usize) {
    let payload_len = total_len.saturating_sub(buf.len());
    set_fragment(buf, 0, false, payload_len);
}

/// Computes the checksum of `header`, a whole IPv4 header.
#[inline]
pub(crate) fn set_checksum(header: &mut [u8]) {
    if let Some(field) = header.get_mut(10..12) {
        field.copy_from_slice(&[0, 0]);
    }
    let checksum = (!sum(header)).to_ne_bytes();
    if let Some(field) = header.get_mut(10..12) {
        field.copy_from_slice(&checksum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use smoltcp::wire::Ipv4Packet;
    extern crate std;
    use std::vec::Vec;

    const FIELDS: Fields = Fields {
        src: Ipv4Addr::new(192, 0, 2, 9),
        dst: Ipv4Addr::new(192, 0, 2, 1),
        protocol: 17,
        ttl: 64,
        tos: 0xb9,
        ident: 0x1234,
        dont_frag: true,
    };

    fn packet(options: &[u8], payload: usize) -> Vec<u8> {
        let mut p = std::vec![0; HEADER];
        emit(&mut p, &FIELDS, options.len() + payload);
        p.extend_from_slice(options);
        p[0] = 0x40 | (p.len() / 4) as u8;
        set_checksum(&mut p);
        p.resize(p.len() + payload, 0xab);
        p
    }

    #[test]
    fn a_header_is_written_as_it_is_read() {
        let p = packet(&[], 7);
        assert_eq!(
            parse(&p),
            Ok(Ipv4Header {
                src: FIELDS.src,
                dst: FIELDS.dst,
                protocol: 17,
                ttl: 64,
                tos: 0xb9,
                ident: 0x1234,
                dont_frag: true,
                more_frags: false,
                frag_offset: 0,
                header_len: 20,
                total_len: 27,
            })
        );
        let smoltcp = Ipv4Packet::new_checked(&p[..]).expect("smoltcp reads it too");
        assert!(smoltcp.verify_checksum());
    }

    /// H019.
    #[test]
    fn impossible_versions_and_lengths_are_dropped() {
        let good = packet(&[], 8);
        assert!(parse(&good).is_ok());
        for len in 0..good.len() {
            assert_eq!(parse(&good[..len]), Err(DropReason::Ipv4Malformed), "{len} octets received");
        }
        for first in (0x00..=0xff).filter(|b| b >> 4 != 4 || b & 15 < 5 || b & 15 > 7) {
            let mut bad = good.clone();
            bad[0] = first;
            set_checksum(&mut bad[..20]);
            assert_eq!(parse(&bad), Err(DropReason::Ipv4Malformed), "first octet {first:#x}");
        }
        for total in (0..20).chain(29..40) {
            let mut bad = good.clone();
            bad[2..4].copy_from_slice(&u16::to_be_bytes(total));
            set_checksum(&mut bad[..20]);
            assert_eq!(parse(&bad), Err(DropReason::Ipv4Malformed), "total length {total}");
        }
    }

    /// H019.
    #[test]
    fn any_flipped_bit_of_the_header_is_noticed() {
        for good in [packet(&[], 40), packet(&[1, 1, 1, 0], 40)] {
            let header = usize::from(good[0] & 15) * 4;
            for bit in 0..header * 8 {
                let mut bad = good.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert!(parse(&bad).is_err(), "bit {bit}");
            }
        }
    }

    /// H020.
    #[test]
    fn a_trailer_behind_the_total_length_is_no_payload() {
        let mut p = packet(&[], 8);
        p.resize(500, 0xee);
        let header = parse(&p).expect("a valid packet with a trailer");
        assert_eq!((header.total_len, header.payload_len()), (28, 8));
    }

    /// H022, H023.
    #[test]
    fn options_are_walked_and_source_routes_refused() {
        use DropReason::{Ipv4Options as Malformed, Ipv4SourceRoute as SourceRoute};
        let cases: &[(&[u8], Result<(), DropReason>)] = &[
            (&[0x9e, 4, 1, 2], Ok(())),
            (&[1, 1, 1, 1], Ok(())),
            (&[0, 0xff, 0xff, 0xff], Ok(())),
            (&[148, 4, 0, 0], Ok(())),
            (&[7, 7, 4, 0, 0, 0, 0, 0], Ok(())),
            (&[0x9e, 0, 0, 0], Err(Malformed)),
            (&[0x9e, 1, 0, 0], Err(Malformed)),
            (&[0x9e, 5, 0, 0], Err(Malformed)),
            (&[1, 1, 1, 0x9e], Err(Malformed)),
            (&[1, 1, 0x9e, 3], Err(Malformed)),
            (&[131, 7, 4, 1, 2, 3, 4, 0], Err(SourceRoute)),
            (&[137, 7, 8, 1, 2, 3, 4, 0], Err(SourceRoute)),
            (&[131, 2, 0, 0], Err(SourceRoute)),
            (&[131, 3, 3, 0], Err(SourceRoute)),
            (&[1, 131, 3, 255], Err(SourceRoute)),
            (&[1, 1, 1, 131], Err(SourceRoute)),
        ];
        for (options, expected) in cases {
            assert_eq!(parse(&packet(options, 4)).map(|_| ()), *expected, "{options:?}");
        }
    }

    #[test]
    fn fragment_fields_are_in_octets() {
        let mut p = packet(&[], 16);
        set_fragment(&mut p[..20], 1480, true, 16);
        let header = parse(&p).expect("a valid fragment");
        assert_eq!((header.frag_offset, header.more_frags, header.dont_frag), (1480, true, false));
        assert!(header.is_fragment());
        set_fragment(&mut p[..20], 65_528, false, 16);
        assert_eq!(parse(&p).map(|h| (h.frag_offset, h.more_frags)), Ok((65_528, false)));
    }

    proptest! {
        #[test]
        fn no_octets_make_the_parser_panic(mut p in proptest::collection::vec(any::<u8>(), 0..80), fix: bool) {
            if fix && p.len() >= 60 {
                p[0] = 0x40 | (p[0] & 15).max(5);
                let len = p.len() as u16;
                p[2..4].copy_from_slice(&len.to_be_bytes());
                let header = usize::from(p[0] & 15) * 4;
                set_checksum(&mut p[..header]);
            }
            if let Ok(h) = parse(&p) {
                prop_assert!(h.header_len >= 20 && h.header_len <= h.total_len && h.total_len <= p.len());
            }
        }
    }
}

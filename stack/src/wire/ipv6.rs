//! Wire format: the fixed IPv6 header, and the fragment header that we send.
//!
//! Implements RFC 8200 §3 and §4.5. Received extension headers are walked in `extension.rs`.

use crate::stats::DropReason;
use core::net::Ipv6Addr;

/// Octets of the fixed header.
pub(crate) const HEADER: usize = 40;
/// Where its Payload Length field is.
pub(crate) const PAYLOAD_LENGTH: usize = 4;
/// Where its Next Header field is.
pub(crate) const NEXT_HEADER: usize = 6;
/// Octets of a fragment header.
pub(crate) const FRAGMENT: usize = 8;
/// The smallest MTU that a link may have (RFC 8200 §5).
pub(crate) const MIN_MTU: usize = 1280;

/// A fixed header as received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ipv6Header {
    pub src: Ipv6Addr,
    pub dst: Ipv6Addr,
    pub next_header: u8,
    pub hop_limit: u8,
    /// DSCP and ECN together, as on the wire.
    pub traffic_class: u8,
    /// In octets, header included; at most what was received, which may go on behind it.
    pub total_len: usize,
}

/// Reads the header of `packet`, which may go on behind the payload (the medium's padding).
#[inline]
pub(crate) fn parse(packet: &[u8]) -> Result<Ipv6Header, DropReason> {
    let malformed = DropReason::Ipv6Malformed;
    let [first, second, _, _, len_hi, len_lo, next_header, hop_limit, ..] =
        *packet.first_chunk::<HEADER>().ok_or(malformed)?;
    let total_len = HEADER + usize::from(u16::from_be_bytes([len_hi, len_lo]));
    let (src, dst) = addresses(packet).ok_or(malformed)?;
    if first >> 4 != 6 || total_len > packet.len() {
        return Err(malformed);
    }
    Ok(Ipv6Header { src, dst, next_header, hop_limit, traffic_class: first << 4 | second >> 4, total_len })
}

/// Source and destination of a packet that the stack itself has made or checked; `None` when it is too short.
#[inline]
pub(crate) fn addresses(packet: &[u8]) -> Option<(Ipv6Addr, Ipv6Addr)> {
    let (addresses, _) = packet.get(8..HEADER)?.as_chunks::<16>();
    let [src, dst] = *addresses else { return None };
    Some((src.into(), dst.into()))
}

/// What a header that we send says, its length aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fields {
    pub src: Ipv6Addr,
    pub dst: Ipv6Addr,
    pub next_header: u8,
    pub hop_limit: u8,
    /// DSCP and ECN together, as on the wire.
    pub traffic_class: u8,
}

/// Writes a header in front of `payload_len` octets (at most 65,535) into the first [`HEADER`] octets of `buf`, which
/// has as many. The flow label is 0: nothing of ours is labelled (RFC 6437 §2).
#[inline]
pub(crate) fn emit(buf: &mut [u8], fields: &Fields, payload_len: usize) {
    let Some(bytes) = buf.first_chunk_mut::<HEADER>() else {
        debug_assert!(false, "room for an IPv6 header");
        return;
    };
    debug_assert!(payload_len <= 65_535, "a payload that fits a packet");
    let Fields { src, dst, next_header, hop_limit, traffic_class } = *fields;
    let [hi, lo] = (payload_len as u16).to_be_bytes();
    let (front, addresses) = bytes.split_at_mut(8);
    front.copy_from_slice(&[0x60 | traffic_class >> 4, traffic_class << 4, 0, 0, hi, lo, next_header, hop_limit]);
    let (first, second) = addresses.split_at_mut(16);
    first.copy_from_slice(&src.octets());
    second.copy_from_slice(&dst.octets());
}

/// Sets the Payload Length of the header at the beginning of `buf`.
pub(crate) fn set_payload_len(buf: &mut [u8], payload_len: usize) {
    if let Some(field) = buf.get_mut(PAYLOAD_LENGTH..PAYLOAD_LENGTH + 2) {
        field.copy_from_slice(&(payload_len as u16).to_be_bytes());
    }
}

/// Writes the headers of a fragment into `out` (48 octets): `fixed`, the whole packet's header, and a fragment header
/// for `len` octets that start at `offset`, a multiple of eight.
pub(crate) fn emit_fragment(out: &mut [u8], fixed: &[u8], offset: u16, more: bool, ident: u32, len: usize) {
    let (Some(out), Some(fixed)) = (out.first_chunk_mut::<{ HEADER + FRAGMENT }>(), fixed.first_chunk::<HEADER>())
    else {
        debug_assert!(false, "room for the headers of a fragment");
        return;
    };
    let (header, fragment) = out.split_at_mut(HEADER);
    header.copy_from_slice(fixed);
    let next = core::mem::replace(&mut header[NEXT_HEADER], crate::wire::extension::FRAGMENT);
    set_payload_len(header, FRAGMENT + len);
    let [a, b] = (offset & 0xfff8 | u16::from(more)).to_be_bytes();
    let [c, d, e, f] = ident.to_be_bytes();
    fragment.copy_from_slice(&[next, 0, a, b, c, d, e, f]);
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;

    const SRC: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    const DST: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9);

    fn packet() -> [u8; HEADER + 4] {
        let mut p = [0xee; HEADER + 4];
        emit(&mut p, &Fields { src: SRC, dst: DST, next_header: 17, hop_limit: 64, traffic_class: 0xb9 }, 4);
        p
    }

    #[test]
    fn a_header_is_written_as_it_is_read() {
        let p = packet();
        assert_eq!(p[..8], [0x6b, 0x90, 0, 0, 0, 4, 17, 64]);
        let header =
            Ipv6Header { src: SRC, dst: DST, next_header: 17, hop_limit: 64, traffic_class: 0xb9, total_len: 44 };
        assert_eq!(parse(&p), Ok(header));
        let mut padded = p.to_vec();
        padded.extend([0; 6]);
        assert_eq!(parse(&padded), Ok(header), "padding is no part of the packet");
    }

    #[test]
    fn versions_and_lengths_that_cannot_be_are_dropped() {
        let p = packet();
        for len in 0..p.len() {
            assert_eq!(parse(&p[..len]), Err(DropReason::Ipv6Malformed), "{len}");
        }
        for version in (0..16).filter(|&v| v != 6) {
            let mut bad = p;
            bad[0] = version << 4 | bad[0] & 15;
            assert_eq!(parse(&bad), Err(DropReason::Ipv6Malformed), "version {version}");
        }
    }

    #[test]
    fn a_fragment_has_the_packets_header_and_its_own() {
        let mut out = [0; HEADER + FRAGMENT];
        emit_fragment(&mut out, &packet()[..HEADER], 1448, true, 0x0102_0304, 1448);
        assert_eq!(out[..8], [0x6b, 0x90, 0, 0, 5, 0xb0, 44, 64]);
        assert_eq!(out[8..HEADER], packet()[8..HEADER]);
        assert_eq!(out[HEADER..], [17, 0, 5, 0xa9, 1, 2, 3, 4]);
    }
}

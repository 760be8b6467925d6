//! Wire format: UDP headers.
//!
//! Implements the header of RFC 768, with RFC 8200 §8.1 on its checksum over IPv6.

use crate::family::IpAddr;
use crate::stats::DropReason;
use crate::wire::checksum;
use smoltcp::wire::UdpPacket;

/// Octets of the header.
pub(crate) const HEADER: usize = 8;
/// Where the checksum lies.
#[cfg(feature = "checksum-offload")]
pub(crate) const CHECKSUM: usize = 6;
/// The protocol's number.
pub(crate) const PROTOCOL: u8 = 17;

/// A UDP header as received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UdpHeader {
    pub src_port: u16,
    pub dst_port: u16,
    /// In octets, header included; at most what was received.
    pub len: usize,
    /// As on the wire; 0: none was computed.
    pub checksum: u16,
}

/// Reads the header of `datagram`, the payload of an IP packet, which may go on behind the UDP length.
#[inline]
pub(crate) fn parse(datagram: &[u8]) -> Result<UdpHeader, DropReason> {
    let bytes = datagram.first_chunk::<HEADER>().ok_or(DropReason::UdpMalformed)?;
    let p = UdpPacket::new_unchecked(bytes);
    let len = usize::from(p.len());
    if len < HEADER || len > datagram.len() {
        return Err(DropReason::UdpMalformed);
    }
    Ok(UdpHeader { src_port: p.src_port(), dst_port: p.dst_port(), len, checksum: p.checksum() })
}

/// Verifies the checksum of `datagram`, whose `header` was read from it.
pub(crate) fn verify(header: &UdpHeader, src: IpAddr, dst: IpAddr, datagram: &[u8]) -> Result<(), DropReason> {
    if header.checksum == 0 {
        //= https://www.rfc-editor.org/rfc/rfc8200#section-8.1
        //# IPv6 receivers must discard UDP packets containing a zero
        //# checksum and should log the error.
        return if dst.is_ipv4() { Ok(()) } else { Err(DropReason::UdpChecksum) };
    }
    let datagram = datagram.get(..header.len).ok_or(DropReason::UdpMalformed)?;
    let sum = checksum::pseudo_header(src, dst, PROTOCOL, header.len as u32).add(checksum::sum(datagram));
    if sum.is_valid() { Ok(()) } else { Err(DropReason::UdpChecksum) }
}

/// Writes the header of a datagram of `len` octets (header included, at most 65,535), checksum 0, into the first
/// [`HEADER`] octets of `buf`, which has as many.
pub(crate) fn emit(buf: &mut [u8], src_port: u16, dst_port: u16, len: usize) {
    let Some(bytes) = buf.first_chunk_mut::<HEADER>() else {
        debug_assert!(false, "room for a UDP header");
        return;
    };
    debug_assert!((HEADER..=65_535).contains(&len), "a length that the field can hold");
    let mut out = UdpPacket::new_unchecked(&mut bytes[..]);
    out.set_src_port(src_port);
    out.set_dst_port(dst_port);
    out.set_len(len as u16);
    out.set_checksum(0);
}

/// Stores a computed checksum in the header at the beginning of `buf`.
pub(crate) fn set_checksum(buf: &mut [u8], checksum: u16) {
    let Some(bytes) = buf.first_chunk_mut::<HEADER>() else {
        debug_assert!(false, "a UDP header");
        return;
    };
    //= https://www.rfc-editor.org/rfc/rfc768
    //# If the computed  checksum  is zero,  it is transmitted  as all ones
    UdpPacket::new_unchecked(&mut bytes[..]).set_checksum(if checksum == 0 { 0xffff } else { checksum });
}

/// Stores the pseudo-header's sum in the header of `datagram`, for whoever computes the rest.
#[cfg(feature = "checksum-offload")]
pub(crate) fn leave_checksum(datagram: &mut [u8], src: IpAddr, dst: IpAddr) {
    let pseudo = checksum::pseudo_header(src, dst, PROTOCOL, datagram.len() as u32);
    if let Some(field) = datagram.get_mut(CHECKSUM..HEADER) {
        field.copy_from_slice(&pseudo.partial().to_be_bytes());
    }
}

/// Completes the checksum of the datagram that begins at `start` of a packet, if it was left out: 0 says that it was not.
#[cfg(all(feature = "checksum-offload", feature = "udp"))]
pub(crate) fn complete(packet: &mut [u8], start: u16) {
    if start > 0 {
        checksum::complete(packet, start, CHECKSUM as u16);
    }
}

/// Computes and stores the checksum of `datagram`, header and payload, from `src` to `dst`.
pub(crate) fn fill_checksum(datagram: &mut [u8], src: IpAddr, dst: IpAddr) {
    set_checksum(datagram, 0);
    if let Some(field) = datagram.get_mut(6..HEADER) {
        field.copy_from_slice(&[0, 0]);
    }
    let sum = checksum::pseudo_header(src, dst, PROTOCOL, datagram.len() as u32).add(checksum::sum(datagram));
    set_checksum(datagram, sum.finish());
}

// Cases of both families.
#[cfg(all(test, feature = "ipv6"))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;
    extern crate std;
    use std::vec::Vec;

    fn datagram(payload: &[u8], src: IpAddr, dst: IpAddr) -> Vec<u8> {
        let mut d = std::vec![0; HEADER];
        emit(&mut d, 1000, 2000, HEADER + payload.len());
        d.extend_from_slice(payload);
        fill_checksum(&mut d, src, dst);
        d
    }

    const V4: (IpAddr, IpAddr) =
        (IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 9)), IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 1)));
    const V6: (IpAddr, IpAddr) =
        (IpAddr::V6(core::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)), IpAddr::V6(core::net::Ipv6Addr::LOCALHOST));

    /// H045.
    #[rstest]
    #[case::shorter_than_a_header(7, 20, Err(DropReason::UdpMalformed))]
    #[case::zero(0, 20, Err(DropReason::UdpMalformed))]
    #[case::beyond_the_packet(21, 20, Err(DropReason::UdpMalformed))]
    #[case::header_only(8, 20, Ok(8))]
    #[case::four_octets_of_twelve(12, 20, Ok(12))]
    #[case::truncated_header(8, 7, Err(DropReason::UdpMalformed))]
    fn the_length_is_checked(#[case] len: u16, #[case] received: usize, #[case] expected: Result<usize, DropReason>) {
        let mut d = std::vec![0; received.max(HEADER)];
        d[4..6].copy_from_slice(&len.to_be_bytes());
        assert_eq!(parse(&d[..received]).map(|h| h.len), expected);
    }

    /// H046.
    #[test]
    fn checksum_zero_means_none_in_ipv4_and_is_refused_in_ipv6() {
        for ((src, dst), expected) in [(V4, Ok(())), (V6, Err(DropReason::UdpChecksum))] {
            let mut d = datagram(b"data", src, dst);
            d[6..8].copy_from_slice(&[0, 0]);
            let header = parse(&d).expect("valid");
            assert_eq!(verify(&header, src, dst, &d), expected);
        }
    }

    /// H046.
    #[test]
    fn a_computed_zero_is_sent_as_all_ones() {
        let (src, dst) = V4;
        let found = (0..=u16::MAX).map(|n| datagram(&n.to_be_bytes(), src, dst)).filter(|d| d[6..8] == [0xff, 0xff]);
        let found: Vec<_> = found.collect();
        assert!(!found.is_empty(), "one of these payloads sums to zero");
        for d in found {
            let header = parse(&d).expect("valid");
            assert_eq!(verify(&header, src, dst, &d), Ok(()));
        }
        assert!((0..=u16::MAX).all(|n| datagram(&n.to_be_bytes(), src, dst)[6..8] != [0, 0]));
    }

    proptest! {
        /// H046.
        #[test]
        fn every_flipped_bit_is_noticed_but_those_behind_the_length_are_not(
            payload in proptest::collection::vec(any::<u8>(), 0..60), bit: usize, v6: bool,
        ) {
            let (src, dst) = if v6 { V6 } else { V4 };
            let mut d = datagram(&payload, src, dst);
            let bit = bit % (d.len() * 8);
            d.extend_from_slice(&[0xee; 5]);
            let header = parse(&d).expect("valid");
            prop_assert_eq!((header.src_port, header.dst_port, header.len), (1000, 2000, payload.len() + 8));
            prop_assert_eq!(verify(&header, src, dst, &d), Ok(()));
            d[bit / 8] ^= 1 << (bit % 8);
            if let Ok(header) = parse(&d) {
                prop_assert!(verify(&header, src, dst, &d).is_err() || header.checksum == 0);
            }
        }
    }
}

//! Wire format: Ethernet headers.
//!
//! Implements the framing of RFC 894: destination, source, EtherType. The FCS belongs to the device.

use crate::device::Mac;
use crate::stats::DropReason;
use smoltcp::wire::{EthernetAddress, EthernetFrame};

/// Octets of the header.
pub(crate) const HEADER: usize = 14;

/// The EtherType of IPv4.
pub(crate) const IPV4: u16 = 0x0800;
/// The EtherType of ARP.
pub(crate) const ARP: u16 = 0x0806;
/// The EtherType of IPv6.
pub(crate) const IPV6: u16 = 0x86dd;

/// An Ethernet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EthernetHeader {
    pub dst: Mac,
    pub src: Mac,
    pub ethertype: u16,
}

/// Reads the header; what follows it in `frame` is the payload.
#[inline]
pub(crate) fn parse(frame: &[u8]) -> Result<EthernetHeader, DropReason> {
    // By hand: smoltcp reads addresses by a call of a function that is not inlined.
    let bytes = *frame.first_chunk::<HEADER>().ok_or(DropReason::FrameTooShort)?;
    let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, type_hi, type_lo] = bytes;
    Ok(EthernetHeader {
        dst: Mac([d0, d1, d2, d3, d4, d5]),
        src: Mac([s0, s1, s2, s3, s4, s5]),
        ethertype: u16::from_be_bytes([type_hi, type_lo]),
    })
}

/// Writes the header into the first [`HEADER`] octets of `buf`, which has as many.
#[inline]
pub(crate) fn emit(buf: &mut [u8], header: &EthernetHeader) {
    let Some(bytes) = buf.first_chunk_mut::<HEADER>() else {
        debug_assert!(false, "room for an Ethernet header");
        return;
    };
    let EthernetHeader { dst, src, ethertype } = *header;
    let mut out = EthernetFrame::new_unchecked(bytes);
    out.set_dst_addr(EthernetAddress(dst.0));
    out.set_src_addr(EthernetAddress(src.0));
    out.set_ethertype(ethertype.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_written_as_it_is_read() {
        let header =
            EthernetHeader { dst: Mac([1, 2, 3, 4, 5, 6]), src: Mac([7, 8, 9, 10, 11, 12]), ethertype: 0x88b5 };
        let mut buf = [0xee; 16];
        emit(&mut buf, &header);
        assert_eq!(buf, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x88, 0xb5, 0xee, 0xee]);
        assert_eq!(parse(&buf), Ok(header));
    }

    #[test]
    fn frames_of_less_than_a_header_are_dropped() {
        let frame = [0xff; HEADER];
        for len in 0..HEADER {
            assert_eq!(parse(&frame[..len]), Err(DropReason::FrameTooShort), "{len}");
        }
        assert!(parse(&frame).is_ok());
    }
}

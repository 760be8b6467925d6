//! Wire format: what IPv4 and IPv6 headers have in common.

use crate::family::IpAddr;
use crate::stats::DropReason;
use crate::wire::checksum::{self, Sum};
use crate::wire::ipv4::{self, Ipv4Header};
#[cfg(feature = "ipv6")]
use crate::wire::ipv6::{self, Ipv6Header};

/// A received packet that is whole, as the layers above see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IpHeader {
    pub src: IpAddr,
    pub dst: IpAddr,
    /// The upper layer's protocol number.
    pub protocol: u8,
    /// Hop limit (IPv4: TTL).
    pub hop_limit: u8,
    /// Traffic class (IPv4: TOS): DSCP and ECN together, as on the wire.
    pub tos: u8,
    /// Octets in front of the upper layer: the header with its options, or with its extension headers.
    pub header_len: usize,
    /// In octets, headers included.
    pub total_len: usize,
    /// Where the field is that names `protocol`: what a parameter problem points at (IPv6).
    pub named_at: u16,
    /// It had a fragment header, whether or not it came in pieces (IPv6).
    pub in_pieces: bool,
}

impl From<Ipv4Header> for IpHeader {
    #[inline]
    fn from(h: Ipv4Header) -> Self {
        Self {
            src: IpAddr::V4(h.src),
            dst: IpAddr::V4(h.dst),
            protocol: h.protocol,
            hop_limit: h.ttl,
            tos: h.tos,
            header_len: h.header_len,
            total_len: h.total_len,
            named_at: 9,
            in_pieces: false,
        }
    }
}

#[cfg(feature = "ipv6")]
impl From<Ipv6Header> for IpHeader {
    fn from(h: Ipv6Header) -> Self {
        Self {
            src: IpAddr::V6(h.src),
            dst: IpAddr::V6(h.dst),
            protocol: h.next_header,
            hop_limit: h.hop_limit,
            tos: h.traffic_class,
            header_len: ipv6::HEADER,
            total_len: h.total_len,
            named_at: ipv6::NEXT_HEADER as u16,
            in_pieces: false,
        }
    }
}

/// Whether `packet` is of version 6.
#[inline]
pub(crate) fn is_v6(packet: &[u8]) -> bool {
    cfg!(feature = "ipv6") && packet.first().is_some_and(|b| b >> 4 == 6)
}

/// Reads the header of a packet of either family; of an IPv6 packet the fixed header only.
pub(crate) fn parse(packet: &[u8]) -> Result<IpHeader, DropReason> {
    #[cfg(feature = "ipv6")]
    if is_v6(packet) {
        return ipv6::parse(packet).map(IpHeader::from);
    }
    ipv4::parse(packet).map(IpHeader::from)
}

/// Source and destination of a packet that the stack itself has made or checked; `None` when it is too short.
#[inline]
pub(crate) fn addresses(packet: &[u8]) -> Option<(IpAddr, IpAddr)> {
    #[cfg(feature = "ipv6")]
    if is_v6(packet) {
        let (src, dst) = ipv6::addresses(packet)?;
        return Some((src.into(), dst.into()));
    }
    let (src, dst) = ipv4::addresses(packet)?;
    Some((src.into(), dst.into()))
}

/// The pseudo-header's sum of a packet's upper layer of `len` octets, the packet having been checked.
#[inline]
pub(crate) fn pseudo_header(packet: &[u8], protocol: u8, len: u32) -> Sum {
    let addresses = if is_v6(packet) { packet.get(8..40) } else { packet.get(12..20) };
    let sum = checksum::sum_of_words(addresses.unwrap_or(&[]).as_chunks::<4>().0);
    sum.add_u16(u16::from(protocol)).add_u32(len)
}

/// Whether a router has marked this packet: Congestion Experienced (RFC 3168 §5).
#[cfg(feature = "ecn")]
#[inline]
pub(crate) fn is_ce(packet: &[u8]) -> bool {
    let shift = if is_v6(packet) { 4 } else { 0 };
    packet.get(1).is_some_and(|octet| octet >> shift & 0b11 == 0b11)
}

/// Octets of the header that we send to `dst`.
#[inline]
pub(crate) const fn header_len(dst: IpAddr) -> usize {
    match dst {
        #[cfg(feature = "ipv6")]
        IpAddr::V6(_) => ipv6::HEADER,
        _ => ipv4::HEADER,
    }
}

//! ICMPv6: echo, errors in both directions.
//!
//! Implements RFC 4443 (what is answered, and what is not: §2.4), RFC 8201 §4 (packet too big). How many errors go out,
//! `ip/limit.rs` decides; neighbour discovery is `link/ndp.rs`'s.

use super::{IcmpError, Quote};
use crate::frame::Frame;
#[cfg(feature = "icmp-errors")]
use crate::ip::addr::is_unicast_host;
#[cfg(feature = "forward")]
use crate::ip::forward::Obstacle;
use crate::ip::v4::Destination;
use crate::stats::DropReason;
use crate::wire::checksum;
use crate::wire::extension;
#[cfg(feature = "icmp-errors")]
use crate::wire::extension::Problem;
use crate::wire::icmp::HEADER;
use crate::wire::ip::IpHeader;
use crate::wire::ipv6::{self, Fields, MIN_MTU};
#[cfg(feature = "forward")]
use crate::wire::redirect::Redirect;
use core::net::{IpAddr, Ipv6Addr};

/// The protocol's number.
pub(crate) const PROTOCOL: u8 = 58;

/// Message types.
mod kind {
    pub const DEST_UNREACHABLE: u8 = 1;
    pub const PACKET_TOO_BIG: u8 = 2;
    pub const TIME_EXCEEDED: u8 = 3;
    pub const PARAMETER_PROBLEM: u8 = 4;
    pub const ECHO_REQUEST: u8 = 128;
    pub const ECHO_REPLY: u8 = 129;
}

/// The type of an echo request, which quotes are told by.
pub(super) const ECHO_REQUEST: u8 = kind::ECHO_REQUEST;

/// A received message; `data` goes on behind the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message<'b> {
    EchoRequest,
    EchoReply {
        ident: u16,
        seq: u16,
        data: &'b [u8],
    },
    Error {
        error: IcmpError,
        quote: Quote,
    },
    /// Neighbour discovery.
    Discovery,
    /// Multicast listener discovery.
    #[cfg(feature = "multicast")]
    Listeners,
}

/// Whether the checksum of `message` from `src` to `dst` is right.
fn is_intact(message: &[u8], src: IpAddr, dst: IpAddr) -> bool {
    let pseudo = checksum::pseudo_header(src, dst, PROTOCOL, message.len() as u32);
    pseudo.add(checksum::sum(message)).is_valid()
}

/// Computes and stores the checksum of `message` from `src` to `dst`.
pub(crate) fn fill_checksum(message: &mut [u8], src: Ipv6Addr, dst: Ipv6Addr) {
    if let Some(field) = message.get_mut(2..4) {
        field.fill(0);
    }
    let pseudo = checksum::pseudo_header(src.into(), dst.into(), PROTOCOL, message.len() as u32);
    let checksum = pseudo.add(checksum::sum(message)).finish();
    if let Some(field) = message.get_mut(2..4) {
        field.copy_from_slice(&checksum.to_be_bytes());
    }
}

/// Reads a message that came in a packet with header `ip`, for `to`.
pub(crate) fn receive<'b>(message: &'b [u8], ip: &IpHeader, to: Destination) -> Result<Message<'b>, DropReason> {
    let [kind, code, _, _, a, b, c, d] = *message.first_chunk::<HEADER>().ok_or(DropReason::IcmpMalformed)?;
    if !is_intact(message, ip.src, ip.dst) {
        return Err(DropReason::IcmpChecksum);
    }
    let data = message.get(HEADER..).unwrap_or(&[]);
    let error = match (kind, code) {
        (kind::ECHO_REQUEST, _) => return Ok(Message::EchoRequest),
        (kind::ECHO_REPLY, _) => {
            return Ok(Message::EchoReply { ident: u16::from_be_bytes([a, b]), seq: u16::from_be_bytes([c, d]), data });
        }
        (133..=137, _) => return Ok(Message::Discovery),
        #[cfg(feature = "multicast")]
        (130..=132 | 143, _) => return Ok(Message::Listeners),
        // Of errors, only what a path does not take is told where the others would find nobody.
        #[cfg(not(feature = "icmp-errors"))]
        (kind::DEST_UNREACHABLE | kind::TIME_EXCEEDED | kind::PARAMETER_PROBLEM, _) => {
            return Err(DropReason::IcmpNoSocket);
        }
        #[cfg(feature = "icmp-errors")]
        (kind::DEST_UNREACHABLE, 4) => IcmpError::PortUnreachable,
        #[cfg(feature = "icmp-errors")]
        (kind::DEST_UNREACHABLE, 1 | 5 | 6) => IcmpError::Prohibited,
        #[cfg(feature = "icmp-errors")]
        (kind::DEST_UNREACHABLE, _) => IcmpError::HostUnreachable,
        (kind::PACKET_TOO_BIG, _) => {
            let mtu = u32::from_be_bytes([a, b, c, d]);
            IcmpError::TooBig { mtu: mtu.min(u32::from(u16::MAX)) as u16 }
        }
        #[cfg(feature = "icmp-errors")]
        (kind::TIME_EXCEEDED, 1) => IcmpError::ReassemblyTimeout,
        #[cfg(feature = "icmp-errors")]
        (kind::TIME_EXCEEDED, _) => IcmpError::HopsExceeded,
        #[cfg(feature = "icmp-errors")]
        (kind::PARAMETER_PROBLEM, 1) => IcmpError::ProtocolUnreachable,
        #[cfg(feature = "icmp-errors")]
        (kind::PARAMETER_PROBLEM, _) => IcmpError::ParameterProblem,
        _ => return Err(DropReason::IcmpUnknown),
    };
    if to != Destination::Ours {
        return Err(DropReason::IcmpBadQuote);
    }
    Ok(Message::Error { error, quote: quote(data)? })
}

/// Reads the packet that an error message quotes: its headers and at least eight octets of what follows.
fn quote(packet: &[u8]) -> Result<Quote, DropReason> {
    let bad = DropReason::IcmpBadQuote;
    let fixed = packet.first_chunk::<{ ipv6::HEADER }>().ok_or(bad)?;
    let (src, dst) = ipv6::addresses(fixed).ok_or(bad)?;
    if fixed[0] >> 4 != 6 {
        return Err(bad);
    }
    let (protocol, at) = match extension::walk(packet, fixed[ipv6::NEXT_HEADER], false).map_err(|_| bad)? {
        extension::Chain::Upper { protocol, at, .. } => (protocol, at),
        // We fragment what has no other extension headers.
        extension::Chain::Piece(piece) if piece.offset == 0 => (piece.next, piece.at + ipv6::FRAGMENT),
        extension::Chain::Piece(_) => return Err(bad),
    };
    let start = *packet.get(at..).and_then(|rest| rest.first_chunk::<8>()).ok_or(bad)?;
    let total_len = u16::from_be_bytes([fixed[4], fixed[5]]).saturating_add(ipv6::HEADER as u16);
    let quote = Quote { src: src.into(), dst: dst.into(), protocol, total_len, start };
    match protocol {
        PROTOCOL if quote.echo().is_none() => Err(bad),
        6 | 17 if quote.src_port() == 0 || quote.dst_port() == 0 => Err(bad),
        _ => Ok(quote),
    }
}

/// The MTU of a path after a router reported `mtu`: lower than `current`, or `None` when nothing is to change (H040).
//= https://www.rfc-editor.org/rfc/rfc8201#section-4
//# If a node receives a Packet Too Big message reporting a next-hop MTU
//# that is less than the IPv6 minimum link MTU, it must discard it.
pub(crate) fn path_mtu(current: usize, mtu: u16) -> Option<usize> {
    let mtu = usize::from(mtu);
    (mtu >= MIN_MTU && mtu < current).then_some(mtu)
}

/// Turns a received echo request, from its IP header on in `frame`, into the reply from `src`. Its extension headers are
/// left out. `None` when the frame is not what `ip` says.
pub(crate) fn echo_reply(frame: &mut Frame<'_>, ip: &IpHeader, src: Ipv6Addr, hop_limit: u8) -> Option<()> {
    let IpAddr::V6(dst) = ip.src else { return None };
    frame.truncate(ip.total_len);
    frame.trim_front(ip.header_len);
    *frame.first_mut()? = kind::ECHO_REPLY;
    fill_checksum(frame, src, dst);
    push_header(frame, src, dst, hop_limit, ip.tos & 0xfc)
}

/// The fixed header in front of a message.
fn push_header(frame: &mut Frame<'_>, src: Ipv6Addr, dst: Ipv6Addr, hop_limit: u8, traffic_class: u8) -> Option<()> {
    let len = frame.len();
    let fields = Fields { src, dst, next_header: PROTOCOL, hop_limit, traffic_class };
    ipv6::emit(frame.push_front(ipv6::HEADER)?, &fields, len);
    Some(())
}

/// What we report to a sender.
#[cfg(feature = "icmp-errors")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    PortUnreachable,
    ReassemblyTimeout,
    Problem(Problem),
    /// A packet for another host cannot be passed on.
    #[cfg(feature = "forward")]
    Transit(Obstacle),
}

#[cfg(feature = "icmp-errors")]
impl Report {
    /// Type, code and the second word.
    fn header(self) -> (u8, u8, u32) {
        match self {
            Self::PortUnreachable => (kind::DEST_UNREACHABLE, 4, 0),
            Self::ReassemblyTimeout => (kind::TIME_EXCEEDED, 1, 0),
            Self::Problem(p) => (kind::PARAMETER_PROBLEM, p.code, u32::from(p.pointer)),
            #[cfg(feature = "forward")]
            Self::Transit(obstacle) => Self::transit(obstacle),
        }
    }

    /// RFC 4443 §3.1 to §3.3.
    #[cfg(feature = "forward")]
    fn transit(obstacle: Obstacle) -> (u8, u8, u32) {
        match obstacle {
            Obstacle::HopsExceeded => (kind::TIME_EXCEEDED, 0, 0),
            Obstacle::NoRoute => (kind::DEST_UNREACHABLE, 0, 0),
            Obstacle::Scope => (kind::DEST_UNREACHABLE, 2, 0),
            Obstacle::Unreachable => (kind::DEST_UNREACHABLE, 3, 0),
            Obstacle::Rejected => (kind::DEST_UNREACHABLE, 6, 0),
            Obstacle::TooBig(mtu) => (kind::PACKET_TOO_BIG, 0, u32::from(mtu)),
        }
    }
}

/// Whether an error may be sent about a packet from `src` whose upper layer, of `protocol`, begins with `payload`.
///
/// Whether it was for one of our addresses, or for a group of ours that may be told of, the caller knows.
//= https://www.rfc-editor.org/rfc/rfc4443#section-2.4
//# An ICMPv6 error message MUST NOT be originated as a result of
//# receiving the following:
#[cfg(feature = "icmp-errors")]
pub(crate) fn may_report(src: IpAddr, protocol: u8, payload: &[u8]) -> bool {
    let about_error = protocol == PROTOCOL && payload.first().is_none_or(|&kind| kind < 128 || kind == 137);
    !about_error && is_unicast_host(src)
}

/// Octets that [`report`] appends to a frame, besides the IP header that it pushes in front, at most.
#[cfg(feature = "icmp-errors")]
pub(crate) const REPORT_LEN: usize = MIN_MTU - ipv6::HEADER;

/// Writes into `frame`, which is empty and has headroom, an error message about `packet` (from its IP header on) to its
/// sender, from `src`.
///
/// It quotes as much as there is and fits 1,280 octets, or less where the frame has no more room; at least the fixed
/// header and eight octets, or `None`.
//= https://www.rfc-editor.org/rfc/rfc4443#section-2.4
//# Every ICMPv6 error message (type < 128) MUST include as much of
//# the IPv6 offending (invoking) packet (the packet that caused the
//# error) as possible without making the error message packet exceed
//# the minimum IPv6 MTU
#[cfg(feature = "icmp-errors")]
pub(crate) fn report(frame: &mut Frame<'_>, what: Report, packet: &[u8], src: Ipv6Addr, hop_limit: u8) -> Option<()> {
    let (dst, _) = ipv6::addresses(packet)?;
    let quoted = packet.len().min(REPORT_LEN - HEADER).min(frame.tailroom().checked_sub(HEADER)?);
    if quoted < packet.len().min(ipv6::HEADER + 8) {
        return None;
    }
    let (kind, code, [a, b, c, d]) = {
        let (kind, code, word) = what.header();
        (kind, code, word.to_be_bytes())
    };
    let message = frame.append(HEADER + quoted)?;
    let (header, quote) = message.split_at_mut_checked(HEADER)?;
    header.copy_from_slice(&[kind, code, 0, 0, a, b, c, d]);
    quote.copy_from_slice(packet.get(..quoted)?);
    fill_checksum(frame, src, dst);
    push_header(frame, src, dst, hop_limit, 0)
}

/// Writes into `frame`, which is empty and has headroom, a redirect to `dst`, from `src`.
#[cfg(feature = "forward")]
pub(crate) fn redirect(frame: &mut Frame<'_>, what: &Redirect<'_>, src: Ipv6Addr, dst: Ipv6Addr) -> Option<()> {
    crate::wire::redirect::emit(frame, what)?;
    discovery(frame, src, dst)
}

/// Puts checksum and IP header to a message of neighbour discovery, which `frame` holds.
#[cfg(feature = "forward")]
pub(crate) fn discovery(frame: &mut Frame<'_>, src: Ipv6Addr, dst: Ipv6Addr) -> Option<()> {
    fill_checksum(frame, src, dst);
    push_header(frame, src, dst, crate::wire::ndp::HOP_LIMIT, 0)
}

/// Writes into `frame`, which is empty and has headroom, an echo request's message: all but the IP header.
pub(crate) fn echo_request(
    frame: &mut Frame<'_>,
    (src, dst): (Ipv6Addr, Ipv6Addr),
    ident: u16,
    seq: u16,
    data: &[u8],
) -> Option<()> {
    let message = frame.append(HEADER + data.len())?;
    let (header, payload) = message.split_at_mut_checked(HEADER)?;
    let ([a, b], [c, d]) = (ident.to_be_bytes(), seq.to_be_bytes());
    header.copy_from_slice(&[kind::ECHO_REQUEST, 0, 0, 0, a, b, c, d]);
    payload.copy_from_slice(data);
    fill_checksum(frame, src, dst);
    Some(())
}

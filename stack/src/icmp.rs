//! ICMP: echo, errors in both directions. ICMPv4 here, ICMPv6 in `icmp/v6.rs`.
//!
//! Implements RFC 792 with RFC 1122 §3.2.2 (what is answered and what is not), RFC 1191 (MTU), RFC 6633 (source quench
//! is ignored). How many errors go out, `ip/limit.rs` decides.

#[cfg(feature = "icmp")]
pub(crate) mod echo;
#[cfg(all(test, feature = "alloc", feature = "icmp-errors"))]
mod tests;
#[cfg(feature = "ipv6")]
pub(crate) mod v6;

#[cfg(feature = "icmp")]
pub use echo::IcmpHandle;

use crate::family::IpAddr;
use crate::frame::Frame;
#[cfg(feature = "icmp-errors")]
use crate::ip::addr::is_martian_source_v4;
#[cfg(feature = "forward")]
use crate::ip::forward::Obstacle;
use crate::ip::v4::Destination;
use crate::stats::DropReason;
use crate::wire::icmp::{HEADER, IcmpHeader, PROTOCOL, emit, kind, parse};
use crate::wire::ipv4::{self, Fields, Ipv4Header};
use core::net::Ipv4Addr;

/// What a received error message reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum IcmpError {
    /// The network or the host cannot be reached, whoever says so (codes 0, 1, 5 to 8, 11, 12).
    HostUnreachable,
    /// Nobody there speaks the protocol (code 2).
    ProtocolUnreachable,
    /// Nobody is at the port (code 3).
    PortUnreachable,
    /// It was too long for a link on the way, and must not be cut (code 4, or ICMPv6 type 2).
    TooBig {
        /// What fits, in octets; 0 from a router that does not say.
        mtu: u16,
    },
    /// Forbidden on the way (codes 9, 10, 13 to 15).
    Prohibited,
    /// Its hops ran out.
    HopsExceeded,
    /// It was not put together in time.
    ReassemblyTimeout,
    /// Something in its header was wrong.
    ParameterProblem,
}

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
    /// A router names a better one for the quoted packet's destination.
    Redirect {
        gateway: Ipv4Addr,
        quote: Quote,
    },
}

/// What an error message quotes of the packet it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quote {
    /// The quoted packet's source: one of ours, or the message is not for us.
    pub src: IpAddr,
    pub dst: IpAddr,
    pub protocol: u8,
    pub total_len: u16,
    /// The first eight octets behind the quoted header: ports and sequence number, or identifier.
    pub start: [u8; 8],
}

impl Quote {
    /// The source port of the quoted TCP segment or UDP datagram: our port.
    pub fn src_port(&self) -> u16 {
        u16::from_be_bytes([self.start[0], self.start[1]])
    }

    pub fn dst_port(&self) -> u16 {
        u16::from_be_bytes([self.start[2], self.start[3]])
    }

    /// The sequence number of the quoted TCP segment.
    pub fn tcp_seq(&self) -> u32 {
        u32::from_be_bytes([self.start[4], self.start[5], self.start[6], self.start[7]])
    }

    /// Identifier and sequence number, when the quoted packet is an echo request.
    pub fn echo(&self) -> Option<(u16, u16)> {
        let [first, _, _, _, a, b, c, d] = self.start;
        let is_request = match self.protocol {
            PROTOCOL => first == kind::ECHO_REQUEST,
            #[cfg(feature = "ipv6")]
            v6::PROTOCOL => first == v6::ECHO_REQUEST,
            _ => false,
        };
        is_request.then_some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
    }
}

/// Reads a message that came in a packet with `header`, for `destination`.
///
/// An echo request to everybody is let through: whether it is answered is the configuration's to say.
pub(crate) fn receive(message: &[u8], destination: Destination) -> Result<Message<'_>, DropReason> {
    let IcmpHeader { kind, code, rest } = parse(message)?;
    let data = message.get(HEADER..).unwrap_or(&[]);
    let [a, b, c, d] = rest;
    let error = match (kind, code) {
        (kind::ECHO_REQUEST, _) => return Ok(Message::EchoRequest),
        (kind::ECHO_REPLY, _) => {
            return Ok(Message::EchoReply { ident: u16::from_be_bytes([a, b]), seq: u16::from_be_bytes([c, d]), data });
        }
        (kind::DEST_UNREACHABLE, 4) => IcmpError::TooBig { mtu: u16::from_be_bytes([c, d]) },
        // Of errors, only what a path does not take is told where the others would find nobody.
        #[cfg(not(feature = "icmp-errors"))]
        (kind::DEST_UNREACHABLE | kind::TIME_EXCEEDED | kind::PARAMETER_PROBLEM, _) => {
            return Err(DropReason::IcmpNoSocket);
        }
        // RFC 1122 §3.2.2.2: all four codes are treated as host redirects.
        #[cfg(feature = "icmp-errors")]
        (kind::REDIRECT, 0..=3) if destination == Destination::Ours => {
            return Ok(Message::Redirect { gateway: rest.into(), quote: quote(data)? });
        }
        #[cfg(feature = "icmp-errors")]
        (kind::DEST_UNREACHABLE, 2) => IcmpError::ProtocolUnreachable,
        #[cfg(feature = "icmp-errors")]
        (kind::DEST_UNREACHABLE, 3) => IcmpError::PortUnreachable,
        #[cfg(feature = "icmp-errors")]
        (kind::DEST_UNREACHABLE, 9 | 10 | 13..=15) => IcmpError::Prohibited,
        #[cfg(feature = "icmp-errors")]
        (kind::DEST_UNREACHABLE, 0..=12) => IcmpError::HostUnreachable,
        #[cfg(feature = "icmp-errors")]
        (kind::TIME_EXCEEDED, 0) => IcmpError::HopsExceeded,
        #[cfg(feature = "icmp-errors")]
        (kind::TIME_EXCEEDED, 1) => IcmpError::ReassemblyTimeout,
        #[cfg(feature = "icmp-errors")]
        (kind::PARAMETER_PROBLEM, 0..=2) => IcmpError::ParameterProblem,
        //= https://www.rfc-editor.org/rfc/rfc6633#section-3
        //# A host MUST NOT react to received ICMP Source Quench messages
        (kind::SOURCE_QUENCH, _) => return Err(DropReason::IcmpSourceQuench),
        _ => return Err(DropReason::IcmpUnknown),
    };
    if destination != Destination::Ours {
        return Err(DropReason::IcmpBadQuote);
    }
    Ok(Message::Error { error, quote: quote(data)? })
}

/// Reads the packet that an error message quotes: its header and at least eight octets of what follows (H042, H043).
///
/// The header's checksum is not verified: routers quote what they have changed. Whose packet it was, the caller checks:
/// its source has to be ours.
fn quote(packet: &[u8]) -> Result<Quote, DropReason> {
    let bad = DropReason::IcmpBadQuote;
    let fixed = packet.first_chunk::<{ ipv4::HEADER }>().ok_or(bad)?;
    let [version_ihl, _, len_hi, len_lo, _, _, frag_hi, frag_lo, _, protocol, _, _, src @ .., d0, d1, d2, d3] = *fixed;
    let header_len = usize::from(version_ihl & 15) * 4;
    let total_len = u16::from_be_bytes([len_hi, len_lo]);
    let offset = u16::from_be_bytes([frag_hi, frag_lo]) & 0x1fff;
    if version_ihl >> 4 != 4 || header_len < ipv4::HEADER || offset != 0 || usize::from(total_len) < header_len {
        return Err(bad);
    }
    let start = *packet.get(header_len..).and_then(|rest| rest.first_chunk::<8>()).ok_or(bad)?;
    let quote = Quote {
        src: IpAddr::V4(Ipv4Addr::from(src)),
        dst: IpAddr::V4(Ipv4Addr::new(d0, d1, d2, d3)),
        protocol,
        total_len,
        start,
    };
    match protocol {
        // An error about an error is none that we caused.
        PROTOCOL if quote.echo().is_none() => Err(bad),
        PROTOCOL => Ok(quote),
        // Of the others only those with ports have sockets to tell, and no port is 0.
        6 | 17 if quote.src_port() == 0 || quote.dst_port() == 0 => Err(bad),
        _ => Ok(quote),
    }
}

/// The MTU of a path after a router reported `mtu` for a packet of `quoted_len` octets: lower than `current`, or `None`
/// when nothing is to change (H040).
pub(crate) fn path_mtu(current: usize, mtu: u16, quoted_len: u16) -> Option<usize> {
    let mtu = match usize::from(mtu) {
        // RFC 1191 §5: a router that does not say; the next plateau below what did not fit.
        0 => {
            let too_long = usize::from(quoted_len).min(current);
            PLATEAUS.iter().copied().find(|&p| p < too_long).unwrap_or(PATH_MTU_FLOOR)
        }
        mtu => mtu,
    };
    let mtu = mtu.max(PATH_MTU_FLOOR);
    (mtu < current).then_some(mtu)
}

/// Below this nobody's report takes a path: 552, as Linux has it, since a forged report costs us then at most the
/// difference (RFC 5927 §7).
pub(crate) const PATH_MTU_FLOOR: usize = 552;

/// RFC 1191 §7.
const PLATEAUS: [usize; 9] = [32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006, 576, PATH_MTU_FLOOR];

/// Turns a received echo request, from its IP header on in `frame`, into the reply from `src` (the address that was
/// pinged, or one of ours where it was everybody). Its options are left out.
///
/// The message's checksum was verified. `None` when the frame is not what `header` says.
pub(crate) fn echo_reply(
    frame: &mut Frame<'_>,
    header: &Ipv4Header,
    src: Ipv4Addr,
    ttl: u8,
    ident: u16,
    dont_frag: bool,
) -> Option<()> {
    if frame.len() < header.total_len || header.payload_len() < HEADER {
        return None;
    }
    frame.truncate(header.total_len);
    frame.trim_front(header.header_len);
    let message_len = frame.len();
    turn_echo(frame)?;
    let fields = Fields {
        src,
        dst: header.src,
        protocol: PROTOCOL,
        ttl,
        // RFC 1122 §3.2.2.6 leaves it open; as hosts do, the class of the request, without its congestion marks.
        tos: header.tos & 0xfc,
        ident,
        dont_frag,
    };
    ipv4::emit(frame.push_front(ipv4::HEADER)?, &fields, message_len);
    Some(())
}

/// Makes an echo request a reply, and adapts the checksum to the one octet that changes (RFC 1624 §3, equation 3).
fn turn_echo(message: &mut [u8]) -> Option<()> {
    let [first, _, hi, lo, ..] = message else {
        return None;
    };
    *first = kind::ECHO_REPLY;
    let sum = u32::from(!u16::from_be_bytes([*hi, *lo])) + u32::from(!(u16::from(kind::ECHO_REQUEST) << 8));
    let checksum = !(((sum & 0xffff) + (sum >> 16)) as u16);
    [*hi, *lo] = checksum.to_be_bytes();
    if checksum == 0 {
        // Of a message of nothing but zeros it is 0xffff: what is summed decides.
        let header = message.first_chunk::<HEADER>()?;
        let [kind, code, _, _, rest @ ..] = *header;
        emit(message, &IcmpHeader { kind, code, rest });
    }
    Some(())
}

/// What we report to a sender.
#[cfg(feature = "icmp-errors")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    ProtocolUnreachable,
    PortUnreachable,
    ReassemblyTimeout,
    /// A packet for another host cannot be passed on.
    #[cfg(feature = "forward")]
    Transit(Obstacle),
    /// A packet for another host was passed on, but its sender could have given it to this neighbour (RFC 1812 §5.2.7.2).
    #[cfg(feature = "forward")]
    Redirect(Ipv4Addr),
}

#[cfg(feature = "icmp-errors")]
impl Report {
    fn header(self) -> IcmpHeader {
        let (kind, code) = match self {
            Self::ProtocolUnreachable => (kind::DEST_UNREACHABLE, 2),
            Self::PortUnreachable => (kind::DEST_UNREACHABLE, 3),
            Self::ReassemblyTimeout => (kind::TIME_EXCEEDED, 1),
            #[cfg(feature = "forward")]
            Self::Transit(obstacle) => return Self::transit(obstacle),
            // RFC 1812 §5.2.7.2: for a host, never for a network, whose extent is not known to both ends.
            #[cfg(feature = "forward")]
            Self::Redirect(neighbor) => {
                return IcmpHeader { kind: kind::REDIRECT, code: 1, rest: neighbor.octets() };
            }
        };
        IcmpHeader { kind, code, rest: [0; 4] }
    }

    /// RFC 1812 §5.2.7.
    #[cfg(feature = "forward")]
    fn transit(obstacle: Obstacle) -> IcmpHeader {
        let (kind, code, mtu) = match obstacle {
            Obstacle::HopsExceeded => (kind::TIME_EXCEEDED, 0, 0),
            Obstacle::NoRoute => (kind::DEST_UNREACHABLE, 0, 0),
            Obstacle::Unreachable | Obstacle::Scope => (kind::DEST_UNREACHABLE, 1, 0),
            Obstacle::Rejected => (kind::DEST_UNREACHABLE, 13, 0),
            // RFC 1191 §4.
            Obstacle::TooBig(mtu) => (kind::DEST_UNREACHABLE, 4, mtu),
        };
        let [hi, lo] = mtu.to_be_bytes();
        IcmpHeader { kind, code, rest: [0, 0, hi, lo] }
    }
}

/// Whether an error may be sent about a packet for `destination` with `header`, of which `payload` is known, and which
/// came in a link-layer broadcast or multicast when `to_group`.
//= https://www.rfc-editor.org/rfc/rfc1122#section-3.2.2
//# An ICMP error message MUST NOT be sent as the result of receiving:
#[cfg(feature = "icmp-errors")]
pub(crate) fn may_report(header: &Ipv4Header, payload: &[u8], destination: Destination, to_group: bool) -> bool {
    destination == Destination::Ours && !to_group && may_report_transit(header, payload)
}

/// As [`may_report`], about a packet for another host, which routers may pass on.
#[cfg(feature = "icmp-errors")]
pub(crate) fn may_report_transit(header: &Ipv4Header, payload: &[u8]) -> bool {
    let about_error = header.protocol == PROTOCOL
        && !matches!(payload.first(), Some(&(kind::ECHO_REPLY | kind::ECHO_REQUEST | 13..=18)));
    !about_error && header.frag_offset == 0 && !is_martian_source_v4(header.src)
}

/// The longest error message with its IP header (RFC 1812 §4.3.2.3).
#[cfg(feature = "icmp-errors")]
const MAX_REPORT: usize = 576;

/// Octets that [`report`] appends to a frame, besides the IP header that it pushes in front, at most.
#[cfg(feature = "icmp-errors")]
pub(crate) const REPORT_LEN: usize = MAX_REPORT - ipv4::HEADER;

/// Writes into `frame`, which is empty and has headroom, an error message about `packet` (from its IP header on, its
/// padding aside), to its sender from `src`.
///
/// It quotes as much as there is and fits 576 octets, or less where the frame has no more room; at least the header and
/// eight octets, or `None`.
#[cfg(feature = "icmp-errors")]
pub(crate) fn report(frame: &mut Frame<'_>, report: Report, packet: &[u8], src: Ipv4Addr, ttl: u8) -> Option<()> {
    let fixed = packet.first_chunk::<{ ipv4::HEADER }>()?;
    let dst = Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]);
    let header_len = usize::from(fixed[0] & 15) * 4;
    let quoted = packet.len().min(REPORT_LEN - HEADER).min(frame.tailroom().checked_sub(HEADER)?);
    if quoted < packet.len().min(header_len + 8) {
        return None;
    }
    let message = frame.append(HEADER + quoted)?;
    let (_, quote) = message.split_at_mut_checked(HEADER)?;
    quote.copy_from_slice(packet.get(..quoted)?);
    emit(message, &report.header());
    // RFC 1122 §3.2.2: the type of service is 0. No fragment can come of 576 octets that matter to anybody.
    let fields = Fields { src, dst, protocol: PROTOCOL, ttl, tos: 0, ident: 0, dont_frag: true };
    ipv4::emit(frame.push_front(ipv4::HEADER)?, &fields, HEADER + quoted);
    Some(())
}

/// Writes into `frame`, which is empty and has headroom, an echo request's message: all but the IP header.
pub(crate) fn echo_request(frame: &mut Frame<'_>, ident: u16, seq: u16, data: &[u8]) -> Option<()> {
    let message = frame.append(HEADER + data.len())?;
    message.get_mut(HEADER..)?.copy_from_slice(data);
    let ([a, b], [c, d]) = (ident.to_be_bytes(), seq.to_be_bytes());
    emit(message, &IcmpHeader { kind: kind::ECHO_REQUEST, code: 0, rest: [a, b, c, d] });
    Some(())
}

//! An IPv6 packet comes in: is it for us, which of its headers matter, is it whole?
//!
//! Implements RFC 8200 §3 and §4 as a host that does not forward.

use super::{Arrival, Origin, Upper, Whole, protocol};
use crate::device::{RxChecksum, SegmentSize};
use crate::frame::Frame;
#[cfg(feature = "icmp-errors")]
use crate::icmp::v6::Report;
use crate::ip::v4::Destination;
use crate::ip::v6;
use crate::stack::{IfaceId, Stack};
use crate::stats::DropReason;
use crate::wire::extension::{self, Chain, Piece, Refusal};
#[cfg(feature = "icmp-errors")]
use crate::wire::ip::IpHeader;
use crate::wire::ipv6::{self, Ipv6Header};
#[cfg(feature = "tcp")]
use crate::wire::segment;
use core::net::Ipv6Addr;

impl<'a> Stack<'a> {
    #[inline(never)]
    pub(super) fn handle_ipv6(
        &mut self,
        origin: Origin,
        frame: &mut Frame<'a>,
        checksum: RxChecksum,
        link_group: bool,
    ) -> Result<Whole, DropReason> {
        let fixed = ipv6::parse(frame)?;
        // Link-layer padding is no part of the packet.
        frame.truncate(fixed.total_len);
        let (iface, size, to, flow) = match origin {
            Origin::Wire(id, size) => match self.flow_v6(id, &fixed, frame, link_group) {
                Some(flow) => (id, size, Destination::Ours, Some(flow)),
                #[cfg(feature = "hooks")]
                None if self.hooks.is_some() => return self.handle_hooked_v6((id, size), frame, checksum, link_group),
                None => (id, size, self.admit_v6(id, &fixed, link_group)?, None),
            },
            #[cfg(feature = "loopback")]
            Origin::Ourselves => {
                let id = self.iface_of(fixed.dst.into()).unwrap_or(IfaceId(0));
                (id, SegmentSize::default(), Destination::Ours, None)
            }
        };
        let arrival = Arrival { iface, link_group, to, checksum, size, flow };
        self.past_extensions(fixed, frame, arrival, false)
    }

    /// As `handle_hooked`, for IPv6.
    #[cfg(feature = "hooks")]
    #[cold]
    #[inline(never)]
    fn handle_hooked_v6(
        &mut self,
        (id, size): (IfaceId, SegmentSize),
        frame: &mut Frame<'a>,
        checksum: RxChecksum,
        link_group: bool,
    ) -> Result<Whole, DropReason> {
        let checksum = self.hook_in(crate::ip::hooks::Point::PreRouting, id, frame, checksum)?;
        let fixed = ipv6::parse(frame)?;
        frame.truncate(fixed.total_len);
        let to = self.admit_v6(id, &fixed, link_group)?;
        let arrival = Arrival { iface: id, link_group, to, checksum, size, flow: None };
        self.past_extensions(fixed, frame, arrival, false)
    }

    /// The packet behind its extension headers, or put together with others.
    fn past_extensions(
        &mut self,
        fixed: Ipv6Header,
        frame: &mut Frame<'a>,
        mut arrival: Arrival,
        joined: bool,
    ) -> Result<Whole, DropReason> {
        match extension::walk(frame, fixed.next_header, joined) {
            Ok(Chain::Upper { protocol, at, named_at, in_pieces }) => {
                // Only neighbour discovery comes from nobody (RFC 4291 §2.5.2).
                if fixed.src.is_unspecified() && protocol != protocol::ICMPV6 {
                    return Err(DropReason::MartianSource);
                }
                // What a device says that it has verified behind headers, which few devices know, is verified again.
                if at > ipv6::HEADER && arrival.checksum == RxChecksum::Verified {
                    arrival.checksum = RxChecksum::None;
                }
                Ok(Some((Upper { protocol, at, named_at: named_at as u16, in_pieces }, arrival)))
            }
            Ok(Chain::Piece(_)) if joined => Err(DropReason::FragmentMalformed),
            Ok(Chain::Piece(piece)) => self.handle_piece(fixed, piece, frame, arrival),
            Err(refusal) => Err(self.refuse(&refusal, &fixed, frame, arrival)),
        }
    }

    /// Tells the sender of a packet what is wrong with it, where that is wanted.
    #[cfg(feature = "icmp-errors")]
    fn refuse(&mut self, refusal: &Refusal, fixed: &Ipv6Header, packet: &[u8], arrival: Arrival) -> DropReason {
        if let Some(problem) = refusal.problem
            && self.may_tell(fixed.dst, arrival, problem.about_group)
        {
            // What is behind the headers is not known, an error message perhaps: then it is not the one to be told.
            let (protocol, payload) = upper_layer(packet, fixed.next_header);
            self.tell_v6(Report::Problem(problem), fixed.src, fixed.dst, (protocol, payload), packet, arrival.iface);
        }
        refusal.reason
    }

    #[cfg(not(feature = "icmp-errors"))]
    fn refuse(&mut self, refusal: &Refusal, _: &Ipv6Header, _: &[u8], _: Arrival) -> DropReason {
        refusal.reason
    }

    /// Whether the sender of a packet to `dst` may be told of anything: it was for us alone, or `about_group` for a group
    /// that we are in (RFC 4443 §2.4 (e.3)).
    #[cfg(feature = "icmp-errors")]
    pub(super) fn may_tell(&self, dst: Ipv6Addr, arrival: Arrival, about_group: bool) -> bool {
        match arrival.to {
            Destination::Ours => !arrival.link_group,
            _ => about_group && self.is_group_member(arrival.iface, dst),
        }
    }

    /// Whether the interface is in a group, by its addresses or because somebody joined it.
    pub(super) fn is_group_member(&self, id: IfaceId, group: Ipv6Addr) -> bool {
        let Some(iface) = self.iface(id) else { return false };
        #[cfg(feature = "multicast")]
        if iface.groups.all().any(|g| g == group) {
            return true;
        }
        let tentative = iface.v6.tentative.iter().map(|t| t.cidr.addr());
        v6::is_member(group, iface.addresses.iter().map(|a| a.addr()).chain(tentative))
    }

    /// As `flow`, for IPv6 without extension headers.
    #[cfg(feature = "tcp")]
    fn flow_v6(&self, id: IfaceId, header: &Ipv6Header, packet: &[u8], link_group: bool) -> Option<u32> {
        if header.next_header != protocol::TCP || link_group {
            return None;
        }
        let (src_port, dst_port) = segment::ports(packet.get(ipv6::HEADER..)?)?;
        self.tcp.find_again(id, (header.dst.into(), dst_port), (header.src.into(), src_port))
    }

    #[cfg(not(feature = "tcp"))]
    fn flow_v6(&self, _: IfaceId, _: &Ipv6Header, _: &[u8], _: bool) -> Option<u32> {
        None
    }

    /// Whom a packet is for, as seen by this host; an error when it must not be here.
    fn admit_v6(&self, id: IfaceId, header: &Ipv6Header, link_group: bool) -> Result<Destination, DropReason> {
        let Some(iface) = self.iface(id) else { return Err(DropReason::NotOurAddress) };
        let (src, dst) = (header.src.into(), header.dst.into());
        match v6::admit(header, &iface.addresses, link_group) {
            // As in IPv4; but a link-local address is another host's on another link.
            Err(DropReason::NotOurAddress)
                if self.is_configured(dst) && !v6::is_link_local(dst) || self.is_held_on(id, dst) =>
            {
                match self.is_configured(src) {
                    true => Err(DropReason::MartianSource),
                    false => self.admit_elsewhere(id, dst),
                }
            }
            Ok(_) if self.is_configured(src) => Err(DropReason::MartianSource),
            admitted => admitted,
        }
    }

    /// The packet that this piece completes, if it does.
    #[cfg(feature = "reassembly")]
    fn handle_piece(
        &mut self,
        fixed: Ipv6Header,
        piece: Piece,
        frame: &mut Frame<'a>,
        arrival: Arrival,
    ) -> Result<Whole, DropReason> {
        let Some(iface) = self.iface(arrival.iface) else { return Ok(None) };
        let pool = self.config.large_pool.unwrap_or(iface.pool);
        let whole = self.reassembly.handle_v6(self.now, &fixed, &piece, frame, pool, &mut self.stats);
        self.schedule_reassembly();
        let whole = match whole {
            Ok(whole) => whole,
            Err(refusal) => return Err(self.refuse(&refusal, &fixed, frame, arrival)),
        };
        let Some(whole) = whole else { return Ok(None) };
        *frame = whole;
        let fixed = ipv6::parse(frame)?;
        let arrival = Arrival { checksum: RxChecksum::None, size: SegmentSize::default(), ..arrival };
        self.past_extensions(fixed, frame, arrival, true)
    }

    #[cfg(not(feature = "reassembly"))]
    fn handle_piece(&mut self, _: Ipv6Header, _: Piece, _: &mut Frame<'a>, _: Arrival) -> Result<Whole, DropReason> {
        Err(DropReason::FragmentUnsupported)
    }

    /// RFC 8200 §4: a next header that nobody knows. No Next Header is silence.
    #[cfg(feature = "icmp-errors")]
    pub(super) fn unknown_header(&mut self, ip: &IpHeader, packet: &[u8], arrival: Arrival) {
        if ip.protocol == extension::NONE {
            return;
        }
        let problem = extension::Problem { code: extension::UNKNOWN_HEADER, pointer: ip.named_at, about_group: false };
        self.report_v6(Report::Problem(problem), ip, packet, arrival);
    }
}

/// The upper layer of a packet that was refused, as far as a second walk, past what was refused, can tell: its protocol
/// and what it begins with. An ICMPv6 error that is hidden behind what is refused counts as one.
#[cfg(feature = "icmp-errors")]
pub(super) fn upper_layer(packet: &[u8], next: u8) -> (u8, &[u8]) {
    let (mut next, mut at) = (next, ipv6::HEADER);
    for _ in 0..8 {
        let header = packet.get(at..).and_then(|h| h.first_chunk::<2>());
        let Some(&[following, len]) = header else { break };
        at += match next {
            extension::HOP_BY_HOP | extension::DESTINATION | extension::ROUTING => usize::from(len) * 8 + 8,
            extension::FRAGMENT => 8,
            _ => break,
        };
        next = following;
    }
    (next, packet.get(at..).unwrap_or(&[]))
}

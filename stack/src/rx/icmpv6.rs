//! An ICMPv6 message comes in: echo requests are answered, replies and errors go to the sockets they are about, and
//! neighbour discovery goes its own way.
//!
//! Implements RFC 4443, with RFC 5927's view of what errors are believed about.

use super::{Arrival, Drop};
use crate::frame::Frame;
#[cfg(feature = "icmp-errors")]
use crate::icmp::v6::Report;
use crate::icmp::v6::{self, Message};
use crate::ip::v4::Destination;
use crate::stack::{IfaceId, Reply, Stack};
use crate::stats::DropReason;
use crate::wire::ip::IpHeader;
#[cfg(feature = "icmp-errors")]
use crate::wire::ipv6;
use core::net::IpAddr;
#[cfg(feature = "icmp-errors")]
use core::net::Ipv6Addr;

impl<'a> Stack<'a> {
    #[inline(never)]
    pub(super) fn handle_icmpv6(&mut self, ip: &IpHeader, frame: Frame<'a>, arrival: Arrival) -> Drop {
        self.stats.icmp_in = self.stats.icmp_in.wrapping_add(1);
        let message = frame.get(ip.header_len..).ok_or(DropReason::IcmpMalformed)?;
        match v6::receive(message, ip, arrival.to)? {
            Message::Discovery => self.handle_discovery(ip, &frame, arrival),
            #[cfg(feature = "multicast")]
            Message::Listeners => self.handle_listeners(ip, &frame, arrival),
            _ if ip.src.is_unspecified() => Err(DropReason::MartianSource),
            Message::EchoRequest => self.answer_echo_v6(ip, frame, arrival),
            Message::EchoReply { ident, .. } => self.echo_reply(ip.header_len, ident, frame, arrival.iface),
            Message::Error { error, quote } => self.icmp_error(ip.header_len, error, &quote, frame, arrival.iface),
        }
    }

    /// RFC 4443 §4.2: the reply comes from the address that was asked, or, asked as one of a group, from one of ours.
    fn answer_echo_v6(&mut self, ip: &IpHeader, mut frame: Frame<'a>, arrival: Arrival) -> Drop {
        let (IpAddr::V6(dst), IpAddr::V6(from)) = (ip.dst, ip.src) else { return Err(DropReason::IcmpEchoGroup) };
        let src = match arrival.to {
            Destination::Ours => dst,
            _ if self.config.echo_broadcast && self.is_group_member(arrival.iface, dst) => {
                match self.iface(arrival.iface).and_then(|i| i.source_for(self.now, from.into())) {
                    Some(IpAddr::V6(src)) => src,
                    _ => return Err(DropReason::IcmpEchoGroup),
                }
            }
            _ => return Err(DropReason::IcmpEchoGroup),
        };
        let hop_limit = self.hop_limit(arrival.iface);
        v6::echo_reply(&mut frame, ip, src, hop_limit).ok_or(DropReason::IcmpMalformed)?;
        self.stats.icmp_out = self.stats.icmp_out.wrapping_add(1);
        self.reply_back(from.into(), frame, arrival.iface);
        Ok(())
    }

    /// What a router asks, or another host reports, of groups.
    #[cfg(feature = "multicast")]
    fn handle_listeners(&mut self, ip: &IpHeader, packet: &[u8], arrival: Arrival) -> Drop {
        let IpAddr::V6(src) = ip.src else { return Err(DropReason::MldMalformed) };
        let (headers, message) = packet.split_at_checked(ip.header_len).ok_or(DropReason::MldMalformed)?;
        let message = crate::wire::mld::parse(headers, message, src, ip.hop_limit)?;
        self.on_membership(arrival.iface, &message);
        Ok(())
    }

    /// As [`reply_ip`](Self::reply_ip), to what came by `arrived`: an answer to a link-local address leaves there.
    pub(super) fn reply_back(&mut self, dst: IpAddr, frame: Frame<'a>, arrived: IfaceId) {
        if crate::ip::v6::is_link_local(dst) && !self.is_own(dst) {
            self.queue_reply(arrived, Reply::Parked(frame));
        } else {
            self.reply_ip(dst, frame);
        }
    }

    /// Reports a packet that came for one of our addresses alone.
    #[cfg(feature = "icmp-errors")]
    pub(super) fn report_v6(&mut self, what: Report, ip: &IpHeader, packet: &[u8], arrival: Arrival) {
        let (IpAddr::V6(src), IpAddr::V6(dst)) = (ip.src, ip.dst) else { return };
        let payload = packet.get(ip.header_len..).unwrap_or(&[]);
        if self.may_tell(dst, arrival, false) {
            self.tell_v6(what, src, dst, (ip.protocol, payload), packet, arrival.iface);
        }
    }

    #[cfg(all(feature = "reassembly", feature = "icmp-errors"))]
    pub(super) fn reassembly_expired_v6(&mut self, src: IpAddr, dst: IpAddr, quote: &[u8]) {
        let (IpAddr::V6(src), IpAddr::V6(dst)) = (src, dst) else { return };
        let arrived = self.hop(src.into(), None).map_or(IfaceId(0), |hop| hop.iface);
        let payload = quote.get(ipv6::HEADER..).unwrap_or(&[]);
        let protocol = quote.get(ipv6::NEXT_HEADER).copied().unwrap_or(v6::PROTOCOL);
        self.tell_v6(Report::ReassemblyTimeout, src, dst, (protocol, payload), quote, arrived);
    }

    /// Sends an error about `packet`, which came by `arrived` from `src` to `dst` with `upper` as its upper layer, within
    /// the rate and unless RFC 4443 §2.4 (e) forbids it.
    #[cfg(feature = "icmp-errors")]
    pub(super) fn tell_v6(
        &mut self,
        what: Report,
        src: Ipv6Addr,
        dst: Ipv6Addr,
        upper: (u8, &[u8]),
        packet: &[u8],
        arrived: IfaceId,
    ) {
        if !v6::may_report(src.into(), upper.0, upper.1) {
            return;
        }
        if !self.limiter.allow(self.now, src.into()) {
            return self.stats.drop(DropReason::RateLimited);
        }
        let Some(iface) = self.hop_back(None, src.into(), arrived).and_then(|hop| self.iface(hop.iface)) else {
            return self.stats.drop(DropReason::NoRoute);
        };
        //= https://www.rfc-editor.org/rfc/rfc4443#section-2.2
        //# If the message is a response to a message sent to one of the
        //# node's unicast addresses, the Source Address of the reply MUST be
        //# that same address.
        let from = match self.is_ours(dst.into()) {
            true => Some(IpAddr::V6(dst)),
            false => iface.source_for(self.now, src.into()),
        };
        let Some(IpAddr::V6(from)) = from else { return self.stats.drop(DropReason::NoRoute) };
        let hop_limit = self.hop_limit(arrived);
        let frame = iface.pool.take_above(self.config.reserve_rx, iface.headroom() + ipv6::HEADER);
        let frame = frame.and_then(|mut f| v6::report(&mut f, what, packet, from, hop_limit).map(|()| f));
        let Some(frame) = frame else { return self.stats.drop(DropReason::EgressFull) };
        self.stats.icmp_out = self.stats.icmp_out.wrapping_add(1);
        self.reply_back(src.into(), frame, arrived);
    }
}

//! An ICMP message comes in: echo requests are answered, replies and errors go to the sockets they are about.
//!
//! Implements RFC 792, RFC 1122 §3.2.2 and §4.1.3.3, RFC 5927 (errors are believed only about what is in flight).

use super::{Arrival, protocol};
use crate::event::Readiness;
use crate::family::{IpAddr, SocketAddr, outside};
use crate::frame::Frame;
#[cfg(feature = "icmp-errors")]
use crate::icmp::Report;
use crate::icmp::{self, IcmpError, Message, Quote};
use crate::ip::addr::Cidr;
use crate::ip::route::Route;
use crate::ip::v4::Destination;
use crate::sockets::queue::Queued;
#[cfg(feature = "udp")]
use crate::sockets::udp::Trouble;
use crate::stack::{IfaceId, Reply, Stack};
use crate::stats::DropReason;
#[cfg(feature = "tcp")]
use crate::tcp::info::IcmpError as Reported;
use crate::wire::ip::{self, IpHeader};
use crate::wire::ipv4::{self, Ipv4Header};

type Drop = Result<(), DropReason>;

/// Routes made by redirects, at most.
const MAX_REDIRECTS: usize = 8;

impl<'a> Stack<'a> {
    #[inline(never)]
    pub(super) fn handle_icmp(&mut self, frame: Frame<'a>, arrival: Arrival) -> Drop {
        let ip = &ipv4::parse(&frame)?;
        self.stats.icmp_in = self.stats.icmp_in.wrapping_add(1);
        let message = frame.get(ip.header_len..).ok_or(DropReason::IcmpMalformed)?;
        match icmp::receive(message, arrival.to)? {
            Message::EchoRequest => self.answer_echo(ip, frame, arrival),
            Message::EchoReply { ident, .. } => self.echo_reply(ip.header_len, ident, frame, arrival.iface),
            #[cfg(all(feature = "icmp-errors", feature = "routes"))]
            Message::Redirect { gateway, quote } => self.redirect(ip.src.into(), gateway.into(), &quote, arrival.iface),
            Message::Error { error, quote } => self.icmp_error(ip.header_len, error, &quote, frame, arrival.iface),
            #[cfg(not(all(feature = "icmp-errors", feature = "routes")))]
            Message::Redirect { .. } => Err(DropReason::IcmpUnknown),
        }
    }

    /// A router says that another one is nearer to a destination.
    ///
    /// The route it makes is one address wide and passed over like any other when its router fails; there are few of them.
    #[cfg(all(feature = "icmp-errors", feature = "routes"))]
    fn redirect(&mut self, from: IpAddr, gateway: IpAddr, quote: &Quote, id: IfaceId) -> Drop {
        let bad = Err(DropReason::IcmpBadRedirect);
        let dst = quote.dst;
        let Some(hop) = self.hop(dst, None) else { return bad };
        let Some(iface) = self.iface(id) else { return bad };
        //= https://www.rfc-editor.org/rfc/rfc1122#section-3.2.2.2
        //# A Redirect message SHOULD be silently discarded if the new
        //# gateway address it specifies is not on the same connected
        //# (sub-) net through which the Redirect arrived [INTRO:2,
        //# Appendix A], or if the source of the Redirect is not the
        //# current first-hop gateway for the specified destination
        let on_link = iface.addresses.iter().any(|a| a.has(gateway));
        let usable = on_link && !iface.is_broadcast_ip(gateway) && !self.is_own(gateway) && gateway != from;
        // RFC 1812 §5.2.7.2: a router forwards by its own routes.
        if self.is_router() || !self.is_own(quote.src) || hop.iface != id || hop.next != from || dst == from || !usable
        {
            return bad;
        }
        let prefix = Cidr::one(dst);
        let old = self.routes.iter().find(|r| r.prefix == prefix && r.is_dynamic()).copied();
        match old {
            Some(old) => _ = self.routes.remove(&old),
            None if self.routes.iter().filter(|r| r.is_dynamic()).count() >= MAX_REDIRECTS => return bad,
            None => {}
        }
        let route = Route { prefix, gateway: Some(outside(gateway)), iface: id, metric: Route::DYNAMIC };
        self.routes.add(route).map_err(|_| DropReason::IcmpBadRedirect)
    }

    /// RFC 1122 §3.2.2.6: the reply comes from the address that was asked.
    fn answer_echo(&mut self, ip: &Ipv4Header, mut frame: Frame<'a>, arrival: Arrival) -> Drop {
        let src = match arrival.to {
            Destination::Ours => ip.dst,
            Destination::Broadcast if self.config.echo_broadcast => {
                match self.iface(arrival.iface).and_then(|i| i.source_for(self.now, ip.src.into())) {
                    Some(IpAddr::V4(src)) => src,
                    _ => return Err(DropReason::IcmpEchoGroup),
                }
            }
            _ => return Err(DropReason::IcmpEchoGroup),
        };
        let hop = self.hop_from(Some(src.into()), ip.src.into(), None);
        let mtu = hop.and_then(|h| self.iface(h.iface)).map_or(0, |i| i.ip_mtu());
        let whole = ip.total_len <= mtu;
        let ident = if whole { 0 } else { self.ids.next(src, ip.src, protocol::ICMP) };
        icmp::echo_reply(&mut frame, ip, src, self.config.ttl, ident, whole).ok_or(DropReason::IcmpMalformed)?;
        self.stats.icmp_out = self.stats.icmp_out.wrapping_add(1);
        self.reply_ip(ip.src.into(), frame);
        Ok(())
    }

    /// Queues a packet of the stack's own for the interface that its route says.
    pub(crate) fn reply_ip(&mut self, dst: IpAddr, frame: Frame<'a>) {
        if self.stays_here(dst) {
            #[cfg(feature = "hooks")]
            let mut frame = frame;
            #[cfg(feature = "hooks")]
            if self.hooks.is_some() && self.hook_out(&mut frame).is_none() {
                return;
            }
            return self.loop_back(frame);
        }
        let src = ip::addresses(&frame).map(|(src, _)| src);
        match self.hop_from(src, dst, None) {
            Some(hop) => {
                self.queue_reply(hop.iface, Reply::Ip(frame));
            }
            None => self.stats.drop(DropReason::NoRoute),
        }
    }

    #[cfg(feature = "icmp")]
    pub(super) fn echo_reply(&mut self, header_len: usize, ident: u16, frame: Frame<'a>, iface: IfaceId) -> Drop {
        let payload = (header_len + crate::wire::icmp::HEADER) as u16;
        self.echo_deliver(ident, Queued { frame, payload, iface: iface.0 })
    }

    #[cfg(feature = "icmp")]
    fn echo_deliver(&mut self, ident: u16, item: Queued<'a>) -> Drop {
        let index =
            self.echo.bindings.best(ident, |i| u8::from(self.echo.sockets.at(i).is_some_and(|e| e.ident == ident)));
        let Some(socket) = index.and_then(|i| self.echo.sockets.at_mut(i)) else {
            return Err(DropReason::IcmpNoSocket);
        };
        if item.frame.pool().free() < self.config.reserve_rx {
            socket.dropped += 1;
            return Err(DropReason::PoolLow);
        }
        if socket.rx.push(item).is_err() {
            socket.dropped += 1;
            return Err(DropReason::SocketQueueFull);
        }
        let node = socket.node;
        self.sched.post(node, Readiness::READ);
        Ok(())
    }

    #[cfg(not(feature = "icmp"))]
    pub(super) fn echo_reply(&mut self, _: usize, _: u16, _: Frame<'a>, _: IfaceId) -> Drop {
        Err(DropReason::IcmpNoSocket)
    }

    /// An error about a packet: it must have been ours.
    pub(super) fn icmp_error(
        &mut self,
        header_len: usize,
        error: IcmpError,
        quote: &Quote,
        frame: Frame<'a>,
        iface: IfaceId,
    ) -> Drop {
        if !self.is_ours(quote.src) {
            return Err(DropReason::IcmpBadQuote);
        }
        match quote.protocol {
            #[cfg(feature = "tcp")]
            protocol::TCP => self.tcp_error(error, quote),
            #[cfg(all(feature = "udp", feature = "icmp-errors"))]
            protocol::UDP => self.udp_error(error, quote, iface),
            #[cfg(feature = "icmp")]
            _ if quote.echo().is_some() => {
                let (ident, _) = quote.echo().ok_or(DropReason::IcmpBadQuote)?;
                let payload = (header_len + crate::wire::icmp::HEADER) as u16;
                let delivered = self.echo_deliver(ident, Queued { frame, payload, iface: iface.0 });
                if delivered.is_ok() {
                    self.learn_path(error, quote);
                }
                delivered
            }
            _ => {
                let _ = (header_len, frame, iface);
                Err(DropReason::IcmpNoSocket)
            }
        }
    }

    /// Takes the path MTU that an error about a datagram of a socket of ours reports.
    #[cfg(any(feature = "udp", feature = "icmp"))]
    fn learn_path(&mut self, error: IcmpError, quote: &Quote) {
        #[cfg(all(feature = "ipv6", feature = "icmp-errors"))]
        if let (IcmpError::TooBig { mtu }, IpAddr::V6(dst)) = (error, quote.dst)
            && quote.total_len > mtu
        {
            self.paths.learn(self.now, dst, mtu);
        }
        let _ = (error, quote);
    }

    #[cfg(all(feature = "udp", feature = "icmp-errors"))]
    fn udp_error(&mut self, error: IcmpError, quote: &Quote, iface: IfaceId) -> Drop {
        let remote = SocketAddr::new(quote.dst, quote.dst_port());
        let index = self.udp.find(quote.src, quote.src_port(), remote, iface.0).ok_or(DropReason::IcmpNoSocket)?;
        self.learn_path(error, quote);
        let socket = self.udp.sockets.at_mut(index).ok_or(DropReason::IcmpNoSocket)?;
        // Only a connected socket knows whom an error is about.
        if socket.remote != Some(remote) {
            return Err(DropReason::IcmpNoSocket);
        }
        socket.trouble = Some(match error {
            IcmpError::PortUnreachable | IcmpError::ProtocolUnreachable => Trouble::Refused,
            IcmpError::HostUnreachable | IcmpError::Prohibited | IcmpError::HopsExceeded => Trouble::Unreachable,
            // What is cut up on the way, or came too late, is the path's affair; nothing is to be told.
            _ => return Ok(()),
        });
        let node = socket.node;
        self.sched.post(node, Readiness::READ | Readiness::WRITE | Readiness::ERROR);
        Ok(())
    }

    #[cfg(feature = "tcp")]
    fn tcp_error(&mut self, error: IcmpError, quote: &Quote) -> Drop {
        use crate::seq::Seq;
        use crate::sockets::demux::{Target, Tuple};
        let tuple = Tuple {
            local_addr: quote.src,
            local_port: quote.src_port(),
            remote_addr: quote.dst,
            remote_port: quote.dst_port(),
        };
        let hash = self.tcp.hash(&tuple);
        let Some(Target::Conn(index)) = self.tcp.find(hash, &tuple) else { return Err(DropReason::IcmpNoSocket) };
        let seq = Seq::new(quote.tcp_seq());
        let Some(entry) = self.tcp.conns.at_mut(index) else { return Err(DropReason::IcmpNoSocket) };
        let verdict = match error {
            IcmpError::TooBig { mtu } => {
                if !entry.conn.is_in_flight(seq) {
                    return Err(DropReason::IcmpBadSequence);
                }
                let headers = ip::header_len(quote.dst) + 20;
                let current = usize::from(entry.conn.path_mss()) + headers;
                let lower = match quote.dst {
                    #[cfg(feature = "ipv6")]
                    IpAddr::V6(_) => icmp::v6::path_mtu(current, mtu),
                    _ => icmp::path_mtu(current, mtu, quote.total_len),
                };
                let Some(mtu) = lower else { return Ok(()) };
                entry.conn.on_mtu(mtu.saturating_sub(headers) as u16)
            }
            #[cfg(not(feature = "icmp-errors"))]
            _ => return Err(DropReason::IcmpNoSocket),
            #[cfg(feature = "icmp-errors")]
            error => entry.conn.on_icmp_error(soft(error), seq),
        };
        let drop = verdict.drop;
        self.after_call(index, verdict);
        drop.map_or(Ok(()), Err)
    }

    /// Tells a sender that nobody is at the port.
    #[cfg(feature = "udp")]
    pub(super) fn port_unreachable(&mut self, ip: &IpHeader, packet: &Frame<'a>, arrival: Arrival) {
        #[cfg(all(feature = "ipv6", feature = "icmp-errors"))]
        if ip.src.is_ipv6() {
            return self.report_v6(icmp::v6::Report::PortUnreachable, ip, packet, arrival);
        }
        #[cfg(feature = "icmp-errors")]
        self.report(Report::PortUnreachable, packet, arrival);
        let _ = (ip, packet, arrival);
    }

    /// Tells a sender that nobody here speaks the protocol.
    pub(super) fn protocol_unreachable(&mut self, ip: &IpHeader, packet: &Frame<'a>, arrival: Arrival) {
        #[cfg(all(feature = "ipv6", feature = "icmp-errors"))]
        if ip.src.is_ipv6() {
            return self.unknown_header(ip, packet, arrival);
        }
        #[cfg(feature = "icmp-errors")]
        self.report(Report::ProtocolUnreachable, packet, arrival);
        let _ = (ip, packet, arrival);
    }

    #[cfg(feature = "icmp-errors")]
    fn report(&mut self, what: Report, packet: &[u8], arrival: Arrival) {
        let Ok(ip) = ipv4::parse(packet) else { return };
        let payload = packet.get(ip.header_len..).unwrap_or(&[]);
        if icmp::may_report(&ip, payload, arrival.to, arrival.link_group) {
            self.send_report(what, ip.src.into(), ip.dst.into(), packet);
        }
    }

    /// Tells a sender that a datagram of which `quote` is the beginning was not put together in time, unless it was sent
    /// to a group.
    #[cfg(all(feature = "reassembly", feature = "icmp-errors"))]
    pub(super) fn reassembly_expired(&mut self, quote: &[u8]) {
        let Some((src, dst)) = ip::addresses(quote) else { return };
        if !self.is_ours(dst) {
            return;
        }
        #[cfg(feature = "ipv6")]
        if src.is_ipv6() {
            return self.reassembly_expired_v6(src, dst, quote);
        }
        self.send_report(Report::ReassemblyTimeout, src, dst, quote);
    }

    /// Sends an ICMP error about `packet` to `to`, from `from`, within the rate.
    #[cfg(feature = "icmp-errors")]
    pub(crate) fn send_report(&mut self, what: Report, to: IpAddr, from: IpAddr, packet: &[u8]) {
        let IpAddr::V4(src) = from else { return };
        if !self.limiter.allow(self.now, to) {
            return self.stats.drop(DropReason::RateLimited);
        }
        let Some(iface) = self.hop_from(Some(from), to, None).and_then(|hop| self.iface(hop.iface)) else {
            return self.stats.drop(DropReason::NoRoute);
        };
        let ttl = self.config.ttl;
        let frame = iface.pool.take_above(self.config.reserve_rx, iface.headroom() + ipv4::HEADER);
        let frame = frame.and_then(|mut f| icmp::report(&mut f, what, packet, src, ttl).map(|()| f));
        let Some(frame) = frame else { return self.stats.drop(DropReason::EgressFull) };
        self.stats.icmp_out = self.stats.icmp_out.wrapping_add(1);
        self.reply_ip(to, frame);
    }

    /// Copies of a packet for raw sockets; true when there was one to have it.
    #[inline]
    pub(super) fn deliver_raw(&mut self, protocol: u8, frame: &Frame<'a>, arrival: Arrival) -> bool {
        #[cfg(feature = "raw")]
        if self.raw.sockets.len() > 0 {
            let own = self.deliver_raw_as(u16::from(protocol), frame, arrival.iface);
            return self.deliver_raw_as(crate::sockets::raw::ANY_PROTOCOL, frame, arrival.iface) | own;
        }
        let _ = (protocol, frame, arrival);
        false
    }

    #[cfg(feature = "raw")]
    #[cold]
    fn deliver_raw_as(&mut self, protocol: u16, frame: &Frame<'a>, iface: IfaceId) -> bool {
        let mut last: Option<u32> = None;
        while let Some(index) = self.raw.next_member(last, protocol) {
            last = Some(index);
            let copy = frame.pool().take_above(self.config.reserve_rx, 0);
            let copy = copy.and_then(|mut f| f.extend(frame).map(|()| f));
            let Some(socket) = self.raw.sockets.at_mut(index) else { continue };
            #[cfg(feature = "hooks")]
            if socket.filter.is_some_and(|wants| !wants(frame)) {
                socket.dropped += 1;
                self.stats.drop(DropReason::Filtered);
                continue;
            }
            let node = socket.node;
            let item = copy.map(|frame| Queued { frame, payload: 0, iface: iface.0 });
            match item.map(|item| socket.rx.push(item)) {
                Some(Ok(())) => self.sched.post(node, Readiness::READ),
                Some(Err(_)) => {
                    socket.dropped += 1;
                    self.stats.drop(DropReason::SocketQueueFull);
                }
                None => {
                    socket.dropped += 1;
                    self.stats.drop(DropReason::PoolLow);
                }
            }
        }
        last.is_some()
    }
}

/// What TCP makes of an error.
#[cfg(feature = "tcp")]
fn soft(error: IcmpError) -> Reported {
    match error {
        IcmpError::PortUnreachable => Reported::PortUnreachable,
        IcmpError::ProtocolUnreachable => Reported::ProtocolUnreachable,
        IcmpError::HopsExceeded | IcmpError::ReassemblyTimeout => Reported::TimeExceeded,
        IcmpError::ParameterProblem => Reported::ParameterProblem,
        IcmpError::HostUnreachable | IcmpError::Prohibited | IcmpError::TooBig { .. } => Reported::Unreachable,
    }
}

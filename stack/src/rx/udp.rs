//! A UDP datagram comes in: to the most specific socket, or, sent to a group, to each that wants it.
//!
//! Implements RFC 768, RFC 1122 §4.1 and RFC 1112 §7.2. The first receiver gets the frame itself, further ones a copy
//! against their own quota.

use super::Arrival;
use crate::event::Readiness;
use crate::family::{IpAddr, SocketAddr};
use crate::frame::Frame;
use crate::ip::v4::Destination;
use crate::sockets::queue::Queued;
use crate::stack::Stack;
use crate::stats::DropReason;
use crate::wire::ip::IpHeader;
use crate::wire::udp;

type Drop = Result<(), DropReason>;

impl<'a> Stack<'a> {
    #[cfg_attr(not(target_os = "none"), inline(never))]
    pub(super) fn handle_udp(&mut self, ip: &IpHeader, frame: Frame<'a>, arrival: Arrival) -> Drop {
        let datagram = frame.get(ip.header_len..).ok_or(DropReason::UdpMalformed)?;
        let header = udp::parse(datagram)?;
        // What no sum was computed for, no device has verified.
        if !arrival.is_verified() || header.checksum == 0 {
            udp::verify(&header, ip.src, ip.dst, datagram)?;
        }
        let from = SocketAddr::new(ip.src, header.src_port);
        let payload = (ip.header_len + udp::HEADER) as u16;
        let datagram = Queued { frame, payload, iface: arrival.iface.0 };
        // Where no two sockets may have one port of one address, what is sent to everybody is for one of them, too.
        if !cfg!(feature = "shared-ports") || arrival.to == Destination::Ours {
            return self.udp_unicast(ip, header.dst_port, from, datagram, arrival);
        }
        self.udp_group(ip.dst, header.dst_port, from, datagram)
    }

    fn udp_unicast(
        &mut self,
        ip: &IpHeader,
        port: u16,
        from: SocketAddr,
        datagram: Queued<'a>,
        arrival: Arrival,
    ) -> Drop {
        match self.udp.find(ip.dst, port, from, datagram.iface) {
            Some(index) => self.udp_deliver(index, datagram),
            None => {
                self.port_unreachable(ip, &datagram.frame, arrival);
                Err(DropReason::UdpNoSocket)
            }
        }
    }

    fn udp_group(&mut self, dst: IpAddr, port: u16, from: SocketAddr, datagram: Queued<'a>) -> Drop {
        let mut current = self.next_receiver(None, dst, port, from, datagram.iface);
        let Some(first) = current else { return Err(DropReason::UdpNoSocket) };
        while let Some(index) = current {
            current = self.next_receiver(Some(index), dst, port, from, datagram.iface);
            if index != first {
                self.udp_deliver_copy(index, &datagram);
            }
        }
        self.udp_deliver(first, datagram)
    }

    /// The next socket after `after` that wants what `from` sends to a group or to everybody.
    fn next_receiver(
        &self,
        mut after: Option<u32>,
        dst: IpAddr,
        port: u16,
        from: SocketAddr,
        iface: u8,
    ) -> Option<u32> {
        loop {
            let index = self.udp.next_member(after, dst, port, from, iface)?;
            if self.wants_source(index, dst, from.ip(), iface) {
                return Some(index);
            }
            after = Some(index);
        }
    }

    /// Whether a socket's filter lets a source through.
    #[cfg(feature = "multicast")]
    fn wants_source(&self, socket: u32, group: IpAddr, source: IpAddr, iface: u8) -> bool {
        let iface = self.ifaces.get(usize::from(iface)).and_then(Option::as_ref);
        iface.and_then(|i| i.groups.wants(socket, group, source)).unwrap_or(true)
    }

    #[cfg(not(feature = "multicast"))]
    fn wants_source(&self, _: u32, _: IpAddr, _: IpAddr, _: u8) -> bool {
        true
    }

    fn udp_deliver_copy(&mut self, index: u32, datagram: &Queued<'a>) {
        let copy = self.copy_to_queue(datagram);
        let delivered = match copy {
            Some(copy) => self.udp_deliver(index, copy),
            None => {
                if let Some(socket) = self.udp.sockets.at_mut(index) {
                    socket.dropped += 1;
                }
                Err(DropReason::PoolLow)
            }
        };
        if let Err(reason) = delivered {
            self.stats.drop(reason);
        }
    }

    /// A copy of a datagram in a frame of the same pool, if the pool can spare one.
    pub(super) fn copy_to_queue(&self, datagram: &Queued<'a>) -> Option<Queued<'a>> {
        let mut frame = datagram.frame.pool().take_above(self.config.reserve_rx, 0)?;
        frame.extend(&datagram.frame)?;
        Some(Queued { frame, payload: datagram.payload, iface: datagram.iface })
    }

    fn udp_deliver(&mut self, index: u32, datagram: Queued<'a>) -> Drop {
        let low = datagram.frame.pool().free() < self.config.reserve_rx;
        let Some(socket) = self.udp.sockets.at_mut(index) else { return Err(DropReason::UdpNoSocket) };
        if low {
            socket.dropped += 1;
            return Err(DropReason::PoolLow);
        }
        #[cfg(feature = "hooks")]
        if socket.filter.is_some_and(|wants| !wants(&datagram.frame)) {
            socket.dropped += 1;
            return Err(DropReason::Filtered);
        }
        let (node, was_empty) = (socket.node, socket.rx.is_empty());
        if !socket.deliver(datagram) {
            return Err(DropReason::SocketQueueFull);
        }
        self.stats.udp_in = self.stats.udp_in.wrapping_add(1);
        if was_empty {
            self.sched.post(node, Readiness::READ);
        }
        Ok(())
    }
}

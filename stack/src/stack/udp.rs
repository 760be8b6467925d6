//! UDP for the user: bind, connect, send, receive.

#[cfg(feature = "multicast")]
use super::SourceFilter;
use super::datagram::{MAX_UDP_PAYLOAD, is_group, is_reachable};
use super::zone::zone_of;
use super::{IfaceId, Stack};
#[cfg(feature = "multicast")]
use crate::error::GroupError;
use crate::error::{BindError, RecvError, SendError, Stale};
use crate::event::{Readiness, Wakers};
use crate::family::{self, IpAddr, SocketAddr, inside, outside};
use crate::frame::Frame;
use crate::ip::addr;
use crate::ready::Key;
use crate::sockets::ports;
use crate::sockets::queue::Queued;
use crate::sockets::udp::{Received, Udp, UdpHandle, UdpOptions};
use crate::wire::{ip, udp};
use core::net::{IpAddr as AnyAddr, Ipv4Addr, SocketAddr as AnySocketAddr};
use core::task::Waker;

impl<'a> Stack<'a> {
    /// Opens a UDP socket on `port` (0: an ephemeral one) of `addr`, or of every address.
    ///
    /// # Errors
    /// [`BindError`]; `Invalid` for a time to live of 0 and a DSCP above 63.
    pub fn udp_bind(&mut self, addr: Option<AnyAddr>, port: u16, options: &UdpOptions) -> Result<UdpHandle, BindError> {
        if !options.is_valid() {
            return Err(BindError::Invalid);
        }
        let addr = addr.filter(|a| !a.is_unspecified());
        let addr = family::any_inside(addr).ok_or(BindError::NotOurAddress)?;
        if addr.is_some_and(|a| !self.is_ours(a) && !is_group(a) && !self.is_any_broadcast(a)) {
            return Err(BindError::NotOurAddress);
        }
        let port = match port {
            0 => self.ephemeral_udp(addr).ok_or(BindError::NoPort)?,
            port if self.udp.overlaps(addr, port, options.share) => return Err(BindError::InUse),
            port => port,
        };
        let (rx, tx) = self.take_queues(options.rx_queue, options.tx_queue)?;
        let Ok(node) = self.sched.alloc(Key::Udp(0)) else {
            self.give_queues(rx, tx);
            return Err(BindError::Full);
        };
        let socket = Udp {
            node,
            local: addr,
            port,
            remote: None,
            options: *options,
            rx,
            tx,
            trouble: None,
            dropped: 0,
            wakers: Wakers::new(),
            #[cfg(feature = "hooks")]
            filter: None,
        };
        match self.udp.sockets.insert(socket) {
            Ok(handle) => {
                self.sched.set_key(node, Key::Udp(handle.index));
                if addr.is_some_and(|a| a.is_multicast()) {
                    self.all_groups_changed();
                }
                if self.udp.bindings.insert(port, handle.index).is_err() {
                    self.udp_remove(handle.index);
                    return Err(BindError::Full);
                }
                Ok(UdpHandle(handle))
            }
            Err(socket) => {
                self.give_queues(socket.rx, socket.tx);
                self.sched.free(node);
                Err(BindError::Full)
            }
        }
    }

    fn ephemeral_udp(&mut self, addr: Option<IpAddr>) -> Option<u16> {
        let start = self.udp.ports.start();
        ports::first_free(start, |port| self.udp.overlaps(addr, port, false))
    }

    fn udp_remove(&mut self, index: u32) {
        let Some(socket) = self.udp.sockets.remove_at(index) else { return };
        self.udp.bindings.remove(socket.port, index);
        #[cfg(feature = "multicast")]
        self.leave_all_groups(index);
        if socket.local.is_some_and(|a| a.is_multicast()) {
            self.all_groups_changed();
        }
        self.sched.free(socket.node);
        self.give_queues(socket.rx, socket.tx);
    }

    /// A UDP socket's view.
    ///
    /// # Errors
    /// [`Stale`] when it was closed.
    pub fn udp(&mut self, handle: UdpHandle) -> Result<UdpSocket<'_, 'a>, Stale> {
        self.udp.sockets.get(handle.0).ok_or(Stale::Handle)?;
        Ok(UdpSocket { stack: self, index: handle.0.index })
    }
}

/// A view of a UDP socket, for as long as the stack is borrowed.
pub struct UdpSocket<'s, 'a> {
    stack: &'s mut Stack<'a>,
    index: u32,
}

/// A datagram being written: a frame with room for the payload, and where it will go.
#[derive(Debug)]
pub struct Reserved<'a> {
    frame: Frame<'a>,
    iface: IfaceId,
    source: IpAddr,
    to: SocketAddr,
}

impl Reserved<'_> {
    /// The payload, to be filled; it holds whatever was there.
    pub fn payload(&mut self) -> &mut [u8] {
        &mut self.frame
    }

    /// Shortens the payload.
    pub fn truncate(&mut self, len: usize) {
        self.frame.truncate(len);
    }
}

impl<'a> UdpSocket<'_, 'a> {
    fn socket(&self) -> Result<&Udp<'a>, Stale> {
        self.stack.udp.sockets.at(self.index).ok_or(Stale::Handle)
    }

    /// Sends `payload` to `to`.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent then. `WouldBlock` when the queue or the pool is full.
    pub fn send_to(&mut self, payload: &[u8], to: AnySocketAddr) -> Result<(), SendError> {
        let mut reserved = self.reserve(payload.len(), to)?;
        reserved.payload().copy_from_slice(payload);
        self.send_reserved(reserved)
    }

    /// Sends `payload` to the address the socket is connected to.
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to); `InvalidRemote` when it is not connected.
    pub fn send(&mut self, payload: &[u8]) -> Result<(), SendError> {
        let to = self.socket().map_err(|_| SendError::Stale)?.remote.ok_or(SendError::InvalidRemote)?;
        self.send_to(payload, family::socket_outside(to))
    }

    /// Sends `payload` to `to` from an address of ours; or, for a host that is about to get one, from the unspecified
    /// address to 255.255.255.255, by a socket that is bound to an interface.
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to).
    pub fn send_from(&mut self, payload: &[u8], from: AnyAddr, to: AnySocketAddr) -> Result<(), SendError> {
        let from = inside(from).ok_or(SendError::NotOurAddress)?;
        let mut reserved = self.reserve_by(payload.len(), to, (None, Some(from)))?;
        reserved.payload().copy_from_slice(payload);
        self.send_reserved(reserved)
    }

    /// Answers a received datagram: `payload` goes to its sender, by the interface it came by and from the address that
    /// it was sent to, or, sent to everybody, from an address of that interface (RFC 1122 §4.1.3.5).
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to).
    pub fn reply(&mut self, received: &Received, payload: &[u8]) -> Result<(), SendError> {
        let way = (Some(received.iface), inside(received.local));
        let mut reserved = self.reserve_by(payload.len(), received.from, way)?;
        reserved.payload().copy_from_slice(payload);
        self.send_reserved(reserved)
    }

    /// A frame for a datagram of `len` octets to `to`, to be filled in place and sent with
    /// [`send_reserved`](Self::send_reserved); dropping it sends nothing.
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to).
    pub fn reserve(&mut self, len: usize, to: AnySocketAddr) -> Result<Reserved<'a>, SendError> {
        self.reserve_by(len, to, (None, None))
    }

    /// As [`reserve`](Self::reserve), by an interface and from an address, unless the socket is bound to others.
    fn reserve_by(
        &mut self,
        len: usize,
        to: AnySocketAddr,
        (by, from): (Option<IfaceId>, Option<IpAddr>),
    ) -> Result<Reserved<'a>, SendError> {
        let stack = &mut *self.stack;
        let socket = stack.udp.sockets.at_mut(self.index).ok_or(SendError::Stale)?;
        if let Some(trouble) = socket.trouble.take() {
            return Err(trouble.into());
        }
        if len > MAX_UDP_PAYLOAD {
            return Err(SendError::TooLong);
        }
        let (options, local) = (socket.options, socket.local);
        if socket.tx.is_full() {
            return Err(SendError::WouldBlock);
        }
        let to = family::socket_inside(to).ok_or(SendError::InvalidRemote)?;
        let dst = to.ip();
        if to.port() == 0 || !is_reachable(dst) {
            return Err(SendError::InvalidRemote);
        }
        let broadcast = dst == IpAddr::V4(Ipv4Addr::BROADCAST) || stack.is_any_broadcast(dst);
        if broadcast && !options.broadcast {
            return Err(SendError::BroadcastNotAllowed);
        }
        let local = local.filter(|l| !is_group(*l) && !stack.is_any_broadcast(*l)).or(from);
        let by = by.or(zone_of(to));
        if matches!((options.iface, by), (Some(bound), Some(by)) if !bound.is(by)) {
            return Err(SendError::InvalidRemote);
        }
        #[cfg(feature = "temporary-addresses")]
        let local = local.or_else(|| stack.source_as(dst, options.iface.or(by), options.source));
        let (iface, source) = stack.datagram_way(dst, options.iface.or(by), local)?;
        let mut frame = stack.datagram_frame(iface, dst, udp::HEADER, len)?;
        frame.append(len).ok_or(SendError::TooLong)?;
        Ok(Reserved { frame, iface, source, to })
    }

    /// Sends a reserved datagram.
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to).
    pub fn send_reserved(&mut self, reserved: Reserved<'a>) -> Result<(), SendError> {
        let Reserved { mut frame, iface, source, to } = reserved;
        let stack = &mut *self.stack;
        let socket = stack.udp.sockets.at_mut(self.index).ok_or(SendError::Stale)?;
        if socket.tx.is_full() {
            return Err(SendError::WouldBlock);
        }
        let dst = to.ip();
        let usual = stack.hop_limit_towards(iface, dst);
        // Where the UDP header will be, if its checksum is left out for now.
        #[cfg(feature = "checksum-offload")]
        let start = stack.leaves_datagram(iface, dst, udp::HEADER + frame.len());
        #[cfg(not(feature = "checksum-offload"))]
        let start = 0_usize;
        let socket = stack.udp.sockets.at_mut(self.index).ok_or(SendError::Stale)?;
        let len = frame.len() + udp::HEADER;
        let header = frame.push_front(udp::HEADER).ok_or(SendError::TooLong)?;
        udp::emit(header, socket.port, to.port(), len);
        match start {
            #[cfg(feature = "checksum-offload")]
            1.. => udp::leave_checksum(&mut frame, source, dst),
            _ => udp::fill_checksum(&mut frame, source, dst),
        }
        let ttl = match socket.options.ttl {
            Some(ttl) => ttl,
            None if dst.is_multicast() => 1,
            None => usual,
        };
        let tos = socket.options.dscp << 2;
        let node = socket.node;
        stack.push_ip(&mut frame, iface, (source, dst), udp::PROTOCOL, (ttl, tos))?;
        let socket = stack.udp.sockets.at_mut(self.index).ok_or(SendError::Stale)?;
        socket.tx.push(Queued { frame, payload: start as u16, iface: iface.0 }).map_err(|_| SendError::WouldBlock)?;
        stack.sched.wake(node, iface.index());
        Ok(())
    }

    /// Copies the oldest datagram to `buf`. A longer one is cut off, as [`Received::is_truncated`] tells.
    ///
    /// # Errors
    /// [`RecvError`]; `WouldBlock` when there is none.
    pub fn recv_from(&mut self, buf: &mut [u8]) -> Result<Received, RecvError> {
        let (frame, mut received) = self.recv()?;
        let len = frame.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..len), frame.get(..len)) {
            to.copy_from_slice(from);
        }
        received.len = len;
        Ok(received)
    }

    /// Takes the oldest datagram in its frame, without a copy; the frame dereferences to the payload. It is a frame of
    /// the device's pool: keeping many starves the device.
    ///
    /// # Errors
    /// As [`recv_from`](Self::recv_from).
    pub fn recv(&mut self) -> Result<(Frame<'a>, Received), RecvError> {
        let stack = &mut *self.stack;
        let socket = stack.udp.sockets.at_mut(self.index).ok_or(RecvError::Stale)?;
        if let Some(trouble) = socket.trouble.take() {
            return Err(trouble.into());
        }
        let queued = socket.rx.pop().ok_or(RecvError::WouldBlock)?;
        let mut received = stack.describe(&queued).ok_or(RecvError::WouldBlock)?;
        let mut frame = queued.frame;
        frame.trim_front(usize::from(queued.payload));
        // The IP packet may go on behind the datagram.
        frame.truncate(received.full_len);
        received.len = frame.len();
        Ok((frame, received))
    }

    /// Sends to and receives from this address only; ICMP errors then reach the socket (RFC 1122 §4.1.3.3).
    ///
    /// # Errors
    /// [`SendError::InvalidRemote`] or [`SendError::NoRoute`].
    pub fn connect(&mut self, remote: AnySocketAddr) -> Result<(), SendError> {
        let remote = family::socket_inside(remote).ok_or(SendError::InvalidRemote)?;
        if remote.port() == 0
            || remote.ip().is_unspecified()
            || addr::is_martian_source(remote.ip()) && !remote.ip().is_loopback()
        {
            return Err(SendError::InvalidRemote);
        }
        let options = self.stack.udp.sockets.at(self.index).ok_or(SendError::Stale)?.options;
        let by = zone_of(remote).or(options.iface);
        if matches!((options.iface, by), (Some(bound), Some(by)) if !bound.is(by)) {
            return Err(SendError::InvalidRemote);
        }
        let source = self.stack.source_in(by, remote.ip()).ok_or(SendError::NoRoute)?.1;
        #[cfg(feature = "temporary-addresses")]
        let source = self.stack.source_as(remote.ip(), by, options.source).unwrap_or(source);
        let socket = self.stack.udp.sockets.at_mut(self.index).ok_or(SendError::Stale)?;
        // A zone holds the socket to its link; addresses are compared without.
        socket.options.iface = by;
        socket.remote = Some(SocketAddr::new(remote.ip(), remote.port()));
        socket.local = socket.local.or(Some(source));
        Ok(())
    }

    /// Wants of a group what `filter` says, by an interface (RFC 9776 §2, RFC 9777 §3): the group is joined for it, or,
    /// with [`SourceFilter::Include`] of nothing, left. Replaces what the socket wanted of this group before; what it has in
    /// its queue stays there. A socket without a filter gets what others have joined.
    ///
    /// # Errors
    /// [`GroupError`]; nothing has changed then. `Full` also when the filters of the interface would name more than
    /// [`MAX_SOURCES`](super::MAX_SOURCES).
    #[cfg(feature = "multicast")]
    pub fn set_source_filter(
        &mut self,
        iface: IfaceId,
        group: AnyAddr,
        filter: SourceFilter<'_>,
    ) -> Result<(), GroupError> {
        self.socket().map_err(|_| GroupError::Stale)?;
        self.stack.filter_sources(self.index, iface, group, filter)
    }

    /// The address and port it is bound to; the address is unspecified when it is every one.
    pub fn local_addr(&self) -> Option<AnySocketAddr> {
        let socket = self.socket().ok()?;
        Some(family::socket(socket.local.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), socket.port))
    }

    /// The address it is connected to.
    pub fn remote_addr(&self) -> Option<AnySocketAddr> {
        self.socket().ok()?.remote.map(family::socket_outside)
    }

    /// Whether a receive would not say `WouldBlock`.
    pub fn readable(&self) -> bool {
        self.socket().is_ok_and(|s| !s.rx.is_empty() || s.trouble.is_some())
    }

    /// Whether the transmit queue has room.
    pub fn writable(&self) -> bool {
        self.socket().is_ok_and(|s| !s.tx.is_full())
    }

    /// Datagrams that came for this socket and found its queue, or the pool, full.
    pub fn dropped(&self) -> usize {
        self.socket().map_or(0, |s| s.dropped)
    }

    /// Wakes `waker` once when the socket becomes ready for `interest`.
    pub fn register(&mut self, interest: Readiness, waker: &Waker) {
        if let Some(socket) = self.stack.udp.sockets.at_mut(self.index) {
            socket.wakers.register(interest, waker);
        }
    }

    /// Has the socket receive only datagrams for whose packet, from its IP header on, `filter` is true; others are counted
    /// here and as [`Filtered`](crate::stats::DropReason::Filtered). `None`: all.
    #[cfg(feature = "hooks")]
    pub fn set_filter(&mut self, filter: Option<crate::ip::hooks::Filter<'a>>) {
        if let Some(socket) = self.stack.udp.sockets.at_mut(self.index) {
            socket.filter = filter;
        }
    }

    /// Closes the socket. What still waits to leave is handed to its interface first, as far as there is room.
    pub fn close(self) {
        let stack = self.stack;
        #[cfg_attr(not(feature = "checksum-offload"), allow(unused_mut))]
        while let Some(mut item) = stack.udp.sockets.at_mut(self.index).and_then(|s| s.tx.pop()) {
            #[cfg(feature = "checksum-offload")]
            udp::complete(&mut item.frame, item.payload);
            stack.queue_reply(IfaceId(item.iface), super::Reply::Ip(item.frame));
        }
        stack.udp_remove(self.index);
    }
}

impl<'a> Stack<'a> {
    /// The addresses of a received datagram, from its headers.
    pub(super) fn describe(&self, queued: &Queued<'a>) -> Option<Received> {
        let ip = ip::parse(&queued.frame).ok()?;
        let header = udp::parse(queued.frame.get(usize::from(queued.payload).checked_sub(udp::HEADER)?..)?).ok()?;
        let iface = IfaceId(queued.iface);
        let to = ip.dst;
        let local = match self.is_ours(to) {
            true => to,
            // Nothing, where there is no address yet.
            false => self.iface(iface)?.source_for(self.now, ip.src).unwrap_or(family::unspecified(ip.src)),
        };
        Some(Received {
            len: 0,
            full_len: header.len - udp::HEADER,
            from: family::socket(ip.src, header.src_port),
            to: family::socket(to, header.dst_port),
            local: outside(local),
            iface,
            ttl: ip.hop_limit,
            tos: ip.tos,
        })
    }
}

//! Raw IPv4 sockets and ICMP echo sockets for the user.

use super::{IfaceId, Reply, Stack};
use crate::error::{BindError, RecvError, SendError, Stale};
use crate::event::{Readiness, Wakers};
use crate::icmp::echo::{Echo, IcmpHandle};
use crate::icmp::{IcmpError, Message};
use crate::ip::v4::{Destination, Fields};
use crate::ready::{Key, NodeId};
use crate::sockets::queue::{Queue, Queued};
use crate::sockets::raw::{ANY_PROTOCOL, Raw, RawHandle};
use crate::wire::{icmp, ipv4};
use core::net::IpAddr;
use core::task::Waker;

/// Datagrams queued each way on raw and echo sockets.
const QUEUE: usize = 16;

/// What came to an echo socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Echoed {
    /// A reply to a request of this sequence number.
    Reply {
        /// Who answered.
        from: IpAddr,
        /// The request's sequence number.
        seq: u16,
        /// Payload octets; as many as fit were copied.
        len: usize,
        /// The reply's hop limit on arrival.
        ttl: u8,
    },
    /// An ICMP error about a request.
    Error {
        /// Who reported it.
        from: IpAddr,
        /// The request's sequence number.
        seq: u16,
        /// What it says.
        error: IcmpError,
    },
}

impl<'a> Stack<'a> {
    /// Opens a raw socket for IP packets of one protocol number, or of all.
    ///
    /// It receives copies of what the stack processes itself, too.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn raw_bind(&mut self, protocol: Option<u8>) -> Result<RawHandle, BindError> {
        let protocol = protocol.map_or(ANY_PROTOCOL, u16::from);
        let (node, rx, tx) = self.datagram_parts(Key::Raw(0))?;
        let socket = Raw { node, protocol, rx, tx, dropped: 0, wakers: Wakers::new() };
        match self.raw.sockets.insert(socket) {
            Ok(handle) => {
                self.sched.set_key(node, Key::Raw(handle.index));
                if self.raw.bindings.insert(protocol, handle.index).is_err() {
                    self.raw_remove(handle.index);
                    return Err(BindError::Full);
                }
                Ok(RawHandle(handle))
            }
            Err(socket) => {
                self.give_queues(socket.rx, socket.tx);
                self.sched.free(node);
                Err(BindError::Full)
            }
        }
    }

    /// Sends `packet`, a whole IPv4 packet, its bytes untouched, by the route to its destination.
    ///
    /// # Errors
    /// [`SendError`]; `Malformed` when its header is none (the header checksum must be right, too).
    pub fn raw_send(&mut self, socket: RawHandle, packet: &[u8]) -> Result<(), SendError> {
        let state = self.raw.sockets.get(socket.0).ok_or(SendError::Stale)?;
        let node = state.node;
        if state.tx.is_full() {
            return Err(SendError::WouldBlock);
        }
        let header = ipv4::parse(packet).map_err(|_| SendError::Malformed)?;
        if header.total_len != packet.len() {
            return Err(SendError::Malformed);
        }
        let (iface, _) = self.source(header.dst.into()).ok_or(SendError::NoRoute)?;
        let mut frame = self.datagram_frame(iface, 0, packet.len() - ipv4::HEADER.min(packet.len()))?;
        // The headroom reserved for an IP header is the packet's own here.
        frame.reset(frame.headroom() - ipv4::HEADER);
        frame.extend(packet).ok_or(SendError::TooLong)?;
        let item = Queued { frame, payload: 0, iface: iface.0 };
        let state = self.raw.sockets.get_mut(socket.0).ok_or(SendError::Stale)?;
        state.tx.push(item).map_err(|_| SendError::WouldBlock)?;
        self.sched.wake(node, iface.index());
        Ok(())
    }

    /// Copies the oldest received packet to `buf`, IP header and all, and gives its whole length, which is more than
    /// `buf`'s when it was cut off.
    ///
    /// # Errors
    /// [`RecvError`].
    pub fn raw_recv(&mut self, socket: RawHandle, buf: &mut [u8]) -> Result<usize, RecvError> {
        let state = self.raw.sockets.get_mut(socket.0).ok_or(RecvError::Stale)?;
        let item = state.rx.pop().ok_or(RecvError::WouldBlock)?;
        copy(buf, &item.frame);
        Ok(item.frame.len())
    }

    /// Wakes `waker` once the socket is ready for `interest`.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn raw_register(&mut self, socket: RawHandle, interest: Readiness, waker: &Waker) -> Result<(), Stale> {
        let state = self.raw.sockets.get_mut(socket.0).ok_or(Stale::Handle)?;
        state.wakers.register(interest, waker);
        Ok(())
    }

    /// Closes a raw socket.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn raw_close(&mut self, socket: RawHandle) -> Result<(), Stale> {
        let state = self.raw.sockets.get_mut(socket.0).ok_or(Stale::Handle)?;
        let mut tx = core::mem::replace(&mut state.tx, Queue::new(managed::ManagedSlice::Borrowed(&mut []), 0));
        self.hand_over(&mut tx);
        self.queues.give_back(tx.into_places());
        self.raw_remove(socket.0.index);
        Ok(())
    }

    fn raw_remove(&mut self, index: u32) {
        let Some(socket) = self.raw.sockets.remove_at(index) else { return };
        self.raw.bindings.remove(socket.protocol, index);
        self.sched.free(socket.node);
        self.give_queues(socket.rx, socket.tx);
    }

    /// Opens an echo socket with identifier `ident`, or one of the stack's choice.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn icmp_bind(&mut self, ident: Option<u16>) -> Result<IcmpHandle, BindError> {
        let ident = match ident {
            Some(ident) if self.echo_taken(ident) => return Err(BindError::InUse),
            Some(ident) => ident,
            None => self.free_ident().ok_or(BindError::NoPort)?,
        };
        let (node, rx, tx) = self.datagram_parts(Key::Icmp(0))?;
        let socket = Echo { node, ident, rx, tx, dropped: 0, wakers: Wakers::new() };
        match self.echo.sockets.insert(socket) {
            Ok(handle) => {
                self.sched.set_key(node, Key::Icmp(handle.index));
                if self.echo.bindings.insert(ident, handle.index).is_err() {
                    self.echo_remove(handle.index);
                    return Err(BindError::Full);
                }
                Ok(IcmpHandle(handle))
            }
            Err(socket) => {
                self.give_queues(socket.rx, socket.tx);
                self.sched.free(node);
                Err(BindError::Full)
            }
        }
    }

    fn echo_taken(&self, ident: u16) -> bool {
        self.echo.bindings.any(ident, |i| self.echo.sockets.at(i).is_some_and(|e| e.ident == ident))
    }

    fn free_ident(&mut self) -> Option<u16> {
        let first = self.rng.next_u32() as u16;
        (0..64).map(|n| first.wrapping_add(n)).find(|&ident| !self.echo_taken(ident))
    }

    /// Sends an echo request of `payload` (at most 65,507 octets) to `dst`, with a hop limit of `ttl` or the stack's.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn icmp_send(
        &mut self,
        socket: IcmpHandle,
        dst: IpAddr,
        seq: u16,
        payload: &[u8],
        ttl: Option<u8>,
    ) -> Result<(), SendError> {
        let state = self.echo.sockets.get(socket.0).ok_or(SendError::Stale)?;
        let (node, ident) = (state.node, state.ident);
        if state.tx.is_full() {
            return Err(SendError::WouldBlock);
        }
        if payload.len() > super::udp::MAX_UDP_PAYLOAD {
            return Err(SendError::TooLong);
        }
        if dst.is_unspecified() || !dst.is_ipv4() {
            return Err(SendError::InvalidRemote);
        }
        let (iface, source) = self.datagram_way(dst, None, None)?;
        let (IpAddr::V4(src), IpAddr::V4(to)) = (source, dst) else { return Err(SendError::InvalidRemote) };
        let mut frame = self.datagram_frame(iface, 0, icmp::HEADER + payload.len())?;
        crate::icmp::echo_request(&mut frame, ident, seq, payload).ok_or(SendError::TooLong)?;
        let ttl = ttl.unwrap_or(self.config.ttl);
        self.push_ipv4(
            &mut frame,
            iface,
            &Fields { src, dst: to, protocol: icmp::PROTOCOL, ttl, tos: 0, ident: 0, dont_frag: false },
        )?;
        let item = Queued { frame, payload: (ipv4::HEADER + icmp::HEADER) as u16, iface: iface.0 };
        let state = self.echo.sockets.get_mut(socket.0).ok_or(SendError::Stale)?;
        state.tx.push(item).map_err(|_| SendError::WouldBlock)?;
        self.sched.wake(node, iface.index());
        Ok(())
    }

    /// What came for the socket's requests: a reply, whose payload is copied to `buf`, or an error.
    ///
    /// # Errors
    /// [`RecvError`].
    pub fn icmp_recv(&mut self, socket: IcmpHandle, buf: &mut [u8]) -> Result<Echoed, RecvError> {
        let state = self.echo.sockets.get_mut(socket.0).ok_or(RecvError::Stale)?;
        let item = state.rx.pop().ok_or(RecvError::WouldBlock)?;
        let echoed = describe(&item.frame).ok_or(RecvError::WouldBlock)?;
        if let Echoed::Reply { .. } = echoed {
            copy(buf, item.frame.get(usize::from(item.payload)..).unwrap_or(&[]));
        }
        Ok(echoed)
    }

    /// Wakes `waker` once the socket is ready for `interest`.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn icmp_register(&mut self, socket: IcmpHandle, interest: Readiness, waker: &Waker) -> Result<(), Stale> {
        let state = self.echo.sockets.get_mut(socket.0).ok_or(Stale::Handle)?;
        state.wakers.register(interest, waker);
        Ok(())
    }

    /// Closes an echo socket.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn icmp_close(&mut self, socket: IcmpHandle) -> Result<(), Stale> {
        self.echo.sockets.get(socket.0).ok_or(Stale::Handle)?;
        self.echo_remove(socket.0.index);
        Ok(())
    }

    fn echo_remove(&mut self, index: u32) {
        let Some(mut socket) = self.echo.sockets.remove_at(index) else { return };
        self.hand_over(&mut socket.tx);
        self.echo.bindings.remove(socket.ident, index);
        self.sched.free(socket.node);
        self.give_queues(socket.rx, socket.tx);
    }

    /// What a closing socket had yet to send is handed to its interface, as far as there is room.
    pub(super) fn hand_over(&mut self, tx: &mut Queue<'a>) {
        while let Some(item) = tx.pop() {
            self.queue_reply(IfaceId(item.iface), Reply::Ip(item.frame));
        }
    }

    fn datagram_parts(&mut self, key: Key) -> Result<(NodeId, Queue<'a>, Queue<'a>), BindError> {
        let (rx, tx) = self.take_queues(QUEUE, QUEUE)?;
        match self.sched.alloc(key) {
            Ok(node) => Ok((node, rx, tx)),
            Err(_) => {
                self.give_queues(rx, tx);
                Err(BindError::Full)
            }
        }
    }
}

/// What an echo socket's queue holds: a whole packet that was checked when it came.
fn describe(packet: &[u8]) -> Option<Echoed> {
    let ip = ipv4::parse(packet).ok()?;
    let from = IpAddr::V4(ip.src);
    match crate::icmp::receive(packet.get(ip.header_len..)?, Destination::Ours).ok()? {
        Message::EchoReply { seq, data, .. } => Some(Echoed::Reply { from, seq, len: data.len(), ttl: ip.ttl }),
        Message::Error { error, quote } => Some(Echoed::Error { from, seq: quote.echo()?.1, error }),
        Message::EchoRequest => None,
    }
}

fn copy(to: &mut [u8], from: &[u8]) {
    let len = to.len().min(from.len());
    if let (Some(to), Some(from)) = (to.get_mut(..len), from.get(..len)) {
        to.copy_from_slice(from);
    }
}

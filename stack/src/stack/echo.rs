//! ICMP echo sockets for the user: the client side of ping.

use super::Stack;
use super::datagram::{MAX_UDP_PAYLOAD, copy, is_reachable};
use crate::error::{BindError, RecvError, SendError, Stale};
use crate::event::{Readiness, Wakers};
use crate::family::inside;
#[cfg(feature = "ipv6")]
use crate::family::{IpAddr, outside};
use crate::icmp::echo::{Echo, IcmpHandle};
use crate::icmp::{IcmpError, Message};
use crate::ip::v4::Destination;
use crate::ready::Key;
use crate::sockets::queue::Queued;
use crate::wire::{icmp, ip, ipv4};
use core::net::IpAddr as AnyAddr;
use core::task::Waker;

/// What came to an echo socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Echoed {
    /// A reply to a request of this sequence number.
    Reply {
        /// Who answered.
        from: AnyAddr,
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
        from: AnyAddr,
        /// The request's sequence number.
        seq: u16,
        /// What it says.
        error: IcmpError,
    },
}

impl<'a> Stack<'a> {
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
        dst: AnyAddr,
        seq: u16,
        payload: &[u8],
        ttl: Option<u8>,
    ) -> Result<(), SendError> {
        let state = self.echo.sockets.get(socket.0).ok_or(SendError::Stale)?;
        let (node, ident) = (state.node, state.ident);
        if state.tx.is_full() {
            return Err(SendError::WouldBlock);
        }
        if payload.len() > MAX_UDP_PAYLOAD {
            return Err(SendError::TooLong);
        }
        if ttl == Some(0) {
            return Err(SendError::Malformed);
        }
        let dst = inside(dst).filter(|&dst| is_reachable(dst)).ok_or(SendError::InvalidRemote)?;
        let (iface, source) = self.datagram_way(dst, None, None)?;
        let mut frame = self.datagram_frame(iface, dst, 0, icmp::HEADER + payload.len())?;
        let written = match (source, dst) {
            #[cfg(feature = "ipv6")]
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                crate::icmp::v6::echo_request(&mut frame, (src, dst), ident, seq, payload)
            }
            _ => crate::icmp::echo_request(&mut frame, ident, seq, payload),
        };
        written.ok_or(SendError::TooLong)?;
        let ttl = ttl.unwrap_or(self.hop_limit_towards(iface, dst));
        let protocol = match dst {
            #[cfg(feature = "ipv6")]
            IpAddr::V6(_) => crate::icmp::v6::PROTOCOL,
            _ => icmp::PROTOCOL,
        };
        self.push_ip(&mut frame, iface, (source, dst), protocol, (ttl, 0))?;
        let item = Queued { frame, payload: (ip::header_len(dst) + icmp::HEADER) as u16, iface: iface.0 };
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
        let echoed = describe(&item.frame, usize::from(item.payload)).ok_or(RecvError::WouldBlock)?;
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
}

/// What an echo socket's queue holds: a whole packet that was checked when it came, with its data at `payload`.
fn describe(packet: &[u8], payload: usize) -> Option<Echoed> {
    #[cfg(feature = "ipv6")]
    if ip::is_v6(packet) {
        use crate::icmp::v6::{Message, receive};
        let ip = ip::parse(packet).ok()?;
        let (from, ttl) = (outside(ip.src), ip.hop_limit);
        let message = packet.get(payload.checked_sub(icmp::HEADER)?..)?;
        return match receive(message, &ip, Destination::Ours).ok()? {
            Message::EchoReply { seq, data, .. } => Some(Echoed::Reply { from, seq, len: data.len(), ttl }),
            Message::Error { error, quote } => Some(Echoed::Error { from, seq: quote.echo()?.1, error }),
            _ => None,
        };
    }
    let _ = payload;
    let ip = ipv4::parse(packet).ok()?;
    let from = AnyAddr::V4(ip.src);
    match crate::icmp::receive(packet.get(ip.header_len..)?, Destination::Ours).ok()? {
        Message::EchoReply { seq, data, .. } => Some(Echoed::Reply { from, seq, len: data.len(), ttl: ip.ttl }),
        Message::Error { error, quote } => Some(Echoed::Error { from, seq: quote.echo()?.1, error }),
        Message::EchoRequest | Message::Redirect { .. } => None,
    }
}

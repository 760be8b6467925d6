//! Raw IP sockets for the user.

use super::datagram::copy;
use super::{Iface, Stack};
use crate::error::{BindError, RecvError, SendError, Stale};
use crate::event::{Readiness, Wakers};
use crate::ready::Key;
use crate::sockets::queue::{Queue, Queued};
use crate::sockets::raw::{ANY_PROTOCOL, Raw, RawHandle};
use crate::wire::ip;
use core::task::Waker;

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
        let socket = Raw {
            node,
            protocol,
            rx,
            tx,
            dropped: 0,
            wakers: Wakers::new(),
            #[cfg(feature = "hooks")]
            filter: None,
        };
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

    /// Sends `packet`, a whole IPv4 or IPv6 packet, its bytes untouched, by the route to its destination.
    ///
    /// # Errors
    /// [`SendError`]; `Malformed` when its header is none (in IPv4 the header checksum must be right, too), or its hop limit
    /// is 0.
    pub fn raw_send(&mut self, socket: RawHandle, packet: &[u8]) -> Result<(), SendError> {
        let state = self.raw.sockets.get(socket.0).ok_or(SendError::Stale)?;
        let node = state.node;
        if state.tx.is_full() {
            return Err(SendError::WouldBlock);
        }
        let header = ip::parse(packet).map_err(|_| SendError::Malformed)?;
        if header.total_len != packet.len() || header.hop_limit == 0 {
            return Err(SendError::Malformed);
        }
        let (iface, _) = self.source_from(Some(header.src), header.dst).ok_or(SendError::NoRoute)?;
        if !self.iface(iface).is_some_and(Iface::is_up) && !self.stays_here(header.dst) {
            return Err(SendError::LinkDown);
        }
        let mut frame =
            self.datagram_frame(iface, header.dst, 0, packet.len() - ip::header_len(header.dst).min(packet.len()))?;
        // The headroom reserved for an IP header is the packet's own here.
        frame.reset(frame.headroom() - ip::header_len(header.dst));
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
        if let Some(state) = self.raw.sockets.get_mut(socket.0) {
            state.tx = tx;
        }
        self.raw_remove(socket.0.index);
        Ok(())
    }

    fn raw_remove(&mut self, index: u32) {
        let Some(socket) = self.raw.sockets.remove_at(index) else { return };
        self.raw.bindings.remove(socket.protocol, index);
        self.sched.free(socket.node);
        self.give_queues(socket.rx, socket.tx);
    }
}

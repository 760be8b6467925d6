//! Blocking UDP.

use super::{Drive, Net, Pause, Ports, STALL, System, block_on, pause_on};
use crate::error::{RecvError, SendError, Stale};
use crate::frame::Frame;
use crate::sockets::{Received, UdpHandle};
use crate::stack::UdpSocket as Socket;
use crate::time::Duration;
use core::net::SocketAddr;

impl<'a, P: Ports<'a>, S: System> Net<'a, P, S> {
    /// The blocking view of a UDP socket, which [`Stack::udp_bind`](crate::stack::Stack::udp_bind) has made, to be made
    /// anew whenever it is used. Dropping it does not close the socket.
    ///
    /// # Errors
    /// [`Stale`] when it was closed.
    pub fn udp(&mut self, handle: UdpHandle) -> Result<UdpSocket<'_, 'a>, Stale> {
        self.stack.udp(handle)?;
        let timeout = self.timeout;
        Ok(UdpSocket { drive: self, handle, timeout })
    }
}

/// A UDP socket for as long as the [`Net`] is borrowed; its calls block, and the network runs meanwhile.
pub struct UdpSocket<'n, 'a> {
    drive: &'n mut (dyn Drive<'a> + 'n),
    handle: UdpHandle,
    timeout: Option<Duration>,
}

impl<'a> UdpSocket<'_, 'a> {
    /// How long each call of this view waits at most; `None`: for as long as it takes.
    pub const fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
    }

    /// The view that never blocks, with all else that can be done with the socket. What is sent there leaves with the
    /// next call that polls.
    ///
    /// # Errors
    /// [`Stale`] when the socket was closed.
    pub fn socket(&mut self) -> Result<Socket<'_, 'a>, Stale> {
        self.drive.stack().udp(self.handle)
    }

    /// Waits for a datagram, and copies it to `buf`. A longer one is cut off, as [`Received::is_truncated`] tells.
    ///
    /// # Errors
    /// [`RecvError`]; `WouldBlock` when none came within the time-out.
    pub fn recv_from(&mut self, buf: &mut [u8]) -> Result<Received, RecvError> {
        self.receive(|socket| socket.recv_from(buf))
    }

    /// Waits for a datagram, and takes it in its frame, without a copy, as [`Socket::recv`] does.
    ///
    /// # Errors
    /// As [`recv_from`](Self::recv_from).
    pub fn recv(&mut self) -> Result<(Frame<'a>, Received), RecvError> {
        self.receive(|socket| socket.recv())
    }

    /// Waits for room, and sends `payload` to `to`.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent then. `WouldBlock` when there was no room within the time-out.
    pub fn send_to(&mut self, payload: &[u8], to: SocketAddr) -> Result<(), SendError> {
        self.transmit(|socket| socket.send_to(payload, to))
    }

    /// Waits for room, and sends `payload` to the address the socket is connected to.
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to); `InvalidRemote` when it is not connected.
    pub fn send(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.transmit(|socket| socket.send(payload))
    }

    /// Waits for room, and answers a received datagram, as [`Socket::reply`] does.
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to).
    pub fn reply(&mut self, received: &Received, payload: &[u8]) -> Result<(), SendError> {
        self.transmit(|socket| socket.reply(received, payload))
    }

    /// Closes the socket. What waits to leave does so.
    pub fn close(mut self) {
        if let Ok(socket) = self.socket() {
            socket.close();
        }
        self.drive.turn();
    }

    fn receive<R>(
        &mut self,
        mut call: impl FnMut(&mut Socket<'_, 'a>) -> Result<R, RecvError>,
    ) -> Result<R, RecvError> {
        let handle = self.handle;
        let answer = block_on(self.drive, self.timeout, |stack| {
            let Ok(mut socket) = stack.udp(handle) else { return Some(Err(RecvError::Stale)) };
            match call(&mut socket) {
                Err(RecvError::WouldBlock) => None,
                answer => Some(answer),
            }
        });
        answer.unwrap_or(Err(RecvError::WouldBlock))
    }

    fn transmit(
        &mut self,
        mut call: impl FnMut(&mut Socket<'_, 'a>) -> Result<(), SendError>,
    ) -> Result<(), SendError> {
        let handle = self.handle;
        let pause = Pause { stall: Some(STALL), ..Pause::new(self.timeout, None) };
        let answer = pause_on(self.drive, pause, |stack| {
            let Ok(mut socket) = stack.udp(handle) else { return Some(Err(SendError::Stale)) };
            match call(&mut socket) {
                Err(SendError::WouldBlock) => None,
                answer => Some(answer),
            }
        });
        answer.unwrap_or(Err(SendError::WouldBlock))?;
        self.drive.turn();
        Ok(())
    }
}

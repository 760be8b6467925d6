//! Blocking TCP: accept, connect, and a connection that reads and writes as [`embedded_io`] has it.

use super::{Drive, Net, Ports, System, block_on};
use crate::error::{AcceptError, ConnectError, Stale, TcpError};
use crate::stack::{Stack, TcpSocket};
use crate::tcp::{ConnectOptions, ListenerHandle, State, TcpHandle};
use crate::time::Duration;
use core::fmt;
use core::net::SocketAddr;
use embedded_io::{BufRead, ErrorKind, ErrorType, Read, ReadReady, Write, WriteFmtError, WriteReady};

/// Why no connection was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum OpenError {
    /// It could not be begun.
    Connect(ConnectError),
    /// It came to an end before it was established; `TimedOut`, too, when the call's own time was up.
    Tcp(TcpError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => error.fmt(f),
            Self::Tcp(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for OpenError {}

impl From<ConnectError> for OpenError {
    fn from(error: ConnectError) -> Self {
        Self::Connect(error)
    }
}

impl From<TcpError> for OpenError {
    fn from(error: TcpError) -> Self {
        Self::Tcp(error)
    }
}

impl embedded_io::Error for OpenError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Connect(error) => error.kind(),
            Self::Tcp(error) => error.kind(),
        }
    }
}

impl<'a, P: Ports<'a>, S: System> Net<'a, P, S> {
    /// Waits for a connection to `listener`, which [`Stack::tcp_listen`] has made; gives it, and who opened it. It is
    /// closed when dropped; [`detach`](TcpStream::detach) keeps it open.
    ///
    /// # Errors
    /// `WouldBlock` when none came within the time-out; `Stale` when the listener is closed.
    pub fn tcp_accept(&mut self, listener: ListenerHandle) -> Result<(TcpStream<'_, 'a>, SocketAddr), AcceptError> {
        let timeout = self.timeout;
        let accepted = block_on(self, timeout, |stack| match stack.tcp_accept(listener) {
            Err(AcceptError::WouldBlock) => None,
            answer => Some(answer),
        });
        let (handle, peer) = accepted.unwrap_or(Err(AcceptError::WouldBlock))?;
        Ok((TcpStream { drive: self, handle, timeout, owned: true }, peer))
    }

    /// Opens a connection to `remote`, and waits until it is established. It is closed when dropped;
    /// [`detach`](TcpStream::detach) keeps it open.
    ///
    /// # Errors
    /// [`OpenError`]; there is no connection then.
    pub fn tcp_connect(
        &mut self,
        remote: SocketAddr,
        options: &ConnectOptions,
    ) -> Result<TcpStream<'_, 'a>, OpenError> {
        let handle = self.stack.tcp_connect(remote, options)?;
        let timeout = self.timeout;
        // Dropped on the way out: then there is none.
        let stream = TcpStream { drive: self, handle, timeout, owned: true };
        let established = block_on(stream.drive, timeout, |stack| {
            let Ok(socket) = stack.tcp(handle) else { return Some(Err(TcpError::Stale)) };
            match (socket.error(), socket.state()) {
                (Some(error), _) => Some(Err(error)),
                (None, State::SynSent | State::SynReceived) => None,
                (None, _) => Some(Ok(())),
            }
        });
        established.unwrap_or(Err(TcpError::TimedOut))?;
        Ok(stream)
    }

    /// A connection's blocking view, to be made anew whenever it is used. Dropping it does not close the connection.
    ///
    /// # Errors
    /// [`Stale`] when it was closed.
    pub fn tcp(&mut self, handle: TcpHandle) -> Result<TcpStream<'_, 'a>, Stale> {
        self.stack.tcp(handle)?;
        let timeout = self.timeout;
        Ok(TcpStream { drive: self, handle, timeout, owned: false })
    }
}

/// A TCP connection for as long as the [`Net`] is borrowed; its calls block, and the network runs meanwhile.
///
/// What is written leaves at once, in as many segments as calls (`write_all` and `write!` are one call each) while
/// nothing is unacknowledged, then as RFC 9293 §3.7.4 (Nagle) has it unless the connection's options say otherwise.
///
/// A stream from `tcp_accept` or `tcp_connect` closes its connection when dropped: what was written is delivered while
/// the network runs, and the peer then reads the end (or a reset, if received text was left unread).
pub struct TcpStream<'n, 'a> {
    drive: &'n mut (dyn Drive<'a> + 'n),
    handle: TcpHandle,
    timeout: Option<Duration>,
    /// Whether to close it when dropped.
    owned: bool,
}

impl<'a> TcpStream<'_, 'a> {
    /// How long each call of this view waits at most; `None`: for as long as it takes.
    pub const fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
    }

    /// Ends the view and keeps the connection open; its name, for [`Net::tcp`].
    pub fn detach(mut self) -> TcpHandle {
        self.owned = false;
        self.handle
    }

    /// The connection's name.
    pub const fn handle(&self) -> TcpHandle {
        self.handle
    }

    /// The view that never blocks, with all else that can be asked of a connection. What is written there leaves with
    /// the next call that polls.
    ///
    /// # Errors
    /// [`Stale`] when the connection was closed.
    pub fn socket(&mut self) -> Result<TcpSocket<'_, 'a>, Stale> {
        self.drive.stack().tcp(self.handle)
    }

    /// Waits for text; copies at most `buf.len()` octets of it. `Ok(0)`, for a `buf` that is not empty: the peer will
    /// send no more.
    ///
    /// # Errors
    /// How the connection ended; `WouldBlock` when nothing came within the time-out.
    pub fn read(&mut self, buf: &mut [u8]) -> Result<usize, TcpError> {
        let len = self.attempt(|socket| socket.read(buf))?;
        self.push_on();
        Ok(len)
    }

    /// Waits for room; queues as much of `data` as there is room for, and says how much.
    ///
    /// # Errors
    /// How the connection ended; `Closed` after [`shutdown`](Self::shutdown); `WouldBlock` when there was no room within
    /// the time-out.
    pub fn write(&mut self, data: &[u8]) -> Result<usize, TcpError> {
        let len = self.queue(data)?;
        self.drive.turn();
        Ok(len)
    }

    /// Queues all of `data`, waiting for room as often as it takes.
    ///
    /// # Errors
    /// As [`write`](Self::write); part of `data` may have been queued then.
    pub fn write_all(&mut self, data: &[u8]) -> Result<(), TcpError> {
        self.queue_all(data)?;
        self.drive.turn();
        Ok(())
    }

    /// Waits until the peer has acknowledged all that was written: a round trip. Text need not be flushed to leave.
    ///
    /// # Errors
    /// How the connection ended, if text was left; `WouldBlock` when there is some after the time-out.
    pub fn flush(&mut self) -> Result<(), TcpError> {
        self.attempt(|socket| match (socket.unacknowledged(), socket.error()) {
            (0, _) => Ok(()),
            (_, Some(error)) => Err(error),
            (_, None) => Err(TcpError::WouldBlock),
        })
    }

    /// Ends this direction: the peer reads what was written, then the end. Reading goes on.
    ///
    /// # Errors
    /// How the connection ended, if it has.
    pub fn shutdown(&mut self) -> Result<(), TcpError> {
        self.attempt(|socket| socket.shutdown_write())?;
        self.drive.turn();
        Ok(())
    }

    /// Closes the connection, as dropping one that was accepted or opened does.
    pub fn close(mut self) {
        self.owned = true;
    }

    /// Resets the connection.
    pub fn abort(mut self) {
        if let Ok(socket) = self.socket() {
            socket.abort();
        }
        self.owned = false;
        self.drive.turn();
    }

    /// Our end; `None` when the connection is gone.
    pub fn local_addr(&mut self) -> Option<SocketAddr> {
        self.socket().ok()?.local_addr()
    }

    /// The peer's end; `None` when the connection is gone.
    pub fn peer_addr(&mut self) -> Option<SocketAddr> {
        self.socket().ok()?.remote_addr()
    }

    /// Does what would block until it does not.
    fn attempt<R>(
        &mut self,
        mut call: impl FnMut(&mut TcpSocket<'_, 'a>) -> Result<R, TcpError>,
    ) -> Result<R, TcpError> {
        let handle = self.handle;
        let answer = block_on(self.drive, self.timeout, |stack| {
            let Ok(mut socket) = stack.tcp(handle) else { return Some(Err(TcpError::Stale)) };
            match call(&mut socket) {
                Err(TcpError::WouldBlock) => None,
                answer => Some(answer),
            }
        });
        answer.unwrap_or(Err(TcpError::WouldBlock))
    }

    /// What is queued leaves with the next poll, so that the parts of one call leave together.
    fn queue(&mut self, data: &[u8]) -> Result<usize, TcpError> {
        self.attempt(|socket| socket.write(data))
    }

    fn queue_all(&mut self, mut data: &[u8]) -> Result<(), TcpError> {
        while !data.is_empty() {
            let len = self.queue(data)?;
            data = data.get(len..).unwrap_or_default();
        }
        Ok(())
    }

    /// Sends what a read has made due: a window that opened.
    fn push_on(&mut self) {
        if !self.drive.stack().pending().is_empty() {
            self.drive.turn();
        }
    }
}

impl Drop for TcpStream<'_, '_> {
    fn drop(&mut self) {
        if !self.owned {
            return;
        }
        if let Ok(socket) = self.socket() {
            socket.close();
        }
        self.drive.turn();
    }
}

impl ErrorType for TcpStream<'_, '_> {
    type Error = TcpError;
}

impl Read for TcpStream<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, TcpError> {
        TcpStream::read(self, buf)
    }
}

impl ReadReady for TcpStream<'_, '_> {
    /// Looks at the devices if nothing is there, so that a loop around it comes to an end.
    fn read_ready(&mut self) -> Result<bool, TcpError> {
        if self.socket().map_err(|_| TcpError::Stale)?.readable() {
            return Ok(true);
        }
        self.drive.turn();
        Ok(self.socket().map_err(|_| TcpError::Stale)?.readable())
    }
}

impl BufRead for TcpStream<'_, '_> {
    /// The text that is there, as far as it lies in one piece, without a copy.
    fn fill_buf(&mut self) -> Result<&[u8], TcpError> {
        self.attempt(|socket| if socket.readable() { Ok(()) } else { Err(TcpError::WouldBlock) })?;
        text(self.drive.stack(), self.handle)
    }

    fn consume(&mut self, amt: usize) {
        let Ok(mut socket) = self.socket() else { return };
        let _ = socket.read_with(|text| (amt.min(text.len()), ()));
        self.push_on();
    }
}

impl Write for TcpStream<'_, '_> {
    fn write(&mut self, buf: &[u8]) -> Result<usize, TcpError> {
        TcpStream::write(self, buf)
    }

    fn flush(&mut self) -> Result<(), TcpError> {
        TcpStream::flush(self)
    }

    fn write_all(&mut self, buf: &[u8]) -> Result<(), TcpError> {
        TcpStream::write_all(self, buf)
    }

    /// The pieces leave together.
    fn write_fmt(&mut self, args: fmt::Arguments<'_>) -> Result<(), WriteFmtError<TcpError>> {
        let mut pieces = Pieces { stream: self, failed: None };
        let formatted = fmt::write(&mut pieces, args);
        match (pieces.failed, formatted) {
            (Some(error), _) => Err(WriteFmtError::Other(error)),
            (None, Err(fmt::Error)) => Err(WriteFmtError::FmtError),
            (None, Ok(())) => {
                self.drive.turn();
                Ok(())
            }
        }
    }
}

impl WriteReady for TcpStream<'_, '_> {
    /// Looks at the devices if there is no room, so that a loop around it comes to an end.
    fn write_ready(&mut self) -> Result<bool, TcpError> {
        if self.socket().map_err(|_| TcpError::Stale)?.writable() {
            return Ok(true);
        }
        self.drive.turn();
        Ok(self.socket().map_err(|_| TcpError::Stale)?.writable())
    }
}

struct Pieces<'s, 'n, 'a> {
    stream: &'s mut TcpStream<'n, 'a>,
    failed: Option<TcpError>,
}

impl fmt::Write for Pieces<'_, '_, '_> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        self.stream.queue_all(piece.as_bytes()).map_err(|error| {
            self.failed = Some(error);
            fmt::Error
        })
    }
}

fn text<'s>(stack: &'s Stack<'_>, handle: TcpHandle) -> Result<&'s [u8], TcpError> {
    stack.tcp.conns.get(handle.0).ok_or(TcpError::Stale)?.conn.text()
}

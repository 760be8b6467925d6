//! Blocking ICMP echo: ping.

use super::{Drive, Net, Pause, Ports, STALL, System, block_on, pause_on};
use crate::error::{RecvError, SendError, Stale};
use crate::icmp::{IcmpError, IcmpHandle};
use crate::stack::Echoed;
use crate::time::Duration;
use core::fmt;
use core::net::IpAddr;
use embedded_io::ErrorKind;

/// Why a ping was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PingError {
    /// The request was not sent.
    Send(SendError),
    /// No answer came within the time-out.
    TimedOut,
    /// An ICMP error came in its place.
    Icmp(IpAddr, IcmpError),
    /// The handle's socket is gone.
    Stale,
}

impl fmt::Display for PingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(error) => error.fmt(f),
            Self::TimedOut => f.write_str("no answer"),
            Self::Icmp(from, error) => write!(f, "{from} says: {error:?}"),
            Self::Stale => Stale::Handle.fmt(f),
        }
    }
}

impl core::error::Error for PingError {}

impl embedded_io::Error for PingError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Send(error) => error.kind(),
            Self::TimedOut => ErrorKind::TimedOut,
            Self::Icmp(..) => ErrorKind::Other,
            Self::Stale => ErrorKind::NotConnected,
        }
    }
}

impl<'a, P: Ports<'a>, S: System> Net<'a, P, S> {
    /// The blocking view of an echo socket, which [`Stack::icmp_bind`](crate::stack::Stack::icmp_bind) has made, to be
    /// made anew whenever it is used. Dropping it does not close the socket.
    ///
    /// # Errors
    /// [`Stale`] when it was closed.
    pub fn icmp(&mut self, handle: IcmpHandle) -> Result<EchoSocket<'_, 'a>, Stale> {
        self.stack.echo.sockets.get(handle.0).ok_or(Stale::Handle)?;
        let timeout = self.timeout;
        Ok(EchoSocket { drive: self, handle, timeout })
    }
}

/// An echo socket for as long as the [`Net`] is borrowed; its calls block, and the network runs meanwhile.
pub struct EchoSocket<'n, 'a> {
    drive: &'n mut (dyn Drive<'a> + 'n),
    handle: IcmpHandle,
    timeout: Option<Duration>,
}

impl EchoSocket<'_, '_> {
    /// How long each call of this view waits at most; `None`: for as long as it takes.
    pub const fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
    }

    /// Waits for room, and sends an echo request of `payload` to `dst`, with a hop limit of `ttl` or the stack's.
    ///
    /// # Errors
    /// [`SendError`]; `WouldBlock` when there was no room within the time-out.
    pub fn send(&mut self, dst: IpAddr, seq: u16, payload: &[u8], ttl: Option<u8>) -> Result<(), SendError> {
        let handle = self.handle;
        let pause = Pause { stall: Some(STALL), ..Pause::new(self.timeout, None) };
        let answer = pause_on(self.drive, pause, |stack| match stack.icmp_send(handle, dst, seq, payload, ttl) {
            Err(SendError::WouldBlock) => None,
            answer => Some(answer),
        });
        answer.unwrap_or(Err(SendError::WouldBlock))?;
        self.drive.turn();
        Ok(())
    }

    /// Waits for a reply, whose payload is copied to `buf`, or an error.
    ///
    /// # Errors
    /// [`RecvError`]; `WouldBlock` when nothing came within the time-out.
    pub fn recv(&mut self, buf: &mut [u8]) -> Result<Echoed, RecvError> {
        let handle = self.handle;
        let answer = block_on(self.drive, self.timeout, |stack| match stack.icmp_recv(handle, buf) {
            Err(RecvError::WouldBlock) => None,
            answer => Some(answer),
        });
        answer.unwrap_or(Err(RecvError::WouldBlock))
    }

    /// Sends an echo request, and waits for its answer; how long that took, on the system's clock. Answers to earlier
    /// requests are passed over.
    ///
    /// # Errors
    /// [`PingError`]. Without a time-out, a lost request is waited for for ever.
    pub fn ping(&mut self, dst: IpAddr, seq: u16, payload: &[u8]) -> Result<Duration, PingError> {
        let sent = self.drive.now();
        self.send(dst, seq, payload, None).map_err(PingError::Send)?;
        let handle = self.handle;
        let answer = block_on(self.drive, self.timeout, |stack| {
            loop {
                match stack.icmp_recv(handle, &mut []) {
                    Err(RecvError::WouldBlock) => return None,
                    Err(_) => return Some(Err(PingError::Stale)),
                    Ok(Echoed::Reply { seq: s, .. }) if s == seq => return Some(Ok(())),
                    Ok(Echoed::Error { from, seq: s, error }) if s == seq => {
                        return Some(Err(PingError::Icmp(from, error)));
                    }
                    Ok(_) => {}
                }
            }
        });
        answer.unwrap_or(Err(PingError::TimedOut))?;
        Ok(self.drive.now().since(sent))
    }

    /// Closes the socket. What waits to leave does so.
    pub fn close(self) {
        // It was there when the view was made.
        let _ = self.drive.stack().icmp_close(self.handle);
        self.drive.turn();
    }
}

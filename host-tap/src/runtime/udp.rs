//! Blocking UDP: `UdpSocket` in the manner of `std::net`.

use super::tcp::bind_error;
use super::{Net, Runtime, Timeout, Waiter};
use ringtap::error::{GroupError, RecvError, SendError};
use ringtap::event::Readiness;
use ringtap::sockets::{UdpHandle, UdpOptions};
use ringtap::stack::{SourceFilter, UdpSocket as Socket};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// A UDP socket of the stack. Clones share it.
#[derive(Clone)]
pub struct UdpSocket(Arc<Bound>);

struct Bound {
    net: Arc<Net>,
    handle: UdpHandle,
    readers: Waiter,
    writers: Waiter,
    read_timeout: Timeout,
    write_timeout: Timeout,
}

impl Drop for Bound {
    fn drop(&mut self) {
        let _ = self.net.act(|stack| {
            if let Ok(socket) = stack.udp(self.handle) {
                socket.close();
            }
            Ok(())
        });
    }
}

impl UdpSocket {
    /// Binds to `local`; the unspecified address is every one, port 0 a free one.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`.
    pub fn bind(runtime: &Runtime, local: SocketAddr) -> io::Result<Self> {
        let mut options = UdpOptions::default();
        (options.rx_queue, options.tx_queue) = (256, 256);
        Self::bind_with(runtime, local, &options)
    }

    /// Binds with all the stack's options.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_with(runtime: &Runtime, local: SocketAddr, options: &UdpOptions) -> io::Result<Self> {
        let net = Arc::clone(&runtime.net);
        let addr = Some(local.ip()).filter(|ip| !ip.is_unspecified());
        let handle = net.act(|stack| stack.udp_bind(addr, local.port(), options).map_err(bind_error))?;
        let (readers, writers) = (net.signal(), net.signal());
        let (read_timeout, write_timeout) = (Timeout::none(), Timeout::none());
        Ok(Self(Arc::new(Bound { net, handle, readers, writers, read_timeout, write_timeout })))
    }

    /// The same socket once more; time-outs are shared.
    ///
    /// # Errors
    /// None; the result is that of `std::net`.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(self.clone())
    }

    /// Sends a datagram.
    ///
    /// # Errors
    /// `InvalidInput` when it is too long; `NetworkUnreachable`.
    pub fn send_to(&self, payload: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.sending(|socket| socket.send_to(payload, to)).map(|()| payload.len())
    }

    /// Sends a datagram to the address the socket is connected to.
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to); `ConnectionRefused` when the peer said so.
    pub fn send(&self, payload: &[u8]) -> io::Result<usize> {
        self.sending(|socket| socket.send(payload)).map(|()| payload.len())
    }

    /// Receives a datagram; what does not fit is lost.
    ///
    /// # Errors
    /// `WouldBlock` after the time-out.
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let bound = &*self.0;
        bound.net.block_on(&bound.readers, bound.read_timeout.get(), |stack, waker| {
            let Ok(mut socket) = stack.udp(bound.handle) else {
                return Poll::Ready(Err(recv_error(RecvError::Stale)));
            };
            match socket.recv_from(buf) {
                Ok(received) => Poll::Ready(Ok((received.len, received.from))),
                Err(RecvError::WouldBlock) => {
                    socket.register(Readiness::READ, waker);
                    Poll::Pending
                }
                Err(e) => Poll::Ready(Err(recv_error(e))),
            }
        })
    }

    /// As [`recv_from`](Self::recv_from), without the sender.
    ///
    /// # Errors
    /// As [`recv_from`](Self::recv_from); `ConnectionRefused` when the peer said so.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.recv_from(buf).map(|(n, _)| n)
    }

    /// Sends to and receives from `remote` only.
    ///
    /// # Errors
    /// `NetworkUnreachable`, `InvalidInput`.
    pub fn connect(&self, remote: SocketAddr) -> io::Result<()> {
        self.socket(|socket| socket.connect(remote).map_err(send_error))
    }

    /// The address and port it is bound to.
    ///
    /// # Errors
    /// When the stack has stopped.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket(|socket| socket.local_addr().ok_or_else(|| ErrorKind::NotConnected.into()))
    }

    /// The address it is connected to.
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket(|socket| socket.remote_addr().ok_or_else(|| ErrorKind::NotConnected.into()))
    }

    /// Joins a group on the stack's first interface, for as long as the socket lives, or until it leaves. To have what is
    /// sent to the group, the socket is bound to it, or to every address.
    ///
    /// # Errors
    /// `InvalidInput` for what is no group; `QuotaExceeded` when the interface is in as many as it can be.
    pub fn join_multicast(&self, group: IpAddr) -> io::Result<()> {
        self.set_source_filter(group, SourceFilter::Exclude(&[]))
    }

    /// Leaves a group.
    ///
    /// # Errors
    /// As [`join_multicast`](Self::join_multicast).
    pub fn leave_multicast(&self, group: IpAddr) -> io::Result<()> {
        self.set_source_filter(group, SourceFilter::Include(&[]))
    }

    /// Chooses the sources of a group that this socket wants, and joins it for them.
    ///
    /// # Errors
    /// As [`join_multicast`](Self::join_multicast).
    pub fn set_source_filter(&self, group: IpAddr, filter: SourceFilter<'_>) -> io::Result<()> {
        self.0.net.act(|stack| {
            let iface = stack.interfaces().next().map(|i| i.id).ok_or(ErrorKind::NetworkUnreachable)?;
            let mut socket = stack.udp(self.0.handle).map_err(|_| recv_error(RecvError::Stale))?;
            socket.set_source_filter(iface, group, filter).map_err(group_error)
        })
    }

    /// How long a receive waits; for ever if `None`.
    ///
    /// # Errors
    /// Zero is refused.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.read_timeout.set(timeout)
    }

    /// How long a send waits for room; for ever if `None`.
    ///
    /// # Errors
    /// Zero is refused.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.write_timeout.set(timeout)
    }

    fn socket<R>(&self, f: impl FnOnce(&mut Socket<'_, 'static>) -> io::Result<R>) -> io::Result<R> {
        self.0.net.act(|stack| f(&mut stack.udp(self.0.handle).map_err(|_| recv_error(RecvError::Stale))?))
    }

    fn sending(&self, mut f: impl FnMut(&mut Socket<'_, 'static>) -> Result<(), SendError>) -> io::Result<()> {
        let bound = &*self.0;
        bound.net.block_on(&bound.writers, bound.write_timeout.get(), |stack, waker| {
            let Ok(mut socket) = stack.udp(bound.handle) else {
                return Poll::Ready(Err(send_error(SendError::Stale)));
            };
            match f(&mut socket) {
                Err(SendError::WouldBlock) => {
                    socket.register(Readiness::WRITE, waker);
                    Poll::Pending
                }
                other => Poll::Ready(other.map_err(send_error)),
            }
        })
    }
}

fn send_error(error: SendError) -> io::Error {
    let kind = match error {
        SendError::WouldBlock => ErrorKind::WouldBlock,
        SendError::NoRoute => ErrorKind::NetworkUnreachable,
        SendError::LinkDown => ErrorKind::NetworkDown,
        SendError::Unreachable => ErrorKind::HostUnreachable,
        SendError::Refused => ErrorKind::ConnectionRefused,
        SendError::NotOurAddress => ErrorKind::AddrNotAvailable,
        SendError::BroadcastNotAllowed => ErrorKind::PermissionDenied,
        SendError::Stale => ErrorKind::NotConnected,
        _ => ErrorKind::InvalidInput,
    };
    io::Error::new(kind, error)
}

fn group_error(error: GroupError) -> io::Error {
    let kind = match error {
        GroupError::Full => ErrorKind::QuotaExceeded,
        GroupError::NoInterface => ErrorKind::NetworkUnreachable,
        GroupError::Stale => ErrorKind::NotConnected,
        _ => ErrorKind::InvalidInput,
    };
    io::Error::new(kind, error)
}

fn recv_error(error: RecvError) -> io::Error {
    let kind = match error {
        RecvError::WouldBlock => ErrorKind::WouldBlock,
        RecvError::Refused => ErrorKind::ConnectionRefused,
        RecvError::Unreachable => ErrorKind::HostUnreachable,
        _ => ErrorKind::NotConnected,
    };
    io::Error::new(kind, error)
}

//! Blocking TCP: `TcpStream` and `TcpListener` in the manner of `std::net`.

use super::{Net, Runtime, Timeout, Waiter};
use ringtap::dns::{DialError, Race};
use ringtap::error::{AcceptError, BindError, ConnectError, TcpError};
use ringtap::event::Readiness;
use ringtap::stack::{Stack, TcpSocket};
use ringtap::tcp::{ConnectOptions, ListenOptions, ListenerHandle, State, TcpHandle, TcpInfo};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

/// The first port of the range that port 0 stands for (RFC 6335 §6), and the range's length.
const EPHEMERAL: (u16, u16) = (49_152, 16_384);

/// How often a race looks whether its next attempt is due.
const RACE_STEP: Duration = Duration::from_millis(50);

/// A TCP connection of the stack. Clones share it; it is closed when the last is dropped, and what was written is then
/// still delivered.
#[derive(Clone)]
pub struct TcpStream(Arc<Conn>);

struct Conn {
    net: Arc<Net>,
    handle: TcpHandle,
    readers: Waiter,
    writers: Waiter,
    read_timeout: Timeout,
    write_timeout: Timeout,
    read_shut: AtomicBool,
}

impl Drop for Conn {
    fn drop(&mut self) {
        let _ = self.net.act(|stack| {
            if let Ok(socket) = stack.tcp(self.handle) {
                socket.close();
            }
            Ok(())
        });
    }
}

impl TcpStream {
    /// Connects to `remote`, for as long as the stack tries.
    ///
    /// # Errors
    /// `ConnectionRefused`, `TimedOut`, `HostUnreachable` and others that [`std::net::TcpStream`] gives.
    pub fn connect(runtime: &Runtime, remote: SocketAddr) -> io::Result<Self> {
        Self::connect_with(runtime, remote, &ConnectOptions::default(), None)
    }

    /// Connects to `remote`, for `timeout` at most.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); `TimedOut` after `timeout`.
    pub fn connect_timeout(runtime: &Runtime, remote: SocketAddr, timeout: Duration) -> io::Result<Self> {
        Self::connect_with(runtime, remote, &ConnectOptions::default(), Some(timeout))
    }

    /// Connects with all the stack's options.
    ///
    /// # Errors
    /// As [`connect_timeout`](Self::connect_timeout).
    pub fn connect_with(
        runtime: &Runtime,
        remote: SocketAddr,
        options: &ConnectOptions,
        timeout: Option<Duration>,
    ) -> io::Result<Self> {
        let net = &runtime.net;
        let handle = net.act(|stack| stack.tcp_connect(remote, options).map_err(connect_error))?;
        let stream = Self::new(Arc::clone(net), handle);
        let connected = net.block_on(&stream.0.writers, timeout, |stack, waker| {
            let mut socket = match stack.tcp(handle) {
                Ok(socket) => socket,
                Err(_) => return Poll::Ready(Err(tcp_error(TcpError::Stale))),
            };
            if let Some(error) = socket.error() {
                return Poll::Ready(Err(tcp_error(error)));
            }
            match socket.state() {
                State::SynSent | State::SynReceived => {
                    socket.register(Readiness::CONNECTED, waker);
                    Poll::Pending
                }
                _ => Poll::Ready(Ok(())),
            }
        });
        match connected {
            Ok(()) => Ok(stream),
            Err(e) if e.kind() == ErrorKind::WouldBlock => Err(ErrorKind::TimedOut.into()),
            Err(e) => Err(e),
        }
    }

    /// Connects to whichever of these addresses answers first: they are tried one after another, a quarter of a second
    /// apart (RFC 8305 §5), for `timeout` at most in all.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), of the last attempt; `TimedOut` after `timeout`.
    pub fn connect_any(
        runtime: &Runtime,
        addresses: &[IpAddr],
        port: u16,
        timeout: Option<Duration>,
    ) -> io::Result<Self> {
        let net = &runtime.net;
        let mut race = Race::new(port, ConnectOptions::default());
        net.act(|stack| {
            race.offer(stack, addresses);
            race.no_more();
            Ok(())
        })?;
        let waiter = net.signal();
        let end = timeout.and_then(|t| std::time::Instant::now().checked_add(t));
        loop {
            let ticket = waiter.signal.ticket();
            let outcome = net.act(|stack| {
                let now = stack.now();
                let outcome = race.poll(stack, now);
                for handle in race.attempts() {
                    if let Ok(mut socket) = stack.tcp(*handle) {
                        socket.register(Readiness::CONNECTED, &waiter.waker);
                    }
                }
                Ok(outcome)
            })?;
            match outcome {
                Some(Ok(handle)) => return Ok(Self::new(Arc::clone(net), handle)),
                Some(Err(DialError::Tcp(error))) => return Err(tcp_error(error)),
                Some(Err(DialError::Connect(error))) => return Err(connect_error(error)),
                Some(Err(error)) => return Err(io::Error::new(ErrorKind::HostUnreachable, error)),
                None => {}
            }
            let now = std::time::Instant::now();
            if end.is_some_and(|end| end <= now) {
                net.act(|stack| {
                    race.cancel(stack);
                    Ok(())
                })?;
                return Err(ErrorKind::TimedOut.into());
            }
            // The stack's time moves with its loop, which every call wakes: a step is short enough to see it.
            let step = race.deadline().map(|_| now + RACE_STEP);
            waiter.signal.wait(ticket, [step, end].into_iter().flatten().min());
        }
    }

    fn new(net: Arc<Net>, handle: TcpHandle) -> Self {
        let (readers, writers) = (net.signal(), net.signal());
        Self(Arc::new(Conn {
            net,
            handle,
            readers,
            writers,
            read_timeout: Timeout::none(),
            write_timeout: Timeout::none(),
            read_shut: AtomicBool::new(false),
        }))
    }

    /// The same connection once more; time-outs are shared.
    ///
    /// # Errors
    /// None; the result is that of `std::net`.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(self.clone())
    }

    /// The connection as two: one to read, one to write, each for a thread of its own.
    pub fn split(self) -> (Self, Self) {
        (self.clone(), self)
    }

    /// The peer's address.
    ///
    /// # Errors
    /// When the stack has stopped.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket(|s| s.remote_addr().ok_or_else(|| ErrorKind::NotConnected.into()))
    }

    /// Our address.
    ///
    /// # Errors
    /// When the stack has stopped.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket(|s| s.local_addr().ok_or_else(|| ErrorKind::NotConnected.into()))
    }

    /// Ends one direction, or both. Reads then give the end; writes fail, and the peer reads the end after what was
    /// written.
    ///
    /// # Errors
    /// When the connection has ended already.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if how != Shutdown::Write {
            self.0.read_shut.store(true, Ordering::Relaxed);
            self.0.readers.signal.give();
        }
        if how != Shutdown::Read {
            self.socket(|s| s.shutdown_write().map_err(tcp_error))?;
        }
        Ok(())
    }

    /// Resets the connection.
    pub fn abort(&self) {
        let _ = self.0.net.act(|stack| {
            if let Ok(socket) = stack.tcp(self.0.handle) {
                socket.abort();
            }
            Ok(())
        });
        self.0.readers.signal.give();
        self.0.writers.signal.give();
    }

    /// How long a read waits; for ever if `None`.
    ///
    /// # Errors
    /// Zero is refused.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.read_timeout.set(timeout)
    }

    /// How long a write waits; for ever if `None`.
    ///
    /// # Errors
    /// Zero is refused.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.write_timeout.set(timeout)
    }

    /// What [`set_read_timeout`](Self::set_read_timeout) has set.
    pub fn read_timeout(&self) -> Option<Duration> {
        self.0.read_timeout.get()
    }

    /// What [`set_write_timeout`](Self::set_write_timeout) has set.
    pub fn write_timeout(&self) -> Option<Duration> {
        self.0.write_timeout.get()
    }

    /// Numbers about the connection.
    ///
    /// # Errors
    /// When the stack has stopped.
    pub fn info(&self) -> io::Result<TcpInfo> {
        self.socket(|s| s.info().map_err(tcp_error))
    }

    fn socket<R>(&self, f: impl FnOnce(&mut TcpSocket<'_, 'static>) -> io::Result<R>) -> io::Result<R> {
        self.0.net.act(|stack| f(&mut stack.tcp(self.0.handle).map_err(|_| tcp_error(TcpError::Stale))?))
    }

    /// Does `f` as soon as it is not `WouldBlock`.
    fn when_ready<R>(
        &self,
        interest: Readiness,
        mut f: impl FnMut(&mut TcpSocket<'_, 'static>) -> Result<R, TcpError>,
    ) -> io::Result<R> {
        let conn = &*self.0;
        let (waiter, timeout) = if interest == Readiness::READ {
            (&conn.readers, &conn.read_timeout)
        } else {
            (&conn.writers, &conn.write_timeout)
        };
        conn.net.block_on(waiter, timeout.get(), |stack, waker| {
            let Ok(mut socket) = stack.tcp(conn.handle) else {
                return Poll::Ready(Err(tcp_error(TcpError::Aborted)));
            };
            match f(&mut socket) {
                Err(TcpError::WouldBlock) => {
                    socket.register(interest, waker);
                    Poll::Pending
                }
                Err(e) => Poll::Ready(Err(tcp_error(e))),
                Ok(value) => Poll::Ready(Ok(value)),
            }
        })
    }

    fn read_some(&self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.when_ready(Readiness::READ, |socket| {
            if self.0.read_shut.load(Ordering::Relaxed) { Ok(0) } else { socket.read(buf) }
        })
    }

    fn write_some(&self, buf: &[u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.when_ready(Readiness::WRITE, |socket| socket.write(buf))
    }

    /// Reads without taking: what the next read will give.
    ///
    /// # Errors
    /// As a read.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.when_ready(Readiness::READ, |socket| {
            socket.read_with(|text| {
                let n = text.len().min(buf.len());
                buf[..n].copy_from_slice(&text[..n]);
                (0, n)
            })
        })
    }
}

impl Read for TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_some(buf)
    }
}

impl Read for &TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_some(buf)
    }
}

impl Write for TcpStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_some(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for &TcpStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_some(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Accepts connections to a port of the stack. Clones share it.
#[derive(Clone)]
pub struct TcpListener(Arc<Listening>);

struct Listening {
    net: Arc<Net>,
    handle: ListenerHandle,
    local: SocketAddr,
    waiter: Waiter,
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.net.act(|stack| {
            let _ = stack.tcp_unlisten(self.handle);
            Ok(())
        });
    }
}

impl TcpListener {
    /// Listens at `local`; the unspecified address is every one, port 0 a free one.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`.
    pub fn bind(runtime: &Runtime, local: SocketAddr) -> io::Result<Self> {
        Self::bind_with(runtime, local, &ListenOptions::default())
    }

    /// Listens with all the stack's options.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_with(runtime: &Runtime, local: SocketAddr, options: &ListenOptions) -> io::Result<Self> {
        let net = Arc::clone(&runtime.net);
        let (handle, port) = net.act(|stack| listen(stack, local, options).map_err(bind_error))?;
        let waiter = net.signal();
        Ok(Self(Arc::new(Listening { net, handle, local: SocketAddr::new(local.ip(), port), waiter })))
    }

    /// The next connection, and who opened it.
    ///
    /// # Errors
    /// When the stack has stopped.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let listening = &*self.0;
        let (handle, from) = listening.net.block_on(&listening.waiter, None, |stack, waker: &Waker| {
            match stack.tcp_accept(listening.handle) {
                Ok(accepted) => Poll::Ready(Ok(accepted)),
                Err(AcceptError::WouldBlock) => {
                    let _ = stack.tcp_accept_register(listening.handle, waker);
                    Poll::Pending
                }
                Err(e) => Poll::Ready(Err(io::Error::new(ErrorKind::NotConnected, e))),
            }
        })?;
        Ok((TcpStream::new(Arc::clone(&listening.net), handle), from))
    }

    /// All connections, one after another.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming(self)
    }

    /// The address and port it listens at.
    ///
    /// # Errors
    /// None; the result is that of `std::net`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.local)
    }
}

/// The connections of a [`TcpListener`]; without end.
pub struct Incoming<'l>(&'l TcpListener);

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.accept().map(|(stream, _)| stream))
    }
}

/// Listens; for port 0, at the first free ephemeral port.
fn listen(
    stack: &mut Stack<'static>,
    local: SocketAddr,
    options: &ListenOptions,
) -> Result<(ListenerHandle, u16), BindError> {
    let addr = Some(local.ip()).filter(|ip| !ip.is_unspecified());
    if local.port() != 0 {
        return stack.tcp_listen(addr, local.port(), options).map(|handle| (handle, local.port()));
    }
    let (first, count) = EPHEMERAL;
    for port in (0..count).map(|n| first.saturating_add(n)) {
        match stack.tcp_listen(addr, port, options) {
            Err(BindError::InUse) => {}
            other => return other.map(|handle| (handle, port)),
        }
    }
    Err(BindError::NoPort)
}

fn tcp_error(error: TcpError) -> io::Error {
    let kind = match error {
        TcpError::WouldBlock => ErrorKind::WouldBlock,
        TcpError::Refused => ErrorKind::ConnectionRefused,
        TcpError::Reset => ErrorKind::ConnectionReset,
        TcpError::TimedOut => ErrorKind::TimedOut,
        TcpError::Aborted => ErrorKind::ConnectionAborted,
        TcpError::Closed => ErrorKind::BrokenPipe,
        TcpError::AddressGone => ErrorKind::AddrNotAvailable,
        _ => ErrorKind::NotConnected,
    };
    io::Error::new(kind, error)
}

fn connect_error(error: ConnectError) -> io::Error {
    let kind = match error {
        ConnectError::NoRoute => ErrorKind::NetworkUnreachable,
        ConnectError::NotOurAddress => ErrorKind::AddrNotAvailable,
        ConnectError::InUse => ErrorKind::AddrInUse,
        ConnectError::InvalidRemote | ConnectError::Invalid => ErrorKind::InvalidInput,
        _ => ErrorKind::OutOfMemory,
    };
    io::Error::new(kind, error)
}

pub(super) fn bind_error(error: BindError) -> io::Error {
    let kind = match error {
        BindError::InUse | BindError::NoPort => ErrorKind::AddrInUse,
        BindError::NotOurAddress => ErrorKind::AddrNotAvailable,
        BindError::Invalid => ErrorKind::InvalidInput,
        _ => ErrorKind::OutOfMemory,
    };
    io::Error::new(kind, error)
}

//! UNIX-socket devices: a network between two programs, without root and without a driver.
//!
//! A [`StreamDevice`] puts a 4-byte big-endian length before each frame, as passt and QEMU (`-netdev stream`) speak it; a
//! [`DatagramDevice`] sends one frame per datagram, as QEMU's `-netdev dgram` does.
//!
//! ```text
//!  stream:  │ 00 00 00 3c │ frame of 60 octets │ 00 00 05 ea │ frame of 1514 octets │ …
//! ```

use crate::device::{Counters, HostDevice};
use crate::failure::Failure;
use crate::pool::{HEADROOM, max_frame};
use ringtap::device::{Capabilities, Device, Link, Lost, Medium, RxMeta, TxMeta};
use ringtap::frame::{Frame, Pool};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Octets of the length in front of each frame of a stream.
const LENGTH: usize = 4;

/// The longest frame of the protocol, that of passt: more is no frame but a stream out of step.
const LONGEST: usize = 65_535 + 18;

/// Octets that wait to be sent, beyond which frames are refused.
const SEND_BUFFER: usize = 256 << 10;

/// How many frames one call of `receive` may skip before it gives up for this time.
const SKIP: usize = 32;

/// Frames over a connected UNIX stream socket.
pub struct StreamDevice {
    path: PathBuf,
    end: End,
    mtu: usize,
    pool: Pool<'static>,
    received: Buffer,
    to_send: Vec<u8>,
    /// Octets of `to_send` that are sent already.
    sent: usize,
    gone: Option<Failure>,
    counters: Counters,
}

/// How the device came to its stream.
enum End {
    /// By connecting: the stream's end is the device's end.
    Connected(UnixStream),
    /// By listening: one peer may follow another.
    Listening(UnixListener, Option<UnixStream>),
}

impl End {
    fn peer(&self) -> Option<&UnixStream> {
        match self {
            Self::Connected(peer) => Some(peer),
            Self::Listening(_, peer) => peer.as_ref(),
        }
    }
}

/// Received octets that are not yet frames.
struct Buffer {
    octets: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    fn new() -> Self {
        Self { octets: vec![0; 2 * (LONGEST + LENGTH)], start: 0, end: 0 }
    }

    fn filled(&self) -> &[u8] {
        self.octets.get(self.start..self.end).unwrap_or_default()
    }

    fn room(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.octets.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        self.octets.get_mut(self.end..).unwrap_or_default()
    }

    fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// The next whole frame's length, or `Err` of a length that no frame has.
    fn frame_len(&self) -> Result<Option<usize>, usize> {
        let Some(prefix) = self.filled().first_chunk::<LENGTH>() else { return Ok(None) };
        let len = u32::from_be_bytes(*prefix) as usize;
        if len > LONGEST {
            return Err(len);
        }
        Ok((self.filled().len() >= LENGTH + len).then_some(len))
    }

    fn frame(&self, len: usize) -> &[u8] {
        self.filled().get(LENGTH..LENGTH + len).unwrap_or_default()
    }

    fn consume(&mut self, len: usize) {
        self.start = (self.start + LENGTH + len).min(self.end);
    }
}

impl StreamDevice {
    /// Connects to the socket at `path`; where nobody listens, listens there, and takes one peer at a time.
    ///
    /// # Errors
    /// When neither is possible.
    pub fn open(path: &Path, mtu: usize, pool: Pool<'static>) -> Result<Self, Failure> {
        let failure = |e: &io::Error| Failure::io(format_args!("cannot use the socket {}", path.display()), e);
        let end = match UnixStream::connect(path) {
            Ok(peer) => End::Connected(peer),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                // Refused: a socket file whose owner is gone.
                if e.kind() == ErrorKind::ConnectionRefused {
                    std::fs::remove_file(path).map_err(|e| failure(&e))?;
                }
                End::Listening(UnixListener::bind(path).map_err(|e| failure(&e))?, None)
            }
            Err(e) => return Err(failure(&e).remedy("give the path of a UNIX stream socket, or of none yet")),
        };
        Self::new(path, end, mtu, pool).map_err(|e| failure(&e))
    }

    /// A device over a stream that is connected already.
    ///
    /// # Errors
    /// When it cannot be made non-blocking.
    pub fn from_stream(peer: UnixStream, mtu: usize, pool: Pool<'static>) -> io::Result<Self> {
        Self::new(Path::new("the stream"), End::Connected(peer), mtu, pool)
    }

    fn new(path: &Path, end: End, mtu: usize, pool: Pool<'static>) -> io::Result<Self> {
        match &end {
            End::Connected(peer) => peer.set_nonblocking(true)?,
            End::Listening(listener, _) => listener.set_nonblocking(true)?,
        }
        Ok(Self {
            path: path.to_path_buf(),
            end,
            mtu,
            pool,
            received: Buffer::new(),
            to_send: Vec::new(),
            sent: 0,
            gone: None,
            counters: Counters::default(),
        })
    }

    /// A listening device waits for another peer; a connected one is gone.
    fn lose_peer(&mut self, why: &str) {
        self.received.clear();
        self.to_send.clear();
        self.sent = 0;
        match &mut self.end {
            End::Listening(_, peer) => *peer = None,
            End::Connected(_) => {
                let what = format!("the other end of {} {why}", self.path.display());
                self.gone = Some(Failure::new(what).remedy("start it again, and then this program"));
            }
        }
    }

    /// The peer, if there is one.
    fn peer(&self) -> Option<&UnixStream> {
        if self.gone.is_some() { None } else { self.end.peer() }
    }

    /// Accepts a peer, in place of one that is there: who connects anew has given up the old connection, or should.
    fn accept(&mut self) {
        let End::Listening(listener, _) = &self.end else { return };
        while let Ok((stream, _)) = listener.accept() {
            if stream.set_nonblocking(true).is_ok() {
                self.lose_peer("");
                if let End::Listening(_, peer) = &mut self.end {
                    *peer = Some(stream);
                }
                return;
            }
        }
    }

    /// Reads what there is; `false` when that is nothing.
    fn fill(&mut self) -> bool {
        if self.gone.is_some() {
            return false;
        }
        loop {
            let Some(mut peer) = self.end.peer() else { return false };
            match peer.read(self.received.room()) {
                Ok(0) => self.lose_peer("has closed it"),
                Ok(n) => {
                    self.received.end += n;
                    return true;
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(_) => self.lose_peer("is broken"),
            }
            return false;
        }
    }

    /// Writes what waits, as far as it goes.
    fn send_waiting(&mut self) {
        while let Some(mut peer) = self.peer()
            && let Some(rest) = self.to_send.get(self.sent..).filter(|r| !r.is_empty())
        {
            // std sends on sockets with MSG_NOSIGNAL: a closed peer is an error, not a signal.
            match peer.write(rest) {
                Ok(n) if n > 0 => self.sent += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Ok(_) | Err(_) => return self.lose_peer("is broken"),
            }
        }
        self.to_send.clear();
        self.sent = 0;
    }
}

impl Drop for StreamDevice {
    fn drop(&mut self) {
        if matches!(self.end, End::Listening(..)) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Device<'static> for StreamDevice {
    fn capabilities(&self) -> Capabilities {
        Capabilities::plain(Medium::Ethernet, self.mtu)
    }

    fn lost(&self) -> Lost {
        self.counters.lost()
    }

    fn pool(&self) -> Pool<'static> {
        self.pool
    }

    fn receive(&mut self) -> Option<(Frame<'static>, RxMeta)> {
        if self.peer().is_none() {
            self.accept();
        }
        for _ in 0..SKIP {
            let len = match self.received.frame_len() {
                Ok(Some(len)) => len,
                Ok(None) if self.fill() => continue,
                Ok(None) => return None,
                Err(len) => {
                    self.counters.bad_length += 1;
                    self.lose_peer(&format!("sent a frame of {len} octets: it does not speak this protocol"));
                    return None;
                }
            };
            let frame = copy_in(self.pool, self.received.frame(len), self.mtu, &mut self.counters);
            self.received.consume(len);
            if let Some(frame) = frame {
                return Some((frame, RxMeta::default()));
            }
        }
        None
    }

    fn transmit(&mut self, frame: Frame<'static>, _meta: TxMeta) -> Result<(), Frame<'static>> {
        if self.peer().is_none() {
            self.accept();
        }
        if self.peer().is_none() {
            self.counters.not_sent += 1;
            return Ok(());
        }
        if self.to_send.len() - self.sent + frame.len() > SEND_BUFFER {
            self.send_waiting();
        }
        if self.to_send.len() - self.sent + frame.len() > SEND_BUFFER {
            return Err(frame);
        }
        // Sent octets at the front are given up once they are most of the buffer.
        if self.sent > SEND_BUFFER / 2 {
            self.to_send.drain(..self.sent);
            self.sent = 0;
        }
        self.to_send.extend((frame.len() as u32).to_be_bytes());
        self.to_send.extend_from_slice(&frame);
        Ok(())
    }

    fn flush(&mut self) {
        self.send_waiting();
    }

    fn link(&self) -> Link {
        if self.peer().is_some() { Link::Up } else { Link::Down }
    }
}

impl HostDevice for StreamDevice {
    fn descriptor(&self) -> BorrowedFd<'_> {
        match &self.end {
            End::Connected(peer) | End::Listening(_, Some(peer)) => peer.as_fd(),
            End::Listening(listener, None) => listener.as_fd(),
        }
    }

    fn wants_write(&self) -> Option<BorrowedFd<'_>> {
        self.peer().filter(|_| self.to_send.len() > self.sent).map(AsFd::as_fd)
    }

    fn failure(&self) -> Option<Failure> {
        self.gone.clone()
    }

    fn counters(&self) -> Counters {
        self.counters
    }

    fn idle(&mut self) {
        self.send_waiting();
        // Otherwise a second peer at the door would keep the loop awake.
        self.accept();
    }
}

/// A received frame in a frame of the pool; counts why there is none.
fn copy_in(pool: Pool<'static>, octets: &[u8], mtu: usize, counters: &mut Counters) -> Option<Frame<'static>> {
    if octets.is_empty() || octets.len() > max_frame(Medium::Ethernet, mtu) {
        counters.bad_length += 1;
        return None;
    }
    let Some(mut frame) = pool.take(HEADROOM) else {
        counters.no_frame += 1;
        return None;
    };
    if frame.extend(octets).is_none() {
        counters.bad_length += 1;
        return None;
    }
    Some(frame)
}

/// Frames over UNIX datagram sockets, one to receive and one to send.
///
/// The one to send is connected, so that it becomes writable when the peer has room again. A connected socket receives
/// from its peer alone, even once that is gone and another has come to its path: the one to receive is not.
pub struct DatagramDevice {
    socket: UnixDatagram,
    sender: UnixDatagram,
    local: PathBuf,
    remote: PathBuf,
    connected: bool,
    refused: bool,
    mtu: usize,
    pool: Pool<'static>,
    scratch: Vec<u8>,
    counters: Counters,
}

impl DatagramDevice {
    /// Receives at `local`, sends to `remote`, which need not exist yet.
    ///
    /// # Errors
    /// When `local` is in use or cannot be made.
    pub fn open(local: &Path, remote: &Path, mtu: usize, pool: Pool<'static>) -> Result<Self, Failure> {
        let failure = |e: &io::Error| Failure::io(format_args!("cannot use the socket {}", local.display()), e);
        // A file left by a program that is gone refuses connections; one in use does not.
        let probe = UnixDatagram::unbound().map_err(|e| failure(&e))?;
        if probe.connect(local).is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused) {
            std::fs::remove_file(local).map_err(|e| failure(&e))?;
        }
        let socket = UnixDatagram::bind(local).map_err(|e| match e.kind() {
            ErrorKind::AddrInUse => failure(&e).remedy("end the program that uses it, or choose another path"),
            _ => failure(&e),
        })?;
        socket.set_nonblocking(true).map_err(|e| failure(&e))?;
        let sender = UnixDatagram::unbound().map_err(|e| failure(&e))?;
        sender.set_nonblocking(true).map_err(|e| failure(&e))?;
        Ok(Self {
            socket,
            sender,
            local: local.to_path_buf(),
            remote: remote.to_path_buf(),
            connected: false,
            refused: false,
            mtu,
            pool,
            scratch: vec![0; LONGEST + 1],
            counters: Counters::default(),
        })
    }
}

impl Drop for DatagramDevice {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.local);
    }
}

impl Device<'static> for DatagramDevice {
    fn capabilities(&self) -> Capabilities {
        Capabilities::plain(Medium::Ethernet, self.mtu)
    }

    fn lost(&self) -> Lost {
        self.counters.lost()
    }

    fn pool(&self) -> Pool<'static> {
        self.pool
    }

    fn receive(&mut self) -> Option<(Frame<'static>, RxMeta)> {
        for _ in 0..SKIP {
            // Read first: with the pool empty a datagram is dropped rather than left to be reported for ever.
            let n = self.socket.recv(&mut self.scratch).ok()?;
            let octets = self.scratch.get(..n).unwrap_or_default();
            if let Some(frame) = copy_in(self.pool, octets, self.mtu, &mut self.counters) {
                return Some((frame, RxMeta::default()));
            }
        }
        None
    }

    fn transmit(&mut self, frame: Frame<'static>, _meta: TxMeta) -> Result<(), Frame<'static>> {
        self.refused = false;
        let mut sent = if self.connected { self.sender.send(&frame) } else { Err(ErrorKind::NotConnected.into()) };
        // Nobody is there, or nobody any more: perhaps another is.
        if sent.as_ref().is_err_and(|e| matches!(e.kind(), ErrorKind::NotConnected | ErrorKind::ConnectionRefused)) {
            sent = self.sender.connect(&self.remote).and_then(|()| self.sender.send(&frame));
            self.connected = sent.is_ok();
        }
        match sent {
            Ok(_) => {}
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                (self.connected, self.refused) = (true, true);
                return Err(frame);
            }
            Err(_) => self.counters.not_sent += 1,
        }
        Ok(())
    }

    /// Always up: whether anybody is at the other path is found out by sending there.
    fn link(&self) -> Link {
        Link::Up
    }
}

impl HostDevice for DatagramDevice {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn wants_write(&self) -> Option<BorrowedFd<'_>> {
        self.refused.then(|| self.sender.as_fd())
    }

    fn failure(&self) -> Option<Failure> {
        None
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}

#[cfg(test)]
mod tests;

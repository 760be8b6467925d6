//! Blocking ICMP echo: a ping in one call.

use super::{Net, Runtime, Waiter};
use ringtap::error::{RecvError, SendError};
use ringtap::event::Readiness;
use ringtap::icmp::{IcmpError, IcmpHandle};
use ringtap::stack::Echoed;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

/// Sends echo requests and waits for their replies.
pub struct Pinger {
    net: Arc<Net>,
    handle: IcmpHandle,
    waiter: Waiter,
    seq: u16,
}

impl Drop for Pinger {
    fn drop(&mut self) {
        let _ = self.net.act(|stack| {
            let _ = stack.icmp_close(self.handle);
            Ok(())
        });
    }
}

impl Pinger {
    /// With an identifier of the stack's choice.
    ///
    /// # Errors
    /// When the stack has no room for another socket.
    pub fn new(runtime: &Runtime) -> io::Result<Self> {
        let net = Arc::clone(&runtime.net);
        let handle = net.act(|stack| stack.icmp_bind(None).map_err(super::tcp::bind_error))?;
        let waiter = net.signal();
        Ok(Self { net, handle, waiter, seq: 0 })
    }

    /// Pings `dst` once, and says how long the answer took.
    ///
    /// # Errors
    /// `WouldBlock` when none came in time; `InvalidData` when it was not what was sent; `HostUnreachable`.
    pub fn ping(&mut self, dst: IpAddr, payload: &[u8], timeout: Duration) -> io::Result<Duration> {
        match self.probe(dst, payload, None, timeout)? {
            Answer { error: None, after, .. } => Ok(after),
            Answer { error: Some(_), .. } => Err(ErrorKind::HostUnreachable.into()),
        }
    }

    /// Pings `dst` once with a hop limit (`None`: the stack's), and says who answered what: `dst`, or a router on the way.
    ///
    /// # Errors
    /// `WouldBlock` when no answer came in time; `InvalidData` when a reply was not what was sent; `InvalidInput` when
    /// there is no way to `dst`.
    pub fn probe(&mut self, dst: IpAddr, payload: &[u8], hops: Option<u8>, timeout: Duration) -> io::Result<Answer> {
        self.seq = self.seq.wrapping_add(1);
        let (seq, handle) = (self.seq, self.handle);
        let start = Instant::now();
        self.net.block_on(&self.waiter, Some(timeout), |stack, waker| {
            match stack.icmp_send(handle, dst, seq, payload, hops) {
                Err(SendError::WouldBlock) => {
                    let _ = stack.icmp_register(handle, Readiness::WRITE, waker);
                    Poll::Pending
                }
                other => Poll::Ready(other.map_err(|e| io::Error::new(ErrorKind::InvalidInput, e))),
            }
        })?;
        let mut buf = vec![0; payload.len() + 1];
        let left = timeout.saturating_sub(start.elapsed());
        let (from, error) = self.net.block_on(&self.waiter, Some(left), |stack, waker| {
            loop {
                return match stack.icmp_recv(handle, &mut buf) {
                    Ok(Echoed::Reply { from, seq: s, len, .. }) if s == seq => {
                        let good = buf.get(..len) == Some(payload);
                        Poll::Ready(if good { Ok((from, None)) } else { Err(ErrorKind::InvalidData.into()) })
                    }
                    Ok(Echoed::Error { from, seq: s, error, .. }) if s == seq => Poll::Ready(Ok((from, Some(error)))),
                    // Of an earlier request, which was given up.
                    Ok(_) => continue,
                    Err(RecvError::WouldBlock) => {
                        let _ = stack.icmp_register(handle, Readiness::READ, waker);
                        Poll::Pending
                    }
                    Err(e) => Poll::Ready(Err(io::Error::new(ErrorKind::NotConnected, e))),
                };
            }
        })?;
        Ok(Answer { from, error, after: start.elapsed() })
    }
}

/// What came of an echo request.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// Who answered.
    pub from: IpAddr,
    /// What a router, or the host itself, reported instead of the reply.
    pub error: Option<IcmpError>,
    /// How long it took.
    pub after: Duration,
}

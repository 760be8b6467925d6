//! A connection to whichever of several addresses answers first.
//!
//! Implements RFC 8305 §4 (order) and §5 (attempts): addresses of both families in turn, the next one a quarter of a
//! second after the last, or at once when that has failed. Bounded: four attempts run at a time, eight addresses are
//! tried.
//!
//! ```text
//!  2001:db8::1 ── SYN ─────────────────────────────▶ …
//!  192.0.2.1   ── 250 ms ── SYN ──▶ established: taken, the others are aborted
//!  2001:db8::2 ── 500 ms ── …
//! ```

use super::order::sort;
use crate::error::{ConnectError, DnsError, TcpError};
use crate::stack::Stack;
use crate::tcp::{ConnectOptions, State, TcpHandle};
use crate::time::{Duration, Instant};
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use heapless::Vec;

/// Addresses that wait to be tried, at most.
const WAITING: usize = 8;
/// Attempts at a time.
const RUNNING: usize = 4;
/// Connection Attempt Delay: 250 ms is RFC 8305 §5's recommendation.
const STAGGER: Duration = Duration::from_millis(250);

/// Why there is no connection to a name, or to any of several addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum DialError {
    /// The name has no address.
    Name(DnsError),
    /// No attempt could be begun; why the last could not.
    Connect(ConnectError),
    /// Every attempt has failed; how the last did.
    Tcp(TcpError),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(e) => e.fmt(f),
            Self::Connect(e) => e.fmt(f),
            Self::Tcp(e) => e.fmt(f),
        }
    }
}

impl core::error::Error for DialError {}

/// Attempts to connect to one of several addresses.
///
/// # Contract
/// - [`offer`](Self::offer) addresses, at once or as they become known; then [`no_more`](Self::no_more).
/// - Call [`poll`](Self::poll) after each [`Stack::poll`], at [`deadline`](Self::deadline) at the latest, until it gives an
///   outcome; or [`cancel`](Self::cancel).
pub struct Race {
    port: u16,
    options: ConnectOptions,
    waiting: Vec<IpAddr, WAITING>,
    running: Vec<TcpHandle, RUNNING>,
    /// Whether the last address tried, or to be tried first, is one of IPv6.
    last_v6: bool,
    complete: bool,
    /// When the next attempt begins.
    next: Option<Instant>,
    error: Option<DialError>,
}

impl Race {
    /// A race to `port`.
    pub const fn new(port: u16, options: ConnectOptions) -> Self {
        Self {
            port,
            options,
            waiting: Vec::new(),
            running: Vec::new(),
            last_v6: false,
            complete: false,
            next: None,
            error: None,
        }
    }

    /// More addresses to try, in whatever order; what there is no room for is left out.
    pub fn offer(&mut self, stack: &Stack<'_>, addresses: &[IpAddr]) {
        let first = self.waiting.is_empty() && self.running.is_empty() && self.error.is_none();
        for ip in addresses {
            if !self.waiting.contains(ip) {
                let _ = self.waiting.push(*ip);
            }
        }
        sort(stack, &mut self.waiting);
        if first && let Some(best) = self.waiting.first() {
            // The best address is tried first, of whichever family.
            self.last_v6 = !best.is_ipv6();
        }
    }

    /// All addresses have been offered: without any left, the race is lost.
    pub fn no_more(&mut self) {
        self.complete = true;
    }

    /// Goes as far as it goes, and tells the connection, or why there is none. The connection is the caller's from then
    /// on.
    pub fn poll(&mut self, stack: &mut Stack<'_>, now: Instant) -> Option<Result<TcpHandle, DialError>> {
        if let Some(winner) = self.look(stack, now) {
            self.cancel(stack);
            return Some(Ok(winner));
        }
        while !self.running.is_full() && self.next.is_none_or(|at| at <= now) {
            let Some(ip) = self.take_next() else { break };
            match stack.tcp_connect(SocketAddr::new(ip, self.port), &self.options) {
                Ok(handle) => {
                    let _ = self.running.push(handle);
                    self.next = Some(now + STAGGER);
                }
                Err(error) => self.error = self.error.or(Some(DialError::Connect(error))),
            }
        }
        let lost = self.complete && self.running.is_empty() && self.waiting.is_empty();
        lost.then(|| Err(self.error.unwrap_or(DialError::Name(DnsError::NoData))))
    }

    /// When [`poll`](Self::poll) is to be called again at the latest, events of the stack aside.
    pub fn deadline(&self) -> Option<Instant> {
        let waits = !self.waiting.is_empty() && !self.running.is_full();
        waits.then(|| self.next.unwrap_or(Instant::ZERO))
    }

    /// The connections that are being attempted, whose events call for a [`poll`](Self::poll).
    pub fn attempts(&self) -> &[TcpHandle] {
        &self.running
    }

    /// Ends all attempts.
    pub fn cancel(&mut self, stack: &mut Stack<'_>) {
        for handle in core::mem::take(&mut self.running) {
            if let Ok(socket) = stack.tcp(handle) {
                socket.abort();
            }
        }
        self.waiting.clear();
    }

    /// Takes out what has failed; the attempt that has succeeded, if any.
    fn look(&mut self, stack: &mut Stack<'_>, now: Instant) -> Option<TcpHandle> {
        let mut at = 0;
        while let Some(&handle) = self.running.get(at) {
            let failed = match stack.tcp(handle) {
                Ok(socket) => match (socket.error(), socket.state()) {
                    (Some(error), _) => {
                        socket.close();
                        Some(error)
                    }
                    (None, State::SynSent | State::SynReceived) => None,
                    (None, _) => {
                        self.running.remove(at);
                        return Some(handle);
                    }
                },
                Err(_) => Some(TcpError::Stale),
            };
            let Some(error) = failed else {
                at += 1;
                continue;
            };
            self.running.remove(at);
            // What an attempt met says more than why another could not begin.
            self.error = Some(DialError::Tcp(error));
            // RFC 8305 §5: a failed attempt need not be waited for.
            self.next = Some(now);
        }
        None
    }

    /// The next address: of the other family than the last one, if there is one (RFC 8305 §4).
    fn take_next(&mut self) -> Option<IpAddr> {
        let at = self.waiting.iter().position(|ip| ip.is_ipv6() != self.last_v6).unwrap_or(0);
        (at < self.waiting.len()).then(|| {
            let ip = self.waiting.remove(at);
            self.last_v6 = ip.is_ipv6();
            ip
        })
    }
}

//! The stack on a thread of its own, for programs that block: sockets in the manner of `std::net`.
//!
//! A call locks the stack, acts on its socket, and wakes the loop if that sleeps. When it is not its time yet, it waits
//! for the socket's signal, which the loop gives.

mod icmp;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;

pub use icmp::{Answer, Pinger};
pub use tcp::{Incoming, TcpListener, TcpStream};
pub use udp::UdpSocket;

use crate::attach::Attached;
use crate::engine::{App, Engine, NoApp, Shared};
use crate::failure::Failure;
use ringtap::dhcp::v4::Lease;
use ringtap::error::DnsError;
use ringtap::stack::{AddressState, Limits, Stack};
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::task::{Poll, Wake, Waker};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A running stack. Clones are the same one; it stops when the last is dropped, after what was closed is delivered.
#[derive(Clone)]
pub struct Runtime {
    net: Arc<Net>,
    _thread: Arc<Thread>,
}

/// What sockets need of the runtime; they do not keep it running.
pub(crate) struct Net {
    shared: Arc<Shared>,
    /// All signals, so that a loop that ends leaves nobody waiting.
    signals: Mutex<Vec<Weak<Signal>>>,
}

struct Thread {
    shared: Arc<Shared>,
    handle: Option<JoinHandle<()>>,
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.shared.stop();
        if let Some(handle) = self.handle.take() {
            let _ = handle.join();
        }
    }
}

impl Runtime {
    /// Starts a stack on this device.
    ///
    /// # Errors
    /// As [`Engine::new`], and when there can be no further thread.
    pub fn start(attached: Attached) -> Result<Self, Failure> {
        Self::start_with(attached, Limits::default(), |_| Ok(Box::new(NoApp)))
    }

    /// Starts a stack on this device, within `limits`, and on its thread, beside it, the app that `app` makes.
    ///
    /// # Errors
    /// As [`start`](Self::start), and what `app` says.
    pub fn start_with(
        attached: Attached,
        limits: Limits,
        app: impl FnOnce(&mut Stack<'static>) -> Result<Box<dyn App>, Failure>,
    ) -> Result<Self, Failure> {
        let mut engine = Engine::new(attached, limits, None)?;
        let shared = engine.shared();
        let mut app = app(&mut shared.lock().stack)?;
        let net = Arc::new(Net { shared: Arc::clone(&shared), signals: Mutex::new(Vec::new()) });
        let of_thread = Arc::clone(&net);
        let run = move || {
            // The failure, if any, is told to every caller.
            let _ = engine.run(&mut *app);
            of_thread.wake_all();
        };
        let handle = std::thread::Builder::new()
            .name("ringtap".into())
            .spawn(run)
            .map_err(|e| Failure::io("cannot start the stack's thread", &e))?;
        Ok(Self { net, _thread: Arc::new(Thread { shared, handle: Some(handle) }) })
    }

    /// Does something with the stack: addresses, routes, counters, sockets of other kinds.
    pub fn with_stack<R>(&self, f: impl FnOnce(&mut Stack<'static>) -> R) -> R {
        let result = f(&mut self.net.shared.lock().stack);
        self.net.shared.kick();
        result
    }

    /// Waits until the stack's IPv6 addresses have been tried (RFC 4862 §5.4), or this time has passed.
    pub fn wait_for_ipv6(&self, timeout: Duration) {
        let end = Instant::now() + timeout;
        while Instant::now() < end && self.with_stack(|stack| Self::has_address_on_trial(stack)) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether an IPv6 address of the stack's is on trial.
    pub fn has_address_on_trial(stack: &Stack<'_>) -> bool {
        let is_on_trial = |(_, state)| state == AddressState::Tentative;
        stack.interfaces().any(|i| stack.ipv6_addresses(i.id).any(is_on_trial))
    }

    /// What a DHCP server has given, waited for when it has not yet.
    ///
    /// # Errors
    /// When it has not after this time, or the loop has ended.
    pub fn wait_for_lease(&self, timeout: Duration) -> Result<Lease, Failure> {
        self.net.shared.wait_for_lease(timeout)
    }

    /// Waits until there is an IPv4 address: a DHCP server's, or, failing that, one of the link (RFC 3927).
    ///
    /// # Errors
    /// When there is none after this time, or the loop has ended.
    pub fn wait_for_address(&self, timeout: Duration) -> Result<(), Failure> {
        self.net.shared.wait_for_address(timeout)
    }

    /// Waits until there is an address by what routers advertise.
    ///
    /// # Errors
    /// When there is none after this time, or the loop has ended.
    pub fn wait_for_routers(&self, timeout: Duration) -> Result<(), Failure> {
        self.net.shared.wait_for_routers(timeout)
    }

    /// The addresses of a name, best first, by the stack's own resolvers: IPv6 addresses (`Some(true)`), IPv4 ones
    /// (`Some(false)`), or both. Names in `.local` are those of the link (RFC 6762).
    ///
    /// # Errors
    /// Why there are none.
    pub fn lookup(&self, name: &str, v6: Option<bool>) -> Result<Vec<IpAddr>, DnsError> {
        self.net.shared.lookup(name, v6)
    }

    /// Whether the stack knows a name server.
    pub fn has_name_server(&self) -> bool {
        self.net.shared.has_name_server()
    }

    /// Why the loop has ended, if it has.
    pub fn failure(&self) -> Option<Failure> {
        self.net.shared.lock().ended.clone()
    }
}

impl Net {
    /// A signal that is also given when the loop ends.
    fn signal(&self) -> Waiter {
        let signal = Arc::new(Signal::default());
        let mut all = self.signals.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == all.capacity() {
            all.retain(|s| s.strong_count() > 0);
        }
        all.push(Arc::downgrade(&signal));
        Waiter { waker: Waker::from(Arc::clone(&signal)), signal }
    }

    fn wake_all(&self) {
        let all = std::mem::take(&mut *self.signals.lock().unwrap_or_else(PoisonError::into_inner));
        for signal in all.iter().filter_map(Weak::upgrade) {
            signal.give();
        }
    }

    /// Acts on the stack.
    fn act<R>(&self, f: impl FnOnce(&mut Stack<'static>) -> io::Result<R>) -> io::Result<R> {
        let mut core = self.shared.lock();
        if let Some(failure) = &core.ended {
            return Err(io::Error::new(io::ErrorKind::NotConnected, failure.clone()));
        }
        let result = f(&mut core.stack);
        drop(core);
        self.shared.kick();
        result
    }

    /// Acts on the stack until that is no longer `Pending`; `f` registers the waker before it says so.
    fn block_on<R>(
        &self,
        waiter: &Waiter,
        timeout: Option<Duration>,
        mut f: impl FnMut(&mut Stack<'static>, &Waker) -> Poll<io::Result<R>>,
    ) -> io::Result<R> {
        let deadline = timeout.and_then(|t| Instant::now().checked_add(t));
        loop {
            // Taken before the socket is looked at: a signal from then on ends the wait.
            let ticket = waiter.signal.ticket();
            match self.act(|stack| Ok(f(stack, &waiter.waker)))? {
                Poll::Ready(result) => return result,
                Poll::Pending if waiter.signal.wait(ticket, deadline) => {}
                // As std on Unix has it for sockets with a time-out.
                Poll::Pending => return Err(io::ErrorKind::WouldBlock.into()),
            }
        }
    }
}

/// A signal and its waker, made once.
pub(crate) struct Waiter {
    signal: Arc<Signal>,
    waker: Waker,
}

/// Counts how often it was given, so that none is missed; wakes all who wait.
#[derive(Default)]
pub(crate) struct Signal {
    given: Mutex<u64>,
    condvar: Condvar,
}

impl Signal {
    fn ticket(&self) -> u64 {
        *self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give(&self) {
        *self.given.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.condvar.notify_all();
    }

    /// Waits for a signal after `ticket`; `false` at the deadline.
    fn wait(&self, ticket: u64, deadline: Option<Instant>) -> bool {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        while *given == ticket {
            given = match deadline.map(|d| d.saturating_duration_since(Instant::now())) {
                None => self.condvar.wait(given).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return false,
                Some(left) => self.condvar.wait_timeout(given, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
        true
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.give();
    }
}

/// A time-out that clones of a socket share; `u64::MAX` nanoseconds is none.
struct Timeout(AtomicU64);

impl Timeout {
    const fn none() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }

    fn get(&self) -> Option<Duration> {
        match self.0.load(Ordering::Relaxed) {
            u64::MAX => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }

    /// As in std, zero is refused: it would look like "none".
    fn set(&self, timeout: Option<Duration>) -> io::Result<()> {
        let nanos = match timeout {
            None => u64::MAX,
            Some(Duration::ZERO) => return Err(io::ErrorKind::InvalidInput.into()),
            Some(t) => u64::try_from(t.as_nanos()).unwrap_or(u64::MAX - 1),
        };
        self.0.store(nanos, Ordering::Relaxed);
        Ok(())
    }
}

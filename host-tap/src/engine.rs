//! The event loop: one stack, one device, and what runs beside them, on one thread.
//!
//! ```text
//!   device readable ─┐                 ┌─▶ app (services, control socket)
//!   kick (eventfd) ──┼─▶ poll ─ events ┤
//!   signal, timer ───┘     ▲           └─▶ wakers (threads that wait in a blocking call)
//!                          └── sleeps exactly until the stack's or the app's next deadline
//! ```
//!
//! The stack lies behind a mutex, so that other threads may act on sockets while the loop sleeps; they tell it by a kick.

mod automatic;
mod goodbye;
mod linger;
mod waits;

use crate::attach::Attached;
use crate::clock::Clock;
use crate::device::{AnyDevice, Counters, HostDevice};
use crate::entropy;
use crate::epoll::{Kick, Poller, Signals};
use crate::failure::Failure;
use crate::names::{Lookup, Names};
use crate::pool::Lease;
use crate::sys::{Events, Interest, Ready};
use automatic::Automatic;
use linger::Linger;
use ringtap::config::Config;
use ringtap::device::Backlog;
use ringtap::dhcp::v4::Lease as DhcpLease;
use ringtap::dhcp::v6::Lease6;
use ringtap::error::DnsError;
use ringtap::event::Readiness;
use ringtap::ip::addr::Cidr;
use ringtap::stack::{Event, Identifiers, IfaceId, Limits, SocketId, Stack, Storage};
use ringtap::time::Instant;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};

/// Frames each way in one poll: short enough for other threads to get their turn, long enough to spread the costs.
const BUDGET: usize = 64;

/// Frames that wait while another thread has the stack: as many as a tap's queue holds.
const BACKLOG: usize = 1024;

/// How long the loop asks again for a stack that another thread has, before it looks after the device meanwhile.
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(1);

/// How often it looks then.
const LOOK: std::time::Duration = std::time::Duration::from_micros(500);

type Waiting = Box<Backlog<'static, AnyDevice, BACKLOG>>;

/// Polls in a row without looking at descriptors, while there is work.
const ROUNDS: usize = 4;

const KICK: u64 = 1;
const SIGNAL: u64 = 2;

/// The first token that an [`App`] may use for descriptors of its own.
pub const APP: u64 = 16;

/// What runs beside the stack, on its thread.
pub trait App: Send {
    /// Something changed for a socket.
    fn on_event(&mut self, stack: &mut Stack<'static>, socket: SocketId, what: Readiness) {
        let _ = (stack, socket, what);
    }

    /// A descriptor of the app's own is ready.
    fn on_ready(&mut self, stack: &mut Stack<'static>, poller: &Poller, ready: Ready) {
        let _ = (stack, poller, ready);
    }

    /// A DHCP server has given the stack an address, or what it gave is over (`None`).
    fn on_lease(&mut self, stack: &mut Stack<'static>, lease: Option<&DhcpLease>) {
        let _ = (stack, lease);
    }

    /// A DHCPv6 server has given addresses or name servers, or what it gave is over (`None`).
    fn on_lease6(&mut self, stack: &mut Stack<'static>, lease: Option<&Lease6>) {
        let _ = (stack, lease);
    }

    /// An address of the link was claimed (RFC 3927), or is gone (`None`).
    fn on_link_local(&mut self, stack: &mut Stack<'static>, address: Option<Ipv4Addr>) {
        let _ = (stack, address);
    }

    /// This name of the link (`NAME.local`) is ours, or is again, or another one is instead.
    fn on_name(&mut self, name: &str) {
        let _ = name;
    }

    /// The addresses that follow from what routers advertise, and can be used, are these now.
    fn on_routers(&mut self, stack: &mut Stack<'static>, addresses: &[Cidr]) {
        let _ = (stack, addresses);
    }

    /// Called after each poll; `true` when there is more to do at once.
    fn turn(&mut self, stack: &mut Stack<'static>, now: Instant) -> bool {
        let _ = (stack, now);
        false
    }

    /// When `turn` wants to be called next.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Whether the loop should end.
    fn done(&self) -> bool {
        false
    }
}

/// Gives an interface what was given by hand.
fn configure(
    stack: &mut Stack<'static>,
    iface: IfaceId,
    addresses: &[Cidr],
    gateways: &[IpAddr],
) -> Result<(), Failure> {
    for &cidr in addresses {
        stack.add_address(iface, cidr).map_err(|e| Failure::usage(format!("cannot have the address {cidr}: {e}")))?;
    }
    ensure_link_local(stack, iface)?;
    for &ip in gateways {
        stack.add_gateway(iface, ip).map_err(|e| Failure::usage(format!("cannot use the gateway {ip}: {e}")))?;
    }
    Ok(())
}

/// A stack with IPv6 addresses on Ethernet has a link-local one, too (RFC 4291 §2.8).
fn ensure_link_local(stack: &mut Stack<'static>, iface: IfaceId) -> Result<(), Failure> {
    let has_v6 = stack.ipv6_addresses(iface).next().is_some();
    let has_own = stack.ipv6_addresses(iface).any(|(cidr, _)| is_link_local(cidr.addr()));
    if has_v6 && !has_own && stack.interfaces().any(|i| i.mac.is_some()) {
        stack
            .add_link_local(iface, Identifiers::Eui64)
            .map_err(|e| Failure::new(format!("cannot have a link-local address: {e}")))?;
    }
    Ok(())
}

fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// Nothing beside the stack.
pub struct NoApp;

impl App for NoApp {}

/// The stack, and why it no longer runs, if so.
pub struct Core {
    /// The stack.
    pub stack: Stack<'static>,
    /// What a DHCP server has given.
    pub lease: Option<DhcpLease>,
    /// Whether there is an address by what routers advertise.
    pub by_routers: bool,
    /// The address of the link that was claimed (RFC 3927).
    pub link_local: Option<Ipv4Addr>,
    /// The resolvers.
    pub names: Names,
    /// Why the loop has ended.
    pub ended: Option<Failure>,
}

/// What the loop shares with threads that act on sockets.
pub struct Shared {
    core: Mutex<Core>,
    /// How many threads want the lock: the loop lets them go first.
    waiting: AtomicUsize,
    asleep: AtomicBool,
    stop: AtomicBool,
    kick: Kick,
    /// Tells of a lease, of names, and of the loop's end.
    configured: Condvar,
}

impl Shared {
    /// The stack, for a thread other than the loop's.
    pub fn lock(&self) -> MutexGuard<'_, Core> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        core
    }

    /// The addresses of a name, best first, by the stack's own resolvers: IPv6 addresses (`Some(true)`), IPv4 ones
    /// (`Some(false)`), or both.
    ///
    /// # Errors
    /// Why there are none.
    pub fn lookup(&self, name: &str, v6: Option<bool>) -> Result<Vec<IpAddr>, DnsError> {
        let mut core = self.lock();
        let Core { stack, names, .. } = &mut *core;
        let now = stack.now();
        let mut lookup = Lookup::start(names, stack, now, (name, v6))?;
        self.kick();
        loop {
            let Core { stack, names, ended, .. } = &mut *core;
            let now = stack.now();
            if let Some(outcome) = lookup.poll(names, stack, now) {
                return outcome;
            }
            if ended.is_some() {
                return Err(DnsError::ServerFailure);
            }
            // The stack's time stands still while its loop sleeps: the wait, with a little to spare, is what ends it.
            let waited = self.configured.wait_timeout(core, LOOKUP_STEP).unwrap_or_else(PoisonError::into_inner);
            core = waited.0;
            if waited.1.timed_out() {
                self.kick();
            }
        }
    }

    /// Whether the stack knows a name server.
    pub fn has_name_server(&self) -> bool {
        self.lock().names.has_server()
    }

    /// Tells a sleeping loop that there is work.
    pub fn kick(&self) {
        // SeqCst: the loop sets the flag under the lock that the caller has just released, so one of both sees the other.
        if self.asleep.swap(false, Ordering::SeqCst) {
            self.kick.kick();
        }
    }

    /// Ends the loop, once connections that are closed have delivered what they had, or after a short time.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.kick.kick();
    }

    /// The loop's own lock. A mutex is not fair: without a pause, a busy loop would keep others out for long.
    fn lock_for_loop(&self) -> MutexGuard<'_, Core> {
        for _ in 0..100 {
            if self.waiting.load(Ordering::Relaxed) == 0 {
                break;
            }
            std::thread::yield_now();
        }
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`lock_for_loop`](Self::lock_for_loop); while another thread keeps the stack for long, what comes is put by, so that
    /// it is not lost where nobody counts it.
    fn lock_beside(&self, device: &mut Waiting) -> MutexGuard<'_, Core> {
        let start = std::time::Instant::now();
        for _ in 0..100 {
            if self.waiting.load(Ordering::Relaxed) == 0 {
                break;
            }
            std::thread::yield_now();
        }
        loop {
            match self.core.try_lock() {
                Ok(core) => return core,
                Err(TryLockError::Poisoned(core)) => return core.into_inner(),
                Err(TryLockError::WouldBlock) if start.elapsed() < PATIENCE => std::thread::yield_now(),
                Err(TryLockError::WouldBlock) => {
                    device.fill(BUDGET);
                    std::thread::sleep(LOOK);
                }
            }
        }
    }
}

/// Why the loop has ended, if not by a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// SIGINT or SIGTERM.
    Signal,
    /// The app is done.
    Done,
    /// [`Shared::stop`] was called.
    Stopped,
}

/// The loop.
pub struct Engine {
    shared: Arc<Shared>,
    device: Waiting,
    iface: IfaceId,
    clock: Clock,
    poller: Poller,
    events: Events,
    signals: Option<Signals>,
    woken: Vec<Event>,
    automatic: Automatic,
    /// Frames received, as of the last poll.
    moved: usize,
    /// How long closed connections may still deliver, once the loop was told to stop.
    stop_by: Option<Instant>,
    _lease: Lease,
    _large: Lease,
}

impl Engine {
    /// A stack on this device, with its addresses and gateways, bounded by `limits`.
    ///
    /// # Errors
    /// When an address or gateway cannot be, or the process has no descriptor left.
    pub fn new(attached: Attached, limits: Limits, signals: Option<Signals>) -> Result<Self, Failure> {
        let Attached { device, lease, large, mac, addresses, gateways, automatic, dns, alone, .. } = attached;
        let mut config = Config::new(entropy::secret()?);
        config.large_pool = Some(large.pool());
        // Between two ends whose addresses are chosen here, none can be somebody else's.
        config.dad_transmits = u8::from(!alone);
        config.optimistic_dad = automatic.optimistic;
        let mut stack = Stack::new(config, Storage::growing(limits));
        let iface = stack.add_interface(&device, mac).map_err(|e| Failure::new(e.to_string()))?;
        configure(&mut stack, iface, &addresses, &gateways)?;
        let names = Names::new(&mut stack, iface, &dns);
        let clock = Clock::new();
        let automatic = Automatic::start(&mut stack, clock.now(), iface, automatic)?;
        let no_loop = |e: std::io::Error| Failure::io("cannot make an event loop", &e);
        let (poller, kick) = (Poller::new().map_err(no_loop)?, Kick::new().map_err(no_loop)?);
        poller.add(&kick, KICK, Interest::READ).map_err(no_loop)?;
        if let Some(signals) = &signals {
            poller.add(signals, SIGNAL, Interest::READ).map_err(no_loop)?;
        }
        let shared = Arc::new(Shared {
            core: Mutex::new(Core { stack, lease: None, by_routers: false, link_local: None, names, ended: None }),
            waiting: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            kick,
            configured: Condvar::new(),
        });
        Ok(Self {
            shared,
            device: Box::new(Backlog::new(device)),
            iface,
            clock,
            poller,
            events: Events::new(),
            signals,
            woken: Vec::new(),
            automatic,
            moved: 0,
            stop_by: None,
            _lease: lease,
            _large: large,
        })
    }

    /// What other threads need to act on sockets.
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// The set in which an app may wait for descriptors of its own, with tokens from [`APP`] on.
    pub fn poller(&self) -> &Poller {
        &self.poller
    }

    /// The interface of the device.
    pub fn iface(&self) -> IfaceId {
        self.iface
    }

    /// What was lost at the device.
    pub fn device_counters(&self) -> Counters {
        let (counters, backlog) = (self.device.device().counters(), self.device.counters());
        Counters { backlog: (backlog.full + backlog.pool_low) as u64, ..counters }
    }

    /// Runs until a signal, the app, [`Shared::stop`] or a failure of the device ends it.
    ///
    /// # Errors
    /// Why the device is gone.
    pub fn run(&mut self, app: &mut dyn App) -> Result<End, Failure> {
        let end = self.run_until_end(app);
        self.say_goodbye();
        let ended = end.clone().err().unwrap_or_else(|| Failure::new("the stack has stopped"));
        self.shared.lock_for_loop().ended = Some(ended);
        self.shared.configured.notify_all();
        end
    }

    fn run_until_end(&mut self, app: &mut dyn App) -> Result<End, Failure> {
        let mut linger = Linger::default();
        loop {
            let before = self.moved;
            let until = self.work(app);
            let moved = self.moved != before;
            for event in self.woken.drain(..) {
                event.wake();
            }
            if let Some(failure) = self.device.device().failure() {
                return Err(failure);
            }
            if app.done() {
                return Ok(End::Done);
            }
            if self.may_stop() {
                return Ok(End::Stopped);
            }
            if linger.looks_again(moved) {
                std::thread::yield_now();
            } else if self.sleep(until, app)? {
                return Ok(End::Signal);
            }
        }
    }

    /// Polls and hands out events; says when to come back.
    fn work(&mut self, app: &mut dyn App) -> Option<Instant> {
        let mut core = self.shared.lock_beside(&mut self.device);
        let mut busy = true;
        let mut now = Instant::ZERO;
        for _ in 0..ROUNDS {
            now = self.clock.now();
            let Core { stack, .. } = &mut *core;
            let before = stack.stats().rx_frames;
            let polled = stack.poll(now, self.iface, &mut *self.device, BUDGET);
            // What came makes more likely to have come meanwhile, and a look at the device costs less than a sleep.
            let received = stack.stats().rx_frames != before;
            self.moved = stack.stats().rx_frames;
            while let Some(event) = stack.next_event() {
                app.on_event(stack, event.socket, event.what);
                if event.is_awaited() {
                    self.woken.push(event);
                }
            }
            if self.automatic.poll(&mut core, app, now) {
                self.shared.configured.notify_all();
            }
            let Core { stack, names, .. } = &mut *core;
            let asked = names.deadline().is_some();
            if let Some(name) = names.poll(stack, now) {
                app.on_name(&name);
            }
            if asked {
                self.shared.configured.notify_all();
            }
            busy = app.turn(stack, now) | polled.more | received;
            // Woken threads should not wait for further rounds.
            if !self.woken.is_empty() || !(busy || stack.pending().contains(self.iface)) {
                break;
            }
        }
        let Core { stack, names, .. } = &mut *core;
        let next = earlier(stack.next_deadline(), app.deadline());
        let next = earlier(next, self.stop_by);
        let next = earlier(next, names.deadline());
        let next = earlier(next, self.automatic.deadline());
        // Set under the lock: whoever acts on a socket from now on sees it, and kicks.
        self.shared.asleep.store(true, Ordering::SeqCst);
        if busy { Some(now) } else { next }
    }

    /// Sleeps until `until`, or something is ready; `true` when that was a signal.
    fn sleep(&mut self, until: Option<Instant>, app: &mut dyn App) -> Result<bool, Failure> {
        let timeout = until.map(|at| self.clock.until(at));
        if timeout.is_none_or(|t| !t.is_zero()) {
            self.device.device_mut().idle();
        }
        let failed = |e: std::io::Error| Failure::io("cannot wait for events", &e);
        self.poller.wait_beside(waits_of(self.device.device()), &mut self.events, timeout).map_err(failed)?;
        self.shared.asleep.store(false, Ordering::SeqCst);
        let mut signalled = false;
        for ready in self.events.iter() {
            match ready.token {
                KICK => self.shared.kick.drain(),
                SIGNAL => signalled |= self.signals.as_mut().is_some_and(Signals::take),
                _ => app.on_ready(&mut self.shared.lock_for_loop().stack, &self.poller, ready),
            }
        }
        Ok(signalled)
    }

    /// Whether the loop was told to stop, and has nothing more to deliver.
    fn may_stop(&mut self) -> bool {
        if !self.shared.stop.load(Ordering::SeqCst) {
            return false;
        }
        let now = self.clock.now();
        let by = *self.stop_by.get_or_insert(now + LINGER);
        now >= by || self.shared.lock_for_loop().stack.tcp_connections() == 0
    }
}

/// What a device waits for now: what comes, and room only while it lacks that, which may be at another descriptor.
pub(crate) fn waits_of(device: &AnyDevice) -> impl Iterator<Item = (BorrowedFd<'_>, Interest)> {
    let room = device.wants_write().map(|fd| (fd, Interest { read: false, write: true }));
    [(device.descriptor(), Interest::READ)].into_iter().chain(room)
}

/// What to say when no router gives an address.
pub fn no_router() -> Failure {
    Failure::new("no router has advertised a prefix for addresses").remedy("give an address with --addr")
}

/// How often a lookup from another thread looks after its time.
const LOOKUP_STEP: std::time::Duration = std::time::Duration::from_millis(100);

/// How long a stopped loop lets closed connections deliver.
const LINGER: ringtap::time::Duration = ringtap::time::Duration::from_secs(2);

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attach::{Attachment, Carrier};

    /// Counts its turns, and is busy for the first of them.
    struct Counting {
        turns: u32,
        busy: u32,
        at: Option<Instant>,
        last: Instant,
    }

    impl App for Counting {
        fn turn(&mut self, _stack: &mut Stack<'static>, now: Instant) -> bool {
            self.turns += 1;
            self.last = now;
            if self.at.is_some_and(|at| now >= at) {
                self.at = None;
            }
            self.turns < self.busy
        }

        fn deadline(&self) -> Option<Instant> {
            self.at
        }

        fn done(&self) -> bool {
            self.turns >= self.busy && self.at.is_none()
        }
    }

    fn engine(name: &str) -> Engine {
        let path = std::env::temp_dir().join(format!("ringtap-engine-{}-{name}", std::process::id()));
        let attached = Attachment::new(Carrier::Stream(path)).open().expect("a device");
        Engine::new(attached, Limits::default(), None).expect("an engine")
    }

    #[test]
    fn an_app_with_more_to_do_is_called_again_at_once() {
        let mut app = Counting { turns: 0, busy: 10_000, at: None, last: Instant::ZERO };
        let start = std::time::Instant::now();
        assert_eq!(engine("busy").run(&mut app), Ok(End::Done));
        assert!(app.turns >= 10_000 && start.elapsed() < std::time::Duration::from_secs(5));
    }

    #[test]
    fn the_loop_sleeps_until_the_apps_deadline_and_does_little_meanwhile() {
        let at = Instant::from_millis(300);
        let mut app = Counting { turns: 0, busy: 0, at: Some(at), last: Instant::ZERO };
        assert_eq!(engine("asleep").run(&mut app), Ok(End::Done));
        assert!(app.last >= at && app.turns < 20, "{} turns", app.turns);
    }

    #[test]
    fn a_stop_from_another_thread_ends_the_loop_and_is_told_to_callers() {
        let mut engine = engine("stop");
        let shared = engine.shared();
        let other = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(20));
            shared.stop();
            shared
        });
        assert_eq!(engine.run(&mut NoApp), Ok(End::Stopped));
        assert!(other.join().expect("stopped").lock().ended.is_some());
    }
}

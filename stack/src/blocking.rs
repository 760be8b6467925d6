//! Blocking sockets for a super-loop: a stack, its devices, a clock and a way to sleep, tied together.
//!
//! ```text
//!   your program ──▶ TcpStream · UdpSocket · EchoSocket ──▶ done? ─ yes ─▶ back to you
//!                                                            │ no
//!                                   ┌────────────────────────▼──────────────┐
//!                                   │ poll each port ─▶ nothing to do: idle │ ─▶ done? …
//!                                   └───────────────────────────────────────┘
//! ```
//!
//! A [`Net`] polls whenever one of its calls waits, and after each call that gave the stack something to send, so that a
//! program cannot forget to. Its views of sockets are borrowed, implement the traits of [`embedded_io`], and block;
//! beside them, [`Net::stack`] gives the sockets that never do, for use with [`Net::wait`] or [`Net::next_event`].
//! Nothing is allocated. The waiting is generic over nothing: one copy of it serves all devices.
//!
#![cfg_attr(all(feature = "tcp", feature = "loopback"), doc = "```")]
#![cfg_attr(not(all(feature = "tcp", feature = "loopback")), doc = "```ignore")]
//! use ringtap::blocking::{Net, Port};
//! use ringtap::config::Config;
//! use ringtap::device::{Loopback, Mac};
//! use ringtap::frame::PoolMemory;
//! use ringtap::rng::Secret;
//! use ringtap::stack::{Stack, StaticStorage};
//! use ringtap::tcp::{ConnectOptions, ListenOptions};
//! use ringtap::time::Instant;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! static FRAMES: PoolMemory<1536, 16> = PoolMemory::new();
//! # let storage: &'static mut StaticStorage<'static, 4, 2, 2048, 2048, 22> = Box::leak(Box::new(StaticStorage::new()));
//! let mut stack = Stack::new(Config::new(Secret::new([7; 16])), storage);
//! let port = Port::attach(&mut stack, Loopback::<8>::new(FRAMES.pool(), 1500), Mac::default())?;
//! stack.add_address(port.iface(), "10.0.0.1/24".parse()?)?;
//!
//! // On a microcontroller: a timer, and `|_| cortex_m::asm::wfe()`.
//! let start = std::time::Instant::now();
//! let clock = move || Instant::from_micros(start.elapsed().as_micros() as u64);
//! let mut net = Net::new(stack, port, (clock, |_until| std::thread::yield_now()));
//!
//! let listener = net.stack().tcp_listen(None, 7, &ListenOptions::default())?;
//! let mut client = net.tcp_connect("10.0.0.1:7".parse()?, &ConnectOptions::default())?;
//! client.write_all(b"hello")?;
//! let client = client.detach();
//!
//! let (mut server, _peer) = net.tcp_accept(listener)?;
//! let mut text = [0; 16];
//! let len = server.read(&mut text)?;
//! server.write_all(&text[..len])?;
//! drop(server); // delivers what was written, and closes
//!
//! let mut client = net.tcp(client)?;
//! assert_eq!(client.read(&mut text)?, 5);
//! assert_eq!(client.read(&mut text)?, 0, "the end");
//! # Ok(())
//! # }
//! ```
//!
//! # Sleeping without missing an interrupt
//! [`System::idle`] is called when there was nothing to do a moment ago. An interrupt in between must end the sleep, or
//! the packet that it told of waits for the next one. On ARMv7-M and later `WFE` is enough: returning from an exception
//! sets the event register, and `WFE` then does not sleep. `WFI` is enough with interrupts masked around a look at a flag
//! that the handlers set: a pending interrupt ends it all the same. A timer that ends the sleep now and then makes `until`
//! true without being set for it.

#[cfg(feature = "icmp")]
mod echo;
#[cfg(feature = "tcp")]
mod tcp;
#[cfg(feature = "udp")]
mod udp;

#[cfg(feature = "icmp")]
pub use echo::{EchoSocket, PingError};
#[cfg(feature = "tcp")]
pub use tcp::{OpenError, TcpStream};
#[cfg(feature = "udp")]
pub use udp::UdpSocket;

use crate::device::{Device, Mac};
use crate::error::AddressError;
use crate::stack::{Event, IfaceId, Stack};
use crate::time::{Duration, Instant};

/// Frames each way in one look at a device: a call that is not about them is not held up for long.
const BUDGET: usize = 32;

/// What waits for frames or queue places looks again after this long: their coming back wakes nobody. 10 ms, as the
/// stack's own egress.
const STALL: Duration = Duration::from_millis(10);

/// The clock, and what to do while there is nothing to do: a board's, or an operating system's.
///
/// A pair of closures is one: `(|| clock.now(), |until| sleep(until))`.
pub trait System {
    /// The time, on a clock that does not step back.
    fn now(&mut self) -> Instant;

    /// Sleeps until a device may have something to say, `until` at the latest (`None`: no limit). Returning early, or at
    /// once, is harmless; see the [module](self) on how not to return late.
    fn idle(&mut self, until: Option<Instant>);
}

impl<C: FnMut() -> Instant, I: FnMut(Option<Instant>)> System for (C, I) {
    fn now(&mut self) -> Instant {
        (self.0)()
    }

    fn idle(&mut self, until: Option<Instant>) {
        (self.1)(until);
    }
}

impl<S: System + ?Sized> System for &mut S {
    fn now(&mut self) -> Instant {
        (**self).now()
    }

    fn idle(&mut self, until: Option<Instant>) {
        (**self).idle(until);
    }
}

/// A device, and the interface that the stack knows it by.
#[derive(Debug)]
pub struct Port<D> {
    iface: IfaceId,
    device: D,
}

impl<D> Port<D> {
    /// Adds an interface for `device` to the stack; `mac` as in [`Stack::add_interface`].
    ///
    /// # Errors
    /// As [`Stack::add_interface`].
    pub fn attach<'a>(stack: &mut Stack<'a>, device: D, mac: Mac) -> Result<Self, AddressError>
    where
        D: Device<'a>,
    {
        let iface = stack.add_interface(&device, mac)?;
        Ok(Self { iface, device })
    }

    /// The interface.
    pub const fn iface(&self) -> IfaceId {
        self.iface
    }

    /// The device.
    pub const fn device(&self) -> &D {
        &self.device
    }

    /// The device, to be changed.
    pub const fn device_mut(&mut self) -> &mut D {
        &mut self.device
    }

    /// The device, no more a port: the interface remains in the stack until it is removed.
    pub fn into_device(self) -> D {
        self.device
    }
}

/// The devices of a stack: a [`Port`], or a tuple of several.
pub trait Ports<'a> {
    /// Polls each once, for at most `budget` frames each way; whether one has more at once.
    fn poll(&mut self, stack: &mut Stack<'a>, now: Instant, budget: usize) -> bool;
}

impl<'a, D: Device<'a>> Ports<'a> for Port<D> {
    fn poll(&mut self, stack: &mut Stack<'a>, now: Instant, budget: usize) -> bool {
        stack.poll(now, self.iface, &mut self.device, budget).more
    }
}

impl<'a, A: Ports<'a>, B: Ports<'a>> Ports<'a> for (A, B) {
    fn poll(&mut self, stack: &mut Stack<'a>, now: Instant, budget: usize) -> bool {
        self.0.poll(stack, now, budget) | self.1.poll(stack, now, budget)
    }
}

impl<'a, A: Ports<'a>, B: Ports<'a>, C: Ports<'a>> Ports<'a> for (A, B, C) {
    fn poll(&mut self, stack: &mut Stack<'a>, now: Instant, budget: usize) -> bool {
        self.0.poll(stack, now, budget) | self.1.poll(stack, now, budget) | self.2.poll(stack, now, budget)
    }
}

impl<'a, P: Ports<'a> + ?Sized> Ports<'a> for &mut P {
    fn poll(&mut self, stack: &mut Stack<'a>, now: Instant, budget: usize) -> bool {
        (**self).poll(stack, now, budget)
    }
}

/// A stack that runs while its user waits.
///
/// # Contract
/// - Every interface of the stack has its device among the ports: make them with [`Port::attach`].
/// - Timers and answers to the network run in the calls of `Net` and of its views. A program that computes for long calls
///   [`poll`](Self::poll) now and then, and one that has nothing to do calls [`sleep`](Self::sleep) or
///   [`wait`](Self::wait), not a delay of its own.
pub struct Net<'a, P, S> {
    stack: Stack<'a>,
    ports: P,
    system: S,
    timeout: Option<Duration>,
}

impl<'a, P: Ports<'a>, S: System> Net<'a, P, S> {
    /// Ties these together. Blocking calls wait for as long as it takes, until [`set_timeout`](Self::set_timeout).
    pub const fn new(stack: Stack<'a>, ports: P, system: S) -> Self {
        Self { stack, ports, system, timeout: None }
    }

    /// The stack: configuration, counters, and sockets that never block. What is written to them leaves with the next
    /// call of this `Net`.
    pub const fn stack(&mut self) -> &mut Stack<'a> {
        &mut self.stack
    }

    /// The devices.
    pub const fn ports(&mut self) -> &mut P {
        &mut self.ports
    }

    /// The clock and the way to sleep.
    pub const fn system(&mut self) -> &mut S {
        &mut self.system
    }

    /// The time.
    pub fn now(&mut self) -> Instant {
        self.system.now()
    }

    /// How long blocking calls wait from now on; views made before keep what they have. A call whose time is up answers
    /// `WouldBlock`, or `TimedOut` where there is such an answer, and has changed nothing.
    pub const fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
    }

    /// Looks at each device once, and goes on: for a program that has other things to do. Whether there is more at once.
    pub fn poll(&mut self) -> bool {
        self.turn()
    }

    /// Lets the network run for as long as this; in place of a delay.
    pub fn sleep(&mut self, time: Duration) {
        let _ = self.block_on(Some(time), |_| None::<()>);
    }

    /// Returns once something may have changed for a socket, or else after one sleep, `until` at the latest: for a loop
    /// that looks at all its sockets each time round. It reads and writes each until that says `WouldBlock`, for what it
    /// leaves undone wakes nobody.
    ///
    /// Events are forgotten, and tasks that wait for them woken.
    pub fn wait(&mut self, until: Option<Instant>) {
        let mut pause = Pause::until(until);
        while pause.step(self) {
            let mut told = false;
            while let Some(event) = self.stack.next_event() {
                event.wake();
                told = true;
            }
            if told || pause.slept {
                return;
            }
        }
    }

    /// What changed for a socket; `None` when nothing did until `until`, or when a sleep ended for another reason, such
    /// as an interrupt that is none of the network's.
    ///
    /// What changed while blocking calls waited is told, too. An event is an edge, as in [`Stack::next_event`].
    pub fn next_event(&mut self, until: Option<Instant>) -> Option<Event> {
        let mut pause = Pause::until(until);
        loop {
            if let Some(event) = self.stack.next_event() {
                return Some(event);
            }
            if pause.slept || !pause.step(self) {
                return None;
            }
        }
    }

    /// Runs until `attempt` gives an answer, and gives it; `None` when there was none in time (no `timeout`: for ever).
    ///
    /// `attempt` is called whenever its answer may have changed. It does all that it can do: what it leaves undone wakes
    /// nobody.
    pub fn block_on<T>(
        &mut self,
        timeout: Option<Duration>,
        attempt: impl FnMut(&mut Stack<'a>) -> Option<T>,
    ) -> Option<T> {
        block_on(self, timeout, attempt)
    }

    /// Ends the tie.
    pub fn into_parts(self) -> (Stack<'a>, P, S) {
        (self.stack, self.ports, self.system)
    }
}

/// What waiting needs, whatever the devices are.
trait Drive<'a> {
    fn stack(&mut self) -> &mut Stack<'a>;

    /// Polls each device once; whether there is more to do at once.
    fn turn(&mut self) -> bool;

    fn now(&mut self) -> Instant;

    fn idle(&mut self, until: Option<Instant>);
}

impl<'a, P: Ports<'a>, S: System> Drive<'a> for Net<'a, P, S> {
    fn stack(&mut self) -> &mut Stack<'a> {
        &mut self.stack
    }

    fn turn(&mut self) -> bool {
        let now = self.system.now();
        let more = self.ports.poll(&mut self.stack, now, BUDGET);
        more || self.stack.next_deadline().is_some_and(|at| at <= now)
    }

    fn now(&mut self) -> Instant {
        self.system.now()
    }

    fn idle(&mut self, until: Option<Instant>) {
        self.system.idle(until);
    }
}

/// Waiting, a step at a time. What is waited for is looked at between steps: after each poll, and so before each sleep.
struct Pause {
    timeout: Option<Duration>,
    until: Option<Instant>,
    /// The longest sleep.
    stall: Option<Duration>,
    /// There was nothing to do in the last step.
    quiet: bool,
    started: bool,
    slept: bool,
}

impl Pause {
    const fn new(timeout: Option<Duration>, until: Option<Instant>) -> Self {
        Self { timeout, until, stall: None, quiet: false, started: false, slept: false }
    }

    const fn until(until: Option<Instant>) -> Self {
        Self::new(None, until)
    }

    /// Polls, after a sleep if there was nothing to do before; `false`, without either, when the time is up. The first
    /// step always polls.
    fn step<'a>(&mut self, drive: &mut (dyn Drive<'a> + '_)) -> bool {
        let now = drive.now();
        if !self.started {
            self.started = true;
            self.until = earlier(self.until, self.timeout.map(|time| now + time));
        } else if self.until.is_some_and(|at| at <= now) {
            return false;
        }
        if self.quiet {
            let next = drive.stack().next_deadline();
            let next = earlier(earlier(next, self.until), self.stall.map(|time| now + time));
            if next.is_none_or(|at| at > now) {
                drive.idle(next);
                self.slept = true;
            }
        }
        self.quiet = !drive.turn();
        true
    }
}

fn block_on<'a, T>(
    drive: &mut (dyn Drive<'a> + '_),
    timeout: Option<Duration>,
    attempt: impl FnMut(&mut Stack<'a>) -> Option<T>,
) -> Option<T> {
    pause_on(drive, Pause::new(timeout, None), attempt)
}

fn pause_on<'a, T>(
    drive: &mut (dyn Drive<'a> + '_),
    mut pause: Pause,
    mut attempt: impl FnMut(&mut Stack<'a>) -> Option<T>,
) -> Option<T> {
    loop {
        if let Some(answer) = attempt(drive.stack()) {
            return Some(answer);
        }
        if !pause.step(drive) {
            return None;
        }
    }
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

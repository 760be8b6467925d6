//! A user that does anything at any time.

use super::{App, Flow, Pattern};
use ringtap::error::{AcceptError, TcpError};
use ringtap::stack::Stack;
use ringtap::tcp::{ConnectOptions, ListenOptions, ListenerHandle, TcpHandle, TcpOptions};
use ringtap::time::{Duration, Instant};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// What a user does, one thing per turn, and turns a millisecond apart.
#[derive(Clone, Debug)]
pub enum Op {
    /// Writes so many octets.
    Write(usize),
    /// Reads so many octets.
    Read(usize),
    /// Does nothing for so many milliseconds.
    Wait(u64),
    /// Ends its direction.
    Shutdown,
    /// Closes; the script is over.
    Close,
    /// Aborts; the script is over.
    Abort,
}

enum Role {
    Client(SocketAddr),
    Server(u16, Option<ListenerHandle>),
}

/// Does what its script says; then writes no more, reads to the end, and closes.
pub struct Script {
    role: Role,
    ops: VecDeque<Op>,
    options: TcpOptions,
    handle: Option<TcpHandle>,
    busy_until: Instant,
    shut: bool,
    failure: Option<String>,
    /// What the stack has accepted.
    pub accepted: Pattern,
    /// What it has given.
    pub received: Pattern,
    /// There is, or was, a connection.
    pub started: bool,
    /// It has read the end of the peer's text.
    pub eof: bool,
    /// How the connection ended, if it failed.
    pub error: Option<TcpError>,
    /// The script has ended.
    pub over: bool,
}

impl Script {
    /// The end that connects.
    pub fn client(server: SocketAddr, ops: &[Op], options: TcpOptions) -> Self {
        Self::new(Role::Client(server), ops, options)
    }

    /// The end that listens.
    pub fn server(port: u16, ops: &[Op], options: TcpOptions) -> Self {
        Self::new(Role::Server(port, None), ops, options)
    }

    fn new(role: Role, ops: &[Op], options: TcpOptions) -> Self {
        Self {
            role,
            ops: ops.iter().cloned().collect(),
            options,
            handle: None,
            busy_until: Instant::ZERO,
            shut: false,
            failure: None,
            accepted: Pattern::default(),
            received: Pattern::default(),
            started: false,
            eof: false,
            error: None,
            over: false,
        }
    }

    /// As [`Bulk::with_streams`](super::Bulk::with_streams).
    #[must_use]
    pub fn with_streams(mut self, there: u64, back: u64) -> Self {
        let (sent, received) = match self.role {
            Role::Client(_) => (there, back),
            Role::Server(..) => (back, there),
        };
        (self.accepted, self.received) = (Pattern::new(sent), Pattern::new(received));
        self
    }

    fn start(&mut self, stack: &mut Stack<'static>) -> bool {
        match self.role {
            Role::Client(server) if !self.started => {
                let options = ConnectOptions { tcp: self.options, ..ConnectOptions::default() };
                self.handle = Some(stack.tcp_connect(server, &options).expect("a way"));
            }
            Role::Server(port, None) => {
                let options = ListenOptions { tcp: self.options, ..ListenOptions::default() };
                let listener = stack.tcp_listen(None, port, &options).expect("a free port");
                self.role = Role::Server(port, Some(listener));
                return true;
            }
            Role::Server(_, Some(listener)) if !self.started => match stack.tcp_accept(listener) {
                Ok((handle, _)) => self.handle = Some(handle),
                Err(e) => {
                    assert_eq!(e, AcceptError::WouldBlock);
                    return false;
                }
            },
            _ => return false,
        }
        self.started = true;
        true
    }

    fn write(&mut self, stack: &mut Stack<'static>, handle: TcpHandle, n: usize) -> Result<(), TcpError> {
        let mut buf = vec![0; n];
        self.accepted.fill(&mut buf);
        match stack.tcp(handle).expect("open").write(&buf) {
            Ok(n) => self.accepted.at += n as u64,
            Err(TcpError::WouldBlock | TcpError::Closed) => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }

    /// Whether there was something to read, or the end.
    fn read(&mut self, stack: &mut Stack<'static>, handle: TcpHandle, n: usize) -> Result<bool, TcpError> {
        let mut buf = vec![0; n];
        match stack.tcp(handle).expect("open").read(&mut buf) {
            Ok(0) => self.eof |= n > 0,
            Ok(n) if self.eof => self.failure = Some(format!("{n} octets behind the end")),
            Ok(n) => {
                if let Err(at) = self.received.check(&buf[..n]) {
                    self.failure = Some(format!("wrong octet at {at}"));
                }
            }
            Err(TcpError::WouldBlock) => return Ok(false),
            Err(e) => return Err(e),
        }
        Ok(true)
    }

    fn turn(&mut self, now: Instant, stack: &mut Stack<'static>, handle: TcpHandle) -> Result<bool, TcpError> {
        let socket = |stack| Stack::tcp(stack, handle).expect("open");
        // The next thing comes later.
        self.busy_until = now + Duration::from_millis(1);
        match self.ops.pop_front() {
            Some(Op::Write(n)) => self.write(stack, handle, n)?,
            Some(Op::Read(n)) => _ = self.read(stack, handle, n)?,
            Some(Op::Wait(ms)) => self.busy_until = now + Duration::from_millis(ms),
            Some(Op::Shutdown) => socket(stack).shutdown_write()?,
            Some(Op::Close) => {
                socket(stack).close();
                self.over = true;
            }
            Some(Op::Abort) => {
                socket(stack).abort();
                self.over = true;
            }
            None if self.eof => {
                socket(stack).close();
                self.over = true;
            }
            None if !self.shut => {
                socket(stack).shutdown_write()?;
                (self.shut, self.busy_until) = (true, now);
            }
            None => {
                self.busy_until = now;
                return self.read(stack, handle, 3000);
            }
        }
        Ok(true)
    }
}

impl App for Script {
    fn run(&mut self, now: Instant, stack: &mut Stack<'static>) -> bool {
        let started = self.start(stack);
        let Some(handle) = self.handle.filter(|_| !self.over && self.busy_until <= now) else { return started };
        match self.turn(now, stack, handle) {
            Ok(acted) => started | acted,
            Err(e) => {
                self.error = Some(e);
                stack.tcp(handle).expect("open").close();
                self.over = true;
                true
            }
        }
    }

    fn is_done(&self) -> bool {
        self.over
    }

    fn failure(&self) -> Option<String> {
        self.failure.clone()
    }

    fn next(&self) -> Option<Instant> {
        // With its script at an end, it waits for what comes.
        let waits = self.shut && self.ops.is_empty() && !self.eof;
        Some(self.busy_until).filter(|_| self.handle.is_some() && !self.over && !waits)
    }

    fn flows(&self) -> [Option<Flow>; 2] {
        let flow = |pattern: Pattern, sends| Some(Flow { stream: pattern.stream, sends, octets: pattern.at });
        [flow(self.accepted, true), flow(self.received, false)]
    }

    fn has_error(&self) -> bool {
        self.error.is_some()
    }

    fn handle(&self) -> Option<TcpHandle> {
        self.handle.filter(|_| !self.over)
    }
}

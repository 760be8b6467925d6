//! One end of a bulk transfer.

use super::{App, Flow, Pattern};
use ringtap::error::{AcceptError, TcpError};
use ringtap::stack::Stack;
use ringtap::tcp::{ConnectOptions, ListenOptions, ListenerHandle, TcpHandle, TcpOptions};
use ringtap::time::{Duration, Instant};
use std::net::SocketAddr;

/// Sends `to_send` octets and expects `to_receive`, then closes.
pub struct Bulk {
    role: Role,
    options: TcpOptions,
    conn: Option<TcpHandle>,
    to_send: u64,
    to_receive: u64,
    sent: Pattern,
    received: Pattern,
    shut: bool,
    eof: bool,
    closed: bool,
    started: bool,
    failure: Option<String>,
    /// It reads nothing before this.
    rests_until: Instant,
    /// When the last octet came.
    pub finished_at: Option<Instant>,
    /// How the connection ended, if it failed.
    pub error: Option<TcpError>,
    /// Whether an error of the connection is a failure of the run.
    pub errors_allowed: bool,
    /// Octets read per turn at most.
    pub read_limit: usize,
    /// How long it rests after a turn of reading.
    pub read_pause: Duration,
    /// When it connects or listens.
    pub begins: Instant,
    /// It does not end its stream.
    pub stays_open: bool,
}

enum Role {
    Client(SocketAddr),
    Server(u16, Option<ListenerHandle>),
}

impl Bulk {
    /// The end that connects.
    pub fn client(remote: SocketAddr, to_send: u64, to_receive: u64, options: TcpOptions) -> Self {
        Self::new(Role::Client(remote), to_send, to_receive, options)
    }

    /// The end that listens.
    pub fn server(port: u16, to_send: u64, to_receive: u64, options: TcpOptions) -> Self {
        Self::new(Role::Server(port, None), to_send, to_receive, options)
    }

    fn new(role: Role, to_send: u64, to_receive: u64, options: TcpOptions) -> Self {
        Self {
            role,
            options,
            conn: None,
            to_send,
            to_receive,
            sent: Pattern::default(),
            received: Pattern::default(),
            shut: false,
            eof: false,
            closed: false,
            started: false,
            failure: None,
            rests_until: Instant::ZERO,
            finished_at: None,
            error: None,
            errors_allowed: false,
            read_limit: usize::MAX,
            read_pause: Duration::ZERO,
            begins: Instant::ZERO,
            stays_open: false,
        }
    }

    /// Names the two streams of its connection, from client to server and back, so that others are not taken for them.
    #[must_use]
    pub fn with_streams(mut self, there: u64, back: u64) -> Self {
        let (sent, received) = match self.role {
            Role::Client(_) => (there, back),
            Role::Server(..) => (back, there),
        };
        (self.sent, self.received) = (Pattern::new(sent), Pattern::new(received));
        self
    }

    /// Octets received so far, all as they were sent.
    pub fn received(&self) -> u64 {
        self.received.at
    }

    /// Octets accepted for sending so far.
    pub fn sent(&self) -> u64 {
        self.sent.at
    }

    fn start(&mut self, stack: &mut Stack<'static>) -> bool {
        match &mut self.role {
            Role::Client(remote) if !self.started => {
                let options = ConnectOptions { tcp: self.options, ..ConnectOptions::default() };
                match stack.tcp_connect(*remote, &options) {
                    Ok(handle) => self.conn = Some(handle),
                    Err(e) => self.failure = Some(format!("connect: {e}")),
                }
            }
            Role::Server(port, listener @ None) => {
                let options = ListenOptions { tcp: self.options, ..ListenOptions::default() };
                match stack.tcp_listen(None, *port, &options) {
                    Ok(handle) => *listener = Some(handle),
                    Err(e) => self.failure = Some(format!("listen: {e}")),
                }
            }
            Role::Server(_, Some(listener)) if self.conn.is_none() && !self.closed => {
                match stack.tcp_accept(*listener) {
                    Ok((handle, _)) => self.conn = Some(handle),
                    Err(AcceptError::WouldBlock) => return false,
                    Err(e) => self.failure = Some(format!("accept: {e}")),
                }
            }
            _ => return false,
        }
        self.started = true;
        true
    }

    fn write(&mut self, stack: &mut Stack<'static>, handle: TcpHandle) -> Result<bool, TcpError> {
        let mut acted = false;
        let mut buf = [0; 4096];
        let mut socket = stack.tcp(handle).map_err(|_| TcpError::Stale)?;
        while self.sent.at < self.to_send {
            let n = (self.to_send - self.sent.at).min(buf.len() as u64) as usize;
            self.sent.fill(&mut buf[..n]);
            match socket.write(&buf[..n]) {
                Ok(n) => self.sent.at += n as u64,
                Err(TcpError::WouldBlock) => break,
                Err(e) => return Err(e),
            }
            acted = true;
        }
        if self.sent.at == self.to_send && !self.shut && !self.stays_open && socket.writable() {
            socket.shutdown_write()?;
            self.shut = true;
            acted = true;
        }
        Ok(acted)
    }

    fn read(&mut self, now: Instant, stack: &mut Stack<'static>, handle: TcpHandle) -> Result<bool, TcpError> {
        if now < self.rests_until {
            return Ok(false);
        }
        let mut acted = false;
        let mut buf = [0; 4096];
        let mut left = self.read_limit;
        let mut socket = stack.tcp(handle).map_err(|_| TcpError::Stale)?;
        while !self.eof && left > 0 {
            let room = buf.len().min(left);
            match socket.read(&mut buf[..room]) {
                Ok(0) => {
                    self.eof = true;
                    self.finished_at = Some(now);
                    if self.received.at != self.to_receive {
                        self.failure = Some(format!("end after {} of {} octets", self.received.at, self.to_receive));
                    }
                }
                Ok(n) => {
                    left -= n;
                    if let Err(at) = self.received.check(&buf[..n]) {
                        self.failure = Some(format!("wrong octet at {at}"));
                    }
                }
                Err(TcpError::WouldBlock) => break,
                Err(e) => return Err(e),
            }
            acted = true;
        }
        if acted {
            self.rests_until = now + self.read_pause;
        }
        Ok(acted)
    }

    fn transfer(&mut self, now: Instant, stack: &mut Stack<'static>) -> bool {
        let Some(handle) = self.conn else { return false };
        let result = self.read(now, stack, handle).and_then(|r| Ok(self.write(stack, handle)? | r));
        match result {
            Ok(acted) if self.shut && self.eof => {
                if let Ok(socket) = stack.tcp(handle) {
                    socket.close();
                }
                self.finish(stack);
                acted
            }
            Ok(acted) => acted,
            Err(e) => {
                self.error = Some(e);
                if !self.errors_allowed {
                    self.failure = Some(format!(
                        "{e} after {} sent, {} of {} received",
                        self.sent.at, self.received.at, self.to_receive
                    ));
                }
                if let Ok(socket) = stack.tcp(handle) {
                    socket.close();
                }
                self.finish(stack);
                true
            }
        }
    }

    fn finish(&mut self, stack: &mut Stack<'static>) {
        self.conn = None;
        self.closed = true;
        if let Role::Server(_, Some(listener)) = self.role {
            let _ = stack.tcp_unlisten(listener);
        }
    }
}

impl App for Bulk {
    fn run(&mut self, now: Instant, stack: &mut Stack<'static>) -> bool {
        if self.closed || self.failure.is_some() || now < self.begins {
            return false;
        }
        let started = self.start(stack);
        self.transfer(now, stack) | started
    }

    fn is_done(&self) -> bool {
        self.closed
    }

    fn failure(&self) -> Option<String> {
        self.failure.clone()
    }

    fn next(&self) -> Option<Instant> {
        let reads = self.conn.is_some() && !self.eof && self.read_pause > Duration::ZERO;
        let begins = Some(self.begins).filter(|_| !self.started);
        begins.or(Some(self.rests_until).filter(|_| reads))
    }

    fn flows(&self) -> [Option<Flow>; 2] {
        let flow = |pattern: Pattern, sends| Some(Flow { stream: pattern.stream, sends, octets: pattern.at });
        [flow(self.sent, true), flow(self.received, false)]
    }

    fn has_error(&self) -> bool {
        self.error.is_some()
    }

    fn handle(&self) -> Option<TcpHandle> {
        self.conn
    }
}

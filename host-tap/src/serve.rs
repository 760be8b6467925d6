//! The services of `ringtap serve`: echo (RFC 862), discard (863), daytime (867) and chargen (864) on TCP and UDP, HTTP.
//!
//! They run in the event loop beside the stack, on its thread: each connection is a small state machine that goes as far
//! as its socket lets it, at most `QUANTUM` octets at a time, so that no connection keeps the others waiting.

pub mod control;
mod datagram;
mod http;
mod stream;
mod text;

use crate::engine::App;
use crate::failure::Failure;
use ringtap::event::Readiness;
use ringtap::sockets::{UdpHandle, UdpOptions};
use ringtap::stack::{Limits, SocketId, Stack};
use ringtap::tcp::{ConnectOptions, ListenOptions, ListenerHandle, TcpHandle};
use ringtap::time::Instant;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use stream::{Stream, Turn};

/// Octets that a connection may move before others get their turn.
const QUANTUM: usize = 256 << 10;

/// Connections that wait to be accepted, per service.
const BACKLOG: usize = 128;

/// Datagrams that wait, each way, per UDP service.
const UDP_QUEUE: usize = 256;

/// A service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Sends back what comes.
    Echo,
    /// Reads and forgets.
    Discard,
    /// Sends the time, then closes.
    Daytime,
    /// Sends a pattern without end.
    Chargen,
    /// A status page.
    Http,
}

impl Service {
    /// Every service.
    pub const ALL: [Self; 5] = [Self::Echo, Self::Discard, Self::Daytime, Self::Chargen, Self::Http];

    /// Its port, for TCP and, but for HTTP, UDP.
    pub const fn port(self) -> u16 {
        match self {
            Self::Echo => 7,
            Self::Discard => 9,
            Self::Daytime => 13,
            Self::Chargen => 19,
            Self::Http => 80,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Discard => "discard",
            Self::Daytime => "daytime",
            Self::Chargen => "chargen",
            Self::Http => "http",
        }
    }
}

/// The tables' bounds of a stack that serves.
pub fn limits() -> Limits {
    Limits::default()
}

/// All services at work.
pub struct Services {
    listeners: HashMap<ListenerHandle, Service>,
    streams: HashMap<TcpHandle, Stream>,
    sockets: HashMap<UdpHandle, datagram::Socket>,
    /// Connections that used up their quantum.
    waiting: VecDeque<TcpHandle>,
    scratch: Vec<u8>,
    /// Connections served so far.
    served: u64,
}

impl Services {
    /// Opens all services at every address of the stack.
    ///
    /// # Errors
    /// When a port is taken.
    pub fn start(stack: &mut Stack<'static>) -> Result<Self, Failure> {
        let mut services = Self {
            listeners: HashMap::new(),
            streams: HashMap::new(),
            sockets: HashMap::new(),
            waiting: VecDeque::new(),
            scratch: vec![0; 64 << 10],
            served: 0,
        };
        for service in Service::ALL {
            services.open(stack, service)?;
        }
        Ok(services)
    }

    fn open(&mut self, stack: &mut Stack<'static>, service: Service) -> Result<(), Failure> {
        let (name, port) = (service.name(), service.port());
        let failure = |e: ringtap::error::BindError| Failure::new(format!("cannot serve {name} on port {port}: {e}"));
        let options = ListenOptions { backlog: BACKLOG, tcp: stream::tcp_options() };
        let listener = stack.tcp_listen(None, port, &options).map_err(failure)?;
        self.listeners.insert(listener, service);
        if service == Service::Http {
            return Ok(());
        }
        let mut options = UdpOptions::default();
        (options.rx_queue, options.tx_queue) = (UDP_QUEUE, UDP_QUEUE);
        let socket = stack.udp_bind(None, port, &options).map_err(failure)?;
        self.sockets.insert(socket, datagram::Socket::new(service));
        Ok(())
    }

    /// Opens a connection, on which the stack echoes.
    ///
    /// # Errors
    /// Those of the stack's connect.
    pub fn connect(&mut self, stack: &mut Stack<'static>, to: SocketAddr) -> Result<(), ringtap::error::ConnectError> {
        let options = ConnectOptions { tcp: stream::tcp_options(), ..ConnectOptions::default() };
        let handle = stack.tcp_connect(to, &options)?;
        self.streams.insert(handle, Stream::new(Service::Echo));
        Ok(())
    }

    /// Connections served so far.
    pub fn served(&self) -> u64 {
        self.served
    }

    fn accept(&mut self, stack: &mut Stack<'static>, listener: ListenerHandle) {
        let Some(&service) = self.listeners.get(&listener) else { return };
        while let Ok((handle, _)) = stack.tcp_accept(listener) {
            self.served += 1;
            self.streams.insert(handle, Stream::new(service));
            self.turn_stream(stack, handle);
        }
    }

    fn turn_stream(&mut self, stack: &mut Stack<'static>, handle: TcpHandle) {
        let Some(stream) = self.streams.get_mut(&handle) else { return };
        // Composed before the socket borrows the stack.
        stream.prepare(stack);
        let Ok(mut socket) = stack.tcp(handle) else {
            self.streams.remove(&handle);
            return;
        };
        match stream.turn(&mut socket, &mut self.scratch, QUANTUM) {
            Turn::Wait => {}
            Turn::Again => {
                if !std::mem::replace(&mut stream.queued, true) {
                    self.waiting.push_back(handle);
                }
            }
            Turn::Close => {
                socket.close();
                self.streams.remove(&handle);
            }
        }
    }
}

impl App for Services {
    fn on_event(&mut self, stack: &mut Stack<'static>, socket: SocketId, _what: Readiness) {
        match socket {
            SocketId::Listener(handle) => self.accept(stack, handle),
            SocketId::Tcp(handle) => self.turn_stream(stack, handle),
            SocketId::Udp(handle) => {
                if let Some(socket) = self.sockets.get_mut(&handle) {
                    socket.turn(stack, handle, &mut self.scratch);
                }
            }
            _ => {}
        }
    }

    fn turn(&mut self, stack: &mut Stack<'static>, _now: Instant) -> bool {
        for _ in 0..self.waiting.len() {
            let Some(handle) = self.waiting.pop_front() else { break };
            if let Some(stream) = self.streams.get_mut(&handle) {
                stream.queued = false;
                self.turn_stream(stack, handle);
            }
        }
        !self.waiting.is_empty()
    }
}

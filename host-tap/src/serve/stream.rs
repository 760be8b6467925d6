//! One TCP connection of a service.

use super::http::Http;
use super::{Service, text};
use ringtap::error::TcpError;
use ringtap::stack::{Stack, TcpSocket};
use ringtap::tcp::TcpOptions;

/// Buffers for bulk over a link with a large queue.
const BUFFER: usize = 1 << 20;

/// What a connection wants after its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Its next event.
    Wait,
    /// Another turn: its quantum is used up.
    Again,
    /// To be closed: it is done, or its peer is gone.
    Close,
}

/// How the connections of the services are set up.
pub fn tcp_options() -> TcpOptions {
    TcpOptions { rx_buffer: BUFFER, tx_buffer: BUFFER, ..TcpOptions::default() }
}

/// A connection.
pub struct Stream {
    kind: Kind,
    /// Whether it stands in the queue of those that want another turn.
    pub queued: bool,
}

enum Kind {
    /// What was read but found no room to be written.
    Echo(Vec<u8>),
    Discard,
    /// What is left of the line to send.
    Daytime(Vec<u8>),
    /// The position in the pattern.
    Chargen(u64),
    Http(Box<Http>),
}

impl Stream {
    /// A new connection of `service`.
    pub fn new(service: Service) -> Self {
        let kind = match service {
            Service::Echo => Kind::Echo(Vec::new()),
            Service::Discard => Kind::Discard,
            Service::Daytime => Kind::Daytime(text::daytime().into_bytes()),
            Service::Chargen => Kind::Chargen(0),
            Service::Http => Kind::Http(Box::default()),
        };
        Self { kind, queued: false }
    }

    /// The service it belongs to.
    pub fn service(&self) -> Service {
        match self.kind {
            Kind::Echo(_) => Service::Echo,
            Kind::Discard => Service::Discard,
            Kind::Daytime(_) => Service::Daytime,
            Kind::Chargen(_) => Service::Chargen,
            Kind::Http(_) => Service::Http,
        }
    }

    /// Does what needs the whole stack, before a turn.
    pub fn prepare(&mut self, stack: &mut Stack<'static>) {
        if let Kind::Http(http) = &mut self.kind {
            http.prepare(stack);
        }
    }

    /// Goes as far as the socket lets it, at most about `quantum` octets.
    pub fn turn(&mut self, socket: &mut TcpSocket<'_, 'static>, scratch: &mut [u8], quantum: usize) -> Turn {
        let went = match &mut self.kind {
            Kind::Echo(pending) => echo(socket, pending, scratch, quantum),
            Kind::Discard => discard(socket, quantum),
            Kind::Daytime(line) => write_all(socket, line).map(|done| if done { Turn::Close } else { Turn::Wait }),
            Kind::Chargen(at) => chargen(socket, at, quantum),
            Kind::Http(http) => http.turn(socket, quantum),
        };
        match went {
            Ok(turn) => turn,
            Err(TcpError::WouldBlock) => Turn::Wait,
            // The peer has reset the connection, or is gone: nobody is left to tell.
            Err(_) => Turn::Close,
        }
    }
}

/// Writes from the front of `data`; `true` once all is written.
pub fn write_all(socket: &mut TcpSocket<'_, 'static>, data: &mut Vec<u8>) -> Result<bool, TcpError> {
    while !data.is_empty() {
        match socket.write(data) {
            Ok(n) => drop(data.drain(..n)),
            Err(TcpError::WouldBlock) => return Ok(false),
            Err(e) => return Err(e),
        }
    }
    Ok(true)
}

fn echo(
    socket: &mut TcpSocket<'_, 'static>,
    pending: &mut Vec<u8>,
    scratch: &mut [u8],
    quantum: usize,
) -> Result<Turn, TcpError> {
    let mut moved = 0;
    while moved < quantum {
        if !write_all(socket, pending)? {
            return Ok(Turn::Wait);
        }
        let n = socket.read(scratch)?;
        if n == 0 {
            return Ok(Turn::Close);
        }
        moved += n;
        let text = scratch.get(..n).unwrap_or_default();
        let written = match socket.write(text) {
            Err(TcpError::WouldBlock) => 0,
            other => other?,
        };
        pending.extend_from_slice(text.get(written..).unwrap_or_default());
    }
    Ok(Turn::Again)
}

/// Reads and forgets; the end of what the peer sends is the end of the connection.
pub fn discard(socket: &mut TcpSocket<'_, 'static>, quantum: usize) -> Result<Turn, TcpError> {
    let mut moved = 0;
    while moved < quantum {
        let n = socket.read_with(|text| (text.len(), text.len()))?;
        if n == 0 {
            return Ok(Turn::Close);
        }
        moved += n;
    }
    Ok(Turn::Again)
}

fn chargen(socket: &mut TcpSocket<'_, 'static>, at: &mut u64, quantum: usize) -> Result<Turn, TcpError> {
    // What the peer says is forgotten. Its end may be half a close: it is over when it no longer takes what we send.
    match discard(socket, quantum) {
        Ok(_) | Err(TcpError::WouldBlock) => {}
        Err(e) => return Err(e),
    }
    let mut moved = 0;
    while moved < quantum {
        moved += socket.write_with(|room| {
            text::chargen(*at, room);
            *at += room.len() as u64;
            (room.len(), room.len())
        })?;
    }
    Ok(Turn::Again)
}

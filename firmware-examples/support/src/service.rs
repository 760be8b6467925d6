//! The small services of TCP: echo (RFC 862), discard (RFC 863), chargen (RFC 864); a few connections at once.

use crate::must;
use ringtap::error::{AcceptError, TcpError};
use ringtap::stack::{Stack, TcpSocket};
use ringtap::tcp::{ListenOptions, ListenerHandle, TcpHandle, TcpOptions};

/// Octets that are echoed at a time.
const PIECE: usize = 512;

/// Characters per line of chargen, without CR LF (RFC 864 §2), and how many printable characters there are.
const WIDTH: u32 = 72;
const PRINTABLE: u32 = 95;

/// A service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// What comes goes back.
    Echo,
    /// What comes is forgotten.
    Discard,
    /// A pattern without end, from this place of it on.
    Chargen(u32),
}

/// What a connection's turn came to.
enum Turn {
    /// Something moved.
    Went,
    /// There was nothing to do.
    Waits,
    /// It is over.
    Over,
}

impl Service {
    fn turn(&mut self, socket: &mut TcpSocket<'_, 'static>) -> Turn {
        let went = match self {
            Self::Echo => echo(socket),
            Self::Discard => socket.read_with(|text| (text.len(), text.len())),
            Self::Chargen(at) => generate(socket, at),
        };
        match went {
            Ok(0) => Turn::Over,
            Ok(_) => Turn::Went,
            Err(TcpError::WouldBlock) => Turn::Waits,
            // The peer has reset the connection, or is gone: nobody is left to tell.
            Err(_) => Turn::Over,
        }
    }
}

fn echo(socket: &mut TcpSocket<'_, 'static>) -> Result<usize, TcpError> {
    let mut text = [0; PIECE];
    let len = socket.peek(&mut text)?;
    if len == 0 {
        return Ok(0);
    }
    // Only what there is room to send is taken: the peer's window stops it from sending more.
    let written = socket.write(&text[..len])?;
    socket.read(&mut text[..written])
}

fn generate(socket: &mut TcpSocket<'_, 'static>, at: &mut u32) -> Result<usize, TcpError> {
    // What the peer says is forgotten; its end ends the connection.
    match socket.read_with(|text| (text.len(), text.len())) {
        Ok(0) => return Ok(0),
        Ok(_) | Err(TcpError::WouldBlock) => {}
        Err(error) => return Err(error),
    }
    socket.write_with(|room| {
        pattern(at, room);
        (room.len(), room.len())
    })
}

/// Fills `room` with the pattern of chargen from place `at` on, and moves the place on.
pub fn pattern(at: &mut u32, room: &mut [u8]) {
    for octet in room {
        let (line, column) = (*at / (WIDTH + 2), *at % (WIDTH + 2));
        *octet = match column {
            WIDTH => b'\r',
            c if c > WIDTH => b'\n',
            c => b' ' + ((line + c) % PRINTABLE) as u8,
        };
        // The pattern repeats after as many lines as there are characters.
        *at = (*at + 1) % ((WIDTH + 2) * PRINTABLE);
    }
}

/// Listeners, and up to `N` connections.
pub struct Server<const N: usize> {
    listeners: [Option<(ListenerHandle, Service)>; 3],
    connections: [Option<(TcpHandle, Service)>; N],
}

impl<const N: usize> Server<N> {
    /// Nobody listens yet.
    pub const fn new() -> Self {
        Self { listeners: [None; 3], connections: [None; N] }
    }

    /// Serves on a port, of three at most; buffers of `buffer` octets each way.
    pub fn listen(&mut self, stack: &mut Stack<'static>, port: u16, service: Service, buffer: usize) {
        let tcp = TcpOptions { rx_buffer: buffer, tx_buffer: buffer, ..TcpOptions::default() };
        let listener = must(stack.tcp_listen(None, port, &ListenOptions { backlog: 4, tcp }));
        let place = self.listeners.iter_mut().find(|l| l.is_none()).expect("three listeners at most");
        *place = Some((listener, service));
    }

    /// Accepts who waits and gives each connection a turn; whether anything moved.
    pub fn turn(&mut self, stack: &mut Stack<'static>) -> bool {
        let mut moved = self.accept(stack);
        for place in &mut self.connections {
            let Some((handle, service)) = place else { continue };
            let Ok(mut socket) = stack.tcp(*handle) else {
                *place = None;
                continue;
            };
            match service.turn(&mut socket) {
                Turn::Went => moved = true,
                Turn::Waits => {}
                Turn::Over => {
                    socket.close();
                    *place = None;
                    moved = true;
                }
            }
        }
        moved
    }

    fn accept(&mut self, stack: &mut Stack<'static>) -> bool {
        let mut moved = false;
        for (listener, service) in self.listeners.iter().flatten() {
            for place in self.connections.iter_mut().filter(|place| place.is_none()) {
                match stack.tcp_accept(*listener) {
                    Ok((handle, _)) => *place = Some((handle, *service)),
                    Err(AcceptError::WouldBlock | AcceptError::Stale) => break,
                    Err(_) => break,
                }
                moved = true;
            }
        }
        moved
    }

    /// Stops listening and resets all connections.
    pub fn end(self, stack: &mut Stack<'static>) {
        for (listener, _) in self.listeners.into_iter().flatten() {
            let _ = stack.tcp_unlisten(listener);
        }
        for (handle, _) in self.connections.into_iter().flatten() {
            if let Ok(socket) = stack.tcp(handle) {
                socket.abort();
            }
        }
    }
}

impl<const N: usize> Default for Server<N> {
    fn default() -> Self {
        Self::new()
    }
}

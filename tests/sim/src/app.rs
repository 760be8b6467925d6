//! Programs that run on simulated hosts.

mod bulk;
mod script;

pub use bulk::Bulk;
pub use script::{Op, Script};

use ringtap::stack::Stack;
use ringtap::tcp::TcpHandle;
use ringtap::time::Instant;
use std::any::Any;

/// Something that uses a stack's sockets.
pub trait App: Any {
    /// Does what can be done now; true when something was.
    fn run(&mut self, now: Instant, stack: &mut Stack<'static>) -> bool;

    /// Whether it has finished its work.
    fn is_done(&self) -> bool;

    /// What went wrong, if something has.
    fn failure(&self) -> Option<String> {
        None
    }

    /// When it wants to run even if nothing has happened.
    fn next(&self) -> Option<Instant> {
        None
    }

    /// How far it is in its streams.
    fn flows(&self) -> [Option<Flow>; 2] {
        [None; 2]
    }

    /// Whether its connection ended by an error.
    fn has_error(&self) -> bool {
        false
    }

    /// Its connection, while there is one.
    fn handle(&self) -> Option<TcpHandle> {
        None
    }
}

/// How far one end of a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Which stream.
    pub stream: u64,
    /// Whether this is the end that sends.
    pub sends: bool,
    /// Octets that the stack has accepted, or given.
    pub octets: u64,
}

/// A stream of octets that stream number and position determine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pattern {
    /// Which stream.
    pub stream: u64,
    /// The next position.
    pub at: u64,
}

impl Pattern {
    /// The stream of this number, from its beginning.
    pub const fn new(stream: u64) -> Self {
        Self { stream, at: 0 }
    }

    /// The octet at a position.
    pub const fn octet(self, at: u64) -> u8 {
        let x = (at ^ self.stream << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (x >> 56) as u8 ^ at as u8
    }

    /// Fills `buf` from the current position, without moving.
    pub fn fill(&self, buf: &mut [u8]) {
        for (i, b) in buf.iter_mut().enumerate() {
            *b = self.octet(self.at + i as u64);
        }
    }

    /// Compares `data` with the stream, and moves on.
    ///
    /// # Errors
    /// The position of the first difference.
    pub fn check(&mut self, data: &[u8]) -> Result<(), u64> {
        for &b in data {
            if b != self.octet(self.at) {
                return Err(self.at);
            }
            self.at += 1;
        }
        Ok(())
    }
}

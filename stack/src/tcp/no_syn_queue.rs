//! Listening without a queue of handshakes: a SYN takes a connection, and the last ACK makes it one to be accepted.
//!
//! Implements RFC 9293 §3.10.7.2, as far as a listener remembers anything: how many of its connections nobody has
//! accepted yet. The handshake is that of a simultaneous open, which begins as a passive one goes on: with a SYN for
//! someone who has not sent his own (figure 8).

use core::marker::PhantomData;

/// A listening socket.
pub(crate) struct Listener<'a> {
    backlog: u16,
    /// Connections of its own that are not accepted yet, those in SYN-RECEIVED included.
    pending: u16,
    /// With the feature `syn-queue` it has storage.
    storage: PhantomData<&'a ()>,
}

impl Listener<'_> {
    /// Listens for as many connections at a time.
    pub fn new(backlog: usize) -> Self {
        Self { backlog: u16::try_from(backlog).unwrap_or(u16::MAX), pending: 0, storage: PhantomData }
    }

    /// Whether a further SYN is passed over: its sender tries again.
    pub const fn is_backlogged(&self) -> bool {
        self.pending >= self.backlog
    }

    /// A SYN has become a connection.
    pub fn join(&mut self) {
        self.pending += 1;
    }

    /// One of its connections is accepted, or gone.
    pub fn leave(&mut self) {
        self.pending = self.pending.saturating_sub(1);
    }
}

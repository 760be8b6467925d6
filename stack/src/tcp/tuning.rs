//! Buffers as large as the connection is fast, and no longer held than it is in use.
//!
//! The receive buffer follows the reader (dynamic right-sizing): it is to hold twice what was read in a round trip, so that
//! the window never is what limits a sender in slow start. The send buffer follows the congestion window. Both grow up to
//! what the user allows, where their storage can. Memory of empty buffers is given back once nothing came or went for five
//! seconds. And a peer that takes next to nothing can be given up (RFC 9293 §3.8.6.1 leaves that to the user, as RFC 6429
//! §3 explains).
//!
//! All text beyond holes, in memory that grows, has one bound for the whole stack (`Config::out_of_order`; `rx/beyond.rs`).
//!
//! None of this costs a segment more than a comparison: measurements are made once per round trip, when an
//! acknowledgment begins to wait.

use super::conn::{Conn, coarse};
use super::options::TcpOptions;
use super::rcv::{room_for, window_of};
use super::sent::micros;
use super::state::State;
use super::timers::Timer;
use crate::ring::Ring;
use crate::seq::Seq;
use crate::time::{Duration, Instant};

/// How often a connection that holds memory is looked at, and how long it must have been idle to lose it.
const TURN: Duration = Duration::from_secs(5);
/// A peer that is silent for so long repairs no hole: it has given up, or waits for a time-out.
const SILENCE: Duration = Duration::from_secs(1);
/// The round trip before the first measurement, in microseconds.
const UNKNOWN_RTT: u32 = 100_000;
/// Segments that the receive buffer holds beyond what is read in two round trips.
const SPARE: u32 = 16;

/// What sizes are taken from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning {
    /// Octets that the buffers may grow to.
    rx_most: u32,
    tx_most: u32,
    /// What was read is counted from here, since then: low bits of the microseconds.
    read_from: Seq,
    read_since: u32,
    /// Octets read in the round trip before; `u32::MAX`: there was none.
    read: u32,
    /// The first octet that was not acknowledged when progress was measured last, and when that was (`coarse`).
    stuck_at: Seq,
    stuck_since: u32,
}

impl Tuning {
    pub fn new(options: &TcpOptions, rx: &Ring<'_>, tx: &Ring<'_>) -> Self {
        Self {
            rx_most: rx.most(room_for(options.rx_buffer_max)) as u32,
            tx_most: tx.most(options.tx_buffer_max) as u32,
            read_from: Seq::default(),
            read_since: 0,
            read: u32::MAX,
            stuck_at: Seq::default(),
            stuck_since: 0,
        }
    }

    /// The octets that the receive buffer may have one day, `capacity` being what it has.
    pub fn most_capacity(&self, capacity: usize) -> usize {
        capacity.max(self.rx_most as usize)
    }
}

impl Conn<'_> {
    /// An acknowledgment begins to wait, or leaves: is the receive buffer large enough?
    #[inline]
    pub(super) fn tune_rx(&mut self, now: Instant) {
        if self.tuning.rx_most > self.rx.capacity() as u32 {
            self.measure_reader(micros(now));
        }
    }

    fn measure_reader(&mut self, now: u32) {
        let rtt = self.rtt.srtt().map_or(UNKNOWN_RTT, |srtt| srtt.as_micros() as u32);
        let elapsed = now.wrapping_sub(self.tuning.read_since);
        // After a pause no round trip is measured, but one begins.
        let begins = self.tuning.read == u32::MAX || elapsed > rtt.saturating_mul(4);
        if elapsed < rtt && !begins {
            return;
        }
        let read_to = self.rcv.nxt - self.rx.len() as u32;
        let read = if begins { 0 } else { read_to.distance_from(self.tuning.read_from) };
        let rising = if begins { 0 } else { read.saturating_sub(self.tuning.read) };
        (self.tuning.read_from, self.tuning.read_since, self.tuning.read) = (read_to, now, read);
        // A sender in slow start doubles once more before this is told and used.
        let wanted = u64::from(read) * 2 + u64::from(rising) * 2 + u64::from(SPARE) * u64::from(self.rcv.full);
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        if wanted > window_of(self.rx.capacity()) {
            self.rx.raise(room_for(wanted).min(self.tuning.rx_most as usize));
        }
    }

    /// The writer has filled the send buffer: would the network take more?
    pub(super) fn tune_tx(&mut self) {
        if self.tuning.tx_most > self.tx.capacity() as u32 {
            let wanted = self.cc.cwnd().min(self.snd.max_wnd).saturating_mul(2);
            self.tx.raise(wanted.min(self.tuning.tx_most) as usize);
        }
    }

    /// A look at the connection is due in some time: it holds memory, or something of ours waits for the peer.
    #[inline]
    pub(super) fn arm_upkeep(&mut self, now: Instant) {
        if self.timers.life.is_off() && self.needs_upkeep() {
            self.tuning.stuck_at = self.snd.una;
            self.tuning.stuck_since = coarse(now);
            self.timers.life = Timer::after(now, TURN);
        }
    }

    fn needs_upkeep(&self) -> bool {
        let is_open = self.state.is_synchronized() && self.state != State::TimeWait && !self.orphan;
        let may_stick = self.settings.progress_octets > 0 && !self.tx.is_empty();
        is_open && (may_stick || self.rx.is_on_loan() || self.tx.is_on_loan())
    }

    /// The timer of a connection's life was for its upkeep.
    pub(super) fn upkeep(&mut self, now: Instant) -> bool {
        if self.orphan || !self.state.is_synchronized() || self.state == State::TimeWait {
            return false;
        }
        if self.is_stuck(now) {
            return false;
        }
        if now.since(self.last_heard) >= TURN && now.since(self.last_sent) >= TURN {
            self.trim();
        }
        if self.needs_upkeep() {
            self.timers.life = Timer::after(now, TURN);
        }
        true
    }

    /// Whether text is held out of order in memory that could be given back.
    pub(super) fn holds_on_loan(&self) -> bool {
        self.rx.is_on_loan()
    }

    /// Octets of memory that text beyond a hole takes: up to the end of the farthest, and to note where it is.
    pub fn held_beyond(&self) -> usize {
        if self.rx.is_on_loan() && !self.holes.is_empty() { self.rx.ahead() + self.holes.held() } else { 0 }
    }

    //= https://www.rfc-editor.org/rfc/rfc2018#section-8
    //# the data receiver is permitted to discard data in its queue that has not been acknowledged to the data sender,
    //# even if the data has already been reported in a SACK option. Such discarding of SACKed packets is discouraged,
    //# but may be used if the receiver runs out of buffer space.
    /// Throws the text away that lies beyond a hole, and gives its memory back. The peer sends it again.
    #[cold]
    pub fn forget_beyond(&mut self) {
        self.holes.advance(u32::MAX);
        self.holes.trim();
        self.rx.forget_ahead();
        self.rx.fit();
    }

    /// Whether the peer has been silent for a second.
    pub fn is_silent(&self, now: Instant) -> bool {
        now.since(self.last_heard) >= SILENCE
    }

    /// Whether the peer has taken less than the user demands.
    fn is_stuck(&mut self, now: Instant) -> bool {
        let taken = self.snd.una.distance_from(self.tuning.stuck_at);
        if self.tx.is_empty() || taken >= self.settings.progress_octets {
            self.tuning.stuck_at = self.snd.una;
            self.tuning.stuck_since = coarse(now);
        }
        let waited = coarse(now).wrapping_sub(self.tuning.stuck_since);
        self.settings.progress_octets > 0 && waited >= u32::from(self.settings.progress_period)
    }
}

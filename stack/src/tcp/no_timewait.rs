//! TIME-WAIT is a state of a connection, as RFC 9293 §3.3.2 has it: there is no table for it.
//!
//! Implements RFC 9293 §3.6.1 and the TIME-WAIT parts of §3.10.7.4, RFC 6191 §2 (a new connection may follow early). Of
//! resets (RFC 1337) and of what is out of place, the steps of `input.rs` take care in this state, too.

use super::conn::{Conn, Verdict};
use super::state::State;
use super::timers::{Timer, Timers};
use crate::event::Readiness;
use crate::seq::Seq;
use crate::time::{Duration, Instant};
use crate::wire::segment::{Flags, Segment};

impl Conn<'_> {
    /// Rests for `span`, 2 MSL, once it is in TIME-WAIT.
    #[must_use]
    pub fn resting_for(mut self, span: Duration) -> Self {
        self.settings.set_time_wait(span);
        self
    }

    pub(super) fn enter_time_wait(&mut self, now: Instant) {
        self.timers = Timers { life: Timer::after(now, self.time_wait_span()), ..Timers::OFF };
        self.events |= Readiness::CLOSED | Readiness::READ | Readiness::WRITE;
    }

    pub(super) fn time_wait_span(&self) -> Duration {
        self.settings.time_wait()
    }

    //= https://www.rfc-editor.org/rfc/rfc9293#section-3.10.7.4
    //# The only thing that can arrive in this state is a retransmission of the remote FIN. Acknowledge it, and restart
    //# the 2 MSL timeout.
    /// A segment came that lies before the window.
    pub(super) fn rest_longer(&mut self, now: Instant, seg: &Segment<'_>) {
        if self.state == State::TimeWait && seg.flags.contains(Flags::FIN) {
            self.enter_time_wait(now);
        }
    }

    /// RFC 6191 §2: whether this is a SYN that cannot be an old one, and may begin a new connection of these ends.
    pub fn may_be_succeeded(&self, seg: &Segment<'_>) -> bool {
        let others = Flags::ACK.with(Flags::FIN).with(Flags::RST);
        if self.state != State::TimeWait || !seg.flags.contains(Flags::SYN) || seg.flags.intersects(others) {
            return false;
        }
        let later = seg.seq.at_or_after(self.rcv.nxt);
        match seg.options.timestamps {
            Some(stamps) if self.stamps.is_on() => {
                Seq::new(stamps.val).after(Seq::new(self.stamps.recent)) || stamps.val == self.stamps.recent && later
            }
            Some(_) => true,
            None => later,
        }
    }

    //= https://www.rfc-editor.org/rfc/rfc9293#section-3.6.1
    //# (1) assigns its initial sequence number for the new connection to be larger than the largest
    //# sequence number it used on the previous connection incarnation
    /// The first sequence number that a successor may have.
    pub fn next_unused(&self) -> Seq {
        self.snd.nxt + 1
    }

    /// Another connection takes the place of this one, which rests.
    pub fn make_way(&mut self) -> Verdict {
        self.close_with(None);
        self.take_verdict()
    }
}

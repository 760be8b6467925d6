//! The timers of one connection.
//!
//! Four are enough, because their uses exclude each other: text in flight (RFC 6298 §5) and a closed window
//! (RFC 9293 §3.8.6.1) share one, as do the ends of a connection's life (linger, FIN-WAIT-2, a reset that cannot leave).

use super::conn::{Conn, Fate, RESET_PATIENCE, Verdict};
use super::info::{Repair, SoftError};
use super::snd::Phase;
use super::state::State;
use crate::error::TcpError;
use crate::event::Readiness;
use crate::time::{Duration, Instant};

/// How long the last acknowledgment of a connection may wait to leave: as long as TIME-WAIT itself.
#[cfg(feature = "time-wait")]
const TIME_WAIT_PATIENCE: Duration = Duration::from_secs(60);
/// R1 of RFC 9293 §3.8.3: retransmissions after which the user is told; at least 3.
const R1: u8 = 3;

/// A point in time, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timer(u64);

impl Timer {
    pub const OFF: Self = Self(u64::MAX);

    pub fn at(at: Instant) -> Self {
        Self(at.as_micros())
    }

    #[cfg_attr(target_os = "none", inline(never))]
    pub fn after(now: Instant, span: Duration) -> Self {
        Self::at(now + span)
    }

    pub fn is_off(self) -> bool {
        self == Self::OFF
    }

    #[cfg_attr(target_os = "none", inline(never))]
    pub fn is_due(self, now: Instant) -> bool {
        self.0 <= now.as_micros() && !self.is_off()
    }

    #[cfg_attr(target_os = "none", inline(never))]
    pub fn earlier(self, other: Self) -> Self {
        Self(self.0.min(other.0))
    }

    pub fn instant(self) -> Option<Instant> {
        (!self.is_off()).then(|| Instant::from_micros(self.0))
    }
}

/// All of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timers {
    /// Retransmission while something is in flight; else the probe of a closed window, or the override of SWS avoidance.
    pub retransmit: Timer,
    /// A delayed acknowledgment.
    pub ack: Timer,
    /// The next look at how long the peer has been silent.
    pub keep: Timer,
    /// The end of a connection that nobody waits for any more; before, the next look at what it holds (`tuning.rs`).
    pub life: Timer,
}

impl Timers {
    pub const OFF: Self = Self { retransmit: Timer::OFF, ack: Timer::OFF, keep: Timer::OFF, life: Timer::OFF };

    /// The first of them.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn next(&self) -> Option<Instant> {
        let first = self.retransmit.earlier(self.ack).earlier(self.life);
        if cfg!(feature = "keep-alive") { first.earlier(self.keep).instant() } else { first.instant() }
    }
}

impl Conn<'_> {
    /// Timers that are due.
    pub fn on_deadline(&mut self, now: Instant) -> Verdict {
        if self.timers.ack.is_due(now) {
            self.timers.ack = Timer::OFF;
            self.rcv.on_ack_timer();
        }
        if self.timers.retransmit.is_due(now) {
            self.timers.retransmit = Timer::OFF;
            self.on_retransmit_timer(now);
        }
        if cfg!(feature = "keep-alive") && self.timers.keep.is_due(now) {
            self.timers.keep = Timer::OFF;
            self.on_keep_timer(now);
        }
        if self.timers.life.is_due(now) {
            self.timers.life = Timer::OFF;
            self.on_end_of_life(now);
        }
        self.finish(now)
    }

    /// When [`on_deadline`](Self::on_deadline) is to be called; `None`: not by itself.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// The link is up again. What was in flight is lost, and the time-out has grown for a reason that is gone: what would
    /// be sent then is sent now. RFC 9293 and RFC 6298 leave this open; a connection that gives up after 120 s would
    /// else be silent for up to a minute of them.
    #[cfg(feature = "carrier")]
    pub fn on_link_up(&mut self, now: Instant) -> Verdict {
        if !self.timers.retransmit.is_off() {
            self.timers.retransmit = Timer::OFF;
            self.on_retransmit_timer(now);
            self.rtt.calm_down();
        }
        self.finish(now)
    }

    /// The connection was not answered in time.
    fn give_up(&mut self, now: Instant) {
        if self.state == State::SynSent {
            self.close_with(Some(TcpError::TimedOut));
        } else {
            self.abort_with(Some(TcpError::TimedOut));
            self.timers.life = Timer::after(now, RESET_PATIENCE);
        }
    }

    #[cold]
    pub(super) fn start_linger(&mut self, now: Instant) {
        self.timers.life = match self.state {
            State::Closed => Timer::OFF,
            State::FinWait2 => Timer::after(now, self.settings.fin_wait2()),
            State::TimeWait => Timer::after(now, self.time_wait_span()),
            _ => Timer::after(now, self.settings.linger()),
        };
    }

    /// The state was entered by a segment: clocks that belong to it.
    pub(super) fn on_entered(&mut self, now: Instant) {
        match self.state {
            State::TimeWait => self.enter_time_wait(now),
            State::FinWait2 if self.orphan => self.start_linger(now),
            _ => {}
        }
    }

    #[cfg(feature = "time-wait")]
    fn enter_time_wait(&mut self, now: Instant) {
        self.timers.life = Timer::after(now, TIME_WAIT_PATIENCE);
    }

    #[cfg(feature = "time-wait")]
    const fn time_wait_span(&self) -> Duration {
        TIME_WAIT_PATIENCE
    }

    /// RFC 9293 §3.8.3: how long nothing may be acknowledged.
    fn patience(&self) -> Duration {
        match self.state {
            State::SynSent | State::SynReceived => self.settings.connect_timeout(),
            _ => self.settings.user_timeout(),
        }
    }

    fn on_retransmit_timer(&mut self, now: Instant) {
        if now.since(self.progress_at) >= self.patience() {
            self.give_up(now);
        } else if self.snd.is_idle() {
            self.on_persist_timer(now);
        } else if !self.on_loss_timer(now) {
            self.on_rto();
        }
    }

    /// Nothing is in flight, yet something waits: for the window (RFC 9293 §3.8.6.1), for SWS avoidance's override
    /// (§3.8.6.2.1), or for a way out of this host.
    fn on_persist_timer(&mut self, now: Instant) {
        if self.state.is_synchronized() && self.new_text(u32::from(self.snd.mss)).is_none() {
            self.snd.probe = true;
        }
        self.rtt.back_off();
        self.restart_retransmit(now);
    }

    /// RFC 6298 §5.4 to §5.7, RFC 6582 §3.2 step 4.
    fn on_rto(&mut self) {
        self.retries = self.retries.saturating_add(1);
        if self.retries == R1 {
            self.soft = Some(SoftError::NoProgress);
            self.events |= Readiness::ERROR;
        }
        if !self.snd.syn_is_acked() {
            self.rtt.lost_syn = true;
        } else if self.snd.wnd > 0 {
            // A window that this very recovery has reduced is not reduced a second time.
            let is_reduced = self.sack.is_on() && self.snd.phase == Phase::Fast;
            let first = !self.rtt.is_backed_off() && !is_reduced && !self.is_reduced_by_echo();
            self.ecn.on_loss();
            self.save_for_undo_of_rto(first);
            self.cc.on_rto(self.snd.outstanding(), u32::from(self.snd.mss), first);
        }
        self.snd.phase = Phase::Loss;
        self.sack.note(Repair::Timeout);
        self.snd.recover = self.snd.nxt;
        self.snd.dup_acks = 0;
        self.take_all_for_lost();
        self.rtt.back_off();
    }

    /// RFC 9293 §3.8.4.
    fn on_keep_timer(&mut self, now: Instant) {
        let idle = self.settings.keep_idle();
        if now.since(self.last_heard) < idle {
            self.timers.keep = Timer::after(self.last_heard, idle);
        } else if !self.snd.is_idle() {
            // What is in flight asks the same question.
            self.timers.keep = Timer::after(now, idle);
        } else if self.keep_probes >= self.settings.keep_count {
            self.give_up(now);
        } else {
            self.keep_probes += 1;
            self.keep_due = true;
            self.timers.keep = Timer::after(now, self.settings.keep_interval());
        }
    }

    /// The peer lives: it may be silent again for the idle time before the next probe, whatever the time between probes.
    #[cold]
    pub(super) fn on_probe_answered(&mut self, now: Instant) {
        self.keep_probes = 0;
        self.timers.keep = Timer::after(now, self.settings.keep_idle());
    }

    fn on_end_of_life(&mut self, now: Instant) {
        if self.upkeep(now) {
            return;
        }
        match self.state {
            State::Closed => {
                self.reset_owed = false;
                self.fate = Fate::Closed;
            }
            State::FinWait2 | State::TimeWait => self.close_with(None),
            State::SynSent => self.close_with(Some(TcpError::TimedOut)),
            _ => self.give_up(now),
        }
    }

    /// Starts the timers that must run and do not, and stops the one that has nothing left to wait for.
    pub(super) fn arm(&mut self, now: Instant) {
        if self.state == State::Closed {
            return;
        }
        if self.rcv.unacked > 0 && self.timers.ack.is_off() && !self.rcv.owes_ack(self.rx.capacity() as u32) {
            self.tune_rx(now);
            let micros = self.settings.delayed_ack;
            if self.rcv.is_quick(now.as_micros() as u32, self.rtt.rto_of_path()) || micros == 0 {
                self.rcv.ack_now = true;
            } else {
                self.timers.ack = Timer::after(now, Duration::from_micros(u64::from(micros)));
            }
        }
        self.arm_upkeep(now);
        let waits_for_peer = !self.snd.is_idle();
        if !waits_for_peer && !self.has_unsent() {
            self.timers.retransmit = Timer::OFF;
        } else if !self.timers.retransmit.is_off() {
            // Only what stopped it starts it again.
        } else if waits_for_peer {
            self.restart_retransmit(now);
        } else {
            self.progress_at = if self.state == State::SynSent { self.progress_at } else { now };
            self.start_persist(now);
        }
    }

    /// Something of ours was never sent.
    fn has_unsent(&self) -> bool {
        match self.state {
            State::SynSent | State::SynReceived => !self.snd.syn_is_acked(),
            state => state.may_send() && (self.tx.len() > self.snd.outstanding() as usize || self.owes_fin()),
        }
    }

    #[cfg_attr(target_os = "none", inline(never))]
    pub(super) fn owes_fin(&self) -> bool {
        self.fin_queued && !self.fin_sent && !self.reset_at_end
    }

    fn start_persist(&mut self, now: Instant) {
        //= https://www.rfc-editor.org/rfc/rfc9293#section-3.8.6.2.1
        //# the override timeout should be in the range 0.1 - 1.0 seconds
        const OVERRIDE: Duration = Duration::from_millis(200);
        if self.snd.window_room() > 0 && self.state.is_synchronized() && !self.rtt.is_backed_off() {
            self.timers.retransmit = Timer::after(now, OVERRIDE);
        } else {
            self.restart_retransmit(now);
        }
    }

    pub(super) fn restart_retransmit(&mut self, now: Instant) {
        let give_up = Timer::after(self.progress_at, self.patience());
        self.timers.retransmit = Timer::after(now, self.rtt.rto(&self.settings)).earlier(give_up);
        self.schedule_probe(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_deadline_is_the_earliest_timer_and_none_when_all_are_off() {
        let now = Instant::from_secs(5);
        let mut timers = Timers::OFF;
        assert_eq!(timers.next(), None);
        timers.keep = Timer::after(now, Duration::from_secs(9));
        timers.ack = Timer::after(now, Duration::from_millis(40));
        assert_eq!(timers.next(), Some(Instant::from_micros(5_040_000)));
        assert!(!timers.ack.is_due(now));
        assert!(timers.ack.is_due(Instant::from_secs(6)));
        assert!(!Timer::OFF.is_due(Instant::from_micros(u64::MAX)));
    }

    #[test]
    fn a_timer_that_saturates_is_off() {
        assert!(Timer::after(Instant::from_secs(1), Duration::MAX).is_off());
    }
}

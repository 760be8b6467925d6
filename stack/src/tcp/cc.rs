//! Congestion control: how much may be in flight.
//!
//! What all algorithms share is here: RFC 5681 §3.1 (slow start, loss window, ssthresh), RFC 6928 (initial window),
//! RFC 3465 (byte counting, L = 2), RFC 6582 (fast recovery without SACK), RFC 4015 (undo), RFC 7661 (a window that is not
//! used; `cc/usage.rs`, with the feature `cubic`). Congestion avoidance is that of NewReno (RFC 5681), or of CUBIC
//! (`cc/cubic.rs`), whose first slow start ends by HyStart++ (`cc/hystart.rs`). With SACK, the window within a recovery is
//! set by PRR (`sack.rs`). The connection says what happened; the answer is `cwnd`.

#[cfg(feature = "cubic")]
mod cubic;
#[cfg(feature = "cubic")]
mod hystart;
#[cfg(feature = "cubic")]
mod usage;

use super::options::Congestion;
use crate::seq::Seq;
use crate::time::Instant;

/// No congestion window grows beyond this: the largest scaled window.
const LARGEST: u32 = 1 << 30;

/// The controller of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Controller {
    cwnd: u32,
    ssthresh: u32,
    /// Octets acknowledged since congestion avoidance last made the window grow.
    acked: u32,
    /// How much of the window is in use (RFC 7661).
    #[cfg(feature = "cubic")]
    usage: usage::Usage,
    avoidance: Avoidance,
}

/// How the window grows once slow start is over, and what that remembers.
#[derive(Clone, Copy, Debug)]
enum Avoidance {
    NewReno,
    /// CUBIC, in its first slow start.
    #[cfg(feature = "cubic")]
    Starting(hystart::HyStart),
    #[cfg(feature = "cubic")]
    Cubic(cubic::Cubic),
}

/// An acknowledgment of new octets outside of recovery.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acked {
    pub now: Instant,
    pub octets: u32,
    /// Octets that had been in flight.
    pub flight: u32,
    pub mss: u32,
    /// RFC 3465 §2.3: after a time-out, the growth is limited to one segment per acknowledgment.
    pub after_rto: bool,
    /// The round trip in microseconds, if it was measured.
    pub rtt: Option<u32>,
    pub una: Seq,
    pub nxt: Seq,
}

/// The window before a recovery, to return to when the loss was none (RFC 4015 §3).
#[cfg(feature = "rack")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prior {
    cwnd: u32,
    ssthresh: u32,
    w_max: u32,
}

#[cfg(feature = "rack")]
impl Prior {
    pub const NONE: Self = Self { cwnd: 0, ssthresh: 0, w_max: 0 };
}

/// RFC 6928 §2: min (10*MSS, max (2*MSS, 14600)).
#[cfg_attr(target_os = "none", inline(never))]
pub(crate) const fn initial_window(mss: u32) -> u32 {
    let floor = if 2 * mss > 14_600 { 2 * mss } else { 14_600 };
    if 10 * mss < floor { 10 * mss } else { floor }
}

impl Controller {
    pub fn new(kind: Congestion, mss: u32) -> Self {
        let avoidance = match kind {
            Congestion::NewReno => Avoidance::NewReno,
            #[cfg(feature = "cubic")]
            Congestion::Cubic => Avoidance::Starting(hystart::HyStart::new()),
        };
        Self {
            cwnd: initial_window(mss),
            ssthresh: LARGEST,
            acked: 0,
            #[cfg(feature = "cubic")]
            usage: usage::Usage::new(),
            avoidance,
        }
    }

    /// Octets that may be in flight.
    #[inline]
    pub const fn cwnd(&self) -> u32 {
        self.cwnd
    }

    /// Where slow start ends.
    pub const fn ssthresh(&self) -> u32 {
        self.ssthresh
    }

    /// The handshake ended with this MSS, and text begins at `una`; `lost_syn`: RFC 5681 §3.1 then allows one segment.
    pub fn on_established(&mut self, mss: u32, lost_syn: bool, una: Seq) {
        self.begin_usage(una);
        self.cwnd = if lost_syn { mss } else { initial_window(mss) };
    }

    /// Octets were acknowledged outside of recovery.
    #[inline]
    pub fn on_ack(&mut self, ack: &Acked) {
        #[cfg(feature = "cubic")]
        if !ack.after_rto && self.usage.counts(ack) {
            self.end_round(ack);
        }
        //= https://www.rfc-editor.org/rfc/rfc7661#section-4.4
        //# A TCP sender that enters the non-validated phase preserves the cwnd
        // It does not grow either, while what is delivered says nothing of the path.
        if !self.is_validated() {
            return;
        }
        if self.cwnd < self.ssthresh {
            if ack.flight >= self.cwnd / 2 {
                self.slow_start(ack);
            }
        } else if ack.flight + 3 * ack.mss >= self.cwnd {
            self.avoid_congestion(ack);
        }
    }

    /// A round trip has ended.
    #[cfg(feature = "cubic")]
    #[cold]
    fn end_round(&mut self, ack: &Acked) {
        self.usage.end_round(ack, self.cwnd);
        if self.usage.is_too_long(ack.now) {
            self.on_non_validated(ack.mss);
        }
        if let Avoidance::Starting(hystart) = &mut self.avoidance {
            hystart.begin_round();
        }
    }

    //= https://www.rfc-editor.org/rfc/rfc7661#section-4.4.3
    //# ssthresh = max(ssthresh, 3*cwnd/4). [...] cwnd = max(cwnd/2, IW).
    #[cfg(feature = "cubic")]
    #[cold]
    fn on_non_validated(&mut self, mss: u32) {
        self.ssthresh = self.ssthresh.max(self.cwnd - self.cwnd / 4);
        self.cwnd = (self.cwnd / 2).max(self.cwnd.min(initial_window(mss)));
        self.restart_curve();
    }

    fn slow_start(&mut self, ack: &Acked) {
        let limit = if ack.after_rto { ack.mss } else { 2 * ack.mss };
        let growth = match &mut self.avoidance {
            Avoidance::NewReno => ack.octets.min(limit),
            #[cfg(feature = "cubic")]
            Avoidance::Starting(hystart) => {
                let share = hystart.growth(ack.octets, limit, ack.rtt);
                if hystart.is_over() {
                    self.ssthresh = self.cwnd;
                    self.avoidance = Avoidance::Cubic(cubic::Cubic::new());
                }
                share
            }
            #[cfg(feature = "cubic")]
            Avoidance::Cubic(_) => ack.octets.min(limit),
        };
        self.cwnd = (self.cwnd + growth).min(LARGEST);
    }

    fn avoid_congestion(&mut self, ack: &Acked) {
        self.acked = self.acked.saturating_add(ack.octets);
        match &mut self.avoidance {
            Avoidance::NewReno => {
                if self.acked >= self.cwnd {
                    self.acked -= self.cwnd;
                    self.cwnd = (self.cwnd + ack.mss).min(LARGEST);
                }
            }
            #[cfg(feature = "cubic")]
            Avoidance::Starting(_) => self.avoidance = Avoidance::Cubic(cubic::Cubic::new()),
            #[cfg(feature = "cubic")]
            Avoidance::Cubic(cubic) => {
                // The curve is looked at some times per round trip, not for every segment.
                if self.acked >= self.cwnd / 16 {
                    let acked = core::mem::take(&mut self.acked);
                    self.cwnd = cubic.window(self.cwnd, acked, ack).min(LARGEST);
                }
            }
        }
    }

    /// A loss was noticed other than by a time-out, `flight` octets being outstanding: `ssthresh` is where the window
    /// is to go.
    #[cold]
    pub fn on_loss(&mut self, flight: u32, mss: u32) {
        let unvalidated = self.unvalidated(flight);
        if let Some(base) = unvalidated {
            self.cwnd = self.cwnd.min(base);
        }
        #[cfg(feature = "cubic")]
        if let Avoidance::Starting(_) = self.avoidance {
            self.avoidance = Avoidance::Cubic(cubic::Cubic::new());
        }
        let ssthresh = match &mut self.avoidance {
            #[cfg(feature = "cubic")]
            Avoidance::Cubic(cubic) => cubic.on_loss(self.cwnd, flight),
            //= https://www.rfc-editor.org/rfc/rfc5681#section-3.1
            //# ssthresh = max (FlightSize / 2, 2*SMSS)
            _ => flight / 2,
        };
        self.ssthresh = unvalidated.map_or(ssthresh, |base| base / 2).max(2 * mss);
        self.acked = 0;
    }

    /// As [`on_loss`](Self::on_loss), of a tail that a probe has repaired (RFC 8985 §7.4): the little that was in flight is
    /// no measure of a window that was used before.
    #[cfg(feature = "rack")]
    #[cold]
    pub fn on_tail_loss(&mut self, flight: u32, mss: u32) {
        let was_used = self.is_validated();
        self.on_loss(if was_used { self.cwnd } else { flight }, mss);
        self.leave_recovery(mss);
    }

    /// A router has marked text, `flight` octets being in flight (RFC 3168 §6.1.2): as a loss, or with `abe` by less.
    #[cfg(feature = "ecn")]
    #[cold]
    pub fn on_echo(&mut self, flight: u32, mss: u32, abe: bool) {
        let (cwnd, was_used) = (self.cwnd, self.is_validated());
        self.on_loss(flight, mss);
        if abe && was_used {
            //= https://www.rfc-editor.org/rfc/rfc8511#section-3.1
            //# ssthresh = max(FlightSize * beta_{ecn}, 2 * SMSS)
            // In 1024ths.
            let (used, beta) = match self.avoidance {
                #[cfg(feature = "cubic")]
                Avoidance::Cubic(_) => (cwnd.min(flight.saturating_mul(2)), 870),
                _ => (flight.min(cwnd), 819),
            };
            self.ssthresh = (((u64::from(used) * beta) >> 10) as u32).max(2 * mss);
        }
        self.leave_recovery(mss);
    }

    /// A recovery has ended: the window that it was to lead to.
    #[cfg(any(feature = "sack", feature = "ecn"))]
    pub fn leave_recovery(&mut self, mss: u32) {
        self.end_recovery(mss);
        //= https://www.rfc-editor.org/rfc/rfc9937#section-5
        //# cwnd = ssthresh
        self.set_cwnd(self.ssthresh, mss);
    }

    /// The window as a recovery wants it; never less than one segment.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn set_cwnd(&mut self, cwnd: u32, mss: u32) {
        self.cwnd = cwnd.max(mss).min(LARGEST);
    }

    /// The third duplicate acknowledgment: fast recovery begins (RFC 6582 §3.2, step 2); `is_reduced`: the window was reduced
    /// for this window of text already.
    pub fn on_fast_retransmit(&mut self, flight: u32, mss: u32, is_reduced: bool) {
        if !is_reduced {
            self.on_loss(flight, mss);
        }
        self.cwnd = self.ssthresh + 3 * mss;
    }

    /// A further duplicate acknowledgment within fast recovery; the window inflates by no more than what was in flight,
    /// so that invented ones gain nothing.
    pub fn on_recovery_dup_ack(&mut self, in_recovery: u32, mss: u32) {
        let most = self.ssthresh.saturating_add(in_recovery).max(self.ssthresh + 3 * mss);
        self.cwnd = (self.cwnd + mss).min(most);
    }

    /// A partial acknowledgment within fast recovery (RFC 6582 §3.2, step 3).
    pub fn on_partial_ack(&mut self, acked: u32, mss: u32) {
        self.cwnd = self.cwnd.saturating_sub(acked);
        if acked >= mss {
            self.cwnd += mss;
        }
        self.cwnd = self.cwnd.max(mss);
    }

    /// All that was in flight when recovery began is acknowledged (RFC 6582 §3.2, step 3, option 1: no burst).
    pub fn on_recovered(&mut self, flight: u32, mss: u32) {
        self.end_recovery(mss);
        self.cwnd = self.ssthresh.min(flight.max(mss) + mss);
    }

    /// The retransmission timer expired; `first`: for these octets for the first time.
    #[cold]
    pub fn on_rto(&mut self, flight: u32, mss: u32, first: bool) {
        if first {
            self.on_loss(flight, mss);
        }
        //= https://www.rfc-editor.org/rfc/rfc5681#section-3.1
        //# Furthermore, upon a timeout (as specified in [RFC2988]) cwnd MUST be
        //# set to no more than the loss window, LW, which equals 1 full-sized
        //# segment (regardless of the value of IW).
        self.cwnd = mss;
        self.acked = 0;
        self.forget_usage();
    }

    /// Nothing was sent for more than one RTO (RFC 5681 §4.1).
    pub fn on_idle(&mut self, mss: u32) {
        let restart = initial_window(mss);
        if self.cwnd > restart {
            // RFC 7661 §4.4: what was reached before is remembered, and reached again by slow start.
            self.ssthresh = self.ssthresh.max(self.cwnd - self.cwnd / 4);
            self.cwnd = restart;
        }
        self.forget_usage();
        self.restart_curve();
    }

    /// The path takes only smaller segments now.
    pub fn on_mss(&mut self, mss: u32) {
        self.cwnd = self.cwnd.max(mss);
    }

    /// What to remember before a recovery begins.
    #[cfg(feature = "rack")]
    pub fn prior(&self) -> Prior {
        let w_max = match &self.avoidance {
            #[cfg(feature = "cubic")]
            Avoidance::Cubic(cubic) => cubic.w_max(),
            _ => 0,
        };
        Prior { cwnd: self.cwnd, ssthresh: self.ssthresh, w_max }
    }

    /// Nothing was lost after all; `flight` octets are in flight.
    #[cfg(feature = "rack")]
    pub fn undo(&mut self, prior: &Prior, flight: u32, mss: u32) {
        //= https://www.rfc-editor.org/rfc/rfc4015#section-3.2
        //# cwnd <- FlightSize + min (bytes_acked, IW)
        let at_once = flight.saturating_add(initial_window(mss));
        self.cwnd = self.cwnd.max(prior.cwnd.min(at_once));
        self.forget_usage();
        // The rest of the way is slow start's.
        self.ssthresh = self.ssthresh.max(prior.ssthresh).max(prior.cwnd);
        self.restart_curve();
        #[cfg(feature = "cubic")]
        if let Avoidance::Cubic(cubic) = &mut self.avoidance {
            cubic.set_w_max(prior.w_max);
        }
    }

    /// Congestion avoidance begins anew from the present window.
    fn restart_curve(&mut self) {
        self.acked = 0;
        #[cfg(feature = "cubic")]
        if let Avoidance::Cubic(cubic) = &mut self.avoidance {
            cubic.restart();
        }
    }
}

/// What RFC 7661 adds, where it is built in.
#[cfg(feature = "cubic")]
impl Controller {
    #[inline]
    const fn is_validated(&self) -> bool {
        self.usage.is_validated()
    }

    fn begin_usage(&mut self, una: Seq) {
        self.usage.start(una);
    }

    const fn forget_usage(&mut self) {
        self.usage.forget();
    }

    /// A loss, `flight` octets being in flight: what a window that was not validated is to be half of.
    fn unvalidated(&mut self, flight: u32) -> Option<u32> {
        self.usage.on_loss(flight)
    }

    /// So many octets went again.
    pub fn on_resent(&mut self, octets: u32) {
        self.usage.on_resent(octets);
    }

    //= https://www.rfc-editor.org/rfc/rfc7661#section-4.4.1
    //# The calculated cwnd value MUST NOT be reduced below 1 TCP Maximum Segment Size (MSS).
    fn end_recovery(&mut self, mss: u32) {
        if let Some(safe) = self.usage.on_recovered() {
            self.ssthresh = self.ssthresh.min(safe.max(mss));
        }
    }
}

/// Without it a window that is hardly in use does not grow, and that is all.
#[cfg(not(feature = "cubic"))]
impl Controller {
    #[inline]
    const fn is_validated(&self) -> bool {
        true
    }

    const fn begin_usage(&self, _una: Seq) {}

    const fn forget_usage(&self) {}

    const fn unvalidated(&self, _flight: u32) -> Option<u32> {
        None
    }

    pub const fn on_resent(&self, _octets: u32) {}

    const fn end_recovery(&self, _mss: u32) {}
}

#[cfg(test)]
mod tests;

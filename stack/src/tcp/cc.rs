//! Congestion control: how much may be in flight.
//!
//! What all algorithms share is here: RFC 5681 §3.1 (slow start, loss window, ssthresh), RFC 6928 (initial window),
//! RFC 3465 (byte counting, L = 2), RFC 6582 (fast recovery without SACK), RFC 4015 (undo). Congestion avoidance is that
//! of NewReno (RFC 5681), or of CUBIC (`cc/cubic.rs`), whose slow start ends by HyStart++ (`cc/hystart.rs`). With SACK,
//! the window within a recovery is set by PRR (`sack.rs`). The connection says what happened; the answer is `cwnd`.

#[cfg(feature = "cubic")]
mod cubic;
#[cfg(feature = "cubic")]
mod hystart;

use super::options::Congestion;
use crate::seq::Seq;
use crate::time::Instant;

/// No congestion window grows beyond this: the largest scaled window.
const LARGEST: u32 = 1 << 30;

/// How long a window may go unused, in units of 2^20 microseconds: five minutes (RFC 7661 §4.4.3).
#[cfg(feature = "cubic")]
const NON_VALIDATED: u32 = 286;

/// The controller of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Controller {
    cwnd: u32,
    ssthresh: u32,
    /// Octets acknowledged since congestion avoidance last made the window grow.
    acked: u32,
    /// When the window was last used by half at least, in units of 2^20 microseconds (RFC 7661 §4.3).
    #[cfg(feature = "cubic")]
    validated_at: u32,
    avoidance: Avoidance,
}

/// How the window grows once slow start is over, and what that remembers.
#[derive(Clone, Copy, Debug)]
enum Avoidance {
    NewReno,
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
            Congestion::Cubic => Avoidance::Cubic(cubic::Cubic::new()),
        };
        Self {
            cwnd: initial_window(mss),
            ssthresh: LARGEST,
            acked: 0,
            #[cfg(feature = "cubic")]
            validated_at: 0,
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

    /// The handshake ended with this MSS; `lost_syn`: RFC 5681 §3.1 then allows one segment.
    pub fn on_established(&mut self, mss: u32, lost_syn: bool) {
        self.cwnd = if lost_syn { mss } else { initial_window(mss) };
    }

    /// Octets were acknowledged outside of recovery.
    #[inline]
    pub fn on_ack(&mut self, ack: &Acked) {
        #[cfg(feature = "cubic")]
        self.validate(ack);
        //= https://www.rfc-editor.org/rfc/rfc7661#section-4.3
        //# A TCP sender that enters the non-validated phase MUST preserve the cwnd [...] and it does not grow while
        //# what is in flight says nothing of the path
        if self.cwnd < self.ssthresh {
            if ack.flight >= self.cwnd / 2 {
                self.slow_start(ack);
            }
        } else if ack.flight + 3 * ack.mss >= self.cwnd {
            self.avoid_congestion(ack);
        }
    }

    /// RFC 7661 §4.3, what is in flight standing for pipeACK: the window is valid while half of it is used.
    #[cfg(feature = "cubic")]
    #[inline]
    fn validate(&mut self, ack: &Acked) {
        let clock = (ack.now.as_micros() >> 20) as u32;
        if ack.flight >= self.cwnd / 2 {
            self.validated_at = clock;
        } else if clock.wrapping_sub(self.validated_at) > NON_VALIDATED {
            self.on_non_validated(ack.mss);
            self.validated_at = clock;
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
            Avoidance::Cubic(cubic) => {
                let share = cubic.hystart.growth(ack.octets, limit, ack);
                if cubic.hystart.is_over() {
                    self.ssthresh = self.cwnd;
                }
                share
            }
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
        self.ssthresh = match &mut self.avoidance {
            //= https://www.rfc-editor.org/rfc/rfc5681#section-3.1
            //# ssthresh = max (FlightSize / 2, 2*SMSS)
            Avoidance::NewReno => flight / 2,
            #[cfg(feature = "cubic")]
            Avoidance::Cubic(cubic) => cubic.on_loss(self.cwnd, flight),
        }
        .max(2 * mss);
        self.acked = 0;
    }

    /// The window as a recovery wants it; never less than one segment.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn set_cwnd(&mut self, cwnd: u32, mss: u32) {
        self.cwnd = cwnd.max(mss).min(LARGEST);
    }

    /// The third duplicate acknowledgment: fast recovery begins (RFC 6582 §3.2, step 2).
    pub fn on_fast_retransmit(&mut self, flight: u32, mss: u32) {
        self.on_loss(flight, mss);
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
    }

    /// Nothing was sent for more than one RTO (RFC 5681 §4.1).
    pub fn on_idle(&mut self, mss: u32) {
        let restart = initial_window(mss);
        if self.cwnd > restart {
            // RFC 7661 §4.4: what was reached before is remembered, and reached again by slow start.
            self.ssthresh = self.ssthresh.max(self.cwnd - self.cwnd / 4);
            self.cwnd = restart;
        }
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
            Avoidance::NewReno => 0,
            #[cfg(feature = "cubic")]
            Avoidance::Cubic(cubic) => cubic.w_max(),
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

#[cfg(test)]
mod tests;

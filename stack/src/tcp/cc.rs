//! Congestion control: how much may be in flight.
//!
//! NewReno: RFC 5681 (slow start, congestion avoidance), RFC 6582 (fast recovery with partial acknowledgments),
//! RFC 6928 (initial window), RFC 3465 (byte counting, L = 2). The connection says what happened; the answer is `cwnd`.

use super::options::Congestion;

/// No congestion window grows beyond this: the largest scaled window.
const LARGEST: u32 = 1 << 30;

/// The controller of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Controller {
    NewReno(NewReno),
}

/// RFC 5681's two variables, and the octets counted towards the next step of congestion avoidance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewReno {
    cwnd: u32,
    ssthresh: u32,
    bytes_acked: u32,
}

/// RFC 6928 §2: min (10*MSS, max (2*MSS, 14600)).
pub(crate) const fn initial_window(mss: u32) -> u32 {
    let floor = if 2 * mss > 14_600 { 2 * mss } else { 14_600 };
    if 10 * mss < floor { 10 * mss } else { floor }
}

impl Controller {
    pub fn new(kind: Congestion, mss: u32) -> Self {
        match kind {
            Congestion::NewReno => {
                Self::NewReno(NewReno { cwnd: initial_window(mss), ssthresh: LARGEST, bytes_acked: 0 })
            }
        }
    }

    /// Octets that may be in flight.
    pub fn cwnd(&self) -> u32 {
        let Self::NewReno(reno) = self;
        reno.cwnd
    }

    /// Where slow start ends.
    pub fn ssthresh(&self) -> u32 {
        let Self::NewReno(reno) = self;
        reno.ssthresh
    }

    /// The handshake ended with this MSS; `lost_syn`: RFC 5681 §3.1 then allows one segment.
    pub fn on_established(&mut self, mss: u32, lost_syn: bool) {
        let Self::NewReno(reno) = self;
        reno.cwnd = if lost_syn { mss } else { initial_window(mss) };
    }

    /// `acked` octets were acknowledged outside of recovery, `flight` having been in flight.
    ///
    /// `after_rto`: RFC 3465 §2.3 then limits the growth to one segment per acknowledgment.
    pub fn on_ack(&mut self, acked: u32, flight: u32, mss: u32, after_rto: bool) {
        let Self::NewReno(reno) = self;
        reno.on_ack(acked, flight, mss, after_rto);
    }

    /// The third duplicate acknowledgment: fast recovery begins (RFC 6582 §3.2, step 2).
    pub fn on_fast_retransmit(&mut self, flight: u32, mss: u32) {
        let Self::NewReno(reno) = self;
        //= https://www.rfc-editor.org/rfc/rfc5681#section-3.1
        //# ssthresh = max (FlightSize / 2, 2*SMSS)
        reno.ssthresh = (flight / 2).max(2 * mss);
        reno.cwnd = reno.ssthresh + 3 * mss;
        reno.bytes_acked = 0;
    }

    /// A further duplicate acknowledgment within fast recovery; the window inflates by no more than what was in flight,
    /// so that invented ones gain nothing.
    pub fn on_recovery_dup_ack(&mut self, in_recovery: u32, mss: u32) {
        let Self::NewReno(reno) = self;
        reno.cwnd = (reno.cwnd + mss).min(reno.ssthresh.saturating_add(in_recovery).max(reno.ssthresh + 3 * mss));
    }

    /// A partial acknowledgment within fast recovery (RFC 6582 §3.2, step 3).
    pub fn on_partial_ack(&mut self, acked: u32, mss: u32) {
        let Self::NewReno(reno) = self;
        reno.cwnd = reno.cwnd.saturating_sub(acked);
        if acked >= mss {
            reno.cwnd += mss;
        }
        reno.cwnd = reno.cwnd.max(mss);
    }

    /// All that was in flight when recovery began is acknowledged (RFC 6582 §3.2, step 3, option 1: no burst).
    pub fn on_recovered(&mut self, flight: u32, mss: u32) {
        let Self::NewReno(reno) = self;
        reno.cwnd = reno.ssthresh.min(flight.max(mss) + mss);
    }

    /// The retransmission timer expired; `first`: for these octets for the first time.
    pub fn on_rto(&mut self, flight: u32, mss: u32, first: bool) {
        let Self::NewReno(reno) = self;
        if first {
            reno.ssthresh = (flight / 2).max(2 * mss);
        }
        //= https://www.rfc-editor.org/rfc/rfc5681#section-3.1
        //# Furthermore, upon a timeout (as specified in [RFC2988]) cwnd MUST be
        //# set to no more than the loss window, LW, which equals 1 full-sized
        //# segment (regardless of the value of IW).
        reno.cwnd = mss;
        reno.bytes_acked = 0;
    }

    /// Nothing was sent for more than one RTO (RFC 5681 §4.1).
    pub fn on_idle(&mut self, mss: u32) {
        let Self::NewReno(reno) = self;
        reno.cwnd = reno.cwnd.min(initial_window(mss));
    }

    /// The path takes only smaller segments now.
    pub fn on_mss(&mut self, mss: u32) {
        let Self::NewReno(reno) = self;
        reno.cwnd = reno.cwnd.max(mss);
    }
}

impl NewReno {
    fn on_ack(&mut self, acked: u32, flight: u32, mss: u32, after_rto: bool) {
        // A window that is not used says nothing of the path: it does not grow (RFC 7661 §1).
        if flight < self.cwnd / 2 {
            return;
        }
        if self.cwnd < self.ssthresh {
            let limit = if after_rto { mss } else { 2 * mss };
            self.cwnd = (self.cwnd + acked.min(limit)).min(LARGEST);
            return;
        }
        self.bytes_acked = self.bytes_acked.saturating_add(acked);
        if self.bytes_acked >= self.cwnd {
            self.bytes_acked -= self.cwnd;
            self.cwnd = (self.cwnd + mss).min(LARGEST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1000;

    #[test]
    fn the_initial_window_is_ten_segments_with_a_floor_for_small_and_large_ones() {
        assert_eq!(initial_window(1460), 14_600);
        assert_eq!(initial_window(536), 5_360);
        assert_eq!(initial_window(8960), 17_920);
    }

    #[test]
    fn slow_start_grows_by_what_was_acknowledged_and_at_most_two_segments() {
        let mut cc = Controller::new(Congestion::NewReno, MSS);
        let start = cc.cwnd();
        cc.on_ack(1, start, MSS, false);
        assert_eq!(cc.cwnd(), start + 1);
        cc.on_ack(10 * MSS, start, MSS, false);
        assert_eq!(cc.cwnd(), start + 1 + 2 * MSS);
        cc.on_ack(10 * MSS, start, MSS, true);
        assert_eq!(cc.cwnd(), start + 1 + 3 * MSS);
    }

    #[test]
    fn a_window_that_is_not_used_does_not_grow() {
        let mut cc = Controller::new(Congestion::NewReno, MSS);
        let start = cc.cwnd();
        cc.on_ack(MSS, MSS, MSS, false);
        assert_eq!(cc.cwnd(), start);
    }

    #[test]
    fn congestion_avoidance_grows_by_one_segment_per_window() {
        let mut cc = Controller::new(Congestion::NewReno, MSS);
        cc.on_rto(8 * MSS, MSS, true);
        while cc.cwnd() < cc.ssthresh() {
            cc.on_ack(MSS, cc.cwnd(), MSS, false);
        }
        assert_eq!((cc.cwnd(), cc.ssthresh()), (4 * MSS, 4 * MSS));
        for _ in 0..3 {
            cc.on_ack(MSS, cc.cwnd(), MSS, false);
        }
        assert_eq!(cc.cwnd(), 4 * MSS);
        cc.on_ack(MSS, cc.cwnd(), MSS, false);
        assert_eq!(cc.cwnd(), 5 * MSS);
    }

    #[test]
    fn a_thousand_invented_duplicates_inflate_by_the_flight_at_most() {
        let mut cc = Controller::new(Congestion::NewReno, MSS);
        cc.on_fast_retransmit(10 * MSS, MSS);
        for _ in 0..1000 {
            cc.on_recovery_dup_ack(10 * MSS, MSS);
        }
        assert_eq!(cc.cwnd(), 15 * MSS);
        cc.on_recovered(2 * MSS, MSS);
        assert_eq!(cc.cwnd(), 3 * MSS);
    }
}

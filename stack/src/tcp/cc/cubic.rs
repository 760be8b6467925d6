//! CUBIC: congestion avoidance along a cubic curve of the time since the last loss.
//!
//! Implements RFC 9438 §4 in integers: windows in octets, times in milliseconds, 64-bit products at most.
//!
//! ```text
//!  W_max ┤            ______.······      W_cubic(t) = C*(t-K)^3 + W_max
//!        │      _.-''      K
//!  cwnd  ┤   .-'   concave │  convex
//!        └──┴──────────────┴──────────▶ t
//!          epoch
//! ```

use super::Acked;
use super::hystart::HyStart;
use crate::time::Instant;

/// beta_cubic = 0.7 in 1024ths (RFC 9438 §4.6).
const BETA: u64 = 717;
/// alpha_cubic = 3 * (1 - beta) / (1 + beta) = 0.529 in 1024ths (RFC 9438 §4.3).
const ALPHA: u64 = 542;
/// Neither K nor the time since it began is taken for longer: 100 s, at which the curve has left every window behind.
const LONGEST_MS: u64 = 100_000;
/// No K: the longest is far below.
const NOT_YET: u32 = u32::MAX;
/// Longer than a path whose window is in use goes without an acknowledgment, in milliseconds.
const SILENCE_MS: u32 = 2_000;

/// The curve.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cubic {
    pub hystart: HyStart,
    /// The window before the last reduction, in octets; 0: no loss yet.
    w_max: u32,
    /// The window that Reno would have (RFC 9438 §4.3), in octets.
    w_est: u32,
    /// cwnd_prior: the window when the last reduction was made.
    prior: u32,
    /// K in milliseconds; `NOT_YET`: no epoch is under way.
    k: u32,
    /// When the epoch began, in milliseconds that wrap.
    epoch: u32,
    /// When the curve was last looked at, in the same clock.
    seen: u32,
}

/// The clock in milliseconds, near enough (1024 µs), that wrap.
fn millis(now: Instant) -> u32 {
    (now.as_micros() >> 10) as u32
}

impl Cubic {
    pub const fn new() -> Self {
        Self { hystart: HyStart::new(), w_max: 0, w_est: 0, prior: 0, k: NOT_YET, epoch: 0, seen: 0 }
    }

    #[cfg(feature = "rack")]
    pub const fn w_max(&self) -> u32 {
        self.w_max
    }

    #[cfg(feature = "rack")]
    pub fn set_w_max(&mut self, w_max: u32) {
        self.w_max = w_max;
    }

    /// The next acknowledgment begins a new epoch.
    pub fn restart(&mut self) {
        self.k = NOT_YET;
    }

    /// The window after a loss.
    pub fn on_loss(&mut self, cwnd: u32, flight: u32) -> u32 {
        self.hystart.stop();
        self.k = NOT_YET;
        self.prior = cwnd;
        //= https://www.rfc-editor.org/rfc/rfc9438#section-4.6
        //# Implementations that use cwnd MUST use other measures to prevent cwnd from growing when the volume of bytes
        //# in flight is smaller than cwnd.
        // It is one of them (see `Controller::on_ack`): only the peer's window keeps it from being used up, by half at
        // most while slow start lasts.
        let used = cwnd.min(flight.saturating_mul(2));
        //= https://www.rfc-editor.org/rfc/rfc9438#section-4.7
        //# if cwnd < W_max and fast convergence is enabled, further reduce W_max
        let converge = u64::from(used) * (1024 + BETA) / 2048;
        self.w_max = if used < self.w_max { converge as u32 } else { used };
        //= https://www.rfc-editor.org/rfc/rfc9438#section-4.6
        //# ssthresh = flight_size * beta_cubic
        (u64::from(used) * BETA / 1024) as u32
    }

    /// The window after `acked` octets more were acknowledged in congestion avoidance.
    pub fn window(&mut self, cwnd: u32, acked: u32, ack: &Acked) -> u32 {
        let clock = millis(ack.now);
        if self.k == NOT_YET {
            self.begin(cwnd, clock, ack.mss);
        }
        self.pass_over_silence(clock);
        let rtt = ack.rtt.map_or(0, |micros| micros >> 10);
        let t = u64::from(clock.wrapping_sub(self.epoch));
        let estimate = self.reno_friendly(cwnd, acked, ack.mss);
        if self.w_cubic(t, ack.mss) < u64::from(estimate) {
            //= https://www.rfc-editor.org/rfc/rfc9438#section-4.3
            //# When receiving a new ACK in congestion avoidance (where cwnd could be greater than or less than W_max),
            //# CUBIC checks whether W_cubic(t) is less than W_est. If so, CUBIC is in the Reno-friendly region and cwnd
            //# SHOULD be set to W_est at each reception of a new ACK.
            return cwnd.max(estimate);
        }
        //= https://www.rfc-editor.org/rfc/rfc9438#section-4.4
        //# cwnd MUST be incremented by (target - cwnd) / cwnd for each received new ACK
        let cwnd64 = u64::from(cwnd);
        let target = self.w_cubic(t + u64::from(rtt), ack.mss).clamp(cwnd64, cwnd64 + cwnd64 / 2);
        let growth = (target - cwnd64) * u64::from(acked.min(cwnd)) / cwnd64.max(1);
        (cwnd64 + growth).min(u64::from(u32::MAX)) as u32
    }

    /// RFC 9438 §5.8: while little was sent, no time passes on the curve.
    fn pass_over_silence(&mut self, clock: u32) {
        let gap = clock.wrapping_sub(self.seen);
        if gap > SILENCE_MS {
            self.epoch = self.epoch.wrapping_add(gap);
        }
        self.seen = clock;
    }

    fn begin(&mut self, cwnd: u32, clock: u32, mss: u32) {
        self.epoch = clock;
        self.seen = clock;
        self.w_est = cwnd;
        //= https://www.rfc-editor.org/rfc/rfc9438#section-4.8
        //# CUBIC sets cwnd_epoch to cwnd [...] K to 0, and W_max to the congestion window size at the beginning
        if self.w_max <= cwnd {
            self.w_max = cwnd;
            self.k = 0;
            return;
        }
        // K^3 = (W_max - cwnd_epoch) / C with C = 0.4 segments/s^3, here in ms^3.
        let missing = u64::from(self.w_max - cwnd);
        let cube = missing * 2_500_000_000 / u64::from(mss.max(1));
        self.k = cube_root(cube).min(LONGEST_MS) as u32;
    }

    /// W_cubic(t), in octets.
    fn w_cubic(&self, t: u64, mss: u32) -> u64 {
        let k = u64::from(self.k);
        let distance = t.abs_diff(k).min(LONGEST_MS);
        // C * d^3 segments, d in ms: 0.4 * d^3 / 10^9. 10^15 / 1000 * 2^16 * 4 stays within 64 bits.
        let delta = distance * distance * distance / 1_000 * u64::from(mss) * 4 / 10_000_000;
        let w_max = u64::from(self.w_max);
        if t < k { w_max.saturating_sub(delta) } else { w_max + delta }
    }

    //= https://www.rfc-editor.org/rfc/rfc9438#section-4.3
    //# W_est = W_est + alpha_cubic * segments_acked / cwnd
    fn reno_friendly(&mut self, cwnd: u32, acked: u32, mss: u32) -> u32 {
        // Once W_est has come up to cwnd_prior, alpha is 1.
        let alpha = if self.w_est >= self.prior { 1024 } else { ALPHA };
        let growth = u64::from(acked) * u64::from(mss) * alpha / 1024 / u64::from(cwnd.max(1));
        self.w_est = self.w_est.saturating_add(growth as u32);
        self.w_est
    }
}

/// The largest number whose cube is not above `n`.
fn cube_root(n: u64) -> u64 {
    let mut root = 0u64;
    // 2^21 cubed is 2^63.
    for bit in (0..21).rev() {
        let next = root | 1 << bit;
        if next * next * next <= n {
            root = next;
        }
    }
    root
}

#[cfg(test)]
mod tests {
    use super::super::tests::acked;
    use super::*;
    use crate::time::Duration;
    use proptest::prelude::*;

    const MSS: u32 = 1460;

    /// After a loss at `w_max`, the window each 10 ms, round trip 100 ms, for `ms`.
    fn grow(w_max: u32, ms: u32, mut f: impl FnMut(u32, u32)) {
        let mut cubic = Cubic::new();
        let mut cwnd = cubic.on_loss(w_max, w_max);
        let mut now = Instant::from_secs(9);
        for t in (0..ms).step_by(10) {
            let ack = Acked { now, rtt: Some(100_000), ..acked(cwnd / 10, cwnd) };
            cwnd = cubic.window(cwnd, cwnd / 10, &ack);
            f(t, cwnd);
            now += Duration::from_micros(10 * 1024);
        }
    }

    #[test]
    fn a_loss_takes_three_tenths_and_the_curve_is_back_after_k() {
        let w_max = 1000 * MSS;
        // K = cbrt(300 / 0.4) = 9.09 s.
        let (mut early, mut plateau, mut late) = (0, 0, 0);
        grow(w_max, 14_000, |t, cwnd| match t {
            0 => assert!(cwnd.abs_diff(w_max / 10 * 7) < w_max / 100, "{cwnd}"),
            3_000 => early = cwnd,
            9_000 => plateau = cwnd,
            13_990 => late = cwnd,
            _ => {}
        });
        // W_cubic(3 s) = 1000 - 0.4 * 6.09^3 = 910 segments, W_cubic(14 s) = 1000 + 0.4 * 4.91^3 = 1047.
        assert!(early.abs_diff(910 * MSS) < 15 * MSS, "{}", early / MSS);
        assert!(plateau.abs_diff(w_max) < 5 * MSS, "{}", plateau / MSS);
        assert!(late.abs_diff(1047 * MSS) < 15 * MSS, "{}", late / MSS);
    }

    #[test]
    fn a_small_window_grows_as_reno_would() {
        // 20 segments: K is 2.5 s, in 100 ms round trips Reno is there first: 0.53 segments a round trip.
        grow(20 * MSS, 1_100, |t, cwnd| {
            if t == 1_000 {
                assert!(cwnd.abs_diff(14 * MSS + 53 * MSS / 10) <= MSS, "{}", cwnd / MSS);
            }
        });
    }

    #[test]
    fn a_second_loss_below_the_first_gives_way_to_others() {
        let mut cubic = Cubic::new();
        assert_eq!(cubic.on_loss(100_000, 100_000), 70_019);
        assert_eq!(cubic.w_max, 100_000);
        cubic.on_loss(80_000, 80_000);
        assert_eq!(cubic.w_max, 68_007);
    }

    #[test]
    fn a_window_far_beyond_what_was_in_flight_does_not_count() {
        assert_eq!(Cubic::new().on_loss(1 << 30, 10_000), 14_003);
    }

    #[test]
    fn the_largest_window_and_the_longest_time_do_not_overflow() {
        let mut cubic = Cubic::new();
        let cwnd = cubic.on_loss(1 << 30, 1 << 30);
        let ack = Acked { mss: 65_535, ..acked(cwnd, cwnd) };
        let first = cubic.window(cwnd, cwnd, &ack);
        cubic.seen = cubic.epoch.wrapping_add(1 << 31);
        let late = Acked { now: ack.now + Duration::from_secs(1 << 21), ..ack };
        assert!(cubic.window(first, first, &late) >= first);
    }

    #[test]
    fn an_hour_of_silence_is_not_time_on_the_curve() {
        let mut cubic = Cubic::new();
        let cwnd = cubic.on_loss(100 * MSS, 100 * MSS);
        let ack = acked(cwnd / 16, cwnd);
        let before = cubic.window(cwnd, cwnd / 16, &ack);
        let late = Acked { now: ack.now + Duration::from_secs(3_600), ..ack };
        assert!(cubic.window(before, cwnd / 16, &late) < before + MSS);
    }

    proptest! {
        #[test]
        fn the_cube_root_is_the_largest_that_fits(n in 0u64..1 << 62) {
            let root = cube_root(n);
            prop_assert!(root.pow(3) <= n && (root + 1).pow(3) > n);
        }
    }
}

//! CUBIC: congestion avoidance along a cubic curve of the time since the last loss.
//!
//! Implements RFC 9438 §4 in integers: windows in octets, times in milliseconds, 64-bit products at most, and
//! no quotients of them.
//!
//! ```text
//!  W_max ┤            ______.······      W_cubic(t) = C*(t-K)^3 + W_max
//!        │      _.-''      K
//!  cwnd  ┤   .-'   concave │  convex
//!        └──┴──────────────┴──────────▶ t
//!          epoch
//! ```

use super::Acked;
use crate::tcp::ratio::ratio;
use crate::time::Instant;

/// beta_cubic = 0.7 in 1024ths (RFC 9438 §4.6).
const BETA: u64 = 717;
/// alpha_cubic = 3 * (1 - beta) / (1 + beta) = 0.529 in 1024ths (RFC 9438 §4.3).
const ALPHA: u32 = 542;
/// C = 0.4 segments/s^3 (RFC 9438 §4.6) in 2^-40 segments/ms^3.
const C: u32 = 440;
/// Neither K nor the time since it began is taken for longer: 100 s, at which the curve has left every window behind.
const LONGEST_MS: u32 = 100_000;
/// No K: the longest is far below.
const NOT_YET: u32 = u32::MAX;
/// Longer than a path whose window is in use goes without an acknowledgment, in milliseconds.
const SILENCE_MS: u32 = 2_000;

/// The curve.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cubic {
    /// The window before the last reduction, in octets; 0: no loss yet.
    w_max: u32,
    /// The window that Reno would have (RFC 9438 §4.3), in octets.
    w_est: u32,
    /// K in milliseconds; `NOT_YET`: no epoch is under way.
    k: u32,
    /// When the epoch began, in milliseconds that wrap.
    epoch: u32,
    /// When the curve was last looked at, in the same clock.
    seen: u32,
    /// `w_max` was reduced by fast convergence.
    converges: bool,
}

/// The clock in milliseconds, near enough (1024 µs), that wrap.
fn millis(now: Instant) -> u32 {
    (now.as_micros() >> 10) as u32
}

impl Cubic {
    pub const fn new() -> Self {
        Self { w_max: 0, w_est: 0, k: NOT_YET, epoch: 0, seen: 0, converges: false }
    }

    #[cfg(feature = "rack")]
    pub const fn w_max(&self) -> u32 {
        self.w_max
    }

    #[cfg(feature = "rack")]
    pub fn set_w_max(&mut self, w_max: u32) {
        self.w_max = w_max;
        self.converges = false;
    }

    /// The next acknowledgment begins a new epoch.
    pub fn restart(&mut self) {
        self.k = NOT_YET;
    }

    /// The window after a loss.
    pub fn on_loss(&mut self, cwnd: u32, flight: u32) -> u32 {
        self.k = NOT_YET;
        //= https://www.rfc-editor.org/rfc/rfc9438#section-4.6
        //# Implementations that use cwnd MUST use other measures to prevent cwnd from growing when the volume of bytes
        //# in flight is smaller than cwnd.
        // It is one of them (see `Controller::on_ack`): only the peer's window keeps it from being used up, by half at
        // most while slow start lasts.
        let used = cwnd.min(flight.saturating_mul(2));
        //= https://www.rfc-editor.org/rfc/rfc9438#section-4.7
        //# if cwnd < W_max and fast convergence is enabled, further reduce W_max
        let converge = u64::from(used) * (1024 + BETA) / 2048;
        self.converges = used < self.w_max;
        self.w_max = if self.converges { converge as u32 } else { used };
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
        let t = clock.wrapping_sub(self.epoch);
        let estimate = self.reno_friendly(cwnd, acked, ack.mss);
        if self.w_cubic(t, ack.mss) < estimate {
            //= https://www.rfc-editor.org/rfc/rfc9438#section-4.3
            //# When receiving a new ACK in congestion avoidance (where cwnd could be greater than or less than W_max),
            //# CUBIC checks whether W_cubic(t) is less than W_est. If so, CUBIC is in the Reno-friendly region and cwnd
            //# SHOULD be set to W_est at each reception of a new ACK.
            return cwnd.max(estimate);
        }
        //= https://www.rfc-editor.org/rfc/rfc9438#section-4.4
        //# cwnd MUST be incremented by (target - cwnd) / cwnd for each received new ACK
        let rtt = ack.rtt.map_or(0, |micros| micros >> 10);
        let most = cwnd.saturating_add(cwnd / 2);
        let target = self.w_cubic(t.saturating_add(rtt), ack.mss).clamp(cwnd, most);
        cwnd.saturating_add(ratio(target - cwnd, acked.min(cwnd), cwnd.max(1)))
    }

    /// RFC 9438 §5.8: while little was sent, no time passes on the curve.
    fn pass_over_silence(&mut self, clock: u32) {
        let gap = clock.wrapping_sub(self.seen);
        if gap > SILENCE_MS {
            self.epoch = self.epoch.wrapping_add(gap);
        }
        self.seen = clock;
    }

    /// cwnd_prior: the window, as far as it was used, when the last reduction was made.
    fn prior(&self) -> u32 {
        if self.converges { ratio(self.w_max, 2048, 1024 + BETA as u32) } else { self.w_max }
    }

    fn begin(&mut self, cwnd: u32, clock: u32, mss: u32) {
        self.epoch = clock;
        self.seen = clock;
        self.w_est = cwnd;
        //= https://www.rfc-editor.org/rfc/rfc9438#section-4.8
        //# CUBIC sets cwnd_epoch to cwnd [...] K to 0, and W_max to the congestion window size at the beginning
        if self.w_max <= cwnd {
            self.w_max = cwnd;
            self.converges = false;
            self.k = 0;
            return;
        }
        // K is when the curve, which is symmetrical, has made up for what is missing: bit by bit, as one finds a cube root.
        let missing = self.w_max - cwnd;
        let k = (0..17).rev().fold(0, |k, bit| {
            let next = k | 1 << bit;
            if rise(next, mss) <= missing { next } else { k }
        });
        self.k = k.min(LONGEST_MS);
    }

    /// W_cubic(t), in octets.
    fn w_cubic(&self, t: u32, mss: u32) -> u32 {
        let rise = rise(t.abs_diff(self.k), mss);
        if t < self.k { self.w_max.saturating_sub(rise) } else { self.w_max.saturating_add(rise) }
    }

    //= https://www.rfc-editor.org/rfc/rfc9438#section-4.3
    //# W_est = W_est + alpha_cubic * segments_acked / cwnd
    fn reno_friendly(&mut self, cwnd: u32, acked: u32, mss: u32) -> u32 {
        // Once W_est has come up to cwnd_prior, alpha is 1.
        let alpha = if self.w_est >= self.prior() { 1024 } else { ALPHA };
        let growth = ratio(acked.min(cwnd), mss * alpha, cwnd.max(1)) / 1024;
        self.w_est = self.w_est.saturating_add(growth);
        self.w_est
    }
}

/// How far the curve is from W_max, in octets, so many milliseconds before or after K: C * t^3.
#[cfg_attr(target_os = "none", inline(never))]
fn rise(ms: u32, mss: u32) -> u32 {
    let ms = u64::from(ms.min(LONGEST_MS));
    // 10^15 / 2^20 stays within 32 bits, and the product within 64; what is cut off is less than an octet for each 2,383 of
    // the MSS.
    let cube = (ms * ms * ms) >> 20;
    ((cube * u64::from(C * mss)) >> 20).min(u64::from(u32::MAX)) as u32
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
        fn the_curve_needs_k_for_what_is_missing(w_max in 100_000u32..1 << 30, mss in 48u32..9_000) {
            let mut cubic = Cubic::new();
            let cwnd = cubic.on_loss(w_max, w_max);
            cubic.begin(cwnd, 7, mss);
            prop_assert!(rise(cubic.k, mss) <= w_max - cwnd);
            prop_assert!(cubic.k == LONGEST_MS || rise(cubic.k + 1, mss) > w_max - cwnd);
            // RFC 9438 §4.2, in floating point: K = cbrt((W_max - cwnd_epoch) / C).
            let k = (f64::from(w_max - cwnd) / f64::from(mss) / 0.4).cbrt() * 1000.0;
            prop_assert!((f64::from(cubic.k.min(99_990)) - k.min(99_990.0)).abs() <= 2.0 + k / 1000.0, "{} {}", cubic.k, k);
        }
    }
}

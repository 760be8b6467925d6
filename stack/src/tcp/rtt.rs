//! The round-trip time, and the retransmission time-out that follows from it.
//!
//! Implements RFC 6298 §2 and §5.5 to §5.7. Times are microseconds in 32 bits; SRTT is kept times 8 and RTTVAR times 4,
//! so that the RFC's gains are shifts.

use super::options::Settings;
use crate::time::Duration;

/// A longer round trip is measured as this: 100 s.
const LONGEST: u32 = 100_000_000;

/// SRTT, RTTVAR and RTO.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rtt {
    /// SRTT times 8; 0: nothing measured yet.
    srtt8: u32,
    /// RTTVAR times 4.
    rttvar4: u32,
    /// RTO without back-off.
    base: u32,
    /// The shortest round trip, forgotten slowly; `u32::MAX`: nothing measured yet.
    shortest: u32,
    /// The time-out doubled so many times.
    backoff: u8,
    /// The SYN had to be sent again.
    pub lost_syn: bool,
}

impl Rtt {
    pub fn new(initial: u32, settings: &Settings) -> Self {
        let base = initial.clamp(1_000, settings.rto_max);
        Self { srtt8: 0, rttvar4: 0, base, shortest: u32::MAX, backoff: 0, lost_syn: false }
    }

    /// Takes one measurement.
    pub fn on_sample(&mut self, rtt: u32, settings: &Settings) {
        let r = rtt.clamp(1, LONGEST);
        // A path that has become longer is known as such after some thousand measurements.
        self.shortest = if r < self.shortest { r } else { self.shortest + ((r - self.shortest) >> 12) };
        if self.srtt8 == 0 {
            //= https://www.rfc-editor.org/rfc/rfc6298#section-2.2
            //# When the first RTT measurement R is made, the host MUST set
            self.srtt8 = r << 3;
            self.rttvar4 = r << 1;
        } else {
            let srtt = self.srtt8 >> 3;
            let deviation = srtt.abs_diff(r);
            self.rttvar4 = self.rttvar4 - (self.rttvar4 >> 2) + deviation;
            self.srtt8 = self.srtt8 - srtt + r;
        }
        //= https://www.rfc-editor.org/rfc/rfc6298#section-2.3
        //# RTO <- SRTT + max (G, K*RTTVAR)
        self.base = (self.srtt8 >> 3).saturating_add(self.rttvar4.max(settings.rto_min)).min(settings.rto_max);
        self.backoff = 0;
    }

    /// The time-out now in force.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn rto(&self, settings: &Settings) -> Duration {
        let micros = u64::from(self.base) << self.backoff;
        Duration::from_micros(micros.min(u64::from(settings.rto_max)))
    }

    /// The time-out without its back-off, in microseconds.
    pub const fn rto_of_path(&self) -> u32 {
        self.base
    }

    /// RFC 6298 §5.5: the timer expired.
    pub fn back_off(&mut self) {
        self.backoff = (self.backoff + 1).min(16);
    }

    /// New text was acknowledged: the time-out is again what was measured.
    pub fn reset_backoff(&mut self) {
        self.backoff = 0;
    }

    /// The reason of the time-outs is gone: one doubling stays, for the segment that is about to be sent again.
    #[cfg(feature = "carrier")]
    pub fn calm_down(&mut self) {
        self.backoff = self.backoff.min(1);
    }

    pub fn is_backed_off(&self) -> bool {
        self.backoff > 0
    }

    /// RFC 6298 §5.7: after a SYN that timed out, text starts with at least 3 s.
    pub fn after_lost_syn(&mut self, settings: &Settings) {
        if self.srtt8 == 0 {
            self.base = self.base.max(3_000_000).min(settings.rto_max);
        }
        self.backoff = 0;
    }

    /// SRTT; `None` before the first measurement.
    pub fn srtt(&self) -> Option<Duration> {
        (self.srtt8 != 0).then(|| Duration::from_micros(u64::from(self.srtt8 >> 3)))
    }

    /// SRTT in microseconds; 0 before the first measurement.
    #[cfg(feature = "rack")]
    pub const fn srtt_micros(&self) -> u32 {
        self.srtt8 >> 3
    }

    /// The shortest round trip in microseconds.
    #[cfg(feature = "rack")]
    pub const fn shortest(&self) -> u32 {
        self.shortest
    }

    /// RTTVAR.
    pub fn rttvar(&self) -> Duration {
        Duration::from_micros(u64::from(self.rttvar4 >> 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::options::TcpOptions;

    fn settings(min_ms: u64) -> Settings {
        let options = TcpOptions { rto_min: Duration::from_millis(min_ms), ..TcpOptions::default() };
        Settings::new(&options, 1460)
    }

    #[test]
    fn the_first_sample_sets_srtt_and_half_of_it_as_variance() {
        let s = settings(0);
        let mut rtt = Rtt::new(1_000_000, &s);
        assert_eq!(rtt.rto(&s), Duration::from_secs(1));
        rtt.on_sample(100_000, &s);
        assert_eq!(rtt.srtt(), Some(Duration::from_millis(100)));
        assert_eq!(rtt.rttvar(), Duration::from_millis(50));
        assert_eq!(rtt.rto(&s), Duration::from_millis(300));
    }

    #[test]
    fn later_samples_move_srtt_by_an_eighth_and_rttvar_by_a_quarter() {
        let s = settings(0);
        let mut rtt = Rtt::new(1_000_000, &s);
        rtt.on_sample(100_000, &s);
        rtt.on_sample(180_000, &s);
        assert_eq!(rtt.srtt(), Some(Duration::from_millis(110)));
        assert_eq!(rtt.rttvar(), Duration::from_micros(57_500));
    }

    #[test]
    fn the_time_out_doubles_up_to_its_bound_and_a_sample_ends_the_back_off() {
        let s = settings(200);
        let mut rtt = Rtt::new(1_000_000, &s);
        for expected in [2, 4, 8, 16, 32, 60, 60] {
            rtt.back_off();
            assert_eq!(rtt.rto(&s), Duration::from_secs(expected));
        }
        rtt.on_sample(10, &s);
        assert_eq!(rtt.rto(&s), Duration::from_micros(200_010));
        rtt.on_sample(u32::MAX, &s);
        assert_eq!(rtt.rto(&s), Duration::from_secs(60));
    }
}

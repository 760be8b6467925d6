//! SYN cookies: initial sequence numbers that remember the SYN, for when the SYN queue cannot.
//!
//! As RFC 4987 §3.6 describes them. An entry in the last place of its set is given a cookie for its ISS; when it is
//! displaced, the last ACK of its handshake brings back all that is needed.
//!
//! ```text
//!    31                                8 7      4 3     1   0
//!   ┌───────────────────────────────────┬────────┬───────┬────┐    MAC: of the 4-tuple, the peer's ISN and the time
//!   │         MAC (24 bits)             │ scale  │  MSS  │ 0  │    in units of 67 s. The low octet is masked by it.
//!   └───────────────────────────────────┴────────┴───────┴────┘
//! ```

use crate::rng::Key;
use crate::seq::Seq;
use crate::sockets::demux::Tuple;
use crate::time::{Duration, Instant};

/// What MSS options are rounded down to.
const SIZES: [u16; 8] = [64, 536, 1220, 1300, 1400, 1440, 1460, 8960];
/// "No window scale" in the field of the shift.
const NO_SCALE: u8 = 15;
/// Time is counted in units of 2^26 microseconds; a cookie is good in its own and the next.
const PERIOD_BITS: u32 = 26;
/// So long after the last cookie none is good any more.
const LIFE: Duration = Duration::from_micros(2 << PERIOD_BITS);

/// What a cookie remembers of a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Remembered {
    pub mss: Option<u16>,
    pub scale: Option<u8>,
}

/// Makes cookies and knows them again.
pub(super) struct Cookies {
    /// Until when cookies may be out.
    until: Option<Instant>,
}

impl Cookies {
    pub const fn new() -> Self {
        Self { until: None }
    }

    /// An ISS for this SYN.
    pub fn make(&mut self, key: &Key, now: Instant, tuple: &Tuple, irs: Seq, syn: Remembered) -> Seq {
        self.until = Some(now + LIFE);
        let mss = syn.mss.unwrap_or(536);
        let size = SIZES.iter().rposition(|&size| size <= mss).unwrap_or(0) as u8;
        let scale = syn.scale.map_or(NO_SCALE, |scale| scale.min(14));
        let (mac, mask) = sign(key, tuple, irs, period(now));
        Seq::new(mac | u32::from((scale << 4 | size << 1) ^ mask))
    }

    /// What the SYN said, if `iss` is a cookie of ours for it, and not too old.
    pub fn check(&self, key: &Key, now: Instant, tuple: &Tuple, irs: Seq, iss: Seq) -> Option<Remembered> {
        // Guessing one in 2^23 is possible; it is worthless while there are no cookies.
        if self.until.is_none_or(|until| now > until) {
            return None;
        }
        let current = period(now);
        [current, current.wrapping_sub(1)].into_iter().find_map(|period| {
            let (mac, mask) = sign(key, tuple, irs, period);
            let low = iss.value() as u8 ^ mask;
            if iss.value() & !0xff != mac || low & 1 != 0 {
                return None;
            }
            let scale = Some(low >> 4).filter(|&scale| scale != NO_SCALE);
            Some(Remembered { mss: SIZES.get(usize::from(low >> 1 & 7)).copied(), scale })
        })
    }
}

fn period(now: Instant) -> u32 {
    (now.as_micros() >> PERIOD_BITS) as u32
}

/// The upper 24 bits of a cookie, and what hides the lower 8.
fn sign(key: &Key, tuple: &Tuple, irs: Seq, period: u32) -> (u32, u8) {
    let mut data = [0; 44];
    let (octets, _) = tuple.octets();
    let (first, rest) = data.split_at_mut(octets.len());
    first.copy_from_slice(&octets);
    let [a, b, c, d] = irs.value().to_be_bytes();
    let [e, f, g, h] = period.to_be_bytes();
    rest.copy_from_slice(&[a, b, c, d, e, f, g, h]);
    let value = key.prf(&data);
    (value as u32 & !0xff, (value >> 32) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Secret};

    fn tuple(remote_port: u16) -> Tuple {
        let (local_addr, remote_addr) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        Tuple { local_addr, remote_addr, local_port: 80, remote_port }
    }

    #[test]
    fn a_cookie_brings_back_scale_and_mss_rounded_down() {
        let key = Secret::new([1; 16]).key(Purpose::SynCookies);
        let mut cookies = Cookies::new();
        let now = Instant::from_secs(1000);
        for (mss, rounded) in [(None, 536), (Some(1), 64), (Some(535), 64), (Some(1460), 1460), (Some(65_535), 8960)] {
            for scale in [None, Some(0), Some(7), Some(14)] {
                let irs = Seq::new(0xdead_beef);
                let iss = cookies.make(&key, now, &tuple(5), irs, Remembered { mss, scale });
                let known = cookies.check(&key, now, &tuple(5), irs, iss);
                assert_eq!(known, Some(Remembered { mss: Some(rounded), scale }));
            }
        }
    }

    #[test]
    fn a_cookie_is_good_for_its_own_tuple_isn_key_and_time_only() {
        let key = Secret::new([1; 16]).key(Purpose::SynCookies);
        let other = Secret::new([2; 16]).key(Purpose::SynCookies);
        let mut cookies = Cookies::new();
        let (now, irs) = (Instant::from_secs(1000), Seq::new(7));
        let syn = Remembered { mss: Some(1460), scale: Some(7) };
        let iss = cookies.make(&key, now, &tuple(5), irs, syn);
        let later = |secs| now + Duration::from_secs(secs);
        assert_eq!(cookies.check(&key, later(60), &tuple(5), irs, iss), Some(syn));
        assert_eq!(cookies.check(&key, later(140), &tuple(5), irs, iss), None);
        assert_eq!(cookies.check(&key, now, &tuple(6), irs, iss), None);
        assert_eq!(cookies.check(&key, now, &tuple(5), irs + 1, iss), None);
        assert_eq!(cookies.check(&key, now, &tuple(5), irs, iss + 256), None);
        assert_eq!(cookies.check(&other, now, &tuple(5), irs, iss), None);
        assert_eq!(Cookies::new().check(&key, now, &tuple(5), irs, iss), None, "none was ever made");
    }

    #[test]
    fn an_old_period_is_refused_even_while_new_cookies_are_made() {
        let key = Secret::new([1; 16]).key(Purpose::SynCookies);
        let mut cookies = Cookies::new();
        let (start, irs) = (Instant::ZERO, Seq::new(7));
        let syn = Remembered { mss: None, scale: None };
        let iss = cookies.make(&key, start, &tuple(5), irs, syn);
        let late = start + LIFE + Duration::from_secs(1);
        cookies.make(&key, late, &tuple(9), irs, syn);
        assert_eq!(cookies.check(&key, late, &tuple(5), irs, iss), None);
    }
}

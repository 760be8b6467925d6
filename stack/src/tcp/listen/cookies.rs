//! SYN cookies: initial sequence numbers that remember the SYN, for when the SYN queue cannot.
//!
//! As RFC 4987 §3.6 describes them. An entry in the last place of its set is given a cookie for its ISS; when it is
//! displaced, the last ACK of its handshake brings back all that is needed.
//!
//! ```text
//!    31                                8 7      4 3     1   0
//!   ┌───────────────────────────────────┬────────┬───────┬──────┐    MAC: of the 4-tuple, the peer's ISN, the time in
//!   │         MAC (24 bits)             │ scale  │  MSS  │ SACK │    units of 67 s, and the low octet, which is masked by
//!   └───────────────────────────────────┴────────┴───────┴──────┘    another PRF of the same.
//! ```
//!
//! Window scale and SACK-permitted are in the sequence number rather than in our timestamp, so that a peer without
//! timestamps keeps them too.

use crate::rng::Key;
use crate::seq::Seq;
use crate::sockets::demux::{OCTETS, Tuple};
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
    pub sack_permitted: bool,
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
        let signer = Signer { key, tuple, irs, period: period(now) };
        let low = scale << 4 | size << 1 | u8::from(syn.sack_permitted);
        Seq::new(signer.mac(low) | u32::from(low ^ signer.mask()))
    }

    /// What the SYN said, if `iss` is a cookie of ours for it, and not too old.
    pub fn check(&self, key: &Key, now: Instant, tuple: &Tuple, irs: Seq, iss: Seq) -> Option<Remembered> {
        // Guessing one in 2^23 is possible; it is worthless while there are no cookies.
        if self.until.is_none_or(|until| now > until) {
            return None;
        }
        let current = period(now);
        [current, current.wrapping_sub(1)].into_iter().find_map(|period| {
            let signer = Signer { key, tuple, irs, period };
            let low = iss.value() as u8 ^ signer.mask();
            // The MAC covers the low octet, or any number near a cookie would be another's.
            if iss.value() & !0xff != signer.mac(low) {
                return None;
            }
            let scale = Some(low >> 4).filter(|&scale| scale != NO_SCALE);
            let mss = SIZES.get(usize::from(low >> 1 & 7)).copied();
            Some(Remembered { mss, scale, sack_permitted: low & 1 == 1 })
        })
    }
}

fn period(now: Instant) -> u32 {
    (now.as_micros() >> PERIOD_BITS) as u32
}

/// What a cookie is made of.
struct Signer<'k> {
    key: &'k Key,
    tuple: &'k Tuple,
    irs: Seq,
    period: u32,
}

impl Signer<'_> {
    /// The upper 24 bits of a cookie whose low octet says `low`.
    fn mac(&self, low: u8) -> u32 {
        self.prf([1, low]) as u32 & !0xff
    }

    /// What hides the low octet.
    fn mask(&self) -> u8 {
        self.prf([0, 0]) as u8
    }

    fn prf(&self, purpose: [u8; 2]) -> u64 {
        let mut data = [0; OCTETS + 10];
        let (octets, _) = self.tuple.octets();
        let (first, rest) = data.split_at_mut(octets.len());
        first.copy_from_slice(&octets);
        let [a, b, c, d] = self.irs.value().to_be_bytes();
        let [e, f, g, h] = self.period.to_be_bytes();
        let [i, j] = purpose;
        rest.copy_from_slice(&[a, b, c, d, e, f, g, h, i, j]);
        self.key.prf(&data)
    }
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
    fn a_cookie_brings_back_scale_sack_and_mss_rounded_down() {
        let key = Secret::new([1; 16]).key(Purpose::SynCookies);
        let mut cookies = Cookies::new();
        let now = Instant::from_secs(1000);
        for (mss, rounded) in [(None, 536), (Some(1), 64), (Some(535), 64), (Some(1460), 1460), (Some(65_535), 8960)] {
            for (scale, sack_permitted) in [(None, false), (Some(0), true), (Some(7), false), (Some(14), true)] {
                let irs = Seq::new(0xdead_beef);
                let syn = Remembered { mss, scale, sack_permitted };
                let iss = cookies.make(&key, now, &tuple(5), irs, syn);
                let known = cookies.check(&key, now, &tuple(5), irs, iss);
                assert_eq!(known, Some(Remembered { mss: Some(rounded), ..syn }));
            }
        }
    }

    #[test]
    fn a_cookie_is_good_for_its_own_tuple_isn_key_and_time_only() {
        let key = Secret::new([1; 16]).key(Purpose::SynCookies);
        let other = Secret::new([2; 16]).key(Purpose::SynCookies);
        let mut cookies = Cookies::new();
        let (now, irs) = (Instant::from_secs(1000), Seq::new(7));
        let syn = Remembered { mss: Some(1460), scale: Some(7), sack_permitted: true };
        let iss = cookies.make(&key, now, &tuple(5), irs, syn);
        let later = |secs| now + Duration::from_secs(secs);
        assert_eq!(cookies.check(&key, later(60), &tuple(5), irs, iss), Some(syn));
        assert_eq!(cookies.check(&key, later(140), &tuple(5), irs, iss), None);
        assert_eq!(cookies.check(&key, now, &tuple(6), irs, iss), None);
        assert_eq!(cookies.check(&key, now, &tuple(5), irs + 1, iss), None);
        for other in 1..=256 {
            assert_eq!(cookies.check(&key, now, &tuple(5), irs, iss + other), None, "{other} too many");
        }
        assert_eq!(cookies.check(&other, now, &tuple(5), irs, iss), None);
        assert_eq!(Cookies::new().check(&key, now, &tuple(5), irs, iss), None, "none was ever made");
    }

    #[test]
    fn an_old_period_is_refused_even_while_new_cookies_are_made() {
        let key = Secret::new([1; 16]).key(Purpose::SynCookies);
        let mut cookies = Cookies::new();
        let (start, irs) = (Instant::ZERO, Seq::new(7));
        let syn = Remembered { mss: None, scale: None, sack_permitted: false };
        let iss = cookies.make(&key, start, &tuple(5), irs, syn);
        let late = start + LIFE + Duration::from_secs(1);
        cookies.make(&key, late, &tuple(9), irs, syn);
        assert_eq!(cookies.check(&key, late, &tuple(5), irs, iss), None);
    }
}

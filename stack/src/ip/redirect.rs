//! Who was told of a better first hop, and when again: a host that does not listen is told ever more rarely.
//!
//! Implements the rate limit that RFC 4861 §8.2 asks for, and RFC 1812 §4.3.2.8.

use crate::family::IpAddr;
use crate::time::{Duration, Instant};
use heapless::Vec;

/// Pairs of a host and a destination that are remembered. Beyond them, the rate of all replies is the limit.
const TOLD: usize = 8;
/// Until a pair is told for the second time; each time after it waits twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Doublings, at most: 64 s.
const MAX_DOUBLINGS: u8 = 6;

/// A host that was told of a destination.
#[derive(Clone, Copy, Debug)]
struct Told {
    src: IpAddr,
    dst: IpAddr,
    /// How often, less one, as far as pauses still grow.
    times: u8,
    at: Instant,
}

impl Told {
    fn pause(&self) -> Duration {
        FIRST_PAUSE * (1 << self.times)
    }
}

/// The pairs that were told of last.
#[derive(Debug, Default)]
pub(crate) struct Redirected(Vec<Told, TOLD>);

impl Redirected {
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Whether `src` is to be told of a better first hop towards `dst` now; it counts as told then.
    pub fn is_due(&mut self, now: Instant, src: IpAddr, dst: IpAddr) -> bool {
        let Some(told) = self.0.iter_mut().find(|told| (told.src, told.dst) == (src, dst)) else {
            self.remember(Told { src, dst, times: 0, at: now });
            return true;
        };
        let (pause, since) = (told.pause(), now.since(told.at));
        if since < pause {
            return false;
        }
        // Who was silent for twice as long listened, and has forgotten.
        told.times = if since > pause * 2 { 0 } else { (told.times + 1).min(MAX_DOUBLINGS) };
        told.at = now;
        true
    }

    /// In the place of who was told longest ago, where there is no other.
    fn remember(&mut self, new: Told) {
        if let Err(new) = self.0.push(new)
            && let Some(oldest) = self.0.iter_mut().min_by_key(|told| told.at)
        {
            *oldest = new;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;
    extern crate std;
    use std::vec::Vec as List;

    fn ip(n: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, n).into()
    }

    #[test]
    fn who_does_not_listen_is_told_after_pauses_that_double() {
        let mut redirected = Redirected::new();
        let told: List<u64> =
            (0..300).filter(|&s| redirected.is_due(Instant::from_secs(1 + s), ip(1), ip(2))).collect();
        assert_eq!(told, [0, 1, 3, 7, 15, 31, 63, 127, 191, 255]);
        // Others have their own pauses.
        assert!(redirected.is_due(Instant::from_secs(300), ip(3), ip(2)));
        assert!(redirected.is_due(Instant::from_secs(300), ip(1), ip(3)));
        assert!(!redirected.is_due(Instant::from_secs(300), ip(1), ip(3)));
        // A long silence later, it is as in the beginning.
        assert!(redirected.is_due(Instant::from_secs(900), ip(1), ip(2)));
        assert!(redirected.is_due(Instant::from_secs(901), ip(1), ip(2)));
    }

    #[test]
    fn of_many_the_one_told_longest_ago_is_forgotten() {
        let mut redirected = Redirected::new();
        for n in 0..=TOLD as u8 {
            assert!(redirected.is_due(Instant::from_millis(1_000 + u64::from(n)), ip(n), ip(200)));
        }
        let now = Instant::from_millis(1_100);
        assert!((1..=TOLD as u8).all(|n| !redirected.is_due(now, ip(n), ip(200))));
        assert!(redirected.is_due(now, ip(0), ip(200)));
    }
}

//! Ephemeral ports that cannot be guessed (RFC 6056 §3.3.1: simple port randomization).

use crate::rng::{Purpose, Rng, Secret};

/// The dynamic ports of RFC 6335 §6: 49152 to 65535.
const FIRST: u16 = 49_152;
const COUNT: u16 = 16_384;

/// Chooses ephemeral ports.
pub(crate) struct Ports {
    rng: Rng,
}

impl Ports {
    pub fn new(secret: &Secret) -> Self {
        Self { rng: Rng::new(secret, Purpose::Ports) }
    }

    /// Where the search for the next port begins.
    pub fn start(&mut self) -> u16 {
        FIRST + self.rng.below(u32::from(COUNT)) as u16
    }
}

/// The first port from `start` on, once around the range, that is not `busy`; `None` when all are.
pub(crate) fn first_free(start: u16, mut busy: impl FnMut(u16) -> bool) -> Option<u16> {
    let offset = start.saturating_sub(FIRST);
    (0..COUNT).map(|n| FIRST + (offset + n) % COUNT).find(|&port| !busy(port))
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::collections::HashSet;

    #[test]
    fn a_thousand_ports_spread_over_the_range_and_differ_by_secret() {
        let mut a = Ports::new(&Secret::new([1; 16]));
        let mut b = Ports::new(&Secret::new([2; 16]));
        let first: std::vec::Vec<_> = (0..1000).map(|_| a.start()).collect();
        let second: std::vec::Vec<_> = (0..1000).map(|_| b.start()).collect();
        let distinct: HashSet<_> = first.iter().collect();
        assert!(distinct.len() > 900, "repeats are rare");
        assert!(first.iter().all(|&p| p >= FIRST));
        assert!(first.iter().any(|&p| p < FIRST + COUNT / 8) && first.iter().any(|&p| p > u16::MAX - COUNT / 8));
        assert!(first.iter().zip(&second).filter(|(x, y)| x == y).count() < 5);
        let steps: HashSet<_> = first.windows(2).map(|w| w[1].wrapping_sub(w[0])).collect();
        assert!(steps.len() > 900, "no pattern from one to the next");
    }

    #[test]
    fn busy_ports_are_skipped_around_the_range_and_a_full_range_ends() {
        assert_eq!(first_free(u16::MAX, |p| p == u16::MAX), Some(FIRST));
        assert_eq!(first_free(FIRST, |p| p != 60_000), Some(60_000));
        let mut asked = 0;
        let none = first_free(50_000, |_| {
            asked += 1;
            true
        });
        assert_eq!((none, asked), (None, COUNT));
    }
}

//! Path MTUs of IPv6 datagrams: which destinations take less than their link does.
//!
//! Implements RFC 8201 §4 and §5.2 for what has no connection; connections keep their own. An entry is made only by an
//! error about a datagram that a socket here sent or could have; the table is small, and the oldest entry goes first: what
//! is forgotten is learned again by the next error.

use crate::time::{Duration, Instant};
use crate::wire::ipv6::MIN_MTU;
use core::net::Ipv6Addr;
use heapless::Vec;

const PATHS: usize = 8;
/// RFC 8201 §4: an increase is looked for no sooner than after 5 minutes; 10 are recommended.
const LIFETIME: Duration = Duration::from_secs(600);

/// Destinations with the MTU of the way there, and when that was learned.
pub(crate) struct Paths(Vec<(Ipv6Addr, u16, Instant), PATHS>);

impl Paths {
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The MTU of the path to `dst`, where one is known that is less than a link's.
    pub fn mtu(&self, now: Instant, dst: Ipv6Addr) -> usize {
        let path = self.0.iter().find(|p| p.0 == dst && now.since(p.2) < LIFETIME);
        path.map_or(usize::MAX, |p| usize::from(p.1))
    }

    /// A router says that `mtu` is what the way to `dst` takes. It is never raised, and below the minimum nothing is believed
    /// (H040).
    //= https://www.rfc-editor.org/rfc/rfc8201#section-4
    //# A node must not increase its estimate of the Path MTU in response to
    //# the contents of a Packet Too Big message.
    pub fn learn(&mut self, now: Instant, dst: Ipv6Addr, mtu: u16) {
        if usize::from(mtu) < MIN_MTU || usize::from(mtu) >= self.mtu(now, dst) {
            return;
        }
        self.0.retain(|p| p.0 != dst && now.since(p.2) < LIFETIME);
        if self.0.is_full() {
            self.0.remove(0);
        }
        // There is room: it was made.
        let _ = self.0.push((dst, mtu, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u16) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n)
    }

    /// H040.
    #[test]
    fn a_path_is_lowered_never_raised_and_forgotten_after_ten_minutes() {
        let mut paths = Paths::new();
        let at = Instant::from_secs;
        for (mtu, expected) in
            [(0, None), (1_279, None), (1_400, Some(1_400)), (9_000, Some(1_400)), (1_280, Some(1_280))]
        {
            paths.learn(at(0), ip(1), mtu);
            assert_eq!(paths.mtu(at(0), ip(1)), expected.unwrap_or(usize::MAX), "{mtu}");
        }
        assert_eq!(paths.mtu(at(0), ip(2)), usize::MAX);
        assert_eq!((paths.mtu(at(599), ip(1)), paths.mtu(at(600), ip(1))), (1_280, usize::MAX));
        paths.learn(at(700), ip(1), 1_400);
        assert_eq!(paths.mtu(at(700), ip(1)), 1_400);
    }

    #[test]
    fn a_flood_pushes_out_the_oldest_and_grows_nothing() {
        let mut paths = Paths::new();
        (0..10_000).for_each(|n| paths.learn(Instant::from_secs(1), ip(n), 1_300));
        let known = (0..10_000).filter(|&n| paths.mtu(Instant::from_secs(1), ip(n)) == 1_300);
        assert!(known.eq(10_000 - PATHS as u16..10_000));
    }
}

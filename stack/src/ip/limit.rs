//! Token buckets: how many replies strangers can draw from us.
//!
//! Implements RFC 1122 §3.2.2 and RFC 4443 §2.4(f) for what answers packets that belong to nobody: ICMP errors, resets.
//! Each destination shares half of the rate with few others, chosen under a key, so that one cannot take what the others
//! get; what all take together is drawn at random, so that nobody can count what others drew (the side channel of
//! CVE-2020-25705).

use crate::family::IpAddr;
use crate::rng::{Key, Purpose, Rng, Secret};
use crate::time::{Duration, Instant};

const SECOND: u64 = 1_000_000;
/// 16: 128 octets.
#[cfg(feature = "icmp-errors")]
const BUCKETS: usize = 16;
/// What one reply draws from the common bucket: 1 to 3 halves of its price, one on average.
const DRAWS: u32 = 3;

/// A limit on replies.
pub(crate) struct Limiter {
    all: Bucket,
    #[cfg(feature = "icmp-errors")]
    by_destination: [Bucket; BUCKETS],
    /// Half the price of a reply at the full rate, in microseconds; `None`: none is allowed.
    half_price: Option<u64>,
    #[cfg(feature = "icmp-errors")]
    key: Key,
    rng: Rng,
}

/// A bucket as the generic cell rate algorithm has it: the time until which what was drawn has been paid for. Full when
/// that is past; empty when it is a second ahead.
#[derive(Clone, Copy, Default)]
struct Bucket {
    paid_until: Instant,
}

impl Bucket {
    /// Whether it holds `price` (microseconds).
    fn holds(&mut self, now: Instant, price: u64) -> bool {
        // At the lowest rates one reply costs more than a second.
        let full = Duration::from_micros(price.max(SECOND));
        // No further ahead than an empty bucket: so a clock that stepped back costs a second, not an age.
        self.paid_until = self.paid_until.max(now).min(now + full);
        self.paid_until.since(now) + Duration::from_micros(price) <= full
    }

    fn draw(&mut self, price: u64) {
        self.paid_until += Duration::from_micros(price);
    }
}

impl Limiter {
    /// At most about `rate` replies per second, and as many in a burst; half of that to one destination.
    pub fn new(rate: u32, secret: &Secret) -> Self {
        Self {
            all: Bucket::default(),
            #[cfg(feature = "icmp-errors")]
            by_destination: [Bucket::default(); BUCKETS],
            half_price: (SECOND as u32 / 2).checked_div(rate).map(u64::from),
            #[cfg(feature = "icmp-errors")]
            key: secret.key(Purpose::ReplyLimit),
            rng: Rng::new(secret, Purpose::ReplyDraws),
        }
    }

    /// Whether a reply may go to `dst` now; it counts then. Without the feature `icmp-errors` all share one bucket.
    #[cfg(not(feature = "icmp-errors"))]
    pub fn allow(&mut self, now: Instant, _: IpAddr) -> bool {
        let Some(half_price) = self.half_price else {
            return false;
        };
        if !self.all.holds(now, half_price * u64::from(DRAWS)) {
            return false;
        }
        self.all.draw(half_price * u64::from(1 + self.rng.below(DRAWS)));
        true
    }

    /// Whether a reply may go to `dst` now; it counts then.
    #[cfg(feature = "icmp-errors")]
    pub fn allow(&mut self, now: Instant, dst: IpAddr) -> bool {
        let Some(half_price) = self.half_price else {
            return false;
        };
        let hash = match dst {
            IpAddr::V4(a) => self.key.hash(&a.octets()),
            // A host can have every address of its /64.
            IpAddr::V6(a) => self.key.hash(&a.octets()[..8]),
        };
        let own = &mut self.by_destination[hash as usize % BUCKETS];
        // At half the rate, a reply costs four halves. Of the common bucket the highest price has to be there: were cheap
        // draws let through where dear ones are not, trying often would make all of them cheap.
        let own_price = half_price * 4;
        let (own_holds, all_hold) = (own.holds(now, own_price), self.all.holds(now, half_price * u64::from(DRAWS)));
        if !own_holds || !all_hold {
            return false;
        }
        own.draw(own_price);
        self.all.draw(half_price * u64::from(1 + self.rng.below(DRAWS)));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }

    fn limiter(rate: u32) -> Limiter {
        Limiter::new(rate, &Secret::new([8; 16]))
    }

    /// H038.
    #[cfg(feature = "icmp-errors")]
    #[test]
    fn one_source_draws_half_of_the_rate_and_leaves_the_rest_to_others() {
        let mut l = limiter(100);
        let (mut flood, mut other) = (0, 0);
        for tick in 0..20_000u64 {
            let now = Instant::from_micros(tick * 500);
            flood += u32::from(l.allow(now, ip(0x0a00_0001)));
            if tick % 400 == 0 {
                other += u32::from(l.allow(now, ip(0x0a00_0002)));
            }
        }
        assert!((500..=550).contains(&flood), "{flood} in ten seconds");
        assert_eq!(other, 50, "every one that the other was owed");
    }

    /// H038.
    #[test]
    fn all_sources_together_stay_within_the_rate() {
        let mut l = limiter(100);
        let mut count = 0;
        for tick in 0..20_000u64 {
            let dst = ip((tick as u32).wrapping_mul(0x9e37_79b9));
            count += u32::from(l.allow(Instant::from_micros(tick * 500), dst));
        }
        assert!((1000..=1150).contains(&count), "{count} in ten seconds");
    }

    /// H038: what is left is not told by what others drew.
    #[test]
    fn what_others_drew_cannot_be_counted() {
        let left_after = |drawn: u32, seed: u8| {
            let mut l = Limiter::new(100, &Secret::new([seed; 16]));
            (0..drawn).for_each(|n| _ = l.allow(Instant::ZERO, ip(n * 0x0101)));
            (0..1000).filter(|&n| l.allow(Instant::ZERO, ip(0xc000_0000 + n * 0x0101))).count()
        };
        let counts = (0..20).map(|seed| left_after(50, seed));
        let (min, max) = counts.fold((usize::MAX, 0), |(a, b), n| (a.min(n), b.max(n)));
        assert!(max - min >= 5, "{min} to {max}");
    }

    #[test]
    fn no_rate_allows_nothing_and_a_clock_that_steps_back_costs_a_second() {
        assert!(!limiter(0).allow(Instant::from_secs(5), ip(1)));
        let mut l = limiter(10);
        let late = Instant::from_secs(1_000_000);
        while l.allow(late, ip(1)) {}
        assert!(!l.allow(Instant::ZERO, ip(1)));
        assert!(l.allow(Instant::from_secs(1), ip(1)));
    }

    #[test]
    fn the_lowest_rate_still_allows_some() {
        for rate in [1, 2, 3] {
            let mut l = limiter(rate);
            let count = (0..100).filter(|&s| l.allow(Instant::from_millis(s * 100), ip(s as u32))).count() as u32;
            assert!((5..=10 * rate + 1 + rate).contains(&count), "{count} in ten seconds at {rate}");
        }
    }
}

//! Router advertisements: what a router tells hosts of its link, and when.
//!
//! Implements RFC 4861 §6.2 (timing, §6.2.4 to §6.2.6), RFC 8106 §5.1 (name servers).
//!
//! ```text
//!   first three ─▶ at most 16 s apart ─▶ by chance within the interval ─▶ the last: no router any more
//!   a host asks ─▶ within half a second, to it alone; to all where several ask, or one without an address
//!                  to all at most once in 3 s
//! ```

use crate::rng::Rng;
use crate::time::{Duration, Instant};
use core::net::Ipv6Addr;

/// Name servers that are advertised, at most.
pub const MAX_DNS_SERVERS: usize = 3;

// RFC 4861 §10.
const MAX_INITIAL_INTERVAL: Duration = Duration::from_secs(16);
const MAX_INITIAL: u8 = 3;
const MIN_DELAY_BETWEEN: Duration = Duration::from_secs(3);
const MAX_DELAY: Duration = Duration::from_millis(500);

/// Until one is tried again that could not leave: there was no frame, no link or no address of the link.
const RETRY: Duration = Duration::from_secs(1);

/// What a router tells of one of its links. Its prefixes are those of its own addresses there, link-local ones aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct RouterAdvertisements {
    /// The longest time between two of them (MaxRtrAdvInterval), 4 to 1,800 s; the least is a third of it. 600 s.
    pub interval: Duration,
    /// How long hosts take us for a router after each, in seconds: 0, not at all, or the interval to 9,000. 1,800. While the
    /// stack does not forward, 0 is told.
    pub lifetime: u16,
    /// The hop limit that hosts are to use; 0: what they like. 64.
    pub hop_limit: u8,
    /// DHCPv6 gives addresses.
    pub managed: bool,
    /// DHCPv6 gives other information.
    pub other: bool,
    /// The MTU that all on the link are to use: 1,280 octets to the device's. `None`: nothing is said of it.
    pub mtu: Option<u16>,
    /// How long addresses of the prefixes are valid, in seconds; 30 days.
    pub valid: u32,
    /// How long they are preferred, in seconds, at most as long as they are valid; 7 days.
    pub preferred: u32,
    /// Whether hosts form addresses of the prefixes themselves (RFC 4862). They do.
    pub autonomous: bool,
    /// Name servers (RFC 8106), told for three intervals.
    #[cfg_attr(feature = "defmt", defmt(Debug2Format))]
    pub dns: [Option<Ipv6Addr>; MAX_DNS_SERVERS],
}

impl Default for RouterAdvertisements {
    /// RFC 4861 §6.2.1.
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(600),
            lifetime: 1_800,
            hop_limit: 64,
            managed: false,
            other: false,
            mtu: None,
            valid: 2_592_000,
            preferred: 604_800,
            autonomous: true,
            dns: [None; MAX_DNS_SERVERS],
        }
    }
}

impl RouterAdvertisements {
    /// Whether they are within RFC 4861 §6.2.1's bounds, on a link whose device takes `ip_mtu` octets.
    pub(crate) fn are_valid(&self, ip_mtu: usize) -> bool {
        let seconds = self.interval.as_micros().div_ceil(1_000_000);
        (4..=1_800).contains(&seconds)
            && (self.lifetime == 0 || (seconds..=9_000).contains(&u64::from(self.lifetime)))
            && self.mtu.is_none_or(|mtu| (crate::wire::ipv6::MIN_MTU..=ip_mtu).contains(&usize::from(mtu)))
            && self.preferred <= self.valid
            && self.dns.iter().flatten().all(|ip| crate::ip::addr::is_unicast_host((*ip).into()))
    }

    /// How long name servers are to be believed, in seconds.
    pub(crate) fn dns_lifetime(&self) -> u32 {
        (self.interval.as_micros() * 3).div_ceil(1_000_000) as u32
    }
}

/// An advertisement that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// Whom it is for; `None`: all.
    pub to: Option<Ipv6Addr>,
    /// It is the last: we are no router any more.
    pub is_last: bool,
}

/// When an interface's advertisements are due.
#[derive(Debug)]
pub(crate) struct Advertiser {
    pub settings: RouterAdvertisements,
    /// First ones that are still to come.
    initial: u8,
    /// When the next to all is due, unasked.
    next: Instant,
    /// When the last to all was sent.
    last: Option<Instant>,
    /// Who asked, and when there is to be an answer; `None` asked: all are answered.
    asked: Option<(Instant, Option<Ipv6Addr>)>,
    ends: bool,
}

impl Advertiser {
    pub fn new(settings: RouterAdvertisements, now: Instant) -> Self {
        Self { settings, initial: MAX_INITIAL, next: now, last: None, asked: None, ends: false }
    }

    /// What is told has changed: it is told as in the beginning.
    pub fn change(&mut self, now: Instant, settings: RouterAdvertisements) {
        let last = self.last;
        *self = Self { last, ..Self::new(settings, now) };
        self.next = self.no_sooner(now);
    }

    /// One more is due, which is the last.
    pub fn end(&mut self, now: Instant) {
        self.ends = true;
        self.asked = None;
        self.next = now;
    }

    /// A host asks; `src` is its address, if it has one.
    //= https://www.rfc-editor.org/rfc/rfc4861#section-6.2.6
    //# In all cases, Router Advertisements sent in response to a Router
    //# Solicitation MUST be delayed by a random time between 0 and
    //# MAX_RA_DELAY_TIME seconds.
    pub fn on_solicit(&mut self, now: Instant, src: Option<Ipv6Addr>, rng: &mut Rng) {
        if self.ends {
            return;
        }
        let delay = Duration::from_micros(u64::from(rng.below(MAX_DELAY.as_micros() as u32 + 1)));
        self.asked = Some(match self.asked {
            None => (now + delay, src),
            // The delay is relative to the first who asked; two are answered at once.
            Some((at, one)) if one == src => (at, one),
            Some((at, _)) => (at, None),
        });
    }

    /// What is due now.
    pub fn step(&mut self, now: Instant, rng: &mut Rng) -> Option<Due> {
        if self.ends {
            return (now >= self.next).then_some(Due { to: None, is_last: true });
        }
        if let Some((at, to @ Some(_))) = self.asked
            && now >= at
            && self.next > now
        {
            self.asked = None;
            return Some(Due { to, is_last: false });
        }
        if now < self.to_all() {
            return None;
        }
        self.asked = None;
        self.last = Some(now);
        self.initial = self.initial.saturating_sub(1);
        self.next = now + self.pause(rng);
        Some(Due { to: None, is_last: false })
    }

    /// The time until the next, after one was sent to all.
    //= https://www.rfc-editor.org/rfc/rfc4861#section-6.2.4
    //# Whenever a multicast advertisement is sent from an interface, the
    //# timer is reset to a uniformly distributed random value between the
    //# interface's configured MinRtrAdvInterval and MaxRtrAdvInterval;
    fn pause(&self, rng: &mut Rng) -> Duration {
        let max = self.settings.interval.as_micros();
        // RFC 4861 §6.2.1, MinRtrAdvInterval.
        let min = if max >= 9_000_000 { max / 3 } else { max / 4 * 3 };
        let pause = Duration::from_micros(min + u64::from(rng.below((max - min) as u32 + 1)));
        if self.initial > 0 { pause.min(MAX_INITIAL_INTERVAL) } else { pause }
    }

    /// When one to all is due.
    fn to_all(&self) -> Instant {
        match self.asked {
            Some((at, None)) => self.next.min(self.no_sooner(at)),
            _ => self.next,
        }
    }

    //= https://www.rfc-editor.org/rfc/rfc4861#section-6.2.6
    //# In addition, consecutive Router
    //# Advertisements sent to the all-nodes multicast address MUST be rate
    //# limited to no more than one advertisement every MIN_DELAY_BETWEEN_RAS
    //# seconds.
    fn no_sooner(&self, at: Instant) -> Instant {
        self.last.map_or(at, |last| at.max(last + MIN_DELAY_BETWEEN))
    }

    /// What was due could not leave.
    pub fn not_sent(&mut self, now: Instant) {
        self.next = now + RETRY;
    }

    /// When something is due.
    pub fn deadline(&self) -> Instant {
        match self.asked {
            Some((at, Some(_))) => at.min(self.next),
            _ => self.to_all(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Secret};
    extern crate std;
    use std::vec::Vec;

    const ALL: Due = Due { to: None, is_last: false };

    fn host(n: u128) -> Option<Ipv6Addr> {
        Some(Ipv6Addr::from_bits((0xfe80 << 112) + n))
    }

    fn rng(seed: u8) -> Rng {
        Rng::new(&Secret::new([seed; 16]), Purpose::Jitter)
    }

    /// All that is due until `end`, by deadlines alone.
    fn run(a: &mut Advertiser, rng: &mut Rng, end: Instant) -> Vec<(Instant, Due)> {
        let mut seen = Vec::new();
        while a.deadline() <= end {
            let now = a.deadline();
            let due = a.step(now, rng).expect("a deadline has a cause");
            seen.push((now, due));
            assert!(a.deadline() > now);
        }
        seen
    }

    #[test]
    fn the_first_three_are_close_and_the_others_within_the_interval() {
        for (seed, interval) in [(1, 600), (2, 4), (3, 1_800), (4, 8), (5, 9), (6, 30)] {
            let settings = RouterAdvertisements { interval: Duration::from_secs(interval), ..Default::default() };
            let (start, mut rng) = (Instant::from_secs(5), rng(seed));
            let mut a = Advertiser::new(settings, start);
            let seen = run(&mut a, &mut rng, start + Duration::from_secs(interval * 40));
            assert!(seen.iter().all(|(_, due)| *due == ALL) && seen.len() >= 40);
            assert_eq!(seen[0].0, start);
            let (max, min) = (interval * 1_000, if interval >= 9 { interval * 1_000 / 3 } else { interval * 750 });
            for (n, pair) in seen.windows(2).enumerate() {
                let pause = pair[1].0.since(pair[0].0).as_micros() / 1_000;
                let most = if n < 2 { max.min(16_000) } else { max };
                assert!((min.min(16_000)..=most).contains(&pause), "{interval} {n}: {pause}");
                assert!(n < 2 || pause >= min, "{interval} {n}: {pause}");
            }
        }
    }

    #[test]
    fn who_asks_is_answered_alone_within_half_a_second_and_several_at_once() {
        for seed in 0..50 {
            let mut rng = rng(seed);
            let mut a = Advertiser::new(RouterAdvertisements::default(), Instant::from_secs(1));
            run(&mut a, &mut rng, Instant::from_secs(40));
            let now = Instant::from_secs(45);
            a.on_solicit(now, host(1), &mut rng);
            a.on_solicit(now + Duration::from_micros(1), host(1), &mut rng);
            let seen = run(&mut a, &mut rng, Instant::from_secs(46));
            let [(at, due)] = seen[..] else { panic!("{seen:?}") };
            assert!(at.since(now) <= MAX_DELAY);
            assert_eq!(due, Due { to: host(1), is_last: false });
            let now = Instant::from_secs(50);
            for n in 1..9 {
                a.on_solicit(now, host(n), &mut rng);
            }
            let seen = run(&mut a, &mut rng, Instant::from_secs(51));
            let [(at, ALL)] = seen[..] else { panic!("{seen:?}") };
            assert!(at.since(now) <= MAX_DELAY);
            // Who has no address is answered with all, but not before three seconds have passed.
            let now = Instant::from_secs(51);
            a.on_solicit(now, None, &mut rng);
            let seen = run(&mut a, &mut rng, Instant::from_secs(55));
            let [(next, ALL)] = seen[..] else { panic!("{seen:?}") };
            assert_eq!(next.since(at), MIN_DELAY_BETWEEN);
        }
    }

    #[test]
    fn a_flood_of_questions_draws_one_answer_in_three_seconds_to_all_and_few_to_one() {
        let (mut a, mut rng) = (Advertiser::new(RouterAdvertisements::default(), Instant::from_secs(1)), rng(9));
        let mut seen = Vec::new();
        for ms in 0..60_000u64 {
            let now = Instant::from_millis(1_000 + ms);
            a.on_solicit(now, if ms % 3 == 0 { None } else { host(u128::from(ms)) }, &mut rng);
            seen.extend(a.step(now, &mut rng).map(|due| (now, due)));
        }
        let to_all: Vec<Instant> = seen.iter().filter(|(_, due)| *due == ALL).map(|(at, _)| *at).collect();
        assert!((18..=21).contains(&to_all.len()), "{}", to_all.len());
        assert!(to_all.windows(2).all(|pair| pair[1].since(pair[0]) >= MIN_DELAY_BETWEEN));
        assert!(seen.len() - to_all.len() <= 1, "{}", seen.len());
    }

    #[test]
    fn the_last_one_is_due_at_once_and_nothing_is_answered_any_more() {
        let (mut a, mut rng) = (Advertiser::new(RouterAdvertisements::default(), Instant::from_secs(1)), rng(1));
        run(&mut a, &mut rng, Instant::from_secs(100));
        let now = Instant::from_secs(101);
        a.on_solicit(now, host(1), &mut rng);
        a.end(now);
        a.on_solicit(now, host(1), &mut rng);
        assert_eq!(a.deadline(), now);
        assert_eq!(a.step(now, &mut rng), Some(Due { to: None, is_last: true }));
        // Until it has left.
        a.not_sent(now);
        assert_eq!(a.step(now, &mut rng), None);
        assert_eq!(a.step(now + RETRY, &mut rng), Some(Due { to: None, is_last: true }));
    }

    #[test]
    fn a_change_is_told_as_in_the_beginning_but_no_sooner_than_it_may() {
        let (mut a, mut rng) = (Advertiser::new(RouterAdvertisements::default(), Instant::from_secs(1)), rng(1));
        run(&mut a, &mut rng, Instant::from_secs(3_000));
        let last = a.last.expect("one");
        let settings = RouterAdvertisements { lifetime: 0, ..Default::default() };
        a.change(last + Duration::from_secs(1), settings);
        let seen = run(&mut a, &mut rng, last + Duration::from_secs(36));
        assert_eq!((seen.len(), seen[0]), (3, (last + MIN_DELAY_BETWEEN, ALL)));
    }

    #[test]
    fn settings_outside_of_their_bounds_are_refused() {
        let good = RouterAdvertisements::default();
        let secs = Duration::from_secs;
        for (settings, expected) in [
            (good, true),
            (RouterAdvertisements { interval: secs(3), ..good }, false),
            (RouterAdvertisements { interval: secs(4), ..good }, true),
            (RouterAdvertisements { interval: secs(1_801), lifetime: 9_000, ..good }, false),
            (RouterAdvertisements { lifetime: 0, ..good }, true),
            (RouterAdvertisements { lifetime: 599, ..good }, false),
            (RouterAdvertisements { lifetime: 9_001, ..good }, false),
            (RouterAdvertisements { mtu: Some(1_279), ..good }, false),
            (RouterAdvertisements { mtu: Some(1_280), ..good }, true),
            (RouterAdvertisements { mtu: Some(1_501), ..good }, false),
            (RouterAdvertisements { preferred: 9, valid: 8, ..good }, false),
            (RouterAdvertisements { dns: [None, Some(Ipv6Addr::UNSPECIFIED), None], ..good }, false),
            (RouterAdvertisements { dns: [None, Some(Ipv6Addr::from_bits(0xfd << 120)), None], ..good }, true),
        ] {
            assert_eq!(settings.are_valid(1_500), expected, "{settings:?}");
        }
    }
}

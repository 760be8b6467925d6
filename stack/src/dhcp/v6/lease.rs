//! What a server gives: addresses, each for some time, and name servers.
//!
//! Implements RFC 9915 §21.4 (T1 and T2), §21.6 (lifetimes), §21.23 (when to ask again), RFC 3646.

use super::message::{Duid, Options, code, status};
use crate::ip::addr::is_unicast_host;
use crate::ip::slaac;
use crate::time::{Duration, Instant};
use core::net::Ipv6Addr;
use heapless::{String, Vec};

/// Addresses taken of a server, at most.
const MAX_ADDRESSES: usize = 2;
/// Name servers.
const MAX_SERVERS: usize = 4;
/// Octets in front of the options of an IA, and of an address.
const IA_FIXED: usize = 12;
const ADDRESS_FIXED: usize = 24;
/// A lifetime without end.
const INFINITE: u32 = u32::MAX;
/// However short a server's times are, renewals are no closer together, unless the addresses live shorter still.
const LEAST_T1: Duration = Duration::from_secs(10);
/// And in no case closer than this.
const LEAST_WAIT: Duration = Duration::from_secs(1);
/// IRT_DEFAULT and IRT_MINIMUM (RFC 9915 §7.6).
const REFRESH: u32 = 86_400;
const LEAST_REFRESH: u32 = 600;

/// An address of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeasedAddress {
    /// The address.
    pub ip: Ipv6Addr,
    /// Until when it may be used for what is new; `None`: without end.
    pub preferred: Option<Instant>,
    /// Until when it may be used at all; `None`: without end.
    pub valid: Option<Instant>,
}

/// Addresses for some time, and what belongs to them; or name servers alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lease6 {
    pub(super) server: Duid,
    pub(super) addresses: Vec<LeasedAddress, MAX_ADDRESSES>,
    dns: Vec<Ipv6Addr, MAX_SERVERS>,
    domain: String<{ slaac::DOMAIN }>,
    /// When the server is asked to renew it, and when any is; never, if `None`.
    pub(super) t1: Option<Instant>,
    pub(super) t2: Option<Instant>,
}

impl Lease6 {
    /// The addresses, at most 2.
    pub fn addresses(&self) -> &[LeasedAddress] {
        &self.addresses
    }

    /// Name servers, at most 4, in the order of preference.
    pub fn dns(&self) -> &[Ipv6Addr] {
        &self.dns
    }

    /// The first domain to look for names in; empty when the server told none, or a very long one.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// When the next of its addresses is over.
    pub(super) fn expires(&self) -> Option<Instant> {
        self.addresses.iter().filter_map(|a| a.valid).min()
    }
}

/// What a server gives, or why it gives nothing (RFC 9915 §21.13).
pub(super) type Granted = Result<Lease6, u16>;

/// Reads what a message of `server` gives at `now` to the IA `iaid`.
pub(super) fn read(options: Options<'_>, server: Duid, iaid: u32, now: Instant) -> Granted {
    let mut lease = Lease6 { server, ..Lease6::default() };
    read_names(options, &mut lease);
    if options.status() != status::SUCCESS {
        return Err(options.status());
    }
    let ours = options.iter().filter(|(c, data)| *c == code::IA_NA && data.starts_with(&iaid.to_be_bytes()));
    let mut reason = status::NO_BINDING;
    for (_, data) in ours {
        let Some((fixed, rest)) = data.split_first_chunk::<IA_FIXED>() else { continue };
        let Ok(inner) = Options::parse(rest) else { continue };
        let (t1, t2) = (be32(fixed, 4), be32(fixed, 8));
        //= https://www.rfc-editor.org/rfc/rfc9915#section-21.4
        //# If a client receives an IA_NA with T1 greater than T2 and both T1 and
        //# T2 are greater than 0, the client discards the IA_NA option and
        //# processes the remainder of the message as though the server had not
        //# included the invalid IA_NA option.
        if t1 > t2 && t2 > 0 {
            continue;
        }
        reason = inner.status();
        let (mut shortest, mut valid) = (INFINITE, INFINITE);
        for (_, data) in inner.iter().filter(|(c, _)| *c == code::IA_ADDRESS) {
            let Some((address, lifetimes)) = read_address(data, now) else { continue };
            let new = lease.addresses.iter().all(|a| a.ip != address.ip);
            if new && lease.addresses.push(address).is_ok() {
                (shortest, valid) = (shortest.min(lifetimes.0), valid.min(lifetimes.1));
            }
        }
        if !lease.addresses.is_empty() {
            (lease.t1, lease.t2) = times((t1, t2), shortest, valid, now);
            return Ok(lease);
        }
    }
    Err(reason)
}

/// Reads name servers and domain, and after how many seconds they should be asked for again.
pub(super) fn read_information(options: Options<'_>, server: Duid) -> (Lease6, Duration) {
    let mut lease = Lease6 { server, ..Lease6::default() };
    read_names(options, &mut lease);
    let refresh = options.number(code::REFRESH_TIME).unwrap_or(REFRESH).max(LEAST_REFRESH);
    (lease, Duration::from_secs(refresh.into()))
}

fn read_names(options: Options<'_>, lease: &mut Lease6) {
    let servers = options.find(code::DNS).map(|data| data.as_chunks::<16>().0).unwrap_or_default();
    let servers = servers.iter().map(|octets| Ipv6Addr::from(*octets));
    lease.dns = servers.filter(|ip| is_unicast_host((*ip).into())).take(MAX_SERVERS).collect();
    if let Some((domain, _)) = options.find(code::DOMAINS).and_then(slaac::domain) {
        lease.domain = domain;
    }
}

fn be32(octets: &[u8], at: usize) -> u32 {
    octets.get(at..).and_then(|o| o.first_chunk()).map_or(0, |o| u32::from_be_bytes(*o))
}

/// An address and its lifetimes in seconds; `None` for one that cannot be, or is taken back.
fn read_address(data: &[u8], now: Instant) -> Option<(LeasedAddress, (u32, u32))> {
    let (ip, _) = data.get(..ADDRESS_FIXED)?.split_first_chunk::<16>()?;
    let (ip, preferred, valid) = (Ipv6Addr::from(*ip), be32(data, 16), be32(data, 20));
    //= https://www.rfc-editor.org/rfc/rfc9915#section-21.6
    //# The client MUST discard any addresses for which the preferred
    //# lifetime is greater than the valid lifetime.
    if preferred > valid || valid == 0 || !is_unicast_host(ip.into()) || ip.is_unicast_link_local() {
        return None;
    }
    let until = |secs: u32| (secs != INFINITE).then(|| now + Duration::from_secs(secs.into()));
    Some((LeasedAddress { ip, preferred: until(preferred), valid: until(valid) }, (preferred, valid)))
}

/// T1 and T2, ours where the server leaves them to us: 0.5 and 0.8 of the shortest preferred lifetime.
fn times((t1, t2): (u32, u32), preferred: u32, valid: u32, now: Instant) -> (Option<Instant>, Option<Instant>) {
    let millis = |secs: u32| u64::from(secs) * 1_000;
    let base = if preferred > 0 { preferred } else { valid };
    let for_ever = millis(INFINITE);
    let share = |tenths: u64| if base == INFINITE { for_ever } else { millis(base) / 10 * tenths };
    let t1 = if t1 > 0 { millis(t1) } else { share(5) };
    let t2 = if t2 > 0 { millis(t2) } else { share(8) };
    if t1 == for_ever {
        return (None, None);
    }
    let least = LEAST_T1.min(Duration::from_millis(millis(valid) / 2)).max(LEAST_WAIT);
    let t1 = Duration::from_millis(t1).max(least);
    (Some(now + t1), (t2 != for_ever).then(|| now + Duration::from_millis(t2).max(t1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::vec::Vec as StdVec;

    fn option(code: u16, data: &[u8]) -> StdVec<u8> {
        [&code.to_be_bytes()[..], &(data.len() as u16).to_be_bytes(), data].concat()
    }

    fn address(ip: &str, preferred: u32, valid: u32) -> StdVec<u8> {
        let ip: Ipv6Addr = ip.parse().expect("an address");
        option(5, &[&ip.octets()[..], &preferred.to_be_bytes(), &valid.to_be_bytes()].concat())
    }

    fn ia(t1: u32, t2: u32, inner: &[u8]) -> StdVec<u8> {
        option(3, &[&7u32.to_be_bytes()[..], &t1.to_be_bytes(), &t2.to_be_bytes(), inner].concat())
    }

    fn granted(options: &[u8]) -> Result<Lease6, u16> {
        let now = Instant::from_secs(100);
        read(Options::parse(options).expect("options"), Duid::default(), 7, now)
    }

    #[test]
    fn times_left_to_the_client_are_half_and_four_fifths_and_never_too_short() {
        let since = |at: Option<Instant>| at.map(|at| at.since(Instant::from_secs(100)).as_millis());
        for (t1, t2, preferred, valid, expected) in [
            (0, 0, 1_000, 2_000, (Some(500_000), Some(800_000))),
            (100, 300, 1_000, 2_000, (Some(100_000), Some(300_000))),
            (1, 2, 1_000, 2_000, (Some(10_000), Some(10_000))),
            (0, 0, 4, 6, (Some(3_000), Some(3_200))),
            (0, 0, 0, 1, (Some(1_000), Some(1_000))),
            (0, 0, INFINITE, INFINITE, (None, None)),
            (50, 80, INFINITE, INFINITE, (Some(50_000), Some(80_000))),
        ] {
            let lease = granted(&ia(t1, t2, &address("2001:db8::5", preferred, valid))).expect("a lease");
            assert_eq!((since(lease.t1), since(lease.t2)), expected, "{t1} {t2} {preferred} {valid}");
        }
    }

    #[test]
    fn addresses_that_cannot_be_are_left_out_and_an_ia_with_disordered_times_is_none() {
        let good = address("2001:db8::5", 10, 20);
        assert!(granted(&ia(0, 0, &good)).is_ok_and(|l| l.addresses().len() == 1));
        for bad in [
            address("2001:db8::5", 21, 20),
            address("2001:db8::5", 0, 0),
            address("ff02::1", 10, 20),
            address("fe80::1", 10, 20),
            address("::", 10, 20),
            option(5, &[0; 23]),
            StdVec::new(),
        ] {
            assert_eq!(granted(&ia(0, 0, &bad)), Err(0), "{bad:?}");
        }
        assert!(granted(&ia(30, 20, &good)).is_err());
        assert_eq!(granted(&ia(0, 0, &option(13, &[0, 2]))), Err(2));
        assert_eq!(granted(&[option(13, &[0, 4]), ia(0, 0, &good)].concat()), Err(4));
        assert_eq!(granted(&option(3, &[0; 12])), Err(3), "another IA's");
        let many: StdVec<u8> = (1..9).flat_map(|n| address(&std::format!("2001:db8::{n}"), 10, 20)).collect();
        assert_eq!(granted(&ia(0, 0, &many)).expect("a lease").addresses().len(), MAX_ADDRESSES);
    }

    #[test]
    fn names_are_read_and_information_is_not_asked_for_too_often() {
        let dns = [[0xfd; 16], [0xff; 16], [0x20; 16]].concat();
        let options = [option(23, &dns), option(24, b"\x07example\x03net\x00"), option(32, &[0, 0, 0, 5])].concat();
        let (lease, refresh) = read_information(Options::parse(&options).expect("options"), Duid::default());
        assert_eq!((lease.dns().len(), lease.domain(), refresh), (2, "example.net", Duration::from_secs(600)));
        let (lease, refresh) = read_information(Options::parse(&[]).expect("options"), Duid::default());
        assert_eq!((lease.dns().len(), lease.domain(), refresh), (0, "", Duration::from_secs(86_400)));
    }
}

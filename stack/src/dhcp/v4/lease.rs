//! What a server gives: an address for some time, routes, name servers.
//!
//! Implements RFC 2131 §4.4.5 (times), RFC 2132 (mask, routers, name servers, domain, MTU), RFC 3442 (classless routes).

use super::message::{Malformed, Message, code};
use crate::ip::addr::Cidr;
use crate::time::{Duration, Instant};
use core::net::{IpAddr, Ipv4Addr};
use heapless::Vec;

/// Routes taken from a server at most; those that come first count.
const MAX_ROUTES: usize = 8;
/// Name servers taken at most.
const MAX_SERVERS: usize = 4;
/// Octets of a domain name in text, at most (RFC 1035 §2.3.4).
const MAX_DOMAIN: usize = 253;
/// RFC 791 §3.2; RFC 2132 §5.1 lets no server say less.
const LEAST_MTU: u16 = 68;

/// A way that a server tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRoute {
    /// The destinations.
    pub prefix: Cidr,
    /// The router, or `None` when they are on the link.
    pub gateway: Option<Ipv4Addr>,
}

/// An address for some time, and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    address: Cidr,
    server: Ipv4Addr,
    routes: Vec<LeaseRoute, MAX_ROUTES>,
    dns: Vec<Ipv4Addr, MAX_SERVERS>,
    domain: Vec<u8, MAX_DOMAIN>,
    mtu: Option<u16>,
    since: Instant,
    /// `None`: for ever.
    times: Option<Times>,
}

/// How long, from the time of the request on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Times {
    lease: Duration,
    t1: Duration,
    t2: Duration,
}

impl Lease {
    /// Reads what an OFFER or ACK gives; the request for it left at `since`.
    pub(super) fn read(message: &Message<'_>, since: Instant) -> Result<Self, Malformed> {
        let ip = message.yiaddr();
        let prefix_len = match message.address(code::SUBNET_MASK)? {
            Some(mask) => prefix_len(mask).ok_or(Malformed)?,
            None => class_prefix(ip),
        };
        let address = Cidr::new(ip.into(), prefix_len).filter(Cidr::is_host_address).ok_or(Malformed)?;
        let server = message.address(code::SERVER_ID)?.ok_or(Malformed)?;
        if !crate::ip::addr::is_unicast_host(server.into()) {
            return Err(Malformed);
        }
        let times = Times::read(message)?;
        let mtu = match message.option(code::MTU)?.as_deref() {
            None => None,
            Some(&[high, low]) => Some(u16::from_be_bytes([high, low])).filter(|&mtu| mtu >= LEAST_MTU),
            Some(_) => return Err(Malformed),
        };
        let mut domain = Vec::new();
        if let Some(name) = message.option(code::DOMAIN_NAME)? {
            // What is no host name is left out: it is to be put into questions.
            let name = name.strip_suffix(&[0]).unwrap_or(&name);
            if name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')) {
                let _ = domain.extend_from_slice(name);
            }
        }
        let dns = message.addresses(code::DNS)?;
        Ok(Self { address, server, routes: routes(message, address)?, dns, domain, mtu, since, times })
    }

    /// The address, with the length of its network's prefix.
    pub fn address(&self) -> Cidr {
        self.address
    }

    /// The address alone.
    pub(super) fn ip(&self) -> Ipv4Addr {
        match self.address.addr() {
            IpAddr::V4(ip) => ip,
            IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
        }
    }

    /// Who gave it.
    pub fn server(&self) -> Ipv4Addr {
        self.server
    }

    /// The routes that go with it, at most 8, best first; that of the address's own network is not among them.
    pub fn routes(&self) -> &[LeaseRoute] {
        &self.routes
    }

    /// Name servers, at most 4, in the order of preference.
    pub fn dns(&self) -> &[Ipv4Addr] {
        &self.dns
    }

    /// The domain that short names are in; empty when the server told none.
    pub fn domain(&self) -> &str {
        core::str::from_utf8(&self.domain).unwrap_or("")
    }

    /// The MTU that the server asks for, in octets.
    pub fn mtu(&self) -> Option<u16> {
        self.mtu
    }

    /// When it ends; `None` when never.
    pub fn expires(&self) -> Option<Instant> {
        self.times.map(|t| self.since + t.lease)
    }

    /// When its server is asked to renew it (T1).
    pub(super) fn t1(&self) -> Option<Instant> {
        self.times.map(|t| self.since + t.t1)
    }

    /// When any server is asked to (T2).
    pub(super) fn t2(&self) -> Option<Instant> {
        self.times.map(|t| self.since + t.t2)
    }

    /// Whether the lease gives no time at all.
    pub(super) fn is_empty(&self) -> bool {
        self.times.is_some_and(|t| t.lease == Duration::ZERO)
    }
}

impl Times {
    fn read(message: &Message<'_>) -> Result<Option<Self>, Malformed> {
        let lease = message.number(code::LEASE_TIME)?.ok_or(Malformed)?;
        let (t1, t2) = (message.number(code::T1)?, message.number(code::T2)?);
        //= https://www.rfc-editor.org/rfc/rfc2131#section-3.3
        //# The value of 0xffffffff is reserved to represent
        //# "infinity".
        if lease == u32::MAX {
            return Ok(None);
        }
        let millis = u64::from(lease) * 1000;
        let (t1, t2) = match (t1, t2) {
            (Some(t1), Some(t2)) if 0 < t1 && t1 < t2 && t2 < lease => (u64::from(t1) * 1000, u64::from(t2) * 1000),
            (Some(t1), None) if 0 < t1 && u64::from(t1) * 8000 < millis * 7 => (u64::from(t1) * 1000, millis / 8 * 7),
            (None, Some(t2)) if t2 < lease && u64::from(t2) * 2000 > millis => (millis / 2, u64::from(t2) * 1000),
            // RFC 2131 §4.4.5: 0.5 and 0.875 of the lease, for want of better ones.
            _ => (millis / 2, millis / 8 * 7),
        };
        let of = Duration::from_millis;
        Ok(Some(Self { lease: of(millis), t1: of(t1), t2: of(t2) }))
    }
}

/// The length of a mask's prefix; `None` for one that is none, or that all hosts would be on the link with.
fn prefix_len(mask: Ipv4Addr) -> Option<u8> {
    let bits = mask.to_bits();
    let len = bits.leading_ones();
    (len > 0 && bits.checked_shl(len).unwrap_or(0) == 0).then_some(len as u8)
}

/// The prefix length of an address's class, where a server gives no mask.
fn class_prefix(ip: Ipv4Addr) -> u8 {
    match ip.octets()[0] {
        0..128 => 8,
        128..192 => 16,
        _ => 24,
    }
}

fn routes(message: &Message<'_>, address: Cidr) -> Result<Vec<LeaseRoute, MAX_ROUTES>, Malformed> {
    let mut routes = Vec::new();
    let gateways: Vec<Ipv4Addr, MAX_ROUTES> = message.addresses(code::ROUTER)?;
    if let Some(octets) = message.option(code::CLASSLESS_ROUTES)? {
        //= https://www.rfc-editor.org/rfc/rfc3442#section-3
        //# If the DHCP server returns both a Classless Static Routes option and
        //# a Router option, the DHCP client MUST ignore the Router option.
        let mut rest = octets.as_slice();
        while !rest.is_empty() {
            let route;
            (route, rest) = classless_route(rest)?;
            let own = route.gateway.is_some_and(|g| IpAddr::V4(g) == address.addr());
            if !own && route.gateway.is_none_or(|g| crate::ip::addr::is_unicast_host(g.into())) {
                let _ = routes.push(route);
            }
        }
        return Ok(routes);
    }
    let any = Cidr::new(Ipv4Addr::UNSPECIFIED.into(), 0).ok_or(Malformed)?;
    for gateway in gateways {
        if crate::ip::addr::is_unicast_host(gateway.into()) && IpAddr::V4(gateway) != address.addr() {
            let _ = routes.push(LeaseRoute { prefix: any, gateway: Some(gateway) });
        }
    }
    Ok(routes)
}

/// RFC 3442 §3: the prefix's length, as many of its octets as that needs, the router.
fn classless_route(octets: &[u8]) -> Result<(LeaseRoute, &[u8]), Malformed> {
    let (&len, rest) = octets.split_first().ok_or(Malformed)?;
    let significant = usize::from(len.div_ceil(8));
    let mut prefix = [0; 4];
    let (given, rest) = rest.split_at_checked(significant).ok_or(Malformed)?;
    prefix.get_mut(..significant).ok_or(Malformed)?.copy_from_slice(given);
    let (gateway, rest) = rest.split_first_chunk::<4>().ok_or(Malformed)?;
    let prefix = Cidr::new(Ipv4Addr::from(prefix).into(), len).ok_or(Malformed)?.network();
    let gateway = Some(Ipv4Addr::from(*gateway)).filter(|g| !g.is_unspecified());
    Ok((LeaseRoute { prefix, gateway }, rest))
}

#[cfg(test)]
mod tests {
    use super::super::message::{BOOTREPLY, Head, Kind, ROOM, Writer};
    use super::*;
    use crate::device::Mac;
    extern crate std;
    use std::string::{String, ToString};
    use std::vec::Vec as StdVec;

    /// What an ACK with these options, besides server and lease time, gives.
    fn read(options: &[(u8, &[u8])]) -> Result<Lease, Malformed> {
        let mut buf = [0; ROOM];
        let any = Ipv4Addr::UNSPECIFIED;
        let (yiaddr, chaddr) = (Ipv4Addr::new(192, 0, 2, 7), Mac([2, 0, 0, 0, 0, 1]));
        let head = Head { op: BOOTREPLY, xid: 1, secs: 0, broadcast: false, ciaddr: any, yiaddr, giaddr: any, chaddr };
        let mut writer = Writer::new(&mut buf, &head, Kind::Ack);
        let fixed: [(u8, &[u8]); 2] = [(code::SERVER_ID, &[192, 0, 2, 1]), (code::LEASE_TIME, &[0, 0, 0x10, 0])];
        for (code, data) in fixed.iter().filter(|(c, _)| options.iter().all(|(o, _)| o != c)).chain(options) {
            if *data != b"absent" {
                writer.option(*code, data);
            }
        }
        let len = writer.finish();
        Lease::read(&Message::parse(&buf[..len]).expect("well-formed"), Instant::from_secs(100))
    }

    /// H126, the times.
    #[test]
    fn times_that_are_absent_or_disordered_are_half_and_seven_eighths() {
        let four = |n: u32| n.to_be_bytes();
        let default = (2_048, 3_584);
        for (t1, t2, expected) in [
            (None, None, default),
            (Some(1_000), Some(2_000), (1_000, 2_000)),
            (Some(2_000), Some(1_000), default),
            (Some(2_000), Some(2_000), default),
            (Some(0), Some(2_000), default),
            (Some(1_000), Some(4_096), default),
            (Some(u32::MAX), Some(u32::MAX), default),
            (Some(1_000), None, (1_000, 3_584)),
            (Some(4_000), None, default),
            (None, Some(3_000), (2_048, 3_000)),
            (None, Some(2_000), default),
        ] {
            let (a, b) = (t1.map(four), t2.map(four));
            let options: StdVec<(u8, &[u8])> =
                [a.as_ref().map(|a| (code::T1, &a[..])), b.as_ref().map(|b| (code::T2, &b[..]))]
                    .into_iter()
                    .flatten()
                    .collect();
            let lease = read(&options).expect("valid");
            let since = |at: Option<Instant>| at.map(|t| t.since(Instant::from_secs(100)).as_secs());
            assert_eq!((since(lease.t1()), since(lease.t2())), (Some(expected.0), Some(expected.1)), "{t1:?} {t2:?}");
            assert_eq!(since(lease.expires()), Some(4_096));
        }
        let for_ever = read(&[(code::LEASE_TIME, &[0xff; 4])]).expect("valid");
        assert_eq!((for_ever.expires(), for_ever.t1(), for_ever.t2()), (None, None, None));
        assert!(read(&[(code::LEASE_TIME, &[0; 4])]).is_ok_and(|l| l.is_empty()));
    }

    /// H122, the part of the values.
    #[test]
    fn options_that_cannot_be_spoil_the_lease() {
        for (code, data) in [
            (code::SUBNET_MASK, &[][..]),
            (code::SUBNET_MASK, &[255, 255, 255]),
            (code::SUBNET_MASK, &[255, 0, 255, 0]),
            (code::SUBNET_MASK, &[0, 0, 0, 0]),
            (code::ROUTER, &[]),
            (code::ROUTER, &[192, 0, 2]),
            (code::DNS, &[]),
            (code::DNS, &[192, 0, 2, 1, 5]),
            (code::LEASE_TIME, &[]),
            (code::LEASE_TIME, &[0, 0, 1]),
            (code::LEASE_TIME, b"absent"),
            (code::SERVER_ID, &[]),
            (code::SERVER_ID, &[0, 0, 0, 0]),
            (code::SERVER_ID, &[255, 255, 255, 255]),
            (code::SERVER_ID, b"absent"),
            (code::T1, &[1]),
            (code::MTU, &[1]),
            (code::CLASSLESS_ROUTES, &[33, 1, 2, 3, 4, 5, 192, 0, 2, 1]),
            (code::CLASSLESS_ROUTES, &[24, 10, 0, 0, 192, 0, 2]),
            (code::CLASSLESS_ROUTES, &[24, 10]),
            // The mask makes the address its network's broadcast address.
            (code::SUBNET_MASK, &[255, 255, 255, 248]),
        ] {
            assert!(read(&[(code, data)]).is_err(), "{code}: {data:?}");
        }
        assert!(read(&[]).is_ok_and(|l| l.address().to_string() == "192.0.2.7/24"), "class C");
        assert!(read(&[(code::SUBNET_MASK, &[255; 4])]).is_ok_and(|l| l.address().prefix_len() == 32));
    }

    #[test]
    fn classless_routes_take_the_place_of_routers() {
        let text = |l: Lease| -> StdVec<String> {
            l.routes().iter().map(|r| std::format!("{} {:?}", r.prefix, r.gateway)).collect()
        };
        let routers = (code::ROUTER, &[192, 0, 2, 1, 192, 0, 2, 2][..]);
        let lease = read(&[routers]).expect("valid");
        assert_eq!(text(lease), ["0.0.0.0/0 Some(192.0.2.1)", "0.0.0.0/0 Some(192.0.2.2)"]);
        let classless: &[u8] = &[0, 192, 0, 2, 9, 9, 10, 0xff, 192, 0, 2, 8, 32, 10, 1, 2, 3, 0, 0, 0, 0];
        let lease = read(&[routers, (code::CLASSLESS_ROUTES, classless)]).expect("valid");
        assert_eq!(text(lease), ["0.0.0.0/0 Some(192.0.2.9)", "10.128.0.0/9 Some(192.0.2.8)", "10.1.2.3/32 None"]);
        let many = [24, 10, 0, 0, 192, 0, 2, 1].repeat(20);
        assert_eq!(read(&[(code::CLASSLESS_ROUTES, &many)]).expect("valid").routes().len(), MAX_ROUTES);
        // Routers that no host can be, and ourselves, are left out.
        let lease = read(&[(code::ROUTER, &[192, 0, 2, 7, 224, 0, 0, 1, 192, 0, 2, 3])]).expect("valid");
        assert_eq!(text(lease), ["0.0.0.0/0 Some(192.0.2.3)"]);
    }

    #[test]
    fn names_servers_and_mtu_are_told() {
        let dns = [[9, 9, 9, 9], [1, 1, 1, 1]].concat().repeat(4);
        let lease = read(&[(code::DNS, &dns), (code::DOMAIN_NAME, b"example.net\0"), (code::MTU, &[5, 0])]);
        let lease = lease.expect("valid");
        assert_eq!(lease.dns().len(), MAX_SERVERS);
        assert_eq!((lease.domain(), lease.mtu()), ("example.net", Some(1_280)));
        let odd = read(&[(code::DOMAIN_NAME, b"a b;c"), (code::MTU, &[0, 67])]).expect("valid");
        assert_eq!((odd.domain(), odd.mtu()), ("", None));
    }
}

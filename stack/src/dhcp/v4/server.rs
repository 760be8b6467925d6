//! The server's side of DHCP for a few clients on one link, without I/O: what a point-to-point link, or a device that is
//! its own network, needs.
//!
//! Implements RFC 2131 §4.3 and RFC 2132 for clients on the link itself (no relays). Leases live in a table of fixed size,
//! by the clients' identifiers; an address on offer is held for a short time, so that nobody can hold them all by asking.
//!
//! ```text
//!  DISCOVER ─▶ place: its own, a free one, the one that was free longest ─▶ OFFER (held 10 s) ─ REQUEST ─▶ ACK (lease)
//!  REQUEST of an address that is not the client's ─▶ NAK      DECLINE ─▶ unused for ten minutes    RELEASE ─▶ free
//! ```

use super::message::{BOOTREPLY, BOOTREQUEST, Head, Kind, Message, ROOM, Writer, code};
use crate::device::Mac;
use crate::ip::addr::Cidr;
use crate::time::{Duration, Instant};
use core::net::{IpAddr, Ipv4Addr};
use heapless::Vec;

/// Leases at most.
pub const MAX_LEASES: usize = 16;
/// Octets of a client's identifier that tell it apart; longer ones are told apart by their hash as well.
const ID: usize = 16;
/// How long an address on offer is held.
const OFFERED: Duration = Duration::from_secs(10);
/// How long an address that somebody else has is not given.
const DECLINED: Duration = Duration::from_secs(600);

/// Settings of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DhcpServerOptions<'n> {
    /// The first address to give; it lies in the network of the interface's own address.
    pub first: Ipv4Addr,
    /// How many addresses from there on are given: 1 to [`MAX_LEASES`].
    pub count: u8,
    /// How long a lease is; at least a minute.
    pub lease: Duration,
    /// The router that clients are told of; on a link that leads nowhere, none.
    pub router: Option<Ipv4Addr>,
    /// Name servers, of which four are told.
    pub dns: &'n [Ipv4Addr],
}

/// A lease, for the program to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseInfo {
    /// The client's MAC address.
    pub mac: Mac,
    /// Its address.
    pub ip: Ipv4Addr,
    /// When the lease is over unless it is renewed.
    pub until: Instant,
}

/// What a place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Free,
    Offered,
    Leased,
    /// Somebody has the address who did not ask for it.
    Declined,
}

#[derive(Clone, Copy)]
struct Place {
    id: [u8; ID],
    mac: Mac,
    used: Use,
    /// When that is over; of a free place, when it became free.
    until: Instant,
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    kind: Kind,
    xid: u32,
    broadcast: bool,
    ciaddr: Ipv4Addr,
    yiaddr: Ipv4Addr,
    chaddr: Mac,
    /// Where it goes.
    pub to: Ipv4Addr,
}

pub(super) struct Server {
    own: Cidr,
    first: Ipv4Addr,
    lease: Duration,
    router: Option<Ipv4Addr>,
    dns: Vec<Ipv4Addr, 4>,
    places: Vec<Place, MAX_LEASES>,
}

impl Server {
    /// A server whose own address is `own`; `None` for settings that cannot be.
    pub fn new(own: Cidr, options: &DhcpServerOptions<'_>) -> Option<Self> {
        let DhcpServerOptions { first, count, lease, router, dns } = *options;
        let all = (0..count).map(|n| Ipv4Addr::from_bits(first.to_bits().wrapping_add(n.into())));
        let can_be = |ip: Ipv4Addr| {
            own.contains(ip.into())
                && IpAddr::V4(ip) != own.addr()
                && Cidr::new(ip.into(), own.prefix_len()).is_some_and(|c| c.is_host_address())
        };
        if count == 0 || usize::from(count) > MAX_LEASES || lease < Duration::from_secs(60) || !all.clone().all(can_be)
        {
            return None;
        }
        let free = Place { id: [0; ID], mac: Mac([0; 6]), used: Use::Free, until: Instant::ZERO };
        let places = all.map(|_| free).collect();
        Some(Self { own, first, lease, router, dns: dns.iter().take(4).copied().collect(), places })
    }

    /// The leases in force.
    pub fn leases(&self, now: Instant) -> impl Iterator<Item = LeaseInfo> {
        let leased = move |p: &Place| p.used == Use::Leased && p.until > now;
        let all = self.places.iter().enumerate().filter(move |(_, p)| leased(p));
        all.map(|(n, p)| LeaseInfo { mac: p.mac, ip: self.ip(n), until: p.until })
    }

    /// A message has come; the answer, if it is one to answer.
    pub fn handle(&mut self, now: Instant, bytes: &[u8]) -> Option<Answer> {
        let message = Message::parse(bytes).ok().filter(|m| m.op() == BOOTREQUEST)?;
        // Relays would want their answers elsewhere; on a link of our own there are none.
        if !message.giaddr().is_unspecified() || !message.chaddr().is_station() {
            return None;
        }
        let id = client_id(&message)?;
        let server = message.address(code::SERVER_ID).ok()?;
        let requested = message.address(code::REQUESTED_ADDRESS).ok()?;
        let for_us = server.is_none_or(|s| IpAddr::V4(s) == self.own.addr());
        match message.kind().ok()? {
            Kind::Discover => self.on_discover(now, &message, &id, requested),
            Kind::Request if for_us => self.on_request(now, &message, &id, (server.is_some(), requested)),
            // RFC 2131 §4.3.2: the client has chosen another server.
            Kind::Request => {
                self.free(now, &id, None, Use::Offered);
                None
            }
            Kind::Release if for_us => {
                self.free(now, &id, Some(message.ciaddr()), Use::Leased);
                None
            }
            Kind::Decline if for_us => {
                self.decline(now, &id, requested?);
                None
            }
            Kind::Inform => Some(self.answer(Kind::Ack, &message, Ipv4Addr::UNSPECIFIED)),
            _ => None,
        }
    }

    fn on_discover(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        id: &[u8; ID],
        requested: Option<Ipv4Addr>,
    ) -> Option<Answer> {
        let own = self.places.iter().position(|p| p.id == *id && p.used != Use::Declined);
        let wished = requested.and_then(|ip| self.number(ip));
        let is_free = |p: &Place| p.used == Use::Free || p.until <= now;
        let wished = wished.filter(|n| self.places.get(*n).is_some_and(is_free));
        // RFC 2131 §4.3.1: its own, the one it wishes for, one never given, the one that is free for longest.
        let free = self.places.iter().enumerate().filter(|(_, p)| is_free(p)).min_by_key(|(_, p)| p.until);
        let number = own.or(wished).or(free.map(|(n, _)| n))?;
        let ip = self.ip(number);
        let place = self.places.get_mut(number)?;
        if place.id != *id || place.used != Use::Leased || place.until <= now {
            *place = Place { id: *id, mac: message.chaddr(), used: Use::Offered, until: now + OFFERED };
        }
        Some(self.answer(Kind::Offer, message, ip))
    }

    fn on_request(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        id: &[u8; ID],
        (selecting, requested): (bool, Option<Ipv4Addr>),
    ) -> Option<Answer> {
        // RFC 2131 §4.3.2: SELECTING and INIT-REBOOT ask by option, RENEWING and REBINDING by ciaddr.
        let ip = match requested {
            Some(ip) => ip,
            None => Some(message.ciaddr()).filter(|ip| !ip.is_unspecified() && !selecting)?,
        };
        let number = self.number(ip);
        let place = number.and_then(|n| self.places.get_mut(n));
        match place {
            Some(place) if place.id == *id && matches!(place.used, Use::Offered | Use::Leased) => {
                (place.used, place.until, place.mac) = (Use::Leased, now + self.lease, message.chaddr());
                Some(self.answer(Kind::Ack, message, ip))
            }
            // One that was forgotten by a restart of ours, and that nobody else has.
            Some(place) if !selecting && (place.used == Use::Free || place.until <= now) => {
                *place = Place { id: *id, mac: message.chaddr(), used: Use::Leased, until: now + self.lease };
                self.free_others(now, id, number);
                Some(self.answer(Kind::Ack, message, ip))
            }
            //= https://www.rfc-editor.org/rfc/rfc2131#section-4.3.2
            //# If the network is correct,
            //# then the DHCP server should check if the client's notion of its IP
            //# address is correct. If not, then the server SHOULD send a DHCPNAK
            //# message to the client.
            _ => Some(self.answer(Kind::Nak, message, Ipv4Addr::UNSPECIFIED)),
        }
    }

    /// One client has one address.
    fn free_others(&mut self, now: Instant, id: &[u8; ID], but: Option<usize>) {
        for (n, place) in self.places.iter_mut().enumerate() {
            if place.id == *id && Some(n) != but && place.used != Use::Declined {
                (place.id, place.used, place.until) = ([0; ID], Use::Free, now);
            }
        }
    }

    /// Frees a client's place that is in this use, if it has this address.
    fn free(&mut self, now: Instant, id: &[u8; ID], ip: Option<Ipv4Addr>, used: Use) {
        let first = self.first;
        for (n, place) in self.places.iter_mut().enumerate() {
            let same = ip.is_none_or(|ip| ip == nth(first, n));
            if place.id == *id && place.used == used && same {
                (place.used, place.until) = (Use::Free, now);
            }
        }
    }

    /// RFC 2131 §4.3.3: the client has found somebody at its address, which it was offered or given.
    fn decline(&mut self, now: Instant, id: &[u8; ID], ip: Ipv4Addr) {
        let place = self.number(ip).and_then(|n| self.places.get_mut(n));
        if let Some(place) = place.filter(|p| p.id == *id && matches!(p.used, Use::Offered | Use::Leased)) {
            (place.id, place.used, place.until) = ([0; ID], Use::Declined, now + DECLINED);
        }
    }

    fn ip(&self, number: usize) -> Ipv4Addr {
        nth(self.first, number)
    }

    fn number(&self, ip: Ipv4Addr) -> Option<usize> {
        let number = ip.to_bits().checked_sub(self.first.to_bits())? as usize;
        (number < self.places.len()).then_some(number)
    }

    fn answer(&self, kind: Kind, message: &Message<'_>, yiaddr: Ipv4Addr) -> Answer {
        let ciaddr = message.ciaddr();
        // RFC 2131 §4.1: to whom has an address, there; to others by broadcast, which all of them take.
        let unicast = kind != Kind::Nak && !ciaddr.is_unspecified() && self.own.contains(ciaddr.into());
        let to = if unicast { ciaddr } else { Ipv4Addr::BROADCAST };
        let ciaddr = if kind == Kind::Ack { ciaddr } else { Ipv4Addr::UNSPECIFIED };
        let (xid, broadcast, chaddr) = (message.xid(), message.wants_broadcast(), message.chaddr());
        Answer { kind, xid, broadcast, ciaddr, yiaddr, chaddr, to }
    }

    /// Writes an answer; its length.
    pub fn write(&self, answer: &Answer, buf: &mut [u8; ROOM]) -> usize {
        let Answer { kind, xid, broadcast, ciaddr, yiaddr, chaddr, to: _ } = *answer;
        let giaddr = Ipv4Addr::UNSPECIFIED;
        let head = Head { op: BOOTREPLY, xid, secs: 0, broadcast, ciaddr, yiaddr, giaddr, chaddr };
        let mut w = Writer::new(buf, &head, kind);
        if let IpAddr::V4(own) = self.own.addr() {
            w.option(code::SERVER_ID, &own.octets());
        }
        if kind == Kind::Nak {
            return w.finish();
        }
        // RFC 2131 §4.3.5: an answer to DHCPINFORM has no times.
        if !yiaddr.is_unspecified() {
            let secs = u32::try_from(self.lease.as_secs()).unwrap_or(u32::MAX - 1);
            w.option(code::LEASE_TIME, &secs.to_be_bytes());
        }
        let mask = u32::MAX.checked_shl(32 - u32::from(self.own.prefix_len())).unwrap_or(0);
        w.option(code::SUBNET_MASK, &mask.to_be_bytes());
        if let Some(router) = self.router {
            w.option(code::ROUTER, &router.octets());
        }
        let mut servers = Vec::<u8, 16>::new();
        self.dns.iter().for_each(|ip| _ = servers.extend_from_slice(&ip.octets()));
        if !servers.is_empty() {
            w.option(code::DNS, &servers);
        }
        w.finish()
    }
}

fn nth(first: Ipv4Addr, number: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(first.to_bits().wrapping_add(number as u32))
}

/// What a client is told apart by (RFC 2131 §4.2): its identifier, or its MAC address.
fn client_id(message: &Message<'_>) -> Option<[u8; ID]> {
    let given = message.option(code::CLIENT_ID).ok()?;
    let mut id = [0; ID];
    let mac = message.chaddr().0;
    let octets: &[u8] = given.as_deref().filter(|g| g.len() >= 2).unwrap_or(&mac);
    // FNV-1a of what has no room: two clients that collide share a place, which their MAC addresses then take in turn.
    let hash = octets.iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    let whole = octets.len() < ID;
    let kept = if whole { octets.len() } else { ID - 9 };
    id.get_mut(1..=kept)?.copy_from_slice(octets.get(..kept)?);
    // Never that of a free place.
    id[0] = 1 + octets.len().min(200) as u8;
    if !whole {
        id.get_mut(ID - 8..)?.copy_from_slice(&hash.to_be_bytes());
    }
    Some(id)
}

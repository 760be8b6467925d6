//! One network interface as the stack sees it: addresses, the pool of its device, and what waits to leave by it.

use crate::device::{Capabilities, Link, Mac, Medium, TxMeta};
use crate::error::AddressError;
use crate::family::IpAddr;
use crate::frame::{Frame, Pool};
use crate::ip::addr::{self, Cidr};
#[cfg(feature = "forward")]
use crate::ip::forward::Transit;
pub use crate::ip::route::IfaceId;
#[cfg(feature = "temporary-addresses")]
use crate::ip::temporary::SourcePreference;
#[cfg(feature = "ipv6")]
use crate::ip::{slaac, v6};
use crate::link::arp::Defence;
use crate::link::ethernet;
use crate::time::Instant;
use core::net::Ipv4Addr;
use heapless::{Deque, Vec};

/// Addresses per interface.
pub const MAX_ADDRESSES: usize = if cfg!(feature = "ipv6") { 8 } else { 6 };

/// Replies that may wait for their turn on one interface; more are dropped and counted.
pub(crate) const MAX_REPLIES: usize = 16;

/// Octets kept free in front of a frame for what is pushed there: Ethernet with a VLAN tag, rounded up.
pub(crate) const LINK_HEADROOM: usize = 20;

/// A set of interfaces, at most 32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct IfaceSet(u32);

impl IfaceSet {
    /// The most interfaces a stack can have.
    pub const MAX: usize = 32;

    /// Whether the set holds `id`.
    pub const fn contains(self, id: IfaceId) -> bool {
        self.0 >> (id.0 & 31) & 1 != 0
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The set's interfaces, in order.
    pub fn iter(self) -> impl Iterator<Item = IfaceId> {
        (0..32).map(IfaceId).filter(move |&id| self.contains(id))
    }

    pub(crate) fn insert(&mut self, index: usize) {
        self.0 |= 1 << (index & 31);
    }

    /// Takes `id` out; whether it was there.
    #[cfg(any(
        feature = "ipv6",
        feature = "multicast",
        feature = "carrier",
        feature = "raw-ethernet",
        feature = "any-address"
    ))]
    pub(crate) fn take(&mut self, id: IfaceId) -> bool {
        let was = self.contains(id);
        self.0 &= !(1 << (id.0 & 31));
        was
    }
}

/// A packet that waits to leave.
#[derive(Debug)]
pub(crate) enum Reply<'a> {
    /// An IP packet: route and neighbour are looked up when it leaves.
    Ip(Frame<'a>),
    /// As `Ip`, seen by hooks already.
    #[cfg(feature = "hooks")]
    Hooked(Frame<'a>),
    /// An IP packet that waited for a neighbour of this interface, and leaves by no other.
    Parked(Frame<'a>),
    /// A complete link-layer frame.
    Link(Frame<'a>),
}

/// Which kind of address is preferred: temporary ones, or others. Without the feature there is one kind.
#[cfg(feature = "temporary-addresses")]
type Kind = bool;
#[cfg(not(feature = "temporary-addresses"))]
type Kind = ();
/// The others.
#[cfg(all(feature = "optimistic-dad", feature = "temporary-addresses"))]
pub(super) const STABLE: Kind = false;
#[cfg(all(feature = "optimistic-dad", not(feature = "temporary-addresses")))]
pub(super) const STABLE: Kind = ();

/// An IP packet larger than the MTU, on its way out in pieces.
#[derive(Debug)]
pub(crate) struct Cutting<'a> {
    pub frame: Frame<'a>,
    /// The next hop's link-layer address; `None` where there is none (IP medium).
    pub mac: Option<Mac>,
    /// Pieces that have left.
    pub pieces: usize,
    /// The largest piece.
    pub mtu: usize,
    /// The identification of the pieces (IPv6).
    pub ident: u32,
}

/// Says that there is an interface. More of its values are impossible than of any other field, and zero is one of them: so
/// an `Option` of an interface is all zeros when there is none, and a `static` table lies in `.bss`.
#[derive(Clone, Copy)]
#[repr(u64)]
enum Present {
    Yes = 1,
}

// In this order a small processor reaches it by shorter instructions.
#[cfg_attr(target_os = "none", repr(C))]
pub(crate) struct Iface<'a> {
    _present: Present,
    /// Addresses whose announcement is owed, by place (bit set).
    pub announce: u8,
    pub mac: Mac,
    pub pool: Pool<'a>,
    pub caps: Capabilities,
    /// How many of them may wait: what strangers provoke takes a quarter of the pool at most.
    reply_share: usize,
    /// Egress waits for frames or device room, neither of which the stack can see coming: look again at this time.
    pub stalled: Option<Instant>,
    /// When our address was last defended (RFC 5227 §2.4).
    pub defence: Defence,
    pub addresses: Vec<Cidr, MAX_ADDRESSES>,
    /// Refused by the device: the first to be offered again.
    pub held: Option<(Frame<'a>, TxMeta)>,
    pub cutting: Option<Cutting<'a>>,
    pub counters: super::InterfaceCounters,
    /// Packets for others that leave by it.
    #[cfg(feature = "forward")]
    pub transit: Transit<'a>,
    /// Its device was told to receive everything.
    #[cfg(any(feature = "raw-ethernet", feature = "any-address"))]
    pub promiscuous: bool,
    /// The carrier, as of the last poll.
    #[cfg(feature = "carrier")]
    pub link: Link,
    /// Who waits for it to change.
    #[cfg(feature = "carrier")]
    pub link_waker: Option<core::task::Waker>,
    /// The groups that it is in.
    #[cfg(feature = "multicast")]
    pub groups: crate::ip::groups::Groups,
    /// Addresses that are probed for, or about to be announced again (RFC 5227 §2.1, §2.3).
    #[cfg(feature = "acd")]
    pub probes: Vec<crate::link::acd::Probe, 2>,
    /// The last conflict over an address of ours, not told yet.
    #[cfg(feature = "acd")]
    pub conflict: Option<crate::link::acd::AddressConflict>,
    /// IPv6 addresses among them are announced, too: they are no new ones, which were solicited for and thereby told of.
    #[cfg(feature = "carrier")]
    pub readvertise: bool,
    #[cfg(feature = "ipv6")]
    pub v6: slaac::Host,
    /// What hosts are told of this router, and when.
    #[cfg(feature = "router-advertisements")]
    pub advertiser: Option<crate::ip::advertise::Advertiser>,
    pub replies: Deque<Reply<'a>, MAX_REPLIES>,
}

impl<'a> Iface<'a> {
    pub fn new(pool: Pool<'a>, caps: Capabilities, mac: Mac) -> Self {
        Self {
            _present: Present::Yes,
            pool,
            caps,
            mac,
            addresses: Vec::new(),
            replies: Deque::new(),
            reply_share: (pool.count() / 4).clamp(1, MAX_REPLIES),
            #[cfg(feature = "forward")]
            transit: Transit::new(),
            counters: super::InterfaceCounters::default(),
            held: None,
            cutting: None,
            #[cfg(any(feature = "raw-ethernet", feature = "any-address"))]
            promiscuous: false,
            #[cfg(feature = "carrier")]
            link: Link::Up,
            #[cfg(feature = "carrier")]
            link_waker: None,
            stalled: None,
            defence: Defence::default(),
            #[cfg(feature = "multicast")]
            groups: crate::ip::groups::Groups::new(),
            #[cfg(feature = "acd")]
            probes: Vec::new(),
            #[cfg(feature = "acd")]
            conflict: None,
            announce: 0,
            #[cfg(feature = "carrier")]
            readvertise: false,
            #[cfg(feature = "ipv6")]
            v6: slaac::Host::new(),
            #[cfg(feature = "router-advertisements")]
            advertiser: None,
        }
    }

    /// The carrier; without the feature `carrier` nobody looks at it.
    #[inline]
    pub fn link(&self) -> Link {
        #[cfg(feature = "carrier")]
        return self.link;
        #[cfg(not(feature = "carrier"))]
        Link::Up
    }

    #[inline]
    pub fn is_up(&self) -> bool {
        self.link() == Link::Up
    }

    pub fn is_ethernet(&self) -> bool {
        self.caps.medium == Medium::Ethernet
    }

    /// Octets in front of an IP packet on this interface: the link header and what the device wants.
    pub fn headroom(&self) -> usize {
        LINK_HEADROOM + self.caps.headroom
    }

    /// The largest IP packet that leaves in one piece: the MTU, but never more than a frame of the pool can hold.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn ip_mtu(&self) -> usize {
        self.caps.ip_mtu.min(self.pool.slot_size().saturating_sub(self.headroom())).min(usize::from(u16::MAX))
    }

    /// As [`ip_mtu`](Self::ip_mtu), for packets to `dst`: of IPv6, a router may have advertised less.
    #[inline]
    pub fn mtu_towards(&self, dst: IpAddr) -> usize {
        match dst {
            #[cfg(feature = "ipv6")]
            IpAddr::V6(_) => self.ip_mtu().min(self.v6.mtu.map_or(usize::MAX, usize::from)),
            _ => self.ip_mtu(),
        }
    }

    #[cfg_attr(target_os = "none", inline(never))]
    pub fn has_address(&self, ip: IpAddr) -> bool {
        self.addresses.iter().any(|a| a.ip() == ip)
    }

    /// Whether `ip` is a broadcast address of this interface's networks, or the limited broadcast.
    pub fn is_broadcast(&self, ip: Ipv4Addr) -> bool {
        ip.is_broadcast() || self.addresses.iter().any(|a| a.broadcast() == Some(ip))
    }

    /// Its link-local IPv6 address.
    #[cfg(all(feature = "ipv6", feature = "forward"))]
    pub fn link_local(&self) -> Option<core::net::Ipv6Addr> {
        self.addresses.iter().find_map(|a| match a.ip() {
            IpAddr::V6(ip) if ip.is_unicast_link_local() => Some(ip),
            _ => None,
        })
    }

    /// As [`is_broadcast`](Self::is_broadcast), of either family; IPv6 has no broadcast.
    pub fn is_broadcast_ip(&self, ip: IpAddr) -> bool {
        matches!(ip, IpAddr::V4(v4) if self.is_broadcast(v4))
    }

    /// The address for packets to `towards`: the next hop in IPv4 (RFC 1122 §3.3.4.3), the destination in IPv6
    /// (RFC 6724).
    pub fn source_for(&self, now: Instant, towards: IpAddr) -> Option<IpAddr> {
        #[cfg(feature = "temporary-addresses")]
        return self.source_as(now, towards, SourcePreference::AsSet);
        #[cfg(not(feature = "temporary-addresses"))]
        self.source_among(now, towards, ())
    }

    /// As [`source_for`](Self::source_for), for a socket that prefers one kind of address.
    #[cfg(feature = "temporary-addresses")]
    pub fn source_as(&self, now: Instant, towards: IpAddr, preference: SourcePreference) -> Option<IpAddr> {
        let temporary = match preference {
            SourcePreference::AsSet => self.v6.temporary.settings.is_some_and(|s| s.prefer),
            SourcePreference::Stable => false,
            SourcePreference::Temporary => true,
        };
        self.source_among(now, towards, temporary)
    }

    fn source_among(&self, now: Instant, towards: IpAddr, _temporary: Kind) -> Option<IpAddr> {
        #[cfg(feature = "ipv6")]
        if let IpAddr::V6(dst) = towards {
            return v6::source(dst, self.candidates(now, _temporary)).map(IpAddr::V6);
        }
        let _ = now;
        addr::source_towards(towards, &self.addresses)
    }

    /// The interface's IPv6 addresses as sources.
    #[cfg(feature = "ipv6")]
    pub(super) fn candidates(&self, now: Instant, _temporary: Kind) -> impl Iterator<Item = v6::Candidate> {
        self.addresses.iter().filter_map(move |cidr| match cidr.ip() {
            IpAddr::V6(addr) => Some(v6::Candidate {
                addr,
                // RFC 4429 §3.1: an optimistic one is chosen like a deprecated one.
                deprecated: self.v6.is_deprecated(now, IpAddr::V6(addr)) || self.v6.is_optimistic(IpAddr::V6(addr)),
                #[cfg(feature = "temporary-addresses")]
                preferred: self.v6.is_temporary(addr) == _temporary,
            }),
            IpAddr::V4(_) => None,
        })
    }

    pub fn add_address(&mut self, cidr: Cidr) -> Result<(), AddressError> {
        if !cidr.is_host_address() {
            return Err(AddressError::Invalid);
        }
        self.addresses.push(cidr).map_err(|_| AddressError::Full)?;
        #[cfg(feature = "carrier")]
        {
            self.readvertise &= self.announce != 0;
        }
        self.announce |= 1 << (self.addresses.len() - 1);
        Ok(())
    }

    /// Takes the address in `place` away.
    pub fn remove_address(&mut self, place: usize) {
        self.addresses.remove(place);
        // The announcements owed for those behind it move up with them.
        let before = (1 << place) - 1;
        self.announce = self.announce & before | self.announce >> 1 & !before;
    }

    /// Drops what waits to leave and is `unwanted`; the number of packets. A frame that begins with a link header is
    /// shown without it.
    pub fn drop_if(&mut self, unwanted: impl Fn(&[u8]) -> bool) -> usize {
        let mut dropped = 0;
        for _ in 0..self.replies.len() {
            match self.replies.pop_front() {
                Some(Reply::Ip(frame) | Reply::Parked(frame)) if unwanted(&frame) => dropped += 1,
                #[cfg(feature = "hooks")]
                Some(Reply::Hooked(frame)) if unwanted(&frame) => dropped += 1,
                // There is room: it was taken from there.
                Some(reply) => _ = self.replies.push_back(reply),
                None => {}
            }
        }
        let header = if self.is_ethernet() { ethernet::HEADER } else { 0 };
        if self.held.as_ref().is_some_and(|(frame, _)| frame.get(header..).is_some_and(&unwanted)) {
            self.held = None;
            dropped += 1;
        }
        if self.cutting.as_ref().is_some_and(|c| unwanted(&c.frame)) {
            self.cutting = None;
            dropped += 1;
        }
        dropped
    }

    /// Queues a reply; gives it back when too many wait, or all of them hold too much of the pool.
    pub fn reply(&mut self, reply: Reply<'a>) -> Result<(), Reply<'a>> {
        // ARP, without which nothing else moves, is not held to the share.
        if matches!(reply, Reply::Ip(_)) && self.is_full_of_replies() {
            return Err(reply);
        }
        self.replies.push_back(reply)
    }

    /// Whether as many replies wait as may.
    #[inline]
    pub fn is_full_of_replies(&self) -> bool {
        !self.replies.is_empty() && self.replies.len() >= self.reply_share
    }

    /// Whether something other than sockets waits to leave.
    pub fn owes(&self) -> bool {
        self.held.is_some() || self.cutting.is_some() || !self.replies.is_empty() || self.announce != 0
    }
}

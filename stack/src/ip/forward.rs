//! Forwarding: which packets for others may pass, how they change, and where they wait to leave.
//!
//! Implements RFC 1812 §5.2 and §5.3 as far as a small router needs them, RFC 8200 §3, RFC 1624 (the checksum of a header
//! of which one field changes), RFC 3704 §2 (whether the way back is the way it came).
//!
//! ```text
//!  for another host ─▶ may pass? ─▶ way back? ─▶ hops left? ─▶ route? ─▶ fits? ─▶ one hop less ─▶ waits to leave
//!                        │ counted     │ counted     └─────────────┴─────────┴──▶ its sender is told, within the rate
//! ```

use crate::family::IpAddr;
use crate::frame::{Frame, Pool};
use crate::ip::addr::is_unicast_host;
use crate::ready::NodeId;
use heapless::Deque;

/// Packets that wait to leave by one interface: as many as replies, and of a small pool a share.
const TRANSIT: usize = 16;

/// How packets for others are passed on.
///
/// A stack that forwards is a weak host (RFC 1122 §3.3.4.2), as RFC 1812 §5.2.3 has it: each of its addresses is its own on
/// every interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Forwarding {
    /// Which sources are believed.
    pub reverse_path: ReversePath,
    /// Whether hosts are told of a better first hop on their own link (RFC 1812 §5.2.7.2, RFC 4861 §8.2); the packet goes on in
    /// any case. They are.
    pub redirects: bool,
}

impl Forwarding {
    /// With this check of sources.
    pub const fn with(reverse_path: ReversePath) -> Self {
        Self { reverse_path, redirects: true }
    }
}

impl Default for Forwarding {
    fn default() -> Self {
        Self::with(ReversePath::default())
    }
}

/// Whether a packet's source has to lie where it came from (RFC 3704 §2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ReversePath {
    /// Packets to the source would leave by the interface that its packet came by.
    #[default]
    Strict,
    /// There is a route to the source: for routers whose traffic goes and comes by different ways.
    Loose,
    /// Any source is believed.
    Off,
}

/// Why a packet cannot be passed on, as its sender is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// Its hops ran out.
    HopsExceeded,
    /// No route leads to its destination.
    NoRoute,
    /// A route says that it is to be refused.
    Rejected,
    /// Its destination's link is reached, but nobody is there.
    Unreachable,
    /// Its source means nothing beyond its link (IPv6).
    Scope,
    /// It is longer than its next link takes, in octets, and must not be cut up.
    TooBig(u16),
}

/// Whether a packet between these addresses may leave the link that it came by at all. Addresses of ours, and broadcast
/// addresses of our networks, the caller knows.
pub(crate) fn may_leave_link(src: IpAddr, dst: IpAddr) -> Result<(), Option<Obstacle>> {
    if !is_unicast_host(src) || !is_unicast_host(dst) {
        return Err(None);
    }
    match (src, dst) {
        //= https://www.rfc-editor.org/rfc/rfc3927#section-2.7
        //# A router or other device receiving a packet with an IPv4
        //# Link-Local source or destination address MUST NOT forward
        //# the packet
        (IpAddr::V4(src), IpAddr::V4(dst)) if src.is_link_local() || dst.is_link_local() => Err(None),
        //= https://www.rfc-editor.org/rfc/rfc4291#section-2.5.6
        //# Routers must not forward any packets with Link-Local source or
        //# destination addresses to other links.
        #[cfg(feature = "ipv6")]
        (_, IpAddr::V6(dst)) if dst.is_unicast_link_local() => Err(None),
        #[cfg(feature = "ipv6")]
        (IpAddr::V6(src), _) if src.is_unicast_link_local() => Err(Some(Obstacle::Scope)),
        _ => Ok(()),
    }
}

/// The hops that `packet` may still make, this one included; `None` when it is too short.
pub(crate) fn hops(packet: &[u8]) -> Option<u8> {
    packet.get(hop_at(packet)).copied()
}

/// Takes one hop from `packet`, which has one at least, and of IPv4 adapts its checksum.
//= https://www.rfc-editor.org/rfc/rfc1812#section-5.3.1
//# When a router forwards a packet, it MUST reduce the TTL by at least
//# one.
pub(crate) fn take_hop(packet: &mut [u8]) {
    let at = hop_at(packet);
    let Some(hop) = packet.get_mut(at) else { return };
    *hop = hop.saturating_sub(1);
    if at == V4_TTL
        && let Some([hi, lo]) = packet.get_mut(10..12)
    {
        // RFC 1624 §3: HC' = ~(~HC + ~m + m'), where m' is m less 1 in its upper octet.
        let sum = u32::from(!u16::from_be_bytes([*hi, *lo])) + 0xfeff;
        [*hi, *lo] = (!((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes();
    }
}

const V4_TTL: usize = 8;
const V6_HOP_LIMIT: usize = 7;

fn hop_at(packet: &[u8]) -> usize {
    if crate::wire::ip::is_v6(packet) { V6_HOP_LIMIT } else { V4_TTL }
}

/// Whether an IPv4 packet must not be cut up.
pub(crate) fn is_dont_frag(packet: &[u8]) -> bool {
    packet.get(6).is_some_and(|b| b & 0x40 != 0)
}

/// A packet that waits to leave, its way chosen.
#[derive(Debug)]
pub(crate) struct Passing<'a> {
    pub frame: Frame<'a>,
    /// The neighbour to hand it to.
    pub next: IpAddr,
}

/// The packets that wait to leave by one interface.
pub(crate) struct Transit<'a> {
    queue: Deque<Passing<'a>, TRANSIT>,
    /// Its place in line, among sockets.
    pub node: Option<NodeId>,
}

impl<'a> Transit<'a> {
    pub const fn new() -> Self {
        Self { queue: Deque::new(), node: None }
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many more frames of `pool` may wait: all together hold a quarter of it.
    pub fn room(&self, pool: Pool<'a>) -> usize {
        (pool.count() / 4).clamp(1, TRANSIT).saturating_sub(self.queue.len())
    }

    /// Queues a packet; gives it back without room.
    pub fn push(&mut self, passing: Passing<'a>) -> Result<(), Passing<'a>> {
        if self.room(passing.frame.pool()) == 0 {
            return Err(passing);
        }
        self.queue.push_back(passing)
    }

    /// Puts one back that could not leave now; there is room, since it was taken from there.
    pub fn unpop(&mut self, passing: Passing<'a>) {
        let _ = self.queue.push_front(passing);
    }

    pub fn pop(&mut self) -> Option<Passing<'a>> {
        self.queue.pop_front()
    }
}

#[cfg(all(test, feature = "ipv6"))]
mod tests {
    use super::*;
    use crate::wire::ipv4::{self, Fields};
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("valid text")
    }

    #[test]
    fn what_means_something_on_one_link_only_stays_there() {
        for (src, dst, expected) in [
            ("192.0.2.1", "198.51.100.1", Ok(())),
            ("169.254.1.1", "198.51.100.1", Err(None)),
            ("192.0.2.1", "169.254.1.1", Err(None)),
            ("192.0.2.1", "224.0.0.1", Err(None)),
            ("192.0.2.1", "255.255.255.255", Err(None)),
            ("192.0.2.1", "127.0.0.1", Err(None)),
            ("0.0.0.0", "198.51.100.1", Err(None)),
            ("2001:db8::1", "2001:db8:1::1", Ok(())),
            ("fe80::1", "2001:db8:1::1", Err(Some(Obstacle::Scope))),
            ("2001:db8::1", "fe80::1", Err(None)),
            ("fe80::1", "fe80::2", Err(None)),
            ("::", "2001:db8::1", Err(None)),
            ("2001:db8::1", "ff0e::1", Err(None)),
            ("2001:db8::1", "::1", Err(None)),
        ] {
            assert_eq!(may_leave_link(ip(src), ip(dst)), expected, "{src} {dst}");
        }
    }

    proptest! {
        #[test]
        fn a_header_with_one_hop_less_is_as_right_as_before(ttl in 1u8.., tos: u8, ident: u16, src: u32, dst: u32, len in 0usize..1480) {
            let mut packet = [0; 20];
            let fields = Fields { src: src.into(), dst: dst.into(), protocol: 17, ttl, tos, ident, dont_frag: false };
            ipv4::emit(&mut packet, &fields, len);
            let mut expected = packet;
            take_hop(&mut packet);
            ipv4::emit(&mut expected, &Fields { ttl: ttl - 1, ..fields }, len);
            prop_assert_eq!(hops(&packet), Some(ttl - 1));
            // Both forms of zero are right.
            let zero = |c: [u8; 2]| if c == [0xff, 0xff] { [0, 0] } else { c };
            let sum = |p: &[u8; 20]| zero([p[10], p[11]]);
            prop_assert_eq!(sum(&packet), sum(&expected));
            prop_assert_eq!(packet[..10].to_vec(), expected[..10].to_vec());
            prop_assert!(crate::wire::checksum::sum(&packet).is_valid());
        }
    }
}

//! IPv6 packets made by hand, and read back; and the host under test with IPv6 addresses.
//!
//! H is 2001:db8::1/64 and fe80::1/64 there; its peer P 2001:db8::2 and fe80::2; a router R fe80::fe. Written for tests
//! alone, and apart from the stack's own code, so that both cannot be wrong in the same way.

use crate::bench::{Bench, H_MAC, P_MAC, R_MAC, Setup};
use crate::packet::{Seen, Tcp, checksum, ethernet};
use ringtap::config::Config;
use ringtap::time::{Duration, Instant};
use std::net::{IpAddr, Ipv6Addr};

/// The host under test.
pub const H: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
/// Its link-local address.
pub const H_LL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// A peer on the link.
pub const P: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
/// Its link-local address.
pub const P_LL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
/// A router on the link.
pub const R: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xfe);
/// Everybody on the link.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Nobody.
pub const NOBODY: Ipv6Addr = Ipv6Addr::UNSPECIFIED;

/// The group of those who may have `ip`.
pub fn node_group(ip: Ipv6Addr) -> Ipv6Addr {
    let s = ip.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | s[6] & 0xff, s[7])
}

/// The MAC address of a group.
pub fn group_mac(ip: Ipv6Addr) -> [u8; 6] {
    let o = ip.octets();
    [0x33, 0x33, o[12], o[13], o[14], o[15]]
}

fn pseudo(src: Ipv6Addr, dst: Ipv6Addr, protocol: u8, payload: &[u8]) -> u16 {
    let mut all = Vec::new();
    all.extend(src.octets());
    all.extend(dst.octets());
    all.extend((payload.len() as u32).to_be_bytes());
    all.extend([0, 0, 0, protocol]);
    all.extend(payload);
    checksum(&all)
}

/// An IPv6 packet in the making.
#[derive(Clone, Debug)]
pub struct Ip6 {
    /// Source.
    pub src: Ipv6Addr,
    /// Destination.
    pub dst: Ipv6Addr,
    /// What the fixed header names.
    pub next: u8,
    /// Hop limit.
    pub hops: u8,
}

impl Ip6 {
    /// From `src` to `dst`.
    pub fn new(src: Ipv6Addr, dst: Ipv6Addr, next: u8) -> Self {
        Self { src, dst, next, hops: 64 }
    }

    /// From P to H.
    pub fn to_h(next: u8) -> Self {
        Self::new(P, H, next)
    }

    /// The packet with what is behind the fixed header.
    pub fn build(&self, payload: &[u8]) -> Vec<u8> {
        let mut p = vec![0x60, 0, 0, 0];
        p.extend((payload.len() as u16).to_be_bytes());
        p.extend([self.next, self.hops]);
        p.extend(self.src.octets());
        p.extend(self.dst.octets());
        p.extend(payload);
        p
    }
}

/// A fragment header and a piece.
pub fn piece(next: u8, offset: usize, more: bool, ident: u32, data: &[u8]) -> Vec<u8> {
    let mut p = vec![next, 0];
    p.extend((offset as u16 | u16::from(more)).to_be_bytes());
    p.extend(ident.to_be_bytes());
    p.extend(data);
    p
}

/// A UDP datagram with its checksum.
pub fn udp(src: (Ipv6Addr, u16), dst: (Ipv6Addr, u16), payload: &[u8]) -> Vec<u8> {
    let mut d = Vec::new();
    d.extend(src.1.to_be_bytes());
    d.extend(dst.1.to_be_bytes());
    d.extend(((8 + payload.len()) as u16).to_be_bytes());
    d.extend([0, 0]);
    d.extend(payload);
    let c = match pseudo(src.0, dst.0, 17, &d) {
        0 => 0xffff,
        c => c,
    };
    d[6..8].copy_from_slice(&c.to_be_bytes());
    d
}

/// A TCP segment with its checksum.
pub fn tcp(segment: &Tcp, src: Ipv6Addr, dst: Ipv6Addr) -> Vec<u8> {
    let mut s = segment.build(std::net::Ipv4Addr::LOCALHOST, std::net::Ipv4Addr::LOCALHOST);
    s[16..18].fill(0);
    let c = pseudo(src, dst, 6, &s);
    s[16..18].copy_from_slice(&c.to_be_bytes());
    s
}

/// An ICMPv6 message with its checksum.
pub fn icmp(src: Ipv6Addr, dst: Ipv6Addr, kind: u8, code: u8, rest: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut m = vec![kind, code, 0, 0];
    m.extend(rest);
    m.extend(payload);
    let c = pseudo(src, dst, 58, &m);
    m[2..4].copy_from_slice(&c.to_be_bytes());
    m
}

/// A packet as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its frame's destination.
    pub mac: [u8; 6],
    /// Source.
    pub src: Ipv6Addr,
    /// Destination.
    pub dst: Ipv6Addr,
    /// Hop limit.
    pub hops: u8,
    /// What the fixed header names.
    pub next: u8,
    /// What is behind the fixed header.
    pub payload: Vec<u8>,
}

impl Sent {
    /// Type, code and second word, when it is an ICMPv6 message.
    pub fn icmp(&self) -> Option<(u8, u8, u32)> {
        let p = &self.payload;
        (self.next == 58).then(|| (p[0], p[1], u32::from_be_bytes([p[4], p[5], p[6], p[7]])))
    }

    /// The target, when it is a neighbour solicitation (135) or advertisement (136).
    pub fn target(&self, kind: u8) -> Option<Ipv6Addr> {
        let p = &self.payload;
        (self.next == 58 && p[0] == kind).then(|| <[u8; 16]>::try_from(&p[8..24]).expect("16 octets").into())
    }
}

/// Reads an Ethernet frame with IPv6; checks every checksum.
///
/// # Panics
/// On a frame that no stack may send.
pub fn read(frame: &[u8]) -> Option<Sent> {
    if frame[12..14] != [0x86, 0xdd] {
        return None;
    }
    let p = &frame[14..];
    let len = usize::from(p[4]) << 8 | usize::from(p[5]);
    assert_eq!(p[0] >> 4, 6, "version");
    assert!(p.len() >= 40 + len && p.len() <= 1500, "lengths: {} {len}", p.len());
    let address = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&p[at..at + 16]).expect("16 octets"));
    let (src, dst) = (address(8), address(24));
    let payload = p[40..40 + len].to_vec();
    assert!(!src.is_multicast() && !src.is_loopback() && !dst.is_loopback(), "{src} {dst}");
    if matches!(p[6], 6 | 17 | 58) {
        assert_eq!(pseudo(src, dst, p[6], &payload), 0, "checksum of {}", p[6]);
    }
    assert!(p[6] != 58 || payload[0] >= 128 || p.len() <= 1280, "an error of at most 1,280 octets");
    Some(Sent { mac: frame[..6].try_into().expect("six octets"), src, dst, hops: p[7], next: p[6], payload })
}

fn packets(seen: &[Seen]) -> impl Iterator<Item = Sent> {
    seen.iter().filter_map(|s| match s {
        Seen::Other(frame) => read(frame),
        _ => None,
    })
}

/// What a packet tells of groups, if that is what it is: its ICMPv6 message.
fn listener_message(packet: &Sent) -> Option<&[u8]> {
    let message = packet.payload.get(8..)?;
    (packet.next == 0 && packet.payload[0] == 58 && matches!(message[0], 131 | 132 | 143)).then_some(message)
}

/// The IPv6 packets among what was sent, but for what is told of groups.
pub fn of(seen: &[Seen]) -> Vec<Sent> {
    packets(seen).filter(|p| listener_message(p).is_none()).collect()
}

/// What was told of groups (RFC 9777): to which MAC and IP address, from which, and the message.
///
/// # Panics
/// On what nobody may tell.
pub fn told(seen: &[Seen]) -> Vec<([u8; 6], Ipv6Addr, Ipv6Addr, Vec<u8>)> {
    let all = packets(seen).filter_map(|p| {
        let message = listener_message(&p)?.to_vec();
        assert_eq!(p.hops, 1, "hop limit");
        assert_eq!(p.payload[..8], [58, 0, 5, 2, 0, 0, 1, 0], "Router Alert");
        assert_eq!(pseudo(p.src, p.dst, 58, &message), 0, "checksum");
        assert!(p.src.is_unspecified() || p.src.is_unicast_link_local(), "{}", p.src);
        assert_eq!(p.mac, group_mac(p.dst));
        Some((p.mac, p.dst, p.src, message))
    });
    all.collect()
}

/// As [`of`], with the time of each.
pub fn timed(seen: &[(Instant, Seen)]) -> Vec<(Instant, Sent)> {
    seen.iter().flat_map(|(at, s)| of(std::slice::from_ref(s)).into_iter().map(move |s| (*at, s))).collect()
}

/// H without IPv6 addresses, its configuration changed.
pub fn bare(change: impl FnOnce(&mut Config<'static>)) -> Bench {
    Bench::built(Setup::default(), change)
}

/// H with its IPv6 addresses, without trials, P known to it.
///
/// # Panics
/// Never: the set-up is fixed.
pub fn bench() -> Bench {
    let mut b = bare(|c| c.dad_transmits = 0);
    for text in ["2001:db8::1/64", "fe80::1/64"] {
        b.stack.add_address(b.iface, text.parse().expect("valid text")).expect("a host address");
    }
    b.poll();
    for (own, ip) in [(H, P), (H_LL, P_LL)] {
        let seen = give(&mut b, solicit(ip, node_group(own), own, Some(P_MAC)));
        assert_eq!(seen[0].target(136), Some(own), "{seen:?}");
    }
    b
}

/// A neighbour solicitation of P's, as a whole packet.
pub fn solicit(src: Ipv6Addr, dst: Ipv6Addr, target: Ipv6Addr, mac: Option<[u8; 6]>) -> Vec<u8> {
    let mut body = target.octets().to_vec();
    if let Some(mac) = mac {
        body.extend([1, 1]);
        body.extend(mac);
    }
    Ip6 { hops: 255, ..Ip6::new(src, dst, 58) }.build(&icmp(src, dst, 135, 0, [0; 4], &body))
}

/// A neighbour advertisement, as a whole packet; `flags`: router 0x80, solicited 0x40, override 0x20.
pub fn advert(src: Ipv6Addr, dst: Ipv6Addr, target: Ipv6Addr, flags: u8, mac: Option<[u8; 6]>) -> Vec<u8> {
    let mut body = target.octets().to_vec();
    if let Some(mac) = mac {
        body.extend([2, 1]);
        body.extend(mac);
    }
    Ip6 { hops: 255, ..Ip6::new(src, dst, 58) }.build(&icmp(src, dst, 136, 0, [flags, 0, 0, 0], &body))
}

/// A router advertisement, as a whole packet: hop limit, lifetime in seconds, options.
pub fn router(src: Ipv6Addr, hop_limit: u8, lifetime: u16, options: &[u8]) -> Vec<u8> {
    let [a, b] = lifetime.to_be_bytes();
    let body = [&[0; 8][..], options].concat();
    Ip6 { hops: 255, ..Ip6::new(src, ALL_NODES, 58) }.build(&icmp(src, ALL_NODES, 134, 0, [hop_limit, 0, a, b], &body))
}

/// A prefix option; `flags`: on the link 0x80, autonomous 0x40.
pub fn prefix(prefix: Ipv6Addr, flags: u8, valid: u32, preferred: u32) -> Vec<u8> {
    let mut o = vec![3, 4, 64, flags];
    o.extend(valid.to_be_bytes());
    o.extend(preferred.to_be_bytes());
    o.extend([0; 4]);
    o.extend(prefix.octets());
    o
}

/// An IPv6 packet arrives; what is sent in answer. Its frame is to H, or to the group that it is for.
pub fn give(b: &mut Bench, packet: Vec<u8>) -> Vec<Sent> {
    let dst = Ipv6Addr::from(<[u8; 16]>::try_from(&packet[24..40]).expect("16 octets"));
    let src = Ipv6Addr::from(<[u8; 16]>::try_from(&packet[8..24]).expect("16 octets"));
    let to = if dst.is_multicast() { group_mac(dst) } else { H_MAC };
    let from = if src == R { R_MAC } else { P_MAC };
    of(&b.give(ethernet(to, from, 0x86dd, &packet)))
}

/// Time passes; what was sent, and when.
pub fn pass(b: &mut Bench, time: Duration) -> Vec<(Instant, Sent)> {
    timed(&b.pass(time))
}

/// A ping of H's address is answered, and no frame is lost.
///
/// # Panics
/// When not.
pub fn is_well(b: &mut Bench) {
    assert_eq!(b.frames_in_use(), 0, "frames are back");
    let seen = give(b, Ip6::to_h(58).build(&icmp(P, H, 128, 0, [0, 7, 0, 9], b"are you well?")));
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!((seen[0].src, seen[0].dst, &seen[0].payload[4..]), (H, P, &b"\0\x07\0\x09are you well?"[..]));
    assert_eq!(seen[0].icmp(), Some((129, 0, 0x0007_0009)));
}

/// `ip` as the stack takes it.
pub fn v6(ip: Ipv6Addr) -> IpAddr {
    IpAddr::V6(ip)
}

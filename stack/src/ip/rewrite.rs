//! Endpoints of a packet, read and replaced, its checksums adapted.
//!
//! Implements RFC 1624 §3 (a checksum follows a changed field) and RFC 3022 §4.1; of ICMP, an echo's identifier stands for
//! the port (RFC 5508 §3.1). What is quoted in an ICMP error is reached by [`quoted`].

use crate::wire::{icmp, ip};
use core::net::{IpAddr, SocketAddr};
use core::ops::Range;

/// Who sends a packet to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoints {
    /// The upper layer's protocol number.
    pub protocol: u8,
    /// Source address and port.
    pub src: SocketAddr,
    /// Destination address and port.
    pub dst: SocketAddr,
}

/// One end of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Where it comes from.
    Source,
    /// Where it goes.
    Destination,
}

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// Where things are in a packet.
struct Layout {
    v6: bool,
    protocol: u8,
    /// Where the upper layer begins.
    at: usize,
}

impl Layout {
    /// `None` for fragments, and for IPv6 with extension headers: where their ports are is not known.
    fn of(packet: &[u8]) -> Option<Self> {
        if ip::is_v6(packet) {
            return Some(Self { v6: true, protocol: *packet.get(6)?, at: 40 }).filter(|_| packet.len() >= 40);
        }
        let fragment = u16::from_be_bytes([*packet.get(6)?, *packet.get(7)?]) & 0x3fff;
        let at = usize::from(packet.first()? & 15) * 4;
        (fragment == 0 && at >= 20 && packet.len() >= at).then_some(Self { v6: false, protocol: *packet.get(9)?, at })
    }

    fn address(&self, end: End) -> Range<usize> {
        match (self.v6, end) {
            (false, End::Source) => 12..16,
            (false, End::Destination) => 16..20,
            (true, End::Source) => 8..24,
            (true, End::Destination) => 24..40,
        }
    }

    /// Where the port is, or what stands for it; `None` for a protocol without.
    fn port(&self, packet: &[u8], end: End) -> Option<usize> {
        match (self.protocol, end) {
            (TCP | UDP, End::Source) => Some(self.at),
            (TCP | UDP, End::Destination) => Some(self.at + 2),
            // A reply's identifier is its receiver's, a request's its sender's; for both it is the only one.
            (icmp::PROTOCOL, _) if !self.v6 && matches!(packet.get(self.at)?, 0 | 8) => Some(self.at + 4),
            (ICMPV6, _) if self.v6 && matches!(packet.get(self.at)?, 128 | 129) => Some(self.at + 4),
            _ => None,
        }
    }

    /// Where the upper layer's checksum is, and whether it covers addresses.
    fn checksum(&self, packet: &[u8]) -> Option<(usize, bool)> {
        match self.protocol {
            TCP => Some((self.at + 16, true)),
            // None was computed.
            UDP if packet.get(self.at + 6..self.at + 8)? == [0, 0] => None,
            UDP => Some((self.at + 6, true)),
            icmp::PROTOCOL if !self.v6 => Some((self.at + 2, false)),
            ICMPV6 if self.v6 => Some((self.at + 2, true)),
            _ => None,
        }
    }
}

/// Who sends `packet`, from its IP header on, to whom. `None` for a protocol without ports, a fragment, an IPv6 packet with
/// extension headers, or one too short.
pub fn endpoints(packet: &[u8]) -> Option<Endpoints> {
    let layout = Layout::of(packet)?;
    let read = |end| {
        let at = layout.port(packet, end)?;
        let port = u16::from_be_bytes(*packet.get(at..)?.first_chunk()?);
        let address = packet.get(layout.address(end))?;
        let ip = match layout.v6 {
            true => IpAddr::from(<[u8; 16]>::try_from(address).ok()?),
            false => IpAddr::from(<[u8; 4]>::try_from(address).ok()?),
        };
        Some(SocketAddr::new(ip, port))
    };
    Some(Endpoints { protocol: layout.protocol, src: read(End::Source)?, dst: read(End::Destination)? })
}

/// Replaces one end of `packet`, with all checksums. `None` where [`endpoints`] gives none, or of another family; nothing
/// has changed then.
pub fn replace(packet: &mut [u8], end: End, with: SocketAddr) -> Option<()> {
    endpoints(packet).filter(|e| e.src.is_ipv4() == with.is_ipv4())?;
    let layout = Layout::of(packet)?;
    let sums = layout.checksum(packet);
    if let Some((at, _)) = sums {
        packet.get(at..at + 2)?;
    }
    let (port, address) = (layout.port(packet, end)?, layout.address(end));
    let mut octets = [0; 16];
    let new = match with.ip() {
        IpAddr::V4(ip) => {
            octets[..4].copy_from_slice(&ip.octets());
            &octets[..4]
        }
        IpAddr::V6(ip) => {
            octets = ip.octets();
            &octets[..]
        }
    };
    let mut header = Change::default();
    let mut upper = Change::default();
    for (at, word) in address.clone().step_by(2).zip(new.as_chunks::<2>().0) {
        let old = *packet.get(at..)?.first_chunk()?;
        header.replace(old, *word);
    }
    if matches!(sums, Some((_, true))) {
        upper = header;
    }
    let old = *packet.get(port..)?.first_chunk()?;
    upper.replace(old, with.port().to_be_bytes());
    packet.get_mut(address)?.copy_from_slice(new);
    packet.get_mut(port..port + 2)?.copy_from_slice(&with.port().to_be_bytes());
    if !layout.v6 {
        header.apply(packet.get_mut(10..12)?, false);
    }
    if let Some((at, _)) = sums {
        upper.apply(packet.get_mut(at..at + 2)?, layout.protocol == UDP);
    }
    Some(())
}

/// The packet that an ICMPv4 error quotes, to be changed; [`mend_error`] afterwards. `None` if `packet` is none.
pub fn quoted(packet: &mut [u8]) -> Option<&mut [u8]> {
    let layout = Layout::of(packet)?;
    let is_error = !layout.v6 && layout.protocol == icmp::PROTOCOL && matches!(packet.get(layout.at)?, 3 | 11 | 12);
    packet.get_mut(layout.at + icmp::HEADER..).filter(|_| is_error)
}

/// Makes the checksum of an ICMPv4 error right again after its quote was changed.
pub fn mend_error(packet: &mut [u8]) {
    let Some(layout) = Layout::of(packet).filter(|l| !l.v6 && l.protocol == icmp::PROTOCOL) else { return };
    let Some(message) = packet.get_mut(layout.at..).filter(|m| m.len() >= icmp::HEADER) else { return };
    let Some(&[kind, code, _, _, a, b, c, d]) = message.first_chunk() else { return };
    icmp::emit(message, &icmp::IcmpHeader { kind, code, rest: [a, b, c, d] });
}

/// Replaces the source of a packet that is quoted, perhaps in part: its addresses, port and header checksum; the upper
/// layer's checksum is adapted where it is there. `None` as for [`replace`].
pub fn replace_quoted_source(quote: &mut [u8], with: SocketAddr) -> Option<()> {
    // Of a quote of eight octets, TCP's checksum is cut off.
    let layout = Layout::of(quote)?;
    if layout.protocol == TCP && quote.len() < layout.at + 18 {
        let SocketAddr::V4(with) = with else { return None };
        let (address, port) = (layout.address(End::Source), layout.at);
        quote.get(port..port + 8)?;
        let mut header = Change::default();
        for (at, word) in address.clone().step_by(2).zip(with.ip().octets().as_chunks::<2>().0) {
            header.replace(*quote.get(at..)?.first_chunk()?, *word);
        }
        quote.get_mut(address)?.copy_from_slice(&with.ip().octets());
        quote.get_mut(port..port + 2)?.copy_from_slice(&with.port().to_be_bytes());
        header.apply(quote.get_mut(10..12)?, false);
        return Some(());
    }
    replace(quote, End::Source, with)
}

/// What a checksum gains by changed words (RFC 1624 §3: HC' = ~(~HC + ~m + m')).
#[derive(Clone, Copy, Default)]
struct Change(u32);

impl Change {
    fn replace(&mut self, old: [u8; 2], new: [u8; 2]) {
        self.0 += u32::from(!u16::from_be_bytes(old)) + u32::from(u16::from_be_bytes(new));
    }

    /// `udp`: a sum of zero is written as all ones.
    fn apply(self, field: &mut [u8], udp: bool) {
        let Some(&[hi, lo]) = field.first_chunk::<2>() else { return };
        let mut sum = self.0 + u32::from(!u16::from_be_bytes([hi, lo]));
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        let checksum = match !(sum as u16) {
            0 if udp => 0xffff,
            checksum => checksum,
        };
        field.copy_from_slice(&checksum.to_be_bytes());
    }
}

#[cfg(all(test, feature = "ipv6"))]
mod tests {
    use super::*;
    use crate::wire::{checksum, ipv4, ipv6};
    use proptest::prelude::*;
    extern crate std;
    use std::vec::Vec;

    /// Whether a packet's checksums, of its header and of its upper layer where that has one, are right.
    fn is_right(packet: &[u8]) -> bool {
        let Some(layout) = Layout::of(packet) else { return false };
        let header = layout.v6 || packet.get(..layout.at).is_some_and(|h| checksum::sum(h).is_valid());
        let upper = packet.get(layout.at..).unwrap_or(&[]);
        let pseudo = match layout.checksum(packet) {
            None => return header,
            Some((_, false)) => checksum::Sum::default(),
            Some((_, true)) => ip::pseudo_header(packet, layout.protocol, upper.len() as u32),
        };
        header && pseudo.add(checksum::sum(upper)).is_valid()
    }

    /// A packet with right checksums.
    fn packet(protocol: u8, (src, dst): (IpAddr, IpAddr), upper: &[u8]) -> Vec<u8> {
        let mut p = match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let mut p = std::vec![0; 20];
                let fields = ipv4::Fields { src, dst, protocol, ttl: 64, tos: 0, ident: 7, dont_frag: false };
                ipv4::emit(&mut p, &fields, upper.len());
                p
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let mut p = std::vec![0; 40];
                let fields = ipv6::Fields { src, dst, next_header: protocol, hop_limit: 64, traffic_class: 0 };
                ipv6::emit(&mut p, &fields, upper.len());
                p
            }
            _ => panic!("one family"),
        };
        p.extend_from_slice(upper);
        let Some((at, pseudo)) = Layout::of(&p).and_then(|l| l.checksum(&p)) else { return p };
        let start = p.len() - upper.len();
        p[at..at + 2].fill(0);
        let sum = checksum::sum(&p[start..]);
        let sum = if pseudo { ip::pseudo_header(&p, protocol, upper.len() as u32).add(sum) } else { sum };
        let checksum = sum.finish();
        p[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
        p
    }

    fn addresses(v6: bool, a: u128, b: u128) -> (IpAddr, IpAddr) {
        match v6 {
            true => (IpAddr::V6(a.into()), IpAddr::V6(b.into())),
            false => (IpAddr::V4((a as u32).into()), IpAddr::V4((b as u32).into())),
        }
    }

    proptest! {
        #[test]
        fn an_end_is_replaced_and_the_checksums_follow(
            v6: bool, a: u128, b: u128, c: u128, port: u16, which in 0usize..3, source: bool,
            mut upper in proptest::collection::vec(any::<u8>(), 20..60),
        ) {
            let protocol = [TCP, UDP, if v6 { ICMPV6 } else { icmp::PROTOCOL }][which];
            if which == 2 {
                upper[0] = if v6 { 128 } else { 8 };
            } else if which == 1 {
                // Some checksum was computed.
                upper[6] |= 1;
            }
            let mut p = packet(protocol, addresses(v6, a, b), &upper);
            prop_assume!(is_right(&p) && endpoints(&p).is_some());
            let before = endpoints(&p).expect("endpoints");
            let with = SocketAddr::new(addresses(v6, c, 0).0, port);
            let end = if source { End::Source } else { End::Destination };
            prop_assert_eq!(replace(&mut p, end, with), Some(()));
            prop_assert!(is_right(&p));
            let after = endpoints(&p).expect("endpoints");
            let (changed, kept, was) =
                if source { (after.src, after.dst, before.dst) } else { (after.dst, after.src, before.src) };
            prop_assert_eq!((changed, kept.ip()), (with, was.ip()));
            prop_assert!(which == 2 || kept == was);
        }

        #[test]
        fn whatever_the_octets_nothing_panics(mut octets in proptest::collection::vec(any::<u8>(), 0..80), v4: bool) {
            if let Some(first) = octets.first_mut() {
                *first = if v4 { 0x45 } else { 0x60 };
            }
            let with: SocketAddr = "192.0.2.1:7".parse().expect("valid text");
            let _ = endpoints(&octets);
            let _ = replace(&mut octets, End::Source, with);
            let _ = quoted(&mut octets).map(|q| replace_quoted_source(q, with));
            mend_error(&mut octets);
        }
    }

    #[test]
    fn a_datagram_without_a_checksum_stays_without() {
        let mut p = packet(UDP, addresses(false, 1, 2), &[0, 9, 0, 9, 0, 8, 0, 0]);
        p[26..28].fill(0);
        assert_eq!(replace(&mut p, End::Source, "192.0.2.1:7".parse().expect("valid text")), Some(()));
        assert_eq!(p[26..28], [0, 0]);
        assert!(checksum::sum(&p[..20]).is_valid());
    }

    #[test]
    fn fragments_and_other_protocols_have_no_endpoints() {
        let mut p = packet(UDP, addresses(false, 1, 2), &[0; 8]);
        assert!(endpoints(&p).is_some());
        p[7] = 1;
        assert_eq!(endpoints(&p), None);
        assert_eq!(endpoints(&packet(89, addresses(false, 1, 2), &[0; 8])), None);
        assert_eq!(replace(&mut p, End::Source, "192.0.2.1:7".parse().expect("valid text")), None);
        let mut v6 = packet(UDP, addresses(true, 1, 2), &[0; 8]);
        assert_eq!(replace(&mut v6, End::Source, "192.0.2.1:7".parse().expect("valid text")), None, "another family");
    }
}

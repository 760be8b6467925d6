//! Wire format: neighbour discovery messages and their options.
//!
//! Implements RFC 4861 §4, RFC 4191 §2 (preferences, route information) and RFC 8106 §5 (DNS servers and search lists).
//! The ICMPv6 header and its checksum are `icmp/v6.rs`'s.

use crate::device::Mac;
use crate::stats::DropReason;
use core::net::Ipv6Addr;

/// ICMPv6 types.
pub(crate) mod kind {
    pub const ROUTER_SOLICIT: u8 = 133;
    pub const ROUTER_ADVERT: u8 = 134;
    pub const NEIGHBOR_SOLICIT: u8 = 135;
    pub const NEIGHBOR_ADVERT: u8 = 136;
    #[cfg(feature = "routes")]
    pub const REDIRECT: u8 = 137;
}

/// The hop limit of every message: nobody off the link can send one.
pub(crate) const HOP_LIMIT: u8 = 255;

pub(crate) const SOURCE_LINK_LAYER: u8 = 1;
pub(crate) const TARGET_LINK_LAYER: u8 = 2;
pub(crate) const PREFIX: u8 = 3;
pub(crate) const MTU: u8 = 5;
/// RFC 3971 §5.3.2.
#[cfg(feature = "enhanced-dad")]
const NONCE: u8 = 14;
#[cfg(feature = "routes")]
const ROUTE: u8 = 24;
#[cfg(any(feature = "rdnss", feature = "router-advertisements"))]
pub(crate) const RDNSS: u8 = 25;
#[cfg(feature = "rdnss")]
const DNSSL: u8 = 31;

/// Octets of a solicitation or advertisement without options.
const NEIGHBOR: usize = 24;
/// Octets of a link-layer address option.
const LINK_LAYER: usize = 8;
/// Octets of the longest message that we send.
pub(crate) const MAX_SENT: usize = NEIGHBOR + LINK_LAYER;

/// A message as received; its options are well-formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message<'b> {
    RouterSolicit {
        options: Options<'b>,
    },
    RouterAdvert(RouterAdvert<'b>),
    Solicit {
        target: Ipv6Addr,
        options: Options<'b>,
    },
    Advert {
        target: Ipv6Addr,
        router: bool,
        solicited: bool,
        overrides: bool,
        options: Options<'b>,
    },
    #[cfg(feature = "routes")]
    Redirect {
        target: Ipv6Addr,
        destination: Ipv6Addr,
        options: Options<'b>,
    },
}

/// What a router advertises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RouterAdvert<'b> {
    /// 0: unspecified.
    pub hop_limit: u8,
    /// The flags M and O: DHCPv6 gives addresses, and other information.
    pub managed: bool,
    pub other: bool,
    /// In seconds; 0: not a default router.
    pub lifetime: u16,
    #[cfg(feature = "routes")]
    pub preference: Preference,
    /// In milliseconds; 0: unspecified.
    #[cfg(feature = "nud")]
    pub reachable: u32,
    /// In milliseconds; 0: unspecified.
    pub retrans: u32,
    pub options: Options<'b>,
}

/// How much a router or route is preferred (RFC 4191 §2.1).
#[cfg(feature = "routes")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Preference {
    Low,
    Medium,
    High,
}

#[cfg(feature = "routes")]
impl Preference {
    /// From the two bits; `None` for the reserved value.
    const fn of(bits: u8) -> Option<Self> {
        match bits & 3 {
            0 => Some(Self::Medium),
            1 => Some(Self::High),
            3 => Some(Self::Low),
            _ => None,
        }
    }
}

/// An option of a router's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RouterOption<'b> {
    Mtu(u32),
    Prefix(Prefix),
    #[cfg(feature = "routes")]
    Route {
        prefix: Ipv6Addr,
        len: u8,
        preference: Preference,
        lifetime: u32,
    },
    #[cfg(feature = "rdnss")]
    Servers {
        lifetime: u32,
        servers: &'b [[u8; 16]],
    },
    #[cfg(feature = "rdnss")]
    Search {
        lifetime: u32,
        names: &'b [u8],
    },
    /// There are none of this kind: what borrows from the message is not read.
    #[cfg(not(feature = "rdnss"))]
    Borrowed(core::convert::Infallible, core::marker::PhantomData<&'b ()>),
}

/// Prefix information (RFC 4861 §4.6.2); lifetimes in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub prefix: Ipv6Addr,
    pub len: u8,
    pub on_link: bool,
    pub autonomous: bool,
    pub valid: u32,
    pub preferred: u32,
}

/// Options behind one another, each of at least eight octets and within the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options<'b>(&'b [u8]);

impl<'b> Options<'b> {
    //= https://www.rfc-editor.org/rfc/rfc4861#section-4.6
    //# Nodes MUST silently discard an ND packet that contains an option with
    //# length zero.
    fn check(options: &'b [u8]) -> Option<Self> {
        let mut rest = options;
        while let [_, len, ..] = *rest {
            if len == 0 {
                return None;
            }
            rest = rest.get(usize::from(len) * 8..)?;
        }
        rest.is_empty().then_some(Self(options))
    }

    fn iter(self) -> impl Iterator<Item = (u8, &'b [u8])> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let [kind, len, ..] = *rest else { return None };
            let (option, behind) = rest.split_at_checked(usize::from(len) * 8)?;
            rest = behind;
            Some((kind, option))
        })
    }

    fn link_layer(self, kind: u8) -> Option<Mac> {
        let (_, option) = self.iter().find(|(k, o)| *k == kind && o.len() == LINK_LAYER)?;
        option.get(2..).and_then(|o| o.first_chunk()).map(|mac| Mac(*mac))
    }

    /// The sender's MAC address.
    pub fn source_mac(self) -> Option<Mac> {
        self.link_layer(SOURCE_LINK_LAYER)
    }

    /// The target's MAC address.
    pub fn target_mac(self) -> Option<Mac> {
        self.link_layer(TARGET_LINK_LAYER)
    }

    /// What tells the sender's probes from others', if it is as long as ours are.
    #[cfg(feature = "enhanced-dad")]
    pub fn nonce(self) -> Option<[u8; 6]> {
        // As long as a MAC address, and in the same place.
        self.link_layer(NONCE).map(|nonce| nonce.0)
    }

    /// What a router advertises by options; those that cannot be are passed over.
    pub fn of_router(self) -> impl Iterator<Item = RouterOption<'b>> {
        self.iter().filter_map(|(kind, option)| match kind {
            PREFIX => prefix(option).map(RouterOption::Prefix),
            MTU => match *option {
                [_, _, _, _, a, b, c, d] => Some(RouterOption::Mtu(u32::from_be_bytes([a, b, c, d]))),
                _ => None,
            },
            #[cfg(feature = "routes")]
            ROUTE => route(option),
            #[cfg(feature = "rdnss")]
            RDNSS => servers(option),
            #[cfg(feature = "rdnss")]
            DNSSL => Some(RouterOption::Search { lifetime: be32(option, 4)?, names: option.get(8..)? }),
            _ => None,
        })
    }
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_be_bytes(*b))
}

fn address(bytes: &[u8], at: usize) -> Option<Ipv6Addr> {
    bytes.get(at..)?.first_chunk::<16>().map(|b| Ipv6Addr::from(*b))
}

fn prefix(option: &[u8]) -> Option<Prefix> {
    let [_, _, len, flags, ..] = *option else { return None };
    let (on_link, autonomous) = (flags & 0x80 != 0, flags & 0x40 != 0);
    let (valid, preferred) = (be32(option, 4)?, be32(option, 8)?);
    let prefix = address(option, 16)?;
    (option.len() == 32 && len <= 128).then_some(Prefix { prefix, len, on_link, autonomous, valid, preferred })
}

/// RFC 4191 §2.3: 8 to 24 octets, as the prefix needs them.
#[cfg(feature = "routes")]
fn route(option: &[u8]) -> Option<RouterOption<'_>> {
    let [_, _, len, flags, ..] = *option else { return None };
    let given = option.get(8..)?;
    if len > 128 || given.len() > 16 || usize::from(len) > given.len() * 8 {
        return None;
    }
    let mut octets = [0; 16];
    octets.get_mut(..given.len())?.copy_from_slice(given);
    let (preference, lifetime) = (Preference::of(flags >> 3)?, be32(option, 4)?);
    Some(RouterOption::Route { prefix: octets.into(), len, preference, lifetime })
}

/// RFC 8106 §5.1: at least one whole address (H011: one of even length is passed over).
#[cfg(feature = "rdnss")]
fn servers(option: &[u8]) -> Option<RouterOption<'_>> {
    let (servers, rest) = option.get(8..)?.as_chunks::<16>();
    (!servers.is_empty() && rest.is_empty()).then_some(RouterOption::Servers { lifetime: be32(option, 4)?, servers })
}

/// Reads a message from its ICMPv6 header on; the checksum was verified.
pub(crate) fn parse(message: &[u8]) -> Result<Message<'_>, DropReason> {
    let malformed = DropReason::NdpMalformed;
    let [kind, code, _, _, rest @ ..] = *message.first_chunk::<8>().ok_or(malformed)?;
    if code != 0 {
        return Err(malformed);
    }
    let options = |at| message.get(at..).and_then(Options::check).ok_or(malformed);
    let target = || address(message, 8).ok_or(malformed);
    Ok(match kind {
        kind::ROUTER_SOLICIT => Message::RouterSolicit { options: options(8)? },
        kind::ROUTER_ADVERT => Message::RouterAdvert(RouterAdvert {
            hop_limit: rest[0],
            managed: rest[1] & 0x80 != 0,
            other: rest[1] & 0x40 != 0,
            // RFC 4191 §2.2: the reserved value is as good as medium.
            #[cfg(feature = "routes")]
            preference: Preference::of(rest[1] >> 3).unwrap_or(Preference::Medium),
            lifetime: u16::from_be_bytes([rest[2], rest[3]]),
            #[cfg(feature = "nud")]
            reachable: be32(message, 8).ok_or(malformed)?,
            retrans: be32(message, 12).ok_or(malformed)?,
            options: options(16)?,
        }),
        kind::NEIGHBOR_SOLICIT => Message::Solicit { target: target()?, options: options(NEIGHBOR)? },
        kind::NEIGHBOR_ADVERT => {
            let [router, solicited, overrides] = [0x80, 0x40, 0x20].map(|bit| rest[0] & bit != 0);
            Message::Advert { target: target()?, router, solicited, overrides, options: options(NEIGHBOR)? }
        }
        #[cfg(feature = "routes")]
        kind::REDIRECT => {
            let destination = address(message, 24).ok_or(malformed)?;
            Message::Redirect { target: target()?, destination, options: options(40)? }
        }
        _ => return Err(malformed),
    })
}

/// A message that we send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The question who has `target`; with our MAC address, unless we have no address yet.
    Solicit { target: Ipv6Addr, source: Option<Mac> },
    /// As `Solicit`, for an address on trial.
    #[cfg(feature = "enhanced-dad")]
    Probe { target: Ipv6Addr, nonce: [u8; 6] },
    /// That we have `target`, and whether we are a router; what is known otherwise gives way to it where it `overrides`.
    Advert { target: Ipv6Addr, mac: Mac, solicited: bool, router: bool, overrides: bool },
    /// The question which routers there are.
    Routers { source: Option<Mac> },
}

/// Writes a message, checksum 0, to the beginning of `out`; its octets, at most [`MAX_SENT`].
pub(crate) fn emit(out: &mut [u8], sent: &Sent) -> Option<usize> {
    let (kind, flags, target, option) = match *sent {
        Sent::Solicit { target, source } => {
            (kind::NEIGHBOR_SOLICIT, 0, Some(target), source.map(|m| (SOURCE_LINK_LAYER, m)))
        }
        #[cfg(feature = "enhanced-dad")]
        Sent::Probe { target, nonce } => (kind::NEIGHBOR_SOLICIT, 0, Some(target), Some((NONCE, Mac(nonce)))),
        //= https://www.rfc-editor.org/rfc/rfc4861#section-7.2.4
        //# If the Target Address is either an anycast address or a unicast
        //# address for which the node is providing proxy service, or the Target
        //# Link-Layer Address option is not included, the Override flag SHOULD
        //# be set to zero.  Otherwise, the Override flag SHOULD be set to one.
        Sent::Advert { target, mac, solicited, router, overrides } => {
            let flags = u8::from(overrides) << 5 | u8::from(solicited) << 6 | u8::from(router) << 7;
            (kind::NEIGHBOR_ADVERT, flags, Some(target), Some((TARGET_LINK_LAYER, mac)))
        }
        Sent::Routers { source } => (kind::ROUTER_SOLICIT, 0, None, source.map(|m| (SOURCE_LINK_LAYER, m))),
    };
    let fixed = if target.is_some() { NEIGHBOR } else { 8 };
    let len = fixed + option.map_or(0, |_| LINK_LAYER);
    let out = out.get_mut(..len)?;
    out.fill(0);
    let (header, options) = out.split_at_mut(fixed);
    header[0] = kind;
    header[4] = flags;
    if let Some(target) = target {
        header.get_mut(8..)?.copy_from_slice(&target.octets());
    }
    if let Some((kind, Mac([a, b, c, d, e, f]))) = option {
        options.copy_from_slice(&[kind, 1, a, b, c, d, e, f]);
    }
    Some(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    extern crate std;
    use std::vec::Vec;

    const TARGET: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    const MAC: Mac = Mac([2, 0, 0, 0, 0, 9]);

    fn sent(message: Sent) -> Vec<u8> {
        let mut out = [0xee; MAX_SENT];
        let len = emit(&mut out, &message).expect("room");
        out[..len].to_vec()
    }

    fn router_advert(options: &[u8]) -> Vec<u8> {
        let mut m = std::vec![134, 0, 0, 0, 64, 0x08, 7, 8, 0, 0, 0x75, 0x30, 0, 0, 3, 0xe8];
        m.extend_from_slice(options);
        m
    }

    #[test]
    fn what_is_sent_reads_as_meant() {
        let m = sent(Sent::Solicit { target: TARGET, source: Some(MAC) });
        let Ok(Message::Solicit { target, options }) = parse(&m) else { panic!("a solicitation") };
        assert_eq!((target, options.source_mac(), options.target_mac()), (TARGET, Some(MAC), None));
        assert_eq!(sent(Sent::Solicit { target: TARGET, source: None }).len(), 24);
        let m = sent(Sent::Advert { target: TARGET, mac: MAC, solicited: true, router: false, overrides: true });
        let Ok(Message::Advert { target, router: false, solicited: true, overrides: true, options }) = parse(&m) else {
            panic!("an advertisement")
        };
        assert_eq!((target, options.target_mac()), (TARGET, Some(MAC)));
        assert_eq!(sent(Sent::Routers { source: None }), [133, 0, 0, 0, 0, 0, 0, 0]);
        let m = sent(Sent::Routers { source: Some(MAC) });
        let Ok(Message::RouterSolicit { options }) = parse(&m) else { panic!("a solicitation") };
        assert_eq!(options.source_mac(), Some(MAC));
    }

    /// H011: codes, lengths, options of no length or past the end.
    #[test]
    fn messages_that_cannot_be_are_dropped_whole() {
        let bad = Err(DropReason::NdpMalformed);
        let good = sent(Sent::Solicit { target: TARGET, source: Some(MAC) });
        for len in (0..good.len()).filter(|&len| len != 24) {
            assert_eq!(parse(&good[..len]), bad, "{len}");
        }
        for (at, value) in [(1, 1), (25, 0), (25, 2)] {
            let mut m = good.clone();
            m[at] = value;
            assert_eq!(parse(&m), bad, "{at}");
        }
        assert_eq!(parse(&router_advert(&[])[..15]), bad);
    }

    #[cfg(all(feature = "routes", feature = "rdnss", feature = "nud"))]
    #[test]
    fn a_routers_options_are_read_and_bad_ones_passed_over() {
        let mut o = std::vec![5, 1, 0, 0, 0, 0, 5, 0x78];
        let prefix: Ipv6Addr = "2001:db8::".parse().expect("valid text");
        o.extend([3, 4, 64, 0xc0, 0, 1, 0x51, 0x80, 0, 0, 0x38, 0x40, 0, 0, 0, 0]);
        o.extend(prefix.octets());
        o.extend([24, 2, 48, 0x18, 0, 0, 0, 60, 0x20, 1, 0xd, 0xb8, 0, 9, 0, 0]);
        o.extend([25, 3, 0, 0, 0, 0, 0, 90]);
        o.extend(prefix.octets());
        // Passed over: a server list of even length, a route whose prefix is not all there, a reserved preference.
        o.extend([25, 2, 0, 0, 0, 0, 0, 90, 1, 2, 3, 4, 5, 6, 7, 8]);
        o.extend([24, 1, 1, 0, 0, 0, 0, 60]);
        o.extend([24, 1, 0, 0x10, 0, 0, 0, 60]);
        o.extend([14, 1, 0, 0, 0, 0, 0, 0]);
        let m = router_advert(&o);
        let Ok(Message::RouterAdvert(ra)) = parse(&m) else { panic!("an advertisement") };
        assert_eq!((ra.hop_limit, ra.lifetime, ra.reachable, ra.retrans), (64, 1800, 30_000, 1_000));
        assert_eq!(ra.preference, Preference::High);
        let options: Vec<_> = ra.options.of_router().collect();
        let p = Prefix { prefix, len: 64, on_link: true, autonomous: true, valid: 86_400, preferred: 14_400 };
        let routed = "2001:db8:9::".parse().expect("valid text");
        assert_eq!(
            options,
            [
                RouterOption::Mtu(1400),
                RouterOption::Prefix(p),
                RouterOption::Route { prefix: routed, len: 48, preference: Preference::Low, lifetime: 60 },
                RouterOption::Servers { lifetime: 90, servers: &[prefix.octets()] },
            ]
        );
    }

    proptest! {
        #[test]
        fn no_octets_make_reading_panic(mut m in proptest::collection::vec(any::<u8>(), 0..200), kind in 133u8..=137) {
            if let Some(first) = m.first_mut() { *first = kind; }
            if let Some(code) = m.get_mut(1) { *code = 0; }
            if let Ok(Message::RouterAdvert(ra)) = parse(&m) {
                prop_assert!(ra.options.of_router().count() <= m.len() / 8);
            }
        }
    }
}

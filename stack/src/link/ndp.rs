//! Neighbour discovery: which messages are to be believed.
//!
//! Implements the validation of RFC 4861 §6.1, §7.1 and §8.1, and RFC 6980 §5 (no fragments). What a believed message
//! leads to, `rx/ndp.rs` and the neighbour table know.

use crate::ip::addr::is_unicast_host;
use crate::stats::DropReason;
use crate::wire::ip::IpHeader;
pub(crate) use crate::wire::ndp::{HOP_LIMIT, MAX_SENT, Message, Sent, emit, parse};
use core::net::{IpAddr, Ipv6Addr};

/// Reads and validates a message that came in a packet with header `ip`; the checksum was verified.
pub(crate) fn receive<'b>(message: &'b [u8], ip: &IpHeader) -> Result<Message<'b>, DropReason> {
    let malformed = Err(DropReason::NdpMalformed);
    //= https://www.rfc-editor.org/rfc/rfc6980#section-5
    //# Nodes MUST silently ignore the following Neighbor Discovery and
    //# SEcure Neighbor Discovery messages if the packets carrying them
    //# include an IPv6 Fragmentation Header:
    if ip.hop_limit != HOP_LIMIT || ip.in_pieces {
        return malformed;
    }
    let (IpAddr::V6(src), IpAddr::V6(dst)) = (ip.src, ip.dst) else { return malformed };
    let message = parse(message)?;
    let good = match message {
        //= https://www.rfc-editor.org/rfc/rfc4861#section-6.1.1
        //# If the IP source address is the unspecified address, there is no
        //# source link-layer address option in the message.
        Message::RouterSolicit { options } => !src.is_unspecified() || options.source_mac().is_none(),
        Message::RouterAdvert(_) => src.is_unicast_link_local(),
        Message::Solicit { target, options } => {
            let probe_is_good = options.source_mac().is_none() && is_solicited_node(dst);
            is_unicast_host(target.into()) && (!src.is_unspecified() || probe_is_good)
        }
        Message::Advert { target, solicited, .. } => {
            is_unicast_host(target.into()) && !src.is_unspecified() && !(dst.is_multicast() && solicited)
        }
        #[cfg(feature = "routes")]
        Message::Redirect { target, destination, .. } => {
            src.is_unicast_link_local()
                && !destination.is_multicast()
                && (target == destination || target.is_unicast_link_local())
        }
    };
    if good { Ok(message) } else { malformed }
}

fn is_solicited_node(group: Ipv6Addr) -> bool {
    group.to_bits() >> 24 == 0xff02_0000_0000_0000_0000_0001_ff00_0000 >> 24
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Mac;
    extern crate std;
    use std::vec::Vec;

    const TARGET: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    const MAC: Mac = Mac([2, 0, 0, 0, 0, 9]);

    fn ip(src: &str, dst: &str) -> IpHeader {
        IpHeader {
            src: src.parse().expect("valid text"),
            dst: dst.parse().expect("valid text"),
            protocol: 58,
            hop_limit: 255,
            tos: 0,
            header_len: 40,
            total_len: 72,
            named_at: 6,
            in_pieces: false,
        }
    }

    fn sent(message: Sent) -> Vec<u8> {
        let mut out = [0; MAX_SENT];
        let len = emit(&mut out, &message).expect("room");
        out[..len].to_vec()
    }

    /// H009, H011.
    #[test]
    fn messages_off_the_link_in_pieces_or_with_impossible_addresses_are_dropped() {
        let solicit = sent(Sent::Solicit { target: TARGET, source: Some(MAC) });
        let probe = sent(Sent::Solicit { target: TARGET, source: None });
        let answer = sent(Sent::Advert { target: TARGET, mac: MAC, solicited: true, router: false, overrides: true });
        let group = sent(Sent::Solicit { target: "ff02::1".parse().expect("valid text"), source: Some(MAC) });
        let ra = [134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0].to_vec();
        let node = "ff02::1:ff00:1";
        for (message, src, dst, good) in [
            (&solicit, "fe80::9", node, true),
            (&solicit, "2001:db8::9", "fe80::1", true),
            (&solicit, "::", node, false),
            (&probe, "::", node, true),
            (&probe, "::", "ff02::1", false),
            (&group, "fe80::9", node, false),
            (&answer, "fe80::9", "fe80::1", true),
            (&answer, "fe80::9", "ff02::1", false),
            (&ra, "fe80::9", "ff02::1", true),
            (&ra, "2001:db8::9", "ff02::1", false),
        ] {
            assert_eq!(receive(message, &ip(src, dst)).is_ok(), good, "{message:?} {src} {dst}");
        }
        let header = ip("fe80::9", node);
        for bad in [IpHeader { hop_limit: 254, ..header }, IpHeader { in_pieces: true, ..header }] {
            assert_eq!(receive(&solicit, &bad), Err(DropReason::NdpMalformed));
        }
    }

    #[cfg(feature = "routes")]
    #[test]
    fn a_redirect_is_from_a_router_on_the_link_to_one_or_to_the_host_itself() {
        let redirect = |target: &str, destination: &str| {
            let mut m = std::vec![137, 0, 0, 0, 0, 0, 0, 0];
            for text in [target, destination] {
                m.extend(text.parse::<Ipv6Addr>().expect("valid text").octets());
            }
            m
        };
        for (src, target, destination, good) in [
            ("fe80::1", "fe80::2", "2001:db8::5", true),
            ("fe80::1", "2001:db8::5", "2001:db8::5", true),
            ("fe80::1", "2001:db8::6", "2001:db8::5", false),
            ("2001:db8::1", "fe80::2", "2001:db8::5", false),
            ("fe80::1", "fe80::2", "ff0e::5", false),
        ] {
            let message = redirect(target, destination);
            assert_eq!(receive(&message, &ip(src, "2001:db8::1")).is_ok(), good, "{src} {target} {destination}");
        }
    }
}

//! Wire format: IPv6 extension headers, walked in any order and with bounds.
//!
//! Implements RFC 8200 §4 (headers and options), RFC 5095 (no routing type 0), RFC 6946 (a fragment that is the whole
//! packet), RFC 7112 and the limits of RFC 8504 §5.3. Each header is looked at once, none is followed by recursion.
//!
//! ```text
//!   fixed ─▶ hop-by-hop ─▶ destination options, routing (nothing left), whole fragments ─▶ upper layer
//!              (first only)                                                 └─────────────▶ a piece: reassembly
//! ```

use crate::stats::DropReason;
use crate::wire::ipv6::HEADER;

/// Hop-by-Hop Options.
pub(crate) const HOP_BY_HOP: u8 = 0;
/// Routing.
pub(crate) const ROUTING: u8 = 43;
/// Fragment.
pub(crate) const FRAGMENT: u8 = 44;
/// Destination Options.
pub(crate) const DESTINATION: u8 = 60;
/// No Next Header.
pub(crate) const NONE: u8 = 59;

/// Extension headers in one packet: hop-by-hop, two of destination options, routing and fragment are what RFC 8200 §4.1
/// recommends; the rest is for what it tolerates.
const MAX_HEADERS: usize = 8;
/// Options besides padding in one header (RFC 8504 §5.3).
const MAX_OPTIONS: usize = 8;
/// Octets of padding in a row (RFC 8504 §5.3).
const MAX_PADDING: usize = 7;

/// Where a walk ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chain {
    /// At something that is no extension header.
    Upper {
        protocol: u8,
        /// Where it begins.
        at: usize,
        /// Where the Next Header field is that names it.
        named_at: usize,
        /// Whether there was a fragment header on the way, of a fragment that is the whole packet.
        in_pieces: bool,
    },
    /// At the header of a fragment that is not the whole packet.
    Piece(Piece),
}

/// A fragment header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Where it begins.
    pub at: usize,
    /// What its payload begins with, in the first piece.
    pub next: u8,
    /// In octets.
    pub offset: u16,
    pub more: bool,
    pub ident: u32,
}

/// Why a packet goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub reason: DropReason,
    /// What its sender is told.
    pub problem: Option<Problem>,
}

/// A parameter problem (RFC 4443 §3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub code: u8,
    /// Octets from the packet's beginning to what is wrong.
    pub pointer: u16,
    /// Whether the sender is told though it sent to a group.
    pub about_group: bool,
}

/// Erroneous header field.
pub(crate) const ERRONEOUS: u8 = 0;
/// Unrecognized Next Header.
pub(crate) const UNKNOWN_HEADER: u8 = 1;
/// Unrecognized option.
const UNKNOWN_OPTION: u8 = 2;

impl Refusal {
    const fn silent(reason: DropReason) -> Self {
        Self { reason, problem: None }
    }

    /// One whose sender is told of an erroneous field at `pointer`.
    pub const fn erroneous(reason: DropReason, pointer: usize) -> Self {
        Self { reason, problem: Some(Problem { code: ERRONEOUS, pointer: pointer as u16, about_group: false }) }
    }
}

/// Walks the headers of `packet`, which ends where its payload does, from the one of type `next` behind the fixed header.
/// `whole`: it was put together from pieces, of which the headers in front were seen before.
pub(crate) fn walk(packet: &[u8], next: u8, whole: bool) -> Result<Chain, Refusal> {
    let truncated = Refusal::silent(DropReason::Ipv6Extension);
    let (mut next, mut at, mut named_at, mut in_pieces) = (next, HEADER, crate::wire::ipv6::NEXT_HEADER, whole);
    for _ in 0..=MAX_HEADERS {
        let first = at == HEADER && !whole;
        match next {
            DESTINATION | ROUTING | FRAGMENT => {}
            //= https://www.rfc-editor.org/rfc/rfc8200#section-4.1
            //# IPv6 nodes must accept and attempt to process extension headers in
            //# any order and occurring any number of times in the same packet,
            //# except for the Hop-by-Hop Options header, which is restricted to
            //# appear immediately after an IPv6 header only.
            HOP_BY_HOP if first => {}
            protocol => return Ok(Chain::Upper { protocol, at, named_at, in_pieces }),
        }
        let header = packet.get(at..).and_then(|h| h.first_chunk::<8>()).ok_or(truncated)?;
        let mut len = usize::from(header[1]) * 8 + 8;
        match next {
            FRAGMENT => {
                let piece = piece(header, at);
                if piece.more || piece.offset != 0 {
                    return Ok(Chain::Piece(piece));
                }
                //= https://www.rfc-editor.org/rfc/rfc6946#section-4
                //# A host that receives an IPv6 packet that includes a Fragment
                //# Header with the "Fragment Offset" equal to 0 and the "M" flag
                //# equal to 0 MUST process that packet in isolation from any other
                //# packets/fragments
                (len, in_pieces) = (8, true);
            }
            ROUTING if header[3] != 0 => {
                return Err(Refusal::erroneous(DropReason::Ipv6Routing, at + 2));
            }
            ROUTING => {}
            _ => options(packet, at, len)?,
        }
        if packet.len() < at + len {
            return Err(truncated);
        }
        (next, named_at, at) = (header[0], at, at + len);
    }
    Err(truncated)
}

/// Reads a fragment header.
fn piece(header: &[u8; 8], at: usize) -> Piece {
    let [next, _, hi, lo, ident @ ..] = *header;
    let field = u16::from_be_bytes([hi, lo]);
    Piece { at, next, offset: field & 0xfff8, more: field & 1 != 0, ident: u32::from_be_bytes(ident) }
}

/// Walks the options of the header of `len` octets at `at`.
fn options(packet: &[u8], at: usize, len: usize) -> Result<(), Refusal> {
    let malformed = Refusal::silent(DropReason::Ipv6Extension);
    let mut rest = packet.get(at + 2..at + len).ok_or(malformed)?;
    let (mut padding, mut others) = (0, 0);
    while let Some((&kind, behind)) = rest.split_first() {
        let octets = match (kind, behind.first()) {
            (0, _) => 1,
            (_, Some(&data)) => 2 + usize::from(data),
            (_, None) => return Err(malformed),
        };
        let pointer = at + len - rest.len();
        rest = rest.get(octets..).ok_or(malformed)?;
        if kind <= 1 {
            padding += octets;
        } else {
            (padding, others) = (0, others + 1);
            unknown_option(kind, pointer)?;
        }
        if padding > MAX_PADDING || others > MAX_OPTIONS {
            return Err(malformed);
        }
    }
    Ok(())
}

/// What an option's type wants done when it is not known: none is known but padding.
//= https://www.rfc-editor.org/rfc/rfc8200#section-4.2
//# The Option Type identifiers are internally encoded such that their
//# highest-order 2 bits specify the action that must be taken if the
//# processing IPv6 node does not recognize the Option Type:
fn unknown_option(kind: u8, pointer: usize) -> Result<(), Refusal> {
    let reason = DropReason::Ipv6Option;
    let told = |about_group| Problem { code: UNKNOWN_OPTION, pointer: pointer as u16, about_group };
    match kind >> 6 {
        0 => Ok(()),
        1 => Err(Refusal::silent(reason)),
        2 => Err(Refusal { reason, problem: Some(told(true)) }),
        _ => Err(Refusal { reason, problem: Some(told(false)) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    extern crate std;
    use std::vec::Vec;

    fn packet(headers: &[&[u8]]) -> Vec<u8> {
        let mut p = std::vec![0; HEADER];
        headers.iter().for_each(|h| p.extend_from_slice(h));
        p
    }

    fn upper(protocol: u8, at: usize, named_at: usize) -> Result<Chain, Refusal> {
        Ok(Chain::Upper { protocol, at, named_at, in_pieces: false })
    }

    const PADDED: [u8; 8] = [17, 0, 1, 4, 0, 0, 0, 0];

    /// H032 and H033, as far as the walk goes.
    #[test]
    fn headers_in_any_order_lead_to_the_upper_layer_and_to_the_field_that_names_it() {
        assert_eq!(walk(&packet(&[]), 17, false), upper(17, 40, 6));
        assert_eq!(walk(&packet(&[&PADDED]), DESTINATION, false), upper(17, 48, 40));
        assert_eq!(walk(&packet(&[&[17, 0, 0, 0, 9, 9, 9, 9]]), ROUTING, false), upper(17, 48, 40));
        let both = packet(&[&[DESTINATION, 0, 2, 0, 0, 0, 0, 0], &[200, 0, 1, 4, 0, 0, 0, 0]]);
        assert_eq!(walk(&both, ROUTING, false), upper(200, 56, 48));
        assert_eq!(walk(&packet(&[&[NONE, 0, 0, 0, 0, 0, 0, 1]]), FRAGMENT, false), {
            Ok(Chain::Upper { protocol: NONE, at: 48, named_at: 40, in_pieces: true })
        });
    }

    #[test]
    fn hop_by_hop_options_come_first_or_are_unknown() {
        assert_eq!(walk(&packet(&[&PADDED]), HOP_BY_HOP, false), upper(17, 48, 40));
        let late = packet(&[&[HOP_BY_HOP, 0, 1, 4, 0, 0, 0, 0], &PADDED]);
        assert_eq!(walk(&late, DESTINATION, false), upper(HOP_BY_HOP, 48, 40));
        assert!(matches!(walk(&packet(&[&PADDED]), HOP_BY_HOP, true), Ok(Chain::Upper { protocol: HOP_BY_HOP, .. })));
    }

    /// H034.
    #[test]
    fn unknown_options_do_what_their_type_says() {
        for (kind, reason, told) in [
            (0x1e, None, None),
            (0x5e, Some(DropReason::Ipv6Option), None),
            (0x9e, Some(DropReason::Ipv6Option), Some(true)),
            (0xde, Some(DropReason::Ipv6Option), Some(false)),
        ] {
            for header in [HOP_BY_HOP, DESTINATION] {
                let got = walk(&packet(&[&[17, 0, 1, 0, kind, 2, 0, 0]]), header, false);
                let problem = told.map(|about_group| Problem { code: 2, pointer: 44, about_group });
                match reason {
                    None => assert_eq!(got, upper(17, 48, 40)),
                    Some(reason) => assert_eq!(got, Err(Refusal { reason, problem }), "{kind:x}"),
                }
            }
        }
    }

    /// H035.
    #[test]
    fn a_routing_header_with_segments_left_is_refused_whatever_its_type() {
        for kind in [0, 2, 4, 77] {
            let got = walk(&packet(&[&[17, 0, kind, 1, 0, 0, 0, 0]]), ROUTING, false);
            assert_eq!(got, Err(Refusal::erroneous(DropReason::Ipv6Routing, 42)), "{kind}");
        }
    }

    /// H036.
    #[test]
    fn what_runs_past_the_end_or_goes_on_for_ever_is_dropped() {
        let dropped = Err(Refusal::silent(DropReason::Ipv6Extension));
        assert_eq!(walk(&packet(&[&[17, 255, 1, 4, 0, 0, 0, 0]]), DESTINATION, false), dropped, "header");
        assert_eq!(walk(&packet(&[&[17, 255, 0, 0, 0, 0, 0, 0]]), ROUTING, false), dropped, "routing");
        assert_eq!(walk(&packet(&[&[17, 0, 1, 5, 0, 0, 0, 0]]), DESTINATION, false), dropped, "option");
        assert_eq!(walk(&packet(&[&[17, 0, 1, 3, 0, 0, 0, 5]]), DESTINATION, false), dropped, "no length");
        let chain: Vec<&[u8]> = std::vec![&[DESTINATION, 0, 1, 4, 0, 0, 0, 0]; 128];
        assert_eq!(walk(&packet(&chain), DESTINATION, false), dropped, "128 headers");
        assert_eq!(walk(&packet(&[&[17, 0], &[0; 6]]), DESTINATION, false), upper(17, 48, 40), "six Pad1");
        assert_eq!(walk(&packet(&[&[17, 1], &[0; 14]]), DESTINATION, false), dropped, "fourteen");
        let mut many = std::vec![17, 254];
        many.resize(2040, 0);
        assert_eq!(walk(&packet(&[&many]), DESTINATION, false), dropped, "2,000 Pad1");
        for n in 0..=255u8 {
            let mut h = std::vec![17, 32, 1, n];
            h.resize(33 * 8, 0);
            assert!(walk(&packet(&[&h]), DESTINATION, false).is_err(), "PadN of {n}");
        }
        let mut options = std::vec![17, 4];
        (0..9).for_each(|_| options.extend([0x1e, 2, 0, 0]));
        options.resize(40, 0);
        assert_eq!(walk(&packet(&[&options]), DESTINATION, false), dropped, "nine options");
    }

    #[test]
    fn a_piece_is_told_from_a_fragment_that_is_the_whole_packet() {
        let piece = |field: [u8; 2]| packet(&[&[17, 0, field[0], field[1], 1, 2, 3, 4]]);
        let expected = |offset, more| Ok(Chain::Piece(Piece { at: 40, next: 17, offset, more, ident: 0x0102_0304 }));
        assert_eq!(walk(&piece([0, 1]), FRAGMENT, false), expected(0, true));
        assert_eq!(walk(&piece([0xff, 0xf8]), FRAGMENT, false), expected(65_528, false));
        assert_eq!(walk(&piece([0, 0x11]), FRAGMENT, false), expected(16, true));
    }

    proptest! {
        #[test]
        fn no_octets_make_a_walk_panic_or_leave_the_packet(
            octets in proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(60), Just(43), Just(44), any::<u8>()], 0..300),
            next in prop_oneof![Just(0u8), Just(60), Just(43), Just(44)],
        ) {
            let p = packet(&[&octets]);
            match walk(&p, next, false) {
                Ok(Chain::Upper { at, named_at, .. }) => prop_assert!(at <= p.len() && named_at < at),
                Ok(Chain::Piece(piece)) => prop_assert!(piece.at + 8 <= p.len()),
                Err(_) => {}
            }
        }
    }
}

//! Fragmentation: a packet cut into pieces that fit.
//!
//! Implements RFC 791 §3.2 and RFC 8200 §4.5. The pieces are counted before the first is made, so that a sender makes all or none.

use crate::wire::ipv4::{HEADER, set_fragment};

/// What offsets are multiples of.
const UNIT: usize = 8;
/// The bit of an option's type that has it copied into every fragment.
const COPIED: u8 = 0x80;
/// No operation: what an option that is not copied is overwritten with.
const NOP: u8 = 1;

/// One piece of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Where it starts in the payload.
    pub start: usize,
    /// Its octets.
    pub len: usize,
    /// Its fragment offset, in octets: as `start`, unless the packet was a fragment itself.
    pub offset: u16,
    /// Whether others follow.
    pub more: bool,
}

/// The pieces of a payload, first to last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pieces {
    next: usize,
    payload_len: usize,
    /// Octets per piece, the last aside.
    step: usize,
    base: usize,
    more: bool,
}

/// Cuts a packet with this `header` (its options included) and `payload_len` octets behind it for an MTU of `mtu`.
///
/// `None` when it must not be cut (DF), cannot be (an MTU without room), or is no packet that could have been.
pub(crate) fn cut(header: &[u8], payload_len: usize, mtu: usize) -> Option<Pieces> {
    let flags = u16::from_be_bytes([*header.get(6)?, *header.get(7)?]);
    let base = usize::from(flags & 0x1fff) * UNIT;
    let (dont, more) = (flags & 0x4000 != 0, flags & 0x2000 != 0);
    let step = mtu.checked_sub(header.len())? / UNIT * UNIT;
    if dont || step == 0 || header.len() < HEADER || base + payload_len + header.len() > 65_535 {
        return None;
    }
    Some(Pieces { next: 0, payload_len, step, base, more })
}

/// As [`cut`], for an IPv6 packet of which the fixed header is all that belongs into each piece.
#[cfg(feature = "ipv6")]
pub(crate) fn cut_v6(payload_len: usize, mtu: usize) -> Option<Pieces> {
    use crate::wire::ipv6;
    let step = mtu.checked_sub(ipv6::HEADER + ipv6::FRAGMENT)? / UNIT * UNIT;
    (step > 0 && payload_len <= 65_535).then_some(Pieces { next: 0, payload_len, step, base: 0, more: false })
}

impl Iterator for Pieces {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let start = self.next;
        let len = self.step.min(self.payload_len - start);
        if len == 0 {
            return None;
        }
        self.next += len;
        let more = self.more || self.next < self.payload_len;
        Some(Piece { start, len, offset: (self.base + start) as u16, more })
    }
}

/// Writes the header of `piece`: `header` (of the whole packet) with the lengths, flags and offset of the piece, and
/// without the options that belong to the first one only. `out` is as long as `header`.
///
/// Options that are left out become padding, so that all pieces have one header length.
pub(crate) fn write_header(out: &mut [u8], header: &[u8], piece: &Piece) {
    let Some(out) = out.get_mut(..header.len()) else {
        debug_assert!(false, "room for the header");
        return;
    };
    out.copy_from_slice(header);
    if piece.offset != 0 {
        blank_options(out.get_mut(HEADER..).unwrap_or(&mut []));
    }
    set_fragment(out, piece.offset, piece.more, piece.len);
}

/// Overwrites those options that are not to be copied.
fn blank_options(mut options: &mut [u8]) {
    while let Some(&kind) = options.first() {
        let len = match kind {
            0 => return,
            NOP => 1,
            // What is malformed is left as it is.
            _ => match options.get(1) {
                Some(&len) if len >= 2 => usize::from(len),
                _ => return,
            },
        };
        let Some((option, rest)) = options.split_at_mut_checked(len) else {
            return;
        };
        if kind & COPIED == 0 {
            option.fill(NOP);
        }
        options = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ipv4::{Fields, emit, parse, set_checksum};
    use core::net::Ipv4Addr;
    use proptest::prelude::*;
    extern crate std;
    use std::vec::Vec;

    fn header(options: &[u8], dont_frag: bool) -> Vec<u8> {
        let mut h = std::vec![0; HEADER];
        let fields = Fields {
            src: Ipv4Addr::new(192, 0, 2, 1),
            dst: Ipv4Addr::new(192, 0, 2, 9),
            protocol: 17,
            ttl: 64,
            tos: 0,
            ident: 77,
            dont_frag,
        };
        emit(&mut h, &fields, 0);
        h.extend_from_slice(options);
        h[0] = 0x40 | (h.len() / 4) as u8;
        set_checksum(&mut h);
        h
    }

    /// H024, as far as the cuts go.
    #[test]
    fn four_thousand_octets_make_three_fragments() {
        let h = header(&[], false);
        let pieces = cut(&h, 4008, 1500).expect("can be cut");
        assert_eq!(pieces.count(), 3);
        let pieces: Vec<_> = pieces.map(|p| (p.start, p.len, p.offset, p.more)).collect();
        assert_eq!(pieces, [(0, 1480, 0, true), (1480, 1480, 1480, true), (2960, 1048, 2960, false)]);
    }

    #[test]
    fn what_must_not_or_cannot_be_cut_is_not() {
        assert!(cut(&header(&[], true), 4000, 1500).is_none(), "DF");
        assert!(cut(&header(&[], false), 4000, 27).is_none(), "no room for eight octets");
        assert!(cut(&header(&[], false), 4000, 0).is_none());
        assert!(cut(&header(&[], false), 65_516, 1500).is_none(), "longer than a datagram");
        assert!(cut(&[], 10, 1500).is_none());
        assert_eq!(cut(&header(&[], false), 4000, 28).map(|p| p.count()), Some(500));
    }

    #[test]
    fn only_options_with_the_copied_flag_are_in_later_fragments() {
        let h = header(&[7, 7, 4, 0, 0, 0, 0, 0x94, 4, 1, 2, 0], false);
        let mut out = std::vec![0; h.len()];
        let pieces: Vec<_> = cut(&h, 2000, 1500).expect("can be cut").collect();
        write_header(&mut out, &h, &pieces[0]);
        assert_eq!(out[HEADER..], h[HEADER..]);
        write_header(&mut out, &h, &pieces[1]);
        assert_eq!(out[HEADER..], [1, 1, 1, 1, 1, 1, 1, 0x94, 4, 1, 2, 0]);
        for malformed in [[0x94, 0, 7, 7], [7, 1, 7, 7], [7, 5, 7, 7], [1, 1, 1, 7]] {
            blank_options(&mut malformed.clone());
        }
    }

    proptest! {
        #[test]
        fn the_pieces_are_the_payload_and_their_headers_are_valid(
            payload_len in 1usize..=65_475, mtu in 68usize..=9000, options in 0usize..=10, base in 0u16..100, more: bool,
        ) {
            let mut h = header(&std::vec![1; options * 4], false);
            prop_assume!(h.len() + payload_len + usize::from(base) * 8 <= 65_535);
            let at = base | if more { 0x2000 } else { 0 };
            h[6..8].copy_from_slice(&at.to_be_bytes());
            let pieces = cut(&h, payload_len, mtu).expect("can be cut");
            let (mut end, mut count) = (0, 0);
            let mut packet = std::vec![0; mtu];
            for piece in pieces {
                write_header(&mut packet, &h, &piece);
                let parsed = parse(&packet).expect("a valid header");
                prop_assert_eq!(parsed.total_len, h.len() + piece.len);
                prop_assert!(parsed.total_len <= mtu);
                prop_assert_eq!(usize::from(parsed.frag_offset), usize::from(base) * 8 + piece.start);
                prop_assert_eq!(parsed.more_frags, more || piece.start + piece.len < payload_len);
                prop_assert_eq!((parsed.ident, parsed.dont_frag), (77, false));
                prop_assert!(!parsed.more_frags || piece.len % 8 == 0 || more && piece.start + piece.len == payload_len);
                prop_assert_eq!(piece.start, end);
                end += piece.len;
                count += 1;
            }
            prop_assert_eq!((end, count), (payload_len, pieces.count()));
        }
    }
}

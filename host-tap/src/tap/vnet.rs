//! The header in front of frames on a tap that offloads: `virtio_net_hdr` without `num_buffers`, in the machine's order.
//!
//! ```text
//!   0 flags │ 1 gso_type │ 2 hdr_len │ 4 gso_size │ 6 csum_start │ 8 csum_offset
//! ```
//! Fields are those of the virtio specification, §5.1.6. Neither side has any other authority than a peer has: what cannot be
//! is refused before anybody counts with it.

use ringtap::device::{Gso, Medium, RxChecksum, RxMeta, TxChecksum, TxMeta};

/// Octets of the header.
pub const LEN: usize = 10;

/// The checksum is to be computed from `csum_start` on.
const NEEDS_CSUM: u8 = 1;
/// The checksum was verified.
const DATA_VALID: u8 = 2;

const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;

/// Where in a TCP header its own length is, and which part of the octet.
const DATA_OFFSET: usize = 12;

/// What the header says of `packet`, the frame behind it; `None` when that cannot be.
pub fn parse(header: [u8; LEN], packet: &[u8]) -> Option<RxMeta> {
    let [flags, kind, a, b, c, d, e, f, g, h] = header;
    let word = |pair: [u8; 2]| u16::from_ne_bytes(pair);
    let (hdr_len, size, start, offset) = (word([a, b]), word([c, d]), word([e, f]), word([g, h]));
    let checksum = match (flags & NEEDS_CSUM != 0, flags & DATA_VALID != 0) {
        (true, _) if usize::from(start) + usize::from(offset) + 2 > packet.len() => return None,
        (true, _) => RxChecksum::Partial { start, offset },
        (false, true) => RxChecksum::Verified,
        (false, false) => RxChecksum::None,
    };
    let gso = match kind {
        GSO_NONE => None,
        // The one checksum of a super-segment is none that any of its segments had.
        GSO_TCPV4 | GSO_TCPV6 if size > 0 && checksum != RxChecksum::None => {
            if usize::from(hdr_len) > packet.len() {
                return None;
            }
            Some(Gso { size })
        }
        _ => return None,
    };
    Some(RxMeta { checksum, gso, timestamp: None })
}

/// The header that asks for what `meta` says of `packet`.
pub fn emit(meta: &TxMeta, packet: &[u8], medium: Medium) -> [u8; LEN] {
    let TxChecksum::Partial { start, offset } = meta.checksum else { return [0; LEN] };
    let (kind, size, hdr_len) = match meta.gso {
        Some(Gso { size }) => (kind_of(packet, medium), size, headers_of(packet, start)),
        None => (GSO_NONE, 0, 0),
    };
    let (h, s, c, o) = (hdr_len.to_ne_bytes(), size.to_ne_bytes(), start.to_ne_bytes(), offset.to_ne_bytes());
    [NEEDS_CSUM, kind, h[0], h[1], s[0], s[1], c[0], c[1], o[0], o[1]]
}

/// Octets of all headers, of a frame whose TCP header is at `start`.
pub fn headers_of(packet: &[u8], start: u16) -> u16 {
    let octet = packet.get(usize::from(start) + DATA_OFFSET).copied().unwrap_or(0x50);
    start.saturating_add(u16::from(octet >> 4) * 4)
}

fn kind_of(packet: &[u8], medium: Medium) -> u8 {
    let at = if medium == Medium::Ip { 0 } else { 14 };
    if packet.get(at).is_some_and(|octet| octet >> 4 == 6) { GSO_TCPV6 } else { GSO_TCPV4 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(flags: u8, kind: u8, words: [u16; 4]) -> [u8; LEN] {
        let mut out = [flags, kind, 0, 0, 0, 0, 0, 0, 0, 0];
        for (place, word) in out[2..].chunks_mut(2).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        out
    }

    #[test]
    fn what_a_header_says_of_the_checksum_and_of_segments_is_taken() {
        let packet = [0; 3000];
        let partial = RxChecksum::Partial { start: 34, offset: 16 };
        let gso = Some(Gso { size: 1448 });
        for (header, expected) in [
            (header(0, 0, [0; 4]), (RxChecksum::None, None)),
            (header(DATA_VALID, 0, [0; 4]), (RxChecksum::Verified, None)),
            (header(NEEDS_CSUM, 0, [0, 0, 34, 16]), (partial, None)),
            (header(NEEDS_CSUM | DATA_VALID, 0, [0, 0, 34, 16]), (partial, None)),
            (header(NEEDS_CSUM, 1, [66, 1448, 34, 16]), (partial, gso)),
            (header(DATA_VALID, 4, [0, 1448, 0, 0]), (RxChecksum::Verified, gso)),
        ] {
            let meta = parse(header, &packet).expect("a header that can be");
            assert_eq!((meta.checksum, meta.gso), expected, "{header:?}");
        }
    }

    #[test]
    fn a_header_that_cannot_be_is_refused() {
        let packet = [0; 100];
        for header in [
            header(NEEDS_CSUM, 0, [0, 0, 83, 16]),
            header(NEEDS_CSUM, 0, [0, 0, u16::MAX, u16::MAX]),
            // Segments of nothing, whose checksums nobody knows, or with more headers than there is packet.
            header(NEEDS_CSUM, 1, [66, 0, 34, 16]),
            header(0, 1, [66, 50, 0, 0]),
            header(DATA_VALID, 1, [101, 50, 0, 0]),
            // UDP, and TCP with ECN, which nobody asked for, and nothing that is known.
            header(NEEDS_CSUM, 3, [42, 50, 34, 6]),
            header(NEEDS_CSUM, 5, [42, 50, 34, 6]),
            header(NEEDS_CSUM, 0x81, [66, 50, 34, 16]),
            header(NEEDS_CSUM, 0x80, [66, 50, 34, 16]),
            header(DATA_VALID, 2, [66, 50, 34, 16]),
        ] {
            assert_eq!(parse(header, &packet), None, "{header:?}");
        }
    }

    #[test]
    fn what_is_asked_for_is_what_the_other_side_would_read() {
        let mut packet = [0; 3000];
        packet[14] = 0x45;
        packet[34 + DATA_OFFSET] = 0x80;
        let checksum = TxChecksum::Partial { start: 34, offset: 16 };
        let plain = emit(&TxMeta::default(), &packet, Medium::Ethernet);
        assert_eq!(plain, [0; LEN]);
        let one = emit(&TxMeta { checksum, ..TxMeta::default() }, &packet, Medium::Ethernet);
        assert_eq!(one, header(NEEDS_CSUM, 0, [0, 0, 34, 16]));
        let meta = TxMeta { checksum, gso: Some(Gso { size: 1448 }), timestamp: false };
        assert_eq!(emit(&meta, &packet, Medium::Ethernet), header(NEEDS_CSUM, 1, [66, 1448, 34, 16]));
        packet[0] = 0x60;
        packet[40 + DATA_OFFSET] = 0x50;
        let meta = TxMeta { checksum: TxChecksum::Partial { start: 40, offset: 16 }, ..meta };
        assert_eq!(emit(&meta, &packet, Medium::Ip), header(NEEDS_CSUM, 4, [60, 1448, 40, 16]));
    }
}

//! The header in front of every packet: VIRTIO 1.2 §5.1.6, `struct virtio_net_hdr`.
//!
//! ```text
//!   0 flags │ 1 gso_type │ 2 hdr_len │ 4 gso_size │ 6 csum_start │ 8 csum_offset │ 10 num_buffers (version 1 only)
//! ```

use ringtap::device::{RxChecksum, TxChecksum};

/// Octets of the header of VIRTIO 1.
pub const MODERN: usize = 12;
/// Octets of the header before VIRTIO 1, without mergeable buffers.
pub const LEGACY: usize = 10;

/// The checksum is to be completed from `csum_start` on.
const NEEDS_CSUM: u8 = 1;
/// The checksum was verified.
const DATA_VALID: u8 = 2;

/// The header's octets in front of a frame; all that is not set is zero.
pub fn write(header: &mut [u8], checksum: TxChecksum) {
    header.fill(0);
    if let (TxChecksum::Partial { start, offset }, Some(fields)) = (checksum, header.get_mut(..LEGACY)) {
        fields[0] = NEEDS_CSUM;
        fields[6..8].copy_from_slice(&start.to_le_bytes());
        fields[8..10].copy_from_slice(&offset.to_le_bytes());
    }
}

/// What a received header says of the checksum; `None` for a header that cannot be: of a packet cut short, of one in
/// several buffers, or of one to be segmented, none of which was agreed on.
pub fn read(header: &[u8]) -> Option<RxChecksum> {
    let &[flags, gso, _, _, _, _, start_low, start_high, offset_low, offset_high, ref buffers @ ..] = header else {
        return None;
    };
    // VIRTIO 1.2 §5.1.6.4: num_buffers is 1 without mergeable buffers; some devices of old leave it 0.
    if gso != 0 || !matches!(buffers, [] | [0 | 1, 0]) {
        return None;
    }
    Some(if flags & NEEDS_CSUM != 0 {
        let start = u16::from_le_bytes([start_low, start_high]);
        RxChecksum::Partial { start, offset: u16::from_le_bytes([offset_low, offset_high]) }
    } else if flags & DATA_VALID != 0 {
        RxChecksum::Verified
    } else {
        RxChecksum::None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_checksum_is_asked_for_and_told() {
        let mut header = [0xee; MODERN];
        write(&mut header, TxChecksum::Partial { start: 34, offset: 16 });
        assert_eq!(header, [1, 0, 0, 0, 0, 0, 34, 0, 16, 0, 0, 0]);
        assert_eq!(read(&header), Some(RxChecksum::Partial { start: 34, offset: 16 }));
        write(&mut header, TxChecksum::Complete);
        assert_eq!(header, [0; MODERN]);
        let mut header = [0xee; LEGACY];
        write(&mut header, TxChecksum::Partial { start: 0x123, offset: 6 });
        assert_eq!(header, [1, 0, 0, 0, 0, 0, 0x23, 1, 6, 0]);
    }

    #[test]
    fn headers_are_read_and_those_that_cannot_be_are_refused() {
        let with = |place: usize, value: u8| {
            let mut header = [0; MODERN];
            header[place] = value;
            read(&header)
        };
        for (place, value, expected) in [
            (0, 0, Some(RxChecksum::None)),
            (0, 2, Some(RxChecksum::Verified)),
            (0, 4, Some(RxChecksum::None)),
            (10, 1, Some(RxChecksum::None)),
            (10, 2, None),
            (11, 1, None),
            (1, 1, None),
        ] {
            assert_eq!(with(place, value), expected, "octet {place} is {value}");
        }
        assert_eq!(read(&[0; LEGACY]), Some(RxChecksum::None));
        for short in 0..LEGACY {
            assert_eq!(read(&[0; MODERN][..short]), None);
        }
    }
}

//! Packets of other stacks' devices become frames of a pool, and frames become packets.

use ringtap::device::{TxChecksum, TxMeta};
use ringtap::frame::{Frame, Pool};

/// Packets that another stack's device had received, or was to send, and that went no further.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// The pool had no frame for them.
    pub no_frame: u32,
    /// They were longer than a frame, or than a buffer of the other stack's.
    pub too_long: u32,
}

/// Packets looked at in one call of `receive`, at most: an empty pool loses so many, so that the call stays bounded.
pub(crate) const DRAIN: usize = 32;

impl Lost {
    /// A frame with this packet in it; `None`, and counted, where that cannot be.
    pub(crate) fn frame_with<'p>(&mut self, pool: Pool<'p>, packet: &[u8]) -> Option<Frame<'p>> {
        let Some(mut frame) = pool.take(0) else {
            self.no_frame = self.no_frame.wrapping_add(1);
            return None;
        };
        if frame.extend(packet).is_none() {
            self.too_long = self.too_long.wrapping_add(1);
            return None;
        }
        Some(frame)
    }
}

/// Writes a frame's octets to a packet of the other side, of the same length. A checksum that is left to the device begins
/// as zero, which is what such devices find from other stacks: they sum up the pseudo-header themselves.
pub(crate) fn hand_over(frame: &[u8], meta: &TxMeta, packet: &mut [u8]) {
    packet.copy_from_slice(frame);
    if let TxChecksum::Partial { start, offset } = meta.checksum
        && let Some(field) = packet.get_mut(usize::from(start) + usize::from(offset)..)
        && let Some(field) = field.get_mut(..2)
    {
        field.fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_that_is_left_to_the_device_begins_as_zero_and_others_stay() {
        let partial = |start, offset| TxMeta { checksum: TxChecksum::Partial { start, offset }, ..TxMeta::default() };
        for (meta, zeros) in [
            (TxMeta::default(), 0..0),
            (partial(2, 3), 5..7),
            (partial(0, 6), 6..8),
            (partial(2, 5), 0..0),
            (partial(u16::MAX, u16::MAX), 0..0),
        ] {
            let mut packet = [0; 8];
            hand_over(&[9; 8], &meta, &mut packet);
            for (i, octet) in packet.into_iter().enumerate() {
                assert_eq!(octet == 0, zeros.contains(&i), "{meta:?}, octet {i}");
            }
        }
    }
}

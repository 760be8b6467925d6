//! A device of ours, as other stacks want theirs: who is given a packet or a place to send may let go of it, and nothing
//! is lost.

use ringtap::device::{Device, RxChecksum, TxMeta};
use ringtap::frame::Frame;

/// A device, what it has received and nobody has taken yet, and what it has refused to send.
pub(crate) struct Port<'p, D> {
    pub device: D,
    pub out: Out<'p>,
    pub fetched: Option<Frame<'p>>,
}

/// The frame that a device had no room for: others expect that what they were given a place for is sent.
pub(crate) struct Out<'p> {
    held: Option<Frame<'p>>,
}

impl<'p, D: Device<'p>> Port<'p, D> {
    pub fn new(device: D) -> Self {
        Self { device, out: Out { held: None }, fetched: None }
    }

    /// A frame to send, while the device has room as far as known.
    pub fn reserve(&mut self) -> Option<Frame<'p>> {
        if let Some(frame) = self.out.held.take() {
            self.out.send(&mut self.device, frame);
        }
        match self.out.held {
            Some(_) => None,
            None => self.device.pool().take(self.device.capabilities().headroom),
        }
    }

    /// Whether a packet is there.
    pub fn fetch(&mut self) -> bool {
        if self.fetched.is_none() {
            self.fetched = self.device.receive().map(|(mut frame, meta)| {
                finish_checksum(&mut frame, meta.checksum);
                frame
            });
        }
        self.fetched.is_some()
    }

    /// The largest packet, link header included, that the device and a frame of its pool can carry.
    pub fn largest(&self) -> usize {
        let caps = self.device.capabilities();
        let header = if caps.medium == ringtap::device::Medium::Ethernet { 14 } else { 0 };
        (caps.ip_mtu + header).min(self.device.pool().slot_size().saturating_sub(caps.headroom))
    }
}

impl<'p> Out<'p> {
    /// Sends a frame, at once or as soon as there is room.
    pub fn send<D: Device<'p>>(&mut self, device: &mut D, frame: Frame<'p>) {
        self.held = device.transmit(frame, TxMeta::default()).err();
        device.flush();
    }
}

/// Sums up what the sender has left to be summed up: others know only checksums that are right or wrong.
fn finish_checksum(frame: &mut [u8], checksum: RxChecksum) {
    let RxChecksum::Partial { start, offset } = checksum else { return };
    let (start, offset) = (usize::from(start), usize::from(offset));
    let Some(covered) = frame.get_mut(start..) else { return };
    // The field holds the pseudo-header's sum, and is summed up with the rest.
    let sum = covered.chunks(2).fold(0_u32, |sum, pair| {
        let pair = u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]);
        let sum = sum + u32::from(pair);
        (sum & 0xffff) + (sum >> 16)
    });
    let Some(field) = covered.get_mut(offset..offset + 2) else { return };
    // To a UDP header 0 says that there is none (RFC 768); to others both are the same.
    let value = match !(sum as u16) {
        0 => 0xffff,
        value => value,
    };
    field.copy_from_slice(&value.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_that_was_left_out_is_filled_in() {
        // Four octets in front, then a field with the pseudo-header's sum, then text of odd length.
        let mut frame = [9, 9, 9, 9, 0x12, 0x34, 1, 2, 3];
        finish_checksum(&mut frame, RxChecksum::Partial { start: 4, offset: 0 });
        let sum = 0x1234_u32 + 0x0102 + 0x0300;
        assert_eq!(frame, [9, 9, 9, 9, (!sum >> 8) as u8, !sum as u8, 1, 2, 3]);
        let mut zero = [0xff, 0xff, 0, 0];
        finish_checksum(&mut zero, RxChecksum::Partial { start: 0, offset: 0 });
        assert_eq!(zero, [0xff, 0xff, 0, 0], "never 0");
    }

    #[test]
    fn places_beyond_the_frame_and_finished_sums_change_nothing() {
        for checksum in [
            RxChecksum::None,
            RxChecksum::Verified,
            RxChecksum::Partial { start: 5, offset: 0 },
            RxChecksum::Partial { start: 0, offset: 3 },
            RxChecksum::Partial { start: u16::MAX, offset: u16::MAX },
        ] {
            let mut frame = [1, 2, 3, 4];
            finish_checksum(&mut frame, checksum);
            assert_eq!(frame, [1, 2, 3, 4], "{checksum:?}");
        }
    }
}

//! A device of ours, as other stacks want theirs: who is given a packet or a place to send may let go of it, and nothing
//! is lost.

use crate::ETHERNET_HEADER;
use ringtap::device::{Device, Medium, RxChecksum, TxChecksum, TxMeta};
use ringtap::frame::Frame;

/// A device, what it has received and nobody has taken yet, and what it has refused to send.
pub(crate) struct Port<'p, D> {
    pub device: D,
    pub out: Out<'p>,
    pub fetched: Option<Frame<'p>>,
}

/// The frame that a device had no room for: others expect that what they were given a place for is sent.
pub(crate) struct Out<'p> {
    held: Option<(Frame<'p>, TxMeta)>,
}

impl<'p, D: Device<'p>> Port<'p, D> {
    pub fn new(device: D) -> Self {
        Self { device, out: Out { held: None }, fetched: None }
    }

    /// A frame to send, while the device has room as far as known.
    pub fn reserve(&mut self) -> Option<Frame<'p>> {
        if let Some((frame, meta)) = self.out.held.take() {
            self.out.send_as(&mut self.device, frame, meta);
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

    /// Whether the other stack may leave TCP's checksum out.
    pub fn sums_tcp(&self) -> bool {
        self.device.capabilities().checksum.tcp
    }

    /// The largest packet, link header included, that the device and a frame of its pool can carry.
    pub fn largest(&self) -> usize {
        let caps = self.device.capabilities();
        let header = if caps.medium == Medium::Ethernet { ETHERNET_HEADER } else { 0 };
        (caps.ip_mtu + header).min(self.device.pool().slot_size().saturating_sub(caps.headroom))
    }
}

impl<'p> Out<'p> {
    /// Sends a frame, at once or as soon as there is room.
    pub fn send<D: Device<'p>>(&mut self, device: &mut D, mut frame: Frame<'p>) {
        let caps = device.capabilities();
        let checksum = if caps.checksum.tcp { leave_tcp(&mut frame, caps.medium) } else { TxChecksum::Complete };
        self.send_as(device, frame, TxMeta { checksum, ..TxMeta::default() });
    }

    fn send_as<D: Device<'p>>(&mut self, device: &mut D, frame: Frame<'p>, meta: TxMeta) {
        self.held = device.transmit(frame, meta).err().map(|frame| (frame, meta));
        device.flush();
    }
}

/// Leaves the checksum of a TCP segment to the device, if it was left out: a field of zero. (A sum that comes to zero is
/// computed a second time.) The field gets the pseudo-header's sum.
fn leave_tcp(frame: &mut [u8], medium: Medium) -> TxChecksum {
    find_segment(frame, medium).unwrap_or(TxChecksum::Complete)
}

fn find_segment(frame: &mut [u8], medium: Medium) -> Option<TxChecksum> {
    /// The protocol's number, and where its header has the checksum.
    const TCP: u8 = 6;
    const FIELD: usize = 16;
    let link = if medium == Medium::Ethernet { ETHERNET_HEADER } else { 0 };
    let packet = frame.get(link..)?;
    // Addresses, protocol, header and segment length; of a fragment, or behind other headers, nothing is left out.
    let (addresses, protocol, header, len) = match packet.first()? >> 4 {
        4 if u16_at(packet, 6)? & 0x3fff == 0 => {
            let header = usize::from(packet.first()? & 15) * 4;
            (packet.get(12..20)?, *packet.get(9)?, header, usize::from(u16_at(packet, 2)?).checked_sub(header)?)
        }
        6 => (packet.get(8..40)?, *packet.get(6)?, 40, usize::from(u16_at(packet, 4)?)),
        _ => return None,
    };
    if protocol != TCP || u16_at(packet, header + FIELD)? != 0 {
        return None;
    }
    let pseudo = add(add(0, TCP.into()), len as u16);
    let pseudo = addresses.as_chunks().0.iter().fold(pseudo, |sum, pair| add(sum, u16::from_be_bytes(*pair)));
    let start = link + header;
    frame.get_mut(start + FIELD..start + FIELD + 2)?.copy_from_slice(&(pseudo as u16).to_be_bytes());
    Some(TxChecksum::Partial { start: start as u16, offset: FIELD as u16 })
}

fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..)?.first_chunk().map(|pair| u16::from_be_bytes(*pair))
}

/// The sum with one more value, the carry added back in.
fn add(sum: u32, value: u16) -> u32 {
    let sum = sum + u32::from(value);
    (sum & 0xffff) + (sum >> 16)
}

/// Sums up what the sender has left to be summed up: others know only checksums that are right or wrong.
fn finish_checksum(frame: &mut [u8], checksum: RxChecksum) {
    let RxChecksum::Partial { start, offset } = checksum else { return };
    let (start, offset) = (usize::from(start), usize::from(offset));
    let Some(covered) = frame.get_mut(start..) else { return };
    // The field holds the pseudo-header's sum, and is summed up with the rest.
    let sum = covered
        .chunks(2)
        .fold(0_u32, |sum, pair| add(sum, u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])));
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

    /// A segment of 24 octets, whose checksum was left out, in a packet of either family.
    fn segment(version: u8) -> ([u8; 96], usize) {
        let mut packet = [0; 96];
        let (header, total) = if version == 4 { (20, 44) } else { (40, 64) };
        packet[0] = if version == 4 { 0x45 } else { 0x60 };
        let (len, protocol, addresses) = if version == 4 { (2, 9, 12..20) } else { (4, 6, 8..40) };
        packet[len..len + 2].copy_from_slice(&[0, if version == 4 { 44 } else { 24 }]);
        packet[protocol] = 6;
        packet[addresses].fill(0xee);
        packet[header..header + 16].fill(0x11);
        packet[header + 18..total].fill(0x22);
        (packet, header)
    }

    #[test]
    fn a_segment_without_a_checksum_is_left_to_the_device() {
        for (version, medium, link) in [(4, Medium::Ip, 0), (6, Medium::Ip, 0), (4, Medium::Ethernet, 14)] {
            let (packet, header) = segment(version);
            let total = header + 24;
            let mut frame = [0x77; 120];
            frame[link..link + total].copy_from_slice(&packet[..total]);
            let left = leave_tcp(&mut frame[..link + total], medium);
            let start = link + header;
            assert_eq!(left, TxChecksum::Partial { start: start as u16, offset: 16 });
            // 0xeeee for each of the addresses' words, the protocol, the length.
            let words = if version == 4 { 4 } else { 16 };
            let sum = (0..words).fold(6 + 24, |sum, _| add(sum, 0xeeee));
            assert_eq!(frame[start + 16..start + 18], (sum as u16).to_be_bytes());
            frame[start + 16..start + 18].fill(0);
            assert_eq!(frame[link..link + total], packet[..total], "nothing else has changed");
        }
    }

    #[test]
    fn what_is_summed_or_no_whole_segment_is_sent_as_it_is() {
        let changed = |at: usize, octet| {
            let (mut packet, _) = segment(4);
            packet[at] = octet;
            packet
        };
        for (what, packet, len) in [
            ("a checksum", changed(37, 1), 44),
            ("UDP", changed(9, 17), 44),
            ("the first fragment", changed(6, 0x20), 44),
            ("another fragment", changed(7, 1), 44),
            ("no length", changed(3, 19), 44),
            ("a header beyond the packet", changed(0, 0x4f), 44),
            ("version 5", changed(0, 0x55), 44),
            ("cut off", segment(4).0, 37),
            ("nothing", segment(4).0, 0),
            ("half a header", segment(6).0, 39),
            (
                "other headers in between",
                {
                    let mut p = segment(6).0;
                    p[6] = 0;
                    p
                },
                64,
            ),
        ] {
            let mut sent = packet;
            assert_eq!(leave_tcp(&mut sent[..len], Medium::Ip), TxChecksum::Complete, "{what}");
            assert_eq!(sent, packet, "{what}");
        }
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

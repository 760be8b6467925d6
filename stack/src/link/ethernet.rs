//! Ethernet: is a received frame for us, and the header of a sent one.
//!
//! Implements RFC 894, and RFC 1042 as far as RFC 1122 §2.3.3 wants it: received, never sent.

use crate::device::Mac;
use crate::frame::Frame;
use crate::stats::DropReason;
use crate::wire::ethernet::parse;
pub(crate) use crate::wire::ethernet::{ARP, EthernetHeader, HEADER, IPV4, IPV6, emit};

/// What a received frame's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub src: Mac,
    pub ethertype: u16,
    /// Whether it came in a link-layer broadcast or multicast.
    pub to_group: bool,
}

/// Reads the header of `frame`, received by a station whose address is `mac`.
#[inline]
pub(crate) fn receive(frame: &[u8], mac: Mac) -> Result<Received, DropReason> {
    let EthernetHeader { dst, src, ethertype } = parse(frame)?;
    let to_group = dst.is_group();
    if dst != mac && !to_group {
        return Err(DropReason::NotOurMac);
    }
    if src == mac || !src.is_station() {
        return Err(DropReason::BadSourceMac);
    }
    Ok(Received { src, ethertype, to_group })
}

/// The greatest value of the type field that is a length (IEEE 802.3 §3.2.6).
pub(crate) const MAX_LENGTH: u16 = 1500;

/// LLC and SNAP of an encapsulated EtherType: both service access points 170, unnumbered information, organization 0.
const SNAP: [u8; 6] = [0xaa, 0xaa, 3, 0, 0, 0];

/// Takes LLC and SNAP off a packet in IEEE 802.3 framing, and what lies behind its `length` octets; the EtherType.
//= https://www.rfc-editor.org/rfc/rfc1122#section-2.3.3
//# Every Internet host connected to a 10Mbps Ethernet cable: [...] SHOULD be able to receive RFC-1042 packets,
//# intermixed with RFC-894 packets
#[cold]
pub(crate) fn unwrap_snap(frame: &mut Frame<'_>, length: u16) -> Result<u16, DropReason> {
    let length = usize::from(length);
    let header: Option<&[u8; 8]> = frame.get(..length).and_then(<[u8]>::first_chunk);
    match header {
        Some(&[llc_snap @ .., hi, lo]) if llc_snap == SNAP => {
            frame.truncate(length);
            frame.trim_front(8);
            Ok(u16::from_be_bytes([hi, lo]))
        }
        _ => Err(DropReason::UnknownEtherType),
    }
}

/// Puts a header in front of `frame`. `None` without headroom for it; nothing changes then.
#[inline]
pub(crate) fn push(frame: &mut Frame<'_>, header: &EthernetHeader) -> Option<()> {
    emit(frame.push_front(HEADER)?, header);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const PEER: Mac = Mac([2, 0, 0, 0, 0, 9]);

    fn frame(dst: Mac, src: Mac) -> [u8; 20] {
        let mut buf = [0; 20];
        emit(&mut buf, &EthernetHeader { dst, src, ethertype: IPV4 });
        buf
    }

    #[test]
    fn frames_to_us_and_to_groups_are_taken_and_others_dropped() {
        let group = Mac([1, 0, 0x5e, 0, 0, 1]);
        let taken = |to_group| Ok(Received { src: PEER, ethertype: IPV4, to_group });
        assert_eq!(receive(&frame(US, PEER), US), taken(false));
        assert_eq!(receive(&frame(Mac::BROADCAST, PEER), US), taken(true));
        assert_eq!(receive(&frame(group, PEER), US), taken(true));
        assert_eq!(receive(&frame(Mac([2, 0, 0, 0, 0, 2]), PEER), US), Err(DropReason::NotOurMac));
        for src in [group, Mac::BROADCAST, Mac([0; 6]), US] {
            assert_eq!(receive(&frame(US, src), US), Err(DropReason::BadSourceMac), "{src}");
        }
    }

    /// H007: frames of 0 to 14 octets.
    #[test]
    fn frames_shorter_than_the_header_are_dropped() {
        let frame = frame(US, PEER);
        for len in 0..HEADER {
            assert_eq!(receive(&frame[..len], US), Err(DropReason::FrameTooShort), "{len}");
        }
        assert!(receive(&frame[..HEADER], US).is_ok());
    }
}

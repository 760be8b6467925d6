//! Wire format: ARP for IPv4 over Ethernet.
//!
//! Implements the packet of RFC 826.

use crate::device::Mac;
use crate::stats::DropReason;
use core::net::Ipv4Addr;

/// Octets of a packet.
pub(crate) const LEN: usize = 28;

/// What an ARP packet wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Request = 1,
    Reply = 2,
}

/// An ARP packet, by its RFC field names: sender and target hardware and protocol addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ArpPacketRepr {
    pub operation: Operation,
    pub sender_mac: Mac,
    pub sender_ip: Ipv4Addr,
    pub target_mac: Mac,
    pub target_ip: Ipv4Addr,
}

/// Hardware type Ethernet, protocol type IPv4, and the lengths of their addresses: how each packet begins.
const KINDS: [u8; 6] = [0, 1, 8, 0, 6, 4];

/// Reads a packet; octets behind it are the medium's padding.
pub(crate) fn parse(packet: &[u8]) -> Result<ArpPacketRepr, DropReason> {
    let bytes = packet.first_chunk::<LEN>().ok_or(DropReason::ArpMalformed)?;
    let operation = match u16::from_be_bytes([bytes[6], bytes[7]]) {
        1 => Operation::Request,
        2 => Operation::Reply,
        _ => return Err(DropReason::ArpMalformed),
    };
    if bytes[..6] != KINDS {
        return Err(DropReason::ArpMalformed);
    }
    Ok(ArpPacketRepr {
        operation,
        sender_mac: mac(bytes, 8),
        sender_ip: ip(bytes, 14),
        target_mac: mac(bytes, 18),
        target_ip: ip(bytes, 24),
    })
}

/// The MAC address at a place that is far enough from the end.
#[inline]
fn mac(bytes: &[u8; LEN], at: usize) -> Mac {
    Mac(core::array::from_fn(|i| bytes[at + i]))
}

#[inline]
fn ip(bytes: &[u8; LEN], at: usize) -> Ipv4Addr {
    Ipv4Addr::from(core::array::from_fn::<u8, 4, _>(|i| bytes[at + i]))
}

/// Writes the packet into the first [`LEN`] octets of `buf`, which has as many.
pub(crate) fn emit(buf: &mut [u8], packet: &ArpPacketRepr) {
    let Some(bytes) = buf.first_chunk_mut::<LEN>() else {
        debug_assert!(false, "room for an ARP packet");
        return;
    };
    let ArpPacketRepr { operation, sender_mac, sender_ip, target_mac, target_ip } = *packet;
    bytes[..6].copy_from_slice(&KINDS);
    bytes[6..8].copy_from_slice(&(operation as u16).to_be_bytes());
    bytes[8..14].copy_from_slice(&sender_mac.0);
    bytes[14..18].copy_from_slice(&sender_ip.octets());
    bytes[18..24].copy_from_slice(&target_mac.0);
    bytes[24..].copy_from_slice(&target_ip.octets());
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: ArpPacketRepr = ArpPacketRepr {
        operation: Operation::Request,
        sender_mac: Mac([2, 0, 0, 0, 0, 1]),
        sender_ip: Ipv4Addr::new(192, 0, 2, 1),
        target_mac: Mac([0; 6]),
        target_ip: Ipv4Addr::new(192, 0, 2, 9),
    };

    const OCTETS: [u8; LEN] = [
        0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 192, 0, 2, 9, //
    ];

    #[test]
    fn a_packet_is_written_as_it_is_read() {
        let mut buf = [0xee; LEN];
        emit(&mut buf, &PACKET);
        assert_eq!(buf, OCTETS);
        assert_eq!(parse(&buf), Ok(PACKET));
        let reply = ArpPacketRepr { operation: Operation::Reply, ..PACKET };
        emit(&mut buf, &reply);
        assert_eq!(parse(&buf), Ok(reply));
    }

    /// H007: 27 octets, htype != 1, ptype != 0x0800, hlen != 6, plen != 4, op 3, RARP; padded ones work.
    #[test]
    fn impossible_packets_are_dropped_and_padded_ones_work() {
        for len in 0..LEN {
            assert_eq!(parse(&OCTETS[..len]), Err(DropReason::ArpMalformed), "{len}");
        }
        for (at, value) in
            [(1, 2), (0, 1), (2, 9), (3, 6), (4, 8), (4, 0), (4, 255), (5, 16), (5, 0), (7, 3), (7, 4), (7, 0)]
        {
            let mut bad = OCTETS;
            bad[at] = value;
            assert_eq!(parse(&bad), Err(DropReason::ArpMalformed), "octet {at} = {value}");
        }
        let mut padded = [0xaa; 46];
        padded[..LEN].copy_from_slice(&OCTETS);
        assert_eq!(parse(&padded), Ok(PACKET));
    }
}

//! Wire format: ARP for IPv4 over Ethernet.
//!
//! Implements the packet of RFC 826.

use crate::device::Mac;
use crate::stats::DropReason;
use core::net::Ipv4Addr;
use smoltcp::wire::{ArpHardware, ArpOperation, ArpPacket, EthernetAddress, EthernetProtocol};

/// Octets of a packet.
pub(crate) const LEN: usize = 28;

/// What an ARP packet wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Request,
    Reply,
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

/// Reads a packet; octets behind it are the medium's padding.
pub(crate) fn parse(packet: &[u8]) -> Result<ArpPacketRepr, DropReason> {
    let bytes = packet.first_chunk::<LEN>().ok_or(DropReason::ArpMalformed)?;
    let p = ArpPacket::new_unchecked(bytes);
    // The address accessors below read where these lengths say, so that they are checked before.
    if p.hardware_type() != ArpHardware::Ethernet
        || p.protocol_type() != EthernetProtocol::Ipv4
        || p.hardware_len() != 6
        || p.protocol_len() != 4
    {
        return Err(DropReason::ArpMalformed);
    }
    let operation = match p.operation() {
        ArpOperation::Request => Operation::Request,
        ArpOperation::Reply => Operation::Reply,
        ArpOperation::Unknown(_) => return Err(DropReason::ArpMalformed),
    };
    Ok(ArpPacketRepr {
        operation,
        sender_mac: mac(p.source_hardware_addr())?,
        sender_ip: ip(p.source_protocol_addr())?,
        target_mac: mac(p.target_hardware_addr())?,
        target_ip: ip(p.target_protocol_addr())?,
    })
}

fn mac(bytes: &[u8]) -> Result<Mac, DropReason> {
    bytes.first_chunk().map(|b| Mac(*b)).ok_or(DropReason::ArpMalformed)
}

fn ip(bytes: &[u8]) -> Result<Ipv4Addr, DropReason> {
    bytes.first_chunk::<4>().map(|b| Ipv4Addr::from(*b)).ok_or(DropReason::ArpMalformed)
}

/// Writes the packet into the first [`LEN`] octets of `buf`, which has as many.
pub(crate) fn emit(buf: &mut [u8], packet: &ArpPacketRepr) {
    let Some(bytes) = buf.first_chunk_mut::<LEN>() else {
        debug_assert!(false, "room for an ARP packet");
        return;
    };
    let ArpPacketRepr { operation, sender_mac, sender_ip, target_mac, target_ip } = *packet;
    let mut out = ArpPacket::new_unchecked(bytes);
    out.set_hardware_type(ArpHardware::Ethernet);
    out.set_protocol_type(EthernetProtocol::Ipv4);
    out.set_hardware_len(6);
    out.set_protocol_len(4);
    out.set_operation(match operation {
        Operation::Request => ArpOperation::Request,
        Operation::Reply => ArpOperation::Reply,
    });
    out.set_source_hardware_addr(EthernetAddress(sender_mac.0).as_bytes());
    out.set_source_protocol_addr(&sender_ip.octets());
    out.set_target_hardware_addr(EthernetAddress(target_mac.0).as_bytes());
    out.set_target_protocol_addr(&target_ip.octets());
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

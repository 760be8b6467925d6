//! ARP: what a received packet asks of us, and the packets that we send.
//!
//! Implements RFC 826, with the address conflicts of RFC 5227 §2.4. What is heard goes to the neighbour table; what is
//! sent goes out in broadcast when [`destination`] says so.
//!
//! ```text
//!            sender is us, other MAC ──▶ Conflict (one defence in 10 s)
//!  packet ──▶ request for us ──────────▶ Reply, and the sender is learned unless it has no address yet
//!            reply, announcement, other ▶ Heard: refreshes an entry, makes none
//! ```

use crate::device::Mac;
use crate::family::IpAddr;
use crate::ip::addr::{Cidr, is_broadcast, is_martian_source_v4};
use crate::stats::DropReason;
use crate::time::{Duration, Instant};
use crate::wire::arp::parse;
pub(crate) use crate::wire::arp::{ArpPacketRepr, LEN, Operation, emit};
use core::net::Ipv4Addr;

/// RFC 5227 §1.1.
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);

/// What a received ARP packet leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ArpVerdict {
    /// Somebody asks for one of our addresses.
    Reply {
        /// What to answer, to the MAC address in it.
        reply: ArpPacketRepr,
        /// The sender, when it is on the link and has an address: it will hear from us soon (RFC 826).
        learn: Option<(Ipv4Addr, Mac)>,
    },
    /// Somebody's address, for an entry that there is already.
    Heard {
        ip: Ipv4Addr,
        mac: Mac,
        /// Whether it is an answer to us.
        reply: bool,
    },
    /// Somebody else uses our address. Counted as [`DropReason::ArpConflict`] and reported.
    Conflict {
        ip: Ipv4Addr,
        mac: Mac,
        /// The announcement to defend it with, when the last is long enough ago.
        defence: Option<ArpPacketRepr>,
    },
    Drop(DropReason),
}

/// When an interface last defended an address.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Defence(Option<Instant>);

/// Judges a packet received by the interface that has `mac` and `addresses`.
pub(crate) fn handle(now: Instant, packet: &[u8], addresses: &[Cidr], mac: Mac, defence: &mut Defence) -> ArpVerdict {
    let packet = match parse(packet) {
        Ok(packet) => packet,
        Err(reason) => return ArpVerdict::Drop(reason),
    };
    let ArpPacketRepr { operation, sender_mac, sender_ip, target_mac: _, target_ip } = packet;
    let ours = |ip: Ipv4Addr| addresses.iter().any(|c| c.ip() == IpAddr::V4(ip));
    // 0.0.0.0 is a probe's sender (RFC 5227 §2.1.1); otherwise what no packet may come from, no neighbour has.
    let probe = sender_ip.is_unspecified();
    let impossible = is_martian_source_v4(sender_ip) || is_broadcast(IpAddr::V4(sender_ip), addresses);
    if !sender_mac.is_station() || (impossible && !probe) {
        return ArpVerdict::Drop(DropReason::ArpMalformed);
    }
    if sender_mac == mac {
        return ArpVerdict::Drop(DropReason::BadSourceMac);
    }
    if ours(sender_ip) {
        let defence = defence.claim(now).then(|| announcement(mac, sender_ip));
        return ArpVerdict::Conflict { ip: sender_ip, mac: sender_mac, defence };
    }
    if operation == Operation::Request && ours(target_ip) {
        let on_link = addresses.iter().any(|c| c.has(IpAddr::V4(sender_ip)));
        let reply = ArpPacketRepr {
            operation: Operation::Reply,
            sender_mac: mac,
            sender_ip: target_ip,
            target_mac: sender_mac,
            target_ip: sender_ip,
        };
        return ArpVerdict::Reply { reply, learn: (on_link && !probe).then_some((sender_ip, sender_mac)) };
    }
    if probe {
        return ArpVerdict::Drop(DropReason::ArpNotForUs);
    }
    let reply = operation == Operation::Reply && ours(target_ip);
    ArpVerdict::Heard { ip: sender_ip, mac: sender_mac, reply }
}

/// The answer to a question for another's address, by us, who have `mac`, and who asks. `None`: it is no such question, or
/// one by somebody without an address, or about its own.
#[cfg(feature = "any-address")]
pub(crate) fn asked(packet: &[u8], mac: Mac) -> Option<(ArpPacketRepr, Ipv4Addr)> {
    let ArpPacketRepr { operation, sender_mac, sender_ip, target_mac: _, target_ip } = parse(packet).ok()?;
    let asks = operation == Operation::Request && !sender_ip.is_unspecified() && sender_ip != target_ip;
    let reply = ArpPacketRepr {
        operation: Operation::Reply,
        sender_mac: mac,
        sender_ip: target_ip,
        target_mac: sender_mac,
        target_ip: sender_ip,
    };
    asks.then_some((reply, sender_ip))
}

impl Defence {
    //= https://www.rfc-editor.org/rfc/rfc5227#section-2.4
    //# the host MUST NOT send another defensive ARP Announcement.
    pub fn claim(&mut self, now: Instant) -> bool {
        let due = self.0.is_none_or(|last| now.since(last) >= DEFEND_INTERVAL);
        if due {
            self.0 = Some(now);
        }
        due
    }
}

/// The question who has `target`, asked by us, who have `mac` and `ip`.
pub(crate) fn request(mac: Mac, ip: Ipv4Addr, target: Ipv4Addr) -> ArpPacketRepr {
    ArpPacketRepr {
        operation: Operation::Request,
        sender_mac: mac,
        sender_ip: ip,
        target_mac: Mac::default(),
        target_ip: target,
    }
}

/// The announcement that `ip` is at `mac` (RFC 5227 §2.3): a request for it by itself.
pub(crate) fn announcement(mac: Mac, ip: Ipv4Addr) -> ArpPacketRepr {
    request(mac, ip, ip)
}

/// The MAC address that a packet of ours goes to, unless a request is sent to a known neighbour to probe it.
pub(crate) fn destination(packet: &ArpPacketRepr) -> Mac {
    //= https://www.rfc-editor.org/rfc/rfc3927#section-2.5
    //# All ARP packets (*replies* as well as requests) that contain a Link-
    //# Local 'sender IP address' MUST be sent using link-layer broadcast
    //# instead of link-layer unicast.
    #[cfg(feature = "link-local")]
    if packet.sender_ip.is_link_local() {
        return Mac::BROADCAST;
    }
    match packet.operation {
        Operation::Request => Mac::BROADCAST,
        Operation::Reply => packet.target_mac,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const PEER: Mac = Mac([2, 0, 0, 0, 0, 9]);
    const OUR_IP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const PEER_IP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);

    fn handle_at(now: Instant, packet: ArpPacketRepr, defence: &mut Defence) -> ArpVerdict {
        let mut buf = [0; LEN];
        emit(&mut buf, &packet);
        let addresses = ["192.0.2.1/24", "10.0.0.1/8"].map(|t| t.parse().expect("valid text"));
        handle(now, &buf, &addresses, US, defence)
    }

    fn handle_one(packet: ArpPacketRepr) -> ArpVerdict {
        handle_at(Instant::ZERO, packet, &mut Defence::default())
    }

    #[test]
    fn a_request_for_us_is_answered_and_its_sender_learned() {
        let ArpVerdict::Reply { reply, learn } = handle_one(request(PEER, PEER_IP, OUR_IP)) else {
            panic!("a reply");
        };
        let expected = ArpPacketRepr {
            operation: Operation::Reply,
            sender_mac: US,
            sender_ip: OUR_IP,
            target_mac: PEER,
            target_ip: PEER_IP,
        };
        assert_eq!((reply, destination(&reply), learn), (expected, PEER, Some((PEER_IP, PEER))));
    }

    #[test]
    fn a_sender_off_the_link_is_answered_but_not_learned() {
        let verdict = handle_one(request(PEER, Ipv4Addr::new(198, 51, 100, 1), OUR_IP));
        assert!(matches!(verdict, ArpVerdict::Reply { learn: None, .. }), "{verdict:?}");
    }

    /// H004.
    #[test]
    fn a_probe_for_our_address_is_answered_and_leaves_no_entry() {
        let ArpVerdict::Reply { reply, learn } = handle_one(request(PEER, Ipv4Addr::UNSPECIFIED, OUR_IP)) else {
            panic!("a reply");
        };
        assert_eq!((destination(&reply), reply.sender_ip, learn), (PEER, OUR_IP, None));
        // Not even where every address is on the link.
        let everywhere = ["192.0.2.1/0".parse().expect("valid text")];
        let mut buf = [0; LEN];
        emit(&mut buf, &request(PEER, Ipv4Addr::UNSPECIFIED, OUR_IP));
        let verdict = handle(Instant::ZERO, &buf, &everywhere, US, &mut Defence::default());
        assert!(matches!(verdict, ArpVerdict::Reply { learn: None, .. }), "{verdict:?}");
        let other = handle_one(request(PEER, Ipv4Addr::UNSPECIFIED, PEER_IP));
        assert_eq!(other, ArpVerdict::Drop(DropReason::ArpNotForUs));
    }

    /// H005.
    #[test]
    fn an_address_in_conflict_is_defended_once_in_ten_seconds() {
        let mut defence = Defence::default();
        let mut defended = [0; 3];
        for tick in 0..250 {
            let packet = if tick % 2 == 0 {
                request(PEER, OUR_IP, PEER_IP)
            } else {
                ArpPacketRepr { operation: Operation::Reply, ..announcement(PEER, OUR_IP) }
            };
            let now = Instant::from_millis(1_000 + tick * 100);
            let ArpVerdict::Conflict { ip, mac, defence } = handle_at(now, packet, &mut defence) else {
                panic!("a conflict");
            };
            assert_eq!((ip, mac), (OUR_IP, PEER));
            if let Some(packet) = defence {
                assert_eq!((packet, destination(&packet)), (announcement(US, OUR_IP), Mac::BROADCAST));
                defended[tick as usize / 100] += 1;
            }
        }
        assert_eq!(defended, [1, 1, 1]);
    }

    #[test]
    fn replies_and_announcements_are_heard() {
        let reply = ArpPacketRepr {
            operation: Operation::Reply,
            sender_mac: PEER,
            sender_ip: PEER_IP,
            target_mac: US,
            target_ip: OUR_IP,
        };
        assert_eq!(handle_one(reply), ArpVerdict::Heard { ip: PEER_IP, mac: PEER, reply: true });
        let heard = ArpVerdict::Heard { ip: PEER_IP, mac: PEER, reply: false };
        assert_eq!(handle_one(announcement(PEER, PEER_IP)), heard);
        assert_eq!(handle_one(request(PEER, PEER_IP, Ipv4Addr::new(192, 0, 2, 77))), heard);
        assert_eq!(handle_one(ArpPacketRepr { target_ip: PEER_IP, ..reply }), heard);
    }

    /// H007: group or zero sender MAC, sender IP of a group, of loopback or of everybody.
    #[test]
    fn impossible_senders_are_dropped() {
        let good = request(PEER, PEER_IP, OUR_IP);
        for sender_mac in [Mac([0; 6]), Mac::BROADCAST, Mac([1, 0, 0x5e, 0, 0, 1])] {
            let verdict = handle_one(ArpPacketRepr { sender_mac, ..good });
            assert_eq!(verdict, ArpVerdict::Drop(DropReason::ArpMalformed), "{sender_mac}");
        }
        for ip in [[224, 0, 0, 1], [127, 0, 0, 1], [255, 255, 255, 255], [192, 0, 2, 255], [0, 0, 0, 1], [240, 0, 0, 1]]
        {
            let verdict = handle_one(ArpPacketRepr { sender_ip: ip.into(), ..good });
            assert_eq!(verdict, ArpVerdict::Drop(DropReason::ArpMalformed), "{ip:?}");
        }
        let own = handle_one(ArpPacketRepr { sender_mac: US, ..good });
        assert_eq!(own, ArpVerdict::Drop(DropReason::BadSourceMac));
        let truncated = handle(Instant::ZERO, &[0; LEN - 1], &[], US, &mut Defence::default());
        assert_eq!(truncated, ArpVerdict::Drop(DropReason::ArpMalformed));
    }
}

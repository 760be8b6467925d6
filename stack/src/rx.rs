//! A frame comes in: link layer, IP, and to the protocol it is for.
//!
//! Implements RFC 1122 §2.3 and §3.2.1, with RFC 1812's and RFC 7126's view of what must not be on a wire. Each early
//! return names its [`DropReason`].

#[cfg(all(feature = "tcp", feature = "tuning"))]
mod beyond;
#[cfg(feature = "forward")]
mod forward;
mod icmp;
#[cfg(feature = "ipv6")]
mod icmpv6;
#[cfg(feature = "ipv6")]
mod ndp;
#[cfg(feature = "forward")]
mod redirect;
#[cfg(feature = "tcp")]
mod tcp;
#[cfg(feature = "udp")]
mod udp;
#[cfg(feature = "ipv6")]
mod v6;

use crate::device::{RxChecksum, RxMeta, SegmentSize};
use crate::family::IpAddr;
use crate::frame::Frame;
#[cfg(feature = "hooks")]
use crate::ip::hooks::Point;
use crate::ip::v4::{self, Destination};
use crate::link::arp::{self, ArpVerdict};
use crate::link::ethernet;
use crate::link::neighbor::Heard;
use crate::log;
use crate::stack::{IfaceId, Reply, Stack};
use crate::stats::DropReason;
use crate::wire::ip::{self, IpHeader};
use crate::wire::ipv4::{self, Ipv4Header};
#[cfg(feature = "tcp")]
use crate::wire::segment;

/// Protocol numbers (IANA).
pub(crate) mod protocol {
    pub const ICMP: u8 = 1;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    #[cfg(feature = "ipv6")]
    pub const ICMPV6: u8 = crate::icmp::v6::PROTOCOL;
}

/// What the layers below know of a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub iface: IfaceId,
    /// The frame went to a link-layer group.
    pub link_group: bool,
    pub to: Destination,
    pub checksum: RxChecksum,
    /// What segments it is of.
    pub size: SegmentSize,
    /// The connection that the packet is a segment for, where that was seen at once.
    pub flow: Option<u32>,
}

impl Arrival {
    /// Whether the transport checksum need not be computed: the device did, or the packet never was on a wire.
    pub fn is_verified(&self) -> bool {
        !matches!(self.checksum, RxChecksum::None)
    }
}

type Drop = Result<(), DropReason>;

/// What is known of a packet that is whole and for us; `None` when it was only a part of one. Its frame stays where it
/// is, to be moved once.
type Whole = Option<(Upper, Arrival)>;

/// What is behind the IP headers of a packet. The rest of what they say is read again where it is wanted: what few
/// packets need does not burden all.
#[derive(Clone, Copy, Debug)]
struct Upper {
    protocol: u8,
    /// Where it begins.
    at: usize,
    /// See [`IpHeader::named_at`].
    named_at: u16,
    /// See [`IpHeader::in_pieces`].
    in_pieces: bool,
}

/// Where a frame comes from.
#[derive(Clone, Copy)]
enum Origin {
    /// The device of an interface, which may have left several segments together.
    Wire(IfaceId, SegmentSize),
    /// This stack, which sent an IP packet to itself.
    #[cfg(feature = "loopback")]
    Ourselves,
}

impl Origin {
    /// Whether a packet of so many octets is of several segments.
    #[cfg(feature = "forward")]
    fn is_several(self, len: usize) -> bool {
        match self {
            Self::Wire(_, size) => size.segments(len) > 1,
            #[cfg(feature = "loopback")]
            Self::Ourselves => false,
        }
    }

    /// The interface whose device it is.
    #[inline]
    fn wire(self) -> Option<IfaceId> {
        match self {
            Self::Wire(id, _) => Some(id),
            #[cfg(feature = "loopback")]
            Self::Ourselves => None,
        }
    }
}

impl<'a> Stack<'a> {
    /// Handles one received frame.
    #[inline]
    pub(crate) fn handle_frame(&mut self, id: IfaceId, frame: Frame<'a>, meta: RxMeta) {
        self.stats.rx_frames = self.stats.rx_frames.wrapping_add(1);
        self.stats.rx_octets = self.stats.rx_octets.wrapping_add(frame.len());
        #[cfg(feature = "taps")]
        if !self.taps.is_empty() {
            self.tap_in(id, &frame, &meta);
        }
        if let Err(reason) = self.handle(Origin::Wire(id, SegmentSize::of(meta.gso)), frame, meta.checksum) {
            self.dropped(reason);
        }
        if self.has_looped() {
            self.handle_looped();
        }
    }

    /// Whether packets to ourselves wait.
    #[inline]
    pub(crate) fn has_looped(&self) -> bool {
        #[cfg(feature = "loopback")]
        return !self.looped.is_empty();
        #[cfg(not(feature = "loopback"))]
        false
    }

    /// Handles what we sent to ourselves. Such packets may cause further ones; those wait for the next turn, so that a
    /// packet that answers itself cannot hold the poll.
    #[cfg(feature = "loopback")]
    #[cold]
    pub(crate) fn handle_looped(&mut self) {
        for _ in 0..self.looped.len() {
            let Some(frame) = self.looped.pop_front() else { return };
            if let Err(reason) = self.handle(Origin::Ourselves, frame, RxChecksum::Verified) {
                self.dropped(reason);
            }
        }
    }

    #[cfg(not(feature = "loopback"))]
    pub(crate) fn handle_looped(&mut self) {}

    #[cold]
    fn dropped(&mut self, reason: DropReason) {
        log::trace!("a frame was dropped: {}", reason.name());
        self.stats.drop(reason);
    }

    /// The link layer; what is not IP ends here.
    ///
    /// This and the steps of a segment behind it have one caller each, so that the compiler makes one function of them;
    /// what takes another way leaves it by a call.
    fn handle(&mut self, origin: Origin, mut frame: Frame<'a>, mut checksum: RxChecksum) -> Drop {
        let mut link_group = false;
        let mut named = None;
        if let Some(id) = origin.wire() {
            let Some(iface) = self.iface(id) else { return Ok(()) };
            if iface.is_ethernet() {
                let mac = iface.mac;
                #[cfg(feature = "raw-ethernet")]
                let is_taken = self.ethernet.open > 0 && self.copy_to_ethernet(id, &frame);
                #[cfg(not(feature = "raw-ethernet"))]
                let is_taken = false;
                let received = match ethernet::receive(&frame, mac) {
                    Ok(received) => received,
                    Err(_) if is_taken => return Ok(()),
                    Err(reason) => return Err(reason),
                };
                let whole = frame.len();
                frame.trim_front(ethernet::HEADER);
                let ethertype = match received.ethertype {
                    length if cfg!(feature = "snap") && length <= ethernet::MAX_LENGTH => {
                        match ethernet::unwrap_snap(&mut frame, length) {
                            Ok(ethertype) => ethertype,
                            Err(_) if is_taken => return Ok(()),
                            Err(reason) => return Err(reason),
                        }
                    }
                    ethertype => ethertype,
                };
                match ethertype {
                    ethernet::IPV4 => {}
                    #[cfg(feature = "ipv6")]
                    ethernet::IPV6 => {}
                    ethernet::ARP => return self.handle_arp(id, &frame),
                    _ if is_taken => return Ok(()),
                    _ => return Err(DropReason::UnknownEtherType),
                }
                named = Some(ethertype);
                link_group = received.to_group;
                checksum = shifted(checksum, whole - frame.len());
            }
        }
        let is = |expected| named.is_none_or(|found| found == expected);
        // Each family's answer is taken apart by itself: what both have in common then needs no memory.
        let (upper, arrival) = match frame.first().map(|b| b >> 4) {
            Some(4) if is(ethernet::IPV4) => match self.handle_ipv4(origin, &mut frame, checksum, link_group) {
                Ok(Some(whole)) => whole,
                Ok(None) => return Ok(()),
                Err(reason) => return self.not_taken(reason, origin, frame, checksum),
            },
            #[cfg(feature = "ipv6")]
            Some(6) if is(ethernet::IPV6) => match self.handle_ipv6(origin, &mut frame, checksum, link_group) {
                Ok(Some(whole)) => whole,
                Ok(None) => return Ok(()),
                Err(reason) => return self.not_taken(reason, origin, frame, checksum),
            },
            Some(_) => return Err(DropReason::UnknownEtherType),
            None => return Err(DropReason::FrameTooShort),
        };
        self.deliver(upper, frame, arrival)
    }

    /// What is not for us goes on, where this is a router.
    #[inline]
    fn not_taken(&mut self, reason: DropReason, origin: Origin, frame: Frame<'a>, checksum: RxChecksum) -> Drop {
        #[cfg(feature = "forward")]
        if reason == DropReason::NotOurAddress {
            return self.forward(origin, frame, checksum);
        }
        let _ = (origin, frame, checksum);
        Err(reason)
    }

    #[inline]
    fn handle_ipv4(
        &mut self,
        origin: Origin,
        frame: &mut Frame<'a>,
        checksum: RxChecksum,
        link_group: bool,
    ) -> Result<Whole, DropReason> {
        let header = ipv4::parse(frame)?;
        // Link-layer padding is no part of the packet.
        frame.truncate(header.total_len);
        let (iface, size, to, flow) = match origin {
            Origin::Wire(id, size) => match self.flow(id, &header, frame, link_group) {
                // The ends of a connection are addresses that were admitted, and its own is still ours.
                Some(flow) => (id, size, Destination::Ours, Some(flow)),
                #[cfg(feature = "hooks")]
                None if self.hooks.is_some() => return self.handle_hooked((id, size), frame, checksum, link_group),
                None => (id, size, self.admit(id, &header, link_group)?, None),
            },
            #[cfg(feature = "loopback")]
            Origin::Ourselves => {
                let id = self.iface_of(header.dst.into()).unwrap_or(IfaceId(0));
                (id, SegmentSize::default(), Destination::Ours, None)
            }
        };
        self.whole(header, frame, Arrival { iface, link_group, to, checksum, size, flow })
    }

    /// As [`handle_ipv4`](Self::handle_ipv4), where hooks see the packet first. While there are any, no packet is taken for
    /// one of a flow, so that all come here.
    #[cfg(feature = "hooks")]
    #[cold]
    #[inline(never)]
    fn handle_hooked(
        &mut self,
        (id, size): (IfaceId, SegmentSize),
        frame: &mut Frame<'a>,
        checksum: RxChecksum,
        link_group: bool,
    ) -> Result<Whole, DropReason> {
        let checksum = self.hook_in(Point::PreRouting, id, frame, checksum)?;
        let header = ipv4::parse(frame)?;
        frame.truncate(header.total_len);
        let to = self.admit(id, &header, link_group)?;
        self.whole(header, frame, Arrival { iface: id, link_group, to, checksum, size, flow: None })
    }

    /// The packet, put together with others if it is a fragment.
    #[inline(always)]
    fn whole(&mut self, header: Ipv4Header, frame: &mut Frame<'a>, arrival: Arrival) -> Result<Whole, DropReason> {
        let (header, arrival) = if header.is_fragment() {
            match self.handle_fragment(header, frame, arrival)? {
                Some((header, whole)) => {
                    *frame = whole;
                    (header, Arrival { checksum: RxChecksum::None, size: SegmentSize::default(), ..arrival })
                }
                None => return Ok(None),
            }
        } else {
            (header, arrival)
        };
        let upper = Upper { protocol: header.protocol, at: header.header_len, named_at: 9, in_pieces: false };
        Ok(Some((upper, arrival)))
    }

    /// The connection that a packet belongs to, if it is the one that the last segment was for.
    #[cfg(feature = "tcp")]
    #[inline]
    fn flow(&self, id: IfaceId, header: &Ipv4Header, packet: &[u8], link_group: bool) -> Option<u32> {
        if header.protocol != protocol::TCP || link_group || header.is_fragment() {
            return None;
        }
        let (src_port, dst_port) = segment::ports(packet.get(header.header_len..)?)?;
        self.tcp.find_again(id, (header.dst.into(), dst_port), (header.src.into(), src_port))
    }

    #[cfg(not(feature = "tcp"))]
    fn flow(&self, _: IfaceId, _: &Ipv4Header, _: &[u8], _: bool) -> Option<u32> {
        None
    }

    /// Whom a packet is for, as seen by this host; an error when it must not be here.
    fn admit(&self, id: IfaceId, header: &Ipv4Header, link_group: bool) -> Result<Destination, DropReason> {
        let Some(iface) = self.iface(id) else { return Err(DropReason::NotOurAddress) };
        match v4::admit(header, &iface.addresses, link_group) {
            // In the weak host model (RFC 1122 §3.3.4.2) an address of ours is ours by whichever interface it comes.
            Err(DropReason::NotOurAddress)
                if self.is_own(header.dst.into()) || self.is_held_on(id, header.dst.into()) =>
            {
                match self.is_own(header.src.into()) {
                    true => Err(DropReason::MartianSource),
                    false => self.admit_elsewhere(id, header.dst.into()),
                }
            }
            // An address of ours on another interface is no source either.
            Ok(_) if self.ifaces.len() > 1 && self.is_configured(header.src.into()) => Err(DropReason::MartianSource),
            admitted => admitted,
        }
    }

    /// Whom a packet is for that came for an address of ours, but not of the interface that it came by.
    //= https://www.rfc-editor.org/rfc/rfc1122#section-3.3.4.2
    //# A host MAY silently discard an incoming datagram whose
    //# destination address does not correspond to the physical
    //# interface through which it is received.
    #[inline]
    fn admit_elsewhere(&self, id: IfaceId, dst: IpAddr) -> Result<Destination, DropReason> {
        #[cfg(feature = "strong-host")]
        if self.is_strong() && !self.is_held_on(id, dst) {
            return Err(DropReason::WrongInterface);
        }
        let _ = (id, dst);
        Ok(Destination::Ours)
    }

    /// Hands a whole packet to the protocol it is for.
    #[inline]
    fn deliver(&mut self, upper: Upper, frame: Frame<'a>, arrival: Arrival) -> Drop {
        #[cfg(feature = "hooks")]
        let (mut frame, mut arrival) = (frame, arrival);
        #[cfg(feature = "hooks")]
        if arrival.flow.is_none() && self.hooks.is_some() {
            arrival.checksum = self.hook_in(Point::LocalIn, arrival.iface, &mut frame, arrival.checksum)?;
        }
        let raw = self.deliver_raw(upper.protocol, &frame, arrival);
        #[cfg(feature = "tcp")]
        if upper.protocol == protocol::TCP {
            return self.handle_tcp(upper.at, &frame, arrival);
        }
        self.deliver_other(upper, frame, arrival, raw)
    }

    /// As [`deliver`](Self::deliver), for all but TCP; `raw`: a raw socket has it.
    #[cfg_attr(not(target_os = "none"), inline(never))]
    fn deliver_other(&mut self, upper: Upper, frame: Frame<'a>, arrival: Arrival, raw: bool) -> Drop {
        let Upper { protocol, at: header_len, named_at, in_pieces } = upper;
        let header = IpHeader { protocol, header_len, named_at, in_pieces, ..ip::parse(&frame)? };
        match header.protocol {
            #[cfg(feature = "udp")]
            protocol::UDP => self.handle_udp(&header, frame, arrival),
            protocol::ICMP if header.src.is_ipv4() => self.handle_icmp(frame, arrival),
            #[cfg(feature = "ipv6")]
            protocol::ICMPV6 if header.src.is_ipv6() => self.handle_icmpv6(&header, frame, arrival),
            #[cfg(feature = "multicast")]
            crate::wire::igmp::PROTOCOL if header.src.is_ipv4() => self.handle_igmp(&header, &frame, arrival),
            _ if raw => Ok(()),
            _ => {
                self.protocol_unreachable(&header, &frame, arrival);
                Err(DropReason::UnknownProtocol)
            }
        }
    }

    /// What a router asks, or another host reports, of groups. Both are for this link, and sent to groups.
    #[cfg(feature = "multicast")]
    #[inline(never)]
    fn handle_igmp(&mut self, header: &IpHeader, packet: &[u8], arrival: Arrival) -> Drop {
        let message = packet.get(header.header_len..).ok_or(DropReason::IgmpMalformed)?;
        if arrival.to != Destination::Group || header.hop_limit != 1 {
            return Err(DropReason::IgmpMalformed);
        }
        let message = crate::wire::igmp::parse(message)?;
        self.on_membership(arrival.iface, &message);
        Ok(())
    }

    /// The datagram that this fragment completes, if it does.
    #[cfg(feature = "reassembly")]
    #[inline(never)]
    fn handle_fragment(
        &mut self,
        header: Ipv4Header,
        frame: &[u8],
        arrival: Arrival,
    ) -> Result<Option<(Ipv4Header, Frame<'a>)>, DropReason> {
        let Some(iface) = self.iface(arrival.iface) else { return Ok(None) };
        let pool = self.config.large_pool.unwrap_or(iface.pool);
        let whole = self.reassembly.handle(self.now, &header, frame, pool, &mut self.stats);
        self.schedule_reassembly();
        let Some(whole) = whole? else { return Ok(None) };
        let header = ipv4::parse(&whole)?;
        Ok(Some((header, whole)))
    }

    #[cfg(feature = "reassembly")]
    pub(crate) fn reassembly_deadline(&mut self) {
        while let Some(expired) = self.reassembly.on_deadline(self.now, &mut self.stats) {
            #[cfg(feature = "icmp-errors")]
            self.reassembly_expired(&expired.quote);
            let _ = expired;
        }
        self.schedule_reassembly();
    }

    #[cfg(feature = "reassembly")]
    fn schedule_reassembly(&mut self) {
        if self.reassembly_node.is_none() {
            self.reassembly_node = self.sched.alloc(crate::ready::Key::Reassembly).ok();
        }
        let Some(node) = self.reassembly_node else { return };
        self.sched.arm(node, self.reassembly.deadline());
    }

    #[cfg(not(feature = "reassembly"))]
    pub(crate) fn reassembly_deadline(&mut self) {}

    #[cfg(not(feature = "reassembly"))]
    fn handle_fragment(
        &mut self,
        _: Ipv4Header,
        _: &[u8],
        _: Arrival,
    ) -> Result<Option<(Ipv4Header, Frame<'a>)>, DropReason> {
        Err(DropReason::FragmentUnsupported)
    }

    #[cfg_attr(not(target_os = "none"), inline(never))]
    fn handle_arp(&mut self, id: IfaceId, packet: &[u8]) -> Drop {
        let now = self.now;
        let Some(Some(iface)) = self.ifaces.get_mut(id.index()) else { return Ok(()) };
        #[cfg(feature = "acd")]
        for probe in &mut iface.probes {
            probe.hear(packet, iface.mac);
        }
        match arp::handle(now, packet, &iface.addresses, iface.mac, &mut iface.defence) {
            ArpVerdict::Reply { reply, learn } => {
                if let Some((ip, mac)) = learn {
                    let heard = self.neighbors.learn(now, id.0, ip.into(), mac, &mut self.stats);
                    self.heard(heard);
                }
                self.send_arp(id, &reply, arp::destination(&reply));
                Ok(())
            }
            ArpVerdict::Heard { ip, mac, reply } => {
                #[cfg(feature = "any-address")]
                if self.answer_arp_for_any(id, packet) {
                    return Ok(());
                }
                let heard = self.neighbors.on_heard(now, id.0, ip.into(), mac, reply);
                self.heard(heard);
                match heard {
                    Heard::Unknown if reply => Err(DropReason::ArpUnsolicited),
                    Heard::Unknown => Err(DropReason::ArpNotForUs),
                    _ => Ok(()),
                }
            }
            ArpVerdict::Conflict { ip, mac, defence } => {
                #[cfg(feature = "acd")]
                {
                    iface.conflict = Some(crate::link::acd::AddressConflict { ip, mac, defended: defence.is_some() });
                }
                let _ = (ip, mac);
                log::warn!("another station uses an address of interface {}", id.index());
                if let Some(packet) = defence {
                    self.send_arp(id, &packet, arp::destination(&packet));
                }
                Err(DropReason::ArpConflict)
            }
            ArpVerdict::Drop(reason) => Err(reason),
        }
    }

    /// Answers who asks for an address that is answered for; whether it did. Who wants to know whether an address is free is
    /// not answered, nor who tells of its own.
    #[cfg(feature = "any-address")]
    #[cold]
    #[inline(never)]
    fn answer_arp_for_any(&mut self, id: IfaceId, packet: &[u8]) -> bool {
        let Some(iface) = self.iface(id) else { return false };
        let Some((reply, asker)) = arp::asked(packet, iface.mac) else { return false };
        if !self.answers_on(id, reply.sender_ip.into()) {
            return false;
        }
        if iface.addresses.iter().any(|a| a.has(asker.into())) {
            let heard = self.neighbors.learn(self.now, id.0, asker.into(), reply.target_mac, &mut self.stats);
            self.heard(heard);
        }
        self.send_arp(id, &reply, arp::destination(&reply));
        true
    }

    /// Queues a reply on an interface; without room it is dropped, counted.
    pub(crate) fn queue_reply(&mut self, id: IfaceId, reply: Reply<'a>) -> bool {
        let queued = match self.ifaces.get_mut(id.index()) {
            Some(Some(iface)) if !iface.is_up() => {
                self.stats.drop(DropReason::LinkDown);
                return false;
            }
            Some(Some(iface)) => iface.reply(reply).is_ok(),
            _ => false,
        };
        if !queued {
            self.stats.drop(DropReason::EgressFull);
        }
        queued
    }
}

/// The checksum's state in a frame whose first `by` octets are cut off.
fn shifted(checksum: RxChecksum, by: usize) -> RxChecksum {
    match checksum {
        RxChecksum::Partial { start, offset } => RxChecksum::Partial { start: start.saturating_sub(by as u16), offset },
        other => other,
    }
}

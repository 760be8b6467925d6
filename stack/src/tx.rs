//! A packet goes out: whose turn it is, by which route, to which neighbour, in how many pieces.
//!
//! Order of one interface's egress: what the device refused, the rest of a packet being cut up, ARP announcements and
//! replies, then one turn for each ready socket in order. A turn is one packet: fair by construction.

#[cfg(any(feature = "udp", feature = "raw", feature = "icmp"))]
mod datagram;
#[cfg(feature = "forward")]
mod forward;
#[cfg(feature = "gso")]
mod gso;
#[cfg(feature = "hooks")]
mod hooks;
#[cfg(feature = "ipv6")]
mod ndp;
mod neighbor;
#[cfg(feature = "raw-ethernet")]
mod raw_ethernet;
#[cfg(feature = "tcp")]
mod tcp;
#[cfg(all(feature = "checksum-offload", feature = "udp"))]
mod unsummed;

#[cfg(feature = "checksum-offload")]
use crate::device::TxChecksum;
use crate::device::{Mac, TxMeta};
use crate::family::IpAddr;
use crate::frame::Frame;
use crate::ip::fragment;
#[cfg(feature = "ipv6")]
use crate::ip::v6;
use crate::link::arp::{self, ArpPacketRepr};
use crate::link::ethernet::{self, EthernetHeader};
use crate::link::neighbor::Demand;
use crate::link::neighbor::table::Lookup;
use crate::ready::Key;
use crate::stack::{Cutting, Iface, IfaceId, Reply, Stack};
use crate::stats::DropReason;
use crate::wire::ip;
#[cfg(all(feature = "ipv6", not(feature = "icmp-errors")))]
use crate::{rx::protocol, wire::ipv6};
use core::net::Ipv4Addr;

/// What leaves whole by an interface, wherever it goes: in IPv6 every path takes 1,280 octets (RFC 8200 §5).
fn uncut(iface: &Iface<'_>) -> usize {
    if cfg!(feature = "ipv6") { iface.ip_mtu().min(1280) } else { iface.ip_mtu() }
}

/// What became of a packet that wants to leave.
pub(crate) enum Output<'a> {
    /// It leaves by the polled interface now.
    Send(Frame<'a>),
    /// It is on its way otherwise: parked for its neighbour, to ourselves, by another interface, in pieces; or it is
    /// lost and counted.
    Done,
    /// There was no frame for it; nothing has changed.
    NoFrame(Frame<'a>),
}

/// What a socket's turn gave.
pub(crate) enum Turn<'a> {
    /// A complete frame.
    Send(Frame<'a>),
    /// A segment behind this many octets, whose checksum the device is to complete.
    #[cfg(feature = "checksum-offload")]
    Unsummed(Frame<'a>, u16),
    /// A super-segment, and what the device is to do with it.
    #[cfg(feature = "gso")]
    Super(Frame<'a>, TxMeta),
    /// The same, of a datagram.
    #[cfg(all(feature = "checksum-offload", feature = "udp"))]
    UnsummedDatagram(Frame<'a>, u16),
    /// Nothing for the device, but something was done: go on with the next.
    Done,
    /// No frame was free: the socket waits in line, and so does everybody.
    Stall,
}

/// Whether packets that are too long leave in pieces: where nothing is put together, nothing is cut up.
pub(crate) const CUTS: bool = cfg!(feature = "reassembly");

/// How a packet reaches its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hop {
    pub iface: IfaceId,
    /// The neighbour to hand it to.
    pub next: IpAddr,
}

impl Hop {
    /// What a source is chosen by on the way to `dst`: see [`Iface::source_for`].
    pub fn towards(&self, dst: IpAddr) -> IpAddr {
        if dst.is_ipv6() { dst } else { self.next }
    }
}

/// Whether a hop's link-layer address is known.
pub(crate) enum Resolved {
    /// It is, and is nobody's in particular; `None` where the medium has none.
    Ready(Option<Mac>),
    /// It is that of a neighbour, at this place in the table.
    Neighbor(Mac, u32),
    /// It is being asked for: the neighbour's place in the table.
    Waiting(u32),
    /// The neighbour table has no room.
    Full,
    /// The hop's link is down.
    Down,
}

impl<'a> Stack<'a> {
    /// The next frame to leave by `id`.
    #[inline]
    pub(crate) fn poll_frame(&mut self, id: IfaceId) -> Option<(Frame<'a>, TxMeta)> {
        if let Some(held) = self.ifaces.get_mut(id.index())?.as_mut()?.held.take() {
            return Some(held);
        }
        loop {
            match self.poll_turn(id)? {
                Turn::Send(frame) => return Some(self.leaving(id, frame, TxMeta::default())),
                #[cfg(feature = "checksum-offload")]
                Turn::Unsummed(frame, start) => {
                    let checksum = TxChecksum::Partial { start, offset: crate::wire::segment::CHECKSUM_OFFSET as u16 };
                    return Some(self.leaving(id, frame, TxMeta { checksum, ..TxMeta::default() }));
                }
                #[cfg(feature = "gso")]
                Turn::Super(frame, meta) => return Some(self.leaving(id, frame, meta)),
                #[cfg(all(feature = "checksum-offload", feature = "udp"))]
                Turn::UnsummedDatagram(frame, start) => {
                    let checksum = TxChecksum::Partial { start, offset: crate::wire::udp::CHECKSUM as u16 };
                    return Some(self.leaving(id, frame, TxMeta { checksum, ..TxMeta::default() }));
                }
                Turn::Done if !self.has_looped() => {}
                Turn::Done => self.handle_looped(),
                Turn::Stall => {
                    self.stats.pool_empty = self.stats.pool_empty.wrapping_add(1);
                    self.stall(id);
                    return None;
                }
            }
        }
    }

    /// A frame for the device, which taps see.
    #[inline]
    fn leaving(&mut self, id: IfaceId, frame: Frame<'a>, meta: TxMeta) -> (Frame<'a>, TxMeta) {
        let _ = id;
        #[cfg(feature = "taps")]
        if !self.taps.is_empty() {
            self.tap_out(id, &frame, &meta);
        }
        (frame, meta)
    }

    /// One turn of whoever is next; `None` when nobody is.
    fn poll_turn(&mut self, id: IfaceId) -> Option<Turn<'a>> {
        let iface = self.ifaces.get_mut(id.index())?.as_mut()?;
        if CUTS && iface.cutting.is_some() {
            return Some(self.poll_cutting(id));
        }
        if iface.announce != 0 {
            return Some(self.poll_announcement(id));
        }
        match iface.replies.pop_front() {
            Some(Reply::Link(frame)) => return Some(Turn::Send(frame)),
            Some(Reply::Ip(frame)) => return Some(self.turn_of(id, frame)),
            #[cfg(feature = "hooks")]
            Some(Reply::Hooked(frame)) => return Some(self.turn_of_hooked(id, frame)),
            Some(Reply::Parked(frame)) => return Some(self.turn_of_parked(id, frame)),
            None => {}
        }
        let (node, key) = self.sched.pop_ready(id.index())?;
        Some(match key {
            #[cfg(feature = "tcp")]
            Key::Tcp(index) => self.tcp_turn(id, node, index),
            #[cfg(feature = "syn-queue")]
            Key::Listener(index) => self.listener_turn(id, node, index),
            #[cfg(feature = "udp")]
            Key::Udp(index) => self.udp_turn(id, node, index),
            #[cfg(feature = "raw")]
            Key::Raw(index) => self.raw_turn(id, node, index),
            #[cfg(feature = "raw-ethernet")]
            Key::Ethernet(index) => self.ethernet_turn(id, node, index),
            #[cfg(feature = "icmp")]
            Key::Icmp(index) => self.echo_turn(id, node, index),
            #[cfg(feature = "forward")]
            Key::Transit => self.transit_turn(id, node),
            _ => Turn::Done,
        })
    }

    /// A reply's turn: it goes back in line when a frame is missing.
    pub(crate) fn turn_of(&mut self, id: IfaceId, frame: Frame<'a>) -> Turn<'a> {
        match self.output_own(id, frame, None, Demand::Reply) {
            Output::Send(frame) => Turn::Send(frame),
            Output::Done => Turn::Done,
            Output::NoFrame(frame) => self.back_in_line(id, Reply::Ip(frame)),
        }
    }

    /// As [`turn_of`](Self::turn_of), for what chose this interface before it was parked.
    pub(crate) fn turn_of_parked(&mut self, id: IfaceId, frame: Frame<'a>) -> Turn<'a> {
        match self.output(id, frame, Some(id), Demand::Reply) {
            Output::Send(frame) => Turn::Send(frame),
            Output::Done => Turn::Done,
            Output::NoFrame(frame) => self.back_in_line(id, Reply::Parked(frame)),
        }
    }

    fn back_in_line(&mut self, id: IfaceId, reply: Reply<'a>) -> Turn<'a> {
        if let Some(Some(iface)) = self.ifaces.get_mut(id.index()) {
            // There is room: it was taken from there.
            let _ = iface.replies.push_front(reply);
        }
        Turn::Stall
    }

    /// As [`output`](Self::output), of a packet of our own, which no hook has seen.
    #[inline]
    fn output_own(&mut self, polled: IfaceId, frame: Frame<'a>, by: Option<IfaceId>, demand: Demand) -> Output<'a> {
        #[cfg(feature = "hooks")]
        if self.hooks.is_some() {
            return self.output_hooked(polled, frame, by, demand);
        }
        self.output(polled, frame, by, demand)
    }

    /// Sends an IP packet, which `frame` begins with, by the route to its destination, or by `by`.
    pub(crate) fn output(
        &mut self,
        polled: IfaceId,
        frame: Frame<'a>,
        by: Option<IfaceId>,
        demand: Demand,
    ) -> Output<'a> {
        let Some((src, dst)) = ip::addresses(&frame) else { return Output::Done };
        if self.stays_here(dst) {
            self.loop_back(frame);
            return Output::Done;
        }
        let Some(hop) = self.hop_from(Some(src), dst, by) else {
            self.stats.drop(DropReason::NoRoute);
            return Output::Done;
        };
        if !hop.iface.is(polled) {
            #[cfg(feature = "hooks")]
            if self.hooks.is_some() {
                self.queue_reply(hop.iface, Reply::Hooked(frame));
                return Output::Done;
            }
            self.queue_reply(hop.iface, Reply::Ip(frame));
            return Output::Done;
        }
        let frame = match self.in_pool_of(hop.iface, frame) {
            Ok(frame) => frame,
            Err(frame) => return Output::NoFrame(frame),
        };
        match self.resolve(hop, demand) {
            Resolved::Ready(mac) => self.emit(hop.iface, frame, mac),
            Resolved::Neighbor(mac, _) => self.emit(hop.iface, frame, Some(mac)),
            Resolved::Waiting(index) => {
                self.park(index, frame);
                Output::Done
            }
            Resolved::Full => {
                self.stats.drop(DropReason::NeighborTableFull);
                Output::Done
            }
            Resolved::Down => {
                self.stats.drop(DropReason::LinkDown);
                Output::Done
            }
        }
    }

    /// Finishes an IP packet for its interface: the link header in front, or cut up when it is too long.
    pub(crate) fn emit(&mut self, id: IfaceId, mut frame: Frame<'a>, mac: Option<Mac>) -> Output<'a> {
        #[cfg(feature = "hooks")]
        if self.hooks.is_some() && !self.hook_post(id, &mut frame) {
            return Output::Done;
        }
        let Some(iface) = self.iface(id) else { return Output::Done };
        let (mac_of_ours, most) = (iface.mac, uncut(iface));
        if frame.len() > most && frame.len() > self.mtu_of(id, &frame) {
            if CUTS {
                return self.begin_cutting(id, frame, mac);
            }
            self.stats.drop(DropReason::FragmentUnsupported);
            return Output::Done;
        }
        if let Some(dst) = mac
            && !push_ethernet(&mut frame, dst, mac_of_ours)
        {
            self.stats.drop(DropReason::EgressFull);
            return Output::Done;
        }
        Output::Send(frame)
    }

    /// The largest piece in which an IP packet may leave by an interface.
    fn mtu_of(&self, id: IfaceId, packet: &[u8]) -> usize {
        let Some(iface) = self.iface(id) else { return usize::MAX };
        match ip::addresses(packet) {
            #[cfg(all(feature = "ipv6", feature = "icmp-errors"))]
            Some((_, IpAddr::V6(dst))) => iface.mtu_towards(dst.into()).min(self.paths.mtu(self.now, dst)),
            //= https://www.rfc-editor.org/rfc/rfc8200#section-5
            //# a minimal IPv6 implementation (e.g., in a boot ROM) may simply
            //# restrict itself to sending packets no larger than 1280 octets, and
            //# omit implementation of Path MTU Discovery.
            // So it is with datagrams beyond the link; connections learn of their paths.
            #[cfg(all(feature = "ipv6", not(feature = "icmp-errors")))]
            Some((_, dst @ IpAddr::V6(_))) => {
                let is_near = self.hop(dst, Some(id)).is_some_and(|hop| hop.next == dst);
                let is_tcp = packet.get(ipv6::NEXT_HEADER) == Some(&protocol::TCP);
                iface.mtu_towards(dst).min(if is_near || is_tcp { usize::MAX } else { ipv6::MIN_MTU })
            }
            _ => iface.ip_mtu(),
        }
    }

    /// A packet that is too long leaves in pieces, once that before it has.
    #[cold]
    fn begin_cutting(&mut self, id: IfaceId, frame: Frame<'a>, mac: Option<Mac>) -> Output<'a> {
        let mtu = self.mtu_of(id, &frame);
        let ident = match ip::addresses(&frame) {
            Some((src @ IpAddr::V6(_), dst)) => self.ids.next_v6(src, dst),
            _ => 0,
        };
        let Some(Some(iface)) = self.ifaces.get_mut(id.index()) else { return Output::Done };
        if iface.cutting.is_some() {
            return Output::NoFrame(frame);
        }
        iface.cutting = Some(Cutting { frame, mac, pieces: 0, mtu, ident });
        Output::Done
    }

    /// The next piece of the packet being cut up.
    fn poll_cutting(&mut self, id: IfaceId) -> Turn<'a> {
        let Some(Some(iface)) = self.ifaces.get_mut(id.index()) else { return Turn::Done };
        let headroom = iface.headroom();
        let Some(cutting) = iface.cutting.as_mut() else { return Turn::Done };
        let Some(mut frame) = iface.pool.take(headroom) else { return Turn::Stall };
        let mtu = cutting.mtu.min(iface.caps.ip_mtu).min(frame.tailroom());
        let mac = cutting.mac;
        match cut_next(cutting, mtu, &mut frame) {
            Some(true) => {}
            Some(false) => iface.cutting = None,
            None => {
                iface.cutting = None;
                self.stats.drop(DropReason::TooLong);
                return Turn::Done;
            }
        }
        if let Some(dst) = mac {
            push_ethernet(&mut frame, dst, iface.mac);
        }
        self.stats.fragments_out = self.stats.fragments_out.wrapping_add(1);
        Turn::Send(frame)
    }

    /// Announces a new address (RFC 5227 §2.3), so that neighbours with an older owner's address learn.
    fn poll_announcement(&mut self, id: IfaceId) -> Turn<'a> {
        let Some(Some(iface)) = self.ifaces.get_mut(id.index()) else { return Turn::Done };
        let place = iface.announce.trailing_zeros() as usize;
        if !iface.is_up() {
            // All are announced when the link is back.
            iface.announce = 0;
            return Turn::Done;
        }
        let address = iface.addresses.get(place).map(|a| a.ip());
        #[cfg(all(feature = "carrier", feature = "ipv6"))]
        if let Some(IpAddr::V6(ip)) = address
            && iface.readvertise
            && iface.is_ethernet()
        {
            return self.poll_readvertisement(id, place, ip);
        }
        let (Some(IpAddr::V4(ip)), true) = (address, iface.is_ethernet()) else {
            iface.announce &= !(1 << place);
            return Turn::Done;
        };
        let Some(frame) = arp_frame(iface, &arp::announcement(iface.mac, ip), Mac::BROADCAST) else {
            return Turn::Stall;
        };
        iface.announce &= !(1 << place);
        Turn::Send(frame)
    }

    /// Tells neighbours on a link that is back of an address (RFC 4861 §7.2.6), the last of which ends it.
    #[cfg(all(feature = "carrier", feature = "ipv6"))]
    #[cold]
    fn poll_readvertisement(&mut self, id: IfaceId, place: usize, ip: core::net::Ipv6Addr) -> Turn<'a> {
        let news = self.readvertisement(id, ip);
        let (Some(Some(iface)), Some(frame)) = (self.ifaces.get_mut(id.index()), news) else { return Turn::Stall };
        iface.announce &= !(1 << place);
        Turn::Send(frame)
    }

    /// By which interface to which neighbour packets to `dst` go; `by` overrides the route's interface.
    #[cfg(not(feature = "routes"))]
    pub(crate) fn hop(&self, dst: IpAddr, by: Option<IfaceId>) -> Option<Hop> {
        if is_group(dst) {
            return by.or_else(|| self.only_iface()).map(|iface| Hop { iface, next: dst });
        }
        #[cfg(all(feature = "ipv6", feature = "interfaces"))]
        if by.is_none() && self.is_ambiguous(dst) {
            return None;
        }
        let is_asked = |id: IfaceId| by.is_none_or(|by| by == id);
        for (index, iface) in self.ifaces.iter().enumerate() {
            let id = IfaceId(index as u8);
            let network = |i: &Iface<'_>| i.addresses.iter().find(|a| a.has(dst)).copied();
            if is_asked(id)
                && let Some(network) = iface.as_ref().and_then(network)
            {
                // Nobody on the wire answers for an address of ours.
                let is_there = cfg!(feature = "loopback") || network.ip() != dst;
                return is_there.then_some(Hop { iface: id, next: dst });
            }
            #[cfg(feature = "ipv6")]
            if is_asked(id) && iface.as_ref().is_some_and(|i| i.v6.is_on_link(dst)) {
                return Some(Hop { iface: id, next: dst });
            }
        }
        let gateway = self.routes.gateway(dst).filter(|(id, _)| is_asked(*id)).map(|(iface, next)| Hop { iface, next });
        #[cfg(feature = "ipv6")]
        let gateway = gateway.or_else(|| self.advertised_router(dst, by));
        // An interface that is asked for has its neighbours, at least.
        gateway.or_else(|| by.map(|iface| Hop { iface, next: dst }))
    }

    /// The way by a router that was heard of.
    #[cfg(all(feature = "ipv6", not(feature = "routes")))]
    fn advertised_router(&self, dst: IpAddr, by: Option<IfaceId>) -> Option<Hop> {
        let mut ifaces = self.ifaces.iter().enumerate().filter(|_| dst.is_ipv6() && !v6::is_link_local(dst));
        ifaces.find_map(|(index, iface)| {
            let iface = iface.as_ref().filter(|_| by.is_none_or(|by| by.index() == index))?;
            Some(Hop { iface: IfaceId(index as u8), next: iface.v6.router()? })
        })
    }

    /// By which interface to which neighbour packets to `dst` go; `by` overrides the route's interface.
    #[cfg(feature = "routes")]
    pub(crate) fn hop(&self, dst: IpAddr, by: Option<IfaceId>) -> Option<Hop> {
        // Nobody on the wire answers for an address of ours.
        if !cfg!(feature = "loopback") && self.is_configured(dst) {
            return None;
        }
        if let Some(iface) = by {
            let state = self.iface(iface)?;
            if is_group(dst) || state.is_broadcast_ip(dst) || state.addresses.iter().any(|a| a.has(dst)) {
                return Some(Hop { iface, next: dst });
            }
            let routes = self.routes.iter().filter(|r| r.iface == iface && r.prefix.has(dst));
            let mut ways = routes.map(|r| r.next_hop(dst));
            let best = ways.next().unwrap_or(dst);
            // All are on one link, up or down.
            let is_usable = |next: &IpAddr| self.neighbors.is_usable(self.now, iface.0, *next);
            let next = if is_usable(&best) { best } else { ways.find(is_usable).unwrap_or(best) };
            return Some(Hop { iface, next });
        }
        if is_group(dst) {
            return self.only_iface().map(|iface| Hop { iface, next: dst });
        }
        #[cfg(all(feature = "ipv6", feature = "interfaces"))]
        if self.is_ambiguous(dst) {
            return None;
        }
        let now = self.now;
        let (iface, next) =
            self.routes.lookup_usable(dst, |i, hop| self.is_up(i) && self.neighbors.is_usable(now, i, hop))?;
        let iface = IfaceId(iface);
        (!iface.is_nowhere()).then_some(Hop { iface, next })
    }

    /// As [`hop`](Self::hop), where a policy or the strong host model may look at the source, too, if that is known.
    #[inline]
    pub(crate) fn hop_from(&self, src: Option<IpAddr>, dst: IpAddr, by: Option<IfaceId>) -> Option<Hop> {
        #[cfg(feature = "strong-host")]
        if let Some(src) = src
            && self.is_held_to_source(src)
        {
            return self.hop_of_source(src, dst, by);
        }
        #[cfg(feature = "policy")]
        if self.policy.is_some()
            && !is_group(dst)
            && !self.is_any_broadcast(dst)
            && let Some(hop) = self.chosen(src, dst, None)
            && by.is_none_or(|by| by == hop.iface)
        {
            return (!hop.iface.is_nowhere()).then_some(hop);
        }
        #[cfg(feature = "optimistic-dad")]
        if self.config.optimistic_dad
            && let Some(src) = src.filter(|s| s.is_ipv6())
        {
            return self.hop(dst, by).and_then(|hop| self.hop_of_optimistic(src, dst, hop));
        }
        let _ = src;
        self.hop(dst, by)
    }

    /// Whether the link of an interface is up; of none it is.
    #[cfg(feature = "routes")]
    fn is_up(&self, iface: u8) -> bool {
        self.iface(IfaceId(iface)).is_none_or(Iface::is_up)
    }

    /// As [`hop`](Self::hop), for what answers a packet that arrived by an interface: a link-local address means
    /// something there only.
    pub(crate) fn hop_back(&self, src: Option<IpAddr>, dst: IpAddr, arrived: IfaceId) -> Option<Hop> {
        #[cfg(feature = "ipv6")]
        return self.hop_from(src, dst, v6::is_link_local(dst).then_some(arrived));
        #[cfg(not(feature = "ipv6"))]
        self.hop_from(src, dst, None)
    }

    /// The link-layer address of a hop, or who is being asked for it.
    pub(crate) fn resolve(&mut self, hop: Hop, demand: Demand) -> Resolved {
        let Some(iface) = self.iface(hop.iface) else { return Resolved::Full };
        if !iface.is_up() {
            return Resolved::Down;
        }
        if !iface.is_ethernet() {
            return Resolved::Ready(None);
        }
        if let IpAddr::V4(ip) = hop.next {
            if ip.is_broadcast() || iface.is_broadcast(ip) {
                return Resolved::Ready(Some(Mac::BROADCAST));
            }
            if ip.is_multicast() {
                return Resolved::Ready(Some(group_mac(ip)));
            }
        }
        #[cfg(feature = "ipv6")]
        if let IpAddr::V6(ip) = hop.next
            && ip.is_multicast()
        {
            return Resolved::Ready(Some(v6::group_mac(ip)));
        }
        match self.neighbors.lookup(self.now, hop.iface.0, hop.next, demand, &mut self.stats) {
            Lookup::Known(mac, index) => {
                self.schedule_neighbor(index);
                Resolved::Neighbor(mac, index)
            }
            Lookup::Unresolved(index, request) => {
                if request {
                    self.request_neighbor(hop.iface, index, hop.next, None);
                }
                self.schedule_neighbor(index);
                Resolved::Waiting(index)
            }
            Lookup::Full => Resolved::Full,
        }
    }

    /// The frame, in the pool of the interface it leaves by: copied there, counted, if it is another's and fits.
    fn in_pool_of(&mut self, id: IfaceId, frame: Frame<'a>) -> Result<Frame<'a>, Frame<'a>> {
        // One interface has one pool, and nothing is put together in another.
        if !cfg!(any(feature = "interfaces", feature = "reassembly")) {
            return Ok(frame);
        }
        let Some(iface) = self.iface(id) else { return Ok(frame) };
        if frame.pool().is(iface.pool) || frame.len() > iface.ip_mtu() {
            return Ok(frame);
        }
        let Some(mut copy) = iface.pool.take(iface.headroom()) else { return Err(frame) };
        if copy.extend(&frame).is_none() {
            return Err(frame);
        }
        self.stats.copies = self.stats.copies.wrapping_add(1);
        Ok(copy)
    }

    /// Keeps a packet to ourselves.
    pub(crate) fn loop_back(&mut self, frame: Frame<'a>) {
        #[cfg(not(feature = "loopback"))]
        drop(frame);
        #[cfg(feature = "loopback")]
        if self.looped.push_back(frame).is_err() {
            self.stats.drop(DropReason::EgressFull);
        }
    }

    /// Queues an ARP packet; false, and counted, without a frame or room.
    pub(crate) fn send_arp(&mut self, id: IfaceId, packet: &ArpPacketRepr, to: Mac) -> bool {
        let Some(iface) = self.iface(id) else { return false };
        let Some(frame) = arp_frame(iface, packet, to) else {
            self.stats.drop(DropReason::EgressFull);
            return false;
        };
        self.queue_reply(id, Reply::Link(frame))
    }
}

/// Writes the next piece of a packet to `out`; whether there are more, `None` when it cannot be cut (DF).
fn cut_next(cutting: &mut Cutting<'_>, mtu: usize, out: &mut Frame<'_>) -> Option<bool> {
    #[cfg(feature = "ipv6")]
    if ip::is_v6(&cutting.frame) {
        return cut_next_v6(cutting, mtu, out);
    }
    let header_len = usize::from(cutting.frame.first()? & 15) * 4;
    let (header, payload) = cutting.frame.split_at_checked(header_len)?;
    let piece = fragment::cut(header, payload.len(), mtu)?.nth(cutting.pieces)?;
    fragment::write_header(out.append(header_len)?, header, &piece);
    out.extend(payload.get(piece.start..piece.start + piece.len)?)?;
    cutting.pieces += 1;
    Some(piece.more)
}

/// As [`cut_next`], for IPv6: `None` for a packet with headers that belong into each piece (RFC 8200 §4.5), which only raw
/// sockets send.
#[cfg(feature = "ipv6")]
fn cut_next_v6(cutting: &mut Cutting<'_>, mtu: usize, out: &mut Frame<'_>) -> Option<bool> {
    use crate::wire::{extension, ipv6};
    let (fixed, payload) = cutting.frame.split_at_checked(ipv6::HEADER)?;
    if matches!(fixed.get(ipv6::NEXT_HEADER)?, &(extension::HOP_BY_HOP | extension::ROUTING | extension::FRAGMENT)) {
        return None;
    }
    let piece = fragment::cut_v6(payload.len(), mtu)?.nth(cutting.pieces)?;
    let headers = out.append(ipv6::HEADER + ipv6::FRAGMENT)?;
    ipv6::emit_fragment(headers, fixed, piece.offset, piece.more, cutting.ident, piece.len);
    out.extend(payload.get(piece.start..piece.start + piece.len)?)?;
    cutting.pieces += 1;
    Some(piece.more)
}

fn arp_frame<'a>(iface: &Iface<'a>, packet: &ArpPacketRepr, dst: Mac) -> Option<Frame<'a>> {
    let mut frame = iface.pool.take(iface.headroom())?;
    arp::emit(frame.append(arp::LEN)?, packet);
    ethernet::push(&mut frame, &EthernetHeader { dst, src: iface.mac, ethertype: ethernet::ARP })?;
    Some(frame)
}

/// Puts an Ethernet header in front of an IP packet; false without headroom.
pub(crate) fn push_ethernet(frame: &mut Frame<'_>, dst: Mac, src: Mac) -> bool {
    let ethertype = if ip::is_v6(frame) { ethernet::IPV6 } else { ethernet::IPV4 };
    ethernet::push(frame, &EthernetHeader { dst, src, ethertype }).is_some()
}

pub(crate) fn is_group(dst: IpAddr) -> bool {
    match dst {
        IpAddr::V4(ip) => ip.is_multicast() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_multicast(),
    }
}

/// The MAC of an IPv4 group: 01:00:5e and the lower 23 bits (RFC 1112 §6.4).
pub(crate) fn group_mac(ip: Ipv4Addr) -> Mac {
    let [_, b, c, d] = ip.octets();
    Mac([0x01, 0x00, 0x5e, b & 0x7f, c, d])
}

//! A connection's turn: route and neighbour, then plan, frame, segment, commit.
//!
//! Planning changes nothing; the connection moves on only once the frame exists (decide, reserve, emit, commit).

#[cfg(feature = "gso")]
use super::gso;
use super::{Resolved, Turn, push_ethernet};
use crate::device::Mac;
use crate::event::Readiness;
use crate::family::IpAddr;
use crate::frame::{Frame, Pool};
use crate::ip::v4::{self, Fields};
use crate::link::ethernet::{self, EthernetHeader};
use crate::link::neighbor::Demand;
use crate::ready::NodeId;
use crate::rx::protocol;
use crate::sockets::demux::Tuple;
use crate::stack::{Iface, IfaceId, Stack};
use crate::stats::Stats;
use crate::tcp::conn::{Conn, Fate, News};
use crate::tcp::isn;
use crate::tcp::layer::Neighbor;
use crate::tcp::output::{Plan, Why};
use crate::time::{Duration, Instant};
use crate::wire::checksum::{self, Sum};
use crate::wire::ip;
use crate::wire::ipv4;
use crate::wire::segment::{self, Header};

/// How long a connection without a route waits before it looks again.
const NO_ROUTE_RETRY: Duration = Duration::from_secs(1);

/// Whether checksums are left to devices that compute them.
const OFFLOADS: bool = cfg!(feature = "checksum-offload");

/// How a segment leaves.
enum Way {
    /// To ourselves.
    Own,
    /// By the polled interface, to this link-layer address.
    Link(Option<Mac>),
    /// Past the hooks, which decide.
    #[cfg(feature = "hooks")]
    Hooked,
}

/// What a turn starts from.
enum Start {
    /// The way is as it was for the last segment: to this link-layer address.
    Known(Option<Mac>),
    /// The way from the first of these addresses to the second is to be found.
    Ask(IpAddr, IpAddr),
}

/// Why a segment does not leave now.
enum NoWay {
    NoRoute,
    /// The route is by another interface.
    Elsewhere(IfaceId),
    Waiting(u32),
    Full,
    /// The link is down. Should another way come up meanwhile, it is found as for want of a route.
    Down,
}

impl<'a> Stack<'a> {
    /// One segment of a connection, if it owes one.
    #[inline(always)]
    pub(super) fn tcp_turn(&mut self, id: IfaceId, node: NodeId, index: u32) -> Turn<'a> {
        #[cfg(feature = "gso")]
        if self.lets_pass(id, node, index) {
            return Turn::Done;
        }
        let way = match self.prepare(id, index) {
            Some(Start::Known(mac)) => Way::Link(mac),
            Some(Start::Ask(local, remote)) => match self.slow_way(id, index, (local, remote)) {
                Ok(way) => way,
                Err(why) => return self.tcp_waits(index, node, why),
            },
            None => return Turn::Done,
        };
        self.send_segment(id, node, index, &way)
    }

    /// Plan, frame, commit: the connection moves on only once the frame exists.
    #[inline]
    fn send_segment(&mut self, id: IfaceId, node: NodeId, index: u32, way: &Way) -> Turn<'a> {
        let now = self.now;
        let Some(Some(iface)) = self.ifaces.get(id.index()) else { return Turn::Done };
        let Some(entry) = self.tcp.conns.at_mut(index) else { return Turn::Done };
        #[cfg(feature = "gso")]
        let segments = gso::most_segments(iface, &entry.conn, self.config.large_pool, matches!(way, Way::Link(_)));
        // The device cuts no segments, so that each of ours is a frame.
        #[cfg(not(feature = "gso"))]
        let segments = 1;
        let Some(plan) = entry.conn.plan(now, segments) else { return self.tcp_rests(index) };
        let link = match *way {
            Way::Link(Some(dst)) => Some((dst, iface.mac)),
            Way::Link(None) | Way::Own => None,
            #[cfg(feature = "hooks")]
            Way::Hooked => None,
        };
        // Only a frame that goes to the device as it is can leave something to it.
        let unsummed = OFFLOADS && iface.caps.checksum.tcp && plan.len > 0 && matches!(way, Way::Link(_));
        #[cfg(feature = "checksum-offload")]
        let start = entry.conn.ip_header_len() + if link.is_some() { ethernet::HEADER } else { 0 };
        #[cfg(feature = "gso")]
        let pool = gso::pool_for(iface, &entry.conn, &plan, self.config.large_pool);
        #[cfg(not(feature = "gso"))]
        let pool = iface.pool;
        let Some(frame) = build_segment((iface, pool), &entry.conn, &plan, now, (link, unsummed)) else {
            self.sched.wake(node, id.index());
            return Turn::Stall;
        };
        self.stats.tcp_segments_out = self.stats.tcp_segments_out.wrapping_add(1);
        if !matches!(plan.why, Why::Text | Why::Ack) {
            count_rare(&mut self.stats, plan.why);
        }
        #[cfg(feature = "gso")]
        let asked = gso::ask(&mut self.stats, entry, &plan, start);
        let News { events, fate } = entry.conn.commit(now, &plan);
        // An acknowledgment comes last: had there been anything else, it would have carried it.
        if plan.why != Why::Ack && entry.conn.may_owe(now) {
            self.sched.wake(node, id.index());
        }
        entry.schedule(&mut self.sched, events);
        if fate != Fate::Open {
            self.settle_end(index, None, fate);
        }
        #[cfg(feature = "gso")]
        if let Some(meta) = asked {
            return Turn::Super(frame, meta);
        }
        match way {
            #[cfg(feature = "checksum-offload")]
            Way::Link(_) if unsummed => Turn::Unsummed(frame, start as u16),
            Way::Link(_) => Turn::Send(frame),
            #[cfg(feature = "hooks")]
            Way::Hooked => self.turn_of_segment(id, frame),
            Way::Own => {
                self.loop_back(frame);
                Turn::Done
            }
        }
    }

    /// What a turn begins with; `None` when nothing is owed.
    ///
    /// The initial sequence number is chosen when the first segment is about to leave, on the clock of that moment.
    fn prepare(&mut self, id: IfaceId, index: u32) -> Option<Start> {
        let now = self.now;
        let entry = self.tcp.conns.at_mut(index)?;
        if entry.conn.needs_iss() {
            let tuple = entry.conn.tuple();
            let key = &self.tcp.isn_key;
            entry.conn.start(isn::isn(key, &tuple, now), isn::timestamp_offset(key, &tuple), now);
        }
        if core::mem::take(&mut entry.called) {
            entry.conn.prepare(now);
        }
        if let Some(n) = &entry.neighbor
            && n.iface.is(id)
            && n.routes == self.routes.generation()
        {
            match n.place.map(|place| self.neighbors.known(now, place, id.0, n.addr)) {
                None => return Some(Start::Known(None)),
                Some(Some(mac)) => return Some(Start::Known(Some(mac))),
                Some(None) => {}
            }
        }
        if entry.conn.owes(now) {
            let tuple = entry.conn.tuple();
            return Some(Start::Ask(tuple.local_addr, tuple.remote_addr));
        }
        self.tcp_rests(index);
        None
    }

    /// The connection has nothing to send: only its clock goes on.
    fn tcp_rests(&mut self, index: u32) -> Turn<'a> {
        if let Some(entry) = self.tcp.conns.at(index) {
            entry.schedule(&mut self.sched, Readiness::NONE);
        }
        Turn::Done
    }

    /// The way to a connection's peer, from route and neighbour table; remembered for the next segments.
    fn slow_way(&mut self, id: IfaceId, index: u32, ends: (IpAddr, IpAddr)) -> Result<Way, NoWay> {
        let (way, neighbor) = self.way(id, ends, Demand::Socket)?;
        if let Some(entry) = self.tcp.conns.at_mut(index) {
            entry.neighbor = neighbor;
            entry.iface = id;
        }
        Ok(way)
    }

    /// The way of a packet from `local` to `remote`, and what it rests on.
    fn way(
        &mut self,
        id: IfaceId,
        (local, remote): (IpAddr, IpAddr),
        demand: Demand,
    ) -> Result<(Way, Option<Neighbor>), NoWay> {
        if self.stays_here(remote) {
            #[cfg(feature = "hooks")]
            if self.hooks.is_some() {
                return Ok((Way::Hooked, None));
            }
            return Ok((Way::Own, None));
        }
        let hop = self.hop_back(Some(local), remote, id).ok_or(NoWay::NoRoute)?;
        if !hop.iface.is(id) {
            return Err(NoWay::Elsewhere(hop.iface));
        }
        let (mac, place) = match self.resolve(hop, demand) {
            Resolved::Ready(mac) => (mac, None),
            Resolved::Neighbor(mac, place) => (Some(mac), Some(place)),
            Resolved::Waiting(place) => return Err(NoWay::Waiting(place)),
            Resolved::Full => return Err(NoWay::Full),
            Resolved::Down => return Err(NoWay::Down),
        };
        #[cfg(feature = "hooks")]
        if self.hooks.is_some() {
            return Ok((Way::Hooked, None));
        }
        let neighbor = Neighbor { place, iface: id, addr: hop.next, routes: self.routes.generation() };
        Ok((Way::Link(mac), Some(neighbor)))
    }

    /// A segment cannot leave now: the node waits where it will be woken. The connection's clock goes on meanwhile.
    fn tcp_waits(&mut self, index: u32, node: NodeId, why: NoWay) -> Turn<'a> {
        let rests = self.tcp_rests(index);
        match why {
            NoWay::Elsewhere(iface) => self.sched.wake(node, iface.index()),
            NoWay::Waiting(place) => self.park_node(place, node),
            NoWay::NoRoute | NoWay::Full | NoWay::Down => {
                let retry = self.now + NO_ROUTE_RETRY;
                let own = self.tcp.conns.at(index).and_then(|e| e.conn.deadline());
                self.sched.set_deadline(node, own.map_or(retry, |at| at.min(retry)));
            }
        }
        rests
    }

    /// A segment without text, as an IP packet.
    #[cfg_attr(not(target_os = "none"), inline(never))]
    pub(crate) fn control_frame(
        &mut self,
        id: IfaceId,
        tuple: &Tuple,
        header: &Header,
        ttl: u8,
        tos: u8,
    ) -> Option<Frame<'a>> {
        let iface = self.iface(id)?;
        let mut frame = iface.pool.take(iface.headroom() + ip::header_len(tuple.remote_addr) + header.len())?;
        #[cfg(feature = "ipv6")]
        if tuple.remote_addr.is_ipv6() {
            push_headers_v6(&mut frame, *tuple, header.clone(), (ttl, tos), Some(Sum::default()))?;
            return Some(frame);
        }
        push_headers(&mut frame, None, tuple, header, (ttl, tos), Some(Sum::default()))?;
        Some(frame)
    }
}

/// Counts a segment that is sent for another reason than nearly all are.
#[cold]
fn count_rare(stats: &mut Stats, why: Why) {
    stats.tcp_retransmits = stats.tcp_retransmits.wrapping_add(usize::from(why.is_retransmission()));
    stats.tcp_challenge_acks = stats.tcp_challenge_acks.wrapping_add(usize::from(why.is_challenge()));
}

/// The planned segment as a packet in a frame of `pool`, with a link header when `link` has its addresses (destination, source). Without its
/// checksum, when it is to be `unsummed`: there is the pseudo-header's sum then. `None` without a free frame.
#[inline]
fn build_segment<'a>(
    (iface, pool): (&Iface<'a>, Pool<'a>),
    conn: &Conn<'_>,
    plan: &Plan,
    now: Instant,
    (link, unsummed): (Option<(Mac, Mac)>, bool),
) -> Option<Frame<'a>> {
    let header = conn.header(plan, now);
    let mut frame = pool.take(iface.headroom() + conn.ip_header_len() + header.len())?;
    // A segment without text may stand behind a FIN, where the send buffer has nothing.
    let sum = match plan.len {
        0 => Some(Sum::default()),
        #[cfg(feature = "checksum-offload")]
        len if unsummed => {
            conn.copy_text_unsummed(plan, frame.append(len as usize)?);
            None
        }
        len => Some(conn.copy_text(plan, frame.append(len as usize)?)),
    };
    let _ = unsummed;
    #[cfg(feature = "ipv6")]
    if conn.is_v6() {
        // By value: what is given away by reference has to be in memory, for IPv4, too.
        push_headers_v6(&mut frame, conn.tuple(), header.clone(), (conn.ttl(), conn.tos(plan)), sum)?;
        if let Some((dst, src)) = link {
            push_ethernet(&mut frame, dst, src);
        }
        return Some(frame);
    }
    push_headers(&mut frame, link, &conn.tuple(), &header, (conn.ttl(), conn.tos(plan)), sum)?;
    Some(frame)
}

/// All headers in front of the text, whose sum is known; `marks` are TTL and TOS.
///
/// `None` without headroom, or for an address family that is not built.
#[cfg_attr(target_os = "none", inline(never))]
#[cfg_attr(not(target_os = "none"), inline(always))]
fn push_headers(
    frame: &mut Frame<'_>,
    link: Option<(Mac, Mac)>,
    tuple: &Tuple,
    header: &Header,
    marks: (u8, u8),
    text: Option<Sum>,
) -> Option<()> {
    let (IpAddr::V4(src), IpAddr::V4(dst)) = (tuple.local_addr, tuple.remote_addr) else {
        return None;
    };
    let len = header.len();
    let payload_len = frame.len() + len;
    let link_len = if link.is_some() { ethernet::HEADER } else { 0 };
    let (front, tcp) =
        frame.push_front(link_len + ipv4::HEADER + len)?.split_at_mut_checked(link_len + ipv4::HEADER)?;
    let (front, ip) = front.split_at_mut_checked(link_len)?;
    header.emit(tcp);
    let pseudo = checksum::pseudo_header(src.into(), dst.into(), protocol::TCP, payload_len as u32);
    segment::set_checksum(tcp, checksum_of(tcp, pseudo, text));
    // RFC 9293 §3.7.2 wants path MTU discovery, hence DF; RFC 6864 §4.1 then leaves the identification free: 0.
    let (ttl, tos) = marks;
    v4::emit(ip, &Fields { src, dst, protocol: protocol::TCP, ttl, tos, ident: 0, dont_frag: true }, payload_len);
    if let Some((dst, src)) = link {
        ethernet::emit(front, &EthernetHeader { dst, src, ethertype: ethernet::IPV4 });
    }
    Some(())
}

/// What goes into the checksum field of this header: the checksum, or what the device needs to compute it.
#[inline(always)]
fn checksum_of(tcp: &[u8], pseudo: Sum, text: Option<Sum>) -> u16 {
    match text {
        #[cfg(feature = "checksum-offload")]
        None => pseudo.partial(),
        text => pseudo.add(segment::header_sum(tcp)).add(text.unwrap_or_default()).finish(),
    }
}

/// As [`push_headers`], for IPv6, without a link header.
#[cfg(feature = "ipv6")]
#[cold]
#[inline(never)]
#[allow(clippy::needless_pass_by_value)] // See where it is called.
fn push_headers_v6(
    frame: &mut Frame<'_>,
    tuple: Tuple,
    header: Header,
    (hop_limit, traffic_class): (u8, u8),
    text: Option<Sum>,
) -> Option<()> {
    use crate::wire::ipv6::{self, Fields};
    let (IpAddr::V6(src), IpAddr::V6(dst)) = (tuple.local_addr, tuple.remote_addr) else { return None };
    let tcp = frame.push_front(header.len())?;
    header.emit(tcp);
    let len = frame.len();
    let pseudo = checksum::pseudo_header(tuple.local_addr, tuple.remote_addr, protocol::TCP, len as u32);
    let checksum = checksum_of(frame.get(..header.len())?, pseudo, text);
    segment::set_checksum(frame, checksum);
    let fields = Fields { src, dst, next_header: protocol::TCP, hop_limit, traffic_class };
    ipv6::emit(frame.push_front(ipv6::HEADER)?, &fields, len);
    Some(())
}

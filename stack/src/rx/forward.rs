//! A packet for another host comes in: where it goes on, or what its sender is told.
//!
//! Implements RFC 1812 §5.2 and §5.3, RFC 8200 §3, RFC 4443 §3, RFC 3704 §2. Source routes and multicasts are not
//! forwarded (RFC 7126 §4.3, §4.4); options and extension headers are carried as they are.

use super::{Drop, Origin};
use crate::device::RxChecksum;
use crate::family::IpAddr;
use crate::frame::Frame;
use crate::icmp::{self, Report};
use crate::ip::forward::{self, Forwarding, Obstacle, Passing, ReversePath};
use crate::ready::Key;
use crate::stack::{IfaceId, Stack};
use crate::stats::DropReason;
use crate::tx::Hop;
use crate::wire::{checksum, ip, ipv4};

impl<'a> Stack<'a> {
    /// Passes on a packet whose header was checked, and which is not for us.
    #[inline(never)]
    pub(super) fn forward(&mut self, origin: Origin, mut frame: Frame<'a>, checksum: RxChecksum) -> Drop {
        let (Some(how), Some(id)) = (self.forwarding, origin.wire()) else { return Err(DropReason::NotOurAddress) };
        // The next link may not cut, and nothing here does: a router's devices are not asked for super-segments. Its sender is
        // told nothing, for the segments themselves may well fit.
        if origin.is_several(frame.len()) {
            return Err(DropReason::NotForwarded);
        }
        let hop = match self.way_on(how, id, &frame) {
            Ok(hop) => hop,
            Err((reason, obstacle)) => {
                if let Some(obstacle) = obstacle {
                    self.tell_of_obstacle(obstacle, &frame, id);
                }
                return Err(reason);
            }
        };
        #[cfg(feature = "hooks")]
        let checksum = match self.hooks {
            Some(_) => self.hook_forward(id, hop.iface, &mut frame)?,
            None => checksum,
        };
        if hop.iface == id && how.redirects {
            self.redirect_sender(hop, &frame);
        }
        if let RxChecksum::Partial { start, offset } = checksum {
            checksum::complete(&mut frame, start, offset);
        }
        forward::take_hop(&mut frame);
        self.queue_transit(hop, frame)
    }

    /// What came by `id` and is to leave by `leaves` passes Forward, where its checksum is complete already.
    #[cfg(feature = "hooks")]
    #[cold]
    fn hook_forward(&mut self, id: IfaceId, leaves: IfaceId, frame: &mut Frame<'a>) -> Result<RxChecksum, DropReason> {
        self.hook(crate::ip::hooks::Point::Forward, Some(id), Some(leaves), frame)?;
        Ok(RxChecksum::Verified)
    }

    /// Where a packet goes on; otherwise why it does not, and what its sender is to be told.
    fn way_on(&self, how: Forwarding, id: IfaceId, packet: &[u8]) -> Result<Hop, (DropReason, Option<Obstacle>)> {
        let silent = |reason| Err((reason, None));
        let Some((src, dst)) = ip::addresses(packet) else { return silent(DropReason::NotForwarded) };
        if let Err(obstacle) = forward::may_leave_link(src, dst) {
            return Err((DropReason::NotForwarded, obstacle));
        }
        if self.is_configured(src) || self.is_any_broadcast(src) {
            return silent(DropReason::MartianSource);
        }
        //= https://www.rfc-editor.org/rfc/rfc2644#section-2
        //# A router MAY have an option to enable receiving directed
        //# broadcasts on an interface. If such an option exists, it MUST default to
        //# blocking receipt of directed broadcasts.
        if self.is_any_broadcast(dst) || self.is_on_trial(dst) {
            return silent(DropReason::NotForwarded);
        }
        if !self.lies_behind(how.reverse_path, id, src) {
            return silent(DropReason::ReversePath);
        }
        //= https://www.rfc-editor.org/rfc/rfc1812#section-5.3.1
        //# If the TTL is reduced to zero (or less), the packet MUST be
        //# discarded, and if the destination is not a multicast address the
        //# router MUST send an ICMP Time Exceeded message
        if forward::hops(packet).is_none_or(|hops| hops <= 1) {
            return Err((DropReason::HopsExceeded, Some(Obstacle::HopsExceeded)));
        }
        let hop = self.route_on(id, src, dst)?;
        let Some(out) = self.iface(hop.iface) else { return silent(DropReason::NoRoute) };
        //= https://www.rfc-editor.org/rfc/rfc4443#section-3.1
        //# In such a case, the packet MUST NOT be
        //# forwarded back onto the arrival link.
        if hop.iface == id && !out.is_ethernet() {
            return Err((DropReason::NotForwarded, Some(Obstacle::Unreachable)));
        }
        let mtu = out.mtu_towards(dst);
        if packet.len() > mtu && (dst.is_ipv6() || forward::is_dont_frag(packet)) {
            return Err((DropReason::TooLong, Some(Obstacle::TooBig(mtu as u16))));
        }
        Ok(hop)
    }

    /// The route of what came by `id`, and what is told where there is none.
    fn route_on(&self, id: IfaceId, src: IpAddr, dst: IpAddr) -> Result<Hop, (DropReason, Option<Obstacle>)> {
        #[cfg(feature = "policy")]
        let chosen = self.policy.and_then(|_| self.chosen(Some(src), dst, Some(id)));
        #[cfg(not(feature = "policy"))]
        let chosen: Option<Hop> = None;
        let now = self.now;
        let by_table = || {
            let found = self.routes.lookup_usable(dst, |i, hop| self.neighbors.is_usable(now, i, hop));
            found.map(|(iface, next)| Hop { iface: IfaceId(iface), next })
        };
        let _ = (id, src);
        match chosen.or_else(by_table) {
            Some(hop) if !hop.iface.is_nowhere() => Ok(hop),
            Some(Hop { iface: IfaceId::REJECT, .. }) => Err((DropReason::NoRoute, Some(Obstacle::Rejected))),
            Some(_) => Err((DropReason::NoRoute, None)),
            None => Err((DropReason::NoRoute, Some(Obstacle::NoRoute))),
        }
    }

    /// Whether `src` may be the source of what came by `id` (RFC 3704 §2.2, §2.4).
    fn lies_behind(&self, how: ReversePath, id: IfaceId, src: IpAddr) -> bool {
        match how {
            ReversePath::Off => true,
            ReversePath::Loose => self.hop(src, None).is_some(),
            ReversePath::Strict => self.hop(src, None).is_some_and(|hop| hop.iface == id),
        }
    }

    /// Whether `ip` may become ours, and is nobody's until then.
    fn is_on_trial(&self, ip: IpAddr) -> bool {
        #[cfg(feature = "ipv6")]
        return self.ifaces.iter().flatten().any(|i| i.v6.is_tentative(ip));
        #[cfg(not(feature = "ipv6"))]
        false
    }

    /// A packet waits for its turn to leave.
    pub(crate) fn queue_transit(&mut self, hop: Hop, frame: Frame<'a>) -> Drop {
        let pool = frame.pool();
        if pool.free() < self.config.reserve_rx {
            return Err(DropReason::PoolLow);
        }
        let Some(Some(out)) = self.ifaces.get_mut(hop.iface.index()) else { return Err(DropReason::NoRoute) };
        if out.transit.node.is_none() {
            out.transit.node = self.sched.alloc(Key::Transit).ok();
        }
        let node = out.transit.node.ok_or(DropReason::TransitFull)?;
        out.transit.push(Passing { frame, next: hop.next }).map_err(|_| DropReason::TransitFull)?;
        self.sched.wake(node, hop.iface.index());
        self.stats.forwarded = self.stats.forwarded.wrapping_add(1);
        Ok(())
    }

    /// Tells the sender of a packet for another host, which came by `arrived`, why it does not get there: within the rate,
    /// and unless RFC 1812 §4.3.2.7 or RFC 4443 §2.4 (e) forbids it.
    pub(crate) fn tell_of_obstacle(&mut self, obstacle: Obstacle, packet: &[u8], arrived: IfaceId) {
        let Some((src, dst)) = ip::addresses(packet) else { return };
        #[cfg(feature = "ipv6")]
        if let (IpAddr::V6(src), IpAddr::V6(dst)) = (src, dst) {
            let Some(&next) = packet.get(crate::wire::ipv6::NEXT_HEADER) else { return };
            let upper = super::v6::upper_layer(packet, next);
            return self.tell_v6(icmp::v6::Report::Transit(obstacle), src, dst, upper, packet, arrived);
        }
        let _ = (dst, arrived);
        let Ok(header) = ipv4::parse(packet) else { return };
        let payload = packet.get(header.header_len..).unwrap_or(&[]);
        // RFC 1812 §4.3.2.4: from an address of the interface that the message leaves by.
        if icmp::may_report_transit(&header, payload)
            && let Some((_, own)) = self.source(src)
        {
            self.send_report(Report::Transit(obstacle), src, own, packet);
        }
    }
}

//! Neighbour discovery goes out: solicitations, advertisements, trials of addresses, questions for routers.
//!
//! Implements RFC 4861 §7.2.2 and §6.3.7, RFC 4862 §5.4.2.

use crate::device::Mac;
use crate::frame::Frame;
use crate::icmp::v6::{PROTOCOL, fill_checksum};
use crate::ip::slaac::{Formed, Step, Tentative};
#[cfg(feature = "temporary-addresses")]
use crate::ip::temporary::Made;
use crate::ip::v6;
use crate::link::ethernet::{self, EthernetHeader};
use crate::link::ndp::{self, HOP_LIMIT, MAX_SENT, Sent};
use crate::log;
use crate::stack::{Iface, IfaceId, Reply, Stack};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::wire::ipv6::{self, Fields};
use core::net::{IpAddr, Ipv6Addr};

impl<'a> Stack<'a> {
    /// Asks who has `target`: the group of those who may, or the neighbour itself. `None` where it cannot be asked.
    pub(super) fn send_solicit(&mut self, id: IfaceId, target: Ipv6Addr, unicast: Option<Mac>) -> Option<bool> {
        let iface = self.iface(id)?;
        let Some(IpAddr::V6(source)) = source_to_show(iface, self.now, target.into()) else { return None };
        let sent = Sent::Solicit { target, source: Some(iface.mac) };
        let group = v6::solicited_node(target);
        let (dst, to) = match unicast {
            Some(mac) => (target, mac),
            None => (group, v6::group_mac(group)),
        };
        Some(self.send_ndp(id, source, dst, Some(to), &sent))
    }

    /// Queues a message from `src` to `dst`, whose link-layer address is `to`, or to be found; false, and counted, without
    /// a frame or room.
    pub(crate) fn send_ndp(&mut self, id: IfaceId, src: Ipv6Addr, dst: Ipv6Addr, to: Option<Mac>, sent: &Sent) -> bool {
        let Some(iface) = self.iface(id) else { return false };
        let Some(frame) = ndp_frame(iface, src, dst, to, sent) else {
            self.stats.drop(DropReason::EgressFull);
            return false;
        };
        self.queue_reply(id, if to.is_some() { Reply::Link(frame) } else { Reply::Parked(frame) })
    }

    /// That an address of ours is still here, for all on the link; `None` without a frame. It is sent rather than queued: where
    /// many replies wait for the announcements before them, there is no room in the queue.
    #[cfg(feature = "carrier")]
    pub(super) fn readvertisement(&self, id: IfaceId, target: Ipv6Addr) -> Option<Frame<'a>> {
        let iface = self.iface(id)?;
        let to = Some(v6::group_mac(v6::ALL_NODES));
        let mac = iface.mac;
        let news = Sent::Advert { target, mac, solicited: false, router: self.is_router(), overrides: true };
        ndp_frame(iface, target, v6::ALL_NODES, to, &news)
    }

    /// What IPv6 has to do by itself at this time.
    pub(crate) fn v6_deadline(&mut self) {
        for index in 0..self.ifaces.len() {
            let id = IfaceId(index as u8);
            self.v6_steps(id);
            #[cfg(feature = "router-advertisements")]
            self.advertise_steps(id);
            #[cfg(feature = "temporary-addresses")]
            while self.make_temporary(id) {
                self.v6_steps(id);
            }
        }
        self.schedule_v6();
    }

    fn v6_steps(&mut self, id: IfaceId) {
        while let Some(Some(iface)) = self.ifaces.get_mut(id.index())
            && let Some(step) = iface.v6.step(self.now)
        {
            self.v6_step(id, step);
        }
    }

    fn v6_step(&mut self, id: IfaceId, step: Step) {
        let now = self.now;
        match step {
            Step::Probe(addr) => {
                let group = v6::solicited_node(addr);
                let sent = self.probe_for(id, addr);
                let to = Some(v6::group_mac(group));
                if !self.send_ndp(id, Ipv6Addr::UNSPECIFIED, group, to, &sent)
                    && let Some(Some(iface)) = self.ifaces.get_mut(id.index())
                {
                    iface.v6.not_probed(now, addr);
                }
            }
            Step::Assign(tentative) => self.assign(id, tentative),
            Step::Solicit => {
                if self.solicit_routers(id) == Some(false)
                    && let Some(Some(iface)) = self.ifaces.get_mut(id.index())
                {
                    iface.v6.not_solicited(now);
                }
            }
            Step::AddressGone(addr) => _ = self.remove_address(id, addr.into()),
            #[cfg(feature = "routes")]
            Step::RouteGone(route) => _ = self.routes.remove(&route),
            #[cfg(not(feature = "routes"))]
            Step::WaysGone => self.routes.touch(),
        }
    }

    /// The question whether somebody has `addr`.
    fn probe_for(&mut self, id: IfaceId, addr: Ipv6Addr) -> Sent {
        #[cfg(feature = "enhanced-dad")]
        if let Some(Some(iface)) = self.ifaces.get_mut(id.index()) {
            // Hosts whose secrets are the same by mistake must not take each other for a loop.
            let [_, _, drawn @ ..] = self.rng.next_u64().to_be_bytes();
            let nonce = core::array::from_fn(|i| drawn[i] ^ iface.mac.0[i]);
            iface.v6.probed_with(addr, nonce);
            return Sent::Probe { target: addr, nonce };
        }
        let _ = id;
        Sent::Solicit { target: addr, source: None }
    }

    //= https://www.rfc-editor.org/rfc/rfc4429#section-3.2
    //# A node MUST NOT send a Router Solicitation with a SLLAO from an Optimistic Address.
    /// RFC 4861 §6.3.7.
    fn solicit_routers(&mut self, id: IfaceId) -> Option<bool> {
        let iface = self.iface(id)?;
        let (src, source) = match source_to_show(iface, self.now, v6::ALL_ROUTERS.into()) {
            Some(IpAddr::V6(src)) => (src, Some(iface.mac)),
            _ => (Ipv6Addr::UNSPECIFIED, None),
        };
        let to = Some(v6::group_mac(v6::ALL_ROUTERS));
        Some(self.send_ndp(id, src, v6::ALL_ROUTERS, to, &Sent::Routers { source }))
    }

    /// Begins the trial of a temporary address that is due, or takes an old one away for it; whether it did.
    #[cfg(feature = "temporary-addresses")]
    fn make_temporary(&mut self, id: IfaceId) -> bool {
        let Some(Some(iface)) = self.ifaces.get_mut(id.index()) else { return false };
        let room = iface.addresses.len() + iface.v6.unused().count() < iface.addresses.capacity();
        match iface.v6.make_temporary(self.now, room, &mut self.rng) {
            Some(Made::Begun) => {
                #[cfg(feature = "optimistic-dad")]
                self.be_optimistic(id);
                self.groups_changed(id);
            }
            Some(Made::Evicted(addr)) => _ = self.remove_address(id, addr.into()),
            None => return false,
        }
        true
    }

    /// An address is ours now.
    fn assign(&mut self, id: IfaceId, tentative: Tentative) {
        let Some(Some(iface)) = self.ifaces.get_mut(id.index()) else { return };
        // What has gone by a router may go straight from now on.
        #[cfg(feature = "optimistic-dad")]
        if tentative.is_optimistic() {
            self.routes.touch();
        }
        if !tentative.is_optimistic() && iface.add_address(tentative.cidr).is_err() {
            return self.stats.drop(DropReason::NdpTableFull);
        }
        if let Some(formed) = Formed::of(&tentative) {
            // There is room: those on trial were counted with those in use.
            let _ = iface.v6.formed.push(formed);
        }
        // RFC 9777 §5.2.14: what was told from nobody is told again once there is an address to tell it from.
        #[cfg(feature = "multicast")]
        if v6::is_link_local(tentative.cidr.addr()) {
            self.tell_again(id, |group| group.is_ipv6());
        }
        log::debug!("interface {} has an IPv6 address", id.index());
    }

    /// Notes when IPv6 has something to do by itself.
    pub(crate) fn schedule_v6(&mut self) {
        #[cfg(feature = "temporary-addresses")]
        self.ifaces.iter_mut().flatten().for_each(|i| i.v6.plan_temporary(self.now));
        self.v6_timer = self.ifaces.iter().flatten().filter_map(|i| i.v6.deadline()).min();
        #[cfg(feature = "router-advertisements")]
        {
            let due = self.ifaces.iter().flatten().filter_map(|i| i.advertiser.as_ref().map(|a| a.deadline()));
            self.v6_timer = self.v6_timer.into_iter().chain(due).min();
        }
    }

    /// Whether IPv6 has something to do at this time.
    #[inline]
    pub(crate) fn is_v6_due(&self) -> bool {
        self.v6_timer.is_some_and(|at: Instant| self.now >= at)
    }
}

/// The source of a message that says our link-layer address.
fn source_to_show(iface: &Iface<'_>, now: Instant, dst: IpAddr) -> Option<IpAddr> {
    #[cfg(feature = "optimistic-dad")]
    return iface.source_to_show(now, dst);
    #[cfg(not(feature = "optimistic-dad"))]
    iface.source_for(now, dst)
}

/// A message as a frame, with its link header where `to` is known.
fn ndp_frame<'a>(iface: &Iface<'a>, src: Ipv6Addr, dst: Ipv6Addr, to: Option<Mac>, sent: &Sent) -> Option<Frame<'a>> {
    let mut frame = iface.pool.take(iface.headroom() + ipv6::HEADER)?;
    let len = ndp::emit(frame.append(MAX_SENT)?, sent)?;
    frame.truncate(len);
    fill_checksum(&mut frame, src, dst);
    let fields = Fields { src, dst, next_header: PROTOCOL, hop_limit: HOP_LIMIT, traffic_class: 0 };
    ipv6::emit(frame.push_front(ipv6::HEADER)?, &fields, len);
    if let Some(dst) = to {
        ethernet::push(&mut frame, &EthernetHeader { dst, src: iface.mac, ethertype: ethernet::IPV6 })?;
    }
    Some(frame)
}

//! Multicast groups for the user: join, leave, choose sources; and what routers are told (IGMP, RFC 9776; MLD, RFC 9777).

use super::{IfaceId, Reply, SourceFilter, Stack};
use crate::error::GroupError;
use crate::family::{IpAddr, inside, outside};
use crate::frame::Frame;
use crate::ip::addr::is_unicast_host;
use crate::ip::groups::{ALL_HOSTS, Due, What};
use crate::ip::v4::Fields;
use crate::wire::membership::{Message, Report, Version};
use crate::wire::{igmp, ipv4};
use core::net::{IpAddr as AnyAddr, Ipv4Addr};

/// Internetwork control (RFC 9776 §4): the precedence of messages between hosts and routers.
const TOS: u8 = 0xc0;
/// All routers: version 2 leaves go there.
const ALL_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 2);
/// Routers of version 3: reports go there.
const V3_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 22);

impl<'a> Stack<'a> {
    /// Joins a group on an interface; routers and switches are told. Each join wants a leave of its own.
    ///
    /// Which socket gets what is sent to the group, its port and its options say ([`UdpOptions`](crate::sockets::UdpOptions):
    /// several may `share` a port), and its filter, if it has one
    /// ([`set_source_filter`](crate::stack::UdpSocket::set_source_filter)).
    ///
    /// # Errors
    /// `NotAGroup`; `NoInterface`; `Full` when the interface is in [`MAX_GROUPS`](super::MAX_GROUPS) others, or has
    /// [`MAX_MEMBERSHIPS`](super::MAX_MEMBERSHIPS).
    pub fn join_group(&mut self, id: IfaceId, group: impl Into<AnyAddr>) -> Result<(), GroupError> {
        self.change_group(id, group.into(), |groups, now, group| groups.join(now, group))
    }

    /// Takes a join back; with the last one the group is left.
    ///
    /// # Errors
    /// `NotAGroup`; `NotJoined`; `NoInterface`.
    pub fn leave_group(&mut self, id: IfaceId, group: impl Into<AnyAddr>) -> Result<(), GroupError> {
        self.change_group(id, group.into(), |groups, now, group| groups.leave(now, group))
    }

    /// What a UDP socket wants of a group.
    #[cfg(feature = "udp")]
    pub(super) fn filter_sources(
        &mut self,
        socket: u32,
        id: IfaceId,
        group: AnyAddr,
        filter: SourceFilter<'_>,
    ) -> Result<(), GroupError> {
        let (SourceFilter::Include(sources) | SourceFilter::Exclude(sources)) = filter;
        let is_bad = |s: &AnyAddr| s.is_ipv4() != group.is_ipv4() || !inside(*s).is_some_and(is_unicast_host);
        if sources.iter().any(is_bad) {
            return Err(GroupError::BadSource);
        }
        self.change_group(id, group, |groups, now, group| groups.set_filter(now, Some(socket), group, filter))
    }

    /// A UDP socket is gone.
    #[cfg(feature = "udp")]
    pub(super) fn leave_all_groups(&mut self, socket: u32) {
        let now = self.now;
        for index in 0..self.ifaces.len() {
            let Some(Some(iface)) = self.ifaces.get_mut(index) else { continue };
            if iface.groups.forget_socket(now, socket) {
                self.groups_changed(IfaceId(index as u8));
                self.schedule_groups();
            }
        }
    }

    fn change_group(
        &mut self,
        id: IfaceId,
        group: AnyAddr,
        change: impl FnOnce(&mut crate::ip::groups::Groups, crate::time::Instant, IpAddr) -> Result<(), GroupError>,
    ) -> Result<(), GroupError> {
        let group = inside(group).filter(|group| group.is_multicast()).ok_or(GroupError::NotAGroup)?;
        let now = self.now;
        let iface = self.ifaces.get_mut(id.index()).and_then(Option::as_mut).ok_or(GroupError::NoInterface)?;
        if is_everybodys(group) {
            return Ok(());
        }
        change(&mut iface.groups, now, group)?;
        self.groups_changed(id);
        self.schedule_groups();
        Ok(())
    }

    /// The groups that were joined on an interface: those that every host is in, and those of our own addresses, aside.
    pub fn groups(&self, id: IfaceId) -> impl Iterator<Item = AnyAddr> + '_ {
        self.iface(id).into_iter().flat_map(|i| i.groups.joined()).map(outside)
    }

    /// Tells of all groups of an interface again: its link is back, and may be another one.
    pub fn tell_groups_again(&mut self, id: IfaceId) {
        self.tell_again(id, |_| true);
    }

    pub(crate) fn tell_again(&mut self, id: IfaceId, which: impl Fn(IpAddr) -> bool) {
        let now = self.now;
        if let Some(Some(iface)) = self.ifaces.get_mut(id.index()) {
            iface.groups.tell_again(now, which);
        }
        self.schedule_groups();
    }

    /// An interface's addresses have changed, and with them the groups that it is in because of them.
    #[cfg(feature = "ipv6")]
    pub(super) fn own_groups_changed(&mut self, id: IfaceId) {
        let now = self.now;
        let Some(Some(iface)) = self.ifaces.get_mut(id.index()) else { return };
        if !iface.is_ethernet() {
            return;
        }
        let own: heapless::Vec<_, 16> = super::filter::own_groups(iface).take(16).collect();
        iface.groups.set_own(now, &own);
        self.schedule_groups();
    }

    /// An IGMP or MLD message has come.
    pub(crate) fn on_membership(&mut self, id: IfaceId, message: &Message<'_>) {
        let now = self.now;
        if let Some(Some(iface)) = self.ifaces.get_mut(id.index()) {
            iface.groups.handle(now, message, &mut self.rng);
        }
        self.schedule_groups();
    }

    #[cold]
    pub(super) fn group_deadline(&mut self) {
        let now = self.now;
        for index in 0..self.ifaces.len() {
            // What is owed to a link that is down is owed when it is back.
            if !self.ifaces.get(index).is_some_and(|i| i.as_ref().is_some_and(super::Iface::is_up)) {
                continue;
            }
            while let Some(due) = self.ifaces.get(index).and_then(Option::as_ref).and_then(|i| i.groups.due(now)) {
                let sent = due.what == What::Silence || self.tell(IfaceId(index as u8), &due).is_some();
                let Some(Some(iface)) = self.ifaces.get_mut(index) else { break };
                iface.groups.sent(now, &due, sent, &mut self.rng);
            }
        }
        self.schedule_groups();
    }

    pub(super) fn schedule_groups(&mut self) {
        self.group_timer = self.ifaces.iter().flatten().filter(|i| i.is_up()).filter_map(|i| i.groups.deadline()).min();
    }

    /// Sends a message by an interface; `None` without a frame or room.
    fn tell(&mut self, id: IfaceId, due: &Due) -> Option<()> {
        let frame = match due.group {
            IpAddr::V4(group) => self.igmp_message(id, due, group)?,
            #[cfg(feature = "ipv6")]
            IpAddr::V6(group) => self.mld_message(id, due, group)?,
            #[cfg(not(feature = "ipv6"))]
            IpAddr::V6(_) => return Some(()),
        };
        self.queue_reply(id, Reply::Parked(frame)).then_some(())
    }

    /// The records of a report, behind its header of this type, in an empty frame.
    fn report_records(&self, id: IfaceId, due: &Due, frame: &mut Frame<'a>, kind: u8) -> Option<()> {
        let mut report = Report::begin(frame, kind)?;
        self.iface(id)?.groups.records(due, |record, sources| {
            report.record(record, due.group)?;
            for source in sources {
                report.source(source)?;
            }
            Some(())
        })
    }

    fn igmp_message(&mut self, id: IfaceId, due: &Due, group: Ipv4Addr) -> Option<Frame<'a>> {
        let iface = self.iface(id)?;
        let mut frame = iface.pool.take(iface.headroom() + ipv4::ALERT_HEADER)?;
        // RFC 9776 §4.2.14: without an address, from the unspecified one.
        let (dst, kind) = match due.what {
            What::OldReport(Version::V1) => (group, igmp::kind::V1_REPORT),
            What::OldReport(_) => (group, igmp::kind::V2_REPORT),
            What::OldLeave => (ALL_ROUTERS, igmp::kind::V2_LEAVE),
            _ => (V3_ROUTERS, igmp::kind::V3_REPORT),
        };
        let src = match iface.source_for(self.now, dst.into()) {
            Some(IpAddr::V4(src)) => src,
            _ => Ipv4Addr::UNSPECIFIED,
        };
        if kind == igmp::kind::V3_REPORT {
            self.report_records(id, due, &mut frame, kind)?;
            igmp::fill_checksum(&mut frame);
        } else {
            frame.extend(&igmp::short(kind, group))?;
        }
        let len = frame.len();
        let fields = Fields { src, dst, protocol: igmp::PROTOCOL, ttl: 1, tos: TOS, ident: 0, dont_frag: true };
        ipv4::emit_with_router_alert(frame.push_front(ipv4::ALERT_HEADER)?, &fields, len);
        Some(frame)
    }

    #[cfg(feature = "ipv6")]
    fn mld_message(&mut self, id: IfaceId, due: &Due, group: core::net::Ipv6Addr) -> Option<Frame<'a>> {
        use crate::icmp::v6::fill_checksum;
        use crate::ip::v6::{ALL_ROUTERS, MLDV2_ROUTERS};
        use crate::wire::{extension, ipv6, mld};
        use core::net::Ipv6Addr;
        let iface = self.iface(id)?;
        let mut frame = iface.pool.take(iface.headroom() + ipv6::HEADER + mld::ROUTER_ALERT.len())?;
        let (dst, kind) = match due.what {
            What::OldReport(_) => (group, mld::kind::V1_REPORT),
            What::OldLeave => (ALL_ROUTERS, mld::kind::V1_DONE),
            _ => (MLDV2_ROUTERS, mld::kind::V2_REPORT),
        };
        //= https://www.rfc-editor.org/rfc/rfc9777#section-5.2.14
        //# An MLDv2 Report MUST be sent with a valid IPv6 link-local source
        //# address, or the unspecified address (::), if the sending interface
        //# has not acquired a valid link-local address yet.
        let src = match iface.source_for(self.now, MLDV2_ROUTERS.into()) {
            Some(IpAddr::V6(src)) if src.is_unicast_link_local() => src,
            _ => Ipv6Addr::UNSPECIFIED,
        };
        if kind == mld::kind::V2_REPORT {
            self.report_records(id, due, &mut frame, kind)?;
        } else {
            frame.extend(&mld::short(kind, group))?;
        }
        fill_checksum(&mut frame, src, dst);
        frame.push_front(mld::ROUTER_ALERT.len())?.copy_from_slice(&mld::ROUTER_ALERT);
        let len = frame.len();
        let fields = ipv6::Fields { src, dst, next_header: extension::HOP_BY_HOP, hop_limit: 1, traffic_class: 0 };
        ipv6::emit(frame.push_front(ipv6::HEADER)?, &fields, len);
        self.stats.icmp_out = self.stats.icmp_out.wrapping_add(1);
        Some(frame)
    }
}

/// Whether every host is in a group, or what is sent to it never leaves the host: nobody says that he is in it (RFC 9776
/// §5, RFC 9777 §6).
fn is_everybodys(group: IpAddr) -> bool {
    match group {
        IpAddr::V4(group) => group == ALL_HOSTS,
        #[cfg(not(feature = "ipv6"))]
        IpAddr::V6(_) => false,
        #[cfg(feature = "ipv6")]
        IpAddr::V6(group) => {
            let [_, scope, ..] = group.octets();
            scope & 15 < 2 || group.segments() == [0xff02, 0, 0, 0, 0, 0, 0, 1]
        }
    }
}

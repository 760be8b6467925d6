//! Multicast groups for the user: join, leave, and what routers are told (IGMP, RFC 9776).

use super::{IfaceId, Reply, Stack};
use crate::error::GroupError;
use crate::family::IpAddr;
pub use crate::ip::igmp::MAX_GROUPS;
use crate::ip::igmp::{ALL_HOSTS, Due, What};
use crate::ip::v4::Fields;
use crate::ready::Key;
use crate::wire::{igmp, ipv4};
use core::net::Ipv4Addr;

/// Internetwork control (RFC 9776 §4): the precedence of messages between hosts and routers.
const TOS: u8 = 0xc0;

impl<'a> Stack<'a> {
    /// Joins an IPv4 group on an interface; routers and switches are told. Each join wants a leave of its own.
    ///
    /// Which socket gets what is sent to the group, its port and its options say ([`UdpOptions`](crate::sockets::UdpOptions):
    /// several may `share` a port).
    ///
    /// # Errors
    /// `NotAGroup`; `NoInterface`; `Full` when the interface is in [`MAX_GROUPS`] others.
    pub fn join_group(&mut self, id: IfaceId, group: Ipv4Addr) -> Result<(), GroupError> {
        if !group.is_multicast() {
            return Err(GroupError::NotAGroup);
        }
        if self.igmp_node.is_none() {
            self.igmp_node = self.sched.alloc(Key::Igmp).ok();
        }
        let now = self.now;
        let iface = self.ifaces.get_mut(id.index()).and_then(Option::as_mut).ok_or(GroupError::NoInterface)?;
        // Everybody is in this one.
        if group == ALL_HOSTS {
            return Ok(());
        }
        if self.igmp_node.is_none() || !iface.igmp.join(now, group) {
            return Err(GroupError::Full);
        }
        self.groups_changed(id);
        self.schedule_igmp();
        Ok(())
    }

    /// Takes a join back; with the last one the group is left.
    ///
    /// # Errors
    /// `NotJoined`; `NoInterface`.
    pub fn leave_group(&mut self, id: IfaceId, group: Ipv4Addr) -> Result<(), GroupError> {
        let now = self.now;
        let iface = self.ifaces.get_mut(id.index()).and_then(Option::as_mut).ok_or(GroupError::NoInterface)?;
        if group != ALL_HOSTS && !iface.igmp.leave(now, group) {
            return Err(GroupError::NotJoined);
        }
        self.groups_changed(id);
        self.schedule_igmp();
        Ok(())
    }

    /// The groups that an interface is in, all hosts' aside.
    pub fn groups(&self, id: IfaceId) -> impl Iterator<Item = Ipv4Addr> + '_ {
        self.iface(id).into_iter().flat_map(|i| i.igmp.groups())
    }

    /// Tells of all groups of an interface again: its link is back, and may be another one.
    pub fn tell_groups_again(&mut self, id: IfaceId) {
        let now = self.now;
        if let Some(Some(iface)) = self.ifaces.get_mut(id.index()) {
            iface.igmp.tell_again(now);
        }
        self.schedule_igmp();
    }

    /// An IGMP message has come.
    pub(crate) fn on_igmp(&mut self, id: IfaceId, message: igmp::Message) {
        let now = self.now;
        if let Some(Some(iface)) = self.ifaces.get_mut(id.index()) {
            iface.igmp.handle(now, message, &mut self.rng);
        }
        self.schedule_igmp();
    }

    pub(super) fn igmp_deadline(&mut self) {
        let now = self.now;
        for index in 0..self.ifaces.len() {
            // What is owed to a link that is down is owed when it is back.
            if !self.ifaces.get(index).is_some_and(|i| i.as_ref().is_some_and(super::Iface::is_up)) {
                continue;
            }
            while let Some(due) = self.ifaces.get(index).and_then(Option::as_ref).and_then(|i| i.igmp.due(now)) {
                let silent =
                    self.ifaces.get(index).and_then(Option::as_ref).is_some_and(|i| i.igmp.is_silent(now, &due));
                let sent = silent || self.send_igmp(IfaceId(index as u8), &due);
                let Some(Some(iface)) = self.ifaces.get_mut(index) else { break };
                iface.igmp.sent(now, &due, sent, &mut self.rng);
            }
        }
        self.schedule_igmp();
    }

    pub(super) fn schedule_igmp(&mut self) {
        let Some(node) = self.igmp_node else { return };
        match self.ifaces.iter().flatten().filter(|i| i.is_up()).filter_map(|i| i.igmp.deadline()).min() {
            Some(at) => self.sched.set_deadline(node, at),
            None => self.sched.cancel_deadline(node),
        }
    }

    /// Sends a message by an interface; false without a frame or room.
    fn send_igmp(&mut self, id: IfaceId, due: &Due) -> bool {
        match due.what {
            What::Report(record) => self.send_igmp_message(id, due, &igmp::report(record, due.group)),
            What::Short(kind) => self.send_igmp_message(id, due, &igmp::short(kind, due.group)),
        }
    }

    fn send_igmp_message(&mut self, id: IfaceId, due: &Due, message: &[u8]) -> bool {
        let Some(iface) = self.iface(id) else { return false };
        let Some(mut frame) = iface.pool.take(iface.headroom() + ipv4::ALERT_HEADER) else { return false };
        // RFC 9776 §4.2.13: without an address, from the unspecified one.
        let src = match iface.source_for(self.now, IpAddr::V4(due.to)) {
            Some(IpAddr::V4(src)) => src,
            _ => Ipv4Addr::UNSPECIFIED,
        };
        let fields = Fields { src, dst: due.to, protocol: igmp::PROTOCOL, ttl: 1, tos: TOS, ident: 0, dont_frag: true };
        if frame.extend(message).is_none() {
            return false;
        }
        let Some(header) = frame.push_front(ipv4::ALERT_HEADER) else { return false };
        ipv4::emit_with_router_alert(header, &fields, message.len());
        self.queue_reply(id, Reply::Parked(frame))
    }
}

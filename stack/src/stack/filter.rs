//! Which link-layer groups a device is to receive.

use super::{IfaceId, Stack};
use crate::device::Mac;
use crate::family::IpAddr;
#[cfg(feature = "ipv6")]
use crate::ip::v6;
use heapless::Vec;

/// Groups of one interface that its device is told of; with more it is to receive all.
const MAX_MACS: usize = 24;

/// What a device is to receive of groups.
#[cfg(any(feature = "ipv6", feature = "multicast", feature = "raw-ethernet"))]
pub(super) struct Filter {
    /// All of them, or the first if there are more.
    pub groups: Vec<Mac, MAX_MACS>,
    pub is_whole: bool,
}

impl Stack<'_> {
    /// Whether an interface's device is to receive everything, when that has changed since it was told.
    #[cfg(any(feature = "raw-ethernet", feature = "any-address"))]
    pub(super) fn changed_promiscuity(&mut self, id: IfaceId) -> Option<bool> {
        if !self.refilter.take(id) {
            return None;
        }
        let wanted = false;
        #[cfg(feature = "raw-ethernet")]
        let wanted = wanted || self.ethernet.of(id).any(|s| s.promiscuous);
        #[cfg(feature = "any-address")]
        let wanted = wanted || self.answers_for_v6(id);
        let iface = self.ifaces.get_mut(id.index())?.as_mut()?;
        (core::mem::replace(&mut iface.promiscuous, wanted) != wanted).then_some(wanted)
    }

    /// The groups that an interface's device is to receive, when they have changed since it was told: everybody's, those of
    /// its addresses, those that were joined, and those that sockets are bound to.
    #[cfg(any(feature = "ipv6", feature = "multicast", feature = "raw-ethernet"))]
    pub(super) fn changed_groups(&mut self, id: IfaceId) -> Option<Filter> {
        if !self.regroup.take(id) {
            return None;
        }
        let iface = self.iface(id)?;
        let mut groups = Vec::new();
        let mut add = |ip: IpAddr| {
            let mac = group_mac(ip);
            groups.contains(&mac) || groups.push(mac).is_ok()
        };
        let mut fits = true;
        #[cfg(feature = "ipv6")]
        {
            fits &= add(v6::ALL_NODES.into());
            own_groups(iface).for_each(|group| fits &= add(group.into()));
        }
        #[cfg(feature = "multicast")]
        {
            fits &= add(IpAddr::V4(crate::ip::groups::ALL_HOSTS));
            iface.groups.all().for_each(|group| fits &= add(group));
        }
        #[cfg(feature = "udp")]
        {
            let mut next = self.udp.sockets.next_index(0);
            while let Some(index) = next {
                next = self.udp.sockets.next_index(index + 1);
                let local = self.udp.sockets.at(index).and_then(|s| s.local);
                fits &= local.filter(|ip| ip.is_multicast()).is_none_or(&mut add);
            }
        }
        let _ = &mut add;
        #[cfg(feature = "raw-ethernet")]
        for &mac in self.ethernet.of(id).flat_map(|s| &s.groups) {
            fits &= groups.contains(&mac) || groups.push(mac).is_ok();
        }
        let _ = iface;
        Some(Filter { groups, is_whole: fits })
    }
}

/// The groups that an interface is in by its addresses, those on trial among them.
#[cfg(feature = "ipv6")]
pub(super) fn own_groups<'i>(iface: &'i super::Iface<'_>) -> impl Iterator<Item = core::net::Ipv6Addr> + 'i {
    let tentative = iface.v6.tentative.iter().map(|t| t.cidr.addr());
    let nodes = iface.addresses.iter().map(|a| a.addr()).chain(tentative).filter_map(|addr| match addr {
        IpAddr::V6(addr) => Some(v6::solicited_node(addr)),
        IpAddr::V4(_) => None,
    });
    //= https://www.rfc-editor.org/rfc/rfc4861#section-6.2.2
    //# A router MUST join the all-routers multicast address on an
    //# advertising interface.
    #[cfg(feature = "router-advertisements")]
    return nodes.chain(iface.advertiser.as_ref().map(|_| v6::ALL_ROUTERS));
    #[cfg(not(feature = "router-advertisements"))]
    nodes
}

fn group_mac(ip: IpAddr) -> Mac {
    match ip {
        IpAddr::V4(ip) => crate::tx::group_mac(ip),
        #[cfg(feature = "ipv6")]
        IpAddr::V6(ip) => v6::group_mac(ip),
        // No group of a family that is not built can be joined.
        #[cfg(not(feature = "ipv6"))]
        IpAddr::V6(_) => Mac::BROADCAST,
    }
}

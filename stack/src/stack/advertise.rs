//! Router advertisements for the user, and how they leave.

use super::{IfaceId, Reply, Stack};
use crate::device::Mac;
use crate::error::AddressError;
use crate::ip::advertise::{Advertiser, Due, RouterAdvertisements};
use crate::ip::v6;
use crate::link::ethernet::{self, EthernetHeader};
use crate::stats::DropReason;
use crate::wire::advert::{self, Advert};
use crate::wire::{ipv6, ndp::Prefix};
use core::net::{IpAddr, Ipv6Addr};

impl Stack<'_> {
    /// Tells hosts of an interface's link of this router: its prefixes there, how long it is one, and what else `settings` say
    /// (RFC 4861 §6.2); with `None`, a last time, that it is none any more. The interface needs an address of the link
    /// ([`add_link_local`](Self::add_link_local)), without which nothing is said.
    ///
    /// # Errors
    /// [`AddressError::NoInterface`]; [`AddressError::Invalid`] for settings outside of their bounds, or where the medium has no
    /// stations.
    pub fn advertise(&mut self, id: IfaceId, settings: Option<RouterAdvertisements>) -> Result<(), AddressError> {
        let now = self.now;
        let iface = self.ifaces.get_mut(id.index()).and_then(Option::as_mut).ok_or(AddressError::NoInterface)?;
        if !iface.is_ethernet() || settings.is_some_and(|s| !s.are_valid(iface.ip_mtu())) {
            return Err(AddressError::Invalid);
        }
        match (settings, &mut iface.advertiser) {
            (Some(settings), Some(advertiser)) => advertiser.change(now, settings),
            (Some(settings), none) => *none = Some(Advertiser::new(settings, now)),
            (None, Some(advertiser)) => advertiser.end(now),
            (None, None) => {}
        }
        self.groups_changed(id);
        self.schedule_v6();
        Ok(())
    }

    /// What an interface tells of this router, if it does.
    pub fn advertising(&self, id: IfaceId) -> Option<RouterAdvertisements> {
        self.iface(id)?.advertiser.as_ref().map(|advertiser| advertiser.settings)
    }

    /// Whether this is a router has changed: hosts are told at once.
    pub(super) fn advertise_anew(&mut self) {
        let now = self.now;
        for advertiser in self.ifaces.iter_mut().flatten().filter_map(|iface| iface.advertiser.as_mut()) {
            advertiser.change(now, advertiser.settings);
        }
        self.schedule_v6();
    }

    /// A host asks which routers there are.
    pub(crate) fn on_router_solicit(&mut self, id: IfaceId, src: Ipv6Addr, mac: Option<Mac>) -> Result<(), DropReason> {
        let now = self.now;
        let Some(Some(iface)) = self.ifaces.get_mut(id.index()) else { return Ok(()) };
        let Some(advertiser) = &mut iface.advertiser else { return Err(DropReason::NdpNotForUs) };
        advertiser.on_solicit(now, (!src.is_unspecified()).then_some(src), &mut self.rng);
        let own = iface.mac;
        if let Some(mac) = mac.filter(|mac| mac.is_station() && *mac != own) {
            let heard = self.neighbors.learn(now, id.0, src.into(), mac, &mut self.stats);
            self.heard(heard);
        }
        self.schedule_v6();
        Ok(())
    }

    /// Sends what an interface has to tell at this time.
    pub(crate) fn advertise_steps(&mut self, id: IfaceId) {
        let now = self.now;
        while let Some(Some(iface)) = self.ifaces.get_mut(id.index())
            && let Some(advertiser) = &mut iface.advertiser
            && let Some(due) = advertiser.step(now, &mut self.rng)
        {
            let settings = advertiser.settings;
            let sent = self.send_router_advert(id, &settings, due);
            let Some(Some(iface)) = self.ifaces.get_mut(id.index()) else { return };
            // The last is not waited for where nobody can be told.
            let is_over = due.is_last && (sent || iface.link_local().is_none() || !iface.is_up());
            match &mut iface.advertiser {
                _ if is_over => {
                    iface.advertiser = None;
                    self.groups_changed(id);
                }
                Some(advertiser) if !sent => advertiser.not_sent(now),
                _ => {}
            }
        }
    }

    /// Sends an advertisement; false when it could not be.
    fn send_router_advert(&mut self, id: IfaceId, settings: &RouterAdvertisements, due: Due) -> bool {
        let is_router = self.is_router() && !due.is_last;
        let Some(iface) = self.iface(id).filter(|iface| iface.is_up()) else { return false };
        let Some(src) = iface.link_local() else { return false };
        let &RouterAdvertisements { hop_limit, managed, other, mtu, valid, preferred, autonomous, .. } = settings;
        let lifetime = if is_router { settings.lifetime } else { 0 };
        let advert = Advert { hop_limit, managed, other, lifetime, mac: iface.mac, mtu };
        let mut own = iface.addresses.iter().filter_map(|a| match a.network().ip() {
            IpAddr::V6(prefix) if !prefix.is_unicast_link_local() => Some((prefix, a.prefix_len())),
            _ => None,
        });
        let mut told: heapless::Vec<(Ipv6Addr, u8), { super::MAX_ADDRESSES }> = heapless::Vec::new();
        // Each once, though we have several addresses of one.
        own.by_ref().for_each(|prefix| _ = (!told.contains(&prefix)).then(|| told.push(prefix)));
        let prefixes = told.iter().map(|&(prefix, len)| Prefix {
            prefix,
            len,
            on_link: true,
            // RFC 4862 §5.5.3 (d): of other lengths no host forms an address.
            autonomous: autonomous && len == 64,
            valid,
            preferred,
        });
        let dns = (settings.dns_lifetime(), settings.dns.iter().flatten().copied());
        let (dst, mac) = match due.to {
            Some(host) => (host, None),
            None => (v6::ALL_NODES, Some(v6::group_mac(v6::ALL_NODES))),
        };
        let own_mac = iface.mac;
        let frame = iface.pool.take(iface.headroom() + ipv6::HEADER).and_then(|mut frame| {
            advert::emit(&mut frame, &advert, prefixes, dns)?;
            crate::icmp::v6::discovery(&mut frame, src, dst)?;
            match mac {
                Some(dst) => {
                    ethernet::push(&mut frame, &EthernetHeader { dst, src: own_mac, ethertype: ethernet::IPV6 })?;
                    Some(Reply::Link(frame))
                }
                None => Some(Reply::Parked(frame)),
            }
        });
        match frame {
            Some(reply) => self.queue_reply(id, reply),
            None => {
                self.stats.drop(DropReason::EgressFull);
                false
            }
        }
    }
}

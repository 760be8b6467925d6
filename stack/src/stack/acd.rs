//! Probing for addresses before use, and conflicts over those in use (RFC 5227), for the user.

use super::{IfaceId, Stack};
use crate::device::Mac;
use crate::error::AddressError;
#[cfg(all(feature = "tcp", feature = "link-local"))]
use crate::family::IpAddr;
pub use crate::link::acd::{AddressConflict, ProbeState, ProbeTiming};
use crate::link::acd::{Probe, Send};
use crate::link::arp;
use crate::ready::Key;
use core::net::Ipv4Addr;

impl<'a> Stack<'a> {
    /// Asks on the link whether somebody has `ip`, before it is added; [`probe_state`](Self::probe_state) tells in a
    /// few seconds, after a [`poll`](Self::poll). Two addresses of an interface can be probed for at a time.
    ///
    /// # Errors
    /// `NoInterface`; `Duplicate` when the address is ours already; `Full` when two others are probed for.
    pub fn probe_address(&mut self, id: IfaceId, ip: Ipv4Addr, timing: ProbeTiming) -> Result<(), AddressError> {
        if self.is_configured(ip.into()) {
            return Err(AddressError::Duplicate);
        }
        if self.acd_node.is_none() {
            self.acd_node = self.sched.alloc(Key::Acd).ok();
        }
        if self.acd_node.is_none() {
            return Err(AddressError::Full);
        }
        let iface = self.ifaces.get_mut(id.index()).and_then(Option::as_mut).ok_or(AddressError::NoInterface)?;
        let probe = Probe::new(self.now, ip, timing, &mut self.rng);
        let place = match iface.probes.iter().position(|p| p.ip == ip || p.is_over()) {
            Some(place) => iface.probes.get_mut(place),
            None => {
                iface.probes.push(probe).map_err(|_| AddressError::Full)?;
                None
            }
        };
        if let Some(place) = place {
            *place = probe;
        }
        self.schedule_acd();
        Ok(())
    }

    /// What is known of an address that was probed for; `None` when it was not, or was probed for too long ago.
    ///
    /// On a medium without ARP nobody could answer: an address is free there.
    pub fn probe_state(&self, id: IfaceId, ip: Ipv4Addr) -> Option<ProbeState> {
        let iface = self.iface(id)?;
        let state = iface.probes.iter().find(|p| p.ip == ip)?.state();
        Some(if iface.is_ethernet() { state } else { ProbeState::Free })
    }

    /// Ends the probing for an address.
    pub fn cancel_probe(&mut self, id: IfaceId, ip: Ipv4Addr) {
        if let Some(iface) = self.ifaces.get_mut(id.index()).and_then(Option::as_mut) {
            iface.probes.retain(|p| p.ip != ip);
        }
        self.schedule_acd();
    }

    /// A conflict over an address of the interface, told once; the last one if there were several.
    pub fn take_conflict(&mut self, id: IfaceId) -> Option<AddressConflict> {
        self.ifaces.get_mut(id.index())?.as_mut()?.conflict.take()
    }

    /// Whether there was a conflict over `ip` that was not defended: told once.
    #[cfg(any(feature = "dhcpv4", feature = "link-local"))]
    pub(crate) fn take_conflict_over(&mut self, id: IfaceId, ip: Ipv4Addr) -> bool {
        let Some(Some(iface)) = self.ifaces.get_mut(id.index()) else { return false };
        iface.conflict.take_if(|c| c.ip == ip && !c.defended).is_some()
    }

    /// Whether a connection is from `ip`.
    #[cfg(feature = "link-local")]
    pub(crate) fn is_address_in_use(&self, ip: Ipv4Addr) -> bool {
        #[cfg(feature = "tcp")]
        {
            let conns = &self.tcp.conns;
            let mut next = conns.next_index(0);
            while let Some(index) = next {
                next = conns.next_index(index + 1);
                if conns.at(index).is_some_and(|e| e.linked && e.conn.tuple().local_addr == IpAddr::V4(ip)) {
                    return true;
                }
            }
        }
        let _ = ip;
        false
    }

    /// An address that was probed for is in use from now on.
    pub(super) fn probed_is_used(&mut self, id: IfaceId, ip: Ipv4Addr) {
        let now = self.now;
        let Some(Some(iface)) = self.ifaces.get_mut(id.index()) else { return };
        if let Some(probe) = iface.probes.iter_mut().find(|p| p.ip == ip) {
            probe.on_used(now);
            self.schedule_acd();
        }
    }

    pub(super) fn acd_deadline(&mut self) {
        for index in 0..self.ifaces.len() {
            let id = IfaceId(index as u8);
            for place in 0.. {
                let now = self.now;
                let Some(Some(iface)) = self.ifaces.get_mut(index) else { break };
                if !iface.is_up() {
                    break;
                }
                let mac = iface.mac;
                let Some(probe) = iface.probes.get_mut(place) else { break };
                let packet = match probe.due(now) {
                    Some(Send::Probe(ip)) => arp::request(mac, Ipv4Addr::UNSPECIFIED, ip),
                    Some(Send::Announcement(ip)) => arp::announcement(mac, ip),
                    None => continue,
                };
                let sent = self.send_arp(id, &packet, Mac::BROADCAST);
                let Some(Some(iface)) = self.ifaces.get_mut(index) else { break };
                if let Some(probe) = iface.probes.get_mut(place) {
                    probe.sent(now, sent, &mut self.rng);
                }
            }
        }
        self.schedule_acd();
    }

    pub(super) fn schedule_acd(&mut self) {
        let Some(node) = self.acd_node else { return };
        let probes = self.ifaces.iter().flatten().filter(|i| i.is_ethernet() && i.is_up()).flat_map(|i| &i.probes);
        self.sched.arm(node, probes.filter_map(Probe::deadline).min());
    }
}

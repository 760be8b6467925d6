//! Datagrams whose checksum is left to the device.
//!
//! It is left out when a datagram is queued, if all looks as though it would go straight to a device that computes it; and
//! completed when its turn comes, if something has turned up: a hook, another way, a neighbour to be asked for, a smaller MTU.

use super::{Output, Resolved, Turn, push_ethernet, uncut};
use crate::device::Mac;
use crate::family::IpAddr;
use crate::frame::Frame;
use crate::link::ethernet;
use crate::link::neighbor::Demand;
use crate::stack::{IfaceId, Stack};
use crate::stats::DropReason;
use crate::wire::{ip, udp};

impl<'a> Stack<'a> {
    /// Whether the checksum of a datagram of `len` octets to `dst` is left out for now: then, where its header will begin in
    /// the packet; else 0.
    pub(crate) fn leaves_datagram(&self, id: IfaceId, dst: IpAddr, len: usize) -> usize {
        let start = ip::header_len(dst);
        let takes = self.iface(id).is_some_and(|iface| iface.caps.checksum.udp && start + len <= iface.ip_mtu());
        let leaves = takes && !self.has_hooks() && !self.stays_here(dst);
        if leaves { start } else { 0 }
    }

    /// As `output_own`, of a datagram by `by` whose UDP header, at `start`, is without a checksum: its turn, or what became
    /// of it once it had one.
    pub(super) fn output_unsummed(
        &mut self,
        polled: IfaceId,
        mut frame: Frame<'a>,
        by: IfaceId,
        start: u16,
    ) -> Result<Turn<'a>, Output<'a>> {
        let straight = if self.has_hooks() { None } else { self.straight(polled, &frame, by) };
        let Some((mac, ours)) = straight else {
            udp::complete(&mut frame, start);
            return Err(self.output_own(polled, frame, Some(by), Demand::Socket));
        };
        let Some(dst) = mac else { return Ok(Turn::UnsummedDatagram(frame, start)) };
        if !push_ethernet(&mut frame, dst, ours) {
            self.stats.drop(DropReason::EgressFull);
            return Ok(Turn::Done);
        }
        Ok(Turn::UnsummedDatagram(frame, start + ethernet::HEADER as u16))
    }

    /// The link-layer address that a packet goes to, if it leaves by the polled interface now and as it is; and our own.
    fn straight(&mut self, polled: IfaceId, packet: &Frame<'a>, by: IfaceId) -> Option<(Option<Mac>, Mac)> {
        let (src, dst) = ip::addresses(packet)?;
        let hop = self.hop_from(Some(src), dst, Some(by)).filter(|hop| hop.iface == polled)?;
        let iface = self.iface(polled)?;
        let (ours, most, len) = (iface.mac, uncut(iface), packet.len());
        if self.stays_here(dst) || !iface.caps.checksum.udp || !packet.pool().is(iface.pool) {
            return None;
        }
        if len > most && len > self.mtu_of(polled, packet) {
            return None;
        }
        match self.resolve(hop, Demand::Socket) {
            Resolved::Ready(mac) => Some((mac, ours)),
            Resolved::Neighbor(mac, _) => Some((Some(mac), ours)),
            // It is asked for once more, which changes nothing.
            Resolved::Waiting(_) | Resolved::Full | Resolved::Down => None,
        }
    }

    fn has_hooks(&self) -> bool {
        #[cfg(feature = "hooks")]
        return self.hooks.is_some();
        #[cfg(not(feature = "hooks"))]
        false
    }
}

//! Hooks for the user: set, and called on the way of packets.

use super::{IfaceId, Stack};
use crate::device::RxChecksum;
use crate::error::Stale;
use crate::frame::Frame;
use crate::ip::hooks::{Filter, Hooks, Passage, Point, Verdict};
#[cfg(feature = "raw")]
use crate::sockets::raw::RawHandle;
use crate::stats::DropReason;
use crate::wire::checksum;

impl<'a> Stack<'a> {
    /// Has `hooks` see each packet at five points of its way; gives back those that did before. `None`: nobody.
    ///
    /// While there are hooks, connections go by no short cuts; without, a packet pays little or nothing for them.
    pub fn set_hooks(&mut self, hooks: Option<&'a mut (dyn Hooks + Send)>) -> Option<&'a mut (dyn Hooks + Send)> {
        // What was remembered of connections leads past the points.
        #[cfg(feature = "tcp")]
        {
            self.tcp.last = u32::MAX;
        }
        self.routes.forget_ways();
        core::mem::replace(&mut self.hooks, hooks)
    }

    /// Has a raw socket receive only packets for which `filter` is true; others are counted as
    /// [`Filtered`](DropReason::Filtered). `None`: all.
    ///
    /// # Errors
    /// [`Stale`].
    #[cfg(feature = "raw")]
    pub fn raw_set_filter(&mut self, socket: RawHandle, filter: Option<Filter<'a>>) -> Result<(), Stale> {
        let socket = self.raw.sockets.get_mut(socket.0).ok_or(Stale::Handle)?;
        socket.filter = filter;
        Ok(())
    }

    /// A packet passes a point: whether it was changed, or an error when it goes no further.
    #[cold]
    #[inline(never)]
    pub(crate) fn hook(
        &mut self,
        point: Point,
        arrived: Option<IfaceId>,
        leaves: Option<IfaceId>,
        packet: &mut [u8],
    ) -> Result<bool, DropReason> {
        let passage = Passage::new(point, self.now, arrived, leaves);
        match self.hooks.as_mut().map(|hooks| hooks.on_packet(&passage, packet)) {
            None | Some(Verdict::Accept) => Ok(false),
            Some(Verdict::Modified) => Ok(true),
            Some(Verdict::Drop) => Err(DropReason::Filtered),
        }
    }

    /// A received packet passes a point, completed before; what is known of its checksum afterwards.
    #[cold]
    #[inline(never)]
    pub(crate) fn hook_in(
        &mut self,
        point: Point,
        id: IfaceId,
        packet: &mut Frame<'a>,
        checksum: RxChecksum,
    ) -> Result<RxChecksum, DropReason> {
        let checksum = match checksum {
            RxChecksum::Partial { start, offset } => {
                checksum::complete(packet, start, offset);
                RxChecksum::Verified
            }
            known => known,
        };
        match self.hook(point, Some(id), None, packet)? {
            true => Ok(RxChecksum::None),
            false => Ok(checksum),
        }
    }

    /// A packet of ours passes LocalOut: whether it was changed, or `None`, and counted, when it goes no further.
    #[cold]
    #[inline(never)]
    pub(crate) fn hook_out(&mut self, packet: &mut [u8]) -> Option<bool> {
        self.hook(Point::LocalOut, None, None, packet).map_err(|reason| self.stats.drop(reason)).ok()
    }

    /// A packet passes PostRouting: whether it goes on; counted if not.
    #[cold]
    #[inline(never)]
    pub(crate) fn hook_post(&mut self, id: IfaceId, packet: &mut [u8]) -> bool {
        self.hook(Point::PostRouting, None, Some(id), packet).map_err(|reason| self.stats.drop(reason)).is_ok()
    }
}

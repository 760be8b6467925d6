//! The carrier: what becomes of everything when a link goes down, and what is done when it is back.
//!
//! No RFC says it all; the parts are RFC 4861 §6.3.7 and §7.2.6, RFC 4862 §5.4.2, RFC 5227 §2.3 and RFC 2131 §3.7.
//!
//! ```text
//!        down: neighbours are forgotten, what waits on the interface is dropped and counted; from then on
//!              datagrams are refused, replies dropped, connections keep their text and their clocks
//!          up: addresses are announced, trials begin anew, routers asked for, groups told,
//!              connections send again at once
//!  both ways: routes are looked up again (a way over a link that is up is preferred), and the user is told
//! ```

use super::{IfaceId, Stack};
use crate::device::Link;
use crate::error::AddressError;
use crate::log;
use crate::stats::DropReason;
use core::task::Waker;

impl Stack<'_> {
    /// Wakes `waker` once when the link of an interface goes up or down; [`interfaces`](Self::interfaces) shows how it is.
    ///
    /// The waker is woken by the event ([`SocketId::Interface`](super::SocketId::Interface)), as those of sockets are.
    ///
    /// # Errors
    /// [`AddressError::NoInterface`].
    pub fn register_link(&mut self, id: IfaceId, waker: &Waker) -> Result<(), AddressError> {
        let iface = self.ifaces.get_mut(id.index()).and_then(Option::as_mut).ok_or(AddressError::NoInterface)?;
        match &iface.link_waker {
            Some(w) if w.will_wake(waker) => {}
            _ => iface.link_waker = Some(waker.clone()),
        }
        Ok(())
    }

    /// Compares an interface's carrier with what it was in the last poll.
    #[inline]
    pub(super) fn see_link(&mut self, id: IfaceId, link: Link) {
        if let Some(Some(iface)) = self.ifaces.get(id.index())
            && iface.link != link
        {
            self.link_changed(id, link);
        }
    }

    /// A new interface begins with its device's carrier; this is no change that anybody is told of.
    pub(super) fn begin_link(&mut self, id: IfaceId, link: Link) {
        if let Some(Some(iface)) = self.ifaces.get_mut(id.index()) {
            iface.link = link;
            #[cfg(feature = "ipv6")]
            if link == Link::Down {
                iface.v6.on_link(self.now, false, 0, &mut self.rng);
            }
        }
    }

    #[cold]
    fn link_changed(&mut self, id: IfaceId, link: Link) {
        let Some(Some(iface)) = self.ifaces.get_mut(id.index()) else { return };
        iface.link = link;
        self.link_events.insert(id.index());
        self.routes.touch();
        #[cfg(feature = "ipv6")]
        iface.v6.on_link(self.now, link == Link::Up, self.config.dad_transmits, &mut self.rng);
        match link {
            Link::Up => self.link_up(id),
            Link::Down => self.link_down(id),
        }
        #[cfg(feature = "ipv6")]
        self.schedule_v6();
        #[cfg(feature = "acd")]
        self.schedule_acd();
        #[cfg(feature = "multicast")]
        self.schedule_groups();
    }

    fn link_down(&mut self, id: IfaceId) {
        log::debug!("interface {}: the link is down", id.index());
        let Some(Some(iface)) = self.ifaces.get_mut(id.index()) else { return };
        let waiting = iface.replies.len() + usize::from(iface.held.is_some()) + usize::from(iface.cutting.is_some());
        iface.replies.clear();
        (iface.held, iface.cutting, iface.announce) = (None, None, 0);
        for _ in 0..waiting {
            self.stats.drop(DropReason::LinkDown);
        }
        // Who is on the link when it is back is asked for anew. Connections that wait for one get their turns, in which
        // they see that there is no way.
        self.forget_neighbors(id, DropReason::LinkDown);
    }

    fn link_up(&mut self, id: IfaceId) {
        log::debug!("interface {}: the link is up", id.index());
        let Some(Some(iface)) = self.ifaces.get_mut(id.index()) else { return };
        // Switches and neighbours may have forgotten us, or be others. A conflict is seen, and met, as any (RFC 5227 §2.4).
        iface.announce = ((1_u32 << iface.addresses.len()) - 1) as u8;
        iface.readvertise = true;
        #[cfg(feature = "multicast")]
        iface.groups.tell_again(self.now, |_| true);
        #[cfg(feature = "tcp")]
        self.resume_connections(id);
    }
}

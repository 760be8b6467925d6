//! Raw Ethernet sockets for the user: whole frames, beside what the stack does with them itself.

use super::datagram::copy;
use super::{Iface, IfaceId, Reply, Stack};
use crate::device::Mac;
use crate::error::{BindError, GroupError, RecvError, SendError, Stale};
use crate::event::{Readiness, Wakers};
use crate::link::ethernet;
use crate::ready::Key;
pub use crate::sockets::ethernet::MAX_ETHERNET_GROUPS;
use crate::sockets::ethernet::{ANY_ETHERTYPE, Ethernet, EthernetHandle, EthernetOptions};
use crate::sockets::queue::Queued;
use crate::stats::DropReason;
use crate::wire::ethernet::{EthernetHeader, parse};
use core::task::Waker;
use heapless::Vec;

impl<'a> Stack<'a> {
    /// Opens a raw Ethernet socket on an interface.
    ///
    /// It receives copies of what the stack processes itself, too, but nothing that the stack or another socket sends. A
    /// frame that only such sockets know is not counted as dropped.
    ///
    /// # Errors
    /// `Invalid` when the interface is none or no Ethernet, for an EtherType below 0x600, or queues of length 0; else
    /// [`BindError`].
    pub fn ethernet_open(&mut self, id: IfaceId, options: &EthernetOptions) -> Result<EthernetHandle, BindError> {
        let EthernetOptions { ethertype, promiscuous, rx_queue, tx_queue } = *options;
        let is_possible = self.iface(id).is_some_and(Iface::is_ethernet)
            && ethertype.is_none_or(|e| e > ethernet::MAX_LENGTH.max(0x5ff))
            && rx_queue > 0
            && tx_queue > 0;
        if !is_possible {
            return Err(BindError::Invalid);
        }
        let ethertype = ethertype.unwrap_or(ANY_ETHERTYPE);
        let (rx, tx) = self.take_queues(rx_queue, tx_queue)?;
        let Ok(node) = self.sched.alloc(Key::Ethernet(0)) else {
            self.give_queues(rx, tx);
            return Err(BindError::Full);
        };
        let wakers = Wakers::new();
        let socket =
            Ethernet { node, iface: id, ethertype, promiscuous, groups: Vec::new(), rx, tx, dropped: 0, wakers };
        match self.ethernet.sockets.insert(socket) {
            Ok(handle) => {
                self.sched.set_key(node, Key::Ethernet(handle.index));
                self.ethernet.open += 1;
                if self.ethernet.bindings.insert(ethertype, handle.index).is_err() {
                    self.ethernet_remove(handle.index);
                    return Err(BindError::Full);
                }
                self.refilter.insert(id.index());
                Ok(EthernetHandle(handle))
            }
            Err(socket) => {
                self.give_queues(socket.rx, socket.tx);
                self.sched.free(node);
                Err(BindError::Full)
            }
        }
    }

    /// Sends `frame`, a whole one without FCS, its octets untouched. Shorter frames than the medium's shortest are padded
    /// by the device.
    ///
    /// # Errors
    /// `Malformed` when it is shorter than its header of 14 octets, `TooLong` when longer than the interface's MTU and
    /// header, `LinkDown`, `NoRoute` when the interface is gone; else [`SendError`].
    pub fn ethernet_send(&mut self, socket: EthernetHandle, frame: &[u8]) -> Result<(), SendError> {
        let state = self.ethernet.sockets.get(socket.0).ok_or(SendError::Stale)?;
        let (node, id) = (state.node, state.iface);
        if frame.len() < ethernet::HEADER {
            return Err(SendError::Malformed);
        }
        let iface = self.iface(id).ok_or(SendError::NoRoute)?;
        if frame.len() > iface.caps.ip_mtu + ethernet::HEADER {
            return Err(SendError::TooLong);
        }
        if !iface.is_up() {
            return Err(SendError::LinkDown);
        }
        if state.tx.is_full() {
            return Err(SendError::WouldBlock);
        }
        let reserve = self.config.reserve_rx.min(2);
        let mut own = iface.pool.take_above(reserve, iface.caps.headroom).ok_or(SendError::WouldBlock)?;
        own.extend(frame).ok_or(SendError::TooLong)?;
        let state = self.ethernet.sockets.get_mut(socket.0).ok_or(SendError::Stale)?;
        state.tx.push(Queued { frame: own, payload: 0, iface: id.0 }).map_err(|_| SendError::WouldBlock)?;
        self.sched.wake(node, id.index());
        Ok(())
    }

    /// Copies the oldest received frame to `buf`, header and padding and all, and gives its whole length, which is more
    /// than `buf`'s when it was cut off.
    ///
    /// # Errors
    /// [`RecvError`]; `WouldBlock` when there is none.
    pub fn ethernet_recv(&mut self, socket: EthernetHandle, buf: &mut [u8]) -> Result<usize, RecvError> {
        let state = self.ethernet.sockets.get_mut(socket.0).ok_or(RecvError::Stale)?;
        let item = state.rx.pop().ok_or(RecvError::WouldBlock)?;
        copy(buf, &item.frame);
        Ok(item.frame.len())
    }

    /// Received frames that were dropped because the queue was full or the pool low.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn ethernet_dropped(&self, socket: EthernetHandle) -> Result<usize, Stale> {
        self.ethernet.sockets.get(socket.0).map(|s| s.dropped).ok_or(Stale::Handle)
    }

    /// Has the device receive frames to a group, too. Frames to other groups that come nevertheless are not held back.
    ///
    /// # Errors
    /// `NotAGroup`; `Full` with [`MAX_ETHERNET_GROUPS`] others; `NoInterface` when the socket is closed.
    pub fn ethernet_join(&mut self, socket: EthernetHandle, group: Mac) -> Result<(), GroupError> {
        let state = self.ethernet.sockets.get_mut(socket.0).ok_or(GroupError::NoInterface)?;
        if !group.is_group() {
            return Err(GroupError::NotAGroup);
        }
        if !state.groups.contains(&group) {
            state.groups.push(group).map_err(|_| GroupError::Full)?;
            let id = state.iface;
            self.groups_changed(id);
        }
        Ok(())
    }

    /// Takes [`ethernet_join`](Self::ethernet_join) back.
    ///
    /// # Errors
    /// `NotJoined`; `NoInterface` when the socket is closed.
    pub fn ethernet_leave(&mut self, socket: EthernetHandle, group: Mac) -> Result<(), GroupError> {
        let state = self.ethernet.sockets.get_mut(socket.0).ok_or(GroupError::NoInterface)?;
        let at = state.groups.iter().position(|g| *g == group).ok_or(GroupError::NotJoined)?;
        state.groups.swap_remove(at);
        let id = state.iface;
        self.groups_changed(id);
        Ok(())
    }

    /// Wakes `waker` once the socket is ready for `interest`.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn ethernet_register(
        &mut self,
        socket: EthernetHandle,
        interest: Readiness,
        waker: &Waker,
    ) -> Result<(), Stale> {
        let state = self.ethernet.sockets.get_mut(socket.0).ok_or(Stale::Handle)?;
        state.wakers.register(interest, waker);
        Ok(())
    }

    /// Closes a raw Ethernet socket. What it has yet to send is handed to the interface, as far as there is room.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn ethernet_close(&mut self, socket: EthernetHandle) -> Result<(), Stale> {
        let id = self.ethernet.sockets.get(socket.0).ok_or(Stale::Handle)?.iface;
        while let Some(item) = self.ethernet.sockets.get_mut(socket.0).and_then(|s| s.tx.pop()) {
            self.queue_reply(id, Reply::Link(item.frame));
        }
        self.ethernet_remove(socket.0.index);
        Ok(())
    }

    fn ethernet_remove(&mut self, index: u32) {
        let Some(socket) = self.ethernet.sockets.remove_at(index) else { return };
        self.ethernet.open -= 1;
        self.ethernet.bindings.remove(socket.ethertype, index);
        self.sched.free(socket.node);
        self.refilter.insert(socket.iface.index());
        self.groups_changed(socket.iface);
        self.give_queues(socket.rx, socket.tx);
    }

    /// Copies a received frame to the sockets that want it; whether one does.
    #[cold]
    #[inline(never)]
    pub(crate) fn copy_to_ethernet(&mut self, id: IfaceId, frame: &[u8]) -> bool {
        let Ok(EthernetHeader { dst, src: _, ethertype }) = parse(frame) else { return false };
        let for_others = !dst.is_group() && self.iface(id).is_none_or(|i| i.mac != dst);
        let named = (ethertype > ethernet::MAX_LENGTH).then_some(ethertype);
        let mut wanted = false;
        for binding in [named, Some(ANY_ETHERTYPE)].into_iter().flatten() {
            let mut last = None;
            while let Some(index) = self.ethernet.next_member(last, binding) {
                last = Some(index);
                wanted |= self.ethernet_deliver(id, index, for_others, frame);
            }
        }
        wanted
    }

    fn ethernet_deliver(&mut self, id: IfaceId, index: u32, for_others: bool, frame: &[u8]) -> bool {
        let pool = self.iface(id).map(|i| i.pool);
        let (Some(socket), Some(pool)) = (self.ethernet.sockets.at_mut(index), pool) else { return false };
        if socket.iface != id || for_others && !socket.promiscuous {
            return false;
        }
        let copied = match socket.rx.is_full() {
            true => Err(DropReason::SocketQueueFull),
            false => {
                let own = pool.take_above(self.config.reserve_rx, 0);
                own.and_then(|mut own| own.extend(frame).map(|()| own)).ok_or(DropReason::PoolLow)
            }
        };
        match copied.map(|frame| socket.rx.push(Queued { frame, payload: 0, iface: id.0 })) {
            Ok(_there_was_room) => self.sched.post(socket.node, Readiness::READ),
            Err(reason) => {
                socket.dropped = socket.dropped.wrapping_add(1);
                self.stats.drop(reason);
            }
        }
        true
    }
}

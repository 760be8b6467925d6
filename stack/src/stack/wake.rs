//! Telling users what changed: events, and the wakers of who waits.

#[cfg(feature = "carrier")]
use super::IfaceId;
use super::Stack;
use crate::event::{Readiness, Wakers};
#[cfg(feature = "icmp")]
use crate::icmp::IcmpHandle;
use crate::ready::Key;
#[cfg(feature = "raw-ethernet")]
use crate::sockets::EthernetHandle;
#[cfg(feature = "raw")]
use crate::sockets::RawHandle;
#[cfg(feature = "udp")]
use crate::sockets::UdpHandle;
#[cfg(feature = "tcp")]
use crate::tcp::{ListenerHandle, TcpHandle};
use core::task::Waker;

/// Names any socket, or what else has events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SocketId {
    /// A TCP connection.
    #[cfg(feature = "tcp")]
    Tcp(TcpHandle),
    /// A TCP listener.
    #[cfg(feature = "tcp")]
    Listener(ListenerHandle),
    /// A UDP socket.
    #[cfg(feature = "udp")]
    Udp(UdpHandle),
    /// A raw IP socket.
    #[cfg(feature = "raw")]
    Raw(RawHandle),
    /// A raw Ethernet socket.
    #[cfg(feature = "raw-ethernet")]
    Ethernet(EthernetHandle),
    /// An ICMP echo socket.
    #[cfg(feature = "icmp")]
    Icmp(IcmpHandle),
    /// No socket, but an interface: its link went up or down ([`Readiness::LINK`]).
    #[cfg(feature = "carrier")]
    Interface(IfaceId),
}

/// Something changed for a socket.
#[derive(Debug)]
#[must_use = "wakers are woken by `wake` only"]
pub struct Event {
    /// Whose readiness changed.
    pub socket: SocketId,
    /// What it is ready for now.
    pub what: Readiness,
    wakers: [Option<Waker>; 2],
}

impl Event {
    /// Whether a task registered for this.
    pub fn is_awaited(&self) -> bool {
        self.wakers.iter().any(Option::is_some)
    }

    /// Wakes the tasks that registered for this. To be called when the stack is not borrowed, for a woken task may
    /// want it.
    pub fn wake(self) {
        for waker in self.wakers.into_iter().flatten() {
            waker.wake();
        }
    }
}

impl<'a> Stack<'a> {
    /// The oldest event not yet told; several of one socket are told as one.
    ///
    /// An event is an edge: it says that something has become possible, and is not repeated while it stays so.
    pub fn next_event(&mut self) -> Option<Event> {
        #[cfg(feature = "carrier")]
        if !self.link_events.is_empty()
            && let Some(event) = self.link_event()
        {
            return Some(event);
        }
        while let Some((key, what)) = self.sched.pop_event() {
            if let Some(event) = self.event(key, what) {
                return Some(event);
            }
        }
        None
    }

    #[cfg(feature = "carrier")]
    fn link_event(&mut self) -> Option<Event> {
        let id = self.link_events.iter().next()?;
        self.link_events.take(id);
        let waker = self.ifaces.get_mut(id.index())?.as_mut()?.link_waker.take();
        Some(Event { socket: SocketId::Interface(id), what: Readiness::LINK, wakers: [waker, None] })
    }

    fn event(&mut self, key: Key, what: Readiness) -> Option<Event> {
        let (socket, wakers): (SocketId, &mut Wakers) = match key {
            #[cfg(feature = "tcp")]
            Key::Tcp(i) => {
                let handle = self.tcp.conns.handle(i)?;
                (SocketId::Tcp(TcpHandle(handle)), &mut self.tcp.conns.at_mut(i)?.wakers)
            }
            #[cfg(feature = "tcp")]
            Key::Listener(i) => {
                let handle = self.tcp.listeners.handle(i)?;
                (SocketId::Listener(ListenerHandle(handle)), &mut self.tcp.listeners.at_mut(i)?.wakers)
            }
            #[cfg(feature = "udp")]
            Key::Udp(i) => {
                let handle = self.udp.sockets.handle(i)?;
                (SocketId::Udp(UdpHandle(handle)), &mut self.udp.sockets.at_mut(i)?.wakers)
            }
            #[cfg(feature = "raw")]
            Key::Raw(i) => {
                let handle = self.raw.sockets.handle(i)?;
                (SocketId::Raw(RawHandle(handle)), &mut self.raw.sockets.at_mut(i)?.wakers)
            }
            #[cfg(feature = "raw-ethernet")]
            Key::Ethernet(i) => {
                let handle = self.ethernet.sockets.handle(i)?;
                (SocketId::Ethernet(EthernetHandle(handle)), &mut self.ethernet.sockets.at_mut(i)?.wakers)
            }
            #[cfg(feature = "icmp")]
            Key::Icmp(i) => {
                let handle = self.echo.sockets.handle(i)?;
                (SocketId::Icmp(IcmpHandle(handle)), &mut self.echo.sockets.at_mut(i)?.wakers)
            }
            _ => return None,
        };
        Some(Event { socket, what, wakers: wakers.take(what) })
    }
}

//! TCP for the user: listen, connect, accept, and a connection's view.
//!
//! Implements the calls of RFC 9293 §3.9.1 in the manner of sockets: none blocks; each says `WouldBlock` when it is not
//! its time yet, and an event or waker tells when it is.

use super::zone::zone_of;
use super::{IfaceId, Stack};
use crate::error::{AcceptError, BindError, ConnectError, Full, Stale, TcpError};
use crate::event::{Readiness, Wakers};
use crate::family::{self, IpAddr};
use crate::ip::addr;
use crate::ready::Key;
use crate::sockets::demux::{Target, Tuple};
use crate::sockets::ports;
use crate::tcp::conn::{Buffers, Conn, Verdict};
use crate::tcp::info::{SoftError, TcpInfo};
use crate::tcp::layer::{ConnectOptions, Entry, ListenEntry, ListenOptions, ListenerHandle, Owner, TcpHandle, is_self};
use crate::tcp::options::TcpOptions;
use crate::tcp::rcv::{room_for, window_of};
use crate::tcp::state::State;
use core::net::{IpAddr as AnyAddr, SocketAddr};
use core::task::Waker;

impl<'a> Stack<'a> {
    /// Accepts connections to `port` at `addr`, or at any address of the stack.
    ///
    /// # Errors
    /// [`BindError`]: port 0 or an empty backlog is `Invalid`; a foreign address, an overlap with another listener, and a
    /// full table have errors of their own.
    pub fn tcp_listen(
        &mut self,
        addr: Option<AnyAddr>,
        port: u16,
        options: &ListenOptions,
    ) -> Result<ListenerHandle, BindError> {
        if port == 0 || options.backlog == 0 || !options.tcp.is_valid() {
            return Err(BindError::Invalid);
        }
        // A SYN|ACK must not promise a window that no buffer of ours has.
        let mut options = *options;
        let tcp = &mut options.tcp;
        for window in [&mut tcp.rx_buffer, &mut tcp.rx_buffer_max] {
            *window = window_of(room_for(*window).min(self.tcp.rx_most));
        }
        let options = &options;
        let addr = family::any_inside(addr).ok_or(BindError::NotOurAddress)?;
        if addr.is_some_and(|a| !self.is_ours(a)) {
            return Err(BindError::NotOurAddress);
        }
        if self.tcp.overlaps(addr, port) {
            return Err(BindError::InUse);
        }
        let listener = self.new_listener(options)?;
        let node = self.sched.alloc(Key::Listener(0)).map_err(|_| BindError::Full)?;
        let entry = ListenEntry { listener, node, local: addr, port, options: *options, wakers: Wakers::new() };
        let handle = match self.tcp.listeners.insert(entry) {
            Ok(handle) => handle,
            Err(entry) => {
                self.discard_listener(entry.listener);
                self.sched.free(node);
                return Err(BindError::Full);
            }
        };
        self.sched.set_key(node, Key::Listener(handle.index));
        if self.tcp.bindings.insert(port, handle.index).is_err() {
            self.listener_remove(handle.index);
            return Err(BindError::Full);
        }
        Ok(ListenerHandle(handle))
    }

    /// The oldest connection that waits, and who opened it.
    ///
    /// # Errors
    /// `WouldBlock` when nobody waits; `Stale` when the listener is closed.
    pub fn tcp_accept(&mut self, listener: ListenerHandle) -> Result<(TcpHandle, SocketAddr), AcceptError> {
        self.tcp.listeners.get(listener.0).ok_or(AcceptError::Stale)?;
        let index = self.next_accepted(listener.0.index).ok_or(AcceptError::WouldBlock)?;
        let conn = self.tcp.conns.at_mut(index).ok_or(AcceptError::WouldBlock)?;
        conn.owner = Owner::User;
        let tuple = conn.conn.tuple();
        let handle = self.tcp.conns.handle(index).ok_or(AcceptError::WouldBlock)?;
        Ok((TcpHandle(handle), family::socket(tuple.remote_addr, tuple.remote_port)))
    }

    /// Whether a connection waits to be accepted.
    pub fn tcp_acceptable(&self, listener: ListenerHandle) -> bool {
        self.tcp.listeners.get(listener.0).is_some() && self.has_accepted(listener.0.index)
    }

    /// Stops listening. Handshakes under way are forgotten; connections that nobody accepted are reset.
    ///
    /// # Errors
    /// [`Stale`] when it was closed before.
    pub fn tcp_unlisten(&mut self, listener: ListenerHandle) -> Result<(), Stale> {
        self.tcp.listeners.get(listener.0).ok_or(Stale::Handle)?;
        while let Some(index) = self.next_accepted(listener.0.index) {
            self.tcp_abort(index);
        }
        #[cfg(not(feature = "syn-queue"))]
        self.end_handshakes(listener.0.index);
        self.listener_remove(listener.0.index);
        Ok(())
    }

    /// Wakes `waker` once a connection can be accepted.
    ///
    /// # Errors
    /// [`Stale`] when the listener is closed.
    pub fn tcp_accept_register(&mut self, listener: ListenerHandle, waker: &Waker) -> Result<(), Stale> {
        let entry = self.tcp.listeners.get_mut(listener.0).ok_or(Stale::Handle)?;
        entry.wakers.register(Readiness::ACCEPT, waker);
        Ok(())
    }

    /// Opens a connection to `remote`. The handle is good at once; the `CONNECTED` event, or the first successful
    /// write, tells when the connection is established.
    ///
    /// # Errors
    /// [`ConnectError`]; no packet was sent then (RFC 9293 §3.9.1.1, MUST-46).
    pub fn tcp_connect(&mut self, remote: SocketAddr, options: &ConnectOptions) -> Result<TcpHandle, ConnectError> {
        if !options.tcp.is_valid() {
            return Err(ConnectError::Invalid);
        }
        let (iface, tuple) = self.connect_tuple(remote, options)?;
        let mss = self.mss(iface, tuple.remote_addr);
        let buffers = self.take_buffers(&options.tcp).ok_or(ConnectError::NoBuffer)?;
        let conn = Conn::connect(tuple, &options.tcp, buffers, mss);
        let before = self.time_wait_to_follow(&tuple);
        let index = self.add_connection(conn, iface, Owner::User).map_err(|_| ConnectError::Full)?;
        if let Some(before) = before {
            self.end_time_wait(before, &tuple);
        }
        let node = self.tcp.conns.at(index).map(|e| e.node);
        if let Some(node) = node {
            self.sched.wake(node, iface.index());
        }
        let handle = self.tcp.conns.handle(index).ok_or(ConnectError::Full)?;
        Ok(TcpHandle(handle))
    }

    /// The 4-tuple of a new connection, and the interface it goes by.
    fn connect_tuple(
        &mut self,
        remote: SocketAddr,
        options: &ConnectOptions,
    ) -> Result<(IfaceId, Tuple), ConnectError> {
        let to = family::inside(remote.ip()).ok_or(ConnectError::InvalidRemote)?;
        let is_host = addr::is_unicast_host(to) && !self.is_any_broadcast(to);
        // Loopback addresses are no host's on a wire, and ours inside.
        if remote.port() == 0 || !(is_host || (cfg!(feature = "loopback") && to.is_loopback())) {
            return Err(ConnectError::InvalidRemote);
        }
        let zone = family::socket_inside(remote).and_then(zone_of);
        let (iface, source) = self.source_in(zone, to).ok_or(ConnectError::NoRoute)?;
        #[cfg(feature = "temporary-addresses")]
        let source = self.source_as(to, zone, options.source).unwrap_or(source);
        let local = match family::any_inside(options.local).ok_or(ConnectError::NotOurAddress)? {
            Some(local) if local.is_unspecified() => source,
            Some(local) if local.is_ipv4() != to.is_ipv4() || !self.may_send(local, to) => {
                return Err(ConnectError::NotOurAddress);
            }
            Some(local) => local,
            None => source,
        };
        #[cfg(feature = "strong-host")]
        let iface = match zone.is_none() && self.is_held_to_source(local) {
            true => self.source_from(Some(local), to).ok_or(ConnectError::NoRoute)?.0,
            false => iface,
        };
        let mut tuple =
            Tuple { local_addr: local, local_port: options.local_port, remote_addr: to, remote_port: remote.port() };
        if tuple.local_port == 0 {
            let port = self.ephemeral(&tuple, false);
            let port = port.or_else(|| if options.tcp.timestamps { self.ephemeral(&tuple, true) } else { None });
            tuple.local_port = port.ok_or(ConnectError::NoPort)?;
        } else if self.is_taken(&tuple, options.tcp.timestamps) || is_self(&tuple) {
            return Err(ConnectError::InUse);
        }
        Ok((iface, tuple))
    }

    /// Whether there is a connection of this 4-tuple that a new one, `follows` allowing that, may not follow.
    fn is_taken(&self, tuple: &Tuple, follows: bool) -> bool {
        self.tcp.find(self.tcp.hash(tuple), tuple).is_some() && !(follows && self.time_wait_to_follow(tuple).is_some())
    }

    /// A free local port for a connection to `tuple`'s remote end (RFC 6056), or, if there is none, one that may follow
    /// another connection.
    fn ephemeral(&mut self, tuple: &Tuple, follows: bool) -> Option<u16> {
        let start = self.tcp.ports.start();
        ports::first_free(start, |port| {
            let candidate = Tuple { local_port: port, ..*tuple };
            self.is_taken(&candidate, follows)
                || self.tcp.overlaps(Some(candidate.local_addr), port)
                || is_self(&candidate)
        })
    }

    /// A connection's view.
    ///
    /// # Errors
    /// [`Stale`] when it was closed.
    pub fn tcp(&mut self, handle: TcpHandle) -> Result<TcpSocket<'_, 'a>, Stale> {
        // One that was closed may still deliver, but is nobody's.
        self.tcp.conns.get(handle.0).filter(|entry| entry.owner != Owner::Nobody).ok_or(Stale::Handle)?;
        Ok(TcpSocket { stack: self, index: handle.0.index })
    }

    /// TCP connections, those that users have closed and that still deliver included.
    pub fn tcp_connections(&self) -> usize {
        self.tcp.conns.len()
    }

    /// The largest TCP text in one segment on an interface, options aside (RFC 9293 §3.7.1): the MTU less both fixed
    /// headers.
    pub(crate) fn mss(&self, id: IfaceId, remote: IpAddr) -> u16 {
        let headers = if remote.is_ipv4() { 40 } else { 60 };
        let mtu = self.iface(id).map_or(0, |iface| iface.mtu_towards(remote));
        mtu.saturating_sub(headers) as u16
    }

    /// Connections from `ip` end, and handshakes with it are forgotten: it is not ours any more.
    pub(super) fn address_gone(&mut self, ip: IpAddr) {
        #[cfg(feature = "syn-queue")]
        self.forget_handshakes(ip);
        self.end_connections(|_, local| local == ip);
    }

    /// As [`address_gone`](Self::address_gone), of all addresses that are not ours any more. Handshakes with them end when a
    /// SYN|ACK is to be sent.
    #[cfg(feature = "any-address")]
    pub(super) fn end_strangers(&mut self) {
        self.end_connections(|stack, local| !stack.is_ours(local));
    }

    fn end_connections(&mut self, is_gone: impl Fn(&Self, IpAddr) -> bool) {
        let mut next = self.tcp.conns.next_index(0);
        while let Some(index) = next {
            next = self.tcp.conns.next_index(index + 1);
            let Some(entry) = self.tcp.conns.at(index).filter(|entry| entry.linked) else { continue };
            if is_gone(self, entry.conn.tuple().local_addr)
                && let Some(entry) = self.tcp.conns.at_mut(index)
            {
                let verdict = entry.conn.on_address_gone();
                self.settle(index, &verdict);
            }
        }
    }

    /// Connections that go by an interface that is gone look for their way on `other`.
    pub(super) fn move_connections(&mut self, gone: IfaceId, other: IfaceId) {
        let mut next = self.tcp.conns.next_index(0);
        while let Some(index) = next {
            next = self.tcp.conns.next_index(index + 1);
            if let Some(entry) = self.tcp.conns.at_mut(index).filter(|e| e.iface == gone) {
                entry.iface = other;
                entry.neighbor = None;
            }
        }
    }

    /// The link of an interface is up again: its connections go on at once.
    #[cfg(feature = "carrier")]
    pub(super) fn resume_connections(&mut self, id: IfaceId) {
        let mut next = self.tcp.conns.next_index(0);
        while let Some(index) = next {
            next = self.tcp.conns.next_index(index + 1);
            if let Some(entry) = self.tcp.conns.at_mut(index).filter(|e| e.iface == id) {
                let verdict = entry.conn.on_link_up(self.now);
                self.after_call(index, verdict);
            }
        }
    }

    /// Buffers for a connection with these options. Where a SYN or TIME-WAIT takes a connection, one of those may have to
    /// make way.
    pub(crate) fn take_buffers(&mut self, options: &TcpOptions) -> Option<Buffers<'a>> {
        #[cfg(not(all(feature = "syn-queue", feature = "time-wait")))]
        if self.tcp.conns.is_full() {
            self.make_room();
        }
        self.tcp.take_buffers(options)
    }

    /// Puts a new connection into the tables; on failure its buffers are back in stock.
    pub(crate) fn add_connection(&mut self, conn: Conn<'a>, iface: IfaceId, owner: Owner) -> Result<u32, Full> {
        #[cfg(not(feature = "time-wait"))]
        let conn = conn.resting_for(self.config.time_wait);
        let hash = self.tcp.hash(&conn.tuple());
        let Ok(node) = self.sched.alloc(Key::Tcp(0)) else {
            self.tcp.give_back(conn);
            return Err(Full::Table);
        };
        let wakers = Wakers::new();
        let entry = Entry {
            conn,
            node,
            hash,
            iface,
            neighbor: None,
            owner,
            linked: true,
            #[cfg(feature = "tuning")]
            beyond: 0,
            called: true,
            #[cfg(feature = "gso")]
            ahead: 0,
            wakers,
        };
        let handle = match self.tcp.conns.insert(entry) {
            Ok(handle) => handle,
            Err(entry) => {
                self.tcp.give_back(entry.conn);
                self.sched.free(node);
                return Err(Full::Table);
            }
        };
        self.sched.set_key(node, Key::Tcp(handle.index));
        if self.tcp.demux.insert(hash, Target::Conn(handle.index).pack()).is_err() {
            self.free_connection(handle.index);
            return Err(Full::Table);
        }
        Ok(handle.index)
    }

    /// The connection's protocol is over: its entry goes with its last owner.
    pub(crate) fn ended(&mut self, index: u32) {
        self.unlink(index);
        let Some(entry) = self.tcp.conns.at(index) else { return };
        let (node, owner) = (entry.node, entry.owner);
        self.sched.cancel_deadline(node);
        match owner {
            Owner::User => self.sched.post(node, Readiness::CLOSED | Readiness::READ | Readiness::WRITE),
            Owner::Nobody | Owner::Handshake(_) => self.free_connection(index),
            Owner::Queue(_) => {
                // What the peer sent before it closed is still to be read; a reset connection is not offered.
                if entry.conn.error().is_some() {
                    self.free_connection(index);
                }
            }
        }
    }

    pub(super) fn unlink(&mut self, index: u32) {
        if let Some(entry) = self.tcp.conns.at_mut(index)
            && core::mem::take(&mut entry.linked)
        {
            let hash = entry.hash;
            self.tcp.demux.remove(hash, Target::Conn(index).pack());
        }
    }

    pub(super) fn free_connection(&mut self, index: u32) {
        self.unlink(index);
        let Some(entry) = self.tcp.conns.remove_at(index) else { return };
        match entry.owner {
            Owner::Nobody => self.tcp.orphans -= 1,
            Owner::Handshake(listener) | Owner::Queue(listener) => self.leave_accepted(listener, index),
            Owner::User => {}
        }
        #[cfg(feature = "tuning")]
        {
            self.tcp.beyond -= entry.beyond;
        }
        self.sched.free(entry.node);
        self.tcp.give_back(entry.conn);
    }

    fn listener_remove(&mut self, index: u32) {
        let Some(entry) = self.tcp.listeners.remove_at(index) else { return };
        self.tcp.bindings.remove(entry.port, index);
        self.sched.free(entry.node);
        self.discard_listener(entry.listener);
    }

    pub(super) fn tcp_abort(&mut self, index: u32) {
        let Some(entry) = self.tcp.conns.at_mut(index) else { return };
        entry.owner = Owner::Nobody;
        self.tcp.orphans += 1;
        let verdict = entry.conn.abort();
        self.after_call(index, verdict);
    }

    /// After every call of the user's: what the connection owes now gets its turn.
    pub(crate) fn after_call(&mut self, index: u32, verdict: Verdict) {
        let Some(entry) = self.tcp.conns.at_mut(index) else { return };
        entry.called = true;
        // Calls take no time: a clock that one starts begins with the connection's next turn.
        let (node, iface) = (entry.node, entry.iface);
        self.sched.wake(node, iface.index());
        self.settle(index, &verdict);
    }

    pub(crate) fn tcp_deadline(&mut self, index: u32) {
        let Some(entry) = self.tcp.conns.at_mut(index) else { return };
        let verdict = entry.conn.on_deadline(self.now);
        self.after_call(index, verdict);
    }
}

/// A view of a connection, for as long as the stack is borrowed.
pub struct TcpSocket<'s, 'a> {
    stack: &'s mut Stack<'a>,
    index: u32,
}

impl<'a> TcpSocket<'_, 'a> {
    fn conn(&self) -> Result<&Conn<'a>, TcpError> {
        self.stack.tcp.conns.at(self.index).map(|e| &e.conn).ok_or(TcpError::Stale)
    }

    /// Does something with the connection, and gives it a turn if it owes something then, or if what was done may have
    /// started a clock.
    fn act<R>(
        &mut self,
        starts_clocks: bool,
        f: impl FnOnce(&mut Conn<'a>) -> Result<R, TcpError>,
    ) -> Result<R, TcpError> {
        let stack = &mut *self.stack;
        let entry = stack.tcp.conns.at_mut(self.index).ok_or(TcpError::Stale)?;
        let result = f(&mut entry.conn)?;
        entry.called |= starts_clocks;
        if starts_clocks || entry.conn.owes(stack.now) {
            let (node, iface) = (entry.node, entry.iface);
            stack.sched.wake(node, iface.index());
        }
        Ok(result)
    }

    /// Reads what has come, at most `buf.len()` octets; `Ok(0)` is the end (for a non-empty `buf`).
    ///
    /// # Errors
    /// `WouldBlock` when nothing has come; how the connection ended, once all is read.
    pub fn read(&mut self, buf: &mut [u8]) -> Result<usize, TcpError> {
        self.act(false, |conn| conn.read(buf))
    }

    /// Gives `f` what has come, without a copy; it answers how many octets it has used.
    ///
    /// `f` sees an empty slice at the end. Text that wraps in the ring is given in two calls.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_with<R>(&mut self, f: impl FnOnce(&[u8]) -> (usize, R)) -> Result<R, TcpError> {
        self.act(false, |conn| conn.read_with(f))
    }

    /// As [`read`](Self::read), but what is read stays to be read again.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn peek(&self, buf: &mut [u8]) -> Result<usize, TcpError> {
        self.conn()?.peek(buf)
    }

    /// Octets that can be read at once.
    pub fn unread(&self) -> usize {
        self.conn().map_or(0, Conn::unread)
    }

    /// Gives the memory of empty buffers back, where they grow: for a connection that went quiet. They grow again with
    /// the next octet.
    pub fn trim(&mut self) {
        if let Some(entry) = self.stack.tcp.conns.at_mut(self.index) {
            entry.conn.trim();
        }
    }

    /// Queues as much of `data` as there is room for, and says how much.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room (or the connection is not established yet); `Closed` after
    /// [`shutdown_write`](Self::shutdown_write); how the connection ended.
    pub fn write(&mut self, data: &[u8]) -> Result<usize, TcpError> {
        self.act(true, |conn| conn.write(data))
    }

    /// Gives `f` room in the send buffer to fill; it answers how many octets it has filled.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_with<R>(&mut self, f: impl FnOnce(&mut [u8]) -> (usize, R)) -> Result<R, TcpError> {
        self.act(true, |conn| conn.write_with(f))
    }

    /// Octets of urgent text that are still to be read (RFC 9293 §3.8.5); 0 when there is none, or it is read. They are
    /// part of the stream, and come before what is not urgent; some may not have come yet. `Readiness::URGENT` tells that
    /// there are more than before.
    ///
    /// RFC 6093 §5 advises new applications against urgent text.
    #[cfg(feature = "urgent")]
    pub fn urgent(&self) -> usize {
        self.conn().map_or(0, Conn::urgent)
    }

    /// As [`write`](Self::write), and tells the peer that all that is queued up to here is urgent, at once even if its
    /// window is closed. What lies more than 65,535 octets ahead is told once it is nearer.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    #[cfg(feature = "urgent")]
    pub fn write_urgent(&mut self, data: &[u8]) -> Result<usize, TcpError> {
        self.act(true, |conn| conn.write_urgent(data))
    }

    /// Ends this direction: the peer reads what is queued, then the end. Reading goes on.
    ///
    /// # Errors
    /// How the connection ended, if it has.
    pub fn shutdown_write(&mut self) -> Result<(), TcpError> {
        self.act(true, |conn| {
            conn.shutdown_write();
            Ok(())
        })
    }

    /// Gives the connection up: what was accepted for sending is delivered, within the option `linger`, and the handle
    /// is stale. With unread text, the peer is told by a reset (RFC 9293 §3.6.1, SHLD-3); it is, too, when there are
    /// `Config::orphans` such connections already.
    pub fn close(self) {
        let Self { stack, index } = self;
        let Some(entry) = stack.tcp.conns.at_mut(index) else { return };
        entry.wakers = Wakers::new();
        if !entry.linked {
            return stack.free_connection(index);
        }
        if stack.tcp.orphans >= stack.config.orphans {
            stack.stats.tcp_orphans_reset = stack.stats.tcp_orphans_reset.wrapping_add(1);
            return stack.tcp_abort(index);
        }
        entry.owner = Owner::Nobody;
        stack.tcp.orphans += 1;
        let verdict = entry.conn.close();
        stack.after_call(index, verdict);
    }

    /// Resets the connection at once; the handle is stale.
    pub fn abort(self) {
        if self.stack.tcp.conns.at(self.index).is_some_and(|e| !e.linked) {
            return self.stack.free_connection(self.index);
        }
        self.stack.tcp_abort(self.index);
    }

    /// The state of RFC 9293 §3.3.2; `Closed` once it has ended.
    pub fn state(&self) -> State {
        self.conn().map_or(State::Closed, Conn::state)
    }

    /// Our end.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        let tuple = self.conn().ok()?.tuple();
        Some(family::socket(tuple.local_addr, tuple.local_port))
    }

    /// The peer's end.
    pub fn remote_addr(&self) -> Option<SocketAddr> {
        let tuple = self.conn().ok()?.tuple();
        Some(family::socket(tuple.remote_addr, tuple.remote_port))
    }

    /// Whether `read` would not say `WouldBlock`.
    pub fn readable(&self) -> bool {
        self.conn().is_ok_and(Conn::readable)
    }

    /// Whether `write` would not say `WouldBlock`.
    pub fn writable(&self) -> bool {
        self.conn().is_ok_and(Conn::writable)
    }

    /// Octets queued that the peer has not acknowledged.
    pub fn unacknowledged(&self) -> usize {
        self.conn().map_or(0, Conn::unsent)
    }

    /// How the connection ended, if not by both sides closing.
    pub fn error(&self) -> Option<TcpError> {
        self.conn().ok()?.error()
    }

    /// A fault that the connection has met and survived so far, told once.
    pub fn take_soft_error(&mut self) -> Option<SoftError> {
        self.stack.tcp.conns.at_mut(self.index)?.conn.take_soft_error()
    }

    /// The differentiated services code point of each packet from now on, 0..=63 (RFC 9293 §3.9.1.9, SHLD-21).
    ///
    /// # Errors
    /// `Invalid` for a greater one: nothing has changed.
    pub fn set_dscp(&mut self, dscp: u8) -> Result<(), ConnectError> {
        if dscp > 63 {
            return Err(ConnectError::Invalid);
        }
        if let Some(entry) = self.stack.tcp.conns.at_mut(self.index) {
            entry.conn.set_dscp(dscp);
        }
        Ok(())
    }

    /// Numbers about the connection.
    ///
    /// # Errors
    /// `Stale` after close.
    pub fn info(&self) -> Result<TcpInfo, TcpError> {
        self.conn().map(Conn::info)
    }

    /// Wakes `waker` once when the connection becomes ready for `interest`.
    pub fn register(&mut self, interest: Readiness, waker: &Waker) {
        if let Some(entry) = self.stack.tcp.conns.at_mut(self.index) {
            entry.wakers.register(interest, waker);
        }
    }
}

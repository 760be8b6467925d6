//! The client on a stack: its socket, the probe of its address, and what it configures.

use super::client::{Action, Client, DhcpOptions, Outgoing};
use super::lease::Lease;
use super::message::{CLIENT_PORT, ROOM, SERVER_PORT};
use crate::device::Link;
use crate::error::{BindError, RecvError};
use crate::ip::addr::Cidr;
use crate::ip::route::Route;
use crate::rng::{Purpose, Rng};
use crate::sockets::{UdpHandle, UdpOptions};
use crate::stack::{IfaceId, ProbeState, ProbeTiming, SocketId, Stack};
use crate::time::{Duration, Instant};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

/// How often a running probe is looked at: its end is no event.
const LOOK: Duration = Duration::from_millis(50);

/// How long a message may take to leave that gives the address back, with which it is sent.
const GOODBYE: Duration = Duration::from_millis(500);

/// What a client tells its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum DhcpEvent {
    /// The interface has an address; [`DhcpClient::lease`] tells the rest.
    Configured,
    /// The lease is renewed; routes and name servers may have changed.
    Renewed,
    /// The lease is over: address, routes and name servers are gone.
    Lost,
}

/// A DHCP client for one Ethernet interface of a stack.
///
/// # Contract
/// - Call [`poll`](Self::poll) after each [`Stack::poll`], at [`deadline`](Self::deadline) at the latest, until it gives
///   `None`; no waker of the stack's knows of it.
/// - What it has configured it takes away by itself; other addresses and routes are left alone.
pub struct DhcpClient {
    client: Client,
    iface: IfaceId,
    socket: UdpHandle,
    probing: Option<Ipv4Addr>,
    timing: ProbeTiming,
    /// The interface's link, as last looked at.
    link: Link,
    /// What is configured now.
    configured: Option<Lease>,
    /// Which of its routes are ours, by place (bit set): one that was there before stays when the lease goes.
    routes: u8,
    look: Option<Instant>,
    /// When a lease that was given back is taken off the interface.
    leaving: Option<Instant>,
}

impl DhcpClient {
    /// A client for `iface`, which begins soon.
    ///
    /// # Errors
    /// `Invalid` for an interface that is no Ethernet; else as [`Stack::udp_bind`]: one client to an interface.
    pub fn start(
        stack: &mut Stack<'_>,
        now: Instant,
        iface: IfaceId,
        options: &DhcpOptions<'_>,
    ) -> Result<Self, BindError> {
        let view = stack.interfaces().find(|i| i.id == iface).ok_or(BindError::Invalid)?;
        let (mac, mtu) = (view.mac.ok_or(BindError::Invalid)?, view.mtu);
        let udp = UdpOptions { broadcast: true, iface: Some(iface), rx_queue: 4, tx_queue: 4, ..UdpOptions::default() };
        let socket = stack.udp_bind(None, CLIENT_PORT, &udp)?;
        // Each client draws from a stretch of its own of one sequence, one that is started again as well.
        let from = stack.rng.next_u64();
        let rng = Rng::starting(&stack.config.secret, Purpose::Dhcp, from);
        let client = Client::new(now, mac, mtu, options, rng);
        let (probing, configured, look, leaving) = (None, None, None, None);
        let (timing, link) = (options.probing, Link::Up);
        Ok(Self { client, iface, socket, probing, timing, link, configured, routes: 0, look, leaving })
    }

    /// Does what is due, and tells what has changed; to be called until that is nothing.
    pub fn poll(&mut self, stack: &mut Stack<'_>, now: Instant) -> Option<DhcpEvent> {
        if self.leaving.is_some_and(|at| at <= now) {
            self.leaving = None;
            self.deconfigure(stack);
            return Some(DhcpEvent::Lost);
        }
        self.look_at_link(stack, now);
        self.receive(stack, now);
        self.look_at_probe(stack, now);
        if let Some(ip) = self.client.lease().map(Lease::ip)
            && stack.take_conflict_over(self.iface, ip)
        {
            self.client.on_conflict(now, ip);
        }
        while let Some(action) = self.client.poll(now) {
            match action {
                Action::Send(message) => self.send(stack, &message),
                Action::Probe(ip) => self.probe(stack, now, ip),
                Action::Configure => return Some(self.configure(stack)),
                Action::Deconfigure(_) => {
                    self.deconfigure(stack);
                    return Some(DhcpEvent::Lost);
                }
            }
        }
        None
    }

    /// When [`poll`](Self::poll) is to be called again at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        [self.client.deadline(), self.look, self.leaving].into_iter().flatten().min()
    }

    /// Tells of the link: while it is down nothing is sent, and once it is up again a lease is verified (INIT-REBOOT). It
    /// is taken to be up at first. What the interface's device says ([`Device::link`](crate::device::Device::link)) needs
    /// not be told: the stack knows it.
    pub fn on_link(&mut self, now: Instant, up: bool) {
        self.client.on_link(now, up);
    }

    /// The lease in force.
    pub fn lease(&self) -> Option<&Lease> {
        self.client.lease()
    }

    /// The socket's name, whose events call for a [`poll`](Self::poll).
    pub fn socket(&self) -> SocketId {
        SocketId::Udp(self.socket)
    }

    /// The interface.
    pub fn iface(&self) -> IfaceId {
        self.iface
    }

    /// Gives the address back (RFC 2131 §4.4.6) and asks for no other. The server is told at once, and half a second
    /// later, when that has left, [`poll`](Self::poll) takes the address away and says [`DhcpEvent::Lost`].
    pub fn release(&mut self, stack: &mut Stack<'_>, now: Instant) {
        self.client.release();
        while let Some(action) = self.client.poll(now) {
            match action {
                Action::Send(message) => self.send(stack, &message),
                Action::Deconfigure(_) => self.leaving = Some(now + GOODBYE),
                Action::Probe(_) | Action::Configure => {}
            }
        }
        if let Some(ip) = self.probing.take() {
            stack.cancel_probe(self.iface, ip);
        }
    }

    /// Ends the client at once, with what it has configured taken away.
    pub fn close(mut self, stack: &mut Stack<'_>) {
        if let Ok(socket) = stack.udp(self.socket) {
            socket.close();
        }
        if let Some(ip) = self.probing.take() {
            stack.cancel_probe(self.iface, ip);
        }
        self.deconfigure(stack);
    }

    fn look_at_link(&mut self, stack: &Stack<'_>, now: Instant) {
        let Some(link) = stack.interfaces().find(|i| i.id == self.iface).map(|i| i.link) else { return };
        if core::mem::replace(&mut self.link, link) != link {
            self.client.on_link(now, link == Link::Up);
        }
    }

    fn receive(&mut self, stack: &mut Stack<'_>, now: Instant) {
        loop {
            let Ok(mut socket) = stack.udp(self.socket) else { return };
            match socket.recv() {
                Ok((message, received)) if received.from.port() == SERVER_PORT => self.client.handle(now, &message),
                Ok(_) => {}
                Err(RecvError::WouldBlock | RecvError::Stale) => return,
                Err(_) => {}
            }
        }
    }

    fn send(&self, stack: &mut Stack<'_>, message: &Outgoing) {
        let mut buf = [0; ROOM];
        let len = self.client.write(message, &mut buf);
        let to = SocketAddr::new(IpAddr::V4(message.to), SERVER_PORT);
        if let (Ok(mut socket), Some(octets)) = (stack.udp(self.socket), buf.get(..len)) {
            // What finds no room is as good as lost on the way: it is sent again.
            let _ = socket.send_from(octets, IpAddr::V4(message.from()), to);
        }
    }

    fn probe(&mut self, stack: &mut Stack<'_>, now: Instant, ip: Ipv4Addr) {
        match stack.probe_address(self.iface, ip, self.timing) {
            Ok(()) => (self.probing, self.look) = (Some(ip), Some(now + LOOK)),
            // Without room to ask, the server's word is all there is; an address that is ours already is free.
            Err(_) => self.client.on_probed(now, true),
        }
    }

    fn look_at_probe(&mut self, stack: &mut Stack<'_>, now: Instant) {
        let Some(ip) = self.probing else { return };
        let free = match stack.probe_state(self.iface, ip) {
            Some(ProbeState::Running) => {
                self.look = Some(now + LOOK);
                return;
            }
            Some(ProbeState::Taken(_)) => false,
            Some(ProbeState::Free) | None => true,
        };
        (self.probing, self.look) = (None, None);
        if !free {
            stack.cancel_probe(self.iface, ip);
        }
        self.client.on_probed(now, free);
    }

    /// Brings the interface in line with the lease.
    fn configure(&mut self, stack: &mut Stack<'_>) -> DhcpEvent {
        let Some(lease) = self.client.lease().cloned() else { return DhcpEvent::Lost };
        let old = self.configured.take();
        let same_address = old.as_ref().is_some_and(|o| o.address() == lease.address());
        if let Some(old) = old {
            self.remove_routes(stack, &old);
            if !same_address {
                let _ = stack.remove_address(self.iface, old.address().addr());
            }
        }
        if !same_address {
            // Without room for the address there is nothing to add routes for; the table's limit is the program's.
            let _ = stack.add_address(self.iface, lease.address());
        }
        for (i, route) in lease.routes().iter().enumerate() {
            let added = stack.insert_route(self.route(route.prefix, route.gateway, i as u16)).is_ok();
            self.routes |= u8::from(added) << i;
        }
        self.configured = Some(lease);
        if same_address { DhcpEvent::Renewed } else { DhcpEvent::Configured }
    }

    fn deconfigure(&mut self, stack: &mut Stack<'_>) {
        if let Some(old) = self.configured.take() {
            self.remove_routes(stack, &old);
            let _ = stack.remove_address(self.iface, old.address().addr());
        }
    }

    fn remove_routes(&mut self, stack: &mut Stack<'_>, lease: &Lease) {
        let ours = core::mem::take(&mut self.routes);
        for (_, route) in lease.routes().iter().enumerate().filter(|(i, _)| ours >> i & 1 != 0) {
            let _ = stack.routes.remove(&self.route(route.prefix, route.gateway, 0));
        }
    }

    fn route(&self, prefix: Cidr, gateway: Option<Ipv4Addr>, metric: u16) -> Route {
        Route { prefix, gateway: gateway.map(IpAddr::V4), iface: self.iface, metric }
    }
}

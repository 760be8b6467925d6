//! The client on a stack: its socket, what routers say of it, and what it configures.

use super::client::{Action, Client, Dhcpv6Mode, Outgoing};
use super::lease::Lease6;
use super::message::{CLIENT_PORT, ROOM, SERVER_PORT};
use crate::device::Link;
use crate::error::{BindError, RecvError};
use crate::ip::addr::Cidr;
use crate::rng::{Purpose, Rng};
use crate::sockets::{UdpHandle, UdpOptions};
use crate::stack::{AddressState, IfaceId, SocketId, Stack};
use crate::time::{Duration, Instant};
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

/// All_DHCP_Relay_Agents_and_Servers (RFC 9915 §7.1).
const SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
/// How often an address on trial is looked at: its end is no event.
const LOOK: Duration = Duration::from_millis(50);
/// How many of those looks: a trial of several probes is over by then, or will never be.
const LOOKS: u8 = 200;

/// What a client tells its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Dhcpv6Event {
    /// Addresses or information have come, or have changed; [`Dhcpv6Client::lease`] tells them.
    Configured,
    /// What was configured is over: addresses and name servers are gone.
    Lost,
}

/// A DHCPv6 client for one Ethernet interface of a stack, which has a link-local address.
///
/// # Contract
/// - Call [`poll`](Self::poll) after each [`Stack::poll`], at [`deadline`](Self::deadline) at the latest, until it gives
///   `None`; no waker of the stack's knows of it.
/// - What it has configured it takes away by itself; other addresses are left alone. Default routers are told by router
///   advertisements alone: see [`Stack::autoconfigure`].
pub struct Dhcpv6Client {
    client: Client,
    iface: IfaceId,
    socket: UdpHandle,
    mode: Dhcpv6Mode,
    /// What was given back is not asked for again.
    released: bool,
    /// The interface's link, as last looked at.
    link: Link,
    /// The addresses that it has added.
    configured: heapless::Vec<Ipv6Addr, 2>,
    look: Option<(Instant, u8)>,
}

impl Dhcpv6Client {
    /// A client for `iface`.
    ///
    /// # Errors
    /// `Invalid` for an interface that is no Ethernet; else as [`Stack::udp_bind`]: one client to an interface.
    pub fn start(stack: &mut Stack<'_>, iface: IfaceId, mode: Dhcpv6Mode) -> Result<Self, BindError> {
        let mac = stack.interfaces().find(|i| i.id == iface).and_then(|i| i.mac).ok_or(BindError::Invalid)?;
        let udp = UdpOptions { iface: Some(iface), rx_queue: 4, tx_queue: 4, ..UdpOptions::default() };
        let socket = stack.udp_bind(None, CLIENT_PORT, &udp)?;
        let from = stack.rng.next_u64();
        let client = Client::new(mac, Rng::starting(&stack.config.secret, Purpose::Dhcpv6, from));
        Ok(Self {
            client,
            iface,
            socket,
            mode,
            released: false,
            link: Link::Up,
            configured: heapless::Vec::new(),
            look: None,
        })
    }

    /// Does what is due, and tells what has changed; to be called until that is nothing.
    pub fn poll(&mut self, stack: &mut Stack<'_>, now: Instant) -> Option<Dhcpv6Event> {
        match self.mode {
            _ if self.released => {}
            Dhcpv6Mode::Stateful if self.client.is_idle() => self.client.want(now, true),
            Dhcpv6Mode::Stateless if self.client.is_idle() => self.client.want(now, false),
            Dhcpv6Mode::AsAdvertised => {
                let flags = stack.router_flags(self.iface);
                if flags.managed || flags.other {
                    self.client.want(now, flags.managed);
                }
            }
            _ => {}
        }
        self.look_at_link(stack, now);
        self.receive(stack, now);
        self.look_at_trials(stack, now);
        while let Some(action) = self.client.poll(now) {
            match action {
                Action::Send(message) => self.send(stack, &message),
                Action::Configure => {
                    self.configure(stack, now);
                    return Some(Dhcpv6Event::Configured);
                }
                Action::Deconfigure => {
                    self.keep_only(stack, &[]);
                    return Some(Dhcpv6Event::Lost);
                }
            }
        }
        None
    }

    /// When [`poll`](Self::poll) is to be called again at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        [self.client.deadline(), self.look.map(|(at, _)| at)].into_iter().flatten().min()
    }

    /// Tells of the link: while it is down nothing is sent, and once it is up again addresses are confirmed. It is taken
    /// to be up at first. What the interface's device says ([`Device::link`](crate::device::Device::link)) needs not be told:
    /// the stack knows it.
    pub fn on_link(&mut self, now: Instant, up: bool) {
        self.client.on_link(now, up);
    }

    /// What is in force.
    pub fn lease(&self) -> Option<&Lease6> {
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

    /// Gives the addresses back (RFC 9915 §18.2.7) and asks for no others. [`poll`](Self::poll) says
    /// [`Dhcpv6Event::Lost`], and goes on for a few seconds until the server has answered.
    pub fn release(&mut self, now: Instant) {
        self.released = true;
        self.client.release(now);
    }

    /// Whether what was given back ([`release`](Self::release)) is known to the server, or it does not answer.
    pub fn is_released(&self) -> bool {
        self.released && self.client.is_idle()
    }

    /// Ends the client at once, with what it has configured taken away.
    pub fn close(mut self, stack: &mut Stack<'_>) {
        if let Ok(socket) = stack.udp(self.socket) {
            socket.close();
        }
        self.keep_only(stack, &[]);
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
                Ok((message, received)) => {
                    // RFC 9915 §16: servers answer a client alone.
                    if received.from.port() == SERVER_PORT && !received.to.ip().is_multicast() {
                        self.client.handle(now, &message);
                    }
                }
                Err(RecvError::WouldBlock | RecvError::Stale) => return,
                Err(_) => {}
            }
        }
    }

    fn send(&self, stack: &mut Stack<'_>, message: &Outgoing) {
        let mut buf = [0; ROOM];
        let len = self.client.write(message, &mut buf);
        let to = SocketAddr::new(IpAddr::V6(SERVERS), SERVER_PORT);
        if let (Ok(mut socket), Some(octets)) = (stack.udp(self.socket), buf.get(..len)) {
            // What finds no room, or no address to leave from, is as good as lost on the way: it is sent again.
            let _ = socket.send_to(octets, to);
        }
    }

    fn configure(&mut self, stack: &mut Stack<'_>, now: Instant) {
        let addresses = self.client.lease().map(|l| l.addresses.clone()).unwrap_or_default();
        let ips: heapless::Vec<Ipv6Addr, 2> = addresses.iter().map(|a| a.ip).collect();
        self.keep_only(stack, &ips);
        for ip in ips {
            if self.configured.contains(&ip) {
                continue;
            }
            // One address: that others lie in its prefix is for routers to say (RFC 5942 §4).
            let added = Cidr::host(ip.into()).is_some_and(|cidr| stack.add_address(self.iface, cidr).is_ok());
            if added {
                let _ = self.configured.push(ip);
                self.look = Some((now + LOOK, LOOKS));
            }
        }
    }

    /// Takes addresses of ours away, those of `ips` aside.
    fn keep_only(&mut self, stack: &mut Stack<'_>, ips: &[Ipv6Addr]) {
        let iface = self.iface;
        self.configured.retain(|ip| {
            let stays = ips.contains(ip);
            if !stays {
                let _ = stack.remove_address(iface, (*ip).into());
            }
            stays
        });
    }

    /// Whether an address that was added is somebody else's.
    fn look_at_trials(&mut self, stack: &mut Stack<'_>, now: Instant) {
        let Some((_, left)) = self.look.take_if(|(at, _)| *at <= now) else { return };
        let mut duplicate = None;
        for (cidr, state) in stack.ipv6_addresses(self.iface) {
            let IpAddr::V6(ip) = cidr.addr() else { continue };
            match state {
                AddressState::Duplicate if self.configured.contains(&ip) => duplicate = Some(ip),
                AddressState::Tentative if self.configured.contains(&ip) => {
                    self.look = left.checked_sub(1).map(|left| (now + LOOK, left));
                }
                _ => {}
            }
        }
        if let Some(ip) = duplicate {
            self.client.on_duplicate(now, ip);
        }
    }
}

//! Multicast DNS on a stack: its sockets, and who may say what.

use super::identity::Identity;
use super::message::Message;
use super::querier::Querier;
use super::responder::{Claimed, Out, Responder};
use crate::device::Link;
use crate::dns::{Addresses, QueryId, RecordKind};
use crate::error::{BindError, DnsError, RecvError};
use crate::rng::{Purpose, Rng};
use crate::sockets::{Received, UdpHandle, UdpOptions};
use crate::stack::{IfaceId, SocketId, Stack};
use crate::time::Instant;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Everybody's port (RFC 6762 §1).
pub(super) const PORT: u16 = 5353;
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
/// Octets of the longest message that we send: with its headers it fits IPv6's smallest MTU.
pub(super) const ROOM: usize = 1_232;
/// Messages handled in one call.
const AT_A_TIME: usize = 16;

/// A service that the link is told of (RFC 6763).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service<'n> {
    /// Its name for people, 1 to 63 octets of text: `Boiler room`.
    pub instance: &'n str,
    /// Its type: `_http._tcp`.
    pub kind: &'n str,
    /// Its port.
    pub port: u16,
    /// What else is to be known of it, as `key=value` (RFC 6763 §6); 200 octets at most, one of them for each text.
    pub txt: &'n [&'n str],
}

/// Settings of [`Mdns`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MdnsOptions<'n> {
    /// The name that is to be ours, one label without `.local`; without one, names are only asked for.
    pub host: Option<&'n str>,
    /// A service of this host's; it needs a host name.
    pub service: Option<Service<'n>>,
}

/// What [`Mdns`] tells its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum MdnsEvent {
    /// Nobody else has the names that were wished for: they are ours.
    Claimed,
    /// Somebody else has one of them: [`Mdns::host`] and [`Mdns::instance`] tell what they are instead.
    Renamed,
}

/// Multicast DNS on one interface of a stack: answers for this host's names, and asks for others'.
///
/// # Contract
/// - Call [`poll`](Self::poll) after each [`Stack::poll`], at [`deadline`](Self::deadline) at the latest, until it gives
///   `None`.
/// - Addresses that the interface gets or loses are seen in `poll`, and so is what its device says of the link.
/// - It takes a UDP socket at port 5353, and two places among the interface's groups.
pub struct Mdns {
    iface: IfaceId,
    socket: UdpHandle,
    responder: Option<Responder>,
    querier: Querier,
    /// The interface's link, as last looked at.
    link: Link,
}

impl Mdns {
    /// Begins on `iface`, whose names are probed for as soon as it has an address.
    ///
    /// # Errors
    /// `Invalid` for names that cannot be, and a service without a host; else as [`Stack::udp_bind`].
    pub fn start(stack: &mut Stack<'_>, iface: IfaceId, options: &MdnsOptions<'_>) -> Result<Self, BindError> {
        let identity = match (options.host, &options.service) {
            (Some(host), service) => Some(Identity::new(host, service.as_ref()).map_err(|_| BindError::Invalid)?),
            (None, None) => None,
            (None, Some(_)) => return Err(BindError::Invalid),
        };
        let from = stack.rng.next_u64();
        let secret = stack.config.secret;
        let rng = |n: u64| Rng::starting(&secret, Purpose::Mdns, from.wrapping_add(n << 32));
        let socket = open(stack, iface)?;
        let responder = identity.map(|identity| Responder::new(identity, rng(0)));
        Ok(Self { iface, socket, responder, querier: Querier::new(rng(1)), link: Link::Up })
    }

    /// Does what is due, and tells what has become of our names; to be called until that is nothing.
    pub fn poll(&mut self, stack: &mut Stack<'_>, now: Instant) -> Option<MdnsEvent> {
        let link = stack.interfaces().find(|i| i.id == self.iface).map_or(self.link, |i| i.link);
        if core::mem::replace(&mut self.link, link) != link && link == Link::Up {
            self.on_link_up(now);
        }
        if let Some(responder) = &mut self.responder {
            let addresses = stack.iface(self.iface).into_iter().flat_map(|i| i.addresses.iter());
            responder.set_addresses(now, addresses.map(|c| c.addr()).filter(is_told));
        }
        self.receive(stack, now);
        let mut buf = [0; ROOM];
        while let Some(out) = self.responder.as_mut().and_then(|r| r.poll(now)) {
            let left = self.send(stack, &out, &mut buf);
            if let (false, Out::Probe, Some(responder)) = (left, out, &mut self.responder) {
                responder.not_probed(now);
            }
        }
        while let Some(len) = self.querier.poll(now, &mut buf) {
            if !multicast(stack, self.socket, buf.get(..len).unwrap_or(&[])) {
                self.querier.not_sent(now);
            }
        }
        match self.responder.as_mut()?.take_claimed()? {
            Claimed::Ours => Some(MdnsEvent::Claimed),
            Claimed::Renamed => Some(MdnsEvent::Renamed),
        }
    }

    /// When [`poll`](Self::poll) is to be called again at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        let responder = self.responder.as_ref().and_then(Responder::deadline);
        [responder, self.querier.deadline()].into_iter().flatten().min()
    }

    /// The link is up again: names are probed for anew, and what was learned of others is forgotten. What
    /// the interface's device says ([`Device::link`](crate::device::Device::link)) needs not be told: the stack knows it.
    pub fn on_link_up(&mut self, now: Instant) {
        if let Some(responder) = &mut self.responder {
            responder.on_link_up(now);
        }
        self.querier.on_link_up();
    }

    /// The label that is this host's name before `.local`, of 63 octets at most; whether it is ours yet, [`is_claimed`]
    /// tells.
    ///
    /// [`is_claimed`]: Self::is_claimed
    pub fn host(&self) -> Option<Label> {
        self.responder.as_ref().map(|r| Label(r.identity().host_label()))
    }

    /// The service's name for people, of 63 octets at most.
    pub fn instance(&self) -> Option<Label> {
        self.responder.as_ref().and_then(|r| r.identity().instance_label()).map(Label)
    }

    /// Whether our names are known to be nobody else's.
    pub fn is_claimed(&self) -> bool {
        self.responder.as_ref().is_some_and(Responder::is_claimed)
    }

    /// Begins to look for addresses of `name`, which is in `.local`.
    ///
    /// # Errors
    /// `Invalid` for other names; `Full` with four queries running.
    pub fn query(&mut self, now: Instant, name: &str, kind: RecordKind) -> Result<QueryId, DnsError> {
        self.querier.query(now, name, kind)
    }

    /// How a query has ended, and with that the query's end; `None` while it is running.
    pub fn take(&mut self, id: QueryId) -> Option<Result<Addresses, DnsError>> {
        self.querier.take(id)
    }

    /// Ends a query whatever it is at.
    pub fn cancel(&mut self, id: QueryId) {
        self.querier.cancel(id);
    }

    /// The socket's name, whose events call for a [`poll`](Self::poll).
    pub fn socket(&self) -> SocketId {
        SocketId::Udp(self.socket)
    }

    /// Says goodbye (RFC 6762 §10.1), and ends.
    pub fn close(mut self, stack: &mut Stack<'_>) {
        if let Some(out) = self.responder.as_mut().and_then(Responder::goodbye) {
            self.send(stack, &out, &mut [0; ROOM]);
        }
        shut(stack, self.iface, self.socket);
    }

    fn receive(&mut self, stack: &mut Stack<'_>, now: Instant) {
        for _ in 0..AT_A_TIME {
            let Ok(mut socket) = stack.udp(self.socket) else { return };
            match socket.recv() {
                Ok((octets, received)) => self.handle(stack, now, &octets, &received),
                Err(RecvError::WouldBlock | RecvError::Stale) => return,
                Err(_) => {}
            }
        }
    }

    fn handle(&mut self, stack: &mut Stack<'_>, now: Instant, octets: &[u8], received: &Received) {
        let Some(message) = Message::parse(octets) else { return };
        let from = received.from;
        //= https://www.rfc-editor.org/rfc/rfc6762#section-11
        //# For responses addressed to a unicast IP
        //# address, the receiver MUST check that the source address is on the
        //# local link
        // Queries as well (§5.5): answers leave the link no more than questions come from elsewhere.
        if !received.to.ip().is_multicast() && !is_on_link(stack, self.iface, from.ip()) {
            return;
        }
        if message.is_response() {
            //= https://www.rfc-editor.org/rfc/rfc6762#section-6
            //# A Multicast DNS querier MUST only accept unicast responses if
            //# they answer a recently sent query (e.g., sent within the last two
            //# seconds) that explicitly requested unicast responses.
            // The querier takes answers to open questions alone, whichever way they come.
            if from.port() != PORT {
                return;
            }
            if received.to.ip().is_multicast() || self.querier.deadline().is_some() {
                self.querier.on_response(now, &message);
            }
            if let Some(responder) = &mut self.responder {
                responder.on_response(now, &message);
            }
            return;
        }
        let Some(responder) = &mut self.responder else { return };
        if let Some(unicast) = responder.on_query(now, from, &message) {
            let mut buf = [0; ROOM];
            let len = responder.write_unicast(&unicast, &mut buf);
            if let (Ok(mut socket), Some(octets)) = (stack.udp(self.socket), buf.get(..len)) {
                // What finds no room is as good as lost on the way.
                let _ = socket.reply(received, octets);
            }
        }
    }

    fn send(&self, stack: &mut Stack<'_>, out: &Out, buf: &mut [u8; ROOM]) -> bool {
        let Some(responder) = &self.responder else { return false };
        let len = responder.write(out, buf);
        multicast(stack, self.socket, buf.get(..len).unwrap_or(&[]))
    }
}

/// A socket of everybody's port, in both groups.
pub(super) fn open(stack: &mut Stack<'_>, iface: IfaceId) -> Result<UdpHandle, BindError> {
    //= https://www.rfc-editor.org/rfc/rfc6762#section-11
    //# All Multicast DNS responses (including responses sent via unicast)
    //# SHOULD be sent with IP TTL set to 255.
    let udp = UdpOptions {
        ttl: Some(255),
        share: true,
        iface: Some(iface),
        rx_queue: 8,
        tx_queue: 8,
        ..UdpOptions::default()
    };
    let socket = stack.udp_bind(None, PORT, &udp)?;
    if stack.join_group(iface, GROUP).is_err() {
        close(stack, socket);
        return Err(BindError::Full);
    }
    // Without room for a second group, or without IPv6, IPv4 has to do.
    let _ = stack.join_group(iface, GROUP_V6);
    Ok(socket)
}

/// What [`open`] gave is given back.
pub(super) fn shut(stack: &mut Stack<'_>, iface: IfaceId, socket: UdpHandle) {
    let _ = stack.leave_group(iface, GROUP);
    let _ = stack.leave_group(iface, GROUP_V6);
    close(stack, socket);
}

/// To both groups, as far as there is an address to send from; whether it found room, in one of them at least.
pub(super) fn multicast(stack: &mut Stack<'_>, socket: UdpHandle, octets: &[u8]) -> bool {
    let Ok(mut socket) = stack.udp(socket) else { return false };
    let mut left = socket.send_to(octets, SocketAddr::new(GROUP.into(), PORT)).is_ok();
    if cfg!(feature = "ipv6") {
        left |= socket.send_to(octets, SocketAddr::new(GROUP_V6.into(), PORT)).is_ok();
    }
    left
}

/// A label of one of our names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label(heapless::String<{ super::identity::LABEL }>);

impl core::ops::Deref for Label {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl core::fmt::Display for Label {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}

fn close(stack: &mut Stack<'_>, handle: UdpHandle) {
    if let Ok(socket) = stack.udp(handle) {
        socket.close();
    }
}

/// Whether the link is told of an address.
fn is_told(ip: &IpAddr) -> bool {
    !ip.is_loopback()
}

/// Whether `from` is of the link itself: in one of its networks, or of link-local scope.
pub(super) fn is_on_link(stack: &Stack<'_>, iface: IfaceId, from: IpAddr) -> bool {
    let local = match from {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let of_iface = |route: &crate::ip::route::Route| route.iface == iface && route.gateway.is_none();
    local || stack.routes().any(|route| of_iface(route) && route.prefix.contains(from))
}

//! Browsing on a stack: the services of one type that others on the link have (RFC 6763).

use super::browser::{Browsing, Instance};
use super::message::Message;
use super::shell::{self, PORT, ROOM};
use crate::device::Link;
use crate::dns::name::Name;
use crate::error::{BindError, RecvError};
use crate::rng::{Purpose, Rng};
use crate::sockets::UdpHandle;
use crate::stack::{IfaceId, SocketId, Stack};
use crate::time::Instant;
use core::fmt::{self, Write};
use core::net::IpAddr;

/// Messages handled in one call.
const AT_A_TIME: usize = 16;

/// Looks for the services of one type on the link of an interface, for as long as it lives.
///
/// What this stack's own [`Mdns`](super::Mdns) tells of is not among them.
///
/// # Contract
/// - Call [`poll`](Self::poll) after each [`Stack::poll`], and at [`deadline`](Self::deadline) at the latest.
/// - It takes a UDP socket at port 5353, which it shares, and two places among the interface's groups, unless they are
///   joined already.
pub struct Browser {
    iface: IfaceId,
    socket: UdpHandle,
    browsing: Browsing,
    link: Link,
}

impl Browser {
    /// Begins to look on `iface` for services of `kind`: `_http._tcp`.
    ///
    /// # Errors
    /// `Invalid` for what is no type (RFC 6763 §7: two labels, each with an underscore in front, the second of them `_tcp`
    /// or `_udp`); `Full` without room for a group; else as [`Stack::udp_bind`].
    pub fn start(stack: &mut Stack<'_>, iface: IfaceId, kind: &str) -> Result<Self, BindError> {
        let kind = type_name(kind).ok_or(BindError::Invalid)?;
        let from = stack.rng.next_u64();
        let rng = Rng::starting(&stack.config.secret, Purpose::Mdns, from);
        let socket = shell::open(stack, iface)?;
        let link = Link::Up;
        Ok(Self { iface, socket, browsing: Browsing::new(stack.now(), kind, rng), link })
    }

    /// Does what is due; whether what [`services`](Self::services) tells has changed.
    pub fn poll(&mut self, stack: &mut Stack<'_>, now: Instant) -> bool {
        let link = stack.interfaces().find(|i| i.id == self.iface).map_or(self.link, |i| i.link);
        let mut changed = false;
        if core::mem::replace(&mut self.link, link) != link && link == Link::Up {
            changed = self.services().next().is_some();
            self.browsing.on_link_up(now);
        }
        changed |= self.receive(stack, now);
        changed |= self.browsing.expire(now);
        let mut buf = [0; ROOM];
        if let Some(len) = self.browsing.poll(now, &mut buf)
            && !shell::multicast(stack, self.socket, buf.get(..len).unwrap_or(&[]))
        {
            self.browsing.not_sent(now);
        }
        changed
    }

    /// When [`poll`](Self::poll) is to be called again at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        self.browsing.deadline()
    }

    /// The services whose host is known, at most [`MAX_SERVICES`](super::MAX_SERVICES).
    pub fn services(&self) -> impl Iterator<Item = FoundService<'_>> {
        self.browsing.instances().filter(|i| i.host().is_some()).map(FoundService)
    }

    /// How often a service was heard of for which there was no room.
    pub const fn left_out(&self) -> u32 {
        self.browsing.left_out()
    }

    /// The socket's name, whose events call for a [`poll`](Self::poll).
    pub const fn socket(&self) -> SocketId {
        SocketId::Udp(self.socket)
    }

    /// Ends.
    pub fn close(self, stack: &mut Stack<'_>) {
        shell::shut(stack, self.iface, self.socket);
    }

    fn receive(&mut self, stack: &mut Stack<'_>, now: Instant) -> bool {
        let mut changed = false;
        for _ in 0..AT_A_TIME {
            let Ok(mut socket) = stack.udp(self.socket) else { return changed };
            let (octets, received) = match socket.recv() {
                Ok(one) => one,
                Err(RecvError::WouldBlock | RecvError::Stale) => return changed,
                Err(_) => continue,
            };
            let Some(message) = Message::parse(&octets) else { continue };
            let of_link = received.to.ip().is_multicast() || shell::is_on_link(stack, self.iface, received.from.ip());
            if !of_link || received.from.port() != PORT {
                continue;
            }
            if message.is_response() {
                changed |= self.browsing.on_response(now, &message);
            } else {
                self.browsing.on_query(now, &message);
            }
        }
        changed
    }
}

/// A service that the link has told of.
#[derive(Clone, Copy)]
pub struct FoundService<'b>(&'b Instance);

impl<'b> FoundService<'b> {
    /// Its name for people: at most 63 octets of text without control characters.
    pub fn instance(&self) -> &'b str {
        self.0.label()
    }

    /// Its host's name, as text: `boiler.local`.
    pub fn host(&self) -> HostName<'b> {
        HostName(self.0.host().map(|(name, _)| name.octets()).unwrap_or_default())
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.0.host().map_or(0, |(_, port)| *port)
    }

    /// What else is to be known of it, each text as it came, `key=value` as a rule (RFC 6763 §6): as many as fit 256 octets.
    pub fn texts(&self) -> impl Iterator<Item = &'b [u8]> + use<'b> {
        let mut rest = self.0.txt();
        core::iter::from_fn(move || {
            let (&len, behind) = rest.split_first()?;
            let (text, behind) = behind.split_at_checked(usize::from(len))?;
            rest = behind;
            Some(text)
        })
    }

    /// Its host's addresses that are known, at most four.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<'b> {
        self.0.addresses()
    }
}

/// A name as text, labels with dots between them; octets that are no letters, digits, hyphens or underscores as `\DDD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostName<'b>(&'b [u8]);

impl fmt::Display for HostName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        let mut first = true;
        while let Some((&len, behind)) = rest.split_first()
            && len != 0
        {
            let (label, behind) = behind.split_at_checked(usize::from(len)).unwrap_or_default();
            if !core::mem::take(&mut first) {
                f.write_char('.')?;
            }
            for octet in label {
                match octet {
                    b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'_' => f.write_char(char::from(*octet))?,
                    other => write!(f, "\\{other:03}")?,
                }
            }
            rest = behind;
        }
        Ok(())
    }
}

/// The whole name of a type.
fn type_name(kind: &str) -> Option<Name> {
    let (service, transport) = kind.split_once('.')?;
    if !service.starts_with('_') || service.len() < 2 || !matches!(transport, "_tcp" | "_udp") {
        return None;
    }
    Name::of(kind).ok()?.below(&Name::of("local").ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;

    #[test]
    fn a_type_is_two_labels_with_underscores() {
        assert_eq!(type_name("_http._tcp"), Name::of("_http._tcp.local").ok());
        for bad in ["", "http._tcp", "_http", "_http._sctp", "_http._tcp.local", "_._tcp", "_a b._udp"] {
            assert_eq!(type_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_host_name_is_shown_without_what_a_terminal_obeys() {
        assert_eq!(std::format!("{}", HostName(b"\x03a\x1bB\x05local\0")), "a\\027B.local");
        assert_eq!(std::format!("{}", HostName(b"\0")), "");
    }
}

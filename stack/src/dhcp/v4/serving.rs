//! The server on a stack: its socket.

use super::message::{CLIENT_PORT, ROOM, SERVER_PORT};
use super::server::{DhcpServerOptions, LeaseInfo, Server};
use crate::error::{BindError, RecvError};
use crate::ip::addr::Cidr;
use crate::sockets::{UdpHandle, UdpOptions};
use crate::stack::{IfaceId, SocketId, Stack};
use crate::time::Instant;
use core::net::{IpAddr, SocketAddr};

/// Messages answered in one call.
const AT_A_TIME: usize = 16;

/// A small DHCP server for one Ethernet interface of a stack, which has an address.
///
/// # Contract
/// - Call [`poll`](Self::poll) after each [`Stack::poll`]; it has no times of its own.
/// - It gives addresses to whoever asks: it is for links where nobody else does. Leases are forgotten when it ends; clients
///   that come back with theirs keep them.
pub struct DhcpServer {
    server: Server,
    iface: IfaceId,
    socket: UdpHandle,
}

impl DhcpServer {
    /// A server on `iface`, for the network of its first IPv4 address.
    ///
    /// # Errors
    /// `Invalid` for an interface that is no Ethernet or has no address, and settings that cannot be; else as
    /// [`Stack::udp_bind`].
    pub fn start(stack: &mut Stack<'_>, iface: IfaceId, options: &DhcpServerOptions<'_>) -> Result<Self, BindError> {
        stack.interfaces().find(|i| i.id == iface).and_then(|i| i.mac).ok_or(BindError::Invalid)?;
        let v4 = |cidr: &&Cidr| cidr.addr().is_ipv4();
        let own = stack.iface(iface).and_then(|i| i.addresses.iter().find(v4)).copied().ok_or(BindError::Invalid)?;
        let server = Server::new(own, options).ok_or(BindError::Invalid)?;
        let udp = UdpOptions { broadcast: true, iface: Some(iface), rx_queue: 8, tx_queue: 8, ..UdpOptions::default() };
        let socket = stack.udp_bind(None, SERVER_PORT, &udp)?;
        Ok(Self { server, iface, socket })
    }

    /// Answers what has come.
    pub fn poll(&mut self, stack: &mut Stack<'_>, now: Instant) {
        for _ in 0..AT_A_TIME {
            let Ok(mut socket) = stack.udp(self.socket) else { return };
            let answer = match socket.recv() {
                Ok((message, received)) if received.from.port() == CLIENT_PORT => self.server.handle(now, &message),
                Err(RecvError::WouldBlock | RecvError::Stale) => return,
                _ => None,
            };
            let Some(answer) = answer else { continue };
            let mut buf = [0; ROOM];
            let len = self.server.write(&answer, &mut buf);
            let to = SocketAddr::new(IpAddr::V4(answer.to), CLIENT_PORT);
            if let (Ok(mut socket), Some(octets)) = (stack.udp(self.socket), buf.get(..len)) {
                // What finds no room is as good as lost on the way: the client asks again.
                let _ = socket.send_to(octets, to);
            }
        }
    }

    /// The leases in force, at most [`MAX_LEASES`](super::MAX_LEASES).
    pub fn leases(&self, now: Instant) -> impl Iterator<Item = LeaseInfo> {
        self.server.leases(now)
    }

    /// The socket's name, whose events call for a [`poll`](Self::poll).
    pub fn socket(&self) -> SocketId {
        SocketId::Udp(self.socket)
    }

    /// The interface.
    pub fn iface(&self) -> IfaceId {
        self.iface
    }

    /// Ends the server.
    pub fn close(self, stack: &mut Stack<'_>) {
        if let Ok(socket) = stack.udp(self.socket) {
            socket.close();
        }
    }
}

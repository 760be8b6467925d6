//! The UDP side of the services: one answer per datagram, at most.

use super::{Service, text};
use ringtap::error::{RecvError, SendError};
use ringtap::sockets::{Received, UdpHandle};
use ringtap::stack::{Stack, UdpSocket};

/// Ports of services that answer whatever comes: an answer to one of them could go to and fro for ever.
const ANSWERING: [u16; 5] = [7, 13, 17, 19, 37];

/// Octets of a chargen answer (RFC 864 allows 0 to 512).
const CHARGEN: usize = 512;

/// A UDP socket of a service.
pub struct Socket {
    service: Service,
    /// An answer that found no room.
    pending: Option<(Vec<u8>, Received)>,
}

impl Socket {
    pub fn new(service: Service) -> Self {
        Self { service, pending: None }
    }

    /// The service it belongs to.
    pub fn service(&self) -> Service {
        self.service
    }

    /// Answers what has come, until the socket lets it no further.
    pub fn turn(&mut self, stack: &mut Stack<'static>, handle: UdpHandle, scratch: &mut [u8]) {
        let groups: Vec<_> = stack.interfaces().flat_map(|i| stack.groups(i.id)).collect();
        let Ok(mut socket) = stack.udp(handle) else { return };
        if let Some((answer, to)) = self.pending.take() {
            self.send(&mut socket, &answer, to);
        }
        // The queue bounds the work: nothing is received in between.
        while self.pending.is_none() {
            let received = match socket.recv_from(scratch) {
                Ok(received) => received,
                Err(RecvError::WouldBlock | RecvError::Stale) => return,
                Err(_) => continue,
            };
            // What was sent to everybody is not answered, but for groups that we are in: it could draw an answer from each of us.
            let to = received.to.ip();
            if ANSWERING.contains(&received.from.port()) || to != received.local && !groups.contains(&to) {
                continue;
            }
            match self.service {
                Service::Discard | Service::Http => {}
                Service::Daytime => self.send(&mut socket, text::daytime().as_bytes(), received),
                Service::Echo => {
                    let octets = scratch.get(..received.len).unwrap_or_default();
                    self.send(&mut socket, octets, received);
                }
                Service::Chargen => {
                    let mut answer = [0; CHARGEN];
                    text::chargen(0, &mut answer);
                    self.send(&mut socket, &answer, received);
                }
            }
        }
    }

    fn send(&mut self, socket: &mut UdpSocket<'_, 'static>, answer: &[u8], to: Received) {
        // From the address that was asked.
        if socket.reply(&to, answer) == Err(SendError::WouldBlock) {
            self.pending = Some((answer.to_vec(), to));
        }
    }
}

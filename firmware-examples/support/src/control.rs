//! A door for tests: a UDP port on which the program is told to end.
//!
//! Only with the feature `control`: nobody else should be able to end a program by a datagram.

use crate::net::Net;
use crate::{Board, must};
use ringtap::sockets::{UdpHandle, UdpOptions};

/// The port.
const PORT: u16 = 60_007;

/// The socket.
pub struct Control(UdpHandle);

impl Control {
    /// Opens the port.
    pub fn open<B: Board>(net: &mut Net<B>) -> Self {
        Self(must(net.stack().udp_bind(None, PORT, &UdpOptions::default())))
    }

    /// Does what was asked for; true when that is to end, and the port is closed then.
    ///
    /// `end` ends the program; `stall` keeps it from polling for 100 ms, so that the network card runs over.
    pub fn wants_end<B: Board>(&self, net: &mut Net<B>) -> bool {
        let mut text = [0; 8];
        let Ok(mut socket) = net.stack().udp(self.0) else { return false };
        let Ok(received) = socket.recv_from(&mut text) else { return false };
        match &text[..received.len.min(text.len())] {
            b"end" => {
                socket.close();
                true
            }
            b"stall" => {
                let until = net.now() + ringtap::time::Duration::from_millis(100);
                while net.now() < until {
                    core::hint::spin_loop();
                }
                false
            }
            _ => false,
        }
    }
}

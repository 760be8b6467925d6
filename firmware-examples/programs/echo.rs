//! Echo (port 7), discard (9) and chargen (19) on TCP and UDP: RFC 862 to 864.
//!
//! Four TCP connections at once; nothing is allocated, and all that the program needs lies in `.data` and `.bss`.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

use board::Board;
use firmware::service::{Server, Service, pattern};
use firmware::{must, net};
use ringtap::error::RecvError;
use ringtap::sockets::{UdpHandle, UdpOptions};
use ringtap::stack::{Stack, StaticStorage};
use static_cell::ConstStaticCell;

/// TCP connections.
const CONNECTIONS: usize = 4;

/// A connection's buffers each way: two segments of the size that every host takes (RFC 9293 §3.7.1).
const BUFFER: usize = 2 * 536;

/// UDP sockets: the three services', and that of tests.
const DATAGRAMS: usize = 3 + cfg!(feature = "control") as usize;

// Besides those of sockets, a stack of this storage has 16 nodes.
const NODES: usize = CONNECTIONS + DATAGRAMS + 16;

static STORAGE: ConstStaticCell<StaticStorage<'static, CONNECTIONS, DATAGRAMS, BUFFER, BUFFER, NODES>> =
    ConstStaticCell::new(StaticStorage::new());

board::entry!(main);

fn main(board: Board) -> ! {
    let mut net = net::start(board, STORAGE.take());
    let mut server = Server::<CONNECTIONS>::new();
    let services = [(7, Service::Echo), (9, Service::Discard), (19, Service::Chargen(0))];
    for (port, service) in services {
        server.listen(net.stack(), port, service, BUFFER);
    }
    let sockets = services.map(|(port, service)| {
        let socket = must(net.stack().udp_bind(None, port, &UdpOptions::default()));
        (socket, service)
    });
    #[cfg(feature = "control")]
    let control = firmware::control::Control::open(&mut net);
    defmt::info!("ready");
    loop {
        let mut moved = server.turn(net.stack());
        for (socket, service) in sockets {
            moved |= datagram(net.stack(), socket, service);
        }
        #[cfg(feature = "control")]
        if control.wants_end(&mut net) {
            server.end(net.stack());
            for (socket, _) in sockets {
                if let Ok(socket) = net.stack().udp(socket) {
                    socket.close();
                }
            }
            net::end(net);
        }
        if moved {
            net.poll();
        } else {
            net.wait(None);
        }
    }
}

/// Answers one datagram as the service has it; whether there was one.
fn datagram(stack: &mut Stack<'static>, socket: UdpHandle, service: Service) -> bool {
    let Ok(mut socket) = stack.udp(socket) else { return false };
    let (payload, received) = match socket.recv() {
        Ok(received) => received,
        Err(RecvError::WouldBlock) => return false,
        // An answer was not wanted, says an ICMP error.
        Err(_) => return true,
    };
    // Where the queue is full the answer is lost, as any datagram may be.
    let _ = match service {
        Service::Echo => socket.reply(&received, &payload),
        Service::Discard => Ok(()),
        Service::Chargen(_) => {
            // The payload's length chooses the line.
            let (mut line, mut at) = ([0; 74], payload.len() as u32 * 74);
            pattern(&mut at, &mut line);
            socket.reply(&received, &line)
        }
    };
    true
}

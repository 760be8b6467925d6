//! A status page with the counters of the stack and of the network card: HTTP/1.1 on port 80 (RFC 9112).
//!
//! One request per connection, two connections at once.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

use board::Board;
use core::fmt::Write as _;
use firmware::Board as _;
use firmware::net::Net;
use heapless::{String, Vec};
use ringtap::error::TcpError;
use ringtap::stack::{Stack, StaticStorage};
use ringtap::stats::DropReason;
use ringtap::tcp::{ListenOptions, ListenerHandle, TcpHandle, TcpOptions};
use ringtap_drivers::nic::Nic as _;
use static_cell::ConstStaticCell;

/// Connections at once.
const CONNECTIONS: usize = 2;

/// The longest page, and a connection's send buffer, so that the page goes into it whole.
const PAGE: usize = 2048;

/// The longest request that is looked at.
const REQUEST: usize = 512;

static STORAGE: ConstStaticCell<StaticStorage<'static, CONNECTIONS, 1, REQUEST, PAGE, 19>> =
    ConstStaticCell::new(StaticStorage::new());

board::entry!(main);

fn main(board: Board) -> ! {
    let mut net = Net::start(board, STORAGE.take());
    let tcp = TcpOptions { rx_buffer: REQUEST, tx_buffer: PAGE, ..TcpOptions::default() };
    let listener = net.stack.tcp_listen(None, 80, &ListenOptions { backlog: 4, tcp }).expect("room for a listener");
    let mut clients = [const { None }; CONNECTIONS];
    #[cfg(feature = "control")]
    let control = firmware::control::Control::open(&mut net);
    defmt::info!("ready");
    loop {
        net.poll();
        for place in &mut clients {
            accept(&mut net.stack, listener, place);
            if let Some(client) = place
                && !client.turn(&mut net)
            {
                *place = None;
            }
        }
        #[cfg(feature = "control")]
        if control.wants_end(&mut net) {
            net.stack.tcp_unlisten(listener).expect("it listens");
            for client in clients.iter().flatten() {
                if let Ok(socket) = net.stack.tcp(client.handle) {
                    socket.abort();
                }
            }
            net.end();
        }
        net.wait();
    }
}

fn accept(stack: &mut Stack<'static>, listener: ListenerHandle, place: &mut Option<Client>) {
    if place.is_none()
        && let Ok((handle, _)) = stack.tcp_accept(listener)
    {
        *place = Some(Client { handle, request: Vec::new(), answered: false });
    }
}

/// A connection.
struct Client {
    handle: TcpHandle,
    request: Vec<u8, REQUEST>,
    answered: bool,
}

impl Client {
    /// Reads on, and answers a request that is whole; false when the connection is over.
    fn turn(&mut self, net: &mut Net<Board>) -> bool {
        let Ok(mut socket) = net.stack.tcp(self.handle) else { return false };
        let mut text = [0; 128];
        let ended = match socket.read(&mut text) {
            Ok(0) => true,
            Ok(len) => {
                // What does not fit is no request for the one page that there is.
                let _ = self.request.extend_from_slice(&text[..len]);
                false
            }
            Err(TcpError::WouldBlock) => false,
            Err(_) => return false,
        };
        if ended {
            socket.close();
            return false;
        }
        if !self.answered && self.is_whole() {
            self.answered = true;
            let answer = answer(&self.request, net);
            let Ok(mut socket) = net.stack.tcp(self.handle) else { return false };
            // The buffer is empty and as long as the longest answer. The peer closes after it (RFC 9112 §9.6).
            let sent = socket.write(answer.as_bytes()).and_then(|_| socket.shutdown_write());
            return sent.is_ok();
        }
        true
    }

    fn is_whole(&self) -> bool {
        self.request.windows(4).any(|w| w == b"\r\n\r\n") || self.request.is_full()
    }
}

/// The answer to a request.
fn answer(request: &[u8], net: &Net<Board>) -> String<PAGE> {
    let (status, body) = if request.starts_with(b"GET / ") {
        ("200 OK", page(net))
    } else if request.starts_with(b"GET ") {
        ("404 Not Found", String::new())
    } else {
        ("405 Method Not Allowed", String::new())
    };
    let mut answer = String::new();
    let head = write!(
        answer,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    // A page of at most three quarters leaves room for this head.
    head.expect("room for the head");
    answer
}

/// The page: a line for each counter that has counted.
fn page(net: &Net<Board>) -> String<{ PAGE * 3 / 4 }> {
    let (stats, card) = (net.stack.stats(), net.device().counters());
    let mut page = String::new();
    // What finds no room is left out, from the end.
    let _ = writeln!(page, "{} up {} ms", Board::NAME, net.now().as_millis());
    let _ = writeln!(page, "frames received {} sent {}", stats.rx_frames, stats.tx_frames);
    let _ = writeln!(page, "connections {}", net.stack.tcp_connections());
    let _ = writeln!(page, "card received {} sent {}", card.rx_packets, card.tx_packets);
    let _ = writeln!(page, "card lost {} damaged {}", card.rx_no_frame, card.rx_errors);
    let _ = writeln!(page, "card overruns {} link changes {}", card.rx_overruns, card.link_changes);
    for reason in DropReason::ALL {
        let count = stats.dropped(*reason);
        if count > 0 {
            let _ = writeln!(page, "dropped {} {count}", reason.name());
        }
    }
    page
}

//! A status page with the counters of the stack and of the network card: HTTP/1.1 on port 80 (RFC 9112).
//!
//! One request per connection, one connection after another; others wait in the listener's queue.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

use board::Board;
use core::fmt::Write as _;
use firmware::Board as _;
use firmware::net::{self, Net};
use heapless::{String, Vec};
use ringtap::blocking::TcpStream;
use ringtap::error::AcceptError;
use ringtap::stack::StaticStorage;
use ringtap::stats::DropReason;
use ringtap::tcp::{ListenOptions, TcpOptions};
use ringtap::time::Duration;
use ringtap_drivers::nic::Nic as _;
use static_cell::ConstStaticCell;

/// Connections at once: one that is served, and one that has left.
const CONNECTIONS: usize = 2;

/// The longest page, and a connection's send buffer, so that the page goes into it whole.
const PAGE: usize = 2048;

/// The longest request that is looked at.
const REQUEST: usize = 512;

/// How long a client may take for each part of its request.
const PATIENCE: Duration = Duration::from_secs(2);

static STORAGE: ConstStaticCell<StaticStorage<'static, CONNECTIONS, 1, REQUEST, PAGE, 19>> =
    ConstStaticCell::new(StaticStorage::new());

board::entry!(main);

fn main(board: Board) -> ! {
    let mut net = net::start(board, STORAGE.take());
    let tcp = TcpOptions { rx_buffer: REQUEST, tx_buffer: PAGE, ..TcpOptions::default() };
    let listener = net.stack().tcp_listen(None, 80, &ListenOptions { backlog: 4, tcp }).expect("room for a listener");
    net.set_timeout(Some(net::TEND));
    #[cfg(feature = "control")]
    let control = firmware::control::Control::open(&mut net);
    defmt::info!("ready");
    loop {
        let client = match net.tcp_accept(listener) {
            Ok((mut stream, _)) => {
                stream.set_timeout(Some(PATIENCE));
                request(&mut stream).map(|request| (stream.detach(), request))
            }
            Err(AcceptError::WouldBlock) => None,
            Err(_) => panic!("the listener is closed"),
        };
        if let Some((handle, request)) = client {
            let answer = answer(&request, &mut net);
            if let Ok(mut stream) = net.tcp(handle) {
                // Whoever has left meanwhile needs no answer.
                let _ = stream.write_all(answer.as_bytes());
                stream.close();
            }
        }
        #[cfg(feature = "control")]
        if control.wants_end(&mut net) {
            net.stack().tcp_unlisten(listener).expect("it listens");
            net::end(net);
        }
    }
}

/// Reads until a request's head is whole, or as long as any that is looked at; `None` when the client left before.
fn request(stream: &mut TcpStream<'_, 'static>) -> Option<Vec<u8, REQUEST>> {
    let mut request = Vec::new();
    let mut text = [0; 128];
    while !request.windows(4).any(|w| w == b"\r\n\r\n") && !request.is_full() {
        let len = stream.read(&mut text).ok().filter(|len| *len > 0)?;
        let room = len.min(request.capacity() - request.len());
        request.extend_from_slice(&text[..room]).ok()?;
    }
    Some(request)
}

/// The answer to a request.
fn answer(request: &[u8], net: &mut Net<Board>) -> String<PAGE> {
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
fn page(net: &mut Net<Board>) -> String<{ PAGE * 3 / 4 }> {
    let (now, card) = (net.now(), net.ports().device().counters());
    let stack = net.stack();
    let (stats, connections) = (stack.stats(), stack.tcp_connections());
    let mut page = String::new();
    // What finds no room is left out, from the end.
    let _ = writeln!(page, "{} up {} ms", Board::NAME, now.as_millis());
    let _ = writeln!(page, "frames received {} sent {}", stats.rx_frames, stats.tx_frames);
    let _ = writeln!(page, "connections {connections}");
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

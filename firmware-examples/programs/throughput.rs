//! For measuring: a sink for octets on TCP port 5001, and a source of them on port 5002.
//!
//! For instance `nc 10.7.0.2 5002 | pv > /dev/null`. The log tells the octets received per second while there are any.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

use board::Board;
use firmware::net;
use firmware::service::{Server, Service};
use ringtap::stack::StaticStorage;
use ringtap::time::Duration;
use static_cell::ConstStaticCell;

/// Connections at once.
const CONNECTIONS: usize = 2;

/// A connection's buffers each way: four segments of an Ethernet.
const BUFFER: usize = 4 * 1460;

/// How often the log tells of a rate.
const INTERVAL: Duration = Duration::from_secs(1);

static STORAGE: ConstStaticCell<StaticStorage<'static, CONNECTIONS, 1, BUFFER, BUFFER, 19>> =
    ConstStaticCell::new(StaticStorage::new());

board::entry!(main);

fn main(board: Board) -> ! {
    let mut net = net::start(board, STORAGE.take());
    let mut server = Server::<CONNECTIONS>::new();
    server.listen(net.stack(), 5001, Service::Discard, BUFFER);
    server.listen(net.stack(), 5002, Service::Chargen(0), BUFFER);
    #[cfg(feature = "control")]
    let control = firmware::control::Control::open(&mut net);
    let mut since = (net.now(), 0, 0);
    defmt::info!("ready");
    loop {
        let moved = server.turn(net.stack());
        let (time, received, sent) = since;
        let (now, stats) = (net.now(), net.stack().stats());
        if now.since(time) >= INTERVAL {
            let (r, s) = (stats.rx_octets, stats.tx_octets);
            let per_second = |octets: usize, before: usize| {
                octets.wrapping_sub(before) as u64 * 1_000_000 / now.since(time).as_micros()
            };
            if r != received || s != sent {
                defmt::info!(
                    "octets per second: {=u64} received, {=u64} sent",
                    per_second(r, received),
                    per_second(s, sent)
                );
            }
            since = (now, r, s);
        }
        #[cfg(feature = "control")]
        if control.wants_end(&mut net) {
            server.end(net.stack());
            net::end(net);
        }
        if moved {
            net.poll();
        } else {
            net.wait(None);
        }
    }
}

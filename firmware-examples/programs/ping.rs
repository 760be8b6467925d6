//! Answers pings, as every stack does, and pings its gateway once a second, logging round trips (RFC 792).
#![no_std]
#![no_main]
#![deny(unsafe_code)]

use board::Board;
use core::net::IpAddr;
use firmware::GATEWAY;
use firmware::net::Net;
use ringtap::icmp::IcmpHandle;
use ringtap::stack::{Echoed, StaticStorage};
use ringtap::time::{Duration, Instant};
use static_cell::ConstStaticCell;

/// Between two pings, and how long an answer is waited for.
const INTERVAL: Duration = Duration::from_secs(1);

/// Octets of payload, as many as other pings send.
const PAYLOAD: [u8; 56] = *b"The same text comes back, or the stack says what is wron";

// One UDP socket, for tests; no connection is made, but there is room for one.
static STORAGE: ConstStaticCell<StaticStorage<'static, 1, 1, 536, 536, 18>> =
    ConstStaticCell::new(StaticStorage::new());

board::entry!(main);

fn main(board: Board) -> ! {
    let mut net = Net::start(board, STORAGE.take());
    let socket = net.stack.icmp_bind(None).expect("room for an echo socket");
    #[cfg(feature = "control")]
    let control = firmware::control::Control::open(&mut net);
    let mut pings = Pings { socket, seq: 0, sent: net.now(), answered: true };
    defmt::info!("ready");
    loop {
        net.poll();
        pings.turn(&mut net);
        #[cfg(feature = "control")]
        if control.wants_end(&mut net) {
            net.stack.icmp_close(pings.socket).expect("it is open");
            net.end();
        }
        net.wait();
    }
}

/// Pings under way: one at a time.
struct Pings {
    socket: IcmpHandle,
    seq: u16,
    sent: Instant,
    answered: bool,
}

impl Pings {
    /// Takes an answer, or sends the next one when it is time.
    fn turn(&mut self, net: &mut Net<Board>) {
        let now = net.now();
        let mut text = [0; PAYLOAD.len()];
        match net.stack.icmp_recv(self.socket, &mut text) {
            Ok(Echoed::Reply { seq, len, .. }) if seq == self.seq && !self.answered => {
                self.answered = true;
                let (micros, same) = (now.since(self.sent).as_micros(), text == PAYLOAD && len == text.len());
                defmt::info!("answer {=u16} after {=u64} us, unchanged {=bool}", seq, micros, same);
            }
            // A late answer, or one that came twice.
            Ok(Echoed::Reply { .. }) | Err(_) => {}
            Ok(_) => defmt::info!("the gateway cannot be reached"),
        }
        if now.since(self.sent) >= INTERVAL {
            if !self.answered {
                defmt::info!("no answer to {=u16}", self.seq);
            }
            self.seq = self.seq.wrapping_add(1);
            (self.sent, self.answered) = (now, false);
            // Where it cannot be sent there is no answer, and that is told.
            let _ = net.stack.icmp_send(self.socket, IpAddr::V4(GATEWAY), self.seq, &PAYLOAD, None);
        }
    }
}

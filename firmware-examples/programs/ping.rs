//! Answers pings, as every stack does, and pings its gateway once a second, logging round trips (RFC 792).
#![no_std]
#![no_main]
#![deny(unsafe_code)]

use board::Board;
use core::net::IpAddr;
use firmware::GATEWAY;
use firmware::net::{self, Net};
use ringtap::icmp::IcmpHandle;
use ringtap::stack::{Echoed, StaticStorage};
use ringtap::time::Duration;
use static_cell::ConstStaticCell;

/// How long an answer is waited for, and then the next ping.
const INTERVAL: Duration = Duration::from_secs(1);

/// Octets of payload, as many as other pings send.
const PAYLOAD: [u8; 56] = *b"The same text comes back, or the stack says what is wron";

// One UDP socket, for tests; no connection is made, but there is room for one.
static STORAGE: ConstStaticCell<StaticStorage<'static, 1, 1, 536, 536, 18>> =
    ConstStaticCell::new(StaticStorage::new());

board::entry!(main);

fn main(board: Board) -> ! {
    let mut net = net::start(board, STORAGE.take());
    let socket = net.stack().icmp_bind(None).expect("room for an echo socket");
    net.set_timeout(Some(INTERVAL));
    #[cfg(feature = "control")]
    let control = firmware::control::Control::open(&mut net);
    defmt::info!("ready");
    for seq in (0..=u16::MAX).cycle() {
        ping(&mut net, socket, seq);
        #[cfg(feature = "control")]
        if control.wants_end(&mut net) {
            net.icmp(socket).expect("it is open").close();
            break;
        }
        net.sleep(INTERVAL);
    }
    net::end(net)
}

/// Pings the gateway and logs what comes of it.
fn ping(net: &mut Net<Board>, socket: IcmpHandle, seq: u16) {
    let sent = net.now();
    let mut view = net.icmp(socket).expect("it is open");
    if view.send(IpAddr::V4(GATEWAY), seq, &PAYLOAD, None).is_err() {
        return defmt::info!("the ping cannot be sent");
    }
    let mut text = [0; PAYLOAD.len()];
    loop {
        match view.recv(&mut text) {
            Ok(Echoed::Reply { seq: of, len, .. }) if of == seq => {
                let micros = net.now().since(sent).as_micros();
                let same = text == PAYLOAD && len == text.len();
                return defmt::info!("answer {=u16} after {=u64} us, unchanged {=bool}", seq, micros, same);
            }
            // A late answer, or one that came twice.
            Ok(Echoed::Reply { .. }) => {}
            Ok(_) => return defmt::info!("the gateway cannot be reached"),
            Err(_) => return defmt::info!("no answer to {=u16}", seq),
        }
    }
}

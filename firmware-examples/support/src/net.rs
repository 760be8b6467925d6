//! A stack on the board's network card: brought up, polled, put to sleep, and ended with its accounts checked.

use crate::{ADDRESS, Board, GATEWAY, PREFIX};
use ringtap::config::Config;
use ringtap::device::{Device, Link};
use ringtap::frame::Pool;
use ringtap::ip::addr::Cidr;
use ringtap::stack::{IfaceId, Stack, Storage};
use ringtap::time::{Duration, Instant};
use ringtap_drivers::nic::Nic;

/// Frames handled in one poll at most.
const BUDGET: usize = 16;

/// The network card is looked after as often at least.
const TEND: Duration = Duration::from_millis(100);

/// How long the end waits for what is still to leave.
const GRACE: Duration = Duration::from_secs(2);

/// A stack with one network card.
pub struct Net<B: Board> {
    /// The board.
    pub board: B,
    /// The stack: sockets are had from it between polls.
    pub stack: Stack<'static>,
    /// The stack's interface of the network card.
    pub iface: IfaceId,
    device: B::Device,
    link: Link,
    more: bool,
}

impl<B: Board> Net<B> {
    /// Brings the network card up and gives it the programs' address and gateway. What cannot be is logged, and ends the
    /// program with exit code 1.
    pub fn start(mut board: B, storage: impl Into<Storage<'static>>) -> Self {
        let device = match board.device() {
            Ok(device) => device,
            Err(error) => {
                defmt::error!("{=str}: no network card: {=str}", B::NAME, error);
                crate::exit(1)
            }
        };
        let mut stack = Stack::new(Config::new(board.secret()), storage);
        let iface = stack.add_interface(&device, device.mac()).expect("room for an interface");
        let address = Cidr::new(ADDRESS.into(), PREFIX).expect("a prefix length");
        stack.add_address(iface, address).expect("room for an address");
        stack.add_gateway(iface, GATEWAY.into()).expect("room for a route");
        defmt::info!("{=str}: 10.7.0.2/24 at {=[u8; 6]:02x}", B::NAME, device.mac().0);
        Self { board, stack, iface, device, link: Link::Down, more: false }
    }

    /// Receives and sends what there is.
    pub fn poll(&mut self) {
        let now = self.board.now();
        let link = self.device.tend(now);
        if link != self.link {
            self.link = link;
            match link {
                Link::Up => defmt::info!("link up"),
                Link::Down => defmt::info!("link down"),
            }
        }
        self.more = self.stack.poll(now, self.iface, &mut self.device, BUDGET).more;
    }

    /// Sleeps until there is something to poll for.
    pub fn wait(&mut self) {
        if !self.more {
            let tend = self.board.now() + TEND;
            let next = self.stack.next_deadline().map_or(tend, |next| next.min(tend));
            self.board.idle(Some(next));
        }
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.board.now()
    }

    /// The network card's driver.
    pub fn device(&self) -> &B::Device {
        &self.device
    }

    /// Ends the program, whose sockets are closed: what waits is sent, the network card stopped; then every frame must be
    /// back in its pool, or the program panics.
    pub fn end(mut self) -> ! {
        let (pool, until): (Pool<'static>, _) = (self.device.pool(), self.board.now() + GRACE);
        while self.stack.tcp_connections() > 0 && self.board.now() < until {
            self.poll();
            self.wait();
        }
        self.poll();
        let counters = self.device.counters();
        self.device.stop();
        let missing = pool.count() - pool.free();
        defmt::info!(
            "received {=u32}, no frame {=u32}, errors {=u32}, overruns {=u32}; sent {=u32}, errors {=u32}; link changes {=u32}",
            counters.rx_packets,
            counters.rx_no_frame,
            counters.rx_errors,
            counters.rx_overruns,
            counters.tx_packets,
            counters.tx_errors,
            counters.link_changes
        );
        defmt::info!("connections {=usize}, frames missing {=usize}", self.stack.tcp_connections(), missing);
        defmt::assert_eq!(missing, 0, "frames were lost");
        defmt::info!("ended well");
        crate::exit(0)
    }
}

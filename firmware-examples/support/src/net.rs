//! A stack on the board's network card: brought up, run by the blocking face, and ended with its accounts checked.

use crate::{ADDRESS, Board, GATEWAY, PREFIX, must};
use ringtap::blocking::{self, Port, Ports, System};
use ringtap::config::Config;
use ringtap::device::{Device as _, Link};
use ringtap::frame::Pool;
use ringtap::ip::addr::Cidr;
use ringtap::stack::{Stack, Storage};
use ringtap::time::{Duration, Instant};
use ringtap_drivers::nic::Nic;

/// The network card is looked after as often at least, and no blocking call of a program waits longer: then it looks for other
/// things to do.
pub const TEND: Duration = Duration::from_millis(100);

/// How long the end waits for what is still to leave.
const GRACE: Duration = Duration::from_secs(2);

/// A stack with the board's network card, its clock and its way to sleep.
pub type Net<B> = blocking::Net<'static, Card<<B as Board>::Device>, Sleeper<B>>;

/// The board as the system that a stack runs on.
pub struct Sleeper<B>(B);

impl<B: Board> System for Sleeper<B> {
    fn now(&mut self) -> Instant {
        self.0.now()
    }

    fn idle(&mut self, until: Option<Instant>) {
        let tend = self.0.now() + TEND;
        self.0.idle(Some(until.map_or(tend, |until| until.min(tend))));
    }
}

/// The network card: a port of the stack that is also looked after.
pub struct Card<D> {
    port: Port<D>,
    link: Link,
}

impl<D> Card<D> {
    /// The driver.
    pub const fn device(&self) -> &D {
        self.port.device()
    }
}

impl<D: Nic<'static>> Ports<'static> for Card<D> {
    fn poll(&mut self, stack: &mut Stack<'static>, now: Instant, budget: usize) -> bool {
        let link = self.port.device_mut().tend(now);
        if link != self.link {
            self.link = link;
            match link {
                Link::Up => defmt::info!("link up"),
                Link::Down => defmt::info!("link down"),
            }
        }
        self.port.poll(stack, now, budget)
    }
}

/// Brings the network card up and gives it the programs' address and gateway. What cannot be is logged, and ends the program
/// with exit code 1.
pub fn start<B: Board>(mut board: B, storage: impl Into<Storage<'static>>) -> Net<B> {
    let device = match board.device() {
        Ok(device) => device,
        Err(error) => {
            defmt::error!("{=str}: no network card: {=str}", B::NAME, error);
            crate::exit(1)
        }
    };
    let mac = device.mac();
    let mut stack = Stack::new(Config::new(board.secret()), storage);
    let port = must(Port::attach(&mut stack, device, mac));
    let address = must(Cidr::new(ADDRESS.into(), PREFIX).ok_or(()));
    must(stack.add_address(port.iface(), address));
    must(stack.add_gateway(port.iface(), GATEWAY.into()));
    defmt::info!("{=str}: 10.7.0.2/24 at {=[u8; 6]:02x}", B::NAME, mac.0);
    blocking::Net::new(stack, Card { port, link: Link::Down }, Sleeper(board))
}

/// Ends the program, whose sockets are closed: what waits is sent, the network card stopped; then every frame must be back in its
/// pool, or the program panics.
pub fn end<B: Board>(mut net: Net<B>) -> ! {
    net.block_on(Some(GRACE), |stack| (stack.tcp_connections() == 0).then_some(()));
    net.poll();
    let (stack, card, _) = net.into_parts();
    let device = card.port.into_device();
    let pool: Pool<'static> = device.pool();
    let counters = device.counters();
    device.stop();
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
    defmt::info!("connections {=usize}, frames missing {=usize}", stack.tcp_connections(), missing);
    defmt::assert_eq!(missing, 0, "frames were lost");
    defmt::info!("ended well");
    crate::exit(0)
}

//! An echo on TCP and UDP port 7 without a board: what `size` says of it is what the stack needs of flash and RAM.
//!
//! It is linked, not run. The device and the clock are nothing that the optimiser can see through, so that nothing of
//! the stack is left out because it could not happen here; there is no start-up code, no logging and no driver, and a
//! panic stands still without a word.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

mod names;

use memory as _;

use core::hint::black_box;
use core::net::Ipv4Addr;
use core::task::Waker;
use ringtap::config::Config;
use ringtap::device::{Capabilities, Device, Mac, Medium, RxMeta, TxMeta};
use ringtap::frame::{Frame, Pool, PoolMemory};
use ringtap::ip::addr::Cidr;
use ringtap::rng::Secret;
use ringtap::sockets::{UdpHandle, UdpOptions};
use ringtap::stack::{Stack, StaticStorage, TcpSocket};
use ringtap::tcp::{ListenOptions, TcpHandle, TcpOptions};
use ringtap::time::Instant;
use static_cell::ConstStaticCell;

/// TCP connections.
const CONNECTIONS: usize = 4;

/// A connection's buffers each way: two segments of the size that every host takes (RFC 9293 §3.7.1).
const BUFFER: usize = 2 * 536;

/// UDP sockets: that of the service, and of what else there is.
const DATAGRAMS: usize = 1 + names::SOCKETS;

/// Besides those of sockets, a stack of this storage has 16 nodes; one is for the conflicts that DHCP probes for.
const NODES: usize = CONNECTIONS + DATAGRAMS + 16 + cfg!(feature = "dhcpv4") as usize;

/// The service's port (RFC 862).
const PORT: u16 = 7;

/// Frames handled in one poll at most.
const BUDGET: usize = 16;

static FRAMES: PoolMemory<1536, 6> = PoolMemory::new();
static STORAGE: ConstStaticCell<StaticStorage<'static, CONNECTIONS, DATAGRAMS, BUFFER, BUFFER, NODES>> =
    ConstStaticCell::new(StaticStorage::new());

/// An Ethernet device of which nothing is known while compiling: whether a frame has come, how long it is, and whether
/// one can be sent.
struct Opaque(Pool<'static>);

impl Device<'static> for Opaque {
    fn capabilities(&self) -> Capabilities {
        Capabilities::plain(Medium::Ethernet, 1500)
    }

    fn pool(&self) -> Pool<'static> {
        self.0
    }

    fn receive(&mut self) -> Option<(Frame<'static>, RxMeta)> {
        let mut frame = self.0.take(0)?;
        black_box(frame.append(black_box(60))?);
        black_box(Some((frame, RxMeta::default())))
    }

    fn transmit(&mut self, frame: Frame<'static>, _: TxMeta) -> Result<(), Frame<'static>> {
        black_box(Err(frame))
    }

    fn register_waker(&mut self, waker: &Waker) {
        black_box(waker);
    }
}

/// Where a processor would begin.
// SAFETY: nothing else has this name.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.start")]
extern "C" fn start() -> ! {
    let mut device = Opaque(FRAMES.pool());
    let mut stack = Stack::new(Config::new(Secret::new(black_box([0; 16]))), STORAGE.take());
    let Some((iface, listener, datagrams)) = set_up(&mut stack, &device) else { stop() };
    let mut connections = [None; CONNECTIONS];
    let mut names = names::Names::start(&mut stack, iface);
    loop {
        let now = Instant::from_micros(black_box(0));
        let _ = black_box(stack.poll(now, iface, &mut device, BUDGET));
        black_box(stack.next_deadline());
        if let Some(place) = connections.iter_mut().find(|place| place.is_none()) {
            *place = stack.tcp_accept(listener).ok().map(|(handle, _)| handle);
        }
        for place in &mut connections {
            serve(&mut stack, place);
        }
        answer(&mut stack, datagrams);
        names.poll(&mut stack, now);
    }
}

/// Addresses the interface and opens the sockets.
fn set_up(
    stack: &mut Stack<'static>,
    device: &Opaque,
) -> Option<(ringtap::stack::IfaceId, ringtap::tcp::ListenerHandle, UdpHandle)> {
    let iface = stack.add_interface(device, Mac(black_box([2, 0, 0, 0, 0, 1]))).ok()?;
    let [address, gateway] = black_box([Ipv4Addr::new(10, 7, 0, 2), Ipv4Addr::new(10, 7, 0, 1)]);
    stack.add_address(iface, Cidr::new(address.into(), 24)?).ok()?;
    stack.add_gateway(iface, gateway.into()).ok()?;
    let tcp = TcpOptions { rx_buffer: BUFFER, tx_buffer: BUFFER, ..TcpOptions::default() };
    let listener = stack.tcp_listen(None, PORT, &ListenOptions { backlog: CONNECTIONS, tcp }).ok()?;
    let datagrams = stack.udp_bind(None, PORT, &UdpOptions::default()).ok()?;
    Some((iface, listener, datagrams))
}

/// Gives a connection its turn; one that is over leaves its place.
fn serve(stack: &mut Stack<'static>, place: &mut Option<TcpHandle>) {
    let Some(handle) = *place else { return };
    let Ok(mut socket) = stack.tcp(handle) else {
        *place = None;
        return;
    };
    if !echo(&mut socket) {
        socket.close();
        *place = None;
    }
}

/// What comes goes back, as far as there is room; whether the connection goes on.
fn echo(socket: &mut TcpSocket<'_, 'static>) -> bool {
    let mut text = [0; 256];
    let Ok(len) = socket.peek(&mut text) else { return socket.error().is_none() };
    let written = socket.write(&text[..len]).unwrap_or(0);
    let _ = socket.read(&mut text[..written]);
    len > 0
}

/// Sends a datagram back. Where the queue is full the answer is lost, as any datagram may be.
fn answer(stack: &mut Stack<'static>, datagrams: UdpHandle) {
    let Ok(mut socket) = stack.udp(datagrams) else { return };
    if let Ok((payload, received)) = socket.recv() {
        let _ = socket.reply(&received, &payload);
    }
}

fn stop() -> ! {
    loop {
        core::hint::spin_loop();
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    stop()
}

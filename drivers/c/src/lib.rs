//! ringtap for C: a static library and `include/ringtap.h`, which says what each call does.
//!
//! `unsafe` is here because C's pointers come in: each is checked for NULL, and then believed, as the header asks. IPv4 only;
//! hosted, since it allocates.
//!
//! ```text
//!   C ─▶ ringtap_* ─▶ Ringtap ┬ Stack
//!                             ├ sockets: numbers with a generation, so that an old one is never another socket's
//!                             └ Callbacks (device.rs) ─▶ C
//! ```
#![deny(unsafe_op_in_unsafe_fn)]

mod device;

use device::Callbacks;
pub use device::Device;
use ringtap::config::Config;
use ringtap::device::Mac;
use ringtap::error::{AcceptError, BindError, ConnectError, RecvError, SendError, TcpError};
use ringtap::frame::BoxedPool;
use ringtap::ip::addr::Cidr;
use ringtap::rng::Secret;
use ringtap::sockets::{UdpHandle, UdpOptions};
use ringtap::stack::{IfaceId, Limits, Stack, Storage};
use ringtap::tcp::{ConnectOptions, ListenOptions, ListenerHandle, TcpHandle};
use ringtap::time::Instant;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Errors, as in the header.
const AGAIN: i32 = -1;
const INVALID: i32 = -2;
const STALE: i32 = -3;
const FULL: i32 = -4;
const IN_USE: i32 = -5;
const REFUSED: i32 = -6;
const RESET: i32 = -7;
const TIMED_OUT: i32 = -8;
const NO_ROUTE: i32 = -9;
const CLOSED: i32 = -10;
const TOO_LONG: i32 = -11;

/// Octets of a frame, and how few frames there may be.
const FRAME: usize = 1536;
const FRAMES_MIN: u16 = 8;

/// Packets each way in one poll.
const BUDGET: usize = 32;

/// Sockets at once: a number's lower half. Its upper half is the generation, 15 bits of it.
const SOCKETS: usize = 0x1_0000;

/// `struct ringtap_config`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    mac: [u8; 6],
    address: [u8; 4],
    prefix: u8,
    gateway: [u8; 4],
    secret: [u8; 16],
    frames: u16,
}

/// `struct ringtap_peer`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    address: [u8; 4],
    port: u16,
}

impl Peer {
    fn socket(self) -> SocketAddr {
        (self.address, self.port).into()
    }
}

#[derive(Clone, Copy)]
enum Socket {
    Listener(ListenerHandle),
    Tcp(TcpHandle),
    Udp(UdpHandle),
}

/// A place for a socket, and how often it was used.
struct Slot {
    socket: Option<Socket>,
    generation: u16,
}

/// `struct ringtap`.
pub struct Ringtap {
    stack: Stack<'static>,
    iface: IfaceId,
    device: Callbacks,
    sockets: Vec<Slot>,
    /// From a `Box`; outlives all above.
    memory: *mut BoxedPool,
}

impl Ringtap {
    /// # Safety
    /// The device's callbacks may be called until the end.
    unsafe fn new(device: Device, settings: &Settings) -> Option<Box<Self>> {
        let memory = Box::into_raw(Box::new(BoxedPool::new(FRAME, settings.frames.max(FRAMES_MIN).into())));
        // SAFETY: just made, and freed only by `drop`, after all that has frames of it.
        let pool = unsafe { &*memory }.pool();
        let mut stack = Stack::new(Config::new(Secret::new(settings.secret)), Storage::growing(Limits::default()));
        let device = Callbacks::new(device, pool);
        let iface = device.as_ref().and_then(|device| stack.add_interface(device, Mac(settings.mac)).ok());
        let whole = device.zip(iface).filter(|(_, iface)| configure(&mut stack, *iface, settings).is_some());
        let Some((device, iface)) = whole else {
            drop(stack);
            // SAFETY: from a `Box`, and nothing uses it any more.
            drop(unsafe { Box::from_raw(memory) });
            return None;
        };
        Some(Box::new(Self { stack, iface, device, sockets: Vec::new(), memory }))
    }

    /// Takes the stack apart, in the one order that is right.
    fn end(self: Box<Self>) {
        let Self { stack, device, memory, .. } = *self;
        drop((stack, device));
        // SAFETY: from a `Box`; what had frames of it is gone.
        drop(unsafe { Box::from_raw(memory) });
    }

    /// A number for a socket; without room for one it is closed.
    fn insert(&mut self, socket: Socket) -> i32 {
        let free = self.sockets.iter().position(|slot| slot.socket.is_none());
        let index = free.unwrap_or(self.sockets.len());
        if index == SOCKETS {
            self.close(socket);
            return FULL;
        }
        if free.is_none() {
            self.sockets.push(Slot { socket: None, generation: 0 });
        }
        self.sockets[index].socket = Some(socket);
        i32::from(self.sockets[index].generation) << 16 | index as i32
    }

    fn slot(&mut self, number: i32) -> Option<&mut Slot> {
        let (index, generation) = ((number & 0xffff) as usize, number >> 16);
        self.sockets.get_mut(index).filter(|slot| i32::from(slot.generation) == generation)
    }

    fn find(&mut self, number: i32) -> Option<Socket> {
        self.slot(number).and_then(|slot| slot.socket)
    }

    fn close(&mut self, socket: Socket) {
        match socket {
            Socket::Listener(handle) => drop(self.stack.tcp_unlisten(handle)),
            Socket::Tcp(handle) => drop(self.stack.tcp(handle).map(|socket| socket.close())),
            Socket::Udp(handle) => drop(self.stack.udp(handle).map(|socket| socket.close())),
        }
    }

    fn tcp<R>(
        &mut self,
        number: i32,
        act: impl FnOnce(ringtap::stack::TcpSocket<'_, 'static>) -> Result<R, TcpError>,
    ) -> Result<R, i32> {
        let Some(Socket::Tcp(handle)) = self.find(number) else { return Err(STALE) };
        self.stack.tcp(handle).map_err(|_| STALE).and_then(|socket| act(socket).map_err(tcp_error))
    }

    fn udp(&mut self, number: i32) -> Result<ringtap::stack::UdpSocket<'_, 'static>, i32> {
        let Some(Socket::Udp(handle)) = self.find(number) else { return Err(STALE) };
        self.stack.udp(handle).map_err(|_| STALE)
    }
}

/// Addresses and the way out.
fn configure(stack: &mut Stack<'_>, iface: IfaceId, settings: &Settings) -> Option<()> {
    let address = Cidr::new(Ipv4Addr::from(settings.address).into(), settings.prefix)?;
    stack.add_address(iface, address).ok()?;
    let gateway = Ipv4Addr::from(settings.gateway);
    if !gateway.is_unspecified() {
        stack.add_gateway(iface, gateway.into()).ok()?;
    }
    Some(())
}

fn tcp_error(error: TcpError) -> i32 {
    match error {
        TcpError::WouldBlock => AGAIN,
        TcpError::Refused => REFUSED,
        TcpError::Reset => RESET,
        TcpError::TimedOut => TIMED_OUT,
        TcpError::Stale => STALE,
        TcpError::AddressGone => NO_ROUTE,
        _ => CLOSED,
    }
}

fn bind_error(error: BindError) -> i32 {
    match error {
        BindError::InUse => IN_USE,
        BindError::NoPort | BindError::Full | BindError::NoBuffer => FULL,
        _ => INVALID,
    }
}

fn connect_error(error: ConnectError) -> i32 {
    match error {
        ConnectError::NoRoute => NO_ROUTE,
        ConnectError::InUse => IN_USE,
        ConnectError::NoPort | ConnectError::Full | ConnectError::NoBuffer => FULL,
        _ => INVALID,
    }
}

fn send_error(error: SendError) -> i32 {
    match error {
        SendError::WouldBlock => AGAIN,
        SendError::TooLong => TOO_LONG,
        SendError::NoRoute | SendError::LinkDown | SendError::Unreachable => NO_ROUTE,
        SendError::Refused => REFUSED,
        SendError::Stale => STALE,
        _ => INVALID,
    }
}

fn receive_error(error: RecvError) -> i32 {
    match error {
        RecvError::WouldBlock => AGAIN,
        RecvError::Refused => REFUSED,
        RecvError::Stale => STALE,
        _ => NO_ROUTE,
    }
}

/// A count, as C has it.
fn count(result: Result<usize, i32>) -> i32 {
    result.map_or_else(|error| error, |n| i32::try_from(n).unwrap_or(i32::MAX))
}

/// Writes who the peer is, where the caller wants to know.
///
/// # Safety
/// `to` is NULL, or may be written.
unsafe fn tell(to: *mut Peer, peer: SocketAddr) {
    if let (Some(to), IpAddr::V4(address)) = (
        // SAFETY: as the caller promises.
        unsafe { to.as_mut() },
        peer.ip(),
    ) {
        *to = Peer { address: address.octets(), port: peer.port() };
    }
}

/// The octets that C names; `None` for NULL, but none of it are fine.
///
/// # Safety
/// `data` is NULL, or `len` octets of it may be read.
unsafe fn octets<'d>(data: *const u8, len: usize) -> Option<&'d [u8]> {
    match len {
        0 => Some(&[]),
        _ if data.is_null() => None,
        // SAFETY: as the caller promises; more than 2^31 - 1 octets are not looked at.
        _ => Some(unsafe { std::slice::from_raw_parts(data, len.min(i32::MAX as usize)) }),
    }
}

/// As [`octets`], to be written.
///
/// # Safety
/// `data` is NULL, or `len` initialised octets of it may be read and written.
unsafe fn room<'d>(data: *mut u8, len: usize) -> Option<&'d mut [u8]> {
    match len {
        0 => Some(&mut []),
        _ if data.is_null() => None,
        // SAFETY: as the caller promises; more than 2^31 - 1 octets are not looked at.
        _ => Some(unsafe { std::slice::from_raw_parts_mut(data, len.min(i32::MAX as usize)) }),
    }
}

/// What each call shares: pointers that are NULL or good, as `ringtap.h` says.
macro_rules! calls {
    ($($(#[$doc:meta])* fn $name:ident($state:ident $(, $arg:ident: $kind:ty)*) $body:block)*) => {$(
        $(#[$doc])*
        ///
        /// # Safety
        /// As `ringtap.h` says: the stack is NULL or one of `ringtap_new`'s that nobody else uses now, and other pointers are
        /// NULL or good for what the call does with them.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(stack: *mut Ringtap $(, $arg: $kind)*) -> i32 {
            // SAFETY: as the caller promises.
            let Some($state) = (unsafe { stack.as_mut() }) else { return INVALID };
            $body
        }
    )*};
}

/// Makes a stack.
///
/// # Safety
/// As `ringtap.h` says: the pointers are NULL or good, and the callbacks may be called until the stack is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringtap_new(device: *const Device, config: *const Settings) -> *mut Ringtap {
    // SAFETY: as the caller promises.
    let (Some(device), Some(settings)) = (unsafe { device.as_ref() }, unsafe { config.as_ref() }) else {
        return std::ptr::null_mut();
    };
    // SAFETY: as the caller promises.
    unsafe { Ringtap::new(*device, settings) }.map_or(std::ptr::null_mut(), Box::into_raw)
}

/// Frees a stack.
///
/// # Safety
/// It is NULL, or one of [`ringtap_new`]'s that is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringtap_free(stack: *mut Ringtap) {
    if !stack.is_null() {
        // SAFETY: as the caller promises.
        unsafe { Box::from_raw(stack) }.end();
    }
}

/// Receives and sends; when to be called again, in microseconds.
///
/// # Safety
/// The stack is NULL, or one of [`ringtap_new`]'s that nobody else uses now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringtap_poll(stack: *mut Ringtap, now: u64) -> u64 {
    // SAFETY: as the caller promises.
    let Some(Ringtap { stack, iface, device, .. }) = (unsafe { stack.as_mut() }) else { return u64::MAX };
    let polled = stack.poll(Instant::from_micros(now), *iface, device, BUDGET);
    // Whoever wants to know looks at the sockets.
    while stack.next_event().is_some() {}
    if polled.more { now } else { polled.next.map_or(u64::MAX, Instant::as_micros) }
}

calls! {
    /// Listens for connections.
    fn ringtap_tcp_listen(state, port: u16, backlog: u16) {
        let options = ListenOptions { backlog: usize::from(backlog), ..ListenOptions::default() };
        match state.stack.tcp_listen(None, port, &options) {
            Ok(handle) => state.insert(Socket::Listener(handle)),
            Err(error) => bind_error(error),
        }
    }

    /// Takes a connection that somebody has opened.
    fn ringtap_tcp_accept(state, listener: i32, from: *mut Peer) {
        let Some(Socket::Listener(handle)) = state.find(listener) else { return STALE };
        match state.stack.tcp_accept(handle) {
            Ok((handle, peer)) => {
                // SAFETY: as the caller promises.
                unsafe { tell(from, peer) };
                state.insert(Socket::Tcp(handle))
            }
            Err(AcceptError::WouldBlock) => AGAIN,
            Err(_) => STALE,
        }
    }

    /// Begins to open a connection.
    fn ringtap_tcp_connect(state, to: *const Peer) {
        // SAFETY: as the caller promises.
        let Some(to) = (unsafe { to.as_ref() }) else { return INVALID };
        match state.stack.tcp_connect(to.socket(), &ConnectOptions::default()) {
            Ok(handle) => state.insert(Socket::Tcp(handle)),
            Err(error) => connect_error(error),
        }
    }

    /// Opens a datagram socket.
    fn ringtap_udp_bind(state, port: u16) {
        match state.stack.udp_bind(None, port, &UdpOptions::default()) {
            Ok(handle) => state.insert(Socket::Udp(handle)),
            Err(error) => bind_error(error),
        }
    }

    /// Gives text to a connection.
    fn ringtap_tcp_send(state, socket: i32, data: *const u8, len: usize) {
        // SAFETY: as the caller promises.
        let Some(text) = (unsafe { octets(data, len) }) else { return INVALID };
        count(state.tcp(socket, |mut socket| socket.write(text)))
    }

    /// Takes text from a connection.
    fn ringtap_tcp_recv(state, socket: i32, data: *mut u8, len: usize) {
        // SAFETY: as the caller promises.
        let Some(text) = (unsafe { room(data, len) }) else { return INVALID };
        count(state.tcp(socket, |mut socket| socket.read(text)))
    }

    /// Ends what this end sends.
    fn ringtap_tcp_shutdown(state, socket: i32) {
        count(state.tcp(socket, |mut socket| socket.shutdown_write().map(|()| 0)))
    }

    /// Sends a datagram.
    fn ringtap_udp_sendto(state, socket: i32, data: *const u8, len: usize, to: *const Peer) {
        // SAFETY: as the caller promises.
        let (Some(payload), Some(to)) = (unsafe { octets(data, len) }, unsafe { to.as_ref() }) else { return INVALID };
        let sent = state.udp(socket).and_then(|mut socket| socket.send_to(payload, to.socket()).map_err(send_error));
        count(sent.map(|()| 0))
    }

    /// Takes a datagram.
    fn ringtap_udp_recvfrom(state, socket: i32, data: *mut u8, len: usize, from: *mut Peer) {
        // SAFETY: as the caller promises.
        let Some(buf) = (unsafe { room(data, len) }) else { return INVALID };
        let received = state.udp(socket).and_then(|mut socket| socket.recv_from(buf).map_err(receive_error));
        count(received.map(|received| {
            // SAFETY: as the caller promises.
            unsafe { tell(from, received.from) };
            received.full_len
        }))
    }

    /// Closes a socket.
    fn ringtap_close(state, socket: i32) {
        let Some(slot) = state.slot(socket) else { return STALE };
        let Some(socket) = slot.socket.take() else { return STALE };
        slot.generation = (slot.generation + 1) & 0x7fff;
        state.close(socket);
        0
    }
}

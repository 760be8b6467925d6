//! The stack talks TCP to itself over an in-memory loopback device; no network card is touched. Ends with exit code 0.
//!
//! A client sends text to an echo service on port 7, reads it back, and closes; both ends live in the same stack. Nothing
//! is allocated; what the program needs lies in `.bss` within 64 KiB.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

use board::Board;
use core::hint::black_box;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use firmware::Board as _;
use ringtap::config::Config;
use ringtap::device::{Loopback, Mac};
use ringtap::error::{AcceptError, TcpError};
use ringtap::frame::PoolMemory;
use ringtap::ip::addr::Cidr;
use ringtap::stack::{IfaceId, Stack, StaticStorage};
use ringtap::tcp::{ConnectOptions, ListenOptions, ListenerHandle, TcpHandle, TcpOptions};
use ringtap::time::{Duration, Instant};
use static_cell::ConstStaticCell;

const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const PORT: u16 = 7;

/// Octets that go out and come back.
const TOTAL: usize = 50_000;
const BUFFER: usize = 4096;

static FRAMES: PoolMemory<1536, 8> = PoolMemory::new();
// Two ends of one connection, and one to spare; 3 + 1 + 16 nodes.
static STORAGE: ConstStaticCell<StaticStorage<'static, 3, 1, BUFFER, BUFFER, 20>> =
    ConstStaticCell::new(StaticStorage::new());

board::entry!(main);

fn main(mut board: Board) -> ! {
    check_memory();
    let mut program = Program::new(Stack::new(Config::new(board.secret()), STORAGE.take()));
    program.run();
    let (time, virtual_time) = (board.now(), program.now);
    let polls = program.polls;
    assert_eq!(FRAMES.pool().free(), FRAMES.pool().count(), "frames were lost");
    assert!(virtual_time.since(Instant::ZERO) >= Duration::from_secs(60), "the connection was not kept in TIME-WAIT");
    defmt::info!(
        "loopback: passed; {=usize} octets out and back in {=u64:us}, {=u32} polls",
        TOTAL,
        time.as_micros(),
        polls
    );
    firmware::exit(0)
}

/// Copies, moves, fills and compares what lies at any place of a word, in any length up to four words: on Cortex-M that is assembly of
/// these examples (`memory/`).
fn check_memory() {
    let from: [u8; 40] = core::array::from_fn(|i| i as u8 + 1);
    for (len, at, to) in (0..=32).flat_map(|len| (0..16).map(move |n| (len, n / 4, n % 4))) {
        let (len, at, to) = (black_box(len), black_box(at), black_box(to));
        let mut copy = [0xaa; 40];
        copy[to..to + len].copy_from_slice(&from[at..at + len]);
        assert!(copy.iter().enumerate().all(|(i, octet)| match i.checked_sub(to) {
            Some(n) if n < len => *octet == (n + at) as u8 + 1,
            _ => *octet == 0xaa,
        }));
        assert!(black_box(&copy[to..to + len]) == black_box(&from[at..at + len]));
        let mut moved = from;
        moved.copy_within(at..at + len, to);
        assert!(moved.iter().enumerate().all(|(i, octet)| match i.checked_sub(to) {
            Some(n) if n < len => *octet == (n + at) as u8 + 1,
            _ => *octet == i as u8 + 1,
        }));
        let mut other = copy;
        other[to + len / 2] ^= 1;
        assert!(len == 0 || black_box(&copy[to..to + len]) != black_box(&other[to..to + len]));
        copy[to..to + len].fill(black_box(at as u8));
        assert!(copy.iter().enumerate().all(|(i, octet)| match i.checked_sub(to) {
            Some(n) if n < len => *octet == at as u8,
            _ => *octet == 0xaa,
        }));
    }
}

/// The stack, its device, and the two ends.
struct Program {
    stack: Stack<'static>,
    device: Loopback<'static, 8>,
    iface: IfaceId,
    now: Instant,
    polls: u32,
    listener: ListenerHandle,
    client: Option<TcpHandle>,
    server: Option<TcpHandle>,
    /// What the server has read and not written yet.
    echo: heapless::Vec<u8, 512>,
    sent: usize,
    received: usize,
}

impl Program {
    fn new(mut stack: Stack<'static>) -> Self {
        let device = Loopback::new(FRAMES.pool(), 1500);
        let iface = stack.add_interface(&device, Mac::default()).expect("room for an interface");
        let address = Cidr::new(ADDRESS.into(), 24).expect("a prefix length");
        stack.add_address(iface, address).expect("room for an address");
        let tcp = TcpOptions { rx_buffer: BUFFER, tx_buffer: BUFFER, ..TcpOptions::default() };
        let listen = ListenOptions { backlog: 2, tcp };
        let listener = stack.tcp_listen(None, PORT, &listen).expect("room for a listener");
        let connect = ConnectOptions { tcp, ..ConnectOptions::default() };
        let client = stack.tcp_connect(SocketAddr::new(IpAddr::V4(ADDRESS), PORT), &connect).expect("a connection");
        Self {
            stack,
            device,
            iface,
            now: Instant::ZERO,
            polls: 0,
            listener,
            client: Some(client),
            server: None,
            echo: heapless::Vec::new(),
            sent: 0,
            received: 0,
        }
    }

    fn run(&mut self) {
        while !self.is_done() {
            let polled = self.stack.poll(self.now, self.iface, &mut self.device, 16);
            self.polls += 1;
            assert!(self.polls < 10_000, "no end in sight: {} out, {} back, {polled:?}", self.sent, self.received);
            let progress = self.serve() | self.request();
            if progress || polled.more || !polled.pending.is_empty() || self.is_done() {
                continue;
            }
            // Nothing comes from outside: the time of the next timer may as well be now.
            let next = polled.next.expect("a timer as long as there is a connection");
            assert!(next.since(Instant::ZERO) < Duration::from_secs(600), "the connection hangs");
            self.now = self.now.max(next);
        }
    }

    /// Both ends are closed, and TIME-WAIT is over.
    fn is_done(&self) -> bool {
        let left = self.stack.tcp_connections() + self.stack.tcp_time_waits();
        self.client.is_none() && self.server.is_none() && left == 0
    }

    /// The echo service: whatever comes goes back. Whether anything happened.
    fn serve(&mut self) -> bool {
        let Some(server) = self.server else {
            match self.stack.tcp_accept(self.listener) {
                Ok((server, _)) => self.server = Some(server),
                Err(AcceptError::WouldBlock) => return false,
                Err(error) => panic!("{error}"),
            }
            return true;
        };
        let mut socket = self.stack.tcp(server).expect("it is ours");
        if self.echo.is_empty() {
            let mut text = [0; 512];
            match socket.read(&mut text) {
                Ok(0) => {
                    socket.close();
                    self.server = None;
                    return true;
                }
                Ok(len) => self.echo.extend_from_slice(&text[..len]).expect("it was empty"),
                Err(TcpError::WouldBlock) => return false,
                Err(error) => panic!("{error}"),
            }
        }
        match socket.write(&self.echo) {
            Ok(written) => drop(self.echo.drain(..written)),
            Err(TcpError::WouldBlock) => return false,
            Err(error) => panic!("{error}"),
        }
        true
    }

    /// The client: writes, reads back, compares, closes. Whether anything happened.
    fn request(&mut self) -> bool {
        let Some(client) = self.client else { return false };
        let mut progress = false;
        let mut socket = self.stack.tcp(client).expect("it is ours");
        if self.sent < TOTAL && socket.writable() {
            let mut text = [0; 700];
            let len = text.len().min(TOTAL - self.sent);
            for (i, octet) in text.iter_mut().enumerate() {
                *octet = octet_at(self.sent + i);
            }
            self.sent += socket.write(&text[..len]).expect("writable");
            if self.sent == TOTAL {
                socket.shutdown_write().expect("still open");
            }
            progress = true;
        }
        let mut text = [0; 512];
        match socket.read(&mut text) {
            Ok(0) => {
                assert_eq!(self.received, TOTAL, "the end came too early");
                socket.close();
                self.client = None;
                progress = true;
            }
            Ok(len) => {
                let expected = (self.received..).map(octet_at);
                assert!(text[..len].iter().copied().eq(expected.take(len)), "the text came back changed");
                self.received += len;
                progress = true;
            }
            Err(TcpError::WouldBlock) => {}
            Err(error) => panic!("{error}"),
        }
        progress
    }
}

/// The octet at this place of the text: no period that a lost or doubled segment could hide in.
fn octet_at(place: usize) -> u8 {
    (place as u32).wrapping_mul(0x9e37_79b9).to_be_bytes()[0]
}

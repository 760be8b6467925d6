//! How many instructions a segment costs: one stack sends to another, both in this program, and no network card is touched.
//! Ends with exit code 0.
//!
//! The time is that of the board's clock. Where instructions are the clock (QEMU's `-icount`), it counts them, and every
//! run is the same. A segment's cost has in it what the user's call, the acknowledgments and the checksums cost.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

use board::Board;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::task::Waker;
use firmware::Board as _;
use heapless::Deque;
use ringtap::config::Config;
use ringtap::device::{Capabilities, Device, Mac, Medium, RxMeta, TxMeta};
use ringtap::frame::{Frame, Pool, PoolMemory};
use ringtap::ip::addr::Cidr;
use ringtap::stack::{IfaceId, Stack, StaticStorage, Storage};
use ringtap::tcp::{ConnectOptions, ListenOptions, TcpOptions};
use ringtap::time::Duration;
use static_cell::ConstStaticCell;

/// The text of a full segment in an Ethernet frame.
const SEGMENT: usize = 1460;

/// Segments before the count begins, when the connection has opened its window, and segments that are counted.
const BEFORE: usize = 100;
const COUNTED: usize = 2_000;

/// The buffer that the text passes, on either side, and the one that stays empty.
const BUFFER: usize = 4 * SEGMENT;
const SMALL: usize = 64;

const SENDER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const RECEIVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const PORT: u16 = 9;

static FRAMES: [PoolMemory<1536, 6>; 2] = [const { PoolMemory::new() }; 2];
static SENDERS: ConstStaticCell<StaticStorage<'static, 1, 1, SMALL, BUFFER, 18>> =
    ConstStaticCell::new(StaticStorage::new());
static RECEIVERS: ConstStaticCell<StaticStorage<'static, 1, 1, BUFFER, SMALL, 18>> =
    ConstStaticCell::new(StaticStorage::new());
static TEXT: [u8; SEGMENT] = [b'x'; SEGMENT];

board::entry!(main);

fn main(mut board: Board) -> ! {
    let [left, right] = &FRAMES;
    let mut sender = End::new(&mut board, SENDERS.take().into(), left.pool(), SENDER);
    let mut receiver = End::new(&mut board, RECEIVERS.take().into(), right.pool(), RECEIVER);
    let tcp = TcpOptions { rx_buffer: SMALL, tx_buffer: BUFFER, ..TcpOptions::default() };
    let options = ConnectOptions { tcp, ..ConnectOptions::default() };
    let tcp = TcpOptions { rx_buffer: BUFFER, tx_buffer: SMALL, ..TcpOptions::default() };
    let listener = receiver.stack.tcp_listen(None, PORT, &ListenOptions { backlog: 1, tcp }).expect("a listener");
    let there = SocketAddr::new(IpAddr::V4(RECEIVER), PORT);
    let out = sender.stack.tcp_connect(there, &options).expect("a connection");
    let mut input = None;
    let (mut sent, mut received, mut last) = (Duration::ZERO, Duration::ZERO, board.now());
    let (mut octets, mut from, mut to) = (0, None, BEFORE * SEGMENT);
    while octets < to {
        if let Ok(mut socket) = sender.stack.tcp(out) {
            while let Ok(1..) = socket.write(&TEXT) {}
        }
        sender.poll(&board);
        let turn = board.now();
        sent = sent + turn.since(last);
        receiver.take(&mut sender);
        receiver.poll(&board);
        if input.is_none() {
            input = receiver.stack.tcp_accept(listener).ok().map(|(handle, _)| handle);
        }
        if let Some(handle) = input
            && let Ok(mut socket) = receiver.stack.tcp(handle)
        {
            while let Ok(len @ 1..) = socket.read_with(|text| (text.len(), text.len())) {
                octets += len;
            }
        }
        receiver.poll(&board);
        last = board.now();
        received = received + last.since(turn);
        sender.take(&mut receiver);
        assert!(last.as_micros() < 60_000_000, "the transfer hangs");
        if from.is_none() && octets >= to {
            // From here on it is counted.
            (from, to) = (Some(octets), octets + COUNTED * SEGMENT);
            (sent, received) = (Duration::ZERO, Duration::ZERO);
        }
    }
    let counted = (octets - from.unwrap_or(0)) / SEGMENT;
    defmt::info!(
        "segments: passed; {=usize} segments, sent in {=u64} us, received in {=u64} us",
        counted,
        sent.as_micros(),
        received.as_micros()
    );
    firmware::exit(0)
}

/// A stack and its end of the cable.
struct End {
    stack: Stack<'static>,
    iface: IfaceId,
    plug: Plug,
}

impl End {
    fn new(board: &mut Board, storage: Storage<'static>, pool: Pool<'static>, address: Ipv4Addr) -> Self {
        let mut stack = Stack::new(Config::new(board.secret()), storage);
        let plug = Plug { pool, inbox: Deque::new(), outbox: Deque::new() };
        let iface = stack.add_interface(&plug, Mac([2, 0, 0, 0, 0, address.octets()[3]])).expect("an interface");
        stack.add_address(iface, Cidr::new(address.into(), 24).expect("a prefix length")).expect("an address");
        Self { stack, iface, plug }
    }

    fn poll(&mut self, board: &Board) {
        let _ = self.stack.poll(board.now(), self.iface, &mut self.plug, 16);
    }

    /// Takes what has come by the cable.
    fn take(&mut self, peer: &mut Self) {
        while let Some(frame) = peer.plug.outbox.pop_front() {
            self.plug.inbox.push_back(frame).expect("as long as the other queue, and emptied by each poll");
        }
    }
}

/// A network card without hardware: without checksums or anything else that would help.
struct Plug {
    pool: Pool<'static>,
    inbox: Deque<Frame<'static>, 8>,
    outbox: Deque<Frame<'static>, 8>,
}

impl Device<'static> for Plug {
    fn capabilities(&self) -> Capabilities {
        Capabilities::plain(Medium::Ethernet, 1500)
    }

    fn pool(&self) -> Pool<'static> {
        self.pool
    }

    fn receive(&mut self) -> Option<(Frame<'static>, RxMeta)> {
        Some((self.inbox.pop_front()?, RxMeta::default()))
    }

    fn transmit(&mut self, frame: Frame<'static>, _: TxMeta) -> Result<(), Frame<'static>> {
        self.outbox.push_back(frame)
    }

    fn register_waker(&mut self, _: &Waker) {}
}

//! Two stacks and a wire between them that does what the octets say: text arrives as it was written, whatever happens, and
//! all of it once the wire is good again.

use super::{Bytes, World};
use ringtap::device::Medium;
use ringtap::error::TcpError;
use ringtap::tcp::{ConnectOptions, ListenOptions, State, TcpHandle, TcpOptions};
use ringtap::time::Duration;
use std::collections::VecDeque;

/// Text each way.
const TEXT: usize = 40_000;

fn text(seed: usize) -> impl Fn(usize) -> u8 {
    move |n| ((n * 31 + seed) >> 3) as u8 ^ (n >> 8) as u8
}

/// One end: what it has written and read.
struct End {
    world: World,
    conn: Option<TcpHandle>,
    seed: usize,
    written: usize,
    read: usize,
    is_over: bool,
    failed: bool,
}

impl End {
    fn new(n: u8, six: bool) -> Self {
        let mut world = World::new(n, Medium::Ethernet, 1);
        world.address(0, if six { format!("fe80::{}/64", n + 1) } else { format!("192.0.2.{}/24", n + 1) }.as_str());
        Self { world, conn: None, seed: usize::from(n), written: 0, read: 0, is_over: false, failed: false }
    }

    /// Writes and reads as much as goes, at most this much.
    fn work(&mut self, most: usize) {
        let Some(conn) = self.conn else { return };
        let Ok(mut socket) = self.world.stack.tcp(conn) else { return };
        let mine = text(self.seed);
        let chunk: Vec<u8> = (self.written..TEXT.min(self.written + most)).map(mine).collect();
        match socket.write(&chunk) {
            Ok(n) => self.written += n,
            Err(TcpError::WouldBlock) => {}
            // One that has read all may learn of it by writing alone.
            Err(_) => self.failed |= !chunk.is_empty(),
        }
        self.failed |= socket.info().is_ok_and(|info| info.state == State::Closed && info.unacked > 0);
        if self.written == TEXT {
            let _ = socket.shutdown_write();
        }
        let (others, mut buf) = (text(1 - self.seed), vec![0; most]);
        match socket.read(&mut buf) {
            Ok(0) => self.is_over = true,
            Ok(n) => {
                let expected: Vec<u8> = (self.read..self.read + n).map(others).collect();
                assert!(buf[..n] == expected, "text is another at {} of {n}", self.read);
                self.read += n;
                assert!(self.read <= TEXT);
            }
            Err(TcpError::WouldBlock) => {}
            // A path that is too bad for too long ends a connection.
            Err(_) => self.failed = true,
        }
    }
}

/// What happens to a frame for the end `to`.
fn carry(d: &mut Bytes<'_>, ends: &mut [End; 2], late: &mut Late, to: usize, mut frame: Vec<u8>) {
    let fate = d.byte();
    match fate & 7 {
        1 => return,
        2 => ends[to].world.cards[0].1.rx.push_back(frame.clone()),
        3 => return late.push_back((to, frame)),
        4 => {
            // One bit, behind the addresses of the link: a checksum sees it.
            let at = 12 * 8 + usize::from(d.word()) % ((frame.len() - 12) * 8);
            frame[at / 8] ^= 1 << (at % 8);
        }
        5 => frame.truncate(usize::from(d.byte()).max(14).min(frame.len())),
        6 => late.drain(..).for_each(|(to, frame)| ends[to].world.cards[0].1.rx.push_back(frame)),
        _ => {}
    }
    ends[to].world.cards[0].1.rx.push_back(frame);
}

/// Frames that are late, and for whom.
type Late = VecDeque<(usize, Vec<u8>)>;

/// The first octet says how the ends are; each of the others, what happens to the next frame.
///
/// # Panics
/// When text is lost, doubled or changed, or does not arrive over a wire that is good again.
pub fn wire(data: &[u8]) {
    let mut d = Bytes(data);
    let mode = d.byte();
    let six = mode & 1 != 0;
    let tcp = TcpOptions {
        rx_buffer: [2_048, 60_000][usize::from(mode >> 1 & 1)],
        tx_buffer: [2_048, 60_000][usize::from(mode >> 2 & 1)],
        rx_buffer_max: 0,
        tx_buffer_max: 0,
        timestamps: mode & 8 == 0,
        sack: mode & 16 == 0,
        rack: mode & 32 == 0,
        window_scale: mode & 64 == 0,
        ..TcpOptions::default()
    };
    let mut ends = [End::new(0, six), End::new(1, six)];
    let port = 80;
    let listener = ends[1].world.stack.tcp_listen(None, port, &ListenOptions { backlog: 2, tcp }).expect("a free port");
    let local = if six { "fe80::1" } else { "192.0.2.1" }.parse().expect("an address");
    let to = if six { "fe80::2" } else { "192.0.2.2" }.parse().expect("an address");
    let options = ConnectOptions { tcp, local: Some(local), ..ConnectOptions::default() };
    let remote = std::net::SocketAddr::new(to, port);
    ends[0].conn = Some(ends[0].world.stack.tcp_connect(remote, &options).expect("a way"));
    let mut late = Late::new();
    for _ in 0..30_000 {
        let is_bad = !d.is_empty();
        for n in 0..2 {
            ends[n].work(if is_bad { 3_000 } else { 60_000 });
            for frame in ends[n].world.settle() {
                // Past the octets, all is zeros, and well.
                carry(&mut d, &mut ends, &mut late, 1 - n, frame);
            }
        }
        if !is_bad {
            late.drain(..).for_each(|(to, frame)| ends[to].world.cards[0].1.rx.push_back(frame));
        }
        if ends[1].conn.is_none() {
            ends[1].conn = ends[1].world.stack.tcp_accept(listener).ok().map(|(handle, _)| handle);
        }
        if ends.iter().any(|end| end.failed) || ends.iter().all(|end| end.is_over) {
            break;
        }
        let quiet = ends.iter().all(|end| end.world.cards[0].1.rx.is_empty());
        let next = ends.iter_mut().filter_map(|end| end.world.stack.next_deadline()).min();
        let now = ends[0].world.now;
        let step = if is_bad { Duration::from_millis(u64::from(d.byte())) } else { Duration::from_millis(1) };
        let then =
            if quiet && !is_bad { next.unwrap_or(now + step).max(now + Duration::from_micros(1)) } else { now + step };
        ends.iter_mut().for_each(|end| end.world.now = then);
    }
    if !ends.iter().any(|end| end.failed) {
        for (n, end) in ends.iter().enumerate() {
            assert!(end.is_over && end.read == TEXT, "end {n}: {} of {TEXT} read, {} written", end.read, end.written);
        }
    }
    for end in ends {
        end.world.end();
    }
}

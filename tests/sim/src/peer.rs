//! A hand-made peer with a connection of the stack's: it acknowledges what a test wants acknowledged, SACK blocks included.
//!
//! Numbers are relative: the first octet of text of either side is 0. The peer takes segments of [`SEGMENT`] octets of
//! text, so that segment `n` of a bulk transfer lies at `n * SEGMENT`; [`Peer::segs`] and its like count in those.

use crate::bench::{Bench, Setup, segments, timed};
use crate::packet::{ACK, SYN, Tcp};
use ringtap::tcp::{TcpHandle, TcpInfo, TcpOptions};
use ringtap::time::{Duration, Instant};

/// Octets of text in a full segment of H's.
pub const SEGMENT: u32 = 1000;
/// P's initial sequence number; its text begins one later, close to where numbers wrap.
const ISS: u32 = u32::MAX - 5_000;
const PORT: u16 = 80;
const FROM: u16 = 4000;

/// What the peer offers in its SYN, and how far away it is.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// SACK-permitted.
    pub sack: bool,
    /// Timestamps.
    pub stamps: bool,
    /// The round trip of the handshake, and H's first measurement.
    pub rtt: Duration,
    /// The window field; it is scaled by 2^7.
    pub window: u16,
}

impl Default for Offer {
    /// SACK, no timestamps, 100 ms, 1 MiB.
    fn default() -> Self {
        Self { sack: true, stamps: false, rtt: Duration::from_millis(100), window: 8192 }
    }
}

/// A segment of H's as tests look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Out {
    /// When it left, since the connection was established.
    pub at: Duration,
    /// Relative sequence number of its first octet.
    pub seq: u32,
    /// Octets of text.
    pub len: u32,
    /// Relative acknowledgment number.
    pub ack: u32,
    /// Relative SACK blocks.
    pub blocks: Vec<(u32, u32)>,
    /// TSval.
    pub stamp: Option<u32>,
    /// Its control bits.
    pub flags: u8,
}

/// H with one connection, and who is at its other end.
pub struct Peer {
    /// H.
    pub bench: Bench,
    /// The connection.
    pub handle: TcpHandle,
    /// What P's window field says.
    pub window: u16,
    /// What P's TSecr says; it follows H's TSval unless it is changed.
    pub echo: u32,
    /// P's TSval.
    pub stamp: u32,
    /// P's next sequence number, relative.
    pub seq: u32,
    iss: u32,
    start: Instant,
    stamps: bool,
}

impl Peer {
    /// A connection that P has opened.
    ///
    /// # Panics
    /// When the handshake fails.
    pub fn new(tcp: TcpOptions, offer: Offer) -> Self {
        let setup = Setup { frames: 600, ..Setup::default() };
        let mut bench = Bench::built(setup, |_| {}).with_live_neighbors();
        let listener = bench.listen(PORT, 4, tcp);
        let mss = SEGMENT as u16 + if offer.stamps { 12 } else { 0 };
        let [high, low] = mss.to_be_bytes();
        let mut options = vec![2, 4, high, low, 1, 3, 3, 7];
        if offer.sack {
            options.extend([1, 1, 4, 2]);
        }
        let stamp = 7_000;
        options.extend(stamp_option(offer.stamps, stamp, 0));
        let syn = Tcp { src: FROM, dst: PORT, seq: ISS, flags: SYN, window: 65_535, ..Tcp::default() };
        let answer = segments(&bench.give_tcp(&Tcp { options, ..syn.clone() })).pop().expect("a SYN|ACK");
        assert!(answer.has(SYN | ACK), "{answer:?}");
        assert_eq!(answer.option(4).is_some(), offer.sack && tcp.sack);
        let echo = answer.option(8).map_or(0, |o| u32::from_be_bytes([o[0], o[1], o[2], o[3]]));
        bench.pass(offer.rtt);
        let ack = Tcp {
            seq: ISS + 1,
            ack: answer.seq.wrapping_add(1),
            flags: ACK,
            window: offer.window,
            options: stamp_option(offer.stamps, stamp, echo),
            ..syn
        };
        bench.give_tcp(&ack);
        let handle = bench.stack.tcp_accept(listener).expect("a connection").0;
        let (start, stamps, window, iss) = (bench.now, offer.stamps, offer.window, answer.seq);
        Self { bench, handle, window, echo, stamp, seq: 0, iss, start, stamps }
    }

    fn seen(&mut self, at: Instant, s: &Tcp) -> Out {
        let stamp = s.option(8).map(|o| u32::from_be_bytes([o[0], o[1], o[2], o[3]]));
        self.echo = stamp.unwrap_or(0);
        let blocks = s.option(5).unwrap_or_default();
        let edge = |b: &[u8]| u32::from_be_bytes([b[0], b[1], b[2], b[3]]).wrapping_sub(ISS + 1);
        Out {
            at: at.since(self.start),
            seq: s.seq.wrapping_sub(self.iss + 1),
            len: s.payload.len() as u32,
            ack: s.ack.wrapping_sub(ISS + 1),
            blocks: blocks.chunks(8).map(|b| (edge(b), edge(&b[4..]))).collect(),
            stamp,
            flags: s.flags,
        }
    }

    /// A segment of P's that acknowledges up to `ack`, with these SACK blocks and this text; what H sends at once.
    pub fn give(&mut self, ack: u32, blocks: &[(u32, u32)], text: &[u8]) -> Vec<Out> {
        let mut options = stamp_option(self.stamps, self.stamp, self.echo);
        if !blocks.is_empty() {
            options.extend([1, 1, 5, 2 + 8 * blocks.len() as u8]);
            let number = |n: u32| (self.iss + 1).wrapping_add(n).to_be_bytes();
            options.extend(blocks.iter().flat_map(|&(left, right)| [number(left), number(right)].concat()));
        }
        self.give_with(ack, options, text)
    }

    /// As [`give`](Self::give), with options as they are on the wire.
    pub fn give_with(&mut self, ack: u32, options: Vec<u8>, text: &[u8]) -> Vec<Out> {
        let segment = Tcp {
            src: FROM,
            dst: PORT,
            seq: (ISS + 1).wrapping_add(self.seq),
            ack: self.iss.wrapping_add(1).wrapping_add(ack),
            flags: ACK,
            window: self.window,
            options,
            payload: text.to_vec(),
            ..Tcp::default()
        };
        let sent = segments(&self.bench.give_tcp(&segment));
        sent.iter().map(|s| self.seen(self.bench.now, s)).collect()
    }

    /// P has all before segment `ack`, and the segments `blocks` (each from the one to before the other); the segments
    /// that H sends at once.
    pub fn sack(&mut self, ack: u32, blocks: &[(u32, u32)]) -> Vec<u32> {
        let blocks: Vec<_> = blocks.iter().map(|&(left, right)| (left * SEGMENT, right * SEGMENT)).collect();
        let sent = self.give(ack * SEGMENT, &blocks, &[]);
        Self::segs(&sent)
    }

    /// P sends `len` octets of text from `seq` on, and has all of H's before `ack`; what H sends at once.
    pub fn text(&mut self, seq: u32, len: u32, ack: u32) -> Vec<Out> {
        let before = std::mem::replace(&mut self.seq, seq);
        self.stamp += 1;
        let sent = self.give(ack, &[], &vec![7; len as usize]);
        self.seq = before;
        sent
    }

    /// H's user writes `octets`; what leaves at once.
    ///
    /// # Panics
    /// When there is no room for them.
    pub fn write(&mut self, octets: u32) -> Vec<Out> {
        let text = vec![1; octets as usize];
        assert_eq!(self.bench.stack.tcp(self.handle).expect("open").write(&text), Ok(text.len()));
        self.poll()
    }

    /// H's user writes so many full segments; those that leave at once.
    pub fn send(&mut self, segments: u32) -> Vec<u32> {
        let sent = self.write(segments * SEGMENT);
        Self::segs(&sent)
    }

    /// What H sends now.
    pub fn poll(&mut self) -> Vec<Out> {
        let sent = segments(&self.bench.poll());
        sent.iter().map(|s| self.seen(self.bench.now, s)).collect()
    }

    /// Time passes; what H sends meanwhile.
    pub fn pass(&mut self, ms: u64) -> Vec<Out> {
        let sent = timed(&self.bench.pass(Duration::from_millis(ms)));
        sent.iter().map(|(at, s)| self.seen(*at, s)).collect()
    }

    /// Time passes until H sends something by itself, at most `ms`: how long it took, and what came.
    pub fn wait(&mut self, ms: u64) -> (u64, Vec<Out>) {
        let (start, end) = (self.bench.now, self.bench.now + Duration::from_millis(ms));
        loop {
            match self.bench.stack.next_deadline() {
                Some(at) if at <= end => self.bench.now = self.bench.now.max(at),
                _ => {
                    self.bench.now = end;
                    return (ms, Vec::new());
                }
            }
            let sent = self.poll();
            if !sent.is_empty() {
                return (self.bench.now.since(start).as_micros() / 1000, sent);
            }
        }
    }

    /// The numbers of the full segments among these.
    ///
    /// # Panics
    /// When one of them is not a full segment at its place.
    pub fn segs(sent: &[Out]) -> Vec<u32> {
        let text = sent.iter().filter(|out| out.len > 0);
        text.map(|out| {
            assert!(out.len == SEGMENT && out.seq % SEGMENT == 0, "a whole segment: {out:?}");
            out.seq / SEGMENT
        })
        .collect()
    }

    /// H's numbers.
    ///
    /// # Panics
    /// When the connection is gone.
    pub fn info(&mut self) -> TcpInfo {
        self.bench.stack.tcp(self.handle).expect("open").info().expect("open")
    }

    /// H's congestion window and what is in flight, in whole segments.
    pub fn window(&mut self) -> (u32, u32) {
        let info = self.info();
        (info.cwnd / SEGMENT, info.flight / SEGMENT)
    }

    /// Ends the connection: nothing may be left of it.
    ///
    /// # Panics
    /// When something is.
    pub fn ends_well(mut self) {
        self.bench.stack.tcp(self.handle).expect("open").abort();
        self.bench.poll();
        self.bench.is_well();
    }
}

/// The timestamps option, aligned, or nothing.
fn stamp_option(on: bool, val: u32, ecr: u32) -> Vec<u8> {
    if on { [&[1, 1, 8, 10], &val.to_be_bytes()[..], &ecr.to_be_bytes()].concat() } else { Vec::new() }
}

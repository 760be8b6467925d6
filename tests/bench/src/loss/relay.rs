//! The path: a rate, a delay each way, and losses that a seed chooses.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// 100 Mbit/s, in octets per second.
const RATE: u64 = 12_500_000;
/// Half a round trip.
const DELAY: Duration = Duration::from_millis(10);
/// Frames that wait for the rate, at most.
const QUEUE: usize = 1_000;
/// How long the relay rests when there is nothing to do: little beside a round trip.
const REST: Duration = Duration::from_micros(50);
/// Octets of the length in front of each frame.
const LENGTH: usize = 4;

/// One end of a stream of frames, each with its length in front of it.
pub struct Frames {
    stream: UnixStream,
    received: Vec<u8>,
    to_send: VecDeque<u8>,
}

impl Frames {
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, received: Vec::new(), to_send: VecDeque::new() })
    }

    /// The frames that have come; an error is the end of the stream.
    pub fn receive(&mut self) -> io::Result<Vec<Vec<u8>>> {
        let mut buf = [0; 1 << 16];
        match self.stream.read(&mut buf) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => self.received.extend(buf.iter().take(n)),
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
        let mut frames = Vec::new();
        let mut rest = &self.received[..];
        while let Some((prefix, behind)) = rest.split_first_chunk::<LENGTH>() {
            let len = u32::from_be_bytes(*prefix) as usize;
            let Some((frame, next)) = behind.split_at_checked(len) else { break };
            frames.push(frame.to_vec());
            rest = next;
        }
        let used = self.received.len() - rest.len();
        self.received.drain(..used);
        Ok(frames)
    }

    pub fn send(&mut self, frame: &[u8]) {
        self.to_send.extend((frame.len() as u32).to_be_bytes());
        self.to_send.extend(frame);
    }

    /// Sends what there is room for.
    pub fn flush(&mut self) -> io::Result<()> {
        while !self.to_send.is_empty() {
            let (front, _) = self.to_send.as_slices();
            match self.stream.write(front) {
                Ok(n) => drop(self.to_send.drain(..n)),
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

/// Whether a frame is an IPv4 packet: ARP and IPv6's housekeeping are no part of the comparison.
fn is_ipv4(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&[8, 0])
}

/// The chance of a seed: SplitMix64.
struct Chance(u64);

impl Chance {
    /// True with a probability of so many in a thousand.
    fn per_mille(&mut self, n: u64) -> bool {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % 1_000 < n
    }
}

/// Frames on their way, and when they arrive.
type OnTheWay = VecDeque<(Instant, Vec<u8>)>;

/// Both directions between a sender and a receiver.
pub struct Relay {
    sender: Frames,
    receiver: Frames,
    loss: u64,
    chance: Chance,
    /// When the last frame towards the receiver will have left.
    busy_until: Instant,
    there: OnTheWay,
    back: OnTheWay,
}

impl Relay {
    /// `loss`: of a thousand packets towards the receiver, so many are lost.
    pub fn new(sender: UnixStream, receiver: UnixStream, loss: u64, seed: u64) -> io::Result<Self> {
        let (sender, receiver) = (Frames::new(sender)?, Frames::new(receiver)?);
        let (there, back) = (VecDeque::new(), VecDeque::new());
        // Seeds that follow one another must not make sequences that overlap.
        let chance = Chance(seed.wrapping_mul(0xd134_2543_de82_ef95));
        Ok(Self { sender, receiver, loss, chance, busy_until: Instant::now(), there, back })
    }

    /// Relays until an end is gone.
    pub fn run(mut self) {
        while let Ok(did_something) = self.turn() {
            if !did_something {
                std::thread::sleep(REST);
            }
        }
    }

    fn turn(&mut self) -> io::Result<bool> {
        let (from_sender, from_receiver) = (self.sender.receive()?, self.receiver.receive()?);
        let now = Instant::now();
        let mut did_something = !from_sender.is_empty() || !from_receiver.is_empty();
        for frame in from_sender {
            self.take(now, frame);
        }
        self.back.extend(from_receiver.into_iter().map(|frame| (now + DELAY, frame)));
        for (queue, to) in [(&mut self.there, &mut self.receiver), (&mut self.back, &mut self.sender)] {
            while let Some((_, frame)) = queue.pop_front_if(|(at, _)| *at <= now) {
                to.send(&frame);
                did_something = true;
            }
            to.flush()?;
        }
        Ok(did_something)
    }

    /// A frame of the sender's: it waits for the rate, is lost, or is on its way.
    fn take(&mut self, now: Instant, frame: Vec<u8>) {
        let waiting = self.busy_until.saturating_duration_since(now).as_micros() as u64 * RATE / 1_000_000;
        if waiting > (QUEUE * 1_500) as u64 {
            return;
        }
        let time = Duration::from_micros(frame.len() as u64 * 1_000_000 / RATE);
        self.busy_until = self.busy_until.max(now) + time;
        if !(is_ipv4(&frame) && self.chance.per_mille(self.loss)) {
            self.there.push_back((self.busy_until + DELAY, frame));
        }
    }
}

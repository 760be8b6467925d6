//! Peers that mean harm: honest messages garbled, and a stack with its clients that must live through thousands of them.

use crate::bench::{Bench, H_MAC, P_MAC};
use crate::packet::{self, Ip};
use crate::rng::SimRng;
use crate::six;
use ringtap::stack::Stack;
use ringtap::time::{Duration, Instant};
use std::net::{Ipv4Addr, Ipv6Addr};

/// A client or server of the stack under attack.
pub trait Client {
    /// Does what is due; whether that was anything that may lead to more.
    fn poll(&mut self, stack: &mut Stack<'static>, now: Instant) -> bool;
    /// When it wants to be polled.
    fn deadline(&self) -> Option<Instant>;
}

/// A stack and its client, what it has sent, and the attacker's chance.
pub struct Victim<C> {
    /// The stack.
    pub b: Bench,
    /// Its client.
    pub client: C,
    /// The attacker's chance.
    pub rng: SimRng,
    /// Frames that came and that left.
    pub came: usize,
    /// Frames that left.
    pub left: usize,
}

impl<C: Client> Victim<C> {
    /// The victim of this seed.
    pub fn new(b: Bench, client: C, seed: u64) -> Self {
        Self { b, client, rng: SimRng::new(seed), came: 0, left: 0 }
    }

    /// Everything that is to be done now; the frames that were sent.
    ///
    /// # Panics
    /// When it does not come to rest, or sends what no stack may send.
    pub fn turn(&mut self) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        for _ in 0..2_000 {
            let sent = self.b.poll_raw();
            let mut quiet = sent.is_empty();
            quiet &= !self.client.poll(&mut self.b.stack, self.b.now);
            all.extend(sent);
            let due = self.client.deadline().is_some_and(|t| t <= self.b.now);
            if quiet && !due && self.b.stack.pending().is_empty() {
                self.left += all.len();
                for frame in &all {
                    packet::read(frame);
                    six::read(frame);
                }
                return all;
            }
        }
        panic!("it spins");
    }

    /// Time passes; what was sent.
    ///
    /// # Panics
    /// As [`turn`](Self::turn).
    pub fn pass(&mut self, millis: u64) -> Vec<Vec<u8>> {
        let end = self.b.now + Duration::from_millis(millis);
        let mut all = Vec::new();
        loop {
            all.extend(self.turn());
            let next = [self.b.stack.next_deadline(), self.client.deadline()].into_iter().flatten().min();
            match next {
                Some(at) if at <= end => self.b.now = self.b.now.max(at),
                _ => {
                    self.b.now = end;
                    return all;
                }
            }
        }
    }

    /// A frame arrives; what is sent in answer.
    ///
    /// # Panics
    /// As [`turn`](Self::turn).
    pub fn give(&mut self, frame: Vec<u8>) -> Vec<Vec<u8>> {
        self.came += 1;
        self.b.nic.rx.push_back(frame);
        self.turn()
    }

    /// Of what came, no more than `each` frames were answered to each, beside `own` that would have left anyway; and few
    /// frames are held.
    ///
    /// # Panics
    /// When not.
    pub fn is_bounded(&self, each: usize, own: usize) {
        assert!(self.left <= each * self.came + own, "{} frames for {}", self.left, self.came);
        assert!(self.b.frames_in_use() <= 40, "{} frames are held", self.b.frames_in_use());
    }
}

/// Garbles a message, in one to four places: bits, octets, lengths, pieces that are lost, doubled, moved or made up.
pub fn mangle(message: &mut Vec<u8>, rng: &mut SimRng) {
    for _ in 0..=rng.below(4) {
        let Some(last) = message.len().checked_sub(1) else { return };
        let at = rng.below(message.len() as u64) as usize;
        let end = at + 1 + rng.below((message.len() - at) as u64) as usize;
        let octet = rng.next_u64() as u8;
        match rng.below(10) {
            0 => message[at] ^= 1 << (octet & 7),
            1 => message[at] = [0, 1, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xff][usize::from(octet & 7)],
            2 => message[at] = message[at].wrapping_add(octet % 5).wrapping_sub(2),
            3 => message[at] = octet,
            4 => {
                // A word that is a length or a count, as it may be.
                let word = [0u16, 1, 4, 0x7fff, 0x8000, 0xffff, 0xc00c, 255][usize::from(octet & 7)].to_be_bytes();
                message[at] = word[0];
                message[(at + 1).min(last)] = word[1];
            }
            5 => message.truncate(at),
            6 => _ = message.drain(at..end.min(at + 40)),
            7 if message.len() < 3_000 => {
                let piece = message[at..end.min(at + 300)].to_vec();
                let to = rng.below(message.len() as u64) as usize;
                message.splice(to..to, piece);
            }
            8 => {
                let to = rng.below(message.len() as u64) as usize;
                let room = message.len() - to.max(at);
                message.copy_within(at..end.min(at + room), to);
            }
            _ => message[at..end].fill(octet),
        }
    }
}

/// A UDP datagram to H, or to everybody, in a frame.
pub fn udp_frame(src: (Ipv4Addr, u16), dst: (Ipv4Addr, u16), payload: &[u8]) -> Vec<u8> {
    let mac = match dst.0.octets() {
        [255, 255, 255, 255] => [0xff; 6],
        [224..=239, y, z, w] => [1, 0, 0x5e, y & 0x7f, z, w],
        _ => H_MAC,
    };
    let ip = Ip { ttl: 255, ..Ip::new(src.0, dst.0, 17) };
    packet::ethernet(mac, P_MAC, 0x0800, &ip.build(&packet::udp(src, dst, payload)))
}

/// As [`udp_frame`], of IPv6.
pub fn udp_frame_v6(src: (Ipv6Addr, u16), dst: (Ipv6Addr, u16), payload: &[u8]) -> Vec<u8> {
    let mac = if dst.0.is_multicast() { six::group_mac(dst.0) } else { H_MAC };
    let ip = six::Ip6 { hops: 255, ..six::Ip6::new(src.0, dst.0, 17) };
    packet::ethernet(mac, P_MAC, 0x86dd, &ip.build(&six::udp(src, dst, payload)))
}

/// The payload of an IPv4 datagram to `port` that was sent, and its own port.
pub fn udp_to(frame: &[u8], port: u16) -> Option<(u16, Vec<u8>)> {
    match packet::read(frame) {
        packet::Seen::Udp((_, from), (_, to), payload) if to == port => Some((from, payload)),
        _ => None,
    }
}

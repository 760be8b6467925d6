//! Frames that nobody should send: mutations and truncations of frames that somebody does.

use ringtap::sockets::UdpOptions;
use ringtap::tcp::{TcpHandle, TcpOptions};
use ringtap::time::Duration;
use ringtap_sim::bench::{ALL, H, H_MAC, P, P_MAC, R, R_MAC};
use ringtap_sim::packet::{self, ACK, FIN, Ip, PSH, RST, SYN, Tcp, URG};
use ringtap_sim::{Bench, SimRng};
use std::net::Ipv4Addr;

const PORT: u16 = 80;

/// One of each kind of frame that a stack may meet; `next` is the next number of H on the connection from port 4000.
fn corpus(next: u32) -> Vec<Vec<u8>> {
    let ip = |protocol, payload: &[u8]| packet::ethernet(H_MAC, P_MAC, 0x0800, &Ip::new(P, H, protocol).build(payload));
    let mut all = vec![
        packet::ethernet(ALL, P_MAC, 0x0806, &packet::arp(1, P_MAC, P, [0; 6], H)),
        packet::ethernet(H_MAC, R_MAC, 0x0806, &packet::arp(2, R_MAC, R, H_MAC, H)),
        packet::ethernet(ALL, P_MAC, 0x0806, &packet::arp(1, P_MAC, H, [0; 6], H)),
        ip(1, &packet::icmp(8, 0, [0, 1, 0, 1], &[7; 64])),
        ip(17, &packet::udp((P, 9), (H, 5000), &[1; 40])),
        ip(17, &packet::udp((P, 9), (H, 9), &[1; 40])),
        ip(17, &packet::udp((P, 9), (Ipv4Addr::BROADCAST, 5000), &[1; 4])),
        ip(200, &[5; 30]),
    ];
    let stamps = [1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0].to_vec();
    let many = [2, 4, 5, 0xb4, 3, 3, 7, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 0].to_vec();
    let sack = [1, 1, 5, 18, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0].to_vec();
    for flags in [SYN, ACK, SYN | ACK, FIN | ACK, RST, RST | ACK, PSH | ACK | URG, 0, 0xff] {
        for (src, seq) in [(4000, 1001), (4001, 77)] {
            for options in [&[][..], &stamps, &many, &sack] {
                let window = 1000;
                let base = Tcp { src, dst: PORT, seq, ack: next, flags, window, urgent: 3, ..Tcp::default() };
                all.push(ip(6, &Tcp { options: options.to_vec(), payload: vec![9; 20], ..base }.build(P, H)));
            }
        }
    }
    // ICMP errors that quote what H sent.
    let quoted = Ip::new(H, P, 6).build(&Tcp { src: PORT, dst: 4000, seq: next, ..Tcp::default() }.build(H, P));
    for (kind, code) in [(3, 0), (3, 1), (3, 2), (3, 3), (3, 4), (4, 0), (5, 0), (11, 0), (11, 1), (12, 0)] {
        all.push(ip(1, &packet::icmp(kind, code, [0, 0, 2, 0], &quoted)));
    }
    let quoted = Ip::new(H, P, 17).build(&packet::udp((H, 5000), (P, 9), b"12345678"));
    all.push(ip(1, &packet::icmp(3, 3, [0; 4], &quoted)));
    // Fragments, options, other addresses.
    let datagram = packet::udp((P, 9), (H, 5000), &[3; 600]);
    for (offset, more, range) in [(0, 0x2000, 0..304), (38, 0, 304..608), (8, 0x2000, 64..128), (8189, 0x2000, 0..96)] {
        let header = Ip { flags_offset: offset | more, ident: 77, ..Ip::new(P, H, 17) };
        all.push(packet::ethernet(H_MAC, P_MAC, 0x0800, &header.build(&datagram[range])));
    }
    for options in [
        vec![7, 7, 4, 0, 0, 0, 0, 0],
        vec![131, 7, 4, 1, 2, 3, 4, 0],
        vec![0x9e, 4, 0, 0],
        vec![68, 8, 5, 0, 0, 0, 0, 0],
    ] {
        let header = Ip { options, ..Ip::new(P, H, 17) };
        all.push(packet::ethernet(H_MAC, P_MAC, 0x0800, &header.build(&datagram[..100])));
    }
    all
}

/// Writes right checksums wherever the frame is whole enough, so that what is behind them is reached.
fn repair(frame: &mut [u8]) {
    if frame.len() < 34 || frame[12..14] != [8, 0] {
        return;
    }
    let packet = &mut frame[14..];
    let header = usize::from(packet[0] & 15) * 4;
    let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    if header < 20 || header > total || total > packet.len() {
        return;
    }
    packet[10..12].fill(0);
    let sum = packet::checksum(&packet[..header]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut pseudo = packet[12..20].to_vec();
    pseudo.extend([0, packet[9]]);
    let payload = &mut packet[header..total];
    pseudo.extend((payload.len() as u16).to_be_bytes());
    let (at, prefix) = match pseudo[9] {
        1 => (2, Vec::new()),
        6 => (16, pseudo),
        17 => (6, pseudo),
        _ => return,
    };
    if payload.len() < at + 2 {
        return;
    }
    payload[at..at + 2].fill(0);
    let sum = packet::checksum(&[&prefix[..], payload].concat());
    payload[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

fn mutate(frame: &mut Vec<u8>, rng: &mut SimRng) {
    for _ in 0..=rng.below(4) {
        if frame.is_empty() {
            return;
        }
        // Headers far more than text; the MAC less.
        let end = if rng.chance(0.8) { frame.len().min(80) } else { frame.len() };
        let start = if rng.chance(0.9) { end.min(12) } else { 0 };
        let at = start + rng.below((end - start) as u64) as usize;
        let Some(octet) = frame.get_mut(at) else { continue };
        match rng.below(6) {
            0 => *octet ^= 1 << rng.below(8),
            1 => *octet = 0,
            2 => *octet = 0xff,
            3 => *octet = octet.wrapping_add(1),
            4 => *octet = rng.next_u64() as u8,
            _ => frame.truncate(at),
        }
    }
    if rng.chance(0.1) {
        let more = rng.below(1400) as usize;
        frame.extend((0..more).map(|n| n as u8));
        frame.truncate(1514);
    }
}

struct Target {
    bench: Bench,
    listener: ringtap::tcp::ListenerHandle,
    handle: TcpHandle,
    next: u32,
}

impl Target {
    fn new() -> Self {
        let mut bench = Bench::new().with_live_neighbors();
        let listener = bench.listen(PORT, 8, TcpOptions::default());
        bench.stack.udp_bind(None, 5000, &UdpOptions::default()).unwrap();
        let (handle, next) = Self::connection(&mut bench, listener);
        Self { bench, listener, handle, next }
    }

    fn connection(bench: &mut Bench, listener: ringtap::tcp::ListenerHandle) -> (TcpHandle, u32) {
        let (handle, iss) = bench.accepted(listener, 4000, PORT);
        bench.stack.tcp(handle).unwrap().write(&[4; 3000]).unwrap();
        bench.poll();
        (handle, iss + 1)
    }

    fn give(&mut self, frame: Vec<u8>, now_and_then: bool) {
        self.bench.give(frame);
        assert!(self.bench.frames_in_use() <= 48, "{} frames", self.bench.frames_in_use());
        if now_and_then {
            self.bench.pass(Duration::from_millis(300));
            while self.bench.stack.next_event().is_some() {}
            while let Ok((handle, _)) = self.bench.stack.tcp_accept(self.listener) {
                self.bench.stack.tcp(handle).unwrap().abort();
            }
        }
        assert!(self.bench.stack.tcp_connections() <= 20);
    }

    /// A new connection in place of one that was killed.
    fn renew(&mut self) {
        if let Ok(socket) = self.bench.stack.tcp(self.handle) {
            socket.abort();
        }
        self.bench.pass(Duration::from_secs(190));
        while let Ok((handle, _)) = self.bench.stack.tcp_accept(self.listener) {
            self.bench.stack.tcp(handle).unwrap().abort();
        }
        self.bench.pass(Duration::from_secs(1));
        assert_eq!(self.bench.stack.tcp_connections(), 0);
        (self.handle, self.next) = Self::connection(&mut self.bench, self.listener);
    }
}

fn run(seed: u64, rounds: u32) {
    let mut rng = SimRng::new(seed);
    let mut target = Target::new();
    for round in 0..rounds {
        let corpus = corpus(target.next);
        for n in 0..200 {
            let mut frame = corpus[rng.below(corpus.len() as u64) as usize].clone();
            mutate(&mut frame, &mut rng);
            if rng.chance(0.7) {
                repair(&mut frame);
            }
            target.give(frame, n % 20 == 0);
        }
        if round % 4 == 0 || target.bench.stack.tcp(target.handle).unwrap().error().is_some() {
            target.renew();
        }
    }
    // All is well: nothing is held, and who comes now is served.
    target.renew();
    target.bench.stack.tcp(target.handle).unwrap().abort();
    target.bench.pass(Duration::from_secs(200));
    assert!(target.bench.frames_in_use() <= 16, "but for what the UDP socket has not read");
}

#[test]
fn mutated_frames_neither_panic_nor_leak_nor_hang() {
    // H150: 100,000 frames in a normal run. RINGTAP_MUTATED_ROUNDS=50000 makes ten million.
    let rounds = std::env::var("RINGTAP_MUTATED_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(500);
    run(1, rounds);
}

#[test]
fn every_truncation_of_every_frame_is_survived() {
    // H150.
    let mut target = Target::new();
    for frame in corpus(target.next) {
        for len in 0..frame.len() {
            let mut cut = frame[..len].to_vec();
            target.give(cut.clone(), false);
            // The length in the header cut as well.
            if len >= 34 && frame[12..14] == [8, 0] {
                cut[16..18].copy_from_slice(&((len - 14) as u16).to_be_bytes());
                repair(&mut cut);
                target.give(cut, len % 16 == 0);
            }
        }
    }
    target.renew();
    target.bench.stack.tcp(target.handle).unwrap().abort();
    target.bench.pass(Duration::from_secs(200));
    assert!(target.bench.frames_in_use() <= 16);
}

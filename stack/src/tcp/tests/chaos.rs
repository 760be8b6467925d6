//! A peer without any sense, and a user without any plan: nothing panics, spins, or grows.

extern crate std;

use super::harness::*;
use super::link::{Chance, seq};
use crate::device::SegmentSize;
use crate::tcp::conn::Fate;
use crate::tcp::info::IcmpError;
use crate::tcp::options::{KeepAlive, TcpOptions};
use crate::time::Duration;
use crate::wire::segment::{Flags, Options, Segment, Timestamps};

fn options(chance: &mut Chance) -> TcpOptions {
    let sizes = [0, 1, 7, 100, 3_000, 65_535, 200_000];
    TcpOptions {
        rx_buffer: sizes[chance.below(7) as usize],
        tx_buffer: sizes[1 + chance.below(6) as usize],
        nagle: chance.per_mille(500),
        timestamps: chance.per_mille(500),
        window_scale: chance.per_mille(500),
        keep_alive: chance.per_mille(300).then(KeepAlive::default),
        delayed_ack: ms(chance.below(3) * 20),
        ..TcpOptions::default()
    }
}

/// A number near one that means something, or anywhere.
fn near(chance: &mut Chance, n: u32) -> u32 {
    match chance.below(8) {
        0..4 => n,
        4 => n.wrapping_add(chance.below(4) as u32),
        5 => n.wrapping_sub(chance.below(4) as u32),
        6 => n.wrapping_add(chance.below(70_000) as u32),
        _ => (chance.below(1 << 32)) as u32,
    }
}

fn nonsense<'b>(chance: &mut Chance, host: &Host, peer: u32, text: &'b [u8]) -> Segment<'b> {
    let flags = match chance.below(10) {
        0..6 => ACK,
        6 => ACK | FIN,
        7 => ACK | SYN,
        8 => Flags::from_bits(chance.below(256) as u8),
        _ => SYN,
    };
    let flags = if chance.per_mille(950) { flags.without(RST) } else { flags };
    let stamps = Timestamps { val: near(chance, 1000), ecr: near(chance, 0) };
    let len = if chance.per_mille(500) { 0 } else { chance.below(text.len() as u64) as usize };
    Segment {
        src_port: 1,
        dst_port: 2,
        seq: seq(near(chance, peer)),
        ack: seq(near(chance, host.conn.snd.nxt.value())),
        flags,
        window: near(chance, 1000) as u16,
        urgent: chance.below(65_536) as u16,
        #[cfg(feature = "ecn")]
        is_ce: false,
        options: Options {
            mss: chance.per_mille(300).then(|| near(chance, 1460) as u16),
            window_scale: chance.per_mille(300).then(|| chance.below(256) as u8),
            timestamps: chance.per_mille(700).then_some(stamps),
            ..Options::NONE
        },
        size: SegmentSize::default(),
        payload: &text[..len],
    }
}

fn whim(chance: &mut Chance, host: &mut Host) {
    let verdict = match chance.below(40) {
        0..10 => {
            let n = chance.below(5_000) as usize;
            return host.conn.write(&pattern(0, n)).map_or((), |_| ());
        }
        10..20 => {
            host.read();
            return;
        }
        20..22 => return host.conn.shutdown_write(),
        22 if chance.per_mille(200) => host.conn.close(),
        23 if chance.per_mille(50) => host.conn.abort(),
        24 => host.conn.on_mtu(chance.below(1500) as u16),
        25 => host.conn.on_icmp_error(IcmpError::PortUnreachable, seq(near(chance, U))),
        26..30 => {
            host.now += Duration::from_micros(chance.below(3_000_000));
            host.conn.on_deadline(host.now)
        }
        30..33 if host.conn.deadline().is_some() => {
            host.wait();
            return;
        }
        33 => {
            // A clock that steps back.
            host.now = host.now - ms(chance.below(5_000));
            return;
        }
        _ => return,
    };
    host.note(verdict);
}

fn round(seed: u64) {
    let mut chance = Chance::new(seed);
    let options = options(&mut chance);
    let mut host = if chance.per_mille(600) && options.rx_buffer > 0 {
        Host::established_with(&TcpOptions { timestamps: false, ..options })
    } else {
        Host::connecting(&options)
    };
    let text = pattern(0, 4_000);
    for _ in 0..300 {
        let peer = host.conn.rcv.nxt.value();
        let segment = nonsense(&mut chance, &host, peer, &text);
        let before = host.conn.unacknowledged_edge();
        host.give(&segment);
        assert!(host.conn.unacknowledged_edge().at_or_after(before));
        whim(&mut chance, &mut host);
        if chance.per_mille(700) {
            let segments = if chance.per_mille(500) { 1 } else { 44 };
            let sent = host.out_by(segments);
            assert!(sent.len() < 5_000);
            for out in sent {
                assert!(out.payload.len() <= 44 * 1460);
            }
        }
        let info = host.conn.info();
        assert!(info.unread <= options.rx_buffer && info.unacked <= options.tx_buffer);
        assert!(info.cwnd >= u32::from(info.mss) && info.mss >= 36);
        if host.conn.is_finished() {
            assert_ne!(host.fate, Fate::Open);
            assert_eq!(host.conn.deadline(), None);
            host.silent();
        }
    }
    // Left alone, an abandoned connection ends.
    let verdict = host.conn.close();
    host.note(verdict);
    host.pass(Duration::from_secs(400));
    assert!(host.conn.is_finished(), "seed {seed}: {:?}", host.conn.info());
}

#[test]
fn nonsense_from_the_peer_and_the_user_ends_well() {
    let seeds = if cfg!(debug_assertions) { 4_000 } else { 100_000 };
    for seed in 1..=seeds {
        round(seed);
    }
}

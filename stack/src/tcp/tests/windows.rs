//! Windows, ours and the peer's: H079 to H086.

extern crate std;

use super::harness::*;
use super::link::{Weather, World};
use crate::stats::DropReason as D;
use crate::tcp::conn::Fate;
use crate::tcp::options::TcpOptions;
use crate::tcp::output::Why;
use crate::time::Duration;
use crate::wire::segment::{Options, Segment};
use std::vec::Vec;

/// With window scaling: our receive buffer is `rx_buffer`, the peer's shift is 0.
fn scaled(rx_buffer: usize) -> Host {
    let mut host = Host::connecting(&TcpOptions { rx_buffer, timestamps: false, ..TcpOptions::default() });
    host.out();
    let options = Options { mss: Some(MSS), window_scale: Some(0), ..Options::NONE };
    host.accept(&Segment { options, ..seg(IRS, U, SYN | ACK) });
    host
}

#[test]
fn h079_text_beyond_what_the_syn_could_tell_is_dropped() {
    let mut host = scaled(65_536);
    host.refuse(&text(R + 65_536, U, ACK, &[0xee; 100]), D::TcpOutOfWindow);
    let data = pattern(0, 65_536);
    for (i, chunk) in data.chunks(1024).enumerate() {
        host.give(&text(R + 1024 * i as u32, U, ACK, chunk)).drop.map_or((), |r| panic!("{i}: {r:?}"));
    }
    host.out();
    let mut got = host.read();
    host.out();
    let missing = &data[got.len()..];
    let _ = host.give(&text(R + got.len() as u32, U, ACK, missing));
    got.extend(host.read());
    assert_eq!(got, data);
}

#[cfg(feature = "window-scale")]
#[test]
fn h080_the_right_edge_never_moves_left() {
    let mut host = scaled(100_000);
    let first = R + (u32::from(host.only().window) << 1);
    assert_eq!(first, R + 100_000);
    let data = pattern(0, 100_000);
    let (mut at, mut told) = (0usize, first);
    for len in [1, 1, 7, 1460, 3, 1, 90_000].into_iter().chain(std::iter::repeat(1000)) {
        let end = (at + len).min(data.len());
        host.give(&text(R + at as u32, U, ACK, &data[at..end])).drop.map_or((), |r| panic!("{at}: {r:?}"));
        at = end;
        for out in host.out() {
            let now = out.ack + (u32::from(out.window) << 1);
            assert!(now >= told, "{} octets taken back", told - now);
            told = now;
        }
        if at == data.len() {
            break;
        }
    }
    assert_eq!(host.read(), data);
}

#[test]
fn h081_crossing_probes_and_updates_move_everything() {
    let options = TcpOptions { rx_buffer: 8, tx_buffer: 64, ..TcpOptions::default() };
    let weather = Weather { delay: 20_000, ..Weather::default() };
    let mut world = World::simultaneous(&options, [32, 32], weather, 5);
    let took = world.run(Duration::from_secs(60));
    assert!(took < 10.0, "{took}");
}

#[test]
fn h082_a_window_that_shrinks_to_nothing_is_probed_and_everything_arrives() {
    for partial in [0u32, 1000] {
        for update_lost in [false, true] {
            let mut host = Host::established();
            let data = pattern(0, 5000);
            host.write(&data);
            let sent: usize = host.out().iter().map(|o| o.payload.len()).sum();
            assert_eq!(sent, 5000);
            let una = U + partial;
            host.accept(&with_window(seg(R, una, ACK), 0));
            let mut probes = Vec::new();
            for _ in 0..4 {
                host.wait();
                let probe = host.only();
                assert_eq!((probe.seq, probe.payload.len()), (una, 1));
                host.accept(&with_window(seg(R, una, ACK), 0));
                probes.push(probe);
            }
            if update_lost {
                host.wait();
                assert_eq!(host.only().seq, una);
            }
            // The window opens to 256 octets, then follows.
            let mut at = partial;
            let mut rounds = 0;
            while at < 5000 {
                host.accept(&with_window(seg(R, U + at, ACK), 256));
                let mut out = host.out();
                if out.is_empty() {
                    host.wait();
                    out = host.out();
                }
                for o in out {
                    assert_eq!(o.seq, U + at);
                    assert_eq!(o.payload, data[at as usize..at as usize + o.payload.len()]);
                    at += o.payload.len() as u32;
                }
                rounds += 1;
                assert!(rounds < 100);
            }
            host.accept(&seg(R, U + 5000, ACK));
            assert_eq!(host.conn.unsent(), 0);
        }
    }
}

#[test]
fn h083_a_closed_window_is_probed_for_ever_with_growing_pauses() {
    let mut host = Host::established();
    host.accept(&with_window(seg(R, U, ACK), 0));
    host.write(b"waiting");
    let mut pauses = Vec::new();
    let start = host.now;
    host.silent();
    while host.now.since(start) < Duration::from_secs(3600) {
        let before = host.now;
        host.wait();
        for probe in host.out() {
            assert_eq!((probe.seq, probe.payload.len()), (U, 1));
            pauses.push(host.now.since(before));
        }
        host.accept(&with_window(seg(R, U, ACK), 0));
    }
    assert!(pauses[0] <= Duration::from_secs(1));
    assert!(pauses.windows(2).all(|w| w[1] >= w[0] && w[1] <= w[0] * 2 + ms(1)), "{pauses:?}");
    assert_eq!(pauses.last(), Some(&Duration::from_secs(60)));
    assert_eq!(host.fate, Fate::Open);
    // The update is lost: the next probe learns of it.
    host.wait();
    host.out();
    host.accept(&seg(R, U + 1, ACK));
    let out = host.only();
    assert_eq!((out.seq, &out.payload[..]), (U + 1, &b"aiting"[..]));
}

#[test]
fn a_peer_that_stops_answering_probes_is_given_up() {
    let mut host = Host::established();
    host.accept(&with_window(seg(R, U, ACK), 0));
    host.write(b"waiting");
    host.pass(Duration::from_secs(300));
    assert_eq!(host.conn.error(), Some(crate::error::TcpError::TimedOut));
    assert_eq!(host.fate, Fate::Closed);
}

#[test]
fn h084_a_reordered_older_segment_leaves_the_window_alone() {
    let mut host = Host::established();
    host.write(&pattern(0, 10));
    host.out();
    host.accept(&with_window(text(R, U + 10, ACK, b"ab"), 5000));
    host.refuse(&with_window(text(R, U + 10, ACK, b"ab"), 9), D::TcpOutOfWindow);
    host.accept(&with_window(seg(R + 2, U + 5, ACK), 9));
    assert_eq!(host.conn.info().snd_wnd, 5000);
    host.accept(&with_window(seg(R + 2, U + 10, ACK), 9));
    assert_eq!(host.conn.info().snd_wnd, 9);
}

#[test]
fn h085_a_reader_of_single_octets_causes_one_update_per_segment_of_room() {
    let mut host = Host::established_with(&TcpOptions { rx_buffer: 8192, ..plain() });
    let data = pattern(0, 8192);
    for (i, chunk) in data.chunks(1024).enumerate() {
        host.accept(&text(R + 1024 * i as u32, U, ACK, chunk));
    }
    assert_eq!(host.out().last().map(|o| o.window), Some(0));
    for n in 1..=1024u16 {
        assert_eq!(host.conn.read(&mut [0]), Ok(1));
        let out = host.out();
        if n < 1024 {
            assert!(out.is_empty(), "{n}: {out:?}");
        } else {
            assert_eq!((out.len(), out[0].window), (1, 1024));
        }
    }
}

#[test]
fn h086_a_small_window_waits_for_the_override_timer() {
    let mut host = Host::established();
    host.accept(&with_window(seg(R, U, ACK), 0));
    host.write(&pattern(0, 10_000));
    host.silent();
    host.accept(&with_window(seg(R, U, ACK), 10));
    host.silent();
    let start = host.now;
    let out = loop {
        host.wait();
        let mut out = host.out();
        if let Some(first) = out.pop() {
            break first;
        }
    };
    let waited = host.now.since(start);
    assert!(waited >= ms(100) && waited <= ms(1000), "{waited}");
    assert_eq!((out.seq, out.payload.len(), out.why), (U, 10, Why::Probe));
}

#[test]
fn nagle_holds_a_small_segment_while_another_is_unacknowledged() {
    let mut host = Host::established_with(&TcpOptions { nagle: true, ..plain() });
    host.write(b"a");
    assert_eq!(host.only().payload, b"a");
    host.write(b"b");
    host.silent();
    host.write(&pattern(0, 1459));
    assert_eq!(host.only().payload.len(), 1460);
    host.write(b"c");
    host.silent();
    host.accept(&seg(R, U + 1461, ACK));
    assert_eq!(host.only().payload, b"c");
    host.write(b"d");
    host.conn.shutdown_write();
    let last = host.only();
    assert_eq!((&last.payload[..], last.flags), (&b"d"[..], ACK | PSH | FIN));
}

#[cfg(feature = "gso")]
#[test]
fn a_device_that_segments_gets_many_full_segments_at_once() {
    let mut host = Host::established_with(&TcpOptions { nagle: true, ..plain() });
    let data = pattern(0, 10_000);
    host.write(&data);
    let out = host.out_by(44);
    assert_eq!(out.iter().map(|o| o.payload.len()).collect::<Vec<_>>(), [10_000]);
    host.accept(&seg(R, U + 10_000, ACK));
    host.write(&data[..100]);
    host.out_by(44);
    host.write(&data[..5000]);
    assert_eq!(host.out_by(44).iter().map(|o| o.payload.len()).collect::<Vec<_>>(), [4380]);
}

/// Segments of text come one by one: how many acknowledgments leave at once.
fn quick(host: &mut Host, at: &mut u32, segments: u32) -> usize {
    let data = pattern(0, 1460);
    let mut acks = 0;
    for _ in 0..segments {
        host.accept(&text(*at, U, ACK, &data));
        *at += 1460;
        acks += host.out().len();
        host.read();
    }
    acks
}

#[test]
fn acknowledgments_are_delayed_for_one_segment_and_not_for_two() {
    let mut host = Host::established();
    let mut at = R;
    quick(&mut host, &mut at, 16);
    let data = pattern(0, 1460);
    host.accept(&text(at, U, ACK, &data));
    host.silent();
    assert_eq!(host.wait(), ms(40));
    host.acks(U, at + 1460);
    for i in 1..6 {
        host.accept(&text(at + 1460 * i, U, ACK, &data));
    }
    host.acks(U, at + 6 * 1460);
}

#[test]
fn the_first_acknowledgments_of_a_connection_are_quick_and_bulk_has_one_for_two_segments() {
    let mut host = Host::established();
    let mut at = R;
    assert_eq!(quick(&mut host, &mut at, 16), 16);
    assert_eq!(quick(&mut host, &mut at, 1000), 500);
    host.now += ms(150);
    assert_eq!(quick(&mut host, &mut at, 100), 50, "a pause shorter than the time-out is none");
    host.now += Duration::from_secs(2);
    assert_eq!(quick(&mut host, &mut at, 100), 16 + 42);
}

#[test]
fn who_answers_within_the_delay_needs_no_acknowledgment_before_the_answer() {
    let mut host = Host::established();
    for round in 0..20 {
        host.now += Duration::from_secs(3);
        host.accept(&text(R + 5 * round, U + 3 * round, ACK | PSH, b"query"));
        let quick = host.out().len();
        assert_eq!(quick, usize::from(round == 0), "the first might be the first of many");
        host.now += ms(10);
        host.read();
        host.write(b"yes");
        assert_eq!(host.only().ack, R + 5 * (round + 1));
        host.accept(&seg(R + 5 * (round + 1), U + 3 * (round + 1), ACK));
    }
    // An answer that takes longer: the peer's next question need not wait for its acknowledgment.
    let (r, u) = (R + 100, U + 60);
    host.accept(&text(r, u, ACK | PSH, b"query"));
    host.silent();
    host.wait();
    host.acks(u, r + 5);
    host.accept(&text(r + 5, u, ACK | PSH, b"again"));
    host.acks(u, r + 10);
}

#[test]
fn text_that_never_finds_a_way_out_of_this_host_is_given_up_too() {
    let mut host = Host::established();
    host.write(b"stuck");
    host.prepare();
    let start = host.now;
    while host.fate == Fate::Open {
        host.wait();
        host.prepare();
    }
    assert_eq!(host.conn.error(), Some(crate::error::TcpError::TimedOut));
    assert!(host.now.since(start) <= Duration::from_secs(131));
}

#[test]
fn room_that_the_peer_was_not_told_of_is_not_used() {
    let mut host = scaled(200_000);
    let data = pattern(0, 66_000);
    host.accept(&text(R, U, ACK, &data[..60_000]));
    host.accept(&text(R + 65_000, U, ACK | FIN, &data[65_000..]));
    host.accept(&text(R + 60_000, U, ACK, &data[60_000..65_000]));
    assert_eq!(host.read(), data[..65_535]);
    assert!(!host.at_eof());
    assert_eq!(host.out().last().map(|o| o.ack), Some(R + 65_535));
}

// What was told beyond a whole unit was used by the peer, and the field can tell only less since: its acknowledgments,
// from there on, count.
#[cfg(feature = "window-scale")]
#[test]
fn a_closed_window_with_a_fraction_of_a_unit_in_flight_hears_acknowledgments() {
    let mut host = scaled(100_000);
    host.out();
    host.write(b"unacknowledged");
    host.out();
    // One octet: what is left to tell is an odd number, and rounded up.
    host.accept(&text(R, U, ACK, b"1"));
    host.wait();
    let told = host.out().last().map(|o| o.ack.wrapping_add(u32::from(o.window) << 1)).expect("an acknowledgment");
    let data = pattern(1, told.wrapping_sub(R + 1) as usize);
    host.accept(&text(R + 1, U, ACK, &data));
    host.out();
    assert_eq!(host.conn.info().unacked, 14);
    host.accept(&seg(told, U + 14, ACK));
    assert_eq!(host.conn.info().unacked, 0);
}

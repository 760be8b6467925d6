//! Losses and their repair: H087 to H095.

extern crate std;

use super::harness::*;
use crate::event::Readiness;
use crate::tcp::conn::Fate;
use crate::tcp::info::SoftError;
use crate::tcp::output::Why;
use crate::tcp::state::State;
use crate::time::Duration;
use std::vec::Vec;

fn sending(segments: usize) -> Host {
    let mut host = Host::established();
    host.write(&pattern(0, segments * 1460));
    let sent = host.out();
    assert_eq!(sent.len(), segments.min(10));
    host
}

fn at(n: u32) -> u32 {
    U + 1460 * n
}

#[test]
fn h087_bare_acknowledgments_carry_the_highest_number_also_during_retransmission() {
    let mut host = sending(5);
    for i in 0..5 {
        host.accept(&text(R + 100 * i, U, ACK, &pattern(0, 100)));
    }
    host.wait();
    let all = host.pass(ms(100));
    assert!(all.iter().all(|o| !o.is_bare_ack() || o.seq == at(5)), "{all:?}");
    host.wait();
    let resent = host.out();
    assert_eq!((resent[0].seq, resent[0].why), (U, Why::Retransmit));
    host.accept(&text(R + 1000, U, ACK, b"hole"));
    let acks = host.out();
    assert!(acks.iter().all(|o| o.seq == at(5)) && !acks.is_empty());
    host.accept(&seg(R + 500, at(5), ACK));
    assert_eq!(host.conn.unsent(), 0);
}

#[test]
fn h088_a_peer_that_vanishes_is_noticed_after_r1_and_given_up_after_r2() {
    let mut host = sending(1);
    let start = host.now;
    let mut pauses = Vec::new();
    while host.fate == Fate::Open {
        pauses.push(host.wait());
        for out in host.out() {
            assert!(matches!(out.why, Why::Retransmit | Why::Reset));
        }
        if pauses.len() == 3 {
            assert!(host.events.any(Readiness::ERROR));
            assert_eq!(host.conn.take_soft_error(), Some(SoftError::NoProgress));
        }
        assert!(pauses.len() < 50);
    }
    assert_eq!(host.now.since(start), Duration::from_secs(120));
    assert!(pauses.windows(2).take(7).all(|w| w[1] == w[0] * 2 || w[1] <= Duration::from_secs(60)), "{pauses:?}");
    assert_eq!(host.read_error(), crate::error::TcpError::TimedOut);
}

#[test]
fn h089_an_acknowledgment_that_found_no_frame_is_owed_until_it_leaves() {
    let mut host = Host::established();
    host.accept(&text(R + 10, U, ACK, b"x"));
    for _ in 0..3 {
        host.prepare();
        assert!(host.conn.plan(host.now, 1).is_some());
        assert!(host.conn.owes(host.now));
    }
    host.acks(U, R);
    host.accept(&text(R, U, ACK, &pattern(0, 10)));
    assert!(host.conn.owes(host.now));
    host.acks(U, R + 11);
}

#[test]
fn h090_a_lost_fin_is_sent_again() {
    for duplicates in [0, 3] {
        let mut host = Host::established();
        host.conn.shutdown_write();
        assert_eq!(host.only().flags, FIN | ACK);
        for _ in 0..duplicates {
            host.accept(&seg(R, U, ACK));
        }
        if duplicates == 0 {
            host.wait();
        }
        let again = host.only();
        assert_eq!((again.seq, again.flags, again.payload.len()), (U, FIN | ACK, 0));
        assert!(host.conn.deadline().is_some());
        host.accept(&seg(R, U + 1, ACK));
        assert_eq!(host.conn.state(), State::FinWait2);
    }
}

#[test]
fn h091_partial_acknowledgments_repair_three_losses_without_a_time_out() {
    let mut host = sending(10);
    // Segments 0, 3 and 6 were lost; the other seven cause duplicates.
    let mut resent = Vec::new();
    for _ in 0..7 {
        host.accept(&seg(R, U, ACK));
        resent.extend(host.out());
    }
    for n in [3, 6] {
        host.accept(&seg(R, at(n), ACK));
        resent.extend(host.out());
    }
    let seqs: Vec<u32> = resent.iter().filter(|o| o.why == Why::Retransmit).map(|o| o.seq).collect();
    assert_eq!(seqs, [at(0), at(3), at(6)]);
    host.accept(&seg(R, at(10), ACK));
    assert_eq!((host.conn.unsent(), host.conn.info().retransmits), (0, 3));
    assert_eq!(host.conn.info().cwnd.min(host.conn.info().ssthresh), host.conn.info().cwnd);
}

#[test]
fn h092_only_true_duplicates_count_and_the_third_retransmits_once() {
    let mut host = sending(5);
    for n in 0..5u16 {
        host.accept(&with_window(seg(R, U, ACK), 50_000 + n));
    }
    for n in 0..5 {
        host.accept(&with_window(text(R + n, U, ACK, b"x"), 50_004));
    }
    let out = host.out();
    assert!(out.iter().all(|o| o.why == Why::Ack), "{out:?}");
    for n in 0..5 {
        // Beyond a hole, so that each is taken, and none ends the stream; and what is challenged.
        host.accept(&with_window(seg(R + 100, U, ACK | FIN), 50_004));
        host.give(&with_window(seg(R + 5 + n, U, ACK | SYN), 50_004));
    }
    let out = host.out();
    assert!(out.iter().all(|o| o.payload.is_empty()), "{out:?}");
    for n in 1..=3 {
        host.accept(&with_window(seg(R + 5, U, ACK), 50_004));
        let out = host.out();
        assert_eq!(out.len(), usize::from(n == 3));
    }
    host.accept(&with_window(seg(R + 5, U, ACK), 50_004));
    assert!(host.out().iter().all(|o| o.why != Why::Retransmit));
}

#[test]
fn the_first_two_duplicates_let_new_segments_leave() {
    let mut host = sending(14);
    for n in 0..2 {
        host.accept(&seg(R, U, ACK));
        let out = host.only();
        assert_eq!((out.seq, out.why), (at(10 + n), Why::Text));
    }
    host.accept(&seg(R, U, ACK));
    assert_eq!(host.only().why, Why::Retransmit);
}

#[test]
fn after_a_time_out_everything_from_snd_una_goes_again_as_the_window_grows() {
    let mut host = sending(10);
    host.wait();
    assert_eq!(host.only().seq, at(0));
    assert_eq!(host.conn.info().cwnd, 1460);
    host.accept(&seg(R, at(1), ACK));
    assert_eq!(host.out().iter().map(|o| o.seq).collect::<Vec<_>>(), [at(1), at(2)]);
    // The receiver had the rest.
    host.accept(&seg(R, at(10), ACK));
    host.silent();
    assert_eq!((host.conn.unsent(), host.conn.deadline()), (0, None));
}

#[test]
fn h095_invented_acknowledgments_gain_no_more_than_what_is_acknowledged() {
    let mut host = Host::established();
    host.write(&pattern(0, 60_000));
    host.out();
    let before = host.conn.info().cwnd;
    for n in 1..=1460 {
        host.accept(&seg(R, U + n, ACK));
    }
    assert!(host.conn.info().cwnd <= before + 1460);
    host.out();
    let flight = host.conn.info().flight;
    for _ in 0..1000 {
        host.accept(&seg(R, U + 1460, ACK));
        host.out();
    }
    assert!(host.conn.info().flight <= 2 * flight, "{:?}", host.conn.info());
}

#[test]
fn each_segment_beyond_a_hole_gets_its_duplicate_in_one_turn() {
    let mut host = Host::established();
    let data = pattern(0, 1460);
    for n in 1..=4 {
        host.accept(&text(R + 1460 * n, U, ACK, &data));
    }
    let acks = host.out();
    assert_eq!(acks.len(), 4);
    assert!(acks.iter().all(|o| o.is_bare_ack() && o.ack == R && o.window == acks[0].window));
    host.accept(&text(R, U, ACK, &data));
    host.acks(U, R + 5 * 1460);
}

#[test]
fn the_round_trip_is_measured_from_the_first_transmission_only() {
    let mut host = sending(1);
    host.now += ms(80);
    host.accept(&seg(R, at(1), ACK));
    let srtt = host.conn.info().srtt.expect("measured");
    assert!(srtt > ms(0) && srtt <= ms(80), "{srtt}");
    host.write(&pattern(0, 10));
    host.out();
    host.wait();
    host.out();
    host.now += Duration::from_secs(5);
    host.accept(&seg(R, at(1) + 10, ACK));
    assert_eq!(host.conn.info().srtt, Some(srtt));
}

#[test]
fn a_smaller_path_mtu_cuts_what_is_sent_again() {
    let mut host = sending(3);
    assert_eq!(host.conn.on_mtu(1000).fate, Fate::Open);
    let out = host.out();
    assert_eq!((out[0].seq, out[0].payload.len()), (U, 1000));
    assert_eq!(out.iter().map(|o| o.payload.len()).sum::<usize>(), 3 * 1460);
}

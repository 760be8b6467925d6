//! Selective acknowledgments between the stack and a hand-made peer: RFC 2018, 2883, 6675, 9937.

use ringtap::stats::DropReason;
use ringtap::tcp::{Congestion, TcpOptions};
use ringtap_sim::packet::ACK;
use ringtap_sim::peer::{Offer, Out, Peer, SEGMENT};

/// Ten segments of the initial window, and none later.
const WINDOW: u32 = 10;
const NOTHING: [u32; 0] = [];

/// Losses are noticed by counting, not by time.
fn counting() -> TcpOptions {
    TcpOptions { rack: false, congestion: Congestion::NewReno, ..options() }
}

fn options() -> TcpOptions {
    TcpOptions { rx_buffer: 200_000, tx_buffer: 200_000, ..TcpOptions::default() }
}

/// A connection with so many segments written, of which the initial window has left.
fn sending(tcp: TcpOptions, segments: u32) -> Peer {
    let mut p = Peer::new(tcp, Offer::default());
    let sent = p.send(segments);
    assert_eq!(sent, (0..WINDOW.min(segments)).collect::<Vec<_>>());
    p
}

fn receiving(stamps: bool) -> Peer {
    Peer::new(options(), Offer { stamps, ..Offer::default() })
}

/// The only segment of an answer, an acknowledgment without text.
fn ack(sent: &[Out]) -> (u32, Vec<(u32, u32)>) {
    let [out] = sent else { panic!("one acknowledgment is expected: {sent:?}") };
    assert_eq!((out.len, out.flags), (0, ACK), "{out:?}");
    (out.ack, out.blocks.clone())
}

// What we report.

#[test]
fn the_block_that_has_just_grown_comes_first_and_the_others_in_the_order_of_their_news() {
    let mut p = receiving(false);
    assert_eq!(ack(&p.text(100, 10, 0)), (0, vec![(100, 110)]));
    assert_eq!(ack(&p.text(300, 10, 0)), (0, vec![(300, 310), (100, 110)]));
    assert_eq!(ack(&p.text(200, 10, 0)), (0, vec![(200, 210), (300, 310), (100, 110)]));
    // The oldest grows, and is the newest.
    assert_eq!(ack(&p.text(110, 10, 0)), (0, vec![(100, 120), (200, 210), (300, 310)]));
    // Two become one.
    assert_eq!(ack(&p.text(210, 90, 0)), (0, vec![(200, 310), (100, 120)]));
    p.ends_well();
}

#[test]
fn four_blocks_fit_without_timestamps_and_three_with_them() {
    for (stamps, most) in [(false, 4), (true, 3)] {
        let mut p = receiving(stamps);
        for n in 1..=6u32 {
            let (acked, blocks) = ack(&p.text(n * 100, 10, 0));
            let newest = (1..=n).rev().map(|n| (n * 100, n * 100 + 10)).take(most);
            assert_eq!((acked, blocks), (0, newest.collect()), "timestamps: {stamps}");
        }
        p.ends_well();
    }
}

// RFC 2018 §4: what was reported first in earlier acknowledgments is repeated, however often one block grows meanwhile.
#[test]
fn a_block_that_grows_often_does_not_push_the_others_out() {
    let mut p = receiving(false);
    for n in 1..=6 {
        p.text(n * 1000, 10, 0);
    }
    let mut last = Vec::new();
    for n in 1..=6 {
        last = p.text(9000 + n * 10, 10, 0);
    }
    assert_eq!(ack(&last), (0, vec![(9010, 9070), (6000, 6010), (5000, 5010), (4000, 4010)]));
    p.ends_well();
}

#[test]
fn a_filled_hole_is_acknowledged_at_once_and_the_rest_still_reported() {
    let mut p = receiving(false);
    p.text(100, 100, 0);
    p.text(300, 100, 0);
    assert_eq!(ack(&p.text(0, 100, 0)), (200, vec![(300, 400)]));
    assert_eq!(ack(&p.text(200, 100, 0)), (400, vec![]));
    p.ends_well();
}

// RFC 2883 §4.1: examples 1 to 4.
#[test]
fn a_duplicate_below_what_is_acknowledged_is_reported_once() {
    let mut p = receiving(false);
    p.text(0, 1000, 0);
    p.text(1000, 1000, 0);
    assert_eq!(ack(&p.text(0, 1000, 0)), (2000, vec![(0, 1000)]));
    // Once, and not with the next acknowledgment.
    assert_eq!(ack(&p.text(3000, 500, 0)), (2000, vec![(3000, 3500)]));
    // A duplicate in part, in front of a hole: both kinds of block.
    assert_eq!(ack(&p.text(1500, 500, 0)), (2000, vec![(1500, 2000), (3000, 3500)]));
    // One half known, the other half new.
    assert_eq!(ack(&p.text(1800, 400, 0)), (2200, vec![(1800, 2000), (3000, 3500)]));
    // What fills the hole and more.
    assert_eq!(ack(&p.text(2200, 1000, 0)), (3500, vec![(3000, 3200)]));
    p.ends_well();
}

#[test]
fn a_duplicate_above_what_is_acknowledged_is_reported_with_the_block_around_it() {
    let mut p = receiving(false);
    p.text(1000, 1000, 0);
    p.text(2000, 1000, 0);
    p.text(5000, 500, 0);
    assert_eq!(ack(&p.text(2000, 500, 0)), (0, vec![(2000, 2500), (1000, 3000), (5000, 5500)]));
    // In part only.
    assert_eq!(ack(&p.text(2500, 1000, 0)), (0, vec![(2500, 3000), (1000, 3500), (5000, 5500)]));
    assert_eq!(ack(&p.text(6000, 500, 0)), (0, vec![(6000, 6500), (1000, 3500), (5000, 5500)]));
    p.ends_well();
}

#[test]
fn without_the_peers_permission_nothing_is_reported_and_nothing_believed() {
    let mut p = Peer::new(options(), Offer { sack: false, ..Offer::default() });
    assert_eq!(ack(&p.text(100, 10, 0)), (0, vec![]));
    assert_eq!(ack(&p.text(100, 10, 0)), (0, vec![]));
    p.send(WINDOW);
    for n in 2..6 {
        p.sack(0, &[(1, n)]);
    }
    assert_eq!(p.info().sacked, 0);
    p.ends_well();
}

// What we believe.

// H091: each of three losses is sent again once, without a time-out, whatever notices them.
#[test]
fn three_of_ten_losses_are_each_sent_again_once() {
    for tcp in [counting(), options()] {
        let mut p = sending(tcp, WINDOW);
        p.bench.now += ringtap::time::Duration::from_millis(100);
        // 0, 3 and 6 are lost.
        let blocks: [&[(u32, u32)]; 7] = [
            &[(1, 2)],
            &[(1, 3)],
            &[(4, 5), (1, 3)],
            &[(4, 6), (1, 3)],
            &[(7, 8), (4, 6), (1, 3)],
            &[(7, 9), (4, 6), (1, 3)],
            &[(7, 10), (4, 6), (1, 3)],
        ];
        let mut again: Vec<u32> = blocks.iter().flat_map(|blocks| p.sack(0, blocks)).collect();
        again.extend(Peer::segs(&p.pass(40)));
        assert_eq!(again, [0, 3, 6], "{tcp:?}");
        assert_eq!(p.sack(3, &[(7, 10), (4, 6)]), NOTHING);
        assert_eq!(p.sack(6, &[(7, 10)]), NOTHING);
        assert_eq!(p.sack(10, &[]), NOTHING);
        let info = p.info();
        assert_eq!((info.retransmits, info.repairs.recoveries, info.repairs.timeouts), (3, 1, 0));
        assert_eq!((info.sacked, info.lost, info.flight, info.unacked), (0, 0, 0, 0));
        p.ends_well();
    }
}

// RFC 6675 §2, IsLost: three runs above, or more than two segments' octets.
#[test]
fn a_segment_is_lost_below_three_runs_or_more_than_two_segments() {
    let mut p = sending(counting(), WINDOW);
    assert_eq!(p.sack(0, &[(1, 2)]), NOTHING);
    assert_eq!(p.sack(0, &[(1, 3)]), NOTHING);
    assert_eq!(p.info().lost, 0);
    assert_eq!(p.sack(0, &[(1, 4)]), [0]);
    p.ends_well();

    let mut p = sending(counting(), WINDOW);
    assert_eq!(p.sack(0, &[(2, 3)]), NOTHING);
    assert_eq!(p.sack(0, &[(4, 5), (2, 3)]), NOTHING);
    // Above segment 3 there are two runs only.
    assert_eq!(p.sack(0, &[(6, 7), (4, 5), (2, 3)]), [0]);
    assert_eq!(p.info().lost, SEGMENT, "segment 1 waits for the window");
    p.ends_well();
}

// RFC 6675 §4, pipe: what is outstanding, less what the peer holds and what is lost.
// RFC 9937 §5: what PRR had let the window come to is forgotten.
#[test]
fn however_a_recovery_ends_the_window_is_ssthresh_then() {
    let mut p = sending(counting(), 10);
    assert_eq!(p.sack(0, &[(1, 4)]), [0]);
    assert!(p.info().cwnd > 5 * SEGMENT);
    assert_eq!(p.sack(10, &[]), NOTHING);
    assert_eq!((p.info().cwnd, p.info().ssthresh), (5 * SEGMENT, 5 * SEGMENT));
    p.ends_well();
}

// RFC 6675 §5, NextSeg (3): one segment above the hole does not show it to be lost, but there is room and nothing else to send.
#[test]
fn what_the_peer_has_skipped_goes_again_when_there_is_nothing_better_to_send() {
    let mut p = sending(counting(), 10);
    assert_eq!(p.sack(0, &[(1, 4)]), [0]);
    // PRR lets one leave for two that arrive.
    assert_eq!(p.sack(0, &[(1, 4), (5, 6)]), [4]);
    assert_eq!(p.sack(0, &[(1, 4), (5, 7)]), NOTHING, "it went once");
    assert_eq!(p.sack(10, &[]), NOTHING);
    assert_eq!((p.info().repairs.timeouts, p.info().retransmits), (0, 2));
    p.ends_well();

    // With new text, that goes.
    let mut p = sending(counting(), 12);
    assert_eq!(p.sack(0, &[(1, 4)])[0], 0);
    let sent = p.sack(0, &[(1, 4), (5, 6)]);
    assert!(!sent.contains(&4) && sent.iter().all(|&n| n > 9), "{sent:?}");
    p.ends_well();
}

// RFC 6675 §5, NextSeg (4).
#[test]
fn the_last_segment_is_rescued_once_in_a_recovery() {
    let mut p = sending(counting(), 10);
    assert_eq!(p.sack(0, &[(1, 4)]), [0]);
    assert_eq!(p.sack(0, &[(1, 9)]), [9], "nothing lies above it that could show it to be lost");
    assert_eq!(p.sack(9, &[]), NOTHING);
    assert_eq!(p.sack(10, &[]), NOTHING);
    assert_eq!((p.info().repairs.timeouts, p.info().retransmits), (0, 2));
    p.ends_well();

    // Once: if that was lost as well, the time-out finds out.
    let mut p = sending(counting(), 10);
    p.sack(0, &[(1, 4)]);
    assert_eq!(p.sack(0, &[(1, 8)]), [9]);
    assert_eq!(p.sack(0, &[(1, 9)]), NOTHING);
    assert_eq!(Peer::segs(&p.wait(5_000).1), [0]);
    assert_eq!(p.info().repairs.timeouts, 1);
    p.ends_well();
}

#[test]
fn octets_in_flight_are_what_is_neither_held_nor_lost() {
    let mut p = sending(counting(), 30);
    assert_eq!(p.window(), (10, 10));
    // Each segment that the peer holds makes room for a new one: limited transmit (RFC 3042), as RFC 6675 has it.
    assert_eq!(p.sack(0, &[(1, 2)]), [10]);
    assert_eq!(p.window(), (10, 10));
    assert_eq!(p.sack(0, &[(1, 3)]), [11]);
    assert_eq!(p.sack(0, &[(1, 4)]), [0]);
    let info = p.info();
    // 12 are out, 3 held, 0 was lost and is in flight again.
    assert_eq!((info.sacked, info.lost, info.flight), (3 * SEGMENT, 0, 9 * SEGMENT));
    assert_eq!(info.ssthresh, 5 * SEGMENT);
    p.ends_well();
}

// RFC 9937 §5: one segment for two that arrive, until what is in flight has come down to ssthresh.
#[test]
fn recovery_sends_in_proportion_to_what_arrives() {
    let mut p = sending(counting(), 60);
    // 20 segments fly.
    for n in (2..=WINDOW).step_by(2) {
        assert_eq!(p.sack(n, &[]).len(), 4);
    }
    assert_eq!(p.window(), (20, 20));
    assert_eq!((p.sack(10, &[(11, 12)]), p.sack(10, &[(11, 13)])), (vec![30], vec![31]));
    // 10 is lost; ssthresh is ten segments.
    assert_eq!(p.sack(10, &[(11, 14)]), [10]);
    assert_eq!(p.info().ssthresh, 10 * SEGMENT);
    let mut sent = Vec::new();
    let mut pace = Vec::new();
    for n in 15..=30 {
        let out = p.sack(10, &[(11, n)]);
        pace.push(out.len());
        sent.extend(out);
    }
    assert!(pace.iter().all(|&n| n <= 1), "no burst: {pace:?}");
    let is_even = |four: &[usize]| (1..=3).contains(&four.iter().sum::<usize>());
    assert!(pace[..12].chunks(4).all(is_even), "nor a pause: {pace:?}");
    assert_eq!(sent, (32..32 + sent.len() as u32).collect::<Vec<_>>());
    // Of 17 that have arrived since the loss was noticed, half were followed by another, 10 the first of them.
    assert_eq!(sent.len(), 7, "{sent:?}");
    // What is in flight goes down from 20 to ten segments.
    assert_eq!(p.info().flight / SEGMENT, 10, "{:?}", p.info());
    // At the end of recovery the window is ssthresh.
    p.sack(32, &[]);
    let info = p.info();
    assert_eq!((info.cwnd, info.ssthresh), (10 * SEGMENT, 10 * SEGMENT));
    p.ends_well();
}

// RFC 9937 §5: below ssthresh no more leaves than arrives, and one more where an acknowledgment is safe.
#[test]
fn a_recovery_that_has_lost_most_of_its_window_catches_up_in_slow_start() {
    let mut p = sending(counting(), 60);
    for n in (2..=WINDOW).step_by(2) {
        p.sack(n, &[]);
    }
    // Of 20 in flight, 10 to 26 are lost at once.
    let sent = p.sack(10, &[(27, 30)]);
    assert_eq!(sent, [10, 11, 12], "as many as have arrived");
    let before = p.info().flight;
    // A partial acknowledgment is safe: two for one.
    assert_eq!(p.sack(11, &[(27, 30)]), [13, 14]);
    assert_eq!(p.sack(12, &[(27, 30)]), [15, 16]);
    assert_eq!(p.info().flight, before + 2 * SEGMENT);
    p.ends_well();
}

// H093.
#[test]
fn blocks_that_make_no_sense_free_nothing_mark_nothing_and_send_nothing() {
    for tcp in [counting(), options()] {
        let mut p = sending(tcp, 30);
        p.sack(2, &[]);
        let before = p.info();
        let nonsense: [&[(u32, u32)]; 8] = [
            // Inverted, empty, outside of what is in flight on either side or both, half the space away.
            &[(8_000, 5_000)],
            &[(5_000, 5_000)],
            &[(9_000, 100_000)],
            &[(100_000, 200_000)],
            &[(5_000, u32::MAX)],
            &[(1_500, 5_000)],
            &[(5_000, 5_000 + (1 << 31))],
            // Single octets, of which no segment is whole.
            &[(3_000, 3_001), (4_000, 4_001), (5_000, 5_001), (6_000, 6_001)],
        ];
        for blocks in nonsense {
            for _ in 0..10 {
                assert_eq!(p.give(2 * SEGMENT, blocks, &[]), [], "{blocks:?}");
            }
            let after = p.info();
            assert_eq!((after.sacked, after.lost, after.unacked), (0, 0, before.unacked), "{blocks:?}");
            assert_eq!((after.cwnd, after.flight), (before.cwnd, before.flight), "{blocks:?}");
        }
        // Lengths that are not 8k + 2.
        for option in [&[5, 9, 0, 0, 0, 1, 0, 0, 0][..], &[5, 2], &[5, 3, 1], &[5, 1], &[5, 0], &[5, 41, 0, 0]] {
            let mut options = option.to_vec();
            options.resize(option.len().next_multiple_of(4), 1);
            p.give_with(2 * SEGMENT, options, &[]);
            let after = p.info();
            assert_eq!((after.sacked, after.lost, after.cwnd), (0, 0, before.cwnd), "{option:?}");
        }
        // Overlapping and nested blocks count once.
        p.sack(2, &[(4, 6), (5, 7), (4, 7), (5, 6)]);
        assert_eq!(p.info().sacked, 3 * SEGMENT);
        // Everything still arrives.
        let mut acked = 0;
        while acked < 30 {
            acked = (acked + 4).min(30);
            p.sack(acked, &[]);
            p.pass(1);
        }
        assert_eq!(p.info().unacked, 0);
        p.ends_well();
    }
}

// H093: what an acknowledgment may cost is bounded, blocks that change each time included.
#[test]
fn scattered_blocks_by_the_thousand_cost_no_more_than_the_window() {
    let mut p = sending(TcpOptions { tx_buffer: 400_000, ..options() }, 300);
    for n in (2..=150).step_by(2) {
        p.sack(n, &[]);
    }
    let (_, flight) = p.window();
    assert!(flight >= 140, "{flight} in flight");
    for round in 0..5_000u32 {
        let at = |n: u32| 150 * SEGMENT + (round * 7919 + n * 104_729) % (flight * SEGMENT - 2_000);
        let blocks: Vec<(u32, u32)> = (0..4).map(|n| (at(n), at(n) + 1 + round % 1_999)).collect();
        p.give(150 * SEGMENT, &blocks, &[]);
    }
    let info = p.info();
    assert!(info.sacked <= flight * SEGMENT && info.unacked > 0, "{info:?}");
    p.ends_well();
}

// H094: RFC 2018 §8.
#[test]
fn a_peer_that_drops_what_it_reported_gets_it_again() {
    for tcp in [counting(), options()] {
        let mut p = sending(tcp, WINDOW);
        p.bench.now += ringtap::time::Duration::from_millis(100);
        assert_eq!(p.sack(0, &[(5, 10)])[0], 0);
        p.pass(50);
        assert_eq!(p.info().unacked, 10 * SEGMENT as usize, "what is reported stays until it is acknowledged");
        // The peer has dropped 5 to 9 when 0 to 4 come.
        let mut again = p.sack(5, &[]);
        assert_eq!(again.first(), Some(&5), "it goes at once");
        for n in 6..=10 {
            let (_, sent) = p.wait(3_000);
            again.extend(Peer::segs(&sent));
            again.extend(p.sack(n, &[]));
        }
        again.sort_unstable();
        again.dedup();
        assert_eq!(again, [5, 6, 7, 8, 9]);
        assert_eq!((p.info().unacked, p.info().sacked), (0, 0));
        p.ends_well();
    }
}

// H094: a time-out does not send again what the peer holds, and does not rely on it.
#[test]
fn after_a_time_out_what_the_peer_holds_is_passed_over_until_it_is_acknowledged() {
    let mut p = sending(counting(), WINDOW);
    // Too few for a loss: 0 and 1 are missing, 4 and 5 are there.
    assert_eq!(p.sack(0, &[(4, 6)]), NOTHING);
    let (_, sent) = p.wait(2_000);
    assert_eq!(Peer::segs(&sent), [0]);
    assert_eq!(p.info().cwnd, SEGMENT);
    let mut again = Vec::new();
    for acked in [1, 2, 3] {
        again.extend(p.sack(acked, &[(4, 6)]));
    }
    assert_eq!(again, [1, 2, 3, 6, 7, 8]);
    assert_eq!(p.sack(6, &[]), [9]);
    assert_eq!(p.sack(10, &[]), NOTHING);
    assert_eq!(p.info().repairs.timeouts, 1);
    p.ends_well();
}

// RFC 2018 §3: reports of an acknowledgment that was overtaken still count.
#[test]
fn an_old_acknowledgment_tells_of_blocks_but_moves_nothing_back() {
    let mut p = sending(counting(), WINDOW);
    p.sack(3, &[]);
    assert_eq!(p.sack(1, &[(5, 7)]), NOTHING);
    let info = p.info();
    assert_eq!((info.sacked, info.unacked), (2 * SEGMENT, 7 * SEGMENT as usize));
    p.ends_well();
}

// H095: acknowledgments in small pieces, invented duplicates, and acknowledgments of what was never sent.
#[test]
fn split_duplicate_and_optimistic_acknowledgments_gain_nothing() {
    for tcp in [counting(), options()] {
        let mut p = sending(tcp, 150);
        let before = p.info().cwnd;
        for n in 1..=SEGMENT {
            p.give(n, &[], &[]);
        }
        assert!(p.info().cwnd <= before + SEGMENT, "{:?}", p.info());
        let before = p.info();
        for _ in 0..1_000 {
            assert_eq!(p.give(SEGMENT, &[], &[]), [], "a duplicate that reports nothing");
        }
        assert_eq!((p.info().cwnd, p.info().flight), (before.cwnd, before.flight));
        // The same report again and again, and its duplicate report.
        for blocks in [&[(3, 4)][..], &[(3, 4), (3, 4)], &[(0, 1), (3, 4)]] {
            for _ in 0..100 {
                p.sack(1, blocks);
            }
        }
        let info = p.info();
        assert!(info.flight <= before.flight + SEGMENT && info.cwnd <= before.cwnd + SEGMENT, "{info:?}");
        // What was not sent cannot be acknowledged; the answers are bounded.
        let answers: usize = (0..100).map(|n| p.give(100_000 + n, &[], &[]).len()).sum();
        assert!(answers <= 10, "{answers}");
        assert_eq!(p.bench.dropped(DropReason::TcpBadAck), 100);
        assert_eq!((p.info().cwnd, p.info().unacked), (info.cwnd, info.unacked));
        p.ends_well();
    }
}

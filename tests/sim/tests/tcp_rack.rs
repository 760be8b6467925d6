//! Losses noticed by time, and tail loss probes: RFC 8985, between the stack and a hand-made peer 100 ms away.

use ringtap::tcp::{Congestion, TcpOptions};
use ringtap::time::Duration;
use ringtap_sim::peer::{Offer, Out, Peer, SEGMENT};

const NOTHING: [u32; 0] = [];

fn options() -> TcpOptions {
    TcpOptions { tx_buffer: 200_000, congestion: Congestion::NewReno, ..TcpOptions::default() }
}

fn connected() -> Peer {
    Peer::new(options(), Offer::default())
}

/// So many segments have left (of ten at most) and a round trip has passed, as if their acknowledgments were coming now.
fn sending(segments: u32) -> Peer {
    let mut p = connected();
    assert_eq!(p.send(segments), (0..segments.min(10)).collect::<Vec<_>>());
    p.bench.now += Duration::from_millis(100);
    p
}

/// What is sent by itself next, and after how many milliseconds.
fn next(p: &mut Peer) -> (u64, Vec<u32>) {
    let (after, sent) = p.wait(5_000);
    (after, Peer::segs(&sent))
}

// RFC 8985 §6.2, step 5: a quarter of the shortest round trip.
#[test]
fn a_segment_overtaken_by_fewer_than_three_is_lost_a_quarter_of_a_round_trip_later() {
    let mut p = sending(10);
    assert_eq!(p.sack(0, &[(1, 3)]), NOTHING);
    assert_eq!(next(&mut p), (25, vec![0]));
    assert_eq!(p.info().repairs.recoveries, 1);
    p.ends_well();
}

#[test]
fn a_segment_that_comes_within_that_time_was_not_lost() {
    let mut p = sending(10);
    p.sack(0, &[(1, 3)]);
    assert_eq!(p.pass(24), []);
    assert_eq!(p.sack(3, &[]), NOTHING);
    assert_eq!(p.pass(30), []);
    let info = p.info();
    assert_eq!((info.retransmits, info.repairs.recoveries), (0, 0));
    p.ends_well();
}

// RFC 8985 §6.2, step 4: until reordering was seen, three segments above are enough.
#[test]
fn three_segments_above_are_a_loss_at_once_until_reordering_was_seen() {
    let mut p = sending(10);
    assert_eq!(p.sack(0, &[(1, 4)]), [0]);
    p.ends_well();

    let mut p = sending(10);
    p.sack(0, &[(1, 2)]);
    // 0 comes after 1: the path reorders.
    p.sack(2, &[]);
    assert_eq!(p.sack(2, &[(3, 7)]), NOTHING);
    assert_eq!(next(&mut p), (25, vec![2]));
    p.ends_well();
}

/// A path that is known to reorder.
fn reordering() -> Peer {
    let mut p = sending(2);
    p.sack(0, &[(1, 2)]);
    p.sack(2, &[]);
    p
}

/// Text goes over the path in good order until the window is ten segments; the number of the next one.
fn grown(p: &mut Peer) -> u32 {
    for _ in 0..1_000 {
        let mut next = p.info().delivered / SEGMENT;
        if p.info().cwnd >= 10 * SEGMENT {
            return next;
        }
        let mut sent = p.send(10);
        while let Some(last) = sent.pop() {
            p.bench.now += Duration::from_millis(100);
            next = last + 1;
            sent = p.sack(next, &[]);
        }
    }
    panic!("the window does not grow: {:?}", p.info());
}

/// The first of eight segments is late: how long until it is sent again, in milliseconds. Then it has come, and the peer
/// says so if it had come before.
fn patience(p: &mut Peer, is_needless: bool) -> u64 {
    let at = grown(p);
    assert_eq!(p.send(8), (at..at + 8).collect::<Vec<_>>());
    p.bench.now += Duration::from_millis(100);
    assert_eq!(p.sack(at, &[(at + 1, at + 8)]), NOTHING);
    let (after, again) = next(p);
    assert_eq!(again, [at]);
    p.sack(at + 8, &[]);
    if is_needless {
        p.sack(at + 8, &[(at, at + 1)]);
    }
    p.pass(1_000);
    after
}

#[test]
fn each_round_with_needless_repairs_makes_the_reordering_window_wider_up_to_a_round_trip() {
    let mut p = reordering();
    let widths: Vec<u64> = (0..6).map(|_| patience(&mut p, true)).collect();
    // Quarters of the shortest round trip; at most the smoothed one, which the late ones have made a little longer.
    assert_eq!(widths[..3], [25, 50, 75]);
    assert!(widths[3..].iter().all(|n| (100..=105).contains(n)), "{widths:?}");
    p.ends_well();
}

// RACK.reo_wnd_persist.
#[test]
fn the_reordering_window_is_narrow_again_after_sixteen_recoveries_without_duplicates() {
    let mut p = reordering();
    patience(&mut p, true);
    let widths: Vec<u64> = (0..18).map(|_| patience(&mut p, false)).collect();
    assert_eq!(widths, [[50; 16].as_slice(), &[25; 2]].concat());
    p.ends_well();
}

#[test]
fn a_retransmission_that_is_lost_is_noticed_by_what_was_sent_after_it() {
    let mut p = sending(30);
    // 0 is lost, and what the peer then reports lets new text leave behind its second transmission.
    assert_eq!(p.sack(0, &[(1, 4)]), [0]);
    p.pass(1);
    let new = p.sack(0, &[(1, 10)]);
    assert!(new.iter().all(|&n| n >= 10) && !new.is_empty(), "{new:?}");
    p.bench.now += Duration::from_millis(100);
    assert_eq!(p.sack(0, &[(1, 11)])[0], 0, "a second time");
    assert_eq!(p.info().repairs.timeouts, 0);
    p.ends_well();
}

// What was delivered long ago must not pass for something sent later: the clock of 32 bits has gone half around.
#[test]
fn an_hour_without_losses_is_not_taken_for_the_future() {
    let mut p = sending(4);
    assert_eq!(p.sack(0, &[(1, 4)]), [0]);
    p.sack(4, &[]);
    for minutes in [0, 36, 40, 61] {
        p.pass(minutes * 60_000);
        let at = grown(&mut p);
        assert_eq!(p.send(8), (at..at + 8).collect::<Vec<_>>());
        p.bench.now += Duration::from_millis(100);
        p.sack(at, &[(at + 1, at + 2)]);
        assert_eq!(next(&mut p), (25, vec![at]), "{minutes} minutes later");
        assert_eq!(p.info().lost, 0, "what was sent with it is not old");
        p.sack(at + 8, &[]);
        assert_eq!(p.pass(500), []);
    }
    p.ends_well();
}

// RFC 8985 §7.2.

#[test]
fn the_tail_of_a_flight_is_probed_after_two_round_trips() {
    let mut p = connected();
    p.send(5);
    assert_eq!(next(&mut p), (200, vec![4]));
    let info = p.info();
    assert_eq!((info.repairs.probes, info.repairs.timeouts, info.repairs.recoveries), (1, 0, 0));
    assert_eq!(info.cwnd, 10 * SEGMENT, "a probe takes nothing from the window");
    // One probe; then RFC 6298's timer, counted from the probe.
    let rto = info.rto.as_micros() / 1000;
    assert_eq!(next(&mut p), (rto, vec![0]));
    assert_eq!((p.info().repairs.probes, p.info().repairs.timeouts), (1, 1));
    p.ends_well();
}

#[test]
fn the_probe_of_a_lone_segment_waits_for_a_delayed_acknowledgment_but_not_longer_than_the_time_out() {
    let mut p = connected();
    p.send(1);
    // SRTT 100 ms, RTTVAR 50 ms: 2 * SRTT + 200 ms would be later than the RTO of 300 ms.
    assert_eq!(next(&mut p), (300, vec![0]));
    assert_eq!((p.info().repairs.probes, p.info().repairs.timeouts), (1, 0));
    p.sack(1, &[]);
    p.ends_well();

    let options = TcpOptions { rto_min: Duration::from_secs(1), ..options() };
    let mut p = Peer::new(options, Offer::default());
    p.send(1);
    assert_eq!(next(&mut p), (400, vec![0]));
    p.ends_well();
}

#[test]
fn acknowledgments_and_new_text_put_the_probe_off() {
    let mut p = connected();
    p.send(5);
    p.pass(100);
    p.sack(1, &[]);
    assert_eq!(p.pass(90), []);
    p.send(1);
    assert_eq!(next(&mut p), (200, vec![5]), "two round trips after what was sent last");
    p.ends_well();

    // But no later than the time-out of what was sent before: 300 ms after the acknowledgment.
    let mut p = connected();
    p.send(5);
    p.pass(100);
    p.sack(1, &[]);
    assert_eq!(p.pass(190), []);
    p.send(1);
    assert_eq!(next(&mut p), (110, vec![5]));
    assert_eq!((p.info().repairs.probes, p.info().repairs.timeouts), (1, 0));
    p.ends_well();
}

// RFC 7765 §4: three segments cannot bring three duplicate acknowledgments, so what others waited for is no reason to wait.
#[test]
fn the_probe_of_a_short_tail_is_no_later_than_a_time_out_after_it_left() {
    let after_first = |segments: u32, acked: u32| {
        let mut p = connected();
        p.send(segments);
        p.pass(90);
        p.sack(acked, &[]);
        let rto = p.info().rto.as_micros() / 1000;
        let (after, sent) = next(&mut p);
        assert_eq!((sent, p.info().repairs.timeouts), (vec![segments - 1], 0));
        p.ends_well();
        (after, rto)
    };
    // SRTT 98 ms: two of them are 197 ms, for a lone segment 397 ms; the time-out is 299 ms.
    let (lone, rto) = after_first(4, 3);
    assert_eq!(lone, rto - 90);
    assert_eq!(after_first(4, 1).0, 197, "two round trips come first");
}

// RFC 8985 §6.2, step 2: what is acknowledged sooner than any round trip was the original, and says nothing of what left
// meanwhile.
#[test]
fn a_retransmission_that_seems_to_arrive_at_once_shows_nothing_to_be_lost() {
    let mut p = sending(10);
    assert_eq!(p.sack(0, &[(1, 4)]), [0]);
    assert_eq!(p.pass(10), []);
    // 4 lies below what has arrived; those above it do not, and left only 110 ms ago.
    assert_eq!(p.sack(4, &[(5, 6)]), [4]);
    assert_eq!(p.info().lost, 0);
    assert_eq!(p.sack(10, &[]), NOTHING);
    assert_eq!((p.info().retransmits, p.info().repairs.recoveries), (2, 1));
    p.ends_well();
}

// RFC 8985 §7.4: the episode lasts until what had been sent by then is acknowledged; there is one probe in it.
#[test]
fn while_a_probe_is_not_answered_there_is_no_other() {
    let mut p = connected();
    p.send(12);
    assert_eq!(next(&mut p), (200, vec![10]));
    assert_eq!(p.sack(5, &[]), [11]);
    let (_, sent) = next(&mut p);
    assert_eq!(sent, [5]);
    assert_eq!((p.info().repairs.probes, p.info().repairs.timeouts), (1, 1));
    p.ends_well();
}

#[test]
fn a_probe_is_new_text_where_there_is_some_and_its_room_is_only_lent() {
    let mut p = connected();
    assert_eq!(p.send(12), (0..10).collect::<Vec<_>>());
    assert_eq!(next(&mut p), (200, vec![10]));
    assert_eq!(p.sack(0, &[(10, 11)])[0], 0, "what the probe has shown to be lost");
    let info = p.info();
    assert_eq!((info.ssthresh, info.repairs.timeouts), (5 * SEGMENT, 0));
    p.ends_well();

    // The flight was only late.
    let mut p = connected();
    p.send(12);
    next(&mut p);
    assert_eq!(p.sack(10, &[]), [11]);
    // A probe is not room for growth: ten segments at first, and slow start's two for that acknowledgment.
    assert_eq!(p.info().cwnd, 12 * SEGMENT);
    p.ends_well();
}

// Nagle's rule holds the second write back: there is nothing new to send, and the probe is what was sent before.
#[test]
fn a_probe_is_sent_although_nagles_rule_holds_new_text_back() {
    let mut p = connected();
    assert_eq!(p.write(100).len(), 1);
    assert_eq!(p.write(50), []);
    let (after, sent) = p.wait(5_000);
    let [Out { seq: 0, len: 100, .. }] = sent[..] else { panic!("a probe is expected: {sent:?}") };
    assert_eq!((after, p.info().repairs.probes, p.info().repairs.timeouts), (300, 1, 0));
    p.give(100, &[], &[]);
    p.ends_well();
}

#[test]
fn no_probe_is_sent_into_a_closed_window_nor_while_losses_are_being_repaired() {
    let mut p = connected();
    p.send(3);
    p.window = 0;
    p.sack(1, &[]);
    p.pass(5_000);
    assert_eq!(p.info().repairs.probes, 0);
    p.ends_well();

    let mut p = sending(10);
    assert_eq!(p.sack(0, &[(1, 4)]), [0]);
    p.pass(500);
    assert_eq!((p.info().repairs.probes, p.info().repairs.timeouts), (0, 1));
    p.ends_well();
}

// RFC 8985 §7.4: a probe that has repaired a loss is a loss for congestion control.
#[test]
fn a_probe_that_repairs_the_tail_halves_the_window_and_one_that_repaired_nothing_does_not() {
    // What the peer says of the probe once it has acknowledged it, and whether something was lost.
    let says = [
        ("nothing", true, vec![]),
        ("a duplicate report", false, vec![vec![(4, 5)]]),
        ("a second acknowledgment", false, vec![vec![]]),
    ];
    for (what, is_lost, acks) in says {
        let mut p = sending(5);
        p.sack(4, &[]);
        let (_, probe) = next(&mut p);
        assert_eq!(probe, [4]);
        p.sack(5, &[]);
        for blocks in &acks {
            p.sack(5, blocks);
        }
        let before = p.info().cwnd;
        assert_eq!(p.send(2), [5, 6]);
        p.pass(100);
        p.sack(7, &[]);
        let info = p.info();
        assert_eq!(info.cwnd < before, is_lost, "{what}: {info:?}");
        assert_eq!((info.repairs.timeouts, info.repairs.probes), (0, 1));
        p.ends_well();
    }
}

#[test]
fn a_probe_after_which_text_was_written_still_counts_as_a_repair() {
    let mut p = sending(5);
    p.sack(4, &[]);
    next(&mut p);
    // The answer to the probe comes when new text is in flight already.
    assert_eq!(p.send(2), [5, 6]);
    p.sack(5, &[]);
    let before = p.info().cwnd;
    p.pass(50);
    p.sack(7, &[]);
    assert!(p.info().cwnd < before, "{:?}", p.info());
    p.ends_well();
}

#[test]
fn the_duplicate_of_a_probe_does_not_widen_the_reordering_window() {
    let mut p = reordering();
    for n in 0..4 {
        let at = 2 + 3 * n;
        assert_eq!(p.send(3), [at, at + 1, at + 2]);
        let (_, probe) = next(&mut p);
        assert_eq!(probe, [at + 2]);
        p.sack(at + 3, &[]);
        p.sack(at + 3, &[(at + 2, at + 3)]);
    }
    p.pass(1_000);
    assert_eq!(patience(&mut p, false), 25);
    assert_eq!(p.info().repairs.timeouts, 0);
    p.ends_well();
}

#[test]
fn a_tail_of_several_segments_is_repaired_by_one_probe_and_what_it_shows() {
    let mut p = sending(6);
    p.sack(2, &[]);
    let (after, probe) = next(&mut p);
    let srtt = p.info().srtt.expect("measured").as_micros() / 1000;
    assert_eq!((after, probe), (2 * srtt, vec![5]));
    p.bench.now += Duration::from_millis(100);
    let mut again = p.sack(2, &[(5, 6)]);
    p.bench.now += Duration::from_millis(100);
    let blocks: &[(u32, u32)] = if again == [2] { &[(5, 6)] } else { &[] };
    again.extend(p.sack(2 + again.len() as u32, blocks));
    p.bench.now += Duration::from_millis(100);
    again.extend(p.sack(6, &[]));
    assert_eq!(again, [2, 3, 4]);
    assert_eq!((p.info().repairs.timeouts, p.info().unacked), (0, 0));
    p.ends_well();
}

//! Repairs without need, and what is done about them: RFC 3522, 4015, 5682, 2883, between the stack and a hand-made peer
//! 100 ms away; and time-outs.

use ringtap::tcp::{Congestion, TcpInfo, TcpOptions};
use ringtap::time::{Duration, Instant};
use ringtap_sim::goodput::{Setting, prepare};
use ringtap_sim::peer::{Offer, Peer, SEGMENT};
use ringtap_sim::{Bulk, Impairments, Sim};
use std::net::SocketAddr;

const NOTHING: [u32; 0] = [];

fn options() -> TcpOptions {
    TcpOptions { tx_buffer: 200_000, congestion: Congestion::NewReno, ..TcpOptions::default() }
}

/// 40 segments are written; ten have left, and a round trip has passed.
fn sending(stamps: bool) -> Peer {
    let mut p = Peer::new(options(), Offer { stamps, ..Offer::default() });
    assert_eq!(p.send(40), (0..10).collect::<Vec<_>>());
    p.bench.now += Duration::from_millis(100);
    p
}

/// As [`sending`], and nothing came: the time-out has sent the first segment again.
fn timed_out(stamps: bool) -> (Peer, u32) {
    let mut p = Peer::new(options(), Offer { stamps, ..Offer::default() });
    p.send(10);
    let original = p.echo;
    // First a probe of the tail, then the time-out.
    p.wait(5_000);
    let (_, again) = p.wait(5_000);
    assert_eq!(Peer::segs(&again), [0]);
    let info = p.info();
    assert_eq!((info.repairs.timeouts, info.cwnd), (1, SEGMENT));
    (p, original)
}

fn undone(info: &TcpInfo) -> (u16, u16, u16) {
    (info.repairs.recoveries, info.repairs.timeouts, info.repairs.undone)
}

// RFC 3522: the echo is older than what was sent again.
#[test]
fn a_fast_retransmission_that_the_timestamps_show_to_be_needless_is_taken_back() {
    let mut p = sending(true);
    let original = p.echo;
    assert_eq!(p.sack(0, &[(1, 4)]), [0]);
    assert_eq!(p.info().ssthresh, 5 * SEGMENT);
    p.bench.now += Duration::from_millis(10);
    // Segment 0 was only late.
    p.echo = original;
    let sent = p.sack(4, &[]);
    assert_eq!(sent, [10, 11, 12, 13, 14, 15], "the window is what it was, and grows by slow start's two");
    let info = p.info();
    assert_eq!(undone(&info), (1, 0, 1));
    assert!(info.cwnd >= 10 * SEGMENT && info.ssthresh >= 10 * SEGMENT, "{info:?}");
    p.ends_well();
}

#[test]
fn a_fast_retransmission_that_the_timestamps_show_to_have_arrived_is_not() {
    let mut p = sending(true);
    assert_eq!(p.sack(0, &[(1, 4)]), [0]);
    p.bench.now += Duration::from_millis(100);
    p.sack(4, &[]);
    let info = p.info();
    assert_eq!(undone(&info), (1, 0, 0));
    assert_eq!(info.ssthresh, 5 * SEGMENT);
    p.ends_well();
}

// RFC 2883, RFC 3708: without timestamps, when everything that was sent again is said to have come twice.
#[test]
fn retransmissions_that_have_all_come_twice_are_taken_back_and_not_before_the_last() {
    let mut p = sending(false);
    assert_eq!(p.sack(0, &[(2, 5)])[0], 0);
    p.bench.now += Duration::from_millis(60);
    p.sack(0, &[(2, 8)]);
    let info = p.info();
    assert_eq!(info.retransmits, 2, "{info:?}");
    let before = info.cwnd;
    p.sack(8, &[]);
    p.sack(8, &[(0, 1)]);
    assert_eq!(undone(&p.info()), (1, 0, 0));
    p.sack(8, &[(1, 2)]);
    let info = p.info();
    assert_eq!(undone(&info), (1, 0, 1));
    assert!(info.cwnd > before && info.ssthresh >= 10 * SEGMENT, "{info:?}");
    p.ends_well();
}

#[test]
fn a_report_of_duplicates_for_another_recovery_takes_nothing_back() {
    let mut p = sending(false);
    assert_eq!(p.sack(0, &[(1, 4)]), [0]);
    p.bench.now += Duration::from_millis(100);
    let sent = p.sack(10, &[]);
    let next = sent.last().expect("new text") + 1;
    p.bench.now += Duration::from_millis(100);
    p.sack(next, &[]);
    p.sack(next, &[(0, 1)]);
    assert_eq!(undone(&p.info()), (1, 0, 0), "the report comes too late");
    p.ends_well();
}

// RFC 5682 §3.1, with SACK; RFC 4015.
#[test]
fn a_time_out_during_which_the_originals_arrive_is_taken_back_and_nothing_more_is_sent_again() {
    let mut p = sending(false);
    let (_, probe) = p.wait(5_000);
    assert_eq!(Peer::segs(&probe), [10]);
    let (_, again) = p.wait(5_000);
    assert_eq!(Peer::segs(&again), [0]);
    // The first acknowledgment may be of either: two new segments tell them apart.
    assert_eq!(p.sack(1, &[]), [11, 12]);
    // The original of 1 arrives.
    let sent = p.sack(2, &[]);
    assert!(sent.iter().all(|&n| n > 12), "{sent:?}");
    let info = p.info();
    assert_eq!(undone(&info), (0, 1, 1));
    assert!(info.ssthresh >= 10 * SEGMENT && info.cwnd > 10 * SEGMENT, "{info:?}");
    let before = p.info().retransmits;
    p.sack(10, &[]);
    p.pass(50);
    assert_eq!((p.info().retransmits, p.info().lost), (before, 0));
    p.ends_well();
}

#[test]
fn a_time_out_that_the_timestamps_show_to_be_needless_is_taken_back_at_once() {
    let (mut p, original) = timed_out(true);
    p.echo = original;
    p.sack(1, &[]);
    let info = p.info();
    assert_eq!(undone(&info), (0, 1, 1));
    assert_eq!((info.lost, info.ssthresh >= 10 * SEGMENT), (0, true), "{info:?}");
    p.ends_well();
}

#[test]
fn a_time_out_after_which_new_text_shows_holes_goes_on_sending_again() {
    let mut p = sending(false);
    p.wait(5_000);
    p.wait(5_000);
    assert_eq!(p.sack(1, &[]), [11, 12]);
    // New text beyond the hole arrives: what was sent before is gone.
    let sent = p.sack(1, &[(11, 12)]);
    assert_eq!(sent[0], 1, "{sent:?}");
    assert_eq!(undone(&p.info()), (0, 1, 0));
    assert!(p.info().ssthresh < 10 * SEGMENT);
    p.ends_well();
}

#[test]
fn without_new_text_a_time_out_is_repaired_in_slow_start() {
    let (mut p, _) = timed_out(false);
    let mut again = Vec::new();
    let mut acked = 0;
    while acked < 10 {
        acked += 1;
        again.push(p.sack(acked, &[]));
    }
    assert_eq!(again[..2], [vec![1, 2], vec![3, 4]]);
    assert_eq!(again.concat(), (1..10).collect::<Vec<_>>());
    assert_eq!((undone(&p.info()), p.info().unacked), ((0, 1, 0), 0));
    p.ends_well();
}

// F-RTO wants to send new text; Nagle's rule holds it back, and nothing may wait for it.
#[test]
fn a_small_write_that_nagle_holds_back_does_not_hold_up_the_repair() {
    let mut p = Peer::new(options(), Offer::default());
    p.write(3_500);
    assert_eq!(p.write(100), []);
    p.wait(5_000);
    p.wait(5_000);
    let (at, before) = (p.bench.now, p.info().repairs.timeouts);
    let sent = p.give(SEGMENT, &[], &[]);
    assert_eq!(sent.iter().map(|out| out.seq).collect::<Vec<_>>(), [1_000, 2_000]);
    let rest = p.give(3_000, &[], &[]);
    assert_eq!(rest.iter().map(|out| out.seq).collect::<Vec<_>>(), [3_000]);
    assert_eq!((p.bench.now, p.info().repairs.timeouts), (at, before));
    p.ends_well();
}

// RFC 6298 §5.4 and §5.5, RFC 5681 §3.1: a time-out that repeats itself reduces ssthresh once.
#[test]
fn repeated_time_outs_send_the_first_segment_alone_and_reduce_ssthresh_once() {
    let (mut p, _) = timed_out(false);
    let (rto, ssthresh) = (p.info().rto, p.info().ssthresh);
    for n in 1..=3 {
        let (_, again) = p.wait(60_000);
        assert_eq!(Peer::segs(&again), [0]);
        let info = p.info();
        assert_eq!((info.cwnd, info.ssthresh, info.rto.as_micros()), (SEGMENT, ssthresh, rto.as_micros() << n));
    }
    assert_eq!(p.sack(10, &[]), NOTHING);
    p.ends_well();

    // CUBIC would take it from the window, which is one segment by now.
    let mut p = Peer::new(TcpOptions { congestion: Congestion::Cubic, ..options() }, Offer::default());
    p.send(10);
    let reduced: Vec<_> = (0..4).map(|_| (p.wait(60_000), p.info().ssthresh).1).collect();
    assert_eq!((reduced[1], reduced[3], p.info().repairs.timeouts), (reduced[2], reduced[2], 3));
    assert!(reduced[1] > 6 * SEGMENT, "{reduced:?}");
}

/// The round trip grows from 20 ms to a second within an instant, without any loss, and later shrinks again.
#[test]
fn a_path_that_becomes_fifty_times_longer_costs_few_needless_segments_and_not_the_window() {
    let mut sim = prepare(1, &Setting::default());
    let second = |n: u64| Instant::from_secs(n);
    sim.run_until(second(3)).expect("the invariants hold");
    sim.impair(0, Impairments { rate: 12_500_000, queue: 1_000, ..Impairments::delay(Duration::from_secs(1)) });
    sim.run_until(second(13)).expect("the invariants hold");
    let handle = ringtap_sim::App::handle(sim.app::<Bulk>(0, 0)).expect("a connection");
    let info = sim.hosts[0].stack.tcp(handle).expect("open").info().expect("open");
    assert!(info.repairs.timeouts >= 1 && info.repairs.undone >= 1, "{info:?}");
    // 180 segments were in flight: going back to the first would have sent all of them again.
    assert!(info.retransmits <= 10, "{info:?}");
    assert!(info.cwnd >= 200_000, "the window is what it was: {info:?}");
}

// Both time out together, both probe together, and the answers cross: everything arrives.
#[test]
fn crossed_time_outs_and_crossed_probes_lose_nothing() {
    for outage in [150u64, 450, 900, 2_500] {
        let hole = vec![(Instant::from_millis(500), Instant::from_millis(500 + outage))];
        let link = Impairments { rate: 2_000_000, black_holes: hole, ..Impairments::delay(Duration::from_millis(20)) };
        let mut sim = Sim::pair(outage, link.clone(), link);
        let (server, tcp) = (SocketAddr::new(sim.hosts[1].addr, 7000), TcpOptions::default());
        sim.hosts[0].apps.push(Box::new(Bulk::client(server, 2_000_000, 2_000_000, tcp)));
        sim.hosts[1].apps.push(Box::new(Bulk::server(7000, 2_000_000, 2_000_000, tcp)));
        sim.run(Instant::from_secs(30)).and_then(|()| sim.check_empty()).expect("all arrives");
    }
}

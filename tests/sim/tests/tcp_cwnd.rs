//! A congestion window that is not used up, or not used at all: RFC 5681 §4.1, RFC 7661, between the stack and a hand-made
//! peer 100 ms away.

use ringtap::tcp::{Congestion, TcpOptions};
use ringtap::time::Duration;
use ringtap_sim::peer::{Offer, Peer, SEGMENT};

const BOTH: [Congestion; 2] = [Congestion::NewReno, Congestion::Cubic];
/// The initial window, and the restart window after a pause.
const INITIAL: u32 = 10;

fn options(congestion: Congestion) -> TcpOptions {
    TcpOptions { tx_buffer: 400_000, congestion, ..TcpOptions::default() }
}

/// Sends so many segments as the windows allow; each second one is acknowledged, a round trip later.
fn transfer(p: &mut Peer, segments: u32) {
    let mut sent = p.send(segments);
    while !sent.is_empty() {
        p.bench.now += Duration::from_millis(100);
        sent = sent.chunks(2).flat_map(|pair| p.sack(pair[pair.len() - 1] + 1, &[])).collect();
    }
    assert_eq!(p.info().unacked, 0);
}

/// A connection whose window has grown beyond 60 segments, and whose next segment is this one.
fn grown(congestion: Congestion) -> (Peer, u32) {
    let mut p = Peer::new(options(congestion), Offer::default());
    for _ in 0..3 {
        transfer(&mut p, 150);
    }
    let (cwnd, next) = (p.info().cwnd, p.info().delivered / SEGMENT);
    assert!(cwnd >= 60 * SEGMENT, "{congestion:?}: {cwnd}");
    (p, next)
}

// RFC 5681 §4.1 (RW = min(IW, cwnd)), and what RFC 7661 §4.4 remembers: slow start leads most of the way back.
#[test]
fn after_a_pause_longer_than_the_time_out_the_initial_window_leaves_first() {
    for congestion in BOTH {
        let (mut p, next) = grown(congestion);
        let before = p.info().cwnd;
        p.pass(400);
        assert_eq!(p.send(60), (next..next + INITIAL).collect::<Vec<_>>(), "{congestion:?}");
        let info = p.info();
        assert!(info.ssthresh >= before / 4 * 3, "{congestion:?}: {info:?}");
        // Slow start doubles it in a round trip.
        p.bench.now += Duration::from_millis(100);
        (2..=INITIAL).step_by(2).for_each(|n| drop(p.sack(next + n, &[])));
        assert_eq!(p.info().cwnd, 2 * INITIAL * SEGMENT, "{congestion:?}");
        p.ends_well();
    }
}

#[test]
fn a_pause_shorter_than_the_time_out_leaves_the_window_alone() {
    for congestion in BOTH {
        let (mut p, _) = grown(congestion);
        let (before, rto) = (p.info().cwnd, p.info().rto);
        assert!(rto >= Duration::from_millis(300));
        // The last segment left 100 ms ago.
        p.pass(150);
        assert_eq!(p.send(60).len(), 60, "{congestion:?}");
        assert_eq!(p.info().cwnd, before);
        p.ends_well();
    }
}

// RFC 5681 §4.1: it is the sending that counts; what is only received keeps no window open.
#[test]
fn text_from_the_peer_is_no_reason_to_keep_the_window() {
    let (mut p, next) = grown(Congestion::NewReno);
    for n in 0..20 {
        p.bench.pass(Duration::from_millis(50));
        p.text(n * 100, 100, next * SEGMENT);
    }
    p.seq = 2_000;
    assert_eq!(p.send(60).len(), INITIAL as usize);
    p.ends_well();
}

// RFC 7661 §4.3: a window that is not used says nothing of the path, and does not grow.
#[test]
fn a_sender_with_little_to_say_does_not_grow_its_window() {
    for congestion in BOTH {
        let mut p = Peer::new(options(congestion), Offer::default());
        for _ in 0..200 {
            transfer(&mut p, 2);
        }
        assert_eq!(p.info().cwnd, INITIAL * SEGMENT, "slow start, {congestion:?}");
        // In congestion avoidance as well.
        let (mut p, next) = grown(congestion);
        p.send(20);
        p.bench.now += Duration::from_millis(100);
        p.sack(next, &[(next + 1, next + 20)]);
        p.sack(next + 20, &[]);
        let before = p.info();
        assert!(before.cwnd <= before.ssthresh, "{before:?}");
        for _ in 0..200 {
            transfer(&mut p, 2);
        }
        assert_eq!(p.info().cwnd, before.cwnd, "{congestion:?}");
        p.ends_well();
    }
}

// RFC 7661 §4.4.1: what was in flight counts at a loss, not a window that nobody used.
#[test]
fn a_loss_while_little_is_in_flight_reduces_from_that() {
    for congestion in BOTH {
        let (mut p, next) = grown(congestion);
        assert_eq!(p.send(8).len(), 8);
        p.bench.now += Duration::from_millis(100);
        assert_eq!(p.sack(next, &[(next + 1, next + 5)]), [next]);
        let info = p.info();
        let most = if congestion == Congestion::NewReno { 4 } else { 12 };
        assert!(info.ssthresh <= most * SEGMENT, "{congestion:?}: {info:?}");
        p.ends_well();
    }
}

// RFC 7661 §4.4.1: of a window that was hardly used, and then of little that is in flight, half of what the path has carried
// of late is left, and half less of what had to go again.
#[test]
fn a_loss_while_a_window_is_not_validated_leads_to_half_of_what_was_carried() {
    for congestion in BOTH {
        let (mut p, next) = grown(congestion);
        for _ in 0..15 {
            transfer(&mut p, 20);
        }
        let next = next + 15 * 20;
        let cwnd = p.info().cwnd;
        assert!(cwnd >= 60 * SEGMENT, "{congestion:?}: it is kept, {cwnd}");
        assert_eq!(p.send(8).len(), 8);
        p.bench.now += Duration::from_millis(100);
        assert_eq!(p.sack(next, &[(next + 1, next + 8)]), [next]);
        assert_eq!(p.info().ssthresh, 10 * SEGMENT, "{congestion:?}");
        p.bench.now += Duration::from_millis(100);
        p.sack(next + 8, &[]);
        let info = p.info();
        assert_eq!((info.cwnd, info.ssthresh), (19 * SEGMENT / 2, 19 * SEGMENT / 2), "{congestion:?}");
        // The standard methods hold again, until there is a new measurement.
        for _ in 0..3 {
            transfer(&mut p, 20);
        }
        assert!(p.info().cwnd > 10 * SEGMENT, "{congestion:?}: {:?}", p.info());
        p.ends_well();
    }
}

// RFC 7661 §4.3: the first round trip in which such a window is used shows only that it was sent.
#[test]
fn a_window_that_was_not_validated_grows_when_a_round_trip_has_used_it() {
    for congestion in BOTH {
        let (mut p, _) = grown(congestion);
        for _ in 0..15 {
            transfer(&mut p, 10);
        }
        let before = p.info().cwnd;
        let burst = p.send(before / SEGMENT);
        assert_eq!(burst.len() as u32, before / SEGMENT, "it may be used as before");
        p.bench.now += Duration::from_millis(100);
        let (half, rest) = burst.split_at(burst.len() / 2);
        half.chunks(2).for_each(|pair| drop(p.sack(pair[pair.len() - 1] + 1, &[])));
        assert_eq!(p.info().cwnd, before, "{congestion:?}");
        rest.chunks(2).for_each(|pair| drop(p.sack(pair[pair.len() - 1] + 1, &[])));
        transfer(&mut p, before / SEGMENT + 60);
        assert!(p.info().cwnd > before, "{congestion:?}");
        p.ends_well();
    }
}

// RFC 7661 §4.4.3: five minutes without use, and half of the window goes, again and again down to the initial one.
#[test]
fn a_window_that_is_hardly_used_for_minutes_is_halved() {
    for congestion in BOTH {
        let (mut p, _) = grown(congestion);
        let before = p.info();
        let mut course = Vec::new();
        // Never idle for as long as a time-out.
        for _ in 0..22 {
            for _ in 0..600 {
                transfer(&mut p, 2);
            }
            course.push(p.info().cwnd);
        }
        // A minute each.
        assert_eq!(course[..4], [before.cwnd; 4], "{congestion:?}");
        let halved = course[6];
        assert!(halved.abs_diff(before.cwnd / 2) <= SEGMENT, "{congestion:?}: {course:?}");
        assert!(p.info().ssthresh >= before.cwnd / 4 * 3 || p.info().ssthresh >= before.ssthresh);
        assert!(course[12] <= before.cwnd / 4 + SEGMENT && course[21] >= INITIAL * SEGMENT, "{course:?}");
        assert_eq!(course[21], (before.cwnd / 16).max(INITIAL * SEGMENT));
        p.ends_well();
    }
}

use super::*;

const MSS: u32 = 1000;

/// `octets` acknowledged of `flight`.
pub(crate) fn acked(octets: u32, flight: u32) -> Acked {
    Acked {
        now: Instant::from_secs(9),
        octets,
        flight,
        mss: 1460,
        after_rto: false,
        rtt: None,
        una: Seq::new(1),
        nxt: Seq::new(1),
    }
}

fn on_ack(cc: &mut Controller, octets: u32, flight: u32, after_rto: bool) {
    cc.on_ack(&Acked { mss: MSS, after_rto, ..acked(octets, flight) });
}

#[test]
fn the_initial_window_is_ten_segments_with_a_floor_for_small_and_large_ones() {
    assert_eq!(initial_window(1460), 14_600);
    assert_eq!(initial_window(536), 5_360);
    assert_eq!(initial_window(8960), 17_920);
}

#[test]
fn slow_start_grows_by_what_was_acknowledged_and_at_most_two_segments() {
    let mut cc = Controller::new(Congestion::NewReno, MSS);
    let start = cc.cwnd();
    on_ack(&mut cc, 1, start, false);
    assert_eq!(cc.cwnd(), start + 1);
    on_ack(&mut cc, 10 * MSS, start, false);
    assert_eq!(cc.cwnd(), start + 1 + 2 * MSS);
    on_ack(&mut cc, 10 * MSS, start, true);
    assert_eq!(cc.cwnd(), start + 1 + 3 * MSS);
}

#[test]
fn a_window_that_is_not_used_does_not_grow() {
    let mut cc = Controller::new(Congestion::NewReno, MSS);
    let start = cc.cwnd();
    on_ack(&mut cc, MSS, MSS, false);
    assert_eq!(cc.cwnd(), start);
}

#[test]
fn congestion_avoidance_grows_by_one_segment_per_window() {
    let mut cc = Controller::new(Congestion::NewReno, MSS);
    cc.on_rto(8 * MSS, MSS, true);
    while cc.cwnd() < cc.ssthresh() {
        let flight = cc.cwnd();
        on_ack(&mut cc, MSS, flight, false);
    }
    assert_eq!((cc.cwnd(), cc.ssthresh()), (4 * MSS, 4 * MSS));
    for _ in 0..3 {
        let flight = cc.cwnd();
        on_ack(&mut cc, MSS, flight, false);
    }
    assert_eq!(cc.cwnd(), 4 * MSS);
    let flight = cc.cwnd();
    on_ack(&mut cc, MSS, flight, false);
    assert_eq!(cc.cwnd(), 5 * MSS);
}

#[test]
fn a_thousand_invented_duplicates_inflate_by_the_flight_at_most() {
    let mut cc = Controller::new(Congestion::NewReno, MSS);
    cc.on_fast_retransmit(10 * MSS, MSS, false);
    for _ in 0..1000 {
        cc.on_recovery_dup_ack(10 * MSS, MSS);
    }
    assert_eq!(cc.cwnd(), 15 * MSS);
    cc.on_recovered(2 * MSS, MSS);
    assert_eq!(cc.cwnd(), 3 * MSS);
}

#[test]
fn an_idle_window_restarts_small_and_remembers_where_it_was() {
    let mut cc = Controller::new(Congestion::NewReno, MSS);
    cc.on_loss(200 * MSS, MSS);
    cc.set_cwnd(100 * MSS, MSS);
    cc.on_idle(MSS);
    assert_eq!((cc.cwnd(), cc.ssthresh()), (10 * MSS, 100 * MSS));
    cc.on_loss(0, MSS);
    cc.set_cwnd(80 * MSS, MSS);
    cc.on_idle(MSS);
    assert_eq!((cc.cwnd(), cc.ssthresh()), (10 * MSS, 60 * MSS));
}

#[cfg(feature = "rack")]
#[test]
fn an_undone_loss_gives_the_window_back_without_a_burst() {
    let mut cc = Controller::new(Congestion::NewReno, MSS);
    cc.set_cwnd(100 * MSS, MSS);
    let prior = cc.prior();
    cc.on_rto(100 * MSS, MSS, true);
    cc.undo(&prior, 20 * MSS, MSS);
    assert_eq!((cc.cwnd(), cc.ssthresh()), (30 * MSS, LARGEST));
    cc.on_loss(100 * MSS, MSS);
    cc.undo(&prior, 120 * MSS, MSS);
    assert_eq!(cc.cwnd(), 100 * MSS);
}

#[cfg(feature = "cubic")]
mod usage {
    use super::*;
    use crate::time::Duration;

    /// A path of 100 ms whose acknowledgments are for each segment.
    struct Path {
        cc: Controller,
        now: Instant,
        una: Seq,
        nxt: Seq,
    }

    impl Path {
        fn new(kind: Congestion) -> Self {
            let mut cc = Controller::new(kind, MSS);
            let una = Seq::new(u32::MAX - 5 * MSS);
            cc.on_established(MSS, false, una);
            Self { cc, now: Instant::from_secs(3), una, nxt: una }
        }

        /// A round trip in which so many segments are in flight, as the window allows.
        fn round(&mut self, segments: u32) {
            self.round_of(segments, 100);
        }

        fn round_of(&mut self, segments: u32, ms: u64) {
            self.send(segments);
            self.now += Duration::from_millis(ms);
            let end = self.nxt;
            while self.una.before(end) {
                let flight = self.nxt.distance_from(self.una);
                self.una += MSS;
                let (una, nxt, rtt) = (self.una, self.nxt, Some(ms as u32 * 1000));
                self.cc.on_ack(&Acked { now: self.now, mss: MSS, rtt, una, nxt, ..acked(MSS, flight) });
                self.send(segments);
            }
        }

        fn send(&mut self, segments: u32) {
            self.nxt = self.nxt.later(self.una + self.segments().min(segments) * MSS);
        }

        fn segments(&self) -> u32 {
            self.cc.cwnd() / MSS
        }

        /// A window of 80 segments that was used, and no more than `used` of it for two seconds since.
        fn unused(kind: Congestion, used: u32) -> Self {
            let mut path = Self::new(kind);
            for _ in 0..3 {
                path.round(1000);
            }
            assert_eq!(path.segments(), 80);
            // It grows until the first half of the last full round trip is acknowledged.
            path.round(used);
            path.cc.set_cwnd(80 * MSS, MSS);
            (0..20).for_each(|_| path.round(used));
            path
        }
    }

    const BOTH: [Congestion; 2] = [Congestion::NewReno, Congestion::Cubic];

    // RFC 7661 §4.3: what arrives in a round trip validates, not what is in flight for a moment.
    #[test]
    fn a_window_that_was_hardly_used_is_kept_and_grows_only_after_a_round_trip_has_used_half_of_it() {
        for kind in BOTH {
            let mut path = Path::unused(kind, 10);
            assert_eq!(path.segments(), 80, "{kind:?}: it is kept");
            path.round(80);
            assert_eq!(path.segments(), 80, "{kind:?}: in flight, and nothing has arrived yet");
            path.round(80);
            assert!(path.segments() > 80, "{kind:?}");
            // A segment less than half is as good as half: a round trip is not measured more closely.
            for (used, grows) in [(30, false), (39, true)] {
                let mut path = Path::unused(kind, used);
                assert_eq!(path.cc.is_validated(), grows, "{kind:?}");
                path.round(80);
                assert_eq!(path.segments() > 80, grows, "{kind:?}: {used}");
            }
        }
    }

    // RFC 7661 §4.5: the most of max(3*RTT, 1 second).
    #[test]
    fn one_good_round_trip_counts_for_the_sampling_period() {
        for (rtt, rounds) in [(100, 5), (1_000, 2)] {
            let mut path = Path::unused(Congestion::NewReno, 10);
            path.round_of(60, rtt);
            path.round_of(1, rtt);
            assert!(path.cc.is_validated(), "{rtt} ms");
            (0..rounds - 1).for_each(|_| path.round_of(1, rtt));
            assert!(path.cc.is_validated(), "{rtt} ms: half of the period");
            (0..rounds + 2).for_each(|_| path.round_of(1, rtt));
            assert!(!path.cc.is_validated(), "{rtt} ms: the whole");
        }
    }

    #[test]
    fn what_was_delivered_before_a_pause_of_the_sampling_period_does_not_count() {
        let mut path = Path::unused(Congestion::NewReno, 60);
        path.round(1);
        assert!(path.cc.is_validated());
        path.now += Duration::from_secs(5);
        (0..2).for_each(|_| path.round(1));
        assert!(!path.cc.is_validated());
    }

    // RFC 7661 §4.4.1.
    #[test]
    fn a_loss_of_an_unused_window_leads_to_half_of_what_was_used_less_what_went_again() {
        for kind in BOTH {
            let mut path = Path::unused(kind, 20);
            path.cc.on_loss(8 * MSS, MSS);
            assert_eq!(path.cc.ssthresh(), 10 * MSS, "{kind:?}: pipeACK is more than what is in flight");
            path.cc.on_resent(2 * MSS);
            path.cc.on_resent(2 * MSS);
            path.cc.leave_recovery(MSS);
            assert_eq!((path.cc.cwnd(), path.cc.ssthresh()), (8 * MSS, 8 * MSS), "{kind:?}");
            let mut path = Path::unused(kind, 20);
            path.cc.on_loss(60 * MSS, MSS);
            assert_eq!(path.cc.ssthresh(), 30 * MSS, "{kind:?}: LossFlightSize is more");
            path.cc.on_resent(100 * MSS);
            path.cc.leave_recovery(MSS);
            assert_eq!((path.cc.cwnd(), path.cc.ssthresh()), (MSS, MSS), "{kind:?}: never less than a segment");
        }
    }

    #[test]
    fn a_loss_of_a_window_in_use_is_reduced_as_ever_and_what_went_again_does_not_count() {
        let mut path = Path::unused(Congestion::NewReno, 60);
        path.cc.on_loss(60 * MSS, MSS);
        path.cc.on_resent(10 * MSS);
        path.cc.leave_recovery(MSS);
        assert_eq!((path.cc.cwnd(), path.cc.ssthresh()), (30 * MSS, 30 * MSS));
    }

    // RFC 7661 §4.4.1: pipeACK is undefined then, and so the window may grow at once.
    #[test]
    fn after_a_recovery_a_time_out_or_a_pause_the_standard_methods_hold_at_once() {
        for end in 0..3 {
            let mut path = Path::unused(Congestion::NewReno, if end < 2 { 20 } else { 2 });
            assert!(!path.cc.is_validated());
            match end {
                0 => {
                    path.cc.on_loss(20 * MSS, MSS);
                    path.cc.leave_recovery(MSS);
                }
                1 => path.cc.on_rto(20 * MSS, MSS, true),
                _ => path.cc.on_idle(MSS),
            }
            let before = path.segments();
            path.round(before);
            let least = if end == 2 { 2 * before } else { before + 1 };
            assert!(path.segments() >= least, "{end}: {before}");
        }
    }

    // RFC 7661 §4.4.3, each five minutes; the window that was reached stays the aim of slow start.
    #[test]
    fn five_minutes_without_use_halve_the_window_down_to_the_initial_one() {
        let mut path = Path::unused(Congestion::NewReno, 3);
        path.cc.ssthresh = 20 * MSS;
        (0..2_900).for_each(|_| path.round(2));
        assert_eq!(path.segments(), 80, "not yet");
        (0..200).for_each(|_| path.round(2));
        assert_eq!((path.segments(), path.cc.ssthresh() / MSS), (40, 60));
        (0..12_000).for_each(|_| path.round(2));
        assert_eq!((path.segments(), path.cc.ssthresh() / MSS), (10, 60));
    }

    // A probe has repaired the tail of a window that nobody used: its size is no measure.
    #[cfg(feature = "rack")]
    #[test]
    fn a_repaired_tail_reduces_a_used_window_by_the_window_and_an_unused_one_by_its_use() {
        for (used, flight, wanted) in [(60, 5, 60), (20, 5, 10)] {
            let mut path = Path::unused(Congestion::NewReno, used);
            path.cc.on_tail_loss(flight * MSS, MSS);
            assert_eq!(path.segments(), wanted, "{used}");
        }
    }
}

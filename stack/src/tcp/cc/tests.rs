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
    cc.on_fast_retransmit(10 * MSS, MSS);
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

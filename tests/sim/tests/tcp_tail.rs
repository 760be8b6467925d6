//! How soon the lost tail of a transfer is repaired, between two stacks: RFC 8985 §7.

use ringtap::tcp::TcpOptions;
use ringtap::time::{Duration, Instant};
use ringtap_sim::{App, Impairments, Op, Script, Sim};
use std::net::SocketAddr;

const SEGMENT: usize = 1_448;
/// What TLP allows a peer to delay the acknowledgment of a lone segment by.
const MOST_DELAY: u64 = 200;

/// The time from when the last segments left, and were lost, to when the receiver has them, in milliseconds; and how often
/// the sender timed out. `before` segments left 2 ms earlier and arrive.
fn repaired_after(rtt: u64, before: usize, lost: usize) -> (u64, u16) {
    // A transfer that measures the round trip, a pause shorter than a time-out, and the transfer of which the tail is lost.
    let (warm_up, pause) = (20 * SEGMENT, 10 * rtt + 100);
    let ops = [
        Op::Write(warm_up),
        Op::Wait(pause),
        Op::Write(before * SEGMENT),
        Op::Wait(2),
        Op::Write(lost * SEGMENT),
        Op::Wait(20 * rtt + 5_000),
    ];
    let ops: Vec<Op> = ops.into_iter().filter(|op| !matches!(op, Op::Write(0))).collect();
    let total = (warm_up + (before + lost) * SEGMENT) as u64;
    let link = Impairments::delay(Duration::from_micros(rtt * 500));
    let mut sim = Sim::pair(1, link.clone(), link.clone());
    let server = SocketAddr::new(sim.hosts[1].addr, 7000);
    sim.hosts[0].apps.push(Box::new(Script::client(server, &ops, TcpOptions::default()).with_streams(1, 2)));
    let reads = vec![Op::Read(1 << 16); 10_000];
    sim.hosts[1].apps.push(Box::new(Script::server(7000, &reads, TcpOptions::default()).with_streams(1, 2)));
    let limit = Instant::from_secs(60);
    while sim.app::<Script>(1, 0).received.at < warm_up as u64
        || sim.app::<Script>(0, 0).accepted.at < total - (lost * SEGMENT) as u64
    {
        assert!(sim.step(limit).expect("the invariants hold"), "the first part is not written");
    }
    // All but the tail is on its way; what leaves next is the tail.
    sim.impair(0, Impairments { loss: 1.0, ..link.clone() });
    while sim.app::<Script>(0, 0).accepted.at < total {
        assert!(sim.step(limit).expect("the invariants hold"), "the tail is not written");
    }
    let left = sim.now;
    sim.impair(0, link);
    while sim.app::<Script>(1, 0).received.at < total {
        assert!(sim.step(limit).expect("the invariants hold"), "the tail does not arrive");
    }
    assert_eq!(sim.link(0).lost, lost as u64, "the tail was lost, and nothing else");
    let handle = sim.app::<Script>(0, 0).handle().expect("a connection");
    let info = sim.hosts[0].stack.tcp(handle).expect("open").info().expect("open");
    (sim.now.since(left).as_micros() / 1000, info.repairs.timeouts)
}

// Of one segment the receiver has the probe in time. Of several, the probe repairs the last, and its answer shows the others
// to be lost: of these, the first leaves at once, and the second when that was acknowledged, for
// RFC 9937 §5 lets no more leave than was delivered (SndCnt = MAX(prr_delivered - prr_out, DeliveredData), and one segment
// more only if SND.UNA advances). So where the round trip is longer than what a peer may delay, three take longer than one:
// the time-out, or two round trips, and two round trips and a half.
#[test]
fn a_lost_tail_is_repaired_within_two_round_trips_and_a_delayed_acknowledgment() {
    for rtt in [10, 50, 200] {
        let bar = 2 * rtt + MOST_DELAY;
        let [alone, behind, three] = [(0, 1), (5, 1), (5, 3)].map(|(before, lost)| {
            let (after, timeouts) = repaired_after(rtt, before, lost);
            assert_eq!(timeouts, 0, "{rtt} ms: {before} segments, then {lost} lost");
            after
        });
        println!("round trip {rtt} ms: alone {alone} ms, behind others {behind} ms, three of them {three} ms");
        assert!(alone <= bar, "{rtt} ms: {alone} ms");
        assert!(behind <= bar, "{rtt} ms: {behind} ms");
        let bar_of_three = if rtt < MOST_DELAY { bar } else { rtt + MOST_DELAY + 5 * rtt / 2 };
        assert!(three <= bar_of_three, "{rtt} ms: {three} ms");
    }
}

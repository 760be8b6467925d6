//! How soon the lost tail of a transfer is repaired, between two stacks: RFC 8985 §7.

use ringtap::tcp::TcpOptions;
use ringtap::time::{Duration, Instant};
use ringtap_sim::{App, Impairments, Op, Script, Sim};
use std::net::SocketAddr;

const SEGMENT: usize = 1_448;
/// What TLP allows a peer to delay the acknowledgment of a lone segment by.
const MOST_DELAY: u64 = 200;
/// What our own receiver delays one by, which makes the measured round trip longer.
const OUR_DELAY: u64 = 40;

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

// Two round trips after what the peer said last and, where one segment is in flight, the bound of a delayed acknowledgment;
// half a round trip later the probe is there. No time-out.
#[test]
fn a_lost_tail_is_repaired_within_two_round_trips_and_a_delayed_acknowledgment() {
    for rtt in [10, 50, 200] {
        let probe = 2 * rtt + rtt / 2;
        let (alone, timeouts) = repaired_after(rtt, 0, 1);
        assert_eq!(timeouts, 0);
        assert!(alone <= probe + MOST_DELAY, "{rtt} ms: {alone} ms");
        // The acknowledgment of what came before the tail takes a round trip, and may itself be delayed.
        let last_word = rtt + OUR_DELAY;
        let (behind, timeouts) = repaired_after(rtt, 5, 1);
        assert_eq!(timeouts, 0);
        assert!(behind <= last_word + probe + MOST_DELAY, "{rtt} ms: {behind} ms");
        // The probe repairs the last of three at once; it shows the others to be lost, of which PRR lets one leave at a
        // time.
        let (three, timeouts) = repaired_after(rtt, 5, 3);
        assert_eq!(timeouts, 0);
        assert!(three <= last_word + probe + 2 * rtt, "{rtt} ms: {three} ms");
        println!("round trip {rtt} ms: alone {alone} ms, behind others {behind} ms, three of them {three} ms");
    }
}

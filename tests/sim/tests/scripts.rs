//! Users that do anything at any time, on links that fail at any time: what is promised still holds.

use proptest::prelude::*;
use ringtap::tcp::{KeepAlive, TcpOptions};
use ringtap::time::{Duration, Instant};
use ringtap_sim::{Bulk, Impairments, Op, Script, Sim};
use std::net::SocketAddr;

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        8 => (1usize..9_000).prop_map(Op::Write),
        6 => (0usize..9_000).prop_map(Op::Read),
        3 => (0u64..3_000).prop_map(Op::Wait),
        1 => Just(Op::Shutdown),
    ];
    let end = prop_oneof![4 => Just(vec![]), 2 => Just(vec![Op::Close]), 1 => Just(vec![Op::Abort])];
    (prop::collection::vec(op, 0..40), end).prop_map(|(mut ops, end)| {
        ops.extend(end);
        ops
    })
}

fn links() -> impl Strategy<Value = Impairments> {
    let hole = (0u64..20_000, 1u64..15_000);
    (0u32..8, 0u32..3, prop::collection::vec(hole, 0..3)).prop_map(|(loss, more, holes)| Impairments {
        loss: f64::from(loss) / 100.0,
        duplicate: f64::from(more) / 100.0,
        reorder: f64::from(more) / 50.0,
        black_holes: holes
            .into_iter()
            .map(|(at, len)| (Instant::from_millis(at), Instant::from_millis(at + len)))
            .collect(),
        ..Impairments::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    // H163.
    #[test]
    fn what_was_accepted_is_delivered_or_an_error_is_reported(
        seed in 0u64..1000, client in ops(), server in ops(), there in links(), back in links(), buffer in 1usize..20_000,
    ) {
        let mut sim = Sim::pair(seed, there, back);
        let keep_alive =
            Some(KeepAlive { idle: Duration::from_secs(20), interval: Duration::from_secs(5), count: 4 });
        let options = TcpOptions { rx_buffer: buffer, tx_buffer: buffer, keep_alive, ..TcpOptions::default() };
        let remote = SocketAddr::new(sim.hosts[1].addr, 7000);
        sim.hosts[0].apps.push(Box::new(Script::client(remote, &client, options).with_streams(1, 2)));
        sim.hosts[1].apps.push(Box::new(Script::server(7000, &server, options).with_streams(1, 2)));
        while !sim.is_done() {
            match sim.step(Instant::from_secs(3_000)) {
                Ok(true) => {}
                Ok(false) => break,
                Err(failure) => return Err(TestCaseError::fail(format!("{failure:?}"))),
            }
        }
        let (a, b) = (sim.app::<Script>(0, 0), sim.app::<Script>(1, 0));
        prop_assert!(a.over, "the client hangs at {}", sim.now);
        // A client that gave up early may have left the server without a connection.
        prop_assert!(b.over || !b.started, "the server hangs at {}", sim.now);
        for (from, to) in [(a, b), (b, a)] {
            prop_assert!(to.received.at <= from.accepted.at);
            if to.eof {
                prop_assert_eq!(to.received.at, from.accepted.at, "the end came after all of it");
            }
        }
        // Whoever was not told of an error, and looked, has had it all.
        if a.started && b.started && a.error.is_none() && b.error.is_none() && a.eof && b.eof {
            prop_assert_eq!((a.received.at, b.received.at), (b.accepted.at, a.accepted.at));
        }
        sim.hosts[1].apps.clear();
        prop_assert!(sim.check_empty().is_ok());
    }
}

#[test]
fn every_seed_of_a_bad_link_delivers_all_in_bounded_time() {
    // H096: RINGTAP_LINK_SEEDS=1000 makes a thousand.
    let seeds = std::env::var("RINGTAP_LINK_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(40);
    for seed in 0..seeds {
        let hole = |at: u64, ms: u64| (Instant::from_millis(at), Instant::from_millis(at + ms));
        let outage = 1000 + seed * 37 % 3000;
        let bad = Impairments {
            delay: Duration::from_millis(1 + seed % 30),
            jitter: Duration::from_millis(seed % 4),
            loss: 0.01 * (seed % 11) as f64,
            duplicate: 0.01 * (seed % 3) as f64,
            reorder: 0.02 * (seed % 4) as f64,
            black_holes: vec![hole(200 + seed * 13 % 500, outage), hole(9_000, outage)],
            ..Impairments::default()
        };
        let mut sim = Sim::pair(seed, bad.clone(), bad);
        let server = SocketAddr::new(sim.hosts[1].addr, 7000);
        let options = TcpOptions::default();
        sim.hosts[0].apps.push(Box::new(Bulk::client(server, 400_000, 400_000, options)));
        sim.hosts[1].apps.push(Box::new(Bulk::server(7000, 400_000, 400_000, options)));
        // 280 segments each way, of which a tenth may cost a time-out each, backed off once or twice.
        sim.run(Instant::from_secs(400)).and_then(|()| sim.check_empty()).unwrap();
    }
}

//! Whole transfers between two stacks, on good and bad links.

use ringtap::tcp::TcpOptions;
use ringtap::time::{Duration, Instant};
use ringtap_sim::{Bulk, GilbertElliott, Impairments, Sim};
use std::net::SocketAddr;

fn run(seed: u64, there: Impairments, back: Impairments, octets: (u64, u64), limit: u64) -> Sim {
    let mut sim = Sim::pair(seed, there, back);
    let options = TcpOptions::default();
    let server = SocketAddr::new(sim.hosts[1].addr, 7000);
    sim.hosts[0].apps.push(Box::new(Bulk::client(server, octets.0, octets.1, options)));
    sim.hosts[1].apps.push(Box::new(Bulk::server(7000, octets.1, octets.0, options)));
    if let Err(failure) = sim.run(Instant::from_secs(limit)).and_then(|()| sim.check_empty()) {
        panic!("{failure:?}");
    }
    sim
}

#[test]
fn a_megabyte_each_way_arrives_on_a_clean_link_without_a_retransmission() {
    let sim = run(1, Impairments::default(), Impairments::default(), (1 << 20, 1 << 20), 60);
    for host in &sim.hosts {
        assert_eq!(host.stack.stats().tcp_retransmits, 0);
    }
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    let bad = Impairments { loss: 0.02, reorder: 0.05, ..Impairments::default() };
    let trace = |seed| run(seed, bad.clone(), bad.clone(), (100_000, 100_000), 600).trace();
    assert_eq!(trace(7), trace(7));
    assert_ne!(trace(7), trace(8));
}

#[test]
fn everything_arrives_on_lossy_duplicating_reordering_corrupting_links() {
    for seed in 0..24 {
        let bad = Impairments {
            delay: Duration::from_millis(5 + seed % 40),
            jitter: Duration::from_millis(seed % 5),
            loss: 0.01 * (seed % 6) as f64,
            duplicate: 0.02,
            reorder: 0.05,
            corrupt: 0.01,
            ..Impairments::default()
        };
        run(seed, bad.clone(), bad, (200_000, 150_000), 3_600);
    }
}

#[test]
fn bursts_of_losses_and_short_outages_are_survived() {
    for seed in 100..108 {
        let holes =
            vec![(Instant::from_secs(1), Instant::from_secs(3)), (Instant::from_secs(8), Instant::from_secs(12))];
        let bad = Impairments {
            delay: Duration::from_millis(20),
            bursts: GilbertElliott { to_bad: 0.005, to_good: 0.3, loss: 1.0 },
            black_holes: holes,
            rate: 1_000_000,
            queue: 30,
            ..Impairments::default()
        };
        run(seed, bad.clone(), bad, (400_000, 400_000), 3_600);
    }
}

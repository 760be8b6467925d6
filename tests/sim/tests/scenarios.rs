//! Whole runs out of seeds (T3): `cargo xtask sim` runs any number of them.

use ringtap_sim::{scenario, seeds};

#[test]
fn two_hundred_seeds_hold_every_promise() {
    let totals = seeds::run(0, 200);
    assert_eq!(totals.failures, [], "see `cargo xtask sim --seeds 1 --seed N`");
    // The runs are what they are meant to be: some connections fail, most do not, much is lost and sent again.
    let s = totals.sum;
    assert_eq!(totals.runs, 200);
    assert!(s.errors > 0 && s.errors < s.connections / 3, "{s:?}");
    assert!(s.octets > 10_000_000 && s.retransmits > 5_000, "{s:?}");
    assert!(s.widest > 65_535, "windows above 64 KiB are filled: {s:?}");
}

#[test]
fn the_same_seed_gives_the_same_trace_whatever_befell() {
    let mut traces = Vec::new();
    for seed in (0..200).step_by(10) {
        let summary = scenario::run(seed).unwrap();
        assert_eq!(summary, scenario::run(seed).unwrap(), "seed {seed}");
        traces.push(summary.trace);
    }
    traces.sort_unstable();
    traces.dedup();
    assert_eq!(traces.len(), 20, "each seed is another run");
}

//! What fuzzers have found, and octets by chance, through the fuzzers' targets (`cargo xtask fuzz TARGET` finds more).

use ringtap_sim::SimRng;
use ringtap_sim::fuzz::{TARGETS, Target};
use std::path::{Path, PathBuf};

/// Runs of octets by chance for each target; RINGTAP_FUZZ_ROUNDS makes it others.
fn rounds() -> u64 {
    std::env::var("RINGTAP_FUZZ_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(300)
}

fn target(name: &str) -> Target {
    *TARGETS.iter().find(|(n, _)| *n == name).expect("a target of this name")
}

/// The files of a target's corpus, in order.
fn corpus(name: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
    let entries = std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut files: Vec<PathBuf> = entries.map(|e| e.expect("an entry").path()).collect();
    files.sort();
    files
}

fn replay(name: &str) {
    let (_, run) = target(name);
    let files = corpus(name);
    assert!(files.len() >= 5, "{name} has a corpus: {} files", files.len());
    for file in files {
        println!("{}", file.display());
        run(&std::fs::read(&file).expect("readable"));
    }
    for seed in 0..rounds() {
        let mut rng = SimRng::new(seed);
        let len = rng.below(if seed % 10 == 0 { 4_000 } else { 400 });
        let small = rng.chance(0.5);
        // Octets that are small more often than not lead further.
        let octet = |rng: &mut SimRng| if small { rng.below(20) as u8 } else { rng.next_u64() as u8 };
        let data: Vec<u8> = (0..len).map(|_| octet(&mut rng)).collect();
        println!("seed {seed}");
        run(&data);
    }
}

#[test]
fn frames_of_any_octets_do_no_harm() {
    replay("frames");
}

#[test]
fn calls_in_any_order_do_no_harm() {
    replay("calls");
}

#[test]
fn text_arrives_whatever_the_wire_does() {
    replay("wire");
}

#[test]
fn of_fragments_only_their_datagrams_are_made() {
    replay("fragments");
}

#[test]
fn messages_of_any_octets_do_no_harm() {
    replay("messages");
}

#[test]
fn corpora_are_small() {
    let files = TARGETS.iter().flat_map(|(name, _)| corpus(name));
    let octets: u64 = files.map(|file| file.metadata().expect("a file").len()).sum();
    assert!(octets < 300_000, "{octets} octets");
}

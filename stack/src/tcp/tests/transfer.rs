//! Whole conversations: every octet arrives once, in order, and both ends finish.

use super::harness::plain;
use super::link::{Weather, World};
use crate::tcp::options::TcpOptions;
use crate::tcp::state::State;
use crate::time::Duration;

const FAIR: Weather = Weather { loss: 0, duplication: 0, delay: 500, jitter: 0, outage: None };

#[test]
fn a_megabyte_each_way_crosses_sequence_number_zero_without_a_retransmission() {
    for options in [TcpOptions::default(), plain()] {
        let mut world = World::simultaneous(&options, [1 << 20, 1 << 20], FAIR, 1);
        let took = world.run(Duration::from_secs(60));
        assert!(took < 3.0, "{took} s");
        for end in &world.ends {
            let info = end.host.conn.info();
            assert!(info.retransmits <= 1, "{info:?}");
            assert!(matches!(info.state, State::Closed | State::TimeWait));
        }
    }
}

#[test]
fn reordering_and_repetition_lose_nothing() {
    for seed in 1..40 {
        let weather = Weather { duplication: 50, jitter: 3_000, ..FAIR };
        let mut world = World::simultaneous(&TcpOptions::default(), [200_000, 200_000], weather, seed);
        world.run(Duration::from_secs(120));
    }
}

#[test]
fn h096_loss_repetition_reordering_and_outages_lose_nothing() {
    let seeds = if cfg!(debug_assertions) { 200 } else { 1000 };
    for seed in 1..=seeds {
        let outage = 1_000_000 + (seed * 7919) % 2_000_000;
        let weather = Weather {
            loss: seed % 101,
            duplication: 20,
            delay: 1_000 + (seed % 7) * 3_000,
            jitter: (seed % 5) * 1_000,
            outage: seed.is_multiple_of(3).then_some((outage, outage + 1_000_000 + (seed % 4) * 1_000_000)),
        };
        let options = if seed.is_multiple_of(2) { TcpOptions::default() } else { plain() };
        let mut world = World::simultaneous(&options, [400_000, 400_000], weather, seed);
        world.run(Duration::from_secs(3_600));
    }
}

#[test]
fn tiny_buffers_carry_everything_too() {
    for (rx_buffer, tx_buffer) in [(1, 1), (1, 100), (8, 8), (100, 1), (3000, 2000)] {
        for nagle in [false, true] {
            let options = TcpOptions { rx_buffer, tx_buffer, nagle, ..TcpOptions::default() };
            let mut world = World::simultaneous(&options, [300, 200], FAIR, 9);
            let took = world.run(Duration::from_secs(600));
            assert!(took < 300.0, "{rx_buffer} {tx_buffer} {nagle}: {took} s");
        }
    }
}

#[test]
fn a_slow_reader_is_never_overrun_and_never_forgotten() {
    for seed in 1..20 {
        let options = TcpOptions { rx_buffer: 10_000, ..TcpOptions::default() };
        let weather = Weather { loss: 20, jitter: 500, ..FAIR };
        let mut world = World::simultaneous(&options, [100_000, 1_000], weather, seed);
        world.ends[1].appetite = 700;
        world.run(Duration::from_secs(3_600));
    }
}

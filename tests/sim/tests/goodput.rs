//! Goodput over 100 Mbit/s and 20 ms with random loss.

use ringtap::tcp::TcpOptions;
use ringtap::time::{Duration, Instant};
use ringtap_sim::{Bulk, Impairments, Sim};
use std::net::SocketAddr;

struct Run {
    mbits: f64,
    info: String,
}

fn run(seed: u64, there: Impairments, back: Impairments, seconds: u64) -> Run {
    let mut sim = Sim::pair(seed, there, back);
    let options = TcpOptions { rx_buffer: 262_144, tx_buffer: 262_144, ..TcpOptions::default() };
    let server = SocketAddr::new(sim.hosts[1].addr, 7000);
    sim.hosts[0].apps.push(Box::new(Bulk::client(server, u64::MAX / 2, 0, options)));
    sim.hosts[1].apps.push(Box::new(Bulk::server(7000, 0, u64::MAX / 2, options)));
    sim.run_until(Instant::from_secs(seconds)).expect("no failure");
    let octets = sim.app::<Bulk>(1, 0).received();
    let handle = sim.app::<Bulk>(0, 0).handle().expect("connected");
    let info = format!("{:?}", sim.hosts[0].stack.tcp(handle).expect("there").info());
    Run { mbits: octets as f64 * 8.0 / 1e6 / seconds as f64, info }
}

fn link(loss: f64) -> Impairments {
    Impairments { delay: Duration::from_millis(10), loss, rate: 12_500_000, queue: 1000, ..Impairments::default() }
}

#[test]
fn matrix() {
    let seconds: u64 = std::env::var("SECS").map_or(30, |s| s.parse().expect("a number"));
    for loss in [0.0, 0.001, 0.01, 0.03] {
        let mut all: Vec<Run> = (1..=9).map(|seed| run(seed, link(loss), link(0.0), seconds)).collect();
        all.sort_by(|a, b| a.mbits.total_cmp(&b.mbits));
        println!(
            "{loss}: {:?} {}",
            all.iter().map(|r| (r.mbits * 10.0).round() / 10.0).collect::<Vec<_>>(),
            all[4].info
        );
    }
}

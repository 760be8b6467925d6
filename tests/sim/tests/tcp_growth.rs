//! Buffers that grow with the speed of their connection, and shrink with its silence.

use ringtap::tcp::{TcpInfo, TcpOptions};
use ringtap::time::{Duration, Instant};
use ringtap_sim::app::{App, Bulk};
use ringtap_sim::link::Impairments;
use ringtap_sim::sim::Sim;
use std::net::SocketAddr;

const SMALL: usize = 16 << 10;
const MAX: usize = 4 << 20;

fn growing() -> TcpOptions {
    TcpOptions { rx_buffer: SMALL, tx_buffer: SMALL, rx_buffer_max: MAX, tx_buffer_max: MAX, ..TcpOptions::default() }
}

/// 100 Mbit/s from host 0 to host 1, of `octets`.
fn path(rtt: u64, octets: u64, options: TcpOptions) -> Sim {
    let back = Impairments::delay(Duration::from_millis(rtt / 2));
    let there = Impairments { rate: 12_500_000, queue: 1000, ..back.clone() };
    let mut sim = Sim::pair(7, there, back);
    let server = SocketAddr::new(sim.hosts[1].addr, 80);
    sim.hosts[0].apps.push(Box::new(Bulk::client(server, octets, 0, options).with_streams(1, 2)));
    sim.hosts[1].apps.push(Box::new(Bulk::server(80, 0, octets, options).with_streams(1, 2)));
    sim
}

fn received_by(sim: &mut Sim, at: Instant) -> u64 {
    sim.run_until(at).unwrap();
    sim.app::<Bulk>(1, 0).received()
}

fn info(sim: &mut Sim, host: usize) -> TcpInfo {
    let handle = sim.app::<Bulk>(host, 0).handle().unwrap();
    sim.hosts[host].stack.tcp(handle).unwrap().info().unwrap()
}

/// Mbit/s from the third second on.
fn rate(sim: &mut Sim) -> f64 {
    let from = received_by(sim, Instant::from_secs(3));
    let to = received_by(sim, Instant::from_secs(7));
    (to - from) as f64 * 8.0 / 4e6
}

#[test]
fn from_sixteen_kilooctets_a_connection_grows_to_what_the_path_holds() {
    for rtt in [20, 50, 100] {
        let mut sim = path(rtt, u64::MAX / 2, growing());
        let grown = rate(&mut sim);
        assert!(grown > 85.0, "{grown:.1} Mbit/s at {rtt} ms");
        assert!(info(&mut sim, 1).rcv_wnd as usize <= MAX);
        // Without growth it is what sixteen kilooctets a round trip come to.
        let fixed = TcpOptions { rx_buffer_max: 0, tx_buffer_max: 0, ..growing() };
        let fixed = rate(&mut path(rtt, u64::MAX / 2, fixed));
        assert!(fixed < 16.0 * 1.1 * 8.0 / rtt as f64, "{fixed:.1} Mbit/s at {rtt} ms");
    }
}

#[test]
fn a_buffer_grows_to_its_bound_and_not_beyond() {
    let options = TcpOptions { rx_buffer_max: 100_000, ..growing() };
    let mut sim = path(100, u64::MAX / 2, options);
    let rate = rate(&mut sim);
    assert!((6.0..8.1).contains(&rate), "{rate:.1} Mbit/s");
    assert!(info(&mut sim, 1).rcv_wnd <= 100_000);
}

#[test]
fn who_does_not_read_gets_no_larger_buffer() {
    let mut sim = path(20, u64::MAX / 2, growing());
    let reader: &mut dyn std::any::Any = sim.hosts[1].apps[0].as_mut();
    let reader = reader.downcast_mut::<Bulk>().unwrap();
    (reader.read_limit, reader.read_pause) = (1000, Duration::from_millis(50));
    sim.run_until(Instant::from_secs(20)).unwrap();
    let memory = info(&mut sim, 1).memory;
    assert!(memory <= 4 * SMALL, "{memory} octets for a reader of 20 KB/s");
}

#[test]
fn a_connection_that_was_busy_and_went_quiet_holds_no_memory() {
    let mut sim = path(50, 20_000_000, growing());
    // A user that does not end its stream.
    let client: &mut dyn std::any::Any = sim.hosts[0].apps[0].as_mut();
    client.downcast_mut::<Bulk>().unwrap().stays_open = true;
    let (mut most, mut at) = ([0, 0], Instant::ZERO);
    while received_by(&mut sim, at) < 20_000_000 {
        at += Duration::from_millis(50);
        for (host, most) in most.iter_mut().enumerate() {
            if sim.app::<Bulk>(host, 0).handle().is_some() {
                *most = (*most).max(info(&mut sim, host).memory);
            }
        }
    }
    assert!(most[0] > 300_000 && most[1] > 1000, "{most:?}");
    sim.run_until(at + Duration::from_secs(16)).unwrap();
    assert_eq!([info(&mut sim, 0).memory, info(&mut sim, 1).memory], [0, 0]);
    // Nobody is woken for nothing either.
    assert_eq!(sim.hosts.iter().map(|h| h.next).collect::<Vec<_>>(), [None, None]);
}

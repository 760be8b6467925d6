//! One busy connection among many idle ones.

use crate::memory::{Pair, SEGMENT, options};
use ringtap::tcp::{ListenOptions, TcpOptions};
use std::time::Instant;

/// Moves `megabytes` over one connection, alone and then beside `connections` idle ones, in turns; prints the rates.
pub fn run(connections: usize, megabytes: u64) {
    let mut alone = Pair::new();
    let alone_ends = alone.connect(7);
    let mut crowd = Pair::new();
    let busy = crowd.connect(7);
    let small = TcpOptions { rx_buffer: 4096, tx_buffer: 4096, ..options() };
    let listener = crowd.b.stack.tcp_listen(None, 8, &ListenOptions { backlog: 64, tcp: small }).expect("listen");
    for _ in 0..connections {
        let _ = crowd.join(listener, 8, small);
    }
    let (data, mut buf) = (vec![0x5a; 2 * SEGMENT], vec![0; 2 * SEGMENT]);
    let octets = megabytes as usize * 1_000_000;
    let mut rates = [Vec::new(), Vec::new()];
    for _ in 0..7 {
        for (which, (pair, ends)) in [(&mut alone, alone_ends), (&mut crowd, busy)].into_iter().enumerate() {
            let start = Instant::now();
            pair.bulk(ends, octets, &data, &mut buf);
            rates[which].push(octets as f64 / start.elapsed().as_secs_f64() / 1e6);
        }
    }
    let [alone, crowd] = rates.map(median);
    println!("alone {alone:.0} MB/s, beside {connections} idle {crowd:.0} MB/s, ratio {:.3}", crowd / alone);
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

//! The simulator's programs, which `cargo xtask sim` runs.
//!
//! ```text
//! ringtap-sim seeds FIRST COUNT    runs the scenarios of these seeds
//! ```

use ringtap_sim::seeds;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["seeds", first, count] => number(first).and_then(|first| run_seeds(first, number(count)?)),
        _ => Err("usage: ringtap-sim seeds FIRST COUNT".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("not a number: {text}"))
}

fn run_seeds(first: u64, count: u64) -> Result<(), String> {
    let totals = seeds::run(first, count);
    let s = totals.sum;
    println!(
        "{} seeds: {} connections, {} of them ended by errors as they had to; {} MB in {} frames, {} \
         segments again, up to {} octets in flight",
        totals.runs,
        s.connections,
        s.errors,
        s.octets / 1_000_000,
        s.frames,
        s.retransmits,
        s.widest
    );
    match totals.failures.len() {
        0 => Ok(()),
        n => Err(format!("{n} of {} seeds failed", totals.runs)),
    }
}

//! `cargo xtask bench`: ringtap beside smoltcp. Nothing here is part of the tests.
//!
//! Instructions are counted with callgrind and are stable; rates are not, so that both stacks take turns in one run and
//! the medians are compared.

use crate::cargo::{cargo, root};
use crate::tools::find;
use std::path::PathBuf;
use std::process::Command;

/// Segments of the two runs whose difference is counted, so that start and handshake cancel out.
const FEW: u64 = 2_000;
const MANY: u64 = 12_000;

/// Runs the command with its arguments.
pub fn main(args: &[&str]) -> Result<bool, String> {
    match args {
        ["memory"] => memory(),
        ["idle"] => idle(),
        ["tap"] => tap(9),
        ["tap", rounds] => tap(rounds.parse().map_err(|_| format!("not a number of rounds: {rounds}"))?),
        ["loss"] => loss(10),
        ["loss", seconds] => loss(seconds.parse().map_err(|_| format!("not a number of seconds: {seconds}"))?),
        [] => Ok(memory()? & idle()? & tap(9)?),
        _ => Err("usage: cargo xtask bench [memory|idle|tap [ROUNDS]|loss [SECONDS]]".into()),
    }
}

/// The measuring program, built with these arguments besides.
fn program(args: &[&str]) -> Result<PathBuf, String> {
    let status = cargo([&["build", "--release", "--quiet", "-p", "ringtap-bench"], args].concat()).status();
    if !status.is_ok_and(|s| s.success()) {
        return Err("ringtap-bench does not build".into());
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    Ok(target.join("release/ringtap-bench"))
}

fn run(command: &mut Command) -> Result<(String, String), String> {
    let output = command.output().map_err(|e| format!("{}: {e}", command.get_program().display()))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if !output.status.success() {
        return Err(format!("{} failed: {}", command.get_program().display(), text(&output.stderr).trim()));
    }
    Ok((text(&output.stdout), text(&output.stderr)))
}

/// Instructions per 1460-octet segment between two stacks of a kind in memory, both ends together, checksums on, each
/// second segment acknowledged.
fn memory() -> Result<bool, String> {
    let bench = program(&["--no-default-features"])?;
    let valgrind = find("valgrind").ok_or("needs valgrind: apt-get install valgrind")?;
    let count = |who: &str, segments: u64| -> Result<u64, String> {
        let mut command = Command::new(&valgrind);
        command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(&bench);
        command.args(["memory", who, &segments.to_string()]);
        // Otherwise libc picks its memcpy by processor, and `rep movsb` counts once per octet.
        command.env("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-ERMS,-FSRM,-AVX512F,-AVX512VL");
        let (_, log) = run(&mut command)?;
        let line = log.lines().find_map(|l| l.split_once("Collected : ")).ok_or("callgrind counted nothing")?;
        line.1.trim().parse().map_err(|e| format!("{}: {e}", line.1))
    };
    let mut per_segment = [0.0; 2];
    for (slot, who) in per_segment.iter_mut().zip(["ringtap", "smoltcp"]) {
        *slot = (count(who, MANY)? - count(who, FEW)?) as f64 / (MANY - FEW) as f64;
        println!("{who}: {slot:.0} instructions per segment");
    }
    println!("ratio {:.3} (bar: 0.8)", per_segment[0] / per_segment[1]);
    Ok(true)
}

/// One busy connection alone, and beside 10,000 idle ones.
fn idle() -> Result<bool, String> {
    let (out, _) = run(Command::new(program(&[])?).args(["idle", "10000", "40"]))?;
    println!("{} (bar: 0.9)", out.trim());
    Ok(true)
}

/// One TCP connection with the kernel over a tap, `rounds` times each way and stack, in turns; ours with offload,
/// too, which smoltcp has not.
fn tap(rounds: usize) -> Result<bool, String> {
    let bench = program(&[])?;
    for (way, bar) in [("receive", 1.0), ("send", 1.05)] {
        let mut rates = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..rounds {
            for (rates, who) in rates.iter_mut().zip(["ringtap", "smoltcp", "offload"]) {
                let (out, _) = run(Command::new(&bench).args(["tap", who, way, "400"]))?;
                rates.push(out.trim().parse::<f64>().map_err(|e| format!("{out}: {e}"))?);
            }
        }
        let [ours, theirs, offload] = rates.map(median);
        println!("{way}: ringtap {ours:.0}, smoltcp {theirs:.0} Mbit/s, ratio {:.2} (bar: {bar})", ours / theirs);
        println!("{way}: ringtap with offload {offload:.0} Mbit/s, {:.2} of itself without", offload / ours);
    }
    Ok(true)
}

/// Goodput at 100 Mbit/s, 20 ms and 256 KiB windows against the kernel, ours beside Linux's CUBIC: the median of nine
/// seeds, the same for both, `seconds` each.
fn loss(seconds: u64) -> Result<bool, String> {
    let bench = program(&[])?;
    println!("100 Mbit/s, 20 ms, 256 KiB windows, {seconds} s, median of 9 seeds (bar: 0.9)");
    println!("  loss  ringtap  Linux  ratio");
    for per_mille in ["0", "1", "10", "30"] {
        let mut rates = [Vec::new(), Vec::new()];
        for seed in 1..=9u64 {
            for (rates, who) in rates.iter_mut().zip(["ringtap", "linux"]) {
                let args = ["loss", who, per_mille, &seed.to_string(), &seconds.to_string()];
                let (out, _) = run(Command::new(&bench).args(args))?;
                rates.push(out.trim().parse::<f64>().map_err(|e| format!("{out}: {e}"))?);
            }
        }
        let [ours, linux] = rates.map(median);
        let percent = per_mille.parse::<f64>().unwrap_or(0.0) / 10.0;
        println!("{percent:4.1} %  {ours:7.1}  {linux:5.1}  {:5.2}", ours / linux);
    }
    Ok(true)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

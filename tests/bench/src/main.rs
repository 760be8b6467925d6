//! The measuring programs that `cargo xtask bench` runs, one at a time.
//!
//! ```text
//! ringtap-bench memory ringtap|smoltcp SEGMENTS    bulk between two stacks in memory (run it under callgrind)
//! ringtap-bench idle CONNECTIONS MEGABYTES         the same, with idle connections beside it; prints MB/s
//! ringtap-bench tap ringtap|offload|smoltcp send|receive MEGABYTES    over a tap, against the kernel; prints Mbit/s
//! ringtap-bench loss ringtap|linux PER_MILLE SEED SECONDS     over a bad path, against the kernel; prints Mbit/s
//! ```
//!
//! The last two need the feature `host`, which is on by default.

mod idle;
#[cfg(feature = "host")]
mod loss;
mod memory;
mod peer;
#[cfg(feature = "host")]
mod tap;
mod wire;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["memory", "ringtap", n] => number(n).map(memory::run),
        ["memory", "smoltcp", n] => number(n).map(peer::run),
        ["idle", connections, megabytes] => {
            number(connections).and_then(|c| number(megabytes).map(|m| idle::run(c as usize, m)))
        }
        #[cfg(feature = "host")]
        ["tap", who, direction, megabytes] => number(megabytes).and_then(|m| tap::run(who, direction, m)),
        #[cfg(feature = "host")]
        ["loss", who, per_mille, seed, seconds] => loss_over(who, per_mille, seed, seconds),
        #[cfg(feature = "host")]
        ["loss-end", who, role, path, seconds] => {
            number(seconds).and_then(|seconds| loss::run_end(who, role, path.as_ref(), seconds))
        }
        _ => Err(
            "usage: ringtap-bench memory WHO SEGMENTS | idle CONNECTIONS MEGABYTES | tap WHO DIRECTION MEGABYTES | \
                  loss WHO PER_MILLE SEED SECONDS"
                .into(),
        ),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(feature = "host")]
fn loss_over(who: &str, per_mille: &str, seed: &str, seconds: &str) -> Result<(), String> {
    loss::run(who, number(per_mille)?, number(seed)?, number(seconds)?)
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("not a number: {text}"))
}

//! `cargo xtask fuzz`: octets that are chosen for what they reach, by cargo-fuzz on the nightly compiler.
//!
//! What it comes to know is kept in `target/fuzz`; what it finds, beside it. Checked-in corpora are read only.

use crate::cargo::{nightly, root};
use crate::report::capture;

const TARGETS: [&str; 5] = ["frames", "calls", "wire", "fragments", "messages"];

/// Runs the command with its arguments; whether nothing was found.
pub fn main(args: &[&str]) -> Result<bool, String> {
    let wrong = || crate::usage(&[&["fuzz"], args].concat());
    let (target, seconds) = match *args {
        [target] => (target, "60"),
        [target, seconds] => (target, seconds),
        _ => return Err(wrong()),
    };
    if !TARGETS.contains(&target) || seconds.parse::<u32>().is_err() {
        return Err(format!("{}\nthe targets are {}", wrong(), TARGETS.join(", ")));
    }
    if capture(&mut nightly(["fuzz", "--version"])).is_err() {
        return Err("cargo-fuzz is missing; install it: cargo install cargo-fuzz --locked".to_owned());
    }
    let known = root().join("target/fuzz").join(target);
    std::fs::create_dir_all(&known).map_err(|e| format!("{}: {e}", known.display()))?;
    let mut command = nightly(["fuzz", "run", "--fuzz-dir", "tests/fuzz", target]);
    command.arg(&known).arg(format!("tests/fuzz/corpus/{target}")).arg("--");
    command.arg(format!("-max_total_time={seconds}")).args(["-max_len=6000", "-timeout=20", "-rss_limit_mb=3000"]);
    // Pools live as long as the program.
    let status = command.arg("-detect_leaks=0").status().map_err(|e| format!("cargo fuzz: {e}"))?;
    Ok(status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_arguments_are_refused_and_each_target_has_its_program_and_its_corpus() {
        assert!(main(&[]).is_err());
        assert!(main(&["nothing-like-this"]).is_err());
        assert!(main(&["frames", "long"]).is_err());
        let dir = root().join("tests/fuzz");
        for target in TARGETS {
            assert!(dir.join(format!("fuzz_targets/{target}.rs")).is_file(), "{target}");
            assert!(dir.join("corpus").join(target).is_dir(), "{target}");
        }
    }
}

//! `cargo xtask test`: everything that must hold, in one command.
//!
//! What is slow is sampled, and the run says what it left out; `--full` leaves out nothing.

use crate::cargo::{Workspace, cargo, cargo_in, nightly, root, workspace};
use crate::report::{Outcome, Report, capture};
use crate::tools::{TARGETS, rustup};
use crate::{firmware, layers, tables, tools};
use std::process::Command;

/// Feature sets of `ringtap` for clippy: name and cargo's arguments.
const STACK_LINT: [(&str, &[&str]); 6] = [
    ("default", &[]),
    (
        "applications+alloc",
        &[
            "--features",
            "multicast,raw-ethernet,link-local,temporary-addresses,enhanced-dad,optimistic-dad,dhcpv4,dhcpv4-server,dhcpv6,dns,dns-sd,alloc",
        ],
    ),
    ("no features", &["--no-default-features"]),
    ("alloc", &["--features", "alloc"]),
    ("std+log", &["--features", "std,log"]),
    ("std+defmt+log", &["--features", "std,defmt,log"]),
];

/// Each protocol must build without the others.
const ALONE: &[&str] = &[
    "ipv4",
    "ipv6",
    "rdnss",
    "icmp-errors",
    "routes",
    "nud",
    "tcp",
    "ecn",
    "udp",
    "icmp",
    "raw",
    "reassembly",
    "multicast",
    "acd",
    "link-local",
    "temporary-addresses",
    "enhanced-dad",
    "optimistic-dad",
    "dhcpv4",
    "dhcpv4-server",
    "dhcpv6",
    "dns",
    "dns-tcp",
    "mdns",
    "dns-sd",
    "taps",
    "policy",
    "strong-host",
    "router-advertisements",
    "any-address",
    "many-sockets",
    "interfaces",
    "snap",
    "loopback",
    "shared-ports",
    "syn-queue",
    "time-wait",
    "timestamps",
    "window-scale",
    "keep-alive",
    "checksum-offload",
    "gso",
    "forward",
    "hooks",
    "vlan",
    "raw-ethernet",
];

/// Feature sets of `ringtap` for bare metal.
const STACK_BARE: [(&str, &[&str]); 5] = [
    ("no features", &["--no-default-features"]),
    ("small", &["--no-default-features", "--features", "ipv4,tcp,udp,reassembly"]),
    ("all protocols", &[]),
    ("all protocols+defmt", &["--features", "defmt"]),
    (
        "applications+defmt",
        &[
            "--features",
            "multicast,raw-ethernet,link-local,temporary-addresses,enhanced-dad,optimistic-dad,dhcpv4,dhcpv4-server,dhcpv6,dns,dns-sd,defmt",
        ],
    ),
];

/// Feature sets that `ringtap`'s unit tests run with. Not with defmt, which needs a logger from the linker.
const STACK_TEST: [(&str, &[&str]); 9] = [
    (
        "applications+alloc",
        &[
            "--features",
            "multicast,raw-ethernet,link-local,temporary-addresses,enhanced-dad,optimistic-dad,dhcpv4,dhcpv4-server,dhcpv6,dns,dns-sd,gso,alloc",
        ],
    ),
    ("std+log", &["--features", "std,log"]),
    ("small+alloc", &["--no-default-features", "--features", "ipv4,tcp,udp,alloc"]),
    (
        "small dual stack with DHCP and DNS+alloc",
        &["--no-default-features", "--features", "ipv6,tcp,udp,icmp,reassembly,dhcpv4,dhcpv4-server,dns,alloc"],
    ),
    ("default", &[]),
    ("no features", &["--no-default-features"]),
    ("no protocols+alloc", &["--no-default-features", "--features", "alloc"]),
    ("small+reassembly+alloc", &["--no-default-features", "--features", "ipv4,tcp,udp,reassembly,alloc"]),
    ("icmp+raw+alloc", &["--no-default-features", "--features", "icmp,raw,alloc"]),
];

/// The tests of the drivers that touch frames and descriptors beside a model of the MAC's DMA: on rings, and on FIFOs.
/// Those leak their descriptors, which a driver wants for as long as the program runs.
const MACS: &[&str] = &["packets_pass_or_are_counted", "random_traffic"];
const MACS_FULL: &[&str] = &["packets_pass_or_are_counted", "random_traffic", "the_driver_passes_every_case"];

/// What one run knows.
struct Run {
    full: bool,
    workspace: Workspace,
}

type Section = (&'static str, fn(&Run, &mut Report));

const SECTIONS: [Section; 11] = [
    ("tools", |_, report| tools::section(report)),
    ("source", source),
    ("format", format),
    ("clippy", clippy),
    ("docs", docs),
    ("deny", deny),
    ("bare-metal", bare_metal),
    ("oldest-compiler", oldest_compiler),
    ("tests", tests),
    ("firmware", |run, report| firmware::section(report, run.full)),
    ("miri", miri),
];

/// Runs the command with its arguments; whether everything passed.
pub fn main(args: &[&str]) -> Result<bool, String> {
    let (mut full, mut only, mut args_left) = (false, Vec::new(), args.iter());
    while let Some(arg) = args_left.next() {
        match *arg {
            "--full" => full = true,
            "--only" => only.push(*args_left.next().ok_or("--only needs a word")?),
            "--list" => {
                SECTIONS.iter().for_each(|(name, _)| println!("{name}"));
                return Ok(true);
            }
            _ => return Err(crate::usage(&[&["test"], args].concat())),
        }
    }
    let chosen: Vec<_> =
        SECTIONS.iter().filter(|(name, _)| only.is_empty() || only.iter().any(|o| name.contains(o))).collect();
    if chosen.is_empty() {
        return Err(format!("no section is called `{}`; `cargo xtask test --list` names them", only.join("`, `")));
    }
    let run = Run { full, workspace: workspace(&root())? };
    let mut report = Report::new();
    for (_, section) in &chosen {
        section(&run, &mut report);
    }
    if chosen.len() < SECTIONS.len() {
        let names: Vec<&str> = chosen.iter().map(|(name, _)| *name).collect();
        println!("only these sections ran: {}", names.join(" "));
    }
    Ok(report.finish())
}

fn source(run: &Run, report: &mut Report) {
    layers::section(report);
    report.step("tests that the tables in tests/ name", tables::check);
    report.step("`cargo run` means the program ringtap", || match run.workspace.programs.as_slice() {
        [only] if only == "ringtap" => Ok(String::new()),
        programs => Err(format!("default-members in Cargo.toml have these programs: {}", programs.join(", "))),
    });
}

fn format(run: &Run, report: &mut Report) {
    report.section("format");
    for package in &run.workspace.packages {
        report.command(package, &mut cargo(["fmt", "--check", "-p", package]));
    }
    for dir in ["firmware-examples", "firmware-examples/library"] {
        report.command(dir, &mut cargo_in(&root().join(dir), ["fmt", "--check"]));
    }
}

/// Lints each package by itself: building the whole workspace at once would unify features.
fn clippy(run: &Run, report: &mut Report) {
    report.section("clippy");
    let mut lint = |name: &str, package: &str, features: &[&str]| {
        let args = [&["clippy", "-p", package, "--no-deps"], features, &["--", "-D", "warnings"]].concat();
        report.command(&format!("{package}: {name}"), &mut cargo(args));
    };
    for (name, features) in STACK_LINT {
        lint(name, "ringtap", &[features, &["--all-targets"]].concat());
    }
    for protocol in ALONE {
        lint(&format!("{protocol} alone"), "ringtap", &["--no-default-features", "--features", protocol]);
    }
    for package in run.workspace.packages.iter().filter(|p| *p != "ringtap") {
        lint("default", package, &["--all-targets"]);
    }
    for (board, folder) in firmware::folders() {
        let args = ["clippy", "--release", "--lib", "--bins", "--", "-D", "warnings"];
        report.command(&format!("firmware of {board}"), &mut cargo_in(&folder, args));
    }
    let args = ["clippy", "--release", "--bins", "--", "-D", "warnings"];
    report.command("footprint", &mut cargo_in(&firmware::dir().join("footprint"), args));
}

fn docs(run: &Run, report: &mut Report) {
    report.section("docs");
    for package in &run.workspace.packages {
        let features: &[&str] = if package == "ringtap" { &["--features", "std,log"] } else { &[] };
        let args = [&["doc", "--no-deps", "-p", package], features].concat();
        report.command(package, cargo(args).env("RUSTDOCFLAGS", "-Dwarnings"));
    }
}

fn deny(_: &Run, report: &mut Report) {
    report.section("dependencies (cargo deny)");
    report.sampled("bans, licenses, sources; `advisories` needs its database from the network");
    for manifest in ["Cargo.toml", "firmware-examples/Cargo.toml"] {
        let args = ["metadata", "--locked", "--format-version", "1", "--manifest-path", manifest];
        report.command(&format!("lock file of {manifest}"), &mut cargo(args));
        let args = ["deny", "--manifest-path", manifest, "--config", "deny.toml", "check"];
        report.command(manifest, cargo(args).args(["--hide-inclusion-graph", "bans", "licenses", "sources"]));
    }
}

fn bare_metal(run: &Run, report: &mut Report) {
    report.section("builds without std");
    // The two ends: no compare-and-swap, and another architecture.
    let thorough = ["thumbv6m-none-eabi", "riscv32imac-unknown-none-elf"];
    if !run.full {
        report.sampled("every feature set on thumbv6m and riscv32imac, all protocols and `small` on the other targets");
    }
    for target in TARGETS {
        for (name, features) in STACK_BARE {
            if run.full || thorough.contains(&target) || matches!(name, "small" | "all protocols") {
                build(report, "ringtap", target, name, features);
            }
        }
        build(report, "ringtap-drivers", target, "default", &[]);
        if run.full || thorough.contains(&target) {
            build(report, "ringtap-adapters", target, "all three", &[]);
        }
    }
}

fn build(report: &mut Report, package: &str, target: &str, name: &str, features: &[&str]) {
    // `cargo rustc` rather than `cargo build`: a warning that only one target or feature set has is an error as well.
    let args = [&["rustc", "-p", package, "--lib", "--target", target], features, &["--", "-D", "warnings"]].concat();
    report.command(&format!("{package} for {target}: {name}"), &mut cargo(args));
}

/// The `rust-version` of Cargo.toml is true.
fn oldest_compiler(run: &Run, report: &mut Report) {
    report.section("oldest compiler");
    let version = match rust_version() {
        Ok(version) => version,
        Err(error) => return report.step("rust-version", || Err(error)),
    };
    let is_ours = capture(Command::new("rustc").arg("--version").current_dir(root()))
        .is_ok_and(|text| text.starts_with(&format!("rustc {version}.")));
    if is_ours {
        println!("   the compiler of this run is {version}, the oldest one");
        return;
    }
    if !run.full {
        return report.sampled(&format!("nothing; --full checks with {version}"));
    }
    report.step(&format!("toolchain {version}"), || {
        rustup(&["toolchain", "install", "--profile", "minimal"], &[&version]).map(|()| String::new())
    });
    for package in &run.workspace.packages {
        let mut check = cargo([format!("+{version}").as_str(), "check", "-p", package]);
        report.command(package, check.env_remove("RUSTUP_TOOLCHAIN"));
    }
}

/// What Cargo.toml promises, as "1.95".
fn rust_version() -> Result<String, String> {
    let text = std::fs::read_to_string(root().join("Cargo.toml")).map_err(|e| format!("Cargo.toml: {e}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("rust-version = "));
    line.map(|v| v.trim_matches('"').to_owned()).ok_or_else(|| "Cargo.toml has no rust-version".to_owned())
}

fn tests(run: &Run, report: &mut Report) {
    report.section("tests");
    let sets = if run.full { STACK_TEST.as_slice() } else { &STACK_TEST[..5] };
    if !run.full {
        let names: Vec<&str> = sets.iter().map(|(name, _)| *name).collect();
        report.sampled(&format!("feature sets of ringtap: {}", names.join(", ")));
    }
    for (name, features) in sets {
        report.step(&format!("ringtap: {name}"), || test("ringtap", features));
    }
    for package in run.workspace.packages.iter().filter(|p| *p != "ringtap") {
        report.step(package, || test(package, &[]));
    }
}

/// Unit, integration and documentation tests of one package; the note says how many there were.
fn test(package: &str, features: &[&str]) -> Outcome {
    let text = capture(&mut cargo([&["test", "-p", package], features].concat()))?;
    Ok(format!("{} tests", passed(&text)))
}

/// How many tests `cargo test` says have passed.
fn passed(text: &str) -> usize {
    let results = text.lines().filter_map(|line| line.strip_prefix("test result: ok. "));
    results.filter_map(|rest| rest.split(' ').next()?.parse::<usize>().ok()).sum()
}

fn miri(run: &Run, report: &mut Report) {
    report.section("miri");
    if !run.full {
        report.sampled(
            "the host's architecture, one schedule, random traffic on each MAC; --full adds big-endian s390x, 16 schedules, \
             and every case of each MAC",
        );
    }
    report.step("nightly toolchain with miri", || {
        if capture(&mut nightly(["miri", "--version"])).is_err() {
            rustup(&["toolchain", "install", "--profile", "minimal"], &["nightly"])?;
        }
        rustup(&["+nightly", "component", "add"], &["miri", "rust-src"])?;
        Ok(String::new())
    });
    let macs = if run.full { MACS_FULL } else { MACS };
    // A model takes the addresses that its registers were given, as hardware does.
    let flags = " -Zmiri-ignore-leaks -Zmiri-permissive-provenance";
    report.step("the MACs over their models", || under_miri("ringtap-drivers", macs, &[], flags));
    for (package, filter) in [("ringtap", "frame::"), ("ringtap-drivers", "ring::")] {
        report.step(package, || under_miri(package, &[filter], &[], ""));
        if run.full {
            let target = ["--target", "s390x-unknown-linux-gnu"];
            report.step(&format!("{package}, big-endian"), || under_miri(package, &[filter], &target, ""));
            let seeds = " -Zmiri-many-seeds=0..16";
            report.step(&format!("{package}, 16 schedules"), || under_miri(package, &["threads"], &[], seeds));
        }
    }
}

/// Runs the unit tests whose names contain one of `filters` under Miri.
fn under_miri(package: &str, filters: &[&str], target: &[&str], flags: &str) -> Outcome {
    let features: &[&str] = if package == "ringtap" { &["--features", "alloc"] } else { &[] };
    let args = [&["miri", "test", "-p", package, "--lib"], features, target, &["--"], filters].concat();
    // Isolation is off because proptest asks for the current directory.
    let flags = format!("-Zmiri-disable-isolation{flags}");
    match passed(&capture(nightly(args).env("MIRIFLAGS", flags))?) {
        0 => Err("no test matched".into()),
        count => Ok(format!("{count} tests")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passed_tests_are_added_up() {
        let text = "test result: ok. 12 passed; 0 failed\nx\ntest result: ok. 3 passed; 0 failed";
        assert_eq!(passed(text), 15);
        assert_eq!(passed("test result: FAILED. 3 passed; 1 failed"), 0);
    }

    #[test]
    fn wrong_arguments_are_refused() {
        assert!(main(&["--fulll"]).is_err());
        assert!(main(&["--only"]).is_err());
        assert!(main(&["--only", "nothing-like-this"]).is_err());
    }
}

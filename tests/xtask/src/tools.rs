//! Tools that the checks need: found, or installed, or an error that names the command to run.

use crate::cargo::root;
use crate::report::{Outcome, Report, capture};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The bare-metal targets that the portable crates build for.
pub const TARGETS: [&str; 8] = [
    "thumbv6m-none-eabi",
    "thumbv7m-none-eabi",
    "thumbv7em-none-eabi",
    "thumbv7em-none-eabihf",
    "thumbv8m.main-none-eabihf",
    "armv7a-none-eabi",
    "aarch64-unknown-none",
    "riscv32imac-unknown-none-elf",
];

/// Programs and the Debian packages that bring them.
const PROGRAMS: [(&str, &str); 17] = [
    ("nsenter", "util-linux"),
    ("unshare", "util-linux"),
    ("qemu-system-arm", "qemu-system-arm"),
    ("qemu-system-aarch64", "qemu-system-arm"),
    ("qemu-system-riscv32", "qemu-system-misc"),
    ("unshare", "util-linux"),
    ("ip", "iproute2"),
    ("ping", "iputils-ping"),
    ("curl", "curl"),
    ("socat", "socat"),
    ("iperf3", "iperf3"),
    ("tcpdump", "tcpdump"),
    ("tshark", "tshark"),
    ("nc", "netcat-openbsd"),
    ("dnsmasq", "dnsmasq-base"),
    ("udhcpc", "udhcpc"),
    ("radvd", "radvd"),
];

/// Files that are no programs, and the Debian packages that bring them.
const FILES: [(&str, &str); 1] = [("/usr/lib/python3/dist-packages/zeroconf", "python3-zeroconf")];

/// Where a program lies, looking in PATH and where the system's administration tools are.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    dirs.map(|dir| dir.join(program)).find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// Whether this process is root.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0)
}

/// The section: everything that the later ones need.
pub fn section(report: &mut Report) {
    report.section("tools");
    report.step("compiler targets and components", rust_parts);
    report.step("programs", programs);
    report.step("cargo-deny", cargo_deny);
}

/// Standard libraries for the targets, rustfmt and clippy.
fn rust_parts() -> Outcome {
    let sysroot =
        PathBuf::from(capture(Command::new("rustc").args(["--print", "sysroot"]).current_dir(root()))?.trim());
    let missing: Vec<&str> =
        TARGETS.into_iter().filter(|t| !sysroot.join("lib/rustlib").join(t).join("lib").is_dir()).collect();
    let components: Vec<&str> = [("rustfmt", "bin/rustfmt"), ("clippy", "bin/cargo-clippy")]
        .into_iter()
        .filter(|(_, file)| !sysroot.join(file).is_file())
        .map(|(name, _)| name)
        .collect();
    rustup(&["target", "add"], &missing)?;
    rustup(&["component", "add"], &components)?;
    Ok(installed(missing.into_iter().chain(components)))
}

/// `rustup <verb> <names>`, unless there are no names.
pub fn rustup(verb: &[&str], names: &[&str]) -> Result<(), String> {
    if names.is_empty() {
        return Ok(());
    }
    let command = format!("rustup {} {}", verb.join(" "), names.join(" "));
    if find("rustup").is_none() {
        return Err(format!("missing: {}. Install rustup, then run: {command}", names.join(" ")));
    }
    capture(Command::new("rustup").args(verb).args(names).current_dir(root()))
        .map(drop)
        .map_err(|e| format!("{e}\nrun: {command}"))
}

/// The packages whose programs are not there.
fn missing_packages() -> Vec<&'static str> {
    let mut packages: Vec<_> =
        PROGRAMS.into_iter().filter(|(program, _)| find(program).is_none()).map(|(_, package)| package).collect();
    packages.extend(FILES.into_iter().filter(|(file, _)| !Path::new(file).exists()).map(|(_, package)| package));
    packages.dedup();
    packages
}

fn programs() -> Outcome {
    let packages = missing_packages();
    if packages.is_empty() {
        return Ok(String::new());
    }
    let command = format!("apt-get update && apt-get install -y --no-install-recommends {}", packages.join(" "));
    if !is_root() || find("apt-get").is_none() {
        return Err(format!("missing programs; as root, run: {command}"));
    }
    let apt = |args: &[&str]| {
        let mut apt = Command::new("apt-get");
        capture(apt.args(args).env("DEBIAN_FRONTEND", "noninteractive")).map_err(|e| format!("{e}\nrun: {command}"))
    };
    apt(&["update"])?;
    apt(&[&["install", "-y", "--no-install-recommends"], packages.as_slice()].concat())?;
    match missing_packages() {
        still if still.is_empty() => Ok(installed(packages)),
        still => Err(format!("still missing after the installation: {}", still.join(" "))),
    }
}

fn cargo_deny() -> Outcome {
    if find("cargo-deny").is_some() {
        return Ok(String::new());
    }
    // From outside the workspace: its target directory and toolchain file are not for tools.
    let args = ["install", "cargo-deny", "--locked"];
    capture(Command::new("cargo").args(args).current_dir(std::env::temp_dir()))
        .map_err(|e| format!("{e}\nrun: cargo {}", args.join(" ")))?;
    Ok(installed(["cargo-deny"]))
}

fn installed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    if names.is_empty() { String::new() } else { format!("installed {}", names.join(" ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_in_the_path_and_others_are_not() {
        assert!(find("sh").is_some());
        assert!(find("ringtap-no-such-program").is_none());
    }

    #[test]
    fn the_targets_are_those_of_the_toolchain_file() {
        let text = std::fs::read_to_string(root().join("rust-toolchain.toml")).expect("the toolchain file");
        for target in TARGETS {
            assert!(text.contains(&format!("\"{target}\"")), "{target}");
        }
        assert_eq!(text.matches("-none").count(), TARGETS.len());
    }
}

//! `cargo xtask firmware`: builds the programs of firmware-examples/ and runs them in QEMU.

mod boards;
mod budgets;
mod check;
mod image;
mod library;
mod qemu;
mod size;
mod traffic;

use crate::cargo::{cargo_in, root, workspace};
use crate::report::{Outcome, Report, capture};
use crate::tools::is_root;
use boards::{BOARDS, Board};
use image::Image;
use qemu::{Machine, Network};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Programs that use no network card.
const OFFLINE: &[&str] = &["loopback", "segments"];

/// The tap that `run` makes when it may.
const TAP: &str = "rt0";

/// The kernel's end of it: the programs' gateway.
const KERNEL: &str = "10.7.0.1/24";

/// Enough for any of the programs by far.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs the command with its arguments; whether everything passed.
pub fn main(args: &[&str]) -> Result<bool, String> {
    match args {
        ["list"] => {
            for board in BOARDS {
                let emulated = if board.qemu.is_some() { "in QEMU" } else { "on hardware" };
                println!("{}\t{}\t{emulated}\t{}", board.name, board.triple, programs(board)?.join(" "));
            }
            Ok(true)
        }
        ["build", board, names @ ..] => {
            let board = boards::named(board)?;
            let all = programs(board)?;
            let names: Vec<&str> =
                if names.is_empty() { all.iter().map(String::as_str).collect() } else { names.into() };
            for name in names {
                println!("{}", build(board, name, &[])?.display());
            }
            Ok(true)
        }
        ["image", board, name] => {
            let board = boards::named(board)?;
            println!("{}", test_image(board, name)?);
            let elf = build(board, name, &[])?;
            for file in [elf.clone(), elf.with_extension("hex"), elf.with_extension("bin")] {
                println!("{}", file.display());
            }
            Ok(true)
        }
        ["run", board, name] => {
            let board = boards::named(board)?;
            let elf = build(board, name, &[])?;
            run(board, name, &elf)
        }
        // What `cargo run` in a board's folder comes to.
        ["exec", board, elf] => {
            let elf = Path::new(elf);
            let name = elf.file_name().unwrap_or_default().to_string_lossy();
            run(boards::named(board)?, &name, elf)
        }
        // What `test` calls in a network namespace of its own.
        ["inside", board, program, elf] => {
            println!("{}", check::inside(boards::named(board)?, program, Path::new(elf))?);
            Ok(true)
        }
        ["inside-stack", board, program, elf] => {
            println!("{}", check::inside_stack(boards::named(board)?, program, Path::new(elf))?);
            Ok(true)
        }
        ["size", names @ ..] => size::main(names),
        ["library"] => {
            println!("{}", library::test()?);
            Ok(true)
        }
        ["test", names @ ..] => {
            let chosen = names.iter().map(|name| boards::named(name)).collect::<Result<Vec<_>, _>>()?;
            let all = || BOARDS.iter().collect();
            let mut report = Report::new();
            steps(&mut report, if names.is_empty() { all() } else { chosen });
            Ok(report.finish())
        }
        _ => Err(crate::usage(&[&["firmware"], args].concat())),
    }
}

/// The section of `cargo xtask test`.
pub fn section(report: &mut Report, full: bool) {
    let chosen = BOARDS.iter().filter(|b| full || b.is_sampled()).collect();
    steps(report, chosen);
    report.step("a stranger's program, from the packages alone", library::test);
    size::section(report, full);
}

fn steps(report: &mut Report, boards: Vec<&'static Board>) {
    report.section("firmware in QEMU");
    for board in boards {
        let programs = match programs(board) {
            Ok(programs) => programs,
            Err(error) => {
                report.step(board.name, || Err(error));
                continue;
            }
        };
        for program in programs {
            let name = format!("{program} on {}", board.name);
            match program.as_str() {
                program if board.qemu.is_none() => report.step(&name, || test_image(board, program)),
                program if OFFLINE.contains(&program) => report.step(&name, || test_offline(board, program)),
                program if check::PROGRAMS.contains(&program) => report.step(&name, || test(board, program)),
                _ => report.step(&name, || Err("nothing checks this program".into())),
            }
        }
    }
}

/// A program for a board that is flashed: the processor must find its way into the image.
fn test_image(board: &Board, program: &str) -> Outcome {
    let map = board.map.as_ref().ok_or("neither emulated nor flashed")?;
    let elf = build(board, program, &[])?;
    let octets = std::fs::read(&elf).map_err(|e| format!("{}: {e}", elf.display()))?;
    let image = Image::of(&octets)?;
    let text = image.check(map)?;
    image.write(&elf)?;
    Ok(text)
}

/// A program without network must end by itself, and say that it passed.
fn test_offline(board: &Board, program: &str) -> Outcome {
    let elf = build(board, program, &[])?;
    let mut machine = Machine::start(board, &elf, &Network::None, None)?;
    let line = machine.wait_for(&format!("{program}: passed"), LIMIT)?;
    machine.wait_for_success(LIMIT)?;
    Ok(line)
}

/// A program with network is looked at from the other end of the cable.
fn test(board: &Board, program: &str) -> Outcome {
    let elf = build(board, program, &[check::FEATURE])?;
    check::run(board, program, &elf)
}

/// Runs a program until it ends, showing its log; the exit code is passed on.
fn run(board: &Board, name: &str, elf: &Path) -> Result<bool, String> {
    let mut machine = if OFFLINE.contains(&name) {
        Machine::start(board, elf, &Network::None, None)?
    } else if is_root() {
        make_tap()?;
        Machine::start(board, elf, &Network::Tap(TAP), None)?
    } else {
        let dir = std::env::temp_dir().join("ringtap-firmware");
        std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        let (ours, theirs) = (dir.join("board"), dir.join("host"));
        let _ = std::fs::remove_file(&ours);
        println!("without root: the network is a pair of UNIX sockets. Beside it, run for instance:");
        println!("  ringtap ping --unix-dgram {},{} --addr {KERNEL} 10.7.0.2", theirs.display(), ours.display());
        Machine::start(board, elf, &Network::Datagrams(&ours, &theirs), None)?
    };
    while let Some(line) = machine.line() {
        println!("{line}");
    }
    let status = machine.wait()?;
    match status.code() {
        Some(0) => Ok(true),
        // The program's own word, for whoever called us.
        Some(code) => std::process::exit(code),
        None => Err(format!("{name} ended with {status}")),
    }
}

/// Makes the tap, unless it is there, and addresses the kernel's end.
fn make_tap() -> Result<(), String> {
    let ip = |args: &[&str]| capture(Command::new("ip").args(args));
    if !Path::new("/sys/class/net").join(TAP).exists() {
        ip(&["tuntap", "add", "dev", TAP, "mode", "tap"])?;
        ip(&["addr", "add", KERNEL, "dev", TAP])?;
    }
    ip(&["link", "set", TAP, "up"])?;
    println!("the kernel's end of the cable is {TAP}, {KERNEL}; `ip link del {TAP}` removes it");
    Ok(())
}

/// Every board's folder, where cargo is to be called, and its name.
pub fn folders() -> impl Iterator<Item = (&'static str, PathBuf)> {
    BOARDS.iter().map(|b| (b.name, folder(b)))
}

/// The workspace of the firmware.
pub fn dir() -> PathBuf {
    root().join("firmware-examples")
}

fn folder(board: &Board) -> PathBuf {
    dir().join("boards").join(board.name)
}

/// The programs of a board: the binaries of its package.
fn programs(board: &Board) -> Result<Vec<String>, String> {
    let text = capture(&mut cargo_in(&folder(board), ["metadata", "--no-deps", "--format-version", "1"]))?;
    let data: Value = serde_json::from_str(&text).map_err(|e| format!("cargo metadata: {e}"))?;
    let packages = data["packages"].as_array().into_iter().flatten();
    let targets = packages.filter(|p| p["name"] == board.name).flat_map(|p| p["targets"].as_array()).flatten();
    let bins = targets.filter(|t| t["kind"].as_array().is_some_and(|k| k.iter().any(|k| k == "bin")));
    Ok(bins.filter_map(|t| t["name"].as_str()).map(str::to_owned).collect())
}

/// Builds a program, with features beside the default ones; where its ELF file is, in a folder of the board's own: programs of the same name share cargo's.
fn build(board: &Board, program: &str, features: &[&str]) -> Result<PathBuf, String> {
    let known = programs(board)?;
    if !known.iter().any(|k| k == program) {
        return Err(format!("{} has no program `{program}`, but {}", board.name, known.join(", ")));
    }
    let features = features.join(",");
    capture(&mut cargo_in(&folder(board), ["build", "--release", "--bin", program, "--features", &features]))?;
    let target = workspace(&dir())?.target;
    let built = target.join(board.triple).join("release").join(program);
    let kept = target.join("boards").join(board.name);
    let failure = |e: std::io::Error| format!("{}: {e}", built.display());
    std::fs::create_dir_all(&kept).map_err(failure)?;
    let kept = kept.join(program);
    std::fs::copy(&built, &kept).map_err(failure)?;
    Ok(kept)
}

//! `cargo xtask firmware`: builds the programs of firmware-examples/ and runs them in QEMU.

use crate::cargo::{cargo_in, root, workspace};
use crate::report::{Outcome, Report, capture};
use std::path::PathBuf;
use std::process::Command;

/// A machine that QEMU knows.
struct Board {
    name: &'static str,
    triple: &'static str,
    qemu: &'static str,
    args: &'static [&'static str],
}

/// A program of firmware-examples/, with the board it is linked for and the words that it prints when all went well.
struct Program {
    name: &'static str,
    board: &'static Board,
    says: &'static str,
}

const MPS2_AN385: Board = Board {
    name: "mps2-an385",
    triple: "thumbv7m-none-eabi",
    qemu: "qemu-system-arm",
    // Instructions are the clock: every run is the same, and waiting costs no time.
    args: &["-M", "mps2-an385", "-icount", "shift=3,sleep=off", "-nic", "none"],
};

const PROGRAMS: [Program; 1] = [Program { name: "loopback", board: &MPS2_AN385, says: "loopback: passed" }];

/// Enough for any of the programs by far.
const SECONDS: &str = "60";

/// Runs the command with its arguments; whether everything passed.
pub fn main(args: &[&str]) -> Result<bool, String> {
    match args {
        ["list"] => {
            for Program { name, board, .. } in &PROGRAMS {
                println!("{name}\t{}\t{}", board.name, board.triple);
            }
            Ok(true)
        }
        ["build", names @ ..] => {
            for program in chosen(names)? {
                println!("{}", build(program)?.display());
            }
            Ok(true)
        }
        ["run", names @ ..] => {
            for program in chosen(names)? {
                let elf = build(program)?;
                let status = qemu(program, elf).status().map_err(|e| format!("{}: {e}", program.board.qemu))?;
                if !status.success() {
                    return Err(format!("{} ended with {status}", program.name));
                }
            }
            Ok(true)
        }
        ["test", names @ ..] => {
            let mut report = Report::new();
            steps(&mut report, chosen(names)?);
            Ok(report.finish())
        }
        _ => Err(crate::usage(&[&["firmware"], args].concat())),
    }
}

fn chosen(names: &[&str]) -> Result<Vec<&'static Program>, String> {
    static ALL: &[Program] = &PROGRAMS;
    if let Some(unknown) = names.iter().find(|name| !ALL.iter().any(|p| p.name == **name)) {
        return Err(format!("no program is called `{unknown}`; `cargo xtask firmware list` names them"));
    }
    Ok(ALL.iter().filter(|p| names.is_empty() || names.contains(&p.name)).collect())
}

/// The section of `cargo xtask test`.
pub fn section(report: &mut Report) {
    steps(report, PROGRAMS.iter().collect());
}

fn steps(report: &mut Report, programs: Vec<&Program>) {
    report.section("firmware in QEMU");
    for program in programs {
        report.step(&format!("{} on {}", program.name, program.board.name), || test(program));
    }
}

fn test(program: &Program) -> Outcome {
    let elf = build(program)?;
    let text = capture(&mut qemu(program, elf))?;
    match text.lines().find(|line| line.starts_with(program.says)) {
        Some(line) => Ok(line.to_owned()),
        None => Err(format!("ended with 0, but did not say `{}`:\n{text}", program.says)),
    }
}

/// Every program with the triple that it is built for.
pub fn programs_and_targets() -> impl Iterator<Item = (&'static str, &'static str)> {
    PROGRAMS.iter().map(|p| (p.name, p.board.triple))
}

fn dir() -> PathBuf {
    root().join("firmware-examples")
}

/// `cargo` in the workspace of the firmware.
pub fn cargo(args: &[&str]) -> Command {
    cargo_in(&dir(), args.iter().copied())
}

fn build(program: &Program) -> Result<PathBuf, String> {
    let Program { name, board, .. } = program;
    capture(&mut cargo(&["build", "--release", "--bin", name, "--target", board.triple]))?;
    Ok(workspace(&dir())?.target.join(board.triple).join("release").join(name))
}

fn qemu(program: &Program, elf: PathBuf) -> Command {
    let Board { qemu, args, .. } = program.board;
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", SECONDS, qemu]).args(*args);
    command.args(["-display", "none", "-monitor", "none", "-serial", "none"]);
    command.args(["-semihosting-config", "enable=on,target=native", "-kernel"]).arg(elf);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_program_is_refused_and_none_means_all() {
        assert!(chosen(&["nothing-like-this"]).is_err());
        assert_eq!(chosen(&[]).map(|c| c.len()), Ok(PROGRAMS.len()));
    }
}

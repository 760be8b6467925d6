//! `cargo xtask firmware library`: the crates as a stranger has them.
//!
//! ```text
//!   stack/, drivers/ ─ cargo package ─▶ *.crate ─ unpacked ┐
//!   firmware-examples/library/ ─ copied out of the tree ───┴▶ cargo build ─▶ QEMU ─▶ ping, TCP echo
//! ```

use super::boards::{self, Board};
use super::{check, dir};
use crate::cargo::{cargo, cargo_in, root, workspace};
use crate::report::{Outcome, capture};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The packages, and the folder of the program that knows them alone.
const PACKAGES: [&str; 2] = ["ringtap", "ringtap-drivers"];
const PROGRAM: &str = "firmware-examples/library";

/// What the program is called, for [`check`] as well.
pub const NAME: &str = "stranger";

/// The board that it is for.
const BOARD: &str = "emcraft-sf2";

/// Builds the program outside of the tree, boots it, and talks to it.
pub fn test() -> Outcome {
    let board = boards::named(BOARD)?;
    let outside = std::env::temp_dir().join(format!("ringtap-library-{}", std::process::id()));
    let built = build(board, &outside);
    let outcome = built.and_then(|elf| check::run(board, NAME, &elf));
    let _ = std::fs::remove_dir_all(&outside);
    outcome
}

/// Where the program's ELF file is.
fn build(board: &Board, outside: &Path) -> Result<PathBuf, String> {
    let target = workspace(&root())?.target;
    let failure = |e: std::io::Error| format!("{}: {e}", outside.display());
    std::fs::create_dir_all(outside).map_err(failure)?;
    let packages = PACKAGES.iter().flat_map(|name| ["-p", name]);
    capture(&mut cargo(["package", "--no-verify", "--allow-dirty", "--exclude-lockfile"].into_iter().chain(packages)))?;
    let copy = |from: PathBuf, to: PathBuf| capture(Command::new("cp").arg("-r").args([from, to]));
    copy(root().join(PROGRAM), outside.join(NAME))?;
    // The versions of everything else are those that the other programs are built with.
    copy(dir().join("Cargo.lock"), outside.join(NAME).join("Cargo.lock"))?;
    let mut args = vec!["build".to_owned(), "--release".to_owned()];
    for name in PACKAGES {
        let package = format!("{name}-{}", env!("CARGO_PKG_VERSION"));
        let archive = target.join("package").join(format!("{package}.crate"));
        capture(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(outside))?;
        // As the registry would give them.
        args.push(format!("--config=patch.crates-io.{name}.path='{}'", outside.join(package).display()));
    }
    let mut command = cargo_in(&outside.join(NAME), args.iter().map(String::as_str));
    let kept = target.join("library");
    capture(command.env("CARGO_TARGET_DIR", &kept))?;
    Ok(kept.join(board.triple).join("release").join(NAME))
}

//! Cargo: how it is called, and what it knows of the workspace.

use crate::report::capture;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository's root.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// `cargo` with these arguments, in the repository's root.
pub fn cargo<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    cargo_in(&root(), args)
}

/// `cargo` with these arguments, in `dir`.
pub fn cargo_in<'a>(dir: &Path, args: impl IntoIterator<Item = &'a str>) -> Command {
    // Through PATH rather than $CARGO, so that rustup sees `+toolchain` and the toolchain file.
    let mut command = Command::new("cargo");
    command.args(args).current_dir(dir);
    // What `cargo run` sets for this program is not for the ones that it calls.
    for (key, _) in std::env::vars_os() {
        let key = key.to_string_lossy().into_owned();
        if key.starts_with("CARGO_PKG_") || key.starts_with("CARGO_MANIFEST_") || key == "CARGO" {
            command.env_remove(key);
        }
    }
    command
}

/// As [`cargo`], on the nightly toolchain.
pub fn nightly<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = cargo(["+nightly"].into_iter().chain(args));
    command.env_remove("RUSTUP_TOOLCHAIN");
    command
}

/// What `cargo metadata` says of one workspace.
pub struct Workspace {
    /// The names of its packages.
    pub packages: Vec<String>,
    /// The programs of those packages that a bare `cargo run` looks at.
    pub programs: Vec<String>,
    /// Where its builds go.
    pub target: PathBuf,
}

/// The packages of the workspace in `dir`, and where it builds.
pub fn workspace(dir: &Path) -> Result<Workspace, String> {
    let text = capture(&mut cargo_in(dir, ["metadata", "--no-deps", "--format-version", "1"]))?;
    let bad = || "cargo metadata: unexpected answer".to_owned();
    let data: Value = serde_json::from_str(&text).map_err(|e| format!("cargo metadata: {e}"))?;
    let members = data["workspace_default_members"].as_array().ok_or_else(bad)?;
    let (mut names, mut programs) = (Vec::new(), Vec::new());
    for package in data["packages"].as_array().ok_or_else(bad)? {
        names.extend(package["name"].as_str().map(str::to_owned));
        if members.contains(&package["id"]) {
            let targets = package["targets"].as_array().into_iter().flatten();
            let bins = targets.filter(|t| t["kind"].as_array().is_some_and(|k| k.iter().any(|k| k == "bin")));
            programs.extend(bins.filter_map(|t| t["name"].as_str()).map(str::to_owned));
        }
    }
    let target = data["target_directory"].as_str().ok_or_else(bad)?.into();
    Ok(Workspace { packages: names, programs, target })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_found_and_has_its_crates() {
        let found = workspace(&root()).expect("metadata");
        for name in ["ringtap", "ringtap-drivers", "ringtap-host", "xtask"] {
            assert!(found.packages.iter().any(|p| p == name), "{name} in {:?}", found.packages);
        }
    }
}

//! What the source promises of itself: layers, where `unsafe` may be, and who names smoltcp.

use crate::cargo::root;
use crate::report::{Outcome, Report};
use crate::source::{Token, rust_files, tokens, without_tests};
use std::path::Path;

/// The layers of `stack/src`, lowest first: a module may use those of its own layer and of the layers before it.
///
/// The longest prefix decides. That is how a part may lie elsewhere than the module it is filed under: addresses and
/// checksums know no protocol and everybody needs them; the echo socket is a socket.
const LAYERS: &[(&str, &[&str])] = &[
    (
        "base",
        &[
            "time", "rng", "seq", "error", "stats", "log", "config", "event", "frame", "device", "grow", "family",
            "ip::addr",
        ],
    ),
    ("containers", &["wire::checksum", "ring", "assembler", "deadline", "ready", "sockets::table", "sockets::demux"]),
    ("wire", &["wire"]),
    ("link", &["link", "vlan"]),
    ("ip", &["ip", "icmp", "taps"]),
    ("sockets", &["sockets", "udp", "icmp::echo"]),
    ("tcp", &["tcp"]),
    ("pipeline", &["stack", "rx", "tx"]),
    ("apps", &["dhcp", "dns", "mdns", "link_local"]),
    ("adapter", &["async_", "blocking", "embedded_io", "nal", "edge_nal", "picoserve"]),
];

/// The start-up of boards without a run-time crate.
const MACHINE: &str = "firmware-examples/support/src/machine";
/// As [`MACHINE`], for the M profile.
const CORTEX: &str = "firmware-examples/support/src/cortex.rs";
/// What boards of a family have in common.
const FAMILIES: &str = "firmware-examples/support/src/boards/";

/// A program whose board is in the same file, as a stranger's would be.
const LIBRARY: &str = "firmware-examples/library/";

/// Where `unsafe` is at home; everywhere else it is an error.
const UNSAFE: &[&str] = &[
    "stack/src/frame.rs",
    "drivers/",
    "host-tap/",
    "firmware-examples/boards/",
    "firmware-examples/footprint/",
    MACHINE,
    CORTEX,
    FAMILIES,
    LIBRARY,
];

/// The section.
pub fn section(report: &mut Report) {
    report.section("source");
    report.step("layers of stack/src", layers);
    report.step("unsafe only where it is at home", unsafe_only_at_home);
    report.step("only wire/ names smoltcp", only_wire_names_smoltcp);
}

/// One source file: its path from the root, and its tokens.
struct File {
    path: String,
    tokens: Vec<Token>,
}

fn read(dir: &str) -> Result<Vec<File>, String> {
    let root = root();
    let mut files = Vec::new();
    for path in rust_files(&root.join(dir)) {
        let code = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let path = path.strip_prefix(&root).unwrap_or(&path).to_string_lossy().into_owned();
        files.push(File { path, tokens: tokens(&code) });
    }
    if files.is_empty() { Err(format!("no source in {dir}")) } else { Ok(files) }
}

fn verdict(count: &str, errors: &[String]) -> Outcome {
    if errors.is_empty() { Ok(count.to_owned()) } else { Err(errors.join("\n")) }
}

fn layers() -> Outcome {
    let files = read("stack/src")?;
    let (mut checked, mut errors, mut test_only) = (0, Vec::new(), Vec::new());
    let files: Vec<(Vec<String>, File)> = files
        .into_iter()
        .map(|mut file| {
            let module = module_of(&file.path);
            let (kept, modules) = without_tests(&file.tokens);
            test_only.extend(modules.into_iter().map(|m| [module.as_slice(), &[m]].concat()));
            file.tokens = kept;
            (module, file)
        })
        .collect();
    for (module, file) in &files {
        if module.is_empty() || test_only.iter().any(|t| module.starts_with(t)) {
            continue;
        }
        for edge in edges(module, &file.tokens) {
            checked += 1;
            if let Err(error) = check(module, &edge.path) {
                errors.push(format!("{}:{}: {error}", file.path, edge.line));
            }
        }
    }
    verdict(&format!("{checked} edges in {} files", files.len()), &errors)
}

/// `stack/src/tcp/conn.rs` is `["tcp", "conn"]`; `stack/src/lib.rs` is `[]`.
fn module_of(path: &str) -> Vec<String> {
    let path = path.trim_start_matches("stack/src/").trim_end_matches(".rs");
    path.split('/').filter(|part| !matches!(*part, "lib" | "mod")).map(str::to_owned).collect()
}

/// A path named in a file, from the crate's root.
#[derive(Debug, PartialEq, Eq)]
struct Edge {
    path: Vec<String>,
    line: usize,
}

/// All paths that start with `crate` or `super`, in `use` trees and elsewhere.
fn edges(module: &[String], tokens: &[Token]) -> Vec<Edge> {
    let mut found = Vec::new();
    let mut i = 0;
    while let Some(token) = tokens.get(i) {
        let starts = tokens.get(i + 1).is_some_and(|t| t.text == "::");
        let visibility = i > 0 && matches!(tokens[i - 1].text.as_str(), "::" | "$");
        let base = match token.text.as_str() {
            "crate" if starts && !visibility => Some(Vec::new()),
            "super" if starts && !visibility => Some(module[..module.len().saturating_sub(1)].to_vec()),
            _ => None,
        };
        match base {
            Some(base) => i = tree(base, tokens, i + 2, &mut found),
            None => i += 1,
        }
    }
    found
}

/// Reads one path or group from `tokens[i]`; gives the place after it.
fn tree(mut base: Vec<String>, tokens: &[Token], mut i: usize, found: &mut Vec<Edge>) -> usize {
    loop {
        let Some(token) = tokens.get(i) else { return i };
        match token.text.as_str() {
            "{" => {
                i += 1;
                while tokens.get(i).is_some_and(|t| t.text != "}") {
                    i = tree(base.clone(), tokens, i, found);
                    while tokens.get(i).is_some_and(|t| !matches!(t.text.as_str(), "," | "}")) {
                        i += 1;
                    }
                    if tokens.get(i).is_some_and(|t| t.text == ",") {
                        i += 1;
                    }
                }
                return i + 1;
            }
            "super" => {
                base.pop();
            }
            "self" | "*" => {}
            name => base.push(name.to_owned()),
        }
        if tokens.get(i + 1).is_none_or(|t| t.text != "::") {
            found.push(Edge { path: base, line: token.line });
            return i + 1;
        }
        i += 2;
        // A turbofish ends the path.
        if tokens.get(i).is_some_and(|t| t.text == "<") {
            found.push(Edge { path: base, line: tokens[i].line });
            return i;
        }
    }
}

/// The number and name of a module's layer.
fn layer(path: &[String]) -> Option<(usize, &'static str)> {
    let matched = |prefix: &str| prefix.split("::").enumerate().all(|(i, p)| path.get(i).is_some_and(|have| have == p));
    let found = LAYERS.iter().enumerate().flat_map(|(rank, (name, prefixes))| {
        prefixes.iter().filter(|p| matched(p)).map(move |p| (p.len(), (rank, *name)))
    });
    found.max().map(|(_, layer)| layer)
}

fn check(from: &[String], to: &[String]) -> Result<(), String> {
    let unknown = |path: &[String]| {
        format!("`{}` is in no layer: name the module where it lives, or add the module to LAYERS", path.join("::"))
    };
    if to.is_empty() {
        return Ok(());
    }
    let (from_rank, from_layer) = layer(from).ok_or_else(|| unknown(from))?;
    let (to_rank, to_layer) = layer(to).ok_or_else(|| unknown(to))?;
    if to_rank > from_rank {
        let (from, to) = (from.join("::"), to.join("::"));
        return Err(format!("`{from}` (layer {from_layer}) uses `{to}` (layer {to_layer}), which lies above it"));
    }
    Ok(())
}

fn unsafe_only_at_home() -> Outcome {
    let (mut count, mut errors) = (0, Vec::new());
    for dir in ["stack", "drivers", "host-tap", "tests", "firmware-examples"] {
        if !root().join(dir).is_dir() {
            continue;
        }
        for file in read(dir)? {
            count += 1;
            if UNSAFE.iter().any(|home| file.path.starts_with(home)) {
                continue;
            }
            for token in file.tokens.iter().filter(|t| t.text == "unsafe") {
                errors.push(format!("{}:{}: `unsafe` outside {}", file.path, token.line, UNSAFE.join(", ")));
            }
        }
    }
    verdict(&format!("{count} files"), &errors)
}

fn only_wire_names_smoltcp() -> Outcome {
    let mut errors = Vec::new();
    let files = read("stack/src")?;
    for file in &files {
        if Path::new(&file.path).starts_with("stack/src/wire") || file.path == "stack/src/wire.rs" {
            continue;
        }
        for token in file.tokens.iter().filter(|t| t.text == "smoltcp") {
            errors.push(format!("{}:{}: smoltcp outside stack/src/wire", file.path, token.line));
        }
    }
    verdict(&format!("{} files", files.len()), &errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(module: &str, code: &str) -> Vec<String> {
        let module: Vec<String> = module.split("::").map(str::to_owned).collect();
        edges(&module, &tokens(code)).into_iter().map(|e| e.path.join("::")).collect()
    }

    #[test]
    fn paths_are_found_in_trees_and_in_code() {
        let code = "
            use crate::{time::{Instant, Duration}, frame::*, stats};
            use super::super::ip::addr as a;
            pub(crate) fn f(x: crate::ring::Ring) { super::state::on::<u8>(); self::g(); $crate::log::emit!() }
            pub(super) fn h() {} use core::fmt;";
        let expect = ["time::Instant", "time::Duration", "frame", "stats", "ip::addr", "ring::Ring", "tcp::state::on"];
        assert_eq!(named("tcp::conn", code), expect);
    }

    #[test]
    fn a_layer_may_use_those_below_it_and_not_those_above() {
        let path = |text: &str| -> Vec<String> { text.split("::").map(str::to_owned).collect() };
        assert_eq!(check(&path("tcp::conn"), &path("wire::segment::Segment")), Ok(()));
        assert_eq!(check(&path("tcp::conn"), &path("tcp::state")), Ok(()));
        assert_eq!(check(&path("link::neighbor"), &path("ready::WaitList")), Ok(()));
        let above = check(&path("link::neighbor"), &path("sockets::udp")).expect_err("above");
        assert!(above.contains("lies above"), "{above}");
        assert!(check(&path("frame"), &path("wire")).is_err());
        assert!(check(&path("frame"), &path("nowhere")).expect_err("unknown").contains("in no layer"));
    }

    #[test]
    fn files_are_modules() {
        assert_eq!(module_of("stack/src/tcp/conn.rs"), ["tcp", "conn"]);
        assert!(module_of("stack/src/lib.rs").is_empty());
    }
}

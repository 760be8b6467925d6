//! A C program over the static library: built with the host's compiler, and run.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The static library that cargo has built beside this test; of several, the last.
fn library() -> PathBuf {
    let exe = std::env::current_exe().expect("this test's path");
    let files = std::fs::read_dir(exe.parent().expect("its folder")).expect("to be read").flatten();
    let is_ours = |name: &str| name.starts_with("libringtap_c") && name.ends_with(".a");
    let ours = files.filter(|file| is_ours(&file.file_name().to_string_lossy()));
    let built = ours.max_by_key(|file| file.metadata().and_then(|m| m.modified()).expect("a time"));
    built.expect("libringtap_c beside the test").path()
}

#[test]
fn a_c_program_passes_tcp_and_udp_between_two_stacks_over_a_cable_that_loses() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("traffic");
    let mut cc = Command::new("cc");
    cc.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", "-o"]).arg(&program);
    cc.arg("-I").arg(here.join("include")).arg(here.join("tests/traffic.c")).arg(library());
    let built = cc.args(["-lpthread", "-ldl", "-lm"]).output().expect("cc");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let ran = Command::new(&program).output().expect("the program");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.starts_with("passed"), "{said}{}", String::from_utf8_lossy(&ran.stderr));
}

//! Linker arguments for each program, so that nobody needs RUSTFLAGS: which board's memory it is linked for.

use std::path::Path;

/// Program and board.
const PROGRAMS: [(&str, &str); 1] = [("loopback", "mps2-an385")];

fn main() {
    let here = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    for (program, board) in PROGRAMS {
        let dir = Path::new(&here).join("boards").join(board);
        println!("cargo:rerun-if-changed={}", dir.join("memory.x").display());
        // The linker script of cortex-m-rt includes memory.x.
        println!("cargo:rustc-link-arg-bin={program}=-L{}", dir.display());
        println!("cargo:rustc-link-arg-bin={program}=-Tlink.x");
        println!("cargo:rustc-link-arg-bin={program}=--nmagic");
    }
}

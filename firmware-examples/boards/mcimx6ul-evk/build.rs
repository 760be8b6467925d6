//! Linker arguments, so that nobody needs RUSTFLAGS.

fn main() {
    let here = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    println!("cargo:rerun-if-changed=memory.x");
    println!("cargo:rerun-if-changed=../../support/machine.x");
    // machine.x includes memory.x.
    for argument in [&format!("-L{here}"), &format!("-L{here}/../../support"), "-Tmachine.x", "-Tdefmt.x", "--nmagic"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
}

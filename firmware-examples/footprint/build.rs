//! Linker arguments, so that nobody needs RUSTFLAGS.

fn main() {
    let here = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    println!("cargo:rerun-if-changed=link.x");
    for argument in [&format!("-T{here}/link.x"), "--nmagic"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
}

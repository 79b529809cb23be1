//! Links the agent's size profile as its packages are linked: at a fixed address, and without the index of unwind
//! tables, which a program that aborts on panic never reads. 35 kB less.

use std::env::var;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let is = |variable: &str, value: &str| var(variable).is_ok_and(|found| found == value);
    // The recipe for musl targets sets its own linker arguments.
    if is("OPT_LEVEL", "z") && is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") {
        println!("cargo:rustc-link-arg-bins=-no-pie");
        println!("cargo:rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
    }
}

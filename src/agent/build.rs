//! Links the agent's size profile as its packages are linked, and tells an agent with TLS when it was built.

use std::env::{var, var_os};
use std::time::SystemTime;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    link_small();
    if var_os("CARGO_FEATURE_TLS").is_some() {
        say_when();
    }
}

/// At a fixed address, and without the index of unwind tables, which a program that aborts on panic never reads:
/// 35 kB less. The recipe for musl targets sets its own linker arguments.
fn link_small() {
    let is = |variable: &str, value: &str| var(variable).is_ok_and(|found| found == value);
    if is("OPT_LEVEL", "z") && is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") {
        println!("cargo:rustc-link-arg-bins=-no-pie");
        println!("cargo:rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
    }
}

/// A clock that says less than this was never set. SOURCE_DATE_EPOCH decides, so that a build can be repeated;
/// without it, now.
fn say_when() {
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let given = var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse::<u64>().ok());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    println!("cargo:rustc-env=WHICHROOM_BUILT_S={}", given.unwrap_or(now));
}

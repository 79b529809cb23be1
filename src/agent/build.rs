//! Tells the agent when it was built: a clock that says less was never set. SOURCE_DATE_EPOCH decides, so that a build
//! can be repeated; without it, now.

use std::time::SystemTime;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    // Without TLS nobody asks.
    if std::env::var_os("CARGO_FEATURE_TLS").is_none() {
        return;
    }
    let given = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse::<u64>().ok());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    println!("cargo::rustc-env=WHICHROOM_BUILT_S={}", given.unwrap_or(now));
}

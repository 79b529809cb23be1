//! Builds packages and feeds for OpenWrt: see `whichroom-package --help`.
fn main() {}

//! Says who is home and in which room, from what OpenWrt access points hear.
fn main() {}

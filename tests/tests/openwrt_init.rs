//! What an access point gets beside the agent: the init script, run by busybox ash with stand-ins for OpenWrt's own
//! scripts that record what it asks procd for, and the script that runs once after installation.

#![expect(clippy::unwrap_used, reason = "a test that is surprised fails, and says where")]

#[path = "../openwrt/defaults.rs"]
mod defaults;
#[path = "../openwrt/look.rs"]
mod look;
#[path = "../openwrt/mistakes.rs"]
mod mistakes;
#[path = "../openwrt/router.rs"]
mod router;
#[path = "../openwrt/run.rs"]
mod run;
#[path = "../openwrt/start.rs"]
mod start;

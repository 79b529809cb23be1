//! Builds packages and signed feeds for OpenWrt without its SDK, and reads them back: `.ipk` for opkg (up to 24.10) and
//! `.apk` of version 3 (25.12 and later).
//!
//! [`tree`] holds files at their installed paths, [`openwrt`] makes both kinds of package of them, [`ipk`] and [`apk`]
//! are the formats, [`feed`] the signed indexes. The formats are pure functions of their input: the same package gives
//! the same bytes, any bytes are read without a panic and within bounds.

pub mod adb;
pub mod apk;
pub mod apk_index;
pub mod apk_sign;
mod archive;
mod compress;
pub mod control;
pub mod elf;
pub mod feed;
#[cfg(any(test, fuzzing))]
pub mod fuzzed;
pub mod inspect;
pub mod ipk;
pub mod layout;
pub mod openwrt;
mod problem;
pub mod targets;
pub mod tree;
pub mod usign;
pub mod version;

use std::fmt;

pub use problem::Problem;

/// Bytes shown in hexadecimal.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

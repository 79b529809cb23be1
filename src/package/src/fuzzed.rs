//! Files that others made, for the fuzz targets in `tests/fuzz` and for the test that replays what they found. Each
//! function takes any bytes, and asserts what must hold of them.

use crate::{apk_index, apk_sign, control, elf, feed, inspect, targets, usign, version};

/// A function by its name.
pub type Target = (&'static str, fn(&[u8]));

/// Every function here.
pub const TARGETS: &[Target] = &[("package_files", package_files), ("package_texts", package_texts)];

/// A package of either format, an index, a program. What is listed has one line a file, whatever its names are.
pub fn package_files(bytes: &[u8]) {
    if let Ok(listed) = inspect::package(bytes) {
        assert!(
            !listed.chars().any(|character| character.is_control() && !"\n\t".contains(character)),
            "{listed:?}"
        );
    }
    let _ = (apk_index::read(bytes, None), apk_index::IndexEntry::of(bytes), feed::unpack_opkg_index(bytes));
    for target in targets::TARGETS {
        let _ = elf::prepare(bytes.to_vec(), target.machine);
    }
}

/// Descriptions, keys, signatures and versions.
pub fn package_texts(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(control) = control::Control::parse(&text)
        && let Ok(written) = control.render()
    {
        assert_eq!(control::Control::parse(&written).ok().as_ref(), Some(&control), "{written}");
    }
    let _ = (feed::read_opkg_index(&text), usign::PublicKey::parse(&text), usign::PrivateKey::parse(&text));
    let _ = (
        apk_sign::PublicKey::from_pem(&text),
        apk_sign::PrivateKey::from_pem(&text),
        apk_sign::key_id(bytes),
    );
    let _ = (version::check_version(&text), version::check_name(&text), version::check_architecture(&text));
    let key = usign::PrivateKey::new([7; 32], [1; 8]).public();
    assert!(key.verify(b"not signed", &text).is_err());
}

#[cfg(test)]
#[path = "../../../tests/fuzz/replay.rs"]
mod replay;

#[test]
fn what_fuzzing_found_is_read() {
    replay::corpora(TARGETS);
}

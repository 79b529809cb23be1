//! The keys of a feed as files: read, or made where there are none. A feed whose key changes is refused by every access
//! point that has the old one, so keys lie outside of the feed, and are to be kept.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use whichroom_package::feed::Keys;
use whichroom_package::{Problem, apk_sign, usign};

use crate::command::{Failure, read_file, say};

/// Private key for opkg, as usign has it.
const OPKG: &str = "opkg.key";

/// Private key for apk, PEM.
const APK: &str = "apk.key";

/// Most bytes of a key's file.
const KEY_MAX: u64 = 16 << 10;

/// Reads both keys from a folder, making what is not there.
pub fn load(folder: &Path) -> Result<Keys, Failure> {
    fs::create_dir_all(folder)
        .map_err(|error| Failure::run(format!("cannot make {}: {error}", folder.display())))?;
    let opkg =
        key(&folder.join(OPKG), usign::PrivateKey::parse, || Ok(usign::PrivateKey::generate()?.render()))?;
    let apk = key(&folder.join(APK), apk_sign::PrivateKey::from_pem, || {
        apk_sign::PrivateKey::generate()?.to_pem()
    })?;
    Ok(Keys { opkg, apk })
}

fn key<Key>(
    path: &Path,
    parse: impl Fn(&str) -> Result<Key, Problem>,
    generate: impl Fn() -> Result<String, Problem>,
) -> Result<Key, Failure> {
    if !path.exists() {
        let text = generate()?;
        write_private(path, &text)
            .map_err(|error| Failure::run(format!("cannot write {}: {error}", path.display())))?;
        say(&format!("made {}: keep it, access points will trust what it signs", path.display()));
    }
    check_private(path)?;
    let bytes = read_file(path, KEY_MAX)?;
    let text =
        String::from_utf8(bytes).map_err(|_| Failure::run(format!("{} is no text", path.display())))?;
    parse(&text).map_err(|problem| problem.at(path.display()).into())
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}

fn check_private(path: &Path) -> Result<(), Failure> {
    let metadata = fs::metadata(path)
        .map_err(|error| Failure::run(format!("cannot read {}: {error}", path.display())))?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(Failure::run(format!("{0} can be read by others: chmod 600 {0}", path.display())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_for_the_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let made = load(folder.path()).unwrap();
        for name in [OPKG, APK] {
            let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        let read = load(folder.path()).unwrap();
        assert_eq!(read.opkg.public(), made.opkg.public());
        assert_eq!(read.apk.public(), made.apk.public());
    }

    #[test]
    fn a_key_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        load(folder.path()).unwrap();
        let path = folder.path().join(APK);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(load(folder.path()).unwrap_err().text.contains("chmod 600"));
    }
}

//! Packages of apk version 3, for OpenWrt 25.12 and later: written and read without apk. This is the bare format; what
//! OpenWrt puts into its packages beyond that is in [`crate::openwrt`].

mod read;
mod write;

use std::fmt;

use crate::apk_sign;
use crate::tree::Tree;

pub use read::read;
pub(crate) use read::read_info;
pub(crate) use write::info_fields;
pub use write::write;

/// Mode bits that mark a symbolic link.
const SYMLINK: u16 = 0o120_000;

/// Bytes of a package's own hash.
const UNIQUE_ID: u8 = 20;

/// A package as apk has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Apk {
    /// What an index repeats.
    pub info: Info,
    /// The files.
    pub tree: Tree,
    /// Seconds since 1970 that every file gets as its time of change. Reading gives 0 for a package without files.
    pub epoch_s: u64,
    /// What runs when.
    pub scripts: Scripts,
}

/// What a package says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Info {
    /// Name.
    pub name: String,
    /// Version, see [`check_version`].
    pub version: String,
    /// One line.
    pub description: String,
    /// Architecture, `noarch` for all.
    pub architecture: String,
    /// SPDX expression.
    pub license: String,
    /// Where its sources are in a feed.
    pub origin: String,
    /// Name and address.
    pub maintainer: String,
    /// Home page.
    pub url: String,
    /// Bytes once installed.
    pub installed_size: u64,
    /// Among packages that provide a name at the same version, apk takes the one with the highest.
    pub provider_priority: u64,
    /// Packages needed.
    pub depends: Vec<Dependency>,
    /// Names it stands in for.
    pub provides: Vec<Dependency>,
    /// Free words, `openwrt:section=net`.
    pub tags: Vec<String>,
}

/// A package, or a name one provides, at some versions: `ubus`, `libc>=1.2`, `!other`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependency {
    /// Its name.
    pub name: String,
    /// The version compared with, if one is.
    pub version: String,
    /// How versions are compared, as apk's bits: 1 equal, 2 less, 4 greater, 8 starts with, 16 not.
    pub comparison: u8,
}

impl Dependency {
    /// Any version of a package.
    pub fn any(name: impl Into<String>) -> Dependency {
        Dependency { name: name.into(), version: String::new(), comparison: Dependency::EQUAL }
    }

    /// This version exactly; of a name provided, this is the version provided.
    pub fn exactly(name: impl Into<String>, version: impl Into<String>) -> Dependency {
        Dependency { name: name.into(), version: version.into(), comparison: Dependency::EQUAL }
    }

    /// Not together with this package.
    pub fn conflict(name: impl Into<String>) -> Dependency {
        Dependency { name: name.into(), version: String::new(), comparison: Dependency::NOT }
    }

    const EQUAL: u8 = 1;
    const LESS: u8 = 2;
    const GREATER: u8 = 4;
    const FUZZY: u8 = 8;
    const NOT: u8 = 16;
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has = |bit| self.comparison & bit != 0;
        if has(Dependency::NOT) {
            f.write_str("!")?;
        }
        f.write_str(&self.name)?;
        if self.version.is_empty() {
            return Ok(());
        }
        let signs = [
            (Dependency::FUZZY, "~"),
            (Dependency::GREATER, ">"),
            (Dependency::LESS, "<"),
            (Dependency::EQUAL, "="),
        ];
        signs.into_iter().filter(|(bit, _)| has(*bit)).try_for_each(|(_, sign)| f.write_str(sign))?;
        f.write_str(&self.version)
    }
}

/// Scripts of a package; an empty one is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scripts {
    /// Before the files are there.
    pub pre_install: String,
    /// After.
    pub post_install: String,
    /// Before the files go.
    pub pre_deinstall: String,
    /// After.
    pub post_deinstall: String,
    /// Before another version's files are there.
    pub pre_upgrade: String,
    /// After.
    pub post_upgrade: String,
}

/// A package that was read, with what an index says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// The package.
    pub apk: Apk,
    /// SHA-256 of its payload, by which an index knows it.
    pub payload_hash: [u8; 32],
    /// Ids of the keys that signed it.
    pub signed_by: Vec<apk_sign::KeyId>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::adb::container::Wrapping;
    use crate::tree::tests::any_tree;
    use crate::tree::{Kind, Node};

    /// A package with one file, byte by byte from the description of the format.
    #[test]
    fn a_small_package_byte_by_byte() {
        let mut tree = Tree::default();
        tree.insert("x/y", Node::file(0o644, *b"hi\n")).unwrap();
        let info = Info {
            name: "t".to_owned(),
            version: "1".to_owned(),
            architecture: "noarch".to_owned(),
            installed_size: 3,
            ..Info::default()
        };
        let file = write(&Apk { info, tree, ..Apk::default() }, Wrapping::None).unwrap();
        #[rustfmt::skip]
        let expected = [
            &b"ADB.pckg"[..],
            &[0x04, 1, 0, 0x00],                        // block of kind 0, 260 bytes with this word
            &[0, 0, 0, 0], &[0xf4, 0, 0, 0xe0],         // 0: versions; root at 244
            b"\x01t", b"\x011", b"\x06noarch",          // 8, 10, 12
            b"\x04root",                                // 19
            &[4, 0, 0, 0], &[0xed, 1, 0, 0x10],         // 24: an owner: mode 0755, user, group
            &[19, 0, 0, 0x80], &[19, 0, 0, 0x80],
            &[3, 0, 0, 0], &[0; 4], &[24, 0, 0, 0xe0],  // 40: the root folder: no name, owner, no files
            b"\x01y",                                   // 52
            &[0x20,                                     // 54: SHA-256 of the file
              0x98, 0xea, 0x6e, 0x4f, 0x21, 0x6f, 0x2f, 0xb4, 0xb6, 0x9f, 0xff, 0x9b, 0x3a, 0x44, 0x84, 0x2c,
              0x38, 0x68, 0x6c, 0xa6, 0x85, 0xf3, 0xf5, 0x5d, 0xc4, 0x8c, 0x5d, 0x3f, 0xb1, 0x10, 0x7b, 0xe4],
            &[0],                                       // aligned to 4
            &[4, 0, 0, 0], &[0xa4, 1, 0, 0x10],         // 88: an owner: mode 0644
            &[19, 0, 0, 0x80], &[19, 0, 0, 0x80],
            &[6, 0, 0, 0], &[52, 0, 0, 0x80],           // 104: the file: name,
            &[88, 0, 0, 0xe0], &[3, 0, 0, 0x10],        // owner, size,
            &[0, 0, 0, 0x10], &[54, 0, 0, 0x80],        // time, hash
            b"\x01x", &[0, 0],                          // 128
            &[2, 0, 0, 0], &[104, 0, 0, 0xe0],          // 132: the files of x
            &[4, 0, 0, 0], &[128, 0, 0, 0x80],          // 140: the folder x: name,
            &[24, 0, 0, 0xe0], &[132, 0, 0, 0xe0],      // owner, files
            &[20], &own_hash(&file), &[0; 3],           // 156
            &[13, 0, 0, 0], &[8, 0, 0, 0x80],           // 180: info: name,
            &[10, 0, 0, 0x80], &[156, 0, 0, 0x80],      // version, own hash,
            &[0; 4], &[12, 0, 0, 0x80], &[0; 24],       // architecture,
            &[3, 0, 0, 0x10],                           // installed size
            &[3, 0, 0, 0], &[40, 0, 0, 0xe0],           // 232: the folders
            &[140, 0, 0, 0xe0],
            &[3, 0, 0, 0], &[180, 0, 0, 0xe0],          // 244: the root: info, folders
            &[232, 0, 0, 0xe0],
            &[0; 4],                                    // aligned to 8
            &[15, 0, 0, 0x80], &[2, 0, 0, 0],           // block of kind 2: the second folder's
            &[1, 0, 0, 0], b"hi\n", &[0],               // first file
        ];
        assert_eq!(file, expected.concat());
    }

    /// The hash of the small package: 256 bytes of payload from the twelfth on, with the hash at 157 zero.
    fn own_hash(file: &[u8]) -> [u8; 20] {
        let mut payload = file[12..12 + 256].to_vec();
        payload[157..177].fill(0);
        std::array::from_fn(|index| Sha256::digest(&payload)[index])
    }

    fn any_apk() -> impl Strategy<Value = Apk> {
        let info = (
            "[a-z][a-z0-9-]{0,9}",
            "[0-9]{1,2}(\\.[0-9]{1,3}){0,2}(-r[0-9])?",
            "[ -~]{0,300}",
            "[a-z0-9_]{1,9}",
            1..1u64 << 40,
            prop::collection::btree_set(("[a-z]{1,6}", "([0-9]{1,2})?", 1..32u8), 0..4),
        );
        (info, any_tree(), any::<u32>(), ("[ -~\n]{0,500}", "[ -~\n]{0,70}")).prop_map(
            |(
                (name, version, description, architecture, installed_size, depends),
                tree,
                epoch_s,
                scripts,
            )| {
                let depends: Vec<Dependency> = depends
                    .into_iter()
                    .map(|(name, version, comparison)| Dependency { name, version, comparison })
                    .collect();
                let files = tree.iter().any(|(_, node)| node.kind != Kind::Directory);
                Apk {
                    info: Info {
                        name,
                        version,
                        description,
                        architecture,
                        installed_size,
                        provides: depends.clone(),
                        depends,
                        tags: vec!["openwrt:section=net".to_owned()],
                        ..Info::default()
                    },
                    tree,
                    epoch_s: if files { u64::from(epoch_s) } else { 0 },
                    scripts: Scripts {
                        post_install: scripts.0,
                        pre_deinstall: scripts.1,
                        ..Scripts::default()
                    },
                }
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn packages_come_back(apk in any_apk(), deflate in any::<bool>()) {
            let wrapping = if deflate { Wrapping::Deflate } else { Wrapping::None };
            let file = write(&apk, wrapping).unwrap();
            let read = read(&file).unwrap();
            prop_assert_eq!(read.apk, apk);
        }

        #[test]
        fn a_changed_byte_is_found_or_harmless(apk in any_apk(), place in any::<prop::sample::Index>(), bit in 0..8u8) {
            let mut file = write(&apk, Wrapping::None).unwrap();
            let place = place.index(file.len());
            file[place] ^= 1 << bit;
            // Only padding between blocks carries no meaning.
            if let Ok(read) = read(&file) {
                prop_assert_eq!(read.apk, apk);
            }
        }

        #[test]
        fn cut_and_foreign_bytes_are_read_without_a_panic(apk in any_apk(), cut in any::<prop::sample::Index>(), bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let file = write(&apk, Wrapping::Deflate).unwrap();
            prop_assert!(read(&file[..cut.index(file.len())]).is_err());
            let _ = read(&[b"ADB.pckg", &bytes[..]].concat());
        }
    }
}

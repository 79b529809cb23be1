//! The indexes of a feed, signed, and the lines that add the feed to an access point. A feed has a folder for each package
//! manager and architecture: `ipk/<architecture>/Packages`, `apk/<architecture>/packages.adb`.

use sha2::{Digest as _, Sha256};

use crate::adb::container::Wrapping;
use crate::apk_index::{self, IndexEntry};
use crate::control::{CONTROL_MAX, Control};
use crate::{Hex, Problem, apk_sign, archive, compress, ipk, usign};

/// File of the public key for opkg, at the top of the feed.
pub const OPKG_KEY: &str = "whichroom-feed.pub";

/// File of the public key for apk, at the top of the feed and in `/etc/apk/keys`.
pub const APK_KEY: &str = "whichroom-feed.pem";

/// Fields that OpenWrt leaves out of indexes.
const NOT_INDEXED: [&str; 6] =
    ["Maintainer", "LicenseFiles", "Source", "SourceName", "Require-User", "SourceDateEpoch"];

/// Most bytes of an index that is read.
pub const INDEX_MAX: usize = 16 << 20;

/// The keys a feed is signed with.
#[derive(Debug)]
pub struct Keys {
    /// For opkg.
    pub opkg: usign::PrivateKey,
    /// For apk.
    pub apk: apk_sign::PrivateKey,
}

/// What opkg reads of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpkgIndex {
    /// `Packages`.
    pub packages: String,
    /// `Packages.gz`.
    pub compressed: Vec<u8>,
    /// `Packages.sig`, over the uncompressed index.
    pub signature: String,
}

/// A package's file in a feed: its name and its bytes.
pub type PackageFile<'a> = (&'a str, &'a [u8]);

/// Writes opkg's index of these files.
pub fn opkg_index(files: &[PackageFile<'_>], key: &usign::PrivateKey) -> Result<OpkgIndex, Problem> {
    let mut files = files.to_vec();
    files.sort();
    let mut packages = String::new();
    for (name, bytes) in files {
        let mut control = ipk::read(bytes).map_err(|problem| problem.at(name))?.control;
        control.retain(|field| !NOT_INDEXED.contains(&field));
        control.insert_before("Description", "Filename", name);
        control.insert_before("Description", "Size", bytes.len().to_string());
        control.insert_before("Description", "SHA256sum", Hex(&Sha256::digest(bytes)).to_string());
        packages.push_str(&control.render()?);
        packages.push('\n');
    }
    pad_for_usign(&mut packages);
    let signature = key.sign(packages.as_bytes());
    Ok(OpkgIndex { compressed: compress::gzip(packages.as_bytes())?, packages, signature })
}

/// usign computes a wrong SHA-512 of messages of certain lengths. OpenWrt lengthens its indexes by two line breaks then.
fn pad_for_usign(packages: &mut String) {
    if matches!((64 + packages.len()) % 128, 110 | 111) {
        packages.push_str("\n\n");
    }
}

/// One package as opkg's index lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpkgEntry {
    /// The fields of the package.
    pub control: Control,
    /// The file beside the index.
    pub file_name: String,
    /// Its bytes.
    pub size: u64,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
}

/// The text of `Packages.gz`.
pub fn unpack_opkg_index(bytes: &[u8]) -> Result<String, Problem> {
    String::from_utf8(archive::gunzip(bytes)?).map_err(|_| Problem::new("the index is no UTF-8"))
}

/// Reads `Packages`. Names that leave the feed's folder are refused.
pub fn read_opkg_index(text: &str) -> Result<Vec<OpkgEntry>, Problem> {
    if text.len() > INDEX_MAX {
        return Err(Problem::new(format!("the index is over {} MB", INDEX_MAX >> 20)));
    }
    let blocks = text.split("\n\n").map(str::trim).filter(|block| !block.is_empty());
    blocks
        .map(|block| {
            if block.len() > CONTROL_MAX {
                return Err(Problem::new("one package's fields are too long"));
            }
            let control = Control::parse(block)?;
            let file_name = control.require("Filename")?.to_owned();
            if file_name.starts_with('/') || file_name.split('/').any(|part| part == "..") {
                return Err(Problem::new(format!("{file_name} leaves the feed's folder")));
            }
            let size = control.require("Size")?;
            let size = size.parse().map_err(|_| Problem::new(format!("{file_name}: {size:?} is no size")))?;
            let sha256 = control.require("SHA256sum")?.to_owned();
            Ok(OpkgEntry { control, file_name, size, sha256 })
        })
        .collect()
}

/// Checks a file against opkg's index.
pub fn check_opkg_file(entry: &OpkgEntry, file: &[u8]) -> Result<(), Problem> {
    let sha256 = Hex(&Sha256::digest(file)).to_string();
    if file.len() as u64 == entry.size && sha256 == entry.sha256 {
        return Ok(());
    }
    Err(Problem::new(format!("{}: the file is another one than the index lists", entry.file_name)))
}

/// Writes apk's index of these files.
pub fn apk_index(files: &[PackageFile<'_>], key: &apk_sign::PrivateKey) -> Result<Vec<u8>, Problem> {
    let mut entries = Vec::new();
    for (name, bytes) in files {
        let entry = IndexEntry::of(bytes).map_err(|problem| problem.at(name))?;
        if entry.file_name() != *name {
            return Err(Problem::new(format!("{name}: apk looks for it as {}", entry.file_name())));
        }
        entries.push(entry);
    }
    apk_index::write(&entries, key, Wrapping::Deflate)
}

/// The lines for an access point with opkg (19.07 to 24.10): key, feed, package. Twice does no harm.
pub fn opkg_lines(url: &str, package: &str) -> String {
    let url = url.trim_end_matches('/');
    format!(
        "wget -O /tmp/{OPKG_KEY} {url}/{OPKG_KEY} && opkg-key add /tmp/{OPKG_KEY}\n\
         sed -i '/^src\\/gz whichroom /d' /etc/opkg/customfeeds.conf\n\
         . /etc/openwrt_release; echo \"src/gz whichroom {url}/ipk/$DISTRIB_ARCH\" >> /etc/opkg/customfeeds.conf\n\
         opkg update; opkg install {package}\n"
    )
}

/// The lines for an access point with apk (25.12 and later): key, feed, package. Twice does no harm.
pub fn apk_lines(url: &str, package: &str) -> String {
    let url = url.trim_end_matches('/');
    format!(
        "wget -O /etc/apk/keys/{APK_KEY} {url}/{APK_KEY}\n\
         . /etc/openwrt_release; echo \"{url}/apk/$DISTRIB_ARCH/packages.adb\" > /etc/apk/repositories.d/whichroom.list\n\
         apk update; apk add {package}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openwrt::tests::package;
    use crate::{apk, apk_sign, usign};

    #[test]
    fn an_index_of_opkg_lists_and_signs_its_packages() {
        let file = ipk::write(&package().ipk().unwrap()).unwrap();
        let name = package().ipk_file_name();
        let key = usign::PrivateKey::new([7; 32], [8; 8]);
        let index = opkg_index(&[(&name, &file)], &key).unwrap();
        let listed = read_opkg_index(&index.packages).unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].file_name, "foo_1.2.3-r1_mipsel_24kc.ipk");
        assert_eq!(check_opkg_file(&listed[0], &file), Ok(()));
        assert!(check_opkg_file(&listed[0], &file[1..]).is_err());
        assert_eq!(listed[0].control.get("Maintainer"), None);
        assert_eq!(unpack_opkg_index(&index.compressed).unwrap(), index.packages);
        assert_eq!(key.public().verify(index.packages.as_bytes(), &index.signature), Ok(()));
        let lines: Vec<&str> = index.packages.lines().rev().take(2).collect();
        assert_eq!(lines, ["", "Description: A test"], "Description stays the last field");
    }

    #[test]
    fn lengths_that_usign_gets_wrong_are_padded() {
        for length in 0..=256 {
            let mut packages = "x".repeat(length);
            pad_for_usign(&mut packages);
            assert!(!matches!((64 + packages.len()) % 128, 110 | 111), "{length}");
            assert!(packages.len() - length <= 2);
        }
    }

    #[test]
    fn an_index_of_apk_is_signed_and_names_its_files() {
        let file = apk::write(&package().apk().unwrap(), Wrapping::Deflate).unwrap();
        let key = apk_sign::PrivateKey::generate().unwrap();
        let bytes = apk_index(&[("foo-1.2.3-r1.apk", &file)], &key).unwrap();
        assert_eq!(bytes, apk_index(&[("foo-1.2.3-r1.apk", &file)], &key).unwrap(), "reproducible");
        let index = apk_index::read(&bytes, Some(&key.public())).unwrap();
        assert_eq!(index.signed_by, [key.public().id()]);
        assert_eq!(index.entries, [IndexEntry::of(&file).unwrap()]);
        assert_eq!(apk_index::check_file(&index.entries[0], &file), Ok(()));
        let stranger = apk_sign::PrivateKey::generate().unwrap().public();
        assert!(apk_index::read(&bytes, Some(&stranger)).unwrap_err().to_string().contains("signed by key"));
        assert!(apk_index(&[("foo.apk", &file)], &key).unwrap_err().to_string().contains("foo-1.2.3-r1.apk"));
    }

    #[test]
    fn a_changed_index_of_apk_is_refused() {
        use crate::adb::container;
        let file = apk::write(&package().apk().unwrap(), Wrapping::None).unwrap();
        let key = apk_sign::PrivateKey::generate().unwrap();
        let entry = IndexEntry::of(&file).unwrap();
        let mut bytes = apk_index::write(&[entry], &key, Wrapping::None).unwrap();
        let place = bytes.windows(6).position(|window| window == b"A test").unwrap();
        bytes[place] = b'B';
        assert!(container::split(&bytes).is_ok());
        let problem = apk_index::read(&bytes, Some(&key.public())).unwrap_err();
        assert_eq!(problem.to_string(), "the signature does not fit the content");
    }
}

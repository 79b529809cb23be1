//! Packages of opkg, for OpenWrt up to 24.10: written and read without opkg. A gzip'ed tar of `debian-binary`,
//! `data.tar.gz` (the files) and `control.tar.gz` (the description, the configuration files, the scripts).

use std::collections::BTreeMap;

use crate::Problem;
use crate::archive;
use crate::compress;
use crate::control::{CONTROL_MAX, Control};
use crate::tree::{Kind, Node, Tree};
use crate::version::{check_architecture, check_name};

/// Version of the format, as the package states it.
const FORMAT: &str = "2.0\n";

/// Scripts a package may bring. The two last are what OpenWrt's own `postinst` and `prerm` call.
pub const SCRIPTS: [&str; 6] = ["preinst", "postinst", "prerm", "postrm", "postinst-pkg", "prerm-pkg"];

/// A package as opkg has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ipk {
    /// Its description, `Installed-Size` and all.
    pub control: Control,
    /// Configuration files, which an upgrade leaves alone, as paths without a leading slash.
    pub conffiles: Vec<String>,
    /// Scripts by their name, see [`SCRIPTS`].
    pub scripts: BTreeMap<String, String>,
    /// The files.
    pub tree: Tree,
    /// Seconds since 1970 that every file gets as its time of change.
    pub epoch_s: u64,
}

/// Bytes of the files as a tar, which opkg takes as what they need once installed.
pub fn installed_size(tree: &Tree) -> Result<u64, Problem> {
    Ok(archive::tar(tree, 0)?.len() as u64)
}

/// Writes a package.
pub fn write(ipk: &Ipk) -> Result<Vec<u8>, Problem> {
    check_control(&ipk.control)?;
    let mut control = Tree::default();
    control.insert("control", Node::file(0o644, ipk.control.render()?))?;
    if !ipk.conffiles.is_empty() {
        control.insert("conffiles", Node::file(0o644, conffiles_text(ipk)?))?;
    }
    for (name, script) in &ipk.scripts {
        if !SCRIPTS.contains(&name.as_str()) {
            return Err(Problem::new(format!("{name:?} is no script opkg knows")));
        }
        control.insert(name, Node::file(0o755, script.as_bytes()))?;
    }
    let members = [
        ("debian-binary", FORMAT.as_bytes().to_vec()),
        ("data.tar.gz", compress::gzip(&archive::tar(&ipk.tree, ipk.epoch_s)?)?),
        ("control.tar.gz", compress::gzip(&archive::tar(&control, ipk.epoch_s)?)?),
    ];
    compress::gzip(&archive::tar_of_files(&members, ipk.epoch_s)?)
}

fn conffiles_text(ipk: &Ipk) -> Result<String, Problem> {
    let mut sorted: Vec<&String> = ipk.conffiles.iter().collect();
    sorted.sort();
    for path in &sorted {
        check_conffile(&ipk.tree, path)?;
    }
    Ok(sorted.iter().map(|path| format!("/{path}\n")).collect())
}

fn check_conffile(tree: &Tree, path: &str) -> Result<(), Problem> {
    match tree.get(path) {
        Some(Node { kind: Kind::File(_), .. }) => Ok(()),
        _ => Err(Problem::new(format!("conffiles: /{path} is not among the files"))),
    }
}

fn check_control(control: &Control) -> Result<(), Problem> {
    check_name(control.require("Package")?)?;
    check_architecture(control.require("Architecture")?)?;
    let version = control.require("Version")?;
    if version.is_empty()
        || !version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-._~".contains(&byte))
    {
        return Err(Problem::new(format!("{version:?} is no version")));
    }
    Ok(())
}

/// Reads a package. Damage is found by the checksums of gzip and by what has to be there.
pub fn read(file: &[u8]) -> Result<Ipk, Problem> {
    if file.starts_with(b"!<arch>") {
        return Err(Problem::new("an ar archive: a package of Debian, or of an opkg older than OpenWrt's"));
    }
    let mut members: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for (name, bytes) in archive::untar_files(&archive::gunzip(file)?)? {
        if members.insert(name.clone(), bytes).is_some() {
            return Err(Problem::new(format!("{name} is there twice")));
        }
    }
    let mut member =
        |name: &str| members.remove(name).ok_or_else(|| Problem::new(format!("{name} is missing")));
    if member("debian-binary")? != FORMAT.as_bytes() {
        return Err(Problem::new("debian-binary does not say 2.0"));
    }
    let unpack = |name: &str, bytes: Vec<u8>| {
        archive::gunzip(&bytes).and_then(|tar| archive::untar(&tar)).map_err(|problem| problem.at(name))
    };
    let (tree, epoch_s) = unpack("data.tar.gz", member("data.tar.gz")?)?;
    let (control, _) = unpack("control.tar.gz", member("control.tar.gz")?)?;
    if let Some(name) = members.keys().next() {
        return Err(Problem::new(format!("{name} does not belong into a package")));
    }
    read_control(&control, tree, epoch_s).map_err(|problem| problem.at("control.tar.gz"))
}

fn read_control(files: &Tree, tree: Tree, epoch_s: u64) -> Result<Ipk, Problem> {
    let text = |name: &str| match files.get(name) {
        Some(Node { kind: Kind::File(bytes), .. }) => match str::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(Problem::new(format!("{name} is no UTF-8"))),
        },
        _ => Ok(None),
    };
    let control = text("control")?.ok_or_else(|| Problem::new("control is missing"))?;
    let control = Control::parse(control).map_err(|problem| problem.at("control"))?;
    check_control(&control)?;
    let conffiles = text("conffiles")?.unwrap_or_default();
    if conffiles.len() > CONTROL_MAX {
        return Err(Problem::new(format!("conffiles is over {CONTROL_MAX} bytes long")));
    }
    let mut ipk = Ipk { control, tree, epoch_s, ..Ipk::default() };
    for line in conffiles.lines().filter(|line| !line.trim().is_empty()) {
        let path = line.trim().trim_start_matches('/');
        check_conffile(&ipk.tree, path)?;
        ipk.conffiles.push(path.to_owned());
    }
    for name in SCRIPTS {
        if let Some(script) = text(name)? {
            ipk.scripts.insert(name.to_owned(), script.to_owned());
        }
    }
    Ok(ipk)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tree::tests::any_tree;

    fn control() -> Control {
        Control::parse("Package: foo\nVersion: 1-r1\nArchitecture: all\nDescription: x\n").unwrap()
    }

    #[test]
    fn members_stand_in_the_order_opkg_expects() {
        let mut tree = Tree::default();
        tree.insert("etc/config/foo", Node::file(0o600, *b"x")).unwrap();
        let ipk =
            Ipk { control: control(), conffiles: vec!["etc/config/foo".to_owned()], tree, ..Ipk::default() };
        let file = write(&ipk).unwrap();
        #[rustfmt::skip]
        assert_eq!(file[..10], [
            0x1f, 0x8b, 8, 0,   // gzip, deflate, no name
            0, 0, 0, 0,         // no time
            2, 255,             // best compression, no matter on which system
        ]);
        let outer = archive::gunzip(&file).unwrap();
        assert_eq!(outer[..16], *b"./debian-binary\0");
        assert_eq!(outer[100..124], *b"0000644\x000000000\x000000000\0", "mode, user 0, group 0");
        assert_eq!(outer[512..516], *b"2.0\n");
        let names: Vec<String> =
            archive::untar_files(&outer).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["debian-binary", "data.tar.gz", "control.tar.gz"]);
        let (_, data) = archive::untar_files(&outer).unwrap().swap_remove(1);
        let data = archive::gunzip(&data).unwrap();
        let names: Vec<&[u8]> =
            (0..4).map(|block| data[block * 512..].split(|byte| *byte == 0).next().unwrap()).collect();
        assert_eq!(names, [&b"./"[..], b"./etc/", b"./etc/config/", b"./etc/config/foo"]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let outer = archive::tar_of_files(&[("debian-binary", b"2.0\n".to_vec())], 0).unwrap();
        let file = compress::gzip(&outer).unwrap();
        assert_eq!(read(&file).unwrap_err().to_string(), "data.tar.gz is missing");
        let ipk = Ipk { control: control(), conffiles: vec!["etc/x".to_owned()], ..Ipk::default() };
        assert_eq!(write(&ipk).unwrap_err().to_string(), "conffiles: /etc/x is not among the files");
    }

    #[test]
    fn a_damaged_byte_is_found() {
        let mut file = write(&Ipk { control: control(), ..Ipk::default() }).unwrap();
        let middle = file.len() / 2;
        file[middle] ^= 0xff;
        assert!(read(&file).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn packages_come_back(tree in any_tree(), epoch_s in 0..1u64 << 33, script in "[ -~\n]{1,99}") {
            let conffiles = tree.iter().filter(|(_, node)| matches!(node.kind, Kind::File(_))).map(|(path, _)| path.to_owned()).collect();
            let scripts = BTreeMap::from([("postinst".to_owned(), script)]);
            let ipk = Ipk { control: control(), conffiles, scripts, tree, epoch_s };
            let file = write(&ipk).unwrap();
            prop_assert_eq!(read(&file).unwrap(), ipk);
        }

        #[test]
        fn foreign_archives_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
            let _ = read(&bytes);
            let _ = archive::untar(&bytes);
            let mut tree = Tree::default();
            tree.insert("a/b", Node::file(0o644, *b"content")).unwrap();
            tree.insert("a/c", Node::symlink("b")).unwrap();
            let mut tar = archive::tar(&tree, 0).unwrap();
            for (index, byte) in changes {
                let place = index.index(tar.len());
                tar[place] = byte;
            }
            let _ = archive::untar(&tar);
        }
    }
}

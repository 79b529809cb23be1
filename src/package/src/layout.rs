//! What the agent's package holds: the files of `files/ap` at their installed paths, and the compiled agent.

use std::fs;
use std::path::Path;

use crate::openwrt::Package;
use crate::tree::{Node, Tree};
use crate::{Problem, elf};

/// The package's name.
pub const NAME: &str = "whichroom-agent";

/// The user the agent runs as, and its group.
const USER: &str = "whichroom:whichroom";

/// Where the agent is installed.
const PROGRAM: &str = "usr/bin/whichroom-agent";

/// Counts packages of one version: raised when only the packaging changed.
const REVISION: u32 = 1;

/// Largest file of the folder, in bytes.
const FILE_MAX: u64 = 1 << 20;

/// Version of the package for a version of the agent.
pub fn package_version(version: &str) -> String {
    format!("{version}-r{REVISION}")
}

/// The agent's package.
pub fn agent(
    files: &Tree,
    program: Vec<u8>,
    version: &str,
    architecture: &str,
    epoch_s: u64,
) -> Result<Package, Problem> {
    if program.len() > elf::PROGRAM_MAX {
        return Err(Problem::new(format!("the program has {} bytes", program.len())));
    }
    let mut tree = files.clone();
    tree.insert(PROGRAM, Node::file(0o755, program))?;
    let conffiles = files.iter().map(|(path, _)| path).filter(|path| path.starts_with("etc/config/"));
    Ok(Package {
        name: NAME.to_owned(),
        version: package_version(version),
        architecture: architecture.to_owned(),
        summary: "Reports over MQTT which phones this access point hears, and how loudly".to_owned(),
        license: "MIT".to_owned(),
        section: "net".to_owned(),
        source: format!("feeds/whichroom/{NAME}"),
        user: Some(USER.to_owned()),
        conffiles: conffiles.map(str::to_owned).collect(),
        tree,
        epoch_s,
        ..Package::default()
    })
}

/// Reads a folder of files at their installed paths. Modes follow from the paths, not from the disk: a checkout keeps of
/// them no more than who may execute.
pub fn read_folder(folder: &Path) -> Result<Tree, Problem> {
    let mut tree = Tree::default();
    read_into(&mut tree, folder, "")?;
    Ok(tree)
}

fn read_into(tree: &mut Tree, folder: &Path, prefix: &str) -> Result<(), Problem> {
    let failed = |error: std::io::Error| Problem::new(format!("cannot read {}: {error}", folder.display()));
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            return Err(Problem::new(format!("{}: its name is no UTF-8", entry.path().display())));
        };
        let path = format!("{prefix}{name}");
        let metadata = entry.metadata().map_err(failed)?;
        if metadata.is_dir() {
            tree.insert(&path, Node::DIRECTORY)?;
            read_into(tree, &entry.path(), &format!("{path}/"))?;
        } else if metadata.is_file() && metadata.len() <= FILE_MAX {
            let bytes = fs::read(entry.path()).map_err(failed)?;
            tree.insert(&path, Node::file(mode(&path), bytes))?;
        } else {
            return Err(Problem::new(format!("{}: no file, or one over 1 MB", entry.path().display())));
        }
    }
    Ok(())
}

/// Programs may be executed, the configuration (there is a password in it) is for root.
fn mode(path: &str) -> u16 {
    let below = |folders: &[&str]| folders.iter().any(|folder| path.starts_with(folder));
    if below(&["etc/config/"]) {
        return 0o600;
    }
    if below(&["etc/init.d/", "etc/uci-defaults/", "usr/bin/", "usr/sbin/"]) { 0o755 } else { 0o644 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adb::container::Wrapping;
    use crate::{apk, ipk};

    /// The folder as it is in the sources: both formats take it.
    #[test]
    fn the_folder_in_the_sources_makes_both_packages() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../files/ap");
        let files = read_folder(&folder).unwrap();
        let package =
            agent(&files, b"\x7fELF".to_vec(), env!("CARGO_PKG_VERSION"), "mips_24kc", 1_760_000_000)
                .unwrap();
        assert_eq!(package.conffiles, ["etc/config/whichroom"]);
        assert_eq!(package.tree.get("etc/config/whichroom").unwrap().mode, 0o600);
        assert_eq!(package.tree.get("etc/init.d/whichroom-agent").unwrap().mode, 0o755);
        assert_eq!(package.tree.get("usr/share/acl.d/whichroom-agent.json").unwrap().mode, 0o644);
        let ipk = ipk::write(&package.ipk().unwrap()).unwrap();
        let apk = apk::write(&package.apk().unwrap(), Wrapping::Deflate).unwrap();
        assert_eq!(ipk::read(&ipk).unwrap().control.get("Require-User"), Some(USER));
        assert!(apk::read(&apk).unwrap().apk.tree.get("lib/apk/packages/whichroom-agent.rusers").is_some());
    }
}

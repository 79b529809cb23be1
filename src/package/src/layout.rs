//! What the agent's two packages hold: the files of `files/ap` at their installed paths, and the agent, compiled without
//! or with TLS. One takes the other's place.

use std::fs;
use std::path::Path;

use crate::openwrt::Package;
use crate::tree::{Node, Tree};
use crate::{Problem, elf};

/// The agent's program, and its package in the sources.
pub const NAME: &str = "whichroom-agent";

/// The packages the agent comes as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// For `mqtt://`.
    Plain,
    /// For `mqtts://` as well.
    Tls,
}

impl Variant {
    /// Both, in the order they are built in.
    pub const ALL: [Variant; 2] = [Variant::Plain, Variant::Tls];

    /// The package's name.
    pub fn package(self) -> &'static str {
        match self {
            Variant::Plain => NAME,
            Variant::Tls => "whichroom-agent-tls",
        }
    }

    /// Features the agent is compiled with.
    pub fn features(self) -> &'static [&'static str] {
        match self {
            Variant::Plain => &[],
            Variant::Tls => &["tls"],
        }
    }

    fn summary(self) -> &'static str {
        match self {
            Variant::Plain => "Reports over MQTT which phones this access point hears, and how loudly",
            Variant::Tls => {
                "Reports over MQTT, with TLS, which phones this access point hears, and how loudly"
            }
        }
    }

    /// What it takes the place of: both are called as one program.
    fn provides(self) -> Option<Variant> {
        match self {
            Variant::Plain => None,
            Variant::Tls => Some(Variant::Plain),
        }
    }

    /// What has the same files.
    fn conflicts(self) -> Variant {
        match self {
            Variant::Plain => Variant::Tls,
            Variant::Tls => Variant::Plain,
        }
    }
}

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

/// A package of the agent.
pub fn agent(
    variant: Variant,
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
        name: variant.package().to_owned(),
        version: package_version(version),
        architecture: architecture.to_owned(),
        summary: variant.summary().to_owned(),
        license: "MIT".to_owned(),
        section: "net".to_owned(),
        source: format!("feeds/whichroom/{NAME}"),
        provides: variant.provides().map(|other| other.package().to_owned()).into_iter().collect(),
        // opkg takes the package of that very name by itself.
        default_provider: variant == Variant::Plain,
        conflicts: vec![variant.conflicts().package().to_owned()],
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
    use crate::apk::Dependency;
    use crate::{apk, ipk};

    fn package(variant: Variant, files: &Tree) -> Package {
        let program = b"\x7fELF".to_vec();
        agent(variant, files, program, env!("CARGO_PKG_VERSION"), "mips_24kc", 1_760_000_000).unwrap()
    }

    /// opkg and apk refuse to have both; who asks for the agent is served by either.
    #[test]
    fn the_package_with_tls_takes_the_place_of_the_other() {
        let [plain, tls] = Variant::ALL.map(|variant| package(variant, &Tree::default()));
        let [control, control_tls] = [&plain, &tls].map(|package| package.ipk().unwrap().control);
        assert_eq!(control.get("Provides"), None);
        assert_eq!(control.get("Conflicts"), Some("whichroom-agent-tls"));
        assert_eq!(control_tls.get("Package"), Some("whichroom-agent-tls"));
        assert_eq!(control_tls.get("Provides"), Some("whichroom-agent"));
        assert_eq!(control_tls.get("Conflicts"), Some("whichroom-agent"));
        let [info, info_tls] = [&plain, &tls].map(|package| package.apk().unwrap().info);
        let shown = |all: &[Dependency]| all.iter().map(Dependency::to_string).collect::<Vec<String>>();
        assert_eq!(shown(&info.depends), ["!whichroom-agent-tls"]);
        assert_eq!(shown(&info.provides), ["whichroom-agent-any"]);
        assert_eq!(shown(&info_tls.depends), ["!whichroom-agent"]);
        assert!(
            info.provider_priority > info_tls.provider_priority,
            "`apk add whichroom-agent` is the plain one"
        );
        let version = package_version(env!("CARGO_PKG_VERSION"));
        assert_eq!(
            shown(&info_tls.provides),
            [format!("whichroom-agent={version}"), "whichroom-agent-tls-any".to_owned()]
        );
        assert_eq!(tls.tree, plain.tree, "the same files at the same paths");
    }

    /// The folder as it is in the sources: both formats take it.
    #[test]
    fn the_folder_in_the_sources_makes_both_packages() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../files/ap");
        let files = read_folder(&folder).unwrap();
        let package = package(Variant::Plain, &files);
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

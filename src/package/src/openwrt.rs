//! What OpenWrt's build system puts into its packages beyond the two formats: scripts that enable and start services and
//! create users, lists for apk, fields for opkg. A package built here behaves as one from a feed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::apk::{Apk, Dependency, Info, Scripts};
use crate::control::Control;
use crate::ipk::{self, Ipk};
use crate::tree::{Kind, Node, Tree};
use crate::version::{check_architecture, check_name, check_version};
use crate::{Hex, Problem};

/// Where apk on OpenWrt keeps what opkg has in its control files.
const LISTS: &str = "lib/apk/packages";

/// A package, to be written in either format.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Package {
    /// Name.
    pub name: String,
    /// Version with its revision, `0.1.0-r1`.
    pub version: String,
    /// Architecture as OpenWrt names it.
    pub architecture: String,
    /// One line.
    pub summary: String,
    /// SPDX expression.
    pub license: String,
    /// Section in the lists of packages.
    pub section: String,
    /// Name and address.
    pub maintainer: String,
    /// Home page.
    pub url: String,
    /// Where the recipe is in a feed.
    pub source: String,
    /// Packages needed.
    pub depends: Vec<String>,
    /// Packages whose place it takes.
    pub provides: Vec<String>,
    /// Whether it is the one meant by its name where another provides that name too.
    pub default_provider: bool,
    /// Packages it cannot stand beside.
    pub conflicts: Vec<String>,
    /// User and group to create, `name:name` or `name=id:name=id`.
    pub user: Option<String>,
    /// Configuration files an upgrade leaves alone, without a leading slash.
    pub conffiles: Vec<String>,
    /// Shell lines after installation. opkg runs them before services start, apk after.
    pub after_install: String,
    /// Shell lines before removal.
    pub before_removal: String,
    /// The files.
    pub tree: Tree,
    /// Seconds since 1970 that every file gets as its time of change.
    pub epoch_s: u64,
}

impl Package {
    /// The name of its file for opkg.
    pub fn ipk_file_name(&self) -> String {
        format!("{}_{}_{}.ipk", self.name, self.version, self.architecture)
    }

    /// The name of its file for apk, the one an index expects.
    pub fn apk_file_name(&self) -> String {
        format!("{}-{}.apk", self.name, self.version)
    }

    /// The package for opkg.
    pub fn ipk(&self) -> Result<Ipk, Problem> {
        self.check()?;
        let mut control = Control::default();
        control.push("Package", &self.name);
        control.push("Version", &self.version);
        control.push("Depends", self.depends.join(", "));
        control.push("Conflicts", self.conflicts.join(", "));
        control.push("Provides", self.provides.join(", "));
        control.push("Source", &self.source);
        control.push("SourceName", &self.name);
        control.push("License", &self.license);
        control.push("Section", &self.section);
        control.push("Require-User", self.user.as_deref().unwrap_or_default());
        control.push("SourceDateEpoch", self.epoch_s.to_string());
        control.push("URL", &self.url);
        control.push("Maintainer", &self.maintainer);
        control.push("Architecture", &self.architecture);
        control.push("Installed-Size", ipk::installed_size(&self.tree)?.to_string());
        control.push("Description", &self.summary);
        Ok(Ipk {
            control,
            conffiles: sorted(&self.conffiles),
            scripts: self.opkg_scripts(),
            tree: self.tree.clone(),
            epoch_s: self.epoch_s,
        })
    }

    /// OpenWrt's functions do the work and call the package's own lines from a second file.
    fn opkg_scripts(&self) -> BTreeMap<String, String> {
        let mut scripts = BTreeMap::new();
        scripts.insert(
            "postinst".to_owned(),
            format!("{SHELL}{UNLESS_FORBIDDEN}{FUNCTIONS}default_postinst $0 $@\n"),
        );
        scripts.insert("prerm".to_owned(), format!("{SHELL}{FUNCTIONS}default_prerm $0 $@\n"));
        for (name, lines) in [("postinst-pkg", &self.after_install), ("prerm-pkg", &self.before_removal)] {
            if !lines.is_empty() {
                scripts.insert(name.to_owned(), format!("{SHELL}{lines}"));
            }
        }
        scripts
    }

    /// The package for apk.
    pub fn apk(&self) -> Result<Apk, Problem> {
        self.check()?;
        let mut tree = self.tree.clone();
        self.add_lists(&mut tree)?;
        let names = format!("export root=\"${{IPKG_INSTROOT}}\"\nexport pkgname=\"{}\"\n", self.name);
        let install = format!(
            "{UNLESS_FORBIDDEN}{FUNCTIONS}{names}add_group_and_user\ndefault_postinst\n{}",
            self.after_install
        );
        let scripts = Scripts {
            post_install: format!("{SHELL}{install}"),
            post_upgrade: format!("{SHELL}export PKG_UPGRADE=1\n{install}"),
            pre_deinstall: format!("{SHELL}{FUNCTIONS}{names}default_prerm\n{}", self.before_removal),
            ..Scripts::default()
        };
        let mut depends: Vec<Dependency> = self.depends.iter().map(Dependency::any).collect();
        depends.extend(self.conflicts.iter().map(Dependency::conflict));
        let mut provides: Vec<Dependency> =
            self.provides.iter().map(|name| Dependency::exactly(name, &self.version)).collect();
        provides.push(Dependency::any(format!("{}-any", self.name)));
        depends.sort();
        provides.sort();
        let info = Info {
            name: self.name.clone(),
            version: self.version.clone(),
            description: self.summary.clone(),
            architecture: if self.architecture == "all" { "noarch" } else { &self.architecture }.to_owned(),
            license: self.license.clone(),
            origin: self.source.clone(),
            maintainer: self.maintainer.clone(),
            url: self.url.clone(),
            installed_size: tree.size(),
            provider_priority: if self.default_provider { DEFAULT_PRIORITY } else { 0 },
            depends,
            provides,
            tags: vec![format!("openwrt:section={}", self.section)],
        };
        Ok(Apk { info, tree, epoch_s: self.epoch_s, scripts })
    }

    /// Adds what OpenWrt's functions read: without the list of files no service is enabled and started.
    fn add_lists(&self, tree: &mut Tree) -> Result<(), Problem> {
        let mut add = |kind: &str, text: String| {
            tree.insert(&format!("{LISTS}/{}.{kind}", self.name), Node::file(0o644, text))
        };
        if !self.conffiles.is_empty() {
            let conffiles = sorted(&self.conffiles);
            add("conffiles", conffiles.iter().map(|path| format!("/{path}\n")).collect())?;
            let mut hashes = String::new();
            for path in &conffiles {
                let Some(Node { kind: Kind::File(bytes), .. }) = self.tree.get(path) else {
                    return Err(Problem::new(format!("conffiles: /{path} is not among the files")));
                };
                // Writing to a String does not fail.
                let _ = writeln!(hashes, "/{path} {}", Hex(&Sha256::digest(bytes)));
            }
            add("conffiles_static", hashes)?;
        }
        if let Some(user) = &self.user {
            add("rusers", format!("{user}\n"))?;
        }
        let list: String = tree
            .iter()
            .filter(|(_, node)| node.kind != Kind::Directory)
            .map(|(path, _)| format!("/{path}\n"))
            .collect();
        tree.insert(&format!("{LISTS}/{}.list", self.name), Node::file(0o644, list))
    }

    /// Both package managers have to take it, so that one version serves both.
    fn check(&self) -> Result<(), Problem> {
        check_name(&self.name)?;
        check_version(&self.version)?;
        check_architecture(&self.architecture)?;
        let words = |text: &str| text.split_whitespace().count();
        if words(&self.summary) == 0 || self.summary.contains('\n') {
            return Err(Problem::new("the summary is not one line"));
        }
        if let Some(user) = self.user.as_ref().filter(|user| words(user) != 1) {
            return Err(Problem::new(format!("{user:?} is no user and group")));
        }
        for (path, _) in self.tree.iter() {
            // The lists are read word by word by shell scripts.
            if path.contains(char::is_whitespace) {
                return Err(Problem::new(format!("/{path} has a space in it")));
            }
        }
        Ok(())
    }
}

/// What OpenWrt gives the default of several variants.
const DEFAULT_PRIORITY: u64 = 100;

const SHELL: &str = "#!/bin/sh\n";
const UNLESS_FORBIDDEN: &str = "[ \"${IPKG_NO_SCRIPT}\" = \"1\" ] && exit 0\n";
const FUNCTIONS: &str =
    "[ -s ${IPKG_INSTROOT}/lib/functions.sh ] || exit 0\n. ${IPKG_INSTROOT}/lib/functions.sh\n";

fn sorted(paths: &[String]) -> Vec<String> {
    let mut sorted = paths.to_vec();
    sorted.sort();
    sorted
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::adb::container::Wrapping;
    use crate::apk;

    /// A package with everything in it.
    pub fn package() -> Package {
        let mut tree = Tree::default();
        tree.insert("usr/sbin/foo", Node::file(0o755, *b"\x7fELF...")).unwrap();
        tree.insert("etc/config/foo", Node::file(0o600, *b"config foo\n")).unwrap();
        tree.insert("etc/init.d/foo", Node::file(0o755, *b"#!/bin/sh /etc/rc.common\n")).unwrap();
        Package {
            name: "foo".to_owned(),
            version: "1.2.3-r1".to_owned(),
            architecture: "mipsel_24kc".to_owned(),
            summary: "A test".to_owned(),
            license: "MIT".to_owned(),
            section: "net".to_owned(),
            maintainer: "Somebody <somebody@example.org>".to_owned(),
            url: "https://example.org/".to_owned(),
            source: "feeds/x/foo".to_owned(),
            user: Some("foo:foo".to_owned()),
            conffiles: vec!["etc/config/foo".to_owned()],
            default_provider: true,
            conflicts: vec!["bar".to_owned()],
            tree,
            epoch_s: 1_760_000_000,
            ..Package::default()
        }
    }

    fn text(tree: &Tree, path: &str) -> String {
        match &tree.get(path).unwrap().kind {
            Kind::File(bytes) => String::from_utf8(bytes.clone()).unwrap(),
            Kind::Directory | Kind::Symlink(_) => panic!("{path} is no file"),
        }
    }

    #[test]
    fn apk_gets_the_lists_its_scripts_read() {
        let apk = package().apk().unwrap();
        assert_eq!(
            text(&apk.tree, "lib/apk/packages/foo.list"),
            "/etc/config/foo\n/etc/init.d/foo\n/lib/apk/packages/foo.conffiles\n\
             /lib/apk/packages/foo.conffiles_static\n/lib/apk/packages/foo.rusers\n/usr/sbin/foo\n"
        );
        assert_eq!(text(&apk.tree, "lib/apk/packages/foo.rusers"), "foo:foo\n");
        assert_eq!(text(&apk.tree, "lib/apk/packages/foo.conffiles"), "/etc/config/foo\n");
        assert_eq!(
            text(&apk.tree, "lib/apk/packages/foo.conffiles_static"),
            "/etc/config/foo 5dd79b8ce38fddf13bbbdcda1436f368d13179255f7dd2d1f262e2ebafaf8c88\n"
        );
        assert_eq!(
            apk.scripts.post_upgrade,
            "#!/bin/sh\nexport PKG_UPGRADE=1\n[ \"${IPKG_NO_SCRIPT}\" = \"1\" ] && exit 0\n\
             [ -s ${IPKG_INSTROOT}/lib/functions.sh ] || exit 0\n. ${IPKG_INSTROOT}/lib/functions.sh\n\
             export root=\"${IPKG_INSTROOT}\"\nexport pkgname=\"foo\"\nadd_group_and_user\ndefault_postinst\n"
        );
        assert_eq!(apk.info.depends, [Dependency::conflict("bar")]);
    }

    #[test]
    fn opkg_gets_the_user_and_the_wrappers() {
        let mut package = package();
        package.after_install = "echo installed\n".to_owned();
        let ipk = package.ipk().unwrap();
        assert_eq!(ipk.control.get("Require-User"), Some("foo:foo"));
        assert_eq!(ipk.control.get("SourceDateEpoch"), Some("1760000000"));
        assert_eq!(ipk.control.get("Installed-Size"), Some("7168"));
        assert!(ipk.scripts["postinst"].ends_with("default_postinst $0 $@\n"));
        assert_eq!(ipk.scripts["postinst-pkg"], "#!/bin/sh\necho installed\n");
        assert!(!ipk.scripts.contains_key("prerm-pkg"));
    }

    #[test]
    fn a_version_apk_refuses_is_refused_for_both() {
        let mut package = package();
        package.version = "0.2.0-rc.1-r1".to_owned();
        assert!(package.apk().unwrap_err().to_string().starts_with("apk refuses the version"));
        assert!(package.ipk().unwrap_err().to_string().starts_with("apk refuses the version"));
    }

    #[test]
    fn both_formats_give_the_same_bytes_each_time_and_come_back() {
        let package = package();
        let ipk = ipk::write(&package.ipk().unwrap()).unwrap();
        assert_eq!(ipk, ipk::write(&package.ipk().unwrap()).unwrap());
        assert_eq!(ipk::read(&ipk).unwrap(), package.ipk().unwrap());
        let apk = apk::write(&package.apk().unwrap(), Wrapping::Deflate).unwrap();
        assert_eq!(apk, apk::write(&package.apk().unwrap(), Wrapping::Deflate).unwrap());
        assert_eq!(apk::read(&apk).unwrap().apk, package.apk().unwrap());
    }
}

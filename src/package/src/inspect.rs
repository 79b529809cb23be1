//! What is in a package, listed and verified: `whichroom-package inspect`.

use std::fmt::Write as _;

use crate::apk::{self, Dependency};
use crate::tree::{Kind, Tree};
use crate::{Problem, ipk};

/// Lists a package of either format after checking it, or says why it is damaged.
pub fn package(file: &[u8]) -> Result<String, Problem> {
    match file {
        [0x1f, 0x8b, ..] => of_ipk(file),
        [b'A', b'D', b'B', ..] => of_apk(file),
        _ => Err(Problem::new("neither an ipk (gzip) nor an apk of version 3 (ADB)")),
    }
}

fn of_ipk(file: &[u8]) -> Result<String, Problem> {
    let ipk = ipk::read(file)?;
    let mut text = String::from("format\tipk\n");
    for (name, value) in ipk.control.fields() {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{name}\t{}", value.replace('\n', " "));
    }
    list(&mut text, &ipk.tree);
    for path in &ipk.conffiles {
        let _ = writeln!(text, "conffile\t/{path}");
    }
    for name in ipk.scripts.keys() {
        let _ = writeln!(text, "script\t{name}");
    }
    text.push_str("verified\tchecksums of gzip, required members and fields\n");
    Ok(text)
}

fn of_apk(file: &[u8]) -> Result<String, Problem> {
    let apk::Read { apk, signed_by, .. } = apk::read(file)?;
    let info = &apk.info;
    let mut text = String::from("format\tapk\n");
    let fields = [
        ("name", info.name.clone()),
        ("version", info.version.clone()),
        ("architecture", info.architecture.clone()),
        ("description", info.description.clone()),
        ("license", info.license.clone()),
        ("origin", info.origin.clone()),
        ("maintainer", info.maintainer.clone()),
        ("url", info.url.clone()),
        ("installed-size", info.installed_size.to_string()),
        (
            "provider-priority",
            if info.provider_priority > 0 { info.provider_priority.to_string() } else { String::new() },
        ),
        ("depends", dependencies(&info.depends)),
        ("provides", dependencies(&info.provides)),
        ("tags", info.tags.join(" ")),
    ];
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{name}\t{value}");
    }
    list(&mut text, &apk.tree);
    let scripts = &apk.scripts;
    let scripts = [
        ("pre-install", &scripts.pre_install),
        ("post-install", &scripts.post_install),
        ("pre-deinstall", &scripts.pre_deinstall),
        ("post-deinstall", &scripts.post_deinstall),
        ("pre-upgrade", &scripts.pre_upgrade),
        ("post-upgrade", &scripts.post_upgrade),
    ];
    for (name, _) in scripts.iter().filter(|(_, script)| !script.is_empty()) {
        let _ = writeln!(text, "script\t{name}");
    }
    for key in signed_by {
        let _ = writeln!(text, "signed by\t{key}");
    }
    text.push_str("verified\tits own hash, size and SHA-256 of every file\n");
    Ok(text)
}

fn dependencies(dependencies: &[Dependency]) -> String {
    dependencies.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn list(text: &mut String, tree: &Tree) {
    for (path, node) in tree.iter() {
        let kind = match &node.kind {
            Kind::Directory => "directory".to_owned(),
            Kind::File(bytes) => bytes.len().to_string(),
            Kind::Symlink(target) => format!("-> {target}"),
        };
        let _ = writeln!(text, "file\t{:04o}\t{kind}\t/{path}", node.mode);
    }
}

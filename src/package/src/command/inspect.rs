//! `whichroom-package inspect`: what is in a package or an index, checked.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use lexopt::prelude::*;
use whichroom_package::{Problem, apk_index, apk_sign, feed, inspect, usign};

use crate::command::{Failure, print, read_file};

const HELP: &str = "\
whichroom-package inspect: lists and checks packages and indexes. Exit code 1 says that one is damaged.

  whichroom-package inspect [--key FILE] FILE...

  FILE        an .ipk, an .apk, or the index of a feed (Packages, Packages.gz, packages.adb), whose packages beside
              it are checked, too
  --key FILE  the public key that has to have signed an index
";

/// Most bytes of a file that is inspected.
const FILE_MAX: u64 = 64 << 20;

/// Runs the command.
pub fn main(mut args: lexopt::Parser) -> Result<(), Failure> {
    let mut files = Vec::new();
    let mut key = None;
    while let Some(argument) = args.next()? {
        match argument {
            Long("key") => key = Some(PathBuf::from(args.value()?)),
            Long("help") | Short('h') => return print(HELP),
            Value(file) => files.push(PathBuf::from(file)),
            Short(_) | Long(_) => return Err(argument.unexpected().into()),
        }
    }
    if files.is_empty() {
        return Err(Failure::usage(HELP));
    }
    let key = match key {
        Some(path) => Some(read_text(&path)?),
        None => None,
    };
    let mut damaged = Vec::new();
    for file in &files {
        match inspect_file(file, key.as_deref()) {
            Ok(text) => print(&text)?,
            Err(failure) => damaged.push(failure.text),
        }
    }
    if damaged.is_empty() { Ok(()) } else { Err(Failure::run(damaged.join("\n"))) }
}

fn inspect_file(path: &Path, key: Option<&str>) -> Result<String, Failure> {
    let bytes = read_file(path, FILE_MAX)?;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let folder = path.parent().unwrap_or(Path::new(""));
    let text = match name {
        "Packages" => opkg_index(&bytes, folder, key),
        "Packages.gz" => feed::unpack_opkg_index(&bytes)
            .map_err(Failure::from)
            .and_then(|packages| opkg_index(packages.as_bytes(), folder, key)),
        "packages.adb" => apk_index(&bytes, folder, key),
        _ => inspect::package(&bytes).map_err(Failure::from),
    };
    text.map_err(|failure| Failure { text: format!("{}: {}", path.display(), failure.text), ..failure })
}

fn opkg_index(bytes: &[u8], folder: &Path, key: Option<&str>) -> Result<String, Failure> {
    let packages = str::from_utf8(bytes).map_err(|_| Failure::run("it is no UTF-8"))?;
    let mut text = String::from("format\tindex of opkg\n");
    for entry in feed::read_opkg_index(packages)? {
        let file = read_file(&folder.join(&entry.file_name), FILE_MAX)?;
        feed::check_opkg_file(&entry, &file)?;
        inspect::package(&file).map_err(|problem| problem.at(&entry.file_name))?;
        // Writing to a String does not fail.
        let _ = writeln!(text, "package\t{}\t{}", entry.file_name, entry.size);
    }
    text.push_str("verified\tsize and SHA-256 of every package\n");
    if let Some(key) = key {
        let key = usign::PublicKey::parse(key)?;
        key.verify(bytes, &read_text(&folder.join("Packages.sig"))?)?;
        let _ = writeln!(text, "signed by\t{}", key.fingerprint());
    }
    Ok(text)
}

fn apk_index(bytes: &[u8], folder: &Path, key: Option<&str>) -> Result<String, Failure> {
    let key = key.map(apk_sign::PublicKey::from_pem).transpose()?;
    let index = apk_index::read(bytes, key.as_ref())?;
    let mut text = String::from("format\tindex of apk\n");
    for entry in &index.entries {
        let file = read_file(&folder.join(safe_name(entry)?), FILE_MAX)?;
        apk_index::check_file(entry, &file)?;
        // Writing to a String does not fail.
        let _ = writeln!(text, "package\t{}\t{}", entry.file_name(), entry.file_size);
    }
    text.push_str("verified\tsize and SHA-256 of every package\n");
    if let Some(key) = key {
        let _ = writeln!(text, "signed by\t{}", key.id());
    }
    Ok(text)
}

fn safe_name(entry: &apk_index::IndexEntry) -> Result<String, Problem> {
    whichroom_package::version::check_name(&entry.info.name)?;
    Ok(entry.file_name())
}

fn read_text(path: &Path) -> Result<String, Failure> {
    String::from_utf8(read_file(path, FILE_MAX)?)
        .map_err(|_| Failure::run(format!("{} is no text", path.display())))
}

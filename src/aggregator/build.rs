//! Puts the feed of `whichroom-package build` into the program where `WHICHROOM_FEED` names its folder, as `make release`
//! does. Without it there is nothing inside. And writes IEEE's registry of vendors as `names/vendors.rs` reads it: the
//! library's own table would be 9 MB of the program, this is 0.6 MB.

use std::env::{var, var_os};
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::ZlibEncoder;

const VARIABLE: &str = "WHICHROOM_FEED";
/// A folder without it is no feed.
const KEY: &str = "whichroom-feed.pub";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed={VARIABLE}");
    let mut files = Vec::new();
    if let Some(folder) = var_os(VARIABLE).filter(|folder| !folder.is_empty()) {
        // Cargo runs this in the package's own folder, and people name theirs from the workspace.
        let folder = workspace()?.join(folder);
        if !folder.join(KEY).is_file() {
            return Err(format!(
                "{VARIABLE}={}: there is no {KEY} in it: run make packages",
                folder.display()
            )
            .into());
        }
        println!("cargo:rerun-if-changed={}", folder.display());
        collect(&folder, &folder, &mut files)?;
        files.sort();
    }
    let mut code = String::from("/// The feed inside this program, by paths in order.\n");
    code.push_str("static INSIDE: &[(&str, &[u8])] = &[\n");
    for (path, file) in files {
        writeln!(code, "    ({path:?}, include_bytes!({file:?})),")?;
    }
    code.push_str("];\n");
    let out = PathBuf::from(var("OUT_DIR")?);
    fs::write(out.join("packages_inside.rs"), code)?;
    fs::write(out.join("vendors.zlib"), vendors()?)?;
    Ok(())
}

/// Lines in order of their prefixes: prefix, tab, name. What IEEE keeps itself, and who did not want to be named, is left
/// out: it says nothing of who made the device.
fn vendors() -> Result<Vec<u8>, Box<dyn Error>> {
    const NOBODY: [&str; 2] = ["IEEE Registration Authority", "Private"];
    let mut lines: Vec<String> = oui_data::OUI_ENTRIES
        .entries()
        .filter(|(_, entry)| !NOBODY.contains(&entry.organization()))
        .map(|(prefix, entry)| {
            let name: Vec<&str> = entry.organization().split_whitespace().collect();
            format!("{prefix}\t{}\n", name.join(" "))
        })
        .filter(|line| !line.ends_with("\t\n"))
        .collect();
    lines.sort_unstable();
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(lines.concat().as_bytes())?;
    Ok(encoder.finish()?)
}

fn workspace() -> Result<PathBuf, Box<dyn Error>> {
    let own = PathBuf::from(var("CARGO_MANIFEST_DIR")?);
    Ok(own.ancestors().nth(2).ok_or("the package is not in its workspace")?.to_owned())
}

/// The files below a folder, each with its path below the root.
fn collect(root: &Path, folder: &Path, files: &mut Vec<(String, PathBuf)>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, files)?;
            continue;
        }
        let below = path.strip_prefix(root)?.to_str().ok_or("a name in the feed is not UTF-8")?;
        files.push((below.to_owned(), path));
    }
    Ok(())
}

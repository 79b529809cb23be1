//! Puts the feed of `whichroom-package build` into the program where `WHICHROOM_FEED` names its folder, as `make release`
//! does. Without it there is nothing inside, and the build is as quick as ever.

use std::env::{var, var_os};
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

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
    fs::write(Path::new(&var("OUT_DIR")?).join("packages_inside.rs"), code)?;
    Ok(())
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

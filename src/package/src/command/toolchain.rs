//! The Rust compiler with the sources of its standard library, which routers' targets need: rustup's, else Debian's and
//! Ubuntu's packages, installed where that is possible and named where it is not.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::command::{Failure, say};

/// Oldest compiler the agent builds with: major and minor.
const RUST_MIN: (u32, u32) = (1, 85);

/// Where a sysroot has the sources of its standard library.
const LIBRARY: &str = "lib/rustlib/src/rust/library/Cargo.toml";

/// Variables that would change what is compiled, or lead one toolchain's programs to another's libraries.
pub const NOT_INHERITED: [&str; 14] = [
    "CARGO",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_INCREMENTAL",
    "CARGO_TARGET_DIR",
    "CFLAGS",
    "LD_LIBRARY_PATH",
    "RUSTC",
    "RUSTC_BOOTSTRAP",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTFLAGS",
    "RUST_RECURSION_COUNT",
];

/// A compiler that can build the standard library.
#[derive(Debug)]
pub struct Toolchain {
    /// The cargo that belongs to it.
    pub cargo: PathBuf,
    /// The compiler.
    pub rustc: PathBuf,
    /// Where its libraries and their sources are.
    pub sysroot: PathBuf,
    version: String,
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.version, self.rustc.display())
    }
}

impl Toolchain {
    /// Finds one, or installs what is missing, or says what to install.
    pub fn find() -> Result<Toolchain, Failure> {
        let mut problems = Vec::new();
        for rustc in ["rustc", "/usr/bin/rustc"] {
            match Toolchain::at(Path::new(rustc)) {
                Ok(toolchain) => return Ok(toolchain),
                Err(problem) => problems.push(format!("{rustc}: {problem}")),
            }
        }
        if run_quietly(Command::new("rustup").args(["component", "add", "rust-src"])) {
            return Toolchain::at(Path::new("rustc")).map_err(Failure::run);
        }
        for packages in [["rustc-web", "cargo-web", "rust-web-src"], ["rustc", "cargo", "rust-src"]] {
            if install(&packages) {
                match Toolchain::at(Path::new("/usr/bin/rustc")) {
                    Ok(toolchain) => return Ok(toolchain),
                    Err(problem) => problems.push(format!("{}: {problem}", packages.join(" "))),
                }
            }
        }
        Err(Failure::run(format!(
            "no Rust compiler with the sources of its standard library:\n  {}\nInstall one of\n  rustup component add rust-src\n  \
             apt-get install rustc-web cargo-web rust-web-src\n  apt-get install rustc cargo rust-src",
            problems.join("\n  ")
        )))
    }

    /// The toolchain of this compiler.
    fn at(rustc: &Path) -> Result<Toolchain, String> {
        let sysroot = PathBuf::from(ask(rustc, &["--print", "sysroot"])?);
        // The file itself, not rustup's stand-in for it, which another variable may lead elsewhere.
        let own = sysroot.join("bin/rustc");
        let rustc = if own.is_file() { own } else { rustc.to_owned() };
        let version = ask(&rustc, &["--version"])?;
        check_version(&version)?;
        if !sysroot.join(LIBRARY).is_file() {
            return Err(format!("{version} has no sources of its standard library"));
        }
        let cargo = rustc.with_file_name("cargo");
        Ok(Toolchain { cargo, rustc, sysroot, version })
    }
}

/// The first line a program prints.
fn ask(program: &Path, args: &[&str]) -> Result<String, String> {
    let mut command = Command::new(program);
    for name in NOT_INHERITED {
        command.env_remove(name);
    }
    let output = command.args(args).output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.lines().next() {
        Some(line) if output.status.success() => Ok(line.to_owned()),
        _ => Err(format!("{} {} fails", program.display(), args.join(" "))),
    }
}

/// Refuses compilers that are too old: "rustc 1.85.0 (...)".
fn check_version(version: &str) -> Result<(), String> {
    let number = version.split(' ').nth(1).unwrap_or_default();
    let mut parts = number.split('.').map_while(|part| part.parse::<u32>().ok());
    match (parts.next(), parts.next()) {
        (Some(major), Some(minor)) if (major, minor) >= RUST_MIN => Ok(()),
        (Some(_), Some(_)) => {
            Err(format!("{version} is too old; the agent needs {}.{}", RUST_MIN.0, RUST_MIN.1))
        }
        _ => Err(format!("{version:?} is no version of rustc")),
    }
}

/// Installs Debian's or Ubuntu's packages; false where that is not possible.
pub fn install(packages: &[&str]) -> bool {
    let known = run_quietly(Command::new("apt-cache").arg("show").args(packages));
    let root =
        std::fs::metadata("/proc/self").is_ok_and(|owner| std::os::unix::fs::MetadataExt::uid(&owner) == 0);
    if !known || !root {
        return false;
    }
    say(&format!("installing {}", packages.join(" ")));
    run_quietly(
        Command::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["install", "-y", "-q", "--no-install-recommends"])
            .args(packages),
    )
}

fn run_quietly(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_compilers_are_refused_with_the_reason() {
        assert_eq!(check_version("rustc 1.85.0 (4d91de4e4 2025-02-17)"), Ok(()));
        assert_eq!(check_version("rustc 1.96.0 (built from a source tarball)"), Ok(()));
        assert_eq!(check_version("rustc 2.0.0-nightly (x)"), Ok(()));
        assert_eq!(
            check_version("rustc 1.63.0").unwrap_err(),
            "rustc 1.63.0 is too old; the agent needs 1.85"
        );
        assert!(check_version("clang version 1").is_err());
    }
}

//! The commands of `whichroom-package`: they read and write files and run compilers. What they write is decided in the
//! library.

pub mod build;
pub mod compile;
pub mod inspect;
pub mod keys;
pub mod sizes;
pub mod toolchain;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use whichroom_package::Problem;

/// Why the program ends, and with which exit code.
#[derive(Debug)]
pub struct Failure {
    /// 1 for what failed, 2 for bad usage.
    pub code: u8,
    /// What is said about it.
    pub text: String,
}

impl Failure {
    /// It failed: exit code 1.
    pub fn run(text: impl Into<String>) -> Failure {
        Failure { code: 1, text: text.into() }
    }

    /// Bad usage: exit code 2.
    pub fn usage(text: impl Into<String>) -> Failure {
        Failure { code: 2, text: text.into() }
    }
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Failure {
        Failure::usage(error.to_string())
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Failure {
        Failure::run(problem.to_string())
    }
}

/// Writes to standard output. A closed pipe is no failure: whoever read has read enough.
pub fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::run(format!("cannot write to standard output: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Says on standard error what is being done; a lost line does no harm.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Reads a file that is not too large.
pub fn read_file(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| Failure::run(format!("cannot read {}: {error}", path.display()));
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > bytes_max {
        return Err(Failure::run(format!("{} has {length} bytes; most is {bytes_max}", path.display())));
    }
    fs::read(path).map_err(failed)
}

/// Writes a file, and the folders above it.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::run(format!("cannot write {}: {error}", path.display()));
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    fs::write(path, bytes).map_err(failed)
}

/// Writes a program that may be executed: qemu runs no other, and says nothing about it.
pub fn write_program(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    // One that runs cannot be written to, but another can take its name. What else is in the way is said by writing.
    let _ = fs::remove_file(path);
    write_file(path, bytes)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .map_err(|error| Failure::run(format!("cannot make {} executable: {error}", path.display())))
}

/// The top of the sources: the nearest folder upwards that has `files/ap` and the agent in it.
pub fn find_root() -> Result<PathBuf, Failure> {
    let here = std::env::current_dir().map_err(|error| Failure::run(format!("where am I? {error}")))?;
    let root = here
        .ancestors()
        .find(|path| path.join("files/ap").is_dir() && path.join("src/agent/Cargo.toml").is_file());
    root.map(Path::to_owned)
        .ok_or_else(|| Failure::usage("run this inside WhichRoom's sources, or give --root"))
}

/// Where packages and feeds go unless told otherwise.
pub fn default_out(root: &Path) -> PathBuf {
    root.join("target/packages")
}

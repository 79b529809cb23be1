//! A directory for one test, gone at its end; kept, and named, if the test failed.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory of its own.
#[derive(Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// Makes one below the system's directory for temporary files.
    pub fn new() -> Directory {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // The path holds a Unix socket, whose name may have about a hundred bytes: short.
        let path = std::env::temp_dir().join(format!("wr-{}-{number}", std::process::id()));
        // What an earlier process of the same id left behind.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Directory(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A path in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file in it and returns where it is.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.join(name);
        std::fs::write(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }
}

impl Default for Directory {
    fn default() -> Directory {
        Directory::new()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("files of the failed test are in {}", self.0.display());
            return;
        }
        // Nothing is lost if something is left over.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

//! Programs that a test runs: found, started with their output in a file, signalled, and never left behind.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// Waits are on conditions; this is for hangs only. The history is written once a minute: well beyond that.
pub const HANG: Duration = Duration::from_secs(180);

/// Between two looks at a condition that nothing announces.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Waits until `look` finds something; fails the test if it never does.
pub fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < HANG, "no {what} within {HANG:?}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// A program of this workspace, in the directory of the test's own executable, so that both are of one profile.
pub fn product(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap_or_else(|error| panic!("the test's own path: {error}"));
    let directory = own.parent().unwrap_or(Path::new("."));
    let directory =
        if directory.ends_with("deps") { directory.parent().unwrap_or(directory) } else { directory };
    let path = directory.join(name);
    assert!(
        path.is_file(),
        "{} is missing: run cargo build -p {name} (with --release for a benchmark) first",
        path.display()
    );
    path
}

/// The agent as it is built for an access point, or as the test's own executable was built if there is none.
pub fn router_agent() -> PathBuf {
    let router = profile_directory().with_file_name("router").join("whichroom-agent");
    if router.is_file() { router } else { product("whichroom-agent") }
}

/// A program as it is released.
pub fn released(name: &str) -> PathBuf {
    let path = profile_directory().with_file_name("release").join(name);
    assert!(path.is_file(), "{} is missing: run make release first", path.display());
    path
}

/// Where everything that is built is: `target`, or what `$CARGO_TARGET_DIR` says.
pub fn target_directory() -> PathBuf {
    profile_directory().parent().map_or_else(|| PathBuf::from("."), Path::to_owned)
}

fn profile_directory() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_else(|error| panic!("the test's own path: {error}"));
    let directory = own.parent().unwrap_or(Path::new("."));
    let directory =
        if directory.ends_with("deps") { directory.parent().unwrap_or(directory) } else { directory };
    directory.to_owned()
}

/// A running program.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program; what it prints goes to `log`, behind what is there already.
    pub fn start(program: &Path, arguments: &[impl AsRef<OsStr>], log: &Path) -> Process {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let file = File::options().create(true).append(true).open(log);
        let file = file.unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        let errors = file.try_clone().unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        Process { name, child, log: log.to_owned() }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything printed so far.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until a line with `text` is printed, and returns it.
    pub fn wait_log(&mut self, text: &str) -> String {
        let what = format!("line with {text:?} from {}", self.name);
        wait(&what, || {
            let line = self.log().lines().find(|line| line.contains(text)).map(str::to_owned);
            if line.is_none() {
                self.expect_running();
            }
            line
        })
    }

    /// Fails the test if it ended.
    pub fn expect_running(&mut self) {
        if let Ok(Some(status)) = self.child.try_wait() {
            panic!("{} ended with {status}", self.name);
        }
    }

    /// Sends a signal, such as `TERM`, `STOP` or `CONT`.
    pub fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &command]).status();
        assert!(status.is_ok_and(|status| status.success()), "{command}");
    }

    /// Asks it to stop and waits until it did.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait_exit()
    }

    /// Kills it without warning, as a power cut would.
    pub fn kill(&mut self) {
        // Fails only if it ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until it ended.
    pub fn wait_exit(&mut self) -> ExitStatus {
        let what = format!("end of {}", self.name);
        wait(&what, || self.child.try_wait().ok().flatten())
    }

    /// A figure of `/proc/<pid>/status`, such as `VmRSS`, in kB.
    pub fn memory_kb(&self, field: &str) -> u64 {
        memory_kb(&self.child.id().to_string(), field)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let from = log.char_indices().rev().nth(4_000).map_or(0, |(at, _)| at);
            eprintln!("--- last lines of {} ({})\n{}", self.name, self.log.display(), &log[from..]);
        }
    }
}

/// A figure of `/proc/<pid>/status` in kB; `pid` may be `self`.
pub fn memory_kb(pid: &str, field: &str) -> u64 {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let figure = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    figure.unwrap_or_else(|| panic!("{path} has no {field}"))
}

/// Runs a program to its end.
pub fn run(program: &Path, arguments: &[impl AsRef<OsStr>]) -> Output {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

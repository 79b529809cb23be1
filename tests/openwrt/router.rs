//! A router's file system in a directory, with the files of the package in it and stand-ins for the system's scripts.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use whichroom_tests::directory::Directory;
use whichroom_tests::process::product;

/// A configuration that is as short as can be.
pub const SHORTEST: &str = "option broker 'mqtt://192.168.1.2:1883'\noption name 'kitchen'";

/// The project's own directory.
pub fn project() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or_else(|| panic!("{} has no parent", own.display())).to_owned()
}

/// Runs a command to its end; a missing program fails the test with what to install.
pub fn run(command: &mut Command) -> Output {
    let name = command.get_program().to_string_lossy().into_owned();
    command
        .output()
        .unwrap_or_else(|error| panic!("{name}: {error}; on Debian and Ubuntu: apt-get install {name}"))
}

/// What a command of the init script did.
pub struct Ran {
    /// Its exit code.
    pub code: Option<i32>,
    /// What it printed.
    pub printed: String,
    /// What it said on standard error.
    pub said: String,
}

/// A router as of 21.02 and later, with the agent's user and with ujail. The agent is the real one.
pub struct Router {
    root: Directory,
}

impl Router {
    /// Installs the package.
    pub fn new() -> Router {
        let router = Router { root: Directory::new() };
        for tree in ["files/ap", "tests/fixtures/openwrt"] {
            let from = project().join(tree).join(".");
            let copied = run(Command::new("cp").arg("-R").args([from.as_path(), router.root.path()]));
            assert!(copied.status.success(), "{tree}: {}", String::from_utf8_lossy(&copied.stderr));
        }
        router.write(
            "etc/passwd",
            "root:x:0:0::/root:/bin/ash\nwhichroom:x:32768:32768::/var/run/whichroom:/bin/false\n",
        );
        router.write("var/run/ubus/ubus.sock", "");
        router.write_program("sbin/ujail", "#!/bin/sh\n");
        fs::create_dir_all(router.path("usr/bin")).unwrap();
        symlink(product("whichroom-agent"), router.path("usr/bin/whichroom-agent")).unwrap();
        router
    }

    /// A router with these lines in its section.
    pub fn with(options: &str) -> Router {
        let router = Router::new();
        router.configure(options);
        router
    }

    /// Where a file of the router is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The same as text.
    pub fn text_path(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Writes a file and the directories above it.
    pub fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Writes a program in the place of what is there.
    pub fn write_program(&self, name: &str, content: &str) {
        self.remove(name);
        self.write(name, content);
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Removes a file, if it is there.
    pub fn remove(&self, name: &str) {
        // It may not be there.
        let _ = fs::remove_file(self.path(name));
    }

    /// A file's text; empty if there is none.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// A file's permissions.
    pub fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.path(name)).unwrap().permissions().mode() & 0o7777
    }

    /// Names in a directory, in order; none if there is no directory.
    pub fn names(&self, name: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(name)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Writes the configuration with these lines in its section.
    pub fn configure(&self, options: &str) {
        self.write("etc/config/whichroom", &format!("config agent 'agent'\n{options}\n"));
    }

    /// Runs a command of the init script, with the records of earlier ones gone.
    pub fn init(&self, command: &str) -> Ran {
        self.init_with(command, &[])
    }

    /// The same for a command with arguments.
    pub fn init_with(&self, command: &str, arguments: &[&str]) -> Ran {
        let (common, script) = (self.path("etc/rc.common"), self.path("etc/init.d/whichroom-agent"));
        let before = [common.as_os_str(), script.as_os_str(), OsStr::new(command)];
        self.ash(before.into_iter().chain(arguments.iter().map(OsStr::new)))
    }

    /// Runs busybox ash.
    pub fn ash<'a>(&self, arguments: impl IntoIterator<Item = &'a OsStr>) -> Ran {
        self.remove("procd.log");
        self.remove("programs.log");
        let output =
            run(Command::new("busybox").arg("ash").args(arguments).env("IPKG_INSTROOT", self.root.path()));
        Ran {
            code: output.status.code(),
            printed: String::from_utf8_lossy(&output.stdout).into_owned(),
            said: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// What procd was asked for since the last command: each call with its words.
    pub fn procd(&self) -> Vec<Vec<String>> {
        let words = |line: &str| line.split('\t').map(str::to_owned).collect();
        self.read("procd.log").lines().map(words).collect()
    }

    /// Whether an instance was opened.
    pub fn started(&self) -> bool {
        self.procd().iter().any(|call| call[0] == "open_instance")
    }

    /// The words of each call of that name.
    pub fn calls(&self, name: &str) -> Vec<Vec<String>> {
        self.procd().into_iter().filter(|call| call[0] == name).map(|call| call[1..].to_vec()).collect()
    }

    /// Values of a parameter of the instance.
    pub fn parameter(&self, name: &str) -> Option<Vec<String>> {
        let set = self.calls("set_param").into_iter().find(|words| words[0] == name);
        set.map(|words| words[1..].to_vec())
    }

    /// The agent's arguments, without the program.
    pub fn arguments(&self) -> Vec<String> {
        let command = self.parameter("command").unwrap_or_else(|| panic!("no command in {:?}", self.procd()));
        assert_eq!(command[0], self.text_path("usr/bin/whichroom-agent"));
        command[1..].to_vec()
    }

    /// Calls of programs that change the system, and what was logged.
    pub fn programs(&self) -> String {
        self.read("programs.log")
    }
}

//! Compiles the agent for a router. Standard library, C library and agent are built together for size: Rust ships no
//! standard library for MIPS at all, and the one for the others carries what the agent does not need. The C library and
//! the linker are those of zig, which has them for every processor.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use whichroom_package::elf;
use whichroom_package::layout::{NAME, Variant};
use whichroom_package::targets::{Emulator, Target};

use crate::command::toolchain::{NOT_INHERITED, Toolchain, install};
use crate::command::{Failure, read_file, say};

/// The C library and linker. Of 0.17.1 both MIPS programs die at start of SIGSEGV: it has a malloc of its own in place of
/// musl's. So nothing but versions that were tried.
const ZIG: &str = "0.14.1";

/// Versions of zig that make working programs.
const ZIG_GOOD: [&str; 2] = ["0.13.0", "0.14.1"];

/// What leads cargo and zig together.
const ZIGBUILD: &str = "0.24.0";

/// The agent's profile: opt-level z, fat LTO, one codegen unit, panic abort, stripped.
const PROFILE: &str = "router";

/// Flags of the compiler for every router: static, at a fixed address and without unwind tables and the library that
/// reads them, which a program that aborts on panic never does. Each makes it smaller. The path is from the top of the
/// sources, where the linker runs: a full one would be part of the bytes.
const FLAGS: [&str; 5] = [
    "-Clink-self-contained=no",
    "-Crelocation-model=static",
    "-Ctarget-feature=+crt-static",
    "-Cforce-unwind-tables=no",
    "-Clink-arg=-Wl,-T,src/package/left-out.ld",
];

/// Everything needed to compile for routers.
pub struct Compiler {
    toolchain: Toolchain,
    root: PathBuf,
    tools: PathBuf,
    target_dir: PathBuf,
    epoch_s: u64,
}

impl Compiler {
    /// Gets compiler and tools together, installing what is missing, the tools into the output folder.
    pub fn find(root: &Path, out: &Path, epoch_s: u64) -> Result<Compiler, Failure> {
        let toolchain = Toolchain::find()?;
        say(&format!("compiling with {toolchain}"));
        let failed = |error: std::io::Error| Failure::run(format!("cannot use {}: {error}", out.display()));
        std::fs::create_dir_all(out).map_err(failed)?;
        let out = out.canonicalize().map_err(failed)?;
        let root = root.canonicalize().map_err(failed)?;
        let tools = out.join("tools");
        let target_dir = out.join("cargo");
        let compiler = Compiler { toolchain, root, tools, target_dir, epoch_s };
        compiler.install_tools()?;
        Ok(compiler)
    }

    fn bin(&self, program: &str) -> PathBuf {
        self.tools.join("bin").join(program)
    }

    /// zig and cargo-zigbuild come as Python packages, into an environment of their own.
    fn install_tools(&self) -> Result<(), Failure> {
        if self.zig_version().is_none() || !self.bin("cargo-zigbuild").is_file() {
            say(&format!("installing zig {ZIG} and cargo-zigbuild {ZIGBUILD} into {}", self.tools.display()));
            if !self.make_environment() && !(install(&["python3-venv"]) && self.make_environment()) {
                return Err(Failure::run("python3 -m venv fails; apt-get install python3-venv"));
            }
            let packages = [format!("ziglang=={ZIG}"), format!("cargo-zigbuild=={ZIGBUILD}")];
            run(Command::new(self.bin("pip"))
                .args(["install", "-q", "--disable-pip-version-check"])
                .args(packages))?;
        }
        match self.zig_version() {
            Some(version) if ZIG_GOOD.contains(&version.as_str()) => Ok(()),
            Some(version) => Err(Failure::run(format!(
                "zig {version} is not used: programs for MIPS that 0.17.1 makes die at start, and only {} were tried. \
                 Remove {} to have {ZIG} installed",
                ZIG_GOOD.join(" and "),
                self.tools.display()
            ))),
            None => Err(Failure::run(format!("zig does not run in {}", self.tools.display()))),
        }
    }

    fn make_environment(&self) -> bool {
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv"]).arg(&self.tools).stdout(Stdio::null()).stderr(Stdio::null());
        venv.status().is_ok_and(|status| status.success())
    }

    fn zig_version(&self) -> Option<String> {
        let output = Command::new(self.bin("python3")).args(["-m", "ziglang", "version"]).output().ok()?;
        let version = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| version.trim().to_owned())
    }

    /// Compiles for a target and tries the program, where qemu is there to run it.
    pub fn compile(&self, target: &Target, variant: Variant) -> Result<Vec<u8>, Failure> {
        say(&format!("compiling {} for {}", variant.package(), target.triple));
        let mut cargo = Command::new(self.bin("cargo-zigbuild"));
        for name in NOT_INHERITED {
            cargo.env_remove(name);
        }
        run(cargo
            .current_dir(&self.root)
            .env("PATH", self.path())
            .env("CARGO", &self.toolchain.cargo)
            .env("RUSTC", &self.toolchain.rustc)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_ENCODED_RUSTFLAGS", self.rust_flags(target).join("\u{1f}"))
            .env("CARGO_ZIGBUILD_PYTHON_PATH", self.bin("python3"))
            // An agent with TLS knows when it was built: that is part of its bytes.
            .env("SOURCE_DATE_EPOCH", self.epoch_s.to_string())
            .args(["zigbuild", "--locked", "--profile", PROFILE, "--package", NAME, "--bin", NAME])
            .arg(format!("--features={}", variant.features().join(",")))
            .args(["-Zbuild-std=std,panic_abort", "-Zbuild-std-features=optimize_for_size"])
            .args(["--target", target.triple])
            .arg("--target-dir")
            .arg(&self.target_dir))?;
        let path = self.target_dir.join(target.triple).join(PROFILE).join(NAME);
        try_program(&path, target.emulator)?;
        read_file(&path, elf::PROGRAM_MAX as u64)
    }

    /// The tools first, then the toolchain's own programs.
    fn path(&self) -> OsString {
        let mut folders = vec![self.tools.join("bin")];
        folders.extend(self.toolchain.rustc.parent().map(Path::to_owned));
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        folders.extend(std::env::split_paths(&inherited));
        // A folder with a colon in its name cannot be in PATH: then what was there has to do.
        std::env::join_paths(folders).unwrap_or(inherited)
    }

    /// The flags, which also keep this machine's paths out: panic messages would carry them, and the bytes would differ
    /// from those of another machine.
    fn rust_flags(&self, target: &Target) -> Vec<String> {
        let mut flags: Vec<String> = FLAGS.iter().chain(target.flags).map(|&flag| flag.to_owned()).collect();
        let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
        let cargo_home = cargo_home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
        let mut remap = |from: &Path, to| flags.push(format!("--remap-path-prefix={}={to}", from.display()));
        remap(&self.root, "/whichroom");
        remap(&self.target_dir, "/target");
        if let Some(cargo_home) = cargo_home {
            remap(&cargo_home, "/cargo");
        }
        remap(&self.toolchain.sysroot, "/rust");
        flags
    }
}

/// Runs the program for its version. What dies at start would die on every router.
fn try_program(path: &Path, emulator: Emulator) -> Result<(), Failure> {
    let found =
        [format!("{}-static", emulator.program), emulator.program.to_owned()].into_iter().find(|program| {
            Command::new(program)
                .arg("--version")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok()
        });
    let Some(program) = found else {
        say(&format!("not tried: {} is not here (apt-get install qemu-user-static)", emulator.program));
        return Ok(());
    };
    let output = Command::new(&program).args(["-cpu", emulator.cpu]).arg(path).arg("--version").output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(Failure::run(format!(
            "{program} -cpu {} {} --version ends with {}: {}",
            emulator.cpu,
            path.display(),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        ))),
        Err(error) => Err(Failure::run(format!("cannot run {program}: {error}"))),
    }
}

fn run(command: &mut Command) -> Result<(), Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    match command.stdin(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::run(format!("{name} ends with {status}"))),
        Err(error) => Err(Failure::run(format!("cannot run {name}: {error}"))),
    }
}

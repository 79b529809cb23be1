//! `Cross.toml`, read by `cross` itself: what it asks of a container engine for each target. No image is pulled, and
//! nothing is compiled: the engine is a stand-in that records.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use whichroom_tests::directory::Directory;

/// Targets whose standard library is there to download, and those that compile theirs.
const WITH_LIBRARY: [&str; 3] =
    ["aarch64-unknown-linux-musl", "armv7-unknown-linux-musleabihf", "x86_64-unknown-linux-musl"];
const WITHOUT_LIBRARY: [&str; 2] = ["mipsel-unknown-linux-musl", "mips-unknown-linux-musl"];

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(env!("CARGO_MANIFEST_DIR")))
}

/// Where `cargo install` puts it, which may not be in the path.
fn cross() -> PathBuf {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo"))).unwrap_or_default();
    let path = home.join("bin/cross");
    assert!(path.is_file(), "{}: cargo install --locked cross --version 0.2.5, or make deps", path.display());
    path
}

/// What the engine was asked.
struct Asked {
    /// Each call's arguments.
    calls: Vec<Vec<String>>,
    dockerfile: String,
    target_directory: String,
}

impl Asked {
    /// The arguments of the only call that begins with a word.
    fn call(&self, word: &str) -> Option<&[String]> {
        let mut found = self.calls.iter().filter(|call| call.first().is_some_and(|first| first == word));
        let call = found.next();
        assert!(found.next().is_none(), "{word} twice: {:?}", self.calls);
        call.map(Vec::as_slice)
    }

    fn run(&self) -> &[String] {
        self.call("run").unwrap_or_else(|| panic!("no container was run: {:?}", self.calls))
    }
}

/// The values of an option that may be there several times.
fn values<'a>(call: &'a [String], option: &str) -> Vec<&'a str> {
    let pairs = call.iter().zip(call.iter().skip(1));
    pairs.filter(|(name, _)| *name == option).map(|(_, value)| value.as_str()).collect()
}

fn build(target: &str) -> Asked {
    let directory = Directory::new();
    let fixtures = project().join("tests/fixtures/cross");
    let log = directory.join("engine");
    let path = format!("{}:{}", fixtures.display(), std::env::var("PATH").unwrap_or_default());
    let target_directory = directory.join("target").display().to_string();
    let output = Command::new(cross())
        .args(["build", "--profile", "router", "-p", "whichroom-agent", "--target", target])
        .current_dir(project())
        .env("PATH", path)
        .env("CROSS_CONTAINER_ENGINE", fixtures.join("engine"))
        .env("CROSS_ENGINE_LOG", &log)
        .env("CARGO_TARGET_DIR", &target_directory)
        .env("XARGO_HOME", directory.join("xargo"))
        // What the test's own cargo was started with is none of cross's.
        .env_remove("RUSTUP_TOOLCHAIN")
        .output()
        .unwrap_or_else(|error| panic!("cross: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{target}: {said}");
    assert!(!said.contains("unused") && !said.contains("warning"), "{target}: {said}");
    let text = fs::read_to_string(&log).unwrap_or_else(|error| panic!("the engine was not asked: {error}"));
    let calls = text.split("---\n").map(|call| call.lines().map(str::to_owned).collect()).collect();
    let dockerfile = fs::read_to_string(directory.join("engine.dockerfile")).unwrap_or_default();
    Asked { calls, dockerfile, target_directory }
}

/// The sources are where cargo looks, the toolchain is read-only, the result lands outside.
fn assert_mounts(asked: &Asked) {
    let run = asked.run();
    let mounts = values(run, "-v");
    let expected =
        [format!("{}:/project:z", project().display()), format!("{}:/target:z", asked.target_directory)];
    for mount in expected {
        assert!(mounts.contains(&mount.as_str()), "{mount} is not in {mounts:?}");
    }
    assert!(mounts.iter().any(|mount| mount.ends_with(":/rust:z,ro")), "{mounts:?}");
    assert!(mounts.iter().any(|mount| mount.ends_with(":/cargo:z")), "{mounts:?}");
    assert_eq!(values(run, "-w"), ["/project"]);
    assert!(run.iter().any(|argument| argument == "--rm"), "{run:?}");
}

fn assert_command(asked: &Asked, target: &str) {
    let command = asked.run().last().map(String::as_str);
    let expected =
        format!("PATH=$PATH:/rust/bin cargo build --profile router -p whichroom-agent --target {target}");
    assert_eq!(command, Some(expected.as_str()));
}

#[test]
fn a_target_with_a_library_takes_the_image_as_it_is() {
    for target in WITH_LIBRARY {
        let asked = build(target);
        assert_mounts(&asked);
        assert_command(&asked, target);
        let image = format!("ghcr.io/cross-rs/{target}:0.2.5");
        assert!(asked.run().contains(&image), "{image} is not in {:?}", asked.run());
        assert_eq!(asked.call("build"), None, "no image of our own");
        let environment = values(asked.run(), "-e");
        assert!(!environment.iter().any(|variable| variable.contains("BUILD_STD")), "{environment:?}");
    }
}

#[test]
fn mips_compiles_its_library_and_has_an_image_with_what_that_links() {
    for target in WITHOUT_LIBRARY {
        let asked = build(target);
        assert_mounts(&asked);
        assert_command(&asked, target);
        let variable = target.replace('-', "_").to_uppercase();
        let environment = values(asked.run(), "-e");
        for expected in [
            "RUSTC_BOOTSTRAP=1".to_owned(),
            "CARGO_UNSTABLE_BUILD_STD=std,panic_abort".to_owned(),
            "CARGO_UNSTABLE_BUILD_STD_FEATURES=optimize_for_size".to_owned(),
            format!(
                "CARGO_TARGET_{variable}_RUSTFLAGS=-Ctarget-feature=+crt-static -Crelocation-model=static -Clink-self-contained=no"
            ),
        ] {
            assert!(environment.contains(&expected.as_str()), "{expected} is not in {environment:?}");
        }
        let Some(build) = asked.call("build") else { panic!("no image was built: {:?}", asked.calls) };
        let tag = values(build, "--tag");
        assert!(tag.first().is_some_and(|tag| asked.run().iter().any(|argument| argument == tag)), "{tag:?}");
        let command = r#"CROSS_CMD=echo 'GROUP ( -lgcc_eh -lgcc -lc )' >"$CROSS_SYSROOT/lib/libunwind.a""#;
        assert!(values(build, "--build-arg").contains(&command), "{build:?}");
        let base = format!("FROM ghcr.io/cross-rs/{target}:0.2.5");
        assert!(asked.dockerfile.contains(&base), "{}", asked.dockerfile);
        assert!(asked.dockerfile.contains("CROSS_CMD"), "{}", asked.dockerfile);
    }
}

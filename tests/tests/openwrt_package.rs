//! The package for the OpenWrt SDK, and the shell scripts: read by the programs they are for.

#![expect(clippy::unwrap_used, reason = "a test that is surprised fails, and says where")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use whichroom_tests::directory::Directory;

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn run(command: &mut Command) -> Output {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output();
    output.unwrap_or_else(|error| panic!("{name}: {error}; on Debian and Ubuntu: apt-get install {name}"))
}

/// Regular files below a directory: path in it, content and permissions.
fn files(root: &Path) -> BTreeMap<String, (Vec<u8>, u32)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(root).unwrap().display().to_string();
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            found.insert(name, (fs::read(&path).unwrap(), mode));
        }
    }
    found
}

/// Runs make in the package's directory with a stand-in for the SDK around it.
fn make(sdk: &Directory, target: &str, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new("make");
    command.arg("-C").arg(project().join("openwrt-package/whichroom-agent")).args(["-s", target]);
    command.arg(format!("TOPDIR={}", project().join("tests/fixtures/openwrt/sdk").display()));
    command.arg(format!("BUILD_DIR={}", sdk.path().display()));
    command.args(variables.iter().map(|(name, value)| format!("{name}={value}")));
    // Its programs first: cargo is one that writes down what it is asked for.
    let path = format!("{}:{}", sdk.join("bin").display(), std::env::var("PATH").unwrap_or_default());
    command.env("PATH", path).env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
    let output = run(&mut command);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "make {target}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn version() -> String {
    let manifest: toml::Table = fs::read_to_string(project().join("Cargo.toml")).unwrap().parse().unwrap();
    manifest["workspace"]["package"]["version"].as_str().unwrap().to_owned()
}

#[test]
fn the_sdk_is_told_what_the_package_is() {
    let shown = make(&Directory::new(), "show", &[]);
    for line in [
        "PKG_NAME=whichroom-agent".to_owned(),
        format!("PKG_VERSION={}", version()),
        "PKG_LICENSE=MIT".to_owned(),
        "PKG_BUILD_DEPENDS=rust/host".to_owned(),
        "PKG_BUILD_PARALLEL=1".to_owned(),
        "DEPENDS=@(aarch64||arm||mips||mipsel||x86_64)".to_owned(),
        "USERID=whichroom:whichroom".to_owned(),
        "conffiles=/etc/config/whichroom".to_owned(),
        "DEFAULT_VARIANT=1".to_owned(),
        "CONFLICTS=whichroom-agent-tls".to_owned(),
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}:\n{shown}");
    }
}

/// How the SDK builds the package with TLS: as a variant, in a folder of its own.
const TLS: [(&str, &str); 2] = [("PACKAGE", "whichroom-agent-tls"), ("BUILD_VARIANT", "tls")];

#[test]
fn the_sdk_is_told_of_the_package_with_tls() {
    let shown = make(&Directory::new(), "show", &TLS);
    for line in [
        "TITLE=WhichRoom agent with TLS",
        "DEPENDS=@(aarch64||arm||mips||mipsel||x86_64)",
        "USERID=whichroom:whichroom",
        "conffiles=/etc/config/whichroom",
        "VARIANT=tls",
        "DEFAULT_VARIANT=",
        "PROVIDES=whichroom-agent",
        // The other names it: both would be a circle.
        "CONFLICTS=",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}:\n{shown}");
    }

    let sdk = Directory::new();
    let asked = compile_asks(&sdk, &TLS);
    let build = sdk.join(&format!("whichroom-agent-tls/whichroom-agent-{}", version()));
    let expected = format!(
        "mipsel-unknown-linux-musl install --profile router --features tls --root {0}/ipkg-install --path {0}/src/agent --locked",
        build.display()
    );
    assert_eq!(asked, expected);

    let binary = build.join("ipkg-install/bin/whichroom-agent");
    fs::create_dir_all(binary.parent().unwrap()).unwrap();
    fs::write(&binary, "the agent with TLS").unwrap();
    let root = sdk.join("root");
    make(&sdk, "install", &[&TLS[..], &[("DESTINATION", &root.display().to_string())]].concat());
    let installed = files(&root);
    assert_eq!(installed["usr/bin/whichroom-agent"].0, b"the agent with TLS");
    assert_eq!(installed.len(), files(&project().join("files/ap")).len() + 1, "{:?}", installed.keys());
}

/// What cargo is asked for, by a stand-in that writes it down.
fn compile_asks(sdk: &Directory, variables: &[(&str, &str)]) -> String {
    fs::create_dir_all(sdk.join("bin")).unwrap();
    let cargo = sdk.write("bin/cargo", "#!/bin/sh\necho \"$CARGO_BUILD_TARGET\" \"$@\"\n");
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    make(sdk, "compile", variables).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_sdk_installs_the_same_files_for_those_they_are_for() {
    let sdk = Directory::new();
    let binary = sdk.join(&format!("whichroom-agent-{}/ipkg-install/bin/whichroom-agent", version()));
    fs::create_dir_all(binary.parent().unwrap()).unwrap();
    fs::write(&binary, "the agent").unwrap();
    let root = sdk.join("root");
    make(&sdk, "install", &[("DESTINATION", &root.display().to_string())]);

    let mut installed = files(&root);
    assert_eq!(installed.remove("usr/bin/whichroom-agent"), Some((b"the agent".to_vec(), 0o755)));
    let source = files(&project().join("files/ap"));
    let names = |files: &BTreeMap<_, _>| files.keys().cloned().collect::<Vec<String>>();
    assert_eq!(names(&installed), names(&source));
    for (name, (content, mode)) in installed {
        assert_eq!(content, source[&name].0, "{name}");
        let expected = match name.split_once('/') {
            // The password is in it.
            Some(("etc", rest)) if rest.starts_with("config/") => 0o600,
            Some(("etc", _)) => 0o755,
            _ => 0o644,
        };
        assert_eq!(mode, expected, "{name}");
    }
}

#[test]
fn the_sdk_compiles_the_agent_alone_with_its_own_profile() {
    let sdk = Directory::new();
    let asked = compile_asks(&sdk, &[]);
    let build = sdk.join(&format!("whichroom-agent-{}", version()));
    let expected = format!(
        "mipsel-unknown-linux-musl install --profile router --root {0}/ipkg-install --path {0}/src/agent --locked",
        build.display()
    );
    assert_eq!(asked, expected);

    // What was copied is a workspace that cargo can read, and every crate of it is there.
    let mut metadata = Command::new(env!("CARGO"));
    metadata.args([
        "metadata",
        "--no-deps",
        "--offline",
        "--locked",
        "--format-version=1",
        "--manifest-path",
    ]);
    let output = run(metadata.arg(build.join("src/agent/Cargo.toml")));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let debug = make(&sdk, "compile", &[("CONFIG_DEBUG", "y")]);
    assert!(debug.contains("--profile dev "), "{debug}");
}

#[test]
fn shellcheck_has_nothing_to_say() {
    let scripts = [
        "files/ap/etc/init.d/whichroom-agent",
        "files/ap/etc/uci-defaults/95-whichroom-agent",
        "src/aggregator/src/web/assets/install.sh",
        "tests/fixtures/cross/engine",
        "tests/fixtures/cross/rustup",
        "tests/fixtures/openwrt/bin/manager",
        "tests/fixtures/openwrt/bin/pidof",
        "tests/fixtures/openwrt/bin/record",
        "tests/fixtures/openwrt/bin/service",
        "tests/fixtures/openwrt/bin/uci",
        "tests/fixtures/openwrt/bin/wget",
        "tests/fixtures/openwrt/etc/rc.common",
        "tests/fixtures/openwrt/lib/functions.sh",
        "tests/fixtures/openwrt/lib/functions/network.sh",
        "tests/fixtures/openwrt/lib/functions/procd.sh",
    ];
    // Its dialect of busybox's shell: POSIX with `local`.
    let output = run(Command::new("shellcheck").args(["--shell=dash"]).args(scripts).current_dir(project()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    for script in &scripts[..2] {
        let mode = fs::metadata(project().join(script)).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{script} cannot be executed");
    }
}

#[test]
fn an_upgrade_keeps_what_a_person_wrote() {
    let keep = fs::read_to_string(project().join("files/ap/lib/upgrade/keep.d/whichroom-agent")).unwrap();
    // The section, what the installer puts beside it, and a file that `option credentials` may name.
    for kept in ["/etc/config/whichroom", "/etc/whichroom/", "/etc/whichroom.credentials"] {
        assert!(keep.lines().any(|line| line == kept), "an upgrade loses {kept}: {keep}");
    }
    // The feed, too; opkg keeps its own feeds and keys, and apk only the list that is called customfeeds.
    let ours = [
        "/etc/whichroom",
        "/etc/config/whichroom",
        "/etc/apk/keys/whichroom",
        "/etc/apk/repositories.d/whichroom",
    ];
    assert!(keep.lines().all(|line| ours.iter().any(|ours| line.starts_with(ours))), "{keep}");
}

//! The program as a person uses it: packs a program for routers, inspects what it wrote, and says what is wrong.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// A program for big-endian MIPS that is static and stripped, as far as a packer can see: one segment of eleven bytes.
fn mips_program() -> Vec<u8> {
    let mut elf = b"\x7fELF\x01\x02\x01".to_vec();
    elf.resize(84, 0);
    elf[19] = 8;
    elf[0x1f] = 52;
    elf[0x2b] = 32;
    elf[0x2d] = 1;
    elf[52 + 3] = 1;
    elf[52 + 7] = 84;
    elf[52 + 19] = 11;
    elf.extend_from_slice(b"the program");
    elf
}

fn whichroom_package(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whichroom-package"));
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR"))).env_remove("SOURCE_DATE_EPOCH").args(args);
    command.output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn fails_with(output: &Output, code: i32, words: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(text.contains(words), "{text:?} does not say {words:?}");
}

/// Packs the program for mips into a folder and returns what was printed.
fn build(folder: &Path) -> String {
    build_package(folder, "whichroom-agent")
}

fn build_package(folder: &Path, package: &str) -> String {
    let program = folder.join("program");
    fs::write(&program, mips_program()).unwrap();
    stdout(&whichroom_package(&[
        "build",
        "--target",
        "mips_24kc",
        "--package",
        package,
        "--program",
        program.to_str().unwrap(),
        "--out",
        folder.join("out").to_str().unwrap(),
        "--keys",
        folder.join("keys").to_str().unwrap(),
        "--epoch",
        "1760000000",
        "--url",
        "http://192.168.1.2:8080/feed/",
    ]))
}

fn all_files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(all_files(&path));
        } else {
            files.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}

#[test]
fn a_feed_is_built_inspected_and_measured() {
    let folder = tempfile::tempdir().unwrap();
    let printed = build(folder.path());
    assert!(
        printed.contains("echo \"src/gz whichroom http://192.168.1.2:8080/feed/ipk/$DISTRIB_ARCH\""),
        "{printed}"
    );
    assert!(printed.contains("http://192.168.1.2:8080/feed/apk/$DISTRIB_ARCH/packages.adb"), "{printed}");

    let feed = folder.path().join("out/feed");
    let path = |name: &str| feed.join(name).display().to_string();
    let version = concat!(env!("CARGO_PKG_VERSION"), "-r1");
    let ipk = path(&format!("ipk/mips_24kc/whichroom-agent_{version}_mips_24kc.ipk"));
    let apk = path(&format!("apk/mips_24kc/whichroom-agent-{version}.apk"));
    let listed = stdout(&whichroom_package(&["inspect", &ipk, &apk]));
    assert_eq!(listed.matches("file\t0755\t95\t/usr/bin/whichroom-agent\n").count(), 2, "{listed}");
    assert_eq!(
        listed.matches("\t/etc/config/whichroom\n").count(),
        3,
        "in both packages, and a conffile: {listed}"
    );

    let index = ["inspect", "--key", &path("whichroom-feed.pub"), &path("ipk/mips_24kc/Packages")];
    assert!(stdout(&whichroom_package(&index)).contains("signed by\t"));
    let index = ["inspect", "--key", &path("whichroom-feed.pub"), &path("ipk/mips_24kc/Packages.gz")];
    assert!(stdout(&whichroom_package(&index)).contains("signed by\t"), "what it unpacks to is signed");
    let index = ["inspect", "--key", &path("whichroom-feed.pem"), &path("apk/mips_24kc/packages.adb")];
    assert!(stdout(&whichroom_package(&index)).contains("signed by\t"));

    let sizes = stdout(&whichroom_package(&["sizes", "--out", folder.path().join("out").to_str().unwrap()]));
    let ipk_size = fs::metadata(&ipk).unwrap().len();
    assert!(sizes.starts_with("mips_24kc\twhichroom-agent\t95\n"), "{sizes}");
    assert!(sizes.contains(&format!("mips_24kc\twhichroom-agent.ipk\t{ipk_size}\n")), "{sizes}");
    let report =
        stdout(&whichroom_package(&["report", "--out", folder.path().join("out").to_str().unwrap()]));
    assert!(report.contains("mips_24kc\twhichroom-agent\t95\t600000\tok\n"), "{report}");
}

/// It is another package with the same program, and no size is asked of its files.
#[test]
fn the_package_with_tls_is_built_and_measured() {
    let folder = tempfile::tempdir().unwrap();
    build_package(folder.path(), "whichroom-agent-tls");
    let feed = folder.path().join("out/feed");
    let version = concat!(env!("CARGO_PKG_VERSION"), "-r1");
    let ipk = feed.join(format!("ipk/mips_24kc/whichroom-agent-tls_{version}_mips_24kc.ipk"));
    let apk = feed.join(format!("apk/mips_24kc/whichroom-agent-tls-{version}.apk"));
    let listed = stdout(&whichroom_package(&["inspect", ipk.to_str().unwrap(), apk.to_str().unwrap()]));
    assert_eq!(listed.matches("file\t0755\t95\t/usr/bin/whichroom-agent\n").count(), 2, "{listed}");
    let report =
        stdout(&whichroom_package(&["report", "--out", folder.path().join("out").to_str().unwrap()]));
    let bytes = |path: &Path| fs::metadata(path).unwrap().len();
    let expected = format!(
        "mips_24kc\twhichroom-agent-tls\t95\t1300000\tok\n\
         mips_24kc\twhichroom-agent-tls.ipk\t{}\t-\tok\n\
         mips_24kc\twhichroom-agent-tls.apk\t{}\t-\tok\n",
        bytes(&ipk),
        bytes(&apk)
    );
    assert_eq!(report, expected);
    let out = folder.path().join("out").display().to_string();
    let table = stdout(&whichroom_package(&["report", "--table", "--out", &out]));
    let kilobytes = |path: &Path| (bytes(path) + 500) / 1_000;
    let line = format!("| mips | - | - | - | 0 kB | {} kB | {} kB |", kilobytes(&ipk), kilobytes(&apk));
    assert!(table.lines().any(|found| found == line), "{line}:\n{table}");
}

#[test]
fn the_same_input_and_keys_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    build(folder.path());
    let first = all_files(&folder.path().join("out/feed"));
    build(folder.path());
    assert_eq!(first, all_files(&folder.path().join("out/feed")));
}

#[test]
fn a_damaged_package_has_exit_code_1_and_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    build(folder.path());
    let feed = folder.path().join("out/feed");
    for (name, mut bytes) in all_files(&feed.join("apk")).into_iter().chain(all_files(&feed.join("ipk"))) {
        if name.ends_with(".apk") || name.ends_with(".ipk") {
            bytes.truncate(bytes.len() - 5);
            fs::write(&name, bytes).unwrap();
            fails_with(&whichroom_package(&["inspect", &name]), 1, "damaged");
        }
    }
    let index = feed.join("ipk/mips_24kc/Packages");
    fails_with(
        &whichroom_package(&["inspect", index.to_str().unwrap()]),
        1,
        "another one than the index lists",
    );
}

#[test]
fn a_program_of_another_processor_is_not_packed() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    fs::write(&program, mips_program()).unwrap();
    let out = folder.path().join("out");
    let (program, out) = (program.to_str().unwrap(), out.to_str().unwrap());
    let wrong = ["build", "--target", "aarch64", "--package", "whichroom-agent", "--program", program];
    fails_with(
        &whichroom_package(&[&wrong[..], &["--out", out, "--epoch", "0"]].concat()),
        1,
        "aarch64-unknown-linux-musl: the program is not for this processor",
    );
}

#[test]
fn bad_usage_has_exit_code_2() {
    fails_with(&whichroom_package(&[]), 2, "whichroom-package build");
    fails_with(&whichroom_package(&["bild"]), 2, "there is no command \"bild\"");
    fails_with(&whichroom_package(&["build", "--target", "arm_cortex-a9"]), 2, "there are aarch64, armv7");
    fails_with(&whichroom_package(&["build", "--package", "foo"]), 2, "whichroom-agent, whichroom-agent-tls");
    fails_with(&whichroom_package(&["build", "--program", "x"]), 2, "--target");
    fails_with(&whichroom_package(&["build", "--target", "mips", "--program", "x"]), 2, "--package");
    fails_with(&whichroom_package(&["inspect"]), 2, "FILE");
    fails_with(&whichroom_package(&["inspect", "/nowhere"]), 1, "/nowhere");
    assert!(stdout(&whichroom_package(&["build", "--help"])).contains("--epoch"));
}

/// The lines go through the shell of a router: they have to be shell.
#[test]
fn the_lines_to_paste_are_shell() {
    let lines = stdout(&whichroom_package(&["lines", "http://192.168.1.2:8080/feed"]));
    let script: String = lines
        .lines()
        .filter(|line| !line.starts_with("On OpenWrt"))
        .map(|line| format!("{line}\n"))
        .collect();
    let status = Command::new("sh").args(["-n", "-c", &script]).status().unwrap();
    assert!(status.success());
    assert_eq!(script.matches("whichroom-agent").count(), 2);
}

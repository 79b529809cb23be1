//! One pasted line installs the agent: the installer run by busybox ash, with stand-ins for OpenWrt's programs that
//! record what they are asked, and the feed as a real `whichroom run` serves it.

#![expect(clippy::unwrap_used, reason = "a test that is surprised fails, and says where")]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use whichroom_tests::directory::Directory;
use whichroom_tests::http::{address_in, ask, status};
use whichroom_tests::process::{Process, product, wait};

const PASSWORD: &str = "it's $ecret\\n\"; rm -rf";
const FEED: &str = "server:8738/feed";
const LINE: [&str; 8] =
    ["--broker", "mqtt://192.168.1.2:1883", "--site", "home", "--name", "kitchen", "--user", "ap-kitchen"];

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// What a run of the installer did.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    said: String,
}

impl Ran {
    #[track_caller]
    fn succeeded(&self) {
        assert_eq!(self.code, Some(0), "{}", self.said);
    }

    #[track_caller]
    fn failed(&self, code: i32, part: &str) {
        assert_eq!(self.code, Some(code), "{}", self.said);
        assert!(self.said.contains(part), "{part:?} is not in {}", self.said);
    }
}

/// An access point's file system, fresh from the factory, with one of the two package managers.
struct AccessPoint {
    root: Directory,
    manager: &'static str,
}

impl AccessPoint {
    fn new(manager: &'static str) -> AccessPoint {
        let ap = AccessPoint { root: Directory::new(), manager };
        for (from, to) in [("tests/fixtures/openwrt", ""), ("files/ap", "package")] {
            let to = ap.root.join(to);
            fs::create_dir_all(&to).unwrap();
            let copied = Command::new("cp").arg("-R").arg(project().join(from).join(".")).arg(&to).status();
            assert!(copied.unwrap().success(), "{from}");
        }
        for folder in ["tmp", "etc/init.d", "etc/opkg", "usr/bin", "sbin"] {
            fs::create_dir_all(ap.root.join(folder)).unwrap();
        }
        symlink(product("whichroom-agent"), ap.root.join("usr/bin/whichroom-agent")).unwrap();
        ap.write("etc/passwd", "root:x:0:0::/root:/bin/ash\nwhichroom:x:32768:32768::/:/bin/false\n");
        ap.write("etc/openwrt_release", "DISTRIB_RELEASE='24.10.2'\nDISTRIB_ARCH='mipsel_24kc'\n");
        ap.stand_in(manager, "manager");
        ap.stand_in("opkg-key", "record");
        ap.stand_in("sleep", "record");
        ap.write_feed(&format!("web/{FEED}"));
        ap
    }

    /// A made-up feed for one architecture.
    fn write_feed(&self, folder: &str) {
        for (name, text) in FEED_FILES {
            self.write(&format!("{folder}/{name}"), text);
        }
    }

    fn stand_in(&self, name: &str, for_it: &str) {
        let path = self.root.join("bin").join(name);
        fs::copy(self.root.join("bin").join(for_it), path).unwrap();
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.root.join(name)).unwrap_or_default()
    }

    /// Real downloads, by busybox's wget, and its shell for `sh`.
    fn downloads_really(&self) {
        for (name, applet) in [("wget", "wget"), ("sh", "ash")] {
            let path = self.root.join("bin").join(name);
            fs::write(&path, format!("#!/bin/busybox ash\nexec busybox {applet} \"$@\"\n")).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    /// What was called since the last run, each with its arguments.
    fn calls(&self) -> String {
        self.read("calls.log")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        for log in ["calls.log", "procd.log", "uci.batch"] {
            let _ = fs::remove_file(self.root.join(log));
        }
        // Of a session of its own, so that no terminal can be asked.
        let mut command = Command::new("setsid");
        let path = format!("{}:{}", self.root.join("bin").display(), std::env::var("PATH").unwrap());
        command.args(["-w", "busybox", "ash"]).args(arguments);
        command.env("PATH", path).env("IPKG_INSTROOT", self.root.path()).env_remove("WHICHROOM_PASSWORD");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Pipes the installer into a shell, as the line does.
    fn paste(&self, arguments: &[&str], password: Option<&str>) -> Ran {
        let script = fs::read_to_string(project().join("src/aggregator/src/web/assets/install.sh")).unwrap();
        let script = script.replace("@FEED@", &format!("http://{FEED}"));
        let mut command = self.command(&["-s", "--"]);
        command.args(arguments).envs(password.map(|password| ("WHICHROOM_PASSWORD", password)));
        ran(command, &script)
    }

    /// The words that procd was asked to run.
    fn started_with(&self) -> String {
        let procd = self.read("procd.log");
        procd.lines().find(|line| line.starts_with("set_param\tcommand")).unwrap_or_default().to_owned()
    }
}

const FEED_FILES: [(&str, &str); 8] = [
    ("whichroom-feed.pub", "untrusted comment: a key\n"),
    ("whichroom-feed.pem", "-----BEGIN PUBLIC KEY-----\n"),
    ("ipk/mipsel_24kc/Packages", "Package: whichroom-agent\n"),
    ("ipk/mipsel_24kc/Packages.gz", "\u{1f}"),
    ("ipk/mipsel_24kc/Packages.sig", "untrusted comment: signed\n"),
    ("ipk/mipsel_24kc/whichroom-agent_9.1.0-r1_mipsel_24kc.ipk", "an ipk"),
    ("apk/mipsel_24kc/packages.adb", "ADBd"),
    ("apk/mipsel_24kc/whichroom-agent-9.1.0-r1.apk", "an apk"),
];

fn ran(mut command: Command, input: &str) -> Ran {
    let mut child =
        command.spawn().unwrap_or_else(|error| panic!("{error}; apt-get install busybox util-linux"));
    // The installer may refuse before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    Ran { code: output.status.code(), said: String::from_utf8_lossy(&said).into_owned() }
}

#[test]
fn one_line_installs_configures_and_starts_with_either_package_manager() {
    for manager in ["opkg", "apk"] {
        let ap = AccessPoint::new(manager);
        let ran = ap.paste(&LINE, Some(PASSWORD));
        ran.succeeded();
        let calls = ap.calls();
        let install = match manager {
            "opkg" => "opkg update\nopkg install whichroom-agent\n",
            _ => "apk update\napk add --upgrade whichroom-agent\n",
        };
        assert!(calls.contains(install), "{calls}");
        // Also after the next boot.
        assert!(calls.contains("service enable\n"), "{calls}");
        let command = ap.started_with();
        for part in ["--broker=mqtt://192.168.1.2:1883", "--site=home", "--name=kitchen", "--credentials="] {
            assert!(command.contains(part), "{part} is not in {command}\n{}", ran.said);
        }
        // The password reached the file the agent reads, whatever characters it has.
        let credentials = ap.read("var/run/whichroom/credentials");
        assert_eq!(credentials, format!("username=ap-kitchen\npassword={PASSWORD}\n"));
        let mode = fs::metadata(ap.root.join("etc/config/whichroom")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn key_and_feed_are_added_once_however_often_the_line_is_pasted() {
    let ap = AccessPoint::new("opkg");
    ap.write(
        "etc/opkg/customfeeds.conf",
        "# mine\nsrc/gz other http://x\nsrc/gz whichroom http://old/ipk/x\n",
    );
    for _ in 0..3 {
        ap.paste(&LINE, Some("pw")).succeeded();
        assert!(ap.calls().contains("opkg-key add "), "{}", ap.calls());
        assert_eq!(
            ap.read("etc/opkg/customfeeds.conf"),
            format!("# mine\nsrc/gz other http://x\nsrc/gz whichroom http://{FEED}/ipk/mipsel_24kc\n")
        );
    }
    let ap = AccessPoint::new("apk");
    for _ in 0..2 {
        ap.paste(&LINE, Some("pw")).succeeded();
        let list = ap.read("etc/apk/repositories.d/whichroom.list");
        assert_eq!(list, format!("http://{FEED}/apk/mipsel_24kc/packages.adb\n"));
        assert_eq!(ap.read("etc/apk/keys/whichroom-feed.pem"), "-----BEGIN PUBLIC KEY-----\n");
    }
    let kept = ap.read("package/lib/upgrade/keep.d/whichroom-agent");
    for file in ["etc/apk/repositories.d/whichroom.list", "etc/apk/keys/whichroom-feed.pem"] {
        assert!(kept.lines().any(|line| line == format!("/{file}")), "an upgrade loses {file}: {kept}");
    }
    assert!(fs::read_dir(ap.root.join("tmp")).unwrap().next().is_none(), "temporary files are left");
}

#[test]
fn after_a_sysupgrade_the_same_line_brings_it_back_and_asks_for_no_password() {
    let ap = AccessPoint::new("opkg");
    ap.paste(&LINE, Some(PASSWORD)).succeeded();
    // What keep.d names stays; packages, feeds and keys go.
    fs::remove_file(ap.root.join("etc/init.d/whichroom-agent")).unwrap();
    fs::remove_file(ap.root.join("etc/opkg/customfeeds.conf")).unwrap();
    ap.paste(&LINE, None).succeeded();
    assert!(!ap.read("uci.batch").contains("password"), "it stays as it was");
    assert!(ap.read("var/run/whichroom/credentials").contains(PASSWORD));
    // Without options everything stays, and a person's own options do, too.
    let config = ap.read("etc/config/whichroom") + "\toption interval '7'\n";
    ap.write("etc/config/whichroom", &config);
    ap.paste(&[], None).succeeded();
    assert_eq!(ap.read("etc/config/whichroom"), config);
    assert!(ap.started_with().contains("--interval=7"));
}

#[test]
fn what_is_in_the_lines_way_is_changed_and_the_rest_stays() {
    let ap = AccessPoint::new("opkg");
    ap.write(
        "etc/config/whichroom",
        "config agent 'agent'\n\toption broker 'mqtt://old'\n\toption enabled '0'\n\
         \toption credentials '/etc/old'\n\toption interval '7'\n",
    );
    ap.paste(&LINE, Some("pw")).succeeded();
    let config = ap.read("etc/config/whichroom");
    assert!(config.contains("option enabled '1'") && !config.contains("option credentials"), "{config}");
    let command = ap.started_with();
    assert!(command.contains("--interval=7") && !command.contains("mqtt://old"), "{command}");
}

#[test]
fn the_password_is_in_no_argument_no_output_and_no_environment() {
    let ap = AccessPoint::new("apk");
    let ran = ap.paste(&LINE, Some("hunter2"));
    ran.succeeded();
    assert!(!ran.said.contains("hunter2"), "{}", ran.said);
    for log in ["calls.log", "procd.log", "programs.log"] {
        let text = ap.read(log);
        assert!(!text.contains("hunter2") && !text.contains("inherits"), "{log}: {text}");
    }
    ap.paste(&["--password", "x"], None).failed(2, "WHICHROOM_PASSWORD");
}

#[test]
fn a_password_is_asked_for_on_the_terminal_and_not_shown() {
    let ap = AccessPoint::new("opkg");
    ap.paste(&LINE, None).failed(1, "no terminal to ask for the password of ap-kitchen");
    assert!(!ap.calls().contains("opkg"), "nothing was changed: {}", ap.calls());

    let script = fs::read_to_string(project().join("src/aggregator/src/web/assets/install.sh")).unwrap();
    ap.write("install.sh", &script.replace("@FEED@", &format!("http://{FEED}")));
    let line = format!("cat {} | busybox ash -s -- {}", ap.root.join("install.sh").display(), LINE.join(" "));
    // script gives it a terminal of its own, and types what it is given.
    let shell = format!("script -qec '{line}' /dev/null");
    let ran = ran(ap.command(&["-c", &shell]), "hunter2\n");
    ran.succeeded();
    assert!(ran.said.contains("Password of ap-kitchen at the broker"), "{}", ran.said);
    assert!(ap.read("var/run/whichroom/credentials").contains("password=hunter2\n"), "{}", ran.said);
}

#[test]
fn what_is_wrong_is_said_with_what_to_do_and_nothing_is_changed() {
    let print = "ab".repeat(32);
    let cases: [(&[&str], &str); 18] = [
        (&[], "--broker is missing"),
        (&["--broker"], "--broker needs a value"),
        (&["--broker", "tcp://x"], "an address looks like mqtt://"),
        (&["--broker", "mqtt://u:p@x"], "use --user"),
        (&["--broker", "mqtt://x", "--name", "Küche"], "an id has 1 to 32"),
        (&["--broker", "mqtt://x", "--site", "a/b"], "an id has 1 to 32"),
        (&["--broker", "mqtt://x'; reboot"], "no place in its value"),
        (&["--broker", "mqtt://x", "--package", "dropbear"], "begin with whichroom-agent"),
        (&["--broker", "mqtt://x", "--feed", "ftp://x"], "--feed is missing"),
        (&["--fly"], "--fly is unknown"),
        (&["--broker", "mqtts://x"], "give --fingerprint or --ca"),
        (&["--broker", "mqtts://x", "--fingerprint", "xyz"], "not the hexadecimal digits"),
        (&["--broker", "mqtts://x", "--fingerprint", &print, "--ca", "/a"], "takes one of them"),
        (&["--broker", "mqtts://x", "--ca", "a.pem"], "a file with its full path"),
        (&["--broker", "mqtts://x", "--ca", "/no/such.pem"], "no such file here"),
        (&["--broker", "mqtt://x", "--fingerprint", &print], "are for a broker at mqtts://"),
        (&["--broker", "mqtt://x", "--ca", "/a"], "are for a broker at mqtts://"),
        (&["--broker", "mqtt://x", "--name", "123456789012345678901234567890123"], "1 to 32"),
    ];
    for (arguments, part) in cases {
        let ap = AccessPoint::new("opkg");
        ap.paste(arguments, None).failed(2, part);
        let calls = ap.calls();
        assert!(!calls.contains("opkg") && !calls.contains("batch"), "{arguments:?}: {calls}");
    }
}

#[test]
fn an_access_point_that_cannot_be_served_is_told_why() {
    let line = ["--broker", "mqtt://192.168.1.2:1883", "--name", "kitchen"];
    let spoilt = |manager, spoil: &dyn Fn(&AccessPoint)| {
        let ap = AccessPoint::new(manager);
        spoil(&ap);
        (ap.paste(&line, None), ap)
    };
    let remove = |ap: &AccessPoint, name: &str| fs::remove_file(ap.root.join(name)).unwrap();

    let (ran, _) = spoilt("opkg", &|ap| remove(ap, "etc/openwrt_release"));
    ran.failed(1, "on an access point with OpenWrt");
    let (ran, _) = spoilt("opkg", &|ap| remove(ap, &format!("web/{FEED}/whichroom-feed.pub")));
    ran.failed(1, "is whichroom running there, with [feed]");
    let (ran, _) = spoilt("opkg", &|ap| ap.write("etc/openwrt_release", "DISTRIB_ARCH='riscv64'\n"));
    ran.failed(1, "whichroom-package build --target riscv64");
    let (ran, ap) = spoilt("apk", &|ap| ap.write("nothing-to-install", ""));
    ran.failed(1, "apk could not install whichroom-agent");
    assert!(!ap.calls().contains("batch"), "{}", ap.calls());
    let (ran, _) = spoilt("opkg", &|ap| ap.write("flash-is-full", ""));
    ran.failed(1, "uci did not take option 'broker'");
    // All public authorities together are no load for a small flash.
    let ap = AccessPoint::new("apk");
    ap.write(&format!("web/{FEED}/broker-ca.pem"), &"x".repeat(40_000));
    let ca = format!("http://{FEED}/broker-ca.pem");
    let ran = ap.paste(&["--broker", "mqtts://192.168.1.2", "--ca", &ca], None);
    ran.failed(1, "install ca-bundle");
    assert!(!ap.calls().contains("apk add"), "{}", ap.calls());
    // An agent that refuses its configuration is not said to run.
    let (ran, _) = spoilt("opkg", &|ap| {
        ap.write("etc/config/whichroom", "config agent 'agent'\n\toption interval '999'\n");
    });
    ran.failed(1, "/etc/init.d/whichroom-agent check");
    // Other feeds out of reach are no reason to stop.
    let (ran, ap) = spoilt("opkg", &|ap| ap.write("no-way-out", ""));
    ran.succeeded();
    assert_eq!(ap.manager, "opkg");
}

/// Needs an agent with TLS: it is asked whether it takes what was configured.
#[cfg(feature = "tls")]
mod tls {
    use whichroom_tests::certificates::Certificates;
    use whichroom_tests::house::House;
    use whichroom_tests::mosquitto::{Settings, free_port};
    use whichroom_tests::ubusd::Options;

    use super::*;

    const BROKER: [&str; 4] = ["--broker", "mqtts://192.168.1.2", "--name", "kitchen"];

    #[test]
    fn a_broker_with_tls_takes_the_package_with_tls_and_its_authority_is_fetched() {
        let certificates = Certificates::new();
        let pem = fs::read_to_string(certificates.file("ca.pem")).unwrap();
        for manager in ["opkg", "apk"] {
            let ap = AccessPoint::new(manager);
            ap.write(&format!("web/{FEED}/broker-ca.pem"), &pem);
            let ca = format!("http://{FEED}/broker-ca.pem");
            ap.paste(&[&BROKER[..], &["--ca", &ca]].concat(), None).succeeded();
            assert!(ap.calls().contains(" whichroom-agent-tls\n"), "{}", ap.calls());
            assert_eq!(ap.read("etc/whichroom/broker-ca.pem"), pem);
            let mode =
                fs::metadata(ap.root.join("etc/whichroom/broker-ca.pem")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o644, "the agent runs as a user of its own");
            let command = ap.started_with();
            assert!(command.contains("--broker=mqtts://192.168.1.2"), "{command}");
            assert!(command.contains("/etc/whichroom/broker-ca.pem"), "{command}");
        }
    }

    /// From the page's line to a table at the broker, everything in TLS, with the authority that the aggregator knows.
    #[test]
    fn the_line_that_the_page_shows_lets_an_agent_connect_in_tls() {
        let (certificates, port) = (Certificates::new(), free_port());
        let lines = certificates.listener(port);
        let mut house = House::with(&Settings { lines, ..Settings::default() });
        house.add_bus("kitchen", Options::default());
        let ap = AccessPoint::new("opkg");
        ap.write_feed("served");
        let ca = certificates.file("ca.pem").display().to_string();
        let mqtt = format!("[mqtt]\nurl = \"mqtts://127.0.0.1:{port}\"\nca = \"{ca}\"\n");
        let mut served = Served::with_broker(&ap.root, &mqtt);
        let line = served.line();
        assert!(line.contains(&format!("--ca http://{}/feed/broker-ca.pem", served.feed)), "{line}");
        ap.downloads_really();
        ran(ap.command(&["-c", &line]), "").succeeded();
        assert!(ap.calls().contains("opkg install whichroom-agent-tls\n"), "{}", ap.calls());

        let started = ap.started_with();
        let mut arguments: Vec<String> = started.split('\t').skip(3).map(str::to_owned).collect();
        arguments.push(format!("--ubus={}", house.directory.join("kitchen.sock").display()));
        // The line names this machine as access points reach it; the test's Mosquitto is on loopback.
        arguments.push(format!("--broker=mqtts://127.0.0.1:{port}"));
        let log = house.directory.join("agent.log");
        let agent = Process::start(&product("whichroom-agent"), &arguments, &log);
        house.ap("kitchen").agent = Some(agent);
        house.wait_agent("kitchen");
        assert!(served.process.terminate().success(), "{}", served.process.log());
    }

    #[test]
    fn the_two_packages_take_each_others_place() {
        let certificates = Certificates::new();
        for (manager, remove) in [("opkg", "opkg remove "), ("apk", "apk del ")] {
            let ap = AccessPoint::new(manager);
            ap.paste(&["--broker", "mqtt://192.168.1.2", "--name", "kitchen"], None).succeeded();
            let print = "ab".repeat(32);
            ap.paste(&[&BROKER[..], &["--fingerprint", &print]].concat(), None).succeeded();
            assert!(ap.calls().contains(&format!("{remove}whichroom-agent\n")), "{}", ap.calls());
            assert!(ap.started_with().contains(&format!("--fingerprint={print}")), "{}", ap.started_with());
            // The broker is known by one or the other.
            let ca = certificates.file("ca.pem").display().to_string();
            ap.paste(&[&BROKER[..], &["--ca", &ca]].concat(), None).succeeded();
            let command = ap.started_with();
            assert!(command.contains(&format!("--ca={ca}")) && !command.contains("fingerprint"), "{command}");
            ap.paste(&[&BROKER[..], &["--fingerprint", &print]].concat(), None).succeeded();
            let command = ap.started_with();
            assert!(command.contains("--fingerprint=") && !command.contains("--ca="), "{command}");
            // After a sysupgrade the package is gone, and the address that is configured says which one it was.
            ap.paste(&[], None).succeeded();
            assert!(ap.calls().contains(" whichroom-agent-tls\n"), "{}", ap.calls());
            ap.paste(&["--broker", "mqtt://192.168.1.2"], None).succeeded();
            assert!(ap.calls().contains(&format!("{remove}whichroom-agent-tls\n")), "{}", ap.calls());
            let command = ap.started_with();
            assert!(command.contains("--broker=mqtt://") && !command.contains("fingerprint"), "{command}");
        }
    }
}

#[test]
fn a_download_that_breaks_off_does_nothing() {
    let script = fs::read_to_string(project().join("src/aggregator/src/web/assets/install.sh")).unwrap();
    let ap = AccessPoint::new("opkg");
    for part in 1..8 {
        let until = script.len() * part / 8;
        let until = (0..=until).rev().find(|at| script.is_char_boundary(*at)).unwrap();
        let mut command = ap.command(&["-s", "--"]);
        command.args(LINE).env("WHICHROOM_PASSWORD", "pw");
        ran(command, &script[..until]);
        assert_eq!(ap.calls(), "", "{until} bytes");
    }
}

/// A real `whichroom run` with a feed; its broker and its page beside it.
struct Served {
    process: Process,
    feed: String,
    page: String,
}

impl Served {
    fn start(directory: &Directory) -> Served {
        let own = "[mqtt]\nlisten = \"127.0.0.1:0\"\n[[mqtt.user]]\nname = \"ap-kitchen\"\npassword = \"x\"\nap = \"kitchen\"\n";
        Served::with_broker(directory, own)
    }

    fn with_broker(directory: &Directory, mqtt: &str) -> Served {
        let config = format!(
            "{mqtt}[web]\nlisten = \"127.0.0.1:0\"\n[feed]\nfolder = \"served\"\nlisten = \"127.0.0.1:0\"\n\
             [[ap]]\nid = \"kitchen\"\nexit = true\n"
        );
        let config = directory.write("whichroom.toml", &config).display().to_string();
        let state = directory.join("state").display().to_string();
        let arguments = ["run", "--config", &config, "--state", &state];
        let mut process = Process::start(&product("whichroom"), &arguments, &directory.join("log"));
        let feed = address_in(&process.wait_log("feed http://"));
        let page = address_in(&process.wait_log("page http://"));
        Served { process, feed, page }
    }

    /// The line that the page shows for the access point.
    fn line(&self) -> String {
        let state = wait("state on the page", || {
            let (_, state) = ask(&self.page, "GET /api/state");
            let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
            state.get("access_points").is_some().then_some(state)
        });
        let line = state["access_points"][0]["install"].as_str().unwrap_or_else(|| panic!("{state}"));
        assert!(state["next_step"].as_str().unwrap().contains(line), "{state}");
        line.to_owned()
    }
}

#[test]
fn a_running_aggregator_serves_the_feed_and_nothing_else_there() {
    let directory = Directory::new();
    for (name, text) in FEED_FILES {
        let path = directory.join("served").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    fs::write(directory.join("served/private.key"), "secret").unwrap();
    let mut served = Served::start(&directory);
    for (name, text) in FEED_FILES {
        let (head, body) = ask(&served.feed, &format!("GET /feed/{name}"));
        assert_eq!((status(&head), body.as_slice()), ("200", text.as_bytes()), "{name}");
        let kind = match name.rsplit('.').next() {
            Some("gz") => "application/gzip",
            Some("ipk" | "apk" | "adb") => "application/octet-stream",
            _ => "text/plain; charset=utf-8",
        };
        assert!(head.contains(&format!("content-type: {kind}\r\n")), "{head}");
        assert!(head.contains("x-content-type-options: nosniff\r\n"), "{head}");
    }
    let (head, listing) = ask(&served.feed, "GET /feed/");
    let listing = String::from_utf8(listing).unwrap();
    assert_eq!(status(&head), "200");
    assert!(listing.contains("whichroom-agent-9.1.0-r1.apk") && !listing.contains("private"), "{listing}");
    let (head, script) = ask(&served.feed, "GET /feed/install.sh");
    assert!(head.contains("content-type: text/x-shellscript; charset=utf-8\r\n"), "{head}");
    let expected = format!("\nFEED='http://{}/feed'\n", served.feed);
    assert!(String::from_utf8(script).unwrap().contains(&expected));

    for path in [
        "/",
        "/feed",
        "/api/state",
        "/api/events",
        "/healthz",
        "/page.js",
        "/feed/private.key",
        "/feed/../whichroom.toml",
        "/feed/ipk/../../whichroom.toml",
        "/feed/%2e%2e/whichroom.toml",
        "/feed/ipk/%2e%2e/private.key",
        "/feed/ipk//etc/passwd",
        "/feed//etc/passwd",
        "/feed/ipk/mipsel_24kc/",
        "/feed/ipk/mipsel_24kc/whichroom-agent_1_none.ipk",
        "/feed/ipk/mipsel_24kc/Packages?x=/../../",
    ] {
        let (head, body) = ask(&served.feed, &format!("GET {path}"));
        let is_refused = matches!(status(&head), "404" | "400");
        assert!(is_refused || path.contains('?'), "{path}: {head}");
        let body = String::from_utf8_lossy(&body);
        assert!(!body.contains("secret") && !body.contains("[mqtt]") && !body.contains("root:"), "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let (head, _) = ask(&served.feed, &format!("{method} /feed/install.sh"));
        assert_eq!(status(&head), "405", "{method}");
    }
    // The page still answers on its own address, and has no feed.
    assert_eq!(status(&ask(&served.page, "GET /feed/install.sh").0), "404");
    assert!(served.process.terminate().success(), "{}", served.process.log());
}

#[test]
fn the_line_that_the_page_shows_installs_from_the_running_aggregator() {
    let ap = AccessPoint::new("opkg");
    ap.write_feed("served");
    let mut served = Served::start(&ap.root);
    let line = served.line();
    assert!(line.contains("--name kitchen --user ap-kitchen"), "{line}");
    ap.downloads_really();
    let mut command = ap.command(&["-c", &line]);
    command.env("WHICHROOM_PASSWORD", "x");
    ran(command, "").succeeded();
    let command = ap.started_with();
    assert!(
        command.contains("--broker=mqtt://127.0.0.1:") && command.contains("--name=kitchen"),
        "{command}"
    );
    let feeds = ap.read("etc/opkg/customfeeds.conf");
    assert_eq!(feeds, format!("src/gz whichroom http://{}/feed/ipk/mipsel_24kc\n", served.feed));
    assert!(served.process.terminate().success(), "{}", served.process.log());
}

//! The programs built for routers, each on the least processor it has to run on: under qemu, or by itself where it is of
//! this machine's kind. They are what `make packages` leaves.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::Value;
use whichroom_package::layout::Variant;
use whichroom_package::targets::{self, TARGETS};
use whichroom_tests::certificates::Certificates;
use whichroom_tests::house::{ANNA, BEN, BSS_2, BSS_5, House, topic};
use whichroom_tests::mosquitto::{Settings, free_port};
use whichroom_tests::observer::{Arrived, Mark, Observer};
use whichroom_tests::process::{run, wait};
use whichroom_tests::ubusd::{Options, Station};
use whichroom_wire::Mac;

#[test]
fn aarch64() {
    works("aarch64");
}

#[test]
fn armv7() {
    works("armv7");
}

#[test]
fn mipsel() {
    works("mipsel");
}

#[test]
fn mips() {
    works("mips");
}

#[test]
fn x86_64() {
    works("x86_64");
}

#[test]
fn aarch64_with_tls() {
    works_with_tls("aarch64");
}

#[test]
fn armv7_with_tls() {
    works_with_tls("armv7");
}

#[test]
fn mipsel_with_tls() {
    works_with_tls("mipsel");
}

#[test]
fn mips_with_tls() {
    works_with_tls("mips");
}

#[test]
fn x86_64_with_tls() {
    works_with_tls("x86_64");
}

#[test]
fn no_target_is_left_out() {
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names, ["aarch64", "armv7", "mipsel", "mips", "x86_64"], "each has two tests above");
}

fn works(name: &str) {
    let command = command(name, Variant::Plain);
    says_its_version(&command);
    looks_once(&command);
    lives_through_a_session(House::with(&settings()), &command);
}

fn works_with_tls(name: &str) {
    let command = command(name, Variant::Tls);
    says_its_version(&command);
    looks_once(&command);
    let certificates = Certificates::new();
    let port = free_port();
    let secured = || {
        let mut settings = settings();
        settings.lines.extend(certificates.listener(port));
        House::with(&settings)
    };
    let mut house = secured();
    let authority = certificates.file("ca.pem").display().to_string();
    house.reach_broker_with_tls(port, &["--ca", &authority]);
    lives_through_a_session(house, &command);
    knows_the_broker_by_its_fingerprint(secured(), &command, &certificates, port);
}

/// The broker's packets are in its log.
fn settings() -> Settings {
    Settings { lines: vec!["log_type all".to_owned()], ..Settings::default() }
}

/// How the program of a target is run here.
fn command(name: &str, variant: Variant) -> Vec<OsString> {
    let Some(target) = targets::find(name) else { panic!("there is no target {name}") };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target");
    let program: PathBuf = root.join("packages/programs").join(target.triple).join(variant.package());
    assert!(program.is_file(), "{} is missing: run make packages", program.display());
    if target.triple.starts_with(std::env::consts::ARCH) {
        return vec![program.into()];
    }
    vec![emulator(target.emulator.program).into(), "-cpu".into(), target.emulator.cpu.into(), program.into()]
}

/// Debian's static one, or what another system has.
fn emulator(program: &str) -> String {
    let found = [format!("{program}-static"), program.to_owned()]
        .into_iter()
        .find(|program| Command::new(program).arg("--version").output().is_ok());
    found.unwrap_or_else(|| panic!("{program} is missing: run apt-get install qemu-user-static"))
}

fn output_of(command: &[OsString], arguments: &[&str]) -> String {
    let Some((program, before)) = command.split_first() else { panic!("the command is empty") };
    let arguments: Vec<OsString> =
        before.iter().cloned().chain(arguments.iter().map(OsString::from)).collect();
    let output = run(Path::new(program), &arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{program:?} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap_or_else(|error| panic!("{program:?} {arguments:?}: {error}"))
}

fn says_its_version(command: &[OsString]) {
    let version = format!("whichroom-agent {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(output_of(command, &["--version"]), version);
}

fn looks_once(command: &[OsString]) {
    let mut house = House::new();
    house.add_bus("kitchen", Options::default());
    house.bus("kitchen").place(BSS_5, ANNA, Station::new(-51, Instant::now()));
    house.bus("kitchen").place(BSS_2, BEN, Station::new(-72, Instant::now()));
    let socket = house.bus("kitchen").path().display().to_string();
    let seen = output_of(command, &["--once", "--name", "kitchen", "--ubus", &socket]);
    let seen: Value = serde_json::from_str(&seen).unwrap_or_else(|error| panic!("{error}: {seen}"));
    assert_eq!(station(&seen["stations"], ANNA)["signal_dbm"], -51, "{seen}");
    assert_eq!(station(&seen["stations"], BEN)["signal_dbm"], -72, "{seen}");
    let bssids: Vec<String> =
        [BSS_2, BSS_5].iter().map(|ifname| house.bssid("kitchen", ifname).to_string()).collect();
    let radios = seen["radios"]["radios"].as_array().cloned().unwrap_or_default();
    let mut listed: Vec<&str> = radios.iter().filter_map(|radio| radio["bssid"].as_str()).collect();
    listed.sort_unstable();
    assert_eq!(listed, bssids, "{seen}");
}

/// Connect, table, notification, a broker that restarts, and SIGTERM.
fn lives_through_a_session(mut house: House, command: &[OsString]) {
    house.use_agent(command.iter().cloned());
    house.add_ap("kitchen");

    let mark = house.observer.mark();
    house.bus("kitchen").join(BSS_5, ANNA, -51);
    wait_authorized(&house, mark, ANNA);
    wait_listed(&house, ANNA);

    house.mosquitto.stop();
    let mark = house.observer.mark();
    house.bring_broker_back();
    house.observer.wait_since(mark, "online again", |arrived| {
        arrived.topic == topic("ap/kitchen/status") && arrived.json()["state"] == "online"
    });
    house.observer.wait_since(mark, "table with Anna after the restart", |arrived| {
        arrived.topic == topic("ap/kitchen/stations") && station(&arrived.json(), ANNA).is_object()
    });
    house.bus("kitchen").join(BSS_2, BEN, -60);
    wait_authorized(&house, mark, BEN);

    let Some(mut agent) = house.ap("kitchen").agent.take() else { panic!("no agent") };
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert!(!agent.log().contains("panicked"), "{}", agent.log());
    let late = Observer::start(house.mosquitto.port(), &[&topic("ap/kitchen/status")]);
    let offline = late.wait_last(&topic("ap/kitchen/status"), |status| status["state"] == "offline");
    assert!(offline["sent_ms"].as_u64().is_some_and(|ms| ms > 0), "said by itself, not its will: {offline}");
    wait_acknowledged_goodbye(&house);
}

/// With the broker's fingerprint it connects; with another it says what it found, and publishes nothing.
fn knows_the_broker_by_its_fingerprint(
    mut house: House,
    command: &[OsString],
    certificates: &Certificates,
    port: u16,
) {
    house.use_agent(command.iter().cloned());
    let other = "AB:".repeat(32);
    house.reach_broker_with_tls(port, &["--fingerprint", other.trim_end_matches(':')]);
    house.add_bus("kitchen", Options::default());
    house.start_agent("kitchen");
    let fingerprint = certificates.fingerprint("broker");
    let Some(agent) = &mut house.ap("kitchen").agent else { panic!("no agent") };
    agent.wait_log("not the one given");
    let found = fingerprint.replace(':', "").to_lowercase();
    assert!(agent.log().contains(&found), "it says which it found: {}", agent.log());
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert!(house.observer.last(&topic("ap/kitchen/status")).is_none(), "nothing is said to a stranger");

    house.reach_broker_with_tls(port, &["--fingerprint", &fingerprint]);
    house.bus("kitchen").place(BSS_5, ANNA, Station::new(-51, Instant::now()));
    house.start_agent("kitchen");
    wait_listed(&house, ANNA);
}

/// The broker's own log: the last status was acknowledged before the agent disconnected in order.
fn wait_acknowledged_goodbye(house: &House) {
    wait("acknowledged goodbye in the broker's log", || {
        let log = house.mosquitto.log();
        let lines: Vec<&str> = log.lines().collect();
        let disconnect =
            lines.iter().rposition(|line| line.contains("Received DISCONNECT from wr-home-kitchen-"))?;
        let status = format!("'{}'", topic("ap/kitchen/status"));
        let before = &lines[..disconnect];
        let publish = before.iter().rposition(|line| {
            line.contains("Received PUBLISH from wr-home-kitchen-")
                && line.contains(&status)
                && line.contains("q1, r1")
        })?;
        let id = before[publish].split(", ").find(|part| part.starts_with('m'))?;
        let acknowledged = format!("({id},");
        let after = &before[publish..];
        let of_id =
            |line: &&str| line.contains("Sending PUBACK to wr-home-kitchen-") && line.contains(&acknowledged);
        after.iter().any(of_id).then_some(())
    });
}

fn wait_authorized(house: &House, mark: Mark, mac: Mac) {
    let is_it = |arrived: &Arrived| {
        let events = arrived.json()["events"].as_array().cloned().unwrap_or_default();
        arrived.topic == topic("ap/kitchen/events")
            && events
                .iter()
                .any(|event| event["kind"] == "authorized" && event["mac"] == mac.to_string().as_str())
    };
    house.observer.wait_since(mark, &format!("authorized {mac}"), is_it);
}

fn wait_listed(house: &House, mac: Mac) {
    house.observer.wait_last(&topic("ap/kitchen/stations"), |table| station(table, mac).is_object());
}

/// A station of a table, or null.
fn station(table: &Value, mac: Mac) -> Value {
    let stations = table["stations"].as_array().cloned().unwrap_or_default();
    stations.into_iter().find(|station| station["mac"] == mac.to_string().as_str()).unwrap_or_default()
}

/// Programs of megabytes do not fit beside an access point's own, and interpreters even less.
#[test]
fn too_big() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target");
    let programs = root.join("packages/programs");
    for target in &TARGETS {
        for (variant, bytes_max) in [(Variant::Plain, target.size_max), (Variant::Tls, targets::TLS_SIZE_MAX)]
        {
            let program = programs.join(target.triple).join(variant.package());
            let bytes = program.metadata().map(|metadata| metadata.len());
            let bytes =
                bytes.unwrap_or_else(|error| panic!("{}: {error}: run make packages", program.display()));
            assert!(bytes <= bytes_max, "{}: {bytes} bytes, {bytes_max} are allowed", program.display());
        }
    }
}

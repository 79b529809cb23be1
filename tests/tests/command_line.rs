//! Both programs as a person at a terminal meets them: help, mistakes, `--check`, `--once` and exit codes.

use std::process::Output;

use whichroom_tests::directory::Directory;
use whichroom_tests::house::{ANNA, BSS_5, House};
use whichroom_tests::process::{product, run};
use whichroom_tests::ubusd::Options;

fn agent(arguments: &[&str]) -> Output {
    run(&product("whichroom-agent"), arguments)
}

fn aggregator(arguments: &[&str]) -> Output {
    run(&product("whichroom"), arguments)
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn help_and_version_are_given() {
    for program in [agent, aggregator] {
        let help = program(&["--help"]);
        assert_eq!(help.status.code(), Some(0));
        assert!(text(&help).contains("--help") || text(&help).contains("whichroom run"), "{}", text(&help));
        let version = program(&["--version"]);
        assert_eq!(version.status.code(), Some(0));
        assert!(text(&version).contains(env!("CARGO_PKG_VERSION")), "{}", text(&version));
    }
}

#[test]
fn bad_usage_ends_with_2_and_says_what_is_wrong() {
    let cases: [(&[&str], &str); 8] = [
        (&["--nonsense"], "nonsense"),
        (&["extra"], "extra"),
        (&["--check", "--broker", "http://x"], "http"),
        (&["--check", "--broker", "mqtt://user:secret@x"], "--credentials"),
        (&["--check", "--broker", "mqtt://x", "--name", "Küche"], "a-z"),
        (&["--check", "--broker", "mqtt://x", "--interval", "soon"], "soon"),
        (&["--check", "--broker", "mqtt://x", "--probes", "some"], "tracked"),
        (&["--check", "--broker", "mqtt://x", "--credentials", "/nowhere/at/all"], "/nowhere/at/all"),
    ];
    for (arguments, expected) in cases {
        let output = agent(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output));
        assert!(text(&output).contains(expected), "{arguments:?}: {}", text(&output));
        assert!(!text(&output).contains("secret"), "{}", text(&output));
    }
    for arguments in [&["fly"][..], &["run", "--nonsense"], &["check", "--config"], &[]] {
        let output = aggregator(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output));
        assert!(!text(&output).is_empty());
    }
}

#[test]
fn check_of_the_agent_connects_nowhere() {
    let output =
        agent(&["--check", "--broker", "mqtt://192.0.2.1:1883", "--name", "kitchen", "--ubus", "/nowhere"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}

#[test]
fn credentials_that_others_may_read_are_refused_or_warned_of() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = Directory::new();
    let file = directory.write("credentials", "wr\nhunter2\n");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("own file");
    let path = file.display().to_string();
    let output = agent(&["--check", "--broker", "mqtt://x", "--name", "kitchen", "--credentials", &path]);
    assert!(text(&output).contains(&path), "{}", text(&output));
    assert!(!text(&output).contains("hunter2"), "{}", text(&output));
}

#[test]
fn once_prints_what_the_access_point_sees_as_json() {
    let mut house = House::new();
    house.add_bus("kitchen", Options::default());
    house.bus("kitchen").join(BSS_5, ANNA, -50);
    let socket = house.bus("kitchen").path().display().to_string();
    let output = agent(&["--once", "--ubus", &socket]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let seen: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("JSON alone on standard output");
    let all = seen.to_string();
    for expected in [ANNA.to_string().as_str(), BSS_5, "home", "hostapd", "iwinfo"] {
        assert!(all.contains(expected), "{expected} is not in {all}");
    }
    let output = agent(&["--once", "--ubus", "/nowhere/ubus.sock"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("/nowhere/ubus.sock"), "{}", text(&output));
}

#[test]
fn check_of_the_aggregator_names_every_mistake_with_its_place() {
    let directory = Directory::new();
    let good = directory.write("good.toml", whichroom_tests::house::FAMILY);
    let output = aggregator(&["check", "--config", &good.display().to_string()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));

    let bad = directory.write(
        "bad.toml",
        "[sight]\nid = 7\n\n[[ap]]\nid = \"hall\"\nexitt = true\n\n[[ap]]\nid = \"hall\"\n\n[[person]]\nname = \"Anna\"\ndevices = [{ macs = [\"nonsense\"] }]\n",
    );
    let output = aggregator(&["check", "--config", &bad.display().to_string()]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    let text = text(&output);
    for expected in ["bad.toml:1:", "site", "bad.toml:6:", "exit", "bad.toml:9:", "nonsense"] {
        assert!(text.contains(expected), "{expected} is not in {text}");
    }
    let output = aggregator(&["check", "--config", "/nowhere/whichroom.toml"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_bad_configuration_does_not_start() {
    let directory = Directory::new();
    let bad = directory.write("bad.toml", "[mqtt]\nurl = 7\n");
    let state = directory.join("state").display().to_string();
    let output = aggregator(&["run", "--config", &bad.display().to_string(), "--state", &state]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("bad.toml:2:"), "{}", text(&output));
}

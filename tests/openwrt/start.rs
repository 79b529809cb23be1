//! The service: what procd is asked for.

use std::ffi::OsStr;
use std::process::Command;

use whichroom_tests::process::product;

use crate::router::{Router, SHORTEST, project, run};

const LOGIN: &str =
    "option broker 'nas'\noption name 'kitchen'\noption username 'ap-kitchen'\noption password 'hunter2'";

/// An agent that says yes and writes down how it was called.
const RECORDER: &str = "#!/bin/sh\n{ echo \"$@\"; env; } >>\"$IPKG_INSTROOT/called\"\n";

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn the_agent_runs_for_ever_as_its_own_user_and_logs_to_logd() {
    let router = Router::with(SHORTEST);
    let ran = router.init("start");
    assert_eq!((ran.code, ran.said.as_str()), (Some(0), ""));
    assert_eq!(router.arguments(), ["--broker=mqtt://192.168.1.2:1883", "--name=kitchen"]);
    for (name, values) in [
        ("respawn", "3600 5 0"),
        ("stdout", "1"),
        ("stderr", "1"),
        ("no_new_privs", "1"),
        ("user", "whichroom"),
    ] {
        assert_eq!(router.parameter(name), Some(words(values)), "{name}");
    }
    assert_eq!(router.parameter("env"), None);
    assert_eq!(router.procd().iter().filter(|call| call[0] == "open_instance").count(), 1);
    assert_eq!(router.calls("close_service"), [words("set")]);
}

#[test]
fn a_change_of_the_configuration_reloads_and_the_brokers_network_restarts() {
    let router = Router::with(SHORTEST);
    router.init("start");
    assert_eq!(router.calls("add_reload_trigger"), [words("whichroom")]);
    let trigger = "interface.update lan /etc/init.d/whichroom-agent came_up lan";
    assert_eq!(router.calls("add_interface_trigger"), [words(trigger)]);

    router.configure(&format!("{SHORTEST}\noption interface 'guest'"));
    router.init("start");
    assert_eq!(router.calls("add_interface_trigger"), [words(&trigger.replace("lan", "guest"))]);
}

#[test]
fn a_network_that_came_up_restarts_the_agent_and_a_renewed_lease_does_not() {
    let router = Router::with(LOGIN);
    for (uptime, restarted) in [("0", true), ("3", true), ("", false), ("16", false), ("86400", false)] {
        router.write("uptime-lan", uptime);
        let ran = router.init_with("came_up", &["lan"]);
        assert_eq!((ran.code, router.started()), (Some(0), restarted), "{uptime}: {}", ran.said);
        assert_eq!(!router.calls("kill").is_empty(), restarted);
    }
    // Not with a configuration that is wrong by now.
    router.write("uptime-lan", "1");
    router.configure("option broker 'nas'\noption probes 'some'");
    let ran = router.init_with("came_up", &["lan"]);
    assert_eq!((ran.code, router.procd().len()), (Some(1), 0));
    assert!(ran.said.contains("goes on as it was"), "{}", ran.said);
}

#[test]
fn procd_runs_its_triggers_with_nothing_open() {
    let router = Router::with(LOGIN);
    let line = format!(
        "exec busybox ash {0}/etc/rc.common {0}/etc/init.d/whichroom-agent reload <&- >&- 2>&-",
        router.path("").display().to_string().trim_end_matches('/')
    );
    assert_eq!(router.ash(["-c", &line].map(OsStr::new)).code, Some(0));
    assert!(router.started());
    assert_eq!(router.read("var/run/whichroom/credentials"), "username=ap-kitchen\npassword=hunter2\n");

    router.configure("option broker 'http://nas'");
    assert_eq!(router.ash(["-c", &line].map(OsStr::new)).code, Some(1));
    assert!(router.programs().contains("option 'broker': http:// is not supported"), "{}", router.programs());
}

#[test]
fn every_option_of_the_agent_is_an_option_of_the_section() {
    let help = run(Command::new(product("whichroom-agent")).arg("--help"));
    let help = String::from_utf8(help.stdout).unwrap();
    let flags = help.lines().filter_map(|line| line.trim_start().split_once("--")).map(|(_, rest)| rest);
    let flags = flags.filter_map(|rest| rest.split_whitespace().next());
    let of_a_person = ["check", "once", "help", "version"];
    let flags: Vec<&str> = flags.filter(|flag| !of_a_person.contains(flag)).collect();
    assert!(flags.contains(&"broker") && flags.len() > 6, "{flags:?}");
    let shipped = std::fs::read_to_string(project().join("files/ap/etc/config/whichroom")).unwrap();
    for flag in flags {
        assert!(shipped.contains(&format!("\t#option {flag} '")), "{flag}");
    }

    let router = Router::with(
        "option broker 'mqtt://nas:11883'\noption site 'cabin'\noption name 'ap-1'\noption interval '2'\n\
         option probes 'off'\noption ubus '/tmp/u s.sock'\noption verbose '1'\noption enabled '1'",
    );
    router.init("start");
    let mut expected = words("--broker=mqtt://nas:11883 --site=cabin --name=ap-1 --interval=2 --probes=off");
    expected.extend(["--ubus=/tmp/u s.sock".to_owned(), "--verbose".to_owned()]);
    assert_eq!(router.arguments(), expected);
}

#[test]
fn the_shipped_file_shows_what_holds_without_it() {
    let router = Router::new();
    let shipped = router.read("etc/config/whichroom");
    assert!(!shipped.lines().any(|line| line.trim_start().starts_with("option ")), "{shipped}");
    let options = shipped.lines().filter(|line| line.starts_with("\t#option ")).count();
    assert!(options > 10, "{shipped}");

    let uncommented = shipped.replace("\t#option", "\toption");
    router.write("etc/config/whichroom", &uncommented);
    let ran = router.init("start");
    assert_eq!((ran.code, ran.said.as_str(), router.started()), (Some(0), "", true));
    let mut effective = router.arguments();
    effective.retain(|argument| !argument.starts_with("--broker="));
    assert_eq!(effective, ["--site=home", "--interval=5", "--probes=tracked"]);
    let help = run(Command::new(product("whichroom-agent")).arg("--help"));
    let help = String::from_utf8(help.stdout).unwrap();
    for default in ["the home (home)", "1 to 60 (5)", "(tracked: "] {
        assert!(help.contains(default), "{default}");
    }
}

#[test]
fn psk_leak_the_password_is_in_one_file_only() {
    let router = Router::with(LOGIN);
    router.write_program("usr/bin/whichroom-agent", RECORDER);
    router.init("start");
    let credentials = router.text_path("var/run/whichroom/credentials");
    assert_eq!(router.read("var/run/whichroom/credentials"), "username=ap-kitchen\npassword=hunter2\n");
    assert_eq!(router.mode("var/run/whichroom/credentials"), 0o400);
    assert_eq!(router.mode("var/run/whichroom"), 0o755);
    assert_eq!(router.names("var/run/whichroom"), ["credentials"]);
    assert!(
        router.programs().contains(&format!("chown whichroom:whichroom {credentials}")),
        "{}",
        router.programs()
    );
    assert_eq!(router.arguments().last(), Some(&format!("--credentials={credentials}")));

    let called = router.read("called");
    assert!(called.starts_with("--check --broker=nas --name=kitchen --credentials="), "{called}");
    for record in [called, router.read("procd.log"), router.programs()] {
        assert!(!record.contains("hunter2"), "{record}");
    }
}

#[test]
fn any_password_reaches_the_agent_as_it_is() {
    let password = r#"-n a"b$HOME`id`\t #é=%s"#;
    let router = Router::with(&LOGIN.replace("hunter2", password));
    assert_eq!(router.init("start").code, Some(0));
    assert!(router.started());
    assert_eq!(
        router.read("var/run/whichroom/credentials"),
        format!("username=ap-kitchen\npassword={password}\n")
    );
}

#[test]
fn another_password_restarts_the_agent() {
    let router = Router::with(LOGIN);
    router.init("start");
    assert_eq!(router.parameter("file"), Some(vec![router.text_path("var/run/whichroom/credentials")]));
    router.configure(&LOGIN.replace("hunter2", "hunter3"));
    assert_eq!(router.init("reload").code, Some(0));
    assert!(router.started() && router.read("var/run/whichroom/credentials").contains("hunter3"));

    router.configure(SHORTEST);
    router.init("reload");
    assert!(router.names("var/run/whichroom").is_empty());
    assert_eq!(router.parameter("file"), None);
}

#[test]
fn a_file_with_credentials_may_belong_to_root() {
    let router = Router::new();
    let file = router.text_path("etc/whichroom.credentials");
    router.write("etc/whichroom.credentials", "username=ap\npassword=hunter2\n");
    router.configure(&format!("{SHORTEST}\noption credentials '{file}'"));
    router.init("start");
    assert_eq!(router.read("var/run/whichroom/credentials"), "username=ap\npassword=hunter2\n");
    assert_eq!(router.mode("var/run/whichroom/credentials"), 0o400);
    assert!(
        router
            .arguments()
            .contains(&format!("--credentials={}/credentials", router.text_path("var/run/whichroom")))
    );
}

#[test]
fn a_jail_has_what_the_agent_reads_and_is_only_where_ujail_is() {
    let router = Router::with(LOGIN);
    router.init("start");
    assert_eq!(router.calls("add_jail"), [words("whichroom-agent ubus log procfs sysfs")]);
    let mounts = router.calls("add_jail_mount").concat();
    for path in
        ["/etc/resolv.conf", "/etc/hosts", "/etc/openwrt_release", "/tmp/resolv.conf.d", "/tmp/dhcp.leases"]
    {
        assert!(mounts.iter().any(|mount| mount == path), "{path}: {mounts:?}");
    }
    assert!(mounts.contains(&router.text_path("var/run/whichroom/credentials")));
    assert!(router.calls("add_jail_mount_rw").is_empty());

    router.configure(&format!("{LOGIN}\noption ubus '/tmp/other/ubus.sock'"));
    router.init("start");
    assert_eq!(router.calls("add_jail_mount_rw"), [words("/tmp/other")]);

    router.remove("sbin/ujail");
    router.init("start");
    assert!(router.started());
    assert!(!router.procd().iter().any(|call| call[0].contains("jail")));
}

#[test]
fn certificates_are_mounted_watched_and_tried_as_the_agents_user() {
    let files = ["/etc/ca.pem", "/etc/an ap.pem", "/etc/ap.key"];
    let [ca, cert, key] = files;
    let router = Router::with(&format!(
        "option broker 'mqtts://nas'\noption name 'k'\noption ca '{ca}'\noption cert '{cert}'\noption key '{key}'"
    ));
    router.write_program("usr/bin/whichroom-agent", RECORDER);
    let ran = router.init("start");
    assert!(router.started(), "{}", ran.said);
    let expected = ["--broker=mqtts://nas", "--ca=/etc/ca.pem", "--cert=/etc/an ap.pem", "--key=/etc/ap.key"];
    assert_eq!(router.arguments()[..4], expected);
    assert!(router.programs().contains("start-stop-daemon -S -q -c whichroom "), "{}", router.programs());
    let (mounts, watched) = (router.calls("add_jail_mount").concat(), router.calls("append_param"));
    for file in files {
        assert!(mounts.iter().any(|mount| mount == file), "{file}: {mounts:?}");
        assert!(watched.iter().any(|words| *words == ["file", file]), "{file}: {watched:?}");
    }
    // Only root can read the key: said before procd starts what would not live.
    let picky = "#!/bin/sh\n[ -z \"$AS_AGENT\" ] || { echo '--key /etc/ap.key: denied' >&2; exit 2; }\n";
    router.write_program("usr/bin/whichroom-agent", picky);
    let standin = router
        .read("lib/functions.sh")
        .replace("\tlogged start-stop-daemon", "\texport AS_AGENT=1\n\tlogged start-stop-daemon");
    router.write("lib/functions.sh", &standin);
    let ran = router.init("start");
    assert!(!router.started() && ran.said.contains("option 'key' /etc/ap.key: denied"), "{}", ran.said);
}

#[test]
fn before_21_02_there_is_no_jail() {
    let router = Router::with(SHORTEST);
    router.remove("var/run/ubus/ubus.sock");
    router.write("var/run/ubus.sock", "");
    let ran = router.init("start");
    assert_eq!((ran.code, router.started()), (Some(0), true));
    assert!(!router.procd().iter().any(|call| call[0].contains("jail")));
    assert_eq!(router.parameter("user"), Some(words("whichroom")));
}

#[test]
fn where_nobody_made_the_user_it_is_made() {
    let router = Router::with(LOGIN);
    router.write("etc/passwd", "root:x:0:0::/root:/bin/ash\n");
    let ran = router.init("start");
    assert!(router.started() && ran.said.contains("made the user 'whichroom'"), "{}", ran.said);
    assert_eq!(router.parameter("user"), Some(words("whichroom")));
    // The rules were read when the user was not there.
    assert!(router.programs().contains("killall -HUP ubusd"));
}

#[test]
fn where_no_user_can_be_made_the_agent_runs_as_root_and_says_so() {
    let router = Router::with(LOGIN);
    router.remove("etc/passwd");
    let ran = router.init("start");
    assert!(router.started() && router.parameter("user").is_none());
    assert!(ran.said.contains("runs as root"), "{}", ran.said);
    assert!(
        router.programs().contains("logger -t whichroom-agent -p daemon.warn there is no user 'whichroom'")
    );
    assert!(router.programs().contains("chown root:root"));
    assert_eq!(router.mode("var/run/whichroom/credentials"), 0o400);
}

#[test]
fn disabled_is_not_started_and_can_be_enabled() {
    for off in ["0", "off", "false", "no", "disabled"] {
        let router = Router::with(&format!("option enabled '{off}'"));
        let ran = router.init("start");
        assert_eq!((ran.code, router.started()), (Some(0), false), "{off}: {}", ran.said);
        assert_eq!(ran.said, "whichroom-agent: option 'enabled' is 0: not started\n", "{off}");
        assert_eq!(router.calls("add_reload_trigger"), [words("whichroom")]);
        // An instance that runs is stopped by a service without one.
        assert_eq!(router.calls("close_service"), [words("set")]);
    }
    for on in ["1", "on", "true", "yes", "enabled"] {
        let router = Router::with(&format!("{SHORTEST}\noption enabled '{on}'"));
        let ran = router.init("start");
        assert_eq!((router.started(), ran.said.as_str()), (true, ""), "{on}");
    }
}

#[test]
fn a_mistake_in_a_changed_configuration_leaves_what_runs() {
    let router = Router::with(LOGIN);
    router.init("start");
    for wrong in ["option nam 'x'", "option interval '0'", "option credentials '/nonexistent'"] {
        router.configure(&format!("{}\n{wrong}", LOGIN.replace("hunter2", "hunter3")));
        let ran = router.init("reload");
        assert_eq!((ran.code, router.procd().len()), (Some(1), 0), "{wrong}");
        assert!(ran.said.contains("goes on as it was"), "{}", ran.said);
        assert_eq!(router.names("var/run/whichroom"), ["credentials"]);
        assert!(router.read("var/run/whichroom/credentials").contains("hunter2"));
    }
}

#[test]
fn stopping_leaves_no_password_behind() {
    let router = Router::with(LOGIN);
    router.init("start");
    router.init("stop");
    assert_eq!(router.calls("kill"), [words("whichroom-agent")]);
    assert!(router.names("var/run/whichroom").is_empty());
    router.init("restart");
    assert!(router.started() && router.names("var/run/whichroom") == ["credentials"]);
}

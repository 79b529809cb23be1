//! A configuration that is refused: no instance, and the option is named. The agent that judges is the real one.

use crate::router::{Router, SHORTEST};

/// Starts with a configuration that is wrong, and gives what was said of it.
fn refused(router: &Router) -> String {
    let ran = router.init("start");
    assert!(!router.started(), "{:?}", router.procd());
    // The correction is noticed.
    assert_eq!(router.calls("add_reload_trigger"), [["whichroom"]]);
    assert!(router.names("var/run/whichroom").is_empty(), "{:?}", router.names("var/run/whichroom"));
    assert!(ran.said.starts_with("whichroom-agent: /etc/config/whichroom: "), "{}", ran.said);
    assert_eq!(ran.said.lines().count(), 1, "{}", ran.said);
    let logged = format!(
        "logger -t whichroom-agent -p daemon.err {}",
        ran.said.trim_start_matches("whichroom-agent: ")
    );
    assert!(router.programs().ends_with(&logged), "{}", router.programs());
    ran.said
}

#[test]
fn what_is_wrong_in_the_section_is_named() {
    for (options, expected) in [
        ("", "option 'broker' is missing: where the MQTT broker is, such as mqtt://192.168.1.2:1883"),
        ("option broker ''", "option 'broker' is missing"),
        ("option brokr 'nas'", "option 'brokr' is unknown; there are: enabled interface"),
        ("option broker 'http://nas'", "option 'broker': http:// is not supported; use mqtt://"),
        (
            "option broker 'mqtts://nas'",
            if cfg!(feature = "tls") {
                "option 'broker': mqtts:// needs --ca FILE or --fingerprint"
            } else {
                "option 'broker': mqtts:// is TLS: install the package whichroom-agent-tls"
            },
        ),
        ("option broker 'nas'\noption ca '/x'", "option 'ca': only a broker at mqtts:// has use for it"),
        ("option broker 'nas:99999'", "option 'broker' \"nas:99999\": not of the form mqtt://HOST:PORT"),
        ("option broker 'mqtt://a b'", "option 'broker'"),
        ("option broker '-v'\noption name 'Küche'", "option 'name' \"Küche\": an id has 1 to 32"),
        ("option broker 'nas'\noption name 'Küche'", "how about kuche?"),
        ("option broker 'nas'\noption site 'a/b'", "option 'site' \"a/b\""),
        ("option broker 'nas'\noption interval '0'", "option 'interval' \"0\""),
        ("option broker 'nas'\noption interval '5s'", "option 'interval' \"5s\""),
        ("option broker 'nas'\noption probes 'some'", "option 'probes' \"some\""),
        ("option broker 'nas'\noption enabled 'maybe'", "option 'enabled' is neither 1 nor 0"),
        ("option broker 'nas'\noption verbose '2'", "option 'verbose' is neither 1 nor 0"),
        ("list broker 'nas'\nlist broker 'nas2'", "list 'broker'"),
        (
            "option broker 'nas'\noption password 'hunter2'",
            "option 'password' is there without option 'username'",
        ),
        (
            "option broker 'nas'\noption username 'a'\noption password 'x\nhunter2'",
            "option 'username' or 'password' has a line break in it",
        ),
        (
            "option broker 'nas'\noption credentials '/nonexistent/c'",
            "option 'credentials': /nonexistent/c is no file",
        ),
        ("option broker 'nas'\noption credentials '/tmp'", "option 'credentials': /tmp is no file"),
        (
            "option broker 'nas'\noption credentials '/c'\noption username 'a'",
            "option 'credentials' is there beside",
        ),
    ] {
        let said = refused(&Router::with(options));
        assert!(said.contains(expected), "{options}\n{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn what_is_wrong_with_the_file_is_named() {
    for (text, expected) in [
        ("", "there is no section config agent 'agent'"),
        ("config agent 'agent'\noption broker 'nas'\nconfig agent 'two'\n", "section 'two' is a second one"),
        (
            "config agent 'agent'\noption broker 'nas'\nconfig station\noption x '1'\n",
            "section of the type 'station'",
        ),
        (
            "config agent 'agent'\nbroker 'nas'\n",
            "cannot be read: uci: Parse error (invalid command) at line 2",
        ),
    ] {
        let router = Router::new();
        router.write("etc/config/whichroom", text);
        let said = refused(&router);
        assert!(said.contains(expected), "{text}\n{said}");
    }
    let router = Router::new();
    router.remove("etc/config/whichroom");
    assert!(refused(&router).contains("cannot be read"));
}

#[test]
fn a_section_needs_no_name() {
    let router = Router::new();
    router.write("etc/config/whichroom", &format!("config agent\n{SHORTEST}\n"));
    router.init("start");
    assert!(router.started());
}

#[test]
fn a_password_in_the_url_is_refused_and_not_repeated() {
    let said = refused(&Router::with("option broker 'mqtt://me:hunter2@nas'\noption name 'k'"));
    assert!(said.contains("option 'broker': user and password do not belong here"), "{said}");
    assert!(!said.contains("hunter2"));
}

#[test]
fn a_file_of_credentials_that_makes_no_sense_is_named_and_not_shown() {
    let router = Router::new();
    router.write("etc/credentials", "user: hunter2\nanother\nand another\n");
    let file = router.text_path("etc/credentials");
    router.configure(&format!("{SHORTEST}\noption credentials '{file}'"));
    let said = refused(&router);
    assert!(said.contains(&format!("option 'credentials' {file}: ")), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn credentials_that_cannot_be_written_are_no_reason_to_go_without() {
    let router = Router::with(&format!("{SHORTEST}\noption username 'a'\noption password 'b'"));
    router.write("var/run/whichroom", "a file where a directory belongs");
    let ran = router.init("start");
    assert!(!router.started());
    assert!(ran.said.contains("the credentials cannot be written to"), "{}", ran.said);
}

#[test]
fn psk_leak_credentials_that_cannot_be_given_to_the_agent_are_not_left_behind() {
    let router = Router::with(&format!("{SHORTEST}\noption username 'a'\noption password 'b'"));
    let read_only = router.read("lib/functions.sh").replace("chown() {", "chown() {\n\treturn 1\n");
    router.write("lib/functions.sh", &read_only);
    assert!(refused(&router).contains("the credentials cannot be written to"));
}

#[test]
fn an_agent_that_cannot_run_is_not_started() {
    for (program, expected) in
        [("#!/bin/sh\nexit 1\n", "--check failed"), ("#!/nonexistent/loader\n", "not found")]
    {
        let router = Router::with(SHORTEST);
        router.write_program("usr/bin/whichroom-agent", program);
        let said = refused(&router);
        assert!(said.contains(expected), "{said}");
    }
    let router = Router::with(SHORTEST);
    router.remove("usr/bin/whichroom-agent");
    assert!(refused(&router).contains("not found"));
}

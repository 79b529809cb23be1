//! The command `check`: the real agent on a stand-in ubusd, seen through the init script and under the access rules.

use whichroom_tests::ubusd::{Access, Bss, Options, Station, Ubusd};
use whichroom_wire::Mac;

use crate::router::Router;
use crate::run::rules;

/// A router whose agent sees two BSSs with three stations under these rules.
fn router(options: Options) -> (Router, Ubusd) {
    let router = Router::new();
    let socket = router.path("u.sock");
    let ubusd = Ubusd::start(&socket, options).unwrap();
    for (ifname, number) in [("phy0-ap0", 1), ("phy1-ap0", 2)] {
        ubusd.add_bss(Bss::new(ifname, Mac::new([2, 0xaa, 0, 0, 0, number]), "home", 5180));
        for station in 0..number {
            let mac = Mac::new([2, 0, 0, 0, number, station]);
            ubusd.place(ifname, mac, Station::new(-50, std::time::Instant::now()));
        }
    }
    router.configure(&format!(
        "option broker 'mqtt://nas'\noption name 'kitchen'\noption username 'ap'\noption password 'hunter2'\n\
         option ubus '{}'",
        socket.display()
    ));
    (router, ubusd)
}

#[test]
fn check_says_where_it_connects_what_it_sees_and_what_runs() {
    let (router, _ubusd) = router(Options { access: Access::Limited(rules()), ..Options::default() });
    let ran = router.init("check");
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    for expected in [
        "connect to nas:1883 as \"ap\"",
        "whichroom/home/ap/kitchen/",
        "run as whichroom in a jail",
        "not running now",
        "sees 3 stations on: phy0-ap0 phy1-ap0",
        "asks hostapd,iwinfo",
    ] {
        assert!(ran.printed.contains(expected), "{expected}:\n{}\n{}", ran.printed, ran.said);
    }
    for absent in ["missing", "problems", "hunter2"] {
        assert!(!ran.printed.contains(absent), "{}", ran.printed);
    }
    assert!(router.procd().is_empty() && router.names("var/run/whichroom").is_empty());
    // Root would see what rules keep from the agent.
    assert!(router.programs().contains("start-stop-daemon -S -q -c whichroom "), "{}", router.programs());
}

#[test]
fn check_says_what_is_missing() {
    let (router, _ubusd) = router(Options { without_rpcd: true, ..Options::default() });
    router.remove("sbin/ujail");
    let ran = router.init("check");
    assert!(ran.printed.contains("missing: iwinfo: install rpcd-mod-iwinfo"), "{}", ran.printed);
    assert!(ran.printed.contains("without a jail"), "{}", ran.printed);
    assert!(ran.printed.contains("sees 3 stations"), "{}", ran.printed);
}

#[test]
fn check_says_that_rules_forbid_and_that_there_is_no_ubusd() {
    let (router, ubusd) = router(Options {
        access: Access::Limited(whichroom_tests::ubusd::Rules::default()),
        ..Options::default()
    });
    let ran = router.init("check");
    assert!(ran.printed.contains("sees 0 stations"), "{}", ran.printed);
    assert!(ran.printed.contains("problems: "), "{}", ran.printed);

    drop(ubusd);
    let ran = router.init("check");
    assert!(ran.printed.contains("connect to nas:1883"), "{}", ran.printed);
    assert!(ran.said.contains("ubusd"), "{}", ran.said);
}

#[test]
fn check_shows_a_mistake_and_the_last_of_the_log() {
    let router = Router::with("option broker 'nas'\noption name 'kitchen'\noption interval '99'");
    let ran = router.init("check");
    assert_eq!(ran.code, Some(1));
    assert!(ran.said.contains("option 'interval' \"99\""), "{}", ran.said);

    router.configure("option enabled '0'\noption broker 'nas'\noption username 'ap'\noption name 'kitchen'");
    let ran = router.init("check");
    assert!(ran.printed.contains("it is not started"), "{}", ran.printed);
    assert!(ran.printed.contains("connect to nas:1883 as \"ap\""), "{}", ran.printed);
    assert!(router.names("var/run/whichroom").is_empty());

    let help = router.init("help");
    assert!(help.printed.contains("check           Say where the agent connects"), "{}", help.printed);
}

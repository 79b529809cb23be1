//! The script that runs once after installation: it names the access point and has ubusd read the access rules.

use std::ffi::OsStr;

use crate::router::{Ran, Router};

/// As opkg and apk run it: read into a shell that has OpenWrt's functions.
fn install(router: &Router, hostname: &str) -> Ran {
    router.write("hostname", hostname);
    let line = format!(
        "cd {0}/etc/uci-defaults && . {0}/lib/functions.sh && (. ./95-whichroom-agent)",
        router.text_path("")
    );
    router.ash([OsStr::new("-c"), OsStr::new(&line)])
}

fn name(router: &Router) -> Option<String> {
    let text = router.read("etc/config/whichroom");
    let name = text.lines().find_map(|line| line.strip_prefix("\toption name '")?.strip_suffix('\''));
    name.map(str::to_owned)
}

#[test]
fn the_access_point_is_named_after_its_host_name() {
    for (hostname, expected) in [
        ("Kitchen-AP", "kitchen-ap"),
        ("attic_2", "attic_2"),
        ("My  AP (upstairs).lan", "my-ap-upstairs-lan"),
        ("a-host-name-that-is-longer-than-an-id-may-be", "a-host-name-that-is-longer-than"),
    ] {
        let router = Router::new();
        let before = router.read("etc/config/whichroom");
        let ran = install(&router, hostname);
        assert_eq!((ran.code, ran.said.as_str()), (Some(0), ""), "{hostname}");
        assert_eq!(name(&router).as_deref(), Some(expected));
        assert_eq!(router.read("etc/config/whichroom").lines().count(), before.lines().count());
        assert!(router.programs().contains("killall -HUP ubusd"));
        expected.parse::<whichroom_wire::Id>().unwrap();
    }
}

#[test]
fn routers_fresh_from_the_box_get_different_names() {
    let router = Router::new();
    router.write("sys/class/net/eth0/address", "44:00:00:0a:bc:01\n");
    install(&router, "OpenWrt");
    assert_eq!(name(&router).as_deref(), Some("ap-0abc01"));
    let router = Router::new();
    install(&router, "OpenWrt");
    assert_eq!(name(&router).as_deref(), Some("openwrt"));
}

#[test]
fn a_name_that_is_there_stays() {
    let router = Router::new();
    let commented = router.read("etc/config/whichroom") + "\toption name 'mine'\n";
    for before in [commented, "config agent 'agent'\n\toption name 'mine'\n".to_owned()] {
        router.write("etc/config/whichroom", &before);
        install(&router, "other");
        assert_eq!(router.read("etc/config/whichroom"), before);
        assert!(!router.programs().contains("uci"), "{}", router.programs());
    }
}

#[test]
fn where_the_comments_are_gone_uci_writes_the_name() {
    let router = Router::with("option broker 'nas'");
    assert_eq!(install(&router, "Attic").code, Some(0));
    let programs = router.programs();
    assert!(
        programs.contains("uci -q set whichroom.agent.name=attic\nuci -q commit whichroom"),
        "{programs}"
    );
}

#[test]
fn the_file_stays_for_root_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let router = Router::new();
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(router.path("etc/config/whichroom"), mode).unwrap();
    install(&router, "attic");
    assert_eq!(router.mode("etc/config/whichroom"), 0o600);
}

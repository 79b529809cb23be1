//! Names of unknown devices: a real dnsmasq knows them, as it does on a router; the page shows them, and a phone under
//! another address is recognised and given back to its owner.

use std::path::Path;

use serde_json::{Value, json};
use whichroom_tests::directory::Directory;
use whichroom_tests::house::{ANNA, BSS_5, FAMILY, House};
use whichroom_tests::mosquitto::free_port;
use whichroom_tests::process::{Process, wait};
use whichroom_tests::ubusd::Lease;
use whichroom_wire::Mac;

const PROGRAM: &str = "/usr/sbin/dnsmasq";
/// A phone that took another address of its own.
const ROTATED: Mac = Mac::new([0x02, 0, 0, 0, 0x77, 0x0a]);
/// A television with its maker's address.
const TELEVISION: Mac = Mac::new([0xb8, 0x27, 0xeb, 0, 0, 1]);

/// A name server that knows these hosts: lines as in `/etc/hosts`.
struct Dnsmasq {
    process: Process,
    port: u16,
    _directory: Directory,
}

impl Dnsmasq {
    fn start(hosts: &str) -> Dnsmasq {
        assert!(Path::new(PROGRAM).is_file(), "{PROGRAM} is missing: run apt-get install dnsmasq-base");
        let (directory, port) = (Directory::new(), free_port());
        let hosts = directory.write("hosts", hosts);
        let arguments = [
            "--keep-in-foreground".to_owned(),
            "--conf-file=/dev/null".to_owned(),
            "--no-resolv".to_owned(),
            "--no-hosts".to_owned(),
            "--user=root".to_owned(),
            "--pid-file=".to_owned(),
            "--bind-interfaces".to_owned(),
            "--listen-address=127.0.0.1".to_owned(),
            format!("--port={port}"),
            format!("--addn-hosts={}", hosts.display()),
            "--log-facility=-".to_owned(),
            "--log-queries".to_owned(),
        ];
        let mut process = Process::start(Path::new(PROGRAM), &arguments, &directory.join("dnsmasq.log"));
        process.wait_log("read ");
        Dnsmasq { process, port, _directory: directory }
    }

    fn questions(&self) -> Vec<String> {
        let log = self.process.log();
        log.lines().filter(|line| line.contains("query[")).map(str::to_owned).collect()
    }
}

/// What the router knows: an address, and no name.
fn lease(mac: Mac, address: &str) -> Lease {
    Lease { mac, address: address.to_owned(), hostname: None }
}

fn with_name_server(port: u16) -> String {
    format!("[site]\nname_server = \"127.0.0.1:{port}\"\n{FAMILY}")
}

fn unknown(page: &Value, mac: Mac) -> Value {
    let all = page["unknown"].as_array().cloned().unwrap_or_default();
    all.into_iter().find(|device| device["mac"] == mac.to_string()).unwrap_or_default()
}

#[test]
fn random_mac_a_phone_under_another_address_is_recognised_and_given_back() {
    let dnsmasq =
        Dnsmasq::start("192.168.7.40 Annas-iPhone.lan\n192.168.7.41 Annas-iPhone.lan\n192.168.7.50 tv.lan\n");
    let mut house = House::new();
    house.add_ap("hall");
    let leases =
        vec![lease(ANNA, "192.168.7.40"), lease(ROTATED, "192.168.7.41"), lease(TELEVISION, "192.168.7.50")];
    house.bus("hall").set_leases(leases);
    house.start_aggregator(&with_name_server(dnsmasq.port));
    assert!(dnsmasq.questions().is_empty(), "nobody looks at the page");

    house.bus("hall").join(BSS_5, ROTATED, -50);
    house.bus("hall").join(BSS_5, TELEVISION, -60);
    let page = house.wait_page("the phone by its name", |page| {
        unknown(page, ROTATED)["same_as"] == "anna-phone" && unknown(page, TELEVISION)["host"] == "tv"
    });
    let phone = unknown(&page, ROTATED);
    assert_eq!((&phone["host"], &phone["private_mac"]), (&json!("annas-iphone"), &json!(true)));
    assert_eq!((&phone["vendor"], &phone["address"]), (&Value::Null, &json!("192.168.7.41")));
    let television = unknown(&page, TELEVISION);
    assert_eq!(television["vendor"], "Raspberry Pi Foundation");
    assert_eq!(television["same_as"], Value::Null);
    for question in dnsmasq.questions() {
        assert!(
            question.contains("query[PTR] ") && question.contains(".7.168.192.in-addr.arpa"),
            "{question}"
        );
    }
    let asked = dnsmasq.questions().len();
    assert!(asked <= 3, "each address once: {:?}", dnsmasq.questions());

    let adoption = json!({"mac": ROTATED, "owner": {"device": "anna-phone"}});
    house.page_post("/api/adopt", &adoption);
    house.wait_room("anna", "Hall");
    house.wait_page("the phone as Anna's", |page| unknown(page, ROTATED).is_null());
    let written = std::fs::read_to_string(house.directory.join("whichroom.toml"));
    assert!(written.is_ok_and(|text| text.contains(&ROTATED.to_string())));
}

#[test]
fn nobody_is_asked_where_names_are_not_to_be_resolved_and_a_reload_changes_that() {
    let dnsmasq = Dnsmasq::start("192.168.7.50 tv.lan\n");
    let mut house = House::new();
    house.add_ap("hall");
    house.bus("hall").set_leases(vec![lease(TELEVISION, "192.168.7.50")]);
    let off = format!("[site]\nresolve_names = false\n{FAMILY}");
    house.start_aggregator(&off);
    house.bus("hall").join(BSS_5, TELEVISION, -60);
    house.wait_page("the television with its address", |page| {
        unknown(page, TELEVISION)["address"] == "192.168.7.50"
    });
    // As often as it takes a page to be drawn anew after a name came.
    for _ in 0..5 {
        house.page_state();
        std::thread::sleep(std::time::Duration::from_millis(250));
    }
    assert_eq!(unknown(&house.page_state(), TELEVISION)["host"], Value::Null);
    assert!(dnsmasq.questions().is_empty());

    let text = std::fs::read_to_string(house.directory.join("whichroom.toml")).unwrap_or_default();
    let server = format!("name_server = \"127.0.0.1:{}\"", dnsmasq.port);
    house.directory.write("whichroom.toml", &text.replace("resolve_names = false", &server));
    if let Some(aggregator) = &house.aggregator {
        aggregator.signal("HUP");
    }
    house.wait_page("the television's name", |page| unknown(page, TELEVISION)["host"] == "tv");
    wait("one question", || (dnsmasq.questions().len() == 1).then_some(()));
}

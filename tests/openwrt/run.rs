//! The real agent as the init script has procd run it: with its arguments, its credentials file and under the access
//! rules, between a stand-in ubusd and a real broker that wants a password.

use std::fs;
use std::time::Instant;

use serde_json::Value;
use whichroom_tests::house::{ANNA, BSS_5, House, topic};
use whichroom_tests::mosquitto::Settings;
use whichroom_tests::process::Process;
use whichroom_tests::ubusd::{Access, Heard, Lease, Options, Rules, Station};
use whichroom_wire::Mac;

use crate::router::{Router, project};

/// The access rules as they are installed.
pub fn rules() -> Rules {
    let file = project().join("files/ap/usr/share/acl.d/whichroom-agent.json");
    let text = fs::read_to_string(&file).unwrap();
    let user: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(user["user"], "whichroom");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

#[test]
fn the_rules_allow_what_the_agent_does_and_nothing_else() {
    let users = vec![("ap kitchen".to_owned(), r#"hu"n $ter\2"#.to_owned())];
    let mut house = House::with(&Settings { users: users.clone(), ..Settings::default() });
    let options = Options { access: Access::Limited(rules()), usteer: true, ..Options::default() };
    house.add_bus("kitchen", options);
    let router = Router::with(&format!(
        "option broker '{}'\noption name 'kitchen'\noption interval '1'\noption ubus '{}'\n\
         option username '{}'\noption password '{}'",
        house.mosquitto.url(),
        house.directory.join("kitchen.sock").display(),
        users[0].0,
        users[0].1,
    ));
    assert_eq!(router.init("start").code, Some(0));
    let log = house.directory.join("agent.log");
    let agent = Process::start(&router.path("usr/bin/whichroom-agent"), &router.arguments(), &log);
    house.ap("kitchen").agent = Some(agent);
    house.wait_agent("kitchen");

    // What it does in its life: stations, a radio that comes back, leases, a beacon report.
    let bus = house.bus("kitchen");
    let heard = Mac::new([0x02, 0xaa, 9, 0, 0, 5]);
    bus.set_beacon_report(ANNA, vec![Heard { bssid: heard, rcpi: 100 }]);
    bus.set_leases(vec![Lease {
        mac: ANNA,
        address: "192.168.1.20".into(),
        hostname: Some("annas-phone".into()),
    }]);
    bus.join(BSS_5, ANNA, -51);
    let listed = |table: &Value| table["stations"][0]["mac"] == ANNA.to_string().as_str();
    house.observer.wait_last(&topic("ap/kitchen/stations"), listed);
    house
        .observer
        .wait_last(&topic("ap/kitchen/radios"), |radios| radios["radios"][0]["txpower_dbm"].is_i64());
    let request = format!(r#"{{"schema":1,"id":"r1","kind":"beacon-report","mac":"{ANNA}","mode":"table"}}"#);
    let mark = house.observer.mark();
    house.observer.publish(&topic("ap/kitchen/request"), request, false);
    let answered = |arrived: &whichroom_tests::observer::Arrived| {
        arrived.topic == topic("ap/kitchen/events")
            && String::from_utf8_lossy(&arrived.payload).contains("beacon-report")
    };
    house.observer.wait_since(mark, "beacon report", answered);
    house.bus("kitchen").wifi_reload();
    house.wait_agent("kitchen");
    house.bus("kitchen").place(BSS_5, ANNA, Station::new(-51, Instant::now()));
    let bus = house.bus("kitchen");
    let rules = rules();
    assert_eq!(rules.listen, ["ubus.object.add", "ubus.object.remove"]);
    assert_eq!(rules.subscribe, ["hostapd.*"]);
    assert!(rules.publish.is_empty() && rules.send.is_empty());
    for (object, granted) in &rules.access {
        for method in &granted.methods {
            let object = object.replace('*', BSS_5);
            bus.wait_calls(&object, method, 1);
        }
    }
    let all = serde_json::json!(["hostapd", "iwinfo", "usteer", "leases"]);
    let status = house.observer.wait_last(&topic("ap/kitchen/status"), |status| status["sources"] == all);
    assert!(status["problems"].as_array().is_none_or(Vec::is_empty), "{status}");
}

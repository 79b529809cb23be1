//! "I am in the kitchen now" with real programs: said over MQTT or on the command line, heard by hostapd's stand-ins,
//! kept over a restart, and told to the phone's own view by a beacon report (802.11k).

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use whichroom_tests::directory::Directory;
use whichroom_tests::house::{ANNA, BEN, BSS_2, BSS_5, FAMILY, House, topic};
use whichroom_tests::mosquitto::free_port;
use whichroom_tests::observer::Observer;
use whichroom_tests::process::{HANG, Process, product, run};
use whichroom_tests::ubusd::Heard;
use whichroom_wire::Mac;

/// Below the root, with JSON.
fn say(observer: &Observer, below: &str, payload: &Value, retain: bool) {
    observer.publish(&topic(below), payload.to_string(), retain);
}

/// Waits while a phone sends.
fn wait_awake(house: &House, ap: &str, mac: Mac, what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < HANG, "no {what} within {HANG:?}");
        house.bus(ap).with_ap(|ap| {
            let Some(station) = ap.station(BSS_5, mac) else { return };
            station.signal_dbm = if station.signal_dbm == -52 { -55 } else { -52 };
            station.receive(10, Instant::now());
        });
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// `whichroom calibrate ...` asked of the house's aggregator.
fn command(house: &mut House, arguments: &[&str]) -> (String, String) {
    let page = house.page_address();
    let arguments = [&["calibrate", "--page", &page][..], arguments].concat();
    let output = run(&product("whichroom"), &arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

fn samples(house: &mut House) -> Vec<Value> {
    let (listed, error) = command(house, &["--list", "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap_or_else(|_| panic!("{listed}{error}"));
    listed["samples"].as_array().cloned().unwrap_or_default()
}

#[test]
fn it_is_said_over_mqtt_asked_of_the_phone_and_kept_over_a_restart() {
    let mut house = House::new();
    // What the broker kept of another time is not obeyed.
    say(&house.observer, "calibrate", &json!({"schema": 1, "device": "ben", "room": "kitchen"}), true);
    house.add_ap("kitchen");
    house.add_ap("hall");
    house.start_aggregator(FAMILY);
    let (own, other) = (house.bssid("hall", BSS_5), house.bssid("kitchen", BSS_2));
    let foreign = Mac::new([0x66, 0, 0, 0, 0, 1]);
    let heard = [(own, 120), (other, 90), (foreign, 150)].map(|(bssid, rcpi)| Heard { bssid, rcpi });
    house.bus("hall").set_beacon_report(ANNA, heard.to_vec());
    house.bus("hall").join(BSS_5, ANNA, -52);
    house.bus("kitchen").join(BSS_5, BEN, -60);
    house.wait_room("anna", "Hall");
    house.wait_room("ben", "Kitchen");

    let mark = house.observer.mark();
    say(
        &house.observer,
        "calibrate",
        &json!({"schema": 1, "device": "anna-phone", "room": "kitchen"}),
        false,
    );
    house.observer.wait_last(&topic("person/anna"), |anna| anna["room"] == "Kitchen");
    let answered = topic("calibrated");
    wait_awake(&house, "hall", ANNA, "sample", || house.observer.last(&answered).is_some());
    assert_eq!(
        house.observer.last(&answered),
        Some(
            json!({"schema": 1, "device": "anna-phone", "room": "kitchen", "sample": 1, "alike": [], "error": null})
        )
    );

    let since = house.observer.since(mark);
    let asked: Vec<Value> = since
        .iter()
        .filter(|arrived| arrived.topic == topic("ap/hall/request"))
        .inspect(|arrived| assert!(!arrived.retained))
        .map(whichroom_tests::observer::Arrived::json)
        .collect();
    assert!(!asked.is_empty(), "nobody asked");
    assert!(
        asked.iter().all(|asked| asked["mac"] == ANNA.to_string() && asked["mode"] == "table"),
        "{asked:?}"
    );
    assert!(since.iter().all(|arrived| arrived.topic != topic("ap/kitchen/request")));

    let before = samples(&mut house);
    let [sample] = before.as_slice() else { panic!("{before:?}") };
    assert_eq!((&sample["device"], &sample["room"]), (&json!("anna-phone"), &json!("kitchen")));
    assert_eq!(
        (&sample["readings"][0]["ap"], &sample["readings"][0]["associated"]),
        (&json!("hall"), &json!(true))
    );
    assert_eq!(sample["silent"], json!(["kitchen"]));
    let reported: Vec<_> = sample["reported"].as_array().into_iter().flatten().collect();
    let view: Vec<_> = reported.iter().map(|heard| (&heard["ap"], &heard["mean_dbm"])).collect();
    // The hall's is at 5 GHz: levels there are kept 7 dB higher, as the rooms' model compares them.
    assert_eq!(view, [(&json!("hall"), &json!(-43)), (&json!("kitchen"), &json!(-65))], "only our own");

    let aggregator = house.aggregator.as_mut().expect("it runs");
    assert_eq!(aggregator.terminate().code(), Some(0));
    house.restart_aggregator();
    assert_eq!(samples(&mut house), before);
    let file = house.directory.join("state/calibration.json");
    let (exported, _) = command(&mut house, &["--export"]);
    assert_eq!(exported.trim(), std::fs::read_to_string(&file).expect("it is there"));

    let (said, _) = command(&mut house, &["--forget", "1"]);
    assert_eq!(said, "forgot sample 1; 0 are kept\n");
    let (_, refused) = command(&mut house, &["--forget", "1"]);
    assert_eq!(refused, "there is no sample 1\n");
    let text = std::fs::read_to_string(&file).expect("it is there");
    let kept: Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(kept, json!({"version": 1, "next_id": 2, "samples": []}));
}

#[test]
fn the_command_waits_for_its_sample_and_says_what_is_wrong() {
    let mut house = House::new();
    house.add_ap("hall");
    house.start_aggregator(FAMILY);
    for (arguments, because) in [
        (
            ["eve", "kitchen"],
            "no device or person has the id \"eve\"; known are anna, ben, anna-phone, ben-phone",
        ),
        (["anna", "cellar"], "no room has the id \"cellar\"; known are kitchen, hall"),
        (["anna", "Kitchen"], "Anna is not connected; switch its WiFi on"),
    ] {
        let (_, error) = command(&mut house, &arguments);
        assert!(error.starts_with(because), "{error}");
    }
    house.bus("hall").join(BSS_5, ANNA, -52);
    house.wait_room("anna", "Hall");
    let page = house.page_address();
    let log = house.directory.join("calibrate.log");
    let arguments = ["calibrate", "--page", &page, "Anna", "Kitchen"];
    let mut command = Process::start(&product("whichroom"), &arguments, &log);
    command.wait_log("listening to anna-phone for 30 s: stay in kitchen");
    let mut said = String::new();
    wait_awake(&house, "hall", ANNA, "sample on the command line", || {
        said = command.log();
        said.contains("sample 1: anna-phone in kitchen, ")
    });
    // -52 dBm at 5 GHz, and 7 dB more, as the rooms' model compares it.
    assert!(said.contains("heard by hall -4"), "{said}");
    assert_eq!(command.wait_exit().code(), Some(0));
}

#[test]
fn home_assistants_user_may_calibrate_at_the_embedded_broker() {
    let directory = Directory::new();
    let port = free_port();
    let configuration = format!(
        "[mqtt]\nlisten = \"127.0.0.1:{port}\"\n\
         [[mqtt.user]]\nname = \"homeassistant\"\npassword = \"one\"\n\
         [[mqtt.user]]\nname = \"ap-hall\"\npassword = \"two\"\nap = \"hall\"\n\
         [web]\nlisten = \"127.0.0.1:0\"\n{FAMILY}"
    );
    let file = directory.write("whichroom.toml", &configuration);
    let arguments = ["run".into(), "--config".into(), file, "--state".into(), directory.join("state")];
    let mut aggregator = Process::start(&product("whichroom"), &arguments, &directory.join("aggregator.log"));
    aggregator.wait_log("connected to the broker");
    let home_assistant = Observer::with_login(port, &["whichroom/#"], Some(("homeassistant", "one")));
    home_assistant.wait_for_text(&topic("status"), "online");
    let room = |room: &str| json!({"schema": 1, "device": "anna-phone", "room": room});
    say(&home_assistant, "calibrate", &room("cellar"), false);
    let answer = home_assistant.wait_last(&topic("calibrated"), Value::is_object);
    assert_eq!((&answer["room"], &answer["sample"]), (&json!("cellar"), &Value::Null));
    assert_eq!(answer["error"], "no room has the id \"cellar\"; known are kitchen, hall");
    say(&home_assistant, "calibrate", &json!("kitchen"), false);
    let answer = home_assistant.wait_last(&topic("calibrated"), |answer| answer["device"].is_null());
    let error = answer["error"].as_str().unwrap_or_default();
    assert!(
        error.contains(r#"a payload reads {"schema":1,"device":"ada-phone","room":"kitchen"}"#),
        "{error}"
    );
    let log = aggregator.log();
    assert!(log.contains("cellar") && log.contains("a payload reads"), "{log}");
}

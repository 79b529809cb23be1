//! What comes over the broker is foreign: malformed, oversized, absurd or forged messages cost nothing but
//! themselves, are counted where a person can see it, and a good access point keeps working meanwhile.

use serde_json::{Value, json};
use whichroom_tests::house::{ANNA, BSS_2, BSS_5, FAMILY, House, topic};
use whichroom_tests::ubusd::Leave;

fn family() -> House {
    let mut house = House::new();
    house.add_ap("kitchen");
    house.start_aggregator(FAMILY);
    house
}

/// What the page says of an access point.
fn page_ap(page: &Value, ap: &str) -> Value {
    find_ap(page, ap).unwrap_or(Value::Null)
}

/// The page's object with this id that counts rejected messages, wherever it stands.
fn find_ap(value: &Value, ap: &str) -> Option<Value> {
    match value {
        Value::Object(object) if object.get("id") == Some(&ap.into()) && object.contains_key("rejected") => {
            Some(value.clone())
        }
        Value::Object(object) => object.values().find_map(|value| find_ap(value, ap)),
        Value::Array(values) => values.iter().find_map(|value| find_ap(value, ap)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// The good access point's news still arrive.
fn assert_works(house: &House) {
    let other = |ifname| if ifname == BSS_5 { BSS_2 } else { BSS_5 };
    let listed = house.bus("kitchen").with_ap(|ap| ap.station(BSS_5, ANNA).is_some());
    let from = if listed { BSS_5 } else { BSS_2 };
    house.bus("kitchen").leave(from, ANNA, Leave::Silent);
    house.bus("kitchen").join(other(from), ANNA, -50);
    let bssid = house.bssid("kitchen", other(from)).to_string();
    house.wait_stirring("device/anna-phone", |device| {
        device["bssid"] == bssid.as_str() && device["state"] == "present"
    });
}

fn stamp(boot: &str, sent_ms: u64) -> Value {
    json!({"schema": 1, "boot": boot, "node": "evil", "sent_ms": sent_ms})
}

fn with(stamp: &Value, body: &Value) -> String {
    let (mut stamp, body) =
        (stamp.as_object().cloned().unwrap_or_default(), body.as_object().cloned().unwrap_or_default());
    stamp.extend(body);
    Value::Object(stamp).to_string()
}

#[test]
fn unreadable_messages_are_counted_and_cost_nothing_else() {
    let mut house = family();
    let good = with(&stamp("aa", 5), &json!({"seq": 0, "stations": []}));
    let huge = format!(
        r#"{{"schema":1,"boot":"a","node":"evil","sent_ms":1,"stations":[],"x":"{}"}}"#,
        "x".repeat((1 << 20) + 10)
    );
    let deep = "[".repeat(100_000);
    let payloads: [&[u8]; 10] = [
        b"",
        b"\xff\xfe\x00",
        b"null",
        b"[]",
        b"{",
        good.as_bytes().get(..30).unwrap_or_default(),
        br#"{"schema":1}"#,
        br#"{"schema":1,"boot":7,"node":"x","sent_ms":-1,"stations":[]}"#,
        deep.as_bytes(),
        huge.as_bytes(),
    ];
    for payload in payloads {
        for kind in ["status", "stations", "events", "radios", "hosts"] {
            house.observer.publish(&topic(&format!("ap/cellar/{kind}")), payload, false);
        }
    }
    let page = house.wait_page("rejected messages of the cellar", |page| {
        page_ap(page, "cellar")["rejected"].as_u64().is_some_and(|rejected| rejected >= 30)
    });
    assert!(page_ap(&page, "cellar")["last_rejected"].is_string(), "{page}");
    assert_works(&house);
    house.aggregator.as_mut().expect("runs").expect_running();
}

#[test]
fn absurd_values_cost_only_themselves() {
    let mut house = family();
    let station = |signal: Value| json!({"mac": ANNA.to_string(), "bssid": "02:aa:07:00:00:05", "authorized": true, "signal_dbm": signal});
    house.observer.publish(
        &topic("ap/cellar/status"),
        with(&stamp("aa", 1), &json!({"state": "online", "version": "1"})),
        true,
    );
    for signal in [json!(0), json!(20), json!(-200), json!("loud"), json!(1e300), json!(null)] {
        let table = with(
            &stamp("aa", 2),
            &json!({"seq": 1, "stations": [station(signal), {"mac": "ff:ff:ff:ff:ff:ff", "bssid": "x"}, 7, null]}),
        );
        house.observer.publish(&topic("ap/cellar/stations"), table, false);
    }
    let events = json!({"seq": u64::MAX, "events": [
        {"kind": "authorized", "mac": "02:00:00:00:00:99", "bssid": "02:aa:07:00:00:05", "age_ms": u64::MAX},
        {"kind": "signal", "mac": ANNA.to_string(), "bssid": "02:aa:07:00:00:05", "age_ms": -5, "signal_dbm": -50},
        {"kind": "teleport", "mac": ANNA.to_string(), "bssid": "02:aa:07:00:00:05"},
        {"kind": "authorized", "mac": ANNA.to_string().to_uppercase(), "bssid": "02:AA:07:00:00:05", "age_ms": 0, "kind2": []}
    ]});
    house.observer.publish(&topic("ap/cellar/events"), with(&stamp("aa", u64::MAX), &events), false);
    let duplicate = r#"{"schema":1,"schema":1,"boot":"aa","boot":"bb","node":"evil","sent_ms":3,"sent_ms":4,"seq":2,"stations":[],"stations":[]}"#;
    house.observer.publish(&topic("ap/cellar/stations"), duplicate, false);
    house.wait_page("rejected elements of the cellar", |page| {
        page_ap(page, "cellar")["rejected"].as_u64().is_some_and(|rejected| rejected >= 10)
    });
    assert_works(&house);
    house.aggregator.as_mut().expect("runs").expect_running();
}

/// Two access points of one name: the one that is there stays, the newcomer is refused and shown.
#[test]
fn a_second_access_point_of_the_same_name_is_refused() {
    let mut house = family();
    house.bus("kitchen").join(BSS_5, ANNA, -50);
    house.wait_room("anna", "Kitchen");
    let mark = house.observer.mark();
    for seq in 1..=20 {
        let table = with(&stamp("ffff", 1_000 * seq), &json!({"seq": seq, "stations": []}));
        house.observer.publish(&topic("ap/kitchen/stations"), table, false);
        house.stir("kitchen");
    }
    house.wait_page("messages of the duplicate", |page| {
        page_ap(page, "kitchen")["duplicates"].as_u64().is_some_and(|duplicates| duplicates >= 20)
    });
    assert_works(&house);
    let moved =
        house.observer.since(mark).into_iter().find(|arrived| arrived.topic == topic("person/anna/moved"));
    assert!(moved.is_none(), "{moved:?}");
    let Some(aggregator) = &mut house.aggregator else { panic!("no aggregator") };
    aggregator.wait_log("kitchen");
}

/// An access point that reboots counts from 1 again; that is no gap and no repetition.
#[test]
fn a_reboot_may_repeat_sequence_numbers() {
    let mut house = family();
    let online = |boot: &str| {
        with(&stamp(boot, 1), &json!({"state": "online", "version": "1", "sources": ["hostapd"]}))
    };
    let event = |boot: &str, seq: u64, sent_ms: u64, bssid: &str| {
        let events = json!([{"kind": "authorized", "mac": ANNA.to_string(), "bssid": bssid, "age_ms": 0}]);
        with(&stamp(boot, sent_ms), &json!({"seq": seq, "events": events}))
    };
    let table = |boot: &str| with(&stamp(boot, 5), &json!({"seq": 0, "stations": []}));
    for (boot, bssid) in [("aaaa", "02:aa:07:00:00:05"), ("bbbb", "02:aa:07:00:00:02")] {
        house.observer.publish(&topic("ap/hall/status"), online(boot), true);
        house.observer.publish(&topic("ap/hall/stations"), table(boot), true);
        house.observer.publish(&topic("ap/hall/events"), event(boot, 1, 10, bssid), false);
        house.observer.wait_last(&topic("device/anna-phone"), |device| {
            device["bssid"] == bssid && device["ap"] == "hall"
        });
    }
    let page = house.page_state();
    assert_eq!(page_ap(&page, "hall")["gaps"], 0, "{page}");
}

/// What another schema says is not guessed at: the access point counts as not reporting.
#[test]
fn a_newer_schema_is_not_read() {
    let mut house = family();
    house.bus("kitchen").join(BSS_5, ANNA, -50);
    house.wait_room("anna", "Kitchen");
    let newer = r#"{"schema":2,"boot":"aa","node":"n","sent_ms":5,"stations":"elsewhere"}"#;
    house.observer.publish(&topic("ap/cellar/stations"), newer, false);
    house.wait_page("the cellar, too new", |page| page_ap(page, "cellar").is_object());
    assert_works(&house);
}

/// Commands and states that somebody else publishes in our own topics change nothing.
#[test]
fn forged_states_are_overwritten_or_ignored() {
    let house = family();
    house.bus("kitchen").join(BSS_5, ANNA, -50);
    house.wait_room("anna", "Kitchen");
    house.observer.publish(&topic("ap/Not An Id/stations"), "{}", true);
    house.observer.publish(&topic("ap/a/b/c/d"), "{}", true);
    house.observer.publish(&topic("set/anything"), "{}", true);
    assert_works(&house);
}

//! Home Assistant's rules for discovery payloads as checks, learnt on a real one: what it rejects as a whole, what it
//! drops without a word, and what works but does harm. Every payload of every home must pass them.

use std::collections::BTreeSet;

use insta::assert_snapshot;
use proptest::prelude::*;
use serde_json::Value;
use whichroom_presence::Moment;
use whichroom_presence::output::{self, PersonView};

use super::*;
use crate::topics::room_of;

/// Keys that every Home Assistant with device discovery takes; one it does not know loses the whole device.
const TOP: &[&str] = &["device", "origin", "components", "state_topic", "availability", "qos"];
const DEVICE: &[&str] = &[
    "identifiers",
    "name",
    "manufacturer",
    "model",
    "sw_version",
    "via_device",
    "suggested_area",
    "configuration_url",
];
const ORIGIN: &[&str] = &["name", "sw_version", "support_url"];

/// Keys per platform; one it does not know is dropped without a word.
fn component_keys(platform: &str) -> &'static [&'static str] {
    match platform {
        "device_tracker" => &[
            "source_type",
            "value_template",
            "payload_reset",
            "json_attributes_topic",
            "json_attributes_template",
        ],
        "sensor" => &[
            "device_class",
            "options",
            "value_template",
            "state_class",
            "unit_of_measurement",
            "availability",
            "suggested_display_precision",
            "json_attributes_topic",
            "json_attributes_template",
            "entity_category",
        ],
        "binary_sensor" => &[
            "device_class",
            "value_template",
            "payload_on",
            "payload_off",
            "availability",
            "state_topic",
            "json_attributes_topic",
            "json_attributes_template",
            "entity_category",
        ],
        "event" => &["event_types", "state_topic", "availability", "entity_category"],
        _ => panic!("no platform of ours: {platform}"),
    }
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} is no text in {value}"))
}

/// Checks all payloads of a home; panics with the rule that is broken.
fn check(home: &Home, payloads: &Discovery) {
    let mut unique_ids = BTreeSet::new();
    for (topic, payload) in payloads {
        let identifier =
            topic.strip_prefix("homeassistant/device/").unwrap().strip_suffix("/config").unwrap();
        assert!(
            identifier.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'),
            "illegal topic"
        );
        assert!(keys(payload).is_subset(&TOP.iter().copied().collect()), "unknown key on top of {topic}");
        assert_eq!(payload["qos"], 1);
        check_device(payload, identifier);
        for (key, component) in payload["components"].as_object().unwrap() {
            assert!(!key.contains('_'), "a key with an underscore makes unique ids ambiguous");
            assert_eq!(text(component, "unique_id"), format!("{identifier}_{key}"));
            assert!(unique_ids.insert(text(component, "unique_id").to_owned()), "duplicate unique_id");
            check_component(component, payload, home);
        }
    }
    assert!(payloads.keys().next().unwrap().ends_with("_hub/config"), "the hub comes first");
}

fn check_device(payload: &Value, identifier: &str) {
    let device = &payload["device"];
    assert!(keys(device).is_subset(&DEVICE.iter().copied().collect()), "unknown key in device");
    assert!(keys(&payload["origin"]).is_subset(&ORIGIN.iter().copied().collect()), "unknown key in origin");
    assert!(!text(&payload["origin"], "name").is_empty());
    assert!(!text(device, "name").is_empty(), "a device without a name is called by the broker's address");
    assert_eq!(device["identifiers"][0], identifier);
    assert_eq!(
        device.get("via_device").is_none(),
        identifier.ends_with("_hub"),
        "all but the hub hang on it"
    );
    if let Some(url) = device.get("configuration_url") {
        assert!(is_web_address(url.as_str().unwrap()));
    }
}

fn check_component(component: &Value, payload: &Value, home: &Home) {
    let platform = text(component, "platform");
    let common = ["platform", "unique_id", "name", "default_entity_id", "icon"];
    let allowed: BTreeSet<&str> = component_keys(platform).iter().copied().chain(common).collect();
    assert!(keys(component).is_subset(&allowed), "unknown key in {component}");
    assert!(component.get("name").is_some());

    let (domain, object) = text(component, "default_entity_id").split_once('.').unwrap();
    assert_eq!(domain, platform, "the domain of default_entity_id");
    assert!(object.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_')) && !object.contains("__"));
    assert!(!object.starts_with('_') && !object.ends_with('_'));

    let available = component.get("availability").or(payload.get("availability"));
    let is_connected = component["device_class"] == "connectivity";
    assert_eq!(
        available.is_none(),
        platform == "device_tracker" || is_connected,
        "availability of {component}"
    );
    assert!(component.get("state_topic").or(payload.get("state_topic")).is_some());
    if let Some(icon) = component.get("icon") {
        assert!(icon.as_str().unwrap().starts_with("mdi:"));
    }
    match platform {
        "device_tracker" => {
            assert_eq!(component["source_type"], "router", "gps is the default and ranks otherwise");
            assert_eq!(component["payload_reset"], "None");
            assert!(text(component, "json_attributes_template").contains("attributes"), "in_zones");
            assert!(component.get("entity_category").is_none());
        }
        "sensor" if component["device_class"] == "enum" => check_options(component, home),
        "sensor" => assert_eq!(component["state_class"], "measurement"),
        "event" => {
            let known = [json!(["arrived", "left", "changed_room"]), json!(["roamed"])];
            assert!(known.contains(&component["event_types"]), "an event that is not declared is dropped");
        }
        _ => {}
    }
}

/// A state outside the options is dropped with a warning.
fn check_options(component: &Value, home: &Home) {
    let options: Vec<&str> =
        component["options"].as_array().unwrap().iter().map(|o| o.as_str().unwrap()).collect();
    assert!(!options.is_empty());
    assert!(component.get("state_class").is_none() && component.get("unit_of_measurement").is_none());
    assert_eq!(options.iter().collect::<BTreeSet<_>>().len(), options.len(), "each option once");
    for state in publishable(home) {
        // Home Assistant trims what a template gives, and ignores what is empty then.
        let state = state.trim();
        assert!(state.is_empty() || options.contains(&state), "{state:?} can be published and is no option");
    }
}

/// Every room text that a person of this home can be published with.
fn publishable(home: &Home) -> Vec<String> {
    let mut texts = Vec::new();
    let rooms: Vec<Option<String>> =
        home.rooms.iter().map(|room| Some(room.name.clone())).chain([None]).collect();
    for state in [output::Home::Home, output::Home::Away, output::Home::Undecided] {
        for room_name in &rooms {
            for home_only in [false, true] {
                let view = person_view(state, room_name.clone(), home_only);
                texts.push(room_of(&view).to_owned());
            }
        }
    }
    texts
}

fn person_view(home: output::Home, room_name: Option<String>, home_only: bool) -> PersonView {
    PersonView {
        id: "x".parse().unwrap(),
        name: "X".into(),
        home,
        room: None,
        room_name,
        home_only,
        confidence: 0,
        since: Moment::default(),
        home_since: Moment::default(),
        because: Vec::new(),
        stale_since: None,
        device: None,
    }
}

/// A home of two rooms, one person, and one of whom only home or away is to be known, with a phone each.
pub(super) fn small_home() -> Home {
    let room = |id: &str, name: &str| Room { id: id.parse().unwrap(), name: name.into() };
    let person =
        |id: &str, name: &str, home_only| Person { id: id.parse().unwrap(), name: name.into(), home_only };
    let device = |id: &str, name: &str, may_be_followed| Device {
        id: id.parse().unwrap(),
        name: name.into(),
        may_be_followed,
    };
    Home {
        site: "home".parse().unwrap(),
        page_url: Some("http://192.168.1.2:8080/".into()),
        rooms: vec![room("kitchen", "Kitchen"), room("living-room", "Living room")],
        people: vec![person("bob", "Bob", false), person("cleaner", "Cleaner", true)],
        devices: vec![
            device("bob-phone", "Bob's phone", true),
            device("cleaner-phone", "Cleaner's phone", false),
        ],
    }
}

fn shown(topic: &str) -> String {
    let payloads = discovery(&small_home(), "homeassistant");
    let text = serde_json::to_string_pretty(&payloads[topic]).unwrap();
    text.replace(env!("CARGO_PKG_VERSION"), "<version>")
}

#[test]
fn a_small_home_follows_the_rules() {
    let home = small_home();
    let payloads = discovery(&home, "homeassistant");
    check(&home, &payloads);
    assert_eq!(payloads.len(), 6);
}

#[test]
fn a_home_without_rooms_still_has_options() {
    let home = Home { rooms: Vec::new(), ..small_home() };
    check(&home, &discovery(&home, "homeassistant"));
}

#[test]
fn an_address_that_is_none_is_left_out() {
    for url in ["", "homeserver:8080", "http://", "ftp://x", "http:///x", "http://a b", "https://ü"] {
        let home = Home { page_url: Some(url.into()), ..small_home() };
        let payloads = discovery(&home, "homeassistant");
        assert!(
            payloads.values().all(|payload| payload["device"].get("configuration_url").is_none()),
            "{url}"
        );
    }
}

#[test]
fn somebody_home_only_has_no_room_sensor() {
    let payloads = discovery(&small_home(), "homeassistant");
    let components = &payloads["homeassistant/device/whichroom_home_person_cleaner/config"]["components"];
    assert_eq!(keys(components), BTreeSet::from(["tracker", "moved"]));
}

#[test]
fn nothing_of_how_the_phone_of_somebody_home_only_roams_is_told() {
    let home = small_home();
    let payloads = discovery(&home, "homeassistant");
    assert!(payloads.keys().any(|topic| topic.ends_with("_station_bob-phone/config")));
    assert!(!payloads.keys().any(|topic| topic.contains("cleaner-phone")));
    assert!(!home.states().contains("whichroom/home/device/cleaner-phone/thrashing"));
}

#[test]
fn a_station() {
    assert_snapshot!(shown("homeassistant/device/whichroom_home_station_bob-phone/config"));
}

#[test]
fn the_hub() {
    assert_snapshot!(shown("homeassistant/device/whichroom_home_hub/config"));
}

#[test]
fn a_person() {
    assert_snapshot!(shown("homeassistant/device/whichroom_home_person_bob/config"));
}

#[test]
fn a_room() {
    assert_snapshot!(shown("homeassistant/device/whichroom_home_room_living-room/config"));
}

fn ids() -> impl Strategy<Value = BTreeSet<String>> {
    proptest::collection::btree_set("[a-z0-9_-]{1,32}", 0..6)
}

proptest! {
    /// Any names at all: quotes, templates, emoji, control characters, the same name twice, none.
    #[test]
    fn any_home_follows_the_rules(
        site in "[a-z0-9_-]{1,32}", rooms in ids(), people in ids(),
        devices in ids(), names in proptest::collection::vec(any::<String>(), 6), home_only in any::<bool>(),
        url in any::<String>(),
    ) {
        let name = |index: usize| names[index % names.len()].clone();
        let home = Home {
            site: site.parse().unwrap(),
            page_url: Some(format!("http://{url}")),
            rooms: rooms.iter().enumerate().map(|(n, id)| Room { id: id.parse().unwrap(), name: name(n / 2) }).collect(),
            people: people.iter().enumerate()
                .map(|(n, id)| Person { id: id.parse().unwrap(), name: name(n / 2 + 3), home_only })
                .collect(),
            devices: devices.iter().enumerate()
                .map(|(n, id)| Device { id: id.parse().unwrap(), name: name(n), may_be_followed: !home_only })
                .collect(),
        };
        let payloads = discovery(&home, "homeassistant");
        let stations = if home_only { 0 } else { devices.len() };
        prop_assert_eq!(payloads.len(), 1 + rooms.len() + people.len() + stations);
        check(&home, &payloads);
        for payload in payloads.values() {
            let read: Value = serde_json::from_str(&payload.to_string()).unwrap();
            prop_assert_eq!(&read, payload);
        }
    }
}

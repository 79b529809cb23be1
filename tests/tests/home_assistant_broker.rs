//! Home Assistant on a broker of its own, another one than the access points': two real Mosquittos. What is announced
//! where, what an outage of either changes, commands, and a reload that moves it.

use serde_json::Value;
use whichroom_tests::house::{ANNA, BEN, BSS_2, BSS_5, FAMILY, House, topic};
use whichroom_tests::mosquitto::{Mosquitto, Settings};
use whichroom_tests::observer::{Arrived, Observer};
use whichroom_tests::process::wait;
use whichroom_tests::ubusd::Leave;

const PASSWORD: &str = "a password that is nowhere else";
const TRACKER: &str = "homeassistant/device/whichroom_home_person_anna/config";

/// Home Assistant's side: a broker that asks for a password, and who reads there.
struct Apart {
    mosquitto: Mosquitto,
    observer: Observer,
}

impl Apart {
    fn start() -> Apart {
        let users = vec![("homeassistant".to_owned(), PASSWORD.to_owned())];
        let mosquitto = Mosquitto::with(&Settings { users, persistence: true, ..Settings::default() });
        let login = Some(("homeassistant", PASSWORD));
        let observer = Observer::with_login(mosquitto.port(), &["#"], login);
        Apart { mosquitto, observer }
    }

    /// What the configuration says of it.
    fn section(&self) -> String {
        let url = self.mosquitto.url();
        format!(
            "[home_assistant]\nmqtt = \"{url}\"\nusername = \"homeassistant\"\npassword_file = \"ha-password\"\n"
        )
    }

    fn wait_room(&self, room: &str) {
        self.observer.wait_last(&topic("person/anna"), |anna| anna["room"] == room);
    }
}

/// How often the page says that this broker is missing.
fn troubles(page: &Value) -> usize {
    let problems = page["problems"].as_array().map_or(&[][..], Vec::as_slice);
    let texts = problems.iter().filter_map(|problem| problem["text"].as_str());
    texts.filter(|text| text.starts_with("no connection to Home Assistant's broker")).count()
}

/// Anna is in the hall, Ben in the kitchen, Home Assistant elsewhere.
fn family(apart: &Apart) -> House {
    let mut house = House::new();
    house.directory.write("ha-password", PASSWORD);
    house.add_ap("kitchen");
    house.add_ap("hall");
    house.start_aggregator(&format!("{}{FAMILY}", apart.section()));
    house.bus("hall").join(BSS_5, ANNA, -50);
    house.bus("kitchen").join(BSS_2, BEN, -50);
    house.wait_room("anna", "Hall");
    house.wait_room("ben", "Kitchen");
    apart.wait_room("Hall");
    house
}

#[test]
fn everything_of_home_assistant_is_there_and_nothing_of_the_access_points() {
    let apart = Apart::start();
    let mut house = family(&apart);
    apart.observer.wait_last(TRACKER, |discovery| discovery["components"].is_object());
    apart.observer.wait_for_text(&topic("status"), "online");
    apart.observer.wait_last(&topic("house"), |house| house["state"] == "occupied");
    let there = apart.observer.topics();
    assert!(!there.iter().any(|topic| topic.contains("/ap/") || topic.ends_with("/tracked")), "{there:?}");
    assert!(!house.observer.topics().iter().any(|topic| topic.starts_with("homeassistant/")));

    let mark = apart.observer.mark();
    house.bus("kitchen").join(BSS_5, ANNA, -50);
    apart.wait_room("Kitchen");
    apart.observer.wait_since(mark, "an event for Home Assistant", |arrived| {
        arrived.topic == topic("person/anna/moved") && !arrived.retained
    });
    apart.observer.wait_since(mark, "a roam for Home Assistant", |arrived| {
        arrived.topic == topic("device/anna-phone/roamed")
    });

    let log = house.aggregator.as_ref().map(|aggregator| aggregator.log()).unwrap_or_default();
    assert!(log.contains("connected to Home Assistant's broker") && !log.contains(PASSWORD), "{log}");
    assert!(house.page_get("/metrics").contains("whichroom_home_assistant_broker_up{} 1.0"));

    let Some(mut aggregator) = house.aggregator.take() else { panic!("no aggregator") };
    assert_eq!(aggregator.terminate().code(), Some(0), "{}", aggregator.log());
    apart.observer.wait_for_text(&topic("status"), "offline");
}

#[test]
fn commands_come_from_there_and_readings_do_not() {
    let apart = Apart::start();
    let house = family(&apart);
    let mark = apart.observer.mark();
    apart.observer.publish(&topic("calibrate"), r#"{"device":"nobody","room":"kitchen"}"#, false);
    let answer = apart.observer.wait_since(mark, "an answer", |arrived| arrived.topic == topic("calibrated"));
    assert!(answer.json()["error"].is_string(), "{:?}", answer.json());
    apart.observer.publish(&topic("set/note"), r#"{"text":"moved the sofa"}"#, false);

    // Whoever may write there cannot make somebody leave, nor add an access point.
    let forged = house.observer.last_bytes(&topic("ap/hall/stations")).unwrap_or_default();
    let mut forged: Value = serde_json::from_slice(&forged).unwrap_or_default();
    forged["stations"] = Value::Array(Vec::new());
    apart.observer.publish(&topic("ap/hall/stations"), forged.to_string(), false);
    let mark = house.observer.mark();
    house.stir("hall");
    house.observer.wait_since(mark, "an event", |arrived| arrived.topic == topic("ap/hall/events"));
    let room = house.observer.last(&topic("person/anna")).map(|anna| anna["room"].clone());
    assert_eq!(room, Some("Hall".into()));
}

#[test]
fn broker_restart_of_home_assistants_delays_nothing_and_everything_comes_again() {
    let mut apart = Apart::start();
    let mut house = family(&apart);
    apart.mosquitto.kill();
    // Somebody walks and somebody leaves meanwhile.
    house.bus("kitchen").join(BSS_5, ANNA, -50);
    house.wait_room("anna", "Kitchen");
    house.bus("kitchen").leave(BSS_2, BEN, Leave::Disassoc);
    house.wait_away("ben");
    if let Some(aggregator) = &mut house.aggregator {
        aggregator.wait_log("no connection to Home Assistant's broker");
    }
    house.wait_page("the outage on the page", |state| troubles(state) == 1);
    let connections = apart.observer.connections();
    apart.mosquitto.start_again();
    apart.observer.wait_connected(connections + 1);
    apart.wait_room("Kitchen");
    apart.observer.wait_last(&topic("person/ben"), |ben| ben["tracker"] == "not_home");
    apart.observer.wait_for_text(&topic("status"), "online");
    house.wait_page("nothing of it on the page", |state| troubles(state) == 0);
}

#[test]
fn broker_restart_of_the_access_points_moves_nobody_there() {
    let apart = Apart::start();
    let mut house = family(&apart);
    let mark = apart.observer.mark();
    house.mosquitto.kill();
    if let Some(aggregator) = &mut house.aggregator {
        aggregator.wait_log("no connection to the broker");
    }
    house.bring_broker_back();
    if let Some(aggregator) = &mut house.aggregator {
        aggregator.wait_log("over: cannot decide");
    }
    house.bus("kitchen").join(BSS_5, ANNA, -50);
    apart.wait_room("Kitchen");
    let said = |arrived: &&Arrived| {
        arrived.topic.starts_with(&topic("person/")) && !arrived.topic.ends_with("/moved")
    };
    let since = apart.observer.since(mark);
    let trackers: Vec<Value> =
        since.iter().filter(said).map(|arrived| arrived.json()["tracker"].clone()).collect();
    assert!(trackers.iter().all(|tracker| tracker == "home"), "{trackers:?}");
    let offline =
        since.iter().any(|arrived| arrived.topic == topic("status") && arrived.payload == b"offline");
    assert!(!offline, "it lives");
}

#[test]
fn a_reload_moves_home_assistant_to_another_broker_and_back_to_the_first() {
    let (apart, other) = (Apart::start(), Apart::start());
    let house = family(&apart);
    let reload = |section: &str| {
        let text = std::fs::read_to_string(house.directory.join("whichroom.toml")).unwrap_or_default();
        let begin = text.find("[home_assistant]").unwrap_or(text.len());
        let end = text.find("\n[[room]]").unwrap_or(text.len());
        house.directory.write("whichroom.toml", &format!("{}{section}{}", &text[..begin], &text[end..]));
        if let Some(aggregator) = &house.aggregator {
            aggregator.signal("HUP");
        }
    };
    let mark = house.observer.mark();
    reload(&other.section());
    other.observer.wait_last(TRACKER, |discovery| discovery["components"].is_object());
    other.observer.wait_for_text(&topic("status"), "online");
    other.wait_room("Hall");
    apart.observer.wait_for_text(&topic("status"), "offline");
    assert!(apart.observer.last_bytes(TRACKER).is_some_and(|bytes| !bytes.is_empty()), "it stays");

    // Without one of its own, it reads the access points'.
    reload("[home_assistant]\nenabled = true\n");
    house.observer.wait_last(TRACKER, |discovery| discovery["components"].is_object());
    other.observer.wait_for_text(&topic("status"), "offline");

    // And a reload that changes nothing of it leaves the connection as it is.
    reload(&apart.section());
    apart.observer.wait_for_text(&topic("status"), "online");
    house.observer.wait_last(TRACKER, Value::is_null);
    let before = apart.observer.mark();
    reload(&apart.section());
    wait("the fourth reload", || {
        let log = house.aggregator.as_ref().map(|aggregator| aggregator.log()).unwrap_or_default();
        (log.matches("configuration read again").count() == 4).then_some(())
    });
    house.bus("kitchen").join(BSS_5, ANNA, -50);
    apart.wait_room("Kitchen");
    let since = apart.observer.since(before);
    assert!(!since.iter().any(|arrived| arrived.topic == topic("status") && arrived.payload == b"offline"));
    // The two brokers hear of it at times of their own.
    let walks = || {
        let arrived = house.observer.since(mark);
        arrived.iter().filter(|arrived| arrived.topic.ends_with("anna/moved")).count()
    };
    wait("the walk to the kitchen", || (walks() > 0).then_some(()));
    assert_eq!(walks(), 1, "the walk to the kitchen alone");
}

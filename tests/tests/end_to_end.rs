//! The whole path with real programs: hostapd's notifications go into a stand-in ubusd, Home Assistant's topics come
//! out of Mosquitto.

use serde_json::Value;
use whichroom_tests::directory::Directory;
use whichroom_tests::house::{ANNA, BEN, BEN_OTHER, BSS_2, BSS_5, FAMILY, House, topic};
use whichroom_tests::mosquitto::free_port;
use whichroom_tests::observer::{Arrived, Observer};
use whichroom_tests::process::{Process, product};
use whichroom_tests::ubusd::{Bss, Leave, Options, Release, Ubusd};
use whichroom_wire::Mac;

fn family() -> House {
    let mut house = House::new();
    house.add_ap("kitchen");
    house.add_ap("hall");
    house.start_aggregator(FAMILY);
    house
}

#[test]
fn somebody_arrives_walks_through_the_house_and_leaves() {
    let house = family();
    house.observer.wait_last(&topic("person/anna"), |anna| anna["tracker"] == "None");
    let mark = house.observer.mark();

    house.bus("hall").join(BSS_5, ANNA, -52);
    let anna = house.wait_room("anna", "Hall");
    assert_eq!(anna["name"], "Anna");
    assert_eq!(anna["attributes"]["in_zones"][0], "zone.home");
    assert!(anna["because"].as_array().is_some_and(|because| !because.is_empty()), "{anna}");
    house
        .observer
        .wait_last(&topic("house"), |house| house["state"] == "occupied" && house["people"][0] == "Anna");
    house
        .observer
        .wait_last(&topic("room/hall"), |room| room["occupied"] == true && room["people"][0] == "Anna");

    house.bus("kitchen").join(BSS_5, ANNA, -48);
    house.bus("hall").leave(BSS_5, ANNA, Leave::Silent);
    house.wait_room("anna", "Kitchen");
    let roamed =
        house.observer.wait_since(mark, "roam", |arrived| arrived.topic == topic("device/anna-phone/roamed"));
    assert_eq!([&roamed.json()["from_ap"], &roamed.json()["to_ap"]], ["hall", "kitchen"]);
    // Ben may be in it until the access points were heard for long enough that he would have been, too.
    house.wait_stirring("room/hall", |room| room["occupied"] == false);
    house.observer.wait_last(&topic("device/anna-phone"), |device| {
        device["ap"] == "kitchen" && device["bssid"] == house.bssid("kitchen", BSS_5).to_string().as_str()
    });

    house.bus("hall").join(BSS_5, ANNA, -70);
    house.bus("kitchen").leave(BSS_5, ANNA, Leave::Silent);
    house.wait_room("anna", "Hall");
    house.bus("hall").leave(BSS_5, ANNA, Leave::Disassoc);
    let anna = house.wait_away("anna");
    assert_eq!((&anna["room"], &anna["attributes"]["in_zones"]), (&"Away".into(), &serde_json::json!([])));
    house.observer.wait_last(&topic("house"), |house| house["state"] != "occupied");

    house.bus("hall").join(BSS_5, ANNA, -55);
    house.wait_room("anna", "Hall");
    let is_move = |arrived: &Arrived| arrived.topic == topic("person/anna/moved");
    house
        .observer
        .wait_since(mark, "arrival", |arrived| is_move(arrived) && arrived.json()["event_type"] == "arrived");
    let moves: Vec<Value> =
        house.observer.since(mark).iter().filter(|arrived| is_move(arrived)).map(Arrived::json).collect();
    let kinds: Vec<&str> = moves.iter().filter_map(|moved| moved["event_type"].as_str()).collect();
    // The first decision about somebody is not an arrival: they may have been home all the time.
    assert_eq!(kinds, ["changed_room", "changed_room", "left", "arrived"]);
    assert_eq!((&moves[0]["from"], &moves[0]["to"]), (&"Hall".into(), &"Kitchen".into()));
}

#[test]
fn the_house_is_empty_when_everybody_left() {
    let house = family();
    house.bus("hall").join(BSS_5, ANNA, -50);
    house.bus("kitchen").join(BSS_2, BEN, -50);
    house.wait_room("anna", "Hall");
    house.wait_room("ben", "Kitchen");
    house.bus("hall").leave(BSS_5, ANNA, Leave::Deauth);
    house.bus("kitchen").leave(BSS_2, BEN, Leave::InactiveDeauth);
    house.wait_away("anna");
    house.wait_away("ben");
    house.wait_stirring("house", |house| {
        house["state"] == "empty" && house["people"] == serde_json::json!([])
    });
}

#[test]
fn home_assistant_is_told_everything_it_needs() {
    let house = family();
    house.bus("hall").join(BSS_5, ANNA, -52);
    house.wait_room("anna", "Hall");
    let mark = house.observer.mark();
    // A browser of the broker's retained messages finds the configuration of each entity before its state.
    let discovered: Vec<Arrived> = house
        .observer
        .history()
        .into_iter()
        .filter(|arrived| arrived.topic.starts_with("homeassistant/device/"))
        .collect();
    let names = ["whichroom_home_person_anna", "whichroom_home_person_ben", "whichroom_home_room_kitchen"];
    for name in names {
        let found = discovered.iter().find(|arrived| arrived.topic.contains(name));
        let config =
            found.unwrap_or_else(|| panic!("{name} is not among {:?}", house.observer.topics())).json();
        assert!(config["components"].is_object() || config["cmps"].is_object(), "{config}");
    }
    // Its birth message is answered with everything.
    house.observer.publish("homeassistant/status", "online", false);
    for below in ["person/anna", "person/ben", "room/hall", "house"] {
        house.observer.wait_since(mark, below, |arrived| arrived.topic == topic(below));
    }
    let repeated = |arrived: &Arrived| arrived.topic.starts_with("homeassistant/device/");
    house.observer.wait_since(mark, "discovery", repeated);
}

/// band-hop, two-ssids-two-macs: a phone that changes band or network within an access point moves nobody.
#[test]
fn a_change_of_band_or_network_moves_nobody() {
    let house = family();
    house.bus("hall").add_bss(Bss::new("phy1-ap1", Mac::new([2, 0xaa, 1, 0, 0, 9]), "guests", 5180));
    house.bus("hall").wait_subscribed("phy1-ap1");
    house.bus("hall").join(BSS_5, BEN, -50);
    house.wait_room("ben", "Hall");
    let mark = house.observer.mark();
    house.bus("hall").join(BSS_2, BEN, -45);
    house.bus("hall").leave(BSS_5, BEN, Leave::Disassoc);
    let roamed = |arrived: &Arrived| arrived.topic == topic("device/ben-phone/roamed");
    house.observer.wait_since(mark, "change of band", roamed);
    house.bus("hall").join("phy1-ap1", BEN_OTHER, -45);
    house.bus("hall").leave(BSS_2, BEN, Leave::Silent);
    let bssid = "02:aa:01:00:00:09";
    house
        .wait_stirring("device/ben-phone", |device| device["bssid"] == bssid && device["state"] == "present");
    for _ in 0..3 {
        let mark = house.observer.mark();
        house.stir("hall");
        house
            .observer
            .wait_since(mark, "an event of the hall", |arrived| arrived.topic == topic("ap/hall/events"));
    }
    assert_eq!(moves(&house, mark, "ben"), 0);
}

/// roam-trailing-disconnect: the old access point's goodbye comes after the new one's welcome.
#[test]
fn a_disconnect_that_trails_a_roam_clears_nothing() {
    let house = family();
    house.bus("hall").join(BSS_5, ANNA, -52);
    house.wait_room("anna", "Hall");
    house.bus("kitchen").join(BSS_5, ANNA, -50);
    house.wait_room("anna", "Kitchen");
    let mark = house.observer.mark();
    house.bus("hall").leave(BSS_5, ANNA, Leave::LocalDeauth);
    // Twice as long as an exit takes.
    for _ in 0..4 {
        let mark = house.observer.mark();
        house.stir("hall");
        house.stir("kitchen");
        house
            .observer
            .wait_since(mark, "an event of the hall", |arrived| arrived.topic == topic("ap/hall/events"));
    }
    assert_eq!(moves(&house, mark, "anna"), 0);
    assert_eq!(
        house.observer.last(&topic("person/anna")).map(|anna| anna["room"].clone()),
        Some("Kitchen".into())
    );
}

/// 22.03 has no `sta-authorized`: the table brings people home.
#[test]
fn an_old_release_brings_people_home_too() {
    let mut house = House::new();
    house.add_bus("hall", Options { release: Release::R22_03, ..Options::default() });
    house.start_agent("hall");
    house.wait_agent("hall");
    house.add_ap("kitchen");
    house.start_aggregator(FAMILY);
    house.bus("hall").join(BSS_5, ANNA, -52);
    house.wait_room("anna", "Hall");
}

/// The same path through the embedded broker: nothing but our own programs.
#[test]
fn the_embedded_broker_carries_the_whole_path() {
    let directory = Directory::new();
    let port = free_port();
    let configuration =
        format!("[mqtt]\nlisten = \"127.0.0.1:{port}\"\n[web]\nlisten = \"127.0.0.1:0\"\n{FAMILY}");
    let file = directory.write("whichroom.toml", &configuration);
    let arguments = ["run".into(), "--config".into(), file, "--state".into(), directory.join("state")];
    let mut aggregator = Process::start(&product("whichroom"), &arguments, &directory.join("aggregator.log"));
    aggregator.wait_log("page http://");
    let observer = Observer::start(port, &["#"]);
    // What was said before it listens is retained, and proves no life.
    observer.wait_for_text(&topic("status"), "online");
    let ubusd = Ubusd::start(&directory.join("hall.sock"), Options::default()).expect("a free path");
    ubusd.add_bss(Bss::new(BSS_5, Mac::new([2, 0xaa, 0, 0, 0, 5]), "home", 5180));
    let (url, socket) = (format!("mqtt://127.0.0.1:{port}"), ubusd.path().display().to_string());
    let arguments = ["--broker", &url, "--name", "hall", "--interval", "1", "--ubus", &socket];
    let mut agent = Process::start(&product("whichroom-agent"), &arguments, &directory.join("agent.log"));
    ubusd.wait_subscribed(BSS_5);
    observer.wait_last(&topic("ap/hall/status"), |status| status["state"] == "online");
    ubusd.join(BSS_5, ANNA, -50);
    observer.wait_last(&topic("person/anna"), |anna| anna["tracker"] == "home" && anna["room"] == "Hall");
    agent.kill();
    observer.wait_last(&topic("ap/hall/status"), |status| status["state"] == "offline");
    assert_eq!(aggregator.terminate().code(), Some(0), "{}", aggregator.log());
}

fn moves(house: &House, since: whichroom_tests::observer::Mark, person: &str) -> usize {
    let topic = topic(&format!("person/{person}/moved"));
    house.observer.since(since).iter().filter(|arrived| arrived.topic == topic).count()
}

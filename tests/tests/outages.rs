//! What must not happen when something fails: nobody leaves because an access point, an agent, the broker or the
//! aggregator went away, and everything works again when it is back. Named after the failures.

use whichroom_tests::house::{ANNA, BEN, BSS_2, BSS_5, FAMILY, House, topic};
use whichroom_tests::mosquitto::Settings;
use whichroom_tests::observer::{Arrived, Mark};
use whichroom_tests::process::{Process, product, wait};
use whichroom_tests::ubusd::Leave;

/// Anna is in the hall, Ben in the kitchen.
fn family(settings: &Settings) -> House {
    let mut house = House::with(settings);
    house.add_ap("kitchen");
    house.add_ap("hall");
    house.start_aggregator(FAMILY);
    house.bus("hall").join(BSS_5, ANNA, -50);
    house.bus("kitchen").join(BSS_2, BEN, -50);
    house.wait_room("anna", "Hall");
    house.wait_room("ben", "Kitchen");
    house
}

/// Every tracker state published since the mark.
fn trackers(house: &House, since: Mark) -> Vec<String> {
    let is_person = |arrived: &&Arrived| {
        arrived.topic.starts_with(&topic("person/"))
            && !arrived.topic.ends_with("/moved")
            && !arrived.payload.is_empty()
    };
    let since = house.observer.since(since);
    since.iter().filter(is_person).map(|arrived| arrived.json()["tracker"].to_string()).collect()
}

fn assert_all_home(house: &House, since: Mark) {
    let trackers = trackers(house, since);
    assert!(trackers.iter().all(|tracker| tracker == "\"home\""), "{trackers:?}");
    let moved = house.observer.since(since).into_iter().find(|arrived| arrived.topic.ends_with("/moved"));
    assert!(moved.is_none(), "{moved:?}");
}

/// Lets so many messages of an access point go by, each about a second after the other.
fn let_pass(house: &House, ap: &str, messages: usize) {
    for _ in 0..messages {
        let mark = house.observer.mark();
        house.stir(ap);
        let events = topic(&format!("ap/{ap}/events"));
        house.observer.wait_since(mark, "an event", |arrived| arrived.topic == events);
    }
}

#[test]
fn exit_ap_dies() {
    let mut house = family(&Settings::default());
    let mark = house.observer.mark();
    house.ap("hall").agent = None;
    let status = topic("ap/hall/status");
    house.observer.wait_last(&status, |status| status["state"] == "offline");
    let_pass(&house, "kitchen", 5);
    assert_all_home(&house, mark);
    house.wait_page("the hall offline on the page", |page| page.to_string().contains("ffline"));

    // Back again, and Anna leaves in earnest.
    house.start_agent("hall");
    house.wait_agent("hall");
    house.bus("hall").leave(BSS_5, ANNA, Leave::Disassoc);
    house.wait_away("anna");
    assert!(!trackers(&house, mark).contains(&"\"None\"".to_owned()));
}

#[test]
fn clean_stop() {
    let mut house = family(&Settings::default());
    let mark = house.observer.mark();
    let Some(mut agent) = house.ap("hall").agent.take() else { panic!("no agent") };
    let exit = agent.terminate();
    assert_eq!(exit.code(), Some(0), "{}", agent.log());
    let offline =
        |arrived: &Arrived| arrived.topic == topic("ap/hall/status") && arrived.json()["state"] == "offline";
    let offline = house.observer.wait_since(mark, "offline of the hall", offline).json();
    assert!(offline["sent_ms"].as_u64().is_some_and(|ms| ms > 0), "said by itself, not its will: {offline}");
    let Some(mut aggregator) = house.aggregator.take() else { panic!("no aggregator") };
    assert_eq!(aggregator.terminate().code(), Some(0), "{}", aggregator.log());
    house.observer.wait_since(mark, "offline of the aggregator", |arrived| {
        arrived.topic == topic("status") && arrived.payload == b"offline"
    });
    assert_all_home(&house, mark);
}

#[test]
fn agent_restart() {
    let mut house = family(&Settings::default());
    let boot =
        |house: &House| house.observer.last(&topic("ap/hall/status")).map(|status| status["boot"].clone());
    for graceful in [false, true] {
        let (mark, before) = (house.observer.mark(), boot(&house));
        let Some(mut agent) = house.ap("hall").agent.take() else { panic!("no agent") };
        if graceful {
            agent.terminate();
        } else {
            agent.kill();
        }
        house.observer.wait_last(&topic("ap/hall/status"), |status| status["state"] == "offline");
        house.start_agent("hall");
        house.wait_agent("hall");
        assert_ne!(boot(&house), before);
        let_pass(&house, "hall", 4);
        assert_all_home(&house, mark);
    }
}

/// restart-all-home: the aggregator's restart moves no person, whether it was killed or stopped.
#[test]
fn restart_all_home() {
    let mut house = family(&Settings::default());
    // The first stop saves the state that the second, a kill, leaves behind.
    for graceful in [true, false] {
        let mark = house.observer.mark();
        let Some(mut aggregator) = house.aggregator.take() else { panic!("no aggregator") };
        if graceful {
            aggregator.terminate();
        } else {
            aggregator.kill();
        }
        house.restart_aggregator();
        house.observer.wait_since(mark, "anna", |arrived| arrived.topic == topic("person/anna"));
        let_pass(&house, "hall", 4);
        let_pass(&house, "kitchen", 1);
        assert_all_home(&house, mark);
        assert_eq!(
            house.observer.last(&topic("person/ben")).map(|ben| ben["room"].clone()),
            Some("Kitchen".into())
        );
    }
}

/// start-blind: no agent runs and nothing was saved; nobody is away.
#[test]
fn start_blind() {
    let mut house = House::new();
    house.add_bus("hall", Default::default());
    house.add_bus("kitchen", Default::default());
    house.start_aggregator(FAMILY);
    house.observer.wait_last(&topic("person/anna"), |anna| anna["tracker"] == "None");
    house.start_agent("hall");
    house.start_agent("kitchen");
    house.wait_agent("hall");
    house.wait_agent("kitchen");
    house.bus("hall").join(BSS_5, ANNA, -50);
    house.wait_room("anna", "Hall");
    assert!(house.observer.history().iter().all(|arrived| !arrived.topic.starts_with(&topic("person/anna"))
        || arrived.json()["tracker"] != "not_home"));
}

#[test]
fn broker_restart() {
    for persistence in [true, false] {
        let mut house = family(&Settings { persistence, ..Settings::default() });
        let mark = house.observer.mark();
        if persistence {
            house.mosquitto.stop();
        } else {
            house.mosquitto.kill();
        }
        house.bring_broker_back();
        // broker-lost-retained: everything comes again, from the agents and from the aggregator.
        for below in [
            "ap/hall/status",
            "ap/hall/stations",
            "ap/hall/radios",
            "person/anna",
            "room/hall",
            "house",
            "status",
        ] {
            let what = format!("{below} after the restart");
            let live = |arrived: &Arrived| arrived.topic == topic(below) && !arrived.retained;
            house.observer.wait_since(mark, &what, live);
        }
        house.observer.wait_since(mark, "discovery", |arrived| {
            arrived.topic.starts_with("homeassistant/device/") && !arrived.retained
        });
        let_pass(&house, "hall", 4);
        assert_all_home(&house, mark);
        house.bus("kitchen").join(BSS_5, ANNA, -45);
        house.bus("hall").leave(BSS_5, ANNA, Leave::Silent);
        house.wait_room("anna", "Kitchen");
    }
}

/// broker-gone: association events of the time without a broker come after its return with their ages, the table
/// first.
#[test]
fn broker_gone() {
    let mut house = family(&Settings::default());
    house.mosquitto.kill();
    house.bus("kitchen").join(BSS_5, ANNA, -45);
    house.bus("hall").leave(BSS_5, ANNA, Leave::Silent);
    // Both agents have seen it when they polled twice.
    for ap in ["kitchen", "hall"] {
        let bus = house.bus(ap);
        let object = format!("hostapd.{BSS_5}");
        bus.wait_calls(&object, "get_clients", bus.calls(&object, "get_clients") + 2);
    }
    let mark = house.observer.mark();
    house.bring_broker_back();
    let is_assoc = |arrived: &Arrived| {
        let events = arrived.json()["events"].as_array().cloned().unwrap_or_default();
        arrived.topic == topic("ap/kitchen/events")
            && events.iter().any(|event| event["kind"] == "authorized")
    };
    let kept = house.observer.wait_since(mark, "the kept association", is_assoc).json();
    let event = kept["events"].as_array().and_then(|events| {
        events
            .iter()
            .find(|event| event["kind"] == "authorized" && event["mac"] == ANNA.to_string().as_str())
            .cloned()
    });
    let age_ms = event.as_ref().and_then(|event| event["age_ms"].as_u64());
    assert!(age_ms.is_some_and(|age_ms| (1_000..60_000).contains(&age_ms)), "{kept}");
    let since = house.observer.since(mark);
    let position =
        |below: &str| since.iter().position(|arrived| arrived.topic == topic(below) && !arrived.retained);
    assert!(position("ap/kitchen/stations") < position("ap/kitchen/events"), "the table comes first");
    house.wait_room("anna", "Kitchen");
    house.ap("kitchen").agent.as_mut().expect("runs").expect_running();
}

/// removed-person: whoever is taken out of the configuration leaves nothing behind, and nobody else is touched.
#[test]
fn removed_person() {
    let house = family(&Settings::default());
    let of_ben = |name: &String| {
        name.contains("person_ben")
            || name.starts_with(&topic("person/ben"))
            || name == &topic("device/ben-phone")
    };
    assert!(
        house.observer.topics().iter().filter(|name| of_ben(name)).count() >= 3,
        "{:?}",
        house.observer.topics()
    );
    let mark = house.observer.mark();
    let file = house.directory.join("whichroom.toml");
    let text = std::fs::read_to_string(&file).expect("the configuration");
    let Some((before, rest)) = text.split_once("[[person]]\nid = \"ben\"") else {
        panic!("no Ben in {text}")
    };
    let Some((_, after)) = rest.split_once("[timing]") else { panic!("no timing in {text}") };
    std::fs::write(&file, format!("{before}[timing]{after}")).expect("the configuration");
    let Some(aggregator) = &house.aggregator else { panic!("no aggregator") };
    aggregator.signal("HUP");
    wait("end of Ben's topics", || {
        let moved = topic("person/ben/moved");
        (!house.observer.topics().iter().any(|name| of_ben(name) && *name != moved)).then_some(())
    });
    house.observer.wait_last(&topic("room/kitchen"), |room| room["people"] == serde_json::json!([]));
    let_pass(&house, "hall", 3);
    let anna =
        house.observer.since(mark).into_iter().find(|arrived| arrived.topic == topic("person/anna/moved"));
    assert!(anna.is_none(), "{anna:?}");
}

/// A broker that refuses the password is said in words; the agent and the aggregator try on.
#[test]
fn wrong_password() {
    let users = vec![("wr".to_owned(), "right".to_owned())];
    let mut house = House::with(&Settings { users, ..Settings::default() });
    house.add_bus("kitchen", Default::default());
    let mut arguments = house.agent_arguments("kitchen");
    let wrong = house.directory.write("wrong-credentials", "wr\nwrong-and-secret\n");
    if let Some(last) = arguments.last_mut() {
        *last = wrong.display().to_string();
    }
    let mut agent =
        Process::start(&product("whichroom-agent"), &arguments, &house.directory.join("agent.log"));
    agent.wait_log("password");
    agent.expect_running();
    assert!(!agent.log().contains("wrong-and-secret"), "{}", agent.log());
}

/// one-slow-ap: an access point that hangs delays nobody else's news.
#[test]
fn one_slow_ap() {
    let mut house = family(&Settings::default());
    let Some(agent) = house.ap("kitchen").agent.as_ref() else { panic!("no agent") };
    agent.signal("STOP");
    house.bus("hall").leave(BSS_5, ANNA, Leave::Silent);
    house.bus("hall").join(BSS_2, ANNA, -60);
    let bssid = house.bssid("hall", BSS_2).to_string();
    house.observer.wait_last(&topic("device/anna-phone"), |device| device["bssid"] == bssid.as_str());
    let Some(agent) = house.ap("kitchen").agent.as_ref() else { panic!("no agent") };
    agent.signal("CONT");
}

/// A second aggregator of the same site refuses to start and says why, whichever of the two has the smaller id.
#[test]
fn second_aggregator() {
    let house = family(&Settings::default());
    let mark = house.observer.mark();
    for id in ["00000000", "zzzzzzzz"] {
        let file = |name: &str| house.directory.join(name);
        let state = file(&format!("state-{id}"));
        std::fs::create_dir_all(&state).expect("a new directory");
        let saved =
            format!(r#"{{"version":1,"instance":"{id}","saved_at_ms":0,"published":[],"snapshot":null}}"#);
        std::fs::write(state.join("whichroom.state.json"), saved).expect("a new file");
        let arguments = ["run".into(), "--config".into(), file("whichroom.toml"), "--state".into(), state];
        let mut second = Process::start(&product("whichroom"), &arguments, &file(&format!("{id}.log")));
        assert_eq!(second.wait_exit().code(), Some(1), "{}", second.log());
        assert!(second.log().contains("another aggregator"), "{}", second.log());
    }
    house.bus("kitchen").join(BSS_5, ANNA, -45);
    house.wait_room("anna", "Kitchen");
    assert!(trackers(&house, mark).iter().all(|tracker| tracker == "\"home\""));
    let status = house.observer.last_bytes(&topic("status"));
    assert_eq!(status.as_deref(), Some(b"online".as_slice()), "the one that refused leaves no trace");
}

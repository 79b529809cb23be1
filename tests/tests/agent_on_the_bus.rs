//! The real agent on a bus that misbehaves, watched at the broker. Named after what goes wrong.

use std::time::{Duration, Instant};

use serde_json::Value;
use whichroom_tests::house::{ANNA, BSS_2, BSS_5, House, topic};
use whichroom_tests::mosquitto::Settings;
use whichroom_tests::observer::Arrived;
use whichroom_tests::process::{Process, wait};
use whichroom_tests::ubusd::value::{Value as Blob, fields_of};
use whichroom_tests::ubusd::{
    Access, Bss, Heard, Lease, Leave, Options, Override, Pace, Process as Provider, Release, Station, Wanted,
    command,
};
use whichroom_wire::Mac;

fn ap() -> House {
    let mut house = House::new();
    house.add_ap("kitchen");
    house
}

fn has(table: &Value, mac: Mac) -> bool {
    let stations = table["stations"].as_array();
    stations.is_some_and(|stations| stations.iter().any(|station| station["mac"] == mac.to_string().as_str()))
}

fn wait_listed(house: &House, mac: Mac, listed: bool) -> Value {
    house.observer.wait_last(&topic("ap/kitchen/stations"), |table| {
        table["stations"].is_array() && has(table, mac) == listed
    })
}

/// Waits for an event of a kind about Anna and returns it.
fn wait_event(house: &House, since: whichroom_tests::observer::Mark, kind: &str) -> Value {
    let find = |arrived: &Arrived| {
        let events = arrived.json()["events"].as_array().cloned().unwrap_or_default();
        events.into_iter().find(|event| event["kind"] == kind && event["mac"] == ANNA.to_string().as_str())
    };
    let is_it = |arrived: &Arrived| arrived.topic == topic("ap/kitchen/events") && find(arrived).is_some();
    find(&house.observer.wait_since(since, &format!("event {kind}"), is_it)).unwrap_or_default()
}

#[test]
fn notifications_become_events_and_the_table_follows() {
    let house = ap();
    let bus = house.bus("kitchen");
    let mark = house.observer.mark();
    bus.join(BSS_5, ANNA, -51);
    assert_eq!(wait_event(&house, mark, "assoc")["signal_dbm"], -51);
    let authorized = wait_event(&house, mark, "authorized");
    assert_eq!(authorized["bssid"], house.bssid("kitchen", BSS_5).to_string().as_str());
    assert_eq!(authorized["auth_alg"], "open");
    let table = wait_listed(&house, ANNA, true);
    assert_eq!(
        (&table["stations"][0]["signal_dbm"], &table["stations"][0]["authorized"]),
        (&(-51).into(), &true.into())
    );
    bus.set_signal(BSS_5, ANNA, -60);
    assert_eq!(wait_event(&house, mark, "signal")["signal_dbm"], -60);
    bus.notify_station(BSS_5, "key-mismatch", ANNA, 0);
    wait_event(&house, mark, "key-mismatch");
    for (leave, kind) in [
        (Leave::Deauth, "deauth"),
        (Leave::LocalDeauth, "local-deauth"),
        (Leave::InactiveDeauth, "inactive-deauth"),
        (Leave::Disassoc, "disassoc"),
    ] {
        let mark = house.observer.mark();
        bus.leave(BSS_5, ANNA, leave);
        wait_event(&house, mark, kind);
        wait_listed(&house, ANNA, false);
        bus.join(BSS_5, ANNA, -51);
        wait_listed(&house, ANNA, true);
    }
    let mark = house.observer.mark();
    bus.leave(BSS_5, ANNA, Leave::Silent);
    wait_event(&house, mark, "left");
    wait_listed(&house, ANNA, false);
    bus.place(BSS_5, ANNA, Station::new(-44, Instant::now()));
    wait_event(&house, mark, "joined");
}

#[test]
fn only_tracked_devices_probes_leave_the_access_point() {
    let house = ap();
    let bus = house.bus("kitchen");
    let stranger = Mac::new([0x06, 1, 2, 3, 4, 5]);
    bus.notify_station(BSS_5, "probe", stranger, -70);
    let tracked = format!(r#"{{"schema":1,"macs":["{ANNA}"]}}"#);
    house.observer.publish(&topic("tracked"), tracked, true);
    let mark = house.observer.mark();
    wait("probe of a tracked phone", || {
        bus.notify_station(BSS_5, "probe", stranger, -70);
        bus.notify_station(BSS_5, "probe", ANNA, -71);
        std::thread::sleep(Duration::from_millis(50));
        let since = house.observer.since(mark);
        since
            .iter()
            .any(|arrived| String::from_utf8_lossy(&arrived.payload).contains("\"probe\""))
            .then_some(())
    });
    let all = house.observer.history();
    let leaked =
        all.iter().find(|arrived| String::from_utf8_lossy(&arrived.payload).contains(&stranger.to_string()));
    assert!(leaked.is_none(), "{leaked:?}");
}

/// blocking-hostapd: an answer comes at once wherever one is wanted, and only there.
#[test]
fn blocking_hostapd() {
    let house = ap();
    let bus = house.bus("kitchen");
    let probe = fields_of([("address", Blob::text(ANNA.to_string())), ("signal", Blob::int(-70))]);
    for _ in 0..200 {
        bus.notify(BSS_5, "probe", &probe, Wanted::Answer);
        bus.notify(BSS_2, "assoc", &probe, Wanted::Nothing);
    }
    bus.wait_answers(200);
    // rpcd hangs; that is nothing to hostapd.
    bus.set_pace(Provider::Rpcd, Pace::Silent);
    bus.set_pace(Provider::Hostapd, Pace::Silent);
    bus.wait_calls(
        &format!("hostapd.{BSS_5}"),
        "get_clients",
        bus.calls(&format!("hostapd.{BSS_5}"), "get_clients") + 1,
    );
    for _ in 0..20 {
        bus.notify(BSS_5, "auth", &probe, Wanted::Answer);
    }
    bus.wait_answers(220);
    let mut answers = bus.answers();
    assert_eq!(answers.len(), 220);
    assert!(answers.iter().all(|answer| answer.status == 0 && answer.ifname == BSS_5));
    answers.sort_by_key(|answer| answer.after);
    // hostapd waits 100 ms at most; a loaded test machine may delay one or the other.
    assert!(answers[110].after < Duration::from_millis(100), "{:?}", answers[110].after);
    for (path, method) in bus.all_calls().into_keys() {
        assert_ne!(method, "notify_response", "{path}: makes hostapd wait for every subscriber");
        assert_ne!(path, "network.wireless", "psk-leak: it holds passphrases");
    }
}

/// silent-subscription: polling finds what no notification tells.
#[test]
fn silent_subscription() {
    let mut house = House::new();
    house.add_bus("kitchen", Options::default());
    house.bus("kitchen").set_silent_subscriptions(true);
    house.start_agent("kitchen");
    house.wait_agent("kitchen");
    let mark = house.observer.mark();
    house.bus("kitchen").join(BSS_5, ANNA, -50);
    assert_eq!(wait_event(&house, mark, "joined")["authorized"], true);
    house.bus("kitchen").leave(BSS_5, ANNA, Leave::Disassoc);
    wait_event(&house, mark, "left");
    wait_listed(&house, ANNA, false);
}

/// wifi-reload: objects vanish and return twice with new ids, and the agent is subscribed once to each.
#[test]
fn wifi_reload() {
    let house = ap();
    let bus = house.bus("kitchen");
    bus.join(BSS_5, ANNA, -50);
    wait_listed(&house, ANNA, true);
    for _ in 0..2 {
        bus.wifi_reload();
        bus.wait_subscribed(BSS_5);
        bus.wait_subscribed(BSS_2);
    }
    let mark = house.observer.mark();
    bus.join(BSS_5, ANNA, -50);
    wait_event(&house, mark, "authorized");
    assert_eq!(
        [bus.subscribers(BSS_2), bus.subscribers(BSS_5)],
        [1, 1],
        "twice subscribed is twice notified"
    );
    let extra = Mac::new([0x02, 0xaa, 0, 0, 0, 7]);
    bus.add_bss(Bss::new("phy1-ap1", extra, "guests", 5180));
    bus.wait_subscribed("phy1-ap1");
    house.observer.wait_last(&topic("ap/kitchen/radios"), |radios| radios.to_string().contains("guests"));
}

#[test]
fn ubusd_restart() {
    let mut house = ap();
    house.bus("kitchen").join(BSS_5, ANNA, -50);
    wait_listed(&house, ANNA, true);
    let boot =
        |house: &House| house.observer.last(&topic("ap/kitchen/status")).map(|status| status["boot"].clone());
    let before = boot(&house);
    house.ap("kitchen").ubusd.stop();
    house.ap("kitchen").ubusd.start_again().expect("the socket's path is free");
    house.wait_agent("kitchen");
    let mark = house.observer.mark();
    house.bus("kitchen").join(BSS_2, ANNA, -40);
    wait_event(&house, mark, "authorized");
    assert_eq!(boot(&house), before, "the same agent, not a new one");
}

/// A bus that stays away is said, and the agent lives on: outside a jail the socket's path comes back.
#[test]
fn ubusd_stays_away() {
    let mut house = ap();
    house.bus("kitchen").join(BSS_5, ANNA, -50);
    wait_listed(&house, ANNA, true);
    house.ap("kitchen").ubusd.stop();
    let status = house.observer.wait_last(&topic("ap/kitchen/status"), |status| {
        status["problems"].as_array().is_some_and(|problems| !problems.is_empty())
    });
    assert_eq!(status["state"], "online");
    assert!(status["problems"].to_string().contains("ubus"), "{status}");
    let Some(agent) = &mut house.ap("kitchen").agent else { panic!("no agent") };
    agent.expect_running();
}

/// one-slow-ap, inside one: rpcd is slow or hangs, and associations are as fast as ever.
#[test]
fn a_slow_or_hanging_rpcd_delays_nothing_else() {
    let house = ap();
    let bus = house.bus("kitchen");
    for pace in [Pace::Slow(Duration::from_secs(3)), Pace::Silent] {
        bus.set_pace(Provider::Rpcd, pace);
        let mark = house.observer.mark();
        bus.join(BSS_5, ANNA, -50);
        wait_event(&house, mark, "authorized");
        wait_listed(&house, ANNA, true);
        bus.leave(BSS_5, ANNA, Leave::Disassoc);
        wait_listed(&house, ANNA, false);
    }
    // hostapd that hangs for a while is found again.
    bus.set_pace(Provider::Rpcd, Pace::Prompt);
    bus.set_pace(Provider::Hostapd, Pace::Silent);
    let object = format!("hostapd.{BSS_5}");
    bus.wait_calls(&object, "get_clients", bus.calls(&object, "get_clients") + 1);
    bus.set_pace(Provider::Hostapd, Pace::Prompt);
    bus.place(BSS_5, ANNA, Station::new(-50, Instant::now()));
    wait_listed(&house, ANNA, true);
}

#[test]
fn what_the_access_rules_deny_is_said_and_the_rest_works() {
    let rules = r#"{"access":{"hostapd.*":{"methods":["get_clients","get_status"]}},"subscribe":["hostapd.*"],
                    "listen":["ubus.object.add","ubus.object.remove"]}"#;
    let mut house = House::new();
    let access = Access::Limited(serde_json::from_str(rules).expect("rules"));
    house.add_bus("kitchen", Options { access, ..Options::default() });
    house.start_agent("kitchen");
    house.wait_agent("kitchen");
    let status = house
        .observer
        .wait_last(&topic("ap/kitchen/status"), |status| status["sources"] == serde_json::json!(["hostapd"]));
    assert_eq!(status["state"], "online");
    house.bus("kitchen").join(BSS_5, ANNA, -50);
    wait_listed(&house, ANNA, true);
    // Everything is denied: the agent says so and stays.
    house.bus("kitchen").set_access(Access::Limited(Default::default()));
    house.ap("kitchen").ubusd.stop();
    house.ap("kitchen").ubusd.start_again().expect("the socket's path is free");
    house.observer.wait_last(&topic("ap/kitchen/status"), |status| {
        status["problems"].as_array().is_some_and(|problems| !problems.is_empty())
    });
    house.bus("kitchen").set_access(Access::Root);
    house.wait_agent("kitchen");
}

#[test]
fn a_minimal_image_without_rpcd_works() {
    let mut house = House::new();
    house.add_bus("kitchen", Options { without_rpcd: true, release: Release::R23_05, ..Options::default() });
    house.start_agent("kitchen");
    house.wait_agent("kitchen");
    house.bus("kitchen").join(BSS_5, ANNA, -50);
    let table = wait_listed(&house, ANNA, true);
    assert_eq!(table["stations"][0]["rrm"], 115);
}

/// new-fields, and a table beyond the usual: 300 stations arrive whole.
#[test]
fn a_table_of_three_hundred_stations_arrives_whole() {
    let mut house = House::new();
    house.add_bus("kitchen", Options::default());
    for index in 0..300 {
        let ifname = if index % 2 == 0 { BSS_2 } else { BSS_5 };
        house.bus("kitchen").place(ifname, command::station_mac(9, index), Station::new(-60, Instant::now()));
    }
    house.start_agent("kitchen");
    let full = |table: &Value| table["stations"].as_array().is_some_and(|stations| stations.len() == 300);
    let table = house.observer.wait_last(&topic("ap/kitchen/stations"), full);
    assert!(
        table["stations"]
            .as_array()
            .is_some_and(|stations| stations.iter().all(|station| station["authorized"] == true))
    );
}

#[test]
fn names_that_are_no_utf8_and_values_that_are_absurd_cost_only_themselves() {
    let house = ap();
    let bus = house.bus("kitchen");
    bus.with_ap(|ap| {
        if let Some(bss) = ap.bsss.get_mut(BSS_5) {
            bss.ssid = b"caf\xe9 \xf0\x9f".to_vec();
        }
    });
    bus.wifi_reload();
    house
        .observer
        .wait_last(&topic("ap/kitchen/radios"), |radios| radios.to_string().contains("caf\u{fffd}"));
    for (index, signal_dbm) in [(1, 0), (2, 20), (3, -200), (4, -50)] {
        bus.place(BSS_5, command::station_mac(9, index), Station::new(signal_dbm, Instant::now()));
    }
    let mut silent = Station::new(-50, Instant::now());
    silent.without_driver_data = true;
    bus.place(BSS_5, command::station_mac(9, 5), silent);
    let five = |table: &Value| table["stations"].as_array().is_some_and(|stations| stations.len() == 5);
    let table = house.observer.wait_last(&topic("ap/kitchen/stations"), five);
    let signals: Vec<Value> = (1..=5)
        .map(|index| {
            let mac = command::station_mac(9, index).to_string();
            let stations = table["stations"].as_array().cloned().unwrap_or_default();
            stations
                .iter()
                .find(|station| station["mac"] == mac.as_str())
                .map_or(Value::Null, |station| station["signal_dbm"].clone())
        })
        .collect();
    assert_eq!(signals[3], -50);
    assert!(signals[0].is_null() || signals[0] == 0, "0 means unknown: {signals:?}");
}

#[test]
fn garbage_on_the_bus_costs_at_most_the_connection() {
    let mut house = ap();
    let bus = house.bus("kitchen");
    let object = format!("hostapd.{BSS_5}");
    for raw in [vec![0xff; 64], vec![0x82, 0xff, 0xff, 0xff, 0, 0, 0, 0], vec![], vec![0x85, 0, 0, 4]] {
        bus.set_answer(&object, "get_clients", Some(Override::Raw(raw)));
        bus.wait_calls(&object, "get_clients", bus.calls(&object, "get_clients") + 2);
    }
    bus.set_answer(&object, "get_clients", Some(Override::Status(9)));
    bus.wait_calls(&object, "get_clients", bus.calls(&object, "get_clients") + 2);
    bus.set_answer(&object, "get_clients", None);
    for name in ["assoc", "sta-authorized", "beacon-report", "disassoc", "no-such-thing"] {
        bus.notify(BSS_5, name, &fields_of([("address", Blob::text(b"not a mac \xff"))]), Wanted::Nothing);
        bus.notify(
            BSS_5,
            name,
            &fields_of([("address", Blob::Int32(7)), ("address", Blob::Null)]),
            Wanted::Nothing,
        );
        bus.notify(BSS_5, name, &Vec::new(), Wanted::Nothing);
    }
    bus.join(BSS_5, ANNA, -50);
    wait_listed(&house, ANNA, true);
    // Frames no server sends: unknown types, lengths out of bounds.
    let frames: [&[u8]; 4] = [
        &[0, 99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4],
        &[0, 5, 0, 1, 0, 0, 0, 0, 0, 0, 0, 8, 7, 255, 255, 255],
        &[0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2],
        &[7, 5, 0, 1, 0, 0, 0, 0, 0, 255, 255, 255],
    ];
    for frame in frames {
        house.bus("kitchen").send_raw(frame);
        let mark = house.observer.mark();
        // After a frame that cannot be skipped the agent connects anew.
        wait("agent that works", || {
            house.bus("kitchen").leave(BSS_5, ANNA, Leave::Disassoc);
            house.bus("kitchen").join(BSS_5, ANNA, -50);
            std::thread::sleep(Duration::from_millis(100));
            let since = house.observer.since(mark);
            since
                .iter()
                .any(|arrived| String::from_utf8_lossy(&arrived.payload).contains("\"authorized\",\"mac\""))
                .then_some(())
        });
    }
    let Some(agent) = &mut house.ap("kitchen").agent else { panic!("no agent") };
    agent.expect_running();
    assert!(!agent.log().contains("panicked"), "{}", agent.log());
}

#[test]
fn a_beacon_report_is_asked_for_and_published() {
    let house = ap();
    let bus = house.bus("kitchen");
    bus.join(BSS_5, ANNA, -50);
    wait_listed(&house, ANNA, true);
    let heard = house.bssid("kitchen", BSS_2);
    bus.set_beacon_report(ANNA, vec![Heard { bssid: heard, rcpi: 100 }]);
    let mark = house.observer.mark();
    let request = format!(r#"{{"schema":1,"id":"r1","kind":"beacon-report","mac":"{ANNA}","mode":"table"}}"#);
    house.observer.publish(&topic("ap/kitchen/request"), request, false);
    let report = wait_event(&house, mark, "beacon-report");
    assert_eq!((&report["heard"], &report["rcpi_dbm"]), (&heard.to_string().into(), &(-60).into()));
    house.observer.wait_since(mark, "answer to the request", |arrived| {
        let events = arrived.json()["events"].as_array().cloned().unwrap_or_default();
        events.iter().any(|event| event["kind"] == "answer" && event["id"] == "r1" && event["ok"] == true)
    });
    // A station that cannot is refused in words.
    bus.with_ap(|ap| ap.station(BSS_5, ANNA).map(|station| station.rrm = [0; 5]));
    let request = format!(
        r#"{{"schema":1,"id":"r2","kind":"beacon-report","mac":"{}","mode":"table"}}"#,
        Mac::new([2; 6])
    );
    house.observer.publish(&topic("ap/kitchen/request"), request, false);
    house.observer.wait_since(mark, "refusal", |arrived| {
        let events = arrived.json()["events"].as_array().cloned().unwrap_or_default();
        events.iter().any(|event| {
            event["kind"] == "answer"
                && event["id"] == "r2"
                && event["ok"] == false
                && event["error"].is_string()
        })
    });
}

#[test]
fn the_router_publishes_host_names() {
    let mut house = House::new();
    house.add_bus("kitchen", Options::default());
    let lease = Lease { mac: ANNA, address: "192.168.1.9".into(), hostname: Some("annas-phone".into()) };
    house.bus("kitchen").set_leases(vec![lease]);
    house.start_agent("kitchen");
    let hosts = house
        .observer
        .wait_last(&topic("ap/kitchen/hosts"), |hosts| hosts["hosts"][0]["name"] == "annas-phone");
    assert_eq!(
        (&hosts["hosts"][0]["mac"], &hosts["hosts"][0]["address"]),
        (&ANNA.to_string().into(), &"192.168.1.9".into())
    );
}

/// late-will: whatever overwrites the agent's own status is corrected.
#[test]
fn late_will() {
    let house = ap();
    let status = topic("ap/kitchen/status");
    let online = house.observer.last_bytes(&status).unwrap_or_default();
    let offline = String::from_utf8_lossy(&online).replace("online", "offline");
    let mark = house.observer.mark();
    house.observer.publish(&status, offline, true);
    house.observer.wait_since(mark, "online again", |arrived| {
        arrived.topic == status && arrived.json()["state"] == "online"
    });
}

/// The password comes from a file, and is nowhere else: arguments, environment, log, topics. Nor is a passphrase.
#[test]
fn secrets_stay_secret() {
    let password = "hunter2-and-more";
    let users = vec![("wr".to_owned(), password.to_owned())];
    let mut house = House::with(&Settings { users, ..Settings::default() });
    house.add_ap("kitchen");
    house.start_aggregator(whichroom_tests::house::FAMILY);
    house.bus("kitchen").join(BSS_5, ANNA, -50);
    house.wait_room("anna", "Kitchen");
    let page = house.page_state().to_string();
    let Some(aggregator) = house.aggregator.take() else { panic!("no aggregator") };
    let Some(agent) = house.ap("kitchen").agent.take() else { panic!("no agent") };
    let read = |process: &Process, file: &str| {
        String::from_utf8_lossy(&std::fs::read(format!("/proc/{}/{file}", process.id())).unwrap_or_default())
            .into_owned()
    };
    let mut texts = vec![page, aggregator.log(), agent.log()];
    for process in [&aggregator, &agent] {
        texts.extend([read(process, "cmdline"), read(process, "environ")]);
        assert!(!texts[texts.len() - 2].is_empty());
    }
    texts.extend(
        house.observer.history().iter().map(|arrived| String::from_utf8_lossy(&arrived.payload).into_owned()),
    );
    for text in texts {
        for secret in [password, whichroom_tests::ubusd::providers::PASSPHRASE] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

/// memory-creep: an hour of probes and roams in a few seconds leaves the agent as small as it was.
#[test]
fn memory_creep() {
    let mut house = House::new();
    house.add_bus("kitchen", Options::default());
    house.start_agent("kitchen");
    house.wait_agent("kitchen");
    let churn = |rounds: u16| {
        for round in 0..rounds {
            let bus = house.bus("kitchen");
            let mac = command::station_mac(7, round % 5_000);
            bus.join(BSS_5, mac, -50);
            bus.notify_station(BSS_2, "probe", command::station_mac(8, round), -80);
            bus.leave(BSS_5, mac, Leave::Disassoc);
            // The agent keeps up before it goes on.
            if round % 100 == 99 {
                let mark = house.observer.mark();
                bus.join(BSS_2, ANNA, -50);
                wait_event(&house, mark, "authorized");
                bus.leave(BSS_2, ANNA, Leave::Silent);
            }
        }
    };
    churn(2_000);
    let rss = |house: &House| house.aps["kitchen"].agent.as_ref().map_or(0, |agent| agent.memory_kb("VmRSS"));
    let before = rss(&house);
    churn(10_000);
    let after = rss(&house);
    assert!(after < before + 1_024, "{before} kB grew to {after} kB");
}

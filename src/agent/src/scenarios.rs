//! What goes wrong on access points, played through with the whole core: an access point in memory, virtual time.

use serde_json::json;
use whichroom_wire::{Change, EventWhat, Mac, State, Topic};

use crate::collector::NOTICES;
use crate::core::Probes;
use crate::outbox::{EVENTS_MAX, Slot};
use crate::table;
use crate::testing::{Agent, Answer, BSS, BSSID, LAPTOP, PHONE, Router, blobmsg, clients};

fn assoc(mac: &str) -> serde_json::Value {
    json!({"address": mac, "ifname": "phy0-ap0", "target": BSSID, "signal": -58, "freq": 5180})
}

fn authorized(mac: &str) -> serde_json::Value {
    json!({"address": mac, "ifname": "phy0-ap0", "auth-alg": "open"})
}

fn address(mac: &str) -> serde_json::Value {
    json!({"address": mac, "ifname": "phy0-ap0"})
}

fn join(agent: &mut Agent, mac: &str) {
    agent.router.answers(BSS, "get_clients", clients(&[(mac, -58, 10)]));
    agent.notify("assoc", &assoc(mac));
    agent.notify("sta-authorized", &authorized(mac));
}

fn track(agent: &mut Agent, macs: &str) {
    agent.publish(&Topic::Tracked, &format!("{{\"schema\":1,\"macs\":[{macs}]}}"), true);
}

fn own_status() -> Topic {
    Topic::ApStatus("hall".parse().unwrap())
}

#[test]
fn status_table_and_radios_come_first() {
    let agent = Agent::new();
    assert_eq!(agent.slots(0)[..3], [Slot::Status, Slot::Stations, Slot::Radios]);
    let radio = &agent.radios()[0];
    assert_eq!((radio.ifname.as_str(), radio.bssid), ("phy0-ap0", BSSID.parse().ok()));
    assert_eq!((radio.utilization_permille, radio.btm, radio.rrm), (Some(200), Some(true), None));
    assert_eq!(agent.status().sources, ["hostapd"]);
    assert_eq!(agent.status().problems, [""; 0]);
}

#[test]
fn association_changes_are_sent_in_the_instant_they_are_notified() {
    let mut agent = Agent::new();
    agent.run_for(10_000);
    let from = agent.published.len();
    join(&mut agent, PHONE);
    agent.notify("disassoc", &address(PHONE));
    assert_eq!(agent.events(from), [("assoc", 0), ("authorized", 0), ("disassoc", 0)]);
    assert!(agent.published[from..].iter().all(|published| published.at_ms == agent.now_ms));
    let messages = agent.event_messages(0);
    assert_eq!(messages.iter().map(|message| message.seq).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn what_happens_while_a_message_is_under_way_travels_together() {
    let mut agent = Agent::new();
    agent.acks = false;
    let from = agent.published.len();
    join(&mut agent, PHONE);
    agent.now_ms += 40;
    agent.notify("key-mismatch", &address(LAPTOP));
    assert_eq!(agent.kinds(from), ["assoc"]);
    agent.acks = true;
    agent.now_ms += 2;
    agent.settle();
    assert_eq!(agent.events(from), [("assoc", 0), ("authorized", 42), ("key-mismatch", 2)]);
    assert_eq!(agent.event_messages(from).len(), 2);
}

#[test]
fn the_table_says_which_events_it_includes() {
    let mut agent = Agent::new();
    agent.run_for(5_000);
    join(&mut agent, PHONE);
    agent.run_for(1_500);
    let (seq, stations) = agent.stations();
    assert_eq!((seq, stations.len(), stations[0].authorized), (2, 1, true));
    assert_eq!(stations[0].rrm, Some(0x73));
    assert_eq!(agent.radios()[0].rrm, Some(true));
}

#[test]
fn the_table_is_the_heartbeat() {
    let mut agent = Agent::new();
    let from = agent.published.len();
    agent.run_for(600_000);
    let slots = agent.slots(from);
    assert_eq!(slots.iter().filter(|slot| **slot == Slot::Stations).count(), 20);
    assert_eq!(slots.iter().filter(|slot| **slot == Slot::Radios).count(), 2);
    assert_eq!(slots.len(), 22);
}

#[test]
fn bouncing_phone_makes_many_events_and_few_tables() {
    let mut agent = Agent::new();
    agent.run_for(5_000);
    let from = agent.published.len();
    for _ in 0..40 {
        join(&mut agent, PHONE);
        agent.run_for(50);
        agent.router.answers(BSS, "get_clients", clients(&[]));
        agent.notify("disassoc", &address(PHONE));
        agent.run_for(50);
    }
    let slots = agent.slots(from);
    assert_eq!(agent.kinds(from).len(), 120);
    assert!(slots.iter().filter(|slot| **slot == Slot::Stations).count() <= 5);
    let polls = agent.router.calls.iter().filter(|(_, method)| method == "get_clients").count();
    assert!(polls <= 20, "{polls} polls in 4 s");
}

#[test]
fn broker_gone_keeps_associations_and_sends_the_table_first() {
    let mut agent = Agent::new();
    agent.run_for(10_000);
    agent.acks = false;
    join(&mut agent, PHONE);
    agent.disconnect();
    let from = agent.published.len();
    agent.run_for(60_000);
    agent.router.answers(BSS, "get_clients", clients(&[(PHONE, -70, 11)]));
    agent.notify("sta-authorized", &authorized(LAPTOP));
    agent.run_for(60_000);
    assert_eq!(agent.slots(from), []);
    agent.acks = true;
    agent.connect();
    assert_eq!(agent.slots(from)[..4], [Slot::Status, Slot::Stations, Slot::Events, Slot::Radios]);
    // `assoc` was handed over and not acknowledged; the signal of the phone is in the table.
    let events = agent.events(from);
    assert_eq!(
        events,
        [("assoc", 120_000), ("authorized", 120_000), ("authorized", 60_000), ("left", 59_750)]
    );
    let (seq, stations) = agent.stations();
    assert_eq!((seq, stations.len()), (1, 1));
    assert_eq!(agent.event_messages(from)[0].seq, 2);
}

#[test]
fn broker_that_never_acknowledges_gets_no_second_message() {
    let mut agent = Agent::new();
    agent.acks = false;
    let from = agent.published.len();
    join(&mut agent, PHONE);
    agent.run_for(300_000);
    let slots = agent.slots(from);
    assert!(slots.len() <= 4, "{slots:?}");
}

#[test]
fn silent_subscription_is_made_up_for_by_polls() {
    let mut agent = Agent::new();
    agent.router.silent = true;
    agent.run_for(5_000);
    let from = agent.published.len();
    agent.router.answers(BSS, "get_clients", clients(&[(PHONE, -58, 10)]));
    agent.run_for(5_000);
    agent.router.answers(BSS, "get_clients", clients(&[]));
    agent.run_for(5_000);
    assert_eq!(agent.kinds(from), ["joined", "left"]);
}

#[test]
fn releases_before_23_05_tell_the_end_of_the_handshake_by_a_poll() {
    let mut agent = Agent::new();
    agent.run_for(10_000);
    let from = agent.published.len();
    let unauthorized =
        json!({"freq": 5180, "clients": {PHONE: {"auth": true, "assoc": true, "authorized": false}}});
    agent.router.answers(BSS, "get_clients", Answer::Data(blobmsg(&unauthorized)));
    agent.notify("assoc", &assoc(PHONE));
    agent.run_for(300);
    agent.router.answers(BSS, "get_clients", clients(&[(PHONE, -58, 10)]));
    agent.run_for(700);
    assert_eq!(agent.kinds(from), ["assoc", "authorized"]);
    assert_eq!(agent.stations().1[0].mac, PHONE.parse().unwrap());
}

#[test]
fn new_fields_and_hundreds_of_stations_are_read() {
    let mut agent = Agent::new();
    let macs: Vec<String> =
        (0..500).map(|number| format!("02:00:00:00:{:02x}:{:02x}", number / 256, number % 256)).collect();
    let mut json = json!({"freq": 5180, "added": [1, 2, {"x": null}], "clients": {}});
    for mac in &macs {
        json["clients"][mac] =
            json!({"assoc": true, "authorized": true, "signal": -60, "brand_new": {"deep": [true]}});
    }
    let writer = blobmsg(&json);
    assert!(writer.as_bytes().len() > 50_000);
    agent.router.answers(BSS, "get_clients", Answer::Data(writer));
    agent.run_for(10_000);
    assert_eq!(agent.stations().1.len(), 500);
    assert_eq!(agent.status().problems, [""; 0]);
}

#[test]
fn an_answer_that_is_none_is_no_empty_list() {
    let mut agent = Agent::new();
    join(&mut agent, PHONE);
    agent.run_for(6_000);
    let from = agent.published.len();
    agent.router.answers(BSS, "get_clients", Answer::json("{\"freq\": 5180}"));
    agent.run_for(60_000);
    assert_eq!(agent.kinds(from), [""; 0]);
    assert_eq!(agent.stations().1.len(), 1);
    assert_eq!(agent.status().problems.len(), 1);
}

#[test]
fn memory_creep_a_crowd_of_made_up_addresses_leaves_nothing_behind() {
    let mut agent = Agent::without_broker(Probes::All);
    agent.run_for(1_000);
    for number in 0..20_000u32 {
        let [_, a, b, c] = number.to_be_bytes();
        let mac = Mac::new([2, 0, 0, a, b, c]).to_string();
        agent.notify("probe", &assoc(&mac));
        agent.notify("assoc", &assoc(&mac));
        agent.notify("deauth", &address(&mac));
    }
    agent.connect();
    agent.run_for(1_000);
    assert!(agent.kinds(0).len() <= EVENTS_MAX, "{}", agent.kinds(0).len());
    assert!(agent.stations().1.len() <= table::STATIONS_MAX);
    assert!(agent.status().problems.iter().any(|problem| problem.contains("dropped")));
    assert!(agent.core.probes_remembered() <= 256);
}

#[test]
fn memory_creep_hundreds_of_bsss_and_of_tracked_stations_are_bounded() {
    let mut agent = Agent::new();
    (0..200).for_each(|number| agent.router.add(&format!("hostapd.made-up-{number}")));
    agent.run_for(120_000);
    assert_eq!(agent.radios().len(), 64);
    let macs: Vec<String> = (0..4_097u16)
        .map(|number| number.to_be_bytes())
        .map(|[a, b]| format!("\"{}\"", Mac::new([2, 0, 0, 0, a, b])))
        .collect();
    track(&mut agent, &macs.join(","));
    let from = agent.published.len();
    for mac in [macs.first(), macs.last()].into_iter().flatten() {
        agent.notify("probe", &assoc(mac.trim_matches('"')));
    }
    assert_eq!(agent.kinds(from).len(), 1, "more than 4,096 stations are tracked");
}

#[test]
fn ujail_stale_socket_ends_the_process_and_a_missing_one_does_not() {
    for jailed in [true, false] {
        let mut agent = Agent::new();
        (agent.ubus_up, agent.jailed) = (false, jailed);
        agent.restart_ubusd();
        agent.run_for(50_000);
        assert_eq!(agent.gave_up, None);
        assert!(agent.status().problems[0].starts_with("ubus: "));
        agent.run_for(20_000);
        assert_eq!(agent.gave_up.is_some(), jailed);
    }
}

#[test]
fn ubusd_restart_loses_no_station_and_subscribes_anew() {
    let mut agent = Agent::new();
    join(&mut agent, PHONE);
    agent.run_for(5_000);
    let from = agent.published.len();
    agent.restart_ubusd();
    assert_eq!(agent.radios()[0].status.as_deref(), Some("GONE"));
    agent.run_for(2_000);
    agent.notify("disassoc", &address(PHONE));
    assert_eq!(agent.radios()[0].status.as_deref(), Some("ENABLED"));
    assert_eq!(agent.kinds(from), ["disassoc"]);
    assert_eq!(agent.status().problems, [""; 0]);
}

#[test]
fn no_table_is_sent_while_ubus_is_gone() {
    let mut agent = Agent::new();
    agent.ubus_up = false;
    agent.restart_ubusd();
    let from = agent.published.len();
    agent.run_for(120_000);
    assert!(!agent.slots(from).contains(&Slot::Stations));
    agent.ubus_up = true;
    agent.run_for(2_000);
    assert!(agent.slots(from).contains(&Slot::Stations));
}

#[test]
fn wifi_reload_twice_takes_no_station_with_it() {
    let mut agent = Agent::new();
    join(&mut agent, PHONE);
    agent.run_for(5_000);
    let from = agent.published.len();
    for _ in 0..2 {
        agent.router.remove(BSS);
        agent.settle();
        agent.router.answers(BSS, "get_clients", clients(&[]));
        agent.run_for(3_000);
        agent.router.add(BSS);
        agent.run_for(1_000);
    }
    assert_eq!(agent.stations().1.len(), 1);
    join(&mut agent, PHONE);
    agent.run_for(60_000);
    let mut kinds = agent.kinds(from);
    kinds.retain(|kind| *kind != "signal");
    assert_eq!(kinds, ["assoc", "authorized"]);
    assert_eq!(agent.stations().1.len(), 1);
}

#[test]
fn a_bss_that_does_not_come_back_is_forgotten_without_an_event() {
    let mut agent = Agent::new();
    join(&mut agent, PHONE);
    agent.run_for(5_000);
    let from = agent.published.len();
    agent.router.remove(BSS);
    agent.run_for(1_000);
    assert_eq!(agent.radios()[0].status.as_deref(), Some("GONE"));
    agent.run_for(60_000);
    assert_eq!(agent.kinds(from), [""; 0]);
    assert_eq!((agent.radios().len(), agent.stations().1.len()), (0, 0));
    assert!(agent.status().problems[0].contains("no hostapd"));
}

#[test]
fn a_hanging_hostapd_is_said_and_its_stations_are_kept() {
    let mut agent = Agent::new();
    join(&mut agent, PHONE);
    agent.run_for(6_000);
    let from = agent.published.len();
    agent.router.answers(BSS, "get_clients", Answer::Nothing);
    agent.run_for(40_000);
    assert_eq!(agent.radios()[0].status.as_deref(), Some("SILENT"));
    assert!(agent.status().problems[0].contains("no answer"));
    assert_eq!((agent.kinds(from).contains(&"left"), agent.stations().1.len()), (false, 1));
    agent.router.answers(BSS, "get_clients", clients(&[(PHONE, -58, 20)]));
    agent.run_for(10_000);
    assert_eq!(agent.radios()[0].status.as_deref(), Some("ENABLED"));
    assert_eq!(agent.status().problems, [""; 0]);
}

#[test]
fn access_that_is_granted_later_is_found() {
    let mut agent = Agent::without_broker(Probes::Tracked);
    agent.router.hidden.insert(BSS.to_owned());
    agent.connect();
    agent.run_for(5_000);
    assert!(agent.status().problems[0].contains("/usr/share/acl.d"));
    agent.router.hidden.clear();
    agent.run_for(10_000);
    assert_eq!((agent.radios().len(), agent.status().problems.len()), (1, 0));
}

#[test]
fn permission_denied_is_named() {
    let mut agent = Agent::without_broker(Probes::Tracked);
    agent.router.answers(BSS, "get_clients", Answer::Status(6));
    agent.connect();
    agent.run_for(1_000);
    assert_eq!(agent.status().problems, ["hostapd.phy0-ap0: get_clients: permission denied"]);
}

#[test]
fn iwinfo_adds_silence_and_noise_where_it_is_there() {
    let mut agent = Agent::new();
    agent.router.add("iwinfo");
    agent.router.add("luci-rpc");
    let info = Answer::json(include_str!("fixtures/info-21.02.json"));
    let list = Answer::json(include_str!("fixtures/assoclist-19.07.json"));
    agent.router.answers("iwinfo:phy0-ap0", "info", info);
    agent.router.answers("iwinfo:phy0-ap0", "assoclist", list);
    agent.router.answers(BSS, "get_clients", clients(&[(PHONE, -54, 10)]));
    agent.run_for(70_000);
    assert_eq!(agent.status().sources, ["hostapd", "iwinfo"]);
    let station = &agent.stations().1[0];
    assert!(station.inactive_ms.is_some_and(|silence| (12_100..32_100).contains(&silence)), "{station:?}");
    assert!(station.connected_s.is_some_and(|seconds| seconds >= 73_374));
    let radio = &agent.radios()[0];
    assert_eq!((radio.width_mhz, radio.txpower_dbm, radio.noise_dbm), (Some(80), Some(20), Some(-87)));
    agent.router.remove("iwinfo");
    agent.run_for(10_000);
    assert_eq!(agent.status().sources, ["hostapd"]);
}

#[test]
fn a_hanging_rpcd_holds_up_nothing_else() {
    let mut agent = Agent::new();
    agent.router.add("iwinfo");
    agent.router.answers("iwinfo:phy0-ap0", "info", Answer::Nothing);
    agent.router.answers("iwinfo:phy0-ap0", "assoclist", Answer::Nothing);
    agent.run_for(60_000);
    let from = agent.published.len();
    join(&mut agent, PHONE);
    assert_eq!(agent.kinds(from), ["assoc", "authorized"]);
    agent.run_for(60_000);
    let asked = agent.router.calls.iter().filter(|(path, _)| path == "iwinfo").count();
    assert!(asked <= 4, "asked {asked} times in two minutes");
}

/// On a router with three BSSs: at most 2,200 calls to hostapd and 600 to rpcd.
#[test]
fn an_hour_asks_little_of_hostapd_and_rpcd() {
    let mut agent = Agent::new();
    agent.router.add("iwinfo");
    agent.router.add("luci-rpc");
    agent.router.answers("iwinfo:phy0-ap0", "info", Answer::json("{}"));
    let list = Answer::json(include_str!("fixtures/assoclist-19.07.json"));
    agent.router.answers("iwinfo:phy0-ap0", "assoclist", list);
    agent.router.answers(BSS, "get_clients", clients(&[(PHONE, -54, 10)]));
    agent.run_for(60_000);
    agent.router.calls.clear();
    for packets in 0..240 {
        // Silent for longer than a poll again and again.
        agent.router.answers(BSS, "get_clients", clients(&[(PHONE, -54, packets)]));
        agent.run_for(15_000);
    }
    let count = |wished: &str| agent.router.calls.iter().filter(|(path, _)| path == wished).count();
    let (hostapd, iwinfo, luci) = (count(BSS), count("iwinfo"), count("luci-rpc"));
    assert!((720..=2_200 / 3).contains(&hostapd), "{hostapd} calls to hostapd");
    assert!((100..=480 / 3).contains(&iwinfo) && luci <= 120, "{iwinfo} and {luci} calls to rpcd");
}

/// A BSS on a channel where radar was heard serves nobody for a while, and nothing notifies of that.
#[test]
fn a_bss_that_lost_its_stations_is_asked_why_and_then_for_its_return() {
    let status = |word: &str| Answer::Data(blobmsg(&json!({"status": word, "bssid": BSSID, "freq": 5260})));
    let said = |agent: &Agent| agent.radios()[0].status.clone();
    let mut agent = Agent::new();
    agent.router.answers(BSS, "get_status", status("ENABLED"));
    agent.router.answers(BSS, "get_clients", clients(&[(PHONE, -54, 10)]));
    agent.run_for(400_000);
    assert_eq!(said(&agent).as_deref(), Some("ENABLED"));
    agent.router.answers(BSS, "get_status", status("DFS"));
    agent.router.answers(BSS, "get_clients", clients(&[]));
    agent.run_for(6_000);
    assert_eq!(said(&agent).as_deref(), Some("DFS"));
    agent.router.answers(BSS, "get_status", status("ENABLED"));
    agent.run_for(31_000);
    assert_eq!(said(&agent).as_deref(), Some("ENABLED"));
}

#[test]
fn psk_leak_only_what_is_needed_is_asked() {
    let mut agent = Agent::new();
    for path in ["network.wireless", "uci", "session", "iwinfo", "luci-rpc"] {
        agent.router.add(path);
    }
    agent.router.answers("iwinfo:phy0-ap0", "assoclist", Answer::json("{\"results\": []}"));
    join(&mut agent, PHONE);
    agent.run_for(1_000_000);
    let allowed = ["get_clients", "get_status", "info", "assoclist", "getDHCPLeases", "getHostHints"];
    for (path, method) in &agent.router.calls {
        let known = path.starts_with("hostapd.") || path == "iwinfo" || path == "luci-rpc";
        assert!(known && allowed.contains(&method.as_str()), "{path} {method}");
    }
}

#[test]
fn strangers_probes_never_leave_the_access_point() {
    let mut agent = Agent::new();
    track(&mut agent, &format!("\"{}\", \"nonsense\", 7", PHONE.to_uppercase()));
    let from = agent.published.len();
    for _ in 0..10 {
        agent.notify("probe", &assoc(PHONE));
        agent.notify("probe", &assoc(LAPTOP));
        agent.run_for(200);
    }
    let events = agent.event_messages(from);
    assert_eq!(agent.kinds(from), ["probe", "probe"]);
    let phone: Mac = PHONE.parse().unwrap();
    assert!(events.iter().flat_map(|message| &message.events).all(
        |event| matches!(&event.what, EventWhat::Station { mac, change: Change::Probe { signal_dbm: Some(-58) }, .. } if *mac == phone)
    ));
    let mut agent = Agent::without_broker(Probes::Off);
    agent.connect();
    track(&mut agent, &format!("\"{PHONE}\""));
    agent.notify("probe", &assoc(PHONE));
    assert_eq!(agent.kinds(0), [""; 0]);
}

#[test]
fn all_probes_only_where_that_was_asked_for_and_is_said() {
    let mut agent = Agent::without_broker(Probes::All);
    agent.connect();
    agent.run_for(100);
    agent.notify("probe", &assoc(LAPTOP));
    assert_eq!(agent.kinds(0), ["probe"]);
    assert!(agent.status().sources.contains(&"probes-all".to_owned()));
}

#[test]
fn clean_stop_says_offline_and_waits_for_the_broker() {
    let mut agent = Agent::new();
    agent.acks = false;
    agent.notify("key-mismatch", &address(PHONE));
    agent.stop();
    assert_eq!((agent.status().state, agent.stopped), (State::Offline, false));
    agent.notify("assoc", &assoc(PHONE));
    assert_eq!(agent.slots(0).last(), Some(&Slot::Status));
    agent.ack(Slot::Events);
    assert!(!agent.stopped, "that was something else");
    agent.ack(Slot::Status);
    assert!(agent.stopped);
}

#[test]
fn clean_stop_does_not_wait_for_a_broker_that_is_gone_or_silent() {
    let mut agent = Agent::new();
    agent.disconnect();
    agent.stop();
    assert!(agent.stopped);
    let mut agent = Agent::new();
    agent.acks = false;
    agent.stop();
    agent.run_for(1_999);
    assert!(!agent.stopped);
    agent.run_for(1);
    assert!(agent.stopped);
}

#[test]
fn late_will_is_corrected() {
    let mut agent = Agent::new();
    agent.run_for(10_000);
    let will = String::from_utf8(agent.core.will().payload).unwrap();
    let from = agent.published.len();
    agent.publish(&own_status(), &will, false);
    assert_eq!((agent.slots(from), agent.status().state), (vec![Slot::Status], State::Online));
    // Two connections were lost in short order: the second will is made up for as well, though not in the same second.
    agent.publish(&own_status(), &will, false);
    assert_eq!(agent.slots(from).len(), 1);
    agent.run_for(1_000);
    assert_eq!((agent.slots(from).len(), agent.status().state), (2, State::Online));
    agent.publish(&own_status(), "garbage", true);
    assert_eq!(agent.slots(from), [Slot::Status; 3]);
    let ours = r#"{"schema":1,"boot":"9f3c","node":"a1b2c3","sent_ms":1,"state":"online"}"#;
    agent.run_for(5_000);
    agent.publish(&own_status(), ours, false);
    agent.run_for(5_000);
    assert_eq!(agent.slots(from).len(), 3);
    // Emptied by somebody.
    agent.publish(&own_status(), "", false);
    assert_eq!(agent.slots(from).len(), 4);
    // Kept of the life before: boots decide, not the state.
    agent.run_for(5_000);
    agent.publish(&own_status(), &ours.replace("9f3c", "0000"), true);
    assert_eq!(agent.slots(from).len(), 5);
}

#[test]
fn two_of_one_name_do_not_shout_each_other_down() {
    let mut agent = Agent::new();
    let other = r#"{"schema":1,"boot":"ffff","node":"d4e5f6","sent_ms":1,"state":"online"}"#;
    let from = agent.published.len();
    for _ in 0..60 {
        agent.publish(&own_status(), other, false);
        agent.run_for(1_000);
    }
    let corrections = agent.slots(from).iter().filter(|slot| **slot == Slot::Status).count();
    assert!(corrections <= 2, "{corrections} corrections in a minute");
    assert!(agent.status().problems[0].contains("d4e5f6"));
    agent.run_for(700_000);
    assert_eq!(agent.status().problems, [""; 0]);
}

fn request(agent: &mut Agent, id: &str, mac: &str, retained: bool) {
    request_by(agent, id, mac, "table", retained);
}

fn request_by(agent: &mut Agent, id: &str, mac: &str, mode: &str, retained: bool) {
    let json = json!({"schema": 1, "id": id, "kind": "beacon-report", "mac": mac, "mode": mode});
    agent.publish(&Topic::ApRequest("hall".parse().unwrap()), &json.to_string(), retained);
}

#[test]
fn beacon_reports_come_on_request_only() {
    let mut agent = Agent::new();
    agent.router.answers(BSS, "rrm_beacon_req", Answer::Status(0));
    join(&mut agent, PHONE);
    agent.run_for(1_000);
    let report = json!({"address": PHONE, "op-class": 115, "channel": 36, "rcpi": 116, "bssid": "02:b5:00:00:00:09", "rep-mode": 0});
    let from = agent.published.len();
    agent.notify("beacon-report", &report);
    request(&mut agent, "old", PHONE, true);
    assert_eq!(agent.kinds(from), [""; 0]);
    request(&mut agent, "r1", PHONE, false);
    agent.notify("beacon-report", &report);
    request(&mut agent, "r2", PHONE, false);
    request(&mut agent, "r3", LAPTOP, false);
    assert_eq!(agent.kinds(from), ["answer", "beacon-report", "answer", "answer"]);
    let answers: Vec<(String, bool)> = agent
        .event_messages(from)
        .iter()
        .flat_map(|message| &message.events)
        .filter_map(|event| match &event.what {
            EventWhat::Answer { id, ok, .. } => Some((id.clone(), *ok)),
            EventWhat::Station { change, .. } => {
                assert!(matches!(change, Change::BeaconReport { rcpi_dbm: Some(-52), .. }));
                None
            }
        })
        .collect();
    assert_eq!(answers, [("r1".to_owned(), true), ("r2".to_owned(), false), ("r3".to_owned(), false)]);
    agent.run_for(15_000);
    assert_eq!(agent.router.calls.iter().filter(|(_, method)| method == "rrm_beacon_req").count(), 1);
}

/// What a station is asked to measure holds the home's other access points: the 2.4 GHz band, if the network is there.
#[test]
fn who_measures_looks_where_all_access_points_are() {
    const HIGH: &str = "hostapd.phy1-ap0";
    let status = |ssid: &str, bssid: &str, freq: u32| {
        Answer::json(&json!({"status": "ENABLED", "ssid": ssid, "bssid": bssid, "freq": freq}).to_string())
    };
    for (low_ssid, class) in [("Home", 81), ("Home 2.4", 121)] {
        let mut agent = Agent::without_broker(Probes::Tracked);
        agent.router.add(HIGH);
        agent.router.answers(BSS, "get_status", status(low_ssid, BSSID, 2_437));
        agent.router.answers(HIGH, "get_status", status("Home", "02:b5:00:00:00:02", 5_500));
        agent.router.answers(HIGH, "rrm_beacon_req", Answer::Status(0));
        agent.connect();
        agent.router.answers(HIGH, "get_clients", clients(&[(PHONE, -60, 10)]));
        agent.run_for(6_000);
        for (mode, packets) in [("active", 20), ("passive", 30), ("table", 40)] {
            agent.router.answers(HIGH, "get_clients", clients(&[(PHONE, -60, packets)]));
            agent.run_for(11_000);
            request_by(&mut agent, mode, PHONE, mode, false);
        }
        agent.run_for(100);
        assert_eq!(agent.router.measurements, [[1, class, 0], [0, class, 0], [2, 121, 0]], "{low_ssid}");
    }
}

#[test]
fn reports_about_the_neighbours_stay_on_the_access_point() {
    let mut agent = Agent::new();
    agent.router.answers(BSS, "rrm_beacon_req", Answer::Status(0));
    join(&mut agent, PHONE);
    let tracked = json!({"schema": 1, "macs": [PHONE], "bssids": ["02:b5:00:00:00:09", "02:b5:00:00:00:01"]});
    agent.publish(&Topic::Tracked, &tracked.to_string(), true);
    agent.run_for(1_000);
    request(&mut agent, "r1", PHONE, false);
    let from = agent.published.len();
    for bssid in ["02:b5:00:00:00:09", "66:00:00:00:00:01"] {
        let report = json!({"address": PHONE, "op-class": 115, "channel": 36, "rcpi": 116, "bssid": bssid, "rep-mode": 0});
        agent.notify("beacon-report", &report);
    }
    assert_eq!(agent.kinds(from), ["beacon-report"]);
}

#[test]
fn leases_name_the_devices_on_the_router() {
    let mut agent = Agent::new();
    agent.router.add("luci-rpc");
    agent.router.answers("luci-rpc", "getDHCPLeases", Answer::json(include_str!("fixtures/leases.json")));
    agent.router.answers("luci-rpc", "getHostHints", Answer::json(include_str!("fixtures/hints.json")));
    agent.run_for(1_300_000);
    let hosts: Vec<_> = agent.published.iter().filter(|published| published.slot == Slot::Hosts).collect();
    assert_eq!(hosts.len(), 1);
    let whichroom_wire::AgentMessage::Hosts(hosts) = &hosts[0].message else { panic!() };
    let names: Vec<_> = hosts.hosts.iter().map(|host| (host.mac.to_string(), host.name.as_deref())).collect();
    assert_eq!(
        names,
        [
            (PHONE.to_owned(), Some("phone")),
            (LAPTOP.to_owned(), Some("laptop.lan")),
            ("02:aa:00:00:00:09".to_owned(), Some("printer"))
        ]
    );
    assert_eq!(agent.status().sources, ["hostapd", "leases"]);
}

#[test]
fn leases_are_read_from_the_file_where_luci_is_missing() {
    let mut agent = Agent::new();
    agent.leases = format!(
        "1767000000 {PHONE} 192.168.1.5 phone *\n0 {LAPTOP} 192.168.1.6 * 01:aa\nduid 0001\nnonsense\n"
    );
    agent.run_for(700_000);
    assert_eq!(agent.slots(0).iter().filter(|slot| **slot == Slot::Hosts).count(), 1);
    assert_eq!(agent.status().sources, ["hostapd", "leases"]);
}

#[test]
fn an_ssid_that_is_no_utf_8_is_replaced() {
    let mut agent = Agent::without_broker(Probes::Tracked);
    let mut status = blobmsg(&json!({"status": "ENABLED", "bssid": BSSID, "freq": 5180}));
    status.put(b"ssid", whichroom_ubus::blobmsg::Value::String(b"caf\xe9"));
    agent.router.answers(BSS, "get_status", Answer::Data(status));
    agent.connect();
    agent.run_for(100);
    assert_eq!(agent.radios()[0].ssid.as_deref(), Some("caf\u{fffd}"));
}

#[test]
fn nothing_in_a_notification_harms() {
    let mut agent = Agent::new();
    let from = agent.published.len();
    for name in NOTICES.iter().chain(&["auth", "ubus.object.add", "ubus.object.remove", "brand-new"]) {
        for json in [
            json!({}),
            json!({"address": 7, "signal": "loud"}),
            json!({"address": "ff:ff:ff:ff:ff:ff", "bssid": BSSID}),
            json!({"address": "00:00:00:00:00:00", "signal": -50}),
            json!({"address": {"deep": [1, [2, [3]]]}, "id": -1, "path": "hostapd.x"}),
        ] {
            agent.notify(name, &json);
        }
    }
    assert_eq!(agent.kinds(from), [""; 0]);
}

#[test]
fn absurd_signals_are_unknown() {
    for (signal, expected) in [(0, None), (20, None), (-200, None), (-120, Some(-120)), (-1, Some(-1))] {
        let mut agent = Agent::new();
        agent.router.answers(BSS, "get_clients", clients(&[(PHONE, signal, 1)]));
        agent.run_for(6_000);
        assert_eq!(agent.stations().1[0].signal_dbm, expected, "{signal}");
    }
}

#[test]
fn a_second_subscription_after_a_lookup_is_not_made() {
    let mut agent = Agent::new();
    agent.run_for(300_000);
    let from = agent.published.len();
    agent.notify("key-mismatch", &address(PHONE));
    assert_eq!(agent.kinds(from), ["key-mismatch"]);
    assert_eq!(Router::default().calls.len(), 0);
}

/// usteer's answer: how it heard the phone here and on another access point, and a stranger here.
fn heard(connected: bool, signal_dbm: i32) -> Answer {
    let mut stations = json!({
        PHONE: {"192.168.1.3#hostapd.phy0-ap0": {"connected": false, "signal": signal_dbm - 7}},
        LAPTOP: {BSS: {"connected": false, "signal": signal_dbm}},
        "nonsense": {BSS: {"connected": false, "signal": signal_dbm}},
    });
    stations[PHONE][BSS] = json!({"connected": connected, "signal": signal_dbm});
    Answer::Data(blobmsg(&stations))
}

fn with_usteer(answer: Answer) -> Agent {
    let mut agent = Agent::new();
    agent.router.add("usteer");
    agent.router.answers("usteer", "get_clients", answer);
    track(&mut agent, &format!("\"{PHONE}\""));
    agent.run_for(31_000);
    assert_eq!(agent.status().sources, ["hostapd", "usteer"]);
    agent
}

#[test]
fn usteers_hearing_map_is_told_where_it_is_news() {
    let mut agent = with_usteer(heard(false, -70));
    let from = agent.published.len();
    agent.run_for(60_000);
    assert_eq!(agent.kinds(from), [""; 0], "nobody knows how old it is");
    agent.router.answers("usteer", "get_clients", heard(false, -64));
    agent.run_for(90_000);
    let events: Vec<_> =
        agent.event_messages(from).iter().flat_map(|message| message.events.clone()).collect();
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!(event.age_ms, 30_000, "it was heard since the look before");
    let expected = EventWhat::Station {
        mac: PHONE.parse().unwrap(),
        bssid: BSSID.parse().unwrap(),
        change: Change::Probe { signal_dbm: Some(-64) },
    };
    assert_eq!(event.what, expected);
    agent.router.remove("usteer");
    agent.run_for(2_000);
    assert_eq!(agent.status().sources, ["hostapd"]);
}

/// stale-association: what a station leaves behind when it goes is as old as its silence was.
#[test]
fn the_last_signal_of_a_station_that_left_is_not_heard_again() {
    let mut agent = with_usteer(heard(true, -70));
    let from = agent.published.len();
    agent.router.answers("usteer", "get_clients", heard(true, -75));
    agent.run_for(31_000);
    agent.router.answers("usteer", "get_clients", heard(false, -76));
    agent.run_for(61_000);
    assert_eq!(agent.kinds(from), [""; 0]);
    agent.router.answers("usteer", "get_clients", heard(false, -60));
    agent.run_for(31_000);
    assert_eq!(agent.kinds(from), ["probe"]);
}

#[test]
fn what_hostapd_told_usteer_need_not_repeat() {
    let mut agent = with_usteer(heard(false, -70));
    let from = agent.published.len();
    agent.notify("probe", &assoc(PHONE));
    agent.router.answers("usteer", "get_clients", heard(false, -61));
    agent.run_for(61_000);
    assert_eq!(agent.kinds(from), ["probe"], "hostapd's own");
    agent.router.answers("usteer", "get_clients", Answer::Status(6));
    agent.run_for(31_000);
    assert_eq!(agent.status().sources, ["hostapd"]);
}

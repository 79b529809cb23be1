//! Recordings of real programs: what was decided is decided again, what was asked is answered, and what is missing is
//! said.

use std::io::Read as _;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use serde_json::Value;
use whichroom_simulator::{Plan, World};
use whichroom_tests::directory::Directory;
use whichroom_tests::house::{ANNA, BEN, BSS_2, BSS_5, FAMILY, House, topic};
use whichroom_tests::mosquitto::Settings;
use whichroom_tests::observer::Arrived;
use whichroom_tests::process::{Process, product, run, wait};
use whichroom_tests::recorded::record;
use whichroom_tests::ubusd::Leave;

const PASSWORD: &str = "correct-horse-battery";

fn whichroom(arguments: &[&str]) -> Output {
    run(&product("whichroom"), arguments)
}

fn path(file: &Path) -> &str {
    file.to_str().unwrap_or_else(|| panic!("{} is no text", file.display()))
}

/// The decisions of a replay, one JSON object each.
fn replay(file: &Path, more: &[&str]) -> (Vec<Value>, Output) {
    let output = whichroom(&[&["replay", "--json", path(file)], more].concat());
    let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let decision = |line: &[u8]| {
        let text = String::from_utf8_lossy(line);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
    };
    let decisions = lines.map(decision).collect();
    (decisions, output)
}

/// A move as it was published, and the time of the person's state that came with it.
#[derive(Debug, PartialEq)]
struct Move {
    person: String,
    what: String,
    from: String,
    to: String,
    because: Value,
    time: String,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

fn published(history: &[Arrived]) -> Vec<Move> {
    let mut moves = Vec::new();
    let mut since = std::collections::BTreeMap::new();
    for arrived in history.iter().filter(|arrived| !arrived.retained) {
        let Some(below) = arrived.topic.strip_prefix(&topic("person/")) else { continue };
        let json = arrived.json();
        let Some(person) = below.strip_suffix("/moved") else {
            since.insert(below.to_owned(), json["since"].clone());
            continue;
        };
        let what = text(&json["event_type"]);
        moves.push(Move {
            person: person.to_owned(),
            what: if what == "changed_room" { "moved".to_owned() } else { what },
            from: text(&json["from"]),
            to: text(&json["to"]),
            because: json["because"].clone(),
            time: since.get(person).map(text).unwrap_or_default(),
        });
    }
    moves
}

fn replayed(decisions: &[Value]) -> Vec<Move> {
    let is_move =
        |decision: &&Value| ["moved", "arrived", "left"].iter().any(|what| decision["what"] == *what);
    let moves = decisions.iter().filter(is_move).map(|decision| Move {
        person: text(&decision["id"]),
        what: text(&decision["what"]),
        from: text(&decision["from"]),
        to: text(&decision["to"]),
        because: decision["because"].clone(),
        time: text(&decision["time"]),
    });
    moves.collect()
}

/// Waits until Anna is in a room, while her phone goes on being received on an access point.
fn dwell(house: &House, ap: &str, room: &str) {
    let anna = topic("person/anna");
    wait(&format!("Anna in {room}"), || {
        house.bus(ap).with_ap(|ap| {
            let Some(station) = ap.station(BSS_5, ANNA) else { return };
            station.signal_dbm = if station.signal_dbm == -50 { -54 } else { -50 };
            station.receive(20, Instant::now());
        });
        std::thread::sleep(Duration::from_millis(250));
        house.observer.last(&anna).filter(|anna| anna["tracker"] == "home" && anna["room"] == room)
    });
}

#[test]
fn a_replay_decides_what_was_decided() {
    let users = vec![("wr".to_owned(), PASSWORD.to_owned())];
    let mut house = House::with(&Settings { users, ..Settings::default() });
    let file = house.directory.join("day.jsonl.gz");
    house.add_ap("kitchen");
    house.add_ap("hall");
    house.record(file.clone());
    house.start_aggregator(FAMILY);
    house.bus("hall").join(BSS_5, ANNA, -52);
    house.wait_room("anna", "Hall");
    house.bus("kitchen").join(BSS_2, BEN, -50);
    house.wait_room("ben", "Kitchen");
    house.bus("kitchen").join(BSS_5, ANNA, -48);
    house.bus("hall").leave(BSS_5, ANNA, Leave::Silent);
    dwell(&house, "kitchen", "Kitchen");

    // The broker goes and comes back, and the configuration is read again with another name.
    house.mosquitto.stop();
    house.bring_broker_back();
    house.wait_agent("hall");
    let configuration =
        std::fs::read_to_string(house.directory.join("whichroom.toml")).expect("it was written");
    house.directory.write("whichroom.toml", &configuration.replace("name = \"Hall\"", "name = \"Corridor\""));
    house.aggregator.as_ref().expect("it runs").signal("HUP");
    house.observer.wait_last(&topic("room/hall"), |room| room["name"] == "Corridor");

    house.bus("hall").join(BSS_5, ANNA, -50);
    house.bus("kitchen").leave(BSS_5, ANNA, Leave::Silent);
    dwell(&house, "hall", "Corridor");
    house.bus("hall").leave(BSS_5, ANNA, Leave::Disassoc);
    house.wait_away("anna");
    house.bus("hall").join(BSS_5, ANNA, -50);
    dwell(&house, "hall", "Corridor");
    let aggregator = house.aggregator.as_mut().expect("it runs");
    assert!(aggregator.terminate().success());

    let expected = published(&house.observer.history());
    for what in ["moved", "left", "arrived"] {
        assert!(expected.iter().any(|moved| moved.what == what), "{what} is not in {expected:?}");
    }
    let (decisions, output) = replay(&file, &[]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert_eq!(replayed(&decisions), expected);
    assert_eq!(replay(&file, &[]).1.stdout, output.stdout, "two replays differ");
    let until = replay(&file, &["--until", "+0"]).0;
    assert!(replayed(&until).is_empty(), "{until:?}");

    // With other names, and with timers of its own.
    let other =
        house.directory.write("other.toml", &FAMILY.replace("name = \"Kitchen\"", "name = \"Galley\""));
    let (renamed, output) = replay(&file, &["--config", path(&other)]);
    assert!(output.status.success(), "{output:?}");
    assert!(replayed(&renamed).iter().any(|moved| moved.to == "Galley"), "{renamed:?}");

    let mut plain = String::new();
    let mut packed = GzDecoder::new(std::fs::File::open(&file).expect("it was written"));
    packed.read_to_string(&mut plain).expect("it has a whole end");
    assert!(!plain.contains(PASSWORD) && !plain.contains("password"), "a secret is in the recording");

    // What is said about a moment of it.
    let explain =
        |arguments: &[&str]| whichroom(&[&["explain", "--recording", path(&file)], arguments].concat());
    let end = String::from_utf8_lossy(&explain(&["anna"]).stdout).into_owned();
    assert!(end.contains("Anna: home") && end.contains("Corridor"), "{end}");
    let nobody = explain(&["nobody"]);
    let nobody_said = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert!(
        nobody.status.code() == Some(2) && nobody_said.contains("anna, ben, anna-phone"),
        "{nobody_said}"
    );
    let before = explain(&["anna", "--at", "2001-01-01T00:00:00Z"]);
    let before_said = String::from_utf8_lossy(&before.stderr).into_owned();
    assert!(
        before.status.code() == Some(2) && before_said.contains("nothing is known of before"),
        "{before_said}"
    );
    let after = explain(&["anna", "--at", "+99999999"]);
    let after_said = String::from_utf8_lossy(&after.stderr).into_owned();
    assert!(
        after.status.code() == Some(2) && after_said.contains("nothing is known of after"),
        "{after_said}"
    );
}

#[test]
fn a_killed_recorder_leaves_what_it_heard() {
    let mut house = House::new();
    house.add_ap("hall");
    house.start_aggregator(FAMILY);
    let (file, config) = (house.directory.join("beside.jsonl.gz"), house.directory.join("whichroom.toml"));
    let arguments = ["record", path(&file), "--for", "1h", "--config", path(&config)];
    let mut recorder =
        Process::start(&product("whichroom"), &arguments, &house.directory.join("recorder.log"));
    recorder.wait_log("connected to the broker");
    house.bus("hall").join(BSS_5, ANNA, -52);
    house.wait_room("anna", "Hall");
    // It is on disk some seconds later, whatever happens then.
    let found = wait("Anna in the recording", || {
        recorder.expect_running();
        house.stir("hall");
        let (decisions, output) = if file.exists() { replay(&file, &[]) } else { return None };
        decisions.iter().any(|decision| decision["id"] == "anna").then_some(output)
    });
    recorder.kill();
    let said = String::from_utf8_lossy(&found.stderr).into_owned();
    assert!(found.status.success() && said.contains("is cut after line"), "{said}");

    let again = whichroom(&["record", path(&file), "--config", path(&config)]);
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(again.status.code() == Some(1) && said.contains("exists already"), "{said}");
}

#[test]
fn the_running_aggregator_explains() {
    let mut house = House::new();
    house.add_ap("hall");
    house.start_aggregator(FAMILY);
    house.bus("hall").join(BSS_5, ANNA, -52);
    house.wait_room("anna", "Hall");
    house.aggregator.as_mut().expect("it runs").wait_log("Anna is home, Hall: connected to Hall at -52 dBm");
    let page = house.page_address();
    let explained = whichroom(&["explain", "Anna", "--page", &page]);
    let said = String::from_utf8_lossy(&explained.stdout).into_owned();
    assert!(explained.status.success() && said.contains("Anna: home") && said.contains("Claims"), "{said}");
    let json = whichroom(&["explain", "anna-phone", "--json", "--page", &page]).stdout;
    let json: Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!((&json["kind"], &json["id"]), (&"device".into(), &"anna-phone".into()));
    let nobody = whichroom(&["explain", "nobody", "--page", &page]);
    let said = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert!(nobody.status.code() == Some(2) && said.contains("known: anna, ben"), "{said}");
    let past = whichroom(&["explain", "anna", "--page", &page, "--at", "08:15"]);
    let said = String::from_utf8_lossy(&past.stderr).into_owned();
    assert!(past.status.code() == Some(2) && said.contains("--record FILE"), "{said}");
}

#[test]
fn what_is_no_recording_or_no_time_is_refused() {
    let directory = Directory::new();
    let text = directory.write("notes.txt", "buy milk\n");
    for (arguments, because) in [
        (&["replay"][..], "which recording?"),
        (&["replay", "/nowhere/at/all"], "/nowhere/at/all"),
        (&["replay", path(&text)], "notes.txt:1: this is no recording of whichroom"),
        (&["replay", path(&text), "--speed", "0"], "\"max\""),
        (&["explain"], "whom or what"),
        (&["explain", "anna", "--recording", path(&text)], "no recording"),
        (&["record"], "into which file?"),
        (&["record", "x", "--for", "soon"], "24h"),
    ] {
        let output = whichroom(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(because), "{arguments:?}: {said}");
    }
}

/// Rows of a table, as `whichroom history export` gives them.
fn exported(history: &Path, table: &str, format: &str) -> Vec<String> {
    let output =
        whichroom(&["history", "export", "--history", path(history), "--table", table, "--format", format]);
    assert!(output.status.success(), "{table}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn an_imported_day_has_every_table_and_comes_out_as_text() {
    let directory = Directory::new();
    let (file, history) = (directory.join("day.jsonl.gz"), directory.join("history.sqlite3"));
    let home = World::new(Plan::house(), 1);
    let rooms: Vec<String> = home.rooms().iter().map(|room| room.id.to_string()).collect();
    let macs: Vec<String> =
        home.phones().iter().flat_map(|phone| phone.macs()).map(|mac| mac.to_string()).collect();
    record(&file, home, 1, "2026-11-22T00:00:00Z").expect("a recording");
    let import = whichroom(&["history", "import", "--history", path(&history), path(&file)]);
    assert!(import.status.success(), "{}", String::from_utf8_lossy(&import.stderr));
    for table in ["spans", "signals", "radios", "stays", "rooms"] {
        let (csv, json) = (exported(&history, table, "csv"), exported(&history, table, "jsonl"));
        assert!(json.len() > 5, "{table}: {json:?}");
        assert_eq!(csv.len(), json.len() + 1, "{table}: a line of names, and as many rows");
    }

    assert_eq!(exported(&history, "rooms", "csv")[0], "mac,at,room,percent");
    let mut percents = std::collections::BTreeMap::new();
    for line in exported(&history, "rooms", "jsonl") {
        let row: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let (mac, at) = (text(&row["mac"]), text(&row["at"]));
        assert!(macs.contains(&mac) && at.ends_with(":00.000Z"), "of a phone and a minute: {line}");
        if !row["room"].is_null() {
            assert!(rooms.contains(&text(&row["room"])), "{line}");
            *percents.entry((mac, at)).or_insert(0) += row["percent"].as_u64().unwrap_or(1_000);
        }
    }
    // Each is rounded to five percent.
    assert!(percents.values().all(|percent| *percent <= 110), "{percents:?}");
    let phones: std::collections::BTreeSet<&String> = percents.keys().map(|(mac, _)| mac).collect();
    assert_eq!(phones.len(), macs.len(), "every phone was somewhere");
}

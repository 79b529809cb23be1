//! What foreign bytes meet in the server, one function a parser: for the fuzz targets in `tests/fuzz`, and for the test
//! that replays what they found. Each takes any bytes, and asserts what must hold of them.

use std::collections::BTreeSet;
use std::io::{Cursor, Write as _};
use std::net::IpAddr;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use whichroom_presence::{Engine, Moment};
use whichroom_wire::aggregator::Calibrate;
use whichroom_wire::{AgentMessage, ELEMENTS_MAX, HOSTS_MAX, Mac, Topic, encode};

use crate::command::Command;
use crate::config;
use crate::config::adopt::{Adoption, Owner, adopted};
use crate::decider::Given;
use crate::names::{neighbours, question};
use crate::record::reader::{Next, Reader};
use crate::score::traces::trace;
use crate::web::hosts::Hosts;
use crate::web::packages::feed_file;

/// A function by its name.
pub type Target = (&'static str, fn(&[u8]));

/// Every function here.
pub const TARGETS: &[Target] = &[
    ("agent_messages", agent_messages),
    ("recording", recording),
    ("recorded_home", recorded_home),
    ("trace_file", trace_file),
    ("configuration", configuration),
    ("adoption", adoption),
    ("command", command),
    ("addresses", addresses),
    ("name_server_answer", name_server_answer),
    ("neighbour_table", neighbour_table),
];

/// Lines of a recording that are decided: enough for a story, few enough for a fuzzer.
const LINES_MAX: usize = 64;

/// What a name server says to a question: at most one short label of plain letters.
pub fn name_server_answer(bytes: &[u8]) {
    let address = IpAddr::from([192, 168, 1, 20]);
    if let Some(question::Answer::Name(name)) = question::answer(7, address, bytes) {
        assert!((1..=63).contains(&name.len()), "{name}");
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'), "{name}");
    }
}

/// The kernel's neighbour table: what is taken of it are stations.
pub fn neighbour_table(bytes: &[u8]) {
    let mut table = BTreeSet::new();
    // Why it does not read is nobody's business here.
    let _ = neighbours::take(bytes, &mut table);
    assert!(table.iter().all(|(mac, _)| mac.is_station()));
}

/// A message of an agent, on the topic that the first byte says. What is read is written, and reads the same again.
pub fn agent_messages(bytes: &[u8]) {
    let Some((kind, payload)) = bytes.split_first() else { return };
    let topics = ["status", "radios", "stations", "events", "hosts"];
    let below = format!("ap/kitchen/{}", topics[usize::from(*kind) % topics.len()]);
    let Some(topic) = Topic::parse(&below) else { return };
    let Ok(read) = AgentMessage::decode(&topic, payload) else { return };
    let written = match &read.message {
        AgentMessage::Status(status) => encode(&read.stamp, status),
        AgentMessage::Radios(radios) => encode(&read.stamp, radios),
        AgentMessage::Stations(table) => {
            assert!(table.stations.len() <= ELEMENTS_MAX);
            encode(&read.stamp, table)
        }
        AgentMessage::Events(events) => {
            assert!(events.events.len() <= ELEMENTS_MAX);
            encode(&read.stamp, events)
        }
        AgentMessage::Hosts(hosts) => {
            assert!(hosts.hosts.len() <= HOSTS_MAX);
            encode(&read.stamp, hosts)
        }
    };
    let again = AgentMessage::decode(&topic, &written);
    let again = again.map(|again| (again.stamp, again.message));
    assert_eq!(again, Ok((read.stamp, read.message)), "{}", String::from_utf8_lossy(&written));
}

/// A recording, as a file or, if it does not begin like one, as the lines in it. Times go forward.
pub fn recording(bytes: &[u8]) {
    read_recording(bytes, |_, _| {});
}

/// The same, decided: by the home of its first line, from the state in it.
pub fn recorded_home(bytes: &[u8]) {
    let mut engine = None;
    let mut lines = 0;
    read_recording(bytes, |now, line| {
        lines += 1;
        match (line, &mut engine) {
            (Line::Header(header), _) => {
                engine = Some(Engine::new(header.config.clone(), header.snapshot.clone(), now));
            }
            (Line::Given(given), Some(engine)) if lines <= LINES_MAX => give(engine, given, now),
            (Line::Given(_), _) => {}
        }
    });
}

fn give(engine: &mut Engine, given: Given<'_>, now: Moment) {
    engine.handle_timeout(now);
    match given {
        Given::Message { topic, payload, retained } => {
            engine.handle_publish(&topic, payload, retained, now);
            // Words for whoever sent it.
            let _ = engine.handle_calibrate(payload, retained, String::new(), now);
        }
        Given::Timeout => {}
        Given::Broker { connected } => engine.handle_broker(connected, now),
        Given::Setup(setup) => engine.handle_setup(*setup, now),
        Given::PublishAll => engine.publish_all(),
    }
    while engine.poll_effect().is_some() {}
    engine.view(now);
}

enum Line<'a> {
    Header(&'a crate::record::line::Header),
    Given(Given<'a>),
}

fn read_recording(bytes: &[u8], mut see: impl FnMut(Moment, Line<'_>)) {
    let file = if bytes.starts_with(&[0x1f, 0x8b]) { bytes.to_vec() } else { compressed(bytes) };
    let Ok((header, mut reader)) = Reader::new(Cursor::new(file)) else { return };
    let mut latest = Moment::from_ms(header.t_ms);
    see(latest, Line::Header(&header));
    loop {
        match reader.next() {
            Next::Given(at, given) => {
                assert!(at >= latest);
                latest = at;
                see(at, Line::Given(given));
            }
            Next::Bad { .. } => {}
            Next::Cut { .. } | Next::End => break,
        }
    }
    assert_eq!(reader.next(), Next::End);
}

fn compressed(lines: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    // Memory does not refuse to be written.
    let _ = gzip.write_all(lines);
    gzip.finish().unwrap_or_default()
}

/// A trace for `whichroom score`.
pub fn trace_file(bytes: &[u8]) {
    let Ok(trace) = trace::parse("trace.csv", &String::from_utf8_lossy(bytes)) else { return };
    assert!(trace.is_same(&trace));
}

/// `whichroom.toml`. Where nothing is usable, it is said why, and at which line.
pub fn configuration(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (config, remarks) = config::parse(&text, Path::new("/nonexistent"));
    assert!(config.is_some() || !remarks.is_empty());
    for remark in remarks {
        remark.display(Path::new("whichroom.toml"));
    }
}

/// A device's name in the first line, written into the configuration that follows.
pub fn adoption(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (name, file) = text.split_once('\n').unwrap_or((&text, ""));
    let mac = Mac::new([2, 0, 0, 0, 0xad, 0x0b]);
    for owner in [Owner::Nobody, Owner::NewPerson(name.to_owned())] {
        let adoption = Adoption { mac, name: Some(name.to_owned()), owner };
        let Ok(fresh) = adopted(file, Path::new("/nonexistent"), &adoption) else { continue };
        let (config, _) = config::parse(&fresh, Path::new("/nonexistent"));
        let setup = config.map(|config| config.setup).unwrap_or_default();
        let mut devices = setup.people.iter().flat_map(|person| &person.devices).chain(&setup.devices);
        assert!(devices.any(|device| device.macs == [mac] && device.name == name.trim()), "{fresh}");
    }
}

/// A command: its name in the first line, then its body. What is read is written, and reads the same again.
pub fn command(bytes: &[u8]) {
    let _ = Calibrate::decode(bytes);
    let text = String::from_utf8_lossy(bytes);
    let (name, body) = text.split_once('\n').unwrap_or((&text, ""));
    match Command::read(name, body.as_bytes()) {
        Ok(command) => {
            let (name, body) = command.write();
            assert_eq!(Command::read(&name, &body).ok(), Some(command));
        }
        Err(refusal) => assert!(!refusal.to_string().contains('\n'), "{refusal}"),
    }
}

/// Who a browser says it asks, and for which file of the feed.
pub fn addresses(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let hosts = Hosts::new(([127, 0, 0, 1], 8080).into(), &[text.to_string()]);
    hosts.allow(&text);
    let own = Hosts::new(([127, 0, 0, 1], 8080).into(), &[]);
    if own.allow(&text) {
        let name = text.to_ascii_lowercase();
        assert!(name.starts_with("localhost") || name.starts_with("127.") || name.starts_with('['), "{text}");
    }
    if feed_file(&text).is_some() {
        assert!(!text.split('/').any(|part| part == ".."), "{text}");
    }
}

#[cfg(test)]
#[path = "../../../tests/fuzz/replay.rs"]
mod replay;

#[test]
fn what_fuzzing_found_is_read() {
    replay::corpora(TARGETS);
}

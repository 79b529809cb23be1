//! What foreign bytes meet in the agent, one function a parser: for the fuzz targets in `tests/fuzz`, and for the test
//! that replays what they found. Each takes any bytes, and asserts what must hold of them.

use whichroom_ubus::blobmsg::{Elements, Value, Writer};
use whichroom_ubus::message::{Decoder, OwnedMessage};
use whichroom_ubus::{Session, blobmsg};
use whichroom_wire::{AGENT_PAYLOAD_MAX, Id};

use crate::collector::parse;
use crate::core::{Config, Core, Probes};
use crate::credentials;

/// A function by its name.
pub type Target = (&'static str, fn(&[u8]));

/// Every function here.
pub const TARGETS: &[Target] = &[
    ("ubus_stream", ubus_stream),
    ("ubus_values", ubus_values),
    ("hostapd", hostapd),
    ("agent_inbox", agent_inbox),
    ("leases", leases),
    ("credentials_file", credentials_file),
];

/// Deeper than the reader goes.
const DEEPEST: u32 = 64;

/// What ubusd sends, in pieces as large as the first byte says. How it is cut makes no difference to what is read, and
/// what is read confuses no session.
pub fn ubus_stream(bytes: &[u8]) {
    let Some((size, stream)) = bytes.split_first() else { return };
    let (whole, is_whole_bad) = messages(stream, stream.len());
    let (cut, is_cut_bad) = messages(stream, usize::from(*size));
    assert_eq!((&whole, is_whole_bad), (&cut, is_cut_bad));
    let mut session: Session<u8> = Session::new(1_000, 0);
    session.lookup("hostapd.*", 1, 0);
    session.add_object(2, 0);
    session.subscribe(1, 2, 3, 0);
    session.invoke(2, "get_clients", &Writer::new(), 4, 0);
    for (now_ms, message) in (0..).zip(&whole) {
        let message = message.message();
        message.answer();
        if let Some(data) = message.attributes().data() {
            walk(data, 0);
        }
        session.handle_message(message);
        session.handle_timeout(now_ms * 100);
        while session.poll_event().is_some() {}
        while session.poll_transmit().is_some() {}
    }
}

fn messages(stream: &[u8], size: usize) -> (Vec<OwnedMessage>, bool) {
    let mut decoder = Decoder::new();
    let mut found = Vec::new();
    for piece in stream.chunks(size.max(1)) {
        decoder.push(piece);
        loop {
            match decoder.next_message() {
                Ok(Some(message)) => found.push(message.to_owned()),
                Ok(None) => break,
                Err(_) => return (found, true),
            }
        }
    }
    (found, false)
}

/// A tree of values. What was read is written, and reads the same again without a flaw.
pub fn ubus_values(bytes: &[u8]) {
    let elements = Elements::new(bytes);
    walk(elements, 0);
    let written = rewritten(elements);
    assert_eq!(Elements::new(written.as_bytes()).flaws(), 0);
    assert_eq!(rewritten(Elements::new(written.as_bytes())).as_bytes(), written.as_bytes());
}

fn walk(elements: Elements<'_>, depth: u32) {
    assert!(depth < DEEPEST);
    elements.flaws();
    for element in elements {
        let value = element.value;
        elements.get(&String::from_utf8_lossy(element.name));
        let _ = (value.signed(), value.unsigned(), value.boolean(), value.text(), value.bytes());
        if let Some(inner) = value.elements() {
            walk(inner, depth + 1);
        }
    }
}

fn rewritten(elements: Elements<'_>) -> Writer {
    let mut writer = Writer::new();
    for blobmsg::Element { name, value } in elements {
        let inner = value.elements().map(rewritten);
        let value = match (value, &inner) {
            (Value::Table(_), Some(inner)) => Value::Table(Elements::new(inner.as_bytes())),
            (Value::Array(_), Some(inner)) => Value::Array(Elements::new(inner.as_bytes())),
            (plain, _) => plain,
        };
        writer.put(name, value);
    }
    writer
}

/// What hostapd and rpcd answer and notify.
pub fn hostapd(bytes: &[u8]) {
    let data = Elements::new(bytes);
    let _ = (parse::address(data), parse::object(data), parse::status(data), parse::info(data));
    let _ = (parse::clients(data), parse::assoclist(data));
    assert!(parse::leases(data).len() <= whichroom_wire::HOSTS_MAX);
    assert!(parse::hints(data).len() <= whichroom_wire::HOSTS_MAX);
    for name in parse::NOTICES {
        parse::notice(name, data);
    }
}

/// What the broker sends an agent: tracked stations, a request, and its own status, a line each.
pub fn agent_inbox(bytes: &[u8]) {
    let Ok(site) = "home".parse::<Id>() else { return };
    let Ok(ap) = "kitchen".parse::<Id>() else { return };
    let config = Config {
        site,
        ap,
        node: "a1b2c3".to_owned(),
        boot: "9f3c".to_owned(),
        interval_ms: 5_000,
        probes: Probes::Tracked,
        release: None,
    };
    let mut core = Core::new(config, 0);
    let topics = ["tracked", "ap/kitchen/request", "ap/kitchen/status", "ap/garden/status"];
    for (now_ms, line) in (0..).zip(bytes.split(|byte| *byte == b'\n')) {
        for topic in topics {
            core.handle_publish(&format!("whichroom/home/{topic}"), line, now_ms % 7 == 0, now_ms * 500);
        }
        while core.poll_effect(now_ms * 500).is_some() {}
    }
}

/// dnsmasq's file of leases.
pub fn leases(bytes: &[u8]) {
    let hosts = parse::lease_file(&String::from_utf8_lossy(bytes));
    let told =
        whichroom_wire::encode(&whichroom_wire::Stamp::new("b", "n", 0), &whichroom_wire::Hosts { hosts });
    assert!(told.len() <= AGENT_PAYLOAD_MAX, "{} bytes", told.len());
}

/// The file with user and password. A mistake is told without what is in the file.
pub fn credentials_file(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Err(why) = credentials::parse(&text) {
        let masked: Vec<String> = text.lines().map(masked).collect();
        assert_eq!(credentials::parse(&masked.join("\n")), Err(why));
    }
}

/// A line of credentials with other ones in it.
fn masked(line: &str) -> String {
    let line = line.trim_end_matches('\r');
    let key = ["username=", "password="].into_iter().find(|key| line.starts_with(key)).unwrap_or_default();
    format!("{key}{}", "x".repeat(line.len() - key.len()))
}

#[cfg(test)]
#[path = "../../../tests/fuzz/replay.rs"]
mod replay;

#[test]
fn what_fuzzing_found_is_read() {
    replay::corpora(TARGETS);
}

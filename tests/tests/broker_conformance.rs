//! The embedded broker does what Mosquitto does, as far as WhichRoom needs it: one script against both.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test, with a report of its own")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use whichroom_broker::{Broker, Limits, Options, Secret, User};
use whichroom_mqtt::{self as mqtt, Event, Protocol, Publish, Session};
use whichroom_tests::conformance::{self, Target};
use whichroom_tests::mosquitto::{Mosquitto, Settings};

const PACKET_BYTES: usize = 1024 * 1024;

fn assert_conforms(target: &Target) {
    let checked = conformance::run(target);
    for check in &checked {
        println!("{} {} ({:?})", if check.outcome.is_ok() { "ok  " } else { "FAIL" }, check.name, check.took);
    }
    let failed: Vec<_> = checked.iter().filter(|check| check.outcome.is_err()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

fn login() -> (String, String) {
    ("reader".to_owned(), "secret".to_owned())
}

fn ours(users: Vec<User>) -> Broker {
    let listen = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
    Broker::start(Options { listen, users, limits: Limits::default() }).unwrap()
}

/// With the limits of ours; it queues no more than 1,000 messages unless told otherwise.
fn mosquitto(users: Vec<(String, String)>) -> Mosquitto {
    let lines = vec![format!("max_packet_size {PACKET_BYTES}"), "max_queued_messages 0".to_owned()];
    Mosquitto::with(&Settings { users, lines, ..Settings::default() })
}

#[test]
fn embedded_broker_conforms() {
    let broker = ours(Vec::new());
    assert_conforms(&Target { address: broker.addresses()[0], login: None, packet_bytes: PACKET_BYTES });
    let counts = broker.counts();
    assert_eq!((counts.retained, counts.retained_bytes, counts.too_slow), (0, 0, 0), "{counts:?}");
    broker.stop();
}

#[test]
fn embedded_broker_with_users_conforms() {
    let (name, password) = login();
    let all = vec!["#".to_owned()];
    let user = User { name, password: Secret::new(password), publish: all.clone(), subscribe: all };
    let broker = ours(vec![user]);
    let address = broker.addresses()[0];
    assert_conforms(&Target { address, login: Some(login()), packet_bytes: PACKET_BYTES });
}

#[test]
fn mosquitto_conforms() {
    let mosquitto = mosquitto(Vec::new());
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, mosquitto.port()));
    assert_conforms(&Target { address, login: None, packet_bytes: PACKET_BYTES });
}

#[test]
fn mosquitto_with_users_conforms() {
    let mosquitto = mosquitto(vec![login()]);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, mosquitto.port()));
    assert_conforms(&Target { address, login: Some(login()), packet_bytes: PACKET_BYTES });
}

fn session(broker: &Broker, protocol: Protocol, client_id: &str) -> (Session, Receiver<Event>) {
    let (sender, events) = channel();
    let options = mqtt::Options {
        host: "127.0.0.1".into(),
        port: broker.addresses()[0].port(),
        username: Some("reader".into()),
        password: Some(mqtt::Secret::new("secret")),
        client_id: client_id.into(),
        keep_alive: Duration::from_secs(20),
        will: None,
        will_delay_s: 0,
        packet_max: PACKET_BYTES,
        protocol,
        clean_session: true,
        tls: None,
    };
    (Session::start(options, move |event| sender.send(event).unwrap_or_default()), events)
}

/// Also where MQTT 5 leaves bytes out that not every client can miss.
#[test]
fn our_client_understands_our_broker() {
    let (name, password) = login();
    let own = vec!["own/#".to_owned()];
    let user = User { name, password: Secret::new(password), publish: own.clone(), subscribe: own };
    let broker = ours(vec![user]);
    let next = |events: &Receiver<Event>| events.recv_timeout(Duration::from_secs(10)).unwrap();
    let why = |events: &Receiver<Event>| match next(events) {
        Event::Disconnected { why, .. } => why,
        Event::Connected { .. } | Event::Message { .. } | Event::Acked(_) | Event::Oversized { .. } => {
            String::new()
        }
    };
    for protocol in [Protocol::V4, Protocol::V5OrV4 { session_expiry_s: 0 }] {
        let (session, events) = session(&broker, protocol, "client");
        assert_eq!(next(&events), Event::Connected { session_present: false });
        for topic in ["own/topic", "foreign/topic"] {
            let message = Publish { topic: topic.into(), payload: b"x".to_vec(), retain: true };
            let token = session.try_publish(message).unwrap();
            assert_eq!(next(&events), Event::Acked(token), "{topic}");
        }
        session.subscribe(&["own/#".to_owned()]).unwrap();
        let message = Event::Message { topic: "own/topic".into(), payload: b"x".to_vec(), retained: true };
        assert_eq!(next(&events), message);
        session.close(Duration::from_secs(10));
    }
    let v5 = Protocol::V5 { session_expiry_s: 0 };
    let (_first, first) = session(&broker, v5, "twin");
    assert!(matches!(next(&first), Event::Connected { .. }));
    let (_second, second) = session(&broker, v5, "twin");
    assert!(matches!(next(&second), Event::Connected { .. }));
    assert!(why(&first).contains("same client id"));
    broker.stop();
    assert!(why(&second).contains("shutting down"));
}

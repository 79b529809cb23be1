//! The embedded broker does what Mosquitto does, as far as WhichRoom needs it: one script against both.

use std::net::{Ipv4Addr, SocketAddr};

use whichroom_broker::{Broker, Limits, Options, Secret, User};
use whichroom_tests::conformance::{self, Target};
use whichroom_tests::mosquitto::{Mosquitto, Settings};

const PACKET_BYTES: usize = 1024 * 1024;

fn assert_conforms(target: &Target) {
    let outcomes = conformance::run(target);
    for (name, outcome) in &outcomes {
        println!("{} {name}", if outcome.is_ok() { "ok  " } else { "FAIL" });
    }
    let failed: Vec<_> = outcomes.iter().filter(|(_, outcome)| outcome.is_err()).collect();
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

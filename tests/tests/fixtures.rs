//! The fixtures themselves, where a mistake would make other tests pass or fail for the wrong reason.

use whichroom_tests::mosquitto::{Mosquitto, Settings};
use whichroom_tests::observer::Observer;

#[test]
fn the_observer_sees_retained_and_live_messages_and_survives_the_broker() {
    let mut mosquitto = Mosquitto::start();
    let first = Observer::start(mosquitto.port(), &["a/#"]);
    first.publish("a/kept", r#"{"x":1}"#, true);
    first.wait_last("a/kept", |json| json["x"] == 1);
    let late = Observer::start(mosquitto.port(), &["a/#"]);
    late.wait_last("a/kept", |json| json["x"] == 1);
    assert!(late.history().first().is_some_and(|arrived| arrived.retained));
    let mark = late.mark();
    first.publish("a/live", "2", false);
    assert!(!late.wait_since(mark, "a live message", |arrived| arrived.topic == "a/live").retained);

    mosquitto.kill();
    mosquitto.start_again();
    first.wait_connected(2);
    let mark = first.mark();
    first.publish("a/again", "3", false);
    first.wait_since(mark, "a message after the restart", |arrived| arrived.payload == b"3");
}

#[test]
fn mosquitto_asks_for_the_password_and_keeps_what_is_retained() {
    let users = vec![("agent".to_owned(), "open sesame".to_owned())];
    let mut mosquitto = Mosquitto::with(&Settings { users, persistence: true, lines: vec![] });
    let login = Some(("agent", "open sesame"));
    let observer = Observer::with_login(mosquitto.port(), &["a"], login);
    observer.publish("a", "1", true);
    observer.wait_last("a", |json| *json == 1);
    mosquitto.stop();
    mosquitto.start_again();
    let later = Observer::with_login(mosquitto.port(), &["a"], login);
    later.wait_last("a", |json| *json == 1);
}

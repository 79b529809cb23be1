//! Sessions against a real Mosquitto: what its owner is told, and what the broker sees.

#![cfg(feature = "v5")]
#![expect(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test")]

#[path = "support/puppet.rs"]
mod puppet;
mod support;

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use puppet::Puppet;
use support::{Mosquitto, PATIENCE, Watched, free_port, options, publish};
use whichroom_mqtt::{Event, IN_FLIGHT_MAX, Options, Protocol, Publish, Refused, Secret, Session};

const V5: Protocol = Protocol::V5 { session_expiry_s: 60 };

fn versions() -> [Protocol; 3] {
    [Protocol::V4, V5, Protocol::V5OrV4 { session_expiry_s: 60 }]
}

fn mosquitto() -> Mosquitto {
    Mosquitto::start("allow_anonymous true")
}

#[test]
fn every_publish_is_acknowledged_once() {
    let mosquitto = mosquitto();
    for protocol in versions() {
        let reader = Watched::subscribed(options(mosquitto.port, "reader"), &["a/#"]);
        let sender = Watched::start(Options { protocol, ..options(mosquitto.port, "sender") });
        assert!(!sender.connected());
        // More than the library has packet ids, as fast as goes.
        let (mut waiting, mut sent) = (VecDeque::new(), 0);
        while sent < 1_000 || !waiting.is_empty() {
            if sent < 1_000 {
                match sender.session.try_publish(publish("a/b", sent.to_string().as_bytes())) {
                    Ok(token) => {
                        waiting.push_back(token);
                        sent += 1;
                        continue;
                    }
                    // Some may be acknowledged that were not looked at yet.
                    Err(Refused::Full) => {
                        assert!(waiting.len() >= IN_FLIGHT_MAX, "full with {}", waiting.len())
                    }
                    Err(other) => panic!("{other}"),
                }
            }
            while let Some(token) = waiting.pop_front() {
                sender.acked(token);
            }
        }
        for n in 0..1_000 {
            assert_eq!(reader.message(), ("a/b".to_owned(), n.to_string().into_bytes()), "{protocol:?}");
        }
        sender.session.close(PATIENCE);
    }
}

#[test]
fn nothing_is_taken_without_connection() {
    let watched = Watched::start(options(free_port(), "early"));
    assert_eq!(watched.session.try_publish(publish("a", b"")), Err(Refused::NotConnected));
    assert_eq!(watched.session.subscribe(&["a".to_owned()]), Err(Refused::NotConnected));
    assert!(watched.disconnected().contains("no broker listens"));
    watched.session.close(PATIENCE);
}

#[test]
fn what_cannot_go_is_refused_at_once() {
    let mosquitto = Mosquitto::start("allow_anonymous true\nmax_packet_size 2000");
    for (protocol, limit) in [(Protocol::V4, 256 * 1024), (V5, 2000)] {
        let watched = Watched::start(Options { protocol, ..options(mosquitto.port, "sender") });
        watched.connected();
        let refused = watched.session.try_publish(publish("a", &vec![0; limit]));
        assert!(matches!(refused, Err(Refused::TooLarge { limit: l, .. }) if l == limit), "{refused:?}");
        for topic in ["", "a/#", "a\0"] {
            assert_eq!(watched.session.try_publish(publish(topic, b"")), Err(Refused::BadTopic));
        }
        for filter in ["", "a/#/b", "a+"] {
            assert_eq!(watched.session.subscribe(&[filter.to_owned()]), Err(Refused::BadTopic));
        }
        assert_eq!(watched.session.subscribe(&[]), Err(Refused::BadTopic));
        let token = watched.session.try_publish(publish("a", b"fits")).unwrap();
        watched.acked(token);
    }
}

fn mortal(port: u16, protocol: Protocol) -> Options {
    let will = Some(Publish { retain: true, ..publish("will", b"gone") });
    Options { will, protocol, ..options(port, "mortal") }
}

#[test]
fn closing_is_no_reason_for_a_will_and_dropping_is() {
    let mosquitto = mosquitto();
    for protocol in versions() {
        let reader = Watched::subscribed(options(mosquitto.port, "reader"), &["will", "last"]);
        let mortal_session = Watched::start(mortal(mosquitto.port, protocol));
        mortal_session.connected();
        mortal_session.session.try_publish(publish("last", b"words")).unwrap();
        mortal_session.session.close(PATIENCE);
        assert_eq!(reader.message(), ("last".to_owned(), b"words".to_vec()), "{protocol:?}");
        reader.quiet();
        let dropped = Watched::start(mortal(mosquitto.port, protocol));
        dropped.connected();
        drop(dropped);
        assert_eq!(reader.message(), ("will".to_owned(), b"gone".to_vec()), "{protocol:?}");
        let clear = reader.session.try_publish(Publish { retain: true, ..publish("will", b"") }).unwrap();
        while reader.next() != Event::Acked(clear) {}
    }
}

#[test]
fn a_wrong_password_is_said_in_words_and_not_shown() {
    let directory = std::env::temp_dir().join(format!("whichroom-mqtt-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("passwords");
    std::fs::write(&file, "").unwrap();
    let made =
        std::process::Command::new("mosquitto_passwd").arg("-b").arg(&file).args(["ap", "right"]).status();
    assert!(made.expect("mosquitto_passwd is needed: apt-get install mosquitto").success());
    let mosquitto = Mosquitto::start(&format!("allow_anonymous false\npassword_file {}", file.display()));
    for protocol in versions() {
        let with = |password: &str| Options {
            username: Some("ap".into()),
            password: Some(Secret::new(password)),
            protocol,
            ..options(mosquitto.port, "ap")
        };
        let why = Watched::start(with("hunter2")).disconnected();
        assert!(why.contains("wrong user name or password") && !why.contains("hunter2"), "{why}");
        Watched::start(with("right")).connected();
    }
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_host_that_is_not_there_is_said_in_words() {
    let why = Watched::start(Options { host: "no-such-host.invalid".into(), ..options(1883, "lost") })
        .disconnected();
    assert!(why.starts_with("no-such-host.invalid:1883: host not found"), "{why}");
}

#[test]
fn closing_does_not_wait_for_a_broker_that_is_silent() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let watched = Watched::start(options(silent.local_addr().unwrap().port(), "hasty"));
    let accepted = silent.accept().unwrap();
    watched.session.close(PATIENCE);
    drop(accepted);
}

/// A session that is connected to a broker which does what it is told.
fn at_a_puppet(client_id: &str) -> (TcpListener, Watched, Puppet) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let watched = Watched::start(options(listener.local_addr().unwrap().port(), client_id));
    let broker = Puppet::accept(&listener);
    watched.connected();
    (listener, watched, broker)
}

/// Publishes as much as may be unacknowledged.
fn fill(watched: &Watched, broker: &mut Puppet) {
    for _ in 0..IN_FLIGHT_MAX {
        watched.session.try_publish(publish("a", b"")).unwrap();
        broker.publish();
    }
}

#[test]
fn clean_stop_says_goodbye_when_the_broker_has_everything() {
    let (_listener, watched, mut broker) = at_a_puppet("polite");
    watched.session.try_publish(publish("last", b"words")).unwrap();
    let packet_id = broker.publish();
    let closing = thread::spawn(move || watched.session.close(PATIENCE));
    broker.quiet();
    broker.acknowledge(packet_id);
    assert_eq!(broker.packet(), [0xe0, 0], "DISCONNECT");
    drop(broker);
    closing.join().unwrap();
}

#[test]
fn memory_creep_a_broker_that_never_acknowledges_is_given_so_much_and_no_more() {
    let (_listener, watched, mut broker) = at_a_puppet("bounded");
    fill(&watched, &mut broker);
    assert_eq!(watched.session.try_publish(publish("a", b"")), Err(Refused::Full));
    broker.quiet();
}

#[test]
fn broker_gone_what_it_did_not_acknowledge_is_not_taken_for_what_comes_after() {
    let (listener, watched, mut broker) = at_a_puppet("forgetful");
    fill(&watched, &mut broker);
    drop(broker);
    watched.disconnected();
    let mut broker = Puppet::accept(&listener);
    watched.connected();
    broker.quiet();
    let token = watched.session.try_publish(publish("a", b"")).unwrap();
    let packet_id = broker.publish();
    broker.acknowledge(packet_id);
    watched.acked(token);
}

#[test]
fn after_a_restart_of_the_broker_it_connects_and_repeats_nothing() {
    let first = mosquitto();
    let port = first.port;
    let watched = Watched::subscribed(options(port, "patient"), &["a"]);
    // In flight or not, what was handed over to the old connection is the owner's again.
    watched.session.try_publish(publish("b", b"")).unwrap();
    drop(first);
    loop {
        match watched.next() {
            Event::Disconnected { why, .. } => {
                break assert!(why.contains("clos") || why.contains("reset"), "{why}");
            }
            Event::Acked(_) => {}
            other => panic!("{other:?}"),
        }
    }
    let _second = Mosquitto::start_at(port, "allow_anonymous true");
    loop {
        match watched.next() {
            Event::Connected { session_present } => break assert!(!session_present),
            Event::Disconnected { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    watched.quiet();
    let token = watched.session.try_publish(publish("b", b"")).unwrap();
    watched.acked(token);
}

#[test]
fn an_oversized_message_is_named_and_the_next_one_comes() {
    let mosquitto = mosquitto();
    let sender = Watched::start(Options { packet_max: 8 * 1024 * 1024, ..options(mosquitto.port, "sender") });
    sender.connected();
    let large = Publish { retain: true, ..publish("a/large", &vec![b'x'; 300_000]) };
    sender.acked(sender.session.try_publish(large).unwrap());
    sender.acked(sender.session.try_publish(Publish { retain: true, ..publish("a/small", b"x") }).unwrap());
    let reader = Watched::start(options(mosquitto.port, "reader"));
    reader.connected();
    reader.session.subscribe(&["a/#".to_owned()]).unwrap();
    let oversized = Event::Oversized { topic: Some("a/large".into()), bytes: 300_007 };
    let small = Event::Message { topic: "a/small".into(), payload: b"x".to_vec(), retained: true };
    let (one, other) = (reader.next(), reader.next());
    assert!([&one, &other].contains(&&oversized) && [&one, &other].contains(&&small), "{other:?}");
    // With MQTT 5 the broker skips it.
    let reader = Watched::start(Options { protocol: V5, ..options(mosquitto.port, "reader5") });
    reader.connected();
    reader.session.subscribe(&["a/#".to_owned()]).unwrap();
    assert_eq!(reader.next(), small);
    reader.quiet();
}

#[test]
fn a_message_beyond_all_measure_ends_the_connection_and_is_told() {
    let mosquitto = mosquitto();
    let sender = Watched::start(Options { packet_max: 1024 * 1024, ..options(mosquitto.port, "sender") });
    sender.connected();
    let reader =
        Watched::subscribed(Options { packet_max: 10_000, ..options(mosquitto.port, "reader") }, &["huge"]);
    sender.session.try_publish(publish("huge", &vec![0; 500_000])).unwrap();
    assert!(matches!(reader.next(), Event::Oversized { topic: None, bytes } if bytes > 500_000));
    let why = reader.disconnected();
    assert!(why.contains("more than is ever read"), "{why}");
    reader.connected();
}

#[test]
fn a_session_is_resumed_with_what_was_missed() {
    let mosquitto = mosquitto();
    let keeper = || Options { protocol: V5, clean_session: false, ..options(mosquitto.port, "keeper") };
    drop(Watched::subscribed(keeper(), &["missed"]));
    let sender = Watched::start(options(mosquitto.port, "sender"));
    sender.connected();
    sender.acked(sender.session.try_publish(publish("missed", b"1")).unwrap());
    let keeper = Watched::start(keeper());
    assert!(keeper.connected());
    assert_eq!(keeper.message(), ("missed".to_owned(), b"1".to_vec()));
}

#[test]
fn two_clients_with_one_id_throw_each_other_out_ever_more_slowly() {
    let mosquitto = mosquitto();
    let twin = || Watched::start(options(mosquitto.port, "twin"));
    let first = twin();
    first.connected();
    let second = twin();
    second.connected();
    let mut waits = Vec::new();
    for _ in 0..3 {
        for watched in [&first, &second] {
            loop {
                match watched.next() {
                    Event::Disconnected { retry_in, .. } => break waits.push(retry_in),
                    Event::Connected { .. } => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    // Nobody is thrown out every second for ever: the last waits come from the third step on.
    assert!(waits.iter().rev().take(2).all(|wait| *wait >= Duration::from_secs(2)), "{waits:?}");
}

#[test]
fn a_panic_in_the_callback_is_told_and_the_session_goes_on() {
    let mosquitto = mosquitto();
    let (sender, events) = channel();
    let session = Session::start(options(mosquitto.port, "clumsy"), move |event| {
        let panics = matches!(event, Event::Acked(_));
        sender.send(event).unwrap();
        assert!(!panics, "on purpose");
    });
    let next = || events.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(next(), Event::Connected { .. }));
    session.try_publish(publish("a", b"")).unwrap();
    assert!(matches!(next(), Event::Acked(_)));
    assert!(matches!(next(), Event::Disconnected { why, .. } if why.contains("panicked")));
    assert!(matches!(next(), Event::Connected { .. }));
    session.close(PATIENCE);
}

/// A broker that knows only MQTT 3.1.1 and says so, or does not even answer.
fn old_broker(answers: bool) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut kept = Vec::new();
        for mut socket in listener.incoming().map(Result::unwrap) {
            let mut connect = [0; 9];
            socket.read_exact(&mut connect).unwrap();
            let mut rest = vec![0; usize::from(connect[1]) - 7];
            socket.read_exact(&mut rest).unwrap();
            if connect[8] == 4 {
                socket.write_all(&[0x20, 2, 0, 0]).unwrap();
                kept.push(socket);
            } else if answers {
                socket.write_all(&[0x20, 2, 0, 1]).unwrap();
            }
        }
    });
    port
}

#[test]
fn an_old_broker_gets_the_old_version() {
    for answers in [true, false] {
        let protocol = Protocol::V5OrV4 { session_expiry_s: 60 };
        let watched = Watched::start(Options { protocol, ..options(old_broker(answers), "modern") });
        loop {
            match watched.next() {
                Event::Connected { .. } => break,
                Event::Disconnected { retry_in, .. } => assert!(retry_in < Duration::from_secs(3)),
                other => panic!("{other:?}"),
            }
        }
    }
}

//! The socket shell against a small server on a real socket.
#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use whichroom_ubus::message::{Attribute, Builder, Kind};
use whichroom_ubus::{Connection, Delivery, connect};

const HANG: Duration = Duration::from_secs(20);

fn socket(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("whichroom-{}-{name}.sock", std::process::id()))
}

fn pair(name: &str) -> (UnixStream, Connection, Receiver<Delivery>) {
    let path = socket(name);
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let stream = connect(Some(&path)).unwrap();
    let (server, _) = listener.accept().unwrap();
    server.set_read_timeout(Some(HANG)).unwrap();
    let _ = std::fs::remove_file(&path);
    let (sender, receiver) = mpsc::channel();
    let accept = |message: &whichroom_ubus::message::Message<'_>| {
        message.kind != Kind::Invoke || message.attributes().method() != Some(b"probe")
    };
    let connection = Connection::open(stream, accept, move |delivery| {
        let _ = sender.send(delivery);
    })
    .unwrap();
    (server, connection, receiver)
}

fn notification(name: &str, seq: u16, no_reply: bool) -> Vec<u8> {
    let mut builder = Builder::new(Kind::Invoke, seq, 9);
    if no_reply {
        builder.bytes(Attribute::NoReply, &[1]);
    }
    builder.number(Attribute::ObjId, 5).string(Attribute::Method, name);
    builder.finish()
}

#[test]
fn blocking_hostapd_unwanted_notifications_are_answered_but_not_handed_on() {
    let (mut server, _connection, deliveries) = pair("answers");
    server.write_all(&notification("probe", 1, false)).unwrap();
    server.write_all(&notification("assoc", 2, true)).unwrap();
    server.write_all(&notification("auth", 3, false)).unwrap();
    let mut answers = [0; 56];
    server.read_exact(&mut answers).unwrap();
    assert_eq!((answers[1], answers[3]), (1, 1));
    assert_eq!((answers[28 + 1], answers[28 + 3]), (1, 3));
    for expected in [2, 3] {
        let Delivery::Message(message) = deliveries.recv_timeout(HANG).unwrap() else { panic!("closed") };
        assert_eq!(message.message().seq, expected);
    }
}

#[test]
fn a_lost_connection_is_said_once_and_a_dropped_one_is_closed() {
    let (server, _connection, deliveries) = pair("lost");
    drop(server);
    assert!(matches!(deliveries.recv_timeout(HANG), Ok(Delivery::Closed(_))));
    assert!(deliveries.recv_timeout(HANG).is_err());

    let (mut server, connection, deliveries) = pair("dropped");
    connection.send(b"whole").unwrap();
    drop(connection);
    let mut rest = Vec::new();
    server.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"whole");
    assert!(matches!(deliveries.recv_timeout(HANG), Ok(Delivery::Closed(_))));
}

#[test]
fn garbage_closes_the_connection_and_says_why() {
    let (mut server, _connection, deliveries) = pair("garbage");
    server.write_all(&[0xff; 64]).unwrap();
    let Ok(Delivery::Closed(why)) = deliveries.recv_timeout(HANG) else { panic!("not closed") };
    assert!(why.contains("version 255"), "{why}");
}

#[test]
fn a_missing_socket_is_named() {
    let error = connect(Some(&socket("missing"))).unwrap_err();
    assert!(error.to_string().contains("missing.sock"), "{error}");
}

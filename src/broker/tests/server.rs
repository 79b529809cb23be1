//! The broker with real sockets: how it starts and stops, and that nobody waits for a slow client.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use whichroom_broker::{Broker, Limits, Options, Secret, StartError, User};

/// For hangs only.
const PATIENCE: Duration = Duration::from_secs(20);

fn options(listen: &str, users: Vec<User>) -> Options {
    Options { listen: vec![listen.parse().unwrap()], users, limits: Limits::default() }
}

fn user(name: &str, filter: &str) -> User {
    let filters = vec![filter.to_owned()];
    User { name: name.into(), password: Secret::new("secret"), publish: filters.clone(), subscribe: filters }
}

fn refused(options: Options) -> String {
    Broker::start(options).err().unwrap().to_string()
}

#[test]
fn others_reach_it_only_with_a_password() {
    for outside in ["0.0.0.0:0", "[::]:0", "192.168.1.1:0"] {
        assert!(
            matches!(Broker::start(options(outside, Vec::new())), Err(StartError::Unprotected(_))),
            "{outside}"
        );
    }
    let broker = Broker::start(options("0.0.0.0:0", vec![user("ap", "#")])).unwrap();
    broker.stop();
}

#[test]
fn mistakes_are_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert!(refused(options(&address, Vec::new())).contains(&address));
    assert!(refused(options("127.0.0.1:0", vec![user("ap", "a/#/b")])).contains("\"a/#/b\""));
    assert!(refused(options("127.0.0.1:0", vec![user("ap", "#"), user("ap", "#")])).contains("twice"));
}

#[test]
fn it_stops_with_clients_connected_and_frees_its_port() {
    let broker = Broker::start(options("127.0.0.1:0", Vec::new())).unwrap();
    let address = broker.addresses()[0];
    let mut clients: Vec<_> = (0..20).map(|n| connect(address, &format!("c{n}"))).collect();
    let silent = TcpStream::connect(address).unwrap();
    let started = Instant::now();
    broker.stop();
    assert!(started.elapsed() < PATIENCE);
    for client in &mut clients {
        assert_eq!(client.read_to_end(&mut Vec::new()).unwrap(), 0);
    }
    drop(silent);
    TcpListener::bind(address).unwrap();
}

#[test]
fn too_many_clients_are_closed_at_once_and_there_is_room_again() {
    let limits = Limits { clients: 2, ..Limits::default() };
    let broker = Broker::start(Options { limits, ..options("127.0.0.1:0", Vec::new()) }).unwrap();
    let address = broker.addresses()[0];
    let first = connect(address, "first");
    let _second = connect(address, "second");
    let mut third = TcpStream::connect(address).unwrap();
    third.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(matches!(third.read(&mut [0]), Ok(0) | Err(_)));
    drop(first);
    let started = Instant::now();
    while try_connect(address, "fourth").is_none() {
        assert!(started.elapsed() < PATIENCE, "no room after one left");
    }
}

#[test]
fn nobody_waits_for_a_client_that_does_not_read() {
    let limits = Limits { queued_bytes: 4 * 1024 * 1024, ..Limits::default() };
    let broker = Broker::start(Options { limits, ..options("127.0.0.1:0", Vec::new()) }).unwrap();
    let address = broker.addresses()[0];
    let [mut stuck, mut reader, mut publisher] =
        ["stuck", "reader", "publisher"].map(|id| connect(address, id));
    for client in [&mut stuck, &mut reader] {
        client.write_all(&[0x82, 6, 0, 1, 0, 1, b'a', 0]).unwrap();
        client.read_exact(&mut [0; 5]).unwrap();
    }
    // PUBLISH of 10,000 bytes at QoS 0.
    let mut message = vec![0x30, 0x93, 0x4e, 0, 1, b'a'];
    message.resize(10_006, 0);
    let mut came = vec![0; message.len()];
    for n in 0..3_000 {
        publisher.write_all(&message).unwrap();
        reader.read_exact(&mut came).unwrap();
        assert!(came == message, "message {n}");
    }
    assert_eq!(broker.counts().too_slow, 1, "more came for it than is kept");
    // What it can still read is what was written before, and then it is over.
    let read = stuck.read_to_end(&mut Vec::new());
    assert!(read.is_err() || read.is_ok_and(|bytes| bytes < 3_000 * message.len()));
}

fn connect(address: SocketAddr, client_id: &str) -> TcpStream {
    try_connect(address, client_id).unwrap()
}

/// MQTT 3.1.1, clean session.
fn try_connect(address: SocketAddr, client_id: &str) -> Option<TcpStream> {
    let mut socket = TcpStream::connect(address).ok()?;
    socket.set_read_timeout(Some(PATIENCE)).ok()?;
    let length = u8::try_from(client_id.len()).ok()?;
    let mut connect = vec![0x10, 12 + length, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, length];
    connect.extend(client_id.as_bytes());
    socket.write_all(&connect).ok()?;
    let mut answer = [0; 4];
    socket.read_exact(&mut answer).ok()?;
    (answer == [0x20, 2, 0, 0]).then_some(socket)
}

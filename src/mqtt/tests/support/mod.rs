//! A real Mosquitto on a free port, and a session whose events wait to be looked at.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::wildcard_enum_match_arm, reason = "a test")]

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use whichroom_mqtt::{Event, Options, Protocol, Publish, Session, Token};

/// For hangs only.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Mosquitto {
    process: Child,
    directory: PathBuf,
    pub port: u16,
}

impl Mosquitto {
    pub fn start(lines: &str) -> Mosquitto {
        Mosquitto::start_at(free_port(), lines)
    }

    pub fn start_at(port: u16, lines: &str) -> Mosquitto {
        let directory = std::env::temp_dir().join(format!("whichroom-mqtt-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let configuration = directory.join("mosquitto.conf");
        // As root it would change to a user of its own, who may not read here.
        std::fs::write(&configuration, format!("listener {port} 127.0.0.1\nuser root\n{lines}\n")).unwrap();
        let process =
            Command::new("/usr/sbin/mosquitto").arg("-c").arg(&configuration).stderr(Stdio::null()).spawn();
        let process = process.expect("Mosquitto is needed: apt-get install mosquitto");
        let mosquitto = Mosquitto { process, directory, port };
        let started = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(started.elapsed() < PATIENCE, "Mosquitto does not listen on port {port}");
            thread::sleep(Duration::from_millis(20));
        }
        mosquitto
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// One that nobody listens on.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    listener.local_addr().unwrap().port()
}

pub fn options(port: u16, client_id: &str) -> Options {
    Options {
        host: "127.0.0.1".into(),
        port,
        username: None,
        password: None,
        client_id: client_id.into(),
        keep_alive: Duration::from_secs(20),
        will: None,
        will_delay_s: 0,
        packet_max: 256 * 1024,
        protocol: Protocol::V4,
        clean_session: true,
        tls: None,
    }
}

pub fn publish(topic: &str, payload: &[u8]) -> Publish {
    Publish { topic: topic.into(), payload: payload.into(), retain: false }
}

pub struct Watched {
    pub session: Session,
    events: Receiver<Event>,
}

impl Watched {
    pub fn start(options: Options) -> Watched {
        let (sender, events) = channel();
        let session = Session::start(options, move |event| {
            // The test that does not look any more is over.
            let _ = sender.send(event);
        });
        Watched { session, events }
    }

    /// Started, connected and subscribed.
    pub fn subscribed(options: Options, filters: &[&str]) -> Watched {
        let watched = Watched::start(options);
        watched.connected();
        let filters: Vec<String> = filters.iter().map(|filter| filter.to_string()).collect();
        watched.session.subscribe(&filters).unwrap();
        // A message to itself comes when the subscription stands.
        watched.session.subscribe(&["echo".to_owned()]).unwrap();
        let token = watched.session.try_publish(publish("echo", b"")).unwrap();
        let (mut acked, mut came) = (false, false);
        while !(acked && came) {
            match watched.next() {
                Event::Acked(acknowledged) => acked |= acknowledged == token,
                Event::Message { topic, .. } => came |= topic == "echo",
                other => panic!("{other:?}"),
            }
        }
        watched
    }

    pub fn next(&self) -> Event {
        self.events.recv_timeout(PATIENCE).expect("no event")
    }

    pub fn connected(&self) -> bool {
        match self.next() {
            Event::Connected { session_present } => session_present,
            other => panic!("{other:?} instead of a connection"),
        }
    }

    /// Why the connection is gone or was not made.
    pub fn disconnected(&self) -> String {
        match self.next() {
            Event::Disconnected { why, .. } => why,
            other => panic!("{other:?} instead of the end of the connection"),
        }
    }

    /// Topic and payload of the next message.
    pub fn message(&self) -> (String, Vec<u8>) {
        match self.next() {
            Event::Message { topic, payload, .. } => (topic, payload),
            other => panic!("{other:?} instead of a message"),
        }
    }

    pub fn acked(&self, token: Token) {
        assert_eq!(self.next(), Event::Acked(token));
    }

    pub fn quiet(&self) {
        let event = self.events.recv_timeout(Duration::from_millis(400));
        assert_eq!(event, Err(RecvTimeoutError::Timeout));
    }
}

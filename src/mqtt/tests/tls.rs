//! `mqtts://` against a real Mosquitto, with certificates made as a person would make them.

#![cfg(feature = "tls")]
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::wildcard_enum_match_arm, reason = "a test")]

mod support;

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use support::{Mosquitto, PATIENCE, Watched, free_port, options, publish};
use whichroom_mqtt::{Clock, Fingerprint, Identity, Options, Publish, Tls, Trust};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// A clock that is right.
const RIGHT: Clock = Clock { now: SystemTime::now, set_after: SystemTime::UNIX_EPOCH };

/// A directory of certificates.
struct Certificates(PathBuf);

impl Certificates {
    /// An authority; `broker`, signed by it for 127.0.0.1 and localhost; and `ap`, signed by it for a client.
    fn new(name: &str) -> Certificates {
        let path = std::env::temp_dir().join(format!("whichroom-tls-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        let certificates = Certificates(path);
        certificates.sign_itself("ca");
        certificates.sign("broker", "subjectAltName=IP:127.0.0.1,DNS:localhost");
        certificates.sign("ap", "extendedKeyUsage=clientAuth");
        certificates
    }

    fn openssl(&self, line: &str) -> Vec<u8> {
        let output = Command::new("openssl").args(line.split(' ')).current_dir(&self.0).output();
        let output = output.expect("openssl is needed: apt-get install openssl");
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn sign_itself(&self, name: &str) {
        self.openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN={name} -keyout {name}.key \
             -out {name}.pem"
        ));
    }

    fn sign(&self, name: &str, extension: &str) {
        std::fs::write(self.0.join("extension"), extension).unwrap();
        self.openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"
        ));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile extension -out {name}.pem"
        ));
    }

    fn read(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.0.join(file)).unwrap()
    }

    fn fingerprint(&self, name: &str) -> Fingerprint {
        let printed = self.openssl(&format!("x509 -in {name}.pem -noout -fingerprint -sha256"));
        let printed = String::from_utf8(printed).unwrap();
        printed.trim().split_once('=').unwrap().1.parse().unwrap()
    }

    /// Lines of Mosquitto's configuration.
    fn broker(&self, name: &str, more: &str) -> String {
        let path = self.0.display();
        format!("allow_anonymous true\ncertfile {path}/{name}.pem\nkeyfile {path}/{name}.key\n{more}")
    }

    /// Trusting the authority.
    fn tls(&self, clock: Clock) -> Tls {
        Tls::new(Trust::Authorities(&self.read("ca.pem")), None, clock).unwrap()
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn over(tls: Tls, port: u16, client_id: &str) -> Options {
    Options { tls: Some(tls), ..options(port, client_id) }
}

fn pinned(fingerprint: Fingerprint) -> Tls {
    Tls::new(Trust::Fingerprint(fingerprint), None, RIGHT).unwrap()
}

#[test]
fn messages_of_every_size_come_through_and_are_acknowledged() {
    let certificates = Certificates::new("sizes");
    let mosquitto = Mosquitto::start(&certificates.broker("broker", ""));
    let tls = certificates.tls(RIGHT);
    let reader = Watched::subscribed(over(tls.clone(), mosquitto.port, "reader"), &["a/#"]);
    let sender = Watched::start(over(tls, mosquitto.port, "sender"));
    sender.connected();
    for bytes in [0, 1, 100, 8_192, 16_384, 20_000, 200_000] {
        let payload: Vec<u8> = (0..bytes).map(|n: u32| n.to_le_bytes()[0]).collect();
        let token = sender.session.try_publish(publish("a/b", &payload)).unwrap();
        sender.acked(token);
        assert!(reader.message() == ("a/b".to_owned(), payload), "{bytes}");
    }
    sender.session.close(PATIENCE);
}

#[test]
fn closing_is_no_reason_for_a_will_and_dropping_is() {
    let certificates = Certificates::new("will");
    let mosquitto = Mosquitto::start(&certificates.broker("broker", ""));
    let tls = certificates.tls(RIGHT);
    let reader = Watched::subscribed(over(tls.clone(), mosquitto.port, "reader"), &["will", "last"]);
    let mortal = || Options {
        will: Some(Publish { retain: false, ..publish("will", b"gone") }),
        ..over(tls.clone(), mosquitto.port, "mortal")
    };
    let closed = Watched::start(mortal());
    closed.connected();
    closed.session.try_publish(publish("last", b"words")).unwrap();
    closed.session.close(PATIENCE);
    assert_eq!(reader.message(), ("last".to_owned(), b"words".to_vec()));
    reader.quiet();
    let dropped = Watched::start(mortal());
    dropped.connected();
    drop(dropped);
    assert_eq!(reader.message(), ("will".to_owned(), b"gone".to_vec()));
}

#[test]
fn it_connects_again_after_a_restart() {
    let certificates = Certificates::new("restart");
    let lines = certificates.broker("broker", "");
    let mosquitto = Mosquitto::start(&lines);
    let port = mosquitto.port;
    let watched = Watched::start(over(certificates.tls(RIGHT), port, "ap"));
    watched.connected();
    drop(mosquitto);
    let why = watched.disconnected();
    assert!(why.contains("closed the connection") || why.contains("was reset"), "{why}");
    let _again = Mosquitto::start_at(port, &lines);
    loop {
        match watched.next() {
            whichroom_mqtt::Event::Connected { .. } => break,
            whichroom_mqtt::Event::Disconnected { why, .. } => {
                assert!(why.contains("no broker listens there"), "{why}");
            }
            other => panic!("{other:?}"),
        }
    }
    let token = watched.session.try_publish(publish("a", b"b")).unwrap();
    watched.acked(token);
}

/// Why a session does not connect, in each version of MQTT that is there.
fn refused(options: Options) -> String {
    #[cfg(feature = "v5")]
    {
        use whichroom_mqtt::Protocol;
        let protocol = Protocol::V5 { session_expiry_s: 60 };
        let newer = Watched::start(Options { protocol, ..options.clone() }).disconnected();
        let why = Watched::start(options).disconnected();
        assert_eq!(newer, why);
        why
    }
    #[cfg(not(feature = "v5"))]
    Watched::start(options).disconnected()
}

#[test]
fn another_authority_is_refused_in_words() {
    let (certificates, others) = (Certificates::new("one"), Certificates::new("other"));
    let mosquitto = Mosquitto::start(&certificates.broker("broker", ""));
    let why = refused(over(others.tls(RIGHT), mosquitto.port, "ap"));
    assert!(why.contains("certificate is unknown: no authority in the CA file"), "{why}");
}

#[test]
fn another_name_is_refused_in_words() {
    let certificates = Certificates::new("name");
    certificates.sign("elsewhere", "subjectAltName=DNS:nas.lan");
    let mosquitto = Mosquitto::start(&certificates.broker("elsewhere", ""));
    for host in ["127.0.0.1", "localhost"] {
        let options = Options { host: host.into(), ..over(certificates.tls(RIGHT), mosquitto.port, "ap") };
        let why = refused(options);
        assert!(why.contains(&format!("is for nas.lan, not for {host}")), "{why}");
    }
    let why = refused(Options { host: "a b".into(), ..over(certificates.tls(RIGHT), mosquitto.port, "ap") });
    assert!(why.contains("cannot be in a certificate"), "{why}");
}

#[test]
fn dates_are_judged_once_the_clock_was_set() {
    let certificates = Certificates::new("dates");
    let mosquitto = Mosquitto::start(&certificates.broker("broker", ""));
    let late = Clock { now: || SystemTime::now() + 40 * DAY, ..RIGHT };
    let why = refused(over(certificates.tls(late), mosquitto.port, "ap"));
    assert!(why.contains("has expired"), "{why}");
    let early = Clock { now: || SystemTime::now() - 40 * DAY, ..RIGHT };
    let why = refused(over(certificates.tls(early), mosquitto.port, "ap"));
    assert!(why.contains("not valid yet"), "{why}");
    // Never set: the certificate is newer than the build, of its time, and expired before it.
    for set_after in [SystemTime::now() - 40 * DAY, SystemTime::now(), SystemTime::now() + 400 * DAY] {
        let unset = Clock { now: || SystemTime::UNIX_EPOCH + DAY, set_after };
        Watched::start(over(certificates.tls(unset), mosquitto.port, "ap")).connected();
    }
    // An unset clock excuses nothing else.
    let others = Certificates::new("dates-other");
    let unset = Clock { now: || SystemTime::UNIX_EPOCH, set_after: SystemTime::now() + 400 * DAY };
    let why = refused(over(others.tls(unset), mosquitto.port, "ap"));
    assert!(why.contains("certificate is unknown"), "{why}");
}

#[test]
fn a_pinned_certificate_needs_neither_authority_nor_name() {
    let certificates = Certificates::new("pinned");
    certificates.sign_itself("alone");
    let mosquitto = Mosquitto::start(&certificates.broker("alone", ""));
    let fingerprint = certificates.fingerprint("alone");
    Watched::start(over(pinned(fingerprint), mosquitto.port, "ap")).connected();
    let as_authority = Tls::new(Trust::Authorities(&certificates.read("alone.pem")), None, RIGHT).unwrap();
    let why = refused(over(as_authority, mosquitto.port, "ap"));
    assert!(why.contains("give its fingerprint instead"), "{why}");
    let why = refused(over(pinned(certificates.fingerprint("broker")), mosquitto.port, "ap"));
    assert!(why.contains(&fingerprint.to_string()) && why.contains("not the one given"), "{why}");
}

#[test]
fn a_client_certificate_is_shown_where_the_broker_asks() {
    let (certificates, others) = (Certificates::new("client"), Certificates::new("client-other"));
    let more = format!("require_certificate true\ncafile {}/ca.pem", certificates.0.display());
    let mosquitto = Mosquitto::start(&certificates.broker("broker", &more));
    let authority = certificates.read("ca.pem");
    let with = |of: &Certificates| {
        let (certificate, key) = (of.read("ap.pem"), of.read("ap.key"));
        let identity = Identity { certificates: &certificate, key: &key };
        let tls = Tls::new(Trust::Authorities(&authority), Some(identity), RIGHT).unwrap();
        over(tls, mosquitto.port, "ap")
    };
    Watched::start(with(&certificates)).connected();
    let none = Watched::start(over(certificates.tls(RIGHT), mosquitto.port, "ap")).disconnected();
    assert!(none.contains("want") && none.contains("client certificate"), "{none}");
    let other = Watched::start(with(&others)).disconnected();
    assert!(other.contains("client certificate"), "{other}");
    let identity = Identity { certificates: &authority, key: &certificates.read("ap.key") };
    assert!(Tls::new(Trust::Authorities(&authority), Some(identity), RIGHT).is_err(), "another's key");
}

#[test]
fn what_is_no_tls_is_named() {
    let certificates = Certificates::new("plain");
    let plain = Mosquitto::start("allow_anonymous true");
    let why = refused(over(certificates.tls(RIGHT), plain.port, "ap"));
    assert!(why.contains("does not speak TLS"), "{why}");
    let why = refused(over(certificates.tls(RIGHT), free_port(), "ap"));
    assert!(why.contains("no broker listens there"), "{why}");
    let options = over(certificates.tls(RIGHT), 1, "ap");
    let why = refused(Options { host: "nowhere.invalid".into(), ..options });
    assert!(why.contains("host not found"), "{why}");
    let old = Mosquitto::start(&certificates.broker("broker", "tls_version tlsv1.2\nciphers DEFAULT"));
    Watched::start(over(certificates.tls(RIGHT), old.port, "ap")).connected();
}

/// A broker that takes the connection and says nothing does not hold up the end.
#[test]
fn closing_does_not_wait_for_a_handshake() {
    let certificates = Certificates::new("silent");
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = silent.local_addr().unwrap().port();
    let watched = Watched::start(over(certificates.tls(RIGHT), port, "ap"));
    let _connection = silent.accept().unwrap();
    let started = std::time::Instant::now();
    watched.session.close(Duration::from_millis(100));
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn wrong_passwords_are_still_said_in_words() {
    let certificates = Certificates::new("password");
    let mosquitto = Mosquitto::start(&certificates.broker("broker", "").replace("true", "false"));
    let why = refused(over(certificates.tls(RIGHT), mosquitto.port, "ap"));
    assert!(why.contains("not authorised"), "{why}");
}

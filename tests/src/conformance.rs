//! What every broker that WhichRoom meets must do, as one script that runs against any address. It speaks MQTT with
//! bytes of its own, so that it shares no mistake with a client or broker library, and can do what no client does:
//! vanish, fall silent, read slowly.

#![expect(clippy::wildcard_enum_match_arm, reason = "whatever else a broker sends is wrong")]

mod client;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use client::{Client, Connect, PATIENCE, Packet, QUIET, packet, string};

/// A broker to be tested; empty at the start.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// User name and password that it takes; `None` if it takes everybody.
    pub login: Option<(String, String)>,
    /// The largest packet that it takes.
    pub packet_bytes: usize,
}

/// What a check says: nothing, or what went wrong.
pub type Outcome = Result<(), String>;

type OfBoth = (&'static str, fn(&Target, Version) -> Outcome);
type OfOne = (&'static str, fn(&Target) -> Outcome);

/// A check that ran.
#[derive(Debug)]
pub struct Checked {
    /// What it is about.
    pub name: String,
    /// How long it took.
    pub took: Duration,
    /// How it ended.
    pub outcome: Outcome,
}

impl Checked {
    fn new(name: String, check: impl FnOnce() -> Outcome) -> Checked {
        let started = Instant::now();
        let outcome = check();
        Checked { name, took: started.elapsed(), outcome }
    }
}

/// Runs every check.
pub fn run(target: &Target) -> Vec<Checked> {
    let both: [OfBoth; 14] = [
        ("a thousand retained topics at QoS 0", |target, version| retained(target, version, 0, u16::MAX)),
        ("a thousand retained topics at QoS 1", |target, version| retained(target, version, 1, u16::MAX)),
        ("a thousand retained topics to a small window", |target, version| retained(target, version, 1, 3)),
        ("a thousand retained topics to a slow reader", slow_reader),
        ("overlapping wildcards", overlapping),
        ("wildcards do not reach $ topics", dollar_topics),
        ("unsubscribe", unsubscribe),
        ("retained is cleared by an empty payload", clear_retained),
        ("QoS 2 from a publisher", exactly_once),
        ("will when the client vanishes", will_on_kill),
        ("no will after a goodbye", no_will_after_goodbye),
        ("an oversized packet harms nobody else", oversized),
        ("session takeover", takeover),
        ("a session is resumed with what was missed", resume),
    ];
    // These wait, so they wait together.
    let slow: [OfOne; 6] = [
        ("keep-alive expires, V4", |target| keep_alive(target, Version::V4)),
        ("keep-alive expires, V5", |target| keep_alive(target, Version::V5)),
        ("will delay", will_delay),
        ("a client that comes back in time cancels its will", will_delay_cancelled),
        ("session expiry", session_expiry),
        ("a packet larger than the client takes is skipped", skipped),
    ];
    let mut checked = Vec::new();
    for (name, check) in both {
        for version in [Version::V4, Version::V5] {
            checked.push(Checked::new(format!("{name}, {version:?}"), || check(target, version)));
        }
    }
    checked.extend(thread::scope(|scope| {
        let run = |(name, check): OfOne| {
            let name = name.to_owned();
            scope.spawn(move || Checked::new(name, || check(target)))
        };
        slow.map(run).map(|running| {
            let failed = |_| Checked::new("a check that panicked".to_owned(), || Err("see above".to_owned()));
            running.join().unwrap_or_else(failed)
        })
    }));
    if target.login.is_some() {
        checked.extend([Version::V4, Version::V5].map(|version| {
            let name = format!("a wrong password is refused, {version:?}");
            Checked::new(name, || wrong_password(target, version))
        }));
    }
    checked
}

/// Version of MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// 3.1.1.
    V4,
    /// 5.
    V5,
}

const RETAINED: usize = 1000;

fn check(condition: bool, otherwise: impl FnOnce() -> String) -> Outcome {
    if condition { Ok(()) } else { Err(otherwise()) }
}

fn fill(target: &Target, version: Version, root: &str, payload: &[u8]) -> Outcome {
    let mut publisher = Client::named(target, version, "publisher")?;
    for n in 0..RETAINED {
        publisher.publish(&format!("{root}/{n}"), payload, true)?;
    }
    publisher.goodbye()
}

fn empty(target: &Target, version: Version, root: &str) -> Outcome {
    fill(target, version, root, b"")
}

/// Reads until each of the thousand topics came.
fn all_retained(client: &mut Client, root: &str) -> Outcome {
    let mut missing: BTreeSet<String> = (0..RETAINED).map(|n| format!("{root}/{n}")).collect();
    while !missing.is_empty() {
        let came =
            client.expect().map_err(|error| format!("{} of {RETAINED} missing: {error}", missing.len()))?;
        match came {
            Packet::Publish(publish) => {
                client.ack(&publish)?;
                check(publish.retain, || format!("{} is not marked as retained", publish.topic))?;
                check(missing.remove(&publish.topic), || format!("{} came twice", publish.topic))?;
            }
            Packet::Suback(_) => {}
            other => return Err(format!("{other:?}")),
        }
    }
    client.quiet()
}

fn retained(target: &Target, version: Version, qos: u8, receive_max: u16) -> Outcome {
    fill(target, version, "retained", b"x")?;
    let connect = Connect { client_id: "reader", receive_max, ..Connect::default() };
    let mut client = Client::connect(target, version, &connect)?;
    client.subscribe(&["retained/#"], qos)?;
    all_retained(&mut client, "retained")?;
    empty(target, version, "retained")
}

/// A thousand large messages, more than sockets buffer, to a client that does not read for a while.
fn slow_reader(target: &Target, version: Version) -> Outcome {
    fill(target, version, "large", &[b'x'; 8_000])?;
    for qos in [0, 1] {
        let mut client = Client::named(target, version, "slow")?;
        client.subscribe(&["large/+"], qos)?;
        thread::sleep(Duration::from_millis(500));
        all_retained(&mut client, "large").map_err(|error| format!("QoS {qos}: {error}"))?;
    }
    empty(target, version, "large")
}

fn overlapping(target: &Target, version: Version) -> Outcome {
    let mut client = Client::named(target, version, "overlapping")?;
    client.subscribed(&["o/#", "o/+/c", "o/b/c", "o/+"], 1)?;
    let mut publisher = Client::named(target, version, "publisher")?;
    publisher.publish("o/b/c", b"deep", false)?;
    publisher.publish("o", b"parent", false)?;
    publisher.publish("other/b/c", b"no", false)?;
    publisher.publish("o/end", b"end", false)?;
    let mut deep = 0;
    let mut parent = 0;
    loop {
        let message = client.message()?;
        match message.payload.as_slice() {
            b"deep" => deep += 1,
            b"parent" => parent += 1,
            b"end" => break,
            _ => return Err(format!("{message:?} matches nothing")),
        }
    }
    // MQTT leaves it to the broker whether a message comes once or once for each subscription.
    check((1..=3).contains(&deep) && parent == 1, || {
        format!("o/b/c came {deep} times, o came {parent} times")
    })
}

fn dollar_topics(target: &Target, version: Version) -> Outcome {
    let mut client = Client::named(target, version, "dollar")?;
    client.subscribe(&["#", "+/#"], 0)?;
    loop {
        match client.read(QUIET)? {
            Some(Packet::Publish(publish)) if publish.topic.starts_with('$') => {
                return Err(format!("{} came", publish.topic));
            }
            Some(_) => {}
            None => return Ok(()),
        }
    }
}

fn unsubscribe(target: &Target, version: Version) -> Outcome {
    let mut client = Client::named(target, version, "unsubscribe")?;
    client.subscribed(&["u/a", "u/b"], 1)?;
    let mut body = vec![0, 11];
    client.no_properties(&mut body);
    string(&mut body, b"u/a")?;
    client.write(&packet(0xa2, &body))?;
    check(client.expect()? == Packet::Unsuback, || "no UNSUBACK".to_owned())?;
    let mut publisher = Client::named(target, version, "publisher")?;
    publisher.publish("u/a", b"a", false)?;
    publisher.publish("u/b", b"b", false)?;
    check(client.message()?.topic == "u/b", || "u/a came after UNSUBSCRIBE".to_owned())?;
    client.quiet()
}

fn clear_retained(target: &Target, version: Version) -> Outcome {
    let mut publisher = Client::named(target, version, "publisher")?;
    publisher.publish("clear/a", b"x", true)?;
    let mut live = Client::named(target, version, "live")?;
    live.subscribe(&["clear/a"], 1)?;
    check(matches!(live.expect()?, Packet::Suback(_)), || "no SUBACK".to_owned())?;
    check(live.message()?.retain, || "not marked as retained".to_owned())?;
    publisher.publish("clear/a", b"", true)?;
    let cleared = live.message()?;
    check(cleared.payload.is_empty() && !cleared.retain, || {
        format!("{cleared:?} instead of the empty one, live")
    })?;
    let mut late = Client::named(target, version, "late")?;
    late.subscribed(&["clear/a"], 1)?;
    late.quiet()
}

fn exactly_once(target: &Target, version: Version) -> Outcome {
    let mut client = Client::named(target, version, "reader")?;
    client.subscribed(&["exactly"], 1)?;
    let mut publisher = Client::named(target, version, "publisher")?;
    let bytes = publisher.publish_bytes("exactly", b"once", 2, false, 5)?;
    for _ in 0..2 {
        publisher.write(&bytes)?;
        check(publisher.expect()? == Packet::Pubrec(5), || "no PUBREC".to_owned())?;
    }
    publisher.write(&packet(0x62, &[0, 5]))?;
    check(publisher.expect()? == Packet::Pubcomp(5), || "no PUBCOMP".to_owned())?;
    check(client.message()?.payload == b"once", || "another message".to_owned())?;
    client.quiet()
}

fn with_will<'a>(client_id: &'a str, topic: &'a str) -> Connect<'a> {
    Connect { client_id, will: Some((topic, b"gone")), ..Connect::default() }
}

fn will_on_kill(target: &Target, version: Version) -> Outcome {
    let mut watcher = Client::watching(target, version, "will/kill")?;
    drop(Client::connect(target, version, &with_will("mortal", "will/kill"))?);
    check(watcher.message()?.payload == b"gone", || "another message".to_owned())
}

fn no_will_after_goodbye(target: &Target, version: Version) -> Outcome {
    let mut watcher = Client::watching(target, version, "will/none")?;
    Client::connect(target, version, &with_will("polite", "will/none"))?.goodbye()?;
    watcher.quiet()
}

fn oversized(target: &Target, version: Version) -> Outcome {
    let mut bystander = Client::named(target, version, "bystander")?;
    bystander.subscribed(&["size/#"], 1)?;
    let mut large = Client::named(target, version, "large")?;
    let fits = large.publish_bytes("size/fits", &vec![0; target.packet_bytes - 100], 1, false, 1)?;
    large.write(&fits)?;
    check(large.expect()? == Packet::Puback(1), || {
        "a packet within the limit is not acknowledged".to_owned()
    })?;
    check(bystander.message()?.topic == "size/fits", || "not delivered".to_owned())?;
    let too_large = large.publish_bytes("size/large", &vec![0; target.packet_bytes + 1], 1, false, 2)?;
    // The broker may close in the middle of it.
    let _ = large.write(&too_large);
    large.closed(PATIENCE)?;
    let mut other = Client::named(target, version, "other")?;
    other.publish("size/after", b"x", false)?;
    check(bystander.message()?.topic == "size/after", || "the oversized one was delivered".to_owned())
}

fn takeover(target: &Target, version: Version) -> Outcome {
    let mut first = Client::named(target, version, "twin")?;
    first.subscribed(&["twin"], 1)?;
    let mut second = Client::named(target, version, "twin")?;
    first.closed(PATIENCE)?;
    second.subscribed(&["twin"], 1)?;
    second.publish_to_itself("twin")
}

fn keep_alive(target: &Target, version: Version) -> Outcome {
    let name = format!("silent/{version:?}");
    let mut watcher = Client::watching(target, version, &name)?;
    let connect = Connect { keep_alive_s: 2, ..with_will(&name, &name) };
    let mut client = Client::connect(target, version, &connect)?;
    // Pings keep it alive beyond 1.5 times of keep-alive.
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(1_500));
        client.write(&packet(0xc0, &[]))?;
        check(client.expect()? == Packet::Pingresp, || "no PINGRESP".to_owned())?;
    }
    let silent_since = Instant::now();
    client.closed(PATIENCE * 2)?;
    let silent = silent_since.elapsed();
    // Mosquitto looks only every five seconds.
    check((Duration::from_secs(2)..Duration::from_secs(12)).contains(&silent), || {
        format!("closed after {silent:?} of silence, with a keep-alive of 2 s")
    })?;
    check(watcher.message()?.payload == b"gone", || "another message".to_owned())
}

fn resume(target: &Target, version: Version) -> Outcome {
    let connect = Connect { client_id: "keeper", clean: false, session_expiry_s: 60, ..Connect::default() };
    let mut client = Client::connect(target, version, &connect)?;
    check(!client.session_present, || "a session before there was one".to_owned())?;
    client.subscribed(&["resume/#"], 1)?;
    let mut publisher = Client::named(target, version, "publisher")?;
    publisher.publish("resume/unacked", b"0", false)?;
    check(matches!(client.expect()?, Packet::Publish(_)), || "no message".to_owned())?;
    drop(client);
    thread::sleep(QUIET);
    for n in 1..=20 {
        publisher.publish("resume/missed", n.to_string().as_bytes(), false)?;
    }
    let mut client = Client::connect(target, version, &connect)?;
    check(client.session_present, || "the session is gone".to_owned())?;
    let unacked = client.message()?;
    check(unacked.duplicate && unacked.topic == "resume/unacked", || {
        format!("{unacked:?}, not the unacked one")
    })?;
    for n in 1..=20 {
        let missed = client.message()?;
        check(missed.payload == n.to_string().as_bytes(), || format!("{missed:?}, not number {n}"))?;
    }
    client.quiet()?;
    client.goodbye()?;
    // Clean ends what was kept.
    let clean = Client::named(target, version, "keeper")?;
    check(!clean.session_present, || "a session in spite of clean".to_owned())?;
    clean.goodbye()
}

fn will_delay(target: &Target) -> Outcome {
    let mut watcher = Client::watching(target, Version::V5, "will/late")?;
    let connect = Connect { will_delay_s: 2, session_expiry_s: 60, ..with_will("late", "will/late") };
    drop(Client::connect(target, Version::V5, &connect)?);
    let killed = Instant::now();
    check(watcher.message()?.payload == b"gone", || "another message".to_owned())?;
    let after = killed.elapsed();
    check((Duration::from_millis(1_000)..Duration::from_secs(6)).contains(&after), || {
        format!("came after {after:?} with a delay of 2 s")
    })
}

fn will_delay_cancelled(target: &Target) -> Outcome {
    let mut watcher = Client::watching(target, Version::V5, "will/back")?;
    let connect =
        Connect { will_delay_s: 2, session_expiry_s: 60, clean: false, ..with_will("back", "will/back") };
    drop(Client::connect(target, Version::V5, &connect)?);
    let back = Client::connect(target, Version::V5, &Connect { will: None, ..connect })?;
    thread::sleep(Duration::from_millis(3_500));
    watcher.quiet()?;
    back.goodbye()
}

fn session_expiry(target: &Target) -> Outcome {
    let connect = Connect { client_id: "expiring", clean: false, session_expiry_s: 1, ..Connect::default() };
    drop(Client::connect(target, Version::V5, &connect)?);
    let back = Client::connect(target, Version::V5, &connect)?;
    check(back.session_present, || "the session is gone too early".to_owned())?;
    drop(back);
    thread::sleep(Duration::from_millis(3_500));
    let late = Client::connect(target, Version::V5, &connect)?;
    check(!late.session_present, || "the session outlived its expiry".to_owned())
}

fn skipped(target: &Target) -> Outcome {
    let connect = Connect { client_id: "small", packet_max: 200, ..Connect::default() };
    let mut client = Client::connect(target, Version::V5, &connect)?;
    client.subscribed(&["skip/#"], 1)?;
    let mut publisher = Client::named(target, Version::V5, "skip publisher")?;
    publisher.publish("skip/large", &[0; 1_000], false)?;
    publisher.publish("skip/small", b"x", false)?;
    check(client.message()?.topic == "skip/small", || "the large one came".to_owned())
}

fn wrong_password(target: &Target, version: Version) -> Outcome {
    let right = target.login.clone().unwrap_or_default();
    for login in [None, Some((right.0.clone(), "wrong".to_owned())), Some(("nobody".to_owned(), right.1))] {
        let connect = Connect { client_id: "intruder", ..Connect::default() };
        let (mut client, code) = Client::try_connect(target, version, &connect, login.as_ref())?;
        let expected: &[u8] = if version == Version::V4 { &[4, 5] } else { &[0x86, 0x87] };
        check(expected.contains(&code), || format!("answered with {code:#x}"))?;
        client.closed(PATIENCE)?;
    }
    Ok(())
}

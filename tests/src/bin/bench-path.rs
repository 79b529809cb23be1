//! How long it takes from hostapd's notification on the access point to the topic that Home Assistant reads: real
//! agents, a real Mosquitto, the real aggregator; only ubusd is a stand-in.
//!
//! A hundred phones arrive one after the other, roam one after the other, and leave together; then they come again.
//! Each time runs from before the first of the notifications (auth, assoc, sta-authorized at once, as with a fast
//! transition) to the message's arrival at a subscriber of the broker.
//!
//! Mosquitto runs as it is installed, which is with Nagle's algorithm on: a client that leaves something of it
//! unacknowledged gets the next message 40 ms late. `--mosquitto "set_tcp_nodelay true"` shows the path without that.

#![expect(clippy::print_stdout, reason = "figures are for reading")]

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use whichroom_tests::figures::Times;
use whichroom_tests::house::{BSS_5, House, topic};
use whichroom_tests::mosquitto::Settings;
use whichroom_tests::process::wait;
use whichroom_tests::ubusd::Leave;
use whichroom_wire::Mac;

const PHONES: u8 = 100;
const WAVES: usize = 10;

const USAGE: &str = "Usage: bench-path [--waves N] [--mosquitto LINE]...

  --waves N          how often a hundred phones come, roam and go (default: 10)
  --mosquitto LINE   a further line for mosquitto.conf, such as \"set_tcp_nodelay true\"
";

fn main() -> ExitCode {
    match parse() {
        Ok(Some((waves, settings))) => {
            run(waves, &settings);
            ExitCode::SUCCESS
        }
        Ok(None) => {
            print!("{USAGE}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench-path: {error}; see --help");
            ExitCode::from(2)
        }
    }
}

fn parse() -> Result<Option<(usize, Settings)>, lexopt::Error> {
    use lexopt::prelude::*;
    let (mut waves, mut settings) = (WAVES, Settings::default());
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("waves") => waves = parser.value()?.parse()?,
            Long("mosquitto") => settings.lines.push(parser.value()?.string()?),
            Short('h') | Long("help") => return Ok(None),
            Short(_) | Long(_) | Value(_) => return Err(argument.unexpected()),
        }
    }
    Ok(Some((waves, settings)))
}

fn run(waves: usize, settings: &Settings) {
    let mut house = House::with(settings);
    house.use_router_agent();
    house.add_ap("hall");
    house.add_ap("kitchen");
    house.start_aggregator(&configuration());
    // The first wave decides about everybody for the first time and fills caches; it is not counted.
    let (mut arrivals, mut roams) = (Times::default(), Times::default());
    wave(&house, &mut Times::default(), &mut Times::default());
    for number in 1..=waves {
        wave(&house, &mut arrivals, &mut roams);
        eprintln!("wave {number} of {waves}");
    }
    report(&arrivals, &roams);
}

fn report(arrivals: &Times, roams: &Times) {
    println!("ubus notification to MQTT topic, {PHONES} phones, 2 access points, Mosquitto, loopback");
    println!("{:<24}{:>8}{:>12}{:>12}{:>12}{:>12}", "", "count", "median ms", "p95 ms", "p99 ms", "worst ms");
    let both = arrivals.and(roams);
    for (name, times) in [("arrival, person/<id>", arrivals), ("roam, device/<id>", roams), ("both", &both)] {
        let [median, p95, p99, worst] = [50, 95, 99, 100].map(|percent| times.percentile_ms(percent));
        println!("{name:<24}{:>8}{median:>12.2}{p95:>12.2}{p99:>12.2}{worst:>12.2}", times.count());
    }
    let [median, p95, p99] = [50, 95, 99].map(|percent| both.percentile_ms(percent));
    println!(r#"{{"median_ms":{median:.3},"p95_ms":{p95:.3},"p99_ms":{p99:.3}}}"#);
}

/// Everybody arrives at the hall, roams to the kitchen and leaves.
fn wave(house: &House, arrivals: &mut Times, roams: &mut Times) {
    for phone in 0..PHONES {
        arrivals.push(arrive(house, phone));
    }
    for phone in 0..PHONES {
        roams.push(roam(house, phone));
    }
    for phone in 0..PHONES {
        house.bus("kitchen").leave(BSS_5, mac(phone), Leave::Disassoc);
    }
    for phone in 0..PHONES {
        house.wait_away(&format!("p{phone}"));
    }
    settle(house);
    house.observer.forget();
}

fn arrive(house: &House, phone: u8) -> Duration {
    let person = topic(&format!("person/p{phone}"));
    let (mark, begun) = (house.observer.mark(), Instant::now());
    house.bus("hall").join(BSS_5, mac(phone), -50);
    let arrived = house
        .observer
        .wait_since(mark, &person, |arrived| arrived.topic == person && arrived.json()["tracker"] == "home");
    arrived.at - begun
}

fn roam(house: &House, phone: u8) -> Duration {
    let device = topic(&format!("device/d{phone}"));
    let bssid = house.bssid("kitchen", BSS_5).to_string();
    let (mark, begun) = (house.observer.mark(), Instant::now());
    house.bus("kitchen").join(BSS_5, mac(phone), -50);
    let arrived = house.observer.wait_since(mark, &device, |arrived| {
        arrived.topic == device && arrived.json()["bssid"] == bssid.as_str()
    });
    house.bus("hall").leave(BSS_5, mac(phone), Leave::Silent);
    arrived.at - begun
}

/// Waits until nothing more is published about phones.
fn settle(house: &House) {
    wait("quiet", || {
        let mark = house.observer.mark();
        std::thread::sleep(Duration::from_millis(300));
        let about_phones = |below: &str| topic(below);
        let (person, device) = (about_phones("person/"), about_phones("device/"));
        let since = house.observer.since(mark);
        let quiet = !since
            .iter()
            .any(|arrived| arrived.topic.starts_with(&person) || arrived.topic.starts_with(&device));
        quiet.then_some(())
    });
}

const fn mac(phone: u8) -> Mac {
    Mac::new([0x02, 0xbe, 0, 0, 0, phone])
}

fn configuration() -> String {
    let mut text =
        String::from("[[ap]]\nid = \"hall\"\nexit = true\n[[ap]]\nid = \"kitchen\"\nexit = true\n");
    for phone in 0..PHONES {
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "[[person]]\nid = \"p{phone}\"\nname = \"Person {phone}\"\n\
             devices = [{{ id = \"d{phone}\", name = \"Phone {phone}\", macs = [\"{}\"] }}]\n",
            mac(phone)
        );
    }
    text + "[timing]\nexit_s = 1\ndebounce_s = 1\nempty_hold_s = 1\n"
}

//! How long it takes from hostapd's notification on the access point to the topic that Home Assistant reads: real
//! agents, a real Mosquitto, the real aggregator; only ubusd is a stand-in.
//!
//! A hundred phones arrive one after the other, roam one after the other, and leave together; then they come again.
//! Each time runs from before the first of the notifications (auth, assoc, sta-authorized at once, as with a fast
//! transition) to the message's arrival at a subscriber of the broker.

#![expect(clippy::print_stdout, reason = "figures are for reading")]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use whichroom_tests::figures::Times;
use whichroom_tests::house::{BSS_5, House, topic};
use whichroom_tests::process::wait;
use whichroom_tests::ubusd::Leave;
use whichroom_wire::Mac;

const PHONES: u8 = 100;
const WAVES: usize = 10;

fn main() {
    let mut house = House::new();
    house.use_router_agent();
    house.add_ap("hall");
    house.add_ap("kitchen");
    house.start_aggregator(&configuration());
    // The first wave decides about everybody for the first time and fills caches; it is not counted.
    let (mut arrivals, mut roams) = (Times::default(), Times::default());
    wave(&house, &mut Times::default(), &mut Times::default());
    for number in 1..=WAVES {
        wave(&house, &mut arrivals, &mut roams);
        eprintln!("wave {number} of {WAVES}");
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

//! What the agent costs an access point with sixty stations on three BSSs, besides bytes of flash: instructions, bytes
//! on the wire, calls to hostapd and rpcd, memory. The agent is the router's profile, built for this machine.

#![expect(clippy::print_stdout, reason = "figures are for reading")]

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use lexopt::prelude::*;
use whichroom_tests::house::{House, topic};
use whichroom_tests::meter::Meter;
use whichroom_tests::process::router_agent;
use whichroom_tests::ubusd::{Options, command};
use whichroom_wire::Mac;

const HELP: &str = "\
agent-cost: what the agent costs an access point with sixty stations on three BSSs.

  --seconds N   how long calls, bytes and memory are watched (default 300: all that recurs does so within)
";

const BSSS: u8 = 3;
const STATIONS: u16 = 60;
/// Stations more on one access point than on the other, whose bytes are compared.
const PHONES_MORE: u16 = 20;
/// How often a phone at rest sends something: push services, address resolution, power saving.
const PHONE_SENDS_EVERY_S: u32 = 15;
/// How long the agent runs under callgrind.
const COUNTED: Duration = Duration::from_secs(40);
const PROBES: u16 = 20_000;
/// Between two polls, as far apart as may be, where polls are not what is counted.
const SELDOM_S: u32 = 60;
/// The agent's own default.
const USUAL_S: u32 = 5;
/// What happens once after the start is over by then.
const SETTLED: Duration = Duration::from_secs(15);

/// A figure and the most it may be.
struct Line {
    name: &'static str,
    value: f64,
    value_max: Option<f64>,
    how: String,
}

fn main() {
    let window = match window() {
        Ok(Some(window)) => window,
        Ok(None) => return print!("{HELP}"),
        Err(error) => {
            eprintln!("agent-cost: {error}; see --help");
            std::process::exit(2);
        }
    };
    // Each has its own broker and bus, and none is about time: they may run side by side.
    let lines = std::thread::scope(|scope| {
        let parts = [
            scope.spawn(instructions),
            scope.spawn(move || at_rest(window)),
            scope.spawn(move || memory(window)),
        ];
        parts.map(|part| part.join().unwrap_or_else(|_| std::process::exit(1)))
    });
    print_lines(&lines.into_iter().flatten().collect::<Vec<_>>());
}

fn window() -> Result<Option<Duration>, lexopt::Error> {
    let mut seconds = 300;
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("seconds") => seconds = parser.value()?.parse()?,
            Short('h') | Long("help") => return Ok(None),
            Short(_) | Long(_) | Value(_) => return Err(argument.unexpected()),
        }
    }
    Ok(Some(Duration::from_secs(seconds)))
}

fn print_lines(lines: &[Line]) {
    println!("{} with {STATIONS} stations on {BSSS} BSSs", router_agent().display());
    for Line { name, value, value_max, how } in lines {
        let verdict = value_max.map_or(String::new(), |most| {
            format!("at most {most:.0}: {}", if *value <= most { "ok" } else { "over" })
        });
        println!("{name:<34}{value:>12.0}  {verdict:<24}  {how}");
    }
    let fields: Vec<String> =
        lines.iter().map(|Line { name, value, .. }| format!(r#""{name}":{value:.0}"#)).collect();
    println!("{{{}}}", fields.join(","));
}

/// An access point furnished with stations.
fn furnish(house: &mut House, name: &str, number: u8, stations: u16) {
    house.add_bus(name, Options::default());
    house.bus(name).remove_bss("phy0-ap0");
    house.bus(name).remove_bss("phy1-ap0");
    command::furnish(house.bus(name), BSSS, stations, number);
}

fn wait_table(house: &House, name: &str, stations: u16) {
    house.observer.wait_last(&topic(&format!("ap/{name}/stations")), |table| {
        table["stations"].as_array().is_some_and(|listed| listed.len() == usize::from(stations))
    });
}

fn calls(house: &House, name: &str, wished: impl Fn(&str, &str) -> bool) -> u32 {
    let calls = house.bus(name).all_calls();
    calls.iter().filter(|((path, method), _)| wished(path, method)).map(|(_, count)| count).sum()
}

fn client_calls(house: &House, name: &str) -> u32 {
    calls(house, name, |_, method| method == "get_clients")
}

/// Instructions of a whole run, and its polls of all BSSs.
#[derive(Debug, Clone, Copy)]
struct Counted {
    instructions: u64,
    polls: f64,
}

/// Counts the instructions of three runs of the same length. One polls often and one is sent probes; what those have
/// beyond the third is what a poll and a probe cost.
fn instructions() -> Vec<Line> {
    let [idle, polling, probed] = std::thread::scope(|scope| {
        [(SELDOM_S, 0), (1, 0), (SELDOM_S, PROBES)]
            .map(|(interval_s, probes)| scope.spawn(move || count(interval_s, probes)))
            .map(|run| run.join().unwrap_or_else(|_| std::process::exit(1)))
    });
    let beyond = |counted: Counted| counted.instructions.saturating_sub(idle.instructions) as f64;
    let polls = polling.polls - idle.polls;
    vec![
        Line {
            name: "poll_instructions",
            value: beyond(polling) / polls,
            value_max: Some(3e6),
            how: format!("callgrind, {polls:.0} polls of all BSSs with nothing new to say"),
        },
        Line {
            name: "dropped_probe_instructions",
            value: beyond(probed) / f64::from(PROBES),
            value_max: Some(5e3),
            how: format!("callgrind, {PROBES} probes of strangers"),
        },
    ]
}

fn count(interval_s: u32, probes: u16) -> Counted {
    let mut house = House::new();
    let profile = format!("--callgrind-out-file={}", house.directory.join("callgrind.out").display());
    let valgrind = ["valgrind", "--tool=callgrind", &profile].map(std::ffi::OsString::from);
    house.use_agent(valgrind.into_iter().chain([router_agent().into()]));
    house.set_interval(interval_s);
    furnish(&mut house, "kitchen", 0, STATIONS);
    let tracked: Vec<String> =
        (0..6).map(|index| format!("\"{}\"", command::station_mac(0, index))).collect();
    let tracked = format!(r#"{{"schema":1,"macs":[{}]}}"#, tracked.join(","));
    house.observer.publish(&topic("tracked"), tracked, true);
    house.start_agent("kitchen");
    wait_table(&house, "kitchen", STATIONS);
    let (begun, mut sent) = (Instant::now(), 0);
    while begun.elapsed() < COUNTED {
        keep_busy(&house);
        for _ in 0..500.min(probes - sent) {
            let stranger = command::station_mac(9, sent);
            house.bus("kitchen").notify_station(&command::ifname(0), "probe", stranger, -80);
            sent += 1;
        }
        sleep(Duration::from_millis(500));
    }
    assert_eq!((sent, house.bus("kitchen").dropped()), (probes, 0), "probes sent, and lost on the way");
    let polls = f64::from(client_calls(&house, "kitchen")) / f64::from(BSSS);
    let Some(mut agent) = house.ap("kitchen").agent.take() else { panic!("no agent") };
    assert!(agent.terminate().success(), "{}", agent.log());
    let log = agent.log();
    let collected = log.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    let Some(instructions) = collected else { panic!("callgrind does not say what it counted: {log}") };
    Counted { instructions, polls }
}

/// Lets every station send something, at the signal it has: nothing of that is news.
fn keep_busy(house: &House) {
    let now = Instant::now();
    house.bus("kitchen").with_ap(|ap| {
        ap.bsss
            .values_mut()
            .flat_map(|bss| bss.stations.values_mut())
            .for_each(|station| station.receive(1, now));
    });
}

/// Bytes and calls at the agent's usual interval. Three access points differ in twenty phones: one lacks them, in one
/// their signal never changes, in one it is off by up to a decibel with each packet.
fn at_rest(window: Duration) -> Vec<Line> {
    let mut house = House::new();
    house.use_router_agent();
    house.set_interval(USUAL_S);
    let aps = [("without", 1, STATIONS - PHONES_MORE), ("still", 2, STATIONS), ("restless", 3, STATIONS)];
    let meters = aps.map(|(name, number, stations)| {
        let meter = Meter::start(house.mosquitto.port());
        house.reach_broker_at(meter.port());
        furnish(&mut house, name, number, stations);
        house.start_agent(name);
        wait_table(&house, name, stations);
        meter
    });
    let mut random = 1;
    let mut rest = |house: &House, length: Duration| {
        let begun = Instant::now();
        while begun.elapsed() < length {
            aps.iter().for_each(|(name, number, _)| stir_phones(house, name, *number, &mut random));
            sleep(Duration::from_secs(1));
        }
    };
    rest(&house, SETTLED);
    let hostapd = |path: &str, _: &str| path.starts_with("hostapd.");
    let rpcd = |path: &str, _: &str| path == "iwinfo" || path == "luci-rpc";
    let look = |house: &House| {
        let bytes = [meters[0].bytes(), meters[1].bytes(), meters[2].bytes()];
        (bytes, calls(house, "still", hostapd), calls(house, "still", rpcd))
    };
    let before = look(&house);
    rest(&house, window);
    let after = look(&house);
    let hours = window.as_secs_f64() / 3_600.0;
    let bytes = |index: usize| (after.0[index] - before.0[index]) as f64;
    let phone = |index: usize| (bytes(index) - bytes(0)) / f64::from(PHONES_MORE) / hours;
    let how = format!("{} s, as an hour", window.as_secs());
    let compared = format!("{how}: {PHONES_MORE} phones more, a packet every {PHONE_SENDS_EVERY_S} s or so");
    let an_hour = |count: u32| f64::from(count) / hours;
    vec![
        Line {
            name: "phone_at_rest_bytes",
            value: phone(1),
            value_max: Some(40e3),
            how: format!("{compared}, the signal still"),
        },
        Line {
            name: "phone_at_rest_1_db_bytes",
            value: phone(2),
            value_max: None,
            how: format!("{compared}, the signal off by up to 1 dB"),
        },
        Line { name: "all_bytes", value: bytes(1) / hours, value_max: None, how: how.clone() },
        Line {
            name: "hostapd_calls",
            value: an_hour(after.1 - before.1),
            value_max: Some(2_200.0),
            how: how.clone(),
        },
        Line { name: "rpcd_calls", value: an_hour(after.2 - before.2), value_max: Some(600.0), how },
    ]
}

/// A second of phones at rest: now and then one sends something, and then its signal is measured.
fn stir_phones(house: &House, name: &str, number: u8, random: &mut u32) {
    let now = Instant::now();
    house.bus(name).with_ap(|ap| {
        for index in 0..STATIONS {
            let Some(station) =
                ap.station(&command::ifname(bss_of(index)), command::station_mac(number, index))
            else {
                continue;
            };
            *random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let roll = *random >> 16;
            if !roll.is_multiple_of(PHONE_SENDS_EVERY_S) {
                continue;
            }
            station.receive(3, now);
            if name == "restless" && index >= STATIONS - PHONES_MORE {
                let off = i32::try_from(roll / PHONE_SENDS_EVERY_S % 3).unwrap_or(0) - 1;
                station.signal_dbm = command::signal_dbm(index) + off;
            }
        }
    });
}

fn bss_of(index: u16) -> u8 {
    u8::try_from(index % u16::from(BSSS)).unwrap_or(0)
}

/// The static program that `make packages` left, whose memory is that of an access point's; else the host's.
fn static_agent() -> (PathBuf, &'static str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target");
    let packaged = root.join("packages/programs/x86_64-unknown-linux-musl/whichroom-agent");
    let runs = cfg!(target_arch = "x86_64") && packaged.is_file();
    if runs { (packaged, "static with musl") } else { (router_agent(), "linked with the host's C library") }
}

/// Memory early and late. Notifications make the agent poll as often as it does at all.
fn memory(window: Duration) -> Vec<Line> {
    let mut house = House::new();
    let (agent, kind) = static_agent();
    house.use_agent([agent]);
    furnish(&mut house, "kitchen", 0, STATIONS);
    house.start_agent("kitchen");
    wait_table(&house, "kitchen", STATIONS);
    let mut random = 7;
    let mut live = |house: &House, length: Duration| {
        let begun = Instant::now();
        while begun.elapsed() < length {
            house.bus("kitchen").with_ap(|ap| ap.stir(&mut random, Instant::now()));
            for index in 0..u16::from(BSSS) {
                let mac: Mac = command::station_mac(0, index);
                house.bus("kitchen").notify_station(
                    &command::ifname(bss_of(index)),
                    "sta-authorized",
                    mac,
                    0,
                );
            }
            sleep(Duration::from_millis(260));
        }
    };
    let read = |house: &House| {
        let Some(agent) = &house.aps["kitchen"].agent else { panic!("no agent") };
        (
            client_calls(house, "kitchen") / u32::from(BSSS),
            agent.memory_kb("VmRSS"),
            agent.memory_kb("RssAnon"),
        )
    };
    // Longer than the table's heartbeat.
    live(&house, window.min(Duration::from_secs(40)));
    let early = read(&house);
    live(&house, window.saturating_sub(Duration::from_secs(40)));
    let late = read(&house);
    let after = |polls: u32| format!("kB, {kind}, after {polls} polls of all BSSs");
    vec![
        Line { name: "early_rss_kb", value: early.1 as f64, value_max: None, how: after(early.0) },
        Line { name: "rss_kb", value: late.1 as f64, value_max: Some(2_500.0), how: after(late.0) },
        Line { name: "early_rss_anon_kb", value: early.2 as f64, value_max: None, how: after(early.0) },
        Line { name: "rss_anon_kb", value: late.2 as f64, value_max: Some(800.0), how: after(late.0) },
    ]
}

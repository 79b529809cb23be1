//! How many readings a second the aggregator can take, and what its knowledge weighs: decoding, presence and rooms
//! on one core, without a broker. A reading is one station in a table or one event.
//!
//! Each size runs in a process of its own. Messages are made one at a time into the same buffer and are not part of
//! the time; the generator's own state is a few bytes a device, so that the resident memory is the engine's.

#![expect(clippy::print_stdout, reason = "figures are for reading")]

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use whichroom_presence::setup::{
    AccessPointSetup, Counts, Detail, DeviceSetup, PersonSetup, RoomSetup, Setup, Timing,
};
use whichroom_presence::{Engine, Moment};
use whichroom_tests::process::memory_kb;
use whichroom_wire::{
    Change, Event, EventWhat, Events, Id, Mac, Radio, Radios, Stamp, State, Station, Stations, Status, Topic,
    encode,
};

/// A home or a campus.
#[derive(Debug, Clone, Copy)]
struct Size {
    name: &'static str,
    aps: usize,
    devices: usize,
}

const SIZES: [Size; 2] =
    [Size { name: "home", aps: 10, devices: 50 }, Size { name: "campus", aps: 1_000, devices: 10_000 }];

/// Agents poll this often.
const ROUND_MS: u64 = 5_000;
/// The table comes with every sixth round: every 30 s.
const ROUNDS_A_TABLE: u64 = 6;
/// One device in so many roams in a round.
const ROAMS: u32 = 50;
/// Rounds that are not counted: everybody is seen for the first time.
const WARM_UP: u64 = 12;
/// So much time is measured at least.
const MEASURED: Duration = Duration::from_secs(4);

fn main() -> ExitCode {
    match std::env::args().nth(1) {
        Some(name) => SIZES.into_iter().find(|size| size.name == name).map_or(ExitCode::from(2), |size| {
            let figures = measure(size);
            println!("{}", serde_json::json!(figures));
            ExitCode::SUCCESS
        }),
        None => run_all(),
    }
}

/// What one size came to.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Figures {
    readings_per_s: u64,
    resident_mb: f64,
    readings: u64,
    effects: u64,
}

fn run_all() -> ExitCode {
    println!("decode, presence and rooms on one core, without a broker");
    println!(
        "{:<10}{:>8}{:>10}{:>14}{:>16}{:>14}",
        "", "APs", "devices", "readings", "readings/s", "resident MB"
    );
    let mut last_line = serde_json::Map::new();
    for size in SIZES {
        let figures = match measure_apart(size) {
            Ok(figures) => figures,
            Err(error) => {
                eprintln!("{}: {error}", size.name);
                return ExitCode::FAILURE;
            }
        };
        println!(
            "{:<10}{:>8}{:>10}{:>12}{:>12}{:>14}{:>14.1}",
            size.name,
            size.aps,
            size.devices,
            figures.readings,
            figures.effects,
            figures.readings_per_s,
            figures.resident_mb
        );
        let figures =
            serde_json::json!({"readings_per_s": figures.readings_per_s, "resident_mb": figures.resident_mb});
        last_line.insert(size.name.to_owned(), figures);
    }
    println!("{}", serde_json::Value::Object(last_line));
    ExitCode::SUCCESS
}

fn measure_apart(size: Size) -> Result<Figures, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new(program).arg(size.name).output().map_err(|error| error.to_string())?;
    serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// The access points and what they hear.
struct Fleet {
    aps: Vec<Ap>,
    devices: Vec<Device>,
    random: u32,
    now_ms: u64,
}

struct Ap {
    id: Id,
    seq: u64,
    devices: Vec<u32>,
}

struct Device {
    ap: u32,
    rx_packets: u32,
    signal_dbm: i8,
}

/// Takes the messages, and the time it takes.
struct Sink {
    engine: Engine,
    busy: Duration,
    readings: u64,
    effects: u64,
}

fn measure(size: Size) -> Figures {
    let engine = Engine::new(setup(size), None, Moment::from_ms(0));
    let mut sink = Sink { engine, busy: Duration::ZERO, readings: 0, effects: 0 };
    let mut fleet = Fleet::new(size);
    sink.connect();
    fleet.introduce(&mut sink);
    for round in 0..WARM_UP {
        fleet.round(round, &mut sink);
    }
    let everybody_home = sink.effects >= size.devices as u64;
    assert!(everybody_home, "{} effects after the warm-up: the engine decides nothing", sink.effects);
    (sink.busy, sink.readings, sink.effects) = (Duration::ZERO, 0, 0);
    let mut round = WARM_UP;
    while sink.busy < MEASURED {
        fleet.round(round, &mut sink);
        round += 1;
    }
    let rejected: u64 = sink.engine.view(fleet.now()).access_points.iter().map(|ap| ap.rejected).sum();
    assert_eq!(rejected, 0, "the messages are in order");
    let readings_per_s = (sink.readings as f64 / sink.busy.as_secs_f64()) as u64;
    let resident_mb = memory_kb("self", "VmRSS") as f64 / 1_024.0;
    Figures {
        readings_per_s,
        resident_mb: (resident_mb * 10.0).round() / 10.0,
        readings: sink.readings,
        effects: sink.effects,
    }
}

impl Sink {
    fn connect(&mut self) {
        self.engine.handle_broker(true, Moment::from_ms(0));
        self.engine.publish_all();
        self.drain();
    }

    fn take(&mut self, topic: &str, payload: &[u8], readings: usize, now: Moment) {
        let begun = Instant::now();
        self.engine.handle_publish(topic, payload, false, now);
        self.drain();
        self.busy += begun.elapsed();
        self.readings += readings as u64;
    }

    fn time_passes(&mut self, now: Moment) {
        let begun = Instant::now();
        while self.engine.poll_timeout().is_some_and(|(at, _)| at <= now) {
            self.engine.handle_timeout(now);
            self.drain();
        }
        self.busy += begun.elapsed();
    }

    fn drain(&mut self) {
        while let Some(effect) = self.engine.poll_effect() {
            std::hint::black_box(effect);
            self.effects += 1;
        }
    }
}

impl Fleet {
    fn new(size: Size) -> Fleet {
        let aps = (0..size.aps).map(|number| Ap { id: id("ap", number), seq: 0, devices: Vec::new() });
        let mut fleet = Fleet { aps: aps.collect(), devices: Vec::new(), random: 7, now_ms: 1_000 };
        for number in 0..size.devices {
            let ap = (number % size.aps) as u32;
            fleet.aps[ap as usize].devices.push(number as u32);
            fleet.devices.push(Device { ap, rx_packets: 0, signal_dbm: -55 });
        }
        fleet
    }

    fn now(&self) -> Moment {
        Moment::from_ms(self.now_ms.cast_signed())
    }

    /// Every access point says that it is there, and which BSSs it has.
    fn introduce(&mut self, sink: &mut Sink) {
        for number in 0..self.aps.len() {
            let id = &self.aps[number].id;
            let status = Status {
                state: State::Online,
                version: "0.1.0".to_owned(),
                sources: vec!["hostapd".to_owned(), "iwinfo".to_owned()],
                release: None,
                problems: Vec::new(),
            };
            let radio = Radio {
                ifname: "phy0-ap0".to_owned(),
                bssid: Some(bssid(number)),
                ssid: Some("home".to_owned()),
                status: Some("ENABLED".to_owned()),
                ..Radio::default()
            };
            let (status_topic, radios_topic) = (Topic::ApStatus(id.clone()), Topic::ApRadios(id.clone()));
            sink.take(&status_topic.to_string(), &self.encode(number, &status), 0, self.now());
            let radios = Radios { radios: vec![radio] };
            sink.take(&radios_topic.to_string(), &self.encode(number, &radios), 0, self.now());
        }
    }

    /// Five seconds: everybody moves a little, some roam, everything is reported.
    fn round(&mut self, round: u64, sink: &mut Sink) {
        let length = self.aps.len() as u64;
        let begun = self.now_ms;
        for number in 0..self.aps.len() {
            // Access points poll at times of their own, spread over the round.
            self.now_ms = begun + ROUND_MS * number as u64 / length;
            sink.time_passes(self.now());
            self.report_events(number, sink);
            if (round + number as u64).is_multiple_of(ROUNDS_A_TABLE) || round == 0 {
                self.report_table(number, sink);
            }
        }
        self.now_ms = begun + ROUND_MS;
    }

    fn report_events(&mut self, number: usize, sink: &mut Sink) {
        let mut events = Vec::new();
        for index in (0..self.aps[number].devices.len()).rev() {
            let device = self.aps[number].devices[index];
            if self.roll().is_multiple_of(ROAMS) && self.aps.len() > 1 {
                self.aps[number].devices.swap_remove(index);
                let next = (number + 1) % self.aps.len();
                self.arrive(device, next, sink);
                events.push(event(device, number, Change::Left));
                continue;
            }
            let roll = self.roll();
            let state = &mut self.devices[device as usize];
            state.signal_dbm = (state.signal_dbm + (roll % 9) as i8 - 4).clamp(-85, -35);
            state.rx_packets = state.rx_packets.wrapping_add(roll % 60 + 1);
            let change = Change::Signal {
                signal_dbm: Some(state.signal_dbm),
                inactive_ms: Some(u64::from(roll % 3_000)),
                rx_packets: Some(state.rx_packets.into()),
                rx_bytes: Some(u64::from(state.rx_packets) * 300),
            };
            events.push(event(device, number, change));
        }
        self.send_events(number, events, sink);
    }

    /// A device associates with another access point.
    fn arrive(&mut self, device: u32, ap: usize, sink: &mut Sink) {
        self.aps[ap].devices.push(device);
        self.devices[device as usize].ap = ap as u32;
        let signal_dbm = Some(self.devices[device as usize].signal_dbm);
        let events = vec![
            event(device, ap, Change::Assoc { signal_dbm }),
            event(device, ap, Change::Authorized { auth_alg: Some("ft".to_owned()) }),
        ];
        self.send_events(ap, events, sink);
    }

    fn send_events(&mut self, ap: usize, events: Vec<Event>, sink: &mut Sink) {
        if events.is_empty() {
            return;
        }
        self.aps[ap].seq += 1;
        let (readings, events) = (events.len(), Events { seq: self.aps[ap].seq, events });
        let topic = Topic::ApEvents(self.aps[ap].id.clone()).to_string();
        sink.take(&topic, &self.encode(ap, &events), readings, self.now());
    }

    fn report_table(&mut self, number: usize, sink: &mut Sink) {
        let ap = &self.aps[number];
        let station = |device: &u32| {
            let state = &self.devices[*device as usize];
            Station {
                signal_dbm: Some(state.signal_dbm),
                inactive_ms: Some(400),
                connected_s: Some(self.now_ms / 1_000),
                rx_packets: Some(state.rx_packets.into()),
                rx_bytes: Some(u64::from(state.rx_packets) * 300),
                ..Station::new(mac(*device), bssid(number), true)
            }
        };
        let stations = Stations { seq: ap.seq, stations: ap.devices.iter().map(station).collect() };
        let topic = Topic::ApStations(ap.id.clone()).to_string();
        sink.take(&topic, &self.encode(number, &stations), stations.stations.len(), self.now());
    }

    fn encode(&self, ap: usize, body: &impl serde::Serialize) -> Vec<u8> {
        encode(&Stamp::new("9f3c", format!("n{ap}"), self.now_ms), body)
    }

    fn roll(&mut self) -> u32 {
        self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.random >> 8
    }
}

fn event(device: u32, ap: usize, change: Change) -> Event {
    Event { age_ms: 3, what: EventWhat::Station { mac: mac(device), bssid: bssid(ap), change } }
}

const fn mac(device: u32) -> Mac {
    let [a, b, c, d] = device.to_be_bytes();
    Mac::new([0x02, 1, a, b, c, d])
}

const fn bssid(ap: usize) -> Mac {
    let [a, b, c, d] = (ap as u32).to_be_bytes();
    Mac::new([0x02, 2, a, b, c, d])
}

fn id(kind: &str, number: usize) -> Id {
    // Letters and digits, short: always an id.
    format!("{kind}{number}").parse().unwrap_or_else(|error| panic!("{kind}{number}: {error}"))
}

/// Every device is somebody's phone, which is the most there is to decide; one access point in ten is an exit.
fn setup(size: Size) -> Setup {
    let aps = 0..size.aps;
    let adjoins = |number: usize| vec![id("room", (number + 1) % size.aps)];
    let person = |number: usize| PersonSetup {
        id: id("p", number),
        name: format!("Person {number}"),
        detail: Detail::Rooms,
        devices: vec![DeviceSetup {
            id: id("d", number),
            name: format!("Phone {number}"),
            macs: vec![mac(number as u32)],
            counts: Counts::Always,
        }],
    };
    Setup {
        access_points: aps
            .clone()
            .map(|number| AccessPointSetup {
                id: id("ap", number),
                name: format!("AP {number}"),
                room: Some(id("room", number)),
                floor: None,
                exit: number % 10 == 0,
            })
            .collect(),
        rooms: aps
            .map(|number| RoomSetup {
                id: id("room", number),
                name: format!("Room {number}"),
                adjoins: adjoins(number),
                floor: None,
                outdoor: false,
            })
            .collect(),
        people: (0..size.devices).map(person).collect(),
        devices: Vec::new(),
        ssids: Vec::new(),
        timing: Timing::default(),
    }
}

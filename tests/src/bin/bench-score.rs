//! What it costs to weigh a reading: the rooms' model alone, with ten rooms and six access points, on one core. And how
//! many bytes are kept of each device.
//!
//! *associated*: the access point that a phone is on reports it every 5 s. *probes*: every 5 s all six hear one frame,
//! which is one observation of six readings. *apart*: each reading comes half a second after the last and is an observation
//! of its own, the worst there is. Each with and without 60 calibration samples; a phone roams once in 50 rounds.

#![expect(clippy::print_stdout, reason = "figures are for reading")]

use std::time::Duration;

use whichroom_presence::calibration::{Sample, SampleReading};
use whichroom_presence::rooms::{Model, Place, Receiver, RoomEstimate};
use whichroom_presence::{ApIndex, Moment};
use whichroom_tests::process::memory_kb;
use whichroom_wire::Id;

const ROOMS: usize = 10;
const APS: usize = 6;
const SAMPLES_A_ROOM: u8 = 6;
const DEVICES: usize = 20_000;
/// A reading changes by this many decibels from the level of its place.
const NOISE_DB: u32 = 8;
/// What is heard within it is one observation.
const OBSERVATION_MS: u64 = 400;
const ROUND_MS: u64 = 5_000;
const ROAMS: u64 = 50;
/// So much time is measured at least.
const MEASURED: Duration = Duration::from_secs(2);

/// How readings come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Associated,
    Probes,
    Apart,
}

const KINDS: [(&str, Kind); 3] =
    [("associated", Kind::Associated), ("probes", Kind::Probes), ("apart", Kind::Apart)];

fn main() {
    println!("weighing a reading: {ROOMS} rooms, {APS} access points, {DEVICES} devices, one core");
    println!("{:<14}{:>12}{:>16}{:>16}", "", "calibrated", "us a reading", "bytes a device");
    let mut last_line = serde_json::Map::new();
    // Kept until the end: what one measurement gave back, the next one would take without growing.
    let mut kept = Vec::new();
    for is_calibrated in [false, true] {
        let model = model(is_calibrated);
        for (name, kind) in KINDS {
            let (reading_us, device_bytes) = measure(&model, kind, &mut kept);
            let words = if is_calibrated { "yes" } else { "no" };
            println!("{name:<14}{words:>12}{reading_us:>16.2}{device_bytes:>16}");
            let key = if is_calibrated { format!("{name}_calibrated") } else { name.to_owned() };
            let figures = serde_json::json!({"us_a_reading": reading_us, "bytes_a_device": device_bytes});
            last_line.insert(key, figures);
        }
    }
    println!("{}", serde_json::Value::Object(last_line));
}

/// A row of rooms, an access point in each of the first six.
fn model(is_calibrated: bool) -> Model {
    let room = |number: usize| id("room", number);
    let place = |number: usize| Place {
        adjoins: if number + 1 < ROOMS { vec![room(number + 1)] } else { Vec::new() },
        ..Place::unknown(room(number))
    };
    let places: Vec<Place> = (0..ROOMS).map(place).collect();
    let receivers: Vec<Receiver> =
        (0..APS).map(|number| Receiver { id: id("ap", number), room: number }).collect();
    let samples = (0..ROOMS).flat_map(|number| (0..SAMPLES_A_ROOM).map(move |which| sample(number, which)));
    let samples: Vec<Sample> = if is_calibrated { samples.collect() } else { Vec::new() };
    Model::new(&places, &receivers, &samples)
}

fn id(kind: &str, number: usize) -> Id {
    format!("{kind}-{number}").parse().unwrap_or_else(|error| panic!("an id: {error}"))
}

/// The level of an access point in a room: some 8 dB less for each room between.
fn level_dbm(ap: usize, room: usize) -> i8 {
    let rooms_between = i8::try_from(ap.abs_diff(room)).unwrap_or(i8::MAX);
    -45 - rooms_between.saturating_mul(8).min(50)
}

fn sample(room: usize, which: u8) -> Sample {
    let reading = |ap: usize| SampleReading {
        ap: id("ap", ap),
        associated: ap == room.min(APS - 1),
        count: 30,
        mean_dbm: level_dbm(ap, room).saturating_sub_unsigned(which),
        deviation_db: 4,
    };
    Sample {
        id: 1,
        device: id("phone", 1),
        room: id("room", room),
        taken: String::new(),
        seconds: 40,
        readings: (0..APS).map(reading).collect(),
        silent: Vec::new(),
        reported: Vec::new(),
    }
}

/// Microseconds a reading, and bytes a device.
fn measure(model: &Model, kind: Kind, kept: &mut Vec<Vec<RoomEstimate>>) -> (f64, u64) {
    let before_kb = memory_kb("self", "VmRSS");
    let mut devices = vec![RoomEstimate::default(); DEVICES];
    let mut random = 7;
    let mut round = 0;
    // Everything that a device ever keeps is there after some rounds.
    (0..8).for_each(|_| {
        take_round(&mut devices, model, kind, round, &mut random);
        round += 1;
    });
    let device_bytes = memory_kb("self", "VmRSS").saturating_sub(before_kb) * 1024 / DEVICES as u64;
    let (mut readings, started) = (0, processor_time());
    while processor_time() - started < MEASURED {
        readings += take_round(&mut devices, model, kind, round, &mut random);
        round += 1;
    }
    #[expect(clippy::cast_precision_loss, reason = "a mean, for reading")]
    let reading_us = (processor_time() - started).as_secs_f64() * 1e6 / readings as f64;
    assert!(devices.iter().all(|device| device.room().is_some()), "each device is somewhere");
    kept.push(devices);
    ((reading_us * 100.0).round() / 100.0, device_bytes)
}

/// Time that this process had a processor: others that want it too make no difference.
fn processor_time() -> Duration {
    let path = "/proc/self/schedstat";
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let ns = text.split_whitespace().next().and_then(|ns| ns.parse().ok());
    Duration::from_nanos(ns.unwrap_or_else(|| panic!("{path} is not as expected: {text}")))
}

/// A round of every device; how many readings it was.
fn take_round(devices: &mut [RoomEstimate], model: &Model, kind: Kind, round: u64, random: &mut u32) -> u64 {
    let mut readings = 0;
    for (number, device) in devices.iter_mut().enumerate() {
        let stays = usize::try_from(round / ROAMS).unwrap_or(0);
        let room = (number + stays) % ROOMS;
        let on = room.min(APS - 1);
        let mut now_ms = round * ROUND_MS;
        for ap in 0..APS {
            if kind == Kind::Associated && ap != on {
                continue;
            }
            let dbm = level_dbm(ap, room).saturating_sub_unsigned((roll(random) % NOISE_DB) as u8);
            device.read(ApIndex::at(ap), dbm, moment(now_ms));
            readings += 1;
            if kind == Kind::Apart {
                now_ms += 500;
                device.evaluate(Some(ApIndex::at(on)), model, moment(now_ms));
            }
        }
        device.evaluate(Some(ApIndex::at(on)), model, moment(now_ms + OBSERVATION_MS));
    }
    readings
}

fn moment(ms: u64) -> Moment {
    Moment::from_ms(i64::try_from(ms).unwrap_or(i64::MAX))
}

fn roll(random: &mut u32) -> u32 {
    *random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    *random >> 8
}

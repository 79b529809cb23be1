//! How long `whichroom replay` takes for a day of a home with six access points and twenty phones. The day is simulated
//! and written here, by the words of the format and not by the product's own writer; the replay is the real program.

#![expect(clippy::print_stdout, reason = "figures are for reading")]

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use whichroom_simulator::{Plan, World};
use whichroom_tests::directory::Directory;
use whichroom_tests::figures::Times;
use whichroom_tests::process::product;

const PHONES: u8 = 20;
const DAY_MS: u64 = 24 * 3_600_000;
const STEP_MS: u64 = 1_000;
const RUNS: usize = 5;

/// What the day came to.
struct Day {
    messages: u64,
    bytes: u64,
    bytes_compressed: u64,
}

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<(), String> {
    let directory = Directory::new();
    let file = directory.join("day.jsonl.gz");
    let day = record(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let (mut times, mut decisions) = (Times::default(), None);
    for _ in 0..RUNS {
        let started = Instant::now();
        let output = Command::new(product("whichroom"))
            .args(["replay", "--json"])
            .arg(&file)
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("whichroom replay: {error}"))?;
        times.push(started.elapsed());
        if !output.status.success() {
            return Err(format!("whichroom replay: {}", output.status));
        }
        if decisions.get_or_insert_with(|| output.stdout.clone()) != &output.stdout {
            return Err("two replays differ".to_owned());
        }
    }
    let decisions = decisions.unwrap_or_default().iter().filter(|byte| **byte == b'\n').count();
    let seconds = times.percentile_ms(50) / 1_000.0;
    println!("whichroom replay of a day, 6 access points, {PHONES} phones; median of {RUNS} runs");
    println!(
        "  {} messages, {:.1} MB ({:.1} MB compressed), {decisions} decisions: {seconds:.2} s",
        day.messages,
        megabytes(day.bytes),
        megabytes(day.bytes_compressed),
    );
    let figures = json!({
        "messages": day.messages,
        "compressed_mb": megabytes(day.bytes_compressed),
        "decisions": decisions,
        "replay_s": seconds,
    });
    println!("{figures}");
    Ok(())
}

fn megabytes(bytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "for reading")]
    let bytes = bytes as f64;
    (bytes / 1e5).round() / 10.0
}

/// Lets the simulated home live for a day and writes down what its access points say.
fn record(file: &Path) -> std::io::Result<Day> {
    let mut world = World::new(Plan::house().with_phones(PHONES), 1);
    let tracked: Vec<_> = world.phones().iter().flat_map(whichroom_simulator::Phone::macs).collect();
    world.handle_tracked(&tracked);
    let mut output = GzEncoder::new(BufWriter::new(File::create(file)?), Compression::default());
    let mut day = Day { messages: 0, bytes: 0, bytes_compressed: 0 };
    let header =
        json!({"schema": 1, "site": "home", "config": config(&world), "started": "2026-11-22T06:00:00Z"});
    writeln!(output, "{header}")?;
    while world.now_ms() < DAY_MS {
        for said in world.advance_to(world.now_ms() + STEP_MS) {
            let payload = String::from_utf8(said.payload(said.at_ms)).map_err(std::io::Error::other)?;
            let line = format!(
                r#"{{"t_ms":{},"topic":"{}","retained":false,"payload":{payload}}}"#,
                said.at_ms,
                said.topic()
            );
            writeln!(output, "{line}")?;
            day.messages += 1;
            day.bytes += line.len() as u64 + 1;
        }
    }
    output.finish()?.flush()?;
    day.bytes_compressed = std::fs::metadata(file)?.len();
    Ok(day)
}

/// The home as a configuration would describe it.
fn config(world: &World) -> Value {
    let rooms = world.rooms().iter().map(|room| {
        json!({"id": room.id, "name": room.name, "adjoins": room.adjoins, "outdoor": room.outdoor, "floor": room.floor})
    });
    let access_points = world
        .access_points()
        .iter()
        .map(|ap| json!({"id": ap.id, "name": ap.name, "room": ap.room, "exit": ap.exit}));
    let people = world.people().iter().enumerate().map(|(index, person)| {
        let phones = world.phones().iter().filter(|phone| phone.person == index);
        let devices: Vec<Value> =
            phones.map(|phone| json!({"id": phone.id, "name": phone.name, "macs": phone.macs()})).collect();
        json!({"id": person.id, "name": person.name, "devices": devices})
    });
    json!({
        "rooms": rooms.collect::<Vec<_>>(),
        "access_points": access_points.collect::<Vec<_>>(),
        "people": people.collect::<Vec<_>>(),
    })
}

//! Recordings of a simulated home, for benchmarks: written by the words of the format and not by the product's own writer.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use whichroom_simulator::World;

const DAY_MS: u64 = 24 * 3_600_000;
const STEP_MS: u64 = 1_000;

/// What a recording came to.
#[derive(Debug, Clone, Copy)]
pub struct Recorded {
    /// Messages in it.
    pub messages: u64,
    /// Of its text.
    pub bytes: u64,
    /// Of the file.
    pub bytes_compressed: u64,
}

/// Lets a simulated home live for so many days from `started` on (RFC 3339), and writes down what its access points say.
pub fn record(file: &Path, mut world: World, days: u64, started: &str) -> std::io::Result<Recorded> {
    let tracked: Vec<_> = world.phones().iter().flat_map(whichroom_simulator::Phone::macs).collect();
    world.handle_tracked(&tracked);
    let mut output = GzEncoder::new(BufWriter::new(File::create(file)?), Compression::default());
    let mut recorded = Recorded { messages: 0, bytes: 0, bytes_compressed: 0 };
    let header = json!({"schema": 1, "site": "home", "config": config(&world), "started": started});
    writeln!(output, "{header}")?;
    while world.now_ms() < days * DAY_MS {
        for said in world.advance_to(world.now_ms() + STEP_MS) {
            let payload = String::from_utf8(said.payload(said.at_ms)).map_err(std::io::Error::other)?;
            let line = format!(
                r#"{{"t_ms":{},"topic":"{}","retained":false,"payload":{payload}}}"#,
                said.at_ms,
                said.topic()
            );
            writeln!(output, "{line}")?;
            recorded.messages += 1;
            recorded.bytes += line.len() as u64 + 1;
        }
    }
    output.finish()?.flush()?;
    recorded.bytes_compressed = std::fs::metadata(file)?.len();
    Ok(recorded)
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

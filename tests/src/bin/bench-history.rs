//! What a week of history costs: to import it from recordings, to report on it, to draw it, and on disk. Six access points
//! and forty phones are simulated; the rest is the real program.

#![expect(clippy::print_stdout, reason = "figures are for reading")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use whichroom_simulator::{Plan, World};
use whichroom_tests::directory::Directory;
use whichroom_tests::figures::{Times, megabytes};
use whichroom_tests::http;
use whichroom_tests::process::{Process, product};
use whichroom_tests::recorded::{Recorded, record};

const PHONES: u8 = 40;
const DAYS: u64 = 7;
const DAY_MS: u64 = 24 * 3_600_000;
/// The week began so long ago: signals that are older than two weeks would not be kept.
const AGO: Duration = Duration::from_millis(8 * DAY_MS);
const RUNS: usize = 5;

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
    let (recording, history) = (directory.join("week.jsonl.gz"), directory.join("history.sqlite3"));
    let began = jiff::Timestamp::try_from(SystemTime::now() - AGO).map_err(|error| error.to_string())?;
    let home = World::new(Plan::house().with_restless_phone().with_phones(PHONES), 1);
    let config = configuration(&home);
    let Recorded { messages, .. } = record(&recording, home, DAYS, &began.to_string())
        .map_err(|error| format!("{}: {error}", recording.display()))?;
    directory.write("whichroom.toml", &config);
    let import = timed(&["history", "import", "--history"], &[&history, &recording])?;
    let history_mb = megabytes(std::fs::metadata(&history).map_err(|error| error.to_string())?.len());
    let mut reports = Times::default();
    for _ in 0..RUNS {
        reports.push(report(&directory, &history)?);
    }
    let (day, week) = timelines(&directory, &config, began.as_millisecond().unsigned_abs() + DAYS * DAY_MS)?;
    let [report_s, day_ms, week_ms] =
        [reports.percentile_ms(50) / 1_000.0, day.percentile_ms(50), week.percentile_ms(50)];
    println!("A week of 6 access points and {PHONES} phones, {messages} messages; median of {RUNS} runs");
    println!("  import            {:>8.1} s    (limit 20)", import.as_secs_f64());
    println!("  report over it    {report_s:>8.2} s    (limit 1)");
    println!("  timeline of 24 h  {day_ms:>8.0} ms   (limit 100)");
    println!("  timeline of 7 d   {week_ms:>8.0} ms   (limit 100)");
    println!("  on disk           {history_mb:>8.1} MB");
    let figures = json!({
        "messages": messages,
        "import_s": import.as_secs_f64(),
        "report_s": report_s,
        "timeline_day_ms": day_ms,
        "timeline_week_ms": week_ms,
        "history_mb": history_mb,
    });
    println!("{figures}");
    Ok(())
}

fn timed(words: &[&str], files: &[&Path]) -> Result<Duration, String> {
    let started = Instant::now();
    let output = Command::new(product("whichroom"))
        .args(words)
        .args(files)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| format!("whichroom {words:?}: {error}"))?;
    let took = started.elapsed();
    if output.status.success() {
        return Ok(took);
    }
    Err(format!("whichroom {words:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr)))
}

fn report(directory: &Directory, history: &Path) -> Result<Duration, String> {
    let config = directory.join("whichroom.toml");
    let started = Instant::now();
    let output = Command::new(product("whichroom"))
        .args(["report", "--json", "--since", "8d", "--config"])
        .arg(&config)
        .arg("--history")
        .arg(history)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("whichroom report: {error}"))?;
    let took = started.elapsed();
    let json: Value = serde_json::from_slice(&output.stdout).map_err(|error| format!("report: {error}"))?;
    let clients = json["clients"].as_array().map_or(0, Vec::len);
    if clients < usize::from(PHONES) { Err(format!("{clients} clients in the report")) } else { Ok(took) }
}

/// The server reads the history for the page: a day and a week.
fn timelines(directory: &Directory, config: &str, end_ms: u64) -> Result<(Times, Times), String> {
    let log = directory.join("server.log");
    directory.write("server.toml", &format!("[web]\nlisten = \"127.0.0.1:0\"\n{config}"));
    let arguments: Vec<PathBuf> = vec![
        "run".into(),
        "--config".into(),
        directory.join("server.toml"),
        "--state".into(),
        directory.join(""),
    ];
    let mut server = Process::start(&product("whichroom"), &arguments, &log);
    let address = http::address_in(&server.wait_log("page http://"));
    let ask = |days: u64| -> Result<Times, String> {
        let from_ms = end_ms - days * DAY_MS;
        let mut times = Times::default();
        for _ in 0..RUNS {
            let started = Instant::now();
            let (head, body) = http::ask(&address, &format!("GET /api/timeline?from={from_ms}&to={end_ms}"));
            times.push(started.elapsed());
            let json: Value = serde_json::from_slice(&body).map_err(|error| format!("{head}: {error}"))?;
            let rows = json["rows"].as_array().map_or(0, Vec::len);
            if rows < usize::from(PHONES) {
                return Err(format!("{rows} rows in the timeline: {head}"));
            }
        }
        Ok(times)
    };
    Ok((ask(1)?, ask(DAYS)?))
}

/// The home as a configuration file.
fn configuration(world: &World) -> String {
    let mut text = String::new();
    for room in world.rooms() {
        text.push_str(&format!("[[room]]\nid = \"{}\"\nname = \"{}\"\n", room.id, room.name));
    }
    for ap in world.access_points() {
        text.push_str(&format!("[[ap]]\nid = \"{}\"\nroom = \"{}\"\n", ap.id, ap.room));
    }
    for (index, person) in world.people().iter().enumerate() {
        text.push_str(&format!(
            "[[person]]\nid = \"{}\"\nname = \"{}\"\ndevices = [\n",
            person.id, person.name
        ));
        for phone in world.phones().iter().filter(|phone| phone.person == index) {
            let macs: Vec<String> = phone.macs().iter().map(|mac| format!("\"{mac}\"")).collect();
            text.push_str(&format!(
                "  {{ id = \"{}\", name = \"{}\", macs = [{}] }},\n",
                phone.id,
                phone.name,
                macs.join(", ")
            ));
        }
        text.push_str("]\n");
    }
    text
}

//! What a week of history costs: to import it from recordings, to report on it, to draw it, and on disk once the server has
//! taken out what is older than the default keeps. Six access points and forty phones are simulated; the rest is the real
//! program. A number on the command line is another length in days: with 90 the file is as large as it gets, and report
//! and timeline are of its last week.

#![expect(clippy::print_stdout, reason = "figures are for reading")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use whichroom_simulator::{Plan, World};
use whichroom_tests::directory::Directory;
use whichroom_tests::figures::{Times, megabytes};
use whichroom_tests::http;
use whichroom_tests::mosquitto::free_port;
use whichroom_tests::process::{Process, product, wait};
use whichroom_tests::recorded::{Recorded, record};

const PHONES: u8 = 40;
const WEEK: u64 = 7;
const DAY_MS: u64 = 24 * 3_600_000;
/// It ended so long ago: what the report counts from is not to the second.
const ENDED_MS: u64 = 3_600_000;
const RUNS: usize = 5;
/// How wide the page asks for its timeline on a screen.
const COLUMNS: u32 = 1_500;

fn main() -> ExitCode {
    let days = std::env::args().nth(1).map_or(Ok(WEEK), |text| text.parse::<u64>());
    let Ok(days) = days else {
        eprintln!("how many days? a number from {WEEK} on");
        return ExitCode::from(2);
    };
    match measure(days.max(WEEK)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(days: u64) -> Result<(), String> {
    let directory = Directory::new();
    let (recording, history) = (directory.join("home.jsonl.gz"), directory.join("history.sqlite3"));
    let ago = Duration::from_millis(days * DAY_MS + ENDED_MS);
    let began = jiff::Timestamp::try_from(SystemTime::now() - ago).map_err(|error| error.to_string())?;
    let home = World::new(Plan::house().with_restless_phone().with_phones(PHONES), 1);
    let config = configuration(&home);
    let Recorded { messages, .. } = record(&recording, home, days, &began.to_string())
        .map_err(|error| format!("{}: {error}", recording.display()))?;
    directory.write("whichroom.toml", &config);
    let import = timed(&["history", "import", "--history"], &[&history, &recording])?;
    let imported_mb = megabytes(bytes_of(&history)?);
    let mut reports = Times::default();
    for _ in 0..RUNS {
        reports.push(report(&directory, &history)?);
    }
    let end_ms = began.as_millisecond().unsigned_abs() + days * DAY_MS;
    let Served { day, week, week_bytes } = serve(&directory, &config, &history, end_ms)?;
    let (kept_mb, week_mb) = (megabytes(bytes_of(&history)?), megabytes(week_bytes as u64));
    let [report_s, day_ms, week_ms] =
        [reports.percentile_ms(50) / 1_000.0, day.percentile_ms(50), week.percentile_ms(50)];
    println!(
        "{days} days of 6 access points and {PHONES} phones, {messages} messages; median of {RUNS} runs"
    );
    println!("  import            {:>8.1} s    (limit 20 for a week)", import.as_secs_f64());
    println!("  report of 7 d     {report_s:>8.2} s    (limit 1)");
    println!("  timeline of 24 h  {day_ms:>8.0} ms   (limit 100)");
    println!("  timeline of 7 d   {week_ms:>8.0} ms   (limit 100), {week_mb:.2} MB of JSON");
    println!(
        "  on disk           {kept_mb:>8.1} MB   (limit 30 for 90 days), {imported_mb:.1} MB as imported"
    );
    let figures = json!({
        "days": days,
        "messages": messages,
        "import_s": import.as_secs_f64(),
        "report_s": report_s,
        "timeline_day_ms": day_ms,
        "timeline_week_ms": week_ms,
        "timeline_week_mb": week_mb,
        "imported_mb": imported_mb,
        "history_mb": kept_mb,
    });
    println!("{figures}");
    Ok(())
}

fn bytes_of(file: &Path) -> Result<u64, String> {
    let metadata = std::fs::metadata(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(metadata.len())
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
        .args(["report", "--json", "--since", "170h", "--config"])
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

/// What the server did with the history.
struct Served {
    day: Times,
    week: Times,
    /// Of a week's timeline.
    week_bytes: usize,
}

/// The server reads the history for the page, a day and a week, and takes out what is too old.
fn serve(directory: &Directory, config: &str, history: &Path, end_ms: u64) -> Result<Served, String> {
    let log = directory.join("server.log");
    let mqtt = format!("[mqtt]\nlisten = \"127.0.0.1:{}\"\n", free_port());
    directory.write("server.toml", &format!("{mqtt}[web]\nlisten = \"127.0.0.1:0\"\n{config}"));
    let arguments: Vec<PathBuf> = vec![
        "run".into(),
        "--config".into(),
        directory.join("server.toml"),
        "--state".into(),
        directory.join(""),
    ];
    let mut server = Process::start(&product("whichroom"), &arguments, &log);
    let address = http::address_in(&server.wait_log("page http://"));
    wait("the server to have taken out what is too old", || is_tidy(history).then_some(()));
    let ask = |days: u64| -> Result<(Times, usize), String> {
        let from_ms = end_ms - days * DAY_MS;
        let (mut times, mut bytes) = (Times::default(), 0);
        for _ in 0..RUNS {
            let started = Instant::now();
            let path = format!("GET /api/timeline?from={from_ms}&to={end_ms}&columns={COLUMNS}");
            let (head, body) = http::ask(&address, &path);
            times.push(started.elapsed());
            bytes = body.len();
            let json: Value = serde_json::from_slice(&body).map_err(|error| format!("{head}: {error}"))?;
            let rows = json["rows"].as_array().map_or(0, Vec::len);
            if rows < usize::from(PHONES) {
                return Err(format!("{rows} rows in the timeline: {head}"));
            }
        }
        Ok((times, bytes))
    };
    let ((day, _), (week, week_bytes)) = (ask(1)?, ask(WEEK)?);
    // It ends what it began, and the write-ahead log goes into the file.
    let stopped = server.terminate();
    if stopped.success() { Ok(Served { day, week, week_bytes }) } else { Err(server.log()) }
}

/// Whether no signals are left of the day that is older than the default keeps. Of a shorter history nothing is.
fn is_tidy(history: &Path) -> bool {
    let words =
        ["history", "export", "--table", "signals", "--format", "jsonl", "--since", "16d", "--until", "15d"];
    let export = Command::new(product("whichroom")).args(words).arg("--history").arg(history).output();
    export.is_ok_and(|export| export.status.success() && export.stdout.is_empty())
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

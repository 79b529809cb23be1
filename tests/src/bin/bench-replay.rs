//! How long `whichroom replay` takes for a day of a home with six access points and twenty phones. The day is simulated;
//! the replay is the real program.

#![expect(clippy::print_stdout, reason = "figures are for reading")]

use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use serde_json::json;
use whichroom_simulator::{Plan, World};
use whichroom_tests::directory::Directory;
use whichroom_tests::figures::{Times, megabytes};
use whichroom_tests::process::product;
use whichroom_tests::recorded::{Recorded, record};

const PHONES: u8 = 20;
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
    let file = directory.join("day.jsonl.gz");
    let home = World::new(Plan::house().with_phones(PHONES), 1);
    let day: Recorded = record(&file, home, 1, "2026-11-22T06:00:00Z")
        .map_err(|error| format!("{}: {error}", file.display()))?;
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

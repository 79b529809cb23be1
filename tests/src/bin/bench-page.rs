//! How soon the page is there, in headless Chromium on loopback: the first draw of the House page, and a week of sixty
//! clients on the Timeline. The week is simulated and imported by the real program, which then serves it.

#![expect(clippy::print_stdout, reason = "figures are for reading")]

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde_json::json;
use whichroom_simulator::{Plan, World};
use whichroom_tests::chromium::{Browser, Look};
use whichroom_tests::directory::Directory;
use whichroom_tests::figures::Times;
use whichroom_tests::http::{address_in, ask};
use whichroom_tests::mosquitto::free_port;
use whichroom_tests::process::{Process, product, run};
use whichroom_tests::recorded::record;

const CLIENTS: u8 = 60;
const DAYS: u64 = 7;
const RUNS: usize = 7;

/// Draws what is loaded once more, and waits until its pixels are there.
const DRAW: &str = "(() => { const canvas = document.querySelector('#canvas'); const begun = performance.now();
    document.querySelector('#plot').dispatchEvent(new KeyboardEvent('keydown', { key: 'Home', cancelable: true }));
    canvas.getContext('2d').getImageData(0, 0, 1, 1);
    return performance.now() - begun; })()";

/// From a click on a stretch of time until it is drawn, loading and all.
const SHOW: &str = "(async () => { const count = () => performance.getEntriesByName('timeline').length;
    const [before, begun] = [count(), performance.now()];
    document.querySelector('#spans button[value=\"604800000\"]').click();
    while (count() === before) await new Promise((next) => setTimeout(next, 1));
    return performance.now() - begun; })()";

fn main() {
    let directory = Directory::new();
    let recording = directory.join("week.jsonl.gz");
    let started = SystemTime::now() - Duration::from_secs(DAYS * 24 * 3600);
    let started = jiff::Timestamp::try_from(started).unwrap_or_default().to_string();
    let home = World::new(Plan::house().with_phones(CLIENTS), 1);
    let recorded = record(&recording, home, DAYS, &started)
        .unwrap_or_else(|error| panic!("{}: {error}", recording.display()));
    let state = directory.join("state");
    std::fs::create_dir_all(&state).unwrap_or_else(|error| panic!("{}: {error}", state.display()));
    let history = state.join("history.sqlite3");
    let arguments: [PathBuf; 5] = ["history".into(), "import".into(), recording, "--history".into(), history];
    let imported = run(&product("whichroom"), &arguments);
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));

    let configuration =
        format!("[mqtt]\nlisten = \"127.0.0.1:{}\"\n[web]\nlisten = \"127.0.0.1:0\"\n", free_port());
    let file = directory.write("whichroom.toml", &configuration);
    let arguments = ["run".into(), "--config".into(), file, "--state".into(), state];
    let mut aggregator = Process::start(&product("whichroom"), &arguments, &directory.join("aggregator.log"));
    let address = address_in(&aggregator.wait_log("page http://"));

    let mut browser = Browser::start();
    let mut first = Times::default();
    for _ in 0..RUNS {
        let mut tab = browser.open(&format!("http://{address}/"), Look::WIDE);
        let painted = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0";
        tab.wait(&format!("({painted}) > 0"));
        first.push(milliseconds(tab.evaluate(painted).as_f64()));
    }

    let mut tab = browser.open(&format!("http://{address}/roaming#timeline"), Look::WIDE);
    tab.wait("performance.getEntriesByName('timeline').length > 0");
    let (mut shown, mut drawn) = (Times::default(), Times::default());
    for _ in 0..RUNS {
        shown.push(milliseconds(tab.evaluate(SHOW).as_f64()));
        drawn.push(milliseconds(tab.evaluate(DRAW).as_f64()));
    }
    let clients = tab.evaluate("document.querySelectorAll('#clients li').length");
    tab.save_picture("bench-timeline");
    let (_, week) =
        ask(&address, &format!("GET /api/timeline?from={}&to={}&columns=1500", ago_ms(DAYS), ago_ms(0)));
    let bars = week.windows(7).filter(|bytes| *bytes == b"\"roamed").count();

    let figures = json!({
        "first_draw_ms": first.percentile_ms(50),
        "first_draw_max_ms": first.percentile_ms(100),
        "timeline_draw_ms": drawn.percentile_ms(50),
        "timeline_draw_max_ms": drawn.percentile_ms(100),
        "timeline_shown_ms": shown.percentile_ms(50),
        "clients": clients,
        "timeline_kb": week.len() / 1_000,
    });
    println!("the page in headless Chromium on loopback; medians (and the longest) of {RUNS}");
    println!(
        "  first draw of the House page:  {:6.0} ms ({:.0})",
        first.percentile_ms(50),
        first.percentile_ms(100)
    );
    println!("  Timeline, {clients} clients x {DAYS} days ({} messages, {bars} roams)", recorded.messages);
    println!(
        "    drawn:                       {:6.0} ms ({:.0})",
        drawn.percentile_ms(50),
        drawn.percentile_ms(100)
    );
    println!(
        "    asked for, loaded and drawn: {:6.0} ms ({:.0})",
        shown.percentile_ms(50),
        shown.percentile_ms(100)
    );
    println!("{figures}");
}

fn milliseconds(ms: Option<f64>) -> Duration {
    Duration::from_secs_f64(ms.unwrap_or(f64::MAX.sqrt()).min(1e9) / 1_000.0)
}

fn ago_ms(days: u64) -> u128 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_millis() - u128::from(days) * 24 * 3_600_000
}

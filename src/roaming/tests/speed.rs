//! Six access points and forty devices: what a report and a timeline of a week cost, and the messages of a day.
//! `cargo test --release -p whichroom-roaming --test speed -- --nocapture`

#![expect(clippy::unwrap_used, reason = "a test that is surprised fails, and says where")]

mod common;

use std::time::{Duration, Instant};

use common::*;
use whichroom_roaming::{Analysis, Hearing, Note, Parameters, Range, Tracker};
use whichroom_wire::{Change, Station};

const DEVICES: u8 = 40;
const MINUTES: i64 = 7 * 24 * 60;

/// Every device has a signal in every minute, most are overheard often, and a few bounce.
fn week() -> History {
    let mut history = History::default();
    for device in 1..=DEVICES {
        let mac = phone(device);
        let home = 1 + device % 6;
        let other = 1 + (device + 1) % 6;
        let every = if device % 10 == 0 { 5 * MINUTE } else { 3 * HOUR };
        let count = MINUTES * MINUTE / every;
        history.spans.extend(bounce(mac, 0, every, count, &[home, other]));
        for minute in 0..MINUTES {
            let dbm = i8::try_from(-45 - (i64::from(device) * 7 + minute * 13) % 40).unwrap();
            let on = if (minute * MINUTE / every) % 2 == 0 { home } else { other };
            history.signals.push(signal(mac, on, minute, Hearing::Associated, dbm));
            if minute % 3 == 0 {
                history.signals.push(signal(mac, home, minute, Hearing::Overheard, dbm));
                history.signals.push(signal(mac, other, minute, Hearing::Overheard, dbm - 5));
            }
        }
    }
    for number in 1..=6 {
        history.radios.push(radio(number, 2_412, 20));
        history.radios.push(radio(number, 5_180, 80));
    }
    history.notes.push(Note { at: at(3 * DAY + 12 * HOUR), text: "power lowered".to_owned() });
    history
}

/// A day of what six access points say of forty devices: a table every 30 s, a signal of each device every 20 s.
#[test]
fn a_day_of_messages() {
    let mut tracker = Tracker::new(None, at(0));
    let (mut messages, mut rows) = (0, 0);
    let begin = Instant::now();
    for second in 0..24 * 3_600_i64 {
        let now = second * SECOND;
        if second % 30 == 0 {
            for number in 1..=6 {
                let station = |device: u8| Station {
                    signal_dbm: Some(-60),
                    rx_packets: Some(second.unsigned_abs()),
                    ..Station::new(phone(device), bss(number), true)
                };
                let stations: Vec<Station> =
                    (1..=DEVICES).filter(|device| 1 + device % 6 == number).map(station).collect();
                tracker.handle_table(&ap(number), &stations, at(now));
                messages += 1;
            }
        }
        for device in (1..=DEVICES).filter(|device| second % 20 == i64::from(*device) % 20) {
            let signal = Change::Signal {
                signal_dbm: Some(-60),
                inactive_ms: Some(10),
                rx_packets: Some(second.unsigned_abs()),
                rx_bytes: None,
            };
            let number = 1 + device % 6;
            tracker.handle_event(&ap(number), phone(device), bss(number), &signal, at(now));
            messages += 1;
        }
        if tracker.poll_timeout().is_some_and(|(due, _)| due <= at(now)) {
            tracker.handle_timeout(at(now));
        }
        rows += std::iter::from_fn(|| tracker.poll_row()).count();
    }
    println!("{messages} messages to {rows} rows in {:?}", begin.elapsed());
    assert_eq!(tracker.open_spans().count(), usize::from(DEVICES));
    assert!(rows > 50_000, "{rows}");
}

#[test]
fn a_report_over_a_week() {
    let history = week();
    let parameters = Parameters::default();
    let range = Range::new(at(0), at(7 * DAY));
    let begin = Instant::now();
    let analysis = Analysis::new(history.rows(), &history.site, range, &parameters);
    let ordered = begin.elapsed();
    let report = analysis.report();
    let reported = begin.elapsed();
    let timeline = analysis.timeline(500, 0);
    let drawn = begin.elapsed();
    println!(
        "{} spans, {} minutes of signal: in order {ordered:?}, report {:?}, timeline {:?}",
        history.spans.len(),
        history.signals.len(),
        reported - ordered,
        drawn - reported,
    );
    assert_eq!(report.clients.len(), usize::from(DEVICES));
    assert_eq!(timeline.rows.len(), usize::from(DEVICES));
    // Against hangs: what it takes is printed, and a second is what the optimised build has for it.
    assert!(reported <= Duration::from_secs(120), "{reported:?}");
}

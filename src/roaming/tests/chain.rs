//! The whole way: what access points say of a sick phone, as rows, as a report in words.

mod common;

use common::*;
use whichroom_roaming::{
    Analysis, EpisodeKind, NamedDevice, Parameters, Range, Row, Site, Span, Time, Tracker, notes_of_radios,
};
use whichroom_wire::{Change, Radio, Station};

/// Bounces of the sick phone, every 40 s.
const BOUNCES: i64 = 90;

/// Tells a tracker of three access points for three hours: one phone is well, one bounces for an hour, and drivers go on
/// listing it where it was.
fn told() -> (History, Vec<Span>) {
    let mut tracker = Tracker::new(None, at(0));
    let named = |name: &str, mac| NamedDevice { name: name.to_owned(), macs: vec![mac] };
    let names = [(ap(1), "Kitchen"), (ap(2), "Hall"), (ap(3), "Attic")];
    let site = Site {
        aps: names.map(|(id, name)| (id, name.to_owned())).into(),
        devices: vec![named("Ann's phone", phone(1)), named("Ben's phone", phone(2))],
        ..Site::default()
    };
    tracker.set_devices(&site);
    for number in 1..=3 {
        let radio = Radio {
            ifname: "phy0-ap0".to_owned(),
            bssid: Some(bss(number)),
            ssid: Some("Home".to_owned()),
            status: Some("ENABLED".to_owned()),
            freq_mhz: Some([2_412, 2_437, 2_462][usize::from(number) - 1]),
            channel: Some([1, 6, 11][usize::from(number) - 1]),
            width_mhz: Some(20),
            txpower_dbm: Some(20),
            noise_dbm: Some(-95),
            utilization_permille: Some(100),
            ft: Some(number != 3),
            rrm: Some(true),
            btm: Some(true),
        };
        tracker.handle_radios(&ap(number), &[radio], at(0));
        tracker.handle_table(&ap(number), &[], at(0));
    }
    let authorized = |auth_alg: &str| Change::Authorized { auth_alg: Some(auth_alg.to_owned()) };
    tracker.handle_event(&ap(3), phone(1), bss(3), &authorized("sae"), at(1_000));
    // Which access point has it, and how many frames each has received from it.
    let (mut on, mut frames) = (1_u8, [0_u64; 3]);
    let mut history = History { site, ..History::default() };
    for second in 1..3 * 3_600_i64 {
        let now = second * SECOND;
        let (since, bouncing) = (second - 3_600, (0..40 * BOUNCES).contains(&(second - 3_600)));
        if second == 2 || (bouncing && since % 40 == 0) {
            on = if second == 2 { 1 } else { 3 - on };
            let how = if on == 2 { "ft" } else { "sae" };
            tracker.handle_event(&ap(on), phone(2), bss(on), &authorized(how), at(now));
        }
        frames[usize::from(on) - 1] += 3;
        for number in (1..=3_u8).filter(|number| (second + i64::from(*number) * 7) % 30 == 0) {
            let ann = |mac, packets, dbm: i8| Station {
                signal_dbm: Some(dbm),
                inactive_ms: Some(100),
                rx_packets: Some(packets),
                ..Station::new(mac, bss(number), true)
            };
            let table = match number {
                3 => vec![ann(phone(1), second.unsigned_abs(), -50)],
                // Both list it: only one of them hears it.
                _ if since >= 0 || number == on => vec![ann(phone(2), frames[usize::from(number) - 1], -72)],
                _ => Vec::new(),
            };
            tracker.handle_table(&ap(number), &table, at(now));
        }
        if second % 60 == 30 {
            for number in 1..=2 {
                let probe = Change::Probe { signal_dbm: Some(-73) };
                tracker.handle_event(&ap(number), phone(2), bss(number), &probe, at(now));
            }
        }
        tracker.handle_timeout(at(now));
        while let Some(row) = tracker.poll_row() {
            match row {
                Row::Span(span) => history.spans.push(span),
                Row::Signal(signal) => history.signals.push(signal),
                Row::Radio(radio) => history.radios.push(radio),
            }
        }
    }
    let open = tracker.open_spans().cloned().collect();
    (history, open)
}

/// The time of day of a clock that began at midnight.
fn clock(time: Time) -> String {
    let minutes = time.as_ms() / MINUTE;
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

#[test]
fn a_sick_phone_is_found_from_what_access_points_say() {
    let (mut history, open) = told();
    history.spans.extend(open);
    let parameters = Parameters::default();
    let range = Range::new(at(0), at(3 * HOUR));
    assert_eq!(notes_of_radios(&history.radios), []);
    let analysis = Analysis::new(history.rows(), &history.site, range, &parameters);
    let report = analysis.report();
    let [episode] = &report.episodes[..] else { panic!("{:#?}", report.episodes) };
    assert_eq!((episode.kind, episode.device.name.as_str()), (EpisodeKind::Thrashing, "Ben's phone"));
    // Stale entries neither hide a bounce nor add one.
    assert_eq!(i64::from(episode.changes), BOUNCES);
    assert_eq!((episode.fast.fast, episode.fast.full, episode.fast.unknown), (45, 45, 0));
    let ann = report.clients.iter().find(|client| client.device.name == "Ann's phone").unwrap();
    assert_eq!((ann.associations, ann.roams, ann.drops), (1, 0, 0));
    insta::assert_snapshot!(report.text(&clock));
}

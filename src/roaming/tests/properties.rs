//! What holds for any history, and for whatever access points say.

#![expect(clippy::unwrap_used, reason = "a test that is surprised fails, and says where")]

mod common;

use std::collections::BTreeMap;

use common::*;
use proptest::prelude::*;
use whichroom_roaming::{
    Analysis, Bar, Began, Ended, Hearing, NamedDevice, Parameters, Range, Row, Site, Snapshot, Span, Tracker,
};
use whichroom_wire::{Change, Id, Radio, Station};

/// Anything an access point may say, in an order and at times that make no sense.
#[derive(Debug, Clone)]
enum Said {
    Event { ap: u8, mac: u8, change: Change },
    Table { ap: u8, stations: Vec<(u8, u64, Option<u64>)> },
    Radios { ap: u8, enabled: bool },
    Restart { ap: u8 },
    Timeout,
    OurRestart,
}

fn change() -> impl Strategy<Value = Change> {
    let dbm = prop::option::of(-90i8..-30);
    prop_oneof![
        4 => prop::sample::select(vec![None, Some("ft".to_owned()), Some("sae".to_owned())])
            .prop_map(|auth_alg| Change::Authorized { auth_alg }),
        2 => (dbm.clone(), 0u64..50).prop_map(|(signal_dbm, rx)| Change::Signal {
            signal_dbm,
            inactive_ms: None,
            rx_packets: Some(rx),
            rx_bytes: None,
        }),
        1 => Just(Change::Disassoc),
        1 => Just(Change::Deauth),
        1 => Just(Change::LocalDeauth),
        1 => Just(Change::InactiveDeauth),
        1 => Just(Change::Left),
        1 => any::<bool>().prop_map(|authorized| Change::Joined { authorized, signal_dbm: None }),
        1 => dbm.clone().prop_map(|signal_dbm| Change::Probe { signal_dbm }),
        1 => (1u8..4, dbm).prop_map(|(heard, rcpi_dbm)| Change::BeaconReport { heard: bss(heard), rcpi_dbm }),
    ]
}

fn said() -> impl Strategy<Value = Said> {
    let listed = prop::collection::vec((1u8..5, 0u64..50, prop::option::of(0u64..2_000)), 0..4);
    prop_oneof![
        10 => (1u8..4, 1u8..5, change()).prop_map(|(ap, mac, change)| Said::Event { ap, mac, change }),
        4 => (1u8..4, listed).prop_map(|(ap, stations)| Said::Table { ap, stations }),
        1 => (1u8..4, any::<bool>()).prop_map(|(ap, enabled)| Said::Radios { ap, enabled }),
        1 => (1u8..4).prop_map(|ap| Said::Restart { ap }),
        2 => Just(Said::Timeout),
        1 => Just(Said::OurRestart),
    ]
}

fn site() -> Site {
    let phone_of_two = NamedDevice { name: "phone".to_owned(), macs: vec![phone(1), phone(2)] };
    Site { devices: vec![phone_of_two], ..Site::default() }
}

fn tell(tracker: &mut Tracker, said: &Said, ms: i64, now: i64) {
    match said {
        Said::Event { ap: number, mac, change } => {
            tracker.handle_event(&ap(*number), phone(*mac), bss(*number), change, at(ms));
        }
        Said::Table { ap: number, stations } => {
            let station = |(mac, rx, connected_s): &(u8, u64, Option<u64>)| Station {
                rx_packets: Some(*rx),
                connected_s: *connected_s,
                signal_dbm: Some(-60),
                ..Station::new(phone(*mac), bss(*number), true)
            };
            let stations: Vec<Station> = stations.iter().map(station).collect();
            tracker.handle_table(&ap(*number), &stations, at(ms));
        }
        Said::Radios { ap: number, enabled } => {
            let status = if *enabled { "ENABLED" } else { "DISABLED" };
            let radio =
                Radio { bssid: Some(bss(*number)), status: Some(status.to_owned()), ..Radio::default() };
            tracker.handle_radios(&ap(*number), &[radio], at(ms));
        }
        Said::Restart { ap: number } => tracker.handle_restart(&ap(*number), at(ms)),
        Said::Timeout => tracker.handle_timeout(at(now)),
        Said::OurRestart => {
            let text = serde_json::to_string(&tracker.snapshot()).unwrap();
            let snapshot: Snapshot = serde_json::from_str(&text).unwrap();
            *tracker = Tracker::new(Some(snapshot), at(now));
            tracker.set_devices(&site());
        }
    }
}

/// Tells a tracker everything; gives the rows and what lasts.
fn follow(sayings: &[(Said, i64, i64)]) -> (Vec<Row>, Vec<Span>) {
    let mut tracker = Tracker::new(None, at(0));
    tracker.set_devices(&site());
    let (mut now, mut rows) = (0, Vec::new());
    for (said, wait, late) in sayings {
        now += wait;
        tell(&mut tracker, said, now - late, now);
        rows.extend(std::iter::from_fn(|| tracker.poll_row()));
    }
    tracker.handle_timeout(at(now + HOUR));
    rows.extend(std::iter::from_fn(|| tracker.poll_row()));
    (rows, tracker.open_spans().cloned().collect())
}

fn no_overlap(mut spans: Vec<Span>) -> Result<(), TestCaseError> {
    let device = |span: &Span| if span.mac == phone(2) { phone(1) } else { span.mac };
    spans.sort_by_key(|span| (device(span), span.begin, span.end));
    for pair in spans.windows(2).filter(|pair| device(&pair[0]) == device(&pair[1])) {
        prop_assert!(pair[0].end <= pair[1].begin, "{pair:#?}");
    }
    for span in &spans {
        prop_assert!(span.begin <= span.end, "{span:#?}");
    }
    Ok(())
}

/// Any history: stays of a few devices, with pauses, ends and signals of all kinds.
fn history() -> impl Strategy<Value = History> {
    let stay = (
        1u8..4,
        any::<bool>(),
        0i64..40,
        prop::sample::select(vec![0, 0, 0, 5, 60, 119, 121, 3_000]),
        0u8..6,
    );
    let stays = prop::collection::vec(prop::collection::vec(stay, 0..60), 1..4);
    let heard = (1u8..4, 1u8..4, 0i64..200, 0u8..3, -90i8..-40);
    (stays, prop::collection::vec(heard, 0..200)).prop_map(|(stays, heard)| {
        let mut history = History::default();
        for (number, stays) in (1..).zip(stays) {
            let mut now = 0;
            for (access_point, is_5ghz, minutes_of_quarters, pause_s, end) in stays {
                now += pause_s * SECOND;
                let begin = now;
                now += minutes_of_quarters * 15 * SECOND;
                let mut span = span(phone(number), access_point, begin, now);
                if is_5ghz {
                    span.bssid = bss5(access_point);
                }
                span.began = [Began::Full, Began::FastTransition, Began::Unknown][usize::from(end % 3)];
                let ends = [
                    Ended::Roamed,
                    Ended::Left,
                    Ended::SentAway,
                    Ended::PollFailed,
                    Ended::ApRestarted,
                    Ended::Reassociated,
                ];
                span.ended = Some(ends[usize::from(end)]);
                history.spans.push(span);
            }
        }
        history.signals = heard
            .into_iter()
            .map(|(mac, access_point, minute, hearing, dbm)| {
                let hearing =
                    [Hearing::Associated, Hearing::Overheard, Hearing::Reported][usize::from(hearing)];
                signal(phone(mac), access_point, minute, hearing, dbm)
            })
            .collect();
        history.radios = (1..4).map(|number| radio(number, 2_412, 20)).collect();
        history
    })
}

/// Changes of one device counted anew, without windows, indexes or sorting tricks.
fn recount(history: &History, range: Range) -> BTreeMap<whichroom_wire::Mac, [u32; 3]> {
    let mut counts: BTreeMap<_, [u32; 3]> = BTreeMap::new();
    let mut spans = history.spans.clone();
    spans.sort_by_key(|span| (span.begin, span.end));
    for span in &spans {
        counts.entry(span.mac).or_default();
    }
    for (mac, counts) in &mut counts {
        let mut before: Option<&Span> = None;
        for span in spans.iter().filter(|span| span.mac == *mac) {
            if let Some(before) = before.filter(|_| range.contains(span.begin)) {
                let gap_ms = span.begin.since(before.end);
                let by_itself = before.ended != Some(Ended::ApRestarted);
                if gap_ms > 120_000 {
                } else if before.ap != span.ap {
                    counts[0] += 1;
                } else if by_itself && before.bssid != span.bssid && gap_ms <= 10_000 {
                    counts[1] += 1;
                } else if by_itself {
                    counts[2] += 1;
                }
            }
            before = Some(span);
        }
    }
    counts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is said, late, twice, contradictory or over a restart of ours: a device is on one BSS at a time.
    #[test]
    fn spans_of_one_device_never_overlap(
        sayings in prop::collection::vec((said(), 0i64..60_000, prop_oneof![3 => Just(0), 1 => 0i64..90_000]), 0..150),
    ) {
        let (rows, open) = follow(&sayings);
        let spans = rows.iter().filter_map(|row| match row {
            Row::Span(span) => Some(span.clone()),
            Row::Signal(_) | Row::Radio(_) => None,
        });
        prop_assert!(open.iter().all(|span| span.ended.is_none()));
        no_overlap(spans.chain(open).collect())?;
        // A minute of one station at one BSS is written once.
        let mut minutes = BTreeMap::new();
        for row in &rows {
            if let Row::Signal(signal) = row {
                *minutes.entry((signal.mac, signal.bssid, signal.hearing, signal.minute)).or_insert(0) += 1;
                prop_assert!(signal.min_dbm <= signal.mean_dbm && signal.mean_dbm <= signal.max_dbm);
            }
        }
        if !sayings.iter().any(|(said, ..)| matches!(said, Said::OurRestart)) {
            prop_assert!(minutes.values().all(|count| *count == 1), "{minutes:?}");
        }
        // And it is the same the second time.
        prop_assert_eq!(follow(&sayings).0, rows);
    }

    /// What the report counts, the timeline shows, and both are what a recount finds.
    #[test]
    fn timeline_and_report_agree_on_every_count(history in history(), from in 0i64..3, hours in 1i64..30) {
        let range = Range::new(at(from * HOUR), at((from + hours) * HOUR));
        let parameters = Parameters::default();
        let analysis = Analysis::new(history.rows(), &history.site, range, &parameters);
        let (report, timeline) = (analysis.report(), analysis.timeline(100, 0));
        let recounted = recount(&history, range);
        for client in &report.clients {
            let row = timeline.rows.iter().find(|row| row.device == client.device).unwrap();
            let shown = |kind| u32::try_from(row.marks.iter().filter(|mark| mark.kind == kind).count()).unwrap();
            let counted = [client.roams, client.band_changes, client.drops];
            use whichroom_roaming::ChangeKind::{Band, Drop, Roam};
            prop_assert_eq!([shown(Roam), shown(Band), shown(Drop)], counted);
            prop_assert_eq!(recounted[&client.device.mac], counted);
            prop_assert_eq!(row.fast, client.fast);
            prop_assert_eq!(client.fast.fast + client.fast.full + client.fast.unknown, client.roams + client.band_changes);
            let connected: u64 = row.bars.iter().map(|bar| bar.end.since(bar.begin)).sum();
            prop_assert_eq!(connected, client.connected_ms);
            let episodes: Vec<_> = report.episodes.iter().filter(|episode| episode.device == client.device).collect();
            prop_assert_eq!(row.episodes.len(), episodes.len());
            // Every change is in one episode at most, and every change of an episode is shown within it.
            let in_episodes: u32 = episodes.iter().map(|episode| episode.changes).sum();
            prop_assert!(in_episodes <= counted.iter().sum());
            for episode in episodes {
                prop_assert_eq!(episode.pairs.iter().map(|pair| pair.changes).sum::<u32>(), episode.changes);
                let within = row.marks.iter().filter(|mark| episode.begin <= mark.at && mark.at <= episode.end).count();
                prop_assert!(within >= episode.changes as usize);
                prop_assert!(row.episodes.iter().any(|mark| mark.begin == episode.begin && mark.changes == episode.changes));
            }
        }
        prop_assert_eq!(
            report.fast.fast,
            timeline.rows.iter().map(|row| row.fast.fast).sum::<u32>()
        );
        // No clients are invented or lost, and the text says something of any history.
        prop_assert!(timeline.rows.len() >= report.clients.len());
        prop_assert!(report.text(&|time| time.as_ms().to_string()).contains("Roaming from"));
        serde_json::to_string(&report).unwrap();
    }

    /// What is too short to be drawn is merged, and nothing of it is lost: not how often, not where, not for how long.
    #[test]
    fn merged_associations_are_all_there(history in history(), column in 1u64..40) {
        let column_ms = column * 30_000;
        let range = Range::new(at(0), at(40 * HOUR));
        let parameters = Parameters::default();
        let analysis = Analysis::new(history.rows(), &history.site, range, &parameters);
        let (each, coarse) = (analysis.timeline(10, 0), analysis.timeline(10, column_ms));
        for (each, coarse) in each.rows.iter().zip(&coarse.rows) {
            prop_assert!(each.merged.is_empty());
            prop_assert_eq!(&each.marks, &coarse.marks);
            let count: usize = coarse.merged.iter().map(|merged| merged.count as usize).sum();
            prop_assert_eq!(coarse.bars.len() + count, each.bars.len());
            let is_brief = |bar: &Bar| bar.ended.is_some() && bar.end.since(bar.begin) < column_ms;
            let long = |bars: &[Bar]| -> Vec<Bar> { bars.iter().filter(|bar| !is_brief(bar)).cloned().collect() };
            prop_assert_eq!(long(&coarse.bars), long(&each.bars), "what is wide enough is drawn as it is");
            prop_assert!(coarse.bars.iter().all(|bar| each.bars.contains(bar)));
            let mut on: BTreeMap<&Id, u64> = BTreeMap::new();
            for bar in &coarse.bars {
                *on.entry(&bar.ap).or_default() += bar.end.since(bar.begin);
            }
            for merged in &coarse.merged {
                prop_assert!(merged.count > 1 && merged.end.since(merged.begin) <= 8 * column_ms, "{merged:?}");
                prop_assert!(each.bars.iter().any(|bar| bar.begin == merged.begin && is_brief(bar)));
                prop_assert!(each.bars.iter().any(|bar| bar.end == merged.end && is_brief(bar)));
                prop_assert!(merged.shares.is_sorted_by_key(|(_, ms)| std::cmp::Reverse(*ms)));
                for (ap, ms) in &merged.shares {
                    *on.entry(ap).or_default() += ms;
                }
            }
            for bar in &each.bars {
                *on.entry(&bar.ap).or_default() -= bar.end.since(bar.begin);
            }
            prop_assert!(on.values().all(|ms| *ms == 0), "{on:?}");
        }
    }

    /// Zooming loses nothing: the changes of two halves are those of the whole.
    #[test]
    fn changes_of_two_halves_are_those_of_the_whole(history in history(), cut in 1i64..30) {
        let (end, cut) = (at(40 * HOUR), at(cut * 30 * MINUTE + 7));
        let parameters = Parameters::default();
        let marks = |from, to| -> Vec<_> {
            let range = Range::new(from, to);
            let timeline = Analysis::new(history.rows(), &history.site, range, &parameters).timeline(10, 0);
            let rows = timeline.rows.into_iter();
            rows.flat_map(|row| row.marks.into_iter().map(move |mark| (row.device.mac, mark.at, mark.kind))).collect()
        };
        let mut halves = marks(at(0), cut);
        halves.extend(marks(cut, end));
        let mut whole = marks(at(0), end);
        halves.sort();
        whole.sort();
        prop_assert_eq!(halves, whole);
    }
}

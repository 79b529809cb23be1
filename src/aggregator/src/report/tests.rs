//! A day of the simulated home as a recording, and what the report says of it, against what the home knows.

use std::collections::BTreeMap;
use std::fs;

use whichroom_presence::Moment;
use whichroom_presence::setup::{Detail, Setup};
use whichroom_roaming::{EpisodeKind, Span, Thrashing};
use whichroom_simulator::{Incident, IncidentKind, Plan, World};
use whichroom_wire::{AgentMessage, Change, EventWhat, Id};

use super::*;
use crate::decider::Given;
use crate::history::Chronicle;
use crate::record::line::{self, Header};
use crate::replay::player::Seen;
use crate::score::house::setup;
use crate::state;

/// When, whose, and what was told of thrashing.
type Told = (Time, Id, Option<Thrashing>);

/// A recording in a directory of its own, removed at the end.
struct Recording {
    directory: PathBuf,
    /// Completed handshakes by station.
    handshakes: BTreeMap<Mac, u32>,
    phones: Vec<(String, Vec<Mac>)>,
}

impl Recording {
    fn of(hours: u64, change: impl FnOnce(&mut Setup)) -> Recording {
        Recording::with(hours, Vec::new(), change)
    }

    fn with(hours: u64, incidents: Vec<Incident>, change: impl FnOnce(&mut Setup)) -> Recording {
        Recording::with_plan(hours, Plan::house().with_incidents(incidents), change)
    }

    fn with_plan(hours: u64, plan: Plan, change: impl FnOnce(&mut Setup)) -> Recording {
        let directory = std::env::temp_dir().join(format!("whichroom-{}", state::random_hex(8).unwrap()));
        fs::create_dir(&directory).unwrap();
        let mut world = World::new(plan, 1);
        let mut setup = setup::of(&world);
        change(&mut setup);
        let tracked: Vec<Mac> = world.phones().iter().flat_map(|phone| phone.macs()).collect();
        world.handle_tracked(&tracked);
        let site: Id = "home".parse().unwrap();
        let clock = Clock::start_at("2026-11-22T06:00:00Z".parse().unwrap());
        let header = Header::new(&site, &setup, &Default::default(), &clock);
        let mut text = line::write_header(&header);
        text.push(b'\n');
        let mut handshakes: BTreeMap<Mac, u32> = BTreeMap::new();
        for output in world.advance_to(hours * 3_600_000) {
            if let AgentMessage::Events(events) = &output.message {
                for event in &events.events {
                    if let EventWhat::Station { mac, change: Change::Authorized { .. }, .. } = &event.what {
                        *handshakes.entry(*mac).or_default() += 1;
                    }
                }
            }
            let (topic, payload) = (output.topic().to_string(), output.payload(output.at_ms));
            let given = Given::Message { topic: topic.into(), payload: &payload, retained: false };
            let now = Moment::from_ms(i64::try_from(output.at_ms).unwrap());
            text.extend(line::write(&given, now));
            text.push(b'\n');
        }
        fs::write(directory.join("home.jsonl"), text).unwrap();
        let phones = world.phones().iter().map(|phone| (phone.name.clone(), phone.macs())).collect();
        Recording { directory, handshakes, phones }
    }

    /// What is told of thrashing while it happens, and the associations of the day.
    fn thrashing(&self) -> (Vec<Told>, Vec<Span>, Setup) {
        let mut player = Player::open(&self.directory.join("home.jsonl"), None).unwrap();
        player.witness_all();
        let (clock, setup) = (player.clock().clone(), player.setup().clone());
        let time = |moment: Moment| Time::from_ms(clock.unix_ms(moment));
        let mut now = time(player.began());
        let mut chronicle = Chronicle::new(&setup, None, now);
        let (mut told, mut material) = (Vec::new(), Material::default());
        player.play(None, &mut |seen| {
            match seen {
                Seen::Comes(at) => {
                    now = time(at);
                    chronicle.handle_timeout(now);
                    while let Some((device, state)) = chronicle.poll_thrashing(now) {
                        told.push((now, device, state));
                    }
                }
                Seen::Witnessed(witnessed) => chronicle.handle_witnessed(witnessed, time),
                Seen::Noted(..) | Seen::Settled(..) | Seen::Bad { .. } | Seen::Decided(..) => {}
            }
            chronicle.take_entries().into_iter().for_each(|entry| material.add(entry));
        });
        material.spans.sort_by_key(|span| (span.mac, span.begin));
        (told, material.spans, setup)
    }

    fn report(&self, since: Option<&str>, device: Option<&str>) -> Result<(Report, Clock), Failure> {
        let (since, device) = (since.map(str::to_owned), device.map(str::to_owned));
        let options = Options { since, device, ..Options::default() };
        let looked = of_recording(&self.directory.join("home.jsonl"), &options)?;
        let clock = looked.clock.clone();
        Ok((looked.report(), clock))
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[test]
fn a_report_counts_the_associations_that_there_were() {
    let recording = Recording::of(24, |_| {});
    let (report, clock) = recording.report(None, None).unwrap();
    for (name, macs) in &recording.phones {
        let client = report.clients.iter().find(|client| client.device.name == *name).unwrap();
        let handshakes = macs.iter().filter_map(|mac| recording.handshakes.get(mac)).sum();
        assert_eq!((client.associations, client.device.mac), (handshakes, macs[0]), "{name}");
        assert!(client.roams > 0 && client.connected_ms > 3_600_000, "{client:?}");
    }
    // A family that walks through its house all day is well.
    assert_eq!(report.episodes, []);
    assert_eq!(recording.thrashing().0, []);
    let text = report.text(&|at| written(at, &clock));
    assert!(text.contains("No client changed its association too often."), "{text}");
}

/// Ten minutes of bouncing in a day of walking are found, and nothing else is.
#[test]
fn a_bouncing_phone_is_the_one_that_is_found() {
    let id = |text: &str| text.parse::<Id>().unwrap();
    let (phone, a, b) = (id("ben-s-phone"), id("bedroom"), id("office"));
    let what = IncidentKind::Bouncing { phone, a, b, for_ms: 600_000 };
    let recording = Recording::with(4, vec![Incident { at_ms: 3_600_000, what }], |_| {});
    let (report, _) = recording.report(None, None).unwrap();
    let [episode] = &report.episodes[..] else { panic!("{:#?}", report.episodes) };
    assert_eq!((episode.kind, episode.device.name.as_str()), (EpisodeKind::Thrashing, "Ben's phone"));
    assert_eq!((episode.pairs[0].a.as_str(), episode.pairs[0].b.as_str()), ("bedroom", "office"));
    // 1 to 3 s each.
    assert!((190..=610).contains(&episode.pairs[0].changes), "{episode:#?}");
    assert!(episode.end.since(episode.begin) < 660_000);

    let (told, spans, setup) = recording.thrashing();
    assert!(told.iter().all(|(_, device, _)| *device == id("ben-s-phone")), "{told:#?}");
    let ((began, _, first), (over, _, last)) = (&told[0], &told[told.len() - 1]);
    assert!(began.since(episode.begin) < 60_000 && first.is_some(), "{told:#?}");
    assert!((600_000..660_000).contains(&over.since(episode.end)) && last.is_none(), "{told:#?}");
    let between = told[1..told.len() - 1].iter().all(|(_, _, state)| state.is_some());
    assert!(between && told.len() <= 13, "once a minute: {told:#?}");

    // Started anew in the middle of it, and long after it, with what the history holds.
    for (after_ms, is_on) in [(300_000, true), (3_600_000, false)] {
        let now = episode.begin.after(after_ms);
        let past: Vec<Span> = spans.iter().filter(|span| span.end <= now).cloned().collect();
        let mut chronicle = Chronicle::new(&setup, None, now);
        chronicle.handle_past(&past);
        chronicle.handle_timeout(now);
        let found = chronicle.poll_thrashing(now).and_then(|(_, state)| state);
        assert_eq!(found.map(|state| state.since), is_on.then_some(episode.begin));
    }
}

/// The page draws what the report counts, and whoever opens it loads and runs nothing.
#[test]
fn a_page_shows_who_is_sick_and_stands_alone() {
    let of = |plan| {
        let recording = Recording::with_plan(2, plan, |setup| {
            setup.people[3].devices[0].name = "<b>David's</b>".to_owned();
        });
        let looked = of_recording(&recording.directory.join("home.jsonl"), &Options::default()).unwrap();
        let (timeline, clock) = (looked.timeline(), looked.clock.clone());
        let report = looked.report();
        (html::page(&report, &timeline, &|time| written(time, &clock)), timeline, report)
    };
    let (page, timeline, report) = of(Plan::house().with_restless_phone());
    let row = timeline.rows.iter().find(|row| !row.episodes.is_empty()).unwrap();
    assert!(page.contains("<h1>&lt;b&gt;David&#39;s&lt;/b&gt; goes to and fro</h1>"));
    assert_eq!(page.matches("<figure>").count(), 1);
    assert_eq!(page.matches("<rect class=\"association\"").count(), row.bars.len());
    assert_eq!(page.matches("<rect class=\"frame").count(), row.episodes.len());
    assert_eq!(page.matches("class=\"advice-card\"").count(), report.advice.len());
    for foreign in ["<script", "http://", "https://", "src=", "href=", "<b>"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    let (page, ..) = of(Plan::house());
    assert!(page.contains("<h1>Everybody stays where they are well</h1>") && !page.contains("<figure>"));
}

#[test]
fn a_bouncing_phone_of_somebody_home_only_is_nobodys_business() {
    let id = |text: &str| text.parse::<Id>().unwrap();
    let (phone, a, b) = (id("ben-s-phone"), id("bedroom"), id("office"));
    let what = IncidentKind::Bouncing { phone: phone.clone(), a, b, for_ms: 600_000 };
    let recording = Recording::with(2, vec![Incident { at_ms: 3_600_000, what }], |setup| {
        let is_ben = |device: &whichroom_presence::setup::DeviceSetup| device.id == phone;
        let ben = setup.people.iter_mut().find(|person| person.devices.iter().any(is_ben)).unwrap();
        ben.detail = Detail::HomeOnly;
    });
    assert_eq!(recording.thrashing().0, []);
}

#[test]
fn of_people_nobody_is_to_know_anything_of_nothing_is_said() {
    let recording = Recording::of(6, |setup| setup.people[0].detail = Detail::HomeOnly);
    let (report, _) = recording.report(None, None).unwrap();
    let text = serde_json::to_string(&report).unwrap();
    let (name, macs) = &recording.phones[0];
    assert!(!macs.iter().any(|mac| text.contains(&mac.to_string())) && !text.contains(name.as_str()));
    assert!(text.contains(&recording.phones[1].0));
}

#[test]
fn a_device_and_a_time_can_be_picked() {
    let recording = Recording::of(6, |_| {});
    let (whole, _) = recording.report(None, None).unwrap();
    let (name, macs) = recording.phones[0].clone();
    let mac = macs[0];
    for picked in [name.to_uppercase(), mac.to_string()] {
        let (report, _) = recording.report(None, Some(&picked)).unwrap();
        assert_eq!(report.clients.iter().map(|client| client.device.mac).collect::<Vec<_>>(), [mac]);
        assert_eq!(report.fast, report.clients[0].fast);
        assert_eq!(report.advice, whole.advice, "what helps one must not hurt another");
    }
    let (hour, _) = recording.report(Some("1h"), None).unwrap();
    assert_eq!((hour.range.to, hour.range.length_ms()), (whole.range.to, 3_600_000));
    for (since, device, why) in [(Some("soon"), None, "soon"), (None, Some("nobody"), "known are ")] {
        let failure = recording.report(since, device).unwrap_err();
        assert!(failure.code == 2 && failure.text.contains(why), "{}", failure.text);
    }
}

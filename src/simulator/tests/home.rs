//! The home behaves: the same seed gives the same bytes, the contract is kept, and people and phones are plausible.

use std::collections::{BTreeMap, BTreeSet};

use whichroom_simulator::{Incident, IncidentKind, Output, Plan, Truth, World};
use whichroom_wire::{AgentMessage, Change, EventWhat, Id, Request, RequestKind, State};

const SECOND_MS: u64 = 1_000;
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

#[expect(clippy::unwrap_used, reason = "ids in tests are constants")]
fn id(text: &str) -> Id {
    text.parse().unwrap()
}

/// A home whose aggregator wants the probes of the family's phones.
fn home(plan: Plan, seed: u64) -> World {
    let mut world = World::new(plan, seed);
    let macs: Vec<_> = world.phones().iter().flat_map(whichroom_simulator::Phone::macs).collect();
    world.handle_tracked(&macs);
    world
}

fn run(plan: Plan, seed: u64, for_ms: u64) -> Vec<Output> {
    home(plan, seed).advance_to(for_ms)
}

fn changes(outputs: &[Output]) -> impl Iterator<Item = (&Output, &Change)> {
    outputs.iter().flat_map(|output| {
        let events =
            if let AgentMessage::Events(events) = &output.message { &events.events[..] } else { &[] };
        events.iter().filter_map(move |event| match &event.what {
            EventWhat::Station { change, .. } => Some((output, change)),
            EventWhat::Answer { .. } => None,
        })
    })
}

#[test]
fn the_same_seed_gives_the_same_bytes_however_time_is_cut() {
    let bytes = |outputs: &[Output]| -> Vec<Vec<u8>> {
        outputs.iter().map(|output| output.payload(output.at_ms)).collect()
    };
    let whole = run(Plan::house(), 5, 3 * HOUR_MS);
    let mut world = home(Plan::house(), 5);
    let pieces: Vec<Output> =
        (1..=3 * 3_600).flat_map(|second| world.advance_to(second * SECOND_MS)).collect();
    assert_eq!(bytes(&whole), bytes(&pieces));
    assert_ne!(bytes(&whole), bytes(&run(Plan::house(), 6, 3 * HOUR_MS)));
}

#[test]
fn everything_said_is_read_whole() {
    let outputs = run(Plan::house(), 1, DAY_MS);
    for output in &outputs {
        let decoded = AgentMessage::decode(&output.topic(), &output.payload(output.at_ms)).unwrap();
        assert_eq!(decoded.rejected.count, 0, "{decoded:?}");
        assert_eq!(decoded.message, output.message);
    }
    // A table every 30 s from each of six access points, and much besides.
    assert!(outputs.len() > 6 * 2 * 60 * 24, "{}", outputs.len());
}

#[test]
fn ages_count_from_the_time_of_sending() {
    let outputs = run(Plan::house(), 1, HOUR_MS);
    let events = outputs.iter().find(|output| matches!(output.message, AgentMessage::Events(_))).unwrap();
    let [prompt, late] = [0, 700].map(|late_ms| {
        let decoded = AgentMessage::decode(&events.topic(), &events.payload(events.at_ms + late_ms)).unwrap();
        let AgentMessage::Events(read) = decoded.message else { panic!("events") };
        (decoded.stamp.sent_ms, read.events[0].age_ms)
    });
    assert_eq!((late.0 - prompt.0, late.1 - prompt.1), (700, 700));
}

#[test]
fn sequence_numbers_have_no_gaps_and_tables_know_them() {
    let mut last: BTreeMap<Id, u64> = BTreeMap::new();
    for output in run(Plan::house(), 2, DAY_MS / 2) {
        let last = last.entry(output.ap.clone()).or_default();
        if let AgentMessage::Events(events) = &output.message {
            assert_eq!(events.seq, *last + 1);
            *last = events.seq;
        } else if let AgentMessage::Stations(table) = &output.message {
            assert_eq!(table.seq, *last);
        }
    }
}

#[test]
fn people_live_a_plausible_day_and_nobody_teleports() {
    for seed in 1..=3 {
        let mut world = home(Plan::house(), seed);
        let people = world.people().len();
        let mut before: Vec<Truth> = (0..people).map(|person| world.truth(person)).collect();
        let mut rooms = vec![BTreeSet::new(); people];
        let mut left = vec![0; people];
        for second in 1..=DAY_MS / SECOND_MS {
            let _ = world.advance_to(second * SECOND_MS);
            for person in 0..people {
                let now = world.truth(person);
                if now == before[person] {
                    continue;
                }
                match (before[person], now) {
                    (Truth::Room(from), Truth::Room(to)) => {
                        let to = &world.rooms()[to];
                        // Two doors may be less than a second apart.
                        let near = world.rooms()[from]
                            .adjoins
                            .iter()
                            .any(|room| *room == to.id || to.adjoins.contains(room));
                        assert!(near, "seed {seed}: {:?} to {:?}", world.rooms()[from].id, to.id);
                    }
                    (Truth::Room(room), Truth::Away) | (Truth::Away, Truth::Room(room)) => {
                        let room = &world.rooms()[room];
                        assert!(room.outdoor || room.id.as_str() == "hall", "a gate in {}", room.id);
                    }
                    (Truth::Away, Truth::Away) => {}
                }
                left[person] += u32::from(now == Truth::Away);
                if let Truth::Room(room) = now {
                    rooms[person].insert(room);
                }
                before[person] = now;
            }
        }
        for person in 0..people {
            assert!(rooms[person].len() >= 3, "seed {seed}: person {person} was in {:?}", rooms[person]);
            assert!(
                (1..=4).contains(&left[person]),
                "seed {seed}: person {person} left {} times",
                left[person]
            );
            assert!(matches!(before[person], Truth::Room(_)), "at seven in the morning all are home");
        }
    }
}

#[test]
fn phones_roam_doze_and_leave_as_phones_do() {
    let outputs = run(Plan::house(), 3, DAY_MS);
    let mut kinds: BTreeMap<&str, u32> = BTreeMap::new();
    let mut longest_silence_ms = 0;
    for (_, change) in changes(&outputs) {
        *kinds.entry(change.kind()).or_default() += 1;
        if let Change::Signal { inactive_ms: Some(inactive_ms), .. } = change {
            longest_silence_ms = longest_silence_ms.max(*inactive_ms);
        }
    }
    let count = |kind: &str| kinds.get(kind).copied().unwrap_or(0);
    assert!((20..600).contains(&count("authorized")), "{kinds:?}");
    assert!(count("assoc") >= count("authorized"), "{kinds:?}");
    assert!(count("disassoc") > 10 && count("inactive-deauth") > 3, "{kinds:?}");
    assert!(count("probe") > 50 && count("signal") > 1_000, "{kinds:?}");
    assert!(longest_silence_ms >= 300_000, "{longest_silence_ms}");
}

#[test]
fn probes_of_phones_that_nobody_tracks_stay_on_the_access_point() {
    let outputs = World::new(Plan::house(), 3).advance_to(4 * HOUR_MS);
    assert!(changes(&outputs).all(|(_, change)| change.kind() != "probe"));
}

#[test]
fn an_access_point_that_dies_says_so_through_its_will_and_nothing_after() {
    let death = Incident { at_ms: HOUR_MS, what: IncidentKind::Death { ap: id("kitchen") } };
    let outputs = run(Plan::house().with_incidents(vec![death]), 1, 2 * HOUR_MS);
    let last = outputs.iter().rfind(|output| output.ap == id("kitchen")).unwrap();
    assert!(matches!(&last.message, AgentMessage::Status(status) if status.state == State::Offline));
    let before = outputs.iter().filter(|output| output.ap == id("kitchen")).rev().nth(1).unwrap();
    assert!(before.at_ms <= HOUR_MS && last.at_ms == HOUR_MS + 30_000);
}

#[test]
fn a_reboot_is_a_new_boot_of_the_same_node() {
    let reboot =
        Incident { at_ms: HOUR_MS, what: IncidentKind::Reboot { ap: id("office"), down_ms: 90_000 } };
    let outputs = run(Plan::house().with_incidents(vec![reboot]), 1, 2 * HOUR_MS);
    let boots: BTreeSet<_> = outputs
        .iter()
        .filter(|output| output.ap == id("office"))
        .map(|output| (&output.node, &output.boot))
        .collect();
    assert_eq!(boots.len(), 2);
    assert_eq!(boots.iter().map(|(node, _)| node).collect::<BTreeSet<_>>().len(), 1);
}

#[test]
fn a_radar_wait_takes_the_stations_and_gives_the_band_back() {
    let wait =
        Incident { at_ms: HOUR_MS / 2, what: IncidentKind::DfsWait { ap: id("bedroom"), wait_ms: 600_000 } };
    let outputs = run(Plan::house().with_incidents(vec![wait]), 1, HOUR_MS);
    let states: Vec<_> = outputs
        .iter()
        .filter(|output| output.ap == id("bedroom"))
        .filter_map(|output| {
            let AgentMessage::Radios(radios) = &output.message else { return None };
            radios.radios[1].status.as_deref()
        })
        .collect();
    assert_eq!(states.first(), Some(&"ENABLED"));
    assert!(states.contains(&"DFS"));
    assert_eq!(states.last(), Some(&"ENABLED"));
}

#[test]
fn guests_bouncing_phones_and_empty_batteries_happen_when_planned() {
    let incidents = vec![
        Incident {
            at_ms: 600_000,
            what: IncidentKind::GuestPhone { room: id("living-room"), stay_ms: 900_000 },
        },
        Incident { at_ms: 900_000, what: IncidentKind::BatteryDies { phone: id("david-s-phone") } },
        Incident {
            at_ms: 1_000_000,
            what: IncidentKind::Bouncing {
                phone: id("ben-s-phone"),
                a: id("bedroom"),
                b: id("kids-room"),
                for_ms: 300_000,
            },
        },
    ];
    let outputs = run(Plan::house().with_incidents(incidents), 4, HOUR_MS);
    let named = outputs.iter().any(|output| {
        matches!(&output.message, AgentMessage::Hosts(hosts)
            if hosts.hosts.iter().any(|host| host.name.as_deref() == Some("guests-phone")))
    });
    assert!(named, "the router knows the guest's name");
    let joins = changes(&outputs)
        .filter(|(output, change)| {
            (1_000_000..1_300_000).contains(&output.at_ms) && change.kind() == "authorized"
        })
        .count();
    assert!((80..250).contains(&joins), "{joins} associations of the bouncing phone");
    // A dead phone is thrown out 300 s after its last sign of life at the latest, and does not come back.
    let david = "02:5e:11:00:00:05".parse().unwrap();
    let last_tables = outputs.iter().rev().filter_map(|output| {
        let AgentMessage::Stations(table) = &output.message else { return None };
        Some(table)
    });
    assert!(last_tables.take(6).all(|table| table.stations.iter().all(|station| station.mac != david)));
}

/// What the home says when every access point is asked for a beacon report of a phone, once a minute.
fn asked_for_beacons(phone: usize, mode: &str, for_ms: u64) -> (u32, Vec<String>, u32) {
    let mut world = home(Plan::house(), 3);
    let (mac, aps) = (world.phones()[phone].macs()[0], world.access_points().to_vec());
    let (mut accepted, mut refused, mut reports) = (0, Vec::new(), 0);
    for minute in 1..=for_ms / 60_000 {
        for ap in &aps {
            let kind = RequestKind::BeaconReport { mac, mode: mode.to_owned() };
            world.handle_request(&ap.id, &Request { schema: 1, id: id("r1"), kind });
        }
        for output in world.advance_to(minute * 60_000) {
            let AgentMessage::Events(events) = output.message else { continue };
            for event in events.events {
                match event.what {
                    EventWhat::Answer { ok: true, .. } => accepted += 1,
                    EventWhat::Answer { error, .. } => refused.extend(error),
                    EventWhat::Station { change: Change::BeaconReport { .. }, .. } => reports += 1,
                    EventWhat::Station { .. } => {}
                }
            }
        }
    }
    (accepted, refused, reports)
}

#[test]
fn a_phone_that_is_awake_and_capable_says_what_it_hears() {
    // The first is asked on six access points a minute and is on one of them.
    let (accepted, refused, reports) = asked_for_beacons(0, "table", HOUR_MS);
    assert!((5..=60).contains(&accepted), "{accepted}");
    assert!(reports > 0 && reports <= accepted * 12, "{reports}");
    assert!(refused.iter().all(|error| error == "not associated" || error == "asleep"), "{refused:?}");
    // The fourth knows no 802.11k.
    let (accepted, refused, reports) = asked_for_beacons(3, "table", HOUR_MS);
    assert_eq!((accepted, reports), (0, 0));
    assert!(refused.iter().any(|error| error.contains("does not support")), "{refused:?}");
    assert_eq!(asked_for_beacons(0, "sideways", 120_000).0, 0);
}

//! A home with everything that goes wrong, decided once and recorded, and decided again from the recording.

use std::io::Cursor;

use serde_json::json;
use whichroom_presence::calibration::Samples;
use whichroom_presence::output::Effect;
use whichroom_presence::setup::Setup;
use whichroom_presence::{Moment, Snapshot};
use whichroom_simulator::{Incident, IncidentKind, Plan, World};

use super::player::{End, Player, Seen};
use crate::clock::Clock;
use crate::command::Command;
use crate::decider::{Decider, Given};
use crate::record::line::{Header, write_header};
use crate::record::reader::Reader;

const HOUR_MS: u64 = 3_600_000;

/// What was decided, and when.
type Decided = Vec<(Moment, Effect)>;

/// The simulated home as its configuration would describe it.
fn setup(world: &World) -> Setup {
    let rooms: Vec<_> = world
        .rooms()
        .iter()
        .map(|room| json!({"id": room.id, "name": room.name, "adjoins": room.adjoins, "outdoor": room.outdoor}))
        .collect();
    let access_points: Vec<_> = world
        .access_points()
        .iter()
        .map(|ap| json!({"id": ap.id, "name": ap.name, "room": ap.room, "exit": ap.exit}))
        .collect();
    let people: Vec<_> = world
        .people()
        .iter()
        .enumerate()
        .map(|(index, person)| {
            let phones = world.phones().iter().filter(|phone| phone.person == index);
            let devices: Vec<_> = phones
                .map(|phone| json!({"id": phone.id, "name": phone.name, "macs": phone.macs()}))
                .collect();
            json!({"id": person.id, "name": person.name, "devices": devices})
        })
        .collect();
    serde_json::from_value(json!({"rooms": rooms, "access_points": access_points, "people": people})).unwrap()
}

/// A decider as the server runs it: timeouts come late, the broker goes, somebody tells it something.
struct Live {
    world: World,
    decider: Decider,
    header: Header,
    lines: Vec<Vec<u8>>,
    decided: Decided,
    now: Moment,
}

impl Live {
    fn new(seed: u64, snapshot: Option<Snapshot>) -> Live {
        let id = |text: &str| text.parse().unwrap();
        let bouncing = IncidentKind::Bouncing {
            phone: id("ben-s-phone"),
            a: id("office"),
            b: id("kids-room"),
            for_ms: 60_000,
        };
        let incidents = vec![
            Incident {
                at_ms: HOUR_MS / 2,
                what: IncidentKind::Reboot { ap: id("kitchen"), down_ms: 90_000 },
            },
            Incident { at_ms: HOUR_MS, what: bouncing },
            Incident {
                at_ms: HOUR_MS,
                what: IncidentKind::GuestPhone { room: id("kitchen"), stay_ms: HOUR_MS },
            },
        ];
        let world = World::new(Plan::house().with_incidents(incidents), seed);
        let clock = Clock::start();
        let began = Moment::from_ms(17);
        let setup = setup(&world);
        let header = Header {
            t_ms: began.as_ms(),
            exact: true,
            snapshot: snapshot.clone(),
            ..Header::new(&"home".parse().unwrap(), &setup, &Samples::default(), &clock)
        };
        let mut decider = Decider::new(setup, Samples::default(), snapshot, clock, began);
        decider.record();
        Live { world, decider, header, lines: Vec::new(), decided: Vec::new(), now: began }
    }

    /// Everything that is due until then, each late by some milliseconds, as on a machine with other things to do.
    fn pass_to(&mut self, at: Moment) {
        while let Some(due) = self.decider.poll_timeout().filter(|due| *due <= at) {
            let late = u64::try_from(due.as_ms()).unwrap_or(0) % 7;
            self.now = self.now.max(due.after(late)).min(at);
            self.give(Given::Timeout);
        }
        self.now = at;
    }

    fn give(&mut self, given: Given<'_>) {
        self.decider.give(given, self.now);
        self.drain();
    }

    fn tell(&mut self, command: &Command) {
        let _ = self.decider.command(command, self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(effect) = self.decider.poll_effect() {
            self.decided.push((self.now, effect));
        }
        self.lines.extend(std::iter::from_fn(|| self.decider.poll_line()));
    }

    fn live(&mut self, until_ms: u64) {
        while self.world.now_ms() < until_ms {
            for said in self.world.advance_to(self.world.now_ms() + 1_000) {
                self.pass_to(Moment::from_ms(i64::try_from(said.at_ms).unwrap()).max(self.now));
                let (topic, payload) = (said.topic().to_string(), said.payload(said.at_ms));
                self.give(Given::Message { topic: topic.into(), payload: &payload, retained: false });
            }
        }
    }

    /// A morning with everything.
    fn day(seed: u64, snapshot: Option<Snapshot>) -> Live {
        let mut live = Live::new(seed, snapshot);
        live.give(Given::Broker { connected: true });
        live.give(Given::PublishAll);
        live.live(HOUR_MS / 4);
        let (device, room) = ("anna-s-phone".parse().unwrap(), "kitchen".parse().unwrap());
        live.tell(&Command::Calibrate { device, room });
        live.tell(&Command::Explain { id: "anna".parse().unwrap() });
        live.live(HOUR_MS);
        live.give(Given::Broker { connected: false });
        live.pass_to(live.now.after(60_000));
        live.give(Given::Broker { connected: true });
        live.give(Given::Message {
            topic: "ap/garden/events".into(),
            payload: b"\xffnonsense",
            retained: false,
        });
        live.tell(&Command::ForgetSample { id: 1 });
        live.tell(&Command::GiveUpAp { ap: "garden".parse().unwrap() });
        live.tell(&Command::ResetDoze { id: "ben".parse().unwrap() });
        let mut renamed = live.header.config.clone();
        renamed.rooms[0].name = "Orchard".to_owned();
        renamed.people.pop();
        live.give(Given::Setup(Box::new(renamed)));
        live.live(2 * HOUR_MS);
        live
    }

    /// The recording, as a file would hold it.
    fn file(&self, exact: bool) -> Vec<u8> {
        let header = Header { exact, ..self.header.clone() };
        let lines = std::iter::once(write_header(&header)).chain(self.lines.iter().cloned());
        lines
            .flat_map(|mut line| {
                line.push(b'\n');
                line
            })
            .collect()
    }
}

fn replay(file: Vec<u8>, setup: Option<Setup>) -> (Decided, Player) {
    let (header, reader) = Reader::new(Cursor::new(file)).unwrap();
    let mut player = Player::new(header, reader, setup);
    let mut decided = Vec::new();
    let end = player.play(None, &mut |seen| match seen {
        Seen::Decided(effect, at) => decided.push((at, effect.clone())),
        Seen::Bad { number, why } => panic!("line {number}: {why}"),
        Seen::Comes(_) | Seen::Witnessed(_) | Seen::Noted(..) | Seen::Settled(..) => {}
    });
    assert_eq!(end, End::Over);
    (decided, player)
}

#[test]
fn a_recorded_day_is_decided_again_to_the_millisecond() {
    let live = Live::day(3, None);
    assert!(live.decided.iter().any(|(_, effect)| matches!(effect, Effect::Moved(_))), "nobody moved");
    let (decided, player) = replay(live.file(true), None);
    assert_eq!(decided.len(), live.decided.len());
    for (again, before) in decided.iter().zip(&live.decided) {
        assert_eq!(again, before);
    }
    let anna = "anna".parse().unwrap();
    assert_eq!(player.explain(&anna).unwrap(), live.decider.explain(&anna, player.now()).unwrap());
}

#[test]
fn a_recording_that_begins_in_the_middle_of_life_is_decided_again() {
    let first = Live::day(4, None);
    let snapshot = first.decider.engine().snapshot(first.now).taken_ms_ago(5_000);
    let second = Live::day(5, Some(snapshot));
    assert_eq!(replay(second.file(true), None).0, second.decided);
}

#[test]
fn without_recorded_timeouts_the_same_is_decided_in_the_same_tenth_of_a_second() {
    let live = Live::day(6, None);
    let moves = |decided: &Decided| -> Vec<(Moment, String)> {
        let moved = |(at, effect): &(Moment, Effect)| {
            let Effect::Moved(moved) = effect else { return None };
            Some((*at, format!("{} to {}", moved.person, moved.to_name)))
        };
        decided.iter().filter_map(moved).collect()
    };
    let (own, _) = replay(live.file(false), None);
    let (own, then) = (moves(&own), moves(&live.decided));
    assert_eq!(own.len(), then.len(), "{own:?}\n{then:?}");
    for (own, then) in own.iter().zip(&then) {
        assert!(own.1 == then.1 && own.0.since(then.0).max(then.0.since(own.0)) <= 100, "{own:?} {then:?}");
    }
    assert_eq!(replay(live.file(false), None).0, replay(live.file(false), None).0);
}

#[test]
fn another_home_replaces_every_recorded_one() {
    let live = Live::day(7, None);
    let mut other = live.header.config.clone();
    other.rooms[0].name = "Meadow".to_owned();
    let (decided, _) = replay(live.file(true), Some(other));
    let names = |name: &str| {
        decided.iter().any(|(_, effect)| matches!(effect, Effect::Room(room) if room.name == name))
    };
    assert!(names("Meadow") && !names("Orchard") && !names("Garden"));
}

//! A simulated home and the rules that are judged in it, without broker and clock: every message as bytes, in order
//! and at its time. The same plan and seed give the same measures.

use std::collections::{BTreeMap, BTreeSet};

use whichroom_presence::output::{Effect, PersonView, Reason};
use whichroom_presence::{Engine, Moment};
use whichroom_simulator::{Output, Plan, Truth, World};
use whichroom_wire::Id;

use super::scorer::{Answer, Scorer, Sight};
use super::setup;
use super::strongest::Strongest;

const SECOND_MS: u64 = 1_000;
/// Calibrations are made in the first days, once a minute at most, by who has been in a room for so long.
const CALIBRATED_UNTIL_MS: u64 = 3 * 86_400_000;
const CALIBRATED_EVERY_MS: u64 = 60_000;
const CALIBRATED_AFTER_MS: u64 = 60_000;

/// Which rules run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    Ours,
    Strongest,
    Both,
}

/// A home and the rules.
pub(crate) struct House {
    world: World,
    ours: Option<Ours>,
    strongest: Option<Strongest>,
    calibrates: bool,
}

/// The engine and what it is judged by.
struct Ours {
    engine: Engine,
    scorer: Scorer,
    people: BTreeMap<Id, usize>,
    rooms: BTreeMap<Id, usize>,
    /// Devices and rooms that were calibrated.
    calibrated: BTreeSet<(Id, Id)>,
}

impl House {
    pub(crate) fn new(plan: Plan, seed: u64, rules: Rules) -> House {
        let mut world = World::new(plan, seed);
        let phones = world.phones().iter();
        world.handle_tracked(&phones.flat_map(whichroom_simulator::Phone::macs).collect::<Vec<_>>());
        let ours = (rules != Rules::Strongest).then(|| Ours::new(&world));
        let strongest = (rules != Rules::Ours).then(|| Strongest::new(&world, scorer(&world)));
        House { world, ours, strongest, calibrates: false }
    }

    /// Its people say in which room they are, once for each phone and room, in the first three days.
    pub(crate) fn with_calibration(mut self) -> House {
        self.calibrates = true;
        self
    }

    /// Lets simulated time pass.
    pub(crate) fn run_for(&mut self, ms: u64) {
        let until_ms = self.world.now_ms() + ms;
        while self.world.now_ms() < until_ms {
            let second_ms = (self.world.now_ms() + SECOND_MS).min(until_ms);
            self.live_until(second_ms);
        }
    }

    fn live_until(&mut self, second_ms: u64) {
        for output in self.world.advance_to(second_ms) {
            if let Some(ours) = &mut self.ours {
                ours.handle_output(&output, &mut self.world);
            }
            if let Some(strongest) = &mut self.strongest {
                strongest.handle_output(&output);
            }
        }
        let sights: Vec<Sight> =
            (0..self.world.people().len()).map(|index| sight(&self.world, index)).collect();
        if let Some(ours) = &mut self.ours {
            ours.pass_until(second_ms, &mut self.world);
            ours.handle_second(second_ms, &sights);
            let is_time = second_ms <= CALIBRATED_UNTIL_MS && second_ms.is_multiple_of(CALIBRATED_EVERY_MS);
            if self.calibrates && is_time {
                ours.calibrate(second_ms, &self.world);
                ours.drain(second_ms, &mut self.world);
            }
        }
        if let Some(strongest) = &mut self.strongest {
            strongest.handle_second(second_ms, &sights);
        }
    }

    pub(crate) fn world(&self) -> &World {
        &self.world
    }

    /// The engine's score.
    pub(crate) fn ours(&self) -> Option<&Scorer> {
        self.ours.as_ref().map(|ours| &ours.scorer)
    }

    /// The score of the poller of signals.
    pub(crate) fn strongest(&self) -> Option<&Scorer> {
        self.strongest.as_ref().map(Strongest::scorer)
    }
}

/// A scorer for a home at its beginning.
pub(crate) fn scorer(world: &World) -> Scorer {
    let has_ap = |room: &whichroom_simulator::Room| world.access_points().iter().any(|ap| ap.room == room.id);
    let truths: Vec<Truth> = (0..world.people().len()).map(|person| world.truth(person)).collect();
    Scorer::new(world.rooms().iter().map(has_ap).collect(), &truths)
}

/// What is true of a person now.
pub(crate) fn sight(world: &World, person: usize) -> Sight {
    let truth = world.truth(person);
    let mut sight = Sight { truth, awake: false, knowable: false, with_phone: false, listed: None };
    for (phone, _) in world.phones().iter().enumerate().filter(|(_, phone)| phone.person == person) {
        if !world.is_carried(phone) {
            continue;
        }
        sight.awake |= world.is_awake(phone);
        sight.knowable |= world.would_report(phone) || is_received_in(world, phone, truth);
        sight.with_phone |= world.is_on(phone);
        let exit = world.listed_by(phone).map(|ap| world.access_points()[ap].exit);
        sight.listed = sight.listed.max(exit);
    }
    sight
}

/// Whether an access point of the room received a phone in the last second.
fn is_received_in(world: &World, phone: usize, truth: Truth) -> bool {
    let Truth::Room(room) = truth else { return false };
    let since_ms = world.now_ms().saturating_sub(SECOND_MS);
    let here = world.access_points().iter().enumerate().filter(|(_, ap)| ap.room == world.rooms()[room].id);
    here.filter_map(|(ap, _)| world.received_ms(phone, ap)).any(|at_ms| at_ms > since_ms)
}

impl Ours {
    fn new(world: &World) -> Ours {
        let mut engine = Engine::new(setup::of(world), None, Moment::from_ms(0));
        engine.handle_broker(true, Moment::from_ms(0));
        let people = world.people().iter().enumerate().map(|(index, person)| (person.id.clone(), index));
        let rooms = world.rooms().iter().enumerate().map(|(index, room)| (room.id.clone(), index));
        Ours {
            engine,
            scorer: scorer(world),
            people: people.collect(),
            rooms: rooms.collect(),
            calibrated: BTreeSet::new(),
        }
    }

    fn handle_output(&mut self, output: &Output, world: &mut World) {
        self.pass_until(output.at_ms, world);
        let (topic, payload) = (output.topic().to_string(), output.payload(output.at_ms));
        self.engine.handle_publish(&topic, &payload, false, moment(output.at_ms));
        self.drain(output.at_ms, world);
    }

    fn pass_until(&mut self, now_ms: u64, world: &mut World) {
        while let Some((at, _)) = self.engine.poll_timeout().filter(|&(at, _)| at <= moment(now_ms)) {
            self.engine.handle_timeout(at);
            self.drain(u64::try_from(at.as_ms()).unwrap_or(0), world);
        }
    }

    fn drain(&mut self, at_ms: u64, world: &mut World) {
        while let Some(effect) = self.engine.poll_effect() {
            if let Effect::Person(view) = &effect {
                self.handle_person(at_ms, view);
            } else if let Effect::House(view) = &effect {
                self.scorer.handle_house(at_ms, view.state, || words(&view.because));
            } else if let Effect::Ask { ap, request } = &effect {
                world.handle_request(ap, request);
            } else if let Effect::Calibrated(sample) = effect {
                self.calibrated.insert((sample.device, sample.room));
            }
        }
    }

    /// Whoever has been in a room for a minute, with a phone in use, says so, once for each room.
    fn calibrate(&mut self, now_ms: u64, world: &World) {
        for (phone, owned) in world.phones().iter().enumerate() {
            let Truth::Room(room) = world.truth(owned.person) else { continue };
            let room = &world.rooms()[room].id;
            let is_settled = self.scorer.here_for_ms(owned.person) >= CALIBRATED_AFTER_MS;
            let is_ready = is_settled && world.is_awake(phone) && world.is_carried(phone);
            if is_ready && !self.calibrated.contains(&(owned.id.clone(), room.clone())) {
                // What cannot be calibrated now is tried again.
                let taken = format!("second {}", now_ms / 1000);
                drop(self.engine.calibrate(&owned.id, room, taken, moment(now_ms)));
            }
        }
    }

    fn handle_second(&mut self, now_ms: u64, sights: &[Sight]) {
        let (engine, people) = (&self.engine, &self.people);
        self.scorer.handle_second(now_ms, sights, |person| {
            let id = people.iter().find(|(_, index)| **index == person).map(|(id, _)| id);
            let explained = id.and_then(|id| engine.explain(id, moment(now_ms)));
            explained.map_or_else(String::new, |explained| words(&explained.because))
        });
    }

    fn handle_person(&mut self, at_ms: u64, view: &PersonView) {
        let Some(index) = self.people.get(&view.id) else { return };
        let room = view.room.as_ref().and_then(|room| self.rooms.get(room)).copied();
        self.scorer.handle_answer(at_ms, *index, Answer { home: view.home, room }, || words(&view.because));
    }
}

fn moment(ms: u64) -> Moment {
    Moment::from_ms(i64::try_from(ms).unwrap_or(i64::MAX))
}

fn words(because: &[Reason]) -> String {
    because.iter().map(Reason::to_string).collect::<Vec<_>>().join("; ")
}

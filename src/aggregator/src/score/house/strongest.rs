//! What comparable tools do, to be compared with: every few seconds they read each access point's table of stations,
//! and the loudest entry is the room. Who is in no table is away after two minutes if an exit had them last, else
//! after 18 hours.

use std::collections::BTreeMap;

use whichroom_presence::output::Home;
use whichroom_simulator::{Output, World};
use whichroom_wire::aggregator::HouseState;
use whichroom_wire::{AgentMessage, Change, EventWhat, Id, Mac, State};

use super::scorer::{Answer, Scorer, Sight};

const POLL_MS: u64 = 5_000;
const EXIT_MS: u64 = 120_000;
const INTERIOR_MS: u64 = 18 * 3_600_000;
/// What an access point said is read for so long; a request to one that is gone fails.
const REACHABLE_MS: u64 = 45_000;

/// The rule and its score.
pub(super) struct Strongest {
    scorer: Scorer,
    /// Whose each address is, and how many people there are.
    owner: BTreeMap<Mac, usize>,
    people: Vec<Person>,
    aps: BTreeMap<Id, AccessPoint>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Person {
    /// Room of the loudest, whether it is an exit, and when it was listed last.
    seen: Option<(usize, bool, u64)>,
}

#[derive(Debug)]
struct AccessPoint {
    room: usize,
    exit: bool,
    said_ms: Option<u64>,
    stations: BTreeMap<Mac, i8>,
}

impl Strongest {
    pub(super) fn new(world: &World, scorer: Scorer) -> Strongest {
        let owned =
            world.phones().iter().flat_map(|phone| phone.macs().into_iter().map(|mac| (mac, phone.person)));
        let aps = world.access_points().iter().filter_map(|ap| {
            let room = world.rooms().iter().position(|room| room.id == ap.room)?;
            let stations = BTreeMap::new();
            Some((ap.id.clone(), AccessPoint { room, exit: ap.exit, said_ms: None, stations }))
        });
        Strongest {
            scorer,
            owner: owned.collect(),
            people: vec![Person::default(); world.people().len()],
            aps: aps.collect(),
        }
    }

    pub(super) fn scorer(&self) -> &Scorer {
        &self.scorer
    }

    pub(super) fn handle_output(&mut self, output: &Output) {
        let Some(ap) = self.aps.get_mut(&output.ap) else { return };
        ap.said_ms = Some(output.at_ms);
        match &output.message {
            AgentMessage::Status(status) if status.state == State::Offline => ap.said_ms = None,
            AgentMessage::Stations(table) => {
                let listed = table.stations.iter().filter(|station| station.authorized);
                ap.stations =
                    listed.map(|station| (station.mac, station.signal_dbm.unwrap_or(i8::MIN))).collect();
            }
            AgentMessage::Events(events) => {
                for event in &events.events {
                    let EventWhat::Station {
                        mac, change: Change::Signal { signal_dbm: Some(dbm), .. }, ..
                    } = &event.what
                    else {
                        continue;
                    };
                    if let Some(entry) = ap.stations.get_mut(mac) {
                        *entry = *dbm;
                    }
                }
            }
            AgentMessage::Status(_) | AgentMessage::Radios(_) | AgentMessage::Hosts(_) => {}
        }
    }

    pub(super) fn handle_second(&mut self, now_ms: u64, sights: &[Sight]) {
        if now_ms.is_multiple_of(POLL_MS) {
            self.poll(now_ms);
        }
        self.scorer.handle_second(now_ms, sights, |_| String::new());
    }

    fn poll(&mut self, now_ms: u64) {
        let mut loudest: Vec<Option<(i8, usize, bool)>> = vec![None; self.people.len()];
        let reachable =
            self.aps.values().filter(|ap| ap.said_ms.is_some_and(|said_ms| said_ms + REACHABLE_MS >= now_ms));
        for ap in reachable {
            for (mac, dbm) in &ap.stations {
                let Some(&person) = self.owner.get(mac) else { continue };
                if loudest[person].is_none_or(|(best, ..)| *dbm > best) {
                    loudest[person] = Some((*dbm, ap.room, ap.exit));
                }
            }
        }
        let mut anybody = false;
        for (index, found) in loudest.into_iter().enumerate() {
            let person = &mut self.people[index];
            if let Some((_, room, exit)) = found {
                person.seen = Some((room, exit, now_ms));
            }
            let Some((room, exit, seen_ms)) = person.seen else { continue };
            let timeout_ms = if exit { EXIT_MS } else { INTERIOR_MS };
            let answer = if now_ms < seen_ms + timeout_ms {
                anybody = true;
                Answer { home: Home::Home, room: Some(room) }
            } else {
                Answer { home: Home::Away, room: None }
            };
            self.scorer.handle_answer(now_ms, index, answer, String::new);
        }
        if self.people.iter().all(|person| person.seen.is_some()) {
            let state = if anybody { HouseState::Occupied } else { HouseState::Empty };
            self.scorer.handle_house(now_ms, state, String::new);
        }
    }
}

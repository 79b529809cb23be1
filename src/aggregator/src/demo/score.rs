//! Decisions against the truth: sampled each simulated second, and by how late each true move was followed.

use std::collections::BTreeMap;

use whichroom_presence::output::{Effect, Home, PersonView};
use whichroom_simulator::{Truth, World};
use whichroom_wire::Id;
use whichroom_wire::aggregator::{ROOM_AWAY, ROOM_UNCLEAR};

use super::summary::{Summary, Tally};

/// Shorter stays are passages: nobody turns on a light for them.
const STAY_MS: u64 = 60_000;
/// Away is false if the person was inside for all of this long.
const INSIDE_MS: u64 = 60_000;

/// What is counted while the demonstration runs.
#[derive(Debug)]
pub(super) struct Score {
    rooms: Vec<Room>,
    people: Vec<Person>,
    now_ms: u64,
    moves: u64,
    false_aways: u64,
    room: Tally,
    room_all: Tally,
    home: Tally,
    stays: Stays,
    closed: bool,
}

/// Stays that are over, and how late they were followed.
#[derive(Debug, Clone, Default)]
struct Stays {
    count: u64,
    room_delays_ms: Vec<u64>,
    rooms_missed: u64,
    away_delays_ms: Vec<u64>,
    aways_missed: u64,
}

#[derive(Debug)]
struct Room {
    id: Id,
    name: String,
    has_ap: bool,
}

#[derive(Debug)]
struct Person {
    id: Id,
    home: Home,
    room: Option<Id>,
    stay: Stay,
    inside_since_ms: Option<u64>,
}

/// A person's stay where they really are.
#[derive(Debug)]
struct Stay {
    truth: Truth,
    since_ms: u64,
    /// The aggregator said so.
    followed_ms: Option<u64>,
    /// Where the simulation found them at its beginning: no move.
    first: bool,
}

impl Score {
    pub(super) fn new(world: &World) -> Score {
        let rooms = world.rooms().iter().map(|room| Room {
            id: room.id.clone(),
            name: room.name.clone(),
            has_ap: world.access_points().iter().any(|ap| ap.room == room.id),
        });
        let people = world.people().iter().enumerate().map(|(index, person)| {
            let truth = world.truth(index);
            Person {
                id: person.id.clone(),
                home: Home::Undecided,
                room: None,
                stay: Stay { truth, since_ms: 0, followed_ms: None, first: true },
                inside_since_ms: (truth != Truth::Away).then_some(0),
            }
        });
        Score {
            rooms: rooms.collect(),
            people: people.collect(),
            now_ms: 0,
            moves: 0,
            false_aways: 0,
            room: Tally::default(),
            room_all: Tally::default(),
            home: Tally::default(),
            stays: Stays::default(),
            closed: false,
        }
    }

    /// What comes after this is the stop, not the home.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// A simulated second is over.
    pub(super) fn handle_second(&mut self, world: &World) {
        if self.closed {
            return;
        }
        self.now_ms = world.now_ms();
        for index in 0..self.people.len() {
            self.follow(index, world.truth(index));
            self.sample(index);
        }
    }

    /// The aggregator decided something. False if it does not count any more.
    pub(super) fn handle_effect(&mut self, effect: &Effect) -> bool {
        if self.closed {
            return false;
        }
        if let Effect::Moved(_) = effect {
            self.moves += 1;
        }
        let Effect::Person(view) = effect else { return true };
        let now_ms = self.now_ms;
        if let Some(person) = self.people.iter_mut().find(|person| person.id == view.id) {
            let inside = person.inside_since_ms.is_some_and(|since_ms| now_ms >= since_ms + INSIDE_MS);
            let lost = person.home == Home::Home && view.home != Home::Home;
            self.false_aways += u64::from(inside && lost);
            (person.home, person.room) = (view.home, view.room.clone());
        }
        true
    }

    /// Whether a person is decided about for the first time.
    pub(super) fn is_first(&self, view: &PersonView) -> bool {
        let undecided = |person: &Person| person.id == view.id && person.home == Home::Undecided;
        view.home != Home::Undecided && self.people.iter().any(undecided)
    }

    /// Where a person really is, in the words of the person's topic.
    pub(super) fn truth_of(&self, person: &Id) -> Option<&str> {
        let person = self.people.iter().find(|known| known.id == *person)?;
        Some(self.name(person.stay.truth))
    }

    /// The same of everybody, for the page.
    pub(super) fn truths(&self) -> BTreeMap<Id, String> {
        let truth = |person: &Person| (person.id.clone(), self.name(person.stay.truth).to_owned());
        self.people.iter().map(truth).collect()
    }

    pub(super) fn summary(&self) -> Summary {
        let mut stays = self.stays.clone();
        // A stay that goes on is not missed yet.
        let followed =
            self.people.iter().map(|person| &person.stay).filter(|stay| stay.followed_ms.is_some());
        followed.for_each(|stay| stays.end(stay, self.now_ms, &self.rooms));
        Summary {
            simulated_s: self.now_ms / 1000,
            people: self.people.len(),
            rooms: self.rooms.len(),
            rooms_without_ap: self.rooms.iter().filter(|room| !room.has_ap).count(),
            moves: self.moves,
            true_moves: stays.count,
            room: self.room,
            room_all: self.room_all,
            home: self.home,
            false_aways: self.false_aways,
            room_delay_s: median_s(&stays.room_delays_ms),
            rooms_missed: stays.rooms_missed,
            away_delay_s: median_s(&stays.away_delays_ms),
            aways_missed: stays.aways_missed,
        }
    }

    fn name(&self, truth: Truth) -> &str {
        match truth {
            Truth::Away => ROOM_AWAY,
            Truth::Room(room) => self.rooms.get(room).map_or(ROOM_UNCLEAR, |room| &room.name),
        }
    }

    fn follow(&mut self, index: usize, truth: Truth) {
        let now_ms = self.now_ms;
        let person = &mut self.people[index];
        if person.stay.truth == truth {
            return;
        }
        person.inside_since_ms = match truth {
            Truth::Away => None,
            Truth::Room(_) => person.inside_since_ms.or(Some(now_ms)),
        };
        let begun = Stay { truth, since_ms: now_ms, followed_ms: None, first: false };
        let ended = std::mem::replace(&mut person.stay, begun);
        self.stays.end(&ended, now_ms, &self.rooms);
    }

    fn sample(&mut self, index: usize) {
        let person = &mut self.people[index];
        let right = match person.stay.truth {
            Truth::Away => {
                self.home.add(person.home == Home::Away);
                person.home == Home::Away
            }
            Truth::Room(room) => {
                let room = &self.rooms[room];
                let right = person.home == Home::Home && person.room.as_ref() == Some(&room.id);
                self.home.add(person.home == Home::Home);
                self.room_all.add(right);
                if room.has_ap {
                    self.room.add(right);
                }
                right
            }
        };
        if right {
            person.stay.followed_ms.get_or_insert(self.now_ms);
        }
    }
}

impl Stays {
    fn end(&mut self, stay: &Stay, now_ms: u64, rooms: &[Room]) {
        if stay.first || now_ms < stay.since_ms + STAY_MS {
            return;
        }
        self.count += 1;
        let (delays_ms, missed) = match stay.truth {
            Truth::Away => (&mut self.away_delays_ms, &mut self.aways_missed),
            Truth::Room(room) if rooms[room].has_ap => (&mut self.room_delays_ms, &mut self.rooms_missed),
            Truth::Room(_) => return,
        };
        match stay.followed_ms {
            Some(followed_ms) => delays_ms.push(followed_ms - stay.since_ms),
            None => *missed += 1,
        }
    }
}

fn median_s(delays_ms: &[u64]) -> Option<f64> {
    let mut sorted = delays_ms.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).map(|&ms| ms as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use whichroom_presence::Moment;
    use whichroom_simulator::Plan;

    const HOUR_S: u64 = 3_600;

    fn says(id: &Id, home: Home, room: Option<&Id>) -> Effect {
        Effect::Person(PersonView {
            id: id.clone(),
            name: String::new(),
            home,
            room: room.cloned(),
            room_name: None,
            home_only: false,
            confidence: 95,
            since: Moment::default(),
            home_since: Moment::default(),
            because: Vec::new(),
            stale_since: None,
            device: None,
        })
    }

    /// Runs a home with an aggregator that says of each person what `answer` makes of the truth.
    fn scored(hours: u64, answer: impl Fn(&World, Truth, u64) -> (Home, Option<Id>)) -> Summary {
        let mut world = World::new(Plan::house(), 1);
        let mut score = Score::new(&world);
        for second in 1..=hours * HOUR_S {
            let _ = world.advance_to(second * 1000);
            score.handle_second(&world);
            for (index, person) in world.people().iter().enumerate() {
                let (home, room) = answer(&world, world.truth(index), second);
                score.handle_effect(&says(&person.id, home, room.as_ref()));
            }
        }
        score.summary()
    }

    fn truth(world: &World, truth: Truth, _: u64) -> (Home, Option<Id>) {
        match truth {
            Truth::Away => (Home::Away, None),
            Truth::Room(room) => (Home::Home, Some(world.rooms()[room].id.clone())),
        }
    }

    #[test]
    fn the_truth_a_second_late_scores_almost_full_marks() {
        let summary = scored(12, truth);
        let shares = [summary.room.share(), summary.room_all.share(), summary.home.share()];
        assert!(shares.iter().all(|&share| share > Some(0.98)), "{summary:?}");
        assert_eq!((summary.false_aways, summary.rooms_missed, summary.aways_missed), (0, 0, 0));
        assert_eq!((summary.room_delay_s, summary.away_delay_s), (Some(1.0), Some(1.0)));
        assert!(summary.true_moves > 30, "{summary:?}");
    }

    #[test]
    fn somebody_who_is_inside_and_called_away_is_a_false_away_each_time() {
        let summary = scored(1, |world, is, second| {
            let asked = truth(world, is, second);
            // Everybody is at home for the first half hour; two of these are before a minute is over.
            if second < 1_800 && second % 600 == 30 { (Home::Away, None) } else { asked }
        });
        assert_eq!(summary.false_aways, 2 * 4);
    }

    #[test]
    fn who_never_hears_of_a_move_misses_it() {
        let summary = scored(12, |world, _, _| (Home::Home, Some(world.rooms()[1].id.clone())));
        assert!(summary.rooms_missed > 0 && summary.aways_missed > 0, "{summary:?}");
        assert!(summary.room.share() < Some(0.6) && summary.home.share() < Some(1.0), "{summary:?}");
    }

    #[test]
    fn nothing_counts_after_the_end() {
        let world = World::new(Plan::house(), 1);
        let mut score = Score::new(&world);
        score.close();
        assert!(!score.handle_effect(&says(&world.people()[0].id, Home::Home, None)));
        assert_eq!(score.summary().moves, 0);
    }
}

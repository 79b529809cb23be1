//! The demonstration's decisions against the truth: effects as answers, and the truth in the words of the topics.

use std::collections::BTreeMap;

use whichroom_presence::output::{Effect, Home, PersonView};
use whichroom_simulator::{Truth, World};
use whichroom_wire::Id;
use whichroom_wire::aggregator::{ROOM_AWAY, ROOM_UNCLEAR};

use super::pace::Pace;
use super::summary::Summary;
use crate::score::house::run::{scorer, sight};
use crate::score::house::scorer::{Answer, Scorer};

/// What is counted while the demonstration runs.
#[derive(Debug)]
pub(super) struct Score {
    scorer: Scorer,
    people: Vec<Id>,
    /// By id and name.
    rooms: Vec<(Id, String)>,
    rooms_without_ap: usize,
    now_ms: u64,
    closed: bool,
}

impl Score {
    pub(super) fn new(world: &World) -> Score {
        let without_ap =
            |room: &&whichroom_simulator::Room| world.access_points().iter().all(|ap| ap.room != room.id);
        Score {
            scorer: scorer(world),
            people: world.people().iter().map(|person| person.id.clone()).collect(),
            rooms: world.rooms().iter().map(|room| (room.id.clone(), room.name.clone())).collect(),
            rooms_without_ap: world.rooms().iter().filter(without_ap).count(),
            now_ms: 0,
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
        let sights: Vec<_> = (0..self.people.len()).map(|person| sight(world, person)).collect();
        self.scorer.handle_second(self.now_ms, &sights, |_| String::new());
    }

    /// The aggregator decided something. False if it does not count any more.
    pub(super) fn handle_effect(&mut self, effect: &Effect) -> bool {
        if self.closed {
            return false;
        }
        let Effect::Person(view) = effect else { return true };
        if let Some(person) = self.index(&view.id) {
            let room = view.room.as_ref().and_then(|id| self.rooms.iter().position(|(known, _)| known == id));
            self.scorer.handle_answer(self.now_ms, person, Answer { home: view.home, room }, String::new);
        }
        true
    }

    fn index(&self, person: &Id) -> Option<usize> {
        self.people.iter().position(|known| known == person)
    }

    /// Whether a person is decided about for the first time.
    pub(super) fn is_first(&self, view: &PersonView) -> bool {
        let undecided = |index| self.scorer.answer(index).home == Home::Undecided;
        view.home != Home::Undecided && self.index(&view.id).is_some_and(undecided)
    }

    /// Where a person really is, in the words of the person's topic.
    pub(super) fn truth_of(&self, person: &Id) -> Option<&str> {
        self.index(person).map(|index| self.name(self.scorer.truth(index)))
    }

    /// The same of everybody, for the page.
    pub(super) fn truths(&self) -> BTreeMap<Id, String> {
        let truth = |(index, id): (usize, &Id)| (id.clone(), self.name(self.scorer.truth(index)).to_owned());
        self.people.iter().enumerate().map(truth).collect()
    }

    pub(super) fn summary(&self, pace: &Pace) -> Summary {
        Summary {
            speed: pace.average(),
            slow_of: pace.is_slow().then(|| pace.asked()),
            people: self.people.len(),
            rooms: self.rooms.len(),
            rooms_without_ap: self.rooms_without_ap,
            measures: self.scorer.measures(),
        }
    }

    fn name(&self, truth: Truth) -> &str {
        match truth {
            Truth::Away => ROOM_AWAY,
            Truth::Room(room) => self.rooms.get(room).map_or(ROOM_UNCLEAR, |(_, name)| name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use whichroom_simulator::Plan;

    fn says(id: &Id, home: Home) -> Effect {
        Effect::Person(PersonView {
            id: id.clone(),
            name: String::new(),
            home,
            room: None,
            room_name: None,
            home_only: false,
            confidence: 95,
            since: whichroom_presence::Moment::default(),
            home_since: whichroom_presence::Moment::default(),
            because: Vec::new(),
            stale_since: None,
            device: None,
        })
    }

    #[test]
    fn what_is_said_of_somebody_is_scored() {
        let mut world = World::new(Plan::house(), 1);
        let mut score = Score::new(&world);
        let person = world.people()[0].id.clone();
        score.handle_effect(&says(&person, Home::Home));
        for second in 1..=120 {
            let _ = world.advance_to(second * 1000);
            score.handle_second(&world);
        }
        score.handle_effect(&says(&person, Home::Away));
        assert_eq!(score.scorer.measures().false_aways, 1);
    }

    #[test]
    fn nothing_counts_after_the_end() {
        let world = World::new(Plan::house(), 1);
        let mut score = Score::new(&world);
        let person = &world.people()[0].id;
        score.handle_effect(&says(person, Home::Home));
        score.close();
        assert!(!score.handle_effect(&says(person, Home::Away)));
        assert_eq!(score.scorer.measures().changes, 0);
    }
}

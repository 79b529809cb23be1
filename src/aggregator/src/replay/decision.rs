//! Decisions as `whichroom replay` prints them: a line to read, or a JSON object.

use std::collections::BTreeMap;

use serde::Serialize;
use whichroom_presence::Moment;
use whichroom_presence::output::{Effect, Home, HouseView, PersonView, Problem, Reason};
use whichroom_wire::Id;
use whichroom_wire::aggregator::{HouseState, MovedKind};

use crate::clock::Clock;
use crate::topics::room_of;

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum What {
    /// Somebody was decided on for the first time.
    Found,
    Arrived,
    Left,
    Moved,
    House,
    Problem,
    ProblemOver,
}

/// A decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    t_ms: i64,
    time: String,
    what: What,
    /// The person's or access point's id; `None` for the house.
    id: Option<Id>,
    name: String,
    from: Option<String>,
    to: Option<String>,
    because: Vec<String>,
}

/// Finds decisions among what is published.
#[derive(Debug, Default)]
pub struct Decisions {
    homes: BTreeMap<Id, Home>,
    house: Option<HouseState>,
}

impl Decisions {
    /// The decision in an effect; `None` for what is only said again or in passing.
    pub fn of(&mut self, effect: &Effect, at: Moment, clock: &Clock) -> Option<Decision> {
        let decision = |what, id: Option<&Id>, name: &str, from, to, because| Decision {
            t_ms: at.as_ms(),
            time: clock.rfc3339(at),
            what,
            id: id.cloned(),
            name: name.to_owned(),
            from,
            to,
            because,
        };
        match effect {
            Effect::Moved(moved) => {
                let what = match moved.kind {
                    MovedKind::Arrived => What::Arrived,
                    MovedKind::Left => What::Left,
                    MovedKind::ChangedRoom => What::Moved,
                };
                let (from, to) = (Some(moved.from_name.clone()), Some(moved.to_name.clone()));
                Some(decision(what, Some(&moved.person), &moved.name, from, to, texts(&moved.because)))
            }
            Effect::Person(view) => {
                let to = self.found(view)?;
                Some(decision(What::Found, Some(&view.id), &view.name, None, Some(to), texts(&view.because)))
            }
            Effect::House(view) => {
                let (from, to) = self.house(view)?;
                Some(decision(What::House, None, "House", from, Some(to), texts(&view.because)))
            }
            Effect::Problem(problem) => {
                let because = vec![problem.text.clone()];
                Some(decision(What::Problem, problem.ap.as_ref(), place(problem), None, None, because))
            }
            Effect::ProblemOver(problem) => {
                let because = vec![problem.text.clone()];
                Some(decision(What::ProblemOver, problem.ap.as_ref(), place(problem), None, None, because))
            }
            Effect::Room(_)
            | Effect::Device(_)
            | Effect::Roamed(_)
            | Effect::NewRoom(_)
            | Effect::Calibrated(_)
            | Effect::NotCalibrated(_)
            | Effect::Forgotten(_)
            | Effect::Ask { .. } => None,
        }
    }

    fn found(&mut self, view: &PersonView) -> Option<String> {
        let before = self.homes.insert(view.id.clone(), view.home);
        let is_first = before.is_none_or(|before| before == Home::Undecided);
        (is_first && view.home != Home::Undecided).then(|| room_of(view).to_owned())
    }

    fn house(&mut self, view: &HouseView) -> Option<(Option<String>, String)> {
        let before = self.house.replace(view.state);
        (before != Some(view.state)).then(|| (before.map(house_word), house_word(view.state)))
    }
}

impl Decision {
    /// As one line of text, with its line end.
    pub fn line(&self, clock: &Clock) -> String {
        let time = clock.date_and_time(Moment::from_ms(self.t_ms));
        let what = match self.what {
            What::Found => "found",
            What::Arrived => "arrived",
            What::Left => "left",
            What::Moved => "moved",
            What::House => "is",
            What::Problem => "problem",
            What::ProblemOver => "over",
        };
        let way = match (&self.from, &self.to) {
            (Some(from), Some(to)) => format!("{from} → {to}"),
            (None, Some(to)) => to.clone(),
            (_, None) => String::new(),
        };
        let text = format!("{time}  {:<10}  {what:<7}  {way:<27}  {}", self.name, self.because.join("; "));
        format!("{}\n", text.trim_end())
    }

    /// As one JSON object, with its line end.
    pub fn json(&self) -> String {
        // Structs with string keys always serialize.
        format!("{}\n", serde_json::to_string(self).unwrap_or_default())
    }
}

fn house_word(state: HouseState) -> String {
    let word = match state {
        HouseState::Occupied => "occupied",
        HouseState::Empty => "empty",
        HouseState::Undecided => "undecided",
    };
    word.to_owned()
}

fn place(problem: &Problem) -> &str {
    problem.ap.as_ref().map_or("WhichRoom", Id::as_str)
}

fn texts(because: &[Reason]) -> Vec<String> {
    because.iter().map(Reason::to_string).collect()
}

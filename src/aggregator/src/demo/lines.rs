//! Decisions as lines of the terminal, beside the truth.

use whichroom_presence::output::{Effect, Home, Moved, PersonView, Problem};
use whichroom_wire::aggregator::{MovedKind, ROOM_AWAY, ROOM_UNCLEAR};

use super::score::Score;
use crate::clock::Clock;
use crate::server::words;

/// Lines are cut here: a line that wraps is not read.
pub(super) const LINE_MAX: usize = 140;

/// What stands above the lines.
pub(super) fn header() -> String {
    columns("time", "who", "what", "where", "truth now", "because")
}

/// A decision, as a line of the terminal; `None` for what is not worth one.
pub(super) fn line(effect: &Effect, clock: &Clock, score: &Score) -> Option<String> {
    let text = match effect {
        Effect::Moved(moved) => moved_line(moved, clock, score),
        Effect::Person(view) if score.is_first(view) => found_line(view, clock, score),
        Effect::Problem(problem) => {
            format!("{}  problem: {}", clock.time_of_day(clock.now()), place(problem))
        }
        Effect::ProblemOver(problem) => {
            format!("{}  over: {}", clock.time_of_day(clock.now()), place(problem))
        }
        Effect::Person(_)
        | Effect::Room(_)
        | Effect::Device(_)
        | Effect::House(_)
        | Effect::Roamed(_)
        | Effect::NewRoom(_)
        | Effect::Calibrated(_)
        | Effect::Forgotten(_)
        | Effect::NotCalibrated(_)
        | Effect::Ask { .. } => return None,
    };
    Some(cut(&text))
}

fn moved_line(moved: &Moved, clock: &Clock, score: &Score) -> String {
    let what = match moved.kind {
        MovedKind::Arrived => "arrived",
        MovedKind::Left => "left",
        MovedKind::ChangedRoom => "moved",
    };
    let way = format!("{} → {}", moved.from_name, moved.to_name);
    let truth = beside(score.truth_of(&moved.person), &moved.to_name);
    columns(&clock.time_of_day(moved.at), &moved.name, what, &way, &truth, &words(&moved.because))
}

fn found_line(view: &PersonView, clock: &Clock, score: &Score) -> String {
    let (what, room) = match (view.home, &view.room_name) {
        (Home::Home, Some(room)) => ("found", room.as_str()),
        (Home::Home, None) => ("found", ROOM_UNCLEAR),
        (Home::Away | Home::Undecided, _) => ("absent", ROOM_AWAY),
    };
    let truth = beside(score.truth_of(&view.id), room);
    columns(&clock.time_of_day(view.since), &view.name, what, room, &truth, &words(&view.because))
}

/// The truth at the time of a decision, and whether they agree.
fn beside(truth: Option<&str>, said: &str) -> String {
    let truth = truth.unwrap_or(ROOM_UNCLEAR);
    format!("{} {truth}", if truth == said { '✓' } else { '✗' })
}

fn columns(time: &str, who: &str, what: &str, place: &str, truth: &str, because: &str) -> String {
    format!("{time:<8}  {who:<7}  {what:<7}  {place:<25}  {truth:<13}  {because}")
}

fn place(problem: &Problem) -> String {
    problem.ap.as_ref().map_or_else(|| problem.text.clone(), |ap| format!("{ap}: {}", problem.text))
}

fn cut(text: &str) -> String {
    if text.chars().count() <= LINE_MAX {
        return format!("{}\n", text.trim_end());
    }
    let kept: String = text.chars().take(LINE_MAX - 1).collect();
    format!("{}…\n", kept.trim_end())
}

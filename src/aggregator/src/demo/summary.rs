//! What came of a demonstration: in words, or as one JSON object for whoever compares runs.

use std::fmt;

use serde_json::json;

use crate::score::house::measures::{Measures, Quantiles, Tally, thousandths};

/// The figures.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Summary {
    /// How fast the home lived.
    pub(super) speed: Option<u32>,
    /// The machine did not keep up with this speed.
    pub(super) slow_of: Option<u32>,
    pub(super) people: usize,
    pub(super) rooms: usize,
    pub(super) rooms_without_ap: usize,
    pub(super) measures: Measures,
}

impl Summary {
    /// One line.
    pub(super) fn json(&self) -> String {
        let measures = &self.measures;
        let object = json!({
            "moves": measures.changes,
            "room_accuracy": thousandths(measures.room.share()),
            "false_aways": measures.false_aways,
            "room_accuracy_all": thousandths(measures.room_all.share()),
            "home_accuracy": thousandths(measures.home.share()),
            "true_moves": measures.true_changes,
            "median_delay_s": self.room_delay_s(),
            "moves_missed": measures.with_ap.missed,
            "median_away_delay_s": measures.gates_s().median_s,
            "aways_missed": self.aways_missed(),
            "simulated_s": measures.simulated_s,
            "speed": self.speed,
            "kept_up": self.slow_of.is_none(),
        });
        format!("{object}\n")
    }

    fn room_delay_s(&self) -> Option<f64> {
        Quantiles::of(self.measures.with_ap.awake_ms.iter().copied()).median_s
    }

    /// That it was slower than was asked for.
    fn slowness(&self) -> String {
        let (Some(speed), Some(asked)) = (self.speed, self.slow_of) else { return String::new() };
        format!(", {speed} times as fast: this machine does not keep up with {asked}")
    }

    fn aways_missed(&self) -> u64 {
        self.measures.missed_departures + self.measures.short_absences_missed
    }
}

fn percent(tally: Tally) -> String {
    tally.share().map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

fn seconds(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.0} s"))
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let measures = &self.measures;
        let (hours, minutes) = (measures.simulated_s / 3600, measures.simulated_s / 60 % 60);
        writeln!(f, "\n{hours} h {minutes:02} min of {} people's life{}", self.people, self.slowness())?;
        writeln!(
            f,
            "  moves          {} published; {} true ones with a stay of 5 s or more",
            measures.changes, measures.true_changes
        )?;
        writeln!(
            f,
            "  room accuracy  {} of the seconds that people were in a room with an access point",
            percent(measures.room)
        )?;
        writeln!(
            f,
            "                 {} of those in any room: {} of {} rooms have none, and cannot be told from their neighbours",
            percent(measures.room_all),
            self.rooms_without_ap,
            self.rooms
        )?;
        writeln!(
            f,
            "  room delay     {} median, of those whose phone was awake, into a room with an access point; {} stays missed",
            seconds(self.room_delay_s()),
            measures.with_ap.missed
        )?;
        writeln!(f, "  home or away   right in {} of all seconds", percent(measures.home))?;
        writeln!(
            f,
            "  away delay     {} median, from the gate to \"away\"; {} absences missed",
            seconds(measures.gates_s().median_s),
            self.aways_missed()
        )?;
        writeln!(f, "  false aways    {}", measures.false_aways)
    }
}

//! What came of a demonstration: in words, or as one JSON object for whoever compares runs.

use std::fmt;

use serde_json::json;

/// Right answers out of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    right: u64,
    all: u64,
}

impl Tally {
    pub(super) fn add(&mut self, right: bool) {
        self.right += u64::from(right);
        self.all += 1;
    }

    /// From 0 to 1; `None` if nothing was asked.
    pub(super) fn share(self) -> Option<f64> {
        (self.all > 0).then(|| self.right as f64 / self.all as f64)
    }
}

/// The figures.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Summary {
    pub(super) simulated_s: u64,
    pub(super) people: usize,
    pub(super) rooms: usize,
    pub(super) rooms_without_ap: usize,
    pub(super) moves: u64,
    pub(super) true_moves: u64,
    pub(super) room: Tally,
    pub(super) room_all: Tally,
    pub(super) home: Tally,
    pub(super) false_aways: u64,
    pub(super) room_delay_s: Option<f64>,
    pub(super) rooms_missed: u64,
    pub(super) away_delay_s: Option<f64>,
    pub(super) aways_missed: u64,
}

impl Summary {
    /// One line.
    pub(super) fn json(&self) -> String {
        let object = json!({
            "moves": self.moves,
            "room_accuracy": thousandths(self.room.share()),
            "false_aways": self.false_aways,
            "room_accuracy_all": thousandths(self.room_all.share()),
            "home_accuracy": thousandths(self.home.share()),
            "true_moves": self.true_moves,
            "median_delay_s": self.room_delay_s,
            "moves_missed": self.rooms_missed,
            "median_away_delay_s": self.away_delay_s,
            "aways_missed": self.aways_missed,
            "simulated_s": self.simulated_s,
        });
        format!("{object}\n")
    }
}

/// Rounded, so that two runs compare at a glance; nothing asked counts as nothing right.
fn thousandths(share: Option<f64>) -> f64 {
    (share.unwrap_or(0.0) * 1000.0).round() / 1000.0
}

fn percent(tally: Tally) -> String {
    tally.share().map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

fn seconds(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.0} s"))
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hours, minutes) = (self.simulated_s / 3600, self.simulated_s / 60 % 60);
        writeln!(f, "\n{hours} h {minutes:02} min of {} people's life", self.people)?;
        writeln!(
            f,
            "  moves          {} published; {} true ones with a stay of a minute or more",
            self.moves, self.true_moves
        )?;
        writeln!(
            f,
            "  room accuracy  {} of the seconds that people were in a room with an access point",
            percent(self.room)
        )?;
        writeln!(
            f,
            "                 {} of those in any room: {} of {} rooms have none, and cannot be told from their neighbours",
            percent(self.room_all),
            self.rooms_without_ap,
            self.rooms
        )?;
        writeln!(
            f,
            "  room delay     {} median, from the true move into a room with an access point; {} stays missed",
            seconds(self.room_delay_s),
            self.rooms_missed
        )?;
        writeln!(f, "  home or away   right in {} of all seconds", percent(self.home))?;
        writeln!(
            f,
            "  away delay     {} median, from the gate to \"away\"; {} absences missed",
            seconds(self.away_delay_s),
            self.aways_missed
        )?;
        writeln!(f, "  false aways    {}", self.false_aways)
    }
}

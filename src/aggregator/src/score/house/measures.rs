//! What came of a run, or of several: counts and delays, which add up over seeds, and the figures made of them.

use serde_json::{Value, json};

/// Right answers out of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    right: u64,
    all: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, right: bool) {
        self.right += u64::from(right);
        self.all += 1;
    }

    /// From 0 to 1; `None` if nothing was asked.
    pub(crate) fn share(self) -> Option<f64> {
        (self.all > 0).then(|| self.right as f64 / self.all as f64)
    }

    fn join(&mut self, other: Tally) {
        self.right += other.right;
        self.all += other.all;
    }
}

/// How late true changes of room were followed.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Delays {
    /// Awake phones' seconds in which the room was knowable, and of these the stays that were followed.
    pub knowable_ms: Vec<u64>,
    pub followed_ms: Vec<u64>,
    /// Stays of awake phones in which it never was.
    pub unknowable: u64,
    /// Of all stays of awake phones: awake seconds, and seconds of the clock.
    pub awake_ms: Vec<u64>,
    pub whole_ms: Vec<u64>,
    pub all_ms: Vec<u64>,
    /// Stays that were never followed; their length stands among the delays.
    pub missed: u64,
}

/// A departure that was noticed, or that ended unnoticed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Departure {
    /// Past an exit.
    pub exit: bool,
    /// After the week that a rule may learn in.
    pub learned: bool,
    /// From *gone* to "away".
    pub gone_ms: u64,
    /// From the gate to "away".
    pub gate_ms: u64,
}

/// Everything that was counted. See [`Scorer`](super::scorer::Scorer) for what is.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Measures {
    pub simulated_s: u64,
    /// In rooms with an access point, and in any.
    pub room: Tally,
    pub room_all: Tally,
    pub home: Tally,
    pub changes: u64,
    /// Those of them after which the answer was wrong.
    pub wrong_changes: u64,
    pub true_changes: u64,
    /// Those of them that were no passages.
    pub true_stays: u64,
    pub with_ap: Delays,
    pub without_ap: Delays,
    pub false_aways: u64,
    pub false_empties: u64,
    pub departures: u64,
    /// Departures and false aways nobody could know of.
    pub excepted: u64,
    pub missed_departures: u64,
    pub short_absences_missed: u64,
    pub departures_ms: Vec<Departure>,
    pub stuck_home_ms: u64,
    pub arrivals_ms: Vec<u64>,
}

impl Delays {
    fn join(&mut self, other: &Delays) {
        self.knowable_ms.extend(&other.knowable_ms);
        self.followed_ms.extend(&other.followed_ms);
        self.unknowable += other.unknowable;
        self.awake_ms.extend(&other.awake_ms);
        self.whole_ms.extend(&other.whole_ms);
        self.all_ms.extend(&other.all_ms);
        self.missed += other.missed;
    }
}

impl Measures {
    /// Adds another run's.
    pub(crate) fn join(&mut self, other: &Measures) {
        self.simulated_s += other.simulated_s;
        self.room.join(other.room);
        self.room_all.join(other.room_all);
        self.home.join(other.home);
        self.changes += other.changes;
        self.wrong_changes += other.wrong_changes;
        self.true_changes += other.true_changes;
        self.true_stays += other.true_stays;
        self.with_ap.join(&other.with_ap);
        self.without_ap.join(&other.without_ap);
        self.false_aways += other.false_aways;
        self.false_empties += other.false_empties;
        self.departures += other.departures;
        self.excepted += other.excepted;
        self.missed_departures += other.missed_departures;
        self.short_absences_missed += other.short_absences_missed;
        self.departures_ms.extend(&other.departures_ms);
        self.stuck_home_ms = self.stuck_home_ms.max(other.stuck_home_ms);
        self.arrivals_ms.extend(&other.arrivals_ms);
    }

    /// Delays from *gone* to "away", in seconds, of the departures that `counts` says.
    pub(crate) fn departures_s(&self, counts: impl Fn(&Departure) -> bool) -> Quantiles {
        let counted = self.departures_ms.iter().filter(|departure| counts(departure));
        Quantiles::of(counted.map(|departure| departure.gone_ms))
    }

    /// Delays from the gate to "away", in seconds.
    pub(crate) fn gates_s(&self) -> Quantiles {
        Quantiles::of(self.departures_ms.iter().map(|departure| departure.gate_ms))
    }

    /// The figures by their names.
    pub(crate) fn json(&self) -> Value {
        let awake = Quantiles::of(self.with_ap.knowable_ms.iter().copied());
        let all_rooms = self.with_ap.all_ms.iter().chain(&self.without_ap.all_ms).copied();
        let departures = self.departures_s(|_| true);
        json!({
            "room_accuracy": thousandths(self.room.share()),
            "room_accuracy_all": thousandths(self.room_all.share()),
            "home_accuracy": thousandths(self.home.share()),
            "changes": self.changes,
            "wrong_changes": self.wrong_changes,
            "true_changes": self.true_changes,
            "true_changes_without_passages": self.true_stays,
            "median_delay_s": awake.median_s,
            "p95_delay_s": awake.p95_s,
            "delay_if_followed": Quantiles::of(self.with_ap.followed_ms.iter().copied()).json(),
            "delay_awake": Quantiles::of(self.with_ap.awake_ms.iter().copied()).json(),
            "delay_awake_at_first": Quantiles::of(self.with_ap.whole_ms.iter().copied()).json(),
            "stays_unknowable": self.with_ap.unknowable,
            "delay_asleep_or_awake": Quantiles::of(self.with_ap.all_ms.iter().copied()).json(),
            "delay_all_rooms": Quantiles::of(all_rooms).json(),
            "stays_missed": self.with_ap.missed,
            "stays_missed_without_ap": self.without_ap.missed,
            "false_aways": self.false_aways,
            "false_empties": self.false_empties,
            "departures": self.departures,
            "excepted": self.excepted,
            "missed_departures": self.missed_departures,
            "short_absences_missed": self.short_absences_missed,
            "longest_stuck_home_s": self.stuck_home_ms / 1000,
            "median_departure_s": departures.median_s,
            "p95_departure_s": departures.p95_s,
            "exit": self.departures_s(|departure| departure.exit && departure.learned).json(),
            "interior": self.departures_s(|departure| !departure.exit && departure.learned).json(),
            "first_week": {
                "exit": self.departures_s(|departure| departure.exit && !departure.learned).json(),
                "interior": self.departures_s(|departure| !departure.exit && !departure.learned).json(),
            },
            "from_gate": self.gates_s().json(),
            "arrival": Quantiles::of(self.arrivals_ms.iter().copied()).json(),
        })
    }
}

/// Median and 95th percentile of delays.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Quantiles {
    pub count: usize,
    pub median_s: Option<f64>,
    pub p95_s: Option<f64>,
}

impl Quantiles {
    pub(crate) fn of(delays_ms: impl Iterator<Item = u64>) -> Quantiles {
        let mut sorted: Vec<u64> = delays_ms.collect();
        sorted.sort_unstable();
        // The smallest delay that so many in a hundred do not exceed.
        let at = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100).max(1);
            sorted.get(rank - 1).map(|&ms| ms as f64 / 1000.0)
        };
        Quantiles { count: sorted.len(), median_s: at(50), p95_s: at(95) }
    }

    fn json(self) -> Value {
        json!({ "count": self.count, "median_s": self.median_s, "p95_s": self.p95_s })
    }
}

/// Rounded, so that two runs compare at a glance; nothing asked counts as nothing right.
pub(crate) fn thousandths(share: Option<f64>) -> f64 {
    (share.unwrap_or(0.0) * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_delays_that_occurred() {
        let of = |delays_ms: &[u64]| Quantiles::of(delays_ms.iter().copied());
        assert_eq!(of(&[]), Quantiles::default());
        assert_eq!(of(&[3_000, 1_000]), Quantiles { count: 2, median_s: Some(1.0), p95_s: Some(3.0) });
        let hundred: Vec<u64> = (1..=100).map(|s| s * 1000).collect();
        assert_eq!(of(&hundred), Quantiles { count: 100, median_s: Some(50.0), p95_s: Some(95.0) });
    }
}

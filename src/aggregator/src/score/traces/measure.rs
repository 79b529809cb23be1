//! Decisions against the truth: once a second, what was right, how often the decision changed, and how long it took
//! after the phone had moved.

use serde::Serialize;

use super::trace::Trace;

/// A second nothing was heard in for this long says nothing about a rule.
const SILENT_MS: i64 = 2_000;

/// What is judged, and how.
const STEP_MS: i64 = 1_000;

/// One judged second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Second {
    pub at_ms: i64,
    /// Where the phone was: position among the trace's rooms.
    pub truth: usize,
}

/// A judged second and what a rule said in it: the room's name, if it had one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged<'t> {
    pub at_ms: i64,
    pub truth: &'t str,
    pub decided: Option<&'t str>,
}

/// Sums over seconds and changes, of one file or of several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sums {
    seconds: u64,
    right: u64,
    changes: u64,
    true_changes: u64,
    /// After each true change.
    delays_ms: Vec<u64>,
}

/// What the sums come to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Score {
    /// Part of the seconds in which the room was right, from 0 to 1.
    pub accuracy: f64,
    pub changes_per_hour: f64,
    pub true_changes_per_hour: f64,
    /// None where the truth never changed.
    pub median_delay_s: Option<f64>,
    pub p95_delay_s: Option<f64>,
}

/// The seconds a trace is judged in: from a second after its first reading to its last, where anything was heard.
pub fn seconds(trace: &Trace) -> Vec<Second> {
    let last_ms = trace.readings[trace.readings.len() - 1].t_ms;
    let mut seconds = Vec::new();
    let mut at_ms = trace.readings[0].t_ms + STEP_MS;
    while at_ms <= last_ms {
        let until = trace.readings.partition_point(|reading| reading.t_ms <= at_ms);
        // There is one: the trace's first is a second old.
        let latest = &trace.readings[until - 1];
        if at_ms - latest.t_ms < SILENT_MS {
            seconds.push(Second { at_ms, truth: latest.room });
        }
        at_ms += STEP_MS;
    }
    seconds
}

/// Sums up one file's seconds.
pub fn sum(judged: &[Judged<'_>]) -> Sums {
    let mut sums = Sums { seconds: judged.len() as u64, ..Sums::default() };
    sums.right = judged.iter().filter(|second| second.decided == Some(second.truth)).count() as u64;
    for pair in judged.windows(2) {
        let [before, second] = pair else { continue };
        sums.true_changes += u64::from(second.truth != before.truth);
        sums.changes += u64::from(before.decided.is_some() && second.decided != before.decided);
    }
    sums.delays_ms = delays_ms(judged);
    sums
}

/// From each true change to the first right decision, or to the end of that stay if none came.
fn delays_ms(judged: &[Judged<'_>]) -> Vec<u64> {
    let starts = (1..judged.len()).filter(|second| judged[*second].truth != judged[second - 1].truth);
    let delay = |start: usize| {
        let stay = judged[start..].iter().take_while(|second| second.truth == judged[start].truth);
        let mut end_ms = judged[start].at_ms;
        for second in stay {
            end_ms = second.at_ms;
            if second.decided == Some(second.truth) {
                return (end_ms - judged[start].at_ms).unsigned_abs();
            }
        }
        (end_ms - judged[start].at_ms + STEP_MS).unsigned_abs()
    };
    starts.map(delay).collect()
}

impl Sums {
    /// Adds another file's.
    pub fn add(&mut self, other: &Sums) {
        self.seconds += other.seconds;
        self.right += other.right;
        self.changes += other.changes;
        self.true_changes += other.true_changes;
        self.delays_ms.extend(&other.delays_ms);
    }

    /// What they come to.
    pub fn score(&self) -> Score {
        // A file too short for a single second has nothing to be wrong about, and nothing to be right about.
        let seconds = self.seconds.max(1) as f64;
        let per_hour = |count: u64| count as f64 * 3600.0 / seconds;
        let mut delays_ms = self.delays_ms.clone();
        delays_ms.sort_unstable();
        Score {
            accuracy: self.right as f64 / seconds,
            changes_per_hour: per_hour(self.changes),
            true_changes_per_hour: per_hour(self.true_changes),
            median_delay_s: quantile_s(&delays_ms, 50),
            p95_delay_s: quantile_s(&delays_ms, 95),
        }
    }
}

/// The smallest delay that so many percent do not exceed.
fn quantile_s(sorted_ms: &[u64], percent: usize) -> Option<f64> {
    let rank = (sorted_ms.len() * percent).div_ceil(100);
    sorted_ms.get(rank.saturating_sub(1)).map(|ms| *ms as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::super::trace::parse;
    use super::*;

    fn judged(truth: &'static str, decided: &'static str) -> Vec<Judged<'static>> {
        let name = |at: usize, text: &'static str| text.get(at..=at).filter(|name| *name != "-");
        (0..truth.len())
            .map(|at| Judged {
                at_ms: at as i64 * 1000,
                truth: name(at, truth).unwrap(),
                decided: name(at, decided),
            })
            .collect()
    }

    #[test]
    fn seconds_in_silence_are_skipped() {
        let text = "t_ms,ap,rssi_dbm,room\n100,a,-60,a\n1200,a,-60,b\n5000,a,-60,a\n";
        let found: Vec<(i64, usize)> =
            seconds(&parse("f", text).unwrap()).iter().map(|second| (second.at_ms, second.truth)).collect();
        assert_eq!(found, [(1_100, 0), (2_100, 1), (3_100, 1)]);
    }

    #[test]
    fn rights_changes_and_delays_are_counted() {
        let score = sum(&judged("aaabbbbaaa", "-aaaabbbbb")).score();
        assert_eq!(score.accuracy, 0.4);
        assert_eq!(score.changes_per_hour, 360.0);
        assert_eq!(score.true_changes_per_hour, 720.0);
        assert_eq!(
            (score.median_delay_s, score.p95_delay_s),
            (Some(2.0), Some(3.0)),
            "two, and never within three"
        );
    }

    #[test]
    fn pooled_is_over_seconds_not_over_files() {
        let mut sums = sum(&judged("aaaaaaaa", "aaaaaaaa"));
        sums.add(&sum(&judged("bb", "aa")));
        assert_eq!(sums.score().accuracy, 0.8);
        assert_eq!(sums.score().median_delay_s, None);
    }
}

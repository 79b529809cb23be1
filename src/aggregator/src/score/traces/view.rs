//! What of a trace a rule is shown: everything that was heard, or only what a home's access points really give, where
//! the phone is on one AP and the others hear it when it looks for a better one.

use super::trace::{Reading, Trace};

/// Which readings a rule is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum View {
    /// Every AP's.
    #[default]
    All,
    /// Those of the AP the phone is on, and everybody's before it roams.
    Associated,
}

/// One thing a rule is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    pub at_ms: i64,
    /// Position among the trace's APs.
    pub ap: usize,
    pub what: What,
}

/// What it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The phone is on this AP from now on.
    Associated,
    /// The AP heard it.
    Heard { rssi_dbm: i8 },
}

/// A phone leaves an AP whose mean is below this, on these recordings' scale.
const LEAVE_BELOW_DBM: f32 = -85.0;

/// And only for one that is better by so much.
const BETTER_BY_DB: f32 = 8.0;

/// What counts as a mean.
const MEAN_OF_MS: i64 = 5_000;

/// The AP it is on reports once in so long.
const REPORT_EACH_MS: i64 = 5_000;

/// A phone that looks for another AP is heard by everyone within this.
const SCAN_MS: i64 = 1_000;

/// What the view shows, in order of time.
pub fn shown(trace: &Trace, view: View) -> Vec<Shown> {
    match view {
        View::All => trace.readings.iter().map(heard).collect(),
        View::Associated => associated(trace),
    }
}

fn heard(reading: &Reading) -> Shown {
    Shown { at_ms: reading.t_ms, ap: reading.ap, what: What::Heard { rssi_dbm: reading.rssi_dbm } }
}

/// Once a second the phone judges; it begins on the AP that heard it best in the first second.
fn associated(trace: &Trace) -> Vec<Shown> {
    let mut shown = Vec::new();
    let mut on: Option<usize> = None;
    let mut report_at = i64::MIN;
    let (first, last) = (trace.readings[0].t_ms, trace.readings[trace.readings.len() - 1].t_ms);
    let mut at_ms = first + SCAN_MS;
    while at_ms <= last + SCAN_MS {
        let until = trace.readings.partition_point(|reading| reading.t_ms <= at_ms);
        let means = means(trace, until, at_ms);
        if let Some(better) = better(&means, on) {
            scan(trace, until, at_ms, &mut shown);
            shown.push(Shown { at_ms, ap: better, what: What::Associated });
            on = Some(better);
            report_at = at_ms + REPORT_EACH_MS;
        } else if at_ms >= report_at {
            if let Some(on) = on {
                let recent = within(trace, until, at_ms - REPORT_EACH_MS);
                shown.extend(
                    recent
                        .iter()
                        .rev()
                        .find(|reading| reading.ap == on)
                        .map(|reading| Shown { at_ms, ..heard(reading) }),
                );
            }
            report_at = at_ms + REPORT_EACH_MS;
        }
        at_ms += 1_000;
    }
    shown
}

/// One reading of every AP that heard the phone within the last second.
fn scan(trace: &Trace, until: usize, at_ms: i64, shown: &mut Vec<Shown>) {
    let second = within(trace, until, at_ms - SCAN_MS);
    for ap in 0..trace.aps.len() {
        shown.extend(
            second
                .iter()
                .rev()
                .find(|reading| reading.ap == ap)
                .map(|reading| Shown { at_ms, ..heard(reading) }),
        );
    }
}

/// Where the phone goes, if it goes: to the best that is better enough. One that its AP no longer hears has lost it.
fn better(means: &[Option<f32>], on: Option<usize>) -> Option<usize> {
    let mut best: Option<(usize, f32)> = None;
    for (ap, mean) in means.iter().enumerate() {
        if let Some(mean) = mean.filter(|mean| best.is_none_or(|(_, best)| *mean > best)) {
            best = Some((ap, mean));
        }
    }
    let (best, level) = best?;
    let Some(own) = on else { return Some(best) };
    let stays = means[own].is_some_and(|own| own >= LEAVE_BELOW_DBM || level < own + BETTER_BY_DB);
    (!stays && best != own).then_some(best)
}

fn means(trace: &Trace, until: usize, at_ms: i64) -> Vec<Option<f32>> {
    let mut sums = vec![(0.0f32, 0u16); trace.aps.len()];
    for reading in within(trace, until, at_ms - MEAN_OF_MS) {
        let (sum, count) = &mut sums[reading.ap];
        *sum += f32::from(reading.rssi_dbm);
        *count += 1;
    }
    sums.into_iter().map(|(sum, count)| (count > 0).then(|| sum / f32::from(count))).collect()
}

/// The readings later than `after_ms` among the first `until`.
fn within(trace: &Trace, until: usize, after_ms: i64) -> &[Reading] {
    let seen = &trace.readings[..until];
    &seen[seen.partition_point(|reading| reading.t_ms <= after_ms)..]
}

#[cfg(test)]
mod tests {
    use super::super::trace::parse;
    use super::*;

    /// Two APs heard each half second, at levels that a function of the second gives.
    fn trace(seconds: i64, levels: impl Fn(i64) -> [i8; 2]) -> Trace {
        let mut text = "t_ms,ap,rssi_dbm,room\n".to_owned();
        for half in 0..seconds * 2 {
            let [a, b] = levels(half / 2);
            text += &format!("{0},a,{a},a\n{0},b,{b},a\n", half * 500);
        }
        parse("f", &text).unwrap()
    }

    #[test]
    fn a_phone_is_sticky_and_heard_by_one_until_it_roams() {
        let trace = trace(60, |second| {
            if second < 20 {
                [-60, -90]
            } else if second < 40 {
                [-84, -50]
            } else {
                [-89, -50]
            }
        });
        let shown = shown(&trace, View::Associated);
        let roams: Vec<(i64, usize)> = shown
            .iter()
            .filter(|shown| shown.what == What::Associated)
            .map(|shown| (shown.at_ms, shown.ap))
            .collect();
        assert_eq!(roams, [(1_000, 0), (41_000, 1)], "-84 is no reason to leave");
        let other: Vec<i64> = shown
            .iter()
            .filter(|shown| shown.ap == 1 && shown.at_ms < 41_000)
            .map(|shown| shown.at_ms)
            .collect();
        assert_eq!(other, [1_000], "the other hears it only when it looks around");
        let reports = shown.iter().filter(|shown| (2_000..41_000).contains(&shown.at_ms)).count();
        assert_eq!(reports, 7, "one in five seconds");
    }

    #[test]
    fn a_phone_its_ap_no_longer_hears_goes_to_the_best() {
        let text = "t_ms,ap,rssi_dbm,room\n0,a,-60,a\n0,b,-80,a\n7000,b,-80,a\n";
        let roams: Vec<usize> = shown(&parse("f", text).unwrap(), View::Associated)
            .iter()
            .filter(|shown| shown.what == What::Associated)
            .map(|shown| shown.ap)
            .collect();
        assert_eq!(roams, [0, 1]);
    }

    #[test]
    fn everything_is_everything() {
        let trace = trace(3, |_| [-60, -61]);
        assert_eq!(shown(&trace, View::All).len(), 12);
    }
}

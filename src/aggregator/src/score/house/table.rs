//! Judgements as text.

use std::fmt::Write as _;

use super::measures::{Measures, Quantiles};
use super::scorer::{Finding, What};
use super::{Judgement, Options, RULES};

pub(super) fn text(options: &Options, judgements: &[Judgement]) -> String {
    let mut text = String::new();
    for judgement in judgements {
        let (days, seeds) = (options.days, options.seeds.len());
        let _ = writeln!(text, "{}: {days} days of {seeds} households", judgement.variant);
        for (name, rule) in RULES {
            if let Some(total) = judgement.total(rule) {
                figures(&mut text, name, &total);
            }
            for outcome in judgement.outcomes.iter().filter(|_| options.findings) {
                for (who, found) in rule(outcome).into_iter().flat_map(|judged| &judged.findings) {
                    let _ = writeln!(text, "    {name}, seed {}: {}", outcome.seed, finding(who, found));
                }
            }
        }
    }
    text
}

fn figures(text: &mut String, name: &str, measures: &Measures) {
    let awake = Quantiles::of(measures.with_ap.knowable_ms.iter().copied());
    let exit = measures.departures_s(|departure| departure.exit && departure.learned);
    let interior = measures.departures_s(|departure| !departure.exit && departure.learned);
    let per = |count: u64| measures.changes as f64 / count.max(1) as f64;
    let _ = writeln!(
        text,
        "  {name:<9}  false aways {}, false empties {}, missed departures {} ({} short), stuck home {:.1} h at most",
        measures.false_aways,
        measures.false_empties,
        measures.missed_departures,
        measures.short_absences_missed,
        measures.stuck_home_ms as f64 / 3_600_000.0,
    );
    let _ = writeln!(
        text,
        "             room right {}, of all rooms {}; changes {} ({} of them wrong) to {} true ({:.2}), {} without passages ({:.2}); delay awake {} (if followed {}; with {} stays that nothing told of {}), {} of {} stays missed",
        percent(measures.room.share()),
        percent(measures.room_all.share()),
        measures.changes,
        measures.wrong_changes,
        measures.true_changes,
        per(measures.true_changes),
        measures.true_stays,
        per(measures.true_stays),
        quantiles(awake),
        quantiles(Quantiles::of(measures.with_ap.followed_ms.iter().copied())),
        measures.with_ap.unknowable,
        quantiles(Quantiles::of(measures.with_ap.awake_ms.iter().copied())),
        measures.with_ap.missed,
        measures.with_ap.all_ms.len(),
    );
    let _ = writeln!(
        text,
        "             departure past an exit {}, past another {}; from the gate {}; arrival {}",
        quantiles(exit),
        quantiles(interior),
        quantiles(measures.gates_s()),
        quantiles(Quantiles::of(measures.arrivals_ms.iter().copied())),
    );
}

/// A finding as a line.
pub(super) fn finding(who: &str, finding: &Finding) -> String {
    let s = finding.at_ms / 1000;
    // Time 0 is seven in the morning of day 0.
    let of_day = s + 7 * 3600;
    let time = format!(
        "day {} {:02}:{:02}:{:02}",
        of_day / 86_400,
        of_day / 3600 % 24,
        of_day / 60 % 60,
        of_day % 60
    );
    let what = match finding.what {
        What::FalseAway { inside_for_s } => format!("called away, inside for {}", duration(inside_for_s)),
        What::FalseEmpty => "called empty with somebody in it".to_owned(),
        What::SlowDeparture { exit, gone_for_s, out_for_s } => {
            let past = if exit { "an exit" } else { "no exit" };
            let (gone, out) = (duration(gone_for_s), duration(out_for_s));
            format!("called away late, gone past {past} for {gone}, out for {out}")
        }
        What::MissedDeparture { out_for_s } => format!("never called away, out for {}", duration(out_for_s)),
    };
    let because = if finding.because.is_empty() { String::new() } else { format!(": {}", finding.because) };
    format!("{time} {who} {what}{because}")
}

fn duration(s: u64) -> String {
    match (s / 3600, s / 60) {
        (0, 0) => format!("{s} s"),
        (0, min) => format!("{min} min"),
        (h, min) => format!("{h} h {} min", min % 60),
    }
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

fn quantiles(of: Quantiles) -> String {
    match (of.median_s, of.p95_s) {
        (Some(median_s), Some(p95_s)) => format!("{median_s:.0} s median, {p95_s:.0} s p95 ({})", of.count),
        _ => "-".to_owned(),
    }
}

//! Scores decisions about rooms on recorded traces, once a second, against where the phone was. An AP stands in the
//! room of its name.

mod calibrate;
mod measure;
mod ours;
mod plot;
mod rule;
pub(crate) mod trace;
mod view;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use lexopt::prelude::*;
use serde::Serialize;

use crate::Failure;
use measure::{Judged, Score, Sums};
use ours::{Home, Ours};
use plot::Drawn;
use rule::{Loudest, Rule};
use trace::{Refusal, Trace};
use view::{Shown, View};

const HELP: &str = "\
whichroom score FILE...: how well rooms are told, on recorded traces.

A trace is CSV with the columns t_ms,ap,rssi_dbm,room: which access point heard the phone how loudly when, and in which
room it really was. An access point stands in the room of its name. Decisions are judged once a second; seconds in
which nothing was heard for 2 s are skipped.

  --view all|associated       all: what every access point heard (default). associated: what a home really gives: the
                              phone is on one access point, which hears it once in 5 s, and leaves it only below
                              -85 dBm for one at least 8 dB better; everyone hears it in the second before
  --rule strongest|margin|ours
                              strongest: the best of the last second. margin: the best mean of 5 s, once 6 dB ahead.
                              ours: what whichroom run does (default)
  --calibrate FILE...         what whichroom calibrate would have found in these traces, for ours; a trace among them
                              is left out while it is itself scored
  --plot DIR                  an SVG of each trace: truth, decision, probabilities, and what was heard
  --json                      {\"files\":[{\"file\",\"accuracy\",\"changes_per_hour\",\"true_changes_per_hour\",
                              \"median_delay_s\",\"p95_delay_s\"}],\"total\":{the same}}
";

#[derive(Default)]
struct Options {
    files: Vec<PathBuf>,
    view: View,
    rule: Rule,
    calibrate: Vec<PathBuf>,
    plot: Option<PathBuf>,
    json: bool,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    files: Vec<Line>,
    total: Score,
}

#[derive(Debug, Serialize)]
struct Line {
    file: String,
    #[serde(flatten)]
    score: Score,
}

/// Runs `whichroom score FILE...`.
pub fn main(args: lexopt::Parser) -> Result<(), Failure> {
    let Some(options) = options(args)? else { return crate::print(HELP) };
    let traces = options.files.iter().map(read).collect::<Result<Vec<Trace>, Failure>>()?;
    let calibration = options.calibrate.iter().map(read).collect::<Result<Vec<Trace>, Failure>>()?;
    for trace in traces.iter().chain(&calibration) {
        known_rooms_only(trace, &traces, &calibration)
            .map_err(|refusal| Failure::usage(refusal.to_string()))?;
    }
    if let Some(directory) = &options.plot {
        draw(&traces, &calibration, &options, directory)?;
    }
    let report = report(&traces, &calibration, &options);
    if options.json {
        let text = serde_json::to_string(&report)
            .map_err(|error| Failure::run(format!("the report cannot be written: {error}")))?;
        return crate::print(&(text + "\n"));
    }
    crate::print(&table(&report))
}

fn options(mut args: lexopt::Parser) -> Result<Option<Options>, Failure> {
    let mut options = Options::default();
    while let Some(argument) = args.next()? {
        match argument {
            Long("view") => options.view = choice("--view", &args.value()?.string()?, &VIEWS)?,
            Long("rule") => options.rule = choice("--rule", &args.value()?.string()?, &RULES)?,
            Long("calibrate") => options.calibrate.extend(args.values()?.map(PathBuf::from)),
            Long("plot") => options.plot = Some(args.value()?.into()),
            Long("json") => options.json = true,
            Long("help") | Short('h') => return Ok(None),
            Value(file) => options.files.push(PathBuf::from(file)),
            Long(_) | Short(_) => return Err(argument.unexpected().into()),
        }
    }
    if options.files.is_empty() {
        return Err(Failure::usage(format!("no trace to score\n\n{HELP}")));
    }
    if !options.calibrate.is_empty() && options.rule != Rule::Ours {
        return Err(Failure::usage("--calibrate is for --rule ours: the others learn nothing"));
    }
    Ok(Some(options))
}

const VIEWS: [(&str, View); 2] = [("all", View::All), ("associated", View::Associated)];

const RULES: [(&str, Rule); 3] =
    [("strongest", Rule::Strongest), ("margin", Rule::Margin), ("ours", Rule::Ours)];

fn choice<T: Copy>(option: &str, text: &str, choices: &[(&str, T)]) -> Result<T, Failure> {
    let found = choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
    found.ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        Failure::usage(format!("{option} {text}: there is {}", names.join(", ")))
    })
}

fn read(file: &PathBuf) -> Result<Trace, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("{} cannot be read: {error}", file.display())))?;
    trace::parse(&file.display().to_string(), &text).map_err(|refusal| Failure::usage(refusal.to_string()))
}

/// A room no AP of that home stands in, and that no calibration was made in, can never be told: a slip of the pen
/// more likely than a room. Traces that share an AP are of one home.
fn known_rooms_only(trace: &Trace, traces: &[Trace], calibration: &[Trace]) -> Result<(), Refusal> {
    let aps: BTreeSet<&String> = trace.aps.iter().collect();
    let is_same_home = |other: &&Trace| other.aps.iter().any(|ap| aps.contains(ap));
    let of_home = traces.iter().chain(calibration).filter(is_same_home).flat_map(|other| &other.aps);
    let calibrated = calibration.iter().filter(is_same_home).flat_map(|other| &other.rooms);
    let known: BTreeSet<&String> = of_home.chain(calibrated).chain(aps.iter().copied()).collect();
    let unknown = trace.readings.iter().find(|reading| !known.contains(&trace.rooms[reading.room]));
    let Some(reading) = unknown else { return Ok(()) };
    let names: Vec<&str> = known.iter().map(|name| name.as_str()).collect();
    let reason = format!(
        "unknown room {:?}: no access point stands in it; known are {}",
        trace.rooms[reading.room],
        names.join(", ")
    );
    Err(Refusal { file: trace.file.clone(), line: reading.line, reason })
}

fn report(traces: &[Trace], calibration: &[Trace], options: &Options) -> Report {
    let mut total = Sums::default();
    let files = traces.iter().map(|trace| {
        let home = home_of(trace, calibration);
        let judged: Vec<Judged<'_>> =
            judge(trace, &home, options).into_iter().map(|second| second.judged).collect();
        let sums = measure::sum(&judged);
        total.add(&sums);
        Line { file: trace.file.clone(), score: sums.score() }
    });
    Report { files: files.collect(), total: total.score() }
}

/// The home of a trace, calibrated with the other traces.
fn home_of(trace: &Trace, calibration: &[Trace]) -> Home {
    Home::new(trace, calibration.iter().filter(|other| !other.is_same(trace)))
}

/// A picture of each trace in a directory, which is made if it is missing.
fn draw(traces: &[Trace], calibration: &[Trace], options: &Options, directory: &Path) -> Result<(), Failure> {
    let trouble = |file: &Path, error: std::io::Error| {
        Failure::run(format!("{} cannot be written: {error}", file.display()))
    };
    std::fs::create_dir_all(directory).map_err(|error| trouble(directory, error))?;
    for trace in traces {
        let home = home_of(trace, calibration);
        let seconds = judge(trace, &home, options);
        let right =
            seconds.iter().filter(|second| second.judged.decided == Some(second.judged.truth)).count();
        let title = format!("{}: right in {right} of {} seconds", trace.file, seconds.len());
        let file = plot::file_in(directory, trace);
        let shown = view::shown(trace, options.view);
        std::fs::write(&file, plot::svg(trace, &home, &shown, &seconds, &title))
            .map_err(|error| trouble(&file, error))?;
    }
    Ok(())
}

/// Runs the rule over a trace; what it says at the end of each judged second counts.
fn judge<'t>(trace: &'t Trace, home: &'t Home, options: &Options) -> Vec<Drawn<'t>> {
    let mut decider = Decider::new(options.rule);
    let shown = view::shown(trace, options.view);
    let mut next = 0;
    let seconds = measure::seconds(trace).into_iter().map(|second| {
        while let Some(shown) = shown.get(next).filter(|shown| shown.at_ms <= second.at_ms) {
            decider.take(home, shown);
            next += 1;
        }
        let decided = decider.decide(home, second.at_ms).map(|room| home.rooms[room].as_str());
        let judged = Judged { at_ms: second.at_ms, truth: &trace.rooms[second.truth], decided };
        Drawn { judged, candidates: decider.candidates() }
    });
    seconds.collect()
}

/// A rule at work.
enum Decider {
    Loudest(Loudest),
    Ours(Box<Ours>),
}

impl Decider {
    fn new(rule: Rule) -> Decider {
        match rule {
            Rule::Strongest => Decider::Loudest(Loudest::strongest()),
            Rule::Margin => Decider::Loudest(Loudest::with_margin()),
            Rule::Ours => Decider::Ours(Box::default()),
        }
    }

    fn take(&mut self, home: &Home, shown: &Shown) {
        match self {
            Decider::Loudest(rule) => rule.take(shown),
            Decider::Ours(ours) => ours.take(home, shown),
        }
    }

    /// How probable each room is held; nothing for rules that know no probability.
    fn candidates(&self) -> Vec<(usize, u8)> {
        match self {
            Decider::Loudest(_) => Vec::new(),
            Decider::Ours(ours) => ours.candidates(),
        }
    }

    /// The room by its position in the home.
    fn decide(&mut self, home: &Home, now_ms: i64) -> Option<usize> {
        match self {
            // An AP's position is its room's.
            Decider::Loudest(rule) => rule.decide(now_ms),
            Decider::Ours(ours) => ours.decide(home, now_ms),
        }
    }
}

fn table(report: &Report) -> String {
    let width = report.files.iter().map(|line| line.file.chars().count()).max().unwrap_or(0).max(5);
    let mut text = format!("{:width$}  accuracy  changes/h  true/h  median delay  p95 delay\n", "file",);
    let total = ("total".to_owned(), &report.total);
    for (file, score) in report.files.iter().map(|line| (line.file.clone(), &line.score)).chain([total]) {
        let delay = |delay: Option<f64>| delay.map_or("-".to_owned(), |seconds| format!("{seconds:.1} s"));
        text += &format!(
            "{file:width$}  {:>6.2} %  {:>9.1}  {:>6.1}  {:>12}  {:>9}\n",
            score.accuracy * 100.0,
            score.changes_per_hour,
            score.true_changes_per_hour,
            delay(score.median_delay_s),
            delay(score.p95_delay_s),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str, rule: Rule) -> Report {
        let options = Options { rule, ..Options::default() };
        report(&[trace::parse("f.csv", text).unwrap()], &[], &options)
    }

    /// A walk from a to b after ten seconds, both heard twice a second.
    fn walk() -> String {
        let mut text = "t_ms,ap,rssi_dbm,room\n".to_owned();
        for half in 0..40 {
            let (room, a, b) = if half < 20 { ("a", -50, -80) } else { ("b", -80, -50) };
            text += &format!("{0},a,{a},{room}\n{0},b,{b},{room}\n", half * 500);
        }
        text
    }

    #[test]
    fn the_report_has_the_promised_shape() {
        let json = serde_json::to_string(&run(&walk(), Rule::Strongest)).unwrap();
        let score = "\"accuracy\":0.9473684210526315,\"changes_per_hour\":189.47368421052633,\
                     \"true_changes_per_hour\":189.47368421052633,\"median_delay_s\":1.0,\"p95_delay_s\":1.0}";
        assert_eq!(json, format!("{{\"files\":[{{\"file\":\"f.csv\",{score}],\"total\":{{{score}}}"));
    }

    #[test]
    fn a_picture_shows_truth_decision_and_every_reading() {
        let options = Options::default();
        let trace = trace::parse("<walk>.csv", &walk()).unwrap();
        let home = home_of(&trace, &[]);
        let seconds = judge(&trace, &home, &options);
        let [all, associated] = [View::All, View::Associated].map(|view| view::shown(&trace, view));
        let svg = plot::svg(&trace, &home, &all, &seconds, "<walk>");
        assert_eq!(svg.matches("<circle").count(), trace.readings.len());
        let part = plot::svg(&trace, &home, &associated, &seconds, "<walk>");
        let heard = associated.iter().filter(|shown| matches!(shown.what, view::What::Heard { .. })).count();
        assert!(heard > 0 && heard < trace.readings.len());
        assert_eq!(part.matches("fill-opacity=\"1\"").count(), heard, "what the rule was shown stands out");
        assert!(svg.contains("&lt;walk&gt;") && !svg.contains("<walk>"), "names are text");
        assert!(
            svg.matches("<rect").count() > 3 * seconds.len(),
            "truth, decision and probabilities each second"
        );
        assert!(
            seconds
                .iter()
                .all(|second| second.candidates.iter().map(|(_, p)| u32::from(*p)).sum::<u32>() <= 105)
        );
    }

    #[test]
    fn a_margin_costs_delay() {
        let total = run(&walk(), Rule::Margin).total;
        assert_eq!(total.median_delay_s, Some(3.0));
        assert!(total.accuracy < 1.0);
    }

    #[test]
    fn a_room_without_an_access_point_is_refused_with_its_line() {
        let parse =
            |file: &str, text: &str| trace::parse(file, &format!("t_ms,ap,rssi_dbm,room\n{text}")).unwrap();
        let first = parse("1.csv", "0,a,-60,a\n1,a,-60,loft\n");
        let refusal = known_rooms_only(&first, std::slice::from_ref(&first), &[]).unwrap_err().to_string();
        assert_eq!(refusal, "1.csv:3: unknown room \"loft\": no access point stands in it; known are a");
        let other = parse("2.csv", "0,loft,-60,a\n");
        assert!(known_rooms_only(&first, &[first.clone(), other], &[]).is_err(), "another home's");
        let same = parse("3.csv", "0,loft,-60,a\n1,a,-60,a\n");
        assert!(known_rooms_only(&first, &[first.clone(), same], &[]).is_ok());
        let calibrated = std::slice::from_ref(&first);
        assert!(
            known_rooms_only(&first, calibrated, calibrated).is_ok(),
            "calibrated rooms need no access point"
        );
    }
}

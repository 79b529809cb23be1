//! `whichroom score --house`: decisions about a simulated home whose truth is known, beside those of the rule that
//! comparable tools follow. Nothing of it is kept from a run to the next, and the same arguments give the same
//! figures. What the figures mean is said where they are counted, in `scorer`.

pub(crate) mod measures;
pub(crate) mod run;
pub(crate) mod scorer;
pub(crate) mod setup;
mod strongest;
mod table;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use lexopt::prelude::*;
use serde_json::{Map, Value, json};
use whichroom_simulator::Variant;

use self::measures::Measures;
use self::run::{House, Rules};
use self::scorer::{Finding, Scorer};
use crate::Failure;

const HELP: &str = "\
whichroom score --house: how right decisions are in a simulated home, whose truth is known.

  --days N             simulated days, 1 to 366 (default: 30)
  --seed N             which household (default: 1)
  --seeds A..B         several, from A to B
  --variant NAME       default, flat, two-ssids, dead-exit, dfs, work-phone, dead-phone or bouncing, or all
                       (default: default)
  --rule RULE          ours, strongest (what a poller of signals says), or both (default: both)
  --calibrated         its people say once for each phone and room, in the first three days, that they are in it;
                       without it nobody ever does, as most people never will
  --findings           also every decision that was wrong or slow, with its reasons
  --jobs N             seeds at a time (default: 1)
  --json               one JSON object; of several variants, one in the list \"variants\" for each
";

const DAYS_MAX: u64 = 366;
const SEEDS_MAX: u64 = 1000;
const DAY_MS: u64 = 86_400_000;

struct Options {
    days: u64,
    seeds: Vec<u64>,
    variants: Vec<Variant>,
    rules: Rules,
    calibrated: bool,
    findings: bool,
    jobs: usize,
    json: bool,
}

/// What came of one household in one home.
struct Outcome {
    seed: u64,
    ours: Option<Judged>,
    strongest: Option<Judged>,
}

struct Judged {
    measures: Measures,
    /// Each with the name of whom it is about.
    findings: Vec<(String, Finding)>,
}

/// All households of one variant, in order of their seeds.
struct Judgement {
    variant: Variant,
    outcomes: Vec<Outcome>,
}

/// Runs `whichroom score --house`.
pub(super) fn main(args: lexopt::Parser) -> Result<(), Failure> {
    let Some(options) = options(args)? else { return crate::print(HELP) };
    let started = Instant::now();
    let judge = |&variant: &Variant| Judgement { variant, outcomes: judge_all(&options, variant) };
    let judgements: Vec<Judgement> = options.variants.iter().map(judge).collect();
    let days = options.days * (options.seeds.len() * options.variants.len()) as u64;
    // How fast it was is no part of the result: two runs give the same bytes.
    eprintln!("{:.3} s a simulated day", started.elapsed().as_secs_f64() / days as f64);
    if options.json {
        return crate::print(&format!("{}\n", json_of(&options, &judgements)));
    }
    crate::print(&table::text(&options, &judgements))
}

fn options(mut args: lexopt::Parser) -> Result<Option<Options>, Failure> {
    let mut options = Options {
        days: 30,
        seeds: vec![1],
        variants: vec![Variant::Default],
        rules: Rules::Both,
        calibrated: false,
        findings: false,
        jobs: 1,
        json: false,
    };
    while let Some(argument) = args.next()? {
        match argument {
            Long("house") => {}
            Long("days") => options.days = args.value()?.parse_with(|text| within(text, DAYS_MAX))?,
            Long("seed") => options.seeds = vec![args.value()?.parse()?],
            Long("seeds") => options.seeds = args.value()?.parse_with(seeds)?,
            Long("variant") => options.variants = args.value()?.parse_with(variants)?,
            Long("rule") => options.rules = args.value()?.parse_with(rules)?,
            Long("calibrated") => options.calibrated = true,
            Long("findings") => options.findings = true,
            Long("jobs") => {
                let jobs = args.value()?.parse_with(|text| within(text, 64))?;
                options.jobs = usize::try_from(jobs).unwrap_or(1);
            }
            Long("json") => options.json = true,
            Long("help") | Short('h') => return Ok(None),
            Short(_) | Long(_) | Value(_) => return Err(argument.unexpected().into()),
        }
    }
    Ok(Some(options))
}

fn within(text: &str, max: u64) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| (1..=max).contains(number));
    number.ok_or_else(|| format!("not a number from 1 to {max}"))
}

fn seeds(text: &str) -> Result<Vec<u64>, String> {
    let bounds = text.split_once("..").and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    let (from, to): (u64, u64) = bounds.ok_or("not two numbers as in 1..10")?;
    if from > to || to - from >= SEEDS_MAX {
        return Err(format!("not 1 to {SEEDS_MAX} seeds"));
    }
    Ok((from..=to).collect())
}

fn variants(text: &str) -> Result<Vec<Variant>, String> {
    if text == "all" { Ok(Variant::ALL.to_vec()) } else { text.parse().map(|variant| vec![variant]) }
}

fn rules(text: &str) -> Result<Rules, String> {
    match text {
        "ours" => Ok(Rules::Ours),
        "strongest" => Ok(Rules::Strongest),
        "both" => Ok(Rules::Both),
        _ => Err("there is ours, strongest, both".to_owned()),
    }
}

/// Each job takes the next seed that nobody has taken.
fn judge_all(options: &Options, variant: Variant) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.min(options.seeds.len()) {
            scope.spawn(|| {
                while let Some(&seed) = options.seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = judge(options, variant, seed);
                    outcomes.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcomes.sort_by_key(|outcome| outcome.seed);
    outcomes
}

fn judge(options: &Options, variant: Variant, seed: u64) -> Outcome {
    let mut house = House::new(variant.plan(options.days, seed), seed, options.rules);
    if options.calibrated {
        house = house.with_calibration();
    }
    house.run_for(options.days * DAY_MS);
    let name = |person: Option<usize>| match person {
        Some(index) => house.world().people()[index].name.clone(),
        None => "the house".to_owned(),
    };
    let judged = |scorer: &Scorer| {
        let findings = scorer.findings().iter().map(|finding| (name(finding.person), finding.clone()));
        Judged { measures: scorer.measures(), findings: findings.collect() }
    };
    Outcome { seed, ours: house.ours().map(judged), strongest: house.strongest().map(judged) }
}

impl Judgement {
    /// The measures of all seeds of a rule together; `None` if it did not run.
    fn total(&self, rule: fn(&Outcome) -> Option<&Judged>) -> Option<Measures> {
        self.outcomes.iter().filter_map(rule).fold(None, |total, judged| {
            let mut total = total.unwrap_or_default();
            Measures::join(&mut total, &judged.measures);
            Some(total)
        })
    }
}

/// A rule's name, and its part of an outcome.
type Rule = (&'static str, fn(&Outcome) -> Option<&Judged>);

const RULES: [Rule; 2] =
    [("ours", |outcome| outcome.ours.as_ref()), ("strongest", |outcome| outcome.strongest.as_ref())];

fn json_of(options: &Options, judgements: &[Judgement]) -> Value {
    let mut variants: Vec<Value> =
        judgements.iter().map(|judgement| variant_json(options, judgement)).collect();
    match variants.len() {
        1 => variants.remove(0),
        _ => json!({ "variants": variants }),
    }
}

fn variant_json(options: &Options, judgement: &Judgement) -> Value {
    let mut object = Map::new();
    object.insert("variant".to_owned(), json!(judgement.variant.name()));
    object.insert("days".to_owned(), json!(options.days));
    object.insert("seeds".to_owned(), json!(options.seeds));
    object.insert("calibrated".to_owned(), json!(options.calibrated));
    for (name, rule) in RULES {
        if let Some(total) = judgement.total(rule) {
            object.insert(name.to_owned(), total.json());
        }
    }
    let by_seed = judgement.outcomes.iter().map(|outcome| {
        let mut object = Map::new();
        object.insert("seed".to_owned(), json!(outcome.seed));
        for (name, rule) in RULES {
            if let Some(judged) = rule(outcome) {
                object.insert(name.to_owned(), judged_json(options, judged));
            }
        }
        Value::Object(object)
    });
    object.insert("by_seed".to_owned(), by_seed.collect());
    Value::Object(object)
}

fn judged_json(options: &Options, judged: &Judged) -> Value {
    let mut figures = judged.measures.json();
    if let (true, Some(object)) = (options.findings, figures.as_object_mut()) {
        let lines = judged.findings.iter().map(|(name, finding)| table::finding(name, finding));
        object.insert("findings".to_owned(), lines.collect());
    }
    figures
}

#[cfg(test)]
mod tests;

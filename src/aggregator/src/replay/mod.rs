//! `whichroom replay`: a recording through the code that decided then, and the decisions that come of it. Nothing is
//! connected to, and two replays print the same bytes.

mod decision;
pub mod player;
pub mod time;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lexopt::prelude::*;
use whichroom_presence::Moment;
use whichroom_presence::setup::Setup;

use self::decision::Decisions;
use self::player::{End, Player, Seen};
use crate::Failure;
use crate::config;

const HELP: &str = "\
whichroom replay FILE: decides once more what was recorded, and prints the decisions.

  --json          one JSON object a decision
  --speed N|max   so many times as fast as it was (default: max)
  --until TIME    ends there: 2026-11-22T08:15:00+01:00, 08:15, 08:15:30 or +900 (seconds from its start)
  --config FILE   with the home of this configuration instead of the recorded one

Lines that do not read are named and left out. A recording that is cut is replayed up to the cut, which is said; the
exit code is 0 all the same.
";

/// Bad lines that are named one by one.
const NAMED_MAX: u64 = 10;

/// What the command line says.
struct Options {
    file: PathBuf,
    json: bool,
    /// `None` for as fast as it goes.
    speed: Option<f64>,
    until: Option<String>,
    setup: Option<Setup>,
}

/// Runs `whichroom replay`.
pub fn main(mut args: lexopt::Parser) -> Result<(), Failure> {
    let (mut file, mut json, mut speed, mut until, mut setup) = (None, false, None, None, None);
    while let Some(argument) = args.next()? {
        match argument {
            Long("json") => json = true,
            Long("speed") => speed = args.value()?.parse_with(read_speed)?,
            Long("until") => until = Some(args.value()?.string()?),
            Long("config") => setup = Some(other_setup(Path::new(&args.value()?))?),
            Value(value) if file.is_none() => file = Some(PathBuf::from(value)),
            Long("help") | Short('h') => return crate::print(HELP),
            Short(_) | Long(_) | Value(_) => return Err(argument.unexpected().into()),
        }
    }
    let file = file.ok_or_else(|| Failure::usage(format!("which recording?\n\n{HELP}")))?;
    run(Options { file, json, speed, until, setup })
}

fn read_speed(text: &str) -> Result<Option<f64>, String> {
    if text == "max" {
        return Ok(None);
    }
    let speed = text.parse().ok().filter(|speed: &f64| (0.01..=1e6).contains(speed));
    speed.map(Some).ok_or_else(|| "neither \"max\" nor a number from 0.01 to 1000000".to_owned())
}

/// The home of a configuration, for a recording of another.
pub fn other_setup(file: &Path) -> Result<Setup, Failure> {
    let loaded = config::load(Some(file)).map_err(|error| Failure::usage(error.to_string()))?;
    Ok(loaded.config.setup)
}

fn run(options: Options) -> Result<(), Failure> {
    let mut player = Player::open(&options.file, options.setup).map_err(Failure::usage)?;
    let (clock, began) = (player.clock().clone(), player.began());
    let until = options.until.map(|text| time::moment(&text, &clock, began)).transpose();
    let until = until.map_err(Failure::usage)?;
    let (mut decisions, mut pace) = (Decisions::default(), Pace::new(options.speed, began));
    let (mut bad, mut printed) = (BadLines::new(&options.file), Ok(()));
    let end = player.play(until, &mut |seen| match seen {
        Seen::Comes(at) => pace.wait_for(at),
        Seen::Bad { number, why } => bad.note(number, why),
        Seen::Witnessed(_) | Seen::Noted(..) | Seen::Settled(..) => {}
        Seen::Decided(effect, at) => {
            let Some(decision) = decisions.of(effect, at, &clock) else { return };
            let text = if options.json { decision.json() } else { decision.line(&clock) };
            if printed.is_ok() {
                printed = crate::print(&text);
            }
        }
    });
    bad.say_count();
    say_end(&options.file, &end, &clock.date_and_time(player.now()));
    printed
}

/// Says where a recording ends too early; on standard error, beside the decisions.
pub fn say_end(file: &Path, end: &End, time: &str) {
    if let End::Cut { after, why } = end {
        eprintln!("{} is cut after line {after} ({why}): replayed up to there, {time}", file.display());
    }
}

/// Names the first bad lines and counts all.
pub struct BadLines<'a> {
    file: &'a Path,
    count: u64,
}

impl<'a> BadLines<'a> {
    /// None yet.
    pub fn new(file: &'a Path) -> BadLines<'a> {
        BadLines { file, count: 0 }
    }

    /// One more.
    pub fn note(&mut self, number: u64, why: &str) {
        self.count += 1;
        if self.count <= NAMED_MAX {
            eprintln!("{}:{number}: left out: {why}", self.file.display());
        }
    }

    /// Says how many, if they were more than were named.
    pub fn say_count(&self) {
        if self.count > NAMED_MAX {
            eprintln!("{}: {} lines do not read and were left out", self.file.display(), self.count);
        }
    }
}

/// Holds a replay back to a multiple of the pace of life.
struct Pace {
    speed: Option<f64>,
    began: Moment,
    started: Instant,
}

impl Pace {
    fn new(speed: Option<f64>, began: Moment) -> Pace {
        Pace { speed, began, started: Instant::now() }
    }

    fn wait_for(&mut self, at: Moment) {
        let Some(speed) = self.speed else { return };
        let due = Duration::from_millis(at.since(self.began)).div_f64(speed);
        std::thread::sleep(due.saturating_sub(self.started.elapsed()));
    }
}

#[cfg(test)]
mod tests;

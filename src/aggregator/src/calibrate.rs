//! `whichroom calibrate`: tells the aggregator that runs in which room a device is now, shows the samples that this
//! gave, and forgets them. The JSON of the commands `calibrate`, `samples` and `forget-sample` is here, too.

use std::thread;
use std::time::{Duration, Instant};

use lexopt::prelude::*;
use serde::{Deserialize, Serialize};
use whichroom_presence::calibration::{Alike, Sample, SampleReading};
use whichroom_presence::output::{self, CalibrationView};
use whichroom_presence::{Engine, Moment};
use whichroom_wire::Id;

use crate::Failure;
use crate::command::Command;
use crate::command::client::{self, Asked};
use crate::explain::id_of;
use crate::samples;

const HELP: &str = "\
whichroom calibrate PERSON|DEVICE ROOM: a device is in this room now; listens for half a minute and keeps what it hears.

  --list          the samples that are kept, and the last calibration of each device
  --json          with --list: as one JSON object
  --forget ID     forgets a sample
  --export        the samples as JSON, as calibration.json in the state directory holds them
";

/// Between two looks at how far it is.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Longer than this a calibration does not take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Answer to `samples` and `forget-sample`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calibrations {
    /// The last one of each device.
    pub calibrations: Vec<Calibration>,
    /// The id of the next sample.
    pub next_id: u32,
    /// What is kept, oldest first.
    pub samples: Vec<Sample>,
    /// Rooms that the samples cannot tell apart.
    pub alike: Vec<Alike>,
}

/// Answer to `calibrate`, and how far it is later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calibration {
    /// The device; of a person, the one that moves with them.
    pub device: Id,
    /// The room it was told to be in.
    pub room: Id,
    /// How far it is.
    #[serde(flatten)]
    pub stage: Stage,
}

/// How far a calibration is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "kebab-case")]
pub enum Stage {
    /// It listens.
    Listening {
        /// For so much longer.
        ms_left: u64,
    },
    /// It gave a sample.
    Done {
        /// Its id.
        sample: u32,
    },
    /// It gave nothing.
    Failed {
        /// Why, and what to do.
        error: String,
    },
}

impl Calibration {
    /// As the engine sees it.
    pub fn of(view: CalibrationView, now: Moment) -> Calibration {
        let stage = match view.stage {
            output::Stage::Listening { until } => Stage::Listening { ms_left: until.since(now) },
            output::Stage::Done { sample } => Stage::Done { sample },
            output::Stage::Failed(error) => Stage::Failed { error: error.to_string() },
        };
        Calibration { device: view.device, room: view.room, stage }
    }
}

impl Calibrations {
    /// All that an engine knows.
    pub fn of(engine: &Engine, now: Moment) -> Calibrations {
        let calibrations = engine.calibrations().into_iter().map(|view| Calibration::of(view, now));
        Calibrations {
            calibrations: calibrations.collect(),
            next_id: engine.samples().next_id(),
            samples: engine.samples().list().to_vec(),
            alike: engine.alike(),
        }
    }
}

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wish {
    Tell { who: Id, room: Id },
    List { json: bool },
    Forget(u32),
    Export,
}

/// Runs `whichroom calibrate`.
pub fn main(args: lexopt::Parser) -> Result<(), Failure> {
    let Some((asked, wish)) = read(args)? else { return crate::print(&format!("{HELP}{}", client::HELP)) };
    match wish {
        Wish::Tell { who, room } => tell(&asked, who, room),
        Wish::List { json: true } => crate::print(&format!("{}\n", asked.ask_text(&Command::Samples {})?)),
        Wish::List { json: false } => crate::print(&listed(&asked.ask(&Command::Samples {})?)),
        Wish::Forget(id) => {
            let left: Calibrations = asked.ask(&Command::ForgetSample { id })?;
            crate::print(&format!("forgot sample {id}; {} are kept\n", left.samples.len()))
        }
        Wish::Export => {
            let all: Calibrations = asked.ask(&Command::Samples {})?;
            let text = samples::contents(all.next_id, all.samples);
            crate::print(&format!("{}\n", text.map_err(|error| Failure::run(error.to_string()))?))
        }
    }
}

/// What is asked, of whom; `None` for help.
fn read(mut args: lexopt::Parser) -> Result<Option<(Asked, Wish)>, Failure> {
    let (mut asked, mut names) = (Asked::default(), Vec::new());
    let (mut list, mut json, mut export, mut forget) = (false, false, false, None);
    while let Some(argument) = args.next()? {
        match argument {
            Long("config") => asked.config = Some(args.value()?.into()),
            Long("page") => asked.page = Some(args.value()?.string()?),
            Long("token-file") => asked.token_file = Some(args.value()?.into()),
            Long("list") => list = true,
            Long("json") => json = true,
            Long("export") => export = true,
            Long("forget") => forget = Some(args.value()?.parse()?),
            Value(value) if names.len() < 2 => names.push(value.string()?),
            Long("help") | Short('h') => return Ok(None),
            Short(_) | Long(_) | Value(_) => return Err(argument.unexpected().into()),
        }
    }
    let wish = match (names.as_slice(), list, export, forget) {
        ([who, room], false, false, None) if !json => Wish::Tell { who: id_of(who)?, room: id_of(room)? },
        ([], true, false, None) => Wish::List { json },
        ([], false, true, None) if !json => Wish::Export,
        ([], false, false, Some(id)) if !json => Wish::Forget(id),
        _ => {
            let text = "say PERSON|DEVICE and ROOM, or one of --list, --forget ID and --export";
            return Err(Failure::usage(format!("{text}\n\n{HELP}")));
        }
    };
    Ok(Some((asked, wish)))
}

/// Tells it, and waits for what becomes of it.
fn tell(asked: &Asked, who: Id, room: Id) -> Result<(), Failure> {
    let begun: Calibration = asked.ask(&Command::Calibrate { device: who, room })?;
    let seconds = match begun.stage {
        Stage::Listening { ms_left } => ms_left.div_ceil(1000),
        Stage::Done { .. } | Stage::Failed { .. } => 0,
    };
    crate::print(&format!(
        "listening to {} for {seconds} s: stay in {}, with its screen on\n",
        begun.device, begun.room
    ))?;
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        thread::sleep(LOOK_EVERY);
        let now: Calibrations = asked.ask(&Command::Samples {})?;
        let mine = now.calibrations.iter().find(|other| other.device == begun.device);
        match mine.filter(|mine| mine.room == begun.room).map(|mine| &mine.stage) {
            Some(Stage::Listening { .. }) => {}
            Some(Stage::Done { sample }) => {
                let kept = now.samples.iter().find(|kept| kept.id == *sample);
                let kept = kept.map_or_else(String::new, |kept| format!("{}\n", line(kept)));
                let mine = now.alike.iter().filter(|pair| pair.rooms.contains(&begun.room));
                return crate::print(&mine.map(confused).fold(kept, |text, pair| text + &pair));
            }
            Some(Stage::Failed { error }) => return Err(Failure::run(error.clone())),
            None => {
                let text = "the calibration ended without a word: the aggregator restarted, or another took its place";
                return Err(Failure::run(text));
            }
        }
    }
    Err(Failure::run("the aggregator goes on listening; see whichroom calibrate --list"))
}

fn listed(all: &Calibrations) -> String {
    let mut text = String::new();
    for calibration in &all.calibrations {
        let stage = match &calibration.stage {
            Stage::Listening { ms_left } => format!("listening for another {} s", ms_left.div_ceil(1000)),
            Stage::Done { .. } => continue,
            Stage::Failed { error } => format!("failed: {error}"),
        };
        text.push_str(&format!("{} in {}: {stage}\n", calibration.device, calibration.room));
    }
    if all.samples.is_empty() {
        text.push_str(
            "no samples yet: whichroom calibrate PERSON ROOM, while standing in it with the phone awake\n",
        );
    }
    for sample in &all.samples {
        text.push_str(&line(sample));
        text.push('\n');
    }
    text.extend(all.alike.iter().map(confused));
    text
}

/// What to do about two rooms that sound alike, in a line.
fn confused(pair: &Alike) -> String {
    let [one, other] = &pair.rooms;
    format!(
        "{one} and {other} cannot be told apart ({} % alike): take more samples in both, move an access point, or \
         make them one room\n",
        pair.percent
    )
}

/// A sample in one line.
fn line(sample: &Sample) -> String {
    let reading = |reading: &SampleReading| {
        let on = if reading.associated { ", connected" } else { "" };
        format!("{} {} dBm (±{}, {}×{on})", reading.ap, reading.mean_dbm, reading.deviation_db, reading.count)
    };
    let all = |readings: &[SampleReading]| readings.iter().map(reading).collect::<Vec<_>>().join(", ");
    let mut text = format!(
        "sample {}: {} in {}, {}: heard by {}",
        sample.id,
        sample.device,
        sample.room,
        sample.taken,
        all(&sample.readings)
    );
    if !sample.silent.is_empty() {
        let silent: Vec<&str> = sample.silent.iter().map(Id::as_str).collect();
        text.push_str(&format!("; not by {}", silent.join(", ")));
    }
    if !sample.reported.is_empty() {
        text.push_str(&format!("; hears {}", all(&sample.reported)));
    }
    text
}

#[cfg(test)]
mod tests {
    use whichroom_wire::aggregator::Calibrate;
    use whichroom_wire::{Root, Topic};

    use super::*;

    fn wish(words: &[&str]) -> Result<Option<Wish>, Failure> {
        let args = lexopt::Parser::from_args(words.iter().map(|word| (*word).to_owned()));
        read(args).map(|read| read.map(|(_, wish)| wish))
    }

    #[test]
    fn what_is_wanted_is_read() {
        let tell = Wish::Tell { who: "ada".parse().unwrap(), room: "living-room".parse().unwrap() };
        assert_eq!(wish(&["Ada", "Living room"]).unwrap(), Some(tell));
        assert_eq!(wish(&["--list", "--json"]).unwrap(), Some(Wish::List { json: true }));
        assert_eq!(wish(&["--forget", "7"]).unwrap(), Some(Wish::Forget(7)));
        assert_eq!(wish(&["--export"]).unwrap(), Some(Wish::Export));
        assert_eq!(wish(&["--help"]).unwrap(), None);
        for words in [
            &[][..],
            &["ada"],
            &["ada", "hall", "--list"],
            &["--json"],
            &["--list", "--export"],
            &["a", "b", "c"],
        ] {
            assert_eq!(wish(words).unwrap_err().code, 2, "{words:?}");
        }
        assert!(wish(&["--forget", "seven"]).unwrap_err().text.contains("seven"));
    }

    /// The script for Home Assistant in README.md says what is read here.
    #[test]
    fn the_script_of_the_readme_is_understood() {
        let readme = include_str!("../../../README.md");
        let script = readme.split("  i_am_here:").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let value = |key: &str| {
            let line = script.lines().find_map(|line| line.trim().strip_prefix(key));
            line.unwrap().trim().trim_matches('\'').to_owned()
        };
        let root = Root::new(&"home".parse().unwrap());
        assert_eq!(value("topic:"), root.full(&Topic::Calibrate));
        assert_eq!((value("qos:").as_str(), value("retain:").as_str()), ("1", "false"));
        let payload =
            value("payload:").replace("{{ device }}", "ada-phone").replace("{{ room }}", "living-room");
        let read = Calibrate::decode(payload.as_bytes()).unwrap();
        assert_eq!((read.device.as_str(), read.room.as_str()), ("ada-phone", "living-room"));
        assert!(readme.contains(&format!("`{}`", root.full(&Topic::Calibrated))));
    }

    #[test]
    fn a_sample_is_one_line() {
        let reading = |ap: &str, associated| SampleReading {
            ap: ap.parse().unwrap(),
            associated,
            count: 7,
            mean_dbm: -61,
            deviation_db: 2,
        };
        let sample = Sample {
            id: 3,
            device: "ada-phone".parse().unwrap(),
            room: "kitchen".parse().unwrap(),
            taken: "2026-11-22T08:00:00+01:00".to_owned(),
            seconds: 40,
            readings: vec![reading("hall", true), reading("kitchen", false)],
            silent: vec!["garden".parse().unwrap()],
            reported: vec![reading("kitchen", false)],
        };
        insta::assert_snapshot!(line(&sample), @"sample 3: ada-phone in kitchen, 2026-11-22T08:00:00+01:00: heard by hall -61 dBm (±2, 7×, connected), kitchen -61 dBm (±2, 7×); not by garden; hears kitchen -61 dBm (±2, 7×)");
        let pair = Alike { rooms: ["kitchen", "pantry"].map(|room| room.parse().unwrap()), percent: 82 };
        let failed = Calibration {
            device: sample.device.clone(),
            room: sample.room.clone(),
            stage: Stage::Failed { error: "nothing was heard".to_owned() },
        };
        let all =
            Calibrations { calibrations: vec![failed], next_id: 4, samples: Vec::new(), alike: vec![pair] };
        insta::assert_snapshot!(listed(&all), @r"
        ada-phone in kitchen: failed: nothing was heard
        no samples yet: whichroom calibrate PERSON ROOM, while standing in it with the phone awake
        kitchen and pantry cannot be told apart (82 % alike): take more samples in both, move an access point, or make them one room
        ");
        insta::assert_snapshot!(serde_json::to_string(&all).unwrap(), @r#"{"calibrations":[{"device":"ada-phone","room":"kitchen","stage":"failed","error":"nothing was heard"}],"next_id":4,"samples":[],"alike":[{"rooms":["kitchen","pantry"],"percent":82}]}"#);
    }
}

//! `whichroom report`: how clients roamed, what is wrong with it, and what to do, from the history or a recording.

mod html;
fn written(time: Time, clock: &Clock) -> String {
    clock.date_and_time(clock.moment_of_unix_ms(time.as_ms()))
}

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use lexopt::prelude::*;
use whichroom_roaming::{
    Analysis, NamedDevice, Parameters, Range, Report, Site, Time, Timeline, notes_of_radios,
};
use whichroom_wire::Mac;

use crate::clock::Clock;
use crate::history::command::{Place, read_time};
use crate::history::{Material, recorded, site_of};
use crate::replay::player::Player;
use crate::{Failure, config};

const HELP: &str = "\
whichroom report: who roams too often or too late, why, and what to do.

  --since TIME       2026-11-22T08:15:00+01:00, or 90m, 24h, 7d before now (default: 24h)
  --until TIME       the same (default: now)
  --device NAME      of one device: its name or one of its MACs; advice stays that of the whole home
  --json             one JSON object
  --html FILE        a page that stands alone
  --recording FILE   of a recording, whole unless --since or --until say otherwise
  --history FILE, --config FILE, --state DIR   as of `whichroom history`
";

/// What the command line says.
#[derive(Default)]
struct Options {
    since: Option<String>,
    until: Option<String>,
    device: Option<String>,
    json: bool,
    html: Option<PathBuf>,
    recording: Option<PathBuf>,
    place: Place,
}

/// Runs `whichroom report`.
pub fn main(mut args: lexopt::Parser) -> Result<(), Failure> {
    let mut options = Options::default();
    while let Some(argument) = args.next()? {
        match argument {
            Long("since") => options.since = Some(args.value()?.string()?),
            Long("until") => options.until = Some(args.value()?.string()?),
            Long("device") => options.device = Some(args.value()?.string()?),
            Long("json") => options.json = true,
            Long("html") => options.html = Some(args.value()?.into()),
            Long("recording") => options.recording = Some(args.value()?.into()),
            Long("history") => options.place.history = Some(args.value()?.into()),
            Long("config") => options.place.config = Some(args.value()?.into()),
            Long("state") => options.place.state = Some(args.value()?.into()),
            Long("help") | Short('h') => return crate::print(HELP),
            Short(_) | Long(_) | Value(_) => return Err(argument.unexpected().into()),
        }
    }
    let looked = match options.recording.take() {
        Some(file) => of_recording(&file, &options)?,
        None => of_history(&mut options)?,
    };
    let clock = looked.clock.clone();
    let clock = |time: Time| written(time, &clock);
    let timeline = options.html.as_ref().map(|_| looked.timeline());
    let report = looked.report();
    if let Some((file, timeline)) = options.html.as_ref().zip(timeline) {
        std::fs::write(file, html::page(&report, &timeline, &clock))
            .map_err(|error| Failure::run(format!("{} cannot be written: {error}", file.display())))?;
    }
    if options.json {
        let json = serde_json::to_string(&report).map_err(|error| Failure::run(error.to_string()))?;
        return crate::print(&(json + "\n"));
    }
    if options.html.is_some() {
        return Ok(());
    }
    crate::print(&report.text(&clock))
}

/// What a report is made of.
struct Looked {
    material: Material,
    site: Site,
    range: Range,
    /// Of one device.
    macs: Option<BTreeSet<Mac>>,
    clock: Clock,
}

impl Looked {
    /// Rows to draw, with as much detail as a page shows.
    fn timeline(&self) -> Timeline {
        let (rows, parameters) = (self.material.rows(), Parameters::default());
        let mut timeline = Analysis::new(rows, &self.site, self.range, &parameters).timeline(html::POINTS, 0);
        let is_meant = |mac: &Mac| self.macs.as_ref().is_none_or(|macs| macs.contains(mac));
        timeline.rows.retain(|row| is_meant(&row.device.mac));
        timeline
    }

    fn report(self) -> Report {
        report_on(self.material, &self.site, self.range, self.macs.as_ref())
    }
}

fn of_history(options: &mut Options) -> Result<Looked, Failure> {
    let now = Timestamp::now();
    let read =
        |text: &str| read_time(text, now).map_err(|why| Failure::usage(format!("\"{text}\" is {why}")));
    let from = read(options.since.as_deref().unwrap_or("24h"))?;
    let to = options.until.as_deref().map(read).transpose()?;
    let range = Range::new(from, to.unwrap_or(Time::from_ms(now.as_millisecond())));
    let loaded = config::load(options.place.config.as_deref());
    let loaded = loaded.map_err(|error| Failure::usage(error.to_string()))?;
    let site = site_of(&loaded.config.setup);
    let reader = std::mem::take(&mut options.place).open()?;
    let macs = options.device.as_deref().map(|name| macs_of(name, &site)).transpose()?;
    let material = Material::of_report(&reader, range)
        .map_err(|error| Failure::run(format!("the history does not read: {error}")))?;
    Ok(Looked { material, site, range, macs, clock: Clock::start() })
}

fn of_recording(file: &Path, options: &Options) -> Result<Looked, Failure> {
    let mut player = Player::open(file, None).map_err(Failure::usage)?;
    let (site, clock) = (site_of(player.setup()), player.clock().clone());
    let (material, whole) = material_of(file, &mut player);
    let end = Timestamp::from_millisecond(whole.to.as_ms()).unwrap_or_default();
    let read =
        |text: &String| read_time(text, end).map_err(|why| Failure::usage(format!("\"{text}\" is {why}")));
    let from = options.since.as_ref().map(read).transpose()?.unwrap_or(whole.from);
    let to = options.until.as_ref().map(read).transpose()?.unwrap_or(whole.to);
    let macs = options.device.as_deref().map(|name| macs_of(name, &site)).transpose()?;
    Ok(Looked { material, site, range: Range::new(from, to), macs, clock })
}

/// What a recording says of the past, and how much of it it holds.
fn material_of(file: &Path, player: &mut Player) -> (Material, Range) {
    let mut material = Material::default();
    let range = recorded::play(file, player, |entries| {
        entries.into_iter().for_each(|entry| material.add(entry));
    });
    material.notes.extend(notes_of_radios(&material.radios));
    (material, range)
}

/// The report of one device, or of all. Advice needs all: what helps one must not take coverage from another.
pub fn report_on(mut material: Material, site: &Site, range: Range, macs: Option<&BTreeSet<Mac>>) -> Report {
    let whole = report_of(&material, site, range);
    let Some(macs) = macs else { return whole };
    material.spans.retain(|span| macs.contains(&span.mac));
    material.signals.retain(|signal| macs.contains(&signal.mac));
    Report { advice: whole.advice, ..report_of(&material, site, range) }
}

/// The report on `range` of what `material` holds.
fn report_of(material: &Material, site: &Site, range: Range) -> Report {
    Analysis::new(material.rows(), site, range, &Parameters::default()).report()
}

/// The MACs of a device, by its name or one of them.
fn macs_of(name: &str, site: &Site) -> Result<BTreeSet<Mac>, Failure> {
    let is_meant = |device: &&NamedDevice| device.name.eq_ignore_ascii_case(name);
    if let Some(device) = site.devices.iter().find(is_meant) {
        return Ok(device.macs.iter().copied().collect());
    }
    let known = || site.devices.iter().map(|device| device.name.as_str()).collect::<Vec<_>>().join(", ");
    let mac: Mac = name.parse().map_err(|_| {
        Failure::usage(format!("there is no device \"{name}\"; known are {}, and any MAC will do", known()))
    })?;
    Ok(site.macs_of(mac))
}

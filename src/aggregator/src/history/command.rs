//! `whichroom history`: takes the history out as text, and recordings in.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use lexopt::prelude::*;
use serde::Serialize;
use whichroom_roaming::{Began, Ended, Hearing, RadioState, Range, SignalMinute, Span, Time};
use whichroom_wire::{Id, Mac};

use super::writer::Writer;
use super::{Entry, FILE, Likely, Reader, StayRow, recorded};
use crate::replay::player::Player;
use crate::{Failure, config, state};

const HELP: &str = "\
whichroom history export: what was kept, as text.

  --table NAME     spans (default), signals, radios, notes, stays or rooms (where
                   devices may have been, from then on)
  --format NAME    csv (default) or jsonl
  --since TIME     2026-11-22T08:15:00+01:00, or 90m, 24h, 7d before now (default: everything)
  --until TIME     the same (default: now)
  --out FILE       default: standard output

whichroom history import FILE...: adds what recordings hold.

Both:
  --history FILE   the history (default: history.sqlite3 where `whichroom run` keeps its state)
  --config FILE, --state DIR   as of `whichroom run`, to find it

Times in the text are UTC, signals in dBm. Import while `whichroom run` does not.
";

/// Entries of an import in one transaction.
const BATCH: usize = 20_000;

const DAY_MS: u64 = 24 * 3_600_000;

/// Where the history is.
#[derive(Debug, Default)]
pub struct Place {
    /// Named itself.
    pub history: Option<PathBuf>,
    /// Of the configuration.
    pub config: Option<PathBuf>,
    /// Of the state.
    pub state: Option<PathBuf>,
}

impl Place {
    /// The file.
    pub fn file(self) -> PathBuf {
        let in_state = || {
            let file = config::find(self.config.as_deref());
            state::directory(self.state, file.as_deref()).join(FILE)
        };
        self.history.unwrap_or_else(in_state)
    }

    /// The history of `file`, for reading.
    pub fn open(self) -> Result<Reader, Failure> {
        let file = self.file();
        Reader::open(&file).map_err(|error| {
            let hint = "`whichroom run` keeps one beside its state; name it with --history";
            Failure::usage(format!("the history {}: {error}; {hint}", file.display()))
        })
    }
}

/// What to take out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Table {
    Spans,
    Signals,
    Radios,
    Notes,
    Stays,
    Rooms,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv,
    JsonLines,
}

/// Runs `whichroom history`.
pub fn main(mut args: lexopt::Parser) -> Result<(), Failure> {
    match args.next()? {
        Some(Value(word)) if word == "export" => export(args),
        Some(Value(word)) if word == "import" => import(args),
        Some(Long("help") | Short('h')) => crate::print(HELP),
        Some(Value(word)) => {
            Err(Failure::usage(format!("history can export and import, not {word:?}\n\n{HELP}")))
        }
        Some(argument) => Err(argument.unexpected().into()),
        None => Err(Failure::usage(HELP)),
    }
}

fn export(mut args: lexopt::Parser) -> Result<(), Failure> {
    let (mut place, mut out) = (Place::default(), None);
    let (mut table, mut format) = (Table::Spans, Format::Csv);
    let now = Timestamp::now();
    let mut range = Range::new(Time::from_ms(0), time_of(now));
    while let Some(argument) = args.next()? {
        match argument {
            Long("table") => table = args.value()?.parse_with(read_table)?,
            Long("format") => format = args.value()?.parse_with(read_format)?,
            Long("since") => range.from = args.value()?.parse_with(|text| read_time(text, now))?,
            Long("until") => range.to = args.value()?.parse_with(|text| read_time(text, now))?,
            Long("out") => out = Some(PathBuf::from(args.value()?)),
            Long("history") => place.history = Some(args.value()?.into()),
            Long("config") => place.config = Some(args.value()?.into()),
            Long("state") => place.state = Some(args.value()?.into()),
            Long("help") | Short('h') => return crate::print(HELP),
            Short(_) | Long(_) | Value(_) => return Err(argument.unexpected().into()),
        }
    }
    let reader = place.open()?;
    let target: Box<dyn Write> = match &out {
        Some(path) => Box::new(create(path)?),
        None => Box::new(io::stdout().lock()),
    };
    let mut rows = Rows::new(format, BufWriter::new(target));
    let written = write_table(&reader, table, range, &mut rows).and_then(|()| rows.finish());
    match written {
        Err(ExportError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|error| Failure::run(format!("export: {error}"))),
    }
}

fn create(path: &Path) -> Result<File, Failure> {
    File::create(path).map_err(|error| Failure::run(format!("{} cannot be written: {error}", path.display())))
}

fn read_table(text: &str) -> Result<Table, String> {
    match text {
        "spans" => Ok(Table::Spans),
        "signals" => Ok(Table::Signals),
        "radios" => Ok(Table::Radios),
        "notes" => Ok(Table::Notes),
        "stays" => Ok(Table::Stays),
        "rooms" => Ok(Table::Rooms),
        _ => Err("not one of spans, signals, radios, notes, stays, rooms".to_owned()),
    }
}

fn read_format(text: &str) -> Result<Format, String> {
    match text {
        "csv" => Ok(Format::Csv),
        "jsonl" => Ok(Format::JsonLines),
        _ => Err("neither csv nor jsonl".to_owned()),
    }
}

/// A point of time, or how long ago it is.
pub fn read_time(text: &str, now: Timestamp) -> Result<Time, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(time_of(at));
    }
    let unreadable = || "no time: write 2026-11-22T08:15:00+01:00, 90m, 24h or 7d".to_owned();
    let unit_at = text.len().checked_sub(1).filter(|at| text.is_char_boundary(*at)).ok_or_else(unreadable)?;
    let (number, unit) = text.split_at(unit_at);
    let hours: f64 = match unit {
        "m" => 1.0 / 60.0,
        "h" => 1.0,
        "d" => 24.0,
        _ => return Err(unreadable()),
    };
    let number: u32 = number.parse().map_err(|_| unreadable())?;
    let ago =
        SignedDuration::try_from_secs_f64(f64::from(number) * hours * 3600.0).map_err(|_| unreadable())?;
    now.checked_sub(ago).map(time_of).map_err(|_| unreadable())
}

fn time_of(at: Timestamp) -> Time {
    Time::from_ms(at.as_millisecond())
}

/// Why an export ends early.
#[derive(Debug)]
enum ExportError {
    Read(rusqlite::Error),
    Write(io::Error),
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExportError::Read(error) => write!(f, "the history does not read: {error}"),
            ExportError::Write(error) => write!(f, "cannot be written: {error}"),
        }
    }
}

impl From<rusqlite::Error> for ExportError {
    fn from(error: rusqlite::Error) -> ExportError {
        ExportError::Read(error)
    }
}

impl From<io::Error> for ExportError {
    fn from(error: io::Error) -> ExportError {
        ExportError::Write(error)
    }
}

/// Rows on their way out.
enum Rows<W: Write> {
    Csv(Box<csv::Writer<W>>),
    JsonLines(W),
}

impl<W: Write> Rows<W> {
    fn new(format: Format, to: W) -> Rows<W> {
        match format {
            Format::Csv => Rows::Csv(Box::new(csv::Writer::from_writer(to))),
            Format::JsonLines => Rows::JsonLines(to),
        }
    }

    fn row(&mut self, row: &impl Serialize) -> Result<(), ExportError> {
        match self {
            Rows::Csv(writer) => writer.serialize(row).map_err(|error| ExportError::Write(error.into())),
            Rows::JsonLines(writer) => {
                serde_json::to_writer(&mut *writer, row).map_err(io::Error::from)?;
                Ok(writer.write_all(b"\n")?)
            }
        }
    }

    fn finish(self) -> Result<(), ExportError> {
        match self {
            Rows::Csv(mut writer) => Ok(writer.flush()?),
            Rows::JsonLines(mut writer) => Ok(writer.flush()?),
        }
    }
}

fn write_table<W: Write>(
    reader: &Reader,
    table: Table,
    range: Range,
    rows: &mut Rows<W>,
) -> Result<(), ExportError> {
    match table {
        Table::Spans => reader.spans(range, None)?.iter().try_for_each(|span| rows.row(&SpanText::of(span))),
        Table::Signals => write_signals(reader, range, rows),
        Table::Radios => reader.radios(range)?.iter().try_for_each(|radio| rows.row(&RadioText::of(radio))),
        Table::Notes => reader
            .notes(range)?
            .iter()
            .try_for_each(|note| rows.row(&NoteText { at: text(note.at), text: &note.text })),
        Table::Stays => reader.stays(range)?.iter().try_for_each(|stay| rows.row(&StayText::of(stay))),
        Table::Rooms => reader.likely(range, None)?.iter().try_for_each(|likely| write_rooms(likely, rows)),
    }
}

/// A row a room; one without a room where nothing is known any more.
fn write_rooms<W: Write>(likely: &Likely, rows: &mut Rows<W>) -> Result<(), ExportError> {
    let (mac, at) = (likely.mac, text(likely.minute));
    let mut row =
        |room: Option<&Id>, percent: Option<u8>| rows.row(&RoomText { mac, at: &at, room, percent });
    if likely.rooms.is_empty() {
        return row(None, None);
    }
    likely.rooms.iter().try_for_each(|(room, percent)| row(Some(room), Some(*percent)))
}

/// A day at a time: there is a row a minute and device.
fn write_signals<W: Write>(reader: &Reader, range: Range, rows: &mut Rows<W>) -> Result<(), ExportError> {
    let Some(first) = reader.first_signal()? else { return Ok(()) };
    let mut from = range.from.max(first);
    while from < range.to {
        let to = from.after(DAY_MS).min(range.to);
        let day = reader.signals(Range::new(from, to), None, None)?;
        day.iter().try_for_each(|signal| rows.row(&SignalText::of(signal)))?;
        from = to;
    }
    Ok(())
}

#[derive(Serialize)]
struct SpanText<'a> {
    mac: Mac,
    ap: &'a Id,
    bssid: Mac,
    begin: String,
    began: Began,
    end: String,
    ended: Option<Ended>,
}

impl SpanText<'_> {
    fn of(span: &Span) -> SpanText<'_> {
        SpanText {
            mac: span.mac,
            ap: &span.ap,
            bssid: span.bssid,
            begin: text(span.begin),
            began: span.began,
            end: text(span.end),
            ended: span.ended,
        }
    }
}

#[derive(Serialize)]
struct SignalText<'a> {
    minute: String,
    mac: Mac,
    ap: &'a Id,
    bssid: Mac,
    hearing: Hearing,
    min_dbm: i8,
    mean_dbm: i8,
    max_dbm: i8,
    count: u16,
}

impl SignalText<'_> {
    fn of(signal: &SignalMinute) -> SignalText<'_> {
        SignalText {
            minute: text(signal.minute),
            mac: signal.mac,
            ap: &signal.ap,
            bssid: signal.bssid,
            hearing: signal.hearing,
            min_dbm: signal.min_dbm,
            mean_dbm: signal.mean_dbm,
            max_dbm: signal.max_dbm,
            count: signal.count,
        }
    }
}

#[derive(Serialize)]
struct RadioText<'a> {
    at: String,
    ap: &'a Id,
    bssid: Mac,
    ifname: &'a str,
    ssid: Option<&'a str>,
    enabled: bool,
    freq_mhz: Option<u32>,
    channel: Option<u32>,
    width_mhz: Option<u32>,
    txpower_dbm: Option<i8>,
    noise_dbm: Option<i8>,
    utilization_permille: Option<u32>,
    ft: Option<bool>,
    rrm: Option<bool>,
    btm: Option<bool>,
}

impl RadioText<'_> {
    fn of(radio: &RadioState) -> RadioText<'_> {
        RadioText {
            at: text(radio.at),
            ap: &radio.ap,
            bssid: radio.bssid,
            ifname: &radio.ifname,
            ssid: radio.ssid.as_deref(),
            enabled: radio.enabled,
            freq_mhz: radio.freq_mhz,
            channel: radio.channel,
            width_mhz: radio.width_mhz,
            txpower_dbm: radio.txpower_dbm,
            noise_dbm: radio.noise_dbm,
            utilization_permille: radio.utilization_permille,
            ft: radio.ft,
            rrm: radio.rrm,
            btm: radio.btm,
        }
    }
}

#[derive(Serialize)]
struct NoteText<'a> {
    at: String,
    text: &'a str,
}

#[derive(Serialize)]
struct StayText<'a> {
    person: &'a Id,
    begin: String,
    end: Option<String>,
    home: bool,
    room: Option<&'a Id>,
}

impl StayText<'_> {
    fn of(row: &StayRow) -> StayText<'_> {
        let StayRow { stay, end } = row;
        StayText {
            person: &stay.person,
            begin: text(stay.begin),
            end: end.map(text),
            home: stay.home,
            room: stay.room.as_ref(),
        }
    }
}

#[derive(Serialize)]
struct RoomText<'a> {
    mac: Mac,
    at: &'a str,
    room: Option<&'a Id>,
    percent: Option<u8>,
}

/// As people and programs read it.
fn text(at: Time) -> String {
    let at = Timestamp::from_millisecond(at.as_ms()).unwrap_or_default();
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn import(mut args: lexopt::Parser) -> Result<(), Failure> {
    let (mut place, mut files) = (Place::default(), Vec::new());
    while let Some(argument) = args.next()? {
        match argument {
            Long("history") => place.history = Some(args.value()?.into()),
            Long("config") => place.config = Some(args.value()?.into()),
            Long("state") => place.state = Some(args.value()?.into()),
            Value(file) => files.push(PathBuf::from(file)),
            Long("help") | Short('h') => return crate::print(HELP),
            Short(_) | Long(_) => return Err(argument.unexpected().into()),
        }
    }
    if files.is_empty() {
        return Err(Failure::usage(format!("which recordings?\n\n{HELP}")));
    }
    let path = place.file();
    let trouble = |error: &dyn fmt::Display| Failure::run(format!("the history {}: {error}", path.display()));
    let mut writer = Writer::open(&path).map_err(|error| trouble(&error))?;
    for file in &files {
        let count = import_file(file, |entries| writer.write(entries)).map_err(|error| match error {
            ImportError::Recording(why) => Failure::usage(why),
            ImportError::History(error) => trouble(&error),
        })?;
        crate::print(&format!("{}: {count} entries into {}\n", file.display(), path.display()))?;
    }
    Ok(())
}

enum ImportError {
    Recording(String),
    History(rusqlite::Error),
}

/// Writes what a recording says of the past, and counts it.
fn import_file(
    file: &Path,
    mut write: impl FnMut(&[Entry]) -> rusqlite::Result<()>,
) -> Result<usize, ImportError> {
    let mut player = Player::open(file, None).map_err(ImportError::Recording)?;
    let (mut entries, mut count, mut written) = (Vec::new(), 0, Ok(()));
    recorded::play(file, &mut player, |mut more| {
        entries.append(&mut more);
        if entries.len() >= BATCH && written.is_ok() {
            count += entries.len();
            written = write(&entries);
            entries.clear();
        }
    });
    written.and_then(|()| write(&entries)).map_err(ImportError::History)?;
    Ok(count + entries.len())
}

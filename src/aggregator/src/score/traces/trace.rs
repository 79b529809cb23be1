//! A recorded trace: which AP heard a phone how loudly when, and in which room it was. CSV with the columns `t_ms`,
//! `ap`, `rssi_dbm` and `room` in any order; others are ignored. One wrong line refuses the file: a score of a file
//! that was half understood would be worth nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The columns a trace must have.
const COLUMNS: [&str; 4] = ["t_ms", "ap", "rssi_dbm", "room"];

/// What a receiver can report.
const LEVELS_DBM: std::ops::RangeInclusive<f32> = -127.0..=20.0;

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Its name as given.
    pub file: String,
    /// APs that are heard in it, in alphabetical order.
    pub aps: Vec<String>,
    /// Rooms the phone was in, in alphabetical order.
    pub rooms: Vec<String>,
    /// In order of time; at least one.
    pub readings: Vec<Reading>,
}

impl Trace {
    /// Whether it is the same recording, under whatever name.
    pub fn is_same(&self, other: &Trace) -> bool {
        (&self.aps, &self.rooms, &self.readings) == (&other.aps, &other.rooms, &other.readings)
    }
}

/// An AP heard the phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    pub t_ms: i64,
    /// Position among the trace's APs.
    pub ap: usize,
    pub rssi_dbm: i8,
    /// Where the phone was: position among the trace's rooms.
    pub room: usize,
    /// In the file, the header being line 1.
    pub line: usize,
}

/// Why a file is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub file: String,
    pub line: usize,
    pub reason: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.reason)
    }
}

/// Reads a file's text.
pub fn parse(file: &str, text: &str) -> Result<Trace, Refusal> {
    let refuse = |line: usize, reason: String| Refusal { file: file.to_owned(), line, reason };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim_end()));
    let header = lines.next().map_or("", |(_, header)| header);
    let columns = columns(header).map_err(|reason| refuse(1, reason))?;
    let mut rows = Vec::new();
    for (line, text) in lines.filter(|(_, text)| !text.is_empty()) {
        rows.push((line, row(text, &columns).map_err(|reason| refuse(line, reason))?));
    }
    if rows.is_empty() {
        return Err(refuse(1, "no reading follows the header".to_owned()));
    }
    let aps = sorted(rows.iter().map(|(_, row)| row.ap));
    let rooms = sorted(rows.iter().map(|(_, row)| row.room));
    let position = |names: &[&str], name: &str| names.binary_search(&name).unwrap_or_default();
    let mut last: BTreeMap<&str, (i64, usize)> = BTreeMap::new();
    let mut readings: Vec<Reading> = Vec::with_capacity(rows.len());
    for (line, row) in rows {
        if let Some(before) = readings.last().filter(|before| before.t_ms > row.t_ms) {
            let reason = format!(
                "t_ms {} comes after {} in line {}: readings must be in order of time",
                row.t_ms, before.t_ms, before.line
            );
            return Err(refuse(line, reason));
        }
        let earlier = last.insert(row.ap, (row.t_ms, line));
        if let Some((_, other)) = earlier.filter(|(t_ms, _)| *t_ms == row.t_ms) {
            let reason = format!("{} was heard twice at t_ms {}: also in line {other}", row.ap, row.t_ms);
            return Err(refuse(line, reason));
        }
        let (ap, room) = (position(&aps, row.ap), position(&rooms, row.room));
        readings.push(Reading { t_ms: row.t_ms, ap, rssi_dbm: row.rssi_dbm, room, line });
    }
    let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
    Ok(Trace { file: file.to_owned(), aps: owned(aps), rooms: owned(rooms), readings })
}

struct Columns {
    places: [usize; 4],
    count: usize,
}

fn columns(header: &str) -> Result<Columns, String> {
    let names: Vec<&str> = header.split(',').map(str::trim).collect();
    let found = COLUMNS.map(|column| names.iter().position(|name| *name == column));
    let missing: Vec<&str> =
        COLUMNS.iter().zip(&found).filter(|(_, place)| place.is_none()).map(|(column, _)| *column).collect();
    if !missing.is_empty() {
        return Err(format!("no column {}: the header must name {}", missing.join(", "), COLUMNS.join(", ")));
    }
    Ok(Columns { places: found.map(Option::unwrap_or_default), count: names.len() })
}

struct Row<'t> {
    t_ms: i64,
    ap: &'t str,
    rssi_dbm: i8,
    room: &'t str,
}

fn row<'t>(text: &'t str, columns: &Columns) -> Result<Row<'t>, String> {
    let fields: Vec<&str> = text.split(',').map(str::trim).collect();
    if fields.len() != columns.count {
        return Err(format!("{} fields, the header has {}", fields.len(), columns.count));
    }
    let [t_ms, ap, rssi_dbm, room] = columns.places.map(|place| fields[place]);
    let t_ms =
        t_ms.parse().map_err(|_| format!("t_ms is {t_ms:?}, which is no whole number of milliseconds"))?;
    let level: f32 = rssi_dbm.parse().ok().filter(|level| LEVELS_DBM.contains(level)).ok_or_else(|| {
        let (least, most) = (LEVELS_DBM.start(), LEVELS_DBM.end());
        format!("rssi_dbm is {rssi_dbm:?}, which is no level from {least} to {most} dBm")
    })?;
    for (column, name) in [("ap", ap), ("room", room)] {
        if name.is_empty() {
            return Err(format!("{column} is empty"));
        }
    }
    // In range, as was just found; the cast only drops the fraction.
    Ok(Row { t_ms, ap, rssi_dbm: level.round() as i8, room })
}

fn sorted<'t>(names: impl Iterator<Item = &'t str>) -> Vec<&'t str> {
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        parse("f.csv", text).unwrap_err().to_string()
    }

    #[test]
    fn columns_are_found_by_name() {
        let trace =
            parse("f", "room,rssi_dbm,x,ap,t_ms\nhall,-60,,a,0\nhall,-70.4,,b,0\n\nhall,-61,,a,5\n").unwrap();
        assert_eq!((trace.aps, trace.rooms), (vec!["a".into(), "b".into()], vec!["hall".into()]));
        assert_eq!(trace.readings[1], Reading { t_ms: 0, ap: 1, rssi_dbm: -70, room: 0, line: 3 });
        assert_eq!(trace.readings.len(), 3);
    }

    #[test]
    fn what_cannot_be_scored_is_refused_with_line_and_reason() {
        for (text, reason) in [
            ("", "f.csv:1: no column t_ms, ap, rssi_dbm, room"),
            ("t_ms,ap,room\n0,a,a\n", "f.csv:1: no column rssi_dbm: the header must name"),
            ("t_ms,ap,rssi_dbm,room\n", "f.csv:1: no reading"),
            ("t_ms,ap,rssi_dbm,room\n0,a,-60\n", "f.csv:2: 3 fields, the header has 4"),
            ("t_ms,ap,rssi_dbm,room\nx,a,-60,a\n", "f.csv:2: t_ms is \"x\""),
            ("t_ms,ap,rssi_dbm,room\n0,a,loud,a\n", "f.csv:2: rssi_dbm is \"loud\""),
            ("t_ms,ap,rssi_dbm,room\n0,a,-160,a\n", "f.csv:2: rssi_dbm is \"-160\""),
            ("t_ms,ap,rssi_dbm,room\n0,a,NaN,a\n", "f.csv:2: rssi_dbm is \"NaN\""),
            ("t_ms,ap,rssi_dbm,room\n0,,-60,a\n", "f.csv:2: ap is empty"),
            ("t_ms,ap,rssi_dbm,room\n9,a,-60,a\n\n8,a,-60,a\n", "f.csv:4: t_ms 8 comes after 9 in line 2"),
            ("t_ms,ap,rssi_dbm,room\n9,a,-60,a\n9,b,-60,a\n9,a,-61,a\n", "f.csv:4: a was heard twice"),
        ] {
            assert!(refusal(text).starts_with(reason), "{text:?}: {}", refusal(text));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(t_ms,ap,rssi_dbm,room\n)?[0-9a,\\-\n.]{0,80}\\PC{0,20}") {
            let _ = parse("f", &text);
        }
    }
}

//! Reads the history for the timeline, the report and the export, on a connection of its own: a long look holds
//! nobody up who writes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};
use serde::de::value::{Error as WordError, StrDeserializer};
use serde::de::{Deserialize, IntoDeserializer as _};
use whichroom_roaming::{Hearing, Note, RadioState, Range, SignalMinute, Span, Time};
use whichroom_wire::{Id, Mac};

use super::packed::minutes;
use super::schema::{self, BEGAN, ENDED, OpenError};
use super::{Likely, Stay, StayRow};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// An open history, for reading.
pub struct Reader {
    connection: Connection,
    bsses: BTreeMap<i64, (Id, Mac)>,
    devices: BTreeMap<i64, Mac>,
}

impl Reader {
    /// Opens the file; it must be there.
    pub fn open(path: &Path) -> Result<Reader, OpenError> {
        let connection = schema::open_read_only(path)?;
        let mut reader = Reader { connection, bsses: BTreeMap::new(), devices: BTreeMap::new() };
        reader.learn_numbers()?;
        Ok(reader)
    }

    fn learn_numbers(&mut self) -> rusqlite::Result<()> {
        let mut find = self.connection.prepare("SELECT id, ap, bssid FROM bss")?;
        let bsses = find.query_map([], |row| Ok((row.get(0)?, (id(row, 1)?, mac(row.get(2)?)))))?;
        self.bsses = bsses.collect::<rusqlite::Result<_>>()?;
        let mut find = self.connection.prepare("SELECT id, mac FROM device")?;
        let devices = find.query_map([], |row| Ok((row.get(0)?, mac(row.get(1)?))))?;
        self.devices = devices.collect::<rusqlite::Result<_>>()?;
        Ok(())
    }

    /// Associations that have to do with `range`, of `macs` or of all, by device and time.
    pub fn spans(&self, range: Range, macs: Option<&BTreeSet<Mac>>) -> rusqlite::Result<Vec<Span>> {
        let mut spans = Vec::new();
        let mut find = self.connection.prepare_cached(
            "SELECT begin_ms, bss, end_ms, began, ended FROM span
             WHERE device = ?1 AND begin_ms < ?3 AND end_ms > ?2 ORDER BY begin_ms",
        )?;
        for (device, mac) in self.chosen(macs) {
            let mut rows = find.query(params![device, range.from.as_ms(), range.to.as_ms()])?;
            while let Some(row) = rows.next()? {
                let Some((ap, bssid)) = self.bss(row, 1)? else { continue };
                spans.push(Span {
                    mac,
                    ap,
                    bssid,
                    begin: time(row, 0)?,
                    began: of_number(&BEGAN, row.get(3)?, 3)?,
                    end: time(row, 2)?,
                    ended: row
                        .get::<_, Option<u8>>(4)?
                        .map(|ended| of_number(&ENDED, ended, 4))
                        .transpose()?,
                });
            }
        }
        Ok(spans)
    }

    /// Signals of minutes in `range`, of `macs` or of all, of one `hearing` or of all, by device and time.
    pub fn signals(
        &self,
        range: Range,
        macs: Option<&BTreeSet<Mac>>,
        hearing: Option<Hearing>,
    ) -> rusqlite::Result<Vec<SignalMinute>> {
        let mut signals = Vec::new();
        let mut packed = self.connection.prepare_cached(
            "SELECT hour, bss, hearing, minutes FROM signal_hour
             WHERE device = ?1 AND hour BETWEEN ?2 AND ?3 ORDER BY hour",
        )?;
        let is_meant = |of: Hearing| hearing.is_none_or(|hearing| hearing == of);
        let (first, last) =
            (range.from.as_ms().div_euclid(HOUR_MS), (range.to.as_ms() - 1).div_euclid(HOUR_MS));
        for (device, mac) in self.chosen(macs) {
            let begin = signals.len();
            let mut rows = packed.query([device, first, last])?;
            while let Some(row) = rows.next()? {
                let (hour, hearing) = (row.get::<_, i64>(0)?, of_word(row, 2)?);
                let Some((ap, bssid)) = self.bss(row, 1)?.filter(|_| is_meant(hearing)) else { continue };
                for (minute, figures) in minutes(row.get_ref(3)?.as_blob()?) {
                    let minute = Time::from_ms(hour * HOUR_MS + i64::from(minute) * MINUTE_MS);
                    if !range.contains(minute) {
                        continue;
                    }
                    signals.push(SignalMinute {
                        minute,
                        mac,
                        ap: ap.clone(),
                        bssid,
                        hearing,
                        min_dbm: figures.min_dbm,
                        mean_dbm: figures.mean_dbm,
                        max_dbm: figures.max_dbm,
                        count: figures.count,
                    });
                }
            }
            signals[begin..].sort_by_key(|signal| signal.minute);
        }
        let is_asked = |mac: Mac, of: Hearing| is_meant(of) && macs.is_none_or(|macs| macs.contains(&mac));
        self.add_fresh(&mut signals, range, is_asked)?;
        Ok(signals)
    }

    /// When the first signal was, to the hour.
    pub fn first_signal(&self) -> rusqlite::Result<Option<Time>> {
        let first: Option<i64> = self.connection.query_row(
            "SELECT min(at) FROM (
                SELECT min(hour) * 3600000 AS at FROM signal_hour UNION ALL
                SELECT min(minute) * 60000 FROM signal_minute)",
            [],
            |row| row.get(0),
        )?;
        Ok(first.map(Time::from_ms))
    }

    /// Minutes of the hour that lasts.
    fn add_fresh(
        &self,
        signals: &mut Vec<SignalMinute>,
        range: Range,
        is_asked: impl Fn(Mac, Hearing) -> bool,
    ) -> rusqlite::Result<()> {
        let mut fresh = self.connection.prepare_cached(
            "SELECT minute, device, bss, hearing, min_dbm, mean_dbm, max_dbm, count FROM signal_minute
             WHERE minute >= ?1 AND minute < ?2 ORDER BY device, minute",
        )?;
        let from = (range.from.as_ms() + MINUTE_MS - 1).div_euclid(MINUTE_MS);
        let to = (range.to.as_ms() + MINUTE_MS - 1).div_euclid(MINUTE_MS);
        let mut rows = fresh.query([from, to])?;
        while let Some(row) = rows.next()? {
            let Some(mac) = self.devices.get(&row.get(1)?).copied() else { continue };
            let hearing = of_word(row, 3)?;
            let Some((ap, bssid)) = self.bss(row, 2)?.filter(|_| is_asked(mac, hearing)) else { continue };
            signals.push(SignalMinute {
                minute: Time::from_ms(row.get::<_, i64>(0)? * MINUTE_MS),
                mac,
                ap,
                bssid,
                hearing,
                min_dbm: row.get(4)?,
                mean_dbm: row.get(5)?,
                max_dbm: row.get(6)?,
                count: row.get(7)?,
            });
        }
        Ok(())
    }

    /// States of every BSS in `range`, and of each the last one before it; by BSS and time.
    pub fn radios(&self, range: Range) -> rusqlite::Result<Vec<RadioState>> {
        let mut states: BTreeMap<(i64, i64), RadioState> = BTreeMap::new();
        let mut find = self.connection.prepare_cached(
            "SELECT bss, at_ms, ifname, ssid, enabled, freq_mhz, channel, width_mhz, txpower_dbm, ft, rrm, btm
             FROM radio WHERE at_ms < ?1 ORDER BY bss, at_ms",
        )?;
        let mut rows = find.query([range.to.as_ms()])?;
        while let Some(row) = rows.next()? {
            let (number, at) = (row.get(0)?, time(row, 1)?);
            let Some((ap, bssid)) = self.bss(row, 0)? else { continue };
            let state = RadioState {
                at,
                ap,
                bssid,
                ifname: row.get(2)?,
                ssid: row.get(3)?,
                enabled: row.get(4)?,
                freq_mhz: row.get(5)?,
                channel: row.get(6)?,
                width_mhz: row.get(7)?,
                txpower_dbm: row.get(8)?,
                noise_dbm: None,
                utilization_permille: None,
                ft: row.get(9)?,
                rrm: row.get(10)?,
                btm: row.get(11)?,
            };
            states.insert((number, at.as_ms()), state);
        }
        self.add_air(&mut states, range)?;
        Ok(since(states, range))
    }

    /// Says of each state what the air did then; between changes of state, as states of their own.
    fn add_air(&self, states: &mut BTreeMap<(i64, i64), RadioState>, range: Range) -> rusqlite::Result<()> {
        let mut find = self.connection.prepare_cached(
            "SELECT bss, at_ms, noise_dbm, utilization_permille FROM air WHERE at_ms < ?1 ORDER BY bss, at_ms",
        )?;
        let mut rows = find.query([range.to.as_ms()])?;
        while let Some(row) = rows.next()? {
            let (number, at) = (row.get::<_, i64>(0)?, time(row, 1)?);
            let before = states.range((number, i64::MIN)..=(number, at.as_ms())).next_back();
            let Some(before) = before.map(|(_, state)| state.clone()) else { continue };
            let state =
                RadioState { at, noise_dbm: row.get(2)?, utilization_permille: row.get(3)?, ..before };
            states.insert((number, at.as_ms()), state);
        }
        Ok(())
    }

    /// Marks in `range`, in order.
    pub fn notes(&self, range: Range) -> rusqlite::Result<Vec<Note>> {
        let mut find = self.connection.prepare_cached(
            "SELECT at_ms, text FROM note WHERE at_ms >= ?1 AND at_ms < ?2 ORDER BY at_ms, id",
        )?;
        let notes = find.query_map(params![range.from.as_ms(), range.to.as_ms()], |row| {
            Ok(Note { at: time(row, 0)?, text: row.get(1)? })
        })?;
        notes.collect()
    }

    /// Where the devices of `macs` may have been in `range`, by device and time; of each the last before it, too.
    pub fn likely(&self, range: Range, macs: Option<&BTreeSet<Mac>>) -> rusqlite::Result<Vec<Likely>> {
        let mut likely = Vec::new();
        let mut find = self.connection.prepare_cached(
            "SELECT minute, rooms FROM likely WHERE device = ?1 AND minute < ?3 AND minute >=
                coalesce((SELECT max(minute) FROM likely WHERE device = ?1 AND minute <= ?2), ?2) ORDER BY minute",
        )?;
        let minutes = |time: Time| time.as_ms().div_euclid(MINUTE_MS);
        for (device, mac) in self.chosen(macs) {
            let mut rows = find.query([device, minutes(range.from), minutes(range.to) + 1])?;
            while let Some(row) = rows.next()? {
                let minute = Time::from_ms(row.get::<_, i64>(0)? * MINUTE_MS);
                likely.push(Likely { mac, minute, rooms: rooms_of(row.get_ref(1)?.as_str()?) });
            }
        }
        Ok(likely)
    }

    /// Where people were in `range`, by person and time.
    pub fn stays(&self, range: Range) -> rusqlite::Result<Vec<StayRow>> {
        let mut find = self.connection.prepare_cached(
            "SELECT person, begin_ms, end_ms, home, room FROM stay
             WHERE begin_ms < ?2 AND (end_ms IS NULL OR end_ms > ?1) ORDER BY person, begin_ms",
        )?;
        let stays = find.query_map(params![range.from.as_ms(), range.to.as_ms()], |row| {
            let end: Option<i64> = row.get(2)?;
            let room = row.get_ref(4)?.as_str_or_null()?.map(|_| id(row, 4)).transpose()?;
            let stay = Stay { person: id(row, 0)?, begin: time(row, 1)?, home: row.get(3)?, room };
            Ok(StayRow { stay, end: end.map(Time::from_ms) })
        })?;
        stays.collect()
    }

    fn chosen<'a>(&'a self, macs: Option<&'a BTreeSet<Mac>>) -> impl Iterator<Item = (i64, Mac)> + 'a {
        let all = self.devices.iter().map(|(number, mac)| (*number, *mac));
        all.filter(move |(_, mac)| macs.is_none_or(|macs| macs.contains(mac)))
    }

    fn bss(&self, row: &Row<'_>, column: usize) -> rusqlite::Result<Option<(Id, Mac)>> {
        Ok(self.bsses.get(&row.get(column)?).cloned())
    }
}

/// States in `range`, and of each BSS the last before it.
fn since(states: BTreeMap<(i64, i64), RadioState>, range: Range) -> Vec<RadioState> {
    let mut kept: Vec<RadioState> = Vec::new();
    for state in states.into_values() {
        let replaces = kept
            .last()
            .is_some_and(|last| (&last.ap, last.bssid) == (&state.ap, state.bssid) && state.at <= range.from);
        if replaces {
            kept.pop();
        }
        kept.push(state);
    }
    kept
}

/// The rooms of words such as `kitchen 70 hall 25`; what does not read is left out.
fn rooms_of(words: &str) -> Vec<(Id, u8)> {
    let words: Vec<&str> = words.split(' ').collect();
    let pairs = words.as_chunks().0.iter();
    let pairs =
        pairs.filter_map(|[room, percent]: &[&str; 2]| Some((room.parse().ok()?, percent.parse().ok()?)));
    pairs.collect()
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Time> {
    row.get(column).map(Time::from_ms)
}

fn id(row: &Row<'_>, column: usize) -> rusqlite::Result<Id> {
    let text: String = row.get(column)?;
    text.parse().map_err(|_| unreadable(column, format!("{text:?} is no id")))
}

fn mac(number: i64) -> Mac {
    let bytes = number.to_be_bytes();
    Mac::new([bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]])
}

/// What a number stands for.
fn of_number<T: Copy>(known: &[T], number: u8, column: usize) -> rusqlite::Result<T> {
    let found = known.get(usize::from(number)).copied();
    found.ok_or_else(|| {
        let why = format!("{number} stands for nothing").into();
        rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, why)
    })
}

/// A word of the contract, as in JSON.
fn of_word<T: for<'a> Deserialize<'a>>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    let words: StrDeserializer<'_, WordError> = text.into_deserializer();
    T::deserialize(words).map_err(|error| unreadable(column, error.to_string()))
}

fn unreadable(column: usize, why: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, why.into())
}

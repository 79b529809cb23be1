//! Puts entries into the history's file and takes old ones out. Used by the history's thread only; nothing here
//! waits for anybody but the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use serde::Serialize;
use whichroom_roaming::{Note, RadioState, Row, SignalMinute, Span, Time};
use whichroom_wire::{Id, Mac};

use super::packed::{Minute, pack, unpack};
use super::schema::{self, BEGAN, ENDED, OpenError};
use super::{Entry, Keep, Likely, Stay};

const MINUTE_MS: i64 = 60_000;
const HOUR_MINUTES: i64 = 60;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// Pages given back to the file system at a time.
const VACUUM_PAGES: u32 = 1_000;

/// An open history.
pub struct Writer {
    connection: Connection,
    numbers: Numbers,
    /// The latest hour a signal was written of.
    hour: i64,
}

/// Numbers of addresses and BSSs, and the last state of each BSS.
#[derive(Default)]
struct Numbers {
    devices: BTreeMap<Mac, i64>,
    bsses: BTreeMap<(Id, Mac), i64>,
    radios: BTreeMap<i64, RadioState>,
}

impl Writer {
    /// Opens or makes the file.
    pub fn open(path: &Path) -> Result<Writer, OpenError> {
        let connection = schema::open(path)?;
        Ok(Writer { connection, numbers: Numbers::default(), hour: 0 })
    }

    /// Writes all of `entries`, or none.
    pub fn write(&mut self, entries: &[Entry]) -> rusqlite::Result<()> {
        let latest = entries.iter().filter_map(Entry::hour).max();
        let written = self.try_write(entries, latest);
        match written {
            Ok(()) => self.hour = self.hour.max(latest.unwrap_or(0)),
            // Numbers given in what was rolled back are nobody's.
            Err(_) => self.numbers = Numbers::default(),
        }
        written
    }

    fn try_write(&mut self, entries: &[Entry], latest_hour: Option<i64>) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        for entry in entries {
            match entry {
                Entry::Row(Row::Span(span)) => write_span(&transaction, &mut self.numbers, span)?,
                Entry::Row(Row::Signal(signal)) => write_signal(&transaction, &mut self.numbers, signal)?,
                Entry::Row(Row::Radio(radio)) => write_radio(&transaction, &mut self.numbers, radio)?,
                Entry::Stay(stay) => write_stay(&transaction, stay)?,
                Entry::Likely(likely) => write_likely(&transaction, &mut self.numbers, likely)?,
                Entry::Note(note) => write_note(&transaction, note)?,
                Entry::Erase { people, macs } => erase(&transaction, people, macs)?,
            }
        }
        if let Some(hour) = latest_hour.filter(|hour| *hour != self.hour) {
            pack_hours(&transaction, hour)?;
        }
        transaction.commit()
    }

    /// Removes what is older than `keep` says, and the oldest days while the file is too big.
    pub fn tidy(&mut self, keep: &Keep, now: Time) -> rusqlite::Result<()> {
        self.remove_before(cut(now, keep.days), cut(now, keep.signal_days))?;
        let mut oldest = self.oldest()?;
        while self.bytes()? > keep.max_bytes {
            let Some(day) = oldest.filter(|day| *day < now.as_ms() - DAY_MS) else { break };
            self.remove_before(day + DAY_MS, day + DAY_MS)?;
            oldest = self.oldest()?;
        }
        self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA optimize;")
    }

    fn remove_before(&mut self, cut_ms: i64, signal_cut_ms: i64) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        transaction.execute("DELETE FROM span WHERE end_ms < ?1", [cut_ms])?;
        transaction.execute("DELETE FROM stay WHERE end_ms < ?1", [cut_ms])?;
        transaction.execute("DELETE FROM note WHERE at_ms < ?1", [cut_ms])?;
        // The state before the oldest day is that of the oldest day.
        transaction.execute(
            "DELETE FROM radio WHERE at_ms < ?1
             AND at_ms < (SELECT max(at_ms) FROM radio AS later WHERE later.bss = radio.bss AND later.at_ms < ?1)",
            [cut_ms],
        )?;
        transaction.execute("DELETE FROM air WHERE at_ms < ?1", [signal_cut_ms])?;
        let minute = signal_cut_ms.div_euclid(MINUTE_MS);
        transaction.execute("DELETE FROM signal_minute WHERE minute < ?1", [minute])?;
        transaction.execute("DELETE FROM signal_hour WHERE hour < ?1", [minute.div_euclid(HOUR_MINUTES)])?;
        transaction.execute("DELETE FROM likely WHERE minute < ?1", [minute])?;
        transaction.commit()?;
        let free: u32 = self.connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
        for _ in 0..free.div_ceil(VACUUM_PAGES) {
            // It gives back a page a step.
            let mut vacuum =
                self.connection.prepare(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
            let mut pages = vacuum.query([])?;
            while pages.next()?.is_some() {}
        }
        Ok(())
    }

    /// The oldest thing kept.
    fn oldest(&self) -> rusqlite::Result<Option<i64>> {
        self.connection.query_row(
            "SELECT min(at) FROM (
                SELECT min(hour) * 3600000 AS at FROM signal_hour UNION ALL
                SELECT min(minute) * 60000 FROM signal_minute UNION ALL
                SELECT min(minute) * 60000 FROM likely UNION ALL
                SELECT min(end_ms) FROM span UNION ALL SELECT min(end_ms) FROM stay UNION ALL
                SELECT min(at_ms) FROM air)",
            [],
            |row| row.get(0),
        )
    }

    fn bytes(&self) -> rusqlite::Result<u64> {
        let pragma = |name| self.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        Ok((pragma("page_count")? * pragma("page_size")?).unsigned_abs())
    }
}

#[cfg(test)]
impl Writer {
    /// The only value of a query.
    pub fn query_row<T: rusqlite::types::FromSql>(&self, query: &str) -> T {
        self.connection.query_row(query, [], |row| row.get(0)).unwrap()
    }
}

fn cut(now: Time, days: u32) -> i64 {
    now.as_ms().saturating_sub(i64::from(days) * DAY_MS)
}

impl Numbers {
    fn device(&mut self, transaction: &Transaction<'_>, mac: Mac) -> rusqlite::Result<i64> {
        if let Some(number) = self.devices.get(&mac) {
            return Ok(*number);
        }
        let key = super::mac_number(mac);
        let mut find = transaction.prepare_cached("SELECT id FROM device WHERE mac = ?1")?;
        let number = match find.query_row([key], |row| row.get(0)).optional()? {
            Some(number) => number,
            None => {
                transaction.execute("INSERT INTO device (mac) VALUES (?1)", [key])?;
                transaction.last_insert_rowid()
            }
        };
        self.devices.insert(mac, number);
        Ok(number)
    }

    fn bss(&mut self, transaction: &Transaction<'_>, ap: &Id, bssid: Mac) -> rusqlite::Result<i64> {
        if let Some(number) = self.bsses.get(&(ap.clone(), bssid)) {
            return Ok(*number);
        }
        let key = params![ap.as_str(), super::mac_number(bssid)];
        let mut find = transaction.prepare_cached("SELECT id FROM bss WHERE ap = ?1 AND bssid = ?2")?;
        let number = match find.query_row(key, |row| row.get(0)).optional()? {
            Some(number) => number,
            None => {
                transaction.execute("INSERT INTO bss (ap, bssid) VALUES (?1, ?2)", key)?;
                transaction.last_insert_rowid()
            }
        };
        self.bsses.insert((ap.clone(), bssid), number);
        Ok(number)
    }
}

fn write_span(transaction: &Transaction<'_>, numbers: &mut Numbers, span: &Span) -> rusqlite::Result<()> {
    let device = numbers.device(transaction, span.mac)?;
    let bss = numbers.bss(transaction, &span.ap, span.bssid)?;
    let began = number_of(&BEGAN, span.began);
    let ended = span.ended.and_then(|ended| number_of(&ENDED, ended));
    transaction
        .prepare_cached("INSERT OR REPLACE INTO span VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![device, span.begin.as_ms(), bss, span.end.as_ms(), began, ended])?;
    Ok(())
}

fn write_signal(
    transaction: &Transaction<'_>,
    numbers: &mut Numbers,
    signal: &SignalMinute,
) -> rusqlite::Result<()> {
    let device = numbers.device(transaction, signal.mac)?;
    let bss = numbers.bss(transaction, &signal.ap, signal.bssid)?;
    transaction
        .prepare_cached("INSERT OR REPLACE INTO signal_minute VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
        .execute(params![
            signal.minute.as_ms().div_euclid(MINUTE_MS),
            device,
            bss,
            word(&signal.hearing)?,
            signal.min_dbm,
            signal.mean_dbm,
            signal.max_dbm,
            signal.count
        ])?;
    Ok(())
}

fn write_likely(
    transaction: &Transaction<'_>,
    numbers: &mut Numbers,
    likely: &Likely,
) -> rusqlite::Result<()> {
    let device = numbers.device(transaction, likely.mac)?;
    let words: Vec<String> = likely.rooms.iter().map(|(room, percent)| format!("{room} {percent}")).collect();
    transaction.prepare_cached("INSERT OR REPLACE INTO likely VALUES (?1, ?2, ?3)")?.execute(params![
        device,
        likely.minute.as_ms().div_euclid(MINUTE_MS),
        words.join(" ")
    ])?;
    Ok(())
}

/// A BSS's state changes now and then, how busy the air is always: they are kept apart.
fn write_radio(
    transaction: &Transaction<'_>,
    numbers: &mut Numbers,
    radio: &RadioState,
) -> rusqlite::Result<()> {
    let bss = numbers.bss(transaction, &radio.ap, radio.bssid)?;
    let at_ms = radio.at.as_ms();
    let before = numbers.radios.insert(bss, radio.clone());
    if before.as_ref().is_none_or(|before| steady(before) != steady(radio)) {
        transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO radio VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?
            .execute(params![
                bss,
                at_ms,
                radio.ifname,
                radio.ssid,
                radio.enabled,
                radio.freq_mhz,
                radio.channel,
                radio.width_mhz,
                radio.txpower_dbm,
                radio.ft,
                radio.rrm,
                radio.btm
            ])?;
    }
    transaction.prepare_cached("INSERT OR REPLACE INTO air VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        bss,
        at_ms,
        radio.noise_dbm,
        radio.utilization_permille
    ])?;
    Ok(())
}

/// A state without what the air does.
fn steady(radio: &RadioState) -> RadioState {
    RadioState { at: Time::default(), noise_dbm: None, utilization_permille: None, ..radio.clone() }
}

/// A stay ends when the next begins. After a restart the same is told again.
fn write_stay(transaction: &Transaction<'_>, stay: &Stay) -> rusqlite::Result<()> {
    let begin_ms = stay.begin.as_ms();
    let lasts = transaction
        .prepare_cached(
            "SELECT 1 FROM stay WHERE person = ?1 AND end_ms IS NULL AND home = ?2 AND room IS ?3",
        )?
        .exists(params![stay.person.as_str(), stay.home, stay.room.as_ref().map(Id::as_str)])?;
    if lasts {
        return Ok(());
    }
    transaction
        .prepare_cached("UPDATE stay SET end_ms = ?2 WHERE person = ?1 AND end_ms IS NULL AND begin_ms < ?2")?
        .execute(params![stay.person.as_str(), begin_ms])?;
    transaction
        .prepare_cached("INSERT OR REPLACE INTO stay VALUES (?1, ?2, NULL, ?3, ?4)")?
        .execute(params![stay.person.as_str(), begin_ms, stay.home, stay.room.as_ref().map(Id::as_str)])?;
    Ok(())
}

fn write_note(transaction: &Transaction<'_>, note: &Note) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("INSERT INTO note (at_ms, text) VALUES (?1, ?2)")?
        .execute(params![note.at.as_ms(), note.text])?;
    Ok(())
}

fn erase(transaction: &Transaction<'_>, people: &BTreeSet<Id>, macs: &BTreeSet<Mac>) -> rusqlite::Result<()> {
    for person in people {
        transaction.execute("DELETE FROM stay WHERE person = ?1", [person.as_str()])?;
    }
    for mac in macs {
        for table in ["span", "signal_minute", "signal_hour", "likely"] {
            let of_device =
                format!("DELETE FROM {table} WHERE device = (SELECT id FROM device WHERE mac = ?1)");
            transaction.execute(&of_device, [super::mac_number(*mac)])?;
        }
    }
    Ok(())
}

/// Packs the minutes of hours before `hour` into one row an hour.
fn pack_hours(transaction: &Transaction<'_>, hour: i64) -> rusqlite::Result<()> {
    let mut hours: BTreeMap<(i64, i64, i64, String), BTreeMap<u8, Minute>> = BTreeMap::new();
    let mut find = transaction.prepare_cached(
        "SELECT minute, device, bss, hearing, min_dbm, mean_dbm, max_dbm, count
         FROM signal_minute WHERE minute < ?1",
    )?;
    let mut rows = find.query([hour * HOUR_MINUTES])?;
    while let Some(row) = rows.next()? {
        let minute: i64 = row.get(0)?;
        let key = (row.get(1)?, minute.div_euclid(HOUR_MINUTES), row.get(2)?, row.get(3)?);
        let figures =
            Minute { min_dbm: row.get(4)?, mean_dbm: row.get(5)?, max_dbm: row.get(6)?, count: row.get(7)? };
        let of_hour = u8::try_from(minute.rem_euclid(HOUR_MINUTES)).unwrap_or(0);
        hours.entry(key).or_default().insert(of_hour, figures);
    }
    let mut known = transaction.prepare_cached(
        "SELECT minutes FROM signal_hour WHERE device = ?1 AND hour = ?2 AND bss = ?3 AND hearing = ?4",
    )?;
    let mut replace =
        transaction.prepare_cached("INSERT OR REPLACE INTO signal_hour VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for ((device, hour, bss, hearing), minutes) in hours {
        let key = params![device, hour, bss, hearing];
        let before: Option<Vec<u8>> = known.query_row(key, |row| row.get(0)).optional()?;
        let mut all = before.map(|bytes| unpack(&bytes)).unwrap_or_default();
        all.extend(minutes);
        replace.execute(params![device, hour, bss, hearing, pack(&all)])?;
    }
    transaction.execute("DELETE FROM signal_minute WHERE minute < ?1", [hour * HOUR_MINUTES])?;
    Ok(())
}

/// What stands for a value in the file.
fn number_of<T: PartialEq>(known: &[T], value: T) -> Option<u8> {
    (0..).zip(known).find(|(_, known)| **known == value).map(|(number, _)| number)
}

/// A word of the contract, as in JSON.
fn word(value: &impl Serialize) -> rusqlite::Result<String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        other => Err(rusqlite::Error::ToSqlConversionFailure(format!("no word: {other:?}").into())),
    }
}

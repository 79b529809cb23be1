//! Signals by the minute: adds readings up until their minute is over.

use std::collections::BTreeMap;

use whichroom_wire::{Id, Mac};

use crate::rows::{Hearing, SignalMinute};
use crate::time::{MINUTE_MS, Time};

/// How long after its end a minute still takes readings: events come late.
pub(super) const GRACE_MS: u64 = 15_000;

/// What comes later than this after its minute was given away has no place: which minutes were is forgotten by then.
const LATE_MS: u64 = 15 * MINUTE_MS;

/// Most minutes that are open at once.
const OPEN_MAX: usize = 16_384;

/// Minutes that are not over.
#[derive(Debug, Default)]
pub(super) struct Minutes {
    open: BTreeMap<(Mac, Mac, Hearing), Sum>,
    /// The last minute of each that was given away, while something of it may still come.
    given: BTreeMap<(Mac, Mac, Hearing), Time>,
    /// Everything up to this minute has been given away.
    closed: Option<Time>,
    /// Not later than when the first of them is over.
    due: Option<Time>,
}

#[derive(Debug)]
struct Sum {
    minute: Time,
    ap: Id,
    min_dbm: i8,
    max_dbm: i8,
    sum_dbm: i64,
    count: u32,
}

/// One reading.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading<'a> {
    pub mac: Mac,
    pub ap: &'a Id,
    pub bssid: Mac,
    pub hearing: Hearing,
    pub dbm: i8,
    pub at: Time,
}

impl Minutes {
    /// Adds a reading. Gives the minute before, if this reading ends it; `Err` if there is no place for it.
    pub fn add(&mut self, reading: Reading<'_>) -> Result<Option<SignalMinute>, ()> {
        let key = (reading.mac, reading.bssid, reading.hearing);
        let minute = reading.at.minute();
        let fresh = || Sum {
            minute,
            ap: reading.ap.clone(),
            min_dbm: reading.dbm,
            max_dbm: reading.dbm,
            sum_dbm: reading.dbm.into(),
            count: 1,
        };
        let over = minute.after(MINUTE_MS + GRACE_MS);
        if let Some(sum) = self.open.get_mut(&key) {
            if sum.minute == minute {
                sum.min_dbm = sum.min_dbm.min(reading.dbm);
                sum.max_dbm = sum.max_dbm.max(reading.dbm);
                sum.sum_dbm += i64::from(reading.dbm);
                sum.count = sum.count.saturating_add(1);
                return Ok(None);
            }
            // A reading of a minute that was given away already has no place.
            if minute < sum.minute {
                return Err(());
            }
            let before = std::mem::replace(sum, fresh());
            return Ok(Some(before.finish(key)));
        }
        let is_given = self.given.get(&key).is_some_and(|given| minute <= *given);
        if is_given || self.closed.is_some_and(|closed| minute <= closed) || self.open.len() >= OPEN_MAX {
            return Err(());
        }
        self.open.insert(key, fresh());
        self.due = Some(self.due.map_or(over, |due| due.min(over)));
        Ok(None)
    }

    /// When the next minute is over.
    pub fn due(&self) -> Option<Time> {
        self.due
    }

    /// Takes out what is over at `now`, in the order of station and BSS.
    pub fn take_over(&mut self, now: Time) -> Vec<SignalMinute> {
        if self.due.is_none_or(|due| now < due) {
            return Vec::new();
        }
        let is_over = |sum: &Sum| sum.minute.after(MINUTE_MS + GRACE_MS) <= now;
        let keys: Vec<_> = self.open.iter().filter(|(_, sum)| is_over(sum)).map(|(key, _)| *key).collect();
        let over = keys.into_iter().filter_map(|key| self.open.remove(&key).map(|sum| sum.finish(key)));
        let over: Vec<SignalMinute> = over.collect();
        let closed = now.before(MINUTE_MS + GRACE_MS + LATE_MS).minute();
        self.given.retain(|_, minute| *minute > closed);
        let given = |minute: &SignalMinute| ((minute.mac, minute.bssid, minute.hearing), minute.minute);
        self.given.extend(over.iter().map(given));
        self.closed = self.closed.max(Some(closed));
        self.due = self.open.values().map(|sum| sum.minute.after(MINUTE_MS + GRACE_MS)).min();
        over
    }
}

impl Sum {
    fn finish(self, (mac, bssid, hearing): (Mac, Mac, Hearing)) -> SignalMinute {
        // Rounded half away from zero; the mean of values of an i8 is one.
        let count = i64::from(self.count);
        let mean = (2 * self.sum_dbm - count) / (2 * count);
        SignalMinute {
            minute: self.minute,
            mac,
            ap: self.ap,
            bssid,
            hearing,
            min_dbm: self.min_dbm,
            mean_dbm: i8::try_from(mean).unwrap_or(self.min_dbm),
            max_dbm: self.max_dbm,
            count: u16::try_from(self.count).unwrap_or(u16::MAX),
        }
    }
}

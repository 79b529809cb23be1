//! Where a device was heard lately and how loudly: what tells walking off from lying still. A handful of stays, each
//! at one access point and about one level; the newest is last.

use crate::Moment;
use crate::timers::ApIndex;

/// Stays that are remembered.
const STAYS_MAX: usize = 8;

/// Readings this near to a stay's level belong to it, in sixteenths of a dB.
const SAME_LEVEL: i16 = 6 * 16;

/// Levels this near are the same place: a phone is turned over, somebody walks by.
const SAME_PLACE: i16 = 10 * 16;

/// Who walks off is at the edge for less than this: who is heard there for longer is staying.
const PASSING_MS: u64 = 3 * 60_000;

/// By how much a signal falls when somebody walks off, in dB; at the very edge, half as much is enough.
const FALL_DB: i16 = 8;
const EDGE_DBM: i8 = -83;

/// A time at one access point and about one level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stay {
    pub ap: ApIndex,
    pub from: Moment,
    pub to: Moment,
    /// In sixteenths of a dBm; the newest readings weigh most.
    level: i16,
}

/// The last stays.
#[derive(Debug, Clone, Default)]
pub(crate) struct Path {
    stays: Vec<Stay>,
}

impl Stay {
    /// A stay known from before a restart.
    pub fn restored(ap: ApIndex, from: Moment, to: Moment, dbm: i8) -> Stay {
        Stay { ap, from, to, level: i16::from(dbm) * 16 }
    }

    /// Its level in whole dBm.
    pub fn dbm(&self) -> i8 {
        i8::try_from(self.level / 16).unwrap_or(i8::MIN)
    }
}

/// How the path ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ending {
    pub dbm: Option<i8>,
    /// By how much the level fell before its end, in dB; 0 if it did not.
    pub fall_db: u8,
    /// For how long it had been about where it ended, at the same level.
    pub stayed_ms: u64,
    /// It was heard at the edge for a moment only, and more loudly before: somebody walked off with it.
    pub is_fading: bool,
}

impl Path {
    /// It was heard by the access point that it is on.
    pub fn read(&mut self, ap: ApIndex, dbm: i8, at: Moment) {
        let reading = i16::from(dbm) * 16;
        if let Some(last) = self.stays.last_mut() {
            if at < last.to {
                return;
            }
            if last.ap == ap && (reading - last.level).abs() <= SAME_LEVEL {
                last.level += (reading - last.level) / 4;
                last.to = at;
                return;
            }
        }
        if self.stays.len() == STAYS_MAX {
            self.stays.remove(0);
        }
        self.stays.push(Stay { ap, from: at, to: at, level: reading });
    }

    pub fn stays(&self) -> &[Stay] {
        &self.stays
    }

    /// What was known before a restart, oldest first.
    pub fn restored(stays: Vec<Stay>) -> Path {
        let first = stays.len().saturating_sub(STAYS_MAX);
        Path { stays: stays.into_iter().skip(first).collect() }
    }

    /// Renames access points after a change of the setup.
    pub fn renumber(&mut self, ap: impl Fn(ApIndex) -> Option<ApIndex>) {
        self.stays.retain_mut(|stay| match ap(stay.ap) {
            Some(now) => {
                stay.ap = now;
                true
            }
            None => false,
        });
    }

    /// How it ends; a signal at or below `weak_dbm` is the edge of what the access point covers.
    pub fn ending(&self, weak_dbm: i8) -> Ending {
        let Some((last, before)) = self.stays.split_last() else { return Ending::default() };
        let near = |stay: &&Stay, by: i16| stay.ap == last.ap && (stay.level - last.level).abs() <= by;
        let edge = before.iter().rev().take_while(|stay| near(stay, SAME_LEVEL)).last().unwrap_or(last);
        let place = before.iter().rev().take_while(|stay| near(stay, SAME_PLACE)).last().unwrap_or(last);
        // What it was at when it was heard last before the edge counts however long ago that was: a phone that is
        // carried off asleep is not heard on the way.
        let recent = before.iter().rev().enumerate();
        let recent = recent.filter(|(index, stay)| *index == 0 || last.to.since(stay.to) <= PASSING_MS);
        let loudest = recent.map(|(_, stay)| stay.level).max().unwrap_or(last.level);
        let fall = (loudest - last.level).max(0) / 16;
        let dbm = last.dbm();
        let is_passing = last.to.since(edge.from) < PASSING_MS;
        let needed = if dbm <= EDGE_DBM { FALL_DB / 2 } else { FALL_DB };
        Ending {
            dbm: Some(dbm),
            fall_db: u8::try_from(fall).unwrap_or(u8::MAX),
            stayed_ms: last.to.since(place.from),
            is_fading: dbm <= weak_dbm && is_passing && fall >= needed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(readings: &[(i64, i8)]) -> Ending {
        let mut path = Path::default();
        for &(s, dbm) in readings {
            path.read(ApIndex(0), dbm, Moment::from_ms(s * 1000));
        }
        path.ending(-75)
    }

    #[test]
    fn walking_off_fades() {
        let ending = path(&[(0, -55), (5, -60), (10, -66), (15, -72), (20, -78), (25, -83)]);
        assert!(ending.is_fading && ending.fall_db >= 20, "{ending:?}");
        assert!(path(&[(0, -50), (3600, -80)]).is_fading, "carried off asleep");
        assert!(path(&[(0, -78), (400, -78), (405, -86)]).is_fading, "from the far end of the garden");
    }

    #[test]
    fn lying_at_the_edge_does_not_fade() {
        assert!(!path(&[(0, -78), (30, -77), (60, -79), (600, -78)]).is_fading);
        let lying = path(&[(0, -55), (10, -70), (20, -78), (100, -77), (230, -79), (300, -78)]);
        assert!(!lying.is_fading, "it was put down there: {lying:?}");
        assert!(!path(&[(0, -76), (60, -74), (90, -81)]).is_fading, "a hand over the antenna");
    }

    #[test]
    fn a_pocket_is_no_edge() {
        assert!(!path(&[(0, -40), (30, -44), (60, -58), (90, -62)]).is_fading);
    }

    #[test]
    fn few_stays_are_kept() {
        let mut path = Path::default();
        for n in 0..100 {
            path.read(ApIndex(0), if n % 2 == 0 { -40 } else { -70 }, Moment::from_ms(n));
        }
        assert_eq!(path.stays().len(), STAYS_MAX);
    }
}

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

/// The same until a leave frame: who has lost the access point gives up within seconds, and who turns the WiFi off has
/// been there for a while.
const LOSING_MS: u64 = 90_000;

/// What is heard at so many places, or by so many access points, within so long is being carried.
const CARRIED_MS: u64 = 3 * 60_000;
const CARRIED_PLACES: usize = 4;
const CARRIED_APS: usize = 3;

/// Readings within one poll of the agent.
const SAME_MOMENT_MS: u64 = 6_000;

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
    /// When it was heard at so many places in so short a time that somebody carried it.
    carried_at: Option<Moment>,
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
    /// For how long it had been at its last access point.
    pub came_ms: u64,
    /// It was heard at the edge for a moment only.
    pub is_weak: bool,
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
        if self.is_carried(at) {
            self.carried_at = Some(at);
        }
    }

    /// What lies somewhere roams now and then, also to and fro, and is fainter when somebody walks by. What is carried
    /// is soon heard by a third access point, or at a fourth level.
    fn is_carried(&self, now: Moment) -> bool {
        let recent = self.stays.iter().filter(|stay| now.since(stay.to) <= CARRIED_MS);
        let mut places: Vec<&Stay> = Vec::with_capacity(STAYS_MAX);
        for stay in recent {
            let is_known =
                |place: &&Stay| place.ap == stay.ap && (place.level - stay.level).abs() <= SAME_PLACE;
            if !places.iter().any(is_known) {
                places.push(stay);
            }
        }
        let is_first =
            |(index, place): &(usize, &&Stay)| !places[..*index].iter().any(|other| other.ap == place.ap);
        let aps = places.iter().enumerate().filter(is_first).count();
        aps >= CARRIED_APS || places.len() >= CARRIED_PLACES
    }

    /// When somebody was seen to carry it about last.
    pub fn carried_at(&self) -> Option<Moment> {
        self.carried_at
    }

    pub fn stays(&self) -> &[Stay] {
        &self.stays
    }

    /// What was known before a restart, oldest first.
    pub fn restored(stays: Vec<Stay>, carried_at: Option<Moment>) -> Path {
        let first = stays.len().saturating_sub(STAYS_MAX);
        Path { stays: stays.into_iter().skip(first).collect(), carried_at }
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

    /// How it ends; a signal at or below `weak_dbm` is the edge of what the access point covers. A leave frame at
    /// `left_at` says that it was there until then.
    pub fn ending(&self, weak_dbm: i8, left_at: Option<Moment>) -> Ending {
        let Some(last) = self.stays.last() else { return Ending::default() };
        // At the edge a signal comes and goes: what is weaker than its end belongs to it.
        let is_edge = |stay: &&Stay| stay.ap == last.ap && stay.level <= last.level + SAME_LEVEL;
        let is_place = |stay: &&Stay| stay.ap == last.ap && (stay.level - last.level).abs() <= SAME_PLACE;
        let edge = self.stays.iter().rev().take_while(is_edge).count();
        let edge_from = self.stays[self.stays.len() - edge].from;
        let place = self.stays.iter().rev().take_while(is_place).last().unwrap_or(last);
        let came = self.stays.iter().rev().take_while(|stay| stay.ap == last.ap).last().unwrap_or(last);
        let until = left_at.unwrap_or(last.to);
        // What it was at when it was heard last before the edge counts however long ago that was: a phone that is
        // carried off asleep is not heard on the way.
        let before = self.stays.iter().rev().skip(edge).enumerate();
        let recent = before.filter(|(index, stay)| *index == 0 || edge_from.since(stay.to) <= PASSING_MS);
        let loudest = recent.map(|(_, stay)| stay.level).max().unwrap_or(last.level);
        let fall = (loudest - last.level).max(0) / 16;
        let dbm = last.dbm();
        let is_passing = match left_at {
            Some(left_at) => left_at.since(edge_from) < LOSING_MS,
            None => last.to.since(edge_from) < PASSING_MS,
        };
        let needed = if dbm <= EDGE_DBM { FALL_DB / 2 } else { FALL_DB };
        Ending {
            dbm: Some(dbm),
            fall_db: u8::try_from(fall).unwrap_or(u8::MAX),
            stayed_ms: until.since(place.from),
            came_ms: until.since(came.from),
            is_weak: dbm <= weak_dbm && is_passing,
            is_fading: dbm <= weak_dbm && is_passing && fall >= needed,
        }
    }

    /// Whether it was on the move when it was heard last: within `ms` before that at another access point, or much
    /// louder or fainter.
    pub fn was_moving(&self, ms: u64) -> bool {
        let Some((last, before)) = self.stays.split_last() else { return false };
        let is_elsewhere = |stay: &&Stay| stay.ap != last.ap || (stay.level - last.level).abs() > SAME_PLACE;
        before.iter().rev().find(is_elsewhere).is_some_and(|stay| last.to.since(stay.to) <= ms)
    }

    /// Whether it had just come to its last access point, and was heard there for a moment only.
    pub fn was_passing_through(&self, ms: u64) -> bool {
        let Some((last, before)) = self.stays.split_last() else { return false };
        let is_short = last.to.since(last.from) <= SAME_MOMENT_MS;
        is_short && before.last().is_some_and(|stay| stay.ap != last.ap && last.to.since(stay.to) <= ms)
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
        path.ending(-75, None)
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
    fn at_the_edge_a_signal_comes_and_goes() {
        let ending = path(&[(0, -57), (817, -84), (823, -91), (827, -84)]);
        assert!(ending.is_fading && ending.fall_db >= 20, "{ending:?}");
    }

    #[test]
    fn who_turns_the_wifi_off_was_there_until_then() {
        let mut path = Path::default();
        for (s, dbm) in [(0, -54), (60, -76), (98, -76)] {
            path.read(ApIndex(0), dbm, Moment::from_ms(s * 1000));
        }
        let left_at = |s: i64| path.ending(-75, Some(Moment::from_ms(s * 1000))).is_fading;
        assert!(left_at(110) && !left_at(300));
        assert!(path.ending(-75, None).is_fading, "thrown out, it may have gone at once");
    }

    fn carried(readings: &[(i64, u32, i8)]) -> bool {
        let mut path = Path::default();
        for &(s, ap, dbm) in readings {
            path.read(ApIndex(ap), dbm, Moment::from_ms(s * 1000));
        }
        path.carried_at().is_some()
    }

    #[test]
    fn what_lies_there_roams_and_what_is_carried_is_heard_all_over() {
        let bounces: Vec<(i64, u32, i8)> = (0..100).map(|n| (n * 2, u32::from(n % 2 == 1), -60)).collect();
        assert!(!carried(&bounces));
        assert!(!carried(&[(0, 0, -70), (30, 0, -58), (60, 1, -66)]));
        assert!(!carried(&[(0, 0, -50), (600, 1, -60), (1200, 2, -50)]), "each time it woke up");
        assert!(carried(&[(0, 0, -50), (20, 1, -60), (40, 2, -50)]));
        assert!(carried(&[(0, 0, -40), (20, 0, -52), (40, 0, -64), (60, 0, -76)]), "a flat");
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

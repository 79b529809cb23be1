//! How loudly each AP heard a device lately.
//!
//! Fading swallows far more than it adds: a hand, a body or two paths that cancel each other take 10 to 20 dB away
//! for a moment, and nothing makes a far phone loud. So power is averaged rather than decibels, and the mean rises
//! faster than it falls: what is left is close to the level that the distance gives.

use super::{AP_LIMIT, Moment, OBSERVATION_MS};
use crate::timers::ApIndex;

/// How fast the mean follows a louder reading.
const RISE_S: f32 = 2.0;

/// How fast it follows a fainter one.
const FALL_S: f32 = 7.0;

/// A level older than this says where the device was, not where it is: people walk a room's length in this time.
pub(super) const FRESH_MS: u64 = 8_000;

/// What an AP hears: position and level in dBm.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Heard {
    pub ap: ApIndex,
    pub dbm: f32,
}

#[derive(Debug, Clone, Copy)]
struct Level {
    heard: Heard,
    at: Moment,
    /// The loudest of the last moment's readings: a phone that looks around sends on several channels.
    latest_dbm: f32,
}

/// What one level takes.
#[cfg(test)]
pub(super) const LEVEL_BYTES: usize = size_of::<Level>();

/// The levels of one device at its APs; of more than [`AP_LIMIT`] the latest.
#[derive(Debug, Clone, Default)]
pub(super) struct Levels(Vec<Level>);

impl Levels {
    pub fn read(&mut self, ap: ApIndex, dbm: f32, at: Moment) {
        if let Some(level) = self.0.iter_mut().find(|level| level.heard.ap == ap) {
            let passed_ms = at.since(level.at);
            let is_continued = passed_ms <= FRESH_MS;
            level.heard.dbm = if is_continued { follow(level.heard.dbm, dbm, passed_ms) } else { dbm };
            let is_same = passed_ms <= OBSERVATION_MS;
            level.latest_dbm = if is_same { level.latest_dbm.max(dbm) } else { dbm };
            level.at = at.max(level.at);
            return;
        }
        if self.0.len() == AP_LIMIT {
            let oldest = self.0.iter().enumerate().min_by_key(|(_, level)| level.at);
            if let Some((index, _)) = oldest {
                self.0.swap_remove(index);
            }
        }
        self.0.push(Level { heard: Heard { ap, dbm }, at, latest_dbm: dbm });
    }

    /// Forgets what an AP heard before `since`.
    pub fn forget_older(&mut self, ap: ApIndex, since: Moment) {
        self.0.retain(|level| level.heard.ap != ap || level.at >= since);
    }

    pub fn forget(&mut self, ap: ApIndex) {
        self.0.retain(|level| level.heard.ap != ap);
    }

    /// What is known of this moment; returns how many there are.
    pub fn fresh_into(&self, levels: &mut [Heard; AP_LIMIT], now: Moment) -> usize {
        let is_fresh = |level: &&Level| now.since(level.at) <= FRESH_MS;
        let mut count = 0;
        for (slot, level) in levels.iter_mut().zip(self.0.iter().filter(is_fresh)) {
            *slot = level.heard;
            count += 1;
        }
        count
    }

    /// Moves levels that were read a moment ago from the mean towards that reading, by a part from 0 to 1.
    pub fn sharpen(&self, levels: &mut [Heard], part: f32, now: Moment) {
        let is_new = |level: &&Level| now.since(level.at) <= 2 * OBSERVATION_MS;
        for level in self.0.iter().filter(is_new) {
            if let Some(heard) = levels.iter_mut().find(|heard| heard.ap == level.heard.ap) {
                heard.dbm += part * (level.latest_dbm - heard.dbm);
            }
        }
    }

    /// APs that ever heard it, of those that are remembered.
    pub fn aps(&self) -> impl Iterator<Item = ApIndex> {
        self.0.iter().map(|level| level.heard.ap)
    }

    pub fn renumber(&mut self, ap: impl Fn(ApIndex) -> Option<ApIndex>) {
        self.0.retain_mut(|level| match ap(level.heard.ap) {
            Some(now) => {
                level.heard.ap = now;
                true
            }
            None => false,
        });
    }
}

/// Moves a mean towards a reading, in the domain of power.
fn follow(mean_dbm: f32, dbm: f32, passed_ms: u64) -> f32 {
    let constant_s = if dbm > mean_dbm { RISE_S } else { FALL_S };
    // At most FRESH_MS: exact.
    let weight = 1.0 - (-(passed_ms as f32) / 1000.0 / constant_s).exp();
    let ratio = ((dbm - mean_dbm) * (std::f32::consts::LN_10 / 10.0)).exp();
    mean_dbm + (1.0 + weight * (ratio - 1.0)).ln() * (10.0 / std::f32::consts::LN_10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ApIndex = ApIndex(0);

    fn at(ms: i64) -> Moment {
        Moment::from_ms(ms)
    }

    fn fresh(levels: &Levels, now: i64) -> Vec<Heard> {
        let mut heard = [Heard::default(); AP_LIMIT];
        let count = levels.fresh_into(&mut heard, at(now));
        heard[..count].to_vec()
    }

    fn level(levels: &Levels, now: i64) -> Option<f32> {
        fresh(levels, now).first().map(|heard| heard.dbm)
    }

    #[test]
    fn a_fade_is_bridged_and_a_louder_reading_followed() {
        let mut levels = Levels::default();
        levels.read(A, -60.0, at(0));
        levels.read(A, -80.0, at(500));
        assert!(level(&levels, 500).is_some_and(|dbm| dbm > -61.0));
        levels.read(A, -50.0, at(2_500));
        assert!(level(&levels, 2_500).is_some_and(|dbm| (-53.0..-51.0).contains(&dbm)));
        for second in 3..33 {
            levels.read(A, -80.0, at(second * 1_000));
        }
        assert!(level(&levels, 32_000).is_some_and(|dbm| dbm < -65.0), "{:?}", level(&levels, 32_000));
    }

    #[test]
    fn what_is_old_says_nothing() {
        let mut levels = Levels::default();
        levels.read(A, -40.0, at(0));
        assert_eq!(level(&levels, 8_001), None);
        levels.read(A, -70.0, at(9_000));
        assert_eq!(level(&levels, 9_000), Some(-70.0), "and is no part of a mean");
        levels.forget(A);
        assert_eq!(level(&levels, 9_000), None);
    }

    #[test]
    fn a_level_is_sharpened_with_the_loudest_reading_of_the_moment_only() {
        let mut levels = Levels::default();
        levels.read(A, -45.0, at(0));
        levels.read(A, -70.0, at(5_000));
        levels.read(A, -90.0, at(5_100));
        let sharpened = |part: f32, now: i64| {
            let mut heard = fresh(&levels, now);
            levels.sharpen(&mut heard, part, at(now));
            heard[0].dbm
        };
        assert_eq!(sharpened(1.0, 5_400), -70.0);
        let mean = sharpened(0.0, 5_400);
        assert!(mean > -50.0 && (sharpened(0.5, 5_400) - (mean - 70.0) / 2.0).abs() < 0.01, "{mean}");
        assert_eq!(sharpened(1.0, 6_000), mean, "it is of a moment ago");
    }

    #[test]
    fn there_are_so_many_and_no_more() {
        let mut levels = Levels::default();
        for ap in 0..40 {
            levels.read(ApIndex(ap), -60.0, at(i64::from(ap)));
        }
        assert_eq!(fresh(&levels, 40).len(), AP_LIMIT);
        assert!(fresh(&levels, 40).iter().all(|heard| heard.ap.0 >= 24));
    }
}

//! When the house sleeps: at which hours of the day long silences began that ended inside. The core knows no clock, so
//! an hour is counted from wherever the first start of all fell in its day; a day is a day from there, too.

use crate::Moment;
use crate::doze::NAP_MS;

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
const HOURS: usize = 24;

/// So many long silences tell when nights are.
const KNOWN: u32 = 10;

/// Who sleeps began to at most so many hours before or after somebody of the house ever did.
const NEAR: usize = 3;

/// Beginnings that are counted before what is older weighs half.
const MOST: u8 = 200;

/// When the house sleeps.
#[derive(Debug, Clone, Default)]
pub(crate) struct Nights {
    /// Where the day begins.
    zero: Moment,
    begun: [u8; HOURS],
}

impl Nights {
    /// Nothing is known; the day begins now.
    pub fn new(now: Moment) -> Nights {
        Nights { zero: now, begun: [0; HOURS] }
    }

    /// What a snapshot kept: how far the day had come, and what was counted.
    pub fn restored(day_ms: u64, begun: &[u8], now: Moment) -> Nights {
        let mut nights = Nights::new(now.before(day_ms % DAY_MS));
        nights.begun.iter_mut().zip(begun).for_each(|(hour, saved)| *hour = *saved);
        nights
    }

    /// For the snapshot.
    pub fn saved(&self, now: Moment) -> (u64, Vec<u8>) {
        (self.day_ms(now), self.begun.to_vec())
    }

    /// Somebody of the house was silent for this long from `from` on, and had been inside.
    pub fn slept(&mut self, from: Moment, ms: u64) {
        if !(NAP_MS..DAY_MS).contains(&ms) {
            return;
        }
        let hour = self.hour(from);
        if self.begun[hour] >= MOST {
            self.begun.iter_mut().for_each(|begun| *begun /= 2);
        }
        self.begun[hour] += 1;
    }

    /// Whether nobody ever slept long from about this time on, as far as that is known.
    pub fn is_day(&self, at: Moment) -> bool {
        let known: u32 = self.begun.iter().map(|begun| u32::from(*begun)).sum();
        let hour = self.hour(at);
        let near = (0..=2 * NEAR).map(|step| (hour + HOURS + step - NEAR) % HOURS);
        // One in fifty is an illness, or a phone that was forgotten.
        known >= KNOWN && near.map(|hour| u32::from(self.begun[hour])).sum::<u32>() * 50 < known
    }

    fn hour(&self, at: Moment) -> usize {
        usize::try_from(self.day_ms(at) / HOUR_MS).unwrap_or(0) % HOURS
    }

    fn day_ms(&self, at: Moment) -> u64 {
        at.as_ms().wrapping_sub(self.zero.as_ms()).rem_euclid(DAY_MS as i64).unsigned_abs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Moment {
        Moment::from_ms(1_000 + hours * HOUR_MS as i64)
    }

    #[test]
    fn nights_are_known_after_a_while() {
        let mut nights = Nights::new(at(0));
        assert!(!nights.is_day(at(12)), "nobody knows yet");
        (0..10).for_each(|day| nights.slept(at(day * 24 + 22), 8 * HOUR_MS));
        (0..50).for_each(|day| nights.slept(at(day * 24 + 13), HOUR_MS));
        let days: Vec<i64> = (0..24).filter(|hour| nights.is_day(at(1000 * 24 + hour))).collect();
        assert_eq!(days, (2..19).collect::<Vec<_>>());
    }

    #[test]
    fn the_day_goes_on_after_a_restart() {
        let mut nights = Nights::new(at(5));
        (0..10).for_each(|day| nights.slept(at(day * 24 + 22), 8 * HOUR_MS));
        let (day_ms, begun) = nights.saved(at(300));
        // Another clock, an hour later.
        let again = Nights::restored(day_ms + HOUR_MS, &begun, at(7));
        for hours in 0..24 {
            assert_eq!(again.is_day(at(7 + hours)), nights.is_day(at(301 + hours)));
        }
    }
}

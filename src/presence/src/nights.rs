//! When the house sleeps: at which hours of the day long silences began that ended inside. The core knows no clock, so
//! an hour is counted from wherever the first start of all fell in its day; a day is a day from there, too.

use crate::Moment;
use crate::doze::NAP_MS;

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
const HOURS: usize = 24;

/// So many long silences tell when nights are.
const KNOWN: u32 = 10;

/// A night begins at most so many hours before or after anybody's of the house ever did.
const EARLY_HOURS: usize = 3;
const LATE_HOURS: usize = 3;

/// No night is longer, and after its usual end somebody may lie in for so long.
const LONGEST_HOURS: usize = 12;
const UP_HOURS: usize = 2;

/// Beginnings that are counted before what is older weighs half.
const MOST: u8 = 200;

/// When the house sleeps.
#[derive(Debug, Clone, Default)]
pub(crate) struct Nights {
    /// Where the day begins.
    zero: Moment,
    begun: [u8; HOURS],
    ended: [u8; HOURS],
}

impl Nights {
    /// Nothing is known; the day begins now.
    pub fn new(now: Moment) -> Nights {
        Nights { zero: now, begun: [0; HOURS], ended: [0; HOURS] }
    }

    /// What a snapshot kept: how far the day had come, and what was counted.
    pub fn restored(day_ms: u64, begun: &[u8], ended: &[u8], now: Moment) -> Nights {
        let mut nights = Nights::new(now.before(day_ms % DAY_MS));
        nights.begun.iter_mut().zip(begun).for_each(|(hour, saved)| *hour = *saved);
        nights.ended.iter_mut().zip(ended).for_each(|(hour, saved)| *hour = *saved);
        nights
    }

    /// For the snapshot.
    pub fn saved(&self, now: Moment) -> (u64, Vec<u8>, Vec<u8>) {
        (self.day_ms(now), self.begun.to_vec(), self.ended.to_vec())
    }

    /// Somebody of the house was silent for this long from `from` on, and had been inside.
    pub fn slept(&mut self, from: Moment, ms: u64) {
        if !(NAP_MS..DAY_MS).contains(&ms) {
            return;
        }
        for (hours, hour) in
            [(&mut self.begun, hour(self.zero, from)), (&mut self.ended, hour(self.zero, from.after(ms)))]
        {
            if hours[hour] >= MOST {
                hours.iter_mut().for_each(|count| *count /= 2);
            }
            hours[hour] += 1;
        }
    }

    /// How long somebody may sleep from `at` on: a nap by day, and at night until everybody has long been up. `None`
    /// as long as nobody knows.
    pub fn longest_ms(&self, at: Moment) -> Option<u64> {
        let known: u32 = self.begun.iter().map(|begun| u32::from(*begun)).sum();
        if known < KNOWN {
            return None;
        }
        let hour = hour(self.zero, at);
        // One in fifty is an illness, or a phone that was forgotten.
        let is_rare = |count: u32| count * 50 < known;
        let near = (0..=LATE_HOURS + EARLY_HOURS).map(|step| (hour + HOURS + step - LATE_HOURS) % HOURS);
        if is_rare(near.map(|hour| u32::from(self.begun[hour])).sum()) {
            return Some(NAP_MS);
        }
        let mut later = 0;
        let last = (1..=LONGEST_HOURS).rev().find(|ahead| {
            later += u32::from(self.ended[(hour + ahead) % HOURS]);
            !is_rare(later)
        });
        let hours = last.unwrap_or(LONGEST_HOURS) + 1 + UP_HOURS;
        Some((hours as u64 * HOUR_MS).max(NAP_MS))
    }

    fn day_ms(&self, at: Moment) -> u64 {
        day_ms(self.zero, at)
    }
}

fn hour(zero: Moment, at: Moment) -> usize {
    usize::try_from(day_ms(zero, at) / HOUR_MS).unwrap_or(0) % HOURS
}

fn day_ms(zero: Moment, at: Moment) -> u64 {
    at.as_ms().wrapping_sub(zero.as_ms()).rem_euclid(DAY_MS as i64).unsigned_abs()
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
        assert_eq!(nights.longest_ms(at(12)), None, "nobody knows yet");
        (0..10).for_each(|day| nights.slept(at(day * 24 + 22), 8 * HOUR_MS));
        (0..50).for_each(|day| nights.slept(at(day * 24 + 13), HOUR_MS));
        let hours = |hour: i64| nights.longest_ms(at(1000 * 24 + hour)).map(|ms| ms / HOUR_MS);
        let days: Vec<i64> = (0..24).filter(|hour| hours(*hour) == Some(3)).collect();
        assert_eq!(days, (2..19).collect::<Vec<_>>());
        assert_eq!(hours(22), Some(11), "until six, and a lie-in");
    }

    #[test]
    fn the_day_goes_on_after_a_restart() {
        let mut nights = Nights::new(at(5));
        (0..10).for_each(|day| nights.slept(at(day * 24 + 22), 8 * HOUR_MS));
        let (day_ms, begun, ended) = nights.saved(at(300));
        // Another clock, an hour later.
        let again = Nights::restored(day_ms + HOUR_MS, &begun, &ended, at(7));
        for hours in 0..24 {
            assert_eq!(again.longest_ms(at(7 + hours)), nights.longest_ms(at(301 + hours)));
        }
    }
}

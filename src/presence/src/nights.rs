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

/// So many nights of one device tell when its own end.
const OWN_KNOWN: u32 = 7;

/// Nobody goes to bed an hour before or after anybody of the house ever did.
const BEDTIME_HOURS: usize = 1;

/// One in so many long silences begins around a bedtime.
const BEDTIME_SHARE: u32 = 10;

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

/// At which hours of the house's day the nights of one device end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OwnNights {
    ended: [u8; HOURS],
}

impl OwnNights {
    /// What a snapshot kept.
    pub fn restored(ended: &[u8]) -> OwnNights {
        let mut own = OwnNights::default();
        own.ended.iter_mut().zip(ended).for_each(|(hour, saved)| *hour = *saved);
        own
    }

    /// For the snapshot.
    pub fn saved(&self) -> Vec<u8> {
        self.ended.to_vec()
    }

    fn is_known(&self) -> bool {
        self.ended.iter().map(|ended| u32::from(*ended)).sum::<u32>() >= OWN_KNOWN
    }
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

    /// A device was not heard for this long from `from` on, and had been inside.
    pub fn slept(&mut self, own: &mut OwnNights, from: Moment, ms: u64) {
        if !(NAP_MS..DAY_MS).contains(&ms) {
            return;
        }
        let (begun, ended) = (hour(self.zero, from), hour(self.zero, from.after(ms)));
        // A long nap by day is no night of its own.
        if self.is_night(from) == Some(true) {
            count(&mut own.ended, ended);
        }
        count(&mut self.begun, begun);
        count(&mut self.ended, ended);
    }

    /// How long from `at` on a device may sleep that was heard last at `heard`: a nap by day, and at night until its
    /// own nights have long been over, or everybody's while its own are not known. `None` as long as nobody knows.
    pub fn longest_ms(&self, heard: Moment, at: Moment, own: &OwnNights) -> Option<u64> {
        let known = self.known()?;
        let (heard, hour) = (hour(self.zero, heard), hour(self.zero, at));
        if is_rare(near(&self.begun, heard, LATE_HOURS, EARLY_HOURS), known) {
            return Some(NAP_MS);
        }
        let ended = if own.is_known() { &own.ended } else { &self.ended };
        let nights = ended.iter().map(|ended| u32::from(*ended)).sum();
        let mut later = 0;
        let last = (1..=LONGEST_HOURS).rev().find(|ahead| {
            later += u32::from(ended[(hour + ahead) % HOURS]);
            !is_rare(later, nights)
        });
        let hours = last.unwrap_or(LONGEST_HOURS) + 1 + UP_HOURS;
        Some((hours as u64 * HOUR_MS).max(NAP_MS))
    }

    /// Whether it is a time at which people go to bed, or at which most of the house sleeps. `None` as long as nobody
    /// knows.
    pub fn is_night(&self, at: Moment) -> Option<bool> {
        let known = self.known()?;
        let hour = hour(self.zero, at);
        // Also by day something lies silent for long now and then.
        let is_bedtime = near(&self.begun, hour, BEDTIME_HOURS, BEDTIME_HOURS) * BEDTIME_SHARE >= known;
        Some(is_bedtime || self.is_asleep(hour))
    }

    /// Whether three quarters of those who sleep at the deepest hour do at this one.
    fn is_asleep(&self, hour: usize) -> bool {
        let share = |hours: &[u8; HOURS], hour: usize| {
            let all: i32 = hours.iter().map(|count| i32::from(*count)).sum();
            i32::from(hours[hour]) * 1000 / all.max(1)
        };
        let mut asleep = 0;
        let sleepers: Vec<i32> = (0..HOURS)
            .map(|hour| {
                asleep += share(&self.begun, hour) - share(&self.ended, hour);
                asleep
            })
            .collect();
        let (fewest, most) = (sleepers.iter().min().copied(), sleepers.iter().max().copied());
        let (fewest, most) = (fewest.unwrap_or(0), most.unwrap_or(0));
        (sleepers[hour] - fewest) * 4 >= (most - fewest) * 3
    }

    /// How many long silences are known, if it is enough of them.
    fn known(&self) -> Option<u32> {
        let known = self.begun.iter().map(|begun| u32::from(*begun)).sum();
        (known >= KNOWN).then_some(known)
    }

    fn day_ms(&self, at: Moment) -> u64 {
        day_ms(self.zero, at)
    }
}

/// How often it was an hour, or one of those around it.
fn near(hours: &[u8; HOURS], hour: usize, before: usize, after: usize) -> u32 {
    let near = (0..=before + after).map(|step| (hour + HOURS + step - before) % HOURS);
    near.map(|hour| u32::from(hours[hour])).sum()
}

/// One in fifty is an illness, or a phone that was forgotten.
fn is_rare(count: u32, of: u32) -> bool {
    count * 50 < of
}

fn count(hours: &mut [u8; HOURS], hour: usize) {
    if hours[hour] >= MOST {
        hours.iter_mut().for_each(|count| *count /= 2);
    }
    hours[hour] += 1;
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

    fn longest(nights: &Nights, hour: i64) -> Option<u64> {
        nights.longest_ms(at(hour), at(hour), &OwnNights::default()).map(|ms| ms / HOUR_MS)
    }

    #[test]
    fn nights_are_known_after_a_while() {
        let mut nights = Nights::new(at(0));
        let mut own = OwnNights::default();
        assert_eq!(longest(&nights, 12), None, "nobody knows yet");
        assert_eq!(nights.is_night(at(12)), None);
        (0..10).for_each(|day| nights.slept(&mut own, at(day * 24 + 22), 8 * HOUR_MS));
        (0..50).for_each(|day| nights.slept(&mut own, at(day * 24 + 13), HOUR_MS));
        let hours = |hour: i64| longest(&nights, 1000 * 24 + hour);
        let days: Vec<i64> = (0..24).filter(|hour| hours(*hour) == Some(3)).collect();
        assert_eq!(days, (2..19).collect::<Vec<_>>());
        assert_eq!(hours(22), Some(11), "until six, and a lie-in");
    }

    #[test]
    fn early_risers_are_known_by_their_own_mornings() {
        let (mut nights, mut late, mut early) =
            (Nights::new(at(0)), OwnNights::default(), OwnNights::default());
        for day in 0..12 {
            nights.slept(&mut late, at(day * 24 + 23), 11 * HOUR_MS);
            nights.slept(&mut early, at(day * 24 + 21), 9 * HOUR_MS);
            // Long silences by day are no nights.
            if day % 6 == 0 {
                nights.slept(&mut early, at(day * 24 + 10), 5 * HOUR_MS);
            }
        }
        // Heard last at bedtime, thrown out at eleven.
        let hours = |own: &OwnNights, heard: i64| {
            nights.longest_ms(at(1000 * 24 + heard), at(1000 * 24 + 23), own).map(|ms| ms / HOUR_MS)
        };
        assert_eq!(hours(&early, 21), Some(10), "from eleven until six, and a lie-in");
        assert_eq!((hours(&late, 23), hours(&OwnNights::default(), 21)), (Some(14), Some(14)));
        assert_eq!(hours(&early, 16), Some(3), "nobody ever went to sleep then");
        assert_eq!(OwnNights::restored(&early.saved()), early);
    }

    #[test]
    fn it_is_night_from_bedtime_until_people_get_up() {
        let (mut nights, mut own) = (Nights::new(at(0)), OwnNights::default());
        (0..10).for_each(|day| nights.slept(&mut own, at(day * 24 + 22), 8 * HOUR_MS));
        let hours: Vec<i64> =
            (0..24).filter(|hour| nights.is_night(at(1000 * 24 + hour)) == Some(true)).collect();
        assert_eq!(hours, [0, 1, 2, 3, 4, 5, 21, 22, 23]);
    }

    #[test]
    fn the_day_goes_on_after_a_restart() {
        let mut nights = Nights::new(at(5));
        let mut own = OwnNights::default();
        (0..10).for_each(|day| nights.slept(&mut own, at(day * 24 + 22), 8 * HOUR_MS));
        let (day_ms, begun, ended) = nights.saved(at(300));
        // Another clock, an hour later.
        let again = Nights::restored(day_ms + HOUR_MS, &begun, &ended, at(7));
        for hours in 0..24 {
            assert_eq!(longest(&again, 7 + hours), longest(&nights, 301 + hours));
        }
    }
}

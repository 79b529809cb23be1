//! Points and stretches of time in the history: milliseconds of a clock the caller chooses.

use serde::{Deserialize, Serialize};

/// Length of the minutes that signals are kept by.
pub const MINUTE_MS: u64 = 60_000;

/// A point of time in milliseconds. A history on disk uses Unix time; a recording, its own clock. Only one clock
/// may be used at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(i64);

impl Time {
    /// The point `ms` milliseconds after the clock's zero.
    pub const fn from_ms(ms: i64) -> Time {
        Time(ms)
    }

    /// Milliseconds since the clock's zero.
    pub const fn as_ms(self) -> i64 {
        self.0
    }

    /// Milliseconds from `earlier` to this; 0 if it is not earlier.
    pub const fn since(self, earlier: Time) -> u64 {
        let elapsed = self.0.saturating_sub(earlier.0);
        if elapsed > 0 { elapsed.unsigned_abs() } else { 0 }
    }

    /// This point moved `ms` into the future.
    #[must_use]
    pub const fn after(self, ms: u64) -> Time {
        Time(self.0.saturating_add_unsigned(ms))
    }

    /// This point moved `ms` into the past.
    #[must_use]
    pub const fn before(self, ms: u64) -> Time {
        Time(self.0.saturating_sub_unsigned(ms))
    }

    /// Beginning of the minute this point is in.
    #[must_use]
    pub const fn minute(self) -> Time {
        let minute = MINUTE_MS as i64;
        Time(self.0.saturating_sub(self.0.rem_euclid(minute)))
    }
}

/// From a point up to, not including, another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// The first point.
    pub from: Time,
    /// The first point after it.
    pub to: Time,
}

impl Range {
    /// The stretch between two points.
    pub const fn new(from: Time, to: Time) -> Range {
        Range { from, to }
    }

    /// Whether it holds a point.
    pub fn contains(self, at: Time) -> bool {
        self.from <= at && at < self.to
    }

    /// How long it is.
    pub const fn length_ms(self) -> u64 {
        self.to.since(self.from)
    }

    /// What it has in common with `begin` to `end`, in milliseconds.
    pub fn overlap_ms(self, begin: Time, end: Time) -> u64 {
        end.min(self.to).since(begin.max(self.from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_begin_before_what_is_in_them_on_both_sides_of_zero() {
        for (ms, minute) in [(0, 0), (59_999, 0), (60_000, 60_000), (-1, -60_000), (-60_000, -60_000)] {
            assert_eq!(Time::from_ms(ms).minute(), Time::from_ms(minute));
        }
    }

    #[test]
    fn adjacent_ranges_share_no_point() {
        let at = Time::from_ms(5);
        assert!(!Range::new(Time::from_ms(0), at).contains(at));
        assert!(Range::new(at, Time::from_ms(9)).contains(at));
        assert_eq!(Range::new(Time::from_ms(0), at).overlap_ms(Time::from_ms(3), Time::from_ms(9)), 2);
    }
}

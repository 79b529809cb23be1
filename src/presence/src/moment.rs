//! Points of time as the shell hands them in: milliseconds of the aggregator's monotonic clock.

use std::fmt;

/// A point of time. Its zero is the shell's choice; what was restored from before a restart may be negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment(i64);

impl Moment {
    /// The point `ms` milliseconds after the clock's zero.
    pub const fn from_ms(ms: i64) -> Moment {
        Moment(ms)
    }

    /// Before everything.
    pub(crate) const FIRST: Moment = Moment(i64::MIN);

    /// Milliseconds since the clock's zero.
    pub const fn as_ms(self) -> i64 {
        self.0
    }

    /// Milliseconds from `earlier` to this; 0 if it is not earlier.
    pub const fn since(self, earlier: Moment) -> u64 {
        let elapsed = self.0.saturating_sub(earlier.0);
        if elapsed > 0 { elapsed.unsigned_abs() } else { 0 }
    }

    /// This point moved `ms` into the future.
    #[must_use]
    pub const fn after(self, ms: u64) -> Moment {
        Moment(self.0.saturating_add_unsigned(ms))
    }

    /// This point moved `ms` into the past.
    #[must_use]
    pub const fn before(self, ms: u64) -> Moment {
        Moment(self.0.saturating_sub_unsigned(ms))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

//! The one place where time is read: the monotonic clock that every decision runs on, and the wall clock that only
//! shows. The demonstration's stands still but for the time that its simulated home lets pass.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::{Timestamp, Zoned, tz::TimeZone};
use whichroom_presence::Moment;

/// A monotonic clock, and its place on the wall clock.
#[derive(Debug, Clone)]
pub struct Clock {
    ticks: Ticks,
    wall_at_start: Timestamp,
    zone: TimeZone,
}

/// What makes time pass.
#[derive(Debug, Clone)]
enum Ticks {
    /// The system's clock.
    Life(Instant),
    /// [`Clock::pass_to`].
    Told(Arc<Mutex<Moment>>),
}

impl Clock {
    /// A clock that starts now, at moment 0.
    pub fn start() -> Clock {
        Clock::start_at(Timestamp::now())
    }

    /// A clock that starts now and shows `wall` at moment 0.
    pub fn start_at(wall: Timestamp) -> Clock {
        Clock { ticks: Ticks::Life(Instant::now()), wall_at_start: wall, zone: TimeZone::system() }
    }

    /// A clock that stands at moment 0 and shows `wall` there, until it is told otherwise.
    pub fn told_at(wall: Timestamp) -> Clock {
        Clock { ticks: Ticks::Told(Arc::default()), wall_at_start: wall, zone: TimeZone::system() }
    }

    /// Lets the time of a clock that stands pass; its copies stand with it. It never goes back.
    pub fn pass_to(&self, moment: Moment) {
        if let Ticks::Told(now) = &self.ticks {
            let mut now = now.lock().unwrap_or_else(PoisonError::into_inner);
            *now = moment.max(*now);
        }
    }

    /// What the wall clock shows at moment 0.
    pub fn wall_at_start(&self) -> Timestamp {
        self.wall_at_start
    }

    /// The zone that times of day are shown in.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The same clock, showing times of another zone.
    #[must_use]
    pub fn in_zone(self, zone: TimeZone) -> Clock {
        Clock { zone, ..self }
    }

    /// Now.
    pub fn now(&self) -> Moment {
        match &self.ticks {
            Ticks::Life(started) => {
                Moment::from_ms(i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX))
            }
            Ticks::Told(now) => *now.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// `moment` on the wall clock, in milliseconds since 1970.
    pub fn unix_ms(&self, moment: Moment) -> i64 {
        self.wall_at_start.as_millisecond().saturating_add(moment.as_ms())
    }

    /// The moment of a time in milliseconds since 1970.
    pub fn moment_of_unix_ms(&self, unix_ms: i64) -> Moment {
        Moment::from_ms(unix_ms.saturating_sub(self.wall_at_start.as_millisecond()))
    }

    /// How long to sleep until `moment`. A clock that is told does not bring it by itself.
    pub fn until(&self, moment: Moment) -> Duration {
        let wait_ms = moment.since(self.now());
        match &self.ticks {
            Ticks::Told(_) if wait_ms > 0 => Duration::MAX,
            Ticks::Told(_) | Ticks::Life(_) => Duration::from_millis(wait_ms),
        }
    }

    /// `moment` as people read it: RFC 3339, to the second, with the zone's offset.
    pub fn rfc3339(&self, moment: Moment) -> String {
        self.zoned(moment).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }

    /// Time of day, for the terminal.
    pub fn time_of_day(&self, moment: Moment) -> String {
        self.zoned(moment).strftime("%H:%M:%S").to_string()
    }

    /// Date and time of day, for the terminal.
    pub fn date_and_time(&self, moment: Moment) -> String {
        self.zoned(moment).strftime("%Y-%m-%d %H:%M:%S").to_string()
    }

    /// `moment` in the clock's zone.
    pub fn zoned(&self, moment: Moment) -> Zoned {
        let shift = jiff::SignedDuration::from_millis(moment.as_ms());
        self.wall_at_start.checked_add(shift).unwrap_or(Timestamp::MAX).to_zoned(self.zone.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_told_stands_but_for_that() {
        let clock = Clock::told_at(Timestamp::UNIX_EPOCH);
        let copy = clock.clone();
        let moment = Moment::from_ms(400);
        assert_eq!((copy.now(), copy.until(moment)), (Moment::from_ms(0), Duration::MAX));
        clock.pass_to(moment);
        clock.pass_to(Moment::from_ms(300));
        assert_eq!((copy.now(), copy.until(moment)), (moment, Duration::ZERO));
    }
}

//! The one place where time is read: the monotonic clock that every decision runs on, and the wall clock that only
//! shows. The demonstration runs the same clock faster.

use std::time::{Duration, Instant};

use jiff::{Timestamp, Zoned, tz::TimeZone};
use whichroom_presence::Moment;

/// A monotonic clock that may run faster than life, and its place on the wall clock.
#[derive(Debug, Clone)]
pub struct Clock {
    started: Instant,
    speed: u32,
    wall_at_start: Timestamp,
    zone: TimeZone,
}

impl Clock {
    /// A clock that starts now, at moment 0, and runs at the pace of life.
    pub fn start() -> Clock {
        Clock::start_at(Timestamp::now(), 1)
    }

    /// A clock that shows `wall` at moment 0 and runs `speed` seconds a second.
    pub fn start_at(wall: Timestamp, speed: u32) -> Clock {
        Clock { started: Instant::now(), speed: speed.max(1), wall_at_start: wall, zone: TimeZone::system() }
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
        let elapsed_us = self.started.elapsed().as_micros().saturating_mul(u128::from(self.speed));
        Moment::from_ms(i64::try_from(elapsed_us / 1000).unwrap_or(i64::MAX))
    }

    /// `moment` on the wall clock, in milliseconds since 1970.
    pub fn unix_ms(&self, moment: Moment) -> i64 {
        self.wall_at_start.as_millisecond().saturating_add(moment.as_ms())
    }

    /// The moment of a time in milliseconds since 1970.
    pub fn moment_of_unix_ms(&self, unix_ms: i64) -> Moment {
        Moment::from_ms(unix_ms.saturating_sub(self.wall_at_start.as_millisecond()))
    }

    /// How long to sleep until `moment`.
    pub fn until(&self, moment: Moment) -> Duration {
        Duration::from_micros(moment.since(self.now()).saturating_mul(1000) / u64::from(self.speed))
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

//! Moments of a recording as people say them: a time with its date and zone, a time of day, or seconds from the start.

use jiff::civil::Time;
use jiff::{Timestamp, ToSpan as _};
use whichroom_presence::Moment;

use crate::clock::Clock;

/// What [`moment`] reads, for help texts.
pub const FORMS: &str = "2026-11-22T08:15:00+01:00, 08:15, 08:15:30 or +900 (seconds from its start)";

/// Reads a moment. A time of day is the first one after the recording `began`, in the home's zone.
pub fn moment(text: &str, clock: &Clock, began: Moment) -> Result<Moment, String> {
    if let Some(seconds) = text.strip_prefix('+') {
        let seconds: u64 = seconds.parse().map_err(|_| unreadable(text))?;
        return Ok(began.after(seconds.saturating_mul(1000)));
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at_wall(at, clock));
    }
    let time: Time = Some(text)
        .filter(|text| text.contains(':') && text.len() <= 8)
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| unreadable(text))?;
    let start = clock.zoned(began);
    let same_day = start.with().time(time).build().map_err(|error| format!("{text}: {error}"))?;
    let at = if same_day < start {
        same_day.checked_add(1.day()).map_err(|error| format!("{text}: {error}"))?
    } else {
        same_day
    };
    Ok(at_wall(at.timestamp(), clock))
}

fn at_wall(at: Timestamp, clock: &Clock) -> Moment {
    Moment::from_ms(at.as_millisecond().saturating_sub(clock.wall_at_start().as_millisecond()))
}

fn unreadable(text: &str) -> String {
    format!("\"{text}\" is no time: write {FORMS}")
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    /// A recording that begins at 22:00:00.250 in Berlin.
    fn read(text: &str) -> Result<i64, String> {
        let started = "2026-11-22T21:00:00Z".parse().unwrap();
        let clock = Clock::start_at(started).in_zone(TimeZone::get("Europe/Berlin").unwrap());
        moment(text, &clock, Moment::from_ms(250)).map(Moment::as_ms)
    }

    #[test]
    fn times_are_read_as_people_say_them() {
        for (text, ms) in [
            ("2026-11-22T22:00:01+01:00", 1_000),
            ("2026-11-22T21:00:01Z", 1_000),
            ("+0", 250),
            ("+90", 90_250),
            ("22:10", 600_000),
            ("22:10:05", 605_000),
            ("07:00", 9 * 3_600_000),
            ("22:00", 24 * 3_600_000),
        ] {
            assert_eq!(read(text), Ok(ms), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused_with_the_forms() {
        for text in ["", "+", "+-1", "noon", "25:00", "22", "22:10:05.5", "2026-11-22"] {
            assert!(read(text).unwrap_err().contains(FORMS), "{text}");
        }
    }
}

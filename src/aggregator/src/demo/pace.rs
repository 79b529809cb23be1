//! How fast the simulated home may live: as fast as was asked for, and slower where the machine does not keep up. What
//! is decided does not depend on it.

use std::time::{Duration, Instant};

/// A home that is further behind than this does not catch up: it goes on from where it is.
const BEHIND_MAX: Duration = Duration::from_secs(2);

/// The home's speed.
#[derive(Debug)]
pub(super) struct Pace {
    asked: u32,
    started: Instant,
    /// Where the home was when it last was where it should be, and when.
    from: (u64, Instant),
    latest: (u64, Instant),
    /// How fast it lived until it was told last not to catch up.
    kept: Option<u32>,
}

impl Pace {
    /// From the home's time 0, `asked` times as fast as life.
    pub(super) fn new(asked: u32, now: Instant) -> Pace {
        Pace { asked, started: now, from: (0, now), latest: (0, now), kept: None }
    }

    /// How far the home's time may go on by now, in milliseconds; it is at `home_ms`.
    pub(super) fn target_ms(&mut self, home_ms: u64, now: Instant) -> u64 {
        self.latest = (home_ms, now);
        let (from_ms, from) = self.from;
        let target_ms = from_ms + in_ms(now.saturating_duration_since(from), self.asked);
        if target_ms.saturating_sub(home_ms) <= in_ms(BEHIND_MAX, self.asked) {
            return target_ms;
        }
        self.kept = speed(home_ms.saturating_sub(from_ms), now.saturating_duration_since(from));
        self.from = (home_ms, now);
        home_ms
    }

    /// How fast the home lives by now.
    pub(super) fn speed(&self) -> u32 {
        self.kept.unwrap_or(self.asked)
    }

    /// Whether the machine does not keep the speed that was asked for.
    pub(super) fn is_slow(&self) -> bool {
        self.kept.is_some()
    }

    /// How fast it lived all in all.
    pub(super) fn average(&self) -> Option<u32> {
        let (home_ms, at) = self.latest;
        speed(home_ms, at.saturating_duration_since(self.started))
    }

    /// What was asked for.
    pub(super) fn asked(&self) -> u32 {
        self.asked
    }
}

/// What passes in the home meanwhile.
fn in_ms(real: Duration, speed: u32) -> u64 {
    u64::try_from(real.as_micros().saturating_mul(u128::from(speed)) / 1000).unwrap_or(u64::MAX)
}

fn speed(home_ms: u64, real: Duration) -> Option<u32> {
    let speed = (u128::from(home_ms) * 1000 + real.as_micros() / 2).checked_div(real.as_micros())?;
    u32::try_from(speed).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_home_that_keeps_up_lives_as_fast_as_was_asked_for() {
        let start = Instant::now();
        let mut pace = Pace::new(600, start);
        assert_eq!(pace.target_ms(0, start), 0);
        assert_eq!(pace.target_ms(0, start + SECOND), 600_000);
        assert_eq!(pace.target_ms(600_000, start + 2 * SECOND), 1_200_000);
        assert!(!pace.is_slow());
        assert_eq!((pace.speed(), pace.average()), (600, Some(300)));
    }

    #[test]
    fn a_machine_that_is_too_slow_makes_a_slow_home_that_does_not_race_later() {
        let start = Instant::now();
        let mut pace = Pace::new(1000, start);
        let mut home_ms = 0;
        for second in 1..=10 {
            home_ms += 100_000;
            let target_ms = pace.target_ms(home_ms, start + second * SECOND);
            assert!(target_ms >= home_ms && target_ms <= home_ms + 2_000_000, "{second} {target_ms}");
        }
        assert!(pace.is_slow());
        assert_eq!((pace.speed(), pace.average(), pace.asked()), (100, Some(100), 1000));
    }

    #[test]
    fn a_stall_is_caught_up_with_if_it_is_short() {
        let start = Instant::now();
        let mut pace = Pace::new(30, start);
        assert_eq!(pace.target_ms(30_000, start + 3 * SECOND), 90_000);
        assert!(!pace.is_slow());
        assert_eq!(pace.target_ms(90_000, start + 60 * SECOND), 90_000, "a laptop slept");
    }
}

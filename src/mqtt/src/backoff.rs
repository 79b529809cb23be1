//! How long to wait before the next attempt to connect: a pure value, also for owners with attempts of their own.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// A connection that lasted this long was a good one. Shorter ones do not count: two clients with one id throw each
/// other out for ever, and that must not happen every second.
const GOOD: Duration = Duration::from_secs(10);

/// Waiting times of 1 s doubling to 60 s, each shortened at random by up to a half, so that the access points of a
/// house do not all come at once when the broker is back.
#[derive(Debug, Clone)]
pub struct Backoff {
    next: Duration,
    random: u32,
}

impl Backoff {
    /// Starts at 1 s; clients with different seeds wait for different times.
    pub fn new(seed: u32) -> Backoff {
        // The generator stays at 0 once it is there.
        Backoff { next: FIRST, random: seed | 1 }
    }

    /// How long to wait now. `lasted` is how long the connection was there; zero if it never was.
    pub fn after(&mut self, lasted: Duration) -> Duration {
        if lasted >= GOOD {
            self.next = FIRST;
        }
        let longest_ms = u32::try_from(self.next.as_millis()).unwrap_or(u32::MAX);
        self.next = (self.next * 2).min(LONGEST);
        let shorter_ms = self.random() % (longest_ms / 2 + 1);
        Duration::from_millis(u64::from(longest_ms - shorter_ms))
    }

    /// Marsaglia's xorshift: even enough to spread clients.
    fn random(&mut self) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.random
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_a_minute_with_jitter() {
        let mut backoff = Backoff::new(7);
        for longest_s in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            let wait = backoff.after(Duration::ZERO);
            let longest = Duration::from_secs(longest_s);
            assert!(wait >= longest / 2 && wait <= longest, "{wait:?} is not within {longest:?}");
        }
    }

    #[test]
    fn a_good_connection_starts_over_and_a_short_one_does_not() {
        let mut backoff = Backoff::new(7);
        for _ in 0..5 {
            backoff.after(Duration::ZERO);
        }
        assert!(backoff.after(Duration::from_millis(200)) >= Duration::from_secs(16));
        assert!(backoff.after(GOOD) <= FIRST);
    }

    #[test]
    fn seeds_spread_clients() {
        let mut waits: Vec<_> = (0..20).map(|seed| Backoff::new(seed * 7919).after(Duration::ZERO)).collect();
        waits.sort();
        waits.dedup();
        assert!(waits.len() > 10, "only {} different waits", waits.len());
    }
}

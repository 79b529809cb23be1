//! Figures of the benchmarks: percentiles of times, and how they are written.

use std::time::Duration;

/// Times that were measured.
#[derive(Debug, Clone, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Adds one.
    pub fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// Both together.
    #[must_use]
    pub fn and(&self, other: &Times) -> Times {
        Times([self.0.as_slice(), &other.0].concat())
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The time that so many per cent do not exceed (nearest rank), in milliseconds.
    pub fn percentile_ms(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
    }
}

/// Bytes as millions of them, to one digit after the point.
pub fn megabytes(bytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "for reading")]
    let bytes = bytes as f64;
    (bytes / 1e5).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let mut times = Times::default();
        (1..=200).rev().for_each(|ms| times.push(Duration::from_millis(ms)));
        assert_eq!(
            [50, 95, 99, 100].map(|percent| times.percentile_ms(percent)),
            [100.0, 190.0, 198.0, 200.0]
        );
        assert_eq!(Times::default().percentile_ms(50), 0.0);
    }
}

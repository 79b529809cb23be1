//! The simulation's own chance: one generator and one hash, so that a seed gives the same home on any machine.

/// SplitMix64: small, fast, and good enough for a home.
#[derive(Debug, Clone)]
pub(crate) struct Random {
    state: u64,
}

/// One well-mixed value from two.
pub(crate) fn mix(a: u64, b: u64) -> u64 {
    let mut random = Random { state: a ^ b.wrapping_mul(0x9e37_79b9_7f4a_7c15) };
    random.next();
    random.next()
}

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random { state: mix(seed, 1) }
    }

    /// Any 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// From 0 to just below 1.
    pub(crate) fn unit(&mut self) -> f64 {
        // 53 bits are what a double holds.
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Evenly between two bounds.
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Evenly over orders of magnitude, as the lengths of silences and stays are.
    pub(crate) fn spread(&mut self, low: f64, high: f64) -> f64 {
        low * (high / low).powf(self.unit())
    }

    /// The same in milliseconds, from seconds.
    pub(crate) fn spread_ms(&mut self, low_s: f64, high_s: f64) -> u64 {
        (self.spread(low_s, high_s) * 1000.0) as u64
    }

    /// Evenly between two bounds, in milliseconds.
    pub(crate) fn between_ms(&mut self, low_ms: u64, high_ms: u64) -> u64 {
        low_ms + self.next() % (high_ms - low_ms).max(1)
    }

    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Bell-shaped, mean 0, deviation 1: the sum of twelve even values, which needs no transcendental function.
    pub(crate) fn bell(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_even_and_bell_shaped() {
        let mut random = Random::new(7);
        let (mut sum, mut squares, mut low) = (0.0, 0.0, 0);
        for _ in 0..20_000 {
            let bell = random.bell();
            sum += bell;
            squares += bell * bell;
            low += u32::from(random.unit() < 0.25);
        }
        assert!((sum / 20_000.0).abs() < 0.03, "mean {sum}");
        assert!((squares / 20_000.0 - 1.0).abs() < 0.05, "deviation {squares}");
        assert!((4_700..5_300).contains(&low), "quarter {low}");
    }

    #[test]
    fn spreads_stay_within_their_bounds() {
        let mut random = Random::new(8);
        assert!((0..1_000).all(|_| (2_000..=50_000).contains(&random.spread_ms(2.0, 50.0))));
        assert!((0..1_000).all(|_| (5..9).contains(&random.between_ms(5, 9))));
    }
}

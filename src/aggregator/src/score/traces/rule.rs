//! The simple rules that ours is measured against: the loudest AP's room, by the mean of the last seconds, with or
//! without a margin that another must be ahead by.

use super::view::{Shown, What};

/// How a room is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rule {
    /// The AP that hears the phone best at this second.
    Strongest,
    /// The best by the mean of five seconds, once it is 6 dB ahead.
    Margin,
    /// The product's.
    #[default]
    Ours,
}

/// A rule over means, and what it has heard lately.
#[derive(Debug, Clone)]
pub struct Loudest {
    mean_of_ms: i64,
    margin_db: f32,
    heard: Vec<(i64, usize, f32)>,
    ap: Option<usize>,
}

impl Loudest {
    /// The strongest AP by the mean of the last second: what a poller sees.
    pub fn strongest() -> Loudest {
        Loudest { mean_of_ms: 1_000, margin_db: 0.0, heard: Vec::new(), ap: None }
    }

    /// The usual cure for flicker.
    pub fn with_margin() -> Loudest {
        Loudest { mean_of_ms: 5_000, margin_db: 6.0, heard: Vec::new(), ap: None }
    }

    /// Takes in what was shown.
    pub fn take(&mut self, shown: &Shown) {
        if let What::Heard { rssi_dbm } = shown.what {
            self.heard.push((shown.at_ms, shown.ap, f32::from(rssi_dbm)));
        }
    }

    /// The AP whose room it is in. Where nothing was heard lately, it is where it was.
    pub fn decide(&mut self, now_ms: i64) -> Option<usize> {
        let after_ms = now_ms - self.mean_of_ms;
        self.heard.retain(|(at_ms, ..)| *at_ms > after_ms);
        let mut best: Option<(usize, f32)> = None;
        for (_, ap, _) in &self.heard {
            let Some(mean) = self.mean(*ap) else { continue };
            if best.is_none_or(|(_, best)| mean > best) {
                best = Some((*ap, mean));
            }
        }
        let own = self.ap.and_then(|ap| self.mean(ap));
        if let Some((ap, _)) = best.filter(|(_, mean)| own.is_none_or(|own| *mean >= own + self.margin_db)) {
            self.ap = Some(ap);
        }
        self.ap
    }

    fn mean(&self, ap: usize) -> Option<f32> {
        let levels = self.heard.iter().filter(|(_, heard, _)| *heard == ap).map(|(.., level)| *level);
        let (sum, count) = levels.fold((0.0f32, 0u16), |(sum, count), level| (sum + level, count + 1));
        (count > 0).then(|| sum / f32::from(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(at_ms: i64, ap: usize, rssi_dbm: i8) -> Shown {
        Shown { at_ms, ap, what: What::Heard { rssi_dbm } }
    }

    #[test]
    fn the_strongest_wins_at_once_and_a_margin_holds() {
        let (mut strongest, mut margin) = (Loudest::strongest(), Loudest::with_margin());
        let mut decided = Vec::new();
        for (second, (a, b)) in [(-60, -70), (-60, -59), (-60, -53), (-60, -50)].into_iter().enumerate() {
            let at_ms = second as i64 * 1000;
            for rule in [&mut strongest, &mut margin] {
                rule.take(&heard(at_ms, 0, a));
                rule.take(&heard(at_ms, 1, b));
            }
            decided.push((strongest.decide(at_ms), margin.decide(at_ms)));
        }
        let holds = (Some(1), Some(0));
        assert_eq!(decided, [(Some(0), Some(0)), holds, holds, holds], "the mean is -58 against -60");
    }

    #[test]
    fn what_is_no_longer_heard_is_left_and_silence_holds() {
        let mut margin = Loudest::with_margin();
        margin.take(&heard(0, 0, -40));
        assert_eq!(margin.decide(0), Some(0));
        margin.take(&heard(6_000, 1, -90));
        assert_eq!(margin.decide(6_000), Some(1));
        assert_eq!(margin.decide(60_000), Some(1));
    }
}

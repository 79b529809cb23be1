//! When an access point or a BSS was watching. Absence accrues only while all that could have heard a device
//! watched at once, so the spans are kept and intersected when a decision is due; nothing is counted per message.

use crate::Moment;

/// Spans that are kept: what is older counts as not watched.
const SPANS_MAX: usize = 32;

/// Spans of time in which something reported, oldest first. The last grows with each live message and ends with it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Windows {
    spans: Vec<(Moment, Moment)>,
    closed: bool,
}

impl Windows {
    /// A live message came. It prolongs the last span if that is at most `gap_ms` old.
    pub fn extend(&mut self, now: Moment, gap_ms: u64) {
        match self.spans.last_mut() {
            Some((_, to)) if !self.closed && now.since(*to) <= gap_ms => *to = now.max(*to),
            _ => {
                if self.spans.len() == SPANS_MAX {
                    self.spans.remove(0);
                }
                self.spans.push((now, now));
            }
        }
        self.closed = false;
    }

    /// Whatever comes next starts a new span.
    pub fn close(&mut self) {
        self.closed = true;
    }
}

/// Time that several [`Windows`] have in common.
#[derive(Debug)]
pub(crate) struct Common(Vec<(Moment, Moment)>);

impl Common {
    /// All of the time between two moments.
    pub fn between(from: Moment, to: Moment) -> Common {
        Common(if from < to { vec![(from, to)] } else { Vec::new() })
    }

    /// Keeps what lies in `windows` too.
    pub fn intersect(&mut self, windows: &Windows) {
        let mut both = Vec::with_capacity(self.0.len());
        for &(from, to) in &self.0 {
            for &(start, end) in &windows.spans {
                let (start, end) = (start.max(from), end.min(to));
                if start < end {
                    both.push((start, end));
                }
            }
        }
        self.0 = both;
    }

    /// How much it is.
    pub fn total_ms(&self) -> u64 {
        self.0.iter().map(|(from, to)| to.since(*from)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> Moment {
        Moment::from_ms(s * 1000)
    }

    fn windows(messages: &[i64]) -> Windows {
        let mut windows = Windows::default();
        for &s in messages {
            windows.extend(at(s), 45_000);
        }
        windows
    }

    fn total_s(all: &[&Windows], from: i64, to: i64) -> u64 {
        let mut common = Common::between(at(from), at(to));
        for windows in all {
            common.intersect(windows);
        }
        common.total_ms() / 1000
    }

    #[test]
    fn nothing_counts_after_the_last_message_or_across_a_gap() {
        let garden = windows(&[0, 30, 60, 200, 230]);
        assert_eq!(total_s(&[&garden], 0, 1000), 60 + 30);
        assert_eq!(total_s(&[&garden], 45, 210), 15 + 10);
        assert_eq!(total_s(&[&garden], 70, 190), 0);
    }

    #[test]
    fn only_time_in_common_counts() {
        let (garden, hall) = (windows(&[0, 40, 80]), windows(&[60, 100, 140]));
        assert_eq!(total_s(&[&garden, &hall], 0, 1000), 20);
    }

    #[test]
    fn a_closed_window_starts_anew() {
        let mut garden = windows(&[0, 30]);
        garden.close();
        garden.extend(at(40), 45_000);
        garden.extend(at(50), 45_000);
        assert_eq!(total_s(&[&garden], 0, 1000), 40);
    }

    #[test]
    fn many_gaps_forget_the_oldest() {
        let garden = windows(&(0..100).map(|n| n * 100).collect::<Vec<_>>());
        assert!(garden.spans.len() <= SPANS_MAX);
    }
}

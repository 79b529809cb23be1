//! What was heard of a device a moment ago, by which access point: what calibrations are made of, and the count of
//! minutes in which more than one of them heard it.

use std::collections::VecDeque;

use crate::Moment;
use crate::output::Heard;
use crate::timers::ApIndex;

/// Readings kept of a device: some ten seconds of a busy one.
const RECENT_MAX: usize = 16;

/// Readings kept while a calibration listens.
const LISTENING_MAX: usize = 512;

const MINUTE_MS: i64 = 60_000;

/// Minutes that count; beyond, old and new ones weigh less alike. A week of wakefulness.
const MINUTES_MAX: u32 = 7 * 24 * 60;

/// How a level was come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum How {
    /// Of a station associated with the AP.
    Associated,
    /// Of a frame that an AP heard without an association.
    Overheard,
    /// The device's own view of the AP (802.11k).
    Reported,
}

/// A level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Level {
    pub ap: ApIndex,
    pub how: How,
    pub dbm: i8,
    pub at: Moment,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hearing {
    recent: VecDeque<Level>,
    listening: bool,
    /// The minute that is being counted, who was heard in it first, and whether anybody else was.
    minute: Option<(i64, ApIndex, bool)>,
    heard: Heard,
}

impl Hearing {
    /// Takes a level in.
    pub fn read(&mut self, level: Level) {
        self.count(level);
        let most = if self.listening { LISTENING_MAX } else { RECENT_MAX };
        while self.recent.len() >= most {
            self.recent.pop_front();
        }
        self.recent.push_back(level);
    }

    /// From now on more is kept, or no longer.
    pub fn listen(&mut self, listening: bool) {
        self.listening = listening;
        if !listening {
            let beyond = self.recent.len().saturating_sub(RECENT_MAX);
            self.recent.drain(..beyond);
            self.recent.shrink_to_fit();
        }
    }

    /// What was heard since then.
    pub fn since(&self, from: Moment) -> impl Iterator<Item = &Level> {
        self.recent.iter().filter(move |level| level.at >= from)
    }

    /// Minutes in which it was heard, and in which several APs took part; the present one is not over.
    pub fn heard(&self) -> Heard {
        self.heard
    }

    fn count(&mut self, level: Level) {
        let minute = level.at.as_ms().div_euclid(MINUTE_MS);
        match &mut self.minute {
            Some((counting, first, several)) if *counting == minute => *several |= *first != level.ap,
            // What comes late does not open a minute that is over.
            Some((counting, ..)) if *counting > minute => {}
            Some((_, _, several)) => {
                self.heard.minutes += 1;
                self.heard.by_several += u32::from(*several);
                if self.heard.minutes >= MINUTES_MAX {
                    self.heard =
                        Heard { minutes: self.heard.minutes / 2, by_several: self.heard.by_several / 2 };
                }
                self.minute = Some((minute, level.ap, false));
            }
            None => self.minute = Some((minute, level.ap, false)),
        }
    }

    /// APs have other positions after a change of the setup.
    pub fn renumber(&mut self, ap: impl Fn(ApIndex) -> Option<ApIndex>) {
        self.recent.retain_mut(|level| ap(level.ap).map(|now| level.ap = now).is_some());
        self.minute = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(ap: u32, s: i64) -> Level {
        Level { ap: ApIndex(ap), how: How::Overheard, dbm: -60, at: Moment::from_ms(s * 1000) }
    }

    #[test]
    fn minutes_with_several_access_points_are_counted() {
        let mut hearing = Hearing::default();
        for (ap, s) in [(0, 0), (1, 30), (0, 61), (0, 100), (0, 30), (0, 200), (2, 239), (1, 300)] {
            hearing.read(level(ap, s));
        }
        let heard = hearing.heard();
        assert_eq!((heard.minutes, heard.by_several, heard.percent()), (3, 2, Some(66)));
    }

    #[test]
    fn little_is_kept_unless_somebody_listens() {
        let mut hearing = Hearing::default();
        for (listening, kept) in [(false, RECENT_MAX), (true, LISTENING_MAX)] {
            hearing.listen(listening);
            (0..1000).for_each(|s| hearing.read(level(0, s)));
            assert_eq!(hearing.since(Moment::from_ms(i64::MIN)).count(), kept);
        }
        hearing.listen(false);
        assert_eq!(hearing.since(Moment::from_ms(999_000)).count(), 1);
        assert_eq!(hearing.since(Moment::from_ms(0)).count(), RECENT_MAX);
    }
}

//! What a device usually does when it is silent: how long its silences at home last, by how they began. They bound
//! how long the next one is taken for sleep.
//!
//! A silence is learned when it ended with a return inside the house and the house was watched meanwhile; what comes
//! back past an exit was out. Lengths are kept in a few steps a factor of 1.5 apart, which fade with the days.

use serde::{Deserialize, Serialize};

use crate::setup::Timing;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;

/// Steps of length: up to 1 min, 1.5 min, ..., 15 h.
const STEPS: usize = 18;

/// By day, and in the open, nobody sleeps for longer.
pub(crate) const NAP_MS: u64 = 3 * HOUR_MS + 30 * MINUTE_MS;

/// What one silence weighs; weights fade by a thirty-second each day the device was at home.
const ONE: u16 = 32;

/// After so long at home a device's days are known; its nights, which differ more and come once a day, after so long.
const DAYS_MS: u64 = 48 * HOUR_MS;
const NIGHTS_MS: u64 = 21 * 24 * HOUR_MS;

/// How a silence began. Each kind has its own usual length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// A leave frame past an exit, after the signal had faded.
    ExitLeft,
    /// Past an exit, with a leave frame or after the signal had faded.
    ExitFaded,
    /// The signal had faded inside, towards an exit.
    FadedOut,
    /// The signal had faded inside, away from every exit: a cellar, an attic.
    Faded,
    /// A leave frame, with a steady signal: WiFi was turned off, or the phone sleeps politely.
    Left,
    /// The access point's poll failed, with a steady signal.
    Still,
    /// Listed all the time, and not received.
    Listed,
}

impl Kind {
    /// Whether nothing but its length tells it from sleep.
    pub fn is_sleep(self) -> bool {
        matches!(self, Kind::Left | Kind::Still)
    }

    /// Whether it is how people leave the house.
    pub fn is_exit(self) -> bool {
        matches!(self, Kind::ExitLeft | Kind::ExitFaded)
    }
}

/// All kinds, in the order they are kept.
pub(crate) const KINDS: [Kind; 7] =
    [Kind::ExitLeft, Kind::ExitFaded, Kind::FadedOut, Kind::Faded, Kind::Left, Kind::Still, Kind::Listed];

/// Lengths of silences of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Lengths([u16; STEPS]);

/// What one device does when it is silent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Doze {
    lengths: [Lengths; KINDS.len()],
    /// Time at home that was watched.
    home_ms: u64,
}

/// How long a silence of a kind is taken for sleep.
struct Bounds {
    /// For a device nobody knows.
    new_ms: u64,
    /// For one that is known, and never did this.
    never_ms: u64,
    /// Never less, whatever was learned.
    least_ms: u64,
    /// Never more.
    most_ms: u64,
    /// So many silences tell what is usual.
    enough: u32,
    /// Time at home after which it is known.
    known_ms: u64,
}

fn bounds(kind: Kind, timing: &Timing) -> Bounds {
    let fixed =
        |ms, most_ms| Bounds { new_ms: ms, never_ms: ms, least_ms: ms, most_ms, enough: 12, known_ms: 1 };
    let (night_ms, listed_ms) = (timing.interior_ms, timing.phantom_ms);
    match kind {
        Kind::ExitLeft => fixed(timing.left_ms, 10 * MINUTE_MS),
        Kind::ExitFaded => fixed(timing.exit_ms, 20 * MINUTE_MS),
        Kind::FadedOut => Bounds {
            new_ms: 30 * MINUTE_MS,
            never_ms: 15 * MINUTE_MS,
            least_ms: 10 * MINUTE_MS,
            most_ms: night_ms.min(30 * MINUTE_MS),
            enough: 12,
            known_ms: DAYS_MS,
        },
        Kind::Faded => Bounds {
            new_ms: 100 * MINUTE_MS,
            never_ms: 75 * MINUTE_MS,
            least_ms: 30 * MINUTE_MS,
            most_ms: night_ms.min(105 * MINUTE_MS),
            enough: 12,
            known_ms: DAYS_MS,
        },
        // Nothing but its length tells these from sleep, and phones sleep through whole nights.
        Kind::Left | Kind::Still => Bounds {
            new_ms: night_ms,
            never_ms: 4 * HOUR_MS,
            least_ms: 2 * HOUR_MS,
            most_ms: night_ms,
            enough: 40,
            known_ms: NIGHTS_MS,
        },
        Kind::Listed => Bounds {
            new_ms: listed_ms,
            never_ms: 6 * HOUR_MS,
            least_ms: 6 * HOUR_MS,
            most_ms: listed_ms,
            enough: 40,
            known_ms: NIGHTS_MS,
        },
    }
}

impl Doze {
    /// How long a silence of this kind may be sleep.
    pub fn plausible_ms(&self, kind: Kind, timing: &Timing) -> u64 {
        let Bounds { new_ms, never_ms, least_ms, most_ms, enough, known_ms } = bounds(kind, timing);
        let lengths = self.of(kind);
        let weight = lengths.weight();
        let is_enough = weight >= enough * u32::from(ONE);
        // What was seen a few times may well last twice as long the next time; what was seen often, half as long again.
        let learned_ms = lengths.usual_ms().map_or(0, |ms| if is_enough { ms * 3 / 2 } else { ms * 2 });
        let end_ms = match (weight, known_ms) {
            (0, _) | (_, DAYS_MS) if !is_enough => never_ms,
            _ if is_enough => least_ms,
            _ => new_ms,
        };
        // Long nights are few among many naps: until enough of them have passed, nothing learned by day shortens them.
        let expected_ms = match known_ms {
            DAYS_MS if is_enough => end_ms,
            NIGHTS_MS if self.home_ms < known_ms => new_ms,
            _ => {
                new_ms - new_ms.saturating_sub(end_ms) / 1000 * (self.home_ms.min(known_ms) * 1000 / known_ms)
            }
        };
        // Whoever sets a shorter time means it.
        learned_ms.max(expected_ms).max(least_ms).min(most_ms)
    }

    /// A silence ended with a return inside the house. What lasted far longer than was plausible is taken in by steps:
    /// one mistake must not undo what was learned.
    pub fn learn(&mut self, kind: Kind, silent_ms: u64, timing: &Timing) -> bool {
        if silent_ms > 2 * self.plausible_ms(kind, timing) {
            return false;
        }
        let lengths = &mut self.lengths[kind as usize];
        let step = &mut lengths.0[step_of(silent_ms)];
        *step = step.saturating_add(ONE);
        true
    }

    /// It was at home for this long. A day of it makes what was learned before weigh less.
    pub fn at_home(&mut self, ms: u64) {
        const DAY_MS: u64 = 24 * HOUR_MS;
        let days = (self.home_ms + ms) / DAY_MS - self.home_ms / DAY_MS;
        self.home_ms += ms;
        // After a year away nothing is left to fade.
        for _ in 0..days.min(366) {
            for weight in self.lengths.iter_mut().flat_map(|lengths| &mut lengths.0) {
                *weight -= weight.div_ceil(ONE);
            }
        }
    }

    /// Watched time at home.
    pub fn home_ms(&self) -> u64 {
        self.home_ms
    }

    /// How often a silence of this kind ended with a return, of late, and how long the longest usual one was.
    pub fn seen(&self, kind: Kind) -> (u32, Option<u64>) {
        let lengths = self.of(kind);
        (lengths.weight().div_ceil(ONE.into()), lengths.usual_ms())
    }

    fn of(&self, kind: Kind) -> &Lengths {
        &self.lengths[kind as usize]
    }

    /// For the snapshot: watched time at home, and the weights of each kind.
    pub fn saved(&self) -> (u64, Vec<Vec<u16>>) {
        (self.home_ms, self.lengths.iter().map(|lengths| lengths.0.to_vec()).collect())
    }

    /// What a snapshot kept; what it kept too much is dropped.
    pub fn restored(home_ms: u64, saved: &[Vec<u16>]) -> Doze {
        let mut doze = Doze { home_ms: home_ms.min(u64::MAX / 4), ..Doze::default() };
        for (lengths, saved) in doze.lengths.iter_mut().zip(saved) {
            lengths.0.iter_mut().zip(saved).for_each(|(weight, saved)| *weight = *saved);
        }
        doze
    }
}

impl Lengths {
    fn weight(&self) -> u32 {
        self.0.iter().map(|weight| u32::from(*weight)).sum()
    }

    /// What all but one in a hundred do not exceed.
    fn usual_ms(&self) -> Option<u64> {
        let longer_allowed = self.weight() / 100;
        let mut longer = 0;
        for (step, weight) in self.0.iter().enumerate().rev() {
            longer += u32::from(*weight);
            if longer > longer_allowed {
                return Some(length_ms(step));
            }
        }
        None
    }
}

/// The longest silence of a step: 1 min and each time half as much again.
fn length_ms(step: usize) -> u64 {
    (0..step).fold(MINUTE_MS, |ms, _| ms * 3 / 2)
}

fn step_of(silent_ms: u64) -> usize {
    (0..STEPS).find(|step| silent_ms <= length_ms(*step)).unwrap_or(STEPS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(silences: &[u64], kind: Kind) -> Doze {
        let mut doze = Doze::default();
        for minutes in silences {
            assert!(doze.learn(kind, minutes * MINUTE_MS, &Timing::default()));
        }
        doze
    }

    fn minutes(doze: &Doze, kind: Kind) -> u64 {
        doze.plausible_ms(kind, &Timing::default()) / MINUTE_MS
    }

    #[test]
    fn a_new_device_is_given_time() {
        let new = Doze::default();
        assert_eq!((minutes(&new, Kind::FadedOut), minutes(&new, Kind::Still)), (30, 12 * 60));
        assert_eq!(new.plausible_ms(Kind::ExitLeft, &Timing::default()), Timing::default().left_ms);
    }

    #[test]
    fn what_never_happens_in_days_is_not_expected() {
        let mut doze = Doze::default();
        doze.at_home(24 * HOUR_MS);
        assert_eq!(minutes(&doze, Kind::FadedOut), 22);
        doze.at_home(24 * HOUR_MS);
        assert_eq!((minutes(&doze, Kind::FadedOut), minutes(&doze, Kind::Still)), (15, 12 * 60));
        doze.at_home(20 * 24 * HOUR_MS);
        assert_eq!(minutes(&doze, Kind::Still), 4 * 60, "and in weeks of nights");
    }

    #[test]
    fn its_own_silences_decide() {
        assert_eq!(
            minutes(&after(&[4; 50], Kind::Still), Kind::Still),
            12 * 60,
            "naps tell nothing of nights"
        );
        let known = |silences: &[u64]| Doze { home_ms: 21 * 24 * HOUR_MS, ..after(silences, Kind::Still) };
        assert_eq!(minutes(&known(&[4; 50]), Kind::Still), 2 * 60);
        let long = known(&[150; 50]);
        assert!((225..=300).contains(&minutes(&long, Kind::Still)), "{}", minutes(&long, Kind::Still));
        assert_eq!(minutes(&long, Kind::FadedOut), 15, "each kind for itself");
        let few = after(&[25, 25], Kind::FadedOut);
        assert_eq!(minutes(&few, Kind::FadedOut), 30, "at most");
    }

    #[test]
    fn one_long_absence_is_no_habit() {
        let mut doze = after(&[5; 20], Kind::FadedOut);
        assert!(!doze.learn(Kind::FadedOut, 5 * HOUR_MS, &Timing::default()));
        assert_eq!(minutes(&doze, Kind::FadedOut), 10);
        let mut doze = after(&[4; 200], Kind::FadedOut);
        assert!(doze.learn(Kind::FadedOut, 20 * MINUTE_MS, &Timing::default()));
        assert_eq!(minutes(&doze, Kind::FadedOut), 10, "one in two hundred");
    }

    #[test]
    fn habits_fade() {
        let mut doze = after(&[300; 20], Kind::Still);
        assert_eq!(doze.seen(Kind::Still).0, 20);
        doze.at_home(300 * 24 * HOUR_MS);
        assert_eq!(doze.seen(Kind::Still), (0, None));
        assert_eq!(minutes(&doze, Kind::Still), 4 * 60);
    }

    #[test]
    fn it_is_small_and_survives() {
        assert!(size_of::<Lengths>() <= 100);
        let doze = after(&[1, 7, 90], Kind::Left);
        let (home_ms, saved) = doze.saved();
        assert_eq!(Doze::restored(home_ms, &saved), doze);
        assert_eq!(Doze::restored(7, &vec![vec![9; 99]; 99]).home_ms(), 7);
    }

    #[test]
    fn a_shorter_time_that_is_set_holds_for_every_kind_inside() {
        let timing = Timing { interior_ms: 4_000, ..Timing::default() };
        for kind in [Kind::FadedOut, Kind::Faded, Kind::Left, Kind::Still] {
            assert_eq!(Doze::default().plausible_ms(kind, &timing), 4_000, "{kind:?}");
        }
    }
}

//! What holds of learned sleep whatever was learned, in whatever order: a bound is never out of its limits, is never
//! shorter than what the device does, and survives a restart.

use proptest::prelude::*;

use crate::Moment;
use crate::doze::{Doze, KINDS, Kind, NAP_MS};
use crate::nights::{Nights, OwnNights};
use crate::setup::Timing;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;

#[derive(Debug, Clone, Copy)]
enum Step {
    Silent(Kind, u64),
    AtHome(u64),
}

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(KINDS.to_vec())
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (kind(), 0..20 * HOUR_MS).prop_map(|(kind, ms)| Step::Silent(kind, ms)),
        (0..60 * 24 * HOUR_MS).prop_map(Step::AtHome),
    ]
}

fn learned(steps: &[Step]) -> Doze {
    let mut doze = Doze::default();
    for step in steps {
        match *step {
            Step::Silent(kind, ms) => {
                doze.learn(kind, ms, &Timing::default());
            }
            Step::AtHome(ms) => doze.at_home(ms),
        }
    }
    doze
}

fn all(doze: &Doze, timing: &Timing) -> Vec<u64> {
    KINDS.iter().map(|kind| doze.plausible_ms(*kind, timing)).collect()
}

/// Shortest and longest that a silence of a kind may ever be taken for sleep.
fn limits(kind: Kind) -> (u64, u64) {
    let timing = Timing::default();
    match kind {
        Kind::ExitLeft => (timing.left_ms, 10 * MINUTE_MS),
        Kind::ExitFaded => (timing.exit_ms, 20 * MINUTE_MS),
        Kind::FadedOut => (10 * MINUTE_MS, 30 * MINUTE_MS),
        Kind::Faded => (30 * MINUTE_MS, 105 * MINUTE_MS),
        Kind::Left | Kind::Still => (2 * HOUR_MS, 12 * HOUR_MS),
        Kind::Listed => (6 * HOUR_MS, 12 * HOUR_MS),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_bound_stays_within_its_limits(steps in prop::collection::vec(step(), 0..120)) {
        let doze = learned(&steps);
        for kind in KINDS {
            let (least, most) = limits(kind);
            let ms = doze.plausible_ms(kind, &Timing::default());
            prop_assert!((least..=most).contains(&ms), "{kind:?}: {ms}");
        }
    }

    #[test]
    fn what_it_always_does_is_taken_for_sleep(
        kind in kind(),
        ms in 0..20 * HOUR_MS,
        times in 1_usize..80,
        before in prop::collection::vec(step(), 0..40),
    ) {
        // Whatever else it did before, with this kind of silence it always does the same from now on.
        let mut doze = learned(&before);
        let is_learned = (0..times).fold(false, |_, _| doze.learn(kind, ms, &Timing::default()));
        let bound = doze.plausible_ms(kind, &Timing::default());
        if is_learned && times >= 2 {
            prop_assert!(bound >= ms.min(limits(kind).1), "{kind:?}: {ms} ms, {times} times: {bound}");
        }
    }

    #[test]
    fn each_kind_is_learned_for_itself(
        steps in prop::collection::vec(step(), 0..40),
        kind in kind(),
        ms in 0..20 * HOUR_MS,
    ) {
        let before = learned(&steps);
        let mut after = before.clone();
        after.learn(kind, ms, &Timing::default());
        for other in KINDS.into_iter().filter(|other| *other != kind) {
            let timing = Timing::default();
            prop_assert_eq!(before.plausible_ms(other, &timing), after.plausible_ms(other, &timing));
        }
    }

    #[test]
    fn a_restart_keeps_every_bound(steps in prop::collection::vec(step(), 0..120)) {
        let doze = learned(&steps);
        let (home_ms, saved) = doze.saved();
        let restored = Doze::restored(home_ms, &saved);
        prop_assert_eq!(all(&doze, &Timing::default()), all(&restored, &Timing::default()));
    }

    #[test]
    fn a_shorter_setting_never_waits_longer(
        steps in prop::collection::vec(step(), 0..60),
        one in 0..24 * HOUR_MS,
        other in 0..24 * HOUR_MS,
    ) {
        let doze = learned(&steps);
        let of = |ms| all(&doze, &Timing { interior_ms: ms, ..Timing::default() });
        let (shorter, longer) = (of(one.min(other)), of(one.max(other)));
        // But for what is rounded.
        prop_assert!(shorter.iter().zip(&longer).all(|(shorter, longer)| *shorter <= longer + 1000));
    }

    #[test]
    fn nights_are_bounded_whatever_was_counted(
        day_ms: u64,
        begun in prop::collection::vec(any::<u8>(), 0..30),
        ended in prop::collection::vec(any::<u8>(), 0..30),
        own in prop::collection::vec(any::<u8>(), 0..30),
        slept in prop::collection::vec((0..2_000_i64, 0..40 * HOUR_MS), 0..30),
        heard in 0..2_000_i64,
        gone in 0..30_u64,
    ) {
        let mut nights = Nights::restored(day_ms, &begun, &ended, Moment::from_ms(0));
        let mut own = OwnNights::restored(&own);
        let at = |hours: i64| Moment::from_ms(hours * HOUR_MS as i64);
        for (from, ms) in slept {
            nights.slept(&mut own, at(from), ms);
        }
        if let Some(ms) = nights.longest_ms(at(heard), at(heard).after(gone * HOUR_MS), &own) {
            prop_assert!((NAP_MS..=15 * HOUR_MS).contains(&ms), "{ms}");
        }
    }
}

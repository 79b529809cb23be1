//! Who thrashes now, told while it happens, and never otherwise than the report tells it afterwards.

mod common;

use common::*;
use proptest::prelude::*;
use whichroom_roaming::{EpisodeKind, Parameters, Span, Thrashing, ThrashingWatch, Time};
use whichroom_wire::Id;

fn watch_of(numbers: impl IntoIterator<Item = u8>) -> ThrashingWatch {
    let mut watch = ThrashingWatch::new(Parameters::default());
    watch.set_devices(numbers.into_iter().map(|number| (phone_id(number), vec![phone(number)])));
    watch
}

/// Hands associations over as they end, with time going by between them; gives what was told, and when.
fn told(watch: &mut ThrashingWatch, spans: &[Span], until: Time) -> Vec<(Time, Option<Thrashing>)> {
    let mut told = Vec::new();
    let mut pass = |watch: &mut ThrashingWatch, now: Time| {
        while let Some(due) = watch.poll_timeout().filter(|due| *due <= now) {
            watch.handle_timeout(due);
            told.extend(watch.poll_change(due).map(|(_, state)| (due, state)));
        }
        told.extend(watch.poll_change(now).map(|(_, state)| (now, state)));
    };
    for (position, span) in spans.iter().enumerate() {
        pass(watch, span.end);
        watch.handle_span(span, spans.get(position + 1));
        pass(watch, span.end);
    }
    pass(watch, until);
    told
}

fn last_episode(spans: &[Span], until: i64) -> Option<(Time, Time, u32, Vec<Id>)> {
    let episodes = History::of(spans.to_vec()).report(0, until).episodes;
    let thrashing = episodes.into_iter().filter(|episode| episode.kind == EpisodeKind::Thrashing);
    let last = thrashing.max_by_key(|episode| episode.end)?;
    Some((last.begin, last.end, last.changes, last.aps))
}

#[test]
fn a_bouncing_phone_is_told_of_once_and_over_when_a_window_passed() {
    let spans = bounce(phone(1), HOUR, 40 * SECOND, 60, &[1, 2]);
    let mut watch = watch_of([1]);
    let told = told(&mut watch, &spans, at(3 * HOUR));
    let is_on: Vec<bool> = told.iter().map(|(_, state)| state.is_some()).collect();
    let changes = is_on.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(is_on[0] && !is_on[is_on.len() - 1] && changes == 1, "{told:#?}");

    // The fifth return is the sixth change.
    let (first_at, first) = &told[0];
    let first = first.as_ref().unwrap();
    assert_eq!((*first_at, first.changes), (at(HOUR + 6 * 40 * SECOND), 6));
    assert_eq!((first.since, &first.aps), (at(HOUR + 40 * SECOND), &vec![ap(1), ap(2)]));
    // A count alone is told once a minute.
    assert!(told.windows(2).all(|pair| pair[1].0.since(pair[0].0) >= 60_000), "{told:#?}");
    let (over_at, _) = told[told.len() - 1];
    let last_change = spans[59].begin;
    assert_eq!(over_at, last_change.after(10 * 60_000 + 1));
    assert_eq!(watch.poll_timeout(), None);
}

#[test]
fn who_walks_or_is_not_watched_is_not_told_of() {
    let walking = bounce(phone(1), 0, 6 * MINUTE, 60, &[1, 2, 3, 2]);
    assert_eq!(told(&mut watch_of([1]), &walking, at(DAY)), []);
    let bouncing = bounce(phone(2), 0, 20 * SECOND, 60, &[1, 2]);
    assert_eq!(told(&mut watch_of([1]), &bouncing, at(DAY)), []);
    let mut watch = watch_of([1, 2]);
    assert!(!told(&mut watch, &bouncing[..20], bouncing[20].begin).is_empty());
    watch.set_devices([(phone_id(1), vec![phone(1)])]);
    assert_eq!((watch.poll_timeout(), watch.poll_change(at(DAY))), (None, None));
}

#[test]
fn who_thrashes_longer_than_is_kept_goes_on_since_it_began() {
    let spans = bounce(phone(1), 0, 20 * SECOND, 1_500, &[1, 2]);
    let mut watch = watch_of([1]);
    let told = told(&mut watch, &spans, spans[1_499].end);
    let last = told[told.len() - 1].1.as_ref().unwrap();
    assert_eq!(last.since, at(20 * SECOND));
    assert!(told.iter().all(|(_, state)| state.is_some()));
}

#[test]
fn an_episode_that_goes_on_keeps_what_its_first_returns_went_back_to() {
    let stays = [(1, 5), (2, 73), (3, 60), (2, 228), (1, 315), (2, 18), (1, 33), (3, 240), (2, 234), (1, 5)];
    follows_the_report(&stays, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// At every moment: what the watch says is the report's last episode, unless that is over.
    #[test]
    fn it_says_what_the_report_says(
        stays in proptest::collection::vec((1_u8..4, 5_i64..400), 1..120), later in 0_i64..1_200,
    ) {
        follows_the_report(&stays, later);
    }
}

/// Stays at access points, in seconds, and how much later it is looked at again.
fn follows_the_report(stays: &[(u8, i64)], later: i64) {
    let mut until = 0;
    let stays = stays.iter().map(|&(ap, seconds)| {
        until += seconds * SECOND;
        (ap, until)
    });
    let spans = walk(phone(1), 0, stays.collect::<Vec<_>>());
    let mut watch = watch_of([1]);
    let mut state = None;
    for (position, span) in spans.iter().enumerate() {
        let next = spans.get(position + 1);
        watch.handle_span(span, next);
        watch.handle_timeout(span.end);
        // A minute later than anything it could have told before.
        if let Some((_, now)) = watch.poll_change(span.end.after(DAY.unsigned_abs() * (position as u64 + 1)))
        {
            state = now;
        }
        let known = &spans[..(position + 2).min(spans.len())];
        let episode = last_episode(known, until + 1);
        let expected = episode.filter(|(_, end, ..)| span.end.since(*end) <= 600_000);
        let said = state.clone().map(|state: Thrashing| (state.since, state.last, state.changes, state.aps));
        assert_eq!(said, expected);
    }
    let now = at(until + later * SECOND);
    watch.handle_timeout(now);
    let is_over = state.as_ref().is_some_and(|state| now.since(state.last) > 600_000);
    assert_eq!(watch.poll_change(now.after(u64::MAX / 4)).is_some(), is_over);
}

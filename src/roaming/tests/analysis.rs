//! Each category on the smallest history that has it, and on one that nearly has.

#![expect(clippy::unwrap_used, reason = "a test that is surprised fails, and says where")]

mod common;

use common::*;
use whichroom_roaming::{AdviceKind, Analysis, Note, notes_of_radios};
use whichroom_roaming::{Band, Began, ClashKind, Ended, Hearing, Parameters, Range, Report, Verdict};

fn signals(history: &mut History, number: u8, minutes: std::ops::Range<i64>, hearing: Hearing, dbm: i8) {
    history.signals.extend(minutes.map(|minute| signal(phone(1), number, minute, hearing, dbm)));
}

fn on_one() -> History {
    let mut history = History::of(vec![span(phone(1), 1, 0, DAY)]);
    history.radios = vec![radio(1, 2_412, 20), radio(2, 2_437, 20)];
    history
}

/// A noisy place needs more signal: -70 dBm is good above -95 and weak above -85.
#[test]
fn weak_is_above_noise_where_noise_is_known() {
    let weak = |noise_dbm: Option<i8>, dbm: i8| {
        let mut history = on_one();
        history.radios[0].noise_dbm = noise_dbm;
        signals(&mut history, 1, 0..60, Hearing::Associated, dbm);
        let report = history.report(0, DAY);
        report.weak.first().map(|weak| (weak.weak_minutes, weak.mean_dbm, weak.snr_db))
    };
    assert_eq!(weak(Some(-95), -70), None);
    assert_eq!(weak(Some(-85), -70), Some((60, -70, Some(15))));
    assert_eq!(weak(None, -75), None);
    assert_eq!(weak(None, -76), Some((60, -76, None)));
    // Nine weak minutes, or fewer than a fifth, are a walk to the bin.
    let mut history = on_one();
    signals(&mut history, 1, 0..9, Hearing::Associated, -80);
    assert_eq!(history.report(0, DAY).weak, []);
    signals(&mut history, 1, 9..20, Hearing::Associated, -80);
    signals(&mut history, 1, 20..130, Hearing::Associated, -50);
    assert_eq!(history.report(0, DAY).weak, []);
}

#[test]
fn sticky_is_a_better_access_point_that_was_heard_for_minutes() {
    let sticky = |own: i8, other: i8, minutes: std::ops::Range<i64>| {
        let mut history = on_one();
        signals(&mut history, 1, 0..60, Hearing::Associated, own);
        signals(&mut history, 2, minutes, Hearing::Overheard, other);
        let report = history.report(0, DAY);
        report
            .sticky
            .iter()
            .map(|found| (found.better.clone(), found.minutes, found.gain_db))
            .collect::<Vec<_>>()
    };
    assert_eq!(sticky(-75, -60, 10..13), [(ap(2), 3, 15)]);
    assert_eq!(sticky(-75, -60, 10..12), []);
    assert_eq!(sticky(-75, -66, 10..30), [], "nine decibels");
    assert_eq!(sticky(-66, -40, 10..30), [], "good enough where it is");
    // Between two such minutes it was heard and was not better: no stretch.
    let mut history = on_one();
    signals(&mut history, 1, 0..60, Hearing::Associated, -75);
    for minute in 10..20 {
        let dbm = if minute % 2 == 0 { -50 } else { -80 };
        history.signals.push(signal(phone(1), 2, minute, Hearing::Overheard, dbm));
    }
    assert_eq!(history.report(0, DAY).sticky, []);
    // Another band is no comparison.
    let mut history = on_one();
    history.radios[1] = radio(2, 5_180, 80);
    history.radios[1].bssid = bss(2);
    signals(&mut history, 1, 0..60, Hearing::Associated, -75);
    signals(&mut history, 2, 0..60, Hearing::Overheard, -50);
    assert_eq!(history.report(0, DAY).sticky, []);
    // A beacon report is compared with a beacon report, not with what the access point hears.
    let mut history = on_one();
    signals(&mut history, 1, 0..60, Hearing::Associated, -75);
    signals(&mut history, 2, 0..60, Hearing::Reported, -60);
    assert_eq!(history.report(0, DAY).sticky, []);
    signals(&mut history, 1, 0..60, Hearing::Reported, -72);
    let found = &history.report(0, DAY).sticky[0];
    assert_eq!((found.minutes, found.gain_db, found.own_dbm), (60, 12, -75));
}

#[test]
fn a_hole_is_where_nobody_serves() {
    let mut history = on_one();
    signals(&mut history, 1, 0..10, Hearing::Associated, -82);
    let hole = &history.report(0, DAY).holes[0];
    assert_eq!((&hole.ap, hole.minutes, hole.drops, hole.min_dbm), (&ap(1), 10, 0, -82));
    assert!(history.report(0, DAY).advice.iter().any(|advice| advice.kind == AdviceKind::MoveAccessPoint));
    // Heard well elsewhere within two minutes: sticky perhaps, but no hole.
    signals(&mut history, 2, 2..3, Hearing::Overheard, -60);
    assert_eq!(history.report(0, DAY).holes, []);
    // Three drops into silence, each from the edge.
    let mut spans = Vec::new();
    for number in 0..4 {
        let mut span = span(phone(1), 1, number * 10 * MINUTE, (number * 10 + 5) * MINUTE);
        span.ended = Some(Ended::PollFailed);
        spans.push(span);
    }
    let mut history = History::of(spans);
    for number in 0..4 {
        history.signals.push(signal(phone(1), 1, number * 10 + 4, Hearing::Associated, -84));
    }
    let hole = &history.report(0, DAY).holes[0];
    assert_eq!((hole.minutes, hole.drops), (4, 3));
    // From a strong signal it is no hole: somebody switched WiFi off.
    history.signals.iter_mut().for_each(|signal| signal.mean_dbm = -50);
    assert_eq!(history.report(0, DAY).holes, []);
}

#[test]
fn the_share_of_fast_transitions_is_that_of_the_known_ones() {
    let mut history = History::of(bounce(phone(1), 0, HOUR, 9, &[1, 2]));
    for (span, began) in history
        .spans
        .iter_mut()
        .zip([Began::Full; 3].into_iter().chain([Began::FastTransition; 4]).chain([Began::Unknown; 2]))
    {
        span.began = began;
    }
    let fast = history.report(0, DAY).fast;
    assert_eq!((fast.fast, fast.full, fast.unknown, fast.percent()), (4, 2, 2, Some(66)));
    assert_eq!(History::default().report(0, DAY).fast.percent(), None);
}

#[test]
fn channels_clash_between_access_points_only() {
    let clashes = |radios: Vec<whichroom_roaming::RadioState>| {
        let history = History { radios, ..History::default() };
        let of = |report: Report| {
            report
                .clashes
                .into_iter()
                .map(|clash| (clash.kind, clash.band, clash.uncertain))
                .collect::<Vec<_>>()
        };
        of(history.report(0, DAY))
    };
    let guest = |number: u8| {
        let mut guest = radio(number, 2_412, 20);
        guest.bssid = bss(100 + number);
        guest
    };
    assert_eq!(clashes(vec![radio(1, 2_412, 20), guest(1), radio(2, 2_437, 20), radio(3, 2_462, 20)]), []);
    assert_eq!(
        clashes(vec![radio(1, 2_412, 20), guest(1), radio(2, 2_412, 20)]),
        [(ClashKind::SameChannel, Band::Ghz2, false)]
    );
    assert_eq!(
        clashes(vec![radio(1, 2_412, 20), radio(2, 2_422, 20)]),
        [(ClashKind::PartOfChannel, Band::Ghz2, false)]
    );
    assert_eq!(
        clashes(vec![radio(1, 2_412, 20), radio(2, 2_437, 40)]),
        [(ClashKind::PartOfChannel, Band::Ghz2, true)]
    );
    assert_eq!(
        clashes(vec![radio(1, 5_180, 80), radio(2, 5_220, 80)]),
        [(ClashKind::PartOfChannel, Band::Ghz5, false)]
    );
    assert_eq!(clashes(vec![radio(1, 5_180, 80), radio(2, 5_260, 80)]), []);
    let mut off = radio(2, 2_412, 20);
    off.enabled = false;
    assert_eq!(clashes(vec![radio(1, 2_412, 20), off]), []);
}

/// The plan leaves as few clashes as there can be, and moves no more than it must.
#[test]
fn the_channel_plan_spreads_access_points() {
    let moved = |radios: Vec<whichroom_roaming::RadioState>| {
        let history = History { radios, ..History::default() };
        let advice = history.report(0, DAY).advice;
        let plan = advice.into_iter().find(|advice| advice.kind == AdviceKind::MoveChannel);
        plan.map(|plan| plan.steps.into_iter().map(|step| step.what).collect::<Vec<_>>())
    };
    let all_on_one = (1..=3).map(|number| radio(number, 2_412, 20)).collect();
    assert_eq!(moved(all_on_one).unwrap(), ["phy0-ap0 from channel 1 to 6", "phy0-ap0 from channel 1 to 11"]);
    assert_eq!(moved(vec![radio(1, 2_412, 20), radio(2, 2_437, 20), radio(3, 2_462, 20)]), None);
    // Four cannot be spread over three channels: sharing one whole is the best there is.
    let mut four: Vec<_> = [2_412, 2_437, 2_462, 2_422]
        .into_iter()
        .zip(1..)
        .map(|(freq, number)| radio(number, freq, 20))
        .collect();
    let plan = moved(four.clone()).unwrap();
    assert_eq!(plan.len(), 1, "{plan:?}");
    four[3] = radio(4, 2_412, 20);
    assert_eq!(moved(four), None);
    // Away from radar where there is room, and never a block that does not exist.
    let five = vec![radio(1, 5_180, 80), radio(2, 5_180, 80)];
    assert_eq!(moved(five).unwrap(), ["phy1-ap0 from channel 36 to 149"]);
    let wide = [5_180, 5_180, 5_500, 5_745]
        .into_iter()
        .zip(1..)
        .map(|(freq, number)| radio(number, freq, 160))
        .collect();
    assert_eq!(moved(wide).as_deref(), None, "there are no more blocks of 160 MHz");
}

/// 802.11k, v and r are advised where they are known to be off, on networks of several access points.
#[test]
fn standards_are_advised_where_they_are_known_to_be_off() {
    let kinds = |history: &History| -> Vec<AdviceKind> {
        history.report(0, DAY).advice.iter().map(|advice| advice.kind).collect()
    };
    let mut history = History::of(bounce(phone(1), 0, 2 * HOUR, 9, &[1, 2]));
    history.radios = vec![radio(1, 2_412, 20), radio(2, 2_437, 20)];
    assert_eq!(kinds(&history), [], "unknown is not off");
    history.radios.iter_mut().for_each(|radio| (radio.ft, radio.rrm) = (Some(false), Some(false)));
    assert_eq!(kinds(&history), [AdviceKind::EnableMeasurement, AdviceKind::EnableFastTransition]);
    history.radios[0].ssid = Some("Guest".to_owned());
    assert_eq!(kinds(&history), [], "two networks of one access point each");
    // An interface name that is no name gets words and no commands.
    history.radios[0].ssid = Some("Home".to_owned());
    history.radios[0].ifname = "x;reboot".to_owned();
    let advice = history.report(0, DAY).advice;
    assert_eq!(advice[0].steps.iter().map(|step| &step.ap).collect::<Vec<_>>(), [&ap(2)]);
}

#[test]
fn changes_of_radios_are_notes() {
    let state = |second: i64, power: i8| {
        let mut state = radio(1, 2_412, 20);
        (state.at, state.txpower_dbm) = (at(second * 1000), Some(power));
        state
    };
    let mut other = state(130, 20);
    other.bssid = bss(2);
    let mut with_ft = other.clone();
    (with_ft.at, other.ft, with_ft.ft) = (at(140_000), Some(false), Some(true));
    let mut quiet = state(50, 20);
    quiet.noise_dbm = Some(-80);
    let notes = notes_of_radios(&[state(0, 20), quiet, state(100, 18), other, with_ft]);
    assert_eq!(
        notes,
        [Note { at: at(100_000), text: "ap1 phy0-ap0: power 20 to 18; ap1 phy0-ap0: 802.11r on".to_owned() }]
    );
}

/// An agent that has just started has not heard of everything yet when it first tells.
#[test]
fn a_change_behind_a_state_that_does_not_tell_is_a_note() {
    let before = radio(1, 2_412, 20);
    let mut partial = before.clone();
    (partial.at, partial.txpower_dbm, partial.channel, partial.width_mhz) = (at(60_000), None, None, None);
    let mut after = before.clone();
    (after.at, after.txpower_dbm) = (at(61_000), Some(18));
    let notes = notes_of_radios(&[before.clone(), partial.clone(), after.clone()]);
    assert_eq!(notes, [Note { at: at(61_000), text: "ap1 phy0-ap0: power 20 to 18".to_owned() }]);
    after.txpower_dbm = before.txpower_dbm;
    assert_eq!(notes_of_radios(&[before, partial, after]), []);
}

/// Radar, or a driver that chooses for itself, is nobody's change.
#[test]
fn a_channel_that_does_not_last_is_no_note() {
    let on = |hour: i64, freq_mhz| {
        let mut state = radio(1, freq_mhz, 20);
        (state.at, state.bssid) = (at(hour * HOUR), bss5(1));
        state
    };
    let hops = [on(0, 5_180), on(30, 5_500), on(31, 5_180), on(40, 5_260), on(41, 5_180)];
    assert_eq!(notes_of_radios(&hops), []);
    let moved = [on(0, 5_180), on(30, 5_500), on(31, 5_745)];
    let texts: Vec<_> = notes_of_radios(&moved).into_iter().map(|note| (note.at, note.text)).collect();
    assert_eq!(texts, [(at(31 * HOUR), "ap1 phy1-ap0: channel 36 to 149".to_owned())]);
}

/// Several phones bounce in bursts, at no higher rate after the note than before: at most one verdict in ten is wrong.
#[test]
fn chance_is_rarely_taken_for_a_change() {
    let (mut better, mut worse, runs) = (0, 0, 200);
    for seed in 0..runs {
        match bursts(seed, [3, 3]) {
            Verdict::Better => better += 1,
            Verdict::Worse => worse += 1,
            Verdict::NotEnoughData => {}
        }
    }
    assert!((better + worse) * 10 <= runs, "{better} better, {worse} worse of {runs}");
    // And a real change is found.
    let found = (0..50).filter(|seed| bursts(*seed, [8, 1]) == Verdict::Better).count();
    assert!(found >= 40, "{found} of 50");
}

/// Three phones for three days before and after; so many bursts a day each, of 5 to 44 bounces.
fn bursts(seed: u64, per_day: [u64; 2]) -> Verdict {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut history = History::default();
    for number in 1..=3 {
        let mut changes = Vec::new();
        for (side, per_day) in (0..).zip(per_day) {
            for _ in 0..3 * per_day {
                let begin = side * 3 * DAY + i64::try_from(random(3 * 86_400_000)).unwrap();
                changes.extend(
                    (0..5 + random(40)).map(|bounce| begin + i64::try_from(bounce).unwrap() * 30_000),
                );
            }
        }
        changes.sort_unstable();
        changes.push(6 * DAY + HOUR);
        let stays = changes.iter().zip([1, 2].into_iter().cycle()).map(|(until, ap)| (ap, *until));
        history.spans.extend(walk(phone(number), 0, stays));
    }
    history.notes.push(Note { at: at(3 * DAY), text: String::new() });
    let parameters = Parameters::default();
    let range = Range::new(at(0), at(6 * DAY + HOUR));
    Analysis::new(history.rows(), &history.site, range, &parameters).report().comparisons[0].verdict
}

//! The mistakes others made with roaming, by name.

mod common;

use common::*;
use whichroom_roaming::{AdviceKind, Ended, EpisodeKind, Hearing, Note, RadioState, Setting, Verdict};

fn kinds(history: &History, to: i64) -> Vec<(EpisodeKind, u32)> {
    history.report(0, to).episodes.iter().map(|episode| (episode.kind, episode.changes)).collect()
}

/// A rule for exactly two access points: one stop at a third hides a hundred bounces.
#[test]
fn three_ap_ping_pong() {
    let mut stays: Vec<u8> = (0..100).map(|number| 1 + number % 2).collect();
    stays.insert(50, 3);
    let spans = walk(phone(1), 0, stays.iter().zip(1..).map(|(ap, number)| (*ap, number * 20 * SECOND)));
    let report = History::of(spans).report(0, DAY);
    let [episode] = &report.episodes[..] else { panic!("{:?}", report.episodes) };
    assert_eq!((episode.kind, episode.changes), (EpisodeKind::Thrashing, 100));
    assert_eq!(episode.aps, [ap(1), ap(2), ap(3)]);
    let pairs: Vec<_> =
        episode.pairs.iter().map(|pair| (pair.a.clone(), pair.b.clone(), pair.changes)).collect();
    assert_eq!(pairs[0], (ap(1), ap(2), 98));
    assert_eq!(pairs.iter().map(|(.., changes)| changes).sum::<u32>(), episode.changes);
    // Three in turn is thrashing too, though no pair sees a bounce back.
    let turns = History::of(bounce(phone(1), 0, 30 * SECOND, 60, &[1, 2, 3]));
    assert_eq!(kinds(&turns, DAY), [(EpisodeKind::Thrashing, 59)]);
}

/// 78 % of one phone's 3,821 events in ten days were drops and returns on one access point; reported as nothing.
#[test]
fn same_ap_flap() {
    let mut spans = bounce(phone(1), 0, 5 * MINUTE, 100, &[1]);
    spans.iter_mut().for_each(|span| {
        span.ended = Some(Ended::Left);
        span.end = span.end.before(20_000);
    });
    assert_eq!(kinds(&History::of(spans.clone()), DAY), [(EpisodeKind::SameApFlapping, 99)]);
    // What the access point does itself is not the phone's flapping.
    spans.iter_mut().for_each(|span| span.ended = Some(Ended::ApRestarted));
    assert_eq!(kinds(&History::of(spans), DAY), []);
    // A drop now and then is none either, however many they come to.
    let mut spans = bounce(phone(1), 0, 50 * MINUTE, 28, &[1]);
    spans.iter_mut().for_each(|span| (span.end, span.ended) = (span.end.before(20_000), Some(Ended::Left)));
    assert_eq!(kinds(&History::of(spans), DAY), []);
    // A phone that sleeps and comes back every half hour is well.
    let mut spans = bounce(phone(1), 0, 30 * MINUTE, 48, &[1]);
    spans.iter_mut().for_each(|span| (span.end, span.ended) = (span.end.before(600_000), Some(Ended::Left)));
    assert_eq!(kinds(&History::of(spans), DAY), []);
}

/// 60 s apart is thrashing, 61 s is not.
#[test]
fn gap_cliff() {
    let of = |every_s: i64| {
        let count = 24 * 3600 / every_s;
        let report = History::of(bounce(phone(1), 0, every_s * SECOND, count, &[1, 2])).report(0, DAY);
        let kind = report.episodes.first().map(|episode| episode.kind);
        let rate = report.episodes.iter().map(|episode| episode.peak_per_hour).max().unwrap_or(0);
        let in_episodes: u32 = report.episodes.iter().map(|episode| episode.changes).sum();
        (kind, rate, in_episodes, report.clients[0].roams)
    };
    for (every_s, kind) in
        [(10, EpisodeKind::Thrashing), (60, EpisodeKind::Thrashing), (61, EpisodeKind::Thrashing)]
    {
        assert_eq!(of(every_s).0, Some(kind), "{every_s}");
    }
    for every_s in [200, 600, 1200, 1700] {
        assert_eq!(of(every_s).0, Some(EpisodeKind::SlowPingPong), "{every_s}");
    }
    assert_eq!(of(7200).0, None);
    // From ten seconds to half an hour every change is in an episode, and the rate follows the gap.
    let mut before = u32::MAX;
    for every_s in (10..1_700).step_by(7) {
        let (kind, rate, in_episodes, roams) = of(every_s);
        assert!(kind.is_some(), "{every_s}");
        assert!(in_episodes + 2 >= roams, "{every_s}: {in_episodes} of {roams}");
        assert!(rate <= before, "{every_s}: {rate} after {before}");
        before = rate;
    }
    // Gaps on both sides of any one figure are one episode.
    let uneven = (1..200).scan(0, |now, number| {
        *now += if number % 2 == 0 { 119 * SECOND } else { 61 * SECOND };
        Some((1 + u8::from(number % 2 == 0), *now))
    });
    assert_eq!(kinds(&History::of(walk(phone(1), 0, uneven)), DAY).len(), 1);
}

/// A walk through the house is no ping-pong: the signal gets better every time.
#[test]
fn walking_is_no_slow_ping_pong() {
    let mut history = History::of(bounce(phone(1), 0, 20 * MINUTE, 40, &[1, 2]));
    for number in 1..40 {
        let (left, reached) = (1 + u8::from(number % 2 == 0), 1 + u8::from(number % 2 == 1));
        let minute = number * 20;
        history.signals.push(signal(phone(1), left, minute - 1, Hearing::Associated, -78));
        history.signals.push(signal(phone(1), reached, minute, Hearing::Associated, -52));
    }
    assert_eq!(kinds(&history, DAY), []);
    history.signals.iter_mut().for_each(|signal| (signal.min_dbm, signal.mean_dbm) = (-80, -78));
    assert_eq!(kinds(&history, DAY), [(EpisodeKind::SlowPingPong, 39)]);
}

/// Overlap measured on the association table, where two access points list a phone only when one entry is stale.
#[test]
fn overlap_from_stale() {
    let mut history = History::of(vec![span(phone(1), 1, 0, DAY)]);
    for minute in 0..120 {
        history.signals.push(signal(phone(1), 1, minute, Hearing::Associated, -60));
        history.signals.push(signal(phone(1), 2, minute, Hearing::Associated, -60));
    }
    let report = history.report(0, DAY);
    assert_eq!(report.overlaps, []);
    assert_eq!(report.heard.by_several, 0);
    // Frames that both heard are overlap; those of one alone say where there is none.
    for minute in 0..40 {
        history.signals.push(signal(phone(1), 1, minute, Hearing::Overheard, -60));
        if minute % 4 == 0 {
            history.signals.push(signal(phone(1), 2, minute, Hearing::Overheard, -62));
        }
        history.signals.push(signal(phone(1), 3, minute + 200, Hearing::Overheard, -62));
    }
    let report = history.report(0, DAY);
    let overlap = |one, other| {
        let found = report.overlaps.iter().find(|overlap| (&overlap.a, &overlap.b) == (&ap(one), &ap(other)));
        found.map(|overlap| (overlap.sightings, overlap.both, overlap.contested, overlap.difference_db))
    };
    assert_eq!(overlap(1, 2), Some((40, 10, 10, 2)));
    assert_eq!(overlap(1, 3), Some((80, 0, 0, 0)));
    // Beacon reports count by themselves: they are another scale.
    let mut reported = History::of(vec![span(phone(1), 1, 0, DAY)]);
    for minute in 0..40 {
        reported.signals.push(signal(phone(1), 1, minute, Hearing::Reported, -50));
        reported.signals.push(signal(phone(1), 2, minute, Hearing::Overheard, -50));
    }
    assert_eq!(reported.report(0, DAY).overlaps.iter().map(|overlap| overlap.both).sum::<u32>(), 0);
}

/// A contested place with good signal on both sides, for three hours.
fn contested(dbm: i8) -> History {
    let mut history = History::of(bounce(phone(1), 0, MINUTE, 180, &[1, 2]));
    history.radios = vec![radio(1, 2_412, 20), radio(2, 2_437, 20)];
    history.radios[0].txpower_dbm = Some(18);
    for minute in 0..180 {
        let number = 1 + u8::from(minute % 2 == 1);
        history.signals.push(signal(phone(1), number, minute, Hearing::Associated, dbm));
    }
    history
}

/// Power cut by 5 dB in one go killed coverage; steering by kicking made it worse.
#[test]
fn big_step_advice() {
    let advice = |history: &History| {
        let report = history.report(0, DAY);
        let of_power = |kind| matches!(kind, AdviceKind::LowerPower | AdviceKind::RaisePower);
        report.advice.into_iter().find(|advice| of_power(advice.kind))
    };
    // The one that is heard worse, two decibels, and the undo beside it.
    let lower = advice(&contested(-60)).unwrap();
    assert_eq!(lower.kind, AdviceKind::LowerPower);
    assert_eq!((lower.steps.len(), &lower.steps[0].ap), (1, &ap(1)));
    let step = &lower.steps[0];
    assert_eq!(step.setting, Setting::TransmitPower { from_dbm: 18, to_dbm: 16 });
    assert_eq!(step.bssids, [bss(1)]);
    assert!(step.what.contains("from 18 to 16 dBm"), "{}", step.what);
    for needed in ["txpower=16", "uci commit wireless", "wifi reload"] {
        assert!(step.apply.contains(needed), "{needed}");
    }
    assert!(step.undo.contains("uci commit wireless") && step.undo.contains("wifi reload"));
    // Somebody needs its edge: the other one is raised, and where that is not allowed, nothing is done.
    let mut edge = contested(-60);
    edge.signals.extend((0..30).map(|minute| signal(phone(2), 1, minute, Hearing::Associated, -74)));
    assert_eq!(advice(&edge), None, "20 dBm are what this band allows");
    edge.site.power_limits_dbm = [(bss(2), 22)].into();
    assert_eq!(advice(&edge).unwrap().steps[0].setting, Setting::TransmitPower { from_dbm: 20, to_dbm: 22 });
    // Equally bad: lowering kills coverage. The one that is heard better up, as far as it is allowed.
    let mut bad = contested(-78);
    bad.site.power_limits_dbm = [(bss(2), 22)].into();
    let raise = advice(&bad).unwrap();
    assert_eq!((raise.kind, &raise.steps[0].ap), (AdviceKind::RaisePower, &ap(2)));
    assert!(raise.steps[0].what.contains("from 20 to 22 dBm"));
    assert!(raise.steps[0].apply.contains("txpowerlist"), "asks what is allowed");
    bad.site.power_limits_dbm = [(bss(2), 21)].into();
    assert_eq!(advice(&bad), None, "no room below the limit");
    assert!(bad.report(0, DAY).advice.iter().any(|advice| advice.kind == AdviceKind::MoveAccessPoint));
    // Where one is clearly better, power is not what is wrong.
    let mut clear = contested(-60);
    clear.radios[0].txpower_dbm = Some(14);
    assert_eq!(advice(&clear), None);
    // Nothing is ever kicked.
    let mut sticky = contested(-70);
    for minute in 300..330 {
        sticky.signals.push(signal(phone(1), 1, minute, Hearing::Associated, -74));
        sticky.signals.push(signal(phone(1), 2, minute, Hearing::Overheard, -55));
    }
    let report = sticky.report(0, DAY);
    let suggest = report.advice.iter().find(|advice| advice.kind == AdviceKind::Suggest).unwrap();
    for step in &suggest.steps {
        for off in
            ["min_snr=0", "roam_trigger_snr=0", "load_kick_enabled=0", "assoc_steering=0", "aggressiveness=1"]
        {
            assert!(step.apply.contains(off), "{off}");
        }
    }
    assert!(
        !report.advice.iter().flat_map(|advice| &advice.steps).any(|step| step.apply.contains("del_client"))
    );
}

/// One step, then a look at what it did: what was before it asks for no second one.
#[test]
fn a_step_is_judged_by_what_came_after_it() {
    let after = |more: i64| {
        let mut history = contested(-60);
        let changed = RadioState { at: at(4 * HOUR), txpower_dbm: Some(16), ..history.radios[0].clone() };
        history.radios.push(changed);
        history.spans.extend(bounce(phone(1), 5 * HOUR, MINUTE, more, &[1, 2]));
        for minute in 300..300 + more {
            let number = 1 + u8::from(minute % 2 == 1);
            history.signals.push(signal(phone(1), number, minute, Hearing::Associated, -60));
        }
        let report = history.report(0, DAY);
        let power = report.advice.into_iter().find(|advice| advice.kind == AdviceKind::LowerPower);
        power.map(|power| power.steps[0].setting)
    };
    assert_eq!(after(2), None);
    assert_eq!(after(60), Some(Setting::TransmitPower { from_dbm: 16, to_dbm: 14 }));
}

/// No proof that a change helped: a bare mean is none.
#[test]
fn no_before_after() {
    let noted = |before: i64, after: i64, days: i64| {
        let change = days * DAY;
        let mut spans = bounce(phone(1), 0, DAY / before, days * before, &[1, 2]);
        spans.extend(bounce(phone(1), change, DAY / after, days * after, &[1, 2]));
        let mut history = History::of(spans);
        history.notes.push(Note { at: at(change), text: "power lowered".to_owned() });
        let report = history.report(0, 2 * change + HOUR);
        report.comparisons[0].clone()
    };
    assert_eq!(noted(129, 20, 3).verdict, Verdict::Better);
    assert_eq!(noted(20, 129, 3).verdict, Verdict::Worse);
    let same = noted(100, 96, 3);
    assert_eq!(same.verdict, Verdict::NotEnoughData);
    let changes = &same.measures[0];
    assert!(changes.ratio_low < 1.0 && 1.0 < changes.ratio_high, "{changes:?}");
    assert_eq!(same.before.length_ms(), same.after.length_ms());
    // Who writes a note and turns a knob makes one change, though the access point tells of it, too.
    let mut twice = History::of(bounce(phone(1), 0, HOUR / 2, 192, &[1, 2]));
    for (minute, text) in [(0, "lowered"), (7, "ap1 phy0-ap0: power 20 to 18")] {
        twice.notes.push(Note { at: at(2 * DAY + minute * MINUTE), text: text.to_owned() });
    }
    let [one] = &twice.report(0, 4 * DAY).comparisons[..] else { panic!("two") };
    assert_eq!(one.note.text, "lowered; ap1 phy0-ap0: power 20 to 18");
    assert_eq!(one.before.length_ms(), DAY.unsigned_abs());
    assert_eq!(one.after.from.since(one.before.to), (27 * MINUTE).unsigned_abs());
    // Five hours are no day.
    let mut short = History::of(bounce(phone(1), 0, MINUTE, 600, &[1, 2]));
    short.notes.push(Note { at: at(5 * HOUR), text: String::new() });
    let comparison = &short.report(0, 10 * HOUR).comparisons[0];
    assert_eq!(comparison.verdict, Verdict::NotEnoughData);
    assert!(comparison.because.contains("24 h"), "{}", comparison.because);
}

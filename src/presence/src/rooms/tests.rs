//! The filter by itself: rooms a, b, c in a row, an AP in each; d beyond c has none.

use proptest::prelude::*;
use whichroom_wire::Id;

use super::*;
use crate::calibration::{Sample, SampleReading};

const A: ApIndex = ApIndex(0);
const B: ApIndex = ApIndex(1);
const C: ApIndex = ApIndex(2);

fn id(text: &str) -> Id {
    text.parse().unwrap()
}

fn at(s: i64) -> Moment {
    Moment::from_ms(s * 1000)
}

/// Rooms in this order, each adjoining its neighbours in the alphabet.
fn places(order: &[&str]) -> Vec<Place> {
    let beside = |one: &str, other: &str| one.as_bytes()[0].abs_diff(other.as_bytes()[0]) == 1;
    let adjoins =
        |name: &str| order.iter().filter(|other| beside(name, other)).map(|other| id(other)).collect();
    order.iter().map(|name| Place { adjoins: adjoins(name), ..Place::unknown(id(name)) }).collect()
}

fn receivers(order: &[&str]) -> Vec<Receiver> {
    let room = |name: &str| order.iter().position(|known| *known == name).unwrap();
    ["a", "b", "c"].map(|name| Receiver { id: id(name), room: room(name) }).to_vec()
}

fn home(samples: &[Sample]) -> Model {
    let order = ["a", "b", "c", "d"];
    Model::new(&places(&order), &receivers(&order), samples)
}

fn sample(room: &str, levels: [i8; 3]) -> Sample {
    let reading = |(ap, mean_dbm): (&str, i8)| SampleReading {
        ap: id(ap),
        associated: false,
        count: 30,
        mean_dbm,
        deviation_db: 3,
    };
    let heard = ["a", "b", "c"].into_iter().zip(levels);
    Sample {
        id: 1,
        device: id("phone"),
        room: id(room),
        taken: String::new(),
        seconds: 40,
        readings: heard.clone().filter(|(_, dbm)| *dbm > -100).map(reading).collect(),
        silent: heard.filter(|(_, dbm)| *dbm <= -100).map(|(ap, _)| id(ap)).collect(),
        reported: Vec::new(),
    }
}

/// Reads levels at one moment, one AP after the other, and evaluates them; returns whether the room changed.
fn hear(rooms: &mut RoomEstimate, model: &Model, on: ApIndex, levels: &[(ApIndex, i8)], s: i64) -> bool {
    levels.iter().for_each(|(ap, dbm)| rooms.read(*ap, *dbm, at(s)));
    let first = rooms.evaluate(Some(on), model, at(s)).changed;
    let due = at(s).after(OBSERVATION_MS);
    rooms.evaluate(Some(on), model, due).changed || first
}

fn in_a(model: &Model) -> RoomEstimate {
    let mut rooms = RoomEstimate::default();
    assert!(hear(&mut rooms, model, A, &[(A, -60)], 0));
    assert_eq!(rooms.room(), Some(0));
    rooms
}

#[test]
fn an_association_that_stays_moves_the_room_once() {
    let model = home(&[]);
    let mut rooms = in_a(&model);
    let changes = (60..120).filter(|s| hear(&mut rooms, &model, B, &[(B, -65)], *s)).count();
    assert_eq!((changes, rooms.room()), (1, Some(1)));
    assert_eq!(rooms.since(), at(60), "at once");
}

#[test]
fn silence_is_no_movement_and_makes_less_sure() {
    let model = home(&[]);
    let mut rooms = in_a(&model);
    let (before, sure) = (rooms.candidates(), rooms.confidence_at(at(1)));
    assert!(!rooms.evaluate(Some(A), &model, at(8 * 3600)).changed);
    assert_eq!(rooms.candidates(), before);
    let later = rooms.confidence_at(at(8 * 3600));
    assert!(later < sure && later > 50, "{later} after {sure}");
}

#[test]
fn what_is_overheard_must_be_louder_and_more_than_once() {
    let model = home(&[]);
    let mut rooms = in_a(&model);
    assert!(!hear(&mut rooms, &model, A, &[(A, -62), (B, -54)], 30), "one reading may be anything");
    assert!((31..40).any(|s| hear(&mut rooms, &model, A, &[(A, -75), (B, -55)], s)));
    assert_eq!(rooms.room(), Some(1));
}

#[test]
fn a_walk_that_ends_where_all_hear_it_is_followed_at_once() {
    let model = home(&[]);
    let mut rooms = in_a(&model);
    (5..600).step_by(5).for_each(|s| assert!(!hear(&mut rooms, &model, A, &[(A, -45)], s)));
    hear(&mut rooms, &model, A, &[(A, -71)], 605);
    assert!(hear(&mut rooms, &model, A, &[(A, -71), (B, -45), (C, -74)], 608), "{:?}", rooms.candidates());
    assert_eq!(rooms.room(), Some(1));
}

#[test]
fn what_its_ap_repeats_alone_does_not_undo_a_comparison() {
    let model = home(&[]);
    let mut rooms = in_a(&model);
    for s in 10..15 {
        hear(&mut rooms, &model, A, &[(A, -68), (B, -45)], s);
    }
    assert_eq!(rooms.room(), Some(1), "carried into b, and still on the AP of a");
    for s in (20..600).step_by(5) {
        assert!(!hear(&mut rooms, &model, A, &[(A, -68 + (s % 3) as i8)], s));
    }
}

#[test]
fn fainter_at_its_ap_alone_is_less_sure_and_elsewhere_unknown() {
    let model = home(&[]);
    let mut rooms = in_a(&model);
    (5..60).for_each(|s| assert!(!hear(&mut rooms, &model, A, &[(A, -60)], s)));
    let near = rooms.confidence();
    (60..120).for_each(|s| assert!(!hear(&mut rooms, &model, A, &[(A, -85)], s)));
    assert!(near >= 80 && rooms.confidence() <= 40, "{near}, {}", rooms.confidence());
}

#[test]
fn who_returns_at_once_and_is_silent_is_found_there_by_the_timer() {
    let model = home(&[]);
    let mut rooms = in_a(&model);
    hear(&mut rooms, &model, A, &[(A, -50)], 600);
    hear(&mut rooms, &model, B, &[(B, -50)], 660);
    assert_eq!(rooms.room(), Some(1));
    rooms.read(A, -50, at(662));
    let mut verdict = rooms.evaluate(Some(A), &model, at(662));
    let mut looked = 0;
    while let Some(again) = verdict.look_again {
        looked += 1;
        assert!(again <= at(690) && looked < 10, "{again:?}");
        verdict = rooms.evaluate(Some(A), &model, again);
    }
    assert_eq!(rooms.room(), Some(0));
}

#[test]
fn who_went_to_and_fro_is_weighed_with_what_comes_together() {
    let model = home(&[]);
    for settles_on in [Some(A), None] {
        let mut rooms = in_a(&model);
        hear(&mut rooms, &model, B, &[(B, -60)], 660);
        hear(&mut rooms, &model, A, &[(A, -60)], 662);
        // When nearly all of its choice was weighed, the rest says nothing.
        let nearly = Moment::from_ms(674_600);
        rooms.read(A, -60, nearly.before(OBSERVATION_MS));
        let mut verdict = rooms.evaluate(settles_on, &model, nearly);
        while let Some(again) = verdict.look_again {
            verdict = rooms.evaluate(settles_on, &model, again);
        }
        rooms.read(A, -60, at(730));
        let verdict = rooms.evaluate(settles_on, &model, at(730));
        let awaited = Verdict { changed: false, look_again: Some(at(730).after(OBSERVATION_MS)) };
        assert_eq!(verdict, awaited, "on {settles_on:?}");
    }
}

#[test]
fn a_phone_that_bounces_and_settles_is_where_it_settles() {
    let model = home(&[]);
    let mut rooms = in_a(&model);
    let mut changes = 0;
    for bounce in 0..160 {
        let on = if bounce % 2 == 0 { B } else { A };
        changes += usize::from(hear(&mut rooms, &model, on, &[(on, -62)], 600 + bounce * 2));
    }
    assert!(changes <= 1, "{changes}");
    let now = rooms.room().unwrap();
    let (other, room) = if now == 0 { (B, 1) } else { (A, 0) };
    (1000..1120).step_by(5).for_each(|s| {
        hear(&mut rooms, &model, other, &[(other, -62)], s);
    });
    assert_eq!(rooms.room(), Some(room), "it stayed there for two minutes");
}

#[test]
fn one_walks_rather_to_an_adjoining_room() {
    let model = home(&[]);
    assert!(model.step(0, 1) > model.step(0, 2));
    // With c's AP gone, b and d adjoin through c: nothing can speak for it.
    let order = ["a", "b", "c", "d"];
    let mut aps = receivers(&order);
    aps[2].room = 3;
    let through = Model::new(&places(&order), &aps, &[]);
    assert_eq!(through.step(1, 3), 1.0);
    assert!(through.step(0, 3) < 1.0);
}

#[test]
fn storeys_and_the_garden_are_further_away_where_no_way_is_known() {
    let mut places = places(&["a", "c", "e"]);
    (places[0].floor, places[1].floor) = (Some(0), Some(2));
    places[2].outdoor = true;
    let aps = ["a", "c", "e"].map(id).into_iter().enumerate().map(|(room, id)| Receiver { id, room });
    let model = Model::new(&places, &aps.collect::<Vec<_>>(), &[]);
    assert!(model.step(0, 1) < model.step(0, 2) && model.step(0, 2) < 1.0);
}

#[test]
fn a_calibrated_room_without_an_access_point_is_found() {
    let samples = [
        sample("a", [-50, -75, -100]),
        sample("b", [-72, -48, -70]),
        sample("c", [-100, -74, -45]),
        sample("d", [-100, -85, -62]),
    ];
    let model = home(&samples);
    let mut rooms = RoomEstimate::default();
    for s in 0..10 {
        hear(&mut rooms, &model, C, &[(C, -62), (B, -84)], s);
    }
    assert_eq!(rooms.room(), Some(3), "{:?}", rooms.candidates());
    for s in 20..30 {
        hear(&mut rooms, &model, C, &[(C, -44), (B, -73)], s);
    }
    assert_eq!(rooms.room(), Some(2), "{:?}", rooms.candidates());
    assert!(!home(&[]).knows(3), "without samples nothing can speak for it");
}

#[test]
fn calibration_says_which_rooms_it_cannot_tell_apart() {
    let samples = [sample("a", [-50, -75, -90]), sample("b", [-72, -48, -70]), sample("c", [-72, -50, -71])];
    let confusions = home(&samples).confusions();
    let (one, other, percent) = confusions[0].clone();
    assert_eq!((one, other), (id("b"), id("c")));
    assert!(percent >= 90, "{percent}");
    assert!(confusions[1..].iter().all(|(.., percent)| *percent < 30), "{confusions:?}");
    assert!(home(&[]).confusions().is_empty());
}

#[test]
fn reports_count_by_their_differences_only() {
    let rooms_after = |louder: i8| {
        let model = home(&[]);
        let mut rooms = in_a(&model);
        for s in [30, 60] {
            for (ap, dbm) in [(A, -90), (B, -60), (C, -85)] {
                rooms.read_report(ap, dbm + louder, Classes::of(2_412), at(s));
            }
            assert!(!rooms.evaluate(Some(A), &model, at(s)).changed, "the rest of the answer is awaited");
            rooms.evaluate(Some(A), &model, at(s).after(OBSERVATION_MS));
        }
        rooms.candidates()
    };
    assert_eq!(rooms_after(0)[0].0, 1);
    assert_eq!(rooms_after(0), rooms_after(15));
    let model = home(&[]);
    let mut rooms = in_a(&model);
    let before = rooms.candidates();
    rooms.read_report(B, -40, Classes::of(2_412), at(30));
    rooms.evaluate(Some(A), &model, at(31));
    assert_eq!(rooms.candidates(), before, "one level on a scale nobody knows");
}

#[test]
fn of_many_rooms_those_are_weighed_that_something_speaks_for() {
    let places: Vec<Place> = (0..300).map(|room| Place::unknown(id(&format!("r{room}")))).collect();
    let aps: Vec<Receiver> = (0..300).map(|room| Receiver { id: id(&format!("r{room}")), room }).collect();
    let model = Model::new(&places, &aps, &[]);
    let mut rooms = RoomEstimate::default();
    for s in 0..280 {
        let ap = ApIndex::at(usize::try_from(s).unwrap());
        hear(&mut rooms, &model, ap, &[(ap, -50)], s * 60);
        assert_eq!(rooms.room(), Some(ap.0 as usize));
        assert!(rooms.weights.len() <= ROOM_LIMIT);
    }
}

#[test]
fn what_is_known_of_one_device_is_small() {
    let kept =
        size_of::<RoomEstimate>() + ROOM_LIMIT * size_of::<Weight>() + 2 * AP_LIMIT * levels::LEVEL_BYTES;
    assert!(kept <= 2048, "{kept} bytes");
}

/// Levels, AP it is on, and milliseconds since the last.
fn walks() -> impl Strategy<Value = Vec<(u32, i8, u32, u32)>> {
    proptest::collection::vec((0..3u32, -100i8..-20, 0..3u32, 0..20_000u32), 1..60)
}

proptest! {
    #[test]
    fn probabilities_sum_to_one_and_sureness_is_in_steps(walk in walks(), is_calibrated: bool) {
        let samples = [sample("a", [-50, -75, -100]), sample("d", [-100, -85, -62])];
        let model = home(if is_calibrated { &samples } else { &[] });
        let mut rooms = RoomEstimate::default();
        let mut now = at(0);
        for (ap, dbm, on, ms) in walk {
            now = now.after(u64::from(ms));
            rooms.read(ApIndex(ap), dbm, now);
            rooms.evaluate(Some(ApIndex(on)), &model, now);
            let all: f32 = rooms.weights.iter().map(|weight| weight.part).sum();
            prop_assert!((all - 1.0).abs() < 1e-4 && rooms.weights.iter().all(|weight| weight.part >= 0.0));
            let sure = rooms.confidence_at(now);
            prop_assert!(sure <= 95 && sure % 5 == 0, "{}", sure);
        }
    }

    #[test]
    fn rooms_in_another_order_are_decided_alike(walk in walks()) {
        let orders = [["a", "b", "c", "d"], ["d", "b", "a", "c"]];
        let models = orders.map(|order| Model::new(&places(&order), &receivers(&order), &[]));
        let mut rooms = [RoomEstimate::default(), RoomEstimate::default()];
        let mut now = at(0);
        for (ap, dbm, on, ms) in walk {
            now = now.after(u64::from(ms));
            for (rooms, model) in rooms.iter_mut().zip(&models) {
                rooms.read(ApIndex(ap), dbm, now);
                rooms.evaluate(Some(ApIndex(on)), model, now);
            }
            let named = |index: usize| {
                let estimate: &RoomEstimate = &rooms[index];
                let mut parts: Vec<(&str, f32)> =
                    estimate.weights.iter().map(|weight| (orders[index][weight.room], weight.part)).collect();
                parts.sort_by_key(|(name, _)| *name);
                parts
            };
            for ((_, one), (_, other)) in named(0).into_iter().zip(named(1)) {
                prop_assert!((one - other).abs() < 1e-3, "{:?} {:?}", named(0), named(1));
            }
        }
    }

    #[test]
    fn nothing_changes_without_evidence(walk in walks(), later in proptest::collection::vec(500..9_000_000u64, 1..20)) {
        let model = home(&[]);
        let mut rooms = RoomEstimate::default();
        let mut now = at(0);
        let mut on = A;
        for (ap, dbm, next, ms) in walk {
            now = now.after(u64::from(ms));
            on = ApIndex(next);
            rooms.read(ApIndex(ap), dbm, now);
            rooms.evaluate(Some(on), &model, now);
        }
        let walk_ms = now.since(at(0));
        now = now.after(OBSERVATION_MS);
        rooms.evaluate(Some(on), &model, now);
        // A phone that went to and fro and stays has chosen, in a few minutes at most.
        while let Some(again) = rooms.evaluate(Some(on), &model, now).look_again {
            prop_assert!(again > now && again.since(at(0)) < 1_000_000 + walk_ms);
            now = again;
        }
        let before = (rooms.room(), rooms.candidates(), rooms.confidence());
        for ms in later {
            now = now.after(ms);
            let verdict = rooms.evaluate(Some(on), &model, now);
            prop_assert_eq!(verdict, Verdict { changed: false, look_again: None });
        }
        prop_assert_eq!(before, (rooms.room(), rooms.candidates(), rooms.confidence()));
    }
}

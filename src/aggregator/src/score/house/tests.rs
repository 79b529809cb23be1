//! The scorer on hand-made truths, and the whole of it for a day or two.

use whichroom_presence::output::Home;
use whichroom_simulator::{Plan, Truth};
use whichroom_wire::aggregator::HouseState;

use super::measures::Quantiles;
use super::run::Rules;
use super::scorer::{Answer, Sight, What};
use super::*;

const KITCHEN: Truth = Truth::Room(0);
const BEDROOM: Truth = Truth::Room(1);
/// Has no access point.
const ATTIC: Truth = Truth::Room(2);
const HOUR_S: u64 = 3_600;

/// One person, three rooms.
struct Case {
    scorer: Scorer,
    now_s: u64,
}

impl Case {
    fn at(truth: Truth) -> Case {
        Case { scorer: Scorer::new(vec![true, true, false], &[truth]), now_s: 0 }
    }

    fn says(&mut self, truth: Truth) -> &mut Case {
        let answer = match truth {
            Truth::Away => Answer { home: Home::Away, room: None },
            Truth::Room(room) => Answer { home: Home::Home, room: Some(room) },
        };
        self.scorer.handle_answer(self.now_s * 1000, 0, answer, || "said so".to_owned());
        self
    }

    fn sees(&mut self, sight: Sight, seconds: u64) -> &mut Case {
        for _ in 0..seconds {
            self.now_s += 1;
            self.scorer.handle_second(self.now_s * 1000, &[sight], |_| "still listed".to_owned());
        }
        self
    }

    /// With an awake phone that an interior access point lists while its person is at home.
    fn is(&mut self, truth: Truth, seconds: u64) -> &mut Case {
        let listed = (truth != Truth::Away).then_some(false);
        self.sees(Sight { truth, awake: true, knowable: true, with_phone: true, listed }, seconds)
    }

    fn measures(&self) -> Measures {
        self.scorer.measures()
    }
}

fn away(listed: Option<bool>) -> Sight {
    Sight { truth: Truth::Away, awake: false, knowable: false, with_phone: true, listed }
}

#[test]
fn who_is_always_right_at_once_has_full_marks() {
    let mut case = Case::at(KITCHEN);
    case.says(KITCHEN).is(KITCHEN, 600);
    for truth in [BEDROOM, ATTIC, KITCHEN, Truth::Away, KITCHEN] {
        case.is(truth, 1).says(truth).is(truth, 3 * HOUR_S);
    }
    let measures = case.measures();
    assert_eq!((measures.changes, measures.true_changes), (5, 5));
    assert_eq!(measures.with_ap.awake_ms, [1_000, 1_000, 1_000]);
    assert_eq!(measures.without_ap.awake_ms, [1_000]);
    assert!(
        [measures.room, measures.room_all, measures.home].iter().all(|tally| tally.share() > Some(0.999))
    );
    assert_eq!((measures.false_aways, measures.missed_departures, measures.departures), (0, 0, 1));
    assert_eq!(
        measures.departures_s(|_| true),
        Quantiles { count: 1, median_s: Some(0.0), p95_s: Some(0.0) }
    );
    assert_eq!(measures.arrivals_ms, [0]);
    assert_eq!(case.scorer.findings(), []);
}

#[test]
fn who_is_inside_and_called_away_or_unknown_is_a_false_away_each_time() {
    let mut case = Case::at(KITCHEN);
    case.says(KITCHEN).is(KITCHEN, 30).says(Truth::Away).says(KITCHEN);
    assert_eq!(case.measures().false_aways, 0, "inside for half a minute");
    case.is(KITCHEN, 40).says(Truth::Away).says(Truth::Away).says(KITCHEN);
    assert_eq!(case.measures().false_aways, 1);
    case.scorer.handle_answer(70_000, 0, Answer { home: Home::Undecided, room: None }, String::new);
    assert_eq!(case.measures().false_aways, 2);
    assert_eq!(case.scorer.findings()[0].what, What::FalseAway { inside_for_s: 70 });
    assert_eq!(case.scorer.findings()[0].because, "said so");
}

#[test]
fn a_house_called_empty_with_somebody_in_it_is_a_false_empty_once() {
    let mut case = Case::at(KITCHEN);
    case.is(KITCHEN, 100);
    for state in [HouseState::Empty, HouseState::Empty, HouseState::Occupied, HouseState::Undecided] {
        case.scorer.handle_house(100_000, state, String::new);
    }
    assert_eq!(case.measures().false_empties, 1);
    case.is(Truth::Away, 100);
    case.scorer.handle_house(200_000, HouseState::Empty, String::new);
    assert_eq!(case.measures().false_empties, 1);
}

#[test]
fn what_cannot_be_seen_is_no_change_and_passages_are_told_apart() {
    let mut case = Case::at(KITCHEN);
    case.says(KITCHEN).is(KITCHEN, 100).is(BEDROOM, 4).is(KITCHEN, 100);
    assert_eq!((case.measures().true_changes, case.measures().true_stays), (0, 0));
    case.is(BEDROOM, 15).is(KITCHEN, 100).is(BEDROOM, 100);
    let measures = case.measures();
    assert_eq!((measures.changes, measures.true_changes, measures.true_stays), (0, 3, 1));
    case.is(KITCHEN, 1);
    // The stay that nobody followed counts with its whole length.
    assert_eq!(case.measures().with_ap.awake_ms, [100_000]);
    assert_eq!(case.measures().with_ap.missed, 1);
}

#[test]
fn a_sleeping_phones_delay_is_not_an_awake_ones() {
    let asleep =
        |truth| Sight { truth, awake: false, knowable: false, with_phone: true, listed: Some(false) };
    let mut case = Case::at(KITCHEN);
    case.says(KITCHEN).is(KITCHEN, 100);
    case.is(BEDROOM, 10).sees(asleep(BEDROOM), 50).says(BEDROOM).is(BEDROOM, 10);
    case.is(KITCHEN, 16).sees(asleep(KITCHEN), 50).says(KITCHEN).is(KITCHEN, 10).is(ATTIC, 1);
    let measures = case.measures();
    assert_eq!(measures.with_ap.all_ms, [60_000, 66_000]);
    assert_eq!(measures.with_ap.whole_ms, [66_000], "awake for its first 15 s");
    assert_eq!(measures.with_ap.awake_ms, [16_000]);
    assert_eq!(measures.with_ap.knowable_ms, [16_000]);
}

#[test]
fn a_room_that_nothing_tells_of_is_counted_apart() {
    let dark = |truth| Sight { truth, awake: true, knowable: false, with_phone: true, listed: Some(false) };
    let mut case = Case::at(KITCHEN);
    case.says(KITCHEN).is(KITCHEN, 100).sees(dark(BEDROOM), 100).is(KITCHEN, 100);
    case.sees(dark(BEDROOM), 40).is(BEDROOM, 3).says(BEDROOM).is(BEDROOM, 100).is(ATTIC, 1);
    let measures = case.measures();
    assert_eq!(measures.with_ap.awake_ms, [100_000, 0, 43_000]);
    assert_eq!(measures.with_ap.knowable_ms, [0, 3_000], "from the second in which it was told");
    assert_eq!(measures.with_ap.unknowable, 1);
}

#[test]
fn a_departure_counts_from_the_last_listing_and_by_who_listed_last() {
    let mut case = Case::at(KITCHEN);
    case.says(KITCHEN).is(KITCHEN, 100);
    case.sees(away(Some(false)), 10).sees(away(Some(true)), 290).sees(away(None), 60).says(Truth::Away);
    case.is(KITCHEN, 100).says(KITCHEN);
    case.sees(away(Some(false)), 20).sees(away(None), 40).says(Truth::Away).is(Truth::Away, 10);
    let measures = case.measures();
    assert_eq!(measures.departures_s(|departure| departure.exit).median_s, Some(60.0));
    assert_eq!(measures.departures_s(|departure| !departure.exit).median_s, Some(40.0));
    assert_eq!(measures.stuck_home_ms, 359_000);
    assert_eq!(measures.arrivals_ms, [99_000]);
    assert!(measures.departures_ms.iter().all(|departure| !departure.learned));
}

#[test]
fn a_long_absence_that_nobody_noticed_is_missed_and_a_short_one_is_told_apart() {
    let mut case = Case::at(KITCHEN);
    case.says(KITCHEN).is(KITCHEN, 100).is(Truth::Away, HOUR_S).is(KITCHEN, 100);
    assert_eq!((case.measures().missed_departures, case.measures().short_absences_missed), (0, 1));
    case.is(Truth::Away, 3 * HOUR_S).is(KITCHEN, 100);
    let measures = case.measures();
    assert_eq!((measures.missed_departures, measures.short_absences_missed), (1, 1));
    assert_eq!(measures.stuck_home_ms, 3 * HOUR_S * 1000);
    let last = case.scorer.findings().last().unwrap();
    assert_eq!(last.because, "still listed");
    assert!(measures.home.share() < Some(0.2), "{measures:?}");
}

#[test]
fn who_is_called_home_while_out_has_to_be_noticed_again() {
    let mut case = Case::at(KITCHEN);
    case.says(KITCHEN).is(KITCHEN, 100).is(Truth::Away, 60).says(Truth::Away);
    case.is(Truth::Away, 60).says(KITCHEN).is(Truth::Away, 3 * HOUR_S).is(KITCHEN, 10);
    assert_eq!(case.measures().missed_departures, 1);
}

#[test]
fn a_phone_that_is_back_before_its_person_is_through_the_gate_misses_nothing() {
    let mut case = Case::at(KITCHEN);
    case.says(KITCHEN).is(KITCHEN, 100).is(Truth::Away, 60).says(Truth::Away).is(Truth::Away, 3 * HOUR_S);
    case.sees(away(Some(true)), 5).says(KITCHEN).sees(away(Some(true)), 5).is(KITCHEN, 10);
    let measures = case.measures();
    assert_eq!((measures.missed_departures, measures.departures_ms.len()), (0, 1));
    assert_eq!(measures.departures_ms[0].gone_ms, 59_000);
}

#[test]
fn nothing_can_be_known_of_who_left_without_a_phone() {
    let mut case = Case::at(KITCHEN);
    let without =
        Sight { truth: Truth::Away, awake: false, knowable: false, with_phone: false, listed: None };
    case.says(KITCHEN).is(KITCHEN, 100).sees(without, 9 * HOUR_S).is(KITCHEN, 10);
    let measures = case.measures();
    assert_eq!((measures.excepted, measures.missed_departures, measures.stuck_home_ms), (1, 0, 0));
}

#[test]
fn who_came_in_with_a_dead_phone_cannot_be_called_away_falsely() {
    let mut case = Case::at(KITCHEN);
    let dead = Sight { truth: KITCHEN, awake: false, knowable: false, with_phone: false, listed: None };
    case.says(KITCHEN).is(KITCHEN, 100).is(Truth::Away, 600).sees(dead, 600).says(Truth::Away);
    assert_eq!((case.measures().false_aways, case.measures().excepted), (0, 1));
    // Charged, seen, and called away: that is wrong.
    case.is(KITCHEN, 10).says(KITCHEN).says(Truth::Away);
    assert_eq!(case.measures().false_aways, 1);
}

#[test]
fn what_goes_on_at_the_end_is_stuck_but_not_missed() {
    let mut case = Case::at(KITCHEN);
    case.says(KITCHEN).is(KITCHEN, 100).is(Truth::Away, 5 * HOUR_S);
    let measures = case.measures();
    assert_eq!((measures.missed_departures, measures.stuck_home_ms / 1000), (0, 5 * HOUR_S - 1));
}

#[test]
fn two_runs_give_the_same_bytes_and_another_seed_does_not() {
    let json = |seeds: &[u64], jobs| {
        let options = Options {
            days: 1,
            seeds: seeds.to_vec(),
            variants: vec![Variant::Default],
            rules: Rules::Both,
            calibrated: false,
            findings: true,
            jobs,
            json: true,
        };
        let judgement =
            Judgement { variant: Variant::Default, outcomes: judge_all(&options, Variant::Default) };
        json_of(&options, &[judgement])
    };
    let both = json(&[1, 2], 2);
    assert_eq!(both.to_string(), json(&[1, 2], 1).to_string());
    assert_eq!(both["by_seed"][1], json(&[2], 1)["by_seed"][0]);
    assert_ne!(both["by_seed"][0]["ours"], both["by_seed"][1]["ours"]);
}

#[test]
fn a_day_in_every_home_is_judged_and_ours_sends_nobody_away() {
    for variant in Variant::ALL {
        let mut house = House::new(variant.plan(2, 3), 3, Rules::Both);
        // Until the evening: people go out and come back meanwhile.
        house.run_for(14 * HOUR_S * 1000);
        let measures = house.ours().unwrap().measures();
        assert_eq!((measures.false_aways, measures.false_empties), (0, 0), "{variant}: {measures:?}");
        assert!(measures.departures > 0 && measures.home.share() > Some(0.8), "{variant}: {measures:?}");
        let rooms = (measures.room_all.share(), house.strongest().unwrap().measures().room_all.share());
        assert!(rooms.0 > Some(0.05) && rooms.1 > Some(0.05), "{variant}: {rooms:?}");
    }
}

#[test]
fn plans_are_the_same_for_the_same_seed_only() {
    for variant in Variant::ALL {
        assert_eq!(variant.plan(10, 4), variant.plan(10, 4));
        assert_ne!(variant.plan(10, 4), variant.plan(10, 5));
        assert_eq!(variant.name().parse(), Ok(variant));
    }
    assert_ne!(Plan::house(), Variant::Default.plan(10, 4));
}

#[test]
fn arguments_are_refused_in_words() {
    assert_eq!(seeds("1..3"), Ok(vec![1, 2, 3]));
    assert!(seeds("3..1").is_err() && seeds("3").is_err() && seeds("1..5000").is_err());
    assert!(variants("palace").unwrap_err().contains("flat"));
    assert_eq!(variants("all").unwrap().len(), 8);
    assert!(within("0", 5).is_err() && rules("best").is_err());
}

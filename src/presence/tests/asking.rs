//! Beacon requests in the life of a house: who is asked, through which access point, and what becomes of the answers.

mod harness;

use harness::{ANN, BEN, HOUR, House, MINUTE, bss, id, setup};
use proptest::prelude::*;
use whichroom_presence::output::Effect;
use whichroom_presence::setup::Detail;
use whichroom_wire::{Change, Event, EventWhat, Events, Mac, RequestKind, encode, not_now};

/// Every way of making beacon reports, and neighbour reports.
const CAPABLE: u8 = 0x73;

impl House {
    fn capable(&mut self, ap: &str, mac: Mac, rrm: Option<u8>) {
        self.pass(1);
        self.phone(ap, mac).station.rrm = rrm;
        self.send_table(ap);
    }

    /// Requests since the last call: when, through which AP, to whom, how, and their ids.
    fn take_asked(&mut self) -> Vec<(i64, String, Mac, String, String)> {
        let asked = |(at, effect): (i64, Effect)| {
            let Effect::Ask { ap, request } = effect else { return None };
            let RequestKind::BeaconReport { mac, mode } = request.kind;
            Some((at, ap.to_string(), mac, mode, request.id.to_string()))
        };
        std::mem::take(&mut self.said).into_iter().filter_map(asked).collect()
    }

    fn answer(&mut self, ap: &str, id: &str, error: Option<&str>) {
        self.ap(ap).seq += 1;
        let (stamp, seq) = (self.stamp(ap), self.ap(ap).seq);
        let what =
            EventWhat::Answer { id: id.to_owned(), ok: error.is_none(), error: error.map(str::to_owned) };
        let bytes = encode(&stamp, &Events { seq, events: vec![Event { age_ms: 0, what }] });
        self.publish(&format!("ap/{ap}/events"), &bytes, false);
    }

    fn reports(&mut self, ap: &str, mac: Mac, heard: Mac, rcpi_dbm: i8) {
        let bssid = bss(ap, 1);
        self.send_event(ap, mac, bssid, Change::BeaconReport { heard, rcpi_dbm: Some(rcpi_dbm) }, 0);
    }

    /// Calibrates and waits for the request; its id.
    fn asked_while_calibrating(&mut self) -> String {
        self.calibrate("ann", "kitchen");
        for _ in 0..30 {
            if let Some(asked) = self.take_asked().pop() {
                return asked.4;
            }
            self.pass(1);
        }
        panic!("nobody was asked");
    }

    fn calibrate(&mut self, who: &str, room: &str) {
        let now = self.now();
        let begun = self.engine.calibrate(&id(who), &id(room), String::new(), now);
        assert!(begun.is_ok(), "{begun:?}");
        self.tick();
    }
}

/// Ann's phone can be asked, and nobody has a reason to.
fn capable() -> House {
    let mut house = House::lived_in();
    house.capable("kitchen", ANN, Some(CAPABLE));
    house.pass(3 * MINUTE);
    house.forget();
    house
}

#[test]
fn who_roams_is_asked_through_the_new_access_point() {
    let mut house = capable();
    house.roam("kitchen", "bedroom", 1, ANN, -60);
    house.capable("bedroom", ANN, Some(CAPABLE));
    house.pass(35);
    let asked = house.take_asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    let (_, ap, mac, mode, _) = &asked[0];
    assert_eq!((ap.as_str(), *mac, mode.as_str()), ("bedroom", ANN, "table"));
}

#[test]
fn who_walked_on_while_it_was_asked_is_asked_again_without_another_frame() {
    let mut house = capable();
    house.roam("kitchen", "bedroom", 1, ANN, -60);
    house.capable("bedroom", ANN, Some(CAPABLE));
    let first = house.take_asked();
    assert_eq!(first.len(), 1, "{first:?}");
    let asked_at = first[0].0;
    let station = &mut house.phone("bedroom", ANN).station;
    station.signal_dbm = Some(-70);
    station.rx_packets = station.rx_packets.map(|packets| packets + 5);
    let rx_packets = station.rx_packets;
    let change = Change::Signal { signal_dbm: Some(-70), inactive_ms: Some(100), rx_packets, rx_bytes: None };
    house.send_event("bedroom", ANN, bss("bedroom", 1), change, 0);
    assert_eq!(house.take_asked(), [], "a moment ago");
    house.pass(14);
    let again = house.take_asked();
    assert_eq!(again.iter().map(|asked| asked.0 - asked_at).collect::<Vec<_>>(), [12_000]);
    assert_eq!(again[0].3, "active", "what it knew is of before it was carried");
}

#[test]
fn who_begins_to_associate_elsewhere_is_not_asked_through_the_old_access_point() {
    let mut house = capable();
    let received = |house: &mut House| {
        let station = &mut house.phone("kitchen", ANN).station;
        station.rx_packets = station.rx_packets.map(|packets| packets + 5);
        let (signal_dbm, rx_packets) = (station.signal_dbm, station.rx_packets);
        let change = Change::Signal { signal_dbm, inactive_ms: Some(100), rx_packets, rx_bytes: None };
        house.send_event("kitchen", ANN, bss("kitchen", 1), change, 0);
    };
    received(&mut house);
    house.calibrate("ann", "kitchen");
    assert_eq!(house.take_asked().len(), 1);
    house.pass(8);
    received(&mut house);
    house.pass(3);
    house.send_event("bedroom", ANN, bss("bedroom", 1), Change::Assoc { signal_dbm: Some(-60) }, 0);
    house.pass(2);
    assert_eq!(house.take_asked(), []);
    received(&mut house);
    assert_eq!(house.take_asked().len(), 1, "it stayed after all");
}

#[test]
fn who_cannot_report_is_never_asked() {
    for rrm in [None, Some(0), Some(0x03)] {
        let mut house = House::lived_in();
        house.capable("kitchen", ANN, rrm);
        house.roam("kitchen", "bedroom", 1, ANN, -60);
        house.capable("bedroom", ANN, rrm);
        house.calibrate("ann", "bedroom");
        house.pass(2 * MINUTE);
        assert_eq!(house.take_asked(), [], "{rrm:?}");
    }
}

#[test]
fn a_sleeping_phone_is_never_asked() {
    let mut house = capable();
    house.doze("kitchen", ANN);
    house.pass(MINUTE);
    house.calibrate("ann", "kitchen");
    house.pass(HOUR);
    assert_eq!(house.take_asked(), []);
}

#[test]
fn whose_room_nobody_is_to_know_is_never_asked() {
    let mut setup = setup();
    setup.people[0].detail = Detail::HomeOnly;
    let mut house = House::with(setup);
    house.all_on();
    house.associate("kitchen", 1, ANN, -55);
    house.capable("kitchen", ANN, Some(CAPABLE));
    house.pass(MINUTE);
    house.roam("kitchen", "bedroom", 1, ANN, -60);
    house.capable("bedroom", ANN, Some(CAPABLE));
    house.pass(2 * MINUTE);
    assert_eq!(house.take_asked(), []);
}

#[test]
fn a_calibration_takes_the_phones_own_view_of_our_access_points_only() {
    let mut house = capable();
    let request = house.asked_while_calibrating();
    house.answer("kitchen", &request, None);
    house.reports("kitchen", ANN, bss("kitchen", 0), -40);
    house.reports("kitchen", ANN, bss("kitchen", 1), -50);
    house.reports("kitchen", ANN, bss("bedroom", 0), -77);
    house.reports("kitchen", ANN, Mac::new([0x66, 0, 0, 0, 0, 1]), -45);
    house.pass(30);
    let samples = house.engine.samples().list();
    let reported: Vec<_> =
        samples[0].reported.iter().map(|heard| (heard.ap.as_str(), heard.count, heard.mean_dbm)).collect();
    assert_eq!(reported, [("bedroom", 1, -77), ("kitchen", 2, -45)]);
    let heard: Vec<&str> = samples[0].readings.iter().map(|heard| heard.ap.as_str()).collect();
    assert_eq!(heard, ["kitchen"], "what a phone hears is not what hears it");
    assert_eq!(samples[0].silent, [id("bedroom"), id("garden")]);
}

#[test]
fn after_three_refusals_it_is_left_alone_for_a_day() {
    let mut house = capable();
    let mut asked = Vec::new();
    for s in 0..620 {
        if s % 31 == 0 {
            house.calibrate("ann", "kitchen");
        }
        house.pass(1);
        for request in house.take_asked() {
            house.answer("kitchen", &request.4, Some("hostapd: status 1"));
            asked.push(request);
        }
    }
    assert_eq!(asked.len(), 3);
    let said = house.engine.explain(&id("ann-phone"), house.now());
    assert!(said.is_some_and(|said| said.to_string().contains("left alone for another 23 h")));
}

#[test]
fn a_restart_gives_no_new_budget_and_ends_no_peace() {
    /// Calibrates for so long and answers each request like this; when it was asked.
    fn asked_in(house: &mut House, seconds: i64, error: Option<&str>) -> Vec<i64> {
        let mut asked = Vec::new();
        for s in 0..seconds {
            if s % 31 == 0 {
                house.calibrate("ann", "kitchen");
            }
            house.pass(1);
            for request in house.take_asked() {
                house.answer("kitchen", &request.4, error);
                house.reports("kitchen", ANN, bss("kitchen", 1), -50);
                asked.push(request.0);
            }
        }
        asked
    }
    fn restart(house: &mut House) {
        house.restart(20);
        house.pass(40);
        house.capable("kitchen", ANN, Some(CAPABLE));
    }

    let mut house = capable();
    let before = asked_in(&mut house, 10 * 60, None);
    assert_eq!(before.len(), 20, "the budget of an hour");
    restart(&mut house);
    let after = asked_in(&mut house, 60 * 60, None);
    assert!(after.first().is_some_and(|first| *first > before[0] + 3_600_000), "{before:?} {after:?}");

    let mut house = capable();
    house.calibrate("ann", "kitchen");
    for _ in 0..90 {
        house.pass(1);
        for request in house.take_asked() {
            house.answer("kitchen", &request.4, Some("hostapd: status 1"));
        }
        if house.now_ms % 31_000 == 0 {
            house.calibrate("ann", "kitchen");
        }
    }
    restart(&mut house);
    assert!(asked_in(&mut house, 10 * 60, None).is_empty());
    let said = house.engine.explain(&id("ann-phone"), house.now());
    assert!(said.is_some_and(|said| said.to_string().contains("left alone for another 23 h")));
}

#[test]
fn a_bad_moment_counts_against_nobody() {
    let mut house = capable();
    let mut asked = 0;
    for _ in 0..8 {
        house.calibrate("ann", "kitchen");
        house.pass(31);
        for request in house.take_asked() {
            house.answer("kitchen", &request.4, Some(not_now::ASLEEP));
            asked += 1;
        }
    }
    assert!(asked >= 8, "{asked}");
}

#[test]
fn requests_have_ids_of_their_own() {
    let mut house = capable();
    house.capable("bedroom", BEN, Some(CAPABLE));
    let mut ids = Vec::new();
    for _ in 0..5 {
        house.calibrate("ann", "kitchen");
        house.calibrate("ben", "bedroom");
        house.pass(31);
        ids.extend(house.take_asked().into_iter().map(|asked| asked.4));
    }
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert!(count >= 10 && ids.len() == count, "{ids:?}");
}

#[derive(Debug, Clone)]
enum Step {
    Pass(u64),
    /// It associates with the other AP, and tells it what it can do.
    Roam(Option<u8>),
    Signal(i8),
    Doze,
    Wake,
    Calibrate,
    Answer(Option<&'static str>),
    Report(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let octet = prop_oneof![Just(None), Just(Some(0_u8)), Just(Some(CAPABLE)), any::<u8>().prop_map(Some)];
    prop_oneof![
        4 => (1_u64..90).prop_map(Step::Pass),
        4 => octet.prop_map(Step::Roam),
        3 => (-90_i8..-30).prop_map(Step::Signal),
        1 => Just(Step::Doze),
        2 => Just(Step::Wake),
        3 => Just(Step::Calibrate),
        3 => prop_oneof![Just(None), Just(Some("refused")), Just(Some(not_now::ASLEEP))].prop_map(Step::Answer),
        2 => (0_u8..4).prop_map(Step::Report),
    ]
}

/// Ann's phone as it really is, and every request it got.
struct Truth {
    at: &'static str,
    octet: Option<u8>,
    awake_at: i64,
    asked: Vec<i64>,
    last: Option<(String, String)>,
}

impl Truth {
    /// Lets a second pass and judges what was asked since the last.
    fn second(&mut self, house: &mut House) -> Result<(), TestCaseError> {
        if house.phone(self.at, ANN).awake {
            self.awake_at = house.now_ms;
        }
        house.pass(1);
        for (when, ap, mac, mode, request) in house.take_asked() {
            prop_assert_eq!((ap.as_str(), mac), (self.at, ANN));
            prop_assert!(self.asked.last().is_none_or(|last| when - last >= 12_000));
            prop_assert!(self.asked.iter().filter(|earlier| when - **earlier <= 3_600_000).count() < 20);
            // Who fell asleep since is known to the access point, which asks none that was silent for 10 s.
            prop_assert!(when - self.awake_at <= 13_000, "asleep for {} ms", when - self.awake_at);
            let bit = match mode.as_str() {
                "table" => 0x40,
                "active" => 0x20,
                _ => 0x10,
            };
            prop_assert!(self.octet.is_some_and(|octet| octet & bit != 0), "{:?} cannot {mode}", self.octet);
            self.asked.push(when);
            self.last = Some((ap, request));
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_budget_holds_whatever_happens_in_the_house(steps in proptest::collection::vec(step(), 1..150)) {
        let mut house = capable();
        let mut truth =
            Truth { at: "kitchen", octet: Some(CAPABLE), awake_at: house.now_ms, asked: Vec::new(), last: None };
        for step in steps {
            match step {
                Step::Pass(seconds) => {
                    for _ in 0..seconds {
                        truth.second(&mut house)?;
                    }
                }
                Step::Roam(octet) => {
                    let to = if truth.at == "kitchen" { "bedroom" } else { "kitchen" };
                    house.roam(truth.at, to, 1, ANN, -60);
                    (truth.at, truth.octet) = (to, octet);
                    house.phone(to, ANN).station.rrm = octet;
                }
                Step::Signal(dbm) => house.signal(truth.at, ANN, dbm),
                Step::Doze => house.doze(truth.at, ANN),
                Step::Wake => house.phone(truth.at, ANN).awake = true,
                Step::Calibrate => {
                    let now = house.now();
                    // It may be between two associations, and is told so.
                    let _ = house.engine.calibrate(&id("ann"), &id("garden"), String::new(), now);
                    house.tick();
                }
                Step::Answer(error) => {
                    if let Some((ap, request)) = &truth.last {
                        house.answer(ap, request, error);
                    }
                }
                Step::Report(band) => house.reports(truth.at, ANN, bss("garden", band), -60),
            }
            // Two things in one millisecond have no order.
            truth.second(&mut house)?;
        }
    }
}

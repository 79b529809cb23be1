//! "I am in the kitchen now": what is listened to, what becomes of it, and what is refused.

#![expect(clippy::unwrap_used, reason = "a test")]

mod harness;

use harness::{ANN, BEN, BEN_WATCH, House, MINUTE, bss, id, setup};
use proptest::prelude::*;
use whichroom_presence::calibration::{CalibrateError, NotCalibrated, SAMPLES_PER_ROOM_MAX, Sample, Samples};
use whichroom_presence::output::{CalibrationView, Effect, Stage};
use whichroom_presence::setup::{Detail, RoomSetup};
use whichroom_wire::{Change, Id};

const TAKEN: &str = "2026-11-22T08:00:00+01:00";

impl House {
    fn calibrate(&mut self, who: &str, room: &str) -> Result<Id, CalibrateError> {
        let now = self.now();
        self.engine.calibrate(&id(who), &id(room), TAKEN.to_owned(), now)
    }

    fn calibrated(&self) -> Vec<Sample> {
        let sample = |effect: &Effect| {
            if let Effect::Calibrated(sample) = effect { Some(sample.clone()) } else { None }
        };
        self.said.iter().filter_map(|(_, effect)| sample(effect)).collect()
    }

    fn not_calibrated(&self) -> Vec<NotCalibrated> {
        let refused = |effect: &Effect| {
            if let Effect::NotCalibrated(refused) = effect { Some(refused.clone()) } else { None }
        };
        self.said.iter().filter_map(|(_, effect)| refused(effect)).collect()
    }

    fn listening(&self) -> Vec<CalibrationView> {
        let all = self.view().calibrations.into_iter();
        all.filter(|calibration| matches!(calibration.stage, Stage::Listening { .. })).collect()
    }

    fn overheard(&mut self, ap: &str, mac: whichroom_wire::Mac, signal_dbm: i8) {
        self.send_event(ap, mac, bss(ap, 0), Change::Probe { signal_dbm: Some(signal_dbm) }, 0);
    }
}

/// As the harness's home, with an office that has no access point.
fn with_office() -> House {
    let mut setup = setup();
    let office = RoomSetup { id: id("office"), name: "Office".to_owned(), ..setup.rooms[0].clone() };
    setup.rooms.push(office);
    House::lived_in_with(setup)
}

#[test]
fn what_is_heard_before_and_after_becomes_a_sample() {
    let mut house = House::lived_in();
    house.overheard("bedroom", ANN, -80);
    house.pass(5);
    house.overheard("bedroom", ANN, -71);
    house.calibrate("ann", "bedroom").unwrap();
    assert_eq!(house.listening().len(), 1);
    house.pass(20);
    house.overheard("bedroom", ANN, -74);
    house.pass(20);
    let [sample] = &house.calibrated()[..] else { panic!("{:?}", house.said) };
    assert_eq!((sample.device.as_str(), sample.room.as_str(), sample.id), ("ann-phone", "bedroom", 1));
    assert_eq!((sample.taken.as_str(), sample.seconds), (TAKEN, 40));
    let aps: Vec<_> = sample.readings.iter().map(|heard| (heard.ap.as_str(), heard.associated)).collect();
    assert_eq!(aps, [("bedroom", false), ("kitchen", true)]);
    let bedroom = &sample.readings[0];
    assert_eq!((bedroom.count, bedroom.mean_dbm, bedroom.deviation_db), (3, -75, 4));
    assert_eq!(sample.silent, [id("garden")]);
    assert_eq!(house.engine.samples().list(), std::slice::from_ref(sample));
    assert_eq!(house.view().calibrations[0].stage, Stage::Done { sample: 1 });
}

#[test]
fn what_was_heard_long_before_is_of_another_place() {
    let mut house = House::lived_in();
    house.overheard("bedroom", ANN, -40);
    house.pass(11);
    house.calibrate("ann-phone", "kitchen").unwrap();
    house.pass(31);
    assert_eq!(house.calibrated()[0].silent, [id("bedroom"), id("garden")]);
}

#[test]
fn an_access_point_that_did_not_report_is_not_silent() {
    let mut house = House::lived_in();
    house.cut_power("garden");
    house.pass(MINUTE);
    house.calibrate("ann", "kitchen").unwrap();
    house.pass(31);
    assert_eq!(house.calibrated()[0].silent, [id("bedroom")]);
}

#[test]
fn the_told_room_holds_at_once_and_says_so() {
    let mut house = with_office();
    house.calibrate("ann", "office").unwrap();
    house.tick();
    let ann = house.person(0);
    assert_eq!(ann.room.as_ref().map(Id::as_str), Some("office"));
    let because: Vec<String> = ann.because.iter().map(ToString::to_string).collect();
    assert!(because.contains(&"its room was told 0 s ago".to_owned()), "{because:?}");
    assert_eq!(house.moves().len(), 1);
    house.pass(29);
    assert_eq!(house.room(0).as_deref(), Some("office"), "whatever is heard meanwhile");
    assert_eq!(house.moves().len(), 1);
}

#[test]
fn several_are_calibrated_at_once_and_a_second_time_replaces_the_first() {
    let mut house = House::lived_in();
    house.calibrate("ann", "kitchen").unwrap();
    house.calibrate("ben", "bedroom").unwrap();
    house.pass(10);
    house.calibrate("ann", "garden").unwrap();
    house.pass(25);
    assert_eq!(house.calibrated().iter().map(|sample| sample.room.as_str()).collect::<Vec<_>>(), ["bedroom"]);
    let [replaced] = &house.not_calibrated()[..] else { panic!("{:?}", house.said) };
    assert_eq!((replaced.device.as_str(), replaced.room.as_str()), ("ann-phone", "kitchen"));
    assert!(matches!(replaced.error, CalibrateError::Replaced { .. }));
    house.pass(6);
    assert_eq!(house.calibrated()[1].room.as_str(), "garden");
}

#[test]
fn a_persons_device_is_the_one_that_moves_with_them() {
    let mut house = House::lived_in();
    house.associate("bedroom", 0, BEN_WATCH, -60);
    house.pass(MINUTE);
    house.roam("bedroom", "kitchen", 0, BEN_WATCH, -55);
    house.pass(MINUTE);
    house.calibrate("ben", "kitchen").unwrap();
    assert_eq!(house.listening()[0].device.as_str(), "ben-watch");
}

#[test]
fn the_unknown_is_refused_and_the_known_is_named() {
    let mut house = House::lived_in();
    let device = house.calibrate("eve", "kitchen").unwrap_err().to_string();
    assert_eq!(
        device,
        "no device or person has the id \"eve\"; known are ann, ben, ann-phone, ben-phone, ben-watch"
    );
    let room = house.calibrate("ann", "cellar").unwrap_err().to_string();
    assert_eq!(room, "no room has the id \"cellar\"; known are kitchen, bedroom, garden");
}

#[test]
fn who_is_not_connected_is_refused_by_name() {
    let mut house = House::ann_is_away();
    for who in ["ann", "ann-phone"] {
        let why = house.calibrate(who, "kitchen").unwrap_err().to_string();
        assert!(why.starts_with(who) || why.starts_with("Ann"), "{why}");
        assert!(why.contains(" is not connected; "), "{why}");
    }
    house.disconnect("bedroom", BEN, Change::Deauth);
    house.pass(10);
    assert!(
        matches!(house.calibrate("ben", "kitchen"), Err(CalibrateError::NotConnected { .. })),
        "it fades"
    );
}

#[test]
fn nobody_learns_the_room_of_who_is_home_only() {
    let mut setup = setup();
    setup.people[0].detail = Detail::HomeOnly;
    let mut house = House::with(setup);
    house.all_on();
    house.associate("kitchen", 1, ANN, -55);
    house.pass(MINUTE);
    for who in ["ann", "ann-phone"] {
        let why = house.calibrate(who, "kitchen").unwrap_err().to_string();
        assert!(why.contains("home-only"), "{why}");
    }
}

#[test]
fn who_leaves_meanwhile_gives_no_sample() {
    let mut house = House::lived_in();
    house.calibrate("ann", "kitchen").unwrap();
    house.pass(10);
    house.disconnect("kitchen", ANN, Change::Deauth);
    house.pass(30);
    assert_eq!(house.calibrated(), []);
    assert!(matches!(house.not_calibrated()[0].error, CalibrateError::Left { .. }));
    assert!(matches!(house.view().calibrations[0].stage, Stage::Failed(CalibrateError::Left { .. })));
}

#[test]
fn who_sleeps_gives_no_sample() {
    let mut house = House::lived_in();
    house.doze("kitchen", ANN);
    house.pass(MINUTE);
    house.calibrate("ann", "kitchen").unwrap();
    house.pass(31);
    assert!(matches!(house.not_calibrated()[0].error, CalibrateError::NotHeard { .. }));
    assert_eq!(house.engine.samples().list(), []);
}

#[test]
fn another_configuration_ends_what_listens_and_keeps_the_samples() {
    let mut house = House::lived_in();
    house.calibrate("ann", "kitchen").unwrap();
    house.pass(31);
    house.calibrate("ann", "garden").unwrap();
    let (setup, now) = (setup(), house.now());
    house.engine.handle_setup(setup, now);
    house.pass(MINUTE);
    assert!(matches!(house.not_calibrated()[0].error, CalibrateError::Interrupted { .. }));
    assert_eq!((house.calibrated().len(), house.engine.samples().list().len()), (1, 1));
}

#[test]
fn samples_survive_a_restart() {
    let mut house = House::lived_in();
    house.calibrate("ann", "kitchen").unwrap();
    house.pass(31);
    let kept = house.engine.samples().clone();
    house.restart(5);
    let now = house.now();
    house.engine.handle_samples(kept.clone(), now);
    assert_eq!(house.engine.samples(), &kept);
    assert!(house.engine.forget_sample(1, now) && !house.engine.forget_sample(1, now));
    house.pass(MINUTE);
    house.calibrate("ben", "bedroom").unwrap();
    house.pass(31);
    assert_eq!(house.engine.samples().list()[0].id, 2, "an id is not used again");
}

#[test]
fn the_oldest_sample_goes_with_a_word() {
    let mut house = House::lived_in();
    for _ in 0..=SAMPLES_PER_ROOM_MAX {
        house.calibrate("ann", "kitchen").unwrap();
        house.pass(31);
    }
    let forgotten: Vec<u32> = house
        .said
        .iter()
        .filter_map(|(_, effect)| if let Effect::Forgotten(sample) = effect { Some(sample.id) } else { None })
        .collect();
    assert_eq!((forgotten, house.engine.samples().list().len()), (vec![1], SAMPLES_PER_ROOM_MAX));
}

#[test]
fn it_may_be_said_over_mqtt_but_not_from_another_time() {
    let mut house = House::lived_in();
    let now = house.now();
    let say = |house: &mut House, payload: &str, retained| {
        let said = house.engine.handle_calibrate(payload.as_bytes(), retained, TAKEN.to_owned(), now);
        house.tick();
        said
    };
    let payload = r#"{"schema":1,"device":"ann-phone","room":"kitchen","new":1}"#;
    assert_eq!(say(&mut house, payload, true), Ok(()));
    assert_eq!(house.listening(), []);
    assert_eq!(say(&mut house, payload, false), Ok(()));
    assert_eq!(house.listening().len(), 1);
    assert_eq!(say(&mut house, r#"{"schema":1,"device":"ann","room":"cellar"}"#, false), Ok(()));
    assert!(house.not_calibrated()[0].error.to_string().contains("cellar"));
    for (payload, because) in [
        ("", ""),
        ("kitchen", r#"a payload reads {"schema":1,"#),
        (r#"{"schema":1,"device":"Ann B","room":"kitchen"}"#, "1 to 32 characters"),
        (r#"{"schema":2,"device":"ann","room":"kitchen"}"#, "schema is 2"),
        (r#"{"device":"ann","room":"kitchen"}"#, "missing field `schema`"),
    ] {
        let why = say(&mut house, payload, false).err().unwrap_or_default();
        assert!(why.contains(because) && why.is_empty() == payload.is_empty(), "{payload}: {why}");
    }
}

#[test]
fn minutes_heard_by_several_are_told() {
    let mut house = House::lived_in();
    for _ in 0..4 {
        house.overheard("bedroom", ANN, -80);
        house.pass(2 * MINUTE);
    }
    let ann = house.view().devices[0].heard;
    assert!(ann.minutes >= 10 && ann.by_several == 4, "{ann:?}");
    let said = house.engine.explain(&id("ann"), house.now()).unwrap().to_string();
    assert!(said.contains("heard by two or more access points in "), "{said}");
}

proptest! {
    #[test]
    fn whatever_is_kept_stays_within_its_limits(
        ids in proptest::collection::vec((0_u32..40, 0_u8..3, 0_u8..3), 0..300), next in any::<u32>(),
    ) {
        let sample = |(number, device, room): (u32, u8, u8)| Sample {
            id: number,
            device: id(&format!("device-{device}")),
            room: id(&format!("room-{room}")),
            taken: TAKEN.to_owned(),
            seconds: 40,
            readings: Vec::new(),
            silent: Vec::new(),
            reported: Vec::new(),
        };
        let samples = Samples::restored(next, ids.into_iter().map(sample).collect());
        let mut numbers: Vec<u32> = samples.list().iter().map(|sample| sample.id).collect();
        let count = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        prop_assert_eq!(numbers.len(), count, "ids are unique");
        for first in samples.list() {
            let same = samples.list().iter().filter(|other| (&other.device, &other.room) == (&first.device, &first.room));
            prop_assert!(same.count() <= SAMPLES_PER_ROOM_MAX);
        }
    }

    #[test]
    fn no_payload_and_no_order_panics(
        steps in proptest::collection::vec((0_u8..8, 0_u8..4, 0_u8..4, 0_u64..40), 1..60),
    ) {
        let mut house = with_office();
        for (what, who, room, seconds) in steps {
            let who = ["ann", "ben-phone", "ben-watch", "nobody"][usize::from(who)];
            let room = ["kitchen", "office", "garden", "cellar"][usize::from(room)];
            match what {
                0..=3 => drop(house.calibrate(who, room)),
                4 => house.overheard("garden", ANN, -80),
                5 => house.associate("bedroom", 1, ANN, -60),
                6 => house.disconnect_if_there("bedroom", ANN),
                _ => {
                    let now = house.now();
                    house.engine.handle_setup(setup(), now);
                }
            }
            house.pass(seconds);
            prop_assert!(house.listening().len() <= 3);
        }
        house.pass(40);
        prop_assert!(house.listening().is_empty());
    }
}

impl House {
    fn disconnect_if_there(&mut self, ap: &str, mac: whichroom_wire::Mac) {
        if self.ap(ap).phones.iter().any(|phone| phone.station.mac == mac) {
            self.disconnect(ap, mac, Change::Disassoc);
        }
    }
}

/// Ann's phone as it sounds in a room for so long: on the kitchen's access point, overheard by the bedroom's.
fn sounds(house: &mut House, kitchen_dbm: i8, bedroom_dbm: i8, seconds: u64) {
    for second in 0..seconds {
        if second % 5 == 0 {
            let wave = [0, 2, -2][usize::try_from(second / 5 % 3).unwrap()];
            house.signal("kitchen", ANN, kitchen_dbm + wave);
            house.send_table("kitchen");
            house.overheard("bedroom", ANN, bedroom_dbm - wave);
        }
        house.pass(1);
    }
}

fn calibrate_in(house: &mut House, room: &str, kitchen_dbm: i8, bedroom_dbm: i8) {
    for _ in 0..3 {
        sounds(house, kitchen_dbm, bedroom_dbm, 11);
        house.calibrate("ann", room).unwrap();
        sounds(house, kitchen_dbm, bedroom_dbm, 31);
    }
}

#[test]
fn a_calibrated_room_without_an_access_point_is_found_again() {
    let mut house = with_office();
    calibrate_in(&mut house, "kitchen", -48, -84);
    calibrate_in(&mut house, "office", -68, -62);
    calibrate_in(&mut house, "bedroom", -84, -46);
    assert_eq!(house.engine.samples().list().len(), 9);
    sounds(&mut house, -48, -84, 120);
    assert_eq!(house.room(0).as_deref(), Some("kitchen"));
    house.forget();
    sounds(&mut house, -68, -62, 120);
    assert_eq!(house.room(0).as_deref(), Some("office"), "nobody told it this time");
    assert_eq!(house.moves().len(), 1);
    let because: Vec<String> = house.person(0).because.iter().map(ToString::to_string).collect();
    assert!(!because.iter().any(|because| because.contains("told")), "{because:?}");
    let kept = house.engine.samples().clone();
    house.restart(5);
    let now = house.now();
    house.engine.handle_samples(kept, now);
    house.all_on();
    sounds(&mut house, -48, -84, 120);
    sounds(&mut house, -68, -62, 120);
    assert_eq!(house.room(0).as_deref(), Some("office"), "after a restart, too");
}

#[test]
fn without_its_samples_a_room_without_an_access_point_is_not_found() {
    let mut house = with_office();
    calibrate_in(&mut house, "kitchen", -48, -84);
    calibrate_in(&mut house, "office", -68, -62);
    let now = house.now();
    for id in 4..=6 {
        assert!(house.engine.forget_sample(id, now));
    }
    sounds(&mut house, -48, -84, 120);
    sounds(&mut house, -68, -62, 120);
    assert_ne!(house.room(0).as_deref(), Some("office"));
}

#[test]
fn rooms_that_sound_alike_are_named() {
    let mut house = with_office();
    assert_eq!(house.engine.alike(), []);
    calibrate_in(&mut house, "kitchen", -50, -80);
    calibrate_in(&mut house, "bedroom", -84, -46);
    assert_eq!(house.engine.alike(), []);
    calibrate_in(&mut house, "office", -51, -79);
    let alike = house.engine.alike();
    let mut rooms = alike[0].rooms.clone();
    rooms.sort_unstable();
    assert_eq!((alike.len(), rooms), (1, [id("kitchen"), id("office")]));
    assert!(alike[0].percent >= 50, "{alike:?}");
}

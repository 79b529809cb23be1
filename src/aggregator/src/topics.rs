//! Turns what the presence engine decided into the messages of the contract: topic, bytes, retained or not. Pure; the
//! main loop calls it for every effect. The wording of rooms lives here, and Home Assistant's options follow it.

use whichroom_mqtt::Publish;
use whichroom_presence::calibration::{Alike, NotCalibrated, Sample};
use whichroom_presence::output::{
    DeviceView, Effect, Home, HouseView, Moved, PersonView, Reason, Roamed, RoomView,
};
use whichroom_roaming::Thrashing;
use whichroom_wire::aggregator::{self as wire, Tracker, TrackerAttributes, encode};
use whichroom_wire::{Mac, Root, SCHEMA, Topic, Tracked};

use crate::clock::Clock;
use crate::home_assistant::Device;

/// Home Assistant's zone of the house; a tracker that is home says it is in it.
const ZONE_HOME: &str = "zone.home";

/// The message an effect asks for; `None` for what only the log and the page show. `alike` are the rooms that samples
/// cannot tell apart.
pub fn publish(effect: &Effect, clock: &Clock, root: &Root, alike: &[Alike]) -> Option<Publish> {
    match effect {
        Effect::Person(view) => Some(retained(root, &Topic::Person(view.id.clone()), &person(view, clock))),
        Effect::Room(view) => Some(retained(root, &Topic::Room(view.id.clone()), &room(view))),
        Effect::Device(view) => Some(retained(root, &Topic::Device(view.id.clone()), &device(view, clock))),
        Effect::House(view) => Some(retained(root, &Topic::House, &house(view, clock))),
        Effect::Moved(moved) => {
            Some(event(root, &Topic::PersonMoved(moved.person.clone()), &self::moved(moved)))
        }
        Effect::Roamed(roamed) => {
            Some(event(root, &Topic::DeviceRoamed(roamed.device.clone()), &self::roamed(roamed)))
        }
        Effect::Calibrated(sample) => Some(event(root, &Topic::Calibrated, &calibrated(sample, alike))),
        Effect::NotCalibrated(refused) => Some(event(root, &Topic::Calibrated, &not_calibrated(refused))),
        Effect::Ask { ap, request } => Some(event(root, &Topic::ApRequest(ap.clone()), request)),
        Effect::Problem(_) | Effect::ProblemOver(_) | Effect::NewRoom(_) | Effect::Forgotten(_) => None,
    }
}

/// Whether a device thrashes. A topic of its own: the history's judgement of hours, while `device/<id>` is the engine's
/// decision of this moment, and neither waits for the other.
pub fn thrashing(device: &Device, state: Option<&Thrashing>, clock: &Clock, root: &Root) -> Publish {
    let thrashing = state.map(|state| wire::Thrashing {
        since: clock.rfc3339(clock.moment_of_unix_ms(state.since.as_ms())),
        changes: state.changes,
        between: state.aps.clone(),
    });
    let message = wire::DeviceThrashing { schema: SCHEMA, name: device.name.clone(), thrashing };
    retained(root, &Topic::DeviceThrashing(device.id.clone()), &message)
}

/// The stations whose probes the agents shall publish, and the BSSs of which they shall pass on beacon reports.
pub fn tracked(macs: Vec<Mac>, bssids: Vec<Mac>, root: &Root) -> Publish {
    retained(root, &Topic::Tracked, &Tracked { schema: SCHEMA, macs, bssids })
}

/// A person's room as people read it: its name, "Home" where no more is to be known, "Away" or "Unclear".
pub fn room_of(view: &PersonView) -> &str {
    match (view.home, view.room_name.as_deref()) {
        (Home::Away, _) => wire::ROOM_AWAY,
        (Home::Undecided, _) => wire::ROOM_UNCLEAR,
        (Home::Home, _) if view.home_only => wire::ROOM_HOME,
        (Home::Home, Some(name)) => name,
        (Home::Home, None) => wire::ROOM_UNCLEAR,
    }
}

fn person(view: &PersonView, clock: &Clock) -> wire::Person {
    let room = room_of(view).to_owned();
    let (tracker, in_zones) = match view.home {
        Home::Home => (Tracker::Home, vec![ZONE_HOME.to_owned()]),
        Home::Away => (Tracker::NotHome, Vec::new()),
        Home::Undecided => (Tracker::Undecided, Vec::new()),
    };
    wire::Person {
        schema: SCHEMA,
        name: view.name.clone(),
        tracker,
        room: room.clone(),
        confidence: view.confidence,
        since: clock.rfc3339(view.since),
        attributes: TrackerAttributes { in_zones, room },
        because: texts(&view.because),
        stale_since: view.stale_since.map(|since| clock.rfc3339(since)),
    }
}

fn room(view: &RoomView) -> wire::Room {
    wire::Room {
        schema: SCHEMA,
        name: view.name.clone(),
        occupied: view.occupied,
        people: view.people.clone(),
    }
}

fn device(view: &DeviceView, clock: &Clock) -> wire::Device {
    wire::Device {
        schema: SCHEMA,
        name: view.name.clone(),
        state: view.state,
        ap: view.ap.clone(),
        bssid: view.bssid,
        signal_dbm: view.signal_dbm,
        room: view.room_name.clone(),
        since: clock.rfc3339(view.since),
        because: texts(&view.because),
    }
}

fn house(view: &HouseView, clock: &Clock) -> wire::House {
    wire::House {
        schema: SCHEMA,
        state: view.state,
        since: clock.rfc3339(view.since),
        people: view.people.clone(),
        guests: view.guests,
        because: texts(&view.because),
        problems: view.problems.clone(),
    }
}

fn moved(moved: &Moved) -> wire::Moved {
    wire::Moved {
        schema: SCHEMA,
        event_type: moved.kind,
        from: moved.from_name.clone(),
        to: moved.to_name.clone(),
        because: texts(&moved.because),
    }
}

fn roamed(roamed: &Roamed) -> wire::Roamed {
    wire::Roamed {
        schema: SCHEMA,
        event_type: wire::RoamedKind::Roamed,
        from_ap: roamed.from_ap.clone(),
        to_ap: roamed.to_ap.clone(),
        bssid: roamed.bssid,
    }
}

fn calibrated(sample: &Sample, alike: &[Alike]) -> wire::Calibrated {
    let other = |pair: &Alike| match &pair.rooms {
        [one, other] if *one == sample.room => Some(other.clone()),
        [one, other] if *other == sample.room => Some(one.clone()),
        [_, _] => None,
    };
    wire::Calibrated {
        schema: SCHEMA,
        device: Some(sample.device.clone()),
        room: Some(sample.room.clone()),
        sample: Some(sample.id),
        alike: alike.iter().filter_map(other).collect(),
        error: None,
    }
}

/// The answer to a calibration that does not read.
pub fn unread_calibration(error: String, root: &Root) -> Publish {
    let answer = wire::Calibrated {
        schema: SCHEMA,
        device: None,
        room: None,
        sample: None,
        alike: Vec::new(),
        error: Some(error),
    };
    event(root, &Topic::Calibrated, &answer)
}

fn not_calibrated(refused: &NotCalibrated) -> wire::Calibrated {
    wire::Calibrated {
        schema: SCHEMA,
        device: Some(refused.device.clone()),
        room: Some(refused.room.clone()),
        sample: None,
        alike: Vec::new(),
        error: Some(refused.error.to_string()),
    }
}

fn texts(reasons: &[Reason]) -> Vec<String> {
    reasons.iter().map(Reason::to_string).collect()
}

fn retained<T: serde::Serialize>(root: &Root, topic: &Topic, message: &T) -> Publish {
    Publish { topic: root.full(topic), payload: encode(message), retain: true }
}

fn event<T: serde::Serialize>(root: &Root, topic: &Topic, message: &T) -> Publish {
    Publish { topic: root.full(topic), payload: encode(message), retain: false }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use jiff::Timestamp;
    use whichroom_presence::Moment;
    use whichroom_presence::output::{Heard, Problem};
    use whichroom_roaming::Time;
    use whichroom_wire::aggregator::{DeviceState, HouseState, MovedKind};

    use super::*;

    const SINCE: Moment = Moment::from_ms(60_000);

    /// The message as one line; times in the zone of the machine become `<since>` and `<stale>`.
    fn shown(effect: &Effect) -> String {
        let clock = Clock::start_at(Timestamp::from_second(1_795_334_400).unwrap());
        let root = Root::new(&"home".parse().unwrap());
        let publish = publish(effect, &clock, &root, &[]).unwrap();
        let payload = String::from_utf8(publish.payload).unwrap();
        let payload = payload.replace(&clock.rfc3339(SINCE), "<since>");
        let payload = payload.replace(&clock.rfc3339(Moment::from_ms(90_000)), "<stale>");
        format!("{} {}\n{payload}", publish.topic, if publish.retain { "retained" } else { "event" })
    }

    fn bob(home: Home) -> PersonView {
        PersonView {
            id: "bob".parse().unwrap(),
            name: "Bob".into(),
            home,
            room: None,
            room_name: None,
            home_only: false,
            confidence: 95,
            since: SINCE,
            home_since: SINCE,
            because: vec![Reason("phone on ap-kitchen at -52 dBm".into())],
            stale_since: None,
            device: None,
        }
    }

    #[test]
    fn a_person_in_a_room() {
        let view =
            PersonView { room: "kitchen".parse().ok(), room_name: Some("Kitchen".into()), ..bob(Home::Home) };
        assert_snapshot!(shown(&Effect::Person(view)), @r#"
        whichroom/home/person/bob retained
        {"schema":1,"name":"Bob","tracker":"home","room":"Kitchen","confidence":95,"since":"<since>","attributes":{"in_zones":["zone.home"],"room":"Kitchen"},"because":["phone on ap-kitchen at -52 dBm"],"stale_since":null}
        "#);
    }

    #[test]
    fn somebody_away_is_in_no_zone() {
        assert_snapshot!(shown(&Effect::Person(bob(Home::Away))), @r#"
        whichroom/home/person/bob retained
        {"schema":1,"name":"Bob","tracker":"not_home","room":"Away","confidence":95,"since":"<since>","attributes":{"in_zones":[],"room":"Away"},"because":["phone on ap-kitchen at -52 dBm"],"stale_since":null}
        "#);
    }

    #[test]
    fn somebody_never_decided_resets_the_tracker() {
        let view = PersonView { confidence: 0, because: Vec::new(), ..bob(Home::Undecided) };
        assert_snapshot!(shown(&Effect::Person(view)), @r#"
        whichroom/home/person/bob retained
        {"schema":1,"name":"Bob","tracker":"None","room":"Unclear","confidence":0,"since":"<since>","attributes":{"in_zones":[],"room":"Unclear"},"because":[],"stale_since":null}
        "#);
    }

    #[test]
    fn what_nobody_can_tell_any_more_is_held_and_says_since_when() {
        let view = PersonView {
            room_name: Some("Kitchen".into()),
            stale_since: Some(Moment::from_ms(90_000)),
            ..bob(Home::Home)
        };
        assert!(shown(&Effect::Person(view)).contains(r#""tracker":"home","room":"Kitchen""#));
        let view = PersonView { stale_since: Some(Moment::from_ms(90_000)), ..bob(Home::Home) };
        assert!(shown(&Effect::Person(view)).ends_with(r#""stale_since":"<stale>"}"#));
    }

    #[test]
    fn the_room_of_somebody_home_only_is_never_told() {
        let room_name = Some("Bedroom".to_owned());
        let view = PersonView { home_only: true, room_name: room_name.clone(), ..bob(Home::Home) };
        assert!(!shown(&Effect::Person(view.clone())).contains("Bedroom"));
        assert_eq!(room_of(&view), "Home");
        assert_eq!(room_of(&PersonView { home_only: true, room_name, ..bob(Home::Away) }), "Away");
        assert_eq!(room_of(&bob(Home::Home)), "Unclear");
    }

    #[test]
    fn a_room_with_people() {
        let view = RoomView {
            id: "living-room".parse().unwrap(),
            name: "Living \"room\" 🛋".into(),
            occupied: Some(true),
            people: vec!["Bob".into(), "Zoë".into()],
            floor: Some(0),
            outdoor: false,
        };
        assert_snapshot!(shown(&Effect::Room(view.clone())), @r#"
        whichroom/home/room/living-room retained
        {"schema":1,"name":"Living \"room\" 🛋","occupied":true,"people":["Bob","Zoë"]}
        "#);
        let unknown = RoomView { occupied: None, people: Vec::new(), ..view };
        assert!(shown(&Effect::Room(unknown)).contains(r#""occupied":null,"people":[]"#));
    }

    #[test]
    fn a_device() {
        let view = DeviceView {
            id: "bob-phone".parse().unwrap(),
            name: "Bob's phone".into(),
            person: "bob".parse().ok(),
            state: DeviceState::Fading,
            ap: "ap-garden".parse().ok(),
            bssid: "02:00:00:00:00:01".parse().ok(),
            mac: "02:00:00:00:00:99".parse().ok(),
            signal_dbm: Some(-71),
            room: None,
            room_name: None,
            since: SINCE,
            last_heard: Some(SINCE),
            heard: Heard::default(),
            because: vec![Reason("left ap-garden, -71 dBm and falling".into())],
        };
        assert_snapshot!(shown(&Effect::Device(view)), @r#"
        whichroom/home/device/bob-phone retained
        {"schema":1,"name":"Bob's phone","state":"fading","ap":"ap-garden","bssid":"02:00:00:00:00:01","signal_dbm":-71,"room":null,"since":"<since>","because":["left ap-garden, -71 dBm and falling"]}
        "#);
    }

    #[test]
    fn a_device_that_thrashes() {
        let clock = Clock::start_at(Timestamp::from_second(1_795_334_400).unwrap());
        let root = Root::new(&"home".parse().unwrap());
        let device =
            Device { id: "bob-phone".parse().unwrap(), name: "Bob's phone".into(), may_be_followed: true };
        let since = Time::from_ms(clock.unix_ms(SINCE));
        let aps = ["kids-room", "office"].map(|ap| ap.parse().unwrap()).to_vec();
        let state = Thrashing { since, last: since, changes: 31, aps };
        let shown = |state| {
            let publish = thrashing(&device, state, &clock, &root);
            assert!(publish.retain);
            let payload = String::from_utf8(publish.payload).unwrap();
            format!("{}\n{}", publish.topic, payload.replace(&clock.rfc3339(SINCE), "<since>"))
        };
        assert_snapshot!(shown(Some(&state)), @r#"
        whichroom/home/device/bob-phone/thrashing
        {"schema":1,"name":"Bob's phone","thrashing":{"since":"<since>","changes":31,"between":["kids-room","office"]}}
        "#);
        assert_snapshot!(shown(None), @r#"
        whichroom/home/device/bob-phone/thrashing
        {"schema":1,"name":"Bob's phone","thrashing":null}
        "#);
    }

    #[test]
    fn the_house() {
        let view = HouseView {
            state: HouseState::Undecided,
            since: SINCE,
            people: Vec::new(),
            guests: 2,
            because: vec![Reason("no access point has reported yet".into())],
            problems: vec!["ap-garden is offline for 31 min".into()],
        };
        assert_snapshot!(shown(&Effect::House(view)), @r#"
        whichroom/home/house retained
        {"schema":1,"state":"undecided","since":"<since>","people":[],"guests":2,"because":["no access point has reported yet"],"problems":["ap-garden is offline for 31 min"]}
        "#);
    }

    #[test]
    fn events_are_never_retained() {
        let moved = Moved {
            person: "bob".parse().unwrap(),
            name: "Bob".into(),
            kind: MovedKind::ChangedRoom,
            from: "kitchen".parse().ok(),
            to: "office".parse().ok(),
            from_name: "Kitchen".into(),
            to_name: "Office".into(),
            because: vec![Reason("phone roamed to ap-office".into())],
            at: SINCE,
        };
        assert_snapshot!(shown(&Effect::Moved(moved)), @r#"
        whichroom/home/person/bob/moved event
        {"schema":1,"event_type":"changed_room","from":"Kitchen","to":"Office","because":["phone roamed to ap-office"]}
        "#);
        let roamed = Roamed {
            device: "bob-phone".parse().unwrap(),
            from_ap: "ap-kitchen".parse().unwrap(),
            to_ap: "ap-office".parse().unwrap(),
            bssid: "02:00:00:00:00:01".parse().unwrap(),
            at: SINCE,
        };
        assert_snapshot!(shown(&Effect::Roamed(roamed)), @r#"
        whichroom/home/device/bob-phone/roamed event
        {"schema":1,"event_type":"roamed","from_ap":"ap-kitchen","to_ap":"ap-office","bssid":"02:00:00:00:00:01"}
        "#);
    }

    #[test]
    fn the_tracked_list() {
        let publish = tracked(
            vec!["02:00:00:00:00:99".parse().unwrap()],
            Vec::new(),
            &Root::new(&"home".parse().unwrap()),
        );
        assert_eq!(publish.topic, "whichroom/home/tracked");
        assert_eq!(publish.payload, br#"{"schema":1,"macs":["02:00:00:00:00:99"]}"#);
        assert!(publish.retain);
    }

    #[test]
    fn problems_are_no_topics_of_their_own() {
        let clock = Clock::start();
        let root = Root::new(&"home".parse().unwrap());
        let problem = Problem { ap: None, text: "x".into() };
        assert!(publish(&Effect::Problem(problem.clone()), &clock, &root, &[]).is_none());
        assert!(publish(&Effect::ProblemOver(problem), &clock, &root, &[]).is_none());
    }
}

//! A home for the page's tests, with something of everything a page can show.

use whichroom_presence::Moment;
use whichroom_presence::output::{
    AccessPointView, AddressView, CalibrationView, DeviceView, Heard, Home, HouseView, Link, PersonView,
    Problem, Reason, RoomView, Stage, UnknownView, View,
};
use whichroom_presence::setup::SsidKind;
use whichroom_wire::aggregator::{DeviceState, HouseState};
use whichroom_wire::{Host, Id, Radio};

use super::PageContext;

const MINUTE: i64 = 60_000;

/// Minutes before the clock's zero.
fn ago(minutes: i64) -> Moment {
    Moment::from_ms(-minutes * MINUTE)
}

fn id(text: &str) -> Id {
    text.parse().unwrap()
}

fn because(texts: &[&str]) -> Vec<Reason> {
    texts.iter().map(|&text| Reason(text.to_owned())).collect()
}

fn person(name: &str, home: Home, room: Option<(&str, &str)>, minutes: i64, why: &[&str]) -> PersonView {
    let lower = name.to_lowercase();
    PersonView {
        id: Id::from_name(&lower).unwrap(),
        name: name.to_owned(),
        home,
        room: room.map(|(room, _)| id(room)),
        room_name: room.map(|(_, name)| name.to_owned()),
        home_only: false,
        confidence: 95,
        since: ago(minutes),
        home_since: ago(minutes + 95),
        because: because(why),
        stale_since: None,
        device: Some(id("anna-phone")),
    }
}

fn access_point(name: &str, room: (&str, &str), exit: bool, stations: u32) -> AccessPointView {
    let radio =
        |freq_mhz, channel| Radio { freq_mhz: Some(freq_mhz), channel: Some(channel), ..Radio::default() };
    AccessPointView {
        id: Id::from_name(name).unwrap(),
        name: name.to_owned(),
        room: id(room.0),
        room_name: room.1.to_owned(),
        exit,
        link: Link::Reporting,
        last_live: Some(Moment::from_ms(-3_000)),
        given_up: false,
        version: Some("0.1.0".to_owned()),
        sources: vec!["hostapd".to_owned(), "iwinfo".to_owned()],
        problems: Vec::new(),
        release: Some("24.10.1".to_owned()),
        radios: vec![radio(2_437, 6), radio(2_437, 6), radio(5_180, 36)],
        stations,
        rejected: 0,
        last_rejected: None,
        duplicates: 0,
        gaps: 0,
    }
}

/// Four people, seven rooms, four access points of which two have troubles, two unknown devices.
pub fn view() -> View {
    let room = |id_text: &str, name: &str, floor, people: &[&str]| RoomView {
        id: id(id_text),
        name: name.to_owned(),
        occupied: Some(!people.is_empty()),
        people: people.iter().map(|&name| name.to_owned()).collect(),
        floor,
        outdoor: floor.is_none(),
    };
    let kitchen = ("kitchen", "Kitchen");
    let mut zoe = person(
        "Zoë",
        Home::Home,
        Some(("bedroom", "Bedroom")),
        412,
        &["phone asleep on ap-upstairs since 22:41"],
    );
    zoe.confidence = 80;
    zoe.stale_since = Some(ago(12));
    let mut cleaner = person("Cleaner", Home::Home, None, 44, &["phone authorised on ap-hall 44 min ago"]);
    cleaner.home_only = true;
    View {
        house: HouseView {
            state: HouseState::Occupied,
            since: ago(507),
            people: vec!["Anna".into(), "Zoë".into(), "Cleaner".into()],
            guests: 1,
            because: because(&["Anna's phone is on ap-kitchen"]),
            problems: vec!["cannot decide for Zoë: ap-upstairs offline for 12 min".into()],
        },
        people: vec![
            person(
                "Anna",
                Home::Home,
                Some(kitchen),
                12,
                &["phone on ap-kitchen at -52 dBm", "19 dB ahead of ap-hall"],
            ),
            zoe,
            person(
                "Bob",
                Home::Away,
                None,
                134,
                &["phone left ap-garden at -78 dBm and falling, gone for 2 min"],
            ),
            cleaner,
        ],
        rooms: vec![
            room("kitchen", "Kitchen", Some(0), &["Anna"]),
            room("living-room", "Living room", Some(0), &[]),
            room("bedroom", "Bedroom", Some(1), &["Zoë"]),
            room("office", "Office", Some(1), &[]),
            room("hall", "Hall", Some(0), &[]),
            room("attic", "Attic", Some(2), &[]),
            room("garden", "Garden", None, &[]),
        ],
        devices: vec![DeviceView {
            id: id("anna-phone"),
            name: "Anna's phone".into(),
            person: Some(id("anna")),
            state: DeviceState::Present,
            ap: Some(id("ap-kitchen")),
            bssid: "02:00:00:00:01:01".parse().ok(),
            mac: "02:00:00:00:00:0a".parse().ok(),
            signal_dbm: Some(-52),
            room: Some(id("kitchen")),
            room_name: Some("Kitchen".into()),
            since: ago(12),
            last_heard: Some(Moment::from_ms(-4_000)),
            heard: Heard { minutes: 200, by_several: 68 },
            because: Vec::new(),
        }],
        access_points: vec![
            access_point("ap-kitchen", kitchen, false, 7),
            access_point("ap-garden", ("garden", "Garden"), true, 2),
            AccessPointView {
                link: Link::Offline,
                last_live: Some(ago(12)),
                rejected: 3,
                last_rejected: Some("stations[4].signal_dbm is 20".into()),
                gaps: 1,
                ..access_point("ap-upstairs", ("bedroom", "Bedroom"), false, 3)
            },
            AccessPointView {
                link: Link::NeverSeen,
                last_live: None,
                version: None,
                release: None,
                sources: Vec::new(),
                radios: Vec::new(),
                ..access_point("ap-attic", ("attic", "Attic"), false, 0)
            },
        ],
        addresses: vec![AddressView {
            device: id("anna-phone"),
            mac: "02:00:00:00:00:01".parse().unwrap(),
            host: None,
            home_only: false,
        }],
        unknown: vec![
            UnknownView {
                mac: "02:00:00:00:00:77".parse().unwrap(),
                ap: id("ap-kitchen"),
                ssid: Some("Guests".into()),
                kind: SsidKind::Guest,
                host: Some(Host {
                    mac: "02:00:00:00:00:77".parse().unwrap(),
                    name: Some("<b>Pixel</b>".into()),
                    address: Some("192.168.1.77".into()),
                }),
                since: ago(31),
                fixture: false,
                signal_dbm: Some(-61),
            },
            UnknownView {
                mac: "b8:27:eb:00:00:78".parse().unwrap(),
                ap: id("ap-garden"),
                ssid: None,
                kind: SsidKind::Family,
                host: None,
                since: ago(3),
                fixture: true,
                signal_dbm: None,
            },
        ],
        problems: vec![Problem {
            ap: Some(id("ap-upstairs")),
            text: "offline for 12 min: Zoë is held where she was. Check its power and its network".into(),
        }],
        heard: Heard { minutes: 200, by_several: 68 },
        samples_revision: 3,
        calibrations: vec![CalibrationView {
            device: id("anna-phone"),
            room: id("kitchen"),
            stage: Stage::Listening { until: Moment::from_ms(20_000) },
        }],
    }
}

/// Of a real home.
pub fn context() -> PageContext {
    let next_step = "whichroom-agent --broker mqtt://192.168.1.2:1883 --site home --name kitchen\n";
    PageContext { agent_version: "0.1.0".to_owned(), ..PageContext::new(id("home"), next_step) }
}

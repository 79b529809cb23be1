//! What the page shows, as JSON: the engine's view in the words and units of people. Times come twice: as text to read,
//! and in milliseconds of the clock whose present is `now_ms`, so that the page goes on counting at `speed`.

use std::collections::BTreeMap;

use serde::Serialize;
use whichroom_presence::Moment;
use whichroom_presence::output::{
    AccessPointView, DeviceView, Home, HouseView, Link, PersonView, Problem, Reason, RoomView, UnknownView,
    View,
};
use whichroom_presence::setup::SsidKind;
use whichroom_wire::aggregator::{DeviceState, HouseState};
use whichroom_wire::{Id, Radio};

use super::calibration::Calibration;
use super::outdated::is_older;
use crate::clock::Clock;
use crate::install::Install;
use crate::names::vendors::vendor;
use crate::names::{HostNames, Named};
use crate::topics::room_of;

/// What the page says beside the decisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageContext {
    /// The site, shown beside the name.
    pub site: Id,
    /// What to do when no access point has reported yet: commands to paste, several lines.
    pub next_step: String,
    /// The agent's version that access points should have.
    pub agent_version: String,
    /// Where there is a feed: the line that installs the agent from it.
    pub install: Option<Install>,
    /// In the demonstration.
    pub simulation: Option<Simulation>,
}

/// What the demonstration knows and a real home does not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Simulation {
    /// Simulated seconds a second.
    pub speed: u32,
    /// Where each person really is, in the words of the person's topic ("Kitchen", "Away").
    pub truth: BTreeMap<Id, String>,
}

impl PageContext {
    /// For a real home.
    pub fn new(site: Id, next_step: impl Into<String>) -> PageContext {
        let agent_version = env!("CARGO_PKG_VERSION").to_owned();
        PageContext { site, next_step: next_step.into(), agent_version, install: None, simulation: None }
    }
}

/// The whole page as one line of JSON.
pub fn page_json(view: &View, names: &HostNames, clock: &Clock, context: &PageContext) -> String {
    let writer = Writer { view, names, clock, context, hues: hues(view) };
    // Structs with string keys always serialize; the page keeps what it shows on an empty text.
    serde_json::to_string(&writer.page()).unwrap_or_default()
}

#[derive(Serialize)]
struct Page<'a> {
    site: &'a Id,
    version: &'static str,
    now: String,
    now_ms: i64,
    speed: u32,
    simulated: bool,
    next_step: &'a str,
    house: House<'a>,
    people: Vec<Person<'a>>,
    rooms: Vec<Room<'a>>,
    access_points: Vec<AccessPoint<'a>>,
    /// Configured, and nobody's.
    things: Vec<Device<'a>>,
    unknown: Vec<Unknown<'a>>,
    problems: Vec<ProblemText<'a>>,
    calibration: Calibration<'a>,
}

/// A point of time: to read, and to count from.
#[derive(Serialize)]
pub(super) struct Time {
    pub(super) text: String,
    pub(super) ms: i64,
}

#[derive(Serialize)]
struct House<'a> {
    state: HouseState,
    since: Time,
    people: &'a [String],
    guests: u32,
    because: Vec<&'a str>,
}

#[derive(Serialize)]
struct Person<'a> {
    id: &'a Id,
    name: &'a str,
    home: &'static str,
    room: &'a str,
    room_id: Option<&'a Id>,
    hue: Option<u16>,
    home_only: bool,
    since: Time,
    home_since: Time,
    confidence: u8,
    because: Vec<&'a str>,
    stale_since: Option<Time>,
    devices: Vec<Device<'a>>,
    truth: Option<Truth<'a>>,
}

#[derive(Serialize)]
struct Device<'a> {
    id: &'a Id,
    name: &'a str,
    /// The address it uses or used last.
    mac: Option<String>,
    decides: bool,
    state: DeviceState,
    ap: Option<&'a str>,
    signal_dbm: Option<i8>,
    last_heard: Option<Time>,
}

#[derive(Serialize)]
struct Truth<'a> {
    room: &'a str,
    is_right: bool,
}

#[derive(Serialize)]
struct Room<'a> {
    id: &'a Id,
    name: &'a str,
    hue: u16,
    people: &'a [String],
    floor: Option<i8>,
    outdoor: bool,
}

#[derive(Serialize)]
struct AccessPoint<'a> {
    id: &'a Id,
    name: &'a str,
    room: &'a str,
    hue: Option<u16>,
    exit: bool,
    link: &'static str,
    last_live: Option<Time>,
    version: Option<&'a str>,
    newer_version: Option<&'a str>,
    install: Option<String>,
    release: Option<&'a str>,
    sources: &'a [String],
    problems: &'a [String],
    radios: Vec<String>,
    stations: u32,
    rejected: u64,
    last_rejected: Option<&'a str>,
    duplicates: u64,
    gaps: u64,
}

#[derive(Serialize)]
struct Unknown<'a> {
    mac: String,
    /// Its host name.
    host: Option<String>,
    address: Option<String>,
    /// Who made it; nobody can tell of an address that it made up.
    vendor: Option<&'static str>,
    private_mac: bool,
    /// The known device that it likely is, under another address.
    same_as: Option<&'a Id>,
    ap: &'a str,
    ssid: Option<&'a str>,
    /// Whom the network is for.
    kind: SsidKind,
    /// It never leaves: a television, a printer, a plug.
    fixture: bool,
    signal_dbm: Option<i8>,
    since: Time,
}

#[derive(Serialize)]
struct ProblemText<'a> {
    ap: Option<&'a str>,
    /// The access point that one may give up.
    give_up: Option<&'a Id>,
    text: &'a str,
}

struct Writer<'a> {
    view: &'a View,
    names: &'a HostNames,
    clock: &'a Clock,
    context: &'a PageContext,
    hues: BTreeMap<&'a Id, u16>,
}

impl<'a> Writer<'a> {
    fn page(&self) -> Page<'a> {
        let view = self.view;
        let now = self.clock.now();
        let simulation = self.context.simulation.as_ref();
        Page {
            site: &self.context.site,
            version: env!("CARGO_PKG_VERSION"),
            now: self.clock.rfc3339(now),
            now_ms: now.as_ms(),
            speed: simulation.map_or(1, |simulation| simulation.speed.max(1)),
            simulated: simulation.is_some(),
            next_step: self.context.next_step.trim(),
            house: self.house(&view.house),
            people: view.people.iter().map(|person| self.person(person)).collect(),
            rooms: view.rooms.iter().map(|room| self.room(room)).collect(),
            access_points: view.access_points.iter().map(|ap| self.access_point(ap)).collect(),
            things: self.things(),
            unknown: view.unknown.iter().map(|unknown| self.unknown(unknown)).collect(),
            problems: view.problems.iter().map(|problem| self.problem(problem)).collect(),
            calibration: Calibration::of(view, |at| self.time(at)),
        }
    }

    fn house(&self, house: &'a HouseView) -> House<'a> {
        House {
            state: house.state,
            since: self.time(house.since),
            people: &house.people,
            guests: house.guests,
            because: texts(&house.because),
        }
    }

    fn person(&self, person: &'a PersonView) -> Person<'a> {
        let room = room_of(person);
        // Of somebody home-only the engine gives no room; should it ever, the page does not.
        let room_id = person.room.as_ref().filter(|_| person.home == Home::Home && !person.home_only);
        let truth = self.context.simulation.as_ref().and_then(|simulation| simulation.truth.get(&person.id));
        Person {
            id: &person.id,
            name: &person.name,
            home: match person.home {
                Home::Home => "home",
                Home::Away => "away",
                Home::Undecided => "undecided",
            },
            room,
            room_id,
            hue: room_id.and_then(|room| self.hues.get(room).copied()),
            home_only: person.home_only,
            since: self.time(person.since),
            home_since: self.time(person.home_since),
            confidence: person.confidence,
            because: texts(&person.because),
            stale_since: person.stale_since.map(|since| self.time(since)),
            devices: self.devices(person),
            truth: truth.map(|truth| Truth { room: truth, is_right: truth == room }),
        }
    }

    /// A person's devices; none of somebody home-only, for the access point would tell the room.
    fn devices(&self, person: &'a PersonView) -> Vec<Device<'a>> {
        let theirs = self.view.devices.iter().filter(|device| device.person.as_ref() == Some(&person.id));
        let decides = |device: &DeviceView| person.device.as_ref() == Some(&device.id);
        theirs.filter(|_| !person.home_only).map(|device| self.device(device, decides(device))).collect()
    }

    fn things(&self) -> Vec<Device<'a>> {
        let nobodys = self.view.devices.iter().filter(|device| device.person.is_none());
        nobodys.map(|device| self.device(device, false)).collect()
    }

    fn device(&self, device: &'a DeviceView, decides: bool) -> Device<'a> {
        Device {
            id: &device.id,
            name: &device.name,
            mac: device.mac.map(|mac| mac.to_string()),
            decides,
            state: device.state,
            ap: device.ap.as_ref().map(|ap| self.ap_name(ap)),
            signal_dbm: device.signal_dbm,
            last_heard: device.last_heard.map(|heard| self.time(heard)),
        }
    }

    fn room(&self, room: &'a RoomView) -> Room<'a> {
        let RoomView { id, name, people, floor, outdoor, occupied: _ } = room;
        let hue = self.hues.get(id).copied().unwrap_or_default();
        Room { id, name, hue, people, floor: *floor, outdoor: *outdoor }
    }

    fn access_point(&self, ap: &'a AccessPointView) -> AccessPoint<'a> {
        let newer_version = self.newer_version(ap);
        let is_missing = matches!(ap.link, Link::NeverSeen | Link::Offline);
        let install = self.context.install.as_ref().filter(|_| is_missing || newer_version.is_some());
        AccessPoint {
            id: &ap.id,
            name: &ap.name,
            room: &ap.room_name,
            hue: self.hues.get(&ap.room).copied(),
            exit: ap.exit,
            link: match ap.link {
                Link::NeverSeen => "never-seen",
                Link::Reporting => "reporting",
                Link::Offline => "offline",
                Link::TooNew => "too-new",
            },
            last_live: ap.last_live.map(|live| self.time(live)),
            version: ap.version.as_deref(),
            newer_version,
            install: install.map(|install| install.line(&ap.id)),
            release: ap.release.as_deref(),
            sources: &ap.sources,
            problems: &ap.problems,
            radios: radios(&ap.radios),
            stations: ap.stations,
            rejected: ap.rejected,
            last_rejected: ap.last_rejected.as_deref(),
            duplicates: ap.duplicates,
            gaps: ap.gaps,
        }
    }

    /// The version to go to, of an agent that is behind it.
    fn newer_version(&self, ap: &AccessPointView) -> Option<&'a str> {
        let newest = self.context.agent_version.as_str();
        ap.version.as_ref().filter(|version| is_older(version, newest)).map(|_| newest)
    }

    fn unknown(&self, unknown: &'a UnknownView) -> Unknown<'a> {
        let Named { host, address } = self.names.of(unknown);
        Unknown {
            mac: unknown.mac.to_string(),
            host,
            address,
            vendor: vendor(unknown.mac),
            private_mac: unknown.mac.is_locally_administered(),
            same_as: self.names.same_as(unknown, self.view),
            ap: self.ap_name(&unknown.ap),
            ssid: unknown.ssid.as_deref(),
            kind: unknown.kind,
            fixture: unknown.fixture,
            signal_dbm: unknown.signal_dbm,
            since: self.time(unknown.since),
        }
    }

    fn problem(&self, problem: &'a Problem) -> ProblemText<'a> {
        let silent =
            |ap: &AccessPointView| matches!(ap.link, Link::Offline | Link::NeverSeen) && !ap.given_up;
        let known = |id: &Id| self.view.access_points.iter().any(|ap| ap.id == *id && silent(ap));
        ProblemText {
            ap: problem.ap.as_ref().map(|ap| self.ap_name(ap)),
            give_up: problem.ap.as_ref().filter(|ap| known(ap)),
            text: &problem.text,
        }
    }

    fn ap_name(&self, id: &'a Id) -> &'a str {
        let ap = self.view.access_points.iter().find(|ap| ap.id == *id);
        ap.map_or(id.as_str(), |ap| ap.name.as_str())
    }

    fn time(&self, moment: Moment) -> Time {
        Time { text: self.clock.rfc3339(moment), ms: moment.as_ms() }
    }
}

fn texts(reasons: &[Reason]) -> Vec<&str> {
    reasons.iter().map(|reason| reason.0.as_str()).collect()
}

/// An AP's radios in words, each once however many BSSs it has: "5 GHz, channel 36".
fn radios(radios: &[Radio]) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    for radio in radios {
        let Some(mut text) = band(radio).map(str::to_owned) else { continue };
        if let Some(channel) = radio.channel {
            text.push_str(&format!(", channel {channel}"));
        }
        if let Some(status) = radio.status.as_deref().filter(|_| !radio.is_enabled()) {
            text.push_str(&format!(" ({status})"));
        }
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts
}

fn band(radio: &Radio) -> Option<&'static str> {
    match radio.freq_mhz? {
        2_400..2_500 => Some("2.4 GHz"),
        4_900..5_925 => Some("5 GHz"),
        5_925..7_200 => Some("6 GHz"),
        57_000..71_000 => Some("60 GHz"),
        _ => None,
    }
}

/// Hues are this far apart, while there is room for all.
const HUE_STEP: u16 = 30;
const HUE_SLOTS: u16 = 360 / HUE_STEP;

/// A colour for each room, in degrees of the colour circle. It comes from the room's id and stays when other rooms come;
/// only where an earlier room has it, or one beside it, the room takes another: one with free neighbours if there is any.
fn hues(view: &View) -> BTreeMap<&Id, u16> {
    let mut slots: BTreeMap<&Id, u16> = BTreeMap::new();
    for room in &view.rooms {
        let wanted = u16::try_from(fnv1a(room.id.as_str()) % u32::from(HUE_SLOTS)).unwrap_or_default();
        // 5 is coprime to 12: the search visits every slot, and neighbours in time are no neighbours in colour.
        let order = (0..HUE_SLOTS).map(|step| (wanted + 5 * step) % HUE_SLOTS);
        let is_free = |slot: u16| !slots.values().any(|taken| *taken == slot);
        let has_free_neighbours = |slot: &u16| {
            is_free(*slot) && is_free((slot + 1) % HUE_SLOTS) && is_free((slot + HUE_SLOTS - 1) % HUE_SLOTS)
        };
        let found =
            order.clone().find(has_free_neighbours).or_else(|| order.clone().find(|slot| is_free(*slot)));
        slots.insert(&room.id, found.unwrap_or(wanted));
    }
    slots.into_iter().map(|(room, slot)| (room, slot * HUE_STEP)).collect()
}

/// The 32-bit FNV-1a hash: the same on every machine and in every version.
fn fnv1a(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::super::example;
    use super::*;

    fn page(view: &View, context: &PageContext) -> Value {
        let clock = Clock::start_at(Timestamp::from_second(1_795_334_400).unwrap());
        serde_json::from_str(&page_json(view, &HostNames::default(), &clock, context)).unwrap()
    }

    /// Replaces every time by `<text>`, and checks that it is one.
    fn without_times(value: &mut Value) {
        match value {
            Value::Object(fields) if fields.len() == 2 && fields.contains_key("ms") => {
                assert!(fields["text"].as_str().unwrap().starts_with("2026-1"));
                *value = json!(format!("{} s", fields["ms"].as_i64().unwrap() / 1000));
            }
            Value::Object(fields) => fields.values_mut().for_each(without_times),
            Value::Array(elements) => elements.iter_mut().for_each(without_times),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn a_home_with_everything() {
        let mut page = page(&example::view(), &example::context());
        without_times(&mut page);
        page["now"] = json!("<now>");
        assert!(page["now_ms"].as_i64().unwrap() < 60_000);
        page["now_ms"] = json!("<now>");
        page["version"] = json!("<version>");
        insta::assert_snapshot!(serde_json::to_string_pretty(&page).unwrap());
    }

    #[test]
    fn an_empty_home_is_a_page_too() {
        let mut view = example::view();
        view.people.clear();
        view.rooms.clear();
        view.access_points.clear();
        let page = page(&view, &example::context());
        assert_eq!(page["people"], json!([]));
        assert!(page["next_step"].as_str().unwrap().starts_with("whichroom-agent"));
    }

    #[test]
    fn the_demonstration_tells_the_truth_beside() {
        let truth = [("anna", "Kitchen"), ("bob", "Garden")];
        let truth = truth.iter().map(|(id, room)| (id.parse().unwrap(), (*room).to_owned())).collect();
        let simulation = Some(Simulation { speed: 60, truth });
        let page = page(&example::view(), &PageContext { simulation, ..example::context() });
        assert_eq!((&page["simulated"], &page["speed"]), (&json!(true), &json!(60)));
        assert_eq!(page["people"][0]["truth"], json!({"room": "Kitchen", "is_right": true}));
        assert_eq!(page["people"][2]["truth"], json!({"room": "Garden", "is_right": false}));
        assert_eq!(page["people"][1]["truth"], Value::Null);
    }

    #[test]
    fn who_is_missing_or_outdated_gets_the_line_to_paste() {
        let (config, _) =
            crate::config::parse("[mqtt]\nurl = \"mqtt://b\"\n", std::path::Path::new("/nonexistent"));
        let address = "192.0.2.7:8738".parse().unwrap();
        let install = Some(Install::new(&config.unwrap(), 1883, address, address.ip()));
        let mut view = example::view();
        view.access_points[1].version = Some("0.0.9".to_owned());
        let page = page(&view, &PageContext { install, ..example::context() });
        let aps = page["access_points"].as_array().unwrap();
        assert_eq!((&aps[0]["install"], &aps[0]["newer_version"]), (&Value::Null, &Value::Null));
        assert_eq!(aps[1]["newer_version"], "0.1.0");
        for (ap, name) in [(1, "ap-garden"), (2, "ap-upstairs"), (3, "ap-attic")] {
            let line = aps[ap]["install"].as_str().unwrap();
            assert!(
                line.starts_with("wget -qO- http://192.0.2.7:8738/feed/install.sh | sh -s -- "),
                "{line}"
            );
            assert!(line.ends_with(&format!("--name {name}")), "{line}");
        }
    }

    #[test]
    fn of_somebody_home_only_no_room_and_no_access_point_is_told() {
        let mut view = example::view();
        view.people[0].home_only = true;
        let page = page(&view, &example::context());
        let anna = &page["people"][0];
        assert_eq!(
            (&anna["room"], &anna["room_id"], &anna["hue"]),
            (&json!("Home"), &Value::Null, &Value::Null)
        );
        assert_eq!(anna["devices"], json!([]));
    }

    #[test]
    fn rooms_have_colours_of_their_own_that_stay() {
        let mut view = example::view();
        view.rooms = (0..12)
            .map(|n| RoomView {
                id: format!("r{n}").parse().unwrap(),
                name: String::new(),
                occupied: Some(false),
                people: vec![],
                floor: None,
                outdoor: false,
            })
            .collect();
        let twelve: Vec<u16> = view.rooms.iter().map(|room| hues(&view)[&room.id]).collect();
        let mut sorted = twelve.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..12).map(|slot| slot * HUE_STEP).collect::<Vec<_>>());

        view.rooms.truncate(4);
        let four: Vec<u16> = view.rooms.iter().map(|room| hues(&view)[&room.id]).collect();
        let apart = |a: u16, b: u16| a.abs_diff(b).min(360 - a.abs_diff(b));
        let pairs = four.iter().enumerate().flat_map(|(n, a)| four[..n].iter().map(move |b| apart(*a, *b)));
        assert!(pairs.min() >= Some(2 * HUE_STEP), "a few rooms are easily told apart: {four:?}");
        assert_eq!(four, twelve[..4], "later rooms change no colour");

        view.rooms = (0..40)
            .map(|n| RoomView {
                id: format!("r{n}").parse().unwrap(),
                name: String::new(),
                occupied: Some(false),
                people: vec![],
                floor: None,
                outdoor: false,
            })
            .collect();
        assert_eq!(hues(&view).len(), 40);
    }

    #[test]
    fn radios_are_said_once_a_channel() {
        let radio = |freq_mhz, channel, status: &str| Radio {
            freq_mhz,
            channel,
            status: Some(status.to_owned()),
            ..Radio::default()
        };
        let all = [
            radio(Some(2_412), Some(1), "ENABLED"),
            radio(Some(2_412), Some(1), "ENABLED"),
            radio(Some(5_260), Some(52), "DFS"),
            radio(Some(5_955), None, "ENABLED"),
            radio(None, Some(3), "ENABLED"),
            radio(Some(1), None, "ENABLED"),
        ];
        assert_eq!(radios(&all), ["2.4 GHz, channel 1", "5 GHz, channel 52 (DFS)", "6 GHz"]);
    }
}

//! What the core says: effects to carry out, and a view of everything for the page. All of it is plain data in the
//! core's own time; the shell turns it into topics, log lines and JSON.

use std::fmt;

use serde::{Deserialize, Serialize};
use whichroom_wire::aggregator::{DeviceState, HouseState, MovedKind};
use whichroom_wire::{Change, Host, Id, Mac, Radio, Request, Station};

use crate::Moment;
use crate::calibration::{CalibrateError, NotCalibrated, Sample};
use crate::setup::SsidKind;

/// Something for the shell to do. Each carries the whole new state of its thing, never a part.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Publish a person, retained.
    Person(PersonView),
    /// Publish a room, retained.
    Room(RoomView),
    /// Publish a device, retained; configured devices only.
    Device(DeviceView),
    /// Publish the house, retained.
    House(HouseView),
    /// A person arrived, left or changed room: event, log line.
    Moved(Moved),
    /// A device roamed: event.
    Roamed(Roamed),
    /// A problem began or ended: log line, page.
    Problem(Problem),
    /// A problem is over.
    ProblemOver(Problem),
    /// A new room came with an AP that no configuration names: discovery before states.
    NewRoom(RoomView),
    /// A calibration is done: keep [`Engine::samples`](crate::Engine::samples), answer, log line.
    Calibrated(Sample),
    /// An older sample had to go for a new one: log line.
    Forgotten(Sample),
    /// A calibration gave nothing: answer, log line.
    NotCalibrated(NotCalibrated),
    /// Send a request to an access point, not retained.
    Ask {
        /// The access point.
        ap: Id,
        /// What to ask it.
        request: Request,
    },
}

/// What an access point said that counted: not of another one with its name, not of an earlier boot, in order, and
/// with its time on our clock. Of all stations, also those no configuration names.
#[derive(Debug, Clone, PartialEq)]
pub struct Witnessed {
    /// Who said it.
    pub ap: Id,
    /// When it was so.
    pub at: Moment,
    /// What.
    pub fact: Fact,
}

/// See [`Witnessed`].
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// Its agent restarted: the next table tells which associations are left.
    Restarted,
    /// All its BSSs; also as the broker kept them.
    Radios(Vec<Radio>),
    /// Its whole table.
    Table(Vec<Station>),
    /// Something a station did, or it heard of one. Departures only where no event before was lost.
    Event {
        /// The station.
        mac: Mac,
        /// The BSS.
        bssid: Mac,
        /// What.
        change: Change,
    },
}

/// A fact that decided, with its figures. `Display` says it in plain words.
///
/// Texts are short, name APs and devices by their names, and put figures with their units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason(pub String);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a person is home.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Home {
    /// Home.
    Home,
    /// Away.
    Away,
    /// Never decided yet.
    Undecided,
}

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Home::Home => "home",
            Home::Away => "away",
            Home::Undecided => "undecided",
        })
    }
}

/// A person, as published.
#[derive(Debug, Clone, PartialEq)]
pub struct PersonView {
    /// From the configuration.
    pub id: Id,
    /// From the configuration.
    pub name: String,
    /// Home, away, undecided.
    pub home: Home,
    /// Room by id; `None` when away, undecided, not known, or not to be known.
    pub room: Option<Id>,
    /// The same by name.
    pub room_name: Option<String>,
    /// Only home or away is to be known of them.
    pub home_only: bool,
    /// In percent, in steps of 5.
    pub confidence: u8,
    /// In this state and room since.
    pub since: Moment,
    /// Home or away since.
    pub home_since: Moment,
    /// What decided.
    pub because: Vec<Reason>,
    /// Nobody could tell since then.
    pub stale_since: Option<Moment>,
    /// The device that says so.
    pub device: Option<Id>,
}

/// A room, as published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomView {
    /// From the configuration, or its AP's id.
    pub id: Id,
    /// For people.
    pub name: String,
    /// Whether anybody is in it; `None` while somebody who may be is not decided yet.
    pub occupied: Option<bool>,
    /// Names of those in it, in order of the configuration.
    pub people: Vec<String>,
    /// Which storey it is on, 0 the ground floor; its access point's if none is given.
    pub floor: Option<i8>,
    /// In the open: not inside the house.
    pub outdoor: bool,
}

/// Where a device may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LikelyRooms {
    /// The address it uses or used last.
    pub mac: Mac,
    /// Rooms and how likely each is, in percent in steps of 5, the likeliest first; none if it is away.
    pub rooms: Vec<(Id, u8)>,
}

/// A device, as published.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceView {
    /// From the configuration.
    pub id: Id,
    /// From the configuration.
    pub name: String,
    /// Whose it is.
    pub person: Option<Id>,
    /// Present, fading, absent, undecided.
    pub state: DeviceState,
    /// AP it is or was last on.
    pub ap: Option<Id>,
    /// BSS it is or was last on.
    pub bssid: Option<Mac>,
    /// MAC it uses or used last.
    pub mac: Option<Mac>,
    /// Last signal there.
    pub signal_dbm: Option<i8>,
    /// Room by id.
    pub room: Option<Id>,
    /// The same by name.
    pub room_name: Option<String>,
    /// In this state since.
    pub since: Moment,
    /// Last proof of life.
    pub last_heard: Option<Moment>,
    /// How often it was heard, and by how many.
    pub heard: Heard,
    /// What decided.
    pub because: Vec<Reason>,
}

/// The house, as published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HouseView {
    /// Occupied, empty, undecided.
    pub state: HouseState,
    /// Since when.
    pub since: Moment,
    /// Names of the people at home.
    pub people: Vec<String>,
    /// Unknown devices on guest networks.
    pub guests: u32,
    /// What decided.
    pub because: Vec<Reason>,
    /// Problems that keep decisions from being made.
    pub problems: Vec<String>,
}

/// A person moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Who.
    pub person: Id,
    /// Their name.
    pub name: String,
    /// What happened.
    pub kind: MovedKind,
    /// Room by id before; `None` for away or unknown.
    pub from: Option<Id>,
    /// Room by id now.
    pub to: Option<Id>,
    /// The room's name, "Away", "Home" or "Unclear", as in the person's topic.
    pub from_name: String,
    /// The same now.
    pub to_name: String,
    /// What decided.
    pub because: Vec<Reason>,
    /// When it was decided.
    pub at: Moment,
}

/// A device's association went from one BSS to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roamed {
    /// Which.
    pub device: Id,
    /// AP before.
    pub from_ap: Id,
    /// AP now; the same for a change of band.
    pub to_ap: Id,
    /// BSS now.
    pub bssid: Mac,
    /// When.
    pub at: Moment,
}

/// Something the person who runs this should know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The AP it is about.
    pub ap: Option<Id>,
    /// What is wrong and what to do, in words.
    pub text: String,
}

/// How an AP is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Configured, never heard of.
    NeverSeen,
    /// Live messages come.
    Reporting,
    /// Its agent says or its will said so, or nothing came for too long.
    Offline,
    /// Its agent speaks a newer schema.
    TooNew,
}

/// How often a device was heard, and by how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Heard {
    /// Minutes in which any access point heard it, or it reported one; at most a week of them.
    pub minutes: u32,
    /// Those of them in which several access points took part.
    pub by_several: u32,
}

impl Heard {
    /// Share of the minutes in which several access points took part; `None` before the first minute.
    pub fn percent(self) -> Option<u32> {
        (self.by_several * 100).checked_div(self.minutes)
    }
}

/// The last calibration of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CalibrationView {
    /// The device.
    pub device: Id,
    /// The room it was told to be in.
    pub room: Id,
    /// How far it is.
    pub stage: Stage,
}

/// How far a calibration is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// It listens.
    Listening {
        /// Until then.
        until: Moment,
    },
    /// It gave a sample.
    Done {
        /// Its id.
        sample: u32,
    },
    /// It gave nothing.
    Failed(CalibrateError),
}

/// An access point, for the page.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessPointView {
    /// In the topics.
    pub id: Id,
    /// For people.
    pub name: String,
    /// Room by id.
    pub room: Id,
    /// The same by name.
    pub room_name: String,
    /// People leave home past it.
    pub exit: bool,
    /// How it is doing.
    pub link: Link,
    /// Its last live message.
    pub last_live: Option<Moment>,
    /// Nobody waits for it until it reports again.
    pub given_up: bool,
    /// The agent's version.
    pub version: Option<String>,
    /// What the agent reads.
    pub sources: Vec<String>,
    /// What the agent says is wrong.
    pub problems: Vec<String>,
    /// OpenWrt's release.
    pub release: Option<String>,
    /// Its BSSs.
    pub radios: Vec<Radio>,
    /// Authorised stations in its table.
    pub stations: u32,
    /// Messages or elements dropped as unreadable or absurd.
    pub rejected: u64,
    /// The last of them, in words.
    pub last_rejected: Option<String>,
    /// Messages of a second AP of the same name that were ignored.
    pub duplicates: u64,
    /// Gaps found in the sequence of event messages.
    pub gaps: u64,
}

/// An associated device no configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownView {
    /// Its address.
    pub mac: Mac,
    /// AP it is on.
    pub ap: Id,
    /// Network it is on.
    pub ssid: Option<String>,
    /// Whom that network is for.
    pub kind: SsidKind,
    /// Its host name and address, from the router.
    pub host: Option<Host>,
    /// Since when.
    pub since: Moment,
    /// It has not left for three days: a plug or a repeater, no guest.
    pub fixture: bool,
    /// Last signal.
    pub signal_dbm: Option<i8>,
}

/// An address of a configured device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressView {
    /// Whose it is.
    pub device: Id,
    /// The address.
    pub mac: Mac,
    /// Its host name and address, from the router.
    pub host: Option<Host>,
    /// Of its owner only home or away is to be known.
    pub home_only: bool,
}

/// Everything, for the page.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// The house.
    pub house: HouseView,
    /// People in order of the configuration.
    pub people: Vec<PersonView>,
    /// Rooms: configured ones first, then those that came with APs.
    pub rooms: Vec<RoomView>,
    /// Configured devices.
    pub devices: Vec<DeviceView>,
    /// Their addresses, in order.
    pub addresses: Vec<AddressView>,
    /// Access points: configured ones first, then in order of id.
    pub access_points: Vec<AccessPointView>,
    /// Unknown devices, at most a hundred.
    pub unknown: Vec<UnknownView>,
    /// What is wrong now.
    pub problems: Vec<Problem>,
    /// How often devices were heard by several access points, all together.
    pub heard: Heard,
    /// The last calibration of each device since the start, or the last change of the setup.
    pub calibrations: Vec<CalibrationView>,
    /// As [`Engine::samples_revision`](crate::Engine::samples_revision).
    pub samples_revision: u64,
}

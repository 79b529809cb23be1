//! What the aggregator publishes: one retained JSON object per thing, so that a move is atomic, and two events.
//! Home Assistant's templates read these fields; see ARCHITECTURE.md.

use serde::{Deserialize, Serialize};

use crate::{Id, Mac, SCHEMA};

/// Payload of [`Topic::Status`](crate::Topic::Status) while the aggregator runs.
pub const ONLINE: &str = "online";

/// Payload of [`Topic::Status`](crate::Topic::Status) after it stopped; also its will.
pub const OFFLINE: &str = "offline";

/// Whether anybody is home. "Empty" is what an alarm is armed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HouseState {
    /// Somebody is home.
    Occupied,
    /// Nobody is home, and that is known.
    Empty,
    /// Not decided yet.
    Undecided,
}

/// Retained at `house`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct House {
    /// [`SCHEMA`](crate::SCHEMA).
    pub schema: u32,
    /// The decision.
    pub state: HouseState,
    /// Since when, RFC 3339 with offset.
    pub since: String,
    /// Names of the people at home.
    pub people: Vec<String>,
    /// Unknown devices on a guest SSID.
    pub guests: u32,
    /// What decided, in words.
    pub because: Vec<String>,
    /// Problems that keep decisions from being made, in words; empty if all is well.
    pub problems: Vec<String>,
}

/// State of Home Assistant's device tracker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tracker {
    /// At home.
    #[serde(rename = "home")]
    Home,
    /// Away.
    #[serde(rename = "not_home")]
    NotHome,
    /// Never decided yet; Home Assistant's reset payload.
    #[serde(rename = "None")]
    Undecided,
}

/// Extra attributes of Home Assistant's device tracker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackerAttributes {
    /// `["zone.home"]` or empty; without it `zone.home` stays 0 since Home Assistant 2026.7.
    pub in_zones: Vec<String>,
    /// The room's name, as in [`Person::room`].
    pub room: String,
}

/// Retained at `person/<id>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// [`SCHEMA`](crate::SCHEMA).
    pub schema: u32,
    /// The person's name.
    pub name: String,
    /// Home, away or undecided.
    pub tracker: Tracker,
    /// The room's name, or one of [`ROOM_AWAY`], [`ROOM_HOME`] and [`ROOM_UNCLEAR`].
    pub room: String,
    /// Confidence in the room, in percent, in steps of 5.
    pub confidence: u8,
    /// In this room since, RFC 3339 with offset.
    pub since: String,
    /// For the tracker.
    pub attributes: TrackerAttributes,
    /// What decided, in words.
    pub because: Vec<String>,
    /// Since when no access point that could tell has reported, RFC 3339; `None` while one does.
    pub stale_since: Option<String>,
}

/// [`Person::room`] of somebody away.
pub const ROOM_AWAY: &str = "Away";
/// [`Person::room`] of somebody at home whose room nobody is to know.
pub const ROOM_HOME: &str = "Home";
/// [`Person::room`] of somebody whose room is not known.
pub const ROOM_UNCLEAR: &str = "Unclear";

/// Retained at `room/<id>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// [`SCHEMA`](crate::SCHEMA).
    pub schema: u32,
    /// The room's name.
    pub name: String,
    /// Whether anybody is in it; `None` while somebody who may be is not decided yet.
    pub occupied: Option<bool>,
    /// Names of those who are.
    pub people: Vec<String>,
}

/// What is known of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceState {
    /// Associated with an access point.
    Present,
    /// Gone from its access point; not for long enough to call it away.
    Fading,
    /// Away.
    Absent,
    /// Never decided yet.
    Undecided,
}

/// Retained at `device/<id>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// [`SCHEMA`](crate::SCHEMA).
    pub schema: u32,
    /// The device's name.
    pub name: String,
    /// Present, fading, absent or undecided.
    pub state: DeviceState,
    /// The access point it is or was last associated with.
    pub ap: Option<Id>,
    /// Its BSSID.
    pub bssid: Option<Mac>,
    /// Last signal there, in dBm.
    pub signal_dbm: Option<i8>,
    /// The room's name.
    pub room: Option<String>,
    /// In this state since, RFC 3339 with offset.
    pub since: String,
    /// What decided, in words.
    pub because: Vec<String>,
}

/// Kinds of [`Moved`]; Home Assistant's event types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MovedKind {
    /// Came home.
    Arrived,
    /// Left home.
    Left,
    /// Went from one room to another.
    ChangedRoom,
}

/// Sent to `person/<id>/moved`, not retained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// [`SCHEMA`](crate::SCHEMA).
    pub schema: u32,
    /// What happened.
    pub event_type: MovedKind,
    /// The room before, as in [`Person::room`].
    pub from: String,
    /// The room now.
    pub to: String,
    /// What decided, in words.
    pub because: Vec<String>,
}

/// Sent to `device/<id>/roamed`, not retained: an association moved from one BSS to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roamed {
    /// [`SCHEMA`](crate::SCHEMA).
    pub schema: u32,
    /// Always `roamed`.
    pub event_type: RoamedKind,
    /// The AP before.
    pub from_ap: Id,
    /// The AP now; the same for a change of band.
    pub to_ap: Id,
    /// The BSSID now.
    pub bssid: Mac,
}

/// The only kind of [`Roamed`]; Home Assistant wants an event type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RoamedKind {
    /// A roam.
    Roamed,
}

/// Retained at `device/<id>/thrashing`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceThrashing {
    /// [`SCHEMA`](crate::SCHEMA).
    pub schema: u32,
    /// The device's name.
    pub name: String,
    /// `None` if it does not thrash, or nobody knows yet.
    pub thrashing: Option<Thrashing>,
}

/// A device goes to and fro between access points.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thrashing {
    /// Since when, RFC 3339 with offset.
    pub since: String,
    /// Changes since then; told anew once a minute at most.
    pub changes: u32,
    /// The APs it goes between.
    pub between: Vec<Id>,
}

/// Sent to `calibrate` by whoever may: "I am in the kitchen now".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calibrate {
    /// [`SCHEMA`](crate::SCHEMA).
    pub schema: u32,
    /// The device's id, or its person's.
    pub device: Id,
    /// The room's id.
    pub room: Id,
}

/// Largest [`Calibrate`] that is read, in bytes.
pub const CALIBRATE_PAYLOAD_MAX: usize = 4096;

impl Calibrate {
    /// Reads a payload; the error says what is wrong with it.
    pub fn decode(payload: &[u8]) -> Result<Calibrate, String> {
        if payload.len() > CALIBRATE_PAYLOAD_MAX {
            return Err(format!(
                "{} bytes are too many; at most {CALIBRATE_PAYLOAD_MAX} are read",
                payload.len()
            ));
        }
        let read: Calibrate = serde_json::from_slice(payload).map_err(|error| {
            format!(r#"{error}; a payload reads {{"schema":1,"device":"ada-phone","room":"kitchen"}}"#)
        })?;
        if read.schema != SCHEMA {
            return Err(format!("schema is {}, this release knows {SCHEMA}", read.schema));
        }
        Ok(read)
    }
}

/// Sent to `calibrated`, not retained: what became of a [`Calibrate`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calibrated {
    /// [`SCHEMA`](crate::SCHEMA).
    pub schema: u32,
    /// The device; as it was asked for, if it is refused. `None` if the payload did not read.
    pub device: Option<Id>,
    /// The room.
    pub room: Option<Id>,
    /// The sample that was kept; `None` if there is none.
    pub sample: Option<u32>,
    /// Rooms that the samples cannot tell from this one.
    pub alike: Vec<Id>,
    /// Why there is none, and what to do, in words.
    pub error: Option<String>,
}

/// Writes one of this module's messages.
pub fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    // Only a map with keys that are no strings, or a failing Serialize, makes this fail; there is neither.
    serde_json::to_vec(message).unwrap_or_default()
}

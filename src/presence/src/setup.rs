//! What the home is: access points, rooms, people, their devices, and networks. The aggregator reads it from its
//! configuration; access points it does not name are added as they appear, with a room named after them.
//!
//! A recording carries the setup it was made with, as JSON: a field that is added later has a `serde(default)`, so that
//! older recordings go on being read.

use serde::{Deserialize, Serialize};
use whichroom_wire::{Id, Mac};

/// The whole home. Ids are unique within each list, and a MAC belongs to one device; the aggregator's
/// configuration check sees to both.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Setup {
    /// Access points known beforehand.
    pub access_points: Vec<AccessPointSetup>,
    /// Rooms known beforehand.
    pub rooms: Vec<RoomSetup>,
    /// The people.
    pub people: Vec<PersonSetup>,
    /// Devices that belong to nobody.
    pub devices: Vec<DeviceSetup>,
    /// Networks with a kind; others are family networks.
    pub ssids: Vec<SsidSetup>,
    /// How long things take.
    pub timing: Timing,
}

/// An access point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessPointSetup {
    /// Its id in the topics.
    pub id: Id,
    /// For people.
    pub name: String,
    /// The room it stands in; its own room, named after it, if none is given.
    #[serde(default)]
    pub room: Option<Id>,
    /// Which storey it stands on, 0 the ground floor; that of its room if none is given.
    pub floor: Option<i8>,
    /// People leave home past it: a device that is gone from it is soon away.
    #[serde(default)]
    pub exit: bool,
}

/// A room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomSetup {
    /// Its id in the topics.
    pub id: Id,
    /// For people.
    pub name: String,
    /// Rooms one can walk to from here.
    #[serde(default)]
    pub adjoins: Vec<Id>,
    /// Which storey it is on, 0 the ground floor.
    pub floor: Option<i8>,
    /// In the open: not inside the house.
    #[serde(default)]
    pub outdoor: bool,
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonSetup {
    /// Its id in the topics.
    pub id: Id,
    /// For people.
    pub name: String,
    /// What of them is kept and published.
    #[serde(default)]
    pub detail: Detail,
    /// Their devices.
    pub devices: Vec<DeviceSetup>,
}

/// What is kept and published of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Detail {
    /// Home or away, and the room.
    #[default]
    Rooms,
    /// Home or away only: no room, no history.
    HomeOnly,
}

/// A device: one phone, which may have several MACs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSetup {
    /// Its id in the topics.
    pub id: Id,
    /// For people.
    pub name: String,
    /// Private MACs differ from network to network.
    pub macs: Vec<Mac>,
    /// What it says of its person.
    #[serde(default)]
    pub counts: Counts,
}

/// What a device says of its person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Counts {
    /// Home and room.
    #[default]
    Always,
    /// Nothing about home or away; the room of somebody who is home.
    RoomOnly,
    /// Nothing.
    Never,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SsidSetup {
    /// Its name in the air.
    pub name: String,
    /// Who uses it.
    #[serde(default)]
    pub kind: SsidKind,
}

/// Who uses a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SsidKind {
    /// The people of the house.
    #[default]
    Family,
    /// Guests: unknown devices on it are counted.
    Guest,
    /// Things: unknown devices on it are no guests.
    Iot,
}

/// How long things take, in milliseconds. `Timing::default()` is right for a home; only tests change it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Timing {
    /// From *gone* at an exit AP to away where a leave frame came after the signal had faded: nothing else looks like it.
    pub left_ms: u64,
    /// From *gone* at an exit AP, having left or faded, to away.
    pub exit_ms: u64,
    /// From *gone* to away at most, where nothing looked like leaving; less where the device's own silences are shorter.
    pub interior_ms: u64,
    /// A disassociation waits this long for a new association.
    pub debounce_ms: u64,
    /// Longest silence between two live messages of an AP that counts as reporting.
    pub reporting_ms: u64,
    /// Blindness after which a problem is said.
    pub blind_said_ms: u64,
    /// A blind AP that a device was not last seen on holds its departure back for so long at most, while all others
    /// watch; half of it where the AP stands in the open.
    pub blind_held_ms: u64,
    /// One of a person's devices is away for so long before another that has not moved since counts no more.
    pub left_behind_ms: u64,
    /// Blindness after which an AP leaves the required set.
    pub blind_given_up_ms: u64,
    /// The same for devices that were last seen on it.
    pub blind_forgotten_ms: u64,
    /// Listed without rx progress for longer is a phantom; sooner where the device's own sleep is shorter.
    pub phantom_ms: u64,
    /// Nobody is home for this long before the house is empty.
    pub empty_hold_ms: u64,
}

impl Default for Timing {
    fn default() -> Timing {
        const MINUTE: u64 = 60_000;
        const HOUR: u64 = 60 * MINUTE;
        Timing {
            // What is watched is known when the next table comes, 30 s later at most.
            left_ms: 12_000,
            exit_ms: 110_000,
            interior_ms: 12 * HOUR,
            debounce_ms: 3_000,
            reporting_ms: 45_000,
            blind_said_ms: 30 * MINUTE,
            blind_held_ms: 3 * HOUR + 20 * MINUTE,
            left_behind_ms: 10 * MINUTE,
            blind_given_up_ms: 24 * HOUR,
            blind_forgotten_ms: 72 * HOUR,
            phantom_ms: 12 * HOUR,
            empty_hold_ms: MINUTE,
        }
    }
}

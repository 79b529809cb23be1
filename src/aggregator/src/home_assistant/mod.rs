//! What Home Assistant is told about the home: one discovery payload per device (hub, person, room, station), whose entities read
//! the retained topics that `topics.rs` fills. Pure; the main loop compares and sends through [`Published`].
//!
//! The rules behind it, all met on a real Home Assistant: one bad key at the top loses the whole device, so only keys of
//! 2025 and before are used there; a tracker has no availability, or our restart would make everybody leave; a state
//! that is no option of its sensor is dropped, so every wording of a room is an option.

mod published;
#[cfg(test)]
mod rules;

pub use published::{Desired, Owned, Published};

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use whichroom_presence::output::{DeviceView, PersonView, View};
use whichroom_wire::aggregator::{ROOM_AWAY, ROOM_HOME, ROOM_UNCLEAR};
use whichroom_wire::{Id, Root, Topic};

/// Discovery payloads by topic. Home Assistant wants the hub first; the topics sort so: hub, person, room, station.
pub type Discovery = BTreeMap<String, Value>;

/// The home as Home Assistant shall know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// The site's id, part of every identifier.
    pub site: Id,
    /// Address of our page as a browser of the house reaches it, if one is configured.
    pub page_url: Option<String>,
    /// Every room, also those that came with access points.
    pub rooms: Vec<Room>,
    /// The people.
    pub people: Vec<Person>,
    /// Configured devices.
    pub devices: Vec<Device>,
}

/// A room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// Its id in the topics.
    pub id: Id,
    /// For people; also the name of Home Assistant's area.
    pub name: String,
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Its id in the topics.
    pub id: Id,
    /// For people.
    pub name: String,
    /// Only home or away is to be known: no room, no confidence.
    pub home_only: bool,
}

/// A configured device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its id in the topics.
    pub id: Id,
    /// For people.
    pub name: String,
    /// How it roams is told of: a history is kept, and it is not somebody's of whom only home or away is to be known.
    pub may_be_followed: bool,
}

impl Home {
    /// The home as the engine sees it now. Without a history nothing is known of how devices roam.
    pub fn of(site: &Id, page_url: Option<&str>, view: &View, keeps_history: bool) -> Home {
        let rooms = view.rooms.iter().map(|room| Room { id: room.id.clone(), name: room.name.clone() });
        let people = view.people.iter().map(|person| Person {
            id: person.id.clone(),
            name: person.name.clone(),
            home_only: person.home_only,
        });
        Home {
            site: site.clone(),
            page_url: page_url.map(str::to_owned),
            rooms: rooms.collect(),
            people: people.collect(),
            devices: view.devices.iter().map(|device| of_device(device, view, keeps_history)).collect(),
        }
    }

    /// Devices whose thrashing is told of.
    pub fn followed(&self) -> impl Iterator<Item = &Device> {
        self.devices.iter().filter(|device| device.may_be_followed)
    }

    /// Retained topics of things that can go away; they are emptied when their thing does.
    fn states(&self) -> BTreeSet<String> {
        let root = Root::new(&self.site);
        let people = self.people.iter().map(|person| Topic::Person(person.id.clone()));
        let rooms = self.rooms.iter().map(|room| Topic::Room(room.id.clone()));
        let devices = self.devices.iter().map(|device| Topic::Device(device.id.clone()));
        let thrashing = self.followed().map(|device| Topic::DeviceThrashing(device.id.clone()));
        people.chain(rooms).chain(devices).chain(thrashing).map(|topic| root.full(&topic)).collect()
    }
}

fn of_device(device: &DeviceView, view: &View, keeps_history: bool) -> Device {
    let is_owner = |person: &&PersonView| device.person.as_ref() == Some(&person.id);
    let owner = view.people.iter().find(is_owner);
    let is_private = owner.is_some_and(|person| person.home_only);
    // Two people may each have a "phone": without their names nobody could tell which one is meant.
    let is_shared = view.devices.iter().any(|other| other.id != device.id && other.name == device.name);
    let name = match owner.filter(|_| is_shared) {
        Some(owner) => format!("{} {}", owner.name, device.name),
        None => device.name.clone(),
    };
    Device { id: device.id.clone(), name, may_be_followed: keeps_history && !is_private }
}

/// Where Home Assistant says `online` after a start, not retained; everything is repeated then.
pub fn birth_topic(prefix: &str) -> String {
    format!("{prefix}/status")
}

/// Home Assistant's birth message.
pub const BORN: &[u8] = b"online";

/// The discovery payload of every device of the home, below Home Assistant's discovery prefix.
pub fn discovery(home: &Home, prefix: &str) -> Discovery {
    let writer = Writer { home, root: Root::new(&home.site) };
    let mut payloads = Discovery::new();
    let mut add = |identifier: String, payload: Value| {
        payloads.insert(format!("{prefix}/device/{identifier}/config"), payload);
    };
    add(writer.hub_identifier(), writer.hub());
    for person in &home.people {
        add(writer.identifier("person", &person.id), writer.person(person));
    }
    for room in &home.rooms {
        add(writer.identifier("room", &room.id), writer.room(room));
    }
    for device in home.followed() {
        add(writer.identifier("station", &device.id), writer.station(device));
    }
    payloads
}

/// What the payloads of one home have in common.
struct Writer<'a> {
    home: &'a Home,
    root: Root,
}

impl Writer<'_> {
    fn hub(&self) -> Value {
        let identifier = self.hub_identifier();
        let house = self.root.full(&Topic::House);
        json!({
            "device": self.device(&identifier, "WhichRoom", "Presence hub", ""),
            "origin": origin(),
            "qos": 1,
            "state_topic": house,
            "components": {
                "connected": {
                    "platform": "binary_sensor", "unique_id": format!("{identifier}_connected"), "name": "Connected",
                    "default_entity_id": "binary_sensor.whichroom_connected",
                    "device_class": "connectivity", "entity_category": "diagnostic",
                    "state_topic": self.status(), "payload_on": "online", "payload_off": "offline",
                },
                "occupied": {
                    "platform": "binary_sensor", "unique_id": format!("{identifier}_occupied"),
                    "name": "House occupied", "default_entity_id": "binary_sensor.house_occupied",
                    "device_class": "occupancy", "availability": self.availability(),
                    // "None" is unknown: an undecided house is neither empty nor occupied.
                    "value_template": "{{ 'None' if value_json.state == 'undecided' else value_json.state }}",
                    "payload_on": "occupied", "payload_off": "empty",
                    "json_attributes_topic": house,
                    "json_attributes_template":
                        "{{ {'because': value_json.because, 'since': value_json.since} | tojson }}",
                },
                "people": {
                    "platform": "sensor", "unique_id": format!("{identifier}_people"), "name": "People home",
                    "default_entity_id": "sensor.people_home", "icon": "mdi:home-account",
                    "state_class": "measurement", "unit_of_measurement": "people",
                    "availability": self.availability(),
                    "value_template":
                        "{{ 'None' if value_json.state == 'undecided' else value_json.people | length }}",
                    "json_attributes_topic": house,
                    "json_attributes_template":
                        "{{ {'people': value_json.people, 'guests': value_json.guests} | tojson }}",
                },
                "problem": {
                    "platform": "binary_sensor", "unique_id": format!("{identifier}_problem"), "name": "Problem",
                    "default_entity_id": "binary_sensor.whichroom_problem",
                    "device_class": "problem", "entity_category": "diagnostic",
                    "availability": self.availability(),
                    "value_template": "{{ 'ON' if value_json.problems else 'OFF' }}",
                    "json_attributes_topic": house,
                    "json_attributes_template": "{{ {'problems': value_json.problems} | tojson }}",
                },
            },
        })
    }

    fn person(&self, person: &Person) -> Value {
        let identifier = self.identifier("person", &person.id);
        let topic = self.root.full(&Topic::Person(person.id.clone()));
        let mut components = json!({
            "tracker": {
                "platform": "device_tracker", "unique_id": format!("{identifier}_tracker"),
                // The main entity: it carries the device's name.
                "name": null, "default_entity_id": entity_id("device_tracker", &person.id, "whichroom"),
                "source_type": "router", "value_template": "{{ value_json.tracker }}", "payload_reset": "None",
                "json_attributes_topic": topic,
                "json_attributes_template": "{{ value_json.attributes | tojson }}",
            },
            "moved": {
                "platform": "event", "unique_id": format!("{identifier}_moved"), "name": "Moved",
                "default_entity_id": entity_id("event", &person.id, "moved"), "icon": "mdi:transit-transfer",
                "availability": self.availability(),
                "event_types": ["arrived", "left", "changed_room"],
                "state_topic": self.root.full(&Topic::PersonMoved(person.id.clone())),
            },
        });
        if !person.home_only {
            components["room"] = json!({
                "platform": "sensor", "unique_id": format!("{identifier}_room"), "name": "Room",
                "default_entity_id": entity_id("sensor", &person.id, "room"), "icon": "mdi:map-marker-account",
                "device_class": "enum", "options": self.room_options(),
                "availability": self.availability(), "value_template": "{{ value_json.room }}",
                "json_attributes_topic": topic,
                "json_attributes_template": "{{ {'because': value_json.because, 'since': value_json.since, \
                    'stale_since': value_json.stale_since} | tojson }}",
            });
            components["confidence"] = json!({
                "platform": "sensor", "unique_id": format!("{identifier}_confidence"), "name": "Confidence",
                "default_entity_id": entity_id("sensor", &person.id, "confidence"), "icon": "mdi:percent",
                "entity_category": "diagnostic", "state_class": "measurement", "unit_of_measurement": "%",
                "suggested_display_precision": 0,
                "availability": self.availability(), "value_template": "{{ value_json.confidence }}",
            });
        }
        let name = label(&person.name, &person.id);
        let mut device = self.device(&identifier, name, "Person", &format!("#person-{}", person.id));
        device["via_device"] = json!(self.hub_identifier());
        json!({
            "device": device, "origin": origin(), "qos": 1, "state_topic": topic, "components": components,
        })
    }

    fn room(&self, room: &Room) -> Value {
        let identifier = self.identifier("room", &room.id);
        let topic = self.root.full(&Topic::Room(room.id.clone()));
        let name = label(&room.name, &room.id);
        let mut device =
            self.device(&identifier, &format!("{name} presence"), "Room", &format!("#room-{}", room.id));
        device["via_device"] = json!(self.hub_identifier());
        device["suggested_area"] = json!(name);
        json!({
            "device": device,
            "origin": origin(),
            "qos": 1,
            "state_topic": topic,
            "availability": self.availability(),
            "components": {
                "occupancy": {
                    "platform": "binary_sensor", "unique_id": format!("{identifier}_occupancy"),
                    "name": "Occupancy", "default_entity_id": entity_id("binary_sensor", &room.id, "occupancy"),
                    "device_class": "occupancy",
                    "value_template": "{{ 'None' if value_json.occupied is none else 'ON' if value_json.occupied else 'OFF' }}",
                    "json_attributes_topic": topic,
                    "json_attributes_template": "{{ {'people': value_json.people} | tojson }}",
                },
                "people": {
                    "platform": "sensor", "unique_id": format!("{identifier}_people"), "name": "People",
                    "default_entity_id": entity_id("sensor", &room.id, "people"), "icon": "mdi:account-multiple",
                    "state_class": "measurement", "unit_of_measurement": "people",
                    "value_template":
                        "{{ 'None' if value_json.occupied is none else value_json.people | length }}",
                },
            },
        })
    }

    fn station(&self, device: &Device) -> Value {
        let identifier = self.identifier("station", &device.id);
        let topic = self.root.full(&Topic::DeviceThrashing(device.id.clone()));
        let name = label(&device.name, &device.id);
        let mut described = self.device(&identifier, name, "Wi-Fi client", "roaming#timeline");
        described["via_device"] = json!(self.hub_identifier());
        json!({
            "device": described,
            "origin": origin(),
            "qos": 1,
            "state_topic": topic,
            "availability": self.availability(),
            "components": {
                "thrashing": {
                    "platform": "binary_sensor", "unique_id": format!("{identifier}_thrashing"),
                    "name": "Thrashing",
                    "default_entity_id": entity_id("binary_sensor", &device.id, "thrashing"),
                    "device_class": "problem", "entity_category": "diagnostic",
                    "value_template": "{{ 'ON' if value_json.thrashing else 'OFF' }}",
                    "json_attributes_topic": topic,
                    // Nothing to say is no attributes: the template must give an object.
                    "json_attributes_template": "{{ (value_json.thrashing or {}) | tojson }}",
                },
                "roamed": {
                    "platform": "event", "unique_id": format!("{identifier}_roamed"), "name": "Roamed",
                    "default_entity_id": entity_id("event", &device.id, "roamed"), "icon": "mdi:wifi-sync",
                    "entity_category": "diagnostic",
                    "event_types": ["roamed"],
                    "state_topic": self.root.full(&Topic::DeviceRoamed(device.id.clone())),
                },
            },
        })
    }

    /// Every text a person's room can have. Home Assistant trims what a template gives, so the options are trimmed.
    fn room_options(&self) -> Vec<&str> {
        let mut options: Vec<&str> = Vec::new();
        let names = self.home.rooms.iter().map(|room| room.name.trim());
        for option in names.chain([ROOM_AWAY, ROOM_HOME, ROOM_UNCLEAR]) {
            if !option.is_empty() && !options.contains(&option) {
                options.push(option);
            }
        }
        options
    }

    fn device(&self, identifier: &str, name: &str, model: &str, page_part: &str) -> Value {
        let mut device = json!({
            "identifiers": [identifier], "name": name, "manufacturer": "WhichRoom", "model": model,
            "sw_version": env!("CARGO_PKG_VERSION"),
        });
        if let Some(url) = self.home.page_url.as_deref().filter(|url| is_web_address(url)) {
            device["configuration_url"] = json!(format!("{}/{page_part}", url.trim_end_matches('/')));
        }
        device
    }

    fn availability(&self) -> Value {
        json!([{"topic": self.status()}])
    }

    fn status(&self) -> String {
        self.root.full(&Topic::Status)
    }

    /// The one hub of a site; its kind is its id.
    fn hub_identifier(&self) -> String {
        format!("whichroom_{}_hub", self.home.site)
    }

    /// Components append their key, which has no underscore, so that no two of a site are equal.
    fn identifier(&self, kind: &str, id: &Id) -> String {
        format!("whichroom_{}_{kind}_{id}", self.home.site)
    }
}

fn origin() -> Value {
    json!({"name": "WhichRoom", "sw_version": env!("CARGO_PKG_VERSION")})
}

/// A name to show; Home Assistant calls a device without one by the broker's address.
fn label<'a>(name: &'a str, id: &'a Id) -> &'a str {
    let name = name.trim();
    if name.is_empty() { id.as_str() } else { name }
}

/// An entity id that Home Assistant takes as it is: one underscore between words, none at the ends.
fn entity_id(domain: &str, id: &Id, what: &str) -> String {
    let words = id.as_str().split(['-', '_']).filter(|word| !word.is_empty());
    let object: Vec<&str> = words.chain([what]).collect();
    format!("{domain}.{}", object.join("_"))
}

/// Home Assistant refuses the whole device for an address that is none.
fn is_web_address(url: &str) -> bool {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    rest.is_some_and(|rest| {
        !rest.is_empty() && !rest.starts_with('/') && rest.chars().all(|c| c.is_ascii_graphic())
    })
}

//! Every topic of the contract as one enum, and the site's root above them.

use std::fmt;

use crate::Id;

/// `whichroom/<site>/`, above every topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    prefix: String,
}

impl Root {
    /// The root of a site.
    pub fn new(site: &Id) -> Root {
        Root { prefix: format!("whichroom/{site}/") }
    }

    /// The full topic, as the broker sees it.
    pub fn full(&self, topic: &Topic) -> String {
        format!("{}{topic}", self.prefix)
    }

    /// The full form of a subscription below the root, such as `ap/+/status`.
    pub fn filter(&self, below: &str) -> String {
        format!("{}{below}", self.prefix)
    }

    /// What is below the root; `None` for another site's topic.
    pub fn below<'a>(&self, full: &'a str) -> Option<&'a str> {
        full.strip_prefix(&self.prefix)
    }
}

/// A topic below the root. `Display` writes it, [`Topic::parse`] reads it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// Retained [`Status`](crate::Status) of an AP's agent, also its will.
    ApStatus(Id),
    /// Retained [`Radios`](crate::Radios).
    ApRadios(Id),
    /// Retained [`Stations`](crate::Stations).
    ApStations(Id),
    /// [`Events`](crate::Events).
    ApEvents(Id),
    /// Retained [`Hosts`](crate::Hosts), from the agent on the router.
    ApHosts(Id),
    /// [`Request`](crate::Request) to an agent.
    ApRequest(Id),
    /// Retained [`Tracked`](crate::Tracked).
    Tracked,
    /// `online` or `offline` of the aggregator, retained, also its will.
    Status,
    /// The same of one instance, so that a second one is noticed.
    AggregatorStatus(Id),
    /// Retained [`House`](crate::aggregator::House).
    House,
    /// Retained [`Person`](crate::aggregator::Person).
    Person(Id),
    /// [`Moved`](crate::aggregator::Moved) of a person.
    PersonMoved(Id),
    /// Retained [`Room`](crate::aggregator::Room).
    Room(Id),
    /// Retained [`Device`](crate::aggregator::Device).
    Device(Id),
    /// [`Roamed`](crate::aggregator::Roamed) of a device.
    DeviceRoamed(Id),
    /// Retained [`DeviceThrashing`](crate::aggregator::DeviceThrashing).
    DeviceThrashing(Id),
    /// [`Calibrate`](crate::aggregator::Calibrate), from whoever may: a device is in a room now.
    Calibrate,
    /// [`Calibrated`](crate::aggregator::Calibrated): what became of it.
    Calibrated,
    /// A command to the aggregator by its name, from whoever may; one that is retained is ignored.
    Set(Id),
}

impl Topic {
    /// Reads a topic below the root; `None` if the contract has no such topic.
    pub fn parse(below: &str) -> Option<Topic> {
        let mut parts = below.split('/');
        let (first, second, third) = (parts.next()?, parts.next(), parts.next());
        if parts.next().is_some() {
            return None;
        }
        let id = |text: &str| text.parse::<Id>().ok();
        Some(match (first, second, third) {
            ("ap", Some(ap), Some("status")) => Topic::ApStatus(id(ap)?),
            ("ap", Some(ap), Some("radios")) => Topic::ApRadios(id(ap)?),
            ("ap", Some(ap), Some("stations")) => Topic::ApStations(id(ap)?),
            ("ap", Some(ap), Some("events")) => Topic::ApEvents(id(ap)?),
            ("ap", Some(ap), Some("hosts")) => Topic::ApHosts(id(ap)?),
            ("ap", Some(ap), Some("request")) => Topic::ApRequest(id(ap)?),
            ("tracked", None, None) => Topic::Tracked,
            ("status", None, None) => Topic::Status,
            ("aggregator", Some(instance), Some("status")) => Topic::AggregatorStatus(id(instance)?),
            ("house", None, None) => Topic::House,
            ("person", Some(person), None) => Topic::Person(id(person)?),
            ("person", Some(person), Some("moved")) => Topic::PersonMoved(id(person)?),
            ("room", Some(room), None) => Topic::Room(id(room)?),
            ("device", Some(device), None) => Topic::Device(id(device)?),
            ("device", Some(device), Some("roamed")) => Topic::DeviceRoamed(id(device)?),
            ("device", Some(device), Some("thrashing")) => Topic::DeviceThrashing(id(device)?),
            ("calibrate", None, None) => Topic::Calibrate,
            ("calibrated", None, None) => Topic::Calibrated,
            ("set", Some(command), None) => Topic::Set(id(command)?),
            _ => return None,
        })
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Topic::ApStatus(ap) => write!(f, "ap/{ap}/status"),
            Topic::ApRadios(ap) => write!(f, "ap/{ap}/radios"),
            Topic::ApStations(ap) => write!(f, "ap/{ap}/stations"),
            Topic::ApEvents(ap) => write!(f, "ap/{ap}/events"),
            Topic::ApHosts(ap) => write!(f, "ap/{ap}/hosts"),
            Topic::ApRequest(ap) => write!(f, "ap/{ap}/request"),
            Topic::Tracked => f.write_str("tracked"),
            Topic::Status => f.write_str("status"),
            Topic::AggregatorStatus(instance) => write!(f, "aggregator/{instance}/status"),
            Topic::House => f.write_str("house"),
            Topic::Person(person) => write!(f, "person/{person}"),
            Topic::PersonMoved(person) => write!(f, "person/{person}/moved"),
            Topic::Room(room) => write!(f, "room/{room}"),
            Topic::Device(device) => write!(f, "device/{device}"),
            Topic::DeviceRoamed(device) => write!(f, "device/{device}/roamed"),
            Topic::DeviceThrashing(device) => write!(f, "device/{device}/thrashing"),
            Topic::Calibrate => f.write_str("calibrate"),
            Topic::Calibrated => f.write_str("calibrated"),
            Topic::Set(command) => write!(f, "set/{command}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_reads_back_as_written() {
        let id: Id = "kitchen".parse().unwrap();
        let topics = [
            Topic::ApStatus(id.clone()),
            Topic::ApRadios(id.clone()),
            Topic::ApStations(id.clone()),
            Topic::ApEvents(id.clone()),
            Topic::ApHosts(id.clone()),
            Topic::ApRequest(id.clone()),
            Topic::Tracked,
            Topic::Status,
            Topic::AggregatorStatus(id.clone()),
            Topic::House,
            Topic::Person(id.clone()),
            Topic::PersonMoved(id.clone()),
            Topic::Room(id.clone()),
            Topic::Device(id.clone()),
            Topic::DeviceRoamed(id.clone()),
            Topic::DeviceThrashing(id.clone()),
            Topic::Calibrate,
            Topic::Calibrated,
            Topic::Set(id),
        ];
        let root = Root::new(&"home".parse().unwrap());
        for topic in topics {
            assert_eq!(root.below(&root.full(&topic)).and_then(Topic::parse), Some(topic));
        }
    }

    #[test]
    fn foreign_topics_are_none_of_ours() {
        for below in [
            "",
            "ap",
            "ap/Kitchen/status",
            "ap/a/b/c",
            "ap//status",
            "person",
            "person/a/b/c",
            "tracked/x",
            "calibrate/x",
        ] {
            assert_eq!(Topic::parse(below), None, "{below}");
        }
        let root = Root::new(&"home".parse().unwrap());
        assert_eq!(root.below("whichroom/homer/status"), None);
    }
}

//! "I am in the kitchen now": what was heard of a device in a room somebody named, as samples that the rooms' signal
//! models are built from. The engine collects; the shell keeps what [`Engine::samples`] says.
//!
//! [`Engine::samples`]: crate::Engine::samples

use std::fmt;

use serde::{Deserialize, Serialize};
use whichroom_wire::Id;

use crate::Moment;
use crate::engine::Engine;

/// Samples kept for a site.
pub const SAMPLES_MAX: usize = 200;

/// Samples kept of one device in one room.
pub const SAMPLES_PER_ROOM_MAX: usize = 20;

/// Two rooms are alike from here on: they would be taken for each other up to once in four times. In percent.
const ALIKE_PERCENT: u8 = 50;

/// Ids that are named in an error.
const NAMED_MAX: usize = 40;

/// How a device was heard in a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Tells it from the others; not used again after it was forgotten.
    pub id: u32,
    /// The device.
    pub device: Id,
    /// The room it was in.
    pub room: Id,
    /// When, RFC 3339; for people only, nothing depends on it.
    pub taken: String,
    /// For how long was listened.
    pub seconds: u32,
    /// How the access points heard it; in order of their ids.
    pub readings: Vec<SampleReading>,
    /// Access points that reported all the while and did not hear it; in order.
    pub silent: Vec<Id>,
    /// How the device itself heard the access points (802.11k): a downlink level, on another scale than `readings`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reported: Vec<SampleReading>,
}

/// How one access point heard a device, or the device it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleReading {
    /// The access point.
    pub ap: Id,
    /// The device was associated with it.
    pub associated: bool,
    /// Readings taken.
    pub count: u16,
    /// Their mean.
    pub mean_dbm: i8,
    /// Their standard deviation, rounded up.
    pub deviation_db: u8,
}

/// Two rooms that the samples cannot tell apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alike {
    /// The rooms.
    pub rooms: [Id; 2],
    /// How much of what is heard in them is the same.
    pub percent: u8,
}

/// All samples of a site, within [`SAMPLES_MAX`] and [`SAMPLES_PER_ROOM_MAX`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Samples {
    next_id: u32,
    list: Vec<Sample>,
}

impl Samples {
    /// Samples that were kept, and the id that comes next. Those that follow another of the same id are given a new
    /// one, and beyond the limits the oldest are left out.
    pub fn restored(next_id: u32, list: Vec<Sample>) -> Samples {
        let beyond = list.iter().map(|sample| sample.id.saturating_add(1)).max().unwrap_or(1);
        let mut samples = Samples { next_id: next_id.max(beyond).max(1), list: Vec::new() };
        for sample in list {
            if samples.list.iter().any(|known| known.id == sample.id) {
                samples.add(sample);
            } else {
                samples.keep(sample);
            }
        }
        samples
    }

    /// The samples, oldest first.
    pub fn list(&self) -> &[Sample] {
        &self.list
    }

    /// The id of the next sample.
    pub fn next_id(&self) -> u32 {
        self.next_id.max(1)
    }

    /// Gives a sample its id and keeps it; returns the older ones that had to go for it.
    pub(crate) fn add(&mut self, mut sample: Sample) -> Vec<Sample> {
        sample.id = self.next_id();
        self.next_id = sample.id.saturating_add(1);
        self.keep(sample)
    }

    fn keep(&mut self, sample: Sample) -> Vec<Sample> {
        let is_same = |known: &Sample| (&known.device, &known.room) == (&sample.device, &sample.room);
        let mut dropped = Vec::new();
        if self.list.iter().filter(|known| is_same(known)).count() >= SAMPLES_PER_ROOM_MAX {
            dropped.extend(self.list.iter().position(is_same).map(|oldest| self.list.remove(oldest)));
        }
        if self.list.len() >= SAMPLES_MAX {
            dropped.push(self.list.remove(0));
        }
        self.list.push(sample);
        dropped
    }

    /// Forgets a sample; false if there is none of this id.
    pub(crate) fn forget(&mut self, id: u32) -> bool {
        let before = self.list.len();
        self.list.retain(|sample| sample.id != id);
        self.list.len() != before
    }
}

impl From<Vec<Sample>> for Samples {
    fn from(list: Vec<Sample>) -> Samples {
        Samples::restored(1, list)
    }
}

/// A calibration that gave no sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotCalibrated {
    /// The device or person that was named.
    pub device: Id,
    /// The room that was named.
    pub room: Id,
    /// Why not.
    pub error: CalibrateError,
}

/// Why a calibration is refused, or gave nothing. `Display` says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CalibrateError {
    /// No device and no person has this id.
    UnknownDevice {
        /// What was asked for.
        asked: Id,
        /// People and devices there are.
        known: Vec<Id>,
    },
    /// No room has this id.
    UnknownRoom {
        /// What was asked for.
        asked: Id,
        /// Rooms there are.
        known: Vec<Id>,
    },
    /// Only home or away is to be known of this person.
    HomeOnly {
        /// The person's name.
        name: String,
    },
    /// The device, or every device of the person, is not connected.
    NotConnected {
        /// The name of the device or person.
        name: String,
    },
    /// It was connected, and nothing was heard of it.
    NotHeard {
        /// The device's name.
        name: String,
    },
    /// It left its access point while it was listened to.
    Left {
        /// The device's name.
        name: String,
    },
    /// Another calibration of it began meanwhile.
    Replaced {
        /// The device's name.
        name: String,
    },
    /// The configuration changed while it was listened to.
    Interrupted {
        /// The device's name.
        name: String,
    },
}

impl fmt::Display for CalibrateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CalibrateError::UnknownDevice { asked, known } => {
                write!(f, "no device or person has the id \"{asked}\"; known are {}", named(known))
            }
            CalibrateError::UnknownRoom { asked, known } => {
                write!(f, "no room has the id \"{asked}\"; known are {}", named(known))
            }
            CalibrateError::HomeOnly { name } => {
                write!(f, "of {name} only home or away is to be known (detail = \"home-only\")")
            }
            CalibrateError::NotConnected { name } => write!(
                f,
                "{name} is not connected; switch its WiFi on, wait until it is listed as present, and say it again"
            ),
            CalibrateError::NotHeard { name } => write!(
                f,
                "nothing was heard of {name}; switch its screen on, let it load a page, and say it again"
            ),
            CalibrateError::Left { name } => {
                write!(f, "{name} left its access point meanwhile; say it again when it is back")
            }
            CalibrateError::Replaced { name } => {
                write!(f, "another calibration of {name} began meanwhile and took its place")
            }
            CalibrateError::Interrupted { name } => {
                write!(f, "the configuration changed while listening to {name}; say it again")
            }
        }
    }
}

impl std::error::Error for CalibrateError {}

impl Engine {
    /// The samples that were kept, at the start and whenever the shell changed them.
    pub fn handle_samples(&mut self, samples: impl Into<Samples>, now: Moment) {
        self.samples = samples.into();
        self.samples_changed(now);
    }

    /// Everything that depends on samples is built anew.
    pub(crate) fn samples_changed(&mut self, now: Moment) {
        self.samples_revision += 1;
        self.learn_rooms();
        self.flush(now);
    }

    /// The samples of calibrations, oldest first.
    pub fn samples(&self) -> &Samples {
        &self.samples
    }

    /// Pairs of rooms that the samples cannot tell apart, the most alike first.
    pub fn alike(&self) -> Vec<Alike> {
        let pairs = self.model.confusions().into_iter();
        let alike = pairs.filter(|(.., percent)| *percent >= ALIKE_PERCENT);
        alike.map(|(one, other, percent)| Alike { rooms: [one, other], percent }).collect()
    }

    /// Counts the changes of the samples: what was saved at another count is outdated.
    pub fn samples_revision(&self) -> u64 {
        self.samples_revision
    }

    /// Forgets a sample; false if there is none of this id.
    pub fn forget_sample(&mut self, id: u32, now: Moment) -> bool {
        let is_known = self.samples.forget(id);
        if is_known {
            self.samples_changed(now);
        }
        is_known
    }
}

fn named(ids: &[Id]) -> String {
    if ids.is_empty() {
        return "none".to_owned();
    }
    let shown: Vec<&str> = ids.iter().take(NAMED_MAX).map(Id::as_str).collect();
    let more = ids.len().saturating_sub(NAMED_MAX);
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(device: &str, room: &str) -> Sample {
        Sample {
            id: 0,
            device: device.parse().unwrap(),
            room: room.parse().unwrap(),
            taken: String::new(),
            seconds: 40,
            readings: Vec::new(),
            silent: Vec::new(),
            reported: Vec::new(),
        }
    }

    #[test]
    fn the_oldest_of_a_room_goes_first_and_ids_are_not_used_again() {
        let mut samples = Samples::default();
        for _ in 0..SAMPLES_PER_ROOM_MAX {
            assert!(samples.add(sample("phone", "kitchen")).is_empty());
        }
        assert!(samples.add(sample("phone", "hall")).is_empty());
        let dropped = samples.add(sample("phone", "kitchen"));
        assert_eq!(dropped.iter().map(|sample| sample.id).collect::<Vec<_>>(), [1]);
        assert!(samples.forget(22) && !samples.forget(22));
        samples.add(sample("phone", "hall"));
        assert_eq!(samples.list().last().map(|sample| sample.id), Some(23));
    }

    #[test]
    fn a_site_keeps_so_many_and_no_more() {
        let mut samples = Samples::default();
        for number in 0..SAMPLES_MAX + 7 {
            let dropped = samples.add(sample(&format!("phone-{number}"), "kitchen"));
            assert_eq!(dropped.len(), usize::from(number >= SAMPLES_MAX));
        }
        assert_eq!((samples.list().len(), samples.list()[0].id), (SAMPLES_MAX, 8));
    }

    #[test]
    fn what_was_kept_is_restored_within_the_limits() {
        let twice = vec![Sample { id: 5, ..sample("a", "x") }, Sample { id: 5, ..sample("a", "y") }];
        let samples = Samples::restored(9, twice);
        assert_eq!(samples.list().iter().map(|sample| sample.id).collect::<Vec<_>>(), [5, 9]);
        assert_eq!(samples.next_id(), 10);
        let many = vec![sample("a", "x"); SAMPLES_MAX * 2];
        assert_eq!(Samples::from(many).list().len(), SAMPLES_PER_ROOM_MAX);
    }
}

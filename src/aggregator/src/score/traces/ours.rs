//! The product's own filter on a trace: the same code as in the running aggregator, with a model of the trace's APs.

use whichroom_presence::calibration::Sample;
use whichroom_presence::rooms::{Model, Place, Receiver, RoomEstimate};
use whichroom_presence::{ApIndex, Moment};
use whichroom_wire::Id;

use super::calibrate;
use super::trace::Trace;
use super::view::{Shown, What};

/// The home a trace is of: an AP's room has its name, and calibration may add rooms that have none.
#[derive(Debug, Clone)]
pub struct Home {
    /// The rooms' names: first those of the trace's APs, in order.
    pub rooms: Vec<String>,
    pub model: Model,
}

/// The filter at work.
#[derive(Debug, Clone, Default)]
pub struct Ours {
    estimate: RoomEstimate,
    associated: Option<ApIndex>,
}

impl Home {
    /// The home of `trace`, calibrated with others of the same home.
    pub fn new<'t>(trace: &Trace, calibration: impl Iterator<Item = &'t Trace> + Clone) -> Home {
        let same_home = calibration.filter(|other| other.aps.iter().any(|ap| trace.aps.contains(ap)));
        let mut rooms = trace.aps.clone();
        for room in same_home.clone().flat_map(|other| &other.rooms) {
            if !rooms.contains(room) {
                rooms.push(room.clone());
            }
        }
        // Names are free text, ids are not; and a name must mean nothing but itself.
        let position =
            |names: &[String], name: &str| names.iter().position(|known| known == name).and_then(id);
        let samples: Vec<Sample> =
            calibrate::samples(same_home, |room| position(&rooms, room), |ap| position(&trace.aps, ap));
        let places: Vec<Place> = (0..rooms.len()).filter_map(id).map(Place::unknown).collect();
        let receivers: Vec<Receiver> =
            (0..trace.aps.len()).filter_map(|room| Some(Receiver { id: id(room)?, room })).collect();
        let model = Model::new(&places, &receivers, &samples);
        Home { rooms, model }
    }
}

/// The id of what is at a position.
fn id(position: usize) -> Option<Id> {
    format!("at-{position}").parse().ok()
}

impl Ours {
    /// Takes in what was shown.
    pub fn take(&mut self, home: &Home, shown: &Shown) {
        let at = Moment::from_ms(shown.at_ms);
        match shown.what {
            What::Associated => self.associated = Some(ApIndex::at(shown.ap)),
            What::Heard { rssi_dbm } => self.estimate.read(ApIndex::at(shown.ap), rssi_dbm, at),
        }
        self.estimate.evaluate(self.associated, &home.model, at);
    }

    /// Rooms by position with their probability in percent, best first.
    pub fn candidates(&self) -> Vec<(usize, u8)> {
        self.estimate.candidates()
    }

    /// The room by position.
    pub fn decide(&mut self, home: &Home, now_ms: i64) -> Option<usize> {
        self.estimate.evaluate(self.associated, &home.model, Moment::from_ms(now_ms));
        self.estimate.room()
    }
}
